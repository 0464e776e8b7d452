//! The four primitives that ship with freehold, through a database, as a program uses them.
//!
//! - After each step the database is opened twice more: after a crash, which replays the log, and
//!   after a clean close, which loads a snapshot. The state, its indexes included, must be the one
//!   that the operations made.
//! - Everything random comes from `FREEHOLD_SEED`, or from the seed in the test.

#![cfg(all(feature = "full", feature = "testing"))]

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;

use freehold::prelude::*;
use freehold::primitives::{
    EventLog, Expected, KvStore, NotJson, Payload, RunCounts, RunError, RunIndex, RunOutcome,
    RunStatus, StateCell, StateError,
};
use freehold::testing::{Random, SimDisk, Survival, TestClock};

/// A database on a simulated disk, and a clock that goes on by a second at every look.
struct Machine {
    disk: SimDisk,
    clock: TestClock,
    db: Database,
}

impl Machine {
    fn new() -> Machine {
        let disk = SimDisk::new(1);
        let clock = TestClock::ticking(Timestamp(1_000_000_000), 1_000_000_000);
        let db = open(&disk, &clock);
        Machine { disk, clock, db }
    }

    /// The power fails; nothing that was not synced survives.
    fn crash(&mut self) {
        self.disk = self.disk.after_crash(Survival::Nothing);
        self.db = open(&self.disk, &self.clock);
    }

    /// A clean close, which makes a snapshot, and another opening.
    fn close(&mut self) {
        self.db.close().unwrap();
        self.db = open(&self.disk, &self.clock);
    }

    /// One transaction, after which redo must equal do.
    #[track_caller]
    fn commit<T>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> T {
        let value = self.db.transaction(body).unwrap();
        let done = state(&self.db);
        self.crash();
        assert_eq!(state(&self.db), done, "replayed from the log");
        self.close();
        assert_eq!(state(&self.db), done, "loaded from a snapshot");
        value
    }

    /// One operation that must be refused with `expected` and change nothing, alone and between
    /// two that succeed.
    #[track_caller]
    fn refused<E, T>(&mut self, expected: E, operation: impl Fn(&mut Transaction<'_>) -> Result<T>)
    where
        E: StdError + PartialEq + 'static,
        T: Debug,
    {
        let before = state(&self.db);
        let error = self.db.transaction(&operation).unwrap_err();
        assert_eq!(error.rejected::<E>(), Some(&expected), "{error}");
        assert_eq!(state(&self.db), before, "a rejected operation changed something");

        self.db
            .transaction(|tx| {
                tx.on::<KvStore>().put(b"between", b"1")?;
                let error = operation(tx).unwrap_err();
                assert_eq!(error.rejected::<E>(), Some(&expected), "{error}");
                tx.on::<KvStore>().delete(b"between")
            })
            .unwrap();
        assert_eq!(state(&self.db), before, "a rejected operation changed something");
        self.crash();
        assert_eq!(state(&self.db), before, "a rejected operation was logged");
    }
}

fn open(disk: &SimDisk, clock: &TestClock) -> Database {
    Options::new()
        .disk(Arc::new(disk.clone()))
        .clock(clock.reader())
        .segment_bytes(64 << 10)
        .open("")
        .unwrap()
}

/// Everything the four primitives hold, their indexes included.
fn state(db: &Database) -> String {
    let view = db.view();
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}",
        view.on::<KvStore>(),
        view.on::<EventLog>(),
        view.on::<StateCell>(),
        view.on::<RunIndex>(),
    )
}

fn owned<'a>(pairs: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

// KvStore

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

// EventLog

fn sequences<'a>(events: impl Iterator<Item = &'a freehold::primitives::Event>) -> Vec<u64> {
    events.map(freehold::primitives::Event::sequence).collect()
}

#[test]
fn each_stream_is_numbered_from_0_without_gaps() {
    let mut machine = Machine::new();
    let append = |tx: &mut Transaction<'_>, stream: &str| {
        tx.on::<EventLog>().append(stream, "step", Payload::bytes(stream))
    };
    assert_eq!(machine.commit(|tx| append(tx, "b")), 0);
    assert_eq!(machine.commit(|tx| append(tx, "a")), 0);
    assert_eq!(machine.commit(|tx| append(tx, "b")), 1);
    let both = machine.commit(|tx| Ok((append(tx, "a")?, append(tx, "a")?)));
    assert_eq!(both, (1, 2));

    // A transaction that is given up takes its numbers back.
    let error = machine.db.transaction(|tx| -> Result<()> {
        assert_eq!(append(tx, "b")?, 2);
        assert_eq!(append(tx, "new")?, 0);
        Err(Error::abort("given up"))
    });
    assert!(matches!(error, Err(Error::Aborted(_))));
    assert_eq!(machine.commit(|tx| append(tx, "b")), 2);

    let view = machine.db.view();
    let events = view.on::<EventLog>();
    assert_eq!(events.streams().collect::<Vec<_>>(), [("a", 3), ("b", 3)]);
    assert_eq!(events.len(), 6);
    assert_eq!((events.stream_len("a"), events.stream_len("new")), (3, 0));
    assert_eq!(events.get("a", 2).unwrap().payload().as_bytes(), b"a");
    assert!(events.get("a", 3).is_none() && events.get("new", 0).is_none());
}

#[test]
fn an_event_has_the_time_and_the_lsn_of_its_transaction() {
    let mut machine = Machine::new();
    let (lsn, timestamp) = machine.commit(|tx| {
        tx.on::<EventLog>().append("s", "one", Payload::bytes(""))?;
        tx.on::<EventLog>().append("s", "two", Payload::bytes(""))?;
        Ok((tx.lsn(), tx.timestamp()))
    });
    machine.clock.set(Timestamp(0));
    machine.commit(|tx| tx.on::<EventLog>().append("s", "three", Payload::bytes("")));
    let view = machine.db.view();
    let events: Vec<_> = view.on::<EventLog>().range("s", ..).collect();
    assert_eq!(
        events.iter().map(|event| event.event_type()).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    assert_eq!(events[0].lsn(), lsn);
    assert_eq!(events[1].timestamp(), timestamp);
    assert_eq!(events[2].lsn(), lsn.next());
    assert_eq!(events[2].timestamp(), timestamp, "time does not go back with the clock");
}

#[test]
fn a_stream_is_read_from_both_ends_and_in_part() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        for _ in 0..300 {
            tx.on::<EventLog>().append("s", "t", Payload::bytes(""))?;
            tx.on::<EventLog>().append("r", "t", Payload::bytes(""))?;
        }
        tx.on::<EventLog>().append("t", "t", Payload::bytes(""))
    });
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    let all: Vec<u64> = (0..300).collect();
    assert_eq!(sequences(events.range("s", ..)), all);
    assert_eq!(sequences(events.range("s", ..).rev()), all.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(sequences(events.range("s", 7..10)), [7, 8, 9]);
    assert_eq!(sequences(events.range("s", 7..=10).rev()), [10, 9, 8, 7]);
    assert_eq!(sequences(events.range("s", 298..)), [298, 299]);
    assert_eq!(sequences(events.range("s", 298..=u64::MAX)), [298, 299]);
    let open = (Bound::Excluded(297), Bound::Excluded(299));
    assert_eq!(sequences(events.range("s", open)), [298]);
    assert_eq!(sequences(events.tail("s", 3)), [297, 298, 299]);
    assert_eq!(sequences(events.tail("s", 3).rev()), [299, 298, 297]);
    assert_eq!(events.tail("s", u64::MAX).count(), 300);
    assert_eq!(events.tail("s", 0).count(), 0);
    #[expect(clippy::reversed_empty_ranges, reason = "it must hold nothing, and not panic")]
    let reversed = 10..7;
    assert_eq!(events.range("s", reversed).count(), 0);
    assert_eq!(events.range("s", 300..).count(), 0);
    assert_eq!(events.range("s", (Bound::Excluded(u64::MAX), Bound::Unbounded)).count(), 0);
    assert_eq!(events.range("nobody", ..).count(), 0);
    assert_eq!(events.tail("nobody", 9).count(), 0);
}

#[test]
fn a_payload_comes_back_byte_for_byte() {
    let mut machine = Machine::new();
    let texts = ["{ \"b\":1.0, \"a\" :1e2,\n\"a\":\"\\u00e9é\" }", "null", " [] "];
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    machine.commit(|tx| {
        for text in texts {
            let payload = Payload::json(text).map_err(Error::abort)?;
            tx.on::<EventLog>().append("s", "json", payload)?;
        }
        tx.on::<EventLog>().append("s", "bytes", Payload::bytes(&bytes))
    });
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    for (sequence, text) in (0..).zip(texts) {
        assert_eq!(events.get("s", sequence).unwrap().payload().as_json(), Some(text));
    }
    let last = events.tail("s", 1).next().unwrap();
    assert_eq!(last.payload().as_bytes(), bytes);
    assert_eq!(last.payload().as_json(), None);
}

#[test]
fn text_that_is_not_json_is_no_json_payload() {
    let error = Payload::json("{\"a\": }").unwrap_err();
    assert_eq!(error, NotJson { offset: 6, expected: "a value" });
    assert_eq!(error.to_string(), "JSON at byte 6: expected a value");
}

// StateCell

#[test]
fn a_cell_is_made_set_and_changed_by_what_was_expected() {
    let mut machine = Machine::new();
    let cell = |machine: &Machine| {
        let view = machine.db.view();
        let cell = view.on::<StateCell>().get("cell").unwrap();
        (cell.value().to_vec(), cell.version(), cell.lsn(), cell.timestamp())
    };
    let written = |tx: &mut Transaction<'_>| (tx.lsn(), tx.timestamp());

    let (lsn, timestamp) = machine.commit(|tx| {
        tx.on::<StateCell>().init("cell", b"one")?;
        Ok(written(tx))
    });
    assert_eq!(cell(&machine), (b"one".to_vec(), 1, lsn, timestamp));

    let version = machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));
    assert_eq!(version, 2);
    let version = machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));
    assert_eq!(version, 3, "setting what is there is a change");

    let (version, lsn, timestamp) = machine.commit(|tx| {
        let version = tx.on::<StateCell>().transition("cell", Expected::value("two"), b"three")?;
        Ok((version, tx.lsn(), tx.timestamp()))
    });
    assert_eq!(version, 4);
    assert_eq!(cell(&machine), (b"three".to_vec(), 4, lsn, timestamp));

    let version =
        machine.commit(|tx| tx.on::<StateCell>().transition("cell", Expected::version(4), b"four"));
    assert_eq!(version, 5);

    // Setting a cell that is not there makes it.
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().set("another", b"")), 1);
    let view = machine.db.view();
    let cells = view.on::<StateCell>();
    assert_eq!(cells.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["another", "cell"]);
    assert_eq!((cells.len(), cells.is_empty()), (2, false));
    assert!(cells.get("nobody").is_none());
}

#[test]
fn a_cell_that_is_not_as_expected_stays_as_it_is() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<StateCell>().init("cell", b"one"));
    machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));

    let name = || Box::<str>::from("cell");
    machine.refused(StateError::Exists { name: name(), version: 2 }, |tx| {
        tx.on::<StateCell>().init("cell", b"two")
    });
    machine.refused(StateError::OtherValue { name: name(), version: 2 }, |tx| {
        tx.on::<StateCell>().transition("cell", Expected::value("one"), b"three")
    });
    let expected = StateError::OtherVersion { name: name(), found: 2, expected: 1 };
    assert_eq!(expected.to_string(), "cell cell: version is 2, expected 1");
    machine.refused(expected, |tx| {
        tx.on::<StateCell>().transition("cell", Expected::version(1), b"three")
    });
    machine.refused(StateError::Absent { name: "nobody".into() }, |tx| {
        tx.on::<StateCell>().transition("nobody", Expected::value(""), b"three")
    });
    machine.refused(StateError::Absent { name: "nobody".into() }, |tx| {
        tx.on::<StateCell>().transition("nobody", Expected::version(0), b"three")
    });
}

// RunIndex

const STATUSES: [RunStatus; 5] = [
    RunStatus::Created,
    RunStatus::Running,
    RunStatus::Completed,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

/// Puts `run` into the index and leads it to `status`.
fn lead_to(
    index: &mut <RunIndex as PrimitiveStorageExt>::Handle<'_>,
    run: RunId,
    status: RunStatus,
) -> Result<()> {
    index.create(run, &format!("run {run}"))?;
    let outcome = match status {
        RunStatus::Created => return Ok(()),
        RunStatus::Running => return index.begin(run),
        RunStatus::Completed => RunOutcome::Completed,
        RunStatus::Failed => RunOutcome::Failed,
        RunStatus::Cancelled => RunOutcome::Cancelled,
    };
    index.begin(run)?;
    index.end(run, outcome)
}

#[test]
fn a_run_goes_the_allowed_ways_and_no_others() {
    let mut machine = Machine::new();
    let mut run = RunId(0);
    for status in STATUSES {
        for (name, step) in [
            ("begin", None),
            ("complete", Some(RunOutcome::Completed)),
            ("fail", Some(RunOutcome::Failed)),
            ("cancel", Some(RunOutcome::Cancelled)),
        ] {
            run = RunId(run.0 + 1);
            machine.commit(|tx| lead_to(&mut tx.on::<RunIndex>(), run, status));
            let operation = |tx: &mut Transaction<'_>| match step {
                None => tx.on::<RunIndex>().begin(run),
                Some(outcome) => tx.on::<RunIndex>().end(run, outcome),
            };
            let goes_to = match (status, step) {
                (RunStatus::Created, None) => Ok(RunStatus::Running),
                (RunStatus::Created, Some(RunOutcome::Cancelled)) => Ok(RunStatus::Cancelled),
                (RunStatus::Running, Some(outcome)) => Ok(outcome.into()),
                (_, None) => Err("created"),
                (_, Some(_)) => Err("running"),
            };
            match goes_to {
                Ok(after) => {
                    machine.commit(operation);
                    let view = machine.db.view();
                    let found = view.on::<RunIndex>().get(run).unwrap().status();
                    assert_eq!(found, after, "{status}, {name}");
                }
                Err(expected) => {
                    machine
                        .refused(RunError::NotAllowed { run, found: status, expected }, operation);
                }
            }
            machine.refused(RunError::Exists { run, status: goes_to.unwrap_or(status) }, |tx| {
                tx.on::<RunIndex>().create(run, "again")
            });
        }
    }
    assert_counted(&machine.db);
}

/// The counts are those of the runs, one by one.
fn assert_counted(db: &Database) {
    let view = db.view();
    let index = view.on::<RunIndex>();
    let count = |status| index.iter().filter(|(_, run)| run.status() == status).count() as u64;
    assert_eq!(
        index.counts(),
        RunCounts {
            created: count(RunStatus::Created),
            running: count(RunStatus::Running),
            completed: count(RunStatus::Completed),
            failed: count(RunStatus::Failed),
            cancelled: count(RunStatus::Cancelled),
        }
    );
    for status in STATUSES {
        assert_eq!(index.counts().of_status(status), count(status));
    }
}

#[test]
fn a_run_that_is_not_in_the_index_cannot_change() {
    let mut machine = Machine::new();
    let run = RunId(3);
    machine.refused(RunError::Absent { run }, |tx| tx.on::<RunIndex>().begin(run));
    machine.refused(RunError::Absent { run }, |tx| {
        tx.on::<RunIndex>().end(run, RunOutcome::Cancelled)
    });
    machine.refused(RunError::Absent { run }, |tx| {
        tx.on::<RunIndex>().update(run, "key", Some("value"))
    });
}

#[test]
fn metadata_is_set_replaced_and_removed_also_after_the_end() {
    let mut machine = Machine::new();
    let run = machine.commit(|tx| {
        let run = tx.create_run("r")?;
        let mut index = tx.on::<RunIndex>();
        index.create(run, "shown name")?;
        index.update(run, "model", Some("small"))?;
        index.update(run, "model", Some("large"))?;
        index.update(run, "draft", Some("yes"))?;
        Ok(run)
    });
    machine.commit(|tx| tx.on::<RunIndex>().begin(run));
    machine.commit(|tx| tx.on::<RunIndex>().end(run, RunOutcome::Failed));
    machine.commit(|tx| tx.on::<RunIndex>().update(run, "draft", None));
    machine.commit(|tx| tx.on::<RunIndex>().update(run, "reward", Some("0.0")));
    let view = machine.db.view();
    let run = view.on::<RunIndex>().get(run).unwrap();
    assert_eq!(run.name(), "shown name");
    let metadata: Vec<_> = run.metadata().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(metadata, [("model", "large"), ("reward", "0.0")]);
    assert!(run.created() < run.begun().unwrap());
    assert!(run.begun() < run.ended());
    assert!(run.ended().unwrap() < run.changed());
    assert_eq!(run.changed_lsn(), view.lsn());
}

#[test]
fn a_crash_leaves_the_runs_that_nobody_touched_since_orphaned() {
    let mut machine = Machine::new();
    for (run, status) in (1..).map(RunId).zip(STATUSES) {
        machine.db.transaction(|tx| lead_to(&mut tx.on::<RunIndex>(), run, status)).unwrap();
    }
    let (resumed, left) = (RunId(7), RunId(8));
    for run in [resumed, left] {
        let lead =
            |tx: &mut Transaction<'_>| lead_to(&mut tx.on::<RunIndex>(), run, RunStatus::Running);
        machine.db.transaction(lead).unwrap();
    }
    let orphaned = |machine: &Machine, before: Lsn| {
        let view = machine.db.view();
        view.on::<RunIndex>().orphaned(before).map(|(run, _)| run).collect::<Vec<_>>()
    };

    machine.crash();
    let recovered = machine.db.view().lsn();
    assert_eq!(orphaned(&machine, recovered), [RunId(2), resumed, left]);

    // Begun by this program, taken up again by it, or ended by it: not orphaned.
    machine.commit(|tx| lead_to(&mut tx.on::<RunIndex>(), RunId(9), RunStatus::Running));
    machine.commit(|tx| tx.on::<RunIndex>().update(resumed, "attempt", Some("2")));
    machine.commit(|tx| tx.on::<RunIndex>().end(RunId(2), RunOutcome::Failed));
    assert_eq!(orphaned(&machine, recovered), [left]);
    assert_counted(&machine.db);

    // And after the next crash they are again.
    machine.crash();
    let recovered = machine.db.view().lsn();
    assert_eq!(orphaned(&machine, recovered), [resumed, left, RunId(9)]);
    assert_eq!(orphaned(&machine, Lsn::ZERO), []);
}

// All four

#[test]
fn a_transaction_given_up_leaves_no_trace_in_any_of_the_four() {
    let mut machine = Machine::new();
    let change = |tx: &mut Transaction<'_>, round: u64| {
        for n in 0..250 {
            tx.on::<KvStore>().put(format!("{round}/{n}").as_bytes(), b"value")?;
            tx.on::<EventLog>().append("stream", "step", Payload::bytes([]))?;
            tx.on::<StateCell>().set("cell", n.to_string().as_bytes())?;
            let run = RunId(round * 1000 + n);
            lead_to(&mut tx.on::<RunIndex>(), run, STATUSES[n as usize % STATUSES.len()])?;
        }
        Ok(())
    };
    machine.commit(|tx| change(tx, 1));
    let before = state(&machine.db);

    let given_up = machine.db.transaction(|tx| -> Result<()> {
        change(tx, 2)?;
        Err(Error::abort("given up"))
    });
    assert!(matches!(given_up, Err(Error::Aborted(_))));
    assert_eq!(state(&machine.db), before);

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        machine.db.transaction(|tx| -> Result<()> {
            change(tx, 2)?;
            panic!("the program's own mistake");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(state(&machine.db), before);

    machine.crash();
    assert_eq!(state(&machine.db), before);
    machine.commit(|tx| change(tx, 2));
}

#[test]
fn each_run_has_its_own_instances() {
    let mut machine = Machine::new();
    let (one, two) = machine.commit(|tx| {
        let (one, two) = (tx.create_run("one")?, tx.create_run("two")?);
        for run in [one, two] {
            let mut run = tx.run(run)?;
            run.on::<KvStore>().put(b"key", b"value")?;
            run.on::<EventLog>().append("steps", "begun", Payload::bytes([]))?;
            run.on::<StateCell>().init("cell", b"value")?;
        }
        tx.run(two)?.on::<EventLog>().append("steps", "ended", Payload::bytes([]))?;
        Ok((one, two))
    });
    let view = machine.db.view();
    assert!(view.on::<KvStore>().is_empty() && view.on::<EventLog>().is_empty());
    assert_eq!(view.run(one).unwrap().on::<EventLog>().stream_len("steps"), 1);
    assert_eq!(view.run(two).unwrap().on::<EventLog>().stream_len("steps"), 2);
    assert_eq!(view.run(two).unwrap().on::<StateCell>().len(), 1);
}
