//! What the formats allow and what they do not.

use freehold::primitives::TraceStore;
use freehold::primitives::trace::{
    ANY_VALUE_DEPTH_MAX, AnyValue, Attributes, Import, Span, SpanEvent, SpanId, SpanKind, Status,
    StatusCode, TraceFormatError, jaeger, otel_js, otlp, zipkin,
};

use super::{attributes, batch, key, span, span_id};

/// OTLP with this member in its only span.
fn with(member: &str) -> String {
    let ids = format!(r#""traceId": "{}", "spanId": "{}""#, "01".repeat(16), "01".repeat(8));
    format!(r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{{ids}, {member}}}]}}]}}]}}"#)
}

fn only(import: Result<Import, TraceFormatError>) -> Span {
    let import = import.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((import.span_count(), import.unknown), (1, vec![]));
    import.batches[0].spans[0].clone()
}

#[test]
fn otlp_is_read_in_each_of_its_spellings() {
    let read = |member: &str| only(otlp::parse(&with(member)));
    for (text, kind) in [
        ("3", SpanKind::Client),
        (r#""SPAN_KIND_CLIENT""#, SpanKind::Client),
        (r#""5""#, SpanKind::Consumer),
    ] {
        assert_eq!(read(&format!(r#""kind": {text}"#)).kind, kind);
    }
    for text in ["1544712660000000001", r#""1544712660000000001""#] {
        assert_eq!(
            read(&format!(r#""startTimeUnixNano": {text}"#)).start,
            1_544_712_660_000_000_001
        );
    }
    for text in ["0102030405060708", "AQIDBAUGBwg=", "AQIDBAUGBwg"] {
        let parent = read(&format!(r#""parentSpanId": "{text}""#)).parent;
        assert_eq!(parent, SpanId::new([1, 2, 3, 4, 5, 6, 7, 8]), "{text}");
    }
    for text in [r#""""#, r#""0000000000000000""#, "null"] {
        assert_eq!(read(&format!(r#""parentSpanId": {text}"#)).parent, None, "{text}");
    }
    let status = read(r#""status": {"code": "STATUS_CODE_ERROR", "message": "m"}"#).status;
    assert_eq!(status, Status::error("m"));
    assert_eq!(read(r#""status": {"code": 1}"#).status.code, StatusCode::Ok);
    assert_eq!(read(r#""status": null, "attributes": null"#), read(r#""status": {}"#));

    let value = |text: &str| {
        let span = read(&format!(r#""attributes": [{{"key": "k", "value": {text}}}]"#));
        span.attributes.get("k").unwrap().clone()
    };
    assert_eq!(value("{}"), AnyValue::Empty);
    assert_eq!(value(r#"{"intValue": -9223372036854775808}"#), AnyValue::Int(i64::MIN));
    assert_eq!(value(r#"{"intValue": "9223372036854775807"}"#), AnyValue::Int(i64::MAX));
    assert_eq!(value(r#"{"doubleValue": 1}"#), AnyValue::Double(1.0));
    assert_eq!(value(r#"{"doubleValue": "-Infinity"}"#), AnyValue::Double(f64::NEG_INFINITY));
    for text in ["+/8=", "-_8", "+/8"] {
        assert_eq!(
            value(&format!(r#"{{"bytesValue": "{text}"}}"#)),
            AnyValue::from(&[0xfb, 0xff][..])
        );
    }
    assert_eq!(value(r#"{"arrayValue": {}}"#), AnyValue::Array(vec![]));
    assert_eq!(value(r#"{"stringValue": ""}"#), AnyValue::from(""));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let at = "resourceSpans[0].scopeSpans[0].spans[0]";
    for (member, said) in [
        (
            r#""kind": 6"#,
            ".kind: is 6, expected 0 to 5 or SPAN_KIND_UNSPECIFIED to SPAN_KIND_CONSUMER",
        ),
        (
            r#""startTimeUnixNano": -1"#,
            ".startTimeUnixNano: is -1, expected an integer from 0 to 2^64 - 1",
        ),
        (
            r#""startTimeUnixNano": 1.5"#,
            ".startTimeUnixNano: is 1.5, expected an integer from 0 to 2^64 - 1",
        ),
        (
            r#""flags": "4294967296""#,
            ".flags: is \"4294967296\", expected an integer from 0 to 2^32 - 1",
        ),
        (r#""name": ["a"]"#, ".name: is an array of 1, expected text"),
        (r#""spanId": "0""#, ".spanId: is \"0\", expected a span ID that is not zero"),
        (r#""spanId": null"#, ".spanId: is null, expected it to be there"),
        (
            r#""parentSpanId": "xyz""#,
            ".parentSpanId: is \"xyz\", expected at most 16 hexadecimal digits",
        ),
        (r#""events": {}"#, ".events: is an object of 0, expected an array"),
        (
            r#""events": [{}, {"attributes": [{"key": "k", "value": {"intValue": "1.5"}}]}]"#,
            ".events[1].attributes[0].value.intValue: is \"1.5\", expected an integer from -2^63 to 2^63 - 1",
        ),
        (
            r#""attributes": [{"key": "k", "value": {"intValue": 1, "boolValue": true}}]"#,
            ".attributes[0].value: is an object of 2, expected a value of one kind",
        ),
        (r#""links": [{"spanId": 7}]"#, ".links[0].spanId: is 7, expected text"),
    ] {
        let error = otlp::parse(&with(member)).unwrap_err().to_string();
        assert_eq!(error, format!("{at}{said}"));
    }
    let long = with(&format!(r#""kind": "{}""#, "é".repeat(100)));
    let error = otlp::parse(&long).unwrap_err().to_string();
    assert!(error.contains(&format!(": is \"{}…, expected", "é".repeat(59))), "{error}");
    let error = otlp::parse("{\"resourceSpans\": [}").unwrap_err().to_string();
    assert_eq!(error, "line 1, column 20: expected value");
    let error = otlp::parse("{}").unwrap_err().to_string();
    assert_eq!(error, "the text: has no members, expected resourceSpans");
}

#[test]
fn members_that_a_format_does_not_have_are_named() {
    let text = with(
        r#""colour": 1, "attributes": [{"key": "k", "value": {"newValue": 1}}], "none": null"#,
    );
    let unknown = otlp::parse(&text).unwrap().unknown;
    let at = "resourceSpans[0].scopeSpans[0].spans[0]";
    assert_eq!(unknown, [format!("{at}.attributes[0].value.newValue"), format!("{at}.colour")]);
    let unknown = zipkin::parse(r#"[{"traceId": "1", "id": "2", "colour": 1}]"#).unwrap().unknown;
    assert_eq!(unknown, ["[0].colour"]);
}

#[test]
fn every_value_that_can_be_recorded_comes_back_from_its_export() {
    let deep = (0..ANY_VALUE_DEPTH_MAX)
        .fold(AnyValue::Empty, |inner, _| AnyValue::KvList([("k", inner)].into_iter().collect()));
    let values: Attributes = [
        ("deep", deep),
        ("text", AnyValue::from("\u{0}\"\\\n\u{2028}é😀")),
        ("", AnyValue::from("")),
        ("int", AnyValue::Int(i64::MIN)),
        ("whole", AnyValue::Double(1.0)),
        ("zero", AnyValue::Double(-0.0)),
        ("small", AnyValue::Double(5e-324)),
        ("large", AnyValue::Double(f64::MAX)),
        ("third", AnyValue::Double(1.0 / 3.0)),
        ("nan", AnyValue::Double(f64::NAN)),
        ("infinite", AnyValue::Double(f64::NEG_INFINITY)),
        ("bytes", AnyValue::from(&b"\xff\xfe\x00"[..])),
        ("empty", AnyValue::Array(vec![AnyValue::Empty, AnyValue::KvList(Attributes::new())])),
        ("empty", AnyValue::Empty),
    ]
    .into_iter()
    .collect();
    let mut given = span(1, 1, 2, u64::MAX, u64::MAX);
    given.events = vec![SpanEvent { attributes: values.clone(), ..SpanEvent::default() }];
    given.attributes = values;
    let mut traces = TraceStore::default();
    traces.record(batch("shop", &[given])).unwrap();
    let exported = otlp::export(traces.iter());
    let mut others = TraceStore::default();
    others.record(otlp::parse(&exported).unwrap().batches.remove(0)).unwrap();
    assert_eq!(others, traces);

    // One deeper is refused with the place, not read and then refused.
    let deeper = exported.replacen(
        r#"{"key":"k","value":{}}"#,
        r#"{"key":"k","value":{"arrayValue":{}}}"#,
        1,
    );
    let error = otlp::parse(&deeper).unwrap_err().to_string();
    assert!(
        error.ends_with("arrayValue: is an object of 0, expected lists nested at most 28 deep"),
        "{error}"
    );
}

#[test]
fn sides_are_numbered_the_same_after_an_export() {
    let mut traces = TraceStore::default();
    // By name "a" comes first, and by side "b" for one span and "a" for the other.
    traces.record(batch("b", &[span(1, 2, 0, 10, 20)])).unwrap();
    traces.record(batch("a", &[span(1, 1, 0, 10, 20), span(1, 2, 0, 10, 20)])).unwrap();
    traces.record(batch("b", &[span(1, 1, 0, 10, 20)])).unwrap();
    let mut others = TraceStore::default();
    for batch in otlp::parse(&otlp::export(traces.iter().rev())).unwrap().batches {
        others.record(batch).unwrap();
    }
    assert!(others.iter().eq(traces.iter()));
    assert_eq!(others.get(key(1, 2, 0)).unwrap().origin.service_name(), Some("b"));
}

#[test]
fn zipkin_is_read_with_all_its_members() {
    let text = r#"[[{"traceId": "463ac35c9f6413ad48485a3953bb6124", "id": "a2fb4a1d1a96d312",
        "parentId": "0020000000000001", "kind": "PRODUCER", "name": "send", "timestamp": 10, "duration": 3,
        "localEndpoint": {"serviceName": "a", "ipv4": "10.0.0.1", "ipv6": "::1", "port": 80},
        "remoteEndpoint": {"serviceName": "b", "ipv6": "::2", "port": 81},
        "annotations": [{"timestamp": 11, "value": "ws"}], "tags": {"z": "1", "error": "it broke"},
        "debug": true, "shared": false}], []]"#;
    let import = zipkin::parse(text).unwrap();
    let resource = &import.batches[0].origin.resource.attributes;
    let texts = |list: &Attributes| {
        list.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(resource),
        [
            r#"service.name=Text("a")"#,
            r#"net.host.ip=Text("10.0.0.1")"#,
            r#"net.host.ipv6=Text("::1")"#,
            "net.host.port=Int(80)",
        ]
    );
    let span = only(Ok(import));
    assert_eq!(
        texts(&span.attributes),
        [
            r#"error=Text("it broke")"#,
            r#"z=Text("1")"#,
            r#"peer.service=Text("b")"#,
            r#"net.peer.ip=Text("::2")"#,
            "net.peer.port=Int(81)",
            "zipkin.debug=Bool(true)",
        ]
    );
    assert_eq!((span.start, span.end, span.kind), (10_000, 13_000, SpanKind::Producer));
    assert_eq!(
        span.events,
        [SpanEvent { time: 11_000, name: "ws".to_owned(), ..SpanEvent::default() }]
    );
    assert_eq!(span.status, Status::error("it broke"));
    let timeless = only(zipkin::parse(r#"[{"traceId": "1", "id": "2", "duration": 5}]"#));
    assert_eq!(timeless.attributes, attributes(&[("zipkin.duration_us", 5)]));
    assert!(timeless.is_open() && timeless.is_incomplete());
    let error = zipkin::parse(r#"[{"traceId": "1", "id": "2", "timestamp": 18446744073709552}]"#);
    assert_eq!(
        error.unwrap_err().to_string(),
        "[0].timestamp: is 18446744073709552, expected microseconds whose nanoseconds are below 2^64"
    );
}

#[test]
fn jaeger_is_read_with_all_its_members() {
    let text = r#"{"traceID": "trace-123", "spanID": "span-1", "parentSpanID": "", "flags": 1,
        "operationName": "op", "startTime": 10, "startTimeMillis": 0, "duration": 3,
        "references": [
            {"refType": "FOLLOWS_FROM", "traceID": "trace-123", "spanID": "span-0"},
            {"refType": "CHILD_OF", "traceID": "ff", "spanID": "ee"},
            {"refType": "CHILD_OF", "traceID": "trace-123", "spanID": "span-2_1"}],
        "tags": [{"key": "span.kind", "type": "string", "value": "new"},
            {"key": "error", "type": "bool", "value": "true"},
            {"key": "i", "type": "int64", "value": "-7"}, {"key": "f", "type": "float64", "value": 0.5},
            {"key": "b", "type": "binary", "value": "AAAwOQ=="}, {"key": "u", "value": 7}],
        "logs": [{"timestamp": 11, "fields": [
            {"key": "event", "type": "string", "value": "retry"}, {"key": "n", "type": "int64", "value": 2}]}],
        "warnings": ["clock skew"], "process": {"serviceName": "shop", "tags": []}}"#;
    let import = jaeger::parse(text).unwrap();
    assert_eq!(import.batches[0].origin.service_name(), Some("shop"));
    let span = only(Ok(import));
    assert_eq!(span.trace_id.to_string(), "0000000000000074726163652d313233");
    assert_eq!(span.parent.map(|id| id.bytes()), Some(*b"span-2_1"));
    assert_eq!((span.start, span.end, span.flags), (10_000, 13_000, 1));
    assert_eq!(span.status.code, StatusCode::Error);
    let expected: Attributes = [
        ("span.kind", AnyValue::from("new")),
        ("i", AnyValue::Int(-7)),
        ("f", AnyValue::Double(0.5)),
        ("b", AnyValue::from(&[0, 0, 0x30, 0x39][..])),
        ("u", AnyValue::Int(7)),
        ("jaeger.warnings", AnyValue::Array(vec!["clock skew".into()])),
    ]
    .into_iter()
    .collect();
    assert_eq!(span.attributes, expected);
    let event = SpanEvent {
        time: 11_000,
        name: "retry".to_owned(),
        attributes: attributes(&[("n", 2)]),
        ..SpanEvent::default()
    };
    assert_eq!(span.events, [event]);
    let links: Vec<_> = span
        .links
        .iter()
        .map(|link| (link.span_id, link.attributes.get("opentracing.ref_type")))
        .collect();
    let (follows, child) = (AnyValue::from("follows_from"), AnyValue::from("child_of"));
    let bytes = |text: &[u8]| {
        let mut id = [0; 8];
        id[8 - text.len()..].copy_from_slice(text);
        SpanId::new(id)
    };
    assert_eq!(links, [(bytes(b"span-0"), Some(&follows)), (bytes(&[0xee]), Some(&child))]);

    let trace = |span: &str| format!(r#"{{"data": [{{"processes": {{}}, "spans": [{span}]}}]}}"#);
    let error = jaeger::parse(&trace(r#"{"traceID": "1", "spanID": "2", "processID": "p1"}"#));
    let said = "data[0].spans[0].processID: is \"p1\", expected one of the processes";
    assert_eq!(error.unwrap_err().to_string(), said);
    let error = jaeger::parse(&trace(r#"{"traceID": "1", "spanID": "a word that is too long"}"#));
    let said = "data[0].spans[0].spanID: is \"a word that is too long\", expected at most 16 hexadecimal digits";
    assert_eq!(error.unwrap_err().to_string(), said);
}

#[test]
fn spans_of_javascript_are_read_with_all_their_members() {
    let context = r#"{"traceId": "463ac35c9f6413ad48485a3953bb6124", "spanId": "a2fb4a1d1a96d312",
        "traceFlags": 1, "isRemote": false}"#;
    let text = format!(
        r#"[{{"name": "n", "kind": 0, "spanContext": {context}, "parentSpanContext": {{"traceId": "1",
        "spanId": "0101010101010101"}}, "startTime": [1, 5], "endTime": [2, 0], "status": {{"code": 2,
        "message": "m"}}, "attributes": {{"z": [1, 1.0], "a": {{"b": null}}}}, "links": [{{"context":
        {context}}}], "events": [{{"name": "e", "time": [1, 6], "droppedAttributesCount": 1}}],
        "duration": [0, 999999995], "ended": true, "resource": {{"attributes": {{"service.name": "s"}}}},
        "instrumentationScope": {{"name": "lib", "version": "1"}}, "droppedLinksCount": 3}}]"#
    );
    let import = otel_js::parse(&text).unwrap();
    let origin = &import.batches[0].origin;
    assert_eq!((origin.service_name(), origin.scope.name.as_str()), (Some("s"), "lib"));
    let span = only(Ok(import));
    assert_eq!(
        (span.start, span.end, span.kind),
        (1_000_000_005, 2_000_000_000, SpanKind::Internal)
    );
    assert_eq!((span.parent, span.flags, span.dropped_links), (Some(span_id(1)), 1, 3));
    assert_eq!((span.links[0].span_id, span.links[0].flags), (Some(span.span_id), 1));
    assert_eq!((span.events[0].time, span.events[0].dropped_attributes), (1_000_000_006, 1));
    assert_eq!(span.status, Status::error("m"));
    let inner: Attributes = [("b", AnyValue::Empty)].into_iter().collect();
    let list = AnyValue::Array(vec![AnyValue::Int(1), AnyValue::Double(1.0)]);
    let expected = [("a", AnyValue::KvList(inner)), ("z", list)].into_iter().collect();
    assert_eq!(span.attributes, expected);
    let error = otel_js::parse(&text.replace("[1, 5]", "[1, 1000000000]")).unwrap_err().to_string();
    let said = "[0].startTime: is an array of 2, expected seconds and nanoseconds, below 2^64 nanoseconds in all";
    assert_eq!(error, said);
}

#[test]
fn cut_and_damaged_text_is_an_error_and_no_panic() {
    let text = with(
        r#""events": [{"attributes": [{"key": "k", "value": {"kvlistValue": {"values": []}}}]}]"#,
    );
    for parse in [otlp::parse, zipkin::parse, jaeger::parse, otel_js::parse] {
        for end in 0..text.len() {
            assert!(parse(&text[..end]).is_err());
        }
        for at in 0..text.len() {
            for letter in ["0", "\"", "[", "}", "null", "é"] {
                let mut damaged = text.clone();
                damaged.replace_range(at..=at, letter);
                let _ = parse(&damaged);
            }
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
