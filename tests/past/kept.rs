//! How forks are stored, and that looking back writes nothing.

use freehold::testing::SimDisk;
use freehold::{Error, History, Lsn};

use super::*;

fn snapshot_bytes(path: &Path) -> u64 {
    let snapshots = std::fs::read_dir(path.join("snapshots")).unwrap();
    snapshots.map(|entry| entry.unwrap().metadata().unwrap().len()).max().unwrap()
}

/// A run with many keys, and forks of it that change ten each.
fn with_forks(db: &Database, keys: u32, forks: u32) -> (RunId, Vec<RunId>) {
    let run = db.create_run("large").unwrap();
    db.run(run)
        .transaction(|tx| {
            for key in 0..keys {
                tx.on::<KvStore>().put(&key.to_be_bytes(), &[7; 20])?;
            }
            Ok(())
        })
        .unwrap();
    let forks = (0..forks)
        .map(|fork| {
            db.transaction(|tx| {
                let forked = tx.fork(run, &format!("fork {fork}"))?;
                for key in 0..10 {
                    let key = (fork * 7919 + key * 104_729) % keys;
                    tx.run(forked)?.on::<KvStore>().put(&key.to_be_bytes(), &fork.to_le_bytes())?;
                }
                Ok(forked)
            })
            .unwrap()
        })
        .collect();
    (run, forks)
}

#[test]
fn a_checkpoint_stores_forks_as_changes() {
    let (alone, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = open(alone.path());
    with_forks(&db, 20_000, 0);
    db.checkpoint().unwrap();
    let db = open(many.path());
    let (run, forks) = with_forks(&db, 20_000, 200);
    db.checkpoint().unwrap();
    let (without, with) = (snapshot_bytes(alone.path()), snapshot_bytes(many.path()));
    assert!(with - without < 200 * 10 * 128 + 100_000, "{without} bytes without, {with} with");
    let state = |db: &Database| db.view().digest().unwrap();
    let was = state(&db);
    drop(db);
    let db = open(many.path());
    assert_eq!(state(&db), was);
    // They share what they have not changed, as they did before.
    let diff = db.diff(run, forks[3]).unwrap();
    assert_eq!(diff.iter().count(), 10);
    // Without their parent the first of them is what the others are changes to.
    db.delete_run(run).unwrap();
    let was = state(&db);
    db.checkpoint().unwrap();
    db.checkpoint().unwrap();
    let orphans = snapshot_bytes(many.path());
    assert!(orphans < with + 200 * 20 * 128, "{orphans} bytes");
    drop(db);
    let db = open(many.path());
    assert_eq!(state(&db), was);
    for fork in &forks[..5] {
        assert_eq!(replayed(&db, *fork), live(&db, *fork));
    }
}

#[test]
fn forks_of_what_is_not_linked_are_there_when_it_is_linked_again() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    put(&db, run, "key", "1");
    let fork = db.fork(run, "fork").unwrap();
    put(&db, fork, "own", "2");
    db.checkpoint().unwrap();
    drop(db);

    let without = || options().detach("kv").on_warning(|_, _| {}).open(directory.path()).unwrap();
    let db = without();
    let second = db.fork(fork, "second").unwrap();
    let third = db.fork(second, "third").unwrap();
    db.delete_run(fork).unwrap();
    db.delete_run(second).unwrap();
    let of_root = db.fork(RunId::ROOT, "of root").unwrap();
    db.checkpoint().unwrap();
    db.checkpoint().unwrap();
    drop(db);
    drop(without());

    for _ in 0..2 {
        let db = open(directory.path());
        assert_eq!(get(&db.run(run).view().unwrap(), "key").as_deref(), Some("1"));
        let third = db.run(third).view().unwrap();
        assert_eq!(get(&third, "key").as_deref(), Some("1"));
        assert_eq!(get(&third, "own").as_deref(), Some("2"));
        assert!(db.run(of_root).view().unwrap().on::<KvStore>().is_empty());
        put(&db, third.id(), "on", "3");
        db.checkpoint().unwrap();
        assert_eq!(replayed(&db, third.id()), live(&db, third.id()));
    }
}

#[test]
fn looking_back_writes_nothing() {
    let disk = SimDisk::new(7);
    let open = || options().disk(disk.shared()).open("db").unwrap();
    let db = open();
    let run = db.create_run("run").unwrap();
    for step in 0..300 {
        put(&db, run, &format!("key {}", step % 50), &step.to_string());
        if step % 60 == 0 {
            db.checkpoint().unwrap();
        }
    }
    let fork = db.fork(run, "fork").unwrap();
    let before = disk.change_count();
    let replay = db.replay_run(fork).unwrap();
    assert_eq!(content(&replay.view().unwrap()), live(&db, fork));
    for lsn in [290, 295, 301] {
        let view = db.view_at(Lsn(lsn)).unwrap();
        db.view_at_time(view.timestamp()).unwrap();
    }
    db.diff(run, fork).unwrap().iter().for_each(drop);
    // Twice is the same.
    let again = db.replay_run(fork).unwrap();
    assert_eq!(again.steps().collect::<Vec<_>>(), replay.steps().collect::<Vec<_>>());
    assert_eq!(disk.change_count(), before, "nothing was written");
}

#[test]
fn a_database_that_is_only_read_can_look_back() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    for step in 0..200 {
        put(&db, run, &format!("key {step}"), "value");
        if step % 60 == 0 {
            db.checkpoint().unwrap();
        }
    }
    let content_of_run = live(&db, run);
    let lsn = Lsn(db.view().lsn().0 - 20);
    drop(db);
    let db = options().read_only(true).open(directory.path()).unwrap();
    assert_eq!(replayed(&db, run), content_of_run);
    assert_eq!(db.view_at(lsn).unwrap().lsn(), lsn);
    drop(db);
    let db = open(directory.path());
    for other in 0..20 {
        let run = db.create_run(&format!("other {other}")).unwrap();
        fill(&db, run, other % 3);
        put(&db, run, "key", "value");
    }
    drop(db);
    let comparison = freehold::compare_runs(directory.path()).unwrap();
    assert_eq!((comparison.same, comparison.different.len()), (21, 0), "{comparison:?}");
}

#[test]
fn what_a_killed_process_left_can_be_looked_back_on_without_changing_it() {
    let disk = SimDisk::new(31);
    let db = options().disk(disk.shared()).open("").unwrap();
    let run = db.create_run("run").unwrap();
    fill(&db, run, 2);
    for step in 0..20 {
        put(&db, run, &format!("key {step}"), "last");
    }
    let (last, content_of_run) = (db.view().lsn(), live(&db, run));
    let killed = disk.after_kill();
    std::mem::forget(db);
    let before = killed.fingerprint();
    let db = options().disk(killed.shared()).read_only(true).open("").unwrap();
    assert_eq!(db.view().lsn(), last);
    assert_eq!(replayed(&db, run), content_of_run);
    assert_eq!(db.view_at(Lsn(last.0 - 20)).unwrap().lsn(), Lsn(last.0 - 20));
    // The records of the segment that has no footer stand behind those of one that has.
    let replay = db.replay_run(run).unwrap();
    let lsns: Vec<u64> = replay.steps().map(|step| step.lsn.0).collect();
    assert_eq!(lsns, (lsns[0]..=last.0).collect::<Vec<_>>());
    assert_eq!(killed.fingerprint(), before);
}

#[test]
fn damage_to_a_history_file_is_told_and_costs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    let other = db.create_run("other").unwrap();
    for step in 0..200 {
        put(&db, run, &format!("key {step}"), "value");
        if step % 60 == 0 {
            db.checkpoint().unwrap();
        }
    }
    put(&db, other, "key", "value");
    drop(db);
    let copy = tempfile::tempdir().unwrap();
    let file =
        std::fs::read_dir(directory.path().join("history")).unwrap().next().unwrap().unwrap();
    freehold::backup(directory.path(), copy.path().join("db")).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    assert!(freehold::verify(directory.path()).unwrap().damaged_history.is_empty());
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(file.path(), &bad).unwrap();
        assert_eq!(
            freehold::verify(directory.path()).unwrap().damaged_history.len(),
            1,
            "byte {at}"
        );
        let db = open(directory.path());
        assert_eq!(db.run(run).view().unwrap().on::<KvStore>().len(), 200);
        match db.replay_run(run).and_then(|replay| replay.view()) {
            // A byte that no entry of this run stands on.
            Ok(view) => assert_eq!(content(&view), live(&db, run), "byte {at}"),
            Err(Error::Corrupt { file, .. }) => {
                assert!(file.starts_with("history"), "{}", file.display());
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    let db = open(&copy.path().join("db"));
    assert_eq!(replayed(&db, run), live(&db, run));
}

fn files_in(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Fills some segments with what a run does, with checkpoints between.
fn fill(db: &Database, run: RunId, rounds: u32) {
    for round in 0..rounds {
        for step in 0..60 {
            put(db, run, &format!("key {step}"), &round.to_string());
        }
        db.checkpoint().unwrap();
    }
}

#[test]
fn a_run_whose_beginning_is_not_kept_goes_on_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().history(History::Wal).open(directory.path()).unwrap();
    let run = db.create_run("run").unwrap();
    fill(&db, run, 4);
    drop(db);
    let db = open(directory.path());
    fill(&db, run, 4);
    let refused = db.replay_run(run).unwrap_err();
    assert!(matches!(refused, Error::HistoryCut { left: Some(_), .. }), "{refused}");
    db.close().unwrap();
    assert_eq!(freehold::compare_runs(directory.path()).unwrap().cut, [run]);
}

#[test]
fn whichever_file_of_a_history_is_lost_its_run_says_so_and_what_was_given_up_is_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let compared = || freehold::compare_runs(&path).unwrap();
    let db = options().history(History::All).open(&path).unwrap();
    let run = db.create_run("run").unwrap();
    fill(&db, run, 6);
    drop(db);
    // From the log of a database that keeps all of it, and from history files.
    let segments = files_in(&path.join("wal")).into_iter().take(3);
    let lose_each = |files: Vec<std::path::PathBuf>| {
        assert!(!files.is_empty());
        for file in files {
            let aside = directory.path().join("aside");
            std::fs::rename(&file, &aside).unwrap();
            let comparison = compared();
            assert_eq!((&comparison.cut[..], comparison.failed.len()), (&[][..], 1), "{file:?}");
            let (_, why) = &comparison.failed[0];
            assert!(why.contains(" of its history must be kept, and is not there"), "{why}");
            std::fs::rename(&aside, &file).unwrap();
            assert_eq!(compared().same, 1);
        }
    };
    lose_each(segments.collect());
    let db = open(&path);
    fill(&db, run, 4);
    drop(db);
    lose_each(files_in(&path.join("history")));

    // It is given up only once every snapshot that is kept says so.
    let db = options().history(History::Wal).open(&path).unwrap();
    for is_there in [true, true, false] {
        db.checkpoint().unwrap();
        assert_eq!(!files_in(&path.join("history")).is_empty(), is_there);
        put(&db, run, "key", "given up");
        db.checkpoint().unwrap();
    }
    drop(db);
    assert!(files_in(&path.join("history")).is_empty());
    assert_eq!(compared().cut, [run]);
    // What follows is kept again, and the loss of it is one.
    let db = open(&path);
    let second = db.create_run("second").unwrap();
    fill(&db, second, 4);
    drop(db);
    assert_eq!((compared().cut, compared().same), (vec![run], 1));
    std::fs::remove_dir_all(path.join("history")).unwrap();
    assert_eq!((compared().cut.len(), compared().failed.len()), (1, 1), "{:?}", compared());
    // A database that is made of a state has no history from before it.
    let last = freehold::inspect(&path).unwrap().lsn();
    freehold::stop_before(&path, last, directory.path().join("made")).unwrap();
    let made = freehold::compare_runs(directory.path().join("made")).unwrap();
    assert_eq!((made.cut.len(), made.failed.len()), (2, 0), "{made:?}");
}

/// A run with history files, from there on the calls of a database that gives them up, and the first of
/// those.
fn giving_up(fails: impl Fn(&SimDisk)) -> (SimDisk, RunId, u64) {
    let disk = SimDisk::new(23);
    let options = || options().disk(disk.shared()).on_warning(|_, _| {}).threads(1);
    let db = options().open("").unwrap();
    let run = db.create_run("run").unwrap();
    fill(&db, run, 3);
    db.close().unwrap();
    let first = disk.call_count();
    fails(&disk);
    if let Ok(db) = options().history(History::Wal).open("") {
        for value in [b"0", b"1", b"2"] {
            let on = db.run(run);
            let written = on.transaction(|tx| tx.on::<KvStore>().put(b"key", value));
            if written.and_then(|_| db.checkpoint()).is_err() {
                break;
            }
        }
        std::mem::forget(db);
    }
    (disk, run, first)
}

/// Whether the run can be replayed from what is on the disk. If not, it was given up.
fn is_replayed(disk: &SimDisk, run: RunId, place: &str) -> bool {
    disk.heal();
    let options = || options().disk(disk.shared()).on_warning(|_, _| {}).threads(1);
    let db = options().open("").unwrap_or_else(|error| panic!("{place}: {error}"));
    match db.replay_run(run) {
        Ok(replay) => {
            assert_eq!(content(&replay.view().unwrap()), live(&db, run), "{place}");
            true
        }
        Err(Error::HistoryCut { .. }) => false,
        Err(error) => panic!("{place}: {error}"),
    }
}

/// Damages the newest snapshot, and says whether there is one beside it.
fn spoil_newest_snapshot(disk: &SimDisk) -> bool {
    let is_snapshot = |path: &Path| path.extension().is_some_and(|it| it == "snapshot");
    let files = disk.files().into_iter().map(|(path, _)| path);
    let snapshots: Vec<_> = files.filter(|path| is_snapshot(path)).collect();
    snapshots.iter().max().is_some_and(|newest| disk.flip(newest, 100, 1)) && snapshots.len() > 1
}

#[test]
fn a_history_that_is_being_given_up_is_never_called_lost_wherever_that_ends() {
    let (disk, run, first) = giving_up(|_| {});
    let mut seen = std::collections::BTreeSet::new();
    for point in disk.crash_points().filter(|point| point.before() >= first) {
        for survival in point.survivals(4, 5) {
            let place = format!("before call {}, {survival:?}", point.before());
            seen.insert((false, is_replayed(&point.disk(survival), run, &place)));
            let damaged = point.disk(survival);
            if spoil_newest_snapshot(&damaged) {
                let place = format!("{place}, newest snapshot damaged");
                seen.insert((true, is_replayed(&damaged, run, &place)));
            }
        }
    }
    for call in first..disk.call_count() {
        let place = format!("no space from call {call} on");
        let fails = |disk: &SimDisk| disk.fail_calls_from(call, std::io::ErrorKind::StorageFull);
        let (full, ..) = giving_up(fails);
        seen.insert((false, is_replayed(&full.after_kill(), run, &place)));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn an_opening_removes_no_history_that_a_snapshot_says_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    fill(&db, run, 1);
    put(&db, run, "key", "behind the snapshot");
    drop(db);
    // No opening needs it any more: what stands in it is in the snapshot.
    let first = files_in(&directory.path().join("wal")).remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    let footer = bytes.len() - 30;
    bytes[footer] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let giving_up = || options().history(History::Wal).open(directory.path()).unwrap();
    drop(giving_up());
    assert!(first.exists());
    let db = giving_up();
    for value in ["0", "1"] {
        put(&db, run, "key", value);
        db.checkpoint().unwrap();
    }
    drop(db);
    drop(giving_up());
    assert!(!first.exists());
}

#[test]
fn who_only_reads_does_not_call_lost_what_another_process_removed_by_right() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    let other = db.create_run("other").unwrap();
    fill(&db, run, 3);
    drop(db);
    let reader = || Options::new().read_only(true).open(directory.path()).unwrap();
    let early = reader();
    assert_eq!(replayed(&early, run), live(&early, run));
    let db = open(directory.path());
    db.delete_run(run).unwrap();
    fill(&db, other, 3);
    drop(db);
    let refused = early.replay_run(run).unwrap_err();
    assert!(matches!(refused, Error::HistoryCut { .. }), "{refused}");
    let late = reader();
    assert_eq!(replayed(&late, other), live(&late, other));
}

#[test]
fn a_gap_in_the_history_is_found_also_after_what_is_around_it_was_merged() {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history");
    let files = || files_in(&history);
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    fill(&db, run, 3);
    drop(db);
    let first = files();
    let aside = directory.path().join("aside");
    std::fs::rename(&first[0], &aside).unwrap();
    let db = open(directory.path());
    fill(&db, run, 3);
    let later = files();
    std::fs::rename(&aside, &first[0]).unwrap();
    drop(db);
    std::fs::rename(&later[0], &aside).unwrap();
    let db = open(directory.path());
    fill(&db, run, 8);
    assert!(files().len() < 4, "{:?}", files());
    let refused = db.replay_run(run).unwrap_err();
    assert!(matches!(refused, Error::HistoryLost { .. }), "{refused}");
    assert_eq!(live(&db, run).len(), 1);
}

#[test]
fn history_of_another_database_or_of_records_that_were_taken_back_is_set_aside() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backup = one.path().join("backup");
    let path = one.path().join("db");
    let db = open(&path);
    let run = db.create_run("run").unwrap();
    fill(&db, run, 2);
    freehold::backup(&path, &backup).unwrap();
    fill(&db, run, 6);
    drop(db);
    // The log as it was, and the history of what came then.
    for directory in ["wal", "snapshots"] {
        std::fs::remove_dir_all(path.join(directory)).unwrap();
        std::fs::rename(backup.join(directory), path.join(directory)).unwrap();
    }
    let db = open(&path);
    put(&db, run, "another", "timeline");
    assert!(
        db.replay_run(run).is_ok_and(|replay| content(&replay.view().unwrap()) == live(&db, run))
            || matches!(db.replay_run(run), Err(Error::Corrupt { .. }))
    );
    fill(&db, run, 6);
    let is_whole =
        db.replay_run(run).map(|replay| content(&replay.view().unwrap()) == live(&db, run));
    assert!(matches!(is_whole, Err(Error::HistoryLost { .. })), "{is_whole:?}");

    let db = open(other.path());
    let other_run = db.create_run("run").unwrap();
    fill(&db, other_run, 4);
    drop(db);
    let history = other.path().join("history");
    std::fs::remove_dir_all(&history).unwrap();
    std::fs::rename(path.join("history"), &history).unwrap();
    let db = open(other.path());
    fill(&db, other_run, 4);
    let refused = db.replay_run(other_run).unwrap_err();
    assert!(matches!(refused, Error::HistoryLost { .. }), "{refused}");
    let names: Vec<_> =
        std::fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().ends_with(".foreign")), "{names:?}");
}

#[test]
fn a_base_that_is_no_ancestor_outlives_its_run_while_it_is_not_linked() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let (run, forks) = with_forks(&db, 2_000, 3);
    db.delete_run(run).unwrap();
    db.checkpoint().unwrap();
    let third = live(&db, forks[2]);
    drop(db);
    let without = || options().detach("kv").on_warning(|_, _| {}).open(directory.path()).unwrap();
    let db = without();
    db.delete_run(forks[0]).unwrap();
    db.checkpoint().unwrap();
    db.checkpoint().unwrap();
    drop(db);
    drop(without());
    let db = open(directory.path());
    assert_eq!(live(&db, forks[2]), third);
    db.checkpoint().unwrap();
    drop(db);
    assert_eq!(live(&open(directory.path()), forks[2]), third);
}

#[test]
fn a_history_file_with_something_of_a_later_build_is_never_written_anew_nor_in_the_way() {
    // Compatible, read-only compatible, incompatible, version.
    for (at, bit, is_read) in [(16, 1, true), (24, 2, true), (32, 4, false), (8, 2, false)] {
        let directory = tempfile::tempdir().unwrap();
        let history = directory.path().join("history");
        let files = || files_in(&history);
        let db = open(directory.path());
        let run = db.create_run("run").unwrap();
        fill(&db, run, 3);
        drop(db);
        let [file] = &files()[..] else { panic!("one file is enough: {:?}", files()) };
        let mut bytes = std::fs::read(file).unwrap();
        bytes[at] = bit;
        seal(&mut bytes);
        std::fs::write(file, &bytes).unwrap();
        let db = open(directory.path());
        fill(&db, run, 3);
        let replayed = db.replay_run(run).and_then(|replay| replay.view());
        match replayed {
            Ok(view) if is_read => assert_eq!(content(&view), live(&db, run)),
            Err(Error::Version { .. }) if !is_read => {}
            other => panic!("{other:?}"),
        }
        // What does not need it is not kept from its own history.
        let other = db.create_run("other").unwrap();
        fill(&db, other, 3);
        assert_eq!(super::replayed(&db, other), live(&db, other));
        assert_eq!(std::fs::read(file).unwrap(), bytes, "it is there, and as it was");
        assert!(files().len() > 1, "others stand beside it");
    }
}

#[test]
fn what_was_merged_is_kept_while_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history");
    let files = || files_in(&history);
    let db = open(directory.path());
    let run = db.create_run("run").unwrap();
    fill(&db, run, 3);
    let [first] = &files()[..] else { panic!("one file is enough: {:?}", files()) };
    // As if a later build had merged it with what followed, and not yet removed it.
    let name = first.file_name().unwrap().to_str().unwrap();
    let merged = history.join(format!("{}-{:020}.history", &name[..20], 1_000_000));
    let mut bytes = std::fs::read(first).unwrap();
    bytes[64..72].copy_from_slice(&1_000_000_u64.to_le_bytes());
    bytes[32] = 4;
    seal(&mut bytes);
    std::fs::write(&merged, &bytes).unwrap();
    drop(db);
    let db = open(directory.path());
    assert_eq!(replayed(&db, run), live(&db, run));
    fill(&db, run, 4);
    assert_eq!(std::fs::read(&merged).unwrap(), bytes);
    let known = files();
    assert!(known.len() > 1, "{known:?}");
    assert_eq!(replayed(&db, run), live(&db, run));
    drop(db);
    let db = open(directory.path());
    assert_eq!(replayed(&db, run), live(&db, run));
}

#[test]
fn a_file_of_another_database_takes_no_files_place_and_is_not_read() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [db, other] = [&directory, &elsewhere].map(|at| open(at.path()));
    let run = db.create_run("run").unwrap();
    fill(&db, run, 3);
    let others = other.create_run("another run").unwrap();
    fill(&other, others, 8);
    drop(other);
    let [ours, theirs] =
        [&directory, &elsewhere].map(|at| files_in(&at.path().join("history")).remove(0));
    let covering = ours.with_file_name(theirs.file_name().unwrap());
    assert!(covering > ours, "theirs holds the records of ours, by its name");
    std::fs::copy(&theirs, &covering).unwrap();
    drop(db);
    let db = open(directory.path());
    assert_eq!(replayed(&db, run), live(&db, run));
    fill(&db, run, 3);
    assert_eq!(replayed(&db, run), live(&db, run));

    // Nor where the newest cannot be read, which would have told.
    let newest = files_in(&directory.path().join("history")).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    drop(db);
    let db = open(directory.path());
    let refused = db.replay_run(run).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
}

/// Makes the checksums of a file right again whose header was changed.
fn seal(bytes: &mut [u8]) {
    let header_end = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let trailer = bytes.len() - 48;
    let mut put = |at: usize, range: std::ops::Range<usize>| {
        let crc = crc32fast::hash(&bytes[range]).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&crc);
        crc
    };
    let header_crc = put(header_end - 4, 0..header_end - 4);
    put(trailer + 28, 0..trailer);
    bytes[trailer + 24..trailer + 28].copy_from_slice(&header_crc);
    let crc = crc32fast::hash(&bytes[trailer..trailer + 36]).to_le_bytes();
    bytes[trailer + 36..trailer + 40].copy_from_slice(&crc);
}
