//! A primitive of one's own beside one that ships with freehold, changed in one transaction and
//! found again after opening anew.
//!
//! ```text
//! cargo run --example counters --features kv            # in a directory that goes away again
//! cargo run --example counters --features kv -- ./data  # in one that stays: run it twice
//! ```

use std::fmt;
use std::path::PathBuf;

use freehold::prelude::*;
use freehold::primitives::KvStore;

/// Named counters.
#[primitive(id = 0x80, wal = 0x80..=0x81)]
#[derive(Clone, Default)]
pub struct Counters {
    counts: OrdMap<String, i64>,
    // Derived: never in a snapshot. Wider than a count, so that no order of adding overflows.
    #[index(rebuild = |c| c.counts.values().map(|&count| i128::from(count)).sum())]
    total: i128,
}

#[operations]
impl Counters {
    /// Adds `by` to `name` and returns the new value.
    #[wal(0x80)]
    pub fn add(&mut self, name: &str, by: i64) -> Result<i64, Overflow> {
        let count = self.get(name).unwrap_or(0).checked_add(by).ok_or(Overflow)?;
        self.counts.insert(name.to_owned(), count);
        self.total += i128::from(by);
        Ok(count)
    }

    /// Forgets `name`.
    #[wal(0x81)]
    pub fn remove(&mut self, name: &str) -> Option<i64> {
        let count = self.counts.remove(name)?;
        self.total -= i128::from(count);
        Some(count)
    }

    /// Reads need no attribute.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.counts.get(name).copied()
    }

    /// The sum of all counters.
    pub fn total(&self) -> i128 {
        self.total
    }
}

/// The counter would leave the range of an `i64`.
#[derive(Debug)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the counter is full")
    }
}

impl std::error::Error for Overflow {}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let path =
        std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);

    let db = Database::open(&path)?; // recovers
    let hits = db.transaction(|tx| {
        // atomic across primitives
        tx.on::<KvStore>().put(b"last", b"counters")?;
        tx.on::<Counters>().add("hits", 1)
    })?;
    assert_eq!(db.view().on::<Counters>().get("hits"), Some(hits)); // consistent, read-only

    // A rejected operation changes nothing, and the transaction may go on.
    db.transaction(|tx| {
        let rejected = tx.on::<Counters>().add("hits", i64::MAX).unwrap_err();
        assert!(rejected.rejected::<Overflow>().is_some(), "{rejected}");
        tx.on::<Counters>().add("refused", 1)
    })?;
    let total = db.view().on::<Counters>().total();
    db.close()?;

    let db = Database::open(&path)?;
    let view = db.view();
    let counters = view.on::<Counters>();
    assert_eq!(counters.get("hits"), Some(hits));
    assert_eq!(counters.total(), total);
    println!("hits: {hits}, all counters: {total}");
    Ok(())
}
