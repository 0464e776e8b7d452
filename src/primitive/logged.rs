//! The entries of one instance as replay finds them: places in a buffer, not copies.
//!
//! - A place is 12 bytes, since a segment may hold millions of entries: what the log's own bytes say of
//!   an entry is read there again, when the entry is applied.
//! - A place that is not in the buffer is nothing, never a panic.

use rkyv::util::AlignedVec;

use super::context::LoggedEntry;
use crate::format::WalEntry;
use crate::format::entry::encode_head;
use crate::id::{Lsn, Timestamp};

/// Entries are found on multiples of this.
const ALIGNMENT: usize = 8;

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryAt {
    /// Where its head begins, in eights of bytes from the start of the buffer.
    head: u32,
    /// Its record's place in [`LoggedEntries::records`].
    pub(crate) record: u32,
    /// Its own place in the record.
    pub(crate) index: u32,
}

const _: () = assert!(size_of::<EntryAt>() == 12);

impl EntryAt {
    /// Of the entry whose head begins at `offset`, a multiple of 8. One behind 32 GiB, which no
    /// buffer has, is nowhere.
    #[inline]
    pub(crate) fn new(offset: usize, record: u32, index: u32) -> EntryAt {
        let head = u32::try_from(offset / ALIGNMENT).unwrap_or(u32::MAX);
        EntryAt { head, record, index }
    }

    /// Where its head begins, in bytes from the start of the buffer.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.head as usize * ALIGNMENT
    }
}

/// What all entries of a record share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordAt {
    pub(crate) lsn: Lsn,
    pub(crate) timestamp: Timestamp,
}

/// Entries in the order of the log, and what their places refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoggedEntries<'a> {
    /// The buffer; the entries in it were decoded before.
    pub(crate) bytes: &'a [u8],
    pub(crate) records: &'a [RecordAt],
    pub(crate) entries: &'a [EntryAt],
}

impl<'a> LoggedEntries<'a> {
    /// An entry with its context. `None` if it does not stand where it should.
    #[inline]
    pub(crate) fn read(&self, at: EntryAt) -> Option<LoggedEntry<'a>> {
        let WalEntry { wal_type, version, payload } = WalEntry::again(self.bytes, at.offset())?;
        let RecordAt { lsn, timestamp } = *self.records.get(at.record as usize)?;
        Some(LoggedEntry { wal_type, version, index: at.index, lsn, timestamp, payload })
    }

    /// The same for the entry at `index` among these.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<LoggedEntry<'a>> {
        self.read(*self.entries.get(index)?)
    }
}

/// Entries from elsewhere, copied into the form they have in the log.
#[derive(Default)]
pub(super) struct EntriesCopy {
    bytes: AlignedVec,
    records: Vec<RecordAt>,
    entries: Vec<EntryAt>,
}

impl EntriesCopy {
    /// Each gets a record of its own.
    pub(super) fn of(entries: &[LoggedEntry<'_>]) -> EntriesCopy {
        let mut copy = EntriesCopy::default();
        for (record, entry) in (0u32..).zip(entries) {
            let LoggedEntry { wal_type, version, index, lsn, timestamp, payload } = *entry;
            copy.entries.push(EntryAt::new(copy.bytes.len(), record, index));
            copy.records.push(RecordAt { lsn, timestamp });
            copy.bytes.extend_from_slice(&encode_head(payload.len(), wal_type, version));
            copy.bytes.extend_from_slice(payload);
            copy.bytes.resize(copy.bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        copy
    }

    pub(super) fn entries(&self) -> LoggedEntries<'_> {
        LoggedEntries { bytes: &self.bytes, records: &self.records, entries: &self.entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_what_was_copied() {
        let entry = |number: u8, payload| LoggedEntry {
            wal_type: 0x80 + number,
            version: number,
            index: u32::from(number) * 3,
            lsn: Lsn(number.into()),
            timestamp: Timestamp(u64::from(number) * 5),
            payload,
        };
        let entries = [entry(1, &b""[..]), entry(2, b"abc"), entry(3, b"12345678"), entry(4, b"x")];
        let copy = EntriesCopy::of(&entries);
        for (index, entry) in entries.iter().enumerate() {
            let found = copy.entries().get(index).expect("it was copied");
            assert_eq!(format!("{found:?}"), format!("{entry:?}"));
            assert!(found.payload.as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
        assert!(copy.entries().get(entries.len()).is_none());
    }

    #[test]
    fn a_place_outside_of_the_buffer_is_nothing() {
        let mut bytes = Vec::new();
        WalEntry { wal_type: 0x80, version: 2, payload: b"12345678" }.encode(&mut bytes);
        let records = [RecordAt { lsn: Lsn(7), timestamp: Timestamp(9) }];
        let read = |bytes: &[u8], offset, record| {
            let logged = LoggedEntries { bytes, records: &records, entries: &[] };
            logged.read(EntryAt::new(offset, record, 3)).map(|entry| entry.payload.to_vec())
        };
        assert_eq!(read(&bytes, 0, 0).as_deref(), Some(&b"12345678"[..]));
        assert_eq!(read(&bytes, 0, 1), None, "no such record");
        assert_eq!(read(&bytes, usize::MAX, 0), None, "far outside");
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len], 0, 0), None, "cut to {len}");
            assert_eq!(read(&bytes, 8 + len / 8 * 8, 0), None, "no entry begins there");
        }
    }
}
