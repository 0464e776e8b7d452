//! What owns another value or may have one: `Option`, `Box`, `Arc`, `Vec`.

use std::sync::Arc;

use rkyv::rancor::Failure;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place, Serialize};

use super::{Encoder, Stored, Undecodable, Wire};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::shape::Shape;

impl<T: Stored> Stored for Option<T> {
    type Archived = rkyv::option::ArchivedOption<T::Archived>;
    type Resolver = Option<T::Resolver>;
    type Loaded<'a> = Option<T::Loaded<'a>>;
    type Itself = Self;
    const SHAPE: Shape = Shape::of("Option<").shape(&T::SHAPE).text(">");

    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
        self.as_ref().map(Wire).serialize(encoder)
    }

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        Archive::resolve(&self.as_ref().map(Wire), resolver, out);
    }

    fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
        archived.as_ref().map(T::load).transpose()
    }

    const MAY_BE_NULL: bool = true;

    fn to_json(&self, out: &mut JsonWriter) {
        match self {
            None => out.null(),
            // So that it differs from `None`.
            Some(value) if T::MAY_BE_NULL => {
                let mut list = out.list();
                list.item(value);
                list.end();
            }
            Some(value) => value.to_json(out),
        }
    }

    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
        if json.is_null() {
            return Ok(None);
        }
        if T::MAY_BE_NULL {
            let [value] = json.list_of()?;
            return T::from_json(value).map(Some);
        }
        T::from_json(json).map(Some)
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        }
    }
}

/// A pointer that leaves no trace in the bytes.
macro_rules! pointer {
    ($($pointer:ident)*) => {$(
        impl<T: Stored> Stored for $pointer<T> {
            type Archived = T::Archived;
            type Resolver = T::Resolver;
            type Loaded<'a> = $pointer<T::Loaded<'a>>;
            type Itself = Self;
            // As a field, a collection behind a pointer is one row and not one for each element.
            const SHAPE: Shape =
                if T::ROWS { Shape::of("one ").shape(&T::SHAPE) } else { T::SHAPE };

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
                T::encode(self, encoder)
            }

            fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
                T::resolve(self, resolver, out);
            }

            fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
                T::load(archived).map($pointer::new)
            }

            const MAY_BE_NULL: bool = T::MAY_BE_NULL;

            fn to_json(&self, out: &mut JsonWriter) {
                T::to_json(self, out);
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                T::from_json(json).map($pointer::new)
            }

            fn is_same(&self, other: &Self) -> bool {
                let (one, other): (&T, &T) = (self, other);
                std::ptr::eq(one, other) || one.is_same(other)
            }
        }
    )*};
}

pointer! { Box Arc }

impl<T: Stored> Stored for Vec<T> {
    type Archived = ArchivedVec<T::Archived>;
    type Resolver = VecResolver;
    type Loaded<'a> = Vec<T::Loaded<'a>>;
    type Itself = Self;
    const SHAPE: Shape = Shape::of("[").shape(&T::SHAPE).text("]");

    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, Failure> {
        T::encode_slice(self, encoder)
    }

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(self.len(), resolver, out);
    }

    fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
        T::load_slice(archived.as_slice())
    }

    fn to_json(&self, out: &mut JsonWriter) {
        T::slice_to_json(self, out);
    }

    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
        T::slice_from_json(json)
    }

    fn is_same(&self, other: &Self) -> bool {
        super::are_same(self, other)
    }
}
