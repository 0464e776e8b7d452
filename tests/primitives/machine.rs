//! A database on a simulated disk, and what every primitive is put through.
//!
//! - After each step the database is opened twice more: after a crash, which replays the log, and
//!   after a clean close, which loads a snapshot. The state, its indexes included, must be the one
//!   that the operations made.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::sync::Arc;

use freehold::prelude::*;
use freehold::primitives::{
    EventLog, JsonStore, KvStore, RunIndex, StateCell, TraceStore, VectorStore,
};
use freehold::testing::{SimDisk, Survival, TestClock};

/// A database on a simulated disk, and a clock that goes on by a second at every look.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) clock: TestClock,
    pub(crate) db: Database,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let disk = SimDisk::new(1);
        let clock = TestClock::ticking(Timestamp(1_000_000_000), 1_000_000_000);
        let db = open(&disk, &clock);
        Machine { disk, clock, db }
    }

    /// The power fails; nothing that was not synced survives.
    pub(crate) fn crash(&mut self) {
        self.disk = self.disk.after_crash(Survival::Nothing);
        self.db = open(&self.disk, &self.clock);
    }

    /// A clean close, which makes a snapshot, and another opening.
    pub(crate) fn close(&mut self) {
        self.db.close().unwrap();
        self.db = open(&self.disk, &self.clock);
    }

    /// One transaction, after which redo must equal do.
    #[track_caller]
    pub(crate) fn commit<T>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> T {
        let value = self.db.transaction(body).unwrap();
        let done = state(&self.db);
        self.crash();
        assert_eq!(state(&self.db), done, "replayed from the log");
        self.close();
        assert_eq!(state(&self.db), done, "loaded from a snapshot");
        value
    }

    /// One operation that must be refused with `expected` and change nothing, alone and between
    /// two that succeed.
    #[track_caller]
    pub(crate) fn refused<E, T>(
        &mut self,
        expected: E,
        operation: impl Fn(&mut Transaction<'_>) -> Result<T>,
    ) where
        E: StdError + PartialEq + 'static,
        T: Debug,
    {
        let before = state(&self.db);
        let error = self.db.transaction(&operation).unwrap_err();
        assert_eq!(error.rejected::<E>(), Some(&expected), "{error}");
        assert_eq!(state(&self.db), before, "a rejected operation changed something");

        self.db
            .transaction(|tx| {
                tx.on::<KvStore>().put(b"between", b"1")?;
                let error = operation(tx).unwrap_err();
                assert_eq!(error.rejected::<E>(), Some(&expected), "{error}");
                tx.on::<KvStore>().delete(b"between")
            })
            .unwrap();
        assert_eq!(state(&self.db), before, "a rejected operation changed something");
        self.crash();
        assert_eq!(state(&self.db), before, "a rejected operation was logged");
    }
}

pub(crate) fn open(disk: &SimDisk, clock: &TestClock) -> Database {
    Options::new()
        .disk(Arc::new(disk.clone()))
        .clock(clock.reader())
        .segment_bytes(64 << 10)
        .open("")
        .unwrap()
}

/// Everything the primitives hold, their indexes included.
pub(crate) fn state(db: &Database) -> String {
    let view = db.view();
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        view.on::<KvStore>(),
        view.on::<JsonStore>(),
        view.on::<EventLog>(),
        view.on::<StateCell>(),
        view.on::<RunIndex>(),
        view.on::<TraceStore>(),
        view.on::<VectorStore>(),
    )
}
