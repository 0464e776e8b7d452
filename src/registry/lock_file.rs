//! `freehold.lock` as a file: read, added to, written.
//!
//! - A line is `crate::Primitive key content`. Lines are only ever added; one that stands there with
//!   other content is a contradiction, and the file wins. What is no line at all is kept.
//! - Lines of one primitive stand together, in the order of their keys, so that a change of the file
//!   reads as one. Remarks come first.
//! - What the lines mean is known where they are made: `primitive/lock/` and the conformance kit.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The file's name, beside `Cargo.toml`.
pub(crate) const LOCK_FILE: &str = "freehold.lock";

const HEAD: &str = "\
# What this package's primitives write, so that it stays readable for ever. Check it in.
# `freehold lock --update` adds to it; nothing is ever taken away. A line that no longer fits the
# code is a compile error that says what to do.
";

/// A lock file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockFile {
    format: Option<String>,
    locked: bool,
    /// Ordered.
    lines: Vec<Line>,
    /// Remarks that somebody wrote into it.
    remarks: Vec<String>,
    /// What is no line of a lock, such as the marks of a merge.
    unreadable: Vec<String>,
}

/// A line about a primitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// `counters::Counters`.
    owner: String,
    /// Where it stands among the lines of its owner.
    rank: u8,
    /// `0x80 v1`.
    key: String,
    /// What stands behind the key.
    content: String,
}

/// What a lock file says and what should be added to it contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("freehold.lock has `{owner} {key} {stands}`, and now it is `{new}`")]
pub(crate) struct Contradiction {
    pub(crate) owner: String,
    pub(crate) key: String,
    pub(crate) stands: String,
    pub(crate) new: String,
}

impl Line {
    fn read(line: &str) -> Option<Line> {
        let (owner, fact) = line.split_once(' ')?;
        if !owner.contains("::") {
            return None;
        }
        // How many words of the fact are its key.
        let (rank, words) = match fact.split(' ').next()? {
            "id" => (0, 1),
            "section" => (2, 2),
            "golden" => (3, 6),
            "retired" => (4, usize::MAX),
            first if first.starts_with("0x") => (1, 2),
            _ => return None,
        };
        let end =
            fact.match_indices(' ').nth(words.saturating_sub(1)).map_or(fact.len(), |(at, _)| at);
        let (key, content) = fact.split_at_checked(end)?;
        Some(Line {
            owner: owner.to_owned(),
            rank,
            key: key.to_owned(),
            content: content.trim_start().to_owned(),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.content.is_empty() { "" } else { " " };
        write!(f, "{} {}{space}{}", self.owner, self.key, self.content)
    }
}

impl LockFile {
    /// Reads what a file holds. A line that is none is kept apart.
    pub(crate) fn parse(text: &str) -> LockFile {
        let mut file = LockFile::default();
        for line in text.lines().map(str::trim_end) {
            if let Some(format) = line.strip_prefix("format ") {
                file.format = Some(format.to_owned());
            } else if line == "locked" {
                file.locked = true;
            } else if let Some(line) = Line::read(line) {
                file.lines.push(line);
            } else if line.starts_with('#') {
                if !HEAD.lines().any(|of_head| of_head == line) {
                    file.remarks.push(line.to_owned());
                }
            } else if !line.is_empty() {
                file.unreadable.push(line.to_owned());
            }
        }
        file.lines.sort();
        file
    }

    /// Reads the file in `directory`; `None` if there is none.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<LockFile>> {
        #[expect(clippy::disallowed_methods, reason = "a source file, no database")]
        match std::fs::read_to_string(directory.join(LOCK_FILE)) {
            Ok(text) => Ok(Some(LockFile::parse(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the file in `directory`, lets `change` add to it, and writes it if that is needed.
    pub(crate) fn update<T>(
        directory: &Path,
        change: impl FnOnce(&mut LockFile) -> T,
    ) -> io::Result<T> {
        // Tests of one program run at the same time.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let before = LockFile::read(directory)?;
        let mut file = before.clone().unwrap_or_default();
        let value = change(&mut file);
        if before.as_ref() != Some(&file) {
            #[expect(clippy::disallowed_methods, reason = "a source file, no database")]
            std::fs::write(directory.join(LOCK_FILE), file.to_text())?;
        }
        Ok(value)
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from(HEAD);
        text.push('\n');
        for remark in &self.remarks {
            let _ = writeln!(text, "{remark}");
        }
        if let Some(format) = &self.format {
            let _ = writeln!(text, "format {format}");
        }
        if self.locked {
            text.push_str("locked\n");
        }
        let mut owner = "";
        for line in &self.lines {
            if line.owner != owner {
                text.push('\n');
                owner = &line.owner;
            }
            let _ = writeln!(text, "{line}");
        }
        if !self.unreadable.is_empty() {
            text.push('\n');
        }
        for line in &self.unreadable {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Whether nothing may be missing.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Adds `line`; says whether it was missing.
    ///
    /// # Errors
    ///
    /// Its key stands there with other content.
    pub(crate) fn add(&mut self, line: &str) -> Result<bool, Contradiction> {
        let Some(line) = Line::read(line) else { return Ok(false) };
        let same_key = |other: &&Line| (&other.owner, &other.key) == (&line.owner, &line.key);
        match self.lines.iter().find(same_key) {
            Some(stands) if stands.content == line.content => Ok(false),
            Some(stands) => Err(Contradiction {
                owner: line.owner,
                key: line.key,
                stands: stands.content.clone(),
                new: line.content,
            }),
            None => {
                let at = self.lines.partition_point(|other| *other < line);
                self.lines.insert(at, line);
                Ok(true)
            }
        }
    }

    /// Key and content of every line of `owner` whose key begins with `start`.
    pub(crate) fn of<'f>(
        &'f self,
        owner: &'f str,
        start: &'f str,
    ) -> impl Iterator<Item = (&'f str, &'f str)> {
        self.lines
            .iter()
            .filter(move |line| line.owner == owner && line.key.starts_with(start))
            .map(|line| (&*line.key, &*line.content))
    }
}

/// What the tool looks at and sets.
#[cfg(any(test, feature = "cli"))]
impl LockFile {
    /// How rkyv lays bytes out, if the file says it.
    #[cfg(feature = "cli")]
    pub(crate) fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }

    /// What is no line of a lock.
    pub(crate) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Every line, as it stands in the file.
    pub(crate) fn all_lines(&self) -> Vec<String> {
        let format = self.format.iter().map(|format| format!("format {format}"));
        let locked = self.locked.then(|| "locked".to_owned());
        format.chain(locked).chain(self.lines.iter().map(Line::to_string)).collect()
    }

    /// How rkyv lays bytes out.
    pub(crate) fn set_format(&mut self, format: &str) {
        self.format.get_or_insert_with(|| format.to_owned());
    }

    /// From now on nothing may be missing.
    #[cfg(feature = "cli")]
    pub(crate) fn set_locked(&mut self) {
        self.locked = true;
    }

    /// Every owner, once.
    pub(crate) fn owners(&self) -> Vec<&str> {
        let mut owners: Vec<&str> = self.lines.iter().map(|line| &*line.owner).collect();
        owners.dedup();
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 6] = [
        "a::B id 0x80 scope runs",
        "a::B 0x80 v1 add (name: str, by: i64, ) 0123456789abcdef",
        "a::B section v1 (counts: {str: i64}, ) 0123456789abcdef",
        "a::B golden 0x80 v1 section v1 0:1=2 history 0x80.1:00",
        "a::B retired 0x81 v2",
        "a::C id 0x90 scope root",
    ];

    #[test]
    fn what_was_added_in_any_order_is_written_in_one_order_and_read_back() {
        let mut one = LockFile::default();
        let mut other = LockFile::default();
        for line in LINES {
            assert_eq!(one.add(line), Ok(true));
        }
        for line in LINES.iter().rev() {
            assert_eq!(other.add(line), Ok(true));
            assert_eq!(other.add(line), Ok(false), "it stands there");
        }
        one.set_format("rkyv");
        other.set_format("rkyv");
        assert_eq!(one.to_text(), other.to_text());
        let lines: Vec<&str> = LINES.to_vec();
        let text = one.to_text();
        let written: Vec<&str> = text.lines().filter(|line| line.contains("::")).collect();
        assert_eq!(written, lines);
        assert_eq!(LockFile::parse(&text), one);
        assert_eq!(one.owners(), ["a::B", "a::C"]);
        assert_eq!(one.of("a::B", "golden").count(), 1);
        let all = one.all_lines();
        assert_eq!(all, [&["format rkyv"], &LINES[..]].concat());
    }

    #[test]
    fn what_is_no_line_is_kept_and_told() {
        let text = format!("{}\n<<<<<<< ours\n# a remark\nlocked\n", LINES[0]);
        let file = LockFile::parse(&text);
        assert_eq!(file.unreadable(), ["<<<<<<< ours"]);
        assert_eq!(file.remarks, ["# a remark"]);
        assert_eq!(LockFile::parse(&file.to_text()), file);
    }

    #[test]
    fn a_line_that_stands_there_is_never_changed() {
        let mut file = LockFile::default();
        file.add(LINES[1]).unwrap();
        let refused = file.add("a::B 0x80 v1 add (name: str, ) 1123456789abcdef").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "freehold.lock has `a::B 0x80 v1 add (name: str, by: i64, ) 0123456789abcdef`, and now \
             it is `add (name: str, ) 1123456789abcdef`"
        );
        assert_eq!(file.add("a::B from 1.2.3 7 src/lib.rs"), Ok(false), "no line of a lock");
    }
}
