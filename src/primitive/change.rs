//! What differs between two states of a primitive.
//!
//! - Changes are found while one asks for them: nothing is gathered beforehand.
//! - Keys and values are lent by the two states. What none of them has, such as the index of a
//!   sequence, a change owns.
//! - The type of a key is erased, as that of a primitive is: asking for another one gives nothing.

use std::any::Any;
use std::fmt;

#[cfg(any(test, feature = "testing", feature = "cli"))]
use super::json::JsonWriter;
use super::stored::Stored;

/// What became of one element of a field, or of a field that has no elements.
///
/// | field | key | before and after |
/// |---|---|---|
/// | a map | the key | its value |
/// | a set | the element | nothing |
/// | a [`Vector`](crate::Vector) | the index, a `u64` | the element |
/// | any other | none | the field |
///
/// ```
/// use freehold::prelude::*;
/// use freehold::{ChangeKind, PrimitiveStorageExt};
///
/// /// Named counters.
/// #[primitive(id = 0x80, wal = 0x80)]
/// #[derive(Clone, Default, PartialEq)]
/// pub struct Counters {
///     counts: OrdMap<String, i64>,
///     changed: u64,
/// }
///
/// #[operations]
/// impl Counters {
///     /// Adds `by` to `name`.
///     #[wal(0x80)]
///     pub fn add(&mut self, name: &str, by: i64) {
///         let count = self.counts.get(name).copied().unwrap_or(0).saturating_add(by);
///         self.counts.insert(name.to_owned(), count);
///         self.changed += 1;
///     }
/// }
///
/// let mut counters = Counters::default();
/// counters.add("hits", 1);
/// let before = counters.clone();
/// counters.add("hits", 1);
///
/// let changes: Vec<_> = counters.changes(&before).collect();
/// let [counts, changed] = &changes[..] else { panic!("two fields changed") };
/// assert_eq!((counts.field(), counts.kind()), ("counts", ChangeKind::Changed));
/// assert_eq!(counts.key().unwrap().get::<String>().unwrap(), "hits");
/// assert_eq!(counts.before().unwrap().get::<i64>(), Some(&1));
/// assert_eq!(counts.after().unwrap().get::<i64>(), Some(&2));
/// assert!(changed.field() == "changed" && changed.key().is_none());
/// ```
#[derive(Debug)]
pub struct Change<'a> {
    field: &'static str,
    kind: ChangeKind,
    key: Option<ValueRef<'a>>,
    before: Option<ValueRef<'a>>,
    after: Option<ValueRef<'a>>,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Only the newer state has it.
    Added,
    /// Only the older state has it.
    Removed,
    /// Both have it, and it is not the same.
    Changed,
}

impl<'a> Change<'a> {
    /// What only the newer state has. For a primitive that says itself what changed.
    #[must_use]
    pub fn added(
        field: &'static str,
        key: Option<ValueRef<'a>>,
        after: Option<ValueRef<'a>>,
    ) -> Change<'a> {
        Change { field, kind: ChangeKind::Added, key, before: None, after }
    }

    /// What only the older state has.
    #[must_use]
    pub fn removed(
        field: &'static str,
        key: Option<ValueRef<'a>>,
        before: Option<ValueRef<'a>>,
    ) -> Change<'a> {
        Change { field, kind: ChangeKind::Removed, key, before, after: None }
    }

    /// What both have, and differs.
    #[must_use]
    pub fn changed(
        field: &'static str,
        key: Option<ValueRef<'a>>,
        before: Option<ValueRef<'a>>,
        after: Option<ValueRef<'a>>,
    ) -> Change<'a> {
        Change { field, kind: ChangeKind::Changed, key, before, after }
    }

    /// The field, by the name that it has in the data.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// Which element of the field. `None` if the field has no elements.
    #[must_use]
    pub fn key(&self) -> Option<&ValueRef<'a>> {
        self.key.as_ref()
    }

    /// What was there. `None` for what was added, and for a set, whose elements are their keys.
    #[must_use]
    pub fn before(&self) -> Option<&ValueRef<'a>> {
        self.before.as_ref()
    }

    /// What is there. `None` for what was removed, and for a set, whose elements are their keys.
    #[must_use]
    pub fn after(&self) -> Option<&ValueRef<'a>> {
        self.after.as_ref()
    }
}

/// A stored value of some type.
pub struct ValueRef<'a>(Held<'a>);

enum Held<'a> {
    Lent(&'a dyn AnyStored),
    Owned(Box<dyn AnyStored>),
    /// An index, for which nothing is to be allocated.
    Index(u64),
}

impl<'a> ValueRef<'a> {
    /// A value of somebody else's.
    #[must_use]
    pub fn lent<T: Stored + 'static>(value: &'a T) -> ValueRef<'a> {
        ValueRef(Held::Lent(value))
    }

    /// A value that stands in none of the two states.
    #[must_use]
    pub fn owned<T: Stored + 'static>(value: T) -> ValueRef<'a> {
        ValueRef(Held::Owned(Box::new(value)))
    }

    pub(super) fn index(index: u64) -> ValueRef<'a> {
        ValueRef(Held::Index(index))
    }

    /// The value, if it is a `T`.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.any().value().downcast_ref()
    }

    /// The value's JSON form, as an export has it.
    #[cfg(any(test, feature = "testing", feature = "cli"))]
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = JsonWriter::new();
        self.any().write_json(&mut out);
        out.as_str().to_owned()
    }

    fn any(&self) -> &dyn AnyStored {
        match &self.0 {
            Held::Lent(value) => *value,
            Held::Owned(value) => &**value,
            Held::Index(index) => index,
        }
    }
}

/// The value's JSON form.
#[cfg(any(test, feature = "testing", feature = "cli"))]
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// The type; what the value is, not every program can say.
impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueRef({})", self.any().type_name())
    }
}

/// A stored value without its type.
trait AnyStored {
    fn value(&self) -> &dyn Any;

    fn type_name(&self) -> &'static str;

    #[cfg(any(test, feature = "testing", feature = "cli"))]
    fn write_json(&self, out: &mut JsonWriter);
}

impl<T: Stored + 'static> AnyStored for T {
    fn value(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }

    #[cfg(any(test, feature = "testing", feature = "cli"))]
    fn write_json(&self, out: &mut JsonWriter) {
        self.to_json(out);
    }
}

/// The changes of one kind of thing.
type Part<'a> = Box<dyn Iterator<Item = Change<'a>> + 'a>;

/// The changes from one state to another, found while one asks for them: in the order of the fields,
/// and of the keys in a field.
///
/// Finding them costs in proportion to what differs where the two states share the rest, as a state
/// and what became of its clone do.
#[must_use = "changes are found when they are asked for"]
pub struct Changes<'a> {
    /// The parts that are not at their end, the last one first.
    parts: Vec<Part<'a>>,
}

impl<'a> Changes<'a> {
    /// No changes.
    pub const fn none() -> Changes<'a> {
        Changes { parts: Vec::new() }
    }

    /// These changes. They should be found as they are asked for.
    pub fn of<I: Iterator<Item = Change<'a>> + 'a>(changes: I) -> Changes<'a> {
        Changes { parts: vec![Box::new(changes)] }
    }

    /// These, and behind them those of `others`.
    pub fn and(mut self, mut others: Changes<'a>) -> Changes<'a> {
        others.parts.append(&mut self.parts);
        others
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        loop {
            let change = self.parts.last_mut()?.next();
            if change.is_some() {
                return change;
            }
            self.parts.pop();
        }
    }
}

impl std::iter::FusedIterator for Changes<'_> {}

impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes(..)")
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the linked slice is a section of its own")]
mod tests;
