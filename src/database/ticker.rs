//! The one background thread. It does what no caller waits for: syncs in `Buffered` mode and for
//! submissions nobody waits for, the lazy sync of the synced mark, checkpoints by WAL size.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Core, Durability, locked};
use crate::error::{Error, Result};

/// How often it looks when nobody asks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread's handle.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    unpark: thread::Thread,
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
        let unpark = thread.thread().clone();
        Ok(Ticker { shared, thread: Mutex::new(Some(thread)), unpark })
    }

    /// Asks it to sync what is queued, now.
    pub(super) fn nudge(&self) {
        if !self.shared.nudged.swap(true, Ordering::AcqRel) {
            self.unpark.unpark();
        }
    }

    /// Ends it and waits for its end.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.unpark.unpark();
        if let Some(thread) = locked(&self.thread).take() {
            // A panic in it was printed; closing goes on.
            let _ = thread.join();
        }
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
