//! Files that no engine wrote, under checksums that are right: what decoders make of them.
//!
//! - Each case takes a small sound database apart, changes one of its structures a few times, sets
//!   lengths and counts right or not, computes every checksum anew, and opens what comes of it.
//! - The outcome is an error or a state. A state is the same at the next opening, also after a commit
//!   and a checkpoint. No panic, also none that the engine catches; no case takes seconds; none makes
//!   the process ask for memory that the file does not have.
//! - A case is its target, the seed and its number. A failure prints all three; `FREEHOLD_FUZZ_CASE`
//!   runs that case alone.

mod change;
#[cfg(feature = "cli")]
mod corpus;
#[cfg(feature = "cli")]
mod lines;
mod log;
mod mark;
mod past;
#[expect(unsafe_code, reason = "a primitive's place in the registry is a linker section")]
mod sample;
mod snapshot;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::database::Database;
use crate::error::{Damage, Error, Result};
use crate::id::Lsn;
use crate::recovery::{Needs, Reach, Settings};
use crate::registry::PrimitiveRegistry;
use crate::snapshot::snapshot_path;
use crate::testing::{Random, SimDisk};
use log::Log;
use snapshot::Snapshot;

/// A database: every file with its bytes.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// How many cases of a target the short form runs.
const SHORT_CASES: u64 = 400;
/// How long a target runs in the long form, unless `FREEHOLD_FUZZ_SECONDS` says otherwise.
const LONG_SECONDS: u64 = 1800;
/// How long a case may take: they take a millisecond or two.
const CASE_SECONDS: u64 = 60;
/// How much more memory than before a case may ask for. A length read from a file and believed asks
/// for up to 4 GiB, or for more than there is.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wal")
}

fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "snapshot")
}

// --- Running cases -------------------------------------------------------------------------------

thread_local! {
    /// The panics of this thread, if it runs cases.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Collects the panics of threads that run cases, instead of printing them: the engine catches those
/// of operations, and none may come from its own code.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_ours = PANICS.try_with(|panics| {
                let mut panics = panics.try_borrow_mut().ok()?;
                // An operation of another test's primitive, which is to panic.
                if info.location().is_some_and(|at| at.file().ends_with("tests.rs")) {
                    return Some(());
                }
                panics.as_mut().map(|panics| panics.push(info.to_string()))
            });
            if !matches!(is_ours, Ok(Some(()))) {
                before(info);
            }
        }));
    });
}

/// The most memory that this process ever asked for at once, where the system tells.
#[expect(clippy::disallowed_methods, reason = "a file of the system's")]
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}, expected a number")))
}

/// What a case came to: a word, and after a colon what was said.
type Outcome = String;

/// A case, made by the numbers that it is given.
type Case = fn(&mut Random) -> Outcome;

/// The word of an outcome.
fn word(outcome: &str) -> &str {
    match outcome.split_once(": ") {
        // Nobody expects it, so all of it is told.
        Some(("other", _)) | None => outcome,
        Some((word, _)) => word,
    }
}

/// The numbers of which a case of a target is made.
fn numbers(target: &str, seed: u64, case: u64) -> Random {
    let part = target.bytes().fold(0, |part, byte| part * 31 + u64::from(byte));
    Random::new(seed).part(part).part(case)
}

/// Runs cases, each by its seed and number, and hands each outcome to `each`, with what it has so far.
fn watched<T: Send + 'static>(
    target: &'static str,
    cases: impl Iterator<Item = (u64, u64)> + Send + 'static,
    mut found: T,
    each: fn(&mut T, (u64, u64), Outcome),
) -> T {
    watch_panics();
    let (_, case) = TARGETS.iter().find(|(known, _)| *known == target).expect("a target");
    let (begun, to_watch) = channel();
    let worker = std::thread::spawn(move || {
        PANICS.with_borrow_mut(|panics| *panics = Some(Vec::new()));
        for (seed, number) in cases {
            let _ = begun.send((seed, number));
            let before = memory_bytes();
            let mut random = numbers(target, seed, number);
            let outcome = catch_unwind(AssertUnwindSafe(|| case(&mut random)));
            let panics = PANICS.with_borrow_mut(|panics| std::mem::take(panics.as_mut().unwrap()));
            let asked = memory_bytes().saturating_sub(before);
            let place =
                format!("target {target}, FREEHOLD_SEED={seed}, FREEHOLD_FUZZ_CASE={number}");
            match outcome {
                _ if !panics.is_empty() => return Err(format!("{place}: {}", panics.join("\n"))),
                _ if asked > MEMORY_BYTES_MAX => return Err(format!("{place}: {asked} bytes")),
                Ok(outcome) => each(&mut found, (seed, number), outcome),
                Err(_) => return Err(format!("{place}: panicked")),
            }
        }
        Ok(found)
    });
    let mut last = (0, 0);
    loop {
        match to_watch.recv_timeout(Duration::from_secs(CASE_SECONDS)) {
            Ok(case) => last = case,
            Err(RecvTimeoutError::Timeout) => panic!(
                "target {target}, FREEHOLD_SEED={}, FREEHOLD_FUZZ_CASE={}: \
                 does not end in {CASE_SECONDS} seconds",
                last.0, last.1
            ),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let found = worker.join().expect("the worker catches panics");
    found.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs the cases of a target and says how often they came to what.
fn run(target: &'static str) -> BTreeMap<Outcome, u64> {
    let seed = Random::seed_from_env(0xf022);
    let only = number_from_env("FREEHOLD_FUZZ_CASE");
    let is_long = std::env::var_os("FREEHOLD_LONG").is_some();
    let seconds = number_from_env("FREEHOLD_FUZZ_SECONDS").or(is_long.then_some(LONG_SECONDS));
    let first = only.unwrap_or(0);
    let watch = Stopwatch::start();
    let goes_on = move |number: &u64| match (only, seconds) {
        (Some(only), _) => *number == only,
        (None, Some(seconds)) => watch.elapsed() < Duration::from_secs(seconds),
        (None, None) => *number < SHORT_CASES,
    };
    let cases = (first..).take_while(goes_on).map(move |number| (seed, number));
    let outcomes = watched(target, cases, BTreeMap::new(), |outcomes, _, outcome| {
        *outcomes.entry(word(&outcome).to_owned()).or_default() += 1;
    });
    println!("{target}: {} cases: {outcomes:?}", outcomes.values().sum::<u64>());
    outcomes
}

/// Runs a target, and sees to it that its cases come past the checksums, and to both ends.
#[track_caller]
fn explore(target: &'static str) {
    let outcomes = run(target);
    let cases: u64 = outcomes.values().sum();
    if cases > 100 {
        let at_checksums = outcomes.get("Checksum").copied().unwrap_or(0);
        assert!(at_checksums * 4 < cases, "the checksums refuse too much: {outcomes:?}");
        let taken = outcomes.get("taken").copied().unwrap_or(0);
        assert!(taken > 0 && taken < cases, "all the same: {outcomes:?}");
    }
}

// --- One case ------------------------------------------------------------------------------------

/// What decides whether two states are the same.
fn state(db: &Database) -> String {
    let view = db.view();
    let runs: Vec<String> = view.runs().map(|run| format!("{run:?}")).collect();
    format!("{} {:?} {:?} {runs:?}", view.lsn(), view.timestamp(), view.digest().unwrap())
}

fn outcome_of(error: &Error) -> Outcome {
    let said = error.to_string();
    // A refusal is something that a person can read.
    assert!(!said.is_empty());
    let word = match error {
        Error::Corrupt { what: Damage::Checksum { .. }, .. } => "Checksum",
        Error::Corrupt { what, .. } => {
            let what = format!("{what:?}");
            let word = what.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            return format!("{word}: {said}");
        }
        Error::Missing { .. } => "missing",
        Error::Version { .. } => "version",
        Error::Registry(_) => "registry",
        Error::ReplayDiverged(_) => "replay",
        Error::NoLsn { .. } => "no LSN",
        Error::HistoryCut { .. } => "history cut",
        Error::HistoryLost { .. } => "history lost",
        Error::Rejected(_) => "rejected",
        _ => "other",
    };
    format!("{word}: {said}")
}

/// Opens the files, looks at them in every other way that there is, and opens them again.
fn open(files: &Files, random: &mut Random) -> Outcome {
    let disk = SimDisk::new(3);
    for (path, bytes) in files {
        disk.put(path, bytes);
    }
    let registry = PrimitiveRegistry::linked().unwrap();
    let options = || sample::options(&disk);
    let before = disk.fingerprint();
    if random.one_in(3) {
        let settings = options().recovery();
        let _ = crate::recovery::verify(
            &disk.shared(),
            registry,
            &Settings { check_all: true, ..settings.clone() },
        );
        let salvaged = Settings { reach: Reach::Damage, ..settings };
        let _ = crate::recovery::inspect(&disk.shared(), registry, &salvaged);
        let _ = Needs::read(&disk.shared()).map(|needs| needs.judge(registry.facts()));
    }
    let opened = match random.below(4) {
        0 => options().detach("Curios").open(""),
        1 => options().build_indexes(true).open(""),
        _ => options().open(""),
    };
    let db = match opened {
        Ok(db) => db,
        Err(error) => {
            assert_eq!(disk.fingerprint(), before, "a refusal changes nothing");
            return outcome_of(&error);
        }
    };
    let again = |db: Database, then: &str| -> Database {
        let expected = state(&db);
        drop(db);
        let db = options().open("").unwrap_or_else(|error| panic!("{then}: {error}"));
        // A primitive that was carried is there now.
        if then != "detached" {
            assert_eq!(state(&db), expected, "{then}");
        }
        db
    };
    let is_detached = !db.recovery_report().detached.is_empty();
    drop(state(&db));
    if is_detached {
        return "taken".to_owned();
    }
    let mut db = again(db, "opened again");
    if random.one_in(2) {
        let committed = commit(&db);
        db = again(db, if committed.is_ok() { "after a commit" } else { "after none" });
    }
    if random.one_in(2) && db.checkpoint().is_ok() {
        again(db, "after a checkpoint");
    }
    "taken".to_owned()
}

fn commit(db: &Database) -> Result<()> {
    db.transaction(|tx| {
        tx.create_run("made after all")?;
        tx.on::<sample::Curios>().remove("in the run").map(drop)
    })
}

/// Changes the log a few times and opens it.
fn log_case(random: &mut Random, change: fn(&mut Log, &mut Random), settles: bool) -> Outcome {
    let base = if random.one_in(4) { sample::snapshot() } else { sample::log() };
    let mut log = Log::of(base);
    let settles = settles || random.one_in(3);
    if !settles {
        log.settle(false);
    }
    for _ in 0..=random.below(2) {
        change(&mut log, random);
    }
    if settles {
        log.settle(!random.one_in(4));
    }
    let mut files = log.seal();
    files.extend(base.iter().filter(|(path, _)| !is_segment(path)).cloned());
    for (_, bytes) in files.iter_mut().filter(|(path, _)| is_snapshot(path)) {
        let mut snapshot = Snapshot::of(bytes);
        snapshot.link_to(&log);
        *bytes = snapshot.seal();
    }
    if random.one_in(2) {
        // The mark says what was synced, and makes damage of most changes.
        files.retain(|(path, _)| !path.ends_with("synced"));
    }
    open(&files, random)
}

/// Changes a snapshot a few times and opens it.
fn snapshot_case(
    random: &mut Random,
    change: fn(&mut Snapshot, &mut Random) -> Option<()>,
    settles: bool,
) -> Outcome {
    let mut files = sample::snapshot().clone();
    let (_, bytes) = files.iter_mut().find(|(path, _)| is_snapshot(path)).unwrap();
    let mut snapshot = Snapshot::of(bytes);
    for _ in 0..=random.below(2) {
        change(&mut snapshot, random);
    }
    if settles || random.one_in(4) {
        snapshot.settle();
    }
    *bytes = snapshot.seal();
    open(&files, random)
}

/// Opens a sound database whose numbers are at their ends: there is none behind the last.
fn limits_case(random: &mut Random) -> Outcome {
    let mut files = sample::snapshot().clone();
    files.retain(|(path, _)| !path.ends_with("synced"));
    let mut log = Log::of(&files);
    let at = files.iter().position(|(path, _)| is_snapshot(path)).unwrap();
    let (path, bytes) = files.remove(at);
    let mut snapshot = Snapshot::of(&bytes);
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap();
    let mut covered: u64 = name.parse().unwrap();
    if random.one_in(2) {
        let end = [u64::MAX, u64::MAX, 1 << 63, 1 << 32][random.below(4) as usize];
        let by = (end - random.below(4)).wrapping_sub(log.last_lsn());
        covered = covered.wrapping_add(by);
        log.shift_lsns(by);
    }
    if random.one_in(2) {
        log.shift_segments(u64::MAX - 4 - random.below(4));
    }
    let mut some = |end: u64| random.one_in(2).then(|| end - random.below(3));
    let epoch = some(u32::MAX.into()).map(|epoch| epoch as u32);
    let timestamp = some(u64::MAX);
    let next_run = some(u64::MAX);
    log.set_writer(epoch, timestamp);
    snapshot.set_covered(covered, epoch, timestamp);
    next_run.iter().for_each(|next_run| snapshot.set_next_run(*next_run));
    snapshot.settle();
    files.retain(|(path, _)| !is_segment(path));
    files.extend(log.seal());
    snapshot.link_to(&log);
    files.push((snapshot_path(Lsn(covered)), snapshot.seal()));
    open(&files, random)
}

// --- The targets ---------------------------------------------------------------------------------

const TARGETS: &[(&str, Case)] = &[
    ("ends", |random| log_case(random, Log::change_ends, false)),
    ("records", |random| log_case(random, Log::change_lists, true)),
    ("heads", |random| log_case(random, Log::change_heads, false)),
    ("arguments", |random| log_case(random, Log::change_arguments, true)),
    ("sections", |random| snapshot_case(random, Snapshot::change_lists, true)),
    ("snapshots", |random| snapshot_case(random, Snapshot::change_fields, false)),
    ("rows", |random| snapshot_case(random, Snapshot::change_rows, true)),
    ("limits", limits_case),
    ("marks", mark::case),
    ("histories", past::history_case),
    ("bundles", past::bundle_case),
    #[cfg(feature = "cli")]
    ("lines", lines::case),
];

fn settled(mut log: Log) -> Files {
    log.settle(true);
    log.seal()
}

#[test]
fn what_is_taken_apart_and_put_together_is_the_same() {
    for files in [sample::log(), sample::snapshot()] {
        let mut log = Log::of(files);
        for (path, bytes) in [log.seal(), settled(log)].concat() {
            let (_, before) = files.iter().find(|(other, _)| *other == path).unwrap();
            let (kept, zeros) = before.split_at(bytes.len());
            assert!(kept == bytes && zeros.iter().all(|byte| *byte == 0), "{path:?}");
        }
        for (path, bytes) in files.iter().filter(|(path, _)| is_snapshot(path)) {
            let mut snapshot = Snapshot::of(bytes);
            assert!(snapshot.seal() == *bytes, "{path:?}");
            snapshot.settle();
            assert!(snapshot.seal() == *bytes, "{path:?}");
        }
    }
}

#[test]
fn headers_catalogs_and_footers_of_segments() {
    explore("ends");
}

#[test]
fn records_and_entries_lost_doubled_and_swapped() {
    explore("records");
}

#[test]
fn fields_of_records_and_of_the_engines_own_entries() {
    explore("heads");
}

#[test]
fn arguments_of_operations() {
    explore("arguments");
}

#[test]
fn sections_instances_and_blocks_lost_doubled_and_swapped() {
    explore("sections");
}

#[test]
fn fields_of_snapshots() {
    explore("snapshots");
}

#[test]
fn rows_of_snapshots() {
    explore("rows");
}

#[test]
fn numbers_at_their_ends() {
    explore("limits");
}

#[test]
fn synced_marks() {
    explore("marks");
}

#[test]
fn history_files() {
    explore("histories");
}

#[test]
fn bundles_of_runs() {
    explore("bundles");
}

#[cfg(feature = "cli")]
#[test]
fn lines_of_json() {
    explore("lines");
}
