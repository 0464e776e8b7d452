//! `StateCell`: named cells that change by compare-and-set.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x40 `init`, 0x41 `set`, 0x42 `transition`.
//! 2. A cell's version is 1 when it is made and grows by one with each change, also when the new
//!    value equals the old. So equal versions mean that nothing happened in between.
//! 3. A cell's time and LSN are those of the transaction that changed it last.
//! 4. A rejected operation leaves the cell as it was, its version too.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{Expected, StateCell, StateError};
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//! db.transaction(|tx| tx.on::<StateCell>().init("order/7", b"placed"))?;
//!
//! // Two workers want the order; the second one finds it changed.
//! let claim = |by: &'static [u8]| {
//!     db.transaction(|tx| {
//!         tx.on::<StateCell>().transition("order/7", Expected::value(b"placed"), by)
//!     })
//! };
//! assert_eq!(claim(b"packed by ann")?, 2);
//! let refused = claim(b"packed by bob").unwrap_err();
//! assert_eq!(
//!     refused.rejected::<StateError>(),
//!     Some(&StateError::OtherValue { name: "order/7".into(), version: 2 }),
//! );
//!
//! let view = db.view();
//! let order = view.on::<StateCell>().get("order/7").unwrap();
//! assert_eq!(&order.value()[..], b"packed by ann");
//! assert_eq!(order.version(), 2);
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use freehold::prelude::*;

/// Named cells, each with a value of bytes, a version and the time of its last change.
///
/// A name may be any text. A name with its values fits into one entry of the log, 64 MiB; a larger
/// change is rejected before anything changes.
#[primitive(id = 4, wal = 0x40..=0x42, name = "state")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateCell {
    cells: OrdMap<Arc<str>, Cell>,
}

/// A cell as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct Cell {
    value: Bytes,
    version: u64,
    timestamp: Timestamp,
    lsn: Lsn,
}

/// What a cell must be like for [`StateCell::transition`] to change it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub enum Expected {
    /// It holds this value, whatever its version.
    Value(Bytes),
    /// It has this version: nothing changed it since it was read.
    Version(u64),
}

/// Why an operation on a [`StateCell`] was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// `init` found the cell there already.
    #[error("cell {name}: exists at version {version}, expected none")]
    Exists {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        version: u64,
    },
    /// `transition` found no cell.
    #[error("cell {name}: does not exist, expected one to change")]
    Absent {
        /// The cell.
        name: Box<str>,
    },
    /// `transition` expected another value.
    #[error("cell {name}: version {version} has another value than expected")]
    OtherValue {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        version: u64,
    },
    /// `transition` expected another version.
    #[error("cell {name}: version is {found}, expected {expected}")]
    OtherVersion {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        found: u64,
        /// The version that was expected.
        expected: u64,
    },
    /// The cell was changed 2⁶⁴ − 1 times, and its version cannot grow.
    #[error("cell {name}: no version after {version}")]
    VersionsExhausted {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        version: u64,
    },
}

#[operations]
impl StateCell {
    /// Makes the cell `name` with `value`, at version 1.
    ///
    /// # Errors
    ///
    /// [`StateError::Exists`] if it is there already.
    #[wal(0x40)]
    pub fn init(
        &mut self,
        context: &OpContext,
        name: &str,
        value: &[u8],
    ) -> Result<(), StateError> {
        if let Some(cell) = self.cells.get(name) {
            return Err(StateError::Exists { name: name.into(), version: cell.version });
        }
        self.write(context, name, value, 1);
        Ok(())
    }

    /// Sets the cell `name` to `value`, whatever it was, and makes it if there is none. Returns
    /// the new version: 1 for a cell that was just made.
    ///
    /// # Errors
    ///
    /// [`StateError::VersionsExhausted`] after 2⁶⁴ − 1 changes.
    #[wal(0x41)]
    pub fn set(
        &mut self,
        context: &OpContext,
        name: &str,
        value: &[u8],
    ) -> Result<u64, StateError> {
        let version = self.next_version(name)?;
        self.write(context, name, value, version);
        Ok(version)
    }

    /// Sets the cell `name` to `value` if it is as `expected`: by value, or by the version that
    /// was read before. Returns the new version.
    ///
    /// # Errors
    ///
    /// [`StateError::Absent`] if there is no such cell, [`StateError::OtherValue`] or
    /// [`StateError::OtherVersion`] if it is not as expected, [`StateError::VersionsExhausted`]
    /// after 2⁶⁴ − 1 changes.
    #[wal(0x42)]
    pub fn transition(
        &mut self,
        context: &OpContext,
        name: &str,
        expected: Expected,
        value: &[u8],
    ) -> Result<u64, StateError> {
        let Some(cell) = self.cells.get(name) else {
            return Err(StateError::Absent { name: name.into() });
        };
        match expected {
            Expected::Value(expected) if cell.value != expected => {
                return Err(StateError::OtherValue { name: name.into(), version: cell.version });
            }
            Expected::Version(expected) if cell.version != expected => {
                let found = cell.version;
                return Err(StateError::OtherVersion { name: name.into(), found, expected });
            }
            Expected::Value(_) | Expected::Version(_) => {}
        }
        let version = self.next_version(name)?;
        self.write(context, name, value, version);
        Ok(version)
    }

    /// The cell `name` as it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.cells.get(name)
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no cell at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells in the order of their names, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Cell)> {
        self.cells.iter().map(|(name, cell)| (&**name, cell))
    }

    fn next_version(&self, name: &str) -> Result<u64, StateError> {
        let version = self.cells.get(name).map_or(0, |cell| cell.version);
        version
            .checked_add(1)
            .ok_or_else(|| StateError::VersionsExhausted { name: name.into(), version })
    }

    fn write(&mut self, context: &OpContext, name: &str, value: &[u8], version: u64) {
        let cell = Cell {
            value: Bytes::from(value),
            version,
            timestamp: context.timestamp(),
            lsn: context.lsn(),
        };
        self.cells.insert(name.into(), cell);
    }
}

impl Cell {
    /// The value. Cloning it shares the bytes.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// How often the cell was changed, making it included: from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The time of the transaction that changed it last.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The LSN of the transaction that changed it last.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
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

#[cfg(test)]
freehold::conformance!(StateCell, {
    let name = "[ab]";
    let value = proptest::collection::vec(0..3u8, 0..2);
    let expected = prop_oneof![
        (0..4u64).prop_map(Expected::Version),
        value.clone().prop_map(|value| Expected::Value(value.as_slice().into())),
    ];
    prop_oneof![
        2 => (name, value.clone()).prop_map(|(name, value)| call!(StateCell, init(&name, &value))),
        2 => (name, value.clone()).prop_map(|(name, value)| call!(StateCell, set(&name, &value))),
        3 => (name, expected, value).prop_map(|(name, expected, value)| {
            call!(StateCell, transition(&name, expected.clone(), &value))
        }),
    ]
});
