//! What files of a later release look like, which no build of today writes; and calls that fail while
//! files are made or mended.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::database::{Database, Durability, Options};
use crate::error::{Damage, Error};
use crate::format::core_entry;
use crate::format::entry::encode_head;
use crate::format::record::{BODY_HEAD_LEN, FRAME_LEN, Place, encode_body_head, frame};
use crate::format::segment::SegmentHeader;
use crate::format::version::Features;
use crate::id::{Lsn, SegmentId, Timestamp};
use crate::prelude::{OrdMap, operations, primitive};
use crate::testing::{SimDisk, Survival};
use crate::wal::names::{MARK, segment_path};
use crate::wal::scan::{SegmentReader, Step};

use super::{claim, found, unmark};

/// Marks.
#[primitive(id = 0xea, wal = 0xea)]
#[derive(Clone, Default)]
struct Marks {
    marks: OrdMap<u64, u64>,
}

#[operations]
impl Marks {
    #[wal(0xea)]
    fn mark(&mut self, at: u64) {
        self.marks.insert(at, at);
    }
}

/// Small segments, since those that are torn are read whole and often.
fn options(disk: &SimDisk) -> Options {
    let options = Options::new().segment_bytes(4 << 10).checkpoint_on_close(false);
    options.disk(disk.shared()).on_warning(|_, _| {})
}

fn open(disk: &SimDisk) -> Result<Database, Error> {
    options(disk).open("")
}

/// A closed database whose only segment says that it uses these features.
fn with_features(features: Features) -> SimDisk {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(1)).unwrap();
    db.close().unwrap();
    let path = Path::new("wal/000001.wal");
    let mut bytes = disk.bytes(path).unwrap();
    let (header, len) = SegmentHeader::decode(&bytes).unwrap();
    let header = SegmentHeader { features, ..header }.encode();
    assert_eq!(header.len(), len);
    bytes[..len].copy_from_slice(&header);
    disk.put(path, &bytes);
    disk
}

#[test]
fn unknown_features_refuse_reading_or_writing_or_nothing() {
    let compatible = Features { compatible: 1 << 60, ..Features::default() };
    let db = open(&with_features(compatible)).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(2)).unwrap();

    let read_only = with_features(Features { read_only_compatible: 2, ..Features::default() });
    let db = open(&read_only).unwrap();
    assert_eq!(db.view().on::<Marks>().marks.len(), 1);
    let refused = db.transaction(|tx| tx.on::<Marks>().mark(2)).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    assert!(db.recovery_report().read_only.is_some());
    db.close().unwrap();
    let untouched = with_features(Features { read_only_compatible: 2, ..Features::default() });
    assert_eq!(read_only.files(), untouched.files(), "nothing was made or cut");

    let incompatible = with_features(Features { incompatible: 4, ..Features::default() });
    let refused = open(&incompatible).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "wal/000001.wal: incompatible features: version 4, this build reads 0"
    );
}

/// What an attempt at a new database left when it was killed, and a stray file in it.
fn unfinished() -> SimDisk {
    let disk = SimDisk::new(2);
    claim(&disk.shared()).unwrap();
    found(&disk.shared(), Lsn(3)).unwrap();
    disk.put(Path::new("snapshots/00000000000000000003.snapshot"), b"half of one");
    disk
}

fn make_anew(disk: &SimDisk) -> Result<(), Error> {
    let _lock = claim(&disk.shared())?;
    found(&disk.shared(), Lsn(3))?;
    unmark(&disk.shared())
}

#[test]
fn an_attempt_at_a_new_database_ends_at_any_call_that_fails_and_can_be_made_again() {
    let mut failed = 0;
    for call in 0.. {
        let disk = unfinished();
        let first = disk.call_count();
        disk.fail_call(first + call, io::ErrorKind::PermissionDenied);
        let made = make_anew(&disk);
        if disk.call_count() - first <= call {
            made.unwrap();
            break;
        }
        match made {
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "call {call}: {error}");
                failed += 1;
            }
            // The name of the holder in the lock's file is for messages only.
            Ok(()) => {
                assert!(disk.calls()[(first + call) as usize].path.ends_with("LOCK"));
                continue;
            }
        }
        disk.heal();
        make_anew(&disk).unwrap();
        let left: Vec<_> =
            disk.files().into_iter().filter(|(path, _)| path != Path::new("LOCK")).collect();
        assert_eq!(left, [], "after call {call}");
    }
    assert!(failed > 8, "{failed}");
}

/// Opens a log whose only record, sound in itself, has these entries: WAL type, version, payload.
fn open_with(entries: &[(u8, u8, Vec<u8>)]) -> Result<Database, Error> {
    let disk = SimDisk::new(4);
    let db = open(&disk).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(1)).unwrap();
    let disk = disk.after_kill();
    std::mem::forget(db);
    let path = Path::new("wal/000001.wal");
    let mut bytes = disk.bytes(path).unwrap();
    let (header, at) = SegmentHeader::decode(&bytes).unwrap();
    let mut record = vec![0; FRAME_LEN + BODY_HEAD_LEN];
    for (wal_type, version, payload) in entries {
        record.extend(encode_head(payload.len(), *wal_type, *version));
        record.extend(payload);
        record.resize(record.len().next_multiple_of(8), 0);
    }
    let head = encode_body_head(Lsn(1), Timestamp(1), header.epoch, entries.len() as u32);
    record[FRAME_LEN..FRAME_LEN + BODY_HEAD_LEN].copy_from_slice(&head);
    let place = Place { salt: header.salt, segment: header.segment, offset: at as u64 };
    frame(&mut record, place, header.previous_chain, Lsn::ZERO);
    bytes[at..].fill(0);
    bytes[at..at + record.len()].copy_from_slice(&record);
    disk.put(path, &bytes);
    open(&disk)
}

#[test]
fn a_core_entry_of_a_later_build_is_no_damage_and_an_origin_needs_its_operation() {
    let mark = || (0xea, 1, 7_u64.to_le_bytes().to_vec());
    let origin =
        |version| (core_entry::ORIGIN, version, [9_u64, 9, 0].map(u64::to_le_bytes).concat());
    let db = open_with(&[origin(1), mark()]).unwrap();
    assert_eq!(db.view().on::<Marks>().marks.len(), 1);

    let newer = open_with(&[origin(2), mark()]).unwrap_err();
    assert!(matches!(newer, Error::Version { found: 2, supported: 1, .. }), "{newer}");
    assert!(newer.to_string().starts_with("wal/000001.wal at "), "{newer}");
    let delete = || (core_entry::RUN_DELETE, 1, 1_u64.to_le_bytes().to_vec());
    for entries in
        [vec![mark(), origin(1)], vec![origin(1), delete()], vec![origin(1), origin(1), mark()]]
    {
        let refused = open_with(&entries).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        assert!(refused.to_string().contains("origin"), "{refused}");
    }
}

#[test]
fn a_wal_type_that_no_catalog_names_is_refused_with_its_place() {
    for wal_type in [0x00, 0xeb, 0xff] {
        let mark = (0xea, 1, 7_u64.to_le_bytes().to_vec());
        let refused = open_with(&[mark, (wal_type, 1, Vec::new())]).unwrap_err().to_string();
        assert!(refused.starts_with("wal/000001.wal at "), "{refused}");
        let unknown = format!(": WAL type {wal_type:#04x} stands in no catalog");
        assert!(refused.ends_with(&unknown), "{refused}");
    }
}

/// Case E of `docs/recovery.md`.
#[test]
fn zeros_where_a_record_is_proved_synced_are_damage_and_behind_that_the_end() {
    let disk = SimDisk::new(6);
    let db = open(&disk).unwrap();
    let mark_up_to = |last: u64| {
        for at in db.view().lsn().0..last {
            db.transaction(|tx| tx.on::<Marks>().mark(at)).unwrap();
        }
        disk.bytes(Path::new(MARK)).unwrap()
    };
    let (early, late) = (mark_up_to(20), mark_up_to(40));
    let disk = disk.after_kill();
    std::mem::forget(db);
    let path = segment_path(SegmentId(1));
    let mut reader = SegmentReader::default();
    reader.read(&disk.shared(), SegmentId(1)).unwrap();
    for (synced_mark, most) in [(early, 20), (late, 40)] {
        let mut records = reader.records().unwrap();
        let mut refused = 0;
        while let Step::Record(record) = records.step() {
            let (lsn, offset) = (record.header.lsn, record.offset);
            let copy = disk.after_kill();
            copy.put(Path::new(MARK), &synced_mark);
            let mut bytes = copy.bytes(&path).unwrap();
            bytes[offset..].fill(0);
            copy.put(&path, &bytes);
            if let Ok(db) = open(&copy) {
                assert_eq!(db.view().lsn().next(), lsn);
                continue;
            }
            let error = open(&copy).unwrap_err();
            let Error::Corrupt {
                offset: at,
                what: Damage::Proved { damage, lsn: bad, proved, .. },
                ..
            } = error
            else {
                panic!("record {lsn}: {error}")
            };
            assert_eq!(
                (at, bad, *damage),
                (offset as u64, lsn, Damage::Value { of: "record length", found: 0, expected: 1 })
            );
            assert!(lsn <= proved, "{lsn} {proved}");
            refused += 1;
        }
        assert!((most - 1..=most).contains(&refused), "{refused} of {most}");
    }
}

/// Closed by nobody, and its last record was torn: opening copies, cuts and seals.
fn torn() -> SimDisk {
    let disk = SimDisk::new(3);
    let db = open(&disk).unwrap();
    db.transaction(|tx| tx.on::<Marks>().mark(1)).unwrap();
    let whole = disk.bytes(Path::new("wal/000001.wal")).unwrap();
    std::mem::forget(db);
    let disk = disk.after_crash(Survival::Everything);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
    let mut bytes = whole;
    bytes[end + 8..end + 16].fill(0xab);
    disk.put(Path::new("wal/000001.wal"), &bytes);
    disk
}

#[test]
fn a_repair_ends_at_any_call_that_fails_and_the_next_one_finds_the_same() {
    let marks = |db: &Database| db.view().on::<Marks>().marks.len();
    let (mut refused, mut copied) = (0, 0);
    for call in 0.. {
        let disk = torn();
        let first = disk.call_count();
        disk.fail_call(first + call, io::ErrorKind::PermissionDenied);
        let opened = open(&disk);
        let is_over = disk.call_count() - first <= call;
        match opened {
            Ok(db) => assert_eq!(marks(&db), 1, "call {call}"),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "call {call}: {error}");
                refused += 1;
            }
        }
        disk.heal();
        let db = open(&disk).unwrap();
        assert_eq!(marks(&db), 1, "call {call}");
        copied += u64::from(db.recovery_report().cut.is_some());
        if is_over {
            break;
        }
    }
    assert!(refused > 20 && copied > 5, "{refused} refused, {copied} copied at the second opening");
}

/// The file that is torn.
const LAST: &str = "wal/000001.wal";

/// Killed before any of its records was synced, and these are the bytes of its only segment.
fn unsynced() -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new(4);
    let buffered = Durability::Buffered { sync_every: Duration::MAX };
    let db = options(&disk).durability(buffered).open("").unwrap();
    for at in [0x0101_0101, 0x0202_0202, 0x0303_0303] {
        db.transaction(|tx| tx.on::<Marks>().mark(at)).unwrap();
    }
    std::mem::forget(db);
    let disk = disk.after_kill();
    let bytes = disk.bytes(Path::new(LAST)).unwrap();
    (disk, bytes)
}

/// The places behind `from` that are not zero, up to the last of them.
fn rest(bytes: &[u8], from: usize) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(from..end).unwrap_or_default()
}

/// All that is in quarantine.
fn copies(disk: &SimDisk) -> Vec<Vec<u8>> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.starts_with("quarantine")).flat_map(|path| disk.bytes(&path)).collect()
}

#[test]
fn what_an_opening_cuts_is_byte_for_byte_in_quarantine() {
    let (disk, whole) = unsynced();
    let end = rest(&whole, 0).len();
    let (mut cuts, mut with_whole_records) = (0, 0);
    for place in end - 150..end {
        // Torn there; or the page there did not persist in full, and others behind it did.
        let mut torn = whole.clone();
        torn[place..].fill(0);
        let mut holed = whole.clone();
        holed[place] ^= 0xff;
        for found in [torn, holed] {
            let disk = disk.after_kill();
            disk.put(Path::new(LAST), &found);
            let db = open(&disk).unwrap();
            let left = disk.bytes(Path::new(LAST)).unwrap();
            let Some(cut) = &db.recovery_report().cut else {
                assert!(left.starts_with(rest(&found, 0)), "{place}: cut and not reported");
                assert_eq!(copies(&disk), [[0; 0]; 0]);
                continue;
            };
            let offset = usize::try_from(cut.offset).unwrap();
            assert_eq!(left[..offset], found[..offset], "{place}: what is kept was changed");
            let copy = disk.bytes(Path::new(&*cut.quarantine)).unwrap();
            assert_eq!(copy, rest(&found, offset), "{place}: {cut:?}");
            assert_eq!(copy.len() as u64, cut.bytes);
            assert_eq!(copies(&disk), [copy], "one copy, and nothing beside it");
            cuts += 1;
            with_whole_records += u64::from(place + 100 < end);
        }
    }
    assert!(cuts > 200 && with_whole_records > 50, "{cuts} cuts, {with_whole_records} of more");
}

#[test]
fn while_a_repair_fails_what_it_cuts_is_in_the_segment_or_in_quarantine() {
    let (disk, mut found) = unsynced();
    let end = rest(&found, 0).len();
    found[end - 90] ^= 0xff;
    disk.put(Path::new(LAST), &found);
    let undisturbed = disk.after_kill();
    let db = open(&undisturbed).unwrap();
    let cut = db.recovery_report().cut.clone().unwrap();
    let offset = usize::try_from(cut.offset).unwrap();
    let expected = rest(&found, offset);
    let (mut before, mut after) = (0, 0);
    for call in 0.. {
        let disk = disk.after_kill();
        let first = disk.call_count();
        disk.fail_call(first + call, io::ErrorKind::PermissionDenied);
        let opened = open(&disk);
        let is_over = disk.call_count() - first <= call;
        let left = disk.bytes(Path::new(LAST)).unwrap();
        if left == found {
            before += 1;
        } else {
            assert_eq!(copies(&disk), [expected], "call {call}");
            after += 1;
        }
        drop(opened);
        disk.heal();
        let db = open(&disk).unwrap();
        // If the first one came as far as zeros, the second one keeps what it found as well.
        assert!(copies(&disk).iter().any(|copy| copy == expected), "call {call}");
        assert_eq!(disk.bytes(Path::new(LAST)).unwrap()[..offset], found[..offset]);
        drop(db);
        if is_over {
            break;
        }
    }
    assert!(before > 20 && after > 8, "{before} before the cut, {after} after it");
}
