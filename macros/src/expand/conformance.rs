//! What `conformance!` writes: a module with a test for each rule of the kit.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Ident;

use crate::parse::Conformance;

/// The rules, as the kit calls them; their tests have the same names.
const RULES: &[&str] = &[
    "EveryOperationIsCalled",
    "TheSameCallsDoTheSame",
    "ReplayEqualsDo",
    "ALaterReplayEqualsDo",
    "ARejectedOperationChangesNothing",
    "ACloneIsAStateOfItsOwn",
    "ASnapshotHoldsEverything",
    "AnExportHoldsEverything",
    "ASnapshotHoldsNoIndex",
    "ASnapshotAndTheRestOfTheLogEqualAllOfIt",
    "ChangesLeadFromOneStateToAnother",
    "CutBytesAreNoPanic",
    "ACrashLeavesAPrefix",
    "ItIsCarriedThroughWhileItIsDetached",
    "GoldenHistoriesAreKept",
];

pub(super) fn expand(krate: &TokenStream, kit: &Conformance) -> TokenStream {
    let Conformance { primitive, strategy, .. } = kit;
    let Some(last) = primitive.segments.last() else { return TokenStream::new() };
    let module = format_ident!(
        "{}_conformance",
        snake_case(&syn::ext::IdentExt::unraw(&last.ident).to_string())
    );
    let private = quote!(#krate::testing::conformance);
    let count = RULES.len();
    let tests = RULES.iter().map(|rule| {
        let test = Ident::new(&snake_case(rule), last.ident.span());
        let rule = Ident::new(rule, last.ident.span());
        quote! {
            #[test]
            fn #test() {
                check(#private::Rule::#rule);
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

            // The one place that asks what the primitive must be, so that it is said once.
            fn check(rule: #private::Rule) {
                #private::check::<#primitive>(
                    rule,
                    calls(),
                    ::core::env!("CARGO_MANIFEST_DIR"),
                );
            }

            const _: () = ::core::assert!(#count == #private::Rule::COUNT, "a rule is left out");

            #(#tests)*
        }
    }
}

/// `RateLimits` as `rate_limits`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
