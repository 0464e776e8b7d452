//! Making a segment: it has its name only once it is whole and durable.
//!
//! - Order: header into a temporary file, its space reserved, sync; then, apart, rename and sync of
//!   the directory. A crash before the rename leaves a temporary that the next opening removes.
//! - The space for a segment is reserved before anything depends on it, so that a full disk shows
//!   here, where nothing is lost, and not when a record is written.

use std::io;
use std::path::{Path, PathBuf};

use super::failed;
use super::names::{WAL_DIR, segment_path, temporary_path};
use super::tail::Tail;
use crate::disk::{DiskRef, FileRef, OpenMode, write_all_at};
use crate::error::{Error, Result};
use crate::format::segment::{SegmentFooter, SegmentHeader};

/// Room for records that even the smallest segment has, behind a header of any size.
const ROOM_BYTES_MIN: u64 = 4 << 10;

/// A segment with a header and no name yet.
pub(super) struct Prepared {
    pub(super) file: FileRef,
    pub(super) header: SegmentHeader,
    pub(super) tail: Tail,
    /// Bytes reserved for the file.
    pub(super) bytes: u64,
    temporary: PathBuf,
}

/// Makes the segment's temporary file with space for a record of `needed` bytes: `segment_bytes` in
/// all, more if that is too little, less if the disk has no more.
pub(super) fn prepare(
    disk: &DiskRef,
    header: SegmentHeader,
    segment_bytes: u64,
    needed: u64,
) -> Result<Prepared> {
    let encoded = header.encode();
    let least = least_bytes(encoded.len() as u64, needed);
    let most = segment_bytes.max(least);
    // On a nearly full disk small segments keep the database writing.
    let mut refused = None;
    for bytes in [most, (most / 16).max(least), least] {
        match try_prepare(disk, &header, &encoded, bytes) {
            Err(error @ Error::NoSpace { .. }) => refused = Some(error),
            prepared => return prepared,
        }
    }
    let path = disk.full_path(&segment_path(header.segment)).into();
    Err(refused.unwrap_or(Error::NoSpace { path, needed: least }))
}

/// Bytes of the smallest file with room for `needed` bytes of records.
fn least_bytes(header_len: u64, needed: u64) -> u64 {
    let filled = header_len.saturating_add(needed.max(ROOM_BYTES_MIN));
    // The footer's index grows with the file; one more row covers what the footer itself adds.
    let least = filled.saturating_add(SegmentFooter::len_max(filled)).saturating_add(64);
    least.checked_next_multiple_of(4096).unwrap_or(least)
}

fn try_prepare(
    disk: &DiskRef,
    header: &SegmentHeader,
    encoded: &[u8],
    bytes: u64,
) -> Result<Prepared> {
    let temporary = temporary_path(header.segment);
    let file = match disk.open(&temporary, OpenMode::CreateNew) {
        // Left by an attempt that failed; nobody else makes segments.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(&temporary)
                .map_err(|source| failed(&**disk, "remove", &temporary, 0, source))?;
            disk.open(&temporary, OpenMode::CreateNew)
        }
        opened => opened,
    };
    let file = file.map_err(|source| failed(&**disk, "create", &temporary, bytes, source))?;
    let filled = file
        .allocate(bytes)
        .map_err(|source| ("allocate", source))
        .and_then(|()| write_all_at(&*file, encoded, 0).map_err(|source| ("write", source)))
        .and_then(|()| file.sync().map_err(|source| ("sync", source)));
    if let Err((op, source)) = filled {
        // The space goes back; that this fails too changes nothing, for the next opening removes it.
        let _ = disk.remove(&temporary);
        return Err(failed(&**disk, op, &temporary, bytes, source));
    }
    let tail = Tail::empty(header, encoded.len() as u64);
    Ok(Prepared { file, header: header.clone(), tail, bytes, temporary })
}

impl Prepared {
    /// Gives the segment its name, durably.
    pub(super) fn install(&self, disk: &DiskRef) -> Result<()> {
        let path = segment_path(self.header.segment);
        disk.rename(&self.temporary, &path)
            .map_err(|source| failed(&**disk, "rename", &self.temporary, 0, source))?;
        sync_wal_dir(disk)
    }

    /// Takes it back. Best effort: the next opening removes what stays.
    pub(super) fn discard(&self, disk: &DiskRef) {
        let _ = disk.remove(&self.temporary);
    }
}

/// Makes the log's directory, durably, if there is none.
pub(super) fn make_wal_dir(disk: &DiskRef) -> Result<()> {
    make_dir(disk, Path::new(WAL_DIR))
}

/// Makes every name in the log's directory durable.
pub(super) fn sync_wal_dir(disk: &DiskRef) -> Result<()> {
    disk.sync_dir(Path::new(WAL_DIR))
        .map_err(|source| failed(&**disk, "sync", Path::new(WAL_DIR), 0, source))
}

/// Makes a directory in the database's own if there is none, durably. A name that is there already is
/// made durable too: a crash may have come between its making and its sync.
pub(super) fn make_dir(disk: &DiskRef, dir: &Path) -> Result<()> {
    match disk.create_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(&**disk, "create", dir, 0, source)),
    }
    disk.sync_dir(Path::new("")).map_err(|source| failed(&**disk, "sync", Path::new(""), 0, source))
}
