//! Writing a snapshot, section by section and row by row.
//!
//! - Sections come by type ID, instances by run, each once; what comes out of order is refused, so
//!   that no snapshot is installed that could not be read.
//! - A section without instances, and an instance without rows, leave nothing in the file.
//! - Until the rename there is only a temporary file, and it is removed when anything fails.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::names::{Place, sync};
use super::output::Output;
use super::{RawInstance, SnapshotMeta, WrittenSnapshot};
use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::block::{Block, BlockBuilder, BlockHead, BlockKind, ROW_BYTES_MAX};
use crate::format::cursor::Put;
use crate::format::section::{Base, BlockRow, InstanceRow, SectionIndex, SectionRow};
use crate::format::snapshot::{
    CORE_SECTION_VERSION, CORE_TYPE_ID, FOOTER_ALIGN, SnapshotHeader, TRAILER_LEN, Trailer,
    core_table,
};
use crate::format::version::Features;
use crate::id::RunId;
use crate::primitive::RowSink;

/// Writes a snapshot and puts it in its place. `sections` gives the primitives' sections;
/// `before_rename` must return only when every record that the snapshot covers is synced.
pub(crate) fn write(
    disk: &DiskRef,
    meta: &SnapshotMeta,
    sections: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>,
    before_rename: impl FnOnce() -> Result<()>,
) -> Result<WrittenSnapshot> {
    let place = Place::of_snapshot(meta.lsn);
    install(disk, &place, meta, |_| Ok(()), sections, before_rename)
}

/// Writes a file with entries of runs and puts it in its place. `core` gives the core's entries of each
/// run, `sections` the primitives' sections.
pub(crate) fn write_entries(
    disk: &DiskRef,
    place: &Place,
    meta: &SnapshotMeta,
    core: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>,
    sections: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>,
) -> Result<WrittenSnapshot> {
    install(disk, place, meta, core, sections, || Ok(()))
}

fn install(
    disk: &DiskRef,
    place: &Place,
    meta: &SnapshotMeta,
    core: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>,
    sections: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>,
    before_rename: impl FnOnce() -> Result<()>,
) -> Result<WrittenSnapshot> {
    let Place { directory, path, temp } = place;
    let write = || {
        let mut writer = SnapshotWriter::create(disk, temp.clone(), meta)?;
        writer.core(core)?;
        sections(&mut writer)?;
        writer.finish()
    };
    let installed = write().and_then(|bytes| {
        before_rename()?;
        disk.rename(temp, path)
            .map_err(|error| Error::io("rename", &disk.full_path(temp), error))?;
        Ok(bytes)
    });
    match installed {
        Ok(bytes) => {
            sync(disk, directory)?;
            Ok(WrittenSnapshot { file: path.clone(), bytes })
        }
        Err(error) => {
            // What stays behind is never read, and the next opening removes it; what went wrong
            // first is what the caller must learn.
            let _ = disk.remove(temp);
            Err(error)
        }
    }
}

/// Takes the sections of a snapshot, in the order of their type IDs.
pub(crate) struct SnapshotWriter<'m> {
    output: Output,
    meta: &'m SnapshotMeta,
    /// The header's own checksum, which the trailer repeats.
    header_crc: u32,
    builder: BlockBuilder,
    /// Those that are closed.
    sections: Vec<SectionRow>,
    open: Option<OpenSection>,
}

/// A section that instances are added to.
struct OpenSection {
    type_id: u8,
    version: u32,
    /// Where its data starts, once it has any.
    offset: Option<u64>,
    index: SectionIndex,
    /// Of each instance, those of its bases counted.
    rows: HashMap<RunId, u64>,
}

impl<'m> SnapshotWriter<'m> {
    fn create(disk: &DiskRef, temp: PathBuf, meta: &'m SnapshotMeta) -> Result<SnapshotWriter<'m>> {
        let mut output = Output::create(disk, temp)?;
        let header = SnapshotHeader {
            kind: meta.kind,
            first_lsn: meta.first_lsn,
            features: Features::default(),
            database: meta.database,
            lsn: meta.lsn,
            timestamp: meta.timestamp,
            chain: meta.chain,
            epoch: meta.epoch,
        };
        let header = header.encode();
        output.put(&header)?;
        Ok(SnapshotWriter {
            output,
            meta,
            header_crc: header.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc)),
            builder: BlockBuilder::new(),
            sections: Vec::new(),
            open: None,
        })
    }

    /// Writes section 0.
    fn core(&mut self, others: impl FnOnce(&mut SnapshotWriter<'m>) -> Result<()>) -> Result<()> {
        let meta = self.meta;
        meta.check_runs().map_err(|damage| self.output.refusal(damage))?;
        self.open = Some(OpenSection::new(CORE_TYPE_ID, CORE_SECTION_VERSION));
        self.instance(RunId::ROOT, |sink| {
            let mut row = Vec::new();
            meta.catalog.encode(&mut row);
            sink.row(core_table::CATALOG, &row)?;
            for run in &meta.runs {
                row.clear();
                run.encode(&mut row);
                sink.row(core_table::RUNS, &row)?;
            }
            row.clear();
            row.put_u64(meta.next_run);
            row.put_u64(meta.root_last_lsn.0);
            sink.row(core_table::NEXT_RUN, &row)
        })?;
        others(self)?;
        self.end_section()
    }

    /// Begins the section of a primitive; `section_version` is that of the instances written by
    /// [`instance`](SnapshotWriter::instance).
    pub(crate) fn begin_section(&mut self, type_id: u8, section_version: u32) -> Result<()> {
        if let Some(open) = &self.open {
            let (found, expected) = (u64::from(type_id), open.type_id.into());
            return Err(self.output.refusal(Damage::Misplaced { of: "section", found, expected }));
        }
        if let Some(last) = self.sections.last()
            && type_id <= last.type_id
        {
            let (found, expected) = (type_id.into(), u64::from(last.type_id) + 1);
            return Err(self.output.refusal(Damage::Misplaced { of: "section", found, expected }));
        }
        self.open = Some(OpenSection::new(type_id, section_version));
        Ok(())
    }

    /// Writes the instance of `run`: `rows` gives its rows, table by table.
    pub(crate) fn instance(
        &mut self,
        run: RunId,
        rows: impl FnOnce(&mut dyn RowSink) -> Result<()>,
    ) -> Result<()> {
        let mut instance = self.begin_instance(run, None, None)?;
        rows(&mut instance)?;
        instance.end()
    }

    /// Writes the instance of `run` as changes to that of `base`, which was written before. `changes`
    /// gives rows that say what differs, or says that it cannot: then nothing is written.
    pub(crate) fn changed_instance(
        &mut self,
        run: RunId,
        base: RunId,
        changes: impl FnOnce(&mut dyn RowSink) -> Result<bool>,
    ) -> Result<bool> {
        let mut instance = self.begin_instance(run, None, Some(Base { run: base, carried: 0 }))?;
        if changes(&mut instance)? {
            return instance.end().map(|()| true);
        }
        if instance.row.row_block_count == 0 && instance.builder.is_empty() {
            return Ok(false);
        }
        let damage = Damage::Undecodable { of: "rows of changes that cannot be written" };
        Err(instance.output.refusal(damage))
    }

    /// How many rows the instance of `run` has in the open section, those of its bases counted, if it was
    /// written.
    pub(crate) fn rows_of(&self, run: RunId) -> Option<u64> {
        let open = self.open.as_ref()?;
        open.rows.get(&run).copied()
    }

    /// Writes an instance of a primitive that is not linked: its rows byte for byte, and what was
    /// carried besides.
    pub(crate) fn raw_instance(&mut self, raw: &RawInstance) -> Result<()> {
        let mut instance = self.begin_instance(raw.run, Some(raw.section_version), raw.base)?;
        for block in &raw.blocks {
            instance.raw_block(block.table, &block.bytes)?;
        }
        for entry in &raw.carried {
            let row = entry.as_row();
            instance.make_room(BlockKind::Carried, 0, row.row_len())?;
            instance.builder.push_carried(&row);
        }
        instance.end()
    }

    /// Closes the section.
    pub(crate) fn end_section(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            let damage = Damage::Undecodable { of: "end of a section that was not begun" };
            return Err(self.output.refusal(damage));
        };
        let Some(offset) = open.offset else {
            return Ok(());
        };
        let index = open.index.encode();
        self.output.put(&index)?;
        let len = self.output.offset() - offset;
        let crc = self.output.end_section(offset, open.type_id)?;
        self.sections.push(SectionRow {
            type_id: open.type_id,
            version: open.version,
            offset,
            len,
            block_count: open.index.blocks.len() as u64,
            instance_count: open.index.instances.len() as u64,
            crc,
            index_crc: crc32fast::hash(&index),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        if let Some(open) = &self.open {
            let (found, expected) = (self.sections.len() as u64, open.type_id.into());
            return Err(self.output.refusal(Damage::Misplaced {
                of: "end of sections",
                found,
                expected,
            }));
        }
        self.output.align(FOOTER_ALIGN)?;
        let footer_offset = self.output.offset();
        let mut footer = Vec::new();
        for section in &self.sections {
            section.encode(&mut footer);
        }
        self.output.put(&footer)?;
        let trailer = Trailer {
            file_len: self.output.offset() + TRAILER_LEN as u64,
            footer_offset,
            // At most one for each type ID.
            section_count: u32::try_from(self.sections.len()).unwrap_or(u32::MAX),
            footer_crc: crc32fast::hash(&footer),
            header_crc: self.header_crc,
            file_crc: self.output.crc(),
        };
        self.output.put(&trailer.encode())?;
        self.output.finish()
    }

    fn begin_instance(
        &mut self,
        run: RunId,
        version: Option<u32>,
        base: Option<Base>,
    ) -> Result<InstanceWriter<'_>> {
        let Some(open) = &mut self.open else {
            let damage = Damage::Undecodable { of: "instance outside every section" };
            return Err(self.output.refusal(damage));
        };
        if let Some(last) = open.index.instances.last()
            && run <= last.run
        {
            let (found, expected) = (run.0, last.run.0.saturating_add(1));
            return Err(self.output.refusal(Damage::Misplaced { of: "instance", found, expected }));
        }
        if !self.meta.has_run(run) {
            let (found, most) = (run.0, self.meta.next_run.saturating_sub(1));
            return Err(self.output.refusal(Damage::TooLarge {
                of: "run of an instance",
                found,
                most,
            }));
        }
        let row = InstanceRow {
            run,
            section_version: version.unwrap_or(open.version),
            base,
            first_block: open.index.blocks.len() as u64,
            row_block_count: 0,
            carried_block_count: 0,
            row_count: 0,
            carried_count: 0,
        };
        self.builder.clear();
        Ok(InstanceWriter {
            output: &mut self.output,
            builder: &mut self.builder,
            section: open,
            row,
            tables: BTreeSet::new(),
            last_table: None,
        })
    }
}

impl OpenSection {
    fn new(type_id: u8, version: u32) -> OpenSection {
        OpenSection {
            type_id,
            version,
            offset: None,
            index: SectionIndex::default(),
            rows: HashMap::new(),
        }
    }
}

/// Takes the rows of one instance.
struct InstanceWriter<'w> {
    output: &'w mut Output,
    /// The block that rows go to.
    builder: &'w mut BlockBuilder,
    section: &'w mut OpenSection,
    row: InstanceRow,
    /// Those that have a row.
    tables: BTreeSet<u32>,
    last_table: Option<u32>,
}

impl RowSink for InstanceWriter<'_> {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        if row.len() > ROW_BYTES_MAX {
            let (found, most) = (row.len() as u64, ROW_BYTES_MAX as u64);
            return Err(Error::reject(Damage::TooLarge { of: "row", found, most }));
        }
        self.enter_table(table)?;
        self.make_room(BlockKind::Rows, table, row.len())?;
        self.builder.push(BlockKind::Rows, table, row);
        Ok(())
    }
}

impl InstanceWriter<'_> {
    /// A table whose rows came in two parts could not be read as one.
    fn enter_table(&mut self, table: u32) -> Result<()> {
        if self.last_table != Some(table) && !self.tables.insert(table) {
            let damage = Damage::Undecodable { of: "order of an instance's tables" };
            return Err(self.output.refusal(damage));
        }
        self.last_table = Some(table);
        Ok(())
    }

    /// Ends the block if it does not take a row of `row_len` bytes.
    fn make_room(&mut self, kind: BlockKind, table: u32, row_len: usize) -> Result<()> {
        if self.builder.takes(kind, table, row_len) { Ok(()) } else { self.end_block() }
    }

    fn end_block(&mut self) -> Result<()> {
        let (head, bytes) = self.builder.finish();
        put_block(self.output, self.section, &mut self.row, head, bytes)?;
        self.builder.clear();
        Ok(())
    }

    /// Writes a block that is whole already.
    fn raw_block(&mut self, table: u32, bytes: &[u8]) -> Result<()> {
        let head = Block::decode(bytes).map_err(|damage| self.output.refusal(damage))?.head;
        if head.kind != BlockKind::Rows || head.table != table || head.row_count == 0 {
            let damage = Damage::Undecodable { of: "head of a carried block" };
            return Err(self.output.refusal(damage));
        }
        self.enter_table(table)?;
        put_block(self.output, self.section, &mut self.row, head, bytes)
    }

    fn end(mut self) -> Result<()> {
        if !self.builder.is_empty() {
            self.end_block()?;
        }
        let of_base = self.row.base.and_then(|base| self.section.rows.get(&base.run)).copied();
        let rows = self.row.row_count.saturating_add(of_base.unwrap_or(0));
        let has_block = self.row.row_block_count + self.row.carried_block_count > 0;
        if has_block || self.row.base.is_some() {
            self.section.rows.insert(self.row.run, rows);
            self.section.index.instances.push(self.row);
        }
        Ok(())
    }
}

/// Writes one block, and enters it into the section's index and the instance's counts.
fn put_block(
    output: &mut Output,
    section: &mut OpenSection,
    row: &mut InstanceRow,
    head: BlockHead,
    bytes: &[u8],
) -> Result<()> {
    let start = match section.offset {
        Some(start) => start,
        None => *section.offset.insert(output.begin_section()?),
    };
    section.index.blocks.push(BlockRow {
        offset: output.offset() - start,
        len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        row_count: head.row_count,
        table: head.table,
        crc: head.crc,
        kind: head.kind,
    });
    match head.kind {
        BlockKind::Rows => {
            row.row_block_count += 1;
            row.row_count += u64::from(head.row_count);
        }
        BlockKind::Carried => {
            row.carried_block_count += 1;
            row.carried_count += u64::from(head.row_count);
        }
    }
    output.put(bytes)
}
