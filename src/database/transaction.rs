//! A transaction while it runs: the one writer's hold on the working state.
//!
//! - Nothing is logged before its operation returned `Ok`, nothing stays in memory unless the whole
//!   record joins the log's queue.
//! - Dropping a transaction that was not committed undoes it; so a panic in the closure does too.
//! - Only cells in `touched` can have changed.

use std::sync::{Arc, MutexGuard};

use crate::database::writer::Writer;
use crate::error::{Damage, Error, Result};
use crate::format::core_entry::Told;
use crate::format::{RUN_NAME_BYTES_MAX, core_entry};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::{Handle, Live, PrimitiveStorageExt};
use crate::replay::{self, RunEntry, RunLog};
use crate::state::{Detached, RunRow, RunState, RunTable};

/// What the closure given to [`Database::transaction`](crate::Database::transaction) gets: access
/// to every primitive, atomic as a whole.
pub struct Transaction<'db> {
    writer: MutexGuard<'db, Writer>,
    undo: Undo,
    lsn: Lsn,
    timestamp: Timestamp,
    made: Vec<RunId>,
    is_freeing: bool,
    settled: bool,
}

/// What a transaction needs, besides the cells' own clones, to leave no trace.
struct Undo {
    table: RunTable,
    /// Kept only when a run with detached data is deleted.
    detached: Option<Arc<Detached>>,
    removed: Vec<(RunId, RunState)>,
}

/// A primitive that is implemented for `P` cannot be missing from the registry: naming it needs its
/// registration.
const REGISTERED: &str = "a primitive that is named is linked with its registration";

impl<'db> Transaction<'db> {
    pub(crate) fn begin(mut writer: MutexGuard<'db, Writer>, now: Timestamp) -> Transaction<'db> {
        let lsn = writer.state.lsn.next();
        let timestamp = now.max(writer.state.timestamp);
        let epoch = writer.epoch;
        writer.log.begin(lsn, timestamp, epoch);
        let undo = Undo { table: writer.state.table.clone(), detached: None, removed: Vec::new() };
        let made = Vec::new();
        Transaction { writer, undo, lsn, timestamp, made, is_freeing: false, settled: false }
    }

    /// The primitive `P`, to change it. Reads go through the same handle.
    pub fn on<P: PrimitiveStorageExt>(&mut self) -> P::Handle<'_> {
        handle::<P>(&mut self.writer, RunId::ROOT)
    }

    /// The primitive `P`, only to read: the borrow can outlive the statement.
    pub fn read<P: PrimitiveStorageExt>(&mut self) -> &P {
        read::<P>(&mut self.writer, RunId::ROOT)
    }

    /// The same transaction, in another run.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`].
    pub fn run(&mut self, run: RunId) -> Result<RunTransaction<'_>> {
        if run != RunId::ROOT && self.writer.state.table.get(run).is_none() {
            return Err(no_run(run));
        }
        Ok(RunTransaction { writer: &mut self.writer, run })
    }

    /// Makes an empty run. Its name is its creator's: 1 to 255 bytes, no other run may have it.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] with a [`RunNameError`].
    pub fn create_run(&mut self, name: &str) -> Result<RunId> {
        let run = self.make_run(core_entry::RUN_CREATE, None, name)?;
        self.writer.state.runs.insert(run, RunState::default());
        Ok(run)
    }

    /// Makes a run that begins with everything that `parent` has now, in this transaction, and goes its
    /// own way from here. It costs nothing: the two share what neither of them changes. `parent` may be
    /// the root; what lives in the root only is not part of the fork. The name is as for
    /// [`create_run`](Transaction::create_run).
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`]; [`Error::Rejected`] with a [`RunNameError`].
    pub fn fork(&mut self, parent: RunId, name: &str) -> Result<RunId> {
        let writer = &mut *self.writer;
        let is_root = parent == RunId::ROOT;
        if !is_root && writer.state.table.get(parent).is_none() {
            return Err(no_run(parent));
        }
        let last_lsn = match writer.state.run(parent) {
            Some(parent) if !is_root => parent.last_lsn,
            _ => self.lsn,
        };
        // What stands in this record already is part of the fork.
        let is_in_record = self.made.contains(&parent) || writer.log.has_entry_of(parent)?;
        let last_lsn = if is_in_record { self.lsn } else { last_lsn };
        let run = self.make_run(core_entry::RUN_FORK, Some((parent, last_lsn)), name)?;
        let state = &mut self.writer.state;
        if state.detached.has_run(parent) {
            self.undo.detached.get_or_insert_with(|| Arc::clone(&state.detached));
            Arc::make_mut(&mut state.detached).fork_run(parent, run);
        }
        state.fork_run(parent, run);
        Ok(run)
    }

    /// Makes a run that does once more what another one did: its entries are logged again, each with the
    /// place and time that it was told.
    pub(super) fn do_again(
        &mut self,
        name: &str,
        parent: Option<(RunId, Lsn)>,
        log: &RunLog,
        entries: &[RunEntry],
    ) -> Result<RunId> {
        let run = self.make_run(core_entry::RUN_CREATE, parent, name)?;
        let writer = &mut *self.writer;
        let built = replay::build(writer.state.registry, log, entries)?;
        writer.state.runs.insert(run, built.run);
        writer.log.set_run(run, Lsn::ZERO, Told::default());
        for entry in entries {
            writer.log.push_again(&entry.logged())?;
        }
        if let Some(entry) = built.detached.first() {
            let known = &writer.state.catalog.rows;
            let row = known.iter().find(|row| row.type_id == entry.type_id);
            // Of another database, perhaps, which no catalog of this one names.
            if row.is_none_or(|row| !row.wal_types.contains(&entry.told.wal_type)) {
                let wal_type = entry.told.wal_type;
                return Err(Error::reject(Damage::UnknownWalType { wal_type }));
            }
            self.undo.detached.get_or_insert_with(|| Arc::clone(&writer.state.detached));
            let detached = Arc::make_mut(&mut writer.state.detached);
            for entry in built.detached {
                detached.push(entry.type_id, run, &entry.logged());
            }
        }
        Ok(run)
    }

    /// The last record that is part of `run` as it is now, in this transaction.
    pub(super) fn last_lsn_of(&mut self, run: RunId) -> Result<Lsn> {
        if run == RunId::ROOT {
            return Ok(Lsn(self.lsn.0.saturating_sub(1)));
        }
        match self.writer.state.run(run) {
            Some(state) => Ok(state.last_lsn),
            None => Err(no_run(run)),
        }
    }

    /// Logs a new run and enters it in the table.
    fn make_run(
        &mut self,
        wal_type: u8,
        parent: Option<(RunId, Lsn)>,
        name: &str,
    ) -> Result<RunId> {
        if name.is_empty() || name.len() > RUN_NAME_BYTES_MAX {
            return Err(Error::reject(RunNameError::Length { found: name.len() }));
        }
        let state = &mut self.writer.state;
        if state.table.named(name).is_some() {
            return Err(Error::reject(RunNameError::Taken { name: name.into() }));
        }
        let Some(id) = state.table.next_id() else {
            return Err(Error::reject(RunNameError::NoneLeft));
        };
        // First what can be refused: a run that is not in the log must not be in the table.
        let payload = core_entry::RunCreate { run: id, parent, name }.encode();
        self.writer.log.push_core(wal_type, &payload)?;
        let is_fork = wal_type == core_entry::RUN_FORK;
        let row = RunRow { id, name: name.into(), created_lsn: self.lsn, parent, is_fork };
        self.writer.state.table.insert(row);
        self.made.push(id);
        Ok(id)
    }

    /// Deletes a run with everything in it.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`].
    pub fn delete_run(&mut self, run: RunId) -> Result<()> {
        let writer = &mut *self.writer;
        if writer.state.table.get(run).is_none() {
            return Err(no_run(run));
        }
        writer.log.push_core(core_entry::RUN_DELETE, &core_entry::RunDelete { run }.encode())?;
        if writer.state.detached.has_run(run) {
            self.undo.detached.get_or_insert_with(|| Arc::clone(&writer.state.detached));
            Arc::make_mut(&mut writer.state.detached).remove_run(run);
        }
        if let Some(state) = writer.state.remove_run(run) {
            self.undo.removed.push((run, state));
        }
        Ok(())
    }

    /// Says that this transaction makes the state smaller: on a full disk it may use the space that the
    /// log keeps back for that, some 64 KiB, so that a checkpoint can then be smaller too.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// # #[cfg(feature = "kv")] {
    /// # let db = Options::new().durability(Durability::InMemory).open("")?;
    /// db.transaction(|tx| {
    ///     tx.freeing();
    ///     tx.on::<KvStore>().delete(b"what is not needed any more")
    /// })?;
    /// # }
    /// # Ok::<(), freehold::Error>(())
    /// ```
    pub fn freeing(&mut self) {
        self.is_freeing = true;
    }

    pub(crate) fn is_freeing(&self) -> bool {
        self.is_freeing
    }

    /// The LSN that this transaction gets if it commits.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The time of this transaction, which every operation in it is told. In a run that was imported they
    /// may be told a later one, see [`OpContext`](crate::OpContext).
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Whether nothing was logged.
    pub(crate) fn is_empty(&self) -> bool {
        self.writer.log.is_empty()
    }

    /// The record's body as it stands.
    pub(crate) fn body(&mut self) -> Result<&[u8]> {
        self.writer.log.finish()
    }

    /// The writer, for the commit itself.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The record is in the queue: makes the changes final.
    pub(crate) fn settle(&mut self) {
        let (lsn, timestamp) = (self.lsn, self.timestamp);
        let writer = &mut *self.writer;
        writer.state.lsn = lsn;
        writer.state.timestamp = timestamp;
        writer.state.epoch = writer.epoch;
        let registry = writer.state.registry;
        // What it says was encoded here.
        writer.state.note_told(&writer.log.told().unwrap_or_default());
        for run in self.made.drain(..) {
            writer.state.note_made(run, lsn);
        }
        for (run, index) in std::mem::take(&mut writer.touched) {
            let Some(cell) = writer.state.run(run).and_then(|run| run.existing(index)) else {
                continue;
            };
            cell.touched = false;
            if registry.list()[index].settle(&mut cell.instance) {
                writer.state.mark_dirty(run, index);
                writer.state.note_first_entry(index, lsn);
            }
        }
        writer.log.clear();
        self.settled = true;
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let writer = &mut *self.writer;
        let registry = writer.state.registry;
        for (run, state) in self.undo.removed.drain(..) {
            writer.state.restore_run(run, state);
        }
        for (run, index) in std::mem::take(&mut writer.touched) {
            if let Some(cell) = writer.state.run(run).and_then(|run| run.existing(index)) {
                cell.touched = false;
                registry.list()[index].undo(&mut cell.instance);
            }
        }
        if let Some(detached) = self.undo.detached.take() {
            writer.state.detached = detached;
        }
        let before = std::mem::take(&mut self.undo.table);
        let created: Vec<RunId> = writer
            .state
            .table
            .iter()
            .rev()
            .map(|row| row.id)
            .take_while(|id| *id > before.last_id())
            .collect();
        for run in created {
            writer.state.runs.remove(&run);
        }
        writer.state.table = before;
        writer.log.clear();
    }
}

/// A transaction's view into one run.
pub struct RunTransaction<'tx> {
    writer: &'tx mut Writer,
    run: RunId,
}

impl RunTransaction<'_> {
    /// The primitive `P` of this run, to change it. A primitive that lives in the root only does
    /// not compile here.
    pub fn on<P: PrimitiveStorageExt>(&mut self) -> P::Handle<'_> {
        const {
            assert!(
                !P::ROOT_ONLY,
                "this primitive lives in the root only: use `db.transaction(|tx| tx.on::<..>())`"
            )
        }
        handle::<P>(self.writer, self.run)
    }

    /// The primitive `P` of this run, only to read.
    pub fn read<P: PrimitiveStorageExt>(&mut self) -> &P {
        const {
            assert!(
                !P::ROOT_ONLY,
                "this primitive lives in the root only: use `db.transaction(|tx| tx.read::<..>())`"
            )
        }
        read::<P>(self.writer, self.run)
    }
}

fn handle<P: PrimitiveStorageExt>(writer: &mut Writer, run: RunId) -> P::Handle<'_> {
    let index = writer.state.registry.index_of::<P>();
    let registry = writer.state.registry;
    let state = writer.state.runs.get_mut(&run).expect("a run that was looked up is there");
    let cell = state.cell(registry, index);
    if !cell.touched {
        cell.touched = true;
        writer.touched.push((run, index));
    }
    // The root has no chain: its records are all those that nothing else claims.
    let previous = if run == RunId::ROOT { Lsn::ZERO } else { state.last_lsn };
    writer.log.set_run(run, previous, state.told);
    let live: &mut Live<P> = state.cell(registry, index).instance.live_mut().expect(REGISTERED);
    P::Handle::from(Handle::new(live, &mut writer.log, run))
}

fn read<P: PrimitiveStorageExt>(writer: &mut Writer, run: RunId) -> &P {
    let index = writer.state.registry.index_of::<P>();
    let registry = writer.state.registry;
    let state = writer.state.runs.get_mut(&run).expect("a run that was looked up is there");
    state.cell(registry, index).instance.get().expect(REGISTERED)
}

fn no_run(run: RunId) -> Error {
    Error::NoRun { run: run.to_string().into() }
}

/// Why a run was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunNameError {
    /// The name is empty or too long.
    #[error("a run's name has {found} bytes, 1 to 255 fit")]
    Length {
        /// Bytes of the name given.
        found: usize,
    },
    /// Every number was given.
    #[error("no number is left for another run")]
    NoneLeft,
    /// Another run has the name.
    #[error("a run named {name} is there already")]
    Taken {
        /// The name.
        name: Box<str>,
    },
}
