//! The only door outside: one method a system call, so that the simulated disk can crash, tear and
//! fail between any two of them.
//!
//! - Paths are relative to the database's directory.
//! - No method retries, buffers or syncs by itself; only a call that a signal interrupted is made
//!   again.
//! - A sync that returned success is durable. What was not synced may survive a crash in any order
//!   and in part, torn at 512 bytes; a name is durable after its directory was synced.
//! - A write may be short; the caller goes on with the rest (see [`write_all_at`]).

#![cfg_attr(
    not(any(test, feature = "testing")),
    expect(unreachable_pub, reason = "public with the feature `testing`, for disks of one's own")
)]

mod os;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use os::OsDisk;

/// A disk that several parts of the engine share.
pub type DiskRef = Arc<dyn Disk>;

/// An open file that several parts of the engine share.
pub type FileRef = Arc<dyn DiskFile>;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Only to read; it must be there.
    Read,
    /// To read and write; it must be there.
    Write,
    /// To read and write; it must not be there.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes, for a file.
    pub len: u64,
}

/// The directory of one database.
pub trait Disk: Send + Sync + 'static {
    /// Where `path` stands for a person to find: for messages only.
    fn full_path(&self, path: &Path) -> PathBuf;

    /// `mkdir`; `""` makes the database's own. A directory that is there already is an error of kind `AlreadyExists`.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted; `""` is the database's own.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// `open`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileRef>;

    /// `rename`; replaces a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// `unlink`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// `fsync` of a directory: makes the names created, renamed and removed in it durable. `""` is
    /// the database's own, `".."` the one that holds the database's own name.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// `getrandom`: fills `bytes`. What tells databases and segments apart comes from here.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// `fstat`: bytes in the file, reserved zeros included.
    fn size(&self) -> io::Result<u64>;

    /// `pread`: reads some bytes at `offset` and says how many; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// `pwrite`: writes some bytes at `offset` and says how many. May be short.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// `fallocate`: makes the file at least `size` bytes long, filled with zeros that have their space.
    /// Never shortens; a full disk leaves the file as it was.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// `ftruncate`: cuts, or lengthens with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// `fdatasync`: makes the bytes, and the size where it changed, durable.
    fn sync(&self) -> io::Result<()>;

    /// Locks the whole file for this process, without waiting. `false`: someone else holds it. The
    /// lock goes with the file's last reference.
    fn try_lock(&self) -> io::Result<bool>;
}

/// Writes all of `bytes` at `offset`, going on after short writes.
pub fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = file.write_at(bytes, offset)?;
        let Some(rest) = bytes.get(count..) else {
            return Err(io::Error::other("a write returned more than it was given"));
        };
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = rest;
        offset += count as u64;
    }
    Ok(())
}

/// Reads at `offset` until `buffer` is full or the file ends, and says how many bytes it read.
pub fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = file.read_at(rest, offset + filled as u64)?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    Ok(filled)
}
