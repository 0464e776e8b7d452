//! An entry's payload: how an operation's arguments get in and out.

use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Serialize};

use super::stored::{self, Encoder, Stored, Undecodable, Wire};
use crate::error::{Damage, Error, Result};
use crate::format::{ENTRY_BYTES_MAX, WalEntry};

/// Takes the arguments of one operation.
pub struct PayloadWriter<'a> {
    buffer: &'a mut AlignedVec,
    arena: &'a mut Arena,
    start: usize,
    bytes_max: usize,
    version: u8,
}

impl<'a> PayloadWriter<'a> {
    pub(super) fn new(
        buffer: &'a mut AlignedVec,
        arena: &'a mut Arena,
        version: u8,
    ) -> PayloadWriter<'a> {
        let start = buffer.len();
        let bytes_max = start.saturating_add(ENTRY_BYTES_MAX);
        PayloadWriter { buffer, arena, start, bytes_max, version }
    }

    /// Writes a value, such as a tuple of the arguments. A payload is one value.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if it is larger than an entry may be.
    pub fn write<T: Stored>(&mut self, value: &T) -> Result<()> {
        self.encode(&Wire(value))
    }

    /// Writes bytes as they are, for a primitive that has its own codec.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if they are more than an entry may have.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.bytes_max.saturating_sub(self.buffer.len()) {
            return Err(too_large());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Says which version of the operation this is. Default: 1.
    pub fn set_version(&mut self, version: u8) {
        self.version = version;
    }

    /// Writes anything that rkyv can encode here.
    #[doc(hidden)]
    pub fn encode<T: Archive + for<'e> Serialize<Encoder<'e>>>(&mut self, value: &T) -> Result<()> {
        stored::append(value, self.buffer, self.arena, self.bytes_max).map_err(|_| too_large())
    }

    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }
}

/// Nothing else can fail while a value is encoded into memory.
fn too_large() -> Error {
    let most = ENTRY_BYTES_MAX as u64;
    Error::reject(Damage::TooLarge { of: "payload", found: most.saturating_add(1), most })
}

impl<'a> WalEntry<'a> {
    /// The arguments, checked before they are read: `entry.load::<(&str, u64)>()`.
    ///
    /// # Errors
    ///
    /// The payload is none of this type.
    pub fn load<T: Stored>(&self) -> Result<T::Loaded<'a>, Undecodable> {
        T::load(stored::access::<T>(self.payload)?)
    }
}
