//! No engine: the least that a log must do on this machine. Recovery reads records with a CRC each
//! and builds two sorted maps, each half of the keys on a thread of its own; a strict commit
//! overwrites a preallocated file and syncs it; a buffered one is one `write(2)`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Engine, Mode};
use crate::data::{Key, touch};

const RECORD: usize = 176;
const PREALLOCATED: u64 = 256 << 20;

pub struct Floor {
    file: File,
    next: AtomicU64,
    mode: Mode,
    state: Mutex<[Half; 2]>,
}

type Half = BTreeMap<Key, Box<[u8]>>;

fn record(key: &Key, value: &[u8]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[56..72].copy_from_slice(key);
    record[72..172].copy_from_slice(value);
    let crc = crc32fast::hash(&record[8..]);
    record[..4].copy_from_slice(&(RECORD as u32).to_le_bytes());
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    record
}

impl Engine for Floor {
    fn open(dir: &Path, mode: Mode) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        let path = dir.join("log");
        let mut halves = [Vec::new(), Vec::new()];
        let mut end = 0;
        if path.exists() {
            let bytes = std::fs::read(&path).expect("a log");
            for record in bytes.chunks_exact(RECORD) {
                if record[..4] != (RECORD as u32).to_le_bytes() {
                    break;
                }
                let stored = u32::from_le_bytes(record[4..8].try_into().expect("four bytes"));
                assert_eq!(crc32fast::hash(&record[8..]), stored);
                let key: Key = record[56..72].try_into().expect("a key");
                halves[usize::from(key[0] >> 7)].push((key, Box::from(&record[72..172])));
                end += RECORD as u64;
            }
        }
        let state = std::thread::scope(|scope| {
            halves
                .map(|mut half| {
                    scope.spawn(move || {
                        half.sort_unstable_by_key(|(key, _)| *key);
                        half.into_iter().collect::<Half>()
                    })
                })
                .map(|half| half.join().expect("no panic elsewhere"))
        });
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .expect("a log");
        if mode == Mode::Strict && end == 0 {
            let zeros = vec![0; 1 << 20];
            for offset in (0..PREALLOCATED).step_by(zeros.len()) {
                file.write_all_at(&zeros, offset).expect("room for a log");
            }
            file.sync_all().expect("a sync");
        }
        Floor { file, next: AtomicU64::new(end), mode, state: Mutex::new(state) }
    }

    fn put(&self, key: Key, value: &[u8]) {
        let mut offset = self.next.fetch_add(RECORD as u64, Ordering::Relaxed);
        if self.mode == Mode::Strict {
            offset %= PREALLOCATED - RECORD as u64;
        }
        self.file.write_all_at(&record(&key, value), offset).expect("a write");
        if self.mode == Mode::Strict {
            self.file.sync_data().expect("a sync");
        }
    }

    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>) {
        let records: Vec<u8> = pairs.flat_map(|(key, value)| record(&key, &value)).collect();
        (&self.file).write_all(&records).expect("a write");
    }

    fn read(&self, _: &mut dyn Iterator<Item = Key>) -> u64 {
        unreachable!("the floor has no reads")
    }

    fn scan_from(&self, _: Key, _: usize) -> u64 {
        unreachable!("the floor has no reads")
    }

    fn modify(&self, _: Key, _: &dyn Fn(&mut [u8])) {
        unreachable!("the floor has no reads")
    }

    fn scan(&self) -> (u64, u64) {
        let state = self.state.lock().expect("no panic elsewhere");
        let values = state.iter().flat_map(Half::values);
        values.fold((0, 0), |(count, sum), value| (count + 1, sum + touch(value)))
    }

    fn settle(self) {
        unreachable!("the floor has no settled form")
    }
}
