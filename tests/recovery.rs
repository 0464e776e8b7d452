//! A database through its life on a real disk: what opening accepts, what it refuses, what
//! transactions leave behind, what views show.

#![cfg(all(feature = "full", feature = "testing"))]
#![expect(clippy::disallowed_methods, reason = "these tests damage files behind the engine's back")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use freehold::prelude::*;
use freehold::primitives::{EventLog, KvStore, Payload, StateCell};
use freehold::testing::{CallKind, SimDisk, Survival};
use freehold::{Damage, History, Holder, Phase, StateDigest};

/// Counts words, keeps their total as an index, and has operations that go wrong on purpose.
#[primitive(id = 0x80, wal = 0x80..=0x83)]
#[derive(Clone, Default)]
pub struct Tally {
    counts: OrdMap<String, u64>,
    #[index(rebuild = |tally| tally.counts.iter().map(|(_, count)| *count).sum())]
    total: u64,
}

/// What [`Tally`] refuses.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused on purpose")
    }
}

impl std::error::Error for Refused {}

#[operations]
impl Tally {
    /// Adds `by` to `word` and returns the total, which is read from the index.
    #[wal(0x80)]
    pub fn add(&mut self, word: &str, by: u64) -> u64 {
        let count = self.counts.get(word).copied().unwrap_or(0);
        self.counts.insert(word.to_owned(), count.saturating_add(by));
        self.total = self.total.saturating_add(by);
        self.total
    }

    /// Notes the total under `word`: an operation whose effect depends on the index.
    #[wal(0x81)]
    pub fn note_total(&mut self, word: &str) -> u64 {
        let total = self.total;
        self.counts.insert(word.to_owned(), total);
        self.total = self.counts.iter().map(|(_, count)| *count).sum();
        total
    }

    /// Changes everything and then refuses.
    #[wal(0x82)]
    pub fn change_and_refuse(&mut self) -> Result<(), Refused> {
        self.counts = OrdMap::default();
        self.total = 77;
        Err(Refused)
    }

    /// Changes everything and then panics, unless `word` is empty.
    #[wal(0x83)]
    pub fn change_and_panic(&mut self, word: &str) {
        self.counts = OrdMap::default();
        self.total = 78;
        assert!(word.is_empty(), "on purpose");
    }

    /// The count of `word`.
    pub fn get(&self, word: &str) -> u64 {
        self.counts.get(word).copied().unwrap_or(0)
    }
}

fn options() -> Options {
    let now = AtomicU64::new(1);
    Options::new()
        .segment_bytes(16 << 10)
        .checkpoint_on_close(false)
        .clock(move || Timestamp(now.fetch_add(1, Ordering::Relaxed)))
}

fn digest(db: &Database) -> Vec<StateDigest> {
    db.view().digest().unwrap()
}

/// Keys `from..to`, one transaction each.
fn put_range(db: &Database, range: std::ops::Range<u32>) {
    for key in range {
        db.transaction(|tx| tx.on::<KvStore>().put(&key.to_be_bytes(), &[7; 100])).unwrap();
    }
}

/// The files of one kind in a database's directory, sorted.
fn files(path: &Path, directory: &str, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path.join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    files.sort();
    files
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset] ^= 0x40;
    fs::write(file, bytes).unwrap();
}

/// A copy of the directory, as a crash of the process would leave it.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for directory in ["wal", "snapshots"] {
        fs::create_dir(to.path().join(directory)).unwrap();
        for entry in fs::read_dir(from.join(directory)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.path().join(directory).join(entry.file_name())).unwrap();
        }
    }
    to
}

#[test]
fn what_was_committed_is_there_after_a_clean_close_and_after_none() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..500);
    db.transaction(|tx| {
        tx.on::<EventLog>().append("news", "first", Payload::Bytes(b"hello".as_slice().into()))?;
        tx.on::<Tally>().add("hello", 3)
    })
    .unwrap();
    let before = digest(&db);
    let crashed = copy(directory.path());
    db.close().unwrap();

    for path in [directory.path(), crashed.path()] {
        let db = options().open(path).unwrap();
        assert_eq!(digest(&db), before);
        let report = db.recovery_report();
        assert_eq!((report.last_lsn, report.records), (Lsn(501), 501));
        assert!(report.segments > 3, "the log was rotated: {report}");
    }
}

#[test]
fn a_checkpoint_is_loaded_and_the_tail_replayed_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    db.transaction(|tx| tx.on::<Tally>().add("a", 5)).unwrap();
    put_range(&db, 0..300);
    let report = db.checkpoint().unwrap();
    assert_eq!(report.lsn, Lsn(301));
    // The operation's effect depends on the index, so the index must be there before the tail.
    db.transaction(|tx| tx.on::<Tally>().note_total("noted")).unwrap();
    put_range(&db, 300..320);
    let before = digest(&db);
    let crashed = copy(directory.path());
    drop(db);

    let db = options().open(crashed.path()).unwrap();
    assert_eq!(db.recovery_report().snapshot_lsn, Some(Lsn(301)));
    assert_eq!(db.recovery_report().records, 21);
    assert_eq!(digest(&db), before);
    assert_eq!(db.view().on::<Tally>().get("noted"), 5);
    drop(db);

    // Without the snapshot the whole log gives the same.
    for snapshot in files(crashed.path(), "snapshots", ".snapshot") {
        fs::remove_file(snapshot).unwrap();
    }
    let db = options().open(crashed.path()).unwrap();
    assert_eq!(db.recovery_report().snapshot_lsn, None);
    assert_eq!(digest(&db), before);
}

#[test]
fn checkpoints_keep_two_snapshots_and_the_log_back_to_the_older() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    for round in 0..5u32 {
        put_range(&db, round * 200..round * 200 + 200);
        db.checkpoint().unwrap();
    }
    put_range(&db, 1000..1010);
    let before = digest(&db);
    let crashed = copy(directory.path());
    drop(db);
    let snapshots = files(crashed.path(), "snapshots", ".snapshot");
    assert_eq!(snapshots.len(), 2);
    assert!(files(crashed.path(), "wal", ".wal").len() < 12, "the log was pruned");

    // The newest one is damaged: the older one and the log make up for it.
    flip(&snapshots[1], fs::metadata(&snapshots[1]).unwrap().len() as usize / 2);
    let db = options().open(crashed.path()).unwrap();
    assert_eq!(digest(&db), before);
    assert_eq!(db.recovery_report().damaged_snapshots.len(), 1);
    assert_eq!(db.recovery_report().snapshot_lsn, Some(Lsn(800)));
    drop(db);

    // Both are: nothing justifies the missing beginning of the log.
    flip(&snapshots[0], fs::metadata(&snapshots[0]).unwrap().len() as usize / 2);
    let found = fs::read_dir(crashed.path().join("wal")).unwrap().count();
    let error = options().open(crashed.path()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. } | Error::Missing { .. }), "{error}");
    assert_eq!(fs::read_dir(crashed.path().join("wal")).unwrap().count(), found);
}

#[test]
fn a_torn_tail_is_cut_kept_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..10);
    let crashed = copy(directory.path());
    drop(db);
    // Bytes of a record that was never finished, behind the last one.
    let segment = files(crashed.path(), "wal", ".wal").pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
    bytes[end..end + 40].fill(0xa5);
    fs::write(&segment, &bytes).unwrap();

    let db = options().open(crashed.path()).unwrap();
    assert_eq!(db.recovery_report().last_lsn, Lsn(10));
    let cut = db.recovery_report().cut.clone().unwrap();
    assert_eq!((cut.offset, cut.bytes), (end as u64, 40));
    let kept = fs::read(crashed.path().join(&*cut.quarantine)).unwrap();
    assert_eq!(kept, [0xa5; 40]);
    put_range(&db, 10..20);
    let before = digest(&db);
    drop(db);
    let db = options().open(crashed.path()).unwrap();
    assert_eq!(digest(&db), before);
    assert_eq!(db.recovery_report().cut, None);
}

#[test]
fn a_flipped_byte_in_a_synced_record_is_refused_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..10);
    let crashed = copy(directory.path());
    drop(db);
    let segment = files(crashed.path(), "wal", ".wal").pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // In the first record, in one in the middle, in the very last one: the mark proves it.
    for offset in [end - 1500, end - 700, end - 20] {
        flip(&segment, offset);
        let error = options().open(crashed.path()).unwrap_err();
        let Error::Corrupt { file, offset: at, what } = &error else { panic!("{error}") };
        assert!(segment.ends_with(file), "{error}");
        assert!(*at <= offset as u64, "{error}");
        assert!(matches!(what, Damage::Proved { .. }), "{error}");
        assert!(fs::read_dir(crashed.path().join("quarantine")).is_err(), "nothing was changed");
        flip(&segment, offset);
    }
    assert!(options().open(crashed.path()).is_ok());
}

#[test]
fn missing_swapped_and_foreign_segments_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..500);
    let before = digest(&db);
    let whole = copy(directory.path());
    drop(db);
    let other = tempfile::tempdir().unwrap();
    put_range(&options().open(other.path()).unwrap(), 0..500);

    type Damage = fn(&[PathBuf], &Path);
    let damage: [(&str, Damage); 5] = [
        ("a middle one is gone", |wal, _| fs::remove_file(&wal[1]).unwrap()),
        ("the first one is gone", |wal, _| fs::remove_file(&wal[0]).unwrap()),
        ("the last one is gone", |wal, _| fs::remove_file(wal.last().unwrap()).unwrap()),
        ("two are swapped", |wal, _| {
            let spare = wal[1].with_extension("spare");
            fs::rename(&wal[1], &spare).unwrap();
            fs::rename(&wal[2], &wal[1]).unwrap();
            fs::rename(&spare, &wal[2]).unwrap();
        }),
        ("one is another database's", |wal, other| {
            fs::copy(&files(other, "wal", ".wal")[1], &wal[1]).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let damaged = copy(whole.path());
        damage(&files(damaged.path(), "wal", ".wal"), other.path());
        let error = options().open(damaged.path()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::Missing { .. }), "{what}: {error}");
    }
    assert_eq!(digest(&options().open(whole.path()).unwrap()), before);
}

#[test]
fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(matches!(Database::open(&file), Err(Error::NotADatabase { .. })));
    assert!(matches!(Database::open(directory.path()), Err(Error::NotADatabase { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was left there");
    // A directory below one that is not there is the caller's mistake.
    assert!(matches!(Database::open(directory.path().join("a/b")), Err(Error::Io { .. })));
}

#[test]
fn a_second_opener_is_told_who_is_in() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let error = options().open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { holder: Holder::ThisProcess, .. }), "{error}");
    db.close().unwrap();
    assert!(options().open(directory.path()).is_ok());
    assert!(matches!(db.transaction(|_| Ok(())), Err(Error::Closed)));
    assert!(db.close().is_ok(), "closing again does nothing");
}

#[test]
fn what_goes_wrong_leaves_no_trace() {
    for durability in [
        Durability::Strict,
        Durability::Buffered { sync_every: Duration::from_millis(10) },
        Durability::InMemory,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let db = options().durability(durability).open(directory.path()).unwrap();
        db.transaction(|tx| tx.on::<Tally>().add("kept", 1)).unwrap();
        let run = db.create_run("a run").unwrap();
        db.run(run).transaction(|tx| tx.on::<Tally>().add("kept", 1)).unwrap();
        let before = digest(&db);
        let lsn = db.view().lsn();

        // Aborted after a thousand operations, a new run and a deleted one.
        let aborted = db.transaction(|tx| {
            for at in 0..1000 {
                tx.on::<Tally>().add("lost", at)?;
            }
            let other = tx.create_run("another")?;
            tx.run(other)?.on::<Tally>().add("lost", 1)?;
            tx.run(run)?.on::<Tally>().add("lost", 1)?;
            tx.delete_run(run)?;
            Err::<(), _>(Error::abort("enough"))
        });
        assert!(matches!(aborted, Err(Error::Aborted(_))));
        assert_eq!(digest(&db), before, "{durability:?}: aborted");

        // A panic inside an operation.
        let panicked = std::panic::catch_unwind(|| {
            db.transaction(|tx| {
                tx.on::<Tally>().add("lost", 1)?;
                tx.on::<Tally>().change_and_panic("now")
            })
        });
        assert!(panicked.is_err());
        assert_eq!(digest(&db), before, "{durability:?}: panicked");
        assert_eq!(db.view().lsn(), lsn);

        // A rejection after mutation, in a transaction that goes on.
        let total = db
            .transaction(|tx| {
                tx.on::<Tally>().add("kept", 1)?;
                for _ in 0..3 {
                    let error = tx.on::<Tally>().change_and_refuse().unwrap_err();
                    assert_eq!(error.rejected::<Refused>(), Some(&Refused));
                }
                tx.on::<Tally>().add("kept", 1)
            })
            .unwrap();
        assert_eq!(total, 3);
        assert_eq!(db.view().on::<Tally>().get("kept"), 3);
        assert_eq!(db.view().lsn(), lsn.next());

        if durability != Durability::InMemory {
            let after = digest(&db);
            drop(db);
            assert_eq!(digest(&options().open(directory.path()).unwrap()), after);
        }
    }
}

#[test]
fn calls_that_would_wait_for_their_own_transaction_are_errors() {
    let db = Options::new().durability(Durability::InMemory).open("").unwrap();
    db.transaction(|tx| {
        tx.on::<Tally>().add("a", 1)?;
        assert!(matches!(db.transaction(|_| Ok(())), Err(Error::Nested { .. })));
        assert!(matches!(db.checkpoint(), Err(Error::Nested { .. })));
        assert!(matches!(db.close(), Err(Error::Nested { .. })));
        assert_eq!(db.view().on::<Tally>().get("a"), 0, "a view shows the state before");
        Ok(())
    })
    .unwrap();
    assert_eq!(db.view().on::<Tally>().get("a"), 1);
}

#[test]
fn many_threads_commit_and_everything_acknowledged_is_there() {
    const THREADS: u64 = 8;
    const COMMITS: u64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let start = Arc::new(Barrier::new(THREADS as usize + 1));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, start) = (db.clone(), Arc::clone(&start));
            scope.spawn(move || {
                start.wait();
                for commit in 0..COMMITS {
                    let word = format!("{thread}");
                    db.transaction(|tx| tx.on::<Tally>().add(&word, 1)).unwrap();
                    assert!(db.view().on::<Tally>().get(&word) > commit, "its own commit is seen");
                }
            });
        }
        let db = db.clone();
        scope.spawn(move || {
            start.wait();
            for _ in 0..5 {
                db.checkpoint().unwrap();
            }
        });
    });
    let before = digest(&db);
    assert_eq!(db.view().lsn(), Lsn(THREADS * COMMITS));
    let crashed = copy(directory.path());
    drop(db);
    let db = options().open(crashed.path()).unwrap();
    assert_eq!(digest(&db), before);
    for thread in 0..THREADS {
        assert_eq!(db.view().on::<Tally>().get(&format!("{thread}")), COMMITS);
    }
}

#[test]
fn a_submission_can_be_waited_for_asked_and_awaited() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let (total, first) = db.submit(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
    assert_eq!((total, first.lsn()), (1, Lsn(1)));
    let (_, second) = db.submit(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
    second.wait().unwrap();
    assert!(first.is_done(), "one sync covers both");
    assert_eq!(db.view().on::<Tally>().get("a"), 2);

    // Nobody waits: it becomes durable and visible all the same.
    let (_, third) = db.submit(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(block_on(third)));
    receiver.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    assert_eq!(db.view().on::<Tally>().get("a"), 3);
}

/// A database in each mode, on files where it has any.
fn in_each_mode(test: impl Fn(Database)) {
    let modes = [
        Durability::Strict,
        Durability::Buffered { sync_every: Duration::from_secs(3600) },
        Durability::InMemory,
    ];
    for mode in modes {
        let directory = tempfile::tempdir().unwrap();
        test(options().durability(mode).open(directory.path()).unwrap());
    }
}

/// Far more than any of these waits takes.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_wait_ends_when_a_commit_brings_what_it_looks_for() {
    in_each_mode(|db| {
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let db = db.clone();
                scope.spawn(move || {
                    // Each waits for the last commit of the others in turn.
                    for round in 1..=50 {
                        let word = format!("{thread}");
                        db.transaction(|tx| tx.on::<Tally>().add(&word, 1)).unwrap();
                        let next = format!("{}", (thread + 1) % 4);
                        let found = db.wait_for(LONG, |view| {
                            Some(view.on::<Tally>().get(&next)).filter(|count| *count >= round)
                        });
                        assert!(found.unwrap().is_some_and(|count| count <= round + 3));
                    }
                });
            }
        });
        assert!(begun.elapsed() < LONG, "woken by the commits and not by the timeout");

        // What was only submitted is seen once it is as durable as the mode promises.
        let (_, pending) = db.submit(|tx| tx.on::<Tally>().add("submitted", 1)).unwrap();
        let found =
            db.wait_for(LONG, |view| (view.on::<Tally>().get("submitted") > 0).then_some(()));
        assert!(found.unwrap().is_some());
        pending.wait().unwrap();
        assert!(begun.elapsed() < LONG);
    });
}

#[test]
fn a_wait_is_not_held_up_by_a_transaction_that_runs() {
    in_each_mode(|db| {
        let (begun, goes_on) = (Barrier::new(2), Barrier::new(2));
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut looks = 0;
                let found = db.wait_for(LONG, |view| {
                    looks += 1;
                    if looks == 1 {
                        begun.wait();
                    }
                    (view.on::<Tally>().get("a") > 0).then(|| view.lsn())
                });
                done.send(found).unwrap();
            });
            begun.wait();
            db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
            let writer = scope.spawn(|| {
                db.transaction(|tx| {
                    tx.on::<Tally>().add("a", 1)?;
                    goes_on.wait();
                    Ok(())
                })
            });
            // The second transaction runs, or is about to, until the wait has ended.
            let found = is_done.recv_timeout(LONG / 2);
            goes_on.wait();
            writer.join().unwrap().unwrap();
            assert_eq!(found.unwrap().unwrap(), Some(Lsn(1)));
        });
    });
}

#[test]
fn a_wait_ends_with_its_timeout_also_while_others_commit() {
    in_each_mode(|db| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
                }
            });
            // A busy machine may bring no commit in a short time.
            let mut waits = [50, 500, 5_000].map(Duration::from_millis).into_iter();
            let mut wait = || {
                let (timeout, begun) = (waits.next()?, std::time::Instant::now());
                let mut looks = 0;
                let found = db.wait_for(timeout, |view| {
                    looks += 1;
                    view.on::<Tally>().get("never").checked_sub(1)
                });
                Some((found, looks, begun.elapsed() >= timeout && begun.elapsed() < LONG))
            };
            let last = std::iter::from_fn(&mut wait).find(|(found, looks, in_time)| {
                !matches!(found, Ok(None)) || *looks > 1 || !in_time
            });
            // First this, or a failure would leave the writer running.
            stop.store(true, Ordering::Relaxed);
            let (found, looks, in_time) = last.expect("the other thread commits");
            assert!(matches!(found, Ok(None)) && looks > 1 && in_time);
        });
        // Without a commit it looks once, and a timeout of zero does not wait.
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            let mut looks = 0;
            let found = db.wait_for(timeout, |_| {
                looks += 1;
                None::<()>
            });
            assert_eq!((found.unwrap(), looks), (None, 1));
        }
        assert!(db.wait_for(Duration::MAX, |view| Some(view.lsn())).unwrap().is_some());
    });
}

#[test]
fn closing_ends_a_wait_and_a_transaction_refuses_one() {
    in_each_mode(|db| {
        db.transaction(|_| {
            let nested = db.wait_for(LONG, |_| None::<()>);
            assert!(matches!(nested, Err(Error::Nested { call: "wait_for" })));
            Ok(())
        })
        .unwrap();
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            let (looked, has_looked) = mpsc::channel();
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let (db, looked) = (db.clone(), looked.clone());
                    scope.spawn(move || {
                        db.wait_for(LONG, |_| {
                            looked.send(()).unwrap();
                            None::<()>
                        })
                    })
                })
                .collect();
            (0..3).for_each(|_| has_looked.recv().unwrap());
            db.close().unwrap();
            for waiter in waiters {
                assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
            }
        });
        assert!(matches!(db.wait_for(LONG, |_| Some(())), Err(Error::Closed)));
        assert!(begun.elapsed() < LONG);
    });
}

#[test]
fn a_failed_sync_ends_a_wait() {
    for mode in [Durability::Strict, Durability::Buffered { sync_every: LONG }] {
        let disk = SimDisk::new(1);
        let db = options().durability(mode).disk(disk.shared()).open("").unwrap();
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            let (looked, has_looked) = mpsc::channel();
            let waiter = scope.spawn({
                let db = db.clone();
                move || {
                    db.wait_for(LONG, |view| {
                        looked.send(()).unwrap();
                        (view.on::<Tally>().get("b") > 0).then_some(())
                    })
                }
            });
            has_looked.recv().unwrap();
            disk.fail_every(CallKind::Sync, std::io::ErrorKind::Other);
            let _ = db.transaction(|tx| tx.on::<Tally>().add("a", 1));
            let _ = db.checkpoint();
            assert!(matches!(waiter.join().unwrap(), Err(Error::Poisoned)));
        });
        assert!(begun.elapsed() < LONG);
        // What is there already is still found.
        assert!(db.wait_for(LONG, |view| Some(view.lsn())).unwrap().is_some());
        disk.heal();
    }
}

/// Runs a future to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        let mut context = std::task::Context::from_waker(&waker);
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

#[test]
fn a_failed_sync_poisons_and_shows_nothing() {
    let disk = SimDisk::new(1);
    let db = options().disk(disk.shared()).open("").unwrap();
    db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
    let before = digest(&db);
    disk.fail_next(CallKind::Sync, std::io::ErrorKind::Other);
    let error = db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap_err();
    assert!(matches!(error, Error::DurabilityUnknown { cause: Some(_) }), "{error}");
    assert_eq!(digest(&db), before, "no view shows it");
    for _ in 0..3 {
        let error = db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap_err();
        assert!(matches!(error, Error::Poisoned), "{error}");
    }
    assert!(matches!(db.checkpoint(), Err(Error::Poisoned)));
    drop(db);
    // What became of it is unknown, but it is there as a whole or not at all.
    let db = options().disk(disk.after_crash(Survival::Nothing).shared()).open("").unwrap();
    assert!([1, 2].contains(&db.view().on::<Tally>().get("a")));
    assert_eq!(db.recovery_report().last_lsn.0, db.view().on::<Tally>().get("a"));
}

#[test]
fn a_full_disk_refuses_the_transaction_and_nothing_else() {
    let disk = SimDisk::new(1);
    let db = options().disk(disk.shared()).open("").unwrap();
    put_range(&db, 0..10);
    disk.limit_space(disk.files().iter().map(|(_, bytes)| bytes).sum::<u64>() + 4096);
    let mut key = 10u32;
    let error = loop {
        let before = digest(&db);
        let put = db.transaction(|tx| tx.on::<KvStore>().put(&key.to_be_bytes(), &[7; 100]));
        if let Err(error) = put {
            assert_eq!(digest(&db), before, "it left no trace");
            break error;
        }
        key += 1;
        assert!(key < 10_000, "the disk is full at last");
    };
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    // What makes the state smaller still goes, for a while.
    let mut freed = 0_u32;
    let error = loop {
        let deleted = db.transaction(|tx| {
            tx.freeing();
            tx.on::<KvStore>().delete(&freed.to_be_bytes())
        });
        match deleted {
            Ok(value) => assert!(value.is_some()),
            Err(error) => break error,
        }
        freed += 1;
    };
    assert!(freed >= 5 && matches!(error, Error::NoSpace { .. }), "{freed}: {error}");
    let again = db.transaction(|tx| tx.on::<KvStore>().put(b"more", &[7; 100]));
    assert!(matches!(again, Err(Error::NoSpace { .. })));
    let before = digest(&db);
    disk.limit_space(u64::MAX);
    put_range(&db, key..key + 10);
    assert_ne!(digest(&db), before, "with space there is room again");
    let after = digest(&db);
    let db = options().disk(disk.after_crash(Survival::Nothing).shared()).open("").unwrap();
    assert_eq!(digest(&db), after);
}

#[test]
fn runs_have_state_of_their_own_and_survive() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let first = db.create_run("first").unwrap();
    let second = db.create_run("second").unwrap();
    db.transaction(|tx| {
        tx.on::<Tally>().add("a", 1)?;
        tx.run(first)?.on::<Tally>().add("a", 10)?;
        tx.run(second)?.on::<Tally>().add("a", 100)?;
        tx.on::<Tally>().add("a", 1)
    })
    .unwrap();
    db.run(first).transaction(|tx| tx.on::<StateCell>().init("phase", b"begun")).unwrap();
    db.checkpoint().unwrap();
    db.run(second).transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
    db.delete_run(first).unwrap();
    let third = db.create_run("third").unwrap();
    assert!(third > second, "an ID is never given twice");
    let error = db.create_run("second").unwrap_err();
    assert!(error.rejected::<RunNameError>().is_some(), "{error}");
    let before = digest(&db);
    let crashed = copy(directory.path());
    drop(db);

    let db = options().open(crashed.path()).unwrap();
    assert_eq!(digest(&db), before);
    let view = db.view();
    assert_eq!(view.on::<Tally>().get("a"), 2);
    assert!(view.run(first).is_none());
    assert_eq!(view.run(second).unwrap().on::<Tally>().get("a"), 101);
    assert_eq!(view.run_named("third"), Some(third));
    assert!(matches!(db.run(first).view(), Err(Error::NoRun { .. })));
    assert_eq!(db.create_run("first").unwrap().0, third.0 + 1);
}

#[test]
fn a_record_too_large_is_rejected_before_anything_is_logged() {
    let db = Options::new().durability(Durability::InMemory).open("").unwrap();
    let large = vec![0; freehold::ENTRY_BYTES_MAX + 1];
    let error = db.transaction(|tx| tx.on::<KvStore>().put(b"key", &large)).unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    assert_eq!(db.view().lsn(), Lsn(0));
    assert!(db.view().on::<KvStore>().is_empty());
}

#[test]
fn opening_can_be_watched_and_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    db.transaction(|tx| tx.on::<Tally>().add("word", 1)).unwrap();
    put_range(&db, 0..300);
    db.checkpoint().unwrap();
    put_range(&db, 300..500);
    drop(db);
    let listing = |path: &Path| {
        let mut names = files(path, "wal", "");
        names.sort();
        names
    };
    let before = listing(directory.path());
    // Opens, and cancels when it is told the n-th time.
    let told = |cancel_at: usize| {
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let options = options().threads(1).progress(move |progress| {
            let mut told = telling.lock().unwrap();
            told.push(*progress);
            if told.len() == cancel_at { Control::Cancel } else { Control::Continue }
        });
        let opened = options.open(directory.path()).map(drop);
        (opened, Arc::into_inner(told).unwrap().into_inner().unwrap())
    };
    let mut cancelled = 0;
    let all = loop {
        match told(cancelled + 1) {
            (Err(Error::Cancelled), told) => assert_eq!(told.len(), cancelled + 1),
            (opened, told) => {
                opened.unwrap();
                break told;
            }
        }
        assert_eq!(listing(directory.path()), before, "no file was changed");
        cancelled += 1;
    };
    assert_eq!(cancelled, all.len());
    for phase in [Phase::Load, Phase::Replay] {
        let of_phase: Vec<_> = all.iter().filter(|progress| progress.phase == phase).collect();
        assert!(of_phase.is_sorted_by_key(|progress| progress.bytes_done), "{of_phase:?}");
        let [first, .., last] = &*of_phase else { panic!("{of_phase:?}") };
        assert!(first.bytes_done == 0 && last.bytes_done > 0, "{of_phase:?}");
        assert_eq!(last.bytes_done, last.bytes_total);
    }
    let primitives: Vec<_> = all.iter().filter_map(|progress| progress.primitive).collect();
    assert_eq!(primitives, ["kv", "Tally"]);
}

#[test]
fn verify_says_what_opening_would_find_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..100);
    db.checkpoint().unwrap();
    put_range(&db, 100..150);
    let crashed = copy(directory.path());
    let error = freehold::verify(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(db);
    let list = || {
        let mut all: Vec<(PathBuf, Vec<u8>)> = ["wal", "snapshots"]
            .iter()
            .flat_map(|directory| files(crashed.path(), directory, ""))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = list();
    let report = freehold::verify(crashed.path()).unwrap();
    assert_eq!((report.last_lsn, report.snapshot_lsn), (Lsn(150), Some(Lsn(100))));
    assert!(list() == before, "verify writes nothing");
    let snapshot = files(crashed.path(), "snapshots", ".snapshot").pop().unwrap();
    flip(&snapshot, 200);
    let report = freehold::verify(crashed.path()).unwrap();
    assert_eq!(report.damaged_snapshots.len(), 1);

    // What is refused is refused again, in the same words, and is as it was.
    let sealed = files(crashed.path(), "wal", ".wal").remove(0);
    let end = fs::read(&sealed).unwrap().len();
    flip(&sealed, end - 30);
    let before = list();
    let said = || freehold::verify(crashed.path()).unwrap_err().to_string();
    let first = said();
    assert!(first.contains(sealed.file_name().unwrap().to_str().unwrap()), "{first}");
    assert_eq!([said(), said()], [first.clone(), first]);
    assert!(list() == before, "a refused verify writes nothing");
}

#[test]
fn a_name_can_be_used_again_after_its_run_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let first = db.create_run("a").unwrap();
    db.run(first).transaction(|tx| tx.on::<Tally>().add("old", 1)).unwrap();
    db.checkpoint().unwrap();
    db.delete_run(first).unwrap();
    let second = db.create_run("a").unwrap();
    db.run(second).transaction(|tx| tx.on::<Tally>().add("new", 1)).unwrap();
    db.transaction(|tx| {
        tx.delete_run(second)?;
        let third = tx.create_run("a")?;
        tx.run(third)?.on::<Tally>().add("newest", 1)
    })
    .unwrap();
    let before = digest(&db);
    let crashed = copy(directory.path());
    drop(db);
    let db = options().open(crashed.path()).unwrap();
    assert_eq!(digest(&db), before);
    let run = db.view().run_named("a").unwrap();
    assert_eq!(db.run(run).view().unwrap().on::<Tally>().get("newest"), 1);
}

#[test]
fn the_chain_of_a_run_goes_on_through_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    let run = db.create_run("a").unwrap();
    db.run(run).transaction(|tx| tx.on::<KvStore>().put(b"key", b"value")).unwrap();
    db.run(run).transaction(|tx| tx.on::<KvStore>().delete(b"key")).unwrap();
    let last = db.run(run).view().unwrap().last_lsn();
    drop(db);
    for _ in 0..3 {
        let db = options().open(directory.path()).unwrap();
        assert_eq!(db.run(run).view().unwrap().last_lsn(), last, "the run is empty by now");
        db.transaction(|tx| tx.on::<Tally>().add("a", 1)).unwrap();
        db.checkpoint().unwrap();
    }
    let db = options().open(directory.path()).unwrap();
    db.run(run).transaction(|tx| tx.on::<KvStore>().put(b"key", b"value")).unwrap();
    drop(db);
    // Recovery compares every run switch with where its run's chain stands.
    options().open(directory.path()).unwrap();
}

#[test]
fn closing_waits_for_a_checkpoint_that_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let db = options().open(directory.path()).unwrap();
        put_range(&db, 0..50);
        let start = Arc::new(Barrier::new(2));
        std::thread::scope(|scope| {
            let (other, ready) = (db.clone(), Arc::clone(&start));
            scope.spawn(move || {
                ready.wait();
                match other.checkpoint() {
                    Ok(_) | Err(Error::Closed) => {}
                    Err(error) => panic!("{error}"),
                }
            });
            start.wait();
            db.close().unwrap();
            options().open(directory.path()).unwrap().close().unwrap();
        });
    }
}

#[test]
fn an_opening_that_writes_nothing_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    put_range(&options().open(directory.path()).unwrap(), 0..10);
    let names = || files(directory.path(), "wal", "");
    options().open(directory.path()).unwrap().close().unwrap();
    let before = names();
    for _ in 0..3 {
        let db = options().open(directory.path()).unwrap();
        assert_eq!(db.view().on::<KvStore>().len(), 10);
        db.close().unwrap();
    }
    assert_eq!(names(), before);
    // Nor does a checkpoint when there is nothing in the segment.
    let db = options().open(directory.path()).unwrap();
    for _ in 0..3 {
        db.checkpoint().unwrap();
    }
    assert_eq!(names(), before);
}

#[test]
fn a_lost_log_and_a_damaged_snapshot_are_no_new_database() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..10);
    db.checkpoint().unwrap();
    drop(db);
    fs::remove_dir_all(directory.path().join("wal")).unwrap();
    let snapshot = files(directory.path(), "snapshots", ".snapshot").pop().unwrap();
    flip(&snapshot, 20);
    let error = options().open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

#[test]
fn the_last_handle_may_be_a_thread_local_one() {
    std::thread_local! {
        static DB: std::cell::RefCell<Option<Database>> = const { std::cell::RefCell::new(None) };
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    std::thread::spawn(move || {
        let db = options().checkpoint_on_close(true).open(path).unwrap();
        DB.with_borrow_mut(|kept| *kept = Some(db.clone()));
        put_range(&db, 0..10);
    })
    .join()
    .unwrap();
    let db = options().open(directory.path()).unwrap();
    assert_eq!(db.view().on::<KvStore>().len(), 10);
}

#[test]
fn a_checkpoint_without_a_new_record_leaves_the_last_segment() {
    let directory = tempfile::tempdir().unwrap();
    let options = || options().snapshots_kept(1).checkpoint_on_close(true);
    put_range(&options().open(directory.path()).unwrap(), 0..10);
    for _ in 0..3 {
        let db = options().open(directory.path()).unwrap();
        db.checkpoint().unwrap();
        assert_eq!(db.view().on::<KvStore>().len(), 10);
    }
    put_range(&options().open(directory.path()).unwrap(), 10..20);
    assert_eq!(options().open(directory.path()).unwrap().view().on::<KvStore>().len(), 20);
}

#[test]
fn what_the_options_detach_is_carried_and_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let db = options().open(path).unwrap();
    db.transaction(|tx| tx.on::<Tally>().add("words", 7)).unwrap();
    db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"value")).unwrap();
    db.close().unwrap();

    for _ in 0..3 {
        let warned = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&warned);
        let db = options()
            .detach("Tally")
            .require_linked(true)
            .on_warning(move |_, _| _ = count.fetch_add(1, Ordering::Relaxed))
            .open(path)
            .unwrap();
        let report = db.recovery_report();
        assert_eq!(report.detached.len(), 1, "{report}");
        assert!(report.detached[0].asked_for && report.detached[0].bytes > 0, "{report}");
        assert_eq!(warned.load(Ordering::Relaxed), 0, "it was asked for");
        let refused = std::panic::catch_unwind(|| db.view().on::<Tally>().get("words"));
        let said = refused.unwrap_err();
        let said = said.downcast_ref::<String>().unwrap();
        assert!(said.contains("Tally cannot be used here"), "{said}");
        let in_transaction = std::panic::catch_unwind(|| {
            db.transaction(|tx| {
                tx.on::<KvStore>().put(b"key", b"lost")?;
                tx.on::<Tally>().add("words", 1)
            })
        });
        assert!(in_transaction.is_err());
        assert_eq!(db.view().on::<KvStore>().get(b"key").as_deref(), Some(&b"value"[..]));
        db.checkpoint().unwrap();
        db.transaction(|tx| tx.on::<KvStore>().put(b"other", b"value")).unwrap();
        db.close().unwrap();
    }
    let db = options().open(path).unwrap();
    assert_eq!(db.view().on::<Tally>().get("words"), 7);
    assert_eq!(db.transaction(|tx| tx.on::<Tally>().add("words", 1)).unwrap(), 8);
}

#[test]
fn a_name_to_detach_that_nobody_has_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let db = options()
        .detach("Tallly")
        .on_warning(move |_, what| heard.lock().unwrap().push(what.to_owned()))
        .open(directory.path())
        .unwrap();
    drop(db);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("Options::detach(\"Tallly\"): no primitive"), "{said:?}");
}

#[test]
fn the_state_at_every_record_can_be_read_again_also_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().snapshots_kept(3).open(directory.path()).unwrap();
    let mut states = vec![(Lsn::ZERO, digest(&db))];
    let run = db.create_run("a run").unwrap();
    states.push((db.view().lsn(), digest(&db)));
    for round in 0..300_u32 {
        db.transaction(|tx| {
            tx.on::<Tally>().add(&format!("word {}", round % 7), 1)?;
            tx.run(run)?.on::<KvStore>().put(&round.to_be_bytes(), &[1; 200])
        })
        .unwrap();
        if round % 120 == 60 {
            db.checkpoint().unwrap();
        }
        states.push((db.view().lsn(), digest(&db)));
    }
    assert!(files(directory.path(), "wal", ".wal").len() > 2, "several segments");
    for (lsn, state) in states.iter().step_by(13).chain(states.last()) {
        let view = db.view_at(*lsn).unwrap();
        assert_eq!((view.lsn(), &view.digest().unwrap()), (*lsn, state));
    }
    let newest = db.view().lsn();
    let error = db.view_at(newest.next()).unwrap_err();
    assert!(matches!(error, Error::NoLsn { nearest, .. } if nearest == newest), "{error}");

    // Before the oldest snapshot nothing is kept any more.
    for _ in 0..3 {
        put_range(&db, 0..60);
        db.checkpoint().unwrap();
    }
    let error = db.view_at(Lsn(5)).unwrap_err();
    let Error::NoLsn { nearest, .. } = error else { panic!("{error}") };
    assert_eq!(db.view_at(nearest).unwrap().lsn(), nearest);
    let nested = db.transaction(|_| db.view_at(Lsn(1)).map(drop));
    assert!(matches!(nested, Err(Error::Nested { .. })));

    db.close().unwrap();
    assert!(matches!(db.view_at(nearest), Err(Error::Closed)));
    assert_eq!(freehold::inspect_at(directory.path(), nearest).unwrap().lsn(), nearest);
}

#[test]
fn what_stands_before_a_damage_can_be_had_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..400);
    drop(db);
    let segments = files(directory.path(), "wal", ".wal");
    assert!(segments.len() > 3);
    let state_at = |lsn| freehold::inspect_at(directory.path(), lsn).unwrap().digest().unwrap();
    let whole = freehold::inspect(directory.path()).unwrap();
    let (view, report) = freehold::salvage(directory.path()).unwrap();
    assert_eq!((view.lsn(), report.stopped_at), (whole.lsn(), None), "without damage all of it");

    type Damaging = fn(&Path);
    let damages: [(&str, Damaging); 4] = [
        ("a flipped byte", |segment| flip(segment, 3000)),
        ("a lost header", |segment| flip(segment, 41)),
        ("a lost footer", |segment| flip(segment, fs::read(segment).unwrap().len() - 3)),
        ("a lost file", |segment| fs::remove_file(segment).unwrap()),
    ];
    for (what, damage) in damages {
        let damaged = copy(directory.path());
        let second = &files(damaged.path(), "wal", ".wal")[1];
        damage(second);
        let refused = Database::open(damaged.path()).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. } | Error::Missing { .. }), "{refused}");
        let before: Vec<_> = files(damaged.path(), "wal", "").iter().flat_map(fs::read).collect();
        let (view, report) = freehold::salvage(damaged.path()).unwrap();
        let stopped_at = report.stopped_at.unwrap();
        assert!(stopped_at.contains("wal/00000"), "{what}: {stopped_at}");
        assert!(view.lsn() > Lsn(50) && view.lsn() < Lsn(300), "{what}: {}", view.lsn());
        assert_eq!(view.digest().unwrap(), state_at(view.lsn()), "{what}");
        let last_good = freehold::inspect_at(damaged.path(), view.lsn()).unwrap();
        assert_eq!(last_good.digest().unwrap(), state_at(view.lsn()), "{what}");
        assert!(freehold::inspect_at(damaged.path(), view.lsn().next()).is_err(), "{what}");
        let after: Vec<_> = files(damaged.path(), "wal", "").iter().flat_map(fs::read).collect();
        assert!(before == after, "{what}: nothing was changed");

        // Behind the damage some of it can still be read, and is counted.
        let behind = report.behind.unwrap();
        let first = behind.first_lsn.unwrap();
        assert!(first > view.lsn() && behind.last_lsn == Some(whole.lsn()), "{what}: {behind}");
        assert_eq!(behind.records, whole.lsn().0 - first.0 + 1, "{what}: {behind}");
        assert_eq!(behind.primitives, ["kv".into()], "{what}: {behind}");
        assert_eq!(behind.runs, [RunId::ROOT], "{what}: {behind}");
    }
}

#[test]
fn a_database_can_be_opened_to_be_read_and_no_file_changes() {
    let disk = SimDisk::new(7);
    let db = options().disk(disk.shared()).open("").unwrap();
    put_range(&db, 0..30);
    let state = digest(&db);
    std::mem::forget(db);
    let disk = disk.after_kill();
    // A torn tail, which nothing proves synced.
    let segment =
        disk.files().into_iter().rfind(|(path, _)| path.ends_with("000001.wal")).unwrap().0;
    let mut bytes = disk.bytes(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end + 64] = 1;
    disk.put(&segment, &bytes);

    let before = disk.fingerprint();
    let read = || options().disk(disk.shared()).read_only(true).on_warning(|_, _| {}).open("");
    let (one, two) = (read().unwrap(), read().unwrap());
    for db in [&one, &two] {
        assert_eq!(digest(db), state);
        let refused = db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"")).unwrap_err();
        assert_eq!(refused.to_string(), "open only to be read: the options say so");
        assert!(matches!(db.checkpoint(), Err(Error::ReadOnly { .. })));
        db.close().unwrap();
    }
    assert_eq!(disk.fingerprint(), before, "no file was changed");

    // A disk on which the torn tail cannot be kept: the state is there all the same.
    disk.limit_space(disk.files().iter().map(|(_, bytes)| bytes).sum());
    let db = options().disk(disk.shared()).on_warning(|_, _| {}).open("").unwrap();
    assert_eq!(digest(&db), state);
    assert!(db.recovery_report().read_only.as_ref().unwrap().contains("full"));
    assert!(matches!(db.create_run("run"), Err(Error::ReadOnly { .. })));
    let second = options().disk(disk.shared()).open("").unwrap_err();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
    db.close().unwrap();

    disk.limit_space(u64::MAX);
    let db = options().disk(disk.shared()).open("").unwrap();
    assert_eq!(digest(&db), state);
    assert!(db.recovery_report().cut.is_some() && db.recovery_report().read_only.is_none());
    put_range(&db, 30..31);

    let nothing = options().disk(SimDisk::new(8).shared()).read_only(true).open("").unwrap_err();
    assert!(matches!(nothing, Error::NotADatabase { .. }), "{nothing}");
}

#[test]
fn a_checkpoint_without_space_gives_the_older_snapshot_up_and_else_says_how_much_it_needs() {
    let disk = SimDisk::new(9);
    let db = options().disk(disk.shared()).open("").unwrap();
    for round in 0..3 {
        put_range(&db, round * 20..round * 20 + 40);
        db.checkpoint().unwrap();
    }
    put_range(&db, 100..110);
    let snapshots = |disk: &SimDisk| {
        let files = disk.files().into_iter();
        files.filter(|(path, _)| path.starts_with("snapshots")).collect::<Vec<_>>()
    };
    let before = snapshots(&disk);
    assert_eq!(before.len(), 2);
    // Not enough for a third snapshot beside the two, enough once the older one is gone.
    let used = |disk: &SimDisk| disk.files().iter().map(|(_, bytes)| bytes).sum::<u64>();
    disk.limit_space(used(&disk) + 1024 + (16 << 10));
    let report = db.checkpoint().unwrap();
    let after = snapshots(&disk);
    assert_eq!(report.lsn, db.view().lsn());
    assert!(after.len() == 2 && after[0].0 == before[1].0, "{after:?}");

    put_range(&db, 110..120);
    disk.limit_space(used(&disk) / 2);
    let state = digest(&db);
    let error = db.checkpoint().unwrap_err();
    let Error::NoSpace { needed, .. } = error else { panic!("{error}") };
    disk.limit_space(u64::MAX);
    let report = db.checkpoint().unwrap();
    assert_eq!(needed, report.snapshot_bytes);
    assert_eq!(digest(&db), state);
    let db = options().disk(disk.after_crash(Survival::Nothing).shared()).open("").unwrap();
    assert_eq!(digest(&db), state);
}

#[test]
fn a_full_disk_gives_up_no_snapshot_before_another_is_durable() {
    let prepare = || {
        let disk = SimDisk::new(10);
        let db = options().disk(disk.shared()).open("").unwrap();
        for round in 0..2 {
            put_range(&db, round * 10..round * 10 + 10);
            db.checkpoint().unwrap();
        }
        put_range(&db, 20..25);
        (disk, db)
    };
    let (disk, db) = prepare();
    let first = disk.call_count();
    db.checkpoint().unwrap();
    let end = disk.call_count();
    let removal_count = |disk: &SimDisk| {
        let calls = disk.calls().into_iter().skip(first as usize);
        let removed = calls.filter(|call| call.kind == CallKind::Remove && call.error.is_none());
        let snapshots = removed.filter(|call| {
            call.path.starts_with("snapshots")
                && call.path.extension().is_some_and(|end| end == "snapshot")
        });
        snapshots.count()
    };
    let usual = removal_count(&disk);
    let mut gave_up = 0;
    for full in first..end {
        let (disk, db) = prepare();
        disk.fail_call(full, std::io::ErrorKind::StorageFull);
        let _ = db.checkpoint();
        // Names that are not durable have the most ways to be lost.
        let is_of_names = disk.calls()[full as usize].kind == CallKind::SyncDir;
        let most = if is_of_names { 64 } else { 8 };
        gave_up += u32::from(removal_count(&disk) > usual);
        let state = digest(&db);
        drop(db);
        for point in disk.crash_points().filter(|point| point.before() > full) {
            for survival in point.survivals(most, full) {
                let disk = point.disk(survival);
                let place =
                    format!("call {full} failed, off before {}, {survival:?}", point.before());
                let db = options().disk(disk.shared()).open("");
                let db = db.unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_eq!(digest(&db), state, "{place}");
            }
        }
    }
    assert!(gave_up > 0, "no failure made room");
}

/// What became of a workload on a disk that is full, or becomes so.
#[derive(Default)]
struct Filled {
    db: Option<Database>,
    /// Keys whose transaction returned.
    kept: BTreeSet<u32>,
    /// Keys whose transaction may be in the log.
    unsure: BTreeSet<u32>,
    errors: Vec<Error>,
}

fn keys(db: &Database) -> BTreeSet<u32> {
    let view = db.view();
    let keys = view.on::<KvStore>().iter();
    keys.map(|(key, _)| u32::from_be_bytes(key.as_ref().try_into().unwrap())).collect()
}

fn filled(disk: &SimDisk, durability: Durability) -> Filled {
    let mut filled = Filled::default();
    let db = match options().durability(durability).disk(disk.shared()).open("") {
        Ok(db) => db,
        Err(error) => {
            filled.errors.push(error);
            return filled;
        }
    };
    filled.kept = keys(&db);
    // Three segments, a checkpoint in two.
    for key in 1000..1052_u32 {
        let put = db.transaction(|tx| tx.on::<KvStore>().put(&key.to_be_bytes(), &[7; 400]));
        match put {
            Ok(_) => drop(filled.kept.insert(key)),
            Err(error) => {
                if matches!(error, Error::DurabilityUnknown { .. }) {
                    filled.unsure.insert(key);
                }
                filled.errors.push(error);
                assert_eq!(keys(&db), filled.kept, "what was refused is not shown");
            }
        }
        if key % 25 == 24 {
            filled.errors.extend(db.checkpoint().err());
        }
    }
    assert_eq!(keys(&db), filled.kept);
    filled.db = Some(db);
    filled
}

/// A new disk, and one with a snapshot and a process that was killed.
fn fillable() -> [SimDisk; 2] {
    let disk = SimDisk::new(11);
    let db = options().disk(disk.shared()).open("").unwrap();
    put_range(&db, 0..30);
    db.checkpoint().unwrap();
    put_range(&db, 30..40);
    std::mem::forget(db);
    [SimDisk::new(12), disk.after_kill()]
}

const BUFFERED: Durability = Durability::Buffered { sync_every: Duration::from_secs(3600) };

#[test]
fn a_disk_that_is_full_at_any_byte_refuses_for_want_of_space_and_loses_nothing() {
    for (start, durability) in fillable().iter().flat_map(|start| {
        [Durability::Strict, BUFFERED].map(|durability| (start.after_kill(), durability))
    }) {
        let whole = filled(&start.after_kill(), durability);
        assert!(whole.errors.is_empty(), "{:?}", whole.errors);
        let (mut limit, mut refusals) = (0, 0);
        loop {
            let disk = start.after_kill();
            disk.limit_space(limit);
            let Filled { db, kept, errors, .. } = filled(&disk, durability);
            for error in &errors {
                let is_refusal = matches!(error, Error::NoSpace { .. } | Error::ReadOnly { .. });
                assert!(is_refusal, "{limit} bytes, {durability:?}: {error}");
            }
            refusals += errors.len();
            // As full as it was, another process shows the same.
            let killed = disk.after_kill();
            killed.limit_space(limit);
            match options().disk(killed.shared()).on_warning(|_, _| {}).open("") {
                Ok(db) => assert_eq!(keys(&db), kept, "{limit} bytes, opened while full"),
                Err(error) => {
                    let is_new = db.is_none() && matches!(error, Error::NoSpace { .. });
                    assert!(is_new, "{limit} bytes, opened while full: {error}");
                }
            }
            // With space the same process goes on, unless it could only read, and nothing is lost.
            disk.heal();
            let is_read_only = errors.iter().any(|error| matches!(error, Error::ReadOnly { .. }));
            if let Some(db) = db
                && !is_read_only
            {
                db.transaction(|tx| tx.on::<KvStore>().put(&9000_u32.to_be_bytes(), b"")).unwrap();
                db.close().unwrap();
                let db = options().disk(disk.after_crash(Survival::Nothing).shared()).open("");
                let mut kept = kept;
                kept.insert(9000);
                assert_eq!(keys(&db.unwrap()), kept, "{limit} bytes, then enough");
            }
            if errors.is_empty() {
                break;
            }
            limit += 211;
        }
        assert!(refusals > 500, "only {refusals} refusals");
        println!("{durability:?}: {refusals} refusals below {limit} bytes");
    }
}

#[test]
fn a_write_that_is_short_is_gone_on_with_and_one_that_cannot_be_leaves_what_was_acknowledged() {
    let [_, start] = fillable();
    for durability in [Durability::Strict, BUFFERED] {
        let disk = start.after_kill();
        let whole = filled(&disk, durability);
        let mut refusals = 0;
        for (number, call) in (0..).zip(disk.calls()) {
            if call.kind != CallKind::Write {
                continue;
            }
            let bytes = (call.range.end - call.range.start) as usize;
            for short in BTreeSet::from([1, bytes / 2, bytes - 1]) {
                if short == 0 || short == bytes {
                    continue;
                }
                let place = format!("{durability:?}, {short} bytes of call {number} {call}");
                let disk = start.after_kill();
                disk.shorten_write(number, short);
                let went_on = filled(&disk, durability);
                assert!(went_on.errors.is_empty(), "{place}: {:?}", went_on.errors);
                assert_eq!(went_on.kept, whole.kept, "{place}");

                // The rest finds no space, once.
                let disk = start.after_kill();
                disk.shorten_write(number, short);
                disk.fail_call(number + 1, std::io::ErrorKind::StorageFull);
                let Filled { db, kept, unsure, errors } = filled(&disk, durability);
                refusals += errors.len();
                for error in &errors {
                    let is_refusal =
                        matches!(error, Error::NoSpace { .. } | Error::ReadOnly { .. });
                    // A file of the log has its space; without it there all is unknown.
                    let is_poisoning =
                        matches!(error, Error::DurabilityUnknown { .. } | Error::Poisoned);
                    let may_poison = call.path.starts_with("wal");
                    assert!(is_refusal || is_poisoning && may_poison, "{place}: {error}");
                }
                // Closing would write over what was left.
                let killed = disk.after_kill();
                drop(db);
                let db = options().disk(killed.shared()).on_warning(|_, _| {}).open("");
                let db = db.unwrap_or_else(|error| panic!("{place}: {error}"));
                let found = keys(&db);
                // Of an opening that found no space, half a footer may be left.
                let was_served =
                    !errors.iter().any(|error| matches!(error, Error::ReadOnly { .. }));
                let has_cut = db.recovery_report().cut.is_some();
                let may_cut = !was_served || !unsure.is_empty();
                assert!(may_cut || !has_cut, "{place}: what was refused was cut");
                let more: BTreeSet<_> = found.difference(&kept).copied().collect();
                assert!(found.is_superset(&kept) && more.is_subset(&unsure), "{place}: {more:?}");
            }
        }
        assert!(refusals > 0, "no short write was followed by a refusal");
    }
}

#[test]
fn a_checkpoint_whichever_call_of_it_failed_can_be_made_again() {
    let prepare = || {
        let disk = SimDisk::new(11);
        let db = options().disk(disk.shared()).segment_bytes(4 << 10).open("").unwrap();
        let run = db.create_run("run").unwrap();
        for round in 0..3 {
            for step in 0..60_u32 {
                let key = (round * 60 + step).to_be_bytes();
                db.run(run).transaction(|tx| tx.on::<KvStore>().put(&key, &[7; 100])).unwrap();
            }
            if round < 2 {
                db.checkpoint().unwrap();
            }
        }
        (disk, db, run)
    };
    let (disk, db, _) = prepare();
    let first = disk.call_count();
    assert!(db.checkpoint().unwrap().segments_removed > 1);
    let (end, mut failed) = (disk.call_count(), 0);
    for call in first..end {
        let (disk, db, run) = prepare();
        disk.fail_call(call, std::io::ErrorKind::PermissionDenied);
        failed += u32::from(db.checkpoint().is_err());
        match db.run(run).transaction(|tx| tx.on::<KvStore>().put(b"on", b"")) {
            Ok(_) => {}
            // A sync of the log failed.
            Err(Error::Poisoned) => continue,
            Err(error) => panic!("call {call}: {error}"),
        }
        db.checkpoint().unwrap_or_else(|error| panic!("after call {call} failed: {error}"));
        let replay = db.replay_run(run).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let live = db.view().run(run).unwrap().digest().unwrap();
        assert_eq!(replay.view().unwrap().digest().unwrap(), live, "call {call}");
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn a_copy_made_while_others_write_holds_everything_that_was_synced_before() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("db");
    let db = options().open(&path).unwrap();
    let (written, is_done) = (AtomicU64::new(0), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut key = 0_u32;
            // Not for ever, should the other thread fail.
            while !is_done.load(Ordering::Relaxed) && key < 20_000 {
                put_range(&db, key..key + 1);
                key += 1;
                written.store(key.into(), Ordering::Release);
                if key.is_multiple_of(100) {
                    db.checkpoint().unwrap();
                }
            }
        });
        for round in 0..12 {
            // A little further each time, and with something from the first time on.
            while written.load(Ordering::Acquire) < round * 40 + 1 {
                std::thread::yield_now();
            }
            let copy = place.path().join(format!("copy {round}"));
            let acknowledged = written.load(Ordering::Acquire);
            let report = freehold::backup(&path, &copy).unwrap();
            let view = freehold::inspect(&copy).unwrap();
            let kept = view.on::<KvStore>().len() as u64;
            assert!(kept >= acknowledged, "{kept} of {acknowledged}");
            assert_eq!(view.lsn(), report.last_lsn);
            let keys = view.on::<KvStore>().iter().map(|(key, _)| key.to_vec());
            assert!(keys.eq((0..kept as u32).map(|key| key.to_be_bytes().to_vec())), "a prefix");
            let again = freehold::backup(&path, &copy).unwrap_err();
            assert!(matches!(again, Error::NotEmpty { .. }), "{again}");
        }
        is_done.store(true, Ordering::Relaxed);
    });
    db.close().unwrap();
    // A copy is a database like any other.
    let copy = place.path().join("copy 11");
    let restored = options().open(&copy).unwrap();
    put_range(&restored, 900_000..900_001);
    assert!(!place.path().join("copy 11.part").exists());
}

#[test]
fn a_damaged_database_has_a_way_on_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = options().open(&path).unwrap();
    put_range(&db, 0..200);
    db.checkpoint().unwrap();
    put_range(&db, 200..400);
    drop(db);
    let comparison = freehold::compare_replay(&path).unwrap().unwrap();
    assert_eq!(comparison.snapshot_lsn, Lsn(200));
    assert!(comparison.only_in_snapshot.is_empty() && comparison.only_in_replay.is_empty());

    let last = files(&path, "wal", ".wal").pop().unwrap();
    flip(&last, fs::read(&last).unwrap().len() / 2);
    let refused = Database::open(&path).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    let (view, report) = freehold::salvage(&path).unwrap();
    assert!(report.stopped_at.is_some());
    let into = directory.path().join("new");
    let lsn = freehold::stop_before(&path, view.lsn().next(), &into).unwrap();
    assert_eq!(lsn, view.lsn());
    let db = options().open(&into).unwrap();
    assert_eq!(digest(&db), view.digest().unwrap());
    assert_eq!(db.view().lsn(), lsn);
    put_range(&db, 1000..1001);
    assert_eq!(db.view().lsn(), lsn.next(), "the LSNs go on");
    assert!(Database::open(&path).is_err(), "the damaged one is as it was");
    let again = freehold::stop_before(&path, lsn, &into).unwrap_err();
    assert!(matches!(again, Error::NotEmpty { .. }), "{again}");
    let far = freehold::stop_before(&path, Lsn(9999), directory.path().join("other")).unwrap_err();
    assert!(matches!(far, Error::NoLsn { .. } | Error::Corrupt { .. }), "{far}");
    assert!(!directory.path().join("other").exists());
}

#[test]
fn what_is_made_elsewhere_never_takes_what_is_somebodys() {
    let directory = tempfile::tempdir().unwrap();
    // A database whose name is that of what is being made beside another one.
    let (path, into) = (directory.path().join("x.part"), directory.path().join("x"));
    let db = options().open(&path).unwrap();
    put_range(&db, 0..20);
    let state = digest(&db);
    let refused = freehold::backup(&path, &into).unwrap_err();
    assert!(matches!(&refused, Error::NotEmpty { path: found } if **found == *path), "{refused}");
    drop(db);
    let refused = freehold::stop_before(&path, Lsn(5), &into).unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
    assert_eq!(freehold::inspect(&path).unwrap().digest().unwrap(), state, "it is as it was");

    let (from, movie) = (directory.path().join("from"), directory.path().join("movie"));
    let db = options().open(&from).unwrap();
    put_range(&db, 0..20);
    fs::create_dir(directory.path().join("movie.part")).unwrap();
    fs::write(directory.path().join("movie.part/scene"), "mine").unwrap();
    assert!(matches!(freehold::backup(&from, &movie), Err(Error::NotEmpty { .. })));
    assert_eq!(fs::read(directory.path().join("movie.part/scene")).unwrap(), b"mine");

    // What an earlier copy left unfinished is told by its mark, and used again.
    fs::write(directory.path().join("movie.part/UNFINISHED"), "").unwrap();
    fs::create_dir(directory.path().join("movie.part/wal")).unwrap();
    fs::write(directory.path().join("movie.part/wal/000009.wal"), "half").unwrap();
    fs::remove_file(directory.path().join("movie.part/scene")).unwrap();
    freehold::backup(&from, &movie).unwrap();
    assert!(!directory.path().join("movie.part").exists() && !movie.join("UNFINISHED").exists());
    assert_eq!(freehold::inspect(&movie).unwrap().digest().unwrap(), digest(&db));
    assert!(matches!(freehold::stop_before(&from, Lsn(0), &into), Err(Error::NoLsn { .. })));
}

#[test]
fn damage_below_the_newest_snapshot_is_told_and_keeps_no_database_from_being_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = options().open(&path).unwrap();
    let run = db.create_run("run").unwrap();
    for round in 0..2 {
        put_range(&db, round * 30..round * 30 + 30);
        db.run(run).transaction(|tx| tx.on::<KvStore>().put(b"key", b"value")).unwrap();
        db.checkpoint().unwrap();
    }
    put_range(&db, 60..62);
    let state = digest(&db);
    drop(db);
    let segments = files(&path, "wal", ".wal");
    let [covered, last] = &segments[..] else { panic!("{segments:?}") };
    let sound = freehold::verify(&path).unwrap();
    assert!(sound.damaged_segments.is_empty(), "{sound}");
    // As opening counts them: the one that the snapshot covers is no part of what is replayed.
    assert_eq!((sound.segments, sound.records), (1, 2));
    assert_eq!(sound.wal_bytes_since_snapshot, fs::metadata(last).unwrap().len());

    flip(covered, fs::read(covered).unwrap().len() / 2);
    let told = freehold::verify(&path).unwrap();
    assert_eq!(told.damaged_segments.len(), 1, "{told}");
    let name = covered.file_name().unwrap().to_str().unwrap();
    assert!(told.damaged_segments[0].contains(name), "{told}");
    let into = directory.path().join("copy");
    let copied = freehold::backup(&path, &into).unwrap();
    assert_eq!(copied.damaged_segments, told.damaged_segments);
    assert_eq!(freehold::inspect(&into).unwrap().digest().unwrap(), state);

    // What runs did in it cannot be kept, so it is not removed.
    let db = options().checkpoint_on_close(true).open(&path).unwrap();
    assert_eq!(digest(&db), state);
    put_range(&db, 62..63);
    for _ in 0..2 {
        let refused = db.checkpoint().unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    }
    put_range(&db, 63..64);
    let state = digest(&db);
    assert!(matches!(db.close(), Err(Error::Corrupt { .. })));
    assert!(covered.exists());
    // The way on gives histories up.
    let db = options().history(History::Wal).open(&path).unwrap();
    assert_eq!(digest(&db), state);
    for (key, is_there) in [(64, true), (65, false)] {
        put_range(&db, key..key + 1);
        db.checkpoint().unwrap();
        assert_eq!(covered.exists(), is_there);
    }
    db.close().unwrap();
    let db = options().open(&path).unwrap();
    put_range(&db, 66..67);
    db.close().unwrap();
}

#[test]
fn what_opening_passes_over_or_cuts_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().open(directory.path()).unwrap();
    put_range(&db, 0..20);
    let crashed = copy(directory.path());
    drop(db);
    let last = files(crashed.path(), "wal", ".wal").pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 64;
    bytes[end] = 7;
    fs::write(&last, bytes).unwrap();
    let report = options().open(crashed.path()).unwrap().recovery_report().clone();
    assert!(report.cut.is_some(), "{report}");
    let warnings: Vec<String> = report.warnings().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("cut, copied to quarantine/"), "{warnings:?}");

    let mut report = options().open(directory.path()).unwrap().recovery_report().clone();
    assert_eq!(report.warnings().count(), 0, "{report}");
    report.damaged_segments.push("wal/000001.wal: what is wrong".into());
    let warnings: Vec<String> = report.warnings().collect();
    assert_eq!(warnings, ["segment not needed and damaged: wal/000001.wal: what is wrong"]);
}
