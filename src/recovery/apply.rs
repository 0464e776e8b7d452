//! From scanned entries to state: one monomorphised loop a bucket, primitives and runs in parallel.
//!
//! - The entries of one instance are applied in the order of the log.
//! - Instances know nothing of each other, so their batches commute.
//! - The run table follows the log's order. A run's instances are made before, and dropped after,
//!   everything else of the chunk: its ID is never used again, so nothing between can tell.
//! - A fork begins a chunk, so it finds its parent as it was.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Damage, Error, Result};
use crate::format::core_entry::Origin;
use crate::id::{Epoch, Lsn, RunId, Timestamp};
use crate::primitive::{EntryAt, Instance, LoggedEntries, RecordAt};
use crate::state::{RunRow, RunState, State};
use crate::wal::scan::SegmentReader;

use super::parallel::in_parallel;

/// Below this many entries a second thread costs more than it saves.
const PARALLEL_ENTRIES_MIN: usize = 8192;

/// The entries of one instance, in the order of the log.
pub(super) struct Bucket {
    pub(super) run: RunId,
    /// The primitive's index in the registry.
    pub(super) primitive: usize,
    pub(super) entries: Vec<EntryAt>,
}

/// A change of the run table, and where in the segment it stands.
pub(super) enum RunEvent {
    Created(RunRow, usize),
    /// Comes first of all in its chunk.
    Forked(RunRow, usize),
    Deleted(RunId, usize),
}

/// What a piece of the log holds, sorted by whose it is.
#[derive(Default)]
pub(super) struct Chunk {
    /// Runs created and deleted, in the order of the log.
    pub(super) runs: Vec<RunEvent>,
    pub(super) buckets: Vec<Bucket>,
    /// The records that the entries' places name.
    pub(super) records: Vec<RecordAt>,
    /// Those of them that an entry comes from, and the record in which it stands here.
    pub(super) origins: HashMap<u32, Lsn>,
    /// Entries of detached primitives, by type ID.
    pub(super) carried: Vec<(u8, RunId, EntryAt)>,
    /// The last record in it.
    pub(super) end: Option<(Lsn, Epoch, Timestamp)>,
}

/// A bucket with the instance it goes to.
struct Task {
    bucket: Bucket,
    instance: Instance,
}

/// Applies a chunk to the state. `segment` is what the entries' places refer to.
pub(super) fn apply(
    state: &mut State,
    chunk: Chunk,
    segment: &SegmentReader,
    threads: usize,
) -> Result<()> {
    let corrupt = |run, what, offset: usize| {
        Error::corrupt(segment.path(), offset as u64, Damage::Run { run, what })
    };
    let (records, origins) = (chunk.records, chunk.origins);
    let lsn_of = |at: &EntryAt| {
        let of_record = || records.get(at.record as usize).map(|record| record.lsn);
        origins.get(&at.record).copied().or_else(of_record)
    };
    let told_to = |at: &EntryAt| {
        let RecordAt { lsn, timestamp } = *records.get(at.record as usize)?;
        origins.contains_key(&at.record).then_some(Origin { lsn, timestamp, index: 0 })
    };
    let logged = LoggedEntries { bytes: segment.bytes(), records: &records, entries: &[] };
    let mut deleted = Vec::new();
    for event in chunk.runs {
        match event {
            RunEvent::Created(row, offset) => {
                let (run, created_lsn) = (row.id, row.created_lsn);
                insert(state, row).map_err(|what| corrupt(run, what, offset))?;
                state.runs.insert(run, RunState::begun(created_lsn));
            }
            RunEvent::Forked(row, offset) => {
                let (run, created_lsn) = (row.id, row.created_lsn);
                let parent = row.parent.map_or(RunId::ROOT, |(parent, _)| parent);
                if !state.runs.contains_key(&parent) {
                    return Err(corrupt(parent, "is forked and is not there", offset));
                }
                insert(state, row).map_err(|what| corrupt(run, what, offset))?;
                if state.detached.has_run(parent) {
                    Arc::make_mut(&mut state.detached).fork_run(parent, run);
                }
                state.fork_run(parent, run).last_lsn = created_lsn;
            }
            RunEvent::Deleted(run, offset) => {
                if state.table.remove(run).is_none() {
                    return Err(corrupt(run, "is deleted and not there", offset));
                }
                deleted.push(run);
            }
        }
    }
    let registry = state.registry;
    let mut tasks = Vec::with_capacity(chunk.buckets.len());
    let mut count = 0;
    for bucket in chunk.buckets {
        let Some(run) = state.runs.get_mut(&bucket.run) else {
            let offset = bucket.entries.first().map_or(0, EntryAt::offset);
            return Err(corrupt(bucket.run, "has an entry and is not there", offset));
        };
        if let Some(lsn) = bucket.entries.last().and_then(lsn_of) {
            run.last_lsn = run.last_lsn.max(lsn);
        }
        if !origins.is_empty() {
            bucket.entries.iter().filter_map(told_to).for_each(|origin| run.told.raise(&origin));
        }
        count += bucket.entries.len();
        let instance = run.take(registry, bucket.primitive);
        tasks.push(Task { bucket, instance });
    }
    let done = if threads > 1 && tasks.len() > 1 && count >= PARALLEL_ENTRIES_MIN {
        // The largest first, so that no thread is left with it at the end.
        tasks.sort_by_key(|task| Reverse(task.bucket.entries.len()));
        in_parallel(tasks, threads, |task| run_task(state, task, logged))?
    } else {
        tasks
            .into_iter()
            .map(|task| run_task(state, task, logged))
            .collect::<Result<Vec<Task>>>()?
    };
    for task in done {
        if let Some(run) = state.runs.get_mut(&task.bucket.run) {
            run.put(task.bucket.primitive, task.instance);
        }
    }
    for (type_id, run, at) in chunk.carried {
        let Some(of) = state.runs.get_mut(&run) else {
            return Err(corrupt(run, "has an entry and is not there", at.offset()));
        };
        let Some(entry) = logged.read(at) else {
            return Err(corrupt(run, "has an entry that is not there", at.offset()));
        };
        of.last_lsn = of.last_lsn.max(lsn_of(&at).unwrap_or_default());
        if let Some(origin) = told_to(&at) {
            of.told.raise(&origin);
        }
        Arc::make_mut(&mut state.detached).push(type_id, run, &entry);
    }
    for run in deleted {
        state.runs.remove(&run);
        Arc::make_mut(&mut state.detached).remove_run(run);
    }
    if let Some((lsn, epoch, timestamp)) = chunk.end {
        (state.lsn, state.epoch, state.timestamp) = (lsn, epoch, timestamp);
    }
    Ok(())
}

/// Enters a run in the table, or says what is wrong with it.
fn insert(state: &mut State, row: RunRow) -> Result<(), &'static str> {
    if state.table.next_id() != Some(row.id) {
        return Err("is not the next one");
    }
    if state.table.insert(row) { Ok(()) } else { Err("has the name of another") }
}

fn run_task(state: &State, mut task: Task, logged: LoggedEntries<'_>) -> Result<Task> {
    let descriptor = &state.registry.list()[task.bucket.primitive];
    let entries = &task.bucket.entries;
    descriptor.replay(&mut task.instance, &LoggedEntries { entries, ..logged })?;
    Ok(task)
}
