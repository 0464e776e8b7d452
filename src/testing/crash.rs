//! Which of the changes that no sync made durable survive a crash, and all the moments at which a
//! recorded history can be crashed.
//!
//! - A history is made once and crashed at every call: what the disk holds before call *n* does not
//!   depend on what the program would have done after it.
//! - A crash in the middle of a call needs no moment of its own: a write torn in the middle is one
//!   of the choices before the next call, and so is a sync that made only some changes durable.
//! - The same [`Survival`] of the same moment is the same disk, byte for byte.

use super::calls::Call;
use super::disk::SimDisk;
use super::platter::Platter;
use super::random::Random;

/// What of the unsynced changes survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Choice number *n* of [`CrashPoint::choice_count`]; more than one number can give the same
    /// disk.
    Choice(u64),
    /// What the seed says: sector by sector, or write by write, or all up to a moment; many or few.
    Seeded(u64),
}

/// A moment at which a recorded history can be crashed.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    before: u64,
    platter: Platter,
    /// What the disks after it draw comes from here: never what the disk before it drew.
    seed: Random,
}

impl CrashPoint {
    /// `seed` is that of the disk that is crashed.
    pub(super) fn new(before: u64, platter: Platter, seed: &Random) -> CrashPoint {
        CrashPoint { before, platter, seed: seed.part(2).part(before) }
    }

    /// The number of the first call that is not made any more.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.before
    }

    /// How many choices there are of what survives; `u64::MAX` for that many or more.
    #[must_use]
    pub fn choice_count(&self) -> u64 {
        self.platter.choice_count()
    }

    /// The disk after the crash.
    #[must_use]
    pub fn disk(&self, survival: Survival) -> SimDisk {
        let mut chooser = Chooser::of(survival, &self.platter);
        SimDisk::holding(self.platter.survivors(&mut chooser), self.seed.clone())
    }

    /// The disk as the next process finds it if only this one ended: what is unsynced can be read
    /// and is still unsynced.
    #[must_use]
    pub fn disk_after_kill(&self) -> SimDisk {
        SimDisk::holding(self.platter.clone(), self.seed.clone())
    }

    /// Every choice, if there are at most `most`; else nothing, everything, and as many seeded
    /// ones as make up `most`.
    #[must_use]
    pub fn survivals(&self, most: u64, seed: u64) -> Vec<Survival> {
        let choices = self.choice_count();
        if choices <= most {
            return (0..choices).map(Survival::Choice).collect();
        }
        let mut random = Random::new(seed).part(self.before);
        let seeded = (2..most).map(|_| Survival::Seeded(random.next_u64()));
        [Survival::Nothing, Survival::Everything].into_iter().chain(seeded).collect()
    }
}

/// Goes through a history again and stops wherever the disk is about to change, and at its end.
pub(super) fn crash_points(
    base: Platter,
    calls: Vec<Call>,
    seed: Random,
) -> impl Iterator<Item = CrashPoint> {
    let mut platter = base;
    let end = calls.len() as u64;
    let mut calls = (0u64..).zip(calls);
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        for (number, call) in calls.by_ref() {
            if !call.changes.is_empty() {
                let point = CrashPoint::new(number, platter.clone(), &seed);
                for change in &call.changes {
                    platter.apply(number, change);
                }
                return Some(point);
            }
        }
        ended = true;
        Some(CrashPoint::new(end, platter.clone(), &seed))
    })
}

/// Answers, for each change in turn, whether it survives.
#[derive(Debug)]
pub(super) struct Chooser {
    way: Way,
    /// The answer for all sectors of the write at hand, where the way is one answer a write.
    whole_write: bool,
}

#[derive(Debug)]
enum Way {
    Nothing,
    Everything,
    /// The choices left, in mixed radix, least significant digit first.
    Numbered(u64),
    /// How many choices there have been.
    Counting(u64),
    /// Each sector for itself, surviving `of_eight` times in eight.
    Sectors {
        random: Random,
        of_eight: u64,
    },
    /// Each write wholly or not at all.
    Writes {
        random: Random,
        of_eight: u64,
    },
    /// What calls before this one changed survives.
    Until(u64),
}

impl Chooser {
    pub(super) fn everything() -> Chooser {
        Chooser { way: Way::Everything, whole_write: true }
    }

    pub(super) fn counting() -> Chooser {
        Chooser { way: Way::Counting(1), whole_write: true }
    }

    /// `unsynced` are the calls whose changes are to be chosen from.
    pub(super) fn seeded(seed: u64, unsynced: &[u64]) -> Chooser {
        let mut random = Random::new(seed);
        // Evenly drawn bits alone would hardly ever give a state in which nearly all survived, or
        // nearly nothing; and those are the ones in which mistakes show.
        let of_eight = [1, 4, 7][random.below(3) as usize];
        let way = match random.below(4) {
            0 if !unsynced.is_empty() => {
                let index = random.below(unsynced.len() as u64) as usize;
                Way::Until(unsynced.get(index).copied().unwrap_or(0))
            }
            0 | 1 => Way::Writes { random, of_eight },
            _ => Way::Sectors { random, of_eight },
        };
        Chooser { way, whole_write: false }
    }

    fn of(survival: Survival, platter: &Platter) -> Chooser {
        let way = match survival {
            Survival::Nothing => Way::Nothing,
            Survival::Everything => Way::Everything,
            Survival::Choice(number) => Way::Numbered(number),
            Survival::Seeded(seed) => return Chooser::seeded(seed, &platter.unsynced_calls()),
        };
        Chooser { way, whole_write: false }
    }

    /// How many choices a [`Chooser::counting`] has met.
    pub(super) fn counted(&self) -> u64 {
        match self.way {
            Way::Counting(count) => count,
            _ => 0,
        }
    }

    /// Below `radix`.
    fn digit(&mut self, radix: u64) -> u64 {
        match &mut self.way {
            Way::Nothing | Way::Until(_) => 0,
            Way::Everything => radix - 1,
            Way::Numbered(number) => {
                let digit = *number % radix;
                *number /= radix;
                digit
            }
            Way::Counting(count) => {
                *count = count.saturating_mul(radix);
                // As if all survived, so that the changes that depend on others are met too.
                radix - 1
            }
            Way::Sectors { random, of_eight } | Way::Writes { random, of_eight } => {
                (0..radix - 1).filter(|_| random.below(8) < *of_eight).count() as u64
            }
        }
    }

    /// Whether the change of names made by `call` survives.
    pub(super) fn name(&mut self, call: u64) -> bool {
        match self.way {
            Way::Until(end) => call < end,
            _ => self.digit(2) == 1,
        }
    }

    /// How many of a file's changes of size survive, given the calls that made them.
    pub(super) fn sizes(&mut self, calls: &[u64]) -> u64 {
        match self.way {
            Way::Until(end) => calls.iter().filter(|call| **call < end).count() as u64,
            _ => self.digit(calls.len() as u64 + 1),
        }
    }

    /// The sectors asked for next belong to a write of `call`.
    pub(super) fn begin_write(&mut self, call: u64) {
        self.whole_write = match &mut self.way {
            Way::Writes { random, of_eight } => random.below(8) < *of_eight,
            Way::Until(end) => call < *end,
            _ => true,
        };
    }

    /// Whether the next sector of the write survives.
    pub(super) fn sector(&mut self) -> bool {
        match self.way {
            Way::Writes { .. } | Way::Until(_) => self.whole_write,
            _ => self.digit(2) == 1,
        }
    }
}
