//! The tables from which layouts come: names and widths yield offsets and sizes.
//!
//! - A structure's table is the only place where its layout stands. Code asks it for offsets by
//!   name, at compile time; a name that the table does not have is a compile error.
//! - The same tables render `docs/format.md`; a test fails when that file is stale.

/// One field of a layout: its name, and how many bytes it takes.
pub(crate) type Field = (&'static str, usize);

/// How many bytes the fields take together.
pub(crate) const fn width_of_all(fields: &[Field]) -> usize {
    let mut sum = 0;
    let mut index = 0;
    while index < fields.len() {
        sum += fields[index].1;
        index += 1;
    }
    sum
}

/// Where the field `name` starts.
pub(crate) const fn offset_of(fields: &[Field], name: &str) -> usize {
    let mut offset = 0;
    let mut index = 0;
    while index < fields.len() {
        if is_same(fields[index].0, name) {
            return offset;
        }
        offset += fields[index].1;
        index += 1;
    }
    panic!("no field of this name")
}

/// Whether two texts are equal, at compile time.
const fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// `len` and what it takes to the next multiple of 8.
pub(crate) const fn padded_to_8(len: usize) -> usize {
    len.next_multiple_of(8)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::format::{block, catalog, core_entry, entry, mark, record, segment, snapshot};

    const FIELDS: &[Field] = &[("one", 4), ("two", 8), ("three", 4)];

    #[test]
    fn offsets_are_the_widths_before_them() {
        assert_eq!(offset_of(FIELDS, "one"), 0);
        assert_eq!(offset_of(FIELDS, "two"), 4);
        assert_eq!(offset_of(FIELDS, "three"), 12);
        assert_eq!(width_of_all(FIELDS), 16);
        assert_eq!([padded_to_8(0), padded_to_8(1), padded_to_8(8), padded_to_8(9)], [0, 8, 8, 16]);
    }

    /// A layout as a table of its document: offset, bytes, field.
    fn table(title: &str, about: &str, fields: &[Field]) -> String {
        let mut text = format!("### {title}\n\n");
        if !about.is_empty() {
            writeln!(text, "{about}\n").unwrap();
        }
        text.push_str("| offset | bytes | field |\n|---|---|---|\n");
        let mut offset = Some(0);
        let shown = |number: Option<usize>| number.map_or("…".to_string(), |it| it.to_string());
        for (name, width) in fields {
            // A width of 0 stands for a part whose length another field says; what follows it has no
            // fixed offset.
            let width = (*width > 0).then_some(*width);
            writeln!(text, "| {} | {} | {name} |", shown(offset), shown(width)).unwrap();
            offset = offset.zip(width).map(|(offset, width)| offset + width);
        }
        writeln!(text, "| {} | | end |\n", shown(offset)).unwrap();
        text
    }

    /// `docs/format.md` as the code has it.
    fn document() -> String {
        let mut text = String::from(include_str!("format.head.md"));
        let sections = [
            ("Segment", segment::LAYOUTS),
            ("Record", record::LAYOUTS),
            ("Entry", entry::LAYOUTS),
            ("Core entries", core_entry::LAYOUTS),
            ("Synced mark", mark::LAYOUTS),
            ("Catalog", catalog::LAYOUTS),
            ("Snapshot", snapshot::LAYOUTS),
            ("Block", block::LAYOUTS),
        ];
        for (title, layouts) in sections {
            writeln!(text, "## {title}\n").unwrap();
            if title == "Core entries" {
                text.push_str(&core_entry::types_markdown());
            }
            for (title, about, fields) in layouts {
                text.push_str(&table(title, about, fields));
            }
        }
        text.push_str(include_str!("format.reading.md"));
        text.push_str(include_str!("format.values.md"));
        format!("{}\n", text.trim_end())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the document is a file of the project")]
    fn the_document_of_the_format_is_what_the_code_has() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
        let document = document();
        if std::env::var_os("FREEHOLD_BLESS").is_some() {
            std::fs::write(&path, &document).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == document,
            "docs/format.md is stale: run this test once with FREEHOLD_BLESS=1"
        );
    }
}
