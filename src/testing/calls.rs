//! The system calls of the simulated disk: each is counted, recorded, and may fail.
//!
//! - All calls go through [`SimDisk::call`], so that none escapes a crash or a planned failure.
//! - A call that fails by plan has not been looked at: it changes nothing, whatever its arguments.
//! - Nothing is changed but by [`Platter::apply`](super::platter::Platter::apply).

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Inner, MachineOff, SimDisk};
use super::platter::{Change, Entry, NameChange, Node};
use crate::disk::{Disk, DiskFile, FileRef, Listed, OpenMode};

/// Which system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each is named as the method of `Disk` or `DiskFile` it stands for"
)]
pub enum CallKind {
    CreateDir,
    List,
    Open,
    Rename,
    Remove,
    SyncDir,
    Random,
    Size,
    Read,
    Write,
    Allocate,
    SetSize,
    Sync,
    TryLock,
}

/// A system call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub kind: CallKind,
    /// The file or directory. A file that was renamed since it was opened has its first name here.
    pub path: Arc<Path>,
    /// The new name, for a rename.
    pub to: Option<Arc<Path>>,
    /// The bytes asked for; for sizes from 0 to the size.
    pub range: Range<u64>,
    /// How it failed, if it did.
    pub error: Option<io::ErrorKind>,
    node: Option<Node>,
    /// Whether the disk, its unsynced part included, is another after this call.
    pub changes_disk: bool,
    /// What it changed, and the damage done between this call and the next.
    pub(super) changes: Vec<Change>,
}

impl Call {
    fn new(kind: CallKind, path: &Path) -> Call {
        Call {
            kind,
            path: path.into(),
            to: None,
            range: 0..0,
            error: None,
            node: None,
            changes_disk: false,
            changes: Vec::new(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} /{}", self.kind, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to /{}", to.display())?;
        }
        if !self.range.is_empty() {
            write!(f, " {}..{}", self.range.start, self.range.end)?;
        }
        if let Some(error) = self.error {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

/// Which calls a planned failure is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Number(u64),
    From(u64),
    Next(CallKind),
    Every(CallKind),
}

impl Which {
    fn is(self, number: u64, kind: CallKind) -> bool {
        match self {
            Which::Number(call) => call == number,
            Which::From(call) => call <= number,
            Which::Next(of) | Which::Every(of) => of == kind,
        }
    }

    fn is_spent(self) -> bool {
        matches!(self, Which::Number(_) | Which::Next(_))
    }
}

/// What goes wrong with them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    Error(io::ErrorKind),
    Short(usize),
}

impl SimDisk {
    /// Makes a call: `run` looks at the disk and says what the caller gets and what changes. It is
    /// also told how many bytes a write may write.
    fn call<T>(
        &self,
        mut call: Call,
        run: impl FnOnce(&mut Inner, usize) -> io::Result<(T, Option<Change>)>,
    ) -> io::Result<T> {
        self.announce(call.kind);
        let mut inner = self.inner();
        let inner = &mut *inner;
        let number = inner.calls.len() as u64;
        if inner.crash_before.is_some_and(|crash| crash <= number) {
            inner.off = true;
        }
        if inner.off {
            return Err(io::Error::other(MachineOff));
        }
        let outcome = match inner.planned_failure(number, call.kind) {
            Some(Failure::Error(kind)) => Err(error_of(kind)),
            Some(Failure::Short(most)) => run(inner, most),
            None => run(inner, usize::MAX),
        };
        let (outcome, mut change) = match outcome {
            Ok((value, change)) => (Ok(value), change),
            Err(error) => (Err(error), None),
        };
        if let (CallKind::Sync, Some(node), Err(_)) = (call.kind, call.node, &outcome) {
            change = Some(Change::SyncFailed { node, seed: inner.random.next_u64() });
        }
        if inner.ignored.contains(&call.kind) {
            change = None;
        }
        if let Some(change) = change {
            inner.platter.apply(number, &change);
            call.changes_disk = true;
            call.changes.push(change);
        }
        call.error = outcome.as_ref().err().map(io::Error::kind);
        inner.calls.push(call);
        outcome
    }

    /// Lets the observer know, without holding anything, so that it may make calls itself.
    fn announce(&self, kind: CallKind) {
        let inner = self.inner();
        let observer = inner.observer.clone().filter(|_| !inner.off);
        let number = inner.calls.len() as u64;
        drop(inner);
        if let Some(observer) = observer {
            observer(number, kind);
        }
    }
}

fn error_of(kind: io::ErrorKind) -> io::Error {
    match kind {
        io::ErrorKind::Other => io::Error::other("simulated input/output error"),
        kind => kind.into(),
    }
}

impl Inner {
    fn planned_failure(&mut self, number: u64, kind: CallKind) -> Option<Failure> {
        let planned = self.failures.iter().position(|(which, _)| which.is(number, kind))?;
        let (which, failure) = self.failures[planned];
        if which.is_spent() {
            self.failures.remove(planned);
        }
        Some(failure)
    }

    fn file_at(&self, path: &Path) -> io::Result<Node> {
        match self.platter.find(path) {
            Some(Entry::File(node)) => Ok(node),
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn directory_at(&self, path: &Path) -> io::Result<()> {
        match self.platter.find(path) {
            Some(Entry::Directory) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn parent_of(&self, path: &Path) -> io::Result<()> {
        self.directory_at(path.parent().unwrap_or(Path::new("")))
    }

    fn size_of(&self, node: Node) -> u64 {
        self.platter.bytes(node).len() as u64
    }

    /// How far the file may reach before the disk is full.
    fn size_max(&self, node: Node) -> u64 {
        let free = self.capacity_bytes.saturating_sub(self.platter.used_bytes());
        self.size_of(node).saturating_add(free)
    }
}

impl Disk for SimDisk {
    fn full_path(&self, path: &Path) -> PathBuf {
        Path::new("/simulated").join(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Call::new(CallKind::CreateDir, path), |inner, _| {
            if inner.platter.find(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.parent_of(path)?;
            let entry = Entry::Directory;
            Ok(((), Some(Change::Name(NameChange::Create { path: path.into(), entry }))))
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.call(Call::new(CallKind::List, dir), |inner, _| {
            inner.directory_at(dir)?;
            let within = inner.platter.entries().filter(|(path, _)| path.parent() == Some(dir));
            let listed = within.filter_map(|(path, entry)| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some(match entry {
                    Entry::Directory => Listed { name, is_dir: true, len: 0 },
                    Entry::File(node) => Listed { name, is_dir: false, len: inner.size_of(node) },
                })
            });
            let mut listed: Vec<Listed> = listed.collect();
            listed.sort();
            Ok((listed, None))
        })
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileRef> {
        let (node, handle) = self.call(Call::new(CallKind::Open, path), |inner, _| {
            let (node, change) = match (mode, inner.platter.find(path)) {
                (OpenMode::CreateNew, Some(_)) => {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                (OpenMode::CreateNew, None) => {
                    inner.parent_of(path)?;
                    let node = inner.platter.next_node();
                    let entry = Entry::File(node);
                    (node, Some(Change::Name(NameChange::Create { path: path.into(), entry })))
                }
                (OpenMode::Read | OpenMode::Write, _) => (inner.file_at(path)?, None),
            };
            inner.handle_count += 1;
            Ok(((node, inner.handle_count), change))
        })?;
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.into(), node, handle, writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut call = Call::new(CallKind::Rename, from);
        call.to = Some(to.into());
        self.call(call, |inner, _| {
            // Only files: nothing here renames a directory.
            let node = inner.file_at(from)?;
            inner.parent_of(to)?;
            match inner.platter.find(to) {
                Some(Entry::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
                Some(Entry::File(same)) if same == node => return Ok(((), None)),
                Some(Entry::File(_)) | None => {}
            }
            Ok((
                (),
                Some(Change::Name(NameChange::Rename { from: from.into(), to: to.into(), node })),
            ))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::new(CallKind::Remove, path), |inner, _| {
            let node = inner.file_at(path)?;
            Ok(((), Some(Change::Name(NameChange::Remove { path: path.into(), node }))))
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Call::new(CallKind::SyncDir, dir), |inner, _| {
            if dir == Path::new("..") {
                // The root's own name is always durable.
                return Ok(((), None));
            }
            inner.directory_at(dir)?;
            Ok(((), Some(Change::SyncDir { dir: dir.into() })))
        })
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.call(Call::new(CallKind::Random, Path::new("")), |inner, _| {
            bytes.fill_with(|| inner.entropy.next_u64() as u8);
            Ok(((), None))
        })
    }
}

/// An open file of the simulated disk.
struct SimFile {
    disk: SimDisk,
    path: Arc<Path>,
    node: Node,
    handle: u64,
    writable: bool,
}

impl SimFile {
    fn begin(&self, kind: CallKind, range: Range<u64>) -> Call {
        let mut call = Call::new(kind, &self.path);
        call.node = Some(self.node);
        call.range = range;
        call
    }

    /// Where the operating system says that the file was opened only to read.
    fn check_writable(&self) -> io::Result<()> {
        const BAD_DESCRIPTOR: i32 = 9;
        if self.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(BAD_DESCRIPTOR)) }
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.disk
            .call(self.begin(CallKind::Size, 0..0), |inner, _| Ok((inner.size_of(self.node), None)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let range = offset..offset.saturating_add(buffer.len() as u64);
        self.disk.call(self.begin(CallKind::Read, range.clone()), |inner, _| {
            let spoiled = inner.unreadable.iter().any(|(node, spoiled)| {
                *node == self.node && spoiled.start < range.end && range.start < spoiled.end
            });
            if spoiled {
                return Err(error_of(io::ErrorKind::Other));
            }
            let bytes = inner.platter.bytes(self.node);
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let count = buffer.len().min(bytes.len() - start);
            buffer[..count].copy_from_slice(&bytes[start..start + count]);
            Ok((count, None))
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let range = offset..offset.saturating_add(bytes.len() as u64);
        self.disk.call(self.begin(CallKind::Write, range), |inner, most| {
            self.check_writable()?;
            if bytes.is_empty() {
                return Ok((0, None));
            }
            let room = inner.size_max(self.node).saturating_sub(offset);
            let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = &bytes[..count.min(most)];
            if written.is_empty() {
                return Ok((0, None));
            }
            let end = offset + written.len() as u64;
            inner.unreadable.retain(|(node, spoiled)| {
                *node != self.node || spoiled.start < offset || end < spoiled.end
            });
            let change = Change::Write { node: self.node, offset, bytes: written.into() };
            Ok((written.len(), Some(change)))
        })
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.disk.call(self.begin(CallKind::Allocate, 0..size), |inner, _| {
            self.check_writable()?;
            if size <= inner.size_of(self.node) {
                return Ok(((), None));
            }
            if size > inner.size_max(self.node) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(((), Some(Change::Resize { node: self.node, size })))
        })
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.disk.call(self.begin(CallKind::SetSize, 0..size), |inner, _| {
            self.check_writable()?;
            if size > inner.size_max(self.node) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let change = Change::Resize { node: self.node, size };
            Ok(((), (size != inner.size_of(self.node)).then_some(change)))
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(self.begin(CallKind::Sync, 0..0), |_, _| {
            Ok(((), Some(Change::Sync { node: self.node })))
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.disk.call(self.begin(CallKind::TryLock, 0..0), |inner, _| {
            let holder = *inner.locks.entry(self.node).or_insert(self.handle);
            Ok((holder == self.handle, None))
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if inner.locks.get(&self.node) == Some(&self.handle) {
            inner.locks.remove(&self.node);
        }
    }
}
