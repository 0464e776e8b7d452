//! What tests of freehold, and of primitives built on it, are made of: a disk that crashes and
//! fails on demand, a clock that goes only when told to, numbers from a seed.
//!
//! - Nothing here is compiled without the feature `testing`.
//! - Everything random comes from a seed that the test gives.
//! - The engine under test is the one that ships: it meets these parts behind the trait `Disk` and
//!   the option for the clock, and nowhere else.

mod calls;
mod clock;
pub mod conformance;
mod crash;
mod disk;
#[cfg(all(test, feature = "cli"))]
mod fuzz;
mod platter;
mod random;

pub use calls::{Call, CallKind};
pub use clock::TestClock;
pub use crash::{CrashPoint, Survival};
pub use disk::{MachineOff, SimDisk};
pub use random::Random;

pub use crate::database::Mistake;
pub use crate::disk::{
    Disk, DiskFile, DiskRef, FileRef, Listed, OpenMode, OsDisk, read_full_at, write_all_at,
};
