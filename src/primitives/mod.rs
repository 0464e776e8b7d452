//! The primitives that ship with freehold, each behind a Cargo feature of its own.
//!
//! Invariants:
//!
//! 1. Each is written as any user would write one: with the attributes, through `freehold::…`
//!    paths alone. `tests/outside/primitives_outside` builds these very files as another crate.
//! 2. Type IDs and WAL types are fixed for ever: 1 and 0x10–0x1F for `KvStore`, 2 and 0x20–0x2F
//!    for `JsonStore`, 3 and 0x30–0x3F for `EventLog`, 4 and 0x40–0x4F for `StateCell`, 5 and
//!    0x50–0x5F for `TraceStore`, 6 and 0x60–0x6F for `RunIndex`, 7 and
//!    0x70–0x7F for `VectorStore`.
//!
//! | feature | primitive | for |
//! |---|---|---|
//! | `kv` | `KvStore` | byte keys and values, in order; compare-and-swap, ranges |
//! | `json` | `JsonStore` | JSON documents: pointers, patches, merge patches, JSONPath |
//! | `event` | `EventLog` | named streams of events, and one order of all of them |
//! | `state` | `StateCell` | named cells that change by compare-and-set, along declared moves |
//! | `trace` | `TraceStore` | spans of OpenTelemetry's model, and the trees they make |
//! | `run` | `RunIndex` | which runs there are, how they stand, found by what is known of them |
//! | `vector` | `VectorStore` | vectors, searched for the nearest ones |

#![cfg_attr(
    any(
        feature = "event",
        feature = "json",
        feature = "kv",
        feature = "run",
        feature = "state",
        feature = "trace",
        feature = "vector",
    ),
    expect(
        unsafe_code,
        reason = "a primitive's place in the registry is a linker section, which the lint sees \
                  inside the crate that defines the registry"
    )
)]

#[cfg(feature = "event")]
pub mod event;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "kv")]
pub mod kv;
#[cfg(feature = "run")]
pub mod run;
#[cfg(feature = "state")]
pub mod state;
#[cfg(feature = "trace")]
pub mod trace;
#[cfg(any(feature = "json", feature = "vector"))]
pub mod value;
#[cfg(feature = "vector")]
pub mod vector;

#[cfg(feature = "event")]
pub use event::{
    Event, EventError, EventLog, ExpectedSequence, JsonText, NewEvent, NotJson, Payload, Position,
};
#[cfg(feature = "json")]
pub use json::{JsonDocument, JsonMatch, JsonProblem, JsonStore, JsonStoreError};
#[cfg(feature = "kv")]
pub use kv::{KeyBounds, KeyRange, KvError, KvStore, Pairs};
#[cfg(feature = "run")]
pub use run::{IndexedRun, RunCounts, RunError, RunIndex, RunOutcome, RunStatus};
#[cfg(feature = "state")]
pub use state::{Cell, Expected, StateCell, StateError, StateMachine};
#[cfg(feature = "trace")]
pub use trace::{TraceError, TraceStore};
#[cfg(any(feature = "json", feature = "vector"))]
pub use value::{JSON_DEPTH_MAX, Json, JsonError};
#[cfg(feature = "vector")]
pub use vector::{
    Collection, Filter, Hit, Method, Metric, Search, VectorEntry, VectorError, VectorStore,
};

/// The primitives alone, as the prelude has them.
pub mod shipped {
    #[cfg(feature = "event")]
    pub use super::EventLog;
    #[cfg(feature = "json")]
    pub use super::JsonStore;
    #[cfg(feature = "kv")]
    pub use super::KvStore;
    #[cfg(feature = "run")]
    pub use super::RunIndex;
    #[cfg(feature = "state")]
    pub use super::StateCell;
    #[cfg(feature = "trace")]
    pub use super::TraceStore;
    #[cfg(feature = "vector")]
    pub use super::VectorStore;
}
