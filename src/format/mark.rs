//! The synced mark: how far the log is known to be synced.
//!
//! - Two slots, each in a sector of its own, written in turn: a torn write harms one of them.
//! - A slot that does not check out counts for nothing: the mark can only raise evidence.

use crate::error::Damage;
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::id::{DatabaseId, Epoch, Lsn, SegmentId};

/// The first bytes of a slot.
const MAGIC: [u8; 8] = *b"FREEHMRK";

/// One slot, at the start of its sector; the rest of the sector is zero.
const SLOT: &[Field] = &[
    ("magic, `FREEHMRK`", 8),
    ("database", 16),
    ("number of the segment", 8),
    ("LSN of the last synced record", 8),
    ("offset where that record ends", 8),
    ("sequence: the slot is this modulo 2", 8),
    ("epoch", 4),
    ("CRC32 of the slot so far", 4),
];

const SLOT_LEN: usize = width_of_all(SLOT);

/// Bytes between the starts of the slots, and of one write.
pub(crate) const SECTOR_LEN: usize = 512;

/// Bytes of the file.
pub(crate) const MARK_LEN: usize = 2 * SECTOR_LEN;

const _: () = assert!(SLOT_LEN == 64 && SLOT_LEN <= SECTOR_LEN);

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[(
    "Slot of the synced mark",
    "The file has two slots, at 0 and at 512; the valid one with the higher sequence counts.",
    SLOT,
)];

/// What was known synced when the mark was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncedMark {
    pub(crate) database: DatabaseId,
    pub(crate) epoch: Epoch,
    pub(crate) segment: SegmentId,
    /// The last record that is synced.
    pub(crate) lsn: Lsn,
    /// Where it ends in the segment.
    pub(crate) end_offset: u64,
    /// Counts the writes of the mark.
    pub(crate) sequence: u64,
}

impl SyncedMark {
    /// The sector to write, and where in the file.
    pub(crate) fn encode(&self) -> ([u8; SECTOR_LEN], u64) {
        let mut slot = Vec::with_capacity(SLOT_LEN);
        slot.put_bytes(&MAGIC);
        slot.put_bytes(&self.database.0);
        slot.put_u64(self.segment.0);
        slot.put_u64(self.lsn.0);
        slot.put_u64(self.end_offset);
        slot.put_u64(self.sequence);
        slot.put_u32(self.epoch.0);
        let crc = crc32fast::hash(&slot);
        slot.put_u32(crc);
        let mut sector = [0; SECTOR_LEN];
        sector[..SLOT_LEN].copy_from_slice(&slot);
        (sector, self.sequence % 2 * SECTOR_LEN as u64)
    }

    /// The newer of the valid slots of a file, if there is one.
    pub(crate) fn decode(file: &[u8]) -> Option<SyncedMark> {
        let mut newest: Option<SyncedMark> = None;
        for (turn, sector) in (0_u64..2).zip(file.chunks(SECTOR_LEN)) {
            let slot =
                SyncedMark::decode_slot(sector).ok().filter(|mark| mark.sequence % 2 == turn);
            if let Some(mark) = slot
                && newest.is_none_or(|newest| newest.sequence < mark.sequence)
            {
                newest = Some(mark);
            }
        }
        newest
    }

    fn decode_slot(sector: &[u8]) -> Result<SyncedMark, Damage> {
        let mut cursor = Cursor::new(sector);
        let magic = cursor.array::<8>("magic of the synced mark")?;
        let database = DatabaseId(cursor.array("database")?);
        let segment = SegmentId(cursor.u64("number of the segment")?);
        let lsn = Lsn(cursor.u64("LSN of the last synced record")?);
        let end_offset = cursor.u64("offset where that record ends")?;
        let sequence = cursor.u64("sequence")?;
        let epoch = Epoch(cursor.u32("epoch")?);
        let covered = sector.get(..cursor.position()).unwrap_or_default();
        let found = crc32fast::hash(covered);
        let expected = cursor.u32("checksum of the synced mark")?;
        if found != expected || magic != MAGIC {
            return Err(Damage::Checksum { of: "synced mark", found, expected });
        }
        Ok(SyncedMark { database, epoch, segment, lsn, end_offset, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> SyncedMark {
        SyncedMark {
            database: DatabaseId([7; 16]),
            epoch: Epoch(2),
            segment: SegmentId(3),
            lsn: Lsn(100 + sequence),
            end_offset: 4096,
            sequence,
        }
    }

    fn file(marks: &[SyncedMark]) -> Vec<u8> {
        let mut file = vec![0; MARK_LEN];
        for mark in marks {
            let (sector, at) = mark.encode();
            file[usize::try_from(at).unwrap()..][..SECTOR_LEN].copy_from_slice(&sector);
        }
        file
    }

    #[test]
    fn the_newer_slot_counts() {
        assert_eq!(SyncedMark::decode(&file(&[])), None);
        assert_eq!(SyncedMark::decode(&file(&[mark(1)])), Some(mark(1)));
        assert_eq!(SyncedMark::decode(&file(&[mark(1), mark(2)])), Some(mark(2)));
        assert_eq!(SyncedMark::decode(&file(&[mark(1), mark(2), mark(3)])), Some(mark(3)));
    }

    #[test]
    fn a_damaged_slot_leaves_the_other() {
        let good = file(&[mark(4), mark(5)]);
        for at in 0..SLOT_LEN {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(SyncedMark::decode(&bad), Some(mark(5)), "byte {at}");
            let mut bad = good.clone();
            bad[SECTOR_LEN + at] ^= 0x10;
            assert_eq!(SyncedMark::decode(&bad), Some(mark(4)), "byte {at}");
        }
        for len in 0..good.len() {
            let _ = SyncedMark::decode(&good[..len]);
        }
    }
}
