//! Types that nothing stored can have, as far as their names tell. What they do not tell, the trait
//! `Stored` finds.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{Visit, visit_type};
use syn::{Type, TypeReference};

use super::peeled;
use crate::errors::Errors;

/// Types that are known by their names, and what is written instead.
const KNOWN: &[(&str, &str)] = &[
    ("usize", "as wide as the machine is: write `u64`"),
    ("isize", "as wide as the machine is: write `i64`"),
    ("u128", "wider than what the log aligns: write `[u8; 16]`"),
    ("i128", "wider than what the log aligns: write `[u8; 16]`"),
    ("HashMap", "in another order in each process: write `OrdMap`"),
    ("HashSet", "in another order in each process: write `OrdSet`"),
    ("Rc", "of one thread: write `Arc`"),
    ("Deferred", "an index: write `#[index(deferred = |this, index| ..)]` on the field"),
];

/// Says what in the type has no lasting form, each on its own tokens.
pub(crate) fn storable(ty: &Type, errors: &mut Errors) {
    Storable(errors).visit_type(ty);
}

struct Storable<'a>(&'a mut Errors);

impl Visit<'_> for Storable<'_> {
    fn visit_type(&mut self, ty: &Type) {
        match peeled(ty) {
            Type::TraitObject(_) | Type::ImplTrait(_) => {
                self.0.on(ty, "what comes back from the log has one type: write it");
            }
            Type::Ptr(_) => {
                self.0.on(ty, "an address means nothing after a restart: write what it points to");
            }
            Type::BareFn(_) => self.0.on(
                ty,
                "a function has no value that could be stored: write an enum of what it may be",
            ),
            Type::Reference(reference) if reference.mutability.is_some() => {
                self.0.on(ty, "what comes back from the log is only read: write `&T` or a value");
            }
            Type::Path(path) => {
                let last = path.path.segments.last();
                let known = last.and_then(|last| KNOWN.iter().find(|(name, _)| last.ident == name));
                match known {
                    Some((name, why)) => self.0.on(ty, format!("`{name}` is {why}")),
                    None => visit_type(self, ty),
                }
            }
            inner => visit_type(self, inner),
        }
    }
}

/// Says where the type borrows, if it does.
pub(crate) fn owned(ty: &Type, what: &str, errors: &mut Errors) {
    if let Some(span) = borrow(ty) {
        errors.at(
            span,
            format!("{what} owns what it holds: write `String` for `&str`, `Bytes` for `&[u8]`"),
        );
    }
}

fn borrow(ty: &Type) -> Option<Span> {
    struct Borrow(Option<Span>);

    impl Visit<'_> for Borrow {
        fn visit_type_reference(&mut self, reference: &TypeReference) {
            self.0.get_or_insert(reference.span());
        }

        fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
            self.0.get_or_insert(lifetime.span());
        }
    }

    let mut borrow = Borrow(None);
    borrow.visit_type(ty);
    borrow.0
}

/// Says where a result borrows, or is not known, and so cannot be carried out of a transaction.
/// Whether it can.
pub(super) fn leaves(ty: &Type, errors: &mut Errors) -> bool {
    let mut leaving = Leaving(None);
    leaving.visit_type(ty);
    match leaving.0 {
        Some((what, message)) => {
            errors.on(what, message);
            false
        }
        None => true,
    }
}

struct Leaving(Option<(proc_macro2::TokenStream, &'static str)>);

impl Leaving {
    fn found(&mut self, what: &impl ToTokens, message: &'static str) {
        self.0.get_or_insert_with(|| (what.to_token_stream(), message));
    }
}

const BORROWS: &str = "a reference cannot leave the operation: return an owned value, such as \
                       `String` or `Bytes`";

impl Visit<'_> for Leaving {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        if reference.lifetime.as_ref().is_some_and(|name| name.ident == "static") {
            syn::visit::visit_type_reference(self, reference);
        } else {
            self.found(reference, BORROWS);
        }
    }

    fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
        if lifetime.ident != "static" {
            self.found(lifetime, BORROWS);
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &syn::TypeImplTrait) {
        self.found(
            ty,
            "what leaves the operation has one type: write it, such as `Vec<u64>` for an iterator",
        );
    }
}
