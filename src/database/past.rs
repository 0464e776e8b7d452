//! What the state was: views of earlier records, read from the files of the open database.
//!
//! - The state after a record is made as opening makes it: from the newest snapshot at or below it,
//!   and the log up to it. Nothing is written.
//! - A checkpoint waits while the files are read, so none of them is pruned meanwhile.

use std::sync::Arc;

use super::{Core, Database, View, locked};
use crate::error::{Error, Result};
use crate::id::Lsn;
use crate::recovery::{self, Reach, Settings};
use crate::state::Published;

impl Database {
    /// Everything as it was after the record `lsn`, as far back as snapshots and the WAL reach.
    ///
    /// It is read from the files, in the time that opening takes up to there. Writers and readers go on
    /// meanwhile; a checkpoint waits.
    ///
    /// ```
    /// use freehold::prelude::*;
    /// # #[cfg(feature = "kv")] {
    /// # let directory = tempfile::tempdir()?;
    /// # let db = Database::open(directory.path())?;
    /// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"old"))?;
    /// let then = db.view().lsn();
    /// db.transaction(|tx| tx.on::<KvStore>().put(b"key", b"new"))?;
    /// let view = db.view_at(then)?;
    /// assert_eq!(view.on::<KvStore>().get(b"key").as_deref(), Some(&b"old"[..]));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] for what is not the newest of a database that is open only to be read:
    /// [`inspect_at`](crate::inspect_at) reads that. [`Error::NoLsn`] if the record is not there, not yet as durable as a view's must be, or
    /// what led to it is not kept any more; what opening would refuse.
    pub fn view_at(&self, lsn: Lsn) -> Result<View> {
        self.core().refuse_nested("view_at")?;
        let newest = self.view();
        if lsn == newest.lsn() {
            return Ok(newest);
        }
        if lsn > newest.lsn() {
            return Err(Error::NoLsn { lsn, nearest: newest.lsn() });
        }
        let published = self.core().read_until(lsn)?;
        Ok(View { published: Arc::new(published), empty: newest.empty })
    }
}

impl Core {
    fn read_until(&self, lsn: Lsn) -> Result<Published> {
        self.refuse_read_only()?;
        let nearest = self.published.load().lsn;
        let files = self.files.as_ref().ok_or(Error::NoLsn { lsn, nearest })?;
        let _unpruned = locked(&files.checkpoints);
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let settings =
            Settings { reach: Reach::Until(lsn), progress: None, ..files.settings.clone() };
        let registry = self.published.load().registry;
        Ok(recovery::read_until(&files.disk, registry, &settings)?.publish_all())
    }
}
