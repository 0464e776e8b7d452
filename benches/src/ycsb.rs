//! The workloads of YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", 2010), by one
//! client: records of 1,000 bytes, keys by a Zipf distribution with the standard constant.

use std::time::{Duration, Instant};

use crate::data::{self, RECORD_BYTES, Records, mix};
use crate::engines::Engine;

/// The constant of the Zipf distribution.
const THETA: f64 = 0.99;

/// Ranks that are drawn before the clock starts; then they are used again.
const DRAWN: u64 = 1 << 20;

/// The longest scan of workload E.
const SCAN_MAX: u64 = 100;

/// A record has ten fields; a read-modify-write changes one.
const FIELD_BYTES: usize = RECORD_BYTES / 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ycsb {
    /// Half reads, half updates.
    A,
    /// 95 in 100 reads, 5 updates.
    B,
    /// Reads only.
    C,
    /// 95 in 100 reads, mostly of what was inserted last, 5 inserts.
    D,
    /// 95 in 100 scans of 1 to 100 records, 5 inserts.
    E,
    /// Half reads, half read-modify-writes.
    F,
}

enum Operation {
    Read,
    Update,
    Insert,
    Scan,
    Modify,
}

impl Ycsb {
    pub fn name(self) -> &'static str {
        match self {
            Ycsb::A => "ycsb-a",
            Ycsb::B => "ycsb-b",
            Ycsb::C => "ycsb-c",
            Ycsb::D => "ycsb-d",
            Ycsb::E => "ycsb-e",
            Ycsb::F => "ycsb-f",
        }
    }

    /// By a number below 100.
    fn operation(self, percent: u64) -> Operation {
        match self {
            Ycsb::A if percent < 50 => Operation::Update,
            Ycsb::B if percent < 5 => Operation::Update,
            Ycsb::D | Ycsb::E if percent < 5 => Operation::Insert,
            Ycsb::E => Operation::Scan,
            Ycsb::F if percent < 50 => Operation::Modify,
            Ycsb::A | Ycsb::B | Ycsb::C | Ycsb::D | Ycsb::F => Operation::Read,
        }
    }

    /// Operations a second, on a database that holds so many records.
    pub fn run<E: Engine>(self, engine: &E, records: u64, time: Duration) -> f64 {
        let mut client = Client {
            workload: self,
            engine,
            values: Records::new(),
            ranks: ranks(records),
            loaded: records,
            inserted: 0,
            turn: 0,
            touched: 0,
        };
        // What the first touch of everything costs is not the rate.
        client.work_for(time.min(Duration::from_millis(300)));
        let rate = client.work_for(time);
        assert!(client.touched > 0, "values were touched");
        rate
    }
}

struct Client<'a, E> {
    workload: Ycsb,
    engine: &'a E,
    values: Records,
    ranks: Vec<u32>,
    loaded: u64,
    inserted: u64,
    turn: u64,
    touched: u64,
}

impl<E: Engine> Client<'_, E> {
    fn work_for(&mut self, time: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.turn);
        loop {
            for _ in 0..16 {
                self.operate();
            }
            let took = start.elapsed();
            if took >= time {
                return (self.turn - before) as f64 / took.as_secs_f64();
            }
        }
    }

    fn operate(&mut self) {
        self.turn += 1;
        let random = mix(self.turn);
        let rank = u64::from(self.ranks[(self.turn % DRAWN) as usize]);
        let number = match self.workload {
            Ycsb::D => self.loaded + self.inserted - 1 - rank,
            // The most wanted are scattered over all records, not the first ones that were loaded.
            _ => mix(!rank) % self.loaded,
        };
        let key = data::key(number);
        match self.workload.operation(random % 100) {
            Operation::Read => self.touched += self.engine.get(key),
            Operation::Update => self.engine.put(key, self.values.get(random)),
            Operation::Insert => {
                let key = data::key(self.loaded + self.inserted);
                self.inserted += 1;
                self.engine.put(key, self.values.get(random));
            }
            Operation::Scan => {
                let count = 1 + random / 100 % SCAN_MAX;
                self.touched += self.engine.scan_from(key, count as usize);
            }
            Operation::Modify => {
                let field = (random / 100) as usize % 10 * FIELD_BYTES;
                let new = &self.values.get(random)[..FIELD_BYTES];
                let change =
                    |record: &mut [u8]| record[field..field + FIELD_BYTES].copy_from_slice(new);
                self.engine.modify(key, &change);
            }
        }
    }
}

/// Ranks below `count`, 0 the most likely one: by Gray et al., "Quickly generating billion-record
/// synthetic databases", 1994, as YCSB has it.
fn ranks(count: u64) -> Vec<u32> {
    let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
    let all = zeta(count);
    let exponent = 1.0 / (1.0 - THETA);
    let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all);
    (0..DRAWN)
        .map(|number| {
            let uniform = (mix(number ^ 0x7963_7362) >> 11) as f64 / (1u64 << 53) as f64;
            let scaled = uniform * all;
            let rank = if scaled < 1.0 {
                0
            } else if scaled < zeta(2) {
                1
            } else {
                (count as f64 * (eta * uniform - eta + 1.0).powf(exponent)) as u64
            };
            rank.min(count - 1) as u32
        })
        .collect()
}
