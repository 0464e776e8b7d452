//! What opening found and did, and what it says while it goes on.

use std::fmt;
use std::time::Duration;

use crate::error::Link;
use crate::id::{Lsn, RunId, SegmentId};

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The last record the loaded snapshot covers; `None` if none was loaded.
    pub snapshot_lsn: Option<Lsn>,
    /// Snapshots that could not be used, newest first, each with what is wrong with it.
    pub damaged_snapshots: Vec<Box<str>>,
    /// Damaged segments that the state does not need, each with what is wrong with it. Those below the
    /// oldest snapshot, with what stands before them: the repair removes them, unless they hold history
    /// that is to be kept. And of [`verify`](crate::verify) and [`backup`](crate::backup) those that the
    /// loaded snapshot covers, of which opening reads the ends alone: without them no older snapshot
    /// leads to this state, and what runs did in them cannot be replayed.
    pub damaged_segments: Vec<Box<str>>,
    /// Of [`verify`](crate::verify) and [`backup`](crate::backup): history files of runs that are damaged,
    /// each with what is wrong with it. No opening needs them.
    pub damaged_history: Vec<Box<str>>,
    /// The last record of the recovered state; 0 in a new database.
    pub last_lsn: Lsn,
    /// WAL segments read from the loaded snapshot on.
    pub segments: usize,
    /// Records replayed.
    pub records: u64,
    /// Entries replayed, by primitive.
    pub entries: Vec<PrimitiveEntries>,
    /// The damage that reading stopped at, where it may: [`salvage`](crate::salvage).
    pub stopped_at: Option<Box<str>>,
    /// What of the log behind that damage can still be read.
    pub behind: Option<Behind>,
    /// Why nothing can be written, if that is so.
    pub read_only: Option<Box<str>>,
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
    /// Primitives in the data that are not linked.
    pub detached: Vec<DetachedPrimitive>,
    /// Runs, without the root.
    pub runs: usize,
    /// Bytes of the WAL after the loaded snapshot.
    pub wal_bytes_since_snapshot: u64,
    /// How long each phase took.
    pub times: PhaseTimes,
}

/// What stands behind a damage. It is read to say what is at stake, and never applied: what came before
/// it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Behind {
    /// Records that can be read, each by itself.
    pub records: u64,
    /// The first of them.
    pub first_lsn: Option<Lsn>,
    /// The last of them.
    pub last_lsn: Option<Lsn>,
    /// The primitives that they have entries of.
    pub primitives: Vec<Box<str>>,
    /// The runs that they concern.
    pub runs: Vec<RunId>,
    /// Segments that cannot be read at all, each with what is wrong with it.
    pub unreadable: Vec<Box<str>>,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can be read behind it", Count(self.records, "record"))?;
        if let (Some(first), Some(last)) = (self.first_lsn, self.last_lsn) {
            write!(f, ", LSN {first} to {last}; of ")?;
            let mut names = self.primitives.iter().map(|name| &**name).peekable();
            while let Some(name) = names.next() {
                write!(f, "{name}{}", if names.peek().is_some() { ", " } else { "; " })?;
            }
            let shown = 8;
            f.write_str(if self.runs.len() == 1 { "run" } else { "runs" })?;
            for run in self.runs.iter().take(shown) {
                write!(f, " {run}")?;
            }
            if let Some(more) = self.runs.len().checked_sub(shown).filter(|more| *more > 0) {
                write!(f, " and {more} more")?;
            }
        }
        for damage in &self.unreadable {
            write!(f, "; {damage}")?;
        }
        Ok(())
    }
}

/// How many entries of one primitive were replayed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PrimitiveEntries {
    /// The primitive's name.
    pub primitive: Box<str>,
    /// Its type ID.
    pub type_id: u8,
    /// Entries replayed, or carried if it is detached.
    pub entries: u64,
}

/// A torn tail: the unfinished end of the last segment, never acknowledged as synced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cut {
    /// The segment.
    pub segment: SegmentId,
    /// Where the cut begins, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes up to the last one that is not zero.
    pub bytes: u64,
    /// Where a copy of them is, below the database's directory; empty if nothing was cut yet.
    pub quarantine: Box<str>,
}

/// A primitive in the data that is not linked. Everything of it is carried through.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DetachedPrimitive {
    /// Its name.
    pub primitive: Box<str>,
    /// Its type ID.
    pub type_id: u8,
    /// The crate that registered it when it last wrote.
    pub crate_name: Box<str>,
    /// That crate's version.
    pub crate_version: Box<str>,
    /// [`Options::detach`](crate::Options::detach) names it.
    pub asked_for: bool,
    /// Bytes carried.
    pub bytes: u64,
}

impl fmt::Display for DetachedPrimitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { primitive, type_id, crate_name, crate_version, asked_for, bytes } = self;
        let crate_of = format_args!("crate {crate_name} {crate_version}");
        if *asked_for {
            let carried = Count(*bytes, "byte");
            return write!(
                f,
                "{primitive} (type ID {type_id:#04x}, {crate_of}) is detached: {carried} carried"
            );
        }
        let link = Link { primitive, crate_name };
        write!(
            f,
            "{primitive} (type ID {type_id:#04x}, {crate_of}) is in the data and not linked: {} \
             carried; to use it {link}",
            Count(*bytes, "byte")
        )
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { segment, offset, bytes, quarantine } = self;
        write!(f, "torn tail: segment {segment} at {offset}, {} ", Count(*bytes, "byte"))?;
        match &**quarantine {
            "" => f.write_str("would be cut, never acknowledged as synced"),
            _ => write!(f, "cut, copied to {quarantine}"),
        }
    }
}

impl RecoveryReport {
    /// Whether something is damaged: snapshots, segments or history files that the state does not need,
    /// or what reading stopped at. A torn tail is no damage.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        !self.damaged_snapshots.is_empty()
            || !self.damaged_segments.is_empty()
            || !self.damaged_history.is_empty()
            || self.stopped_at.is_some()
    }

    /// What somebody should know: primitives in the data that are not linked, each with what links
    /// it, snapshots that could not be used, segments that are damaged and not needed, a torn tail that
    /// was cut, and that nothing can be written.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let detached = self.detached.iter().filter(|row| !row.asked_for).map(ToString::to_string);
        let damaged =
            self.damaged_snapshots.iter().map(|damage| format!("snapshot not used: {damage}"));
        let segments = self.damaged_segments.iter();
        let segments = segments.map(|damage| format!("segment not needed and damaged: {damage}"));
        let cut = self.cut.iter().map(ToString::to_string);
        let read_only = self.read_only.iter().map(|why| format!("open only to be read: {why}"));
        detached.chain(damaged).chain(segments).chain(cut).chain(read_only)
    }
}

/// How long each phase of opening took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PhaseTimes {
    /// Listing, headers, footers, mark.
    pub plan: Duration,
    /// Sections of the snapshot, indexes rebuilt.
    pub load: Duration,
    /// Reading and replaying the WAL.
    pub replay: Duration,
    /// Building deferred indexes; zero if the options leave it to their first use.
    pub index: Duration,
    /// Changing files: repair and the new segment.
    pub repair: Duration,
}

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes to do in this phase.
    pub bytes_total: u64,
    /// The last record seen.
    pub lsn: Lsn,
    /// The primitive whose instance is loaded next, or whose index is built.
    pub primitive: Option<&'static str>,
}

/// A phase of opening that can take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Loading a snapshot.
    Load,
    /// Replaying the WAL.
    Replay,
    /// Building deferred indexes. It counts no bytes: both numbers are 0.
    Index,
}

/// What a progress callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop; opening returns [`Error::Cancelled`](crate::Error::Cancelled), no file was changed.
    Cancel,
}

/// A number of things, with the plural where it belongs.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(count, what) = self;
        write!(f, "{count} {what}{}", if *count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.snapshot_lsn {
            Some(lsn) => write!(f, "snapshot at LSN {lsn}")?,
            None => f.write_str("no snapshot")?,
        }
        writeln!(
            f,
            "; {} replayed from {}; state is at LSN {}; {}",
            Count(self.records, "record"),
            Count(self.segments as u64, "segment"),
            self.last_lsn,
            Count(self.runs as u64, "run"),
        )?;
        for row in &self.entries {
            writeln!(f, "  {}: {} entries", row.primitive, row.entries)?;
        }
        for damage in &self.damaged_snapshots {
            writeln!(f, "  snapshot not used: {damage}")?;
        }
        for damage in &self.damaged_history {
            writeln!(f, "  history file damaged: {damage}")?;
        }
        for damage in &self.damaged_segments {
            writeln!(f, "  segment not needed and damaged: {damage}")?;
        }
        if let Some(because) = &self.read_only {
            writeln!(f, "  open only to be read: {because}")?;
        }
        if let Some(damage) = &self.stopped_at {
            writeln!(f, "  stopped at damage: {damage}")?;
            if let Some(behind) = &self.behind {
                writeln!(f, "  {behind}")?;
            }
        }
        if let Some(cut) = &self.cut {
            writeln!(f, "  {cut}")?;
        }
        for row in &self.detached {
            writeln!(f, "  {row}")?;
        }
        let times = self.times;
        write!(
            f,
            "  plan {:.1?}, load {:.1?}, replay {:.1?}, ",
            times.plan, times.load, times.replay
        )?;
        if times.index > Duration::ZERO {
            write!(f, "index {:.1?}, ", times.index)?;
        }
        write!(f, "repair {:.1?}", times.repair)
    }
}
