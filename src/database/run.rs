//! One run of a database, as a handle of its own.

use crate::database::{Database, RunTransaction, RunView};
use crate::error::{Error, Result};
use crate::id::RunId;

/// A run: its own instance of every primitive. Cheap to clone.
///
/// ```
/// use freehold::prelude::*;
/// # #[cfg(feature = "kv")] {
/// # let db = Options::new().durability(Durability::InMemory).open("")?;
/// let run = db.run(db.create_run("conversation 1")?);
/// run.transaction(|tx| tx.on::<KvStore>().put(b"topic", b"weather"))?;
/// assert!(db.view().on::<KvStore>().get(b"topic").is_none());
/// assert!(run.view()?.on::<KvStore>().get(b"topic").is_some());
/// # }
/// # Ok::<(), freehold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    database: Database,
    id: RunId,
}

impl Run {
    pub(crate) fn new(database: Database, id: RunId) -> Run {
        Run { database, id }
    }

    /// The run's number.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// As [`Database::transaction`], where `tx.on` means this run.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`], and those of [`Database::transaction`].
    pub fn transaction<T>(
        &self,
        body: impl FnOnce(&mut RunTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.database.transaction(|tx| body(&mut tx.run(self.id)?))
    }

    /// The run as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`].
    pub fn view(&self) -> Result<RunView> {
        self.database
            .view()
            .run(self.id)
            .ok_or_else(|| Error::NoRun { run: self.id.to_string().into() })
    }
}
