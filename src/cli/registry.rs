//! `registry` and `can-open`: what a program can read, and whether that is what a database has.
//!
//! - The program is read and not run; the database is read without its lock and not changed.
//! - The answer is the engine's own: the rules by which an opening refuses, and their messages.
//!   Here the remedy is added.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::{CanOpenArguments, RegistryArguments};
use crate::cli::failure::Failure;
use crate::cli::opening::expect_database;
use crate::cli::text::{count, one_line, write_indented};
use crate::cli::{binary, diff};
use crate::disk::{DiskRef, OsDisk};
use crate::error::{Error, Link, RegistryError};
use crate::format::catalog::{CatalogOperation, CatalogRow};
use crate::recovery::{Judgement, Needs, Refusal};
use crate::registry::PrimitiveRegistry;
use crate::registry::facts::Facts;

/// `freehold registry`.
pub(crate) fn run(arguments: &RegistryArguments, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some([old, new]) = arguments.diff.as_deref() {
        return diff::run(old, new, arguments.json, out);
    }
    match &arguments.binary {
        Some(path) => list(&binary::read(path)?.facts, arguments.json, out),
        None => {
            let linked = PrimitiveRegistry::linked().map_err(Error::from)?;
            list(linked.facts(), arguments.json, out)
        }
    }
}

/// `freehold can-open BINARY DB`.
pub(crate) fn can_open(arguments: &CanOpenArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let program = binary::read(&arguments.binary)?;
    expect_database(&arguments.db)?;
    let disk: DiskRef = Arc::new(OsDisk::new(&arguments.db));
    let judgement = Needs::read(&disk)?.judge(&program.facts);
    if arguments.json {
        serde_json::to_writer(&mut *out, &Verdict::of(&judgement))?;
        out.write_all(b"\n")?;
    } else {
        let (program, db) = (arguments.binary.display(), arguments.db.display());
        let does = if judgement.opens() { "yes" } else { "no" };
        writeln!(out, "{does}: {program} {} {db}", opens(&judgement))?;
        write_reasons(&judgement, out)?;
    }
    if judgement.opens() { Ok(()) } else { Err(Failure::No) }
}

fn opens(judgement: &Judgement) -> &'static str {
    if judgement.opens() { "opens" } else { "does not open" }
}

// --- A judgement ---------------------------------------------------------------------------------

/// A judgement as JSON.
#[derive(Serialize)]
pub(crate) struct Verdict {
    opens: bool,
    reasons: Vec<Reason>,
    detached: Vec<Detached>,
}

#[derive(Serialize)]
struct Reason {
    #[serde(skip_serializing_if = "Option::is_none")]
    primitive: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Serialize)]
struct Detached {
    primitive: String,
    type_id: u8,
    #[serde(rename = "crate")]
    crate_name: String,
    crate_version: String,
    remedy: String,
}

impl Verdict {
    pub(crate) fn of(judgement: &Judgement) -> Verdict {
        let reason = |refusal: &Refusal| Reason {
            primitive: refusal.primitive.clone(),
            reason: refusal.why.to_string(),
            remedy: remedy(refusal),
        };
        let detached = |row: &CatalogRow| Detached {
            primitive: row.name.clone(),
            type_id: row.type_id,
            crate_name: row.crate_name.clone(),
            crate_version: row.crate_version.clone(),
            remedy: link(row),
        };
        Verdict {
            opens: judgement.opens(),
            reasons: judgement.refusals.iter().map(reason).collect(),
            detached: judgement.detached.iter().map(detached).collect(),
        }
    }
}

/// The reasons, each with its remedy, and the primitives that are carried.
pub(crate) fn write_reasons(judgement: &Judgement, out: &mut dyn Write) -> Result<(), Failure> {
    let mut refusals = judgement.refusals.iter().peekable();
    while let Some(refusal) = refusals.next() {
        writeln!(out, "  {}", one_line(&refusal.why.to_string(), usize::MAX))?;
        // One that helps against several is told behind the last of them.
        let remedy = remedy(refusal);
        if remedy != refusals.peek().and_then(|next| self::remedy(next))
            && let Some(remedy) = remedy
        {
            writeln!(out, "    {}", one_line(&remedy, usize::MAX))?;
        }
    }
    for row in &judgement.detached {
        let CatalogRow { name, type_id, crate_name, crate_version, .. } = row;
        let line = format!(
            "{name} (type ID {type_id:#04x}, crate {crate_name} {crate_version}) is not in it: its \
             data is carried byte for byte; to use it {}",
            link(row)
        );
        writeln!(out, "  {}", one_line(&line, usize::MAX))?;
    }
    Ok(())
}

fn link(row: &CatalogRow) -> String {
    Link { primitive: &row.name, crate_name: &row.crate_name }.to_string()
}

/// What can be done, where the reason does not say it.
fn remedy(refusal: &Refusal) -> Option<String> {
    match (&refusal.why, &refusal.primitive) {
        (Error::Version { .. }, None) => Some("build it with a newer freehold".to_owned()),
        (Error::Version { found, supported, .. }, Some(primitive)) => {
            let carry = format!("or carry the data unread: `Options::detach(\"{primitive}\")`");
            Some(match supported {
                0 => format!(
                    "this program does not have it: use the one that wrote it, or a later one; if \
                     it was taken out, restore it; {carry}"
                ),
                _ if found > supported => format!(
                    "the data is newer than this program: use the one that wrote it, or a later \
                     one; {carry}"
                ),
                _ => format!(
                    "version {found} was taken out: restore it as a method of its own with \
                     `version = {found}`, or make a checkpoint with a program that still has it; \
                     {carry}"
                ),
            })
        }
        (Error::Registry(RegistryError::OtherTypeId { stored, .. }), _) => {
            Some(format!("write `id = {stored:#04x}`: data is found by it"))
        }
        (Error::Registry(RegistryError::OtherShape { wal_type, version, .. }), _) => Some(format!(
            "restore the layout, or add version {} and keep version {version} as a method of its \
             own with its old arguments and `#[wal({wal_type:#04x}, version = {version})]`",
            version.saturating_add(1)
        )),
        _ => None,
    }
}

// --- A registry ----------------------------------------------------------------------------------

/// One line of `registry --json`.
#[derive(Serialize)]
struct PrimitiveLine<'a> {
    primitive: &'a str,
    type_id: u8,
    wal_types: &'a [u8],
    root_only: bool,
    former_names: &'a [String],
    #[serde(rename = "crate")]
    crate_name: &'a str,
    crate_version: &'a str,
    file: &'a str,
    line: u32,
    format_version: u32,
    operations: Vec<OperationLine<'a>>,
    section: SectionLine,
}

#[derive(Serialize)]
struct OperationLine<'a> {
    wal_type: u8,
    version: u8,
    name: &'a str,
    arguments: String,
    fingerprint: String,
}

#[derive(Serialize)]
struct SectionLine {
    version: u32,
    fields: String,
    fingerprint: String,
}

impl<'a> PrimitiveLine<'a> {
    fn of(facts: &'a Facts) -> PrimitiveLine<'a> {
        let row = &facts.row;
        let operation = |operation: &'a CatalogOperation| OperationLine {
            wal_type: operation.wal_type,
            version: operation.version,
            name: &operation.name,
            arguments: Layout(&operation.shape).to_string(),
            fingerprint: format!("{:016x}", operation.fingerprint),
        };
        PrimitiveLine {
            primitive: &row.name,
            type_id: row.type_id,
            wal_types: &row.wal_types,
            root_only: row.root_only,
            former_names: &facts.former_names,
            crate_name: &row.crate_name,
            crate_version: &row.crate_version,
            file: &facts.file,
            line: facts.line,
            format_version: facts.format_version,
            operations: row.operations.iter().map(operation).collect(),
            section: SectionLine {
                version: row.section_version,
                fields: fields(row),
                fingerprint: format!("{:016x}", facts.section_fingerprint),
            },
        }
    }
}

fn list(facts: &[Facts], json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        for facts in facts {
            serde_json::to_writer(&mut *out, &PrimitiveLine::of(facts))?;
            out.write_all(b"\n")?;
        }
        return Ok(());
    }
    for facts in facts {
        write_primitive(facts, out)?;
    }
    writeln!(out, "{}", count(facts.len() as u64, "primitive", "primitives"))?;
    Ok(())
}

fn write_primitive(facts: &Facts, out: &mut dyn Write) -> Result<(), Failure> {
    let row = &facts.row;
    let mut lines = vec![
        format!(
            "{}  type ID {:#04x}, WAL types {}{}",
            row.name,
            row.type_id,
            ranges(&row.wal_types),
            if row.root_only { ", in the root only" } else { "" }
        ),
        format!("from {} {}, {}:{}", row.crate_name, row.crate_version, facts.file, facts.line),
    ];
    if !facts.former_names.is_empty() {
        lines.push(format!("formerly {}", facts.former_names.join(", ")));
    }
    lines.extend(row.operations.iter().map(operation));
    lines.push(section(row));
    for (at, line) in lines.iter().enumerate() {
        let indent = if at == 0 { "" } else { "  " };
        write_indented(out, indent, line)?;
    }
    writeln!(out)?;
    Ok(())
}

/// `0x80 v1  add(name: str, by: i64)`
pub(crate) fn operation(operation: &CatalogOperation) -> String {
    let CatalogOperation { wal_type, version, name, shape, .. } = operation;
    format!("{wal_type:#04x} v{version}  {name}{}", Layout(shape))
}

/// `section v1  (counts: {str: i64})`
pub(crate) fn section(row: &CatalogRow) -> String {
    format!("section v{}  {}", row.section_version, fields(row))
}

fn fields(row: &CatalogRow) -> String {
    Layout(&format!("({})", row.section_shape)).to_string()
}

/// The text of a layout, for people: without the comma behind the last part.
struct Layout<'a>(&'a str);

impl fmt::Display for Layout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.strip_suffix(", )") {
            Some(most) => write!(f, "{most})"),
            None if self.0.is_empty() || self.0.ends_with(')') => f.write_str(self.0),
            // Longer than the text of a layout may be.
            None => write!(f, "{}…", self.0),
        }
    }
}

/// `0x80..=0x83, 0x90`
pub(crate) fn ranges(bytes: &[u8]) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for byte in bytes {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*byte) => *last = *byte,
            _ => ranges.push((*byte, *byte)),
        }
    }
    let one = |(first, last): &(u8, u8)| match first == last {
        true => format!("{first:#04x}"),
        false => format!("{first:#04x}..={last:#04x}"),
    };
    match ranges.is_empty() {
        true => "none".to_owned(),
        false => ranges.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// The last part of a path, to name a program by.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_layouts_are_shown_short() {
        assert_eq!(ranges(&[0x80, 0x81, 0x83, 0xfe, 0xff]), "0x80..=0x81, 0x83, 0xfe..=0xff");
        assert_eq!(ranges(&[]), "none");
        let shown = |layout| Layout(layout).to_string();
        assert_eq!(shown("(name: str, by: i64, )"), "(name: str, by: i64)");
        assert_eq!(shown("()"), "()");
        assert_eq!(shown("(name: st"), "(name: st…");
    }
}
