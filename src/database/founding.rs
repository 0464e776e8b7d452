//! A database out of a state that no log leads to.
//!
//! - It is a snapshot and an empty segment behind it: what a checkpoint leaves, so opening it is nothing
//!   new.
//! - It is not in its place before it is whole: the directory gets its name last.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{meta_of, write_sections};
use crate::disk::{DiskRef, OsDisk};
use crate::error::{Error, Result};
use crate::recovery;
use crate::snapshot;
use crate::state::Published;

/// Makes the database `path` of a state, in the directory `aside` until it is whole. What is at `path` is
/// an empty directory, or nothing.
pub(crate) fn found(state: &Published, path: &Path, aside: &Path) -> Result<()> {
    let os = Arc::new(OsDisk::new(aside));
    let disk: DiskRef = os.clone();
    // Held until the directory has its name, so that nobody else writes there.
    let (mut log, _lock) = recovery::found(&disk, state.lsn)?;
    snapshot::write(
        &disk,
        &meta_of(state, log.database(), log.chain()),
        |writer| write_sections(state, writer),
        || Ok(()),
    )?;
    log.rotate(&state.catalog, 0)?;
    log.seal()?;
    os.rename_to(path).map_err(|source| Error::io("rename to the database's name", path, source))
}
