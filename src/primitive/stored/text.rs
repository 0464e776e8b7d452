//! Text and bytes, owned and borrowed.

use std::sync::Arc;

use rkyv::rancor::Failure;
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Place, rend};

use super::{Encoder, Stored, Undecodable};
use crate::primitive::collections::Bytes;
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::shape::Shape;

/// Text, however it is held; `$load` makes it from the archived text, `$read` from JSON.
macro_rules! text {
    ($($type:ty, $loaded:ty, $load:expr, $read:expr;)*) => {$(
        impl Stored for $type {
            type Archived = ArchivedString;
            type Resolver = StringResolver;
            type Loaded<'a> = $loaded;
            type Itself = Self;
            const SHAPE: Shape = Shape::of("str");

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<StringResolver, Failure> {
                ArchivedString::serialize_from_str(self, encoder)
            }

            fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
                ArchivedString::resolve_from_str(self, resolver, out);
            }

            fn load<'a>(archived: &'a ArchivedString) -> Result<$loaded, Undecodable> {
                let load: fn(&'a str) -> $loaded = $load;
                Ok(load(archived.as_str()))
            }

            fn to_json(&self, out: &mut JsonWriter) {
                out.text(self);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                let read: fn(&Json<'_>) -> Result<$loaded, Misfit> = $read;
                read(json)
            }

            fn is_same(&self, other: &Self) -> bool {
                let (one, other) = (&self[..], &other[..]);
                std::ptr::eq(one, other) || one == other
            }
        }
    )*};
}

text! {
    String, String, str::to_owned, |json| json.text().map(str::to_owned);
    Box<str>, Box<str>, Box::from, |json| json.text().map(Box::from);
    Arc<str>, Arc<str>, Arc::from, |json| json.text().map(Arc::from);
    &str, &'a str, |text| text, borrows;
}

/// There is nothing that the value could borrow from.
fn borrows<T>(json: &Json<'_>) -> Result<T, Misfit> {
    Err(json.misfit("a type that owns its values"))
}

/// Bytes, however they are held.
macro_rules! bytes {
    ($($type:ty, $loaded:ty, $load:expr, $read:expr;)*) => {$(
        impl Stored for $type {
            type Archived = ArchivedVec<u8>;
            type Resolver = VecResolver;
            type Loaded<'a> = $loaded;
            type Itself = Self;
            const SHAPE: Shape = Shape::of("[u8]");

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
                u8::encode_slice(self, encoder)
            }

            fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }

            fn load<'a>(archived: &'a ArchivedVec<u8>) -> Result<$loaded, Undecodable> {
                let load: fn(&'a [u8]) -> $loaded = $load;
                Ok(load(archived.as_slice()))
            }

            fn to_json(&self, out: &mut JsonWriter) {
                out.bytes(self);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                let read: fn(&Json<'_>) -> Result<$loaded, Misfit> = $read;
                read(json)
            }

            fn is_same(&self, other: &Self) -> bool {
                let (one, other) = (&self[..], &other[..]);
                std::ptr::eq(one, other) || one == other
            }
        }
    )*};
}

bytes! {
    Bytes, Bytes, Bytes::from, |json| json.bytes().map(Bytes::from);
    &[u8], &'a [u8], |bytes| bytes, borrows;
}

/// Slices of numbers: where the host is little-endian, the bytes are the numbers.
#[cfg(target_endian = "little")]
macro_rules! slices {
    ($($type:ty, $archived:ty;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Stored for &[$type] {
            type Archived = ArchivedVec<$archived>;
            type Resolver = VecResolver;
            type Loaded<'a> = &'a [$type];
            type Itself = Self;
            const SHAPE: Shape = <Vec<$type> as Stored>::SHAPE;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
                <$type>::encode_slice(self, encoder)
            }

            fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }

            fn load(archived: &Self::Archived) -> Result<&[$type], Undecodable> {
                bytemuck::try_cast_slice(archived.as_slice()).map_err(|_| Undecodable)
            }

            fn to_json(&self, out: &mut JsonWriter) {
                <$type>::slice_to_json(self, out);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                borrows(json)
            }
        }
    )*};
}

#[cfg(target_endian = "little")]
slices! {
    i8, i8;
    u16, rend::u16_le;
    u32, rend::u32_le;
    u64, rend::u64_le;
    i16, rend::i16_le;
    i32, rend::i32_le;
    i64, rend::i64_le;
    f32, rend::f32_le;
    f64, rend::f64_le;
}
