//! What a user sees after each mistake: one mistake a file, named for it, with the compiler's own
//! words beside it. `TRYBUILD=overwrite cargo test --all-features --test ui` writes them anew.
//!
//! With all features, since the compiler lists what it knows, and writes a name in full when two
//! things have it.

#![cfg(all(feature = "full", feature = "testing", feature = "cli"))]

#[test]
fn every_mistake_has_its_message() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
