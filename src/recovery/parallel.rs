//! Work on many things that know nothing of each other, with some threads.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Result;

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
