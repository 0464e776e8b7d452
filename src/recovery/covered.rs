//! The sealed segments that a snapshot covers. They hold nothing new, so opening reads only their ends; who
//! looks at all files reads them whole.

use crate::disk::DiskRef;
use crate::error::{Error, Result};
use crate::id::Lsn;
use crate::wal::scan::{SegmentReader, Step};

use super::case::Place;
use super::plan::{Found, Plan};
use super::scan::{goes_beyond, judge};

/// What is wrong with the sealed segments at or below `start`.
pub(super) fn damage(
    disk: &DiskRef,
    plan: &Plan,
    found: &Found,
    start: Lsn,
) -> Result<Vec<Box<str>>> {
    let mut damage = Vec::new();
    let mut reader = SegmentReader::default();
    for planned in plan.segments.iter().filter(|segment| !goes_beyond(segment, found, start)) {
        let Some(ends) = found.segments.get(planned.found) else { continue };
        match reader.read(disk, ends.id).and_then(|()| check_whole(&reader)) {
            Ok(()) => {}
            Err(error) if error.is_damage() || matches!(error, Error::Version { .. }) => {
                let why = format_args!("the snapshot at LSN {start} covers its records");
                damage.push(format!("{error}; {why}").into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(damage)
}

/// Checks every record of a sealed segment.
fn check_whole(reader: &SegmentReader) -> Result<()> {
    let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else {
        return Ok(());
    };
    ends.header.features.refuse_unknown(reader.path())?;
    let stop = loop {
        if let Step::Stop(stop) = records.step() {
            break stop;
        }
    };
    judge(reader, Place::Sealed, &stop, records.tail(), (Lsn::ZERO, "nothing"))
}
