//! Following a run's chain back to its beginning.

use std::sync::Arc;

use super::pack::ListedPack;
use super::run_log::{Beginning, Part, RunLog, Types, carried, each_entry, type_of, types_of};
use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::snapshot::CORE_TYPE_ID;
use crate::id::{Lsn, RunId, SegmentId};
use crate::wal::Finder;
use crate::wal::names::segment_path;
use crate::wal::scan::{SegmentReader, Step, Stop};

/// Where records of runs are.
pub(crate) struct Sources {
    disk: DiskRef,
    finder: Finder,
    /// The first record in the log.
    wal_first: Lsn,
    /// From this record on, what runs did is kept.
    kept_from: Lsn,
    /// Ascending.
    packs: Vec<Arc<ListedPack>>,
    /// The last of them was compared with the log.
    are_ours: bool,
    /// Whose each WAL type is, in the segment that was read last.
    types: Option<(SegmentId, Types)>,
}

impl Sources {
    /// The log, and the history files before it.
    pub(crate) fn new(
        disk: &DiskRef,
        mut finder: Finder,
        packs: Vec<Arc<ListedPack>>,
        kept_from: Lsn,
    ) -> Result<Sources> {
        let wal_first = finder.first()?.map_or(Lsn(u64::MAX), |first| first.first_lsn);
        let disk = disk.clone();
        Ok(Sources { disk, finder, wal_first, kept_from, packs, are_ours: false, types: None })
    }

    /// The run's part of the record `lsn`, and of those before it that stand with it. `None`: it is
    /// not there.
    fn part(&mut self, run: RunId, lsn: Lsn, log: &mut RunLog) -> Result<Option<Part>> {
        if lsn < self.wal_first {
            if let Some(last) = self.packs.last().filter(|_| !self.are_ours) {
                match last.get(&self.disk, &mut self.finder) {
                    Err(error @ Error::Corrupt { what: Damage::Foreign { .. }, .. }) => {
                        return Err(error);
                    }
                    // It may not be needed. If it is, that is said then.
                    Ok(_) | Err(Error::Version { .. }) => {}
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
            self.are_ours = true;
            let pack = self.packs.iter().rev().find(|pack| pack.covers(lsn));
            let Some(pack) = pack else { return Ok(None) };
            let pack = pack.get(&self.disk, &mut self.finder)?;
            log.note_catalog(pack.catalog());
            return pack.part(run, lsn);
        }
        let Some(found) = self.finder.record(lsn)? else { return Ok(None) };
        let is_known = matches!(&self.types, Some((segment, _)) if *segment == found.segment);
        // The segment of the last run's beginning may be that of this one's end.
        if !is_known || log.catalog.is_empty() {
            log.note_catalog(found.catalog);
        }
        let types = match &self.types {
            Some((_, types)) if is_known => types,
            _ => &self.types.insert((found.segment, types_of(found.catalog))).1,
        };
        let at = (found.header.lsn, found.header.timestamp);
        let place = (segment_path(found.segment), found.offset);
        Part::of_record(run, found.body, types, at, place).map(Some)
    }

    /// A record of `run` is not there.
    fn without(&self, run: RunId, lsn: Lsn, left: Option<(Lsn, Lsn)>) -> Error {
        if lsn < self.kept_from {
            return Error::HistoryCut { run, lsn, left };
        }
        Error::HistoryLost { run, lsn, left }
    }
}

/// Everything that `run` did up to its record `last`.
///
/// # Errors
///
/// [`Error::HistoryCut`] if a record is not kept any more, [`Error::HistoryLost`] if it must be there.
pub(crate) fn read_run(sources: &mut Sources, run: RunId, last: Lsn) -> Result<RunLog> {
    let mut log = RunLog::default();
    // From the last to the first.
    let mut parts: Vec<Part> = Vec::new();
    let (mut of, mut at) = (run, last);
    // Where to stop in the record at which a run was forked.
    let mut before: Option<(Lsn, u32)> = None;
    loop {
        if of == RunId::ROOT {
            parts.push(read_root(sources, run, last, before, &mut log)?);
            break;
        }
        let Some(mut part) = sources.part(of, at, &mut log)? else {
            let lsn_of = |part: &Part| part.entries.first().map(|(_, entry)| entry.lsn);
            let left = parts.iter().rev().find_map(lsn_of).map(|first| (first, last));
            return Err(sources.without(run, at, left));
        };
        let beginning = part.before().map_err(|what| part.corrupt(what))?;
        let first = part.entries.first().map_or(at, |(_, entry)| entry.lsn);
        if let Some(before) = before.take() {
            part.entries.retain(|(_, entry)| (entry.lsn, entry.index) < before);
        }
        match beginning {
            Ok(Beginning::Empty) => at = Lsn::ZERO,
            Ok(Beginning::Fork { parent, parent_lsn, lsn, index }) => {
                (of, at) = (parent, parent_lsn);
                before = Some((lsn, index));
            }
            Err(previous) if previous < first && previous > Lsn::ZERO => at = previous,
            Err(previous) => {
                let of = "previous LSN of a run";
                let (found, expected) = (previous.0, first.0.saturating_sub(1));
                let what = Damage::Value { of, found, expected };
                return Err(part.corrupt(what));
            }
        }
        parts.push(part);
        if at == Lsn::ZERO {
            break;
        }
    }
    for part in parts.into_iter().rev() {
        part.append_to(&mut log)?;
    }
    Ok(log)
}

/// What the root did up to the record `last`, or up to an entry of it. The root has no chain: all of the
/// log is read. A fork has nothing of what lives in the root only.
fn read_root(
    sources: &mut Sources,
    run: RunId,
    last: Lsn,
    before: Option<(Lsn, u32)>,
    log: &mut RunLog,
) -> Result<Part> {
    let (end, end_index) = before.unwrap_or((last, u32::MAX));
    let mut next = Lsn::ZERO.next();
    if sources.wal_first != next {
        let left = (sources.wal_first <= end).then_some((sources.wal_first, end));
        return Err(Error::HistoryCut { run, lsn: next, left });
    }
    let mut part = Part::default();
    let mut reader = SegmentReader::default();
    let ids: Vec<SegmentId> = sources.finder.segments().collect();
    for id in ids {
        if next > end {
            break;
        }
        reader.read(&sources.disk, id)?;
        let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else { break };
        log.note_catalog(&ends.header.catalog);
        let types = types_of(&ends.header.catalog);
        let of_root_only = |type_id: u8| {
            let rows = &ends.header.catalog.rows;
            rows.iter().any(|row| row.type_id == type_id && row.root_only)
        };
        while next <= end {
            let record = match records.step() {
                Step::Record(record) => record,
                Step::Stop(Stop::AtBadRecord(bad)) => {
                    return Err(Error::corrupt(reader.path(), bad.offset, bad.damage));
                }
                Step::Stop(_) => break,
            };
            let (lsn, timestamp) = (record.header.lsn, record.header.timestamp);
            let corrupt = |what| Error::corrupt(reader.path(), record.offset as u64, what);
            if lsn != next {
                let (found, expected) = (lsn.0, next.0);
                return Err(corrupt(Damage::Value { of: "LSN", found, expected }));
            }
            next = next.next();
            each_entry(record.body, |of, index, entry| {
                if of != RunId::ROOT || (lsn, index) >= (end, end_index) {
                    return Ok(());
                }
                let type_id = type_of(&types, entry)?;
                let is_in_forks = type_id == CORE_TYPE_ID || !of_root_only(type_id);
                if run == RunId::ROOT || is_in_forks {
                    part.entries.push((type_id, carried(entry, lsn, timestamp, index)));
                }
                Ok(())
            })
            .map_err(corrupt)?;
        }
    }
    if next <= end {
        let left = (next > Lsn::ZERO.next()).then(|| (Lsn(1), Lsn(next.0.saturating_sub(1))));
        return Err(Error::HistoryCut { run, lsn: next, left });
    }
    Ok(part)
}
