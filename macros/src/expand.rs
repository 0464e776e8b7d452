//! Writes the code: only `quote!`, only paths from the root, so that it compiles under
//! `#![no_implicit_prelude]`, under `#![forbid(unsafe_code)]` and with freehold renamed.
//!
//! After an error as much is written as keeps the compiler from errors that only echo it.

mod claims;
mod conformance;
mod operations;
mod primitive;
mod stored;

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Ident, ImplItem, Item, Path, Type};

use crate::errors::Errors;
use crate::{check, parse};

/// `#[primitive(..)]`.
pub(crate) fn primitive(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(primitive) = check::primitive(arguments, item.clone(), &mut errors) else {
        let errors = errors.into_tokens();
        let item = without_ours(item);
        return quote!(#item #errors);
    };
    let sound = errors.is_empty();
    let code = primitive::expand(&primitive, sound);
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// `#[operations]`.
pub(crate) fn operations(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(operations) = check::operations(arguments, item.clone(), &mut errors) else {
        let errors = errors.into_tokens();
        let item = without_ours(item);
        return quote!(#item #errors);
    };
    let code = operations::expand(&operations);
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// `#[wal(..)]` outside `#[operations]`.
pub(crate) fn stray_wal(item: TokenStream) -> TokenStream {
    let error = syn::Error::new(
        Span::call_site(),
        "`#[wal(..)]` belongs on a method of an `impl` block with `#[operations]`",
    )
    .into_compile_error();
    // Beside a method only items of an impl block can stand; an invocation is one everywhere.
    quote!(#error #item)
}

/// `#[derive(Stored)]`.
pub(crate) fn stored(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let code = stored::expand(item, &mut errors);
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// `register!(..)`.
pub(crate) fn register(arguments: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(registration) = errors.keep(syn::parse2::<parse::Registration>(arguments)) else {
        return errors.into_tokens();
    };
    let claim = check::claim(registration.claim, &mut errors);
    let primitive: &Path = &registration.primitive;
    let Some(last) = primitive.segments.last() else { return errors.into_tokens() };
    let name = claims::name(&claim, &last.ident);
    let code = claims::expand(&claim, primitive.to_token_stream(), &name, errors.is_empty());
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// `conformance!(..)`.
pub(crate) fn conformance(arguments: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(kit) = errors.keep(syn::parse2::<parse::Conformance>(arguments)) else {
        return errors.into_tokens();
    };
    let krate = parse::only_crate(kit.rest.clone(), &mut errors);
    let code = conformance::expand(&krate, &kit);
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// An item that was not understood, without the attributes that nobody else knows.
fn without_ours(item: TokenStream) -> TokenStream {
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(mut item)) => {
            for field in &mut item.fields {
                field.attrs.retain(|each| {
                    !each.path().is_ident("index") && !each.path().is_ident("field")
                });
            }
            item.into_token_stream()
        }
        Ok(Item::Impl(mut block)) => {
            for item in &mut block.items {
                if let ImplItem::Fn(method) = item {
                    method.attrs.retain(|each| !each.path().is_ident("wal"));
                }
            }
            block.into_token_stream()
        }
        _ => item,
    }
}

/// Tokens that all stand at one place, so that an error in them is said there and once.
fn placed(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                let mut group = Group::new(group.delimiter(), placed(group.stream(), span));
                group.set_span(span);
                return group.into();
            }
            token.set_span(span);
            token
        })
        .collect()
}

/// The type, named so that one that cannot be stored is one error and not one for each use.
fn itself(private: &TokenStream, ty: &Type) -> TokenStream {
    let span = ty.span();
    let stored = placed(quote!(as #private::Stored>::Itself), span);
    let open = placed(quote!(<), span);
    quote!(#open #ty #stored)
}

/// The shape of a type, with the same place for the same error.
fn shape_of(private: &TokenStream, ty: &Type) -> TokenStream {
    let span = ty.span();
    let stored = placed(quote!(as #private::Stored>::SHAPE), span);
    let open = placed(quote!(<), span);
    quote!(#open #ty #stored)
}

/// Refuses to compile if there is a fault to tell of, at this place.
fn no_fault(private: &TokenStream, fault: &TokenStream, span: Span) -> TokenStream {
    let check = quote! {
        const _: () = {
            const FAULT: #private::lock::Fault = #fault;
            ::core::assert!(FAULT.is_empty(), "{}", FAULT.as_str());
        };
    };
    placed(check, span)
}

/// The handle's name: `CountersHandle`.
fn handle_name(primitive: &Ident) -> Ident {
    quote::format_ident!("{primitive}Handle", span = primitive.span())
}
