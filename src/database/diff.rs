//! What differs between two states.

use std::collections::BTreeSet;
use std::fmt;

use super::{Database, RunView, View};
use crate::error::{Error, Result};
use crate::id::{Lsn, RunId};
use crate::primitive::{Change, Changes, Frozen};

/// One side of [`Database::diff`]: a whole state, or one run of a state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DiffSide {
    /// The whole state after a record.
    Lsn(Lsn),
    /// A whole state.
    View(View),
    /// A run as it is now.
    RunId(RunId),
    /// A run, perhaps of an earlier state, or [replayed](Database::replay_run).
    Run(RunView),
}

impl From<Lsn> for DiffSide {
    fn from(lsn: Lsn) -> DiffSide {
        DiffSide::Lsn(lsn)
    }
}

impl From<RunId> for DiffSide {
    fn from(run: RunId) -> DiffSide {
        DiffSide::RunId(run)
    }
}

impl From<View> for DiffSide {
    fn from(view: View) -> DiffSide {
        DiffSide::View(view)
    }
}

impl From<&View> for DiffSide {
    fn from(view: &View) -> DiffSide {
        DiffSide::View(view.clone())
    }
}

impl From<RunView> for DiffSide {
    fn from(run: RunView) -> DiffSide {
        DiffSide::Run(run)
    }
}

impl From<&RunView> for DiffSide {
    fn from(run: &RunView) -> DiffSide {
        DiffSide::Run(run.clone())
    }
}

/// A whole state was to be compared with one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a whole state and one run cannot be compared: give two of one kind")]
pub struct DiffMismatch;

/// What differs between two states, found while it is asked for.
#[derive(Clone)]
pub struct Diff {
    before: View,
    after: View,
    /// Which runs to compare with which; `None`: all, each with itself.
    runs: Option<(RunId, RunId)>,
}

/// One thing that differs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Difference<'a> {
    /// The run. Where two runs are compared, the newer side's.
    pub run: RunId,
    /// The primitive's name.
    pub primitive: &'static str,
    /// What became of which of its elements.
    pub change: Change<'a>,
}

impl Database {
    /// What differs between two states, or two runs: from `before` to `after`.
    ///
    /// Nothing is compared before it is asked for. Where the two share structure, as a run and its fork
    /// do, or two views that were taken, it costs in proportion to what differs; what was read from files,
    /// as [`view_at`](Database::view_at) does, shares nothing with what is in memory. Primitives that are
    /// not linked are not compared.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// use freehold::ChangeKind;
    /// # #[cfg(feature = "kv")] {
    /// # let db = Database::in_memory()?;
    /// let plan = db.create_run("plan")?;
    /// db.run(plan).transaction(|tx| tx.on::<KvStore>().put(b"step", b"1"))?;
    /// let other = db.fork(plan, "another plan")?;
    /// db.run(other).transaction(|tx| tx.on::<KvStore>().put(b"step", b"2"))?;
    /// let diff = db.diff(plan, other)?;
    /// let changes: Vec<_> = diff.iter().collect();
    /// assert_eq!(changes.len(), 1);
    /// assert_eq!(changes[0].primitive, "kv");
    /// assert_eq!(changes[0].change.kind(), ChangeKind::Changed);
    /// # }
    /// # Ok::<(), freehold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`]; those of [`view_at`](Database::view_at) for an LSN; [`Error::Rejected`] with a
    /// [`DiffMismatch`].
    pub fn diff(&self, before: impl Into<DiffSide>, after: impl Into<DiffSide>) -> Result<Diff> {
        self.core().refuse_nested("diff")?;
        let ((before, of_before), (after, of_after)) =
            (self.side(before.into())?, self.side(after.into())?);
        let runs = match (of_before, of_after) {
            (None, None) => None,
            (Some(before), Some(after)) => Some((before, after)),
            _ => return Err(Error::reject(DiffMismatch)),
        };
        Ok(Diff { before, after, runs })
    }

    fn side(&self, side: DiffSide) -> Result<(View, Option<RunId>)> {
        match side {
            DiffSide::Lsn(lsn) => Ok((self.view_at(lsn)?, None)),
            DiffSide::View(view) => Ok((view, None)),
            DiffSide::RunId(run) => Ok((self.run(run).view()?.view().clone(), Some(run))),
            DiffSide::Run(run) => Ok((run.view().clone(), Some(run.id()))),
        }
    }
}

impl Diff {
    /// What differs, by run, primitive, field and key.
    pub fn iter(&self) -> impl Iterator<Item = Difference<'_>> {
        let pairs: Vec<(RunId, RunId)> = match self.runs {
            Some(pair) => vec![pair],
            None => {
                let of = |view: &View| view.published.runs.keys().copied().collect::<Vec<_>>();
                let all: BTreeSet<RunId> =
                    of(&self.before).into_iter().chain(of(&self.after)).collect();
                all.into_iter().map(|run| (run, run)).collect()
            }
        };
        pairs.into_iter().flat_map(move |(before, after)| self.of_runs(before, after))
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn of_runs(&self, before: RunId, after: RunId) -> impl Iterator<Item = Difference<'_>> {
        let primitives = self.after.published.registry.list().iter();
        primitives.flat_map(move |primitive| {
            let old = frozen(&self.before, before, primitive.type_id());
            let new = frozen(&self.after, after, primitive.type_id());
            let changes = match (old, new) {
                (Some(old), Some(new)) if !old.is(new) => primitive.changes(old, new),
                _ => Changes::none(),
            };
            let primitive = primitive.name();
            changes.map(move |change| Difference { run: after, primitive, change })
        })
    }
}

/// A primitive's state in a run; an empty one if the run never used it, or is not there.
fn frozen(view: &View, run: RunId, type_id: u8) -> Option<&Frozen> {
    let list = view.published.registry.list();
    let index = list.iter().position(|primitive| primitive.type_id() == type_id)?;
    let of_run = view.published.runs.get(&run).and_then(|run| run.get(index));
    of_run.or_else(|| view.empty.get(index))
}

impl fmt::Debug for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff")
            .field("before", &self.before)
            .field("after", &self.after)
            .field("runs", &self.runs)
            .finish()
    }
}
