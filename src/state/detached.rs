//! What belongs to primitives that are not linked: carried from snapshot to snapshot byte for byte.
//!
//! - A fork is a reference to what its parent had: the rows never change here, and of the entries that
//!   come behind them the reference says how many.
//! - What others refer to stays when its run is deleted, as long as they are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::RunId;
use crate::primitive::LoggedEntry;
use crate::snapshot::{Base, CarriedEntry, RawInstance};

/// The instances of detached primitives, by type ID and run.
#[derive(Clone, Default)]
pub(crate) struct Detached {
    instances: BTreeMap<(u8, RunId), Arc<RawInstance>>,
    /// Runs that are gone, and of which something is here.
    deleted: BTreeSet<RunId>,
}

impl Detached {
    /// Takes over an instance from a snapshot. `is_there`: its run is.
    pub(crate) fn put(&mut self, type_id: u8, instance: RawInstance, is_there: bool) {
        if !is_there {
            self.deleted.insert(instance.run);
        }
        self.instances.insert((type_id, instance.run), Arc::new(instance));
    }

    /// Adds an entry from the log.
    pub(crate) fn push(&mut self, type_id: u8, run: RunId, entry: &LoggedEntry<'_>) {
        let empty = || {
            Arc::new(RawInstance {
                run,
                // No rows, so no version of them.
                section_version: 0,
                base: None,
                blocks: Vec::new(),
                carried: Vec::new(),
            })
        };
        let instance = self.instances.entry((type_id, run)).or_insert_with(empty);
        Arc::make_mut(instance).carried.push(CarriedEntry {
            wal_type: entry.wal_type,
            version: entry.version,
            lsn: entry.lsn,
            index: entry.index,
            timestamp: entry.timestamp,
            payload: entry.payload.to_vec(),
        });
    }

    /// Bytes of one type's instances.
    pub(crate) fn bytes_of_type(&self, type_id: u8) -> u64 {
        let bytes_of = |instance: &RawInstance| {
            let rows = instance.blocks.iter().map(|block| block.bytes.len());
            let entries = instance.carried.iter().map(|entry| entry.payload.len());
            rows.chain(entries).sum::<usize>() as u64
        };
        self.of_type(type_id).map(bytes_of).sum()
    }

    /// A run begins with what `parent` has.
    pub(crate) fn fork_run(&mut self, parent: RunId, run: RunId) {
        let of_parent = self.instances.iter().filter(|((_, of), _)| *of == parent);
        let forks: Vec<_> = of_parent
            .map(|((type_id, _), instance)| {
                let carried = instance.carried.len() as u64;
                let fork = RawInstance {
                    run,
                    section_version: instance.section_version,
                    base: Some(Base { run: parent, carried }),
                    blocks: Vec::new(),
                    carried: Vec::new(),
                };
                (*type_id, fork)
            })
            .collect();
        for (type_id, fork) in forks {
            self.put(type_id, fork, true);
        }
    }

    /// Forgets everything of a run that was deleted, but for what others refer to.
    pub(crate) fn remove_run(&mut self, run: RunId) {
        if !self.has_run(run) {
            return;
        }
        self.deleted.insert(run);
        // A base may refer to a lower one, which may then be superfluous too.
        loop {
            let base_of = |((type_id, _), instance): (&(u8, RunId), &Arc<RawInstance>)| {
                Some((*type_id, instance.base?.run))
            };
            let bases: BTreeSet<(u8, RunId)> = self.instances.iter().filter_map(base_of).collect();
            let before = self.instances.len();
            let deleted = &self.deleted;
            self.instances.retain(|of, _| !deleted.contains(&of.1) || bases.contains(of));
            if self.instances.len() == before {
                break;
            }
        }
    }

    /// Runs that are gone, and that others are stored as changes to.
    pub(crate) fn deleted(&self) -> impl Iterator<Item = RunId> {
        self.deleted.iter().copied().filter(|run| self.has_run(*run))
    }

    /// Whether anything of a run is here.
    pub(crate) fn has_run(&self, run: RunId) -> bool {
        // Nearly always there is nothing at all.
        !self.instances.is_empty() && self.instances.keys().any(|(_, of)| *of == run)
    }

    /// The instances of one type, in ascending order of runs.
    pub(crate) fn of_type(&self, type_id: u8) -> impl Iterator<Item = &RawInstance> {
        self.instances
            .range((type_id, RunId::ROOT)..=(type_id, RunId(u64::MAX)))
            .map(|(_, instance)| &**instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Lsn, Timestamp};

    #[test]
    fn what_a_fork_refers_to_outlives_its_run_and_goes_with_the_last_that_does() {
        let entry = |number: u64| LoggedEntry {
            wal_type: 0x80,
            version: 1,
            index: 0,
            lsn: Lsn(number),
            timestamp: Timestamp(0),
            payload: &[],
        };
        let mut detached = Detached::default();
        detached.push(8, RunId(1), &entry(1));
        detached.fork_run(RunId(1), RunId(2));
        detached.push(8, RunId(1), &entry(2));
        detached.push(8, RunId(2), &entry(3));
        detached.fork_run(RunId(2), RunId(3));
        let found: Vec<_> = detached.of_type(8).map(|one| (one.run.0, one.base)).collect();
        let base = |run, carried| Some(Base { run: RunId(run), carried });
        assert_eq!(found, [(1, None), (2, base(1, 1)), (3, base(2, 1))]);

        detached.remove_run(RunId(1));
        detached.remove_run(RunId(2));
        assert_eq!(
            detached.of_type(8).count(),
            3,
            "the third refers to the second, that to the first"
        );
        detached.remove_run(RunId(3));
        assert_eq!(detached.of_type(8).count(), 0);
    }
}
