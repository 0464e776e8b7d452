//! The one background thread. It does what no caller waits for: syncs in `Buffered` mode and for
//! submissions nobody waits for, the lazy sync of the synced mark, checkpoints by WAL size.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::{Core, Durability, locked};
use crate::error::{Error, Result};

/// How often it looks when nobody asks.
const INTERVAL: Duration = Duration::from_secs(1);

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
        if let Some(thread) = locked(&self.thread).take() {
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
    while !shared.stop.load(Ordering::Acquire) {
        if !shared.nudged.load(Ordering::Acquire) {
            thread::park_timeout(interval);
        }
        let nudged = shared.nudged.swap(false, Ordering::AcqRel);
        let Some(core) = core.upgrade() else { return };
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // Failures poison the log, where the next writer finds them.
        let _ = core.tick(nudged);
    }
}

impl Core {
    /// One look at what is left to do.
    fn tick(&self, nudged: bool) -> Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        self.sync_applied()?;
        if !nudged {
            locked(&files.log).sync_mark()?;
        }
        let due = files
            .checkpoint_bytes
            .is_some_and(|most| files.wal_bytes.load(Ordering::Relaxed) >= most);
        if due && !self.is_closed() {
            self.checkpoint()?;
        }
        Ok(())
    }
}
