//! A section of a snapshot: its header, its index, and its row in the footer table.
//!
//! - A section's data is blocks without a gap, then the block index, then the instance table. Where
//!   those two start follows from their counts in the footer table.
//! - Instances stand by run, each once, each with the blocks that follow those of the one before;
//!   an instance without a block has no row. Its tables' blocks stand together.
//! - An instance may be changes to that of a lower run, its *base*: a fork that differs little. Its rows
//!   then say what differs, and without a block it is the same.
//! - The index repeats the head of each block, so that no block can stand in another's place.

use std::collections::BTreeSet;

use crate::error::Damage;
use crate::format::block::{BLOCK_HEAD_LEN, BlockHead, BlockKind};
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::id::RunId;

pub(super) const SECTION_HEADER: &[Field] = &[("type ID, 0 for the core", 1), ("data length", 8)];

pub(super) const BLOCK_ROW: &[Field] = &[
    ("offset in the section's data", 8),
    ("block length, head counted", 4),
    ("row count", 4),
    ("table", 4),
    ("CRC32, as in the block's head", 4),
    ("kind, as in the block's head", 1),
    ("reserved, zero", 7),
];

pub(super) const INSTANCE_ROW: &[Field] = &[
    ("run, 0 for the root", 8),
    ("slot, zero", 4),
    ("section version", 4),
    ("base: one more than the run to whose instance this is changes, 0 if it stands by itself", 8),
    ("count of the base's carried entries that are part of it", 8),
    ("index of its first block", 8),
    ("count of its blocks of rows", 4),
    ("count of its blocks of carried entries, behind those", 4),
    ("count of its rows", 8),
    ("count of its carried entries", 8),
];

pub(super) const SECTION_ROW: &[Field] = &[
    ("type ID", 1),
    ("flags, zero", 1),
    ("reserved, zero", 2),
    ("section version", 4),
    ("offset of the data", 8),
    ("length of the data", 8),
    ("block count", 8),
    ("instance count", 8),
    ("CRC32 of the data", 4),
    ("CRC32 of block index and instance table", 4),
];

/// Bytes of a row of the block index.
pub(crate) const BLOCK_ROW_LEN: usize = width_of_all(BLOCK_ROW);
/// Bytes of a row of the instance table.
pub(crate) const INSTANCE_ROW_LEN: usize = width_of_all(INSTANCE_ROW);
/// Bytes of a row of the footer table.
pub(crate) const SECTION_ROW_LEN: usize = width_of_all(SECTION_ROW);

const _: () = assert!(SnapshotSectionHeader::SIZE == width_of_all(SECTION_HEADER));
const _: () = assert!(BLOCK_ROW_LEN == 32 && INSTANCE_ROW_LEN == 64 && SECTION_ROW_LEN == 48);

/// What leads a section of a snapshot: which primitive's it is, and how long.
///
/// ```
/// use freehold::SnapshotSectionHeader;
///
/// let header = SnapshotSectionHeader { primitive_type: 7, length: 4096 };
/// let bytes = header.to_bytes();
/// assert_eq!(SnapshotSectionHeader::from_bytes(&bytes), Ok(header));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSectionHeader {
    /// The primitive's type ID; 0 is the engine's own section.
    pub primitive_type: u8,
    /// Bytes of data behind this header.
    pub length: u64,
}

impl SnapshotSectionHeader {
    /// Bytes of the header.
    pub const SIZE: usize = 9;

    /// The header as it stands in a snapshot.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SnapshotSectionHeader::SIZE] {
        let [a, b, c, d, e, f, g, h] = self.length.to_le_bytes();
        [self.primitive_type, a, b, c, d, e, f, g, h]
    }

    /// The header at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] where there are fewer than [`SIZE`](SnapshotSectionHeader::SIZE) bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<SnapshotSectionHeader, Damage> {
        let mut cursor = Cursor::new(bytes);
        let primitive_type = cursor.u8("type ID of a section header")?;
        let length = cursor.u64("length of a section header")?;
        Ok(SnapshotSectionHeader { primitive_type, length })
    }
}

/// Where a block stands, and its head again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// From the start of the section's data.
    pub(crate) offset: u64,
    /// Head counted.
    pub(crate) len: u32,
    pub(crate) row_count: u32,
    pub(crate) table: u32,
    pub(crate) crc: u32,
    pub(crate) kind: BlockKind,
}

impl BlockRow {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64(self.offset);
        bytes.put_u32(self.len);
        bytes.put_u32(self.row_count);
        bytes.put_u32(self.table);
        bytes.put_u32(self.crc);
        bytes.put_u8(self.kind.encode());
        bytes.put_zeros(7);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<BlockRow, Damage> {
        let row = BlockRow {
            offset: cursor.u64("offset of a block")?,
            len: cursor.u32("length of a block")?,
            row_count: cursor.u32("row count of a block")?,
            table: cursor.u32("table of a block")?,
            crc: cursor.u32("checksum of a block")?,
            kind: BlockKind::decode(cursor.u8("kind of a block")?)?,
        };
        cursor.zeros(7, "reserved bytes of a block index")?;
        Ok(row)
    }

    /// Whether the block that was read is the one that was written here.
    pub(crate) fn check(&self, head: &BlockHead) -> Result<(), Damage> {
        if head.crc != self.crc {
            let (found, expected) = (head.crc, self.crc);
            return Err(Damage::Checksum { of: "another block's", found, expected });
        }
        if (head.kind, head.table, head.row_count) != (self.kind, self.table, self.row_count) {
            return Err(Damage::Undecodable { of: "head of a block, by the block index" });
        }
        Ok(())
    }
}

/// One instance in a section: whose, and which blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceRow {
    pub(crate) run: RunId,
    /// The version in which its rows were written.
    pub(crate) section_version: u32,
    /// What its rows are changes to.
    pub(crate) base: Option<Base>,
    /// Into the section's block index. Blocks of rows come first, then those of carried entries.
    pub(crate) first_block: u64,
    pub(crate) row_block_count: u32,
    pub(crate) carried_block_count: u32,
    pub(crate) row_count: u64,
    pub(crate) carried_count: u64,
}

/// The instance to which another one is changes: of a lower run in the same section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) run: RunId,
    /// How many of its carried entries come before the changes.
    pub(crate) carried: u64,
}

impl InstanceRow {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64(self.run.0);
        bytes.put_u32(0);
        bytes.put_u32(self.section_version);
        bytes.put_u64(self.base.map_or(0, |base| base.run.0.saturating_add(1)));
        bytes.put_u64(self.base.map_or(0, |base| base.carried));
        bytes.put_u64(self.first_block);
        bytes.put_u32(self.row_block_count);
        bytes.put_u32(self.carried_block_count);
        bytes.put_u64(self.row_count);
        bytes.put_u64(self.carried_count);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<InstanceRow, Damage> {
        let run = RunId(cursor.u64("run of an instance")?);
        cursor.zeros(4, "slot of an instance")?;
        let section_version = cursor.u32("section version of an instance")?;
        let base = cursor.u64("base of an instance")?;
        let carried = cursor.u64("carried count of an instance's base")?;
        if base == 0 && carried != 0 {
            let of = "carried count of an instance's base";
            return Err(Damage::Value { of, found: carried, expected: 0 });
        }
        Ok(InstanceRow {
            run,
            section_version,
            base: base.checked_sub(1).map(|run| Base { run: RunId(run), carried }),
            first_block: cursor.u64("first block of an instance")?,
            row_block_count: cursor.u32("block count of an instance")?,
            carried_block_count: cursor.u32("carried block count of an instance")?,
            row_count: cursor.u64("row count of an instance")?,
            carried_count: cursor.u64("carried count of an instance")?,
        })
    }
}

/// One section, as the footer table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionRow {
    pub(crate) type_id: u8,
    pub(crate) version: u32,
    /// Of the data, from the start of the file.
    pub(crate) offset: u64,
    /// Of the data: blocks, block index, instance table.
    pub(crate) len: u64,
    pub(crate) block_count: u64,
    pub(crate) instance_count: u64,
    pub(crate) crc: u32,
    pub(crate) index_crc: u32,
}

impl SectionRow {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u8(self.type_id);
        bytes.put_u8(0);
        bytes.put_u16(0);
        bytes.put_u32(self.version);
        bytes.put_u64(self.offset);
        bytes.put_u64(self.len);
        bytes.put_u64(self.block_count);
        bytes.put_u64(self.instance_count);
        bytes.put_u32(self.crc);
        bytes.put_u32(self.index_crc);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<SectionRow, Damage> {
        let type_id = cursor.u8("type ID of a section")?;
        cursor.zeros(3, "flags of a section")?;
        Ok(SectionRow {
            type_id,
            version: cursor.u32("version of a section")?,
            offset: cursor.u64("offset of a section")?,
            len: cursor.u64("length of a section")?,
            block_count: cursor.u64("block count of a section")?,
            instance_count: cursor.u64("instance count of a section")?,
            crc: cursor.u32("checksum of a section")?,
            index_crc: cursor.u32("checksum of a section's index")?,
        })
    }

    /// Bytes of block index and instance table: never more than the section has.
    pub(crate) fn index_len(&self) -> Result<u64, Damage> {
        let blocks = self.block_count.checked_mul(BLOCK_ROW_LEN as u64);
        let instances = self.instance_count.checked_mul(INSTANCE_ROW_LEN as u64);
        blocks
            .zip(instances)
            .and_then(|(blocks, instances)| blocks.checked_add(instances))
            .filter(|len| *len <= self.len)
            .ok_or(Damage::TooLarge {
                of: "count of a section's blocks and instances",
                found: self.block_count.saturating_add(self.instance_count),
                most: self.len / BLOCK_ROW_LEN as u64,
            })
    }
}

/// Something is wrong at a place: bytes from the start of what was decoded.
pub(crate) type Misread = (usize, Damage);

/// What a section has, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SectionIndex {
    /// In the order of their offsets.
    pub(crate) blocks: Vec<BlockRow>,
    /// In the order of their runs.
    pub(crate) instances: Vec<InstanceRow>,
}

impl SectionIndex {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(
            self.blocks.len() * BLOCK_ROW_LEN + self.instances.len() * INSTANCE_ROW_LEN,
        );
        for block in &self.blocks {
            block.encode(&mut bytes);
        }
        for instance in &self.instances {
            instance.encode(&mut bytes);
        }
        bytes
    }

    /// Decodes block index and instance table, and checks that together they account for every
    /// byte of the section once.
    pub(crate) fn decode(bytes: &[u8], section: &SectionRow) -> Result<SectionIndex, Misread> {
        check_crc("section index", bytes, section.index_crc).map_err(|damage| (0, damage))?;
        let blocks_len = section
            .index_len()
            .ok()
            .filter(|len| *len == bytes.len() as u64)
            .and_then(|len| section.len.checked_sub(len))
            .ok_or((0, Damage::Undecodable { of: "length of a section's index" }))?;
        let mut cursor = Cursor::new(bytes);
        let blocks = decode_blocks(&mut cursor, section, blocks_len)?;
        let instances = decode_instances(&mut cursor, section, &blocks)?;
        Ok(SectionIndex { blocks, instances })
    }

    /// The blocks of an instance: those of rows, then those of carried entries.
    pub(crate) fn blocks_of(&self, row: &InstanceRow) -> Option<&[BlockRow]> {
        let start = usize::try_from(row.first_block).ok()?;
        let count = u64::from(row.row_block_count) + u64::from(row.carried_block_count);
        self.blocks.get(start..start.checked_add(usize::try_from(count).ok()?)?)
    }
}

fn decode_blocks(
    cursor: &mut Cursor<'_>,
    section: &SectionRow,
    blocks_len: u64,
) -> Result<Vec<BlockRow>, Misread> {
    let mut blocks = Vec::new();
    let mut end = 0;
    for _ in 0..section.block_count {
        let at = cursor.position();
        let block = BlockRow::decode(cursor).map_err(|damage| (at, damage))?;
        if block.offset != end {
            let (found, expected) = (block.offset, end);
            return Err((at, Damage::Value { of: "offset of a block", found, expected }));
        }
        let left = blocks_len - end;
        let len = u64::from(block.len);
        if len > left || len % 8 != 0 || len <= BLOCK_HEAD_LEN as u64 {
            return Err((at, Damage::TooLarge { of: "length of a block", found: len, most: left }));
        }
        end += len;
        blocks.push(block);
    }
    if end != blocks_len {
        let (found, expected) = (end, blocks_len);
        let of = "length of a section's blocks";
        return Err((cursor.position(), Damage::Value { of, found, expected }));
    }
    Ok(blocks)
}

fn decode_instances(
    cursor: &mut Cursor<'_>,
    section: &SectionRow,
    blocks: &[BlockRow],
) -> Result<Vec<InstanceRow>, Misread> {
    let mut instances: Vec<InstanceRow> = Vec::new();
    let mut next_block = 0;
    for _ in 0..section.instance_count {
        let at = cursor.position();
        let row = InstanceRow::decode(cursor)
            .and_then(|row| check_instance(&row, &instances, next_block, blocks))
            .map_err(|damage| (at, damage))?;
        next_block += u64::from(row.row_block_count) + u64::from(row.carried_block_count);
        instances.push(row);
    }
    if next_block != section.block_count {
        let (found, expected) = (next_block, section.block_count);
        let of = "count of the instances' blocks";
        return Err((cursor.position(), Damage::Value { of, found, expected }));
    }
    Ok(instances)
}

/// Whether the instance comes after those `before`, its base is one of them, and its blocks are there
/// and of the right kinds.
fn check_instance(
    row: &InstanceRow,
    before: &[InstanceRow],
    next_block: u64,
    blocks: &[BlockRow],
) -> Result<InstanceRow, Damage> {
    if let Some(base) = row.base {
        check_base(base, before)?;
    }
    if let Some(before) = before.last()
        && row.run <= before.run
    {
        let (found, expected) = (row.run.0, before.run.0.saturating_add(1));
        return Err(Damage::Misplaced { of: "run of an instance", found, expected });
    }
    if row.first_block != next_block {
        let (found, expected) = (row.first_block, next_block);
        return Err(Damage::Value { of: "first block of an instance", found, expected });
    }
    let (rows, carried) = parts_of(blocks, row).ok_or(Damage::TooLarge {
        of: "block count of an instance",
        found: u64::from(row.row_block_count) + u64::from(row.carried_block_count),
        most: (blocks.len() as u64).saturating_sub(next_block),
    })?;
    if rows.is_empty() && carried.is_empty() && row.base.is_none() {
        return Err(Damage::Undecodable { of: "an instance without a block" });
    }
    check_kind(rows, BlockKind::Rows, row.row_count, "row count of an instance")?;
    check_kind(carried, BlockKind::Carried, row.carried_count, "carried count of an instance")?;
    check_tables(rows)?;
    Ok(*row)
}

fn check_base(base: Base, before: &[InstanceRow]) -> Result<(), Damage> {
    let at = before.binary_search_by_key(&base.run, |row| row.run);
    let Some(row) = at.ok().and_then(|at| before.get(at)) else {
        return Err(Damage::Run { run: base.run, what: "is a base and stands nowhere before" });
    };
    if base.carried <= row.carried_count {
        return Ok(());
    }
    let of = "carried count of an instance's base";
    Err(Damage::TooLarge { of, found: base.carried, most: row.carried_count })
}

/// The instance's blocks of rows, and those of carried entries.
fn parts_of<'b>(
    blocks: &'b [BlockRow],
    row: &InstanceRow,
) -> Option<(&'b [BlockRow], &'b [BlockRow])> {
    let behind = blocks.get(usize::try_from(row.first_block).ok()?..)?;
    let (rows, behind) = behind.split_at_checked(usize::try_from(row.row_block_count).ok()?)?;
    let carried = behind.get(..usize::try_from(row.carried_block_count).ok()?)?;
    Some((rows, carried))
}

fn check_kind(
    blocks: &[BlockRow],
    kind: BlockKind,
    row_count: u64,
    of: &'static str,
) -> Result<(), Damage> {
    if blocks.iter().any(|block| block.kind != kind) {
        return Err(Damage::Undecodable { of: "kind of an instance's block" });
    }
    let found: u64 = blocks.iter().map(|block| u64::from(block.row_count)).sum();
    if found != row_count {
        return Err(Damage::Value { of, found, expected: row_count });
    }
    Ok(())
}

/// Whether each table's blocks stand together: the rows of one that came twice would be half read.
fn check_tables(rows: &[BlockRow]) -> Result<(), Damage> {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for block in rows {
        if last != Some(block.table) && !seen.insert(block.table) {
            return Err(Damage::Undecodable { of: "order of an instance's tables" });
        }
        last = Some(block.table);
    }
    Ok(())
}

/// Compares the checksum of `bytes` with the one stored.
pub(crate) fn check_crc(of: &'static str, bytes: &[u8], expected: u32) -> Result<(), Damage> {
    match crc32fast::hash(bytes) {
        found if found == expected => Ok(()),
        found => Err(Damage::Checksum { of, found, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> SectionIndex {
        let block =
            |offset, kind, table| BlockRow { offset, len: 40, row_count: 2, table, crc: 7, kind };
        let instance = |run, first_block, row_block_count, carried_block_count| InstanceRow {
            run: RunId(run),
            section_version: 1,
            base: None,
            first_block,
            row_block_count,
            carried_block_count,
            row_count: u64::from(row_block_count) * 2,
            carried_count: u64::from(carried_block_count) * 2,
        };
        SectionIndex {
            blocks: vec![
                block(0, BlockKind::Rows, 9),
                block(40, BlockKind::Rows, 1),
                block(80, BlockKind::Carried, 0),
                block(120, BlockKind::Carried, 0),
            ],
            instances: vec![instance(0, 0, 2, 1), instance(4, 3, 0, 1)],
        }
    }

    /// What comes back of an index whose checksum is right.
    fn decoded(index: &SectionIndex) -> Result<SectionIndex, Misread> {
        let bytes = index.encode();
        let section = SectionRow {
            type_id: 3,
            version: 1,
            offset: 64,
            len: 160 + bytes.len() as u64,
            block_count: index.blocks.len() as u64,
            instance_count: index.instances.len() as u64,
            crc: 0,
            index_crc: crc32fast::hash(&bytes),
        };
        let mut row = Vec::new();
        section.encode(&mut row);
        assert_eq!(SectionRow::decode(&mut Cursor::new(&row)), Ok(section));
        SectionIndex::decode(&bytes, &section)
    }

    #[test]
    fn an_index_comes_back() {
        assert_eq!(decoded(&index()), Ok(index()));
        let index = index();
        let found = index.blocks_of(&index.instances[0]).unwrap();
        assert_eq!(found, &index.blocks[..3]);
    }

    #[test]
    fn an_index_that_does_not_account_for_every_block_once_is_refused_where_it_is_wrong() {
        let instances_at = 4 * BLOCK_ROW_LEN;
        let refused = |change: fn(&mut SectionIndex), at: usize| {
            let mut index = index();
            change(&mut index);
            let (found, damage) = decoded(&index).unwrap_err();
            assert_eq!(found, at, "{damage}");
        };
        refused(|index| index.blocks[1].offset = 48, BLOCK_ROW_LEN);
        refused(|index| index.blocks[1].len = 44, BLOCK_ROW_LEN);
        refused(|index| index.blocks[1].len = 24, BLOCK_ROW_LEN);
        refused(|index| index.blocks[3].len = 48, 3 * BLOCK_ROW_LEN);
        refused(|index| index.blocks[3].len = 32, 4 * BLOCK_ROW_LEN);
        refused(|index| index.instances[1].run = RunId(0), instances_at + INSTANCE_ROW_LEN);
        refused(|index| index.instances[1].first_block = 2, instances_at + INSTANCE_ROW_LEN);
        refused(
            |index| index.instances[1].carried_block_count = 2,
            instances_at + INSTANCE_ROW_LEN,
        );
        refused(
            |index| index.instances[1].carried_block_count = 0,
            instances_at + INSTANCE_ROW_LEN,
        );
        refused(|index| index.instances[0].row_block_count = 3, instances_at);
        refused(|index| index.instances[0].row_count = 5, instances_at);
        refused(|index| index.instances[0].carried_count = 1, instances_at);
        refused(|index| index.blocks[0].kind = BlockKind::Carried, instances_at);
        refused(|index| index.instances.truncate(1), instances_at + INSTANCE_ROW_LEN);
    }

    #[test]
    fn a_base_stands_before_and_has_the_entries_that_are_named() {
        let with = |base| {
            let mut index = index();
            index.instances[1].base = base;
            decoded(&index).map(|index| index.instances[1].base).map_err(|(at, _)| at)
        };
        let base = |run, carried| Some(Base { run: RunId(run), carried });
        let at = 4 * BLOCK_ROW_LEN + INSTANCE_ROW_LEN;
        assert_eq!(with(base(0, 0)), Ok(base(0, 0)));
        assert_eq!(with(base(0, 2)), Ok(base(0, 2)));
        assert_eq!(with(base(0, 3)), Err(at), "more entries than it has");
        for run in [1, 4, 5] {
            assert_eq!(with(base(run, 0)), Err(at), "run {run} does not stand before");
        }
    }

    #[test]
    fn an_instance_without_a_block_is_its_base() {
        let mut index = index();
        index.instances.push(InstanceRow {
            run: RunId(5),
            base: Some(Base { run: RunId(4), carried: 2 }),
            first_block: 4,
            row_block_count: 0,
            carried_block_count: 0,
            row_count: 0,
            carried_count: 0,
            section_version: 1,
        });
        assert_eq!(decoded(&index), Ok(index.clone()));
        index.instances[2].base = None;
        assert!(decoded(&index).is_err());
    }

    #[test]
    fn a_table_in_two_parts_is_refused() {
        let mut index = index();
        for (block, table) in index.blocks.iter_mut().zip([9, 1, 9]) {
            block.kind = BlockKind::Rows;
            block.table = table;
        }
        index.instances[0].row_block_count = 3;
        index.instances[0].carried_block_count = 0;
        index.instances[0].row_count = 6;
        index.instances[0].carried_count = 0;
        let of = "order of an instance's tables";
        assert_eq!(decoded(&index), Err((4 * BLOCK_ROW_LEN, Damage::Undecodable { of })));
        index.blocks[2].table = 1;
        assert_eq!(decoded(&index), Ok(index));
    }

    #[test]
    fn a_section_header_is_nine_bytes_as_the_specification_has_it() {
        let header = SnapshotSectionHeader { primitive_type: 7, length: 0x0102_0304_0506_0708 };
        assert_eq!(header.to_bytes(), [7, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(SnapshotSectionHeader::from_bytes(&header.to_bytes()), Ok(header));
        let longer = [7, 8, 7, 6, 5, 4, 3, 2, 1, 99];
        assert_eq!(SnapshotSectionHeader::from_bytes(&longer), Ok(header));
        for len in 0..SnapshotSectionHeader::SIZE {
            let short = SnapshotSectionHeader::from_bytes(&longer[..len]);
            assert!(matches!(short, Err(Damage::Truncated { .. })));
        }
    }
}
