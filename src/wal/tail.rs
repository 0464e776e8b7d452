//! The end of a segment's records: where the next one goes, and what the footer will say.
//!
//! - The same thing whether the records were just written or just read.

use crate::error::Damage;
use crate::format::segment::{INDEX_STRIDE_BYTES, SegmentFooter, SegmentHeader};
use crate::id::{Lsn, SegmentId};

/// The end of a segment's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) segment: SegmentId,
    /// Where the records end: bytes from the start of the file.
    pub(crate) end: u64,
    /// The last record; one less than the segment's first LSN if it has none.
    pub(crate) last_lsn: Lsn,
    pub(crate) record_count: u64,
    /// The last record's header checksum.
    pub(crate) chain: u32,
    index: Vec<(Lsn, u64)>,
    /// From this offset on a record gets a row in the index.
    next_row_at: u64,
}

impl Tail {
    /// A segment without records, whose header takes `header_len` bytes.
    pub(crate) fn empty(header: &SegmentHeader, header_len: u64) -> Tail {
        Tail {
            segment: header.segment,
            end: header_len,
            last_lsn: Lsn(header.first_lsn.0.saturating_sub(1)),
            record_count: 0,
            chain: header.previous_chain,
            index: Vec::new(),
            next_row_at: header_len.saturating_add(INDEX_STRIDE_BYTES),
        }
    }

    /// The record `lsn` of `framed_len` bytes follows, with this header checksum.
    #[inline]
    pub(super) fn push(&mut self, lsn: Lsn, framed_len: u64, header_crc: u32) {
        if self.end >= self.next_row_at {
            self.index.push((lsn, self.end));
            self.next_row_at = self.end.saturating_add(INDEX_STRIDE_BYTES);
        }
        self.end += framed_len;
        self.last_lsn = lsn;
        self.record_count += 1;
        self.chain = header_crc;
    }

    /// Where the tail is now, to come back to.
    pub(super) fn point(&self) -> TailPoint {
        TailPoint {
            end: self.end,
            last_lsn: self.last_lsn,
            record_count: self.record_count,
            chain: self.chain,
            index_len: self.index.len(),
            next_row_at: self.next_row_at,
        }
    }

    /// Takes back every record since `point`.
    pub(super) fn rewind(&mut self, point: TailPoint) {
        self.end = point.end;
        self.last_lsn = point.last_lsn;
        self.record_count = point.record_count;
        self.chain = point.chain;
        self.index.truncate(point.index_len);
        self.next_row_at = point.next_row_at;
    }

    /// Some records and their offsets, ascending.
    pub(super) fn index(&self) -> &[(Lsn, u64)] {
        &self.index
    }

    /// Where a footer and the records up to here contradict each other.
    pub(super) fn disagreement(&self, footer: &SegmentFooter) -> Option<Damage> {
        [
            ("offset where the records end", self.end, footer.records_end),
            ("LSN of the last record", self.last_lsn.0, footer.last_lsn.0),
            ("record count", self.record_count, footer.record_count),
            ("chain", self.chain.into(), footer.chain.into()),
        ]
        .into_iter()
        .find(|(_, found, expected)| found != expected)
        .map(|(of, found, expected)| Damage::Value { of, found, expected })
    }

    /// The footer that seals the segment here.
    pub(crate) fn footer(&self) -> SegmentFooter {
        SegmentFooter {
            segment: self.segment,
            last_lsn: self.last_lsn,
            record_count: self.record_count,
            records_end: self.end,
            chain: self.chain,
            index: self.index.clone(),
        }
    }
}

/// An earlier state of a [`Tail`].
#[derive(Clone, Copy)]
pub(super) struct TailPoint {
    end: u64,
    last_lsn: Lsn,
    record_count: u64,
    chain: u32,
    index_len: usize,
    next_row_at: u64,
}
