//! `freehold.lock` beside the `Cargo.toml` of the package that is compiled.
//!
//! - Read here, judged in constants: only the compiler knows the layouts.
//! - Cargo says which crate it compiles. Without cargo there is no lock.

use std::path::{Path, PathBuf};
use std::sync::Once;

use proc_macro2::TokenStream;
use quote::quote;

/// What is read and not judged here: the conformance kit's lines.
const GOLDEN: &str = "golden";

/// The lock as an attribute finds it, as an expression of type `Lock`.
pub(crate) fn expression(private: &TokenStream, locked: bool) -> TokenStream {
    let Some(compiled) = Compiled::by_cargo() else {
        return quote!(#private::Lock::NONE);
    };
    let crate_name = &compiled.crate_name;
    let text = read(&compiled.lock);
    if text.is_none() && !locked {
        compiled.say_that_there_is_none();
    }
    let text = text.as_deref();
    let own = format!("{crate_name}::");
    let about = |line: &&str| {
        line.starts_with(&own) && line.split(' ').nth(1).is_some_and(|word| word != GOLDEN)
    };
    let lines_of = || text.unwrap_or_default().lines().map(str::trim_end);
    let own_lines: Vec<&str> = lines_of().filter(about).collect();
    let lines = match text {
        Some(_) => quote!(::core::option::Option::Some(&[#(#own_lines),*])),
        None => quote!(::core::option::Option::None),
    };
    let format = lines_of().find_map(|line| line.strip_prefix("format ")).unwrap_or_default();
    // A crate of which the file knows nothing may be an example, whose data nobody keeps.
    let locked = locked || (!own_lines.is_empty() && lines_of().any(|line| line == "locked"));
    // So that cargo compiles the crate anew when the file changes.
    let tracked = text.and_then(|_| compiled.lock.to_str()).map(|path| {
        quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        )
    });
    quote! {
        {
            #tracked
            #private::Lock {
                crate_name: #crate_name,
                module: ::core::module_path!(),
                lines: #lines,
                format: #format,
                locked: #locked,
                lenient: ::core::cfg!(test)
                    || ::core::option_env!("FREEHOLD_LOCK_UPDATE").is_some(),
            }
        }
    }
}

/// The versions of a WAL type that are retired: their numbers are never given again.
pub(crate) fn retired_versions(wal_type: u8) -> Vec<u8> {
    let retired = format!("retired {wal_type:#04x} v");
    facts_of_this_crate()
        .iter()
        .filter_map(|fact| fact.strip_prefix(&*retired)?.parse().ok())
        .collect()
}

/// The newest version of a WAL type, if that is retired: then nothing comes after it.
pub(crate) fn retired_at(wal_type: u8) -> Option<u8> {
    let key = format!("{wal_type:#04x} v");
    let facts = facts_of_this_crate();
    let versions = facts.iter().filter_map(|fact| fact.strip_prefix(&*key)?.split(' ').next());
    let newest = versions.filter_map(|version| version.parse().ok()).max()?;
    let whole = format!("retired {wal_type:#04x}");
    let is_retired = retired_versions(wal_type).contains(&newest) || facts.contains(&whole);
    is_retired.then_some(newest)
}

/// What stands behind the owner in every line about the crate that is compiled.
fn facts_of_this_crate() -> Vec<String> {
    let Some(compiled) = Compiled::by_cargo() else { return Vec::new() };
    let text = read(&compiled.lock).unwrap_or_default();
    let own = format!("{}::", compiled.crate_name);
    let facts = text.lines().filter(|line| line.starts_with(&own));
    facts.filter_map(|line| Some(line.split_once(' ')?.1.trim_end().to_owned())).collect()
}

#[expect(clippy::disallowed_methods, reason = "the compiler reads a source file, no database")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// What cargo compiles.
struct Compiled {
    crate_name: String,
    lock: PathBuf,
}

impl Compiled {
    fn by_cargo() -> Option<Compiled> {
        let crate_name = std::env::var("CARGO_CRATE_NAME").ok()?;
        let directory = std::env::var_os("CARGO_MANIFEST_DIR")?;
        Some(Compiled { crate_name, lock: Path::new(&directory).join("freehold.lock") })
    }

    /// Printed and not a lint, which would break the builds of those who deny warnings. Only for the
    /// packages that are worked on, once, and not for their tests and examples.
    fn say_that_there_is_none(&self) {
        static ONCE: Once = Once::new();
        // The tool that would be told to write one says so itself.
        let is_worked_on = std::env::var_os("CARGO_PRIMARY_PACKAGE").is_some()
            && std::env::var_os("FREEHOLD_LOCK_UPDATE").is_none();
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default().replace('-', "_");
        if is_worked_on && package == self.crate_name {
            ONCE.call_once(|| {
                eprintln!(
                    "note: {package} has no freehold.lock: nothing keeps its formats from drifting; \
                     `freehold lock --update` writes one"
                );
            });
        }
    }
}
