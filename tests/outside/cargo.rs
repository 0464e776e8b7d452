//! Cargo, run on packages outside the workspace.
//!
//! - All are built in one directory, the one in which the tool builds for `freehold lock`, and with the
//!   tool's settings: what they depend on is compiled once, and freehold once for each set of features.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tool takes for the user's target directory, and builds below.
pub(crate) fn outside() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside")
}

/// Where all is built.
pub(crate) fn built() -> PathBuf {
    outside().join("freehold-lock")
}

/// Cargo with these arguments, on the package of this manifest.
pub(crate) fn cargo(arguments: &[&str], manifest: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).arg("--manifest-path").arg(manifest).arg("--target-dir").arg(built());
    for (setting, value) in [("DEBUG", "0"), ("LTO", "off"), ("OPT_LEVEL", "0")] {
        cargo.env(format!("CARGO_PROFILE_DEV_{setting}"), value);
    }
    cargo
}
