//! One database, one opener: a lock on a file of its own, held as long as the database is open.
//!
//! The operating system lets it go when the process ends, however it ends. The file's content only
//! says who the holder is.

use std::io;
use std::path::Path;

use crate::disk::{DiskRef, FileRef, OpenMode, read_full_at, write_all_at};
use crate::error::{Error, Holder, Result};

/// The lock file, below the database's directory.
pub(crate) const LOCK: &str = "LOCK";

/// The longest content that is looked at.
const HOLDER_BYTES_MAX: usize = 32;

/// Takes the lock, or says who has it.
pub(super) fn take(disk: &DiskRef) -> Result<FileRef> {
    let path = Path::new(LOCK);
    let failed = |op, source| Error::io(op, &disk.full_path(path), source);
    let file = match disk.open(path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match disk.open(path, OpenMode::CreateNew) {
                // Another opener was faster: its file does as well.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    disk.open(path, OpenMode::Write)
                }
                opened => opened,
            }
        }
        opened => opened,
    }
    .map_err(|source| failed("open", source))?;
    lock(disk, &file)?;
    // What the file says is for messages only, so a full disk does not keep anyone from opening.
    let holder = format!("{}\n", std::process::id());
    if file.set_size(0).and_then(|()| write_all_at(&*file, holder.as_bytes(), 0)).is_err() {
        return Ok(file);
    }
    Ok(file)
}

/// Takes the lock without writing anything. `None`: there is no lock file, so nobody holds it.
pub(super) fn take_to_read(disk: &DiskRef) -> Result<Option<FileRef>> {
    let path = Path::new(LOCK);
    match disk.open(path, OpenMode::Read) {
        Ok(file) => lock(disk, &file).map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", &disk.full_path(path), error)),
    }
}

fn lock(disk: &DiskRef, file: &FileRef) -> Result<()> {
    let path = disk.full_path(Path::new(LOCK));
    match file.try_lock() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Locked { path: path.into(), holder: holder(file) }),
        Err(source) => Err(Error::io("lock", &path, source)),
    }
}

fn holder(file: &FileRef) -> Holder {
    let mut content = [0; HOLDER_BYTES_MAX];
    let count = read_full_at(&**file, &mut content, 0).unwrap_or(0);
    let number = content
        .get(..count)
        .and_then(|content| std::str::from_utf8(content).ok())
        .and_then(|content| content.trim().parse::<u32>().ok());
    match number {
        Some(number) if number == std::process::id() => Holder::ThisProcess,
        Some(number) => Holder::Process(number),
        None => Holder::Unknown,
    }
}
