//! What a run did, step by step.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Database, RunView, View};
use crate::error::{Error, Result};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::Frozen;
use crate::registry::PrimitiveRegistry;
use crate::replay::{self, RunEntry, RunLog};
use crate::state::RunRow;

/// A run's records, to be replayed: all of them, or up to one of them.
///
/// They were read when this was made, and replaying them touches no file. A state that is replayed is
/// the same as the run's own was then, whatever else is in the database.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let db = Database::open(directory.path())?;
/// let agent = db.create_run("agent")?;
/// for thought in [b"wait", b"look", b"move"] {
///     db.run(agent).transaction(|tx| tx.on::<KvStore>().put(b"thought", thought))?;
/// }
/// let replay = db.replay_run(agent)?;
/// assert_eq!(replay.steps().count(), 3);
/// let then = replay.until_step(2)?;
/// assert_eq!(then.on::<KvStore>().get(b"thought").as_deref(), Some(&b"look"[..]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Replay {
    registry: &'static PrimitiveRegistry,
    empty: Arc<[Frozen]>,
    row: RunRow,
    log: Arc<RunLog>,
    /// How many entries there are up to each record.
    ends: Vec<usize>,
}

/// One record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Step {
    /// From 1.
    pub step: usize,
    /// The record. What was [imported](Database::import_run), or copied by
    /// [`fork_at`](Database::fork_at), stands in one record here, and is a step for each of the records
    /// that it was first logged in.
    pub lsn: Lsn,
    /// The LSN that its operations are told: of what was imported or copied, that of the record in which
    /// it was first logged; of what follows an import, a higher one, which may be no record's here.
    pub origin: Lsn,
    /// The time that its operations are told.
    pub timestamp: Timestamp,
    /// How many operations of the run it has.
    pub operations: usize,
}

impl Database {
    /// What `run` did, from its own records and those of the runs it was forked from, in time
    /// proportional to those and not to the database. Nothing is written.
    ///
    /// The root can be replayed as well, as long as the log reaches back to its first record; all of the
    /// log is read then.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`]. [`Error::HistoryCut`] if a record is not kept any more, by what
    /// [`Options::history`](crate::Options::history) said; always for a database in memory.
    /// [`Error::HistoryLost`] if one is missing that must be there.
    /// [`Error::Corrupt`] if a file is damaged.
    pub fn replay_run(&self, run: RunId) -> Result<Replay> {
        self.core().refuse_nested("replay_run")?;
        let view = self.view();
        let row = match view.published.table.get(run) {
            Some(row) => row.clone(),
            None if run == RunId::ROOT => {
                let (name, created_lsn) = ("root".into(), Lsn::ZERO);
                RunRow { id: run, name, created_lsn, parent: None, is_fork: false }
            }
            None => return Err(Error::NoRun { run: run.to_string().into() }),
        };
        let last = match run {
            RunId::ROOT => view.lsn(),
            _ => view.published.runs.get(&run).map_or(row.created_lsn, |run| run.last_lsn),
        };
        let mut found = None;
        self.core().read_runs([(run, last)], |_, log| {
            found = Some(Replay::new(&view, row.clone(), log?));
            Ok(())
        })?;
        found.ok_or_else(|| Error::NoRun { run: run.to_string().into() })
    }
}

impl Database {
    /// Makes a run that begins with everything that `run` had after the record `lsn`, in a transaction of
    /// its own. What is there now is forked at once, as by [`fork`](Database::fork); for what was there
    /// earlier, the run's operations up to then are logged again, all in one record.
    ///
    /// # Errors
    ///
    /// Those of [`replay_run`](Database::replay_run), and of [`fork`](Database::fork).
    pub fn fork_at(&self, run: RunId, lsn: Lsn, name: &str) -> Result<RunId> {
        self.core().refuse_nested("fork_at")?;
        let forked = self.transaction(|tx| {
            let is_all = tx.last_lsn_of(run)? <= lsn;
            is_all.then(|| tx.fork(run, name)).transpose()
        })?;
        if let Some(forked) = forked {
            return Ok(forked);
        }
        self.core().sync_applied()?;
        let replay = self.replay_run(run)?;
        let entries = replay.entries(replay.steps_until(lsn));
        let parent = (lsn > Lsn::ZERO).then_some((run, lsn));
        self.transaction(|tx| tx.do_again(name, parent, &replay.log, entries))
    }

    /// Writes everything that `run` did into the file `path`, from which
    /// [`import_run`](Database::import_run) makes the run again, in this or another database. The file
    /// says itself which primitives it needs, and is checksummed as a whole.
    ///
    /// # Errors
    ///
    /// Those of [`replay_run`](Database::replay_run); [`Error::Io`] and [`Error::NoSpace`].
    pub fn export_run(&self, run: RunId, path: impl AsRef<Path>) -> Result<()> {
        let replay = self.replay_run(run)?;
        replay::write_bundle(path.as_ref(), &replay.row, &replay.log)
    }

    /// Makes the run that is in the file `path`, with all it did, in one transaction. It is replayed as
    /// it was where it comes from: its operations are told the times and LSNs that they were told
    /// there. `name` is its name here, or else the one that it had.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`]; [`Error::Registry`] if a primitive is not linked, or another one than it was;
    /// those of [`create_run`](Database::create_run); [`Error::Rejected`] if all of it is too much for
    /// one record.
    pub fn import_run(&self, path: impl AsRef<Path>, name: Option<&str>) -> Result<RunId> {
        let registry = self.view().published.registry;
        let (was, log) = replay::read_bundle(path.as_ref(), registry)?;
        let name = name.unwrap_or(&was);
        self.transaction(|tx| tx.do_again(name, None, &log, &log.entries))
    }
}

impl Replay {
    pub(super) fn new(view: &View, row: RunRow, log: RunLog) -> Replay {
        let ends = log.steps();
        let (registry, empty) = (view.published.registry, Arc::clone(&view.empty));
        Replay { registry, empty, row, log: Arc::new(log), ends }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.row.id
    }

    /// The run's records in order, those before its fork among them.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(at, (start, end))| {
            let first = self.log.entries.get(start);
            Step {
                step: at + 1,
                lsn: first.map_or(Lsn::ZERO, |first| first.lsn),
                origin: first.map_or(Lsn::ZERO, |first| first.told.lsn),
                timestamp: first.map_or(Timestamp(0), |first| first.told.timestamp),
                operations: end - start,
            }
        })
    }

    /// The run after its last record.
    ///
    /// # Errors
    ///
    /// As [`until_step`](Replay::until_step).
    pub fn view(&self) -> Result<RunView> {
        self.until_step(self.ends.len())
    }

    /// The run after its first `steps` records, or all if it has no more.
    ///
    /// # Errors
    ///
    /// [`Error::ReplayDiverged`] if an operation does not do again what it did; what opening would
    /// refuse of the primitives that are linked.
    pub fn until_step(&self, steps: usize) -> Result<RunView> {
        let entries = self.entries(steps);
        let run = replay::build(self.registry, &self.log, entries)?.run;
        let last = entries.last();
        let at = last.map_or((Lsn::ZERO, Timestamp(0)), |last| (last.lsn, last.told.timestamp));
        let published = replay::published(self.registry, self.row.clone(), run, at);
        let view = View { published: Arc::new(published), empty: Arc::clone(&self.empty) };
        view.run(self.row.id).ok_or_else(|| Error::NoRun { run: self.row.id.to_string().into() })
    }

    /// The run as it was after the record `lsn`: after the last of its own records that is not above
    /// it.
    ///
    /// # Errors
    ///
    /// As [`until_step`](Replay::until_step).
    pub fn until(&self, lsn: Lsn) -> Result<RunView> {
        self.until_step(self.steps_until(lsn))
    }

    /// Every operation, in order.
    #[cfg(feature = "cli")]
    pub(crate) fn log(&self) -> &RunLog {
        &self.log
    }

    fn steps_until(&self, lsn: Lsn) -> usize {
        self.steps().take_while(|step| step.lsn <= lsn).count()
    }

    /// The entries of the first `steps` records.
    fn entries(&self, steps: usize) -> &[RunEntry] {
        let last = steps.min(self.ends.len()).checked_sub(1);
        let count = last.and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.log.entries.get(..count).unwrap_or_default()
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("run", &self.row.id).finish_non_exhaustive()
    }
}
