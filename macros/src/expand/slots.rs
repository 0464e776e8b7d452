//! The type IDs and WAL types as traits, one for each of the 512, and the questions that the compiler
//! is asked about them.
//!
//! - A claim is an impl, `WalType0x80OwnedBy<Counters> for Program`. Whose it is the compiler is
//!   asked to infer, from a value that never comes to be: if there is one owner, it finds it; of two it
//!   can choose none, falls back to the type of no value, and says the trait's message.
//! - A trait for each value, since only a trait's message can say `WAL type 0x80`.
//! - Each answer is a constant that the next question needs. After the first refusal the rest is
//!   silent, so a range that is claimed twice is one error and not one for each byte.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use super::placed;
use crate::model::Byte;

/// A type ID or a WAL type.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    kind: Kind,
    value: u8,
}

#[derive(Clone, Copy)]
enum Kind {
    TypeId,
    WalType,
}

impl Slot {
    pub(super) fn type_id(value: u8) -> Slot {
        Slot { kind: Kind::TypeId, value }
    }

    pub(super) fn wal_type(value: u8) -> Slot {
        Slot { kind: Kind::WalType, value }
    }

    fn kind_in_words(self) -> &'static str {
        match self.kind {
            Kind::TypeId => "type ID",
            Kind::WalType => "WAL type",
        }
    }

    /// In words, the same for the compiler and the linker.
    pub(super) fn in_words(self) -> String {
        format!("{} {:#04x}", self.kind_in_words(), self.value)
    }

    /// The trait of its owner.
    pub(super) fn owner(self) -> Ident {
        match self.kind {
            Kind::TypeId => format_ident!("TypeId0x{:02x}OwnedBy", self.value),
            Kind::WalType => format_ident!("WalType0x{:02x}OwnedBy", self.value),
        }
    }

    /// The method that asks for its owner.
    fn question(self) -> Ident {
        match self.kind {
            Kind::TypeId => format_ident!("type_id_0x{:02x}", self.value),
            Kind::WalType => format_ident!("wal_type_0x{:02x}", self.value),
        }
    }
}

/// The traits, for freehold itself.
pub(super) fn declared() -> TokenStream {
    let slots = || (0..=u8::MAX).flat_map(|value| [Slot::type_id(value), Slot::wal_type(value)]);
    let questions = slots().map(Slot::question);
    let traits = slots().map(|slot| {
        let (owner, question) = (slot.owner(), slot.question());
        let words = slot.in_words();
        let documented = format!("Which primitive owns {words}.");
        let message = format!("{words} is claimed by two primitives");
        let note = format!(
            "give one of the two another {}; data keeps the numbers it was written with, so change \
             the primitive that has written none",
            slot.kind_in_words(),
        );
        quote! {
            #[doc = #documented]
            #[diagnostic::on_unimplemented(
                message = #message,
                label = "two primitives of this program claim it",
                note = #note
            )]
            pub trait #owner<P, const ANSWER: usize = 0>: Sized {
                #[doc = #documented]
                fn #question(self, _: After<ANSWER>) -> P {
                    never()
                }
            }
        }
    });
    quote! {
        #(#traits)*

        /// The answer for what nobody claims: found only when the owner's trait does not apply.
        pub trait Unclaimed: Sized {
            #(
                /// Nobody's.
                fn #questions<P, const ANSWER: usize>(self, _: After<ANSWER>) -> P {
                    never()
                }
            )*
        }
    }
}

/// Asks whether what is claimed has one owner. Every token stands inside what the user wrote, so that
/// the error is there and is one.
pub(super) fn asked_by_claim(private: &TokenStream, slots: &[(Slot, Byte)]) -> TokenStream {
    let slots_path = quote!(#private::slots);
    let never = quote!(#slots_path::never());
    let mut before = quote!(0);
    let asked = slots.iter().map(|(slot, byte)| {
        let (owner, mut question) = (slot.owner(), slot.question());
        let trait_path = placed(quote!(#slots_path::#owner::), inside(byte.first));
        question.set_span(inside(byte.last));
        // Not called by its path: then the error would point at the argument as well.
        let after = quote!(#slots_path::After::<{ #before }>);
        let ask = quote!(let ask = #trait_path #question; ask(#slots_path::Program, #after));
        answered(&mut before, &question, &inferred(&ask, &never))
    });
    let asked: Vec<_> = asked.collect();
    quote!(const _: () = { #(#asked)* const _: usize = #before; };)
}

/// Asks about everything that can be claimed, in the program that links all of it.
///
/// Of the type IDs all at once, since two that collide are two pairs of primitives; of the WAL types
/// one by one, since they collide by ranges. What the core has nobody can claim.
pub(super) fn asked_by_program(krate: &TokenStream) -> TokenStream {
    let slots = quote!(#krate::__private::slots);
    let never = quote!(#slots::never());
    let type_ids = || (1..=u8::MAX).map(Slot::type_id);
    let wal_types = || (0x10..=u8::MAX).map(Slot::wal_type);
    let owners = type_ids().chain(wal_types()).map(Slot::owner);
    let mut before = quote!(0);
    let of_type_ids = type_ids().map(|slot| {
        let question = slot.question();
        inferred(&quote!(#slots::Program.#question(#slots::After::<0>)), &never)
    });
    let of_type_ids = quote!(#(let _ = #of_type_ids;)*);
    let of_type_ids = answered(&mut before, &format_ident!("type_ids"), &of_type_ids);
    let of_wal_types = wal_types().map(|slot| {
        let question = slot.question();
        let ask = quote!(#slots::Program.#question(#slots::After::<{ #before }>));
        let ask = inferred(&ask, &never);
        answered(&mut before, &question, &ask)
    });
    let of_wal_types: Vec<_> = of_wal_types.collect();
    // Imported one by one: what a glob imports, the compiler's messages name by its whole path.
    quote! {
        const _: () = {
            mod collisions {
                use #slots::{Unclaimed as _, #(#owners as _),*};

                #of_type_ids
                #(#of_wal_types)*

                const _: usize = #before;
            }
        };
    }
}

/// The question's type is also that of a value which never comes to be. With one owner it is that
/// owner; with two it stays open, and what stays open becomes the type without values.
fn inferred(ask: &TokenStream, never: &TokenStream) -> TokenStream {
    quote!(if false { #ask } else { #never })
}

/// A constant that there is if the question has its answer. The next question is to name it.
fn answered(before: &mut TokenStream, question: &Ident, asked: &TokenStream) -> TokenStream {
    let answer = question.to_string().to_uppercase();
    let answer = Ident::new(&answer, Span::mixed_site());
    *before = quote!(#answer);
    quote! {
        const #answer: usize = {
            let _ = || { #asked };
            0
        };
    }
}

/// A place that the user wrote, without making the code at it the user's: lints leave it alone.
fn inside(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}
