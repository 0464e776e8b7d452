//! Numbers of fixed width, `bool`, `char`, and the numbers that name things.

use rkyv::rancor::Failure;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place};

use super::{Encoder, Stored, Undecodable};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::shape::Shape;

/// `$native` turns an archived number into `$type`; slices are copied at once.
macro_rules! number {
    ($($type:ty, $native:expr;)*) => {$(
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
        }
    )*};
}

number! {
    u8, |archived| *archived;
    i8, |archived| *archived;
    bool, |archived| *archived;
    u16, |archived| archived.to_native();
    u32, |archived| archived.to_native();
    u64, |archived| archived.to_native();
    i16, |archived| archived.to_native();
    i32, |archived| archived.to_native();
    i64, |archived| archived.to_native();
    f32, |archived| archived.to_native();
    f64, |archived| archived.to_native();
    char, |archived| archived.to_native();
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
        }
    )*};
}

named_number! {
    Lsn(u64);
    RunId(u64);
    Timestamp(u64);
}
