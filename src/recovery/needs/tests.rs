//! What a database needs, read from a simulated disk; and every reason to refuse, one change each.

use std::path::Path;

use super::*;
use crate::database::{Database, Options};
use crate::format::version::FORMAT_VERSION;
use crate::id::SegmentId;
use crate::prelude::{OrdMap, operations, primitive};
use crate::registry::PrimitiveRegistry;
use crate::testing::{CallKind, SimDisk};

/// Sums by name.
#[primitive(id = 0xe0, wal = 0xe0..=0xe1, section_version = 2)]
#[derive(Clone, Default)]
struct Ledger {
    sums: OrdMap<String, u64>,
}

#[operations]
impl Ledger {
    #[wal(0xe0, version = 1)]
    fn add_one(&mut self, name: &str) {
        self.add(name, 1);
    }

    #[wal(0xe0)]
    fn add(&mut self, name: &str, by: u64) {
        let sum = self.sums.get(name).copied().unwrap_or(0).saturating_add(by);
        self.sums.insert(name.to_owned(), sum);
    }

    #[wal(0xe1)]
    fn forget(&mut self, name: &str) {
        self.sums.remove(name);
    }
}

fn open(disk: &SimDisk) -> Database {
    options(disk).open("db").unwrap()
}

fn options(disk: &SimDisk) -> Options {
    Options::new().checkpoint_on_close(false).disk(disk.shared())
}

fn add(db: &Database) {
    db.transaction(|tx| tx.on::<Ledger>().add("a", 2)).unwrap();
}

fn forget(db: &Database) {
    db.transaction(|tx| tx.on::<Ledger>().forget("a")).unwrap();
}

/// A ledger in a snapshot, and one more entry behind it.
fn written() -> SimDisk {
    let disk = SimDisk::new(7);
    let db = open(&disk);
    add(&db);
    db.checkpoint().unwrap();
    forget(&db);
    db.close().unwrap();
    disk
}

fn needs(disk: &SimDisk) -> Result<Needs> {
    Needs::read(&disk.shared())
}

type Asked = (String, Vec<u32>, Vec<(u8, u8, u64)>);

fn asked(needs: &Needs) -> Vec<Asked> {
    let asked = needs.list.iter().map(|need| {
        let keys = need.operations.iter();
        let keys = keys.map(|((wal_type, version), lsn)| (*wal_type, *version, lsn.0));
        (need.row.name.clone(), need.sections.clone(), keys.collect())
    });
    asked.collect()
}

fn ledger(sections: &[u32], operations: &[(u8, u8, u64)]) -> Asked {
    ("Ledger".to_owned(), sections.to_vec(), operations.to_vec())
}

fn linked() -> Vec<Facts> {
    PrimitiveRegistry::linked().unwrap().facts().to_vec()
}

#[test]
fn a_database_in_use_says_what_it_needs_and_is_not_touched() {
    let disk = SimDisk::new(1);
    let db = open(&disk);
    let changes = disk.change_count();
    assert_eq!(asked(&needs(&disk).unwrap()), [], "nobody wrote");
    assert_eq!(disk.change_count(), changes);
    add(&db);
    add(&db);
    let changes = disk.change_count();
    assert_eq!(asked(&needs(&disk).unwrap()), [ledger(&[], &[(0xe0, 2, 1)])]);
    db.checkpoint().unwrap();
    assert_eq!(asked(&needs(&disk).unwrap()), [ledger(&[2], &[])], "the log behind is not needed");
    forget(&db);
    assert!(disk.change_count() > changes);
    let changes = disk.change_count();
    let needs = needs(&disk).unwrap();
    assert_eq!(asked(&needs), [ledger(&[2], &[(0xe1, 1, 3)])]);
    assert_eq!(disk.change_count(), changes, "asking writes nothing");
    let judgement = needs.judge(&linked());
    assert!(judgement.opens() && judgement.detached.is_empty());
}

#[test]
fn entries_that_a_program_without_the_primitive_carried_are_needed() {
    let disk = written();
    let db = options(&disk).detach("Ledger").open("db").unwrap();
    db.checkpoint().unwrap();
    db.close().unwrap();
    assert_eq!(asked(&needs(&disk).unwrap()), [ledger(&[2], &[(0xe1, 1, 2)])]);
}

#[test]
fn what_the_data_does_not_need_may_be_missing() {
    let mut program = linked();
    let ledger = program.iter_mut().find(|facts| facts.name() == "Ledger").unwrap();
    ledger.row.operations.retain(|operation| operation.wal_type == 0xe1);
    assert!(needs(&written()).unwrap().judge(&program).opens(), "no entry of 0xe0 is left");
    let all = Needs::of(&linked()).judge(&program);
    let said: Vec<String> = all.refusals.iter().map(|refusal| refusal.why.to_string()).collect();
    assert_eq!(
        said,
        [
            "Ledger operation 0xe0: version 1, this build reads 0",
            "Ledger operation 0xe0: version 2, this build reads 0"
        ]
    );
    assert!(Needs::of(&program).judge(&linked()).opens());
}

type Change = fn(&mut Facts);

/// One change of the ledger in the program, and why it then does not open the database.
const CHANGES: [(Change, &str); 9] = [
    (|_| {}, ""),
    (|ledger| ledger.row.operations.clear(), ""),
    (
        |ledger| ledger.row.operations.retain(|operation| operation.wal_type == 0xe0),
        "LSN 2: Ledger operation 0xe1: version 1, this build reads 0",
    ),
    (
        |ledger| {
            let operation = ledger.row.operations.last_mut().unwrap();
            (operation.fingerprint, operation.shape) = (1, "(who: str, )".to_owned());
        },
        "Ledger operation 0xe1 version 1 was (name: str, ) and is now (who: str, )",
    ),
    (
        |ledger| ledger.row.name = "Book".to_owned(),
        "type ID 0xe0 or a WAL type of it belongs to Ledger in the data, the linked primitive is \
         Book: if it was renamed, write `was = [\"Ledger\"]` on it",
    ),
    (
        |ledger| {
            ledger.row.name = "Book".to_owned();
            ledger.former_names.push("Ledger".to_owned());
        },
        "",
    ),
    (
        |ledger| ledger.row.type_id = 0xe2,
        "Ledger has type ID 0xe0 in the data, the linked primitive has 0xe2",
    ),
    (|ledger| ledger.row.section_version = 1, "Ledger section: version 2, this build reads 1"),
    (
        |ledger| ledger.row.section_shape = "sums: {str: i64}, ".to_owned(),
        "Ledger field sums was {str: u64} and is now {str: i64}: restore it, or give the new one \
         another name",
    ),
];

#[test]
fn each_change_is_refused_by_name_as_opening_would() {
    let needs = needs(&written()).unwrap();
    for (change, expected) in CHANGES {
        let mut program = linked();
        change(program.iter_mut().find(|facts| facts.name() == "Ledger").unwrap());
        let judgement = needs.judge(&program);
        let said: Vec<_> = judgement.refusals.iter().map(|each| each.why.to_string()).collect();
        let expected: Vec<&str> =
            Some(expected).filter(|text| !text.is_empty()).into_iter().collect();
        assert_eq!(said, expected);
        assert_eq!(judgement.detached, []);
        let of_ledger = |refusal: &Refusal| refusal.primitive.as_deref() == Some("Ledger");
        assert!(judgement.refusals.iter().all(of_ledger));
    }
}

#[test]
fn a_primitive_that_is_not_there_is_carried_unless_another_has_its_byte() {
    let needs = needs(&written()).unwrap();
    let mut program = linked();
    program.retain(|facts| facts.name() != "Ledger");
    let judgement = needs.judge(&program);
    assert!(judgement.opens());
    let detached: Vec<&str> = judgement.detached.iter().map(|row| &*row.name).collect();
    assert_eq!(detached, ["Ledger"]);
    program.push(Facts {
        row: CatalogRow {
            name: "Thief".into(),
            type_id: 0xef,
            wal_types: vec![0xe1],
            ..Default::default()
        },
        format_version: FORMAT_VERSION,
        ..Facts::default()
    });
    let judgement = needs.judge(&program);
    assert!(!judgement.opens());
    assert!(judgement.refusals[0].why.to_string().contains("belongs to Ledger in the data"));
}

#[test]
fn a_program_that_no_database_opens_with_is_refused() {
    let needs = Needs::of(&linked());
    let mut twice = linked();
    twice.push(Facts {
        row: CatalogRow { name: "Other".into(), ..twice[0].row.clone() },
        ..Facts::default()
    });
    let judgement = needs.judge(&twice);
    let said = judgement.refusals[0].why.to_string();
    assert!(said.starts_with("type ID ") && said.contains(" is claimed by "), "{said}");

    let mut newer = linked();
    newer.iter_mut().for_each(|facts| facts.format_version = 3);
    let judgement = Needs::of(&newer).judge(&linked());
    let said = judgement.refusals[0].why.to_string();
    assert_eq!(said, format!("files: version 3, this build reads {FORMAT_VERSION}"));
}

#[test]
fn a_torn_tail_is_fine_and_damage_is_not() {
    let disk = SimDisk::new(3);
    let db = open(&disk);
    let path = Path::new("wal/000001.wal");
    let last_byte = || disk.bytes(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    add(&db);
    let first = last_byte();
    forget(&db);
    let second = last_byte();
    let with = |at: usize, value: u8| {
        let killed = disk.after_kill();
        let mut bytes = killed.bytes(path).unwrap();
        bytes.resize(bytes.len().max(at + 1), 0);
        bytes[at] ^= value;
        killed.put(path, &bytes);
        needs(&killed)
    };
    let both = [ledger(&[], &[(0xe0, 2, 1), (0xe1, 1, 2)])];
    assert_eq!(asked(&with(second + 40, 7).unwrap()), both, "unfinished, behind the last record");
    assert!(matches!(with(first, 7), Err(Error::Corrupt { .. })), "the second proves the first");
    assert_eq!(asked(&needs(&SimDisk::new(4)).unwrap()), [], "no record was ever written");
}

#[test]
fn records_below_the_snapshot_are_not_needed() {
    let disk = SimDisk::new(5);
    let db = open(&disk);
    add(&db);
    forget(&db);
    let mut reader = SegmentReader::default();
    reader.read(&disk.shared(), SegmentId(1)).unwrap();
    for (start, expected) in [
        (0, vec![ledger(&[], &[(0xe0, 2, 1), (0xe1, 1, 2)])]),
        (1, vec![ledger(&[], &[(0xe1, 1, 2)])]),
        (2, vec![]),
    ] {
        let mut needs = Needs::new();
        needs.segment(&reader, Place::Last, Lsn(start), (Lsn::ZERO, "nothing")).unwrap();
        assert_eq!(asked(&needs), expected, "from {start}");
    }
}

#[test]
fn a_file_that_goes_away_meanwhile_makes_the_reading_start_again() {
    let disk = written();
    let before = disk.calls().len();
    let expected = asked(&needs(&disk).unwrap());
    let opened: Vec<usize> = disk.calls()[before..]
        .iter()
        .enumerate()
        .filter(|(_, call)| call.kind == CallKind::Open)
        .map(|(at, _)| at)
        .collect();
    assert!(opened.len() > 3, "the mark, segments, the snapshot");
    for at in opened {
        disk.fail_call(disk.call_count() + at as u64, std::io::ErrorKind::NotFound);
        assert_eq!(asked(&needs(&disk).unwrap()), expected, "call {at} fails");
        let failed = disk.calls().iter().filter(|call| call.error.is_some()).count();
        assert!(failed > 0, "call {at} did not fail");
    }
    disk.fail_every(CallKind::Open, std::io::ErrorKind::NotFound);
    assert!(matches!(needs(&disk), Err(Error::Io { .. })));
}
