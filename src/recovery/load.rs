//! Loading a snapshot: sections of linked primitives into instances, in parallel; sections of
//! detached ones as they are.
//!
//! - An index is rebuilt on every instance before anything is replayed onto it.
//! - What a primitive missed while it was detached is applied to it here, before the log's tail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::disk::DiskRef;
use crate::error::{Damage, Error, Reason, RegistryError, Result};
use crate::id::{Lsn, RunId};
use crate::primitive::{Instance, LoggedEntry, SectionReader};
use crate::registry::PrimitiveRegistry;
use crate::snapshot::{InstanceRow, Section, SnapshotFile};
use crate::state::{RunRow, RunState, State};

use super::owners::{
    CatalogFold, Owner, owner_of, refuse_other_fields, refuse_section_version, refuse_version,
};
use super::parallel::in_parallel;

/// An instance to be loaded.
struct Task<'f> {
    section: &'f Section,
    row: &'f InstanceRow,
    /// The primitive's index in the registry.
    primitive: usize,
}

/// An instance that was loaded.
struct Loaded {
    run: RunId,
    primitive: usize,
    instance: Instance,
}

/// The state at the snapshot's LSN, and the log's chain checksum there. The catalog is added to
/// `fold`.
pub(super) fn load(
    disk: &DiskRef,
    lsn: Lsn,
    registry: &'static PrimitiveRegistry,
    fold: &mut CatalogFold,
    threads: usize,
) -> Result<(State, u32)> {
    let file = SnapshotFile::open(disk, lsn)?;
    file.features().refuse_unknown(file.path())?;
    let meta = file.meta();
    let mut state = State::empty(registry);
    state.lsn = meta.lsn;
    state.epoch = meta.epoch;
    state.timestamp = meta.timestamp;
    for row in &meta.runs {
        let inserted = state.table.insert(RunRow {
            id: row.run,
            name: row.name.as_str().into(),
            created_lsn: row.created_lsn,
            parent: row.parent,
        });
        if !inserted {
            let of = "run, which stands twice in the run table,";
            let what = Damage::Value { of, found: row.run.0, expected: 0 };
            return Err(Error::corrupt(file.path(), 0, what));
        }
        let mut run = RunState::default();
        run.last_lsn = row.last_lsn;
        state.runs.insert(row.run, run);
    }
    state.table.raise_last_id(RunId(meta.next_run.saturating_sub(1)));

    fold.add(&meta.catalog);
    let mut tasks = Vec::new();
    for section in file.sections() {
        if section.instances().is_empty() {
            continue;
        }
        let row = meta.catalog.rows.iter().find(|row| row.type_id == section.type_id());
        let Some(row) = row else {
            let (of, found) = ("type ID, which the catalog does not name,", section.type_id());
            let what = Damage::Value { of, found: found.into(), expected: 0 };
            return Err(Error::corrupt(file.path(), 0, what));
        };
        fold.note(row.type_id, &row.name, meta.lsn);
        match owner_of(row, registry.facts())? {
            Owner::Linked(primitive) => {
                let linked = &registry.facts()[primitive];
                refuse_other_fields(row, linked)?;
                for row in section.instances() {
                    refuse_section_version(linked, row.section_version)?;
                    tasks.push(Task { section, row, primitive });
                }
            }
            _ => {
                let detached = Arc::make_mut(&mut state.detached);
                for row in section.instances() {
                    detached.put(section.type_id(), file.raw_instance(section, row)?);
                }
            }
        }
    }
    for loaded in load_all(&file, registry, tasks, threads)? {
        let Some(run) = state.runs.get_mut(&loaded.run) else {
            let of = "run, which the run table does not name,";
            let what = Damage::Value { of, found: loaded.run.0, expected: 0 };
            return Err(Error::corrupt(file.path(), 0, what));
        };
        run.put(loaded.primitive, loaded.instance);
    }
    Ok((state, meta.chain))
}

fn load_all(
    file: &SnapshotFile,
    registry: &'static PrimitiveRegistry,
    tasks: Vec<Task<'_>>,
    threads: usize,
) -> Result<Vec<Loaded>> {
    in_parallel(tasks, threads, |task| load_one(file, registry, &task))
}

fn load_one(
    file: &SnapshotFile,
    registry: &'static PrimitiveRegistry,
    task: &Task<'_>,
) -> Result<Loaded> {
    let descriptor = registry.list()[task.primitive];
    let blocks = file.read_instance(task.section, task.row)?;
    let tables = blocks.tables();
    let undecodable = |reason: Reason| {
        let (primitive, run) = (descriptor.name(), task.row.run);
        let (file, reason) = (file.path().into(), reason.to_string().into());
        // The checksums are right: the code changed, and an older snapshot would not read better.
        Error::from(RegistryError::Section { file, primitive, run, reason })
    };
    // An instance that was only ever carried has entries and no rows.
    let mut instance = if tables.is_empty() {
        descriptor.create()
    } else {
        let load = || descriptor.load(&mut SectionReader::new(&tables));
        catch_unwind(AssertUnwindSafe(load))
            .unwrap_or_else(|_| Err("it panicked".into()))
            .map_err(undecodable)?
    };
    let entries: Vec<LoggedEntry<'_>> = blocks.carried().collect();
    let linked = &registry.facts()[task.primitive];
    for entry in &entries {
        refuse_version(linked, entry.wal_type, entry.version, entry.lsn)?;
    }
    if !entries.is_empty() {
        descriptor.replay_carried(&mut instance, &entries)?;
    }
    Ok(Loaded { run: task.row.run, primitive: task.primitive, instance })
}
