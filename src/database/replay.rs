//! What a run did, step by step.

use std::fmt;
use std::sync::Arc;

use super::{Database, RunView, View};
use crate::error::{Error, Result};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::Frozen;
use crate::registry::PrimitiveRegistry;
use crate::replay::{self, RunLog};
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
pub struct Step {
    /// From 1.
    pub step: usize,
    /// The record. Of what was [imported](Database::import_run), or copied by
    /// [`fork_at`](Database::fork_at), the one it was first logged in.
    pub lsn: Lsn,
    /// When it was committed.
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
    /// [`Options::history`](crate::Options::history) says; always for a database in memory.
    /// [`Error::Corrupt`] if a file is damaged.
    pub fn replay_run(&self, run: RunId) -> Result<Replay> {
        self.core().refuse_nested("replay_run")?;
        let view = self.view();
        let row = match view.published.table.get(run) {
            Some(row) => row.clone(),
            None if run == RunId::ROOT => {
                RunRow { id: run, name: "root".into(), created_lsn: Lsn::ZERO, parent: None }
            }
            None => return Err(Error::NoRun { run: run.to_string().into() }),
        };
        let last = match run {
            RunId::ROOT => view.lsn(),
            _ => view.published.runs.get(&run).map_or(row.created_lsn, |run| run.last_lsn),
        };
        let log = Arc::new(self.core().read_run(run, last)?);
        let ends = log.steps();
        Ok(Replay { registry: view.published.registry, empty: view.empty, row, log, ends })
    }
}

impl Replay {
    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.row.id
    }

    /// The run's records in order, those before its fork among them.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(at, (start, end))| {
            let first = self.log.entries.get(start).map(|entry| &entry.told);
            Step {
                step: at + 1,
                lsn: first.map_or(Lsn::ZERO, |first| first.lsn),
                timestamp: first.map_or(Timestamp(0), |first| first.timestamp),
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
        let steps = steps.min(self.ends.len());
        let count = steps.checked_sub(1).and_then(|last| self.ends.get(last)).copied();
        let entries = self.log.entries.get(..count.unwrap_or(0)).unwrap_or_default();
        let run = replay::build(self.registry, &self.log, entries)?;
        let last = entries.last();
        let at =
            last.map_or((Lsn::ZERO, Timestamp(0)), |last| (last.told.lsn, last.told.timestamp));
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
        let steps = self.steps().take_while(|step| step.lsn <= lsn).count();
        self.until_step(steps)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("run", &self.row.id).finish_non_exhaustive()
    }
}
