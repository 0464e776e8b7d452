//! Deferred indexes, built before the database is handed out.
//!
//! - Each is built from the state that the first view will show, and shared with it.
//! - Whoever cancels is heard before the first instance, and between two that the opening thread
//!   builds: other threads may have taken all the others.

use crate::error::{Error, RegistryError, Result};
use crate::state::State;

use super::parallel::{Watched, in_parallel};
use super::{Phase, Settings};

/// Builds the deferred indexes of every instance.
pub(super) fn build(state: &State, settings: &Settings) -> Result<()> {
    let watched = Watched::new(settings, Phase::Index, 0, state.lsn);
    watched.tell(0, None)?;
    let instances: Vec<_> = state.instances().collect();
    in_parallel(instances, settings.threads, |(run, primitive, instance)| {
        let descriptor = &state.registry.list()[primitive];
        watched.tell(0, Some(descriptor.name()))?;
        descriptor.build_deferred(instance).map_err(|reason| {
            let (primitive, reason) = (descriptor.name(), reason.to_string().into());
            Error::from(RegistryError::Index { primitive, run, reason })
        })
    })
    .map(drop)
}
