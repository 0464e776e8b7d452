//! A sequence.

use std::fmt;
use std::ops::Index;

use imbl::shared_ptr::DefaultSharedPtr;

use super::iterator;

/// A sequence. A clone costs nothing and shares everything until one of the two changes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector<T>(imbl::Vector<T>);

/// The elements of a [`Vector`], from either end.
pub struct VectorIter<'a, T>(imbl::vector::Iter<'a, T, DefaultSharedPtr>);

iterator!(VectorIter<T>, &'a T);

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
