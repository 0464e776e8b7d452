//! The promise that a submitted transaction becomes as durable as the mode says.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::database::Database;
use crate::error::Result;
use crate::id::Lsn;

/// A transaction that is applied, and perhaps not yet as durable as
/// [`Options::durability`](crate::Options::durability) promises. Wait for it, ask it, or await it.
///
/// Dropping it takes nothing back. Until it is dropped, the database stays open, as with any other
/// handle.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let directory = tempfile::tempdir()?;
/// # let db = Database::open(directory.path())?;
/// let (_, first) = db.submit(|tx| tx.on::<KvStore>().put(b"a", b"1"))?;
/// let (_, second) = db.submit(|tx| tx.on::<KvStore>().put(b"b", b"2"))?;
/// second.wait()?; // one sync covers both
/// assert!(first.is_done());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "until it was waited for, the transaction may not be durable"]
pub struct Pending {
    database: Database,
    lsn: Lsn,
}

impl Pending {
    pub(crate) fn new(database: Database, lsn: Lsn) -> Pending {
        Pending { database, lsn }
    }

    /// The record to be durable.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether it is as durable as promised now: synced in
    /// [`Strict`](crate::Durability::Strict), with the operating system in
    /// [`Buffered`](crate::Durability::Buffered), always in
    /// [`InMemory`](crate::Durability::InMemory).
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.database.core().is_durable(self.lsn)
    }

    /// Waits until it is as durable as promised.
    ///
    /// # Errors
    ///
    /// As [`Database::transaction`].
    pub fn wait(self) -> Result<()> {
        self.database.core().refuse_nested("wait")?;
        self.database.core().wait_durable(self.lsn)
    }
}

impl Future for Pending {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let core = self.database.core();
        if core.is_durable(self.lsn) {
            return Poll::Ready(Ok(()));
        }
        let registered = core.group.register(self.lsn, context.waker());
        if registered.is_pending() && !core.nudge() {
            // Without a background thread nobody else would lead.
            return Poll::Ready(core.wait_durable(self.lsn));
        }
        registered
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}
