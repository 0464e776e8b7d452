//! A block: rows of one table of one instance, under a checksum of their own.
//!
//! - A block starts and ends on a multiple of 8 of its section, and so does every row in it: where
//!   the section stands aligned in memory, an archive in a row is read in place.
//! - Head and payload are under the block's CRC32; all padding is zero, and that is checked.
//! - Rows are in the order in which they were given. A block ends where the next row would make it
//!   longer than [`BLOCK_BYTES_TARGET`]; a row longer than that has a block to itself. So the same
//!   rows make the same blocks.
//! - A block does not say whose it is: the instance table of its section does, and the block index
//!   repeats the block's head, so that no block can stand in another's place.

use crate::error::Damage;
use crate::format::cursor::{Cursor, Put, pad_to_8, padded_to_8};
use crate::format::layout::{Field, offset_of, width_of_all};
use crate::id::{Lsn, Timestamp};

/// How long a block gets before the next one is begun.
pub(crate) const BLOCK_BYTES_TARGET: usize = 64 << 10;

/// The longest row: what an archive with 32-bit relative pointers can span.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 31;

/// A block's head.
const BLOCK_HEAD: &[Field] = &[
    ("payload length: rows with their heads and padding", 4),
    ("row count", 4),
    ("table, 0 of carried entries", 4),
    ("kind: 0 rows, 1 carried entries", 1),
    ("reserved, zero", 7),
    ("CRC32 of the head so far and the payload", 4),
];

/// What leads a row.
const ROW_HEAD: &[Field] = &[("row length, padding not counted", 4), ("reserved, zero", 4)];

/// A carried entry's head, at the start of its row.
const CARRIED_HEAD: &[Field] = &[
    ("LSN", 8),
    ("timestamp", 8),
    ("index of the entry in its record", 4),
    ("WAL type", 1),
    ("version", 1),
    ("reserved, zero", 2),
];

/// Bytes of a block's head.
pub(crate) const BLOCK_HEAD_LEN: usize = width_of_all(BLOCK_HEAD);
const BLOCK_CRC_OFFSET: usize = offset_of(BLOCK_HEAD, "CRC32 of the head so far and the payload");
const ROW_HEAD_LEN: usize = width_of_all(ROW_HEAD);
const CARRIED_HEAD_LEN: usize = width_of_all(CARRIED_HEAD);

const _: () = assert!(BLOCK_HEAD_LEN == 24 && BLOCK_CRC_OFFSET + 4 == BLOCK_HEAD_LEN);
const _: () = assert!(ROW_HEAD_LEN == 8);
// The payload of a carried entry is aligned when its row is.
const _: () = assert!(CARRIED_HEAD_LEN == 24);

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    ("Head of a block", "The payload follows: rows, one behind another.", BLOCK_HEAD),
    ("Head of a row", "The row follows, then zeros to the next multiple of 8.", ROW_HEAD),
    (
        "Head of a carried entry",
        "At the start of a row in a block of kind 1; the payload is the rest of the row. What the \
         first three say is not the same in all files: see below.",
        CARRIED_HEAD,
    ),
];

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Rows that a primitive wrote.
    Rows,
    /// Entries of a detached primitive that came after its rows.
    Carried,
}

impl BlockKind {
    pub(crate) fn encode(self) -> u8 {
        match self {
            BlockKind::Rows => 0,
            BlockKind::Carried => 1,
        }
    }

    pub(crate) fn decode(byte: u8) -> Result<BlockKind, Damage> {
        match byte {
            0 => Ok(BlockKind::Rows),
            1 => Ok(BlockKind::Carried),
            _ => Err(Damage::TooLarge { of: "kind of a block", found: byte.into(), most: 1 }),
        }
    }
}

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) kind: BlockKind,
    pub(crate) table: u32,
    pub(crate) row_count: u32,
    /// Bytes behind the head.
    pub(crate) payload_len: u32,
    pub(crate) crc: u32,
}

/// A block whose checksum and rows were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) head: BlockHead,
    /// The rows; see [`Rows`].
    pub(crate) payload: &'a [u8],
}

impl<'a> Block<'a> {
    /// Checks everything about a whole block: its length, its checksum, and each row's place.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Block<'a>, Damage> {
        let mut cursor = Cursor::new(bytes);
        let payload_len = cursor.u32("payload length of a block")?;
        let row_count = cursor.u32("row count of a block")?;
        let table = cursor.u32("table of a block")?;
        let kind = cursor.u8("kind of a block")?;
        let reserved = cursor.array::<7>("reserved bytes of a block")?;
        let crc = cursor.u32("checksum of a block")?;
        let payload = cursor.rest();

        // Nothing of the head is judged before the checksum: a flipped bit is to be called that.
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes.get(..BLOCK_CRC_OFFSET).unwrap_or_default());
        hasher.update(payload);
        let found = hasher.finalize();
        if found != crc {
            return Err(Damage::Checksum { of: "block", found, expected: crc });
        }
        if u64::from(payload_len) != payload.len() as u64 {
            return Err(Damage::Value {
                of: "payload length of a block",
                found: payload_len.into(),
                expected: payload.len() as u64,
            });
        }
        if reserved != [0; 7] {
            return Err(Damage::Undecodable { of: "reserved bytes of a block" });
        }
        let head = BlockHead { kind: BlockKind::decode(kind)?, table, row_count, payload_len, crc };
        check_rows(payload, row_count)?;
        Ok(Block { head, payload })
    }
}

/// Whether `payload` is `row_count` rows and nothing else.
fn check_rows(payload: &[u8], row_count: u32) -> Result<(), Damage> {
    let mut found: u64 = 0;
    for row in Rows::new(payload) {
        row?;
        found += 1;
    }
    if found != u64::from(row_count) {
        let expected = row_count.into();
        return Err(Damage::Value { of: "count of the rows in a block", found, expected });
    }
    Ok(())
}

/// The rows in a block's payload, in order. Each starts on a multiple of 8 of the payload. After an
/// error there is nothing but that error.
#[derive(Clone, Debug)]
pub(crate) struct Rows<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Rows<'a> {
        Rows { cursor: Cursor::new(payload) }
    }

    #[inline]
    fn decode(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Damage> {
        let len = cursor.len_u32("length of a row")?;
        if cursor.u32("reserved bytes of a row")? != 0 {
            return Err(Damage::Undecodable { of: "reserved bytes of a row" });
        }
        let row = cursor.bytes(len, "row")?;
        cursor.zeros(padded_to_8(len) - len, "padding of a row")?;
        Ok(row)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<&'a [u8], Damage>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let mut ahead = self.cursor.clone();
        let row = Self::decode(&mut ahead);
        if row.is_ok() {
            self.cursor = ahead;
        }
        Some(row)
    }
}

/// A block while it is built.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    /// Head, rows so far.
    bytes: Vec<u8>,
    kind: BlockKind,
    table: u32,
    row_count: u32,
}

impl BlockBuilder {
    pub(crate) fn new() -> BlockBuilder {
        let bytes = vec![0; BLOCK_HEAD_LEN];
        BlockBuilder { bytes, kind: BlockKind::Rows, table: 0, row_count: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// Whether a row of `row_len` bytes of that kind and table belongs into this block: an empty
    /// block takes any.
    pub(crate) fn takes(&self, kind: BlockKind, table: u32, row_len: usize) -> bool {
        self.is_empty()
            || self.kind == kind
                && self.table == table
                && self.bytes.len() + ROW_HEAD_LEN + padded_to_8(row_len) <= BLOCK_BYTES_TARGET
    }

    /// Appends a row that the block [`takes`](BlockBuilder::takes).
    pub(crate) fn push(&mut self, kind: BlockKind, table: u32, row: &[u8]) {
        self.push_parts(kind, table, &[row]);
    }

    /// Appends a carried entry that the block [`takes`](BlockBuilder::takes), in table 0.
    pub(crate) fn push_carried(&mut self, row: &CarriedRow<'_>) {
        self.push_parts(BlockKind::Carried, 0, &[&row.encode_head(), row.payload]);
    }

    fn push_parts(&mut self, kind: BlockKind, table: u32, parts: &[&[u8]]) {
        self.kind = kind;
        self.table = table;
        self.row_count += 1;
        self.bytes.put_len_u32(parts.iter().map(|part| part.len()).sum());
        self.bytes.put_u32(0);
        for part in parts {
            self.bytes.put_bytes(part);
        }
        pad_to_8(&mut self.bytes);
    }

    /// The block as it is written. [`clear`](BlockBuilder::clear) begins the next.
    pub(crate) fn finish(&mut self) -> (BlockHead, &[u8]) {
        let payload_len = self.bytes.len() - BLOCK_HEAD_LEN;
        let mut head = Vec::with_capacity(BLOCK_HEAD_LEN);
        head.put_len_u32(payload_len);
        head.put_u32(self.row_count);
        head.put_u32(self.table);
        head.put_u8(self.kind.encode());
        head.put_zeros(7);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(&self.bytes[BLOCK_HEAD_LEN..]);
        let crc = hasher.finalize();
        head.put_u32(crc);
        self.bytes[..BLOCK_HEAD_LEN].copy_from_slice(&head);
        let head = BlockHead {
            kind: self.kind,
            table: self.table,
            row_count: self.row_count,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            crc,
        };
        (head, &self.bytes)
    }

    /// An empty block again. The memory that one long row took is given back.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BLOCK_BYTES_TARGET);
        self.bytes.resize(BLOCK_HEAD_LEN, 0);
        self.row_count = 0;
    }
}

/// An entry that a primitive which is not linked has yet to apply: a row of a block of kind
/// [`BlockKind::Carried`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CarriedRow<'a> {
    /// The record it stood in.
    pub(crate) lsn: Lsn,
    /// That record's time.
    pub(crate) timestamp: Timestamp,
    /// Its place in that record.
    pub(crate) index: u32,
    pub(crate) wal_type: u8,
    pub(crate) version: u8,
    /// Aligned to 8 when the block is.
    pub(crate) payload: &'a [u8],
}

impl<'a> CarriedRow<'a> {
    /// Bytes of the row.
    pub(crate) fn row_len(&self) -> usize {
        CARRIED_HEAD_LEN + self.payload.len()
    }

    fn encode_head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(CARRIED_HEAD_LEN);
        head.put_u64(self.lsn.0);
        head.put_u64(self.timestamp.0);
        head.put_u32(self.index);
        head.put_u8(self.wal_type);
        head.put_u8(self.version);
        head.put_zeros(2);
        head
    }

    pub(crate) fn decode(row: &'a [u8]) -> Result<CarriedRow<'a>, Damage> {
        let mut cursor = Cursor::new(row);
        let lsn = Lsn(cursor.u64("LSN of a carried entry")?);
        let timestamp = Timestamp(cursor.u64("timestamp of a carried entry")?);
        let index = cursor.u32("index of a carried entry")?;
        let wal_type = cursor.u8("WAL type of a carried entry")?;
        let version = cursor.u8("version of a carried entry")?;
        cursor.zeros(2, "reserved bytes of a carried entry")?;
        Ok(CarriedRow { lsn, timestamp, index, wal_type, version, payload: cursor.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_of(rows: &[&[u8]]) -> Vec<u8> {
        let mut builder = BlockBuilder::new();
        for row in rows {
            assert!(builder.takes(BlockKind::Rows, 5, row.len()));
            builder.push(BlockKind::Rows, 5, row);
        }
        builder.finish().1.to_vec()
    }

    /// The block with its checksum made right again.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..BLOCK_CRC_OFFSET]);
        hasher.update(&bytes[BLOCK_HEAD_LEN..]);
        bytes[BLOCK_CRC_OFFSET..BLOCK_HEAD_LEN].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    }

    #[test]
    fn rows_come_back_in_order_and_aligned() {
        let rows: [&[u8]; 4] = [b"", b"a", b"12345678", b"123456789"];
        let bytes = block_of(&rows);
        assert_eq!(bytes.len() % 8, 0);
        let block = Block::decode(&bytes).unwrap();
        assert_eq!((block.head.table, block.head.row_count), (5, 4));
        assert_eq!(block.head.kind, BlockKind::Rows);
        let found: Vec<_> = Rows::new(block.payload).map(Result::unwrap).collect();
        assert_eq!(found, rows);
        for row in found {
            assert_eq!((row.as_ptr() as usize - block.payload.as_ptr() as usize) % 8, 0);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = block_of(&[b"one", b"two and a bit more"]);
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[index] ^= 1 << bit;
                assert!(Block::decode(&bad).is_err(), "byte {index} bit {bit}");
            }
            assert!(Block::decode(&bytes[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_crafted_block_with_a_right_checksum_is_refused() {
        let bytes = block_of(&[b"one", b"two"]);
        let mut refused = 0;
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut crafted = bytes.clone();
                crafted[index] = value;
                match Block::decode(&sealed(crafted)) {
                    // What it holds may be another content; it is never more than there is.
                    Ok(block) => {
                        assert!(Rows::new(block.payload).map(Result::unwrap).count() == 2);
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 60, "{refused}");

        let mut huge = bytes.clone();
        huge[BLOCK_HEAD_LEN..BLOCK_HEAD_LEN + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(
            Block::decode(&sealed(huge)).unwrap_err(),
            Damage::TooLarge { of: "length of a row", found: 0xffff_ffff, most: 28 }
        );
    }

    #[test]
    fn what_is_reserved_or_padding_must_be_zero() {
        let bytes = block_of(&[b"one", b"two"]);
        let reserved = (13..20).chain(28..32).chain(35..40).chain(44..48).chain(51..56);
        for index in reserved {
            let mut crafted = bytes.clone();
            assert_eq!(crafted[index], 0, "byte {index}");
            crafted[index] = 1;
            assert!(Block::decode(&sealed(crafted)).is_err(), "byte {index}");
        }
    }

    #[test]
    fn an_error_among_rows_stays() {
        let mut rows = Rows::new(&[9, 0, 0, 0, 0, 0, 0, 0]);
        let first = rows.next().unwrap().unwrap_err();
        assert_eq!(rows.next().unwrap().unwrap_err(), first);
    }

    #[test]
    fn a_block_ends_at_the_target_and_a_long_row_has_one_to_itself() {
        let mut builder = BlockBuilder::new();
        let long = vec![7; BLOCK_BYTES_TARGET];
        assert!(builder.takes(BlockKind::Rows, 1, long.len()));
        builder.push(BlockKind::Rows, 1, &long);
        assert!(!builder.takes(BlockKind::Rows, 1, 0));
        assert_eq!(Block::decode(builder.finish().1).unwrap().head.row_count, 1);

        builder.clear();
        let row = [0; 1000];
        while builder.takes(BlockKind::Rows, 1, row.len()) {
            builder.push(BlockKind::Rows, 1, &row);
        }
        assert!(!builder.takes(BlockKind::Rows, 2, 0), "one table a block");
        assert!(!builder.takes(BlockKind::Carried, 1, 0), "one kind a block");
        let (head, bytes) = builder.finish();
        assert!(bytes.len() <= BLOCK_BYTES_TARGET && bytes.len() + 1008 > BLOCK_BYTES_TARGET);
        assert_eq!(Block::decode(bytes).unwrap().head, head);
    }

    #[test]
    fn a_carried_entry_comes_back() {
        let entry = CarriedRow {
            lsn: Lsn(u64::MAX),
            timestamp: Timestamp(17),
            index: 9,
            wal_type: 0x72,
            version: 3,
            payload: b"arguments",
        };
        let mut builder = BlockBuilder::new();
        builder.push_carried(&entry);
        let block = Block::decode(builder.finish().1).unwrap();
        assert_eq!(block.head.kind, BlockKind::Carried);
        let row = Rows::new(block.payload).next().unwrap().unwrap();
        assert_eq!(row.len(), entry.row_len());
        assert_eq!(CarriedRow::decode(row), Ok(entry));
        for len in 0..CARRIED_HEAD_LEN {
            assert!(CarriedRow::decode(&row[..len]).is_err());
        }
    }
}
