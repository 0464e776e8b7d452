//! What pruning keeps of the log: the entries of runs that are there, moved to history files.
//!
//! - A file is whole and durable before a segment is removed on the strength of it.
//! - A run's entries stay as long as the run is there, or another one that was forked from it,
//!   whatever became of those between.
//! - Files are merged with the next one when that is not much smaller, so there are few: a file is
//!   written again as often as its size doubles.

use std::collections::{BTreeMap, BTreeSet};

use super::pack::{self, Pack, refuse_foreign};
use super::run_log::{carried, each_entry, type_of, types_of};
use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::catalog::Catalog;
use crate::format::core_entry::{self, RunCreate, Told};
use crate::format::snapshot::CORE_TYPE_ID;
use crate::id::{DatabaseId, Epoch, Lsn, RunId, SegmentId, Timestamp};
use crate::snapshot::{self, CarriedEntry, FileKind, RawInstance, RunRow, Section, SnapshotMeta};
use crate::state::RunTable;
use crate::wal::Finder;
use crate::wal::scan::{SegmentReader, Step};

/// How many bytes of segments are sorted in memory at once.
const GATHERED_BYTES_MAX: u64 = 256 << 20;

/// A file of up to so many bytes is always merged with the next one.
const MERGED_BYTES: u64 = 256 << 10;

/// About how much an entry takes besides its payload.
const ROW_BYTES: usize = 40;

/// What was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Bytes of the history files written.
    pub(crate) bytes: u64,
}

/// The first and the last record of a history file, and its bytes.
type Range = (Lsn, Lsn, u64);

/// Entries by type ID and run.
type Entries = BTreeMap<(u8, RunId), Vec<CarriedEntry>>;

/// Entries of runs from some segments.
#[derive(Default)]
struct Gathered {
    entries: Entries,
    catalog: Catalog,
    range: Option<(Lsn, Lsn)>,
    timestamp: Timestamp,
    /// The last record's header checksum.
    chain: u32,
    bytes: u64,
}

/// Moves what `segments` hold of runs to history files, before they are removed. `has_deleted`: runs were
/// deleted since this was last asked, so there may be entries that no run needs any more.
pub(crate) fn keep(
    disk: &DiskRef,
    database: DatabaseId,
    epoch: Epoch,
    segments: &[SegmentId],
    table: &RunTable,
    has_deleted: bool,
    mut finder: Finder,
) -> Result<Kept> {
    let listing = pack::listing(disk)?;
    pack::remove_paths(disk, listing.superfluous)?;
    let mut kept = Kept::default();
    if table.iter().len() == 0 {
        pack::remove(disk)?;
        return Ok(kept);
    }
    let mut packs = listing.packs;
    while let Some((first, last, _)) = packs.last().copied() {
        match Pack::open(disk, first, last).and_then(|pack| refuse_foreign(&pack, &mut finder)) {
            Err(Error::Corrupt { what: Damage::Foreign { .. }, .. }) => {
                pack::set_aside(disk, first, last)?;
                packs.pop();
            }
            // What is damaged, or of a later build, stays as it is.
            Ok(()) | Err(Error::Version { .. }) => break,
            Err(error) if error.is_damage() => break,
            Err(error) => return Err(error),
        }
    }
    let mut writer = Writer { disk, database, epoch, table, met: BTreeMap::new() };
    let mut gathered = Gathered::default();
    let mut reader = SegmentReader::default();
    for segment in segments {
        reader.read(disk, *segment)?;
        let packed = packs.last().map_or(Lsn::ZERO, |(_, last, _)| *last);
        writer.gather(&reader, packed, &mut gathered)?;
        if gathered.bytes >= GATHERED_BYTES_MAX {
            kept.bytes += writer.add(&mut packs, std::mem::take(&mut gathered))?;
        }
    }
    kept.bytes += writer.add(&mut packs, gathered)?;
    if has_deleted {
        kept.bytes += writer.shrink(&packs)?;
    }
    Ok(kept)
}

struct Writer<'a> {
    disk: &'a DiskRef,
    database: DatabaseId,
    epoch: Epoch,
    table: &'a RunTable,
    /// The runs that were met while they were made.
    met: BTreeMap<RunId, RunRow>,
}

impl Writer<'_> {
    /// Adds the entries of runs above `packed` to those gathered before.
    fn gather(
        &mut self,
        reader: &SegmentReader,
        packed: Lsn,
        gathered: &mut Gathered,
    ) -> Result<()> {
        let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else {
            return Ok(());
        };
        let types = types_of(&ends.header.catalog);
        gathered.catalog = merged(std::mem::take(&mut gathered.catalog), &ends.header.catalog);
        gathered.bytes += ends.bytes;
        loop {
            let record = match records.step() {
                Step::Record(record) => record,
                Step::Stop(crate::wal::scan::Stop::AtBadRecord(bad)) => {
                    // What cannot be read cannot be kept, and must not be removed as if it were.
                    return Err(Error::corrupt(reader.path(), bad.offset, bad.damage));
                }
                Step::Stop(_) => return Ok(()),
            };
            let (lsn, timestamp) = (record.header.lsn, record.header.timestamp);
            if lsn <= packed {
                continue;
            }
            let first = gathered.range.map_or(lsn, |(first, _)| first);
            gathered.range = Some((first, lsn));
            gathered.timestamp = timestamp;
            gathered.chain = record.header.header_crc;
            each_entry(record.body, |run, index, entry| {
                if run == RunId::ROOT {
                    return Ok(());
                }
                if matches!(entry.wal_type, core_entry::RUN_CREATE | core_entry::RUN_FORK) {
                    let create = RunCreate::decode(entry.payload)?;
                    self.met.insert(run, row_of(&create, entry.wal_type, lsn));
                }
                let of = (type_of(&types, entry)?, run);
                let entries = gathered.entries.entry(of).or_default();
                entries.push(carried(entry, lsn, timestamp, index));
                Ok(())
            })
            .map_err(|what| Error::corrupt(reader.path(), record.offset as u64, what))?;
        }
    }

    /// Whether the entries of a run stay: it is there, or one that descends from it is.
    fn is_needed(&self, run: RunId) -> bool {
        self.table.get(run).is_some() || self.table.is_gone(run)
    }

    /// Writes what was gathered as a file, together with those before it that are not much larger.
    fn add(&mut self, packs: &mut Vec<Range>, mut gathered: Gathered) -> Result<u64> {
        gathered.entries.retain(|(_, run), _| self.is_needed(*run));
        let Some((first, last)) = gathered.range.filter(|_| !gathered.entries.is_empty()) else {
            return Ok(0);
        };
        let bytes_of = |entry: &CarriedEntry| (ROW_BYTES + entry.payload.len()) as u64;
        let mut size: u64 = gathered.entries.values().flatten().map(bytes_of).sum();
        let mut from = packs.len();
        let mut opened = Vec::new();
        while let Some(range) = from.checked_sub(1).and_then(|before| packs.get(before)) {
            if range.2 > size.saturating_mul(2).max(MERGED_BYTES) {
                break;
            }
            match self.open(range)? {
                Some(pack) => opened.push(pack),
                None => break,
            }
            size += range.2;
            from -= 1;
        }
        opened.reverse();
        let merged = packs.split_off(from);
        let first = merged.first().map_or(first, |(first, ..)| *first);
        let written = self.write(&opened, &gathered, (first, last))?;
        packs.push((first, last, written));
        self.remove(&merged)?;
        Ok(written)
    }

    /// Writes the files anew of which more than half is needed by nobody.
    fn shrink(&self, packs: &[Range]) -> Result<u64> {
        let mut bytes = 0;
        for range in packs {
            let Some(pack) = self.open(range)? else { continue };
            let (mut all, mut dead) = (0, 0);
            for (_, section) in pack.sections() {
                for row in section.instances().iter().filter(|row| row.run != RunId::ROOT) {
                    all += row.carried_count;
                    dead += if self.is_needed(row.run) { 0 } else { row.carried_count };
                }
            }
            if dead == all {
                self.remove(std::slice::from_ref(range))?;
            } else if dead > all / 2 {
                bytes += self.write(&[pack], &Gathered::default(), (range.0, range.1))?;
            }
        }
        Ok(bytes)
    }

    /// Opens a file and reads it whole; `None`: it is damaged, or has something of a later build that
    /// would be lost, and stays as it is.
    fn open(&self, (first, last, _): &Range) -> Result<Option<Pack>> {
        let opened = Pack::open(self.disk, *first, *last);
        match opened.and_then(|pack| pack.file().verify_whole().map(|()| pack)) {
            Ok(pack) => Ok(Some(pack).filter(|pack| pack.file().features().are_known())),
            Err(Error::Version { .. }) => Ok(None),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, packs: &[Pack], gathered: &Gathered, (first, last): (Lsn, Lsn)) -> Result<u64> {
        pack::make_directory(self.disk)?;
        let mut catalog = Catalog::default();
        let mut runs: BTreeMap<RunId, RunRow> = BTreeMap::new();
        for pack in packs {
            catalog = merged(catalog, pack.catalog());
            let rows = pack.file().meta().runs.iter().filter(|row| self.is_needed(row.run));
            runs.extend(rows.map(|row| (row.run, row.clone())));
        }
        for (_, run) in gathered.entries.keys() {
            runs.entry(*run).or_insert_with(|| self.row_of(*run));
        }
        let catalog = merged(catalog, &gathered.catalog);
        let type_ids: Vec<u8> = catalog.rows.iter().map(|row| row.type_id).collect();
        let of_packs = packs.last().map(|pack| pack.file().meta());
        let meta = SnapshotMeta {
            kind: FileKind::History,
            first_lsn: first,
            database: self.database,
            epoch: self.epoch,
            lsn: last,
            timestamp: of_packs
                .map_or(gathered.timestamp, |of| of.timestamp.max(gathered.timestamp)),
            chain: match of_packs {
                Some(of_packs) if gathered.range.is_none() => of_packs.chain,
                _ => gathered.chain,
            },
            catalog,
            runs: runs.into_values().collect(),
            next_run: self.table.last_id().0.saturating_add(1),
            root_last_lsn: Lsn::ZERO,
        };
        let written = snapshot::write_entries(
            self.disk,
            &pack::place_of(first, last),
            &meta,
            |writer| self.put_section(writer, CORE_TYPE_ID, packs, gathered),
            |writer| {
                for type_id in type_ids {
                    writer.begin_section(type_id, 0)?;
                    self.put_section(writer, type_id, packs, gathered)?;
                    writer.end_section()?;
                }
                Ok(())
            },
        )?;
        Ok(written.bytes)
    }

    /// Writes the entries of each run that is needed, those of the files first.
    fn put_section(
        &self,
        writer: &mut snapshot::SnapshotWriter<'_>,
        type_id: u8,
        packs: &[Pack],
        gathered: &Gathered,
    ) -> Result<()> {
        let of_type = |pack| {
            let sections = Pack::sections(pack);
            let section = sections.filter(|(found, _)| *found == type_id).map(|(_, one)| one);
            section.map(move |section| (pack, section)).next()
        };
        let sections: Vec<(&Pack, &Section)> = packs.iter().filter_map(of_type).collect();
        let in_packs = sections.iter().flat_map(|(_, section)| section.instances());
        let mut runs: BTreeSet<RunId> = in_packs.map(|row| row.run).collect();
        let fresh = gathered.entries.range((type_id, RunId::ROOT)..=(type_id, RunId(u64::MAX)));
        runs.extend(fresh.map(|((_, run), _)| *run));
        for run in runs.into_iter().filter(|run| self.is_needed(*run)) {
            let mut carried = Vec::new();
            for (pack, section) in &sections {
                carried.append(&mut pack.entries(section, run)?);
            }
            carried.extend(gathered.entries.get(&(type_id, run)).into_iter().flatten().cloned());
            let blocks = Vec::new();
            let instance = RawInstance { run, section_version: 0, base: None, blocks, carried };
            writer.raw_instance(&instance)?;
        }
        Ok(())
    }

    /// What a file says of a run: how it was made, if that is known.
    fn row_of(&self, run: RunId) -> RunRow {
        if let Some(met) = self.met.get(&run) {
            return met.clone();
        }
        let row = self.table.get(run);
        let lsn = row.map_or(Lsn::ZERO, |row| row.created_lsn);
        RunRow {
            run,
            parent: row.and_then(|row| row.parent),
            created_lsn: lsn,
            last_lsn: lsn,
            told: Told::default(),
            is_fork: row.is_some_and(|row| row.is_fork),
            is_gone: row.is_none(),
            name: row.map_or_else(String::new, |row| row.name.to_string()),
        }
    }

    fn remove(&self, packs: &[Range]) -> Result<()> {
        let path = |(first, last, _): &Range| pack::place_of(*first, *last).path;
        pack::remove_paths(self.disk, packs.iter().map(path).collect())
    }
}

fn row_of(create: &RunCreate<'_>, wal_type: u8, lsn: Lsn) -> RunRow {
    RunRow {
        run: create.run,
        parent: create.parent,
        created_lsn: lsn,
        last_lsn: lsn,
        told: Told::default(),
        is_fork: wal_type == core_entry::RUN_FORK,
        is_gone: false,
        name: create.name.to_owned(),
    }
}

/// Both catalogs: of what stands in both, the newer.
fn merged(older: Catalog, newer: &Catalog) -> Catalog {
    let is_gone = |row: &crate::format::catalog::CatalogRow| {
        newer.rows.iter().all(|newer| newer.type_id != row.type_id)
    };
    let mut rows: Vec<_> = older.rows.into_iter().filter(is_gone).collect();
    rows.extend(newer.rows.iter().cloned());
    rows.sort_by_key(|row| row.type_id);
    Catalog { rows }
}
