//! The real disk: files below one directory.
//!
//! - Every method is one system call (an open directory makes `sync_dir` two, `list` reads each
//!   entry's size, `allocate` writes zeros where nothing can be reserved), and nothing is remembered between two calls.
//! - A call that a signal interrupted is made again; nothing else is ever repeated, and a sync
//!   that failed least of all: the operating system marks the lost pages clean.
//! - Reads and writes name their offset; no file has a cursor that two threads could move.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this file is where the rest of the crate gets its files from"
)]

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, FileRef, Listed, OpenMode};

/// The files below one directory of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The disk below `root`, which need not exist yet: `create_dir("")` makes it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> OsDisk {
        OsDisk { root: root.into() }
    }

    /// Where `path` is. `".."` is taken by the letters, so that it is the directory that holds the
    /// root's own name even where the root is a symbolic link.
    fn at(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            // `join("")` would add a slash, which people then see in messages.
            return self.root.clone();
        }
        if path == Path::new("..") {
            return match self.root.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                Some(_) => PathBuf::from("."),
                None => self.root.clone(),
            };
        }
        self.root.join(path)
    }
}

impl OsDisk {
    /// `rename` of the database's own directory, and `fsync` of the one that holds the new name. What
    /// has that name already is an empty directory.
    pub(crate) fn rename_to(&self, path: &Path) -> io::Result<()> {
        uninterrupted(|| fs::rename(&self.root, path))?;
        OsDisk::new(path).sync_dir(Path::new(".."))
    }
}

impl Disk for OsDisk {
    fn full_path(&self, path: &Path) -> PathBuf {
        self.at(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(self.at(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(self.at(dir))? {
            let entry = entry?;
            // The link's target counts, so that `wal` may be a link to another device; a link to
            // nothing is listed as the link itself, to be named as foreign.
            let metadata = match fs::metadata(entry.path()).or_else(|_| entry.metadata()) {
                Ok(metadata) => metadata,
                // Removed since the name was read: by now it is not in the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            listed.push(Listed {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                len: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        listed.sort();
        Ok(listed)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileRef> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let at = self.at(path);
        // Opening a pipe to read waits for somebody who writes: for ever.
        let is_pipe = |kind: fs::FileType| !kind.is_file() && !kind.is_dir();
        if fs::metadata(&at).is_ok_and(|found| is_pipe(found.file_type())) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = options.open(at)?;
        Ok(Arc::new(OsFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(self.at(dir))?.sync_all()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A file of the operating system.
#[derive(Debug)]
struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        uninterrupted(|| self.file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        uninterrupted(|| self.file.write_at(bytes, offset))
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        if size == 0 {
            // The system call refuses an empty range; there is nothing to do for one.
            return Ok(());
        }
        match reserve(&self.file, size) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.fill(size),
            done => done,
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        // `fdatasync`, and where that does not reach the device (Apple) what does.
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl OsFile {
    /// Takes the space by writing zeros up to `size`, for file systems that reserve none. A hole would
    /// take none, and the write of a record would be the one to find the disk full: too late to refuse
    /// its transaction.
    fn fill(&self, size: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let before = self.size()?;
        let mut end = before;
        while end < size {
            let most = usize::try_from(size - end).unwrap_or(usize::MAX).min(ZEROS.len());
            let written = match self.write_at(ZEROS.get(..most).unwrap_or(&ZEROS), end) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
            match written {
                Ok(count) => end += count as u64,
                Err(error) => {
                    // The space goes back; as `allocate`, it is done wholly or not at all.
                    let _ = self.file.set_len(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// `fallocate`, which lengthens and never shortens; `Unsupported` where the file system has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{Errno, retry_on_intr};

    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        done => done.map_err(io::Error::from),
    }
}

/// Elsewhere the call is missing, or shortens a longer file.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_file: &File, _size: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes `call` until no signal interrupts it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_full_at, write_all_at};

    fn disk() -> (tempfile::TempDir, OsDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(dir.path().join("db"));
        (dir, disk)
    }

    #[test]
    fn files_are_made_below_the_root_and_listed_by_name() {
        let (_dir, disk) = disk();
        disk.create_dir(Path::new("")).unwrap();
        disk.sync_dir(Path::new("..")).unwrap();
        disk.create_dir(Path::new("wal")).unwrap();
        let twice = disk.create_dir(Path::new("wal")).unwrap_err();
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);

        let file = disk.open(Path::new("wal/b"), OpenMode::CreateNew).unwrap();
        write_all_at(&*file, b"hello", 3).unwrap();
        file.sync().unwrap();
        disk.rename(Path::new("wal/b"), Path::new("wal/a")).unwrap();
        disk.sync_dir(Path::new("wal")).unwrap();

        let root = disk.list(Path::new("")).unwrap();
        assert_eq!(root, [Listed { name: "wal".into(), is_dir: true, len: 0 }]);
        let wal = disk.list(Path::new("wal")).unwrap();
        assert_eq!(wal, [Listed { name: "a".into(), is_dir: false, len: 8 }]);

        let mut bytes = [1; 16];
        let file = disk.open(Path::new("wal/a"), OpenMode::Read).unwrap();
        assert_eq!(read_full_at(&*file, &mut bytes, 0).unwrap(), 8);
        assert_eq!(&bytes[..8], b"\0\0\0hello");
        assert!(file.write_at(b"x", 0).is_err());

        disk.remove(Path::new("wal/a")).unwrap();
        let gone = disk.open(Path::new("wal/a"), OpenMode::Write).err().unwrap();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn allocating_makes_zeros_and_never_shortens() {
        let (_dir, disk) = disk();
        disk.create_dir(Path::new("")).unwrap();
        let file = disk.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        file.allocate(0).unwrap();
        file.allocate(4096).unwrap();
        file.allocate(100).unwrap();
        assert_eq!(file.size().unwrap(), 4096);
        file.set_size(10).unwrap();
        assert_eq!(file.size().unwrap(), 10);
        let again = disk.open(Path::new("a"), OpenMode::CreateNew).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    /// What a file system without `fallocate` does.
    #[test]
    fn without_a_reservation_the_space_is_taken_by_zeros_or_refused() {
        use std::os::unix::fs::MetadataExt;

        let (dir, disk) = disk();
        disk.create_dir(Path::new("")).unwrap();
        let file = OsFile { file: File::create_new(dir.path().join("db/a")).unwrap() };
        write_all_at(&file, b"kept", 0).unwrap();
        let size = (200 << 10) + 7;
        for size in [size, size, 100] {
            file.fill(size).unwrap();
        }
        file.sync().unwrap();
        let metadata = file.file.metadata().unwrap();
        assert_eq!(metadata.len(), size);
        // A hole would have none.
        assert!(metadata.blocks() * 512 >= size, "{} blocks", metadata.blocks());
        let mut bytes = vec![1; size as usize];
        assert_eq!(read_full_at(&file, &mut bytes, 0).unwrap(), bytes.len());
        assert!(bytes.starts_with(b"kept") && bytes[4..].iter().all(|byte| *byte == 0));
    }

    /// The device that is always full.
    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_reservation_a_full_disk_is_found_at_once() {
        let full = OsFile { file: fs::OpenOptions::new().write(true).open("/dev/full").unwrap() };
        let error = full.fill(100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_lock_excludes_a_second_one_of_the_same_process_until_it_is_dropped() {
        let (_dir, disk) = disk();
        disk.create_dir(Path::new("")).unwrap();
        let first = disk.open(Path::new("lock"), OpenMode::CreateNew).unwrap();
        let second = disk.open(Path::new("lock"), OpenMode::Write).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(second.try_lock().unwrap());
    }

    #[test]
    fn the_parent_is_the_one_that_holds_the_name() {
        assert_eq!(OsDisk::new("data").at(Path::new("..")), Path::new("."));
        assert_eq!(OsDisk::new("a/data").at(Path::new("..")), Path::new("a"));
        assert_eq!(OsDisk::new("/").at(Path::new("..")), Path::new("/"));
        assert_eq!(OsDisk::new("data").full_path(Path::new("")), Path::new("data"));
    }
}
