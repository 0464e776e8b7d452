//! What the golden files hold: every operation of every primitive that ships, values of every kind,
//! runs made, forked, copied, imported (and gone on with) and deleted, what is not linked, checkpoints and pruned history.
//!
//! - A release writes its files once. What is added here is in those of later releases only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freehold::prelude::*;
use freehold::primitives::trace::{
    Attributes, Batch, Origin, Span, SpanEvent, SpanId, SpanKey, SpanLink, Status, StatusCode,
    TraceId,
};
use freehold::primitives::{
    EventLog, Expected, ExpectedSequence, Json, JsonStore, KeyBounds, KvStore, Metric, NewEvent,
    Payload, RunIndex, RunOutcome, StateCell, StateMachine, TraceStore, VectorStore,
};
use freehold::testing::{SimDisk, Survival, TestClock};
use freehold::{Database, Error, History};

use crate::Files;

/// Things of every kind, by name.
#[primitive(id = 0xb0, wal = 0xb0..=0xb3, name = "chest")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Chest {
    things: OrdMap<String, Thing>,
    numbers: OrdSet<(u16, char)>,
    order: Vector<Option<Vec<String>>>,
    last: Option<Kind>,
    #[index(rebuild = |chest| chest.things.len() as u64)]
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(crate) struct Thing {
    kind: Kind,
    bytes: Bytes,
    tags: BTreeMap<String, [u8; 3]>,
    within: Option<Box<Part>>,
    numbers: (i8, u16, i32, u64, f32, f64, bool, char),
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(crate) struct Part {
    share: f32,
    of: Arc<str>,
    when: Timestamp,
    nothings: Vec<()>,
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(crate) enum Kind {
    Plain,
    Named { name: String, yes: bool },
    Many(Vec<Option<u64>>, char),
}

#[operations]
impl Chest {
    #[wal(0xb0)]
    pub(crate) fn put(&mut self, name: &str, thing: Thing) -> Option<Thing> {
        let before = self.things.insert(name.to_owned(), thing);
        self.count = self.things.len() as u64;
        before
    }

    #[wal(0xb1)]
    fn add(
        &mut self,
        numbers: OrdMap<u16, Vec<char>>,
        order: Vec<Option<Vec<String>>>,
        last: Option<Kind>,
    ) {
        for (number, characters) in &numbers {
            self.numbers.extend(characters.iter().map(|character| (*number, *character)));
        }
        self.order.extend(order);
        self.last = last;
    }

    #[wal(0xb2)]
    fn note(&mut self, context: &OpContext, shares: &[f64], nothings: Vec<()>) {
        let (lsn, time) = (context.lsn(), context.timestamp());
        let text = format!("{lsn} {time:?} {shares:?} {}", nothings.len());
        self.order.push(Some(vec![text]));
    }

    #[wal(0xb3)]
    pub(crate) fn take(&mut self, name: &str) -> Option<Thing> {
        let taken = self.things.remove(name);
        self.count = self.things.len() as u64;
        taken
    }
}

pub(crate) fn thing(number: u8) -> Thing {
    let kind = match number % 3 {
        0 => Kind::Plain,
        1 => Kind::Named { name: format!("name {number}"), yes: true },
        _ => Kind::Many(vec![None, Some(7), Some(u64::MAX)], 'ß'),
    };
    let within = Part {
        share: 0.5,
        of: "another one, longer than eight".into(),
        when: Timestamp(number.into()),
        nothings: vec![(); 3],
    };
    Thing {
        kind,
        bytes: Bytes::from(&[number; 21]),
        tags: [("a tag longer than eight".to_owned(), [number; 3]), ("b".to_owned(), [0; 3])]
            .into(),
        within: number.is_multiple_of(2).then(|| Box::new(within)),
        numbers: (-1, u16::MAX, i32::MIN, u64::MAX, -0.0, f64::MIN_POSITIVE, true, '€'),
    }
}

const DAY: u64 = 86_400_000_000_000;

fn open(disk: &SimDisk, clock: &TestClock, change: impl FnOnce(Options) -> Options) -> Database {
    let options = Options::new()
        .disk(disk.shared())
        .clock(clock.reader())
        .segment_bytes(4 << 10)
        .threads(1)
        .checkpoint_bytes(None)
        .checkpoint_on_close(false)
        .on_warning(|_, _| {});
    change(options).open("").unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// Everything of a golden directory that is no text.
pub(crate) fn everything() -> Files {
    let mut files = Files::new();
    let bundle = tempfile::tempdir().unwrap().path().with_extension("bundle");

    // Killed while it wrote: the log is all there is of it, its end torn.
    let (disk, clock) = (SimDisk::new(1), TestClock::ticking(Timestamp(DAY), 1_000));
    let db = open(&disk, &clock, |options| options.history(History::All));
    let run = db.create_run("run").unwrap();
    fill(&db, run);
    step(&db, run, 1);
    db.export_run(run, &bundle).unwrap();
    files.insert("run.bundle".into(), std::fs::read(&bundle).unwrap());
    let torn = disk.call_count() + 1;
    disk.crash_before(torn);
    db.transaction(|tx| tx.on::<KvStore>().put(b"torn", &[7; 900]).map(drop)).unwrap_err();
    drop(db);
    // Of all that may be found then, the first in which a part of that record is.
    let is_torn = |survival: &Survival| {
        let db = open(&disk.after_crash(*survival), &clock, |options| options);
        db.recovery_report().cut.is_some()
    };
    let torn = (0..).map(Survival::Seeded).find(is_torn).expect("one of them is torn");
    add(&mut files, "killed", &disk.after_crash(torn));

    let (disk, clock) = (SimDisk::new(2), TestClock::ticking(Timestamp(2 * DAY), 1_000));
    let db = open(&disk, &clock, |options| options);
    let run = db.create_run("run").unwrap();
    fill(&db, run);
    let deleted = db.create_run("deleted").unwrap();
    step(&db, deleted, 0);
    db.delete_run(deleted).unwrap();
    for number in 0..3 {
        step(&db, run, number);
        let fork = db.fork(run, &format!("fork {number}")).unwrap();
        step(&db, fork, 10 + number);
        db.checkpoint().unwrap();
    }
    let before = db.view().run(run).unwrap().last_lsn();
    step(&db, run, 3);
    db.fork_at(run, before, "as it was").unwrap();
    let imported = db.import_run(&bundle, Some("imported")).unwrap();
    step(&db, imported, 4);
    // A run that is gone, and another descends from it.
    let parent = db.create_run("parent").unwrap();
    step(&db, parent, 5);
    db.fork(parent, "orphan").unwrap();
    db.delete_run(parent).unwrap();
    db.close().unwrap();
    // What is not linked is carried, in the root, in a run and in a fork.
    let db = open(&disk, &clock, |options| options.detach("chest"));
    let fork = db.fork(run, "forked by another program").unwrap();
    db.run(fork).transaction(|tx| tx.on::<KvStore>().put(b"by", b"another").map(drop)).unwrap();
    db.checkpoint().unwrap();
    db.close().unwrap();
    let db = open(&disk, &clock, |options| options);
    step(&db, fork, 6);
    step(&db, RunId::ROOT, 7);
    db.close().unwrap();
    add(&mut files, "everything", &disk);
    // Younger, and its clock behind: what follows the import is told later places and times than it has.
    let (disk, clock) = (SimDisk::new(3), TestClock::ticking(Timestamp(DAY / 2), 1_000));
    let db = open(&disk, &clock, |options| options);
    step(&db, RunId::ROOT, 0);
    let run = db.import_run(&bundle, None).unwrap();
    step(&db, run, 1);
    let documents = |tx: &mut RunTransaction<'_>| {
        tx.on::<JsonStore>().set("created", "/told", &json("1")).map(drop)
    };
    db.run(run).transaction(documents).unwrap();
    db.transaction(|tx| {
        tx.run(run)?.on::<Chest>().note(&[1.0], vec![])?;
        let fork = tx.fork(run, "fork")?;
        tx.run(run)?.on::<Chest>().note(&[2.0], vec![])?;
        tx.run(fork)?.on::<Chest>().note(&[3.0], vec![])
    })
    .unwrap();
    db.checkpoint().unwrap();
    step(&db, run, 2);
    db.close().unwrap();
    add(&mut files, "imported", &disk);
    std::fs::remove_file(bundle).unwrap();
    files
}

fn add(files: &mut Files, name: &str, disk: &SimDisk) {
    let listed = disk.files().into_iter().filter(|(path, _)| path != Path::new("LOCK"));
    files.extend(
        listed.filter_map(|(path, _)| Some((PathBuf::from(name).join(&path), disk.bytes(&path)?))),
    );
}

/// A little of several primitives in one run.
fn step(db: &Database, run: RunId, number: u8) {
    let name = format!("step {number}");
    let little = |tx: &mut RunTransaction<'_>| {
        tx.on::<KvStore>().put(name.as_bytes(), &[number; 40])?;
        tx.on::<EventLog>().append("steps", "step", Payload::bytes([number; 9]))?;
        tx.on::<Chest>().put(&name, thing(number))?;
        tx.on::<Chest>().note(&[f64::from(number), 0.1], vec![(); number.into()])?;
        tx.on::<StateCell>().set("step", &[number]).map(drop)
    };
    db.run(run).transaction(little).unwrap();
}

/// Every operation there is, once at least.
fn fill(db: &Database, run: RunId) {
    for run in [RunId::ROOT, run] {
        db.run(run).transaction(fill_values).unwrap();
        db.run(run).transaction(fill_states).unwrap();
        db.run(run).transaction(fill_traces).unwrap();
        db.run(run).transaction(fill_vectors).unwrap();
    }
    db.transaction(|tx| {
        let mut runs = tx.on::<RunIndex>();
        for (at, name) in [(101, "first"), (102, "second"), (103, "third"), (104, "fourth")] {
            runs.create(RunId(at), name)?;
        }
        runs.create_child(RunId(105), "child", RunId(101))?;
        runs.begin(RunId(101))?;
        runs.begin(RunId(102))?;
        runs.update(RunId(101), "model", Some("large"))?;
        runs.tag(RunId(101), "kept")?;
        runs.tag(RunId(101), "for a while")?;
        runs.untag(RunId(101), "for a while")?;
        runs.end(RunId(101), RunOutcome::Completed)?;
        runs.begin(RunId(103))?;
        runs.end_because(RunId(103), RunOutcome::Failed, "out of time")?;
        runs.remove(RunId(104))
    })
    .unwrap();
    db.transaction(|tx| {
        let before = tx.lsn();
        tx.on::<RunIndex>().end_orphaned(before, RunOutcome::Cancelled, "a crash").map(drop)
    })
    .unwrap();
}

fn fill_values(tx: &mut RunTransaction<'_>) -> Result<()> {
    let mut kv = tx.on::<KvStore>();
    kv.put(b"key", b"value")?;
    kv.put(b"", b"of the empty key")?;
    kv.put_all(vec![(b"a", b"1"), (b"b", b"2"), (b"c", b""), (b"d", b"4")])?;
    kv.compare_and_swap(b"a", Some(b"1"), Some(b"one"))?;
    kv.compare_and_swap(b"e", None, Some(b"5"))?;
    kv.delete(b"b")?;
    kv.delete_range(KeyBounds::prefix("d"))?;

    let mut documents = tx.on::<JsonStore>();
    let numbers = r#"{"a": [1, 2.5, -0.0, 1e300, 18446744073709551615, {"b": null}], "c": "tèxt"}"#;
    documents.create("created", &json(numbers))?;
    documents.put("put", &json(r#"[true, false, null, "", []]"#))?;
    documents.set("created", "/a/5/b", &json("{\"d\": 1}"))?;
    documents.set("created", "/e", &json("2"))?;
    documents.delete("created", "/a/0")?;
    let patch = r#"[{"op": "add", "path": "/f", "value": [1]},
        {"op": "replace", "path": "/c", "value": "text"}, {"op": "move", "from": "/e", "path": "/g"},
        {"op": "copy", "from": "/f", "path": "/h"}, {"op": "test", "path": "/g", "value": 2}]"#;
    documents.patch("created", &json(patch))?;
    documents.merge("created", &json(r#"{"g": null, "i": {"j": 3}}"#))?;
    documents.put("removed", &json("0"))?;
    documents.remove("removed")?;

    let mut events = tx.on::<EventLog>();
    events.append("stream", "bytes", Payload::bytes("payload"))?;
    let payload = Payload::json(r#"{"a": 1.0}"#).map_err(Error::abort)?;
    events.append_expecting("stream", ExpectedSequence::StreamExists, "json", payload)?;
    let more = vec![
        NewEvent::new("more", Payload::bytes("")),
        NewEvent::new("and more", Payload::bytes([0; 70])),
    ];
    events.append_all("other", ExpectedSequence::NoStream, more)?;
    events.truncate("stream", 1)?;

    let mut chest = tx.on::<Chest>();
    for number in 0..3 {
        chest.put(&format!("thing {number}"), thing(number))?;
    }
    let order = vec![None, Some(vec![]), Some(vec!["one".to_owned(), "a longer text".to_owned()])];
    chest.add(
        [(3, vec!['a', '€']), (1, vec![])].into_iter().collect(),
        order,
        Some(Kind::Plain),
    )?;
    chest.note(&[f64::INFINITY, 0.1], vec![(); 2])?;
    chest.take("thing 1").map(drop)
}

fn fill_states(tx: &mut RunTransaction<'_>) -> Result<()> {
    let mut cells = tx.on::<StateCell>();
    cells.init("cell", b"first")?;
    cells.set("cell", b"second")?;
    cells.transition("cell", Expected::Value(Bytes::from(b"second")), b"third")?;
    cells.transition("cell", Expected::Version(3), b"fourth")?;
    cells.init("deleted", b"")?;
    cells.delete("deleted", Expected::Any)?;
    let machine =
        StateMachine::new().initial("off").allow("off", ["on"]).allow("on", ["off", "broken"]);
    cells.declare("switch", machine.clone())?;
    cells.init_bound("lamp", "switch", "off")?;
    cells.transition("lamp", Expected::Any, b"on")?;
    cells.set("fan", b"off")?;
    cells.bind("fan", "switch")?;
    cells.set("heater", b"on")?;
    cells.bind("heater", "switch")?;
    cells.unbind("heater")?;
    cells.declare("unused", machine)?;
    cells.undeclare("unused")
}

fn fill_traces(tx: &mut RunTransaction<'_>) -> Result<()> {
    let mut traces = tx.on::<TraceStore>();
    let trace = |number: u8| TraceId::new([number; 16]).expect("it is not zero");
    let id = |number: u8| SpanId::new([number; 8]).expect("it is not zero");
    let mut attributes = Attributes::new();
    attributes.set("text", "value");
    attributes.set("number", 7_i64);
    attributes.set("share", 0.5);
    attributes.set("yes", true);
    let mut span = Span::new(trace(1), id(1), "recorded", 10);
    span.attributes = attributes.clone();
    traces.record(Batch { origin: Origin::service("service"), spans: vec![span] })?;
    traces.start(Origin::service("service"), Span::new(trace(1), id(2), "started", 20))?;
    let key = SpanKey::new(trace(1), id(2));
    let event = SpanEvent { time: 21, name: "event".into(), ..SpanEvent::default() };
    traces.add_event(key, event)?;
    traces.set_attributes(key, attributes.clone())?;
    let link = SpanLink { trace_id: Some(trace(2)), span_id: Some(id(3)), ..SpanLink::default() };
    traces.add_link(key, link)?;
    let status = Status { code: StatusCode::Error, message: "it broke".into() };
    traces.end(key, 30, status, attributes)?;
    let open = Span::new(trace(3), id(4), "open", 40);
    traces.start(Origin::default(), open)?;
    traces.start(Origin::default(), Span::new(trace(4), id(5), "deleted", 41))?;
    traces.delete_trace(trace(4))?;
    let mut old = Span::new(trace(5), id(6), "old", 1);
    old.end = 2;
    traces.record(Batch { origin: Origin::default(), spans: vec![old] })?;
    traces.delete_before(5).map(drop)
}

fn fill_vectors(tx: &mut RunTransaction<'_>) -> Result<()> {
    let mut vectors = tx.on::<VectorStore>();
    for (name, metric) in [("cosine", Metric::Cosine), ("dot", Metric::Dot), ("plane", Metric::L2)]
    {
        vectors.create_collection(name, 3, metric)?;
        for at in 0..4_u8 {
            let vector = [f32::from(at) + 0.5, -1.0, 1e-3];
            let metadata = (at % 2 == 0).then(|| json(r#"{"even": true}"#));
            vectors.insert(name, &format!("vector {at}"), &vector, metadata)?;
        }
        vectors.update(name, "vector 1", &[0.0, 2.0, 4.0], Some(json("[1]")))?;
        vectors.delete(name, "vector 2")?;
    }
    vectors.create_collection("removed", 1, Metric::L2)?;
    vectors.remove_collection("removed").map(drop)
}
