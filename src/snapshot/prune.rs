//! Which snapshots stay.
//!
//! - A snapshot is removed only when enough newer ones are valid. What is not valid and not older
//!   than those is left for a person to look at.
//! - The directory is synced before this returns, so that the caller may go on to the segments that
//!   only a removed snapshot needed.

use super::names::{list, remove, sync_directory};
use super::reader::SnapshotFile;
use crate::disk::DiskRef;
use crate::error::{Error, Result};
use crate::id::{DatabaseId, Lsn};

/// What pruning left and took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The valid snapshots that stay, newest first. The log is needed from the last of them on, or
    /// whole if there is none.
    pub(crate) kept: Vec<Lsn>,
    /// Those that are gone, oldest first.
    pub(crate) removed: Vec<Lsn>,
    /// Bytes in those.
    pub(crate) removed_bytes: u64,
}

/// Removes what is older than the newest `keep` valid snapshots; at least one stays. `is_valid` is
/// asked from the newest on, until there are enough.
pub(crate) fn prune(
    disk: &DiskRef,
    keep: usize,
    mut is_valid: impl FnMut(Lsn) -> Result<bool>,
) -> Result<Pruned> {
    let listed = list(disk)?.snapshots;
    let mut pruned = Pruned::default();
    let mut older = Vec::new();
    for snapshot in listed {
        if pruned.kept.len() >= keep.max(1) {
            older.push(snapshot);
        } else if is_valid(snapshot.lsn)? {
            pruned.kept.push(snapshot.lsn);
        }
    }
    for snapshot in older.into_iter().rev() {
        remove(disk, snapshot.lsn)?;
        pruned.removed.push(snapshot.lsn);
        pruned.removed_bytes += snapshot.bytes;
    }
    if !pruned.removed.is_empty() {
        sync_directory(disk)?;
    }
    Ok(pruned)
}

/// Whether the snapshot opens and belongs to `database`: the cheap half of being valid. Its rows
/// are not read.
pub(crate) fn opens(disk: &DiskRef, lsn: Lsn, database: DatabaseId) -> Result<bool> {
    match SnapshotFile::open(disk, lsn) {
        Ok(file) => Ok(file.meta().database == database),
        Err(Error::Version { .. }) => Ok(false),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}
