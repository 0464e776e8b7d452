//! What OpenTelemetry for JavaScript has in memory, written down as JSON: lists of its
//! `ReadableSpan`s, as tests and recordings of LLM tracing (OpenInference) hold them. Read.
//!
//! Source: `ReadableSpan.ts` of open-telemetry/opentelemetry-js, version 1 and 2.
//!
//! Attributes are plain JSON values: a number with a fraction or an exponent is a double, others are
//! integers, which is as much as JavaScript tells. Times are pairs of seconds and nanoseconds. Kinds are
//! JavaScript's, 0 internal to 4 consumer.

use super::any::Attributes;
use super::format::{Found, Import, Members, Result, TraceFormatError, batches, import};
use super::id::{SpanId, TraceId};
use super::read;
use super::span::{Origin, Scope, Span, SpanEvent, SpanKind, SpanLink, Status, StatusCode};

/// Reads a list of spans.
///
/// # Errors
///
/// As [`TraceFormatError`] says.
///
/// ```
/// use freehold::primitives::trace::otel_js;
///
/// let import = otel_js::parse(r#"[{
///     "name": "ai.generateText", "startTime": [1770131992, 242000000], "endTime": [1770131994, 0],
///     "spanContext": {"traceId": "b3e700af9eab81e19f72f964d62a35af", "spanId": "39d6e9b3ddec9996"},
///     "attributes": {"gen_ai.usage.output_tokens": 20}
/// }]"#)?;
/// let span = &import.batches[0].spans[0];
/// assert_eq!(span.duration(), Some(1_758_000_000));
/// assert_eq!(span.attributes.get("gen_ai.usage.output_tokens"), Some(&20.into()));
/// # Ok::<(), freehold::primitives::trace::TraceFormatError>(())
/// ```
pub fn parse(text: &str) -> Result<Import, TraceFormatError> {
    import(text, |top| {
        if !top.is_list() {
            return top.not_traces("a list of spans");
        }
        Ok(batches(top.list(|found| found.object(span))?))
    })
}

fn span(members: &mut Members<'_>) -> Result<(Origin, Span)> {
    let context = members.needed("spanContext", |found| found.object(context))?;
    let Some((trace_id, span_id)) = context.trace_id.zip(context.span_id) else {
        return members.needed("spanContext", |found| found.wrong("the IDs of a span, not zero"));
    };
    let name = members.or_default("name", read::text)?;
    let start = members.or_default("startTime", time)?;
    let mut span = Span::new(trace_id, span_id, name, start);
    span.trace_state = context.trace_state;
    span.flags = context.flags;
    span.end = members.or_default("endTime", time)?;
    span.kind = members.or_default("kind", kind)?;
    let version_1 = members.or_default("parentSpanId", read::span_id)?;
    let version_2 = members.maybe("parentSpanContext", |found| found.object(self::context))?;
    span.parent = version_2.and_then(|context| context.span_id).or(version_1);
    span.attributes = attributes(members)?;
    span.dropped_attributes = members.or_default("droppedAttributesCount", read::u32)?;
    span.events = members.list("events", |found| found.object(event))?;
    span.dropped_events = members.or_default("droppedEventsCount", read::u32)?;
    span.links = members.list("links", |found| found.object(link))?;
    span.dropped_links = members.or_default("droppedLinksCount", read::u32)?;
    span.status = members.or_default("status", |found| found.object(status))?;
    let mut origin = Origin::default();
    origin.resource.attributes = members.or_default("resource", |found| {
        found.object(|members| members.or_default("attributes", read::plain_attributes))
    })?;
    let version_1 = members.maybe("instrumentationLibrary", |found| found.object(scope))?;
    let version_2 = members.maybe("instrumentationScope", |found| found.object(scope))?;
    origin.scope = version_2.or(version_1).unwrap_or_default();
    // Both follow from the two times.
    members.maybe("ended", read::bool)?;
    members.maybe("duration", time)?;
    Ok((origin, span))
}

#[derive(Default)]
struct Context {
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    flags: u32,
    trace_state: String,
}

fn context(members: &mut Members<'_>) -> Result<Context> {
    members.maybe("isRemote", read::bool)?;
    Ok(Context {
        trace_id: members.needed("traceId", read::trace_id)?,
        span_id: members.needed("spanId", read::span_id)?,
        flags: members.or_default("traceFlags", read::u32)?,
        trace_state: members.or_default("traceState", read::text)?,
    })
}

fn attributes(members: &mut Members<'_>) -> Result<Attributes> {
    members.or_default("attributes", read::plain_attributes)
}

fn event(members: &mut Members<'_>) -> Result<SpanEvent> {
    Ok(SpanEvent {
        time: members.or_default("time", time)?,
        name: members.or_default("name", read::text)?,
        attributes: attributes(members)?,
        dropped_attributes: members.or_default("droppedAttributesCount", read::u32)?,
    })
}

fn link(members: &mut Members<'_>) -> Result<SpanLink> {
    let context = members.or_default("context", |found| found.object(context))?;
    Ok(SpanLink {
        trace_id: context.trace_id,
        span_id: context.span_id,
        trace_state: context.trace_state,
        attributes: attributes(members)?,
        dropped_attributes: members.or_default("droppedAttributesCount", read::u32)?,
        flags: context.flags,
    })
}

fn status(members: &mut Members<'_>) -> Result<Status> {
    let code = members.or_default("code", |found| match read::u64(found) {
        Ok(0) => Ok(StatusCode::Unset),
        Ok(1) => Ok(StatusCode::Ok),
        Ok(2) => Ok(StatusCode::Error),
        _ => found.wrong("0 to 2"),
    })?;
    Ok(Status { code, message: members.or_default("message", read::text)? })
}

fn scope(members: &mut Members<'_>) -> Result<Scope> {
    Ok(Scope {
        name: members.or_default("name", read::text)?,
        version: members.or_default("version", read::text)?,
        schema_url: members.or_default("schemaUrl", read::text)?,
        ..Scope::default()
    })
}

fn kind(found: &Found<'_>) -> Result<SpanKind> {
    match read::u64(found) {
        Ok(0) => Ok(SpanKind::Internal),
        Ok(1) => Ok(SpanKind::Server),
        Ok(2) => Ok(SpanKind::Client),
        Ok(3) => Ok(SpanKind::Producer),
        Ok(4) => Ok(SpanKind::Consumer),
        _ => found.wrong("0 to 4"),
    }
}

/// Seconds and nanoseconds.
fn time(found: &Found<'_>) -> Result<u64> {
    let parts = found.list(read::u64)?;
    let nanos = match parts.as_slice() {
        [seconds, nanos @ 0..1_000_000_000] => {
            seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(*nanos))
        }
        _ => None,
    };
    nanos.map_or_else(|| found.wrong("seconds and nanoseconds, below 2^64 nanoseconds in all"), Ok)
}
