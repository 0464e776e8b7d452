//! `Position`: where an event stands among those of all streams, and searching along it.

use std::ops::{Bound, RangeBounds};

use freehold::prelude::*;

/// Where an event stands among those of all streams: by the transaction that appended it, and within
/// that by the order in which they were appended.
///
/// A reader that keeps the position of the last event it has seen goes on behind it, whatever was
/// appended or truncated meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The transaction.
    pub lsn: Lsn,
    /// The event's place among the events of that transaction, from 0. Truncation may leave gaps.
    pub index: u32,
}

/// Before everything that the transaction appended.
impl From<Lsn> for Position {
    fn from(lsn: Lsn) -> Position {
        Position { lsn, index: 0 }
    }
}

/// The bounds of `range`, unless nothing lies between them, where an ordered map would panic.
pub(super) fn bounds<T: Ord + Copy>(range: &impl RangeBounds<T>) -> Option<(Bound<T>, Bound<T>)> {
    let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
    let is_empty = match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    };
    (!is_empty).then_some((start, end))
}

/// The first number of `low..high` of which `is_before` does not hold, or `high`. It must hold of
/// none that follows.
pub(super) fn partition_point(low: u64, high: u64, is_before: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The numbers of `low..high` whose times lie in `times`, start included and end not. Times must not
/// decrease from one number to the next.
pub(super) fn within(
    low: u64,
    high: u64,
    times: &impl RangeBounds<Timestamp>,
    time: impl Fn(u64) -> Option<Timestamp>,
) -> std::ops::Range<u64> {
    let first = |is_before: &dyn Fn(Timestamp) -> bool| {
        partition_point(low, high, |number| time(number).is_some_and(is_before))
    };
    let start = match times.start_bound() {
        Bound::Included(start) => first(&|time| time < *start),
        Bound::Excluded(start) => first(&|time| time <= *start),
        Bound::Unbounded => low,
    };
    let end = match times.end_bound() {
        Bound::Included(end) => first(&|time| time <= *end),
        Bound::Excluded(end) => first(&|time| time < *end),
        Bound::Unbounded => high,
    };
    start..end
}
