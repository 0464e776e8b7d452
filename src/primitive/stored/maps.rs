//! Ordered maps, sets and vectors: a field of such a type is a table with a row for each element.

use std::collections::{BTreeMap, BTreeSet};

use rkyv::Place;
use rkyv::rancor::Failure;
use rkyv::tuple::ArchivedTuple2;
use rkyv::vec::{ArchivedVec, VecResolver};

use super::{Encoder, Stored, StoredOwned, Undecodable, Wire};
use crate::error::Result;
use crate::primitive::collections::{OrdMap, OrdSet, Vector};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::section::{Rows, TableWriter};
use crate::primitive::shape::Shape;

macro_rules! map {
    ($($map:ident where $($bound:path),*;)*) => {$(
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
        }
    )*};
}

map! {
    BTreeMap where;
    OrdMap where Clone;
}

fn wire_pair<'a, K, V>((key, value): (&'a K, &'a V)) -> (Wire<'a, K>, Wire<'a, V>) {
    (Wire(key), Wire(value))
}

/// `$add` adds an element to the collection, and says whether it took it.
macro_rules! sequence {
    ($($set:ident $open:literal $close:literal $add:expr, where $($bound:path),*;)*) => {$(
        impl<T: StoredOwned $(+ $bound)*> Stored for $set<T> {
            type Archived = ArchivedVec<T::Archived>;
            type Resolver = VecResolver;
            type Loaded<'a> = $set<T>;
            type Itself = Self;
            const SHAPE: Shape = Shape::of($open).shape(&T::SHAPE).text($close);
            const ROWS: bool = true;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
                let elements = Counted::of(self.iter().map(Wire), self.len());
                ArchivedVec::serialize_from_iter::<Wire<'_, T>, _, _>(elements, encoder)
            }

            fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }

            fn load(archived: &Self::Archived) -> Result<Self, Undecodable> {
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
        }
    )*};
}

sequence! {
    BTreeSet "{" "}" BTreeSet::insert, where Ord;
    OrdSet "{" "}" OrdSet::insert, where Ord, Clone;
    Vector "[" "]" push, where Clone;
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
