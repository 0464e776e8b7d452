//! Searching: exactly, or by the graph.
//!
//! - An exact search looks at every vector. One by the graph falls back to it whenever the graph
//!   cannot answer: in a view that is older than the graph, for filters that let little through, for
//!   a large part of the collection, and when it finds too few.
//! - Hits stand in the order of their distances, equal ones in that of their IDs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Deref;

use super::filter::Filter;
use super::metric::{Measured, Metric};
use super::{Collection, VectorEntry, VectorError, VectorStore, no_collection};

/// Up to so many numbers, vectors times dimension, a collection is searched exactly: as many as a
/// processor's own cache holds, and then looking at all of them is as fast as a graph.
pub const EXACT_NUMBERS_MAX: u64 = 500_000;

/// How many candidates a search by the graph looks at, if it does not say.
pub const SEARCH_EFFORT: usize = 200;

/// By how much at most the effort grows with what is dead in a graph.
const DEAD_EFFORT_MAX: usize = 4;

/// How many vectors are asked how much a filter lets through.
const SAMPLE: u64 = 64;

/// Of those so many must pass, or the search is exact.
const SAMPLE_MIN: usize = 8;

/// A search with all that can be said of it.
///
/// ```
/// use freehold::primitives::{Filter, Method, Metric, Search};
///
/// let recent = Filter::range("year", 2020..);
/// let query = [0.5, 0.5];
/// let search = Search::new(&query, 10)
///     .metric(Metric::L2)          // default: the collection's
///     .filter(&recent)             // default: none
///     .effort(300)                 // default: SEARCH_EFFORT
///     .method(Method::Automatic);  // the default
/// # let _ = search;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a search does nothing until `find` is called with it"]
pub struct Search<'a> {
    query: &'a [f32],
    k: usize,
    metric: Option<Metric>,
    filter: Option<&'a Filter>,
    effort: usize,
    method: Method,
}

/// How the nearest vectors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Exactly up to [`EXACT_NUMBERS_MAX`] numbers, by the graph above; exactly too where that is
    /// less work, as for a filter that lets little through.
    #[default]
    Automatic,
    /// By looking at every vector.
    Exact,
    /// By the graph where there can be one, however few vectors there are.
    Graph,
}

impl<'a> Search<'a> {
    /// The `k` vectors nearest to `query`.
    pub fn new(query: &'a [f32], k: usize) -> Search<'a> {
        let method = Method::default();
        Search { query, k, metric: None, filter: None, effort: SEARCH_EFFORT, method }
    }

    /// How distances are measured. Default: by the collection's own metric. Each metric that is
    /// searched by has a graph of its own.
    pub fn metric(mut self, metric: Metric) -> Search<'a> {
        self.metric = Some(metric);
        self
    }

    /// Which vectors count. Default: all.
    pub fn filter(mut self, filter: &'a Filter) -> Search<'a> {
        self.filter = Some(filter);
        self
    }

    /// How many candidates a search by the graph looks at: the more, the fewer of the nearest it
    /// misses, and the longer it takes. Default: [`SEARCH_EFFORT`]. Bounds: at least twice what is
    /// asked for.
    pub fn effort(mut self, effort: usize) -> Search<'a> {
        self.effort = effort;
        self
    }

    /// How they are found. Default: [`Method::Automatic`].
    pub fn method(mut self, method: Method) -> Search<'a> {
        self.method = method;
        self
    }
}

/// A vector that was found. It derefs to its entry.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    distance: f32,
    entry: &'a VectorEntry,
}

impl Hit<'_> {
    /// The distance from the query, as the [`Metric`] says: less is nearer.
    #[must_use]
    pub fn distance(&self) -> f32 {
        self.distance
    }
}

impl Deref for Hit<'_> {
    type Target = VectorEntry;

    fn deref(&self) -> &VectorEntry {
        self.entry
    }
}

impl Ord for Hit<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.total_cmp(&other.distance);
        by_distance.then_with(|| self.entry.id.cmp(&other.entry.id))
    }
}

impl PartialOrd for Hit<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Hit<'_> {}

impl VectorStore {
    /// The `k` vectors of a collection that are nearest to `query`, nearest first; fewer if it has
    /// fewer.
    ///
    /// # Errors
    ///
    /// As [`find`](VectorStore::find).
    pub fn search(
        &self,
        collection: &str,
        query: &[f32],
        k: usize,
        metric: Metric,
    ) -> Result<Vec<Hit<'_>>, VectorError> {
        self.find(collection, &Search::new(query, k).metric(metric))
    }

    /// The vectors that a [`Search`] asks for.
    ///
    /// In a view, the first search of a large collection builds its graph, with all processors; later
    /// ones add what is new. On a handle inside a transaction every search is exact.
    ///
    /// # Errors
    ///
    /// [`VectorError::NoCollection`], and what [`insert`](VectorStore::insert) says of a vector that the
    /// collection cannot hold.
    pub fn find(&self, collection: &str, search: &Search<'_>) -> Result<Vec<Hit<'_>>, VectorError> {
        let length = self.accepted(collection, search.query)?;
        let of = self.collections.get(collection).ok_or_else(|| no_collection(collection))?;
        let asked = Asked {
            query: Measured { vector: search.query, length },
            k: search.k,
            metric: search.metric.unwrap_or(of.metric),
            filter: search.filter,
            effort: search.effort.max(search.k.saturating_mul(2)),
        };
        if search.k == 0 {
            return Ok(Vec::new());
        }
        let by_graph = match search.method {
            Method::Automatic => of.is_large() && self.is_worth_a_graph(of, &asked),
            Method::Exact => false,
            Method::Graph => true,
        };
        let found = if by_graph { self.find_by_graph(of, &asked) } else { None };
        Ok(found.unwrap_or_else(|| self.find_exactly(of, &asked)))
    }

    /// How many vectors the graph of a collection and metric holds: those of this view, and what
    /// other views have that used it. `None` without a graph, or if this is no view.
    #[must_use]
    pub fn graph_len(&self, collection: &str, metric: Metric) -> Option<usize> {
        self.graphs.get()?.len(self.collection(collection)?, metric)
    }

    fn find_exactly(&self, collection: &Collection, asked: &Asked<'_>) -> Vec<Hit<'_>> {
        let mut nearest: BinaryHeap<Hit<'_>> = BinaryHeap::new();
        for (_, entry) in self.entries(collection, 0).filter(|(_, entry)| asked.accepts(entry)) {
            let distance = asked.metric.between(asked.query, entry.measured());
            let hit = Hit { distance, entry };
            if nearest.len() < asked.k {
                nearest.push(hit);
            } else if let Some(mut farthest) = nearest.peek_mut().filter(|far| hit < **far) {
                *farthest = hit;
            }
        }
        nearest.into_sorted_vec()
    }

    /// `None` if the graph cannot say.
    fn find_by_graph(&self, collection: &Collection, asked: &Asked<'_>) -> Option<Vec<Hit<'_>>> {
        let world = self.graphs.get()?.covering(self, collection, asked.metric)?;
        let count = usize::try_from(collection.count).unwrap_or(usize::MAX);
        let entry_of = |slot: u64| self.vectors.get(&(collection.number, slot));
        let allowed = |slot: &u64| entry_of(*slot).is_some_and(|entry| asked.accepts(entry));
        // As many as the view has, and among them all that the view has: the same.
        let all = asked.filter.is_none() && world.len() == count;
        // What is dead is in the way: the more there is of it, the more has to be looked at.
        let nodes = world.len().min(count.saturating_mul(DEAD_EFFORT_MAX));
        let effort = asked.effort.saturating_mul(nodes).div_ceil(count.max(1)).max(asked.effort);
        let mut hits: Vec<Hit<'_>> = world
            .near(asked.query, effort, if all { None } else { Some(&allowed) })
            .into_iter()
            // A newer view may have added to the graph meanwhile.
            .filter_map(|(distance, slot)| Some(Hit { distance, entry: entry_of(slot)? }))
            .collect();
        hits.sort_unstable();
        hits.truncate(asked.k);
        (hits.len() == asked.k.min(count)).then_some(hits)
    }

    /// Whether a graph answers sooner than looking at everything.
    fn is_worth_a_graph(&self, collection: &Collection, asked: &Asked<'_>) -> bool {
        let count = usize::try_from(collection.count).unwrap_or(usize::MAX);
        if asked.effort >= count / 4 {
            return false;
        }
        let Some(filter) = asked.filter else { return true };
        let mut slots = self.entries(collection, 0).map(|(slot, _)| slot);
        let Some(first) = slots.next() else { return false };
        let step = (collection.changed.saturating_sub(first) / SAMPLE).max(1);
        let sample = (0..SAMPLE).map(|index| first.saturating_add(step.saturating_mul(index)));
        let accepted = sample
            .filter_map(|slot| self.entries(collection, slot).next())
            .filter(|(_, entry)| filter.accepts(entry.metadata()))
            .count();
        accepted >= SAMPLE_MIN
    }
}

/// A search, made out.
struct Asked<'a> {
    query: Measured<'a>,
    k: usize,
    metric: Metric,
    filter: Option<&'a Filter>,
    effort: usize,
}

impl Asked<'_> {
    fn accepts(&self, entry: &VectorEntry) -> bool {
        self.filter.is_none_or(|filter| filter.accepts(entry.metadata()))
    }
}
