//! Looking at a database's directory: names, headers, footers, the synced mark. Nothing is changed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::disk::DiskRef;
use crate::error::{Error, Result};
use crate::id::SegmentId;
use crate::recovery::Reach;
use crate::recovery::lock::LOCK;
use crate::recovery::plan::{
    Found, FoundSnapshot, NO_SNAPSHOT, Plan, foreign_segment, foreign_snapshot, plan,
};
use crate::snapshot::{self, SNAPSHOT_DIR, SnapshotFile};
use crate::wal::names::{QUARANTINE_DIR, WAL_DIR, WalName, parse, segment_path};
use crate::wal::read_mark;
use crate::wal::scan::SegmentEnds;

/// What stands in the directory, and what of it is of no use.
pub(super) struct Look {
    pub(super) found: Found,
    /// Snapshots that cannot be used, and why.
    pub(super) damaged_snapshots: Vec<Error>,
    /// Names in the log's directory that a crash left.
    pub(super) wal_temporaries: Vec<String>,
    pub(super) has_snapshot_temporaries: bool,
    /// Every segment that has a name, ascending.
    pub(super) segments: Vec<SegmentId>,
    /// Bits of features that forbid writing.
    pub(super) read_only_features: u64,
    /// Segments that cannot be used, and why: none where everything is to be read.
    pub(super) damaged_segments: BTreeMap<SegmentId, Error>,
    /// What reading stops before, where it may.
    pub(super) stopped_at: Option<Error>,
}

impl Look {
    /// Leaves out what is of another database.
    pub(super) fn leave_out_foreign(&mut self) {
        let Some(database) = self.found.database() else { return };
        let Look { found, damaged_segments, damaged_snapshots, .. } = self;
        found.segments.retain(|segment| {
            let is_ours = segment.header.database == database;
            if !is_ours {
                damaged_segments.insert(segment.id, foreign_segment(segment.id));
            }
            is_ours
        });
        found.snapshots.retain(|snapshot| {
            let is_ours = snapshot.database == database;
            if !is_ours {
                damaged_snapshots.push(foreign_snapshot(snapshot.lsn));
            }
            is_ours
        });
        found.damaged_snapshots = damaged_snapshots.len();
    }

    /// As [`plan()`], but where no snapshot is of use since the newest cannot be read, that is said.
    pub(super) fn plan(&mut self) -> Result<Option<Plan>> {
        match plan(&self.found) {
            Err(Error::Missing { because: NO_SNAPSHOT, .. })
                if matches!(self.damaged_snapshots.first(), Some(Error::Io { .. })) =>
            {
                Err(self.damaged_snapshots.remove(0))
            }
            planned => planned,
        }
    }

    /// Says what is wrong with the segment that reading stops before, if that is known.
    pub(super) fn name_stop(&mut self) {
        self.stopped_at = self.stopped_at.take().map(|refusal| self.named(refusal));
    }

    /// What is wrong with the segment that `refusal` misses, if that is known.
    pub(super) fn named(&mut self, refusal: Error) -> Error {
        let Error::Missing { file, .. } = &refusal else { return refusal };
        let is_it = |id: &&SegmentId| *segment_path(**id) == **file;
        let id = self.damaged_segments.keys().find(is_it).copied();
        id.and_then(|id| self.damaged_segments.remove(&id)).unwrap_or(refusal)
    }
}

/// Whether the directory is there. What is there must be a database, or nothing at all.
pub(super) fn is_there(disk: &DiskRef) -> Result<bool> {
    let root = Path::new("");
    let not_ours = |found| Error::NotADatabase { path: disk.full_path(root).into(), found };
    let listed = match disk.list(root) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_ours("it is a file, or lies below one"));
        }
        Err(source) => return Err(Error::io("list", &disk.full_path(root), source)),
    };
    let has = |name: &str| listed.iter().any(|entry| entry.is_dir && entry.name == name);
    if has(WAL_DIR) || has(SNAPSHOT_DIR) || has(QUARANTINE_DIR) {
        return Ok(true);
    }
    if listed.iter().any(|entry| entry.name != LOCK) {
        return Err(not_ours("it has other files, and no directory `wal`"));
    }
    Ok(true)
}

/// Looks at everything. Where not everything is to be read, what is damaged is left out.
pub(super) fn look(disk: &DiskRef, reach: Reach) -> Result<Look> {
    let mut look = Look {
        found: Found { mark: read_mark(disk)?, ..Found::default() },
        damaged_snapshots: Vec::new(),
        wal_temporaries: Vec::new(),
        has_snapshot_temporaries: false,
        segments: Vec::new(),
        read_only_features: 0,
        damaged_segments: BTreeMap::new(),
        stopped_at: None,
    };
    let wal = match disk.list(Path::new(WAL_DIR)) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(Error::io("list", &disk.full_path(Path::new(WAL_DIR)), source)),
    };
    for entry in wal {
        match parse(&entry.name) {
            WalName::Segment(id) => look.segments.push(id),
            WalName::Temporary => look.wal_temporaries.push(entry.name),
            WalName::Mark | WalName::Foreign => {}
        }
    }
    look.segments.sort_unstable();
    for id in &look.segments {
        // Where something is decided for good, nothing is by a footer that was not read.
        let read = if reach == Reach::End { SegmentEnds::read } else { SegmentEnds::read_readable };
        match read(disk, *id) {
            Ok(ends) => {
                look.read_only_features |= ends.header.features.unknown_read_only();
                look.found.segments.push(ends);
            }
            Err(error) if reach != Reach::End && error.is_damage() => {
                look.damaged_segments.insert(*id, error);
            }
            Err(error) => return Err(error),
        }
    }
    let listing = snapshot::list(disk)?;
    look.has_snapshot_temporaries = !listing.temps.is_empty();
    for listed in listing.snapshots {
        match SnapshotFile::open(disk, listed.lsn) {
            Ok(file) => {
                look.read_only_features |= file.features().unknown_read_only();
                look.found.snapshots.push(FoundSnapshot {
                    lsn: listed.lsn,
                    database: file.meta().database,
                    kept_from: file.meta().first_lsn,
                });
            }
            Err(error) if error.is_damage() => look.damaged_snapshots.push(error),
            Err(error) => return Err(error),
        }
    }
    look.found.damaged_snapshots = look.damaged_snapshots.len();
    look.found.snapshots.sort_by_key(|snapshot| snapshot.lsn);
    Ok(look)
}
