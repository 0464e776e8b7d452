//! Short workloads, and what is known of each at every moment: which records had begun, which were
//! acknowledged, which a view had shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold::Database;
use freehold::prelude::*;
use freehold::testing::{SimDisk, Survival, TestClock};

use crate::model::{Counters, Model, Notes, difference};

/// One step of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A transaction on one primitive.
    One,
    /// A transaction on two primitives.
    Cross,
    /// A run is created, and a transaction made in it and in the root.
    Run,
    /// An operation changes state and then refuses, between two that do not.
    Rejected,
    /// A transaction that changes much gives up.
    Aborted,
    /// So much is written that a segment is full.
    Rotation,
    /// A checkpoint by hand.
    Checkpoint,
    /// Closes and opens again.
    Close,
}

pub(crate) const STEPS: [Step; 8] = [
    Step::One,
    Step::Cross,
    Step::Run,
    Step::Rejected,
    Step::Aborted,
    Step::Rotation,
    Step::Checkpoint,
    Step::Close,
];

/// Which durability a workload runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Strict,
    Buffered,
}

impl Mode {
    fn durability(self) -> Durability {
        match self {
            Mode::Strict => Durability::Strict,
            Mode::Buffered => Durability::Buffered { sync_every: Duration::from_secs(3600) },
        }
    }
}

/// A mistake planted on purpose.
pub(crate) type Plant = Option<Arc<dyn Fn(&SimDisk, Options) -> Options + Send + Sync>>;

/// How each database of a workload is opened.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) plant: Plant,
}

/// As small as they get; the header and the room for two records of half a step make them larger.
const SEGMENT_BYTES: u64 = 4096;

impl Setup {
    pub(crate) fn open(&self, disk: &SimDisk) -> Result<Database> {
        let clock = TestClock::ticking(Timestamp(1_000), 10);
        let options = Options::new()
            .durability(self.mode.durability())
            .segment_bytes(SEGMENT_BYTES)
            .checkpoint_bytes(None)
            .threads(1)
            .clock(clock.reader())
            .disk(disk.shared());
        let options = match &self.plant {
            Some(plant) => plant(disk, options),
            None => options,
        };
        options.open("")
    }
}

/// What a workload starts from.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    disk: SimDisk,
    lsn: u64,
    model: Model,
}

impl Start {
    /// Nothing: the workload makes the database.
    pub(crate) fn fresh() -> Start {
        Start { name: "fresh", disk: SimDisk::new(1), lsn: 0, model: Model::default() }
    }

    /// A database with two snapshots, segments after each, a run, and a process that was killed.
    pub(crate) fn aged() -> Start {
        let setup = Setup { mode: Mode::Strict, plant: None };
        let steps = [
            Step::Cross,
            Step::Run,
            Step::Checkpoint,
            Step::Cross,
            Step::Rotation,
            Step::Checkpoint,
            Step::Run,
        ];
        let trace = Trace::of(&Start::fresh(), &steps, &setup);
        let disk = trace.disk.after_crash(Survival::Everything);
        let (lsn, model) = trace.history.last_key_value().expect("a history has a start");
        Start { name: "aged", disk, lsn: *lsn, model: model.clone() }
    }
}

/// A number that holds from a call on: after so many calls.
type Since = Vec<(u64, u64)>;

/// The highest number that holds before call `call` is made.
fn highest(since: &Since, call: u64) -> u64 {
    since.iter().filter(|(from, _)| *from <= call).map(|(_, lsn)| *lsn).max().unwrap_or(0)
}

/// A workload that was run, without a crash.
pub(crate) struct Trace {
    pub(crate) disk: SimDisk,
    /// The state after each record.
    pub(crate) history: BTreeMap<u64, Model>,
    /// Records whose transaction began.
    begun: Since,
    /// Records whose call returned.
    returned: Since,
    /// Records that were promised to survive a power failure.
    promised: Since,
    /// Records that were part of a published view.
    shown: Since,
}

impl Trace {
    /// Runs `steps`, and expects that nothing fails.
    pub(crate) fn of(start: &Start, steps: &[Step], setup: &Setup) -> Trace {
        Trace::on(start.disk.after_kill(), start, steps, setup, Failures::None)
    }

    /// Runs `steps` on a copy of the start's disk for which `plan` has planned failures. What fails
    /// must leave no trace.
    pub(crate) fn failing(
        start: &Start,
        steps: &[Step],
        setup: &Setup,
        plan: impl FnOnce(&SimDisk),
    ) -> Trace {
        let disk = start.disk.after_kill();
        plan(&disk);
        Trace::on(disk, start, steps, setup, Failures::Planned)
    }

    fn on(
        disk: SimDisk,
        start: &Start,
        steps: &[Step],
        setup: &Setup,
        failures: Failures,
    ) -> Trace {
        let shown = Arc::new(Mutex::new(Since::new()));
        let looked_at: Arc<Mutex<Option<Database>>> = Arc::default();
        if setup.mode == Mode::Strict {
            let (shown, looked_at) = (Arc::clone(&shown), Arc::clone(&looked_at));
            disk.observe(move |call, _| {
                // Held by this very thread while it opens or closes: there is nothing to see then.
                if let Ok(db) = looked_at.try_lock()
                    && let Some(db) = &*db
                {
                    let lsn = db.view_published().lsn().0;
                    shown.lock().unwrap_or_else(PoisonError::into_inner).push((call, lsn));
                }
            });
        }
        let mut driver = Driver {
            setup,
            failures,
            looked_at: &looked_at,
            count: 0,
            unsure: None,
            trace: Trace {
                disk: disk.clone(),
                history: BTreeMap::from([(start.lsn, start.model.clone())]),
                begun: vec![(0, start.lsn)],
                returned: vec![(0, start.lsn)],
                promised: vec![(0, start.lsn)],
                shown: Since::new(),
            },
        };
        let mut db = driver.open();
        for step in steps {
            db = driver.step(db, *step);
        }
        // The power fails here; dropping the database must not make calls any more.
        disk.crash();
        driver.let_go();
        drop(db);
        let mut trace = driver.trace;
        trace.shown = std::mem::take(&mut shown.lock().unwrap_or_else(PoisonError::into_inner));
        trace
    }

    /// The last record that must be there when the power fails before call `call`.
    pub(crate) fn floor(&self, call: u64) -> u64 {
        highest(&self.promised, call).max(highest(&self.shown, call))
    }

    /// The last record that must be there when only the process ends before call `call`.
    pub(crate) fn floor_after_kill(&self, call: u64) -> u64 {
        self.floor(call).max(highest(&self.returned, call))
    }

    /// The last record that can be there.
    pub(crate) fn ceiling(&self, call: u64) -> u64 {
        // What began after the last call that was made has written nothing.
        call.checked_sub(1).map_or(0, |call| highest(&self.begun, call)).max(self.begun[0].1)
    }
}

/// Whether calls of the disk may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failures {
    None,
    Planned,
}

struct Driver<'a> {
    setup: &'a Setup,
    failures: Failures,
    looked_at: &'a Mutex<Option<Database>>,
    /// Makes every transaction another.
    count: i64,
    /// A record whose sync failed: it may or may not be there after the next opening.
    unsure: Option<u64>,
    trace: Trace,
}

impl Driver<'_> {
    fn open(&mut self) -> Database {
        let db = match self.setup.open(&self.trace.disk) {
            Ok(db) => db,
            Err(error) => {
                self.expect_failure(&error);
                self.trace.disk.heal();
                self.setup.open(&self.trace.disk).expect("the disk is well again")
            }
        };
        let view = db.view();
        if self.unsure.take().is_some_and(|unsure| view.lsn().0 != unsure) {
            // It is gone, and must not come back.
            self.trace.history.pop_last();
        }
        let (lsn, model) = self.last();
        assert_eq!(view.lsn().0, lsn, "the last record after opening");
        assert_eq!(difference(&Model::of(&view), &model), None, "after opening");
        self.trace.returned.push((self.calls(), lsn));
        // What was served is not to be lost any more.
        self.promise();
        *self.lock() = Some(db.clone());
        db
    }

    fn let_go(&self) {
        let held = self.lock().take();
        drop(held);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> u64 {
        self.trace.disk.call_count()
    }

    /// The last record that is there for certain, and the state after it.
    fn last(&self) -> (u64, Model) {
        let mut sure = self.trace.history.iter().rev();
        let found = sure.find(|(lsn, _)| Some(**lsn) != self.unsure);
        let (lsn, model) = found.expect("a history has a start");
        (*lsn, model.clone())
    }

    /// A transaction that is to make the next record, and what the model becomes by it. Whether it
    /// did.
    fn commit(
        &mut self,
        db: &Database,
        body: impl FnOnce(&mut Transaction<'_>, &mut Model) -> Result<()>,
    ) -> bool {
        let (lsn, mut model) = self.last();
        let mut lsn = lsn + 1;
        let calls = self.calls();
        let outcome = db.transaction(|tx| {
            // Taken as it is: that LSNs are dense must show in what is recovered.
            lsn = tx.lsn().0;
            body(tx, &mut model)
        });
        self.trace.begun.push((calls, lsn));
        if let Err(error) = outcome {
            self.expect_failure(&error);
            if matches!(error, Error::DurabilityUnknown { .. }) {
                assert_eq!(self.unsure, None, "after a failed sync nothing is written");
                self.trace.history.insert(lsn, model);
                self.unsure = Some(lsn);
            }
            let (_, model) = self.last();
            assert_eq!(difference(&Model::of(&db.view()), &model), None, "after {error}");
            return false;
        }
        assert_eq!(self.unsure, None, "after a failed sync nothing is written");
        self.trace.history.insert(lsn, model);
        self.trace.returned.push((self.calls(), lsn));
        if self.setup.mode == Mode::Strict {
            self.promise();
        }
        true
    }

    /// Everything so far was promised to be durable.
    fn promise(&mut self) {
        let (lsn, _) = self.last();
        self.trace.promised.push((self.calls(), lsn));
    }

    fn expect_failure(&self, error: &Error) {
        assert!(self.failures == Failures::Planned, "a workload meets no failure: {error}");
        assert!(
            matches!(
                error,
                Error::Io { .. }
                    | Error::NoSpace { .. }
                    | Error::Poisoned
                    | Error::ReadOnly { .. }
                    | Error::DurabilityUnknown { .. }
            ),
            "a failing disk made the error {error}"
        );
    }

    fn step(&mut self, db: Database, step: Step) -> Database {
        self.count += 1;
        let count = self.count;
        match step {
            Step::One => {
                self.commit(&db, |tx, model| {
                    model.root.add("one", count);
                    tx.on::<Counters>().add("one", count).map(drop)
                });
            }
            Step::Cross => {
                self.commit(&db, |tx, model| cross(tx, model, count));
            }
            Step::Run => {
                let mut id = RunId::ROOT;
                let name = format!("run at {}", self.last().0 + 1);
                let created = self.commit(&db, |tx, model| {
                    id = tx.create_run(&name)?;
                    model.runs.insert(id.0, (name, Default::default()));
                    Ok(())
                });
                if !created {
                    return db;
                }
                self.commit(&db, |tx, model| {
                    let instances = &mut model.runs.get_mut(&id.0).expect("just made").1;
                    instances.add("step", count);
                    instances.append(tx.lsn(), tx.timestamp(), "in a run");
                    model.root.add("runs", 1);
                    let mut run = tx.run(id)?;
                    run.on::<Counters>().add("step", count)?;
                    run.on::<Notes>().append("in a run")?;
                    tx.on::<Counters>().add("runs", 1).map(drop)
                });
            }
            Step::Rejected => {
                self.commit(&db, |tx, model| {
                    cross(tx, model, count)?;
                    let error = tx.on::<Counters>().spoil().expect_err("it refuses");
                    assert!(matches!(error, Error::Rejected(_)), "{error}");
                    cross(tx, model, count + 1)
                });
            }
            Step::Aborted => {
                let aborted = db.transaction(|tx| -> Result<()> {
                    cross(tx, &mut Model::default(), count)?;
                    let run = tx.create_run("never")?;
                    tx.run(run)?.on::<Notes>().append("never")?;
                    Err(Error::abort("given up"))
                });
                match aborted {
                    Err(Error::Aborted(_)) => {}
                    Err(error) => self.expect_failure(&error),
                    Ok(()) => panic!("a transaction that gave up has committed"),
                }
                let (_, model) = self.last();
                assert_eq!(difference(&Model::of(&db.view()), &model), None, "after an abort");
            }
            Step::Rotation => {
                for _ in 0..2 {
                    let line = "long ".repeat(900);
                    self.commit(&db, |tx, model| {
                        model.root.append(tx.lsn(), tx.timestamp(), &line);
                        tx.on::<Notes>().append(&line)
                    });
                }
            }
            Step::Checkpoint => match db.checkpoint() {
                Ok(_) => self.promise(),
                Err(error) => self.expect_failure(&error),
            },
            Step::Close => {
                match db.close() {
                    Ok(()) => self.promise(),
                    Err(error) => self.expect_failure(&error),
                }
                self.let_go();
                drop(db);
                return self.open();
            }
        }
        db
    }
}

/// A transaction on two primitives, so that a half of it shows.
fn cross(tx: &mut Transaction<'_>, model: &mut Model, count: i64) -> Result<()> {
    model.root.add("cross", count);
    model.root.append(tx.lsn(), tx.timestamp(), "crossed");
    model.root.add("cross too", -count);
    tx.on::<Counters>().add("cross", count)?;
    tx.on::<Notes>().append("crossed")?;
    tx.on::<Counters>().add("cross too", -count).map(drop)
}

/// Every workload of up to `most` steps, the empty one among them.
pub(crate) fn workloads(most: usize) -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        longest = longest
            .iter()
            .flat_map(|steps| STEPS.map(|step| [steps.as_slice(), &[step]].concat()))
            .collect();
        all.extend(longest.clone());
    }
    all
}
