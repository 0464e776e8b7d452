//! What an operation is told besides its arguments, and what replay hands to it.

use crate::format::core_entry::Origin;
use crate::id::{Lsn, Timestamp};

/// The record that an operation belongs to. Its only source of time: what it reads here, replay
/// reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpContext {
    timestamp: Timestamp,
    lsn: Lsn,
    index: u32,
}

impl OpContext {
    /// For an engine, or a test, that applies entries itself.
    #[must_use]
    pub const fn new(timestamp: Timestamp, lsn: Lsn, index: u32) -> OpContext {
        OpContext { timestamp, lsn, index }
    }

    pub(crate) fn of(origin: &Origin) -> OpContext {
        OpContext::new(origin.timestamp, origin.lsn, origin.index)
    }

    /// The transaction's time: in a run never less than that of an earlier one. Of a run that was
    /// imported, or copied as it was earlier, operations are told times and LSNs of where they were first
    /// logged, and those that follow here no earlier times and higher LSNs.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The transaction's LSN: in a run, higher than that of every earlier transaction. Where it has to be
    /// higher than those of records elsewhere, that is a number which no record here has.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The operation's place in the transaction. Grows from one operation to the next, not always
    /// by one.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }
}

/// One entry of the log with what its record says about it.
#[derive(Clone, Copy, Debug)]
pub struct LoggedEntry<'a> {
    /// The primitive's operation.
    pub wal_type: u8,
    /// The operation's version.
    pub version: u8,
    /// The entry's place in its record, from 0.
    pub index: u32,
    /// The record.
    pub lsn: Lsn,
    /// The record's time.
    pub timestamp: Timestamp,
    /// The arguments, aligned to 8.
    pub payload: &'a [u8],
}

impl LoggedEntry<'_> {
    pub(crate) fn context(&self) -> OpContext {
        OpContext::new(self.timestamp, self.lsn, self.index)
    }
}
