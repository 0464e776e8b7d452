//! What a program that keeps its state in freehold names: `use freehold::prelude::*;`.

pub use crate::{
    Apply, Bytes, Handle, OpContext, OrdMap, OrdSet, PayloadWriter, PrimitiveStorageExt, Reason,
    SectionReader, SectionWriter, Stored, Vector, WalEntry, operations, primitive, register, wal,
};
pub use crate::{Error, Lsn, RunId, Timestamp};
