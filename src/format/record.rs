//! A record: one committed transaction, a local *frame* around a portable *body*.
//!
//! - The body knows nothing of its place: it can be built before, and sent elsewhere as it is.
//! - Header = frame and body head. The header's checksum covers it whole, salted with the segment
//!   and the record's offset: a header that checks out was written at this very place, so its LSN
//!   and `durable` can be believed when the body behind it is damaged.
//! - The body's checksum covers the body whole, head included.
//! - Each record carries its predecessor's header checksum, across segments: the *chain*.
//! - A body has at least its head, so a body length of 0 is no record: it is where the log ends,
//!   if only zeros follow.

use crate::error::Damage;
use crate::format::RECORD_BYTES_MAX;
use crate::format::cursor::Cursor;
use crate::format::entry::Entries;
use crate::format::layout::{Field, offset_of, width_of_all};
use crate::id::{Epoch, Lsn, SegmentId, Timestamp};

/// A record's frame.
pub(crate) const FRAME: &[Field] = &[
    ("body length", 4),
    ("CRC32 of the body", 4),
    ("CRC32 of the header", 4),
    ("CRC32 of the previous record's header", 4),
    ("durable: the highest LSN known synced when this was framed", 8),
];

/// The head of a record's body; the entries follow.
pub(crate) const BODY_HEAD: &[Field] =
    &[("LSN", 8), ("timestamp, ns since 1970", 8), ("epoch", 4), ("entry count", 4)];

/// What the header's checksum covers.
const SALTED: &[Field] = &[
    ("salt of the segment", 8),
    ("number of the segment", 8),
    ("offset of the record", 8),
    ("frame and body head, the header's CRC32 as zeros", 48),
];

/// Bytes of a frame.
pub(crate) const FRAME_LEN: usize = width_of_all(FRAME);
/// Bytes of a body's head.
pub(crate) const BODY_HEAD_LEN: usize = width_of_all(BODY_HEAD);
/// Bytes of a header: frame and body head. No record is shorter.
pub(crate) const HEADER_LEN: usize = FRAME_LEN + BODY_HEAD_LEN;

const BODY_CRC_AT: usize = offset_of(FRAME, "CRC32 of the body");
const HEADER_CRC_AT: usize = offset_of(FRAME, "CRC32 of the header");
const PREVIOUS_AT: usize = offset_of(FRAME, "CRC32 of the previous record's header");
const DURABLE_AT: usize =
    offset_of(FRAME, "durable: the highest LSN known synced when this was framed");
const LSN_AT: usize = FRAME_LEN + offset_of(BODY_HEAD, "LSN");
const TIMESTAMP_AT: usize = FRAME_LEN + offset_of(BODY_HEAD, "timestamp, ns since 1970");
const EPOCH_AT: usize = FRAME_LEN + offset_of(BODY_HEAD, "epoch");
const ENTRY_COUNT_AT: usize = FRAME_LEN + offset_of(BODY_HEAD, "entry count");
const SALTED_HEADER_AT: usize =
    offset_of(SALTED, "frame and body head, the header's CRC32 as zeros");

const _: () = {
    assert!(FRAME_LEN == 24);
    assert!(BODY_HEAD_LEN == 24);
    assert!(SALTED_HEADER_AT == 24);
    assert!(width_of_all(SALTED) == SALTED_HEADER_AT + HEADER_LEN);
    assert!(RECORD_BYTES_MAX.is_multiple_of(8) && RECORD_BYTES_MAX <= u32::MAX as usize);
};

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    (
        "Frame of a record",
        "Starts on a multiple of 8 of the file. A body length of 0 is the end of the log, if only \
         zeros follow to the end of the file.",
        FRAME,
    ),
    (
        "Head of a body",
        "Follows the frame. The entries follow it; body length counts head and entries and is a \
         multiple of 8.",
        BODY_HEAD,
    ),
    ("What the CRC32 of a header covers", "Nothing of this is stored as such.", SALTED),
];

/// Bytes of a record in its file, from those of its body.
pub(crate) fn framed_len(body_len: usize) -> u64 {
    (FRAME_LEN + body_len) as u64
}

/// The head of a body, for one whose entries are encoded behind it.
pub(crate) fn encode_body_head(
    lsn: Lsn,
    timestamp: Timestamp,
    epoch: Epoch,
    entry_count: u32,
) -> [u8; BODY_HEAD_LEN] {
    let mut head = [0; BODY_HEAD_LEN];
    head[LSN_AT - FRAME_LEN..][..8].copy_from_slice(&lsn.0.to_le_bytes());
    head[TIMESTAMP_AT - FRAME_LEN..][..8].copy_from_slice(&timestamp.0.to_le_bytes());
    head[EPOCH_AT - FRAME_LEN..][..4].copy_from_slice(&epoch.0.to_le_bytes());
    head[ENTRY_COUNT_AT - FRAME_LEN..].copy_from_slice(&entry_count.to_le_bytes());
    head
}

/// Where in the world a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's salt.
    pub(crate) salt: u64,
    pub(crate) segment: SegmentId,
    /// Bytes from the start of the segment to the frame.
    pub(crate) offset: u64,
}

impl Place {
    /// The checksum of `header` at this place, with whatever stands in it for its own.
    #[inline]
    fn checksum(&self, header: &[u8; HEADER_LEN]) -> u32 {
        let mut salted = [0; SALTED_HEADER_AT + HEADER_LEN];
        salted[..8].copy_from_slice(&self.salt.to_le_bytes());
        salted[8..16].copy_from_slice(&self.segment.0.to_le_bytes());
        salted[16..24].copy_from_slice(&self.offset.to_le_bytes());
        salted[SALTED_HEADER_AT..].copy_from_slice(header);
        salted[SALTED_HEADER_AT + HEADER_CRC_AT..][..4].fill(0);
        #[cfg(test)]
        tests::make_mistake(&mut salted);
        crc32fast::hash(&salted)
    }
}

/// A record's header: its frame, and the head of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the body, head included.
    pub(crate) body_len: usize,
    pub(crate) body_crc: u32,
    /// Also the link that the next record carries.
    pub(crate) header_crc: u32,
    pub(crate) previous_crc: u32,
    /// The highest LSN known synced when this was framed.
    pub(crate) durable: Lsn,
    pub(crate) lsn: Lsn,
    pub(crate) timestamp: Timestamp,
    pub(crate) epoch: Epoch,
    pub(crate) entry_count: u32,
}

impl RecordHeader {
    /// Reads a header at its place. What it says is then true, but for what follows it: body and
    /// chain are for the caller to check.
    #[inline]
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Result<RecordHeader, Damage> {
        let left = bytes.len() as u64;
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Damage::Truncated { of: "record", needed: HEADER_LEN as u64, left });
        };
        let body_len = u32_at::<0>(header);
        let expected = u32_at::<HEADER_CRC_AT>(header);
        let found = place.checksum(header);
        if found != expected {
            // The length first: it is what people look for in a dump.
            if u64::from(body_len) > RECORD_BYTES_MAX as u64 {
                let most = RECORD_BYTES_MAX as u64;
                return Err(Damage::TooLarge { of: "record length", found: body_len.into(), most });
            }
            return Err(Damage::Checksum { of: "record header", found, expected });
        }
        Ok(RecordHeader {
            body_len: checked_len(body_len)?,
            body_crc: u32_at::<BODY_CRC_AT>(header),
            header_crc: expected,
            previous_crc: u32_at::<PREVIOUS_AT>(header),
            durable: Lsn(u64_at::<DURABLE_AT>(header)),
            lsn: Lsn(u64_at::<LSN_AT>(header)),
            timestamp: Timestamp(u64_at::<TIMESTAMP_AT>(header)),
            epoch: Epoch(u32_at::<EPOCH_AT>(header)),
            entry_count: u32_at::<ENTRY_COUNT_AT>(header),
        })
    }

    /// Length of the body and LSN, as they stand there: to pass over a record that nobody believes. What is
    /// believed is the one that is then found, which is checked where it stands.
    #[inline]
    pub(crate) fn passed_over(bytes: &[u8]) -> Option<(usize, Lsn)> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let body_len = checked_len(u32_at::<0>(header)).ok()?;
        Some((body_len, Lsn(u64_at::<LSN_AT>(header))))
    }

    /// The header at the start of `bytes`, if it can be one of a record behind a damaged one: of
    /// this epoch, with an LSN above `above` and at most `most`. All of that is asked before the
    /// checksum, because nearly every place that is tried is none.
    #[inline]
    pub(crate) fn decode_candidate(
        bytes: &[u8],
        place: Place,
        epoch: Epoch,
        above: Lsn,
        most: Lsn,
    ) -> Option<RecordHeader> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let lsn = Lsn(u64_at::<LSN_AT>(header));
        if u32_at::<EPOCH_AT>(header) != epoch.0 || lsn <= above || lsn > most {
            return None;
        }
        RecordHeader::decode(header, place).ok()
    }

    /// The body behind the frame at the start of `bytes`, once its checksum is right.
    #[inline]
    pub(crate) fn body<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
        let rest = bytes.get(FRAME_LEN..).unwrap_or_default();
        let Some(body) = rest.get(..self.body_len) else {
            let (needed, left) = (self.body_len as u64, rest.len() as u64);
            return Err(Damage::Truncated { of: "record body", needed, left });
        };
        let found = crc32fast::hash(body);
        if found != self.body_crc {
            return Err(Damage::Checksum { of: "record", found, expected: self.body_crc });
        }
        Ok(body)
    }
}

/// The entries of a whole body, whose checksum was right.
#[inline]
pub(crate) fn entries(body: &[u8]) -> Result<Entries<'_>, Damage> {
    let mut cursor = Cursor::new(body);
    cursor.bytes(BODY_HEAD_LEN - 4, "head of a record")?;
    let count = cursor.u32("entry count")?;
    Ok(Entries::new(cursor.rest(), count))
}

/// Fills in the frame at the start of `record`, which is 24 bytes for the frame and then the body,
/// and returns the header's checksum: the link for the next record.
pub(crate) fn frame(record: &mut [u8], place: Place, previous_crc: u32, durable: Lsn) -> u32 {
    let (frame, body) = record.split_at_mut(FRAME_LEN);
    let body_len = u32::try_from(body.len())
        .unwrap_or_else(|_| panic!("a record of {} bytes was not refused", body.len()));
    frame[..4].copy_from_slice(&body_len.to_le_bytes());
    frame[BODY_CRC_AT..][..4].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    frame[PREVIOUS_AT..][..4].copy_from_slice(&previous_crc.to_le_bytes());
    frame[DURABLE_AT..][..8].copy_from_slice(&durable.0.to_le_bytes());
    let mut header = [0; HEADER_LEN];
    header[..FRAME_LEN].copy_from_slice(frame);
    header[FRAME_LEN..].copy_from_slice(&body[..BODY_HEAD_LEN]);
    let header_crc = place.checksum(&header);
    frame[HEADER_CRC_AT..][..4].copy_from_slice(&header_crc.to_le_bytes());
    header_crc
}

/// The LSN in the head of `body`, which this process built.
pub(crate) fn lsn_of(body: &[u8]) -> Lsn {
    body.first_chunk::<8>().map_or(Lsn::ZERO, |bytes| Lsn(u64::from_le_bytes(*bytes)))
}

fn checked_len(body_len: u32) -> Result<usize, Damage> {
    let found = u64::from(body_len);
    let most = RECORD_BYTES_MAX as u64;
    match usize::try_from(body_len) {
        Ok(len) if len > RECORD_BYTES_MAX => {
            Err(Damage::TooLarge { of: "record length", found, most })
        }
        Ok(len) if len < BODY_HEAD_LEN || !len.is_multiple_of(8) => {
            Err(Damage::Undecodable { of: "record length" })
        }
        Ok(len) => Ok(len),
        Err(_) => Err(Damage::TooLarge { of: "record length", found, most }),
    }
}

/// The number at a fixed place of a header: the place is checked at compile time.
#[inline]
fn u32_at<const AT: usize>(header: &[u8; HEADER_LEN]) -> u32 {
    const { assert!(AT + 4 <= HEADER_LEN) };
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[AT..AT + 4]);
    u32::from_le_bytes(bytes)
}

/// As [`u32_at`].
#[inline]
fn u64_at<const AT: usize>(header: &[u8; HEADER_LEN]) -> u64 {
    const { assert!(AT + 8 <= HEADER_LEN) };
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[AT..AT + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::format::entry::WalEntry;

    const PLACE: Place = Place { salt: 0x1234_5678_9abc_def0, segment: SegmentId(7), offset: 4096 };

    fn record() -> Vec<u8> {
        let mut record = vec![0; FRAME_LEN];
        record.extend(encode_body_head(Lsn(5), Timestamp(99), Epoch(3), 2));
        WalEntry { wal_type: 0x10, version: 1, payload: b"abc" }.encode(&mut record);
        WalEntry { wal_type: 0x11, version: 1, payload: b"defghijkl" }.encode(&mut record);
        frame(&mut record, PLACE, 0xabcd, Lsn(4));
        record
    }

    #[test]
    fn a_record_comes_back() {
        let record = record();
        let header = RecordHeader::decode(&record, PLACE).unwrap();
        assert_eq!(header.previous_crc, 0xabcd);
        assert_eq!((header.durable, header.lsn), (Lsn(4), Lsn(5)));
        assert_eq!((header.timestamp, header.epoch), (Timestamp(99), Epoch(3)));
        assert_eq!(header.entry_count, 2);
        let body = header.body(&record).unwrap();
        assert_eq!(framed_len(body.len()), record.len() as u64);
        assert_eq!(lsn_of(body), Lsn(5));
        let payloads: Vec<_> = entries(body).unwrap().map(|entry| entry.unwrap().payload).collect();
        assert_eq!(payloads, [b"abc".as_slice(), b"defghijkl"]);
    }

    #[test]
    fn every_bit_is_under_a_checksum() {
        let good = record();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = RecordHeader::decode(&bad, PLACE)
                .and_then(|header| header.body(&bad).map(<[u8]>::len));
            assert!(read.is_err(), "bit {bit}");
        }
    }

    thread_local! {
        /// A planted mistake: the checksum of a header leaves out the record's length.
        static IS_LENGTH_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn make_mistake(salted: &mut [u8]) {
        if IS_LENGTH_LEFT_OUT.get() {
            salted[SALTED_HEADER_AT..][..4].fill(0);
        }
    }

    /// The bits of a header that can change without its being refused. The body's checksum sees most of
    /// them as well, but a header is believed without its body.
    fn unseen_bits() -> Vec<usize> {
        let good = record();
        let is_unseen = |bit: &usize| {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            RecordHeader::decode(&bad, PLACE).is_ok()
        };
        (0..HEADER_LEN * 8).filter(is_unseen).collect()
    }

    #[test]
    fn every_bit_of_a_header_is_under_the_headers_own_checksum() {
        assert!(unseen_bits().is_empty(), "{:?}", unseen_bits());
    }

    #[test]
    fn a_checksum_that_leaves_out_the_length_is_caught() {
        IS_LENGTH_LEFT_OUT.set(true);
        let unseen = unseen_bits();
        assert!(unseen.len() > 20 && unseen.iter().all(|bit| *bit < 32), "{unseen:?}");
    }

    #[test]
    fn every_truncation_is_seen() {
        let good = record();
        for len in 0..good.len() {
            let bad = &good[..len];
            let read = RecordHeader::decode(bad, PLACE)
                .and_then(|header| header.body(bad).map(<[u8]>::len));
            assert!(read.is_err(), "cut to {len}");
        }
    }

    #[test]
    fn a_header_at_another_place_is_none() {
        let record = record();
        for place in [
            Place { offset: 4104, ..PLACE },
            Place { segment: SegmentId(8), ..PLACE },
            Place { salt: 0, ..PLACE },
        ] {
            let refused = RecordHeader::decode(&record, place);
            assert!(matches!(refused, Err(Damage::Checksum { of: "record header", .. })));
        }
    }

    #[test]
    fn a_candidate_has_its_epoch_and_an_lsn_that_can_be() {
        let record = record();
        let candidate = |epoch, above, most| {
            RecordHeader::decode_candidate(&record, PLACE, Epoch(epoch), Lsn(above), Lsn(most))
        };
        assert!(candidate(3, 4, 5).is_some());
        assert!(candidate(2, 4, 5).is_none());
        assert!(candidate(3, 5, 9).is_none());
        assert!(candidate(3, 1, 4).is_none());
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_though_their_checksum_is_right() {
        for len in [0_u32, 8, 16, 25, u32::MAX, RECORD_BYTES_MAX as u32 + 8] {
            let mut bad = record();
            bad[..4].copy_from_slice(&len.to_le_bytes());
            let header: &[u8; HEADER_LEN] = bad.first_chunk().unwrap();
            let crc = PLACE.checksum(header);
            bad[HEADER_CRC_AT..][..4].copy_from_slice(&crc.to_le_bytes());
            assert!(RecordHeader::decode(&bad, PLACE).is_err(), "length {len}");
        }
    }
}
