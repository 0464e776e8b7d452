//! The file of the synced mark.
//!
//! - It is written after a sync returned, never before, and synced lazily: what it says is true, and
//!   may be old.
//! - It can only raise evidence, so an unreadable one is none.

use std::io;
use std::path::Path;

use super::failed;
use super::names::MARK;
use crate::disk::{Disk, DiskRef, FileRef, OpenMode, read_full_at, write_all_at};
use crate::error::Result;
use crate::format::mark::{MARK_LEN, SyncedMark};

/// The synced mark, if there is a valid one.
pub(crate) fn read_mark(disk: &DiskRef) -> Result<Option<SyncedMark>> {
    let path = Path::new(MARK);
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(&**disk, "open", path, 0, source)),
    };
    let mut bytes = [0; MARK_LEN];
    let len = match read_full_at(&*file, &mut bytes, 0) {
        Ok(len) => len,
        Err(source) => match failed(&**disk, "read", path, 0, source) {
            // It says as little as one whose bytes are damaged, and is written anew.
            error if error.is_damage() => 0,
            error => return Err(error),
        },
    };
    Ok(SyncedMark::decode(bytes.get(..len).unwrap_or_default()))
}

/// The open file, for writing.
pub(super) struct MarkFile {
    file: FileRef,
    /// The last sequence written.
    sequence: u64,
    /// Written since it was last synced.
    is_dirty: bool,
}

impl MarkFile {
    /// Opens the file, or makes it; then its name is durable once the directory is synced.
    pub(super) fn open(disk: &DiskRef, sequence: u64) -> Result<MarkFile> {
        let path = Path::new(MARK);
        let file = match disk.open(path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.open(path, OpenMode::CreateNew)
            }
            opened => opened,
        };
        let file = file.map_err(|source| failed(&**disk, "open", path, 0, source))?;
        // Also where the file was there: it may have been cut.
        file.allocate(MARK_LEN as u64)
            .map_err(|source| failed(&**disk, "allocate", path, MARK_LEN as u64, source))?;
        Ok(MarkFile { file, sequence, is_dirty: false })
    }

    /// Writes the mark into the slot whose turn it is.
    pub(super) fn write(&mut self, disk: &dyn Disk, mut mark: SyncedMark) -> Result<()> {
        mark.sequence = self.sequence.saturating_add(1);
        let (sector, at) = mark.encode();
        write_all_at(&*self.file, &sector, at).map_err(|source| {
            failed(disk, "write", Path::new(MARK), sector.len() as u64, source)
        })?;
        self.sequence = mark.sequence;
        self.is_dirty = true;
        Ok(())
    }

    /// Makes the last mark durable, if it is not.
    pub(super) fn sync(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.is_dirty {
            self.file.sync().map_err(|source| failed(disk, "sync", Path::new(MARK), 0, source))?;
            self.is_dirty = false;
        }
        Ok(())
    }
}
