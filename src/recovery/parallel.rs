//! Work on many things that know nothing of each other, with some threads.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use crate::error::{Error, Result};
use crate::id::Lsn;

use super::{Phase, Settings};

/// Does `work` on every task, begun in their order. What comes back is in no order. A thread that
/// meets an error begins nothing more.
pub(super) fn in_parallel<T: Send, R: Send>(
    tasks: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let workers = threads.min(tasks.len()).max(1);
    let todo = Mutex::new(tasks.into_iter());
    let work = || {
        let mut done = Vec::new();
        loop {
            let task = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
            match task {
                Some(task) => done.push(work(task)?),
                None => return Ok(done),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for thread in threads {
            let done = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            match (&mut all, done) {
                (Ok(all), Ok(done)) => all.extend(done),
                (Ok(_), Err(error)) => all = Err(error),
                (Err(_), _) => {}
            }
        }
        all
    })
}

/// Tells how far work in parallel has come, and hears who cancels: from the thread that opens, and from
/// no other. It should be told once before the work, of which that thread may get none.
pub(super) struct Watched<'s> {
    settings: &'s Settings,
    phase: Phase,
    bytes_total: u64,
    lsn: Lsn,
    opening: ThreadId,
    is_cancelled: AtomicBool,
}

impl Watched<'_> {
    pub(super) fn new(
        settings: &Settings,
        phase: Phase,
        bytes_total: u64,
        lsn: Lsn,
    ) -> Watched<'_> {
        let opening = thread::current().id();
        Watched { settings, phase, bytes_total, lsn, opening, is_cancelled: AtomicBool::new(false) }
    }

    /// What comes next is of `primitive`.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub(super) fn tell(&self, bytes_done: u64, primitive: Option<&'static str>) -> Result<()> {
        if thread::current().id() == self.opening {
            let Watched { settings, phase, bytes_total, lsn, .. } = self;
            let told = settings.progress(*phase, bytes_done, *bytes_total, *lsn, primitive);
            told.inspect_err(|_| self.is_cancelled.store(true, Ordering::Relaxed))
        } else if self.is_cancelled.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}
