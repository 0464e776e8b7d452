//! Where two states of a collection part.

use std::cmp::Ordering;

/// What two states of a collection may not have in common, at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::primitive) enum Apart<T> {
    /// Only the older one has it.
    Before(T),
    /// Only the newer one has it.
    After(T),
    /// Both have something there: the older one first. It may be the same.
    Both(T, T),
}

impl<T> Apart<T> {
    pub(super) fn map<U>(self, with: impl Fn(T) -> U) -> Apart<U> {
        match self {
            Apart::Before(before) => Apart::Before(with(before)),
            Apart::After(after) => Apart::After(with(after)),
            Apart::Both(before, after) => Apart::Both(with(before), with(after)),
        }
    }
}

/// Two ordered sequences in one, by what `order` compares of them.
pub(in crate::primitive) fn merge<T>(
    before: impl Iterator<Item = T>,
    after: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
) -> impl Iterator<Item = Apart<T>> {
    let (mut before, mut after) = (before.peekable(), after.peekable());
    std::iter::from_fn(move || {
        let order = match (before.peek(), after.peek()) {
            (Some(before), Some(after)) => order(before, after),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => before.next().map(Apart::Before),
            Ordering::Greater => after.next().map(Apart::After),
            Ordering::Equal => {
                before.next().zip(after.next()).map(|(before, after)| Apart::Both(before, after))
            }
        }
    })
}
