//! Reading of foreign formats: a JSON value with the place where it stands, so that whatever is wrong
//! is said of that place.
//!
//! Invariants:
//!
//! 1. Nothing is lost silently. A member that the format does not have is named in
//!    [`Import::unknown`]; a member that it has and that cannot be read is an error.
//! 2. A member that is `null` is one that is absent, as in the JSON of protocol buffers. Of members
//!    with the same name the last one counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

use super::any::ANY_VALUE_DEPTH_MAX;
use super::span::{Batch, Origin, Span};

pub(super) type Result<T, E = TraceFormatError> = std::result::Result<T, E>;

/// What was read from another tool's text: record each of the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The spans, by what they are of.
    pub batches: Vec<Batch>,
    /// The members that the format does not have, such as those of a newer version, and that were
    /// left out: `resourceSpans[0].resource.entityRefs`.
    pub unknown: Vec<String>,
}

/// Why text is no traces in the format that it was read as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceFormatError {
    /// The text is not one JSON value, or one that is nested more than 127 deep.
    #[error("line {line}, column {column}: {found}")]
    Json {
        /// From 1.
        line: usize,
        /// In bytes, from 1; 0 before the line's first byte.
        column: usize,
        /// What is wrong there.
        found: Box<str>,
    },
    /// Something is not what the format has there.
    #[error("{place}: is {found}, expected {expected}")]
    Unexpected {
        /// Where: `resourceSpans[0].scopeSpans[1].spans[3].kind`, or `the text`.
        place: Box<str>,
        /// What stands there, the beginning of it.
        found: Box<str>,
        /// What could.
        expected: Box<str>,
    },
    /// A JSON value, and not one of traces: logs, metrics, another format.
    #[error("the text: has {found}, expected {expected}")]
    NotTraces {
        /// The members, as far as there are any.
        found: Box<str>,
        /// What traces in this format have.
        expected: &'static str,
    },
}

impl Import {
    /// How many spans there are in all batches.
    #[must_use]
    pub fn span_count(&self) -> usize {
        self.batches.iter().map(|batch| batch.spans.len()).sum()
    }
}

/// Reads `text` with `read`, which gets the whole of it.
pub(super) fn import(
    text: &str,
    read: impl FnOnce(&Found<'_>) -> Result<Vec<Batch>>,
) -> Result<Import> {
    let value: Value = serde_json::from_str(text).map_err(|error| TraceFormatError::Json {
        line: error.line(),
        column: error.column(),
        found: without_place(&error.to_string()).into(),
    })?;
    let unknown = RefCell::default();
    let batches = read(&Found { value: &value, place: Place::Top, unknown: &unknown })?;
    Ok(Import { batches, unknown: unknown.into_inner() })
}

/// Spans by what they are of, in the order in which they came.
pub(super) fn batches(spans: Vec<(Origin, Span)>) -> Vec<Batch> {
    let mut numbers: BTreeMap<Origin, usize> = BTreeMap::new();
    let mut batches: Vec<Batch> = Vec::new();
    for (origin, span) in spans {
        match numbers.get(&origin).and_then(|number| batches.get_mut(*number)) {
            Some(batch) => batch.spans.push(span),
            None => {
                numbers.insert(origin.clone(), batches.len());
                batches.push(Batch { origin, spans: vec![span] });
            }
        }
    }
    batches
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Member(&'a Place<'a>, &'a str),
    Element(&'a Place<'a>, usize),
}

/// A value, and where it was found.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) value: &'a Value,
    place: Place<'a>,
    unknown: &'a RefCell<Vec<String>>,
}

/// The members of an object, of which some have been asked for.
pub(super) struct Members<'a> {
    members: &'a Map<String, Value>,
    object: Found<'a>,
    asked: Vec<&'static str>,
}

impl Found<'_> {
    pub(super) fn wrong<T>(&self, expected: &str) -> Result<T> {
        // A `Value` has no end of digits or letters; an error needs the beginning.
        let mut found: String = match self.value {
            Value::Array(elements) => format!("an array of {}", elements.len()),
            Value::Object(members) => format!("an object of {}", members.len()),
            other => other.to_string(),
        };
        if let Some((end, _)) = found.char_indices().nth(60) {
            found.truncate(end);
            found.push('…');
        }
        let place = self.place.to_string().into();
        Err(TraceFormatError::Unexpected { place, found: found.into(), expected: expected.into() })
    }

    /// Reads an object. Members that `read` does not ask for are unknown ones.
    pub(super) fn object<T>(&self, read: impl FnOnce(&mut Members<'_>) -> Result<T>) -> Result<T> {
        let Value::Object(members) = self.value else { return self.wrong("an object") };
        let mut members = Members { members, object: *self, asked: Vec::new() };
        let result = read(&mut members)?;
        for (name, value) in members.members {
            if !members.asked.contains(&name.as_str()) && !value.is_null() {
                let place = Place::Member(&self.place, name);
                self.unknown.borrow_mut().push(place.to_string());
            }
        }
        Ok(result)
    }

    /// Whether it is an object that has the member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some_and(|value| !value.is_null())
    }

    /// The error of a text that holds something else.
    pub(super) fn not_traces<T>(&self, expected: &'static str) -> Result<T> {
        let found = match self.value {
            Value::Object(members) if members.is_empty() => "no members".to_owned(),
            Value::Object(members) => {
                let names: Vec<&str> = members.keys().map(String::as_str).take(5).collect();
                names.join(", ")
            }
            _ => "no object".to_owned(),
        };
        Err(TraceFormatError::NotTraces { found: found.into(), expected })
    }

    pub(super) fn list<T>(&self, mut read: impl FnMut(&Found<'_>) -> Result<T>) -> Result<Vec<T>> {
        let Value::Array(elements) = self.value else { return self.wrong("an array") };
        let element = |(index, value)| {
            read(&Found { value, place: Place::Element(&self.place, index), unknown: self.unknown })
        };
        elements.iter().enumerate().map(element).collect()
    }

    /// Whether it is an array.
    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// An object whose members have names that are data, in the order of the names.
    pub(super) fn map<T>(
        &self,
        mut read: impl FnMut(&Found<'_>) -> Result<T>,
    ) -> Result<Vec<(String, T)>> {
        let Value::Object(members) = self.value else { return self.wrong("an object") };
        let sorted: BTreeMap<&String, &Value> = members.iter().collect();
        let member = |(name, value): (&String, &Value)| {
            let place = Place::Member(&self.place, name);
            Ok((name.clone(), read(&Found { value, place, unknown: self.unknown })?))
        };
        sorted.into_iter().map(member).collect()
    }

    pub(super) fn str(&self) -> Result<&str> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => self.wrong("text"),
        }
    }

    /// How deep lists may be nested in a list that may be nested so deep.
    pub(super) fn deeper(&self, depth: usize) -> Result<usize> {
        let expected = || format!("lists nested at most {ANY_VALUE_DEPTH_MAX} deep");
        depth.checked_sub(1).map_or_else(|| self.wrong(&expected()), Ok)
    }
}

impl Members<'_> {
    /// The member, if it is there.
    pub(super) fn maybe<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Found<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.asked.push(name);
        let Some(value) = self.members.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let place = Place::Member(&self.object.place, name);
        read(&Found { value, place, unknown: self.object.unknown }).map(Some)
    }

    /// The member, or what its type has for nothing.
    pub(super) fn or_default<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Found<'_>) -> Result<T>,
    ) -> Result<T> {
        self.maybe(name, read).map(Option::unwrap_or_default)
    }

    /// The member, which must be there.
    pub(super) fn needed<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Found<'_>) -> Result<T>,
    ) -> Result<T> {
        let object = self.object;
        let absent = || {
            let place = Place::Member(&object.place, name);
            let (value, unknown) = (&Value::Null, object.unknown);
            Found { value, place, unknown }.wrong("it to be there")
        };
        self.maybe(name, read)?.map_or_else(absent, Ok)
    }

    /// The elements of the member, which is an array.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        read: impl FnMut(&Found<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.or_default(name, |found| found.list(read))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => f.write_str("the text"),
            Place::Member(Place::Top, name) => f.write_str(name),
            Place::Member(above, name) => write!(f, "{above}.{name}"),
            Place::Element(Place::Top, index) => write!(f, "[{index}]"),
            Place::Element(above, index) => {
                above.fmt(f)?;
                f.write_char('[')?;
                index.fmt(f)?;
                f.write_char(']')
            }
        }
    }
}

/// What `serde_json` says without the place, which stands apart.
fn without_place(said: &str) -> &str {
    said.rfind(" at line ").and_then(|end| said.get(..end)).unwrap_or(said)
}
