//! Databases that earlier builds wrote, as they are checked in: each opens in the state that it had,
//! goes on, and is written by its own release byte for byte as it stands there.
//!
//! - `tests/golden/<release>/` has what that release wrote: a database with everything
//!   (`everything/`), one that was killed while it wrote (`killed/`), a run in a file, and beside each
//!   what it holds, as `freehold export` and `freehold log` say it. They are never written anew.
//! - Everything in them comes from [`write`](mod@write), on the simulated disk, from a seed.
//! - `FREEHOLD_BLESS=1` writes the directory of this release if it is not there.

#![cfg(all(feature = "cli", feature = "testing"))]
#![expect(clippy::disallowed_methods, reason = "these tests read and copy checked-in files")]

mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use freehold::prelude::*;
use freehold::{Database, Error};

use write::Chest;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The directories of all releases.
fn releases() -> Vec<PathBuf> {
    let listed = fs::read_dir("tests/golden").unwrap().map(|entry| entry.unwrap().path());
    let mut releases: Vec<PathBuf> = listed.filter(|path| path.is_dir()).collect();
    releases.sort();
    assert!(!releases.is_empty(), "no release has golden files: FREEHOLD_BLESS=1 writes them");
    releases
}

fn this_release() -> PathBuf {
    Path::new("tests/golden").join(env!("CARGO_PKG_VERSION"))
}

/// Every file below `directory`, by its path there.
fn files(directory: &Path) -> Files {
    let mut files = Files::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_path_buf();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn put(files: &Files, directory: &Path) {
    for (path, bytes) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A copy of a golden database that may be changed.
fn copy(database: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    put(&files(database), directory.path());
    directory
}

/// What the tool prints. It does not have [`Chest`].
#[track_caller]
fn tool(words: &[&str], database: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    let output = command.args(words).arg(database).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// All that a database holds, as JSON Lines, but for the line of the program that wrote them.
fn exported(database: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("exported.jsonl");
    tool_with_chest("export", database, &file);
    let text = fs::read_to_string(file).unwrap();
    text.lines().skip(1).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn tool_with_chest(word: &str, database: &Path, file: &Path) {
    let words = ["freehold".as_ref(), word.as_ref(), database.as_os_str(), file.as_os_str()];
    assert_eq!(freehold::cli::run(words), std::process::ExitCode::SUCCESS);
}

fn options() -> Options {
    Options::new().checkpoint_on_close(false).checkpoint_bytes(None).on_warning(|_, _| {})
}

/// What stands in a golden directory beside a database.
fn said(database: &Path, ending: &str) -> String {
    fs::read_to_string(database.with_extension(ending)).unwrap()
}

const DATABASES: [&str; 3] = ["everything", "imported", "killed"];

#[test]
fn each_opens_in_the_state_that_it_had_and_goes_on() {
    for release in releases() {
        for name in DATABASES {
            let golden = release.join(name);
            let expected = said(&golden, "jsonl");
            let directory = copy(&golden);
            let path = directory.path();

            // Looked at, and not changed.
            assert_eq!(tool(&["log", "--json"], path), said(&golden, "log"), "{golden:?}");
            tool(&["verify", "--deep"], path);
            let db = options().read_only(true).open(path).unwrap();
            drop(db);
            assert!(files(path) == files(&golden), "{golden:?} was changed by looking at it");

            assert_eq!(exported(path), expected, "{golden:?}");
            // A program without one of the primitives carries it through a checkpoint.
            let db = options().detach("chest").open(path).unwrap();
            db.checkpoint().unwrap();
            db.close().unwrap();
            assert_eq!(exported(path), expected, "{golden:?}, carried");
            for round in 0..2 {
                let db = options().open(path).unwrap();
                replays(&db);
                db.transaction(|tx| tx.on::<Chest>().put("new", write::thing(7)).map(drop))
                    .unwrap();
                db.transaction(|tx| tx.on::<Chest>().take("new").map(drop)).unwrap();
                db.checkpoint().unwrap();
                db.close().unwrap();
                assert_eq!(exported(path), expected, "{golden:?}, round {round}");
            }
            tool(&["verify", "--deep"], path);
        }
    }
}

#[test]
fn each_is_the_same_after_an_export_and_an_import() {
    for (release, name) in
        releases().into_iter().flat_map(|release| DATABASES.map(|name| (release.clone(), name)))
    {
        let golden = copy(&release.join(name));
        let directory = tempfile::tempdir().unwrap();
        let (file, again) = (directory.path().join("file"), directory.path().join("again"));
        tool_with_chest("export", golden.path(), &file);
        tool_with_chest("import", &again, &file);
        assert_eq!(exported(&again), said(&release.join(name), "jsonl"), "{release:?} {name}");
    }
}

/// Each run is what comes of its own records.
fn replays(db: &Database) {
    let view = db.view();
    for row in view.runs() {
        let (live, replayed) = (view.run(row.id).unwrap(), db.replay_run(row.id).unwrap());
        let replayed = replayed.view().unwrap().digest().unwrap();
        assert_eq!(live.digest().unwrap(), replayed, "run {}", row.name);
    }
}

#[test]
fn a_run_in_a_file_is_made_again() {
    for release in releases() {
        let directory = tempfile::tempdir().unwrap();
        let db = options().open(directory.path().join("db")).unwrap();
        let run = db.import_run(release.join("run.bundle"), None).unwrap();
        let file = directory.path().join("again.bundle");
        db.export_run(run, &file).unwrap();
        replays(&db);
        drop(db);
        let text = exported(&directory.path().join("db"));
        assert_eq!(text, fs::read_to_string(release.join("run.jsonl")).unwrap(), "{release:?}");
    }
}

#[test]
fn this_release_writes_the_very_bytes() {
    let release = this_release();
    let written = write::everything();
    if !release.exists() {
        assert!(
            std::env::var_os("FREEHOLD_BLESS").is_some(),
            "{release:?} is not there: a new release writes its own with FREEHOLD_BLESS=1"
        );
        put(&written, &release);
        for name in DATABASES {
            let database = release.join(name);
            fs::write(database.with_extension("log"), tool(&["log", "--json"], &database)).unwrap();
            let copy = copy(&database);
            fs::write(database.with_extension("jsonl"), exported(copy.path())).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let db = options().open(directory.path()).unwrap();
        db.import_run(release.join("run.bundle"), None).unwrap();
        drop(db);
        fs::write(release.join("run.jsonl"), exported(directory.path())).unwrap();
    }
    for (path, bytes) in written {
        let golden = fs::read(release.join(&path)).unwrap();
        let at = golden.iter().zip(&bytes).position(|(golden, written)| golden != written);
        assert!(
            golden == bytes,
            "{path:?} is {} bytes and was {}; the first that differs is {at:?}. Who may write other \
             bytes than before, which older builds can read, removes tests/golden/{} while it is not \
             released, and runs this with FREEHOLD_BLESS=1",
            bytes.len(),
            golden.len(),
            env!("CARGO_PKG_VERSION"),
        );
    }
}

#[test]
fn every_operation_that_can_be_logged_is_in_them() {
    let release = this_release();
    let log = said(&release.join("killed"), "log");
    let lock = fs::read_to_string("freehold.lock").unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for line in lock.lines() {
        // `freehold::kv 0x10 v1 put (..) ..`
        let words: Vec<&str> = line.split(' ').collect();
        let [owner, wal_type, version, operation, ..] = words[..] else { continue };
        let is_operation = wal_type.starts_with("0x") && version.starts_with('v');
        let Some(primitive) = owner.strip_prefix("freehold::").filter(|_| is_operation) else {
            continue;
        };
        count += 1;
        let logged = format!("\"primitive\":\"{primitive}\",\"operation\":\"{operation}\"");
        if !log.contains(&logged) {
            missing.push(format!("{primitive} {operation}"));
        }
    }
    assert!(count > 40, "{count} operations are locked");
    assert!(missing.is_empty(), "not logged: {missing:?}");
}

/// Lets a header say that it is of another version, its checksum right.
fn of_version(file: &[u8], version: u32) -> Vec<u8> {
    let mut changed = file.to_vec();
    let len = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize;
    changed[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&changed[..len - 4]);
    changed[len - 4..len].copy_from_slice(&crc.to_le_bytes());
    changed
}

#[test]
fn what_another_version_wrote_is_refused_as_that_and_not_touched() {
    let release = this_release();
    let golden = files(&release.join("everything"));
    let kinds = ["wal/", "snapshots/"];
    for (path, bytes) in &golden {
        let name = path.to_str().unwrap();
        if !kinds.iter().any(|kind| name.starts_with(kind)) || name.ends_with("synced") {
            continue;
        }
        for version in [0, 2] {
            let directory = tempfile::tempdir().unwrap();
            let mut changed = golden.clone();
            changed.insert(path.clone(), of_version(bytes, version));
            put(&changed, directory.path());
            let refused = options().open(directory.path()).unwrap_err();
            assert!(matches!(refused, Error::Version { .. }), "{name}: {refused}");
            let expected = format!("{name}: version {version}, this build reads 1");
            assert!(refused.to_string().contains(&expected), "{name}: {refused}");
            let mut left = files(directory.path());
            left.remove(Path::new("LOCK"));
            assert!(left == changed, "{name} was touched");
            let verified = freehold::inspect(directory.path());
            assert!(matches!(verified, Err(Error::Version { .. })), "{name}: {verified:?}");
        }
    }

    // Histories are read only when somebody looks back.
    let directory = copy(&release.join("everything"));
    let history = golden.keys().find(|path| path.starts_with("history")).expect("there is one");
    let newer = of_version(&golden[history], 2);
    fs::write(directory.path().join(history), &newer).unwrap();
    let db = options().open(directory.path()).unwrap();
    let refusals =
        db.view().runs().filter_map(|row| db.replay_run(row.id).err()).collect::<Vec<_>>();
    assert!(!refusals.is_empty());
    assert!(refusals.iter().all(|error| matches!(error, Error::Version { .. })), "{refusals:?}");
    db.transaction(|tx| tx.on::<Chest>().take("nothing").map(drop)).unwrap();
    db.checkpoint().unwrap();
    drop(db);
    assert_eq!(fs::read(directory.path().join(history)).unwrap(), newer);

    let bundle = directory.path().join("run.bundle");
    fs::write(&bundle, of_version(&fs::read(release.join("run.bundle")).unwrap(), 2)).unwrap();
    let db = options().open(directory.path().join("new")).unwrap();
    let refused = db.import_run(&bundle, None).unwrap_err();
    assert!(matches!(refused, Error::Version { .. }), "{refused}");
}
