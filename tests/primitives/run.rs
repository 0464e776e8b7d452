//! `RunIndex`.

use freehold::prelude::*;
use freehold::primitives::{RunCounts, RunError, RunIndex, RunOutcome, RunStatus};

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
    let metadata: Vec<_> = run.metadata().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
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
