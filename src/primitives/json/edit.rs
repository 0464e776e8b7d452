//! Edits of a tree: what every change of a document comes to, and what the log holds.
//!
//! Invariants:
//!
//! 1. An edit names members and indexes as they were found. Nothing that a library may one day read
//!    in another way is in it: no pointer, no patch.
//! 2. An edit costs what its path costs, whatever the size of the document.
//! 3. A [`Draft`] makes each edit on a copy as it finds it, with the same [`Json::edit`] that replay
//!    makes it with. So an edit that is logged fits.
//! 4. No edit nests arrays and objects more than [`JSON_DEPTH_MAX`] deep.

use std::sync::Arc;

use freehold::{ENTRY_BYTES_MAX, Lsn, Stored, Timestamp};
use json_patch::jsonptr::{Pointer, Token, index::Index};

use super::JsonProblem;
use super::value::{JSON_DEPTH_MAX, Json, Node};

/// The effect of an operation on a document.
#[derive(Clone, Debug, PartialEq, Stored)]
pub struct Edited {
    pub(super) name: Arc<str>,
    pub(super) timestamp: Timestamp,
    pub(super) lsn: Lsn,
    /// In the order in which they are made. One `Remove` without a path removes the document.
    pub(super) edits: Vec<Edit>,
}

/// One change of a tree.
#[derive(Clone, Debug, PartialEq, Stored)]
pub struct Edit {
    pub(super) path: Vec<Step>,
    pub(super) change: Change,
}

/// One step of a path from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub enum Step {
    /// To a member of an object.
    Member(Arc<str>),
    /// To an element of an array, by its index.
    Element(u64),
}

/// What happens at the end of a path.
#[derive(Clone, Debug, PartialEq, Stored)]
pub enum Change {
    /// The value, the member or the element is this from now on; a member may be new.
    Put(Json),
    /// This becomes an element of the array, before what stood there.
    Insert(Json),
    /// The member or the element goes.
    Remove,
}

impl Json {
    /// The value at a place (RFC 6901); `""` is this value itself.
    ///
    /// # Errors
    ///
    /// The [`JsonProblem`] says why there is none, or why `pointer` is no pointer.
    ///
    /// ```
    /// use freehold::primitives::Json;
    ///
    /// let order = Json::parse(r#"{"items": [{"sku": "a/b"}]}"#).unwrap();
    /// assert_eq!(order.at("/items/0/sku").unwrap().as_str(), Some("a/b"));
    /// assert!(order.at("/items/1").is_err());
    /// ```
    pub fn at(&self, pointer: &str) -> Result<&Json, JsonProblem> {
        self.walk(parsed(pointer)?, |_| {})
    }

    /// The value at the end of `pointer`; each step on the way goes to `seen`.
    fn walk(&self, pointer: &Pointer, mut seen: impl FnMut(Step)) -> Result<&Json, JsonProblem> {
        let mut here = self;
        for token in pointer.tokens() {
            let (step, below) = here.step(&token)?;
            seen(step);
            here = below;
        }
        Ok(here)
    }

    /// The value at the end of `pointer`, and the steps to it.
    pub(super) fn found(&self, pointer: &Pointer) -> Result<(Vec<Step>, &Json), JsonProblem> {
        let mut path = Vec::new();
        let value = self.walk(pointer, |step| path.push(step))?;
        Ok((path, value))
    }

    /// One step down.
    fn step(&self, token: &Token<'_>) -> Result<(Step, &Json), JsonProblem> {
        match &self.0 {
            Node::Object(members) => {
                let (name, member) = members
                    .get_key_value(&*token.decoded())
                    .ok_or_else(|| JsonProblem::NoMember { member: token.decoded().into() })?;
                Ok((Step::Member(name.clone()), member))
            }
            Node::Array(elements) => {
                let index = match index(token)? {
                    Index::Num(index) => index,
                    Index::Next => elements.len(),
                };
                let element = elements
                    .get(index)
                    .ok_or(JsonProblem::NoElement { index, below: elements.len() })?;
                Ok((Step::Element(index as u64), element))
            }
            _ => Err(JsonProblem::NoContainer { found: self.kind() }),
        }
    }

    /// The value that steps which were taken before lead to.
    pub(super) fn follow(&self, path: &[Step]) -> Option<&Json> {
        path.iter().try_fold(self, |here, step| match (&here.0, step) {
            (Node::Object(members), Step::Member(name)) => members.get(name),
            (Node::Array(elements), Step::Element(index)) => {
                elements.get(usize::try_from(*index).ok()?)
            }
            _ => None,
        })
    }

    /// Makes a change that fits: see the invariants.
    pub(super) fn edit(&mut self, edit: &Edit) {
        let Some((last, parents)) = edit.path.split_last() else {
            if let Change::Put(value) = &edit.change {
                *self = value.clone();
            }
            return;
        };
        let parent = parents.iter().try_fold(self, |here, step| match (&mut here.0, step) {
            (Node::Object(members), Step::Member(name)) => members.get_mut(name),
            (Node::Array(elements), Step::Element(index)) => {
                elements.get_mut(usize::try_from(*index).ok()?)
            }
            _ => None,
        });
        match (parent.map(|parent| &mut parent.0), last, &edit.change) {
            (Some(Node::Object(members)), Step::Member(name), Change::Put(value)) => {
                members.insert(name.clone(), value.clone());
            }
            (Some(Node::Object(members)), Step::Member(name), Change::Remove) => {
                members.remove(name);
            }
            (Some(Node::Array(elements)), Step::Element(index), change) => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                match change {
                    Change::Put(value) => drop(elements.set(index, value.clone())),
                    Change::Insert(value) => drop(elements.insert(index, value.clone())),
                    Change::Remove => drop(elements.remove(index)),
                }
            }
            _ => {}
        }
    }

    /// How deep arrays and objects are nested in this; none if there are more than `bytes_left`
    /// bytes in it, which are counted down.
    fn depth(&self, bytes_left: &mut usize) -> Option<usize> {
        let own = match &self.0 {
            Node::Text(text) => text.len(),
            _ => 0,
        };
        *bytes_left = bytes_left.checked_sub(own + 1)?;
        let mut below = 0;
        match &self.0 {
            Node::Array(elements) => {
                for element in elements.iter() {
                    below = below.max(element.depth(bytes_left)?);
                }
            }
            Node::Object(members) => {
                for (name, member) in members.iter() {
                    *bytes_left = bytes_left.checked_sub(name.len())?;
                    below = below.max(member.depth(bytes_left)?);
                }
            }
            _ => return Some(0),
        }
        Some(below + 1)
    }

    /// The kind of value, in words.
    fn kind(&self) -> &'static str {
        match self.0 {
            Node::Null => "null",
            Node::Bool(_) => "a truth value",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::Array(_) => "an array",
            Node::Object(_) => "an object",
        }
    }
}

/// A document that is being edited, and what was edited so far.
pub(super) struct Draft {
    pub(super) value: Json,
    pub(super) edits: Vec<Edit>,
    /// What the log's entry can still hold. Values share what they have in common, and the log
    /// does not: a patch of a few copies could come to more than there is memory.
    bytes_left: usize,
}

impl Draft {
    pub(super) fn new(value: &Json) -> Draft {
        Draft { value: value.clone(), edits: Vec::new(), bytes_left: ENTRY_BYTES_MAX }
    }

    /// As `add` of RFC 6902 §4.1: an element is inserted, a member may be replaced.
    pub(super) fn add(&mut self, pointer: &Pointer, value: Json) -> Result<(), JsonProblem> {
        let Some((parent, last)) = pointer.split_back() else {
            return self.change(Vec::new(), Change::Put(value));
        };
        let (mut path, parent) = self.value.found(parent)?;
        match &parent.0 {
            Node::Array(elements) => {
                let index = index(&last)?.for_len_incl(elements.len()).map_err(|error| {
                    let below = elements.len().saturating_add(1);
                    JsonProblem::NoElement { index: error.index, below }
                })?;
                path.push(Step::Element(index as u64));
                self.change(path, Change::Insert(value))
            }
            Node::Object(_) => {
                path.push(Step::Member(last.decoded().into()));
                self.change(path, Change::Put(value))
            }
            _ => Err(JsonProblem::NoContainer { found: parent.kind() }),
        }
    }

    /// Puts `value` where something is.
    pub(super) fn replace(&mut self, pointer: &Pointer, value: Json) -> Result<(), JsonProblem> {
        let (path, _) = self.value.found(pointer)?;
        self.change(path, Change::Put(value))
    }

    /// Puts `value` where something is, or where a member or the array's next element can be.
    /// Returns what was there.
    pub(super) fn set(
        &mut self,
        pointer: &Pointer,
        value: Json,
    ) -> Result<Option<Json>, JsonProblem> {
        let problem = match self.at(pointer) {
            Ok(old) => {
                let old = old.clone();
                return self.replace(pointer, value).map(|()| Some(old));
            }
            Err(problem) => problem,
        };
        // An element is new only as `-`, so that a wrong index is no new element.
        let is_new = pointer.split_back().is_some_and(|(parent, last)| match self.at(parent) {
            Ok(parent) => parent.as_object().is_some() || last.encoded() == "-",
            Err(_) => false,
        });
        if is_new { self.add(pointer, value).map(|()| None) } else { Err(problem) }
    }

    /// Takes away what is there, and returns it.
    pub(super) fn remove(&mut self, pointer: &Pointer) -> Result<Json, JsonProblem> {
        let (path, old) = self.value.found(pointer)?;
        if path.is_empty() {
            return Err(JsonProblem::Whole);
        }
        let old = old.clone();
        self.change(path, Change::Remove)?;
        Ok(old)
    }

    /// Makes a change and writes it down.
    pub(super) fn change(&mut self, path: Vec<Step>, change: Change) -> Result<(), JsonProblem> {
        if let Change::Put(value) | Change::Insert(value) = &change {
            let depth = value
                .depth(&mut self.bytes_left)
                .ok_or(JsonProblem::Large { most: ENTRY_BYTES_MAX })?;
            if path.len().saturating_add(depth) > JSON_DEPTH_MAX {
                return Err(JsonProblem::DEPTH);
            }
        }
        let edit = Edit { path, change };
        self.value.edit(&edit);
        self.edits.push(edit);
        Ok(())
    }

    pub(super) fn at(&self, pointer: &Pointer) -> Result<&Json, JsonProblem> {
        self.value.walk(pointer, |_| {})
    }
}

/// The pointer that `text` is.
pub(super) fn parsed(text: &str) -> Result<&Pointer, JsonProblem> {
    Pointer::parse(text).map_err(|error| JsonProblem::NoPointer { found: error.to_string().into() })
}

fn index(token: &Token<'_>) -> Result<Index, JsonProblem> {
    token.to_index().map_err(|_| JsonProblem::NoIndex { found: token.encoded().into() })
}
