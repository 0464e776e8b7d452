//! How a database is opened.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Clock};
use crate::database::Database;
#[cfg(any(test, feature = "testing"))]
use crate::database::Mistake;
use crate::database::mistake::Planted;
use crate::disk::DiskRef;
use crate::error::Result;
use crate::id::Timestamp;
use crate::recovery::{self, Control, Progress, ProgressFn};

/// When a transaction returns, and what it survives then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// After the sync: what was acknowledged survives a power failure.
    #[default]
    Strict,
    /// When the operating system has the bytes: what was acknowledged survives a killed process,
    /// and a power failure takes at most the last `sync_every`.
    Buffered {
        /// How long bytes may stay unsynced.
        sync_every: Duration,
    },
    /// No files at all: the state ends with the process.
    InMemory,
}

/// What is kept of the log once snapshots make it superfluous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum History {
    /// What runs did, as long as they are there: checkpoints move it to the directory `history`.
    /// Deleting a run frees its part, unless another one was forked from it. What the root did is not
    /// kept, so who uses no runs pays nothing.
    #[default]
    Runs,
    /// Nothing beyond the log itself, which reaches back to the oldest snapshot. What an earlier opening
    /// kept for runs is removed once every snapshot that is there says so: at the second checkpoint that
    /// has something new to write, by default. Until then, where there are runs, the log is not pruned, on
    /// a full disk neither. Openings that take turns with [`Runs`](History::Runs) remove nothing.
    Wal,
    /// The whole log, from the first record.
    All,
}

/// How a database is opened. The defaults are right for most programs.
///
/// ```
/// use freehold::prelude::*;
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let db = Options::new().snapshots_kept(3).open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until `open` is called"]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) checkpoint_bytes: Option<u64>,
    pub(crate) checkpoint_on_close: bool,
    pub(crate) snapshots_kept: usize,
    pub(crate) history: History,
    pub(crate) read_only: bool,
    pub(crate) require_linked: bool,
    pub(crate) detached: BTreeSet<Box<str>>,
    pub(crate) on_warning: Option<Warn>,
    pub(crate) unsynced_bytes_max: usize,
    pub(crate) threads: usize,
    pub(crate) build_indexes: bool,
    pub(crate) clock: Clock,
    pub(crate) progress: Option<ProgressFn>,
    pub(crate) disk: Option<DiskRef>,
    pub(crate) planted: Planted,
}

/// Default of [`Options::segment_bytes`].
const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// Lower bound of [`Options::segment_bytes`].
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Upper bound of [`Options::segment_bytes`].
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Default of [`Options::checkpoint_bytes`].
const CHECKPOINT_BYTES_DEFAULT: u64 = 256 << 20;

/// Default of [`Options::unsynced_bytes_max`].
const UNSYNCED_BYTES_MAX_DEFAULT: usize = 32 << 20;

/// What is called with a database's directory and a warning about it.
type Warn = Arc<dyn Fn(&Path, &str) + Send + Sync>;

impl Options {
    /// Tells of what opening the database in `path` found. Nobody waits for a word from a simulated
    /// disk.
    pub(super) fn warn(&self, path: &Path, warning: &str) {
        match &self.on_warning {
            Some(warn) => warn(path, warning),
            None if self.disk.is_some() => {}
            // Nobody is left to tell if this cannot be written.
            None => drop(writeln!(std::io::stderr(), "freehold: {}: {warning}", path.display())),
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::default(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            checkpoint_bytes: Some(CHECKPOINT_BYTES_DEFAULT),
            checkpoint_on_close: true,
            snapshots_kept: 2,
            history: History::Runs,
            read_only: false,
            require_linked: false,
            detached: BTreeSet::new(),
            on_warning: None,
            unsynced_bytes_max: UNSYNCED_BYTES_MAX_DEFAULT,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            build_indexes: false,
            clock: clock::system(),
            progress: None,
            disk: None,
            planted: Planted::default(),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options::default()
    }

    /// When a transaction returns. Default: [`Durability::Strict`].
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Bytes of a WAL segment; one grows beyond it to fit a single large record. Default: 64 MiB.
    /// Bounds: 4 KiB to 1 GiB; a value outside is moved to the bound.
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        self
    }

    /// A checkpoint is made in the background when the WAL has grown by so many bytes since the
    /// last one; `None`: only by hand and at close. Default: 256 MiB.
    pub fn checkpoint_bytes(mut self, bytes: Option<u64>) -> Options {
        self.checkpoint_bytes = bytes;
        self
    }

    /// Whether closing makes a checkpoint, so that the next opening replays nothing. Default: yes.
    pub fn checkpoint_on_close(mut self, yes: bool) -> Options {
        self.checkpoint_on_close = yes;
        self
    }

    /// How many snapshots are kept; the WAL is kept back to the oldest of them. Default: 2.
    /// Bounds: at least 1.
    pub fn snapshots_kept(mut self, count: usize) -> Options {
        self.snapshots_kept = count.max(1);
        self
    }

    /// What is kept of the log once snapshots make it superfluous: what
    /// [`Database::replay_run`](crate::Database::replay_run) and
    /// [`Database::view_at`](crate::Database::view_at) can look back on. Default: [`History::Runs`].
    pub fn history(mut self, history: History) -> Options {
        self.history = history;
        self
    }

    /// Opens a database that is there and changes no file of it: a torn tail stays, and a transaction
    /// returns [`Error::ReadOnly`](crate::Error::ReadOnly). The lock is held only while the files are
    /// read, so several programs may do it, but none while another one writes. Default: no.
    ///
    /// It shows what can be read: the end of what a killed process left may not be synced yet, and a power
    /// failure can take it until an opening that writes has seen to it.
    ///
    /// A full disk can make an opening read-only as well:
    /// [`RecoveryReport::read_only`](crate::RecoveryReport::read_only) says so.
    pub fn read_only(mut self, yes: bool) -> Options {
        self.read_only = yes;
        self
    }

    /// Refuse to open when the data has a primitive that is not linked, instead of carrying it
    /// through. Default: no.
    pub fn require_linked(mut self, yes: bool) -> Options {
        self.require_linked = yes;
        self
    }

    /// Carry the primitive with this name through as if it were not linked. For a rollback: when the
    /// data was written by a newer version of it than this program has, which opening refuses.
    /// Naming it in a transaction or a view panics. Can be given more than once. Default: none.
    ///
    /// ```
    /// # use freehold::prelude::*;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let db = Options::new().detach("vector").open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(mut self, name: &str) -> Options {
        self.detached.insert(name.into());
        self
    }

    /// Called for each thing that opening found and that somebody should know: a primitive in the
    /// data that is not linked, a snapshot that could not be used. The same stands in
    /// [`RecoveryReport::warnings`]. Default: a line on standard error.
    ///
    /// [`RecoveryReport::warnings`]: crate::RecoveryReport::warnings
    pub fn on_warning(mut self, warn: impl Fn(&Path, &str) + Send + Sync + 'static) -> Options {
        self.on_warning = Some(Arc::new(warn));
        self
    }

    /// How many bytes may wait for their sync before writers wait too. Default: 32 MiB.
    pub fn unsynced_bytes_max(mut self, bytes: usize) -> Options {
        self.unsynced_bytes_max = bytes.max(1);
        self
    }

    /// How many threads recovery uses. Default: one for each processor. Bounds: at least 1.
    pub fn threads(mut self, count: usize) -> Options {
        self.threads = count.max(1);
        self
    }

    /// Whether opening builds the [`Deferred`](crate::Deferred) indexes of what it recovered, in
    /// parallel over instances, so that no first use waits for them. Default: no, so that opening is
    /// fast: each is built when it is first used.
    ///
    /// ```
    /// # use freehold::prelude::*;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let db = Options::new().build_indexes(true).open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_indexes(mut self, yes: bool) -> Options {
        self.build_indexes = yes;
        self
    }

    /// Where timestamps come from. A record's timestamp is never below its predecessor's, whatever
    /// the clock says. Default: the operating system's clock.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Options {
        self.clock = Arc::new(clock);
        self
    }

    /// Called while opening goes on, from the thread that opens; it can cancel. Default: nothing.
    pub fn progress(
        mut self,
        progress: impl Fn(&Progress) -> Control + Send + Sync + 'static,
    ) -> Options {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// Another disk than the operating system's, such as
    /// [`SimDisk`](crate::testing::SimDisk). No work is done in the background then, so that a
    /// test is the same every time.
    #[cfg(any(test, feature = "testing"))]
    pub fn disk(mut self, disk: DiskRef) -> Options {
        self.disk = Some(disk);
        self
    }

    /// Opens the database in the directory `path`; makes it if there is nothing.
    ///
    /// # Errors
    ///
    /// Whatever keeps the data from being exactly what was committed is refused: see
    /// [`Error`](crate::Error). No file was changed then.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database> {
        Database::open_with(path.as_ref(), self)
    }

    /// Plants a mistake, to see that a test notices it.
    #[cfg(any(test, feature = "testing"))]
    pub fn plant(mut self, mistake: Mistake) -> Options {
        self.planted = Planted::new(mistake);
        self
    }

    pub(crate) fn recovery(&self) -> recovery::Settings {
        recovery::Settings {
            reach: recovery::Reach::End,
            segment_bytes: self.segment_bytes,
            read_only: self.read_only,
            require_linked: self.require_linked,
            detached: self.detached.clone(),
            threads: self.threads,
            build_indexes: self.build_indexes,
            progress: self.progress.clone(),
            check_all: false,
            keeps_runs: self.history == History::Runs,
            keeps_all: self.history == History::All,
        }
    }
}
