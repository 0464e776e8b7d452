//! `RunIndex`.

use std::ops::{Bound, RangeBounds};

use freehold::prelude::*;
use freehold::primitives::{IndexedRun, RunCounts, RunError, RunIndex, RunOutcome, RunStatus};
use freehold::testing::Random;

use crate::machine::Machine;

pub(crate) const STATUSES: [RunStatus; 5] = [
    RunStatus::Created,
    RunStatus::Running,
    RunStatus::Completed,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

/// Puts `run` into the index and leads it to `status`.
pub(crate) fn lead_to(
    index: &mut <RunIndex as PrimitiveStorageExt>::Handle<'_>,
    run: RunId,
    status: RunStatus,
) -> Result<()> {
    index.create(run, &format!("run {run}"))?;
    let outcome = match status {
        RunStatus::Created => return Ok(()),
        RunStatus::Running => return index.begin(run),
        RunStatus::Completed => RunOutcome::Completed,
        RunStatus::Failed => RunOutcome::Failed,
        RunStatus::Cancelled => RunOutcome::Cancelled,
    };
    index.begin(run)?;
    index.end(run, outcome)
}

#[test]
fn a_run_goes_the_allowed_ways_and_no_others() {
    let mut machine = Machine::new();
    let mut run = RunId(0);
    for status in STATUSES {
        for (name, step) in [
            ("begin", None),
            ("complete", Some(RunOutcome::Completed)),
            ("fail", Some(RunOutcome::Failed)),
            ("cancel", Some(RunOutcome::Cancelled)),
        ] {
            run = RunId(run.0 + 1);
            machine.commit(|tx| lead_to(&mut tx.on::<RunIndex>(), run, status));
            let operation = |tx: &mut Transaction<'_>| match step {
                None => tx.on::<RunIndex>().begin(run),
                Some(outcome) => tx.on::<RunIndex>().end(run, outcome),
            };
            let goes_to = match (status, step) {
                (RunStatus::Created, None) => Ok(RunStatus::Running),
                (RunStatus::Created, Some(RunOutcome::Cancelled)) => Ok(RunStatus::Cancelled),
                (RunStatus::Running, Some(outcome)) => Ok(outcome.into()),
                (_, None) => Err("created"),
                (_, Some(RunOutcome::Cancelled)) => Err("created or running"),
                (_, Some(_)) => Err("running"),
            };
            match goes_to {
                Ok(after) => {
                    machine.commit(operation);
                    let view = machine.db.view();
                    let found = view.on::<RunIndex>().get(run).unwrap().status();
                    assert_eq!(found, after, "{status}, {name}");
                }
                Err(expected) => {
                    machine
                        .refused(RunError::NotAllowed { run, found: status, expected }, operation);
                }
            }
            machine.refused(RunError::Exists { run, status: goes_to.unwrap_or(status) }, |tx| {
                tx.on::<RunIndex>().create(run, "again")
            });
        }
    }
    assert_counted(&machine.db);
}

/// The counts are those of the runs, one by one.
fn assert_counted(db: &Database) {
    let view = db.view();
    let index = view.on::<RunIndex>();
    let count = |status| index.iter().filter(|(_, run)| run.status() == status).count() as u64;
    assert_eq!(
        index.counts(),
        RunCounts {
            created: count(RunStatus::Created),
            running: count(RunStatus::Running),
            completed: count(RunStatus::Completed),
            failed: count(RunStatus::Failed),
            cancelled: count(RunStatus::Cancelled),
        }
    );
    for status in STATUSES {
        assert_eq!(index.counts().of_status(status), count(status));
    }
}

#[test]
fn a_run_that_is_not_in_the_index_cannot_change() {
    let mut machine = Machine::new();
    let run = RunId(3);
    machine.refused(RunError::Absent { run }, |tx| tx.on::<RunIndex>().begin(run));
    machine.refused(RunError::Absent { run }, |tx| {
        tx.on::<RunIndex>().end(run, RunOutcome::Cancelled)
    });
    machine.refused(RunError::Absent { run }, |tx| {
        tx.on::<RunIndex>().update(run, "key", Some("value"))
    });
}

#[test]
fn metadata_is_set_replaced_and_removed_also_after_the_end() {
    let mut machine = Machine::new();
    let run = machine.commit(|tx| {
        let run = tx.create_run("r")?;
        let mut index = tx.on::<RunIndex>();
        index.create(run, "shown name")?;
        index.update(run, "model", Some("small"))?;
        index.update(run, "model", Some("large"))?;
        index.update(run, "draft", Some("yes"))?;
        Ok(run)
    });
    machine.commit(|tx| tx.on::<RunIndex>().begin(run));
    machine.commit(|tx| tx.on::<RunIndex>().end(run, RunOutcome::Failed));
    machine.commit(|tx| tx.on::<RunIndex>().update(run, "draft", None));
    machine.commit(|tx| tx.on::<RunIndex>().update(run, "reward", Some("0.0")));
    let view = machine.db.view();
    let run = view.on::<RunIndex>().get(run).unwrap();
    assert_eq!(run.name(), "shown name");
    let metadata: Vec<_> = run.metadata().iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(metadata, [("model", "large"), ("reward", "0.0")]);
    assert!(run.created() < run.begun().unwrap());
    assert!(run.begun() < run.ended());
    assert!(run.ended().unwrap() < run.changed());
    assert_eq!(run.changed_lsn(), view.lsn());
}

#[test]
fn a_crash_leaves_the_runs_that_nobody_touched_since_orphaned() {
    let mut machine = Machine::new();
    for (run, status) in (1..).map(RunId).zip(STATUSES) {
        machine.db.transaction(|tx| lead_to(&mut tx.on::<RunIndex>(), run, status)).unwrap();
    }
    let (resumed, left) = (RunId(7), RunId(8));
    for run in [resumed, left] {
        let lead =
            |tx: &mut Transaction<'_>| lead_to(&mut tx.on::<RunIndex>(), run, RunStatus::Running);
        machine.db.transaction(lead).unwrap();
    }
    let orphaned = |machine: &Machine, before: Lsn| {
        let view = machine.db.view();
        view.on::<RunIndex>().orphaned(before).map(|(run, _)| run).collect::<Vec<_>>()
    };

    machine.crash();
    let recovered = machine.db.view().lsn();
    assert_eq!(orphaned(&machine, recovered), [RunId(2), resumed, left]);

    // Begun by this program, taken up again by it, or ended by it: not orphaned.
    machine.commit(|tx| lead_to(&mut tx.on::<RunIndex>(), RunId(9), RunStatus::Running));
    machine.commit(|tx| tx.on::<RunIndex>().update(resumed, "attempt", Some("2")));
    machine.commit(|tx| tx.on::<RunIndex>().end(RunId(2), RunOutcome::Failed));
    assert_eq!(orphaned(&machine, recovered), [left]);
    assert_counted(&machine.db);

    // And after the next crash they are again.
    machine.crash();
    let recovered = machine.db.view().lsn();
    assert_eq!(orphaned(&machine, recovered), [resumed, left, RunId(9)]);
    assert_eq!(orphaned(&machine, Lsn::ZERO), []);
}

fn ids<'a>(runs: impl Iterator<Item = (RunId, &'a IndexedRun)>) -> Vec<RunId> {
    runs.map(|(run, _)| run).collect()
}

#[test]
fn a_parent_is_there_before_its_children_and_as_long_as_they_are() {
    let mut machine = Machine::new();
    let child = |run, parent| {
        move |tx: &mut Transaction<'_>| tx.on::<RunIndex>().create_child(run, "child", parent)
    };
    let (one, two, three) = (RunId(1), RunId(2), RunId(3));
    for parent in [one, two] {
        machine.refused(RunError::NoParent { run: one, parent }, child(one, parent));
    }
    machine.commit(|tx| tx.on::<RunIndex>().create(one, "parent"));
    machine.commit(child(three, one));
    machine.commit(child(two, one));
    machine.refused(RunError::Exists { run: two, status: RunStatus::Created }, child(two, three));
    {
        let view = machine.db.view();
        let index = view.on::<RunIndex>();
        assert_eq!(ids(index.children(one)), [two, three]);
        assert_eq!(ids(index.children(one).rev()), [three, two]);
        assert_eq!(index.get(two).unwrap().parent(), Some(one));
        assert_eq!(index.get(one).unwrap().parent(), None);
        assert!(ids(index.children(two)).is_empty());
    }
    let remove = |run| move |tx: &mut Transaction<'_>| tx.on::<RunIndex>().remove(run);
    machine.refused(RunError::HasChildren { run: one, count: 2 }, remove(one));
    machine.commit(|tx| tx.on::<RunIndex>().begin(two));
    let (found, expected) = (RunStatus::Running, "created or ended");
    machine.refused(RunError::NotAllowed { run: two, found, expected }, remove(two));
    machine.commit(|tx| tx.on::<RunIndex>().end(two, RunOutcome::Completed));
    for run in [two, three, one] {
        machine.commit(remove(run));
        machine.refused(RunError::Absent { run }, remove(run));
    }
    assert!(machine.db.view().on::<RunIndex>().is_empty());
    assert_counted(&machine.db);
}

#[test]
fn tags_are_a_set_and_counted() {
    let mut machine = Machine::new();
    machine.commit(|tx| (1..=3).try_for_each(|run| tx.on::<RunIndex>().create(RunId(run), "run")));
    let tag = |run, tag: &'static str| {
        move |tx: &mut Transaction<'_>| tx.on::<RunIndex>().tag(RunId(run), tag)
    };
    let untag = |run, tag: &'static str| {
        move |tx: &mut Transaction<'_>| tx.on::<RunIndex>().untag(RunId(run), tag)
    };
    assert!(machine.commit(tag(1, "nightly")));
    assert!(!machine.commit(tag(1, "nightly")));
    assert!(machine.commit(tag(3, "nightly")));
    assert!(machine.commit(tag(3, "big")));
    let run = RunId(9);
    machine.refused(RunError::Absent { run }, tag(9, "nightly"));
    machine.refused(RunError::Absent { run }, untag(9, "nightly"));
    {
        let view = machine.db.view();
        let index = view.on::<RunIndex>();
        assert_eq!(index.tags().collect::<Vec<_>>(), [("big", 1), ("nightly", 2)]);
        assert_eq!(ids(index.with_tag("nightly")), [RunId(1), RunId(3)]);
        let tags: Vec<_> = index.get(RunId(3)).unwrap().tags().iter().map(|tag| &**tag).collect();
        assert_eq!(tags, ["big", "nightly"]);
        assert!(ids(index.with_tag("never")).is_empty());
    }
    assert!(machine.commit(untag(3, "big")));
    assert!(!machine.commit(untag(3, "big")));
    machine.commit(|tx| tx.on::<RunIndex>().remove(RunId(1)));
    let view = machine.db.view();
    assert_eq!(view.on::<RunIndex>().tags().collect::<Vec<_>>(), [("nightly", 1)]);
}

#[test]
fn what_a_crash_left_running_is_ended_for_one_reason_in_one_entry() {
    let mut machine = Machine::new();
    for (run, status) in (1..).map(RunId).zip(STATUSES) {
        machine.db.transaction(|tx| lead_to(&mut tx.on::<RunIndex>(), run, status)).unwrap();
    }
    let resumed = RunId(7);
    for run in [resumed, RunId(8)] {
        let lead =
            |tx: &mut Transaction<'_>| lead_to(&mut tx.on::<RunIndex>(), run, RunStatus::Running);
        machine.db.transaction(lead).unwrap();
    }
    machine.crash();
    let recovered = machine.db.recovery_report().last_lsn;
    assert_eq!(recovered, machine.db.view().lsn());
    machine.db.transaction(|tx| tx.on::<RunIndex>().tag(resumed, "resumed")).unwrap();
    let end = |before: Lsn| {
        move |tx: &mut Transaction<'_>| {
            tx.on::<RunIndex>().end_orphaned(before, RunOutcome::Failed, "the machine crashed")
        }
    };
    assert_eq!(machine.commit(end(Lsn::ZERO)), []);
    assert_eq!(machine.commit(end(recovered)), [RunId(2), RunId(8)]);
    assert_eq!(machine.commit(end(recovered)), []);
    let view = machine.db.view();
    let index = view.on::<RunIndex>();
    for run in [RunId(2), RunId(8)] {
        let run = index.get(run).unwrap();
        assert_eq!((run.status(), run.reason()), (RunStatus::Failed, Some("the machine crashed")));
        assert!(run.ended().is_some());
    }
    assert_eq!(ids(index.with_status(RunStatus::Running)), [resumed]);
    assert_eq!(index.get(RunId(3)).unwrap().reason(), None);
    assert_counted(&machine.db);
}

#[test]
fn an_end_keeps_its_reason() {
    let mut machine = Machine::new();
    machine.commit(|tx| lead_to(&mut tx.on::<RunIndex>(), RunId(1), RunStatus::Running));
    let because = |tx: &mut Transaction<'_>| {
        tx.on::<RunIndex>().end_because(RunId(1), RunOutcome::Cancelled, "not needed")
    };
    machine.commit(because);
    let run = RunId(1);
    let (found, expected) = (RunStatus::Cancelled, "created or running");
    machine.refused(RunError::NotAllowed { run, found, expected }, because);
    let view = machine.db.view();
    assert_eq!(view.on::<RunIndex>().get(run).unwrap().reason(), Some("not needed"));
}

#[test]
fn every_query_is_all_runs_filtered() {
    const NAMES: [&str; 6] = ["", "a", "ab", "ab/c", "b", "\u{10ffff}"];
    const TEXTS: [&str; 4] = ["", "x", "xy", "z"];
    let seed = Random::seed_from_env(0x7275);
    println!("FREEHOLD_SEED={seed:#x}");
    let mut random = Random::new(seed);
    let mut machine = Machine::new();
    for round in 0..40 {
        machine
            .db
            .transaction(|tx| {
                let mut index = tx.on::<RunIndex>();
                for _ in 0..12 {
                    let run = RunId(random.below(12));
                    let text = |random: &mut Random| TEXTS[random.below(4) as usize];
                    let name = NAMES[random.below(6) as usize];
                    // What is refused is refused; the model is what the index says of each run.
                    let _ = match random.below(8) {
                        0 => index.create(run, name),
                        1 => index.create_child(run, name, RunId(random.below(12))),
                        2 => index.begin(run),
                        3 => index.end(run, RunOutcome::Failed),
                        4 => index.remove(run),
                        5 => index.tag(run, text(&mut random)).map(drop),
                        6 => index.untag(run, text(&mut random)).map(drop),
                        _ => {
                            let value = text(&mut random);
                            let value = (!value.is_empty()).then_some(value);
                            index.update(run, text(&mut random), value)
                        }
                    };
                }
                Ok(())
            })
            .unwrap();
        match random.below(8) {
            0 => machine.crash(),
            1 => machine.close(),
            _ => {}
        }
        let view = machine.db.view();
        let index = view.on::<RunIndex>();
        let filtered =
            |keep: &dyn Fn(&IndexedRun) -> bool| ids(index.iter().filter(|(_, run)| keep(run)));
        for status in RunStatus::ALL {
            assert_eq!(ids(index.with_status(status)), filtered(&|run| run.status() == status));
        }
        for parent in (0..12).map(RunId) {
            let expected = filtered(&|run| run.parent() == Some(parent));
            assert_eq!(ids(index.children(parent)), expected, "round {round}");
            assert!(expected.is_empty() || index.get(parent).is_some());
        }
        for text in TEXTS {
            assert_eq!(ids(index.with_tag(text)), filtered(&|run| run.tags().contains(text)));
            for value in TEXTS {
                let expected =
                    filtered(&|run| run.metadata().get(text).is_some_and(|v| **v == *value));
                assert_eq!(ids(index.with_metadata(text, value)), expected);
            }
        }
        for name in NAMES {
            assert_eq!(ids(index.named(name)), filtered(&|run| run.name() == name));
            let mut found = ids(index.name_prefix(name));
            found.sort_unstable();
            assert_eq!(found, filtered(&|run| run.name().starts_with(name)));
        }
        let moments: Vec<Timestamp> = index.iter().map(|(_, run)| run.created()).collect();
        let moment = |random: &mut Random| {
            let moment = moments.get(random.below(moments.len() as u64 + 1) as usize);
            moment.map_or(Timestamp(0), |moment| Timestamp(moment.0 + random.below(2)))
        };
        for _ in 0..8 {
            let bound = |random: &mut Random| {
                let moment = moment(random);
                match random.below(3) {
                    0 => Bound::Included(moment),
                    1 => Bound::Excluded(moment),
                    _ => Bound::Unbounded,
                }
            };
            let times = (bound(&mut random), bound(&mut random));
            let mut found = ids(index.created_within(times));
            found.sort_unstable();
            assert_eq!(found, filtered(&|run| times.contains(&run.created())));
        }
        assert_counted(&machine.db);
    }
}
