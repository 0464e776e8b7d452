//! A claim in all its forms: the registration, the types that two cannot own, the symbols that two
//! cannot define, and the element of the linked slice.
//!
//! All in one `const _` in the primitive's own module: the linker takes object files whole, so the
//! symbols must share one with the slice's element.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::spanned::Spanned;

use super::slots::{self, Slot};
use super::{no_fault, symbols};
use crate::lock;
use crate::model::Claim;

/// The primitive's name in the data.
pub(super) fn name(claim: &Claim, ident: &Ident) -> String {
    match &claim.name {
        Some(name) => name.value(),
        None => syn::ext::IdentExt::unraw(ident).to_string(),
    }
}

/// `sound`: nothing was wrong with the primitive. Else only what keeps the compiler quiet.
pub(super) fn expand(
    claim: &Claim,
    primitive: TokenStream,
    name: &str,
    sound: bool,
) -> TokenStream {
    let krate = &claim.krate;
    let private = quote!(#krate::__private);
    let id = claim.id.map_or(0xff, |id| id.value);
    let mut bytes: Vec<u8> = claim.wal.iter().map(|byte| byte.value).collect();
    bytes.sort_unstable();
    let (lock, unreadable) = match sound.then(|| lock::expression(&private, claim.locked)) {
        Some(Ok(lock)) => (lock, None),
        Some(Err(why)) => {
            (quote!(#private::Lock::NONE), Some(quote!(::core::compile_error!(#why);)))
        }
        None => (quote!(#private::Lock::NONE), None),
    };
    let registered = quote! {
        #[automatically_derived]
        impl #krate::Registered for #primitive {
            const CLAIMED_TYPE_ID: u8 = #id;
            const CLAIMED_NAME: &'static str = #name;
            const CLAIMED_WAL_TYPES: &'static [u8] = &[#(#bytes),*];
            const LOCK: #private::Lock = #lock;
        }
        #unreadable
    };
    let Some(id) = claim.id.filter(|_| sound) else { return registered };

    let id_slot = [(Slot::type_id(id.value), id)];
    let wal_slots: Vec<_> =
        claim.wal.iter().map(|byte| (Slot::wal_type(byte.value), *byte)).collect();
    let slots = || id_slot.iter().chain(&wal_slots).map(|(slot, _)| *slot);
    let owner = owner(&primitive);
    let owned = slots().map(|slot| owned(&private, slot, &owner));
    let asked = [&id_slot[..], &wal_slots].map(|slots| slots::asked_by_claim(&private, slots));
    let claimed = slots().map(Slot::in_words).chain(
        [name.to_owned()]
            .into_iter()
            .chain(claim.was.iter().map(syn::LitStr::value))
            .map(|name| format!("the name {name}")),
    );
    let symbols = symbols::of_claims(name, claimed);
    let first_byte = claim.wal.first().map_or(id.first, |byte| byte.first);
    let name_span = primitive.span();
    let faults =
        [("id", id.first), ("wal_types", first_byte), ("kept", name_span), ("section", name_span)]
            .map(|(what, span)| {
                let what = format_ident!("{what}");
                let fault = quote!(#private::lock::#what::<#primitive>(
                    &<#primitive as #krate::Registered>::LOCK
                ));
                no_fault(&private, &fault, span)
            });
    quote! {
        #registered

        const _: () = {
            mod primitive {
                pub enum #owner {}
            }
            #(#owned)*
            #(#asked)*

            const _: () = ::core::assert!(
                #private::is_registered_as_claimed::<#primitive>(),
                "TYPE_ID and WAL_TYPES are not what is registered: leave them out"
            );
            const _: () = ::core::assert!(
                #private::is_named_as_claimed::<#primitive>(),
                "NAME is not what is registered: leave it out, and write `name = \"..\"` in \
                 `register!`, where the linker sees it"
            );

            #(#faults)*

            const ORIGIN: #private::Origin = #private::Origin {
                crate_name: #private::crate_of(::core::module_path!()),
                crate_version: match ::core::option_env!("CARGO_PKG_VERSION") {
                    ::core::option::Option::Some(version) => version,
                    ::core::option::Option::None => "unknown",
                },
                file: ::core::file!(),
                line: ::core::line!(),
            };
            const FACTS_LEN: usize = #private::lock::facts::<#primitive, 0>(&ORIGIN).len();

            // Plain bytes in a section of their own, for those who read the binary without running it.
            #[used]
            #[cfg_attr(
                not(any(target_vendor = "apple", target_os = "windows")),
                unsafe(link_section = "freehold_1")
            )]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,freehold_1"))]
            #[cfg_attr(target_os = "windows", unsafe(link_section = ".fhold1"))]
            static FACTS: [u8; FACTS_LEN] =
                #private::lock::facts::<#primitive, FACTS_LEN>(&ORIGIN).into_bytes();

            #[#private::linkme::distributed_slice(#private::FREEHOLD_1_PRIMITIVES)]
            #[linkme(crate = #private::linkme)]
            static PRIMITIVE: #private::Descriptor =
                #private::Descriptor::of::<#primitive>(ORIGIN, &FACTS);

            #symbols
        };
    }
}

/// Who owns what is claimed: a type of the primitive's name, and public, since the whole program asks
/// for it and the primitive may be private.
fn owner(primitive: &TokenStream) -> Ident {
    let last = primitive.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident),
        _ => None,
    });
    let mut owner = last.last().unwrap_or_else(|| format_ident!("Primitive"));
    owner.set_span(Span::mixed_site());
    owner
}

/// The impl shows in the note of the error, so it stands where the attribute does.
fn owned(private: &TokenStream, slot: Slot, owner: &Ident) -> TokenStream {
    let of = slot.owner();
    quote! {
        #[automatically_derived]
        impl #private::slots::#of<primitive::#owner> for #private::slots::Program {}
    }
}
