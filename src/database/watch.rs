//! Waiting for a state that has what somebody looks for.
//!
//! - Who waits is counted before it looks, who publishes looks at the count afterwards: so either
//!   the one sees the new state, or the other sees that somebody waits. Nobody polls.
//! - A commit that nobody waits for pays for one fence and one load.
//! - While somebody waits, `Buffered` and `InMemory` publish at every commit, so that a wait goes on
//!   without the writer's lock.
//! - When no newer state can come, because the database was closed or poisoned, everybody is woken.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Core, Durability, View, Writer, locked};
use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::state::Published;

/// Those who wait for a newer state.
#[derive(Default)]
pub(super) struct Watch {
    waiting: AtomicUsize,
    /// How often those who wait were told to look again.
    calls: Mutex<u64>,
    called: Condvar,
}

/// While it lives, somebody waits.
struct Waiting<'a>(&'a Watch);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}

impl Watch {
    fn enter(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Before this thread reads what is published.
        fence(Ordering::SeqCst);
        Waiting(self)
    }

    /// Whether somebody waits who may not have seen what this thread has written before the call.
    fn is_watched(&self) -> bool {
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

impl Core {
    /// The newest state that was published.
    pub(super) fn view_published(&self) -> View {
        View { published: self.published.load_full(), empty: Arc::clone(&self.empty) }
    }

    /// Shows a state to views, and to those who wait for one.
    pub(super) fn publish(&self, state: Arc<Published>) {
        self.published.store(state);
        self.watch.call();
    }

    /// Publishes what was just applied if somebody waits, in the modes where a transaction returns
    /// before its sync.
    pub(super) fn publish_if_watched(&self, writer: &mut Writer) {
        if self.durability != Durability::Strict && self.watch.is_watched() {
            self.publish(Arc::new(writer.state.publish(&self.published.load())));
        }
    }

    /// Waits until `look` finds something in a view; `None`: not in time.
    pub(super) fn wait_for<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut(&View) -> Option<T>,
    ) -> Result<Option<T>> {
        self.refuse_nested("wait_for")?;
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let begun = Stopwatch::start();
        let _waiting = self.watch.enter();
        self.publish_applied();
        loop {
            let seen = self.watch.calls();
            if let Some(found) = look(&self.view_published()) {
                return Ok(Some(found));
            }
            if self.is_closed() {
                return Err(Error::Closed);
            }
            self.group.refuse_poisoned()?;
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() || !self.watch.wait(seen, left) {
                return Ok(None);
            }
        }
    }
}

/// Calls those who wait when leading has poisoned the database, by an error or by a panic.
pub(super) struct CallIfPoisoned<'a>(pub(super) &'a Core);

impl Drop for CallIfPoisoned<'_> {
    fn drop(&mut self) {
        if self.0.group.is_poisoned() {
            self.0.watch.call();
        }
    }
}
