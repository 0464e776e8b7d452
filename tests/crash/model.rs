//! Two primitives, and the same state as plain maps: what the database must show after a record.

use std::collections::BTreeMap;

use freehold::prelude::*;
use freehold::{Database, View};

/// Named counters, with an index that an operation reads.
#[primitive(id = 0x80, wal = 0x80..=0x81)]
#[derive(Clone, Default)]
pub(crate) struct Counters {
    counts: OrdMap<String, i64>,
    #[index(rebuild = |counters| counters.counts.values().sum())]
    total: i64,
}

/// What [`Counters::spoil`] returns.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

#[operations]
impl Counters {
    /// Adds `by` to `name`, and to `seen` how much there was in all before: so replay goes wrong
    /// if the index does.
    #[wal(0x80)]
    pub(crate) fn add(&mut self, name: &str, by: i64) -> i64 {
        let before = self.total;
        for (name, by) in [(name, by), ("seen", before % 7)] {
            let count = self.counts.get(name).copied().unwrap_or(0) + by;
            self.counts.insert(name.to_string(), count);
            self.total += by;
        }
        self.total
    }

    /// Ruins everything and then refuses.
    #[wal(0x81)]
    pub(crate) fn spoil(&mut self) -> Result<(), Refused> {
        self.counts = OrdMap::default();
        self.total = -1;
        Err(Refused)
    }
}

/// Lines with the LSN and the time they were written at.
#[primitive(id = 0x81, wal = 0x82..=0x82)]
#[derive(Clone, Default)]
pub(crate) struct Notes {
    lines: Vector<(u64, u64, String)>,
}

#[operations]
impl Notes {
    /// Writes a line.
    #[wal(0x82)]
    pub(crate) fn append(&mut self, context: &OpContext, line: &str) {
        self.lines.push((context.lsn().0, context.timestamp().0, line.to_string()));
    }
}

/// The primitives of one run, or of the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instances {
    counts: BTreeMap<String, i64>,
    total: i64,
    lines: Vec<(u64, u64, String)>,
}

impl Instances {
    pub(crate) fn add(&mut self, name: &str, by: i64) {
        let before = self.total;
        for (name, by) in [(name, by), ("seen", before % 7)] {
            *self.counts.entry(name.to_string()).or_default() += by;
            self.total += by;
        }
    }

    pub(crate) fn append(&mut self, lsn: Lsn, timestamp: Timestamp, line: &str) {
        self.lines.push((lsn.0, timestamp.0, line.to_string()));
    }

    fn of(counters: &Counters, notes: Option<&Notes>) -> Instances {
        Instances {
            counts: counters.counts.iter().map(|(name, count)| (name.clone(), *count)).collect(),
            total: counters.total,
            lines: notes.map_or_else(Vec::new, |notes| notes.lines.iter().cloned().collect()),
        }
    }
}

/// All of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) root: Instances,
    pub(crate) runs: BTreeMap<u64, (String, Instances)>,
}

impl Model {
    /// What a view shows.
    pub(crate) fn of(view: &View) -> Model {
        Model::read(view, true)
    }

    /// What a view shows to a program without [`Notes`], to which they may not be named.
    pub(crate) fn of_counters(view: &View) -> Model {
        Model::read(view, false)
    }

    fn read(view: &View, has_notes: bool) -> Model {
        let notes = has_notes.then(|| view.on::<Notes>());
        let root = Instances::of(view.on::<Counters>(), notes);
        let runs = view.runs().map(|row| {
            let run = view.run(row.id).expect("a listed run can be looked at");
            let notes = has_notes.then(|| run.on::<Notes>());
            let instances = Instances::of(run.on::<Counters>(), notes);
            (row.id.0, (row.name.to_string(), instances))
        });
        Model { root, runs: runs.collect() }
    }

    /// The part of it that [`Model::of_counters`] shows.
    pub(crate) fn without_notes(mut self) -> Model {
        let runs = self.runs.values_mut().map(|(_, instances)| instances);
        for instances in runs.chain([&mut self.root]) {
            instances.lines.clear();
        }
        self
    }
}

/// A run that is another one when it is replayed from its own records, or cannot be.
pub(crate) fn replayed_otherwise(db: &Database) -> Option<String> {
    let view = db.view();
    view.runs().find_map(|row| {
        let live = view.run(row.id)?.digest();
        let replayed = db.replay_run(row.id).and_then(|replay| replay.view()?.digest());
        match (live, replayed) {
            (Ok(live), Ok(replayed)) if live == replayed => None,
            (_, Err(error)) => Some(format!("replay of run {}: {error}", row.id)),
            (live, replayed) => Some(format!("run {} is {live:?}, replayed {replayed:?}", row.id)),
        }
    })
}

/// Where two states differ, short enough for a message.
pub(crate) fn difference(found: &Model, expected: &Model) -> Option<String> {
    if found == expected {
        return None;
    }
    let short = |instances: &Instances| {
        let lines: Vec<_> = instances.lines.iter().map(|(lsn, ..)| *lsn).collect();
        format!("{:?}, total {}, lines of LSN {lines:?}", instances.counts, instances.total)
    };
    let shorts = |model: &Model| {
        let runs =
            model.runs.iter().map(|(id, (name, it))| format!("; run {id} {name}: {}", short(it)));
        format!("{}{}", short(&model.root), runs.collect::<String>())
    };
    Some(format!("state is [{}], expected [{}]", shorts(found), shorts(expected)))
}
