//! Group commit: who leads, who waits, who is woken.
//!
//! - At most one thread leads. It leads until its own LSN is covered, then hands over to the first
//!   waiter that is not; meanwhile the next group gathers.
//! - Every waiter parks on a word of its own and is woken once: when it is covered, when it is to
//!   lead, or when leading failed.
//! - No I/O here: what leading means is a closure. The closure runs without any lock of this file.
//! - After leading failed, or panicked, nothing is ever covered again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use super::sync::{
    AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, Thread, thread, thread_local,
};
use crate::error::{Error, Result};
use crate::id::Lsn;

/// The word of a thread that waits.
const WAITING: u32 = 0;
/// Its LSN is covered.
const COVERED: u32 = 1;
/// It is to lead.
const LEADS: u32 = 2;
/// Leading failed.
const FAILED: u32 = 3;

/// Where a thread waits. A thread has one, since it waits for one thing at a time.
struct Seat {
    word: AtomicU32,
    thread: Thread,
}

impl Seat {
    fn of_this_thread() -> Arc<Seat> {
        Arc::new(Seat { word: AtomicU32::new(WAITING), thread: thread::current() })
    }

    /// Says what became of the wait. After this the seat may be in use for the next one, so its word
    /// is not touched again.
    fn call(&self, word: u32) {
        self.word.store(word, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) -> u32 {
        loop {
            match self.word.load(Ordering::Acquire) {
                WAITING => thread::park(),
                word => return word,
            }
        }
    }
}

thread_local! {
    static SEAT: Arc<Seat> = Seat::of_this_thread();
}

std::thread_local! {
    /// Whom this thread is about to wake: kept, so that leading allocates nothing.
    static WOKEN: RefCell<Vec<Arc<Seat>>> = const { RefCell::new(Vec::new()) };
}

/// A thread in the queue.
struct Waiter {
    lsn: Lsn,
    seat: Arc<Seat>,
}

#[derive(Default)]
struct Queue {
    is_led: bool,
    waiters: VecDeque<Waiter>,
    wakers: Vec<(Lsn, Waker)>,
}

/// Which records are synced, and those who wait for it.
pub(crate) struct GroupCommit {
    synced: AtomicU64,
    has_failed: AtomicBool,
    /// What leading returned when it failed.
    cause: OnceLock<Arc<Error>>,
    queue: Mutex<Queue>,
}

impl GroupCommit {
    /// Nobody waits, and everything up to `synced` is covered.
    pub(crate) fn new(synced: Lsn) -> GroupCommit {
        GroupCommit {
            synced: AtomicU64::new(synced.0),
            has_failed: AtomicBool::new(false),
            cause: OnceLock::new(),
            queue: Mutex::default(),
        }
    }

    /// The highest LSN that is covered.
    pub(crate) fn synced(&self) -> Lsn {
        Lsn(self.synced.load(Ordering::Acquire))
    }

    /// Whether leading failed, and nothing more will be covered.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// An error if leading failed.
    pub(crate) fn refuse_poisoned(&self) -> Result<()> {
        if self.is_poisoned() { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Waits until `lsn` is covered. The calling thread may find itself leading: then it calls `lead`
    /// until `lsn` is covered. `lead` makes records durable and returns the last one.
    ///
    /// # Errors
    ///
    /// [`Error::DurabilityUnknown`] if `lead` failed, here or in another thread, before `lsn` was
    /// covered, with what `lead` returned.
    pub(crate) fn wait(&self, lsn: Lsn, lead: impl FnMut() -> Result<Lsn>) -> Result<()> {
        if self.synced() >= lsn {
            return Ok(());
        }
        let mut queue = self.lock();
        // Again under the lock: a leader covers and fails under it.
        if self.synced() >= lsn {
            return Ok(());
        }
        if self.is_poisoned() {
            return Err(self.unknown());
        }
        if !queue.is_led {
            queue.is_led = true;
            drop(queue);
            return self.lead_until(lsn, lead);
        }
        // A thread that is ending has no seat any more, and gets one for this wait.
        let seat = SEAT.try_with(Arc::clone).unwrap_or_else(|_| Seat::of_this_thread());
        seat.word.store(WAITING, Ordering::Relaxed);
        queue.waiters.push_back(Waiter { lsn, seat: Arc::clone(&seat) });
        drop(queue);
        match seat.wait() {
            COVERED => Ok(()),
            LEADS => self.lead_until(lsn, lead),
            _ => Err(self.unknown()),
        }
    }

    /// For a future: whether `lsn` is covered; if it is not yet, `waker` is called when it is. Nobody
    /// leads because of this.
    ///
    /// # Errors
    ///
    /// As [`wait`](GroupCommit::wait).
    pub(crate) fn register(&self, lsn: Lsn, waker: &Waker) -> Poll<Result<()>> {
        let mut queue = self.lock();
        if self.synced() >= lsn {
            return Poll::Ready(Ok(()));
        }
        if self.is_poisoned() {
            return Poll::Ready(Err(self.unknown()));
        }
        if !queue.wakers.iter().any(|(of, known)| *of == lsn && known.will_wake(waker)) {
            queue.wakers.push((lsn, waker.clone()));
        }
        Poll::Pending
    }

    /// Nothing more will be covered: everybody who waits gets an error, now and later.
    pub(crate) fn poison(&self) {
        let mut queue = self.lock();
        self.has_failed.store(true, Ordering::Release);
        queue.is_led = false;
        let waiters = mem::take(&mut queue.waiters);
        let wakers = mem::take(&mut queue.wakers);
        drop(queue);
        waiters.iter().for_each(|waiter| waiter.seat.call(FAILED));
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn unknown(&self) -> Error {
        Error::DurabilityUnknown { cause: self.cause.get().map(Arc::clone) }
    }

    fn lead_until(&self, lsn: Lsn, mut lead: impl FnMut() -> Result<Lsn>) -> Result<()> {
        // A panic while leading leaves it unknown what is durable, like a failed sync.
        let guard = PoisonOnDrop(self);
        loop {
            match lead() {
                Ok(synced) => {
                    // Leading that covers nothing new would be repeated for ever.
                    debug_assert!(synced >= lsn, "leading covers what was queued before it");
                    if self.cover(synced, lsn) {
                        mem::forget(guard);
                        return if self.synced() >= lsn { Ok(()) } else { Err(self.unknown()) };
                    }
                }
                Err(error) => {
                    // Before anyone is told, so that everyone is told why.
                    let _ = self.cause.set(Arc::new(error));
                    drop(guard);
                    return Err(self.unknown());
                }
            }
        }
    }

    /// The leader has made everything up to `synced` durable. Wakes whom that covers and hands over, if
    /// the leader's own `lsn` is among it. Returns whether the caller leads no longer.
    fn cover(&self, synced: Lsn, lsn: Lsn) -> bool {
        let mut queue = self.lock();
        if self.is_poisoned() {
            // Somebody else found out that writing failed; the waiters know already.
            return true;
        }
        self.synced.store(synced.0, Ordering::Release);
        let is_done = synced >= lsn;
        let mut next = None;
        if is_done {
            let first = queue.waiters.iter().position(|waiter| waiter.lsn > synced);
            next = first.and_then(|at| queue.waiters.remove(at));
            queue.is_led = next.is_some();
        }
        let wakers = take_covered_wakers(&mut queue.wakers, synced);
        wake(queue, synced, next);
        wakers.into_iter().for_each(Waker::wake);
        is_done
    }

    /// A panic under this lock cannot leave the queue half-changed.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Poisons when it is dropped: while a panic unwinds, or on purpose.
struct PoisonOnDrop<'a>(&'a GroupCommit);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.poison();
    }
}

/// Takes those out of the queue that `synced` covers, lets the queue go, and wakes them. The next
/// leader first: its sync runs while the others are woken.
fn wake(mut queue: MutexGuard<'_, Queue>, synced: Lsn, next: Option<Waiter>) {
    // A thread that is ending has no list to keep any more.
    let mut woken = WOKEN.try_with(RefCell::take).unwrap_or_default();
    queue.waiters.retain(|waiter| {
        let is_covered = waiter.lsn <= synced;
        if is_covered {
            woken.push(Arc::clone(&waiter.seat));
        }
        !is_covered
    });
    drop(queue);
    if let Some(next) = next {
        next.seat.call(LEADS);
    }
    woken.drain(..).for_each(|seat| seat.call(COVERED));
    let _ = WOKEN.try_with(|kept| kept.replace(woken));
}

fn take_covered_wakers(wakers: &mut Vec<(Lsn, Waker)>, synced: Lsn) -> Vec<Waker> {
    // Nearly always empty, and an empty `Vec` allocates nothing.
    wakers.extract_if(.., |(lsn, _)| *lsn <= synced).map(|(_, waker)| waker).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    /// A log in memory: LSNs are given, and a "sync" covers all that were given before it.
    struct Given {
        last: AtomicU64,
        syncs: AtomicUsize,
        is_leading: AtomicBool,
        group: GroupCommit,
    }

    impl Given {
        fn new() -> Given {
            Given {
                last: AtomicU64::new(0),
                syncs: AtomicUsize::new(0),
                is_leading: AtomicBool::new(false),
                group: GroupCommit::new(Lsn::ZERO),
            }
        }

        fn lead(&self) -> Result<Lsn> {
            assert!(!self.is_leading.swap(true, Ordering::SeqCst), "two lead");
            let covered = Lsn(self.last.load(Ordering::SeqCst));
            thread::yield_now();
            self.syncs.fetch_add(1, Ordering::SeqCst);
            self.is_leading.store(false, Ordering::SeqCst);
            Ok(covered)
        }

        fn commit(&self) -> Result<()> {
            let lsn = Lsn(self.last.fetch_add(1, Ordering::SeqCst) + 1);
            self.group.wait(lsn, || self.lead())?;
            assert!(self.group.synced() >= lsn);
            Ok(())
        }
    }

    #[test]
    fn everybody_is_covered_and_one_leads() {
        let given = Given::new();
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..500).for_each(|_| given.commit().unwrap()));
            }
        });
        assert_eq!(given.group.synced(), Lsn(16 * 500));
        let queue = given.group.lock();
        assert!(!queue.is_led && queue.waiters.is_empty());
        assert!(given.syncs.load(Ordering::SeqCst) <= 16 * 500);
    }

    #[test]
    fn a_failure_reaches_everybody_who_is_not_covered() {
        let given = Given::new();
        let failed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..400 {
                        let lsn = Lsn(given.last.fetch_add(1, Ordering::SeqCst) + 1);
                        let done = given.group.wait(lsn, || match given.lead() {
                            Ok(covered) if covered.0 > 300 => Err(Error::Closed),
                            covered => covered,
                        });
                        if done.is_err() {
                            assert!(matches!(done, Err(Error::DurabilityUnknown { .. })));
                            assert!(lsn > given.group.synced());
                            failed.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                });
            }
        });
        assert_eq!(failed.load(Ordering::SeqCst), 8);
        assert!(given.group.synced() <= Lsn(300));
        assert!(matches!(given.group.refuse_poisoned(), Err(Error::Poisoned)));
    }

    #[test]
    fn a_panic_while_leading_poisons_and_nobody_hangs() {
        let given = Given::new();
        let turn = std::sync::Barrier::new(2);
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                given.group.wait(Lsn(1), || {
                    turn.wait();
                    // Until the other is in the queue.
                    while given.group.lock().waiters.is_empty() {
                        thread::yield_now();
                    }
                    panic!("on purpose");
                })
            });
            turn.wait();
            let waiter = given.group.wait(Lsn(2), || unreachable!("leading failed for good"));
            assert!(matches!(waiter, Err(Error::DurabilityUnknown { .. })));
            assert!(leader.join().is_err());
        });
        assert!(given.group.is_poisoned());
    }

    struct Flag(AtomicUsize);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waker_is_called_once_when_its_lsn_is_covered() {
        let group = GroupCommit::new(Lsn(4));
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&flag));
        assert!(matches!(group.register(Lsn(4), &waker), Poll::Ready(Ok(()))));
        for _ in 0..3 {
            assert!(group.register(Lsn(6), &waker).is_pending());
        }
        group.wait(Lsn(5), || Ok(Lsn(5))).unwrap();
        assert_eq!(flag.0.load(Ordering::SeqCst), 0);
        group.wait(Lsn(6), || Ok(Lsn(7))).unwrap();
        assert_eq!(flag.0.load(Ordering::SeqCst), 1);
        assert!(matches!(group.register(Lsn(6), &waker), Poll::Ready(Ok(()))));
        assert!(group.register(Lsn(8), &waker).is_pending());
        group.poison();
        assert_eq!(flag.0.load(Ordering::SeqCst), 2);
        let refused = group.register(Lsn(8), &waker);
        assert!(matches!(refused, Poll::Ready(Err(Error::DurabilityUnknown { .. }))));
    }
}
