//! `KvStore`.

use std::collections::BTreeMap;
use std::ops::Bound;

use freehold::prelude::*;
use freehold::primitives::KvStore;
use freehold::testing::{Random, Survival};

use crate::machine::{Machine, open, state};

fn owned<'a>(pairs: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

#[test]
fn put_replaces_and_delete_removes() {
    let mut machine = Machine::new();
    assert_eq!(machine.commit(|tx| tx.on::<KvStore>().put(b"key", b"one")), None);
    let replaced = machine.commit(|tx| tx.on::<KvStore>().put(b"key", b"two"));
    assert_eq!(replaced.as_deref(), Some(&b"one"[..]));
    machine.commit(|tx| tx.on::<KvStore>().put(b"", b""));
    {
        let view = machine.db.view();
        let kv = view.on::<KvStore>();
        assert_eq!(kv.get("key").as_deref(), Some(&b"two"[..]));
        assert_eq!(kv.get("").as_deref(), Some(&b""[..]));
        assert!(kv.contains("key") && !kv.contains("ke"));
        assert_eq!(kv.len(), 2);
    }
    let removed = machine.commit(|tx| tx.on::<KvStore>().delete(b"key"));
    assert_eq!(removed.as_deref(), Some(&b"two"[..]));
    assert_eq!(machine.commit(|tx| tx.on::<KvStore>().delete(b"key")), None);
    machine.commit(|tx| tx.on::<KvStore>().delete(b""));
    assert!(machine.db.view().on::<KvStore>().is_empty());
}

#[test]
fn a_view_keeps_the_values_it_showed() {
    let machine = Machine::new();
    let put = |value: &'static [u8]| {
        machine.db.transaction(|tx| tx.on::<KvStore>().put(b"key", value)).unwrap()
    };
    put(b"a value too long to be kept inline in its key's node");
    let view = machine.db.view();
    put(b"another");
    assert!(view.on::<KvStore>().get("key").unwrap().starts_with(b"a value too long"));
    assert_eq!(&machine.db.view().on::<KvStore>().get("key").unwrap()[..], b"another");
}

#[test]
fn a_pair_that_no_entry_holds_is_rejected_before_anything_changes() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<KvStore>().put(b"key", b"small"));
    let before = state(&machine.db);
    let value = vec![0; 64 << 20];
    let error = machine.db.transaction(|tx| tx.on::<KvStore>().put(b"key", &value)).unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    assert_eq!(state(&machine.db), before);
    machine.crash();
    assert_eq!(state(&machine.db), before);
}

/// A random key: few enough that they meet again, some longer than what is kept inline, with bytes
/// at the end of a prefix's range.
fn key(random: &mut Random) -> Vec<u8> {
    let bytes_len = if random.one_in(8) { random.below(40) } else { random.below(4) };
    (0..bytes_len).map(|_| [0, b'a', b'b', 0xff][random.below(4) as usize]).collect()
}

fn value(random: &mut Random) -> Vec<u8> {
    let bytes_len = if random.one_in(16) { random.below(5_000) } else { random.below(40) };
    (0..bytes_len).map(|_| random.next_u64() as u8).collect()
}

/// Every read of the store against the model.
fn compare(kv: &KvStore, model: &BTreeMap<Vec<u8>, Vec<u8>>, random: &mut Random) {
    let forwards: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(owned(kv.iter()), forwards);
    assert_eq!(owned(kv.iter().rev()), forwards.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!((kv.len(), kv.is_empty()), (model.len(), model.is_empty()));
    for _ in 0..8 {
        let one = key(random);
        assert_eq!(kv.get(&one).as_deref(), model.get(&one).map(|value| &value[..]));
        assert_eq!(kv.contains(&one), model.contains_key(&one));

        let starts = |(k, _): &&(Vec<u8>, Vec<u8>)| k.starts_with(&one);
        let expected: Vec<_> = forwards.iter().filter(starts).cloned().collect();
        assert_eq!(owned(kv.prefix(&one)), expected, "prefix {one:?}");
        let backwards: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(owned(kv.prefix(&one).rev()), backwards, "prefix {one:?} backwards");

        let bound = |random: &mut Random| match random.below(3) {
            0 => Bound::Included(key(random)),
            1 => Bound::Excluded(key(random)),
            _ => Bound::Unbounded,
        };
        let (start, end) = (bound(random), bound(random));
        let inside = |(k, _): &&(Vec<u8>, Vec<u8>)| {
            let after_start = match &start {
                Bound::Included(start) => k >= start,
                Bound::Excluded(start) => k > start,
                Bound::Unbounded => true,
            };
            let before_end = match &end {
                Bound::Included(end) => k <= end,
                Bound::Excluded(end) => k < end,
                Bound::Unbounded => true,
            };
            after_start && before_end
        };
        let expected: Vec<_> = forwards.iter().filter(inside).cloned().collect();
        let bounds = (start.clone(), end.clone());
        assert_eq!(owned(kv.range(bounds.clone())), expected, "range {bounds:?}");
        let backwards: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(owned(kv.range(bounds.clone()).rev()), backwards, "range {bounds:?} backwards");
    }
}

#[test]
fn the_store_is_the_ordered_map_that_its_history_says() {
    let seed = Random::seed_from_env(0x6b76);
    for round in 0..4 {
        let mut random = Random::new(seed).part(round);
        let mut machine = Machine::new();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        println!("FREEHOLD_SEED={seed:#x}, round {round}");
        for _ in 0..150 {
            let given_up = random.one_in(6);
            let mut next = model.clone();
            let result = machine.db.transaction(|tx| {
                for _ in 0..=random.below(8) {
                    let key = key(&mut random);
                    if random.one_in(3) {
                        let removed = tx.on::<KvStore>().delete(&key)?;
                        assert_eq!(removed.as_deref(), next.remove(&key).as_deref());
                    } else {
                        let value = value(&mut random);
                        let replaced = tx.on::<KvStore>().put(&key, &value)?;
                        assert_eq!(replaced.as_deref(), next.insert(key, value).as_deref());
                    }
                    assert_eq!(tx.on::<KvStore>().len(), next.len());
                }
                if given_up { Err(Error::abort("given up")) } else { Ok(()) }
            });
            assert_eq!(result.is_err(), given_up);
            if !given_up {
                model = next;
            }
            match random.below(24) {
                0 => machine.crash(),
                1 => {
                    let survival = Survival::Seeded(random.next_u64());
                    machine.disk = machine.disk.after_crash(survival);
                    machine.db = open(&machine.disk, &machine.clock);
                }
                2 => machine.close(),
                3 => {
                    machine.db.checkpoint().unwrap();
                }
                _ => {}
            }
            if random.one_in(4) {
                compare(machine.db.view().on::<KvStore>(), &model, &mut random);
            }
        }
        machine.crash();
        compare(machine.db.view().on::<KvStore>(), &model, &mut random);
    }
}
