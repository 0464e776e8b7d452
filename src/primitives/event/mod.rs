//! `EventLog`: named streams of events that are appended to, truncated, and never changed.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x30 `append`, 0x31 `append_expecting`,
//!    0x32 `append_all`, 0x33 `truncate`. There is no way to change an event.
//! 2. Sequence numbers of a stream are dense, from 0, and none is given twice, also when the events
//!    before it, or all of them, were truncated.
//! 3. An event's time and LSN are those of the transaction that appended it, so along a stream, and
//!    along the log as a whole, neither ever decreases. They are read from the record and not
//!    logged again.
//! 4. `streams` gives each name a number and says which sequence numbers it holds: `events` has
//!    exactly the keys (number, first) to (number, next − 1). A name is thus kept once, not with each
//!    event.
//! 5. `order` has every event under its [`Position`], `by_type` every position under the event's
//!    type. They are derived, stand in no snapshot, and every operation keeps them. Together they
//!    take some 56 bytes an event.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{EventLog, Payload};
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//! db.transaction(|tx| {
//!     let mut events = tx.on::<EventLog>();
//!     let placed = Payload::json(r#"{"items": 2}"#).map_err(Error::abort)?;
//!     events.append("order/7", "placed", placed)?;
//!     events.append("order/7", "label", Payload::bytes(b"\x89PNG"))?;
//!     Ok(())
//! })?;
//!
//! let view = db.view();
//! let events = view.on::<EventLog>();
//! assert_eq!(events.stream_len("order/7"), 2);
//! let first = events.get("order/7", 0).unwrap();
//! assert_eq!(first.event_type(), "placed");
//! assert_eq!(first.payload().as_json(), Some(r#"{"items": 2}"#));
//! let newest = events.tail("order/7", 1).next().unwrap();
//! assert_eq!(newest.sequence(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Writing without overwriting
//!
//! Who decides by what a stream says appends with what it has seen; who was second reads again.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{EventError, EventLog, ExpectedSequence, NewEvent, Payload};
//!
//! # fn main() -> freehold::Result<()> {
//! # let db = Database::in_memory()?;
//! let append = |expected, event_type| {
//!     db.transaction(|tx| {
//!         let payload = Payload::bytes([]);
//!         tx.on::<EventLog>().append_expecting("account/1", expected, event_type, payload)
//!     })
//! };
//! let opened = append(ExpectedSequence::NoStream, "opened")?;
//! append(ExpectedSequence::At(opened), "deposited")?;
//! let refused = append(ExpectedSequence::At(opened), "withdrawn").unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "rejected: stream account/1: last sequence number is 1, expected 0",
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Reading across streams
//!
//! A [`Position`] orders the events of all streams. A projection keeps that of the last event it has
//! handled, and goes on behind it; [`Database::wait_for`] waits for the next one.
//!
//! ```
//! use std::ops::Bound;
//!
//! use freehold::prelude::*;
//! use freehold::primitives::{EventLog, Payload, Position};
//!
//! # fn main() -> freehold::Result<()> {
//! # let db = Database::in_memory()?;
//! db.transaction(|tx| {
//!     let mut events = tx.on::<EventLog>();
//!     for (stream, event_type) in [("b", "one"), ("a", "two"), ("b", "two")] {
//!         events.append(stream, event_type, Payload::bytes([]))?;
//!     }
//!     Ok(())
//! })?;
//! let view = db.view();
//! let events = view.on::<EventLog>();
//! let mut handled: Vec<&str> = Vec::new();
//! let mut seen = Bound::Unbounded; // or where the last program stopped
//! for (stream, event) in events.all((seen, Bound::Unbounded)) {
//!     handled.push(stream);
//!     seen = Bound::Excluded(event.position());
//! }
//! assert_eq!(handled, ["b", "a", "b"]);
//! assert_eq!(events.all((seen, Bound::Unbounded)).count(), 0);
//! assert_eq!(events.all_of_type("two").rev().map(|(stream, _)| stream).collect::<Vec<_>>(), ["b", "a"]);
//! # Ok(())
//! # }
//! ```

mod expected;
mod json_text;
mod payload;
mod position;

use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use freehold::prelude::*;

pub use expected::{EventError, ExpectedSequence};
pub use json_text::{JsonText, NotJson};
pub use payload::{NewEvent, Payload};
pub use position::Position;
use position::{bounds, within};

/// Named streams of events, each numbered from 0 without gaps.
///
/// A stream begins with its first event. Its name, like an event's type, may be any text. What one
/// operation appends fits into one entry of the log, 64 MiB; more is rejected before anything
/// changes.
#[primitive(id = 3, wal = 0x30..=0x33, name = "event")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventLog {
    streams: OrdMap<Arc<str>, Stream>,
    events: OrdMap<(u64, u64), Arc<Event>>,
    #[index(rebuild = |log| order(&log.streams, &log.events))]
    order: OrdMap<Position, (Arc<str>, Arc<Event>)>,
    #[index(rebuild = |log| by_type(&log.events))]
    by_type: OrdMap<Arc<str>, OrdSet<Position>>,
}

/// A stream's number, and the sequence numbers it holds: from `first` up to before `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Stored)]
struct Stream {
    number: u64,
    first: u64,
    next: u64,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct Event {
    sequence: u64,
    lsn: Lsn,
    index: u32,
    timestamp: Timestamp,
    event_type: Arc<str>,
    payload: Payload,
}

#[operations]
impl EventLog {
    /// Appends an event to `stream`, which need not exist yet, and returns its sequence number:
    /// 0 for the first, one more for each that follows.
    ///
    /// # Errors
    ///
    /// [`EventError::Full`] after 2⁶⁴ − 1 events.
    #[wal(0x30)]
    pub fn append(
        &mut self,
        context: &OpContext,
        stream: &str,
        event_type: &str,
        payload: Payload,
    ) -> Result<u64, EventError> {
        let one = std::iter::once((event_type, payload));
        Ok(self.append_each(context, stream, ExpectedSequence::Any, one)?.start)
    }

    /// Appends an event to `stream` if the stream is as `expected`, and returns its sequence number.
    ///
    /// # Errors
    ///
    /// [`EventError::OtherSequence`] if it is not, [`EventError::Full`] after 2⁶⁴ − 1 events.
    #[wal(0x31)]
    pub fn append_expecting(
        &mut self,
        context: &OpContext,
        stream: &str,
        expected: ExpectedSequence,
        event_type: &str,
        payload: Payload,
    ) -> Result<u64, EventError> {
        let one = std::iter::once((event_type, payload));
        Ok(self.append_each(context, stream, expected, one)?.start)
    }

    /// Appends `events` to `stream`, in their order, if the stream is as `expected`, and returns
    /// their sequence numbers. Without events it only asks.
    ///
    /// ```
    /// # use freehold::prelude::*;
    /// # use freehold::primitives::{EventLog, ExpectedSequence, NewEvent, Payload};
    /// # let db = Database::in_memory()?;
    /// let events = vec![
    ///     NewEvent::new("opened", Payload::bytes([])),
    ///     NewEvent::new("deposited", Payload::bytes(b"100")),
    /// ];
    /// let numbers = db.transaction(|tx| {
    ///     tx.on::<EventLog>().append_all("account/1", ExpectedSequence::NoStream, events)
    /// })?;
    /// assert_eq!(numbers, 0..2);
    /// # Ok::<(), freehold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventError::OtherSequence`] if it is not, [`EventError::Full`] after 2⁶⁴ − 1 events; then
    /// none was appended.
    #[wal(0x32)]
    pub fn append_all(
        &mut self,
        context: &OpContext,
        stream: &str,
        expected: ExpectedSequence,
        events: Vec<NewEvent>,
    ) -> Result<Range<u64>, EventError> {
        let events = events.into_iter().map(|event| (event.event_type, event.payload));
        self.append_each(context, stream, expected, events)
    }

    /// Removes the events of `stream` with sequence numbers below `before`, and returns how many
    /// these were; `u64::MAX` removes all of them. The numbers are not given again: the next event
    /// goes on where the stream had come to.
    #[wal(0x33)]
    pub fn truncate(&mut self, stream: &str, before: u64) -> u64 {
        let Some(known) = self.streams.get_mut(stream) else { return 0 };
        let removed = known.first..before.min(known.next).max(known.first);
        known.first = removed.end;
        let number = known.number;
        for sequence in removed.clone() {
            let Some(event) = self.events.remove(&(number, sequence)) else { continue };
            self.order.remove(&event.position());
            if let Some(positions) = self.by_type.get_mut(&event.event_type) {
                positions.remove(&event.position());
                if positions.is_empty() {
                    self.by_type.remove(&event.event_type);
                }
            }
        }
        removed.end - removed.start
    }

    /// The event of `stream` with this sequence number, unless it was truncated.
    #[must_use]
    pub fn get(&self, stream: &str, sequence: u64) -> Option<&Event> {
        let number = self.streams.get(stream)?.number;
        self.events.get(&(number, sequence)).map(|event| &**event)
    }

    /// How many events there are in all streams together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is no event at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events `stream` holds: as many as were appended and not truncated; 0 if there is no
    /// such stream.
    #[must_use]
    pub fn stream_len(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, Stream::len)
    }

    /// The sequence number of the next event of `stream`: as many as were ever appended to it.
    #[must_use]
    pub fn next_sequence(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |known| known.next)
    }

    /// The streams in the order of their names, each with how many events it holds. One of which
    /// all events were truncated is among them.
    pub fn streams(&self) -> impl DoubleEndedIterator<Item = (&str, u64)> {
        self.streams.iter().map(|(name, known)| (&**name, known.len()))
    }

    /// The types of events in order, each with how many events of it there are.
    pub fn event_types(&self) -> impl DoubleEndedIterator<Item = (&str, usize)> {
        self.by_type.iter().map(|(event_type, positions)| (&**event_type, positions.len()))
    }

    /// The events of `stream` whose sequence numbers lie in `sequences`, oldest first; `.rev()`
    /// reads them newest first. Nothing if there is no such stream.
    ///
    /// ```
    /// # use freehold::primitives::EventLog;
    /// # fn read(events: &EventLog, seen: u64) {
    /// events.range("order/7", ..);                    // the whole stream
    /// events.range("order/7", seen..);                // what came since
    /// events.range("order/7", ..seen).rev().take(10); // the ten before
    /// # }
    /// ```
    pub fn range<R: RangeBounds<u64>>(
        &self,
        stream: &str,
        sequences: R,
    ) -> impl DoubleEndedIterator<Item = &Event> + use<'_, R> {
        let keys = self.keys(stream, &sequences);
        self.events.range::<(u64, u64), _>(keys).map(|(_, event)| &**event)
    }

    /// The newest `count` events of `stream`, or as many as it holds, oldest first.
    pub fn tail(
        &self,
        stream: &str,
        count: u64,
    ) -> impl DoubleEndedIterator<Item = &Event> + use<'_> {
        self.range(stream, self.next_sequence(stream).saturating_sub(count)..)
    }

    /// The events of `stream` whose times lie in `times`, oldest first.
    pub fn range_by_time<R: RangeBounds<Timestamp>>(
        &self,
        stream: &str,
        times: R,
    ) -> impl DoubleEndedIterator<Item = &Event> + use<'_, R> {
        let sequences = self.streams.get(stream).map_or(0..0, |known| {
            within(known.first, known.next, &times, |sequence| {
                self.events.get(&(known.number, sequence)).map(|event| event.timestamp)
            })
        });
        self.range(stream, sequences)
    }

    /// The events of `stream` that have this type, oldest first. Looks through the events of the
    /// stream or through those of the type, whichever are fewer.
    pub fn range_of_type<'a>(
        &'a self,
        stream: &'a str,
        event_type: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Event> {
        let of_type = self.by_type.get(event_type).map_or(0, OrdSet::len);
        let by_stream = usize::try_from(self.stream_len(stream)).is_ok_and(|len| len <= of_type);
        let in_stream = by_stream
            .then(|| self.range(stream, ..).filter(move |event| event.event_type() == event_type));
        let in_type = (!by_stream).then(|| {
            self.all_of_type(event_type)
                .filter(move |(name, _)| *name == stream)
                .map(|(_, event)| event)
        });
        in_stream.into_iter().flatten().chain(in_type.into_iter().flatten())
    }

    /// The events of all streams whose positions lie in `positions`, each with its stream, oldest
    /// first: in the order in which they were appended. `.rev()` reads them newest first.
    ///
    /// ```
    /// # use freehold::{Lsn, primitives::{EventLog, Position}};
    /// # use std::ops::Bound;
    /// # fn read(events: &EventLog, lsn: Lsn, seen: Position) {
    /// events.all(..);                                           // everything
    /// events.all(Position::from(lsn)..);                        // from a transaction on
    /// events.all((Bound::Excluded(seen), Bound::Unbounded));    // what came since
    /// # }
    /// ```
    pub fn all(
        &self,
        positions: impl RangeBounds<Position>,
    ) -> impl DoubleEndedIterator<Item = (&str, &Event)> {
        let found = bounds(&positions).map(|positions| self.order.range(positions));
        found.into_iter().flatten().map(|(_, (stream, event))| (&**stream, &**event))
    }

    /// The events of all streams whose times lie in `times`, in the order of [`all`](EventLog::all).
    pub fn all_by_time(
        &self,
        times: impl RangeBounds<Timestamp>,
    ) -> impl DoubleEndedIterator<Item = (&str, &Event)> {
        let end = self.order.last_key_value().map_or(0, |(last, _)| last.lsn.0.saturating_add(1));
        let lsns = within(0, end, &times, |lsn| {
            let (_, event) = self.all(Position::from(Lsn(lsn))..).next()?;
            Some(event.timestamp)
        });
        self.all(Position::from(Lsn(lsns.start))..Position::from(Lsn(lsns.end)))
    }

    /// The events of all streams that have this type, in the order of [`all`](EventLog::all).
    pub fn all_of_type(
        &self,
        event_type: &str,
    ) -> impl DoubleEndedIterator<Item = (&str, &Event)> + use<'_> {
        let positions = self.by_type.get(event_type).map(OrdSet::iter);
        positions.into_iter().flatten().filter_map(|position| {
            self.order.get(position).map(|(stream, event)| (&**stream, &**event))
        })
    }

    /// The keys of `stream` in `sequences`, start included and end not; an empty range if there
    /// are none.
    fn keys(&self, stream: &str, sequences: &impl RangeBounds<u64>) -> Range<(u64, u64)> {
        const NOTHING: Range<(u64, u64)> = (0, 0)..(0, 0);
        let Some(&Stream { number, first, next }) = self.streams.get(stream) else {
            return NOTHING;
        };
        let start = match sequences.start_bound() {
            Bound::Included(&start) => start.max(first),
            Bound::Excluded(&start) => start.saturating_add(1).max(first),
            Bound::Unbounded => first,
        };
        let end = match sequences.end_bound() {
            Bound::Included(&end) => end.saturating_add(1).min(next),
            Bound::Excluded(&end) => end.min(next),
            Bound::Unbounded => next,
        };
        if start < end { (number, start)..(number, end) } else { NOTHING }
    }

    fn append_each<T: AsRef<str>>(
        &mut self,
        context: &OpContext,
        name: &str,
        expected: ExpectedSequence,
        events: impl ExactSizeIterator<Item = (T, Payload)>,
    ) -> Result<Range<u64>, EventError> {
        let known = self.streams.get_key_value(name);
        let start = known.map_or(0, |(_, known)| known.next);
        expected.check(name, start)?;
        let full = EventError::Full { last: start };
        let Some(end) = u64::try_from(events.len()).ok().and_then(|n| start.checked_add(n)) else {
            return Err(full);
        };
        if start == end {
            return Ok(start..end);
        }
        let (name, known) = match known {
            Some((name, known)) => (Arc::clone(name), Stream { next: end, ..*known }),
            None => {
                let Ok(number) = u64::try_from(self.streams.len()) else { return Err(full) };
                (name.into(), Stream { number, first: 0, next: end })
            }
        };
        self.streams.insert(Arc::clone(&name), known);
        for ((event_type, payload), sequence) in events.zip(start..end) {
            let Some(position) = self.next_position(context.lsn()) else { return Err(full) };
            // The types' names are shared: there are few of them, and many events.
            let event_type: Arc<str> = match self.by_type.get_key_value(event_type.as_ref()) {
                Some((known, _)) => Arc::clone(known),
                None => event_type.as_ref().into(),
            };
            let of_type = self.by_type.get_or_insert_with(Arc::clone(&event_type), OrdSet::new);
            of_type.insert(position);
            let event = Arc::new(Event {
                sequence,
                lsn: position.lsn,
                index: position.index,
                timestamp: context.timestamp(),
                event_type,
                payload,
            });
            self.events.insert((known.number, sequence), Arc::clone(&event));
            self.order.insert(position, (Arc::clone(&name), event));
        }
        Ok(start..end)
    }

    /// Behind every event of this transaction. `None`: it has too many.
    fn next_position(&self, lsn: Lsn) -> Option<Position> {
        // The first of a transaction stands at its LSN, what follows in it behind.
        match self.order.last_key_value() {
            Some((last, _)) if *last >= Position::from(lsn) => {
                Some(Position { lsn: last.lsn, index: last.index.checked_add(1)? })
            }
            _ => Some(Position::from(lsn)),
        }
    }
}

/// What the index says: every event under its position, with its stream.
fn order(
    streams: &OrdMap<Arc<str>, Stream>,
    events: &OrdMap<(u64, u64), Arc<Event>>,
) -> OrdMap<Position, (Arc<str>, Arc<Event>)> {
    let mut order = OrdMap::new();
    for (name, known) in streams {
        for (_, event) in events.range((known.number, 0)..=(known.number, u64::MAX)) {
            order.insert(event.position(), (Arc::clone(name), Arc::clone(event)));
        }
    }
    order
}

/// What the index says: every position under the type of its event.
fn by_type(events: &OrdMap<(u64, u64), Arc<Event>>) -> OrdMap<Arc<str>, OrdSet<Position>> {
    let mut by_type: OrdMap<Arc<str>, OrdSet<Position>> = OrdMap::new();
    for event in events.values() {
        by_type
            .get_or_insert_with(Arc::clone(&event.event_type), OrdSet::new)
            .insert(event.position());
    }
    by_type
}

impl Stream {
    fn len(&self) -> u64 {
        self.next.saturating_sub(self.first)
    }
}

impl Event {
    /// The event's number in its stream, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where it stands among the events of all streams.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { lsn: self.lsn, index: self.index }
    }

    /// The LSN of the transaction that appended it. In a run that was imported it is the one that the
    /// operation was told, which may be no record of this database.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The time of the transaction that appended it. Events that one transaction appended share
    /// it.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What happened, in the program's own words.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }
}

#[cfg(test)]
freehold::conformance!(EventLog, {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| Payload::Bytes(bytes.as_slice().into())),
        any::<i64>().prop_map(|number| Payload::Json(JsonText::new(number.to_string()).unwrap())),
    ];
    let stream = "[ab]{0,2}";
    let event_type = "[cd]";
    let expected = prop_oneof![
        3 => Just(ExpectedSequence::Any),
        1 => Just(ExpectedSequence::NoStream),
        1 => Just(ExpectedSequence::StreamExists),
        2 => (0..3u64).prop_map(ExpectedSequence::At),
    ];
    let new = (event_type, payload.clone())
        .prop_map(|(event_type, payload)| NewEvent::new(event_type, payload));
    prop_oneof![
        3 => (stream, event_type, payload.clone()).prop_map(|(stream, event_type, payload)| {
            call!(EventLog, append(&stream, &event_type, payload.clone()))
        }),
        2 => (stream, expected.clone(), event_type, payload).prop_map(
            |(stream, expected, event_type, payload)| {
                call!(EventLog, append_expecting(&stream, expected, &event_type, payload.clone()))
            }
        ),
        2 => (stream, expected, proptest::collection::vec(new, 0..4)).prop_map(
            |(stream, expected, events)| {
                call!(EventLog, append_all(&stream, expected, events.clone()))
            }
        ),
        1 => (stream, prop_oneof![0..4u64, Just(u64::MAX)]).prop_map(|(stream, before)| {
            call!(EventLog, truncate(&stream, before))
        }),
    ]
});
