//! Bytes: what stands where in a file, and nothing else.
//!
//! - No I/O, no clock, no policy: these modules turn values into bytes and bytes into values.
//! - All numbers are little-endian. Structures begin on multiples of 8, so that rkyv archives are
//!   read in place.
//! - The layout of a structure is a const table of names and widths; offsets, sizes and
//!   `docs/format.md` come from it.
//! - Nothing read from a disk is believed: every length is checked against the bytes that are
//!   there before anything is allocated, every byte is under a checksum or compared with what it
//!   must be.

pub(crate) mod block;
pub(crate) mod catalog;
pub(crate) mod core_entry;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod layout;
pub(crate) mod mark;
pub(crate) mod record;
pub(crate) mod section;
pub(crate) mod segment;
pub(crate) mod snapshot;
pub(crate) mod version;

pub use entry::WalEntry;

/// The longest payload of one entry.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;

/// The longest body of one record.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// The longest name of a run.
pub const RUN_NAME_BYTES_MAX: usize = 255;
