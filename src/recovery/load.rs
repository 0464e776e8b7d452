//! Loading a snapshot: sections of linked primitives into instances, in parallel; sections of
//! detached ones as they are.
//!
//! - An index is rebuilt on every instance before anything is replayed onto it.
//! - What a primitive missed while it was detached is applied to it here, before the log's tail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::DiskRef;
use crate::error::{Damage, Error, Reason, RegistryError, Result};
use crate::id::{Lsn, RunId};
use crate::primitive::{Instance, LoggedEntry, SectionReader, TableRows};
use crate::registry::PrimitiveRegistry;
use crate::snapshot::{InstanceRow, OwnedBlocks, Section, SnapshotFile};
use crate::state::{RunRow, RunState, State};

use super::owners::{
    CatalogFold, Owner, owner_of, refuse_other_fields, refuse_section_version, refuse_version,
};
use super::parallel::{Watched, in_parallel};
use super::{Phase, Settings};

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
    settings: &Settings,
) -> Result<(State, u32)> {
    let file = SnapshotFile::open(disk, lsn)?;
    file.features().refuse_unknown(file.path())?;
    let meta = file.meta();
    let mut state = State::empty(registry);
    state.lsn = meta.lsn;
    state.epoch = meta.epoch;
    state.timestamp = meta.timestamp;
    state.kept_from = meta.first_lsn;
    for row in &meta.runs {
        if row.is_gone {
            state.table.insert_gone(row.run, row.parent);
            continue;
        }
        let inserted = state.table.insert(RunRow {
            id: row.run,
            name: row.name.as_str().into(),
            created_lsn: row.created_lsn,
            parent: row.parent,
            is_fork: row.is_fork,
        });
        if !inserted {
            let of = "run, which stands twice in the run table,";
            let what = Damage::Value { of, found: row.run.0, expected: 0 };
            return Err(Error::corrupt(file.path(), 0, what));
        }
        let mut run = RunState::default();
        run.last_lsn = row.last_lsn;
        run.told = row.told;
        state.runs.insert(row.run, run);
    }
    state.table.forget_childless();
    state.table.raise_last_id(RunId(meta.next_run.saturating_sub(1)));
    if let Some(root) = state.runs.get_mut(&RunId::ROOT) {
        root.last_lsn = meta.root_last_lsn;
    }

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
                    let is_there = row.run == RunId::ROOT || state.table.get(row.run).is_some();
                    let instance = file.raw_instance(section, row)?;
                    detached.put(section.type_id(), instance, is_there);
                }
            }
        }
    }
    for loaded in load_all(&file, registry, &tasks, settings)? {
        match state.runs.get_mut(&loaded.run) {
            Some(run) => run.put(loaded.primitive, loaded.instance),
            // The file names no run that is not there but as the base of others.
            None => drop(loaded),
        }
    }
    Ok((state, meta.chain))
}

/// An instance at its end, and as it was after the first entries that were carried for it: after so many
/// as a fork of it has.
struct Stages {
    at: BTreeMap<u64, Instance>,
}

/// Loads all: first those that stand by themselves, then those that are changes to others, in the order
/// of their runs, since a base is of a lower one.
fn load_all(
    file: &SnapshotFile,
    registry: &'static PrimitiveRegistry,
    tasks: &[Task<'_>],
    settings: &Settings,
) -> Result<Vec<Loaded>> {
    let bytes = |task: &Task<'_>| task.section.bytes_of(task.row);
    let bytes_total = tasks.iter().map(bytes).sum();
    let bytes_done = AtomicU64::new(0);
    let watched = Watched::new(settings, Phase::Load, bytes_total, file.meta().lsn);
    watched.tell(0, None)?;
    let load_rows = |task: &Task<'_>, base: Option<&Instance>| {
        let primitive = registry.list()[task.primitive].name();
        watched.tell(bytes_done.load(Ordering::Relaxed), Some(primitive))?;
        let instance = load_rows(file, registry, task, base)?;
        bytes_done.fetch_add(bytes(task), Ordering::Relaxed);
        Ok::<_, Error>(instance)
    };
    let mut wanted: HashMap<(usize, RunId), BTreeSet<u64>> = HashMap::new();
    for task in tasks {
        if let Some(base) = task.row.base {
            wanted.entry((task.primitive, base.run)).or_default().insert(base.carried);
        }
    }
    let none = BTreeSet::new();
    let wanted_of = |task: &Task<'_>| wanted.get(&(task.primitive, task.row.run)).unwrap_or(&none);
    let (mut changes, whole): (Vec<&Task<'_>>, Vec<&Task<'_>>) =
        tasks.iter().partition(|task| task.row.base.is_some());
    let done = in_parallel(whole, settings.threads, |task| {
        let instance = load_rows(task, None)?;
        Ok((task, carry(file, registry, task, instance, wanted_of(task))?))
    })?;
    let mut loaded = Vec::with_capacity(tasks.len());
    let mut bases: HashMap<(usize, RunId), Stages> = HashMap::new();
    for (task, (instance, stages)) in done {
        bases.insert((task.primitive, task.row.run), stages);
        loaded.push(Loaded { run: task.row.run, primitive: task.primitive, instance });
    }
    changes.sort_by_key(|task| (task.row.run, task.primitive));
    for task in changes {
        let base = task
            .row
            .base
            .and_then(|base| bases.get(&(task.primitive, base.run))?.at.get(&base.carried));
        let Some(base) = base else {
            let what = Damage::Run { run: task.row.run, what: "has a base that is not there" };
            return Err(Error::corrupt(file.path(), task.section.offset(), what));
        };
        let instance = load_rows(task, Some(base))?;
        let (instance, stages) = carry(file, registry, task, instance, wanted_of(task))?;
        bases.insert((task.primitive, task.row.run), stages);
        loaded.push(Loaded { run: task.row.run, primitive: task.primitive, instance });
    }
    watched.tell(bytes_total, None)?;
    Ok(loaded)
}

/// The instance as its rows say, before the entries that were carried for it.
fn load_rows(
    file: &SnapshotFile,
    registry: &'static PrimitiveRegistry,
    task: &Task<'_>,
    base: Option<&Instance>,
) -> Result<Instance> {
    let descriptor = registry.list()[task.primitive];
    let blocks = file.read_instance(task.section, task.row)?;
    let tables = blocks.tables();
    match base {
        // An instance that was only ever carried has entries and no rows.
        None if tables.is_empty() => return Ok(descriptor.create()),
        Some(base) if tables.is_empty() => return Ok(descriptor.fork(base)),
        _ => {}
    }
    let is_current = task.row.section_version == descriptor.section_version();
    let load = || match base {
        None => descriptor.load(&mut SectionReader::new(&tables)),
        Some(base) if is_current => descriptor.load_changes(base, &mut SectionReader::new(&tables)),
        Some(_) => {
            let below = layers(file, task).map_err(Reason::from)?;
            let below: Vec<Vec<TableRows<'_>>> = below.iter().map(OwnedBlocks::tables).collect();
            let below = below.iter().map(Vec::as_slice);
            let all: Vec<_> = below.chain([tables.as_slice()]).collect();
            descriptor.load(&mut SectionReader::layered(&all))
        }
    };
    let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err("it panicked".into()));
    loaded.map_err(|reason| match reason.downcast::<Error>() {
        // What was wrong with a base stands where that stands.
        Ok(error) => *error,
        // The checksums are right: the code changed, and an older snapshot would not read better.
        Err(reason) => {
            let (primitive, run) = (descriptor.name(), task.row.run);
            let (file, reason) = (file.path().into(), reason.to_string().into());
            RegistryError::Section { file, primitive, run, reason }.into()
        }
    })
}

/// The rows of the bases, the lowest first: for a layout that only reading them all can turn into
/// today's. Changes that have rows were written with nothing carried below them.
fn layers(file: &SnapshotFile, task: &Task<'_>) -> Result<Vec<OwnedBlocks>> {
    let rows = task.section.instances();
    let mut layers = Vec::new();
    let mut base = task.row.base;
    while let Some(below) = base {
        let at = rows.binary_search_by_key(&below.run, |row| row.run).ok();
        let Some(row) = at.and_then(|at| rows.get(at)) else { break };
        layers.push(file.read_instance(task.section, row)?);
        base = row.base;
    }
    layers.reverse();
    Ok(layers)
}

/// Applies what was carried for the instance, and keeps it as it was after each count in `wanted`.
fn carry(
    file: &SnapshotFile,
    registry: &'static PrimitiveRegistry,
    task: &Task<'_>,
    mut instance: Instance,
    wanted: &BTreeSet<u64>,
) -> Result<(Instance, Stages)> {
    let descriptor = registry.list()[task.primitive];
    let mut stages = Stages { at: BTreeMap::new() };
    if task.row.carried_count == 0 {
        if wanted.contains(&0) {
            stages.at.insert(0, descriptor.fork(&instance));
        }
        return Ok((instance, stages));
    }
    let blocks = file.read_instance(task.section, task.row)?;
    let entries: Vec<LoggedEntry<'_>> = blocks.carried().collect();
    let linked = &registry.facts()[task.primitive];
    for entry in &entries {
        refuse_version(linked, entry.wal_type, entry.version, entry.lsn)?;
    }
    let mut done = 0;
    let count = entries.len();
    for end in wanted.iter().map(|count| usize::try_from(*count).unwrap_or(usize::MAX)) {
        let next = entries.get(done..end).unwrap_or_default();
        descriptor.replay_carried(&mut instance, next)?;
        done = end.min(count);
        stages.at.insert(done as u64, descriptor.fork(&instance));
    }
    descriptor.replay_carried(&mut instance, entries.get(done..).unwrap_or_default())?;
    Ok((instance, stages))
}
