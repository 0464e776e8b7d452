//! What is written: the same commits in every engine, and what may be found afterwards.

use std::collections::{BTreeMap, HashSet};

use crate::data::{self, Key};

/// What an engine holds.
pub type State = BTreeMap<Key, Vec<u8>>;

/// A key, and its new value or none.
pub type Write = (Key, Option<Vec<u8>>);

/// Commits. So many that a log has several segments of 4 KiB.
pub const COMMITS: u64 = 240;

/// Keys that they write to, so that most of them are overwritten, and a few deleted and made again.
pub const KEYS: u64 = 96;

/// The commits in order, and the state behind each, that of none first.
pub struct History {
    pub commits: Vec<Vec<Write>>,
    pub states: Vec<State>,
    written: HashSet<(Key, Vec<u8>)>,
}

impl History {
    pub fn new() -> History {
        let (mut commits, mut states) = (Vec::new(), vec![State::new()]);
        let (mut state, mut written) = (State::new(), HashSet::new());
        for number in 0..COMMITS {
            let put = |key, value| (data::key(key % KEYS), Some(data::value(value).to_vec()));
            let mut writes = vec![put(number, number)];
            match number % 8 {
                3 => writes.push(put(number + 31, number + COMMITS)),
                7 => writes.extend(state.keys().next().map(|first| (*first, None))),
                _ => {}
            }
            for (key, value) in &writes {
                match value {
                    Some(value) => {
                        written.insert((*key, value.clone()));
                        state.insert(*key, value.clone());
                    }
                    None => _ = state.remove(key),
                }
            }
            commits.push(writes);
            states.push(state.clone());
        }
        History { commits, states, written }
    }

    /// What it means that an engine shows `found` and reports no error.
    pub fn judge(&self, found: &State) -> Outcome {
        if self.states.last() == Some(found) {
            return Outcome::Exact;
        }
        if self.states.contains(found) {
            return Outcome::Earlier;
        }
        let is_written =
            |(key, value): (&Key, &Vec<u8>)| self.written.contains(&(*key, value.clone()));
        if found.iter().all(is_written) { Outcome::Lost } else { Outcome::Invented }
    }
}

/// What came of a damage, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything is there and is right.
    Exact,
    /// An error, when it was opened or when it was read.
    Refused,
    /// The state after an earlier commit, and no error.
    Earlier,
    /// A state that never was, made of values that were written once, and no error.
    Lost,
    /// A key or a value that nobody ever wrote, and no error.
    Invented,
    /// A panic, an abort or a signal.
    Crashed,
    /// No answer in ten seconds.
    Hung,
    /// More than 512 MiB, for less than 1 MiB of data.
    Memory,
}

impl Outcome {
    pub const ALL: [(Outcome, &str); 8] = [
        (Outcome::Exact, "exact"),
        (Outcome::Refused, "refused"),
        (Outcome::Earlier, "earlier"),
        (Outcome::Lost, "lost"),
        (Outcome::Invented, "invented"),
        (Outcome::Crashed, "crashed"),
        (Outcome::Hung, "hung"),
        (Outcome::Memory, "memory"),
    ];
}
