//! A primitive of another crate, which by its features claims what is `left`'s.

#![forbid(unsafe_code)]

use freehold::prelude::*;

/// Counts from the right.
#[cfg_attr(
    all(feature = "wal-type", feature = "type-id"),
    primitive(id = 0x81, wal = [0x83..=0x85, 0xff])
)]
#[cfg_attr(
    all(feature = "wal-type", not(feature = "type-id")),
    primitive(id = 0x84, wal = [0x83..=0x85, 0xff])
)]
#[cfg_attr(
    all(feature = "type-id", not(feature = "wal-type")),
    primitive(id = 0x81, wal = [0x84, 0xff])
)]
#[cfg_attr(feature = "name", primitive(id = 0x84, wal = [0x84, 0xff], name = "Left"))]
#[cfg_attr(
    not(any(feature = "wal-type", feature = "type-id", feature = "name")),
    primitive(id = 0x84, wal = [0x84, 0xff])
)]
#[derive(Clone, Debug, Default)]
pub struct Right {
    count: u64,
}

#[operations]
impl Right {
    /// Counts.
    #[wal(0xff)]
    pub fn count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}
