//! The primitives that ship with freehold, each behind a Cargo feature of its own.
//!
//! Invariants:
//!
//! 1. Each is written as any user would write one: with the attributes, through `freehold::…`
//!    paths alone. `tests/outside/primitives_outside` builds these very files as another crate.
//! 2. Type IDs and WAL types are fixed for ever: 1 and 0x10–0x1F for `KvStore`, 3 and 0x30–0x3F
//!    for `EventLog`, 4 and 0x40–0x4F for `StateCell`, 6 and 0x60–0x6F for `RunIndex`, 7 and
//!    0x70–0x7F for `VectorStore`.
//!
//! | feature | primitive | for |
//! |---|---|---|
//! | `kv` | `KvStore` | byte keys and values, in order; compare-and-swap, ranges |
//! | `event` | `EventLog` | named streams of events, and one order of all of them |
//! | `state` | `StateCell` | named cells that change by compare-and-set, along declared moves |
//! | `run` | `RunIndex` | which runs there are, how they stand, found by what is known of them |
//! | `vector` | `VectorStore` | vectors, searched for the nearest ones |

#![expect(
    unsafe_code,
    reason = "a primitive's place in the registry is a linker section, which the lint sees inside \
              the crate that defines the registry"
)]

#[cfg(feature = "event")]
pub mod event;
#[cfg(feature = "kv")]
pub mod kv;
#[cfg(feature = "run")]
pub mod run;
#[cfg(feature = "state")]
pub mod state;
#[cfg(any(feature = "json", feature = "trace", feature = "vector"))]
pub mod value;
#[cfg(feature = "vector")]
pub mod vector;

#[cfg(feature = "event")]
pub use event::{
    Event, EventError, EventLog, ExpectedSequence, JsonText, NewEvent, NotJson, Payload, Position,
};
#[cfg(feature = "kv")]
pub use kv::{KeyBounds, KeyRange, KvError, KvStore, Pairs};
#[cfg(feature = "run")]
pub use run::{IndexedRun, RunCounts, RunError, RunIndex, RunOutcome, RunStatus};
#[cfg(feature = "state")]
pub use state::{Cell, Expected, StateCell, StateError, StateMachine};
#[cfg(any(feature = "json", feature = "trace", feature = "vector"))]
pub use value::{JSON_DEPTH_MAX, Json, JsonError};
#[cfg(feature = "vector")]
pub use vector::{
    Collection, Filter, Hit, Method, Metric, Search, VectorEntry, VectorError, VectorStore,
};
