//! Directories in which something else has the name of a file: pipes, links in a circle, sockets,
//! devices, directories, files of others.
//!
//! - Every subcommand ends, by itself and soon, with 0 or 1, and no panic.
//! - What is refused is named. What goes through stands in a table, since a subcommand need not look
//!   at everything: the log is listed without the lock, the mark and the snapshots.
//! - Nothing is changed by what only reads, and nothing by a refusal.

#![expect(clippy::disallowed_types, reason = "the tool's output goes to files here")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use freehold::prelude::*;
use freehold::primitives::KvStore;

use crate::{Ran, copy_directory, files_in, freehold, imported, text, tool};

/// How long a subcommand may take: they take a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the tool, and does not wait for ever. Its output goes to files, so that no pipe fills.
fn ended(arguments: &[&str], place: &Path) -> Ran {
    let [out, err] = ["out", "err"].map(|name| place.join(name));
    let mut child = tool()
        .args(arguments)
        .stdout(Stdio::from(fs::File::create(&out).unwrap()))
        .stderr(Stdio::from(fs::File::create(&err).unwrap()))
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{arguments:?} does not end");
        }
        sleep(Duration::from_millis(2));
    };
    let ran = Ran {
        code: status.code(),
        out: fs::read_to_string(out).unwrap(),
        err: fs::read_to_string(err).unwrap(),
    };
    assert!(matches!(ran.code, Some(0 | 1)), "{arguments:?}: {:?}: {}", ran.code, ran.err);
    assert!(!ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    ran
}

/// What stands where a file should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A pipe without a writer: whoever opens it waits.
    Pipe,
    /// A link to itself.
    Circle,
    /// A link to nothing.
    Dangling,
    Socket,
    /// A link to a device that never ends.
    Device,
    Directory,
    Empty,
    /// A file of somebody else's.
    Text,
    /// A file, or a directory, that may not be read.
    Unreadable,
}

impl Kind {
    /// Puts it there instead of what is; says whether this machine can.
    fn put(self, path: &Path) -> bool {
        if self != Kind::Unreadable {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
                Ok(_) => fs::remove_file(path).unwrap(),
                Err(_) => {}
            }
        }
        match self {
            Kind::Pipe => {
                assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            }
            Kind::Circle => symlink(path.file_name().unwrap(), path).unwrap(),
            Kind::Dangling => symlink("nowhere", path).unwrap(),
            Kind::Socket => drop(UnixListener::bind(path).unwrap()),
            Kind::Device => symlink("/dev/zero", path).unwrap(),
            Kind::Directory => fs::create_dir(path).unwrap(),
            Kind::Empty => fs::write(path, "").unwrap(),
            Kind::Text => fs::write(path, "dear reader\n").unwrap(),
            Kind::Unreadable => {
                let Ok(found) = fs::metadata(path) else { return false };
                fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
                // Permissions bind everyone but root.
                return match found.is_dir() {
                    true => fs::read_dir(path).is_err(),
                    false => fs::File::open(path).is_err(),
                };
            }
        }
        true
    }
}

/// What of a directory a refusal must not change: names, kinds, and the bytes of files.
fn tree(path: &Path) -> Vec<(String, String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(path) else { return found };
    for entry in entries.map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        let name = text(&entry.path()).to_owned();
        // The lock names who had it last.
        let is_read = kind.is_file() && entry.file_name() != "LOCK";
        let bytes = is_read.then(|| fs::read(entry.path()).ok()).flatten();
        found.push((name, format!("{kind:?}"), bytes));
        if kind.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

/// A database with several segments, a snapshot, and a record behind it.
fn sound(place: &Path) -> std::path::PathBuf {
    let (db, _) = imported(place);
    let database = Options::new().checkpoint_on_close(false).open(&db).unwrap();
    database.checkpoint().unwrap();
    database.transaction(|tx| tx.on::<KvStore>().put(b"after", b"it")).unwrap();
    database.close().unwrap();
    db
}

/// Every subcommand that is given a database, and nothing else than it needs.
const COMMANDS: [&str; 6] = ["verify", "log", "export", "repair", "backup", "checkpoint"];

fn run(command: &str, db: &Path, place: &Path) -> Ran {
    let new = place.join("new");
    let _ = fs::remove_dir_all(&new);
    match command {
        "repair" => ended(&[command, text(db), "--into", text(&new)], place),
        "backup" => ended(&[command, text(db), text(&new)], place),
        _ => ended(&[command, text(db)], place),
    }
}

/// The subcommands that go through although this stands in the place of that.
fn go_through(of: &str, kind: Kind) -> &'static [&'static str] {
    use Kind::*;
    match (of, kind) {
        // A segment is needed by all; a mark, a lock and a snapshot are not looked at by the log.
        ("mark" | "snapshot", Pipe | Circle | Socket | Device | Unreadable) => &["log"],
        ("snapshot", Dangling) => &["log"],
        // A missing mark is allowed: it only says more than the log does.
        ("mark", Dangling | Empty | Text) => &COMMANDS,
        ("mark", Directory) => &["log"],
        // What reads does not need the lock's file, and the copy is taken beside who has it.
        ("lock", Pipe | Circle | Socket | Device | Unreadable) => &["log", "backup"],
        ("lock", Dangling | Directory) => &["verify", "log", "export", "repair", "backup"],
        ("lock", Empty | Text) => &COMMANDS,
        // A damaged snapshot costs nothing while the log is whole. It is told of, as damage, by what looks
        // at all files.
        ("snapshot", Empty | Text) => &["log", "export", "repair", "checkpoint"],
        // That it is not the snapshot is seen by its kind.
        ("snapshot", Directory) => &COMMANDS,
        // The whole log is there.
        ("snapshots", Dangling) => &["verify", "log", "export", "repair", "backup"],
        ("snapshots", Directory) => &COMMANDS,
        // No segment, no record.
        ("wal", Directory) => &["log"],
        // What the snapshot covers is not missed, and what stands before the last one is whole.
        ("first segment" | "last segment", Empty | Text) => &["repair"],
        _ => &[],
    }
}

#[test]
fn whatever_has_the_name_of_a_file_every_subcommand_ends_and_names_it() {
    let place = tempfile::tempdir().unwrap();
    let sound = sound(place.path());
    let segments = files_in(&sound.join("wal"), ".wal");
    let name = |path: &Path| text(path.strip_prefix(&sound).unwrap()).to_owned();
    let snapshot = name(&files_in(&sound.join("snapshots"), ".snapshot")[0]);
    let last = name(segments.last().unwrap());
    let things = [
        ("first segment", name(&segments[0])),
        ("last segment", last),
        ("mark", "wal/synced".to_owned()),
        ("lock", "LOCK".to_owned()),
        ("snapshot", snapshot),
        ("wal", "wal".to_owned()),
        ("snapshots", "snapshots".to_owned()),
    ];
    // Each through all subcommands where they may differ; the others meet the same call of the disk.
    let kinds: [(Kind, &[&str]); 9] = [
        (Kind::Pipe, &COMMANDS),
        (Kind::Circle, &["verify", "checkpoint"]),
        (Kind::Dangling, &COMMANDS),
        (Kind::Socket, &["verify", "export"]),
        (Kind::Device, &["verify", "backup"]),
        (Kind::Directory, &COMMANDS),
        (Kind::Empty, &COMMANDS),
        (Kind::Text, &["verify", "repair"]),
        (Kind::Unreadable, &COMMANDS),
    ];
    let mut wrong = Vec::new();
    for (of, relative) in &things {
        for (kind, commands) in kinds {
            let mut is_fresh = false;
            let db = place.path().join("hostile");
            for command in commands {
                if !is_fresh {
                    let _ = fs::remove_dir_all(&db);
                    copy_directory(&sound, &db);
                    if !kind.put(&db.join(relative)) {
                        break;
                    }
                }
                let before = tree(&db);
                let ran = run(command, &db, place.path());
                let said = format!("{of} is {kind:?}: {command}: {:?}: {}", ran.code, ran.err);
                let expected = if go_through(of, kind).contains(command) { 0 } else { 1 };
                if ran.code != Some(expected) {
                    wrong.push(format!("{said} (expected {expected})"));
                }
                let file = Path::new(relative).file_name().unwrap().to_str().unwrap();
                if ran.code == Some(1) && !format!("{}{}", ran.out, ran.err).contains(file) {
                    wrong.push(format!("{said} (does not name {file})"));
                }
                is_fresh = ran.code == Some(1) || *command != "checkpoint";
                if is_fresh && tree(&db) != before {
                    wrong.push(format!("{said} (something was changed)"));
                }
            }
            if kind == Kind::Unreadable {
                let _ = fs::set_permissions(db.join(relative), fs::Permissions::from_mode(0o755));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_to_be_removed_or_kept_and_cannot_be_is_named() {
    let place = tempfile::tempdir().unwrap();
    let sound = sound(place.path());
    let db = place.path().join("hostile");
    let fresh = || {
        let _ = fs::remove_dir_all(&db);
        copy_directory(&sound, &db);
    };
    // A pipe that is named as an unfinished file is one more name to remove, a directory is none.
    for unfinished in ["wal/000099.wal.tmp", "snapshots/00000000000000000099.snapshot.tmp"] {
        for kind in [Kind::Pipe, Kind::Circle, Kind::Device, Kind::Directory] {
            fresh();
            assert!(kind.put(&db.join(unfinished)));
            run("verify", &db, place.path()).expect(0);
            let ran = run("checkpoint", &db, place.path());
            let is_gone = fs::symlink_metadata(db.join(unfinished)).is_err();
            match ran.code {
                Some(0) => assert!(is_gone || kind == Kind::Directory, "{unfinished} {kind:?}"),
                _ => assert!(ran.err.contains(unfinished), "{}", ran.err),
            }
        }
    }
    // A torn end is to be kept in `quarantine`, where that is no directory.
    for kind in [Kind::Pipe, Kind::Circle, Kind::Text] {
        fresh();
        let segment = files_in(&db.join("wal"), ".wal").pop().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        bytes.extend([0x55; 100]);
        fs::write(&segment, bytes).unwrap();
        assert!(kind.put(&db.join("quarantine")));
        let before = tree(&db);
        let ran = run("checkpoint", &db, place.path());
        assert_eq!(ran.code, Some(1), "{kind:?}: {}", ran.err);
        assert!(ran.err.contains("quarantine"), "{kind:?}: {}", ran.err);
        assert!(tree(&db) == before, "{kind:?}: a refusal changed something");
    }
}

#[test]
fn a_hostile_place_for_what_is_made_is_named_and_stays() {
    let place = tempfile::tempdir().unwrap();
    let sound = sound(place.path());
    let db = text(&sound);
    let into = place.path().join("into");
    for kind in [Kind::Pipe, Kind::Circle, Kind::Dangling, Kind::Socket, Kind::Device, Kind::Text] {
        assert!(kind.put(&into));
        let before = fs::symlink_metadata(&into).unwrap().file_type();
        for command in [&["backup", db, text(&into)][..], &["repair", db, "--into", text(&into)]] {
            let ran = ended(command, place.path());
            assert_eq!(ran.code, Some(1), "{kind:?}: {command:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains("into"), "{kind:?}: {command:?}: {}", ran.err);
        }
        // A file is replaced by an export, and so is a link, which is a name; nothing else is.
        let export = ended(&["export", db, text(&into)], place.path());
        let now = fs::symlink_metadata(&into).unwrap().file_type();
        if matches!(kind, Kind::Text | Kind::Circle | Kind::Dangling) {
            assert_eq!(export.code, Some(0), "{kind:?}: {}", export.err);
            assert!(now.is_file());
        } else {
            export.refuses(&["into: replace: not a regular file"]);
            assert_eq!(now, before, "{kind:?}: what was there is gone");
        }
        assert!(!place.path().join("into.unfinished").exists());
    }
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let sound = sound(place.path());
    // As long as an argument may be; a million bytes reach the library only.
    let long = "n".repeat(100_000);
    let path = place.path().join(&long);
    for command in ["verify", "log", "export", "runs", "digest", "checkpoint"] {
        let ran = ended(&[command, text(&path)], place.path());
        assert_eq!(ran.code, Some(1), "{command}");
        assert!(ran.err.contains("File name too long"), "{command}: {}", ran.err.len());
    }
    for command in ["backup", "repair"] {
        let into: &[&str] = if command == "repair" { &["--into"] } else { &[] };
        let arguments = [&[command, text(&sound)], into, &[text(&path)]].concat();
        let ran = ended(&arguments, place.path());
        assert_eq!(ran.code, Some(1), "{command}");
        assert!(ran.err.contains("File name too long"), "{command}: {}", ran.err.len());
    }
    let ran = ended(&["steps", text(&sound), &long], place.path());
    assert!(ran.code == Some(1) && ran.err.contains("no run nnn"), "{}", ran.err.len());

    let million = "n".repeat(1_000_000);
    let error = Database::open(place.path().join(&million)).unwrap_err();
    assert!(error.to_string().contains("File name too long"));
    let db = Database::open(&sound).unwrap();
    let error = db.create_run(&million).unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    db.close().unwrap();
    let lines = freehold(&["export", text(&sound)]).expect(0).out;
    let at = lines.find("\"name\":\"").expect("a run's name") + "\"name\":\"".len();
    let file = place.path().join("lines.jsonl");
    fs::write(&file, format!("{}{million}{}", &lines[..at], &lines[at..])).unwrap();
    let new = place.path().join("new");
    freehold(&["import", text(&new), text(&file)]).refuses(&["lines.jsonl", "line "]);
    assert!(!new.exists());
}

#[test]
fn where_no_snapshot_leads_to_the_log_the_missing_segment_is_named() {
    let place = tempfile::tempdir().unwrap();
    let sound = sound(place.path());
    let database = Options::new().snapshots_kept(1).open(&sound).unwrap();
    database.checkpoint().unwrap();
    database.close().unwrap();
    let first = files_in(&sound.join("wal"), ".wal").remove(0);
    assert!(!first.ends_with("000001.wal"), "the log is pruned");
    fs::remove_dir_all(sound.join("snapshots")).unwrap();
    let new = place.path().join("new");
    for before in [&[][..], &["--before", "5"], &["--before", "999999"]] {
        let command = [&["repair", text(&sound), "--into", text(&new)], before].concat();
        ended(&command, place.path()).refuses(&["wal/", "missing; no usable snapshot covers"]);
        assert!(!new.exists());
    }
}
