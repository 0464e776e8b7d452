//! Writing the log: append, sync, rotate, seal.
//!
//! - One writer at a time: whoever holds the log. Only a sync that was begun apart runs without it.
//! - Rotate: the next segment's temporary is made, with its space; all records of this one are
//!   synced; its footer is written, the file cut behind it, and synced; only then does the next
//!   one get its name. So a segment that has a successor has a valid footer.
//! - `durable` in a record is the highest LSN whose sync returned before the record was framed.
//! - After a write or a sync that failed, the log is *poisoned*: nothing is written or synced again.
//!   One exception: a full disk, as long as everything half-written could be taken back.

use std::sync::{Arc, Mutex, PoisonError};

use super::create::{self, Prepared};
use super::failed;
use super::find::{Finder, Sought};
use super::mark::MarkFile;
use super::names::segment_path;
use super::tail::Tail;
use super::{Batch, prune, repair};
use crate::disk::{DiskRef, FileRef, write_all_at};
use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::format::mark::SyncedMark;
use crate::format::record::{Place, frame, lsn_of};
use crate::format::segment::{SegmentFooter, SegmentHeader};
use crate::format::version::Features;
use crate::id::{DatabaseId, Epoch, Lsn, SegmentId};

/// Where a log begins: what an opening found, and what the user wants.
pub(crate) struct LogStart {
    pub(crate) database: DatabaseId,
    /// One more than that of the last segment.
    pub(crate) epoch: Epoch,
    /// One more than the last segment.
    pub(crate) segment: SegmentId,
    /// One more than the last record.
    pub(crate) first_lsn: Lsn,
    /// The last record's header checksum, 0 if there is none.
    pub(crate) previous_chain: u32,
    /// Random; each segment's salt comes from it.
    pub(crate) salt_seed: u64,
    /// Bytes of a segment, unless one record needs more.
    pub(crate) segment_bytes: u64,
    /// The segments that are there, oldest first.
    pub(crate) sealed: Vec<SealedSegment>,
    /// The sequence of the synced mark that was found, 0 if there was none.
    pub(crate) mark_sequence: u64,
}

/// A segment that nothing changes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    pub(crate) id: SegmentId,
    /// One less than its first LSN if it has no record.
    pub(crate) last_lsn: Lsn,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// The segment that is written to.
struct Active {
    sync: Arc<SyncGate>,
    header: SegmentHeader,
    tail: Tail,
    /// Bytes reserved for the file.
    bytes: u64,
}

/// The way to sync one file. A sync that fails is the file's last: the operating system reports lost
/// pages once and then calls them clean.
struct SyncGate {
    file: FileRef,
    has_failed: Mutex<bool>,
}

impl SyncGate {
    fn sync(&self) -> std::io::Result<()> {
        // The lock is held through the sync: of two at once, one would get the error and the other
        // would call the same lost pages good.
        let mut has_failed = self.has_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(std::io::Error::other("an earlier sync of this file failed"));
        }
        let synced = self.file.sync();
        *has_failed = synced.is_err();
        synced
    }
}

/// The log of an open database.
pub(crate) struct Log {
    disk: DiskRef,
    database: DatabaseId,
    epoch: Epoch,
    salt_seed: u64,
    segment_bytes: u64,
    sealed: Vec<SealedSegment>,
    /// `None`: the disk was full when it was to be made, or the log is closed.
    active: Option<Active>,
    /// The number of the next segment.
    next_segment: SegmentId,
    mark_sequence: u64,
    mark: Option<MarkFile>,
    written: Lsn,
    synced: Lsn,
    chain: u32,
    is_poisoned: bool,
    is_closed: bool,
    spare: Batch,
}

impl Log {
    /// A log without a segment: it has no [`room`](Log::room) until [`rotate`](Log::rotate) makes the
    /// first one of this opening. So an opening that writes nothing leaves nothing.
    pub(crate) fn create(disk: DiskRef, start: LogStart) -> Log {
        let last_lsn = Lsn(start.first_lsn.0.saturating_sub(1));
        Log {
            disk,
            database: start.database,
            epoch: start.epoch,
            salt_seed: start.salt_seed,
            segment_bytes: start.segment_bytes,
            sealed: start.sealed,
            active: None,
            next_segment: start.segment,
            mark_sequence: start.mark_sequence,
            mark: None,
            written: last_lsn,
            synced: last_lsn,
            chain: start.previous_chain,
            is_poisoned: false,
            is_closed: false,
            spare: Batch::default(),
        }
    }

    /// Writes the records of `batch` behind the last one and leaves the batch as it is. They are not
    /// synced.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if they do not fit, or the disk is full: then nothing of them is in the
    /// file. Anything else poisons.
    pub(crate) fn append(&mut self, batch: &mut Batch) -> Result<()> {
        self.refuse()?;
        if batch.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(batch.first_lsn(), self.written.next(), "LSNs are dense");
        let needed = batch.len() as u64;
        let room = self.room();
        let Some(active) = self.active.as_mut().filter(|_| needed <= room) else {
            let path = self.disk.full_path(&segment_path(self.next_segment)).into();
            return Err(Error::NoSpace { path, needed });
        };
        let start = active.tail.end;
        let (salt, segment) = (active.header.salt, active.header.segment);
        let durable = self.synced;
        let tail = &mut active.tail;
        let before = tail.point();
        batch.for_each(|record, at| {
            let place = Place { salt, segment, offset: start + at as u64 };
            let header_crc = frame(record, place, tail.chain, durable);
            let lsn = record.get(crate::format::record::FRAME_LEN..).map_or(Lsn::ZERO, lsn_of);
            tail.push(lsn, record.len() as u64, header_crc);
        });
        if let Err((source, is_undone)) = write_or_undo(&active.sync.file, batch.bytes(), start) {
            tail.rewind(before);
            self.is_poisoned = !is_undone;
            let path = segment_path(segment);
            return Err(failed(&*self.disk, "write", &path, needed, source));
        }
        self.written = batch.last_lsn();
        self.chain = tail.chain;
        Ok(())
    }

    /// Makes everything written durable, and returns the last record.
    ///
    /// # Errors
    ///
    /// Whatever it is, the log is poisoned.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        self.refuse()?;
        if self.synced < self.written {
            let done = self.begin_sync().run();
            return self.end_sync(done);
        }
        Ok(self.synced)
    }

    /// Prepares a sync of everything written so far, to be run without the log, so that others can
    /// write meanwhile. Give the outcome to [`end_sync`](Log::end_sync).
    pub(crate) fn begin_sync(&self) -> PendingSync {
        let is_needed = self.synced < self.written && !self.is_poisoned;
        PendingSync {
            gate: self.active.as_ref().filter(|_| is_needed).map(|active| Arc::clone(&active.sync)),
            segment: self.active.as_ref().map_or(SegmentId(0), |active| active.header.segment),
            lsn: self.written,
            end: self.active.as_ref().map_or(0, |active| active.tail.end),
        }
    }

    /// Takes note of a sync that was run apart, and returns the last record that is durable.
    ///
    /// # Errors
    ///
    /// The sync's own; the log is poisoned then.
    pub(crate) fn end_sync(&mut self, done: DoneSync) -> Result<Lsn> {
        let DoneSync { of, result } = done;
        if let Err(source) = result {
            self.is_poisoned = true;
            return Err(failed(&*self.disk, "sync", &segment_path(of.segment), 0, source));
        }
        self.refuse()?;
        if of.gate.is_some() && self.synced < of.lsn {
            self.synced = of.lsn;
            // A segment sealed meanwhile is synced, and the mark already says more.
            if self.active.as_ref().is_some_and(|active| active.header.segment == of.segment) {
                self.write_mark(of.segment, of.lsn, of.end)?;
            }
        }
        Ok(self.synced)
    }

    /// Makes the synced mark durable, if it changed since it was last.
    ///
    /// # Errors
    ///
    /// Whatever it is, the log is poisoned.
    pub(crate) fn sync_mark(&mut self) -> Result<()> {
        self.refuse()?;
        let disk = &*self.disk;
        let synced = self.mark.as_mut().map_or(Ok(()), |mark| mark.sync(disk));
        self.or_poison(synced)
    }

    /// Seals the active segment and opens the next one, with this catalog in its header and room for
    /// at least `needed` bytes of framed records. Everything written is synced then.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`]: everything is as before. Anything else poisons.
    pub(crate) fn rotate(&mut self, catalog: &Catalog, needed: u64) -> Result<()> {
        self.refuse()?;
        let opened = self.open_next(catalog, needed);
        self.is_poisoned |= matches!(&opened, Err(error) if !is_no_space(error));
        opened
    }

    /// Seals the active segment for good.
    ///
    /// # Errors
    ///
    /// Whatever it is, the log is poisoned; every record that was synced is there all the same.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        self.refuse()?;
        self.sync()?;
        if self.active.is_some() {
            // Without space for the footer the segment stays unsealed, as after a crash.
            match self.seal_active() {
                Ok(()) | Err(Error::NoSpace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.sync_mark()?;
        self.active = None;
        self.mark = None;
        self.is_closed = true;
        Ok(())
    }

    /// Removes the sealed segments that hold nothing above `floor`, oldest first, and says how many.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; what is left is complete from some LSN on.
    pub(crate) fn prune(&mut self, floor: Lsn) -> Result<usize> {
        self.refuse()?;
        let ids = self.superfluous(floor);
        let mut gone = 0;
        let removed = prune::remove_segments(&self.disk, &ids, || gone += 1);
        // What is gone is read by nobody any more, also if what comes after it failed.
        self.sealed.drain(..gone);
        removed.map(|()| gone)
    }

    /// The sealed segments that hold nothing above `floor`, oldest first: those that
    /// [`prune`](Log::prune) removes.
    pub(crate) fn superfluous(&self, floor: Lsn) -> Vec<SegmentId> {
        // The last segment says where the log goes on, so it stays until it has a successor.
        let most = self.sealed.len().saturating_sub(usize::from(self.active.is_none()));
        let covered = self.sealed.iter().take(most);
        covered.take_while(|segment| segment.last_lsn <= floor).map(|segment| segment.id).collect()
    }

    /// What finds single records, as far as they are written now.
    pub(crate) fn finder(&self) -> Finder {
        let sealed = self.sealed.iter().map(|segment| Sought {
            id: segment.id,
            last_lsn: segment.last_lsn,
            unsealed: None,
        });
        let active = self.active.iter().map(|active| Sought {
            id: active.header.segment,
            last_lsn: active.tail.last_lsn,
            unsealed: Some((active.tail.index().to_vec(), active.tail.end)),
        });
        Finder::new(self.disk.clone(), sealed.chain(active).collect())
    }

    /// The last record in the file.
    pub(crate) fn written(&self) -> Lsn {
        self.written
    }

    /// The last record known synced.
    #[cfg(test)]
    pub(crate) fn synced(&self) -> Lsn {
        self.synced
    }

    /// The database's identity, as in every file.
    pub(crate) fn database(&self) -> DatabaseId {
        self.database
    }

    /// This opening's number.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last record's header checksum.
    pub(crate) fn chain(&self) -> u32 {
        self.chain
    }

    /// Whether the active segment has a record.
    pub(crate) fn has_records(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.tail.record_count > 0)
    }

    /// Whether a write or a sync failed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// The sealed segments, oldest first.
    #[cfg(test)]
    pub(crate) fn sealed(&self) -> &[SealedSegment] {
        &self.sealed
    }

    /// Bytes of framed records that fit into the active segment, beside its footer.
    pub(crate) fn room(&self) -> u64 {
        let Some(active) = &self.active else { return 0 };
        active
            .bytes
            .saturating_sub(active.tail.end)
            .saturating_sub(SegmentFooter::len_max(active.bytes))
    }

    /// An empty batch, with the memory of an earlier one.
    pub(crate) fn take_spare(&mut self) -> Batch {
        std::mem::take(&mut self.spare)
    }

    /// Keeps a batch's memory for [`take_spare`](Log::take_spare).
    pub(crate) fn give_spare(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = batch;
    }

    fn refuse(&self) -> Result<()> {
        if self.is_poisoned {
            return Err(Error::Poisoned);
        }
        if self.is_closed { Err(Error::Closed) } else { Ok(()) }
    }

    fn or_poison<T>(&mut self, result: Result<T>) -> Result<T> {
        self.is_poisoned |= result.is_err();
        result
    }

    /// The next segment, after the active one was sealed.
    fn open_next(&mut self, catalog: &Catalog, needed: u64) -> Result<()> {
        if self.mark.is_none() {
            if let Some(last) = self.sealed.last() {
                repair::confirm_seal(&self.disk, last.id)?;
            }
            create::make_wal_dir(&self.disk)?;
            self.mark = Some(MarkFile::open(&self.disk, self.mark_sequence)?);
            // A killed process may have left names that can be read and are not durable. The next
            // segment's must not become so before theirs, or a crash would leave a gap.
            create::sync_wal_dir(&self.disk)?;
        }
        let header = SegmentHeader {
            features: Features::default(),
            database: self.database,
            segment: self.next_segment,
            epoch: self.epoch,
            salt: salt(self.salt_seed, self.next_segment),
            first_lsn: self.written.next(),
            previous_chain: self.chain,
            catalog: catalog.clone(),
        };
        let prepared = create::prepare(&self.disk, header, self.segment_bytes, needed)?;
        if let Err(error) = self.sync().and_then(|_| self.seal_active()) {
            prepared.discard(&self.disk);
            return Err(error);
        }
        self.install(prepared)
    }

    fn install(&mut self, prepared: Prepared) -> Result<()> {
        match prepared.install(&self.disk) {
            // Nothing has the name: the rename was refused for want of space in the directory.
            Err(error @ Error::NoSpace { .. }) => {
                prepared.discard(&self.disk);
                return Err(error);
            }
            installed => self.or_poison(installed)?,
        }
        let Prepared { file, header, tail, bytes, .. } = prepared;
        let (segment, lsn, end) = (header.segment, tail.last_lsn, tail.end);
        let sync = Arc::new(SyncGate { file, has_failed: Mutex::new(false) });
        self.active = Some(Active { sync, header, tail, bytes });
        self.next_segment = segment.next();
        // Only now: a mark must not name a segment that may not be there.
        self.write_mark(segment, lsn, end)?;
        self.sync_mark()
    }

    /// Writes the footer of the active segment, if there is one, and cuts the file behind it. All its
    /// records are synced.
    fn seal_active(&mut self) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let path = segment_path(active.header.segment);
        let footer = active.tail.footer().encode(active.header.salt);
        let (end, len) = (active.tail.end, footer.len() as u64);
        if let Err((source, is_undone)) = write_or_undo(&active.sync.file, &footer, end) {
            self.is_poisoned = !is_undone;
            return Err(failed(&*self.disk, "write", &path, len, source));
        }
        let cut = active
            .sync
            .file
            .set_size(end + len)
            .map_err(|source| ("cut", source))
            .and_then(|()| active.sync.sync().map_err(|source| ("sync", source)));
        if let Err((op, source)) = cut {
            self.is_poisoned = true;
            return Err(failed(&*self.disk, op, &path, 0, source));
        }
        self.sealed.push(SealedSegment {
            id: active.header.segment,
            last_lsn: active.tail.last_lsn,
            bytes: end + len,
        });
        self.active = None;
        Ok(())
    }

    fn write_mark(&mut self, segment: SegmentId, lsn: Lsn, end_offset: u64) -> Result<()> {
        let (database, epoch) = (self.database, self.epoch);
        // The file gives the sequence.
        let mark = SyncedMark { database, epoch, segment, lsn, end_offset, sequence: 0 };
        let disk = &*self.disk;
        let written = self.mark.as_mut().map_or(Ok(()), |file| file.write(disk, mark));
        self.or_poison(written)
    }
}

fn is_no_space(error: &Error) -> bool {
    matches!(error, Error::NoSpace { .. })
}

/// A sync to be run without the log.
pub(crate) struct PendingSync {
    /// `None`: there is nothing to sync.
    gate: Option<Arc<SyncGate>>,
    segment: SegmentId,
    lsn: Lsn,
    end: u64,
}

/// How a sync went that was run without the log.
#[must_use = "the log must be told of every sync, above all of one that failed"]
pub(crate) struct DoneSync {
    of: PendingSync,
    result: std::io::Result<()>,
}

impl PendingSync {
    /// Syncs the file.
    pub(crate) fn run(self) -> DoneSync {
        let result = self.gate.as_ref().map_or(Ok(()), |gate| gate.sync());
        DoneSync { of: self, result }
    }
}

/// Writes `bytes` at `offset`, where zeros stand. On failure says whether zeros stand there again.
fn write_or_undo(
    file: &FileRef,
    bytes: &[u8],
    offset: u64,
) -> std::result::Result<(), (std::io::Error, bool)> {
    use std::io::ErrorKind;
    let mut done = 0;
    let error = loop {
        let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        match file.write_at(rest, offset + done as u64) {
            Ok(0) => break ErrorKind::WriteZero.into(),
            Ok(count) => done += count,
            Err(error) => break error,
        }
    };
    let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    // What was written has its space by now, so the zeros need none.
    let is_undone = is_full
        && (done == 0 || write_all_at(&**file, &vec![0; done.min(bytes.len())], offset).is_ok());
    Err((error, is_undone))
}

/// The salt of a segment: unlike that of every other, of this and of other openings (SplitMix64).
fn salt(seed: u64, segment: SegmentId) -> u64 {
    let value = seed.wrapping_add(segment.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
