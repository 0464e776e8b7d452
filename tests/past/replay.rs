//! Replay and time travel against a model that notes the state at every record.

use std::collections::BTreeMap;

use freehold::testing::Random;
use freehold::{Error, History, Lsn, Timestamp};

use super::*;

type Model = BTreeMap<String, String>;

/// What was true after each record: of each run, and of the root.
#[derive(Default)]
struct Past {
    states: Vec<(Lsn, BTreeMap<RunId, Model>)>,
}

fn content_of(view: &RunView) -> Model {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    view.on::<KvStore>().iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// Random transactions over some runs, with checkpoints between, each record noted.
fn history(db: &Database, seed: u64, records: usize, past: &mut Past) {
    let mut random = Random::new(seed);
    let mut now = past.states.last().map(|(_, runs)| runs.clone()).unwrap_or_default();
    for _ in 0..records {
        let runs: Vec<RunId> = now.keys().copied().filter(|run| *run != RunId::ROOT).collect();
        let pick = |random: &mut Random| runs.get(random.below(runs.len().max(1) as u64) as usize);
        match random.below(20) {
            0 => {
                let name = format!("run {}", random.below(u64::MAX));
                let run = db.create_run(&name).unwrap();
                now.insert(run, Model::new());
            }
            1 if runs.len() > 2 => {
                let run = *pick(&mut random).unwrap();
                db.delete_run(run).unwrap();
                now.remove(&run);
            }
            2 | 3 if !runs.is_empty() => {
                let parent = *pick(&mut random).unwrap();
                let fork = db.fork(parent, &format!("fork {}", random.below(u64::MAX))).unwrap();
                now.insert(fork, now[&parent].clone());
            }
            4 => {
                db.checkpoint().unwrap();
                continue;
            }
            _ => {
                let run = pick(&mut random).copied().filter(|_| !random.one_in(4));
                let run = run.unwrap_or(RunId::ROOT);
                db.transaction(|tx| {
                    for _ in 0..=random.below(3) {
                        let key = format!("key {}", random.below(20));
                        let value = format!("value {}", random.below(1000));
                        let model = now.entry(run).or_default();
                        let mut of_run = tx.run(run)?;
                        if random.one_in(5) {
                            of_run.on::<KvStore>().delete(key.as_bytes())?;
                            model.remove(&key);
                        } else {
                            of_run.on::<KvStore>().put(key.as_bytes(), value.as_bytes())?;
                            model.insert(key, value);
                        }
                    }
                    Ok(())
                })
                .unwrap();
            }
        }
        past.states.push((db.view().lsn(), now.clone()));
    }
}

#[test]
fn every_run_is_replayed_to_every_record_as_it_was_then() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let mut past = Past::default();
        let mut db = open(directory.path());
        for part in 0..3 {
            history(&db, seed * 10 + part, 150, &mut past);
            drop(db);
            db = open(directory.path());
        }
        let mut compared = 0;
        for row in db.view().runs() {
            let replay = db.replay_run(row.id).unwrap();
            assert_eq!(content(&replay.view().unwrap()), live(&db, row.id), "seed {seed}");
            for (lsn, runs) in &past.states {
                if let Some(model) = runs.get(&row.id) {
                    let then = content_of(&replay.until(*lsn).unwrap());
                    assert_eq!(then, *model, "seed {seed}, run {}, LSN {lsn}", row.id);
                    compared += 1;
                }
            }
        }
        assert!(compared > 300, "seed {seed}: {compared}");
    }
}

#[test]
fn the_state_at_every_record_and_at_every_time_can_be_had_where_everything_is_kept() {
    for seed in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let db = options().history(History::All).open(directory.path()).unwrap();
        let mut past = Past::default();
        history(&db, seed, 150, &mut past);
        let mut random = Random::new(seed);
        for _ in 0..120 {
            let (lsn, runs) = &past.states[random.below(past.states.len() as u64) as usize];
            let view = db.view_at(*lsn).unwrap();
            assert_eq!(view.lsn(), *lsn);
            for (run, model) in runs {
                assert_eq!(content_of(&view.run(*run).unwrap()), *model, "LSN {lsn} run {run}");
            }
            assert_eq!(view.runs().len(), runs.keys().filter(|run| **run != RunId::ROOT).count());
            let at_time = db.view_at_time(view.timestamp()).unwrap();
            assert_eq!(at_time.lsn(), *lsn);
            let later = db.view_at_time(Timestamp(view.timestamp().0 + 1)).unwrap();
            assert_eq!(later.lsn(), *lsn);
        }
        assert_eq!(db.view_at_time(Timestamp(0)).unwrap().lsn().0, 1);
    }
}

#[test]
fn what_is_not_kept_is_an_error_that_says_what_is() {
    let directory = tempfile::tempdir().unwrap();
    let db = options().history(History::Wal).open(directory.path()).unwrap();
    let run = db.create_run("run").unwrap();
    for step in 0..300 {
        put(&db, run, &format!("key {step}"), "value");
        if step % 50 == 0 {
            db.checkpoint().unwrap();
        }
    }
    let refused = db.replay_run(run).unwrap_err();
    let Error::HistoryCut { run: of, lsn, left: Some((first, last)) } = refused else {
        panic!("{refused}")
    };
    assert_eq!((of, last), (run, db.view().lsn()));
    assert_eq!(lsn.next(), first, "every record is the run's");
    let text = Error::HistoryCut { run, lsn, left: Some((first, last)) }.to_string();
    assert!(text.contains(&format!("records {first} to {last} are")), "{text}");
    assert!(!directory.path().join("history").exists());

    let memory = Database::in_memory().unwrap();
    let run = memory.create_run("run").unwrap();
    assert!(matches!(memory.replay_run(run), Err(Error::HistoryCut { left: None, .. })));
    assert!(matches!(memory.replay_run(RunId(7)), Err(Error::NoRun { .. })));
}

#[test]
fn who_uses_no_runs_has_no_history() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    for step in 0..300_u32 {
        db.transaction(|tx| tx.on::<KvStore>().put(&step.to_le_bytes(), b"value")).unwrap();
        if step % 50 == 0 {
            assert_eq!(db.checkpoint().unwrap().history_bytes, 0);
        }
    }
    assert!(!directory.path().join("history").exists());
}
