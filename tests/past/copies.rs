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
