//! Records on their way to the log, one behind the other as they will stand in the file.
//!
//! - Each body is copied once, behind room for its frame; the log fills in the frames in place and
//!   writes the whole batch at once.
//! - The first four bytes of a frame hold the body's length from the start, so that the log finds the
//!   next record.

use crate::format::record::{BODY_HEAD_LEN, FRAME_LEN, lsn_of};
use crate::id::Lsn;

/// Records that wait to be written.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    first: Lsn,
    last: Lsn,
}

impl Batch {
    /// Adds the record with this body, whose LSN follows that of the record before it.
    pub(crate) fn push(&mut self, body: &[u8]) {
        debug_assert!(body.len() >= BODY_HEAD_LEN && body.len().is_multiple_of(8));
        let lsn = lsn_of(body);
        debug_assert!(self.is_empty() || lsn == self.last.next(), "LSNs are dense");
        let len = u32::try_from(body.len())
            .unwrap_or_else(|_| panic!("a record of {} bytes was not refused", body.len()));
        if self.is_empty() {
            self.first = lsn;
        }
        self.last = lsn;
        self.bytes.reserve(FRAME_LEN + body.len());
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&[0; FRAME_LEN - 4]);
        self.bytes.extend_from_slice(body);
    }

    /// Bytes in the file, frames included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The first record's LSN; only if there is one.
    pub(crate) fn first_lsn(&self) -> Lsn {
        self.first
    }

    /// The last record's LSN; only if there is one.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.last
    }

    /// Forgets the records and keeps the memory, unless it is much more than a batch needs.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }

    /// The records as they will stand in the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Calls `each` with every record, frame and body, and its place from the batch's start.
    pub(super) fn for_each(&mut self, mut each: impl FnMut(&mut [u8], usize)) {
        let mut at = 0;
        while let Some(len) = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            let len = FRAME_LEN + u32::from_le_bytes(*len) as usize;
            each(&mut self.bytes[at..at + len], at);
            at += len;
        }
    }
}

/// Memory that an empty batch keeps.
const KEPT_BYTES_MAX: usize = 8 << 20;
