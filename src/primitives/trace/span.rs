//! What a span is: OpenTelemetry's data model, field by field as in its protocol (OTLP 1.x,
//! `opentelemetry/proto/trace/v1/trace.proto`).
//!
//! Invariants:
//!
//! 1. Times are nanoseconds since the Unix epoch, and 0 is a time that is not known, as in OTLP.
//! 2. What a span is *of*, resource and instrumentation scope, stands apart: an [`Origin`], which the
//!    spans of a [`Batch`] share.
//! 3. A span is kept as it was recorded: a child that starts before its parent, an end before the
//!    start and a status without an end stay what they are.

use std::sync::Arc;

use freehold::prelude::*;

use super::any::Attributes;
use super::id::{SpanId, TraceId};

/// One unit of work: when it began and ended, under which span, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
#[non_exhaustive]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its number in the trace.
    pub span_id: SpanId,
    /// The span that caused it; nothing for the first of a trace. It may be one that was never
    /// recorded.
    pub parent: Option<SpanId>,
    /// The `tracestate` of W3C Trace Context, as text.
    pub trace_state: String,
    /// The flags of W3C Trace Context in the lowest 8 bits, OTLP's own above them.
    pub flags: u32,
    /// What was done, such as a route or a function.
    pub name: Arc<str>,
    /// Its part in a call.
    pub kind: SpanKind,
    /// When it began; 0 if that is not known.
    pub start: u64,
    /// When it ended; 0 while it has not, or if that is not known.
    pub end: u64,
    /// What is known of it.
    pub attributes: Attributes,
    /// How many more attributes there were.
    pub dropped_attributes: u32,
    /// What happened in it.
    pub events: Vec<SpanEvent>,
    /// How many more events there were.
    pub dropped_events: u32,
    /// Other spans that it has to do with.
    pub links: Vec<SpanLink>,
    /// How many more links there were.
    pub dropped_links: u32,
    /// Whether it went well.
    pub status: Status,
}

/// A span's part in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified,
    /// Work inside a program.
    Internal,
    /// Answers a call.
    Server,
    /// Calls, and waits for the answer.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// Whether a span went well.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Stored)]
pub struct Status {
    /// Whether it did.
    pub code: StatusCode,
    /// What went wrong.
    pub message: String,
}

/// Whether something went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub enum StatusCode {
    /// Not said.
    #[default]
    Unset,
    /// Said to have gone well.
    Ok,
    /// It failed.
    Error,
}

/// Something that happened in a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Stored)]
pub struct SpanEvent {
    /// When; 0 if that is not known.
    pub time: u64,
    /// What.
    pub name: String,
    /// What is known of it.
    pub attributes: Attributes,
    /// How many more attributes there were.
    pub dropped_attributes: u32,
}

/// Another span that a span has to do with, of this or of another trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Stored)]
pub struct SpanLink {
    /// Its trace; a link may be kept for its attributes alone.
    pub trace_id: Option<TraceId>,
    /// Its number in that trace.
    pub span_id: Option<SpanId>,
    /// The `tracestate` of W3C Trace Context, as text.
    pub trace_state: String,
    /// What is known of the link.
    pub attributes: Attributes,
    /// How many more attributes there were.
    pub dropped_attributes: u32,
    /// As [`Span::flags`], of the other span.
    pub flags: u32,
}

/// What spans are of: a program and a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Stored)]
pub struct Origin {
    /// The program.
    pub resource: Resource,
    /// The part of it that recorded them.
    pub scope: Scope,
}

/// A program, or whatever else spans are recorded of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Stored)]
pub struct Resource {
    /// What is known of it: `service.name` by convention.
    pub attributes: Attributes,
    /// How many more attributes there were.
    pub dropped_attributes: u32,
    /// By which conventions the attributes are named, as a URL.
    pub schema_url: String,
}

/// The part of a program that recorded spans, such as a library.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Stored)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What is known of it.
    pub attributes: Attributes,
    /// How many more attributes there were.
    pub dropped_attributes: u32,
    /// By which conventions the spans' attributes are named, as a URL.
    pub schema_url: String,
}

/// Spans of one origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Stored)]
pub struct Batch {
    /// What they are of.
    pub origin: Origin,
    /// The spans.
    pub spans: Vec<Span>,
}

impl Span {
    /// A span that began at `start`, in nanoseconds since the Unix epoch, and has not ended.
    #[must_use]
    pub fn new(trace_id: TraceId, span_id: SpanId, name: impl Into<Arc<str>>, start: u64) -> Span {
        Span {
            trace_id,
            span_id,
            parent: None,
            trace_state: String::new(),
            flags: 0,
            name: name.into(),
            kind: SpanKind::Unspecified,
            start,
            end: 0,
            attributes: Attributes::new(),
            dropped_attributes: 0,
            events: Vec::new(),
            dropped_events: 0,
            links: Vec::new(),
            dropped_links: 0,
            status: Status::default(),
        }
    }

    /// Whether no end is known: it is running, or nobody said when it ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end == 0
    }

    /// Whether no start is known: its end or a part of it came first, or nobody said when it began.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.start == 0
    }

    /// How long it took, in nanoseconds; nothing if start or end are not known, or if it ended before
    /// it began.
    #[must_use]
    pub fn duration(&self) -> Option<u64> {
        if self.is_incomplete() || self.is_open() { None } else { self.end.checked_sub(self.start) }
    }

    /// Where it stands in time: its start, or its end if no start is known.
    #[must_use]
    pub fn time(&self) -> u64 {
        if self.start == 0 { self.end } else { self.start }
    }

    /// The first attribute, its own or one of an event or link, that is nested too deep.
    pub(super) fn too_deep(&self) -> Option<&str> {
        let events = self.events.iter().map(|event| &event.attributes);
        let links = self.links.iter().map(|link| &link.attributes);
        std::iter::once(&self.attributes).chain(events).chain(links).find_map(Attributes::too_deep)
    }

    /// Whether nothing is known of it that its start would tell: its end or a part of it came first.
    pub(super) fn is_fragment(&self, origin: &Origin) -> bool {
        self.start == 0
            && self.name.is_empty()
            && self.kind == SpanKind::Unspecified
            && self.parent.is_none()
            && *origin == Origin::EMPTY
    }

    /// Takes over what was told of this span before its start was.
    pub(super) fn complete(&mut self, fragment: &Span) {
        for (key, value) in fragment.attributes.iter() {
            self.attributes.set(key, value.clone());
        }
        self.events.extend(fragment.events.iter().cloned());
        self.links.extend(fragment.links.iter().cloned());
        if fragment.end != 0 {
            self.end = fragment.end;
            self.status = fragment.status.clone();
        }
    }
}

impl Origin {
    /// Nothing is known of where spans come from.
    pub const EMPTY: Origin = Origin {
        resource: Resource {
            attributes: Attributes::new(),
            dropped_attributes: 0,
            schema_url: String::new(),
        },
        scope: Scope {
            name: String::new(),
            version: String::new(),
            attributes: Attributes::new(),
            dropped_attributes: 0,
            schema_url: String::new(),
        },
    };

    /// A program by its name, which is the attribute `service.name` of the resource.
    #[must_use]
    pub fn service(name: &str) -> Origin {
        let mut origin = Origin::default();
        origin.resource.attributes.set("service.name", name);
        origin
    }

    /// The text of the resource's attribute `service.name`.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        self.resource.attributes.get("service.name")?.as_text()
    }

    pub(super) fn too_deep(&self) -> Option<&str> {
        self.resource.attributes.too_deep().or_else(|| self.scope.attributes.too_deep())
    }
}

impl Status {
    /// It failed, for this reason.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Status {
        Status { code: StatusCode::Error, message: message.into() }
    }

    /// It is said to have gone well.
    #[must_use]
    pub fn ok() -> Status {
        Status { code: StatusCode::Ok, message: String::new() }
    }
}

impl SpanKind {
    /// Whether it answers or takes what another span sent: the second side of a shared span.
    pub(super) fn is_receiver(self) -> bool {
        matches!(self, SpanKind::Server | SpanKind::Consumer)
    }

    /// Whether it calls or sends.
    pub(super) fn is_sender(self) -> bool {
        matches!(self, SpanKind::Client | SpanKind::Producer)
    }
}
