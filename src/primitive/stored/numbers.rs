//! Numbers of fixed width, `bool`, `char`, and the numbers that name things.

use std::convert::identity;

use rkyv::rancor::Failure;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place};

use super::{Encoder, Stored, Undecodable};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::shape::Shape;

/// `$native` turns an archived number into `$type`, `$write` and `$read` are its JSON, `$bits` says what
/// of two must be equal; slices are copied at once. What is in brackets is special about `$type`.
macro_rules! number {
    ($($type:ty, $native:expr, $write:expr, $read:expr, $bits:expr $(, [$($special:item)*])?;)*) => {$(
        impl Stored for $type {
            type Archived = <$type as Archive>::Archived;
            type Resolver = ();
            type Loaded<'a> = $type;
            type Itself = Self;
            const SHAPE: Shape = Shape::of(stringify!($type));

            fn encode(&self, _: &mut Encoder<'_>) -> Result<(), Failure> {
                Ok(())
            }

            fn resolve(&self, resolver: (), out: Place<Self::Archived>) {
                Archive::resolve(self, resolver, out);
            }

            fn load<'a>(archived: &'a Self::Archived) -> Result<$type, Undecodable> {
                let native: fn(&'a Self::Archived) -> $type = $native;
                Ok(native(archived))
            }

            fn encode_slice(
                slice: &[$type],
                encoder: &mut Encoder<'_>,
            ) -> Result<VecResolver, Failure> {
                ArchivedVec::serialize_from_slice(slice, encoder)
            }

            fn to_json(&self, out: &mut JsonWriter) {
                let write: fn(&mut JsonWriter, $type) = $write;
                write(out, *self);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                let read: fn(&Json<'_>) -> Result<$type, Misfit> = $read;
                read(json)
            }

            fn is_same(&self, other: &Self) -> bool {
                $bits(*self) == $bits(*other)
            }

            $($($special)*)?
        }
    )*};
}

number! {
    u8, |archived| *archived, JsonWriter::number, |json| json.integer("u8"), identity, [
        // Bytes are text as a rule, and a string is what people and other tools read.
        fn slice_to_json(slice: &[u8], out: &mut JsonWriter) {
            out.bytes(slice);
        }

        fn slice_from_json<'a>(json: &Json<'_>) -> Result<Vec<Self::Loaded<'a>>, Misfit> {
            json.bytes()
        }
    ];
    i8, |archived| *archived, JsonWriter::number, |json| json.integer("i8"), identity;
    bool, |archived| *archived, JsonWriter::boolean, |json| json.boolean(), identity;
    u16, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("u16"), identity;
    u32, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("u32"), identity;
    u64, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("u64"), identity;
    i16, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("i16"), identity;
    i32, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("i32"), identity;
    i64, |archived| archived.to_native(), JsonWriter::number, |json| json.integer("i64"), identity;
    f32, |archived| archived.to_native(), JsonWriter::float, |json| json.float(), f32::to_bits;
    f64, |archived| archived.to_native(), JsonWriter::float, |json| json.float(), f64::to_bits;
    char, |archived| archived.to_native(), write_letter, read_letter, identity;
}

fn write_letter(out: &mut JsonWriter, letter: char) {
    out.text(letter.encode_utf8(&mut [0; 4]));
}

fn read_letter(json: &Json<'_>) -> Result<char, Misfit> {
    let mut letters = json.text()?.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok(letter),
        _ => Err(json.misfit("a string of one letter")),
    }
}

/// A type around one number, stored as that number under its own name.
macro_rules! named_number {
    ($($type:ident($number:ty);)*) => {$(
        impl Stored for $type {
            type Archived = <$number as Stored>::Archived;
            type Resolver = ();
            type Loaded<'a> = $type;
            type Itself = Self;
            const SHAPE: Shape = Shape::of(stringify!($type));

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), Failure> {
                self.0.encode(encoder)
            }

            fn resolve(&self, resolver: (), out: Place<Self::Archived>) {
                Stored::resolve(&self.0, resolver, out);
            }

            fn load(archived: &Self::Archived) -> Result<$type, Undecodable> {
                <$number>::load(archived).map($type)
            }

            fn to_json(&self, out: &mut JsonWriter) {
                self.0.to_json(out);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                <$number>::from_json(json).map($type)
            }

            fn is_same(&self, other: &Self) -> bool {
                self.0.is_same(&other.0)
            }
        }
    )*};
}

named_number! {
    Lsn(u64);
    RunId(u64);
    Timestamp(u64);
}
