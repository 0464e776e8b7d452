//! Golden histories: a change of meaning without a new version is found, though no layout shows it.
//!
//! - For each operation and version `freehold.lock` has a short history that ends with it, and a
//!   digest of each table of the state that it gives.
//! - A history is entries, not calls: it stays as it is when the operation gets its next version.
//! - Digests belong to a version of the section. Under a later one only the tables are compared that
//!   both have.
//!
//! ```text
//! counters::Counters golden 0x80 v1 section v1 state 5d0c1a2b=0123456789abcdef history 0x80.1=0000..
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use rkyv::util::AlignedVec;

use super::bench::{Breach, Entry, done, name_of, replay, time_of};
use super::rows::Rows;
use super::rules::newest;
use super::{Call, History, SEED, history, runner};
use crate::id::Lsn;
use crate::primitive::{OpContext, PrimitiveStorageExt};
use crate::registry::PrimitiveRegistry;
use crate::registry::lock_file::LockFile;

/// Set while `freehold lock --update` runs the tests: what is missing is added.
const UPDATE: &str = "FREEHOLD_LOCK_UPDATE";

/// How many histories are looked through for the best of each operation.
const CANDIDATES: u32 = 512;

/// How many entries a golden history has at most, and how many bytes of arguments.
const ENTRIES_MAX: usize = 12;
const BYTES_MAX: usize = 1024;

/// Every golden history in the lock of the package in `directory` still gives the state that it gave
/// when it was written; and every operation of a primitive that is in the lock has one, if that is
/// `locked`.
#[track_caller]
pub fn golden_histories_are_kept<P: PrimitiveStorageExt>(
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
        if golden.section_version == P::SECTION_VERSION {
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
        let digits = payload.as_bytes().chunks(2);
        let bytes = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        Some(Step {
            wal_type: byte(wal_type)?,
            version: version.parse().ok()?,
            payload: bytes.collect::<Option<Vec<u8>>>()?,
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
    /// A digest for each table.
    tables: BTreeMap<u32, u64>,
    history: Vec<Step>,
}

impl Golden {
    fn of<P: PrimitiveStorageExt>(
        (wal_type, version): (u8, u8),
        history: Vec<Step>,
    ) -> Result<Golden, Breach> {
        let tables = tables::<P>(&history)?;
        Ok(Golden { wal_type, version, section_version: P::SECTION_VERSION, tables, history })
    }

    /// More operations before it, then fewer bytes.
    fn tells_more_than(&self, other: &Golden) -> bool {
        let score = |golden: &Golden| {
            let kinds: BTreeSet<u8> = golden.history.iter().map(|step| step.wal_type).collect();
            let bytes: usize = golden.history.iter().map(|step| step.payload.len()).sum();
            (bytes <= BYTES_MAX, kinds.len(), usize::MAX - bytes)
        };
        score(self) > score(other)
    }

    fn parse(key: &str, content: &str) -> Option<Golden> {
        let rest = key.strip_prefix("golden ")?;
        let (wal_type, rest) = rest.split_once(" v")?;
        let (version, section_version) = rest.split_once(" section v")?;
        let (tables, history) = content.strip_prefix("state ")?.split_once(" history ")?;
        let tables = tables.split(',').filter(|table| *table != "-").map(|table| {
            let (tag, digest) = table.split_once('=')?;
            Some((u32::from_str_radix(tag, 16).ok()?, u64::from_str_radix(digest, 16).ok()?))
        });
        Some(Golden {
            wal_type: byte(wal_type)?,
            version: version.parse().ok()?,
            section_version: section_version.parse().ok()?,
            tables: tables.collect::<Option<_>>()?,
            history: history.split(' ').map(Step::parse).collect::<Option<_>>()?,
        })
    }

    /// Whether this build makes of the history what it was.
    fn check<P: PrimitiveStorageExt>(
        &self,
        lock: &LockFile,
        owners: &[String],
    ) -> Result<(), Breach> {
        if owners.iter().any(|owner| self.is_retired(lock, owner)) {
            return Ok(());
        }
        let now = tables::<P>(&self.history)?;
        let same_layout = self.section_version == P::SECTION_VERSION;
        let tables: BTreeSet<u32> = if same_layout {
            self.tables.keys().chain(now.keys()).copied().collect()
        } else {
            self.tables.keys().filter(|table| now.contains_key(table)).copied().collect()
        };
        for table in tables {
            if self.tables.get(&table) != now.get(&table) {
                return Err(format!(
                    "{} gives another state than when its history was written, {} differs: old \
                     records would mean something else. Restore what it did, or make the change \
                     its next version",
                    name_of::<P>(self.wal_type, self.version),
                    Rows::field_of::<P>(table)
                ));
            }
        }
        Ok(())
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
}

/// What a history gives, as a digest for each table.
fn tables<P: PrimitiveStorageExt>(history: &[Step]) -> Result<BTreeMap<u32, u64>, Breach> {
    let mut state = P::default();
    let entries: Vec<Entry> = history.iter().enumerate().map(|(at, step)| step.entry(at)).collect();
    replay(&mut state, &entries)?;
    let rows = Rows::of(&state)?;
    Ok(rows.tables().map(|table| (table, rows.digest(table))).collect())
}

impl std::fmt::Display for Golden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Golden { wal_type, version, section_version, tables, history } = self;
        write!(f, "golden {wal_type:#04x} v{version} section v{section_version} state ")?;
        let mut text = String::new();
        for (table, digest) in tables {
            let comma = if text.is_empty() { "" } else { "," };
            write!(text, "{comma}{table:08x}={digest:016x}")?;
        }
        f.write_str(if text.is_empty() { "-" } else { &text })?;
        f.write_str(" history")?;
        for Step { wal_type, version, payload } in history {
            write!(f, " {wal_type:#04x}.{version}=")?;
            for byte in payload {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
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
            tables: BTreeMap::from([(0, 7), (0xffff_ffff, u64::MAX)]),
            history: vec![step(0x80, &[]), step(0x81, &[0, 255, 16])],
        };
        let line = golden.to_string();
        assert_eq!(
            line,
            "golden 0x81 v2 section v3 state 00000000=0000000000000007,ffffffff=ffffffffffffffff \
             history 0x80.1= 0x81.1=00ff10"
        );
        let (key, content) = line.split_once(" state").unwrap();
        assert_eq!(Golden::parse(key, &format!("state{content}")), Some(golden));
        for bad in
            ["", "state", "state - history 0x80", "state 1 history 0x80.1=", "state - history"]
        {
            assert_eq!(Golden::parse(key, bad), None, "{bad}");
        }
    }
}
