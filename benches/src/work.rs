//! What one fresh process does, and what it measures.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::data;
use crate::engines::{Engine, Mode};
use crate::ycsb::Ycsb;

/// How much there is in the files that measurements start from.
#[derive(Clone, Copy)]
pub struct Size {
    pub entries: u64,
    /// The larger ones, of YCSB.
    pub records: u64,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// So many entries stood in each commit.
    Recover(u64),
    Open,
    Strict(usize),
    Buffered,
    Read(usize),
    Ycsb(Ycsb),
}

impl Work {
    pub const ALL: [Work; 15] = [
        Work::Recover(1),
        Work::Recover(100),
        Work::Open,
        Work::Strict(1),
        Work::Strict(8),
        Work::Strict(32),
        Work::Buffered,
        Work::Read(1),
        Work::Read(2),
        Work::Ycsb(Ycsb::A),
        Work::Ycsb(Ycsb::B),
        Work::Ycsb(Ycsb::C),
        Work::Ycsb(Ycsb::D),
        Work::Ycsb(Ycsb::E),
        Work::Ycsb(Ycsb::F),
    ];

    pub fn name(self) -> String {
        match self {
            Work::Recover(batch) => format!("recover-{batch}"),
            Work::Open => "open".into(),
            Work::Strict(threads) => format!("strict-{threads}"),
            Work::Buffered => "buffered".into(),
            Work::Read(threads) => format!("read-{threads}"),
            Work::Ycsb(workload) => workload.name().into(),
        }
    }

    pub fn named(name: &str) -> Option<Work> {
        Work::ALL.into_iter().find(|work| work.name() == name)
    }

    pub fn unit(self) -> &'static str {
        match self {
            Work::Recover(_) | Work::Open => "entries/s",
            Work::Strict(_) | Work::Buffered => "commits/s",
            Work::Read(_) => "reads/s",
            Work::Ycsb(_) => "operations/s",
        }
    }

    /// Which files it starts from.
    pub fn starts_from(self) -> Start {
        match self {
            Work::Recover(batch) => Start::Killed(batch),
            Work::Open | Work::Read(_) => Start::Settled,
            Work::Strict(_) | Work::Buffered => Start::Empty,
            Work::Ycsb(_) => Start::Records,
        }
    }

    pub fn runs_on(self, engine: &str) -> bool {
        match engine {
            "floor" => !matches!(self, Work::Open | Work::Read(_) | Work::Ycsb(_)),
            "redb" => !matches!(self, Work::Recover(_) | Work::Buffered),
            "raft-engine" => !matches!(self, Work::Open | Work::Read(_)),
            _ => true,
        }
    }

    /// Does it and gives the rate.
    pub fn measure<E: Engine>(self, dir: &Path, size: Size, time: Duration) -> f64 {
        let entries = size.entries;
        match self {
            Work::Recover(_) | Work::Open => {
                let start = Instant::now();
                let engine = E::open(dir, Mode::Strict);
                let (count, sum) = engine.scan();
                let rate = entries as f64 / start.elapsed().as_secs_f64();
                assert_eq!(count, entries, "entries found");
                assert!(sum > entries, "values were touched");
                rate
            }
            Work::Strict(threads) => commits(E::open(dir, Mode::Strict), threads, time),
            Work::Buffered => commits(E::open(dir, Mode::Buffered), 1, time),
            Work::Read(threads) => reads(E::open(dir, Mode::Strict), threads, entries),
            Work::Ycsb(workload) => workload.run(&E::open(dir, Mode::Buffered), size.records, time),
        }
    }
}

/// Which files a measurement starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// None.
    Empty,
    /// Every entry in commits of so many, then killed.
    Killed(u64),
    /// Every entry, then settled and closed.
    Settled,
    /// The same with YCSB's records.
    Records,
}

impl Start {
    pub const ALL: [Start; 5] =
        [Start::Empty, Start::Killed(1), Start::Killed(100), Start::Settled, Start::Records];

    pub fn name(self) -> String {
        match self {
            Start::Empty => "empty".into(),
            Start::Killed(batch) => format!("killed-{batch}"),
            Start::Settled => "settled".into(),
            Start::Records => "records".into(),
        }
    }

    pub fn named(name: &str) -> Option<Start> {
        Start::ALL.into_iter().find(|start| start.name() == name)
    }

    /// Makes the files in `dir`. From `Killed` it does not return: it says that it is done, and waits for
    /// the kill.
    pub fn prepare<E: Engine>(self, dir: &Path, size: Size) {
        let value = |number| Box::from(data::value(number).as_slice());
        match self {
            Start::Empty => {}
            Start::Killed(batch) => {
                let engine = E::open(dir, Mode::Buffered);
                fill(&engine, size.entries, batch, &value);
                println!("ready");
                loop {
                    std::thread::park();
                }
            }
            Start::Settled => {
                let engine = E::open(dir, Mode::Buffered);
                fill(&engine, size.entries, 10_000, &value);
                engine.settle();
            }
            Start::Records => {
                let engine = E::open(dir, Mode::Buffered);
                let records = data::Records::new();
                fill(&engine, size.records, 1_000, &|number| records.get(number).into());
                engine.settle();
            }
        }
    }
}

fn fill<E: Engine>(engine: &E, entries: u64, batch: u64, value: &dyn Fn(u64) -> Box<[u8]>) {
    let mut first = 0;
    while first < entries {
        let end = entries.min(first + batch);
        if batch == 1 {
            engine.put(data::key(first), &value(first));
        } else {
            engine.put_many(&mut (first..end).map(|n| (data::key(n), value(n))));
        }
        first = end;
    }
}

fn commits<E: Engine>(engine: E, threads: usize, time: Duration) -> f64 {
    let engine = Arc::new(engine);
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Arc<Vec<AtomicU64>> = Arc::new((0..threads).map(|_| AtomicU64::new(0)).collect());
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (engine, stop, counts) = (engine.clone(), stop.clone(), counts.clone());
            std::thread::spawn(move || {
                let mut number = (thread as u64) << 40;
                while !stop.load(Ordering::Relaxed) {
                    engine.put(data::key(number), &data::value(number));
                    number += 1;
                    counts[thread].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let total = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    // What a first commit costs, and the threads' start, are not the rate.
    std::thread::sleep(time.min(Duration::from_millis(300)));
    let (start, before) = (Instant::now(), total());
    std::thread::sleep(time);
    let (done, took) = (total() - before, start.elapsed());
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("no commit fails");
    }
    done as f64 / took.as_secs_f64()
}

fn reads<E: Engine>(engine: E, threads: usize, entries: u64) -> f64 {
    let engine = Arc::new(engine);
    let turn = |thread: usize, count: u64| {
        let first = (thread as u64) << 40;
        let mut keys = (first..first + count).map(|n| data::key(data::shuffled(n, entries)));
        assert!(engine.read(&mut keys) >= count, "values were touched");
    };
    turn(threads, entries / 4);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let turn = &turn;
            scope.spawn(move || turn(thread, entries));
        }
    });
    (threads as u64 * entries) as f64 / start.elapsed().as_secs_f64()
}
