//! `repair` and `backup`: new databases out of one that stays as it is.

use std::io::Write;

use crate::cli::args::{BackupArguments, RepairArguments};
use crate::cli::failure::Failure;
use crate::cli::opening::expect_database;
use crate::cli::text::write_indented;
use crate::database;
use crate::id::Lsn;

/// `freehold repair DB --into NEW`.
pub(crate) fn repair(arguments: &RepairArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let RepairArguments { db, into, before } = arguments;
    expect_database(db)?;
    let before = match before {
        Some(before) => Lsn(*before),
        None => {
            let (view, report) = database::salvage(db)?;
            match &report.stopped_at {
                Some(damage) => writeln!(out, "{damage}")?,
                None => writeln!(out, "there is no damage")?,
            }
            if let Some(behind) = &report.behind {
                writeln!(out, "{behind}")?;
            }
            view.lsn().next()
        }
    };
    let lsn = database::stop_before(db, before, into)?;
    writeln!(out, "{} has the state at LSN {lsn}", into.display())?;
    Ok(())
}

/// `freehold backup DB COPY`.
pub(crate) fn backup(arguments: &BackupArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let BackupArguments { db, copy, json } = arguments;
    expect_database(db)?;
    let report = database::backup(db, copy)?;
    if *json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "{} is a verified copy", copy.display())?;
        write_indented(out, "", &report.to_string())?;
    }
    Ok(())
}
