//! `diff`: what differs between two runs, or two states.
//!
//! - A side that has no prefix is a run. Whatever a run is called, `run:` and its name, or its
//!   number, mean it.
//! - Each change is written when it is found; nothing is gathered.
//! - Values stand on a line as far as there is room; with `--json` they are whole.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::args::DiffArguments;
use crate::cli::failure::Failure;
use crate::cli::listing::find_run;
use crate::cli::opening::open_to_read;
use crate::cli::text::one_line;
use crate::database::{Database, DiffSide, Difference, View};
use crate::id::{Lsn, RunId};
use crate::primitive::{ChangeKind, ValueRef};

/// How much of a key or a value stands on a line.
const VALUE_CHARACTERS_MAX: usize = 60;

/// One line of `diff --json`.
#[derive(Serialize)]
struct ChangeLine<'a> {
    change: &'static str,
    run: RunId,
    name: &'a str,
    primitive: &'a str,
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

/// `freehold diff DB A B`.
pub(crate) fn run(arguments: &DiffArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = open_to_read(&arguments.db)?;
    let (before, old) = side(&db, &arguments.db, &arguments.before)?;
    let (after, new) = side(&db, &arguments.db, &arguments.after)?;
    let diff = db.diff(before, after)?;
    let name_of = |run| {
        let mut rows = new.runs().chain(old.runs());
        rows.find(|row| row.id == run).map_or("root", |row| &*row.name)
    };
    let mut differs = false;
    for difference in diff.iter() {
        differs = true;
        let name = name_of(difference.run);
        if arguments.json {
            serde_json::to_writer(&mut *out, &json_line(&difference, name)?)?;
            out.write_all(b"\n")?;
        } else {
            writeln!(out, "{}", line(&difference, name))?;
        }
    }
    if !differs && !arguments.json {
        writeln!(out, "no difference")?;
    }
    Ok(())
}

/// What a side names, and the state in which its runs have their names.
fn side(db: &Database, path: &Path, asked: &str) -> Result<(DiffSide, View), Failure> {
    if let Some(lsn) = asked.strip_prefix("lsn:").and_then(|lsn| lsn.parse().ok()) {
        let view = db.view_at(Lsn(lsn))?;
        return Ok((DiffSide::from(&view), view));
    }
    let run = find_run(path, &db.view(), asked.strip_prefix("run:").unwrap_or(asked))?;
    Ok((DiffSide::from(&run), run.view().clone()))
}

fn line(difference: &Difference<'_>, name: &str) -> String {
    let Difference { primitive, change, .. } = difference;
    let shown = |value: &ValueRef<'_>| one_line(&value.to_json(), VALUE_CHARACTERS_MAX);
    let mark = match change.kind() {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Changed => '~',
    };
    let mut line = format!("{mark} {} {primitive} {}", one_line(name, usize::MAX), change.field());
    if let Some(key) = change.key() {
        line += &format!(" {}", shown(key));
    }
    match (change.before(), change.after()) {
        (Some(before), Some(after)) => line += &format!(" {} -> {}", shown(before), shown(after)),
        (Some(value), None) | (None, Some(value)) => line += &format!(" {}", shown(value)),
        (None, None) => {}
    }
    line
}

fn json_line<'a>(difference: &Difference<'a>, name: &'a str) -> serde_json::Result<ChangeLine<'a>> {
    let Difference { run, primitive, change } = difference;
    let raw = |value: Option<&ValueRef<'_>>| {
        value.map(|value| RawValue::from_string(value.to_json())).transpose()
    };
    Ok(ChangeLine {
        change: match change.kind() {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        },
        run: *run,
        name,
        primitive,
        field: change.field(),
        key: raw(change.key())?,
        before: raw(change.before())?,
        after: raw(change.after())?,
    })
}
