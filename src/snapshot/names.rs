//! What stands in the snapshots' directory, by name.
//!
//! - A snapshot is named for the LSN it covers, in 20 digits, so names sort as LSNs do.
//! - Until it is whole and synced it has the suffix `.tmp`; such a file is never read.
//! - Listing changes nothing; only [`remove_temps`] does, and only repair calls it.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{DiskRef, Listed};
use crate::error::{Error, Result};
use crate::id::Lsn;

/// The directory of the snapshots, below the database's.
pub(crate) const SNAPSHOT_DIR: &str = "snapshots";

const SUFFIX: &str = ".snapshot";
const TEMP_SUFFIX: &str = ".snapshot.tmp";
/// The digits of the largest `u64`.
const DIGITS: usize = 20;

/// Where the snapshot that covers `lsn` stands, below the database's directory.
pub(crate) fn snapshot_path(lsn: Lsn) -> PathBuf {
    Path::new(SNAPSHOT_DIR).join(format!("{lsn:0width$}{SUFFIX}", width = DIGITS))
}

/// The directory of what is kept of the log for runs, in files of the same make.
pub(crate) const HISTORY_DIR: &str = "history";

/// Where a file goes that is written in one piece: under `temp` first, and by `path` once it is whole.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) temp: PathBuf,
}

impl Place {
    /// Of the snapshot that covers `lsn`.
    pub(crate) fn of_snapshot(lsn: Lsn) -> Place {
        Place { directory: SNAPSHOT_DIR.into(), path: snapshot_path(lsn), temp: temp_path(lsn) }
    }
}

/// Where that snapshot stands while it is written.
pub(crate) fn temp_path(lsn: Lsn) -> PathBuf {
    Path::new(SNAPSHOT_DIR).join(format!("{lsn:0width$}{TEMP_SUFFIX}", width = DIGITS))
}

/// A file that is named as a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedSnapshot {
    /// The LSN that its name says it covers.
    pub(crate) lsn: Lsn,
    /// Bytes in the file.
    pub(crate) bytes: u64,
}

/// The names in the snapshots' directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotListing {
    /// By LSN, newest first.
    pub(crate) snapshots: Vec<ListedSnapshot>,
    /// Snapshots that were never finished.
    pub(crate) temps: Vec<PathBuf>,
    /// What freehold did not put there.
    pub(crate) foreign: Vec<PathBuf>,
}

/// What stands in the snapshots' directory. One that is missing is empty.
pub(crate) fn list(disk: &DiskRef) -> Result<SnapshotListing> {
    let dir = Path::new(SNAPSHOT_DIR);
    let listed = match disk.list(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list", &disk.full_path(dir), error)),
    };
    Ok(sort_out(&listed))
}

/// Removes the snapshots that were never finished, and says how many there were.
pub(crate) fn remove_temps(disk: &DiskRef) -> Result<usize> {
    let temps = list(disk)?.temps;
    for temp in &temps {
        disk.remove(temp).map_err(|error| Error::io("remove", &disk.full_path(temp), error))?;
    }
    if !temps.is_empty() {
        sync_directory(disk)?;
    }
    Ok(temps.len())
}

/// Removes the snapshot that covers `lsn`. It is gone for good after [`sync_directory`].
pub(crate) fn remove(disk: &DiskRef, lsn: Lsn) -> Result<()> {
    let path = snapshot_path(lsn);
    disk.remove(&path).map_err(|error| Error::io("remove", &disk.full_path(&path), error))
}

/// Makes the names in the snapshots' directory durable.
pub(crate) fn sync_directory(disk: &DiskRef) -> Result<()> {
    sync(disk, Path::new(SNAPSHOT_DIR))
}

/// Makes the names in `directory` durable.
pub(super) fn sync(disk: &DiskRef, directory: &Path) -> Result<()> {
    disk.sync_dir(directory).map_err(|error| Error::io("sync", &disk.full_path(directory), error))
}

fn sort_out(listed: &[Listed]) -> SnapshotListing {
    let mut listing = SnapshotListing::default();
    for entry in listed {
        let path = Path::new(SNAPSHOT_DIR).join(&entry.name);
        if entry.is_dir {
            listing.foreign.push(path);
        } else if let Some(lsn) = lsn_in(&entry.name, SUFFIX) {
            listing.snapshots.push(ListedSnapshot { lsn, bytes: entry.len });
        } else if lsn_in(&entry.name, TEMP_SUFFIX).is_some() {
            listing.temps.push(path);
        } else {
            listing.foreign.push(path);
        }
    }
    listing.snapshots.sort_by_key(|listed| Reverse(listed.lsn));
    listing
}

/// The LSN in `name`, if that is exactly how freehold writes it: one LSN has one name.
fn lsn_in(name: &str, suffix: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Lsn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, len: u64) -> Listed {
        Listed { name: name.into(), is_dir: false, len }
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_in_no_other_way() {
        for lsn in [0, 1, 42, u64::MAX] {
            let path = snapshot_path(Lsn(lsn));
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(lsn_in(name, SUFFIX), Some(Lsn(lsn)));
            assert_eq!(lsn_in(name, TEMP_SUFFIX), None);
        }
        assert_eq!(
            snapshot_path(Lsn(42)).to_str(),
            Some("snapshots/00000000000000000042.snapshot")
        );
        assert_eq!(temp_path(Lsn(7)).to_str(), Some("snapshots/00000000000000000007.snapshot.tmp"));
        for name in [
            "42.snapshot",
            "+0000000000000000042.snapshot",
            "000000000000000000042.snapshot",
            "99999999999999999999.snapshot",
            "00000000000000000042.snapshot.old",
            ".snapshot",
        ] {
            assert_eq!(lsn_in(name, SUFFIX), None, "{name}");
        }
    }

    #[test]
    fn a_listing_tells_snapshots_from_temporaries_and_foreign_files() {
        let listing = sort_out(&[
            file("00000000000000000003.snapshot", 30),
            file("00000000000000000009.snapshot", 90),
            file("00000000000000000011.snapshot.tmp", 1),
            file("notes.txt", 5),
            Listed { name: "00000000000000000004.snapshot".into(), is_dir: true, len: 0 },
        ]);
        assert_eq!(
            listing.snapshots,
            [ListedSnapshot { lsn: Lsn(9), bytes: 90 }, ListedSnapshot { lsn: Lsn(3), bytes: 30 }]
        );
        assert_eq!(listing.temps, [temp_path(Lsn(11))]);
        assert_eq!(listing.foreign.len(), 2);
    }
}
