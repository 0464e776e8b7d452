//! A copy of a database, also while somebody has it open and writes.
//!
//! - It takes no lock, so it works from another process. What is copied last can be torn, as after a
//!   crash; what a checkpoint removed meanwhile makes it begin anew.
//! - The synced mark is read first: everything it names must be in the copy, and the copy's own mark
//!   says no more than that.
//! - The copy is verified before it has its name. It is a database like any other, so restoring is to
//!   copy it back, or to open it.

use std::io;
use std::path::Path;

use super::aside::Aside;
use super::offline::{disk, verify};
use crate::disk::{DiskRef, OpenMode, read_full_at, write_all_at};
use crate::error::{Error, Result};
use crate::id::Lsn;
use crate::recovery::RecoveryReport;
use crate::snapshot::SNAPSHOT_DIR;
use crate::wal::names::{MARK, WAL_DIR, WalName, parse};
use crate::wal::read_mark;

/// How often copying begins anew when a checkpoint removes what is being copied.
const ATTEMPTS: usize = 8;

/// How much is copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Copies the database in the directory `path` to `into`, also while this program or another one has it
/// open and writes, and verifies the copy. It holds at least everything that was synced when this was
/// called. Nothing in `path` is changed.
///
/// `into` is nothing, or an empty directory; beside it, `into` with `.part` behind its name is used
/// meanwhile. The report says what opening the copy will find; a torn tail in it is what was being
/// written just then.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let (path, copy) = (directory.path().join("db"), directory.path().join("copy"));
/// let db = Database::open(&path)?;
/// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"value"))?;
/// freehold::backup(&path, &copy)?;
///
/// let restored = Database::open(&copy)?;
/// assert_eq!(restored.view().on::<KvStore>().get(b"key").as_deref(), Some(&b"value"[..]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What opening the copy would refuse, so damage to the original too; [`Error::NotADatabase`] if nothing
/// was ever written to it; [`Error::NotEmpty`] if there is something in `into`; those of the disk.
pub fn backup(path: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<RecoveryReport> {
    let (path, into) = (path.as_ref(), into.as_ref());
    let from = disk(path);
    let mut aside = Aside::claim(into)?;
    let to = aside.disk();
    // What is copied is read as a database in the end.
    aside.unlock();
    let mut attempts = 1..=ATTEMPTS;
    let report = loop {
        let is_last = attempts.next().is_none_or(|attempt| attempt == ATTEMPTS);
        match attempt(&from, &to, aside.path()) {
            Ok(report) => break report,
            // Removed, or sealed and followed, while it was copied; or damaged, as the next attempts
            // will find as well.
            Err(Error::Corrupt { .. } | Error::Missing { .. }) if !is_last => {}
            Err(Error::Io { source, .. }) if is_gone(&source) && !is_last => {}
            Err(error) => return Err(error),
        }
    };
    aside.finish()?;
    Ok(report)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn attempt(from: &DiskRef, to: &DiskRef, aside: &Path) -> Result<RecoveryReport> {
    let mark = read_whole(from, Path::new(MARK))?;
    let synced = read_mark(from)?.map_or(Lsn::ZERO, |mark| mark.lsn);
    make_empty(to)?;
    let mut is_empty = true;
    // The snapshots first: the log is then at least as long as the newest of them needs.
    for directory in [SNAPSHOT_DIR, WAL_DIR] {
        let directory = Path::new(directory);
        let mut names: Vec<String> = match from.list(directory) {
            Ok(listed) => listed.into_iter().filter(|e| !e.is_dir).map(|e| e.name).collect(),
            Err(error) if is_gone(&error) => Vec::new(),
            Err(source) => return Err(Error::io("list", &from.full_path(directory), source)),
        };
        names.sort();
        for name in names {
            let is_wanted = match directory == Path::new(WAL_DIR) {
                true => matches!(parse(&name), WalName::Segment(_)),
                false => name.ends_with(".snapshot"),
            };
            if is_wanted {
                is_empty = false;
                copy(from, to, &directory.join(name))?;
            }
        }
    }
    if is_empty {
        let path = from.full_path(Path::new("")).into();
        return Err(Error::NotADatabase { path, found: "nothing was written yet" });
    }
    if let Some(mark) = mark {
        write_whole(to, Path::new(MARK), &mark)?;
    }
    for directory in [SNAPSHOT_DIR, WAL_DIR, ""] {
        let directory = Path::new(directory);
        to.sync_dir(directory)
            .map_err(|source| Error::io("sync", &to.full_path(directory), source))?;
    }
    let report = verify(aside)?;
    if report.last_lsn < synced {
        return Err(Error::Missing {
            file: Path::new(WAL_DIR).into(),
            because: "the synced mark names a later record than was copied",
        });
    }
    Ok(report)
}

/// Makes the directories, and removes what an earlier attempt left in them.
fn make_empty(to: &DiskRef) -> Result<()> {
    for directory in [SNAPSHOT_DIR, WAL_DIR].map(Path::new) {
        match to.create_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io("create", &to.full_path(directory), source)),
        }
        let listed = to.list(directory);
        let listed =
            listed.map_err(|source| Error::io("list", &to.full_path(directory), source))?;
        for entry in listed.into_iter().filter(|entry| !entry.is_dir) {
            let path = directory.join(entry.name);
            to.remove(&path).map_err(|source| Error::io("remove", &to.full_path(&path), source))?;
        }
    }
    Ok(())
}

/// Copies one file. Pieces of zeros are left out, so that what a segment reserves takes no space.
fn copy(from: &DiskRef, to: &DiskRef, path: &Path) -> Result<()> {
    let in_from = |op, source| Error::io(op, &from.full_path(path), source);
    let in_to = |op, source| Error::io(op, &to.full_path(path), source);
    let source = from.open(path, OpenMode::Read).map_err(|error| in_from("open", error))?;
    let target = to.open(path, OpenMode::CreateNew).map_err(|error| in_to("create", error))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let count = read_full_at(&*source, &mut piece, at).map_err(|e| in_from("read", e))?;
        let read = piece.get(..count).unwrap_or_default();
        if read.iter().any(|byte| *byte != 0) {
            write_all_at(&*target, read, at).map_err(|error| in_to("write", error))?;
        }
        at += count as u64;
        if count < PIECE_BYTES {
            break;
        }
    }
    target.set_size(at).map_err(|error| in_to("set the size of", error))?;
    target.sync().map_err(|error| in_to("sync", error))
}

fn read_whole(from: &DiskRef, path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |op, source| Error::io(op, &from.full_path(path), source);
    let file = match from.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(source) => return Err(failed("open", source)),
    };
    let mut bytes = vec![0; PIECE_BYTES];
    let count = read_full_at(&*file, &mut bytes, 0).map_err(|error| failed("read", error))?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

fn write_whole(to: &DiskRef, path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |op, source| Error::io(op, &to.full_path(path), source);
    let file = to.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    write_all_at(&*file, bytes, 0).map_err(|error| failed("write", error))?;
    file.sync().map_err(|error| failed("sync", error))
}
