//! raft-engine: the key-value side of one Raft group.

use std::path::Path;

use raft_engine::{Config, Engine as Log, LogBatch};

use super::{Engine, Mode};
use crate::data::{Key, touch};

const GROUP: u64 = 1;

pub struct RaftEngine {
    log: Log,
    mode: Mode,
}

impl RaftEngine {
    fn write(&self, batch: &mut LogBatch) {
        self.log.write(batch, self.mode == Mode::Strict).expect("raft-engine commits");
    }
}

impl Engine for RaftEngine {
    fn open(dir: &Path, mode: Mode) -> Self {
        let config = Config { dir: dir.to_string_lossy().into_owned(), ..Config::default() };
        RaftEngine { log: Log::open(config).expect("raft-engine opens"), mode }
    }

    fn put(&self, key: Key, value: &[u8]) {
        let mut batch = LogBatch::default();
        batch.put(GROUP, key.to_vec(), value.to_vec()).expect("raft-engine takes an entry");
        self.write(&mut batch);
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>) {
        let mut batch = LogBatch::default();
        for (key, value) in pairs {
            batch.put(GROUP, key.to_vec(), value.to_vec()).expect("raft-engine takes an entry");
        }
        self.write(&mut batch);
    }

    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64 {
        keys.map(|key| touch(&self.log.get(GROUP, &key).expect("the key is there"))).sum()
    }

    fn scan_from(&self, key: Key, count: usize) -> u64 {
        let (mut left, mut sum) = (count, 0);
        self.log
            .scan_raw_messages(GROUP, Some(&key), None, false, |_, value| {
                left -= 1;
                sum += touch(value);
                left > 0
            })
            .expect("raft-engine reads");
        sum
    }

    fn modify(&self, key: Key, change: &dyn Fn(&mut [u8])) {
        let mut value = self.log.get(GROUP, &key).expect("the key is there");
        change(&mut value);
        self.put(key, &value);
    }

    fn scan(&self) -> (u64, u64) {
        let mut found = (0, 0);
        self.log
            .scan_raw_messages(GROUP, None, None, false, |_, value| {
                found = (found.0 + 1, found.1 + touch(value));
                true
            })
            .expect("raft-engine reads");
        found
    }

    fn settle(self) {
        self.log.sync().expect("raft-engine syncs");
    }
}
