//! From scanned entries to state: one monomorphised loop a batch, primitives and runs in parallel.
//!
//! - The entries of one instance are applied in the order of the log.
//! - Instances know nothing of each other, so their batches commute.
//! - A run is created before, and deleted after, everything else of the chunk it stands in: its ID
//!   is never used again, so nothing between can tell.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{Damage, Error, Result};
use crate::id::{Epoch, Lsn, RunId, Timestamp};
use crate::primitive::{Instance, LoggedEntry};
use crate::state::{RunRow, RunState, State};
use crate::wal::scan::SegmentReader;

/// How many entries one indirect call gets.
const BATCH_ENTRIES: usize = 4096;

/// Below this many entries a second thread costs more than it saves.
const PARALLEL_ENTRIES_MIN: usize = 8192;

/// Where an entry stands in its segment, and what its context is.
#[derive(Clone, Copy)]
pub(super) struct EntryAt {
    pub(super) lsn: Lsn,
    pub(super) timestamp: Timestamp,
    /// Where its payload begins, in bytes from the start of the segment's buffer.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) index: u32,
    pub(super) wal_type: u8,
    pub(super) version: u8,
}

impl EntryAt {
    /// The entry itself. `None` cannot happen: the scan took the place from this very buffer.
    pub(super) fn read<'a>(&self, segment: &'a [u8]) -> Option<LoggedEntry<'a>> {
        Some(LoggedEntry {
            wal_type: self.wal_type,
            version: self.version,
            index: self.index,
            lsn: self.lsn,
            timestamp: self.timestamp,
            payload: segment.get(self.start..self.start.checked_add(self.len)?)?,
        })
    }
}

/// The entries of one instance, in the order of the log.
pub(super) struct Bucket {
    pub(super) run: RunId,
    /// The primitive's index in the registry.
    pub(super) primitive: usize,
    pub(super) entries: Vec<EntryAt>,
}

/// What a piece of the log holds, sorted by whose it is.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) created: Vec<RunRow>,
    pub(super) buckets: Vec<Bucket>,
    /// Entries of detached primitives, by type ID.
    pub(super) carried: Vec<(u8, RunId, EntryAt)>,
    pub(super) deleted: Vec<RunId>,
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
    let bytes = segment.bytes();
    let no_run = |run: RunId, offset: usize| {
        let what = Damage::Value { of: "run, which is not there,", found: run.0, expected: 0 };
        Error::corrupt(segment.path(), offset as u64, what)
    };
    for row in chunk.created {
        let id = row.id;
        if !state.table.insert(row) {
            return Err(no_run(id, 0));
        }
        state.runs.insert(id, RunState::default());
    }
    let registry = state.registry;
    let mut tasks = Vec::with_capacity(chunk.buckets.len());
    let mut count = 0;
    for bucket in chunk.buckets {
        let Some(run) = state.runs.get_mut(&bucket.run) else {
            return Err(no_run(bucket.run, bucket.entries.first().map_or(0, |entry| entry.start)));
        };
        if let Some(last) = bucket.entries.last() {
            run.last_lsn = run.last_lsn.max(last.lsn);
        }
        count += bucket.entries.len();
        let instance = run.take(registry, bucket.primitive);
        tasks.push(Task { bucket, instance });
    }
    let done = if threads > 1 && tasks.len() > 1 && count >= PARALLEL_ENTRIES_MIN {
        in_parallel(state, tasks, bytes, threads)?
    } else {
        tasks.into_iter().map(|task| run_task(state, task, bytes)).collect::<Result<Vec<Task>>>()?
    };
    for task in done {
        if let Some(run) = state.runs.get_mut(&task.bucket.run) {
            run.put(task.bucket.primitive, task.instance);
        }
    }
    for (type_id, run, entry) in chunk.carried {
        let Some(of) = state.runs.get_mut(&run) else { return Err(no_run(run, entry.start)) };
        of.last_lsn = of.last_lsn.max(entry.lsn);
        let Some(entry) = entry.read(bytes) else { continue };
        Arc::make_mut(&mut state.detached).push(type_id, run, &entry);
    }
    for run in chunk.deleted {
        if state.runs.remove(&run).is_none() {
            return Err(no_run(run, 0));
        }
        state.table.remove(run);
        Arc::make_mut(&mut state.detached).remove_run(run);
    }
    if let Some((lsn, epoch, timestamp)) = chunk.end {
        (state.lsn, state.epoch, state.timestamp) = (lsn, epoch, timestamp);
    }
    Ok(())
}

fn run_task(state: &State, mut task: Task, segment: &[u8]) -> Result<Task> {
    let descriptor = &state.registry.list()[task.bucket.primitive];
    let mut batch = Vec::with_capacity(BATCH_ENTRIES.min(task.bucket.entries.len()));
    for entries in task.bucket.entries.chunks(BATCH_ENTRIES) {
        batch.clear();
        batch.extend(entries.iter().filter_map(|entry| entry.read(segment)));
        descriptor.apply_batch(&mut task.instance, &batch)?;
    }
    Ok(task)
}

fn in_parallel(
    state: &State,
    mut tasks: Vec<Task>,
    segment: &[u8],
    threads: usize,
) -> Result<Vec<Task>> {
    // The largest first, so that no thread is left with it at the end.
    tasks.sort_by_key(|task| task.bucket.entries.len());
    let workers = threads.min(tasks.len());
    let todo = Mutex::new(tasks);
    let work = || {
        let mut done = Vec::new();
        loop {
            let task = todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match task {
                Some(task) => done.push(run_task(state, task, segment)?),
                None => return Ok(done),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for thread in threads {
            let done = thread.join().unwrap_or_else(|_| Err(Error::Poisoned));
            match (&mut all, done) {
                (Ok(all), Ok(done)) => all.extend(done),
                (Ok(_), Err(error)) => all = Err(error),
                (Err(_), _) => {}
            }
        }
        all
    })
}
