//! Jaeger JSON, read: what its query service gives and its user interface saves, and the documents of
//! its storage, which have a span's process in place.
//!
//! Source: `model/json/model.go` of jaegertracing/jaeger.
//!
//! | Jaeger | here |
//! |---|---|
//! | `traceID`, `spanID` | the IDs, with zeros in front where they are shorter |
//! | `references` | the first `CHILD_OF` in the same trace, or else the first `FOLLOWS_FROM`, is the parent; others, and a parent that is followed from, are links with the attribute `opentracing.ref_type` |
//! | `operationName`, `flags` | name and flags |
//! | `startTime`, `duration` in µs | start and end |
//! | `tags` | attributes; `span.kind` and a true `error` become kind and status instead |
//! | `logs` | events, named by their field `event` |
//! | `process`, `processes` | resource: `service.name`, and tags as attributes |
//! | `warnings` | attribute `jaeger.warnings` |
//!
//! IDs in examples are words. One that is not hexadecimal is taken as its bytes, with zeros in front,
//! if they fit: `span-1` is 00007370616e2d31.

use std::collections::BTreeMap;

use super::any::{AnyValue, Attributes};
use super::format::{Found, Import, Members, Result, TraceFormatError, batches, import};
use super::id::{SpanId, TraceId};
use super::read;
use super::span::{Origin, Span, SpanEvent, SpanKind, SpanLink, StatusCode};

/// Reads a trace, several under `data`, or a span of the storage.
///
/// # Errors
///
/// As [`TraceFormatError`] says.
///
/// ```
/// use freehold::primitives::trace::jaeger;
///
/// let import = jaeger::parse(r#"{"data": [{"processes": {"p1": {"serviceName": "shop"}}, "spans": [
///     {"traceID": "7a", "spanID": "b", "operationName": "sell", "processID": "p1",
///      "startTime": 1542666452979000, "duration": 390000,
///      "references": [{"refType": "CHILD_OF", "traceID": "7a", "spanID": "c"}],
///      "tags": [{"key": "span.kind", "type": "string", "value": "server"}]}
/// ]}]}"#)?;
/// let span = &import.batches[0].spans[0];
/// assert_eq!(span.parent, Some("000000000000000c".parse().unwrap()));
/// assert_eq!(span.duration(), Some(390_000_000));
/// # Ok::<(), freehold::primitives::trace::TraceFormatError>(())
/// ```
pub fn parse(text: &str) -> Result<Import, TraceFormatError> {
    import(text, |top| {
        let spans = if top.has("data") {
            top.object(|members| members.list("data", trace))?.into_iter().flatten().collect()
        } else if top.has("spans") {
            trace(top)?
        } else if top.has("spanID") {
            vec![span(top, &BTreeMap::new())?]
        } else {
            return top.not_traces("data, spans or spanID");
        };
        Ok(batches(spans))
    })
}

fn trace(found: &Found<'_>) -> Result<Vec<(Origin, Span)>> {
    found.object(|members| {
        members.maybe("traceID", trace_id)?;
        let processes = members.or_default("processes", |found| found.map(process))?;
        let processes = processes.into_iter().collect();
        members.list("spans", |found| span(found, &processes))
    })
}

fn process(found: &Found<'_>) -> Result<Origin> {
    found.object(|members| {
        let mut origin = Origin::default();
        if let Some(name) = members.maybe("serviceName", read::text)? {
            origin.resource.attributes.push("service.name", name);
        }
        for (key, value) in members.list("tags", tag)? {
            origin.resource.attributes.push(key, value);
        }
        Ok(origin)
    })
}

fn span(found: &Found<'_>, processes: &BTreeMap<String, Origin>) -> Result<(Origin, Span)> {
    found.object(|members| {
        let trace_id = members.needed("traceID", trace_id)?;
        let span_id = members.needed("spanID", span_id)?;
        let name = members.or_default("operationName", read::text)?;
        let start = members.or_default("startTime", read::micros)?;
        let mut span = Span::new(trace_id, span_id, name, start);
        span.end = members.or_default("duration", |found| {
            let end = start.checked_add(read::micros(found)?);
            end.map_or_else(|| found.wrong("a duration that ends before 2^64 nanoseconds"), Ok)
        })?;
        // Beside `startTime`, for the sake of an index.
        members.maybe("startTimeMillis", read::u64)?;
        span.flags = members.or_default("flags", read::u32)?;
        let references = members.list("references", |found| found.object(reference))?;
        (span.parent, span.links) = parent_and_links(trace_id, references);
        span.parent = members.maybe("parentSpanID", parent)?.flatten().or(span.parent);
        for (key, value) in members.list("tags", tag)? {
            match (key.as_str(), value.as_text().and_then(kind)) {
                ("span.kind", Some(kind)) => span.kind = kind,
                ("error", _) if value == AnyValue::Bool(true) => {
                    span.status.code = StatusCode::Error
                }
                _ => span.attributes.push(key, value),
            }
        }
        span.events = members.list("logs", |found| found.object(log))?;
        let warnings = members.list("warnings", read::text)?;
        if !warnings.is_empty() {
            let warnings = warnings.into_iter().map(AnyValue::Text).collect();
            span.attributes.push("jaeger.warnings", AnyValue::Array(warnings));
        }
        let own = members.maybe("process", process)?;
        let shared = members.maybe("processID", |found| match processes.get(found.str()?) {
            Some(origin) => Ok(origin.clone()),
            None if own.is_some() => Ok(Origin::default()),
            None => found.wrong("one of the processes"),
        })?;
        Ok((own.or(shared).unwrap_or_default(), span))
    })
}

struct Reference {
    follows: bool,
    trace_id: TraceId,
    span_id: SpanId,
}

fn reference(members: &mut Members<'_>) -> Result<Reference> {
    Ok(Reference {
        follows: members.needed("refType", |found| match found.str()? {
            "CHILD_OF" => Ok(false),
            "FOLLOWS_FROM" => Ok(true),
            _ => found.wrong("CHILD_OF or FOLLOWS_FROM"),
        })?,
        trace_id: members.needed("traceID", trace_id)?,
        span_id: members.needed("spanID", span_id)?,
    })
}

fn parent_and_links(
    trace_id: TraceId,
    references: Vec<Reference>,
) -> (Option<SpanId>, Vec<SpanLink>) {
    let first = |follows: bool| {
        references.iter().position(|one| one.trace_id == trace_id && one.follows == follows)
    };
    let caused = first(false);
    let parent = caused.or_else(|| first(true)).and_then(|index| references.get(index));
    let parent = parent.map(|reference| reference.span_id);
    let others = references.iter().enumerate().filter(|(index, _)| Some(*index) != caused);
    let link = |(_, reference): (usize, &Reference)| SpanLink {
        trace_id: Some(reference.trace_id),
        span_id: Some(reference.span_id),
        attributes: {
            let kind = if reference.follows { "follows_from" } else { "child_of" };
            [("opentracing.ref_type", kind)].into_iter().collect()
        },
        ..SpanLink::default()
    };
    (parent, others.map(link).collect())
}

fn log(members: &mut Members<'_>) -> Result<SpanEvent> {
    let mut event =
        SpanEvent { time: members.or_default("timestamp", read::micros)?, ..SpanEvent::default() };
    let mut attributes = Attributes::new();
    for (key, value) in members.list("fields", tag)? {
        match value {
            AnyValue::Text(name) if key == "event" && event.name.is_empty() => event.name = name,
            value => attributes.push(key, value),
        }
    }
    event.attributes = attributes;
    Ok(event)
}

/// A tag. Values are typed, and may be text nevertheless.
fn tag(found: &Found<'_>) -> Result<(String, AnyValue)> {
    found.object(|members| {
        let key = members.needed("key", read::text)?;
        let kind = members.or_default("type", read::text)?;
        let value = members.or_default("value", |found| {
            Ok(match kind.to_ascii_lowercase().as_str() {
                "bool" => AnyValue::Bool(read::bool(found)?),
                "int64" => AnyValue::Int(read::i64(found)?),
                "float64" => AnyValue::Double(read::f64(found)?),
                "binary" => AnyValue::Bytes(read::bytes(found)?.into()),
                "string" => AnyValue::Text(read::text(found)?),
                _ => read::plain_value(found, 0)?,
            })
        })?;
        Ok((key, value))
    })
}

fn kind(text: &str) -> Option<SpanKind> {
    match text {
        "internal" => Some(SpanKind::Internal),
        "server" => Some(SpanKind::Server),
        "client" => Some(SpanKind::Client),
        "producer" => Some(SpanKind::Producer),
        "consumer" => Some(SpanKind::Consumer),
        _ => None,
    }
}

fn trace_id(found: &Found<'_>) -> Result<TraceId> {
    match word(found)?.and_then(TraceId::new) {
        Some(id) => Ok(id),
        None => read::some_trace_id(found),
    }
}

fn span_id(found: &Found<'_>) -> Result<SpanId> {
    match word(found)?.and_then(SpanId::new) {
        Some(id) => Ok(id),
        None => read::some_span_id(found),
    }
}

/// The parent's ID, which the storage leaves empty or zero at a root.
fn parent(found: &Found<'_>) -> Result<Option<SpanId>> {
    match word(found)? {
        Some(bytes) => Ok(SpanId::new(bytes)),
        None => read::span_id(found),
    }
}

/// The bytes of an ID that is a word, not hexadecimal, and fits.
fn word<const N: usize>(found: &Found<'_>) -> Result<Option<[u8; N]>> {
    let text = found.str()?.as_bytes();
    let mut bytes = [0; N];
    let is_word = !text.iter().all(u8::is_ascii_hexdigit);
    let room = N.checked_sub(text.len()).and_then(|start| bytes.get_mut(start..));
    Ok(room.filter(|_| is_word).map(|room| room.copy_from_slice(text)).map(|()| bytes))
}
