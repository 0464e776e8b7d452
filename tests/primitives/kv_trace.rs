//! `KvStore` under a real trace: what a production cache was asked for, on a disk that crashes.
//!
//! - The trace has keys and sizes and no operations. So a row whose key the model does not hold, or
//!   holds with another size, is a put of that size. Any other is a get, and the seed makes
//!   some of them a write as well: one in 8 another put, in 16 a compare-and-swap (every fourth of
//!   them with a wrong expectation), in 32 a delete, in 200 a delete of some neighbouring keys.
//! - New keys that follow each other are one `put_all`, in every second transaction.
//! - Every commit is strict. The power fails after commits, and in the midst of them: then the one that
//!   was not acknowledged is there as a whole or not at all, and every one before it is there.

use std::collections::BTreeMap;
use std::ops::Bound;

use freehold::prelude::*;
use freehold::primitives::kv::{KvError, KvStore, KvStoreHandle};
use freehold::testing::{Random, SimDisk, Survival, TestClock};

use crate::machine::{Machine, open};

const TRACE: &str = include_str!("../data/kv-traces/twitter_cluster52.csv");

/// A request: a key, and the size of its value.
type Row = (&'static str, usize);

fn trace() -> Vec<Row> {
    TRACE
        .lines()
        .skip(1)
        .map(|line| {
            let mut columns = line.split(',').skip(1);
            let key = columns.next().unwrap();
            (key, columns.next().unwrap().parse().unwrap())
        })
        .collect()
}

/// The plain map, with the way back to where the running transaction began.
#[derive(Default)]
struct Model {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Model {
    fn set(&mut self, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let before = match value {
            Some(value) => self.pairs.insert(key.to_vec(), value),
            None => self.pairs.remove(key),
        };
        self.undo.push((key.to_vec(), before.clone()));
        before
    }

    fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
    }

    fn equals(&self, db: &Database) -> bool {
        let view = db.view();
        let kv = view.on::<KvStore>();
        kv.keys().eq(self.pairs.keys()) && kv.iter().map(|(_, value)| value).eq(self.pairs.values())
    }
}

/// What was done, counted; rows and operations of transactions that did not survive count too.
#[derive(Debug, Default)]
struct Counts {
    puts: u64,
    bulk_puts: u64,
    gets: u64,
    swaps: u64,
    refused: u64,
    deletes: u64,
    range_deletes: u64,
    commits: u64,
    crashes: u64,
    inside_commits: u64,
    survived: u64,
    checkpoints: u64,
    violations: u64,
}

impl Counts {
    fn check(&mut self, holds: bool, what: &str) {
        if !holds {
            self.violations += 1;
            println!("violation: {what}");
        }
    }
}

/// One replay of the trace.
struct Replay {
    random: Random,
    model: Model,
    counts: Counts,
}

impl Replay {
    fn value(&mut self, bytes_len: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(bytes_len + 8);
        while value.len() < bytes_len {
            value.extend(self.random.next_u64().to_le_bytes());
        }
        value.truncate(bytes_len);
        value
    }

    /// The rows of one transaction.
    fn transaction(&mut self, tx: &mut Transaction<'_>, rows: &[Row]) -> Result<()> {
        let in_bulk = self.random.one_in(2);
        let mut new: Vec<(&str, Vec<u8>)> = Vec::new();
        for &(key, size) in rows {
            let known = self.model.pairs.get(key.as_bytes()).map(Vec::len) == Some(size);
            if !known {
                let value = self.value(size);
                if in_bulk {
                    self.model.set(key.as_bytes(), Some(value.clone()));
                    new.push((key, value));
                } else {
                    self.put(&mut tx.on::<KvStore>(), key, value)?;
                }
                continue;
            }
            self.put_all(&mut tx.on::<KvStore>(), &mut new)?;
            self.get(tx.read::<KvStore>(), key);
            match self.random.below(400) {
                0..50 => {
                    let value = self.value(size);
                    self.put(&mut tx.on::<KvStore>(), key, value)?;
                }
                50..75 => self.swap(&mut tx.on::<KvStore>(), key, size)?,
                75..87 => self.delete(&mut tx.on::<KvStore>(), key)?,
                87..89 => self.delete_range(&mut tx.on::<KvStore>(), key)?,
                _ => {}
            }
        }
        self.put_all(&mut tx.on::<KvStore>(), &mut new)
    }

    fn get(&mut self, kv: &KvStore, key: &str) {
        self.counts.gets += 1;
        let expected = self.model.pairs.get(key.as_bytes());
        let equal = kv.get(key).as_deref() == expected.map(|value| &value[..]);
        self.counts.check(equal, "a get differs");
    }

    fn put(&mut self, kv: &mut KvStoreHandle<'_>, key: &str, value: Vec<u8>) -> Result<()> {
        self.counts.puts += 1;
        let replaced = kv.put(key.as_bytes(), &value)?;
        let before = self.model.set(key.as_bytes(), Some(value));
        self.counts.check(replaced.as_deref() == before.as_deref(), "a put replaced another value");
        Ok(())
    }

    fn put_all(
        &mut self,
        kv: &mut KvStoreHandle<'_>,
        new: &mut Vec<(&str, Vec<u8>)>,
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        self.counts.bulk_puts += 1;
        self.counts.puts += new.len() as u64;
        kv.put_all(new.iter().map(|(key, value)| (key.as_bytes(), &value[..])).collect())?;
        self.counts.check(kv.len() == self.model.pairs.len(), "a bulk put missed a key");
        new.clear();
        Ok(())
    }

    fn swap(&mut self, kv: &mut KvStoreHandle<'_>, key: &str, size: usize) -> Result<()> {
        self.counts.swaps += 1;
        let current = self.model.pairs.get(key.as_bytes()).cloned();
        let wrong = self.random.one_in(4);
        let expected = if wrong { Some(self.value(size)) } else { current.clone() };
        let new = self.value(size);
        let swapped = kv.compare_and_swap(key.as_bytes(), expected.as_deref(), Some(&new));
        if expected == current {
            self.model.set(key.as_bytes(), Some(new));
            return swapped;
        }
        self.counts.refused += 1;
        let found = current.as_deref().map(Bytes::from);
        let expected = KvError::OtherValue { key: key.into(), found };
        let refused = swapped.is_err_and(|error| error.rejected() == Some(&expected));
        self.counts.check(refused, "a wrong expectation was not refused with the current value");
        Ok(())
    }

    fn delete(&mut self, kv: &mut KvStoreHandle<'_>, key: &str) -> Result<()> {
        self.counts.deletes += 1;
        let removed = kv.delete(key.as_bytes())?;
        let before = self.model.set(key.as_bytes(), None);
        self.counts
            .check(removed.as_deref() == before.as_deref(), "a delete removed another value");
        Ok(())
    }

    /// From the key on, some more.
    fn delete_range(&mut self, kv: &mut KvStoreHandle<'_>, key: &str) -> Result<()> {
        self.counts.range_deletes += 1;
        let count = 1 + self.random.below(20) as usize;
        let from = Bound::Included(key.as_bytes());
        let keys: Vec<Vec<u8>> = self
            .model
            .pairs
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(count)
            .map(|(key, _)| key.clone())
            .collect();
        let last = keys.last().cloned().unwrap_or_default();
        let removed = kv.delete_range(key.as_bytes()..=&last[..])?;
        self.counts.check(removed == keys.len(), "a range delete counts otherwise");
        for key in keys {
            self.model.set(&key, None);
        }
        Ok(())
    }

    /// The power is back, after a failure outside of a commit, or inside of one.
    fn come_back(&mut self, machine: &mut Machine, inside: bool) -> bool {
        machine.disk.crash();
        let survival = Survival::Seeded(self.random.next_u64());
        machine.disk = machine.disk.after_crash(survival);
        machine.db = open(&machine.disk, &machine.clock);
        self.counts.crashes += 1;
        if !inside {
            self.counts.check(self.model.equals(&machine.db), "an acknowledged commit is lost");
            return true;
        }
        self.counts.inside_commits += 1;
        if self.model.equals(&machine.db) {
            self.counts.survived += 1;
            return true;
        }
        self.model.roll_back();
        self.counts.check(
            self.model.equals(&machine.db),
            "after a crash in a commit there is neither what was before it nor what is after",
        );
        false
    }
}

#[test]
fn a_production_trace_is_kept_through_crashes() {
    let seed = Random::seed_from_env(0x7477_6974);
    println!("FREEHOLD_SEED={seed:#x}");
    let random = Random::new(seed);
    let mut replay = Replay { random, model: Model::default(), counts: Counts::default() };
    let disk = SimDisk::new(seed);
    let clock = TestClock::ticking(Timestamp(1_000_000_000), 1_000_000);
    let db = open(&disk, &clock);
    let mut machine = Machine { disk, clock, db };

    let rows = trace();
    assert_eq!(rows.len(), 50_000);
    let mut done = 0;
    while done < rows.len() {
        let count = 1 + replay.random.below(32) as usize;
        let end = rows.len().min(done + count);
        // A failure during one of the next calls meets a commit, or a checkpoint, or what opening
        // writes later.
        if replay.random.one_in(60) {
            let calls = replay.random.below(12);
            machine.disk.crash_before(machine.disk.call_count() + calls);
        }
        replay.model.undo.clear();
        let outcome = machine.db.transaction(|tx| replay.transaction(tx, &rows[done..end]));
        match outcome {
            Ok(()) => {
                replay.counts.commits += 1;
                done = end;
            }
            Err(error) => {
                assert!(machine.disk.is_off(), "{error}");
                if replay.come_back(&mut machine, true) {
                    done = end;
                }
            }
        }
        match replay.random.below(80) {
            0 => match machine.db.checkpoint() {
                Ok(_) => replay.counts.checkpoints += 1,
                Err(error) => {
                    assert!(machine.disk.is_off(), "{error}");
                    replay.come_back(&mut machine, false);
                }
            },
            1 => {
                replay.come_back(&mut machine, false);
            }
            _ => {}
        }
    }
    replay.come_back(&mut machine, false);
    machine.close();
    let equal = replay.model.equals(&machine.db);
    replay.counts.check(equal, "the closed database opens with another state");

    let Counts {
        puts,
        bulk_puts,
        gets,
        swaps,
        refused,
        deletes,
        range_deletes,
        commits,
        crashes,
        inside_commits,
        survived,
        checkpoints,
        violations,
    } = replay.counts;
    println!(
        "twitter trace: {} rows, {puts} puts ({bulk_puts} bulk), {gets} gets, {swaps} swaps \
         ({refused} refused), {deletes} deletes, {range_deletes} range deletes, {commits} commits, \
         {crashes} crashes ({inside_commits} inside a commit, {survived} of those survived), \
         {checkpoints} checkpoints, {} keys at the end, violations {violations}",
        rows.len(),
        replay.model.pairs.len(),
    );
    assert_eq!(violations, 0);
    assert!(crashes > 50 && checkpoints > 10 && 0 < survived && survived < inside_commits);
}
