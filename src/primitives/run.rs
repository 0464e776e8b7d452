//! `RunIndex`: which runs there are, how each stands, and which ones a crash interrupted.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x60 `create`, 0x61 `update`, 0x62 `end`, 0x63 `begin`.
//! 2. A run's status moves along these lines and no others:
//!    created → running → completed, failed or cancelled; created → cancelled.
//! 3. A run's times and LSNs are those of the transactions that changed it.
//! 4. `counts` and `running` say what `runs` says: they are derived, stand in no snapshot, and
//!    every operation keeps them.
//! 5. The index is one for the whole database. It names runs by the [`RunId`] that the engine gave
//!    and knows nothing else of them: what a run holds stands in the run's own instances.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{RunIndex, RunOutcome, RunStatus};
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//! let (done, left) = db.transaction(|tx| {
//!     let done = tx.create_run("nightly")?;
//!     let left = tx.create_run("import")?;
//!     let mut index = tx.on::<RunIndex>();
//!     for (run, name) in [(done, "nightly"), (left, "import")] {
//!         index.create(run, name)?;
//!         index.begin(run)?;
//!     }
//!     index.update(done, "model", Some("small"))?;
//!     index.end(done, RunOutcome::Completed)?;
//!     Ok((done, left))
//! })?;
//! db.close()?;
//!
//! // After the next opening: what was begun and not ended, and has not been touched since.
//! let db = Database::open(dir.path())?;
//! let view = db.view();
//! let index = view.on::<RunIndex>();
//! let orphaned: Vec<RunId> = index.orphaned(db.recovery_report().last_lsn).map(|(run, _)| run).collect();
//! assert_eq!(orphaned, [left]);
//! assert_eq!(index.get(done).unwrap().status(), RunStatus::Completed);
//! assert_eq!(index.counts().running, 1);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use freehold::prelude::*;

/// The runs of a database: name, status, times and metadata of each.
#[primitive(id = 6, wal = 0x60..=0x63, name = "run", scope = root)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunIndex {
    runs: OrdMap<RunId, Arc<IndexedRun>>,
    #[index(rebuild = |index| RunCounts::of(&index.runs))]
    counts: RunCounts,
    #[index(rebuild = |index| running(&index.runs))]
    running: OrdSet<RunId>,
}

/// A run as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct IndexedRun {
    name: String,
    status: RunStatus,
    created: Timestamp,
    begun: Option<Timestamp>,
    ended: Option<Timestamp>,
    changed: Timestamp,
    changed_lsn: Lsn,
    metadata: BTreeMap<String, String>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub enum RunStatus {
    /// Known, and not begun.
    Created,
    /// Begun, and not ended. After a crash: [`RunIndex::orphaned`].
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Given up, perhaps before it began.
    Cancelled,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub enum RunOutcome {
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was given up.
    Cancelled,
}

/// How many runs there are of each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Known, and not begun.
    pub created: u64,
    /// Begun, and not ended.
    pub running: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended badly.
    pub failed: u64,
    /// Given up.
    pub cancelled: u64,
}

/// Why an operation on a [`RunIndex`] was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// `create` found the run in the index already.
    #[error("run {run}: is in the index already, as {status}")]
    Exists {
        /// The run.
        run: RunId,
        /// How it stands.
        status: RunStatus,
    },
    /// The run is not in the index.
    #[error("run {run}: is not in the index, expected one that was created")]
    Absent {
        /// The run.
        run: RunId,
    },
    /// A run does not go from the one status to the other.
    #[error("run {run}: is {found}, expected {expected}")]
    NotAllowed {
        /// The run.
        run: RunId,
        /// How it stands.
        found: RunStatus,
        /// How it must stand for the operation.
        expected: &'static str,
    },
}

#[operations]
impl RunIndex {
    /// Puts `run` into the index under `name`, which may be any text and need not be unique. Its
    /// status is [`RunStatus::Created`].
    ///
    /// # Errors
    ///
    /// [`RunError::Exists`] if the run is in the index already.
    #[wal(0x60)]
    pub fn create(&mut self, context: &OpContext, run: RunId, name: &str) -> Result<(), RunError> {
        if let Some(known) = self.runs.get(&run) {
            return Err(RunError::Exists { run, status: known.status });
        }
        let now = context.timestamp();
        let created = IndexedRun {
            name: name.to_owned(),
            status: RunStatus::Created,
            created: now,
            begun: None,
            ended: None,
            changed: now,
            changed_lsn: context.lsn(),
            metadata: BTreeMap::new(),
        };
        self.runs.insert(run, Arc::new(created));
        self.counts.add(RunStatus::Created);
        Ok(())
    }

    /// Sets the run's metadata under `key` to `value`, or removes it. Also allowed when the run
    /// has ended, for what is learnt of it later.
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index.
    #[wal(0x61)]
    pub fn update(
        &mut self,
        context: &OpContext,
        run: RunId,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), RunError> {
        let known = self.changed(context, run)?;
        match value {
            Some(value) => known.metadata.insert(key.to_owned(), value.to_owned()),
            None => known.metadata.remove(key),
        };
        Ok(())
    }

    /// Ends the run: a running one with any outcome, one that never began as cancelled.
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index, [`RunError::NotAllowed`] if it has
    /// ended already or never began.
    #[wal(0x62)]
    pub fn end(
        &mut self,
        context: &OpContext,
        run: RunId,
        outcome: RunOutcome,
    ) -> Result<(), RunError> {
        let found = self.status_of(run)?;
        match (found, outcome) {
            (RunStatus::Running, _) | (RunStatus::Created, RunOutcome::Cancelled) => {}
            (RunStatus::Created, RunOutcome::Completed | RunOutcome::Failed)
            | (RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled, _) => {
                return Err(RunError::NotAllowed { run, found, expected: "running" });
            }
        }
        let known = self.changed(context, run)?;
        known.status = outcome.into();
        known.ended = Some(context.timestamp());
        self.counts.remove(found);
        self.counts.add(outcome.into());
        self.running.remove(&run);
        Ok(())
    }

    /// Begins the run: from created to running.
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index, [`RunError::NotAllowed`] if it was
    /// begun or ended already.
    #[wal(0x63)]
    pub fn begin(&mut self, context: &OpContext, run: RunId) -> Result<(), RunError> {
        let found = self.status_of(run)?;
        if found != RunStatus::Created {
            return Err(RunError::NotAllowed { run, found, expected: "created" });
        }
        let known = self.changed(context, run)?;
        known.status = RunStatus::Running;
        known.begun = Some(context.timestamp());
        self.counts.remove(found);
        self.counts.add(RunStatus::Running);
        self.running.insert(run);
        Ok(())
    }

    /// The run as it stands; nothing if it is not in the index.
    #[must_use]
    pub fn get(&self, run: RunId) -> Option<&IndexedRun> {
        self.runs.get(&run).map(|known| &**known)
    }

    /// How many runs the index holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether the index holds no run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Every run in the order of the IDs, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        self.runs.iter().map(|(&run, known)| (run, &**known))
    }

    /// How many runs there are of each status.
    #[must_use]
    pub fn counts(&self) -> RunCounts {
        self.counts
    }

    /// The runs that were begun and not ended and whose last change has an LSN of at most
    /// `before`, in the order of the IDs.
    ///
    /// With the last LSN that opening recovered, these are the runs that the program before left
    /// running: nothing has touched them since.
    pub fn orphaned(&self, before: Lsn) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        self.running
            .iter()
            .filter_map(|&run| Some((run, self.get(run)?)))
            .filter(move |(_, known)| known.changed_lsn <= before)
    }

    fn status_of(&self, run: RunId) -> Result<RunStatus, RunError> {
        self.get(run).map(|known| known.status).ok_or(RunError::Absent { run })
    }

    /// The run, to be changed, marked as changed by this transaction.
    fn changed(&mut self, context: &OpContext, run: RunId) -> Result<&mut IndexedRun, RunError> {
        let known = self.runs.get_mut(&run).ok_or(RunError::Absent { run })?;
        let known = Arc::make_mut(known);
        known.changed = context.timestamp();
        known.changed_lsn = context.lsn();
        Ok(known)
    }
}

impl IndexedRun {
    /// The name it was created under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When it was begun, if it was.
    #[must_use]
    pub fn begun(&self) -> Option<Timestamp> {
        self.begun
    }

    /// When it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// When it was last changed in the index, its metadata included.
    #[must_use]
    pub fn changed(&self) -> Timestamp {
        self.changed
    }

    /// The LSN of the transaction that changed it last.
    #[must_use]
    pub fn changed_lsn(&self) -> Lsn {
        self.changed_lsn
    }

    /// Its metadata, by key.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

impl RunStatus {
    /// Whether nothing can change it any more.
    #[must_use]
    pub fn is_ended(self) -> bool {
        match self {
            RunStatus::Created | RunStatus::Running => false,
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => true,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RunStatus::Created => "created",
            RunStatus::Running => "running",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        })
    }
}

impl From<RunOutcome> for RunStatus {
    fn from(outcome: RunOutcome) -> RunStatus {
        match outcome {
            RunOutcome::Completed => RunStatus::Completed,
            RunOutcome::Failed => RunStatus::Failed,
            RunOutcome::Cancelled => RunStatus::Cancelled,
        }
    }
}

impl RunCounts {
    /// How many runs have `status`.
    #[must_use]
    pub fn of_status(self, status: RunStatus) -> u64 {
        match status {
            RunStatus::Created => self.created,
            RunStatus::Running => self.running,
            RunStatus::Completed => self.completed,
            RunStatus::Failed => self.failed,
            RunStatus::Cancelled => self.cancelled,
        }
    }

    fn of(runs: &OrdMap<RunId, Arc<IndexedRun>>) -> RunCounts {
        let mut counts = RunCounts::default();
        for (_, run) in runs.iter() {
            counts.add(run.status);
        }
        counts
    }

    fn add(&mut self, status: RunStatus) {
        let count = self.of_status_mut(status);
        *count = count.saturating_add(1);
    }

    fn remove(&mut self, status: RunStatus) {
        let count = self.of_status_mut(status);
        *count = count.saturating_sub(1);
    }

    fn of_status_mut(&mut self, status: RunStatus) -> &mut u64 {
        match status {
            RunStatus::Created => &mut self.created,
            RunStatus::Running => &mut self.running,
            RunStatus::Completed => &mut self.completed,
            RunStatus::Failed => &mut self.failed,
            RunStatus::Cancelled => &mut self.cancelled,
        }
    }
}

fn running(runs: &OrdMap<RunId, Arc<IndexedRun>>) -> OrdSet<RunId> {
    runs.iter()
        .filter(|(_, known)| known.status == RunStatus::Running)
        .map(|(&run, _)| run)
        .collect()
}

#[cfg(test)]
freehold::conformance!(RunIndex, {
    let run = (1..4u64).prop_map(RunId);
    let outcome = prop_oneof![
        Just(RunOutcome::Completed),
        Just(RunOutcome::Failed),
        Just(RunOutcome::Cancelled)
    ];
    prop_oneof![
        3 => run.clone().prop_map(|run| call!(RunIndex, create(run, &format!("run {run}")))),
        2 => run.clone().prop_map(|run| call!(RunIndex, begin(run))),
        2 => (run.clone(), "[kl]", proptest::option::of("[a-c]{0,3}")).prop_map(
            |(run, key, value)| call!(RunIndex, update(run, &key, value.as_deref()))
        ),
        1 => (run, outcome).prop_map(|(run, outcome)| call!(RunIndex, end(run, outcome))),
    ]
});
