//! From a run's operations to its state.

use std::collections::BTreeMap;

use super::run_log::{RunEntry, RunLog};
use crate::error::{Damage, Error, Result};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::LoggedEntry;
use crate::recovery::linked_primitive;
use crate::registry::PrimitiveRegistry;
use crate::state::{Published, RunRow, RunState, State};

/// What entries make.
pub(crate) struct Built<'e> {
    pub(crate) run: RunState,
    /// Entries of primitives that are not linked.
    pub(crate) detached: Vec<&'e RunEntry>,
}

/// The instances that these entries make.
///
/// # Errors
///
/// What replaying the log would refuse.
pub(crate) fn build<'e>(
    registry: &'static PrimitiveRegistry,
    log: &RunLog,
    entries: &'e [RunEntry],
) -> Result<Built<'e>> {
    let mut by_type: BTreeMap<u8, Vec<&RunEntry>> = BTreeMap::new();
    for entry in entries {
        by_type.entry(entry.type_id).or_default().push(entry);
    }
    let mut built = Built { run: RunState::default(), detached: Vec::new() };
    for (type_id, mut entries) in by_type {
        let logged: Vec<LoggedEntry<'_>> = entries.iter().map(|entry| entry.logged()).collect();
        let Some(row) = log.catalog.get(&type_id) else {
            let wal_type = logged.first().map_or(0, |entry| entry.wal_type);
            return Err(Error::reject(Damage::UnknownWalType { wal_type }));
        };
        let Some(index) = linked_primitive(registry, row, &logged)? else {
            built.detached.append(&mut entries);
            continue;
        };
        let primitive = registry.list()[index];
        for entry in &logged {
            if !primitive.wal_types().contains(&entry.wal_type) {
                let wal_type = entry.wal_type;
                return Err(Error::reject(Damage::UnknownWalType { wal_type }));
            }
        }
        let mut instance = primitive.create();
        primitive.replay_carried(&mut instance, &logged)?;
        built.run.put(index, instance);
    }
    Ok(built)
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
