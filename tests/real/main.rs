//! The machine itself instead of a simulated disk: processes that are killed while many threads write,
//! and a file system that is really full.
//!
//! - Everything random comes from `FREEHOLD_SEED`. The operating system decides when a killed process
//!   stops, so a seed repeats the plan and not the very moment.
//! - `FREEHOLD_LONG=1` kills 500 times instead of 10.

#![cfg(all(feature = "full", feature = "testing", unix))]
#![expect(clippy::disallowed_methods, reason = "these tests copy databases and read the clock")]

mod full;
mod kills;

use std::io::Write;

/// Past the test harness, which shows what is printed only when a test fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
