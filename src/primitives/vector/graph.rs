//! The graphs by which large collections are searched: hierarchical navigable small worlds (Malkov and
//! Yashunin, 2016), one for each collection and metric.
//!
//! - A graph belongs to no view. It holds the slots of all views that used it, each with its vector,
//!   which it shares with the state; a search leaves out what its view does not hold.
//! - A slot is never used again and its vector never changes. So a graph that holds the slots of a
//!   view is right for it whatever else it holds.
//! - `covered` are the views, by their last change, all of whose slots are in the graph. A view between
//!   two of them may hold what neither does: its slots since the last covered one before it are looked
//!   up one by one.
//! - A graph is replaced, never emptied: searches go on in the old one. It begins with one view, and
//!   is of no use to older ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread;

use hnsw_stable::{Dtype, Hnsw, HnswConfig, NodeId, VectorFamily, VectorRef, VectorView};

use super::metric::{Measured, Metric};
use super::{Collection, VectorEntry, VectorStore};

/// Neighbours of a node on the upper layers; twice as many on the lowest.
const NEIGHBOURS: usize = 16;

/// How many candidates an insertion looks at.
const BUILD_EFFORT: usize = 200;

/// A graph has at least so many places more than vectors.
const ROOM_MIN: usize = 1_024;

/// Below this number of dead slots a graph is not made anew for their sake.
const DEAD_MIN: usize = 1_024;

/// Locks of the library by which insertions of the same key keep apart. No key is inserted twice.
const KEY_LOCKS: usize = 64;

/// More nodes than this the library cannot number, also after some growth.
const NODES_MAX: usize = 1 << 31;

/// Below this number of insertions a second thread costs more than it saves.
const PARALLEL_MIN: usize = 512;

/// How many covered views are remembered. Forgetting one costs time only.
const COVERED_MAX: usize = 1_024;

/// All graphs of one instance. What views share.
#[derive(Default)]
pub(super) struct Graphs {
    graphs: Mutex<HashMap<(u64, Metric), Arc<Graph>>>,
}

/// The graph of one collection under one metric, over time.
struct Graph {
    metric: Metric,
    current: RwLock<Option<Arc<World>>>,
    /// Held by whoever adds to it.
    adding: Mutex<()>,
}

/// One graph.
pub(super) struct World {
    links: Hnsw<u64, MetricOf>,
    vectors: Vectors,
    /// The last change of the view it began with.
    begins: u64,
    covered: RwLock<BTreeSet<u64>>,
}

/// The vectors of a graph's nodes.
struct Vectors {
    dimension: usize,
    entries: Vec<OnceLock<Arc<VectorEntry>>>,
}

/// The vectors of a graph, and the one that is about to be added.
struct Adding<'a> {
    vectors: &'a Vectors,
    entry: &'a Arc<VectorEntry>,
}

impl VectorStore {
    /// Brings up to date the graphs that a search in this view would use if it named no metric.
    pub(super) fn build_graphs(&self, graphs: &Graphs) {
        for collection in self.collections.values() {
            if collection.is_large() {
                graphs.covering(self, collection, collection.metric);
            }
        }
    }
}

impl Graphs {
    /// The graph, once it holds all that the view does. `None` if the view is older than it.
    pub(super) fn covering(
        &self,
        view: &VectorStore,
        collection: &Collection,
        metric: Metric,
    ) -> Option<Arc<World>> {
        let mut graphs = held(&self.graphs);
        if !graphs.contains_key(&(collection.number, metric)) {
            // What this view does not have was removed, unless it came later.
            let numbers: BTreeSet<u64> =
                view.collections.values().map(|each| each.number).collect();
            graphs.retain(|(number, _), _| numbers.contains(number) || *number > view.changes);
        }
        let graph = graphs.entry((collection.number, metric)).or_insert_with(|| {
            Arc::new(Graph { metric, current: RwLock::default(), adding: Mutex::default() })
        });
        let graph = Arc::clone(graph);
        drop(graphs);
        graph.covering(view, collection)
    }
}

impl Graphs {
    /// How many slots the graph holds, if there is one.
    pub(super) fn len(&self, collection: &Collection, metric: Metric) -> Option<usize> {
        let graph = held(&self.graphs).get(&(collection.number, metric)).map(Arc::clone)?;
        Some(graph.current()?.len())
    }
}

impl Graph {
    fn covering(&self, view: &VectorStore, collection: &Collection) -> Option<Arc<World>> {
        if let Some(world) = self.current().filter(|world| world.covers(collection)) {
            return Some(world);
        }
        let _adding = held(&self.adding);
        let Some(world) = self.current() else {
            return self.begin(view, collection);
        };
        if world.covers(collection) {
            return Some(world);
        }
        if collection.changed < world.begins {
            return None;
        }
        let (last_before, is_newest) = world.before(collection);
        let missing: Vec<_> = view
            .entries(collection, last_before.saturating_add(1))
            .filter(|(slot, _)| world.links.node_id(slot).is_err())
            .collect();
        let nodes = world.links.len().saturating_add(missing.len());
        let live = usize::try_from(collection.count).unwrap_or(usize::MAX);
        let dead = nodes.saturating_sub(live);
        let crowded = nodes > world.links.max_nodes() || dead > DEAD_MIN.max(live / 2);
        match (crowded, is_newest) {
            (true, true) => self.begin(view, collection),
            (true, false) if nodes > world.links.max_nodes() => None,
            _ => world.add(&missing, collection).then_some(world),
        }
    }

    fn current(&self) -> Option<Arc<World>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the graph of this view and puts it in the place of the one before.
    fn begin(&self, view: &VectorStore, collection: &Collection) -> Option<Arc<World>> {
        let entries: Vec<_> = view.entries(collection, 0).collect();
        if entries.len() > NODES_MAX {
            return None;
        }
        let world = Arc::new(World::new(self.metric, collection, entries.len()));
        if !world.add(&entries, collection) {
            return None;
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&world));
        Some(world)
    }
}

impl World {
    fn new(metric: Metric, collection: &Collection, count: usize) -> World {
        let dimension = collection.dimension();
        let places = count.saturating_add((count / 2).max(ROOM_MIN));
        let config = HnswConfig::new(dimension, places)
            .m(NEIGHBOURS)
            .ef_construction(BUILD_EFFORT)
            .ef_search(1)
            .label_operation_locks(KEY_LOCKS);
        World {
            links: Hnsw::new(MetricOf(metric), config),
            vectors: Vectors { dimension, entries: (0..places).map(|_| OnceLock::new()).collect() },
            begins: collection.changed,
            covered: RwLock::default(),
        }
    }

    fn covers(&self, collection: &Collection) -> bool {
        self.covered.read().unwrap_or_else(PoisonError::into_inner).contains(&collection.changed)
    }

    /// The last covered view before this one, and whether none is after it.
    fn before(&self, collection: &Collection) -> (u64, bool) {
        let covered = self.covered.read().unwrap_or_else(PoisonError::into_inner);
        let before = covered.range(..collection.changed).next_back().copied().unwrap_or(0);
        (before, covered.last().is_none_or(|last| *last < collection.changed))
    }

    /// Adds what the view holds and the graph does not. `false` if the graph took it not.
    fn add(&self, missing: &[(u64, &Arc<VectorEntry>)], collection: &Collection) -> bool {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((slot, entry)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let adding = Adding { vectors: &self.vectors, entry };
                if self.links.insert(&adding, *slot, entry.measured()).is_err() {
                    return false;
                }
            }
            true
        };
        let threads = match missing.len() {
            PARALLEL_MIN.. => thread::available_parallelism().map_or(1, usize::from),
            _ => 1,
        };
        let done = thread::scope(|scope| {
            // A thread that cannot be had is done without.
            let others = (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, work));
            let others: Vec<_> = others.filter_map(Result::ok).collect();
            let own = work();
            others.into_iter().all(|other| other.join().unwrap_or(false)) && own
        });
        if done {
            let mut covered = self.covered.write().unwrap_or_else(PoisonError::into_inner);
            covered.insert(collection.changed);
            if covered.len() > COVERED_MAX {
                covered.pop_first();
            }
        }
        done
    }

    /// Up to `effort` slots near the query that are allowed, each with its distance.
    pub(super) fn near(
        &self,
        query: Measured<'_>,
        effort: usize,
        allowed: Option<&dyn Fn(&u64) -> bool>,
    ) -> Vec<(f32, u64)> {
        // The library looks at one candidate more than it is asked for, if that is more than its own
        // setting, which all threads share and which is therefore 1.
        let count = effort.saturating_sub(1).max(1);
        let hits = self.links.search(&self.vectors, query, count, allowed).unwrap_or_default();
        hits.into_iter().map(|hit| (hit.distance, hit.key)).collect()
    }

    /// How many slots it holds.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing behind these locks is ever half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metric, for the library.
#[derive(Clone, Copy)]
struct MetricOf(Metric);

impl hnsw_stable::Metric for MetricOf {
    type Family = MeasuredVectors;

    fn distance<'a, 'b>(&self, one: Measured<'a>, other: Measured<'b>) -> f32 {
        self.0.between(one, other)
    }
}

/// Vectors that know their length, for the library.
#[derive(Clone, Copy)]
struct MeasuredVectors;

impl VectorFamily for MeasuredVectors {
    type Ref<'a> = Measured<'a>;
    const DTYPE: Dtype = Dtype::F32;
}

impl VectorRef for Measured<'_> {
    fn len(self) -> usize {
        self.vector.len()
    }

    fn is_empty(self) -> bool {
        self.vector.is_empty()
    }
}

impl VectorView<MeasuredVectors> for Measured<'_> {
    fn view(&self) -> Measured<'_> {
        *self
    }
}

impl hnsw_stable::VectorStore for Vectors {
    type Family = MeasuredVectors;
    type Vector<'a> = Measured<'a>;

    fn dim(&self) -> usize {
        self.dimension
    }

    fn vector(&self, node: NodeId) -> Option<Measured<'_>> {
        self.entries.get(node.as_usize())?.get().map(|entry| entry.measured())
    }
}

impl hnsw_stable::VectorStore for Adding<'_> {
    type Family = MeasuredVectors;
    type Vector<'a>
        = Measured<'a>
    where
        Self: 'a;

    fn dim(&self) -> usize {
        self.vectors.dimension
    }

    fn vector(&self, node: NodeId) -> Option<Measured<'_>> {
        self.vectors.vector(node)
    }
}

impl hnsw_stable::VectorStoreMut for Adding<'_> {
    /// The vector is not copied: the node gets the entry that the state has.
    fn set<'a>(&self, node: NodeId, _: Measured<'a>) -> hnsw_stable::Result<()> {
        let place = self.vectors.entries.get(node.as_usize());
        match place.map(|place| place.set(Arc::clone(self.entry))) {
            Some(Ok(())) => Ok(()),
            _ => Err(hnsw_stable::Error::MissingVector),
        }
    }
}
