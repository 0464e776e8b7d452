//! The simulated disk.
//!
//! # The fault model
//!
//! What may happen, and nothing else:
//!
//! 1. **A crash** (the power fails) before any call; all later calls fail with [`MachineOff`]. A
//!    crash in the middle of a call is a crash before the next one with a part of what the call did.
//! 2. **Synced is durable.** What a file held when `sync` returned success, its size included, is
//!    there after any crash. So are the names of a directory after `sync_dir` of it; the name of a
//!    directory is durable after `sync_dir` of the one it is in. A name without its file's sync
//!    may show an empty file; a file's sync without its directory's may show no file.
//! 3. **Unsynced bytes** survive in any order and any subset, sector by sector (512 bytes): of
//!    several writes to one sector each may survive or not, those that do in the order they were
//!    made. A sector that survives in part does not exist. Overwriting a part of a sector leaves
//!    the rest of it intact.
//! 4. **Unsynced sizes** (of writes behind the end, `allocate`, `set_size`) survive up to any of
//!    them, in the order they were given. Where a size survived and the bytes did not, there are
//!    zeros; bytes behind the size that survived are gone.
//! 5. **Unsynced names** (create, rename, remove) survive in any subset, in any order, each wholly
//!    or not at all: a renamed file has its old name or its new one, never both or neither.
//!    A rename between two directories is durable after `sync_dir` of either.
//! 6. **A failing call** changes nothing, but for a failing `sync`: it makes some of the unsynced
//!    bytes durable and loses the others for good. They can be read until the machine is off, and
//!    the next sync succeeds without them (with the size, which is not lost).
//! 7. **A short write** writes some bytes from the front and says how many.
//! 8. **A full disk**: a write takes what fits and is short, or fails where nothing fits;
//!    `allocate` and `set_size` fail as a whole. Names take no space, holes do.
//! 9. **Rot**: any byte of any file changes, a range of a file cannot be read, a file is gone, or is
//!    another. A range that cannot be read is healed by writing over all of it.
//! 10. **A killed process** loses its locks and nothing else; what it did not sync is still unsynced.
//!
//! Not modelled: a disk that says it synced and did not ([`SimDisk::ignore`] does that, to plant a
//! mistake), bytes that land at the wrong place, links, directories that are removed.
//!
//! # Use
//!
//! - Everything random comes from the seed given to [`SimDisk::new`] and [`Survival::Seeded`].
//! - Calls are numbered from 0, whether they succeed or fail; calls after a crash are not counted.
//! - Looking at the disk, and damaging it, is no call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calls::{Call, CallKind, Failure, Which};
use super::crash::{CrashPoint, Survival, crash_points};
use super::platter::{Change, Entry, Node, Platter};
use super::random::Random;
use crate::disk::DiskRef;

/// The error of every call after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated machine is off")]
pub struct MachineOff;

impl MachineOff {
    /// Whether a call failed because the machine is off.
    #[must_use]
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<MachineOff>())
    }
}

pub(super) type Observer = Arc<dyn Fn(u64, CallKind) + Send + Sync>;

/// A disk in memory that crashes, tears, fails and rots on demand. Its copies are the same disk.
///
/// ```
/// use std::path::Path;
/// use freehold::testing::{Disk, OpenMode, SimDisk, Survival};
///
/// let disk = SimDisk::new(1);
/// let file = disk.open(Path::new("a"), OpenMode::CreateNew)?;
/// file.write_at(b"synced", 0)?;
/// file.sync()?;
/// disk.sync_dir(Path::new(""))?;
/// file.write_at(b"unsafe", 0)?;
///
/// let after = disk.after_crash(Survival::Nothing);
/// assert_eq!(after.bytes(Path::new("a")).unwrap(), b"synced");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
}

/// The disk and what is planned for it; `calls.rs` makes the calls on it.
pub(super) struct Inner {
    pub(super) platter: Platter,
    /// The platter before the first of `calls`.
    base: Platter,
    pub(super) calls: Vec<Call>,
    /// Where all that is random here comes from.
    seed: Random,
    /// What failing syncs lose.
    pub(super) random: Random,
    /// What [`Disk::random`](crate::disk::Disk::random) draws.
    pub(super) entropy: Random,
    pub(super) off: bool,
    pub(super) crash_before: Option<u64>,
    pub(super) failures: Vec<(Which, Failure)>,
    pub(super) ignored: BTreeSet<CallKind>,
    pub(super) unreadable: Vec<(Node, Range<u64>)>,
    pub(super) capacity_bytes: u64,
    /// Which open file has the lock.
    pub(super) locks: BTreeMap<Node, u64>,
    pub(super) handle_count: u64,
    pub(super) observer: Option<Observer>,
}

impl SimDisk {
    /// An empty disk. Its root directory is there and durable.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::holding(Platter::default(), Random::new(seed))
    }

    pub(super) fn holding(platter: Platter, seed: Random) -> SimDisk {
        let inner = Inner {
            base: platter.clone(),
            platter,
            calls: Vec::new(),
            random: seed.part(0),
            entropy: seed.part(1),
            seed,
            off: false,
            crash_before: None,
            failures: Vec::new(),
            ignored: BTreeSet::new(),
            unreadable: Vec::new(),
            capacity_bytes: u64::MAX,
            locks: BTreeMap::new(),
            handle_count: 0,
            observer: None,
        };
        SimDisk { shared: Arc::new(Shared { inner: Mutex::new(inner) }) }
    }

    /// The disk as the engine takes it.
    #[must_use]
    pub fn shared(&self) -> DiskRef {
        Arc::new(self.clone())
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked elsewhere must not hide its message behind another one here.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- crashes ---------------------------------------------------------------------------

    /// Switches the machine off now.
    pub fn crash(&self) {
        self.inner().off = true;
    }

    /// Switches the machine off before call number `call` is made.
    pub fn crash_before(&self, call: u64) {
        self.inner().crash_before = Some(call);
    }

    /// Whether the machine is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.inner().off
    }

    /// The disk that is found when the power comes back, had it failed now.
    #[must_use]
    pub fn after_crash(&self, survival: Survival) -> SimDisk {
        self.crash_point().disk(survival)
    }

    /// The moment now, to ask how many choices there are of what survives.
    #[must_use]
    pub fn crash_point(&self) -> CrashPoint {
        let inner = self.inner();
        CrashPoint::new(inner.calls.len() as u64, inner.platter.clone(), &inner.seed)
    }

    /// Every moment since this disk was made at which it was about to change, and the present one.
    /// Between two of them the power may fail at any time and nothing else is found.
    pub fn crash_points(&self) -> impl Iterator<Item = CrashPoint> + use<> {
        let inner = self.inner();
        crash_points(inner.base.clone(), inner.calls.clone(), inner.seed.clone())
    }

    /// The disk as the next process finds it after this one was killed: what is unsynced can be
    /// read and is still unsynced. Failures that were planned are not carried over.
    #[must_use]
    pub fn after_kill(&self) -> SimDisk {
        let disk = self.crash_point().disk_after_kill();
        disk.inner().unreadable = self.inner().unreadable.clone();
        disk
    }

    // ---- failures --------------------------------------------------------------------------

    /// Lets call number `call` fail, once.
    pub fn fail_call(&self, call: u64, error: io::ErrorKind) {
        self.inner().failures.push((Which::Number(call), Failure::Error(error)));
    }

    /// Lets every call from number `call` on fail.
    pub fn fail_calls_from(&self, call: u64, error: io::ErrorKind) {
        self.inner().failures.push((Which::From(call), Failure::Error(error)));
    }

    /// Lets the next call of one kind fail, once.
    pub fn fail_next(&self, kind: CallKind, error: io::ErrorKind) {
        self.inner().failures.push((Which::Next(kind), Failure::Error(error)));
    }

    /// Lets every call of one kind fail.
    pub fn fail_every(&self, kind: CallKind, error: io::ErrorKind) {
        self.inner().failures.push((Which::Every(kind), Failure::Error(error)));
    }

    /// Draws from `seed` from now on what failing syncs lose. Without it disks of one seed lose the same
    /// at their first.
    pub fn seed_losses(&self, seed: u64) {
        self.inner().random = Random::new(seed);
    }

    /// Lets call number `call`, if it is a write, write only its first `bytes` bytes.
    pub fn shorten_write(&self, call: u64, bytes: usize) {
        self.inner().failures.push((Which::Number(call), Failure::Short(bytes)));
    }

    /// Takes back every planned failure and the limit of the space.
    pub fn heal(&self) {
        let mut inner = self.inner();
        inner.failures.clear();
        inner.unreadable.clear();
        inner.ignored.clear();
        inner.capacity_bytes = u64::MAX;
    }

    /// Lets all files together hold no more than `bytes`. What is there already stays.
    pub fn limit_space(&self, bytes: u64) {
        self.inner().capacity_bytes = bytes;
    }

    /// Lets all calls of one kind succeed without changing anything: to plant a sync left out. Meant
    /// for `Sync` and `SyncDir`.
    pub fn ignore(&self, kind: CallKind) {
        self.inner().ignored.insert(kind);
    }

    /// Calls `observer` before each call with its number and kind, in the thread that makes it. The
    /// observer may look at the disk and make calls of its own, which are observed in turn.
    pub fn observe(&self, observer: impl Fn(u64, CallKind) + Send + Sync + 'static) {
        self.inner().observer = Some(Arc::new(observer));
    }

    // ---- damage ----------------------------------------------------------------------------

    /// Changes the bits of `mask` in the byte at `offset`, durable at once. `false`: no such byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let Some(mut bytes) = self.bytes(path) else { return false };
        let Some(byte) = usize::try_from(offset).ok().and_then(|at| bytes.get_mut(at)) else {
            return false;
        };
        *byte ^= mask;
        self.put(path, &bytes);
        true
    }

    /// Makes the file at `path` hold `bytes`, durable at once; makes the file, and the directory it
    /// is in, where they are missing.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.inner();
        let parent = path.parent().unwrap_or(Path::new(""));
        if inner.platter.find(parent).is_none() {
            let entry = Some(Entry::Directory);
            inner.meddle(Change::Meddle { path: parent.to_path_buf(), entry });
        }
        let node = match inner.platter.find(path) {
            Some(Entry::File(node)) => node,
            _ => {
                let node = inner.platter.next_node();
                let entry = Some(Entry::File(node));
                inner.meddle(Change::Meddle { path: path.to_path_buf(), entry });
                node
            }
        };
        inner.meddle(Change::Rot { node, bytes: bytes.into() });
    }

    /// Takes the name `path` away, durable at once.
    pub fn lose(&self, path: &Path) {
        self.inner().meddle(Change::Meddle { path: path.to_path_buf(), entry: None });
    }

    /// Makes a range of a file unreadable until all of it is written over.
    pub fn spoil(&self, path: &Path, range: Range<u64>) {
        let mut inner = self.inner();
        if let Some(Entry::File(node)) = inner.platter.find(path) {
            inner.unreadable.push((node, range));
        }
    }

    // ---- looking ---------------------------------------------------------------------------

    /// Every file with its size, in the order of names.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let inner = self.inner();
        let files = inner.platter.entries().filter_map(|(path, entry)| match entry {
            Entry::File(node) => Some((path.into(), inner.platter.bytes(node).len() as u64)),
            Entry::Directory => None,
        });
        files.collect()
    }

    /// What a file holds, as programs read it.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner();
        match inner.platter.find(path)? {
            Entry::File(node) => Some(inner.platter.bytes(node).to_vec()),
            Entry::Directory => None,
        }
    }

    /// A number that differs where names or bytes differ.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.inner().platter.fingerprint()
    }

    /// How many calls have been made.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.inner().calls.len() as u64
    }

    /// How many calls have been made that changed the disk: 0 after what must only read.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.inner().calls.iter().filter(|call| call.changes_disk).count() as u64
    }

    /// Every call that was made.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// The calls as text for a failing test's message, one a line, with their numbers.
    #[must_use]
    pub fn log(&self) -> String {
        let inner = self.inner();
        let mut text = String::new();
        for (number, call) in inner.calls.iter().enumerate() {
            text.push_str(&format!("{number:5} {call}\n"));
        }
        text
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("files", &self.files()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Damages the platter outside all calls. In the history it belongs to the call before it.
    fn meddle(&mut self, change: Change) {
        self.platter.apply(self.calls.len() as u64, &change);
        match self.calls.last_mut() {
            Some(last) => last.changes.push(change),
            None => self.base = self.platter.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
