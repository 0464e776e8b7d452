//! `TraceStore`: spans of OpenTelemetry's model, recorded as a whole or from start to end, read as
//! trees, by name, time, attribute and duration.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x50 `record`, 0x51 `start`, 0x52 `end`, 0x53 `add_event`,
//!    0x54 `set_attributes`, 0x55 `add_link`, 0x56 `delete_trace`, 0x57 `delete_before`.
//! 2. A span is kept under its [`SpanKey`]: trace ID, span ID and *side*. Two records are of one span
//!    if they agree in both IDs, in kind and in resource; others that share the IDs are sides of their
//!    own, numbered from 0 in the order in which they came. So Zipkin's client and server, which
//!    report under one ID, both stay.
//! 3. `record` is the whole of a span and replaces what was known of it: recording a batch twice is
//!    recording it once. `start`, `end`, `add_event`, `set_attributes` and `add_link` are parts of a
//!    span and may come in any order: what comes before the start is kept as an incomplete span, which
//!    the start completes. Of two starts, or two ends, the first one counts.
//! 4. Nothing is corrected: a missing parent, a child that starts before its parent, a span under
//!    itself are kept as recorded. [`TraceTree`] says so where it meets them.
//! 5. An [`Origin`], which is a resource and a scope, is kept once for all its spans, and as long as
//!    there is one. The other indexes hold one entry a span each, by time and by name.
//!
//! A span as a whole, and the tree of its trace:
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::TraceStore;
//! use freehold::primitives::trace::{Batch, Origin, Span, SpanId, SpanKind, TraceId, TreePlace};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let db = Database::open(dir.path())?;
//! let trace_id: TraceId = "5b8efff798038103d269b633813fc60c".parse()?;
//! let (root, child): (SpanId, SpanId) = ("eee19b7ec3c1b173".parse()?, "eee19b7ec3c1b174".parse()?);
//! let mut answer = Span::new(trace_id, root, "GET /books", 1_544_712_660_000_000_000);
//! answer.kind = SpanKind::Server;
//! answer.end = answer.start + 1_000_000;
//! answer.attributes.set("http.response.status_code", 200);
//! let mut query = Span::new(trace_id, child, "select", answer.start + 1_000);
//! query.parent = Some(root);
//! db.transaction(|tx| {
//!     tx.on::<TraceStore>().record(Batch { origin: Origin::service("shop"), spans: vec![answer, query] })
//! })?;
//!
//! let view = db.view();
//! let traces = view.on::<TraceStore>();
//! let tree = traces.tree(trace_id);
//! let seen: Vec<_> = tree.iter().map(|node| (&*node.span.name, node.place, node.depth)).collect();
//! assert_eq!(seen, [("GET /books", TreePlace::Root, 0), ("select", TreePlace::Child, 1)]);
//! assert_eq!(tree.root().unwrap().span.origin.service_name(), Some("shop"));
//! # Ok(())
//! # }
//! ```
//!
//! A span as it happens; a crash in between leaves it open:
//!
//! ```
//! # use freehold::prelude::*;
//! # use freehold::primitives::TraceStore;
//! use freehold::primitives::trace::{Attributes, Origin, Span, SpanEvent, SpanQuery, Status};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let db = Database::open(dir.path())?;
//! # let (trace_id, span_id) = ("5b8efff798038103d269b633813fc60c".parse()?, "eee19b7ec3c1b173".parse()?);
//! let key = db.transaction(|tx| {
//!     tx.on::<TraceStore>().start(Origin::service("agent"), Span::new(trace_id, span_id, "chat", 1_000))
//! })?;
//! db.transaction(|tx| {
//!     let mut traces = tx.on::<TraceStore>();
//!     let event = SpanEvent { time: 1_500, name: "first token".to_owned(), ..SpanEvent::default() };
//!     traces.add_event(key, event)?;
//!     let usage: Attributes = [("gen_ai.usage.output_tokens", 20)].into_iter().collect();
//!     traces.end(key, 3_000, Status::ok(), usage)
//! })?;
//! let view = db.view();
//! let slow = SpanQuery::new().name("chat").duration(2_000..).attribute("gen_ai.usage.output_tokens", 20);
//! let found: Vec<_> = view.on::<TraceStore>().find(&slow).map(|span| span.key).collect();
//! assert_eq!(found, [key]);
//! # Ok(())
//! # }
//! ```
//!
//! From and to other tools: [`otlp`], [`zipkin`], [`jaeger`], [`otel_js`].
//!
//! ```
//! # use freehold::prelude::*;
//! # use freehold::primitives::TraceStore;
//! use freehold::primitives::trace::otlp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let db = Database::open(dir.path())?;
//! let text = r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{
//!     "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
//!     "parentSpanId": "EEE19B7EC3C1B173", "name": "answer", "kind": 2, "colour": "red"
//! }]}]}]}"#;
//! let import = otlp::parse(text)?;
//! assert_eq!(import.unknown, ["resourceSpans[0].scopeSpans[0].spans[0].colour"]);
//! db.transaction(|tx| {
//!     import.batches.into_iter().try_for_each(|batch| tx.on::<TraceStore>().record(batch).map(drop))
//! })?;
//! let exported = otlp::export(db.view().on::<TraceStore>().iter());
//! assert_eq!(otlp::parse(&exported)?.span_count(), 1);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold::prelude::*;

mod any;
mod format;
mod id;
pub mod jaeger;
pub mod otel_js;
pub mod otlp;
mod query;
mod read;
mod span;
mod tree;
pub mod zipkin;

pub use any::{ANY_VALUE_DEPTH_MAX, AnyValue, Attributes};
pub use format::{Import, TraceFormatError};
pub use id::{NotAnId, SpanId, SpanKey, TraceId};
pub use query::{RecordedSpan, SpanQuery, TraceSummary};
pub use span::{
    Batch, Origin, Resource, Scope, Span, SpanEvent, SpanKind, SpanLink, Status, StatusCode,
};
pub use tree::{TraceTree, TreeNode, TreePlace};

/// Spans, and the traces that they make.
#[primitive(id = 5, wal = 0x50..=0x57, name = "trace")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceStore {
    spans: OrdMap<SpanKey, Held>,
    origins: OrdMap<u64, Arc<Origin>>,
    #[index(rebuild = numbers)]
    numbers: OrdMap<Arc<Origin>, OriginUse>,
    #[index(rebuild = |store| store.spans.iter().map(|(key, held)| (held.span.time(), *key)).collect())]
    by_time: OrdSet<(u64, SpanKey)>,
    #[index(rebuild = |store| store.spans.iter().map(|(key, held)| held.by_name(*key)).collect())]
    by_name: OrdSet<(Arc<str>, u64, SpanKey)>,
}

/// A span, and the number of its origin.
#[derive(Clone, Debug, PartialEq, Stored)]
struct Held {
    origin: u64,
    span: Arc<Span>,
}

/// The number of an origin, and how many spans have it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OriginUse {
    number: u64,
    spans: u64,
}

/// Why an operation on a [`TraceStore`] was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The key is that of a further side of a span, and there is none.
    #[error("span {key}: is not recorded, expected one that is, or side 0")]
    Absent {
        /// The key.
        key: SpanKey,
    },
    /// A span was to end at no time.
    #[error("span {key}: ends at 0, expected nanoseconds since the Unix epoch")]
    NoEnd {
        /// The span.
        key: SpanKey,
    },
    /// The value of an attribute has lists within lists.
    #[error("attribute {name}: is nested more than {ANY_VALUE_DEPTH_MAX} deep")]
    TooDeep {
        /// The attribute's name.
        name: Box<str>,
    },
    /// Spans or origins cannot be numbered any further.
    #[error("the numbers have run out after {last}")]
    Full {
        /// The last number that could be given.
        last: u64,
    },
}

#[operations]
impl TraceStore {
    /// Records spans as a whole, each in the place of what was known of it, and returns the keys that
    /// they are kept under. A batch can be recorded any number of times.
    ///
    /// # Errors
    ///
    /// [`TraceError::TooDeep`] if an attribute is.
    #[wal(0x50)]
    pub fn record(&mut self, batch: Batch) -> Result<Vec<SpanKey>, TraceError> {
        let Batch { origin, spans } = batch;
        is_flat(spans.iter().find_map(Span::too_deep).or_else(|| origin.too_deep()))?;
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let origin = self.numbered(origin)?;
        let mut keys = Vec::with_capacity(spans.len());
        for span in spans {
            let key = self.key_of(&span, origin)?;
            self.put(key, Held { origin, span: Arc::new(span) });
            keys.push(key);
        }
        Ok(keys)
    }

    /// Records the start of a span: what is known of it when it begins. Completes what came before
    /// it; a span that has been started already stays as it is.
    ///
    /// # Errors
    ///
    /// [`TraceError::TooDeep`] if an attribute is.
    #[wal(0x51)]
    pub fn start(&mut self, origin: Origin, span: Span) -> Result<SpanKey, TraceError> {
        is_flat(span.too_deep().or_else(|| origin.too_deep()))?;
        let mut span = span;
        let origin = self.numbered(origin)?;
        let key = self.key_of(&span, origin)?;
        match self.get(key) {
            None => self.put(key, Held { origin, span: Arc::new(span) }),
            Some(known) if known.is_fragment(known.origin) => {
                span.complete(known.span);
                self.put(key, Held { origin, span: Arc::new(span) });
            }
            Some(_) => self.release_unused(origin),
        }
        Ok(key)
    }

    /// Records the end of a span at `time`, in nanoseconds since the Unix epoch, how it went, and what
    /// has become known of it. Returns whether it ended it: a span that has ended stays as it is.
    ///
    /// If no start is known, the span is kept as an incomplete one.
    ///
    /// # Errors
    ///
    /// [`TraceError::NoEnd`] if the time is 0, [`TraceError::TooDeep`] if an attribute is,
    /// [`TraceError::Absent`] if a further side is meant that there is not.
    #[wal(0x52)]
    pub fn end(
        &mut self,
        key: SpanKey,
        time: u64,
        status: Status,
        attributes: Attributes,
    ) -> Result<bool, TraceError> {
        if time == 0 {
            return Err(TraceError::NoEnd { key });
        }
        is_flat(attributes.too_deep())?;
        if self.get(key).is_some_and(|known| !known.is_open()) {
            return Ok(false);
        }
        self.change(key, |span| {
            span.end = time;
            span.status = status;
            for (name, value) in attributes {
                span.attributes.set(name, value);
            }
        })?;
        Ok(true)
    }

    /// Records that something happened in a span, which may have ended, or not be known yet.
    ///
    /// # Errors
    ///
    /// [`TraceError::TooDeep`] if an attribute is, [`TraceError::Absent`] if a further side is meant
    /// that there is not.
    #[wal(0x53)]
    pub fn add_event(&mut self, key: SpanKey, event: SpanEvent) -> Result<(), TraceError> {
        is_flat(event.attributes.too_deep())?;
        self.change(key, |span| span.events.push(event))
    }

    /// Sets attributes of a span, which may have ended, or not be known yet. Others stay.
    ///
    /// # Errors
    ///
    /// [`TraceError::TooDeep`] if an attribute is, [`TraceError::Absent`] if a further side is meant
    /// that there is not.
    #[wal(0x54)]
    pub fn set_attributes(
        &mut self,
        key: SpanKey,
        attributes: Attributes,
    ) -> Result<(), TraceError> {
        is_flat(attributes.too_deep())?;
        self.change(key, |span| {
            for (name, value) in attributes {
                span.attributes.set(name, value);
            }
        })
    }

    /// Links a span, which may have ended, or not be known yet, to another.
    ///
    /// # Errors
    ///
    /// [`TraceError::TooDeep`] if an attribute is, [`TraceError::Absent`] if a further side is meant
    /// that there is not.
    #[wal(0x55)]
    pub fn add_link(&mut self, key: SpanKey, link: SpanLink) -> Result<(), TraceError> {
        is_flat(link.attributes.too_deep())?;
        self.change(key, |span| span.links.push(link))
    }

    /// Deletes all spans of a trace, and returns how many there were.
    #[wal(0x56)]
    pub fn delete_trace(&mut self, trace_id: TraceId) -> u64 {
        let keys: Vec<SpanKey> =
            self.spans.range(SpanKey::of_trace(trace_id)).map(|(key, _)| *key).collect();
        let mut count = 0u64;
        for key in keys {
            if let Some(held) = self.spans.remove(&key) {
                self.forget(key, &held);
                count = count.saturating_add(1);
            }
        }
        count
    }

    /// Deletes the traces in which nothing has begun or ended at `time` or later, in nanoseconds
    /// since the Unix epoch, and returns how many there were. Open spans do not keep a trace.
    #[wal(0x57)]
    pub fn delete_before(&mut self, time: u64) -> u64 {
        let touched: BTreeSet<TraceId> =
            self.by_time.range(..(time, SpanKey::FIRST)).map(|(_, key)| key.trace_id).collect();
        let mut count = 0u64;
        for trace_id in touched {
            let is_older = |(_, held): (_, &Held)| held.span.start.max(held.span.end) < time;
            if self.spans.range(SpanKey::of_trace(trace_id)).all(is_older) {
                self.delete_trace(trace_id);
                count = count.saturating_add(1);
            }
        }
        count
    }

    /// The number of an origin, new if need be. The caller records a span of it, or releases it.
    fn numbered(&mut self, origin: Origin) -> Result<u64, TraceError> {
        if let Some(known) = self.numbers.get(&origin) {
            return Ok(known.number);
        }
        let last = self.origins.last_key_value().map(|(number, _)| *number);
        let number = match last {
            None => 0,
            Some(last) => last.checked_add(1).ok_or(TraceError::Full { last })?,
        };
        let origin = Arc::new(origin);
        self.origins.insert(number, Arc::clone(&origin));
        self.numbers.insert(origin, OriginUse { number, spans: 0 });
        Ok(number)
    }

    /// Under what a span is kept: the one that it is a record of, or else the first that is free.
    fn key_of(&self, span: &Span, origin: u64) -> Result<SpanKey, TraceError> {
        let resource = &self.origin(origin).resource;
        let mut key = SpanKey::new(span.trace_id, span.span_id);
        let mut fragment = None;
        for (&known_key, held) in self.spans.range(SpanKey::of_span(span.trace_id, span.span_id)) {
            let known_origin = self.origin(held.origin);
            if held.span.kind == span.kind
                && (held.origin == origin || known_origin.resource == *resource)
            {
                return Ok(known_key);
            }
            if held.span.is_fragment(known_origin) {
                fragment = Some(known_key);
            }
            let full = TraceError::Full { last: known_key.side.into() };
            key.side = known_key.side.checked_add(1).ok_or(full)?;
        }
        Ok(fragment.unwrap_or(key))
    }

    fn put(&mut self, key: SpanKey, held: Held) {
        if let Some(origin) = self.origins.get(&held.origin)
            && let Some(used) = self.numbers.get_mut(origin)
        {
            used.spans = used.spans.saturating_add(1);
        }
        if let Some(old) = self.spans.insert(key, held.clone()) {
            self.forget(key, &old);
        }
        self.by_time.insert((held.span.time(), key));
        self.by_name.insert(held.by_name(key));
    }

    /// Takes out of the indexes what has been taken out of the spans.
    fn forget(&mut self, key: SpanKey, held: &Held) {
        self.by_time.remove(&(held.span.time(), key));
        self.by_name.remove(&held.by_name(key));
        if let Some(origin) = self.origins.get(&held.origin)
            && let Some(used) = self.numbers.get_mut(origin)
        {
            used.spans = used.spans.saturating_sub(1);
        }
        self.release_unused(held.origin);
    }

    /// Forgets an origin that no span has.
    fn release_unused(&mut self, number: u64) {
        if let Some(origin) = self.origins.get(&number)
            && self.numbers.get(origin).is_some_and(|used| used.spans == 0)
        {
            self.numbers.remove(origin);
            self.origins.remove(&number);
        }
    }

    /// Changes a span in what is no part of its start; an unknown one becomes an incomplete one.
    fn change(&mut self, key: SpanKey, make: impl FnOnce(&mut Span)) -> Result<(), TraceError> {
        if !self.spans.contains_key(&key) {
            if key.side > 0 {
                return Err(TraceError::Absent { key });
            }
            let origin = self.numbered(Origin::EMPTY)?;
            let span = Arc::new(Span::new(key.trace_id, key.span_id, "", 0));
            self.put(key, Held { origin, span });
        }
        let held = self.spans.get_mut(&key).ok_or(TraceError::Absent { key })?;
        let before = held.by_name(key);
        make(Arc::make_mut(&mut held.span));
        let after = held.by_name(key);
        if before != after {
            self.by_time.remove(&(before.1, key));
            self.by_time.insert((after.1, key));
            self.by_name.remove(&before);
            self.by_name.insert(after);
        }
        Ok(())
    }

    fn origin(&self, number: u64) -> &Origin {
        static EMPTY: Origin = Origin::EMPTY;
        self.origins.get(&number).map_or(&EMPTY, |origin| origin)
    }
}

impl Held {
    fn by_name(&self, key: SpanKey) -> (Arc<str>, u64, SpanKey) {
        (Arc::clone(&self.span.name), self.span.time(), key)
    }
}

fn numbers(store: &TraceStore) -> OrdMap<Arc<Origin>, OriginUse> {
    let mut numbers = OrdMap::new();
    for (&number, origin) in store.origins.iter() {
        numbers.insert(Arc::clone(origin), OriginUse { number, spans: 0 });
    }
    for held in store.spans.values() {
        if let Some(origin) = store.origins.get(&held.origin)
            && let Some(used) = numbers.get_mut(origin)
        {
            used.spans = used.spans.saturating_add(1);
        }
    }
    numbers
}

fn is_flat(too_deep: Option<&str>) -> Result<(), TraceError> {
    match too_deep {
        Some(name) => Err(TraceError::TooDeep { name: name.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
freehold::conformance!(TraceStore, {
    let trace = || (1..3u8).prop_map(|id| TraceId::new([id; 16]).unwrap());
    let key = || {
        (trace(), 1..4u8, prop_oneof![9 => Just(0), 1 => Just(1)]).prop_map(
            |(trace_id, id, side)| SpanKey {
                trace_id,
                span_id: SpanId::new([id; 8]).unwrap(),
                side,
            },
        )
    };
    let value = prop_oneof![
        any::<i64>().prop_map(AnyValue::Int),
        "[ab]{0,9}".prop_map(AnyValue::Text),
        any::<f64>().prop_map(AnyValue::Double),
        any::<bool>().prop_map(|is| AnyValue::Array(vec![AnyValue::Bool(is), AnyValue::Empty])),
        any::<[u8; 3]>()
            .prop_map(|b| [("k", AnyValue::from(&b[..]))].into_iter().collect())
            .prop_map(AnyValue::KvList),
        (27..30usize).prop_map(
            |depth| (0..depth).fold(AnyValue::Empty, |inner, _| AnyValue::Array(vec![inner]))
        ),
    ];
    let attributes = proptest::collection::vec(("[kl]", value), 0..3)
        .prop_map(|pairs| pairs.into_iter().collect::<Attributes>())
        .boxed();
    let origin = "[xy]?"
        .prop_map(|name| if name.is_empty() { Origin::EMPTY } else { Origin::service(&name) });
    let kind =
        prop_oneof![Just(SpanKind::Unspecified), Just(SpanKind::Server), Just(SpanKind::Client)];
    let span = (key(), "[mn]?", 0..4u64, 0..4u64, 0..4u8, kind, attributes.clone()).prop_map(
        |(key, name, start, end, parent, kind, attributes)| {
            let mut span = Span::new(key.trace_id, key.span_id, name, start);
            (span.end, span.kind, span.attributes) = (end, kind, attributes);
            span.parent = SpanId::new([parent; 8]);
            span
        },
    );
    let batch = (origin.clone(), proptest::collection::vec(span.clone(), 0..3));
    let status = prop_oneof![Just(Status::default()), Just(Status::ok()), Just(Status::error("e"))];
    prop_oneof![
        3 => batch.prop_map(|(origin, spans)| {
            call!(TraceStore, record(Batch { origin: origin.clone(), spans: spans.clone() }))
        }),
        3 => (origin, span).prop_map(|(origin, span)| {
            call!(TraceStore, start(origin.clone(), span.clone()))
        }),
        2 => (key(), 0..5u64, status, attributes.clone()).prop_map(|(key, time, status, attributes)| {
            call!(TraceStore, end(key, time, status.clone(), attributes.clone()))
        }),
        1 => (key(), 0..5u64, attributes.clone()).prop_map(|(key, time, attributes)| {
            let event = SpanEvent { time, attributes, ..SpanEvent::default() };
            call!(TraceStore, add_event(key, event.clone()))
        }),
        1 => (key(), attributes.clone()).prop_map(|(key, attributes)| {
            call!(TraceStore, set_attributes(key, attributes.clone()))
        }),
        1 => (key(), key(), attributes).prop_map(|(key, other, attributes)| {
            let link = SpanLink { trace_id: Some(other.trace_id), attributes, ..SpanLink::default() };
            call!(TraceStore, add_link(key, link.clone()))
        }),
        1 => trace().prop_map(|trace_id| call!(TraceStore, delete_trace(trace_id))),
        1 => (0..5u64).prop_map(|time| call!(TraceStore, delete_before(time))),
    ]
});
