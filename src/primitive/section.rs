//! A primitive's section of a snapshot: tables of rows, written and read one row at a time.
//!
//! - A field is a table, tagged by a hash of its name; a collection has a row for each element,
//!   everything else one row.
//! - Tables come in the order of the fields, each once; rows in the order of the collection. So the
//!   same state gives the same rows.
//! - A table that no field of this build has is refused: to ignore it would be to lose it.

use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Serialize};

use super::stored::{self, Encoder, Stored, Undecodable, Wire};
use crate::error::{Damage, Error, Reason, Result};
use crate::format::block;

/// The table of [`SectionWriter::bytes`].
const BYTES_TABLE: u32 = 0;

/// How long the rows are into which [`SectionWriter::bytes`] cuts.
const BYTES_ROW_LEN: usize = 32 * 1024;

/// Where rows go.
pub trait RowSink {
    /// Takes one row. All rows of a table come one after another.
    ///
    /// # Errors
    ///
    /// The disk refuses, or the row is too long.
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()>;
}

/// Writes the state of one instance.
pub struct SectionWriter<'a> {
    sink: &'a mut dyn RowSink,
    buffer: AlignedVec,
    arena: Arena,
}

impl<'a> SectionWriter<'a> {
    /// A writer whose rows go to `sink`.
    pub fn new(sink: &'a mut dyn RowSink) -> SectionWriter<'a> {
        SectionWriter { sink, buffer: AlignedVec::new(), arena: Arena::new() }
    }

    /// Writes bytes as they are, for a primitive that has its own codec. Once an instance, and
    /// nothing else then.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            // An empty row tells "nothing in it" from "never written".
            return self.sink.row(BYTES_TABLE, bytes);
        }
        bytes.chunks(BYTES_ROW_LEN).try_for_each(|row| self.sink.row(BYTES_TABLE, row))
    }

    /// Writes a field. `tag` tells its table from those of the other fields.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn field<T: Stored>(&mut self, tag: u32, value: &T) -> Result<()> {
        value.save(&mut TableWriter { section: self, tag })
    }
}

/// Writes the rows of one table.
pub struct TableWriter<'s, 'a> {
    section: &'s mut SectionWriter<'a>,
    tag: u32,
}

impl TableWriter<'_, '_> {
    /// Writes one row.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn row<T: Stored>(&mut self, value: &T) -> Result<()> {
        self.encode(&Wire(value))
    }

    /// Writes anything that rkyv can encode here as one row.
    #[doc(hidden)]
    pub fn encode<T: Archive + for<'e> Serialize<Encoder<'e>>>(&mut self, value: &T) -> Result<()> {
        let SectionWriter { sink, buffer, arena } = &mut *self.section;
        buffer.clear();
        stored::append(value, buffer, arena, block::ROW_BYTES_MAX).map_err(|_| {
            let most = block::ROW_BYTES_MAX as u64;
            Error::reject(Damage::TooLarge { of: "row", found: most.saturating_add(1), most })
        })?;
        sink.row(self.tag, buffer)
    }
}

/// One table of a section, as it was read: checked blocks of rows, aligned to 8.
#[derive(Clone, Debug, Default)]
pub struct TableRows<'a> {
    /// Which table.
    pub tag: u32,
    /// The blocks' payloads, in order.
    pub blocks: Vec<&'a [u8]>,
}

/// Reads the state of one instance.
pub struct SectionReader<'a> {
    tables: &'a [TableRows<'a>],
    taken: Vec<bool>,
}

impl<'a> SectionReader<'a> {
    /// A reader of these tables.
    #[must_use]
    pub fn new(tables: &'a [TableRows<'a>]) -> SectionReader<'a> {
        SectionReader { tables, taken: vec![false; tables.len()] }
    }

    /// The bytes that [`SectionWriter::bytes`] wrote.
    ///
    /// # Errors
    ///
    /// There are none: the section was written by fields.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Reason> {
        let rows = self.take(BYTES_TABLE).ok_or(Undecodable)?;
        let mut bytes = Vec::new();
        for row in rows {
            bytes.extend_from_slice(row?);
        }
        Ok(bytes)
    }

    /// Reads a field that [`SectionWriter::field`] wrote. `None` if the section has no such table
    /// and `T` is no collection: the field is younger than the snapshot.
    ///
    /// # Errors
    ///
    /// The rows are not of this type.
    pub fn field<T: Stored>(&mut self, tag: u32) -> Result<Option<T::Loaded<'a>>, Reason> {
        let mut rows = match self.take(tag) {
            Some(rows) => rows,
            None if T::ROWS => Rows::none(),
            None => return Ok(None),
        };
        let value = T::restore(&mut rows)?;
        if rows.next().is_some() {
            return Err(Undecodable.into());
        }
        Ok(Some(value))
    }

    /// Says that all fields were read.
    ///
    /// # Errors
    ///
    /// [`UnknownTable`]: there is a table that none of them is.
    pub fn finish(&mut self) -> Result<(), Reason> {
        for (table, taken) in self.tables.iter().zip(&self.taken) {
            if !taken {
                return Err(UnknownTable { tag: table.tag }.into());
            }
        }
        Ok(())
    }

    /// Reads a field that older sections have and this build turns into another. `None` if this one
    /// does not have it.
    ///
    /// # Errors
    ///
    /// The rows are not of this type.
    pub fn former_field<T: Stored>(&mut self, tag: u32) -> Result<Option<T::Loaded<'a>>, Reason> {
        if self.tables.iter().all(|table| table.tag != tag) {
            return Ok(None);
        }
        self.field::<T>(tag)
    }

    /// Gives up what older sections have in this table.
    pub fn drop_table(&mut self, tag: u32) {
        let _ = self.take(tag);
    }

    fn take(&mut self, tag: u32) -> Option<Rows<'a>> {
        let (table, taken) = self
            .tables
            .iter()
            .zip(&mut self.taken)
            .find(|(table, taken)| table.tag == tag && !**taken)?;
        *taken = true;
        Some(Rows { blocks: table.blocks.iter(), current: block::Rows::new(&[]) })
    }
}

/// A section has a table that is no field of the primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the section has a table {tag:#010x} that is no field of this build: \
     a field was removed or renamed; for a new name write `#[field(was = \"..\")]`, to give up what \
     is in it `dropped = [\"..\"]`"
)]
pub struct UnknownTable {
    /// The hash of the field's name.
    pub tag: u32,
}

/// The rows of one table.
pub struct Rows<'a> {
    blocks: std::slice::Iter<'a, &'a [u8]>,
    current: block::Rows<'a>,
}

impl<'a> Rows<'a> {
    fn none() -> Rows<'a> {
        Rows { blocks: [].iter(), current: block::Rows::new(&[]) }
    }

    /// The next row, which must be there.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn only(&mut self) -> Result<&'a [u8], Undecodable> {
        self.next().unwrap_or(Err(Undecodable))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<&'a [u8], Undecodable>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.current.next() {
                return Some(row.map_err(|_| Undecodable));
            }
            self.current = block::Rows::new(self.blocks.next()?);
        }
    }
}
