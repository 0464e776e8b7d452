//! What a primitive claims and what it can read: of the linked ones from their descriptors, of any
//! other program's from the text in its binary.
//!
//! - Both say the same; the rules of `recovery/owners.rs` judge by this and by nothing else.
//! - Text is foreign: a line that is not the one that must come next is an error with its number,
//!   and nothing makes reading it panic.

use std::fmt;

use crate::error::RegistryError;
use crate::format::catalog::CatalogRow;
use crate::format::version::FORMAT_VERSION;
use crate::primitive::Descriptor;

/// One primitive of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What the catalog would hold of it.
    pub(crate) row: CatalogRow,
    /// The names it had before.
    pub(crate) former_names: Vec<String>,
    /// Of its section's layout, also where the text is cut.
    pub(crate) section_fingerprint: u64,
    /// The version of the files that its program writes.
    pub(crate) format_version: u32,
    /// The source file of its claim.
    pub(crate) file: String,
    /// The line there.
    pub(crate) line: u32,
}

impl Facts {
    /// Those of a linked primitive.
    pub(crate) fn of(linked: &Descriptor) -> Facts {
        Facts {
            row: linked.catalog_row(),
            former_names: linked.former_names().iter().map(|name| (*name).into()).collect(),
            section_fingerprint: linked.section_fingerprint(),
            format_version: FORMAT_VERSION,
            file: linked.origin().file.into(),
            line: linked.origin().line,
        }
    }

    /// The name, by which a database knows it.
    pub(crate) fn name(&self) -> &str {
        &self.row.name
    }

    /// The name and the former ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name()).chain(self.former_names.iter().map(|name| &**name))
    }

    /// Whether `name` is, or once was, the primitive's.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.row.name == name || self.former_names.iter().any(|former| former == name)
    }
}

/// Name and place: `Counters (src/counters.rs:12)`.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.row.name, self.file, self.line)
    }
}

/// Whether every type ID, WAL type and name belongs to one primitive.
///
/// # Errors
///
/// The first that belongs to two, and both with their places in the source.
pub(crate) fn check(list: &[Facts]) -> Result<(), RegistryError> {
    let pairs = list
        .iter()
        .enumerate()
        .flat_map(|(index, first)| list.iter().skip(index + 1).map(move |second| (first, second)));
    for (first, second) in pairs {
        let both = || (first.to_string().into(), second.to_string().into());
        if first.row.type_id == second.row.type_id {
            let (type_id, (first, second)) = (first.row.type_id, both());
            return Err(RegistryError::TypeIdTwice { type_id, first, second });
        }
        let shared = first.row.wal_types.iter().find(|byte| second.row.wal_types.contains(byte));
        if let Some(&wal_type) = shared {
            let (first, second) = both();
            return Err(RegistryError::WalTypeTwice { wal_type, first, second });
        }
        if let Some(name) = first.names().find(|name| second.is_named(name)) {
            let (name, (first, second)) = (name.into(), both());
            return Err(RegistryError::NameTwice { name, first, second });
        }
    }
    Ok(())
}

#[cfg(feature = "cli")]
pub(crate) use text::NotFacts;
#[cfg(any(test, feature = "cli"))]
pub(crate) use text::{Program, parse};

/// The text in a binary.
#[cfg(any(test, feature = "cli"))]
mod text {
    use std::iter::Peekable;

    use super::Facts;
    use crate::format::catalog::CatalogOperation;

    /// How much of a line an error shows.
    const SHOWN_MAX: usize = 160;

    /// What a binary says of itself.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Program {
        /// Its primitives, in the order of their type IDs.
        pub(crate) facts: Vec<Facts>,
        /// How rkyv lays bytes out in it; nothing if it has no primitive.
        pub(crate) encoding: String,
        /// The lines that a lock holds.
        pub(crate) lock_lines: Vec<String>,
    }

    /// A line that is not what must stand there.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("line {number} of the registry is `{found}`, expected {expected}")]
    pub(crate) struct NotFacts {
        number: usize,
        found: String,
        expected: &'static str,
    }

    /// Reads what the sections of a binary hold, one primitive behind another, zeros between them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Program, NotFacts> {
        let lines = bytes.split(|byte| matches!(byte, b'\n' | 0)).filter(|line| !line.is_empty());
        let mut reader =
            Reader { lines: lines.enumerate().peekable(), owner: String::new(), at: 0 };
        let mut program = Program::default();
        while reader.lines.peek().is_some() {
            program.facts.push(reader.primitive(&mut program.encoding, &mut program.lock_lines)?);
        }
        program.facts.sort_by(|a, b| {
            let key = |facts: &Facts| (facts.row.type_id, facts.line);
            key(a).cmp(&key(b)).then_with(|| a.row.name.cmp(&b.row.name))
        });
        Ok(program)
    }

    struct Reader<'t, L: Iterator<Item = (usize, &'t [u8])>> {
        lines: Peekable<L>,
        /// `crate::Primitive `, whose lines are being read.
        owner: String,
        /// The number of the last line taken.
        at: usize,
    }

    impl<'t, L: Iterator<Item = (usize, &'t [u8])>> Reader<'t, L> {
        fn primitive(
            &mut self,
            encoding: &mut String,
            lock_lines: &mut Vec<String>,
        ) -> Result<Facts, NotFacts> {
            const FROM: &str = "`crate::Primitive from VERSION LINE FILE`";
            let mut facts = Facts::default();
            let line = self.take(FROM)?;
            let wrong = |reader: &Self| reader.not(line, FROM);
            let (owner, fact) = line.split_once(' ').ok_or_else(|| wrong(self))?;
            let (krate, name) = owner.split_once("::").ok_or_else(|| wrong(self))?;
            if krate.is_empty() || name.is_empty() {
                return Err(wrong(self));
            }
            let from = fact.strip_prefix("from ").ok_or_else(|| wrong(self))?;
            let (version, place) = from.split_once(' ').ok_or_else(|| wrong(self))?;
            let (line_number, file) = place.split_once(' ').ok_or_else(|| wrong(self))?;
            facts.line = line_number.parse().map_err(|_| wrong(self))?;
            facts.row.name = name.to_owned();
            facts.row.crate_name = krate.to_owned();
            facts.row.crate_version = version.to_owned();
            facts.file = file.to_owned();
            self.owner = format!("{owner} ");

            self.fact("`format NUMBER ENCODING`", |fact| {
                let (version, encoding_) = fact.strip_prefix("format ")?.split_once(' ')?;
                facts.format_version = version.parse().ok()?;
                encoding_.clone_into(encoding);
                Some(())
            })?;
            self.fact("`wal` and the WAL types, as in `wal 0x80 0x81`", |fact| {
                let mut words = fact.strip_prefix("wal")?.split(' ');
                words.next().filter(|nothing| nothing.is_empty())?;
                facts.row.wal_types = words.map(byte).collect::<Option<_>>()?;
                Some(())
            })?;
            while self.next_starts("was ") {
                self.fact("`was NAME`", |fact| {
                    let name = fact.strip_prefix("was ")?;
                    facts.former_names.push(name.to_owned());
                    (!name.is_empty()).then_some(())
                })?;
            }
            lock_lines.push(self.fact("`id 0x80 scope runs` or `.. scope root`", |fact| {
                let (id, scope) = fact.strip_prefix("id ")?.split_once(' ')?;
                facts.row.type_id = byte(id)?;
                facts.row.root_only = match scope {
                    "scope root" => true,
                    "scope runs" => false,
                    _ => return None,
                };
                Some(())
            })?);
            while self.next_starts("0x") {
                lock_lines.push(self.fact("`0x80 v1 NAME (ARGUMENTS) FINGERPRINT`", |fact| {
                    facts.row.operations.push(operation(fact)?);
                    Some(())
                })?);
            }
            lock_lines.push(self.fact(
                "an operation, or `section v1 (FIELDS) FINGERPRINT`",
                |fact| {
                    let (version, rest) = fact.strip_prefix("section v")?.split_once(' ')?;
                    let (shape, fingerprint) = rest.rsplit_once(' ')?;
                    facts.row.section_version = number(version)?;
                    facts.row.section_shape =
                        shape.strip_prefix('(')?.strip_suffix(')')?.to_owned();
                    facts.section_fingerprint = hex(fingerprint)?;
                    Some(())
                },
            )?);
            Ok(facts)
        }

        /// The next line, which must be there and be text.
        fn take(&mut self, expected: &'static str) -> Result<&'t str, NotFacts> {
            let Some((index, line)) = self.lines.next() else {
                let (number, found) = (self.at + 1, "the end".to_owned());
                return Err(NotFacts { number, found, expected });
            };
            self.at = index + 1;
            std::str::from_utf8(line)
                .map_err(|_| self.not(&String::from_utf8_lossy(line), expected))
        }

        /// The next line, which must be the same primitive's; `read` takes the fact apart.
        fn fact(
            &mut self,
            expected: &'static str,
            read: impl FnOnce(&'t str) -> Option<()>,
        ) -> Result<String, NotFacts> {
            let line = self.take(expected)?;
            let fact = line.strip_prefix(&self.owner);
            fact.and_then(read).map(|()| line.to_owned()).ok_or_else(|| self.not(line, expected))
        }

        fn next_starts(&mut self, start: &str) -> bool {
            let next =
                self.lines.peek().and_then(|(_, line)| line.strip_prefix(self.owner.as_bytes()));
            next.is_some_and(|fact| fact.starts_with(start.as_bytes()))
        }

        fn not(&self, line: &str, expected: &'static str) -> NotFacts {
            let found = line.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
            NotFacts { number: self.at, found, expected }
        }
    }

    fn operation(fact: &str) -> Option<CatalogOperation> {
        let (wal_type, rest) = fact.split_once(' ')?;
        let (version, rest) = rest.strip_prefix('v')?.split_once(' ')?;
        let (name, rest) = rest.split_once(' ')?;
        let (shape, fingerprint) = rest.rsplit_once(' ')?;
        (!name.is_empty()).then_some(CatalogOperation {
            wal_type: byte(wal_type)?,
            version: number(version)?,
            name: name.to_owned(),
            fingerprint: hex(fingerprint)?,
            shape: shape.to_owned(),
        })
    }

    /// A number as it is written: without a sign or leading zeros.
    fn number<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
        text.parse().ok().filter(|number: &N| number.to_string() == text)
    }

    fn byte(text: &str) -> Option<u8> {
        let byte = u8::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
        (text == format!("{byte:#04x}")).then_some(byte)
    }

    fn hex(text: &str) -> Option<u64> {
        let number = u64::from_str_radix(text, 16).ok()?;
        (text == format!("{number:016x}")).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::PrimitiveRegistry;

    #[test]
    fn the_text_of_every_linked_primitive_says_what_its_descriptor_says() {
        let registry = PrimitiveRegistry::linked().unwrap();
        assert!(!registry.list().is_empty(), "unit tests link primitives of their own");
        // Any padding, any order.
        let mut section = vec![0; 7];
        for linked in registry.list().iter().rev() {
            section.extend(linked.facts().bytes());
            section.extend(vec![0; usize::from(linked.type_id()) % 9]);
            let program = parse(linked.facts().as_bytes()).unwrap();
            assert_eq!(program.facts, [Facts::of(linked)]);
        }
        let program = parse(&section).unwrap();
        assert_eq!(program.facts, registry.facts());
        assert!(program.encoding.starts_with("rkyv 0.8 little_endian"), "{}", program.encoding);
        let lines = registry.list().iter().map(|linked| 2 + linked.operations().len());
        assert_eq!(program.lock_lines.len(), lines.sum::<usize>(), "id, operations, section");
    }

    const TEXT: &str = "\
notes::Notes from 0.2.0 5 src/my notes.rs
notes::Notes format 0 rkyv 0.8
notes::Notes wal 0xa0 0xa1
notes::Notes was Note
notes::Notes id 0xa0 scope root
notes::Notes 0xa0 v1 set (who: str, ) 04f23e11fed13f5a
notes::Notes 0xa1 v2 by_hand  0000000000000000
notes::Notes section v3 (notes: {str: u64}, ) f11c8fa8ceed6287
";

    #[test]
    fn a_name_that_another_primitive_once_had_is_taken() {
        let other = |text: &str| {
            let text = text.replace("0xa", "0xb").replace("::Notes", "::Other");
            parse(text.as_bytes()).unwrap().facts.remove(0)
        };
        let notes = parse(TEXT.as_bytes()).unwrap().facts.remove(0);
        let unrelated = other(&TEXT.replace("was Note", "was Nothing"));
        assert_eq!(check(&[notes.clone(), unrelated]), Ok(()));
        for taken in [
            // Both were called `Note`; one is called so now.
            other(TEXT),
            other(&TEXT.replace("was Note", "was Nothing").replace("::Notes", "::Note")),
            other(&TEXT.replace("was Note", "was Notes")),
        ] {
            let refused = check(&[notes.clone(), taken]).unwrap_err();
            assert!(matches!(refused, RegistryError::NameTwice { .. }), "{refused}");
        }
    }

    #[test]
    fn every_word_arrives_in_its_place() {
        let program = parse(TEXT.as_bytes()).unwrap();
        let [notes] = &program.facts[..] else { panic!("one primitive") };
        assert_eq!(notes.to_string(), "Notes (src/my notes.rs:5)");
        assert_eq!((&*notes.row.crate_name, &*notes.row.crate_version), ("notes", "0.2.0"));
        assert_eq!(notes.row.wal_types, [0xa0, 0xa1]);
        assert_eq!(notes.former_names, ["Note"]);
        assert!(notes.is_named("Note") && notes.is_named("Notes") && !notes.is_named("No"));
        assert!(notes.row.root_only);
        let operations: Vec<_> = notes
            .row
            .operations
            .iter()
            .map(|operation| (operation.wal_type, operation.version, &*operation.shape))
            .collect();
        assert_eq!(operations, [(0xa0, 1, "(who: str, )"), (0xa1, 2, "")]);
        assert_eq!(
            (notes.row.section_version, &*notes.row.section_shape),
            (3, "notes: {str: u64}, ")
        );
        assert_eq!(notes.section_fingerprint, 0xf11c_8fa8_ceed_6287);
        assert_eq!(program.encoding, "rkyv 0.8");
        assert_eq!(parse(b"\0\0").unwrap(), Program::default());
    }

    #[test]
    fn a_line_that_is_none_is_named_with_what_was_expected() {
        let said = |from: &str, to: &str| {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from} is there");
            parse(text.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(
            said("wal 0xa0", "wal 0xa00"),
            "line 3 of the registry is `notes::Notes wal 0xa00 0xa1`, expected `wal` and the WAL \
             types, as in `wal 0x80 0x81`"
        );
        assert_eq!(
            said("notes::Notes section v3 (notes: {str: u64}, ) f11c8fa8ceed6287\n", ""),
            "line 8 of the registry is `the end`, expected an operation, or `section v1 (FIELDS) \
             FINGERPRINT`"
        );
        for (from, to, line) in [
            ("::Notes from", ":Notes from", 1),
            ("0.2.0 5", "0.2.0 five", 1),
            ("format 0", "format x", 2),
            ("wal 0xa0 0xa1", "wal 0xA0", 3),
            ("wal 0xa0 0xa1", "wal ", 3),
            ("notes::Notes was", "other::Notes was", 4),
            ("scope root", "scope tree", 5),
            ("id 0xa0", "id a0", 5),
            ("v1 set", "v01 set", 6),
            ("v1 set", "v+1 set", 6),
            ("v1 set", "v256 set", 6),
            ("04f23e11fed13f5a", "4f23e11fed13f5a", 6),
            ("section v3", "sections v3", 8),
            ("f11c8fa8ceed6287", "f11c8fa8ceed628g", 8),
            ("(notes", "notes", 8),
        ] {
            let said = said(from, to);
            assert!(said.starts_with(&format!("line {line} ")), "{from}: {said}");
        }
    }

    #[test]
    fn no_text_makes_reading_panic() {
        let bytes = TEXT.as_bytes();
        for len in 0..bytes.len() {
            let _ = parse(&bytes[..len]);
        }
        for at in 0..bytes.len() {
            for byte in [0, b'\n', b' ', b'x', 0xff] {
                let mut bad = bytes.to_vec();
                bad[at] = byte;
                if let Err(error) = parse(&bad) {
                    assert!(!error.to_string().contains(char::is_control), "{error}");
                }
            }
        }
    }
}
