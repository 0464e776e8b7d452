//! Snapshots: files with the whole state at one LSN, of which any instance is read alone.
//!
//! - A snapshot is written under a temporary name, synced, and renamed only when every record that
//!   it covers is synced too; then its directory is synced. One that has its name is whole.
//! - Writing holds a block and a buffer in memory, never the file.
//! - Reading writes nothing. Nothing read is believed before its checksum was right, and nothing is
//!   allocated for a length before it was compared with the bytes that are there.
//! - This module knows neither the log nor any primitive; the rows are bytes to it.

mod instance;
mod names;
mod output;
mod prune;
mod reader;
mod source;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Damage;
use crate::format::block::CarriedRow;
use crate::format::catalog::Catalog;
pub(crate) use crate::format::section::{Base, InstanceRow};
pub(crate) use crate::format::snapshot::{FileKind, RunRow};
use crate::id::{DatabaseId, Epoch, Lsn, RunId, Timestamp};

pub(crate) use instance::OwnedBlocks;
pub(crate) use names::{
    HISTORY_DIR, Place, SNAPSHOT_DIR, list, remove_temps, snapshot_path, sync_directory,
};
pub(crate) use prune::{opens, prune};
pub(crate) use reader::{Section, SnapshotFile};
pub(crate) use writer::{SnapshotWriter, write, write_entries};

/// What a snapshot says besides the primitives' sections: its header, and the engine's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotMeta {
    pub(crate) kind: FileKind,
    /// The first record of which entries are in it; of a state, that from which what its runs did is
    /// kept somewhere.
    pub(crate) first_lsn: Lsn,
    /// The database it belongs to.
    pub(crate) database: DatabaseId,
    /// The epoch in which it was written.
    pub(crate) epoch: Epoch,
    /// The last record in the state.
    pub(crate) lsn: Lsn,
    /// That record's time.
    pub(crate) timestamp: Timestamp,
    /// The log's chain checksum behind that record.
    pub(crate) chain: u32,
    /// Every primitive that is linked or ever wrote here.
    pub(crate) catalog: Catalog,
    /// The runs there are, in ascending order; the root is none of them.
    pub(crate) runs: Vec<RunRow>,
    /// The number that the next run gets.
    pub(crate) next_run: u64,
    /// The last record with an entry of the root.
    pub(crate) root_last_lsn: Lsn,
}

impl SnapshotMeta {
    /// Whether the snapshot may hold instances of `run`.
    fn has_run(&self, run: RunId) -> bool {
        run == RunId::ROOT || self.runs.binary_search_by_key(&run, |row| row.run).is_ok()
    }

    /// Whether the runs are ascending, and all below the next one.
    fn check_runs(&self) -> Result<(), Damage> {
        let mut lowest = 1;
        for row in &self.runs {
            if row.run.0 < lowest {
                let (found, expected) = (row.run.0, lowest);
                return Err(Damage::Misplaced { of: "run of the run table", found, expected });
            }
            lowest = row.run.0.saturating_add(1);
            // A run is made after the one it comes from.
            if let Some((parent, _)) = row.parent.filter(|(parent, _)| *parent >= row.run) {
                let (found, expected) = (parent.0, row.run.0.saturating_sub(1));
                return Err(Damage::Misplaced { of: "parent of a run", found, expected });
            }
            if row.name.is_empty() && !row.is_gone {
                return Err(Damage::Undecodable { of: "name of a run" });
            }
        }
        if self.next_run < lowest {
            let (found, expected) = (self.next_run, lowest);
            return Err(Damage::Misplaced { of: "next run of the run table", found, expected });
        }
        Ok(())
    }
}

/// A snapshot that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrittenSnapshot {
    /// Below the database's directory.
    pub(crate) file: PathBuf,
    /// Its length.
    pub(crate) bytes: u64,
}

/// An instance of a primitive that is not linked, as it is carried from snapshot to snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawInstance {
    pub(crate) run: RunId,
    /// The version in which the rows were written.
    pub(crate) section_version: u32,
    /// What the rows, and what was carried, are changes to.
    pub(crate) base: Option<Base>,
    /// What the primitive wrote when it was last linked, byte for byte.
    pub(crate) blocks: Vec<RawBlock>,
    /// What came since, in the order of the log.
    pub(crate) carried: Vec<CarriedEntry>,
}

/// A block of rows as it stands in a snapshot, head included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawBlock {
    pub(crate) table: u32,
    /// Shared, since they are never changed and may be many.
    pub(crate) bytes: Arc<[u8]>,
}

/// An entry that its primitive has yet to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CarriedEntry {
    pub(crate) wal_type: u8,
    pub(crate) version: u8,
    /// The record it stood in.
    pub(crate) lsn: Lsn,
    /// Its place in that record.
    pub(crate) index: u32,
    /// That record's time.
    pub(crate) timestamp: Timestamp,
    pub(crate) payload: Vec<u8>,
}

impl CarriedEntry {
    fn as_row(&self) -> CarriedRow<'_> {
        CarriedRow {
            lsn: self.lsn,
            timestamp: self.timestamp,
            index: self.index,
            wal_type: self.wal_type,
            version: self.version,
            payload: &self.payload,
        }
    }

    fn from_row(row: &CarriedRow<'_>) -> CarriedEntry {
        CarriedEntry {
            wal_type: row.wal_type,
            version: row.version,
            lsn: row.lsn,
            index: row.index,
            timestamp: row.timestamp,
            payload: row.payload.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
