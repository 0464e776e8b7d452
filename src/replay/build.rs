//! From a run's operations to its state.

use std::collections::BTreeMap;

use super::run_log::{RunEntry, RunLog};
use crate::error::Result;
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::LoggedEntry;
use crate::recovery::linked_primitive;
use crate::registry::PrimitiveRegistry;
use crate::state::{Published, RunRow, RunState, State};

/// The instances that these entries make. Those of primitives that are not linked make none.
///
/// # Errors
///
/// What replaying the log would refuse.
pub(crate) fn build(
    registry: &'static PrimitiveRegistry,
    log: &RunLog,
    entries: &[RunEntry],
) -> Result<RunState> {
    let mut by_type: BTreeMap<u8, Vec<LoggedEntry<'_>>> = BTreeMap::new();
    for entry in entries {
        by_type.entry(entry.type_id).or_default().push(entry.logged());
    }
    let mut run = RunState::default();
    for (type_id, entries) in by_type {
        let Some(row) = log.catalog.get(&type_id) else { continue };
        let Some(index) = linked_primitive(registry, row, &entries)? else { continue };
        let primitive = registry.list()[index];
        let mut instance = primitive.create();
        primitive.replay_carried(&mut instance, &entries)?;
        run.put(index, instance);
    }
    Ok(run)
}

/// A state in which there is only this run.
pub(crate) fn published(
    registry: &'static PrimitiveRegistry,
    row: RunRow,
    mut run: RunState,
    (lsn, timestamp): (Lsn, Timestamp),
) -> Published {
    let mut state = State::empty(registry);
    let id = row.id;
    if id != RunId::ROOT {
        state.table.insert(row);
    }
    run.last_lsn = lsn;
    state.runs.insert(id, run);
    (state.lsn, state.timestamp) = (lsn, timestamp);
    state.publish_all()
}
