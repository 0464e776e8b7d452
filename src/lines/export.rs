//! Writing the lines.
//!
//! - The same state gives the same lines, but for the database's own number.
//! - An instance's rows are counted and hashed first, and written then; a view does not change
//!   between the two.

use std::io::{self, Write};

use super::head::{self, Field, Header, Instance, Run, Source};
use super::{FORMAT, LINE_BYTES_MAX, LinesError, Moved};
use crate::database::{DigestOfRows, View};
use crate::error::{Damage, Error, Link, Result};
use crate::format::core_entry::Told;
use crate::id::{DatabaseId, Lsn, RunId};
use crate::primitive::json::JsonWriter;
use crate::primitive::private::table_tag;
use crate::primitive::{Descriptor, RowSink, SectionWriter, Stored};
use crate::recovery::section_fields;

/// What of a database is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// By name; `None` is all.
    pub(crate) primitives: Option<Vec<String>>,
    /// `None` is all, the root included.
    pub(crate) runs: Option<Vec<RunId>>,
}

impl Selection {
    fn has_run(&self, run: RunId) -> bool {
        self.runs.as_ref().is_none_or(|runs| runs.contains(&run))
    }

    fn has_primitive(&self, primitive: &Descriptor) -> bool {
        let named = |name: &String| primitive.is_named(name);
        self.primitives.as_ref().is_none_or(|names| names.iter().any(named))
    }
}

/// Writes what `selection` says of the view as lines.
pub(crate) fn export(
    view: &View,
    database: DatabaseId,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<Moved, LinesError> {
    refuse_unlinked(view, selection)?;
    let state = &view.published;
    let mut lines = Lines { out, json: JsonWriter::new() };
    lines.put(head::HEADER, &header(view, database, selection))?;
    let mut moved = Moved::default();
    for row in state.table.iter().filter(|row| selection.has_run(row.id)) {
        let run = state.runs.get(&row.id);
        let last_lsn = run.map_or(Lsn::ZERO, |run| run.last_lsn);
        let told = run.map(|run| run.told).filter(|told| *told != Told::default());
        let run = Run {
            id: row.id,
            name: row.name.to_string(),
            created_lsn: row.created_lsn,
            last_lsn,
            told: told.map(|told| (told.lsn, told.timestamp)),
            parent: row.parent,
        };
        lines.put(head::RUN, &run)?;
        moved.runs += 1;
    }
    for (run, instances) in state.runs.iter().filter(|(run, _)| selection.has_run(**run)) {
        for (index, primitive) in state.registry.list().iter().enumerate() {
            let Some(frozen) = instances.get(index) else { continue };
            if !selection.has_primitive(primitive) {
                continue;
            }
            let digest = DigestOfRows::of(primitive, frozen)?;
            if digest.rows() == 0 {
                continue;
            }
            let fields = digest
                .tables()
                .iter()
                .map(|(table, rows)| Field { field: field_name(primitive, *table), rows: *rows });
            let instance = Instance {
                primitive: primitive.name().to_owned(),
                run: *run,
                fields: fields.collect(),
                digest: Some(head::hex(digest.finish())),
            };
            lines.put(head::INSTANCE, &instance)?;
            let mut rows =
                Rows { lines: &mut lines, primitive, run: *run, table: None, failed: None };
            let saved = primitive.save(frozen, &mut SectionWriter::of_json(&mut rows));
            if let Some(failed) = rows.failed {
                return Err(LinesError::Write(failed));
            }
            saved?;
            moved.instances += 1;
            moved.rows += digest.rows();
        }
    }
    lines.put(head::END, &moved)?;
    lines.out.flush().map_err(LinesError::Write)?;
    Ok(moved)
}

/// Refuses to leave out, without being asked to, what belongs to a primitive that is not linked.
fn refuse_unlinked(view: &View, selection: &Selection) -> Result<(), LinesError> {
    let state = &view.published;
    let Some(names) = &selection.primitives else {
        for row in &state.catalog.rows {
            let mut instances = state.detached.of_type(row.type_id);
            if instances.any(|instance| selection.has_run(instance.run)) {
                let link = Link { primitive: &row.name, crate_name: &row.crate_name };
                return Err(LinesError::NotLinked {
                    primitive: row.name.as_str().into(),
                    link: link.to_string().into(),
                });
            }
        }
        return Ok(());
    };
    let linked = state.registry.list();
    match names.iter().find(|name| !linked.iter().any(|primitive| primitive.is_named(name))) {
        None => Ok(()),
        Some(asked) => {
            let linked: Vec<&str> = linked.iter().map(|primitive| primitive.name()).collect();
            Err(LinesError::NoPrimitive {
                asked: asked.as_str().into(),
                linked: linked.join(", ").into(),
            })
        }
    }
}

fn header(view: &View, database: DatabaseId, selection: &Selection) -> Header {
    let state = &view.published;
    let linked =
        state.registry.list().iter().filter(|primitive| selection.has_primitive(primitive));
    let sources = linked.map(|primitive| {
        let stored = state.catalog.rows.iter().find(|row| primitive.is_named(&row.name));
        Source {
            name: primitive.name().to_owned(),
            type_id: primitive.type_id(),
            crate_name: primitive.origin().crate_name.to_owned(),
            crate_version: primitive.origin().crate_version.to_owned(),
            section_version: primitive.section_version(),
            section_shape: primitive.section_shape().to_owned(),
            section_fingerprint: head::hex(primitive.section_fingerprint()),
            first_lsn: stored.map_or(Lsn::ZERO, |row| row.first_lsn),
        }
    });
    Header {
        format: FORMAT,
        freehold: env!("CARGO_PKG_VERSION").to_owned(),
        database: database.to_string(),
        lsn: state.lsn,
        timestamp: state.timestamp,
        next_run: RunId(state.table.last_id().0.saturating_add(1)),
        only_primitives: selection.primitives.clone(),
        only_runs: selection.runs.clone(),
        primitives: sources.collect(),
    }
}

/// The field whose table this is.
fn field_name(primitive: &Descriptor, table: u32) -> String {
    section_fields(primitive.section_shape())
        .map(|(name, _)| name)
        .find(|name| table_tag(name) == table)
        .map_or_else(|| head::unnamed(table), str::to_owned)
}

/// Where lines go.
struct Lines<'o> {
    out: &'o mut dyn Write,
    json: JsonWriter,
}

impl Lines<'_> {
    /// Writes a line that is no row.
    fn put<T: Stored>(&mut self, name: &str, value: &T) -> Result<(), LinesError> {
        self.json.clear();
        self.json.variant(name, |json| value.to_json(json));
        let put = self.out.write_all(self.json.as_str().as_bytes());
        put.and_then(|()| self.out.write_all(b"\n")).map_err(LinesError::Write)
    }
}

/// Puts the rows of one instance into lines.
struct Rows<'l, 'o> {
    lines: &'l mut Lines<'o>,
    primitive: &'static Descriptor,
    run: RunId,
    table: Option<u32>,
    /// Why a line could not be written.
    failed: Option<io::Error>,
}

impl RowSink for Rows<'_, '_> {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        let Rows { lines: Lines { out, json }, primitive, run, .. } = self;
        if self.table != Some(table) {
            // What all rows of a table begin with.
            self.table = Some(table);
            json.clear();
            json.member("primitive", &primitive.name());
            json.member("run", run);
            json.member("field", &field_name(primitive, table).as_str());
        }
        let len = json.as_str().len().saturating_add(row.len()) as u64;
        if len > LINE_BYTES_MAX - 4 {
            let damage = Damage::TooLarge { of: "line of a row", found: len, most: LINE_BYTES_MAX };
            return Err(Error::reject(damage));
        }
        let parts = [b"{", json.as_str().as_bytes(), b",", row, b"}\n"];
        parts.iter().try_for_each(|part| out.write_all(part)).map_err(|failed| {
            self.failed = Some(failed);
            Error::Cancelled
        })
    }
}
