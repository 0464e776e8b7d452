//! One transaction's record body while it is built.
//!
//! - The buffer is the body: head, then entries, each padded to 8. Nothing in it depends on where
//!   the record will stand in a file.
//! - An entry whose operation did not succeed is cut off again, with the run switch before it; so
//!   what stands in the buffer is what was applied.
//! - Adding an entry allocates nothing but room in the buffer, which is kept for the next
//!   transaction.

use std::collections::BTreeMap;

use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;

use super::context::{LoggedEntry, OpContext};
use super::payload::PayloadWriter;
use crate::error::{Damage, Error, Reason, Result};
use crate::format::core_entry::{Origin, Told};
use crate::format::entry::{ENTRY_HEAD_LEN, Entries, encode_head};
use crate::format::record::{BODY_HEAD_LEN, encode_body_head};
use crate::format::{ENTRY_BYTES_MAX, RECORD_BYTES_MAX, WalEntry, core_entry};
use crate::id::{Epoch, Lsn, RunId, Timestamp};

/// A record's body while it is built.
pub(crate) struct TransactionLog {
    buffer: AlignedVec,
    arena: Arena,
    lsn: Lsn,
    timestamp: Timestamp,
    epoch: Epoch,
    entry_count: u32,
    /// The run that the last entry belongs to.
    run: RunId,
    /// The run that the next entry belongs to, with the LSN of its last record.
    next_run: RunId,
    next_previous: Lsn,
    next_told: Told,
    /// There may be entries with an origin.
    has_origins: bool,
    /// An operation panicked, and its primitive could not be brought back.
    lost: Option<Reason>,
}

/// A place between two entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogPoint {
    offset: usize,
    entry_count: u32,
    run: RunId,
}

/// An entry that was begun.
pub(super) struct Begun {
    head: usize,
    pub(super) context: OpContext,
}

impl TransactionLog {
    /// An empty one; `begin` comes next.
    pub(crate) fn new() -> TransactionLog {
        TransactionLog {
            buffer: AlignedVec::new(),
            arena: Arena::new(),
            lsn: Lsn::ZERO,
            timestamp: Timestamp(0),
            epoch: Epoch::default(),
            entry_count: 0,
            run: RunId::ROOT,
            next_run: RunId::ROOT,
            next_previous: Lsn::ZERO,
            next_told: Told::default(),
            has_origins: false,
            lost: None,
        }
    }

    /// Begins the body of a record.
    pub(crate) fn begin(&mut self, lsn: Lsn, timestamp: Timestamp, epoch: Epoch) {
        self.clear();
        self.lsn = lsn;
        self.timestamp = timestamp;
        self.epoch = epoch;
        self.buffer.resize(BODY_HEAD_LEN, 0);
    }

    /// Says which run the next entries belong to, the LSN of that run's last record, and what its
    /// operations were told so far. The switch is logged with the first of them.
    pub(crate) fn set_run(&mut self, run: RunId, previous: Lsn, told: Told) {
        self.next_run = run;
        self.next_previous = previous;
        self.next_told = told;
    }

    /// Adds an entry of the core, which belongs to no run.
    pub(crate) fn push_core(&mut self, wal_type: u8, payload: &[u8]) -> Result<()> {
        let point = self.point();
        let head = self.buffer.len();
        self.buffer.extend_from_slice(&[0; ENTRY_HEAD_LEN]);
        self.buffer.extend_from_slice(payload);
        let finished = self.finish_entry(head, wal_type, core_entry::CORE_ENTRY_VERSION);
        if finished.is_err() {
            self.cut(point);
        }
        finished
    }

    /// Adds an entry that was first logged elsewhere, as it is there, for the run that was
    /// [set](TransactionLog::set_run).
    pub(crate) fn push_again(&mut self, entry: &LoggedEntry<'_>) -> Result<()> {
        let LoggedEntry { wal_type, version, index, lsn, timestamp, payload } = *entry;
        let point = self.point();
        let pushed = self.switch_run().and_then(|()| {
            self.push_origin(Origin { lsn, timestamp, index })?;
            let head = self.buffer.len();
            self.buffer.extend_from_slice(&[0; ENTRY_HEAD_LEN]);
            self.buffer.extend_from_slice(payload);
            self.finish_entry(head, wal_type, version)
        });
        if pushed.is_err() {
            self.cut(point);
        }
        pushed
    }

    /// Whether an entry of `run` was logged.
    pub(crate) fn has_entry_of(&self, run: RunId) -> Result<bool> {
        let mut has_any = false;
        let any = |_: &WalEntry<'_>, _: &OpContext| {
            has_any = true;
            Ok(())
        };
        self.again(TransactionLog::start(), run, any).map_err(Error::Aborted)?;
        Ok(has_any)
    }

    /// Whether nothing was logged.
    pub(crate) fn is_empty(&self) -> bool {
        self.entry_count == 0
    }

    /// How many entries there are, the core's among them.
    #[cfg(test)]
    pub(crate) fn entry_count(&self) -> u32 {
        self.entry_count
    }

    /// The body, whole.
    ///
    /// # Errors
    ///
    /// An operation panicked, the closure went on, and the state could not be brought back: such a
    /// transaction must not commit.
    pub(crate) fn finish(&mut self) -> Result<&[u8]> {
        if let Some(reason) = self.lost.take() {
            // The error itself goes out; whoever asks again is told in the same words.
            self.lost = Some(reason.to_string().into());
            return Err(Error::Aborted(reason));
        }
        let head = encode_body_head(self.lsn, self.timestamp, self.epoch, self.entry_count);
        if let Some(place) = self.buffer.get_mut(..head.len()) {
            place.copy_from_slice(&head);
        }
        Ok(&self.buffer)
    }

    /// Forgets everything, but for the room.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.entry_count = 0;
        self.run = RunId::ROOT;
        self.next_run = RunId::ROOT;
        self.next_previous = Lsn::ZERO;
        self.next_told = Told::default();
        self.has_origins = false;
        self.lost = None;
    }

    /// The start of the first entry.
    pub(super) fn start() -> LogPoint {
        LogPoint { offset: BODY_HEAD_LEN, entry_count: 0, run: RunId::ROOT }
    }

    /// Where the next entry would begin.
    pub(super) fn point(&self) -> LogPoint {
        LogPoint { offset: self.buffer.len(), entry_count: self.entry_count, run: self.run }
    }

    /// Takes back everything since `point`.
    pub(super) fn cut(&mut self, point: LogPoint) {
        if point.offset < self.buffer.len() {
            self.buffer.resize(point.offset, 0);
        }
        self.entry_count = point.entry_count;
        self.run = point.run;
    }

    /// Adds an entry whose payload `encode` writes. On an error the caller cuts.
    pub(super) fn push(
        &mut self,
        wal_type: u8,
        version: u8,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<u8>,
    ) -> Result<Begun> {
        self.switch_run()?;
        let context = match self.next_told.instead_of(self.lsn, self.timestamp) {
            None => OpContext::new(self.timestamp, self.lsn, self.entry_count),
            Some((Lsn(u64::MAX), _)) => {
                // None is left for the next one.
                let most = u64::MAX - 1;
                let damage = Damage::TooLarge { of: "LSN to be told", found: u64::MAX, most };
                return Err(Error::reject(damage));
            }
            Some((lsn, timestamp)) => {
                let index = self.entry_count.saturating_add(1);
                let origin = Origin { lsn, timestamp, index };
                self.push_origin(origin)?;
                OpContext::of(&origin)
            }
        };
        let head = self.buffer.len();
        self.buffer.extend_from_slice(&[0; ENTRY_HEAD_LEN]);
        let mut payload = PayloadWriter::new(&mut self.buffer, &mut self.arena, version);
        let wal_type_written = encode(&mut payload)?;
        let (wal_type, version) = if wal_type == DECIDED_BY_PAYLOAD {
            (wal_type_written, payload.version())
        } else {
            (wal_type, version)
        };
        debug_assert!(payload.len() <= self.buffer.len());
        self.finish_entry(head, wal_type, version)?;
        Ok(Begun { head, context })
    }

    /// What the next entry's operation will be told.
    pub(super) fn next_context(&self) -> OpContext {
        let index = self.entry_count.saturating_add(u32::from(self.run != self.next_run));
        match self.next_told.instead_of(self.lsn, self.timestamp) {
            None => OpContext::new(self.timestamp, self.lsn, index),
            Some((lsn, timestamp)) => OpContext::new(timestamp, lsn, index.saturating_add(1)),
        }
    }

    /// The entry that was just added.
    pub(super) fn entry(&self, begun: &Begun) -> Result<WalEntry<'_>> {
        match Entries::new(self.buffer.get(begun.head..).unwrap_or_default(), 1).next() {
            Some(Ok(entry)) => Ok(entry),
            _ => Err(Error::reject(Damage::Undecodable { of: "the entry just encoded" })),
        }
    }

    /// What the operations of a run were told at most, for each run where that is not their own record, or
    /// that was forked from such a one.
    pub(crate) fn told(&self) -> Result<BTreeMap<RunId, Told>, Damage> {
        let mut told = BTreeMap::<RunId, Told>::new();
        if !self.has_origins {
            return Ok(told);
        }
        let mut run = RunId::ROOT;
        let bytes = self.buffer.get(BODY_HEAD_LEN..).unwrap_or_default();
        for entry in Entries::new(bytes, self.entry_count) {
            let entry = entry?;
            match entry.wal_type {
                core_entry::RUN_SWITCH => {
                    run = core_entry::RunSwitch::decode(entry.payload)?.run;
                }
                core_entry::ORIGIN => {
                    told.entry(run).or_default().raise(&Origin::decode(entry.payload)?);
                }
                core_entry::RUN_FORK => {
                    let fork = core_entry::RunCreate::decode(entry.payload)?;
                    let parent = fork.parent.and_then(|(parent, _)| told.get(&parent).copied());
                    told.extend(parent.map(|parent| (fork.run, parent)));
                }
                _ => {}
            }
        }
        Ok(told)
    }

    /// Hands every entry of `run` since `point` to `apply`.
    pub(super) fn again(
        &self,
        point: LogPoint,
        run: RunId,
        mut apply: impl FnMut(&WalEntry<'_>, &OpContext) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let mut current = point.run;
        let mut index = point.entry_count;
        let mut origin = None;
        let bytes = self.buffer.get(point.offset..).unwrap_or_default();
        for entry in Entries::new(bytes, self.entry_count.saturating_sub(point.entry_count)) {
            let entry = entry?;
            match entry.wal_type {
                core_entry::RUN_SWITCH => {
                    current = core_entry::RunSwitch::decode(entry.payload)?.run;
                }
                core_entry::ORIGIN => origin = Some(Origin::decode(entry.payload)?),
                ..=core_entry::LAST => {}
                _ => {
                    let context = match origin.take() {
                        Some(origin) => OpContext::of(&origin),
                        None => OpContext::new(self.timestamp, self.lsn, index),
                    };
                    if current == run {
                        apply(&entry, &context)?;
                    }
                }
            }
            index = index.saturating_add(1);
        }
        Ok(())
    }

    /// The state of a primitive could not be brought back: the transaction must not commit.
    pub(super) fn lose(&mut self, reason: Reason) {
        self.lost.get_or_insert(reason);
    }

    fn push_origin(&mut self, origin: Origin) -> Result<()> {
        self.has_origins = true;
        self.push_core(core_entry::ORIGIN, &origin.encode())
    }

    fn switch_run(&mut self) -> Result<()> {
        if self.run != self.next_run {
            let switch =
                core_entry::RunSwitch { run: self.next_run, previous_lsn: self.next_previous };
            self.push_core(core_entry::RUN_SWITCH, &switch.encode())?;
            self.run = self.next_run;
        }
        Ok(())
    }

    /// Fills in the head at `head`, whose payload ends where the buffer does, and pads.
    fn finish_entry(&mut self, head: usize, wal_type: u8, version: u8) -> Result<()> {
        let payload_len = self.buffer.len().saturating_sub(head + ENTRY_HEAD_LEN);
        let padded = self.buffer.len().next_multiple_of(8);
        if padded > RECORD_BYTES_MAX {
            return Err(too_large("record", padded, RECORD_BYTES_MAX));
        }
        if payload_len > ENTRY_BYTES_MAX {
            return Err(too_large("payload", payload_len, ENTRY_BYTES_MAX));
        }
        let bytes = encode_head(payload_len, wal_type, version);
        if let Some(place) = self.buffer.get_mut(head..head + bytes.len()) {
            place.copy_from_slice(&bytes);
        }
        self.buffer.resize(padded, 0);
        self.entry_count = self.entry_count.saturating_add(1);
        Ok(())
    }
}

/// What [`TransactionLog::push`] takes for the WAL type when the payload's writer says it: 0 is the
/// core's, so no operation has it.
pub(super) const DECIDED_BY_PAYLOAD: u8 = 0;

fn too_large(of: &'static str, found: usize, most: usize) -> Error {
    Error::reject(Damage::TooLarge { of, found: found as u64, most: most as u64 })
}
