//! `EventLog`.

use std::ops::Bound;

use freehold::prelude::*;
use freehold::primitives::{
    Event, EventError, EventLog, ExpectedSequence, NewEvent, NotJson, Payload, Position,
};
use freehold::testing::Random;

use crate::machine::Machine;

fn sequences<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<u64> {
    events.map(Event::sequence).collect()
}

#[test]
fn each_stream_is_numbered_from_0_without_gaps() {
    let mut machine = Machine::new();
    let append = |tx: &mut Transaction<'_>, stream: &str| {
        tx.on::<EventLog>().append(stream, "step", Payload::bytes(stream))
    };
    assert_eq!(machine.commit(|tx| append(tx, "b")), 0);
    assert_eq!(machine.commit(|tx| append(tx, "a")), 0);
    assert_eq!(machine.commit(|tx| append(tx, "b")), 1);
    let both = machine.commit(|tx| Ok((append(tx, "a")?, append(tx, "a")?)));
    assert_eq!(both, (1, 2));

    // A transaction that is given up takes its numbers back.
    let error = machine.db.transaction(|tx| -> Result<()> {
        assert_eq!(append(tx, "b")?, 2);
        assert_eq!(append(tx, "new")?, 0);
        Err(Error::abort("given up"))
    });
    assert!(matches!(error, Err(Error::Aborted(_))));
    assert_eq!(machine.commit(|tx| append(tx, "b")), 2);

    let view = machine.db.view();
    let events = view.on::<EventLog>();
    assert_eq!(events.streams().collect::<Vec<_>>(), [("a", 3), ("b", 3)]);
    assert_eq!(events.len(), 6);
    assert_eq!((events.stream_len("a"), events.stream_len("new")), (3, 0));
    assert_eq!(events.get("a", 2).unwrap().payload().as_bytes(), b"a");
    assert!(events.get("a", 3).is_none() && events.get("new", 0).is_none());
}

#[test]
fn an_event_has_the_time_and_the_lsn_of_its_transaction() {
    let mut machine = Machine::new();
    let (lsn, timestamp) = machine.commit(|tx| {
        tx.on::<EventLog>().append("s", "one", Payload::bytes(""))?;
        tx.on::<EventLog>().append("s", "two", Payload::bytes(""))?;
        Ok((tx.lsn(), tx.timestamp()))
    });
    machine.clock.set(Timestamp(0));
    machine.commit(|tx| tx.on::<EventLog>().append("s", "three", Payload::bytes("")));
    let view = machine.db.view();
    let events: Vec<_> = view.on::<EventLog>().range("s", ..).collect();
    assert_eq!(
        events.iter().map(|event| event.event_type()).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    assert_eq!(events[0].lsn(), lsn);
    assert_eq!(events[1].timestamp(), timestamp);
    assert_eq!(events[2].lsn(), lsn.next());
    assert_eq!(events[2].timestamp(), timestamp, "time does not go back with the clock");
}

#[test]
fn a_stream_is_read_from_both_ends_and_in_part() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        for _ in 0..300 {
            tx.on::<EventLog>().append("s", "t", Payload::bytes(""))?;
            tx.on::<EventLog>().append("r", "t", Payload::bytes(""))?;
        }
        tx.on::<EventLog>().append("t", "t", Payload::bytes(""))
    });
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    let all: Vec<u64> = (0..300).collect();
    assert_eq!(sequences(events.range("s", ..)), all);
    assert_eq!(sequences(events.range("s", ..).rev()), all.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(sequences(events.range("s", 7..10)), [7, 8, 9]);
    assert_eq!(sequences(events.range("s", 7..=10).rev()), [10, 9, 8, 7]);
    assert_eq!(sequences(events.range("s", 298..)), [298, 299]);
    assert_eq!(sequences(events.range("s", 298..=u64::MAX)), [298, 299]);
    let open = (Bound::Excluded(297), Bound::Excluded(299));
    assert_eq!(sequences(events.range("s", open)), [298]);
    assert_eq!(sequences(events.tail("s", 3)), [297, 298, 299]);
    assert_eq!(sequences(events.tail("s", 3).rev()), [299, 298, 297]);
    assert_eq!(events.tail("s", u64::MAX).count(), 300);
    assert_eq!(events.tail("s", 0).count(), 0);
    #[expect(clippy::reversed_empty_ranges, reason = "it must hold nothing, and not panic")]
    let reversed = 10..7;
    assert_eq!(events.range("s", reversed).count(), 0);
    assert_eq!(events.range("s", 300..).count(), 0);
    assert_eq!(events.range("s", (Bound::Excluded(u64::MAX), Bound::Unbounded)).count(), 0);
    assert_eq!(events.range("nobody", ..).count(), 0);
    assert_eq!(events.tail("nobody", 9).count(), 0);
}

#[test]
fn a_payload_comes_back_byte_for_byte() {
    let mut machine = Machine::new();
    let texts = ["{ \"b\":1.0, \"a\" :1e2,\n\"a\":\"\\u00e9é\" }", "null", " [] "];
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    machine.commit(|tx| {
        for text in texts {
            let payload = Payload::json(text).map_err(Error::abort)?;
            tx.on::<EventLog>().append("s", "json", payload)?;
        }
        tx.on::<EventLog>().append("s", "bytes", Payload::bytes(&bytes))
    });
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    for (sequence, text) in (0..).zip(texts) {
        assert_eq!(events.get("s", sequence).unwrap().payload().as_json(), Some(text));
    }
    let last = events.tail("s", 1).next().unwrap();
    assert_eq!(last.payload().as_bytes(), bytes);
    assert_eq!(last.payload().as_json(), None);
}

#[test]
fn text_that_is_not_json_is_no_json_payload() {
    let error = Payload::json("{\"a\": }").unwrap_err();
    assert_eq!(error, NotJson { offset: 6, expected: "a value" });
    assert_eq!(error.to_string(), "JSON at byte 6: expected a value");
}

#[test]
fn an_append_that_expects_something_else_appends_nothing() {
    let mut machine = Machine::new();
    let none = || Payload::bytes([]);
    let append = |expected| {
        move |tx: &mut Transaction<'_>| {
            tx.on::<EventLog>().append_expecting("s", expected, "t", Payload::bytes([]))
        }
    };
    let all = |expected, count: usize| {
        move |tx: &mut Transaction<'_>| {
            let events = vec![NewEvent::new("t", Payload::bytes([])); count];
            tx.on::<EventLog>().append_all("s", expected, events)
        }
    };
    let refused =
        |found, expected| EventError::OtherSequence { stream: "s".into(), found, expected };
    use ExpectedSequence::{Any, At, NoStream, StreamExists};
    for expected in [StreamExists, At(0)] {
        machine.refused(refused(None, expected), append(expected));
        machine.refused(refused(None, expected), all(expected, 3));
        machine.refused(refused(None, expected), all(expected, 0));
    }
    assert_eq!(machine.commit(all(NoStream, 0)), 0..0, "nothing begins no stream");
    assert_eq!(machine.commit(append(NoStream)), 0);
    for expected in [NoStream, At(1)] {
        machine.refused(refused(Some(0), expected), append(expected));
        machine.refused(refused(Some(0), expected), all(expected, 3));
    }
    assert_eq!(machine.commit(append(At(0))), 1);
    assert_eq!(machine.commit(all(At(1), 3)), 2..5);
    assert_eq!(machine.commit(all(StreamExists, 1)), 5..6);
    assert_eq!(machine.commit(append(Any)), 6);
    assert_eq!(
        refused(Some(6), At(5)).to_string(),
        "stream s: last sequence number is 6, expected 5"
    );
    assert_eq!(
        refused(None, StreamExists).to_string(),
        "stream s: has no event, expected at least one event"
    );
    assert_eq!(
        refused(Some(0), NoStream).to_string(),
        "stream s: last sequence number is 0, expected no event"
    );

    // It asks for the numbers that were given, not for the events that are kept.
    machine.commit(|tx| tx.on::<EventLog>().truncate("s", u64::MAX));
    machine.refused(refused(Some(6), NoStream), append(NoStream));
    assert_eq!(machine.commit(append(At(6))), 7);
    machine.commit(|tx| tx.on::<EventLog>().append("other", "t", none()));
}

#[test]
fn a_truncated_stream_goes_on_with_its_numbers() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        for n in 0..10u8 {
            let event_type = if n < 3 { "early" } else { "late" };
            tx.on::<EventLog>().append("s", event_type, Payload::bytes([n]))?;
            tx.on::<EventLog>().append("r", "late", Payload::bytes([n]))?;
        }
        Ok(())
    });
    let truncate =
        |before| move |tx: &mut Transaction<'_>| tx.on::<EventLog>().truncate("s", before);
    assert_eq!(machine.commit(truncate(4)), 4);
    assert_eq!(machine.commit(truncate(4)), 0);
    assert_eq!(machine.commit(truncate(2)), 0);
    assert_eq!(machine.commit(|tx| tx.on::<EventLog>().truncate("nobody", 9)), 0);
    {
        let view = machine.db.view();
        let events = view.on::<EventLog>();
        assert_eq!(sequences(events.range("s", ..)), [4, 5, 6, 7, 8, 9]);
        assert_eq!(sequences(events.range("s", 2..6)), [4, 5]);
        assert_eq!(sequences(events.tail("s", 2)), [8, 9]);
        assert_eq!(events.tail("s", 100).count(), 6);
        assert_eq!((events.stream_len("s"), events.next_sequence("s")), (6, 10));
        assert!(events.get("s", 3).is_none() && events.get("s", 4).is_some());
        assert_eq!(events.event_types().collect::<Vec<_>>(), [("late", 16)]);
        assert_eq!((events.all(..).count(), events.len()), (16, 16));
    }
    assert_eq!(machine.commit(truncate(u64::MAX)), 6);
    assert_eq!(machine.commit(|tx| tx.on::<EventLog>().append("s", "new", Payload::bytes([]))), 10);
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    assert_eq!(sequences(events.range("s", ..)), [10]);
    assert_eq!(events.streams().collect::<Vec<_>>(), [("r", 10), ("s", 1)]);
}

#[test]
fn events_of_one_transaction_keep_the_order_in_which_they_were_appended() {
    let mut machine = Machine::new();
    let one = |tx: &mut Transaction<'_>, stream: &str| {
        tx.on::<EventLog>().append(stream, stream, Payload::bytes([]))
    };
    let lsn = machine.commit(|tx| {
        one(tx, "z")?;
        one(tx, "a")?;
        let batch = ["m", "n"].map(|name| NewEvent::new(name, Payload::bytes([])));
        tx.on::<EventLog>().append_all("m", ExpectedSequence::Any, batch.into())?;
        tx.on::<EventLog>().truncate("a", 1)?;
        one(tx, "b")?;
        Ok(tx.lsn())
    });
    machine.commit(|tx| one(tx, "a"));
    let view = machine.db.view();
    let events = view.on::<EventLog>();
    let order: Vec<_> =
        events.all(..).map(|(_, event)| (event.event_type(), event.position())).collect();
    let at = |lsn, index| Position { lsn, index };
    let expected = [
        ("z", at(lsn, 0)),
        ("m", at(lsn, 2)),
        ("n", at(lsn, 3)),
        ("b", at(lsn, 4)),
        ("a", at(lsn.next(), 0)),
    ];
    assert_eq!(order, expected);
    let names = |range: (Bound<Position>, Bound<Position>)| {
        events.all(range).map(|(stream, _)| stream).collect::<Vec<_>>()
    };
    let (included, excluded) =
        (|index| Bound::Included(at(lsn, index)), |i| Bound::Excluded(at(lsn, i)));
    assert_eq!(names((included(2), excluded(4))), ["m", "m"]);
    assert_eq!(names((excluded(3), Bound::Unbounded)), ["b", "a"]);
    assert_eq!(names((Bound::Unbounded, included(0))), ["z"]);
    for (start, end) in [
        (included(3), included(2)),
        (excluded(2), excluded(2)),
        (excluded(2), included(2)),
        (included(2), excluded(2)),
    ] {
        assert_eq!(names((start, end)), [""; 0]);
    }
}

/// The log as a list of everything that was ever appended and is kept.
struct Listed {
    stream: usize,
    sequence: u64,
    event_type: usize,
    lsn: Lsn,
    timestamp: Timestamp,
}

#[test]
fn every_reading_is_the_list_that_the_history_says_filtered() {
    const STREAMS: [&str; 3] = ["a", "b", "c"];
    const TYPES: [&str; 3] = ["often", "seldom", "third"];
    let seed = Random::seed_from_env(0x6576);
    println!("FREEHOLD_SEED={seed:#x}");
    let mut random = Random::new(seed);
    let mut machine = Machine::new();
    let mut list: Vec<Listed> = Vec::new();
    let mut next = [0; STREAMS.len()];
    for round in 0..60 {
        machine
            .db
            .transaction(|tx| {
                for _ in 0..=random.below(4) {
                    let stream = random.below(3) as usize;
                    if random.one_in(8) {
                        let before = random.below(next[stream] + 2);
                        let kept = list.len();
                        list.retain(|event| event.stream != stream || event.sequence >= before);
                        let removed = tx.on::<EventLog>().truncate(STREAMS[stream], before)?;
                        assert_eq!(removed, (kept - list.len()) as u64);
                        continue;
                    }
                    let types: Vec<usize> = (0..random.below(4))
                        .map(|_| if random.one_in(5) { 1 + random.below(2) as usize } else { 0 })
                        .collect();
                    let expected = next[stream].checked_sub(1);
                    let expected =
                        expected.map_or(ExpectedSequence::NoStream, ExpectedSequence::At);
                    let events = types
                        .iter()
                        .map(|t| NewEvent::new(TYPES[*t], Payload::bytes([])))
                        .collect();
                    let given =
                        tx.on::<EventLog>().append_all(STREAMS[stream], expected, events)?;
                    assert_eq!(given.start, next[stream]);
                    for (sequence, event_type) in given.zip(types) {
                        let (lsn, timestamp) = (tx.lsn(), tx.timestamp());
                        list.push(Listed { stream, sequence, event_type, lsn, timestamp });
                        next[stream] = sequence + 1;
                    }
                }
                Ok(())
            })
            .unwrap();
        // Some transactions share their time.
        if random.one_in(3) {
            machine.clock.set(Timestamp(0));
        }
        match random.below(12) {
            0 => machine.crash(),
            1 => machine.close(),
            _ => {}
        }
        if round % 5 != 0 {
            continue;
        }
        let view = machine.db.view();
        let events = view.on::<EventLog>();
        let compare = |found: Vec<(&str, &Event)>, keep: &dyn Fn(&Listed) -> bool, what: &str| {
            let found: Vec<_> = found
                .iter()
                .map(|(stream, event)| {
                    (*stream, event.sequence(), event.event_type(), event.lsn(), event.timestamp())
                })
                .collect();
            let expected: Vec<_> = list
                .iter()
                .filter(|event| keep(event))
                .map(|e| (STREAMS[e.stream], e.sequence, TYPES[e.event_type], e.lsn, e.timestamp))
                .collect();
            assert_eq!(found, expected, "{what} in round {round}");
        };
        compare(events.all(..).collect(), &|_| true, "everything");
        let mut backwards: Vec<_> = events.all(..).rev().collect();
        backwards.reverse();
        compare(backwards, &|_| true, "everything backwards");
        let lsn = Lsn(random.below(view.lsn().0 + 2));
        compare(
            events.all(Position::from(lsn)..).collect(),
            &|event| event.lsn >= lsn,
            "from an LSN",
        );

        let moments: Vec<u64> = list.iter().map(|event| event.timestamp.0).collect();
        let moment =
            |random: &mut Random| match moments.get(random.below(list.len() as u64 + 1) as usize) {
                Some(moment) => Timestamp(moment - 1 + random.below(3)),
                None => Timestamp(u64::MAX),
            };
        for _ in 0..6 {
            let (start, end) = (moment(&mut random), moment(&mut random));
            let bound = |random: &mut Random, moment| match random.below(3) {
                0 => Bound::Included(moment),
                1 => Bound::Excluded(moment),
                _ => Bound::Unbounded,
            };
            let times = (bound(&mut random, start), bound(&mut random, end));
            let inside = |event: &Listed| std::ops::RangeBounds::contains(&times, &event.timestamp);
            compare(events.all_by_time(times).collect(), &inside, "by time");
            for (stream, name) in STREAMS.into_iter().enumerate() {
                let found = events.range_by_time(name, times).map(|event| (name, event)).collect();
                compare(found, &|event| event.stream == stream && inside(event), "stream by time");
            }
        }
        for (event_type, type_name) in TYPES.into_iter().enumerate() {
            let found = events.all_of_type(type_name).collect();
            compare(found, &|event| event.event_type == event_type, "by type");
            let count = list.iter().filter(|event| event.event_type == event_type).count();
            let counted = events.event_types().find(|(name, _)| *name == type_name);
            assert_eq!(counted.map_or(0, |(_, count)| count), count);
            for (stream, name) in STREAMS.into_iter().enumerate() {
                let found = events.range_of_type(name, type_name).map(|e| (name, e)).collect();
                let keep =
                    |event: &Listed| event.stream == stream && event.event_type == event_type;
                compare(found, &keep, "stream by type");
            }
        }
    }
}
