//! A sequence.

use std::fmt;
use std::ops::Index;

use imbl::shared_ptr::DefaultSharedPtr;

use super::{Apart, iterator};

/// A sequence. A clone costs nothing and shares everything until one of the two changes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector<T>(imbl::Vector<T>);

/// The elements of a [`Vector`], from either end.
pub struct VectorIter<'a, T>(imbl::vector::Iter<'a, T, DefaultSharedPtr>);

iterator!(VectorIter<T>, &'a T, std::convert::identity);

impl<T> ExactSizeIterator for VectorIter<'_, T> {}

impl<T: Clone> Clone for VectorIter<'_, T> {
    fn clone(&self) -> Self {
        VectorIter(self.0.clone())
    }
}

impl<T> Vector<T> {
    /// An empty sequence.
    #[must_use]
    pub fn new() -> Vector<T> {
        Vector(imbl::Vector::new())
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

    /// The element at `index`, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    /// The first element.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.0.front()
    }

    /// The last element.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.0.back()
    }

    /// All elements, in order.
    #[must_use]
    pub fn iter(&self) -> VectorIter<'_, T> {
        VectorIter(self.0.iter())
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The places at which this sequence and `since` may not have the same, with what is there, in
    /// order. Chunks that both have at the same place are passed over.
    pub(in crate::primitive) fn apart<'a>(
        &'a self,
        since: &'a Vector<T>,
    ) -> impl Iterator<Item = (u64, Apart<&'a T>)> {
        let is_shared = self.0.ptr_eq(&since.0);
        let both = (!is_shared).then(|| [&since.0, &self.0].map(Chunks::of));
        let mut index = 0;
        both.into_iter().flat_map(move |[mut before, mut after]| {
            std::iter::from_fn(move || {
                let shared = before.pass_shared(&mut after);
                index += shared as u64;
                let apart = match (before.next(), after.next()) {
                    (Some(before), Some(after)) => Apart::Both(before, after),
                    (Some(before), None) => Apart::Before(before),
                    (None, Some(after)) => Apart::After(after),
                    (None, None) => return None,
                };
                let at = index;
                index += 1;
                Some((at, apart))
            })
        })
    }
}

/// The elements of a sequence, as they lie in memory.
struct Chunks<'a, T> {
    chunk: &'a [T],
    rest: imbl::vector::Chunks<'a, T, DefaultSharedPtr>,
}

impl<'a, T> Chunks<'a, T> {
    fn of(vector: &'a imbl::Vector<T>) -> Chunks<'a, T> {
        Chunks { chunk: &[], rest: vector.leaves() }
    }

    fn next(&mut self) -> Option<&'a T> {
        let (first, rest) = self.fill().split_first()?;
        self.chunk = rest;
        Some(first)
    }

    /// What lies together from the next element on; nothing at the end.
    fn fill(&mut self) -> &'a [T] {
        while self.chunk.is_empty()
            && let Some(chunk) = self.rest.next()
        {
            self.chunk = chunk;
        }
        self.chunk
    }

    /// Passes over what comes next and is, in both, the same memory. Says how many elements that is.
    fn pass_shared(&mut self, other: &mut Chunks<'a, T>) -> usize {
        let mut passed = 0;
        loop {
            let (one, two) = (self.fill(), other.fill());
            let shared = one.len().min(two.len());
            if shared == 0 || !std::ptr::eq(one.as_ptr(), two.as_ptr()) {
                return passed;
            }
            passed += shared;
            self.chunk = one.get(shared..).unwrap_or_default();
            other.chunk = two.get(shared..).unwrap_or_default();
        }
    }
}

impl<T: Clone> Vector<T> {
    /// Adds `element` at the end.
    pub fn push(&mut self, element: T) {
        self.0.push_back(element);
    }

    /// Adds `element` at the start.
    pub fn push_front(&mut self, element: T) {
        self.0.push_front(element);
    }

    /// Removes and returns the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop_back()
    }

    /// Removes and returns the first element.
    pub fn pop_front(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    /// The element at `index`, to change it.
    #[must_use]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index)
    }

    /// Replaces the element at `index` and returns the old one; `None`, and nothing changes, if
    /// there is no such index.
    pub fn set(&mut self, index: usize, element: T) -> Option<T> {
        self.0.get_mut(index).map(|place| std::mem::replace(place, element))
    }

    /// Puts `element` before the one at `index`; gives it back if the sequence is shorter than that.
    ///
    /// # Errors
    ///
    /// The element, if `index` is greater than the length.
    pub fn insert(&mut self, index: usize, element: T) -> Result<(), T> {
        if index > self.0.len() {
            return Err(element);
        }
        self.0.insert(index, element);
        Ok(())
    }

    /// Removes and returns the element at `index`.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        (index < self.0.len()).then(|| self.0.remove(index))
    }

    /// Drops what lies behind the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        if len < self.0.len() {
            self.0.truncate(len);
        }
    }
}

impl<T: Clone> Clone for Vector<T> {
    fn clone(&self) -> Self {
        Vector(self.0.clone())
    }
}

impl<T> Default for Vector<T> {
    fn default() -> Self {
        Vector::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Vector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> Index<usize> for Vector<T> {
    type Output = T;

    /// # Panics
    ///
    /// If there is no element at `index`.
    fn index(&self, index: usize) -> &T {
        self.get(index).expect("no element at this index")
    }
}

impl<T: Clone> FromIterator<T> for Vector<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Vector(elements.into_iter().collect())
    }
}

impl<T: Clone> Extend<T> for Vector<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        self.0.extend(elements);
    }
}

impl<'a, T> IntoIterator for &'a Vector<T> {
    type Item = &'a T;
    type IntoIter = VectorIter<'a, T>;

    fn into_iter(self) -> VectorIter<'a, T> {
        self.iter()
    }
}
