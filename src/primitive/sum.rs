//! One of several: how an enum is archived.
//!
//! - A tag of one byte, then the variant's fields as a tuple; as long as the longest variant.
//! - Eight variants fit; an enum with more has a sum of the rest in its last place.
//! - rkyv's own derives write the tag and check it.

use std::cell::Cell;

use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::{Archive, Place, Portable, Serialize};

use super::json::{Json, JsonWriter, Misfit};
use super::shape::Shape;
use super::stored::{Encoder, Stored, Undecodable, Wire};

/// The archived form of [`Sum`].
#[derive(Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(u8)]
#[doc(hidden)]
pub enum ArchivedSum<A, B, C, D, E, F, G, H> {
    V0(A),
    V1(B),
    V2(C),
    V3(D),
    V4(E),
    V5(F),
    V6(G),
    V7(H),
}

/// One of eight.
#[doc(hidden)]
pub enum Sum<A, B, C, D, E, F, G, H> {
    V0(A),
    V1(B),
    V2(C),
    V3(D),
    V4(E),
    V5(F),
    V6(G),
    V7(H),
}

/// What rkyv resolves: a sum of values that hold their resolvers.
#[derive(Archive)]
#[rkyv(as = ArchivedSum<A::Archived, B::Archived, C::Archived, D::Archived, E::Archived, F::Archived, G::Archived, H::Archived>)]
enum Ready<
    A: Archive,
    B: Archive,
    C: Archive,
    D: Archive,
    E: Archive,
    F: Archive,
    G: Archive,
    H: Archive,
> {
    V0(A),
    V1(B),
    V2(C),
    V3(D),
    V4(E),
    V5(F),
    V6(G),
    V7(H),
}

/// A value with its resolver.
struct Held<'a, T: Stored>(&'a T, Cell<Option<T::Resolver>>);

impl<T: Stored> Archive for Held<'_, T> {
    type Archived = T::Archived;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<Self::Archived>) {
        if let Some(resolver) = self.1.take() {
            self.0.resolve(resolver, out);
        }
    }
}

macro_rules! sum {
    ($($element:ident $variant:ident),*) => {
        impl<$($element: Stored),*> Stored for Sum<$($element),*> {
            type Archived = ArchivedSum<$($element::Archived),*>;
            type Resolver = Sum<$($element::Resolver),*>;
            type Loaded<'a> = Sum<$($element::Loaded<'a>),*>;
            type Itself = Self;
            const SHAPE: Shape =
                Shape::of("one of")$(.text(" ").shape(&$element::SHAPE))*;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
                Ok(match self {
                    $(Sum::$variant(value) => Sum::$variant(Wire(value).serialize(encoder)?),)*
                })
            }

            fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
                let (ready, variant): (Ready<$(Held<'_, $element>),*>, _) = match (self, resolver) {
                    $((Sum::$variant(value), Sum::$variant(resolver)) => (
                        Ready::$variant(Held(value, Cell::new(Some(resolver)))),
                        ReadyResolver::$variant(()),
                    ),)*
                    // A resolver of another variant can only come from another value.
                    _ => return,
                };
                ready.resolve(variant, out);
            }

            fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
                Ok(match archived {
                    $(ArchivedSum::$variant(value) => Sum::$variant($element::load(value)?),)*
                })
            }

            // An enum has a form with its own names; this one is for the sum by itself.
            fn to_json(&self, out: &mut JsonWriter) {
                match self {
                    $(Sum::$variant(value) => {
                        out.variant(stringify!($variant), |out| value.to_json(out));
                    })*
                }
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                match json.variant()? {
                    $((stringify!($variant), Some(value)) => {
                        $element::from_json(value).map(Sum::$variant)
                    })*
                    _ => Err(json.no_variant(&[$(stringify!($variant)),*])),
                }
            }

            fn is_same(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Sum::$variant(one), Sum::$variant(other)) => one.is_same(other),)*
                    _ => false,
                }
            }
        }
    };
}

sum!(A V0, B V1, C V2, D V3, E V4, F V5, G V6, H V7);
