//! `verify` and `checkpoint`.
//!
//! - `verify` is a dry run of opening that also reads the snapshots and segments which opening may
//!   skip, but for segments that are superfluous. It changes nothing.
//! - Of a log that opening refuses it says where the last good state is, and what stands behind the
//!   damage: LSNs, primitives, runs.
//! - A torn tail is no damage; a snapshot that cannot be used is, even if an older one can.

use std::io::Write;

use crate::cli::args::{ListingArguments, VerifyArguments};
use crate::cli::failure::Failure;
use crate::cli::opening::{expect_database, open_existing};
use crate::cli::text::{count, write_indented};
use crate::error::Error;

/// `freehold verify DB`.
pub(crate) fn verify(arguments: &VerifyArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let VerifyArguments { listing: arguments, deep } = arguments;
    expect_database(&arguments.db)?;
    let report = match crate::database::verify(&arguments.db) {
        Ok(report) => report,
        Err(refusal @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
            return Err(refused(arguments, refusal, out)?);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if arguments.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        write_indented(out, "", &report.to_string())?;
    }
    if *deep {
        compare(arguments, out)?;
    }
    if report.damaged_snapshots.is_empty() && report.damaged_segments.is_empty() {
        Ok(())
    } else {
        Err(Failure::Damaged { path: arguments.db.clone() })
    }
}

/// Replays the log up to the newest snapshot and compares.
fn compare(arguments: &ListingArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let comparison = crate::database::compare_replay(&arguments.db)?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &comparison)?;
        out.write_all(b"\n")?;
    }
    let Some(comparison) = comparison else {
        if !arguments.json {
            writeln!(
                out,
                "nothing to compare: no whole snapshot, or no log that leads to it any more"
            )?;
        }
        return Ok(());
    };
    let differs = comparison.only_in_snapshot.iter().chain(&comparison.only_in_replay);
    let mut differing: Vec<_> = differs.map(|digest| (digest.run, digest.primitive)).collect();
    differing.sort();
    differing.dedup();
    if !arguments.json {
        let lsn = comparison.snapshot_lsn;
        match differing.len() {
            0 => writeln!(out, "replaying the log gives the state of the snapshot at LSN {lsn}")?,
            _ => writeln!(out, "replaying the log does not give the snapshot at LSN {lsn}:")?,
        }
        for (run, primitive) in &differing {
            writeln!(out, "  {primitive} in run {run} differs")?;
        }
    }
    if differing.is_empty() { Ok(()) } else { Err(Failure::Damaged { path: arguments.db.clone() }) }
}

/// Opening would refuse: says up to where there is a state, and what stands behind the damage.
fn refused(
    arguments: &ListingArguments,
    refusal: Error,
    out: &mut dyn Write,
) -> Result<Failure, Failure> {
    // Where not even that can be read, the refusal says it all.
    let Ok((view, report)) = crate::database::salvage(&arguments.db) else {
        return Ok(refusal.into());
    };
    if arguments.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "opening is refused; the last good state is at LSN {}", view.lsn())?;
        if let Some(behind) = &report.behind {
            writeln!(out, "{behind}")?;
        }
    }
    Ok(refusal.into())
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
