//! Waiting for a state that has what somebody looks for.
//!
//! - Who waits is counted before it looks, who publishes looks at the count afterwards: so either
//!   the one sees the new state, or the other sees that somebody waits. Nobody polls.
//! - A commit that nobody waits for pays for one fence and one load.
//! - Nothing is known here of states: what looking means is a closure.

use std::sync::PoisonError;
use std::time::Duration;

use super::locked;
use crate::clock::Stopwatch;
use crate::error::Result;
use crate::wal::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence};

/// Those who wait for a newer state.
#[derive(Default)]
pub(super) struct Watch {
    waiting: AtomicUsize,
    /// How often those who wait were told to look again.
    calls: Mutex<u64>,
    called: Condvar,
}

/// While it lives, somebody waits.
pub(super) struct Waiting<'a> {
    watch: &'a Watch,
    begun: Stopwatch,
}

impl Watch {
    /// Counts the calling thread among those who wait, from before it looks.
    pub(super) fn enter(&self) -> Waiting<'_> {
        let begun = Stopwatch::start();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Before this thread reads what is published.
        fence(Ordering::SeqCst);
        Waiting { watch: self, begun }
    }

    /// Whether somebody waits who may not have seen what this thread has written before the call.
    pub(super) fn is_watched(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Tells everybody who waits to look again.
    pub(super) fn call(&self) {
        if self.is_watched() {
            let mut calls = locked(&self.calls);
            *calls = calls.wrapping_add(1);
            drop(calls);
            self.called.notify_all();
        }
    }

    fn calls(&self) -> u64 {
        *locked(&self.calls)
    }

    /// Waits for a call after the first `seen`; `false`: none came in time.
    fn wait(&self, seen: u64, timeout: Duration) -> bool {
        let waited = self.called.wait_timeout_while(locked(&self.calls), timeout, |n| *n == seen);
        let (calls, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *calls != seen
    }
}

impl Waiting<'_> {
    /// Lets `look` look, and again at every call, until it finds something or fails; `None`: not in
    /// time, which began when this was made.
    pub(super) fn until<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        loop {
            // First, so that a call while this thread looks is not missed.
            let seen = self.watch.calls();
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = timeout.saturating_sub(self.begun.elapsed());
            if left.is_zero() || !self.watch.wait(seen, left) {
                return Ok(None);
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.watch.waiting.fetch_sub(1, Ordering::Release);
    }
}
