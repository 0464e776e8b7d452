//! `Cell`: a cell as it stands, and `Expected`: how it must stand for a change.

use std::sync::Arc;

use freehold::prelude::*;

/// A cell as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct Cell {
    pub(super) value: Bytes,
    pub(super) version: u64,
    pub(super) timestamp: Timestamp,
    pub(super) lsn: Lsn,
    pub(super) machine: Option<Arc<str>>,
}

/// What a cell must be like for an operation to change it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub enum Expected {
    /// It is there, whatever it holds.
    Any,
    /// It holds this value, whatever its version.
    Value(Bytes),
    /// It has this version: nothing changed it since it was read.
    Version(u64),
}

impl Cell {
    /// The value. Cloning it shares the bytes.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// Grows by one with each change of the value: from 1, or above the versions of cells that were
    /// deleted.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The time of the transaction that changed it last.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The LSN of the transaction that changed it last. In a run that was imported it is the one that the
    /// operation was told, which may be no record of this database.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The machine it is bound to.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }
}

impl Expected {
    /// Expects this value.
    #[must_use]
    pub fn value(value: impl AsRef<[u8]>) -> Expected {
        Expected::Value(Bytes::from(value.as_ref()))
    }

    /// Expects this version.
    #[must_use]
    pub fn version(version: u64) -> Expected {
        Expected::Version(version)
    }
}
