//! A database as lines of JSON: out of a view, and back into a state.
//!
//! - The rows are those of a snapshot, written and read by the same calls in their JSON form. So
//!   every primitive has this, and no primitive knows of it.
//! - Both ways one line is in memory at a time, besides the state. Rows of a table that this build reads
//!   in another order wait as text.
//! - An export is whole or it is seen not to be: each instance is announced with the number of its rows
//!   and a digest, and the last line counts everything.
//! - What is read is foreign: nothing in it makes reading panic or allocate beyond its length.

mod export;
mod head;
mod import;
mod rows;

use std::io;

use crate::error::Error;
use crate::id::RunId;
use crate::primitive::json::Misfit;

pub(crate) use export::{Selection, export};
pub(crate) use import::import;

/// The version of the lines themselves.
const FORMAT: u32 = 1;

/// Bytes of the longest line.
const LINE_BYTES_MAX: u64 = 1 << 31;

/// How much was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, crate::Stored)]
pub(crate) struct Moved {
    /// Runs, the root not counted.
    pub(crate) runs: u64,
    /// Instances that have rows.
    pub(crate) instances: u64,
    /// Rows.
    pub(crate) rows: u64,
}

/// Why lines were not written or not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The lines cannot be written.
    #[error("write: {0}")]
    Write(io::Error),
    /// The lines cannot be read.
    #[error("read: {0}")]
    Read(io::Error),
    /// What stands in a line is not what must stand there.
    #[error("line {line} {what}")]
    Line {
        /// From 1.
        line: u64,
        /// Where in it, what, and what would be right.
        what: Misfit,
    },
    /// A value is not one that can stand here.
    #[error("line {line}: {of} is {found}, expected {expected}")]
    Value {
        /// From 1.
        line: u64,
        /// Of what.
        of: &'static str,
        /// As read.
        found: Box<str>,
        /// As it must be.
        expected: Box<str>,
    },
    /// A primitive does not take its rows.
    #[error("line {line}: {primitive} in run {run}: {reason}")]
    Instance {
        /// The line that announces them.
        line: u64,
        /// The primitive.
        primitive: Box<str>,
        /// The run.
        run: RunId,
        /// What it said.
        reason: Box<str>,
    },
    /// The last line is missing.
    #[error("line {line}: found the end of the file, expected {expected}: it was cut")]
    Cut {
        /// The line that is not there.
        line: u64,
        /// What would stand in it.
        expected: &'static str,
    },
    /// A primitive in the data is not linked, and its data would be left out.
    #[error(
        "{primitive} is in the data and not linked, so it cannot be exported: {link}, or say with \
         --primitive which ones to export"
    )]
    NotLinked {
        /// The primitive.
        primitive: Box<str>,
        /// What links it.
        link: Box<str>,
    },
    /// No linked primitive has the name that was asked for.
    #[error("no primitive {asked} is linked; there are {linked}")]
    NoPrimitive {
        /// The name.
        asked: Box<str>,
        /// Those there are.
        linked: Box<str>,
    },
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the linked slice is a section of its own")]
mod tests;
