//! A primitive's state without its type: what the engine keeps in its tables.
//!
//! - The one file in which types are erased. No `unsafe`: the box knows its type, and asking for
//!   another one gives nothing.
//! - An [`Instance`] is the writer's; a [`Frozen`] changes no more and is shared.

use std::any::Any;
use std::sync::Arc;

use super::handle::Live;

/// The writer's state of one primitive in one run.
pub(crate) struct Instance(Box<dyn Any + Send + Sync>);

impl Instance {
    pub(crate) fn new<P: Clone + Send + Sync + 'static>(value: P) -> Instance {
        Instance(Box::new(Live::new(value)))
    }

    /// The state with what undoing needs.
    pub(crate) fn live_mut<P: 'static>(&mut self) -> Option<&mut Live<P>> {
        self.0.downcast_mut()
    }

    pub(super) fn live<P: 'static>(&self) -> Option<&Live<P>> {
        self.0.downcast_ref()
    }

    /// The state as it stands.
    pub(crate) fn get<P: 'static>(&self) -> Option<&P> {
        self.live().map(Live::value)
    }
}

/// The state of one primitive in one run at one moment.
#[derive(Clone)]
pub(crate) struct Frozen(Arc<dyn Any + Send + Sync>);

impl Frozen {
    pub(crate) fn new<P: Send + Sync + 'static>(value: P) -> Frozen {
        Frozen(Arc::new(value))
    }

    /// Whether it is the very same.
    pub(crate) fn is(&self, other: &Frozen) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The state.
    pub(crate) fn get<P: 'static>(&self) -> Option<&P> {
        self.0.downcast_ref()
    }
}
