//! Freehold: an embedded storage core for programs that keep their state in memory and must not
//! lose it.
//!
//! A data type is an ordinary struct with ordinary methods. Annotate it, link it, and it is logged,
//! snapshotted, recovered and replayed. Two data types that claim the same type ID or the same WAL
//! type byte do not build.
//!
//! Modules stand in the order of their layers: each may use only those above it.

extern crate self as freehold;

mod id;

mod error;

mod clock;

mod format;

mod disk;

mod primitive;

mod registry;

mod wal;

mod snapshot;

mod state;

mod recovery;

mod database;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(any(feature = "kv", feature = "event", feature = "state", feature = "run"))]
pub mod primitives;

#[cfg(feature = "cli")]
pub mod cli;

pub mod prelude;

#[doc(hidden)]
pub use primitive::private as __private;

pub use database::{
    CheckpointReport, Database, Durability, Options, Pending, RecordTooLarge, Run, RunNameError,
    RunTransaction, RunView, StateDigest, Transaction, View, inspect, verify,
};
pub use error::{Damage, Diverged, Error, Holder, Reason, RegistryError, Result};
pub use format::snapshot::SnapshotSectionHeader;
pub use format::{ENTRY_BYTES_MAX, RECORD_BYTES_MAX, RUN_NAME_BYTES_MAX, WalEntry};
pub use freehold_macros::{Stored, operations, primitive, register, wal};
pub use id::{DatabaseId, Epoch, Lsn, RunId, SegmentId, Timestamp};
pub use primitive::{
    Apply, Bytes, CLAIMS, Claim, Descriptor, Handle, LoggedEntry, MapIter, MapRange, OpContext,
    OperationShape, Operations, OrdMap, OrdSet, Origin, PayloadWriter, PrimitiveStorageExt,
    Registered, RowSink, SectionReader, SectionWriter, SetIter, SetRange, Shape, Stored,
    StoredOwned, TableRows, TableWriter, Undecodable, UnknownOperation, UnknownTable, Vector,
    VectorIter, primitive_for_wal_type, snapshot_primitive_ids, wal_ranges,
};
pub use recovery::{
    Control, Cut, DetachedPrimitive, Phase, PhaseTimes, PrimitiveEntries, Progress, RecoveryReport,
};
pub use registry::PrimitiveRegistry;
pub use state::RunRow;
