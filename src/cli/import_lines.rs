//! `import`: a new database out of what `export` wrote.
//!
//! - The lines are read and compared before any file is made.
//! - The database is made in a directory beside its own, and gets its name when it is whole. What a
//!   killed import left there, the next one removes.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use crate::cli::args::ImportLinesArguments;
use crate::cli::export::said;
use crate::cli::failure::Failure;
use crate::database;
use crate::error::Error;
use crate::lines::{self, LinesError};
use crate::registry::PrimitiveRegistry;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// `freehold import DB [FILE]`.
pub(crate) fn run(arguments: &ImportLinesArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = &arguments.db;
    // Before anything is read, which may take long.
    database::refuse_full(db)?;
    let registry = PrimitiveRegistry::linked().map_err(Error::from)?;
    let (place, mut reader) = open(arguments.file.as_deref())?;
    let (mut state, moved) = lines::import(registry, &mut *reader).map_err(|why| match why {
        LinesError::Engine(error) => Failure::Engine(error),
        why => Failure::Lines { place, why },
    })?;
    let published = state.publish_all();
    database::found(&published, db).inspect_err(|error| match error {
        // Then it is not ours.
        Error::Locked { .. } | Error::NotEmpty { .. } => {}
        _ => remove(&database::part(db)),
    })?;
    writeln!(out, "{} imported, at LSN {}", said(moved), published.lsn)?;
    Ok(())
}

/// The file, or standard input, and what it is called.
#[expect(clippy::disallowed_types, reason = "a file of the user's, no database")]
fn open(file: Option<&Path>) -> Result<(Box<str>, Box<dyn BufRead>), Failure> {
    let Some(path) = file else {
        let reader = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
        return Ok(("standard input".into(), Box::new(reader)));
    };
    let opened = std::fs::File::open(path);
    let file = opened.map_err(|source| Failure::File { op: "open", path: path.into(), source })?;
    let place = path.display().to_string().into();
    Ok((place, Box::new(BufReader::with_capacity(BUFFER_BYTES, file))))
}

/// Removes what was begun. What stays, the next import removes.
fn remove(aside: &Path) {
    #[expect(clippy::disallowed_methods, reason = "a directory that was never a database")]
    let _ = std::fs::remove_dir_all(aside);
}
