//! Every short workload crashed at every call it makes of the disk, everything that may be found
//! then recovered, those recoveries crashed too; and planted mistakes, each of which must be found.
//!
//! - A workload is run once, on the simulated disk, whose fault model stands in
//!   `freehold::testing`. What may be found after a crash at any call follows from its calls.
//! - `FREEHOLD_SEED=<number>` repeats a failure, `FREEHOLD_LONG=1` tries far more.

#![cfg(feature = "testing")]

mod explore;
mod model;
mod workload;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freehold::testing::{CallKind, Mistake, Random};

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

/// A planted mistake must be found, and the first finding is printed.
fn is_caught(mistake: &str, plant: Plant) {
    let tally = explore_all(explore, &workloads(2), &plant, &effort(), 1);
    let Some(first) = tally.violations.first() else {
        panic!("{mistake}: nothing was found in {} crash states", tally.states)
    };
    let first = first.lines().next().unwrap_or_default();
    say(&format!("planted: {mistake}\n  caught: {first}"));
}

#[test]
fn a_directory_sync_left_out_is_caught() {
    is_caught(
        "directory sync left out",
        Some(Arc::new(|disk, options| {
            disk.ignore(CallKind::SyncDir);
            options
        })),
    );
}

#[test]
fn a_file_sync_left_out_is_caught() {
    is_caught(
        "file sync left out",
        Some(Arc::new(|disk, options| {
            disk.ignore(CallKind::Sync);
            options
        })),
    );
}

fn is_caught_in_the_engine(name: &str, mistake: Mistake) {
    is_caught(name, Some(Arc::new(move |_, options| options.plant(mistake))));
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    is_caught_in_the_engine("ack before sync", Mistake::AcknowledgeBeforeSync);
}

#[test]
fn a_view_before_the_sync_is_caught() {
    is_caught_in_the_engine("publish before sync", Mistake::PublishBeforeSync);
}

#[test]
fn an_aborted_transaction_in_the_log_is_caught() {
    is_caught_in_the_engine("replay of an aborted transaction", Mistake::LogAborted);
}

#[test]
fn a_log_pruned_past_the_older_snapshot_is_caught() {
    is_caught_in_the_engine("prune past the older snapshot", Mistake::PrunePastOlderSnapshot);
}
