//! `EventLog`: named streams of events that are only ever appended to.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x30 `append`. There is no way to change or remove an
//!    event.
//! 2. Sequence numbers of a stream are dense, from 0: the event with sequence number *n* is the
//!    stream's *n + 1*-th, and the length of the stream is the next number to be given.
//! 3. An event's time and LSN are those of the transaction that appended it, so within a stream
//!    neither ever decreases. They are read from the record and not logged again.
//! 4. `streams` gives each name a number, `lengths` each number a length, and `events` holds
//!    exactly the keys (number, 0) to (number, length − 1). A name is thus kept once, not with
//!    each event.
//! 5. A [`JsonText`] is one JSON value: it is checked when it is made, so replay need not.
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

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use freehold::prelude::*;

/// Named streams of events, each numbered from 0 without gaps.
///
/// A stream begins with its first event. Its name, like an event's type, may be any text. An event
/// with its names fits into one entry of the log, 64 MiB; a larger one is rejected before anything
/// changes.
#[primitive(id = 3, wal = 0x30, name = "event")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventLog {
    streams: OrdMap<Arc<str>, u64>,
    lengths: OrdMap<u64, u64>,
    events: OrdMap<(u64, u64), Arc<Event>>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct Event {
    sequence: u64,
    lsn: Lsn,
    timestamp: Timestamp,
    event_type: String,
    payload: Payload,
}

/// What an event carries: JSON text, kept byte for byte, or any bytes.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub enum Payload {
    /// One JSON value, as text.
    Json(JsonText),
    /// Any bytes.
    Bytes(Bytes),
}

/// Text that is one JSON value (RFC 8259), as it was written: white space, the order of members
/// and the spelling of numbers stay.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct JsonText {
    text: String,
}

/// Why an operation on an [`EventLog`] was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The stream cannot number another event, or the log another stream.
    #[error("the numbers have run out after {last}")]
    Full {
        /// The last number that could be given.
        last: u64,
    },
}

/// The text is not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON at byte {offset}: expected {expected}")]
pub struct NotJson {
    /// Where reading stopped, in bytes from the start of the text.
    pub offset: usize,
    /// What could stand there.
    pub expected: &'static str,
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
        let number = match self.streams.get(stream) {
            Some(&number) => number,
            None => {
                let number = u64::try_from(self.streams.len())
                    .map_err(|_| EventError::Full { last: u64::MAX })?;
                self.streams.insert(stream.into(), number);
                number
            }
        };
        let sequence = self.lengths.get(&number).copied().unwrap_or(0);
        let length = sequence.checked_add(1).ok_or(EventError::Full { last: sequence })?;
        self.lengths.insert(number, length);
        let event = Event {
            sequence,
            lsn: context.lsn(),
            timestamp: context.timestamp(),
            event_type: event_type.to_owned(),
            payload,
        };
        self.events.insert((number, sequence), Arc::new(event));
        Ok(sequence)
    }

    /// The event of `stream` with this sequence number.
    #[must_use]
    pub fn get(&self, stream: &str, sequence: u64) -> Option<&Event> {
        let number = *self.streams.get(stream)?;
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

    /// How many events `stream` holds, which is the sequence number of the next one; 0 if there
    /// is no such stream.
    #[must_use]
    pub fn stream_len(&self, stream: &str) -> u64 {
        self.streams.get(stream).and_then(|number| self.lengths.get(number)).copied().unwrap_or(0)
    }

    /// The streams in the order of their names, each with how many events it holds.
    pub fn streams(&self) -> impl DoubleEndedIterator<Item = (&str, u64)> {
        self.streams
            .iter()
            .map(|(name, number)| (&**name, self.lengths.get(number).copied().unwrap_or(0)))
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
        self.range(stream, self.stream_len(stream).saturating_sub(count)..)
    }

    /// The keys of `stream` in `sequences`, start included and end not; an empty range if there
    /// are none.
    fn keys(&self, stream: &str, sequences: &impl RangeBounds<u64>) -> std::ops::Range<(u64, u64)> {
        const NOTHING: std::ops::Range<(u64, u64)> = (0, 0)..(0, 0);
        let Some(&number) = self.streams.get(stream) else { return NOTHING };
        let length = self.lengths.get(&number).copied().unwrap_or(0);
        let start = match sequences.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match sequences.end_bound() {
            Bound::Included(&end) => end.saturating_add(1).min(length),
            Bound::Excluded(&end) => end.min(length),
            Bound::Unbounded => length,
        };
        if start < end { (number, start)..(number, end) } else { NOTHING }
    }
}

impl Event {
    /// The event's number in its stream, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The LSN of the transaction that appended it: events of different streams are ordered by
    /// it.
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

impl Payload {
    /// A payload of JSON text, which is kept byte for byte.
    ///
    /// # Errors
    ///
    /// [`NotJson`] if the text is not exactly one JSON value.
    pub fn json(text: impl Into<String>) -> Result<Payload, NotJson> {
        Ok(Payload::Json(JsonText::new(text)?))
    }

    /// A payload of any bytes.
    #[must_use]
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Payload {
        Payload::Bytes(Bytes::from(bytes.as_ref()))
    }

    /// The JSON text, if that is what it is.
    #[must_use]
    pub fn as_json(&self) -> Option<&str> {
        match self {
            Payload::Json(json) => Some(json.as_str()),
            Payload::Bytes(_) => None,
        }
    }

    /// The bytes of either: of JSON, those of its text in UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Json(json) => json.as_str().as_bytes(),
            Payload::Bytes(bytes) => bytes,
        }
    }
}

impl JsonText {
    /// Checks that `text` is one JSON value.
    ///
    /// # Errors
    ///
    /// [`NotJson`] says where it stops being one. There is no limit of depth.
    pub fn new(text: impl Into<String>) -> Result<JsonText, NotJson> {
        let text = text.into();
        JsonCheck { bytes: text.as_bytes(), offset: 0 }.value()?;
        Ok(JsonText { text })
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads one JSON value and keeps nothing of it. Brackets are kept on a list and not on the call
/// stack, so deeply nested text cannot overflow that.
struct JsonCheck<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl JsonCheck<'_> {
    fn value(&mut self) -> Result<(), NotJson> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here a value begins.
            self.white_space();
            match self.peek() {
                Some(b'{') => {
                    self.offset += 1;
                    self.white_space();
                    if !self.take(b'}') {
                        self.member_name()?;
                        open.push(b'}');
                        continue;
                    }
                }
                Some(b'[') => {
                    self.offset += 1;
                    self.white_space();
                    if !self.take(b']') {
                        open.push(b']');
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.expected("a value")),
            }
            // Here one ended: close what it was the last of.
            loop {
                self.white_space();
                let Some(&bracket) = open.last() else {
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => Err(self.expected("the end of the text")),
                    };
                };
                if self.take(bracket) {
                    open.pop();
                } else if !self.take(b',') {
                    return Err(self.expected("a comma or a closing bracket"));
                } else {
                    if bracket == b'}' {
                        self.white_space();
                        self.member_name()?;
                    }
                    break;
                }
            }
        }
    }

    fn member_name(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member's name"));
        }
        self.string()?;
        self.white_space();
        if self.take(b':') { Ok(()) } else { Err(self.expected("a colon")) }
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.offset += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.offset += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.offset += 1;
                        }
                        Some(b'u') => {
                            self.offset += 1;
                            for _ in 0..4 {
                                match self.peek() {
                                    Some(digit) if digit.is_ascii_hexdigit() => self.offset += 1,
                                    _ => return Err(self.expected("four hexadecimal digits")),
                                }
                            }
                        }
                        _ => return Err(self.expected("an escape")),
                    }
                }
                Some(0x20..) => self.offset += 1,
                Some(_) => return Err(self.expected("an escaped control character")),
                None => return Err(self.expected("a closing quote")),
            }
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.offset;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        if self.offset == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), NotJson> {
        for &letter in word {
            if !self.take(letter) {
                return Err(self.expected("true, false or null"));
            }
        }
        Ok(())
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.offset += 1;
        }
        there
    }

    fn expected(&self, expected: &'static str) -> NotJson {
        NotJson { offset: self.offset, expected }
    }
}

#[cfg(test)]
freehold::conformance!(EventLog, {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| Payload::Bytes(bytes.as_slice().into())),
        any::<i64>().prop_map(|number| Payload::Json(JsonText::new(number.to_string()).unwrap())),
    ];
    ("[ab]{0,2}", "[cd]", payload).prop_map(|(stream, event_type, payload)| {
        call!(EventLog, append(&stream, &event_type, payload.clone()))
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_is_exactly_one_value() {
        for text in [
            "null",
            " true\n",
            "false",
            "0",
            "-0.5e+10",
            "1E400",
            "\"\"",
            r#""\u00e9\n\"""#,
            "[]",
            "[ ]",
            "[1, [2, {}], \"é\"]",
            "{}",
            r#"{"a": {"b": []}, "a": 1 }"#,
        ] {
            assert_eq!(JsonText::new(text).map(|json| json.text), Ok(text.to_owned()));
        }
        for (text, offset) in [
            ("", 0),
            ("nul", 3),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("+1", 0),
            ("1e", 2),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("[1", 2),
            ("[1}", 2),
            ("{\"a\"}", 4),
            ("{\"a\": 1,}", 8),
            ("{a: 1}", 1),
            ("\"a", 2),
            ("\"\n\"", 1),
            (r#""\x""#, 2),
            (r#""\u12g4""#, 5),
            ("1 1", 2),
            ("\u{feff}1", 0),
            ("NaN", 0),
        ] {
            assert_eq!(JsonText::new(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
    }

    #[test]
    fn json_text_nested_a_million_deep_is_checked_without_recursion() {
        let depth = 1_000_000;
        assert!(JsonText::new("[".repeat(depth) + &"]".repeat(depth)).is_ok());
        assert!(JsonText::new("[".repeat(depth) + &"]".repeat(depth - 1)).is_err());
    }
}
