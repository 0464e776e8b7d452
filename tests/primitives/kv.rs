//! `KvStore`.

use std::collections::BTreeMap;
use std::ops::Bound;

use freehold::prelude::*;
use freehold::primitives::kv::{KeyBounds, KvError, KvStore, KvStoreHandle};
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
fn compare_and_swap_tells_the_value_that_it_found() {
    let mut machine = Machine::new();
    let swap = |expected: Option<&'static [u8]>, new: Option<&'static [u8]>| {
        move |tx: &mut Transaction<'_>| tx.on::<KvStore>().compare_and_swap(b"key", expected, new)
    };
    let found = |value: Option<&[u8]>| KvError::OtherValue {
        key: Bytes::from("key"),
        found: value.map(Bytes::from),
    };
    machine.refused(found(None), swap(Some(b"one"), Some(b"two")));
    machine.commit(swap(None, Some(b"one")));
    machine.refused(found(Some(b"one")), swap(None, Some(b"two")));
    machine.refused(found(Some(b"one")), swap(Some(b"two"), None));
    machine.commit(swap(Some(b"one"), Some(b"two")));
    assert_eq!(machine.db.view().on::<KvStore>().get("key").as_deref(), Some(&b"two"[..]));
    machine.commit(swap(Some(b"two"), Some(b"two")));
    machine.commit(swap(Some(b"two"), None));
    machine.commit(swap(None, None));
    assert!(machine.db.view().on::<KvStore>().is_empty());

    assert_eq!(
        found(Some(b"one")).to_string(),
        "key b\"key\": holds a value of 3 bytes, expected another or none"
    );
    assert_eq!(found(None).to_string(), "key b\"key\": holds no value, expected one");
}

#[test]
fn many_pairs_are_put_in_their_order_by_one_entry() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<KvStore>().put(b"b", b"old"));
    let new = machine.commit(|tx| {
        tx.on::<KvStore>().put_all(vec![(b"c", b"1"), (b"a", b"2"), (b"b", b"3"), (b"c", b"4")])
    });
    assert_eq!(new, 2, "c is new once, b is not");
    let pairs = owned(machine.db.view().on::<KvStore>().iter());
    let expected = [(b"a", b"2"), (b"b", b"3"), (b"c", b"4")];
    assert_eq!(pairs, expected.map(|(key, value)| (key.to_vec(), value.to_vec())));

    let before = machine.db.view().lsn();
    let long = [7; 100];
    let keys: Vec<[u8; 4]> = (0..1_000u32).map(u32::to_be_bytes).collect();
    let new = machine.commit(|tx| {
        tx.on::<KvStore>().put_all(keys.iter().map(|key| (&key[..], &long[..])).collect())
    });
    assert_eq!((new, machine.db.view().lsn().0), (1_000, before.0 + 1));
    assert_eq!(machine.commit(|tx| tx.on::<KvStore>().put_all(Vec::new())), 0);
}

#[test]
fn a_range_is_deleted_by_any_words_that_read_one() {
    let mut machine = Machine::new();
    let keys = [&b""[..], b"a", b"a\0", b"ab", b"b", b"b\0", b"\xff", b"\xff\xff"];
    let a = || b"a".to_vec();
    let b = || b"b".to_vec();
    let mut removed_by = |keys_of: &dyn Fn() -> KeyBounds, expected: &[&[u8]]| {
        machine.commit(|tx| {
            tx.on::<KvStore>().put_all(keys.iter().map(|key| (*key, &b"value"[..])).collect())
        });
        let removed = machine.commit(|tx| tx.on::<KvStore>().delete_range(keys_of()));
        assert_eq!(removed, expected.len(), "{:?}", keys_of());
        let left: Vec<_> = keys.iter().filter(|key| !expected.contains(key)).collect();
        assert!(machine.db.view().on::<KvStore>().keys().eq(left), "{:?}", keys_of());
    };
    removed_by(&|| ("a".."b").into(), &[b"a", b"a\0", b"ab"]);
    removed_by(&|| (a()..=b()).into(), &[b"a", b"a\0", b"ab", b"b"]);
    removed_by(&|| (b"b"..).into(), &[b"b", b"b\0", b"\xff", b"\xff\xff"]);
    removed_by(&|| (..a()).into(), &[b""]);
    removed_by(&|| (..=a()).into(), &[b"", b"a"]);
    removed_by(&|| (..).into(), &keys);
    let above_a = (Bound::Excluded("a"), Bound::Included("b"));
    removed_by(&|| above_a.into(), &[b"a\0", b"ab", b"b"]);
    removed_by(&|| ("b".."a").into(), &[]);
    removed_by(&|| ("a".."a").into(), &[]);
    removed_by(&|| (Bound::Excluded("a"), Bound::Excluded("a")).into(), &[]);
    removed_by(&|| KeyBounds::prefix("a"), &[b"a", b"a\0", b"ab"]);
    removed_by(&|| KeyBounds::prefix(b"\xff"), &[b"\xff", b"\xff\xff"]);
    removed_by(&|| KeyBounds::prefix(""), &keys);
}

#[test]
fn a_value_is_shared_by_all_who_read_it() {
    let machine = Machine::new();
    let long = [7; 100];
    machine.db.transaction(|tx| tx.on::<KvStore>().put(b"key", &long)).unwrap();
    let view = machine.db.view();
    let first = view.on::<KvStore>().get("key").unwrap();
    let second = view.on::<KvStore>().get("key").unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
    let (_, iterated) = view.on::<KvStore>().iter().next().unwrap();
    assert_eq!(first.as_ptr(), iterated.as_ptr());

    machine.db.transaction(|tx| tx.on::<KvStore>().put(b"other", b"")).unwrap();
    let later = machine.db.view();
    assert_eq!(first.as_ptr(), later.on::<KvStore>().get("key").unwrap().as_ptr());
    let replaced =
        machine.db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"")).unwrap().unwrap();
    assert_eq!(first.as_ptr(), replaced.as_ptr());
    drop((view, later, second, replaced));
    assert_eq!(&first[..], long);
}

#[test]
fn a_key_of_up_to_22_bytes_stands_inline() {
    let machine = Machine::new();
    let longest: Vec<u8> = (0..24).collect();
    machine
        .db
        .transaction(|tx| {
            (0..=24).try_for_each(|len| tx.on::<KvStore>().put(&longest[..len], b"").map(|_| ()))
        })
        .unwrap();
    let view = machine.db.view();
    for key in view.on::<KvStore>().keys() {
        let place = std::ptr::from_ref(key).addr();
        let inside = place..place + size_of::<Bytes>();
        assert_eq!(inside.contains(&key.as_ptr().addr()), key.len() <= 22, "{key:?}");
    }
}

#[test]
fn a_pair_that_no_entry_holds_is_rejected_before_anything_changes() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<KvStore>().put(b"key", b"small"));
    let before = state(&machine.db);
    let value = vec![0; 64 << 20];
    let error = machine.db.transaction(|tx| tx.on::<KvStore>().put(b"key", &value)).unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    let half = vec![0; 32 << 20];
    let pairs = vec![(&b"a"[..], &half[..]), (b"b", &half)];
    let error = machine.db.transaction(|tx| tx.on::<KvStore>().put_all(pairs)).unwrap_err();
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
    assert!(kv.keys().eq(model.keys()) && kv.keys().rev().eq(model.keys().rev()));
    assert_eq!(
        owned(kv.first().into_iter()),
        forwards.first().cloned().into_iter().collect::<Vec<_>>()
    );
    assert_eq!(
        owned(kv.last().into_iter()),
        forwards.last().cloned().into_iter().collect::<Vec<_>>()
    );
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

/// One random operation, on the store and on the model.
fn change(
    kv: &mut KvStoreHandle<'_>,
    model: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    random: &mut Random,
) -> Result<()> {
    let key = key(random);
    match random.below(16) {
        0..=6 => {
            let value = value(random);
            let replaced = kv.put(&key, &value)?;
            assert_eq!(replaced.as_deref(), model.insert(key, value).as_deref());
        }
        7..=10 => assert_eq!(kv.delete(&key)?.as_deref(), model.remove(&key).as_deref()),
        11 | 12 => {
            let current = model.get(&key).cloned();
            let expected = if random.one_in(4) { Some(value(random)) } else { current.clone() };
            let new = (!random.one_in(4)).then(|| value(random));
            let swapped = kv.compare_and_swap(&key, expected.as_deref(), new.as_deref());
            if expected == current {
                swapped?;
                match new {
                    Some(new) => model.insert(key, new),
                    None => model.remove(&key),
                };
            } else {
                let error = swapped.unwrap_err();
                let found = current.as_deref().map(Bytes::from);
                let expected = KvError::OtherValue { key: key.into(), found };
                assert_eq!(error.rejected(), Some(&expected));
            }
        }
        13 | 14 => {
            let pairs: Vec<_> =
                (0..random.below(6)).map(|_| (self::key(random), value(random))).collect();
            let lent = pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            let before = model.len();
            let new = kv.put_all(lent)?;
            model.extend(pairs);
            assert_eq!(new, model.len() - before);
        }
        _ => {
            let before = model.len();
            let removed = if random.one_in(2) {
                model.retain(|found, _| !found.starts_with(&key));
                kv.delete_range(KeyBounds::prefix(&key))?
            } else {
                let end = self::key(random);
                model.retain(|found, _| !(&key..&end).contains(&found));
                kv.delete_range(key..end)?
            };
            assert_eq!(removed, before - model.len());
        }
    }
    Ok(())
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
                    change(&mut tx.on::<KvStore>(), &mut next, &mut random)?;
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
