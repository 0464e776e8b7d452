//! What the state was: views of earlier records, read from the files of the open database.
//!
//! - The state after a record is made as opening makes it: from the newest snapshot at or below it,
//!   and the log up to it. Nothing is written.
//! - States that were made are kept, a few, and the next one begins with the nearest below it. So that
//!   going backwards is cheap as well, each is made by way of a round LSN before it.
//! - Whoever reads holds the files: pruning waits, so none of them is removed meanwhile.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Core, Database, History, View, locked};
use crate::disk::{DiskRef, FileRef};
use crate::error::{Error, Result};
use crate::id::{Lsn, RunId, Timestamp};
use crate::recovery::{self, Reach, Settings};
use crate::replay::{self, ListedPack, RunLog, Sources};
use crate::snapshot;
use crate::state::{Published, State};
use crate::wal::Finder;

/// How many states are kept.
const STATES_KEPT: usize = 4;

/// Every state is made by way of the one at the next lower multiple of this.
const ROUND: u64 = 1024;

/// What reads the past of a database.
pub(super) struct Past {
    disk: DiskRef,
    /// How the files were read at opening.
    settings: Settings,
    /// Held shared by who reads files, and alone by who removes some.
    files: RwLock<HistoryFiles>,
    /// States that were made, the last one used last.
    states: Mutex<Vec<Arc<Published>>>,
}

/// The history files, once somebody asked for them.
#[derive(Default)]
pub(super) struct HistoryFiles(OnceLock<Vec<Arc<ListedPack>>>);

impl Past {
    pub(super) fn new(disk: DiskRef, settings: Settings) -> Past {
        let settings = Settings { progress: None, ..settings };
        Past { disk, settings, files: RwLock::default(), states: Mutex::default() }
    }

    /// Held while files are removed.
    pub(super) fn pruning(&self) -> RwLockWriteGuard<'_, HistoryFiles> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        *files = HistoryFiles::default();
        files
    }

    fn reading(&self) -> RwLockReadGuard<'_, HistoryFiles> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `is_held`: nobody else can change the files between two calls.
    fn packs(&self, files: &HistoryFiles, is_held: bool) -> Result<Vec<Arc<ListedPack>>> {
        if let Some(packs) = files.0.get().filter(|_| is_held) {
            return Ok(packs.clone());
        }
        let packs = replay::list_packs(&self.disk)?;
        Ok(if is_held { files.0.get_or_init(|| packs).clone() } else { packs })
    }

    /// The state after `lsn`, which is not above the newest view's. The caller holds the files.
    fn state(&self, newest: &Published, lsn: Lsn) -> Result<Arc<Published>> {
        let round = Lsn(lsn.0 / ROUND * ROUND);
        let snapshots = snapshot::list(&self.disk)?.snapshots;
        let snapshot = snapshots.iter().map(|listed| listed.lsn).find(|listed| *listed <= lsn);
        let nearest = self.nearest(lsn).map(|nearest| nearest.lsn).max(snapshot);
        if nearest.unwrap_or_default() < round && round < lsn {
            // What goes wrong on the way says nothing of the state that is asked for.
            let _ = self.read(newest, round);
        }
        self.read(newest, lsn)
    }

    fn read(&self, newest: &Published, lsn: Lsn) -> Result<Arc<Published>> {
        let nearest = self.nearest(lsn);
        if let Some(nearest) = nearest.as_ref().filter(|nearest| nearest.lsn == lsn) {
            return Ok(Arc::clone(nearest));
        }
        let settings = Settings { reach: Reach::Until(lsn), ..self.settings.clone() };
        let from = nearest.map(|nearest| State::thawed(&nearest));
        let mut state = recovery::read_until(&self.disk, newest.registry, &settings, from)?;
        let state = Arc::new(state.publish_all());
        let mut states = locked(&self.states);
        if states.len() >= STATES_KEPT {
            states.remove(0);
        }
        states.push(Arc::clone(&state));
        Ok(state)
    }

    /// The nearest state at or below `lsn` that was kept.
    fn nearest(&self, lsn: Lsn) -> Option<Arc<Published>> {
        let mut states = locked(&self.states);
        let below = states.iter().enumerate().filter(|(_, state)| state.lsn <= lsn);
        let (at, _) = below.max_by_key(|(_, state)| state.lsn)?;
        let state = states.remove(at);
        states.push(Arc::clone(&state));
        Some(state)
    }
}

impl Database {
    /// Everything as it was after the record `lsn`, as far back as snapshots and the WAL reach.
    ///
    /// It is read from the files, in the time that opening takes up to there; what lies near a state
    /// that was asked for lately takes less. Writers and readers go on meanwhile; a checkpoint removes
    /// nothing until it is read.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// # #[cfg(feature = "kv")] {
    /// # let directory = tempfile::tempdir()?;
    /// # let db = Database::open(directory.path())?;
    /// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"old"))?;
    /// let then = db.view().lsn();
    /// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"new"))?;
    /// let view = db.view_at(then)?;
    /// assert_eq!(view.on::<KvStore>().get(b"key").as_deref(), Some(&b"old"[..]));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoLsn`] if the record is not there, not yet as durable as a view's must be, or
    /// what led to it is not kept any more; what opening would refuse.
    pub fn view_at(&self, lsn: Lsn) -> Result<View> {
        self.core().refuse_nested("view_at")?;
        let newest = self.view();
        if lsn == newest.lsn() {
            return Ok(newest);
        }
        if lsn > newest.lsn() {
            return Err(Error::NoLsn { lsn, nearest: newest.lsn() });
        }
        let core = self.core();
        let Some(past) = &core.past else {
            return Err(Error::NoLsn { lsn, nearest: newest.lsn() });
        };
        let _held = past.reading();
        let _lock = core.hold(past)?;
        let published = past.state(&newest.published, lsn)?;
        Ok(View { published, empty: newest.empty })
    }

    /// Everything as it was at `time`: after the last record that is not younger. As
    /// [`view_at`](Database::view_at) otherwise.
    ///
    /// # Errors
    ///
    /// As [`view_at`](Database::view_at); [`Error::NoLsn`] names the oldest state that is kept if `time`
    /// lies before it.
    pub fn view_at_time(&self, time: Timestamp) -> Result<View> {
        self.core().refuse_nested("view_at_time")?;
        let newest = self.view();
        if newest.timestamp() <= time {
            return Ok(newest);
        }
        let core = self.core();
        let Some(past) = &core.past else {
            return Err(Error::NoLsn { lsn: Lsn::ZERO, nearest: newest.lsn() });
        };
        let lsn = {
            let _held = past.reading();
            let _lock = core.hold(past)?;
            lsn_at(&past.disk, core.finder(past)?, newest.lsn(), time)?
        };
        self.view_at(lsn)
    }
}

/// The last record up to `newest` that is not younger than `time`.
fn lsn_at(disk: &DiskRef, mut finder: Finder, newest: Lsn, time: Timestamp) -> Result<Lsn> {
    let first = finder.first()?.map_or(newest.next(), |first| first.first_lsn);
    let (mut low, mut high) = (first.0, newest.0.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match finder.record(Lsn(middle))? {
            Some(found) if found.header.timestamp <= time => low = middle + 1,
            _ => high = middle,
        }
    }
    let found = Lsn(low.saturating_sub(1));
    if found >= first || found == Lsn::ZERO {
        return Ok(found);
    }
    // Before the log there is only the state with which it begins, if that is old enough.
    for listed in snapshot::list(disk)?.snapshots.iter().filter(|listed| listed.lsn == found) {
        if snapshot::SnapshotFile::open(disk, listed.lsn)?.meta().timestamp <= time {
            return Ok(found);
        }
    }
    Err(Error::NoLsn { lsn: Lsn(found.0.saturating_sub(1)), nearest: found })
}

impl Core {
    /// What keeps others from changing the files while they are read: this database's own lock, or one
    /// to read.
    fn hold(&self, past: &Past) -> Result<Option<FileRef>> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let is_held = match &self.read_only {
            Some(read_only) => locked(&read_only.lock).is_some(),
            None => true,
        };
        if is_held { Ok(None) } else { recovery::lock_to_read(&past.disk) }
    }

    fn finder(&self, past: &Past) -> Result<Finder> {
        match &self.files {
            Some(files) => Ok(locked(&files.log).finder()),
            None => Finder::of_directory(&past.disk),
        }
    }

    /// The record from which on what runs did must be there. `is_held`: no other process can have changed
    /// the files since they were opened.
    fn kept_from(&self, past: &Past, finder: &mut Finder, is_held: bool) -> Result<Lsn> {
        let nothing = Lsn(u64::MAX);
        if self.files.as_ref().is_some_and(|files| files.history == History::Wal) {
            // It is being given up.
            return Ok(nothing);
        }
        let published = self.published.load();
        if !is_held {
            // Nothing is removed but behind a new record or a new snapshot. A log that cannot be read says
            // nothing of either.
            let newest = snapshot::list(&past.disk)?.snapshots.first().map(|newest| newest.lsn);
            let has_more = !matches!(finder.record(published.lsn.next()), Ok(None));
            if has_more || newest != self.report.snapshot_lsn {
                return Ok(nothing);
            }
        }
        Ok(published.kept_from)
    }

    /// Everything that runs did, each up to its record given, one after the other.
    pub(super) fn read_runs(
        &self,
        runs: impl IntoIterator<Item = (RunId, Lsn)>,
        mut each: impl FnMut(RunId, Result<RunLog>) -> Result<()>,
    ) -> Result<()> {
        let Some(past) = &self.past else {
            let cut = |(run, lsn)| each(run, Err(Error::HistoryCut { run, lsn, left: None }));
            return runs.into_iter().try_for_each(cut);
        };
        let held = past.reading();
        let lock = self.hold(past)?;
        let packs = past.packs(&held, lock.is_none())?;
        let mut finder = self.finder(past)?;
        let kept_from = self.kept_from(past, &mut finder, lock.is_none())?;
        let mut sources = Sources::new(&past.disk, finder, packs, kept_from)?;
        for (run, last) in runs {
            let log = match replay::read_run(&mut sources, run, last) {
                // It was deleted since it was looked for, and what it did with it.
                Err(Error::HistoryLost { .. })
                    if self.published.load().table.get(run).is_none() =>
                {
                    Err(Error::NoRun { run: run.to_string().into() })
                }
                log => log,
            };
            each(run, log)?;
        }
        Ok(())
    }
}
