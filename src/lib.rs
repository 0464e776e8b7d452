//! Freehold: an embedded storage core for programs that keep their state in memory and must not
//! lose it.
//!
//! A data type, a *primitive*, is an ordinary struct with ordinary methods. Annotate it, link it,
//! and it is logged, snapshotted, recovered and replayed. Two primitives that claim the same type
//! ID or the same WAL type byte do not build.
//!
//! ```standalone_crate
//! use freehold::prelude::*;
//!
//! /// Named counters.
//! #[primitive(id = 0x80, wal = 0x80..=0x81)]
//! #[derive(Clone, Default)]
//! pub struct Counters {
//!     counts: OrdMap<String, i64>,
//! }
//!
//! #[operations]
//! impl Counters {
//!     /// Adds `by` to `name` and returns the new value.
//!     #[wal(0x80)]
//!     pub fn add(&mut self, name: &str, by: i64) -> i64 {
//!         let count = self.get(name).unwrap_or(0).saturating_add(by);
//!         self.counts.insert(name.to_owned(), count);
//!         count
//!     }
//!
//!     /// Forgets `name`.
//!     #[wal(0x81)]
//!     pub fn remove(&mut self, name: &str) -> Option<i64> {
//!         self.counts.remove(name)
//!     }
//!
//!     /// Reads need no attribute.
//!     pub fn get(&self, name: &str) -> Option<i64> {
//!         self.counts.get(name).copied()
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   let directory = tempfile::tempdir()?;
//! #   let path = directory.path();
//!     let db = Database::open(path)?; // recovers
//!     let hits = db.transaction(|tx| {
//!         tx.on::<Counters>().remove("misses")?;
//!         tx.on::<Counters>().add("hits", 1)
//!     })?; // all of it, or nothing
//!     assert_eq!(db.view().on::<Counters>().get("hits"), Some(hits)); // consistent, read-only
//!     Ok(())
//! }
//! ```
//!
//! # Where to go on
//!
//! - [`macro@primitive`] and [`macro@operations`]: what can be annotated, and how. [`Stored`]: which
//!   types fields and arguments may have. [`PrimitiveStorageExt`]: the same by hand.
//! - [`Database`]: transactions, views, runs, checkpoints. [`Options`]: how it is opened.
//! - [`Error`]: what can go wrong, by what can be done about it.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | gives |
//! |---|---|
//! | `kv` | `primitives::KvStore`, type ID 1 |
//! | `json` | `primitives::JsonStore`, type ID 2 |
//! | `event` | `primitives::EventLog`, type ID 3 |
//! | `state` | `primitives::StateCell`, type ID 4 |
//! | `trace` | `primitives::TraceStore`, type ID 5 |
//! | `run` | `primitives::RunIndex`, type ID 6 |
//! | `vector` | `primitives::VectorStore`, type ID 7 |
//! | `full` | all of these |
//! | `testing` | `testing`: the conformance kit, the simulated disk, the clock that stands still |
//! | `cli` | the tool `freehold`, also as `cli::main` |
//!
//! A primitive of yours takes a type ID from 8 to 255 and WAL types from 0x80 to 0xff; also 1 to 7
//! with the WAL types from ID × 16, as long as freehold's own is not linked.

extern crate self as freehold;

// The modules stand in the order of their layers: each may use only those above it.

// The numbers that name things: LSNs, runs, segments, epochs.
mod id;

// The one public error.
mod error;

// Where timestamps come from.
mod clock;

// Every byte on disk, encoded and decoded; no I/O.
mod format;

// The only door to the operating system's files.
mod disk;

// What a primitive is: its trait, its descriptor, its handle, the types it can store.
mod primitive;

// The primitives that linking gathered, checked.
mod registry;

// The write-ahead log: appending, syncing, reading.
mod wal;

// Files with the full state at an LSN.
mod snapshot;

// The working state, and what of it is published to views.
mod state;

// Opening: look, plan, load, scan, replay, repair.
mod recovery;

// The past of a run, from its records alone.
mod replay;

// The database as its user has it.
mod database;

// The state as lines of JSON, for the tool.
#[cfg(feature = "cli")]
mod lines;

// What tests of primitives and of the engine are made of.
#[cfg(any(test, feature = "testing"))]
pub mod testing;

// The primitives that ship with freehold.
pub mod primitives;

// The tool.
#[cfg(feature = "cli")]
pub mod cli;

// What a program imports with one line.
pub mod prelude;

// Its programs are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/extending.md")]
mod extending {}

#[doc(hidden)]
pub use primitive::private as __private;

pub use database::{
    CheckpointReport, Comparison, Database, Diff, DiffMismatch, DiffSide, Difference, Durability,
    History, Options, Pending, RecordTooLarge, Replay, Run, RunNameError, RunTransaction, RunView,
    RunsComparison, StateDigest, Step, Transaction, View, backup, compare_replay, compare_runs,
    inspect, inspect_at, salvage, stop_before, verify,
};
pub use error::{Damage, Diverged, Error, Holder, Reason, RegistryError, Result};
pub use format::snapshot::SnapshotSectionHeader;
pub use format::{ENTRY_BYTES_MAX, RECORD_BYTES_MAX, RUN_NAME_BYTES_MAX, WalEntry};
#[cfg(any(test, feature = "testing"))]
pub use freehold_macros::conformance;
pub use freehold_macros::{Stored, operations, primitive, register, wal};
pub use id::{DatabaseId, Epoch, Lsn, RunId, SegmentId, Timestamp};
pub use primitive::{
    Apply, Bytes, CLAIMS, Change, ChangeKind, Changes, Claim, Deferred, DeferredCell, Descriptor,
    Handle, LoggedEntry, MapIter, MapRange, OpContext, OperationShape, Operations, OrdMap, OrdSet,
    Origin, PayloadTooLarge, PayloadWriter, PrimitiveStorageExt, Registered, RowSink,
    SectionReader, SectionWriter, SetIter, SetRange, Shape, Stored, StoredOwned, TableRows,
    TableWriter, Undecodable, UnknownOperation, UnknownTable, ValueRef, Vector, VectorIter,
    primitive_for_wal_type, snapshot_primitive_ids, wal_ranges,
};
pub use recovery::{
    Behind, Control, Cut, DetachedPrimitive, Phase, PhaseTimes, PrimitiveEntries, Progress,
    RecoveryReport,
};
pub use registry::PrimitiveRegistry;
pub use state::RunRow;
