//! `verify` and `checkpoint`.
//!
//! - `verify` is a dry run of opening that also reads the snapshots and segments which opening may
//!   skip, but for segments that are superfluous. It changes nothing.
//! - A torn tail is no damage; a snapshot that cannot be used is, even if an older one can.

use std::io::Write;

use crate::cli::args::ListingArguments;
use crate::cli::failure::Failure;
use crate::cli::opening::{expect_database, open_existing};
use crate::cli::text::{count, write_indented};

/// `freehold verify DB`.
pub(crate) fn verify(arguments: &ListingArguments, out: &mut dyn Write) -> Result<(), Failure> {
    expect_database(&arguments.db)?;
    let report = crate::database::verify(&arguments.db)?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        write_indented(out, "", &report.to_string())?;
    }
    if report.damaged_snapshots.is_empty() && report.damaged_segments.is_empty() {
        Ok(())
    } else {
        Err(Failure::Damaged { path: arguments.db.clone() })
    }
}

/// `freehold checkpoint DB`.
pub(crate) fn checkpoint(arguments: &ListingArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let db = open_existing(&arguments.db)?;
    let report = db.checkpoint()?;
    db.close()?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else if report.snapshot_bytes == 0 {
        writeln!(out, "nothing has changed since the last checkpoint, at LSN {}", report.lsn)?;
    } else {
        writeln!(
            out,
            "snapshot at LSN {}, {}; {} and {} removed",
            report.lsn,
            count(report.snapshot_bytes, "byte", "bytes"),
            count(report.snapshots_removed as u64, "older snapshot", "older snapshots"),
            count(report.segments_removed as u64, "segment", "segments"),
        )?;
    }
    Ok(())
}
