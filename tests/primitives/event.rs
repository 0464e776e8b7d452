//! `EventLog`.

use std::ops::Bound;

use freehold::prelude::*;
use freehold::primitives::{EventLog, NotJson, Payload};

use crate::machine::Machine;

fn sequences<'a>(events: impl Iterator<Item = &'a freehold::primitives::Event>) -> Vec<u64> {
    events.map(freehold::primitives::Event::sequence).collect()
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
