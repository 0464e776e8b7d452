//! What `conformance!` writes: a module with a test for each rule of the kit.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Ident;

use crate::parse::Conformance;

/// The rules, as the kit's functions are called.
const RULES: &[&str] = &[
    "every_operation_is_called",
    "the_same_calls_do_the_same",
    "replay_equals_do",
    "a_later_replay_equals_do",
    "a_rejected_operation_changes_nothing",
    "a_clone_is_a_state_of_its_own",
    "a_snapshot_holds_everything",
    "a_snapshot_holds_no_index",
    "a_snapshot_and_the_rest_of_the_log_equal_all_of_it",
    "cut_bytes_are_no_panic",
    "a_crash_leaves_a_prefix",
    "it_is_carried_through_while_it_is_detached",
];

pub(super) fn expand(krate: &TokenStream, kit: &Conformance) -> TokenStream {
    let Conformance { primitive, strategy, .. } = kit;
    let Some(last) = primitive.segments.last() else { return TokenStream::new() };
    let module = format_ident!("{}_conformance", snake_case(&last.ident));
    let private = quote!(#krate::testing::conformance);
    let tests = RULES.iter().map(|rule| {
        let rule = Ident::new(rule, last.ident.span());
        quote! {
            #[test]
            fn #rule() {
                #private::#rule::<#primitive>(calls());
            }
        }
    });
    quote! {
        #[cfg(test)]
        mod #module {
            #[allow(unused_imports, reason = "the strategy may need none of them")]
            use super::*;
            #[allow(unused_imports, reason = "the strategy may need none of them")]
            use #private::{Call, call, proptest, proptest::prelude::*};

            fn calls() -> impl #private::proptest::strategy::Strategy<
                Value = #private::Call<#primitive>,
            > {
                #strategy
            }

            #(#tests)*

            #[test]
            fn golden_histories_are_kept() {
                #private::golden_histories_are_kept::<#primitive>(
                    calls(),
                    ::core::env!("CARGO_MANIFEST_DIR"),
                );
            }
        }
    }
}

/// `RateLimits` as `rate_limits`.
fn snake_case(name: &Ident) -> String {
    let mut snake = String::new();
    for letter in syn::ext::IdentExt::unraw(name).to_string().chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
