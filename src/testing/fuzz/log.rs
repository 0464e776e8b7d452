//! The log as a structure: taken apart, changed, put together with every checksum right.

use std::path::PathBuf;

use super::change::{self, layout};
use super::{Files, is_segment};
use crate::format::catalog::Catalog;
use crate::format::cursor::{Cursor, pad_to_8, padded_to_8};
use crate::format::layout::offset_of;
use crate::format::{core_entry, entry, record, segment};
use crate::id::SegmentId;
use crate::testing::Random;
use crate::wal::names::segment_path;

/// Where a segment's header says how long its catalog is; the catalog's checksum follows.
const CATALOG_LEN_AT: usize = offset_of(segment::HEADER, "catalog length");

/// All segments, in order.
pub(super) struct Log {
    segments: Vec<Segment>,
}

#[derive(Clone)]
struct Segment {
    path: PathBuf,
    /// The fixed part of the header.
    head: Vec<u8>,
    /// Not padded.
    catalog: Vec<u8>,
    records: Vec<Record>,
    /// Of a sealed segment.
    footer: Option<Vec<u8>>,
    zeros: usize,
}

#[derive(Clone)]
struct Record {
    /// Frame and body head.
    head: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    head: Vec<u8>,
    payload: Vec<u8>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn add_at(bytes: &mut [u8], at: usize, by: u64) {
    let value = u64_at(bytes, at).wrapping_add(by);
    put(bytes, at, value.to_le_bytes());
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl Log {
    pub(super) fn of(files: &Files) -> Log {
        let segments = files.iter().filter(|(path, _)| is_segment(path));
        Log { segments: segments.map(|(path, bytes)| Segment::of(path, bytes)).collect() }
    }

    fn segment(&mut self, random: &mut Random) -> &mut Segment {
        change::one(&mut self.segments, random).expect("a database has a segment")
    }

    fn record(&mut self, random: &mut Random) -> Option<&mut Record> {
        change::one(&mut self.segment(random).records, random)
    }

    /// Headers, catalogs and footers.
    pub(super) fn change_ends(&mut self, random: &mut Random) {
        let header = layout(segment::LAYOUTS, "Header of a segment", 0);
        let footer = layout(segment::LAYOUTS, "Footer of a sealed segment", 0);
        let segment = self.segment(random);
        match random.below(6) {
            0..=2 => segment.change_catalog(random),
            3 => change::field(&mut segment.head, header, random),
            4 => change::bytes(&mut segment.catalog, random),
            _ => match &mut segment.footer {
                Some(bytes) if random.one_in(4) => change::bytes(bytes, random),
                Some(bytes) if random.one_in(4) => {
                    let at = bytes.len() - 16;
                    change::number_at(bytes, at, 4, random);
                }
                Some(bytes) => change::field(bytes, footer, random),
                None => segment.zeros = change::number(segment.zeros as u64, 2, random) as usize,
            },
        }
    }

    /// Which records and entries there are.
    pub(super) fn change_lists(&mut self, random: &mut Random) {
        if random.one_in(3) {
            change::list(&mut self.segment(random).records, random);
        } else if random.one_in(8) {
            let moved = self.record(random).cloned();
            self.segment(random).records.extend(moved);
        } else if let Some(record) = self.record(random) {
            if random.one_in(3) {
                record.entries.insert(0, core(random));
            } else {
                change::list(&mut record.entries, random);
            }
        }
    }

    /// The fields of records, of entries, and of what the engine's own entries hold.
    pub(super) fn change_heads(&mut self, random: &mut Random) {
        let frame = layout(record::LAYOUTS, "Frame of a record", 0);
        let body = layout(record::LAYOUTS, "Head of a body", record::FRAME_LEN);
        let head = layout(entry::LAYOUTS, "Head of an entry", 0);
        let Some(record) = self.record(random) else { return };
        match random.below(8) {
            0 => change::field(&mut record.head, frame, random),
            1 | 2 => change::field(&mut record.head, body, random),
            _ => {
                let Some(entry) = change::one(&mut record.entries, random) else { return };
                if entry.head[4] <= core_entry::LAST && random.below(4) > 0 {
                    change::number_at(&mut entry.payload, random.below(3) as usize * 8, 8, random);
                } else {
                    change::field(&mut entry.head, head, random);
                }
            }
        }
    }

    /// The arguments of operations.
    pub(super) fn change_arguments(&mut self, random: &mut Random) {
        let other = self.record(random).and_then(|record| {
            change::one(&mut record.entries, random).map(|entry| entry.payload.clone())
        });
        let Some(record) = self.record(random) else { return };
        let Some(entry) = change::one(&mut record.entries, random) else { return };
        match other {
            // Sound arguments, of another operation.
            Some(other) if random.one_in(12) => entry.payload = other,
            _ => {
                for _ in 0..=random.below(3) {
                    change::bytes(&mut entry.payload, random);
                }
            }
        }
    }

    /// The LSN of the last record.
    pub(super) fn last_lsn(&self) -> u64 {
        let records = self.segments.iter().flat_map(|segment| &segment.records);
        records.last().map_or(0, |record| u64_at(&record.head, 24))
    }

    /// The checksum of the record `lsn`'s header, once the log is sealed: what a snapshot that
    /// covers that record says of it.
    pub(super) fn chain_at(&self, lsn: u64) -> Option<[u8; 4]> {
        let mut records = self.segments.iter().flat_map(|segment| &segment.records);
        let found = records.find(|record| u64_at(&record.head, 24) == lsn);
        found.map(|record| u32_at(&record.head, 8).to_le_bytes())
    }

    /// Adds `by` to all LSNs of records.
    pub(super) fn shift_lsns(&mut self, by: u64) {
        for segment in &mut self.segments {
            add_at(&mut segment.head, 72, by);
            if let Some(footer) = &mut segment.footer {
                add_at(footer, 16, by);
            }
            for record in &mut segment.records {
                add_at(&mut record.head, 16, by);
                add_at(&mut record.head, 24, by);
            }
        }
    }

    /// Adds `by` to the numbers of segments.
    pub(super) fn shift_segments(&mut self, by: u64) {
        for segment in &mut self.segments {
            add_at(&mut segment.head, 56, by);
            segment.path = segment_path(SegmentId(u64_at(&segment.head, 56)));
            if let Some(footer) = &mut segment.footer {
                add_at(footer, 8, by);
            }
        }
    }

    /// Lets all that was written be of this epoch and this time.
    pub(super) fn set_writer(&mut self, epoch: Option<u32>, timestamp: Option<u64>) {
        for segment in &mut self.segments {
            if let Some(epoch) = epoch {
                put(&mut segment.head, 80, epoch.to_le_bytes());
            }
            for record in &mut segment.records {
                if let Some(epoch) = epoch {
                    put(&mut record.head, 40, epoch.to_le_bytes());
                }
                if let Some(timestamp) = timestamp {
                    put(&mut record.head, 32, timestamp.to_le_bytes());
                }
            }
        }
    }

    /// Makes lengths and counts true again, and LSNs consecutive, unless the case is about them.
    pub(super) fn settle(&mut self, renumber: bool) {
        let mut lsn = self.segments.first().map_or(1, |first| u64_at(&first.head, 72));
        for segment in &mut self.segments {
            put(&mut segment.head, CATALOG_LEN_AT, (segment.catalog.len() as u32).to_le_bytes());
            let mut end = segment::HEADER_LEN + padded_to_8(segment.catalog.len());
            if renumber {
                put(&mut segment.head, 72, lsn.to_le_bytes());
            }
            for record in &mut segment.records {
                for entry in &mut record.entries {
                    put(&mut entry.head, 0, (entry.payload.len() as u32).to_le_bytes());
                }
                let body_len = record.body_len();
                put(&mut record.head, 0, (body_len as u32).to_le_bytes());
                put(&mut record.head, 44, (record.entries.len() as u32).to_le_bytes());
                if renumber {
                    put(&mut record.head, 16, lsn.saturating_sub(1).to_le_bytes());
                    put(&mut record.head, 24, lsn.to_le_bytes());
                }
                lsn = lsn.wrapping_add(1);
                end += record::FRAME_LEN + body_len;
            }
            if let Some(footer) = segment.footer.as_mut().filter(|footer| footer.len() >= 64) {
                put(footer, 16, lsn.wrapping_sub(1).to_le_bytes());
                put(footer, 24, (segment.records.len() as u64).to_le_bytes());
                put(footer, 32, (end as u64).to_le_bytes());
            }
        }
    }

    /// The files, every checksum and every link of the chain right.
    pub(super) fn seal(&mut self) -> Files {
        let mut chain = None;
        let sealed = self.segments.iter_mut().map(|segment| {
            let bytes = segment.seal(&mut chain);
            (segment.path.clone(), bytes)
        });
        sealed.collect()
    }
}

/// An entry of the engine's own, with hostile numbers.
fn core(random: &mut Random) -> Entry {
    let (run, lsn) = (random.below(5), random.below(9));
    let run = if random.one_in(3) { change::number(run, 8, random) } else { run };
    let (wal_type, payload) = match random.below(4) {
        0 => (core_entry::RUN_SWITCH, [run, 0, lsn].map(u64::to_le_bytes).concat()),
        1 => {
            let numbers = [run, random.below(3), random.below(2) * lsn];
            let mut payload = numbers.map(u64::to_le_bytes).concat();
            payload.resize(24 + random.below(3) as usize * 127, b'n');
            (core_entry::RUN_CREATE, payload)
        }
        2 => (core_entry::RUN_DELETE, run.to_le_bytes().to_vec()),
        _ => (random.below(16) as u8, vec![0; random.below(40) as usize]),
    };
    let head = vec![0, 0, 0, 0, wal_type, core_entry::CORE_ENTRY_VERSION, 0, 0];
    Entry { head, payload }
}

impl Record {
    fn body_len(&self) -> usize {
        let entries = self.entries.iter().map(|entry| 8 + padded_to_8(entry.payload.len()));
        record::BODY_HEAD_LEN + entries.sum::<usize>()
    }
}

impl Segment {
    fn of(path: &std::path::Path, bytes: &[u8]) -> Segment {
        let head = bytes[..segment::HEADER_LEN].to_vec();
        let catalog_len = u32_at(bytes, CATALOG_LEN_AT) as usize;
        let catalog = bytes[segment::HEADER_LEN..][..catalog_len].to_vec();
        let mut at = segment::HEADER_LEN + padded_to_8(catalog_len);
        let mut records = Vec::new();
        while u32_at(bytes, at) > 0 && &bytes[at..at + 4] != b"FREE" {
            let len = record::FRAME_LEN + u32_at(bytes, at) as usize;
            let record = &bytes[at..at + len];
            let body = &record[record::FRAME_LEN..];
            let entries = record::entries(body).unwrap().map(|entry| {
                let entry = entry.unwrap();
                let mut head = vec![0, 0, 0, 0, entry.wal_type, entry.version, 0, 0];
                put(&mut head, 0, (entry.payload.len() as u32).to_le_bytes());
                Entry { head, payload: entry.payload.to_vec() }
            });
            let entries = entries.collect();
            records.push(Record { head: record[..record::HEADER_LEN].to_vec(), entries });
            at += len;
        }
        let is_sealed = bytes[at..].starts_with(b"FREEHEND");
        let footer = is_sealed.then(|| bytes[at..].to_vec());
        // The rest is zeros; a few of them do.
        let zeros = if is_sealed { 0 } else { (bytes.len() - at).min(256) };
        Segment { path: path.to_owned(), head, catalog, records, footer, zeros }
    }

    /// A catalog that decodes, and says something else.
    fn change_catalog(&mut self, random: &mut Random) {
        self.catalog = catalog(&self.catalog, random);
    }

    fn seal(&mut self, chain: &mut Option<u32>) -> Vec<u8> {
        let mut catalog = self.catalog.clone();
        pad_to_8(&mut catalog);
        if let Some(chain) = *chain {
            put(&mut self.head, 84, chain.to_le_bytes());
        }
        put(&mut self.head, CATALOG_LEN_AT + 4, crc32fast::hash(&catalog).to_le_bytes());
        let crc_at = segment::HEADER_LEN - 4;
        let crc = crc32fast::hash(&self.head[..crc_at]);
        put(&mut self.head, crc_at, crc.to_le_bytes());
        let mut bytes = [self.head.as_slice(), &catalog].concat();
        let mut previous = u32_at(&self.head, 84);
        for record in &mut self.records {
            let mut body = record.head[record::FRAME_LEN..].to_vec();
            for entry in &record.entries {
                body.extend(&entry.head);
                body.extend(&entry.payload);
                pad_to_8(&mut body);
            }
            put(&mut record.head, 4, crc32fast::hash(&body).to_le_bytes());
            put(&mut record.head, 8, [0; 4]);
            put(&mut record.head, 12, previous.to_le_bytes());
            // The place of a record: salt and number of its segment, and where in it.
            let (salt, number) = (&self.head[64..72], &self.head[56..64]);
            let offset = (bytes.len() as u64).to_le_bytes();
            previous = crc32fast::hash(&[salt, number, &offset, &record.head].concat());
            put(&mut record.head, 8, previous.to_le_bytes());
            bytes.extend(&record.head[..record::FRAME_LEN]);
            bytes.extend(body);
        }
        if let Some(footer) = self.footer.as_mut().filter(|footer| footer.len() >= 64) {
            put(footer, 40, previous.to_le_bytes());
            let at = footer.len() - 12;
            let crc = crc32fast::hash(&[&self.head[64..72], &footer[..at]].concat());
            put(footer, at, crc.to_le_bytes());
        }
        bytes.extend(self.footer.iter().flatten());
        bytes.resize(bytes.len() + self.zeros, 0);
        *chain = Some(previous);
        bytes
    }
}

/// The bytes of a catalog, changed where they mean something.
pub(super) fn catalog(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut catalog) = Catalog::decode(&mut Cursor::new(bytes)) else { return bytes.to_vec() };
    if random.one_in(5) {
        change::list(&mut catalog.rows, random);
    } else if let Some(row) = change::one(&mut catalog.rows, random) {
        let text = |text: &mut String, random: &mut Random| {
            let mut changed = std::mem::take(text).into_bytes();
            change::bytes(&mut changed, random);
            *text = String::from_utf8_lossy(&changed).into_owned();
        };
        match random.below(9) {
            0 => text(&mut row.name, random),
            1 => row.type_id = change::number(row.type_id.into(), 1, random) as u8,
            2 => change::bytes(&mut row.wal_types, random),
            3 => row.root_only = !row.root_only,
            4 => row.section_version = change::number(row.section_version.into(), 4, random) as u32,
            5 => text(&mut row.section_shape, random),
            6 => row.first_lsn.0 = change::number(row.first_lsn.0, 8, random),
            7 => drop(change::list(&mut row.operations, random)),
            _ => {
                if let Some(operation) = change::one(&mut row.operations, random) {
                    match random.below(5) {
                        0 => text(&mut operation.name, random),
                        1 => text(&mut operation.shape, random),
                        2 => operation.fingerprint ^= 1 << random.below(64),
                        3 => {
                            operation.wal_type =
                                change::number(operation.wal_type.into(), 1, random) as u8;
                        }
                        _ => {
                            operation.version =
                                change::number(operation.version.into(), 1, random) as u8;
                        }
                    }
                }
            }
        }
    }
    let mut bytes = Vec::new();
    catalog.encode(&mut bytes);
    bytes
}
