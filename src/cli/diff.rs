//! `registry --diff OLD NEW`: what differs between two builds, and which of them opens what the other
//! wrote.
//!
//! - A primitive of OLD is the one of NEW that has its name, or had it.
//! - Both verdicts are judgements of the engine on data that a build may have written: every operation
//!   and every section that it has. So `not safe` means that such data may be there, not that it is;
//!   `can-open` asks a database.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::binary;
use crate::cli::failure::Failure;
use crate::cli::registry::{Verdict, file_name, operation, ranges, section, write_reasons};
use crate::cli::text::one_line;
use crate::format::catalog::CatalogOperation;
use crate::recovery::Needs;
use crate::registry::facts::Facts;

/// One thing that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    primitive: String,
    change: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Added,
    Gone,
    Changed,
}

/// The line of `--json`.
#[derive(Serialize)]
struct DiffLine {
    changes: Vec<Change>,
    new_opens_old: Verdict,
    old_opens_new: Verdict,
}

/// `freehold registry --diff OLD NEW`.
pub(crate) fn run(
    old_path: &Path,
    new_path: &Path,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (old, new) = (binary::read(old_path)?.facts, binary::read(new_path)?.facts);
    let changes = changes(&old, &new);
    let forward = Needs::of(&old).judge(&new);
    let back = Needs::of(&new).judge(&old);
    let answer = if forward.opens() && back.opens() { Ok(()) } else { Err(Failure::No) };
    if json {
        let (new_opens_old, old_opens_new) = (Verdict::of(&forward), Verdict::of(&back));
        serde_json::to_writer(&mut *out, &DiffLine { changes, new_opens_old, old_opens_new })?;
        out.write_all(b"\n")?;
        return answer;
    }
    write_changes(&changes, out)?;
    let (old_name, new_name) = match (file_name(old_path), file_name(new_path)) {
        (old, new) if old == new => {
            (old_path.display().to_string(), new_path.display().to_string())
        }
        names => names,
    };
    let says = if forward.opens() { "yes" } else { "no" };
    writeln!(out, "\n{new_name} opens what {old_name} wrote: {says}")?;
    write_reasons(&forward, out)?;
    let says = if back.opens() { "safe" } else { "not safe" };
    writeln!(out, "rollback to {old_name} after {new_name} has written: {says}")?;
    write_reasons(&back, out)?;
    answer
}

fn write_changes(changes: &[Change], out: &mut dyn Write) -> Result<(), Failure> {
    if changes.is_empty() {
        writeln!(out, "no difference")?;
    }
    let mut primitive = "";
    for change in changes {
        if change.primitive != primitive {
            primitive = &change.primitive;
            writeln!(out, "{}", one_line(primitive, usize::MAX))?;
        }
        let shown = |text: &Option<String>| one_line(text.as_deref().unwrap_or(""), usize::MAX);
        match change.change {
            Kind::Added => writeln!(out, "  added    {}", shown(&change.new))?,
            Kind::Gone => writeln!(out, "  gone     {}", shown(&change.old))?,
            Kind::Changed => {
                writeln!(out, "  changed  {}", shown(&change.old))?;
                writeln!(out, "  to       {}", shown(&change.new))?;
            }
        }
    }
    Ok(())
}

/// Everything that differs, by primitive.
fn changes(old: &[Facts], new: &[Facts]) -> Vec<Change> {
    let mut changes = Vec::new();
    for was in old {
        let is = new.iter().find(|is| is.name() == was.name());
        match is.or_else(|| new.iter().find(|is| is.is_named(was.name()))) {
            Some(is) => changes.extend(changes_of(was, is)),
            None => changes.push(Change {
                primitive: was.name().to_owned(),
                change: Kind::Gone,
                old: Some(whole(was)),
                new: None,
            }),
        }
    }
    let added = new.iter().filter(|is| !old.iter().any(|was| is.is_named(was.name())));
    changes.extend(added.map(|is| Change {
        primitive: is.name().to_owned(),
        change: Kind::Added,
        old: None,
        new: Some(whole(is)),
    }));
    changes
}

/// A primitive that stands on one side only.
fn whole(facts: &Facts) -> String {
    let row = &facts.row;
    format!(
        "the primitive: type ID {:#04x}, WAL types {}, from {} {}",
        row.type_id,
        ranges(&row.wal_types),
        row.crate_name,
        row.crate_version
    )
}

fn changes_of(was: &Facts, is: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut push = |change, old, new| {
        changes.push(Change { primitive: is.name().to_owned(), change, old, new });
    };
    let (old, new) = (&was.row, &is.row);
    let scope = |root_only| if root_only { "in the root only" } else { "in every run" };
    let pairs = [
        (format!("name {}", old.name), format!("name {}", new.name)),
        (format!("type ID {:#04x}", old.type_id), format!("type ID {:#04x}", new.type_id)),
        (
            format!("WAL types {}", ranges(&old.wal_types)),
            format!("WAL types {}", ranges(&new.wal_types)),
        ),
        (scope(old.root_only).to_owned(), scope(new.root_only).to_owned()),
        (
            format!("files of format version {}", was.format_version),
            format!("files of format version {}", is.format_version),
        ),
    ];
    for (old, new) in pairs.into_iter().filter(|(old, new)| old != new) {
        push(Kind::Changed, Some(old), Some(new));
    }
    let key = |operation: &CatalogOperation| (operation.wal_type, operation.version);
    for before in &old.operations {
        match new.operations.iter().find(|after| key(after) == key(before)) {
            None => push(Kind::Gone, Some(operation(before)), None),
            Some(after) if after == before => {}
            Some(after) => push(Kind::Changed, Some(operation(before)), Some(operation(after))),
        }
    }
    for after in &new.operations {
        if !old.operations.iter().any(|before| key(before) == key(after)) {
            push(Kind::Added, None, Some(operation(after)));
        }
    }
    if (old.section_version, was.section_fingerprint)
        != (new.section_version, is.section_fingerprint)
    {
        push(Kind::Changed, Some(section(old)), Some(section(new)));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::PrimitiveRegistry;

    #[test]
    fn every_kind_of_difference_is_told_and_nothing_else() {
        let old = PrimitiveRegistry::linked().unwrap().facts().to_vec();
        assert_eq!(changes(&old, &old), []);
        let changed = |change: fn(&mut Facts)| {
            let mut new = old.clone();
            change(&mut new[0]);
            let changes = changes(&old, &new);
            assert!(changes.iter().all(|change| change.primitive == new[0].name()), "{changes:?}");
            changes.iter().map(|change| change.change).collect::<Vec<_>>()
        };
        use Kind::{Added, Changed, Gone};
        assert_eq!(changed(|facts| facts.row.crate_version = "9".to_owned()), []);
        assert_eq!(changed(|facts| facts.row.type_id = 0xaa), [Changed]);
        assert_eq!(changed(|facts| facts.row.wal_types.push(0xaa)), [Changed]);
        assert_eq!(changed(|facts| facts.row.root_only ^= true), [Changed]);
        assert_eq!(changed(|facts| facts.format_version += 1), [Changed]);
        assert_eq!(changed(|facts| facts.section_fingerprint ^= 1), [Changed]);
        assert_eq!(changed(|facts| facts.row.section_version += 1), [Changed]);
        assert_eq!(changed(|facts| facts.row.operations[0].fingerprint ^= 1), [Changed]);
        assert_eq!(changed(|facts| facts.row.operations[0].version = 99), [Gone, Added]);
        assert_eq!(
            changed(|facts| {
                facts.former_names.push(facts.row.name.clone());
                facts.row.name = "Other".to_owned();
            }),
            [Changed]
        );
        let kinds = |old: &[Facts], new: &[Facts]| {
            changes(old, new).iter().map(|change| change.change).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&old, &old[1..]), [Gone]);
        assert_eq!(kinds(&old[1..], &old), [Added]);
    }
}
