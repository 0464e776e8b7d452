//! Arrays.

use rkyv::rancor::Failure;
use rkyv::{Archive, Place, Serialize};

use super::{Encoder, Stored, Undecodable, Wire};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::shape::Shape;

impl<T: Stored, const N: usize> Stored for [T; N] {
    type Archived = [T::Archived; N];
    type Resolver = [T::Resolver; N];
    type Loaded<'a> = [T::Loaded<'a>; N];
    type Itself = Self;
    const SHAPE: Shape = Shape::of("[").shape(&T::SHAPE).text("; ").number(N).text("]");

    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
        self.each_ref().map(Wire).serialize(encoder)
    }

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        Archive::resolve(&self.each_ref().map(Wire), resolver, out);
    }

    fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
        <[T::Loaded<'a>; N]>::try_from(T::load_slice(archived)?).map_err(|_| Undecodable)
    }

    fn to_json(&self, out: &mut JsonWriter) {
        T::slice_to_json(self, out);
    }

    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
        let elements = T::slice_from_json(json)?;
        <[T::Loaded<'a>; N]>::try_from(elements)
            .map_err(|elements| json.misfit(format_args!("{N} elements, not {}", elements.len())))
    }

    fn is_same(&self, other: &Self) -> bool {
        super::are_same(self, other)
    }
}
