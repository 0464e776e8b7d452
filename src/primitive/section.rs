//! A primitive's section of a snapshot: tables of rows, written and read one row at a time.
//!
//! - A field is a table, tagged by a hash of its name; a collection has a row for each element,
//!   everything else one row.
//! - Tables come in the order of the fields, each once; rows in the order of the collection. So the
//!   same state gives the same rows.
//! - A table that no field of this build has is refused: to ignore it would be to lose it.
//! - A section may be written as changes to another one, the base: then a table holds what became of
//!   a field, and a field that did not change has none. A reader of layers reads the base first, and
//!   what is above it as changes.
//! - The same calls write and read rows as archives, or as JSON for an export; a primitive cannot
//!   tell which. Only where something exports is the second way compiled at all.

use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;

#[cfg(any(test, feature = "testing", feature = "cli"))]
use super::json::{Json, JsonWriter, Misfit};
use super::stored::{self, Stored, Undecodable, Wire};
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
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    json: Option<JsonWriter>,
}

impl<'a> SectionWriter<'a> {
    /// A writer whose rows go to `sink`.
    pub fn new(sink: &'a mut dyn RowSink) -> SectionWriter<'a> {
        SectionWriter {
            sink,
            buffer: AlignedVec::new(),
            arena: Arena::new(),
            #[cfg(any(test, feature = "testing", feature = "cli"))]
            json: None,
        }
    }

    /// A writer whose rows are JSON: what stands between the braces of an object.
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    pub(crate) fn of_json(sink: &'a mut dyn RowSink) -> SectionWriter<'a> {
        SectionWriter { json: Some(JsonWriter::new()), ..SectionWriter::new(sink) }
    }

    /// Writes bytes as they are, for a primitive that has its own codec. Once an instance, and
    /// nothing else then.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if self.json.is_some() {
            let mut table = self.table(BYTES_TABLE);
            // As many rows as below.
            let end = bytes.len().max(1);
            return (0..end).step_by(BYTES_ROW_LEN).try_for_each(|start| {
                table.row(&bytes.get(start..end.min(start + BYTES_ROW_LEN)).unwrap_or_default())
            });
        }
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
        value.save(&mut self.table(tag))
    }

    /// Writes what became of a field since `base`, nothing if it is the same.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn changes<T: Stored>(&mut self, tag: u32, value: &T, base: &T) -> Result<()> {
        value.save_changes(base, &mut self.table(tag))
    }

    pub(super) fn table(&mut self, tag: u32) -> TableWriter<'_, 'a> {
        TableWriter { section: self, tag }
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
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Some(json) = &mut self.section.json {
            json.clear();
            json.member(VALUE, value);
            return self.section.sink.row(self.tag, json.as_str().as_bytes());
        }
        self.archive(value)
    }

    /// Writes a pair of a map as one row.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn pair<K: Stored, V: Stored>(&mut self, key: &K, value: &V) -> Result<()> {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Some(json) = &mut self.section.json {
            json.clear();
            json.member(KEY, key);
            json.member(VALUE, value);
            return self.section.sink.row(self.tag, json.as_str().as_bytes());
        }
        self.archive(&(Wire(key), Wire(value)))
    }

    fn archive<T: Stored>(&mut self, value: &T) -> Result<()> {
        let SectionWriter { sink, buffer, arena, .. } = &mut *self.section;
        buffer.clear();
        stored::append(&Wire(value), buffer, arena, block::ROW_BYTES_MAX).map_err(|_| {
            let most = block::ROW_BYTES_MAX as u64;
            Error::reject(Damage::TooLarge { of: "row", found: most.saturating_add(1), most })
        })?;
        sink.row(self.tag, buffer)
    }
}

/// What a pair's key is called in JSON.
#[cfg(any(test, feature = "testing", feature = "cli"))]
const KEY: &str = "key";
/// What a row's value is called in JSON.
#[cfg(any(test, feature = "testing", feature = "cli"))]
const VALUE: &str = "value";

/// The value of a row, which has no key.
#[cfg(any(test, feature = "testing", feature = "cli"))]
fn value_of<'j, 't>(row: &'j Json<'t>) -> Result<&'j Json<'t>, Misfit> {
    row.fields(["primitive", "run", "field", VALUE]).map(|[_, _, _, value]| value)
}

/// The key and the value of a pair's row.
#[cfg(any(test, feature = "testing", feature = "cli"))]
fn pair_of<'j, 't>(row: &'j Json<'t>) -> Result<(&'j Json<'t>, &'j Json<'t>), Misfit> {
    row.fields(["primitive", "run", "field", KEY, VALUE]).map(|[_, _, _, key, value]| (key, value))
}

/// Where the rows of one instance come from that stand as JSON.
#[cfg(any(test, feature = "testing", feature = "cli"))]
pub(crate) trait JsonRows {
    /// Which tables there are.
    fn tables(&self) -> &[u32];

    /// Hands the next row of a table to `read`, if there is one more.
    fn next(
        &self,
        table: u32,
        read: &mut dyn FnMut(&Json<'_>) -> Result<(), Misfit>,
    ) -> Option<Result<(), Undecodable>>;

    /// Gives up what is left in a table.
    fn skip(&self, table: u32);

    /// Notes that the last row has an element or a key that another one has.
    fn twice(&self);
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
    /// The base, then changes, each to what is below.
    layers: Vec<Layer<'a>>,
}

/// Tables, and which of them were read.
struct Layer<'a> {
    tables: Tables<'a>,
    taken: Vec<bool>,
}

/// Tables, as they are held.
#[derive(Clone, Copy)]
enum Tables<'a> {
    Archived(&'a [TableRows<'a>]),
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    Json(&'a dyn JsonRows),
}

impl Tables<'_> {
    fn count(&self) -> usize {
        match self {
            Tables::Archived(tables) => tables.len(),
            #[cfg(any(test, feature = "testing", feature = "cli"))]
            Tables::Json(rows) => rows.tables().len(),
        }
    }

    fn tag(&self, at: usize) -> Option<u32> {
        match self {
            Tables::Archived(tables) => tables.get(at).map(|table| table.tag),
            #[cfg(any(test, feature = "testing", feature = "cli"))]
            Tables::Json(rows) => rows.tables().get(at).copied(),
        }
    }
}

impl<'a> SectionReader<'a> {
    /// A reader of these tables.
    #[must_use]
    pub fn new(tables: &'a [TableRows<'a>]) -> SectionReader<'a> {
        SectionReader::of(Tables::Archived(tables))
    }

    /// A reader of rows that stand as JSON.
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    pub(crate) fn of_json(rows: &'a dyn JsonRows) -> SectionReader<'a> {
        SectionReader::of(Tables::Json(rows))
    }

    /// A reader of a section that was written in parts: the first has all tables, each other one the
    /// changes to those below it. Every field is read as what it became in the end.
    #[must_use]
    pub fn layered(layers: &[&'a [TableRows<'a>]]) -> SectionReader<'a> {
        SectionReader {
            layers: layers.iter().map(|tables| Layer::of(Tables::Archived(tables))).collect(),
        }
    }

    fn of(tables: Tables<'a>) -> SectionReader<'a> {
        SectionReader { layers: vec![Layer::of(tables)] }
    }

    /// A reader of the changes that this one reads, on top of `base`.
    pub(super) fn on_top_of<'b>(&self, base: &'b [TableRows<'b>]) -> SectionReader<'b>
    where
        'a: 'b,
    {
        let above = self.layers.iter().map(|layer| Layer::of(layer.tables));
        let base = Layer::of(Tables::Archived(base));
        SectionReader { layers: std::iter::once(base).chain(above).collect() }
    }

    /// The bytes that [`SectionWriter::bytes`] wrote.
    ///
    /// # Errors
    ///
    /// There are none: the section was written by fields.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Reason> {
        let base = self.layers.first_mut().and_then(|layer| layer.take(BYTES_TABLE));
        let mut rows = base.ok_or(Undecodable)?;
        let mut bytes = Vec::new();
        while let Some(row) = rows.bytes() {
            bytes.extend_from_slice(&row?);
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
        let mut layers = self.layers.iter_mut().map(|layer| layer.take(tag));
        let base = match layers.next().flatten() {
            Some(rows) => Some(rows),
            None if T::ROWS => Some(Rows::none()),
            None => None,
        };
        let mut loaded = match base {
            Some(rows) => Some(rows.all(T::restore)?),
            None => None,
        };
        for rows in layers.flatten() {
            loaded = Some(match loaded {
                Some(mut value) => {
                    rows.all(|rows| T::restore_changes(&mut value, rows))?;
                    value
                }
                // What is no collection is written whole.
                None => rows.all(T::restore)?,
            });
        }
        Ok(loaded)
    }

    /// Reads what [`SectionWriter::changes`] wrote of a field, which is its base's value now.
    ///
    /// # Errors
    ///
    /// The rows are not of this type, or are changes to another base.
    pub fn changes<T: Stored>(
        &mut self,
        tag: u32,
        field: &mut T::Loaded<'a>,
    ) -> Result<(), Reason> {
        for rows in self.layers.iter_mut().filter_map(|layer| layer.take(tag)) {
            rows.all(|rows| T::restore_changes(field, rows))?;
        }
        Ok(())
    }

    /// Says that all fields were read.
    ///
    /// # Errors
    ///
    /// [`UnknownTable`]: there is a table that none of them is.
    pub fn finish(&mut self) -> Result<(), Reason> {
        match self.layers.iter().find_map(Layer::left) {
            Some(tag) => Err(UnknownTable { tag }.into()),
            None => Ok(()),
        }
    }

    /// Whether there is no table at all.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.iter().all(|layer| layer.tables.count() == 0)
    }

    /// Reads a field that older sections have and this build turns into another. `None` if this one
    /// does not have it.
    ///
    /// # Errors
    ///
    /// The rows are not of this type.
    pub fn former_field<T: Stored>(&mut self, tag: u32) -> Result<Option<T::Loaded<'a>>, Reason> {
        if self.layers.iter().all(|layer| !layer.has(tag)) {
            return Ok(None);
        }
        self.field::<T>(tag)
    }

    /// Gives up what older sections have in this table.
    pub fn drop_table(&mut self, tag: u32) {
        self.layers.iter_mut().filter_map(|layer| layer.take(tag)).for_each(Rows::skip);
    }
}

impl<'a> Layer<'a> {
    fn of(tables: Tables<'a>) -> Layer<'a> {
        Layer { taken: vec![false; tables.count()], tables }
    }

    fn has(&self, tag: u32) -> bool {
        (0..self.tables.count()).any(|at| self.tables.tag(at) == Some(tag))
    }

    /// A table that was not read.
    fn left(&self) -> Option<u32> {
        self.taken.iter().position(|taken| !taken).and_then(|at| self.tables.tag(at))
    }

    fn take(&mut self, tag: u32) -> Option<Rows<'a>> {
        let is_it =
            |at: &usize| self.tables.tag(*at) == Some(tag) && self.taken.get(*at) == Some(&false);
        let at = (0..self.tables.count()).find(is_it)?;
        *self.taken.get_mut(at)? = true;
        match self.tables {
            Tables::Archived(tables) => {
                let blocks = tables.get(at)?.blocks.iter();
                Some(Rows(Source::Blocks { blocks, current: block::Rows::new(&[]) }))
            }
            #[cfg(any(test, feature = "testing", feature = "cli"))]
            Tables::Json(rows) => Some(Rows(Source::Json { rows, table: tag })),
        }
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

/// What one more row holds, if there is one more.
type NextRow<T> = Option<Result<T, Undecodable>>;

/// The rows of one table.
pub struct Rows<'a>(Source<'a>);

/// Rows, as they are held.
enum Source<'a> {
    Blocks {
        blocks: std::slice::Iter<'a, &'a [u8]>,
        current: block::Rows<'a>,
    },
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    Json {
        rows: &'a dyn JsonRows,
        table: u32,
    },
}

impl<'a> Rows<'a> {
    fn none() -> Rows<'a> {
        Rows(Source::Blocks { blocks: [].iter(), current: block::Rows::new(&[]) })
    }

    /// The value in the next row, if there is one more.
    #[inline]
    pub fn value<T: Stored + ?Sized>(&mut self) -> NextRow<T::Loaded<'a>> {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { .. } = self.0 {
            return self.json(|row| T::from_json(value_of(row)?));
        }
        let row = self.archived()?;
        Some(row.and_then(|row| T::load(stored::access::<T>(row)?)))
    }

    /// The pair in the next row, if there is one more.
    #[inline]
    pub fn pair<K: Stored, V: Stored>(&mut self) -> NextRow<(K::Loaded<'a>, V::Loaded<'a>)> {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { .. } = self.0 {
            return self.json(|row| {
                let (key, value) = pair_of(row)?;
                Ok((K::from_json(key)?, V::from_json(value)?))
            });
        }
        let row = self.archived()?;
        Some(row.and_then(|row| <(K, V)>::load(stored::access::<(K, V)>(row)?)))
    }

    /// The value in the next row, which must be there.
    ///
    /// # Errors
    ///
    /// There is none, or it is of another type.
    pub fn only<T: Stored + ?Sized>(&mut self) -> Result<T::Loaded<'a>, Undecodable> {
        self.value::<T>().unwrap_or(Err(Undecodable))
    }

    /// What to return when the row that came last has an element or a key that another one has.
    #[must_use]
    pub fn twice(&self) -> Undecodable {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { rows, .. } = self.0 {
            rows.twice();
        }
        Undecodable
    }

    /// The bytes of the next row, if there is one more.
    fn bytes(&mut self) -> NextRow<std::borrow::Cow<'a, [u8]>> {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { .. } = self.0 {
            return self.json(|row| value_of(row)?.bytes().map(std::borrow::Cow::Owned));
        }
        Some(self.archived()?.map(std::borrow::Cow::Borrowed))
    }

    /// What `read` makes of the rows, which must be all of them.
    fn all<T>(
        mut self,
        read: impl FnOnce(&mut Rows<'a>) -> Result<T, Undecodable>,
    ) -> Result<T, Undecodable> {
        let read = read(&mut self)?;
        if self.is_at_end() { Ok(read) } else { Err(Undecodable) }
    }

    fn is_at_end(&mut self) -> bool {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { rows, table } = self.0 {
            return rows.next(table, &mut |row| Err(row.misfit("no more rows"))).is_none();
        }
        self.archived().is_none()
    }

    /// Gives up what is left.
    fn skip(self) {
        #[cfg(any(test, feature = "testing", feature = "cli"))]
        if let Source::Json { rows, table } = self.0 {
            rows.skip(table);
        }
    }

    #[cfg(any(test, feature = "testing", feature = "cli"))]
    fn json<T>(&mut self, mut read: impl FnMut(&Json<'_>) -> Result<T, Misfit>) -> NextRow<T> {
        let Source::Json { rows, table } = self.0 else { return None };
        let mut value = None;
        let done = rows.next(table, &mut |row| {
            value = Some(read(row)?);
            Ok(())
        })?;
        Some(done.and_then(|()| value.ok_or(Undecodable)))
    }

    #[inline]
    fn archived(&mut self) -> NextRow<&'a [u8]> {
        #[cfg_attr(
            not(any(test, feature = "testing", feature = "cli")),
            expect(
                irrefutable_let_patterns,
                reason = "rows stand as JSON only where something exports"
            )
        )]
        let Source::Blocks { blocks, current } = &mut self.0 else { return None };
        loop {
            if let Some(row) = current.next() {
                return Some(row.map_err(|_| Undecodable));
            }
            *current = block::Rows::new(blocks.next()?);
        }
    }
}
