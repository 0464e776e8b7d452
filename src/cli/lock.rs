//! `lock`: a package's `freehold.lock` against the code that the package has.
//!
//! - The lines are read out of what cargo builds: what is compared is what will run.
//! - Checking changes nothing. Updating adds and never changes or removes. Retiring adds a line that
//!   forbids what it names for ever.
//! - A line that contradicts the code is a compile error, so cargo reports most of these.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::LockArguments;
use crate::cli::binary::{self, Unreadable};
use crate::cli::cargo::Package;
use crate::cli::failure::Failure;
use crate::cli::text::{count, one_line};
use crate::registry::facts::{Facts, Program};
use crate::registry::lock_file::{LOCK_FILE, LockFile};

/// `freehold lock`.
pub(crate) fn run(arguments: &LockArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let package = Package::find(arguments.manifest_path.as_deref())?;
    if !arguments.retire.is_empty() {
        retire(&package, arguments, out)
    } else if arguments.update {
        update(&package, arguments, out)
    } else {
        check(&package, arguments, out)
    }
}

/// What the package's crates have.
struct Code {
    /// Their primitives.
    facts: Vec<Facts>,
    /// What a lock says of them.
    lines: BTreeSet<String>,
    /// How rkyv lays bytes out.
    format: String,
}

fn code(package: &Package, options: &[String]) -> Result<Code, Failure> {
    let mut code = Code { facts: Vec::new(), lines: BTreeSet::new(), format: String::new() };
    for file in package.build(options)? {
        let program = match binary::read(&file) {
            Ok(program) => program,
            // A crate without a primitive.
            Err(Failure::Binary { why: Unreadable::None, .. }) => Program::default(),
            Err(failure) => return Err(failure),
        };
        let own = |owner: &str| package.has_crate(owner);
        for facts in program.facts.into_iter().filter(|facts| own(&facts.row.crate_name)) {
            if !code.facts.contains(&facts) {
                code.facts.push(facts);
            }
        }
        let line_crate = |line: &String| line.split("::").next().is_some_and(own);
        code.lines.extend(program.lock_lines.into_iter().filter(line_crate));
        if code.format.is_empty() {
            code.format = program.encoding;
        }
    }
    Ok(code)
}

// --- Check ---------------------------------------------------------------------------------------

/// What a check found.
#[derive(Default, Serialize)]
struct Findings {
    sound: bool,
    /// Lines that the lock lacks.
    missing: Vec<String>,
    /// Lines whose primitive or operation is not in the code, and why that is not right.
    gone: Vec<Gone>,
    /// Lines that say something else than the code.
    contradictions: Vec<String>,
    /// Lines that are no lines of a lock.
    unreadable: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Gone {
    line: String,
    remedy: String,
}

fn check(package: &Package, arguments: &LockArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let code = code(package, &arguments.cargo)?;
    let file = read(package)?;
    let findings = compare(file.as_ref(), &code, |name| package.has_crate(name));
    if arguments.json {
        serde_json::to_writer(&mut *out, &findings)?;
        out.write_all(b"\n")?;
    } else {
        write_findings(package, file.as_ref(), &code, &findings, out)?;
    }
    if findings.sound { Ok(()) } else { Err(Failure::No) }
}

/// The lock against the code. Golden lines are the conformance kit's to judge.
fn compare(file: Option<&LockFile>, code: &Code, own: impl Fn(&str) -> bool) -> Findings {
    let mut findings = Findings::default();
    let mut lock = file.cloned().unwrap_or_default();
    let format = (!code.format.is_empty()).then(|| format!("format {}", code.format));
    match (lock.format(), &format) {
        (None, Some(now)) => findings.missing.push(now.clone()),
        (Some(stands), Some(_)) if stands != code.format => findings
            .contradictions
            .push(format!("{LOCK_FILE} has `format {stands}`, and now it is `{}`", code.format)),
        _ => {}
    }
    for line in &code.lines {
        match lock.add(line) {
            Ok(true) => findings.missing.push(line.clone()),
            Ok(false) => {}
            Err(contradiction) => findings.contradictions.push(contradiction.to_string()),
        }
    }
    if let Some(file) = file {
        for owner in file.owners() {
            gone(file, owner, code, &own, &mut findings.gone);
        }
        findings.unreadable = file.unreadable().to_vec();
    }
    findings.sound = findings.missing.is_empty()
        && findings.gone.is_empty()
        && findings.contradictions.is_empty()
        && findings.unreadable.is_empty();
    findings
}

/// What the lock has of `owner` and the code has not.
fn gone(
    file: &LockFile,
    owner: &str,
    code: &Code,
    own: impl Fn(&str) -> bool,
    gone: &mut Vec<Gone>,
) {
    let (krate, name) = owner.split_once("::").unwrap_or((owner, ""));
    let has = |key: &str| file.of(owner, key).any(|(found, _)| found == key);
    if has("retired id") {
        return;
    }
    let of_owner = |facts: &&Facts| facts.row.crate_name == krate && facts.is_named(name);
    let Some(facts) = code.facts.iter().find(of_owner) else {
        let remedy = if own(krate) {
            format!(
                "no primitive {name} was built: restore it; if a feature has it, build with that, as \
                 in `freehold lock -- --all-features`; if it was renamed, write `was = [\"{name}\"]` \
                 on it; if no data of it is left anywhere, `freehold lock --retire {name}`"
            )
        } else {
            format!("this package has no crate {krate}: its name is part of what data is known by")
        };
        gone.push(Gone { line: owner.to_owned(), remedy });
        return;
    };
    for (key, content) in file.of(owner, "0x") {
        let Some((wal_type, version)) = key.split_once(' ') else { continue };
        // Under whichever of its names, as the compiler takes it.
        let is_retired = facts.names().any(|name| {
            let owner = format!("{krate}::{name}");
            let has = |key: &str| file.of(&owner, key).any(|(found, _)| found == key);
            has(&format!("retired {wal_type}")) || has(&format!("retired {wal_type} {version}"))
        });
        let in_code = facts
            .row
            .operations
            .iter()
            .any(|each| key == format!("{:#04x} v{}", each.wal_type, each.version));
        if !is_retired && !in_code {
            let version = version.trim_start_matches('v');
            gone.push(Gone {
                line: format!("{owner} {key} {content}"),
                remedy: format!(
                    "the operation is not in the code: restore it, since old records need it to \
                     replay; if no data with it is left anywhere, `freehold lock --retire \
                     {name}:{wal_type}:{version}`"
                ),
            });
        }
    }
    for (key, content) in file.of(owner, "section v") {
        let version = key.trim_start_matches("section v").parse::<u32>();
        if version.is_ok_and(|version| version > facts.row.section_version) {
            gone.push(Gone {
                line: format!("{owner} {key} {content}"),
                remedy: format!(
                    "the code has section version {}: snapshots of the newer version could not be \
                     read",
                    facts.row.section_version
                ),
            });
        }
    }
}

fn write_findings(
    package: &Package,
    file: Option<&LockFile>,
    code: &Code,
    findings: &Findings,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = package.directory().join(LOCK_FILE);
    if findings.sound {
        let primitives = count(code.facts.len() as u64, "primitive", "primitives");
        writeln!(out, "{}: {primitives} as the lock has them", path.display())?;
        if file.is_some_and(|file| !file.is_locked()) {
            writeln!(
                out,
                "a line that is missing does not fail a build yet: `freehold lock --update --locked`"
            )?;
        }
        return Ok(());
    }
    if file.is_none() {
        writeln!(out, "{}: there is none; `freehold lock --update` writes it", path.display())?;
        return Ok(());
    }
    writeln!(out, "{}:", path.display())?;
    for line in &findings.missing {
        writeln!(out, "  missing  {}", one_line(line, usize::MAX))?;
    }
    if !findings.missing.is_empty() {
        writeln!(out, "    `freehold lock --update` adds what is missing")?;
    }
    for Gone { line, remedy } in &findings.gone {
        writeln!(out, "  gone     {}", one_line(line, usize::MAX))?;
        writeln!(out, "    {}", one_line(remedy, usize::MAX))?;
    }
    for contradiction in &findings.contradictions {
        writeln!(out, "  differs  {}", one_line(contradiction, usize::MAX))?;
    }
    for line in &findings.unreadable {
        writeln!(out, "  no line of a lock  {}", one_line(line, usize::MAX))?;
    }
    Ok(())
}

fn read(package: &Package) -> Result<Option<LockFile>, Failure> {
    let directory = package.directory();
    LockFile::read(directory).map_err(|source| file_failure("read", directory, source))
}

fn file_failure(op: &'static str, directory: &Path, source: std::io::Error) -> Failure {
    Failure::File { op, path: directory.join(LOCK_FILE), source }
}

// --- Update --------------------------------------------------------------------------------------

/// What an update did.
#[derive(Serialize)]
struct Updated {
    created: bool,
    added: Vec<String>,
    contradictions: Vec<String>,
}

fn update(
    package: &Package,
    arguments: &LockArguments,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let code = code(package, &arguments.cargo)?;
    let directory = package.directory();
    let before = read(package)?;
    let mut contradictions = Vec::new();
    if !code.lines.is_empty() || before.is_some() {
        LockFile::update(directory, |file| {
            if !code.format.is_empty() {
                file.set_format(&code.format);
            }
            for line in &code.lines {
                if let Err(contradiction) = file.add(line) {
                    contradictions.push(contradiction.to_string());
                }
            }
            if arguments.locked {
                file.set_locked();
            }
        })
        .map_err(|source| file_failure("write", directory, source))?;
    }
    if contradictions.is_empty() && !arguments.no_golden && package.has_conformance_tests() {
        package.add_golden_lines(&arguments.cargo)?;
    }
    let after = read(package)?.unwrap_or_default();
    let stood = before.as_ref().map(LockFile::all_lines).unwrap_or_default();
    let added = after.all_lines().into_iter().filter(|line| !stood.contains(line)).collect();
    let created = before.is_none() && !code.lines.is_empty();
    if created {
        touch_sources(package);
    }
    let updated = Updated { created, added, contradictions };
    if arguments.json {
        serde_json::to_writer(&mut *out, &updated)?;
        out.write_all(b"\n")?;
    } else {
        write_updated(package, &code, &after, &updated, out)?;
    }
    if updated.contradictions.is_empty() { Ok(()) } else { Err(Failure::No) }
}

/// A crate that was compiled before there was a lock does not know of it; from the next compilation on
/// it follows every change.
fn touch_sources(package: &Package) {
    for root in package.roots() {
        #[expect(clippy::disallowed_types, reason = "a source file, no database")]
        #[expect(
            clippy::disallowed_methods,
            reason = "the moment says when the source was looked at"
        )]
        let _ = std::fs::OpenOptions::new()
            .write(true)
            .open(root)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()));
    }
}

fn write_updated(
    package: &Package,
    code: &Code,
    lock: &LockFile,
    updated: &Updated,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = package.directory().join(LOCK_FILE);
    if code.lines.is_empty() && !updated.created {
        writeln!(
            out,
            "{}: no primitive stands in its library or its binaries as they were built",
            package.name()
        )?;
    }
    for line in &updated.added {
        writeln!(out, "  added  {}", one_line(line, usize::MAX))?;
    }
    for contradiction in &updated.contradictions {
        writeln!(out, "  differs  {}", one_line(contradiction, usize::MAX))?;
    }
    let lines = count(updated.added.len() as u64, "line", "lines");
    match (updated.created, updated.added.is_empty()) {
        (true, _) => {
            writeln!(out, "{}: written, {lines}; check it in", path.display())?;
            writeln!(
                out,
                "the crates' root sources were touched, so that the next build reads it"
            )?;
        }
        (false, true) => writeln!(out, "{}: nothing is missing", path.display())?,
        (false, false) => writeln!(out, "{}: {lines} added", path.display())?,
    }
    if updated.created && !lock.is_locked() {
        writeln!(
            out,
            "with `freehold lock --update --locked` a line that is missing fails every build"
        )?;
    }
    Ok(())
}

// --- Retire --------------------------------------------------------------------------------------

/// What retiring did.
#[derive(Serialize)]
struct Retired {
    added: Vec<String>,
}

fn retire(
    package: &Package,
    arguments: &LockArguments,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let file = read(package)?.unwrap_or_default();
    let mut lines = Vec::new();
    for asked in &arguments.retire {
        let line = line_that_retires(&file, asked);
        lines.push(line.map_err(|why| Failure::Retire { asked: asked.as_str().into(), why })?);
    }
    let directory = package.directory();
    let mut added = Vec::new();
    LockFile::update(directory, |file| {
        for line in lines {
            if file.add(&line) == Ok(true) {
                added.push(line);
            }
        }
    })
    .map_err(|source| file_failure("write", directory, source))?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &Retired { added })?;
        out.write_all(b"\n")?;
        return Ok(());
    }
    for line in &added {
        writeln!(out, "  added  {}", one_line(line, usize::MAX))?;
    }
    match added.is_empty() {
        true => writeln!(out, "it was retired before")?,
        false => writeln!(out, "take it out of the code; nothing can claim it again")?,
    }
    Ok(())
}

/// The line for `NAME`, `NAME:0x82` or `NAME:0x82:1`, where NAME may say its crate: `crate::NAME`.
fn line_that_retires(file: &LockFile, asked: &str) -> Result<String, Box<str>> {
    let (krate, rest) = match asked.split_once("::") {
        Some((krate, rest)) => (Some(krate), rest),
        None => (None, asked),
    };
    let mut parts = rest.split(':');
    let name = parts.next().unwrap_or("");
    let (wal_type, version, more) = (parts.next(), parts.next(), parts.next());
    if more.is_some() {
        return Err("write NAME, NAME:0x82 or NAME:0x82:1".into());
    }
    let owners: Vec<&str> = file
        .owners()
        .into_iter()
        .filter(|owner| {
            let (of, named) = owner.split_once("::").unwrap_or((owner, ""));
            named == name && krate.is_none_or(|krate| krate == of)
        })
        .collect();
    let owner = match owners[..] {
        [owner] => owner,
        [] => {
            let known = file.owners().join(", ");
            return Err(format!("{LOCK_FILE} has no primitive {name}; it has: {known}").into());
        }
        _ => {
            let owners = owners.join(" or ");
            return Err(format!("several crates have one: write {owners}").into());
        }
    };
    let Some(wal_type) = wal_type else { return Ok(format!("{owner} retired id")) };
    let start = match version {
        Some(version) => format!("{wal_type} v{}", version.trim_start_matches('v')),
        None => wal_type.to_owned(),
    };
    let stands =
        |key: &str| key == start || (version.is_none() && key.starts_with(&format!("{start} ")));
    if !file.of(owner, "0x").any(|(key, _)| stands(key)) {
        let known: Vec<&str> = file.of(owner, "0x").map(|(key, _)| key).collect();
        let known = known.join(", ");
        return Err(format!("{LOCK_FILE} has no {start} of {name}; it has: {known}").into());
    }
    Ok(format!("{owner} retired {start}"))
}
