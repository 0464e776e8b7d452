//! `JsonStore`.
//!
//! - The suites, histories and documents are real data: `tests/data`, with notes on where each is
//!   from.
//! - What a test has put into a database is compared three times: as it is, after a crash, which
//!   replays the log, and after a clean close, which loads a snapshot.

mod history;
mod operations;
mod parsing;
mod random;
mod retail;
mod suites;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freehold::prelude::*;
use freehold::primitives::{Json, JsonStore, JsonStoreError};
use serde_json::Value;

use crate::machine::Machine;

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[expect(clippy::disallowed_methods, reason = "the test reads data of its own, no database")]
fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn read(name: &str) -> String {
    String::from_utf8(bytes(&data(name))).unwrap()
}

fn value(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap()
}

fn lines(name: &str) -> Vec<Value> {
    read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of a folder's files, in order.
#[expect(clippy::disallowed_methods, reason = "the test reads data of its own, no database")]
fn files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// One operation in a transaction of its own.
#[track_caller]
fn commit<T>(machine: &Machine, body: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> T {
    machine.db.transaction(body).unwrap()
}

/// What a refused operation says.
#[track_caller]
fn refusal<T: std::fmt::Debug>(
    machine: &Machine,
    body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
) -> JsonStoreError {
    machine.db.transaction(body).unwrap_err().rejected::<JsonStoreError>().unwrap().clone()
}

/// Asks a question now, after a crash, and after a clean close.
fn thrice(machine: &mut Machine, mut ask: impl FnMut(&JsonStore)) {
    ask(machine.db.view().on::<JsonStore>());
    machine.crash();
    ask(machine.db.view().on::<JsonStore>());
    machine.close();
    ask(machine.db.view().on::<JsonStore>());
}

/// The database holds these documents and no others, now and after each reopening.
#[track_caller]
fn holds(machine: &mut Machine, expected: &BTreeMap<String, Json>) {
    thrice(machine, |documents| {
        assert_eq!(documents.len(), expected.len());
        for ((name, document), (expected_name, expected)) in documents.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert_eq!(document.value(), expected, "{name}");
        }
    });
}
