//! Many threads at once: what each saw must be what it would have seen one after the other, in the
//! order of the log, and what was found after a crash or a close a state of that same order.
//!
//! - Every thread notes what it read and wrote, the LSNs, and when it asked and was answered, by one
//!   counter for all. `check.rs` judges afterwards; nothing is checked while the threads run.
//! - What a thread does follows from `FREEHOLD_SEED`; how the threads meet is up to the machine.
//! - `FREEHOLD_LONG=1` runs fifty times as many histories.

#![cfg(all(feature = "full", feature = "testing"))]
#![expect(clippy::disallowed_methods, reason = "it is said how long the histories took")]

mod check;
mod model;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use freehold::prelude::*;
use freehold::testing::{CallKind, Mistake, Random, SimDisk, Survival};

use check::{End, Seen, Tally, What, check};
use model::{Model, Step, begin, erase, read, registers, write};

const THREADS: u64 = 4;
/// What each thread does between two openings.
const ACTIONS: u64 = 120;
/// How often the database is closed and opened again.
const OPENINGS: u64 = 3;
/// Crashes that are tried of one history.
const CRASHES: usize = 60;

fn long() -> bool {
    std::env::var_os("FREEHOLD_LONG").is_some_and(|value| value != "0")
}

/// Past the test harness, which shows what is printed only when a test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

// --- Threads -------------------------------------------------------------------------------------

/// What the threads share.
struct Shared {
    moments: AtomicU64,
    /// The last number that was written.
    written: AtomicU64,
    /// Runs that were made, some of them deleted since.
    runs: Mutex<Vec<u64>>,
    durability: Durability,
}

impl Shared {
    fn new(durability: Durability) -> Shared {
        Shared {
            moments: AtomicU64::new(0),
            written: AtomicU64::new(0),
            runs: Mutex::new(vec![0]),
            durability,
        }
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn runs(&self) -> Vec<u64> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A read that is as durable as promised as soon as it returns.
    fn note(&self, asked: u64, what: What) -> Seen {
        let returned = self.moment();
        Seen { asked, returned, done: Some(returned), what }
    }
}

struct Worker<'a> {
    db: &'a Database,
    shared: &'a Shared,
    random: Random,
    seen: Vec<Seen>,
    /// Submitted, and not yet waited for: where it stands in `seen`.
    pending: Vec<(usize, Pending)>,
    /// Views that are looked at later.
    views: Vec<(u64, u64, View)>,
}

impl Worker<'_> {
    fn work(mut self) -> Vec<Seen> {
        for _ in 0..ACTIONS {
            match self.random.below(32) {
                0..=19 => self.transaction(),
                20..=27 => self.view(),
                28 => self.look_at_views(),
                29 | 30 => self.wait(),
                _ => self.checkpoint(),
            }
        }
        self.look_at_views();
        self.wait();
        self.seen
    }

    fn transaction(&mut self) {
        let mut steps = Vec::new();
        let mut lsn = 0;
        let mut runs = self.shared.runs();
        let (shared, random) = (self.shared, &mut self.random);
        let is_submitted = random.one_in(3);
        let asked = shared.moment();
        let body = |tx: &mut Transaction<'_>| -> Result<()> {
            lsn = tx.lsn().0;
            for _ in 0..1 + random.below(6) {
                steps.push(step(tx, random, shared, &mut runs)?);
                if random.one_in(4) {
                    // So that others come in between, if they can.
                    std::thread::yield_now();
                }
            }
            match random.below(16) {
                0 | 1 => Err(Error::abort("given up")),
                2 => resume_unwind(Box::new("the program's own mistake")),
                _ => Ok(()),
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| match is_submitted {
            true => self.db.submit(body).map(|((), pending)| Some(pending)),
            false => self.db.transaction(body).map(|()| None),
        }));
        let returned = shared.moment();
        let is_late = shared.durability == Durability::Strict;
        let (end, done, pending) = match outcome {
            Ok(Ok(None)) => (End::Returned, Some(returned), None),
            Ok(Ok(Some(pending))) => (End::Returned, (!is_late).then_some(returned), Some(pending)),
            Ok(Err(Error::Aborted(_))) | Err(_) => {
                (End::Undone, (!is_late).then_some(returned), None)
            }
            Ok(Err(error)) => panic!("a transaction failed: {error}"),
        };
        if end == End::Returned {
            *shared.runs.lock().unwrap_or_else(PoisonError::into_inner) = runs;
        }
        self.pending.extend(pending.map(|pending| (self.seen.len(), pending)));
        self.seen.push(Seen { asked, returned, done, what: What::Transaction { lsn, steps, end } });
    }

    fn view(&mut self) {
        let asked = self.shared.moment();
        let view = match self.shared.durability {
            Durability::Strict if self.random.one_in(2) => self.db.view_published(),
            _ => self.db.view(),
        };
        self.views.push((asked, self.shared.moment(), view));
    }

    /// Views must show what they showed when they were taken, however late they are looked at.
    fn look_at_views(&mut self) {
        for (asked, returned, view) in self.views.drain(..) {
            let what = What::View { lsn: view.lsn().0, model: Model::of(&view) };
            self.seen.push(Seen { asked, returned, done: Some(returned), what });
        }
    }

    fn wait(&mut self) {
        for (index, pending) in self.pending.drain(..) {
            pending.wait().expect("nothing fails on this disk");
            let done = self.shared.moment();
            self.seen[index].done.get_or_insert(done);
        }
    }

    fn checkpoint(&mut self) {
        if self.shared.durability == Durability::InMemory {
            return;
        }
        let asked = self.shared.moment();
        let report = self.db.checkpoint().expect("nothing fails on this disk");
        let what = What::Checkpoint { lsn: report.lsn.0 };
        self.seen.push(self.shared.note(asked, what));
    }
}

/// One step of a transaction, by chance.
fn step(
    tx: &mut Transaction<'_>,
    random: &mut Random,
    shared: &Shared,
    runs: &mut Vec<u64>,
) -> Result<Step> {
    let id = runs[random.below(runs.len() as u64) as usize];
    let kind = random.below(32);
    if kind == 0 {
        let name = format!("run {}", random.below(4));
        return match tx.create_run(&name) {
            Ok(run) => {
                runs.push(run.0);
                Ok(Step::Create(name, Some(run.0)))
            }
            Err(Error::Rejected(_)) => Ok(Step::Create(name, None)),
            Err(error) => Err(error),
        };
    }
    if kind == 1 && id != 0 {
        return match tx.delete_run(RunId(id)) {
            Ok(()) => {
                // Some stay in the list, so that others look for a run that is gone.
                if random.one_in(2) {
                    runs.retain(|run| *run != id);
                }
                Ok(Step::Delete(id))
            }
            Err(Error::NoRun { .. }) => Ok(Step::NoRun(id)),
            Err(error) => Err(error),
        };
    }
    let mut run = match tx.run(RunId(id)) {
        Ok(run) => run,
        Err(Error::NoRun { .. }) => {
            runs.retain(|run| *run != id);
            return Ok(Step::NoRun(id));
        }
        Err(error) => return Err(error),
    };
    let all: Vec<_> = registers().collect();
    let register = all[random.below(all.len() as u64) as usize];
    let written = || shared.written.fetch_add(1, Ordering::Relaxed) + 1;
    match kind {
        2..=17 => Ok(Step::Read(id, register, read(&mut run, register))),
        18..=20 => {
            let written = written();
            begin(&mut run, register, written).map(|done| Step::Begin(id, register, written, done))
        }
        21 | 22 if register.can_be_erased() => {
            erase(&mut run, register).map(|()| Step::Erase(id, register))
        }
        _ => {
            let written = written();
            write(&mut run, register, written).map(|()| Step::Write(id, register, written))
        }
    }
}

/// Lets the threads work on an open database.
fn work(db: &Database, shared: &Shared, random: &Random) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let worker = Worker {
                    db,
                    shared,
                    random: random.part(thread),
                    seen: Vec::new(),
                    pending: Vec::new(),
                    views: Vec::new(),
                };
                scope.spawn(move || worker.work())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    })
}

// --- Histories -----------------------------------------------------------------------------------

/// Small files, so that segments rotate and checkpoints prune them.
fn options(durability: Durability) -> Options {
    Options::new().durability(durability).segment_bytes(4096)
}

/// As found by an opening.
fn opened(db: &Database, shared: &Shared, asked: u64, after_crash: bool) -> Seen {
    let view = db.view();
    let what = What::Opened { lsn: view.lsn().0, model: Model::of(&view), after_crash };
    shared.note(asked, what)
}

/// Threads on the files of a directory, closed and opened again between.
fn on_files(durability: Durability, random: &Random, directory: &Path) -> Result<Tally, String> {
    let shared = Shared::new(durability);
    let mut seen = Vec::new();
    for round in 0..OPENINGS {
        let asked = shared.moment();
        // In the background, beside those by hand.
        let options =
            options(durability).checkpoint_bytes(Some(20_000)).checkpoint_on_close(round == 0);
        let db = options.open(directory).map_err(|error| error.to_string())?;
        seen.push(opened(&db, &shared, asked, false));
        seen.extend(work(&db, &shared, &random.part(1000 + round)));
        db.close().map_err(|error| error.to_string())?;
    }
    let asked = shared.moment();
    let db = Database::open(directory).map_err(|error| error.to_string())?;
    seen.push(opened(&db, &shared, asked, false));
    check(seen, durability == Durability::Strict)
}

fn in_memory(random: &Random, plant: Option<Mistake>) -> Result<Tally, String> {
    let shared = Shared::new(Durability::InMemory);
    let db = planted(options(Durability::InMemory), plant).open("").expect("nothing to read");
    let seen = work(&db, &shared, random);
    check(seen, false)
}

fn planted(options: Options, plant: Option<Mistake>) -> Options {
    match plant {
        Some(mistake) => options.plant(mistake),
        None => options,
    }
}

/// Threads on a simulated disk, whose power fails at some of the moments at which it was called;
/// what is found then must be a state of the history, with everything that had been promised.
fn on_a_failing_machine(
    durability: Durability,
    random: &Random,
    plant: Option<Mistake>,
) -> Result<Tally, String> {
    let shared = Arc::new(Shared::new(durability));
    let mut random = random.clone();
    let disk = SimDisk::new(random.next_u64());
    let open = |disk: &SimDisk| {
        let options = options(durability).checkpoint_bytes(None).threads(1).disk(disk.shared());
        planted(options, plant).open("").map_err(|error| error.to_string())
    };
    let db = open(&disk)?;
    let calls: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let (noted, clock, machine) = (Arc::clone(&calls), Arc::clone(&shared), disk.clone());
    disk.observe(move |call, kind| {
        if kind == CallKind::Sync {
            // Syncs are slow, and others go on meanwhile.
            std::thread::sleep(Duration::from_micros(50));
        }
        let now = clock.moment();
        // Another thread may have made this call meanwhile; then the moment was not before it.
        if machine.call_count() == call {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push((call, now));
        }
    });
    let mut seen = work(&db, &shared, &random);
    let points: Vec<_> = disk.crash_points().collect();
    disk.crash();
    // The observer holds the disk, and the disk the observer.
    disk.observe(|_, _| ());
    drop(db);
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for _ in 0..CRASHES {
        let point = &points[random.below(points.len() as u64) as usize];
        // What had returned when the call was about to be made.
        let asked = calls.iter().rev().find(|(call, _)| *call == point.before()).map(|(_, at)| *at);
        let Some(asked) = asked else { continue };
        let survival = match random.below(4) {
            0 => Survival::Nothing,
            _ => Survival::Seeded(random.next_u64()),
        };
        let found = point.disk(survival);
        let db = open(&found).map_err(|error| format!("after a crash: {error}"))?;
        seen.push(opened(&db, &shared, asked, true));
        found.crash();
    }
    check(seen, durability == Durability::Strict)
}

const BUFFERED: Durability = Durability::Buffered { sync_every: Duration::from_millis(5) };

/// Runs `short` histories, or fifty times as many.
fn histories(name: &str, short: u64, one: impl Fn(&Random) -> Result<Tally, String>) {
    let seed = Random::seed_from_env(0x5eed);
    let count = if long() { short * 50 } else { short };
    let begun = Instant::now();
    let mut all = Tally::default();
    for history in 0..count {
        match one(&Random::new(seed).part(history)) {
            Ok(tally) => all += tally,
            Err(what) => panic!("{name}, history {history}, FREEHOLD_SEED={seed}: {what}"),
        }
    }
    say(&format!(
        "\n{name}: {count} histories of {THREADS} threads, seed {seed:#x}, {:.1} s\n{all}",
        begun.elapsed().as_secs_f64()
    ));
    assert!(all.records > 0 && all.undone > 0 && all.refused > 0 && all.views > 0);
    assert!(all.overlaps > 0, "no two threads ever met");
}

#[test]
fn threads_in_memory_see_one_order() {
    histories("in memory", 10, |random| in_memory(random, None));
}

#[test]
fn threads_on_files_see_one_order_that_closing_and_opening_keep() {
    for (name, durability) in [("files, strict", Durability::Strict), ("files, buffered", BUFFERED)]
    {
        histories(name, 2, |random| {
            let directory = tempfile::tempdir().expect("a directory");
            on_files(durability, random, directory.path())
        });
    }
}

#[test]
fn a_power_failure_leaves_a_state_of_the_order_with_all_that_was_promised() {
    for (name, durability) in
        [("crashes, strict", Durability::Strict), ("crashes, buffered", BUFFERED)]
    {
        histories(name, 4, |random| on_a_failing_machine(durability, random, None));
    }
}

// --- Mistakes ------------------------------------------------------------------------------------

/// A planted mistake must be found, in a few histories at most: how threads meet is chance.
#[track_caller]
fn is_caught(mistake: Mistake, one: impl Fn(&Random) -> Result<Tally, String>) {
    let random = Random::new(Random::seed_from_env(0x5eed));
    let caught = (0..20).find_map(|history| one(&random.part(history)).err());
    let Some(what) = caught else { panic!("{mistake:?}: nothing was found") };
    say(&format!("planted: {mistake:?}\n  caught by the histories: {what}"));
}

#[test]
fn a_view_that_is_older_than_what_returned_is_caught() {
    is_caught(Mistake::ShowStale, |random| in_memory(random, Some(Mistake::ShowStale)));
}

#[test]
fn what_an_aborted_transaction_left_in_memory_is_caught() {
    is_caught(Mistake::KeepAborted, |random| in_memory(random, Some(Mistake::KeepAborted)));
}

#[test]
fn mistakes_of_the_commit_are_caught_with_many_threads_too() {
    for mistake in [Mistake::AcknowledgeBeforeSync, Mistake::PublishBeforeSync, Mistake::LogAborted]
    {
        is_caught(mistake, |random| {
            on_a_failing_machine(Durability::Strict, random, Some(mistake))
        });
    }
}
