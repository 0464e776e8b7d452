//! A directory beside a database's own, in which it is made until it is whole.
//!
//! - It is marked as unfinished from its first moment to its last. What an earlier attempt left is told
//!   by that mark, and emptied; anything else that has the name is somebody's, and is refused.
//! - Two attempts at once do not meet: one has the lock.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{DiskRef, FileRef, OsDisk};
use crate::error::{Error, Result};
use crate::recovery;

/// What stands behind the name of a directory that is not whole.
const SUFFIX: &str = ".part";

/// The directory that is to become the database `into`.
pub(crate) struct Aside {
    os: Arc<OsDisk>,
    into: PathBuf,
    _lock: FileRef,
}

impl Aside {
    /// Takes the directory beside `into`, where nothing or an empty directory may be, and empties it.
    pub(super) fn claim(into: &Path) -> Result<Aside> {
        refuse_full(into)?;
        let os = Arc::new(OsDisk::new(part(into)));
        let disk: DiskRef = os.clone();
        let lock = recovery::claim(&disk)?;
        Ok(Aside { os, into: into.to_path_buf(), _lock: lock })
    }

    pub(super) fn disk(&self) -> DiskRef {
        self.os.clone()
    }

    /// It is whole: gives it its name.
    pub(super) fn finish(self) -> Result<()> {
        recovery::unmark(&self.disk())?;
        let renamed = self.os.rename_to(&self.into);
        renamed.map_err(|source| Error::io("rename to the database's name", &self.into, source))
    }
}

/// Where a database is made until it is whole.
pub(crate) fn part(into: &Path) -> PathBuf {
    let mut name = into.file_name().map_or_else(OsString::new, OsString::from);
    name.push(SUFFIX);
    into.with_file_name(name)
}

/// Refuses a directory in which something stands.
pub(crate) fn refuse_full(into: &Path) -> Result<()> {
    let disk: DiskRef = Arc::new(OsDisk::new(into));
    match disk.list(Path::new("")) {
        Ok(listed) if listed.is_empty() => Ok(()),
        Ok(_) => Err(Error::NotEmpty { path: into.into() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::io("list", into, source)),
    }
}
