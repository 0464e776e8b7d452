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

/// Reads a damaged database in the directory `path` up to the last whole record before the first
/// damage: the state there, and a report whose
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
    let registry = PrimitiveRegistry::linked()?;
    let settings = Settings { reach, ..Options::new().recovery() };
    let Inspected { mut state, database, report } =
        recovery::inspect(&disk(path), registry, &settings)?;
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
