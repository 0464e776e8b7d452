//! redb: one table.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Engine, Mode};
use crate::data::{Key, Value, touch};

const ENTRIES: TableDefinition<Key, &[u8]> = TableDefinition::new("entries");

pub struct Redb {
    database: Database,
    mode: Mode,
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

    fn put(&self, key: Key, value: Value) {
        self.put_many(&mut std::iter::once((key, value)));
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Value)>) {
        let mut transaction = self.database.begin_write().expect("redb begins");
        let durability = match self.mode {
            Mode::Strict => Durability::Immediate,
            Mode::Buffered => Durability::None,
        };
        transaction.set_durability(durability).expect("redb takes the mode");
        {
            let mut table = transaction.open_table(ENTRIES).expect("redb has a table");
            for (key, value) in pairs {
                table.insert(key, value.as_slice()).expect("redb writes");
            }
        }
        transaction.commit().expect("redb commits");
    }

    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64 {
        let transaction = self.database.begin_read().expect("redb begins");
        let table = transaction.open_table(ENTRIES).expect("redb has a table");
        keys.map(|key| {
            touch(table.get(key).expect("redb reads").expect("the key is there").value())
        })
        .sum()
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
