//! Short workloads, and what is known of each at every moment: which records had begun, which were
//! acknowledged, which a view had shown.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold::Database;
use freehold::prelude::*;
use freehold::testing::{CallKind, SimDisk, Survival, TestClock};

use crate::model::{Counters, Model, Notes, difference, replayed_otherwise};

/// One step of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A transaction on one primitive.
    One,
    /// A transaction on two primitives.
    Cross,
    /// A run is created, and a transaction made in it and in the root.
    Run,
    /// The last run is forked, between two changes of it in one transaction, and the fork is used; if
    /// there is no run, it is made there too.
    Fork,
    /// The first run is used and deleted in one transaction; if there is none, it is made there too.
    Delete,
    /// An operation changes state and then refuses, between two that do not.
    Rejected,
    /// A transaction that changes much, and deletes a run if there is one, gives up.
    Aborted,
    /// So much is written that a segment is full.
    Rotation,
    /// A checkpoint by hand.
    Checkpoint,
    /// Closes and opens again.
    Close,
    /// Closes; a program without one of the primitives opens, writes and deletes a run, makes a
    /// checkpoint, writes again and closes; then the primitive is there again.
    Detached,
}

pub(crate) const STEPS: [Step; 11] = [
    Step::One,
    Step::Cross,
    Step::Run,
    Step::Fork,
    Step::Delete,
    Step::Rejected,
    Step::Aborted,
    Step::Rotation,
    Step::Checkpoint,
    Step::Close,
    Step::Detached,
];

impl Step {
    /// Whether it makes a snapshot.
    pub(crate) fn is_covering(self) -> bool {
        matches!(self, Step::Checkpoint | Step::Close | Step::Detached)
    }
}

/// Which durability a workload runs under. `InMemory` makes no call of the disk, so there is nothing
/// that could be crashed.
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
    pub(crate) snapshots_kept: usize,
    pub(crate) plant: Plant,
}

/// As small as they get; the header and the room for two records of half a step make them larger.
const SEGMENT_BYTES: u64 = 4096;

impl Setup {
    /// As databases are opened by default.
    pub(crate) fn of(mode: Mode) -> Setup {
        Setup { mode, snapshots_kept: 2, plant: None }
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> Result<Database> {
        self.options(disk).open("")
    }

    /// As a program without [`Notes`] opens it.
    pub(crate) fn open_without_notes(&self, disk: &SimDisk) -> Result<Database> {
        self.options(disk).detach("Notes").open("")
    }

    fn options(&self, disk: &SimDisk) -> Options {
        let clock = TestClock::ticking(Timestamp(1_000), 10);
        let options = Options::new()
            .durability(self.mode.durability())
            .snapshots_kept(self.snapshots_kept)
            .segment_bytes(SEGMENT_BYTES)
            .checkpoint_bytes(None)
            .threads(1)
            .clock(clock.reader())
            .disk(disk.shared());
        match &self.plant {
            Some(plant) => plant(disk, options),
            None => options,
        }
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
        let setup = Setup::of(Mode::Strict);
        let steps = [
            Step::Cross,
            Step::Run,
            Step::Fork,
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
    /// How many records whose write or sync failed an opening found.
    pub(crate) unsure_found: u64,
    /// How many of them were gone.
    pub(crate) unsure_gone: u64,
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
        Trace::on(start.disk.after_kill(), start, steps, setup, None)
    }

    /// Runs `steps` on a copy of the start's disk on which a call fails, and if it is a sync loses what
    /// `seed` says. What fails must leave no trace.
    pub(crate) fn failing(
        start: &Start,
        steps: &[Step],
        setup: &Setup,
        failing: FailingCall,
        seed: u64,
    ) -> Trace {
        let disk = start.disk.after_kill();
        disk.seed_losses(seed);
        failing.plan(&disk);
        Trace::on(disk, start, steps, setup, Some(failing))
    }

    fn on(
        disk: SimDisk,
        start: &Start,
        steps: &[Step],
        setup: &Setup,
        failing: Option<FailingCall>,
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
            failing,
            looked_at: &looked_at,
            count: 0,
            has_notes: true,
            unsure: None,
            trace: Trace {
                disk: disk.clone(),
                history: BTreeMap::from([(start.lsn, start.model.clone())]),
                unsure_found: 0,
                unsure_gone: 0,
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

/// A call of the disk that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailingCall {
    pub(crate) call: u64,
    pub(crate) error: io::ErrorKind,
    /// So do all calls after it.
    pub(crate) lasting: bool,
}

impl FailingCall {
    /// How a call can fail: all that anything below the engine's calls tells apart.
    pub(crate) const KINDS: [io::ErrorKind; 8] = [
        io::ErrorKind::Other,
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::Interrupted,
        io::ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists,
    ];

    fn plan(self, disk: &SimDisk) {
        if self.lasting {
            disk.fail_calls_from(self.call, self.error);
        } else {
            disk.fail_call(self.call, self.error);
        }
    }

    fn is_full_once(self) -> bool {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        kinds.contains(&self.error) && !self.lasting
    }

    /// Says of a name that it is there, or not there, which may not be so: then files seem to be
    /// missing.
    fn is_lie(self) -> bool {
        matches!(self.error, io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
    }
}

impl fmt::Display for FailingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.lasting { "and all later ones fail" } else { "fails" };
        write!(f, "call {} {how} ({})", self.call, self.error)
    }
}

struct Driver<'a> {
    setup: &'a Setup,
    /// The call that fails, if one does.
    failing: Option<FailingCall>,
    looked_at: &'a Mutex<Option<Database>>,
    /// Makes every transaction another.
    count: i64,
    /// Whether the program that runs knows [`Notes`].
    has_notes: bool,
    /// A record whose write or sync failed: it may or may not be there after the next opening.
    unsure: Option<u64>,
    trace: Trace,
}

impl Driver<'_> {
    fn open(&mut self) -> Database {
        let open = if self.has_notes { Setup::open } else { Setup::open_without_notes };
        let db = match open(self.setup, &self.trace.disk) {
            Ok(db) => db,
            Err(error) => {
                self.expect_failure(&error);
                self.trace.disk.heal();
                open(self.setup, &self.trace.disk).expect("the disk is well again")
            }
        };
        let view = db.view();
        match self.unsure.take() {
            Some(unsure) if view.lsn().0 == unsure => self.trace.unsure_found += 1,
            Some(_) => {
                // It is gone, and was at no moment: what could be read before the opening can be then.
                self.trace.unsure_gone += 1;
                self.trace.history.pop_last();
            }
            None => {}
        }
        let (lsn, _) = self.last();
        assert_eq!(view.lsn().0, lsn, "the last record after opening");
        self.check(&db, "opening");
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

    /// The database shows the state after the last record.
    fn check(&self, db: &Database, after: &str) {
        let (_, model) = self.last();
        let different = if self.has_notes {
            difference(&Model::of(&db.view()), &model)
        } else {
            difference(&Model::of_counters(&db.view()), &model.without_notes())
        };
        assert_eq!(different, None, "after {after}");
        // A failing disk may have nothing more to read.
        if self.failing.is_none() {
            assert_eq!(replayed_otherwise(db), None, "after {after}");
        }
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
            // Any other error: at no moment could it be found whole.
            self.check(db, &error.to_string());
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
        let Some(failing) = self.failing else { panic!("a workload meets no failure: {error}") };
        let is_expected = match error {
            Error::Io { .. }
            | Error::NoSpace { .. }
            | Error::Poisoned
            | Error::ReadOnly { .. }
            | Error::DurabilityUnknown { .. } => true,
            Error::Missing { .. } | Error::Corrupt { .. } | Error::NotADatabase { .. } => {
                failing.is_lie()
            }
            _ => false,
        };
        assert!(is_expected, "a failing disk made the error {error}");
        if failing.is_full_once() && !self.had_space(failing) {
            let refused = matches!(error, Error::NoSpace { .. } | Error::ReadOnly { .. });
            assert!(refused, "a full disk made the error {error}");
        }
    }

    /// Whether the call that failed writes, cuts or syncs a file of the log. These have their space, so
    /// that what a disk without it does there is as bad as any other error.
    fn had_space(&self, failing: FailingCall) -> bool {
        let calls = self.trace.disk.calls();
        let call = usize::try_from(failing.call).ok().and_then(|call| calls.get(call));
        call.is_some_and(|call| {
            let kinds = [CallKind::Write, CallKind::SetSize, CallKind::Sync];
            call.path.starts_with("wal") && kinds.contains(&call.kind)
        })
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
            Step::Fork => {
                self.commit(&db, |tx, model| fork(tx, model, count));
            }
            Step::Delete => {
                self.commit(&db, |tx, model| delete(tx, model, count));
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
                let first = self.last().1.runs.keys().next().map(|id| RunId(*id));
                let aborted = db.transaction(|tx| -> Result<()> {
                    cross(tx, &mut Model::default(), count)?;
                    if let Some(first) = first {
                        tx.run(first)?.on::<Notes>().append("never")?;
                        tx.delete_run(first)?;
                    }
                    let run = tx.create_run("never")?;
                    tx.run(run)?.on::<Notes>().append("never")?;
                    Err(Error::abort("given up"))
                });
                match aborted {
                    Err(Error::Aborted(_)) => {}
                    Err(error) => self.expect_failure(&error),
                    Ok(()) => panic!("a transaction that gave up has committed"),
                }
                self.check(&db, "an abort");
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
            Step::Checkpoint => self.checkpoint(&db),
            Step::Close => {
                self.close(db);
                return self.open();
            }
            Step::Detached => {
                self.close(db);
                self.has_notes = false;
                let db = self.open();
                self.commit(&db, |tx, model| add_detached(tx, model, count));
                self.commit(&db, |tx, model| delete(tx, model, count));
                self.checkpoint(&db);
                self.commit(&db, |tx, model| add_detached(tx, model, -count));
                self.close(db);
                self.has_notes = true;
                return self.open();
            }
        }
        db
    }

    fn checkpoint(&mut self, db: &Database) {
        match db.checkpoint() {
            Ok(_) => self.promise(),
            Err(error) => self.expect_failure(&error),
        }
    }

    fn close(&mut self, db: Database) {
        match db.close() {
            Ok(()) => self.promise(),
            Err(error) => self.expect_failure(&error),
        }
        self.let_go();
        drop(db);
    }
}

/// A transaction on the primitive that a program without the other one has, in the root and in every
/// run.
fn add_detached(tx: &mut Transaction<'_>, model: &mut Model, count: i64) -> Result<()> {
    model.root.add("detached", count);
    tx.on::<Counters>().add("detached", count)?;
    for (id, (_, instances)) in &mut model.runs {
        instances.add("detached", count);
        tx.run(RunId(*id))?.on::<Counters>().add("detached", count)?;
    }
    Ok(())
}

/// Forks the last run between two changes of it, and changes the fork. Names no primitive that may be
/// detached.
fn fork(tx: &mut Transaction<'_>, model: &mut Model, count: i64) -> Result<()> {
    let parent = match model.runs.last_key_value() {
        Some((id, _)) => RunId(*id),
        None => tx.create_run("forked").inspect(|id| {
            model.runs.insert(id.0, ("forked".into(), Default::default()));
        })?,
    };
    let of_parent = &mut model.runs.get_mut(&parent.0).expect("just made").1;
    of_parent.add("before", count);
    tx.run(parent)?.on::<Counters>().add("before", count)?;
    let mut of_fork = of_parent.clone();
    let name = format!("fork at {}", tx.lsn());
    let fork = tx.fork(parent, &name)?;
    of_fork.add("forked", count);
    tx.run(fork)?.on::<Counters>().add("forked", count)?;
    of_parent.add("behind", count);
    tx.run(parent)?.on::<Counters>().add("behind", count)?;
    model.runs.insert(fork.0, (name, of_fork));
    Ok(())
}

/// Uses the first run once more and deletes it. Names no primitive that may be detached.
fn delete(tx: &mut Transaction<'_>, model: &mut Model, count: i64) -> Result<()> {
    let id = match model.runs.pop_first() {
        Some((id, _)) => RunId(id),
        None => tx.create_run("brief")?,
    };
    tx.run(id)?.on::<Counters>().add("gone", count)?;
    tx.delete_run(id)?;
    model.root.add("deleted", 1);
    tx.on::<Counters>().add("deleted", 1).map(drop)
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
