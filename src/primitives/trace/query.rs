//! Reading of a [`TraceStore`]: spans, traces, and what is looked for in them.
//!
//! Invariants:
//!
//! 1. Spans come in the order of their times: the start, or the end where no start is known.
//! 2. A query reads the spans of its trace, else those of its name, else those of its time, and looks
//!    at each: attributes, durations and services have no index.

use std::collections::BTreeSet;
use std::ops::{Bound, Deref, RangeBounds, RangeInclusive};
use std::sync::Arc;

use super::any::AnyValue;
use super::id::{SpanKey, TraceId};
use super::span::{Origin, Span, SpanKind, StatusCode};
use super::tree::{TraceTree, TreePlace};
use super::{Held, TraceStore};

/// A span as it is kept; it reads like a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedSpan<'a> {
    /// Under what it is kept.
    pub key: SpanKey,
    /// What it is of.
    pub origin: &'a Origin,
    /// The span.
    pub span: &'a Span,
}

/// Which spans are looked for. Everything that is said must hold.
///
/// ```
/// use freehold::primitives::trace::{SpanQuery, StatusCode};
///
/// let query = SpanQuery::new()
///     .service("shop")
///     .name("GET /books")
///     .time(1_544_712_660_000_000_000..)
///     .duration(5_000_000..)
///     .attribute("http.request.method", "GET")
///     .status(StatusCode::Error);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct SpanQuery {
    trace_id: Option<TraceId>,
    name: Option<Arc<str>>,
    kind: Option<SpanKind>,
    status: Option<StatusCode>,
    time: RangeInclusive<u64>,
    duration: Option<RangeInclusive<u64>>,
    attributes: Vec<(String, AnyValue)>,
    resource: Vec<(String, AnyValue)>,
}

/// A trace in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// The trace.
    pub trace_id: TraceId,
    /// The name of the span that it began with, as far as it is recorded.
    pub name: Arc<str>,
    /// How many spans are recorded; each side of a shared one counts.
    pub spans: usize,
    /// How many have no parent.
    pub roots: usize,
    /// How many have a parent that is not recorded.
    pub orphans: usize,
    /// How many have not ended.
    pub open: usize,
    /// How many failed.
    pub errors: usize,
    /// The first start that is known, in nanoseconds since the Unix epoch, or 0.
    pub start: u64,
    /// The last end that is known, in nanoseconds since the Unix epoch, or 0.
    pub end: u64,
}

impl TraceStore {
    /// The span under `key`.
    #[must_use]
    pub fn get(&self, key: SpanKey) -> Option<RecordedSpan<'_>> {
        self.spans.get(&key).map(|held| self.recorded(key, held))
    }

    /// How many spans are recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether no span is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Every span in the order of the keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordedSpan<'_>> {
        self.spans.iter().map(|(key, held)| self.recorded(*key, held))
    }

    /// The spans of a trace in the order of their starts.
    #[must_use]
    pub fn trace(&self, trace_id: TraceId) -> Vec<RecordedSpan<'_>> {
        let mut spans = self.of_trace(trace_id);
        spans.sort_by_key(|span| (span.time(), span.key));
        spans
    }

    /// The spans of a trace, each under its parent.
    #[must_use]
    pub fn tree(&self, trace_id: TraceId) -> TraceTree<'_> {
        TraceTree::new(self.of_trace(trace_id))
    }

    /// Every trace in the order of the IDs.
    pub fn trace_ids(&self) -> impl Iterator<Item = TraceId> {
        let first = self.spans.first_key_value().map(|(key, _)| key.trace_id);
        std::iter::successors(first, |before| {
            let last = *SpanKey::of_trace(*before).end();
            let mut behind = self.spans.range((Bound::Excluded(last), Bound::Unbounded));
            behind.next().map(|(key, _)| key.trace_id)
        })
    }

    /// The traces in numbers, newest first: the one in which a span started last is the first. Reads
    /// no more than what is taken of it.
    pub fn traces(&self) -> impl Iterator<Item = TraceSummary> {
        let mut seen = BTreeSet::new();
        self.by_time
            .iter()
            .rev()
            .map(|(_, key)| key.trace_id)
            .filter(move |trace_id| seen.insert(*trace_id))
            .filter_map(|trace_id| self.summary(trace_id))
    }

    /// A trace in numbers; nothing if no span of it is recorded.
    #[must_use]
    pub fn summary(&self, trace_id: TraceId) -> Option<TraceSummary> {
        let tree = self.tree(trace_id);
        let count = |is: fn(&Span) -> bool| tree.iter().filter(|node| is(&node.span)).count();
        let starts = tree.iter().map(|node| node.span.start).filter(|start| *start != 0);
        Some(TraceSummary {
            trace_id,
            name: Arc::clone(&tree.root()?.span.name),
            spans: tree.len(),
            roots: tree.count(TreePlace::Root),
            orphans: tree.count(TreePlace::Orphan),
            open: count(Span::is_open),
            errors: count(|span| span.status.code == StatusCode::Error),
            start: starts.min().unwrap_or(0),
            end: tree.iter().map(|node| node.span.end).max().unwrap_or(0),
        })
    }

    /// The spans that `query` asks for, oldest first; `.rev()` reads them newest first.
    pub fn find<'a>(
        &'a self,
        query: &'a SpanQuery,
    ) -> impl DoubleEndedIterator<Item = RecordedSpan<'a>> {
        let (first, last) = (*query.time.start(), *query.time.end());
        // A range that holds nothing is one that a set does not take.
        let some_time = (first <= last).then_some(());
        let of_trace = some_time
            .and(query.trace_id)
            .map(|trace_id| self.trace(trace_id).into_iter().map(|span| span.key));
        let named = some_time.and(query.name.as_ref()).filter(|_| query.trace_id.is_none());
        let named = named.map(|name| {
            let first = (Arc::clone(name), first, SpanKey::FIRST);
            let last = (Arc::clone(name), last, SpanKey::LAST);
            self.by_name.range(first..=last).map(|(_, _, key)| *key)
        });
        let others = some_time.filter(|()| query.trace_id.is_none() && query.name.is_none());
        let others = others.map(|()| {
            self.by_time.range((first, SpanKey::FIRST)..=(last, SpanKey::LAST)).map(|(_, key)| *key)
        });
        of_trace
            .into_iter()
            .flatten()
            .chain(named.into_iter().flatten())
            .chain(others.into_iter().flatten())
            .filter_map(|key| self.get(key))
            .filter(|span| query.matches(span))
    }

    fn of_trace(&self, trace_id: TraceId) -> Vec<RecordedSpan<'_>> {
        let keys = SpanKey::of_trace(trace_id);
        self.spans.range(keys).map(|(key, held)| self.recorded(*key, held)).collect()
    }

    fn recorded<'a>(&'a self, key: SpanKey, held: &'a Held) -> RecordedSpan<'a> {
        RecordedSpan { key, origin: self.origin(held.origin), span: &held.span }
    }
}

impl Deref for RecordedSpan<'_> {
    type Target = Span;

    fn deref(&self) -> &Span {
        self.span
    }
}

impl Default for SpanQuery {
    fn default() -> SpanQuery {
        SpanQuery {
            trace_id: None,
            name: None,
            kind: None,
            status: None,
            time: 0..=u64::MAX,
            duration: None,
            attributes: Vec::new(),
            resource: Vec::new(),
        }
    }
}

impl SpanQuery {
    /// All spans.
    pub fn new() -> SpanQuery {
        SpanQuery::default()
    }

    /// Of this trace.
    pub fn trace(self, trace_id: TraceId) -> SpanQuery {
        SpanQuery { trace_id: Some(trace_id), ..self }
    }

    /// With this name.
    pub fn name(self, name: impl Into<Arc<str>>) -> SpanQuery {
        SpanQuery { name: Some(name.into()), ..self }
    }

    /// Of this kind.
    pub fn kind(self, kind: SpanKind) -> SpanQuery {
        SpanQuery { kind: Some(kind), ..self }
    }

    /// With this status.
    pub fn status(self, status: StatusCode) -> SpanQuery {
        SpanQuery { status: Some(status), ..self }
    }

    /// That started in this time, in nanoseconds since the Unix epoch. One without a start stands at
    /// its end, and one without either at 0.
    pub fn time(self, time: impl RangeBounds<u64>) -> SpanQuery {
        SpanQuery { time: inclusive(&time), ..self }
    }

    /// That took so long, in nanoseconds. Of one that has not ended, or has no start, that is not known.
    pub fn duration(self, duration: impl RangeBounds<u64>) -> SpanQuery {
        SpanQuery { duration: Some(inclusive(&duration)), ..self }
    }

    /// With this attribute of its own.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<AnyValue>) -> SpanQuery {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// Of a resource with this attribute.
    pub fn resource(mut self, key: impl Into<String>, value: impl Into<AnyValue>) -> SpanQuery {
        self.resource.push((key.into(), value.into()));
        self
    }

    /// Of the program with this name: the resource's attribute `service.name`.
    pub fn service(self, name: &str) -> SpanQuery {
        self.resource("service.name", name)
    }

    /// Whether the span is one that is looked for.
    #[must_use]
    pub fn matches(&self, span: &RecordedSpan<'_>) -> bool {
        let resource = &span.origin.resource.attributes;
        self.trace_id.is_none_or(|trace_id| span.trace_id == trace_id)
            && self.name.as_ref().is_none_or(|name| span.name == *name)
            && self.kind.is_none_or(|kind| span.kind == kind)
            && self.status.is_none_or(|status| span.status.code == status)
            && self.time.contains(&span.time())
            && self.duration.as_ref().is_none_or(|range| {
                span.duration().is_some_and(|duration| range.contains(&duration))
            })
            && self.attributes.iter().all(|(key, value)| span.attributes.get(key) == Some(value))
            && self.resource.iter().all(|(key, value)| resource.get(key) == Some(value))
    }
}

impl TraceSummary {
    /// From the first start to the last end, in nanoseconds; 0 if either is not known.
    #[must_use]
    pub fn duration(&self) -> u64 {
        if self.start == 0 { 0 } else { self.end.saturating_sub(self.start) }
    }
}

fn inclusive(range: &impl RangeBounds<u64>) -> RangeInclusive<u64> {
    #[expect(clippy::reversed_empty_ranges, reason = "it holds nothing")]
    const NOTHING: RangeInclusive<u64> = 1..=0;
    let first = match range.start_bound() {
        Bound::Included(&first) => Some(first),
        Bound::Excluded(&before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let last = match range.end_bound() {
        Bound::Included(&last) => Some(last),
        Bound::Excluded(&end) => end.checked_sub(1),
        Bound::Unbounded => Some(u64::MAX),
    };
    match (first, last) {
        (Some(first), Some(last)) => first..=last,
        _ => NOTHING,
    }
}
