//! A segment: header, records, zeros; when it is sealed, a footer instead of the zeros.
//!
//! - The header is at the front and under two checksums, its own and its catalog's; records follow
//!   at the next multiple of 8.
//! - The footer ends the file, so that it is found from the end; there is one exactly if the segment
//!   is sealed. A footer of another segment does not check out: the segment's salt is under its
//!   checksum.
//! - The first four bytes of a footer are larger than any record's length, so no footer is ever
//!   taken for a record.

use crate::error::Damage;
use crate::format::RECORD_BYTES_MAX;
use crate::format::catalog::Catalog;
use crate::format::cursor::{Cursor, Put, pad_to_8, padded_to_8};
use crate::format::layout::{Field, offset_of, width_of_all};
use crate::format::version::{
    FEATURES_FIELD, Features, Front, HeaderError, RELEASE, RELEASE_FIELD, begin_header,
    decode_front, end_header,
};
use crate::id::{DatabaseId, Epoch, Lsn, SegmentId};

/// The first bytes of a segment.
const MAGIC: [u8; 8] = *b"FREEHWAL";

/// The first and the last bytes of a footer.
const FOOTER_MAGIC: [u8; 8] = *b"FREEHEND";

/// The fixed part of a header; the catalog follows.
pub(crate) const HEADER: &[Field] = &[
    ("magic, `FREEHWAL`", 8),
    ("format version", 4),
    ("header length, catalog not counted", 4),
    FEATURES_FIELD,
    ("database", 16),
    ("number of the segment", 8),
    ("salt", 8),
    ("LSN of the first record", 8),
    ("epoch", 4),
    ("chain: CRC32 of the last record's header in the segment before", 4),
    ("catalog length", 4),
    ("CRC32 of the catalog", 4),
    RELEASE_FIELD,
    ("CRC32 of the header so far", 4),
];

/// The fixed part of a footer, at its front; the index follows.
const FOOTER: &[Field] = &[
    ("magic, `FREEHEND`", 8),
    ("number of the segment", 8),
    ("LSN of the last record", 8),
    ("record count", 8),
    ("offset where the records end and the footer starts", 8),
    ("chain: CRC32 of the last record's header", 4),
    ("index row count", 4),
];

/// One row of a footer's index: about one for every 8 KiB as this build writes it, so that one record
/// is found by reading little more than itself. A reader takes them as dense as they come.
const INDEX_ROW: &[Field] = &[("LSN", 8), ("offset of its record", 8)];

/// The end of a footer, and of the file.
const TRAILER: &[Field] = &[
    ("footer length, from its magic to the end of the file", 4),
    ("CRC32 of salt and footer so far", 4),
    ("magic, `FREEHEND`", 8),
];

/// Bytes of the fixed part of a header.
pub(crate) const HEADER_LEN: usize = width_of_all(HEADER);
/// Bytes of a footer without its index.
const FOOTER_FIXED_LEN: usize = width_of_all(FOOTER) + TRAILER_LEN;
/// Where in a footer the count of the rows of its index stands.
const INDEX_ROW_COUNT_AT: usize = offset_of(FOOTER, "index row count");
/// Bytes of one row of a footer's index.
const INDEX_ROW_LEN: usize = width_of_all(INDEX_ROW);
/// Bytes of the end of a footer.
pub(crate) const TRAILER_LEN: usize = width_of_all(TRAILER);

/// From this many bytes of records on, a footer's index has the next row.
pub(crate) const INDEX_STRIDE_BYTES: u64 = 8 << 10;

/// The longest catalog: far more than 255 primitives take.
pub(crate) const CATALOG_BYTES_MAX: usize = 16 << 20;

const _: () = {
    assert!(HEADER_LEN == 104);
    assert!(width_of_all(FOOTER) == 48);
    assert!(TRAILER_LEN == 16);
    assert!(INDEX_ROW_LEN == 16);
    let [a, b, c, d, ..] = FOOTER_MAGIC;
    assert!(u32::from_le_bytes([a, b, c, d]) as usize > RECORD_BYTES_MAX);
};

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    (
        "Header of a segment",
        "Followed by the catalog and zeros to the next multiple of 8, where the first record \
         starts. The CRC32 of the catalog covers these zeros too.",
        HEADER,
    ),
    (
        "Footer of a sealed segment",
        "Starts where the records end; the file ends with it. The index follows, then the trailer.",
        FOOTER,
    ),
    ("Index row", "Ascending.", INDEX_ROW),
    ("Trailer", "The last bytes of a sealed segment.", TRAILER),
];

/// What a segment says of itself before its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) features: Features,
    pub(crate) database: DatabaseId,
    pub(crate) segment: SegmentId,
    pub(crate) epoch: Epoch,
    /// Random: in the checksum of every record's header.
    pub(crate) salt: u64,
    pub(crate) first_lsn: Lsn,
    /// The header checksum of the last record before this segment.
    pub(crate) previous_chain: u32,
    pub(crate) catalog: Catalog,
}

/// The fixed part of a header, once it checked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderStart {
    len: usize,
    features: Features,
    database: DatabaseId,
    segment: SegmentId,
    epoch: Epoch,
    salt: u64,
    first_lsn: Lsn,
    previous_chain: u32,
    catalog_len: usize,
    catalog_crc: u32,
}

impl HeaderStart {
    /// Reads what stands first in a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<HeaderStart, HeaderError> {
        let Front { features, len, rest: mut cursor, .. } = decode_front(bytes, MAGIC, HEADER_LEN)?;
        let database = DatabaseId(cursor.array("database")?);
        let segment = SegmentId(cursor.u64("number of the segment")?);
        let salt = cursor.u64("salt")?;
        let first_lsn = Lsn(cursor.u64("LSN of the first record")?);
        let epoch = Epoch(cursor.u32("epoch")?);
        let previous_chain = cursor.u32("chain")?;
        let catalog_len = cursor.u32("catalog length")?;
        let catalog_crc = cursor.u32("checksum of the catalog")?;
        let catalog_len = match usize::try_from(catalog_len) {
            Ok(len) if len <= CATALOG_BYTES_MAX => len,
            _ => {
                let (found, most) = (catalog_len.into(), CATALOG_BYTES_MAX as u64);
                return Err(Damage::TooLarge { of: "catalog length", found, most }.into());
            }
        };
        Ok(HeaderStart {
            len,
            features,
            database,
            segment,
            epoch,
            salt,
            first_lsn,
            previous_chain,
            catalog_len,
            catalog_crc,
        })
    }

    /// Bytes of the whole header: where the first record starts.
    pub(crate) fn whole_len(&self) -> usize {
        self.len + padded_to_8(self.catalog_len)
    }

    /// Reads the rest of the header out of the file's first [`whole_len`](Self::whole_len) bytes.
    pub(crate) fn decode_rest(&self, bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let mut cursor = Cursor::new(bytes);
        cursor.bytes(self.len, "segment header")?;
        let padded = cursor.bytes(padded_to_8(self.catalog_len), "catalog")?;
        let found = crc32fast::hash(padded);
        if found != self.catalog_crc {
            let expected = self.catalog_crc;
            return Err(Damage::Checksum { of: "catalog", found, expected }.into());
        }
        let mut cursor = Cursor::new(padded);
        let catalog = Catalog::decode(&mut cursor)?;
        if cursor.position() != self.catalog_len {
            let (found, expected) = (cursor.position() as u64, self.catalog_len as u64);
            return Err(Damage::Value { of: "length of the catalog", found, expected }.into());
        }
        cursor.padding("padding of the catalog")?;
        cursor.end("catalog")?;
        Ok(SegmentHeader {
            features: self.features,
            database: self.database,
            segment: self.segment,
            epoch: self.epoch,
            salt: self.salt,
            first_lsn: self.first_lsn,
            previous_chain: self.previous_chain,
            catalog,
        })
    }
}

impl SegmentHeader {
    /// The header; its length is where the first record starts.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut catalog = Vec::new();
        self.catalog.encode(&mut catalog);
        let catalog_len = catalog.len();
        pad_to_8(&mut catalog);
        let mut bytes = begin_header(MAGIC, HEADER_LEN, &self.features);
        bytes.put_bytes(&self.database.0);
        bytes.put_u64(self.segment.0);
        bytes.put_u64(self.salt);
        bytes.put_u64(self.first_lsn.0);
        bytes.put_u32(self.epoch.0);
        bytes.put_u32(self.previous_chain);
        bytes.put_len_u32(catalog_len);
        bytes.put_u32(crc32fast::hash(&catalog));
        bytes.put_bytes(&RELEASE);
        end_header(&mut bytes);
        bytes.put_bytes(&catalog);
        bytes
    }

    /// Reads a header from the front of a file, and says where the first record starts.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(SegmentHeader, usize), HeaderError> {
        let start = HeaderStart::decode(bytes)?;
        Ok((start.decode_rest(bytes)?, start.whole_len()))
    }
}

/// What is known of the records of a segment as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFooter {
    pub(crate) segment: SegmentId,
    /// One less than the segment's first LSN if it has no record.
    pub(crate) last_lsn: Lsn,
    pub(crate) record_count: u64,
    /// Where the records end and the footer starts.
    pub(crate) records_end: u64,
    /// The last record's header checksum.
    pub(crate) chain: u32,
    /// Some records and their offsets, ascending.
    pub(crate) index: Vec<(Lsn, u64)>,
}

impl SegmentFooter {
    /// Bytes of a footer whose index has `rows` rows.
    const fn len_with(rows: usize) -> usize {
        FOOTER_FIXED_LEN + rows * INDEX_ROW_LEN
    }

    /// The footer that stands first in `bytes`, if one does, and what follows it.
    pub(crate) fn split_from(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let rows = bytes.get(INDEX_ROW_COUNT_AT..)?.first_chunk().copied();
        let rows = usize::try_from(u32::from_le_bytes(rows?)).ok()?;
        let len = rows.checked_mul(INDEX_ROW_LEN)?.checked_add(FOOTER_FIXED_LEN)?;
        bytes.split_at_checked(len).filter(|_| starts_footer(bytes))
    }

    /// Bytes that the footer that this build writes for a segment of `segment_bytes` takes at most.
    pub(crate) const fn len_max(segment_bytes: u64) -> u64 {
        // The stride is passed at most once for each of its lengths.
        FOOTER_FIXED_LEN as u64 + (segment_bytes / INDEX_STRIDE_BYTES + 1) * INDEX_ROW_LEN as u64
    }

    /// The footer of a segment with this salt.
    pub(crate) fn encode(&self, salt: u64) -> Vec<u8> {
        let len = SegmentFooter::len_with(self.index.len());
        let mut bytes = Vec::with_capacity(len);
        bytes.put_bytes(&FOOTER_MAGIC);
        bytes.put_u64(self.segment.0);
        bytes.put_u64(self.last_lsn.0);
        bytes.put_u64(self.record_count);
        bytes.put_u64(self.records_end);
        bytes.put_u32(self.chain);
        bytes.put_len_u32(self.index.len());
        for (lsn, offset) in &self.index {
            bytes.put_u64(lsn.0);
            bytes.put_u64(*offset);
        }
        bytes.put_len_u32(len);
        let crc = footer_crc(salt, &bytes);
        bytes.put_u32(crc);
        bytes.put_bytes(&FOOTER_MAGIC);
        bytes
    }

    /// How long the footer is that ends in these bytes, the last [`TRAILER_LEN`] of a file of
    /// `file_bytes`.
    pub(crate) fn decode_trailer(trailer: &[u8], file_bytes: u64) -> Result<usize, Damage> {
        let mut cursor = Cursor::new(trailer);
        let found = cursor.u32("footer length")?;
        cursor.u32("footer checksum")?;
        let magic = cursor.array::<8>("magic of a footer")?;
        if magic != FOOTER_MAGIC {
            let (found, expected) = (u64::from_be_bytes(magic), u64::from_be_bytes(FOOTER_MAGIC));
            return Err(Damage::Value { of: "magic of a footer", found, expected });
        }
        // However many rows: how dense an index is, is the writer's affair.
        match usize::try_from(found) {
            Ok(len) if len >= FOOTER_FIXED_LEN && u64::from(found) <= file_bytes => Ok(len),
            _ => {
                let (found, most) = (found.into(), file_bytes);
                Err(Damage::TooLarge { of: "footer length", found, most })
            }
        }
    }

    /// Reads the footer that is all of `bytes`, the end of a file of `file_bytes`.
    pub(crate) fn decode(
        bytes: &[u8],
        salt: u64,
        segment: SegmentId,
        file_bytes: u64,
    ) -> Result<SegmentFooter, Damage> {
        let mut cursor = Cursor::new(bytes);
        let magic = cursor.array::<8>("magic of a footer")?;
        let its_segment = cursor.u64("number of the segment")?;
        let last_lsn = Lsn(cursor.u64("LSN of the last record")?);
        let record_count = cursor.u64("record count")?;
        let records_end = cursor.u64("offset where the records end")?;
        let chain = cursor.u32("chain")?;
        let rows = cursor.u32("index row count")?;
        let left = cursor.rest().len().saturating_sub(TRAILER_LEN) / INDEX_ROW_LEN;
        if u64::from(rows) > left as u64 {
            let (found, most) = (rows.into(), left as u64);
            return Err(Damage::TooLarge { of: "index row count", found, most });
        }
        let rows = cursor.bytes(rows as usize * INDEX_ROW_LEN, "index")?;
        let u64_at = |row: &[u8], at| row.get(at..).and_then(|bytes| bytes.first_chunk().copied());
        let row = |row: &[u8]| {
            let number = |at| u64::from_le_bytes(u64_at(row, at).unwrap_or_default());
            (Lsn(number(0)), number(8))
        };
        // In one go: there are thousands, and every opening reads them.
        let index = rows.chunks_exact(INDEX_ROW_LEN).map(row).collect();
        let found_len = cursor.u32("footer length")?;
        let covered = bytes.get(..cursor.position()).unwrap_or_default();
        let found = footer_crc(salt, covered);
        let expected = cursor.u32("footer checksum")?;
        if found != expected {
            return Err(Damage::Checksum { of: "footer", found, expected });
        }
        let end = cursor.array::<8>("magic of a footer")?;
        cursor.end("footer")?;
        let len = bytes.len() as u64;
        let values = [
            ("magic of a footer", u64::from_be_bytes(magic), u64::from_be_bytes(FOOTER_MAGIC)),
            ("magic of a footer", u64::from_be_bytes(end), u64::from_be_bytes(FOOTER_MAGIC)),
            ("number of the segment in the footer", its_segment, segment.0),
            ("footer length", found_len.into(), len),
            ("offset where the records end", records_end, file_bytes.saturating_sub(len)),
        ];
        for (of, found, expected) in values {
            if found != expected {
                return Err(Damage::Value { of, found, expected });
            }
        }
        Ok(SegmentFooter { segment, last_lsn, record_count, records_end, chain, index })
    }
}

/// Whether a footer, whole or torn, starts here, where a record would.
pub(crate) fn starts_footer(bytes: &[u8]) -> bool {
    bytes.starts_with(&FOOTER_MAGIC)
}

fn footer_crc(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::catalog;
    use crate::format::version::{FORMAT_VERSION, tests::lengthened};

    const LEN_AT: usize = offset_of(HEADER, "catalog length");
    const SALT: u64 = 0x5a17;
    const RECORDS_END: u64 = 3 << 20;

    fn header() -> SegmentHeader {
        SegmentHeader {
            features: Features::default(),
            database: DatabaseId([7; 16]),
            segment: SegmentId(3),
            epoch: Epoch(2),
            salt: SALT,
            first_lsn: Lsn(11),
            previous_chain: 0xdead_beef,
            catalog: catalog::tests::catalog(),
        }
    }

    fn footer() -> SegmentFooter {
        SegmentFooter {
            segment: SegmentId(3),
            last_lsn: Lsn(20),
            record_count: 10,
            records_end: RECORDS_END,
            chain: 0xfeed,
            index: vec![(Lsn(11), 1 << 20), (Lsn(15), 2 << 20)],
        }
    }

    fn decode_footer(bytes: &[u8]) -> Result<SegmentFooter, Damage> {
        SegmentFooter::decode(bytes, SALT, SegmentId(3), RECORDS_END + bytes.len() as u64)
    }

    #[test]
    fn a_header_comes_back() {
        let bytes = header().encode();
        assert!(bytes.len().is_multiple_of(8));
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header(), bytes.len())));
        let longer = [bytes.as_slice(), &[1; 9]].concat();
        assert_eq!(SegmentHeader::decode(&longer), Ok((header(), bytes.len())));
    }

    #[test]
    fn every_byte_and_every_truncation_of_a_header_is_seen() {
        let good = header().encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(SegmentHeader::decode(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(SegmentHeader::decode(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn a_catalog_longer_than_any_is_refused_though_the_checksum_is_right() {
        let mut bytes = header().encode();
        for (len, is_read) in [(CATALOG_BYTES_MAX as u32, true), (u32::MAX, false)] {
            bytes[LEN_AT..][..4].copy_from_slice(&len.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
            bytes[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
            let decoded = HeaderStart::decode(&bytes[..HEADER_LEN]);
            let most = CATALOG_BYTES_MAX as u64;
            let damage = Damage::TooLarge { of: "catalog length", found: len.into(), most };
            assert_eq!(decoded.map(|_| ()), if is_read { Ok(()) } else { Err(damage.into()) });
        }
    }

    #[test]
    fn a_header_that_a_later_build_made_longer_is_read_as_far_as_it_is_known() {
        let longer = lengthened(header().encode(), HEADER_LEN, FORMAT_VERSION);
        assert_eq!(SegmentHeader::decode(&longer), Ok((header(), longer.len())));
        let newer = lengthened(header().encode(), HEADER_LEN, FORMAT_VERSION + 1);
        let found = FORMAT_VERSION + 1;
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderError::Version { found }));
    }

    #[test]
    fn an_index_may_be_denser_than_this_build_writes_it() {
        let index: Vec<_> = (0..10).map(|at| (Lsn(11 + at), (1 << 20) + 24 * at)).collect();
        let dense = SegmentFooter { index, ..footer() };
        let bytes = dense.encode(SALT);
        let (trailer, file_bytes) = (&bytes[bytes.len() - TRAILER_LEN..], bytes.len() as u64 + 640);
        assert_eq!(SegmentFooter::decode_trailer(trailer, file_bytes), Ok(bytes.len()));
        assert_eq!(decode_footer(&bytes), Ok(dense));
        let uncut = [bytes.as_slice(), &[0; 100]].concat();
        assert_eq!(SegmentFooter::split_from(&uncut), Some((bytes.as_slice(), &[0; 100][..])));
        assert_eq!(SegmentFooter::split_from(&bytes[1..]), None);
        assert_eq!(SegmentFooter::split_from(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn unknown_incompatible_features_refuse_and_others_do_not() {
        let mut with = header();
        with.features.compatible = 1;
        with.features.read_only_compatible = 2;
        let (decoded, _) = SegmentHeader::decode(&with.encode()).unwrap();
        assert_eq!(decoded.features.unknown_read_only(), 2);
        with.features.incompatible = 4;
        let refused = SegmentHeader::decode(&with.encode());
        assert_eq!(refused.unwrap_err(), HeaderError::Features { unknown: 4 });
    }

    #[test]
    fn a_footer_comes_back_from_the_end() {
        let bytes = footer().encode(SALT);
        assert_eq!(bytes.len(), SegmentFooter::len_with(2));
        let trailer = &bytes[bytes.len() - TRAILER_LEN..];
        let file_bytes = RECORDS_END + bytes.len() as u64;
        assert_eq!(SegmentFooter::decode_trailer(trailer, file_bytes), Ok(bytes.len()));
        assert_eq!(decode_footer(&bytes), Ok(footer()));
        assert!(starts_footer(&bytes));
    }

    #[test]
    fn every_byte_and_every_truncation_of_a_footer_is_seen() {
        let good = footer().encode(SALT);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(decode_footer(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(decode_footer(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn a_footer_of_another_segment_or_file_is_refused() {
        let bytes = footer().encode(SALT);
        let end = RECORDS_END + bytes.len() as u64;
        assert!(SegmentFooter::decode(&bytes, SALT + 1, SegmentId(3), end).is_err());
        assert!(SegmentFooter::decode(&bytes, SALT, SegmentId(4), end).is_err());
        assert!(SegmentFooter::decode(&bytes, SALT, SegmentId(3), end + 8).is_err());
    }

    #[test]
    fn an_absurd_footer_length_is_refused_before_anything_is_allocated() {
        let mut trailer = u32::MAX.to_le_bytes().to_vec();
        trailer.extend([0; 4]);
        trailer.extend(FOOTER_MAGIC);
        assert!(SegmentFooter::decode_trailer(&trailer, 1 << 30).is_err());
    }
}
