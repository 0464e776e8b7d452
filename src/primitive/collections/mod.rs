//! The collections that primitives keep their state in: cheap to clone, since clones share.
//!
//! Maps, sets and vectors wrap `imbl`, so that its versions do not become freehold's.

mod apart;
mod bytes;
mod ord_map;
mod ord_set;
mod vector;

pub(super) use apart::{Apart, merge};
pub use bytes::Bytes;
pub use ord_map::{MapIter, MapRange, OrdMap};
pub use ord_set::{OrdSet, SetIter, SetRange};
pub use vector::{Vector, VectorIter};

/// Implements an iterator by the one it wraps; `$item_of` makes its items of the other's.
macro_rules! iterator {
    ($name:ident<$($param:ident $(: $bound:path)?),+>, $item:ty, $item_of:expr) => {
        impl<'a, $($param $(: $bound)?),+> Iterator for $name<'a, $($param),+> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.0.next().map($item_of)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<'a, $($param $(: $bound)?),+> DoubleEndedIterator for $name<'a, $($param),+> {
            fn next_back(&mut self) -> Option<$item> {
                self.0.next_back().map($item_of)
            }
        }

        impl<'a, $($param $(: $bound)?),+> std::iter::FusedIterator for $name<'a, $($param),+> {}
    };
}

use iterator;

#[cfg(test)]
mod tests;
