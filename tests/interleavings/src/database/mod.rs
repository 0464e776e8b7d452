//! Publication of views, those who wait for one, and poisoning: freehold's own `src/database/watch.rs`
//! and `src/wal/group.rs`, and around them what `src/database/commit.rs` and `publish.rs` do, in their
//! order, with a state that is a number.
//!
//! - In `Strict` mode no view ever shows a record that is not synced, and views do not go back.
//! - Who waits for a record sees it, or learns that it will not come. Nobody hangs.
//! - Atomics here are release and acquire, which is less than what the engine's `ArcSwap` gives.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::explore;
use crate::id::Lsn;
use crate::planted::{Mistake, is_planted};
use crate::wal::GroupCommit;
use crate::wal::sync::{AtomicU64, Mutex, MutexGuard, Ordering, thread};

#[path = "../../../../src/database/watch.rs"]
mod watch;

use watch::Watch;

/// As in freehold.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Strict,
    Buffered,
}

struct Core {
    durability: Durability,
    /// The last record, applied and queued.
    writer: Mutex<u64>,
    applied: AtomicU64,
    /// Held by who writes to the log's file.
    log: Mutex<()>,
    /// The last record that a sync covered: what a power failure would leave.
    on_disk: AtomicU64,
    /// The sync of this record, or of any above it, fails.
    fails_at: u64,
    published: AtomicU64,
    watch: Watch,
    group: GroupCommit,
}

impl Core {
    fn new(durability: Durability, fails_at: u64) -> Arc<Core> {
        Arc::new(Core {
            durability,
            writer: Mutex::new(0),
            applied: AtomicU64::new(0),
            log: Mutex::new(()),
            on_disk: AtomicU64::new(0),
            fails_at,
            published: AtomicU64::new(0),
            watch: Watch::default(),
            group: GroupCommit::new(Lsn::ZERO),
        })
    }

    /// `run_transaction` and `wait_durable`.
    fn commit(&self) -> Result<u64> {
        self.group.refuse_poisoned()?;
        let mut writer = locked(&self.writer);
        *writer += 1;
        let lsn = *writer;
        self.applied.store(lsn, Ordering::Release);
        self.publish_if_watched(&writer);
        drop(writer);
        if self.durability == Durability::Strict && !is_planted(Mistake::AcknowledgeBeforeSync) {
            self.wait_synced(lsn)?;
        }
        Ok(lsn)
    }

    fn wait_synced(&self, lsn: u64) -> Result<()> {
        let _call = CallIfPoisoned(self);
        self.group.wait(Lsn(lsn), || self.lead())
    }

    fn lead(&self) -> Result<Lsn> {
        let writer = locked(&self.writer);
        let log = locked(&self.log);
        let lsn = *writer;
        drop(writer);
        if is_planted(Mistake::PublishBeforeSync) {
            self.publish(lsn);
        }
        if lsn >= self.fails_at {
            return Err(Error::Closed);
        }
        self.on_disk.store(lsn, Ordering::Release);
        self.publish(lsn);
        drop(log);
        Ok(Lsn(lsn))
    }

    fn publish(&self, lsn: u64) {
        if is_planted(Mistake::CallBeforePublishing) {
            self.watch.call();
            self.published.store(lsn, Ordering::Release);
            return;
        }
        self.published.store(lsn, Ordering::Release);
        self.watch.call();
    }

    fn publish_applied(&self) {
        if self.durability == Durability::Strict {
            return;
        }
        if self.shown() >= self.applied.load(Ordering::Acquire) {
            return;
        }
        let writer = locked(&self.writer);
        self.publish(*writer);
    }

    fn publish_if_watched(&self, writer: &u64) {
        if self.durability != Durability::Strict && self.watch.is_watched() {
            self.publish(*writer);
        }
    }

    fn shown(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// What a view shows, and what must hold of it.
    fn view(&self) -> u64 {
        let shown = self.shown();
        if self.durability == Durability::Strict {
            let on_disk = self.on_disk.load(Ordering::Acquire);
            assert!(shown <= on_disk, "a view shows {shown}, the disk has {on_disk}");
        }
        shown
    }

    fn wait_for(&self, lsn: u64) -> Result<()> {
        if is_planted(Mistake::LookBeforeEntering) {
            self.publish_applied();
        }
        let waiting = self.watch.enter();
        if !is_planted(Mistake::LookBeforeEntering) {
            self.publish_applied();
        }
        let found = waiting.until(Duration::MAX, || {
            if self.view() >= lsn {
                return Ok(Some(()));
            }
            self.group.refuse_poisoned()?;
            Ok(None)
        })?;
        assert!(found.is_some(), "nothing times out here");
        Ok(())
    }
}

/// As in freehold.
struct CallIfPoisoned<'a>(&'a Core);

impl Drop for CallIfPoisoned<'_> {
    fn drop(&mut self) {
        if self.0.group.is_poisoned() && !is_planted(Mistake::NoCallWhenPoisoned) {
            self.0.watch.call();
        }
    }
}

/// What finds each mistake.
pub(crate) const MISTAKES: &[(Mistake, fn())] = &[
    (Mistake::PublishBeforeSync, no_view_shows_what_is_not_synced_and_none_goes_back),
    (Mistake::AcknowledgeBeforeSync, no_view_shows_what_is_not_synced_and_none_goes_back),
    (
        Mistake::CallBeforePublishing,
        who_waits_in_strict_mode_sees_it_or_learns_that_it_will_not_come,
    ),
    (Mistake::NoCallWhenPoisoned, who_waits_in_strict_mode_sees_it_or_learns_that_it_will_not_come),
    (Mistake::NoFences, who_waits_in_buffered_mode_sees_it),
    (Mistake::LookBeforeEntering, who_waits_in_buffered_mode_sees_it),
];

pub(crate) fn run() {
    no_view_shows_what_is_not_synced_and_none_goes_back();
    who_waits_in_strict_mode_sees_it_or_learns_that_it_will_not_come();
    who_waits_in_buffered_mode_sees_it();
}

fn no_view_shows_what_is_not_synced_and_none_goes_back() {
    for fails_at in [u64::MAX, 2] {
        explore("two that commit, one that looks", 2, move || {
            let core = Core::new(Durability::Strict, fails_at);
            let committing = [Arc::clone(&core), Arc::clone(&core)].map(|core| {
                thread::spawn(move || {
                    let Ok(lsn) = core.commit() else {
                        assert!(core.group.is_poisoned(), "refused for no reason");
                        return;
                    };
                    assert!(core.on_disk.load(Ordering::Acquire) >= lsn, "acknowledged too early");
                    assert!(core.view() >= lsn, "what returned is not shown");
                })
            });
            let first = core.view();
            let second = core.view();
            assert!(first <= second, "a later view is older");
            for thread in committing {
                thread.join().unwrap();
            }
            // After a failed sync nothing more is shown.
            assert!(core.view() < core.fails_at);
        });
    }
}

fn who_waits_in_strict_mode_sees_it_or_learns_that_it_will_not_come() {
    for fails_at in [u64::MAX, 1] {
        explore("one that commits, one that waits for it", 3, move || {
            let core = Core::new(Durability::Strict, fails_at);
            let waiting = Arc::clone(&core);
            let waiting = thread::spawn(move || waiting.wait_for(1));
            let committed = core.commit();
            let waited = waiting.join().unwrap();
            assert_eq!(committed.is_ok(), fails_at > 1);
            assert_eq!(waited.is_ok(), fails_at > 1);
            if let Err(error) = waited {
                assert!(matches!(error, Error::Poisoned));
            }
        });
    }
}

fn who_waits_in_buffered_mode_sees_it() {
    explore("one that commits twice, one that waits for it, buffered", 3, || {
        let core = Core::new(Durability::Buffered, u64::MAX);
        let waiting = Arc::clone(&core);
        let waiting = thread::spawn(move || waiting.wait_for(2));
        core.commit().unwrap();
        core.commit().unwrap();
        waiting.join().unwrap().unwrap();
    });
}
