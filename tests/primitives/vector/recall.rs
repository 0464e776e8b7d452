//! What the graph finds of the true neighbours, on real vectors.
//!
//! - Each set goes through its stages; at each, all queries are asked by both metrics, exactly and by the
//!   graph, with the effort that is the default.
//! - `--nocapture` prints a table.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use freehold::prelude::*;
use freehold::primitives::vector::EXACT_NUMBERS_MAX;
use freehold::primitives::{Hit, Method, Metric, Search, VectorStore};

use super::sets::{SETS, STAGES, Set, distance};

const METRICS: [(&str, Metric); 2] = [("cosine", Metric::Cosine), ("l2", Metric::L2)];

/// How much of what should be found was found.
#[derive(Clone, Copy, Debug, Default)]
struct Recall {
    by_id: f64,
    by_distance: f64,
}

fn id(row: usize) -> String {
    format!("{row:05}")
}

/// Compares the hits with the ten that are known to be nearest. Of equal vectors any may be found, so
/// a hit counts by its distance too.
fn recall(set: &Set, stage: &str, metric: &str, hits: &[Vec<Hit<'_>>]) -> Recall {
    let rows = set.at(stage);
    let mut recall = Recall::default();
    let nearest = set.nearest(stage, metric);
    let each = 1.0 / (nearest.len() * 10) as f64;
    for ((query, ten), hits) in set.queries.iter().zip(&nearest).zip(hits) {
        let last = rows[*ten.last().unwrap()].as_ref().unwrap();
        let farthest = distance(metric, query, last);
        // What single precision cannot tell apart.
        let farthest = farthest + farthest.abs().max(1e-2) * 1e-5;
        assert_eq!(hits.len(), 10);
        for hit in hits {
            let row: usize = hit.id().parse().unwrap();
            let vector = rows[row].as_ref().expect("a deleted vector is found by no search");
            assert_eq!(hit.vector(), vector, "{row} is found as it was before");
            recall.by_id += f64::from(ten.contains(&row)) * each;
            recall.by_distance += f64::from(distance(metric, query, vector) <= farthest) * each;
        }
    }
    recall
}

fn sets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors")
}

/// Asks all queries.
fn ask<'v>(view: &'v View, set: &Set, metric: Metric, method: Method) -> Vec<Vec<Hit<'v>>> {
    let vectors = view.on::<VectorStore>();
    let search = |query: &Vec<f32>| {
        let search = Search::new(query, 10).metric(metric).method(method);
        vectors.find("set", &search).unwrap()
    };
    set.queries.iter().map(search).collect()
}

fn step(db: &Database, set: &Set, stage: &str) {
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        match stage {
            "all" => {
                let dimension = u32::try_from(set.base[0].len()).unwrap();
                vectors.create_collection("set", dimension, Metric::Cosine)?;
                for (row, vector) in set.base.iter().enumerate() {
                    vectors.insert("set", &id(row), vector, None)?;
                }
            }
            "deleted" => {
                for row in &set.deleted {
                    assert!(vectors.delete("set", &id(*row))?);
                }
            }
            _ => {
                for (row, vector) in &set.updated {
                    vectors.update("set", &id(*row), vector, None)?;
                }
            }
        }
        Ok(())
    })
    .unwrap();
}

/// What was found, without the view.
fn found(hits: &[Vec<Hit<'_>>]) -> Vec<(String, f32)> {
    hits.iter().flatten().map(|hit| (hit.id().to_owned(), hit.distance())).collect()
}

#[test]
fn the_graph_finds_the_nearest_of_real_vectors_after_deletes_updates_and_reopening() {
    println!("| set | stage | metric | exact | graph, by ID | by distance | in the graph |");
    println!("|---|---|---|---|---|---|---|");
    for name in SETS {
        let set = Set::read(&sets(), name);
        let directory = tempfile::tempdir().unwrap();
        let options = || {
            Options::new()
                .durability(Durability::Buffered { sync_every: std::time::Duration::from_secs(1) })
        };
        let mut db = options().open(directory.path()).unwrap();
        let mut before = HashMap::new();
        for stage in [&STAGES[..], &["reopened"]].concat() {
            if stage == "reopened" {
                db.close().unwrap();
                db = options().open(directory.path()).unwrap();
            } else {
                step(&db, &set, stage);
            }
            let known = STAGES.iter().find(|known| **known == stage).unwrap_or(&"updated");
            let view = db.view();
            for (label, metric) in METRICS {
                let exact = ask(&view, &set, metric, Method::Exact);
                let by_graph = ask(&view, &set, metric, Method::Graph);
                let in_graph =
                    view.on::<VectorStore>().graph_len("set", metric).expect("it is used");
                let (of_exact, of_graph) =
                    (recall(&set, known, label, &exact), recall(&set, known, label, &by_graph));
                println!(
                    "| {name} | {stage} | {label} | {:.4} | {:.4} | {:.4} | {in_graph} |",
                    of_exact.by_distance, of_graph.by_id, of_graph.by_distance
                );
                assert!(of_exact.by_distance > 0.999_9, "{name} {stage} {label}: {of_exact:?}");
                assert!(of_graph.by_distance >= 0.99, "{name} {stage} {label}: {of_graph:?}");
                let before = before.entry(label).or_insert_with(|| (found(&exact), of_graph));
                if STAGES.contains(&stage) {
                    *before = (found(&exact), of_graph);
                } else {
                    assert_eq!(found(&exact), before.0, "{name} {stage} {label}: exactly the same");
                    let change = of_graph.by_distance - before.1.by_distance;
                    assert!(change.abs() <= 0.005, "{name} {stage} {label}: changed by {change}");
                }
            }
        }
    }
}

#[test]
fn opening_builds_the_graphs_of_large_collections_if_it_is_asked_to() {
    let count = EXACT_NUMBERS_MAX / 256 + 1;
    let directory = tempfile::tempdir().unwrap();
    let open = |yes| Options::new().build_indexes(yes).open(directory.path()).unwrap();
    let db = open(true);
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("set", 256, Metric::Cosine)?;
        for row in 0..count {
            let angle = row as f32 / count as f32;
            let vector = [[angle.cos(), angle.sin()]; 128].concat();
            vectors.insert("set", &row.to_string(), &vector, None)?;
        }
        vectors.create_collection("small", 2, Metric::L2)?;
        vectors.insert("small", "a", &[1.0, 2.0], None)
    })
    .unwrap();
    db.close().unwrap();
    for build in [true, false] {
        let db = open(build);
        let view = db.view();
        let vectors = view.on::<VectorStore>();
        let built = build.then_some(usize::try_from(count).unwrap());
        assert_eq!(vectors.graph_len("set", Metric::Cosine), built);
        assert_eq!(vectors.graph_len("set", Metric::L2), None, "not the collection's metric");
        assert_eq!(vectors.graph_len("small", Metric::L2), None, "searched exactly");
        let hits = vectors.search("set", &[[1.0, 0.0]; 128].concat(), 1, Metric::Cosine).unwrap();
        assert_eq!(hits[0].id(), "0");
        assert!(vectors.graph_len("set", Metric::Cosine).is_some(), "the first search builds it");
    }
}
