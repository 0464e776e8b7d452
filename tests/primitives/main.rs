//! The primitives that ship with freehold, through a database, as a program uses them.
//!
//! Everything random comes from `FREEHOLD_SEED`, or from the seed in the test.

#![cfg(all(feature = "full", feature = "testing"))]

mod event;
mod json;
mod kv;
mod kv_trace;
mod machine;
mod run;
mod state;
mod together;
mod trace;
mod vector;
