//! `VectorStore`.

mod model;
mod recall;
#[expect(clippy::disallowed_methods, reason = "the sets are files, and no database's")]
mod sets;

use freehold::prelude::*;
use freehold::primitives::{Filter, Hit, Json, Method, Metric, Search, VectorError, VectorStore};
use freehold::testing::Random;
use serde_json::json;

use crate::machine::Machine;

fn metadata(value: serde_json::Value) -> Option<Json> {
    Some(Json::try_from(value).unwrap())
}

fn ids(hits: &[Hit<'_>]) -> Vec<String> {
    hits.iter().map(|hit| hit.id().to_owned()).collect()
}

#[test]
fn vectors_are_inserted_updated_and_deleted() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<VectorStore>().create_collection("plane", 2, Metric::L2));
    machine.commit(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.insert("plane", "a", &[0.0, 0.0], None)?;
        vectors.insert("plane", "b", &[3.0, 4.0], metadata(json!({"far": true})))?;
        vectors.insert("plane", "c", &[1.0, 0.0], None)
    });
    let near = |machine: &Machine, query: [f32; 2], k| {
        let view = machine.db.view();
        let hits = view.on::<VectorStore>().search("plane", &query, k, Metric::L2).unwrap();
        hits.iter().map(|hit| (hit.id().to_owned(), hit.distance())).collect::<Vec<_>>()
    };
    let hit = |id: &str, distance: f32| (id.to_owned(), distance);
    let all = [hit("a", 0.0), hit("c", 1.0), hit("b", 25.0)];
    assert_eq!(near(&machine, [0.0, 0.0], 10), all, "all that there are");
    assert_eq!(near(&machine, [0.0, 0.0], 2), all[..2]);
    assert_eq!(near(&machine, [0.0, 0.0], 0), []);

    machine.commit(|tx| tx.on::<VectorStore>().update("plane", "a", &[3.0, 5.0], None));
    assert_eq!(near(&machine, [3.0, 4.0], 2), [hit("b", 0.0), hit("a", 1.0)]);
    assert!(machine.commit(|tx| tx.on::<VectorStore>().delete("plane", "b")));
    assert!(!machine.commit(|tx| tx.on::<VectorStore>().delete("plane", "b")));
    assert_eq!(near(&machine, [3.0, 4.0], 2), [hit("a", 1.0), hit("c", 20.0)]);

    let view = machine.db.view();
    let vectors = view.on::<VectorStore>();
    assert_eq!(vectors.iter("plane").map(|entry| entry.id()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(vectors.get("plane", "a").unwrap().vector(), [3.0, 5.0]);
    assert_eq!(vectors.get("plane", "b"), None);
    let (name, plane) = vectors.collections().next().unwrap();
    assert_eq!((name, plane.len(), plane.dimension()), ("plane", 2, 2));

    assert_eq!(machine.commit(|tx| tx.on::<VectorStore>().remove_collection("plane")), Some(2));
    assert_eq!(machine.commit(|tx| tx.on::<VectorStore>().remove_collection("plane")), None);
    let view = machine.db.view();
    assert!(view.on::<VectorStore>().collection("plane").is_none());
    // Of the same name, and nothing of the old one.
    machine.commit(|tx| tx.on::<VectorStore>().create_collection("plane", 2, Metric::Dot));
    assert_eq!(near(&machine, [3.0, 4.0], 2), []);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("c", 2, Metric::Cosine)?;
        vectors.insert("c", "a", &[1.0, 0.0], None)
    });
    let c = || Box::<str>::from("c");
    let none = VectorError::NoCollection { collection: "d".into() };
    machine.refused(none, |tx| tx.on::<VectorStore>().insert("d", "a", &[1.0, 0.0], None));
    machine.refused(VectorError::Exists { collection: c(), id: "a".into() }, |tx| {
        tx.on::<VectorStore>().insert("c", "a", &[1.0, 0.0], None)
    });
    machine.refused(VectorError::Absent { collection: c(), id: "b".into() }, |tx| {
        tx.on::<VectorStore>().update("c", "b", &[1.0, 0.0], None)
    });
    machine.refused(VectorError::CollectionExists { collection: c() }, |tx| {
        tx.on::<VectorStore>().create_collection("c", 2, Metric::Cosine)
    });
    for found in [0, 65_537] {
        let refused = VectorError::BadDimension { collection: "e".into(), found };
        machine.refused(refused, |tx| {
            tx.on::<VectorStore>().create_collection("e", found, Metric::Cosine)
        });
    }
    let expected = VectorError::OtherDimension { collection: c(), found: 3, expected: 2 };
    assert_eq!(expected.to_string(), "collection c: vector has 3 numbers, expected 2");
    machine.refused(expected.clone(), |tx| {
        tx.on::<VectorStore>().insert("c", "b", &[1.0, 0.0, 0.0], None)
    });
    let infinite = VectorError::NotFinite { collection: c(), index: 1, found: f32::INFINITY };
    machine.refused(infinite, |tx| {
        tx.on::<VectorStore>().update("c", "a", &[1.0, f32::INFINITY], None)
    });
    let error = machine
        .db
        .transaction(|tx| tx.on::<VectorStore>().insert("c", "b", &[f32::NAN, 0.0], None))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "rejected: collection c: vector has NaN at 0, expected a finite number"
    );
    machine.refused(VectorError::TooLong { collection: c(), found: 5e18 }, |tx| {
        tx.on::<VectorStore>().insert("c", "b", &[0.0, 5e18], None)
    });

    let view = machine.db.view();
    let vectors = view.on::<VectorStore>();
    assert_eq!(vectors.search("c", &[1.0, 0.0, 0.0], 1, Metric::L2).unwrap_err(), expected);
    assert!(vectors.search("c", &[1.0, f32::NAN], 1, Metric::L2).is_err());
    assert!(vectors.search("d", &[1.0, 0.0], 1, Metric::L2).is_err());
}

#[test]
fn equal_distances_are_ordered_by_id_and_a_zero_vector_is_at_a_right_angle() {
    let mut machine = Machine::new();
    machine.commit(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("c", 2, Metric::Cosine)?;
        for (id, vector) in
            [("d", [1.0, 0.0]), ("b", [5.0, 0.0]), ("a", [0.0, 0.0]), ("c", [-1.0, 0.0])]
        {
            vectors.insert("c", id, &vector, None)?;
        }
        Ok(())
    });
    let view = machine.db.view();
    let vectors = view.on::<VectorStore>();
    for method in [Method::Automatic, Method::Exact, Method::Graph] {
        let near = |query: &[f32], k| {
            ids(&vectors.find("c", &Search::new(query, k).method(method)).unwrap())
        };
        assert_eq!(near(&[2.0, 0.0], 4), ["b", "d", "a", "c"], "{method:?}");
        assert_eq!(near(&[2.0, 0.0], 1), ["b"], "{method:?}");
        assert_eq!(near(&[0.0, 0.0], 4), ["a", "b", "c", "d"], "{method:?}");
    }
}

/// A collection of `count` random vectors, every tenth of them `rare`.
fn filled(db: &Database, count: usize) -> Vec<[f32; 3]> {
    let mut random = Random::new(Random::seed_from_env(0x7ec7));
    let mut number = || random.below(2_001) as f32 - 1_000.0;
    let all: Vec<[f32; 3]> = (0..count).map(|_| [number(), number(), number()]).collect();
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("c", 3, Metric::L2)?;
        for (row, vector) in all.iter().enumerate() {
            let said = metadata(json!({"row": row, "half": row % 2 == 0, "rare": row % 500 == 0}));
            vectors.insert("c", &format!("{row:05}"), vector, said)?;
        }
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn a_filtered_search_finds_as_many_as_there_are() {
    let db = Database::in_memory().unwrap();
    filled(&db, 3_000);
    let view = db.view();
    let vectors = view.on::<VectorStore>();
    let query = [0.0, 10.0, -20.0];
    for (filter, count) in [
        (Filter::equals("half", true), 10),
        (Filter::equals("rare", true), 6),
        (Filter::range("row", 2_990..), 10),
        (Filter::range("row", 2_995..), 5),
        (Filter::exists("row").not(), 0),
        (Filter::equals("half", true).and(Filter::range("row", 100..=108)), 5),
    ] {
        let search = Search::new(&query, 10).filter(&filter);
        let exact = vectors.find("c", &search.method(Method::Exact)).unwrap();
        assert_eq!(exact.len(), count, "{filter:?}");
        for hit in &exact {
            assert!(filter.accepts(hit.metadata()));
        }
        for method in [Method::Automatic, Method::Graph] {
            let found = vectors.find("c", &search.method(method)).unwrap();
            assert_eq!(ids(&found), ids(&exact), "{filter:?} {method:?}");
        }
    }
}

#[test]
fn a_large_collection_is_searched_by_the_graph_unless_little_of_it_is_asked_for() {
    let db = Database::in_memory().unwrap();
    let mut random = Random::new(Random::seed_from_env(0x7ec8));
    let mut point = || (0..512).map(|_| random.below(1_000) as f32 - 500.0).collect::<Vec<f32>>();
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("c", 512, Metric::Cosine)?;
        for row in 0..1_050 {
            let said = metadata(json!({"rare": row % 350 == 0, "half": row % 2 == 0}));
            vectors.insert("c", &format!("{row:05}"), &point(), said)?;
        }
        Ok(())
    })
    .unwrap();
    let view = db.view();
    let vectors = view.on::<VectorStore>();
    let query = point();
    let in_graph = || vectors.graph_len("c", Metric::Cosine);
    let (rare, half) = (Filter::equals("rare", true), Filter::equals("half", true));
    let search = Search::new(&query, 10);
    assert_eq!(vectors.find("c", &search.filter(&rare)).unwrap().len(), 3);
    assert_eq!(vectors.find("c", &Search::new(&query, 600)).unwrap().len(), 600);
    assert_eq!(in_graph(), None, "little is let through, or most of it asked for");
    for search in [search, search.filter(&half)] {
        let found = ids(&vectors.find("c", &search).unwrap());
        let exact = ids(&vectors.find("c", &search.method(Method::Exact)).unwrap());
        assert!(exact.iter().filter(|id| found.contains(id)).count() >= 9, "{found:?} {exact:?}");
        assert_eq!(in_graph(), Some(1_050));
    }
}

#[test]
fn a_search_inside_a_transaction_is_exact_and_sees_what_was_done() {
    let db = Database::in_memory().unwrap();
    let all = filled(&db, 100);
    let query = all[7];
    let by_graph = Search::new(&query, 1).method(Method::Graph);
    assert_eq!(ids(&db.view().on::<VectorStore>().find("c", &by_graph).unwrap()), ["00007"]);
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.insert("c", "here", &query, None)?;
        vectors.delete("c", "00007")?;
        let hits = vectors.search("c", &query, 1, Metric::L2).unwrap();
        assert_eq!((ids(&hits), hits[0].distance()), (vec!["here".to_owned()], 0.0));
        assert_eq!(vectors.graph_len("c", Metric::L2), None, "a handle sees no graph");
        assert_eq!(ids(&tx.read::<VectorStore>().find("c", &by_graph).unwrap()), ["here"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_graph_is_made_anew_when_most_of_it_is_dead() {
    let db = Database::in_memory().unwrap();
    let all = filled(&db, 2_000);
    let graph_len = || {
        let view = db.view();
        let search = Search::new(&all[0], 1).method(Method::Graph);
        view.on::<VectorStore>().find("c", &search).unwrap();
        view.on::<VectorStore>().graph_len("c", Metric::L2).unwrap()
    };
    assert_eq!(graph_len(), 2_000);
    let older = db.view();
    let update = |rows: std::ops::Range<usize>| {
        db.transaction(|tx| {
            for row in rows {
                tx.on::<VectorStore>().update("c", &format!("{row:05}"), &all[row], None)?;
            }
            Ok(())
        })
        .unwrap();
    };
    update(0..500);
    assert_eq!(graph_len(), 2_500, "the old ones are in it for the older view");
    update(500..1_100);
    assert_eq!(graph_len(), 2_000, "more than half would be dead");
    // The older view has no graph any more, and is right.
    let search = Search::new(&all[3], 1).method(Method::Graph);
    let hits = older.on::<VectorStore>().find("c", &search).unwrap();
    assert_eq!((ids(&hits), hits[0].distance()), (vec!["00003".to_owned()], 0.0));
    assert!(hits[0].metadata().is_some(), "as it was before the update");
}

#[test]
fn a_view_between_two_that_were_searched_finds_what_neither_of_them_holds() {
    let db = Database::in_memory().unwrap();
    filled(&db, 300);
    let here = [5_000.0, 5_000.0, 5_000.0];
    let nearest = |view: &View| {
        let search = Search::new(&here, 1).method(Method::Graph);
        ids(&view.on::<VectorStore>().find("c", &search).unwrap())
    };
    let before = db.view();
    let far = nearest(&before);
    db.transaction(|tx| tx.on::<VectorStore>().insert("c", "here", &here, None)).unwrap();
    let between = db.view();
    db.transaction(|tx| tx.on::<VectorStore>().delete("c", "here")).unwrap();
    let after = db.view();
    assert_eq!(nearest(&after), far);
    assert_eq!(after.on::<VectorStore>().graph_len("c", Metric::L2), Some(300));
    assert_eq!(nearest(&between), ["here"]);
    assert_eq!(between.on::<VectorStore>().graph_len("c", Metric::L2), Some(301));
    assert_eq!(nearest(&before), far, "it is in the graph now, and not in this view");
    assert_eq!(nearest(&after), far);
}

#[test]
fn many_equal_vectors_are_all_found() {
    let db = Database::in_memory().unwrap();
    db.transaction(|tx| {
        let mut vectors = tx.on::<VectorStore>();
        vectors.create_collection("c", 2, Metric::Cosine)?;
        for row in 0..2_000 {
            let vector = if row < 1_000 { [1.0, 1.0] } else { [1.0, row as f32] };
            vectors.insert("c", &format!("{row:05}"), &vector, None)?;
        }
        Ok(())
    })
    .unwrap();
    let view = db.view();
    let search = Search::new(&[2.0, 2.0], 100).method(Method::Graph);
    let hits = view.on::<VectorStore>().find("c", &search).unwrap();
    assert_eq!(hits.len(), 100);
    assert!(hits.iter().all(|hit| hit.vector() == [1.0, 1.0]));
}
