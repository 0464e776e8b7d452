//! The synced mark: one that says more than there is must never cost a byte, nor a panic.

use std::path::Path;

use super::{Files, Outcome, change, open, sample};
use crate::format::mark::{LAYOUTS, MARK_LEN, SyncedMark};
use crate::testing::Random;

/// Opens a database whose mark is sound and says something else.
pub(super) fn case(random: &mut Random) -> Outcome {
    let base = if random.one_in(2) { sample::snapshot() } else { sample::log() };
    let mut files: Files = base.clone();
    let (_, bytes) = files.iter_mut().find(|(path, _)| path == Path::new("wal/synced")).unwrap();
    let at = SyncedMark::decode(bytes).map_or(0, |mark| mark.sequence % 2 * 512) as usize;
    for _ in 0..=random.below(2) {
        change::field(bytes, change::layout(LAYOUTS, "Slot of the synced mark", at), random);
    }
    let crc = crc32fast::hash(&bytes[at..at + 60]).to_le_bytes();
    bytes[at + 60..at + 64].copy_from_slice(&crc);
    match random.below(8) {
        0 => bytes.truncate(random.below(MARK_LEN as u64) as usize),
        1 => bytes.rotate_left(512),
        2 => bytes.extend_from_within(..),
        _ => {}
    }
    open(&files, random)
}
