//! The lines of a file one by one, and the rows of one instance as a primitive asks for them.
//!
//! - A primitive asks for tables in the order of its own fields. Lines of tables that come before the
//!   one it asks for wait as text.
//! - A row says whose it is, and that must be what was announced.
//! - The first thing that is wrong is kept, with its line: a primitive can only say that it cannot read
//!   something.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, Read};

use super::{LINE_BYTES_MAX, LinesError};
use crate::id::RunId;
use crate::primitive::json::{Json, Misfit};
use crate::primitive::{JsonRows, Undecodable};

/// The lines of a file.
pub(super) struct Input<'i> {
    reader: &'i mut dyn BufRead,
    /// How many were read.
    line: u64,
}

impl<'i> Input<'i> {
    pub(super) fn new(reader: &'i mut dyn BufRead) -> Input<'i> {
        Input { reader, line: 0 }
    }

    /// How many lines were read: the number of the last one.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next line, without its end. `None`: there is no more.
    pub(super) fn next(&mut self) -> Result<Option<String>, LinesError> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut bytes).map_err(LinesError::Read)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() as u64 >= LINE_BYTES_MAX {
            return Err(self.misfit(LINE_BYTES_MAX as usize, "a longer line", "its end"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(self.misfit(at + 1, "bytes that are no UTF-8", "text"))
            }
        }
    }

    /// The next line, which must be there.
    pub(super) fn expect(&mut self, expected: &'static str) -> Result<String, LinesError> {
        self.next()?.ok_or(LinesError::Cut { line: self.line + 1, expected })
    }

    fn misfit(&self, column: usize, found: &str, expected: &str) -> LinesError {
        let what = Misfit { column, found: found.into(), expected: expected.into() };
        LinesError::Line { line: self.line, what }
    }
}

/// A table that was announced.
pub(super) struct Table {
    pub(super) tag: u32,
    pub(super) field: String,
    /// Lines that were not read yet.
    pub(super) left: u64,
    /// Lines that were, and not asked for yet, with their numbers.
    waiting: VecDeque<(u64, String)>,
    is_skipped: bool,
}

impl Table {
    pub(super) fn new(tag: u32, field: String, rows: u64) -> Table {
        Table { tag, field, left: rows, waiting: VecDeque::new(), is_skipped: false }
    }
}

/// The rows of one instance.
pub(super) struct InstanceRows<'r, 'i> {
    tags: Vec<u32>,
    primitive: &'r str,
    run: RunId,
    reading: RefCell<Reading<'r, 'i>>,
}

struct Reading<'r, 'i> {
    input: &'r mut Input<'i>,
    tables: Vec<Table>,
    /// The table whose lines come next.
    current: usize,
    /// The line of the row that was handed out last.
    last: u64,
    fault: Option<LinesError>,
}

impl<'r, 'i> InstanceRows<'r, 'i> {
    pub(super) fn new(
        input: &'r mut Input<'i>,
        primitive: &'r str,
        run: RunId,
        tables: Vec<Table>,
    ) -> InstanceRows<'r, 'i> {
        let tags = tables.iter().map(|table| table.tag).collect();
        let reading = Reading { input, tables, current: 0, last: 0, fault: None };
        InstanceRows { tags, primitive, run, reading: RefCell::new(reading) }
    }

    /// What went wrong, if something did. `is_loaded`: the primitive says that it has all it needs,
    /// so what is left of a table it did not give up is wrong too.
    pub(super) fn finish(self, is_loaded: bool) -> Result<(), LinesError> {
        let mut reading = self.reading.into_inner();
        if let Some(fault) = reading.fault.take() {
            return Err(fault);
        }
        if !is_loaded {
            return Ok(());
        }
        let end = reading.tables.len();
        reading.read_up_to(end)?;
        match reading.tables.iter().find(|table| !table.waiting.is_empty()) {
            None => Ok(()),
            Some(table) => Err(LinesError::Value {
                line: table.waiting.front().map_or(0, |(line, _)| *line),
                of: "a row of the field",
                found: table.field.as_str().into(),
                expected: "one that the primitive reads".into(),
            }),
        }
    }

    /// The field whose table this is.
    pub(super) fn field(&self, tag: u32) -> Option<String> {
        let reading = self.reading.borrow();
        reading.tables.iter().find(|table| table.tag == tag).map(|table| table.field.clone())
    }

    /// Hands the row that stands in a line to `read`.
    fn read(
        &self,
        line: u64,
        text: &str,
        field: &str,
        read: &mut dyn FnMut(&Json<'_>) -> Result<(), Misfit>,
    ) -> Result<(), LinesError> {
        let misfit = |what| LinesError::Line { line, what };
        let row = Json::parse(text).map_err(misfit)?;
        let is = |name: &str, expected: &str| {
            let found = row.field(name)?;
            match found.text() {
                Ok(text) if text == expected => Ok(()),
                _ => Err(found.misfit(format_args!("\"{expected}\""))),
            }
        };
        is("primitive", self.primitive).map_err(misfit)?;
        let run = row.field("run").map_err(misfit)?;
        if run.integer("u64").ok() != Some(self.run.0) {
            return Err(misfit(run.misfit(self.run)));
        }
        is("field", field).map_err(misfit)?;
        read(&row).map_err(misfit)
    }
}

impl Reading<'_, '_> {
    /// Reads the lines of all tables before the one at `index`; they wait then.
    fn read_up_to(&mut self, index: usize) -> Result<(), LinesError> {
        while self.current < index
            && let Some(table) = self.tables.get_mut(self.current)
        {
            while table.left > 0 {
                let text = self.input.expect("a row")?;
                table.left -= 1;
                if !table.is_skipped {
                    table.waiting.push_back((self.input.line(), text));
                }
            }
            self.current += 1;
        }
        Ok(())
    }

    /// The next line of the table at `index`.
    fn line_of(&mut self, index: usize) -> Result<Option<(u64, String)>, LinesError> {
        self.read_up_to(index)?;
        let Some(table) = self.tables.get_mut(index) else { return Ok(None) };
        if let Some(waiting) = table.waiting.pop_front() {
            return Ok(Some(waiting));
        }
        if table.left == 0 {
            return Ok(None);
        }
        table.left -= 1;
        let text = self.input.expect("a row")?;
        Ok(Some((self.input.line(), text)))
    }
}

impl JsonRows for InstanceRows<'_, '_> {
    fn tables(&self) -> &[u32] {
        &self.tags
    }

    fn next(
        &self,
        table: u32,
        read: &mut dyn FnMut(&Json<'_>) -> Result<(), Misfit>,
    ) -> Option<Result<(), Undecodable>> {
        let index = self.tags.iter().position(|tag| *tag == table)?;
        let (next, field) = {
            let mut reading = self.reading.borrow_mut();
            if reading.fault.is_some() {
                return Some(Err(Undecodable));
            }
            let next = reading.line_of(index);
            (next, reading.tables.get(index).map(|table| table.field.clone()).unwrap_or_default())
        };
        // Nothing is borrowed while a primitive's own code runs.
        let done = match next {
            Ok(None) => return None,
            Ok(Some((line, text))) => {
                self.reading.borrow_mut().last = line;
                self.read(line, &text, &field, read)
            }
            Err(error) => Err(error),
        };
        Some(done.map_err(|fault| {
            self.reading.borrow_mut().fault = Some(fault);
            Undecodable
        }))
    }

    fn skip(&self, table: u32) {
        let mut reading = self.reading.borrow_mut();
        if let Some(table) = reading.tables.iter_mut().find(|one| one.tag == table) {
            table.is_skipped = true;
            table.waiting.clear();
        }
    }

    fn twice(&self) {
        let mut reading = self.reading.borrow_mut();
        let line = reading.last;
        reading.fault.get_or_insert(LinesError::Value {
            line,
            of: "the row's key or element",
            found: "one that stands twice".into(),
            expected: "each once".into(),
        });
    }
}
