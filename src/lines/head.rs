//! The lines that are no rows: what leads an export, announces a run or an instance, and ends it.
//!
//! - Each is an object of one field, whose name says what it is.
//! - They are stored types, and so written and read as values of primitives are.

use crate::id::{Lsn, RunId, Timestamp};

/// The first line: where the rows come from.
#[derive(Clone, Debug, crate::Stored)]
pub(super) struct Header {
    /// The version of the lines.
    pub(super) format: u32,
    /// The release that wrote them.
    pub(super) freehold: String,
    /// The database, which an import does not continue: it makes one of its own.
    pub(super) database: String,
    /// The last record in the state.
    pub(super) lsn: Lsn,
    /// That record's time.
    pub(super) timestamp: Timestamp,
    /// The number that the next run gets.
    pub(super) next_run: RunId,
    /// Not all primitives, but these.
    pub(super) only_primitives: Option<Vec<String>>,
    /// Not all runs, but these.
    pub(super) only_runs: Option<Vec<RunId>>,
    /// Those that may have rows.
    pub(super) primitives: Vec<Source>,
}

/// A primitive as it was when its rows were written.
#[derive(Clone, Debug, crate::Stored)]
#[stored(name = "PrimitiveOfAnExport")]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) type_id: u8,
    pub(super) crate_name: String,
    pub(super) crate_version: String,
    pub(super) section_version: u32,
    /// Fields and their types.
    pub(super) section_shape: String,
    /// A number that stands for the shape, in hexadecimal.
    pub(super) section_fingerprint: String,
    /// The record with its first entry; 0 if it never wrote.
    pub(super) first_lsn: Lsn,
}

/// A run, as the run table has it.
#[derive(Clone, Debug, crate::Stored)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) name: String,
    pub(super) created_lsn: Lsn,
    pub(super) last_lsn: Lsn,
    /// The highest LSN and time that its operations were told, where that was not their record's: those of
    /// a run that was imported, or copied as it was earlier.
    pub(super) told: Option<(Lsn, Timestamp)>,
    /// The run it was forked from, and up to which record.
    pub(super) parent: Option<(RunId, Lsn)>,
}

/// One primitive in one run, before its rows.
#[derive(Clone, Debug, crate::Stored)]
pub(super) struct Instance {
    pub(super) primitive: String,
    pub(super) run: RunId,
    /// Those that have rows, in the order in which these follow.
    pub(super) fields: Vec<Field>,
    /// As `View::digest` gives it, in hexadecimal. Without it the rows are not compared.
    pub(super) digest: Option<String>,
}

/// How many rows of an instance are of one field.
#[derive(Clone, Debug, crate::Stored)]
pub(super) struct Field {
    pub(super) field: String,
    pub(super) rows: u64,
}

/// What the lines are called.
pub(super) const HEADER: &str = "header";
pub(super) const RUN: &str = "run";
pub(super) const INSTANCE: &str = "instance";
pub(super) const END: &str = "end";

/// A digest, a fingerprint: the sixteen digits of a number.
pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// What a table is called that no field of the shape is.
pub(super) fn unnamed(table: u32) -> String {
    format!("{table:#010x}")
}

/// The table that [`unnamed`] names, if it names one: no field's name begins with a digit.
pub(super) fn table_of_unnamed(name: &str) -> Option<u32> {
    let table = u32::from_str_radix(name.strip_prefix("0x")?, 16).ok()?;
    (unnamed(table) == name).then_some(table)
}
