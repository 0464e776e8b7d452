//! The handle, `NotesHandle`, as `#[operations]` finds it: written by `#[primitive]` in the same
//! module, and where that is missing a stand-in, so that one error says so.
//!
//! The stand-in comes by a glob import, which any item of the same name in the module hides.

use std::sync::atomic::{AtomicUsize, Ordering};

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{handle_name, placed};

/// What `#[operations]` writes beside the block, so that the handle's name always means something.
pub(super) fn stand_in(primitive: &Ident) -> TokenStream {
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    let handle = handle_name(primitive);
    // Two blocks of one primitive would else be two modules of one name, which is an error beside
    // the one that there are two.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let module = format_ident!("__freehold_without_primitive_{count}");
    let handle = Ident::new(&handle.to_string(), proc_macro2::Span::call_site());
    quote! {
        #[doc(hidden)]
        mod #module {
            pub struct #handle<'tx>(pub &'tx ());
        }
        use #module::*;
    }
}

/// That the handle is there: the error is on the primitive's name.
pub(super) fn required(krate: &TokenStream, primitive: &Ident) -> TokenStream {
    let handle = handle_name(primitive);
    let check = quote!(<#handle<'static> as #krate::__private::HandleOfPrimitive>::IS_THERE);
    let check = placed(check, primitive.span());
    quote!(const _: () = #check;)
}

/// What `#[primitive]` writes for a type that is none, since that is said already.
pub(super) fn for_none(
    krate: &TokenStream,
    visibility: &syn::Visibility,
    name: &Ident,
) -> TokenStream {
    let handle = handle_name(name);
    quote! {
        #[doc(hidden)]
        #visibility struct #handle<'tx>(&'tx ());

        #[automatically_derived]
        impl #krate::__private::IsHandle for #handle<'_> {}
    }
}
