//! Why an operation on a [`JsonStore`](super::JsonStore) was rejected, and where.

use std::fmt;

use super::value::{Json, JsonError};

/// Why an operation on a [`JsonStore`](super::JsonStore) was rejected, or a read has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonStoreError {
    /// `create` found the document there already.
    #[error("document {name}: exists, expected none")]
    Exists {
        /// The document.
        name: Box<str>,
    },
    /// There is no such document.
    #[error("document {name}: does not exist")]
    Absent {
        /// The document.
        name: Box<str>,
    },
    /// A place inside a document is not as the operation needs it.
    #[error("document {name} at {pointer:?}: {problem}")]
    Place {
        /// The document.
        name: Box<str>,
        /// The place, as it was given.
        pointer: Box<str>,
        /// What is wrong there.
        problem: JsonProblem,
    },
    /// An operation of a patch cannot be done, so none of the patch was.
    #[error("document {name}, operation {operation} of the patch, at {pointer:?}: {problem}")]
    Patch {
        /// The document.
        name: Box<str>,
        /// Which operation of the patch, from 0.
        operation: usize,
        /// The place, as it was given: where the operation works, or takes from.
        pointer: Box<str>,
        /// What is wrong there.
        problem: JsonProblem,
    },
    /// What was given as a patch is none (RFC 6902 §3 and §4).
    #[error("patch, operation {operation}: {found}")]
    NoPatch {
        /// Which of its operations, from 0; 0 also if it is no array at all.
        operation: usize,
        /// What is wrong with it.
        found: Box<str>,
    },
    /// What was given as a query is none (RFC 9535 §2).
    #[error("query {query:?}: {found}")]
    NoQuery {
        /// The query, as it was given.
        query: Box<str>,
        /// What is wrong with it.
        found: Box<str>,
    },
}

/// What is wrong with a place inside a document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text is no JSON Pointer.
    #[error("no JSON Pointer (RFC 6901): {found}")]
    NoPointer {
        /// What is wrong with it.
        found: Box<str>,
    },
    /// There is no member of this name.
    #[error("no member {member:?}")]
    NoMember {
        /// The name.
        member: Box<str>,
    },
    /// The pointer goes on where the value is neither an array nor an object.
    #[error("nothing is below {found}, expected an array or an object")]
    NoContainer {
        /// The kind of value found.
        found: &'static str,
    },
    /// What stands for an element of an array is no index (RFC 6901 §4).
    #[error("{found:?} is no index of an array")]
    NoIndex {
        /// What stands there.
        found: Box<str>,
    },
    /// There is no element with this index.
    #[error("index is {index}, expected less than {below}")]
    NoElement {
        /// The index; for `-`, that of the element after the last one.
        index: usize,
        /// The first index that cannot be used.
        below: usize,
    },
    /// A patch would leave nothing of the document, or its name in it is asked for, which it has not.
    #[error("that is the whole document, expected a place inside it")]
    Whole,
    /// A relative pointer leads out of the document.
    #[error("nothing is {levels} levels above")]
    Above {
        /// How far up it goes.
        levels: u64,
    },
    /// A value would be moved into itself.
    #[error("a value cannot be moved into itself")]
    IntoItself,
    /// `test` found another value.
    #[error("value is {}, expected {}", Short(found), Short(expected))]
    Unequal {
        /// What is there.
        found: Box<Json>,
        /// What the patch expects.
        expected: Box<Json>,
    },
    /// The value cannot be part of a document there.
    #[error(transparent)]
    Value(#[from] JsonError),
    /// What the patch copies and moves is too much for one entry of the log.
    #[error("values copied and moved take more than {most} bytes")]
    Large {
        /// The most.
        most: usize,
    },
}

impl JsonProblem {
    /// A value that would stand below too many arrays and objects.
    pub(super) const DEPTH: JsonProblem = JsonProblem::Value(JsonError::Depth);
}

/// A value's text, cut where it gets long.
struct Short<'a>(&'a Json);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS_MAX: usize = 60;
        let text = self.0.to_string();
        match text.char_indices().nth(LETTERS_MAX).and_then(|(end, _)| text.get(..end)) {
            Some(start) => write!(f, "{start}…"),
            None => f.write_str(&text),
        }
    }
}
