//! What belongs to primitives that are not linked: carried from snapshot to snapshot byte for byte.

use std::collections::BTreeMap;

use crate::id::RunId;
use crate::primitive::LoggedEntry;
use crate::snapshot::{CarriedEntry, RawInstance};

/// The instances of detached primitives, by type ID and run.
#[derive(Clone, Default)]
pub(crate) struct Detached {
    instances: BTreeMap<(u8, RunId), RawInstance>,
}

impl Detached {
    /// Takes over an instance from a snapshot.
    pub(crate) fn put(&mut self, type_id: u8, instance: RawInstance) {
        self.instances.insert((type_id, instance.run), instance);
    }

    /// Adds an entry from the log.
    pub(crate) fn push(&mut self, type_id: u8, run: RunId, entry: &LoggedEntry<'_>) {
        let empty = || RawInstance {
            run,
            // No rows, so no version of them.
            section_version: 0,
            base: None,
            blocks: Vec::new(),
            carried: Vec::new(),
        };
        self.instances.entry((type_id, run)).or_insert_with(empty).carried.push(CarriedEntry {
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
            .map(|((type_id, _), instance)| (*type_id, RawInstance { run, ..instance.clone() }))
            .collect();
        for (type_id, instance) in forks {
            self.put(type_id, instance);
        }
    }

    /// Forgets everything of a run that was deleted.
    pub(crate) fn remove_run(&mut self, run: RunId) {
        self.instances.retain(|(_, of), _| *of != run);
    }

    /// Whether anything of a run is here.
    pub(crate) fn has_run(&self, run: RunId) -> bool {
        self.instances.keys().any(|(_, of)| *of == run)
    }

    /// The instances of one type, in ascending order of runs.
    pub(crate) fn of_type(&self, type_id: u8) -> impl Iterator<Item = &RawInstance> {
        self.instances
            .range((type_id, RunId::ROOT)..=(type_id, RunId(u64::MAX)))
            .map(|(_, instance)| instance)
    }
}
