//! A section in memory: the rows that a state writes, and the state that rows give.

use rkyv::util::AlignedVec;

use super::bench::Breach;
use crate::error::{Reason, Result};
use crate::format::block::{BLOCK_HEAD_LEN, BlockBuilder, BlockKind};
use crate::primitive::private::table_tag;
use crate::primitive::{PrimitiveStorageExt, RowSink, SectionReader, SectionWriter, TableRows};

/// The rows of one instance by table, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows(pub(super) Vec<(u32, Vec<Vec<u8>>)>);

impl RowSink for Rows {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        match self.0.iter_mut().find(|(other, _)| *other == table) {
            Some((_, rows)) => rows.push(row.to_vec()),
            None => self.0.push((table, vec![row.to_vec()])),
        }
        Ok(())
    }
}

impl Rows {
    pub(super) fn of<P: PrimitiveStorageExt>(state: &P) -> Result<Rows, Breach> {
        let mut rows = Rows::default();
        state
            .snapshot_serialize(&mut SectionWriter::new(&mut rows))
            .map_err(|error| format!("its snapshot cannot be written: {error}"))?;
        Ok(rows)
    }

    /// The state that these rows give, its indexes rebuilt.
    pub(super) fn load<P: PrimitiveStorageExt>(&self) -> Result<P, Reason> {
        // As the engine does it: an instance without rows was never written.
        if self.0.is_empty() {
            return Ok(P::default());
        }
        let blocks = self.blocks();
        let mut state = P::snapshot_deserialize(&mut SectionReader::new(&blocks.tables()))?;
        state.rebuild_indexes()?;
        Ok(state)
    }

    /// As a reader takes them.
    pub(super) fn blocks(&self) -> Blocks {
        Blocks(self.0.iter().map(|(table, rows)| (*table, block(*table, rows))).collect())
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(table, _)| *table)
    }

    pub(super) fn table(&self, table: u32) -> &[Vec<u8>] {
        self.0.iter().find(|(tag, _)| *tag == table).map_or(&[], |(_, rows)| rows)
    }

    /// The same without one table.
    pub(super) fn without(&self, table: u32) -> Rows {
        Rows(self.0.iter().filter(|(tag, _)| *tag != table).cloned().collect())
    }

    pub(super) fn tables_that_differ(&self, other: &Rows) -> Vec<u32> {
        let mut tables: Vec<u32> = self.tables().chain(other.tables()).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.retain(|table| self.table(*table) != other.table(*table));
        tables
    }

    /// What a table is called.
    pub(super) fn field_of<P: PrimitiveStorageExt>(table: u32) -> String {
        if table == 0 {
            return "what it writes with `SectionWriter::bytes`".to_owned();
        }
        let shape = const { &P::SECTION_SHAPE };
        let names = shape.as_str().split(", ").filter_map(|field| field.split_once(": "));
        match names.map(|(name, _)| name).find(|name| table_tag(name) == table) {
            Some(name) => format!("the field `{name}`"),
            None => format!("the table {table:#010x}"),
        }
    }

    /// Bytes in all rows.
    pub(super) fn len(&self) -> usize {
        self.0.iter().flat_map(|(_, rows)| rows).map(Vec::len).sum()
    }
}

/// Rows as they stand in a section: for each table one block.
pub(super) struct Blocks(Vec<(u32, AlignedVec)>);

impl Blocks {
    pub(super) fn tables(&self) -> Vec<TableRows<'_>> {
        let table =
            self.0.iter().map(|(tag, block)| TableRows { tag: *tag, blocks: vec![&block[..]] });
        table.collect()
    }
}

/// The payload of a block of these rows.
fn block(table: u32, rows: &[Vec<u8>]) -> AlignedVec {
    let mut builder = BlockBuilder::new();
    for row in rows {
        builder.push(BlockKind::Rows, table, row);
    }
    let (_, bytes) = builder.finish();
    let mut block = AlignedVec::new();
    block.extend_from_slice(bytes.get(BLOCK_HEAD_LEN..).unwrap_or_default());
    block
}
