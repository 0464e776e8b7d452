//! The past of a run: its records, found by their chain and replayed onto fresh instances.
//!
//! - A pure function of the files: nothing is written, and the same files give the same state.
//! - What is read is the run's own records and those of the runs it was forked from, up to the fork:
//!   neither the rest of the log nor any snapshot.
//! - The records are in the log as far back as that is kept, and before that in *history files*
//!   ([`pack`]), to which pruning moves them.
//! - The chain proves that no record is missing: each names the one before, back to the one that made
//!   the run.

mod build;
mod bundle;
mod keep;
mod pack;
mod run_log;
mod walk;

pub(crate) use build::{build, published};
pub(crate) use bundle::{read_bundle, write_bundle};
pub(crate) use keep::keep;
pub(crate) use pack::{
    ListedPack, damage, files as history_files, list as list_packs, remove as remove_packs,
};
pub(crate) use run_log::{RunEntry, RunLog};
pub(crate) use walk::{Sources, read_run};
