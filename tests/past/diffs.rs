//! What differs between runs, views and records.

use freehold::{ChangeKind, DiffMismatch};

use super::*;

/// The changes as text: which primitive, what happened, to what.
fn told(
    db: &Database,
    before: impl Into<freehold::DiffSide>,
    after: impl Into<freehold::DiffSide>,
) -> Vec<String> {
    let diff = db.diff(before, after).unwrap();
    diff.iter()
        .map(|difference| {
            let sign = match difference.change.kind() {
                ChangeKind::Added => '+',
                ChangeKind::Removed => '-',
                ChangeKind::Changed => '~',
            };
            let key = difference.change.key().map(ToString::to_string).unwrap_or_default();
            format!(
                "{sign} {} {} {} {key}",
                difference.run,
                difference.primitive,
                difference.change.field()
            )
        })
        .collect()
}

#[test]
fn runs_views_and_records_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    for key in 0..1000 {
        put(&db, run, &format!("key {key}"), "same");
    }
    let fork = db.fork(run, "fork").unwrap();
    let before = db.view();
    put(&db, fork, "key 500", "changed");
    put(&db, fork, "new", "added");
    db.run(fork).transaction(|tx| tx.on::<KvStore>().delete(b"key 7")).unwrap();
    db.transaction(|tx| {
        tx.on::<EventLog>().append(
            "thoughts",
            "thought",
            freehold::primitives::Payload::Bytes(b"...".as_slice().into()),
        )
    })
    .unwrap();

    let of_runs = told(&db, run, fork);
    assert_eq!(of_runs.len(), 3, "{of_runs:?}");
    assert!(of_runs.iter().all(|line| line.contains("2 kv")), "{of_runs:?}");
    assert_eq!(of_runs.iter().map(|line| &line[..1]).collect::<String>(), "~-+");
    let back = told(&db, fork, run);
    assert_eq!(back.iter().map(|line| &line[..1]).collect::<String>(), "~+-");

    let of_views = told(&db, &before, db.view());
    assert!(of_views.iter().any(|line| line.starts_with("+ 0 event")), "{of_views:?}");
    assert_eq!(of_views.iter().filter(|line| line.contains(" kv ")).count(), 3);
    assert_eq!(told(&db, before.lsn(), db.view().lsn()), of_views);
    assert!(told(&db, db.view(), db.view()).is_empty());
    assert!(db.diff(run, run).unwrap().is_empty());

    let replayed = db.replay_run(fork).unwrap().view().unwrap();
    assert!(db.diff(fork, replayed).unwrap().is_empty(), "equal, though they share nothing");

    let mixed = db.diff(run, db.view()).unwrap_err();
    assert_eq!(mixed.rejected::<DiffMismatch>(), Some(&DiffMismatch));
    assert!(matches!(db.diff(run, RunId(99)), Err(Error::NoRun { .. })));
}

#[test]
fn a_run_that_is_on_one_side_only_is_all_added_or_all_removed() {
    let db = Database::in_memory().unwrap();
    let before = db.view();
    let run = db.create_run("run").unwrap();
    put(&db, run, "key", "value");
    let added = told(&db, &before, db.view());
    assert_eq!(added.len(), 1);
    assert!(added[0].starts_with("+ 1 kv"), "{added:?}");
    assert!(told(&db, db.view(), &before)[0].starts_with("- 1 kv"));
}
