//! A section that is held in memory: for a primitive that is written by hand and says no more of its
//! state than the rows it writes.

use rkyv::util::AlignedVec;

use super::change::{Change, Changes, ValueRef};
use super::collections::{Apart, Bytes, merge};
use super::contract::PrimitiveStorageExt;
use super::section::{RowSink, SectionReader, SectionWriter, TableRows};
use super::shape::table_tag;
use crate::error::{Reason, Result};
use crate::format::block::{self, BLOCK_HEAD_LEN, BlockBuilder, BlockKind};

/// The rows of one instance by table, in the order in which they were written, as blocks.
pub(crate) struct HeldSection {
    tables: Vec<(u32, Vec<AlignedVec>)>,
    builder: BlockBuilder,
}

impl RowSink for HeldSection {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        if !self.builder.takes(BlockKind::Rows, table, row.len()) {
            self.end_block();
        }
        if self.builder.is_empty() && self.tables.iter().all(|(tag, _)| *tag != table) {
            self.tables.push((table, Vec::new()));
        }
        self.builder.push(BlockKind::Rows, table, row);
        Ok(())
    }
}

impl HeldSection {
    /// What `write` writes.
    pub(crate) fn of(
        write: impl FnOnce(&mut SectionWriter<'_>) -> Result<()>,
    ) -> Result<HeldSection> {
        let mut held = HeldSection { tables: Vec::new(), builder: BlockBuilder::new() };
        write(&mut SectionWriter::new(&mut held))?;
        held.end_block();
        Ok(held)
    }

    fn end_block(&mut self) {
        if self.builder.is_empty() {
            return;
        }
        let (head, bytes) = self.builder.finish();
        let table = head.table;
        let mut block = AlignedVec::new();
        block.extend_from_slice(bytes.get(BLOCK_HEAD_LEN..).unwrap_or_default());
        self.builder.clear();
        if let Some((_, blocks)) = self.tables.iter_mut().find(|(tag, _)| *tag == table) {
            blocks.push(block);
        }
    }

    /// As a reader takes them.
    pub(crate) fn tables(&self) -> Vec<TableRows<'_>> {
        let tables = self.tables.iter().map(|(tag, blocks)| {
            let blocks = blocks.iter().map(|block| &block[..]).collect();
            TableRows { tag: *tag, blocks }
        });
        tables.collect()
    }

    fn has(&self, table: u32) -> bool {
        self.tables.iter().any(|(tag, _)| *tag == table)
    }

    fn rows(&self, table: u32) -> Vec<&[u8]> {
        let blocks = self.tables.iter().filter(|(tag, _)| *tag == table).flat_map(|(_, all)| all);
        blocks.flat_map(|block| block::Rows::new(block)).flatten().collect()
    }
}

/// The state that the changes make of `base`, by way of the base's rows.
pub(super) fn load_changes<P: PrimitiveStorageExt>(
    base: &P,
    changes: &SectionReader<'_>,
) -> Result<P, Reason> {
    let base = HeldSection::of(|writer| base.snapshot_serialize(writer))?;
    P::snapshot_deserialize(&mut changes.on_top_of(&base.tables()))
}

/// The changes from one state to another, told by the rows that only one of them writes.
pub(super) fn changes<'a, P: PrimitiveStorageExt>(since: &'a P, now: &'a P) -> Changes<'a> {
    let found = std::iter::once((since, now)).flat_map(|(since, now)| {
        let held = |state: &P| HeldSection::of(|writer| state.snapshot_serialize(writer));
        match (held(since), held(now)) {
            (Ok(before), Ok(after)) => changed_rows::<P>(&before, &after),
            // A state that cannot be written down has no rows to tell it by.
            _ => vec![Change::changed("", None, None, None)],
        }
    });
    Changes::of(found)
}

fn changed_rows<'a, P: PrimitiveStorageExt>(
    before: &HeldSection,
    after: &HeldSection,
) -> Vec<Change<'a>> {
    let mut tables: Vec<u32> = after.tables.iter().map(|(tag, _)| *tag).collect();
    tables.extend(before.tables.iter().map(|(tag, _)| *tag).filter(|tag| !after.has(*tag)));
    let mut changes = Vec::new();
    for table in tables {
        let field = field_of::<P>(table);
        for apart in rows_apart(&before.rows(table), &after.rows(table)) {
            let key = |row: &[u8]| Some(ValueRef::owned(Bytes::from(row)));
            match apart {
                Apart::Before(row) => changes.push(Change::removed(field, key(row), None)),
                Apart::After(row) => changes.push(Change::added(field, key(row), None)),
                Apart::Both(..) => {}
            }
        }
    }
    changes
}

/// The rows that only one of two tables has, as often as it has them more often; of rows that only
/// stand in another order, those that do.
fn rows_apart<'a>(before: &[&'a [u8]], after: &[&'a [u8]]) -> Vec<Apart<&'a [u8]>> {
    let differs = |apart: &Apart<&[u8]>| !matches!(apart, Apart::Both(one, other) if one == other);
    let sorted = |rows: &[&'a [u8]]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.into_iter()
    };
    let apart: Vec<_> = merge(sorted(before), sorted(after), Ord::cmp).filter(differs).collect();
    if !apart.is_empty() {
        return apart;
    }
    let moved = before.iter().zip(after).filter(|(before, after)| before != after);
    moved.flat_map(|(before, after)| [Apart::Before(*before), Apart::After(*after)]).collect()
}

/// What a table is called, as far as the primitive says it.
fn field_of<P: PrimitiveStorageExt>(table: u32) -> &'static str {
    let shape = const { &P::SECTION_SHAPE };
    let names = shape.as_str().split(", ").filter_map(|field| field.split_once(": "));
    names.map(|(name, _)| name).find(|name| table_tag(name) == table).unwrap_or_default()
}
