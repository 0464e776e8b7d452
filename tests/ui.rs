//! What a user sees after each mistake: one mistake a file, named for it, with the compiler's own
//! words beside it. `TRYBUILD=overwrite cargo test --features full --test ui` writes them anew.
//!
//! With all of freehold's primitives, since the compiler lists what it knows.

#![cfg(feature = "full")]

#[test]
fn every_mistake_has_its_message() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
