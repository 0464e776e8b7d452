//! Making the end of the last segment good again after a crash: the writes, in their order.
//!
//! - What is cut is copied to `quarantine/` first, durably; if that cannot be done nothing is
//!   changed.
//! - What is kept is written again in place, with the same bytes, and synced: it may have been read
//!   from pages whose sync had failed.
//! - Only then comes the footer. A footer that was found is written and synced again too, before a
//!   segment follows it.
//! - Every step can be interrupted and begun again: until the footer is
//!   whole the segment is unsealed and ends with the same records.

use std::io;
use std::path::{Path, PathBuf};

use super::create::make_dir;
use super::failed;
use super::names::{QUARANTINE_DIR, quarantine_path, segment_path};
use super::scan::{SegmentEnds, SegmentReader, uncut_footer};
use super::tail::Tail;
use crate::disk::{DiskRef, OpenMode, read_full_at, write_all_at};
use crate::error::{Error, Result};
use crate::id::SegmentId;

/// What was done to the end of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Bytes that were cut, from the end of the kept records to the last byte that was not zero.
    pub(crate) cut_bytes: u64,
    /// The copy of them, below the database's directory; `None` if nothing was cut.
    pub(crate) quarantine: Option<PathBuf>,
    /// Bytes of the segment's file now.
    pub(crate) file_bytes: u64,
}

/// Cuts and seals the segment in `reader` behind its records up to `tail`.
///
/// # Errors
///
/// [`Error::NoSpace`](crate::Error::NoSpace) or another of the disk. If the copy could not be made,
/// nothing was changed; later, the next opening does it all again.
pub(crate) fn repair(disk: &DiskRef, reader: &SegmentReader, tail: &Tail) -> Result<Repaired> {
    let cut = cut_bytes(reader, tail);
    let quarantine = if cut.is_empty() { None } else { Some(quarantine(disk, cut, tail)?) };
    let file_bytes = seal(disk, reader, tail)?;
    Ok(Repaired { cut_bytes: cut.len() as u64, quarantine, file_bytes })
}

/// Makes the footer of a sealed segment durable, before anything follows it: a process that was
/// killed, or whose sync failed, may have left one that can be read and is on no disk. The records
/// before it were synced before it was written.
pub(super) fn confirm_seal(disk: &DiskRef, segment: SegmentId) -> Result<()> {
    let ends = SegmentEnds::read(disk, segment)?;
    let path = segment_path(segment);
    let footer = ends.footer.map_err(|what| Error::corrupt(&path, ends.bytes, what))?;
    // Every byte of it was checked, so these are the same.
    let encoded = footer.encode(ends.header.salt);
    let failed = |op, source| failed(&**disk, op, &path, encoded.len() as u64, source);
    let file = disk.open(&path, OpenMode::Write).map_err(|source| failed("open", source))?;
    write_all_at(&*file, &encoded, footer.records_end).map_err(|source| failed("write", source))?;
    file.sync().map_err(|source| failed("sync", source))
}

/// What [`repair`] would cut: the bytes behind `tail` up to the last that is not zero. A footer that
/// seals exactly these records is none of them.
pub(crate) fn cut_bytes<'a>(reader: &'a SegmentReader, tail: &Tail) -> &'a [u8] {
    let rest = usize::try_from(tail.end).ok().and_then(|end| reader.bytes().get(end..));
    let rest = rest.unwrap_or_default();
    let len = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let seals = |ends: &SegmentEnds| uncut_footer(rest, &ends.header, tail).is_some();
    if reader.ends().is_some_and(seals) { &[] } else { rest.get(..len).unwrap_or_default() }
}

/// Copies the cut bytes, durably, and says where to. A copy has its name only once it is whole.
fn quarantine(disk: &DiskRef, cut: &[u8], tail: &Tail) -> Result<PathBuf> {
    make_dir(disk, Path::new(QUARANTINE_DIR))?;
    let (path, is_there) = name_for(disk, cut, tail)?;
    let failed = |op, source| failed(&**disk, op, &path, cut.len() as u64, source);
    if !is_there {
        let temporary = path.with_extension("cut.tmp");
        let file = match disk.open(&temporary, OpenMode::CreateNew) {
            // From a crash in this very place.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&temporary).and_then(|()| disk.open(&temporary, OpenMode::CreateNew))
            }
            opened => opened,
        };
        let file = file.map_err(|source| failed("create", source))?;
        write_all_at(&*file, cut, 0).map_err(|source| failed("write", source))?;
        file.sync().map_err(|source| failed("sync", source))?;
        disk.rename(&temporary, &path).map_err(|source| failed("rename", source))?;
    }
    // Also where it was there: its name may not be durable yet.
    disk.sync_dir(Path::new(QUARANTINE_DIR)).map_err(|source| failed("sync", source))?;
    Ok(path)
}

/// The name for the copy, and whether it is there already: a copy is never overwritten by other
/// bytes.
fn name_for(disk: &DiskRef, cut: &[u8], tail: &Tail) -> Result<(PathBuf, bool)> {
    let mut attempt = 0;
    loop {
        let path = quarantine_path(tail.segment, tail.end, attempt);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path, false)),
            Err(source) => return Err(failed(&**disk, "open", &path, 0, source)),
        };
        // One byte more than there should be tells a longer file apart.
        let mut found = vec![0; cut.len() + 1];
        let len = read_full_at(&*file, &mut found, 0)
            .map_err(|source| failed(&**disk, "read", &path, 0, source))?;
        if found.get(..len) == Some(cut) {
            return Ok((path, true));
        }
        attempt += 1;
    }
}

/// Writes the kept part again, cuts the rest, seals. Returns the bytes of the file.
fn seal(disk: &DiskRef, reader: &SegmentReader, tail: &Tail) -> Result<u64> {
    let path = reader.path();
    let salt = reader.ends().map_or(0, |ends| ends.header.salt);
    let footer = tail.footer().encode(salt);
    let kept = usize::try_from(tail.end).ok().and_then(|end| reader.bytes().get(..end));
    let kept = kept.unwrap_or_default();
    let file_bytes = tail.end + footer.len() as u64;
    let failed = |op, source| failed(&**disk, op, path, footer.len() as u64, source);
    let file = disk.open(path, OpenMode::Write).map_err(|source| failed("open", source))?;
    write_all_at(&*file, kept, 0).map_err(|source| failed("write", source))?;
    // Zeros in place of the footer first, and nothing behind: then a footer that is torn meets
    // zeros, never a rest of what was cut. If the power fails in between, that rest is cut once more.
    write_all_at(&*file, &vec![0; footer.len()], tail.end)
        .map_err(|source| failed("write", source))?;
    file.set_size(file_bytes).map_err(|source| failed("cut", source))?;
    file.sync().map_err(|source| failed("sync", source))?;
    write_all_at(&*file, &footer, tail.end).map_err(|source| failed("write", source))?;
    file.sync().map_err(|source| failed("sync", source))?;
    Ok(file_bytes)
}
