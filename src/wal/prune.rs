//! Removing segments that a checkpoint has made superfluous.
//!
//! - Oldest first: what a crash in the middle leaves lies at or below the oldest snapshot, where an
//!   opening ignores it, gapless or not.
//! - The snapshots' directory was synced before: no record goes that a removed snapshot still needed.

use std::io;
use std::path::Path;

use super::create::sync_wal_dir;
use super::failed;
use super::names::{WAL_DIR, segment_path};
use crate::disk::DiskRef;
use crate::error::Result;
use crate::id::SegmentId;

/// Removes these segments, in this order: oldest first, and calls `gone` after each. One that is gone
/// already is no error.
pub(crate) fn remove_segments(
    disk: &DiskRef,
    segments: &[SegmentId],
    mut gone: impl FnMut(),
) -> Result<()> {
    for segment in segments {
        remove(disk, &segment_path(*segment))?;
        gone();
    }
    if segments.is_empty() {
        return Ok(());
    }
    sync_wal_dir(disk)
}

/// Removes the temporaries with these names that a crash left in the log's directory.
pub(crate) fn remove_temporaries<'a>(
    disk: &DiskRef,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<()> {
    names.into_iter().try_for_each(|name| remove(disk, &Path::new(WAL_DIR).join(name)))
}

fn remove(disk: &DiskRef, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| failed(&**disk, "remove", path, 0, source)),
    }
}
