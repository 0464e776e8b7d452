//! JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386), as edits of a tree.
//!
//! What a patch may look like and what a pointer is, is the business of `json-patch` and `jsonptr`;
//! what an operation does to a tree is said here, so that it costs what it changes.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;

use super::edit::{Change, Draft, Step};
use super::value::{Json, JsonNumber, Node};
use super::{JsonProblem, JsonStoreError};

/// Where an operation of a patch fails, and how.
type Refused<'a> = (&'a Pointer, JsonProblem);

/// Does what `patch` says, all of it or, with an error, nothing that anybody will see.
pub(super) fn patch(draft: &mut Draft, name: &str, patch: &Json) -> Result<(), JsonStoreError> {
    let operations = patch.as_array().ok_or_else(|| JsonStoreError::NoPatch {
        operation: 0,
        found: "a patch is an array of operations".into(),
    })?;
    for (index, operation) in operations.iter().enumerate() {
        let value = operation.get("value");
        let operation = serde_json::from_value(without_value(operation)).map_err(|error| {
            JsonStoreError::NoPatch { operation: index, found: error.to_string().into() }
        })?;
        apply(draft, &operation, value).map_err(|(pointer, problem)| JsonStoreError::Patch {
            name: name.into(),
            operation: index,
            pointer: pointer.as_str().into(),
            problem,
        })?;
    }
    Ok(())
}

/// The operation for the library to read. Its value, which may be anything, is read by nobody else.
fn without_value(operation: &Json) -> serde_json::Value {
    let mut operation = operation.to_value();
    if let Some(value) = operation.get_mut("value") {
        *value = serde_json::Value::Null;
    }
    operation
}

/// `value` is the operation's; the library has refused those that need one and have none.
fn apply<'a>(
    draft: &mut Draft,
    operation: &'a PatchOperation,
    value: Option<&Json>,
) -> Result<(), Refused<'a>> {
    let path = operation.path();
    let at = |pointer| move |problem| (pointer, problem);
    let given = || value.cloned().unwrap_or_else(Json::null);
    match operation {
        PatchOperation::Add(_) => draft.add(path, given()).map_err(at(path)),
        PatchOperation::Remove(_) => draft.remove(path).map(drop).map_err(at(path)),
        PatchOperation::Replace(_) => draft.replace(path, given()).map_err(at(path)),
        PatchOperation::Move(moved) => {
            if moved.from.as_ptr() == path {
                return draft.at(path).map(drop).map_err(at(path));
            }
            if path.starts_with(&moved.from) {
                return Err((path, JsonProblem::IntoItself));
            }
            let value = draft.remove(&moved.from).map_err(at(&moved.from))?;
            draft.add(path, value).map_err(at(path))
        }
        PatchOperation::Copy(copied) => {
            let value = draft.at(&copied.from).map_err(at(&copied.from))?.clone();
            draft.add(path, value).map_err(at(path))
        }
        PatchOperation::Test(_) => {
            let (found, expected) = (draft.at(path).map_err(at(path))?, given());
            if same(found, &expected) {
                return Ok(());
            }
            let (found, expected) = (Box::new(found.clone()), Box::new(expected));
            Err((path, JsonProblem::Unequal { found, expected }))
        }
    }
}

/// Merges `patch` into `target`, which stands at `path` of the document.
pub(super) fn merge(
    draft: &mut Draft,
    path: &mut Vec<Step>,
    target: &Json,
    patch: &Json,
) -> Result<(), JsonProblem> {
    let (Some(members), Some(merged)) = (target.as_object(), patch.as_object()) else {
        let new = without_nulls(patch);
        // What is there already needs no edit.
        return if *target == new { Ok(()) } else { draft.change(path.clone(), Change::Put(new)) };
    };
    for (name, value) in merged.iter() {
        path.push(Step::Member(name.clone()));
        match members.get(name) {
            Some(_) if value.is_null() => draft.change(path.clone(), Change::Remove)?,
            Some(member) => merge(draft, path, member, value)?,
            None if value.is_null() => {}
            None => draft.change(path.clone(), Change::Put(without_nulls(value)))?,
        }
        path.pop();
    }
    Ok(())
}

/// What a patch makes where there was no object: its members that are not null.
fn without_nulls(patch: &Json) -> Json {
    let Node::Object(members) = &patch.0 else { return patch.clone() };
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    Json(Node::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()))
}

/// Equal as RFC 6902 §4.6 has it: numbers by what they are worth, so 1 and 1.0 are the same.
fn same(one: &Json, other: &Json) -> bool {
    match (&one.0, &other.0) {
        (Node::Number(one), Node::Number(other)) => same_number(*one, *other),
        (Node::Array(ones), Node::Array(others)) => {
            ones.len() == others.len()
                && ones.iter().zip(others.iter()).all(|(one, other)| same(one, other))
        }
        (Node::Object(ones), Node::Object(others)) => {
            ones.len() == others.len()
                && ones.iter().zip(others.iter()).all(|((name, one), (other_name, other))| {
                    name == other_name && same(one, other)
                })
        }
        (one, other) => one == other,
    }
}

fn same_number(one: JsonNumber, other: JsonNumber) -> bool {
    match (one, other) {
        (JsonNumber::Float(one), JsonNumber::Float(other)) => one == other,
        (JsonNumber::Float(float), integer) | (integer, JsonNumber::Float(float)) => {
            // Back from text, since a comparison as floats would round the integer.
            float.fract() == 0.0 && {
                let float = if float == 0.0 { 0.0 } else { float };
                format!("{float:.0}") == integer.to_string()
            }
        }
        (one, other) => one == other,
    }
}
