//! OTLP/JSON: OpenTelemetry's own form of traces, read and written.
//!
//! Source: the OTLP specification 1.x, "JSON Protobuf Encoding", and
//! `opentelemetry/proto/trace/v1/trace.proto`.
//!
//! Invariants:
//!
//! 1. What is written is read back as the same batches, doubles to the bit but for NaN, of which the
//!    format has one.
//! 2. Read are IDs in hexadecimal of either case (and in base64, which some exporters write), integers
//!    as numbers or as text, enums as numbers or by name, bytes in either alphabet of base64. Written
//!    are IDs in lower-case hexadecimal, integers of 64 bits as text, enums as numbers, standard base64.
//! 3. What has its default value is not written.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::any::{ANY_VALUE_DEPTH_MAX, AnyValue, Attributes};
use super::format::{Found, Import, Members, Result, TraceFormatError, import};
use super::query::RecordedSpan;
use super::read;
use super::span::{
    Batch, Origin, Resource, Scope, Span, SpanEvent, SpanKind, SpanLink, Status, StatusCode,
};

const TRACES: &str = "resourceSpans";

const KINDS: [(SpanKind, &str); 6] = [
    (SpanKind::Unspecified, "SPAN_KIND_UNSPECIFIED"),
    (SpanKind::Internal, "SPAN_KIND_INTERNAL"),
    (SpanKind::Server, "SPAN_KIND_SERVER"),
    (SpanKind::Client, "SPAN_KIND_CLIENT"),
    (SpanKind::Producer, "SPAN_KIND_PRODUCER"),
    (SpanKind::Consumer, "SPAN_KIND_CONSUMER"),
];

const CODES: [(StatusCode, &str); 3] = [
    (StatusCode::Unset, "STATUS_CODE_UNSET"),
    (StatusCode::Ok, "STATUS_CODE_OK"),
    (StatusCode::Error, "STATUS_CODE_ERROR"),
];

/// Reads traces, such as the body of an export request: one batch for each scope of each resource.
///
/// # Errors
///
/// [`TraceFormatError::NotTraces`] for logs, metrics and anything else that is JSON; otherwise as
/// [`TraceFormatError`] says.
///
/// ```
/// use freehold::primitives::trace::otlp;
///
/// let error = otlp::parse(r#"{"resourceSpans": [{"scopeSpans": [{"spans": [
///     {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee1", "kind": "SERVER"}
/// ]}]}]}"#).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "resourceSpans[0].scopeSpans[0].spans[0].kind: is \"SERVER\", \
///      expected 0 to 5 or SPAN_KIND_UNSPECIFIED to SPAN_KIND_CONSUMER"
/// );
/// ```
pub fn parse(text: &str) -> Result<Import, TraceFormatError> {
    import(text, |top| {
        if !top.has(TRACES) {
            return top.not_traces(TRACES);
        }
        let resources = top.object(|top| top.list(TRACES, resource_spans))?;
        Ok(resources.into_iter().flatten().collect())
    })
}

fn resource_spans(found: &Found<'_>) -> Result<Vec<Batch>> {
    found.object(|members| {
        let mut resource = members.or_default("resource", |found| {
            found.object(|members| {
                Ok(Resource {
                    attributes: attributes(members)?,
                    dropped_attributes: dropped(members)?,
                    schema_url: String::new(),
                })
            })
        })?;
        resource.schema_url = members.or_default("schemaUrl", read::text)?;
        members.list("scopeSpans", |found| {
            found.object(|members| {
                let mut scope = members.or_default("scope", |found| found.object(scope))?;
                scope.schema_url = members.or_default("schemaUrl", read::text)?;
                let spans = members.list("spans", |found| found.object(span))?;
                Ok(Batch { origin: Origin { resource: resource.clone(), scope }, spans })
            })
        })
    })
}

fn scope(members: &mut Members<'_>) -> Result<Scope> {
    Ok(Scope {
        name: members.or_default("name", read::text)?,
        version: members.or_default("version", read::text)?,
        attributes: attributes(members)?,
        dropped_attributes: dropped(members)?,
        schema_url: String::new(),
    })
}

fn span(members: &mut Members<'_>) -> Result<Span> {
    let trace_id = members.needed("traceId", read::some_trace_id)?;
    let span_id = members.needed("spanId", read::some_span_id)?;
    let name = members.or_default("name", read::text)?;
    let start = members.or_default("startTimeUnixNano", read::u64)?;
    let mut span = Span::new(trace_id, span_id, name, start);
    span.parent = members.or_default("parentSpanId", read::span_id)?;
    span.trace_state = members.or_default("traceState", read::text)?;
    span.flags = members.or_default("flags", read::u32)?;
    span.kind = members.or_default("kind", |found| {
        one_of(found, &KINDS, "0 to 5 or SPAN_KIND_UNSPECIFIED to SPAN_KIND_CONSUMER")
    })?;
    span.end = members.or_default("endTimeUnixNano", read::u64)?;
    span.attributes = attributes(members)?;
    span.dropped_attributes = dropped(members)?;
    span.events = members.list("events", |found| found.object(event))?;
    span.dropped_events = members.or_default("droppedEventsCount", read::u32)?;
    span.links = members.list("links", |found| found.object(link))?;
    span.dropped_links = members.or_default("droppedLinksCount", read::u32)?;
    span.status = members.or_default("status", |found| {
        found.object(|members| {
            Ok(Status {
                code: members.or_default("code", |found| {
                    one_of(found, &CODES, "0 to 2 or STATUS_CODE_UNSET, _OK or _ERROR")
                })?,
                message: members.or_default("message", read::text)?,
            })
        })
    })?;
    Ok(span)
}

fn event(members: &mut Members<'_>) -> Result<SpanEvent> {
    Ok(SpanEvent {
        time: members.or_default("timeUnixNano", read::u64)?,
        name: members.or_default("name", read::text)?,
        attributes: attributes(members)?,
        dropped_attributes: dropped(members)?,
    })
}

fn link(members: &mut Members<'_>) -> Result<SpanLink> {
    Ok(SpanLink {
        trace_id: members.or_default("traceId", read::trace_id)?,
        span_id: members.or_default("spanId", read::span_id)?,
        trace_state: members.or_default("traceState", read::text)?,
        attributes: attributes(members)?,
        dropped_attributes: dropped(members)?,
        flags: members.or_default("flags", read::u32)?,
    })
}

fn attributes(members: &mut Members<'_>) -> Result<Attributes> {
    let list = members.list("attributes", |found| key_value(found, ANY_VALUE_DEPTH_MAX))?;
    Ok(list.into_iter().collect())
}

fn dropped(members: &mut Members<'_>) -> Result<u32> {
    members.or_default("droppedAttributesCount", read::u32)
}

fn key_value(found: &Found<'_>, depth: usize) -> Result<(String, AnyValue)> {
    found.object(|members| {
        let key = members.or_default("key", read::text)?;
        Ok((key, members.or_default("value", |found| any_value(found, depth))?))
    })
}

fn any_value(found: &Found<'_>, depth: usize) -> Result<AnyValue> {
    let values = found.object(|members| {
        let text = members.maybe("stringValue", read::text)?.map(AnyValue::Text);
        let is = members.maybe("boolValue", read::bool)?.map(AnyValue::Bool);
        let int = members.maybe("intValue", read::i64)?.map(AnyValue::Int);
        let double = members.maybe("doubleValue", read::f64)?.map(AnyValue::Double);
        let bytes = members.maybe("bytesValue", read::bytes)?;
        let bytes = bytes.map(|bytes| AnyValue::Bytes(bytes.into()));
        let array = members.maybe("arrayValue", |found| {
            let left = found.deeper(depth)?;
            found.object(|members| members.list("values", |found| any_value(found, left)))
        })?;
        let list = members.maybe("kvlistValue", |found| {
            let left = found.deeper(depth)?;
            found.object(|members| members.list("values", |found| key_value(found, left)))
        })?;
        let list = list.map(|list| AnyValue::KvList(list.into_iter().collect()));
        Ok([text, is, int, double, bytes, array.map(AnyValue::Array), list])
    })?;
    let mut values = values.into_iter().flatten();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.unwrap_or_default()),
        (_, Some(_)) => found.wrong("a value of one kind"),
    }
}

fn one_of<T: Copy>(found: &Found<'_>, known: &[(T, &str)], expected: &str) -> Result<T> {
    let number = read::u64(found).ok().and_then(|number| usize::try_from(number).ok());
    let value = match number {
        Some(number) => known.get(number),
        None => found.str().ok().and_then(|text| known.iter().find(|(_, name)| *name == text)),
    };
    value.map_or_else(|| found.wrong(expected), |(value, _)| Ok(*value))
}

/// Writes spans as traces: `otlp::export(traces.iter())` the whole of a store,
/// `otlp::export(traces.trace(trace_id))` one trace.
///
/// Spans of one resource stand together, and of one scope in it. Further sides of spans stand behind
/// all first ones, so that they are numbered the same when they are recorded in this order.
pub fn export<'a>(spans: impl IntoIterator<Item = RecordedSpan<'a>>) -> String {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut numbers: BTreeMap<(u32, &Resource), usize> = BTreeMap::new();
    for RecordedSpan { key, origin, span } in spans {
        let number = *numbers.entry((key.side, &origin.resource)).or_insert_with(|| {
            groups.push(Group { side: key.side, resource: &origin.resource, scopes: Vec::new() });
            groups.len().saturating_sub(1)
        });
        let Some(Group { scopes, .. }) = groups.get_mut(number) else { continue };
        match scopes.iter_mut().find(|(scope, _)| **scope == origin.scope) {
            Some((_, spans)) => spans.push(span),
            None => scopes.push((&origin.scope, vec![span])),
        }
    }
    groups.sort_by_key(|group| group.side);
    let mut out = String::new();
    write_object(&mut out, |object| object.all(TRACES, groups, write_group));
    out
}

/// The spans of a resource that are of the same side.
struct Group<'a> {
    side: u32,
    resource: &'a Resource,
    scopes: Vec<(&'a Scope, Vec<&'a Span>)>,
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    fn member(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        write_text(self.out, name);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_text(self.member(name), text);
        }
    }

    fn number(&mut self, name: &str, number: u32) {
        if number != 0 {
            self.member(name).push_str(&number.to_string());
        }
    }

    /// 64 bits, which are text, since readers of JSON round numbers.
    fn time(&mut self, name: &str, time: u64) {
        if time != 0 {
            write_text(self.member(name), &time.to_string());
        }
    }

    fn id(&mut self, name: &str, id: Option<impl ToString>) {
        if let Some(id) = id {
            write_text(self.member(name), &id.to_string());
        }
    }

    fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        write_object(self.member(name), write);
    }

    /// A list with all the elements, also if there are none.
    fn all<T>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        let out = self.member(name);
        out.push('[');
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_object(out, |object| write(object, element));
        }
        out.push(']');
    }

    /// A list, if it has elements.
    fn some<T>(&mut self, name: &str, elements: &[T], write: impl FnMut(&mut Object<'_>, &T)) {
        if !elements.is_empty() {
            self.all(name, elements, write);
        }
    }

    fn attributes(&mut self, attributes: &Attributes, dropped: u32) {
        if !attributes.is_empty() {
            self.all("attributes", attributes.iter(), write_key_value);
        }
        self.number("droppedAttributesCount", dropped);
    }
}

fn write_object(out: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    write(&mut Object { out, is_empty: true });
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn write_group(object: &mut Object<'_>, group: Group<'_>) {
    let Group { resource, scopes, .. } = group;
    object.object("resource", |object| {
        object.attributes(&resource.attributes, resource.dropped_attributes);
    });
    object.all("scopeSpans", scopes, |object, (scope, spans)| {
        object.object("scope", |object| {
            object.text("name", &scope.name);
            object.text("version", &scope.version);
            object.attributes(&scope.attributes, scope.dropped_attributes);
        });
        object.all("spans", spans, write_span);
        object.text("schemaUrl", &scope.schema_url);
    });
    object.text("schemaUrl", &resource.schema_url);
}

fn write_span(object: &mut Object<'_>, span: &Span) {
    object.id("traceId", Some(span.trace_id));
    object.id("spanId", Some(span.span_id));
    object.text("traceState", &span.trace_state);
    object.id("parentSpanId", span.parent);
    object.number("flags", span.flags);
    object.text("name", &span.name);
    object.number("kind", number_of(span.kind, &KINDS));
    object.time("startTimeUnixNano", span.start);
    object.time("endTimeUnixNano", span.end);
    object.attributes(&span.attributes, span.dropped_attributes);
    object.some("events", &span.events, |object, event| {
        object.time("timeUnixNano", event.time);
        object.text("name", &event.name);
        object.attributes(&event.attributes, event.dropped_attributes);
    });
    object.number("droppedEventsCount", span.dropped_events);
    object.some("links", &span.links, |object, link| {
        object.id("traceId", link.trace_id);
        object.id("spanId", link.span_id);
        object.text("traceState", &link.trace_state);
        object.attributes(&link.attributes, link.dropped_attributes);
        object.number("flags", link.flags);
    });
    object.number("droppedLinksCount", span.dropped_links);
    object.object("status", |object| {
        object.text("message", &span.status.message);
        object.number("code", number_of(span.status.code, &CODES));
    });
}

fn write_key_value(object: &mut Object<'_>, (key, value): (&str, &AnyValue)) {
    object.text("key", key);
    object.object("value", |object| write_value(object, value));
}

/// The one member that a value is. What is recorded is not nested deep, so this may recurse.
fn write_value(object: &mut Object<'_>, value: &AnyValue) {
    match value {
        AnyValue::Empty => {}
        AnyValue::Text(text) => write_text(object.member("stringValue"), text),
        AnyValue::Bool(is) => object.member("boolValue").push_str(&is.to_string()),
        AnyValue::Int(number) => write_text(object.member("intValue"), &number.to_string()),
        AnyValue::Double(number) if number.is_finite() => {
            // The shortest digits that read back as the same.
            object.member("doubleValue").push_str(&format!("{number:?}"));
        }
        AnyValue::Double(number) => {
            let name = match number {
                number if number.is_nan() => "NaN",
                number if number.is_sign_negative() => "-Infinity",
                _ => "Infinity",
            };
            write_text(object.member("doubleValue"), name);
        }
        AnyValue::Bytes(bytes) => write_text(object.member("bytesValue"), &BASE64.encode(bytes)),
        AnyValue::Array(values) => object.object("arrayValue", |object| {
            object.all("values", values, write_value);
        }),
        AnyValue::KvList(list) => object.object("kvlistValue", |object| {
            object.all("values", list.iter(), write_key_value);
        }),
    }
}

fn number_of<T: PartialEq>(value: T, known: &[(T, &str)]) -> u32 {
    (0..).zip(known).find(|(_, (known, _))| *known == value).map_or(0, |(number, _)| number)
}
