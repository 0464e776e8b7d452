//! Crashes a workload at every call, recovers every disk that may be found then, crashes those
//! recoveries too, and says what is wrong.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use freehold::Database;
use freehold::prelude::*;
use freehold::testing::{CrashPoint, Random, SimDisk, Survival};

use crate::model::{Counters, Model, difference, replayed_otherwise};
use crate::workload::{FailingCall, Setup, Start, Step, Trace};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) seed: u64,
    /// Which part of the workloads is run, of how many.
    pub(crate) part: (usize, usize),
    /// Disks tried for each moment of the workload.
    pub(crate) states_per_point: u64,
    /// Disks tried for each moment of a recovery.
    pub(crate) states_per_recovery_point: u64,
    /// One recovery in so many is crashed at each of its calls, and looked at more closely.
    pub(crate) close_look_one_in: u64,
    /// One killed process in so many is recovered with a crash at each call of the recovery.
    pub(crate) kill_one_in: u64,
    /// One in so many ways in which a call can fail is tried.
    pub(crate) failure_one_in: u64,
    /// One moment in so many after a call that failed is crashed, more of the first, and the last.
    pub(crate) failing_moment_one_in: u64,
}

/// What was tried, and what was wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) workloads: u64,
    /// Moments at which a workload was crashed.
    pub(crate) points: u64,
    /// Pairs of a moment and a disk found after a crash then.
    pub(crate) states: u64,
    /// Of them, disks that differ within their workload: each was recovered.
    pub(crate) recoveries: u64,
    /// Disks found after a second crash, in the recovery from the first.
    pub(crate) double_states: u64,
    /// Of them, those recovered.
    pub(crate) double_recoveries: u64,
    /// Disks found after the process was killed, recovered, and then lost power.
    pub(crate) kills: u64,
    /// Recoveries from the older snapshot, the newest being damaged.
    pub(crate) fallbacks: u64,
    /// Recoveries that were refused, as they had to be: the only snapshot was damaged.
    pub(crate) refusals: u64,
    /// Recoveries by a program without one of the primitives, which went on.
    pub(crate) detached: u64,
    /// Runs in which a call of the disk failed.
    pub(crate) failures: u64,
    /// Records whose write or sync failed and that the next opening found.
    pub(crate) unsure_found: u64,
    /// Records whose write or sync failed and that were gone at the next opening.
    pub(crate) unsure_gone: u64,
    pub(crate) violations: Vec<String>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.workloads += other.workloads;
        self.points += other.points;
        self.states += other.states;
        self.recoveries += other.recoveries;
        self.double_states += other.double_states;
        self.double_recoveries += other.double_recoveries;
        self.kills += other.kills;
        self.fallbacks += other.fallbacks;
        self.refusals += other.refusals;
        self.detached += other.detached;
        self.failures += other.failures;
        self.unsure_found += other.unsure_found;
        self.unsure_gone += other.unsure_gone;
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} workloads", self.workloads)?;
        writeln!(f, "{:>9} moments at which they were crashed", self.points)?;
        writeln!(f, "{:>9} crash states, {} of them recovered", self.states, self.recoveries)?;
        writeln!(
            f,
            "{:>9} double crash states, {} of them recovered",
            self.double_states, self.double_recoveries
        )?;
        writeln!(f, "{:>9} killed processes, then a power failure after recovery", self.kills)?;
        writeln!(f, "{:>9} recoveries without the newest snapshot", self.fallbacks)?;
        writeln!(f, "{:>9} refused: the only snapshot was damaged", self.refusals)?;
        writeln!(f, "{:>9} recoveries without one of the primitives, which wrote", self.detached)?;
        if self.failures > 0 {
            writeln!(f, "{:>9} runs in which calls of the disk failed", self.failures)?;
            writeln!(
                f,
                "{:>9} records that may be there were found by an opening, {} were not",
                self.unsure_found, self.unsure_gone
            )?;
        }
        write!(f, "{:>9} violations", self.violations.len())
    }
}

/// Runs a workload and crashes it everywhere.
pub(crate) fn explore(start: &Start, steps: &[Step], setup: &Setup, effort: &Effort) -> Tally {
    let name = name_of(start, steps, setup);
    let trace = match guarded(|| Ok(Trace::of(start, steps, setup))) {
        Ok(trace) => trace,
        Err(error) => {
            let message = format!("FREEHOLD_SEED={} {name}: {error}", effort.seed);
            return Tally { workloads: 1, violations: vec![message], ..Tally::default() };
        }
    };
    let mut explorer = Explorer {
        name,
        setup,
        effort,
        trace: &trace,
        known: HashMap::new(),
        tally: Tally { workloads: 1, ..Tally::default() },
    };
    for point in trace.disk.crash_points() {
        explorer.crash(&point);
        if explorer.tally.violations.len() > 3 {
            break;
        }
    }
    explorer.tally
}

fn name_of(start: &Start, steps: &[Step], setup: &Setup) -> String {
    let kept = if setup.snapshots_kept == 1 { " one snapshot kept" } else { "" };
    format!("{} {:?}{kept} {steps:?}", start.name, setup.mode)
}

/// Runs a workload once for each of its calls and each way in which that call can fail, and crashes
/// each at moments after that call.
pub(crate) fn explore_failures(
    start: &Start,
    steps: &[Step],
    setup: &Setup,
    effort: &Effort,
) -> Tally {
    let name = name_of(start, steps, setup);
    let call_count = Trace::of(start, steps, setup).disk.call_count();
    let mut tally = Tally { workloads: 1, ..Tally::default() };
    for call in 0..call_count {
        let mut random = Random::new(seed_for(effort, &name, "failures")).part(call);
        for error in FailingCall::KINDS {
            for lasting in [false, true] {
                if random.one_in(effort.failure_one_in) {
                    let failing = FailingCall { call, error, lasting };
                    tally += explore_failure(start, steps, setup, effort, failing);
                }
            }
        }
    }
    tally
}

fn explore_failure(
    start: &Start,
    steps: &[Step],
    setup: &Setup,
    effort: &Effort,
    failing: FailingCall,
) -> Tally {
    let name = format!("{}, {failing}", name_of(start, steps, setup));
    let mut tally = Tally { failures: 1, ..Tally::default() };
    let seed = seed_for(effort, &name, "losses");
    let trace = match guarded(|| Ok(Trace::failing(start, steps, setup, failing, seed))) {
        Ok(trace) => trace,
        Err(error) => {
            tally.violations.push(format!("FREEHOLD_SEED={} {name}: {error}", effort.seed));
            return tally;
        }
    };
    tally.unsure_found = trace.unsure_found;
    tally.unsure_gone = trace.unsure_gone;
    let known = HashMap::new();
    let mut explorer = Explorer { name, setup, effort, trace: &trace, known, tally };
    let mut random = Random::new(explorer.seed_for("moments"));
    let end = trace.disk.call_count();
    // What is found before the call is what is found without the failure.
    for point in trace.disk.crash_points().filter(|point| point.before() > failing.call) {
        // Most of what a failure sets off is done in the next calls.
        let is_near = point.before() <= failing.call + 24;
        let one_in = effort.failing_moment_one_in.div_ceil(if is_near { 8 } else { 1 });
        if point.before() == end || random.one_in(one_in) {
            explorer.crash(&point);
        }
        if explorer.tally.violations.len() > 3 {
            break;
        }
    }
    explorer.tally
}

struct Explorer<'a> {
    name: String,
    setup: &'a Setup,
    effort: &'a Effort,
    trace: &'a Trace,
    /// What was recovered from each disk, by its fingerprint.
    known: HashMap<u64, Known>,
    tally: Tally,
}

/// What was recovered from a disk.
#[derive(Clone, Copy)]
struct Known {
    /// The last record; `None`: it was wrong.
    lsn: Option<u64>,
    /// Whether it was met after a first crash, and looked at as those are.
    is_looked_at: bool,
}

impl Explorer<'_> {
    fn crash(&mut self, point: &CrashPoint) {
        let call = point.before();
        self.tally.points += 1;
        let ceiling = self.trace.ceiling(call);
        let seed = self.seed_for("crash");
        for survival in point.survivals(self.effort.states_per_point, seed) {
            self.tally.states += 1;
            let disk = point.disk(survival);
            let place = format!("crashed before call {call}, {survival:?}");
            let floor = match survival {
                // As after a kill, but for what failed syncs lost.
                Survival::Everything if self.tally.failures == 0 => {
                    self.trace.floor_after_kill(call)
                }
                _ => self.trace.floor(call),
            };
            let Some(lsn) = self.recovered(&disk, &place) else { continue };
            self.bounds(lsn, floor, ceiling, &place);
        }
        self.kill(point);
    }

    /// The process ends, the machine goes on; the next process recovers, and the power fails then or
    /// before.
    fn kill(&mut self, point: &CrashPoint) {
        let call = point.before();
        let place = format!("killed before call {call}");
        self.tally.kills += 1;
        let disk = point.disk_after_kill();
        let Some(lsn) = self.open_and_check(&disk, &place) else { return };
        let ceiling = self.trace.ceiling(call);
        self.bounds(lsn, self.trace.floor_after_kill(call), ceiling, &place);
        if !Random::new(self.seed_for(&place)).one_in(self.effort.kill_one_in) {
            self.lose_power(&disk.crash_point(), &place, [lsn, lsn]);
            return;
        }
        // What the first process promised is all that counts until the second serves.
        let floor = self.trace.floor(call);
        for point in disk.crash_points() {
            let is_over = point.before() == disk.call_count();
            let bounds = if is_over { [lsn, lsn] } else { [floor, ceiling] };
            self.lose_power(&point, &place, bounds);
        }
    }

    fn lose_power(&mut self, point: &CrashPoint, place: &str, [floor, ceiling]: [u64; 2]) {
        let most = self.effort.states_per_recovery_point;
        for survival in point.survivals(most, self.seed_for(place)) {
            self.tally.double_states += 1;
            let call = point.before();
            let place = format!("{place}; its recovery crashed before call {call}, {survival:?}");
            let disk = point.disk(survival);
            if let Some(lsn) = self.recovered_once(&disk, &place) {
                self.bounds(lsn, floor, ceiling, &place);
            }
        }
    }

    /// Recovers a disk found after a second crash, unless the same has been before.
    fn recovered_once(&mut self, disk: &SimDisk, place: &str) -> Option<u64> {
        let fingerprint = disk.fingerprint();
        if let Some(known) = self.known.get(&fingerprint) {
            return known.lsn;
        }
        self.tally.double_recoveries += 1;
        let lsn = self.open_and_check(disk, place);
        self.known.insert(fingerprint, Known { lsn, is_looked_at: false });
        lsn
    }

    fn bounds(&mut self, lsn: u64, floor: u64, ceiling: u64, place: &str) {
        if lsn < floor {
            self.wrong(place, &format!("recovered to LSN {lsn}, LSN {floor} was acknowledged"));
        }
        if lsn > ceiling {
            self.wrong(place, &format!("recovered to LSN {lsn}, only LSN {ceiling} had begun"));
        }
    }

    fn expect_lsn(&mut self, found: u64, expected: u64, place: &str) {
        if found != expected {
            self.wrong(place, &format!("recovered to LSN {found}, expected {expected}"));
        }
    }

    /// Recovers a disk found after a first crash, unless the same has been after one before.
    fn recovered(&mut self, disk: &SimDisk, place: &str) -> Option<u64> {
        let fingerprint = disk.fingerprint();
        if let Some(known) = self.known.get(&fingerprint).filter(|known| known.is_looked_at) {
            return known.lsn;
        }
        self.tally.recoveries += 1;
        let before = disk.after_kill();
        let lsn = self.open_and_check(disk, place);
        self.known.insert(fingerprint, Known { lsn, is_looked_at: true });
        let lsn = lsn?;
        self.damaged_snapshot(&before, lsn, place);
        if fingerprint.is_multiple_of(self.effort.close_look_one_in) {
            self.recover_again(&before, lsn, place);
            self.recover_and_go_on(disk, lsn, place);
            self.recover_without_a_primitive(&before, lsn, place);
            self.crash_recovery(disk, lsn, place);
        }
        Some(lsn)
    }

    /// Deterministic: the same disk gives the same state.
    fn recover_again(&mut self, disk: &SimDisk, lsn: u64, place: &str) {
        let place = format!("{place}, recovered once more");
        let again = disk.after_kill();
        if let Some(found) = self.open_and_check(&again, &place) {
            self.expect_lsn(found, lsn, &place);
        }
    }

    /// The recovered database takes another record and keeps it.
    fn recover_and_go_on(&mut self, recovered: &SimDisk, lsn: u64, place: &str) {
        let place = format!("{place}, recovered, and went on");
        // Idempotent: what was recovered is durable, and recovered again.
        let disk = recovered.after_crash(Survival::Nothing);
        let outcome = guarded(|| {
            let db = self.setup.open(&disk)?;
            let found = db.view().lsn().0;
            let run = db.transaction(|tx| {
                tx.on::<Counters>().add("went on", 1)?;
                tx.create_run("went on")
            })?;
            // Durable in every mode.
            db.checkpoint()?;
            let shown = Model::of(&db.view());
            shut_off(&disk, db);
            let next = disk.after_crash(Survival::Nothing);
            let db = self.setup.open(&next)?;
            let last = db.view().lsn().0;
            let kept = difference(&Model::of(&db.view()), &shown);
            let kept = kept.or_else(|| replayed_otherwise(&db));
            shut_off(&next, db);
            Ok((found, last, kept, run, count_below(&next, "snapshots")))
        });
        match outcome {
            Err(error) => self.wrong(&place, &error),
            Ok((found, last, kept, run, snapshots)) => {
                self.expect_lsn(found, lsn, &place);
                self.expect_lsn(last, lsn + 1, &place);
                if let Some(kept) = kept {
                    self.wrong(&place, &kept);
                }
                let known = self.trace.history.range(..=lsn);
                let known = known.filter_map(|(_, model)| model.runs.keys().next_back()).max();
                if known.is_some_and(|known| run.0 <= *known) {
                    self.wrong(&place, &format!("a new run got the number {run} of an older one"));
                }
                if snapshots > self.setup.snapshots_kept {
                    self.wrong(&place, &format!("{snapshots} files of snapshots were left"));
                }
            }
        }
    }

    /// A program without one of the primitives recovers, writes and makes a checkpoint; then the
    /// primitive is there again, with all that it had.
    fn recover_without_a_primitive(&mut self, disk: &SimDisk, lsn: u64, place: &str) {
        self.tally.detached += 1;
        let place = format!("{place}, recovered without a primitive");
        let Some(expected) = self.trace.history.get(&lsn) else { return };
        let mut went_on = expected.clone();
        went_on.root.add("went on", 1);
        let disk = disk.after_kill();
        let outcome = guarded(|| {
            let db = self.setup.open_without_notes(&disk)?;
            let found = db.view().lsn().0;
            let shown =
                difference(&Model::of_counters(&db.view()), &expected.clone().without_notes());
            db.transaction(|tx| tx.on::<Counters>().add("went on", 1))?;
            db.checkpoint()?;
            shut_off(&disk, db);
            let next = disk.after_crash(Survival::Nothing);
            let db = self.setup.open(&next)?;
            let kept = difference(&Model::of(&db.view()), &went_on);
            let kept = kept.or_else(|| replayed_otherwise(&db));
            shut_off(&next, db);
            Ok((found, shown, kept))
        });
        match outcome {
            Err(error) => self.wrong(&place, &error),
            Ok((found, shown, kept)) => {
                self.expect_lsn(found, lsn, &place);
                for different in [shown, kept].into_iter().flatten() {
                    self.wrong(&place, &different);
                }
            }
        }
    }

    /// Crashes the recovery that was made on `recovered` at each of its calls.
    fn crash_recovery(&mut self, recovered: &SimDisk, lsn: u64, place: &str) {
        for point in recovered.crash_points() {
            self.lose_power(&point, place, [lsn, lsn]);
        }
    }

    /// Whether the disk was full once: then all snapshots but the newest may have been given up.
    fn was_full(&self) -> bool {
        let calls = self.trace.disk.calls();
        calls.iter().any(|call| {
            matches!(call.error, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
        })
    }

    /// Without the newest snapshot, the WAL since an older one or since the beginning gives the same
    /// state. If only one is kept, or was on a full disk, there may be neither, and that is refused.
    fn damaged_snapshot(&mut self, disk: &SimDisk, lsn: u64, place: &str) {
        let files = disk.files();
        let snapshots: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with("snapshots"))
            .filter(|(path, _)| path.extension().is_some_and(|end| end == "snapshot"))
            .collect();
        let Some((newest, bytes)) = snapshots.last() else { return };
        let disk = disk.after_kill();
        assert!(disk.flip(newest, bytes / 2, 0x40));
        let place = format!("{place}, the newest snapshot damaged");
        if snapshots.len() == 1 && (self.setup.snapshots_kept == 1 || self.was_full()) {
            let copy = disk.after_kill();
            match self.setup.open(&copy) {
                Ok(db) => shut_off(&copy, db),
                Err(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
                    self.tally.refusals += 1;
                    if files_but_the_lock(&copy) != files_but_the_lock(&disk) {
                        self.wrong(&place, &format!("changed, then refused: {error}"));
                    }
                    return;
                }
                Err(error) => return self.wrong(&place, &format!("refused: {error}")),
            }
        }
        self.tally.fallbacks += 1;
        if let Some(found) = self.open_and_check(&disk, &place) {
            self.expect_lsn(found, lsn, &place);
        }
    }

    /// Opens the database, compares it with the model, and returns its last LSN. The machine is off
    /// then.
    fn open_and_check(&mut self, disk: &SimDisk, place: &str) -> Option<u64> {
        let opened = guarded(|| {
            let db = self.setup.open(disk)?;
            let view = db.view();
            let found = (view.lsn().0, Model::of(&view));
            shut_off(disk, db);
            Ok(found)
        });
        let (lsn, state) = match opened {
            Ok(found) => found,
            Err(error) => {
                self.wrong(place, &error);
                return None;
            }
        };
        let Some(expected) = self.trace.history.get(&lsn) else {
            self.wrong(place, &format!("recovered to LSN {lsn}, which never was"));
            return None;
        };
        if let Some(difference) = difference(&state, expected) {
            self.wrong(place, &format!("at LSN {lsn} the {difference}"));
            return None;
        }
        Some(lsn)
    }

    fn seed_for(&self, place: &str) -> u64 {
        seed_for(self.effort, &self.name, place)
    }

    fn wrong(&mut self, place: &str, what: &str) {
        let Explorer { name, effort, trace, .. } = self;
        let mut message = format!("FREEHOLD_SEED={} {name}: {place}: {what}", effort.seed);
        if self.tally.violations.is_empty() {
            message.push_str("\nthe workload's calls:\n");
            message.push_str(&trace.disk.log());
        }
        self.tally.violations.push(message);
    }
}

/// A seed of its own for each workload and place: the same choices everywhere would try little.
fn seed_for(effort: &Effort, name: &str, place: &str) -> u64 {
    let bytes = name.bytes().chain(place.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ effort.seed
}

/// Drops a database without letting it make another call.
fn shut_off(disk: &SimDisk, db: Database) {
    disk.crash();
    drop(db);
}

/// A panic is as wrong as an error.
fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| format!("refused: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            // On one line, as the places before it: the log of calls comes after.
            let text = text.unwrap_or("without a message").replace('\n', ";");
            Err(format!("panicked: {text}"))
        }
    }
}

/// All that stands in files, except who has the database open.
fn files_but_the_lock(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let files = disk.files().into_iter().filter(|(path, _)| path != Path::new("LOCK"));
    files.map(|(path, _)| (path.clone(), disk.bytes(&path))).collect()
}

/// How many files are below `dir`.
pub(crate) fn count_below(disk: &SimDisk, dir: &str) -> usize {
    disk.files().iter().filter(|(path, _)| path.starts_with(Path::new(dir))).count()
}
