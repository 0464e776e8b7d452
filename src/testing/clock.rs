//! A clock that goes only when told to.
//!
//! - It never reads the time of day: two runs of a test get the same timestamps.
//! - Its copies share one time, so that a test can move the clock of an open database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::Timestamp;

/// A clock for tests. Give its [`reader`](TestClock::reader) to `Options::clock`.
#[derive(Clone, Debug)]
pub struct TestClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    now: AtomicU64,
    step: AtomicU64,
}

impl TestClock {
    /// Stands still at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> TestClock {
        TestClock::ticking(now, 0)
    }

    /// Shows `start` first, and `step` nanoseconds more at each further look.
    #[must_use]
    pub fn ticking(start: Timestamp, step: u64) -> TestClock {
        TestClock {
            shared: Arc::new(Shared { now: AtomicU64::new(start.0), step: AtomicU64::new(step) }),
        }
    }

    /// Looks at the clock; a ticking one goes on by its step.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let step = self.shared.step.load(Ordering::SeqCst);
        Timestamp(self.shared.now.fetch_add(step, Ordering::SeqCst))
    }

    /// Sets it, also backwards: a real clock may do that too.
    pub fn set(&self, now: Timestamp) {
        self.shared.now.store(now.0, Ordering::SeqCst);
    }

    /// Moves it on by `nanoseconds`.
    pub fn advance(&self, nanoseconds: u64) {
        self.shared.now.fetch_add(nanoseconds, Ordering::SeqCst);
    }

    /// The clock as a function.
    pub fn reader(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_one_time() {
        let clock = TestClock::ticking(Timestamp(10), 5);
        let read = clock.reader();
        assert_eq!(read(), Timestamp(10));
        assert_eq!(clock.now(), Timestamp(15));
        clock.set(Timestamp(3));
        clock.advance(1);
        assert_eq!(read(), Timestamp(4));
    }

    #[test]
    fn a_standing_clock_stands() {
        let clock = TestClock::at(Timestamp(9));
        assert_eq!(clock.now(), clock.now());
    }
}
