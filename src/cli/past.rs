//! `replay` and `at`: what a run, or everything, was.
//!
//! - Nothing is changed.
//! - A run that was replayed to its end is compared with the run as it is: they differ if an
//!   operation does not do again what it did.

use std::io::Write;

use serde::Serialize;

use crate::cli::args::{AtArguments, ReplayArguments};
use crate::cli::failure::Failure;
use crate::cli::listing::{find_run, write_digests};
use crate::cli::log::{counted, name_of};
use crate::cli::moment::Moment;
use crate::cli::opening::{expect_database, open_to_read};
use crate::cli::text::{Side, Table, count, one_line};
use crate::database::{Replay, RunView, inspect_at};
use crate::id::{Lsn, RunId};
use crate::replay::RunEntry;

/// A record of a run in `replay --steps --json`.
#[derive(Serialize)]
struct StepLine<'a> {
    step: usize,
    lsn: Lsn,
    /// The LSN that its operations are told, if that is not its record's.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_lsn: Option<Lsn>,
    time: String,
    operations: Vec<OperationLine<'a>>,
}

#[derive(Serialize)]
struct OperationLine<'a> {
    primitive: &'a str,
    operation: &'a str,
    wal_type: u8,
    version: u8,
    bytes: usize,
}

/// The last line of `replay --json`.
#[derive(Serialize)]
struct ReplayLine<'a> {
    run: RunId,
    name: &'a str,
    /// How many records were replayed, and how many there are.
    steps: usize,
    steps_total: usize,
    lsn: Lsn,
    time: String,
    state: Vec<PrimitiveLine>,
    /// Whether that is the run as it is; absent if it was not replayed to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as_live: Option<bool>,
}

#[derive(Serialize)]
struct PrimitiveLine {
    primitive: &'static str,
    rows: u64,
    digest: String,
}

/// `freehold replay DB RUN`.
pub(crate) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = open_to_read(&arguments.db)?;
    let live = find_run(&arguments.db, &db.view(), &arguments.run)?;
    let replay = db.replay_run(live.id())?;
    let steps_total = replay.steps().count();
    let steps = match (arguments.until, arguments.step) {
        (Some(lsn), _) => replay.steps().take_while(|step| step.lsn <= Lsn(lsn)).count(),
        (None, step) => step.map_or(steps_total, |step| step.min(steps_total)),
    };
    let view = replay.until_step(steps)?;
    let state = view.digest()?;
    let same_as_live = if steps == steps_total { Some(state == live.digest()?) } else { None };
    if arguments.steps {
        write_steps(&replay, steps, arguments.json, out)?;
    }
    let state = state.iter().map(|digest| PrimitiveLine {
        primitive: digest.primitive,
        rows: digest.rows,
        digest: format!("{:016x}", digest.digest),
    });
    let line = ReplayLine {
        run: live.id(),
        name: name_of_run(&live),
        steps,
        steps_total,
        lsn: view.last_lsn(),
        time: Moment(view.view().timestamp()).to_string(),
        state: state.collect(),
        same_as_live,
    };
    if arguments.json {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    } else {
        write_replayed(&line, out)?;
    }
    match same_as_live {
        Some(false) => Err(Failure::Damaged { path: arguments.db.clone() }),
        Some(true) | None => Ok(()),
    }
}

/// The root has no name of its own.
fn name_of_run(run: &RunView) -> &str {
    let row = run.view().runs().find(|row| row.id == run.id());
    row.map_or("root", |row| &row.name)
}

/// The first `steps` records, each with its operations.
fn write_steps(
    replay: &Replay,
    steps: usize,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let log = replay.log();
    let named = |entry: &RunEntry| {
        let rows = log.catalog.get(&entry.type_id);
        name_of(rows, entry.told.wal_type, entry.told.version)
    };
    let copied = replay.steps().take(steps).any(|step| step.origin != step.lsn);
    let mut columns = vec![("STEP", Side::Right), ("LSN", Side::Right)];
    if copied {
        columns.push(("ORIGIN", Side::Right));
    }
    columns.extend([("TIME", Side::Left), ("OPERATIONS", Side::Left)]);
    let mut table = Table::new(&columns);
    let mut entries = log.entries.iter();
    for step in replay.steps().take(steps) {
        let of_step = entries.by_ref().take(step.operations);
        let time = Moment(step.timestamp).to_string();
        if json {
            let operations = of_step.map(|entry| {
                let (primitive, operation) = named(entry);
                let (wal_type, version) = (entry.told.wal_type, entry.told.version);
                let bytes = entry.told.payload.len();
                OperationLine { primitive, operation, wal_type, version, bytes }
            });
            let operations = operations.collect();
            let origin_lsn = (step.origin != step.lsn).then_some(step.origin);
            let line = StepLine { step: step.step, lsn: step.lsn, origin_lsn, time, operations };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        } else {
            let operations = counted(of_step.map(named));
            let mut cells = vec![step.step.to_string(), step.lsn.to_string()];
            if copied {
                cells.push(step.origin.to_string());
            }
            cells.extend([time, operations]);
            table.row(cells);
        }
    }
    if !json {
        table.write(out, "")?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_replayed(line: &ReplayLine<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let ReplayLine { run, steps, steps_total, lsn, time, .. } = line;
    let name = one_line(line.name, usize::MAX);
    let total = count(*steps_total as u64, "step", "steps");
    match steps {
        0 => writeln!(out, "run {run}, {name}, before the first of {total}")?,
        _ => writeln!(out, "run {run}, {name}, after {steps} of {total}: LSN {lsn}, {time}")?,
    }
    for PrimitiveLine { primitive, rows, digest } in &line.state {
        writeln!(out, "{digest}  {primitive:<11} {rows:>8}")?;
    }
    match line.same_as_live {
        Some(true) => writeln!(out, "the same as the run is now")?,
        Some(false) => writeln!(out, "not what the run is now")?,
        None => {}
    }
    Ok(())
}

/// The first line of `at --json`.
#[derive(Serialize)]
struct AtLine {
    lsn: Lsn,
    time: String,
    runs: usize,
}

/// `freehold at DB LSN`.
pub(crate) fn at(arguments: &AtArguments, out: &mut dyn Write) -> Result<(), Failure> {
    expect_database(&arguments.db)?;
    let view = match (arguments.time, arguments.lsn) {
        (Some(Moment(time)), _) => open_to_read(&arguments.db)?.view_at_time(time)?,
        // What lies behind that record need not even be whole.
        (None, lsn) => inspect_at(&arguments.db, Lsn(lsn.unwrap_or_default()))?,
    };
    let (lsn, time) = (view.lsn(), Moment(view.timestamp()).to_string());
    let runs = view.runs().len();
    if arguments.json {
        serde_json::to_writer(&mut *out, &AtLine { lsn, time, runs })?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "LSN {lsn}, {time}: {}", count(runs as u64, "run", "runs"))?;
    }
    write_digests(&view, arguments.json, out)
}
