//! fjall: one keyspace whose memtable is large enough that a recovery reads everything from the
//! journal, as freehold does.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Mode};
use crate::data::{Key, touch};

pub struct Fjall {
    database: Database,
    keyspace: Keyspace,
    mode: Mode,
}

impl Engine for Fjall {
    fn open(dir: &Path, mode: Mode) -> Self {
        let database = Database::builder(dir)
            .max_journaling_size(8 << 30)
            .cache_size(1 << 30)
            .open()
            .expect("fjall opens");
        let keyspace = database
            .keyspace("entries", || KeyspaceCreateOptions::default().max_memtable_size(4 << 30))
            .expect("fjall has a keyspace");
        Fjall { database, keyspace, mode }
    }

    fn put(&self, key: Key, value: &[u8]) {
        self.keyspace.insert(key, value).expect("fjall writes");
        if self.mode == Mode::Strict {
            self.database.persist(PersistMode::SyncData).expect("fjall syncs");
        }
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>) {
        let mut batch = self.database.batch();
        if self.mode == Mode::Strict {
            batch = batch.durability(Some(PersistMode::SyncData));
        }
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key, &*value);
        }
        batch.commit().expect("fjall commits");
    }

    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64 {
        keys.map(|key| {
            touch(&self.keyspace.get(key).expect("fjall reads").expect("the key is there"))
        })
        .sum()
    }

    fn scan_from(&self, key: Key, count: usize) -> u64 {
        let guards = self.keyspace.range(key..).take(count);
        guards.map(|guard| touch(&guard.value().expect("fjall reads"))).sum()
    }

    fn modify(&self, key: Key, change: &dyn Fn(&mut [u8])) {
        let value = self.keyspace.get(key).expect("fjall reads").expect("the key is there");
        let mut value = value.to_vec();
        change(&mut value);
        self.put(key, &value);
    }

    fn scan(&self) -> (u64, u64) {
        self.keyspace.iter().fold((0, 0), |(count, sum), guard| {
            (count + 1, sum + touch(&guard.value().expect("fjall reads")))
        })
    }

    fn settle(self) {
        self.keyspace.rotate_memtable_and_wait().expect("fjall flushes");
        self.keyspace.major_compact().expect("fjall compacts");
        self.database.persist(PersistMode::SyncAll).expect("fjall syncs");
    }
}
