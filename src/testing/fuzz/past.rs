//! History files and bundles, whose envelope is a snapshot's: looking back must never cost anything but
//! an answer.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::snapshot::Snapshot;
use super::{Files, Outcome, outcome_of, sample, state};
use crate::database::Database;
use crate::error::Result;
use crate::id::{Lsn, RunId};
use crate::testing::{Random, SimDisk};

/// A database whose runs have most of their history in a file, and one of its runs as a bundle.
struct Past {
    files: Files,
    bundle: Vec<u8>,
}

fn is_history(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "history")
}

fn base() -> &'static Past {
    static PAST: OnceLock<Past> = OnceLock::new();
    PAST.get_or_init(|| {
        let (disk, file) = (SimDisk::new(5), file());
        let db = sample::options(&disk).open("").unwrap();
        let run = db.create_run("run").unwrap();
        for number in 0..4 {
            sample::fill(&db, run, number);
            let fork = db.fork(run, &format!("fork {number}")).unwrap();
            sample::fill_run(&db, fork, number).unwrap();
            db.checkpoint().unwrap();
        }
        let before = db.view().run(run).unwrap().last_lsn();
        sample::fill(&db, run, 4);
        db.fork_at(run, before, "as it was").unwrap();
        db.export_run(run, &file.0).unwrap();
        db.close().unwrap();
        let files = sample::files(&disk);
        assert!(files.iter().any(|(path, _)| is_history(path)));
        Past { files, bundle: file.read() }
    })
}

/// A file for a bundle, which is gone afterwards.
struct Bundle(PathBuf);

fn file() -> Bundle {
    let directory = std::env::temp_dir();
    let name = format!("freehold-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    Bundle(directory.join(name))
}

#[expect(clippy::disallowed_methods, reason = "a bundle is a file of the system's")]
impl Bundle {
    fn read(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(&self.0, bytes).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a bundle is a file of the system's")]
impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn change(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut snapshot = Snapshot::of(bytes);
    for _ in 0..=random.below(2) {
        match random.below(4) {
            0 => snapshot.change_lists(random),
            1 => snapshot.change_fields(random),
            _ => snapshot.change_rows(random),
        };
    }
    if !random.one_in(8) {
        snapshot.settle();
    }
    snapshot.seal()
}

/// Replays every run, wholly and in part. What the state is does not depend on it.
fn look_back(db: &Database, random: &mut Random) -> Outcome {
    let expected = state(db);
    let mut outcome = "taken".to_owned();
    for row in db.view().runs() {
        let looked = db.replay_run(row.id).and_then(|replay| {
            let steps: Vec<Lsn> = replay.steps().map(|step| step.lsn).collect();
            if let Some(lsn) = steps.get(random.below(steps.len() as u64) as usize) {
                replay.until(*lsn)?.digest()?;
            }
            replay.view()?.digest()
        });
        if let Err(error) = looked {
            outcome = outcome_of(&error);
        }
    }
    assert_eq!(state(db), expected, "looking back changed something");
    outcome
}

/// Looks back with a history file that was changed.
pub(super) fn history_case(random: &mut Random) -> Outcome {
    let disk = SimDisk::new(6);
    for (path, bytes) in &base().files {
        if is_history(path) {
            disk.put(path, &change(bytes, random));
        } else {
            disk.put(path, bytes);
        }
    }
    let db = sample::options(&disk).open("").unwrap();
    let outcome = look_back(&db, random);
    if random.one_in(4) {
        // What is kept is written again with what is added to it, where it can be read.
        let run = RunId(1 + random.below(3));
        sample::fill_run(&db, run, 5).unwrap();
        for _ in 0..2 {
            let _ = db.fork_at(run, Lsn(random.below(12)), "as it was once");
            let _ = db.delete_run(RunId(2));
            let expected = state(&db);
            let _ = db.checkpoint();
            assert_eq!(state(&db), expected, "a checkpoint changed something");
            sample::fill_run(&db, RunId(1), 6).unwrap();
        }
        let expected = state(&db);
        drop(db);
        let db = sample::options(&disk).open("").unwrap();
        assert_eq!(state(&db), expected, "opened again");
        look_back(&db, random);
    }
    outcome
}

/// Imports a bundle that was changed.
pub(super) fn bundle_case(random: &mut Random) -> Outcome {
    let (disk, file) = (SimDisk::new(7), file());
    let db = sample::options(&disk).open("").unwrap();
    file.write(&change(&base().bundle, random));
    let before = state(&db);
    let run = match db.import_run(&file.0, None) {
        Ok(run) => run,
        Err(error) => {
            assert_eq!(state(&db), before, "a refusal changes nothing");
            return outcome_of(&error);
        }
    };
    let is_the_same = |db: &Database| -> Result<()> {
        let live = db.view().run(run).unwrap().digest()?;
        assert_eq!(db.replay_run(run)?.view()?.digest()?, live, "replayed otherwise");
        Ok(())
    };
    is_the_same(&db).unwrap();
    // Not where its operations were told the last LSN that there is.
    let _ = sample::fill_run(&db, run, 3);
    is_the_same(&db).unwrap();
    db.export_run(run, &file.0).unwrap();
    let expected = state(&db);
    drop(db);
    let db = sample::options(&disk).open("").unwrap();
    assert_eq!(state(&db), expected, "opened again");
    is_the_same(&db).unwrap();
    let again = db.import_run(&file.0, Some("again")).unwrap();
    let digest = |run| {
        let digests = db.view().run(run).unwrap().digest().unwrap();
        digests.iter().map(|one| (one.type_id, one.rows, one.digest)).collect::<Vec<_>>()
    };
    assert_eq!(digest(run), digest(again), "exported otherwise");
    "taken".to_owned()
}
