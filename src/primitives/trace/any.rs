//! `AnyValue`: the value of an attribute, as in OpenTelemetry's protocol, and lists of attributes.
//!
//! Invariants:
//!
//! 1. The kinds stay apart: the integer 1, the double 1.0, the text "1" and the bytes of that text are
//!    four values. So do 0.0 and -0.0, and NaNs of different bits: values are compared by their bits,
//!    and are in order.
//! 2. A value is stored as the list of its parts, each list before its elements, since a type that
//!    holds itself has no archive of its own.
//! 3. What is read or recorded is nested at most [`ANY_VALUE_DEPTH_MAX`] deep.

use std::cmp::Ordering;

use freehold::prelude::*;

/// How deep lists are nested in a value at most. The protocol's JSON spends up to four brackets on a
/// level, and readers of JSON commonly give up behind 127.
pub const ANY_VALUE_DEPTH_MAX: usize = 28;

/// The value of an attribute.
#[derive(Clone, Debug, Default, Stored)]
#[stored(via = Vec<Part>)]
pub enum AnyValue {
    /// No value, which is not the same as no attribute.
    #[default]
    Empty,
    /// Text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A binary64 number, NaN and the infinities included.
    Double(f64),
    /// Bytes.
    Bytes(Bytes),
    /// A list of values.
    Array(Vec<AnyValue>),
    /// A list of named values.
    KvList(Attributes),
}

/// Attributes: named values, in the order in which they were given.
///
/// Names should be unique. Where foreign data has one twice, both are kept and the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Stored)]
pub struct Attributes {
    list: Vec<(String, AnyValue)>,
}

/// A part of a value, as it is stored.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Stored)]
#[stored(name = "AnyValuePart")]
pub enum Part {
    Empty,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Bytes),
    /// As many values follow.
    Array(u64),
    /// As many keys follow, each with a value.
    KvList(u64),
    Key(String),
}

/// Parts that make no value, or one that is nested too deep.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoValue;

impl AnyValue {
    /// The text that this is.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            AnyValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer that this is.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            AnyValue::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether lists are nested in it at most `depth` deep. However deep it is, it is walked no deeper.
    pub(super) fn is_within(&self, depth: usize) -> bool {
        match (self, depth.checked_sub(1)) {
            (AnyValue::Array(_) | AnyValue::KvList(_), None) => false,
            (AnyValue::Array(values), Some(left)) => values.iter().all(|each| each.is_within(left)),
            (AnyValue::KvList(list), Some(left)) => {
                list.list.iter().all(|(_, each)| each.is_within(left))
            }
            _ => true,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            AnyValue::Empty => 0,
            AnyValue::Text(_) => 1,
            AnyValue::Bool(_) => 2,
            AnyValue::Int(_) => 3,
            AnyValue::Double(_) => 4,
            AnyValue::Bytes(_) => 5,
            AnyValue::Array(_) => 6,
            AnyValue::KvList(_) => 7,
        }
    }

    /// The value that `parts` begins with.
    fn read(parts: &mut std::vec::IntoIter<Part>, depth: usize) -> Result<AnyValue, NoValue> {
        let deeper = || depth.checked_sub(1).ok_or(NoValue);
        Ok(match parts.next().ok_or(NoValue)? {
            Part::Empty => AnyValue::Empty,
            Part::Text(text) => AnyValue::Text(text),
            Part::Bool(is) => AnyValue::Bool(is),
            Part::Int(number) => AnyValue::Int(number),
            Part::Double(number) => AnyValue::Double(number),
            Part::Bytes(bytes) => AnyValue::Bytes(bytes),
            Part::Array(count) => {
                let left = deeper()?;
                AnyValue::Array(
                    (0..count).map(|_| AnyValue::read(parts, left)).collect::<Result<_, _>>()?,
                )
            }
            Part::KvList(count) => {
                let left = deeper()?;
                let member = |_| match parts.next() {
                    Some(Part::Key(key)) => Ok((key, AnyValue::read(parts, left)?)),
                    _ => Err(NoValue),
                };
                AnyValue::KvList((0..count).map(member).collect::<Result<_, _>>()?)
            }
            Part::Key(_) => return Err(NoValue),
        })
    }
}

/// The parts of a value. Walked without recursion: a value may be too deep to be recorded and is
/// encoded nevertheless, before the operation refuses it.
impl From<&AnyValue> for Vec<Part> {
    fn from(value: &AnyValue) -> Vec<Part> {
        enum Next<'a> {
            Key(&'a str),
            Value(&'a AnyValue),
        }
        let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        let mut parts = Vec::new();
        let mut rest = vec![Next::Value(value)];
        while let Some(next) = rest.pop() {
            parts.push(match next {
                Next::Key(key) => Part::Key(key.to_owned()),
                Next::Value(AnyValue::Empty) => Part::Empty,
                Next::Value(AnyValue::Text(text)) => Part::Text(text.clone()),
                Next::Value(AnyValue::Bool(is)) => Part::Bool(*is),
                Next::Value(AnyValue::Int(number)) => Part::Int(*number),
                Next::Value(AnyValue::Double(number)) => Part::Double(*number),
                Next::Value(AnyValue::Bytes(bytes)) => Part::Bytes(bytes.clone()),
                Next::Value(AnyValue::Array(values)) => {
                    rest.extend(values.iter().rev().map(Next::Value));
                    Part::Array(count(values.len()))
                }
                Next::Value(AnyValue::KvList(list)) => {
                    for (key, value) in list.list.iter().rev() {
                        rest.extend([Next::Value(value), Next::Key(key)]);
                    }
                    Part::KvList(count(list.list.len()))
                }
            });
        }
        parts
    }
}

impl TryFrom<Vec<Part>> for AnyValue {
    type Error = NoValue;

    fn try_from(parts: Vec<Part>) -> Result<AnyValue, NoValue> {
        let mut parts = parts.into_iter();
        let value = AnyValue::read(&mut parts, ANY_VALUE_DEPTH_MAX)?;
        if parts.next().is_none() { Ok(value) } else { Err(NoValue) }
    }
}

impl PartialEq for AnyValue {
    fn eq(&self, other: &AnyValue) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for AnyValue {}

impl PartialOrd for AnyValue {
    fn partial_cmp(&self, other: &AnyValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By kind, then by value; doubles in the total order of IEEE 754.
impl Ord for AnyValue {
    fn cmp(&self, other: &AnyValue) -> Ordering {
        match (self, other) {
            (AnyValue::Text(one), AnyValue::Text(other)) => one.cmp(other),
            (AnyValue::Bool(one), AnyValue::Bool(other)) => one.cmp(other),
            (AnyValue::Int(one), AnyValue::Int(other)) => one.cmp(other),
            (AnyValue::Double(one), AnyValue::Double(other)) => one.total_cmp(other),
            (AnyValue::Bytes(one), AnyValue::Bytes(other)) => one.cmp(other),
            (AnyValue::Array(one), AnyValue::Array(other)) => one.cmp(other),
            (AnyValue::KvList(one), AnyValue::KvList(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> AnyValue {
        AnyValue::Text(text.to_owned())
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> AnyValue {
        AnyValue::Text(text)
    }
}

impl From<bool> for AnyValue {
    fn from(is: bool) -> AnyValue {
        AnyValue::Bool(is)
    }
}

impl From<i64> for AnyValue {
    fn from(number: i64) -> AnyValue {
        AnyValue::Int(number)
    }
}

impl From<i32> for AnyValue {
    fn from(number: i32) -> AnyValue {
        AnyValue::Int(number.into())
    }
}

impl From<f64> for AnyValue {
    fn from(number: f64) -> AnyValue {
        AnyValue::Double(number)
    }
}

impl From<&[u8]> for AnyValue {
    fn from(bytes: &[u8]) -> AnyValue {
        AnyValue::Bytes(bytes.into())
    }
}

impl Attributes {
    /// No attributes.
    #[must_use]
    pub const fn new() -> Attributes {
        Attributes { list: Vec::new() }
    }

    /// The value of `key`; of two, the last.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&AnyValue> {
        self.list.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Gives `key` this value: in the place of the one that counts, or else behind all others.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<AnyValue>) {
        let key = key.into();
        match self.list.iter_mut().rev().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value.into(),
            None => self.list.push((key, value.into())),
        }
    }

    /// Puts the attribute behind all others, also if there is one of the name.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<AnyValue>) {
        self.list.push((key.into(), value.into()));
    }

    /// The attributes in the order in which they were given.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &AnyValue)> + ExactSizeIterator {
        self.list.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first attribute whose value is nested too deep to be recorded.
    pub(super) fn too_deep(&self) -> Option<&str> {
        self.iter().find(|(_, value)| !value.is_within(ANY_VALUE_DEPTH_MAX)).map(|(key, _)| key)
    }
}

impl<K: Into<String>, V: Into<AnyValue>> FromIterator<(K, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Attributes {
        Attributes {
            list: pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        }
    }
}

impl IntoIterator for Attributes {
    type Item = (String, AnyValue);
    type IntoIter = std::vec::IntoIter<(String, AnyValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> AnyValue {
        (0..depth).fold(AnyValue::Empty, |inner, level| match level % 2 {
            0 => AnyValue::Array(vec![inner]),
            _ => AnyValue::KvList([("key", inner)].into_iter().collect()),
        })
    }

    #[test]
    fn a_value_comes_back_from_its_parts() {
        let list: Attributes = [
            ("text", AnyValue::from("1")),
            ("bytes", AnyValue::from(&b"1"[..])),
            ("int", AnyValue::Int(1)),
            ("double", AnyValue::Double(1.0)),
            ("nan", AnyValue::Double(f64::from_bits(0x7ff8_0000_0000_0001))),
            ("zero", AnyValue::Double(-0.0)),
            ("empty", AnyValue::Array(vec![AnyValue::KvList(Attributes::new()), AnyValue::Empty])),
            ("deep", nested(ANY_VALUE_DEPTH_MAX - 1)),
            ("text", AnyValue::Bool(true)),
        ]
        .into_iter()
        .collect();
        let value = AnyValue::KvList(list.clone());
        assert_eq!(AnyValue::try_from(Vec::from(&value)), Ok(value));
        let values: std::collections::BTreeSet<_> = list.iter().map(|(_, value)| value).collect();
        assert_eq!(values.len(), list.len(), "no two are equal");
        assert_eq!(list.get("text"), Some(&AnyValue::Bool(true)));
    }

    #[test]
    fn parts_that_make_no_value_are_refused() {
        let read = |parts: &[Part]| AnyValue::try_from(parts.to_vec());
        assert_eq!(read(&[Part::Int(1)]), Ok(AnyValue::Int(1)));
        for parts in [
            &[][..],
            &[Part::Int(1), Part::Int(1)],
            &[Part::Array(2), Part::Int(1)],
            &[Part::Array(u64::MAX)],
            &[Part::KvList(1), Part::Int(1)],
            &[Part::KvList(1), Part::Key(String::new())],
            &[Part::Key(String::new())],
        ] {
            assert_eq!(read(parts), Err(NoValue), "{parts:?}");
        }
    }

    #[test]
    fn depth_is_bounded_when_a_value_is_read_and_when_it_is_recorded() {
        let (most, more) = (nested(ANY_VALUE_DEPTH_MAX), nested(ANY_VALUE_DEPTH_MAX + 1));
        assert_eq!(AnyValue::try_from(Vec::from(&most)), Ok(most.clone()));
        assert_eq!(AnyValue::try_from(Vec::from(&more)), Err(NoValue));
        assert!(most.is_within(ANY_VALUE_DEPTH_MAX) && !more.is_within(ANY_VALUE_DEPTH_MAX));
        let list: Attributes = [("most", most), ("more", more)].into_iter().collect();
        assert_eq!(list.too_deep(), Some("more"));
    }

    #[test]
    fn an_attribute_is_set_in_its_place() {
        let mut list: Attributes = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
        list.set("a", 4);
        list.set("c", "5");
        let texts: Vec<_> =
            list.iter().map(|(key, value)| format!("{key}{:?}", value.as_int())).collect();
        assert_eq!(texts, ["aSome(1)", "bSome(2)", "aSome(4)", "cNone"]);
    }
}
