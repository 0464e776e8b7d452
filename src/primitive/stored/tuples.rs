//! Tuples: an operation's arguments are one, and a struct is archived as the tuple of its fields.

use rkyv::rancor::Failure;
use rkyv::tuple::*;
use rkyv::{Archive, Place, Serialize};

use super::{Encoder, Stored, Undecodable, Wire};
use crate::primitive::json::{Json, JsonWriter, Misfit};
use crate::primitive::shape::Shape;

impl Stored for () {
    type Archived = ();
    type Resolver = ();
    type Loaded<'a> = ();
    type Itself = Self;
    const SHAPE: Shape = Shape::of("()");

    fn encode(&self, _: &mut Encoder<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn resolve(&self, (): (), _: Place<()>) {}

    fn load(_: &()) -> Result<(), Undecodable> {
        Ok(())
    }

    fn to_json(&self, out: &mut JsonWriter) {
        out.list().end();
    }

    fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
        let [] = json.list_of()?;
        Ok(())
    }

    fn is_same(&self, (): &()) -> bool {
        true
    }
}

macro_rules! tuple {
    ($($archived:ident($($element:ident $index:tt),*);)*) => {$(
        impl<$($element: Stored),*> Stored for ($($element,)*) {
            type Archived = $archived<$($element::Archived),*>;
            type Resolver = ($($element::Resolver,)*);
            type Loaded<'a> = ($($element::Loaded<'a>,)*);
            type Itself = Self;
            const SHAPE: Shape =
                Shape::of("(")$(.shape(&$element::SHAPE).text(", "))*.text(")");

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, Failure> {
                ($(Wire(&self.$index),)*).serialize(encoder)
            }

            fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
                Archive::resolve(&($(Wire(&self.$index),)*), resolver, out);
            }

            fn load<'a>(archived: &'a Self::Archived) -> Result<Self::Loaded<'a>, Undecodable> {
                Ok(($($element::load(&archived.$index)?,)*))
            }

            fn to_json(&self, out: &mut JsonWriter) {
                let mut list = out.list();
                $(list.item(&self.$index);)*
                list.end();
            }

            fn from_json<'a>(json: &Json<'_>) -> Result<Self::Loaded<'a>, Misfit> {
                const COUNT: usize = [$($index),*].len();
                let items = json.list_of::<COUNT>()?;
                Ok(($($element::from_json(&items[$index])?,)*))
            }

            fn is_same(&self, other: &Self) -> bool {
                $(self.$index.is_same(&other.$index))&&*
            }
        }
    )*};
}

tuple! {
    ArchivedTuple1(A 0);
    ArchivedTuple2(A 0, B 1);
    ArchivedTuple3(A 0, B 1, C 2);
    ArchivedTuple4(A 0, B 1, C 2, D 3);
    ArchivedTuple5(A 0, B 1, C 2, D 3, E 4);
    ArchivedTuple6(A 0, B 1, C 2, D 3, E 4, F 5);
    ArchivedTuple7(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
    ArchivedTuple8(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
    ArchivedTuple9(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
    ArchivedTuple10(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
    ArchivedTuple11(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
    ArchivedTuple12(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
}
