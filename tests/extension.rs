//! The extension surface as a user's crate meets it: every kind of argument, field and result that
//! an operation can have, in a database, replayed and loaded.
//!
//! - After its transactions a database is opened twice more: once from the log, once from a
//!   snapshot. Both times the state is the one that the operations made.

#![forbid(unsafe_code)]
#![deny(missing_docs, unused, elided_lifetimes_in_paths)]

extern crate freehold as renamed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

#[path = "extension/deferred.rs"]
mod deferred;

use freehold::WalEntry;
use freehold::prelude::*;

/// Opens the database as a crash leaves it, and as a clean close does, and compares the state of `P`.
#[track_caller]
fn comes_back<P: PrimitiveStorageExt + PartialEq + Debug>(path: &Path, db: Database) {
    let state = db.view().on::<P>().clone();
    drop(db);
    let replayed = no_checkpoint(path);
    assert_eq!(*replayed.view().on::<P>(), state, "replayed from the log");
    drop(replayed);
    drop(Database::open(path).unwrap());
    let loaded = no_checkpoint(path);
    assert_eq!(*loaded.view().on::<P>(), state, "loaded from the snapshot");
}

fn no_checkpoint(path: &Path) -> Database {
    Options::new().checkpoint_on_close(false).open(path).unwrap()
}

/// A point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Stored)]
pub struct Point {
    x: f64,
    y: f64,
}

/// What can be drawn.
#[derive(Clone, Debug, PartialEq, Stored)]
pub enum Drawn {
    /// Nothing.
    Nothing,
    /// A line through points.
    Line(Vec<Point>, Option<Box<str>>),
    /// Text at a point.
    Text {
        /// Where.
        at: Point,
        /// What.
        text: Arc<str>,
    },
}

type Name<'a> = &'a str;

/// Every kind of argument, written down as text.
#[primitive(id = 0xd0, wal = 0xd0..=0xdf)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Everything {
    seen: Vector<String>,
    drawn: OrdMap<(u8, String), Drawn>,
    points: BTreeMap<u64, [Point; 2]>,
    tags: OrdSet<Bytes>,
    more: BTreeSet<char>,
    last: Option<(Timestamp, Lsn)>,
    #[index(rebuild = Everything::count)]
    count: usize,
}

/// Says no.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("no: {0}")]
pub struct No(u64);

#[operations]
impl Everything {
    fn count(&self) -> usize {
        self.seen.len()
    }

    fn saw(&mut self, what: impl Debug) {
        self.seen.push(format!("{what:?}"));
        self.count += 1;
    }

    /// Numbers.
    #[wal(0xd0)]
    pub fn numbers(&mut self, a: u8, b: i64, c: f32, d: bool, e: char) {
        self.more.insert(e);
        self.saw((a, b, c, d, e));
    }

    /// References into the log.
    #[wal(0xd1)]
    #[must_use = "the length says whether it worked"]
    pub fn lent(&mut self, text: &str, bytes: &[u8], numbers: &[f32], name: Name<'_>) -> usize {
        self.tags.insert(Bytes::from(bytes));
        self.saw((text, bytes, numbers, name));
        text.len()
    }

    /// References inside others.
    #[wal(0xd2)]
    pub fn inside(
        &mut self,
        maybe: Option<&str>,
        bytes: Option<&[u8]>,
        list: Vec<&str>,
        pairs: Vec<(&str, f64)>,
    ) {
        self.saw((maybe, bytes, list, pairs));
    }

    /// Owned values.
    #[wal(0xd3)]
    pub fn owned(
        &mut self,
        mut text: String,
        list: Vec<String>,
        map: BTreeMap<String, Vec<u8>>,
        (left, _): (u64, u64),
        array: [u16; 3],
    ) {
        text.push('!');
        self.saw((text, list, map, left, array));
    }

    /// Values of the user's own types, by value and by reference.
    #[wal(0xd4)]
    #[expect(clippy::ptr_arg, reason = "a reference to an owned value is what is tried here")]
    pub fn draw(&mut self, layer: u8, name: &String, what: &Drawn, point: Point, of: &[u8; 4]) {
        self.drawn.insert((layer, name.clone()), what.clone());
        self.points.insert(u64::from(layer), [point, Point::default()]);
        self.saw((what, point, of));
    }

    /// Whatever gives bytes or turns into text.
    #[wal(0xd5)]
    pub fn anything(
        &mut self,
        bytes: impl AsRef<[u8]>,
        text: impl AsRef<str>,
        name: impl Into<String>,
    ) {
        self.saw((bytes.as_ref(), text.as_ref(), name.into()));
    }

    /// The record's own time.
    #[wal(0xd6)]
    pub fn when(&mut self, context: &OpContext) -> (Timestamp, Lsn) {
        let when = (context.timestamp(), context.lsn());
        self.last = Some(when);
        self.saw(context.index());
        when
    }

    /// Reads its own index.
    #[wal(0xd7)]
    pub fn index(&mut self, r#type: u8) -> usize {
        self.saw((r#type, self.count));
        self.count
    }

    /// Changes, and then says no if it is odd.
    #[wal(0xd8)]
    pub fn even(&mut self, number: u64) -> Result<u64, No> {
        self.saw(number);
        self.tags.insert(Bytes::from(vec![1; 30]));
        if number % 2 == 1 { Err(No(number)) } else { Ok(number / 2) }
    }

    /// Other errors.
    #[wal(0xd9)]
    pub fn io(&mut self, ok: bool) -> std::io::Result<()> {
        self.saw("io");
        if ok { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    }

    /// An error of text.
    #[wal(0xda)]
    pub fn text(&mut self, ok: bool) -> Result<u8, String> {
        self.saw("text");
        if ok { Ok(1) } else { Err("text".to_owned()) }
    }

    /// An error of any kind.
    #[wal(0xdb)]
    pub fn any(&mut self, ok: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.saw("any");
        if ok { Ok(()) } else { Err(Box::new(No(7))) }
    }

    /// An alias that is called as what it is.
    #[wal(0xdc)]
    pub fn fmt(&mut self, ok: bool) -> std::fmt::Result {
        self.saw("fmt");
        if ok { Ok(()) } else { Err(std::fmt::Error) }
    }

    /// Is not there.
    #[cfg(doc)]
    #[wal(0xdd)]
    pub fn absent(&mut self, what: Absent) -> Absent {
        what
    }

    /// Is there.
    #[cfg(not(doc))]
    #[wal(0xdd)]
    pub fn present(&mut self) {
        self.saw("present");
    }

    /// Panics when it is told to, in the middle.
    #[wal(0xde)]
    pub fn panics(&mut self, now: bool) {
        self.seen.clear();
        assert!(!now, "told to");
        self.count = 0;
    }
}

#[test]
fn every_kind_of_argument_replays_and_every_kind_of_field_loads() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    let line = Drawn::Line(vec![Point { x: 1.0, y: -0.0 }], Some("dashed".into()));
    let text = Drawn::Text { at: Point::default(), text: "hello".into() };
    let (when, lsn) = db
        .transaction(|tx| {
            let mut it = tx.on::<Everything>();
            it.numbers(1, -2, f32::INFINITY, true, 'ß')?;
            assert_eq!(it.lent("text", b"bytes", &[1.5, 2.5], "name")?, 4);
            it.inside(Some("x"), None, vec!["a", "b"], vec![("c", 0.5)])?;
            it.owned(
                "t".into(),
                vec![],
                BTreeMap::from([("k".into(), vec![1])]),
                (3, 4),
                [5, 6, 7],
            )?;
            it.draw(1, &"line".to_owned(), &line, Point { x: 3.0, y: 4.0 }, b"four")?;
            it.draw(2, &"text".to_owned(), &text, Point::default(), &[0; 4])?;
            it.draw(2, &"none".to_owned(), &Drawn::Nothing, Point::default(), &[0; 4])?;
            it.anything("bytes", String::from("text"), "name")?;
            it.anything(vec![1, 2], "text", String::from("name"))?;
            it.present()?;
            assert_eq!(it.index(9)?, 11);
            it.when()
        })
        .unwrap();
    let view = db.view();
    let state = view.on::<Everything>();
    assert_eq!(state.last, Some((when, lsn)));
    assert_eq!(lsn, Lsn(1));
    assert_eq!(state.seen.len(), 12);
    assert_eq!(state.seen[3], r#"("t!", [], {"k": [1]}, 3, [5, 6, 7])"#);
    comes_back::<Everything>(directory.path(), db);
}

#[test]
fn every_kind_of_error_rejects_and_undoes() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    db.transaction(|tx| {
        let mut it = tx.on::<Everything>();
        assert_eq!(it.even(4)?, 2);
        let before = it.clone();
        assert_eq!(it.even(3).unwrap_err().rejected::<No>(), Some(&No(3)));
        let io = it.io(false).unwrap_err();
        assert_eq!(io.rejected::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::NotFound);
        assert_eq!(it.text(false).unwrap_err().to_string(), "rejected: text");
        assert_eq!(it.any(false).unwrap_err().rejected::<No>(), Some(&No(7)));
        assert!(it.fmt(false).unwrap_err().rejected::<std::fmt::Error>().is_some());
        assert_eq!(*it, before);
        it.io(true)?;
        assert_eq!(it.text(true)?, 1);
        it.any(true)?;
        it.fmt(true)
    })
    .unwrap();
    assert_eq!(db.view().on::<Everything>().seen.len(), 5);
    comes_back::<Everything>(directory.path(), db);
}

#[test]
fn a_panic_or_an_abort_leaves_no_trace_and_later_commits_are_right() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    db.transaction(|tx| tx.on::<Everything>().even(2)).unwrap();
    let before = db.view().on::<Everything>().clone();

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transaction(|tx| {
            tx.on::<Everything>().even(4)?;
            tx.on::<Everything>().panics(true)
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(*db.view().on::<Everything>(), before);

    let aborted = db.transaction(|tx| {
        for _ in 0..1000 {
            tx.on::<Everything>().even(6)?;
        }
        Err::<(), _>(Error::abort(No(1)))
    });
    assert_eq!(aborted.unwrap_err().aborted::<No>(), Some(&No(1)));
    assert_eq!(*db.view().on::<Everything>(), before);

    db.transaction(|tx| tx.on::<Everything>().present()).unwrap();
    assert_eq!(db.view().on::<Everything>().count, 2);
    comes_back::<Everything>(directory.path(), db);
}

/// An operation whose result depends on code that may change: only its effect is logged.
#[primitive(id = 0xe0, wal = 0xe0..=0xe1)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dice {
    rolls: Vector<u32>,
}

/// What a roll gave.
#[derive(Clone, Debug, PartialEq, Stored)]
pub struct Rolled {
    eyes: u32,
}

#[operations]
impl Dice {
    /// Rolls: not the same at each call, which is what only an effect may be.
    #[wal(0xe0, effect)]
    pub fn roll(&self, context: &OpContext, sides: usize) -> Result<(Rolled, u32), No> {
        let sides = u32::try_from(sides).map_err(|_| No(1))?;
        let random =
            std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), context.lsn());
        let eyes = u32::try_from(random % u64::from(sides.max(1))).unwrap_or(0) + 1;
        if sides == 0 { Err(No(0)) } else { Ok((Rolled { eyes }, eyes)) }
    }

    /// The same without an error.
    #[wal(0xe1, effect)]
    pub fn roll_six(&self) -> (Rolled, ()) {
        (Rolled { eyes: 6 }, ())
    }
}

impl Apply<Rolled> for Dice {
    fn apply(&mut self, rolled: &Rolled) {
        self.rolls.push(rolled.eyes);
    }
}

#[test]
fn only_the_effect_of_an_operation_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    let rolled = db
        .transaction(|tx| {
            let mut dice = tx.on::<Dice>();
            dice.roll_six()?;
            assert_eq!(dice.roll(0).unwrap_err().rejected::<No>(), Some(&No(0)));
            (0..50).map(|_| dice.roll(1000)).collect::<Result<Vec<u32>>>()
        })
        .unwrap();
    let view = db.view();
    let rolls: Vec<u32> = view.on::<Dice>().rolls.iter().copied().collect();
    assert_eq!(rolls.split_first(), Some((&6, &rolled[..])));
    comes_back::<Dice>(directory.path(), db);
}

/// A primitive through `macro_rules!`, whose captures arrive in invisible groups.
macro_rules! counter {
    ($name:ident, $id:literal, $wal:expr, $byte:literal, $by:ty) => {
        /// Counts.
        #[primitive(id = $id, wal = $wal)]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            count: $by,
        }

        #[operations]
        impl $name {
            /// Counts on.
            #[wal($byte)]
            pub fn count(&mut self, by: $by) -> $by {
                self.count += by;
                self.count
            }
        }
    };
}

counter!(Small, 0xe2, 0xe2, 0xe2, u8);
counter!(Large, 0xe3, [0xe3..=0xe4], 0xe4, u64);

#[test]
fn a_primitive_can_be_made_by_a_macro() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    let counts = db
        .transaction(|tx| Ok((tx.on::<Small>().count(3)?, tx.on::<Large>().count(1 << 40)?)))
        .unwrap();
    assert_eq!(counts, (3, 1 << 40));
    comes_back::<Large>(directory.path(), db);
}

/// Nothing in scope but what is named: a module without a prelude, and freehold by another name.
mod bare {
    #![no_implicit_prelude]

    use ::renamed as fh;

    /// A struct.
    #[derive(fh::Stored)]
    #[stored(crate = renamed)]
    pub(crate) struct Wide {
        /// A field.
        pub a: u8,
        /// Another.
        pub b: ::std::vec::Vec<u8>,
    }

    /// An enum.
    #[derive(fh::Stored)]
    #[stored(crate = ::renamed)]
    pub(crate) enum Either {
        /// One.
        Left(u8),
        /// The other.
        Right {
            /// Of it.
            wide: Wide,
        },
    }

    /// A pair.
    #[derive(::std::clone::Clone, fh::Stored)]
    #[stored(crate = renamed)]
    pub(crate) struct Pair<T>(pub T, pub T);

    /// A primitive.
    #[fh::primitive(id = 0xe5, wal = 0xe5..=0xe7, crate = renamed)]
    #[derive(::std::clone::Clone, ::std::default::Default)]
    pub(crate) struct Bare {
        pairs: fh::OrdMap<u8, Pair<u8>>,
        #[index(rebuild = |bare| bare.pairs.len())]
        len: usize,
    }

    /// An error.
    #[derive(::std::fmt::Debug)]
    pub(crate) struct Full;

    impl ::std::fmt::Display for Full {
        fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            f.write_str("full")
        }
    }

    impl ::std::error::Error for Full {}

    #[fh::operations(crate = renamed)]
    impl Bare {
        /// Puts.
        #[wal(0xe5)]
        pub(crate) fn put(
            &mut self,
            key: u8,
            either: Either,
        ) -> ::std::result::Result<usize, Full> {
            let value = match either {
                Either::Left(value) => value,
                Either::Right { wide } => wide.a,
            };
            self.pairs.insert(key, Pair(value, value));
            self.len = self.pairs.len();
            if self.len > 2 {
                ::std::result::Result::Err(Full)
            } else {
                ::std::result::Result::Ok(self.len)
            }
        }

        /// An effect.
        #[wal(0xe6, effect)]
        pub(crate) fn clear(
            &self,
            _why: impl ::std::convert::Into<::std::string::String>,
        ) -> (u8, ()) {
            (0, ())
        }

        /// A slice.
        #[wal(0xe7)]
        pub(crate) fn bytes(&mut self, bytes: &[u8], of: ::std::option::Option<&str>) {
            let _ = (bytes, of);
        }
    }

    impl fh::Apply<u8> for Bare {
        fn apply(&mut self, _: &u8) {
            self.pairs.clear();
            self.len = 0;
        }
    }
}

#[test]
fn the_expansion_needs_no_prelude_and_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    db.transaction(|tx| {
        let mut bare = tx.on::<bare::Bare>();
        bare.put(1, bare::Either::Left(2))?;
        bare.clear("because")?;
        assert_eq!(bare.put(1, bare::Either::Left(2))?, 1);
        let wide = bare::Wide { a: 7, b: vec![] };
        assert_eq!(bare.put(2, bare::Either::Right { wide })?, 2);
        assert!(bare.put(3, bare::Either::Left(0)).unwrap_err().rejected::<bare::Full>().is_some());
        bare.bytes(b"x", None)
    })
    .unwrap();
}

/// What a section looked like before, and looks like now.
mod before_and_now {
    use freehold::prelude::*;
    use freehold::{RowSink, TableRows};

    /// Before.
    #[primitive(id = 0xe8, wal = 0xe8)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Before {
        pub(crate) texts: OrdMap<u8, String>,
        pub(crate) limit: u64,
    }

    #[operations]
    impl Before {}

    /// Now: a field was renamed, others are new.
    #[primitive(id = 0xe9, wal = 0xe9)]
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Now {
        #[field(was = "texts")]
        pub(crate) notes: OrdMap<u8, String>,
        pub(crate) limit: u64,
        pub(crate) depth: u32,
        pub(crate) tags: OrdSet<u8>,
    }

    impl Default for Now {
        fn default() -> Now {
            let (notes, tags) = (OrdMap::new(), [9].into_iter().collect());
            Now { notes, limit: 5, depth: 6, tags }
        }
    }

    #[operations]
    impl Now {}

    /// Later: what the texts said is given up.
    #[primitive(id = 0xea, wal = 0xea, section_version = 2, dropped = ["texts"])]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Later {
        pub(crate) limit: u64,
    }

    #[operations]
    impl Later {}

    /// Another type: the lengths of the texts, and the limit in another unit.
    #[primitive(id = 0xed, wal = 0xed, section_version = 2)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Converted {
        #[field(from = |texts: OrdMap<u8, String>| {
            texts.iter().map(|(key, text)| (*key, text.len() as u64)).collect()
        })]
        pub(crate) lengths: OrdMap<u8, u64>,
        #[field(from = |limit: u64| limit / 1000)]
        pub(crate) limit_thousands: u64,
    }

    #[operations]
    impl Converted {}

    /// Keeps rows as blocks of one row.
    #[derive(Default)]
    pub(crate) struct Kept(Vec<(u32, Vec<u64>)>);

    impl RowSink for Kept {
        fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
            let mut bytes = u64::try_from(row.len()).unwrap().to_le_bytes().to_vec();
            bytes.extend_from_slice(row);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let words =
                bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            self.0.push((table, words.collect()));
            Ok(())
        }
    }

    impl Kept {
        pub(crate) fn load<P: PrimitiveStorageExt>(&self) -> std::result::Result<P, Reason> {
            let bytes: Vec<(u32, Vec<u8>)> = self
                .0
                .iter()
                .map(|(tag, words)| {
                    (*tag, words.iter().flat_map(|word| word.to_le_bytes()).collect())
                })
                .collect();
            // Allocations of this size are aligned to 8 and more.
            let mut tables: Vec<TableRows<'_>> = Vec::new();
            for (tag, block) in &bytes {
                match tables.last_mut().filter(|table| table.tag == *tag) {
                    Some(table) => table.blocks.push(block),
                    None => tables.push(TableRows { tag: *tag, blocks: vec![block] }),
                }
            }
            P::snapshot_deserialize(&mut SectionReader::new(&tables))
        }
    }
}

#[test]
fn a_field_can_be_renamed_and_added_and_none_is_lost() {
    use before_and_now::{Before, Converted, Kept, Later, Now};
    let before = Before { texts: (0..9).map(|n| (n, n.to_string())).collect(), limit: u64::MAX };
    let mut kept = Kept::default();
    before.snapshot_serialize(&mut SectionWriter::new(&mut kept)).unwrap();
    assert_eq!(kept.load::<Before>().unwrap(), before);
    assert_eq!(kept.load::<Later>().unwrap(), Later { limit: u64::MAX });
    let converted = kept.load::<Converted>().unwrap();
    assert_eq!(converted.lengths, (0..9).map(|n| (n, 1)).collect());
    assert_eq!(converted.limit_thousands, u64::MAX / 1000);
    let mut again = Kept::default();
    converted.snapshot_serialize(&mut SectionWriter::new(&mut again)).unwrap();
    assert_eq!(again.load::<Converted>().unwrap(), converted, "from its own section");

    let now = kept.load::<Now>().unwrap();
    assert_eq!(now.notes, before.texts);
    assert_eq!((now.limit, now.depth), (u64::MAX, 6), "a new field has its default");
    assert!(now.tags.is_empty(), "a collection without rows is empty");

    let mut kept = Kept::default();
    now.snapshot_serialize(&mut SectionWriter::new(&mut kept)).unwrap();
    assert_eq!(kept.load::<Now>().unwrap(), now);
    let refused = kept.load::<Before>().unwrap_err();
    assert!(refused.to_string().contains("is no field of this build"), "{refused}");
}

/// A type that contains itself, stored as text that stands for it.
mod via {
    use freehold::prelude::*;

    /// A number, or a list of them.
    #[derive(Clone, Debug, PartialEq, Stored)]
    #[stored(via = String)]
    pub(crate) enum Nested {
        Number(u8),
        List(Vec<Nested>),
    }

    impl From<&Nested> for String {
        fn from(nested: &Nested) -> String {
            match nested {
                Nested::Number(number) => number.to_string(),
                Nested::List(list) => {
                    let inner: Vec<String> = list.iter().map(String::from).collect();
                    format!("({})", inner.join(" "))
                }
            }
        }
    }

    /// It was no text of that form.
    #[derive(Debug, PartialEq)]
    pub(crate) struct NoNested;

    impl TryFrom<String> for Nested {
        type Error = NoNested;

        fn try_from(text: String) -> std::result::Result<Nested, NoNested> {
            let mut open: Vec<Vec<Nested>> = vec![Vec::new()];
            for word in text.replace('(', "( ").replace(')', " )").split_whitespace() {
                let done = match word {
                    "(" => {
                        open.push(Vec::new());
                        continue;
                    }
                    ")" => Nested::List(open.pop().ok_or(NoNested)?),
                    number => Nested::Number(number.parse().map_err(|_| NoNested)?),
                };
                open.last_mut().ok_or(NoNested)?.push(done);
            }
            match (open.pop(), open.is_empty()) {
                (Some(mut one), true) if one.len() == 1 => one.pop().ok_or(NoNested),
                _ => Err(NoNested),
            }
        }
    }

    /// Holds it as an argument, a field, in a list and in a map.
    #[primitive(id = 0xf1, wal = 0xf1)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Nests {
        newest: Option<Nested>,
        all: OrdMap<u64, Vec<Nested>>,
    }

    #[operations]
    impl Nests {
        #[wal(0xf1)]
        pub(crate) fn add(&mut self, nested: Nested, others: Vec<Nested>) -> Option<Nested> {
            self.all.insert(self.all.len() as u64, others);
            self.newest.replace(nested)
        }
    }

    #[test]
    fn a_type_is_stored_as_another_that_stands_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let db = Database::open(directory.path()).unwrap();
        let list = |inner: &[Nested]| Nested::List(inner.to_vec());
        let deep = list(&[Nested::Number(1), list(&[]), list(&[Nested::Number(255)])]);
        db.transaction(|tx| tx.on::<Nests>().add(deep.clone(), vec![])).unwrap();
        let others = vec![deep.clone(), Nested::Number(0)];
        let before = db.transaction(|tx| tx.on::<Nests>().add(list(&[]), others)).unwrap();
        assert_eq!(before, Some(deep));
        super::comes_back::<Nests>(directory.path(), db);
    }

    /// The same bytes, without what stands behind them.
    #[primitive(id = 0xf2, wal = 0xf2)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Texts {
        newest: Option<String>,
    }

    #[operations]
    impl Texts {}

    #[test]
    fn bytes_that_stand_for_no_value_are_refused() {
        use super::before_and_now::Kept;
        let load = |newest: &str| {
            let mut kept = Kept::default();
            let texts = Texts { newest: Some(newest.to_owned()) };
            texts.snapshot_serialize(&mut SectionWriter::new(&mut kept)).unwrap();
            kept.load::<Nests>()
        };
        assert_eq!(load("7").unwrap().newest, Some(Nested::Number(7)));
        assert_eq!(load("(7").unwrap_err().to_string(), freehold::Undecodable.to_string());
    }

    #[test]
    fn its_fingerprint_is_that_of_its_name_and_of_what_stands_for_it() {
        let shape = <Nested as Stored>::SHAPE;
        assert_eq!(shape.as_str(), freehold::Shape::of("via str").named("Nested").as_str());
    }
}

/// A type that was changed: the old one stays for old records, under the name that it had.
mod versions {
    use freehold::prelude::*;

    /// As it is now.
    #[derive(Clone, Debug, PartialEq, Stored)]
    pub(crate) struct Step {
        pub(crate) count: u64,
        pub(crate) name: String,
    }

    /// As it was, and as old records have it.
    #[derive(Clone, Debug, PartialEq, Stored)]
    #[stored(name = "Step")]
    pub(crate) struct StepWithoutName {
        count: u64,
    }

    mod before {
        use freehold::prelude::*;

        #[derive(Stored)]
        pub(super) struct Step {
            count: u64,
        }
    }

    /// Operations that were renamed, and one that has had three versions.
    #[primitive(id = 0xeb, wal = 0xeb..=0xec)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Steps {
        pub(crate) steps: Vector<String>,
    }

    #[operations]
    impl Steps {
        #[wal(0xeb)]
        pub(crate) fn add(&mut self, step: &Step) {
            self.steps.push(format!("{} {}", step.count, step.name));
        }

        #[wal(0xeb, version = 2)]
        fn add_without_name(&mut self, step: &StepWithoutName) {
            self.steps.push(step.count.to_string());
        }

        #[wal(0xeb, version = 1)]
        fn add_one(&mut self) {
            self.steps.push("1".to_owned());
        }

        #[wal(0xec, name = "clear")]
        pub(crate) fn forget_all(&mut self) {
            self.steps = Vector::new();
        }
    }

    #[test]
    fn a_type_keeps_its_name_in_old_records_and_an_operation_in_all_of_them() {
        let was = <before::Step as Stored>::SHAPE;
        let kept = <StepWithoutName as Stored>::SHAPE;
        let is = <Step as Stored>::SHAPE;
        assert_eq!(was.as_str(), kept.as_str());
        assert_ne!(was.as_str(), is.as_str());
        let operations = <Steps as PrimitiveStorageExt>::OPERATIONS;
        let said: Vec<_> = operations
            .iter()
            .map(|shape| (shape.wal_type, shape.version, shape.name, shape.only_replayed))
            .collect();
        assert_eq!(
            said,
            [
                (0xeb, 3, "add", false),
                (0xeb, 2, "add", true),
                (0xeb, 1, "add", true),
                (0xec, 1, "clear", false),
            ]
        );
        assert_eq!(operations[1].shape, format!("(step: {}, )", was.as_str()));
    }
}

/// Under the lints that a strict author denies, in what the attributes write too.
mod strict {
    #![deny(warnings, clippy::pedantic)]

    use freehold::prelude::*;

    /// How full it is.
    #[derive(Clone, Debug, PartialEq, Stored)]
    pub(crate) enum Level {
        /// So many.
        Known(u64),
        /// As somebody said.
        Said {
            /// What.
            text: String,
        },
    }

    /// No place is left.
    #[derive(Debug, thiserror::Error)]
    #[error("full")]
    pub(crate) struct Full;

    /// A tank.
    #[primitive(id = 0xc8, wal = 0xc8..=0xcb)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Tank {
        levels: OrdMap<String, Level>,
        drained: u64,
        #[index(rebuild = |tank| tank.levels.len())]
        count: usize,
    }

    #[operations]
    impl Tank {
        const MOST: usize = 3;

        /// Fills it.
        ///
        /// # Errors
        ///
        /// [`Full`].
        #[wal(0xc8)]
        pub(crate) fn fill(&mut self, name: &str, level: &Level) -> Result<usize, Full> {
            self.place(name, (level, [(); Self::MOST]))
        }

        /// As it was once.
        #[wal(0xc8, version = 1)]
        pub(crate) fn fill_one(&mut self, name: String, level: u64) {
            self.levels.insert(name, Level::Known(level));
        }

        /// Is called no more.
        #[wal(0xc9, replay_only)]
        pub(crate) fn drain(&mut self, _: &OpContext) -> u64 {
            self.levels.clear();
            self.drained += 1;
            self.drained
        }

        /// Says what it is.
        #[wal(0xca)]
        pub(crate) fn say(&mut self, name: impl Into<String>, text: impl AsRef<str>) {
            let text = text.as_ref().to_owned();
            self.levels.insert(name.into(), Level::Said { text });
        }

        /// Forgets the first.
        #[wal(0xcb, effect)]
        pub(crate) fn forget(&self, _before: usize) -> (String, Option<Level>) {
            let (name, level) = self.levels.iter().next().unzip();
            (name.cloned().unwrap_or_default(), level.cloned())
        }

        /// For operations, with whatever signature it likes.
        fn place<'a, T>(
            &mut self,
            name: &'a str,
            (of, _): (&'a T, [(); Self::MOST]),
        ) -> Result<usize, Full>
        where
            T: Clone + Into<Level>,
        {
            if self.levels.len() == Self::MOST {
                return Err(Full);
            }
            self.levels.insert(name.to_owned(), of.clone().into());
            self.count = self.levels.len();
            Ok(self.count)
        }
    }

    impl Apply<String> for Tank {
        fn apply(&mut self, name: &String) {
            self.levels.remove(name);
            self.count = self.levels.len();
        }
    }
}

#[test]
fn a_retired_operation_replays_and_nothing_else() {
    use strict::{Level, Tank};

    let mut tank = Tank::default();
    let context = OpContext::new(Timestamp(1), Lsn(1), 0);
    let drain = WalEntry { wal_type: 0xc9, version: 1, payload: &[] };
    tank.apply_wal_entry(&drain, &context).unwrap();
    tank.apply_wal_entry(&drain, &context).unwrap();
    assert_eq!(format!("{tank:?}").matches("drained: 2").count(), 1, "{tank:?}");
    let operations = <Tank as PrimitiveStorageExt>::OPERATIONS;
    let known: Vec<_> = operations.iter().map(|shape| (shape.wal_type, shape.version)).collect();
    assert_eq!(known, [(0xc8, 2), (0xc8, 1), (0xc9, 1), (0xca, 1), (0xcb, 1)]);

    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    let forgotten = db
        .transaction(|tx| {
            let mut tank = tx.on::<Tank>();
            tank.fill("a", &Level::Known(1))?;
            tank.say("b", "half")?;
            tank.forget(7)
        })
        .unwrap();
    assert_eq!(forgotten, Some(Level::Known(1)));
    comes_back::<Tank>(directory.path(), db);
}

/// Inside a function, where no path leads from outside.
#[test]
fn a_primitive_stands_in_a_function() {
    #[primitive(id = 0xc9, wal = 0xcc)]
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Hidden {
        seen: Vector<u64>,
    }

    #[operations]
    impl Hidden {
        #[wal(0xcc)]
        fn see(&mut self, what: u64) {
            self.seen.push(what);
        }
    }

    let directory = tempfile::tempdir().unwrap();
    let db = no_checkpoint(directory.path());
    db.transaction(|tx| tx.on::<Hidden>().see(4)).unwrap();
    comes_back::<Hidden>(directory.path(), db);
}

/// Versions whose older ones are gone: the number stands in the source.
mod numbered {
    use freehold::prelude::*;

    /// A count.
    #[primitive(id = 0xee, wal = 0xee..=0xef)]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Count {
        pub(crate) count: u64,
    }

    #[operations]
    impl Count {
        #[wal(0xee, version = 4, newest)]
        pub(crate) fn add(&mut self, by: u64, times: u8) {
            self.count += by * u64::from(times);
        }

        #[wal(0xee, version = 2)]
        fn add_once(&mut self, by: u64) {
            self.count += by;
        }

        #[wal(0xef, version = 3, replay_only)]
        fn clear(&mut self) {
            self.count = 0;
        }
    }

    #[test]
    fn the_newest_version_can_say_its_number() {
        let known: Vec<_> = <Count as PrimitiveStorageExt>::OPERATIONS
            .iter()
            .map(|shape| (shape.wal_type, shape.version, shape.name, shape.only_replayed))
            .collect();
        assert_eq!(
            known,
            [(0xee, 4, "add", false), (0xee, 2, "add", true), (0xef, 3, "clear", true)]
        );
        let directory = tempfile::tempdir().unwrap();
        let db = super::no_checkpoint(directory.path());
        db.transaction(|tx| tx.on::<Count>().add(4, 3)).unwrap();
        super::comes_back::<Count>(directory.path(), db);
    }
}
