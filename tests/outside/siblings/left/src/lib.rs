//! A primitive with type ID 0x81 and the WAL types 0x81 to 0x83.

#![forbid(unsafe_code)]

use freehold::prelude::*;

/// Counts from the left.
#[primitive(id = 0x81, wal = 0x81..=0x83)]
#[derive(Clone, Debug, Default)]
pub struct Left {
    count: u64,
}

#[operations]
impl Left {
    /// Counts.
    #[wal(0x81)]
    pub fn count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}
