//! The recorded runs that the tool carries with it. Their origin and licence stand in
//! `sample/README.md`.

use crate::cli::input::{LineFault, Recording};

/// `runs.jsonl` of the sample.
pub(crate) const RUNS: &str = include_str!("sample/runs.jsonl");
/// `steps.jsonl` of the sample.
pub(crate) const STEPS: &str = include_str!("sample/steps.jsonl");

/// The sample, checked as any other recording is.
pub(crate) fn recording() -> Result<Recording, LineFault> {
    Recording::parse(RUNS.to_owned(), STEPS.to_owned())
}
