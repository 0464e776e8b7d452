//! One record of many: found by the index of its segment's footer, and read alone.
//!
//! - A record that is handed out was checked as a scan checks it, but for its link to the one before.
//! - What was read for one record is kept for the next, since neighbours are often asked for.

use std::io;
use std::path::Path;

use rkyv::util::AlignedVec;

use super::failed;
use super::names::{WAL_DIR, WalName, parse, segment_path};
use super::scan::{SegmentEnds, SegmentReader, Step};
use crate::disk::{DiskRef, FileRef, read_full_at};
use crate::error::{Damage, Error, Result};
use crate::format::catalog::Catalog;
use crate::format::record::{FRAME_LEN, HEADER_LEN, Place, RecordHeader};
use crate::format::segment::SegmentHeader;
use crate::id::{Lsn, SegmentId};

/// How much is read at once.
const READ_BYTES: usize = 4 << 10;

/// The segments in which records are looked for.
pub(crate) struct Finder {
    disk: DiskRef,
    /// Ascending, without a gap.
    segments: Vec<Sought>,
    first: Option<SegmentHeader>,
    open: Option<OpenSegment>,
}

/// A segment that may hold the record.
#[derive(Clone)]
pub(super) struct Sought {
    pub(super) id: SegmentId,
    pub(super) last_lsn: Lsn,
    /// Of a segment that has no footer yet: its index, and where its records end.
    pub(super) unsealed: Option<(Vec<(Lsn, u64)>, u64)>,
}

/// The segment of the last record, and what of it was read.
struct OpenSegment {
    file: FileRef,
    ends: SegmentEnds,
    index: Vec<(Lsn, u64)>,
    records_end: u64,
    window: AlignedVec<64>,
    /// Where the window begins in the file, and the record there.
    start: (u64, Lsn),
}

/// A record that was found.
pub(crate) struct FoundRecord<'a> {
    /// Where it stands, for messages.
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    /// Head and entries; 8-aligned.
    pub(crate) body: &'a [u8],
    pub(crate) catalog: &'a Catalog,
}

impl Finder {
    pub(super) fn new(disk: DiskRef, segments: Vec<Sought>) -> Finder {
        Finder { disk, segments, first: None, open: None }
    }

    /// The same for a log that nobody has open to write.
    ///
    /// # Errors
    ///
    /// As [`SegmentEnds::read`].
    pub(crate) fn of_directory(disk: &DiskRef) -> Result<Finder> {
        let mut ids: Vec<SegmentId> = match disk.list(Path::new(WAL_DIR)) {
            Ok(listed) => listed.iter().filter_map(|entry| segment_of(&entry.name)).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(failed(&**disk, "list", Path::new(WAL_DIR), 0, source)),
        };
        ids.sort_unstable();
        let mut segments = Vec::with_capacity(ids.len());
        for id in ids {
            // What lies before a gap was left by a pruning that did not end, and is no part of the log.
            if segments.last().is_some_and(|before: &Sought| before.id.next() != id) {
                segments.clear();
            }
            let ends = SegmentEnds::read(disk, id)?;
            segments.push(match &ends.footer {
                Ok(footer) => Sought { id, last_lsn: footer.last_lsn, unsealed: None },
                Err(_) => unsealed(disk, id)?,
            });
        }
        Ok(Finder::new(disk.clone(), segments))
    }

    /// The header of the first segment there is.
    ///
    /// # Errors
    ///
    /// As [`SegmentEnds::read`].
    pub(crate) fn first(&mut self) -> Result<Option<&SegmentHeader>> {
        if self.first.is_none() && !self.segments.is_empty() {
            let id = self.segments.first().map_or(SegmentId(0), |first| first.id);
            self.first = Some(SegmentEnds::read(&self.disk, id)?.header);
        }
        Ok(self.first.as_ref())
    }

    /// The segments, ascending.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.segments.iter().map(|segment| segment.id)
    }

    /// The record `lsn`; `None` if it is not in these segments.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if what stands there is not that record.
    pub(crate) fn record(&mut self, lsn: Lsn) -> Result<Option<FoundRecord<'_>>> {
        let at = self.segments.partition_point(|segment| segment.last_lsn < lsn);
        let Some(sought) = self.segments.get(at) else { return Ok(None) };
        let open = match self.open.take() {
            Some(open) if open.ends.id == sought.id => open,
            _ => OpenSegment::open(&self.disk, sought)?,
        };
        let open = self.open.insert(open);
        if lsn < open.ends.header.first_lsn {
            return Ok(None);
        }
        open.find(&self.disk, lsn).map(Some)
    }
}

fn segment_of(name: &str) -> Option<SegmentId> {
    match parse(name) {
        WalName::Segment(id) => Some(id),
        _ => None,
    }
}

/// A segment without a footer, whose records say where they end.
fn unsealed(disk: &DiskRef, id: SegmentId) -> Result<Sought> {
    let mut reader = SegmentReader::default();
    reader.read(disk, id)?;
    let (mut last_lsn, mut index, mut end) = (Lsn::ZERO, Vec::new(), 0);
    if let Some(mut records) = reader.records() {
        while let Step::Record(_) = records.step() {}
        let tail = records.tail();
        (last_lsn, index, end) = (tail.last_lsn, tail.index().to_vec(), tail.end);
    }
    Ok(Sought { id, last_lsn, unsealed: Some((index, end)) })
}

impl OpenSegment {
    fn open(disk: &DiskRef, sought: &Sought) -> Result<OpenSegment> {
        let path = segment_path(sought.id);
        let (file, mut ends) = SegmentEnds::open(disk, sought.id)?;
        let (index, records_end) = match (&sought.unsealed, &mut ends.footer) {
            // Sealed meanwhile, perhaps; the index is the same as far as it goes.
            (Some((index, end)), _) => (index.clone(), *end),
            (None, Ok(footer)) => (std::mem::take(&mut footer.index), footer.records_end),
            (None, Err(damage)) => return Err(Error::corrupt(&path, ends.bytes, damage.clone())),
        };
        let start = (0, Lsn::ZERO);
        Ok(OpenSegment { file, ends, index, records_end, window: AlignedVec::new(), start })
    }

    fn find(&mut self, disk: &DiskRef, lsn: Lsn) -> Result<FoundRecord<'_>> {
        let path = segment_path(self.ends.id);
        let (salt, segment) = (self.ends.header.salt, self.ends.header.segment);
        let row = self.index.partition_point(|(first, _)| *first <= lsn);
        let begin = match row.checked_sub(1).and_then(|before| self.index.get(before)) {
            Some((first, offset)) => (*offset, *first),
            None => (self.ends.header_len, self.ends.header.first_lsn),
        };
        if self.start != begin {
            self.start = begin;
            self.window.clear();
        }
        let (mut at, mut next) = (0_usize, begin.1);
        loop {
            let offset = begin.0 + at as u64;
            let place = Place { salt, segment, offset };
            let corrupt = |what| Error::corrupt(&path, offset, what);
            if self.window.len() < at + HEADER_LEN {
                self.read(disk, &path, at + HEADER_LEN)?;
            }
            let rest = self.window.get(at..).unwrap_or_default();
            if next < lsn
                && let Some((body_len, found)) = RecordHeader::passed_over(rest)
                && found == next
            {
                (at, next) = (at + FRAME_LEN + body_len, next.next());
                continue;
            }
            let found = RecordHeader::decode(rest, place).map_err(corrupt)?;
            if found.lsn != lsn {
                let (found, expected) = (found.lsn.0, next.0);
                return Err(corrupt(Damage::Value { of: "LSN", found, expected }));
            }
            let behind = at + FRAME_LEN + found.body_len;
            if self.window.len() < behind {
                self.read(disk, &path, behind)?;
            }
            let rest = self.window.get(at..).unwrap_or_default();
            let body = found.body(rest).map_err(corrupt)?;
            let catalog = &self.ends.header.catalog;
            return Ok(FoundRecord { segment, offset, header: found, body, catalog });
        }
    }

    /// Reads on until the window has `len` bytes, and a little more, as far as there are records.
    fn read(&mut self, disk: &DiskRef, path: &Path, len: usize) -> Result<()> {
        let most = self.records_end.saturating_sub(self.start.0);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (have, len) = (self.window.len(), len.next_multiple_of(READ_BYTES).min(most));
        if len <= have {
            return Ok(());
        }
        self.window.resize(len, 0);
        let behind = self.window.get_mut(have..).unwrap_or_default();
        let read = read_full_at(&*self.file, behind, self.start.0 + have as u64);
        let read = read.map_err(|source| failed(&**disk, "read", path, 0, source))?;
        self.window.resize((have + read).min(len), 0);
        Ok(())
    }
}
