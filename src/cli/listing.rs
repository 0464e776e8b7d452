//! `runs`, `steps`, `digest`: what a database holds, as it is read from a view.
//!
//! - A listing never makes a database: where none is, it says so. It changes no file; the database
//!   must not be open elsewhere.
//! - With `--json`, each line is one JSON object; `steps --json` writes the records as they were
//!   imported, byte for byte.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::args::{ListingArguments, StepsArguments};
use crate::cli::failure::Failure;
use crate::cli::input::reread;
use crate::cli::layout;
use crate::cli::moment::Moment;
use crate::cli::opening::read_existing;
use crate::cli::record::{RunRecord, StepKind};
use crate::cli::story;
use crate::cli::text::{Side, Table, count, one_line};
use crate::database::{RunView, View};
use crate::id::{Lsn, RunId};
use crate::primitives::{EventLog, KvStore, RunIndex};
use crate::state::RunRow;

/// Whether this is how the root is asked for. A run that has such a name is found by its number.
pub(crate) fn is_root(asked: &str) -> bool {
    matches!(asked, "root" | "0")
}

/// The root, or the run with this name, else with this number.
pub(crate) fn find_run(path: &Path, view: &View, asked: &str) -> Result<RunView, Failure> {
    let root = is_root(asked).then_some(RunId::ROOT);
    let by_number = || asked.parse().ok().map(RunId);
    let id = root.or_else(|| view.run_named(asked)).or_else(by_number);
    let found = id.and_then(|id| view.run(id));
    found.ok_or_else(|| Failure::NoRun { path: path.into(), run: asked.into() })
}

/// One line of `runs --json`.
#[derive(Serialize)]
struct RunLine<'a> {
    id: RunId,
    name: &'a str,
    /// As the index of runs has it; absent if the run is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The recording's own word for how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_as: Option<&'a str>,
    steps: u64,
    tool_calls: u64,
    created_lsn: Lsn,
    last_lsn: Lsn,
    /// The run it was forked from, and the last record of that one which is part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
    /// The run's line of `runs.jsonl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
}

/// `freehold runs DB`.
pub(crate) fn runs(arguments: &ListingArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let view = read_existing(&arguments.db)?;
    if arguments.json {
        for row in view.runs() {
            if let Some(line) = run_line(&view, row) {
                serde_json::to_writer(&mut *out, &line)?;
                out.write_all(b"\n")?;
            }
        }
        return Ok(());
    }
    runs_table(&view, usize::MAX).write(out, "")?;
    let counts = view.on::<RunIndex>().counts();
    writeln!(
        out,
        "\n{}: {} not begun, {} running, {} completed, {} failed, {} cancelled",
        count(view.runs().len() as u64, "run", "runs"),
        counts.created,
        counts.running,
        counts.completed,
        counts.failed,
        counts.cancelled,
    )?;
    Ok(())
}

fn run_line<'a>(view: &'a View, row: &'a RunRow) -> Option<RunLine<'a>> {
    let run = view.run(row.id)?;
    let indexed = view.on::<RunIndex>().get(row.id);
    let metadata = |key| indexed.and_then(|indexed| indexed.metadata().get(key));
    let kv = run.on::<KvStore>();
    Some(RunLine {
        id: row.id,
        name: &row.name,
        status: indexed.map(|indexed| indexed.status().to_string()),
        ended_as: metadata(layout::STATUS_KEY).map(|word| &**word),
        steps: layout::stored_step_count(&run),
        tool_calls: layout::counter(kv, &layout::kind_counter(StepKind::ToolCall)),
        created_lsn: row.created_lsn,
        last_lsn: run.last_lsn(),
        parent: row.parent.map(|(parent, _)| parent),
        parent_lsn: row.parent.map(|(_, lsn)| lsn),
        changed: indexed.map(|indexed| Moment(indexed.changed()).to_string()),
        record: metadata(layout::RECORD_KEY).and_then(|line| serde_json::from_str(line).ok()),
    })
}

/// All runs, names shortened to `name_characters_max`.
pub(crate) fn runs_table(view: &View, name_characters_max: usize) -> Table {
    let mut columns = vec![
        ("ID", Side::Right),
        ("STATUS", Side::Left),
        ("STEPS", Side::Right),
        ("CALLS", Side::Right),
        ("ENDED AS", Side::Left),
        ("SOURCE", Side::Left),
        ("MODEL", Side::Left),
    ];
    let forks = view.runs().any(|row| row.parent.is_some());
    if forks {
        columns.push(("FORK OF", Side::Left));
    }
    columns.push(("NAME", Side::Left));
    let mut table = Table::new(&columns);
    for row in view.runs() {
        let Some(line) = run_line(view, row) else { continue };
        let record: Option<RunRecord> =
            line.record.and_then(|record| serde_json::from_str(record.get()).ok());
        let source = record.as_ref().map_or("", |record| record.source.as_str());
        let model = record.as_ref().and_then(|record| record.model.as_deref()).unwrap_or("");
        let mut cells = vec![
            line.id.to_string(),
            line.status.unwrap_or_default(),
            line.steps.to_string(),
            line.tool_calls.to_string(),
            line.ended_as.unwrap_or("").to_owned(),
            source.to_owned(),
            model.to_owned(),
        ];
        if forks {
            cells.push(row.parent.map_or(String::new(), |(run, lsn)| format!("{run} at {lsn}")));
        }
        cells.push(one_line(line.name, name_characters_max));
        table.row(cells);
    }
    table
}

/// `freehold steps DB RUN`.
pub(crate) fn steps(arguments: &StepsArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let view = read_existing(&arguments.db)?;
    let run = find_run(&arguments.db, &view, &arguments.run)?;
    if !arguments.json {
        return story::write(out, &run, arguments.full);
    }
    for event in run.on::<EventLog>().range(layout::STEPS_STREAM, ..) {
        out.write_all(event.payload().as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// One line of `digest --json`.
#[derive(Serialize)]
struct DigestLine<'a> {
    run: &'a str,
    primitive: &'a str,
    rows: u64,
    digest: String,
}

/// `freehold digest DB`. Runs go by name, the root by the empty one.
pub(crate) fn digest(arguments: &ListingArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let view = read_existing(&arguments.db)?;
    write_digests(&view, arguments.json, out)
}

/// A line for each primitive in each run.
pub(crate) fn write_digests(view: &View, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    for digest in view.digest()? {
        let row = view.runs().find(|row| row.id == digest.run);
        let line = DigestLine {
            run: row.map_or("", |row| &row.name),
            primitive: digest.primitive,
            rows: digest.rows,
            digest: format!("{:016x}", digest.digest),
        };
        if json {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        } else {
            let run = if line.run.is_empty() { "(root)" } else { line.run };
            let run = one_line(run, usize::MAX);
            writeln!(out, "{}  {:<8} {:>8}  {run}", line.digest, line.primitive, line.rows)?;
        }
    }
    Ok(())
}

/// A step's record, if the event is one.
pub(crate) fn step_of(
    event: &crate::primitives::Event,
) -> Option<crate::cli::record::StepRecord<'_>> {
    event.payload().as_json().and_then(reread)
}
