//! Bytes that are not what was written: always an error that names the file, never a wrong row, a
//! panic, or memory for what is not there.

use std::path::PathBuf;

use super::*;
use crate::error::Damage;
use crate::format::block::BLOCK_HEAD_LEN;
use crate::format::section::{BLOCK_ROW_LEN, INSTANCE_ROW_LEN, SECTION_ROW_LEN};
use crate::format::snapshot::{HEADER_LEN, TRAILER_LEN};

/// A small snapshot and its bytes.
struct Sample {
    disk: MemoryDisk,
    path: PathBuf,
    meta: SnapshotMeta,
    model: Model,
    bytes: Vec<u8>,
}

impl Sample {
    fn new() -> Sample {
        let disk = MemoryDisk::new();
        let (meta, model) = small();
        let path = write_model(&disk.shared(), &meta, &model).unwrap().file;
        let bytes = disk.bytes(&path);
        Sample { disk, path, meta, model, bytes }
    }

    fn read(&self, bytes: &[u8]) -> Result<(SnapshotMeta, Model)> {
        self.disk.set(&self.path, bytes);
        read_all(&self.disk.shared(), self.meta.lsn)
    }

    /// The checksum of the whole file alone.
    fn verify(&self, bytes: &[u8]) -> Result<()> {
        self.disk.set(&self.path, bytes);
        SnapshotFile::open(&self.disk.shared(), self.meta.lsn)?.verify_whole()
    }
}

fn assert_names_the_file(error: &Error, path: &std::path::Path, len: usize) {
    match error {
        Error::Corrupt { file, offset, .. } => {
            assert_eq!(&**file, path);
            assert!(*offset <= len as u64, "{error}");
        }
        Error::Version { place, .. } => assert!(place.contains(path.to_str().unwrap())),
        other => panic!("{other}"),
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let sample = Sample::new();
    assert!(sample.bytes.len() < 3_000, "{}", sample.bytes.len());
    for index in 0..sample.bytes.len() {
        for bit in 0..8 {
            let mut bad = sample.bytes.clone();
            bad[index] ^= 1 << bit;
            let error = sample.read(&bad).expect_err(&format!("byte {index} bit {bit}"));
            assert_names_the_file(&error, &sample.path, bad.len());
            let error = sample.verify(&bad).expect_err(&format!("byte {index} bit {bit}"));
            assert_names_the_file(&error, &sample.path, bad.len());
        }
    }
}

#[test]
fn every_other_length_is_an_error() {
    let sample = Sample::new();
    for len in 0..sample.bytes.len() {
        let error = sample.read(&sample.bytes[..len]).expect_err(&format!("length {len}"));
        assert_names_the_file(&error, &sample.path, len);
    }
    for more in [1, 7, 8, 48, 64, 4096] {
        let mut longer = sample.bytes.clone();
        longer.resize(longer.len() + more, 0);
        sample.read(&longer).unwrap_err();
        // As a second snapshot's end behind the first.
        let mut twice = sample.bytes.clone();
        twice.extend_from_slice(&sample.bytes[sample.bytes.len() - more.min(sample.bytes.len())..]);
        sample.read(&twice).unwrap_err();
    }
}

#[test]
fn every_zeroed_stretch_is_an_error() {
    let sample = Sample::new();
    for size in [16, 64, 512] {
        for start in (0..sample.bytes.len()).step_by(size) {
            let mut bad = sample.bytes.clone();
            let end = bad.len().min(start + size);
            bad[start..end].fill(0);
            if bad != sample.bytes {
                sample.read(&bad).unwrap_err();
            }
        }
    }
}

#[test]
fn a_damaged_block_is_named_by_its_offset_and_harms_no_other_instance() {
    let disk = MemoryDisk::new();
    let meta = meta(8, &[2]);
    let mut model = Model::default();
    for type_id in [1, 2] {
        for run in [0, 2] {
            let tables = vec![(1, rows(run, 3_000, 100))];
            let content = Content { tables, carried: vec![] };
            model.sections.entry(type_id).or_default().insert(RunId(run), content);
        }
    }
    let path = write_model(&disk.shared(), &meta, &model).unwrap().file;
    let mut bytes = disk.bytes(&path);
    let file = SnapshotFile::open(&disk.shared(), meta.lsn).unwrap();
    let section = file.section(2).unwrap();
    let row = section.instance(RunId(2)).unwrap();
    let block = section.blocks_of(row)[2];
    let offset = section.offset() + block.offset;
    bytes[offset as usize + 1_000] ^= 0x10;
    disk.set(&path, &bytes);

    let file = SnapshotFile::open(&disk.shared(), meta.lsn).unwrap();
    for (type_id, run) in [(1, 0), (1, 2), (2, 0)] {
        let section = file.section(type_id).unwrap();
        let row = section.instance(RunId(run)).unwrap();
        let found = content_of(&file.read_instance(section, row).unwrap());
        assert!(found == model.sections[&type_id][&RunId(run)]);
    }
    let section = file.section(2).unwrap();
    let read = file.read_instance(section, section.instance(RunId(2)).unwrap());
    for error in [read.err().unwrap(), file.verify_whole().unwrap_err()] {
        let Error::Corrupt { file, offset: at, what: Damage::Checksum { of, .. } } = error else {
            panic!("{error}")
        };
        assert_eq!((&*file, at, of), (&*path, offset, "block"));
    }
}

#[test]
fn checking_the_whole_file_tells_how_far_it_is_and_can_be_ended() {
    let sample = Sample::new();
    let file = SnapshotFile::open(&sample.disk.shared(), sample.meta.lsn).unwrap();
    let mut seen = Vec::new();
    file.verify_whole_with(|bytes| {
        seen.push(bytes);
        Ok(())
    })
    .unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&((sample.bytes.len() - TRAILER_LEN) as u64)));
    let error = file.verify_whole_with(|_| Err(Error::Cancelled)).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
}

#[test]
fn no_memory_is_taken_for_bytes_that_the_file_does_not_have() {
    let sample = Sample::new();
    let file = SnapshotFile::open(&sample.disk.shared(), sample.meta.lsn).unwrap();
    let longest = sample.disk.longest_read();
    let len = sample.bytes.len() as u64;
    for (offset, needed) in [(0, u64::MAX), (0, len + 1), (len, 1), (u64::MAX, 1), (1 << 40, 8)] {
        let Error::Corrupt { what, .. } = file.source().read(offset, needed, "part").err().unwrap()
        else {
            panic!()
        };
        let left = len.saturating_sub(offset);
        assert_eq!(what, Damage::Truncated { of: "part", needed, left });
    }
    assert_eq!(sample.disk.longest_read(), longest);
    assert_eq!(*file.source().read(0, len, "part").unwrap(), *sample.bytes);
}

#[test]
fn the_header_of_another_snapshot_is_refused() {
    let sample = Sample::new();
    let other = MemoryDisk::new();
    let meta = SnapshotMeta { timestamp: Timestamp(1), ..sample.meta.clone() };
    write_model(&other.shared(), &meta, &sample.model).unwrap();
    let mut spliced = sample.bytes.clone();
    spliced[..HEADER_LEN].copy_from_slice(&other.bytes(&sample.path)[..HEADER_LEN]);
    let error = sample.read(&spliced).unwrap_err();
    assert!(error.to_string().contains("header, by the trailer, checksum"), "{error}");
}

#[test]
fn a_snapshot_under_another_name_is_refused() {
    let sample = Sample::new();
    sample.disk.set(&snapshot_path(Lsn(43)), &sample.bytes);
    let error = SnapshotFile::open(&sample.disk.shared(), Lsn(43)).err().unwrap();
    let Error::Corrupt { what, offset: 0, .. } = error else { panic!("{error}") };
    assert_eq!(what, Damage::Misplaced { of: "snapshot", found: 42, expected: 43 });
}

/// Where the parts of a snapshot are that have a checksum.
pub(super) struct Parts {
    /// Data, blocks and index of each section, and the place of its row in the footer table.
    pub(super) sections: Vec<SectionPart>,
    footer: usize,
    trailer: usize,
}

pub(super) struct SectionPart {
    row: usize,
    start: usize,
    pub(super) end: usize,
    index: usize,
    /// Start and end of each block, and where its row in the index is.
    blocks: Vec<(usize, usize, usize)>,
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

/// By the numbers in the format's tables, not by the code that reads them.
pub(super) fn parts_of(bytes: &[u8]) -> Parts {
    let trailer = bytes.len() - TRAILER_LEN;
    let footer = u64_at(bytes, trailer + 8);
    let mut sections = Vec::new();
    for row in (footer..trailer).step_by(SECTION_ROW_LEN) {
        let start = u64_at(bytes, row + 8);
        let end = start + u64_at(bytes, row + 16);
        let (block_count, instance_count) = (u64_at(bytes, row + 24), u64_at(bytes, row + 32));
        let index = end - block_count * BLOCK_ROW_LEN - instance_count * INSTANCE_ROW_LEN;
        let blocks = (0..block_count).map(|block| {
            let at = index + block * BLOCK_ROW_LEN;
            let offset = start + u64_at(bytes, at);
            (offset, offset + (u64_at(bytes, at + 8) & 0xffff_ffff), at)
        });
        sections.push(SectionPart { row, start, end, index, blocks: blocks.collect() });
    }
    Parts { sections, footer, trailer }
}

/// Makes all checksums right again, from the inside out, as someone would who crafts a file.
fn reseal(bytes: &mut [u8], parts: &Parts) {
    let put = |bytes: &mut [u8], at: usize, crc: u32| {
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    };
    for section in &parts.sections {
        for (start, end, row) in &section.blocks {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&bytes[*start..start + BLOCK_HEAD_LEN - 4]);
            hasher.update(&bytes[start + BLOCK_HEAD_LEN..*end]);
            let crc = hasher.finalize();
            put(bytes, start + BLOCK_HEAD_LEN - 4, crc);
            put(bytes, row + 20, crc);
        }
        let index_crc = crc32fast::hash(&bytes[section.index..section.end]);
        put(bytes, section.row + 44, index_crc);
        let crc = crc32fast::hash(&bytes[section.start..section.end]);
        put(bytes, section.row + 40, crc);
    }
    let header_crc = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
    put(bytes, HEADER_LEN - 4, header_crc);
    let footer_crc = crc32fast::hash(&bytes[parts.footer..parts.trailer]);
    put(bytes, parts.trailer + 20, footer_crc);
    put(bytes, parts.trailer + 24, header_crc);
    let file_crc = crc32fast::hash(&bytes[..parts.trailer]);
    put(bytes, parts.trailer + 28, file_crc);
    let trailer_crc = crc32fast::hash(&bytes[parts.trailer..parts.trailer + 36]);
    put(bytes, parts.trailer + 36, trailer_crc);
}

#[test]
fn an_untouched_snapshot_sealed_again_is_the_same() {
    let sample = Sample::new();
    let mut again = sample.bytes.clone();
    reseal(&mut again, &parts_of(&sample.bytes));
    assert!(again == sample.bytes);
}

/// No length is believed for having a right checksum: every number in the file is made huge, zero
/// or wrong by one in turn. What then opens has other rows, but whole ones: `read_all` compares the
/// counts. Memory is taken for what is read and not for what is said, so it is bounded by the
/// longest read.
#[test]
fn crafted_numbers_with_right_checksums_never_panic() {
    let sample = Sample::new();
    let parts = parts_of(&sample.bytes);
    let (mut opened, mut refused) = (0, 0);
    for width in [1, 2, 4, 8] {
        for at in (0..=sample.bytes.len() - width).step_by(width) {
            let was = &sample.bytes[at..at + width];
            let mut plus_one = was.to_vec();
            plus_one[0] = plus_one[0].wrapping_add(1);
            let mut negative = vec![0; width];
            negative[width - 1] = 0x80;
            let mut large = vec![0xff; width];
            large[0] = 0xf8;
            for value in [vec![0xff; width], vec![0; width], plus_one, negative, large] {
                let mut crafted = sample.bytes.clone();
                crafted[at..at + width].copy_from_slice(&value);
                reseal(&mut crafted, &parts);
                if crafted == sample.bytes {
                    continue;
                }
                match sample.read(&crafted) {
                    Ok(_) => opened += 1,
                    Err(error) => {
                        refused += 1;
                        assert_names_the_file(&error, &sample.path, crafted.len());
                    }
                }
            }
        }
    }
    assert!(refused > 5_000 && opened > 100, "{refused} refused, {opened} opened");
    assert!(sample.disk.longest_read() <= sample.bytes.len(), "{}", sample.disk.longest_read());
}

/// The refusal of a snapshot in which `width` bytes of `at` were replaced and all checksums mended.
fn crafted(at: impl Fn(&Parts) -> usize, value: &[u8]) -> Error {
    let sample = Sample::new();
    let parts = parts_of(&sample.bytes);
    let at = at(&parts);
    let mut bytes = sample.bytes.clone();
    bytes[at..at + value.len()].copy_from_slice(value);
    reseal(&mut bytes, &parts);
    let error = sample.read(&bytes).unwrap_err();
    assert!(sample.disk.longest_read() <= bytes.len(), "{}", sample.disk.longest_read());
    error
}

#[test]
fn huge_counts_and_lengths_are_refused_by_name() {
    let huge = u64::MAX.to_le_bytes();
    let half = (u64::MAX / 2).to_le_bytes();
    for value in [huge, half] {
        let of_section = |field: usize| crafted(|parts| parts.sections[1].row + field, &value);
        for (field, name) in [
            (8, "offset of a section"),
            (16, "length of a section"),
            (24, "count of a section's blocks and instances"),
            (32, "count of a section's blocks and instances"),
        ] {
            let error = of_section(field).to_string();
            assert!(error.contains(name), "{error}");
        }
        for (field, name) in [(0, "file length"), (8, "length of the footer table")] {
            let error = crafted(|parts| parts.trailer + field, &value).to_string();
            assert!(error.contains(name), "{error}");
        }
        for (field, name) in [(0, "offset of a block"), (8, "length of a block")] {
            let error = crafted(|parts| parts.sections[1].index + field, &value).to_string();
            assert!(error.contains(name), "{error}");
        }
        let instance = |parts: &Parts| parts.sections[1].end - INSTANCE_ROW_LEN;
        for (field, name) in [
            (32, "first block of an instance"),
            (40, "block count of an instance"),
            (48, "row count of an instance"),
            (56, "carried count of an instance"),
        ] {
            let error = crafted(|parts| instance(parts) + field, &value).to_string();
            assert!(error.contains(name), "{error}");
        }
    }
    let count = crafted(|parts| parts.trailer + 16, &[0xff; 4]).to_string();
    assert!(count.contains("length of the footer table"), "{count}");
    let row = |parts: &Parts| parts.sections[1].blocks[0].0 + BLOCK_HEAD_LEN;
    let len = crafted(row, &[0xff; 4]).to_string();
    assert!(len.contains("length of a row"), "{len}");
}

#[test]
fn runs_that_cannot_be_are_refused() {
    let run = 9u64.to_le_bytes();
    let unknown = crafted(|parts| parts.sections[2].end - INSTANCE_ROW_LEN, &run).to_string();
    assert!(unknown.contains("run of an instance is 9"), "{unknown}");
    let core = crafted(|parts| parts.sections[0].end - INSTANCE_ROW_LEN, &run).to_string();
    assert!(core.contains("instance of the core"), "{core}");
    // The first of the two runs in section 0's second block.
    let first_run = |parts: &Parts| parts.sections[0].blocks[1].0 + BLOCK_HEAD_LEN + 8;
    let unordered = crafted(first_run, &run).to_string();
    assert!(unordered.contains("run of the run table is number 5, expected 10"), "{unordered}");
    let next_run = |parts: &Parts| parts.sections[0].blocks[2].0 + BLOCK_HEAD_LEN + 8;
    let used = crafted(next_run, &5u64.to_le_bytes()).to_string();
    assert!(used.contains("next run of the run table is number 5, expected 6"), "{used}");
}

#[test]
fn what_a_newer_version_wrote_is_no_corruption() {
    let error = crafted(|_| 8, &2u32.to_le_bytes());
    assert!(matches!(error, Error::Version { found: 2, .. }), "{error}");
    let error = crafted(|_| 32, &4u64.to_le_bytes());
    assert!(matches!(error, Error::Version { found: 4, .. }), "{error}");
    let error = crafted(|parts| parts.sections[0].row + 4, &2u32.to_le_bytes());
    assert!(matches!(error, Error::Version { found: 2, supported: 1, .. }), "{error}");
}

#[test]
fn features_that_only_forbid_writing_are_told_and_do_not_forbid_reading() {
    let sample = Sample::new();
    let parts = parts_of(&sample.bytes);
    let mut bytes = sample.bytes.clone();
    bytes[16] = 1;
    bytes[24] = 2;
    reseal(&mut bytes, &parts);
    sample.read(&bytes).unwrap();
    let file = SnapshotFile::open(&sample.disk.shared(), sample.meta.lsn).unwrap();
    assert_eq!(file.features().unknown_read_only(), 2);
}

#[test]
fn blocks_that_changed_places_are_refused() {
    let disk = MemoryDisk::new();
    let meta = meta(8, &[2]);
    let mut model = Model::default();
    for run in [0, 2] {
        let content = Content { tables: vec![(1, rows(run + 1, 4, 100))], carried: vec![] };
        model.sections.entry(1).or_default().insert(RunId(run), content);
    }
    // Blocks of the same length, each whole in itself.
    let path = write_model(&disk.shared(), &meta, &model).unwrap().file;
    let bytes = disk.bytes(&path);
    let blocks = &parts_of(&bytes).sections[1].blocks;
    let [(first, middle, _), (_, end, _)] = blocks[..] else { panic!("{blocks:?}") };
    assert_eq!(middle - first, end - middle);
    let mut swapped = bytes.clone();
    swapped[first..middle].copy_from_slice(&bytes[middle..end]);
    swapped[middle..end].copy_from_slice(&bytes[first..middle]);
    disk.set(&path, &swapped);
    let error = read_all(&disk.shared(), meta.lsn).unwrap_err();
    let Error::Corrupt { offset, what, .. } = error else { panic!("{error}") };
    assert_eq!(offset, first as u64);
    assert!(matches!(what, Damage::Checksum { of: "another block's", .. }), "{what}");
}
