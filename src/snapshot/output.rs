//! The snapshot's file while it is written: one buffer, running checksums.
//!
//! - Bytes reach the file in order, about a MiB at a time; only a section's header is written after
//!   its data, since it says how long that is.
//! - When the disk is full the rest is only counted, so that the error can say how many bytes are
//!   needed.
//! - The checksum of the file is that of its bytes in order all the same: a section's own checksum
//!   is combined into it when the header is known.

use std::io;
use std::path::PathBuf;

use crc32fast::Hasher;

use crate::disk::{DiskRef, FileRef, OpenMode, write_all_at};
use crate::error::{Damage, Error, Result};
use crate::format::cursor::Put;
use crate::format::section::SnapshotSectionHeader;
use crate::format::snapshot::SECTION_ALIGN;

/// How many bytes are gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// The file, from its first byte on.
pub(super) struct Output {
    file: FileRef,
    /// Below the database's directory.
    path: PathBuf,
    /// Where a person finds it.
    full_path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes before those in the buffer.
    written: u64,
    /// The disk had no space for some of it.
    is_full: bool,
    /// Of everything before the open section's header.
    crc: Hasher,
    /// Of the open section's data.
    section_crc: Option<Hasher>,
}

impl Output {
    /// Makes the file. What an earlier attempt left under its name is removed: only one snapshot is
    /// written at a time, so nobody is at it.
    pub(super) fn create(disk: &DiskRef, path: PathBuf) -> Result<Output> {
        let full_path = disk.full_path(&path);
        let opened = match disk.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&path).map_err(|error| Error::io("remove", &full_path, error))?;
                disk.open(&path, OpenMode::CreateNew)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| Error::io("create", &full_path, error))?;
        let buffer = Vec::with_capacity(WRITE_BYTES);
        let crc = Hasher::new();
        Ok(Output {
            file,
            path,
            full_path,
            buffer,
            written: 0,
            is_full: false,
            crc,
            section_crc: None,
        })
    }

    /// What was given cannot stand at this place: it would be refused when it is read.
    pub(super) fn refusal(&self, damage: Damage) -> Error {
        Error::corrupt(&self.path, self.offset(), damage)
    }

    /// Where the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The checksum of everything so far, while no section is open.
    pub(super) fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.section_crc.as_mut().unwrap_or(&mut self.crc).update(bytes);
        self.append(bytes)
    }

    /// Zeros up to the next multiple of `align`.
    pub(super) fn align(&mut self, align: u64) -> Result<()> {
        let zeros = self.offset().next_multiple_of(align) - self.offset();
        self.put(&vec![0; usize::try_from(zeros).unwrap_or_default()])
    }

    /// Leaves room for the section's header, such that its data starts aligned. What is put from
    /// here on is data.
    pub(super) fn begin_section(&mut self) -> Result<u64> {
        let header_len = SnapshotSectionHeader::SIZE as u64;
        let data = (self.offset() + header_len).next_multiple_of(SECTION_ALIGN);
        let zeros = data - header_len - self.offset();
        self.put(&vec![0; usize::try_from(zeros).unwrap_or_default()])?;
        self.append(&[0; SnapshotSectionHeader::SIZE])?;
        self.section_crc = Some(Hasher::new());
        Ok(data)
    }

    /// Writes the header of the open section, whose data starts at `data`, and gives the checksum
    /// of the data.
    pub(super) fn end_section(&mut self, data: u64, type_id: u8) -> Result<u32> {
        let header =
            SnapshotSectionHeader { primitive_type: type_id, length: self.offset() - data };
        let header = header.to_bytes();
        self.flush()?;
        let header_offset = data - header.len() as u64;
        self.write(&header, header_offset)?;
        self.crc.update(&header);
        let section_crc = self.section_crc.take().unwrap_or_default();
        self.crc.combine(&section_crc);
        Ok(section_crc.finalize())
    }

    /// Makes everything durable, and says how long the file is.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] with the bytes of the whole file, if not all of it could be written.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        if self.is_full {
            return Err(Error::NoSpace { path: self.full_path.into(), needed: self.written });
        }
        self.file.sync().map_err(|error| Error::io("sync", &self.full_path, error))?;
        Ok(self.written)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > WRITE_BYTES {
            self.flush()?;
        }
        if bytes.len() > WRITE_BYTES {
            // One long row: copying it once more would double what it takes.
            self.write(bytes, self.written)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.put_bytes(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            self.write(&buffer, self.written)?;
            self.written += buffer.len() as u64;
            buffer.clear();
            self.buffer = buffer;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        if self.is_full {
            return Ok(());
        }
        let written = write_all_at(&*self.file, bytes, offset);
        match written.map_err(|error| Error::io("write", &self.full_path, error)) {
            Err(Error::NoSpace { .. }) => {
                self.is_full = true;
                Ok(())
            }
            written => written,
        }
    }
}
