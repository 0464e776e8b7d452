//! The one public error, its variants by what the caller can do about them.
//!
//! A message names the place first, then what was found, then what was expected. A torn tail is
//! no error: it is a value in the [`RecoveryReport`](crate::RecoveryReport).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::id::{Epoch, Lsn, RunId};

/// A result of freehold.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason that a primitive's operation, or the user's closure, gave.
pub type Reason = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Whatever can go wrong.
///
/// `Debug` says what `Display` says, so that a `main` that returns an error prints it for a person.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. Nothing was lost; the message says which call on which file.
    #[error("{}: {op}: {source}", path.display())]
    Io {
        /// The call, such as `open` or `sync`.
        op: &'static str,
        /// The file or directory.
        path: Box<Path>,
        /// What the operating system said.
        source: io::Error,
    },
    /// Bytes are not what was written. Nothing was changed.
    #[error("{} at {offset}: {what}", file.display())]
    Corrupt {
        /// The file, below the database's directory.
        file: Box<Path>,
        /// Bytes from the start of the file.
        offset: u64,
        /// What was found and what was expected.
        what: Damage,
    },
    /// A file that must be there is not. Nothing was changed.
    #[error("{}: missing; {because}", file.display())]
    Missing {
        /// The file that was expected, below the database's directory.
        file: Box<Path>,
        /// What proves that it must be there.
        because: &'static str,
    },
    /// The path does not hold a database, and is not empty either.
    #[error("{}: not a freehold database: {found}", path.display())]
    NotADatabase {
        /// The path that was to be opened.
        path: Box<Path>,
        /// What is there instead.
        found: &'static str,
    },
    /// The file, an operation or a section was written by a version that this build does not know.
    #[error("{place}: version {found}, this build reads {supported}")]
    Version {
        /// The file, or the primitive and its operation.
        place: Box<str>,
        /// The version found.
        found: u64,
        /// The highest version this build reads.
        supported: u64,
    },
    /// A database was to be made where something is.
    #[error("{}: is not empty; a new database needs a directory of its own", path.display())]
    NotEmpty {
        /// The directory.
        path: Box<Path>,
    },
    /// Another process, or this one, has the database open.
    #[error("{}: in use by {holder}", path.display())]
    Locked {
        /// The lock file.
        path: Box<Path>,
        /// Who holds it, as far as the lock file says.
        holder: Holder,
    },
    /// The disk is full. The transaction left no trace; reading goes on.
    #[error("{}: no space left for {needed} bytes", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: Box<Path>,
        /// How many bytes were asked for.
        needed: u64,
    },
    /// The database is open only to be read. The transaction was not begun.
    #[error("open only to be read: {because}")]
    ReadOnly {
        /// Why.
        because: &'static str,
    },
    /// An earlier sync or write failed. Writing goes on after the database was opened again.
    #[error("the log refuses writes since a sync failed; open the database again")]
    Poisoned,
    /// The sync of this very commit failed: it may or may not be there after the next opening.
    #[error("the commit may not be durable{}", Because(cause))]
    DurabilityUnknown {
        /// What failed, if it is known.
        cause: Option<Arc<Error>>,
    },
    /// The linked primitives and the data, or each other, do not fit.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An operation returned an error. It changed nothing and was not logged; the transaction may
    /// go on. See [`Error::rejected`].
    #[error("rejected: {0}")]
    Rejected(#[source] Reason),
    /// The closure gave up, by [`Error::abort`]. The transaction changed nothing.
    #[error("aborted: {0}")]
    Aborted(#[source] Reason),
    /// A logged operation did not succeed when it was replayed: the code changed its meaning.
    #[error(transparent)]
    ReplayDiverged(#[from] Box<Diverged>),
    /// The call cannot be made from inside a transaction on the same thread.
    #[error("{call} was called inside a transaction on the same thread")]
    Nested {
        /// The call.
        call: &'static str,
    },
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// The progress callback asked to stop.
    #[error("opening was cancelled")]
    Cancelled,
    /// The state after this record cannot be had: the record is not there, or what led to it is
    /// not kept any more.
    #[error("no state at LSN {lsn}: the nearest that can be read is at {nearest}")]
    NoLsn {
        /// The record asked for.
        lsn: Lsn,
        /// The nearest one.
        nearest: Lsn,
    },
    /// The records from which a run could be replayed are not all kept any more, by what
    /// [`Options::history`](crate::Options::history) said, or never were here: the database was made
    /// of a state.
    #[error("run {run}: record {lsn} of its history is not kept{}", Left(left))]
    HistoryCut {
        /// The run.
        run: RunId,
        /// The newest record that is missing.
        lsn: Lsn,
        /// The first and the last record that are left, if any is.
        left: Option<(Lsn, Lsn)>,
    },
    /// A record from which a run is to be replayed must be in the log or in a history file, and is in none
    /// that can be used: a file was lost. What the root did is called [cut](Error::HistoryCut), also
    /// where a file is lost.
    #[error("run {run}: record {lsn} of its history must be kept, and is not there{}", Left(left))]
    HistoryLost {
        /// The run.
        run: RunId,
        /// The newest record that is missing.
        lsn: Lsn,
        /// The first and the last record that are left, if any is.
        left: Option<(Lsn, Lsn)>,
    },
    /// No run with this ID or name.
    #[error("no run {run}")]
    NoRun {
        /// The ID or name asked for.
        run: Box<str>,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an operating system says of a disk that does not give what was written to it.
/// EIO; on Linux also ENODATA, EBADMSG and EUCLEAN.
const OF_THE_MEDIUM: &[i32] = if cfg!(target_os = "linux") { &[5, 61, 74, 117] } else { &[5] };

impl Error {
    /// Carries a foreign error out of a transaction's closure; the transaction is undone.
    ///
    /// ```
    /// # use freehold::Error;
    /// let parsed = "x".parse::<i64>().map_err(Error::abort);
    /// assert!(matches!(parsed, Err(Error::Aborted(_))));
    /// ```
    pub fn abort(reason: impl Into<Reason>) -> Error {
        Error::Aborted(reason.into())
    }

    /// What an operation returned as its error.
    pub fn reject(reason: impl Into<Reason>) -> Error {
        Error::Rejected(reason.into())
    }

    /// The operation's own error, if this is a rejection and the error has type `E`.
    #[must_use]
    pub fn rejected<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Error::Rejected(reason) => reason.downcast_ref::<E>(),
            _ => None,
        }
    }

    /// The closure's own error, if it was carried by [`Error::abort`] and has type `E`.
    #[must_use]
    pub fn aborted<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Error::Aborted(reason) => reason.downcast_ref::<E>(),
            _ => None,
        }
    }

    /// A failed call of the operating system; a full disk becomes [`Error::NoSpace`].
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { path: path.into(), needed: 0 }
            }
            _ => Error::Io { op, path: path.into(), source },
        }
    }

    /// Whether a file's bytes are bad, or the disk does not give them. A file that is gone, is none, or
    /// is not this program's to read can be seen to.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Error::Corrupt { .. } => true,
            Error::Io { source, .. } => match source.raw_os_error() {
                Some(code) => OF_THE_MEDIUM.contains(&code),
                None => source.kind() == io::ErrorKind::Other,
            },
            _ => false,
        }
    }

    /// Bytes of `file` at `offset` are not what was written.
    pub(crate) fn corrupt(file: &Path, offset: u64, what: Damage) -> Error {
        Error::Corrupt { file: file.into(), offset, what }
    }
}

/// Says which records are left, if any are.
struct Left<'a>(&'a Option<(Lsn, Lsn)>);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((first, last)) => write!(f, "; records {first} to {last} are"),
            None => f.write_str(", nor is any other"),
        }
    }
}

/// Says a cause, if there is one.
struct Because<'a>(&'a Option<Arc<Error>>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// What is wrong with bytes: what was found, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A checksum differs.
    #[error("{of} checksum is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Of what.
        of: &'static str,
        /// As computed over the bytes read.
        found: u32,
        /// As stored.
        expected: u32,
    },
    /// The disk does not give the bytes.
    #[error("{of} cannot be read: {error}")]
    Unreadable {
        /// What stands there.
        of: &'static str,
        /// What the disk says.
        error: Box<str>,
    },
    /// A value is not the one it must be.
    #[error("{of} is {found:#x}, expected {expected:#x}")]
    Value {
        /// Of what.
        of: &'static str,
        /// As read.
        found: u64,
        /// As it must be.
        expected: u64,
    },
    /// A value is larger than anything that can stand here.
    #[error("{of} is {found}, at most {most} fits")]
    TooLarge {
        /// Of what.
        of: &'static str,
        /// As read.
        found: u64,
        /// The bound.
        most: u64,
    },
    /// Fewer bytes are left than are needed.
    #[error("{of} needs {needed} bytes, {left} are left")]
    Truncated {
        /// What was to be read.
        of: &'static str,
        /// How many bytes it takes.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// Bytes with a right checksum that do not decode.
    #[error("{of} does not decode")]
    Undecodable {
        /// What was to be read.
        of: &'static str,
    },
    /// A run that cannot be what it is said to be.
    #[error("run {run} {what}")]
    Run {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A WAL type that no catalog names: corruption, or a newer engine.
    #[error("WAL type {wal_type:#04x} stands in no catalog")]
    UnknownWalType {
        /// The byte.
        wal_type: u8,
    },
    /// A record is bad, and something else proves that it had been synced.
    #[error(
        "{damage}; record {lsn} was synced ({proof} proves {proved}), last good record is {last_good}"
    )]
    Proved {
        /// What is wrong with the record.
        damage: Box<Damage>,
        /// The record that is bad.
        lsn: Lsn,
        /// The highest record proved synced.
        proved: Lsn,
        /// What proves it.
        proof: &'static str,
        /// The last record that can be read.
        last_good: Lsn,
    },
    /// A file of another database.
    #[error("{of} belongs to another database")]
    Foreign {
        /// Which file.
        of: &'static str,
    },
    /// An epoch that cannot be here.
    #[error("epoch is {found}, expected {expected}")]
    Epoch {
        /// As read.
        found: Epoch,
        /// As it must be.
        expected: Epoch,
    },
    /// A file that stands twice, or where another belongs.
    #[error("{of} is number {found}, expected {expected}")]
    Misplaced {
        /// Which file.
        of: &'static str,
        /// The number it carries.
        found: u64,
        /// The number it must carry here.
        expected: u64,
    },
}

/// Who holds the lock of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This very process.
    ThisProcess,
    /// Another process, by its process ID.
    Process(u32),
    /// The lock file does not say.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::ThisProcess => f.write_str("this process"),
            Holder::Process(pid) => write!(f, "process {pid}"),
            Holder::Unknown => f.write_str("another process"),
        }
    }
}

/// The linked primitives do not fit each other or the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two linked primitives claim the same type ID.
    #[error("type ID {type_id:#04x} is claimed by {first} and by {second}")]
    TypeIdTwice {
        /// The type ID.
        type_id: u8,
        /// One, with its place in the source.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// Two linked primitives claim the same WAL type.
    #[error("WAL type {wal_type:#04x} is claimed by {first} and by {second}")]
    WalTypeTwice {
        /// The WAL type.
        wal_type: u8,
        /// One, with its place in the source.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// Two linked primitives have the same name.
    #[error("the name {name} is claimed by {first} and by {second}: write `name = \"..\"` on one")]
    NameTwice {
        /// The name.
        name: Box<str>,
        /// One, with its place in the source.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// The data belongs to a primitive of another name.
    #[error(
        "type ID {type_id:#04x} or a WAL type of it belongs to {stored} in the data, the linked \
         primitive is {linked}: if it was renamed, write `was = [\"{stored}\"]` on it"
    )]
    OtherName {
        /// The type ID.
        type_id: u8,
        /// The name in the data.
        stored: Box<str>,
        /// The name that is linked.
        linked: Box<str>,
    },
    /// The name stands for another type ID in the data.
    #[error("{name} has type ID {stored:#04x} in the data, the linked primitive has {linked:#04x}")]
    OtherTypeId {
        /// The name.
        name: Box<str>,
        /// The type ID in the data.
        stored: u8,
        /// The type ID that is linked.
        linked: u8,
    },
    /// The same operation and version with other arguments.
    #[error(
        "{primitive} operation {wal_type:#04x} version {version} was {stored} and is now {linked}"
    )]
    OtherShape {
        /// The primitive.
        primitive: Box<str>,
        /// The operation's WAL type.
        wal_type: u8,
        /// The operation's version.
        version: u8,
        /// The arguments in the data.
        stored: Box<str>,
        /// The arguments that are linked.
        linked: Box<str>,
    },
    /// A field of a primitive that is stored in a snapshot with another type.
    #[error(
        "{primitive} field {field} was {stored} and is now {linked}: restore it, or give the new one \
         another name"
    )]
    OtherField {
        /// The primitive.
        primitive: Box<str>,
        /// The field.
        field: Box<str>,
        /// Its type in the data.
        stored: Box<str>,
        /// Its type now.
        linked: Box<str>,
    },
    /// A deferred index could not be built while the database was opened. The data is sound: without
    /// [`Options::build_indexes`](crate::Options::build_indexes) it opens.
    #[error("{primitive} in run {run} cannot build its indexes: {reason}")]
    Index {
        /// The primitive.
        primitive: &'static str,
        /// The run.
        run: RunId,
        /// What it said as it panicked.
        reason: Box<str>,
    },
    /// A primitive cannot read what it once wrote into a snapshot, whose checksums are right.
    #[error("{}: {primitive} in run {run} cannot read its section: {reason}", file.display())]
    Section {
        /// The snapshot, below the database's directory.
        file: Box<Path>,
        /// The primitive.
        primitive: &'static str,
        /// The run.
        run: RunId,
        /// What the primitive said.
        reason: Box<str>,
    },
    /// The data needs a primitive that is not linked, and the options insist.
    #[error(
        "{name} (type ID {type_id:#04x}, crate {crate_name} {crate_version}) is in the data and not linked: {}",
        Link { primitive: name, crate_name }
    )]
    NotLinked {
        /// The primitive.
        name: Box<str>,
        /// Its type ID.
        type_id: u8,
        /// The crate it came from.
        crate_name: Box<str>,
        /// That crate's version.
        crate_version: Box<str>,
    },
}

/// What links a primitive again.
pub(crate) struct Link<'a> {
    pub(crate) primitive: &'a str,
    pub(crate) crate_name: &'a str,
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { primitive, crate_name } = self;
        match *crate_name {
            // Its own are features, named like the primitives.
            "freehold" => write!(f, "turn freehold's feature `{primitive}` on"),
            _ => write!(f, "add `use {crate_name} as _;` to the program"),
        }
    }
}

/// A logged operation that did not succeed again.
#[derive(Debug, thiserror::Error)]
#[error(
    "replay of record {lsn} diverged: {primitive} operation {wal_type:#04x} version {version}: {reason}"
)]
pub struct Diverged {
    /// The record.
    pub lsn: Lsn,
    /// The primitive's name.
    pub primitive: &'static str,
    /// The operation's WAL type.
    pub wal_type: u8,
    /// The operation's version.
    pub version: u8,
    /// The error it returned, or the message of its panic.
    pub reason: Reason,
}
