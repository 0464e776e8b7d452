//! Relative JSON Pointers (draft-bhutton-relative-json-pointer): from one place of a document to
//! another: `2/name`, `0+1`, `1#`.

use super::JsonProblem;
use super::edit::{Step, parsed};
use super::value::Json;

/// The value that `relative` leads to from the place `from`, or with `#` the member's name or the
/// element's index.
pub(super) fn relative(whole: &Json, from: &str, relative: &str) -> Result<Json, JsonProblem> {
    let no_pointer = || JsonProblem::NoPointer {
        found: format!("{relative:?} is no relative pointer either").into(),
    };
    let (up, rest) = number(relative).ok_or_else(no_pointer)?;
    let (by, rest) = match rest.split_at_checked(1) {
        Some((sign @ ("+" | "-"), rest)) => {
            let (by, rest) = number(rest).ok_or_else(no_pointer)?;
            (Some((sign, by)), rest)
        }
        _ => (None, rest),
    };
    let down = if rest == "#" { None } else { Some(parsed(rest).map_err(|_| no_pointer())?) };

    let (mut path, _) = whole.found(parsed(from)?)?;
    let kept = usize::try_from(up).ok().and_then(|up| path.len().checked_sub(up));
    path.truncate(kept.ok_or(JsonProblem::Above { levels: up })?);
    if let Some((sign, by)) = by {
        let Some(Step::Element(index)) = path.last_mut() else {
            return Err(JsonProblem::NoIndex { found: relative.into() });
        };
        let moved = if sign == "+" { index.checked_add(by) } else { index.checked_sub(by) };
        *index = moved.ok_or_else(|| JsonProblem::NoIndex { found: relative.into() })?;
    }
    let here =
        whole.follow(&path).ok_or_else(|| JsonProblem::NoIndex { found: relative.into() })?;
    match (down, path.last()) {
        (Some(down), _) => Ok(here.found(down)?.1.clone()),
        (None, Some(Step::Member(name))) => Ok(Json::from(&**name)),
        (None, Some(Step::Element(index))) => Ok(Json::from(*index)),
        (None, None) => Err(JsonProblem::Whole),
    }
}

/// The decimal number at the start of `text`, without leading zeros, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let is_canonical = digits == "0" || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| is_canonical)?, rest))
}
