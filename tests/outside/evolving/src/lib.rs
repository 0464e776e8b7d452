//! The stock and the orders of a shop, in a crate whose formats `freehold.lock` keeps.
//!
//! `tests/lock.rs` copies it, changes a line of it, and looks at what the compiler and the tool say.

use freehold::prelude::*;

/// What is on the shelves.
#[primitive(id = 0xa0, wal = 0xa0..=0xa3, section_version = 2)]
#[derive(Clone, Debug, Default)]
pub struct Stock {
    amounts: OrdMap<String, i64>,
    places: OrdMap<String, Place>,
}

/// Where something lies.
#[derive(Clone, Debug, Default, Stored)]
pub struct Place {
    shelf: u32,
    row: u16,
}

#[operations]
impl Stock {
    /// As it was logged before amounts were told.
    #[wal(0xa0, version = 1)]
    fn add_one(&mut self, name: &str) {
        self.add(name, 1);
    }

    /// Adds `by` of `name`.
    #[wal(0xa0)]
    pub fn add(&mut self, name: &str, by: i64) {
        let amount = self.amounts.get(name).copied().unwrap_or(0).saturating_add(by);
        self.amounts.insert(name.to_owned(), amount);
    }

    /// Puts `name` somewhere.
    #[wal(0xa1)]
    pub fn put(&mut self, name: &str, place: Place) {
        self.places.insert(name.to_owned(), place);
    }

    /// Forgets `name`.
    #[wal(0xa2)]
    pub fn forget(&mut self, name: &str) {
        self.amounts.remove(name);
        self.places.remove(name);
    }
}

// Orders, from here to the end.

/// Which orders are open.
#[primitive(id = 0xa8, wal = 0xa8)]
#[derive(Clone, Debug, Default)]
pub struct Orders {
    open: OrdSet<u64>,
}

#[operations]
impl Orders {
    /// Opens an order.
    #[wal(0xa8)]
    pub fn open(&mut self, number: u64) {
        self.open.insert(number);
    }
}
