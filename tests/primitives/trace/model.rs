//! A store against what its history says: a plain list of spans, searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use freehold::prelude::*;
use freehold::primitives::TraceStore;
use freehold::primitives::trace::{
    Attributes, Batch, Origin, Span, SpanEvent, SpanKey, SpanKind, SpanLink, SpanQuery, Status,
    otlp,
};
use freehold::testing::Random;

use super::{attributes, span, trace_id};
use crate::machine::Machine;

/// The spans by their keys.
type Model = BTreeMap<SpanKey, (Origin, Span)>;

fn origin(random: &mut Random) -> Origin {
    match random.below(4) {
        0 => Origin::EMPTY,
        1 => Origin::service("a"),
        2 => {
            let mut origin = Origin::service("a");
            origin.scope.name = "library".to_owned();
            origin
        }
        _ => Origin::service("b"),
    }
}

fn any_span(random: &mut Random) -> Span {
    let mut byte = |bound: u64| u8::try_from(random.below(bound)).unwrap();
    let (trace, id, parent, name) = (byte(3) + 1, byte(5) + 1, byte(6), byte(3));
    let mut span = span(trace, id, parent, random.below(30), random.below(40));
    span.name = ["", "get", "put"][usize::from(name)].into();
    span.kind =
        [SpanKind::Unspecified, SpanKind::Client, SpanKind::Server][random.below(3) as usize];
    span.attributes = known(random);
    span
}

fn known(random: &mut Random) -> Attributes {
    let number = i32::try_from(random.below(3)).unwrap();
    if random.one_in(2) { Attributes::new() } else { attributes(&[("n", number)]) }
}

fn is_part_only((origin, span): &(Origin, Span)) -> bool {
    span.start == 0
        && span.name.is_empty()
        && span.kind == SpanKind::Unspecified
        && span.parent.is_none()
        && *origin == Origin::EMPTY
}

/// Which of the spans with the same IDs it is.
fn place(model: &Model, origin: &Origin, span: &Span) -> SpanKey {
    let sides: Vec<_> = model
        .iter()
        .filter(|(key, _)| (key.trace_id, key.span_id) == (span.trace_id, span.span_id))
        .collect();
    let same = sides.iter().find(|(_, (known_origin, known))| {
        known.kind == span.kind && known_origin.resource == origin.resource
    });
    let part = sides.iter().find(|(_, known)| is_part_only(known));
    match same.or(part) {
        Some((key, _)) => **key,
        None => SpanKey {
            side: u32::try_from(sides.len()).unwrap(),
            ..SpanKey::new(span.trace_id, span.span_id)
        },
    }
}

/// The span, made if need be. Only a first side is.
fn part_of(model: &mut Model, key: SpanKey) -> Option<&mut Span> {
    if key.side > 0 && !model.contains_key(&key) {
        return None;
    }
    let nothing = || (Origin::EMPTY, Span::new(key.trace_id, key.span_id, "", 0));
    Some(&mut model.entry(key).or_insert_with(nothing).1)
}

fn set(span: &mut Span, attributes: &Attributes) {
    for (name, value) in attributes.iter() {
        span.attributes.set(name, value.clone());
    }
}

/// One random operation on both, which must agree about it.
fn step(tx: &mut Transaction<'_>, model: &mut Model, random: &mut Random) {
    let mut traces = tx.on::<TraceStore>();
    let named = any_span(random);
    let key = SpanKey {
        side: u32::from(random.one_in(5)),
        ..SpanKey::new(named.trace_id, named.span_id)
    };
    match random.below(12) {
        0..4 => {
            let origin = origin(random);
            let spans: Vec<_> = (0..random.below(4)).map(|_| any_span(random)).collect();
            let batch = Batch { origin: origin.clone(), spans: spans.clone() };
            let keys = traces.record(batch).unwrap();
            let mut expected = Vec::new();
            for span in spans {
                let key = place(model, &origin, &span);
                model.insert(key, (origin.clone(), span));
                expected.push(key);
            }
            assert_eq!(keys, expected);
        }
        4..7 => {
            let origin = origin(random);
            let key = traces.start(origin.clone(), named.clone()).unwrap();
            assert_eq!(key, place(model, &origin, &named));
            match model.get(&key) {
                None => {
                    model.insert(key, (origin, named));
                }
                Some(part) if is_part_only(part) => {
                    let mut whole = named;
                    let part = part.1.clone();
                    set(&mut whole, &part.attributes);
                    whole.events.extend(part.events);
                    whole.links.extend(part.links);
                    if part.end != 0 {
                        (whole.end, whole.status) = (part.end, part.status);
                    }
                    model.insert(key, (origin, whole));
                }
                Some(_) => {}
            }
        }
        7 | 8 => {
            let (time, known) = (random.below(40), known(random));
            let ended = traces.end(key, time, Status::error("e"), known.clone()).ok();
            let expected = if time == 0 {
                None
            } else {
                part_of(model, key).map(|span| {
                    let is_open = span.end == 0;
                    if is_open {
                        (span.end, span.status) = (time, Status::error("e"));
                        set(span, &known);
                    }
                    is_open
                })
            };
            assert_eq!(ended, expected);
        }
        9 => {
            let known = known(random);
            let event = SpanEvent { time: random.below(40), ..SpanEvent::default() };
            let done = (
                traces.set_attributes(key, known.clone()).is_ok(),
                traces.add_event(key, event.clone()).is_ok(),
                traces.add_link(key, SpanLink::default()).is_ok(),
            );
            let span = part_of(model, key);
            let is_done = span.is_some();
            assert_eq!(done, (is_done, is_done, is_done));
            if let Some(span) = span {
                set(span, &known);
                span.events.push(event);
                span.links.push(SpanLink::default());
            }
        }
        10 if random.one_in(3) => {
            let count = model.keys().filter(|known| known.trace_id == key.trace_id).count();
            assert_eq!(traces.delete_trace(key.trace_id).unwrap(), count as u64);
            model.retain(|known, _| known.trace_id != key.trace_id);
        }
        11 if random.one_in(3) => {
            let time = random.below(50);
            let all: BTreeSet<_> = model.keys().map(|key| key.trace_id).collect();
            let young: BTreeSet<_> = model
                .iter()
                .filter(|(_, (_, span))| span.start >= time || span.end >= time)
                .map(|(key, _)| key.trace_id)
                .collect();
            // With time 0 nothing is before it.
            let old = all.difference(&young).count() as u64;
            assert_eq!(traces.delete_before(time).unwrap(), old);
            model.retain(|key, _| young.contains(&key.trace_id));
        }
        _ => {}
    }
}

/// Every read against a search of the whole model.
fn compare(traces: &TraceStore, model: &Model, random: &mut Random) {
    let found: Vec<_> = traces.iter().map(|span| (span.key, span.origin, span.span)).collect();
    let expected: Vec<_> = model.iter().map(|(key, (origin, span))| (*key, origin, span)).collect();
    assert_eq!(found, expected);
    assert_eq!(traces.len(), model.len());

    let from = random.below(30);
    let time = from..from + random.below(20);
    let queries = [
        SpanQuery::new(),
        SpanQuery::new().time(time.clone()),
        SpanQuery::new().name("get"),
        SpanQuery::new().name("put").time(time.clone()).kind(SpanKind::Client),
        SpanQuery::new().trace(trace_id(1)).name("get"),
        SpanQuery::new().trace(trace_id(2)).time(time),
        SpanQuery::new().attribute("n", 1).service("a"),
        SpanQuery::new().duration(from..),
        SpanQuery::new().time(5..5),
    ];
    for query in &queries {
        let mut expected: Vec<_> = traces.iter().filter(|span| query.matches(span)).collect();
        expected.sort_by_key(|span| (span.time(), span.key));
        assert_eq!(traces.find(query).collect::<Vec<_>>(), expected, "{query:?}");
        expected.reverse();
        assert_eq!(traces.find(query).rev().collect::<Vec<_>>(), expected, "{query:?} backwards");
    }
    assert_eq!(traces.find(&queries[8]).count(), 0);

    let ids: BTreeSet<_> = model.keys().map(|key| key.trace_id).collect();
    assert!(traces.trace_ids().eq(ids.iter().copied()));
    let mut listed: Vec<_> = traces.traces().map(|trace| (trace.trace_id, trace.spans)).collect();
    let newest = |trace_id| traces.trace(trace_id).last().map(|span| (span.time(), span.key));
    assert!(listed.iter().map(|(trace_id, _)| newest(*trace_id)).is_sorted_by(|a, b| a > b));
    listed.sort_unstable();
    let counts = ids.iter().map(|id| (*id, traces.trace(*id).len()));
    assert!(listed.into_iter().eq(counts));
    assert!(ids.iter().all(|id| traces.tree(*id).len() == traces.trace(*id).len()));

    let mut other = TraceStore::default();
    for batch in otlp::parse(&otlp::export(traces.iter())).unwrap().batches {
        other.record(batch).unwrap();
    }
    assert!(other.iter().eq(traces.iter()), "an export is read back equal");
}

#[test]
fn the_store_holds_what_its_history_says() {
    let seed = Random::seed_from_env(0x7472);
    for round in 0..4 {
        let mut random = Random::new(seed).part(round);
        let mut machine = Machine::new();
        let mut model = Model::new();
        println!("FREEHOLD_SEED={seed:#x}, round {round}");
        for _ in 0..150 {
            let given_up = random.one_in(6);
            let mut next = model.clone();
            let result = machine.db.transaction(|tx| {
                for _ in 0..=random.below(4) {
                    step(tx, &mut next, &mut random);
                }
                if given_up { Err(Error::abort("given up")) } else { Ok(()) }
            });
            assert_eq!(result.is_err(), given_up);
            if !given_up {
                model = next;
            }
            match random.below(16) {
                0 => machine.crash(),
                1 => machine.close(),
                2 => drop(machine.db.checkpoint().unwrap()),
                _ => {}
            }
            if random.one_in(4) {
                compare(machine.db.view().on::<TraceStore>(), &model, &mut random);
            }
        }
        machine.crash();
        compare(machine.db.view().on::<TraceStore>(), &model, &mut random);
    }
}
