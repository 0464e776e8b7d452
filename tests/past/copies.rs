//! Runs on their way elsewhere: bundles, and forks of what was.

use freehold::primitives::{Json, Payload};
use freehold::{Error, Lsn, Replay};

use super::*;

/// A run with several primitives, whose operations keep the times and places that they are told.
fn agent(db: &Database, name: &str) -> RunId {
    let run = db.create_run(name).unwrap();
    for step in 0..20_u32 {
        db.run(run)
            .transaction(|tx| {
                tx.on::<KvStore>().put(b"step", &step.to_le_bytes())?;
                tx.on::<EventLog>().append(
                    "thoughts",
                    "thought",
                    Payload::Bytes(b"...".as_slice().into()),
                )?;
                let value = Json::parse(&format!("[{step}]")).unwrap();
                tx.on::<JsonStore>().put(&format!("doc {}", step % 3), &value).map(drop)
            })
            .unwrap();
        db.transaction(|tx| tx.on::<KvStore>().put(b"root", &step.to_le_bytes())).unwrap();
    }
    run
}

#[test]
fn a_run_is_the_same_in_another_database_and_replays_the_same_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = open(here.path());
    let parent = agent(&db, "agent");
    let run = db.fork(parent, "fork").unwrap();
    put(&db, run, "own", "1");
    db.checkpoint().unwrap();
    put(&db, run, "own", "2");
    let file = here.path().join("run.bundle");
    db.export_run(run, &file).unwrap();

    let other = open(there.path());
    agent(&other, "of another's own");
    let imported = other.import_run(&file, None).unwrap();
    let named = other.view().run_named("fork");
    assert_eq!(named, Some(imported));
    let check = |other: &Database| {
        assert_eq!(live(other, imported), live(&db, run));
        assert_eq!(replayed(other, imported), live(&db, run));
        let (was, is) = (db.replay_run(run).unwrap(), other.replay_run(imported).unwrap());
        let told = |replay: &Replay| {
            let steps = replay.steps();
            steps.map(|step| (step.origin, step.timestamp, step.operations)).collect::<Vec<_>>()
        };
        assert_eq!(told(&was), told(&is));
        for step in [0, 1, 7, 20, 21] {
            let (was, is) = (was.until_step(step).unwrap(), is.until_step(step).unwrap());
            assert_eq!(content(&was), content(&is), "step {step}");
        }
    };
    check(&other);
    drop(other);
    let other = open(there.path());
    check(&other);
    put(&other, imported, "own", "3");
    let all = other.view().lsn();
    put(&other, imported, "own", "4");
    let earlier = other.fork_at(imported, all, "earlier").unwrap();
    let earlier = other.run(earlier).view().unwrap();
    assert_eq!(get(&earlier, "own").as_deref(), Some("3"));
    assert!(earlier.on::<KvStore>().contains("step"));
    other.checkpoint().unwrap();
    other.checkpoint().unwrap();
    assert_eq!(replayed(&other, imported), live(&other, imported));
    // What was imported is exported again as it was, and as it went on.
    let again = there.path().join("again.bundle");
    other.export_run(imported, &again).unwrap();
    let third = db.import_run(&again, Some("third")).unwrap();
    assert_eq!(live(&db, third), live(&other, imported));
}

#[test]
fn the_same_run_is_the_same_file_and_a_damaged_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let files = [directory.path().join("a"), directory.path().join("b")];
    for (at, file) in files.iter().enumerate() {
        let path = directory.path().join(format!("db {at}"));
        let db = open(&path);
        let run = agent(&db, "agent");
        db.export_run(run, file).unwrap();
    }
    let bytes = std::fs::read(&files[0]).unwrap();
    assert_eq!(bytes, std::fs::read(&files[1]).unwrap());

    let db = open(&directory.path().join("db 0"));
    assert!(matches!(db.import_run(&files[0], None), Err(Error::Rejected(_))), "the name is taken");
    for at in (0..bytes.len()).step_by(61) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        std::fs::write(&files[1], &bad).unwrap();
        let refused = db.import_run(&files[1], Some("x")).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "byte {at}: {refused}");
    }
    for len in (0..bytes.len()).step_by(97) {
        std::fs::write(&files[1], &bytes[..len]).unwrap();
        let refused = db.import_run(&files[1], Some("x")).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "cut to {len}: {refused}");
    }
    let missing = db.import_run(directory.path().join("nothing"), None).unwrap_err();
    assert!(missing.to_string().contains("nothing"), "{missing}");
    assert_eq!(db.view().runs().len(), 1);
}

#[test]
fn a_run_is_forked_as_it_was_at_any_of_its_records() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = agent(&db, "agent");
    let lsns: Vec<Lsn> = db.replay_run(run).unwrap().steps().map(|step| step.lsn).collect();
    db.checkpoint().unwrap();
    db.checkpoint().unwrap();
    let forks: Vec<(Lsn, RunId)> = lsns
        .iter()
        .step_by(4)
        .map(|lsn| (*lsn, db.fork_at(run, *lsn, &format!("at {lsn}")).unwrap()))
        .collect();
    let check = |db: &Database| {
        let replay = db.replay_run(run).unwrap();
        for (lsn, fork) in &forks {
            let was = content(&replay.until(*lsn).unwrap());
            assert_eq!(live(db, *fork), was, "LSN {lsn}");
            assert_eq!(replayed(db, *fork), was, "LSN {lsn}");
            let row = db.view().runs().find(|row| row.id == *fork).unwrap().clone();
            assert_eq!(row.parent, Some((run, *lsn)));
        }
    };
    check(&db);
    drop(db);
    let db = open(directory.path());
    check(&db);
    db.checkpoint().unwrap();
    drop(db);
    let db = open(directory.path());
    check(&db);
    // Nothing of it is needed any more.
    db.delete_run(run).unwrap();
    for (_, fork) in &forks {
        assert_eq!(replayed(&db, *fork), live(&db, *fork));
    }
    let whole = db.fork_at(forks[0].1, Lsn(u64::MAX), "whole").unwrap();
    assert_eq!(live(&db, whole), live(&db, forks[0].1));
}

/// Lines by the place and the time at which they were written.
#[primitive(id = 0x90, wal = 0x90)]
#[derive(Clone, Default)]
struct Diary {
    lines: OrdMap<(Lsn, u32), (Timestamp, u64)>,
}

#[operations]
impl Diary {
    #[wal(0x90)]
    fn write(&mut self, context: &OpContext, line: u64) {
        self.lines.insert((context.lsn(), context.index()), (context.timestamp(), line));
    }
}

fn write(db: &Database, run: RunId, lines: std::ops::Range<u64>) {
    for line in lines {
        let two = |tx: &mut RunTransaction<'_>| {
            tx.on::<Diary>().write(2 * line)?;
            tx.on::<KvStore>().put(b"line", &line.to_le_bytes())?;
            tx.on::<Diary>().write(2 * line + 1)
        };
        db.run(run).transaction(two).unwrap();
    }
}

/// The lines of a run, none lost, in the order in which they were written, at times that do not fall.
fn lines(view: &RunView) -> Vec<u64> {
    let lines: Vec<_> = view.on::<Diary>().lines.values().copied().collect();
    assert!(lines.is_sorted_by_key(|(time, _)| *time), "{lines:?}");
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn what_follows_an_import_is_told_later_places_and_times_than_what_was_imported() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let older = open(here.path());
    let run = older.create_run("diary").unwrap();
    put(&older, RunId::ROOT, "so that", "places here are higher");
    write(&older, run, 0..20);
    let file = here.path().join("run.bundle");
    older.export_run(run, &file).unwrap();

    let mut db = open(there.path());
    let run = db.import_run(&file, None).unwrap();
    let is_all = |db: &Database, run, end| {
        let expected: Vec<u64> = (0..2 * end).collect();
        assert_eq!(lines(&db.run(run).view().unwrap()), expected);
        assert_eq!(lines(&db.replay_run(run).unwrap().view().unwrap()), expected);
    };
    is_all(&db, run, 20);
    write(&db, run, 20..25);
    is_all(&db, run, 25);
    // What is told is also there after what is remembered of it came from the log, or a snapshot.
    for round in 0..3_u64 {
        let at = 25 + 10 * round;
        if round > 0 {
            db.checkpoint().unwrap();
        }
        drop(db);
        db = open(there.path());
        write(&db, run, at..at + 5);
        let name = format!("fork {round}");
        // The fork begins behind what this very transaction wrote.
        let fork = |tx: &mut Transaction<'_>| {
            tx.run(run)?.on::<Diary>().write(2 * (at + 5))?;
            let fork = tx.fork(run, &name)?;
            tx.run(run)?.on::<Diary>().write(2 * (at + 5) + 1)?;
            Ok(fork)
        };
        let fork = db.transaction(fork).unwrap();
        // One transaction is one step, and told one place.
        let steps = |run| db.replay_run(run).unwrap().steps().last().unwrap();
        assert_eq!((steps(run).lsn, steps(run).operations), (db.view().lsn(), 2));
        db.run(fork).transaction(|tx| tx.on::<Diary>().write(2 * (at + 5) + 1)).unwrap();
        write(&db, run, at + 6..at + 10);
        write(&db, fork, at + 6..at + 10);
        is_all(&db, run, at + 10);
        is_all(&db, fork, at + 10);
        db.transaction(|tx| {
            tx.run(run)?.on::<Diary>().write(0)?;
            tx.fork(run, "nothing comes of it")?;
            Err::<(), _>(Error::abort("enough"))
        })
        .unwrap_err();
        is_all(&db, run, at + 10);
    }
}
