//! One instance as it was read: its blocks, checked.
//!
//! - The bytes stand aligned to 64 in memory, and in the file every block stands on a multiple of
//!   8: so every row, and every carried payload, is aligned to 8.
//! - Blocks get here only after their checksums and the places of their rows were checked.

use std::ops::Range;

use rkyv::util::AlignedVec;

use super::source::check_block;
use super::{Base, CarriedEntry, RawBlock, RawInstance};
use crate::error::{Damage, Result};
use crate::format::block::{BLOCK_HEAD_LEN, BlockKind, CarriedRow, Rows};
use crate::format::section::{BlockRow, InstanceRow, Misread};
use crate::id::RunId;
use crate::primitive::{LoggedEntry, TableRows};

/// The blocks of one instance.
pub(crate) struct OwnedBlocks {
    bytes: AlignedVec<64>,
    run: RunId,
    section_version: u32,
    base: Option<Base>,
    /// In `bytes`, head included.
    rows: Vec<(u32, Range<usize>)>,
    carried: Vec<Range<usize>>,
}

impl OwnedBlocks {
    /// Checks that `bytes` are the blocks that `index` names, one behind another.
    pub(super) fn check(
        bytes: AlignedVec<64>,
        row: &InstanceRow,
        index: &[BlockRow],
    ) -> Result<OwnedBlocks, Misread> {
        let mut rows = Vec::new();
        let mut carried = Vec::new();
        let mut at: usize = 0;
        for block in index {
            let len = usize::try_from(block.len).unwrap_or(usize::MAX);
            let range = at..at.saturating_add(len);
            let block_bytes = bytes
                .get(range.clone())
                .ok_or((at, Damage::Undecodable { of: "length of a block" }))?;
            let checked = check_block(block_bytes, block).map_err(|damage| (at, damage))?;
            match checked.head.kind {
                BlockKind::Rows => rows.push((block.table, range.clone())),
                BlockKind::Carried => {
                    for entry in Rows::new(checked.payload) {
                        let decoded = entry.and_then(CarriedRow::decode);
                        decoded.map_err(|damage| (at, damage))?;
                    }
                    carried.push(range.clone());
                }
            }
            at = range.end;
        }
        let InstanceRow { run, section_version, base, .. } = *row;
        Ok(OwnedBlocks { bytes, run, section_version, base, rows, carried })
    }

    /// The rows by table, in the order in which they were written.
    pub(crate) fn tables(&self) -> Vec<TableRows<'_>> {
        let mut tables: Vec<TableRows<'_>> = Vec::new();
        for (tag, range) in &self.rows {
            let payload = self.payload(range);
            match tables.last_mut() {
                Some(last) if last.tag == *tag => last.blocks.push(payload),
                _ => tables.push(TableRows { tag: *tag, blocks: vec![payload] }),
            }
        }
        tables
    }

    /// The entries that came after the rows, in the order of the log, their payloads in place.
    pub(crate) fn carried(&self) -> impl Iterator<Item = LoggedEntry<'_>> {
        self.carried_rows().map(|row| LoggedEntry {
            wal_type: row.wal_type,
            version: row.version,
            index: row.index,
            lsn: row.lsn,
            timestamp: row.timestamp,
            payload: row.payload,
        })
    }

    /// Table and bytes of each row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Result<&[u8], Damage>)> {
        self.rows
            .iter()
            .flat_map(|(table, range)| Rows::new(self.payload(range)).map(|row| (*table, row)))
    }

    /// A copy to carry on.
    pub(super) fn to_raw(&self) -> RawInstance {
        let blocks = self.rows.iter().map(|(table, range)| RawBlock {
            table: *table,
            bytes: self.bytes.get(range.clone()).unwrap_or_default().into(),
        });
        RawInstance {
            run: self.run,
            section_version: self.section_version,
            base: self.base,
            blocks: blocks.collect(),
            carried: self.carried_rows().map(|row| CarriedEntry::from_row(&row)).collect(),
        }
    }

    fn carried_rows(&self) -> impl Iterator<Item = CarriedRow<'_>> {
        self.carried
            .iter()
            .flat_map(|range| Rows::new(self.payload(range)))
            // Each was decoded when the block was checked, so none is passed over here.
            .filter_map(|row| row.and_then(CarriedRow::decode).ok())
    }

    fn payload(&self, block: &Range<usize>) -> &[u8] {
        self.bytes.get(block.start + BLOCK_HEAD_LEN..block.end).unwrap_or_default()
    }
}
