//! Reading segments: both ends, all records, and what a damaged rest still proves.
//!
//! - Nothing is written. The same bytes give the same answer, also when asked again: after damage a
//!   scan stays where it is.
//! - A record is handed out only after its header, its body, its place, its LSN, its epoch and its
//!   link to the record before it were checked.
//! - The log ends where a record's length is zero and only zeros follow, or at the footer.
//! - The buffer is 64-aligned and records start on multiples of 8, so archives are read in place.

use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::failed;
use super::names::segment_path;
use super::tail::Tail;
use crate::disk::{DiskFile, DiskRef, FileRef, OpenMode, read_full_at};
use crate::error::{Damage, Error, Result};
use crate::format::record::{FRAME_LEN, HEADER_LEN, Place, RecordHeader, framed_len};
use crate::format::segment::{HeaderStart, SegmentFooter, SegmentHeader, TRAILER_LEN};
use crate::format::version::HEADER_BYTES_MAX;
use crate::id::{Lsn, SegmentId};

/// The longest segment file that is read: the largest option, with room for the largest batch.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// What the two ends of a segment's file say, without its records.
#[derive(Clone, Debug)]
pub(crate) struct SegmentEnds {
    pub(crate) id: SegmentId,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    pub(crate) header: SegmentHeader,
    /// Where the first record starts.
    pub(crate) header_len: u64,
    /// Why there is no valid footer, if there is none: an unsealed segment, or damage.
    pub(crate) footer: std::result::Result<SegmentFooter, Damage>,
}

impl SegmentEnds {
    /// Reads header and footer of a segment.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Version`] if the header is not good. A footer that is not good
    /// is no error here.
    pub(crate) fn read(disk: &DiskRef, id: SegmentId) -> Result<SegmentEnds> {
        SegmentEnds::open(disk, id).map(|(_, ends)| ends)
    }

    /// The same, but a footer that the disk does not give is only one that is not good.
    ///
    /// # Errors
    ///
    /// As [`SegmentEnds::read`].
    pub(crate) fn read_readable(disk: &DiskRef, id: SegmentId) -> Result<SegmentEnds> {
        let (_, ends, unreadable) = SegmentEnds::open_readable(disk, id)?;
        match unreadable {
            Some(error) if !error.is_damage() => Err(error),
            _ => Ok(ends),
        }
    }

    /// As [`SegmentEnds::read`], and the file, to read on in it.
    pub(super) fn open(disk: &DiskRef, id: SegmentId) -> Result<(FileRef, SegmentEnds)> {
        let (file, ends, unreadable) = SegmentEnds::open_readable(disk, id)?;
        unreadable.map_or(Ok((file, ends)), Err)
    }

    /// The file, what its ends say, and why the footer cannot be read, if it cannot.
    fn open_readable(
        disk: &DiskRef,
        id: SegmentId,
    ) -> Result<(FileRef, SegmentEnds, Option<Error>)> {
        let path = segment_path(id);
        let file = disk
            .open(&path, OpenMode::Read)
            .map_err(|source| failed(&**disk, "open", &path, 0, source))?;
        let source = Source { disk, file: &*file, path: &path };
        let bytes =
            file.size().map_err(|error| failed(&**disk, "read the size of", &path, 0, error))?;
        let start = source.read(0, HEADER_BYTES_MAX)?;
        let start = HeaderStart::decode(&start).map_err(|error| error.into_error(&path))?;
        let whole = source.read(0, start.whole_len())?;
        let header = start.decode_rest(&whole).map_err(|error| error.into_error(&path))?;
        check_number(&header, id).map_err(|what| Error::corrupt(&path, 0, what))?;
        let header_len = start.whole_len() as u64;
        let (footer, unreadable) = match source.footer(&header, bytes) {
            Ok(footer) => (footer, None),
            Err(error) => {
                let said = error.to_string().into();
                (Err(Damage::Unreadable { of: "footer", error: said }), Some(error))
            }
        };
        Ok((file, SegmentEnds { id, bytes, header, header_len, footer }, unreadable))
    }
}

fn check_number(header: &SegmentHeader, id: SegmentId) -> std::result::Result<(), Damage> {
    if header.segment == id {
        return Ok(());
    }
    Err(Damage::Misplaced { of: "segment", found: header.segment.0, expected: id.0 })
}

/// A file that pieces are read from.
struct Source<'a> {
    disk: &'a DiskRef,
    file: &'a dyn DiskFile,
    path: &'a Path,
}

impl Source<'_> {
    /// Up to `len` bytes at `offset`: fewer at the end of the file.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = read_full_at(self.file, &mut bytes, offset)
            .map_err(|source| failed(&**self.disk, "read", self.path, 0, source))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The footer at the end of a file of `bytes`.
    fn footer(
        &self,
        header: &SegmentHeader,
        bytes: u64,
    ) -> Result<std::result::Result<SegmentFooter, Damage>> {
        let trailer = self.read(bytes.saturating_sub(TRAILER_LEN as u64), TRAILER_LEN)?;
        let len = match SegmentFooter::decode_trailer(&trailer, bytes) {
            Ok(len) => len,
            Err(damage) => return Ok(Err(damage)),
        };
        let footer = self.read(bytes.saturating_sub(len as u64), len)?;
        Ok(SegmentFooter::decode(&footer, header.salt, header.segment, bytes))
    }
}

/// A segment in memory, whole.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    /// Longer than the segment if an earlier one was longer.
    buffer: AlignedVec<64>,
    len: usize,
    path: PathBuf,
    ends: Option<SegmentEnds>,
}

impl Default for SegmentReader {
    fn default() -> SegmentReader {
        SegmentReader { buffer: AlignedVec::new(), len: 0, path: PathBuf::new(), ends: None }
    }
}

impl SegmentReader {
    /// Reads a segment whole, over the one read before.
    ///
    /// # Errors
    ///
    /// As [`SegmentEnds::read`].
    pub(crate) fn read(&mut self, disk: &DiskRef, id: SegmentId) -> Result<()> {
        self.read_until_it_fails(disk, id)?.map_or(Ok(()), Err)
    }

    /// The same, but if the disk does not give all of the file, what stands before that, and the error.
    pub(crate) fn read_until_it_fails(
        &mut self,
        disk: &DiskRef,
        id: SegmentId,
    ) -> Result<Option<Error>> {
        self.ends = None;
        self.path = segment_path(id);
        let path = &self.path;
        let file = disk
            .open(path, OpenMode::Read)
            .map_err(|source| failed(&**disk, "open", path, 0, source))?;
        let found =
            file.size().map_err(|error| failed(&**disk, "read the size of", path, 0, error))?;
        let len = match usize::try_from(found) {
            Ok(len) if found <= SEGMENT_BYTES_MAX => len,
            _ => {
                let what = Damage::TooLarge { of: "segment file", found, most: SEGMENT_BYTES_MAX };
                return Err(Error::corrupt(path, 0, what));
            }
        };
        // Before memory is taken for a file that may be long and none of ours.
        let start = Source { disk, file: &*file, path }.read(0, HEADER_BYTES_MAX)?;
        HeaderStart::decode(&start).map_err(|error| error.into_error(path))?;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        let bytes = self.buffer.get_mut(..len).unwrap_or_default();
        let failure = match read_full_at(&*file, bytes, 0) {
            Ok(read) => {
                self.len = read;
                None
            }
            Err(source) => {
                self.len = readable_len(&*file, bytes);
                Some(failed(&**disk, "read", path, 0, source))
            }
        };
        match (self.decode_ends(id), failure) {
            (Ok(ends), failure) => {
                self.ends = Some(ends);
                Ok(failure)
            }
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(error),
        }
    }

    fn decode_ends(&self, id: SegmentId) -> Result<SegmentEnds> {
        let bytes = self.bytes();
        let (header, header_len) =
            SegmentHeader::decode(bytes).map_err(|error| error.into_error(&self.path))?;
        check_number(&header, id).map_err(|what| Error::corrupt(&self.path, 0, what))?;
        let len = bytes.len() as u64;
        let footer = bytes
            .len()
            .checked_sub(TRAILER_LEN)
            .and_then(|at| bytes.get(at..))
            .ok_or(Damage::Truncated { of: "footer", needed: TRAILER_LEN as u64, left: len })
            .and_then(|trailer| SegmentFooter::decode_trailer(trailer, len))
            .and_then(|footer_len| {
                let footer = bytes.len().checked_sub(footer_len).and_then(|at| bytes.get(at..));
                let footer = footer.unwrap_or_default();
                SegmentFooter::decode(footer, header.salt, header.segment, len)
            });
        Ok(SegmentEnds { id, bytes: len, header, header_len: header_len as u64, footer })
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// The file, below the database's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Header and footer of the segment that was read; `None` if none was.
    pub(crate) fn ends(&self) -> Option<&SegmentEnds> {
        self.ends.as_ref()
    }

    /// The records of the segment that was read, from the first. `None` if none was read.
    pub(crate) fn records(&self) -> Option<Records<'_>> {
        let ends = self.ends.as_ref()?;
        let footer = ends.footer.as_ref().ok();
        let bytes = self.bytes();
        let end = footer.map(|footer| footer.records_end).and_then(|end| usize::try_from(end).ok());
        Some(Records {
            // Behind a valid footer's start there are no records, whatever stands there.
            bytes: end.and_then(|end| bytes.get(..end)).unwrap_or(bytes),
            ends,
            at: usize::try_from(ends.header_len).unwrap_or(usize::MAX),
            tail: Tail::empty(&ends.header, ends.header_len),
            stop: None,
        })
    }

    /// What the rest of the segment proves, from the bad record on: see [`Evidence`].
    pub(crate) fn evidence(&self, bad: &BadRecord) -> Evidence {
        let mut evidence = Evidence::default();
        let Some(ends) = &self.ends else { return evidence };
        let bytes = self.bytes();
        let start = usize::try_from(bad.offset).unwrap_or(usize::MAX);
        let above = Lsn(bad.lsn.0.saturating_sub(1));
        let mut at = start;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_LEN) {
            // No record is shorter than a header, which bounds how many can stand between.
            let between = ((at - start) / HEADER_LEN) as u64;
            let most = Lsn(bad.lsn.0.saturating_add(between));
            let place = self.place(ends, at);
            let header =
                RecordHeader::decode_candidate(rest, place, ends.header.epoch, above, most);
            if let Some(header) = header.filter(|header| header.durable < header.lsn) {
                evidence.durable = evidence.durable.max(header.durable);
                evidence.last_lsn = evidence.last_lsn.max(header.lsn);
                evidence.candidate_count += 1;
            }
            at += 8;
        }
        evidence
    }

    /// Every record above `above` that checks out by itself at its place, whatever stands between: LSN
    /// and body. They are no history, since what came before them may be missing.
    pub(crate) fn records_anywhere(&self, above: Lsn) -> impl Iterator<Item = (Lsn, &[u8])> {
        let mut at = self
            .ends
            .as_ref()
            .map_or(usize::MAX, |ends| usize::try_from(ends.header_len).unwrap_or(usize::MAX));
        std::iter::from_fn(move || {
            let ends = self.ends.as_ref()?;
            loop {
                let rest = self.bytes().get(at..).filter(|rest| rest.len() >= HEADER_LEN)?;
                let (place, most) = (self.place(ends, at), Lsn(u64::MAX));
                let header =
                    RecordHeader::decode_candidate(rest, place, ends.header.epoch, above, most);
                let whole = header.and_then(|header| Some((header, header.body(rest).ok()?)));
                at += 8;
                if let Some((header, body)) = whole {
                    at += (FRAME_LEN + header.body_len).saturating_sub(8) / 8 * 8;
                    return Some((header.lsn, body));
                }
            }
        })
    }

    fn place(&self, ends: &SegmentEnds, at: usize) -> Place {
        Place { salt: ends.header.salt, segment: ends.header.segment, offset: at as u64 }
    }
}

/// How much of the front of a file can be read, by sectors.
fn readable_len(file: &dyn DiskFile, bytes: &mut [u8]) -> usize {
    let mut len = 0;
    for sector in bytes.chunks_mut(512) {
        match read_full_at(file, sector, len as u64) {
            Ok(read) => len += read,
            Err(_) => break,
        }
    }
    len
}

/// What a damaged rest of a segment proves. Headers that check out at their place say it; they are
/// never applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The highest LSN that one of them knew to be synced; 0 if none says any.
    pub(crate) durable: Lsn,
    /// The highest LSN of them; 0 if there is none. It may never have been synced.
    pub(crate) last_lsn: Lsn,
    /// How many there are.
    pub(crate) candidate_count: u64,
}

/// A record that was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Where its frame starts in the file.
    pub(crate) offset: usize,
    pub(crate) header: RecordHeader,
    /// Head and entries; 8-aligned. Starts [`FRAME_LEN`] behind `offset`.
    pub(crate) body: &'a [u8],
}

/// Bytes that are not the record that should stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRecord {
    /// Where it should start.
    pub(crate) offset: u64,
    /// The LSN it should have.
    pub(crate) lsn: Lsn,
    pub(crate) damage: Damage,
}

/// Where reading the records of a segment stopped.
#[expect(clippy::enum_variant_names, reason = "each says where; without `At` none does")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a footer that agrees with the records. In a segment whose file does not end there, only
    /// zeros follow it: it was being sealed.
    AtFooter,
    /// At zeros that reach to the end of the file.
    AtZeros,
    /// At something else.
    AtBadRecord(BadRecord),
}

/// One step of a scan.
#[derive(Clone, Debug)]
pub(crate) enum Step<'a> {
    /// The next record.
    Record(Record<'a>),
    /// No more; every further step says the same.
    Stop(Stop),
}

/// The records of a segment, in order.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    ends: &'a SegmentEnds,
    at: usize,
    tail: Tail,
    stop: Option<Stop>,
}

impl<'a> Records<'a> {
    /// The next record, or why there is none.
    #[inline]
    pub(crate) fn step(&mut self) -> Step<'a> {
        if let Some(stop) = &self.stop {
            return Step::Stop(stop.clone());
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match self.decode(rest) {
            Ok(record) => {
                let framed = framed_len(record.header.body_len);
                self.at += FRAME_LEN + record.header.body_len;
                self.tail.push(record.header.lsn, framed, record.header.header_crc);
                Step::Record(record)
            }
            Err(damage) => {
                let stop = self.stop_at(rest, damage);
                self.stop = Some(stop.clone());
                Step::Stop(stop)
            }
        }
    }

    /// The end of the records handed out so far.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    #[inline]
    fn decode(&self, rest: &'a [u8]) -> std::result::Result<Record<'a>, Damage> {
        let header = &self.ends.header;
        let offset = self.at;
        let place = Place { salt: header.salt, segment: header.segment, offset: offset as u64 };
        let record = RecordHeader::decode(rest, place)?;
        let expected = self.tail.last_lsn.next();
        if record.lsn != expected {
            let (found, expected) = (record.lsn.0, expected.0);
            return Err(Damage::Value { of: "LSN", found, expected });
        }
        if record.epoch != header.epoch {
            return Err(Damage::Epoch { found: record.epoch, expected: header.epoch });
        }
        if record.previous_crc != self.tail.chain {
            return Err(Damage::Checksum {
                of: "record before",
                found: self.tail.chain,
                expected: record.previous_crc,
            });
        }
        if record.durable >= record.lsn {
            let most = record.lsn.0.saturating_sub(1);
            return Err(Damage::TooLarge { of: "durable LSN", found: record.durable.0, most });
        }
        let body = record.body(rest)?;
        Ok(Record { offset, header: record, body })
    }

    /// What it means that no record could be read at `rest`, the bytes behind the last one.
    #[cold]
    fn stop_at(&self, rest: &[u8], damage: Damage) -> Stop {
        let bad = |damage| {
            Stop::AtBadRecord(BadRecord {
                offset: self.tail.end,
                lsn: self.tail.last_lsn.next(),
                damage,
            })
        };
        if let Ok(footer) = &self.ends.footer {
            return match self.tail.disagreement(footer) {
                None => Stop::AtFooter,
                Some(differs) if rest.is_empty() => bad(differs),
                Some(_) => bad(damage),
            };
        }
        if uncut_footer(rest, &self.ends.header, &self.tail).is_some() {
            return Stop::AtFooter;
        }
        if is_zero(rest) {
            return Stop::AtZeros;
        }
        if rest.first_chunk::<4>() == Some(&[0; 4]) {
            // A length of zero says the log ends, what follows says it does not.
            let found = rest.iter().find(|byte| **byte != 0).copied().unwrap_or_default().into();
            return bad(Damage::Value {
                of: "a byte behind the end of the log",
                found,
                expected: 0,
            });
        }
        bad(damage)
    }
}

/// The footer that stands where the next record would, with only zeros behind it, and seals exactly the
/// records before it: sealing was interrupted before the file was cut.
pub(super) fn uncut_footer(
    rest: &[u8],
    header: &SegmentHeader,
    tail: &Tail,
) -> Option<SegmentFooter> {
    let (footer, behind) = SegmentFooter::split_from(rest)?;
    let file_bytes = tail.end + footer.len() as u64;
    let footer = SegmentFooter::decode(footer, header.salt, header.segment, file_bytes).ok()?;
    (tail.disagreement(&footer).is_none() && is_zero(behind)).then_some(footer)
}

/// Whether all of `bytes` are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // In pieces, so that the loop inside has no branch and uses wide registers.
    bytes.chunks(4096).all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}
