//! What `lock` asks of cargo: which package, what it builds, its golden histories.
//!
//! - Builds go to a target directory of their own, with the variable that lets lines of the lock be
//!   missing: neither disturbs the user's own builds.
//! - Cargo's messages go to standard error as they come, so that a failure explains itself.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

use crate::cli::failure::Failure;

/// What cargo is told: lines of the lock may be missing while the file is compared or added to, and
/// nothing is optimised, since no layout depends on it.
const SETTINGS: [(&str, &str); 4] = [
    ("FREEHOLD_LOCK_UPDATE", "1"),
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_DEV_LTO", "off"),
    ("CARGO_PROFILE_DEV_OPT_LEVEL", "0"),
];

/// The package whose lock it is.
pub(crate) struct Package {
    manifest: PathBuf,
    target_directory: PathBuf,
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

/// A crate of the package.
#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// One of cargo's messages about a build; of another kind than an artifact, all is absent.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Target {
    fn is_bin(&self) -> bool {
        self.kind.iter().any(|kind| kind == "bin")
    }

    fn is_lib(&self) -> bool {
        self.kind
            .iter()
            .any(|kind| matches!(kind.as_str(), "lib" | "rlib" | "dylib" | "cdylib" | "staticlib"))
    }
}

impl Package {
    /// The package of this manifest; without one, that of the working directory.
    pub(crate) fn find(manifest: Option<&Path>) -> Result<Package, Failure> {
        let manifest = match manifest {
            Some(manifest) => manifest.to_path_buf(),
            None => {
                let located = cargo(["locate-project", "--message-format", "plain"]);
                let located = output(located, "find a Cargo.toml here or above")?;
                PathBuf::from(located.trim_end())
            }
        };
        let manifest = match manifest.canonicalize() {
            Ok(manifest) => manifest,
            Err(source) => return Err(Failure::File { op: "find", path: manifest, source }),
        };
        let mut asked = cargo(["metadata", "--no-deps", "--format-version", "1"]);
        asked.arg("--manifest-path").arg(&manifest);
        let read = output(asked, "read the package's Cargo.toml")?;
        let metadata: Metadata = serde_json::from_str(&read)?;
        let own = |package: &MetadataPackage| {
            package.manifest_path.canonicalize().is_ok_and(|path| path == manifest)
        };
        let Some(package) = metadata.packages.into_iter().find(own) else {
            let what = format!(
                "{}: it is a workspace and no package: name one with --manifest-path",
                manifest.display()
            );
            return Err(Failure::Cargo { what: what.into() });
        };
        Ok(Package {
            manifest,
            target_directory: metadata.target_directory.join("freehold-lock"),
            name: package.name,
            targets: package
                .targets
                .into_iter()
                .filter(|target| target.is_bin() || target.is_lib())
                .collect(),
        })
    }

    /// The package's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its Cargo.toml stands, and its lock.
    pub(crate) fn directory(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }

    /// Whether the package builds a crate of this name.
    pub(crate) fn has_crate(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target.name.replace('-', "_") == name)
    }

    /// The root sources of its library and its binaries.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.targets.iter().map(|target| target.src_path.as_path())
    }

    /// Builds the library and the binaries, and says which files that made.
    pub(crate) fn build(&self, options: &[String]) -> Result<Vec<PathBuf>, Failure> {
        let mut build = self.cargo("build", options);
        build.arg("--message-format=json-render-diagnostics");
        if self.targets.iter().any(Target::is_lib) {
            build.arg("--lib");
        }
        if self.targets.iter().any(Target::is_bin) {
            build.arg("--bins");
        }
        let printed = output(build, "build the package")?;
        let mut files = Vec::new();
        for line in printed.lines() {
            let Ok(message) = serde_json::from_str::<Message>(line) else { continue };
            let own = |path: PathBuf| path.canonicalize().is_ok_and(|path| path == self.manifest);
            if message.reason == "compiler-artifact" && message.manifest_path.is_some_and(own) {
                let made = message.filenames.into_iter().filter(|file| holds_code(file));
                files.extend(made);
            }
        }
        Ok(files)
    }

    /// Whether a source of the package tests a primitive by the conformance kit.
    pub(crate) fn has_conformance_tests(&self) -> bool {
        ["src", "tests"].iter().any(|below| mentions_the_kit(&self.directory().join(below)))
    }

    /// Runs the conformance kit's tests of golden histories, which add their lines to the lock.
    pub(crate) fn add_golden_lines(&self, options: &[String]) -> Result<(), Failure> {
        let mut test = self.cargo("test", options);
        test.args(["--quiet", "--no-fail-fast", "--tests", "golden"]);
        let output = run(&mut test)?;
        if output.status.success() {
            return Ok(());
        }
        // Why a test failed stands on its standard output. Nobody is left to tell if this fails too.
        let _ = std::io::stderr().write_all(&output.stdout);
        Err(Failure::Cargo { what: "the golden histories could not be added".into() })
    }

    fn cargo(&self, command: &str, options: &[String]) -> Command {
        let mut cargo = cargo([command]);
        cargo.arg("--manifest-path").arg(&self.manifest);
        cargo.arg("--target-dir").arg(&self.target_directory);
        cargo.envs(SETTINGS).args(options);
        cargo
    }
}

/// A cargo to run: the one that runs this, if one does.
fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

fn run(cargo: &mut Command) -> Result<Output, Failure> {
    cargo.output().map_err(|source| Failure::File {
        op: "run",
        path: cargo.get_program().into(),
        source,
    })
}

/// What it prints, if it succeeds.
fn output(mut cargo: Command, what: &str) -> Result<String, Failure> {
    let output = run(&mut cargo)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure::Cargo { what: format!("cargo could not {what}").into() })
    }
}

/// Executables have no ending, or `.exe`; descriptions of a library have no code.
fn holds_code(file: &Path) -> bool {
    let ending = file.extension().and_then(OsStr::to_str).unwrap_or("");
    !matches!(ending, "rmeta" | "d" | "pdb" | "dwp" | "dSYM")
}

#[expect(clippy::disallowed_methods, reason = "sources, no database")]
fn mentions_the_kit(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().any(|entry| mentions_the_kit(&entry.path())),
        Err(_) => {
            path.extension().is_some_and(|ending| ending == "rs")
                && std::fs::read_to_string(path).is_ok_and(|text| text.contains("conformance!"))
        }
    }
}
