//! The past: replay of runs, time travel, forks, what differs, copies.

#![cfg(all(feature = "full", feature = "testing"))]
#![expect(clippy::disallowed_methods, reason = "the files are damaged and looked at from outside")]

mod copies;
mod diffs;
mod forks;
mod kept;
mod replay;

use std::path::Path;

use freehold::prelude::*;
use freehold::{Database, Options, RunView, StateDigest};

/// Small segments, so that a few transactions fill several.
fn options() -> Options {
    Options::new()
        .segment_bytes(4096)
        .checkpoint_bytes(None)
        .checkpoint_on_close(false)
        .clock(clock())
}

/// A clock that goes on by a second each time it is read.
fn clock() -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let seconds = std::sync::atomic::AtomicU64::new(0);
    move || {
        let now = seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Timestamp(now * 1_000_000_000)
    }
}

fn open(path: &Path) -> Database {
    options().open(path).unwrap()
}

/// What a run holds, whatever its number.
fn content(view: &RunView) -> Vec<(&'static str, u64, u64)> {
    let digests = view.digest().unwrap();
    digests
        .iter()
        .map(|StateDigest { primitive, rows, digest, .. }| (*primitive, *rows, *digest))
        .collect()
}

fn live(db: &Database, run: RunId) -> Vec<(&'static str, u64, u64)> {
    content(&db.run(run).view().unwrap())
}

fn replayed(db: &Database, run: RunId) -> Vec<(&'static str, u64, u64)> {
    content(&db.replay_run(run).unwrap().view().unwrap())
}

fn put(db: &Database, run: RunId, key: &str, value: &str) {
    db.run(run).transaction(|tx| tx.on::<KvStore>().put(key.as_bytes(), value.as_bytes())).unwrap();
}

fn get(view: &RunView, key: &str) -> Option<String> {
    view.on::<KvStore>().get(key.as_bytes()).map(|value| String::from_utf8(value.to_vec()).unwrap())
}
