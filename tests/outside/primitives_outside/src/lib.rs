//! The primitives that ship with freehold, compiled as somebody else's: the same source files, a
//! freehold without features. So they use nothing that any user's primitive could not use.

#[path = "../../../../src/primitives/event/mod.rs"]
pub mod event;
#[path = "../../../../src/primitives/json/mod.rs"]
pub mod json;
#[path = "../../../../src/primitives/kv.rs"]
pub mod kv;
#[path = "../../../../src/primitives/run/mod.rs"]
pub mod run;
#[path = "../../../../src/primitives/state/mod.rs"]
pub mod state;
#[path = "../../../../src/primitives/trace/mod.rs"]
pub mod trace;
#[path = "../../../../src/primitives/value/mod.rs"]
pub mod value;
#[path = "../../../../src/primitives/vector/mod.rs"]
pub mod vector;
