//! The parts of a snapshot's file, each read and checked by itself.
//!
//! - Every error names the file and the offset at which the bad bytes start.
//! - A length is compared with the bytes that are there before it is allocated.

use std::path::Path;

use crc32fast::Hasher;
use rkyv::util::AlignedVec;

use super::SnapshotMeta;
use super::instance::OwnedBlocks;
use super::reader::Section;
use crate::disk::{DiskFile, read_full_at};
use crate::error::{Damage, Error, Result};
use crate::format::block::Block;
use crate::format::catalog::Catalog;
use crate::format::cursor::Cursor;
use crate::format::section::{
    BlockRow, InstanceRow, SECTION_ROW_LEN, SectionIndex, SectionRow, SnapshotSectionHeader,
    check_crc,
};
use crate::format::snapshot::{
    CORE_SECTION_VERSION, FOOTER_ALIGN, FileKind, RunRow, SECTION_ALIGN, SnapshotHeader, Trailer,
    core_table,
};
use crate::id::{Lsn, RunId};

/// How many bytes are read at once to check the whole file.
const HASH_BYTES: usize = 1 << 20;

/// A snapshot's file, and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a dyn DiskFile,
    /// Below the database's directory.
    pub(super) path: &'a Path,
    /// Where a person finds it.
    pub(super) full_path: &'a Path,
    /// Bytes in the file.
    pub(super) len: u64,
}

impl Source<'_> {
    pub(super) fn corrupt(&self, offset: u64, damage: Damage) -> Error {
        Error::corrupt(self.path, offset, damage)
    }

    /// Reads `len` bytes. Nothing is allocated for bytes that the file does not have.
    pub(super) fn read(&self, offset: u64, len: u64, of: &'static str) -> Result<AlignedVec<64>> {
        let left = self.len.saturating_sub(offset);
        let memory_len = usize::try_from(len)
            .ok()
            .filter(|memory_len| len <= left && *memory_len <= AlignedVec::<64>::MAX_CAPACITY)
            .ok_or_else(|| self.corrupt(offset, Damage::Truncated { of, needed: len, left }))?;
        let mut bytes = AlignedVec::with_capacity(memory_len);
        bytes.resize(memory_len, 0);
        let count = self.read_into(&mut bytes, offset)?;
        if count < memory_len {
            let damage = Damage::Truncated { of, needed: len, left: count as u64 };
            return Err(self.corrupt(offset, damage));
        }
        Ok(bytes)
    }

    fn read_into(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        read_full_at(self.file, bytes, offset)
            .map_err(|error| Error::io("read", self.full_path, error))
    }

    /// The rows of the footer table, which ends where the trailer starts.
    pub(super) fn footer(&self, trailer: &Trailer, end: u64) -> Result<Vec<SectionRow>> {
        let start = trailer.footer_offset;
        let len = u64::from(trailer.section_count) * SECTION_ROW_LEN as u64;
        if start.checked_add(len) != Some(end) {
            let damage = Damage::Value {
                of: "length of the footer table",
                found: len,
                expected: end.saturating_sub(start),
            };
            return Err(self.corrupt(end, damage));
        }
        let bytes = self.read(start, len, "footer table")?;
        check_crc("footer table", &bytes, trailer.footer_crc)
            .map_err(|damage| self.corrupt(start, damage))?;
        let mut cursor = Cursor::new(&bytes);
        let mut rows: Vec<SectionRow> = Vec::new();
        while !cursor.is_empty() {
            let at = start + cursor.position() as u64;
            let row = SectionRow::decode(&mut cursor).map_err(|damage| self.corrupt(at, damage))?;
            if let Some(last) = rows.last()
                && row.type_id <= last.type_id
            {
                let (found, expected) = (row.type_id.into(), u64::from(last.type_id) + 1);
                let damage = Damage::Misplaced { of: "section", found, expected };
                return Err(self.corrupt(at, damage));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The sections with their indexes: from the end of the header to the footer table each byte must
    /// belong to one of them, or be a zero before it.
    pub(super) fn sections(
        &self,
        rows: &[SectionRow],
        header_end: u64,
        footer_offset: u64,
    ) -> Result<Vec<Section>> {
        let mut end = header_end;
        let mut sections = Vec::new();
        for row in rows {
            self.section_header(row, end, footer_offset)?;
            let index_len = row.index_len().map_err(|damage| self.corrupt(row.offset, damage))?;
            end = row.offset + row.len;
            let index_offset = end - index_len;
            let index = self.read(index_offset, index_len, "section index")?;
            let index = SectionIndex::decode(&index, row)
                .map_err(|(at, damage)| self.corrupt(index_offset + at as u64, damage))?;
            sections.push(Section::new(*row, index));
        }
        let zeros = footer_offset.saturating_sub(end);
        if end.checked_next_multiple_of(FOOTER_ALIGN) != Some(footer_offset) {
            let (found, expected) = (footer_offset, end.next_multiple_of(FOOTER_ALIGN));
            let damage = Damage::Value { of: "offset of the footer table", found, expected };
            return Err(self.corrupt(end, damage));
        }
        self.zeros(end, &self.read(end, zeros, "zeros before the footer table")?)?;
        Ok(sections)
    }

    /// Checks what stands between `end`, where the section before ends, and the section's data; and
    /// that the data ends before the footer table.
    fn section_header(&self, row: &SectionRow, end: u64, footer_offset: u64) -> Result<()> {
        let header_len = SnapshotSectionHeader::SIZE as u64;
        let expected = (end + header_len).next_multiple_of(SECTION_ALIGN);
        if row.offset != expected {
            let damage = Damage::Value { of: "offset of a section", found: row.offset, expected };
            return Err(self.corrupt(end, damage));
        }
        let most = footer_offset.saturating_sub(row.offset);
        if row.len > most {
            let damage = Damage::TooLarge { of: "length of a section", found: row.len, most };
            return Err(self.corrupt(row.offset, damage));
        }
        let bytes = self.read(end, row.offset - end, "section header")?;
        let header_offset = row.offset - header_len;
        let split = bytes.len().saturating_sub(SnapshotSectionHeader::SIZE);
        let (zeros, header) = bytes.split_at(split);
        self.zeros(end, zeros)?;
        let header = SnapshotSectionHeader::from_bytes(header)
            .map_err(|damage| self.corrupt(header_offset, damage))?;
        if header.primitive_type != row.type_id {
            let (found, expected) = (header.primitive_type.into(), row.type_id.into());
            let damage = Damage::Value { of: "type ID of a section", found, expected };
            return Err(self.corrupt(header_offset, damage));
        }
        if header.length != row.len {
            let (found, expected) = (header.length, row.len);
            let damage = Damage::Value { of: "length of a section", found, expected };
            return Err(self.corrupt(header_offset, damage));
        }
        Ok(())
    }

    fn zeros(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Cursor::new(bytes)
            .zeros(bytes.len(), "padding between sections")
            .map_err(|damage| self.corrupt(offset, damage))
    }

    /// The engine's own state.
    pub(super) fn core(&self, core: &Section, header: &SnapshotHeader) -> Result<SnapshotMeta> {
        if core.version() > CORE_SECTION_VERSION {
            return Err(Error::Version {
                place: format!("{}: core section", self.path.display()).into(),
                found: core.version().into(),
                supported: CORE_SECTION_VERSION.into(),
            });
        }
        let (row, others) = match core.instances() {
            [row, others @ ..] if others.is_empty() || header.kind != FileKind::Snapshot => {
                (row, others)
            }
            instances => {
                let (found, expected) = (instances.len() as u64, 1);
                let damage = Damage::Value { of: "instance count of the core", found, expected };
                return Err(self.corrupt(core.offset(), damage));
            }
        };
        if others.iter().any(|other| other.row_count > 0 || other.base.is_some()) {
            let damage = Damage::Undecodable { of: "instance of the core" };
            return Err(self.corrupt(core.offset(), damage));
        }
        let blocks = self.instance(core, row)?;
        core_meta(row, &blocks, header).map_err(|damage| self.corrupt(core.offset(), damage))
    }

    /// Reads one instance and checks each of its blocks.
    pub(super) fn instance(&self, section: &Section, row: &InstanceRow) -> Result<OwnedBlocks> {
        let blocks = section.blocks_of(row);
        let first = blocks.first().map_or(0, |block| block.offset);
        let offset = section.offset() + first;
        let len = blocks.iter().map(|block| u64::from(block.len)).sum();
        let bytes = self.read(offset, len, "instance")?;
        OwnedBlocks::check(bytes, row, blocks)
            .map_err(|(at, damage)| self.corrupt(offset + at as u64, damage))
    }

    /// Points at the first bad block of a section.
    pub(super) fn check_blocks(&self, section: &Section) -> Result<()> {
        for row in section.blocks() {
            let offset = section.offset() + row.offset;
            let bytes = self.read(offset, row.len.into(), "block")?;
            check_block(&bytes, row).map_err(|damage| self.corrupt(offset, damage))?;
        }
        Ok(())
    }

    /// Adds the bytes from `start` to `end` to a checksum.
    pub(super) fn hash(
        &self,
        hasher: &mut Hasher,
        start: u64,
        end: u64,
        progress: &mut impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; HASH_BYTES];
        let mut at = start;
        while at < end {
            let step = usize::try_from(end - at).map_or(HASH_BYTES, |left| left.min(HASH_BYTES));
            let bytes = buffer.get_mut(..step).unwrap_or_default();
            let count = self.read_into(bytes, at)?;
            if count < step {
                let (needed, left) = (step as u64, count as u64);
                return Err(self.corrupt(at, Damage::Truncated { of: "snapshot", needed, left }));
            }
            hasher.update(bytes);
            at += step as u64;
            progress(at)?;
        }
        Ok(())
    }
}

/// Checks a block by itself, and that it is the one the index names.
pub(super) fn check_block<'b>(bytes: &'b [u8], row: &BlockRow) -> Result<Block<'b>, Damage> {
    let block = Block::decode(bytes)?;
    row.check(&block.head)?;
    Ok(block)
}

/// Decodes section 0.
fn core_meta(
    row: &InstanceRow,
    blocks: &OwnedBlocks,
    header: &SnapshotHeader,
) -> Result<SnapshotMeta, Damage> {
    if row.run != RunId::ROOT || row.carried_count != 0 {
        return Err(Damage::Undecodable { of: "instance of the core" });
    }
    let mut catalog = None;
    let mut runs = Vec::new();
    let mut next_run = None;
    for (table, row) in blocks.rows() {
        let row = row?;
        match table {
            core_table::CATALOG if catalog.is_none() => {
                let mut cursor = Cursor::new(row);
                catalog = Some(Catalog::decode(&mut cursor)?);
                cursor.end("catalog")?;
            }
            core_table::RUNS => runs.push(RunRow::decode(row)?),
            core_table::NEXT_RUN if next_run.is_none() => {
                let mut cursor = Cursor::new(row);
                let next = cursor.u64("next run")?;
                next_run = Some((next, Lsn(cursor.u64("last LSN of the root")?)));
                cursor.end("next run")?;
            }
            _ => return Err(Damage::Undecodable { of: "table of the core" }),
        }
    }
    let next_run = next_run.ok_or(Damage::Undecodable { of: "core without a next run" })?;
    let (next_run, root_last_lsn) = next_run;
    let meta = SnapshotMeta {
        kind: header.kind,
        first_lsn: header.first_lsn,
        database: header.database,
        epoch: header.epoch,
        lsn: header.lsn,
        timestamp: header.timestamp,
        chain: header.chain,
        catalog: catalog.ok_or(Damage::Undecodable { of: "core without a catalog" })?,
        runs,
        next_run,
        root_last_lsn,
    };
    meta.check_runs()?;
    Ok(meta)
}
