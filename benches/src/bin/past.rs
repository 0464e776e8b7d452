//! What the past costs: replaying a run beside replaying everything, forks and what differs between them,
//! and recorded agent runs replayed and compared with what they were.
//!
//! - Nothing is taken for granted: every state that is replayed, loaded or imported is compared with the
//!   one that it must be, and the program panics if it is another.
//! - Times are given twice: as they passed, and as the processor spent them on this process, which
//!   other work on the machine disturbs less. Files are in the page cache.
//! - Memory is what the allocator was asked for and has not got back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freehold::prelude::*;
use freehold::primitives::{EventLog, Expected, KvStore, Payload, StateCell};
use freehold::{Durability, Lsn, RunId, RunView};
use rustix::time::ClockId;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: past [options]

  --records COUNT    records among which a run of 1,000 events lies    Default: 10000000
  --keys COUNT       keys of the run that is forked                    Default: 1000000
  --forks COUNT      forks of it that change 10 keys each              Default: 1000
  --runs PATH        a folder with runs.jsonl and steps.jsonl          Default: none, no such part
  --parts A,B        of replay, forks, runs                            Default: all
  --dir PATH         where the databases are made                      Default: the temporary directory
";

/// Events of the run that is replayed.
const EVENTS: u64 = 1_000;
/// Keys of the root among them.
const ROOT_KEYS: u64 = 1_000_000;
/// Keys that a fork changes.
const CHANGED: u64 = 10;
/// How often what is warm is measured; the best counts.
const PASSES: usize = 20;

struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

struct Plan {
    records: u64,
    keys: u64,
    forks: u64,
    runs: Option<PathBuf>,
    parts: Vec<String>,
    dir: PathBuf,
}

impl Plan {
    fn from_arguments(arguments: &[String]) -> Result<Plan> {
        let mut plan = Plan {
            records: 10_000_000,
            keys: 1_000_000,
            forks: 1_000,
            runs: None,
            parts: ["replay", "forks", "runs"].map(str::to_owned).to_vec(),
            dir: std::env::temp_dir(),
        };
        for pair in arguments.chunks(2) {
            let [option, value] = pair else { return Err(USAGE.into()) };
            match option.as_str() {
                "--records" => plan.records = value.parse::<u64>()?.max(EVENTS),
                "--keys" => plan.keys = value.parse()?,
                "--forks" => plan.forks = value.parse::<u64>()?.max(2),
                "--runs" => plan.runs = Some(PathBuf::from(value)),
                "--parts" => plan.parts = value.split(',').map(str::to_owned).collect(),
                "--dir" => plan.dir = PathBuf::from(value),
                _ => return Err(USAGE.into()),
            }
        }
        plan.dir = plan.dir.join(format!("freehold-past-{}", std::process::id()));
        Ok(plan)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let plan = match Plan::from_arguments(&arguments) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    fs::create_dir_all(&plan.dir)?;
    let wanted = |part: &str| plan.parts.iter().any(|wanted| wanted == part);
    let mut done = Ok(());
    if wanted("replay") {
        done = done.and_then(|()| replay(&plan));
    }
    if wanted("forks") {
        done = done.and_then(|()| forks(&plan));
    }
    if let (true, Some(runs)) = (wanted("runs"), &plan.runs) {
        done = done.and_then(|()| recorded(&plan, runs));
    }
    fs::remove_dir_all(&plan.dir)?;
    done
}

// --- What is measured, and how it is told --------------------------------------------------------

#[derive(Clone, Copy, Default)]
struct Spent {
    processor: Duration,
    passed: Duration,
}

fn processor() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed<T>(body: impl FnOnce() -> T) -> (T, Spent) {
    let (start, before) = (Instant::now(), processor());
    let value = body();
    (value, Spent { passed: start.elapsed(), processor: processor() - before })
}

/// The best of some passes, by each of the two clocks.
fn best<T>(mut body: impl FnMut() -> T) -> Spent {
    let passes: Vec<Spent> = (0..PASSES).map(|_| timed(&mut body).1).collect();
    let least = |of: fn(&Spent) -> Duration| passes.iter().map(of).min().unwrap_or_default();
    Spent { passed: least(|spent| spent.passed), processor: least(|spent| spent.processor) }
}

fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.3}"),
        10.0..1000.0 => format!("{milliseconds:.1}"),
        _ => format!("{milliseconds:.0}"),
    }
}

fn heading(columns: &[&str]) {
    println!("\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

fn row(what: &str, spent: Spent, rest: &str) {
    println!(
        "| {what} | {} | {} | {rest} |",
        milliseconds(spent.passed),
        milliseconds(spent.processor)
    );
}

fn megabytes(bytes: usize) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// Bytes of the files in a directory, 0 if it is not there.
fn bytes_in(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len() as usize).sum()
}

fn options() -> Options {
    let sync_every = Duration::from_secs(1);
    Options::new()
        .durability(Durability::Buffered { sync_every })
        .checkpoint_bytes(None)
        .checkpoint_on_close(false)
        .snapshots_kept(1)
}

/// What a run is, wherever it is: type ID, rows and digest of each primitive.
type Content = Vec<(u8, u64, u64)>;

fn content(run: &RunView) -> freehold::Result<Content> {
    let digests = run.digest()?;
    Ok(digests.iter().map(|digest| (digest.type_id, digest.rows, digest.digest)).collect())
}

/// A bijection of the numbers below 2⁶⁴, so that neighbours lie apart.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

// --- One run among many records ------------------------------------------------------------------

fn replay(plan: &Plan) -> Result<()> {
    let path = plan.dir.join("records");
    let db = options().open(&path)?;
    let agent = db.create_run("agent")?;
    let every = plan.records / EVENTS;
    let mut events = 0;
    let start = Instant::now();
    for record in 0..plan.records {
        if record % every == every / 2 && events < EVENTS {
            events += 1;
            let text = format!("{{\"event\":{events},\"text\":\"{}\"}}", "x".repeat(64));
            db.run(agent).transaction(|tx| {
                tx.on::<KvStore>().put(b"events", events.to_string().as_bytes())?;
                tx.on::<EventLog>().append("events", "event", Payload::json(text).unwrap())
            })?;
        } else {
            let key = mixed(record % ROOT_KEYS).to_be_bytes();
            db.transaction(|tx| tx.on::<KvStore>().put(&key, &record.to_be_bytes()))?;
        }
    }
    let live = content(&db.run(agent).view()?)?;
    db.close()?;
    println!(
        "{} records, a commit each, {EVENTS} of them of the run, made in {} s; log of {}",
        plan.records,
        start.elapsed().as_secs(),
        megabytes(bytes_in(&path.join("wal")))
    );
    heading(&["what", "ms", "processor ms", "times faster, passed", "processor"]);

    let (db, whole) = timed(|| options().open(&path));
    let db = db?;
    row("opening, which replays the whole log", whole, "1 | 1");
    replayed(&db, agent, &live, whole, "log")?;

    let (report, spent) = timed(|| db.checkpoint());
    report?;
    db.transaction(|tx| tx.on::<KvStore>().put(b"last", b""))?;
    db.checkpoint()?;
    db.close()?;
    row("checkpoint, which moves the run's records", spent, "|");
    let (wal, history) = (bytes_in(&path.join("wal")), bytes_in(&path.join("history")));
    let (db, spent) = timed(|| options().open(&path));
    let db = db?;
    row("opening after it", spent, "|");
    replayed(&db, agent, &live, whole, "history files")?;
    db.close()?;
    println!("\nlog of {}, history of {}", megabytes(wal), megabytes(history));
    fs::remove_dir_all(&path)?;
    Ok(())
}

fn replayed(db: &Database, agent: RunId, live: &Content, whole: Spent, from: &str) -> Result<()> {
    let once = || db.replay_run(agent).and_then(|replay| replay.view());
    let (view, cold) = timed(once);
    assert_eq!(&content(&view?)?, live, "the run replayed");
    let warm = best(|| once().map(drop));
    for (what, spent) in [("first", cold), ("again", warm)] {
        let ratio = |of: fn(Spent) -> Duration| of(whole).as_secs_f64() / of(spent).as_secs_f64();
        let (passed, processor) = (ratio(|spent| spent.passed), ratio(|spent| spent.processor));
        let ratios = format!("{passed:.0} | {processor:.0}");
        row(&format!("the run replayed from the {from}, {what}"), spent, &ratios);
    }
    Ok(())
}

// --- Forks ---------------------------------------------------------------------------------------

fn key(number: u64) -> [u8; 8] {
    mixed(number).to_be_bytes()
}

fn forks(plan: &Plan) -> Result<()> {
    let path = plan.dir.join("forks");
    let db = options().open(&path)?;
    let large = db.create_run("large")?;
    let numbers: Vec<u64> = (0..plan.keys).collect();
    for numbers in numbers.chunks(1_000) {
        db.run(large).transaction(|tx| {
            let mut kv = tx.on::<KvStore>();
            numbers
                .iter()
                .try_for_each(|number| kv.put(&key(*number), &[*number as u8; 32]).map(drop))
        })?;
    }
    println!("\na run of {} keys", plan.keys);
    heading(&["what", "ms", "processor ms", "memory", "file"]);
    let settled = |db: Database, what: &str| -> Result<Database> {
        let (report, spent) = timed(|| db.checkpoint());
        let file = megabytes(report?.snapshot_bytes as usize);
        row(&format!("checkpoint, {what}"), spent, &format!("| {file}"));
        db.close()?;
        drop(db);
        let before = held();
        let (db, spent) = timed(|| options().open(&path));
        let db = db?;
        let memory = megabytes(held() - before);
        row(&format!("opening, {what}"), spent, &format!("{memory} |"));
        Ok(db)
    };
    let db = settled(db, "the run alone")?;

    let before = held();
    let (one, spent) = timed(|| db.fork(large, "one"));
    let memory = format!("{} B |", held().saturating_sub(before));
    row("the first fork", spent, &memory);
    db.delete_run(one?)?;

    let before = held();
    let (forks, spent) = timed(|| {
        let fork = |number| db.fork(large, &format!("fork {number}"));
        (0..plan.forks).map(fork).collect::<freehold::Result<Vec<RunId>>>()
    });
    let forks = forks?;
    let memory = held().saturating_sub(before);
    row(&format!("{} forks", plan.forks), spent, &format!("{} |", megabytes(memory)));
    let before = held();
    let (changed, spent) = timed(|| {
        forks.iter().enumerate().try_for_each(|(at, fork)| {
            db.run(*fork).transaction(|tx| {
                let mut kv = tx.on::<KvStore>();
                (0..CHANGED).try_for_each(|number| {
                    let number = (at as u64 * CHANGED + number) * 97 % plan.keys;
                    kv.put(&key(number), &[0xff; 32]).map(drop)
                })
            })
        })
    });
    changed?;
    let memory = megabytes(held().saturating_sub(before));
    row(&format!("each of them changes {CHANGED} keys"), spent, &format!("{memory} |"));
    let (first, last) = (forks[0], forks[forks.len() - 1]);
    let digests = |db: &Database| -> Result<_> {
        Ok([content(&db.run(first).view()?)?, content(&db.run(last).view()?)?])
    };
    let live = digests(&db)?;
    compared(&db, first, last)?;
    let db = settled(db, &format!("with {} forks", plan.forks))?;
    assert_eq!(digests(&db)?, live, "forks after opening");
    compared(&db, first, last)?;
    let (view, spent) = timed(|| db.replay_run(last).and_then(|replay| replay.view()));
    assert_eq!(content(&view?)?, live[1], "a fork replayed");
    row("a fork replayed, with what its parent did", spent, "|");
    db.close()?;
    fs::remove_dir_all(&path)?;
    Ok(())
}

/// What differs between two forks, all of it.
fn compared(db: &Database, first: RunId, last: RunId) -> Result<()> {
    let once = || db.diff(first, last).map(|diff| diff.iter().count());
    let (found, spent) = timed(once);
    assert_eq!(found? as u64, 2 * CHANGED, "what differs between two forks");
    row(&format!("what differs between two forks, {} keys", 2 * CHANGED), spent, "|");
    row("the same again", best(once), "|");
    Ok(())
}

// --- Recorded runs -------------------------------------------------------------------------------

#[derive(serde::Deserialize)]
struct RunLine {
    run_id: String,
    source: String,
}

#[derive(serde::Deserialize)]
struct StepLine {
    run_id: String,
    kind: String,
    role: String,
    name: Option<String>,
}

/// One run of a recording, and what it came to in the database.
struct Recorded<'a> {
    source: String,
    steps: Vec<(StepLine, &'a str)>,
    run: RunId,
    /// After which steps the state is noted, and what it was, by the record.
    noted: BTreeMap<usize, Option<(Lsn, Content)>>,
}

fn recorded(plan: &Plan, folder: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let (runs, steps) = (read("runs.jsonl")?, read("steps.jsonl")?);
    let path = plan.dir.join("runs");
    // Small ones, so that pruning finds some to remove.
    let db = options().segment_bytes(1 << 20).open(&path)?;
    let mut by_name = BTreeMap::new();
    for line in runs.lines() {
        let RunLine { run_id, source } = serde_json::from_str(line)?;
        let run = db.transaction(|tx| {
            let run = tx.create_run(&run_id)?;
            tx.run(run)?.on::<StateCell>().init("run", b"not begun")?;
            Ok(run)
        })?;
        let noted = BTreeMap::new();
        by_name.insert(run_id, Recorded { source, steps: Vec::new(), run, noted });
    }
    for line in steps.lines() {
        let step: StepLine = serde_json::from_str(line)?;
        let run = by_name.get_mut(&step.run_id).ok_or("a step of a run that is not there")?;
        run.steps.push((step, line));
    }
    let mut runs: Vec<Recorded<'_>> = by_name.into_values().collect();
    let mut chance = 1_u64;
    for run in &mut runs {
        for _ in 0..3 {
            chance += 1;
            let step = mixed(chance) % (run.steps.len() as u64).max(1);
            run.noted.insert(step as usize, None);
        }
    }

    let count: usize = runs.iter().map(|run| run.steps.len()).sum();
    println!("\n{} recorded runs of {count} steps", runs.len());
    heading(&["what", "ms", "processor ms", "count"]);
    let (imported, spent) = timed(|| import(&db, &mut runs));
    imported?;
    row("imported, the runs' steps in turn", spent, &count.to_string());
    // Opened anew: nothing of it is in memory, and the files are as another program finds them.
    db.close()?;
    drop(db);
    let db = options().open(&path)?;

    let (mut replaying, mut replays, mut then) = (Spent::default(), 0, 0);
    let mut clock = |spent: Spent| {
        replaying.passed += spent.passed;
        replaying.processor += spent.processor;
    };
    let (mut slowest, mut cut) = (Spent::default(), 0);
    for run in &runs {
        let live = content(&db.run(run.run).view()?)?;
        let (replayed, spent) = timed(|| {
            let replay = db.replay_run(run.run)?;
            let view = replay.view()?;
            Ok::<_, freehold::Error>((replay, view))
        });
        clock(spent);
        if spent.processor > slowest.processor {
            slowest = spent;
        }
        let (replay, view) = replayed?;
        assert_eq!(content(&view)?, live, "run {} replayed", run.run);
        // What makes the run stands in its first record as well.
        assert_eq!(replay.steps().count(), run.steps.len() + 1, "steps of run {}", run.run);
        replays += 1;
        for noted in run.noted.values().flatten() {
            let (lsn, expected) = noted;
            let (view, spent) = timed(|| replay.until(*lsn));
            clock(spent);
            assert_eq!(&content(&view?)?, expected, "run {} at LSN {lsn}", run.run);
            then += 1;
        }
        cut += usize::from(run.noted.values().any(Option::is_none) && !run.steps.is_empty());
    }
    assert_eq!(cut, 0, "every step that was chosen was noted");
    row("replayed, to their ends and to the steps", replaying, &format!("{replays} and {then}"));
    row("the slowest of them to its end", slowest, "1");
    bundles(plan, &db, &runs)?;
    let (wal, history) = (bytes_in(&path.join("wal")), bytes_in(&path.join("history")));
    println!("\nlog of {}, history of {}", megabytes(wal), megabytes(history));
    db.close()?;
    Ok(())
}

/// First each run's first step, then each run's second, and so on: as if all had gone on at once. Most
/// of it goes to history files by checkpoints, and the last part stays in the log.
fn import(db: &Database, runs: &mut [Recorded<'_>]) -> Result<()> {
    let longest = runs.iter().map(|run| run.steps.len()).max().unwrap_or(0);
    let quarter = runs.iter().map(|run| run.steps.len()).sum::<usize>().div_ceil(4).max(1);
    let mut done = 0;
    for at in 0..longest {
        for run in runs.iter_mut() {
            let Some((step, line)) = run.steps.get(at) else { continue };
            db.run(run.run).transaction(|tx| add(tx, at as u64, step, line))?;
            done += 1;
            if done % quarter == 0 && done < 4 * quarter {
                db.checkpoint()?;
            }
            if let Some(noted) = run.noted.get_mut(&at) {
                let view = db.run(run.run).view()?;
                *noted = Some((view.last_lsn(), content(&view)?));
            }
        }
    }
    Ok(())
}

/// A step, as the tool imports it.
fn add(tx: &mut RunTransaction<'_>, at: u64, step: &StepLine, line: &str) -> freehold::Result<()> {
    let payload = Payload::json(line).map_err(freehold::Error::abort)?;
    tx.on::<EventLog>().append("steps", &step.kind, payload)?;
    let tool = step.name.as_ref().map(|name| format!("tool/{name}"));
    for name in ["steps", &format!("kind/{}", step.kind)].into_iter().chain(tool.as_deref()) {
        let was = tx.read::<KvStore>().get(name);
        let was = was.and_then(|was| String::from_utf8(was.to_vec()).ok());
        let count = was.and_then(|was| was.parse::<u64>().ok()).unwrap_or(0) + 1;
        tx.on::<KvStore>().put(name.as_bytes(), count.to_string().as_bytes())?;
    }
    let state = format!("{} {}", step.role, step.kind);
    tx.on::<StateCell>().transition("run", Expected::version(at + 1), state.as_bytes())?;
    Ok(())
}

/// The longest run of each source, in a file, in another database.
fn bundles(plan: &Plan, db: &Database, runs: &[Recorded<'_>]) -> Result<()> {
    let mut longest: BTreeMap<&str, &Recorded<'_>> = BTreeMap::new();
    for run in runs {
        let of_source = longest.entry(&run.source).or_insert(run);
        if run.steps.len() > of_source.steps.len() {
            *of_source = run;
        }
    }
    let other = options().open(plan.dir.join("other"))?;
    for (source, run) in longest {
        let file = plan.dir.join(format!("{}.run", run.run));
        let (exported, spent) = timed(|| db.export_run(run.run, &file));
        exported?;
        let size = fs::metadata(&file)?.len() as usize;
        let what = format!("longest run of {source}, {} steps, exported", run.steps.len());
        row(&what, spent, &megabytes(size));
        let (imported, spent) = timed(|| other.import_run(&file, None));
        let imported = imported?;
        let live = content(&db.run(run.run).view()?)?;
        assert_eq!(content(&other.run(imported).view()?)?, live, "{source} imported");
        let replayed = other.replay_run(imported)?;
        assert_eq!(content(&replayed.view()?)?, live, "{source} imported and replayed");
        let was = db.replay_run(run.run)?;
        let told = |step: freehold::Step| (step.origin, step.timestamp, step.operations);
        assert!(was.steps().map(told).eq(replayed.steps().map(told)), "steps of {source}");
        row("imported elsewhere", spent, "equal, also replayed");
    }
    other.close()?;
    Ok(())
}
