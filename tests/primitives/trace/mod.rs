//! `TraceStore`.

mod files;
mod formats;
mod model;
mod trees;

use freehold::primitives::trace::{
    AnyValue, Attributes, Batch, Origin, Resource, Span, SpanEvent, SpanId, SpanKey, SpanKind,
    SpanLink, SpanQuery, Status, StatusCode, TraceId,
};
use freehold::primitives::{TraceError, TraceStore};

use crate::machine::Machine;

fn trace_id(id: u8) -> TraceId {
    TraceId::new([id; 16]).unwrap()
}

fn span_id(id: u8) -> SpanId {
    SpanId::new([id; 8]).unwrap()
}

fn key(trace: u8, span: u8, side: u32) -> SpanKey {
    SpanKey { side, ..SpanKey::new(trace_id(trace), span_id(span)) }
}

/// A span that took from `start` to `end`.
fn span(trace: u8, id: u8, parent: u8, start: u64, end: u64) -> Span {
    let mut span = Span::new(trace_id(trace), span_id(id), format!("span {id}"), start);
    span.parent = SpanId::new([parent; 8]);
    span.end = end;
    span
}

fn batch(service: &str, spans: &[Span]) -> Batch {
    Batch { origin: Origin::service(service), spans: spans.to_vec() }
}

fn attributes(pairs: &[(&str, i32)]) -> Attributes {
    pairs.iter().copied().collect()
}

#[test]
fn a_span_is_kept_with_everything_it_has() {
    let mut machine = Machine::new();
    let mut whole = span(1, 2, 3, 100, 200);
    whole.trace_state = "vendor=1".to_owned();
    whole.flags = 0x301;
    whole.kind = SpanKind::Producer;
    whole.attributes = [
        ("bytes", AnyValue::from(&b"\0\xff"[..])),
        ("nan", AnyValue::Double(f64::NAN)),
        ("list", AnyValue::Array(vec![AnyValue::KvList(attributes(&[("k", 1)])), AnyValue::Empty])),
    ]
    .into_iter()
    .collect();
    whole.dropped_attributes = 1;
    whole.events = vec![SpanEvent {
        time: 150,
        name: "e".to_owned(),
        attributes: attributes(&[("a", 1)]),
        dropped_attributes: 2,
    }];
    whole.dropped_events = 3;
    let link = SpanLink {
        trace_id: Some(trace_id(9)),
        trace_state: "x=y".to_owned(),
        attributes: attributes(&[("b", 2)]),
        ..SpanLink::default()
    };
    whole.links = vec![link, SpanLink::default()];
    whole.dropped_links = 4;
    whole.status = Status::error("it broke");
    let mut origin = Origin::service("shop");
    origin.resource.schema_url = "https://opentelemetry.io/schemas/1.4.0".to_owned();
    origin.scope.name = "library".to_owned();
    origin.scope.dropped_attributes = 5;
    let given = Batch { origin: origin.clone(), spans: vec![whole.clone()] };
    let keys = machine.commit(|tx| tx.on::<TraceStore>().record(given.clone()));
    assert_eq!(keys, [key(1, 2, 0)]);
    let view = machine.db.view();
    let kept = view.on::<TraceStore>().get(keys[0]).unwrap();
    assert_eq!((kept.span, kept.origin), (&whole, &origin));
    assert_eq!(kept.duration(), Some(100));
}

#[test]
fn a_batch_recorded_twice_is_recorded_once_and_the_last_one_counts() {
    let mut machine = Machine::new();
    let mut spans = [span(1, 1, 0, 10, 20), span(1, 2, 1, 11, 19)];
    let first = machine.commit(|tx| tx.on::<TraceStore>().record(batch("shop", &spans)));
    let again = machine.commit(|tx| tx.on::<TraceStore>().record(batch("shop", &spans)));
    assert_eq!(first, again);
    spans[0].name = "renamed".into();
    spans[0].start = 5;
    machine.commit(|tx| tx.on::<TraceStore>().record(batch("shop", &spans[..1])));
    let view = machine.db.view();
    let traces = view.on::<TraceStore>();
    assert_eq!(traces.len(), 2);
    let find = |query: &SpanQuery| traces.find(query).map(|span| span.key).collect::<Vec<_>>();
    assert_eq!(find(&SpanQuery::new().name("span 1")), []);
    assert_eq!(find(&SpanQuery::new().name("renamed")), [key(1, 1, 0)]);
    assert_eq!(find(&SpanQuery::new().time(..10)), [key(1, 1, 0)]);
    let nothing = machine.db.transaction(|tx| tx.on::<TraceStore>().record(Batch::default()));
    assert_eq!(nothing.unwrap(), []);
}

#[test]
fn spans_that_share_their_ids_are_sides() {
    let mut machine = Machine::new();
    let side = |kind| {
        let mut span = span(1, 1, 0, 10, 20);
        span.kind = kind;
        span
    };
    let (client, server) = (side(SpanKind::Client), side(SpanKind::Server));
    let keys = machine.commit(|tx| {
        let mut traces = tx.on::<TraceStore>();
        let mut keys = traces.record(batch("front", std::slice::from_ref(&client)))?;
        keys.extend(traces.record(batch("back", &[server.clone(), client.clone()]))?);
        keys.extend(traces.record(batch("back", std::slice::from_ref(&server)))?);
        Ok(keys)
    });
    assert_eq!(keys, [key(1, 1, 0), key(1, 1, 1), key(1, 1, 2), key(1, 1, 1)]);
    // The scope is no part of what a span is.
    let mut other = batch("back", &[server]);
    other.origin.scope.name = "library".to_owned();
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().record(other.clone())), [key(1, 1, 1)]);
    let view = machine.db.view();
    assert_eq!(view.on::<TraceStore>().get(key(1, 1, 1)).unwrap().origin.scope.name, "library");
}

/// A part of a span, as it is told.
type Part = fn(&mut TraceStore);

#[test]
fn the_parts_of_a_span_may_come_in_any_order() {
    let parts: [Part; 5] = [
        |traces| {
            let mut start = span(1, 1, 2, 100, 0);
            start.kind = SpanKind::Server;
            start.attributes = attributes(&[("start", 1), ("both", 1)]);
            traces.start(Origin::service("shop"), start).unwrap();
        },
        |traces| {
            let known = attributes(&[("both", 2), ("end", 2)]);
            assert!(traces.end(key(1, 1, 0), 200, Status::error("late"), known).unwrap());
        },
        |traces| {
            let event = SpanEvent { time: 150, ..SpanEvent::default() };
            traces.add_event(key(1, 1, 0), event).unwrap();
        },
        |traces| traces.set_attributes(key(1, 1, 0), attributes(&[("end", 2)])).unwrap(),
        |traces| traces.add_link(key(1, 1, 0), SpanLink::default()).unwrap(),
    ];
    let mut expected = span(1, 1, 2, 100, 200);
    expected.kind = SpanKind::Server;
    expected.attributes = attributes(&[("start", 1), ("both", 2), ("end", 2)]);
    expected.events = vec![SpanEvent { time: 150, ..SpanEvent::default() }];
    expected.links = vec![SpanLink::default()];
    expected.status = Status::error("late");
    let orders =
        (0..5usize.pow(5)).map(|n| (0..5).map(|at| n / 5usize.pow(at) % 5).collect::<Vec<_>>());
    let orders = orders.filter(|order| (0..5).all(|part| order.contains(&part)));
    let mut count = 0;
    for order in orders {
        let mut traces = TraceStore::default();
        for part in &order {
            parts[*part](&mut traces);
        }
        let kept = traces.get(key(1, 1, 0)).unwrap();
        let mut found = kept.span.clone();
        // What names them is the same, in the order in which it came.
        let names = ["start", "both", "end"];
        found.attributes = names
            .map(|name| (name, found.attributes.get(name).unwrap().clone()))
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{order:?}");
        assert_eq!((kept.origin, traces.len()), (&Origin::service("shop"), 1), "{order:?}");
        count += 1;
    }
    assert_eq!(count, 120);
}

#[test]
fn a_span_without_an_end_is_open_and_one_without_a_start_incomplete() {
    let mut machine = Machine::new();
    let started = machine
        .commit(|tx| tx.on::<TraceStore>().start(Origin::service("shop"), span(1, 1, 0, 100, 0)));
    let ended = machine.commit(|tx| {
        let mut traces = tx.on::<TraceStore>();
        assert!(traces.end(key(1, 2, 0), 150, Status::ok(), Attributes::new())?);
        assert!(!traces.end(key(1, 2, 0), 999, Status::default(), attributes(&[("a", 1)]))?);
        Ok(key(1, 2, 0))
    });
    {
        let view = machine.db.view();
        let traces = view.on::<TraceStore>();
        let (open, incomplete) = (traces.get(started).unwrap(), traces.get(ended).unwrap());
        assert!(open.is_open() && !open.is_incomplete() && open.duration().is_none());
        assert!(!incomplete.is_open() && incomplete.is_incomplete());
        assert_eq!((incomplete.end, incomplete.time(), incomplete.duration()), (150, 150, None));
        assert_eq!(incomplete.status.code, StatusCode::Ok);
        assert!(incomplete.attributes.is_empty(), "the first end counts");
        let found: Vec<_> =
            traces.find(&SpanQuery::new().time(150..)).map(|span| span.key).collect();
        assert_eq!(found, [ended], "it stands at its end");
    }
    // A second start changes nothing, the first one after an end completes.
    let again = machine.commit(|tx| {
        let mut traces = tx.on::<TraceStore>();
        let again = traces.start(Origin::service("shop"), span(1, 1, 0, 7, 0))?;
        assert_eq!(traces.start(Origin::service("shop"), span(1, 2, 1, 120, 0))?, ended);
        Ok(again)
    });
    assert_eq!(again, started);
    let view = machine.db.view();
    let traces = view.on::<TraceStore>();
    assert_eq!(traces.get(started).unwrap().start, 100);
    let complete = traces.get(ended).unwrap();
    assert_eq!((complete.duration(), complete.parent), (Some(30), Some(span_id(1))));
    assert_eq!(complete.origin.service_name(), Some("shop"));
    assert_eq!(traces.summary(trace_id(1)).unwrap().open, 1);
}

#[test]
fn what_cannot_be_recorded_is_refused() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<TraceStore>().record(batch("shop", &[span(1, 1, 0, 10, 20)])));
    let absent = key(1, 1, 1);
    machine.refused(TraceError::Absent { key: absent }, |tx| {
        tx.on::<TraceStore>().end(absent, 5, Status::ok(), Attributes::new())
    });
    machine.refused(TraceError::Absent { key: absent }, |tx| {
        tx.on::<TraceStore>().add_event(absent, SpanEvent::default())
    });
    let known = key(1, 1, 0);
    machine.refused(TraceError::NoEnd { key: known }, |tx| {
        tx.on::<TraceStore>().end(known, 0, Status::ok(), Attributes::new())
    });
    // So deep that what recurses would not come back.
    let deep = (0..10_000).fold(AnyValue::Empty, |inner, _| AnyValue::Array(vec![inner]));
    let deep: Attributes = [("deep", deep)].into_iter().collect();
    let refused = TraceError::TooDeep { name: "deep".into() };
    machine
        .refused(refused.clone(), |tx| tx.on::<TraceStore>().set_attributes(known, deep.clone()));
    machine.refused(refused.clone(), |tx| {
        let mut span = span(1, 2, 0, 10, 20);
        span.events = vec![SpanEvent { attributes: deep.clone(), ..SpanEvent::default() }];
        tx.on::<TraceStore>().record(batch("shop", &[span]))
    });
    machine.refused(refused.clone(), |tx| {
        let resource = Resource { attributes: deep.clone(), ..Resource::default() };
        let origin = Origin { resource, ..Origin::default() };
        tx.on::<TraceStore>().start(origin, span(1, 2, 0, 10, 20))
    });
    assert_eq!(refused.to_string(), "attribute deep: is nested more than 28 deep");
    let text = TraceError::Absent { key: absent }.to_string();
    let (trace, span) = ("01".repeat(16), "01".repeat(8));
    assert_eq!(
        text,
        format!("span {trace}/{span}/1: is not recorded, expected one that is, or side 0")
    );
}

#[test]
fn traces_are_deleted_by_id_and_by_age() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        let mut traces = tx.on::<TraceStore>();
        traces.record(batch("old", &[span(1, 1, 0, 10, 20), span(1, 2, 1, 11, 19)]))?;
        traces.record(batch("long", &[span(2, 1, 0, 10, 100), span(2, 2, 1, 11, 19)]))?;
        traces.record(batch("open", &[span(3, 1, 0, 10, 0)]))?;
        traces.record(batch("new", &[span(4, 1, 0, 200, 300)]))
    });
    let left =
        |machine: &Machine| machine.db.view().on::<TraceStore>().trace_ids().collect::<Vec<_>>();
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().delete_before(20)), 1, "the open one");
    assert_eq!(left(&machine), [1, 2, 4].map(trace_id));
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().delete_before(21)), 1);
    assert_eq!(left(&machine), [2, 4].map(trace_id));
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().delete_trace(trace_id(2))), 2);
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().delete_trace(trace_id(2))), 0);
    assert_eq!(machine.commit(|tx| tx.on::<TraceStore>().delete_before(u64::MAX)), 1);
    let view = machine.db.view();
    let traces = view.on::<TraceStore>();
    assert!(traces.is_empty() && traces.traces().next().is_none());
    // Nothing is left of them, their origins included.
    assert_eq!(*traces, TraceStore::default());
}

#[test]
fn traces_are_listed_newest_first() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        let mut traces = tx.on::<TraceStore>();
        let mut failed = span(2, 2, 9, 300, 400);
        failed.status = Status::error("");
        traces.record(batch("shop", &[span(1, 1, 0, 100, 900), span(3, 1, 0, 200, 0)]))?;
        traces.record(batch("shop", &[span(2, 1, 0, 50, 60), failed]))
    });
    let view = machine.db.view();
    let traces = view.on::<TraceStore>();
    let list: Vec<_> = traces.traces().map(|trace| trace.trace_id).collect();
    assert_eq!(list, [2, 3, 1].map(trace_id));
    let summary = traces.traces().next().unwrap();
    assert_eq!(&*summary.name, "span 1");
    assert_eq!((summary.spans, summary.roots, summary.orphans), (2, 1, 1));
    assert_eq!((summary.open, summary.errors), (0, 1));
    assert_eq!((summary.start, summary.end, summary.duration()), (50, 400, 350));
    assert_eq!(traces.summary(trace_id(3)).unwrap().duration(), 0, "it has not ended");
    assert_eq!(traces.summary(trace_id(9)), None);
}
