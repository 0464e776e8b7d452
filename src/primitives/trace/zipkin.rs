//! Zipkin v2 JSON, read.
//!
//! Source: `zipkin2-api.yaml` of openzipkin/zipkin-api; the names are those that OpenTelemetry gives
//! its spans for Zipkin ("OpenTelemetry to Zipkin", legacy network attributes included).
//!
//! | Zipkin | here |
//! |---|---|
//! | `traceId`, `id`, `parentId` | the IDs, with zeros in front where they are shorter |
//! | `kind`, `name` | kind and name |
//! | `timestamp`, `duration` in µs | start and end; a duration without a timestamp: attribute `zipkin.duration_us` |
//! | `localEndpoint` | resource attributes `service.name`, `net.host.ip` (of two, the IPv4), `net.host.ipv6`, `net.host.port` |
//! | `remoteEndpoint` | attributes `peer.service`, `net.peer.ip`, `net.peer.ipv6`, `net.peer.port` |
//! | `tags` | attributes of text, in the order of their names; the tag `error` also makes the status an error with that message |
//! | `annotations` | events without attributes |
//! | `shared`, `debug` | attributes `zipkin.shared`, `zipkin.debug`, if they are true |
//!
//! Client and server of a call share an ID there. They have different kinds and resources, so here they
//! are two sides of one span, and the server stands under the client in the tree.

use super::any::Attributes;
use super::format::{Found, Import, Members, Result, TraceFormatError, batches, import};
use super::read;
use super::span::{Origin, Span, SpanEvent, SpanKind, Status};

/// Reads a list of spans, as `GET /api/v2/trace/…` gives it, or a list of traces, as
/// `GET /api/v2/traces` does.
///
/// # Errors
///
/// As [`TraceFormatError`] says.
///
/// ```
/// use freehold::primitives::trace::zipkin;
///
/// let import = zipkin::parse(r#"[
///     {"traceId": "1e223ff1f80f1c69", "id": "bf396325699c84bf", "name": "get", "kind": "SERVER",
///      "timestamp": 1470150004071068, "duration": 99411, "localEndpoint": {"serviceName": "a"}}
/// ]"#)?;
/// let batch = &import.batches[0];
/// assert_eq!(batch.origin.service_name(), Some("a"));
/// assert_eq!(batch.spans[0].trace_id.to_string(), "00000000000000001e223ff1f80f1c69");
/// assert_eq!(batch.spans[0].duration(), Some(99_411_000));
/// # Ok::<(), freehold::primitives::trace::TraceFormatError>(())
/// ```
pub fn parse(text: &str) -> Result<Import, TraceFormatError> {
    import(text, |top| {
        if !top.is_list() {
            return top.not_traces("a list of spans");
        }
        let spans =
            top.list(
                |found| {
                    if found.is_list() { found.list(span) } else { Ok(vec![span(found)?]) }
                },
            )?;
        Ok(batches(spans.into_iter().flatten().collect()))
    })
}

fn span(found: &Found<'_>) -> Result<(Origin, Span)> {
    found.object(|members| {
        let trace_id = members.needed("traceId", read::some_trace_id)?;
        let span_id = members.needed("id", read::some_span_id)?;
        let name = members.or_default("name", read::text)?;
        let start = members.or_default("timestamp", read::micros)?;
        let mut span = Span::new(trace_id, span_id, name, start);
        span.parent = members.or_default("parentId", read::span_id)?;
        span.kind = members.or_default("kind", kind)?;
        let tags = members.or_default("tags", |found| found.map(read::text))?;
        span.attributes = tags.into_iter().collect();
        if let Some(message) = span.attributes.get("error") {
            span.status = Status::error(message.as_text().unwrap_or_default());
        }
        let attributes = &mut span.attributes;
        members.maybe("remoteEndpoint", |found| endpoint(found, attributes, &PEER))?;
        for (name, key) in [("shared", "zipkin.shared"), ("debug", "zipkin.debug")] {
            if members.or_default(name, read::bool)? {
                attributes.push(key, true);
            }
        }
        if let Some(duration) =
            members.maybe("duration", |found| Ok((read::micros(found)?, read::i64(found)?)))?
        {
            match (start, start.checked_add(duration.0)) {
                (1.., Some(end)) => span.end = end,
                _ => attributes.push("zipkin.duration_us", duration.1),
            }
        }
        span.events = members.list("annotations", |found| found.object(annotation))?;
        let mut origin = Origin::default();
        let attributes = &mut origin.resource.attributes;
        members.maybe("localEndpoint", |found| endpoint(found, attributes, &HOST))?;
        Ok((origin, span))
    })
}

fn annotation(members: &mut Members<'_>) -> Result<SpanEvent> {
    Ok(SpanEvent {
        time: members.or_default("timestamp", read::micros)?,
        name: members.or_default("value", read::text)?,
        ..SpanEvent::default()
    })
}

const HOST: [&str; 4] = ["service.name", "net.host.ip", "net.host.ipv6", "net.host.port"];
const PEER: [&str; 4] = ["peer.service", "net.peer.ip", "net.peer.ipv6", "net.peer.port"];

/// Name and addresses of an endpoint, as attributes with these keys.
fn endpoint(found: &Found<'_>, to: &mut Attributes, keys: &[&str; 4]) -> Result<()> {
    let [service, ip, ipv6, port] = *keys;
    found.object(|members| {
        if let Some(name) = members.maybe("serviceName", read::text)? {
            to.push(service, name);
        }
        let ipv4 = members.maybe("ipv4", read::text)?;
        let key = if ipv4.is_some() { ipv6 } else { ip };
        if let Some(address) = ipv4 {
            to.push(ip, address);
        }
        if let Some(address) = members.maybe("ipv6", read::text)? {
            to.push(key, address);
        }
        if let Some(number) = members.maybe("port", read::i64)? {
            to.push(port, number);
        }
        Ok(())
    })
}

fn kind(found: &Found<'_>) -> Result<SpanKind> {
    match found.str()? {
        "CLIENT" => Ok(SpanKind::Client),
        "SERVER" => Ok(SpanKind::Server),
        "PRODUCER" => Ok(SpanKind::Producer),
        "CONSUMER" => Ok(SpanKind::Consumer),
        _ => found.wrong("CLIENT, SERVER, PRODUCER or CONSUMER"),
    }
}
