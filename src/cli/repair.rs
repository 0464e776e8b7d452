//! `repair` and `backup`: new databases out of one that stays as it is.
//!
//! - A copy of damage that opening does not meet is made, and is a failure all the same: the original
//!   is not what somebody believes who makes copies of it.

use std::io::Write;

use crate::cli::args::{BackupArguments, RepairArguments};
use crate::cli::failure::Failure;
use crate::cli::opening::expect_database;
use crate::cli::text::{count, write_indented};
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
                None => writeln!(out, "no damage is in the way of opening")?,
            }
            if let Some(behind) = &report.behind {
                writeln!(out, "{behind}")?;
            }
            view.lsn().next()
        }
    };
    let view = database::state_before(db, before, into)?;
    let runs = view.runs().len() as u64;
    if runs > 0 {
        let runs = count(runs, "run has", "runs have");
        writeln!(out, "{runs} the state there, and no history: replaying it is refused")?;
    }
    writeln!(out, "{} has the state at LSN {}", into.display(), view.lsn())?;
    Ok(())
}

/// `freehold backup DB COPY`.
pub(crate) fn backup(arguments: &BackupArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let BackupArguments { db, copy, json } = arguments;
    expect_database(db)?;
    let report = database::backup(db, copy)?;
    // As `verify` judges the original.
    let is_damaged = report.has_damage();
    if *json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        let what = if is_damaged { "a copy, also of the damage" } else { "a verified copy" };
        writeln!(out, "{} is {what}", copy.display())?;
        write_indented(out, "", &report.to_string())?;
    }
    if is_damaged { Err(Failure::Damaged { path: db.clone() }) } else { Ok(()) }
}
