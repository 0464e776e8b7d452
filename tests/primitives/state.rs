//! `StateCell`.

use freehold::prelude::*;
use freehold::primitives::{Expected, StateCell, StateError};

use crate::machine::Machine;

#[test]
fn a_cell_is_made_set_and_changed_by_what_was_expected() {
    let mut machine = Machine::new();
    let cell = |machine: &Machine| {
        let view = machine.db.view();
        let cell = view.on::<StateCell>().get("cell").unwrap();
        (cell.value().to_vec(), cell.version(), cell.lsn(), cell.timestamp())
    };
    let written = |tx: &mut Transaction<'_>| (tx.lsn(), tx.timestamp());

    let (lsn, timestamp) = machine.commit(|tx| {
        tx.on::<StateCell>().init("cell", b"one")?;
        Ok(written(tx))
    });
    assert_eq!(cell(&machine), (b"one".to_vec(), 1, lsn, timestamp));

    let version = machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));
    assert_eq!(version, 2);
    let version = machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));
    assert_eq!(version, 3, "setting what is there is a change");

    let (version, lsn, timestamp) = machine.commit(|tx| {
        let version = tx.on::<StateCell>().transition("cell", Expected::value("two"), b"three")?;
        Ok((version, tx.lsn(), tx.timestamp()))
    });
    assert_eq!(version, 4);
    assert_eq!(cell(&machine), (b"three".to_vec(), 4, lsn, timestamp));

    let version =
        machine.commit(|tx| tx.on::<StateCell>().transition("cell", Expected::version(4), b"four"));
    assert_eq!(version, 5);

    // Setting a cell that is not there makes it.
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().set("another", b"")), 1);
    let view = machine.db.view();
    let cells = view.on::<StateCell>();
    assert_eq!(cells.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["another", "cell"]);
    assert_eq!((cells.len(), cells.is_empty()), (2, false));
    assert!(cells.get("nobody").is_none());
}

#[test]
fn a_cell_that_is_not_as_expected_stays_as_it_is() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<StateCell>().init("cell", b"one"));
    machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));

    let name = || Box::<str>::from("cell");
    machine.refused(StateError::Exists { name: name(), version: 2 }, |tx| {
        tx.on::<StateCell>().init("cell", b"two")
    });
    machine.refused(StateError::OtherValue { name: name(), version: 2 }, |tx| {
        tx.on::<StateCell>().transition("cell", Expected::value("one"), b"three")
    });
    let expected = StateError::OtherVersion { name: name(), found: 2, expected: 1 };
    assert_eq!(expected.to_string(), "cell cell: version is 2, expected 1");
    machine.refused(expected, |tx| {
        tx.on::<StateCell>().transition("cell", Expected::version(1), b"three")
    });
    machine.refused(StateError::Absent { name: "nobody".into() }, |tx| {
        tx.on::<StateCell>().transition("nobody", Expected::value(""), b"three")
    });
    machine.refused(StateError::Absent { name: "nobody".into() }, |tx| {
        tx.on::<StateCell>().transition("nobody", Expected::version(0), b"three")
    });
}
