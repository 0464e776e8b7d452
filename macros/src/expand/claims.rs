//! A claim in all its forms: the registration, the types that two cannot own, the symbols that two
//! cannot define, and the element of the linked slice.
//!
//! All in one `const _` in the primitive's own module: the linker takes object files whole, so the
//! symbols must share one with the slice's element.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::{no_fault, placed};
use crate::lock;
use crate::model::{Byte, Claim};

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
    let lock =
        if sound { lock::expression(&private, claim.locked) } else { quote!(#private::Lock::NONE) };
    let registered = quote! {
        #[automatically_derived]
        impl #krate::Registered for #primitive {
            const CLAIMED_TYPE_ID: u8 = #id;
            const CLAIMED_NAME: &'static str = #name;
            const CLAIMED_WAL_TYPES: &'static [u8] = &[#(#bytes),*];
            const LOCK: #private::Lock = #lock;
        }
    };
    let Some(id) = claim.id.filter(|_| sound) else { return registered };

    let id_slot = format_ident!("x{:02x}", id.value);
    let mut owned = vec![owned(&private, "type_id", &id_slot, &primitive)];
    let mut checks = vec![check(&private, "type_id", &id_slot, id)];
    let mut symbols =
        vec![format!("freehold/1: type ID {:#04x} is claimed by two primitives", id.value)];
    for byte in &claim.wal {
        let slot = format_ident!("x{:02x}", byte.value);
        owned.push(self::owned(&private, "wal_type", &slot, &primitive));
        checks.push(check(&private, "wal_type", &slot, *byte));
        symbols
            .push(format!("freehold/1: WAL type {:#04x} is claimed by two primitives", byte.value));
    }
    let symbols = symbols.iter().map(|symbol| symbol_definition(symbol));
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
            #(#owned)*
            #(#checks)*

            const _: () = ::core::assert!(
                #private::is_registered_as_claimed::<#primitive>(),
                "TYPE_ID and WAL_TYPES are not what is registered: leave them out"
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

            mod symbols {
                #(#symbols)*
            }
        };
    }
}

/// The impl shows in the note of the error, so it stands where the attribute does.
fn owned(private: &TokenStream, of: &str, slot: &Ident, primitive: &TokenStream) -> TokenStream {
    let of = format_ident!("{of}");
    quote! {
        #[automatically_derived]
        impl #private::OwnedBy<#primitive> for #private::#of::#slot {}
    }
}

/// Every token of the check has a place inside what the user wrote, so that the error is there and
/// is one.
fn check(private: &TokenStream, of: &str, slot: &Ident, byte: Byte) -> TokenStream {
    let asked = format_ident!("this_{of}_is_claimed_by_two_primitives");
    let of = format_ident!("{of}");
    let private = placed(private.clone(), byte.first);
    let inner = quote_spanned!(byte.first=> #private::#asked::<#private::#of::#slot, _);
    let inner = placed(inner, byte.first);
    let end = quote_spanned!(byte.last=> >());
    quote_spanned!(byte.first=> const _: () = #inner #end;)
}

/// A global symbol without an underscore or a mangled part: its name is what the linker prints.
///
/// Assembly, since an exported static is dropped under ThinLTO, and two of them with it.
fn symbol_definition(symbol: &str) -> TokenStream {
    let elf_and_coff = format!(".globl \"{symbol}\"\n\"{symbol}\":");
    quote! {
        #[cfg(any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "arm64ec",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch64",
            target_arch = "s390x",
        ))]
        ::core::arch::global_asm!(#elf_and_coff);
    }
}
