//! `RunIndex`: which runs there are, how each stands, and which ones a crash interrupted.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x60 `create`, 0x61 `update`, 0x62 `end`, 0x63 `begin`,
//!    0x64 `create_child`, 0x65 `tag`, 0x66 `untag`, 0x67 `end_because`, 0x68 `end_orphaned`,
//!    0x69 `remove`.
//! 2. A run's status moves along these lines and no others:
//!    created → running → completed, failed or cancelled; created → cancelled.
//! 3. A run's times and LSNs are those of the transactions that changed it.
//! 4. A run's parent is in the index: it was there before its child, never changes, and is not
//!    removed before it. So there are no cycles.
//! 5. `lookups` says what `runs` says: it is derived, stands in no snapshot, and every operation keeps
//!    it.
//! 6. The index is one for the whole database. It names runs by the [`RunId`] that the engine gave
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
//! let recovered = db.recovery_report().last_lsn;
//! let view = db.view();
//! let orphaned: Vec<RunId> = view.on::<RunIndex>().orphaned(recovered).map(|(run, _)| run).collect();
//! assert_eq!(orphaned, [left]);
//! let ended = db.transaction(|tx| {
//!     tx.on::<RunIndex>().end_orphaned(recovered, RunOutcome::Failed, "interrupted")
//! })?;
//! assert_eq!(ended, [left]);
//! let view = db.view();
//! let index = view.on::<RunIndex>();
//! assert_eq!(index.get(done).unwrap().status(), RunStatus::Completed);
//! assert_eq!(index.get(left).unwrap().reason(), Some("interrupted"));
//! assert_eq!(index.counts().running, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Queries
//!
//! Each is answered from a sorted set, in the order of the runs' IDs unless it says otherwise. Several
//! conditions are one query and a filter: begin with the one that fewest runs meet.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{RunIndex, RunStatus};
//!
//! # fn main() -> freehold::Result<()> {
//! # let db = Database::in_memory()?;
//! db.transaction(|tx| {
//!     let mut index = tx.on::<RunIndex>();
//!     index.create(RunId(1), "sweep")?;
//!     for (run, rate) in [(RunId(2), "0.1"), (RunId(3), "0.01")] {
//!         index.create_child(run, "sweep/trial", RunId(1))?;
//!         index.update(run, "rate", Some(rate))?;
//!         index.tag(run, "nightly")?;
//!     }
//!     index.begin(RunId(3))
//! })?;
//! let view = db.view();
//! let index = view.on::<RunIndex>();
//! assert_eq!(index.children(RunId(1)).count(), 2);
//! assert_eq!(index.with_status(RunStatus::Running).count(), 1);
//! assert_eq!(index.with_metadata("rate", "0.1").map(|(run, _)| run).collect::<Vec<_>>(), [RunId(2)]);
//! assert_eq!(index.name_prefix("sweep").count(), 3);
//! let mut waiting =
//!     index.with_tag("nightly").filter(|(_, run)| run.status() == RunStatus::Created);
//! assert_eq!(waiting.next().map(|(run, _)| run), Some(RunId(2)));
//! # Ok(())
//! # }
//! ```

mod indexed;
mod lookups;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;
use std::sync::Arc;

use freehold::prelude::*;

pub use indexed::{IndexedRun, RunCounts, RunOutcome, RunStatus};
use lookups::Lookups;

/// The runs of a database: name, status, times, parent, tags and metadata of each.
///
/// Names, tags, and the keys and values of metadata may be any text.
#[primitive(id = 6, wal = 0x60..=0x69, name = "run", scope = root)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunIndex {
    runs: OrdMap<RunId, Arc<IndexedRun>>,
    #[index(rebuild = |index| Lookups::of(&index.runs))]
    lookups: Lookups,
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
    /// The run that was to be the parent is not in the index.
    #[error("run {run}: parent {parent} is not in the index, expected one that was created")]
    NoParent {
        /// The run that was to be created.
        run: RunId,
        /// Its parent.
        parent: RunId,
    },
    /// Other runs in the index have this one as their parent.
    #[error("run {run}: children in the index are {count}, expected none")]
    HasChildren {
        /// The run.
        run: RunId,
        /// How many children.
        count: u64,
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
        self.add(context, run, name, None)
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
        let (known, lookups) = self.changed(context, run)?;
        let key: Arc<str> = key.into();
        let value: Option<Arc<str>> = value.map(Into::into);
        let before = match &value {
            Some(value) => known.metadata.insert(Arc::clone(&key), Arc::clone(value)),
            None => known.metadata.remove(&key),
        };
        if let Some(before) = before {
            lookups.remove_metadata(run, &key, &before);
        }
        if let Some(value) = value {
            lookups.add_metadata(run, &key, &value);
        }
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
        self.end_run(context, run, outcome, None)
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
        let (known, lookups) = self.changed(context, run)?;
        known.status = RunStatus::Running;
        known.begun = Some(context.timestamp());
        lookups.move_status(run, found, RunStatus::Running);
        Ok(())
    }

    /// As [`create`](RunIndex::create), for a run that belongs to another one, which stays its parent.
    ///
    /// # Errors
    ///
    /// [`RunError::Exists`] if the run is in the index already, [`RunError::NoParent`] if `parent` is
    /// not.
    #[wal(0x64)]
    pub fn create_child(
        &mut self,
        context: &OpContext,
        run: RunId,
        name: &str,
        parent: RunId,
    ) -> Result<(), RunError> {
        self.add(context, run, name, Some(parent))
    }

    /// Gives the run a tag, and says whether it is new to it. Also allowed when the run has ended.
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index.
    #[wal(0x65)]
    pub fn tag(&mut self, context: &OpContext, run: RunId, tag: &str) -> Result<bool, RunError> {
        // Tags are few and runs are many: the text is shared.
        let shared = self.lookups.by_tag.get_key_value(tag).map(|(shared, _)| Arc::clone(shared));
        let (known, lookups) = self.changed(context, run)?;
        let tag = shared.unwrap_or_else(|| tag.into());
        lookups.add_tag(run, &tag);
        Ok(known.tags.insert(tag))
    }

    /// Takes a tag from the run, and says whether it had it.
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index.
    #[wal(0x66)]
    pub fn untag(&mut self, context: &OpContext, run: RunId, tag: &str) -> Result<bool, RunError> {
        let (known, lookups) = self.changed(context, run)?;
        let Some(tag) = known.tags.take(tag) else { return Ok(false) };
        lookups.remove_tag(run, &tag);
        Ok(true)
    }

    /// As [`end`](RunIndex::end), with a reason that is kept.
    ///
    /// # Errors
    ///
    /// Those of [`end`](RunIndex::end).
    #[wal(0x67)]
    pub fn end_because(
        &mut self,
        context: &OpContext,
        run: RunId,
        outcome: RunOutcome,
        reason: &str,
    ) -> Result<(), RunError> {
        self.end_run(context, run, outcome, Some(reason))
    }

    /// Ends every run that [`orphaned`](RunIndex::orphaned) names, for one reason, and returns them in
    /// the order of their IDs. What a program calls first after opening, with the last LSN that was
    /// recovered.
    ///
    /// # Errors
    ///
    /// None: what is orphaned is running, and a running run can end in any way.
    #[wal(0x68)]
    pub fn end_orphaned(
        &mut self,
        context: &OpContext,
        before: Lsn,
        outcome: RunOutcome,
        reason: &str,
    ) -> Result<Vec<RunId>, RunError> {
        let orphaned: Vec<RunId> = self.orphaned(before).map(|(run, _)| run).collect();
        for &run in &orphaned {
            self.end_run(context, run, outcome, Some(reason))?;
        }
        Ok(orphaned)
    }

    /// Removes the run from the index. The run itself and what it holds stay; see
    /// [`Transaction::delete_run`].
    ///
    /// # Errors
    ///
    /// [`RunError::Absent`] if the run is not in the index, [`RunError::NotAllowed`] if it is running,
    /// [`RunError::HasChildren`] if it is the parent of others in the index.
    #[wal(0x69)]
    pub fn remove(&mut self, run: RunId) -> Result<(), RunError> {
        let found = self.status_of(run)?;
        if found == RunStatus::Running {
            return Err(RunError::NotAllowed { run, found, expected: "created or ended" });
        }
        let count = self.lookups.of_parent(run).count();
        if count > 0 {
            return Err(RunError::HasChildren {
                run,
                count: u64::try_from(count).unwrap_or(u64::MAX),
            });
        }
        if let Some(known) = self.runs.remove(&run) {
            self.lookups.remove(run, &known);
        }
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
        self.lookups.counts
    }

    /// The runs that stand so.
    pub fn with_status(
        &self,
        status: RunStatus,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        self.each(self.lookups.of_status(status))
    }

    /// The runs that were created as children of `parent`.
    pub fn children(&self, parent: RunId) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        self.each(self.lookups.of_parent(parent))
    }

    /// The runs that have this tag.
    pub fn with_tag(
        &self,
        tag: &str,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> + use<'_> {
        self.each(self.lookups.of_tag(tag))
    }

    /// The tags that any run has, in order, each with how many have it.
    pub fn tags(&self) -> impl DoubleEndedIterator<Item = (&str, usize)> {
        self.lookups.by_tag.iter().map(|(tag, runs)| (&**tag, runs.len()))
    }

    /// The runs of which the metadata has this value under this key.
    pub fn with_metadata(
        &self,
        key: &str,
        value: &str,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> + use<'_> {
        self.each(self.lookups.of_metadata(key, value))
    }

    /// The runs that were created under this name.
    pub fn named(
        &self,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> + use<'_> {
        self.each(self.lookups.of_name(name))
    }

    /// The runs whose names begin with `prefix`, in the order of the names.
    pub fn name_prefix(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (RunId, &IndexedRun)> + use<'_> {
        self.lookups.of_name_prefix(prefix).filter_map(|run| Some((run, self.get(run)?)))
    }

    /// The runs that were created in `times`, in the order of these.
    pub fn created_within(
        &self,
        times: impl RangeBounds<Timestamp>,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        let times = (times.start_bound().cloned(), times.end_bound().cloned());
        self.each(self.lookups.of_times(times))
    }

    /// The runs that were begun and not ended and whose last change has an LSN of at most
    /// `before`, in the order of the IDs.
    ///
    /// With the last LSN that opening recovered, these are the runs that the program before left
    /// running: nothing has touched them since.
    pub fn orphaned(&self, before: Lsn) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        self.with_status(RunStatus::Running).filter(move |(_, known)| known.changed_lsn <= before)
    }

    fn each(
        &self,
        runs: impl DoubleEndedIterator<Item = RunId>,
    ) -> impl DoubleEndedIterator<Item = (RunId, &IndexedRun)> {
        runs.filter_map(|run| Some((run, self.get(run)?)))
    }

    fn add(
        &mut self,
        context: &OpContext,
        run: RunId,
        name: &str,
        parent: Option<RunId>,
    ) -> Result<(), RunError> {
        if let Some(known) = self.runs.get(&run) {
            return Err(RunError::Exists { run, status: known.status });
        }
        if let Some(parent) = parent.filter(|parent| !self.runs.contains_key(parent)) {
            return Err(RunError::NoParent { run, parent });
        }
        let now = context.timestamp();
        let created = IndexedRun {
            name: name.into(),
            status: RunStatus::Created,
            created: now,
            begun: None,
            ended: None,
            changed: now,
            changed_lsn: context.lsn(),
            metadata: BTreeMap::new(),
            parent,
            tags: BTreeSet::new(),
            reason: None,
        };
        self.lookups.add(run, &created);
        self.runs.insert(run, Arc::new(created));
        Ok(())
    }

    fn end_run(
        &mut self,
        context: &OpContext,
        run: RunId,
        outcome: RunOutcome,
        reason: Option<&str>,
    ) -> Result<(), RunError> {
        let found = self.status_of(run)?;
        match (found, outcome) {
            (RunStatus::Running, _) | (RunStatus::Created, RunOutcome::Cancelled) => {}
            (RunStatus::Created, RunOutcome::Completed | RunOutcome::Failed)
            | (RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled, _) => {
                let expected = match outcome {
                    RunOutcome::Cancelled => "created or running",
                    RunOutcome::Completed | RunOutcome::Failed => "running",
                };
                return Err(RunError::NotAllowed { run, found, expected });
            }
        }
        let (known, lookups) = self.changed(context, run)?;
        known.status = outcome.into();
        known.ended = Some(context.timestamp());
        known.reason = reason.map(Into::into);
        lookups.move_status(run, found, outcome.into());
        Ok(())
    }

    fn status_of(&self, run: RunId) -> Result<RunStatus, RunError> {
        self.get(run).map(|known| known.status).ok_or(RunError::Absent { run })
    }

    /// The run, to be changed, marked as changed by this transaction, and where it is looked up.
    fn changed(
        &mut self,
        context: &OpContext,
        run: RunId,
    ) -> Result<(&mut IndexedRun, &mut Lookups), RunError> {
        let known = self.runs.get_mut(&run).ok_or(RunError::Absent { run })?;
        let known = Arc::make_mut(known);
        known.changed = context.timestamp();
        known.changed_lsn = context.lsn();
        Ok((known, &mut self.lookups))
    }
}

#[cfg(test)]
freehold::conformance!(RunIndex, {
    let run = || (1..4u64).prop_map(RunId);
    let outcome = prop_oneof![
        Just(RunOutcome::Completed),
        Just(RunOutcome::Failed),
        Just(RunOutcome::Cancelled)
    ];
    prop_oneof![
        3 => run().prop_map(|run| call!(RunIndex, create(run, &format!("run {run}")))),
        3 => (run(), "[nm]", run()).prop_map(
            |(run, name, parent)| call!(RunIndex, create_child(run, &name, parent))
        ),
        3 => run().prop_map(|run| call!(RunIndex, begin(run))),
        2 => (run(), "[kl]", proptest::option::of("[a-c]{0,3}")).prop_map(
            |(run, key, value)| call!(RunIndex, update(run, &key, value.as_deref()))
        ),
        2 => (run(), "[tu]").prop_map(|(run, tag)| call!(RunIndex, tag(run, &tag))),
        1 => (run(), "[tu]").prop_map(|(run, tag)| call!(RunIndex, untag(run, &tag))),
        1 => (run(), outcome.clone()).prop_map(|(run, outcome)| call!(RunIndex, end(run, outcome))),
        1 => (run(), outcome.clone(), "[rs]").prop_map(
            |(run, outcome, reason)| call!(RunIndex, end_because(run, outcome, &reason))
        ),
        1 => (0..9u64, outcome).prop_map(
            |(before, outcome)| call!(RunIndex, end_orphaned(Lsn(before), outcome, "gone"))
        ),
        2 => run().prop_map(|run| call!(RunIndex, remove(run))),
    ]
});
