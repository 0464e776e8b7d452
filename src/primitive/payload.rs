//! An entry's payload: how an operation's arguments get in and out.

use rkyv::ser::allocator::Arena;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Serialize};

use super::stored::{self, Encoder, Stored, Undecodable, Wire};
use crate::error::{Error, Result};
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
    /// [`Error::Rejected`] with [`PayloadTooLarge`].
    pub fn write<T: Stored>(&mut self, value: &T) -> Result<()> {
        self.encode(&Wire(value))
    }

    /// Writes bytes as they are, for a primitive that has its own codec.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] with [`PayloadTooLarge`].
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

/// The arguments of an operation are larger than an entry of the log may be. By how much is not
/// known: encoding stops where they no longer fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operation's arguments take more than {ENTRY_BYTES_MAX} bytes, the most an entry holds")]
pub struct PayloadTooLarge;

/// Nothing else can fail while a value is encoded into memory.
fn too_large() -> Error {
    Error::reject(PayloadTooLarge)
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
