//! Everything a run did, in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Damage, Error, Result};
use crate::format::catalog::{Catalog, CatalogRow};
use crate::format::core_entry::{self, Origin, RunCreate, RunSwitch};
use crate::format::snapshot::CORE_TYPE_ID;
use crate::format::{WalEntry, record};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::LoggedEntry;
use crate::snapshot::CarriedEntry;

/// One operation of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunEntry {
    /// Whose it is.
    pub(crate) type_id: u8,
    /// The record it stands in.
    pub(crate) lsn: Lsn,
    /// The operation, with the place and time that it is told: where it was first logged.
    pub(crate) told: CarriedEntry,
}

impl RunEntry {
    /// For its primitive.
    pub(crate) fn logged(&self) -> LoggedEntry<'_> {
        LoggedEntry {
            wal_type: self.told.wal_type,
            version: self.told.version,
            index: self.told.index,
            lsn: self.told.lsn,
            timestamp: self.told.timestamp,
            payload: &self.told.payload,
        }
    }
}

/// All operations of a run, in the order of the log, those before its fork among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunLog {
    pub(crate) entries: Vec<RunEntry>,
    /// The catalog's rows of the primitives that occur, by type ID.
    pub(crate) catalog: BTreeMap<u8, CatalogRow>,
}

impl RunLog {
    /// Where the records end: for each, how many entries there are up to it. Entries that came from
    /// elsewhere in one record count by the records they were first logged in.
    pub(crate) fn steps(&self) -> Vec<usize> {
        let step_of = |entry: &RunEntry| (entry.lsn, entry.told.lsn);
        let mut ends = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let next = self.entries.get(at + 1);
            if next.is_none_or(|next| step_of(next) != step_of(entry)) {
                ends.push(at + 1);
            }
        }
        ends
    }

    pub(super) fn note_catalog(&mut self, catalog: &Catalog) {
        for row in &catalog.rows {
            self.catalog.entry(row.type_id).or_insert_with(|| row.clone());
        }
    }
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Empty,
    /// With what its parent had before this entry; its last record then.
    Fork {
        parent: RunId,
        parent_lsn: Lsn,
        lsn: Lsn,
        index: u32,
    },
}

/// A run's part of one record, or of several: entries as they stand there, the core's among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) entries: Vec<(u8, CarriedEntry)>,
    /// Where they stand: the file, and bytes from its start.
    pub(super) place: (PathBuf, u64),
}

impl Part {
    /// What is `run`'s in a record's body. `types` says whose each WAL type is.
    pub(super) fn of_record(
        run: RunId,
        body: &[u8],
        types: &Types,
        (lsn, timestamp): (Lsn, Timestamp),
        place: (PathBuf, u64),
    ) -> Result<Part> {
        let mut part = Part { entries: Vec::new(), place };
        let read = each_entry(body, |of, index, entry| {
            if of == run {
                let type_id = type_of(types, entry)?;
                part.entries.push((type_id, carried(entry, lsn, timestamp, index)));
            }
            Ok(())
        });
        match read {
            Ok(()) => Ok(part),
            Err(what) => Err(part.corrupt(what)),
        }
    }

    /// Something is wrong with it.
    pub(super) fn corrupt(&self, what: Damage) -> Error {
        Error::corrupt(&self.place.0, self.place.1, what)
    }

    /// The record before the first of these in the run's chain, or how the run began.
    pub(super) fn before(&self) -> Result<Result<Beginning, Lsn>, Damage> {
        for (type_id, entry) in &self.entries {
            match entry.wal_type {
                _ if *type_id != CORE_TYPE_ID => {}
                core_entry::RUN_CREATE => return Ok(Ok(Beginning::Empty)),
                core_entry::RUN_FORK => {
                    let fork = RunCreate::decode(&entry.payload)?;
                    let (parent, parent_lsn) = fork.parent.unwrap_or_default();
                    let (lsn, index) = (entry.lsn, entry.index);
                    return Ok(Ok(Beginning::Fork { parent, parent_lsn, lsn, index }));
                }
                core_entry::RUN_SWITCH => {
                    return Ok(Err(RunSwitch::decode(&entry.payload)?.previous_lsn));
                }
                _ => {}
            }
        }
        Err(Damage::Undecodable { of: "record that a run's chain names" })
    }

    /// Gives up what stands before a gap in the chain: what comes behind it names another record before
    /// it than the last one here.
    pub(super) fn cut_at_gap(&mut self) -> Result<()> {
        let (mut start, mut before, mut current) = (0, None, None);
        for (at, (type_id, entry)) in self.entries.iter().enumerate() {
            if current != Some(entry.lsn) {
                (before, current) = (current, Some(entry.lsn));
            }
            if *type_id == CORE_TYPE_ID && entry.wal_type == core_entry::RUN_SWITCH {
                let switch =
                    RunSwitch::decode(&entry.payload).map_err(|what| self.corrupt(what))?;
                // A run that was made in this very record has none before it.
                if before.is_some_and(|before| before != switch.previous_lsn) {
                    let is_of_record = |(_, other): &(u8, CarriedEntry)| other.lsn == entry.lsn;
                    start = self.entries.iter().position(is_of_record).unwrap_or(at);
                    before = None;
                }
            }
        }
        self.entries.drain(..start);
        Ok(())
    }

    /// Appends the operations to a log, each with what it is told.
    pub(super) fn append_to(mut self, log: &mut RunLog) -> Result<()> {
        let mut origin = None;
        for (type_id, entry) in std::mem::take(&mut self.entries) {
            if type_id != CORE_TYPE_ID {
                let lsn = entry.lsn;
                let told = match origin.take() {
                    None => entry,
                    Some(Origin { lsn, timestamp, index }) => {
                        CarriedEntry { lsn, timestamp, index, ..entry }
                    }
                };
                log.entries.push(RunEntry { type_id, lsn, told });
            } else if entry.wal_type == core_entry::ORIGIN {
                let decoded = Origin::decode(&entry.payload);
                origin = Some(decoded.map_err(|what| self.corrupt(what))?);
            }
        }
        Ok(())
    }
}

/// Hands every entry of a record to `each`, with its run and its index: what makes a run, and what
/// switches to it, is that run's.
pub(super) fn each_entry(
    body: &[u8],
    mut each: impl FnMut(RunId, u32, &WalEntry<'_>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let mut run = RunId::ROOT;
    for (index, entry) in (0u32..).zip(record::entries(body)?) {
        let entry = entry?;
        let of = match entry.wal_type {
            core_entry::RUN_SWITCH => {
                run = RunSwitch::decode(entry.payload)?.run;
                run
            }
            core_entry::RUN_CREATE | core_entry::RUN_FORK => RunCreate::decode(entry.payload)?.run,
            core_entry::RUN_DELETE => continue,
            _ => run,
        };
        each(of, index, &entry)?;
    }
    Ok(())
}

pub(super) fn carried(
    entry: &WalEntry<'_>,
    lsn: Lsn,
    timestamp: Timestamp,
    index: u32,
) -> CarriedEntry {
    let WalEntry { wal_type, version, payload } = *entry;
    CarriedEntry { wal_type, version, lsn, index, timestamp, payload: payload.to_vec() }
}

/// Whose each WAL type is: type IDs, 0 for the core.
pub(super) type Types = [Option<u8>; 256];

/// Whose an entry is.
pub(super) fn type_of(types: &Types, entry: &WalEntry<'_>) -> Result<u8, Damage> {
    let wal_type = entry.wal_type;
    types[usize::from(wal_type)].ok_or(Damage::UnknownWalType { wal_type })
}

/// Whose each WAL type is, by a catalog.
pub(super) fn types_of(catalog: &Catalog) -> Types {
    let mut types = [None; 256];
    for row in &catalog.rows {
        for wal_type in &row.wal_types {
            types[usize::from(*wal_type)] = Some(row.type_id);
        }
    }
    types[..=usize::from(core_entry::LAST)].fill(Some(CORE_TYPE_ID));
    types
}
