//! The collections that primitives keep their state in: cheap to clone, since clones share.
//!
//! Maps, sets and vectors wrap `imbl`, so that its versions do not become freehold's.

mod bytes;
mod ord_map;
mod ord_set;
mod vector;

pub use bytes::Bytes;
pub use ord_map::{MapIter, MapRange, OrdMap};
pub use ord_set::{OrdSet, SetIter, SetRange};
pub use vector::{Vector, VectorIter};

/// Implements an iterator by the one it wraps.
macro_rules! iterator {
    ($name:ident<$($param:ident $(: $bound:path)?),+>, $item:ty) => {
        impl<'a, $($param $(: $bound)?),+> Iterator for $name<'a, $($param),+> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<'a, $($param $(: $bound)?),+> DoubleEndedIterator for $name<'a, $($param),+> {
            fn next_back(&mut self) -> Option<$item> {
                self.0.next_back()
            }
        }

        impl<'a, $($param $(: $bound)?),+> std::iter::FusedIterator for $name<'a, $($param),+> {}
    };
}

use iterator;

#[cfg(test)]
mod tests;
