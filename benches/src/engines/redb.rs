//! redb: one table.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::{Engine, Mode};
use crate::data::{Key, touch};

const ENTRIES: TableDefinition<Key, &[u8]> = TableDefinition::new("entries");

pub struct Redb {
    database: Database,
    mode: Mode,
}

impl Redb {
    fn commit(&self, body: impl FnOnce(&mut Table<'_, Key, &'static [u8]>)) {
        let mut transaction = self.database.begin_write().expect("redb begins");
        let durability = match self.mode {
            Mode::Strict => Durability::Immediate,
            Mode::Buffered => Durability::None,
        };
        transaction.set_durability(durability).expect("redb takes the mode");
        body(&mut transaction.open_table(ENTRIES).expect("redb has a table"));
        transaction.commit().expect("redb commits");
    }
}

impl Engine for Redb {
    fn open(dir: &Path, mode: Mode) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        let database = Database::builder()
            .set_cache_size(1 << 30)
            .create(dir.join("entries.redb"))
            .expect("redb opens");
        Redb { database, mode }
    }

    fn put(&self, key: Key, value: &[u8]) {
        self.commit(|table| {
            table.insert(key, value).expect("redb writes");
        });
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>) {
        self.commit(|table| {
            for (key, value) in pairs {
                table.insert(key, &*value).expect("redb writes");
            }
        });
    }

    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64 {
        let transaction = self.database.begin_read().expect("redb begins");
        let table = transaction.open_table(ENTRIES).expect("redb has a table");
        keys.map(|key| {
            touch(table.get(key).expect("redb reads").expect("the key is there").value())
        })
        .sum()
    }

    fn scan_from(&self, key: Key, count: usize) -> u64 {
        let transaction = self.database.begin_read().expect("redb begins");
        let table = transaction.open_table(ENTRIES).expect("redb has a table");
        let entries = table.range(key..).expect("redb reads").take(count);
        entries.map(|entry| touch(entry.expect("redb reads").1.value())).sum()
    }

    fn modify(&self, key: Key, change: &dyn Fn(&mut [u8])) {
        self.commit(|table| {
            let found = table.get(key).expect("redb reads").expect("the key is there");
            let mut value = found.value().to_vec();
            drop(found);
            change(&mut value);
            table.insert(key, value.as_slice()).expect("redb writes");
        });
    }

    fn scan(&self) -> (u64, u64) {
        let transaction = self.database.begin_read().expect("redb begins");
        let table = transaction.open_table(ENTRIES).expect("redb has a table");
        table.iter().expect("redb reads").fold((0, 0), |(count, sum), entry| {
            (count + 1, sum + touch(entry.expect("redb reads").1.value()))
        })
    }

    fn settle(mut self) {
        let mut transaction = self.database.begin_write().expect("redb begins");
        transaction.set_durability(Durability::Immediate).expect("redb takes the mode");
        transaction.commit().expect("redb commits");
        self.database.compact().expect("redb compacts");
    }
}
