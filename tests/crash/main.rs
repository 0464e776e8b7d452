//! Every short workload crashed at every call it makes of the disk, everything that may be found
//! then recovered, those recoveries crashed too; and planted mistakes, each of which must be found.
//!
//! - A workload is run once, on the simulated disk, whose fault model stands in
//!   `freehold::testing`. What may be found after a crash at any call follows from its calls.
//! - `FREEHOLD_SEED=<number>` repeats a failure, `FREEHOLD_STEPS=3` tries workloads of up to three
//!   steps, `FREEHOLD_LONG=1` these and far more of each, of which `FREEHOLD_PART=3/16` does the third
//!   sixteenth.

#![cfg(feature = "testing")]

mod cut;
mod explore;
mod model;
mod workload;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freehold::prelude::*;
use freehold::testing::{CallKind, Mistake, Random, SimDisk};

use explore::{Effort, Tally, explore, explore_failures};
use workload::{Mode, Plant, Setup, Start, Step, workloads};

fn long() -> bool {
    std::env::var_os("FREEHOLD_LONG").is_some_and(|value| value != "0")
}

/// How many steps a workload has at most.
fn steps() -> usize {
    match std::env::var("FREEHOLD_STEPS") {
        Err(_) => {
            if long() {
                3
            } else {
                2
            }
        }
        Ok(text) => match text.parse() {
            Ok(steps) => steps,
            Err(error) => panic!("FREEHOLD_STEPS is {text}, expected a number: {error}"),
        },
    }
}

fn effort() -> Effort {
    let seed = Random::seed_from_env(0x5eed);
    if long() {
        Effort {
            seed,
            part: part(),
            states_per_point: 64,
            states_per_recovery_point: 16,
            close_look_one_in: 1,
            kill_one_in: 1,
            failure_one_in: 1,
            failing_moment_one_in: 1,
        }
    } else {
        Effort {
            seed,
            part: part(),
            states_per_point: 4,
            states_per_recovery_point: 4,
            close_look_one_in: 16,
            kill_one_in: 8,
            failure_one_in: if every_failure() { 1 } else { 40 },
            failing_moment_one_in: 16,
        }
    }
}

/// Whether each call fails in each way, and not one way in 40.
fn every_failure() -> bool {
    std::env::var_os("FREEHOLD_EVERY_FAILURE").is_some_and(|value| value == "1")
}

/// Which part of the work is to be done, of how many: all of it unless `FREEHOLD_PART` says
/// otherwise.
fn part() -> (usize, usize) {
    let Ok(text) = std::env::var("FREEHOLD_PART") else { return (1, 1) };
    let part =
        text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match part {
        Some((part, of)) if 1 <= part && part <= of => (part, of),
        _ => panic!("FREEHOLD_PART is {text}, expected something like 3/16"),
    }
}

/// What is tried of one workload.
type Way = fn(&Start, &[Step], &Setup, &Effort) -> Tally;

/// Explores every workload from every start under every setup, on all processors; stops early once
/// `enough` violations were found.
fn explore_all(
    way: Way,
    workloads: &[Vec<Step>],
    plant: &Plant,
    effort: &Effort,
    enough: usize,
) -> Tally {
    let starts = [Start::fresh(), Start::aged()];
    let mut jobs = Vec::new();
    for start in &starts {
        for mode in [Mode::Strict, Mode::Buffered] {
            for snapshots_kept in [2, 1] {
                let setup = Setup { mode, snapshots_kept, plant: plant.clone() };
                // How many are kept means nothing to a workload that makes none.
                let differs = |steps: &&Vec<Step>| {
                    snapshots_kept == 2 || steps.iter().any(|step| step.is_covering())
                };
                let workloads = workloads.iter().filter(differs);
                jobs.extend(workloads.map(|steps| (start, setup.clone(), steps)));
            }
        }
    }
    let (part, of) = effort.part;
    let jobs: Vec<_> = jobs.into_iter().skip(part - 1).step_by(of).collect();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((start, setup, steps)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let found = way(start, steps, setup, effort);
                    let mut tally = tally.lock().expect("no explorer panics");
                    *tally += found;
                    if tally.violations.len() >= enough {
                        return;
                    }
                }
            });
        }
    });
    tally.into_inner().expect("no explorer panics")
}

/// Past the test harness, which shows what is printed only when a test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[test]
fn whatever_is_crashed_recovers_to_a_prefix_with_all_that_was_acknowledged() {
    let effort = effort();
    let tally = explore_all(explore, &workloads(steps()), &None, &effort, 10);
    say(&format!("\ncrash everywhere, seed {:#x}:\n{tally}", effort.seed));
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    assert!(tally.fallbacks > 0, "no workload had two snapshots");
    assert!(tally.refusals > 0, "no workload had a single snapshot that was needed");
}

#[test]
fn a_call_that_fails_loses_nothing_that_was_acknowledged_and_shows_nothing_that_was_not() {
    let effort = effort();
    let steps = workloads(steps() - 1);
    let tally = explore_all(explore_failures, &steps, &None, &effort, 10);
    say(&format!("\nfailing calls, seed {:#x}:\n{tally}", effort.seed));
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    // A part of the workloads need not have both.
    if effort.part == (1, 1) {
        assert!(tally.unsure_found > 0, "no record whose sync failed was found afterwards");
        assert!(tally.unsure_gone > 0, "no record whose write failed was gone afterwards");
    }
}

#[test]
fn the_steps_do_what_their_names_say() {
    let setup = Setup::of(Mode::Strict);
    let run = |steps: &[Step]| workload::Trace::of(&Start::fresh(), steps, &setup);
    let segments = |steps: &[Step]| explore::count_below(&run(steps).disk, "wal");
    let snapshots = |steps: &[Step]| explore::count_below(&run(steps).disk, "snapshots");
    assert!(segments(&[Step::Rotation]) > segments(&[Step::One]));
    assert_eq!(snapshots(&[Step::One]), 0);
    assert_eq!(snapshots(&[Step::One, Step::Checkpoint]), 1);
    assert_eq!(snapshots(&[Step::One, Step::Checkpoint, Step::One, Step::Checkpoint]), 2);
    assert_eq!(run(&[Step::Aborted]).history.len(), 1);
    assert_eq!(run(&[Step::Cross, Step::Rejected]).history.len(), 3);
    let runs_at_end = |steps: &[Step]| run(steps).history.pop_last().expect("it ends").1.runs.len();
    assert_eq!(runs_at_end(&[Step::Run, Step::Run]), 2);
    assert_eq!(runs_at_end(&[Step::Run, Step::Run, Step::Delete]), 1);
    assert_eq!(runs_at_end(&[Step::Run, Step::Run, Step::Aborted]), 2);
    assert_eq!(runs_at_end(&[Step::Run, Step::Run, Step::Detached]), 1);
    assert_eq!(run(&[Step::Detached]).history.len(), 4);
    // Without a record between, a checkpoint writes nothing.
    let calls = |steps: &[Step]| run(steps).disk.change_count();
    let once = calls(&[Step::One, Step::Checkpoint]);
    assert_eq!(calls(&[Step::One, Step::Checkpoint, Step::Checkpoint]), once);
    let setup = Setup { snapshots_kept: 1, ..setup };
    let steps = [Step::One, Step::Checkpoint, Step::One, Step::Checkpoint];
    let kept_one = workload::Trace::of(&Start::fresh(), &steps, &setup);
    assert_eq!(explore::count_below(&kept_one.disk, "snapshots"), 1);
}

#[test]
fn in_memory_there_is_no_call_that_could_be_crashed() {
    let disk = SimDisk::new(1);
    let options = Options::new().durability(Durability::InMemory).disk(disk.shared());
    let db = options.open("").expect("nothing can fail");
    db.transaction(|tx| tx.on::<model::Counters>().add("one", 1)).expect("nothing can fail");
    db.checkpoint().expect("there is nothing to do");
    db.close().expect("there is nothing to do");
    assert_eq!(disk.call_count(), 0);
}

/// A mistake: its name, the test that must catch it, and the first that this test found.
type Canary = (&'static str, &'static str, Option<String>);

/// What exploring every workload finds of a mistake.
fn explored(
    name: &'static str,
    plant: impl Fn(&SimDisk, Options) -> Options + Send + Sync + 'static,
) -> Canary {
    (name, "crash everywhere", first_found(explore, 2, plant))
}

/// What failing calls find of a mistake that shows only then.
fn explored_failing(name: &'static str, mistake: Mistake) -> Canary {
    (name, "failing calls", first_found(explore_failures, 1, planting(mistake)))
}

fn first_found(
    way: Way,
    steps: usize,
    plant: impl Fn(&SimDisk, Options) -> Options + Send + Sync + 'static,
) -> Option<String> {
    let effort = Effort { part: (1, 1), ..effort() };
    let tally = explore_all(way, &workloads(steps), &Some(Arc::new(plant)), &effort, 1);
    let first = tally.violations.first().and_then(|found| found.lines().next());
    first.map(str::to_owned)
}

fn ignoring(kind: CallKind) -> impl Fn(&SimDisk, Options) -> Options {
    move |disk, options| {
        disk.ignore(kind);
        options
    }
}

fn planting(mistake: Mistake) -> impl Fn(&SimDisk, Options) -> Options {
    move |_, options| options.plant(mistake)
}

#[test]
fn every_planted_mistake_is_caught() {
    let table = [
        explored("file sync left out", ignoring(CallKind::Sync)),
        explored("directory sync left out", ignoring(CallKind::SyncDir)),
        explored("ack before sync", planting(Mistake::AcknowledgeBeforeSync)),
        explored("view shows unsynced", planting(Mistake::PublishBeforeSync)),
        explored("replay of an aborted transaction", planting(Mistake::LogAborted)),
        explored("prune past the older snapshot", planting(Mistake::PrunePastOlderSnapshot)),
        explored("what is detached left out", planting(Mistake::DropDetached)),
        explored_failing("a failed sync called good", Mistake::TrustFailedSync),
        explored_failing("a refused transaction stays", Mistake::KeepRefused),
        cut::canary("cut before its copy is durable", Some(CallKind::Sync)),
        cut::canary("cut before its copy has a name", Some(CallKind::SyncDir)),
        cut::canary("cut without a copy", Some(CallKind::Rename)),
    ];
    let mut text = format!("\n{:<34} {:<30} first finding", "planted mistake", "caught by");
    for (name, test, found) in &table {
        let found = found.as_deref().unwrap_or("NOTHING");
        text.push_str(&format!("\n{name:<34} {test:<30} {found}"));
    }
    say(&text);
    let missed: Vec<_> = table.iter().filter(|row| row.2.is_none()).map(|row| row.0).collect();
    assert!(missed.is_empty(), "nothing was found of: {}", missed.join(", "));
}

#[test]
fn what_is_cut_is_in_quarantine_wherever_the_recovery_is_crashed() {
    let (_, _, found) = cut::canary("none", None);
    assert_eq!(found, None);
}
