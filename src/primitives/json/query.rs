//! JSONPath (RFC 9535): which values of a document a query gives, and where they are.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json_path::{JsonPath, PathElement};

use super::JsonStoreError;
use super::edit::Step;
use super::value::Json;

/// How deep the brackets of a query are nested at most, and how deep its parentheses.
const BRACKETS_MAX: usize = 8;
const PARENTHESES_MAX: usize = 32;

/// A value that a query gave: [`JsonStore::query`](super::JsonStore::query).
#[derive(Clone, Debug, PartialEq)]
pub struct JsonMatch {
    document: Arc<str>,
    path: Vec<Step>,
    value: Json,
}

impl JsonMatch {
    /// The name of the document that the value is in.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// Where in the document it is, as a JSON Pointer (RFC 6901): what
    /// [`JsonStore::set`](super::JsonStore::set) takes.
    #[must_use]
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Member(name) => pointer += &name.replace('~', "~0").replace('/', "~1"),
                Step::Element(index) => pointer += &index.to_string(),
            }
        }
        pointer
    }

    /// Where in the document it is, as a normalized path (RFC 9535 §2.7).
    #[must_use]
    pub fn normalized_path(&self) -> String {
        let mut path = String::from("$");
        for step in &self.path {
            match step {
                Step::Member(name) => {
                    path += "['";
                    name.chars().for_each(|letter| push_letter(&mut path, letter));
                    path += "']";
                }
                Step::Element(index) => path += &format!("[{index}]"),
            }
        }
        path
    }
}

fn push_letter(path: &mut String, letter: char) {
    match letter {
        '\u{8}' => path.push_str("\\b"),
        '\t' => path.push_str("\\t"),
        '\n' => path.push_str("\\n"),
        '\u{c}' => path.push_str("\\f"),
        '\r' => path.push_str("\\r"),
        '\'' => path.push_str("\\'"),
        '\\' => path.push_str("\\\\"),
        control if u32::from(control) < 0x20 => {
            let _ = write!(path, "\\u{:04x}", u32::from(control));
        }
        letter => path.push(letter),
    }
}

/// Reads a query.
pub(super) fn parsed(query: &str) -> Result<JsonPath, JsonStoreError> {
    let refused =
        |found: String| JsonStoreError::NoQuery { query: query.into(), found: found.into() };
    bounded(query).map_err(|found| refused(found.to_owned()))?;
    JsonPath::parse(query).map_err(|error| refused(error.to_string()))
}

/// Refuses what the library cannot be given: its time doubles with each filter inside a filter, its
/// stack grows with each parenthesis, and it panics where a query ends inside an escape of a text.
fn bounded(query: &str) -> Result<(), &'static str> {
    let (mut brackets, mut parentheses) = (0_usize, 0_usize);
    let mut letters = query.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            '(' => parentheses += 1,
            ')' => parentheses = parentheses.saturating_sub(1),
            '\'' | '"' => loop {
                match letters.next() {
                    None => return Err("a text has no end"),
                    Some('\\') => drop(letters.next()),
                    Some(inside) if inside == letter => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
        if brackets > BRACKETS_MAX {
            return Err("brackets are nested more than 8 deep");
        }
        if parentheses > PARENTHESES_MAX {
            return Err("parentheses are nested more than 32 deep");
        }
    }
    Ok(())
}

/// The values of `document` that `query` gives.
pub(super) fn matches(document: &Arc<str>, value: &Json, query: &JsonPath) -> Vec<JsonMatch> {
    let whole = value.to_value();
    let found = query.query_located(&whole);
    let found = found.iter().filter_map(|node| {
        let path: Vec<Step> = node.location().iter().map(step).collect();
        // The value is shared with the document, not copied out of it.
        let value = value.follow(&path)?.clone();
        Some(JsonMatch { document: document.clone(), path, value })
    });
    found.collect()
}

fn step(element: &PathElement<'_>) -> Step {
    match element {
        PathElement::Name(name) => Step::Member((*name).into()),
        PathElement::Index(index) => Step::Element(*index as u64),
    }
}
