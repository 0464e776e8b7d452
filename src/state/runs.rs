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
}

/// All runs but the root.
#[derive(Clone, Default)]
pub(crate) struct RunTable {
    rows: OrdMap<RunId, RunRow>,
    names: OrdMap<Arc<str>, RunId>,
    /// By parent, whether that is there or not.
    children: OrdMap<RunId, OrdSet<RunId>>,
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
        if let Some((parent, _)) = row.parent {
            self.children.entry(parent).or_default().insert(row.id);
        }
        self.rows.insert(row.id, row);
        true
    }

    pub(crate) fn remove(&mut self, run: RunId) -> Option<RunRow> {
        let row = self.rows.remove(&run)?;
        self.names.remove(&row.name);
        if let Some((parent, _)) = row.parent
            && let Some(children) = self.children.get_mut(&parent)
        {
            children.remove(&run);
            if children.is_empty() {
                self.children.remove(&parent);
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

    /// The first run that was forked from `parent` and is there.
    pub(crate) fn first_child(&self, parent: RunId) -> Option<RunId> {
        self.children.get(&parent)?.get_min().copied()
    }

    /// In ascending order of IDs.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &RunRow> + ExactSizeIterator {
        self.rows.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, name: &str) -> RunRow {
        RunRow { id: RunId(id), name: name.into(), created_lsn: Lsn(id), parent: None }
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
