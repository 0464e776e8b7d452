//! Freehold: `KvStore` in the root, checkpoints only when asked for.

use std::path::Path;
use std::time::Duration;

use freehold::primitives::KvStore;
use freehold::{Database, Durability, Options};

use super::{Engine, Mode};
use crate::data::{Key, touch};

pub struct Freehold(Database);

impl Engine for Freehold {
    fn open(dir: &Path, mode: Mode) -> Self {
        let durability = match mode {
            Mode::Strict => Durability::Strict,
            Mode::Buffered => Durability::Buffered { sync_every: Duration::from_secs(1) },
        };
        let options = Options::new().durability(durability).checkpoint_bytes(None);
        Freehold(options.open(dir).expect("freehold opens"))
    }

    fn put(&self, key: Key, value: &[u8]) {
        self.0.transaction(|tx| tx.on::<KvStore>().put(&key, value)).expect("freehold commits");
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>) {
        self.0
            .transaction(|tx| {
                let mut kv = tx.on::<KvStore>();
                for (key, value) in pairs {
                    kv.put(&key, &value)?;
                }
                Ok(())
            })
            .expect("freehold commits");
    }

    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64 {
        let view = self.0.view();
        let kv = view.on::<KvStore>();
        keys.map(|key| touch(&kv.get(key).expect("the key is there"))).sum()
    }

    fn scan_from(&self, key: Key, count: usize) -> u64 {
        let view = self.0.view();
        let pairs = view.on::<KvStore>().range(key..);
        pairs.take(count).map(|(_, value)| touch(value)).sum()
    }

    fn modify(&self, key: Key, change: &dyn Fn(&mut [u8])) {
        self.0
            .transaction(|tx| {
                let mut kv = tx.on::<KvStore>();
                let mut value = kv.get(key).expect("the key is there").to_vec();
                change(&mut value);
                kv.put(&key, &value)
            })
            .expect("freehold commits");
    }

    fn scan(&self) -> (u64, u64) {
        let view = self.0.view();
        view.on::<KvStore>()
            .iter()
            .fold((0, 0), |(count, sum), (_, value)| (count + 1, sum + touch(value)))
    }

    fn settle(self) {
        self.0.checkpoint().expect("freehold checkpoints");
        self.0.close().expect("freehold closes");
    }
}
