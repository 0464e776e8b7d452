//! Publishing: what views show, and those who wait for it.
//!
//! - In `Strict` mode a leader publishes what it has synced, and nothing else does but a checkpoint,
//!   which has synced everything.
//! - In `Buffered` and `InMemory` a state is published when somebody asks for one; while somebody
//!   waits, at every commit, so that a wait goes on without the writer's lock.
//! - When no newer state can come, because the database was closed or poisoned, everybody who waits
//!   is woken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Core, Durability, Mistake, View, Writer, locked};
use crate::error::{Error, Result};
use crate::state::Published;

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

    /// Publishes everything applied, in the modes where a transaction returns before its sync.
    pub(super) fn publish_applied(&self) {
        if self.durability == Durability::Strict || self.is_inside() {
            return;
        }
        if self.planted.is(Mistake::ShowStale) {
            return;
        }
        if self.published.load().lsn.0 >= self.applied.load(Ordering::Acquire) {
            return;
        }
        let mut writer = locked(&self.writer);
        let published = writer.state.publish(&self.published.load());
        self.publish(Arc::new(published));
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
        let waiting = self.watch.enter();
        self.publish_applied();
        waiting.until(timeout, || {
            if let Some(found) = look(&self.view_published()) {
                return Ok(Some(found));
            }
            if self.is_closed() {
                return Err(Error::Closed);
            }
            self.group.refuse_poisoned()?;
            Ok(None)
        })
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
