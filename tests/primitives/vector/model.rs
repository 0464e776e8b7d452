//! `VectorStore` beside a model: random operations, and searches in views of all ages.
//!
//! - The model of a moment is kept with the view of that moment, and answers by looking at everything.
//! - Views are searched in any order, so graphs meet newer and older ones, and such as lie between two
//!   that they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freehold::prelude::*;
use freehold::primitives::{Method, Metric, Search, VectorStore};
use freehold::testing::Random;

use crate::machine::Machine;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

type Point = [f32; 4];

/// The vectors of one collection by their IDs.
type Model = BTreeMap<String, Point>;

fn point(random: &mut Random) -> Point {
    // Few numbers, so that some vectors are equal and some are zero.
    [(); 4].map(|()| random.below(9) as f32 - 4.0)
}

fn distance(metric: Metric, one: &Point, other: &Point) -> f32 {
    let sum = |of: &dyn Fn(f32, f32) -> f32| -> f32 {
        one.iter().zip(other).map(|(one, other)| of(*one, *other)).sum()
    };
    let dot = sum(&|one, other| one * other);
    match metric {
        Metric::Dot => -dot,
        Metric::L2 => sum(&|one, other| (one - other) * (one - other)),
        Metric::Cosine => {
            let lengths = (sum(&|one, _| one * one) * sum(&|_, other| other * other)).sqrt();
            if lengths == 0.0 { 1.0 } else { 1.0 - dot / lengths }
        }
    }
}

/// How many of the nearest distances were found, of how many.
#[derive(Default)]
struct Score {
    found: usize,
    asked: usize,
}

/// Searches the view; what is found must be the view's own, rightly measured and in order. Whether all
/// that is nearest was found is counted, and must be so for an exact search.
fn check(view: &View, model: &Model, query: &Point, method: Method, score: &mut Score) {
    let vectors = view.on::<VectorStore>();
    for metric in METRICS {
        let search = Search::new(query, 8).metric(metric).method(method);
        let hits = vectors.find("c", &search).unwrap();
        let mut all: Vec<f32> = model.values().map(|each| distance(metric, query, each)).collect();
        all.sort_by(f32::total_cmp);
        all.truncate(8);
        assert_eq!(hits.len(), all.len(), "as many as there are");
        assert!(hits.is_sorted(), "{hits:?}");
        let mut left = all.iter();
        for hit in &hits {
            let own = model.get(hit.id()).expect("a hit is in its view");
            assert_eq!(hit.vector(), own, "as it is in its view");
            assert!((hit.distance() - distance(metric, query, own)).abs() < 1e-5);
            score.asked += 1;
            let nearest = *left.next().unwrap();
            if (hit.distance() - nearest).abs() < 1e-5 {
                score.found += 1;
            } else {
                assert_ne!(method, Method::Exact, "{metric:?}: {hits:?}, expected {all:?}");
            }
        }
    }
}

fn change(
    vectors: &mut <VectorStore as PrimitiveStorageExt>::Handle<'_>,
    model: &mut Model,
    random: &mut Random,
) -> Result<()> {
    let id = format!("{:03}", random.below(400));
    let new = point(random);
    match (random.below(4), model.contains_key(&id)) {
        (0, true) => {
            vectors.delete("c", &id)?;
            model.remove(&id);
            return Ok(());
        }
        (_, true) => vectors.update("c", &id, &new, None)?,
        (_, false) => vectors.insert("c", &id, &new, None)?,
    }
    model.insert(id, new);
    Ok(())
}

#[test]
fn views_of_all_ages_find_what_they_hold() {
    let mut random = Random::new(Random::seed_from_env(0x70));
    let mut machine = Machine::new();
    let mut model = Model::new();
    let mut kept: Vec<(View, Model)> = Vec::new();
    let mut score = Score::default();
    machine
        .db
        .transaction(|tx| tx.on::<VectorStore>().create_collection("c", 4, Metric::L2))
        .unwrap();
    for round in 0..400 {
        let count = 1 + random.below(30);
        machine
            .db
            .transaction(|tx| {
                (0..count)
                    .try_for_each(|_| change(&mut tx.on::<VectorStore>(), &mut model, &mut random))
            })
            .unwrap();
        if random.below(8) == 0 {
            let mut undone = model.clone();
            let aborted: Result<()> = machine.db.transaction(|tx| {
                change(&mut tx.on::<VectorStore>(), &mut undone, &mut random)?;
                Err(Error::abort("no"))
            });
            assert!(aborted.is_err());
        }
        match round % 100 {
            40 => machine.crash(),
            80 => machine.close(),
            _ => {}
        }
        kept.push((machine.db.view(), model.clone()));
        if kept.len() > 12 {
            let forgotten = random.below(kept.len() as u64) as usize;
            kept.remove(forgotten);
        }
        for _ in 0..3 {
            let (view, then) = &kept[random.below(kept.len() as u64) as usize];
            let query = point(&mut random);
            check(view, then, &query, Method::Exact, &mut Score::default());
            check(view, then, &query, Method::Graph, &mut score);
        }
    }
    let recall = score.found as f64 / score.asked as f64;
    println!("recall of views of all ages: {recall:.4} of {}", score.asked);
    assert!(recall > 0.999, "{recall}");
}

#[test]
fn threads_search_views_of_all_ages_while_graphs_grow() {
    let mut random = Random::new(Random::seed_from_env(0x71));
    let db = Database::in_memory().unwrap();
    let mut model = Model::new();
    db.transaction(|tx| tx.on::<VectorStore>().create_collection("c", 4, Metric::L2)).unwrap();
    let done = AtomicBool::new(false);
    let newest = std::sync::Mutex::new(Arc::new((db.view(), model.clone())));
    std::thread::scope(|scope| {
        let searchers: Vec<_> = (0..3)
            .map(|thread| {
                let (done, newest) = (&done, &newest);
                scope.spawn(move || {
                    let mut random = Random::new(Random::seed_from_env(0x72 + thread));
                    let mut older: Vec<Arc<(View, Model)>> = Vec::new();
                    let mut score = Score::default();
                    while !done.load(Ordering::Relaxed) {
                        older.push(Arc::clone(&newest.lock().unwrap()));
                        if older.len() > 5 {
                            older.remove(random.below(5) as usize);
                        }
                        let (view, model) = &*older[random.below(older.len() as u64) as usize];
                        check(view, model, &point(&mut random), Method::Graph, &mut score);
                    }
                    score
                })
            })
            .collect();
        for _ in 0..300 {
            db.transaction(|tx| {
                (0..20)
                    .try_for_each(|_| change(&mut tx.on::<VectorStore>(), &mut model, &mut random))
            })
            .unwrap();
            *newest.lock().unwrap() = Arc::new((db.view(), model.clone()));
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
        for searcher in searchers {
            let Score { found, asked } = searcher.join().unwrap();
            let recall = found as f64 / asked as f64;
            assert!(asked == 0 || recall > 0.98, "{recall} of {asked}");
        }
    });
}
