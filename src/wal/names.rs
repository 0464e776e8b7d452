//! The names of the log's files, and which name means what.
//!
//! - A number has one name: six digits, more only where six do not do.
//! - A temporary file is named for what it becomes, and is superfluous whenever it is found.

use std::path::PathBuf;

use crate::id::SegmentId;

/// The directory of the log.
pub(crate) const WAL_DIR: &str = "wal";

/// The synced mark.
pub(crate) const MARK: &str = "wal/synced";

/// Where copies of torn tails go before they are cut.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// What a name in the log's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalName {
    /// A segment.
    Segment(SegmentId),
    /// A segment that was not finished.
    Temporary,
    /// The synced mark.
    Mark,
    /// Nothing of ours.
    Foreign,
}

/// What `name`, in the log's directory, stands for.
pub(crate) fn parse(name: &str) -> WalName {
    if name == "synced" {
        return WalName::Mark;
    }
    let (stem, is_temporary) = match name.strip_suffix(".wal.tmp") {
        Some(stem) => (stem, true),
        None => (name.strip_suffix(".wal").unwrap_or_default(), false),
    };
    match stem.parse::<u64>() {
        // One number, one name: `7.wal` and `+00007.wal` are none of ours.
        Ok(number) if number > 0 && stem == format!("{number:06}") => {
            if is_temporary {
                WalName::Temporary
            } else {
                WalName::Segment(SegmentId(number))
            }
        }
        _ => WalName::Foreign,
    }
}

/// The file of a segment, below the database's directory.
pub(crate) fn segment_path(segment: SegmentId) -> PathBuf {
    PathBuf::from(format!("{WAL_DIR}/{:06}.wal", segment.0))
}

/// The file in which a segment is begun.
pub(crate) fn temporary_path(segment: SegmentId) -> PathBuf {
    PathBuf::from(format!("{WAL_DIR}/{:06}.wal.tmp", segment.0))
}

/// The copy of what was cut off a segment from `offset` on; `attempt` counts from 0 and tells apart
/// different bytes cut at the same place.
pub(crate) fn quarantine_path(segment: SegmentId, offset: u64, attempt: u32) -> PathBuf {
    let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
    PathBuf::from(format!("{QUARANTINE_DIR}/{:06}-{offset}{suffix}.cut", segment.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        for number in [1, 7, 999_999, 1_000_000, u64::MAX] {
            let path = segment_path(SegmentId(number));
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(parse(name), WalName::Segment(SegmentId(number)));
            let path = temporary_path(SegmentId(number));
            assert_eq!(parse(path.file_name().unwrap().to_str().unwrap()), WalName::Temporary);
        }
        assert_eq!(parse("synced"), WalName::Mark);
        for name in
            ["", "7.wal", "0000007.wal", "+00007.wal", "000000.wal", "000007.wal.bak", ".wal"]
        {
            assert_eq!(parse(name), WalName::Foreign, "{name}");
        }
    }
}
