//! `StateCell`.

use std::time::Duration;

use freehold::prelude::*;
use freehold::primitives::{Expected, StateCell, StateError, StateMachine};

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

#[test]
fn a_version_is_never_seen_twice_under_a_name_also_after_a_deletion() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<StateCell>().init("cell", b"one"));
    machine.commit(|tx| tx.on::<StateCell>().set("cell", b"two"));
    machine.commit(|tx| tx.on::<StateCell>().init("other", b""));
    let name = || Box::<str>::from("cell");
    machine.refused(StateError::OtherVersion { name: name(), found: 2, expected: 1 }, |tx| {
        tx.on::<StateCell>().delete("cell", Expected::version(1))
    });
    machine.refused(StateError::OtherValue { name: name(), version: 2 }, |tx| {
        tx.on::<StateCell>().delete("cell", Expected::value("one"))
    });
    let deleted = machine.commit(|tx| tx.on::<StateCell>().delete("cell", Expected::value("two")));
    assert_eq!((&deleted.value()[..], deleted.version()), (&b"two"[..], 2));
    for expected in [Expected::Any, Expected::version(2), Expected::value("two")] {
        machine.refused(StateError::Absent { name: name() }, |tx| {
            tx.on::<StateCell>().delete("cell", expected.clone())
        });
    }
    // Who has read version 1 or 2 of the old one is not mistaken about the new one.
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().init("cell", b"new")), 3);
    machine.commit(|tx| tx.on::<StateCell>().delete("other", Expected::Any));
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().set("other", b"")), 3);
    let view = machine.db.view();
    let cells = view.on::<StateCell>();
    assert_eq!((cells.version("cell"), cells.version("nobody")), (3, 0));
}

#[test]
fn cells_are_listed_by_the_beginning_of_their_names() {
    let mut machine = Machine::new();
    let names = ["a", "job/1", "job/2", "job/2/step", "jobs", "k"];
    machine.commit(|tx| {
        names.iter().try_for_each(|name| tx.on::<StateCell>().init(name, b"").map(drop))
    });
    let view = machine.db.view();
    let listed =
        |prefix| view.on::<StateCell>().prefix(prefix).map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(listed("job/"), names[1..4]);
    assert_eq!(listed(""), names);
    assert!(listed("job/3").is_empty() && listed("z").is_empty());
}

fn order() -> StateMachine {
    StateMachine::new()
        .initial("placed")
        .initial("imported")
        .allow("imported", ["placed"])
        .allow("placed", ["packed", "cancelled"])
        .allow("packed", ["packed", "shipped"])
}

fn boxed(names: &[&str]) -> Box<[Box<str>]> {
    names.iter().map(|name| (*name).into()).collect()
}

#[test]
fn a_bound_cell_goes_the_ways_of_its_machine_and_no_others() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<StateCell>().declare("order", order()));
    let states = ["cancelled", "imported", "packed", "placed", "shipped", "elsewhere"];
    let declared = order();
    assert_eq!(declared.states().collect::<Vec<_>>(), states[..5]);
    assert_eq!(declared.initial_states().collect::<Vec<_>>(), ["imported", "placed"]);
    let finals: Vec<_> = states.into_iter().filter(|state| declared.is_final(state)).collect();
    assert_eq!(finals, ["cancelled", "shipped"]);

    for from in &states[..5] {
        for to in states {
            // A cell in `from` is made elsewhere and bound there: any state will do.
            machine
                .db
                .transaction(|tx| {
                    let mut cells = tx.on::<StateCell>();
                    if cells.get("cell").is_some() {
                        cells.delete("cell", Expected::Any)?;
                    }
                    cells.init("cell", from.as_bytes())?;
                    cells.bind("cell", "order")
                })
                .unwrap();
            let is_set = |tx: &mut Transaction<'_>| tx.on::<StateCell>().set("cell", to.as_bytes());
            let is_moved = |tx: &mut Transaction<'_>| {
                let expected = Expected::value(from);
                tx.on::<StateCell>().transition("cell", expected, to.as_bytes())
            };
            if declared.moves_from(from).any(|state| state == to) {
                assert!(declared.allows(from, to));
                let version = machine.db.view().on::<StateCell>().version("cell");
                assert_eq!(machine.commit(is_moved), version + 1);
                continue;
            }
            let refused = || StateError::MoveNotAllowed {
                name: "cell".into(),
                machine: "order".into(),
                from: (*from).into(),
                to: to.into(),
                allowed: declared.moves_from(from).map(Into::into).collect(),
            };
            machine.refused(refused(), is_set);
            machine.refused(refused(), is_moved);
        }
    }
    let error = StateError::MoveNotAllowed {
        name: "cell".into(),
        machine: "order".into(),
        from: "shipped".into(),
        to: "placed".into(),
        allowed: boxed(&[]),
    };
    assert_eq!(
        error.to_string(),
        "cell cell: shipped to placed is no move of machine order, expected none, as it is final"
    );
}

#[test]
fn a_cell_begins_in_an_initial_state_and_is_bound_in_any() {
    let mut machine = Machine::new();
    machine.refused(StateError::NotDeclared { machine: "order".into() }, |tx| {
        tx.on::<StateCell>().init_bound("cell", "order", "placed")
    });
    machine.refused(StateError::NoInitialState { machine: "order".into() }, |tx| {
        tx.on::<StateCell>().declare("order", StateMachine::new().allow("a", ["b"]))
    });
    machine.commit(|tx| tx.on::<StateCell>().declare("order", order()));
    let other_state = |found: &str, expected: &[&str]| StateError::OtherState {
        name: "cell".into(),
        machine: "order".into(),
        found: found.into(),
        expected: boxed(expected),
    };
    machine.refused(other_state("packed", &["imported", "placed"]), |tx| {
        tx.on::<StateCell>().init_bound("cell", "order", "packed")
    });
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().init_bound("cell", "order", "placed")), 1);
    machine.refused(StateError::Exists { name: "cell".into(), version: 1 }, |tx| {
        tx.on::<StateCell>().init_bound("cell", "order", "placed")
    });
    assert_eq!(machine.db.view().on::<StateCell>().get("cell").unwrap().machine(), Some("order"));

    // Free again, it goes anywhere; it comes back only from a state that the machine knows.
    machine.commit(|tx| tx.on::<StateCell>().unbind("cell"));
    assert_eq!(machine.commit(|tx| tx.on::<StateCell>().set("cell", b"lo\xffst")), 2);
    let states = ["cancelled", "imported", "packed", "placed", "shipped"];
    machine.refused(other_state("lo\u{fffd}st", &states), |tx| {
        tx.on::<StateCell>().bind("cell", "order")
    });
    machine.commit(|tx| tx.on::<StateCell>().set("cell", b"packed"));
    machine.commit(|tx| tx.on::<StateCell>().bind("cell", "order"));
    assert_eq!(machine.db.view().on::<StateCell>().version("cell"), 3, "binding changes no value");
    for (name, machine_name, error) in [
        ("nobody", "order", StateError::Absent { name: "nobody".into() }),
        ("cell", "nothing", StateError::NotDeclared { machine: "nothing".into() }),
    ] {
        machine.refused(error, |tx| tx.on::<StateCell>().bind(name, machine_name));
    }
    machine.refused(StateError::Absent { name: "nobody".into() }, |tx| {
        tx.on::<StateCell>().unbind("nobody")
    });
}

#[test]
fn a_declaration_strands_no_cell() {
    let mut machine = Machine::new();
    let declare = |to: StateMachine| {
        move |tx: &mut Transaction<'_>| tx.on::<StateCell>().declare("order", to.clone())
    };
    assert_eq!(machine.commit(declare(order())), 1);
    assert_eq!(machine.commit(declare(order())), 1, "the same again");
    machine.commit(|tx| {
        let mut cells = tx.on::<StateCell>();
        cells.declare("another", order())?;
        for (name, machine) in [("a", "order"), ("b", "order"), ("c", "another")] {
            cells.init_bound(name, machine, "placed")?;
            cells.set(name, b"packed")?;
        }
        Ok(())
    });
    // Without `packed`: refused as long as a cell bound to this very machine is in it.
    let without = StateMachine::new().initial("placed").allow("placed", ["sent"]);
    let stranded = |name: &str| StateError::OtherState {
        name: name.into(),
        machine: "order".into(),
        found: "packed".into(),
        expected: boxed(&["placed", "sent"]),
    };
    machine.refused(stranded("a"), declare(without.clone()));
    // With a way out first, then without.
    let both = without.clone().allow("packed", ["sent"]);
    assert_eq!(machine.commit(declare(both)), 2);
    machine.commit(|tx| tx.on::<StateCell>().set("a", b"sent"));
    machine.refused(stranded("b"), declare(without.clone()));
    machine.commit(|tx| tx.on::<StateCell>().delete("b", Expected::Any));
    assert_eq!(machine.commit(declare(without)), 3);

    machine.refused(StateError::InUse { machine: "order".into(), count: 1 }, |tx| {
        tx.on::<StateCell>().undeclare("order")
    });
    {
        let view = machine.db.view();
        let cells = view.on::<StateCell>();
        let bound = |machine| cells.bound_to(machine).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!((bound("order"), bound("another")), (vec!["a"], vec!["c"]));
        assert_eq!(bound("nothing"), [""; 0]);
        let machines: Vec<_> = cells.machines().map(|(name, _, version)| (name, version)).collect();
        assert_eq!(machines, [("another", 1), ("order", 3)]);
        assert!(cells.machine("order").is_some_and(|order| order.has("sent")));
    }
    // A cell can go over to another machine that knows its state.
    machine.commit(|tx| {
        let mut cells = tx.on::<StateCell>();
        cells.declare("wide", StateMachine::new().initial("sent").allow("sent", ["back"]))?;
        cells.bind("a", "wide")?;
        cells.undeclare("order")
    });
    machine.refused(StateError::NotDeclared { machine: "order".into() }, |tx| {
        tx.on::<StateCell>().undeclare("order")
    });
    machine.commit(|tx| tx.on::<StateCell>().set("a", b"back"));
}

#[test]
fn a_cell_is_watched_through_changes_and_deletion() {
    let db = Database::in_memory().unwrap();
    let timeout = Duration::from_secs(20);
    let changed = |seen: u64| {
        db.wait_for(timeout, |view| {
            let version = view.on::<StateCell>().version("cell");
            (version != seen).then_some(version)
        })
    };
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = vec![0];
            while seen.last() != Some(&101) {
                seen.push(changed(*seen.last().unwrap()).unwrap().expect("a change in time"));
            }
            seen.retain(|version| *version != 0);
            seen
        });
        for _ in 0..100 {
            db.transaction(|tx| tx.on::<StateCell>().set("cell", b"")).unwrap();
        }
        db.transaction(|tx| tx.on::<StateCell>().delete("cell", Expected::Any)).unwrap();
        db.transaction(|tx| tx.on::<StateCell>().init("cell", b"")).unwrap();
        let seen = watcher.join().unwrap();
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    });
}
