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
///
/// # Errors
///
/// It cannot be read, or is about another crate.
pub(crate) fn expression(private: &TokenStream, locked: bool) -> Result<TokenStream, String> {
    let Some(compiled) = Compiled::by_cargo() else {
        return if locked {
            Err("this is `locked`, and without cargo nobody says where freehold.lock is".to_owned())
        } else {
            Ok(quote!(#private::Lock::NONE))
        };
    };
    let crate_name = &compiled.crate_name;
    let text = compiled.text()?;
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
    let known =
        lines_of().find_map(|line| Some(line.split_once("::")?.0).filter(|it| !it.contains(' ')));
    let file_is_locked = lines_of().any(|line| line == "locked");
    // The tool must be able to build what it is to add.
    let updating = std::env::var_os("FREEHOLD_LOCK_UPDATE").is_some();
    let is_unknown = own_lines.is_empty() && compiled.is_the_package();
    if let Some(known) = known.filter(|_| file_is_locked && is_unknown && !updating) {
        return Err(format!(
            "freehold.lock is about the crate {known}, and this is {crate_name}: if it was renamed, \
             change the name in the lines of the file; if it is another crate of the package, \
             `freehold lock --update` adds it"
        ));
    }
    // A crate of which the file knows nothing may be an example, whose data nobody keeps.
    let locked = locked || (!own_lines.is_empty() && file_is_locked);
    // So that cargo compiles the crate anew when the file changes.
    let tracked = text.and_then(|_| compiled.lock.to_str()).map(|path| {
        quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        )
    });
    Ok(quote! {
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
    })
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
    // That it cannot be read is said where the lock is asked for.
    let text = compiled.text().unwrap_or_default().unwrap_or_default();
    let own = format!("{}::", compiled.crate_name);
    let facts = text.lines().filter(|line| line.starts_with(&own));
    facts.filter_map(|line| Some(line.split_once(' ')?.1.trim_end().to_owned())).collect()
}

/// What cargo compiles.
struct Compiled {
    crate_name: String,
    lock: PathBuf,
}

impl Compiled {
    /// Nothing without cargo, and nothing for a test or a benchmark that is a crate of its own,
    /// whatever it is called.
    fn by_cargo() -> Option<Compiled> {
        if std::env::var_os("CARGO_TARGET_TMPDIR").is_some() {
            return Some(Compiled { crate_name: String::new(), lock: PathBuf::new() });
        }
        let crate_name = std::env::var("CARGO_CRATE_NAME").ok()?;
        let directory = std::env::var_os("CARGO_MANIFEST_DIR")?;
        Some(Compiled { crate_name, lock: Path::new(&directory).join("freehold.lock") })
    }

    /// The file's text; nothing if there is no file.
    fn text(&self) -> Result<Option<String>, String> {
        if self.crate_name.is_empty() {
            return Ok(None);
        }
        #[expect(clippy::disallowed_methods, reason = "a source file, no database")]
        match std::fs::read_to_string(&self.lock) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", self.lock.display())),
        }
    }

    /// Whether this is what the package is about: its library, or a program of its name.
    fn is_the_package(&self) -> bool {
        std::env::var("CARGO_PKG_NAME").is_ok_and(|name| name.replace('-', "_") == self.crate_name)
    }

    /// Printed and not a lint, which would break the builds of those who deny warnings. Only for the
    /// packages that are worked on, once, and not for their tests and examples.
    fn say_that_there_is_none(&self) {
        static ONCE: Once = Once::new();
        // The tool that would be told to write one says so itself.
        let is_worked_on = std::env::var_os("CARGO_PRIMARY_PACKAGE").is_some()
            && std::env::var_os("FREEHOLD_LOCK_UPDATE").is_none();
        if is_worked_on && self.is_the_package() {
            let package = &self.crate_name;
            ONCE.call_once(|| {
                eprintln!(
                    "note: {package} has no freehold.lock: nothing keeps its formats from drifting; \
                     `freehold lock --update` writes one"
                );
            });
        }
    }
}
