//! Crates outside the workspace, built and run as a user's would be.
//!
//! - Each stands in `tests/outside`, depends on freehold by path and on no feature of it, and takes
//!   the database's directory as its argument.
//! - Each is run twice on one directory: the second run, another process, finds what the first one
//!   left and says so in its last line.

#![expect(clippy::disallowed_methods, reason = "these tests arrange files for cargo, no database")]

use std::path::Path;

#[path = "outside/cargo.rs"]
mod cargo;

/// Builds and runs the crate `name` with `directory` and returns the last line it prints.
#[track_caller]
fn run(name: &str, directory: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = root.join("tests/outside").join(name);
    // The same versions as the workspace's, so that nothing has to be downloaded anew.
    let lock = root.join("Cargo.lock");
    if lock.exists() {
        std::fs::copy(lock, package.join("Cargo.lock")).unwrap();
    }
    let output = cargo::cargo(&["run", "--quiet"], &package.join("Cargo.toml"))
        .arg("--")
        .arg(directory)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{printed}{complained}", output.status);
    // What the compiler says of the crate's own files, it says of what freehold expands to there.
    assert!(!complained.contains("--> src/"), "{name}:\n{complained}");
    printed.lines().last().unwrap_or_default().to_owned()
}

/// Written by somebody who knew `docs/extending.md` and nothing else, then changed as the guide says:
/// its conformance tests, its lock with golden histories from before the change, its example.
#[test]
fn a_primitive_written_from_the_guide_conforms_and_keeps_its_history() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = root.join("tests/outside/graph/Cargo.toml");
    std::fs::copy(root.join("Cargo.lock"), manifest.with_file_name("Cargo.lock")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cargo = |arguments: &[&str], behind: &[&Path]| {
        let output =
            cargo::cargo(arguments, &manifest).arg("--quiet").args(behind).output().unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}\n{printed}{complained}");
        printed
    };
    let tested = cargo(&["test", "--lib"], &[]);
    assert!(tested.contains("34 passed; 0 failed"), "{tested}");
    let run = ["run", "--example", "grow"];
    let first = cargo(&run, &[Path::new("--"), directory.path()]);
    let second = cargo(&run, &[Path::new("--"), directory.path()]);
    assert_ne!(first, second, "the second run found what the first one left");
}

/// Runs the crate `name` twice on one directory.
#[track_caller]
fn run_twice(name: &str) -> [String; 2] {
    let directory = tempfile::tempdir().unwrap();
    [run(name, directory.path()), run(name, directory.path())]
}

#[test]
fn a_crate_that_depends_on_freehold_alone_has_a_primitive_of_its_own() {
    assert_eq!(run_twice("only_freehold"), ["1 notes, 5 words", "2 notes, 10 words"]);
}

#[test]
fn type_id_7_is_free_as_long_as_it_is_not_linked() {
    assert_eq!(run_twice("vector7"), ["1 vectors", "2 vectors"]);
}

#[test]
fn a_primitive_written_by_hand_is_recovered() {
    assert_eq!(run_twice("vector_by_hand"), ["1 vectors", "2 vectors"]);
}

#[test]
fn the_shipped_primitives_are_built_by_a_crate_that_is_not_freehold() {
    assert_eq!(run_twice("primitives_outside"), ["7 primitives from outside"; 2]);
}

/// All four primitives, in the root and in a run, some of it in a snapshot and some in the log;
/// then a program that links only KV writes and checkpoints until the log behind is pruned.
#[cfg(feature = "full")]
#[test]
fn what_a_program_does_not_link_it_carries_through() {
    use freehold::prelude::*;
    use freehold::primitives::{Payload, RunOutcome};

    let directory = tempfile::tempdir().unwrap();
    let options = || Options::new().checkpoint_on_close(false);
    let rest = |db: &Database| -> Vec<_> {
        db.view().digest().unwrap().into_iter().filter(|row| row.primitive != "kv").collect()
    };
    let write = |db: &Database, round: u8| {
        let name = format!("run {round}");
        let run = db.create_run(&name).unwrap();
        db.transaction(|tx| {
            tx.on::<RunIndex>().create(run, &name)?;
            tx.on::<RunIndex>().begin(run)?;
            tx.on::<EventLog>().append("all", "begun", Payload::Bytes((&[round; 100]).into()))?;
            tx.on::<KvStore>().put(&[round], b"by a program that links all")?;
            let mut tx = tx.run(run)?;
            tx.on::<EventLog>().append("own", "first", Payload::Bytes((&[round; 10]).into()))?;
            tx.on::<StateCell>().init("phase", b"begun")?;
            tx.on::<KvStore>().put(b"steps", &[round])?;
            Ok(())
        })
        .unwrap();
        db.transaction(|tx| tx.on::<RunIndex>().end(run, RunOutcome::Completed)).unwrap();
    };

    let db = options().open(directory.path()).unwrap();
    write(&db, 1);
    db.checkpoint().unwrap();
    write(&db, 2);
    let before = rest(&db);
    assert_eq!(before.len(), 6, "the root's two, and two of each run");
    db.close().unwrap();

    assert_eq!(run("kv_only", directory.path()), "carried event, state, run");

    let db = options().open(directory.path()).unwrap();
    let report = db.recovery_report();
    assert!(report.snapshot_lsn > Some(Lsn(6)), "its checkpoint is loaded: {report}");
    assert!(report.detached.is_empty());
    assert_eq!(rest(&db), before);
    let view = db.view();
    let kv = view.on::<KvStore>();
    assert_eq!(kv.get([2]).as_deref(), Some(&b"by a program that links all"[..]));
    assert_eq!(kv.get(b"other").as_deref(), Some(&b"by a program that links only KV"[..]));
    let oldest = std::fs::read_dir(directory.path().join("wal"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".wal"))
        .min();
    assert_ne!(oldest.as_deref(), Some("000001.wal"), "the log behind was pruned");
    write(&db, 3);
}

/// A primitive whose section is one piece of bytes: carried before it was ever in a snapshot, it has
/// entries and no section.
#[test]
fn a_primitive_written_by_hand_is_carried_before_its_first_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run("vector_by_hand", directory.path()), "1 vectors");
    assert_eq!(run("kv_only", directory.path()), "carried vector");
    assert_eq!(run("vector_by_hand", directory.path()), "2 vectors");
}
