//! The numbers of traces and spans.
//!
//! Invariants:
//!
//! 1. A [`TraceId`] or a [`SpanId`] is never zero: in OpenTelemetry and in W3C Trace Context zero says
//!    that there is none, and for that there is `Option`.
//! 2. An ID's text is lower-case hexadecimal of full width; either case is read.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::ops::RangeInclusive;
use std::str::FromStr;

use freehold::prelude::*;

/// Which trace: 128 bits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
#[stored(via = [u8; 16])]
pub struct TraceId(NonZeroU128);

/// Which span of a trace: 64 bits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
#[stored(via = [u8; 8])]
pub struct SpanId(NonZeroU64);

/// Under what a span is kept: its IDs, and which of the spans that share them.
///
/// Side 0 is the first that was recorded. In Zipkin's model client and server report one span, each
/// its side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub struct SpanKey {
    /// The trace.
    pub trace_id: TraceId,
    /// The span in the trace.
    pub span_id: SpanId,
    /// Which of the spans with these IDs, from 0 without gaps.
    pub side: u32,
}

/// Text or bytes are no ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits, not all of them 0")]
pub struct NotAnId {
    /// How many digits such an ID has.
    pub digits: usize,
}

impl SpanKey {
    /// The first span with these IDs, in most data the only one.
    #[must_use]
    pub fn new(trace_id: TraceId, span_id: SpanId) -> SpanKey {
        SpanKey { trace_id, span_id, side: 0 }
    }

    /// No key is less.
    pub(super) const FIRST: SpanKey =
        SpanKey { trace_id: TraceId(NonZeroU128::MIN), span_id: SpanId(NonZeroU64::MIN), side: 0 };

    /// No key is greater.
    pub(super) const LAST: SpanKey = SpanKey {
        trace_id: TraceId(NonZeroU128::MAX),
        span_id: SpanId(NonZeroU64::MAX),
        side: u32::MAX,
    };

    /// Every key that a span of `trace_id` can have.
    pub(super) fn of_trace(trace_id: TraceId) -> RangeInclusive<SpanKey> {
        SpanKey { trace_id, ..SpanKey::FIRST }..=SpanKey { trace_id, ..SpanKey::LAST }
    }

    /// Every key that a span with these IDs can have.
    pub(super) fn of_span(trace_id: TraceId, span_id: SpanId) -> RangeInclusive<SpanKey> {
        SpanKey::new(trace_id, span_id)..=SpanKey { trace_id, span_id, side: u32::MAX }
    }
}

/// The IDs as text, then the side if it is not the first: `5b8e…/eee1…`, `5b8e…/eee1…/1`.
impl fmt::Display for SpanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.trace_id, self.span_id)?;
        if self.side > 0 { write!(f, "/{}", self.side) } else { Ok(()) }
    }
}

macro_rules! id {
    ($id:ident, $number:ident, $nonzero:ident, $bytes:literal, $digits:literal) => {
        impl $id {
            /// The ID with these bytes; nothing if all are zero.
            #[must_use]
            pub fn new(bytes: [u8; $bytes]) -> Option<$id> {
                $nonzero::new($number::from_be_bytes(bytes)).map($id)
            }

            /// Its bytes, in the order of its text.
            #[must_use]
            pub fn bytes(self) -> [u8; $bytes] {
                self.0.get().to_be_bytes()
            }
        }

        impl TryFrom<[u8; $bytes]> for $id {
            type Error = NotAnId;

            fn try_from(bytes: [u8; $bytes]) -> Result<$id, NotAnId> {
                $id::new(bytes).ok_or(NotAnId { digits: $digits })
            }
        }

        impl From<&$id> for [u8; $bytes] {
            fn from(id: &$id) -> [u8; $bytes] {
                id.bytes()
            }
        }

        impl FromStr for $id {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<$id, NotAnId> {
                let is_hex = text.len() == $digits && text.bytes().all(|b| b.is_ascii_hexdigit());
                let number = $number::from_str_radix(text, 16).ok().filter(|_| is_hex);
                number.and_then($nonzero::new).map($id).ok_or(NotAnId { digits: $digits })
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

id!(TraceId, u128, NonZeroU128, 16, 32);
id!(SpanId, u64, NonZeroU64, 8, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_its_text_alone() {
        let text = "00f067aa0ba902b7";
        let id: SpanId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.bytes()[1]), (text, 0xf0));
        assert_eq!("00F067AA0BA902B7".parse(), Ok(id));
        for text in
            ["", "0000000000000000", "+0f067aa0ba902b7", "f067aa0ba902b7", "é0f067aa0ba902b"]
        {
            assert_eq!(text.parse::<SpanId>(), Err(NotAnId { digits: 16 }), "{text}");
        }
        let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        assert_eq!(TraceId::new(id.bytes()), Some(id));
        assert_eq!(TraceId::try_from([0; 16]), Err(NotAnId { digits: 32 }));
    }

    #[test]
    fn the_keys_of_a_trace_lie_between_its_first_and_its_last() {
        let trace_id = TraceId::new([7; 16]).unwrap();
        let keys = SpanKey::of_trace(trace_id);
        for (span_id, side) in [([0, 0, 0, 0, 0, 0, 0, 1], 0), ([255; 8], u32::MAX)] {
            let span_id = SpanId::new(span_id).unwrap();
            assert!(keys.contains(&SpanKey { side, ..SpanKey::new(trace_id, span_id) }));
        }
        let other = TraceId::new([8; 16]).unwrap();
        assert!(!keys.contains(&SpanKey { trace_id: other, ..SpanKey::FIRST }));
        assert!(keys.end().to_string().ends_with("07/ffffffffffffffff/4294967295"));
    }
}
