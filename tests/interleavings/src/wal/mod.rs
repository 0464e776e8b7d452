//! As in freehold, as far as group commit and those who wait for a view know it.

/// Loom's, where `src/wal/sync.rs` has the standard library's.
pub(crate) mod sync {
    use std::sync::LockResult;
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use loom::thread::{self, Thread};
    pub(crate) use loom::thread_local;

    use crate::planted::{Mistake, is_planted};

    /// As the standard library's, unless it is left out on purpose.
    pub(crate) fn fence(ordering: Ordering) {
        if !is_planted(Mistake::NoFences) {
            loom::sync::atomic::fence(ordering);
        }
    }

    /// Loom's, with the one method that is called and loom has not. Nothing times out: a wait that
    /// nobody ends is a deadlock, which loom finds.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn wait_timeout_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            _: Duration,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            while condition(&mut guard) {
                guard = self.0.wait(guard).expect("loom poisons no lock");
            }
            Ok((guard, ()))
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[path = "../../../../src/wal/group.rs"]
#[expect(dead_code, reason = "not everything of it is called here")]
mod group;

pub(crate) use group::GroupCommit;
