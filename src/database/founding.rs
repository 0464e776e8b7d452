//! A database out of a state that no log leads to.
//!
//! - It is a snapshot and an empty segment behind it: what a checkpoint leaves, so opening it is nothing
//!   new.
//! - It is not in its place before it is whole: the directory gets its name last.

use std::path::Path;

use super::aside::Aside;
use super::checkpoint::{meta_of, write_sections};
use crate::error::Result;
use crate::recovery;
use crate::snapshot;
use crate::state::Published;

/// Makes the database `path` of a state. What is at `path` is an empty directory, or nothing.
pub(crate) fn found(state: &Published, path: &Path) -> Result<()> {
    let aside = Aside::claim(path)?;
    let disk = aside.disk();
    let mut log = recovery::found(&disk, state.lsn)?;
    snapshot::write(
        &disk,
        // What led to it is elsewhere.
        &meta_of(state, log.database(), log.chain(), state.lsn.next()),
        |writer| write_sections(state, writer),
        || Ok(()),
    )?;
    log.rotate(&state.catalog, 0)?;
    log.seal()?;
    aside.finish()
}
