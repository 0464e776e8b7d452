//! What a primitive claims and how its bytes are laid out, as lines of text that the compiler builds.
//!
//! - The same lines stand in the binary and, but for the first few, in the lock.
//! - A line is `crate::Primitive fact`; each word but the last of a fact is one word.

use crate::format::version::FORMAT_VERSION;
use crate::primitive::contract::{OperationShape, PrimitiveStorageExt};
use crate::primitive::descriptor::Origin;
use crate::primitive::text::Text;

/// How rkyv lays bytes out here: the features of it that decide about the format.
pub(super) const FORMAT: Text<64> = {
    let mut text = Text::new();
    text.push("rkyv 0.8");
    text.push(if is_little_endian() { " little_endian" } else { " big_endian" });
    text.push(if align_of::<rkyv::Archived<u64>>() == 8 { " aligned" } else { " unaligned" });
    text.push(" pointer_width_");
    text.push_number(size_of::<rkyv::Archived<usize>>() as u64 * 8);
    text
};

/// The archive of a number is little-endian if it is of the type that says so.
const fn is_little_endian() -> bool {
    let archived: rkyv::Archived<u16> = rend::u16_le::from_native(1);
    archived.to_native() == 1
}

/// The lines that a binary has of `P`: first where it comes from and what the claims are, then what
/// the lock also has.
#[must_use]
pub const fn facts<P: PrimitiveStorageExt, const N: usize>(origin: &Origin) -> Text<N> {
    let mut text = Text::new();
    push_start::<P, N>(&mut text, origin.crate_name);
    text.push("from ");
    text.push(origin.crate_version);
    text.push(" ");
    text.push_number(origin.line as u64);
    text.push(" ");
    text.push(origin.file);
    text.push("\n");

    push_start::<P, N>(&mut text, origin.crate_name);
    text.push("format ");
    text.push_number(FORMAT_VERSION as u64);
    text.push(" ");
    text.push(FORMAT.as_str());
    text.push("\n");

    push_start::<P, N>(&mut text, origin.crate_name);
    text.push("wal");
    let mut index = 0;
    while index < P::WAL_TYPES.len() {
        text.push(" ");
        text.push_byte(P::WAL_TYPES[index]);
        index += 1;
    }
    text.push("\n");

    let mut index = 0;
    while index < P::FORMER_NAMES.len() {
        push_start::<P, N>(&mut text, origin.crate_name);
        text.push("was ");
        text.push(P::FORMER_NAMES[index]);
        text.push("\n");
        index += 1;
    }

    push_start::<P, N>(&mut text, origin.crate_name);
    text.push(id_fact::<P>().as_str());
    text.push("\n");

    let mut index = 0;
    while index < P::OPERATIONS.len() {
        push_start::<P, N>(&mut text, origin.crate_name);
        push_operation_key(&mut text, &P::OPERATIONS[index]);
        push_operation(&mut text, &P::OPERATIONS[index]);
        text.push("\n");
        index += 1;
    }

    push_start::<P, N>(&mut text, origin.crate_name);
    push_section_key(&mut text, P::SECTION_VERSION);
    push_section::<P, N>(&mut text);
    text.push("\n");
    text
}

const fn push_start<P: PrimitiveStorageExt, const N: usize>(text: &mut Text<N>, krate: &str) {
    text.push(krate);
    text.push("::");
    text.push(P::NAME);
    text.push(" ");
}

pub(super) const fn id_fact<P: PrimitiveStorageExt>() -> Text<32> {
    let mut text = Text::new();
    text.push("id ");
    text.push_byte(P::TYPE_ID);
    text.push(if P::ROOT_ONLY { " scope root" } else { " scope runs" });
    text
}

pub(super) const fn push_operation_key<const N: usize>(
    text: &mut Text<N>,
    operation: &OperationShape,
) {
    text.push_byte(operation.wal_type);
    text.push(" v");
    text.push_number(operation.version as u64);
    text.push(" ");
}

pub(super) const fn push_operation<const N: usize>(text: &mut Text<N>, operation: &OperationShape) {
    text.push(operation.name);
    text.push(" ");
    text.push(operation.shape);
    text.push(" ");
    text.push_hex(operation.fingerprint);
}

pub(super) const fn push_section_key<const N: usize>(text: &mut Text<N>, version: u32) {
    text.push("section v");
    text.push_number(version as u64);
    text.push(" ");
}

pub(super) const fn push_section<P: PrimitiveStorageExt, const N: usize>(text: &mut Text<N>) {
    let shape = const { &P::SECTION_SHAPE };
    text.push("(");
    text.push(shape.as_str());
    text.push(") ");
    text.push_hex(shape.fingerprint());
}
