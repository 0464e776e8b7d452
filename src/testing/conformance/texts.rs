//! A section as lines: the rows that a state writes as JSON, and the state that they give.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::bench::Breach;
use crate::error::{Reason, Result};
use crate::primitive::json::{Json, Misfit};
use crate::primitive::{
    JsonRows, PrimitiveStorageExt, RowSink, SectionReader, SectionWriter, Undecodable,
};

/// The rows of one instance by table, as an export has them.
pub(super) struct Texts {
    tags: Vec<u32>,
    rows: RefCell<Vec<VecDeque<String>>>,
    fault: RefCell<Option<String>>,
}

impl RowSink for Texts {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        let rows = self.rows.get_mut();
        if self.tags.last() != Some(&table) {
            self.tags.push(table);
            rows.push(VecDeque::new());
        }
        if let Some(rows) = rows.last_mut() {
            let row = String::from_utf8_lossy(row);
            rows.push_back(format!("{{\"primitive\":0,\"run\":0,\"field\":0,{row}}}"));
        }
        Ok(())
    }
}

impl Texts {
    pub(super) fn of<P: PrimitiveStorageExt>(state: &P) -> Result<Texts, Breach> {
        let mut texts =
            Texts { tags: Vec::new(), rows: RefCell::default(), fault: RefCell::default() };
        state
            .snapshot_serialize(&mut SectionWriter::of_json(&mut texts))
            .map_err(|error| format!("its rows cannot be exported: {error}"))?;
        Ok(texts)
    }

    /// The state that these rows give, its indexes rebuilt.
    pub(super) fn load<P: PrimitiveStorageExt>(&self) -> Result<P, Reason> {
        if self.tags.is_empty() {
            return Ok(P::default());
        }
        let loaded = P::snapshot_deserialize(&mut SectionReader::of_json(self));
        if let Some(fault) = self.fault.take() {
            return Err(fault.into());
        }
        let mut state = loaded?;
        state.rebuild_indexes()?;
        Ok(state)
    }

    fn note(&self, fault: String) -> Undecodable {
        self.fault.borrow_mut().get_or_insert(fault);
        Undecodable
    }
}

impl JsonRows for Texts {
    fn tables(&self) -> &[u32] {
        &self.tags
    }

    fn next(
        &self,
        table: u32,
        read: &mut dyn FnMut(&Json<'_>) -> Result<(), Misfit>,
    ) -> Option<Result<(), Undecodable>> {
        let at = self.tags.iter().position(|tag| *tag == table)?;
        let text = self.rows.borrow_mut().get_mut(at)?.pop_front()?;
        let done = Json::parse(&text).and_then(|row| read(&row));
        Some(done.map_err(|misfit| self.note(format!("{text}: {misfit}"))))
    }

    fn skip(&self, _: u32) {}

    fn twice(&self) {
        self.note("a key or an element stands twice".to_owned());
    }
}
