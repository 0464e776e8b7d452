//! The only part of opening that changes files, once the whole state stands in memory.
//!
//! - What is cut is copied first. What is kept is written again and synced before anyone is served.
//! - A crash anywhere leaves a directory that opens to the same state.

use std::io;
use std::path::Path;

use crate::disk::{DiskRef, FileRef, OpenMode};
use crate::error::{Error, Result};
use crate::id::Lsn;
use crate::id::{DatabaseId, Epoch, RunId, SegmentId};
use crate::snapshot::{self, HISTORY_DIR};
use crate::wal::names::WAL_DIR;
use crate::wal::scan::SegmentReader;
use crate::wal::{Log, LogStart, SealedSegment, Tail, prune, repair as segment};

use super::look::Look;
use super::plan::Plan;
use super::report::Cut;
use super::{Recovered, Settings};

/// Makes the database's own directory if there is none, durably: the one who made it may have been
/// killed before that.
pub(super) fn make_directory(disk: &DiskRef, is_there: bool) -> Result<()> {
    let root = Path::new("");
    if !is_there {
        match disk.create_dir(root) {
            Ok(()) => {}
            // Another opener was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io("create", &disk.full_path(root), source)),
        }
    }
    let above = Path::new("..");
    disk.sync_dir(above).map_err(|source| Error::io("sync", &disk.full_path(above), source))
}

/// Makes the end of the log good and removes what is of no use. The log makes its first segment when
/// there is a record for it.
pub(super) fn repair(
    disk: &DiskRef,
    settings: &Settings,
    look: &Look,
    plan: Option<&Plan>,
    recovered: &mut Recovered,
) -> Result<Log> {
    let mut repaired_bytes = None;
    if let Some((reader, tail)) = recovered.open_end.take() {
        let repaired = segment::repair(disk, &reader, &tail)?;
        recovered.report.cut = cut(&reader, &tail, repaired.quarantine.as_deref());
        repaired_bytes = Some((repaired.file_bytes, tail.last_lsn));
    }
    // A process killed between a rename and the sync of its directory leaves a name that can be read
    // and may not survive: nothing is removed on the strength of one before it is durable.
    make_snapshot_directory(disk)?;
    prune::remove_temporaries(disk, look.wal_temporaries.iter().map(String::as_str))?;
    if look.has_snapshot_temporaries {
        snapshot::remove_temps(disk)?;
    }
    let has_runs = recovered.state.table.last_id() != RunId::ROOT;
    let snapshots = &look.found.snapshots;
    let is_given_up = snapshots
        .first()
        .is_some_and(|oldest| snapshots.iter().all(|each| each.kept_from > oldest.lsn));
    let is_kept = settings.keeps_all || has_runs && (settings.keeps_runs || !is_given_up);
    // Else what is readable of the history in them would be lost.
    if let Some(plan) = plan.filter(|_| !is_kept) {
        prune::remove_segments(disk, &plan.superfluous, || {})?;
    }

    let last = look.found.segments.last();
    let sealed = plan.map_or_else(Vec::new, |plan| {
        plan.segments
            .iter()
            .filter_map(|planned| look.found.segments.get(planned.found))
            .filter_map(|ends| {
                let (bytes, last_lsn) = match &ends.footer {
                    Ok(footer) => (ends.bytes, footer.last_lsn),
                    Err(_) => repaired_bytes?,
                };
                Some(SealedSegment { id: ends.id, last_lsn, bytes })
            })
            .collect()
    });
    Ok(Log::create(
        disk.clone(),
        LogStart {
            database: match last {
                Some(last) => last.header.database,
                None => DatabaseId(random(disk)?),
            },
            epoch: last.map_or(Epoch(0), |last| last.header.epoch).next(),
            segment: last.map_or(SegmentId(0), |last| last.id).next(),
            first_lsn: recovered.state.lsn.next(),
            previous_chain: recovered.chain,
            salt_seed: u64::from_le_bytes(random(disk)?),
            segment_bytes: settings.segment_bytes,
            sealed,
            mark_sequence: look.found.mark.map_or(0, |mark| mark.sequence),
        },
    ))
}

/// The file that says that a directory is being made into a database and is none yet.
const UNFINISHED: &str = "UNFINISHED";

/// Takes a directory in which a database is to be made, and its lock, and empties it. What is there must
/// be nothing, or what an earlier attempt left.
pub(crate) fn claim(disk: &DiskRef) -> Result<FileRef> {
    let (root, mark) = (Path::new(""), Path::new(UNFINISHED));
    let failed = |op, path: &Path, source| Error::io(op, &disk.full_path(path), source);
    match disk.list(root) {
        Ok(listed) if listed.is_empty() || listed.iter().any(|entry| entry.name == UNFINISHED) => {}
        Ok(_) => return Err(Error::NotEmpty { path: disk.full_path(root).into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.create_dir(root).map_err(|source| failed("create", root, source))?;
        }
        Err(source) => return Err(failed("list", root, source)),
    }
    match disk.open(mark, OpenMode::CreateNew) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed("create", mark, source)),
    }
    let lock = super::lock::take(disk)?;
    for directory in [WAL_DIR, snapshot::SNAPSHOT_DIR, HISTORY_DIR].map(Path::new) {
        let listed = match disk.list(directory) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed("list", directory, source)),
        };
        for entry in listed {
            let path = directory.join(entry.name);
            disk.remove(&path).map_err(|source| failed("remove", &path, source))?;
        }
    }
    Ok(lock)
}

/// Says that what was [claimed](claim) is a database now.
pub(crate) fn unmark(disk: &DiskRef) -> Result<()> {
    let mark = Path::new(UNFINISHED);
    disk.remove(mark).map_err(|source| Error::io("remove", &disk.full_path(mark), source))
}

/// Lays out a claimed directory for a database that begins behind the record `last`.
pub(crate) fn found(disk: &DiskRef, last: Lsn) -> Result<Log> {
    make_snapshot_directory(disk)?;
    let log = Log::create(
        disk.clone(),
        LogStart {
            database: DatabaseId(random(disk)?),
            epoch: Epoch(1),
            segment: SegmentId(1),
            first_lsn: last.next(),
            previous_chain: 0,
            salt_seed: u64::from_le_bytes(random(disk)?),
            // Its one segment of this opening has no record.
            segment_bytes: 0,
            sealed: Vec::new(),
            mark_sequence: 0,
        },
    );
    Ok(log)
}

/// What is or would be cut behind the records of the last segment.
pub(super) fn cut(reader: &SegmentReader, tail: &Tail, quarantine: Option<&Path>) -> Option<Cut> {
    let bytes = segment::cut_bytes(reader, tail).len() as u64;
    (bytes > 0).then(|| Cut {
        segment: tail.segment,
        offset: tail.end,
        bytes,
        quarantine: quarantine.map_or_else(String::new, |path| path.display().to_string()).into(),
    })
}

/// Makes the snapshots' directory if there is none, and it and the names in it durable.
fn make_snapshot_directory(disk: &DiskRef) -> Result<()> {
    let directory = Path::new(snapshot::SNAPSHOT_DIR);
    match disk.create_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(Error::io("create", &disk.full_path(directory), source)),
    }
    let root = Path::new("");
    disk.sync_dir(root).map_err(|source| Error::io("sync", &disk.full_path(root), source))?;
    snapshot::sync_directory(disk)
}

fn random<const N: usize>(disk: &DiskRef) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let root = Path::new("");
    let failed = |source| Error::io("draw random bytes", &disk.full_path(root), source);
    disk.random(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
