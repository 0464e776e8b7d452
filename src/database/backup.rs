//! A copy of a database, also while somebody has it open and writes.
//!
//! - It takes no lock of the original, so it works from another process. What is copied last can be torn, as after a
//!   crash; what a checkpoint removed meanwhile makes it begin anew.
//! - What is in the copy of a log proves nothing that is not in it: see [`copy`].
//! - The synced mark is read first: everything it names must be in the copy, and the copy's own mark
//!   says no more than that.
//! - The copy is verified before it has its name. It is a database like any other, so restoring is to
//!   copy it back, or to open it.

use std::io;
use std::path::{Path, PathBuf};

use super::Options;
use super::aside::Aside;
use super::offline::disk;
use crate::disk::{DiskFile, DiskRef, OpenMode, read_full_at, write_all_at};
use crate::error::{Error, Result};
use crate::format::mark::SyncedMark;
use crate::id::Lsn;
use crate::recovery::{self, RecoveryReport, Settings};
use crate::registry::PrimitiveRegistry;
use crate::replay;
use crate::snapshot::{self, HISTORY_DIR, SNAPSHOT_DIR, snapshot_path};
use crate::wal::names::{MARK, WAL_DIR, WalName, parse, segment_path};

/// How often copying is begun, when a checkpoint removes what is being copied.
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
/// Damage that opening does not meet is none: it is copied as it is, and
/// [`RecoveryReport::has_damage`] says so.
pub fn backup(path: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<RecoveryReport> {
    let aside = Aside::claim(into.as_ref())?;
    let report = copy_database(&disk(path.as_ref()), &aside.disk())?;
    aside.finish()?;
    Ok(report)
}

fn copy_database(from: &DiskRef, to: &DiskRef) -> Result<RecoveryReport> {
    let mut attempts_left = ATTEMPTS;
    loop {
        let history = replay::history_files(from)?;
        let names = names(from, &history)?;
        attempts_left -= 1;
        match attempt(from, to, &names) {
            Err(Error::Corrupt { .. } | Error::Missing { .. } | Error::Io { .. })
                if attempts_left > 0
                    && self::names(from, &replay::history_files(from)?)? != names => {}
            // Of a run that was deleted meanwhile, and is in the copy, it may lack what it did.
            Ok(_) if attempts_left > 0 && is_written_anew(&history, from)? => {}
            // Nothing came or went meanwhile, and what was appended is not copied: the next attempt
            // would find the same.
            done => return done,
        }
    }
}

/// Whether one of the history files has become another one under the same name.
fn is_written_anew(history: &[(PathBuf, u64)], from: &DiskRef) -> Result<bool> {
    let now = replay::history_files(from)?;
    let is_other = |(path, bytes): &(PathBuf, u64)| {
        now.iter().any(|(path_now, bytes_now)| path_now == path && bytes_now != bytes)
    };
    Ok(history.iter().any(is_other))
}

/// Every snapshot, segment and history file there is. The snapshots first: the log is then at least as
/// long as the newest of them needs.
fn names(from: &DiskRef, history: &[(PathBuf, u64)]) -> Result<Vec<PathBuf>> {
    let listed = snapshot::list(from)?.snapshots;
    let mut names: Vec<PathBuf> = listed.iter().map(|listed| snapshot_path(listed.lsn)).collect();
    let mut segments = match from.list(Path::new(WAL_DIR)) {
        Ok(listed) => listed
            .iter()
            .filter_map(|entry| match parse(&entry.name) {
                WalName::Segment(id) => Some(id),
                _ => None,
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(Error::io("list", &from.full_path(Path::new(WAL_DIR)), source)),
    };
    segments.sort_unstable();
    names.extend(segments.into_iter().map(segment_path));
    names.extend(history.iter().map(|(path, _)| path.clone()));
    Ok(names)
}

fn attempt(from: &DiskRef, to: &DiskRef, names: &[PathBuf]) -> Result<RecoveryReport> {
    let mark = read_whole(from, Path::new(MARK))?;
    let synced = SyncedMark::decode(&mark).map_or(Lsn::ZERO, |mark| mark.lsn);
    make_empty(to)?;
    if names.is_empty() {
        let path = from.full_path(Path::new("")).into();
        return Err(Error::NotADatabase { path, found: "nothing was written yet" });
    }
    for name in names {
        copy(from, to, name)?;
    }
    if !mark.is_empty() {
        write_whole(to, Path::new(MARK), &mark)?;
    }
    for directory in [SNAPSHOT_DIR, WAL_DIR, HISTORY_DIR, ""] {
        let directory = Path::new(directory);
        to.sync_dir(directory)
            .map_err(|source| Error::io("sync", &to.full_path(directory), source))?;
    }
    let settings = Settings { check_all: true, ..Options::new().recovery() };
    let mut report = recovery::verify_held(to, PrimitiveRegistry::linked()?, &settings)?;
    report.damaged_history = replay::damage(to)?;
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
    for directory in [SNAPSHOT_DIR, WAL_DIR, HISTORY_DIR].map(Path::new) {
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

/// Copies one file as far as it is written when this begins: up to its last byte that is not zero, which
/// is found first.
///
/// - The log is only appended to, so everything before that byte was written by then, but for what is
///   in the same write. What is written meanwhile lies behind it, and with it all that proves more
///   to be synced than was found: else a copy could have a record's proof and not the record.
/// - From behind, since a full disk lets the log take back what it could not write whole, and write
///   other records there: what lies further behind is then at most older, and proves less.
/// - If the segment is sealed and cut meanwhile, the copy has it as it was, with zeros behind the records.
/// - Pieces of zeros are left out, so that what a segment reserves takes no space.
fn copy(from: &DiskRef, to: &DiskRef, path: &Path) -> Result<()> {
    let in_from = |op, source| Error::io(op, &from.full_path(path), source);
    let in_to = |op, source| Error::io(op, &to.full_path(path), source);
    let source = from.open(path, OpenMode::Read).map_err(|error| in_from("open", error))?;
    let target = to.open(path, OpenMode::CreateNew).map_err(|error| in_to("create", error))?;
    let size = source.size().map_err(|error| in_from("read the size of", error))?;
    let mut piece = vec![0; PIECE_BYTES];
    let end = written_end(&*source, size, &mut piece).map_err(|error| in_from("read", error))?;
    for at in pieces_from_behind(end) {
        let len = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let wanted = piece.get_mut(..len).unwrap_or_default();
        let count = read_full_at(&*source, wanted, at).map_err(|e| in_from("read", e))?;
        let read = wanted.get(..count).unwrap_or_default();
        if read.iter().any(|byte| *byte != 0) {
            write_all_at(&*target, read, at).map_err(|error| in_to("write", error))?;
        }
    }
    target.set_size(size).map_err(|error| in_to("set the size of", error))?;
    target.sync().map_err(|error| in_to("sync", error))
}

/// Where each piece of `len` bytes begins, the last one first.
fn pieces_from_behind(len: u64) -> impl Iterator<Item = u64> {
    let piece = PIECE_BYTES as u64;
    (0..len.div_ceil(piece)).rev().map(move |at| at * piece)
}

/// Where only zeros follow.
fn written_end(file: &dyn DiskFile, size: u64, piece: &mut [u8]) -> io::Result<u64> {
    for at in pieces_from_behind(size) {
        let count = read_full_at(file, piece, at)?;
        let read = piece.get(..count).unwrap_or_default();
        if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
            return Ok((at + last as u64 + 1).min(size));
        }
    }
    Ok(0)
}

/// What is in a small file; nothing if there is none, or the disk does not give it.
fn read_whole(from: &DiskRef, path: &Path) -> Result<Vec<u8>> {
    let failed = |op, source| Error::io(op, &from.full_path(path), source);
    let file = match from.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("open", source)),
    };
    let mut bytes = vec![0; PIECE_BYTES];
    let count = match read_full_at(&*file, &mut bytes, 0).map_err(|error| failed("read", error)) {
        // As damaged, it says nothing.
        Err(error) if error.is_damage() => 0,
        count => count?,
    };
    bytes.truncate(count);
    Ok(bytes)
}

fn write_whole(to: &DiskRef, path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |op, source| Error::io(op, &to.full_path(path), source);
    let file = to.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    write_all_at(&*file, bytes, 0).map_err(|error| failed("write", error))?;
    file.sync().map_err(|error| failed("sync", error))
}

#[cfg(test)]
#[cfg(feature = "kv")]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::database::Database;
    use crate::primitives::KvStore;
    use crate::testing::{CallKind, SimDisk};

    const SEGMENT_BYTES: u64 = 3 * PIECE_BYTES as u64;

    fn put(db: &Database, key: &str, bytes: usize) {
        db.transaction(|tx| tx.on::<KvStore>().put(key.as_bytes(), &vec![7; bytes])).unwrap();
    }

    /// A log that ends a little before the end of the first piece.
    fn database() -> (SimDisk, Database) {
        let disk = SimDisk::new(3);
        let options = Options::new().disk(disk.shared()).checkpoint_bytes(None);
        let db = options.segment_bytes(SEGMENT_BYTES).open("").unwrap();
        put(&db, "synced", PIECE_BYTES - (32 << 10));
        (disk, db)
    }

    /// Makes a copy and calls `meddle`, which writes, before its read number `at`. `None`: it has no such
    /// read.
    fn copy_and(
        (disk, db): (SimDisk, Database),
        at: usize,
        meddle: impl FnOnce(&Database) + Send + 'static,
    ) -> Option<SimDisk> {
        let begun = db.view().lsn();
        let (mut reads, mut meddle) = (0, Some(meddle));
        let state = Mutex::new(move || {
            reads += 1;
            if reads > at { meddle.take() } else { None }
        });
        let writer = db.clone();
        disk.observe(move |_, kind| {
            if kind == CallKind::Read
                && let Some(meddle) = state.try_lock().ok().and_then(|mut state| (*state)())
            {
                meddle(&writer);
            }
        });
        let copy = SimDisk::new(4);
        let copied = copy_database(&disk.shared(), &copy.shared());
        let is_done = db.view().lsn() > begun;
        disk.observe(|_, _| {});
        let report = copied.unwrap_or_else(|error| panic!("before read {at}: {error}"));
        assert!(report.last_lsn >= begun);
        is_done.then_some(copy)
    }

    #[test]
    fn what_is_written_between_two_reads_makes_no_copy_a_damaged_one() {
        // The first record reaches into the second piece, and the second one proves it synced.
        let write = |db: &Database| {
            put(db, "across", 64 << 10);
            put(db, "behind", 8);
        };
        let rotate = |db: &Database| {
            put(db, "across", 64 << 10);
            db.checkpoint().unwrap();
            put(db, "behind", 8);
        };
        let copies = (0..).map_while(|at| copy_and(database(), at, write)).count();
        assert!(copies > 4, "{copies} reads");
        assert_eq!((0..).map_while(|at| copy_and(database(), at, rotate)).count(), copies);
    }

    /// Two runs, most of what is kept of which is the second one's.
    fn with_history() -> (SimDisk, Database) {
        let disk = SimDisk::new(5);
        let options = Options::new().disk(disk.shared()).checkpoint_bytes(None);
        let db = options.segment_bytes(4 << 10).open("").unwrap();
        for (name, steps) in [("stays", 5), ("goes", 20)] {
            let run = db.create_run(name).unwrap();
            for step in 0..steps {
                let key = [step];
                db.run(run).transaction(|tx| tx.on::<KvStore>().put(&key, &[7; 100])).unwrap();
            }
        }
        for key in ["one", "two"] {
            db.checkpoint().unwrap();
            put(&db, key, 8);
        }
        db.checkpoint().unwrap();
        (disk, db)
    }

    #[test]
    fn every_run_in_a_copy_has_its_history_also_where_one_is_deleted_meanwhile() {
        let delete = |db: &Database| {
            let run = db.view().runs().find(|run| &*run.name == "goes").unwrap().id;
            db.delete_run(run).unwrap();
            db.checkpoint().unwrap();
        };
        let mut copies = 0;
        for copy in (0..).map_while(|at| copy_and(with_history(), at, delete)) {
            let db = Options::new().disk(copy.shared()).open("").unwrap();
            for run in db.view().runs() {
                db.replay_run(run.id).unwrap_or_else(|error| panic!("read {copies}: {error}"));
            }
            copies += 1;
        }
        assert!(copies > 10, "{copies} reads");
    }
}
