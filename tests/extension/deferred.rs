//! Deferred indexes as a primitive's author has them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use freehold::prelude::*;
use freehold::{Phase, RegistryError, RowSink};

/// Numbers, and an index of them that says how it was made.
#[primitive(id = 0xd8, wal = 0x98..=0x9a)]
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Numbers {
    numbers: OrdSet<u64>,
    /// Operations so far: which of two states is the newer one.
    changes: u64,
    #[index(deferred = Numbers::catch_up)]
    index: Deferred<Mutex<Evens>>,
    #[index(deferred = |this, largest| {
        largest.store(this.numbers.iter().next_back().copied().unwrap_or(0), Ordering::Relaxed);
    })]
    largest: Deferred<AtomicU64>,
}

/// The even ones.
#[derive(Debug, Default)]
pub(crate) struct Evens {
    evens: BTreeSet<u64>,
    changes: u64,
    /// How often it was made anew.
    made: u64,
}

/// The number that no index can have.
const BAD: u64 = 666;

/// The number whose indexes are counted when they are built.
const COUNTED: u64 = 668;

static BUILT: AtomicU64 = AtomicU64::new(0);

#[operations]
impl Numbers {
    /// Adds a number, and says whether an operation sees the index.
    #[wal(0x98)]
    pub(crate) fn add(&mut self, number: u64) -> bool {
        self.changes += 1;
        self.numbers.insert(number);
        self.index.get().is_some()
    }

    /// Removes a number.
    #[wal(0x99)]
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        self.changes += 1;
        self.numbers.remove(&number)
    }

    fn catch_up(&self, index: &Mutex<Evens>) {
        assert!(!self.numbers.contains(&BAD), "{BAD} is beyond indexing");
        if self.numbers.contains(&COUNTED) {
            BUILT.fetch_add(1, Ordering::Relaxed);
        }
        let mut index = index.lock().unwrap();
        if index.changes < self.changes {
            index.evens = self.numbers.iter().filter(|number| *number % 2 == 0).copied().collect();
            index.changes = self.changes;
            index.made += 1;
        }
    }

    /// How often the index was made, without using it.
    fn made(&self) -> Option<u64> {
        Some(self.index.get()?.lock().unwrap().made)
    }

    /// The even numbers, and whether the index gave them.
    pub(crate) fn evens(&self) -> (Vec<u64>, bool) {
        if let Some(index) = self.index.get() {
            self.catch_up(index);
            let index = index.lock().unwrap();
            if index.changes == self.changes {
                return (index.evens.iter().copied().collect(), true);
            }
        }
        (self.numbers.iter().filter(|number| *number % 2 == 0).copied().collect(), false)
    }
}

fn add(db: &Database, numbers: impl IntoIterator<Item = u64>) {
    db.transaction(|tx| {
        for number in numbers {
            assert!(!tx.on::<Numbers>().add(number)?, "an operation sees the index");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_deferred_index_is_seen_by_views_and_by_nothing_else() {
    let db = Database::in_memory().unwrap();
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![], true), "of what was never used");
    add(&db, 1..=4);
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4], true));
    db.transaction(|tx| {
        assert_eq!(tx.on::<Numbers>().evens(), (vec![2, 4], false), "on a handle");
        assert_eq!(tx.read::<Numbers>().evens(), (vec![2, 4], false), "in a transaction");
        assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4], true), "in a view beside it");
        Ok(())
    })
    .unwrap();
    let mut alone = Numbers::default();
    alone.add(2);
    assert_eq!(alone.evens(), (vec![2], false), "without a database");
    let view = db.view();
    let mut copy = view.on::<Numbers>().clone();
    copy.add(6);
    assert_eq!(copy.evens(), (vec![2, 4, 6], false), "a copy of a view's");
    assert_eq!(view.on::<Numbers>().evens(), (vec![2, 4], true), "the view itself");
}

#[test]
fn an_older_view_is_right_after_a_newer_one_used_the_index() {
    let db = Database::in_memory().unwrap();
    add(&db, 1..=4);
    let before = db.view();
    db.transaction(|tx| tx.on::<Numbers>().remove(2)).unwrap();
    let between = db.view();
    add(&db, [6]);
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![4, 6], true));
    assert_eq!(before.on::<Numbers>().evens(), (vec![2, 4], false));
    assert_eq!(between.on::<Numbers>().evens(), (vec![4], false));
    assert_eq!(db.view().on::<Numbers>().made(), Some(1), "views share one index");
}

#[test]
fn a_transaction_that_never_was_leaves_no_trace_in_the_index() {
    let db = Database::in_memory().unwrap();
    add(&db, 1..=4);
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4], true));
    let aborted: Result<()> = db.transaction(|tx| {
        tx.on::<Numbers>().add(8)?;
        assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4], true));
        Err(Error::abort("no"))
    });
    assert!(aborted.is_err());
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4], true));
    add(&db, [10]);
    assert_eq!(db.view().on::<Numbers>().evens(), (vec![2, 4, 10], true));
}

#[test]
fn each_run_has_an_index_of_its_own() {
    let db = Database::in_memory().unwrap();
    add(&db, 1..=4);
    let run = db.create_run("one").unwrap();
    db.run(run).transaction(|tx| tx.on::<Numbers>().add(12)).unwrap();
    let view = db.view();
    assert_eq!(view.run(run).unwrap().on::<Numbers>().evens(), (vec![12], true));
    assert_eq!(view.on::<Numbers>().evens(), (vec![2, 4], true));
}

fn filled(path: &Path, numbers: impl IntoIterator<Item = u64>) {
    let db = Options::new().checkpoint_on_close(false).open(path).unwrap();
    let run = db.create_run("one").unwrap();
    db.run(run).transaction(|tx| tx.on::<Numbers>().add(12)).unwrap();
    add(&db, numbers);
    db.close().unwrap();
}

#[test]
fn opening_builds_deferred_indexes_if_it_is_asked_to() {
    for (what, checkpoint) in [("replayed", false), ("loaded", true)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        filled(path, 1..=4);
        if checkpoint {
            drop(Database::open(path).unwrap());
        }
        let lazy = Options::new().checkpoint_on_close(false).open(path).unwrap();
        assert_eq!(lazy.view().on::<Numbers>().made(), Some(0), "{what}, not asked to");
        assert_eq!(lazy.view().on::<Numbers>().evens(), (vec![2, 4], true), "{what}");
        assert_eq!(lazy.recovery_report().times.index, std::time::Duration::ZERO);
        drop(lazy);

        let seen = Arc::new(Mutex::new(Vec::new()));
        let options = Options::new().build_indexes(true).checkpoint_on_close(false).progress({
            let seen = Arc::clone(&seen);
            move |progress| {
                seen.lock().unwrap().push(progress.phase);
                Control::Continue
            }
        });
        let db = options.open(path).unwrap();
        let view = db.view();
        let run = view.run_named("one").and_then(|run| view.run(run)).unwrap();
        assert_eq!(view.on::<Numbers>().made(), Some(1), "{what}");
        assert_eq!(run.on::<Numbers>().made(), Some(1), "{what}, in a run");
        assert_eq!(view.on::<Numbers>().largest.get().unwrap().load(Ordering::Relaxed), 4);
        assert_eq!(view.on::<Numbers>().evens(), (vec![2, 4], true), "{what}");
        assert_eq!(view.on::<Numbers>().made(), Some(1), "{what}: it is not built twice");
        assert!(seen.lock().unwrap().contains(&Phase::Index), "{what}");
        assert!(db.recovery_report().to_string().contains(", index "), "{what}");
    }
}

#[test]
fn an_index_that_panics_at_opening_is_an_error_that_names_the_primitive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    filled(path, [1, BAD]);
    let error = Options::new().build_indexes(true).open(path).unwrap_err();
    assert!(matches!(error, Error::Registry(RegistryError::Index { primitive: "Numbers", .. })));
    assert_eq!(
        error.to_string(),
        "Numbers in run 0 cannot build its indexes: panic: 666 is beyond indexing"
    );
    let db = Database::open(path).unwrap();
    assert_eq!(db.view().on::<Numbers>().made(), Some(0), "without the option it opens");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is on the disk is looked at from outside")]
fn building_indexes_at_opening_can_be_cancelled_and_changes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    filled(path, 1..=4);
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(path.join("wal"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let cancel = |progress: &freehold::Progress| match progress.phase {
        Phase::Index => Control::Cancel,
        _ => Control::Continue,
    };
    let error = Options::new().build_indexes(true).progress(cancel).open(path).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(files(), before);
}

#[test]
fn who_cancels_when_indexes_are_first_told_of_finds_none_built() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let db = Options::new().checkpoint_on_close(false).open(path).unwrap();
    for number in 0..8 {
        let run = db.create_run(&number.to_string()).unwrap();
        db.run(run).transaction(|tx| tx.on::<Numbers>().add(COUNTED)).unwrap();
    }
    db.close().unwrap();
    let open = |control| {
        let progress = move |progress: &freehold::Progress| match progress.phase {
            Phase::Index => control,
            _ => Control::Continue,
        };
        let options = Options::new().build_indexes(true).checkpoint_on_close(false).threads(8);
        options.progress(progress).open(path)
    };
    // Many times, since threads decide who is first.
    for _ in 0..50 {
        assert!(matches!(open(Control::Cancel), Err(Error::Cancelled)));
        assert_eq!(BUILT.load(Ordering::Relaxed), 0, "built before anybody was asked");
    }
    drop(open(Control::Continue).unwrap());
    assert_eq!(BUILT.load(Ordering::Relaxed), 8);
}

struct Tables(BTreeSet<u32>);

impl RowSink for Tables {
    fn row(&mut self, table: u32, _: &[u8]) -> Result<()> {
        self.0.insert(table);
        Ok(())
    }
}

#[test]
fn a_deferred_index_is_not_in_the_snapshot_and_not_in_the_format() {
    let db = Database::in_memory().unwrap();
    add(&db, 1..=4);
    let view = db.view();
    let numbers = view.on::<Numbers>();
    assert!(numbers.evens().1);
    let mut tables = Tables(BTreeSet::new());
    numbers.snapshot_serialize(&mut SectionWriter::new(&mut tables)).unwrap();
    assert_eq!(tables.0.len(), 2, "numbers and changes");
    assert_eq!(Numbers::SECTION_SHAPE.as_str(), "numbers: {u64}, changes: u64, ");
    assert_eq!(*numbers, numbers.clone(), "an index tells no two states apart");
}

#[cfg(feature = "testing")]
freehold::conformance!(Numbers, {
    prop_oneof![
        3 => (0..9u64).prop_map(|number| call!(Numbers, add(number))),
        1 => (0..9u64).prop_map(|number| call!(Numbers, remove(number))),
    ]
});
