//! Every short workload crashed at every call it makes of the disk, everything that may be found
//! then recovered, those recoveries crashed too; and planted mistakes, each of which must be found.
//!
//! - A workload is run once, on the simulated disk, whose fault model stands in
//!   `freehold::testing`. What may be found after a crash at any call follows from its calls.
//! - `FREEHOLD_SEED=<number>` repeats a failure, `FREEHOLD_LONG=1` tries far more.

#![cfg(feature = "testing")]

mod cut;
mod explore;
mod model;
mod workload;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freehold::Options;
use freehold::testing::{CallKind, Mistake, Random, SimDisk};

use explore::{Effort, Tally, explore, explore_failures};
use workload::{Mode, Plant, Setup, Start, Step, workloads};

fn long() -> bool {
    std::env::var_os("FREEHOLD_LONG").is_some_and(|value| value != "0")
}

fn effort() -> Effort {
    let seed = Random::seed_from_env(0x5eed);
    if long() {
        Effort {
            seed,
            states_per_point: 64,
            states_per_recovery_point: 16,
            close_look_one_in: 1,
            kill_one_in: 1,
            failure_one_in: 1,
        }
    } else {
        Effort {
            seed,
            states_per_point: 6,
            states_per_recovery_point: 5,
            close_look_one_in: 8,
            kill_one_in: 3,
            failure_one_in: 4,
        }
    }
}

/// Explores every workload under every mode, on all processors; stops early once `enough`
/// violations were found.
fn explore_all(
    way: fn(&Start, &[Step], &Setup, &Effort) -> Tally,
    workloads: &[Vec<Step>],
    plant: &Plant,
    effort: &Effort,
    enough: usize,
) -> Tally {
    let starts = [Start::fresh(), Start::aged()];
    let mut jobs = Vec::new();
    for start in &starts {
        for mode in [Mode::Strict, Mode::Buffered] {
            jobs.extend(workloads.iter().map(|steps| (start, mode, steps)));
        }
    }
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((start, mode, steps)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let setup = Setup { mode: *mode, plant: plant.clone() };
                    let found = way(start, steps, &setup, effort);
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
    let tally = explore_all(explore, &workloads(if long() { 3 } else { 2 }), &None, &effort, 10);
    say(&format!("\ncrash everywhere, seed {:#x}:\n{tally}", effort.seed));
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    assert!(tally.fallbacks > 0, "no workload had two snapshots");
}

#[test]
fn a_call_that_fails_loses_nothing_that_was_acknowledged_and_shows_nothing_that_was_not() {
    let effort = effort();
    let steps = workloads(if long() { 2 } else { 1 });
    let tally = explore_all(explore_failures, &steps, &None, &effort, 10);
    say(&format!("\nfailing calls, seed {:#x}:\n{tally}", effort.seed));
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
}

#[test]
fn the_steps_do_what_their_names_say() {
    let setup = Setup { mode: Mode::Strict, plant: None };
    let run = |steps: &[Step]| workload::Trace::of(&Start::fresh(), steps, &setup);
    let segments = |steps: &[Step]| explore::count_below(&run(steps).disk, "wal");
    let snapshots = |steps: &[Step]| explore::count_below(&run(steps).disk, "snapshots");
    assert!(segments(&[Step::Rotation]) > segments(&[Step::One]));
    assert_eq!(snapshots(&[Step::One]), 0);
    assert_eq!(snapshots(&[Step::One, Step::Checkpoint]), 1);
    assert_eq!(snapshots(&[Step::One, Step::Checkpoint, Step::One, Step::Checkpoint]), 2);
    assert_eq!(run(&[Step::Aborted]).history.len(), 1);
    assert_eq!(run(&[Step::Cross, Step::Rejected]).history.len(), 3);
}

/// A mistake: its name, the test that must catch it, and the first that this test found.
type Canary = (&'static str, &'static str, Option<String>);

/// What exploring every workload finds of a mistake.
fn explored(
    name: &'static str,
    plant: impl Fn(&SimDisk, Options) -> Options + Send + Sync + 'static,
) -> Canary {
    let tally = explore_all(explore, &workloads(2), &Some(Arc::new(plant)), &effort(), 1);
    let first = tally.violations.first().and_then(|found| found.lines().next());
    (name, "crash everywhere", first.map(str::to_owned))
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
