//! `vectors [DIRECTORY]`: what searching costs, exactly, by the graph, and by the bare library that the
//! graph is made with, in one run.
//!
//! - The sets are those of the tests. Times are the processor's, the best of several passes over all
//!   queries, so that other work on the machine disturbs them little. The store builds a graph with all
//!   processors; what they spent is summed.
//! - Memory is what the allocator was asked for and has not got back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freehold::prelude::*;
use freehold::primitives::{Hit, Method, Metric, Search, VectorStore};
use hnsw_stable::{Dense, Hnsw, HnswConfig, InMemoryVectorStore};
use rustix::time::ClockId;

#[path = "../../../tests/primitives/vector/sets.rs"]
#[expect(dead_code, reason = "what happens to a set later is for the tests")]
mod sets;

use sets::{SETS, Set, distance};

struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The bare library's metric, with the same distances.
#[derive(Clone)]
struct Bare(Metric);

impl hnsw_stable::Metric for Bare {
    type Family = Dense<f32>;

    fn distance<'a, 'b>(&self, one: &'a [f32], other: &'b [f32]) -> f32 {
        match self.0 {
            // Vectors that were made 1 long before.
            Metric::Cosine => 1.0 - innr::dot(one, other),
            _ => innr::l2_distance_squared(one, other),
        }
    }
}

const EFFORT: usize = freehold::primitives::vector::SEARCH_EFFORT;

fn main() {
    let argument = std::env::args().nth(1);
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/vectors");
    let sets = argument.unwrap_or_else(|| default.to_owned());
    println!(
        "| set | metric | exact q/s | graph q/s | library q/s | recall@10: graph | library | \
              built s: graph | library | bytes/vector: state | graph | library with vectors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for name in SETS {
        let set = Set::read(Path::new(&sets), name);
        for (label, metric) in [("cosine", Metric::Cosine), ("l2", Metric::L2)] {
            compare(name, label, metric, &set);
        }
    }
    println!();
    println!("| vectors of 128 numbers | exact q/s | graph q/s |");
    println!("|---|---|---|");
    for count in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000] {
        grow(count);
    }
}

fn filled(vectors: &[Vec<f32>]) -> (Database, usize) {
    let db = Database::in_memory().unwrap();
    let before = HELD.load(Ordering::Relaxed);
    let dimension = u32::try_from(vectors[0].len()).unwrap();
    db.transaction(|tx| tx.on::<VectorStore>().create_collection("set", dimension, Metric::Cosine))
        .unwrap();
    // In some transactions, so that the log's buffer does not hold everything once more.
    let rows: Vec<(usize, &Vec<f32>)> = vectors.iter().enumerate().collect();
    for rows in rows.chunks(100) {
        db.transaction(|tx| {
            let mut store = tx.on::<VectorStore>();
            rows.iter().try_for_each(|(row, vector)| {
                store.insert("set", &format!("{row:05}"), vector, None)
            })
        })
        .unwrap();
    }
    drop(db.view());
    let held = HELD.load(Ordering::Relaxed) - before;
    (db, held / vectors.len())
}

fn compare(name: &str, label: &str, metric: Metric, set: &Set) {
    let (db, state) = filled(&set.base);
    let view = db.view();
    let store = view.on::<VectorStore>();
    let search = |query: &Vec<f32>, method| {
        store.find("set", &Search::new(query, 10).metric(metric).method(method)).unwrap()
    };
    let before = HELD.load(Ordering::Relaxed);
    let start = spent(ClockId::ProcessCPUTime);
    search(&set.queries[0], Method::Graph);
    let built = spent(ClockId::ProcessCPUTime) - start;
    let graph_bytes = (HELD.load(Ordering::Relaxed) - before) / set.base.len();
    let exact = per_second(&set.queries, |query| drop(search(query, Method::Exact)));
    let graph = per_second(&set.queries, |query| drop(search(query, Method::Graph)));
    let rows = |hits: Vec<Hit<'_>>| hits.iter().map(|hit| hit.id().parse().unwrap()).collect();
    let graph_recall = recall(set, label, |query| rows(search(query, Method::Graph)));

    let unit = |vector: &Vec<f32>| -> Vec<f32> {
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        let by = if metric == Metric::Cosine { length } else { 1.0 };
        vector.iter().map(|number| number / by).collect()
    };
    let base: Vec<Vec<f32>> = set.base.iter().map(unit).collect();
    let queries: Vec<Vec<f32>> = set.queries.iter().map(unit).collect();
    let before = HELD.load(Ordering::Relaxed);
    let start = spent(ClockId::ProcessCPUTime);
    let config =
        HnswConfig::new(base[0].len(), base.len()).m(16).ef_construction(200).ef_search(EFFORT);
    let links = Hnsw::new(Bare(metric), config);
    let vectors = InMemoryVectorStore::<f32>::new(base[0].len(), base.len());
    for (row, vector) in base.iter().enumerate() {
        links.insert(&vectors, row as u64, vector).unwrap();
    }
    let library_built = spent(ClockId::ProcessCPUTime) - start;
    let library_bytes = (HELD.load(Ordering::Relaxed) - before) / base.len();
    let bare = |query: &Vec<f32>| links.search(&vectors, query, 10, None).unwrap();
    let library = per_second(&queries, |query| drop(bare(query)));
    let library_recall =
        recall(set, label, |query| bare(&unit(query)).iter().map(|hit| hit.key as usize).collect());
    println!(
        "| {name} | {label} | {exact:.0} | {graph:.0} | {library:.0} | {graph_recall:.4} | \
         {library_recall:.4} | {:.2} | {:.2} | {state} | {graph_bytes} | {library_bytes} |",
        built.as_secs_f64(),
        library_built.as_secs_f64()
    );
}

/// What the process or this thread has used of the processor.
fn spent(clock: ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Queries a second, of the best of some passes.
fn per_second(queries: &[Vec<f32>], ask: impl Fn(&Vec<f32>)) -> f64 {
    let pass = || {
        let start = spent(ClockId::ThreadCPUTime);
        queries.iter().for_each(&ask);
        spent(ClockId::ThreadCPUTime) - start
    };
    let best = (0..15).map(|_| pass()).min().unwrap_or(Duration::MAX);
    queries.len() as f64 / best.as_secs_f64()
}

/// How many of the ten nearest are found; of equal vectors any counts.
fn recall(set: &Set, metric: &str, ask: impl Fn(&Vec<f32>) -> Vec<usize>) -> f64 {
    let nearest = set.nearest("all", metric);
    let hits = set.queries.iter().zip(&nearest).map(|(query, ten)| {
        let of = |row: &usize| distance(metric, query, &set.base[*row]);
        let farthest = ten.iter().map(of).fold(0.0, f64::max);
        let farthest = farthest + farthest.abs().max(1e-2) * 1e-5;
        ask(query).iter().filter(|row| of(row) <= farthest).count()
    });
    hits.sum::<usize>() as f64 / (nearest.len() * 10) as f64
}

/// Vectors in loose clusters, so that there is something to be near.
fn grow(count: usize) {
    let mut state = 0x9e37_79b9_u64;
    let mut number = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centres: Vec<Vec<f32>> = (0..64).map(|_| (0..128).map(|_| number()).collect()).collect();
    let mut near = |index: usize| -> Vec<f32> {
        centres[index % centres.len()].iter().map(|centre| centre + number()).collect()
    };
    let base: Vec<Vec<f32>> = (0..count).map(&mut near).collect();
    let queries: Vec<Vec<f32>> = (0..100).map(&mut near).collect();
    let (db, _) = filled(&base);
    let view = db.view();
    let store = view.on::<VectorStore>();
    let search = |query: &Vec<f32>, method| {
        drop(store.find("set", &Search::new(query, 10).method(method)).unwrap());
    };
    search(&queries[0], Method::Graph);
    let exact = per_second(&queries, |query| search(query, Method::Exact));
    let graph = per_second(&queries, |query| search(query, Method::Graph));
    println!("| {count} | {exact:.0} | {graph:.0} |");
}
