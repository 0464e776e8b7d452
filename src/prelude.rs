//! What a program that keeps its state in freehold names: `use freehold::prelude::*;`.

pub use crate::{
    Apply, Bytes, Deferred, Handle, OpContext, OrdMap, OrdSet, PayloadWriter, PrimitiveRegistry,
    PrimitiveStorageExt, Reason, SectionReader, SectionWriter, SnapshotSectionHeader, Stored,
    Vector, WalEntry, assert_no_collisions, operations, primitive, primitive_for_wal_type,
    register, snapshot_primitive_ids, wal, wal_ranges,
};
pub use crate::{
    Control, Database, Durability, Error, Lsn, Options, Pending, Result, Run, RunId, RunNameError,
    RunTransaction, RunView, Timestamp, Transaction, View,
};

#[cfg(any(
    feature = "event",
    feature = "json",
    feature = "kv",
    feature = "run",
    feature = "state",
    feature = "trace",
    feature = "vector",
))]
pub use crate::primitives::shipped::*;
