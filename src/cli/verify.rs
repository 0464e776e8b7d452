//! `verify` and `checkpoint`.
//!
//! - `verify` is a dry run of opening that afterwards reads the snapshots and segments which opening
//!   does not read whole, but for segments that are superfluous. It changes nothing.
//! - Of a log that opening refuses it says where the last good state is, and what stands behind the
//!   damage: LSNs, primitives, runs.
//! - A torn tail is no damage; a snapshot that cannot be used is, even if an older one can, and so are a
//!   segment that the newest snapshot covers, and a history file, without which some runs cannot be
//!   replayed. Of these it says that opening is not refused.
//! - A history that was given up is no damage either; one that is lost is, and `--deep` finds it.

use std::io::Write;

use crate::cli::args::{ListingArguments, VerifyArguments};
use crate::cli::failure::Failure;
use crate::cli::opening::{expect_database, open_existing};
use crate::cli::text::{count, write_indented};
use crate::database::RunsComparison;
use crate::error::Error;

/// `freehold verify DB`.
pub(crate) fn verify(arguments: &VerifyArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let VerifyArguments { listing: arguments, deep } = arguments;
    expect_database(&arguments.db)?;
    let report = match crate::database::verify(&arguments.db) {
        Ok(report) => report,
        Err(refusal) if refusal.is_damage() || matches!(refusal, Error::Missing { .. }) => {
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
    let mut good = !report.has_damage();
    if !good && !arguments.json {
        writeln!(out, "opening is not refused: what is damaged is not needed for this state")?;
    }
    if *deep {
        good &= compare(arguments, out)?;
        good &= compare_runs(arguments, out)?;
    }
    if good { Ok(()) } else { Err(Failure::Damaged { path: arguments.db.clone() }) }
}

/// Replays the log up to the newest snapshot and compares: whether the two states are the same, as far
/// as there are two.
fn compare(arguments: &ListingArguments, out: &mut dyn Write) -> Result<bool, Failure> {
    let comparison = match crate::database::compare_replay(&arguments.db) {
        // Opening does not read it, so there is more to say, and runs to compare.
        Err(damage) if damage.is_damage() && !arguments.json => {
            writeln!(out, "the log that leads to the newest snapshot is damaged: {damage}")?;
            return Ok(false);
        }
        Err(damage) if damage.is_damage() => {
            out.write_all(b"null\n")?;
            return Ok(false);
        }
        comparison => comparison?,
    };
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
        return Ok(true);
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
    Ok(differing.is_empty())
}

/// Replays each run and compares: whether none is another state than its own, as far as runs can be
/// replayed.
fn compare_runs(arguments: &ListingArguments, out: &mut dyn Write) -> Result<bool, Failure> {
    let comparison = crate::database::compare_runs(&arguments.db)?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &comparison)?;
        out.write_all(b"\n")?;
    } else {
        write_runs(&comparison, out)?;
    }
    Ok(comparison.different.is_empty() && comparison.failed.is_empty())
}

fn write_runs(comparison: &RunsComparison, out: &mut dyn Write) -> Result<(), Failure> {
    let RunsComparison { same, cut, different, failed } = comparison;
    let replayed = count(*same as u64, "run", "runs");
    writeln!(out, "{replayed} replayed, each with the state that it has")?;
    if !cut.is_empty() {
        let cut = count(cut.len() as u64, "run", "runs");
        writeln!(out, "{cut} cannot be replayed: the history is not kept as far back")?;
    }
    for run in different {
        writeln!(out, "replaying run {run} does not give the state that it has")?;
    }
    for (run, why) in failed {
        writeln!(out, "run {run} cannot be replayed: {why}")?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RunId;

    #[test]
    fn every_run_that_is_not_the_same_replayed_is_told_of() {
        let comparison = RunsComparison {
            same: 1_526,
            cut: vec![RunId(1)],
            different: vec![RunId(2)],
            failed: vec![(RunId(3), "why".into())],
        };
        let mut out = Vec::new();
        write_runs(&comparison, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1,526 runs replayed, each with the state that it has\n\
             1 run cannot be replayed: the history is not kept as far back\n\
             replaying run 2 does not give the state that it has\n\
             run 3 cannot be replayed: why\n"
        );
    }
}
