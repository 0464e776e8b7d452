//! Reading the lines back.
//!
//! - The state is complete and compared before anybody touches a file.
//! - Each instance goes through the same loading as one from a snapshot: fields that the lines do not
//!   have take their defaults, fields that this build does not have are refused unless it gives them up,
//!   and indexes are rebuilt.
//! - A digest is compared where the layout is the one that wrote it; under another layout equal states
//!   have other rows.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::head::{self, Header, Instance, Run};
use super::rows::{Input, InstanceRows, Table};
use super::{FORMAT, LinesError, Moved};
use crate::database::DigestOfRows;
use crate::error::{Error, Reason, RegistryError, Result};
use crate::format::RUN_NAME_BYTES_MAX;
use crate::format::catalog::Catalog;
use crate::format::core_entry::Told;
use crate::id::{Epoch, Lsn, RunId};
use crate::primitive::json::Json;
use crate::primitive::private::table_tag;
use crate::primitive::{SectionReader, UnknownTable};
use crate::registry::PrimitiveRegistry;
use crate::state::{RunRow, RunState, State};

/// Beyond this a database could not go on for long.
const LSN_MAX: Lsn = Lsn(1 << 63);
/// Runs are numbered up to here, and time, in nanoseconds, goes as far: to the year 2262.
const NUMBER_MAX: u64 = 1 << 63;

/// The state that the lines hold, and how much it is.
pub(crate) fn import(
    registry: &'static PrimitiveRegistry,
    reader: &mut dyn BufRead,
) -> Result<(State, Moved), LinesError> {
    let mut input = Input::new(reader);
    let header = read_header(&mut input)?;
    let mut import = Import {
        registry,
        state: start(registry, &header),
        header,
        moved: Moved::default(),
        seen: BTreeSet::new(),
    };
    loop {
        let text = input.expect("an instance, or the last line `end`")?;
        let line = input.line();
        let misfit = |what| LinesError::Line { line, what };
        let json = Json::parse(&text).map_err(misfit)?;
        match json.variant().map_err(misfit)? {
            (head::RUN, Some(content)) if import.seen.is_empty() => {
                import.run(content.read().map_err(misfit)?, line)?;
            }
            (head::INSTANCE, Some(content)) => {
                import.instance(content.read().map_err(misfit)?, &mut input, line)?;
            }
            (head::END, Some(content)) => {
                let counted: Moved = content.read().map_err(misfit)?;
                if counted != import.moved {
                    return Err(value(
                        line,
                        "the count of what came before",
                        said(counted),
                        said(import.moved),
                    ));
                }
                break;
            }
            _ => {
                let expected = match import.seen.is_empty() {
                    true => "an object `run`, `instance` or `end`",
                    false => "an object `instance` or `end`",
                };
                return Err(misfit(json.misfit(expected)));
            }
        }
    }
    match input.next()? {
        None => Ok((import.state, import.moved)),
        Some(_) => Err(value(input.line(), "what comes after the line `end`", "a line", "nothing")),
    }
}

fn value(line: u64, of: &'static str, found: impl Display, expected: impl Display) -> LinesError {
    LinesError::Value {
        line,
        of,
        found: found.to_string().into(),
        expected: expected.to_string().into(),
    }
}

fn said(moved: Moved) -> String {
    let Moved { runs, instances, rows } = moved;
    format!("{runs} runs, {instances} instances, {rows} rows")
}

/// The first line.
fn read_header(input: &mut Input<'_>) -> Result<Header, LinesError> {
    let text = input.expect("the line `header`")?;
    let misfit = |what| LinesError::Line { line: 1, what };
    let json = Json::parse(&text).map_err(misfit)?;
    let content = match json.variant() {
        Ok((head::HEADER, Some(content))) => content,
        _ => return Err(misfit(json.misfit("an object `header`: an export of freehold"))),
    };
    // A later format may have other fields, so this one is asked for first.
    let format = content.field("format").and_then(|format| format.integer::<u32>("u32"));
    let format = format.map_err(misfit)?;
    if format != FORMAT {
        let (found, supported) = (format.into(), FORMAT.into());
        return Err(Error::Version { place: "lines".into(), found, supported }.into());
    }
    let header: Header = content.read().map_err(misfit)?;
    if header.lsn == Lsn::ZERO || header.lsn > LSN_MAX {
        return Err(value(1, "the LSN", header.lsn, format_args!("1 to {LSN_MAX}")));
    }
    if header.timestamp.0 > NUMBER_MAX {
        return Err(value(1, "the time", header.timestamp.0, format_args!("at most {NUMBER_MAX}")));
    }
    if header.next_run == RunId::ROOT || header.next_run.0 > NUMBER_MAX {
        let expected = format_args!("1 to {NUMBER_MAX}");
        return Err(value(1, "the next run", header.next_run, expected));
    }
    let mut names = BTreeSet::new();
    for source in &header.primitives {
        if !names.insert(source.name.as_str()) {
            return Err(value(1, "a primitive", &source.name, "each once"));
        }
        if source.first_lsn > header.lsn {
            let most = format_args!("at most {}", header.lsn);
            return Err(value(1, "the first LSN of a primitive", source.first_lsn, most));
        }
    }
    Ok(header)
}

/// A state without runs and instances.
fn start(registry: &'static PrimitiveRegistry, header: &Header) -> State {
    let mut state = State::empty(registry);
    state.lsn = header.lsn;
    state.timestamp = header.timestamp;
    state.epoch = Epoch(1);
    state.table.raise_last_id(RunId(header.next_run.0.saturating_sub(1)));
    let rows = registry.facts().iter().map(|linked| {
        let source = header.primitives.iter().find(|source| linked.is_named(&source.name));
        let mut row = linked.row.clone();
        row.first_lsn = source.map_or(Lsn::ZERO, |source| source.first_lsn);
        row
    });
    state.catalog = Arc::new(Catalog { rows: rows.collect() });
    state
}

/// What was read so far.
struct Import {
    registry: &'static PrimitiveRegistry,
    header: Header,
    state: State,
    moved: Moved,
    /// The instances: primitive and run.
    seen: BTreeSet<(usize, RunId)>,
}

impl Import {
    fn run(&mut self, run: Run, line: u64) -> Result<(), LinesError> {
        if run.id == RunId::ROOT || run.id >= self.header.next_run {
            let expected = format!("1 to {}", self.header.next_run.0.saturating_sub(1));
            return Err(value(line, "the run's number", run.id, expected));
        }
        if run.name.is_empty() || run.name.len() > RUN_NAME_BYTES_MAX {
            let expected = format_args!("1 to {RUN_NAME_BYTES_MAX}");
            return Err(value(line, "the length of the run's name", run.name.len(), expected));
        }
        let parent_lsn = run.parent.map_or(Lsn::ZERO, |(_, lsn)| lsn);
        for (of, lsn) in [
            ("the LSN at which the run was created", run.created_lsn),
            ("the run's last LSN", run.last_lsn),
            ("the LSN of the run's parent", parent_lsn),
        ] {
            if lsn > self.header.lsn {
                return Err(value(line, of, lsn, format_args!("at most {}", self.header.lsn)));
            }
        }
        let inserted = self.state.table.insert(RunRow {
            id: run.id,
            name: run.name.as_str().into(),
            created_lsn: run.created_lsn,
            parent: run.parent,
            is_fork: run.parent.is_some(),
        });
        if !inserted {
            let found = format!("{} {:?}", run.id, run.name);
            return Err(value(line, "the run", found, "a number and a name that no other run has"));
        }
        let mut state = RunState::default();
        state.last_lsn = run.last_lsn;
        state.told =
            run.told.map_or_else(Told::default, |(lsn, timestamp)| Told { lsn, timestamp });
        self.state.runs.insert(run.id, state);
        self.moved.runs += 1;
        Ok(())
    }

    fn instance(
        &mut self,
        announced: Instance,
        input: &mut Input<'_>,
        line: u64,
    ) -> Result<(), LinesError> {
        let (index, is_same_layout) = self.primitive(&announced, line)?;
        let descriptor = self.registry.list()[index];
        let (name, run) = (announced.primitive.as_str(), announced.run);
        if !self.state.runs.contains_key(&run) {
            return Err(value(line, "the run", run, "one that stands in a line `run`"));
        }
        if descriptor.root_only() && run != RunId::ROOT {
            let expected = format_args!("0: {name} lives in the root only");
            return Err(value(line, "the run", run, expected));
        }
        if !self.seen.insert((index, run)) {
            return Err(value(
                line,
                "the instance",
                format_args!("{name} in run {run}"),
                "each once",
            ));
        }
        let mut tables: Vec<Table> = Vec::new();
        let mut rows: u64 = 0;
        for field in announced.fields {
            let tag =
                head::table_of_unnamed(&field.field).unwrap_or_else(|| table_tag(&field.field));
            if tables.iter().any(|table| table.tag == tag) {
                return Err(value(line, "a field of the instance", &field.field, "each once"));
            }
            rows = rows.saturating_add(field.rows);
            tables.push(Table::new(tag, field.field, field.rows));
        }
        let refused = |reason: String| LinesError::Instance {
            line,
            primitive: name.into(),
            run,
            reason: reason.into(),
        };

        let lines = InstanceRows::new(input, name, run, tables);
        let load = || descriptor.load(&mut SectionReader::of_json(&lines));
        let loaded: Result<_, Reason> =
            catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err("it panicked".into()));
        let reason = loaded.as_ref().err().map(|reason| match reason.downcast_ref() {
            Some(UnknownTable { tag }) => {
                format!("the field {}: {reason}", lines.field(*tag).unwrap_or_default())
            }
            None => reason.to_string(),
        });
        lines.finish(loaded.is_ok())?;
        let instance = loaded.map_err(|_| refused(reason.unwrap_or_default()))?;

        if is_same_layout {
            let digest = DigestOfRows::of(descriptor, &descriptor.freeze(&instance))?;
            if digest.rows() != rows {
                let reason = format!("has {} rows, {rows} were announced", digest.rows());
                return Err(refused(reason));
            }
            let found = head::hex(digest.finish());
            if let Some(expected) = announced.digest.filter(|expected| *expected != found) {
                return Err(refused(format!(
                    "the digest of its rows is {found}, expected {expected}: a row was changed; if \
                     that was meant, set the digest to null"
                )));
            }
        }
        if let Some(state) = self.state.runs.get_mut(&run) {
            state.put(index, instance);
        }
        self.moved.instances += 1;
        self.moved.rows = self.moved.rows.saturating_add(rows);
        Ok(())
    }

    /// The linked primitive that an instance is of, and whether its layout is the one of the lines.
    fn primitive(&self, announced: &Instance, line: u64) -> Result<(usize, bool), LinesError> {
        let name = announced.primitive.as_str();
        let Some(source) = self.header.primitives.iter().find(|source| source.name == name) else {
            return Err(value(line, "the primitive", name, "one that stands in the header"));
        };
        let facts = self.registry.facts();
        let Some(index) = facts.iter().position(|linked| linked.is_named(name)) else {
            let not_linked = RegistryError::NotLinked {
                name: name.into(),
                type_id: source.type_id,
                crate_name: source.crate_name.as_str().into(),
                crate_version: source.crate_version.as_str().into(),
            };
            return Err(Error::from(not_linked).into());
        };
        let linked = &facts[index];
        let supported = linked.row.section_version;
        if source.section_version > supported {
            let place = format!("{name} section").into();
            let (found, supported) = (source.section_version.into(), supported.into());
            return Err(Error::Version { place, found, supported }.into());
        }
        let is_same_layout = source.section_version == supported
            && source.section_fingerprint == head::hex(linked.section_fingerprint);
        Ok((index, is_same_layout))
    }
}
