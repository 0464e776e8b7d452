//! What pruning keeps of the log: the entries of runs that are there, moved to history files.
//!
//! - A file is whole and durable before a segment is removed on the strength of it.
//! - A run's entries stay as long as the run is there, or another one that was forked from it,
//!   whatever became of those between.
//! - Files are merged with the next one when that is not much smaller, so there are few: a file is
//!   written again as often as its size doubles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pack::{self, Pack};
use super::run_log::{carried, each_entry, type_of, types_of};
use crate::disk::DiskRef;
use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::format::core_entry::{self, RunCreate};
use crate::format::snapshot::CORE_TYPE_ID;
use crate::id::{DatabaseId, Epoch, Lsn, RunId, SegmentId, Timestamp};
use crate::snapshot::{self, CarriedEntry, FileKind, RawInstance, RunRow, SnapshotMeta};
use crate::state::RunTable;
use crate::wal::scan::{SegmentReader, Step};

/// How many bytes of segments are sorted in memory at once.
const GATHERED_BYTES_MAX: u64 = 256 << 20;

/// What was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Bytes of the history files written.
    pub(crate) bytes: u64,
}

/// Entries by type ID and run.
type Entries = BTreeMap<(u8, RunId), Vec<CarriedEntry>>;

/// Entries of runs from some segments.
#[derive(Default)]
struct Gathered {
    entries: Entries,
    catalog: Catalog,
    range: Option<(Lsn, Lsn)>,
    timestamp: Timestamp,
    bytes: u64,
}

/// Moves what `segments` hold of runs to history files, before they are removed; and gives up what no
/// run needs any more.
pub(crate) fn keep(
    disk: &DiskRef,
    database: DatabaseId,
    epoch: Epoch,
    segments: &[SegmentId],
    table: &RunTable,
) -> Result<Kept> {
    let listing = pack::listing(disk)?;
    pack::remove_paths(disk, listing.superfluous.clone())?;
    let open = |(first, last, bytes)| Pack::open(disk, first, last, bytes).map(Arc::new);
    let mut packs = listing.packs.into_iter().map(open).collect::<Result<Vec<Arc<Pack>>>>()?;
    let mut kept = Kept::default();
    if table.iter().len() == 0 {
        pack::remove(disk)?;
        return Ok(kept);
    }
    let mut writer = Writer { disk, database, epoch, table, met: BTreeMap::new() };
    for pack in &packs {
        for row in &pack.file().meta().runs {
            writer.met.insert(row.run, row.clone());
        }
    }
    let mut gathered = Gathered::default();
    let mut reader = SegmentReader::default();
    for segment in segments {
        reader.read(disk, *segment)?;
        let packed = packs.last().map_or(Lsn::ZERO, |pack| pack.last());
        writer.gather(&reader, packed, &mut gathered)?;
        if gathered.bytes >= GATHERED_BYTES_MAX {
            kept.bytes += writer.add(&mut packs, std::mem::take(&mut gathered))?;
        }
    }
    kept.bytes += writer.add(&mut packs, gathered)?;
    kept.bytes += writer.shrink(&mut packs)?;
    Ok(kept)
}

struct Writer<'a> {
    disk: &'a DiskRef,
    database: DatabaseId,
    epoch: Epoch,
    table: &'a RunTable,
    /// What is known of each run that was met.
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

    /// The runs whose entries stay.
    fn needed(&self) -> BTreeSet<RunId> {
        let mut needed = BTreeSet::new();
        let mut next: Vec<RunId> = self.table.iter().map(|row| row.id).collect();
        while let Some(run) = next.pop() {
            if run == RunId::ROOT || !needed.insert(run) {
                continue;
            }
            next.extend(self.table.forked_from(run));
        }
        needed
    }

    /// Writes what was gathered as a file, together with those before it that are not much larger.
    fn add(&mut self, packs: &mut Vec<Arc<Pack>>, gathered: Gathered) -> Result<u64> {
        let needed = self.needed();
        let Some((first, last)) = gathered.range else { return Ok(0) };
        if gathered.entries.keys().all(|(_, run)| !needed.contains(run)) {
            return Ok(0);
        }
        let payloads = gathered.entries.values().flatten().map(|entry| entry.payload.len() as u64);
        let mut size: u64 = payloads.sum();
        let mut from = packs.len();
        while let Some(pack) = from.checked_sub(1).and_then(|before| packs.get(before)) {
            if pack.bytes > size.saturating_mul(2) {
                break;
            }
            size += pack.bytes;
            from -= 1;
        }
        let merged = packs.split_off(from);
        let first = merged.first().map_or(first, |pack| pack.first());
        let written = self.write(&merged, &gathered, (first, last), &needed)?;
        packs.push(Arc::new(Pack::open(self.disk, first, last, written)?));
        self.remove(&merged)?;
        Ok(written)
    }

    /// Writes the files anew of which more than half is needed by nobody.
    fn shrink(&mut self, packs: &mut [Arc<Pack>]) -> Result<u64> {
        let needed = self.needed();
        let mut bytes = 0;
        for pack in packs {
            let (mut all, mut dead) = (0, 0);
            for (_, section) in pack.sections() {
                for row in section.instances().iter().filter(|row| row.run != RunId::ROOT) {
                    all += row.carried_count;
                    dead += if needed.contains(&row.run) { 0 } else { row.carried_count };
                }
            }
            if dead == all {
                self.remove(&[Arc::clone(pack)])?;
            } else if dead > all / 2 {
                let range = (pack.first(), pack.last());
                let nothing =
                    Gathered { timestamp: pack.file().meta().timestamp, ..Gathered::default() };
                bytes += self.write(&[Arc::clone(pack)], &nothing, range, &needed)?;
            }
        }
        Ok(bytes)
    }

    fn write(
        &self,
        packs: &[Arc<Pack>],
        gathered: &Gathered,
        (first, last): (Lsn, Lsn),
        needed: &BTreeSet<RunId>,
    ) -> Result<u64> {
        pack::make_directory(self.disk)?;
        let mut catalog = Catalog::default();
        for pack in packs {
            catalog = merged(catalog, pack.catalog());
        }
        let catalog = merged(catalog, &gathered.catalog);
        let type_ids: Vec<u8> = catalog.rows.iter().map(|row| row.type_id).collect();
        let runs = self.met.values().filter(|row| needed.contains(&row.run)).cloned();
        let meta = SnapshotMeta {
            kind: FileKind::History,
            first_lsn: first,
            database: self.database,
            epoch: self.epoch,
            lsn: last,
            timestamp: gathered.timestamp,
            chain: 0,
            catalog,
            runs: runs.collect(),
            next_run: self.table.last_id().0.saturating_add(1),
        };
        let written = snapshot::write_entries(
            self.disk,
            &pack::place_of(first, last),
            &meta,
            |writer| put_section(writer, CORE_TYPE_ID, packs, gathered, needed),
            |writer| {
                for type_id in type_ids {
                    writer.begin_section(type_id, 0)?;
                    put_section(writer, type_id, packs, gathered, needed)?;
                    writer.end_section()?;
                }
                Ok(())
            },
        )?;
        Ok(written.bytes)
    }

    fn remove(&self, packs: &[Arc<Pack>]) -> Result<()> {
        let path = |pack: &Arc<Pack>| pack::place_of(pack.first(), pack.last()).path;
        pack::remove_paths(self.disk, packs.iter().map(path).collect())
    }
}

/// Writes the entries of each run that is needed, those of the files first.
fn put_section(
    writer: &mut snapshot::SnapshotWriter<'_>,
    type_id: u8,
    packs: &[Arc<Pack>],
    gathered: &Gathered,
    needed: &BTreeSet<RunId>,
) -> Result<()> {
    let of_type = |pack: &Arc<Pack>| pack.sections().position(|(found, _)| found == type_id);
    for run in needed {
        let mut carried = Vec::new();
        for pack in packs {
            let section = of_type(pack).and_then(|at| pack.sections().nth(at));
            if let Some((_, section)) = section {
                carried.append(&mut pack.entries(section, *run)?);
            }
        }
        carried.extend(gathered.entries.get(&(type_id, *run)).into_iter().flatten().cloned());
        if !carried.is_empty() {
            let blocks = Vec::new();
            let instance =
                RawInstance { run: *run, section_version: 0, base: None, blocks, carried };
            writer.raw_instance(&instance)?;
        }
    }
    Ok(())
}

fn row_of(create: &RunCreate<'_>, wal_type: u8, lsn: Lsn) -> RunRow {
    RunRow {
        run: create.run,
        parent: create.parent,
        created_lsn: lsn,
        last_lsn: lsn,
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
