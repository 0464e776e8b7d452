//! `export`: a database as lines of JSON.
//!
//! - A file has its name only when it is whole: until then it is another one beside it.
//! - Only a file is replaced: a pipe or a device that has the name stays what it is.
//! - Nothing of a primitive that is not linked is left out in silence.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::args::ExportArguments;
use crate::cli::failure::Failure;
use crate::cli::listing::find_run;
use crate::cli::opening::read_named;
use crate::cli::text::count;
use crate::id::RunId;
use crate::lines::{self, LinesError, Moved, Selection};

/// What a file is called before it is whole.
const UNFINISHED: &str = ".unfinished";

/// `freehold export DB [FILE]`.
pub(crate) fn run(arguments: &ExportArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let (view, database) = read_named(&arguments.db)?;
    let found = |asked: &String| Ok(find_run(&arguments.db, &view, asked)?.id());
    let runs: Vec<RunId> = arguments.run.iter().map(found).collect::<Result<_, Failure>>()?;
    let selection = Selection {
        primitives: (!arguments.primitive.is_empty()).then(|| arguments.primitive.clone()),
        runs: (!runs.is_empty()).then_some(runs),
    };
    let Some(file) = &arguments.file else {
        return match lines::export(&view, database, &selection, out) {
            Ok(_) => Ok(()),
            Err(LinesError::Write(error)) => Err(Failure::Output(error)),
            Err(LinesError::Engine(error)) => Err(Failure::Engine(error)),
            Err(why) => Err(of(&arguments.db, why)),
        };
    };
    let moved = whole(file, |out| {
        lines::export(&view, database, &selection, out).map_err(|why| match why {
            LinesError::Write(_) => of(file, why),
            LinesError::Engine(error) => Failure::Engine(error),
            why => of(&arguments.db, why),
        })
    })?;
    writeln!(out, "{} exported to {}", said(moved), file.display())?;
    Ok(())
}

/// As a sentence begins.
pub(super) fn said(moved: Moved) -> String {
    let Moved { runs, instances, rows } = moved;
    format!(
        "{}, {} and {}",
        count(runs, "run", "runs"),
        count(instances, "instance", "instances"),
        count(rows, "row", "rows")
    )
}

fn of(place: &Path, why: LinesError) -> Failure {
    Failure::Lines { place: place.display().to_string().into(), why }
}

/// Lets `write` fill a file, and gives it its name then, durably.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a file of the user's, no database"
)]
fn whole<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let fault = |op, source| Failure::File { op, path: path.into(), source };
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(fault("replace", io::Error::other("not a regular file")));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let file = std::fs::File::create(&unfinished).map_err(|error| fault("create", error))?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out).and_then(|value| {
        let file = out.into_inner().map_err(|error| fault("write", error.into_error()))?;
        file.sync_all().map_err(|error| fault("sync", error))?;
        std::fs::rename(&unfinished, path).map_err(|error| fault("rename", error))?;
        Ok(value)
    });
    if written.is_err() {
        // What went wrong first is what the caller must learn.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}
