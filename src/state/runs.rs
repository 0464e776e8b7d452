//! The run table: which runs there are, their names and where they came from. Core state.
//!
//! - An ID is given once and never again, also not after its run was deleted.
//! - A name belongs to at most one run.
//! - Cloning is O(1), so that a transaction can keep the table as it was.

use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

use crate::id::{Lsn, RunId};

/// One run of the table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RunRow {
    /// The engine's number for it.
    pub id: RunId,
    /// The name its creator gave, 1 to 255 bytes.
    pub name: Arc<str>,
    /// The record that created it.
    pub created_lsn: Lsn,
    /// The run it comes from, and the last record of that run which is part of it. A fork of the root
    /// names the record that made the fork.
    pub parent: Option<(RunId, Lsn)>,
    /// Its history begins with its parent's: it was [forked](crate::Database::fork). Else it was made
    /// empty, and what a parent did was logged again for it.
    pub is_fork: bool,
}

/// All runs but the root.
#[derive(Clone, Default)]
pub(crate) struct RunTable {
    rows: OrdMap<RunId, RunRow>,
    names: OrdMap<Arc<str>, RunId>,
    /// The parents of runs that are deleted, and that one which is there descends from.
    gone: OrdMap<RunId, Option<(RunId, Lsn)>>,
    /// The forks of each run, those that are gone among them.
    forks: OrdMap<RunId, OrdSet<RunId>>,
    last: u64,
}

impl RunTable {
    /// The highest ID that was ever given.
    pub(crate) fn last_id(&self) -> RunId {
        RunId(self.last)
    }

    /// The ID that the next run gets; `None`: all were given.
    pub(crate) fn next_id(&self) -> Option<RunId> {
        self.last.checked_add(1).map(RunId)
    }

    /// Takes over the highest ID given so far, from a snapshot.
    pub(crate) fn raise_last_id(&mut self, last: RunId) {
        self.last = self.last.max(last.0);
    }

    /// Adds a run. `false`: its ID or name is taken.
    pub(crate) fn insert(&mut self, row: RunRow) -> bool {
        if row.id == RunId::ROOT || self.rows.contains_key(&row.id) {
            return false;
        }
        if self.names.contains_key(&row.name) {
            return false;
        }
        self.raise_last_id(row.id);
        self.names.insert(Arc::clone(&row.name), row.id);
        self.note_fork(row.id, row.parent.filter(|_| row.is_fork));
        self.rows.insert(row.id, row);
        true
    }

    /// Takes over a run that is deleted and that others descend from, with its parent if it was a fork.
    pub(crate) fn insert_gone(&mut self, run: RunId, parent: Option<(RunId, Lsn)>) {
        self.note_fork(run, parent);
        self.gone.insert(run, parent);
    }

    /// Forgets those that are gone and that nobody descends from: they were only named for what is not
    /// linked.
    pub(crate) fn forget_childless(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let has_fork = |run: &RunId| self.forks.contains_key(run);
        self.gone = gone.into_iter().filter(|(run, _)| has_fork(run)).collect();
    }

    fn note_fork(&mut self, run: RunId, parent: Option<(RunId, Lsn)>) {
        if let Some((parent, _)) = parent {
            self.forks.entry(parent).or_default().insert(run);
        }
    }

    pub(crate) fn remove(&mut self, run: RunId) -> Option<RunRow> {
        let row = self.rows.remove(&run)?;
        self.names.remove(&row.name);
        self.gone.insert(run, row.parent.filter(|_| row.is_fork));
        // Who is gone and has no fork any more is nobody's ancestor, which may be true of its parent then.
        let mut next = Some(run);
        while let Some(run) = next.take() {
            if self.forks.contains_key(&run) {
                break;
            }
            let Some(parent) = self.gone.remove(&run) else { break };
            next = parent.map(|(parent, _)| parent);
            if let Some(parent) = next
                && let Some(forks) = self.forks.get_mut(&parent)
            {
                forks.remove(&run);
                if forks.is_empty() {
                    self.forks.remove(&parent);
                }
            }
        }
        Some(row)
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&RunRow> {
        self.rows.get(&run)
    }

    pub(crate) fn named(&self, name: &str) -> Option<RunId> {
        self.names.get(name).copied()
    }

    /// Whether the run is gone, and others descend from it.
    pub(crate) fn is_gone(&self, run: RunId) -> bool {
        self.gone.contains_key(&run)
    }

    /// How many runs were ever deleted.
    pub(crate) fn deleted_count(&self) -> u64 {
        self.last.saturating_sub(self.rows.len() as u64)
    }

    /// The run that `run`, which may be gone, was forked from.
    pub(crate) fn forked_from(&self, run: RunId) -> Option<RunId> {
        let parent = match self.rows.get(&run) {
            Some(row) => row.parent.filter(|_| row.is_fork),
            None => *self.gone.get(&run)?,
        };
        parent.map(|(parent, _)| parent)
    }

    /// The run that `run` is most like, of those before it: the nearest one it descends from, or another
    /// that descends from that one.
    pub(crate) fn relative(&self, run: RunId) -> Option<RunId> {
        let mut of = run;
        loop {
            let parent = self.forked_from(of)?;
            if parent == RunId::ROOT || self.rows.contains_key(&parent) {
                return Some(parent);
            }
            let forks = self.forks.get(&parent).into_iter().flatten().copied();
            let before = forks.take_while(|fork| *fork < run);
            if let Some(fork) = before.into_iter().find(|fork| self.rows.contains_key(fork)) {
                return Some(fork);
            }
            of = parent;
        }
    }

    /// In ascending order of IDs.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &RunRow> + ExactSizeIterator {
        self.rows.values()
    }

    /// Those that are gone and that others descend from, with their parents; ascending.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (RunId, Option<(RunId, Lsn)>)> {
        self.gone.iter().map(|(run, parent)| (*run, *parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, name: &str) -> RunRow {
        let (id, name, created_lsn) = (RunId(id), name.into(), Lsn(id));
        RunRow { id, name, created_lsn, parent: None, is_fork: false }
    }

    fn fork(id: u64, parent: u64) -> RunRow {
        let parent = Some((RunId(parent), Lsn(parent)));
        RunRow { parent, is_fork: true, ..row(id, &format!("fork {id}")) }
    }

    #[test]
    fn who_is_gone_is_known_as_long_as_somebody_descends_from_it() {
        let mut table = RunTable::default();
        assert!(table.insert(row(1, "first")));
        for (id, parent) in [(2, 1), (3, 2), (4, 3), (5, 3)] {
            assert!(table.insert(fork(id, parent)));
        }
        for run in [1, 2, 3] {
            table.remove(RunId(run));
        }
        let gone = |table: &RunTable| table.gone().map(|(run, _)| run.0).collect::<Vec<_>>();
        assert_eq!(gone(&table), [1, 2, 3]);
        assert_eq!(table.forked_from(RunId(3)), Some(RunId(2)));
        assert_eq!(table.relative(RunId(4)), None, "none before it is left");
        assert_eq!(table.relative(RunId(5)), Some(RunId(4)));
        table.remove(RunId(4));
        assert_eq!(gone(&table), [1, 2, 3]);
        table.remove(RunId(5));
        assert!(gone(&table).is_empty());
        assert!(table.forks.is_empty());
    }

    #[test]
    fn a_name_belongs_to_one_run_and_an_id_is_given_once() {
        let mut table = RunTable::default();
        assert!(table.insert(row(1, "a")));
        assert!(!table.insert(row(2, "a")), "a name twice");
        assert!(!table.insert(row(1, "b")), "an ID twice");
        assert!(!table.insert(row(0, "root")), "the root is no row");
        assert_eq!(table.named("a"), Some(RunId(1)));
        assert!(table.remove(RunId(1)).is_some());
        assert_eq!(table.named("a"), None);
        assert_eq!(table.last_id(), RunId(1), "a deleted run's ID stays used");
        assert!(table.insert(row(2, "a")));
    }
}
