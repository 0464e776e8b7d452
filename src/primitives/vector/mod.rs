//! `VectorStore`: collections of vectors, searched for the nearest ones.
//!
//! Invariants:
//!
//! 1. A collection has a dimension. Every vector in it has as many numbers, all finite, and is at most
//!    [`VECTOR_LENGTH_MAX`] long, so that no distance overflows.
//! 2. Every change takes the next number of `changes`. A vector stands under the number of the change
//!    that put it there, its *slot*: an update is a new slot, and none is ever used again. So a slot's
//!    vector never changes, and of two views the one whose collection `changed` later is the newer.
//! 3. `ids` names each vector's slot by its ID. It is rebuilt, and so is the graph: neither stands in
//!    a snapshot. What an exact search finds does not depend on them; what a graph misses may depend
//!    on when and in which order it was built.
//! 4. What a search returns is in its view, and at most `k` are. An exact search returns the nearest
//!    ones; one by the graph misses few of them, and never returns less than `k` while there are more.
//! 5. The graph is seen by views alone ([`Deferred`]). On a handle, and in what `tx.read` gives, every
//!    search is exact: nothing that is logged may depend on an approximation.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{Filter, Json, Metric, Search, VectorStore};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let db = Database::open(dir.path())?;
//! db.transaction(|tx| {
//!     let mut vectors = tx.on::<VectorStore>();
//!     vectors.create_collection("colours", 3, Metric::Cosine)?;
//!     let warm = Json::try_from(json!({"warm": true})).map_err(Error::abort)?;
//!     vectors.insert("colours", "red", &[1.0, 0.0, 0.0], Some(warm.clone()))?;
//!     vectors.insert("colours", "orange", &[1.0, 0.5, 0.0], Some(warm))?;
//!     vectors.insert("colours", "blue", &[0.0, 0.0, 1.0], None)
//! })?;
//!
//! let view = db.view();
//! let vectors = view.on::<VectorStore>();
//! let near = vectors.search("colours", &[0.9, 0.1, 0.1], 2, Metric::Cosine)?;
//! assert_eq!(near.iter().map(|hit| hit.id()).collect::<Vec<_>>(), ["red", "orange"]);
//!
//! let warm = Filter::equals("warm", true);
//! let search = Search::new(&[0.0, 0.1, 1.0], 1).filter(&warm);
//! assert_eq!(vectors.find("colours", &search)?[0].id(), "orange");
//! # Ok(())
//! # }
//! ```

mod filter;
mod graph;
mod metric;
mod search;

use std::sync::Arc;

use freehold::prelude::*;

use self::graph::Graphs;
use self::metric::Measured;
use super::value::Json;

pub use self::filter::Filter;
pub use self::metric::{Metric, VECTOR_LENGTH_MAX};
pub use self::search::{EXACT_NUMBERS_MAX, Hit, Method, SEARCH_EFFORT, Search};

/// The greatest dimension of a collection.
pub const DIMENSION_MAX: u32 = 65_536;

/// Collections of vectors, each vector under an ID of its own.
///
/// A name and an ID may be any text. A vector with its metadata fits into one entry of the log, 64
/// MiB; a larger one is rejected before anything changes.
#[primitive(id = 7, wal = 0x70..=0x74, name = "vector")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorStore {
    collections: OrdMap<Arc<str>, Collection>,
    vectors: OrdMap<(u64, u64), Arc<VectorEntry>>,
    changes: u64,
    #[index(rebuild = VectorStore::slots_of_ids)]
    ids: OrdMap<u64, OrdMap<Arc<str>, u64>>,
    #[index(deferred = VectorStore::build_graphs)]
    graphs: Deferred<Graphs>,
}

/// What vectors of one collection have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Stored)]
pub struct Collection {
    number: u64,
    dimension: u32,
    metric: Metric,
    count: u64,
    changed: u64,
}

/// A vector with its ID and what is said of it.
#[derive(Clone, Debug, PartialEq, Stored)]
pub struct VectorEntry {
    id: Arc<str>,
    vector: Vec<f32>,
    /// Its Euclidean length. From the vector, but dear to compute at every comparison.
    length: f32,
    metadata: Option<Json>,
}

/// Why an operation on a [`VectorStore`], or a search in it, was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// There is no such collection.
    #[error("collection {collection}: there is none")]
    NoCollection {
        /// The name.
        collection: Box<str>,
    },
    /// There is a collection of this name.
    #[error("collection {collection}: there is one already")]
    CollectionExists {
        /// The name.
        collection: Box<str>,
    },
    /// No collection can have this dimension.
    #[error("collection {collection}: dimension is {found}, expected 1 to {DIMENSION_MAX}")]
    BadDimension {
        /// The name.
        collection: Box<str>,
        /// The dimension asked for.
        found: u32,
    },
    /// A vector has another number of numbers than its collection's dimension.
    #[error("collection {collection}: vector has {found} numbers, expected {expected}")]
    OtherDimension {
        /// The collection.
        collection: Box<str>,
        /// How many the vector has.
        found: usize,
        /// The collection's dimension.
        expected: u32,
    },
    /// A vector has a number that is infinite or none.
    #[error("collection {collection}: vector has {found} at {index}, expected a finite number")]
    NotFinite {
        /// The collection.
        collection: Box<str>,
        /// Where in the vector, from 0.
        index: usize,
        /// What is there.
        found: f32,
    },
    /// A vector is longer than [`VECTOR_LENGTH_MAX`].
    #[error(
        "collection {collection}: vector has length {found:e}, expected at most {VECTOR_LENGTH_MAX:e}"
    )]
    TooLong {
        /// The collection.
        collection: Box<str>,
        /// Its Euclidean length.
        found: f32,
    },
    /// The collection has a vector with this ID.
    #[error("collection {collection}: vector {id} is there already")]
    Exists {
        /// The collection.
        collection: Box<str>,
        /// The ID.
        id: Box<str>,
    },
    /// The collection has no vector with this ID.
    #[error("collection {collection}: vector {id} is not there")]
    Absent {
        /// The collection.
        collection: Box<str>,
        /// The ID.
        id: Box<str>,
    },
    /// The numbers of changes have run out.
    #[error("the numbers have run out after {last}")]
    Full {
        /// The last number that could be given.
        last: u64,
    },
}

#[operations]
impl VectorStore {
    /// Adds a vector to a collection.
    ///
    /// # Errors
    ///
    /// [`VectorError::NoCollection`], [`OtherDimension`](VectorError::OtherDimension),
    /// [`NotFinite`](VectorError::NotFinite), [`TooLong`](VectorError::TooLong), and
    /// [`Exists`](VectorError::Exists): to replace a vector, [`update`](VectorStore::update) it.
    #[wal(0x70)]
    pub fn insert(
        &mut self,
        collection: &str,
        id: &str,
        vector: &[f32],
        metadata: Option<Json>,
    ) -> Result<(), VectorError> {
        let length = self.accepted(collection, vector)?;
        if self.slot(collection, id).is_some() {
            return Err(VectorError::Exists { collection: collection.into(), id: id.into() });
        }
        let entry = VectorEntry { id: id.into(), vector: vector.to_vec(), length, metadata };
        self.put(collection, entry)
    }

    /// Removes a vector. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`VectorError::NoCollection`].
    #[wal(0x71)]
    pub fn delete(&mut self, collection: &str, id: &str) -> Result<bool, VectorError> {
        self.collection(collection).ok_or_else(|| no_collection(collection))?;
        if self.slot(collection, id).is_none() {
            return Ok(false);
        }
        let change = self.change()?;
        self.take(collection, id, change);
        Ok(true)
    }

    /// Replaces a vector and its metadata.
    ///
    /// # Errors
    ///
    /// As [`insert`](VectorStore::insert), and [`VectorError::Absent`] instead of `Exists`.
    #[wal(0x72)]
    pub fn update(
        &mut self,
        collection: &str,
        id: &str,
        vector: &[f32],
        metadata: Option<Json>,
    ) -> Result<(), VectorError> {
        let length = self.accepted(collection, vector)?;
        if self.slot(collection, id).is_none() {
            return Err(VectorError::Absent { collection: collection.into(), id: id.into() });
        }
        let entry = VectorEntry { id: id.into(), vector: vector.to_vec(), length, metadata };
        self.put(collection, entry)
    }

    /// Makes an empty collection. `metric` is the one that searches use which name none, and for
    /// which an opening that builds indexes builds the graph.
    ///
    /// # Errors
    ///
    /// [`VectorError::CollectionExists`], [`BadDimension`](VectorError::BadDimension).
    #[wal(0x73)]
    pub fn create_collection(
        &mut self,
        collection: &str,
        dimension: u32,
        metric: Metric,
    ) -> Result<(), VectorError> {
        if self.collections.contains_key(collection) {
            return Err(VectorError::CollectionExists { collection: collection.into() });
        }
        if dimension == 0 || dimension > DIMENSION_MAX {
            let found = dimension;
            return Err(VectorError::BadDimension { collection: collection.into(), found });
        }
        let number = self.change()?;
        let new = Collection { number, dimension, metric, count: 0, changed: number };
        self.collections.insert(collection.into(), new);
        Ok(())
    }

    /// Removes a collection with everything in it. Returns how many vectors that were; `None` if
    /// there is no such collection.
    ///
    /// # Errors
    ///
    /// [`VectorError::Full`].
    #[wal(0x74)]
    pub fn remove_collection(&mut self, collection: &str) -> Result<Option<u64>, VectorError> {
        let Some(Collection { number, count, .. }) = self.collections.get(collection).copied()
        else {
            return Ok(None);
        };
        self.change()?;
        for (_, slot) in self.ids.remove(&number).unwrap_or_default().iter() {
            self.vectors.remove(&(number, *slot));
        }
        self.collections.remove(collection);
        Ok(Some(count))
    }

    /// The number of the next change, which is given away.
    fn change(&mut self) -> Result<u64, VectorError> {
        let last = self.changes;
        self.changes = last.checked_add(1).ok_or(VectorError::Full { last })?;
        Ok(self.changes)
    }

    /// Puts an entry in a collection that is there, in the place of the one with its ID.
    fn put(&mut self, collection: &str, entry: VectorEntry) -> Result<(), VectorError> {
        let change = self.change()?;
        self.take(collection, &entry.id, change);
        let Some(of) = self.collections.get_mut(collection) else {
            return Err(no_collection(collection));
        };
        of.count = of.count.saturating_add(1);
        of.changed = change;
        let ids = self.ids.get_or_insert_with(of.number, OrdMap::new);
        ids.insert(Arc::clone(&entry.id), change);
        self.vectors.insert((of.number, change), Arc::new(entry));
        Ok(())
    }

    /// Takes the entry with this ID out, if there is one.
    fn take(&mut self, collection: &str, id: &str, change: u64) {
        let Some(of) = self.collections.get_mut(collection) else { return };
        let Some(ids) = self.ids.get_mut(&of.number) else { return };
        let Some(slot) = ids.remove(id) else { return };
        // As it is rebuilt, where an empty one is not there.
        if ids.is_empty() {
            self.ids.remove(&of.number);
        }
        self.vectors.remove(&(of.number, slot));
        of.count = of.count.saturating_sub(1);
        of.changed = change;
    }

    /// The length of a vector that the collection takes.
    fn accepted(&self, collection: &str, vector: &[f32]) -> Result<f32, VectorError> {
        let of = self.collections.get(collection).ok_or_else(|| no_collection(collection))?;
        if vector.len() != of.dimension() {
            return Err(VectorError::OtherDimension {
                collection: collection.into(),
                found: vector.len(),
                expected: of.dimension,
            });
        }
        if let Some(index) = vector.iter().position(|number| !number.is_finite()) {
            let found = vector.get(index).copied().unwrap_or(f32::NAN);
            return Err(VectorError::NotFinite { collection: collection.into(), index, found });
        }
        let length = metric::length(vector);
        if length > VECTOR_LENGTH_MAX {
            return Err(VectorError::TooLong { collection: collection.into(), found: length });
        }
        Ok(length)
    }

    fn slot(&self, collection: &str, id: &str) -> Option<u64> {
        let of = self.collections.get(collection)?;
        self.ids.get(&of.number)?.get(id).copied()
    }

    /// The index `ids`.
    fn slots_of_ids(&self) -> OrdMap<u64, OrdMap<Arc<str>, u64>> {
        let mut ids: OrdMap<u64, OrdMap<Arc<str>, u64>> = OrdMap::new();
        for ((number, slot), entry) in self.vectors.iter() {
            let of = ids.get_or_insert_with(*number, OrdMap::new);
            of.insert(Arc::clone(&entry.id), *slot);
        }
        ids
    }

    /// The entries of a collection whose slots are `from` and above, in the order of their slots.
    fn entries(
        &self,
        collection: &Collection,
        from: u64,
    ) -> impl Iterator<Item = (u64, &Arc<VectorEntry>)> {
        let keys = (collection.number, from)..=(collection.number, u64::MAX);
        self.vectors.range::<(u64, u64), _>(keys).map(|((_, slot), entry)| (*slot, entry))
    }

    /// The vector with this ID.
    #[must_use]
    pub fn get(&self, collection: &str, id: &str) -> Option<&VectorEntry> {
        let of = self.collections.get(collection)?;
        let slot = self.ids.get(&of.number)?.get(id)?;
        self.vectors.get(&(of.number, *slot)).map(|entry| &**entry)
    }

    /// What is known of a collection.
    #[must_use]
    pub fn collection(&self, collection: &str) -> Option<&Collection> {
        self.collections.get(collection)
    }

    /// All collections, in the order of their names.
    pub fn collections(&self) -> impl DoubleEndedIterator<Item = (&str, &Collection)> {
        self.collections.iter().map(|(name, collection)| (&**name, collection))
    }

    /// The vectors of a collection in the order of their IDs; nothing if there is no such collection.
    pub fn iter(&self, collection: &str) -> impl DoubleEndedIterator<Item = &VectorEntry> {
        let of = self.collections.get(collection);
        let ids = of.and_then(|of| Some((of.number, self.ids.get(&of.number)?)));
        ids.into_iter()
            .flat_map(move |(number, ids)| {
                ids.iter().filter_map(move |(_, slot)| self.vectors.get(&(number, *slot)))
            })
            .map(|entry| &**entry)
    }
}

impl Collection {
    /// How many numbers each vector has.
    #[must_use]
    pub fn dimension(&self) -> usize {
        usize::try_from(self.dimension).unwrap_or(usize::MAX)
    }

    /// The metric of a search that names none.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Whether a graph is worth its while.
    fn is_large(&self) -> bool {
        self.count.saturating_mul(u64::from(self.dimension)) > EXACT_NUMBERS_MAX
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl VectorEntry {
    /// The ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The numbers.
    #[must_use]
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// What is said of it.
    #[must_use]
    pub fn metadata(&self) -> Option<&Json> {
        self.metadata.as_ref()
    }

    fn measured(&self) -> Measured<'_> {
        Measured { vector: &self.vector, length: self.length }
    }
}

fn no_collection(collection: &str) -> VectorError {
    VectorError::NoCollection { collection: collection.into() }
}

#[cfg(test)]
freehold::conformance!(VectorStore, {
    let vector = || {
        proptest::collection::vec(-2i8..3, 2)
            .prop_map(|numbers| numbers.into_iter().map(f32::from).collect::<Vec<f32>>())
    };
    let metadata = || {
        proptest::option::of((0..3u64).prop_map(|number| Json::parse(&number.to_string()).unwrap()))
    };
    let (name, id) = (|| "[ab]", || "[p-r]");
    let metric = prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::L2)];
    prop_oneof![
        4 => (name(), metric).prop_map(|(name, metric)| {
            call!(VectorStore, create_collection(&name, 2, metric))
        }),
        6 => (name(), id(), vector(), metadata()).prop_map(|(name, id, vector, metadata)| {
            call!(VectorStore, insert(&name, &id, &vector, metadata.clone()))
        }),
        3 => (name(), id(), vector(), metadata()).prop_map(|(name, id, vector, metadata)| {
            call!(VectorStore, update(&name, &id, &vector, metadata.clone()))
        }),
        2 => (name(), id()).prop_map(|(name, id)| call!(VectorStore, delete(&name, &id))),
        1 => name().prop_map(|name| call!(VectorStore, remove_collection(&name))),
    ]
});
