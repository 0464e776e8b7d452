//! The write-ahead log: segments on a disk, written by one at a time and read whole.
//!
//! - Knows nothing of snapshots, of primitives, of state: it moves bodies of records.
//! - Reading never writes. Files are changed by [`Log`], by [`repair`] and by [`prune`] only.
//! - A file that could not be written or synced is never written or synced again.

mod batch;
mod create;
mod find;
mod group;
mod log;
mod mark;
pub(crate) mod names;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod scan;
pub(crate) mod sync;
mod tail;

pub(crate) use batch::Batch;
pub(crate) use find::Finder;
pub(crate) use group::GroupCommit;
pub(crate) use log::{Log, LogStart, SealedSegment};
pub(crate) use mark::read_mark;
pub(crate) use tail::Tail;

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::error::Error;

/// A failed call on the file at `path`; a full disk says how many bytes were asked for.
fn failed(disk: &dyn Disk, op: &'static str, path: &Path, needed: u64, source: io::Error) -> Error {
    match Error::io(op, &disk.full_path(path), source) {
        Error::NoSpace { path, needed: _ } => Error::NoSpace { path, needed },
        error => error,
    }
}

#[cfg(test)]
mod tests;
