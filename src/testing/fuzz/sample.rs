//! Small sound databases: what is changed before it is opened.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::Files;
use crate::database::{Database, Options};
use crate::error::Result;
use crate::id::{RunId, Timestamp};
use crate::testing::SimDisk;
use freehold::{Bytes, OpContext, OrdMap, OrdSet, Stored, Vector, operations, primitive};

/// Fields and arguments of every kind.
#[primitive(id = 0xec, wal = 0xec..=0xef)]
#[derive(Clone, Debug, Default)]
pub(super) struct Curios {
    things: OrdMap<String, Thing>,
    numbers: OrdSet<(u16, char)>,
    order: Vector<Option<Vec<String>>>,
    nothings: Vector<()>,
    last: Option<Kind>,
    #[index(rebuild = |curios| curios.things.len() as u64)]
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(super) struct Thing {
    kind: Kind,
    bytes: Bytes,
    tags: BTreeMap<String, [u8; 3]>,
    inner: Option<Box<Thing2>>,
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(super) struct Thing2 {
    share: f32,
    of: Arc<str>,
    when: Timestamp,
    nothings: Vec<()>,
}

#[derive(Clone, Debug, PartialEq, Stored)]
pub(super) enum Kind {
    Plain,
    Named { name: String, yes: bool },
    Many(Vec<Option<u64>>, char),
}

#[operations]
impl Curios {
    #[wal(0xec)]
    fn put(&mut self, name: &str, thing: Thing) {
        self.last = Some(thing.kind.clone());
        self.things.insert(name.to_owned(), thing);
        self.count = self.things.len() as u64;
    }

    #[wal(0xed)]
    fn add(&mut self, numbers: OrdMap<u16, Vec<char>>, order: Vec<Option<Vec<String>>>) {
        for (number, characters) in &numbers {
            self.numbers.extend(characters.iter().map(|character| (*number, *character)));
        }
        self.order.extend(order);
    }

    #[wal(0xee)]
    fn nothing(&mut self, context: &OpContext, nothings: Vec<()>, share: &[f64], name: &str) {
        if share.len() as u64 <= context.lsn().0 && !name.is_empty() {
            self.nothings.extend(nothings);
        }
    }

    #[wal(0xef)]
    pub(super) fn remove(&mut self, name: &str) -> Option<Thing> {
        let removed = self.things.remove(name);
        self.count = self.things.len() as u64;
        removed
    }
}

pub(super) fn options(disk: &SimDisk) -> Options {
    let options = Options::new().checkpoint_on_close(false).checkpoint_bytes(None).threads(1);
    let options = options.segment_bytes(4096).clock(|| Timestamp(1_700_000_000_000_000_000));
    options.disk(disk.shared()).on_warning(|_, _| {})
}

fn thing(number: u8) -> Thing {
    let kind = match number % 3 {
        0 => Kind::Plain,
        1 => Kind::Named { name: format!("name {number}"), yes: true },
        _ => Kind::Many(vec![None, Some(7), Some(u64::MAX)], 'ß'),
    };
    let inner = Thing2 {
        share: 0.5,
        of: "other".into(),
        when: Timestamp(number.into()),
        nothings: vec![(); 3],
    };
    Thing {
        kind,
        bytes: Bytes::from(&[number; 21]),
        tags: [("a tag longer than eight".to_owned(), [number; 3])].into(),
        inner: (number.is_multiple_of(2)).then(|| Box::new(inner)),
    }
}

/// Something of everything, in the root and in a run.
pub(super) fn fill(db: &Database, run: RunId, number: u8) {
    db.transaction(|tx| {
        let mut curios = tx.on::<Curios>();
        curios.put(&format!("thing {number}"), thing(number))?;
        let order = vec![None, Some(vec!["one".to_owned(), "a longer text".to_owned()])];
        curios.add([(number.into(), vec!['a', '€'])].into_iter().collect(), order)?;
        curios.nothing(vec![(); 2], &[1.0], "nothing")?;
        tx.run(run)?.on::<Curios>().put("in the run", thing(number))
    })
    .unwrap();
    db.transaction(|tx| tx.on::<Curios>().remove("thing 0").map(drop)).unwrap();
    #[cfg(feature = "full")]
    shipped(db, run, number);
}

/// A little in a run, twice.
pub(super) fn fill_run(db: &Database, run: RunId, number: u8) -> Result<()> {
    for at in [number, number + 1] {
        db.run(run).transaction(|tx| {
            let mut curios = tx.on::<Curios>();
            curios.put(&format!("thing {at}"), thing(at))?;
            curios.add([(at.into(), vec!['a', '€'])].into_iter().collect(), vec![None])
        })?;
    }
    Ok(())
}

/// An operation or two of each primitive that ships.
#[cfg(feature = "full")]
fn shipped(db: &Database, run: RunId, number: u8) {
    use crate::primitives::trace::{Batch, Origin, Span, SpanId, TraceId};
    use crate::primitives::{
        EventLog, Json, JsonStore, KvStore, Metric, Payload, RunIndex, StateCell, StateMachine,
        TraceStore, VectorStore,
    };
    let name = format!("name {number}");
    db.transaction(|tx| {
        tx.on::<KvStore>().put(name.as_bytes(), b"value")?;
        tx.on::<KvStore>().put_all(vec![(b"a", b"1"), (b"b", b"2")])?;
        tx.on::<KvStore>().delete_range(&b"b"[..]..)?;
        let json: Json = Json::parse(r#"{"a": [1, 2.5, {"b": null}], "c": "text"}"#).unwrap();
        tx.on::<JsonStore>().put(&name, &json)?;
        tx.on::<JsonStore>().set(&name, "/a/2/b", &Json::null())?;
        tx.on::<EventLog>().append("stream", "step", Payload::bytes([number; 9]))?;
        tx.on::<EventLog>().truncate("stream", 1)?;
        tx.on::<StateCell>().set("cell", name.as_bytes())?;
        let machine = StateMachine::new().initial("off").allow("off", ["on"]).allow("on", ["off"]);
        tx.on::<StateCell>().declare("switch", machine)?;
        tx.on::<StateCell>().init_bound(&name, "switch", "off")?;
        tx.on::<RunIndex>().create(RunId(100 + u64::from(number)), &name)
    })
    .unwrap();
    db.transaction(|tx| {
        let (trace, id) = (TraceId::new([7; 16]).unwrap(), SpanId::new([number + 1; 8]).unwrap());
        let mut span = Span::new(trace, id, "step", number.into());
        span.attributes.set("key", "value");
        tx.on::<TraceStore>().record(Batch { origin: Origin::service("s"), spans: vec![span] })?;
        tx.on::<TraceStore>().delete_before(0)?;
        let mut run = tx.run(run)?;
        if number == 0 {
            run.on::<VectorStore>().create_collection("plane", 2, Metric::L2)?;
        }
        run.on::<VectorStore>().insert("plane", &name, &[f32::from(number), 1.0], None)?;
        run.on::<StateCell>().set("cell", b"in a run").map(drop)
    })
    .unwrap();
}

pub(super) fn files(disk: &SimDisk) -> Files {
    let names = disk.files().into_iter().map(|(path, _)| path);
    names.filter_map(|path| disk.bytes(&path).map(|bytes| (path, bytes))).collect()
}

/// Segments alone, some of them sealed.
pub(super) fn log() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(1);
        let db = options(&disk).open("").unwrap();
        let run = db.create_run("run").unwrap();
        for number in 0..5 {
            fill(&db, run, number);
        }
        let other = db.create_run("other").unwrap();
        db.delete_run(other).unwrap();
        db.close().unwrap();
        let files = files(&disk);
        assert!(files.iter().filter(|(path, _)| super::is_segment(path)).count() > 1);
        files
    })
}

/// A snapshot, with entries that a program without the primitive carried, and a log behind it.
pub(super) fn snapshot() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(2);
        let db = options(&disk).snapshots_kept(1).open("").unwrap();
        let run = db.create_run("run").unwrap();
        db.create_run("other").unwrap();
        fill(&db, run, 0);
        db.checkpoint().unwrap();
        fill(&db, run, 1);
        db.close().unwrap();
        let db = options(&disk).snapshots_kept(1).detach("Curios").open("").unwrap();
        db.checkpoint().unwrap();
        db.close().unwrap();
        let db = options(&disk).open("").unwrap();
        fill(&db, run, 2);
        db.close().unwrap();
        let files = files(&disk);
        assert!(files.iter().any(|(path, _)| super::is_snapshot(path)));
        files
    })
}
