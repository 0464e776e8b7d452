//! The arguments of an operation: what is logged of each, and how it comes back.

use proc_macro2::{Ident, Span};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::visit_mut::VisitMut;
use syn::{
    FnArg, GenericArgument, Lifetime, Pat, PathArguments, Signature, Type, TypeImplTrait,
    TypeParamBound,
};

use super::{peeled, types};
use crate::errors::Errors;
use crate::model::{Argument, Kind};

/// Whether `&OpContext` comes first, and the arguments behind it.
///
/// `logged`: the arguments are; in the effect form they are not.
pub(super) fn arguments(
    signature: &Signature,
    primitive: &Ident,
    logged: bool,
    errors: &mut Errors,
) -> (bool, Vec<Argument>) {
    let mut context = false;
    let mut arguments: Vec<Argument> = Vec::new();
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (index, typed) in typed.enumerate() {
        let ty = peeled(&typed.ty);
        if is_context(ty) {
            if index > 0 {
                errors.on(ty, "`&OpContext` comes first, right behind `self`");
            } else if !matches!(ty, Type::Reference(_)) {
                errors.on(ty, "the context is lent: write `&OpContext`");
            }
            context = true;
            continue;
        }
        let name = match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => pat.ident.clone(),
            _ => Ident::new(&format!("argument_{index}"), Span::mixed_site()),
        };
        let Some(kind) = kind(ty, primitive, logged, errors) else { continue };
        arguments.push(Argument { name, written: ty.clone(), kind });
    }
    if arguments.len() > 12 {
        errors.on(
            &signature.inputs,
            "an operation takes at most 12 arguments: put some into a struct with \
             `#[derive(Stored)]`",
        );
    }
    (context, arguments)
}

fn is_context(ty: &Type) -> bool {
    let lent = match ty {
        Type::Reference(reference) => peeled(&reference.elem),
        _ => ty,
    };
    let Type::Path(path) = lent else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "OpContext")
}

fn kind(ty: &Type, primitive: &Ident, logged: bool, errors: &mut Errors) -> Option<Kind> {
    let mut fixed = Fixed(None);
    fixed.visit_type(ty);
    if let Some(span) = fixed.0 {
        errors.at(span, "at replay this refers into the log: leave `'static` out");
        return None;
    }
    if logged && !matches!(ty, Type::ImplTrait(_)) && !is_exclusive(ty) {
        let mut own = Errors::default();
        types::storable(ty, &mut own);
        if !own.is_empty() {
            errors.merge(own);
            return None;
        }
    }
    let plainly = |ty: &Type| plain(peeled(ty), primitive);
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            errors.on(
                ty,
                "an operation reads its arguments, which come from the log at replay: take a \
                 value or `&T`, and return what changes",
            );
            None
        }
        Type::Reference(reference) => match peeled(&reference.elem) {
            Type::Slice(slice) if is_text(peeled(&slice.elem)) => {
                errors.on(
                    ty,
                    "write `Vec<&str>`: of slices, only those of numbers can be lent from the log",
                );
                None
            }
            Type::Slice(_) => Some(Kind::Value(plainly(ty))),
            Type::Path(path) if path.path.is_ident("str") => Some(Kind::Value(plainly(ty))),
            lent => Some(Kind::Lent(plainly(lent))),
        },
        Type::ImplTrait(bounds) => implied(bounds, primitive, errors),
        _ => Some(Kind::Value(plainly(ty))),
    }
}

fn is_exclusive(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_some())
}

/// `&str` or `String`.
fn is_text(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_text(peeled(&reference.elem)),
        Type::Path(path) => path.path.is_ident("str") || path.path.is_ident("String"),
        _ => false,
    }
}

/// `impl AsRef<[u8]>`, `impl AsRef<str>`, `impl Into<T>`.
fn implied(bounds: &TypeImplTrait, primitive: &Ident, errors: &mut Errors) -> Option<Kind> {
    if let (1, Some(TypeParamBound::Trait(bound))) = (bounds.bounds.len(), bounds.bounds.first())
        && let Some(last) = bound.path.segments.last()
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(of)) = arguments.args.first()
    {
        let of = plain(peeled(of), primitive);
        if last.ident == "AsRef" {
            return Some(Kind::AsRef(syn::parse_quote_spanned!(of.span()=> &#of)));
        }
        if last.ident == "Into" {
            return Some(Kind::Into(of));
        }
    }
    errors.on(
        bounds,
        "replay must know the type: write it, or `impl AsRef<[u8]>`, \
                       `impl AsRef<str>`, `impl Into<String>`",
    );
    None
}

/// The type as it is written outside the method: without `Self` and without its lifetimes' names.
pub(super) fn plain(ty: &Type, primitive: &Ident) -> Type {
    let mut ty = ty.clone();
    Plain(primitive).visit_type_mut(&mut ty);
    ty
}

struct Plain<'a>(&'a Ident);

impl VisitMut for Plain<'_> {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
    }

    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        if path.is_ident("Self") {
            let mut name = self.0.clone();
            name.set_span(path.span());
            *path = name.into();
        }
        syn::visit_mut::visit_path_mut(self, path);
    }
}

/// Finds `'static`.
struct Fixed(Option<Span>);

impl Visit<'_> for Fixed {
    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident == "static" {
            self.0.get_or_insert(lifetime.span());
        }
    }
}
