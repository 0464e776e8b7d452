//! Deferred indexes, built before the database is handed out.
//!
//! - Each is built from the state that the first view will show, and shared with it.
//! - Whoever cancels is heard before the first instance, and between two that the opening thread
//!   builds: other threads may have taken all the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::error::{Error, RegistryError, Result};
use crate::state::State;

use super::parallel::in_parallel;
use super::{Phase, Settings};

/// Builds the deferred indexes of every instance.
pub(super) fn build(state: &State, settings: &Settings) -> Result<()> {
    // The opening thread may come to its first instance when the others have built them all.
    settings.progress(Phase::Index, 0, 0, state.lsn)?;
    let opening = thread::current().id();
    let cancelled = AtomicBool::new(false);
    let instances: Vec<_> = state.instances().collect();
    in_parallel(instances, settings.threads, |(run, primitive, instance)| {
        // The callback is told from the thread that opens, and from no other.
        if thread::current().id() == opening {
            let progress = settings.progress(Phase::Index, 0, 0, state.lsn);
            progress.inspect_err(|_| cancelled.store(true, Ordering::Relaxed))?;
        } else if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let descriptor = &state.registry.list()[primitive];
        descriptor.build_deferred(instance).map_err(|reason| {
            let (primitive, reason) = (descriptor.name(), reason.to_string().into());
            Error::from(RegistryError::Index { primitive, run, reason })
        })
    })
    .map(drop)
}
