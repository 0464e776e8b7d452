//! The JSON form of a stored value: what stands in a line of `freehold export`.
//!
//! - The text is ours alone, byte for byte: no feature that another crate turns on changes it.
//! - Numbers are kept as text until a type asks for them, so an integer of 64 bits is exact and a
//!   float is the one that was written, to the bit.
//! - Every type has one form, and no two values of a type have the same: see the table.
//! - Reading allocates in proportion to the text that is there, and nests no deeper than
//!   [`DEPTH_MAX`].
//!
//! | type | form |
//! |---|---|
//! | integers, `Lsn`, `RunId`, `Timestamp` | a number |
//! | `f32`, `f64` | a number, the shortest that reads back; `"NaN"`, `"inf"`, `"-inf"`; another NaN `"NaN:"` and its bits in hexadecimal |
//! | `bool` | `true`, `false` |
//! | `char`, text | a string |
//! | `Bytes`, `Vec<u8>`, `[u8; N]` | a string where they are UTF-8, else `{"hex": ".."}` |
//! | `Option` | `null`, or the value; a value that may itself be `null` in an array of its own |
//! | tuples, arrays, `Vec`, sets, `Vector` | an array |
//! | maps | an array of `[key, value]` |
//! | a struct | an object; of unnamed fields an array; of one unnamed field that field |
//! | an enum | `"Variant"`, or `{"Variant": ..}` with what a struct of its fields would be |

mod parse;
mod read;
mod write;

pub use read::{Json, Misfit};
pub use write::{Float, JsonWriter, ListWriter, ObjectWriter};

/// How deep arrays and objects nest: deeper than any type that compiles in reasonable time.
pub(super) const DEPTH_MAX: usize = 128;

/// The name under which bytes that are no text stand in an object.
const HEX: &str = "hex";

#[cfg(test)]
mod tests;
