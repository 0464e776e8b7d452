//! All state in memory: the runs, and in each an instance of every primitive it has used.
//!
//! - The *working* state ([`State`]) belongs to the one writer; recovery builds it, transactions
//!   change it.
//! - A [`Published`] state never changes. It is made from the working one by cloning the instances
//!   that were touched since the last one, and shares the rest with it.
//! - Nothing here knows of files.

mod detached;
mod published;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::format::catalog::Catalog;
use crate::format::core_entry::Told;
use crate::id::{Epoch, Lsn, RunId, Timestamp};
use crate::primitive::Instance;
use crate::registry::PrimitiveRegistry;

pub(crate) use detached::Detached;
pub(crate) use published::Published;
use published::PublishedRun;
pub use runs::RunRow;
pub(crate) use runs::RunTable;

/// One primitive's instance in one run, with what the writer notes about it.
pub(crate) struct Cell {
    pub(crate) instance: Instance,
    /// Stands in the running transaction's list of touched cells.
    pub(crate) touched: bool,
    /// Changed since it was last published.
    pub(crate) dirty: bool,
}

impl Cell {
    pub(crate) fn new(instance: Instance) -> Cell {
        Cell { instance, touched: false, dirty: false }
    }
}

/// A run in the working state. Cells stand in the registry's order; an unused one is absent.
#[derive(Default)]
pub(crate) struct RunState {
    cells: Vec<Option<Cell>>,
    /// The last record with an entry of this run: where its chain begins.
    pub(crate) last_lsn: Lsn,
    /// What its operations were told at most, where they were not told their own record.
    pub(crate) told: Told,
}

impl RunState {
    /// An empty run that the record at `lsn` made.
    pub(crate) fn begun(lsn: Lsn) -> RunState {
        RunState { last_lsn: lsn, ..RunState::default() }
    }

    /// The cell of the primitive at `index` in the registry, made empty at its first use.
    pub(crate) fn cell(&mut self, registry: &PrimitiveRegistry, index: usize) -> &mut Cell {
        if self.cells.len() <= index {
            self.cells.resize_with(registry.list().len().max(index + 1), || None);
        }
        self.cells[index].get_or_insert_with(|| Cell::new(registry.list()[index].create()))
    }

    /// The cell of the primitive at `index`, if it was ever used.
    pub(crate) fn existing(&mut self, index: usize) -> Option<&mut Cell> {
        self.cells.get_mut(index).and_then(Option::as_mut)
    }

    /// Takes the cell out, so that a thread can work on it alone.
    pub(crate) fn take(&mut self, registry: &PrimitiveRegistry, index: usize) -> Instance {
        self.cells
            .get_mut(index)
            .and_then(Option::take)
            .map_or_else(|| registry.list()[index].create(), |cell| cell.instance)
    }

    /// Puts an instance where it belongs.
    pub(crate) fn put(&mut self, index: usize, instance: Instance) {
        if self.cells.len() <= index {
            self.cells.resize_with(index + 1, || None);
        }
        self.cells[index] = Some(Cell::new(instance));
    }
}

/// The working state.
pub(crate) struct State {
    pub(crate) registry: &'static PrimitiveRegistry,
    pub(crate) runs: BTreeMap<RunId, RunState>,
    pub(crate) table: RunTable,
    pub(crate) detached: Arc<Detached>,
    /// Every primitive that is linked or has data here.
    pub(crate) catalog: Arc<Catalog>,
    /// The last record applied.
    pub(crate) lsn: Lsn,
    pub(crate) epoch: Epoch,
    pub(crate) timestamp: Timestamp,
    /// From this record on, what the runs did is kept somewhere.
    pub(crate) kept_from: Lsn,
    /// Cells changed since the state was last published.
    dirty: Vec<(RunId, usize)>,
    /// Runs made since the state was last published.
    made: Vec<RunId>,
    /// Runs removed since the state was last published.
    removed: Vec<RunId>,
}

impl State {
    /// The state of a database without a record.
    pub(crate) fn empty(registry: &'static PrimitiveRegistry) -> State {
        State {
            registry,
            runs: BTreeMap::from([(RunId::ROOT, RunState::default())]),
            table: RunTable::default(),
            detached: Arc::default(),
            catalog: Arc::default(),
            lsn: Lsn::ZERO,
            epoch: Epoch(0),
            timestamp: Timestamp(0),
            kept_from: Lsn::ZERO,
            dirty: Vec::new(),
            made: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// A state that begins where a published one stands, and goes its own way from there.
    pub(crate) fn thawed(published: &Published) -> State {
        let mut state = State::empty(published.registry);
        for (run, frozen) in &published.runs {
            let thawed = state.runs.entry(*run).or_default();
            (thawed.last_lsn, thawed.told) = (frozen.last_lsn, frozen.told);
            for (index, primitive) in published.registry.list().iter().enumerate() {
                if let Some(frozen) = frozen.get(index) {
                    thawed.put(index, primitive.thaw(frozen));
                }
            }
        }
        for row in published.table.iter() {
            // A run that never wrote has no instances and is there all the same.
            state.runs.entry(row.id).or_default();
        }
        state.table = published.table.clone();
        state.detached = Arc::clone(&published.detached);
        state.catalog = Arc::clone(&published.catalog);
        (state.lsn, state.epoch) = (published.lsn, published.epoch);
        (state.timestamp, state.kept_from) = (published.timestamp, published.kept_from);
        state
    }

    /// The instances of `run`. The root is always there.
    pub(crate) fn run(&mut self, run: RunId) -> Option<&mut RunState> {
        self.runs.get_mut(&run)
    }

    /// Every instance there is, with its run and its primitive's index in the registry.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (RunId, usize, &Instance)> {
        self.runs.iter().flat_map(|(run, state)| {
            let cells = state.cells.iter().enumerate();
            cells.filter_map(|(index, cell)| Some((*run, index, &cell.as_ref()?.instance)))
        })
    }

    /// Notes that the primitive at `index` in the registry has written its first entry at `lsn`.
    pub(crate) fn note_first_entry(&mut self, index: usize, lsn: Lsn) {
        let type_id = self.registry.list()[index].type_id();
        let wrote = |row: &&crate::format::catalog::CatalogRow| row.type_id == type_id;
        if self.catalog.rows.iter().find(wrote).is_none_or(|row| row.first_lsn != Lsn::ZERO) {
            return;
        }
        for row in &mut Arc::make_mut(&mut self.catalog).rows {
            if row.type_id == type_id {
                row.first_lsn = lsn;
            }
        }
    }

    /// Notes that the cell has changed since it was last published.
    pub(crate) fn mark_dirty(&mut self, run: RunId, index: usize) {
        let Some(state) = self.runs.get_mut(&run) else { return };
        state.last_lsn = self.lsn;
        if let Some(cell) = state.existing(index).filter(|cell| !cell.dirty) {
            cell.dirty = true;
            self.dirty.push((run, index));
        }
    }

    /// Adds a run that begins with what `parent` has now, but for what lives in the root only.
    pub(crate) fn fork_run(&mut self, parent: RunId, run: RunId) -> &mut RunState {
        let mut fork = RunState::default();
        let parent = self.runs.get(&parent);
        fork.told = parent.map_or_else(Told::default, |parent| parent.told);
        let cells = parent.map(|parent| parent.cells.as_slice());
        for (index, cell) in cells.unwrap_or_default().iter().enumerate() {
            let primitive = self.registry.list()[index];
            if let Some(cell) = cell.as_ref().filter(|_| !primitive.root_only()) {
                fork.put(index, primitive.fork(&cell.instance));
            }
        }
        let made = self.runs.entry(run).or_default();
        *made = fork;
        made
    }

    /// Notes that the record at `lsn` made `run`: its chain begins there, and what it has is new.
    pub(crate) fn note_made(&mut self, run: RunId, lsn: Lsn) {
        let Some(state) = self.runs.get_mut(&run) else { return };
        state.last_lsn = lsn;
        self.made.push(run);
        let mut used = Vec::new();
        for (index, cell) in state.cells.iter_mut().enumerate() {
            let Some(cell) = cell else { continue };
            used.push(index);
            if !cell.dirty {
                cell.dirty = true;
                self.dirty.push((run, index));
            }
        }
        for index in used {
            self.note_first_entry(index, lsn);
        }
    }

    /// Notes what operations of runs were told, where that was not their own record.
    pub(crate) fn note_told(&mut self, told: &BTreeMap<RunId, Told>) {
        for (run, told) in told {
            if let Some(state) = self.runs.get_mut(run) {
                state.told = state.told.max(told);
            }
        }
    }

    /// Removes `run` with everything in it.
    pub(crate) fn remove_run(&mut self, run: RunId) -> Option<RunState> {
        self.removed.push(run);
        self.table.remove(run);
        self.runs.remove(&run)
    }

    /// Puts a run back whose removal was undone.
    pub(crate) fn restore_run(&mut self, run: RunId, state: RunState) {
        self.runs.insert(run, state);
    }

    /// The first published state: every cell there is.
    pub(crate) fn publish_all(&mut self) -> Published {
        for (run, state) in &mut self.runs {
            self.made.push(*run);
            for (index, cell) in state.cells.iter_mut().enumerate() {
                if let Some(cell) = cell {
                    cell.dirty = true;
                    self.dirty.push((*run, index));
                }
            }
        }
        self.publish(&Published::empty(self.registry))
    }

    /// A state that nothing changes any more: what changed since `before` is cloned, the rest
    /// shared with it.
    pub(crate) fn publish(&mut self, before: &Published) -> Published {
        let mut runs = before.runs.clone();
        for run in self.removed.drain(..) {
            if !self.runs.contains_key(&run) {
                runs.remove(&run);
            }
        }
        for run in self.made.drain(..) {
            if let Some(state) = self.runs.get(&run) {
                // A run without an instance has its place in the chain all the same.
                runs.insert(
                    run,
                    Arc::new(PublishedRun::without_instances(state.last_lsn, state.told)),
                );
            }
        }
        for (run, index) in self.dirty.drain(..) {
            let Some(state) = self.runs.get_mut(&run) else { continue };
            let (last_lsn, told) = (state.last_lsn, state.told);
            let Some(cell) = state.existing(index) else { continue };
            cell.dirty = false;
            let frozen = self.registry.list()[index].freeze(&cell.instance);
            let entry = runs.entry(run).or_default();
            let published = Arc::make_mut(entry);
            published.put(index, frozen);
            (published.last_lsn, published.told) = (last_lsn, told);
        }
        Published {
            registry: self.registry,
            runs,
            table: self.table.clone(),
            detached: Arc::clone(&self.detached),
            catalog: Arc::clone(&self.catalog),
            lsn: self.lsn,
            epoch: self.epoch,
            timestamp: self.timestamp,
            kept_from: self.kept_from,
        }
    }
}
