//! `StateMachine`: the states a cell may be in, and the moves between them.
//!
//! Invariants:
//!
//! 1. Every state that is named anywhere, as initial, as where a move begins or where it leads, is
//!    a key of `moves`.
//! 2. A state is final if no move leads out of it: nothing else says so, so nothing can disagree.

use std::collections::{BTreeMap, BTreeSet};

use freehold::prelude::*;

/// States and the moves that are allowed between them, to be
/// [declared](super::StateCell::declare).
///
/// A state is text: a cell is in it if its value is that text's bytes. A move from a state to
/// itself is a move like any other. A state without a move out of it is final.
///
/// ```
/// use freehold::primitives::StateMachine;
///
/// let order = StateMachine::new()
///     .initial("placed")
///     .allow("placed", ["packed", "cancelled"])
///     .allow("packed", ["shipped"]);
/// assert!(order.allows("placed", "packed") && !order.allows("placed", "shipped"));
/// assert!(order.is_final("shipped") && order.is_final("cancelled"));
/// assert_eq!(order.states().count(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Stored)]
pub struct StateMachine {
    initial: BTreeSet<String>,
    moves: BTreeMap<String, BTreeSet<String>>,
}

impl StateMachine {
    /// A machine without a state.
    #[must_use]
    pub fn new() -> StateMachine {
        StateMachine::default()
    }

    /// The same machine, in which a cell may also begin in `state`.
    #[must_use]
    pub fn initial(mut self, state: &str) -> StateMachine {
        self.initial.insert(state.to_owned());
        self.moves.entry(state.to_owned()).or_default();
        self
    }

    /// The same machine, in which a cell may also go from `from` to each of `to`.
    #[must_use]
    pub fn allow<'a>(mut self, from: &str, to: impl IntoIterator<Item = &'a str>) -> StateMachine {
        self.moves.entry(from.to_owned()).or_default();
        for state in to {
            self.moves.entry(state.to_owned()).or_default();
            self.moves.entry(from.to_owned()).or_default().insert(state.to_owned());
        }
        self
    }

    /// Every state, in order.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.moves.keys().map(String::as_str)
    }

    /// The states a cell may begin in, in order.
    pub fn initial_states(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.initial.iter().map(String::as_str)
    }

    /// Where a cell in `state` may go, in order; nowhere if there is no such state.
    pub fn moves_from(&self, state: &str) -> impl DoubleEndedIterator<Item = &str> + use<'_> {
        self.moves.get(state).into_iter().flatten().map(String::as_str)
    }

    /// Whether `state` is one of the machine's.
    #[must_use]
    pub fn has(&self, state: &str) -> bool {
        self.moves.contains_key(state)
    }

    /// Whether a cell may begin in `state`.
    #[must_use]
    pub fn is_initial(&self, state: &str) -> bool {
        self.initial.contains(state)
    }

    /// Whether `state` is one of the machine's and nothing leads out of it.
    #[must_use]
    pub fn is_final(&self, state: &str) -> bool {
        self.moves.get(state).is_some_and(BTreeSet::is_empty)
    }

    /// Whether a cell may go from `from` to `to`.
    #[must_use]
    pub fn allows(&self, from: &str, to: &str) -> bool {
        self.moves.get(from).is_some_and(|moves| moves.contains(to))
    }
}
