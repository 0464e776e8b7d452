//! Damage to every place of every file: each byte changed, each length cut, each sector gone, files
//! lost, doubled, swapped, foreign. After each the database opens in the exact state, or is refused;
//! and each run replays to what it is, or that is refused.
//!
//! - The database is small and has everything: sealed segments and an unsealed one, two snapshots, a
//!   history file, the synced mark, several runs, every primitive that ships with freehold.
//! - The short form tries one place in 8 of the last segment, the mark and the newest snapshot, and one
//!   in 64 of the others; `FREEHOLD_LONG=1` tries all. `-- --nocapture` prints the table.

#![cfg(all(feature = "full", feature = "testing"))]
#![expect(
    clippy::disallowed_methods,
    reason = "the damaged files of other engines are read from disk"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use freehold::prelude::*;
use freehold::primitives::trace::{Batch, Origin, Span, SpanId, TraceId};
use freehold::primitives::{
    EventLog, Json, JsonStore, KvStore, Metric, Payload, RunIndex, StateCell, TraceStore,
    VectorStore,
};
use freehold::testing::{Random, SimDisk, Survival, TestClock};

fn long() -> bool {
    std::env::var_os("FREEHOLD_LONG").is_some_and(|value| value != "0")
}

fn options(disk: &SimDisk) -> Options {
    let clock = TestClock::ticking(Timestamp(1_000), 1_000);
    Options::new()
        .disk(disk.shared())
        .clock(clock.reader())
        .segment_bytes(4 << 10)
        .threads(1)
        .checkpoint_on_close(false)
        .on_warning(|_, _| {})
}

/// A number that differs where states differ.
fn digest(view: &View) -> String {
    format!("{} {:?}", view.lsn(), view.digest().unwrap())
}

fn span(round: u64) -> Batch {
    let (trace, id) =
        (TraceId::new([7; 16]).unwrap(), SpanId::new((round + 1).to_be_bytes()).unwrap());
    Batch { origin: Origin::default(), spans: vec![Span::new(trace, id, "round", round)] }
}

/// A database with something of everything.
struct Sample {
    disk: SimDisk,
    /// Its state.
    state: String,
    /// The states before it, by LSN.
    before: BTreeMap<u64, String>,
}

impl Sample {
    fn new(seed: u64, end: fn(Database)) -> Sample {
        let disk = SimDisk::new(seed);
        let db = options(&disk).open("").unwrap();
        let mut before = BTreeMap::from([(0, digest(&db.view()))]);
        let run = db.create_run("a run").unwrap();
        before.insert(1, digest(&db.view()));
        let create = |tx: &mut Transaction<'_>| {
            tx.on::<VectorStore>().create_collection("plane", 2, Metric::L2)
        };
        db.transaction(create).unwrap();
        before.insert(2, digest(&db.view()));
        for round in 0..60_u64 {
            if round == 20 || round == 40 {
                db.checkpoint().unwrap();
            }
            db.transaction(|tx| {
                tx.on::<KvStore>().put(&round.to_le_bytes(), &[round as u8; 20])?;
                tx.on::<StateCell>().set("round", &round.to_le_bytes())?;
                tx.on::<JsonStore>().put("round", &Json::from(round))?;
                let id = round.to_string();
                tx.on::<VectorStore>().insert("plane", &id, &[round as f32, 1.0], None)?;
                tx.on::<TraceStore>().record(span(round))?;
                if round % 8 == 0 {
                    let other = tx.create_run(&format!("run {round}"))?;
                    tx.on::<RunIndex>().create(other, "of the sample")?;
                }
                tx.run(run)?.on::<EventLog>().append("steps", "step", Payload::bytes("payload"))
            })
            .unwrap();
            let view = db.view();
            before.insert(view.lsn().0, digest(&view));
        }
        let state = digest(&db.view());
        end(db);
        let sample = Sample { disk: disk.after_crash(Survival::Everything), state, before };
        let kinds: BTreeSet<_> = sample.files().iter().map(|path| kind(path)).collect();
        assert_eq!(kinds.len(), 4, "something of everything, but only {kinds:?}");
        sample
    }

    fn files(&self) -> Vec<PathBuf> {
        self.disk
            .files()
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| path != Path::new("LOCK"))
            .collect()
    }

    fn bytes(&self, path: &Path) -> Vec<u8> {
        self.disk.bytes(path).unwrap()
    }
}

/// What an opening made of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It opened in the exact state, and each run replays.
    Exact,
    /// It opened in the exact state, and the replay of a run is refused.
    Forgot,
    /// It was refused.
    Refused,
    /// It opened in an earlier state.
    Earlier,
    /// It opened in a state that never was.
    Wrong,
    Panicked,
}

impl Outcome {
    /// All that is there is right, and what is not is said to be missing. `damaged` names the files
    /// that were damaged: what runs did is in the history and in segments alone.
    fn is_honest(self, damaged: &str) -> bool {
        match self {
            Outcome::Exact | Outcome::Refused => true,
            Outcome::Forgot => damaged.contains("history/") || damaged.contains(".wal"),
            Outcome::Earlier | Outcome::Wrong | Outcome::Panicked => false,
        }
    }
}

/// Opens the disk, replays its runs if `replays`, and opens it again.
fn outcome(sample: &Sample, disk: &SimDisk, replays: bool) -> (Outcome, String) {
    catch_unwind(AssertUnwindSafe(|| open_twice(sample, disk, replays)))
        .unwrap_or((Outcome::Panicked, String::new()))
}

fn open_twice(sample: &Sample, disk: &SimDisk, replays: bool) -> (Outcome, String) {
    let db = match options(disk).open("") {
        Ok(db) => db,
        Err(refusal) => return (Outcome::Refused, refusal.to_string()),
    };
    let state = digest(&db.view());
    let past = if replays { replay_all(&db) } else { (Outcome::Exact, String::new()) };
    drop(db);
    match options(disk).open("").map(|db| digest(&db.view())) {
        Ok(again) if again == state => {}
        Ok(again) => return (Outcome::Wrong, format!("at the second opening {again}")),
        Err(refusal) => return (Outcome::Wrong, format!("at the second opening: {refusal}")),
    }
    if state == sample.state {
        past
    } else if sample.before.values().any(|before| *before == state) {
        (Outcome::Earlier, state)
    } else {
        (Outcome::Wrong, state)
    }
}

/// Replays each run to its end: it is what it is, or that is refused.
fn replay_all(db: &Database) -> (Outcome, String) {
    let view = db.view();
    let mut outcome = (Outcome::Exact, String::new());
    for row in view.runs() {
        let live = view.run(row.id).unwrap().digest().unwrap();
        match db.replay_run(row.id).and_then(|replay| replay.view()?.digest()) {
            Ok(replayed) if replayed == live => {}
            Ok(replayed) => {
                return (Outcome::Wrong, format!("run {} replays to {replayed:?}", row.id));
            }
            Err(refusal) => outcome = (Outcome::Forgot, refusal.to_string()),
        }
    }
    outcome
}

/// One kind of damage to one kind of file, and how often what came of it.
type Table = BTreeMap<(&'static str, &'static str), BTreeMap<Outcome, usize>>;

/// What kind of file it is.
fn kind(path: &Path) -> &'static str {
    let name = path.to_string_lossy();
    if name.ends_with(".snapshot") {
        "snapshot"
    } else if name.ends_with(".wal") {
        "segment"
    } else if name.starts_with("history") {
        "history file"
    } else {
        assert_eq!(name, "wal/synced");
        "synced mark"
    }
}

/// What becomes of a file's bytes, at this place.
type Damage = fn(&[u8], usize) -> Vec<u8>;

struct Trial {
    what: &'static str,
    path: PathBuf,
    place: usize,
    damage: Damage,
}

/// Tries everything on all processors. Gives the table and what must not be.
fn try_all(sample: &Sample, trials: &[Trial]) -> (Table, Vec<String>) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Table::new(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let disk = sample.disk.after_crash(Survival::Everything);
                    let bytes = sample.bytes(&trial.path);
                    disk.put(&trial.path, &(trial.damage)(&bytes, trial.place));
                    // No replay reads a snapshot.
                    let replays = kind(&trial.path) != "snapshot";
                    let started = Instant::now();
                    let (outcome, said) = outcome(sample, &disk, replays);
                    let slow = started.elapsed().as_secs() >= 10;
                    let mut found = found.lock().unwrap();
                    let row = found.0.entry((trial.what, kind(&trial.path))).or_default();
                    *row.entry(outcome).or_default() += 1;
                    let Trial { what, path, place, .. } = trial;
                    let path = path.display().to_string();
                    if slow {
                        found.1.push(format!("{what} {place} of {path}: slow"));
                    }
                    if !outcome.is_honest(&path) {
                        found.1.push(format!("{what} {place} of {path}: {outcome:?} {said}"));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    changed(bytes, at..at + 1, |byte| byte ^ 1 << (at % 8))
}

fn invert(bytes: &[u8], at: usize) -> Vec<u8> {
    changed(bytes, at..at + 1, |byte| !byte)
}

fn cut(bytes: &[u8], at: usize) -> Vec<u8> {
    bytes[..at].to_vec()
}

fn zero_sector(bytes: &[u8], at: usize) -> Vec<u8> {
    changed(bytes, at..bytes.len().min(at + 512), |_| 0)
}

fn changed(bytes: &[u8], range: std::ops::Range<usize>, change: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[range].iter_mut().for_each(|byte| *byte = change(*byte));
    bytes
}

/// Every place of every file; of the larger part of them only each `stride`-th.
fn trials(sample: &Sample, stride: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    let files = sample.files();
    let newest = |kind_of: &str| files.iter().rfind(|path| kind(path) == kind_of).cloned();
    let closely = [newest("segment"), newest("synced mark"), newest("snapshot")];
    let mut random = Random::new(Random::seed_from_env(0xdada));
    for path in &files {
        let bytes = sample.bytes(path);
        let stride =
            if closely.contains(&Some(path.clone())) { stride.div_ceil(8) } else { stride };
        let kinds: [(&'static str, usize, Damage); 4] = [
            ("bit flipped", stride, flip),
            ("byte inverted", stride * 4, invert),
            ("cut to", stride, cut),
            ("sector zeroed", 512, zero_sector),
        ];
        for (what, step, damage) in kinds {
            let first = if step == 512 { 0 } else { random.below(step as u64) as usize };
            for place in (first..bytes.len()).step_by(step) {
                trials.push(Trial { what, path: path.clone(), place, damage });
            }
        }
    }
    trials
}

fn print(name: &str, table: &Table) {
    println!("{name}");
    println!(
        "{:15} {:12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "damage", "file", "exact", "forgot", "refused", "earlier", "wrong", "panic"
    );
    for ((what, kind), row) in table {
        let count = |outcome| row.get(&outcome).copied().unwrap_or(0);
        println!(
            "{what:15} {kind:12} {:8} {:8} {:8} {:8} {:8} {:8}",
            count(Outcome::Exact),
            count(Outcome::Forgot),
            count(Outcome::Refused),
            count(Outcome::Earlier),
            count(Outcome::Wrong),
            count(Outcome::Panicked),
        );
    }
}

#[test]
fn any_damage_to_a_closed_database_is_harmless_or_refused() {
    let sample = Sample::new(1, |db| db.close().unwrap());
    let trials = trials(&sample, if long() { 1 } else { 64 });
    let (table, bad) = try_all(&sample, &trials);
    print("closed", &table);
    assert!(
        bad.is_empty(),
        "{} of {}:\n{}",
        bad.len(),
        trials.len(),
        bad[..bad.len().min(20)].join("\n")
    );
}

/// A killed process leaves an unsealed segment and a mark that says what was synced.
#[test]
fn any_damage_after_a_kill_is_harmless_or_refused() {
    let sample = Sample::new(2, std::mem::forget);
    let trials = trials(&sample, if long() { 1 } else { 64 });
    let (table, bad) = try_all(&sample, &trials);
    print("killed", &table);
    assert!(
        bad.is_empty(),
        "{} of {}:\n{}",
        bad.len(),
        trials.len(),
        bad[..bad.len().min(20)].join("\n")
    );
}

/// The exception that `docs/guarantees.md` states: the power fails before the synced mark was
/// written back, and then the last record rots. Nothing is left that proves it was synced.
#[test]
fn only_damage_to_the_last_record_after_a_power_loss_can_pass_for_a_torn_tail() {
    let mut sample = Sample::new(3, std::mem::forget);
    let disk = sample.disk.after_crash(Survival::Nothing);
    // What the mark says is lost with the power, as late as it is written back.
    disk.lose(Path::new("wal/synced"));
    sample.disk = disk;
    let trials = trials(&sample, if long() { 1 } else { 64 });
    let (table, bad) = try_all(&sample, &trials);
    print("without the synced mark", &table);
    let last = sample.files().into_iter().rfind(|path| kind(path) == "segment").unwrap();
    let before_last = sample.before.values().rev().nth(1).unwrap();
    let (exceptions, others): (Vec<_>, Vec<_>) = bad.into_iter().partition(|line| {
        line.contains(&*last.to_string_lossy()) && line.ends_with(&format!("Earlier {before_last}"))
    });
    // A file that is shorter says nothing of how long it was, and a sector may hold several records.
    let (cuts, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|line| {
        (line.starts_with("cut to") || line.starts_with("sector"))
            && line.contains(&format!(" of {}: Earlier ", last.display()))
    });
    println!(
        "{} in the last record pass for a torn tail, as do {} cuts and sectors",
        exceptions.len(),
        cuts.len()
    );
    assert!(!exceptions.is_empty(), "the exception is real");
    assert!(others.is_empty(), "{}:\n{}", others.len(), others[..others.len().min(20)].join("\n"));
}

/// A change of the files as wholes.
type Deed = Box<dyn Fn(&SimDisk)>;

/// Every file lost, doubled under the next name, swapped with each other one, replaced by that of
/// another database of the same history.
fn deeds(sample: &Sample, other: &Sample) -> Vec<(String, Deed)> {
    let files = sample.files();
    let mut deeds: Vec<(String, Deed)> = Vec::new();
    for path in &files {
        let bytes = sample.bytes(path);
        let lost = path.clone();
        deeds.push((format!("{} lost", path.display()), Box::new(move |disk| disk.lose(&lost))));
        for next in next_names(path) {
            let (what, bytes) =
                (format!("{} doubled as {}", path.display(), next.display()), bytes.clone());
            deeds.push((what, Box::new(move |disk| disk.put(&next, &bytes))));
        }
        for second in files.iter().filter(|second| *second > path) {
            let (one, two) = (path.clone(), second.clone());
            let (of_one, of_two) = (sample.bytes(path), sample.bytes(second));
            let what = format!("{} swapped with {}", path.display(), second.display());
            let swap = move |disk: &SimDisk| {
                disk.put(&one, &of_two);
                disk.put(&two, &of_one);
            };
            deeds.push((what, Box::new(swap)));
        }
        if let Some(foreign) = other.disk.bytes(path) {
            let path = path.clone();
            let what = format!("{} of another database", path.display());
            deeds.push((what, Box::new(move |disk| disk.put(&path, &foreign))));
        }
    }
    deeds
}

/// Names that another such file could have: a number higher; a history that goes on, or overlaps. There
/// is one synced mark.
fn next_names(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let Some((numbers, suffix)) = name.split_once('.') else { return Vec::new() };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let names = match numbers.split_once('-') {
        None => vec![format!("{:0width$}", number(numbers) + 1, width = numbers.len())],
        Some((first, last)) => {
            let (first, last) = (number(first), number(last));
            let goes_on = format!("{:020}-{:020}", last + 1, last + 1 + last - first);
            vec![goes_on, format!("{first:020}-{:020}", last + 1)]
        }
    };
    names.iter().map(|name| path.with_file_name(format!("{name}.{suffix}"))).collect()
}

#[test]
fn files_lost_doubled_swapped_and_foreign_are_harmless_or_refused() {
    for end in [(|db| db.close().unwrap()) as fn(Database), std::mem::forget] {
        let (sample, other) = (Sample::new(4, end), Sample::new(5, end));
        let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
        let deeds = deeds(&sample, &other);
        for (what, deed) in &deeds {
            let disk = sample.disk.after_crash(Survival::Everything);
            deed(&disk);
            let (outcome, said) = outcome(&sample, &disk, true);
            *counts.entry(outcome).or_default() += 1;
            assert!(outcome.is_honest(what), "{what}: {outcome:?} {said}");
        }
        println!("{} deeds: {counts:?}", deeds.len());
    }
}

/// Every file under `directory`.
fn foreign_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(foreign_files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn files_of_other_engines_are_refused_wherever_they_stand() {
    let sample = Sample::new(6, std::mem::forget);
    let foreign = foreign_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corrupt"));
    assert!(foreign.len() > 80);
    let mut counts: BTreeMap<(&str, Outcome), usize> = BTreeMap::new();
    for file in &foreign {
        let bytes = std::fs::read(file).unwrap();
        for path in sample.files() {
            let disk = sample.disk.after_crash(Survival::Everything);
            disk.put(&path, &bytes);
            let (outcome, said) = outcome(&sample, &disk, true);
            *counts.entry((kind(&path), outcome)).or_default() += 1;
            let path = path.display().to_string();
            let what = format!("{} as {path}", file.display());
            assert!(outcome.is_honest(&path), "{what}: {outcome:?} {said}");
        }
        // Under names that a database has and this one does not have yet.
        for path in [
            "wal/000099.wal",
            "wal/000099.wal.tmp",
            "snapshots/00000000000000000099.snapshot",
            "history/00000000000000000001-00000000000000000099.history",
        ] {
            let disk = sample.disk.after_crash(Survival::Everything);
            disk.put(Path::new(path), &bytes);
            let (outcome, said) = outcome(&sample, &disk, true);
            assert!(outcome.is_honest(path), "{} as {path}: {outcome:?} {said}", file.display());
        }
    }
    println!("{} files: {counts:?}", foreign.len());
}
