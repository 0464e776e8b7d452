//! Golden histories: a change of meaning without a new version is found, though no layout shows it.
//!
//! - For each operation and version `freehold.lock` has a short history that ends with it, and the
//!   rows of the section that it gave.
//! - A history is entries, not calls: it stays as it is when the operation gets its next version.
//! - While the section has the same version, the history must give the same rows. Under a later one
//!   the old rows are loaded, and must be the state that the history gives now: so what the new
//!   fields are made of is tested against the log.
//! - One that needs a retired operation tells nothing any more, and another takes its place.
//!
//! ```text
//! counters::Counters golden 0x80 v1 section v1 1f0e2d3c state 5d0c1a2b=00..:01.. history 0x80.1=00..
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::{self, Write as _};
use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use rkyv::util::AlignedVec;

use super::bench::{Breach, Entry, difference, done, name_of, replay, time_of};
use super::rows::Rows;
use super::rules::newest;
use super::{Call, History, SEED, history, runner};
use crate::id::Lsn;
use crate::primitive::{Fnv, OpContext, PrimitiveStorageExt};
use crate::registry::PrimitiveRegistry;
use crate::registry::lock_file::LockFile;

/// Set while `freehold lock --update` runs the tests: what is missing is added.
const UPDATE: &str = "FREEHOLD_LOCK_UPDATE";

/// How many histories are looked through for the best of each operation.
const CANDIDATES: u32 = 512;

/// How many entries a golden history has at most, and how many bytes of arguments and rows.
const ENTRIES_MAX: usize = 12;
const BYTES_MAX: usize = 2048;

/// Every golden history in the lock of the package in `directory` still gives the state that it gave
/// when it was written; and every operation of a primitive that is in the lock has one, if that is
/// `locked`.
#[track_caller]
pub(super) fn golden_histories_are_kept<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
    directory: &str,
) {
    let directory = Path::new(directory);
    let owner = owner::<P>();
    let updating = env::var_os(UPDATE).is_some();
    let Some(lock) = LockFile::read(directory).unwrap_or_else(|error| {
        panic!("{}: {error}", directory.display());
    }) else {
        assert!(!updating, "{}: no freehold.lock to add to", directory.display());
        println!("{owner}: no freehold.lock, so there is no golden history");
        return;
    };
    // Under former names too: a renamed primitive keeps its past.
    let owners: Vec<String> =
        [P::NAME].iter().chain(P::FORMER_NAMES).map(|name| owner_named(&owner, name)).collect();
    let mut covered = BTreeSet::new();
    for (key, content) in owners.iter().flat_map(|owner| lock.of(owner, "golden")) {
        let golden = Golden::parse(key, content).unwrap_or_else(|| {
            panic!("freehold.lock: {owner} {key}: this line is no golden history")
        });
        if let Err(breach) = golden.check::<P>(&lock, &owners) {
            panic!("freehold.lock: {owner} {key}: {breach}");
        }
        let tells = !owners.iter().any(|owner| golden.is_retired(&lock, owner));
        if tells && golden.section_version == P::SECTION_VERSION {
            covered.insert((golden.wal_type, golden.version));
        }
    }
    // The lock is about the package's own crates: a primitive of a test is none of its business.
    if !owners.iter().any(|owner| lock.of(owner, "id").next().is_some()) {
        println!("{owner}: freehold.lock has no line of it, so there is no golden history");
        return;
    }
    let missing: Vec<(u8, u8)> =
        newest::<P>().into_iter().filter(|shape| !covered.contains(shape)).collect();
    if missing.is_empty() {
        return;
    }
    if updating {
        let lines = missing_lines::<P>(calls, &missing, &owner);
        let added = LockFile::update(directory, |lock| {
            lines.iter().try_for_each(|line| lock.add(line).map(|_| ()))
        });
        match added {
            Ok(Ok(())) => println!("{owner}: {} golden histories added", lines.len()),
            Ok(Err(contradiction)) => panic!("{contradiction}"),
            Err(error) => panic!("{}: {error}", directory.display()),
        }
        return;
    }
    let named: Vec<String> =
        missing.iter().map(|(wal_type, version)| name_of::<P>(*wal_type, *version)).collect();
    let said = format!(
        "freehold.lock: {owner} has no golden history of {}: `freehold lock --update` adds it",
        named.join(", ")
    );
    assert!(!lock.is_locked(), "{said}");
    println!("{said}");
}

/// `counters::Counters`.
fn owner<P: PrimitiveStorageExt>() -> String {
    let registry = PrimitiveRegistry::linked().unwrap_or_else(|error| panic!("{error}"));
    let origin = registry.get(P::TYPE_ID).map(|linked| linked.origin().crate_name);
    format!("{}::{}", origin.unwrap_or_default(), P::NAME)
}

/// The owner under another name.
fn owner_named(owner: &str, name: &str) -> String {
    let krate = owner.split_once("::").map_or("", |(krate, _)| krate);
    format!("{krate}::{name}")
}

/// The best history for each of the operations, as a line of the lock.
fn missing_lines<P: PrimitiveStorageExt>(
    calls: impl Strategy<Value = Call<P>>,
    missing: &[(u8, u8)],
    owner: &str,
) -> Vec<String> {
    let strategy = history(calls);
    let mut runner = runner(1, SEED);
    let mut best: BTreeMap<(u8, u8), Golden> = BTreeMap::new();
    for _ in 0..CANDIDATES {
        let Ok(tree) = strategy.new_tree(&mut runner) else { continue };
        let history: History<P> = tree.current();
        let Ok(done) = done(&history) else { continue };
        let entries: Vec<Entry> = done.entries().cloned().collect();
        for (at, entry) in entries.iter().enumerate().take(ENTRIES_MAX) {
            let shape = (entry.wal_type, entry.version);
            if !missing.contains(&shape) {
                continue;
            }
            let history = entries.iter().take(at + 1).map(Step::of).collect();
            let golden = Golden::of::<P>(shape, history);
            if let Ok(golden) = golden
                && best.get(&shape).is_none_or(|best| golden.tells_more_than(best))
            {
                best.insert(shape, golden);
            }
        }
    }
    for shape in missing {
        assert!(
            best.contains_key(shape),
            "{owner}: the strategy never makes {} succeed",
            name_of::<P>(shape.0, shape.1)
        );
    }
    best.values().map(|golden| format!("{owner} {golden}")).collect()
}

/// One entry of a golden history.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    wal_type: u8,
    version: u8,
    payload: Vec<u8>,
}

impl Step {
    fn of(entry: &Entry) -> Step {
        let Entry { wal_type, version, ref payload, .. } = *entry;
        Step { wal_type, version, payload: payload.to_vec() }
    }

    /// The entry, each in a record of its own.
    fn entry(&self, at: usize) -> Entry {
        let lsn = Lsn(at as u64 + 1);
        let mut payload = AlignedVec::new();
        payload.extend_from_slice(&self.payload);
        let context = OpContext::new(time_of(lsn), lsn, 0);
        Entry { wal_type: self.wal_type, version: self.version, payload, context }
    }

    fn parse(text: &str) -> Option<Step> {
        let (operation, payload) = text.split_once('=')?;
        let (wal_type, version) = operation.split_once('.')?;
        Some(Step {
            wal_type: byte(wal_type)?,
            version: version.parse().ok()?,
            payload: bytes(payload)?,
        })
    }
}

fn byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A history that ends with an operation, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Golden {
    wal_type: u8,
    version: u8,
    section_version: u32,
    rows: Rows,
    history: Vec<Step>,
}

impl Golden {
    fn of<P: PrimitiveStorageExt>(
        (wal_type, version): (u8, u8),
        history: Vec<Step>,
    ) -> Result<Golden, Breach> {
        let rows = Rows::of(&replayed::<P>(&history)?)?;
        Ok(Golden { wal_type, version, section_version: P::SECTION_VERSION, rows, history })
    }

    /// More operations before it, then fewer bytes.
    fn tells_more_than(&self, other: &Golden) -> bool {
        let score = |golden: &Golden| {
            let kinds: BTreeSet<u8> = golden.history.iter().map(|step| step.wal_type).collect();
            let arguments: usize = golden.history.iter().map(|step| step.payload.len()).sum();
            let bytes = arguments + golden.rows.len();
            (bytes <= BYTES_MAX, kinds.len(), usize::MAX - bytes)
        };
        score(self) > score(other)
    }

    fn parse(key: &str, content: &str) -> Option<Golden> {
        let rest = key.strip_prefix("golden ")?;
        let (wal_type, rest) = rest.split_once(" v")?;
        let (version, rest) = rest.split_once(" section v")?;
        let (section_version, _) = rest.split_once(' ')?;
        let (rows, history) = content.strip_prefix("state ")?.split_once(" history ")?;
        Some(Golden {
            wal_type: byte(wal_type)?,
            version: version.parse().ok()?,
            section_version: section_version.parse().ok()?,
            rows: parse_rows(rows)?,
            history: history.split(' ').map(Step::parse).collect::<Option<_>>()?,
        })
    }

    /// Whether this build makes of the history what it was.
    fn check<P: PrimitiveStorageExt + PartialEq>(
        &self,
        lock: &LockFile,
        owners: &[String],
    ) -> Result<(), Breach> {
        if owners.iter().any(|owner| self.is_retired(lock, owner)) {
            return Ok(());
        }
        let now = replayed::<P>(&self.history)?;
        let operations: BTreeSet<String> =
            self.history.iter().map(|step| name_of::<P>(step.wal_type, step.version)).collect();
        let operations = operations.into_iter().collect::<Vec<_>>().join(", ");
        if self.section_version != P::SECTION_VERSION {
            let loaded: P = self.rows.load().map_err(|reason| {
                format!(
                    "its section of version {} cannot be loaded: {reason}",
                    self.section_version
                )
            })?;
            return match difference(&now, &loaded)? {
                None => Ok(()),
                Some(difference) => Err(format!(
                    "its history gives one state, and its section of version {} another when it is \
                     loaded: {difference}. Either one of {operations} means something else than it \
                     did, or what a new field is made of is not what the log says",
                    self.section_version
                )),
            };
        }
        let tables = self.rows.tables_that_differ(&Rows::of(&now)?);
        let Some(table) = tables.first() else { return Ok(()) };
        Err(format!(
            "its history gives another state than when it was written, {} differs: one of \
             {operations} means something else, and so do old records. Restore what it did, or make \
             the change its next version",
            Rows::field_of::<P>(*table)
        ))
    }

    /// A step of it can be replayed no more, since the lock says so.
    fn is_retired(&self, lock: &LockFile, owner: &str) -> bool {
        let retired: Vec<&str> = lock.of(owner, "retired").map(|(key, _)| key).collect();
        self.history.iter().any(|step| {
            let byte = format!("retired {:#04x}", step.wal_type);
            let version = format!("{byte} v{}", step.version);
            retired.contains(&&*byte) || retired.contains(&&*version)
        })
    }

    fn history(&self) -> String {
        let mut text = String::new();
        for Step { wal_type, version, payload } in &self.history {
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{wal_type:#04x}.{version}={}", hex(payload));
        }
        text
    }
}

/// What a history gives.
fn replayed<P: PrimitiveStorageExt>(history: &[Step]) -> Result<P, Breach> {
    let mut state = P::default();
    let entries: Vec<Entry> = history.iter().enumerate().map(|(at, step)| step.entry(at)).collect();
    replay(&mut state, &entries)?;
    Ok(state)
}

fn parse_rows(text: &str) -> Option<Rows> {
    let tables = text.split(',').filter(|table| *table != "-").map(|table| {
        let (tag, rows) = table.split_once('=')?;
        let rows = rows.split(':').map(bytes).collect::<Option<Vec<_>>>()?;
        Some((u32::from_str_radix(tag, 16).ok()?, rows))
    });
    tables.collect::<Option<_>>().map(Rows)
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Display for Golden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Golden { wal_type, version, section_version, rows, .. } = self;
        let history = self.history();
        let mut hash = Fnv::new();
        hash.add(history.as_bytes());
        let id = hash.finish() as u32;
        write!(f, "golden {wal_type:#04x} v{version} section v{section_version} {id:08x} state ")?;
        let tables: Vec<String> = rows
            .0
            .iter()
            .map(|(table, rows)| {
                let rows: Vec<String> = rows.iter().map(|row| hex(row)).collect();
                format!("{table:08x}={}", rows.join(":"))
            })
            .collect();
        let tables = tables.join(",");
        write!(f, "{} history {history}", if tables.is_empty() { "-" } else { &tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let step =
            |wal_type, payload: &[u8]| Step { wal_type, version: 1, payload: payload.to_vec() };
        let golden = Golden {
            wal_type: 0x81,
            version: 2,
            section_version: 3,
            rows: Rows(vec![(0, vec![vec![]]), (0xffff_ffff, vec![vec![1, 2], vec![], vec![3]])]),
            history: vec![step(0x80, &[]), step(0x81, &[0, 255, 16])],
        };
        let line = golden.to_string();
        let (key, content) = line.split_once(" state").unwrap();
        let (key, content) = (key.to_owned(), format!("state{content}"));
        assert!(key.starts_with("golden 0x81 v2 section v3 "), "{key}");
        assert_eq!(content, "state 00000000=,ffffffff=0102::03 history 0x80.1= 0x81.1=00ff10");
        assert_eq!(Golden::parse(&key, &content), Some(golden.clone()));
        let mut lock = LockFile::default();
        assert_eq!(lock.add(&format!("a::B {line}")), Ok(true));
        assert_eq!(lock.of("a::B", "golden").next(), Some((&*key, &*content)));
        // A history of its own has a line of its own.
        let other = Golden { history: vec![step(0x81, &[])], ..golden };
        assert_eq!(lock.add(&format!("a::B {other}")), Ok(true));
        for bad in
            ["", "state", "state - history 0x80", "state 1 history 0x80.1=", "state - history"]
        {
            assert_eq!(Golden::parse(&key, bad), None, "{bad}");
        }
    }
}
