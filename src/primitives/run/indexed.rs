//! `IndexedRun`: a run as the index knows it, its status, and how many there are of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use freehold::prelude::*;

/// A run as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct IndexedRun {
    pub(super) name: Arc<str>,
    pub(super) status: RunStatus,
    pub(super) created: Timestamp,
    pub(super) begun: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) changed: Timestamp,
    pub(super) changed_lsn: Lsn,
    pub(super) metadata: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) parent: Option<RunId>,
    pub(super) tags: BTreeSet<Arc<str>>,
    pub(super) reason: Option<Box<str>>,
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
    pub fn metadata(&self) -> &BTreeMap<Arc<str>, Arc<str>> {
        &self.metadata
    }

    /// The run that it belongs to, if it was created as a child.
    #[must_use]
    pub fn parent(&self) -> Option<RunId> {
        self.parent
    }

    /// Its tags, in order.
    #[must_use]
    pub fn tags(&self) -> &BTreeSet<Arc<str>> {
        &self.tags
    }

    /// Why it ended as it did, if that was said.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl RunStatus {
    /// Every status, in order.
    pub const ALL: [RunStatus; 5] = [
        RunStatus::Created,
        RunStatus::Running,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];

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

    pub(super) fn add(&mut self, status: RunStatus) {
        let count = self.of_status_mut(status);
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, status: RunStatus) {
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
