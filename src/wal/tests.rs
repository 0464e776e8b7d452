//! The log against the simulated disk: what was written is read back, what was damaged is noticed,
//! what was synced survives.

use std::path::Path;
use std::sync::Arc;

use super::names::{MARK, WalName, parse, segment_path};
use super::repair::{confirm_seal, cut_bytes, repair};
use super::scan::{Evidence, SegmentEnds, SegmentReader, Step, Stop};
use super::*;
use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::catalog::Catalog;
use crate::format::entry::WalEntry;
use crate::format::record::{self, FRAME_LEN, HEADER_LEN, Place, encode_body_head, frame};
use crate::format::segment::SegmentFooter;
use crate::id::{DatabaseId, Epoch, Lsn, SegmentId, Timestamp};
use crate::testing::{CallKind, Random, SimDisk, Survival};

const SEGMENT_BYTES: u64 = 8 << 10;

fn start() -> LogStart {
    LogStart {
        database: DatabaseId([1; 16]),
        epoch: Epoch(1),
        segment: SegmentId(1),
        first_lsn: Lsn(1),
        previous_chain: 0,
        salt_seed: 42,
        segment_bytes: SEGMENT_BYTES,
        sealed: Vec::new(),
        mark_sequence: 0,
    }
}

fn log_on(disk: &SimDisk) -> Log {
    begun(disk.shared(), start()).unwrap()
}

/// A log with its first segment.
fn begun(disk: DiskRef, start: LogStart) -> Result<Log> {
    let mut log = Log::create(disk, start);
    match log.rotate(&Catalog::default(), 0) {
        Ok(()) | Err(Error::NoSpace { .. }) => Ok(log),
        Err(error) => Err(error),
    }
}

/// The body of record `lsn`: the same for the same LSN, with payloads of different lengths.
fn body(lsn: u64) -> Vec<u8> {
    body_in_epoch(lsn, 1)
}

fn body_in_epoch(lsn: u64, epoch: u32) -> Vec<u8> {
    let mut random = Random::new(lsn);
    let count = u32::try_from(1 + random.below(3)).unwrap();
    let mut body = encode_body_head(Lsn(lsn), Timestamp(lsn * 10), Epoch(epoch), count).to_vec();
    for _ in 0..count {
        let payload: Vec<u8> =
            (0..random.below(100)).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        WalEntry { wal_type: 0x10, version: 1, payload: &payload }.encode(&mut body);
    }
    body
}

fn batch(lsns: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::default();
    lsns.into_iter().for_each(|lsn| batch.push(&body(lsn)));
    batch
}

/// Appends these records, each alone, rotating where there is no room.
fn append(log: &mut Log, lsns: impl IntoIterator<Item = u64>) -> Result<()> {
    for lsn in lsns {
        let mut batch = batch([lsn]);
        let needed = batch.len() as u64;
        if log.room() < needed {
            log.rotate(&Catalog::default(), needed)?;
        }
        log.append(&mut batch)?;
    }
    Ok(())
}

/// The bodies of one segment and where they stopped.
fn bodies(reader: &SegmentReader) -> (Vec<Vec<u8>>, Stop) {
    let mut records = reader.records().unwrap();
    let mut bodies = Vec::new();
    loop {
        match records.step() {
            Step::Record(record) => bodies.push(record.body.to_vec()),
            Step::Stop(stop) => {
                let Step::Stop(again) = records.step() else {
                    panic!("a scan goes on after its end")
                };
                assert_eq!(stop, again);
                return (bodies, stop);
            }
        }
    }
}

fn read(disk: &SimDisk, segment: u64) -> Result<SegmentReader> {
    let mut reader = SegmentReader::default();
    reader.read(&disk.shared(), SegmentId(segment))?;
    Ok(reader)
}

fn segments(disk: &DiskRef) -> Vec<SegmentId> {
    let Ok(listed) = disk.list(Path::new("wal")) else { return Vec::new() };
    let mut ids: Vec<SegmentId> = listed
        .iter()
        .filter_map(|listed| match parse(&listed.name) {
            WalName::Segment(id) => Some(id),
            _ => None,
        })
        .collect();
    ids.sort();
    ids
}

/// A small opening: all records in order, the end repaired, a new log behind it. Panics where a real
/// one would refuse.
fn recover(disk: &DiskRef) -> Result<(Vec<Vec<u8>>, Option<Log>)> {
    let mut proved = read_mark(disk)?.map_or(Lsn::ZERO, |mark| mark.lsn);
    let mark_sequence = read_mark(disk)?.map_or(0, |mark| mark.sequence);
    let ids = segments(disk);
    let mut reader = SegmentReader::default();
    let mut all = Vec::new();
    let mut start = start();
    for id in &ids {
        assert_eq!(*id, start.segment, "segments are dense");
        reader.read(disk, *id)?;
        let ends = reader.ends().unwrap();
        assert_eq!(ends.header.first_lsn, start.first_lsn);
        assert_eq!(ends.header.previous_chain, start.previous_chain);
        start.epoch = ends.header.epoch.next();
        proved = proved.max(Lsn(ends.header.first_lsn.0 - 1));
        let mut records = reader.records().unwrap();
        let stop = loop {
            match records.step() {
                Step::Record(record) => {
                    proved = proved.max(record.header.durable);
                    all.push(record.body.to_vec());
                }
                Step::Stop(stop) => break stop,
            }
        };
        let tail = records.tail().clone();
        let is_last = ids.last() == Some(id);
        if let Stop::AtBadRecord(bad) = &stop {
            proved = proved.max(reader.evidence(bad).durable);
        }
        assert!(tail.last_lsn >= proved || !is_last, "{stop:?}: {proved} is proved synced");
        let is_sealed = reader.ends().unwrap().footer.is_ok();
        assert!(is_last || is_sealed, "segment {id} has a successor and no footer");
        assert!(!is_sealed || stop == Stop::AtFooter, "{stop:?} in a sealed segment");
        if !is_sealed {
            repair(disk, &reader, &tail)?;
        }
        start.sealed.push(SealedSegment { id: *id, last_lsn: tail.last_lsn, bytes: 0 });
        start.segment = id.next();
        start.first_lsn = tail.last_lsn.next();
        start.previous_chain = tail.chain;
    }
    start.mark_sequence = mark_sequence;
    let log = begun(Arc::clone(disk), start)?;
    Ok((all, Some(log)))
}

fn assert_prefix(found: &[Vec<u8>], at_least: u64, at_most: u64) {
    let count = found.len() as u64;
    assert!((at_least..=at_most).contains(&count), "{count} of {at_least}..={at_most} records");
    for (lsn, found) in (1..).zip(found) {
        assert_eq!(*found, body(lsn), "record {lsn}");
    }
}

#[test]
fn what_was_written_is_read_back_across_segments() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=200).unwrap();
    assert_eq!(log.written(), Lsn(200));
    log.seal().unwrap();
    assert!(matches!(log.append(&mut batch([201])), Err(Error::Closed)));
    let ids = segments(&disk.shared());
    assert!(ids.len() > 3, "{} segments", ids.len());
    assert_eq!(log.sealed().len(), ids.len());
    let mut all = Vec::new();
    for id in ids {
        let reader = read(&disk, id.0).unwrap();
        let (bodies, stop) = bodies(&reader);
        assert_eq!(stop, Stop::AtFooter);
        let ends = SegmentEnds::read(&disk.shared(), id).unwrap();
        assert_eq!(ends.footer.unwrap().record_count, bodies.len() as u64);
        all.extend(bodies);
    }
    assert_prefix(&all, 200, 200);
    let mark = read_mark(&disk.shared()).unwrap().unwrap();
    assert_eq!(mark.lsn, Lsn(200));
}

#[test]
fn many_records_at_once_are_the_same_bytes_as_one_by_one() {
    let (one, many) = (SimDisk::new(1), SimDisk::new(1));
    let mut log = log_on(&one);
    append(&mut log, 1..=20).unwrap();
    log.seal().unwrap();
    let mut log = log_on(&many);
    log.append(&mut batch(1..=20)).unwrap();
    log.seal().unwrap();
    let path = segment_path(SegmentId(1));
    assert_eq!(one.bytes(&path), many.bytes(&path));
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=3).unwrap();
    let mut body = encode_body_head(Lsn(4), Timestamp(40), Epoch(1), 1).to_vec();
    WalEntry { wal_type: 1, version: 1, payload: &[7; 100_000] }.encode(&mut body);
    let mut large = Batch::default();
    large.push(&body);
    let needed = large.len() as u64;
    assert!(matches!(log.append(&mut large), Err(Error::NoSpace { .. })));
    log.rotate(&Catalog::default(), needed).unwrap();
    log.append(&mut large).unwrap();
    append(&mut log, 5..=6).unwrap();
    log.seal().unwrap();
    let reader = read(&disk, 2).unwrap();
    assert_eq!(bodies(&reader).0[0], body);
}

/// A segment of some records, sealed or not, as its bytes; and the bodies in it.
fn small_segment(is_sealed: bool) -> (SimDisk, Vec<u8>, Vec<Vec<u8>>) {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=6).unwrap();
    log.sync().unwrap();
    append(&mut log, 7..=8).unwrap();
    if is_sealed {
        log.seal().unwrap();
    }
    let bytes = disk.bytes(&segment_path(SegmentId(1))).unwrap();
    (disk, bytes, (1..=8).map(body).collect())
}

#[test]
fn every_flipped_byte_is_noticed_and_nothing_is_misread() {
    for is_sealed in [false, true] {
        let (disk, good, expected) = small_segment(is_sealed);
        let path = segment_path(SegmentId(1));
        let records_end = bodies_end(&disk);
        for at in 0..good.len() {
            // Behind the records of an unsealed segment one byte is as good as another.
            if !is_sealed && at > records_end + 64 && !at.is_multiple_of(61) {
                continue;
            }
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            disk.put(&path, &bad);
            let Ok(reader) = read(&disk, 1) else { continue };
            let (found, stop) = bodies(&reader);
            assert_eq!(found, expected[..found.len()], "byte {at}");
            let is_footer = is_sealed && at >= records_end;
            match stop {
                Stop::AtBadRecord(_) => {}
                // A footer whose trailer or text is damaged is none; its bytes are left.
                stop => panic!("byte {at} went unnoticed: {stop:?}, footer {is_footer}"),
            }
        }
    }
}

fn bodies_end(disk: &SimDisk) -> usize {
    let reader = read(disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    while let Step::Record(_) = records.step() {}
    usize::try_from(records.tail().end).unwrap()
}

#[test]
fn every_truncation_gives_a_prefix_and_a_seal_is_missed() {
    for is_sealed in [false, true] {
        let (disk, good, expected) = small_segment(is_sealed);
        let path = segment_path(SegmentId(1));
        let records_end = bodies_end(&disk);
        for len in (0..good.len()).filter(|len| *len <= records_end + 200 || len % 97 == 0) {
            disk.put(&path, &good[..len]);
            let Ok(reader) = read(&disk, 1) else { continue };
            let (found, stop) = bodies(&reader);
            assert_eq!(found, expected[..found.len()], "cut to {len}");
            assert!(stop != Stop::AtFooter, "cut to {len}");
            assert!(reader.ends().unwrap().footer.is_err());
        }
    }
}

#[test]
fn every_sector_of_zeros_is_noticed() {
    let (disk, good, expected) = small_segment(true);
    let path = segment_path(SegmentId(1));
    for start in (0..good.len()).step_by(512) {
        let mut bad = good.clone();
        let end = good.len().min(start + 512);
        bad[start..end].fill(0);
        disk.put(&path, &bad);
        let Ok(reader) = read(&disk, 1) else { continue };
        let (found, stop) = bodies(&reader);
        assert_eq!(found, expected[..found.len()], "sector at {start}");
        assert!(stop != Stop::AtFooter, "sector at {start}");
    }
}

#[test]
fn a_segment_under_another_number_is_refused() {
    let (disk, good, _) = small_segment(true);
    disk.put(&segment_path(SegmentId(2)), &good);
    let refused = read(&disk, 2).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Corrupt { what: Damage::Misplaced { found: 1, expected: 2, .. }, .. }
        ),
        "{refused}"
    );
    assert!(SegmentEnds::read(&disk.shared(), SegmentId(2)).is_err());
}

/// Writes a record with these links over what stands at the end of segment 1.
fn forge(disk: &SimDisk, lsn: u64, epoch: u32, durable: u64, is_linked: bool) -> Stop {
    let path = segment_path(SegmentId(1));
    let reader = read(disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    while let Step::Record(_) = records.step() {}
    let (tail, salt) = (records.tail().clone(), reader.ends().unwrap().header.salt);
    let mut forged = vec![0; FRAME_LEN];
    forged.extend(body_in_epoch(lsn, epoch));
    let place = Place { salt, segment: SegmentId(1), offset: tail.end };
    let chain = if is_linked { tail.chain } else { !tail.chain };
    frame(&mut forged, place, chain, Lsn(durable));
    let mut bytes = disk.bytes(&path).unwrap();
    let end = usize::try_from(tail.end).unwrap();
    bytes[end..end + forged.len()].copy_from_slice(&forged);
    let before = disk.bytes(&path).unwrap();
    disk.put(&path, &bytes);
    let stop = bodies(&read(disk, 1).unwrap()).1;
    disk.put(&path, &before);
    stop
}

#[test]
fn a_record_that_is_whole_but_does_not_follow_is_refused() {
    let (disk, _, _) = small_segment(false);
    assert_eq!(forge(&disk, 9, 1, 6, true), Stop::AtZeros, "the forger's own record is good");
    for (lsn, epoch, durable, is_linked) in
        [(9, 1, 6, false), (10, 1, 6, true), (8, 1, 6, true), (9, 2, 6, true), (9, 1, 9, true)]
    {
        let stop = forge(&disk, lsn, epoch, durable, is_linked);
        assert!(matches!(stop, Stop::AtBadRecord(_)), "{lsn} {epoch} {durable} {is_linked}");
    }
}

#[test]
fn a_later_header_proves_what_was_synced_and_a_copy_in_a_payload_does_not() {
    let (disk, good, _) = small_segment(false);
    let path = segment_path(SegmentId(1));
    let reader = read(&disk, 1).unwrap();
    let mut offsets = Vec::new();
    let mut records = reader.records().unwrap();
    while let Step::Record(record) = records.step() {
        offsets.push(record.offset);
    }
    let evidence = |bytes: &[u8]| {
        disk.put(&path, bytes);
        let reader = read(&disk, 1).unwrap();
        let (bodies, stop) = bodies(&reader);
        let Stop::AtBadRecord(bad) = stop else { panic!("{stop:?}") };
        assert_eq!(bad.lsn, Lsn(bodies.len() as u64 + 1));
        reader.evidence(&bad)
    };
    // Record 4 is rotten; 7 and 8 were written when 6 was known synced.
    let mut bad = good.clone();
    bad[offsets[3] + 30] ^= 1;
    let expected = Evidence { durable: Lsn(6), last_lsn: Lsn(8), candidate_count: 4 };
    assert_eq!(evidence(&bad), expected);
    // The header of 8 alone is enough, though its body is damaged too.
    for (at, offset) in offsets.iter().enumerate() {
        if at >= 3 {
            let damaged = if at == 7 { offset + HEADER_LEN } else { offset + 30 };
            bad[damaged] = !good[damaged];
        }
    }
    assert_eq!(evidence(&bad).candidate_count, 1);
    assert_eq!(evidence(&bad).durable, Lsn(6));
    // An LSN that cannot be so near is none, whatever its checksum says.
    let mut forged = good.clone();
    forged[offsets[3] + 30] ^= 1;
    let place = Place {
        salt: reader.ends().unwrap().header.salt,
        segment: SegmentId(1),
        offset: offsets[7] as u64,
    };
    let mut far = vec![0; FRAME_LEN];
    far.extend(encode_body_head(Lsn(5000), Timestamp(0), Epoch(1), 0));
    frame(&mut far, place, 0, Lsn(4999));
    forged[offsets[7]..offsets[7] + HEADER_LEN].copy_from_slice(&far);
    assert_eq!(evidence(&forged).last_lsn, Lsn(7));
    // Its bytes at another offset prove nothing.
    let mut copied = good.clone();
    let last = copied[offsets[7]..offsets[7] + HEADER_LEN].to_vec();
    copied[offsets[3]..].fill(0);
    let at = offsets[7] + 64;
    copied[at..at + HEADER_LEN].copy_from_slice(&last);
    assert_eq!(evidence(&copied), Evidence::default());
}

#[test]
fn a_full_disk_refuses_rotation_and_the_log_goes_on() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=5).unwrap();
    disk.limit_space(0);
    assert!(matches!(log.rotate(&Catalog::default(), 64), Err(Error::NoSpace { .. })));
    assert!(!log.is_poisoned());
    // The space of the active segment is reserved.
    let mut lsn = 6;
    while log.room() >= batch([lsn]).len() as u64 {
        log.append(&mut batch([lsn])).unwrap();
        lsn += 1;
    }
    assert!(matches!(append(&mut log, [lsn]), Err(Error::NoSpace { .. })));
    log.sync().unwrap();
    disk.limit_space(u64::MAX);
    append(&mut log, lsn..lsn + 5).unwrap();
    log.seal().unwrap();
    let (all, _) = recover(&disk.after_crash(Survival::Nothing).shared()).unwrap();
    assert_prefix(&all, lsn + 4, lsn + 4);
}

#[test]
fn a_log_made_on_a_full_disk_has_no_room_until_there_is_space() {
    let disk = SimDisk::new(1);
    disk.limit_space(0);
    let mut log = log_on(&disk);
    assert_eq!(log.room(), 0);
    assert!(matches!(append(&mut log, [1]), Err(Error::NoSpace { .. })));
    disk.limit_space(u64::MAX);
    append(&mut log, 1..=3).unwrap();
    log.sync().unwrap();
    let (all, _) = recover(&disk.after_crash(Survival::Nothing).shared()).unwrap();
    assert_prefix(&all, 3, 3);
}

#[test]
fn a_nearly_full_disk_gets_a_smaller_segment() {
    let disk = SimDisk::new(1);
    disk.limit_space(100 << 10);
    let mut start = start();
    start.segment_bytes = 1 << 20;
    let mut log = begun(disk.shared(), start).unwrap();
    append(&mut log, 1..=3).unwrap();
    assert!(log.room() > 1000);
}

#[test]
fn a_short_write_to_a_full_disk_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=3).unwrap();
    let next = disk.call_count();
    disk.shorten_write(next, 100);
    disk.fail_call(next + 1, io::ErrorKind::StorageFull);
    let refused = log.append(&mut batch(4..=9));
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    assert!(!log.is_poisoned());
    let (found, stop) = bodies(&read(&disk, 1).unwrap());
    assert_prefix(&found, 3, 3);
    assert_eq!(stop, Stop::AtZeros);
    append(&mut log, 4..=5).unwrap();
    assert_prefix(&bodies(&read(&disk, 1).unwrap()).0, 5, 5);
}

#[test]
fn after_a_failed_sync_or_write_nothing_is_written_or_synced() {
    for kind in [CallKind::Sync, CallKind::Write] {
        let disk = SimDisk::new(1);
        let mut log = log_on(&disk);
        append(&mut log, 1..=3).unwrap();
        log.sync().unwrap();
        let is_sync = kind == CallKind::Sync;
        disk.fail_next(kind, io::ErrorKind::Other);
        let failed = append(&mut log, [4]).and_then(|()| log.sync().map(|_| ()));
        assert!(matches!(failed, Err(Error::Io { .. })), "{is_sync}: {failed:?}");
        assert!(log.is_poisoned());
        let calls = disk.call_count();
        assert!(matches!(log.append(&mut batch([5])), Err(Error::Poisoned)));
        assert!(matches!(log.sync(), Err(Error::Poisoned)));
        assert!(matches!(log.sync_mark(), Err(Error::Poisoned)));
        assert!(matches!(log.rotate(&Catalog::default(), 0), Err(Error::Poisoned)));
        assert!(matches!(log.seal(), Err(Error::Poisoned)));
        assert_eq!(disk.call_count(), calls, "a poisoned log makes no call");
        let (all, _) = recover(&disk.after_crash(Survival::Nothing).shared()).unwrap();
        assert_prefix(&all, 3, 4);
    }
}

#[test]
fn every_failing_call_is_reported_and_what_was_synced_stays() {
    let workload = |disk: &SimDisk| -> (u64, bool) {
        let mut synced = 0;
        let mut run = || -> Result<()> {
            let mut log = begun(disk.shared(), start())?;
            for first in [1, 31, 61] {
                append(&mut log, first..first + 30)?;
                synced = log.sync()?.0;
            }
            log.seal()
        };
        let result = run();
        (synced, result.is_ok())
    };
    let clean = SimDisk::new(1);
    assert_eq!(workload(&clean), (90, true));
    for call in 0..clean.call_count() {
        for error in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            let disk = SimDisk::new(call);
            disk.fail_call(call, error);
            let (synced, _) = workload(&disk);
            for survival in [Survival::Nothing, Survival::Everything, Survival::Seeded(call)] {
                let after = disk.after_crash(survival);
                let (all, _) = recover(&after.shared()).unwrap();
                assert_prefix(&all, synced, 90);
            }
        }
    }
}

#[test]
fn a_sync_run_apart_covers_what_was_written_before_it() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=3).unwrap();
    let pending = log.begin_sync();
    append(&mut log, 4..=5).unwrap();
    let done = pending.run();
    assert_eq!(log.end_sync(done).unwrap(), Lsn(3));
    assert_eq!(read_mark(&disk.shared()).unwrap().unwrap().lsn, Lsn(3));
    // A rotation in between covers more, and the late answer takes nothing back.
    let pending = log.begin_sync();
    log.rotate(&Catalog::default(), 0).unwrap();
    append(&mut log, 6..=6).unwrap();
    let done = pending.run();
    assert_eq!(log.end_sync(done).unwrap(), Lsn(5));
    assert_eq!(read_mark(&disk.shared()).unwrap().unwrap().segment, SegmentId(2));
    assert_eq!(log.sync().unwrap(), Lsn(6));
    // Failing apart poisons like failing here.
    append(&mut log, 7..=7).unwrap();
    disk.fail_next(CallKind::Sync, io::ErrorKind::Other);
    let done = log.begin_sync().run();
    // Until the log is told, nobody else may sync the same file and call it good.
    assert!(log.sync().is_err());
    assert!(matches!(log.end_sync(done), Err(Error::Io { .. })));
    assert!(log.is_poisoned());
}

#[test]
fn what_is_cut_is_kept_in_quarantine() {
    let (disk, good, _) = small_segment(false);
    let path = segment_path(SegmentId(1));
    let reader = read(&disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    for _ in 0..6 {
        records.step();
    }
    let tail = records.tail().clone();
    let end = usize::try_from(tail.end).unwrap();
    let cut = cut_bytes(&reader, &tail).to_vec();
    assert_eq!(cut, good[end..end + cut.len()]);
    let done = repair(&disk.shared(), &reader, &tail).unwrap();
    assert_eq!(done.cut_bytes, cut.len() as u64);
    let copy = done.quarantine.unwrap();
    assert_eq!(disk.bytes(&copy).unwrap(), cut);
    let reader = read(&disk, 1).unwrap();
    let (found, stop) = bodies(&reader);
    assert_prefix(&found, 6, 6);
    assert_eq!(stop, Stop::AtFooter);
    assert!(cut_bytes(&reader, &tail).is_empty());

    // Other bytes cut at the same place do not replace the copy; the same bytes need no second one.
    let mut other = good.clone();
    other[end + 60] ^= 1;
    for (bytes, expected) in [(&other, "-1.cut"), (&other, "-1.cut"), (&good, ".cut")] {
        disk.put(&path, bytes);
        let done = repair(&disk.shared(), &read(&disk, 1).unwrap(), &tail).unwrap();
        let copy = done.quarantine.unwrap();
        assert!(copy.to_str().unwrap().ends_with(expected), "{}", copy.display());
    }
    assert_eq!(disk.bytes(&copy).unwrap(), cut);
}

#[test]
fn pruning_removes_the_oldest_and_nothing_above_the_floor() {
    let disk = SimDisk::new(1);
    let mut log = log_on(&disk);
    append(&mut log, 1..=200).unwrap();
    let sealed = log.sealed().to_vec();
    assert!(sealed.len() >= 3);
    assert_eq!(log.prune(Lsn(sealed[1].last_lsn.0 - 1)).unwrap(), 1);
    assert_eq!(log.prune(sealed[1].last_lsn).unwrap(), 1);
    assert_eq!(log.sealed(), &sealed[2..]);
    assert_eq!(segments(&disk.shared())[0], sealed[2].id);
    assert_eq!(log.prune(Lsn(u64::MAX)).unwrap(), sealed.len() - 2);
    append(&mut log, 201..=202).unwrap();
}

#[test]
fn sealing_that_was_interrupted_before_the_cut_is_no_torn_tail() {
    let (disk, sealed, _) = small_segment(true);
    let mut uncut = sealed.clone();
    uncut.resize(usize::try_from(SEGMENT_BYTES).unwrap(), 0);
    disk.put(&segment_path(SegmentId(1)), &uncut);
    let reader = read(&disk, 1).unwrap();
    assert!(reader.ends().unwrap().footer.is_err());
    let mut records = reader.records().unwrap();
    while let Step::Record(_) = records.step() {}
    assert!(matches!(records.step(), Step::Stop(Stop::AtFooter)));
    let tail = records.tail().clone();
    assert!(cut_bytes(&reader, &tail).is_empty());
    repair(&disk.shared(), &reader, &tail).unwrap();
    assert_eq!(disk.bytes(&segment_path(SegmentId(1))).unwrap(), sealed);
}

#[test]
fn a_footer_denser_than_this_build_writes_it_seals_all_the_same() {
    let (disk, sealed, _) = small_segment(true);
    let path = segment_path(SegmentId(1));
    let reader = read(&disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    let mut index = Vec::new();
    while let Step::Record(record) = records.step() {
        index.push((record.header.lsn, record.offset as u64));
    }
    let tail = records.tail().clone();
    assert!(index.len() > tail.footer().index.len());
    let salt = reader.ends().unwrap().header.salt;
    let footer = SegmentFooter { index, ..tail.footer() }.encode(salt);
    let mut dense = sealed[..usize::try_from(tail.end).unwrap()].to_vec();
    dense.extend_from_slice(&footer);

    disk.put(&path, &dense);
    assert_eq!(read(&disk, 1).unwrap().ends().unwrap().footer.as_ref().unwrap().chain, tail.chain);
    confirm_seal(&disk.shared(), SegmentId(1)).unwrap();
    assert_eq!(disk.bytes(&path).unwrap(), dense);

    dense.resize(dense.len() + 512, 0);
    disk.put(&path, &dense);
    let reader = read(&disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    while let Step::Record(_) = records.step() {}
    assert!(matches!(records.step(), Step::Stop(Stop::AtFooter)));
    assert!(cut_bytes(&reader, &tail).is_empty());
    repair(&disk.shared(), &reader, &tail).unwrap();
    assert_eq!(disk.bytes(&path).unwrap(), sealed);
}

/// Everything a log does, with what was acknowledged as synced before each call of the disk.
fn workload(disk: &SimDisk) -> Vec<(u64, u64)> {
    let mut acknowledged = vec![(0, 0)];
    let mut log = log_on(disk);
    let mut next = 1;
    for (count, is_synced) in
        [(2, true), (40, false), (1, true), (3, false), (30, true), (2, false)]
    {
        append(&mut log, next..next + count).unwrap();
        next += count;
        // A rotation has synced too.
        acknowledged.push((disk.call_count(), log.synced().0));
        if is_synced {
            log.sync().unwrap();
            acknowledged.push((disk.call_count(), log.synced().0));
        }
    }
    log.seal().unwrap();
    acknowledged.push((disk.call_count(), next - 1));
    acknowledged
}

#[test]
fn a_crash_at_any_call_and_another_one_while_repairing_keep_what_was_synced() {
    let seed = Random::seed_from_env(7);
    let disk = SimDisk::new(seed);
    let acknowledged = workload(&disk);
    let most = acknowledged.last().unwrap().1;
    let mut states = 0;
    for point in disk.crash_points() {
        let at = acknowledged.iter().rev().find(|(call, _)| *call <= point.before());
        let synced = at.map_or(0, |(_, lsn)| *lsn);
        for survival in point.survivals(12, seed) {
            let after = point.disk(survival);
            let (all, log) = recover(&after.shared()).unwrap();
            assert_prefix(&all, synced, most);
            let kept = all.len() as u64;
            states += 1;
            // What is there after repair stays: nothing comes back, nothing goes.
            drop(log);
            let (again, _) = recover(&after.shared()).unwrap();
            assert_prefix(&again, kept, kept);
            if !matches!(survival, Survival::Choice(0) | Survival::Nothing) {
                continue;
            }
            for second in point.disk(survival).also_crashed(seed) {
                let (again, _) = recover(&second.shared()).unwrap();
                assert_prefix(&again, synced, kept);
                states += 1;
            }
        }
    }
    assert!(states > 1000, "{states} crash states");
}

impl SimDisk {
    /// The disks after a crash at each call of a recovery of this one.
    fn also_crashed(self, seed: u64) -> Vec<SimDisk> {
        drop(recover(&self.shared()).unwrap());
        let mut disks = Vec::new();
        for point in self.crash_points() {
            disks
                .extend(point.survivals(10, seed).into_iter().map(|survival| point.disk(survival)));
        }
        disks
    }
}

#[test]
fn a_kill_and_then_a_crash_while_repairing_keep_what_was_synced() {
    let seed = Random::seed_from_env(9);
    let disk = SimDisk::new(seed);
    let acknowledged = workload(&disk);
    let most = acknowledged.last().unwrap().1;
    // What the next process reads may still be unsynced, so sealing it must sync it first.
    for point in disk.crash_points() {
        let at = acknowledged.iter().rev().find(|(call, _)| *call <= point.before());
        let synced = at.map_or(0, |(_, lsn)| *lsn);
        for second in point.disk_after_kill().also_crashed(seed) {
            let (all, _) = recover(&second.shared()).unwrap();
            assert_prefix(&all, synced, most);
        }
    }
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut log = log_on(&disk);
        append(&mut log, 1..=3).unwrap();
        log.sync().unwrap();
        append(&mut log, 4..=20).unwrap();
        disk.fail_next(CallKind::Sync, io::ErrorKind::Other);
        assert!(log.sync().is_err());
        // The next process sees all records, and serves them.
        let killed = disk.after_kill();
        let (all, _) = recover(&killed.shared()).unwrap();
        assert_prefix(&all, 20, 20);
        let (all, _) = recover(&killed.after_crash(Survival::Nothing).shared()).unwrap();
        assert_prefix(&all, 20, 20);
    }
}

#[test]
fn a_footer_whose_sync_failed_is_written_again() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut log = log_on(&disk);
        append(&mut log, 1..=3).unwrap();
        log.sync().unwrap();
        disk.fail_next(CallKind::Sync, io::ErrorKind::Other);
        assert!(log.seal().is_err());
        // The next process finds the segment sealed, and puts another behind it.
        let killed = disk.after_kill();
        let (all, _) = recover(&killed.shared()).unwrap();
        assert_prefix(&all, 3, 3);
        let (all, _) = recover(&killed.after_crash(Survival::Nothing).shared()).unwrap();
        assert_prefix(&all, 3, 3);
    }
}

#[test]
fn nothing_is_cut_before_its_copy_is_durable() {
    let disk = small_segment(false).0.after_crash(Survival::Everything);
    let reader = read(&disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    for _ in 0..4 {
        records.step();
    }
    let tail = records.tail().clone();
    let end = usize::try_from(tail.end).unwrap();
    let cut = cut_bytes(&reader, &tail).to_vec();
    let copy = repair(&disk.shared(), &reader, &tail).unwrap().quarantine.unwrap();
    let mut cut_states = 0;
    for point in disk.crash_points() {
        for survival in point.survivals(20, 1) {
            let after = point.disk(survival);
            let bytes = after.bytes(&segment_path(SegmentId(1))).unwrap();
            if bytes.get(end..end + cut.len()) != Some(&cut) {
                assert_eq!(after.bytes(&copy).as_ref(), Some(&cut));
                cut_states += 1;
            }
        }
    }
    assert!(cut_states > 0);
}

#[test]
fn the_mark_is_never_ahead_of_the_log() {
    let disk = SimDisk::new(3);
    workload(&disk);
    for point in disk.crash_points() {
        for survival in point.survivals(8, 5) {
            let after = point.disk(survival).shared();
            let Some(mark) = read_mark(&after).unwrap() else { continue };
            let mut last = Lsn::ZERO;
            for id in segments(&after) {
                let mut reader = SegmentReader::default();
                reader.read(&after, id).unwrap();
                let mut records = reader.records().unwrap();
                while let Step::Record(record) = records.step() {
                    last = record.header.lsn;
                }
            }
            assert!(mark.lsn <= last, "the mark says {}, the log has {last}", mark.lsn);
        }
    }
    assert!(disk.bytes(Path::new(MARK)).is_some());
}

#[test]
fn random_damage_never_gives_a_wrong_record() {
    let seed = Random::seed_from_env(11);
    let mut random = Random::new(seed);
    let (disk, good, expected) = small_segment(false);
    let path = segment_path(SegmentId(1));
    for round in 0..2000 {
        let mut bad = good.clone();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(2000)).unwrap();
            let len = usize::try_from(1 + random.below(64)).unwrap();
            let from = usize::try_from(random.below(2000)).unwrap();
            match random.below(3) {
                0 => bad[at..at + len].fill(random.next_u64().to_le_bytes()[0]),
                1 => bad.copy_within(from..from + len, at),
                _ => bad.truncate(bad.len().max(3000) - len),
            }
        }
        disk.put(&path, &bad);
        let Ok(reader) = read(&disk, 1) else { continue };
        let (found, stop) = bodies(&reader);
        assert!(found.len() <= expected.len());
        assert_eq!(found, expected[..found.len()], "round {round}, FREEHOLD_SEED={seed}");
        if let Stop::AtBadRecord(bad) = stop {
            assert!(reader.evidence(&bad).durable <= Lsn(6), "round {round}, FREEHOLD_SEED={seed}");
        }
    }
}

#[test]
fn entries_of_a_record_that_was_read_are_8_aligned() {
    let (disk, _, _) = small_segment(true);
    let reader = read(&disk, 1).unwrap();
    let mut records = reader.records().unwrap();
    while let Step::Record(found) = records.step() {
        assert!(found.body.as_ptr().addr().is_multiple_of(8));
        for entry in record::entries(found.body).unwrap() {
            let payload = entry.unwrap().payload;
            assert!(payload.as_ptr().addr().is_multiple_of(8) || payload.is_empty());
        }
    }
}
