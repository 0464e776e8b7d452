//! History files: what pruning keeps of the log for runs.
//!
//! - A file holds the entries of runs from the records `first` to `last`, by primitive and run, in the
//!   envelope of a snapshot; the root's are not in it. It is never changed: what grows or shrinks is
//!   written anew.
//! - A file whose records another one holds too is superfluous: it was merged, and a crash came before
//!   it was removed.
//! - No opening needs them, so damage in one is told by who reads it.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::run_log::Part;
use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::catalog::Catalog;
use crate::format::snapshot::CORE_TYPE_ID;
use crate::id::{Lsn, RunId};
use crate::snapshot::{CarriedEntry, FileKind, HISTORY_DIR, Place, Section, SnapshotFile};
use crate::wal::Finder;

const DIGITS: usize = 20;
const SUFFIX: &str = ".history";

/// A history file that is open to read.
pub(crate) struct Pack {
    file: SnapshotFile,
}

impl Pack {
    pub(super) fn open(disk: &DiskRef, first: Lsn, last: Lsn) -> Result<Pack> {
        let path = place_of(first, last).path;
        let file = SnapshotFile::open_kind(disk, path, FileKind::History)?;
        file.features().refuse_unknown(file.path())?;
        for (found, expected) in [(file.meta().first_lsn, first), (file.meta().lsn, last)] {
            if found != expected {
                let what =
                    Damage::Misplaced { of: "history file", found: found.0, expected: expected.0 };
                return Err(Error::corrupt(file.path(), 0, what));
            }
        }
        Ok(Pack { file })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.file.meta().catalog
    }

    pub(super) fn file(&self) -> &SnapshotFile {
        &self.file
    }

    /// The sections, the core's first, by type ID.
    pub(super) fn sections(&self) -> impl Iterator<Item = (u8, &Section)> {
        sections(&self.file)
    }

    /// The entries of `run` in one section, in the order of the log.
    pub(super) fn entries(&self, section: &Section, run: RunId) -> Result<Vec<CarriedEntry>> {
        entries(&self.file, section, run)
    }

    /// What `run` did in these records, up to `lsn`.
    pub(super) fn part(&self, run: RunId, lsn: Lsn) -> Result<Option<Part>> {
        let mut part = part(&self.file, run)?;
        part.entries.retain(|(_, entry)| entry.lsn <= lsn);
        part.cut_at_gap()?;
        Ok((part.entries.last().map(|(_, entry)| entry.lsn) == Some(lsn)).then_some(part))
    }
}

fn sections(file: &SnapshotFile) -> impl Iterator<Item = (u8, &Section)> {
    let core = std::iter::once((CORE_TYPE_ID, file.core()));
    core.chain(file.sections().iter().map(|section| (section.type_id(), section)))
}

fn entries(file: &SnapshotFile, section: &Section, run: RunId) -> Result<Vec<CarriedEntry>> {
    let rows = section.instances();
    match rows.binary_search_by_key(&run, |row| row.run).ok().and_then(|at| rows.get(at)) {
        Some(row) => Ok(file.raw_instance(section, row)?.carried),
        None => Ok(Vec::new()),
    }
}

/// Everything of `run` that is in a file, in the order of the log.
pub(super) fn part(file: &SnapshotFile, run: RunId) -> Result<Part> {
    let mut part = Part { entries: Vec::new(), place: (file.path().into(), 0) };
    for (type_id, section) in sections(file) {
        let entries = entries(file, section, run)?.into_iter();
        part.entries.extend(entries.map(|entry| (type_id, entry)));
    }
    part.entries.sort_by_key(|(_, entry)| (entry.lsn, entry.index));
    Ok(part)
}

/// Where the file with these records goes.
pub(super) fn place_of(first: Lsn, last: Lsn) -> Place {
    let name = format!("{first:0DIGITS$}-{last:0DIGITS$}{SUFFIX}");
    let directory = PathBuf::from(HISTORY_DIR);
    Place { path: directory.join(&name), temp: directory.join(format!("{name}.tmp")), directory }
}

/// What stands in the directory.
#[derive(Default)]
pub(super) struct Listing {
    /// First and last record, and bytes; ascending. A file that cannot be read may hold others.
    pub(super) packs: Vec<(Lsn, Lsn, u64)>,
    /// What was merged, and what was never finished.
    pub(super) superfluous: Vec<PathBuf>,
}

pub(super) fn listing(disk: &DiskRef) -> Result<Listing> {
    let directory = Path::new(HISTORY_DIR);
    let listed = match disk.list(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
        Err(error) => return Err(Error::io("list", &disk.full_path(directory), error)),
    };
    let mut listing = Listing::default();
    for entry in listed.into_iter().filter(|entry| !entry.is_dir) {
        if let Some((first, last)) = range_in(&entry.name) {
            listing.packs.push((first, last, entry.len));
        } else if entry.name.strip_suffix(".tmp").is_some_and(|name| range_in(name).is_some()) {
            listing.superfluous.push(directory.join(entry.name));
        }
    }
    let holds = |outer: &(Lsn, Lsn, u64), inner: &(Lsn, Lsn, u64)| {
        (outer.0, outer.1) != (inner.0, inner.1) && outer.0 <= inner.0 && inner.1 <= outer.1
    };
    // Others were merged into these. Where one cannot be read, or is of another database, what it may
    // have been made of is kept.
    let merged: Vec<_> = listing
        .packs
        .iter()
        .filter(|outer| listing.packs.iter().any(|inner| holds(outer, inner)))
        .filter_map(|outer| {
            let pack = Pack::open(disk, outer.0, outer.1).ok()?;
            pack.file.verify_whole().ok()?;
            Some((*outer, pack.file.meta().database))
        })
        .collect();
    listing.packs.retain(|inner| {
        let database = || Pack::open(disk, inner.0, inner.1).map(|pack| pack.file.meta().database);
        let is_merged = merged
            .iter()
            .any(|(outer, of)| holds(outer, inner) && database().is_ok_and(|own| own == *of));
        if is_merged {
            listing.superfluous.push(place_of(inner.0, inner.1).path);
        }
        !is_merged
    });
    // From behind, what others hold is met before them.
    listing.packs.sort_unstable_by_key(|(first, last, _)| (*first, Reverse(*last)));
    Ok(listing)
}

/// The first and the last record in `name`, if that is exactly how it is written.
fn range_in(name: &str) -> Option<(Lsn, Lsn)> {
    let (first, last) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let lsn = |digits: &str| {
        let is_ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_ours.then(|| digits.parse().ok().map(Lsn)).flatten()
    };
    Some((lsn(first)?, lsn(last)?)).filter(|(first, last)| first <= last)
}

/// A history file that is opened when it is first asked for.
pub(crate) struct ListedPack {
    first: Lsn,
    last: Lsn,
    opened: OnceLock<Pack>,
}

impl ListedPack {
    pub(super) fn covers(&self, lsn: Lsn) -> bool {
        self.first <= lsn && lsn <= self.last
    }

    /// The file, which is one of this log.
    pub(super) fn get(&self, disk: &DiskRef, finder: &mut Finder) -> Result<&Pack> {
        if let Some(pack) = self.opened.get() {
            return Ok(pack);
        }
        let pack = Pack::open(disk, self.first, self.last)?;
        refuse_foreign(&pack, finder)?;
        Ok(self.opened.get_or_init(|| pack))
    }
}

/// The history files there are, ascending.
pub(crate) fn list(disk: &DiskRef) -> Result<Vec<Arc<ListedPack>>> {
    let listed = |(first, last, _)| Arc::new(ListedPack { first, last, opened: OnceLock::new() });
    Ok(listing(disk)?.packs.into_iter().map(listed).collect())
}

/// Refuses a file that is not of this log: of another database, or of records that the log has otherwise,
/// since an older copy of it was put in its place.
pub(super) fn refuse_foreign(pack: &Pack, finder: &mut Finder) -> Result<()> {
    let meta = pack.file.meta();
    let foreign = || Error::corrupt(pack.file.path(), 0, Damage::Foreign { of: "history file" });
    let Some(first) = finder.first()? else { return Ok(()) };
    if meta.database != first.database {
        return Err(foreign());
    }
    let chain = if meta.lsn.next() == first.first_lsn {
        Some(first.previous_chain)
    } else if meta.lsn < first.first_lsn {
        // Nothing of the log says what it was.
        return Ok(());
    } else {
        finder.record(meta.lsn)?.map(|found| found.header.header_crc)
    };
    if chain == Some(meta.chain) { Ok(()) } else { Err(foreign()) }
}

/// Puts a file where nobody looks for it.
pub(super) fn set_aside(disk: &DiskRef, first: Lsn, last: Lsn) -> Result<()> {
    let path = place_of(first, last).path;
    let mut aside = path.clone().into_os_string();
    aside.push(".foreign");
    disk.rename(&path, Path::new(&aside))
        .map_err(|error| Error::io("rename", &disk.full_path(&path), error))?;
    sync_directory(disk)
}

/// Where they stand, below the database's directory, and how long they are.
pub(crate) fn files(disk: &DiskRef) -> Result<Vec<(PathBuf, u64)>> {
    let listed = listing(disk)?.packs.into_iter();
    Ok(listed.map(|(first, last, bytes)| (place_of(first, last).path, bytes)).collect())
}

/// Reads all of them whole, and says of each that is damaged what is wrong with it.
pub(crate) fn damage(disk: &DiskRef) -> Result<Vec<Box<str>>> {
    let mut damage = Vec::new();
    for (first, last, _) in listing(disk)?.packs {
        let pack = Pack::open(disk, first, last);
        match pack.and_then(|pack| pack.file.verify_whole()) {
            Ok(()) => {}
            Err(error) if error.is_damage() || matches!(error, Error::Version { .. }) => {
                damage.push(error.to_string().into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(damage)
}

/// Removes all history files.
pub(crate) fn remove(disk: &DiskRef) -> Result<()> {
    let listing = listing(disk)?;
    let packs = listing.packs.iter().map(|(first, last, _)| place_of(*first, *last).path);
    remove_paths(disk, packs.chain(listing.superfluous).collect())
}

pub(super) fn remove_paths(disk: &DiskRef, paths: Vec<PathBuf>) -> Result<()> {
    for path in &paths {
        match disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => {
                removed.map_err(|error| Error::io("remove", &disk.full_path(path), error))?;
            }
        }
    }
    if paths.is_empty() { Ok(()) } else { sync_directory(disk) }
}

pub(super) fn sync_directory(disk: &DiskRef) -> Result<()> {
    let directory = Path::new(HISTORY_DIR);
    disk.sync_dir(directory).map_err(|error| Error::io("sync", &disk.full_path(directory), error))
}

/// Makes the directory, durably, if there is none.
pub(super) fn make_directory(disk: &DiskRef) -> Result<()> {
    let (directory, root) = (Path::new(HISTORY_DIR), Path::new(""));
    match disk.create_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(Error::io("create", &disk.full_path(directory), error)),
    }
    disk.sync_dir(root).map_err(|error| Error::io("sync", &disk.full_path(root), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_one_name() {
        let place = place_of(Lsn(7), Lsn(42));
        let name = place.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "00000000000000000007-00000000000000000042.history");
        assert_eq!(range_in(name), Some((Lsn(7), Lsn(42))));
        for other in [
            "7-42.history",
            "00000000000000000042-00000000000000000007.history",
            "00000000000000000007-00000000000000000042.history.tmp",
            "00000000000000000007.history",
        ] {
            assert_eq!(range_in(other), None, "{other}");
        }
    }
}
