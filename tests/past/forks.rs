//! Forks: they begin with everything their parent has, and go their own way.

use freehold::Error;

use super::*;

#[test]
fn a_fork_begins_with_what_its_parent_has_and_goes_its_own_way() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let parent = db.create_run("parent").unwrap();
    put(&db, parent, "both", "old");
    let fork = db.fork(parent, "fork").unwrap();
    put(&db, fork, "both", "fork's");
    put(&db, parent, "parent's", "new");
    let check = |db: &Database| {
        let view = db.view();
        let (parent, fork) = (view.run(parent).unwrap(), view.run(fork).unwrap());
        assert_eq!(get(&parent, "both").as_deref(), Some("old"));
        assert_eq!(get(&parent, "parent's").as_deref(), Some("new"));
        assert_eq!(get(&fork, "both").as_deref(), Some("fork's"));
        assert_eq!(get(&fork, "parent's"), None);
        let row = view.runs().nth(1).unwrap();
        assert_eq!(row.parent.map(|(run, _)| run), Some(parent.id()));
    };
    check(&db);
    drop(db);
    let db = open(directory.path());
    check(&db);
    db.checkpoint().unwrap();
    drop(db);
    let db = open(directory.path());
    check(&db);
    assert_eq!(replayed(&db, fork), live(&db, fork));
    assert_eq!(replayed(&db, parent), live(&db, parent));
}

#[test]
fn a_fork_in_a_transaction_has_what_the_transaction_changed_before_it_and_nothing_after() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let parent = db.create_run("parent").unwrap();
    put(&db, parent, "key", "1");
    let forks = db
        .transaction(|tx| {
            let before = tx.fork(parent, "before")?;
            tx.run(parent)?.on::<KvStore>().put(b"key", b"2")?;
            let between = tx.fork(parent, "between")?;
            tx.run(between)?.on::<KvStore>().put(b"own", b"x")?;
            let grandchild = tx.fork(between, "grandchild")?;
            tx.run(parent)?.on::<KvStore>().put(b"key", b"3")?;
            let fresh = tx.create_run("fresh")?;
            tx.run(fresh)?.on::<KvStore>().put(b"key", b"4")?;
            let of_fresh = tx.fork(fresh, "of fresh")?;
            Ok([before, between, grandchild, of_fresh])
        })
        .unwrap();
    let check = |db: &Database| {
        for (run, (key, own)) in
            forks.iter().zip([("1", None), ("2", Some("x")), ("2", Some("x")), ("4", None)])
        {
            let view = db.run(*run).view().unwrap();
            assert_eq!(get(&view, "key").as_deref(), Some(key));
            assert_eq!(get(&view, "own").as_deref(), own);
            assert_eq!(replayed(db, *run), live(db, *run), "run {run}");
        }
    };
    check(&db);
    drop(db);
    check(&open(directory.path()));
}

#[test]
fn a_fork_that_is_given_up_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let parent = db.create_run("parent").unwrap();
    put(&db, parent, "key", "1");
    let given_up = db.transaction(|tx| {
        let fork = tx.fork(parent, "fork")?;
        tx.run(fork)?.on::<KvStore>().put(b"key", b"2")?;
        Err::<(), _>(Error::abort("never mind"))
    });
    assert!(matches!(given_up, Err(Error::Aborted(_))));
    assert_eq!(db.view().runs().len(), 1);
    let other = db.create_run("fork").unwrap();
    assert_eq!(get(&db.run(other).view().unwrap(), "key"), None);
    assert!(matches!(db.fork(RunId(99), "x"), Err(Error::NoRun { .. })));
    assert!(matches!(db.fork(parent, "fork"), Err(Error::Rejected(_))));
    assert!(matches!(db.fork(parent, ""), Err(Error::Rejected(_))));
}

#[test]
fn a_fork_outlives_its_parent_and_can_still_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let parent = db.create_run("parent").unwrap();
    for step in 0..200 {
        put(&db, parent, &format!("key {step}"), "value");
    }
    let child = db.fork(parent, "child").unwrap();
    let grandchild = db.fork(child, "grandchild").unwrap();
    put(&db, grandchild, "own", "1");
    db.delete_run(parent).unwrap();
    db.delete_run(child).unwrap();
    for round in 0..4 {
        put(&db, grandchild, "round", &round.to_string());
        db.checkpoint().unwrap();
        assert_eq!(db.run(grandchild).view().unwrap().on::<KvStore>().len(), 202);
        assert_eq!(replayed(&db, grandchild), live(&db, grandchild), "round {round}");
    }
    drop(db);
    let db = open(directory.path());
    assert_eq!(replayed(&db, grandchild), live(&db, grandchild));
    let history = directory.path().join("history");
    assert!(std::fs::read_dir(&history).unwrap().count() > 0);
    db.delete_run(grandchild).unwrap();
    for _ in 0..3 {
        db.transaction(|tx| tx.on::<KvStore>().put(b"root", b"goes on")).unwrap();
        db.checkpoint().unwrap();
    }
    assert_eq!(std::fs::read_dir(&history).unwrap().count(), 0, "nobody needs it any more");
}

#[test]
fn the_root_can_be_forked() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"root's")).unwrap();
    let fork = db.fork(RunId::ROOT, "fork").unwrap();
    put(&db, fork, "own", "1");
    db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"changed")).unwrap();
    let check = |db: &Database| {
        let view = db.run(fork).view().unwrap();
        assert_eq!(get(&view, "key").as_deref(), Some("root's"));
        assert_eq!(get(&view, "own").as_deref(), Some("1"));
    };
    check(&db);
    assert_eq!(replayed(&db, fork), live(&db, fork));
    assert_eq!(replayed(&db, RunId::ROOT), live(&db, RunId::ROOT));
    db.checkpoint().unwrap();
    drop(db);
    check(&open(directory.path()));
}

#[test]
fn what_was_made_in_the_same_transaction_can_be_forked_there() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let (empty, fork, again) = db
        .transaction(|tx| {
            let empty = tx.create_run("empty")?;
            let fork = tx.fork(empty, "fork")?;
            Ok((empty, fork, tx.fork(fork, "again")?))
        })
        .unwrap();
    let of_nothing = db.fork(again, "of nothing").unwrap();
    put(&db, again, "key", "1");
    let check = |db: &Database| {
        for (run, len) in [(empty, 0), (fork, 0), (again, 1), (of_nothing, 0)] {
            assert_eq!(db.run(run).view().unwrap().on::<KvStore>().len(), len, "run {run}");
            assert_eq!(replayed(db, run), live(db, run), "run {run}");
        }
    };
    check(&db);
    drop(db);
    let db = open(directory.path());
    check(&db);
    db.checkpoint().unwrap();
    drop(db);
    check(&open(directory.path()));
}

#[test]
fn the_root_is_forked_as_it_was_also_after_it_was_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().history(freehold::History::All).open(directory.path()).unwrap();
    db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"1")).unwrap();
    let then = db.view().lsn();
    db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"2")).unwrap();
    let last = db.view().run(RunId::ROOT).unwrap().last_lsn();
    assert_eq!(last, db.view().lsn());
    db.checkpoint().unwrap();
    drop(db);
    let db = options().history(freehold::History::All).open(directory.path()).unwrap();
    assert_eq!(db.view().run(RunId::ROOT).unwrap().last_lsn(), last);
    let fork = db.fork_at(RunId::ROOT, then, "then").unwrap();
    assert_eq!(get(&db.run(fork).view().unwrap(), "key").as_deref(), Some("1"));
    assert_eq!(replayed(&db, RunId::ROOT), live(&db, RunId::ROOT));
}
