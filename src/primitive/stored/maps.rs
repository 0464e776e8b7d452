//! Ordered maps, sets and vectors: a field of such a type is a table with a row for each element.
//!
//! - What changed since a base is a table too: of a map `(key, Option<value>)`, of a set
//!   `(element, bool)`, where `None` and `false` are what was removed; of a vector its length, then
//!   `(index, element)`.
//! - Keys and elements that count as one and are not the same, byte for byte, are a change.

use std::collections::{BTreeMap, BTreeSet};

use rkyv::Place;
use rkyv::rancor::Failure;
use rkyv::tuple::ArchivedTuple2;
use rkyv::vec::{ArchivedVec, VecResolver};

use super::{Encoder, Stored, StoredOwned, Undecodable, Wire, check_count};
use crate::error::Result;
use crate::primitive::change::{Change, Changes, ValueRef};
use crate::primitive::collections::{Apart, OrdMap, OrdSet, Vector, merge};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::section::{Rows, TableWriter};
use crate::primitive::shape::Shape;

/// `$apart` says where two maps part; `$set` gives a key its value, and takes the key as well.
macro_rules! map {
    ($($map:ident $apart:expr, $set:expr, where $($bound:path),*;)*) => {$(
        impl<K: StoredOwned $(+ $bound)*, V: StoredOwned $(+ $bound)*> Stored for $map<K, V>
        where
            K: Ord,
        {
            type Archived = ArchivedVec<ArchivedTuple2<K::Archived, V::Archived>>;
            type Resolver = VecResolver;
            type Loaded<'a> = $map<K, V>;
            type Itself = Self;
            const SHAPE: Shape =
                Shape::of("{").shape(&K::SHAPE).text(": ").shape(&V::SHAPE).text("}");
            const ROWS: bool = true;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
                let pairs = Counted::of(self.iter().map(wire_pair), self.len());
                ArchivedVec::serialize_from_iter::<(Wire<'_, K>, Wire<'_, V>), _, _>(pairs, encoder)
            }

            fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }

            fn load(archived: &Self::Archived) -> Result<Self, Undecodable> {
                check_count::<(K, V)>(archived.len())?;
                archived.iter().map(|pair| Ok((K::load(&pair.0)?, V::load(&pair.1)?))).collect()
            }

            fn save(&self, table: &mut TableWriter<'_, '_>) -> Result<()> {
                for (key, value) in self {
                    table.pair(key, value)?;
                }
                Ok(())
            }

            fn restore(rows: &mut Rows<'_>) -> Result<Self, Undecodable> {
                let mut map = $map::new();
                while let Some(pair) = rows.pair::<K, V>() {
                    let (key, value) = pair?;
                    if map.insert(key, value).is_some() {
                        return Err(rows.twice());
                    }
                }
                Ok(map)
            }

            fn to_json(&self, out: &mut JsonWriter) {
                let mut list = out.list();
                for pair in self.iter().map(wire_pair) {
                    list.item(&pair);
                }
                list.end();
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                let mut map = $map::new();
                for pair in json.list()? {
                    let [key, value] = pair.list_of()?;
                    if map.insert(K::from_json(key)?, V::from_json(value)?).is_some() {
                        return Err(key.misfit("each key once"));
                    }
                }
                Ok(map)
            }

            fn is_same(&self, other: &Self) -> bool {
                self.len() == other.len() && !$apart(self, other).any(|apart| differs(&apart))
            }

            fn changes<'a>(&'a self, since: &'a Self, field: &'static str) -> Changes<'a>
            where
                Self: 'static,
            {
                let apart = $apart(self, since).filter(differs);
                Changes::of(apart.map(move |apart| changed_pair(field, apart)))
            }

            fn save_changes(&self, base: &Self, table: &mut TableWriter<'_, '_>) -> Result<()> {
                for apart in $apart(self, base).filter(differs) {
                    match apart {
                        Apart::Before((key, _)) => table.pair(key, &None::<Wire<'_, V>>)?,
                        Apart::After((key, value)) | Apart::Both(_, (key, value)) => {
                            table.pair(key, &Some(Wire(value)))?;
                        }
                    }
                }
                Ok(())
            }

            fn restore_changes(map: &mut Self, rows: &mut Rows<'_>) -> Result<(), Undecodable> {
                let set: fn(&mut Self, K, V) = $set;
                for (key, value) in each_once::<K, Option<V>>(rows)? {
                    match value {
                        Some(value) => set(map, key, value),
                        None => {
                            map.remove(&key).ok_or(Undecodable)?;
                        }
                    }
                }
                Ok(())
            }
        }
    )*};
}

map! {
    BTreeMap map_apart, |map, key, value| {
        // The map would keep the key that it has.
        map.remove(&key);
        map.insert(key, value);
    }, where;
    OrdMap OrdMap::apart, |map, key, value| {
        map.insert(key, value);
    }, where Clone;
}

fn map_apart<'a, K: Ord, V>(
    now: &'a BTreeMap<K, V>,
    since: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = Apart<(&'a K, &'a V)>> {
    merge(since.iter(), now.iter(), |(before, _), (after, _)| before.cmp(after))
}

fn differs<K: Stored, V: Stored>(apart: &Apart<(&K, &V)>) -> bool {
    match apart {
        Apart::Both(before, after) => !(before.0.is_same(after.0) && before.1.is_same(after.1)),
        Apart::Before(_) | Apart::After(_) => true,
    }
}

fn changed_pair<'a, K: Stored + 'static, V: Stored + 'static>(
    field: &'static str,
    apart: Apart<(&'a K, &'a V)>,
) -> Change<'a> {
    let lent = |(key, value): (&'a K, &'a V)| (ValueRef::lent(key), Some(ValueRef::lent(value)));
    match apart {
        Apart::Before(pair) => {
            let (key, before) = lent(pair);
            Change::removed(field, Some(key), before)
        }
        Apart::After(pair) => {
            let (key, after) = lent(pair);
            Change::added(field, Some(key), after)
        }
        Apart::Both(before, after) => {
            let ((_, before), (key, after)) = (lent(before), lent(after));
            Change::changed(field, Some(key), before, after)
        }
    }
}

/// The rows of what changed, in ascending order of the keys, of which none stands twice.
fn each_once<K: StoredOwned + Ord, V: StoredOwned>(
    rows: &mut Rows<'_>,
) -> Result<Vec<(K, V)>, Undecodable> {
    let mut pairs: Vec<(K, V)> = Vec::new();
    while let Some(pair) = rows.pair::<K, V>() {
        pairs.push(pair?);
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    match pairs.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
        true => Err(rows.twice()),
        false => Ok(pairs),
    }
}

fn wire_pair<'a, K, V>((key, value): (&'a K, &'a V)) -> (Wire<'a, K>, Wire<'a, V>) {
    (Wire(key), Wire(value))
}

/// How a set changes: `$apart` says where two part, `$set` puts an element into the place of one that
/// counts as the same.
macro_rules! set_changes {
    ($apart:expr, $set:expr) => {
        fn is_same(&self, other: &Self) -> bool {
            self.len() == other.len() && !$apart(self, other).any(|apart| is_apart(&apart))
        }

        fn changes<'a>(&'a self, since: &'a Self, field: &'static str) -> Changes<'a>
        where
            Self: 'static,
        {
            let apart = $apart(self, since).filter(is_apart);
            Changes::of(apart.map(move |apart| match apart {
                Apart::Before(element) => {
                    Change::removed(field, Some(ValueRef::lent(element)), None)
                }
                Apart::After(element) => Change::added(field, Some(ValueRef::lent(element)), None),
                Apart::Both(before, after) => Change::changed(
                    field,
                    Some(ValueRef::lent(after)),
                    Some(ValueRef::lent(before)),
                    Some(ValueRef::lent(after)),
                ),
            }))
        }

        fn save_changes(&self, base: &Self, table: &mut TableWriter<'_, '_>) -> Result<()> {
            for apart in $apart(self, base).filter(is_apart) {
                match apart {
                    Apart::Before(element) => table.pair(element, &false)?,
                    Apart::After(element) | Apart::Both(_, element) => {
                        table.pair(element, &true)?
                    }
                }
            }
            Ok(())
        }

        fn restore_changes(set: &mut Self, rows: &mut Rows<'_>) -> Result<(), Undecodable> {
            let put: fn(&mut Self, T) = $set;
            for (element, is_there) in each_once::<T, bool>(rows)? {
                if is_there {
                    put(set, element);
                } else if !set.remove(&element) {
                    return Err(Undecodable);
                }
            }
            Ok(())
        }
    };
}

fn set_apart<'a, T: Ord>(
    now: &'a BTreeSet<T>,
    since: &'a BTreeSet<T>,
) -> impl Iterator<Item = Apart<&'a T>> {
    merge(since.iter(), now.iter(), |before, after| before.cmp(after))
}

fn is_apart<T: Stored>(apart: &Apart<&T>) -> bool {
    match apart {
        Apart::Both(before, after) => !before.is_same(after),
        Apart::Before(_) | Apart::After(_) => true,
    }
}

/// How a vector changes.
macro_rules! vector_changes {
    () => {
        fn is_same(&self, other: &Self) -> bool {
            self.len() == other.len() && !self.apart(other).any(|(_, apart)| is_apart(&apart))
        }

        fn changes<'a>(&'a self, since: &'a Self, field: &'static str) -> Changes<'a>
        where
            Self: 'static,
        {
            let apart = self.apart(since).filter(|(_, apart)| is_apart(apart));
            Changes::of(apart.map(move |(index, apart)| {
                let index = Some(ValueRef::index(index));
                let lent = |element: &'a T| Some(ValueRef::lent(element));
                match apart {
                    Apart::Before(before) => Change::removed(field, index, lent(before)),
                    Apart::After(after) => Change::added(field, index, lent(after)),
                    Apart::Both(before, after) => {
                        Change::changed(field, index, lent(before), lent(after))
                    }
                }
            }))
        }

        fn save_changes(&self, base: &Self, table: &mut TableWriter<'_, '_>) -> Result<()> {
            let apart = self.apart(base).filter(|(_, apart)| is_apart(apart));
            for (at, (index, apart)) in apart.enumerate() {
                if at == 0 {
                    table.row(&(self.len() as u64))?;
                }
                match apart {
                    // The length says it of all that follow.
                    Apart::Before(_) => break,
                    Apart::After(element) | Apart::Both(_, element) => {
                        table.pair(&index, element)?;
                    }
                }
            }
            Ok(())
        }

        fn restore_changes(vector: &mut Self, rows: &mut Rows<'_>) -> Result<(), Undecodable> {
            let len = rows.only::<u64>()?;
            vector.truncate(usize::try_from(len).unwrap_or(usize::MAX));
            for (index, element) in each_once::<u64, T>(rows)? {
                let index = usize::try_from(index).map_err(|_| Undecodable)?;
                if index == vector.len() {
                    vector.push(element);
                } else {
                    vector.set(index, element).ok_or(Undecodable)?;
                }
            }
            if vector.len() as u64 == len { Ok(()) } else { Err(Undecodable) }
        }
    };
}

/// `$add` adds an element to the collection, and says whether it took it; `$changes` is the macro that
/// writes how it changes.
macro_rules! sequence {
    ($($set:ident $open:literal $close:literal $add:expr, where $($bound:path),* => $changes:ident!($($how:expr),*);)*) => {$(
        impl<T: StoredOwned $(+ $bound)*> Stored for $set<T> {
            type Archived = ArchivedVec<T::Archived>;
            type Resolver = VecResolver;
            type Loaded<'a> = $set<T>;
            type Itself = Self;
            const SHAPE: Shape = Shape::of($open).shape(&T::SHAPE).text($close);
            const ROWS: bool = true;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
                check_count::<T>(self.len())?;
                let elements = Counted::of(self.iter().map(Wire), self.len());
                ArchivedVec::serialize_from_iter::<Wire<'_, T>, _, _>(elements, encoder)
            }

            fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }

            fn load(archived: &Self::Archived) -> Result<Self, Undecodable> {
                check_count::<T>(archived.len())?;
                archived.iter().map(T::load).collect()
            }

            fn save(&self, table: &mut TableWriter<'_, '_>) -> Result<()> {
                for element in self {
                    table.row(element)?;
                }
                Ok(())
            }

            fn restore(rows: &mut Rows<'_>) -> Result<Self, Undecodable> {
                let mut all = $set::new();
                let add: fn(&mut Self, T) -> bool = $add;
                while let Some(element) = rows.value::<T>() {
                    if !add(&mut all, element?) {
                        return Err(rows.twice());
                    }
                }
                Ok(all)
            }

            fn to_json(&self, out: &mut JsonWriter) {
                let mut list = out.list();
                self.iter().for_each(|element| list.item(element));
                list.end();
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                let mut all = $set::new();
                let add: fn(&mut Self, T) -> bool = $add;
                for element in json.list()? {
                    if !add(&mut all, T::from_json(element)?) {
                        return Err(element.misfit("each element once"));
                    }
                }
                Ok(all)
            }

            $changes!($($how),*);
        }
    )*};
}

sequence! {
    BTreeSet "{" "}" BTreeSet::insert, where Ord => set_changes!(set_apart, |set, element| {
        set.replace(element);
    });
    OrdSet "{" "}" OrdSet::insert, where Ord, Clone => set_changes!(OrdSet::apart, |set, element| {
        set.insert(element);
    });
    // Not the shape of a `Vec`, which is a table of one row.
    Vector "[" ", ..]" push, where Clone => vector_changes!();
}

/// A sequence takes whatever it is given.
fn push<T: Clone>(sequence: &mut Vector<T>, element: T) -> bool {
    sequence.push(element);
    true
}

/// An iterator whose length is known from elsewhere.
#[derive(Clone)]
struct Counted<I> {
    iter: I,
    left: usize,
}

impl<I> Counted<I> {
    fn of(iter: I, left: usize) -> Counted<I> {
        Counted { iter, left }
    }
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.iter.next()?;
        self.left = self.left.saturating_sub(1);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}
