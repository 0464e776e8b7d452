//! `fork`, `run export` and `run import`: runs made of other ones.
//!
//! - A fork costs nothing, and makes no checkpoint when the database closes.
//! - An export changes nothing. An import makes the database if there is nothing.

use std::io::Write;

use serde::Serialize;

use crate::cli::args::{ForkArguments, RunExportArguments, RunImportArguments};
use crate::cli::failure::Failure;
use crate::cli::listing::find_run;
use crate::cli::opening::{open, open_existing, open_to_read};
use crate::cli::text::{count, one_line};
use crate::database::{Database, Options};
use crate::error::Error;
use crate::id::{Lsn, RunId};
use crate::state::RunRow;

/// The line of `--json`.
#[derive(Serialize)]
struct CopyLine<'a> {
    run: RunId,
    name: &'a str,
    /// The run it was forked from, and the last record of that one which is part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_lsn: Option<Lsn>,
    /// How many records are in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<usize>,
}

/// `freehold fork DB RUN NAME`.
pub(crate) fn fork(arguments: &ForkArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let ForkArguments { db: path, run, name, at, json } = arguments;
    let db = open_existing(path)?;
    let parent = find_run(path, &db.view(), run)?.id();
    let fork = match at {
        Some(lsn) => db.fork_at(parent, Lsn(*lsn), name)?,
        None => db.fork(parent, name)?,
    };
    let row = row(&db, fork)?;
    db.close()?;
    if *json {
        let line = CopyLine {
            run: fork,
            name,
            parent: row.parent.map(|(parent, _)| parent),
            parent_lsn: row.parent.map(|(_, lsn)| lsn),
            steps: None,
        };
        return write_line(&line, out);
    }
    match row.parent {
        Some((parent, lsn)) => writeln!(out, "run {fork}, forked from run {parent} at LSN {lsn}")?,
        None => writeln!(out, "run {fork}, empty: run {parent} had nothing then")?,
    }
    Ok(())
}

/// `freehold run export DB RUN FILE`.
pub(crate) fn export(arguments: &RunExportArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let RunExportArguments { db: path, run, file, json } = arguments;
    let db = open_to_read(path)?;
    let view = db.view();
    let run = find_run(path, &view, run)?.id();
    let steps = db.replay_run(run)?.steps().count();
    db.export_run(run, file)?;
    let row = view.runs().find(|row| row.id == run);
    let name = row.map_or("root", |row| &row.name);
    if *json {
        let steps = Some(steps);
        return write_line(&CopyLine { run, name, parent: None, parent_lsn: None, steps }, out);
    }
    let steps = count(steps as u64, "step", "steps");
    writeln!(out, "{steps} of {} exported to {}", one_line(name, usize::MAX), file.display())?;
    Ok(())
}

/// `freehold run import DB FILE`.
pub(crate) fn import(arguments: &RunImportArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let RunImportArguments { db: path, file, name, json } = arguments;
    let db = open(path, Options::new().checkpoint_on_close(false))?;
    let run = db.import_run(file, name.as_deref())?;
    let row = row(&db, run)?;
    let steps = db.replay_run(run)?.steps().count();
    db.close()?;
    if *json {
        let (name, steps) = (&*row.name, Some(steps));
        return write_line(&CopyLine { run, name, parent: None, parent_lsn: None, steps }, out);
    }
    let steps = count(steps as u64, "step", "steps");
    writeln!(out, "run {run}, {}, with {steps}", one_line(&row.name, usize::MAX))?;
    Ok(())
}

/// A run that was just made.
fn row(db: &Database, run: RunId) -> Result<RunRow, Failure> {
    let view = db.view();
    let row = view.runs().find(|row| row.id == run).cloned();
    // Somebody else would have had to delete it meanwhile, and nobody else has the database.
    row.ok_or_else(|| Failure::Engine(Error::NoRun { run: run.to_string().into() }))
}

fn write_line(line: &CopyLine<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}
