//! An ordered set: the keys of a map.
//!
//! - Not `imbl`'s set, which does not tell of two elements that count as one whether they are the
//!   same.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeBounds;

use super::{Apart, MapIter, MapRange, OrdMap, iterator};

/// A set in the order of its elements. A clone costs nothing and shares everything until one of the
/// two changes.
pub struct OrdSet<T>(OrdMap<T, ()>)
where
    T: Ord;

/// The elements of an [`OrdSet`], from either end.
pub struct SetIter<'a, T>(MapIter<'a, T, ()>);

/// Some neighbouring elements of an [`OrdSet`], from either end.
pub struct SetRange<'a, T>(MapRange<'a, T, ()>);

iterator!(SetIter<T: Ord>, &'a T, element);
iterator!(SetRange<T: Ord>, &'a T, element);

fn element<'a, T>((element, ()): (&'a T, &'a ())) -> &'a T {
    element
}

impl<T: Ord> ExactSizeIterator for SetIter<'_, T> {}

impl<T> Clone for SetIter<'_, T> {
    fn clone(&self) -> Self {
        SetIter(self.0.clone())
    }
}

impl<T: Ord> OrdSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> OrdSet<T> {
        OrdSet(OrdMap::new())
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `element` is in the set.
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(element)
    }

    /// The least element.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.0.first_key_value().map(element)
    }

    /// The greatest element.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.0.last_key_value().map(element)
    }

    /// All elements, in order.
    #[must_use]
    pub fn iter(&self) -> SetIter<'_, T> {
        SetIter(self.0.iter())
    }

    /// The elements that lie in `range`, in order.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts.
    #[must_use]
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(&self, range: R) -> SetRange<'_, T>
    where
        T: Borrow<Q>,
    {
        SetRange(self.0.range(range))
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The elements that this set and `since` may not have in common, in order. Of what lies in nodes
    /// that they share, nothing is looked at.
    pub(in crate::primitive) fn apart<'a>(
        &'a self,
        since: &'a OrdSet<T>,
    ) -> impl Iterator<Item = Apart<&'a T>> {
        self.0.apart(&since.0).map(|apart| apart.map(element))
    }
}

impl<T: Ord + Clone> OrdSet<T> {
    /// Adds `element` and says whether it is new.
    pub fn insert(&mut self, element: T) -> bool {
        self.0.insert(element, ()).is_none()
    }

    /// Removes `element` and says whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(element).is_some()
    }

    /// Removes and returns the least element.
    pub fn pop_first(&mut self) -> Option<T> {
        self.0.pop_first().map(|(element, ())| element)
    }

    /// Removes and returns the greatest element.
    pub fn pop_last(&mut self) -> Option<T> {
        self.0.pop_last().map(|(element, ())| element)
    }
}

impl<T: Ord> PartialEq for OrdSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Ord> Eq for OrdSet<T> {}

impl<T: Ord> PartialOrd for OrdSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for OrdSet<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<T: Ord + Hash> Hash for OrdSet<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|element| element.hash(state));
    }
}

impl<T: Ord> Clone for OrdSet<T> {
    fn clone(&self) -> Self {
        OrdSet(self.0.clone())
    }
}

impl<T: Ord> Default for OrdSet<T> {
    fn default() -> Self {
        OrdSet::new()
    }
}

impl<T: Ord + fmt::Debug> fmt::Debug for OrdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord + Clone> FromIterator<T> for OrdSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut set = OrdSet::new();
        set.extend(elements);
        set
    }
}

impl<T: Ord + Clone> Extend<T> for OrdSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        for element in elements {
            self.insert(element);
        }
    }
}

impl<'a, T: Ord> IntoIterator for &'a OrdSet<T> {
    type Item = &'a T;
    type IntoIter = SetIter<'a, T>;

    fn into_iter(self) -> SetIter<'a, T> {
        self.iter()
    }
}
