//! An ordered map.
//!
//! - What two maps share is passed over by the node when they are compared, whatever is in it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Index, RangeBounds};

use imbl::ordmap::DiffItem;
use imbl::shared_ptr::DefaultSharedPtr;

use super::{Apart, iterator};

/// A map in the order of its keys. A clone costs nothing and shares everything until one of the two
/// changes.
///
/// ```
/// use freehold::OrdMap;
///
/// let mut map: OrdMap<String, u32> = OrdMap::new();
/// map.insert("one".to_owned(), 1);
/// let before = map.clone();
/// map.insert("two".to_owned(), 2);
/// assert_eq!((before.len(), map.len()), (1, 2));
/// assert_eq!(map.get("two"), Some(&2));
/// ```
pub struct OrdMap<K, V>(imbl::OrdMap<K, Value<V>>)
where
    K: Ord;

/// A value, as `imbl` sees it: equal to none. So `imbl` tells every pair that does not lie in a node
/// that two maps share, and asks no value whether it can be compared.
#[derive(Clone)]
pub(super) struct Value<V>(pub(super) V);

impl<V> PartialEq for Value<V> {
    fn eq(&self, _: &Value<V>) -> bool {
        false
    }
}

/// The pairs of an [`OrdMap`], from either end.
pub struct MapIter<'a, K, V>(imbl::ordmap::Iter<'a, K, Value<V>, DefaultSharedPtr>);

/// Some neighbouring pairs of an [`OrdMap`], from either end.
pub struct MapRange<'a, K, V>(imbl::ordmap::RangedIter<'a, K, Value<V>, DefaultSharedPtr>);

iterator!(MapIter<K, V>, (&'a K, &'a V), pair);
iterator!(MapRange<K, V>, (&'a K, &'a V), pair);

fn pair<'a, K, V>((key, value): (&'a K, &'a Value<V>)) -> (&'a K, &'a V) {
    (key, &value.0)
}

impl<K, V> ExactSizeIterator for MapIter<'_, K, V> {}

impl<K, V> Clone for MapIter<'_, K, V> {
    fn clone(&self) -> Self {
        MapIter(self.0.clone())
    }
}

impl<K, V> Clone for MapRange<'_, K, V> {
    fn clone(&self) -> Self {
        MapRange(self.0.clone())
    }
}

impl<K: Ord, V> OrdMap<K, V> {
    /// An empty map.
    #[must_use]
    pub fn new() -> OrdMap<K, V> {
        OrdMap(imbl::OrdMap::new())
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|value| &value.0)
    }

    /// The key as it is kept, and its value.
    #[must_use]
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.get_key_value(key).map(pair)
    }

    /// Whether there is a value for `key`.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// The pair with the least key.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.0.get_min().map(|(key, value)| (key, &value.0))
    }

    /// The pair with the greatest key.
    #[must_use]
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.0.get_max().map(|(key, value)| (key, &value.0))
    }

    /// All pairs, in the order of the keys.
    #[must_use]
    pub fn iter(&self) -> MapIter<'_, K, V> {
        MapIter(self.0.iter())
    }

    /// The pairs whose keys lie in `range`, in the order of the keys.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts.
    #[must_use]
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(&self, range: R) -> MapRange<'_, K, V>
    where
        K: Borrow<Q>,
    {
        MapRange(self.0.range(range))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of the keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The pairs that this map and `since` may not have in common, in the order of the keys. Of what
    /// lies in nodes that they share, nothing is looked at.
    pub(in crate::primitive) fn apart<'a>(
        &'a self,
        since: &'a OrdMap<K, V>,
    ) -> impl Iterator<Item = Apart<(&'a K, &'a V)>> {
        since.0.diff(&self.0).map(|item| match item {
            DiffItem::Remove(key, value) => Apart::Before(pair((key, value))),
            DiffItem::Add(key, value) => Apart::After(pair((key, value))),
            DiffItem::Update { old, new } => Apart::Both(pair(old), pair(new)),
        })
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// Sets the value of `key` and returns the one it replaced.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, Value(value)).map(|value| value.0)
    }

    /// Removes `key` and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).map(|value| value.0)
    }

    /// The value of `key`, to change it.
    #[must_use]
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key).map(|value| &mut value.0)
    }

    /// The value of `key`, to change it; `default` makes one if there is none.
    pub fn get_or_insert_with(&mut self, key: K, default: impl FnOnce() -> V) -> &mut V {
        &mut self.0.entry(key).or_insert_with(|| Value(default())).0
    }

    /// Removes and returns the pair with the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let key = self.first_key_value()?.0.clone();
        self.0.remove_with_key(&key).map(|(key, value)| (key, value.0))
    }

    /// Removes and returns the pair with the greatest key.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let key = self.last_key_value()?.0.clone();
        self.0.remove_with_key(&key).map(|(key, value)| (key, value.0))
    }

    /// Keeps the pairs for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let dropped: Vec<K> = self
            .iter()
            .filter(|(key, value)| !keep(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in dropped {
            self.0.remove(&key);
        }
    }
}

impl<K: Ord, V> Clone for OrdMap<K, V> {
    fn clone(&self) -> Self {
        OrdMap(self.0.clone())
    }
}

impl<K: Ord, V> Default for OrdMap<K, V> {
    fn default() -> Self {
        OrdMap::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for OrdMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let is_equal = |apart| matches!(apart, Apart::Both((_, one), (_, other)) if one == other);
        self.len() == other.len() && self.apart(other).all(is_equal)
    }
}

impl<K: Ord, V: Eq> Eq for OrdMap<K, V> {}

impl<K: Ord, V: PartialOrd> PartialOrd for OrdMap<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other.iter())
    }
}

impl<K: Ord, V: Ord> Ord for OrdMap<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<K: Ord + Hash, V: Hash> Hash for OrdMap<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|pair| pair.hash(state));
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for OrdMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for OrdMap<K, V> {
    type Output = V;

    /// # Panics
    ///
    /// If there is no value for `key`.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("no value for this key")
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for OrdMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut map = OrdMap::new();
        map.extend(pairs);
        map
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for OrdMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.0.insert(key, Value(value));
        }
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a OrdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = MapIter<'a, K, V>;

    fn into_iter(self) -> MapIter<'a, K, V> {
        self.iter()
    }
}
