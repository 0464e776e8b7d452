//! A state that nothing changes any more: what views read and snapshots write.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Detached, RunTable};
use crate::format::catalog::Catalog;
use crate::format::core_entry::Told;
use crate::id::{Epoch, Lsn, RunId, Timestamp};
use crate::primitive::Frozen;
use crate::registry::PrimitiveRegistry;

/// The instances of one run, in the registry's order.
#[derive(Clone, Default)]
pub(crate) struct PublishedRun {
    frozen: Vec<Option<Frozen>>,
    pub(crate) last_lsn: Lsn,
    pub(crate) told: Told,
}

impl PublishedRun {
    /// A run that has only its place in the chain.
    pub(super) fn without_instances(last_lsn: Lsn, told: Told) -> PublishedRun {
        PublishedRun { frozen: Vec::new(), last_lsn, told }
    }

    pub(crate) fn put(&mut self, index: usize, frozen: Frozen) {
        if self.frozen.len() <= index {
            self.frozen.resize(index + 1, None);
        }
        self.frozen[index] = Some(frozen);
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Frozen> {
        self.frozen.get(index).and_then(Option::as_ref)
    }
}

/// The state after the record `lsn`.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) registry: &'static PrimitiveRegistry,
    pub(crate) runs: OrdMap<RunId, Arc<PublishedRun>>,
    pub(crate) table: RunTable,
    pub(crate) detached: Arc<Detached>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) lsn: Lsn,
    pub(crate) epoch: Epoch,
    pub(crate) timestamp: Timestamp,
    /// From this record on, what the runs did is kept somewhere.
    pub(crate) kept_from: Lsn,
}

impl Published {
    /// The state of a database without a record.
    pub(crate) fn empty(registry: &'static PrimitiveRegistry) -> Published {
        Published {
            registry,
            runs: OrdMap::new(),
            table: RunTable::default(),
            detached: Arc::default(),
            catalog: Arc::default(),
            lsn: Lsn::ZERO,
            epoch: Epoch(0),
            timestamp: Timestamp(0),
            kept_from: Lsn::ZERO,
        }
    }
}
