//! `Lookups`: the runs by what is asked for.
//!
//! Invariants:
//!
//! 1. Everything here is derived from the runs: the rebuilt lookups equal the kept ones.
//! 2. Names, tags and metadata are not copied: they are shared with the run they belong to.

use std::ops::Bound;
use std::sync::Arc;

use freehold::prelude::*;

use super::{IndexedRun, RunCounts, RunStatus};

type Text = Arc<str>;

/// Sorted sets that end with the run, one for each question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lookups {
    pub(super) counts: RunCounts,
    by_status: OrdSet<(RunStatus, RunId)>,
    by_parent: OrdSet<(RunId, RunId)>,
    by_name: OrdSet<(Text, RunId)>,
    by_created: OrdSet<(Timestamp, RunId)>,
    by_metadata: OrdSet<(Text, Text, RunId)>,
    pub(super) by_tag: OrdMap<Text, OrdSet<RunId>>,
}

impl Lookups {
    /// What the runs say.
    pub(super) fn of(runs: &OrdMap<RunId, Arc<IndexedRun>>) -> Lookups {
        let mut lookups = Lookups::default();
        for (&run, known) in runs {
            lookups.add(run, known);
        }
        lookups
    }

    /// Adds a run with all that is known of it.
    pub(super) fn add(&mut self, run: RunId, known: &IndexedRun) {
        self.add_status(run, known.status);
        if let Some(parent) = known.parent {
            self.by_parent.insert((parent, run));
        }
        self.by_name.insert((Arc::clone(&known.name), run));
        self.by_created.insert((known.created, run));
        for (key, value) in &known.metadata {
            self.add_metadata(run, key, value);
        }
        for tag in &known.tags {
            self.add_tag(run, tag);
        }
    }

    /// Removes a run with all that is known of it.
    pub(super) fn remove(&mut self, run: RunId, known: &IndexedRun) {
        self.remove_status(run, known.status);
        if let Some(parent) = known.parent {
            self.by_parent.remove(&(parent, run));
        }
        self.by_name.remove(&(Arc::clone(&known.name), run));
        self.by_created.remove(&(known.created, run));
        for (key, value) in &known.metadata {
            self.remove_metadata(run, key, value);
        }
        for tag in &known.tags {
            self.remove_tag(run, tag);
        }
    }

    pub(super) fn move_status(&mut self, run: RunId, from: RunStatus, to: RunStatus) {
        self.remove_status(run, from);
        self.add_status(run, to);
    }

    fn add_status(&mut self, run: RunId, status: RunStatus) {
        self.counts.add(status);
        self.by_status.insert((status, run));
    }

    fn remove_status(&mut self, run: RunId, status: RunStatus) {
        self.counts.remove(status);
        self.by_status.remove(&(status, run));
    }

    pub(super) fn add_metadata(&mut self, run: RunId, key: &Text, value: &Text) {
        self.by_metadata.insert((Arc::clone(key), Arc::clone(value), run));
    }

    pub(super) fn remove_metadata(&mut self, run: RunId, key: &Text, value: &Text) {
        self.by_metadata.remove(&(Arc::clone(key), Arc::clone(value), run));
    }

    pub(super) fn add_tag(&mut self, run: RunId, tag: &Text) {
        self.by_tag.get_or_insert_with(Arc::clone(tag), OrdSet::new).insert(run);
    }

    pub(super) fn remove_tag(&mut self, run: RunId, tag: &Text) {
        if let Some(runs) = self.by_tag.get_mut(tag) {
            runs.remove(&run);
            if runs.is_empty() {
                self.by_tag.remove(tag);
            }
        }
    }

    pub(super) fn of_status(&self, status: RunStatus) -> impl DoubleEndedIterator<Item = RunId> {
        self.by_status.range((status, RunId(0))..=(status, LAST)).map(|(_, run)| *run)
    }

    pub(super) fn of_parent(&self, parent: RunId) -> impl DoubleEndedIterator<Item = RunId> {
        self.by_parent.range((parent, RunId(0))..=(parent, LAST)).map(|(_, run)| *run)
    }

    pub(super) fn of_name(&self, name: &str) -> impl DoubleEndedIterator<Item = RunId> + use<'_> {
        let name: Text = name.into();
        self.by_name.range((Arc::clone(&name), RunId(0))..=(name, LAST)).map(|(_, run)| *run)
    }

    pub(super) fn of_name_prefix(&self, prefix: &str) -> impl Iterator<Item = RunId> + use<'_> {
        let prefix: Text = prefix.into();
        self.by_name
            .range((Arc::clone(&prefix), RunId(0))..)
            .take_while(move |(name, _)| name.starts_with(&*prefix))
            .map(|(_, run)| *run)
    }

    pub(super) fn of_metadata(
        &self,
        key: &str,
        value: &str,
    ) -> impl DoubleEndedIterator<Item = RunId> + use<'_> {
        let (key, value): (Text, Text) = (key.into(), value.into());
        let first = (Arc::clone(&key), Arc::clone(&value), RunId(0));
        self.by_metadata.range(first..=(key, value, LAST)).map(|(_, _, run)| *run)
    }

    pub(super) fn of_tag(&self, tag: &str) -> impl DoubleEndedIterator<Item = RunId> + use<'_> {
        self.by_tag.get(tag).map(OrdSet::iter).into_iter().flatten().copied()
    }

    /// The runs created in `times`. A range in which no time lies would panic in the set.
    pub(super) fn of_times(
        &self,
        (start, end): (Bound<Timestamp>, Bound<Timestamp>),
    ) -> impl DoubleEndedIterator<Item = RunId> {
        let start = match start {
            Bound::Included(start) => Some(start.0),
            Bound::Excluded(start) => start.0.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match end {
            Bound::Included(end) => Some(end.0),
            Bound::Excluded(end) => end.0.checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        let found = start.zip(end).filter(|(start, end)| start <= end).map(|(start, end)| {
            self.by_created.range((Timestamp(start), RunId(0))..=(Timestamp(end), LAST))
        });
        found.into_iter().flatten().map(|(_, run)| *run)
    }
}

const LAST: RunId = RunId(u64::MAX);
