//! All that a primitive's author meets: what a primitive is, what it can store, what its operations
//! are told, and how they are logged.
//!
//! - A primitive knows nothing of files, runs, threads or other primitives.
//! - Nothing changes its state but an operation that stands in the log.
//! - Nothing here does I/O.

mod change;
mod claims;
mod collections;
mod context;
mod contract;
mod deferred;
mod descriptor;
mod guards;
mod handle;
mod held;
mod instance;
pub(crate) mod json;
mod lock;
mod log;
mod logged;
mod payload;
mod section;
mod shape;
mod stored;
mod sum;
mod text;

pub use change::{Change, ChangeKind, Changes, ValueRef};
pub use claims::{CLAIMS, Claim, primitive_for_wal_type, snapshot_primitive_ids, wal_ranges};
pub use collections::{
    Bytes, MapIter, MapRange, OrdMap, OrdSet, SetIter, SetRange, Vector, VectorIter,
};
pub use context::{LoggedEntry, OpContext};
pub use contract::{
    Apply, OperationShape, Operations, PrimitiveStorageExt, Registered, UnknownOperation,
};
pub use deferred::{Deferred, DeferredCell};
pub use descriptor::{Descriptor, Origin};
pub use handle::Handle;
pub use payload::{PayloadTooLarge, PayloadWriter};
pub use section::{RowSink, SectionReader, SectionWriter, TableRows, TableWriter, UnknownTable};
pub use shape::Shape;
pub use stored::{Stored, StoredOwned, Undecodable};

pub(crate) use descriptor::FREEHOLD_1_PRIMITIVES;
pub(crate) use handle::Live;
pub(crate) use instance::{Frozen, Instance};
pub(crate) use log::TransactionLog;
pub(crate) use logged::{EntryAt, LoggedEntries, RecordAt};
#[cfg(any(test, feature = "testing", feature = "cli"))]
pub(crate) use section::JsonRows;
pub(crate) use shape::Fnv;

/// What the attributes' expansions name. No part of the interface: anything here may change with
/// any release.
pub mod private {
    pub use linkme;
    pub use rkyv::Place;
    pub use rkyv::rancor::Failure;

    pub use freehold_macros::assert_no_collisions;

    pub use super::claims::slots;
    pub use super::deferred::DeferredField;
    pub use super::descriptor::FREEHOLD_1_PRIMITIVES;
    pub use super::descriptor::{Descriptor, Origin};
    pub use super::json::{Float, Json, JsonWriter, ListWriter, Misfit, ObjectWriter};

    pub use super::guards::{
        Called, Claims, HandleOfPrimitive, HasOperations, IsHandle, Logged, NotResult,
        OperationError, Probe, ResultOf, Unregistered, WithoutHandle, assert_distinct,
        build_deferred, changes_by, claims, convert, copy_of, crate_of, fresh, is_named_as_claimed,
        is_registered_as_claimed, reason, rebuild, unknown_operation, update,
    };
    pub use super::lock::Lock;
    pub use super::section::Rows;
    pub use super::shape::{Shape, table_tag};
    pub use super::stored::{Encoder, Stored, StoredOwned, Undecodable, Wire, load_owned};
    pub use super::sum::Sum;

    /// What the lock is asked.
    pub mod lock {
        pub use crate::primitive::lock::{
            Fault, facts, id, kept, operation, operations, section, wal_types,
        };
    }
}
