//! What it costs to bring an entry to its primitive: opening a database, beside other ways to dispatch
//! the same entries. `benches/dispatch` builds this, runs it, and counts; see README.md.
//!
//! - Every way ends in the same methods of one of seven primitives. Opening reaches them through what the
//!   attributes generate; the others through [`Least`], the least code that can do it, inlined, so
//!   that none of them looks worse than it is.
//! - What is measured happens inside [`measured`] and nowhere else, so that an instruction counter
//!   can be turned on there.
//! - Every way must reach the same state, or the run is void.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freehold::prelude::*;
use freehold::{
    Durability, LoggedEntry, Lsn, Options, PrimitiveStorageExt, Reason, Timestamp, WalEntry,
};

#[path = "../data.rs"]
#[expect(dead_code, reason = "only the numbers are used here")]
mod data;

const USAGE: &str = "\
usage: dispatch fill KIND ENTRIES DIR RECORD   writes a log of records of RECORD entries
       dispatch open KIND ENTRIES DIR          opens it on one thread
       dispatch WAY KIND ENTRIES               dispatches the same entries without a database

  KIND  ticks: each type has one operation, without arguments
        mixed: each type has two, one with a number, in random order
  WAY   empty, bucketed, table, registry, registry-bare
";

/// How many entries the bucketed way sorts before it applies them.
const BLOCK: usize = 4096;

/// Seven primitives that do as little as an operation can do and still be seen to have been done.
macro_rules! seven {
    ($($index:literal $name:ident $field:ident $id:literal $tick:literal $add:literal;)*) => {
        $(
            /// Counts.
            #[primitive(id = $id, wal = $tick..=$add)]
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            pub struct $name {
                ticks: u64,
                sum: u64,
            }

            #[operations]
            impl $name {
                #[wal($tick)]
                pub fn tick(&mut self) {
                    self.ticks = self.ticks.wrapping_add(1);
                }

                #[wal($add)]
                pub fn add(&mut self, number: u64) {
                    self.sum = self.sum.wrapping_add(number);
                }
            }
        )*

        /// All seven, when no engine holds them.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        struct Seven {
            $($field: $name,)*
        }

        impl Seven {
            /// What the entries must lead to.
            fn expected(kind: Kind, entries: u64) -> Seven {
                let mut seven = Seven::default();
                for number in 0..entries {
                    match kind.entry(number) {
                        $(
                            Made { wal_type: $tick, .. } => seven.$field.tick(),
                            Made { wal_type: $add, argument } => seven.$field.add(argument),
                        )*
                        _ => unreachable!("no other is made"),
                    }
                }
                seven
            }

            /// What a database holds.
            fn of(db: &Database) -> Seven {
                let view = db.view();
                Seven { $($field: view.on::<$name>().clone(),)* }
            }

            fn table() -> [Apply; 256] {
                let mut table: [Apply; 256] = [nobody; 256];
                $(
                    for wal_type in <$name as PrimitiveStorageExt>::WAL_TYPES {
                        table[usize::from(*wal_type)] =
                            |seven, entry| seven.$field.least(entry);
                    }
                )*
                table
            }

            fn registry() -> Registry {
                let mut registry = Registry::default();
                $(registry.register(Arc::new(Mutex::new($name::default())));)*
                registry
            }

            fn of_registry(registry: &Registry) -> Seven {
                let mut seven = Seven::default();
                $(
                    let (ticks, sum) = registry.primitives[&$id].counts();
                    seven.$field = $name { ticks, sum };
                )*
                seven
            }

            fn bare_registry() -> BareRegistry {
                let mut registry = BareRegistry::default();
                $(registry.register(Box::new($name::default()));)*
                registry
            }

            fn of_bare_registry(registry: &BareRegistry) -> Seven {
                let mut seven = Seven::default();
                $(
                    let (ticks, sum) = registry.primitives[&$id].counts();
                    seven.$field = $name { ticks, sum };
                )*
                seven
            }

            /// One loop a type.
            fn apply_buckets(&mut self, buckets: &[Vec<&LoggedEntry<'_>>; 7]) {
                $(apply_bucket(&mut self.$field, &buckets[$index]);)*
            }
        }

        $(
            impl Least for $name {
                #[inline(always)]
                fn least(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason> {
                    match (entry.wal_type, entry.payload.first_chunk()) {
                        ($tick, _) => self.tick(),
                        ($add, Some(number)) => self.add(u64::from_le_bytes(*number)),
                        _ => return Err("no such operation".into()),
                    }
                    Ok(())
                }

                fn counts(&self) -> (u64, u64) {
                    (self.ticks, self.sum)
                }
            }
        )*

        /// Which of the seven owns a WAL type, by its place; 7 is nobody.
        fn owners() -> [u8; 256] {
            let mut owners = [7; 256];
            $(
                for wal_type in <$name as PrimitiveStorageExt>::WAL_TYPES {
                    owners[usize::from(*wal_type)] = $index;
                }
            )*
            owners
        }

        /// Writes the entries as a user would.
        fn fill(db: &Database, kind: Kind, entries: u64, record: u64) -> freehold::Result<()> {
            let mut first = 0;
            while first < entries {
                let end = entries.min(first + record);
                db.transaction(|tx| {
                    for number in first..end {
                        match kind.entry(number) {
                            $(
                                Made { wal_type: $tick, .. } => tx.on::<$name>().tick()?,
                                Made { wal_type: $add, argument } => {
                                    tx.on::<$name>().add(argument)?;
                                }
                            )*
                            _ => unreachable!("no other is made"),
                        }
                    }
                    Ok(())
                })?;
                first = end;
            }
            Ok(())
        }
    };
}

seven! {
    0 Amber amber 0x80 0x80 0x81;
    1 Beryl beryl 0x81 0x82 0x83;
    2 Coral coral 0x82 0x84 0x85;
    3 Diamond diamond 0x83 0x86 0x87;
    4 Emerald emerald 0x84 0x88 0x89;
    5 Feldspar feldspar 0x85 0x8a 0x8b;
    6 Garnet garnet 0x86 0x8c 0x8d;
}

/// Which operations are logged.
#[derive(Clone, Copy)]
enum Kind {
    Ticks,
    Mixed,
}

/// An entry, made from its number.
struct Made {
    wal_type: u8,
    argument: u64,
}

impl Kind {
    /// In no order that a processor could learn.
    fn entry(self, number: u64) -> Made {
        let random = data::mix(number);
        let wal_type = match self {
            Kind::Ticks => 0x80 + (random % 7) as u8 * 2,
            Kind::Mixed => 0x80 + (random % 14) as u8,
        };
        Made { wal_type, argument: random }
    }
}

/// The entries as recovery would hand them over, made without a database.
struct Log {
    kind: Kind,
    payloads: Vec<u8>,
    entries: u64,
}

impl Log {
    fn new(kind: Kind, entries: u64) -> Log {
        let payloads: Vec<u8> =
            (0..entries).flat_map(|number| kind.entry(number).argument.to_le_bytes()).collect();
        // A large allocation is; else every way would refuse the first number.
        assert!(payloads.as_ptr().addr().is_multiple_of(8), "payloads are aligned to 8");
        Log { kind, payloads, entries }
    }

    fn read(&self) -> Vec<LoggedEntry<'_>> {
        (0..self.entries)
            .zip(self.payloads.chunks_exact(8))
            .map(|(number, payload)| {
                let wal_type = self.kind.entry(number).wal_type;
                // The even ones are `tick`, which has no argument.
                let payload = if wal_type.is_multiple_of(2) { &payload[..0] } else { payload };
                LoggedEntry {
                    wal_type,
                    version: 1,
                    index: 0,
                    lsn: Lsn(number + 1),
                    timestamp: Timestamp(number + 1),
                    payload,
                }
            })
            .collect()
    }
}

fn entry<'e>(logged: &LoggedEntry<'e>) -> WalEntry<'e> {
    let LoggedEntry { wal_type, version, payload, .. } = *logged;
    WalEntry { wal_type, version, payload }
}

/// What a primitive would have without an engine.
trait Least: PrimitiveStorageExt {
    fn least(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason>;

    /// To see that it was reached.
    fn counts(&self) -> (u64, u64);
}

type Apply = fn(&mut Seven, &WalEntry<'_>) -> Result<(), Reason>;

fn nobody(_: &mut Seven, _: &WalEntry<'_>) -> Result<(), Reason> {
    Err("nobody's".into())
}

/// What the registry of the specification asks of a primitive. An `Arc` lends nothing that could be
/// changed, so the state is behind a lock.
trait Shared: Send + Sync {
    fn wal_entry_types(&self) -> &'static [u8];
    fn primitive_type_id(&self) -> u8;
    fn apply_wal_entry(&self, entry: &WalEntry<'_>) -> Result<(), Reason>;
    fn counts(&self) -> (u64, u64);
}

impl<P: Least> Shared for Mutex<P> {
    fn wal_entry_types(&self) -> &'static [u8] {
        P::WAL_TYPES
    }

    fn primitive_type_id(&self) -> u8 {
        P::TYPE_ID
    }

    fn apply_wal_entry(&self, entry: &WalEntry<'_>) -> Result<(), Reason> {
        self.lock().expect("no panic before").least(entry)
    }

    fn counts(&self) -> (u64, u64) {
        self.lock().expect("no panic before").counts()
    }
}

/// The specification's registry, as it is written there.
#[derive(Default)]
struct Registry {
    primitives: HashMap<u8, Arc<dyn Shared>>,
    wal_type_to_primitive: HashMap<u8, u8>,
}

impl Registry {
    fn register(&mut self, primitive: Arc<dyn Shared>) {
        let type_id = primitive.primitive_type_id();
        for &wal_type in primitive.wal_entry_types() {
            self.wal_type_to_primitive.insert(wal_type, type_id);
        }
        self.primitives.insert(type_id, primitive);
    }

    fn get_for_wal_type(&self, wal_type: u8) -> Option<Arc<dyn Shared>> {
        self.wal_type_to_primitive
            .get(&wal_type)
            .and_then(|type_id| self.primitives.get(type_id))
            .cloned()
    }
}

/// The same without what a kind reader would leave out: no reference is counted, nothing is locked.
trait Owned {
    fn wal_entry_types(&self) -> &'static [u8];
    fn primitive_type_id(&self) -> u8;
    fn apply(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason>;
    fn counts(&self) -> (u64, u64);
}

impl<P: Least> Owned for P {
    fn wal_entry_types(&self) -> &'static [u8] {
        P::WAL_TYPES
    }

    fn primitive_type_id(&self) -> u8 {
        P::TYPE_ID
    }

    fn apply(&mut self, entry: &WalEntry<'_>) -> Result<(), Reason> {
        self.least(entry)
    }

    fn counts(&self) -> (u64, u64) {
        Least::counts(self)
    }
}

#[derive(Default)]
struct BareRegistry {
    primitives: HashMap<u8, Box<dyn Owned>>,
    wal_type_to_primitive: HashMap<u8, u8>,
}

impl BareRegistry {
    fn register(&mut self, primitive: Box<dyn Owned>) {
        let type_id = primitive.primitive_type_id();
        for &wal_type in primitive.wal_entry_types() {
            self.wal_type_to_primitive.insert(wal_type, type_id);
        }
        self.primitives.insert(type_id, primitive);
    }

    fn get_for_wal_type(&mut self, wal_type: u8) -> Option<&mut dyn Owned> {
        let type_id = self.wal_type_to_primitive.get(&wal_type)?;
        match self.primitives.get_mut(type_id) {
            Some(primitive) => Some(&mut **primitive),
            None => None,
        }
    }
}

fn apply_bucket<P: Least>(primitive: &mut P, bucket: &[&LoggedEntry<'_>]) {
    for logged in bucket {
        primitive.least(&entry(logged)).expect("it was logged");
    }
}

/// The only place where anything is measured: counters are turned on by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    work();
    black_box(start.elapsed())
}

fn options() -> Options {
    Options::new()
        .durability(Durability::Buffered { sync_every: Duration::from_secs(1) })
        .checkpoint_bytes(None)
        .checkpoint_on_close(false)
        .threads(1)
}

/// Opens the database, and gives the time and the state.
fn open(dir: &Path) -> (Duration, Seven) {
    let mut db = None;
    let took = measured(&mut || db = Some(options().open(dir).expect("freehold opens")));
    (took, Seven::of(&db.expect("it was opened")))
}

/// Dispatches the same entries in another way, and gives the time and the state.
fn dispatch(way: &str, kind: Kind, entries: u64) -> (Duration, Seven) {
    let log = Log::new(kind, entries);
    let log = log.read();
    let mut seven = Seven::default();
    let took = match way {
        "empty" => {
            let took = measured(&mut || {
                for logged in &log {
                    black_box(logged);
                }
            });
            return (took, Seven::expected(kind, entries));
        }
        "bucketed" => {
            let owners = owners();
            let mut buckets: [Vec<&LoggedEntry<'_>>; 7] =
                std::array::from_fn(|_| Vec::with_capacity(BLOCK));
            measured(&mut || {
                for block in log.chunks(BLOCK) {
                    for logged in block {
                        buckets[usize::from(owners[usize::from(logged.wal_type)])].push(logged);
                    }
                    seven.apply_buckets(&buckets);
                    buckets.iter_mut().for_each(Vec::clear);
                }
            })
        }
        "table" => {
            let table = black_box(Seven::table());
            measured(&mut || {
                for logged in &log {
                    let entry = entry(logged);
                    let apply = table[usize::from(entry.wal_type)];
                    apply(&mut seven, &entry).expect("it was logged");
                }
            })
        }
        "registry" => {
            let registry = Seven::registry();
            let took = measured(&mut || {
                for logged in &log {
                    let entry = entry(logged);
                    let found = registry.get_for_wal_type(entry.wal_type);
                    let primitive = found.expect("it is registered");
                    primitive.apply_wal_entry(&entry).expect("it was logged");
                }
            });
            seven = Seven::of_registry(&registry);
            took
        }
        "registry-bare" => {
            let mut registry = Seven::bare_registry();
            let took = measured(&mut || {
                for logged in &log {
                    let entry = entry(logged);
                    let found = registry.get_for_wal_type(entry.wal_type);
                    let primitive = found.expect("it is registered");
                    primitive.apply(&entry).expect("it was logged");
                }
            });
            seven = Seven::of_bare_registry(&registry);
            took
        }
        _ => usage(),
    };
    (took, seven)
}

fn usage() -> ! {
    eprint!("{USAGE}");
    std::process::exit(2)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what, kind, entries, rest @ ..] = &arguments[..] else { usage() };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| usage());
    let kind = match *kind {
        "ticks" => Kind::Ticks,
        "mixed" => Kind::Mixed,
        _ => usage(),
    };
    let entries = number(entries);
    let (took, state) = match (*what, rest) {
        ("fill", [dir, record]) => {
            let db = options().open(dir).expect("freehold opens");
            fill(&db, kind, entries, number(record).max(1)).expect("freehold commits");
            db.close().expect("freehold closes");
            return;
        }
        ("open", [dir]) => open(Path::new(dir)),
        (way, []) => dispatch(way, kind, entries),
        _ => usage(),
    };
    assert_eq!(state, Seven::expected(kind, entries), "what {what} leads to");
    println!("{:.3}", took.as_secs_f64() * 1e9 / entries as f64);
    // What closing costs is nobody's question here.
    std::process::exit(0);
}
