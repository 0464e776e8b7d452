//! What can be asked of a directory without opening the database in it.
//!
//! - Nothing of it is changed. What is made of it is made elsewhere, and has its name only once it is
//!   whole.

use std::path::Path;
use std::sync::Arc;

use super::{Options, Replay, RunView, StateDigest, View, empty_instances, found};
use crate::disk::{DiskRef, OsDisk};
use crate::error::{Error, Result};
use crate::id::{DatabaseId, Lsn, RunId};
use crate::recovery::{self, Inspected, Reach, RecoveryReport, Settings};
use crate::registry::PrimitiveRegistry;
use crate::replay;
use crate::snapshot;

/// Reads the database in the directory `path` as opening would, and says what state it holds. Nothing
/// is changed, and nothing of it can be; the database must not be open.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// # Database::open(path)?.transaction(|tx| tx.on::<KvStore>().put(b"key", b"value"))?;
/// let view = freehold::inspect(path)?;
/// assert_eq!(view.on::<KvStore>().len(), 1);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What opening would refuse.
pub fn inspect(path: impl AsRef<Path>) -> Result<View> {
    Ok(read(path.as_ref(), Reach::End)?.view)
}

/// Reads the database in the directory `path` up to the record `lsn`, and says what state it had then.
/// What lies behind that record is not looked at, so damage there is not in the way. Nothing is changed;
/// the database must not be open.
///
/// # Errors
///
/// What opening would refuse, up to that record; [`Error::NoLsn`] if it is not there, or what led to
/// it is not kept any more.
pub fn inspect_at(path: impl AsRef<Path>, lsn: Lsn) -> Result<View> {
    Ok(read(path.as_ref(), Reach::Until(lsn))?.view)
}

/// Reads a damaged database in the directory `path` as far as it is whole: up to the last record before
/// the first damage; or, where that lies in what a snapshot covers, up to the first damage behind that
/// snapshot. Returns the state there, and a report whose
/// [`stopped_at`](RecoveryReport::stopped_at) names the damage. Nothing is changed, so what lies behind
/// stays as it is; the database must not be open.
///
/// Commits that were acknowledged are missing in that state, which is why no opening ever does this.
///
/// # Errors
///
/// What opening would refuse for other reasons than damage to the log.
pub fn salvage(path: impl AsRef<Path>) -> Result<(View, RecoveryReport)> {
    let Reading { view, report, .. } = read(path.as_ref(), Reach::Damage)?;
    Ok((view, report))
}

/// Makes a new database in the directory `into`, with the state that the one in `path` had before the
/// record `lsn`: the way on when that record, or something behind it, is damaged. What is in `path` is
/// not changed. Returns the LSN of the state, one less than `lsn`.
///
/// Runs have their state there, and not their history: the new database has a snapshot and no log before
/// it, so none of them can be [replayed](crate::Database::replay_run), and no earlier state can be seen.
/// In the old one they can, as far as it is whole.
///
/// `into` is nothing, or an empty directory; beside it, `into` with `.part` behind its name is used
/// meanwhile.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let (path, into) = (directory.path().join("old"), directory.path().join("new"));
/// let db = Database::open(&path)?;
/// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"good"))?;
/// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"a mistake"))?;
/// let mistake = db.view().lsn();
/// db.close()?;
///
/// freehold::stop_before(&path, mistake, &into)?;
/// let db = Database::open(&into)?;
/// assert_eq!(db.view().on::<KvStore>().get(b"key").as_deref(), Some(&b"good"[..]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`inspect_at`]; [`Error::NotEmpty`] if there is something in `into`; those of the disk.
pub fn stop_before(path: impl AsRef<Path>, lsn: Lsn, into: impl AsRef<Path>) -> Result<Lsn> {
    Ok(state_before(path.as_ref(), lsn, into.as_ref())?.lsn())
}

/// As [`stop_before`], with the state.
pub(crate) fn state_before(path: &Path, lsn: Lsn, into: &Path) -> Result<View> {
    let before = lsn.0.checked_sub(1).map(Lsn);
    let before = before.ok_or(Error::NoLsn { lsn, nearest: Lsn::ZERO })?;
    let view = inspect_at(path, before)?;
    found(&view.published, into)?;
    Ok(view)
}

/// Reads every file of the database in the directory `path` and says what opening it would find,
/// the torn tail it would cut included. Nothing is changed; the database must not be open.
///
/// What is damaged and not needed by opening is no error: [`RecoveryReport::has_damage`] asks for it, and
/// the report names it.
///
/// # Errors
///
/// What opening would refuse.
pub fn verify(path: impl AsRef<Path>) -> Result<RecoveryReport> {
    let settings = Settings { check_all: true, ..Options::new().recovery() };
    let disk = disk(path.as_ref());
    let mut report = recovery::verify(&disk, PrimitiveRegistry::linked()?, &settings)?;
    report.damaged_history = replay::damage(&disk)?;
    Ok(report)
}

/// What replaying each run came to, beside the run's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RunsComparison {
    /// How many runs are the same replayed.
    pub same: usize,
    /// Runs whose history is not whole any more, by what [`Options::history`] said.
    pub cut: Vec<RunId>,
    /// Runs that are another state replayed: an operation does not do again what it did.
    pub different: Vec<RunId>,
    /// Runs that cannot be replayed, each with why.
    pub failed: Vec<(RunId, Box<str>)>,
}

/// Replays each run of the database in the directory `path` from its own records, and compares it with
/// its state. Nothing is changed; the database must not be open.
///
/// # Errors
///
/// What opening would refuse.
pub fn compare_runs(path: impl AsRef<Path>) -> Result<RunsComparison> {
    let db = Options::new().read_only(true).on_warning(|_, _| {}).open(path)?;
    let (view, db) = (db.view(), db.core());
    let mut comparison = RunsComparison::default();
    let runs: Vec<RunView> = view.runs().filter_map(|row| view.run(row.id)).collect();
    let mut left = runs.iter().zip(view.runs());
    db.read_runs(runs.iter().map(|run| (run.id(), run.last_lsn())), |run, log| {
        let Some((live, row)) = left.next() else { return Ok(()) };
        let replayed = log.and_then(|log| Replay::new(&view, row.clone(), log).view()?.digest());
        match replayed {
            Ok(replayed) if replayed == live.digest()? => comparison.same += 1,
            Ok(_) => comparison.different.push(run),
            Err(Error::HistoryCut { .. }) => comparison.cut.push(run),
            Err(error) => comparison.failed.push((run, error.to_string().into())),
        }
        Ok(())
    })?;
    Ok(comparison)
}

/// What replaying came to, beside what a snapshot says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The newest snapshot: the record that it covers.
    pub snapshot_lsn: Lsn,
    /// What the snapshot has and replaying has not, or has otherwise: nothing if they agree.
    pub only_in_snapshot: Vec<StateDigest>,
    /// What replaying has and the snapshot has not, or has otherwise.
    pub only_in_replay: Vec<StateDigest>,
}

/// Reads the newest snapshot of the database in the directory `path`, replays the log up to it from what
/// lies before, and compares the two states: they differ if an operation does not do again what it did.
/// `None` if there is no snapshot, it is damaged, or the log does not reach back any more. Nothing is changed; the
/// database must not be open.
///
/// # Errors
///
/// What opening would refuse, and damage to the log that leads to the snapshot, which opening does not read.
pub fn compare_replay(path: impl AsRef<Path>) -> Result<Option<Comparison>> {
    let path = path.as_ref();
    let Some(newest) = snapshot::list(&disk(path))?.snapshots.first().map(|listed| listed.lsn)
    else {
        return Ok(None);
    };
    let loaded = read(path, Reach::Until(newest))?;
    if loaded.report.snapshot_lsn != Some(newest) {
        // It was passed over for an older one: `verify` says why.
        return Ok(None);
    }
    let loaded = loaded.view.digest()?;
    let replayed = match read(path, Reach::Replayed(newest)) {
        Ok(reading) => reading.view.digest()?,
        Err(Error::NoLsn { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let without = |these: &[StateDigest], those: &[StateDigest]| {
        these.iter().filter(|digest| !those.contains(digest)).cloned().collect()
    };
    Ok(Some(Comparison {
        snapshot_lsn: newest,
        only_in_snapshot: without(&loaded, &replayed),
        only_in_replay: without(&replayed, &loaded),
    }))
}

/// A state that was read, and what of it.
struct Reading {
    view: View,
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only the tool asks"))]
    database: DatabaseId,
    report: RecoveryReport,
}

fn read(path: &Path, reach: Reach) -> Result<Reading> {
    read_from(&disk(path), reach)
}

fn read_from(disk: &DiskRef, reach: Reach) -> Result<Reading> {
    let registry = PrimitiveRegistry::linked()?;
    let settings = Settings { reach, ..Options::new().recovery() };
    let Inspected { mut state, database, report } = recovery::inspect(disk, registry, &settings)?;
    let published = Arc::new(state.publish_all());
    Ok(Reading { view: View { published, empty: empty_instances(registry) }, database, report })
}

/// As [`inspect`], and which database it is.
#[cfg(feature = "cli")]
pub(crate) fn inspect_named(path: &Path) -> Result<(View, DatabaseId)> {
    let Reading { view, database, .. } = read(path, Reach::End)?;
    Ok((view, database))
}

pub(super) fn disk(path: &Path) -> DiskRef {
    Arc::new(OsDisk::new(path))
}

#[cfg(test)]
#[expect(unsafe_code, reason = "a primitive's place in the registry is a linker section")]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::id::SegmentId;
    use crate::prelude::{OrdMap, operations, primitive};
    use crate::testing::{SimDisk, Survival};
    use crate::wal::scan::SegmentEnds;

    /// Counts: record *n* makes it *n*.
    #[primitive(id = 0xf9, wal = 0xf9)]
    #[derive(Clone, Default)]
    struct Counts {
        counts: OrdMap<u64, u64>,
    }

    #[operations]
    impl Counts {
        #[wal(0xf9)]
        fn count(&mut self) {
            let next = self.counts.len() as u64 + 1;
            self.counts.insert(next, next);
        }
    }

    fn open(disk: &SimDisk) -> Result<Database> {
        let options = Options::new().segment_bytes(4 << 10).checkpoint_on_close(false).threads(1);
        options.disk(disk.shared()).on_warning(|_, _| {}).open("")
    }

    /// A closed database, and the LSN of its newest snapshot.
    struct Sample {
        disk: SimDisk,
        newest: u64,
    }

    const LAST: u64 = 300;

    /// Snapshots at these records, and segments between and behind them.
    fn sample(seed: u64, snapshots: [u64; 2]) -> Sample {
        let disk = SimDisk::new(seed);
        let db = open(&disk).unwrap();
        for lsn in 1..=LAST {
            db.transaction(|tx| tx.on::<Counts>().count()).unwrap();
            if snapshots.contains(&lsn) {
                db.checkpoint().unwrap();
            }
        }
        db.close().unwrap();
        Sample { disk: disk.after_crash(Survival::Everything), newest: snapshots[1] }
    }

    fn lsn_of(view: &View, place: &str) -> u64 {
        let counts = &view.on::<Counts>().counts;
        assert_eq!(counts.len() as u64, view.lsn().0, "{place}: a state that never was");
        view.lsn().0
    }

    /// What becomes of a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Harm {
        Flipped(u64),
        Unreadable(u64),
        Cut(u64),
        Lost,
        Foreign,
    }

    impl Harm {
        /// In a header, in some record or block, and at the end of a footer, if there is one.
        fn all_of(path: &Path, sample: &SimDisk) -> Vec<Harm> {
            let bytes = sample.bytes(path).unwrap().len() as u64;
            let middle = match segment(path, sample) {
                Some(ends) => (ends.header_len + ends.footer.unwrap().records_end) / 2,
                None => bytes / 2,
            };
            let places = [20, middle, bytes - 4].map(|at| at.min(bytes - 1));
            let harms = places
                .into_iter()
                .flat_map(|at| [Harm::Flipped(at), Harm::Unreadable(at), Harm::Cut(at)]);
            harms.chain([Harm::Lost, Harm::Foreign]).collect()
        }

        fn done_to(self, path: &Path, sample: &SimDisk, other: &SimDisk) -> SimDisk {
            let disk = sample.after_kill();
            match self {
                Harm::Flipped(at) => assert!(disk.flip(path, at, 0x10)),
                Harm::Unreadable(at) => disk.spoil(path, at / 512 * 512..at / 512 * 512 + 512),
                Harm::Cut(at) => disk.put(path, &sample.bytes(path).unwrap()[..at as usize]),
                Harm::Lost => disk.lose(path),
                Harm::Foreign => disk.put(path, &other.bytes(path).unwrap()),
            }
            disk
        }
    }

    fn segment(path: &Path, sample: &SimDisk) -> Option<SegmentEnds> {
        let id = path.file_stem()?.to_str()?.parse().ok()?;
        let is_one = path.starts_with("wal");
        is_one.then(|| SegmentEnds::read(&sample.shared(), SegmentId(id)).unwrap())
    }

    /// The least that must be left: all, if a snapshot covers what was harmed.
    fn least_without(sample: &Sample, path: &Path, harm: Harm) -> u64 {
        let Some(ends) = segment(path, &sample.disk) else { return LAST };
        let (first, footer) = (ends.header.first_lsn.0, ends.footer.unwrap());
        if footer.last_lsn.0 <= sample.newest {
            return LAST;
        }
        let records = ends.header_len + 512..footer.records_end - 512;
        let before = match harm {
            Harm::Flipped(at) | Harm::Unreadable(at) | Harm::Cut(at) if records.contains(&at) => {
                first
            }
            _ => first - 1,
        };
        before.max(sample.newest)
    }

    #[test]
    fn what_one_damage_leaves_is_found_and_can_be_read_by_its_lsn() {
        let mut outcomes = std::collections::BTreeMap::new();
        // With records behind the newest snapshot, and as a close leaves it, with none.
        for snapshots in [[100, 200], [200, LAST]] {
            let (sample, other) = (sample(1, snapshots), sample(2, snapshots));
            for (path, _) in sample.disk.files() {
                if path == Path::new("LOCK") {
                    continue;
                }
                for harm in Harm::all_of(&path, &sample.disk) {
                    let disk = harm.done_to(&path, &sample.disk, &other.disk);
                    let outcome = look_for_what_is_left(&sample, &disk, &path, harm);
                    *outcomes.entry(outcome).or_insert(0) += 1;
                }
            }
        }
        println!("{outcomes:?}");
        assert!(outcomes.len() == 3 && outcomes.values().all(|count| *count > 5), "{outcomes:?}");
    }

    fn look_for_what_is_left(
        sample: &Sample,
        disk: &SimDisk,
        path: &Path,
        harm: Harm,
    ) -> &'static str {
        let place = format!("{} {harm:?}", path.display());
        let refusal = match open(&disk.after_kill()) {
            Ok(db) => {
                assert_eq!(lsn_of(&db.view(), &place), LAST, "{place}");
                return "opened";
            }
            Err(refusal) => refusal,
        };
        let before = disk.fingerprint();
        let Reading { view, report, .. } = read_from(&disk.shared(), Reach::Damage)
            .unwrap_or_else(|error| panic!("{place}: {refusal}; then {error}"));
        let lsn = lsn_of(&view, &place);
        let stopped_at = report.stopped_at.unwrap_or_else(|| panic!("{place}: {refusal}"));
        let name = path.to_str().unwrap();
        assert!(stopped_at.contains(name), "{name} is harmed: {stopped_at}");
        let least = least_without(sample, path, harm);
        assert!(least <= lsn, "{place}: {lsn} of {least}, stopped at {stopped_at}");
        let until = read_from(&disk.shared(), Reach::Until(Lsn(lsn)))
            .unwrap_or_else(|error| panic!("{place}: {lsn} is good; then {error}"));
        assert_eq!(lsn_of(&until.view, &place), lsn);
        assert_eq!(disk.fingerprint(), before, "{place}: something was written");
        if lsn == LAST { "refused, all is there" } else { "refused" }
    }

    #[test]
    fn a_state_whose_snapshot_is_there_needs_no_log() {
        let Sample { disk, .. } = sample(1, [100, 200]);
        for (path, _) in disk.files() {
            if path.starts_with("wal") {
                disk.lose(&path);
                let reading = read_from(&disk.shared(), Reach::Until(Lsn(100)));
                let reading = reading.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(lsn_of(&reading.view, "until"), 100);
            }
        }
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_is_passed_over_and_followed_by_others() {
        let Sample { disk, .. } = sample(3, [100, 200]);
        let newest = Path::new("snapshots/00000000000000000200.snapshot");
        let bytes = disk.bytes(newest).unwrap().len() as u64;
        for offset in (0..bytes).step_by(512) {
            let disk = disk.after_kill();
            disk.spoil(newest, offset..offset + 1);
            let db = open(&disk).unwrap();
            assert_eq!(lsn_of(&db.view(), "opened"), LAST);
            assert_eq!(db.recovery_report().damaged_snapshots.len(), 1, "{offset}");
            db.transaction(|tx| tx.on::<Counts>().count()).unwrap();
            let report = db.checkpoint().unwrap();
            assert_eq!((report.lsn.0, report.snapshots_removed), (LAST + 1, 0));
            assert!(disk.bytes(Path::new("snapshots/00000000000000000100.snapshot")).is_some());
        }
    }
}
