//! Why an operation on a `StateCell` was rejected.

use std::fmt;

/// Why an operation on a [`StateCell`](super::StateCell) was rejected.
///
/// States are shown as text; a value that is not UTF-8 is shown with U+FFFD where it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The cell is there already.
    #[error("cell {name}: exists at version {version}, expected none")]
    Exists {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        version: u64,
    },
    /// There is no such cell.
    #[error("cell {name}: does not exist, expected one to change")]
    Absent {
        /// The cell.
        name: Box<str>,
    },
    /// Another value was expected.
    #[error("cell {name}: version {version} has another value than expected")]
    OtherValue {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        version: u64,
    },
    /// Another version was expected.
    #[error("cell {name}: version is {found}, expected {expected}")]
    OtherVersion {
        /// The cell.
        name: Box<str>,
        /// The version it has.
        found: u64,
        /// The version that was expected.
        expected: u64,
    },
    /// Versions have reached 2⁶⁴ − 1 and cannot grow.
    #[error("cell {name}: no version after {version}")]
    VersionsExhausted {
        /// The cell.
        name: Box<str>,
        /// The version it has, or the last one that a deleted cell had.
        version: u64,
    },
    /// The cell's machine does not allow this move.
    #[error(
        "cell {name}: {from} to {to} is no move of machine {machine}, expected {}",
        Listed(allowed)
    )]
    MoveNotAllowed {
        /// The cell.
        name: Box<str>,
        /// The machine it is bound to.
        machine: Box<str>,
        /// The state it is in.
        from: Box<str>,
        /// The state it was to go to.
        to: Box<str>,
        /// The states it may go to, in order; none if it is in a final one.
        allowed: Box<[Box<str>]>,
    },
    /// The machine does not know the state the cell is in, or a cell cannot begin in it.
    #[error("cell {name}: {found} is not for machine {machine}, expected {}", Listed(expected))]
    OtherState {
        /// The cell.
        name: Box<str>,
        /// The machine.
        machine: Box<str>,
        /// The cell's value.
        found: Box<str>,
        /// The states it could have, in order.
        expected: Box<[Box<str>]>,
    },
    /// The machine was not declared.
    #[error("machine {machine}: is not declared, expected one that is")]
    NotDeclared {
        /// The machine.
        machine: Box<str>,
    },
    /// The machine has no state in which a cell could begin.
    #[error("machine {machine}: has no initial state, expected at least one")]
    NoInitialState {
        /// The machine.
        machine: Box<str>,
    },
    /// Cells are bound to the machine that was to be removed.
    #[error("machine {machine}: cells bound to it are {count}, expected none")]
    InUse {
        /// The machine.
        machine: Box<str>,
        /// How many cells.
        count: u64,
    },
}

/// Names with commas, or that there is none.
struct Listed<'a>(&'a [Box<str>]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none, as it is final");
        }
        for (index, name) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}
