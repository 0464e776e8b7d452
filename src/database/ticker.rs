//! The one background thread. It does what no caller waits for: syncs in `Buffered` mode and for
//! submissions nobody waits for, the lazy sync of the synced mark, checkpoints by WAL size.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::{Core, Durability, locked};
use crate::clock::Stopwatch;
use crate::error::{Error, Result};

/// How often it looks when nobody asks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long it waits after a checkpoint failed before it tries again.
const RETRY: Duration = Duration::from_secs(30);

/// The thread, to its owner.
pub(super) struct Ticker {
    nudge: Nudge,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The thread, to those who have work for it.
#[derive(Clone)]
pub(super) struct Nudge {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    nudged: AtomicBool,
}

impl Ticker {
    pub(super) fn start(core: &Arc<Core>) -> Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let interval = match core.durability {
            Durability::Buffered { sync_every } => sync_every.min(INTERVAL),
            Durability::Strict | Durability::InMemory => INTERVAL,
        };
        let (weak, its) = (Arc::downgrade(core), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("freehold".into())
            .spawn(move || run(&weak, &its, interval))
            .map_err(|source| Error::io("start a thread", std::path::Path::new("."), source))?;
        let nudge = Nudge { shared, thread: thread.thread().clone() };
        // Nobody else sets it: a core has one ticker.
        let _ = core.nudge.set(nudge.clone());
        Ok(Ticker { nudge, thread: Mutex::new(Some(thread)) })
    }

    /// Ends it and waits for its end.
    pub(super) fn stop(&self) {
        self.nudge.shared.stop.store(true, Ordering::Release);
        self.nudge.thread.unpark();
        let thread = locked(&self.thread).take();
        // The last handle may go on the ticker's own thread, with a waker that it calls.
        if let Some(thread) = thread.filter(|ticker| ticker.thread().id() != thread::current().id())
        {
            // A panic in it was printed; closing goes on.
            let _ = thread.join();
        }
    }
}

impl Core {
    /// Asks the ticker to look now. `false`: there is none.
    pub(super) fn nudge(&self) -> bool {
        let Some(nudge) = self.nudge.get() else { return false };
        if !nudge.shared.nudged.swap(true, Ordering::AcqRel) {
            nudge.thread.unpark();
        }
        true
    }
}

fn run(core: &Weak<Core>, shared: &Shared, interval: Duration) {
    let mut failed_at: Option<Stopwatch> = None;
    while !shared.stop.load(Ordering::Acquire) {
        if !shared.nudged.load(Ordering::Acquire) {
            thread::park_timeout(interval);
        }
        let nudged = shared.nudged.swap(false, Ordering::AcqRel);
        let Some(core) = core.upgrade() else { return };
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // Failures poison the log, where the next writer finds them. A primitive that panics while
        // it is saved must not end what else this thread is for.
        let _ = catch_unwind(AssertUnwindSafe(|| core.sync_in_background(nudged)));
        if failed_at.is_none_or(|failed| failed.elapsed() >= RETRY) {
            let checkpoint = catch_unwind(AssertUnwindSafe(|| core.checkpoint_if_due()));
            failed_at = (!matches!(checkpoint, Ok(Ok(())))).then(Stopwatch::start);
        }
    }
}

impl Core {
    /// Syncs what nobody waits for, and the synced mark when there is nothing else to do.
    fn sync_in_background(&self, nudged: bool) -> Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        self.sync_applied()?;
        if nudged { Ok(()) } else { locked(&files.log).sync_mark() }
    }

    fn checkpoint_if_due(&self) -> Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let due = files
            .checkpoint_bytes
            .is_some_and(|most| files.wal_bytes.load(Ordering::Relaxed) >= most);
        if due && !self.is_closed() { self.checkpoint().map(drop) } else { Ok(()) }
    }
}
