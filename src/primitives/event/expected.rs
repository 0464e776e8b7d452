//! `ExpectedSequence`: what a stream must be like for an append, and why one is rejected.

use std::fmt;

use freehold::prelude::*;

/// What a stream must be like for an event to be appended: how a writer that has read it makes sure
/// that nobody else has written since.
///
/// It is about the numbers that were given: a stream of which the events were
/// [truncated](super::EventLog::truncate) exists all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Stored)]
pub enum ExpectedSequence {
    /// Anything.
    Any,
    /// No event was ever appended to it.
    NoStream,
    /// At least one event was appended to it.
    StreamExists,
    /// The event appended last has this sequence number.
    At(u64),
}

/// Why an operation on an [`EventLog`](super::EventLog) was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The stream cannot number another event, or the log another stream.
    #[error("the numbers have run out after {last}")]
    Full {
        /// The last number that could be given.
        last: u64,
    },
    /// The stream is not as expected: somebody else was first.
    #[error("stream {stream}: {}, expected {expected}", Last(*found))]
    OtherSequence {
        /// The stream.
        stream: Box<str>,
        /// The sequence number of the event appended last, if there ever was one.
        found: Option<u64>,
        /// What was expected.
        expected: ExpectedSequence,
    },
}

impl ExpectedSequence {
    /// Refuses `stream`, of which the next event is to have the number `next`.
    pub(super) fn check(self, stream: &str, next: u64) -> Result<(), EventError> {
        let found = next.checked_sub(1);
        let is_so = match self {
            ExpectedSequence::Any => true,
            ExpectedSequence::NoStream => found.is_none(),
            ExpectedSequence::StreamExists => found.is_some(),
            ExpectedSequence::At(last) => found == Some(last),
        };
        if is_so {
            Ok(())
        } else {
            Err(EventError::OtherSequence { stream: stream.into(), found, expected: self })
        }
    }
}

impl fmt::Display for ExpectedSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedSequence::Any => f.write_str("anything"),
            ExpectedSequence::NoStream => f.write_str("no event"),
            ExpectedSequence::StreamExists => f.write_str("at least one event"),
            ExpectedSequence::At(last) => last.fmt(f),
        }
    }
}

/// Says which event a stream ends with.
struct Last(Option<u64>);

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(last) => write!(f, "last sequence number is {last}"),
            None => f.write_str("has no event"),
        }
    }
}
