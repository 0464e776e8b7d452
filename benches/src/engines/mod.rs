//! What every engine must be able to do here, and the engines.

use std::path::Path;

use crate::data::Key;

#[cfg(feature = "fjall")]
mod fjall;
mod floor;
mod freehold;
#[cfg(feature = "raft-engine")]
mod raft_engine;
#[cfg(feature = "redb")]
mod redb;

#[cfg(feature = "fjall")]
pub use self::fjall::Fjall;
pub use self::floor::Floor;
pub use self::freehold::Freehold;
#[cfg(feature = "raft-engine")]
pub use self::raft_engine::RaftEngine;
#[cfg(feature = "redb")]
pub use self::redb::Redb;

/// When a commit has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It survives power loss.
    Strict,
    /// It survives a killed process.
    Buffered,
}

/// An engine under test. A failure is a panic: the run is void.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Opens or makes the database in `dir`.
    fn open(dir: &Path, mode: Mode) -> Self;

    /// One commit of one write.
    fn put(&self, key: Key, value: &[u8]);

    /// One commit of many writes.
    fn put_many(&self, pairs: &mut dyn Iterator<Item = (Key, Box<[u8]>)>);

    /// Reads these keys, all of which are there, and adds up what it touched.
    fn read(&self, keys: &mut dyn Iterator<Item = Key>) -> u64;

    /// Reads one key that is there, by itself: its own view or transaction, where there are any.
    fn get(&self, key: Key) -> u64 {
        self.read(&mut std::iter::once(key))
    }

    /// Reads up to `count` entries from `key` on, in order of key, by itself.
    fn scan_from(&self, key: Key, count: usize) -> u64;

    /// Reads one key that is there, and writes back what `change` makes of it: one commit.
    fn modify(&self, key: Key, change: &dyn Fn(&mut [u8]));

    /// Reads everything in order of key: how many entries, and what it touched.
    fn scan(&self) -> (u64, u64);

    /// Makes everything durable in the form that opens fastest, and closes.
    fn settle(self);
}
