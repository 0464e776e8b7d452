//! Writes the code: only `quote!`, only paths from the root, so that it compiles under
//! `#![no_implicit_prelude]`, under `#![forbid(unsafe_code)]` and with freehold renamed.
//!
//! After an error as much is written as keeps the compiler from errors that only echo it.

mod claims;
mod conformance;
mod handle;
mod operations;
mod primitive;
mod slots;
mod stored;
mod symbols;
mod uncalled;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Ident, ImplItem, Item, Path, Type, Visibility};

use crate::errors::Errors;
use crate::{check, parse};

/// `#[primitive(..)]`.
pub(crate) fn primitive(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let claim = check::claim(arguments, false, &mut errors);
    let krate = claim.krate.clone();
    let Some(primitive) = check::primitive(claim, item.clone(), &mut errors) else {
        let errors = errors.into_tokens();
        let handle =
            name_of(&item).map(|(visibility, name)| handle::for_none(&krate, &visibility, &name));
        let item = without_ours(item);
        return quote!(#item #handle #errors);
    };
    let sound = errors.is_empty();
    let code = primitive::expand(&primitive, sound);
    let errors = errors.into_tokens();
    quote!(#code #errors)
}

/// `#[operations]`.
pub(crate) fn operations(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = parse::only_crate(arguments, &mut errors);
    let Some(operations) = check::operations(krate.clone(), item.clone(), &mut errors) else {
        let silent = operations::none(&krate, &item, errors.is_empty());
        let errors = errors.into_tokens();
        let item = without_ours(item);
        return quote!(#item #silent #errors);
    };
    let code = operations::expand(&operations, errors.is_empty());
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
    let claim = check::claim(registration.claim, true, &mut errors);
    let primitive: &Path = &registration.primitive;
    let Some(last) = primitive.segments.last() else { return errors.into_tokens() };
    let name = claims::name(&claim, &last.ident);
    let code = claims::expand(&claim, primitive.to_token_stream(), &name, errors.is_empty());
    // With the attributes each operation is asked for where it stands.
    let operations = errors.is_empty().then(|| {
        let krate = &claim.krate;
        let private = quote!(#krate::__private);
        let fault = quote!(#private::lock::operations::<#primitive>(
            &<#primitive as #krate::Registered>::LOCK
        ));
        no_fault(&private, &fault, primitive.span())
    });
    let errors = errors.into_tokens();
    quote!(#code #operations #errors)
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

/// The name of a type that was not understood.
fn name_of(item: &TokenStream) -> Option<(Visibility, Ident)> {
    match syn::parse2::<Item>(item.clone()).ok()? {
        Item::Struct(item) => Some((item.vis, item.ident)),
        Item::Enum(item) => Some((item.vis, item.ident)),
        Item::Union(item) => Some((item.vis, item.ident)),
        _ => None,
    }
}

/// The traits that claims are impls of, for freehold itself.
pub(crate) fn slots() -> TokenStream {
    slots::declared()
}

/// The symbol that two releases of freehold cannot both define.
pub(crate) fn one_release() -> TokenStream {
    let symbol = symbols::of_release();
    quote!(const _: () = { #symbol };)
}

/// `assert_no_collisions!()`, of the crate that `krate` leads to.
pub(crate) fn assert_no_collisions(krate: TokenStream) -> TokenStream {
    slots::asked_by_program(&krate)
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
    as_stored(private, ty, quote!(Itself))
}

/// The shape of a type, with the same place for the same error.
fn shape_of(private: &TokenStream, ty: &Type) -> TokenStream {
    as_stored(private, ty, quote!(SHAPE))
}

/// A value of the type behind a reference, to be encoded.
fn wire(private: &TokenStream, ty: &Type, value: TokenStream) -> TokenStream {
    let spot = spot(ty);
    let value = as_itself(private, ty, value);
    let wire = placed(quote!(#private::Wire), spot);
    let mut value = Group::new(Delimiter::Parenthesis, value);
    value.set_span(spot);
    quote!(#wire #value)
}

/// A reference to a value of the type, so that one that cannot be stored goes no further.
fn as_itself(private: &TokenStream, ty: &Type, value: TokenStream) -> TokenStream {
    let spot = spot(ty);
    let method = as_stored(private, ty, quote!(itself));
    let value = located(value, spot);
    // Not called at once: the error would then be on the value, beside the one on the type.
    let first = placed(quote!(let freehold_itself =), spot);
    let end = placed(quote!(;), spot);
    let call = placed(quote!(freehold_itself), spot);
    let mut value = Group::new(Delimiter::Parenthesis, value);
    value.set_span(spot);
    let mut block = Group::new(Delimiter::Brace, quote!(#first #method #end #call #value));
    block.set_span(spot);
    quote!(#block)
}

/// What the compiler says of it, it says at one place, and so once.
fn as_stored(private: &TokenStream, ty: &Type, what: TokenStream) -> TokenStream {
    let spot = spot(ty);
    let ty = located(ty.to_token_stream(), spot);
    let stored = placed(quote!(as #private::Stored>::#what), spot);
    let open = placed(quote!(<), spot);
    quote!(#open #ty #stored)
}

/// The one token that stands for a type: of a path its last name.
fn spot(ty: &Type) -> Span {
    match ty {
        Type::Path(path) => path.path.segments.last().map_or(ty.span(), |last| last.ident.span()),
        Type::Reference(reference) => spot(&reference.elem),
        Type::Group(group) => spot(&group.elem),
        Type::Paren(paren) => spot(&paren.elem),
        _ => ty.span(),
    }
}

/// Tokens that name what they named, and all stand at one place.
fn located(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                let mut inner = Group::new(group.delimiter(), located(group.stream(), span));
                inner.set_span(group.span().located_at(span));
                return inner.into();
            }
            token.set_span(token.span().located_at(span));
            token
        })
        .collect()
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
