//! A file system of two megabytes that is really full, and later larger.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use freehold::prelude::*;
use freehold::primitives::KvStore;

use crate::say;

/// A file system in memory, gone when this is dropped.
struct Mounted {
    place: tempfile::TempDir,
}

impl Mounted {
    /// `Err`: why this machine, or this user, cannot have one.
    fn new(size: &str) -> Result<Mounted, String> {
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "freehold"], place.path())?;
        Ok(Mounted { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn resize(&self, size: &str) {
        let option = format!("remount,size={size}");
        mount(&["-o", &option], self.path()).expect("what was mounted can be mounted again");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(arguments: &[&str], place: &Path) -> Result<(), String> {
    let output = Command::new("mount")
        .args(arguments)
        .arg(place)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("mount: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn options() -> Options {
    Options::new().segment_bytes(64 << 10).checkpoint_bytes(None)
}

type Known = BTreeMap<Vec<u8>, Vec<u8>>;

fn content(db: &Database) -> Known {
    let view = db.view();
    let pairs = view.on::<KvStore>().iter();
    pairs.map(|(key, value)| (key.as_slice().to_vec(), value.as_slice().to_vec())).collect()
}

/// Four threads write until each was refused; what was acknowledged joins `known`.
fn fill(db: &Database, known: &mut Known, round: u64) -> usize {
    let acknowledged = Mutex::new(Known::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for count in 0..100_000_u64 {
                    let key = format!("{round}/{thread}/{count:06}").into_bytes();
                    let value = vec![b'a' + thread as u8; 200 + (count as usize * 61) % 1500];
                    match db.transaction(|tx| tx.on::<KvStore>().put(&key, &value)) {
                        Ok(_) => acknowledged.lock().expect("no panic").insert(key, value),
                        Err(Error::NoSpace { .. }) => return,
                        Err(error) => panic!("a full disk made the error: {error}"),
                    };
                }
                panic!("the disk was never full");
            });
        }
    });
    let acknowledged = acknowledged.into_inner().expect("no panic");
    let count = acknowledged.len();
    known.extend(acknowledged);
    count
}

#[test]
fn a_file_system_that_is_full_refuses_what_needs_space_and_loses_nothing() {
    let mounted = match Mounted::new("2m") {
        Ok(mounted) => mounted,
        Err(why) => {
            say(&format!("skipped: no file system to fill can be mounted here: {why}"));
            return;
        }
    };
    let path = mounted.path().join("db");
    let mut known = Known::new();

    let db = options().open(&path).expect("there is space");
    let filled = fill(&db, &mut known, 1);
    assert!(filled > 100, "{filled} transactions until it was full");
    assert!(content(&db) == known, "reads go on, and what was refused left no trace");
    let again = db.transaction(|tx| tx.on::<KvStore>().put(b"again", &[0; 2000]));
    assert!(matches!(again, Err(Error::NoSpace { .. })), "{again:?}");
    let read = db.transaction(|tx| Ok(tx.read::<KvStore>().len()));
    assert_eq!(read.expect("what writes nothing goes on"), known.len());

    // There is space kept back for what makes the state smaller.
    let victims: Vec<_> = known.keys().take(20).cloned().collect();
    for key in &victims {
        let freed = db.transaction(|tx| {
            tx.freeing();
            tx.on::<KvStore>().delete(key)
        });
        assert_eq!(freed.expect("space is kept back").as_deref(), known.remove(key).as_deref());
    }
    assert!(content(&db) == known);

    // A checkpoint may find no space; then closing says so, and nothing is lost all the same.
    let checkpoint = db.checkpoint();
    assert!(matches!(checkpoint, Ok(_) | Err(Error::NoSpace { .. })), "{checkpoint:?}");
    let closed = db.close();
    assert!(matches!(closed, Ok(()) | Err(Error::NoSpace { .. })), "{closed:?}");
    drop(db);

    // While it is still full.
    let db = options().on_warning(|_, _| {}).open(&path).expect("it opens on a full disk");
    assert!(content(&db) == known, "what was there is there");
    let read_only = db.recovery_report().read_only.clone();
    let closed_full = db.close();
    assert!(matches!(closed_full, Ok(()) | Err(Error::NoSpace { .. })), "{closed_full:?}");
    drop(db);

    mounted.resize("4m");
    let db = options().open(&path).expect("it opens");
    assert_eq!(db.recovery_report().read_only, None, "with space it can be written");
    assert!(content(&db) == known);
    let filled_after_opening = fill(&db, &mut known, 2);
    assert!(filled_after_opening > 100, "{filled_after_opening} transactions");

    // With the database open.
    mounted.resize("12m");
    for count in 0..50_u64 {
        let key = format!("late/{count}").into_bytes();
        db.transaction(|tx| tx.on::<KvStore>().put(&key, b"late")).expect("there is space again");
        known.insert(key, b"late".to_vec());
    }
    db.checkpoint().expect("there is space again");
    db.close().expect("there is space again");
    drop(db);
    let db = options().open(&path).expect("it opens");
    assert!(content(&db) == known, "nothing is lost");
    say(&format!(
        "\na file system of 2 MiB: full after {filled} transactions, 20 that free went on; checkpoint: \
         {}; close: {}; opened while full{}; after it grew {filled_after_opening} more until full \
         again, and on after it grew while open; {} pairs, none lost",
        spoken(&checkpoint.map(drop)),
        spoken(&closed),
        read_only.map_or(String::new(), |why| format!(", only to be read ({why})")),
        known.len()
    ));
}

fn spoken(result: &Result<()>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(error) => match error {
            Error::NoSpace { needed, .. } => format!("no space for {needed} bytes"),
            error => error.to_string(),
        },
    }
}
