//! The plan: which snapshot, which segments. A pure function of what was found; it reads nothing.
//!
//! - Segments are numbered without a gap from the first one needed to the last, and each continues
//!   its predecessor.
//! - What lies before a gap, and wholly at or below the oldest usable snapshot, is of no use: a crash
//!   in the middle of pruning leaves it.
//! - Nothing is ever skipped to make opening succeed.

use std::path::Path;

use crate::error::{Damage, Error, Result};
use crate::format::mark::SyncedMark;
use crate::id::{DatabaseId, Lsn, SegmentId};
use crate::recovery::case::Place;
use crate::recovery::look::Look;
use crate::wal::names::{MARK, segment_path};
use crate::wal::scan::SegmentEnds;

/// A snapshot file, as far as it was read: its header.
#[derive(Clone)]
pub(super) struct FoundSnapshot {
    pub(super) lsn: Lsn,
    pub(super) database: DatabaseId,
    /// From this record on, what its runs did is kept somewhere.
    pub(super) kept_from: Lsn,
}

/// Everything that was found in a database's directory.
#[derive(Clone, Default)]
pub(super) struct Found {
    /// Ascending by number.
    pub(super) segments: Vec<SegmentEnds>,
    /// Ascending by LSN; damaged ones are left out.
    pub(super) snapshots: Vec<FoundSnapshot>,
    /// How many snapshots are damaged.
    pub(super) damaged_snapshots: usize,
    pub(super) mark: Option<SyncedMark>,
}

impl Found {
    /// The least LSN whose state the files can give, if they can give any.
    pub(super) fn floor(&self) -> Option<Lsn> {
        let first = self.segments.first().map_or(Lsn(u64::MAX), |first| first.header.first_lsn);
        if first == Lsn::ZERO.next() {
            return Some(Lsn::ZERO);
        }
        let covered = self.snapshots.iter().find(|snapshot| first <= snapshot.lsn.next());
        covered.or(self.snapshots.last()).map(|snapshot| snapshot.lsn)
    }

    /// Whose files they are: what most of them say.
    pub(super) fn database(&self) -> Option<DatabaseId> {
        let segments = self.segments.iter().map(|segment| segment.header.database);
        let snapshots = self.snapshots.iter().map(|snapshot| snapshot.database);
        let mark = self.mark.iter().map(|mark| mark.database);
        let mut votes: Vec<(DatabaseId, usize)> = Vec::new();
        for said in segments.chain(snapshots).chain(mark) {
            match votes.iter_mut().find(|(database, _)| *database == said) {
                Some((_, count)) => *count += 1,
                None => votes.push((said, 1)),
            }
        }
        // Of several with the most the last one is taken: the first file's.
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(database, _)| database)
    }

    /// What leads on from the snapshot at `lsn`, which is all that is needed if it is whole: of what it
    /// covers nothing is.
    pub(super) fn behind(&self, lsn: Lsn) -> Found {
        let is_behind =
            |at: usize, ends: &SegmentEnds| match (&ends.footer, self.segments.get(at + 1)) {
                (Ok(footer), _) => footer.last_lsn > lsn,
                (Err(_), Some(next)) => next.header.first_lsn > lsn.next(),
                (Err(_), None) => true,
            };
        let segments = self.segments.iter().enumerate().filter(|(at, ends)| is_behind(*at, ends));
        let snapshots = self.snapshots.iter().filter(|snapshot| snapshot.lsn == lsn);
        Found {
            segments: segments.map(|(_, ends)| ends.clone()).collect(),
            snapshots: snapshots.cloned().collect(),
            ..*self
        }
    }

    /// Forgets what lies behind `lsn`, and what speaks of it.
    fn cut_to(&mut self, lsn: Lsn) {
        self.segments.retain(|segment| segment.header.first_lsn <= lsn);
        self.snapshots.retain(|snapshot| snapshot.lsn <= lsn);
        self.mark = None;
    }

    /// What is wrong with the segments that the plan passes over.
    pub(super) fn damage_below(&self, plan: &Plan) -> Vec<Box<str>> {
        let passed_over = self.segments.iter().filter(|ends| plan.superfluous.contains(&ends.id));
        passed_over
            .filter_map(|ends| {
                let damage = ends.footer.as_ref().err()?;
                Some(format!("{}: {damage}", segment_path(ends.id).display()).into())
            })
            .collect()
    }
}

/// A segment to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlannedSegment {
    /// Its place in [`Found::segments`].
    pub(super) found: usize,
    pub(super) place: Place,
}

/// What to read, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The snapshots to try, newest first; `None` means to begin with the first record ever.
    pub(super) starts: Vec<Option<Lsn>>,
    /// The segments to scan, oldest first.
    pub(super) segments: Vec<PlannedSegment>,
    /// Segments that lie wholly at or below the oldest snapshot.
    pub(super) superfluous: Vec<SegmentId>,
    /// The highest LSN that mark, footers and headers prove synced, and what does.
    pub(super) proved: (Lsn, &'static str),
}

/// Why a segment before the first one is missed.
pub(super) const NO_SNAPSHOT: &str =
    "no usable snapshot covers the records before the first segment";

/// The plan, or `None` if this is a directory in which no database was ever finished.
pub(super) fn plan(found: &Found) -> Result<Option<Plan>> {
    let Some(last) = found.segments.last() else {
        return without_segments(found);
    };
    same_database(found)?;
    if let Some(mark) = found.mark.filter(|mark| mark.segment > last.id) {
        return Err(Error::Missing {
            file: segment_path(mark.segment).into(),
            because: "the synced mark names it",
        });
    }
    let floor = found.snapshots.first().map_or(Lsn::ZERO, |snapshot| snapshot.lsn);
    let superfluous = superfluous_count(&found.segments, floor);
    let needed = found.segments.get(superfluous..).unwrap_or_default();
    let segments = chain(needed, superfluous)?;
    let first_lsn = needed.first().map_or(Lsn::ZERO.next(), |first| first.header.first_lsn);
    let mut starts: Vec<Option<Lsn>> = found
        .snapshots
        .iter()
        .rev()
        .map(|snapshot| Some(snapshot.lsn))
        .filter(|start| start.is_some_and(|lsn| first_lsn <= lsn.next()))
        .collect();
    if first_lsn == Lsn::ZERO.next() {
        starts.push(None);
    }
    if starts.is_empty() {
        let before = SegmentId(needed.first().map_or(0, |first| first.id.0.saturating_sub(1)));
        return Err(Error::Missing { file: segment_path(before).into(), because: NO_SNAPSHOT });
    }
    let proved = proved(found, needed);
    if last.footer.as_ref().is_ok_and(|footer| footer.last_lsn < proved.0) {
        return Err(Error::Missing {
            file: segment_path(last.id.next()).into(),
            because: "records after the last segment were synced",
        });
    }
    Ok(Some(Plan {
        starts,
        segments,
        superfluous: found.segments.iter().take(superfluous).map(|segment| segment.id).collect(),
        proved,
    }))
}

/// The plan for the state after `lsn`.
pub(super) fn plan_until(look: &mut Look, lsn: Lsn) -> Result<Option<Plan>> {
    let found = &mut look.found;
    match found.floor() {
        // No state can be had at all, and the plan for the end says what is missing.
        None => {}
        Some(floor) if lsn < floor => return Err(Error::NoLsn { lsn, nearest: floor }),
        Some(_) => {
            found.cut_to(lsn);
            if found.segments.is_empty() && !found.snapshots.is_empty() {
                return Ok(Some(of_snapshots(found)));
            }
        }
    }
    plan(found).map_err(|refusal| look.named(refusal))
}

/// A plan that needs no log.
fn of_snapshots(found: &Found) -> Plan {
    Plan {
        starts: found.snapshots.iter().rev().map(|snapshot| Some(snapshot.lsn)).collect(),
        segments: Vec::new(),
        superfluous: Vec::new(),
        proved: (Lsn::ZERO, "nothing"),
    }
}

/// The plan for everything before the first damage. What the plan itself meets is noted in `look`.
pub(super) fn plan_before_damage(look: &mut Look) -> Result<Option<Plan>> {
    loop {
        let refusal = match plan(&look.found) {
            // Nothing is left before the damage, which does not mean that nothing was there.
            Ok(None) => {
                let first = || look.damaged_segments.pop_first().map(|(_, damage)| damage);
                return look.stopped_at.take().or_else(first).map_or(Ok(None), Err);
            }
            Ok(plan) => {
                look.name_stop();
                return Ok(plan);
            }
            Err(refusal) => refusal,
        };
        if look.found.mark.take().is_some() {
            // What it proves cannot be had, or it is another database's.
            look.stopped_at = Some(refusal);
            continue;
        }
        if look.found.segments.pop().is_none() {
            let first = look.stopped_at.take().unwrap_or(refusal);
            return Err(look.named(first));
        }
        // What opening says, and not what is missed where more and more is left out.
        look.stopped_at.get_or_insert(refusal);
        if look.found.segments.is_empty() && !look.found.snapshots.is_empty() {
            look.name_stop();
            return Ok(Some(of_snapshots(&look.found)));
        }
    }
}

fn without_segments(found: &Found) -> Result<Option<Plan>> {
    if found.snapshots.is_empty() && found.damaged_snapshots == 0 && found.mark.is_none() {
        return Ok(None);
    }
    let (id, because) = match found.mark {
        Some(mark) => (mark.segment, "the synced mark names it"),
        None => (SegmentId(1), "there is a snapshot, and so there was a log"),
    };
    Err(Error::Missing { file: segment_path(id).into(), because })
}

fn same_database(found: &Found) -> Result<()> {
    let Some(database) = found.database() else { return Ok(()) };
    for segment in &found.segments {
        if segment.header.database != database {
            return Err(foreign_segment(segment.id));
        }
    }
    for snapshot in &found.snapshots {
        if snapshot.database != database {
            return Err(foreign_snapshot(snapshot.lsn));
        }
    }
    if found.mark.is_some_and(|mark| mark.database != database) {
        return Err(Error::corrupt(Path::new(MARK), 0, Damage::Foreign { of: "synced mark" }));
    }
    Ok(())
}

pub(super) fn foreign_segment(id: SegmentId) -> Error {
    Error::corrupt(&segment_path(id), 0, Damage::Foreign { of: "segment" })
}

pub(super) fn foreign_snapshot(lsn: Lsn) -> Error {
    let path = crate::snapshot::snapshot_path(lsn);
    Error::corrupt(&path, 0, Damage::Foreign { of: "snapshot" })
}

/// How many segments, from the oldest, are of no use: those before a gap, or before one that is
/// damaged, if they hold nothing above the floor. Whole segments without a gap are kept, whatever
/// snapshots there are: they are one more way to the state if a snapshot turns out to be damaged.
fn superfluous_count(segments: &[SegmentEnds], floor: Lsn) -> usize {
    let follows = |pair: &[SegmentEnds]| match pair {
        [before, after] => before.footer.is_ok() && after.id == before.id.next(),
        _ => false,
    };
    let unbroken = segments.windows(2).rev().take_while(|pair| follows(pair)).count();
    let broken = segments.len().saturating_sub(unbroken + 1);
    let ends_below = |at: usize| match (segments.get(at), segments.get(at + 1)) {
        (Some(SegmentEnds { footer: Ok(footer), .. }), _) => footer.last_lsn <= floor,
        // Damaged, but below the floor all the same if its successor begins there.
        (Some(_), Some(next)) => next.header.first_lsn <= floor.next(),
        _ => false,
    };
    let below = (0..broken).take_while(|at| ends_below(*at)).count();
    // If something above the floor is missing, the gap is to be found and named.
    if below == broken { broken } else { below }
}

/// Checks that each segment continues the one before it.
fn chain(needed: &[SegmentEnds], skipped: usize) -> Result<Vec<PlannedSegment>> {
    let mut planned = Vec::with_capacity(needed.len());
    for (at, segment) in needed.iter().enumerate() {
        let path = segment_path(segment.id);
        if let Some(before) = at.checked_sub(1).and_then(|before| needed.get(before)) {
            if segment.id != before.id.next() {
                return Err(Error::Missing {
                    file: segment_path(before.id.next()).into(),
                    because: "segments before and after it are there",
                });
            }
            if segment.header.epoch < before.header.epoch {
                let what =
                    Damage::Epoch { found: segment.header.epoch, expected: before.header.epoch };
                return Err(Error::corrupt(&path, 0, what));
            }
            if let Ok(footer) = &before.footer {
                let differs = [
                    ("first LSN", segment.header.first_lsn.0, footer.last_lsn.next().0),
                    (
                        "checksum of the segment before",
                        u64::from(segment.header.previous_chain),
                        u64::from(footer.chain),
                    ),
                ];
                for (of, found, expected) in differs {
                    if found != expected {
                        let what = Damage::Value { of, found, expected };
                        return Err(Error::corrupt(&path, 0, what));
                    }
                }
            }
        }
        let place = match (&segment.footer, at + 1 == needed.len()) {
            (Ok(_), _) => Place::Sealed,
            (Err(_), false) => Place::Followed,
            (Err(_), true) => Place::Last,
        };
        planned.push(PlannedSegment { found: skipped + at, place });
    }
    Ok(planned)
}

/// The highest LSN proved synced by what was read so far.
fn proved(found: &Found, needed: &[SegmentEnds]) -> (Lsn, &'static str) {
    let mark = found.mark.map(|mark| (mark.lsn, "the synced mark"));
    let footer = needed
        .iter()
        .filter_map(|segment| segment.footer.as_ref().ok())
        .map(|footer| (footer.last_lsn, "a footer"));
    let header = needed
        .iter()
        .map(|segment| (Lsn(segment.header.first_lsn.0.saturating_sub(1)), "a segment's header"));
    let snapshot = found.snapshots.iter().map(|snapshot| (snapshot.lsn, "a snapshot"));
    mark.into_iter()
        .chain(footer)
        .chain(header)
        .chain(snapshot)
        .max_by_key(|(lsn, _)| *lsn)
        .unwrap_or((Lsn::ZERO, "nothing"))
}
