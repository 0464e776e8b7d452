//! What a database should hold: plain maps, and how to read the same from a database.

use std::collections::BTreeMap;

use freehold::prelude::*;
use freehold::primitives::{
    EventLog, ExpectedSequence, Json, JsonStore, KvStore, Payload, StateCell,
};

/// A place that holds one value: each primitive has its own kind of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Register {
    Pair(u64),
    Cell(u64),
    Stream(u64),
    Document(u64),
}

/// What a register holds. No number is written twice, so a value says which write it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) written: u64,
    /// The record that wrote it, where the primitive says so.
    pub(crate) lsn: u64,
    /// Of a stream: how many events it has.
    pub(crate) count: u64,
}

impl Register {
    fn name(self) -> String {
        match self {
            Register::Pair(n) => format!("pair {n}"),
            Register::Cell(n) => format!("cell {n}"),
            Register::Stream(n) => format!("stream {n}"),
            Register::Document(n) => format!("document {n}"),
        }
    }

    /// What this register holds after `written` was written by record `lsn`.
    fn after(self, before: Option<Value>, written: u64, lsn: u64) -> Value {
        let value = Value { written, lsn, count: 1 };
        match self {
            Register::Pair(_) => Value { lsn: 0, ..value },
            Register::Stream(_) => Value { count: 1 + before.map_or(0, |one| one.count), ..value },
            Register::Cell(_) | Register::Document(_) => value,
        }
    }

    pub(crate) fn can_be_erased(self) -> bool {
        matches!(self, Register::Pair(_) | Register::Document(_))
    }
}

/// One step of a transaction, and what it met.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A register held this.
    Read(u64, Register, Option<Value>),
    /// There was no such run.
    NoRun(u64),
    Write(u64, Register, u64),
    Erase(u64, Register),
    /// A write that is refused where there is a value; whether it was done.
    Begin(u64, Register, u64, bool),
    /// A run was made, or none because the name was taken.
    Create(String, Option<u64>),
    Delete(u64),
}

impl Step {
    /// Whether it leaves an entry in the log.
    pub(crate) fn is_logged(&self) -> bool {
        match self {
            Step::Read(..) | Step::NoRun(_) => false,
            Step::Write(..) | Step::Erase(..) | Step::Delete(_) => true,
            Step::Begin(.., done) => *done,
            Step::Create(_, made) => made.is_some(),
        }
    }
}

type Registers = BTreeMap<Register, Value>;

/// Runs by their numbers, with their names and what is in them. The root is number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    runs: BTreeMap<u64, (String, Registers)>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model { runs: BTreeMap::from([(0, (String::new(), Registers::new()))]) }
    }

    /// Makes one step of record `lsn`, or says in what the step met something else.
    pub(crate) fn step(&mut self, step: &Step, lsn: u64) -> Result<(), String> {
        let run = match step {
            Step::Read(run, ..) | Step::Write(run, ..) | Step::Erase(run, ..) => *run,
            Step::Begin(run, ..) | Step::Delete(run) => *run,
            Step::NoRun(run) => {
                return match self.runs.get(run) {
                    None => Ok(()),
                    Some(_) => Err(format!("run {run} was not found and is there")),
                };
            }
            Step::Create(name, made) => return self.create(name, *made),
        };
        if let Step::Delete(_) = step {
            return self.runs.remove(&run).map(drop).ok_or(format!("no run {run} to delete"));
        }
        let Some((_, registers)) = self.runs.get_mut(&run) else {
            return Err(format!("{step:?}, and there is no such run"));
        };
        match *step {
            Step::Read(_, register, found) => {
                let expected = registers.get(&register).copied();
                if found != expected {
                    return Err(format!(
                        "run {run}, {}: read {found:?}, expected {expected:?}",
                        register.name()
                    ));
                }
            }
            Step::Begin(_, register, _, done) if done == registers.contains_key(&register) => {
                return Err(format!("run {run}, {}: begun: {done}", register.name()));
            }
            Step::Write(_, register, written) | Step::Begin(_, register, written, true) => {
                let before = registers.get(&register).copied();
                registers.insert(register, register.after(before, written, lsn));
            }
            Step::Erase(_, register) => drop(registers.remove(&register)),
            Step::Begin(..) | Step::NoRun(_) | Step::Create(..) | Step::Delete(_) => {}
        }
        Ok(())
    }

    fn create(&mut self, name: &str, made: Option<u64>) -> Result<(), String> {
        let taken = self.runs.values().any(|(other, _)| other == name);
        match made {
            None if taken => Ok(()),
            None => Err(format!("run {name} was refused, and its name is free")),
            Some(_) if taken => Err(format!("run {name} was made, and is there already")),
            Some(run) => match self.runs.insert(run, (name.to_owned(), Registers::new())) {
                None => Ok(()),
                Some(_) => Err(format!("run {run} was made, and is there already")),
            },
        }
    }

    /// All that a view shows.
    pub(crate) fn of(view: &View) -> Model {
        let rows = view.runs().map(|row| (row.id, row.name.to_string()));
        let runs = std::iter::once((RunId::ROOT, String::new())).chain(rows).map(|(id, name)| {
            let run = view.run(id).expect("a run that is listed is there");
            let found = registers().filter_map(|register| {
                let value = match register {
                    Register::Pair(_) => in_pairs(run.on(), register),
                    Register::Cell(_) => in_cells(run.on(), register),
                    Register::Stream(_) => in_streams(run.on(), register),
                    Register::Document(_) => in_documents(run.on(), register),
                };
                Some((register, value?))
            });
            (id.0, (name, found.collect()))
        });
        Model { runs: runs.collect() }
    }

    /// The first difference to what was found, in words.
    pub(crate) fn difference(&self, found: &Model) -> Option<String> {
        if self == found {
            return None;
        }
        for run in self.runs.keys().chain(found.runs.keys()) {
            let (Some(expected), Some(found)) = (self.runs.get(run), found.runs.get(run)) else {
                let there = found.runs.contains_key(run);
                return Some(format!("run {run} is there: {there}, expected {}", !there));
            };
            for register in registers() {
                let (expected, found) = (expected.1.get(&register), found.1.get(&register));
                if expected != found {
                    let name = register.name();
                    return Some(format!("run {run}, {name}: {found:?}, expected {expected:?}"));
                }
            }
        }
        Some("the runs have other names".to_owned())
    }
}

/// How many registers of each kind there are.
const OF_EACH: u64 = 2;

/// Every register of a run.
pub(crate) fn registers() -> impl Iterator<Item = Register> {
    (0..OF_EACH).flat_map(|n| {
        [Register::Pair(n), Register::Cell(n), Register::Stream(n), Register::Document(n)]
    })
}

/// A number that is written, and bytes that mean nothing, so that segments fill.
fn text(written: u64) -> String {
    // Few are long: what is in memory stays small, and a record can still fill a segment.
    let filling = if written.is_multiple_of(31) { 2000 } else { written as usize % 64 };
    format!("{written} {}", "x".repeat(filling))
}

/// The number again, of the whole text.
#[track_caller]
fn number(found: &str) -> u64 {
    let (written, _) = found.split_once(' ').expect("a number, a space");
    let written = written.parse().expect("a number");
    assert_eq!(found, text(written), "a value that nobody wrote");
    written
}

fn number_of_bytes(bytes: &[u8]) -> u64 {
    number(std::str::from_utf8(bytes).expect("a value that was written"))
}

fn in_pairs(pairs: &KvStore, register: Register) -> Option<Value> {
    let found = pairs.get(register.name())?;
    Some(Value { written: number_of_bytes(&found), lsn: 0, count: 1 })
}

fn in_cells(cells: &StateCell, register: Register) -> Option<Value> {
    let cell = cells.get(&register.name())?;
    Some(Value { written: number_of_bytes(cell.value()), lsn: cell.lsn().0, count: 1 })
}

fn in_streams(events: &EventLog, register: Register) -> Option<Value> {
    let name = register.name();
    let last = events.tail(&name, 1).next()?;
    let (written, lsn) = (number_of_bytes(last.payload().as_bytes()), last.lsn().0);
    Some(Value { written, lsn, count: events.stream_len(&name) })
}

fn in_documents(documents: &JsonStore, register: Register) -> Option<Value> {
    let document = documents.document(&register.name())?;
    let found = document.value().as_str().expect("a string, as it was written");
    Some(Value { written: number(found), lsn: document.lsn().0, count: 1 })
}

/// What a register holds in a transaction.
pub(crate) fn read(run: &mut RunTransaction<'_>, register: Register) -> Option<Value> {
    match register {
        Register::Pair(_) => in_pairs(run.read(), register),
        Register::Cell(_) => in_cells(run.read(), register),
        Register::Stream(_) => in_streams(run.read(), register),
        Register::Document(_) => in_documents(run.read(), register),
    }
}

pub(crate) fn write(run: &mut RunTransaction<'_>, register: Register, written: u64) -> Result<()> {
    let (name, text) = (register.name(), text(written));
    match register {
        Register::Pair(_) => run.on::<KvStore>().put(name.as_bytes(), text.as_bytes()).map(drop),
        Register::Cell(_) => run.on::<StateCell>().set(&name, text.as_bytes()).map(drop),
        Register::Stream(_) => {
            run.on::<EventLog>().append(&name, "written", Payload::bytes(text)).map(drop)
        }
        Register::Document(_) => {
            run.on::<JsonStore>().put(&name, &Json::from(text.as_str())).map(drop)
        }
    }
}

/// A write that is refused where there is a value. Whether it was done.
pub(crate) fn begin(
    run: &mut RunTransaction<'_>,
    register: Register,
    written: u64,
) -> Result<bool> {
    let (name, text) = (register.name(), text(written));
    let done = match register {
        Register::Pair(_) => {
            run.on::<KvStore>().compare_and_swap(name.as_bytes(), None, Some(text.as_bytes()))
        }
        Register::Cell(_) => run.on::<StateCell>().init(&name, text.as_bytes()).map(drop),
        Register::Stream(_) => run
            .on::<EventLog>()
            .append_expecting(&name, ExpectedSequence::NoStream, "begun", Payload::bytes(text))
            .map(drop),
        Register::Document(_) => run.on::<JsonStore>().create(&name, &Json::from(text.as_str())),
    };
    match done {
        Ok(()) => Ok(true),
        Err(Error::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn erase(run: &mut RunTransaction<'_>, register: Register) -> Result<()> {
    let name = register.name();
    match register {
        Register::Document(_) => run.on::<JsonStore>().remove(&name).map(drop),
        _ => run.on::<KvStore>().delete(name.as_bytes()).map(drop),
    }
}
