//! Changes against the plain comparison of two copies, and against rows that are not to be trusted.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::prelude::*;
use crate::primitive::collections::{OrdMap, OrdSet, Vector};
use crate::primitive::held::HeldSection;
use crate::primitive::section::{TableRows, TableWriter, UnknownTable};
use crate::primitive::shape::table_tag;
use crate::primitive::stored::{StoredOwned, Undecodable};
use crate::testing::Random;

const SEED: u64 = 6;
const TAG: u32 = 7;

/// How many states come one of another, and how many edits lie between two at most.
const STATES: usize = 40;
const EDITS: u64 = 12;

fn json(value: Option<&ValueRef<'_>>) -> String {
    value.map(ValueRef::to_json).unwrap_or_default()
}

/// What is told, as text: `+key:>after`, `-key:before>`, `~key:before>after`.
fn told<T: Stored + 'static>(since: &T, now: &T) -> Vec<String> {
    let text = |change: Change<'_>| {
        assert_eq!(change.field(), "field");
        let sign = match change.kind() {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let Change { key, before, after, .. } = &change;
        let [key, before, after] = [key, before, after].map(|value| json(value.as_ref()));
        format!("{sign}{key}:{before}>{after}")
    };
    now.changes(since, "field").map(text).collect()
}

fn whole<T: Stored>(value: &T) -> HeldSection {
    HeldSection::of(|writer| writer.field(TAG, value)).unwrap()
}

fn written<T: Stored>(since: &T, now: &T) -> HeldSection {
    HeldSection::of(|writer| writer.changes(TAG, now, since)).unwrap()
}

fn bytes(section: &HeldSection) -> Vec<(u32, Vec<Vec<u8>>)> {
    let rows = |table: &TableRows<'_>| table.blocks.iter().map(|block| block.to_vec()).collect();
    section.tables().iter().map(|table| (table.tag, rows(table))).collect()
}

/// The field that changes make of `base`, read onto it.
fn onto<T: StoredOwned + Clone>(base: &T, changes: &HeldSection) -> Result<T, Reason> {
    let tables = changes.tables();
    let mut reader = SectionReader::new(&tables);
    let mut field = base.clone();
    reader.changes::<T>(TAG, &mut field)?;
    reader.finish()?;
    Ok(field)
}

/// Written as changes and read, in both ways, one state gives the other.
#[track_caller]
fn lead<T: StoredOwned + Clone>(since: &T, now: &T) {
    let changes = written(since, now);
    let is_same = bytes(&whole(since)) == bytes(&whole(now));
    assert_eq!(now.is_same(since), is_same);
    assert_eq!(changes.tables().is_empty(), is_same, "nothing is written of what is the same");
    let read = onto(since, &changes).unwrap();
    assert_eq!(bytes(&whole(&read)), bytes(&whole(now)));
    let (base, changes) = (whole(since), changes.tables());
    let base = base.tables();
    let read = SectionReader::layered(&[&base, &changes]).field::<T>(TAG).unwrap();
    if let Some(read) = read {
        assert_eq!(bytes(&whole(&read)), bytes(&whole(now)));
    }
}

/// States that come one of another by random edits, with a plain copy of each.
fn states<T: Clone, M: Clone + Default>(
    first: T,
    model: M,
    mut edit: impl FnMut(&mut Random, &mut T, &mut M),
) -> Vec<(T, M)> {
    let mut random = Random::new(Random::seed_from_env(SEED));
    let mut states = vec![(first, model)];
    while states.len() < STATES {
        let from = random.below(states.len() as u64) as usize;
        let (mut state, mut model) = states[from].clone();
        for _ in 0..random.below(EDITS) {
            edit(&mut random, &mut state, &mut model);
        }
        states.push((state, model));
    }
    states
}

/// What two plain copies have not in common.
fn expected(since: &BTreeMap<u64, String>, now: &BTreeMap<u64, String>) -> Vec<String> {
    let keys: BTreeSet<_> = since.keys().chain(now.keys()).collect();
    let told = keys.into_iter().map(|key| match (since.get(key), now.get(key)) {
        (Some(before), None) => format!("-{key}:{before:?}>"),
        (None, Some(after)) => format!("+{key}:>{after:?}"),
        (Some(before), Some(after)) if before != after => format!("~{key}:{before:?}>{after:?}"),
        _ => String::new(),
    });
    told.filter(|told| !told.is_empty()).collect()
}

#[test]
fn maps_tell_what_a_plain_comparison_finds() {
    const KEYS: u64 = 1500;
    let model: BTreeMap<u64, String> = (0..KEYS).map(|key| (key, key.to_string())).collect();
    let first: OrdMap<u64, String> = model.clone().into_iter().collect();
    let states = states(first, model, |random, map, model| {
        let key = random.below(KEYS + 100);
        match random.below(4) {
            0 => {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            // The same again.
            1 => {
                if let Some(value) = model.get(&key) {
                    map.insert(key, value.clone());
                }
            }
            _ => {
                let value = random.below(3).to_string();
                map.insert(key, value.clone());
                model.insert(key, value);
            }
        }
    });
    for (since, since_model) in &states {
        for (now, now_model) in &states {
            let expected = expected(since_model, now_model);
            assert_eq!(told(since, now), expected);
            assert_eq!(told(since_model, now_model), expected);
            assert_eq!(since == now, expected.is_empty());
        }
    }
    for pair in states.windows(2) {
        let [(since, since_model), (now, now_model)] = pair else { unreachable!() };
        lead(since, now);
        lead(since_model, now_model);
    }
}

#[test]
fn sets_tell_what_a_plain_comparison_finds() {
    const ELEMENTS: u64 = 800;
    let model: BTreeSet<u64> = (0..ELEMENTS).collect();
    let first: OrdSet<u64> = model.iter().copied().collect();
    let states = states(first, model, |random, set, model| {
        let element = random.below(ELEMENTS + 100);
        if random.one_in(2) {
            assert_eq!(set.remove(&element), model.remove(&element));
        } else {
            assert_eq!(set.insert(element), model.insert(element));
        }
    });
    for (since, since_model) in &states {
        for (now, now_model) in &states {
            let told_of = |element: &u64| match now_model.contains(element) {
                true => format!("+{element}:>"),
                false => format!("-{element}:>"),
            };
            let expected: Vec<_> =
                since_model.symmetric_difference(now_model).map(told_of).collect();
            assert_eq!(told(since, now), expected);
            assert_eq!(told(since_model, now_model), expected);
            assert_eq!(since == now, expected.is_empty());
        }
    }
    for pair in states.windows(2) {
        let [(since, since_model), (now, now_model)] = pair else { unreachable!() };
        lead(since, now);
        lead(since_model, now_model);
    }
}

#[test]
fn vectors_tell_what_a_plain_comparison_finds() {
    let model: Vec<u64> = (0..700).collect();
    let first: Vector<u64> = model.iter().copied().collect();
    let states = states(first, model, |random, vector, model| {
        let (index, element) = (random.below(model.len() as u64 + 1) as usize, random.below(3));
        match random.below(16) {
            0 => assert_eq!(vector.remove(index).is_some(), index < model.len()),
            1 => assert_eq!(vector.insert(index, element), Ok(())),
            2 => vector.push_front(element),
            3 => vector.truncate(model.len().saturating_sub(random.below(90) as usize)),
            4..10 => vector.push(element),
            _ => {
                vector.set(index, element);
            }
        }
        *model = vector.iter().copied().collect();
    });
    for (since, since_model) in &states {
        for (now, now_model) in &states {
            let len = since_model.len().max(now_model.len());
            let told_of = |at: usize| match (since_model.get(at), now_model.get(at)) {
                (Some(before), None) => Some(format!("-{at}:{before}>")),
                (None, Some(after)) => Some(format!("+{at}:>{after}")),
                (before, after) if before == after => None,
                (Some(before), Some(after)) => Some(format!("~{at}:{before}>{after}")),
                (None, None) => None,
            };
            let expected: Vec<_> = (0..len).filter_map(told_of).collect();
            assert_eq!(told(since, now), expected);
        }
    }
    for pair in states.windows(2) {
        lead(&pair[0].0, &pair[1].0);
    }
}

#[test]
fn what_has_no_elements_is_told_as_one() {
    assert_eq!(told(&1_u64, &2), ["~:1>2"]);
    assert!(told(&1_u64, &1).is_empty());
    assert_eq!(told(&0.0, &-0.0), ["~:0.0>-0.0"]);
    let (since, now) = (Some(vec![1_u8, 255]), None::<Vec<u8>>);
    assert_eq!(told(&since, &now), [r#"~:{"hex":"01ff"}>null"#]);
    lead(&since, &now);
    lead(&0.0, &-0.0);
}

#[test]
fn keys_and_values_are_given_by_their_type() {
    let since: OrdMap<String, u64> = OrdMap::new();
    let now: OrdMap<String, u64> = [("a".to_owned(), 1)].into_iter().collect();
    let change = now.changes(&since, "counts").next().unwrap();
    assert_eq!(change.key().unwrap().get::<String>().unwrap(), "a");
    assert_eq!(change.key().unwrap().get::<&str>(), None);
    assert_eq!(change.after().unwrap().get::<u64>(), Some(&1));
    assert!(change.before().is_none());
    assert_eq!(
        format!("{} {:?}", change.key().unwrap(), change.after()),
        "\"a\" Some(ValueRef(u64))"
    );
    let vector: Vector<char> = "ab".chars().collect();
    let empty = Vector::new();
    let keys: Vec<_> = vector
        .changes(&empty, "")
        .map(|change| *change.key().unwrap().get::<u64>().unwrap())
        .collect();
    assert_eq!(keys, [0, 1]);
}

/// Counts as the same as another one of the same name.
#[derive(Clone, Debug, Stored)]
struct Named {
    name: u8,
    spelling: String,
}

impl Ord for Named {
    fn cmp(&self, other: &Named) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Named) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.name == other.name
    }
}

impl Eq for Named {}

#[test]
fn what_counts_as_the_same_and_is_not_is_a_change() {
    let named = |spelling: &str| Named { name: 1, spelling: spelling.to_owned() };
    let (old, new) = (named("a"), named("A"));
    let sets = [&old, &new].map(|one| BTreeSet::from([one.clone()]));
    assert_eq!(told(&sets[0], &sets[1]).len(), 1);
    lead(&sets[0], &sets[1]);
    let maps = [&old, &new].map(|one| BTreeMap::from([(one.clone(), 7_u8)]));
    assert_eq!(told(&maps[0], &maps[1]).len(), 1);
    lead(&maps[0], &maps[1]);

    let set: OrdSet<Named> = sets[0].iter().cloned().collect();
    let mut other = set.clone();
    other.insert(new.clone());
    assert!(set == other && !set.is_same(&other));
    assert_eq!(
        told(&set, &other),
        [r#"~{"name":1,"spelling":"A"}:{"name":1,"spelling":"a"}>{"name":1,"spelling":"A"}"#]
    );
    lead(&set, &other);
    let map: OrdMap<Named, u8> = [(old, 7)].into_iter().collect();
    let mut other = map.clone();
    other.insert(new, 7);
    assert_eq!(told(&map, &other).len(), 1);
    lead(&map, &other);
}

/// Rows by hand, as changes of the field.
fn by_hand(write: impl FnOnce(&mut TableWriter<'_, '_>) -> Result<()>) -> HeldSection {
    HeldSection::of(|writer| write(&mut writer.table(TAG))).unwrap()
}

#[track_caller]
fn refused<T: StoredOwned + Clone>(base: &T, changes: &HeldSection) {
    let reason = onto(base, changes).err().expect("it was not refused");
    assert!(reason.is::<Undecodable>(), "{reason}");
}

#[test]
fn changes_that_are_none_of_this_base_are_refused() {
    let map: OrdMap<u8, u8> = [(1, 1)].into_iter().collect();
    let tree: BTreeMap<u8, u8> = BTreeMap::from([(1, 1)]);
    let not_there = by_hand(|table| table.pair(&2_u8, &None::<u8>));
    let twice = by_hand(|table| {
        table.pair(&3_u8, &Some(1_u8))?;
        table.pair(&2_u8, &Some(1_u8))?;
        table.pair(&3_u8, &Some(2_u8))
    });
    for changes in [&not_there, &twice] {
        refused(&map, changes);
        refused(&tree, changes);
    }
    let set: OrdSet<u8> = [1].into_iter().collect();
    let not_there = by_hand(|table| table.pair(&2_u8, &false));
    let twice = by_hand(|table| {
        table.pair(&1_u8, &false)?;
        table.pair(&1_u8, &true)
    });
    for changes in [&not_there, &twice] {
        refused(&set, changes);
        refused(&BTreeSet::from([1_u8]), changes);
    }
    let vector: Vector<u8> = [1, 2, 3].into_iter().collect();
    let changes = |len: u64, pairs: &'static [(u64, u8)]| {
        by_hand(|table| {
            table.row(&len)?;
            pairs.iter().try_for_each(|(index, element)| table.pair(index, element))
        })
    };
    for (len, pairs) in [
        (4, &[][..]),
        (3, &[(3, 9)]),
        (3, &[(4, 9)]),
        (5, &[(4, 9)]),
        (2, &[(2, 9)]),
        (3, &[(0, 9), (0, 9)]),
        (u64::MAX, &[(u64::MAX, 9)]),
    ] {
        refused(&vector, &changes(len, pairs));
    }
    assert_eq!(onto(&vector, &changes(4, &[(0, 9), (3, 9)])).unwrap().len(), 4);
    assert_eq!(onto(&vector, &changes(1, &[])).unwrap().len(), 1);
    // One value, and nothing behind it.
    refused(&5_u8, &by_hand(|table| table.row(&1_u8).and_then(|()| table.row(&2_u8))));
}

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// A key that counts how often it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
struct Counted(u32);

impl Ord for Counted {
    fn cmp(&self, other: &Counted) -> Ordering {
        COMPARED.set(COMPARED.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Counted) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn ten_changes_among_a_million_keys_are_found_without_looking_at_the_rest() {
    const KEYS: u32 = 1_000_000;
    let base: OrdMap<Counted, u64> = (0..KEYS).map(|key| (Counted(key), 0)).collect();
    let mut fork = base.clone();
    for key in 0..8 {
        fork.insert(Counted(key * (KEYS / 8)), 1);
    }
    fork.remove(&Counted(7));
    fork.insert(Counted(KEYS), 1);
    COMPARED.set(0);
    assert_eq!(fork.changes(&base, "").count(), 10);
    let compared = COMPARED.get();
    assert!(compared < 2_000, "{compared} keys were compared");

    let changes = written(&base, &fork);
    assert_eq!(changes.tables().len(), 1);
    COMPARED.set(0);
    let read = onto(&base, &changes).unwrap();
    assert!(read.is_same(&fork));
    // What was read shares with the base what the fork shares with it.
    assert_eq!(read.changes(&base, "").count(), 10);
    let compared = COMPARED.get();
    assert!(compared < 6_000, "{compared} keys were compared");
    assert_eq!(base.clone().changes(&base, "").count(), 0);
}

#[test]
fn a_vector_passes_over_the_chunks_that_two_states_share() {
    let base: Vector<u64> = (0..100_000).collect();
    let mut fork = base.clone();
    fork.set(5_000, 1);
    fork.push(1);
    let looked_at = fork.apart(&base).count();
    assert!(looked_at < 1_000, "{looked_at} elements were looked at");
    assert_eq!(fork.changes(&base, "").count(), 2);
    assert_eq!(base.clone().apart(&base).count(), 0);
}

/// A shelf as it is now. Before, `titles` was `books`, there was a `count` of whole ones, `gone` was
/// there, and what is younger was not.
#[primitive(id = 0xe4, wal = 0xe4, section_version = 2, dropped = ["gone"])]
#[derive(Clone, Debug, PartialEq)]
struct Shelf {
    #[field(was = "books")]
    titles: OrdMap<String, u32>,
    #[field(from = |count: u64| count * 1000)]
    thousandths: u64,
    #[field(from = |lines: Vector<u8>| lines.iter().map(|line| u16::from(*line)).collect())]
    rows: Vector<u16>,
    younger: OrdSet<u8>,
    younger_number: u8,
}

impl Default for Shelf {
    fn default() -> Shelf {
        let (titles, rows, younger) = Default::default();
        Shelf { titles, thousandths: 0, rows, younger, younger_number: 3 }
    }
}

#[operations]
impl Shelf {}

/// What a build of version 1 has.
#[derive(Clone, Default)]
struct OldShelf {
    books: OrdMap<String, u32>,
    count: u64,
    lines: Vector<u8>,
    gone: OrdSet<u8>,
}

impl OldShelf {
    fn changes(&self, base: &OldShelf) -> HeldSection {
        HeldSection::of(|writer| {
            writer.changes(table_tag("books"), &self.books, &base.books)?;
            writer.changes(table_tag("count"), &self.count, &base.count)?;
            writer.changes(table_tag("lines"), &self.lines, &base.lines)?;
            writer.changes(table_tag("gone"), &self.gone, &base.gone)
        })
        .unwrap()
    }

    fn whole(&self) -> HeldSection {
        HeldSection::of(|writer| {
            writer.field(table_tag("books"), &self.books)?;
            writer.field(table_tag("count"), &self.count)?;
            writer.field(table_tag("lines"), &self.lines)?;
            writer.field(table_tag("gone"), &self.gone)
        })
        .unwrap()
    }
}

#[test]
fn changes_of_an_older_layout_are_read_above_their_base() {
    let mut old = OldShelf { count: 1, ..OldShelf::default() };
    old.books.insert("one".to_owned(), 1);
    let base = old.whole();
    let mut sections = vec![base];
    for step in 2..5_u8 {
        let before = old.clone();
        old.books.insert(step.to_string(), step.into());
        old.books.remove("one");
        old.count = step.into();
        // Not in the base: of a collection only elements are rows.
        old.lines.push(step);
        old.gone.insert(step);
        sections.push(old.changes(&before));
    }
    let tables: Vec<Vec<TableRows<'_>>> = sections.iter().map(HeldSection::tables).collect();
    let layers: Vec<&[TableRows<'_>]> = tables.iter().map(Vec::as_slice).collect();
    let shelf = Shelf::snapshot_deserialize(&mut SectionReader::layered(&layers)).unwrap();
    let expected = Shelf {
        titles: [("2", 2), ("3", 3), ("4", 4)]
            .map(|(k, v)| (k.to_owned(), v))
            .into_iter()
            .collect(),
        thousandths: 4000,
        rows: [2, 3, 4].into_iter().collect(),
        ..Shelf::default()
    };
    assert_eq!(shelf, expected);

    // A table that no field is, in a layer that is not the base.
    let foreign = HeldSection::of(|writer| writer.field(99, &1_u8)).unwrap();
    let foreign = foreign.tables();
    let mut reader = SectionReader::layered(&[layers[0], &foreign, layers[1]]);
    let reason = Shelf::snapshot_deserialize(&mut reader).unwrap_err();
    assert_eq!(reason.downcast_ref(), Some(&UnknownTable { tag: 99 }));
}
