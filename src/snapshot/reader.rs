//! Reading a snapshot: what it has first, then any instance alone.
//!
//! - Opening reads header, trailer, footer table, the index of each section and section 0, and
//!   compares everything between the sections with what it must be. So opening and reading every
//!   instance sees every byte of the file.
//! - An instance is read with one read, and each block's checksum and rows are checked before a row
//!   is handed out.
//! - Nothing is allocated for a length before it was found to fit into the file.

use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use super::instance::OwnedBlocks;
use super::names::snapshot_path;
use super::source::Source;
use super::{RawInstance, SnapshotMeta};
use crate::disk::{DiskRef, FileRef, OpenMode};
use crate::error::{Damage, Error, Result};
use crate::format::cursor::Cursor;
use crate::format::section::{BlockRow, InstanceRow, SectionIndex, SectionRow};
use crate::format::snapshot::{
    CORE_TYPE_ID, FileKind, HEADER_LEN, SnapshotHeader, TRAILER_LEN, Trailer,
};
use crate::format::version::{Features, HEADER_BYTES_MAX};
use crate::id::Lsn;

/// A snapshot that is open to read.
pub(crate) struct SnapshotFile {
    file: FileRef,
    /// Below the database's directory.
    path: PathBuf,
    /// Where a person finds it.
    full_path: PathBuf,
    len: u64,
    features: Features,
    meta: SnapshotMeta,
    file_crc: u32,
    core: Section,
    sections: Vec<Section>,
}

/// One primitive's section: what it has, not the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    row: SectionRow,
    index: SectionIndex,
}

impl Section {
    pub(super) fn new(row: SectionRow, index: SectionIndex) -> Section {
        Section { row, index }
    }

    /// The primitive's type ID.
    pub(crate) fn type_id(&self) -> u8 {
        self.row.type_id
    }

    /// The section version of the writer; each instance has its own, for it may be older.
    pub(crate) fn version(&self) -> u32 {
        self.row.version
    }

    /// The instances, by run.
    pub(crate) fn instances(&self) -> &[InstanceRow] {
        &self.index.instances
    }

    /// Of its data, from the start of the file.
    pub(crate) fn offset(&self) -> u64 {
        self.row.offset
    }

    /// All blocks, in the order of the file.
    pub(super) fn blocks(&self) -> &[BlockRow] {
        &self.index.blocks
    }

    /// How many bytes an instance takes in the file.
    pub(crate) fn bytes_of(&self, row: &InstanceRow) -> u64 {
        self.blocks_of(row).iter().map(|block| u64::from(block.len)).sum()
    }

    /// The blocks of one instance, in the order of the file; none for a row of another section.
    pub(super) fn blocks_of(&self, row: &InstanceRow) -> &[BlockRow] {
        self.index.blocks_of(row).unwrap_or_default()
    }
}

impl SnapshotFile {
    /// Opens the snapshot that is named for `lsn`.
    pub(crate) fn open(disk: &DiskRef, lsn: Lsn) -> Result<SnapshotFile> {
        let file = SnapshotFile::open_kind(disk, snapshot_path(lsn), FileKind::Snapshot)?;
        if file.meta.lsn != lsn {
            let (found, expected) = (file.meta.lsn.0, lsn.0);
            let damage = Damage::Misplaced { of: "snapshot", found, expected };
            return Err(file.source().corrupt(0, damage));
        }
        Ok(file)
    }

    /// Opens a file of the same make, whatever its name says.
    pub(crate) fn open_kind(disk: &DiskRef, path: PathBuf, kind: FileKind) -> Result<SnapshotFile> {
        let full_path = disk.full_path(&path);
        let file = disk
            .open(&path, OpenMode::Read)
            .map_err(|error| Error::io("open", &full_path, error))?;
        let len = file.size().map_err(|error| Error::io("stat", &full_path, error))?;
        let source = Source { file: &*file, path: &path, full_path: &full_path, len };

        let needed = (HEADER_LEN + TRAILER_LEN) as u64;
        if len < needed {
            return Err(source.corrupt(0, Damage::Truncated { of: "snapshot", needed, left: len }));
        }
        let header = source.read(0, len.min(HEADER_BYTES_MAX as u64), "snapshot header")?;
        let (header, header_len, header_crc) =
            SnapshotHeader::decode(&header, kind).map_err(|error| error.into_error(&path))?;
        let trailer_offset = len - TRAILER_LEN as u64;
        let trailer = source.read(trailer_offset, TRAILER_LEN as u64, "trailer")?;
        let trailer = Cursor::new(&trailer)
            .array("trailer")
            .and_then(|bytes| Trailer::decode(&bytes, len))
            .and_then(|trailer| match (header_crc, trailer.header_crc) {
                (found, expected) if found == expected => Ok(trailer),
                (found, expected) => {
                    Err(Damage::Checksum { of: "header, by the trailer,", found, expected })
                }
            })
            .map_err(|damage| source.corrupt(trailer_offset, damage))?;

        let rows = source.footer(&trailer, trailer_offset)?;
        let mut sections = source.sections(&rows, header_len as u64, trailer.footer_offset)?;
        if sections.first().is_none_or(|first| first.type_id() != CORE_TYPE_ID) {
            let damage = Damage::Undecodable { of: "first section, which must be the core's" };
            return Err(source.corrupt(trailer.footer_offset, damage));
        }
        let core = sections.remove(0);
        let meta = source.core(&core, &header)?;
        for section in &sections {
            if let Some(row) = section.instances().iter().find(|row| !meta.has_run(row.run)) {
                let (found, most) = (row.run.0, meta.next_run.saturating_sub(1));
                let damage = Damage::TooLarge { of: "run of an instance", found, most };
                return Err(source.corrupt(section.row.offset, damage));
            }
        }
        let (features, file_crc) = (header.features, trailer.file_crc);
        Ok(SnapshotFile { file, path, full_path, len, features, meta, file_crc, core, sections })
    }

    /// What it says besides the primitives' sections.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// What the file uses beyond the version's basis. Bits that forbid reading are none of these.
    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// Below the database's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The engine's own section.
    pub(crate) fn core(&self) -> &Section {
        &self.core
    }

    /// The primitives' sections, by type ID.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Reads and checks one instance.
    pub(crate) fn read_instance(
        &self,
        section: &Section,
        row: &InstanceRow,
    ) -> Result<OwnedBlocks> {
        self.source().instance(section, row)
    }

    /// Reads and checks one instance, to be carried on as it is.
    pub(crate) fn raw_instance(&self, section: &Section, row: &InstanceRow) -> Result<RawInstance> {
        Ok(self.read_instance(section, row)?.to_raw())
    }

    /// Compares the whole file with its checksums, without the rows' being read.
    pub(crate) fn verify_whole(&self) -> Result<()> {
        self.verify_whole_with(|_| Ok(()))
    }

    /// The same; `progress` is told how many bytes were checked, and its error ends the check.
    pub(crate) fn verify_whole_with(
        &self,
        mut progress: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let source = self.source();
        let mut whole = Hasher::new();
        let mut at = 0;
        for section in std::iter::once(&self.core).chain(&self.sections) {
            let SectionRow { offset, len, crc: expected, .. } = section.row;
            source.hash(&mut whole, at, offset, &mut progress)?;
            at = offset + len;
            let mut data = Hasher::new();
            source.hash(&mut data, offset, at, &mut progress)?;
            let found = data.clone().finalize();
            if found != expected {
                // A block is a better place to point at than a section of many.
                source.check_blocks(section)?;
                let damage = Damage::Checksum { of: "section", found, expected };
                return Err(source.corrupt(offset, damage));
            }
            whole.combine(&data);
        }
        source.hash(&mut whole, at, self.len - TRAILER_LEN as u64, &mut progress)?;
        match (whole.finalize(), self.file_crc) {
            (found, expected) if found == expected => Ok(()),
            (found, expected) => {
                Err(source.corrupt(0, Damage::Checksum { of: "snapshot", found, expected }))
            }
        }
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source { file: &*self.file, path: &self.path, full_path: &self.full_path, len: self.len }
    }
}
