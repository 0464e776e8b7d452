use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::error::Error;
use crate::format::core_entry::Told;
use crate::format::entry::Entries;
use crate::format::record::BODY_HEAD_LEN;
use crate::id::{Epoch, Lsn, Timestamp};
use crate::primitive::context::LoggedEntry;
use crate::primitive::section::{RowSink, SectionReader, SectionWriter, TableRows};
use crate::primitive::{Apply, Descriptor, Instance, OrdMap, Vector};
use crate::registry::PrimitiveRegistry;
use freehold::{operations, primitive};

/// Counters with an index that an operation reads.
#[primitive(id = 0xf1, wal = [0xf0..=0xf6, 0xf8])]
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    counts: OrdMap<String, i64>,
    contexts: Vector<(u64, u64, u32)>,
    last: Option<String>,
    #[index(rebuild = |tally| tally.counts.values().sum())]
    total: i64,
}

thread_local! {
    /// Set by one test. Whoever else meets the operation, in changed bytes, meets one that is sound.
    static CALLS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("refused")]
pub(super) struct Refused;

#[operations]
impl Tally {
    /// Adds.
    #[wal(0xf0)]
    pub(super) fn add(&mut self, name: &str, by: i64) -> i64 {
        self.total += by;
        let count = self.counts.get(name).copied().unwrap_or(0) + by;
        self.counts.insert(name.to_owned(), count);
        self.last = Some(name.to_owned());
        count
    }

    /// What `add` was once.
    #[wal(0xf0, version = 1)]
    fn add_one(&mut self, name: String) {
        self.add(&name, 1);
    }

    #[wal(0xf1)]
    fn note(&mut self, context: &OpContext) {
        self.contexts.push((context.lsn().0, context.timestamp().0, context.index()));
    }

    /// Changes everything and then says no.
    #[wal(0xf2)]
    fn refuse(&mut self, name: &str) -> Result<(), Refused> {
        self.counts.clear();
        self.add(name, i64::from(u32::MAX));
        Err(Refused)
    }

    #[wal(0xf3)]
    fn panic(&mut self) {
        self.counts.clear();
        self.total = -1;
        panic!("in the middle");
    }

    /// Depends on the index.
    #[wal(0xf4)]
    fn add_total(&mut self, name: impl Into<String>) -> i64 {
        let total = self.total;
        self.add(&name.into(), total)
    }

    #[wal(0xf5, effect)]
    fn halve(&self, context: &OpContext, name: &str) -> Result<((String, i64), u64), Refused> {
        let count = self.counts.get(name).ok_or(Refused)?;
        Ok(((name.to_owned(), count / 2), context.lsn().0))
    }

    #[wal(0xf6)]
    fn blob(&mut self, bytes: impl AsRef<[u8]>) {
        self.last = Some(bytes.as_ref().len().to_string());
    }

    /// Is not the same each time where [`CALLS_LEFT`] says so, which an operation must not be.
    #[wal(0xf8)]
    fn only_once(&mut self) -> Result<(), Refused> {
        let left = CALLS_LEFT.get();
        CALLS_LEFT.set(left.map(|left| left.saturating_sub(1)));
        if left == Some(0) { Err(Refused) } else { Ok(()) }
    }

    pub(super) fn get(&self, name: &str) -> Option<i64> {
        self.counts.get(name).copied()
    }
}

impl Apply<(String, i64)> for Tally {
    fn apply(&mut self, (name, count): &(String, i64)) {
        self.total += count - self.counts.get(name).unwrap_or(&0);
        self.counts.insert(name.clone(), *count);
    }
}

const LSN: Lsn = Lsn(9);
const RUN: RunId = RunId(4);

fn descriptor() -> &'static Descriptor {
    PrimitiveRegistry::linked().unwrap().get(Tally::TYPE_ID).unwrap()
}

/// A transaction on one instance, as the database runs one.
struct Bench {
    instance: Instance,
    log: TransactionLog,
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench { instance: descriptor().create(), log: TransactionLog::new() };
        bench.begin();
        bench
    }

    fn begin(&mut self) {
        self.log.begin(LSN, Timestamp(77), Epoch(1));
        self.log.set_run(RUN, Lsn(3), Told::default());
    }

    fn tally(&mut self) -> TallyHandle<'_> {
        TallyHandle::from(Handle::new(self.instance.live_mut().unwrap(), &mut self.log, RUN))
    }

    fn value(&self) -> Tally {
        self.instance.get::<Tally>().unwrap().clone()
    }

    /// A fresh instance with everything that was logged applied to it.
    fn replayed(&mut self) -> Tally {
        let body = self.log.finish().unwrap();
        let mut aligned = AlignedBody::new();
        aligned.extend_from_slice(body);
        let mut instance = descriptor().create();
        descriptor()
            .replay_carried(&mut instance, &logged(&aligned, self.log.entry_count()))
            .unwrap();
        instance.get::<Tally>().unwrap().clone()
    }
}

type AlignedBody = rkyv::util::AlignedVec<16>;

fn logged(body: &[u8], entry_count: u32) -> Vec<LoggedEntry<'_>> {
    Entries::new(&body[BODY_HEAD_LEN..], entry_count)
        .map(Result::unwrap)
        .enumerate()
        .filter(|(_, entry)| entry.wal_type >= 0x10)
        .map(|(index, entry)| LoggedEntry {
            wal_type: entry.wal_type,
            version: entry.version,
            index: u32::try_from(index).unwrap(),
            lsn: LSN,
            timestamp: Timestamp(77),
            payload: entry.payload,
        })
        .collect()
}

#[test]
fn what_was_logged_replays_to_the_same_state() {
    let mut bench = Bench::new();
    assert_eq!(bench.tally().add("a", 5).unwrap(), 5);
    bench.tally().note().unwrap();
    assert_eq!(bench.tally().add_total("b").unwrap(), 5);
    assert_eq!(bench.tally().halve("a").unwrap(), LSN.0);
    bench.tally().blob(vec![1_u8; 100]).unwrap();
    bench.tally().note().unwrap();
    assert_eq!(bench.tally().get("a"), Some(2));
    assert_eq!(bench.replayed(), bench.value());
    let contexts: Vec<_> = bench.value().contexts.iter().copied().collect();
    assert_eq!(contexts, [(9, 77, 2), (9, 77, 6)], "the index counts all entries of the record");
}

#[test]
fn a_rejected_operation_changes_nothing_and_is_not_logged() {
    let mut bench = Bench::new();
    let nothing = bench.tally().refuse("x").unwrap_err();
    assert_eq!(nothing.rejected(), Some(&Refused));
    assert!(bench.log.is_empty(), "not even the run switch stays");
    assert_eq!(bench.value(), Tally::default());
    assert!(!descriptor().settle(&mut bench.instance), "no record has an entry of it");

    bench.tally().add("a", 1).unwrap();
    for _ in 0..3 {
        let before = bench.value();
        assert!(bench.tally().refuse("a").is_err());
        assert!(bench.tally().halve("absent").is_err());
        assert_eq!(bench.value(), before);
        bench.tally().add("b", 2).unwrap();
    }
    assert_eq!(bench.value().total, 7);
    assert_eq!(bench.replayed(), bench.value());
}

#[test]
fn an_abort_after_many_operations_leaves_the_state_before() {
    let mut bench = Bench::new();
    bench.tally().add("kept", 3).unwrap();
    assert!(descriptor().settle(&mut bench.instance));
    assert!(!descriptor().settle(&mut bench.instance), "nothing changed since");
    let before = bench.value();

    bench.begin();
    for n in 0..1000 {
        bench.tally().add("kept", n).unwrap();
        if n % 7 == 0 {
            bench.tally().refuse("kept").unwrap_err();
        }
    }
    descriptor().undo(&mut bench.instance);
    assert_eq!(bench.value(), before);
    assert!(!descriptor().settle(&mut bench.instance));
}

#[test]
fn a_panic_that_the_closure_swallows_leaves_no_trace() {
    let mut bench = Bench::new();
    bench.tally().add("a", 1).unwrap();
    let before = bench.value();
    let count = bench.log.entry_count();
    let panicked = catch_unwind(AssertUnwindSafe(|| bench.tally().panic()));
    assert!(panicked.is_err());
    assert_eq!(bench.value(), before);
    assert_eq!(bench.log.entry_count(), count);
    bench.tally().add("a", 1).unwrap();
    assert_eq!(bench.replayed(), bench.value());
}

#[test]
fn a_state_that_cannot_be_brought_back_forbids_the_commit() {
    let mut bench = Bench::new();
    CALLS_LEFT.set(Some(1));
    bench.tally().only_once().unwrap();
    assert!(bench.tally().refuse("x").is_err());
    for asked in ["once", "twice"] {
        let lost = bench.log.finish().unwrap_err();
        assert!(
            matches!(&lost, Error::Aborted(reason) if reason.to_string() == "refused"),
            "{asked}: {lost}"
        );
    }
    descriptor().undo(&mut bench.instance);
    bench.begin();
    assert!(bench.log.finish().is_ok());
}

#[test]
fn an_older_version_replays_and_has_no_method_on_the_handle() {
    let shapes: Vec<_> = descriptor()
        .operations()
        .iter()
        .filter(|operation| operation.wal_type == 0xf0)
        .map(|operation| (operation.version, operation.name, operation.shape))
        .collect();
    assert_eq!(shapes, [(2, "add", "(name: str, by: i64, )"), (1, "add", "(name: str, )")]);
    let mut bench = Bench::new();
    let mut payload = AlignedBody::new();
    let mut arena = rkyv::ser::allocator::Arena::new();
    let arguments = ("old",);
    let mut writer = PayloadWriter::new(&mut payload, &mut arena, 1);
    writer.write(&arguments).unwrap();
    let entry = crate::format::WalEntry { wal_type: 0xf0, version: 1, payload: &payload };
    bench.tally().0.log(&entry).unwrap();
    assert_eq!(bench.value().get("old"), Some(1));
    assert_eq!(bench.replayed(), bench.value());
    let unknown = crate::format::WalEntry { version: 3, ..entry };
    let error = bench.tally().0.log(&unknown).unwrap_err();
    assert_eq!(error.to_string(), "rejected: this build has no operation 0xf0 version 3");
}

#[test]
fn a_handle_logs_no_wal_type_and_no_version_but_its_own() {
    let mut bench = Bench::new();
    for (wal_type, version, expected) in [
        (0x00, 1, "rejected: WAL type 0x00 is not one that Tally claims"),
        (0x05, 1, "rejected: WAL type 0x05 is not one that Tally claims"),
        (0xf7, 1, "rejected: WAL type 0xf7 is not one that Tally claims"),
        (0xff, 1, "rejected: WAL type 0xff is not one that Tally claims"),
        (0xf1, 2, "rejected: this build has no operation 0xf1 version 2"),
        (0xf1, 0, "rejected: this build has no operation 0xf1 version 0"),
    ] {
        let entry = crate::format::WalEntry { wal_type, version, payload: b"" };
        let logged = bench.tally().0.log(&entry).unwrap_err();
        assert_eq!(logged.to_string(), expected);
        let never = |_: &mut Tally, _: &OpContext| -> Result<(), Reason> { unreachable!() };
        let operated =
            bench.tally().0.operate(wal_type, version, |_| unreachable!(), never).unwrap_err();
        assert_eq!(operated.to_string(), expected);
    }
    assert!(bench.log.is_empty(), "not even the run switch stays");
    assert!(!descriptor().settle(&mut bench.instance));
}

#[test]
fn a_payload_that_is_too_large_is_refused_before_anything_is_applied() {
    let mut bench = Bench::new();
    let error = bench.tally().blob(vec![0_u8; crate::format::ENTRY_BYTES_MAX]).unwrap_err();
    assert!(error.rejected::<crate::PayloadTooLarge>().is_some(), "{error}");
    let said = "rejected: an operation's arguments take more than 67108864 bytes, the most an entry \
                holds";
    assert_eq!(error.to_string(), said);
    assert!(bench.log.is_empty());
    assert_eq!(bench.value(), Tally::default());
    assert!(!descriptor().settle(&mut bench.instance));
    bench.tally().blob(vec![0_u8; crate::format::ENTRY_BYTES_MAX - 8]).unwrap();
}

#[test]
fn a_record_that_is_full_refuses_the_next_entry() {
    let mut bench = Bench::new();
    let bytes = vec![0_u8; crate::format::ENTRY_BYTES_MAX - 8];
    for _ in 0..3 {
        bench.tally().blob(&bytes).unwrap();
    }
    let count = bench.log.entry_count();
    assert!(matches!(bench.tally().blob(&bytes), Err(Error::Rejected(_))));
    assert_eq!(bench.log.entry_count(), count);
    bench.tally().add("still", 1).unwrap();
}

#[test]
fn two_runs_in_one_record_keep_their_entries_apart() {
    let mut bench = Bench::new();
    let mut other = descriptor().create();
    for round in 0..3 {
        bench.log.set_run(RUN, Lsn(3), Told::default());
        bench.tally().add("here", 1).unwrap();
        bench.log.set_run(RunId::ROOT, Lsn(5), Told::default());
        let live = other.live_mut().unwrap();
        let mut root = TallyHandle::from(Handle::new(live, &mut bench.log, RunId::ROOT));
        root.add("there", 10).unwrap();
        // Goes back by what the root logged, not by what the other run did.
        assert!(root.refuse("there").is_err());
        assert_eq!(root.get("there"), Some(10 * (round + 1)));
        assert_eq!(root.get("here"), None);
    }
    assert_eq!(bench.value().get("here"), Some(3));
    assert_eq!(bench.log.entry_count(), 12, "a switch before each");
}

/// Rows as a snapshot keeps them: one block a table.
#[derive(Default)]
pub(super) struct Tables(Vec<(u32, AlignedBody)>);

impl RowSink for Tables {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        if self.0.last().is_none_or(|(last, _)| *last != table) {
            assert!(self.0.iter().all(|(other, _)| *other != table), "a table comes once");
            self.0.push((table, AlignedBody::new()));
        }
        let (_, block) = self.0.last_mut().unwrap();
        block.extend_from_slice(&u32::try_from(row.len()).unwrap().to_le_bytes());
        block.extend_from_slice(&[0; 4]);
        block.extend_from_slice(row);
        block.resize(block.len().next_multiple_of(8), 0);
        Ok(())
    }
}

impl Tables {
    fn rows(&self) -> Vec<TableRows<'_>> {
        self.0.iter().map(|(tag, block)| TableRows { tag: *tag, blocks: vec![block] }).collect()
    }
}

#[test]
fn a_section_comes_back_with_its_indexes_rebuilt() {
    let mut bench = Bench::new();
    for n in 0..500 {
        bench.tally().add(&format!("key {n}"), n).unwrap();
    }
    bench.tally().note().unwrap();
    descriptor().settle(&mut bench.instance);
    let frozen = descriptor().freeze(&bench.instance);
    bench.begin();
    bench.tally().add("later", 1).unwrap();

    let mut tables = Tables::default();
    descriptor().save(&frozen, &mut SectionWriter::new(&mut tables)).unwrap();
    assert_eq!(tables.0.len(), 3, "no table for the index");
    let rows = tables.rows();
    let mut loaded = descriptor().load(&mut SectionReader::new(&rows)).unwrap();
    assert_eq!(loaded.get::<Tally>(), frozen.get::<Tally>());
    assert_eq!(loaded.get::<Tally>().unwrap().total, 499 * 500 / 2);

    // Load and tail is full replay, also for an operation that reads the index.
    let mut tail = Bench::new();
    tail.instance = Instance::new(frozen.get::<Tally>().unwrap().clone());
    tail.tally().add_total("sum").unwrap();
    let body = tail.log.finish().unwrap().to_vec();
    let mut aligned = AlignedBody::new();
    aligned.extend_from_slice(&body);
    let entries = logged(&aligned, tail.log.entry_count());
    descriptor().replay_carried(&mut loaded, &entries).unwrap();
    assert_eq!(loaded.get::<Tally>(), tail.instance.get::<Tally>());
}

#[test]
fn a_section_with_a_table_that_no_field_is_is_refused() {
    let mut tables = Tables::default();
    let frozen = descriptor().freeze(&descriptor().create());
    descriptor().save(&frozen, &mut SectionWriter::new(&mut tables)).unwrap();
    assert_eq!(tables.0.len(), 1, "empty collections have no rows");
    tables.row(12345, b"").unwrap();
    let rows = tables.rows();
    let refused = descriptor().load(&mut SectionReader::new(&rows));
    let reason = refused.err().unwrap();
    assert!(reason.to_string().contains("0x00003039"), "{reason}");
}

#[test]
fn damaged_rows_are_refused_and_never_panic() {
    let mut bench = Bench::new();
    bench.tally().add("some name that is long", 1).unwrap();
    bench.tally().note().unwrap();
    let frozen = descriptor().freeze(&bench.instance);
    let mut tables = Tables::default();
    descriptor().save(&frozen, &mut SectionWriter::new(&mut tables)).unwrap();
    for table in 0..tables.0.len() {
        for index in 0..tables.0[table].1.len() {
            for flip in [1, 0x80, 0xff] {
                tables.0[table].1[index] ^= flip;
                let rows = tables.rows();
                let _ = descriptor().load(&mut SectionReader::new(&rows));
                drop(rows);
                tables.0[table].1[index] ^= flip;
            }
        }
    }
}

#[test]
fn a_replayed_operation_that_fails_is_named() {
    for (wal_type, expected) in [
        (0xf2, "replay of record 9 diverged: Tally operation 0xf2 version 1: refused"),
        (0xf3, "replay of record 9 diverged: Tally operation 0xf3 version 1: panic: in the middle"),
        (
            0xf7,
            "replay of record 9 diverged: Tally operation 0xf7 version 1: \
                this build has no operation 0xf7 version 1",
        ),
    ] {
        let mut payload = AlignedBody::new();
        let mut arena = rkyv::ser::allocator::Arena::new();
        if wal_type == 0xf2 {
            PayloadWriter::new(&mut payload, &mut arena, 1).write(&("x",)).unwrap();
        }
        let entry = LoggedEntry {
            wal_type,
            version: 1,
            index: 0,
            lsn: LSN,
            timestamp: Timestamp(1),
            payload: &payload,
        };
        let mut instance = descriptor().create();
        let error = descriptor().replay_carried(&mut instance, &[entry]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn arguments_of_another_layout_are_refused_at_replay() {
    let mut bench = Bench::new();
    let entry = crate::format::WalEntry { wal_type: 0xf0, version: 2, payload: b"12345678" };
    assert!(bench.tally().0.log(&entry).is_err());
    assert_eq!(bench.value(), Tally::default());
}
