//! What holds of a snapshot's file as a whole. The parts are tested beside their code.

mod damage;
mod disk;
mod order;

use std::collections::BTreeMap;

use super::instance::OwnedBlocks;
use super::names::{SnapshotListing, remove};
use super::*;
use crate::disk::DiskRef;
use crate::error::{Error, Result};
use crate::format::block::Rows;
use crate::format::catalog::{CatalogOperation, CatalogRow};
use crate::format::core_entry::Told;
use crate::primitive::RowSink;
use disk::MemoryDisk;

/// Rows by table, tables in the order of writing.
type Tables = Vec<(u32, Vec<Vec<u8>>)>;

/// What a snapshot holds, for comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    sections: BTreeMap<u8, BTreeMap<RunId, Content>>,
}

/// What an instance holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    tables: Tables,
    carried: Vec<CarriedEntry>,
}

const VERSION: u32 = 3;

fn meta(lsn: u64, runs: &[u64]) -> SnapshotMeta {
    let runs = runs.iter().map(|run| RunRow {
        run: RunId(*run),
        parent: (*run > 2).then_some((RunId(1), Lsn(5))),
        created_lsn: Lsn(*run),
        last_lsn: Lsn(*run + 7),
        told: Told { lsn: Lsn(*run), timestamp: Timestamp(2 * *run) },
        is_fork: *run > 2,
        is_gone: false,
        name: format!("run/{run}"),
    });
    SnapshotMeta {
        kind: FileKind::Snapshot,
        first_lsn: Lsn(0),
        database: DatabaseId(*b"0123456789abcdef"),
        epoch: Epoch(4),
        lsn: Lsn(lsn),
        timestamp: Timestamp(1_700_000_000_000_000_000),
        chain: 0x1234_5678,
        catalog: Catalog {
            rows: vec![CatalogRow {
                name: "Counters".into(),
                type_id: 0x80,
                wal_types: vec![0x80, 0x81],
                section_version: VERSION,
                first_lsn: Lsn(2),
                operations: vec![CatalogOperation {
                    wal_type: 0x80,
                    version: 1,
                    name: "add".into(),
                    fingerprint: 99,
                    shape: "(name: &str, by: i64)".into(),
                }],
                ..CatalogRow::default()
            }],
        },
        runs: runs.collect(),
        next_run: 1_000_000,
        root_last_lsn: Lsn(2),
    }
}

fn entry(lsn: u64, len: usize) -> CarriedEntry {
    CarriedEntry {
        wal_type: 0x81,
        version: 2,
        lsn: Lsn(lsn),
        index: 3,
        timestamp: Timestamp(lsn * 10),
        payload: bytes(lsn, len),
    }
}

/// Bytes that look like nothing in particular, always the same for the same seed.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(step).collect()
}

fn rows(seed: u64, count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|row| bytes(seed * 1_000 + row as u64, len + row % 9)).collect()
}

impl SnapshotFile {
    fn section(&self, type_id: u8) -> Option<&Section> {
        self.sections().iter().find(|section| section.type_id() == type_id)
    }
}

impl Section {
    fn instance(&self, run: RunId) -> Option<&InstanceRow> {
        self.instances().iter().find(|row| row.run == run)
    }
}

/// Two types, three instances, two tables, carried entries: everything once, and small.
fn small() -> (SnapshotMeta, Model) {
    let mut model = Model::default();
    let counters = model.sections.entry(1).or_default();
    let tables = vec![(7, rows(1, 2, 5)), (3, rows(2, 1, 0))];
    counters.insert(RunId::ROOT, Content { tables, carried: vec![] });
    counters.insert(RunId(2), Content { tables: vec![(7, rows(3, 1, 8))], carried: vec![] });
    let detached = model.sections.entry(0x80).or_default();
    let carried = vec![entry(8, 4), entry(9, 0)];
    detached.insert(RunId(2), Content { tables: vec![(1, rows(4, 1, 3))], carried });
    (meta(42, &[2, 5]), model)
}

fn give(content: &Content, sink: &mut dyn RowSink) -> Result<()> {
    for (table, rows) in &content.tables {
        for row in rows {
            sink.row(*table, row)?;
        }
    }
    Ok(())
}

/// A block for each run of rows, as the writer makes them.
fn raw(run: RunId, content: &Content) -> RawInstance {
    use crate::format::block::{BlockBuilder, BlockKind};
    let mut blocks = Vec::new();
    for (table, rows) in &content.tables {
        let mut builder = BlockBuilder::new();
        for row in rows {
            assert!(builder.takes(BlockKind::Rows, *table, row.len()), "the test's rows are few");
            builder.push(BlockKind::Rows, *table, row);
        }
        blocks.push(RawBlock { table: *table, bytes: builder.finish().1.into() });
    }
    RawInstance {
        run,
        section_version: VERSION - 1,
        base: None,
        blocks,
        carried: content.carried.clone(),
    }
}

fn write_model(disk: &DiskRef, meta: &SnapshotMeta, model: &Model) -> Result<WrittenSnapshot> {
    let sections = |writer: &mut SnapshotWriter<'_>| {
        for (type_id, instances) in &model.sections {
            writer.begin_section(*type_id, VERSION)?;
            for (run, content) in instances {
                if content.carried.is_empty() {
                    writer.instance(*run, |sink| give(content, sink))?;
                } else {
                    writer.raw_instance(&raw(*run, content))?;
                }
            }
            writer.end_section()?;
        }
        Ok(())
    };
    write(disk, meta, sections, || Ok(()))
}

/// Everything that can be read, each part checked in the way that reading it checks it.
fn read_all(disk: &DiskRef, lsn: Lsn) -> Result<(SnapshotMeta, Model)> {
    let file = SnapshotFile::open(disk, lsn)?;
    let mut model = Model::default();
    for section in file.sections() {
        let instances = model.sections.entry(section.type_id()).or_default();
        for row in section.instances() {
            let blocks = file.read_instance(section, row)?;
            let content = content_of(&blocks);
            let count: usize = content.tables.iter().map(|(_, rows)| rows.len()).sum();
            assert_eq!(row.row_count, count as u64);
            assert_eq!(row.carried_count, content.carried.len() as u64);
            instances.insert(row.run, content);
        }
    }
    Ok((file.meta().clone(), model))
}

fn content_of(blocks: &OwnedBlocks) -> Content {
    let tables = blocks.tables().into_iter().map(|table| {
        let rows = table.blocks.into_iter().flat_map(Rows::new).map(|row| {
            let row = row.unwrap();
            assert_eq!(row.as_ptr() as usize % 8, 0);
            row.to_vec()
        });
        (table.tag, rows.collect())
    });
    let carried = blocks.carried().map(|entry| {
        assert_eq!(entry.payload.as_ptr() as usize % 8, 0);
        CarriedEntry {
            wal_type: entry.wal_type,
            version: entry.version,
            lsn: entry.lsn,
            index: entry.index,
            timestamp: entry.timestamp,
            payload: entry.payload.to_vec(),
        }
    });
    Content { tables: tables.collect(), carried: carried.collect() }
}

#[test]
fn what_was_written_is_read_back() {
    let disk = MemoryDisk::new();
    let runs: Vec<u64> = (1..60).map(|run| run * 3).collect();
    let meta = meta(1_000, &runs);
    let mut model = Model::default();
    for type_id in [1, 4, 7, 0x80, 0xff] {
        let instances = model.sections.entry(type_id).or_default();
        for run in std::iter::once(0).chain(runs.iter().copied()) {
            let seed = u64::from(type_id) * 1_000 + run;
            // The root's instances are of many blocks, those of runs mostly of one.
            let count = if run == 0 { 3_000 } else { 5 };
            let tables = vec![
                (9, rows(seed, count, 90)),
                (2, rows(seed + 1, 1, 0)),
                (seed as u32, rows(seed + 2, count / 2, 17)),
            ];
            instances.insert(RunId(run), Content { tables, carried: vec![] });
        }
    }
    let written = write_model(&disk.shared(), &meta, &model).unwrap();
    assert_eq!(written.file, snapshot_path(Lsn(1_000)));
    assert_eq!(written.bytes, disk.bytes(&written.file).len() as u64);

    let (found_meta, found) = read_all(&disk.shared(), Lsn(1_000)).unwrap();
    assert_eq!(found_meta, meta);
    assert!(found == model);
    let file = SnapshotFile::open(&disk.shared(), Lsn(1_000)).unwrap();
    file.verify_whole().unwrap();
    assert!(file.sections().iter().all(|section| section.version() == VERSION));
    assert!(file.section(4).unwrap().instance(RunId(6)).is_some());
    assert!(file.section(4).unwrap().instance(RunId(7)).is_none());
    assert!(file.section(5).is_none());
}

#[test]
fn a_section_starts_aligned_with_its_header_right_before_it() {
    let disk = MemoryDisk::new();
    let (meta, model) = small();
    let written = write_model(&disk.shared(), &meta, &model).unwrap();
    let bytes = disk.bytes(&written.file);
    let file = SnapshotFile::open(&disk.shared(), meta.lsn).unwrap();
    assert_eq!(file.sections().len(), 2);
    let parts = damage::parts_of(&bytes);
    for (index, section) in file.sections().iter().enumerate() {
        let data = section.offset() as usize;
        assert_eq!(data % 64, 0);
        let header = &bytes[data - crate::format::section::SnapshotSectionHeader::SIZE..data];
        assert_eq!(header[0], section.type_id());
        let len = parts.sections[index + 1].end - data;
        assert_eq!(header[1..], (len as u64).to_le_bytes());
    }
}

#[test]
fn the_same_state_is_the_same_bytes_and_what_is_empty_leaves_none() {
    let (first, second) = (MemoryDisk::new(), MemoryDisk::new());
    let (meta, mut model) = small();
    let path = write_model(&first.shared(), &meta, &model).unwrap().file;
    model.sections.entry(0x70).or_default();
    model.sections.get_mut(&1).unwrap().insert(RunId(5), Content::default());
    write_model(&second.shared(), &meta, &model).unwrap();
    assert!(first.bytes(&path) == second.bytes(&path));
}

#[test]
fn a_snapshot_without_a_primitive_is_read_back() {
    let disk = MemoryDisk::new();
    let meta = meta(0, &[]);
    write_model(&disk.shared(), &meta, &Model::default()).unwrap();
    let file = SnapshotFile::open(&disk.shared(), Lsn(0)).unwrap();
    assert_eq!(file.meta(), &meta);
    assert!(file.sections().is_empty());
    file.verify_whole().unwrap();
}

#[test]
fn a_row_longer_than_the_buffer_is_read_back() {
    let disk = MemoryDisk::new();
    let meta = meta(9, &[]);
    let mut model = Model::default();
    let long = vec![bytes(1, 10), bytes(2, 3 << 20), bytes(3, 10), bytes(4, 70 << 10)];
    let content = Content { tables: vec![(1, long)], carried: vec![] };
    model.sections.entry(1).or_default().insert(RunId::ROOT, content);
    write_model(&disk.shared(), &meta, &model).unwrap();
    assert!(read_all(&disk.shared(), Lsn(9)).unwrap().1 == model);
    let file = SnapshotFile::open(&disk.shared(), Lsn(9)).unwrap();
    assert_eq!(file.sections()[0].instances()[0].row_block_count, 4);
    file.verify_whole().unwrap();
}

#[test]
fn many_runs_are_read_back() {
    let disk = MemoryDisk::new();
    let runs: Vec<u64> = (1..20_000).collect();
    let meta = meta(5, &runs);
    write_model(&disk.shared(), &meta, &Model::default()).unwrap();
    assert!(read_all(&disk.shared(), Lsn(5)).unwrap().0 == meta);
}

#[test]
fn a_carried_instance_is_copied_byte_for_byte() {
    let (first, second) = (MemoryDisk::new(), MemoryDisk::new());
    let meta = meta(77, &[2]);
    let linked = |writer: &mut SnapshotWriter<'_>| {
        writer.begin_section(5, VERSION)?;
        for run in [0, 2] {
            writer.instance(RunId(run), |sink| {
                let tables = vec![(4, rows(run, 2_000, 100)), (1, rows(run + 1, 30, 3_000))];
                give(&Content { tables, carried: vec![] }, sink)
            })?;
        }
        writer.end_section()
    };
    let path = write(&first.shared(), &meta, linked, || Ok(())).unwrap().file;

    let carry = |from: &MemoryDisk, to: &MemoryDisk, more: &[CarriedEntry]| {
        let file = SnapshotFile::open(&from.shared(), meta.lsn).unwrap();
        let section = file.section(5).unwrap();
        let copy = |writer: &mut SnapshotWriter<'_>| {
            writer.begin_section(5, section.version())?;
            for row in section.instances() {
                let mut instance = file.raw_instance(section, row)?;
                instance.carried.extend_from_slice(more);
                writer.raw_instance(&instance)?;
            }
            writer.end_section()
        };
        write(&to.shared(), &meta, copy, || Ok(())).unwrap();
    };
    carry(&first, &second, &[]);
    assert!(first.bytes(&path) == second.bytes(&path));

    // The same with entries that came since, over two generations.
    let (third, fourth) = (MemoryDisk::new(), MemoryDisk::new());
    let entries: Vec<_> = (100..300).map(|lsn| entry(lsn, 500)).collect();
    carry(&second, &third, &entries);
    carry(&third, &fourth, &[]);
    assert!(third.bytes(&path) == fourth.bytes(&path));
    let file = SnapshotFile::open(&fourth.shared(), meta.lsn).unwrap();
    let section = file.section(5).unwrap();
    let before = SnapshotFile::open(&first.shared(), meta.lsn).unwrap();
    for row in section.instances() {
        let raw = file.raw_instance(section, row).unwrap();
        let of = before.section(5).unwrap();
        let was = before.raw_instance(of, of.instance(row.run).unwrap()).unwrap();
        assert!(raw.blocks == was.blocks);
        assert!(raw.carried == entries);
        assert_eq!(content_of(&file.read_instance(section, row).unwrap()).carried, entries);
    }
}

#[test]
fn a_carried_instance_keeps_its_section_version() {
    let disk = MemoryDisk::new();
    let (meta, model) = small();
    write_model(&disk.shared(), &meta, &model).unwrap();
    let file = SnapshotFile::open(&disk.shared(), meta.lsn).unwrap();
    let section = file.section(0x80).unwrap();
    assert_eq!(section.version(), VERSION);
    assert_eq!(section.instances()[0].section_version, VERSION - 1);
    let linked = file.section(1).unwrap();
    assert_eq!(linked.instances()[0].section_version, VERSION);
    let raw = file.raw_instance(section, &section.instances()[0]).unwrap();
    assert_eq!((raw.run, raw.section_version), (RunId(2), VERSION - 1));
}

#[test]
fn what_could_not_be_read_is_not_written() {
    fn refused(because: &str, sections: impl FnOnce(&mut SnapshotWriter<'_>) -> Result<()>) {
        let disk = MemoryDisk::new();
        let error = write(&disk.shared(), &meta(3, &[2]), sections, || Ok(())).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(because), "{error}");
        assert_eq!(list(&disk.shared()).unwrap(), SnapshotListing::default());
    }
    fn one(sink: &mut dyn RowSink) -> Result<()> {
        sink.row(1, b"row")
    }
    refused("section is number 0", |writer| writer.begin_section(0, 1));
    refused("was not begun", |writer| writer.end_section());
    refused("outside every section", |writer| writer.instance(RunId::ROOT, one));
    refused("end of sections", |writer| writer.begin_section(1, 1));
    refused("section is number 2", |writer| {
        writer.begin_section(1, 1)?;
        writer.begin_section(2, 1)?;
        writer.end_section()
    });
    refused("section is number 1", |writer| {
        writer.begin_section(2, 1)?;
        writer.instance(RunId::ROOT, one)?;
        writer.end_section()?;
        writer.begin_section(1, 1)?;
        writer.end_section()
    });
    refused("instance is number 2", |writer| {
        writer.begin_section(1, 1)?;
        writer.instance(RunId(2), one)?;
        writer.instance(RunId(2), one)?;
        writer.end_section()
    });
    // Deleted, or never made.
    refused("run of an instance", |writer| {
        writer.begin_section(1, 1)?;
        writer.instance(RunId(3), one)?;
        writer.end_section()
    });
    // A table in two parts.
    refused("order of an instance's tables", |writer| {
        writer.begin_section(1, 1)?;
        writer.instance(RunId::ROOT, |sink| {
            sink.row(1, b"a")?;
            sink.row(2, b"b")?;
            sink.row(1, b"c")
        })?;
        writer.end_section()
    });
    // A carried block whose memory was damaged, and one that says another table.
    let content = Content { tables: vec![(1, rows(1, 1, 9))], carried: vec![] };
    let mut damaged = raw(RunId(2), &content);
    let mut bytes = damaged.blocks[0].bytes.to_vec();
    bytes[30] ^= 1;
    damaged.blocks[0].bytes = bytes.into();
    let mut elsewhere = raw(RunId(2), &content);
    elsewhere.blocks[0].table = 2;
    for (because, instance) in [("checksum", damaged), ("head of a carried block", elsewhere)] {
        refused(because, |writer| {
            writer.begin_section(1, 1)?;
            writer.raw_instance(&instance)?;
            writer.end_section()
        });
    }

    let disk = MemoryDisk::new();
    for (runs, next_run) in [(vec![2, 2], 9), (vec![3, 2], 9), (vec![0], 9), (vec![9], 9)] {
        let meta = SnapshotMeta { next_run, ..meta(3, &runs) };
        let error = write_model(&disk.shared(), &meta, &Model::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}
