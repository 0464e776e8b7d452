//! Group commit, and waiting for a view, under loom: freehold's own source files, with loom's atomics,
//! locks and threads in the place of the standard library's, run in every order in which the threads can
//! meet (with at most two or three preemptions). Then with mistakes in it, each of which is to be found. A program and not a test, so that the file's own
//! tests stay out.
//!
//! ```sh
//! cargo run --manifest-path tests/interleavings/Cargo.toml
//! ```

/// As in freehold, as far as group commit knows it.
mod error {
    use std::sync::Arc;

    pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

    #[derive(Debug)]
    pub(crate) enum Error {
        Closed,
        Poisoned,
        DurabilityUnknown { cause: Option<Arc<Error>> },
    }
}

/// As in freehold.
mod id {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Lsn(pub(crate) u64);

    impl Lsn {
        pub(crate) const ZERO: Lsn = Lsn(0);
    }
}

/// As in freehold; nothing takes any time here.
mod clock {
    use std::time::Duration;

    #[derive(Clone, Copy)]
    pub(crate) struct Stopwatch;

    impl Stopwatch {
        pub(crate) fn start() -> Stopwatch {
            Stopwatch
        }

        pub(crate) fn elapsed(self) -> Duration {
            Duration::ZERO
        }
    }
}

mod database;
mod planted;
mod wal;

use std::sync::Arc;

use error::{Error, Result};
use id::Lsn;
use wal::GroupCommit;
use wal::sync::{AtomicBool, AtomicU64, Mutex, Ordering, thread};

/// A log: LSNs are given, and syncing covers all that were given before it began. What is published
/// is published when a sync has returned.
struct Log {
    given: Mutex<u64>,
    is_leading: AtomicBool,
    /// What a view shows.
    published: AtomicU64,
    /// The sync of this LSN, or of any above it, fails.
    fails_at: u64,
    group: GroupCommit,
}

impl Log {
    fn new(fails_at: u64) -> Arc<Log> {
        Arc::new(Log {
            given: Mutex::new(0),
            is_leading: AtomicBool::new(false),
            published: AtomicU64::new(0),
            fails_at,
            group: GroupCommit::new(Lsn::ZERO),
        })
    }

    fn lead(&self) -> Result<Lsn> {
        assert!(!self.is_leading.swap(true, Ordering::SeqCst), "two lead");
        let covered = *self.given.lock().unwrap();
        thread::yield_now();
        let result = if covered >= self.fails_at {
            Err(Error::Closed)
        } else {
            self.published.store(covered, Ordering::SeqCst);
            Ok(Lsn(covered))
        };
        self.is_leading.store(false, Ordering::SeqCst);
        result
    }

    /// One commit, and what must hold when it returns.
    fn commit(&self) -> Result<()> {
        let lsn = {
            let mut given = self.given.lock().unwrap();
            *given += 1;
            Lsn(*given)
        };
        let done = self.group.wait(lsn, || self.lead());
        match &done {
            Ok(()) => {
                assert!(self.group.synced() >= lsn, "acknowledged before its sync");
                assert!(self.published.load(Ordering::SeqCst) >= lsn.0, "no view shows it");
            }
            Err(error) => {
                assert!(self.group.is_poisoned());
                assert!(matches!(error, Error::DurabilityUnknown { cause: Some(_) }));
                assert!(self.published.load(Ordering::SeqCst) < lsn.0, "a view shows it");
            }
        }
        done
    }
}

/// Runs a model in every order with at most so many preemptions, and says how many there were.
pub(crate) fn explore(what: &str, preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let orders = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    println!("{what}: {} orders", orders.load(std::sync::atomic::Ordering::Relaxed));
}

fn main() {
    if planted::run_planted(database::MISTAKES) {
        return;
    }
    two_threads_that_commit_twice_are_covered_in_every_order();
    three_threads_are_covered_in_every_order();
    after_a_failed_sync_nobody_hangs_nobody_is_told_wrong_and_nothing_more_is_shown();
    database::run();
    planted::expect_all_caught(database::MISTAKES);
}

fn two_threads_that_commit_twice_are_covered_in_every_order() {
    explore("two threads, two commits each", 3, || {
        let log = Log::new(u64::MAX);
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            other.commit().unwrap();
            other.commit().unwrap();
        });
        log.commit().unwrap();
        log.commit().unwrap();
        thread.join().unwrap();
        assert_eq!(log.group.synced(), Lsn(4));
    });
}

fn three_threads_are_covered_in_every_order() {
    explore("three threads", 2, || {
        let log = Log::new(u64::MAX);
        let threads = [Arc::clone(&log), Arc::clone(&log)]
            .map(|log| thread::spawn(move || log.commit().unwrap()));
        log.commit().unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(log.group.synced(), Lsn(3));
    });
}

fn after_a_failed_sync_nobody_hangs_nobody_is_told_wrong_and_nothing_more_is_shown() {
    explore("three threads, the second sync fails", 2, || {
        let log = Log::new(2);
        let threads = [Arc::clone(&log), Arc::clone(&log)]
            .map(|log| thread::spawn(move || log.commit().is_ok()));
        let mut good = usize::from(log.commit().is_ok());
        for thread in threads {
            good += usize::from(thread.join().unwrap());
        }
        assert!(good <= 1, "only the first can have been synced");
        assert_eq!(log.published.load(Ordering::SeqCst), good as u64);
        assert!(matches!(log.group.refuse_poisoned(), Err(Error::Poisoned)));
    });
}
