//! What the disk can hold: the codec of arguments and fields.
//!
//! - A value is one rkyv archive. Nothing is read from bytes before bytecheck has accepted them.
//! - Encoding borrows: no owned copy is made of what an argument refers to.
//! - [`Stored::Loaded`] is what comes back: the type itself, or for `&str`, `&[u8]` and slices of
//!   numbers a reference into the bytes.
//! - An archive aligns to at most 8, which is how entries and rows are placed.
//! - [`Stored::SHAPE`] says everything that decides about the bytes.
//! - Two values are the same if their bytes are. What a clone shares is not looked at to find out.
//! - The JSON form is a second one, for `freehold export`: a program that never asks for it does not
//!   have its code.

mod arrays;
mod maps;
mod numbers;
mod pointers;
mod text;
mod tuples;

use std::fmt;

use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::allocator::{Arena, ArenaHandle};
use rkyv::ser::{Positional, Writer};
use rkyv::util::AlignedVec;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place, Portable, Serialize};

use super::change::{Change, Changes, ValueRef};
use super::json::{Json, JsonWriter, Misfit};
use super::section::{Rows, TableWriter};
use super::shape::Shape;
use crate::error::Result;

/// What checks an archive before it is read.
pub(super) type Validator<'a> = rkyv::api::low::LowValidator<'a, Failure>;

/// What an archive is written with.
pub type Encoder<'a> = Strategy<rkyv::ser::Serializer<Target<'a>, ArenaHandle<'a>, ()>, Failure>;

/// The most elements of a sequence whose elements take no bytes, such as `Vec<()>`: the bytes that
/// are there bound the count of all others, and nothing would bound this one.
const NOTHINGS_MAX: usize = 1 << 16;

fn check_count<T: Stored + ?Sized>(count: usize) -> Result<(), Failure> {
    if size_of::<T::Archived>() == 0 && count > NOTHINGS_MAX { Err(Failure) } else { Ok(()) }
}

/// A type whose values freehold stores: as arguments of operations and as fields of primitives.
///
/// Implemented for numbers of fixed width, `bool`, `char`, text, bytes, arrays, tuples, `Option`,
/// `Vec`, `Box`, `Arc`, ordered maps and sets; for your own structs and enums write
/// `#[derive(Stored)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    label = "freehold has no lasting form for `{Self}`",
    note = "your own struct or enum: write `#[derive(Stored)]` on it",
    note = "`usize`, `isize`: write `u64`, `i64`; `u128`, `i128`: write `[u8; 16]`",
    note = "`HashMap`, `HashSet`: write `OrdMap`, `OrdSet`; a slice of what is no number: write `Vec<..>`",
    note = "in a field or a map, values are owned: write `String` for `&str`, `Bytes` for `&[u8]`",
    note = "`SystemTime`: write `Timestamp`; `PathBuf`: write `String`",
    note = "cells, locks and pointers have no value that could be stored: keep them outside the primitive"
)]
pub trait Stored {
    /// The form in the bytes.
    type Archived: Portable + for<'v> rkyv::bytecheck::CheckBytes<Validator<'v>> + 'static;
    /// What the first half of encoding tells the second.
    type Resolver;
    /// What comes back from the bytes.
    type Loaded<'a>;
    /// The type itself. Where it is named in this way, a type that cannot be stored is one error
    /// and not one for each use.
    #[doc(hidden)]
    type Itself;

    /// The value itself.
    #[doc(hidden)]
    fn itself(&self) -> &Self::Itself
    where
        Self: Stored<Itself = Self>,
    {
        self
    }

    /// Everything that decides about the bytes, as text.
    const SHAPE: Shape;

    /// Whether a field of this type is a section's table with a row for each of its elements.
    const ROWS: bool = false;

    /// Whether the JSON form of some value is `null`.
    const MAY_BE_NULL: bool = false;

    /// Writes what the archive refers to.
    ///
    /// # Errors
    ///
    /// The archive does not fit.
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure>;

    /// Fills the archive in.
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>);

    /// The value that the archive holds.
    ///
    /// # Errors
    ///
    /// The archive is sound and yet no value of this type, such as a variant that does not exist.
    fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable>;

    /// Writes the elements of a sequence.
    ///
    /// # Errors
    ///
    /// As [`encode`](Stored::encode).
    fn encode_slice(slice: &[Self], encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure>
    where
        Self: Sized,
    {
        check_count::<Self>(slice.len())?;
        ArchivedVec::serialize_from_iter::<Wire<'_, Self>, _, _>(slice.iter().map(Wire), encoder)
    }

    /// The elements of a sequence.
    ///
    /// # Errors
    ///
    /// As [`load`](Stored::load).
    fn load_slice<'a>(
        archived: &'a [Self::Archived],
    ) -> Result<Vec<Self::Loaded<'a>>, Undecodable> {
        check_count::<Self>(archived.len())?;
        archived.iter().map(Self::load).collect()
    }

    /// Writes the value as JSON.
    fn to_json(&self, out: &mut JsonWriter);

    /// The value that stands in JSON. One that borrows cannot be read.
    ///
    /// # Errors
    ///
    /// It is none of this type.
    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit>;

    /// Writes the elements of a sequence as JSON: an array, if they are no bytes.
    fn slice_to_json(slice: &[Self], out: &mut JsonWriter)
    where
        Self: Sized,
    {
        let mut list = out.list();
        slice.iter().for_each(|element| list.item(element));
        list.end();
    }

    /// The elements that stand in JSON.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Stored::from_json).
    fn slice_from_json<'a>(json: &Json<'_>) -> Result<Vec<Self::Loaded<'a>>, Misfit> {
        json.list()?.iter().map(Self::from_json).collect()
    }

    /// Writes a field of this type as a table of a section: one row, unless it is a collection.
    ///
    /// # Errors
    ///
    /// The row does not fit, or the disk refuses.
    fn save(&self, table: &mut TableWriter<'_, '_>) -> Result<()>
    where
        Self: Sized,
    {
        table.row(self)
    }

    /// Reads what [`save`](Stored::save) wrote.
    ///
    /// # Errors
    ///
    /// The rows are not what this type writes.
    fn restore<'a>(rows: &mut Rows<'a>) -> Result<Self::Loaded<'a>, Undecodable> {
        rows.only::<Self>()
    }

    /// Whether the archives of the two values are the same, byte for byte. Equal is not enough: of
    /// two floats, `0.0` and `-0.0` are not the same.
    fn is_same(&self, other: &Self) -> bool {
        is_same_archive(self, other)
    }

    /// What became of a field of this type since `since`: see [`Change`].
    fn changes<'a>(&'a self, since: &'a Self, field: &'static str) -> Changes<'a>
    where
        Self: Sized + 'static,
    {
        let changed = std::iter::once((since, self)).filter(|(since, now)| !now.is_same(since));
        Changes::of(changed.map(move |(since, now)| {
            Change::changed(field, None, Some(ValueRef::lent(since)), Some(ValueRef::lent(now)))
        }))
    }

    /// Writes what became of a field of this type since `base`: nothing if it is the same, the value
    /// if it is no collection.
    ///
    /// # Errors
    ///
    /// As [`save`](Stored::save).
    fn save_changes(&self, base: &Self, table: &mut TableWriter<'_, '_>) -> Result<()>
    where
        Self: Sized,
    {
        if self.is_same(base) { Ok(()) } else { table.row(self) }
    }

    /// Makes of the base what [`save_changes`](Stored::save_changes) was called for. Rows of a type
    /// that is no [collection](Stored::ROWS) are a value, whatever the base is.
    ///
    /// # Errors
    ///
    /// The rows are not what this type writes, or not for this base.
    fn restore_changes<'a>(
        loaded: &mut Self::Loaded<'a>,
        rows: &mut Rows<'a>,
    ) -> Result<(), Undecodable> {
        *loaded = rows.only::<Self>()?;
        Ok(())
    }
}

/// Whether the elements of two sequences are the same.
fn are_same<T: Stored>(one: &[T], other: &[T]) -> bool {
    let mut both = one.iter().zip(other);
    std::ptr::eq(one, other)
        || one.len() == other.len() && both.all(|(one, other)| one.is_same(other))
}

fn is_same_archive<T: Stored + ?Sized>(one: &T, other: &T) -> bool {
    let mut arena = Arena::new();
    let mut archive = |value: &T| {
        let mut bytes = AlignedVec::<16>::new();
        append(&Wire(value), &mut bytes, &mut arena, usize::MAX).map(|()| bytes)
    };
    // What cannot be archived is the same as nothing: whoever writes it finds out why.
    matches!((archive(one), archive(other)), (Ok(one), Ok(other)) if one[..] == other[..])
}

/// A stored type whose values come back as themselves, borrowing nothing: what a primitive's fields
/// must be.
// In the words of `Stored`: where both are missing, the compiler then says it once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    label = "freehold has no lasting form for `{Self}`",
    note = "your own struct or enum: write `#[derive(Stored)]` on it",
    note = "`usize`, `isize`: write `u64`, `i64`; `u128`, `i128`: write `[u8; 16]`",
    note = "`HashMap`, `HashSet`: write `OrdMap`, `OrdSet`; a slice of what is no number: write `Vec<..>`",
    note = "in a field or a map, values are owned: write `String` for `&str`, `Bytes` for `&[u8]`",
    note = "`SystemTime`: write `Timestamp`; `PathBuf`: write `String`",
    note = "cells, locks and pointers have no value that could be stored: keep them outside the primitive"
)]
pub trait StoredOwned: for<'a> Stored<Loaded<'a> = Self> + Sized {}

impl<T: for<'a> Stored<Loaded<'a> = T>> StoredOwned for T {}

/// The value that an archive holds, of a type that another one is stored as.
///
/// # Errors
///
/// As [`Stored::load`].
pub fn load_owned<T: StoredOwned>(archived: &T::Archived) -> Result<T, Undecodable> {
    T::load(archived)
}

/// Sound bytes that are no value of the type that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes do not decode to the arguments or fields that this build has")
    }
}

impl std::error::Error for Undecodable {}

impl From<Failure> for Undecodable {
    fn from(_: Failure) -> Undecodable {
        Undecodable
    }
}

/// Lets rkyv encode a [`Stored`] value by reference.
pub struct Wire<'a, T: ?Sized>(pub &'a T);

impl<T: Stored + ?Sized> Archive for Wire<'_, T> {
    type Archived = T::Archived;
    type Resolver = T::Resolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        self.0.resolve(resolver, out);
    }
}

impl<'e, T: Stored + ?Sized> Serialize<Encoder<'e>> for Wire<'_, T> {
    fn serialize(&self, encoder: &mut Encoder<'e>) -> Result<Self::Resolver, Failure> {
        self.0.encode(encoder)
    }
}

impl<T: Stored> Stored for Wire<'_, T> {
    type Archived = T::Archived;
    type Resolver = T::Resolver;
    type Loaded<'a> = T::Loaded<'a>;
    type Itself = Self;
    const SHAPE: Shape = T::SHAPE;

    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
        self.0.encode(encoder)
    }

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        Stored::resolve(self.0, resolver, out);
    }

    fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
        T::load(archived)
    }

    const MAY_BE_NULL: bool = T::MAY_BE_NULL;

    fn to_json(&self, out: &mut JsonWriter) {
        self.0.to_json(out);
    }

    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
        T::from_json(json)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(other.0)
    }
}

/// Where an archive is written: the end of a buffer, up to a bound.
pub struct Target<'a> {
    buffer: &'a mut AlignedVec,
    bytes_max: usize,
}

impl Positional for Target<'_> {
    fn pos(&self) -> usize {
        self.buffer.len()
    }
}

impl Writer<Failure> for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() > self.bytes_max.saturating_sub(self.buffer.len()) {
            return Err(Failure);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends `value`'s archive to `buffer`, which is as long as a multiple of 8, and lets it grow to
/// `bytes_max`. The archive's root ends where the buffer then ends.
pub(crate) fn append<T: Archive + for<'e> Serialize<Encoder<'e>>>(
    value: &T,
    buffer: &mut AlignedVec,
    arena: &mut Arena,
    bytes_max: usize,
) -> Result<(), Failure> {
    const { assert!(align_of::<T::Archived>() <= 8, "an archive aligns to at most 8") }
    let mut serializer =
        rkyv::ser::Serializer::new(Target { buffer, bytes_max }, arena.acquire(), ());
    rkyv::api::serialize_using(value, &mut serializer)?;
    Ok(())
}

/// Checks `bytes`, aligned to 8, and finds the archive in them.
pub(crate) fn access<T: Stored + ?Sized>(bytes: &[u8]) -> Result<&T::Archived, Undecodable> {
    const { assert!(align_of::<T::Archived>() <= 8, "an archive aligns to at most 8") }
    // A value without bytes may have no aligned place for its root, and needs none of the entry's.
    if bytes.is_empty() {
        return Ok(rkyv::api::low::access::<T::Archived, Failure>(&EMPTY.0)?);
    }
    Ok(rkyv::api::low::access::<T::Archived, Failure>(bytes)?)
}

#[repr(align(16))]
struct Aligned([u8; 0]);

/// The bytes of a value that has none.
static EMPTY: Aligned = Aligned([]);

#[cfg(test)]
mod shapes;
#[cfg(test)]
mod tests;
