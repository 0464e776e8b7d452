//! A snapshot as a structure: taken apart, changed, put together with every checksum right.

use super::change::{self, layout};
use super::log::{Log, catalog, put};
use crate::format::block::{self, BLOCK_HEAD_LEN, Rows};
use crate::format::cursor::{Cursor, padded_to_8};
use crate::format::layout::offset_of;
use crate::format::section::{SECTION_ROW_LEN, SectionIndex, SectionRow};
use crate::format::snapshot::{self, HEADER_LEN, SnapshotSectionHeader, TRAILER_LEN, core_table};
use crate::testing::Random;

/// Where the header says of which record it is; timestamp, chain and epoch follow.
const LSN_AT: usize = offset_of(snapshot::HEADER, "last LSN");

/// All of the file.
pub(super) struct Snapshot {
    head: Vec<u8>,
    sections: Vec<Section>,
    trailer: Vec<u8>,
}

#[derive(Clone)]
struct Section {
    header: Vec<u8>,
    /// Of the footer table.
    row: Vec<u8>,
    instances: Vec<Instance>,
}

#[derive(Clone)]
struct Instance {
    row: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Clone)]
struct Block {
    head: Vec<u8>,
    /// Of the block index.
    index: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    head: Vec<u8>,
    bytes: Vec<u8>,
}

impl Snapshot {
    pub(super) fn of(bytes: &[u8]) -> Snapshot {
        let trailer = bytes[bytes.len() - TRAILER_LEN..].to_vec();
        let number = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().unwrap());
        let table = &bytes[number(8) as usize..bytes.len() - TRAILER_LEN];
        let sections = table.chunks(SECTION_ROW_LEN).map(|row| Section::of(row, bytes)).collect();
        Snapshot { head: bytes[..HEADER_LEN].to_vec(), sections, trailer }
    }

    fn section(&mut self, random: &mut Random) -> Option<&mut Section> {
        change::one(&mut self.sections, random)
    }

    fn instance(&mut self, random: &mut Random) -> Option<&mut Instance> {
        change::one(&mut self.section(random)?.instances, random)
    }

    fn block(&mut self, random: &mut Random) -> Option<&mut Block> {
        change::one(&mut self.instance(random)?.blocks, random)
    }

    /// Which sections, instances, blocks and rows there are.
    pub(super) fn change_lists(&mut self, random: &mut Random) -> Option<()> {
        match random.below(4) {
            0 => drop(change::list(&mut self.sections, random)),
            1 => drop(change::list(&mut self.section(random)?.instances, random)),
            2 if random.one_in(2) => {
                let moved = self.block(random)?.clone();
                self.instance(random)?.blocks.push(moved);
            }
            2 => drop(change::list(&mut self.instance(random)?.blocks, random)),
            _ => drop(change::list(&mut self.block(random)?.rows, random)),
        }
        Some(())
    }

    /// What stands in rows: of primitives, of the engine, of carried entries.
    pub(super) fn change_rows(&mut self, random: &mut Random) -> Option<()> {
        let runs = layout(snapshot::LAYOUTS, "Row of the run table", 0);
        let carried = layout(block::LAYOUTS, "Head of a carried entry", 0);
        let core = random.one_in(4);
        let block = match self.sections.first_mut().filter(|_| core) {
            Some(core) => {
                let instance = change::one(&mut core.instances, random)?;
                change::one(&mut instance.blocks, random)?
            }
            None => self.block(random)?,
        };
        let (table, is_carried) = (block.head[8], block.head[12] == 1);
        let row = &mut change::one(&mut block.rows, random)?.bytes;
        match u32::from(table) {
            _ if is_carried && random.one_in(2) && row.len() >= 24 => {
                change::field(row, carried, random);
            }
            core_table::CATALOG if core && random.below(4) > 0 => *row = catalog(row, random),
            core_table::RUNS if core && random.below(4) > 0 && row.len() >= 48 => {
                change::field(row, runs, random);
            }
            _ => {
                for _ in 0..=random.below(3) {
                    change::bytes(row, random);
                }
            }
        }
        Some(())
    }

    /// The fields of all that is around the rows.
    pub(super) fn change_fields(&mut self, random: &mut Random) -> Option<()> {
        let of = |title| layout(snapshot::LAYOUTS, title, 0);
        let block = |title| layout(block::LAYOUTS, title, 0);
        match random.below(10) {
            0 => change::field(&mut self.head, of("Header of a snapshot"), random),
            1 => change::field(&mut self.trailer, of("Trailer"), random),
            2 => {
                let header = &mut self.section(random)?.header;
                change::field(header, of("Header of a section"), random);
            }
            3 | 4 => {
                let row = &mut self.section(random)?.row;
                change::field(row, of("Row of the footer table"), random);
            }
            5 | 6 => {
                let row = &mut self.instance(random)?.row;
                change::field(row, of("Row of an instance table"), random);
            }
            7 => change::field(&mut self.block(random)?.index, of("Row of a block index"), random),
            8 => change::field(&mut self.block(random)?.head, block("Head of a block"), random),
            _ => {
                let row = change::one(&mut self.block(random)?.rows, random)?;
                change::field(&mut row.head, block("Head of a row"), random);
            }
        }
        Some(())
    }

    /// Links the snapshot to a log that is sealed, if the record that it covers is there.
    pub(super) fn link_to(&mut self, log: &Log) {
        let covered = u64::from_le_bytes(self.head[LSN_AT..][..8].try_into().unwrap());
        if let Some(chain) = log.chain_at(covered) {
            put(&mut self.head, LSN_AT + 16, chain);
        }
    }

    /// Lets the header say this of what it covers.
    pub(super) fn set_covered(&mut self, lsn: u64, epoch: Option<u32>, timestamp: Option<u64>) {
        put(&mut self.head, LSN_AT, lsn.to_le_bytes());
        if let Some(epoch) = epoch {
            put(&mut self.head, LSN_AT + 20, epoch.to_le_bytes());
        }
        if let Some(timestamp) = timestamp {
            put(&mut self.head, LSN_AT + 8, timestamp.to_le_bytes());
        }
    }

    /// Lets this be the number of the next run.
    pub(super) fn set_next_run(&mut self, next_run: u64) {
        let core = self.sections[0].instances.iter_mut().flat_map(|one| &mut one.blocks);
        for block in core.filter(|block| u32::from(block.head[8]) == core_table::NEXT_RUN) {
            block.rows[0].bytes[..8].copy_from_slice(&next_run.to_le_bytes());
        }
    }

    /// Makes lengths, counts and offsets true again.
    pub(super) fn settle(&mut self) {
        let mut at = HEADER_LEN;
        for section in &mut self.sections {
            let start = section.start(at);
            let (data_len, index_len) = section.settle(start);
            at = start + data_len + index_len;
        }
        let footer = at.next_multiple_of(8);
        let len = footer + self.sections.len() * SECTION_ROW_LEN + TRAILER_LEN;
        put(&mut self.trailer, 0, (len as u64).to_le_bytes());
        put(&mut self.trailer, 8, (footer as u64).to_le_bytes());
        put(&mut self.trailer, 16, (self.sections.len() as u32).to_le_bytes());
    }

    /// The file, every checksum right.
    pub(super) fn seal(&mut self) -> Vec<u8> {
        let header_crc = crc32fast::hash(&self.head[..HEADER_LEN - 4]).to_le_bytes();
        put(&mut self.head, HEADER_LEN - 4, header_crc);
        let mut bytes = self.head.clone();
        let mut table = Vec::new();
        for section in &mut self.sections {
            let start = section.start(bytes.len());
            bytes.resize(start - SnapshotSectionHeader::SIZE, 0);
            bytes.extend(&section.header);
            section.seal(&mut bytes);
            table.extend(&section.row);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(&table);
        let trailer = &mut self.trailer;
        put(trailer, 20, crc32fast::hash(&table).to_le_bytes());
        put(trailer, 24, header_crc);
        put(trailer, 28, crc32fast::hash(&bytes).to_le_bytes());
        let crc = crc32fast::hash(&trailer[..36]);
        put(trailer, 36, crc.to_le_bytes());
        bytes.extend(&*trailer);
        bytes
    }
}

impl Row {
    fn of(row: &[u8]) -> Row {
        let mut head = vec![0; 8];
        put(&mut head, 0, (row.len() as u32).to_le_bytes());
        Row { head, bytes: row.to_vec() }
    }
}

impl Section {
    fn of(row: &[u8], file: &[u8]) -> Section {
        let found = SectionRow::decode(&mut Cursor::new(row)).unwrap();
        let (start, len) = (found.offset as usize, found.len as usize);
        let data = &file[start..start + len];
        let index_at = len - found.index_len().unwrap() as usize;
        let index = SectionIndex::decode(&data[index_at..], &found).unwrap();
        let instances = index.instances.iter().map(|instance| {
            let mut row = Vec::new();
            instance.encode(&mut row);
            let blocks = index.blocks_of(instance).unwrap().iter().map(|block| {
                let bytes = &data[block.offset as usize..][..block.len as usize];
                let (head, payload) = bytes.split_at(BLOCK_HEAD_LEN);
                let rows = Rows::new(payload).map(|row| Row::of(row.unwrap()));
                let mut index = Vec::new();
                block.encode(&mut index);
                Block { head: head.to_vec(), index, rows: rows.collect() }
            });
            let blocks = blocks.collect();
            Instance { row, blocks }
        });
        let header = file[start - SnapshotSectionHeader::SIZE..start].to_vec();
        Section { header, row: row.to_vec(), instances: instances.collect() }
    }

    /// Where the data starts, if what is before it ends at `at`.
    fn start(&self, at: usize) -> usize {
        (at + SnapshotSectionHeader::SIZE).next_multiple_of(64)
    }

    /// Returns the bytes of blocks, and of index and instance table.
    fn settle(&mut self, start: usize) -> (usize, usize) {
        let (mut at, mut block_count) = (0_usize, 0_u64);
        for instance in &mut self.instances {
            put(&mut instance.row, 32, block_count.to_le_bytes());
            let (mut blocks, mut rows) = ([0_u32; 2], [0_u64; 2]);
            for block in &mut instance.blocks {
                let mut payload_len = 0;
                for row in &mut block.rows {
                    put(&mut row.head, 0, (row.bytes.len() as u32).to_le_bytes());
                    payload_len += 8 + padded_to_8(row.bytes.len());
                }
                let row_count = block.rows.len() as u32;
                put(&mut block.head, 0, (payload_len as u32).to_le_bytes());
                put(&mut block.head, 4, row_count.to_le_bytes());
                put(&mut block.index, 0, (at as u64).to_le_bytes());
                put(&mut block.index, 8, ((BLOCK_HEAD_LEN + payload_len) as u32).to_le_bytes());
                put(&mut block.index, 12, row_count.to_le_bytes());
                at += BLOCK_HEAD_LEN + payload_len;
                let kind = usize::from(block.head[12]).min(1);
                blocks[kind] += 1;
                rows[kind] += u64::from(row_count);
                block_count += 1;
            }
            put(&mut instance.row, 40, blocks.map(u32::to_le_bytes).concat());
            put(&mut instance.row, 48, rows.map(u64::to_le_bytes).concat());
        }
        let index_len = block_count as usize * 32 + self.instances.len() * 64;
        put(&mut self.header, 1, ((at + index_len) as u64).to_le_bytes());
        let numbers = [start, at + index_len, block_count as usize, self.instances.len()];
        put(&mut self.row, 8, numbers.map(|number| (number as u64).to_le_bytes()).concat());
        (at, index_len)
    }

    fn seal(&mut self, file: &mut Vec<u8>) {
        let start = file.len();
        for block in self.instances.iter_mut().flat_map(|instance| &mut instance.blocks) {
            let mut payload = Vec::new();
            for row in &block.rows {
                payload.extend(&row.head);
                payload.extend(&row.bytes);
                payload.resize(padded_to_8(payload.len()), 0);
            }
            let crc = crc32fast::hash(&[&block.head[..20], &payload].concat()).to_le_bytes();
            put(&mut block.head, 20, crc);
            put(&mut block.index, 20, crc);
            file.extend(&block.head);
            file.extend(payload);
        }
        let index_at = file.len();
        for block in self.instances.iter().flat_map(|instance| &instance.blocks) {
            file.extend(&block.index);
        }
        for instance in &self.instances {
            file.extend(&instance.row);
        }
        put(&mut self.row, 40, crc32fast::hash(&file[start..]).to_le_bytes());
        put(&mut self.row, 44, crc32fast::hash(&file[index_at..]).to_le_bytes());
    }
}
