//! The conformance kit against primitives that are broken on purpose: each is caught, by the rule
//! that is meant for its fault and in words that say what to do.
//!
//! A kit that catches none of them would prove nothing. `cargo test --test conformance -- --nocapture`
//! prints the table.

#![cfg(feature = "testing")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use freehold::prelude::*;
use freehold::testing::conformance as kit;
use freehold::testing::conformance::proptest::prelude::{Just, Strategy, prop_oneof};
use freehold::testing::conformance::{Call, call};

/// Nothing is wrong with this one: every kind of operation, field and index.
mod sound {
    use super::*;

    /// Jobs with priorities.
    #[primitive(id = 0xd0, wal = 0xd0..=0xd4)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Queue {
        jobs: OrdMap<String, Job>,
        taken: u64,
        #[index(rebuild = |queue| queue.by_priority())]
        order: OrdSet<(u8, String)>,
    }

    /// A job.
    #[derive(Clone, Debug, PartialEq, Stored)]
    pub(crate) struct Job {
        priority: u8,
        added: Timestamp,
    }

    /// What a job's new priority is, found out elsewhere.
    #[derive(Clone, Debug, PartialEq, Stored)]
    pub(crate) struct Raised {
        name: String,
        priority: u8,
    }

    /// There is none of that name, or one already.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Refused;

    impl std::fmt::Display for Refused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("refused")
        }
    }

    impl std::error::Error for Refused {}

    #[operations]
    impl Queue {
        #[wal(0xd0)]
        pub(crate) fn add(
            &mut self,
            context: &OpContext,
            name: &str,
            priority: u8,
        ) -> Result<(), Refused> {
            self.insert(name, Job { priority, added: context.timestamp() })
        }

        /// As it was before there were priorities.
        #[wal(0xd0, version = 1)]
        fn add_without_priority(&mut self, name: &str) -> Result<(), Refused> {
            self.insert(name, Job { priority: 0, added: Timestamp(0) })
        }

        #[wal(0xd1)]
        fn take(&mut self) -> Option<String> {
            let (priority, name) = self.order.iter().next_back()?.clone();
            self.order.remove(&(priority, name.clone()));
            self.jobs.remove(&name);
            self.taken = self.taken.saturating_add(1);
            Some(name)
        }

        /// Changes something before it finds out that it may not.
        #[wal(0xd2)]
        fn cancel(&mut self, name: &str) -> Result<(), Refused> {
            self.taken = self.taken.saturating_add(1);
            let job = self.jobs.remove(name).ok_or(Refused)?;
            self.order.remove(&(job.priority, name.to_owned()));
            Ok(())
        }

        #[wal(0xd3, effect)]
        fn raise(&self, name: &str) -> Result<(Raised, u8), Refused> {
            let job = self.jobs.get(name).ok_or(Refused)?;
            let priority = job.priority.saturating_add(1);
            Ok((Raised { name: name.to_owned(), priority }, priority))
        }

        fn insert(&mut self, name: &str, job: Job) -> Result<(), Refused> {
            if self.jobs.contains_key(name) {
                return Err(Refused);
            }
            self.order.insert((job.priority, name.to_owned()));
            self.jobs.insert(name.to_owned(), job);
            Ok(())
        }

        fn by_priority(&self) -> OrdSet<(u8, String)> {
            self.jobs.iter().map(|(name, job)| (job.priority, name.clone())).collect()
        }
    }

    impl Apply<Raised> for Queue {
        fn apply(&mut self, raised: &Raised) {
            if let Some(job) = self.jobs.get(&raised.name).cloned() {
                self.order.remove(&(job.priority, raised.name.clone()));
                self.order.insert((raised.priority, raised.name.clone()));
                let job = Job { priority: raised.priority, ..job };
                self.jobs.insert(raised.name.clone(), job);
            }
        }
    }

    freehold::conformance!(Queue, {
        let name = "[ab]";
        prop_oneof![
            3 => (name, 0..3u8).prop_map(|(name, priority)| call!(Queue, add(&name, priority))),
            2 => Just(()).prop_map(|()| call!(Queue, take())),
            1 => name.prop_map(|name| call!(Queue, cancel(&name))),
            1 => name.prop_map(|name| call!(Queue, raise(&name))),
        ]
    });
}

/// A rule's function for one primitive with its strategy.
type Rule<'a> = Box<dyn Fn() + 'a>;

/// Runs the rules, and returns what the one called `name` says. Prints which ones object.
#[track_caller]
fn caught_by(name: &str, fault: &str, rules: Vec<(&'static str, Rule<'_>)>) -> String {
    let mut objecting = Vec::new();
    let mut said = None;
    for (rule, run) in rules {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            objecting.push(rule);
            if rule == name {
                let text = panic.downcast_ref::<String>().cloned();
                said = Some(text.unwrap_or_else(|| "a panic without words".to_owned()));
            }
        }
    }
    println!("{fault:<45} {name:<40} (all that object: {})", objecting.join(", "));
    said.unwrap_or_else(|| panic!("{fault}: `{name}` did not object, {objecting:?} did"))
}

/// The rules for one primitive.
macro_rules! rules {
    ($primitive:ty, $calls:expr) => {
        rules!($primitive, $calls; EveryOperationIsCalled TheSameCallsDoTheSame ReplayEqualsDo
            ALaterReplayEqualsDo ARejectedOperationChangesNothing ACloneIsAStateOfItsOwn
            ASnapshotHoldsEverything AnExportHoldsEverything ASnapshotHoldsNoIndex
            ASnapshotAndTheRestOfTheLogEqualAllOfIt ChangesLeadFromOneStateToAnother
            CutBytesAreNoPanic)
    };
    ($primitive:ty, $calls:expr; $($rule:ident)*) => {
        vec![$((
            stringify!($rule),
            Box::new(|| kit::check::<$primitive>(kit::Rule::$rule, $calls, "")) as Rule<'_>,
        )),*]
    };
}

mod nondeterministic {
    use super::*;

    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// Numbers its tickets from outside.
    #[primitive(id = 0xd8, wal = 0xd8)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Tickets {
        tickets: OrdMap<String, u64>,
    }

    #[operations]
    impl Tickets {
        #[wal(0xd8)]
        fn draw(&mut self, name: &str) {
            self.tickets.insert(name.to_owned(), NEXT.fetch_add(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn is_caught() {
        let calls = || "[a-c]".prop_map(|name| call!(Tickets, draw(&name)));
        let said = caught_by("ReplayEqualsDo", "is not deterministic", rules!(Tickets, calls()));
        assert!(said.contains("Tickets: `draw` (0xd8 version 1): applied again from the log, the field `tickets` differs"), "{said}");
        assert!(said.contains("no randomness"), "{said}");
    }
}

mod clock {
    use std::time::SystemTime;

    use super::*;

    /// Asks the time itself, in seconds: whoever replays at once sees no difference.
    #[primitive(id = 0xd9, wal = 0xd9)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Visits {
        last: u64,
    }

    #[operations]
    impl Visits {
        #[wal(0xd9)]
        #[expect(clippy::disallowed_methods, reason = "that is what is wrong with it")]
        fn visit(&mut self) {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.last = since.map_or(0, |since| since.as_secs());
        }
    }

    #[test]
    fn is_caught() {
        let calls = || Just(()).prop_map(|()| call!(Visits, visit()));
        let said = caught_by("ALaterReplayEqualsDo", "asks the clock", rules!(Visits, calls()));
        assert!(said.contains("Visits: a second later: `visit` (0xd9 version 1)"), "{said}");
        assert!(said.contains("no clock but `OpContext`"), "{said}");
    }
}

mod forgetful {
    use super::*;

    /// Calls a field an index that nothing else says.
    #[primitive(id = 0xda, wal = 0xda)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Scores {
        names: OrdSet<String>,
        #[index(rebuild = |_| 0)]
        points: u64,
    }

    #[operations]
    impl Scores {
        #[wal(0xda)]
        fn score(&mut self, name: &str, points: u8) {
            self.names.insert(name.to_owned());
            self.points = self.points.saturating_add(points.into());
        }
    }

    #[test]
    fn is_caught() {
        let calls =
            || ("[a-c]", 0..9u8).prop_map(|(name, points)| call!(Scores, score(&name, points)));
        let said = caught_by(
            "ASnapshotHoldsEverything",
            "forgets a field in the snapshot",
            rules!(Scores, calls()),
        );
        assert!(said.contains("Scores: written into a snapshot and loaded again, a field that stands in no snapshot (an index) differs: every field is written"), "{said}");
    }
}

mod rounding {
    use freehold::__private::{
        Encoder, Failure, Json, JsonWriter, Misfit, Place, Shape, Undecodable,
    };

    use super::*;

    /// Writes what is left of it as a whole number.
    #[derive(Clone, Copy, Default, PartialEq)]
    pub(crate) struct Share(f64);

    impl Stored for Share {
        type Archived = <f64 as Stored>::Archived;
        type Resolver = ();
        type Loaded<'a> = Share;
        type Itself = Share;
        const SHAPE: Shape = f64::SHAPE;

        fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), Failure> {
            self.0.encode(encoder)
        }

        fn resolve(&self, resolver: (), out: Place<Self::Archived>) {
            Stored::resolve(&self.0, resolver, out);
        }

        fn load(archived: &Self::Archived) -> Result<Share, Undecodable> {
            f64::load(archived).map(Share)
        }

        fn to_json(&self, out: &mut JsonWriter) {
            out.number(self.0.trunc());
        }

        fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
            json.float().map(Share)
        }
    }

    /// Shares by name.
    #[primitive(id = 0xcf, wal = 0xcf)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Shares {
        shares: OrdMap<String, Share>,
    }

    #[operations]
    impl Shares {
        #[wal(0xcf)]
        fn give(&mut self, name: &str, share: f64) {
            self.shares.insert(name.to_owned(), Share(share));
        }
    }

    #[test]
    fn is_caught() {
        let calls = || {
            ("[a-c]", 0..9_u8)
                .prop_map(|(name, half)| call!(Shares, give(&name, f64::from(half) / 2.0)))
        };
        let said = caught_by(
            "AnExportHoldsEverything",
            "has a JSON form that is not its value",
            rules!(Shares, calls()),
        );
        assert!(
            said.contains(
                "Shares: exported as JSON and imported again, the field `shares` differs"
            ),
            "{said}"
        );
    }
}

mod sharing {
    use super::*;

    /// Counts its refusals where clones share them.
    #[primitive(id = 0xdb, wal = 0xdb)]
    #[derive(Clone, Default)]
    pub(crate) struct Doors {
        open: OrdSet<u8>,
        #[index(rebuild = |_| Arc::default())]
        refusals: Arc<AtomicU64>,
    }

    impl PartialEq for Doors {
        fn eq(&self, other: &Doors) -> bool {
            let refusals = |doors: &Doors| doors.refusals.load(Ordering::Relaxed);
            self.open == other.open && refusals(self) == refusals(other)
        }
    }

    #[derive(Clone, Copy, Debug)]
    struct Locked;

    impl std::fmt::Display for Locked {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("locked")
        }
    }

    impl std::error::Error for Locked {}

    #[operations]
    impl Doors {
        #[wal(0xdb)]
        fn open(&mut self, door: u8) -> Result<(), Locked> {
            if door == 0 {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                return Err(Locked);
            }
            self.open.insert(door);
            Ok(())
        }
    }

    #[test]
    fn is_caught() {
        let calls = || (0..3u8).prop_map(|door| call!(Doors, open(door)));
        let said = caught_by(
            "ARejectedOperationChangesNothing",
            "changes state on a rejected operation",
            rules!(Doors, calls()),
        );
        assert!(said.contains("Doors: rejected, and yet a field that stands in no snapshot (an index) differs: open(0,)"), "{said}");
    }
}

mod indexed {
    use super::*;

    /// Writes its index into the snapshot, and rebuilds it as well.
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Words {
        words: OrdSet<String>,
        letters: u64,
    }

    const WORDS: u32 = 1;
    const LETTERS: u32 = 2;

    impl PrimitiveStorageExt for Words {
        const OPERATIONS: &'static [freehold::OperationShape] =
            &[freehold::OperationShape::of::<(&str,)>(0xdc, 1, "add")];

        type Handle<'tx> = Handle<'tx, Words>;
        type Operation<'op> = &'op str;

        fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            let (word,) = entry.load::<(&str,)>()?;
            if self.words.insert(word.to_owned()) {
                self.letters += word.len() as u64;
            }
            Ok(())
        }

        fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
            writer.field(WORDS, &self.words)?;
            writer.field(LETTERS, &self.letters)
        }

        fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Words, Reason> {
            let words = reader.field::<OrdSet<String>>(WORDS)?.unwrap_or_default();
            let letters = reader.field::<u64>(LETTERS)?.unwrap_or_default();
            reader.finish()?;
            Ok(Words { words, letters })
        }

        fn rebuild_indexes(&mut self) -> Result<(), Reason> {
            self.letters = self.words.iter().map(|word| word.len() as u64).sum();
            Ok(())
        }

        fn to_wal_entry(word: &&str, payload: &mut PayloadWriter<'_>) -> Result<u8> {
            payload.write(&(*word,)).map(|()| 0xdc)
        }
    }

    freehold::register!(Words, id = 0xdc, wal = 0xdc);

    #[test]
    fn is_caught() {
        let calls = || {
            "[a-c]{0,3}".prop_map(|word| {
                Call::<Words>::new(format!("add {word}"), move |words: &mut Handle<'_, Words>| {
                    words.log(&&*word)
                })
            })
        };
        let said = caught_by(
            "ASnapshotHoldsNoIndex",
            "writes its index into the snapshot",
            rules!(Words, calls()),
        );
        assert!(said.contains("Words: the table 0x00000002 stands in the snapshot and is rebuilt without it: it is an index"), "{said}");
    }
}

mod unmaintained {
    use super::*;

    /// Forgets its index in one of two operations.
    #[primitive(id = 0xdd, wal = 0xdd..=0xde)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Stock {
        items: OrdMap<String, u64>,
        #[index(rebuild = |stock| stock.items.values().sum())]
        total: u64,
    }

    #[operations]
    impl Stock {
        #[wal(0xdd)]
        fn put(&mut self, item: &str, count: u64) {
            let before = self.items.insert(item.to_owned(), count).unwrap_or(0);
            self.total = self.total - before + count;
        }

        #[wal(0xde)]
        fn remove(&mut self, item: &str) {
            self.items.remove(item);
        }
    }

    #[test]
    fn is_caught() {
        let calls = || {
            prop_oneof![
                ("[ab]", 0..9u64).prop_map(|(item, count)| call!(Stock, put(&item, count))),
                "[ab]".prop_map(|item| call!(Stock, remove(&item))),
            ]
        };
        let said = caught_by(
            "ASnapshotHoldsEverything",
            "an operation forgets the index",
            rules!(Stock, calls()),
        );
        assert!(said.contains("remove("), "the shortest history is shown: {said}");
    }
}

mod trusting {
    use super::*;

    /// Believes that its arguments are as long as they should be.
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Sums {
        sum: u64,
    }

    impl PrimitiveStorageExt for Sums {
        type Handle<'tx> = Handle<'tx, Sums>;
        type Operation<'op> = u64;

        fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            let number: [u8; 8] = entry.payload[..8].try_into()?;
            self.sum = self.sum.wrapping_add(u64::from_le_bytes(number));
            Ok(())
        }

        fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
            writer.bytes(&self.sum.to_le_bytes())
        }

        fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Sums, Reason> {
            let bytes: [u8; 8] = reader.bytes()?.as_slice().try_into()?;
            reader.finish()?;
            Ok(Sums { sum: u64::from_le_bytes(bytes) })
        }

        fn to_wal_entry(number: &u64, payload: &mut PayloadWriter<'_>) -> Result<u8> {
            payload.bytes(&number.to_le_bytes()).map(|()| 0xdf)
        }
    }

    freehold::register!(Sums, id = 0xdf, wal = 0xdf);

    #[test]
    fn is_caught() {
        let calls = || {
            (0..9u64).prop_map(|number| {
                Call::<Sums>::new(format!("add {number}"), move |sums: &mut Handle<'_, Sums>| {
                    sums.log(&number)
                })
            })
        };
        let said =
            caught_by("CutBytesAreNoPanic", "trusts the length of bytes", rules!(Sums, calls()));
        assert!(said.contains("Sums: operation 0xdf version 1 panicked when its arguments ended after 0 of 8 bytes"), "{said}");
    }
}

/// Nothing is wrong with these: by hand, with fields, and with bytes of its own.
mod by_hand {
    use super::*;

    /// Numbers in the order they came, and how many.
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Ledger {
        numbers: Vector<u8>,
        count: u64,
    }

    const NUMBERS: u32 = 1;
    const COUNT: u32 = 2;

    impl PrimitiveStorageExt for Ledger {
        type Handle<'tx> = Handle<'tx, Ledger>;
        type Operation<'op> = u8;

        fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            let (number,) = entry.load::<(u8,)>()?;
            // A small one takes back what came before.
            if number == 0 {
                self.numbers.pop();
            } else {
                self.numbers.push(number);
            }
            self.count += 1;
            Ok(())
        }

        fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
            writer.field(NUMBERS, &self.numbers)?;
            writer.field(COUNT, &self.count)
        }

        fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Ledger, Reason> {
            let numbers = reader.field::<Vector<u8>>(NUMBERS)?.unwrap_or_default();
            let count = reader.field::<u64>(COUNT)?.unwrap_or_default();
            reader.finish()?;
            Ok(Ledger { numbers, count })
        }

        fn snapshot_serialize_changes(
            &self,
            base: &Ledger,
            writer: &mut SectionWriter<'_>,
        ) -> Result<bool> {
            writer.changes(NUMBERS, &self.numbers, &base.numbers)?;
            writer.changes(COUNT, &self.count, &base.count)?;
            Ok(true)
        }

        fn to_wal_entry(number: &u8, payload: &mut PayloadWriter<'_>) -> Result<u8> {
            payload.write(&(*number,)).map(|()| 0xc0)
        }
    }

    freehold::register!(Ledger, id = 0xc0, wal = 0xc0);

    freehold::conformance!(
        Ledger,
        (0..3u8).prop_map(|number| {
            Call::<Ledger>::new(format!("add {number}"), move |ledger: &mut Handle<'_, Ledger>| {
                ledger.log(&number)
            })
        })
    );

    /// The last letters, with a codec of its own: it is written whole, and told of by its rows.
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Tape(Vec<u8>);

    impl PrimitiveStorageExt for Tape {
        type Handle<'tx> = Handle<'tx, Tape>;
        type Operation<'op> = u8;

        fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            self.0.extend_from_slice(entry.payload);
            Ok(())
        }

        fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
            writer.bytes(&self.0)
        }

        fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Tape, Reason> {
            let bytes = reader.bytes()?;
            reader.finish()?;
            Ok(Tape(bytes))
        }

        fn to_wal_entry(letter: &u8, payload: &mut PayloadWriter<'_>) -> Result<u8> {
            payload.bytes(&[*letter]).map(|()| 0xc1)
        }
    }

    freehold::register!(Tape, id = 0xc1, wal = 0xc1);

    freehold::conformance!(
        Tape,
        (0..3u8).prop_map(|letter| {
            Call::<Tape>::new(format!("add {letter}"), move |tape: &mut Handle<'_, Tape>| {
                tape.log(&letter)
            })
        })
    );
}

mod silent {
    use super::*;

    /// Tells of one of its two fields.
    #[primitive(id = 0xc2, wal = 0xc2, changes = Seats::changes_since)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Seats {
        taken: OrdMap<u8, String>,
        names: OrdSet<String>,
    }

    #[operations]
    impl Seats {
        #[wal(0xc2)]
        fn take(&mut self, seat: u8, name: &str) {
            self.taken.insert(seat, name.to_owned());
            self.names.insert(name.to_owned());
        }

        fn changes_since<'a>(&'a self, since: &'a Seats) -> freehold::Changes<'a> {
            self.taken.changes(&since.taken, "taken")
        }
    }

    #[test]
    fn is_caught() {
        let calls = || (0..3u8, "[ab]").prop_map(|(seat, name)| call!(Seats, take(seat, &name)));
        let said = caught_by(
            "ChangesLeadFromOneStateToAnother",
            "does not tell of a field",
            rules!(Seats, calls()),
        );
        assert!(
            said.contains("Seats: the field `names` differs, and no change of it is told"),
            "{said}"
        );
    }
}

mod unremoved {
    use super::*;

    /// Brings its index up to date, but for what was removed.
    #[primitive(id = 0xc3, wal = 0xc3..=0xc4)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Guests {
        rooms: OrdMap<u8, String>,
        #[index(
            rebuild = |guests| guests.rooms.iter().map(|(room, name)| (name.clone(), *room)).collect(),
            update = Guests::update
        )]
        names: OrdSet<(String, u8)>,
    }

    #[operations]
    impl Guests {
        #[wal(0xc3)]
        fn arrive(&mut self, room: u8, name: &str) {
            self.leave(room);
            self.rooms.insert(room, name.to_owned());
            self.names.insert((name.to_owned(), room));
        }

        #[wal(0xc4)]
        fn leave(&mut self, room: u8) {
            if let Some(name) = self.rooms.remove(&room) {
                self.names.remove(&(name, room));
            }
        }

        fn update(&self, base: &Guests) -> OrdSet<(String, u8)> {
            let mut names = base.names.clone();
            for change in self.rooms.changes(&base.rooms, "rooms") {
                let room = change.key().and_then(|room| room.get::<u8>());
                let name = change.after().and_then(|name| name.get::<String>());
                if let (Some(room), Some(name)) = (room, name) {
                    names.insert((name.clone(), *room));
                }
            }
            names
        }
    }

    #[test]
    fn is_caught() {
        let calls = || {
            prop_oneof![
                (0..3u8, "[ab]").prop_map(|(room, name)| call!(Guests, arrive(room, &name))),
                (0..3u8).prop_map(|room| call!(Guests, leave(room))),
            ]
        };
        let said = caught_by(
            "ChangesLeadFromOneStateToAnother",
            "does not bring its index up to date",
            rules!(Guests, calls()),
        );
        assert!(
            said.contains("Guests: written as changes and loaded onto what it came of, a field that stands in no snapshot (an index) differs"),
            "{said}"
        );
    }
}

mod half_written {
    use super::*;

    /// Writes of what changed only what is there.
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Marks {
        marks: OrdMap<u8, u8>,
    }

    const MARKS: u32 = 1;

    impl PrimitiveStorageExt for Marks {
        type Handle<'tx> = Handle<'tx, Marks>;
        type Operation<'op> = (u8, u8);

        fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            let (key, mark) = entry.load::<(u8, u8)>()?;
            if mark == 0 {
                self.marks.remove(&key);
            } else {
                self.marks.insert(key, mark);
            }
            Ok(())
        }

        fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
            writer.field(MARKS, &self.marks)
        }

        fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Marks, Reason> {
            let marks = reader.field::<OrdMap<u8, u8>>(MARKS)?.unwrap_or_default();
            reader.finish()?;
            Ok(Marks { marks })
        }

        fn snapshot_serialize_changes(
            &self,
            base: &Marks,
            writer: &mut SectionWriter<'_>,
        ) -> Result<bool> {
            let mut kept = base.marks.clone();
            self.marks.iter().for_each(|(key, mark)| {
                kept.insert(*key, *mark);
            });
            writer.changes(MARKS, &kept, &base.marks)?;
            Ok(true)
        }

        fn to_wal_entry(pair: &(u8, u8), payload: &mut PayloadWriter<'_>) -> Result<u8> {
            payload.write(pair).map(|()| 0xc5)
        }
    }

    freehold::register!(Marks, id = 0xc5, wal = 0xc5);

    #[test]
    fn is_caught() {
        let calls = || {
            (0..2u8, 0..3u8).prop_map(|pair| {
                Call::<Marks>::new(
                    format!("mark {pair:?}"),
                    move |marks: &mut Handle<'_, Marks>| marks.log(&pair),
                )
            })
        };
        let said = caught_by(
            "ChangesLeadFromOneStateToAnother",
            "writes half of what changed",
            rules!(Marks, calls()),
        );
        assert!(
            said.contains("Marks: written as changes and loaded onto what it came of, the table 0x00000001 differs"),
            "{said}"
        );
    }
}

mod uncalled {
    use super::*;

    #[test]
    fn an_operation_that_the_strategy_forgets_is_named() {
        let calls = || "[a-c]".prop_map(|name| call!(sound::Queue, add(&name, 1)));
        let said = caught_by(
            "EveryOperationIsCalled",
            "the strategy leaves an operation out",
            rules!(sound::Queue, calls(); EveryOperationIsCalled),
        );
        assert!(
            said.contains("Queue: the strategy never makes `take` (0xd1 version 1) succeed"),
            "{said}"
        );
    }
}

/// A build of the same primitive that means something else, played by an environment variable.
mod changed {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// How much one step is.
    const STEP: &str = "FREEHOLD_TEST_STEP";
    /// Where the lock is.
    const DIRECTORY: &str = "FREEHOLD_TEST_DIRECTORY";

    /// Steps done.
    #[primitive(id = 0xd7, wal = 0xd7)]
    #[derive(Clone, Default, PartialEq)]
    pub(crate) struct Steps {
        count: u64,
    }

    #[operations]
    impl Steps {
        #[wal(0xd7)]
        fn step(&mut self, times: u8) {
            let one = if std::env::var_os(STEP).is_some() { 2 } else { 1 };
            self.count = self.count.wrapping_add(one * u64::from(times));
        }
    }

    #[test]
    fn the_kit_in_a_process_of_its_own() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        let calls = (1..9u8).prop_map(|times| call!(Steps, step(times)));
        kit::check::<Steps>(kit::Rule::GoldenHistoriesAreKept, calls, directory.to_str().unwrap());
    }

    fn child(directory: &Path, variable: &str) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "changed::the_kit_in_a_process_of_its_own", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(variable, "1")
            .output()
            .unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test arranges a lock, no database")]
    fn is_caught() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("freehold.lock");
        let text = |output: &Output| {
            let Output { stdout, stderr, .. } = output;
            [stdout, stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
        };
        std::fs::write(&lock, "locked\nconformance::Steps id 0xd7 scope runs\n").unwrap();
        let missing = child(directory.path(), "NOTHING");
        assert!(text(&missing).contains("conformance::Steps has no golden history of `step` (0xd7 version 1): `freehold lock --update` adds it"), "{}", text(&missing));
        assert!(!missing.status.success(), "the lock says `locked`");

        let added = child(directory.path(), "FREEHOLD_LOCK_UPDATE");
        assert!(added.status.success(), "{}", text(&added));
        let written = std::fs::read_to_string(&lock).unwrap();
        assert!(written.contains("conformance::Steps golden 0xd7 v1 section v1 "), "{written}");
        assert!(child(directory.path(), "NOTHING").status.success());
        assert!(child(directory.path(), "FREEHOLD_LOCK_UPDATE").status.success());
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), written, "nothing was missing");

        let other = child(directory.path(), STEP);
        assert!(!other.status.success());
        let said = text(&other);
        assert!(said.contains("its history gives another state than when it was written, the field `count` differs: one of `step` (0xd7 version 1) means something else"), "{said}");
        println!("{:<45} GoldenHistoriesAreKept", "means something else without a new version");
        // It cannot be updated away either.
        let both = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "changed::the_kit_in_a_process_of_its_own"])
            .env(DIRECTORY, directory.path())
            .env("FREEHOLD_LOCK_UPDATE", "1")
            .env(STEP, "1")
            .output()
            .unwrap();
        assert!(!both.status.success());
    }
}

/// Fields made of older ones: an old snapshot and the old log must come to the same.
mod migrated {
    use super::*;

    /// A primitive whose section had `count: u64` before; `$per` makes thousandths of it.
    macro_rules! distance {
        ($name:ident, $id:literal, $per:literal) => {
            /// Thousandths of steps.
            #[primitive(id = $id, wal = $id, section_version = 2)]
            #[derive(Clone, Default, PartialEq)]
            pub(crate) struct $name {
                #[field(from = |count: u64| count * $per)]
                thousandths: u64,
            }

            #[operations]
            impl $name {
                #[wal($id)]
                fn step(&mut self, times: u8) {
                    self.thousandths = self.thousandths.saturating_add(u64::from(times) * 1000);
                }
            }
        };
    }

    distance!(Distance, 0xd5, 1000);
    distance!(Misread, 0xd6, 100);

    /// As a build before the change wrote it: five steps, and a section with `count` 5.
    fn old_line(name: &str, wal_type: u8) -> String {
        format!(
            "conformance::{name} golden {wal_type:#04x} v1 section v1 00000000 \
             state f59c40fa=0500000000000000 history {wal_type:#04x}.1=05\n"
        )
    }

    #[expect(clippy::disallowed_methods, reason = "the test arranges a lock, no database")]
    fn lock(text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("freehold.lock"), text).unwrap();
        directory
    }

    #[test]
    fn a_field_that_is_made_rightly_passes() {
        let lock = lock(&old_line("Distance", 0xd5));
        let calls = (1..9u8).prop_map(|times| call!(Distance, step(times)));
        let directory = lock.path().to_str().unwrap();
        kit::check::<Distance>(kit::Rule::GoldenHistoriesAreKept, calls, directory);
    }

    #[test]
    fn a_field_that_is_made_wrongly_is_caught() {
        let lock = lock(&old_line("Misread", 0xd6));
        let directory = lock.path().to_str().unwrap();
        let calls = || (1..9u8).prop_map(|times| call!(Misread, step(times)));
        let rule: Rule<'_> = Box::new(|| {
            kit::check::<Misread>(kit::Rule::GoldenHistoriesAreKept, calls(), directory);
        });
        let said = caught_by(
            "GoldenHistoriesAreKept",
            "makes a field wrongly of an older one",
            vec![("GoldenHistoriesAreKept", rule)],
        );
        assert!(said.contains("the field `thousandths` differs"), "{said}");
        assert!(said.contains("what a new field is made of is not what the log says"), "{said}");
    }

    #[test]
    fn a_history_that_needs_a_retired_operation_is_replaced() {
        let retired = format!(
            "locked\nconformance::Distance id 0xd5 scope runs\n{}\
             conformance::Distance retired 0xd5 v1\n",
            old_line("Distance", 0xd5)
        );
        let lock = lock(&retired);
        let directory = lock.path().to_str().unwrap();
        let calls = || (1..9u8).prop_map(|times| call!(Distance, step(times)));
        let rule: Rule<'_> = Box::new(|| {
            kit::check::<Distance>(kit::Rule::GoldenHistoriesAreKept, calls(), directory);
        });
        let said = caught_by(
            "GoldenHistoriesAreKept",
            "its golden history needs what is retired",
            vec![("GoldenHistoriesAreKept", rule)],
        );
        assert!(said.contains("has no golden history of `step` (0xd5 version 1)"), "{said}");
    }
}
