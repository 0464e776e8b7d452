//! A snapshot file: header, sections, footer table, trailer.
//!
//! - The header is at the first byte, the trailer at the last, and the trailer says where the footer
//!   table is: a file without its last byte is no snapshot.
//! - A section's data starts on a multiple of 64 of the file, its [`SnapshotSectionHeader`] ends
//!   right before it, and zeros fill what is between.
//! - Section 0 is the engine's own, of the same make: one instance, with the [`core_table`]s.
//! - What is kept of the log for runs, and a run on its way elsewhere, are files of the same make, in
//!   which instances have carried entries and no rows; the core's own entries of each run stand in
//!   section 0, behind its one instance.
//! - Sections stand by type ID, instances by run, each once. Nothing in the file depends on a clock,
//!   an address or a hash: the same history makes the same bytes.
//! - Every byte is under a checksum that is checked before the byte is used, or is compared with
//!   the zero it must be. Besides, one checksum covers the whole file up to the trailer.

use crate::error::Damage;
use crate::format::RUN_NAME_BYTES_MAX;
use crate::format::core_entry::{Told, decode_parent};
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::format::section::check_crc;
#[cfg(test)]
use crate::format::section::{BLOCK_ROW, INSTANCE_ROW, SECTION_HEADER, SECTION_ROW};
use crate::format::version::{
    FEATURES_FIELD, Features, Front, HeaderError, RELEASE, RELEASE_FIELD, begin_header,
    check_magic, decode_front, end_header,
};
use crate::id::{DatabaseId, Epoch, Lsn, RunId, Timestamp};

pub use crate::format::section::SnapshotSectionHeader;

const TRAILER_MAGIC: [u8; 8] = *b"SNAPTAIL";

/// What a file of this make holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The whole state at one LSN.
    Snapshot,
    /// Entries of runs from a piece of the log.
    History,
    /// All entries of one run, to be imported elsewhere.
    Bundle,
}

impl FileKind {
    #[cfg(test)]
    const ALL: [FileKind; 3] = [FileKind::Snapshot, FileKind::History, FileKind::Bundle];

    fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Snapshot => *b"FREESNAP",
            FileKind::History => *b"FREEHIST",
            FileKind::Bundle => *b"FREEBNDL",
        }
    }
}

/// The header.
pub(crate) const HEADER: &[Field] = &[
    ("magic: `FREESNAP`, `FREEHIST` or `FREEBNDL`", 8),
    ("format version", 4),
    ("header length", 4),
    FEATURES_FIELD,
    ("database", 16),
    ("first LSN; of a snapshot, that from which histories are kept", 8),
    ("last LSN", 8),
    ("timestamp of that record", 8),
    ("chain checksum behind that record", 4),
    ("epoch of the writer", 4),
    RELEASE_FIELD,
    ("CRC32 of the header so far", 4),
];

const TRAILER: &[Field] = &[
    ("file length", 8),
    ("offset of the footer table", 8),
    ("section count", 4),
    ("CRC32 of the footer table", 4),
    ("CRC32 of the header, as in the header", 4),
    ("CRC32 of the file up to the trailer", 4),
    ("reserved, zero", 4),
    ("CRC32 of the trailer so far", 4),
    ("magic `SNAPTAIL`", 8),
];

const RUN_ROW: &[Field] = &[
    ("run", 8),
    ("parent, 0 if none or the root", 8),
    ("LSN of the parent, 0 if none", 8),
    ("LSN that made it", 8),
    ("LSN of its last record", 8),
    ("flags: 1 a fork, 2 deleted, and others need it", 4),
    ("reserved, zero", 4),
    ("told LSN: the highest that an origin in the run told, 0 if none", 8),
    ("told timestamp: likewise", 8),
    ("name, UTF-8", 0),
];

/// Bytes of a snapshot's header.
pub(crate) const HEADER_LEN: usize = width_of_all(HEADER);
/// Bytes of the trailer.
pub(crate) const TRAILER_LEN: usize = width_of_all(TRAILER);
/// What the data of a section is aligned to.
pub(crate) const SECTION_ALIGN: u64 = 64;
/// What the footer table is aligned to.
pub(crate) const FOOTER_ALIGN: u64 = 8;

/// The type ID of the engine's own section.
pub(crate) const CORE_TYPE_ID: u8 = 0;
/// The version of that section.
pub(crate) const CORE_SECTION_VERSION: u32 = 1;

const _: () = assert!(HEADER_LEN == 96);
/// Bytes of a row of the run table before the name.
const RUN_ROW_LEN: usize = width_of_all(RUN_ROW);

const _: () = assert!(TRAILER_LEN == 48 && RUN_ROW_LEN == 64);

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    ("Header of a snapshot", "At the first byte.", HEADER),
    ("Header of a section", "Right before the data, which is aligned to 64.", SECTION_HEADER),
    ("Row of a block index", "Behind the last block of a section.", BLOCK_ROW),
    ("Row of an instance table", "Behind the block index.", INSTANCE_ROW),
    ("Row of the footer table", "Behind the last section, aligned to 8.", SECTION_ROW),
    ("Trailer", "The last bytes of the file.", TRAILER),
    (
        "Row of the run table",
        "In section 0: table 1 is the catalog in one row, table 2 the runs in a row each, \
         table 3 one row of 16 bytes: the next run's number, and the LSN of the root's last record.",
        RUN_ROW,
    ),
];

/// The tables of section 0.
pub(crate) mod core_table {
    /// One row: the catalog.
    pub(crate) const CATALOG: u32 = 1;
    /// A row for each run.
    pub(crate) const RUNS: u32 = 2;
    /// One row: the number of the next run, and the last record with an entry of the root.
    pub(crate) const NEXT_RUN: u32 = 3;
}

/// The header of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    pub(crate) kind: FileKind,
    pub(crate) features: Features,
    pub(crate) database: DatabaseId,
    /// The first record of which entries are in it; of a state, that from which what its runs did is
    /// kept somewhere.
    pub(crate) first_lsn: Lsn,
    /// The last record in it.
    pub(crate) lsn: Lsn,
    /// That record's time.
    pub(crate) timestamp: Timestamp,
    /// The log's chain checksum behind that record.
    pub(crate) chain: u32,
    pub(crate) epoch: Epoch,
}

impl SnapshotHeader {
    /// The header, which ends in its checksum.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = begin_header(self.kind.magic(), HEADER_LEN, &self.features);
        bytes.put_bytes(&self.database.0);
        bytes.put_u64(self.first_lsn.0);
        bytes.put_u64(self.lsn.0);
        bytes.put_u64(self.timestamp.0);
        bytes.put_u32(self.chain);
        bytes.put_u32(self.epoch.0);
        bytes.put_bytes(&RELEASE);
        end_header(&mut bytes);
        bytes
    }

    /// Decodes the header at the start of `bytes`, the first of the file, and says how long it is and
    /// what its checksum is, which the trailer repeats.
    pub(crate) fn decode(
        bytes: &[u8],
        kind: FileKind,
    ) -> Result<(SnapshotHeader, usize, u32), HeaderError> {
        let front = decode_front(bytes, kind.magic(), HEADER_LEN)?;
        let Front { features, len, crc, rest: mut cursor } = front;
        let database = DatabaseId(cursor.array("database of a snapshot")?);
        let first_lsn = Lsn(cursor.u64("first LSN of a snapshot")?);
        let lsn = Lsn(cursor.u64("LSN of a snapshot")?);
        let timestamp = Timestamp(cursor.u64("timestamp of a snapshot")?);
        let chain = cursor.u32("chain checksum of a snapshot")?;
        let epoch = Epoch(cursor.u32("epoch of a snapshot")?);
        if kind == FileKind::Snapshot && first_lsn > lsn.next() {
            let (of, found, most) = ("first LSN of a snapshot", first_lsn.0, lsn.next().0);
            return Err(Damage::TooLarge { of, found, most }.into());
        }
        let header =
            SnapshotHeader { kind, features, database, first_lsn, lsn, timestamp, chain, epoch };
        Ok((header, len, crc))
    }
}

/// The end of a snapshot, from which everything else is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) file_len: u64,
    pub(crate) footer_offset: u64,
    pub(crate) section_count: u32,
    pub(crate) footer_crc: u32,
    pub(crate) header_crc: u32,
    pub(crate) file_crc: u32,
}

impl Trailer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_LEN);
        bytes.put_u64(self.file_len);
        bytes.put_u64(self.footer_offset);
        bytes.put_u32(self.section_count);
        bytes.put_u32(self.footer_crc);
        bytes.put_u32(self.header_crc);
        bytes.put_u32(self.file_crc);
        bytes.put_u32(0);
        let crc = crc32fast::hash(&bytes);
        bytes.put_u32(crc);
        bytes.put_bytes(&TRAILER_MAGIC);
        bytes
    }

    /// Decodes the last bytes of a file of `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8; TRAILER_LEN], file_len: u64) -> Result<Trailer, Damage> {
        let mut cursor = Cursor::new(bytes);
        let trailer = Trailer {
            file_len: cursor.u64("file length in a trailer")?,
            footer_offset: cursor.u64("offset of a footer table")?,
            section_count: cursor.u32("section count of a snapshot")?,
            footer_crc: cursor.u32("checksum of a footer table")?,
            header_crc: cursor.u32("checksum of a header in a trailer")?,
            file_crc: cursor.u32("checksum of a file")?,
        };
        let reserved = cursor.u32("reserved bytes of a trailer")?;
        let checked = bytes.get(..cursor.position()).unwrap_or_default();
        let crc = cursor.u32("checksum of a trailer")?;
        check_magic(&mut cursor, TRAILER_MAGIC, "magic of a trailer")?;
        check_crc("trailer", checked, crc)?;
        if reserved != 0 {
            return Err(Damage::Undecodable { of: "reserved bytes of a trailer" });
        }
        if trailer.file_len != file_len {
            let (found, expected) = (file_len, trailer.file_len);
            return Err(Damage::Value { of: "file length", found, expected });
        }
        Ok(trailer)
    }
}

/// One run, as the run table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) run: RunId,
    /// The run it was forked from, and at which record.
    pub(crate) parent: Option<(RunId, Lsn)>,
    /// The record that made it.
    pub(crate) created_lsn: Lsn,
    /// The last record with an entry of the run, or the one that made it.
    pub(crate) last_lsn: Lsn,
    /// What its operations were told at most, where they were not told their own record.
    pub(crate) told: Told,
    /// Its history begins with its parent's.
    pub(crate) is_fork: bool,
    /// It is deleted, and others descend from it; nothing but its parent is known then.
    pub(crate) is_gone: bool,
    pub(crate) name: String,
}

impl RunRow {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let (parent, parent_lsn) = self.parent.unwrap_or_default();
        bytes.reserve(RUN_ROW_LEN + self.name.len());
        bytes.put_u64(self.run.0);
        bytes.put_u64(parent.0);
        bytes.put_u64(parent_lsn.0);
        bytes.put_u64(self.created_lsn.0);
        bytes.put_u64(self.last_lsn.0);
        bytes.put_u32(u32::from(self.is_fork) | u32::from(self.is_gone) << 1);
        bytes.put_u32(0);
        bytes.put_u64(self.told.lsn.0);
        bytes.put_u64(self.told.timestamp.0);
        bytes.put_bytes(self.name.as_bytes());
    }

    pub(crate) fn decode(row: &[u8]) -> Result<RunRow, Damage> {
        let mut cursor = Cursor::new(row);
        let run = RunId(cursor.u64("run of a run table")?);
        let parent = RunId(cursor.u64("parent of a run")?);
        let parent_lsn = Lsn(cursor.u64("LSN of a run's parent")?);
        let created_lsn = Lsn(cursor.u64("LSN that made a run")?);
        let last_lsn = Lsn(cursor.u64("last LSN of a run")?);
        let flags = cursor.u32("flags of a run")?;
        if flags > 3 {
            return Err(Damage::TooLarge { of: "flags of a run", found: flags.into(), most: 3 });
        }
        cursor.zeros(4, "reserved bytes of a run table")?;
        let told = Told {
            lsn: Lsn(cursor.u64("told LSN of a run")?),
            timestamp: Timestamp(cursor.u64("told timestamp of a run")?),
        };
        let name = cursor.rest();
        if name.len() > RUN_NAME_BYTES_MAX {
            let (found, most) = (name.len() as u64, RUN_NAME_BYTES_MAX as u64);
            return Err(Damage::TooLarge { of: "length of a run's name", found, most });
        }
        let name = std::str::from_utf8(name)
            .map_err(|_| Damage::Undecodable { of: "name of a run" })?
            .to_owned();
        let parent = decode_parent(parent, parent_lsn)?;
        let (is_fork, is_gone) = (flags & 1 != 0, flags & 2 != 0);
        Ok(RunRow { run, parent, created_lsn, last_lsn, told, is_fork, is_gone, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::version::{FORMAT_VERSION, tests::lengthened};

    fn header() -> SnapshotHeader {
        SnapshotHeader {
            kind: FileKind::Snapshot,
            first_lsn: Lsn(0),
            features: Features { compatible: 1, read_only_compatible: 2, incompatible: 0 },
            database: DatabaseId([3; 16]),
            lsn: Lsn(4),
            timestamp: Timestamp(5),
            chain: 6,
            epoch: Epoch(7),
        }
    }

    #[test]
    fn a_header_comes_back_also_when_more_stands_behind_it() {
        let mut bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_LEN);
        let crc = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
        bytes.extend_from_slice(&[0xff; 100]);
        let decoded = SnapshotHeader::decode(&bytes, FileKind::Snapshot);
        assert_eq!(decoded, Ok((header(), HEADER_LEN, crc)));
        for len in 0..HEADER_LEN {
            let short = SnapshotHeader::decode(&bytes[..len], FileKind::Snapshot);
            assert!(matches!(short, Err(HeaderError::Damage(_))), "{len}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        for kind in FileKind::ALL {
            let header = SnapshotHeader { kind, ..header() };
            for expected in FileKind::ALL {
                let decoded = SnapshotHeader::decode(&header.encode(), expected);
                let decoded = decoded.ok().map(|(header, ..)| header);
                assert_eq!(decoded, (kind == expected).then(|| header.clone()));
            }
        }
    }

    #[test]
    fn the_histories_of_a_state_are_kept_from_the_record_behind_it_at_the_latest() {
        for (first_lsn, is_right) in [(0, true), (5, true), (6, false), (u64::MAX, false)] {
            let header = SnapshotHeader { first_lsn: Lsn(first_lsn), ..header() };
            let decoded = SnapshotHeader::decode(&header.encode(), FileKind::Snapshot);
            assert_eq!(decoded.is_ok(), is_right, "{first_lsn}");
        }
    }

    #[test]
    fn a_header_that_a_later_build_made_longer_is_read_as_far_as_it_is_known() {
        let longer = lengthened(header().encode(), HEADER_LEN, FORMAT_VERSION);
        let (decoded, len, crc) = SnapshotHeader::decode(&longer, FileKind::Snapshot).unwrap();
        assert_eq!((decoded, len), (header(), longer.len()));
        assert_eq!(crc.to_le_bytes(), longer[len - 4..]);
    }

    #[test]
    fn a_trailer_comes_back_for_a_file_of_its_length_alone() {
        let trailer = Trailer {
            file_len: 1_000,
            footer_offset: 2,
            section_count: 3,
            footer_crc: 4,
            header_crc: 5,
            file_crc: 6,
        };
        let bytes: [u8; TRAILER_LEN] = trailer.encode().try_into().unwrap();
        assert_eq!(Trailer::decode(&bytes, 1_000), Ok(trailer));
        let other = Damage::Value { of: "file length", found: 999, expected: 1_000 };
        assert_eq!(Trailer::decode(&bytes, 999), Err(other));
    }

    #[test]
    fn a_run_comes_back() {
        for parent in [None, Some((RunId(3), Lsn(9)))] {
            let run = RunRow {
                run: RunId(5),
                parent,
                created_lsn: Lsn(10),
                last_lsn: Lsn(11),
                told: Told { lsn: Lsn(12), timestamp: Timestamp(13) },
                is_fork: parent.is_some(),
                is_gone: parent.is_none(),
                name: "retail/año".into(),
            };
            let mut bytes = Vec::new();
            run.encode(&mut bytes);
            assert_eq!(RunRow::decode(&bytes), Ok(run));
            for len in 0..RUN_ROW_LEN {
                assert!(RunRow::decode(&bytes[..len]).is_err(), "{len}");
            }
            bytes.resize(RUN_ROW_LEN + RUN_NAME_BYTES_MAX + 1, b'a');
            assert!(matches!(RunRow::decode(&bytes), Err(Damage::TooLarge { .. })));
            bytes.truncate(RUN_ROW_LEN);
            bytes.put_u8(0xff);
            assert!(matches!(RunRow::decode(&bytes), Err(Damage::Undecodable { .. })));
        }
        let mut bytes = vec![0; RUN_ROW_LEN];
        bytes[16] = 1;
        let of_root = RunRow::decode(&bytes).unwrap().parent;
        assert_eq!(of_root, Some((RunId::ROOT, Lsn(1))), "an LSN without a run is the root's");
        bytes[8..24].rotate_left(8);
        assert!(RunRow::decode(&bytes).is_err(), "a parent before every record");
    }
}
