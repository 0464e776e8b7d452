//! What a user sees after each mistake: one mistake a file, named for it, with the compiler's own
//! words beside it. `TRYBUILD=overwrite cargo test --all-features --test ui` writes them anew.
//!
//! With all features, since the compiler lists what it knows, and writes a name in full when two
//! things have it.

#![cfg(all(feature = "full", feature = "testing", feature = "cli"))]

use std::process::Command;

/// Set in the process that compiles the mistakes.
const FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";

/// What trybuild asks of the compiler: without the last for the dependencies, with it for the mistakes.
/// Other flags are another build, so without this all dependencies would be checked twice.
const ASKED: [&str; 5] =
    ["--cfg", "trybuild", "--verbose", "-Adead_code", "--diagnostic-width=140"];

#[test]
fn every_mistake_has_its_message() {
    let flags = ASKED.join("\u{1f}");
    if std::env::var(FLAGS).is_ok_and(|set| set == flags) {
        let cases = trybuild::TestCases::new();
        cases.compile_fail("tests/ui/*.rs");
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1)).env("RUST_TEST_NOCAPTURE", "1").env(FLAGS, flags);
    assert!(again.status().unwrap().success(), "a message is not as it was");
}
