//! The database: transactions, commits, views, checkpoints.
//!
//! - Locks are taken in this order: checkpoint, writer, log. The writer's lock is never held while
//!   the log syncs, but for the rotation of a full segment.
//! - A view shows nothing that is not yet as durable as the mode promises.
//! - What was acknowledged is in the log; what is in the log's queue and not yet synced is nowhere
//!   else but in the working state.

mod aside;
mod backup;
mod checkpoint;
mod commit;
mod diff;
mod founding;
mod mistake;
mod offline;
mod options;
mod past;
mod pending;
mod publish;
mod replay;
mod run;
mod ticker;
mod transaction;
mod view;
mod watch;
mod writer;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::database::checkpoint::Checkpoints;
use crate::database::mistake::Planted;
use crate::database::past::Past;
use crate::database::ticker::{Nudge, Ticker};
use crate::database::watch::Watch;
use crate::database::writer::Writer;
use crate::disk::{DiskRef, FileRef, OsDisk};
use crate::error::{Error, Result};
use crate::id::{Lsn, RunId};
use crate::primitive::Frozen;
use crate::recovery::{self, Access, RecoveryReport};
use crate::registry::PrimitiveRegistry;
use crate::state::{Published, State};
use crate::wal::{GroupCommit, Log};

#[cfg(feature = "cli")]
pub(crate) use aside::{part, refuse_full};
pub use backup::backup;
pub use checkpoint::CheckpointReport;
pub use commit::RecordTooLarge;
pub use diff::{Diff, DiffMismatch, DiffSide, Difference};
pub(crate) use founding::found;
#[cfg(any(test, feature = "testing"))]
pub use mistake::Mistake;
#[cfg(not(any(test, feature = "testing")))]
use mistake::Mistake;
pub use offline::{
    Comparison, RunsComparison, compare_replay, compare_runs, inspect, inspect_at, salvage,
    stop_before, verify,
};
#[cfg(feature = "cli")]
pub(crate) use offline::{inspect_named, state_before};
pub use options::{Durability, History, Options};
pub use pending::Pending;
pub use replay::{Replay, Step};
pub use run::Run;
pub use transaction::{RunNameError, RunTransaction, Transaction};
#[cfg(feature = "cli")]
pub(crate) use view::DigestOfRows;
pub use view::{RunView, StateDigest, View};

/// An open database. Clones are handles to the same one; the last one dropped closes it.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let db = Database::open(path)?;
/// db.transaction(|tx| tx.on::<KvStore>().put(b"greeting", b"hello"))?;
/// db.close()?;
///
/// let db = Database::open(path)?;
/// assert_eq!(db.view().on::<KvStore>().get(b"greeting").as_deref(), Some(&b"hello"[..]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Database {
    owner: Arc<Owner>,
}

// What users rely on when they hand these to threads, so that a field added later cannot take it away.
static_assertions::assert_impl_all!(Database: Clone, Send, Sync);
static_assertions::assert_impl_all!(View: Clone, Send, Sync);
static_assertions::assert_impl_all!(Pending: Send, Future);
static_assertions::assert_impl_all!(Error: Send, Sync);

// A panic in a transaction leaves no trace, and locks whose holder panicked are as good as any.
impl UnwindSafe for Database {}
impl RefUnwindSafe for Database {}
impl UnwindSafe for View {}
impl RefUnwindSafe for View {}

/// What the handles share; dropping it closes the database.
struct Owner {
    core: Arc<Core>,
    /// `None`: in memory only, or on a simulated disk.
    ticker: Option<Ticker>,
}

/// The engine behind the handles.
pub(crate) struct Core {
    durability: Durability,
    unsynced_bytes_max: u64,
    clock: Clock,
    planted: Planted,
    writer: Mutex<Writer>,
    /// The last record applied in memory, readable without the writer's lock.
    applied: AtomicU64,
    published: ArcSwap<Published>,
    watch: Watch,
    empty: Arc<[Frozen]>,
    group: GroupCommit,
    /// `None`: in memory only, or read-only.
    files: Option<Files>,
    read_only: Option<ReadOnly>,
    /// `None`: in memory only.
    past: Option<Past>,
    /// How to reach the ticker; not set in memory and on a simulated disk, which have none.
    nudge: OnceLock<Nudge>,
    closed: AtomicBool,
    report: RecoveryReport,
}

/// Why nothing can be written, with the lock if it is held.
struct ReadOnly {
    because: &'static str,
    lock: Mutex<Option<FileRef>>,
}

/// What a database on a disk has besides.
struct Files {
    disk: DiskRef,
    log: Mutex<Log>,
    checkpoints: Mutex<Checkpoints>,
    checkpoint_bytes: Option<u64>,
    checkpoint_on_close: bool,
    history: History,
    /// Bytes written to the log since the last checkpoint.
    wal_bytes: AtomicU64,
    /// Bytes that `Buffered` transactions wrote since the last sync began.
    unsynced_bytes: AtomicU64,
    lock: Mutex<Option<FileRef>>,
    segment_bytes: u64,
}

impl Database {
    /// Opens the database in the directory `path`, with default [`Options`]; makes it if there is
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Database> {
        Options::new().open(path)
    }

    /// An empty database without files, with default [`Options`] otherwise: its state ends with the
    /// process.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`]: the linked primitives do not fit each other.
    pub fn in_memory() -> Result<Database> {
        Options::new().durability(Durability::InMemory).open("")
    }

    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Database> {
        let registry = PrimitiveRegistry::without(&options.detached)?;
        if options.durability == Durability::InMemory {
            return Ok(Database::with_core(Core::in_memory(registry, &options), None));
        }
        let simulated = options.disk.is_some();
        let disk = match &options.disk {
            Some(disk) => Arc::clone(disk),
            None => Arc::new(OsDisk::new(path)),
        };
        let opened = recovery::open(&disk, registry, &options.recovery())?;
        for name in &options.detached {
            let linked = PrimitiveRegistry::linked()?.list().iter().any(|one| one.is_named(name));
            if !linked && !opened.report.detached.iter().any(|row| *row.primitive == **name) {
                let what = "no primitive of this name is linked or in the data";
                options.warn(path, &format!("Options::detach(\"{name}\"): {what}"));
            }
        }
        for warning in opened.report.warnings() {
            options.warn(path, &warning);
        }
        let core = Arc::new(Core::on_disk(disk, opened, &options));
        let is_idle = simulated || core.read_only.is_some();
        let ticker = if is_idle { None } else { Some(Ticker::start(&core)?) };
        Ok(Database { owner: Arc::new(Owner { core, ticker }) })
    }

    fn with_core(core: Core, ticker: Option<Ticker>) -> Database {
        Database { owner: Arc::new(Owner { core: Arc::new(core), ticker }) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.owner.core
    }

    /// Runs `body` as one transaction: all of it, or nothing. Returns when the record is as durable
    /// as [`Options::durability`] promises.
    ///
    /// One transaction runs at a time; `body` must not wait for something that another
    /// transaction's closure holds.
    ///
    /// An error that is not freehold's goes out through [`Error::abort`], and is found again by
    /// [`Error::aborted`]:
    ///
    /// ```
    /// use freehold::prelude::*;
    /// # #[cfg(feature = "kv")] {
    /// # let db = Options::new().durability(Durability::InMemory).open("")?;
    /// let refused = db.transaction(|tx| {
    ///     tx.on::<KvStore>().put(b"text", b"seven")?;
    ///     "seven".parse::<i64>().map_err(Error::abort)
    /// });
    /// assert!(refused.unwrap_err().aborted::<std::num::ParseIntError>().is_some());
    /// assert!(db.view().on::<KvStore>().get(b"text").is_none()); // undone
    /// # }
    /// # Ok::<(), freehold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and then nothing has changed. [`Error::DurabilityUnknown`] if the sync
    /// failed: the record may or may not be there after the next opening, and every later write
    /// fails. [`Error::Nested`] inside another transaction on this thread.
    pub fn transaction<T>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let (value, lsn) = self.core().run_transaction("transaction", body)?;
        self.core().wait_durable(lsn)?;
        Ok(value)
    }

    /// As [`transaction`](Database::transaction), but does not wait for the sync; [`Pending`] says
    /// when the record is as durable as [`Options::durability`] promises. In
    /// [`Durability::Strict`] no [`view`](Database::view) shows it before that; later transactions
    /// see it at once.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Database::transaction).
    pub fn submit<T>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<(T, Pending)> {
        let (value, lsn) = self.core().run_transaction("submit", body)?;
        // In case nobody waits for it.
        self.core().nudge();
        Ok((value, Pending::new(self.clone(), lsn)))
    }

    /// Everything whose transaction returned before this call, and nothing that is less durable
    /// than [`Options::durability`] promises: in [`Durability::Strict`], what was only
    /// [submitted](Database::submit) is not in it until it is synced.
    #[must_use]
    pub fn view(&self) -> View {
        self.core().publish_applied();
        self.view_published()
    }

    /// The newest view there is, without ever waiting. In [`Durability::Strict`] the same as
    /// [`view`](Database::view); in the other modes it may be older.
    #[must_use]
    pub fn view_published(&self) -> View {
        self.core().view_published()
    }

    /// Waits until `look` finds something in a view, at most `timeout`; `None` if it did not by
    /// then.
    ///
    /// `look` is called with what [`view`](Database::view) shows now, and again, on this thread, when
    /// there is a newer state: soon after a commit that is as durable as [`Options::durability`]
    /// promises. Nothing polls. Commits in quick succession may be seen as one, so `look` should
    /// ask how things stand and not count how often it was called. A timeout of zero looks once.
    ///
    /// While somebody waits, each commit costs the others a little more: the state it made is shared
    /// with a view.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// use std::time::Duration;
    /// # #[cfg(feature = "kv")] {
    /// # let db = Database::in_memory()?;
    /// let answer = std::thread::scope(|scope| {
    ///     scope.spawn(|| db.transaction(|tx| tx.on::<KvStore>().put(b"answer", b"42")));
    ///     db.wait_for(Duration::from_secs(10), |view| {
    ///         view.on::<KvStore>().get("answer").as_deref().map(<[u8]>::to_vec)
    ///     })
    /// })?;
    /// assert_eq!(answer.as_deref(), Some(&b"42"[..]));
    /// # }
    /// # Ok::<(), freehold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Nested`] inside a transaction on this thread. [`Error::Closed`] if the database was
    /// closed, before or meanwhile, and [`Error::Poisoned`] if a sync failed: nothing newer will
    /// come.
    pub fn wait_for<T>(
        &self,
        timeout: Duration,
        look: impl FnMut(&View) -> Option<T>,
    ) -> Result<Option<T>> {
        self.core().wait_for(timeout, look)
    }

    /// Makes an empty run, in a transaction of its own.
    ///
    /// # Errors
    ///
    /// As [`Transaction::create_run`] and [`transaction`](Database::transaction).
    pub fn create_run(&self, name: &str) -> Result<RunId> {
        self.transaction(|tx| tx.create_run(name))
    }

    /// Makes a run that begins with everything that `parent` has now, in a transaction of its own. It
    /// costs nothing, however much that is: the two share what neither of them changes.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// # #[cfg(feature = "kv")] {
    /// # let db = Database::in_memory()?;
    /// let plan = db.create_run("plan")?;
    /// db.run(plan).transaction(|tx| tx.on::<KvStore>().put(b"step", b"1"))?;
    /// let other = db.fork(plan, "another plan")?;
    /// db.run(other).transaction(|tx| tx.on::<KvStore>().put(b"step", b"2"))?;
    /// let step = |run| db.run(run).view().map(|view| view.on::<KvStore>().get(b"step"));
    /// assert_eq!(step(plan)?.as_deref(), Some(&b"1"[..]));
    /// assert_eq!(step(other)?.as_deref(), Some(&b"2"[..]));
    /// # }
    /// # Ok::<(), freehold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Transaction::fork`] and [`transaction`](Database::transaction).
    pub fn fork(&self, parent: RunId, name: &str) -> Result<RunId> {
        self.transaction(|tx| tx.fork(parent, name))
    }

    /// Deletes a run with everything in it, in a transaction of its own.
    ///
    /// # Errors
    ///
    /// As [`Transaction::delete_run`] and [`transaction`](Database::transaction).
    pub fn delete_run(&self, run: RunId) -> Result<()> {
        self.transaction(|tx| tx.delete_run(run))
    }

    /// A handle to one run. Whether there is such a run is asked when it is used.
    #[must_use]
    pub fn run(&self, run: RunId) -> Run {
        Run::new(self.clone(), run)
    }

    /// Writes a snapshot of everything durable and removes what it makes superfluous. Writers and
    /// readers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] and others of the disk; the database is as it was then.
    ///
    /// [`Error::Corrupt`] if a segment that is to be removed is damaged and there are runs: what they did
    /// in it would be lost. The snapshot was written, but the segment and those behind it stay, at every
    /// further checkpoint too, until the database is opened with [`History::Wal`] for two checkpoints that
    /// have something new to write, which gives the histories of all runs up. Everything else goes on.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        self.core().refuse_nested("checkpoint")?;
        self.core().checkpoint()
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.core().report
    }

    /// Makes everything durable, makes a checkpoint if the options say so, and lets the directory
    /// go. Every later call on any handle returns [`Error::Closed`]; views stay. Closing again does
    /// nothing. Dropping the last handle does the same, as well as it can.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Database::checkpoint), and [`Error::DurabilityUnknown`] if a sync failed, now
    /// or earlier.
    pub fn close(&self) -> Result<()> {
        self.core().refuse_nested("close")?;
        if let Some(ticker) = &self.owner.ticker {
            ticker.stop();
        }
        self.core().close()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("applied", &self.core().applied).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.stop();
        }
        // Dropping cannot report; what was acknowledged is in the log whatever happens here.
        let _ = self.core.close();
    }
}

impl Core {
    fn in_memory(registry: &'static PrimitiveRegistry, options: &Options) -> Core {
        let mut state = State::empty(registry);
        let published = state.publish_all();
        Core {
            durability: options.durability,
            unsynced_bytes_max: options.unsynced_bytes_max as u64,
            clock: Arc::clone(&options.clock),
            planted: options.planted,
            writer: Mutex::new(Writer::new(state, crate::id::Epoch(1), 0)),
            applied: AtomicU64::new(0),
            published: ArcSwap::from_pointee(published),
            watch: Watch::default(),
            empty: empty_instances(registry),
            group: GroupCommit::new(Lsn::ZERO),
            files: None,
            read_only: None,
            past: None,
            nudge: OnceLock::new(),
            closed: AtomicBool::new(false),
            report: RecoveryReport::default(),
        }
    }

    fn on_disk(disk: DiskRef, opened: recovery::Opened, options: &Options) -> Core {
        let recovery::Opened { mut state, access, report, damaged_snapshots } = opened;
        let published = state.publish_all();
        let (log, lock) = match access {
            Access::Write { log, lock } => (*log, lock),
            Access::ReadOnly { because, lock } => {
                let read_only = ReadOnly { because, lock: Mutex::new(lock) };
                return Core {
                    published: ArcSwap::from_pointee(published),
                    applied: AtomicU64::new(state.lsn.0),
                    group: GroupCommit::new(state.lsn),
                    read_only: Some(read_only),
                    past: Some(Past::new(disk, options.recovery())),
                    report,
                    ..Core::in_memory(state.registry, options)
                };
            }
        };
        let lsn = state.lsn;
        let wal_bytes = report.wal_bytes_since_snapshot;
        let checkpoints =
            Checkpoints::new(options.snapshots_kept, report.snapshot_lsn, damaged_snapshots);
        let registry = state.registry;
        Core {
            durability: options.durability,
            unsynced_bytes_max: options.unsynced_bytes_max as u64,
            clock: Arc::clone(&options.clock),
            planted: options.planted,
            writer: Mutex::new(Writer::new(state, log.epoch(), log.room())),
            applied: AtomicU64::new(lsn.0),
            published: ArcSwap::from_pointee(published),
            watch: Watch::default(),
            empty: empty_instances(registry),
            group: GroupCommit::new(lsn),
            past: Some(Past::new(Arc::clone(&disk), options.recovery())),
            files: Some(Files {
                disk,
                history: options.history,
                log: Mutex::new(log),
                checkpoints: Mutex::new(checkpoints),
                checkpoint_bytes: options.checkpoint_bytes,
                checkpoint_on_close: options.checkpoint_on_close,
                wal_bytes: AtomicU64::new(wal_bytes),
                unsynced_bytes: AtomicU64::new(0),
                lock: Mutex::new(Some(lock)),
                segment_bytes: options.segment_bytes,
            }),
            read_only: None,
            nudge: OnceLock::new(),
            closed: AtomicBool::new(false),
            report,
        }
    }

    fn refuse_read_only(&self) -> Result<()> {
        match self.read_only {
            Some(ReadOnly { because, .. }) => Err(Error::ReadOnly { because }),
            None => Ok(()),
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// An empty instance of every primitive, for views of what was never used.
fn empty_instances(registry: &'static PrimitiveRegistry) -> Arc<[Frozen]> {
    registry.list().iter().map(|primitive| primitive.freeze(&primitive.create())).collect()
}

/// A lock whose holder panicked is as good as any: a transaction undoes itself while it unwinds.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
