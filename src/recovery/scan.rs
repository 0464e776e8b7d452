//! Reading the log from the loaded state on: every record checked, every entry sorted by whose it
//! is; the next segment is read while the one before is applied.
//!
//! - A damaged record is judged by the case table, never skipped.
//! - A byte that no catalog names, and a version that is newer than what is linked, refuse.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::core_entry::{self, Origin, RunCreate, RunDelete, RunSwitch};
use crate::format::entry::ENTRY_HEAD_LEN;
use crate::format::record::RecordHeader;
use crate::format::{WalEntry, record};
use crate::id::{Lsn, RunId};
use crate::primitive::{EntryAt, RecordAt};
use crate::registry::PrimitiveRegistry;
use crate::state::{RunRow, State};
use crate::wal::Tail;
use crate::wal::names::segment_path;
use crate::wal::scan::{BadRecord, Record, SegmentReader, Step, Stop as ScanStop};

use super::apply::{Bucket, Chunk, RunEvent, apply};
use super::case::{Case, Place, Stop, Verdict};
use super::owners::{CatalogFold, Owner, Owners, refuse_version};
use super::plan::{Found, Plan, PlannedSegment};
use super::{Phase, Reach, Settings};

/// What the log said.
pub(super) struct Scanned {
    pub(super) segments: usize,
    pub(super) records: u64,
    /// Entries by type ID.
    pub(super) entries: [u64; 256],
    pub(super) bytes: u64,
    /// The damage that the scan stopped at, where it may.
    pub(super) stopped_at: Option<Error>,
    /// The last segment, with the end of its records, if it is not sealed.
    pub(super) open_end: Option<(SegmentReader, Tail)>,
}

/// Applies everything behind `state.lsn` to `state`. `chain` is the log's chain checksum there, if a
/// snapshot says it.
pub(super) fn replay(
    disk: &DiskRef,
    plan: &Plan,
    found: &Found,
    state: &mut State,
    chain: Option<u32>,
    fold: &mut CatalogFold,
    settings: &Settings,
) -> Result<Scanned> {
    let registry = state.registry;
    let start = state.lsn;
    let mut scanned = Scanned {
        segments: 0,
        records: 0,
        entries: [0; 256],
        bytes: 0,
        stopped_at: None,
        open_end: None,
    };
    check_end(plan, found, start, chain)?;
    let left = plan.segments.iter().filter(|_| start < settings.reach.last());
    let needed: Vec<_> = left.filter(|segment| goes_beyond(segment, found, start)).collect();
    let bytes_total =
        needed.iter().filter_map(|s| found.segments.get(s.found)).map(|s| s.bytes).sum();
    let mut chains =
        Chains(state.runs.iter().map(|(id, run)| (*id, (run.last_lsn, Lsn::ZERO))).collect());
    let mut readers = [SegmentReader::default(), SegmentReader::default()];
    let mut waiting: Option<Vec<Chunk>> = None;
    for (at, planned) in needed.iter().enumerate() {
        let ends = &found.segments[planned.found];
        settings.progress(Phase::Replay, scanned.bytes, bytes_total, state.lsn, None)?;
        // The segment in `before` is applied while the next one is read into `reader`.
        readers.reverse();
        let [before, reader] = &mut readers;
        let (chains, scanned, reach) = (&mut chains, &mut scanned, settings.reach);
        let mut scan = Scan { registry, start, reach, chain, chains, scanned, fold: &mut *fold };
        let step = |scan: &mut Scan<'_>, reader: &mut SegmentReader| {
            let unreadable = reader.read_until_it_fails(disk, ends.id)?;
            scan.segment(reader, planned.place, plan.proved, unreadable)
        };
        let (chunks, tail) = match waiting.take() {
            None => step(&mut scan, reader)?,
            Some(chunks) => {
                let before = &*before;
                let state = &mut *state;
                let (applied, next) = thread::scope(|scope| {
                    let apply = || apply_all(state, chunks, before, settings.threads);
                    if settings.threads > 1 {
                        let applying = scope.spawn(apply);
                        let next = step(&mut scan, reader);
                        (applying.join().unwrap_or_else(|panic| resume_unwind(panic)), next)
                    } else {
                        (apply(), step(&mut scan, reader))
                    }
                });
                applied?;
                next?
            }
        };
        waiting = Some(chunks);
        scanned.segments += 1;
        scanned.bytes += ends.bytes;
        if at + 1 == needed.len() && planned.place == Place::Last {
            scanned.open_end = Some((SegmentReader::default(), tail));
        }
        if scanned.stopped_at.is_some() {
            break;
        }
    }
    let [_, last] = &mut readers;
    if let Some(chunks) = waiting {
        apply_all(state, chunks, last, settings.threads)?;
    }
    settings.progress(Phase::Replay, scanned.bytes, bytes_total, state.lsn, None)?;
    if let Some((reader, _)) = &mut scanned.open_end {
        *reader = std::mem::take(last);
    }
    Ok(scanned)
}

fn apply_all(
    state: &mut State,
    chunks: Vec<Chunk>,
    segment: &SegmentReader,
    threads: usize,
) -> Result<()> {
    chunks.into_iter().try_for_each(|chunk| apply(state, chunk, segment, threads))
}

/// A segment that ends where the snapshot does must be the one that the snapshot was made of. It is not
/// read, and the next one goes on from it.
fn check_end(plan: &Plan, found: &Found, start: Lsn, chain: Option<u32>) -> Result<()> {
    let Some(expected) = chain else { return Ok(()) };
    for ends in plan.segments.iter().filter_map(|planned| found.segments.get(planned.found)) {
        let Ok(footer) = &ends.footer else { continue };
        if footer.last_lsn == start && footer.chain != expected {
            let of = "chain, as the snapshot has it,";
            let what = Damage::Checksum { of, found: footer.chain, expected };
            return Err(Error::corrupt(&segment_path(ends.id), footer.records_end, what));
        }
    }
    Ok(())
}

/// Whether the segment holds, or may hold, a record above `start`.
pub(super) fn goes_beyond(segment: &PlannedSegment, found: &Found, start: Lsn) -> bool {
    let footer = found.segments.get(segment.found).and_then(|ends| ends.footer.as_ref().ok());
    footer.is_none_or(|footer| footer.last_lsn > start)
}

/// Where the chain of each run stands: its last record, and the one before that.
struct Chains(HashMap<RunId, (Lsn, Lsn)>);

impl Chains {
    /// A run's chain begins with the record that makes it.
    fn begin(&mut self, run: RunId, lsn: Lsn) {
        self.0.insert(run, (lsn, Lsn::ZERO));
    }

    /// A fork must name the parent's last record.
    fn check_parent(&self, fork: &RunCreate<'_>, lsn: Lsn) -> Result<(), Damage> {
        let Some((parent, found)) = fork.parent else {
            return Err(Damage::Undecodable { of: "fork of a run without a parent" });
        };
        let expected = match self.0.get(&parent) {
            Some((last, _)) if parent != RunId::ROOT => *last,
            _ => lsn,
        };
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (found.0, expected.0);
        Err(Damage::Value { of: "LSN of a run's parent", found, expected })
    }

    /// A run switch must name the run's last record before its own.
    fn follow(&mut self, switch: &RunSwitch, lsn: Lsn) -> Result<(), Damage> {
        let (last, before) = self.0.entry(switch.run).or_default();
        if *last != lsn && switch.run != RunId::ROOT {
            (*last, *before) = (lsn, *last);
        }
        if *before == switch.previous_lsn {
            return Ok(());
        }
        let (found, expected) = (switch.previous_lsn.0, before.0);
        Err(Damage::Value { of: "previous LSN of a run", found, expected })
    }
}

/// The scan of one segment after the other.
struct Scan<'s> {
    registry: &'static PrimitiveRegistry,
    start: Lsn,
    reach: Reach,
    chain: Option<u32>,
    chains: &'s mut Chains,
    scanned: &'s mut Scanned,
    fold: &'s mut CatalogFold,
}

impl Scan<'_> {
    fn segment(
        &mut self,
        reader: &SegmentReader,
        place: Place,
        proved: (Lsn, &'static str),
        unreadable: Option<Error>,
    ) -> Result<(Vec<Chunk>, Tail)> {
        let unreadable = match unreadable {
            Some(error) if self.reach == Reach::End || !error.is_damage() => return Err(error),
            unreadable => unreadable,
        };
        let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else {
            return Ok((Vec::new(), unread(reader)?));
        };
        ends.header.features.refuse_unknown(reader.path())?;
        if ends.header.first_lsn == self.start.next() {
            self.check_chain(reader, 0, ends.header.previous_chain)?;
        }
        self.fold.add(&ends.header.catalog);
        let mut owners = Owners::of(&ends.header.catalog, self.registry.facts());
        let mut sorter = Sorter::default();
        let mut proved = proved;
        let until = self.reach.last();
        let stop = loop {
            let record = match records.step() {
                Step::Record(record) if record.header.lsn > until => break None,
                Step::Record(record) => record,
                Step::Stop(stop) => break Some(stop),
            };
            if record.header.durable > proved.0 {
                proved = (record.header.durable, "a later record");
            }
            if record.header.lsn <= self.start {
                if record.header.lsn == self.start {
                    self.check_chain(reader, record.offset, record.header.header_crc)?;
                }
                continue;
            }
            sorter.begin_record(&record);
            self.record(reader, &record, &mut owners, &mut sorter)?;
            self.scanned.records += 1;
        };
        if let Some(ScanStop::AtBadRecord(bad)) = &stop {
            let evidence = reader.evidence(bad);
            if evidence.durable > proved.0 {
                proved = (evidence.durable, "a later record");
            }
        }
        let tail = records.tail().clone();
        if let Some(stop) = stop.filter(|_| tail.last_lsn != until) {
            let judged = match unreadable {
                Some(error) => Err(error),
                None => judge(reader, place, &stop, &tail, proved),
            };
            match judged {
                Err(damage) if self.reach == Reach::Damage => {
                    self.scanned.stopped_at = Some(damage);
                }
                judged => judged?,
            }
        }
        let chunks = sorter.finish();
        chunks.iter().for_each(|chunk| self.count(chunk));
        Ok((chunks, tail))
    }

    fn count(&mut self, chunk: &Chunk) {
        let entries = &mut self.scanned.entries;
        for bucket in &chunk.buckets {
            let type_id = self.registry.list()[bucket.primitive].type_id();
            entries[usize::from(type_id)] += bucket.entries.len() as u64;
        }
        for (type_id, ..) in &chunk.carried {
            entries[usize::from(*type_id)] += 1;
        }
    }

    /// The record at the snapshot's LSN must be the one the snapshot was made of.
    fn check_chain(&self, reader: &SegmentReader, offset: usize, found: u32) -> Result<()> {
        match self.chain {
            Some(expected) if expected != found => {
                let of = "chain, as the snapshot has it,";
                let what = Damage::Checksum { of, found, expected };
                Err(Error::corrupt(reader.path(), offset as u64, what))
            }
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        reader: &SegmentReader,
        record: &Record<'_>,
        owners: &mut Owners<'_>,
        sorter: &mut Sorter,
    ) -> Result<()> {
        let corrupt = |offset: usize, what| Error::corrupt(reader.path(), offset as u64, what);
        let base = reader.bytes().as_ptr().addr();
        let mut run = RunId::ROOT;
        let mut origin: Option<Origin> = None;
        sorter.switch(run);
        let entries = record::entries(record.body).map_err(|what| corrupt(record.offset, what))?;
        for (index, entry) in (0u32..).zip(entries) {
            let entry = entry.map_err(|what| corrupt(record.offset, what))?;
            // Where the head stands in the segment: both are parts of one buffer.
            let payload = entry.payload.as_ptr().addr().wrapping_sub(base);
            let start = payload.wrapping_sub(ENTRY_HEAD_LEN);
            let at = match origin.take() {
                None => EntryAt::new(start, sorter.record, index),
                Some(_) if entry.wal_type <= core_entry::LAST => {
                    return Err(corrupt(start, ORIGIN_OF_NOTHING));
                }
                Some(origin) => sorter.entry_from(&origin, start),
            };
            if let Some(primitive) = owners.usual(entry.wal_type, entry.version) {
                sorter.push(primitive, at);
            } else if entry.wal_type <= core_entry::LAST {
                refuse_newer(&entry, reader.path(), start)?;
                if entry.wal_type == core_entry::ORIGIN {
                    let decoded = Origin::decode(entry.payload);
                    origin = Some(decoded.map_err(|what| corrupt(start, what))?);
                } else {
                    self.core_entry(&entry, start, record.header.lsn, &mut run, sorter)
                        .map_err(|what| corrupt(start, what))?;
                }
            } else if !self.unusual(&entry, at, run, record.header.lsn, owners, sorter)? {
                let what = Damage::UnknownWalType { wal_type: entry.wal_type };
                return Err(corrupt(start, what));
            }
        }
        match origin {
            None => Ok(()),
            Some(_) => Err(corrupt(record.offset, ORIGIN_OF_NOTHING)),
        }
    }

    /// An entry that is not [`usual`](Owners::usual): the first of its primitive, an old version,
    /// or of a primitive that is not linked. Says whether it is anybody's.
    #[cold]
    fn unusual(
        &mut self,
        entry: &WalEntry<'_>,
        at: EntryAt,
        run: RunId,
        lsn: Lsn,
        owners: &mut Owners<'_>,
        sorter: &mut Sorter,
    ) -> Result<bool> {
        let WalEntry { wal_type, version, .. } = *entry;
        if let Some(row) = owners.first_sight(wal_type) {
            self.fold.note(row.type_id, &row.name, lsn);
        }
        match owners.owner(wal_type) {
            Owner::Linked(primitive) => {
                if !owners.is_newest(wal_type, version) {
                    refuse_version(&self.registry.facts()[primitive], wal_type, version, lsn)?;
                }
                sorter.push(primitive, at);
            }
            Owner::Detached(type_id) => {
                sorter.chunk.carried.push((type_id, run, at));
            }
            Owner::Refused(refusal) => return Err(owners.refusal(refusal).into()),
            Owner::Nobody => return Ok(false),
        }
        Ok(true)
    }

    fn core_entry(
        &mut self,
        entry: &WalEntry<'_>,
        offset: usize,
        lsn: Lsn,
        run: &mut RunId,
        sorter: &mut Sorter,
    ) -> Result<(), Damage> {
        match entry.wal_type {
            core_entry::RUN_SWITCH => {
                let switch = RunSwitch::decode(entry.payload)?;
                self.chains.follow(&switch, lsn)?;
                *run = switch.run;
                sorter.switch(*run);
            }
            core_entry::RUN_CREATE | core_entry::RUN_FORK => {
                let create = RunCreate::decode(entry.payload)?;
                let row = RunRow {
                    id: create.run,
                    name: create.name.into(),
                    created_lsn: lsn,
                    parent: create.parent,
                    is_fork: entry.wal_type == core_entry::RUN_FORK,
                };
                self.chains.begin(create.run, lsn);
                if entry.wal_type == core_entry::RUN_CREATE {
                    sorter.chunk.runs.push(RunEvent::Created(row, offset));
                } else {
                    self.chains.check_parent(&create, lsn)?;
                    sorter.split();
                    sorter.chunk.runs.push(RunEvent::Forked(row, offset));
                }
            }
            core_entry::RUN_DELETE => {
                let run = RunDelete::decode(entry.payload)?.run;
                sorter.chunk.runs.push(RunEvent::Deleted(run, offset));
            }
            wal_type => return Err(Damage::UnknownWalType { wal_type }),
        }
        Ok(())
    }
}

const ORIGIN_OF_NOTHING: Damage =
    Damage::Undecodable { of: "origin of an operation that does not follow" };

/// A core entry of a later build is no damage.
fn refuse_newer(entry: &WalEntry<'_>, path: &Path, offset: usize) -> Result<()> {
    let (found, supported) = (entry.version, core_entry::CORE_ENTRY_VERSION);
    match found.cmp(&supported) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::Version {
            place: format!("{} at {offset}: entry {:#04x}", path.display(), entry.wal_type).into(),
            found: found.into(),
            supported: supported.into(),
        }),
        Ordering::Less => {
            let (found, expected) = (found.into(), supported.into());
            let what = Damage::Value { of: "version of a core entry", found, expected };
            Err(Error::corrupt(path, offset as u64, what))
        }
    }
}

/// A segment that could not be read has no records.
fn unread(reader: &SegmentReader) -> Result<Tail> {
    let what = Damage::Truncated { of: "segment", needed: 1, left: 0 };
    Err(Error::corrupt(reader.path(), 0, what))
}

/// Sorts entries into buckets. The bucket of a primitive in the current run is found by its index;
/// only a run switch looks a run up.
#[derive(Default)]
struct Sorter {
    /// Those that a fork ended.
    before: Vec<Chunk>,
    chunk: Chunk,
    /// The entries of the current run, by primitive.
    current: Vec<Vec<EntryAt>>,
    run: RunId,
    /// Those of the root while another run is current: each record begins in the root.
    root: Vec<Vec<EntryAt>>,
    /// Those of the other runs.
    others: HashMap<RunId, Vec<Vec<EntryAt>>>,
    /// The current record's place among the chunk's.
    record: u32,
}

impl Sorter {
    #[inline]
    fn switch(&mut self, run: RunId) {
        if run != self.run {
            self.leave(run);
        }
    }

    fn leave(&mut self, run: RunId) {
        let current = match run {
            RunId::ROOT => std::mem::take(&mut self.root),
            _ => self.others.remove(&run).unwrap_or_default(),
        };
        let left = std::mem::replace(&mut self.current, current);
        match self.run {
            RunId::ROOT => self.root = left,
            _ => drop(self.others.insert(self.run, left)),
        }
        self.run = run;
    }

    #[inline]
    fn push(&mut self, primitive: usize, at: EntryAt) {
        match self.current.get_mut(primitive) {
            Some(entries) => entries.push(at),
            None => self.push_first(primitive, at),
        }
    }

    #[cold]
    fn push_first(&mut self, primitive: usize, at: EntryAt) {
        self.current.resize_with(primitive, Vec::new);
        self.current.push(vec![at]);
    }

    /// What follows stands in this record. A segment has no more of them than fit its number.
    #[inline]
    fn begin_record(&mut self, record: &Record<'_>) {
        let RecordHeader { lsn, epoch, timestamp, .. } = record.header;
        self.chunk.end = Some((lsn, epoch, timestamp));
        self.record = u32::try_from(self.chunk.records.len()).unwrap_or(u32::MAX);
        self.chunk.records.push(RecordAt { lsn, timestamp });
    }

    /// The place of an entry that was first logged elsewhere: in a record of its own, as far as its
    /// operation is told.
    #[cold]
    fn entry_from(&mut self, origin: &Origin, offset: usize) -> EntryAt {
        let Origin { lsn, timestamp, index } = *origin;
        let record = u32::try_from(self.chunk.records.len()).unwrap_or(u32::MAX);
        self.chunk.records.push(RecordAt { lsn, timestamp });
        if let Some((here, ..)) = self.chunk.end {
            self.chunk.origins.insert(record, here);
        }
        EntryAt::new(offset, record, index)
    }

    /// Ends the chunk in the middle of a record, of which what follows is still a part.
    #[cold]
    fn split(&mut self) {
        let run = self.run;
        let record = self.chunk.records.get(self.record as usize).copied();
        let end = self.chunk.end;
        let mut before = std::mem::take(&mut self.before);
        let mut ended = std::mem::take(self).finish();
        before.append(&mut ended);
        self.before = before;
        self.chunk.end = end;
        self.chunk.records.extend(record);
        self.switch(run);
    }

    /// The chunks, in the order of the log.
    fn finish(mut self) -> Vec<Chunk> {
        self.switch(RunId::ROOT);
        let mut runs: Vec<_> = self.others.into_iter().collect();
        runs.push((RunId::ROOT, self.current));
        // So that the same log gives the same chunk.
        runs.sort_unstable_by_key(|(run, _)| *run);
        for (run, primitives) in runs {
            for (primitive, entries) in primitives.into_iter().enumerate() {
                if !entries.is_empty() {
                    self.chunk.buckets.push(Bucket { run, primitive, entries });
                }
            }
        }
        self.before.push(self.chunk);
        self.before
    }
}

/// Decides by the case table what the end of the segment's records means.
pub(super) fn judge(
    reader: &SegmentReader,
    place: Place,
    stop: &ScanStop,
    tail: &Tail,
    proved: (Lsn, &'static str),
) -> Result<()> {
    let kind = match stop {
        ScanStop::AtFooter => Stop::AtFooter,
        ScanStop::AtZeros => Stop::AtZeros,
        ScanStop::AtBadRecord(_) => Stop::AtBadRecord,
    };
    let next = tail.last_lsn.next();
    let case = Case::of(place, kind, next <= proved.0);
    if case.verdict() != Verdict::Corrupt {
        return Ok(());
    }
    if let (Case::C, Some(Err(damage))) = (case, reader.ends().map(|ends| ends.footer.clone())) {
        return Err(Error::corrupt(reader.path(), tail.end, damage));
    }
    let bad = match stop {
        ScanStop::AtBadRecord(bad) => bad.clone(),
        ScanStop::AtFooter | ScanStop::AtZeros => BadRecord {
            offset: tail.end,
            lsn: next,
            damage: Damage::Value { of: "record length", found: 0, expected: 1 },
        },
    };
    let (proved, proof) = match reader.ends().map(|ends| &ends.footer) {
        Some(Ok(footer)) => (footer.last_lsn, "the footer"),
        _ => proved,
    };
    Err(Error::corrupt(
        reader.path(),
        bad.offset,
        Damage::Proved {
            damage: Box::new(bad.damage),
            lsn: bad.lsn,
            proved,
            proof,
            last_good: tail.last_lsn,
        },
    ))
}
