//! `Json`: a JSON value (RFC 8259) that a primitive can hold: cheap to clone, cheap to change.
//!
//! Invariants:
//!
//! 1. The tree is made of [`Vector`] and [`OrdMap`], so a clone is O(1) and a change copies one
//!    path, whatever the size of the document.
//! 2. An integer from −2⁶³ to 2⁶⁴ − 1 is kept exactly, and one beyond is refused, never rounded.
//!    Whatever is written with a fraction or an exponent is a binary64 number (RFC 8259 §6): the
//!    nearest, and `1.0` stays apart from `1`. Wherever this file is built, `serde_json` has its feature
//!    `float_roundtrip`: without it many a number is read as a neighbour of the nearest.
//! 3. Of members with the same name the last one counts. Members stand in the order of their names'
//!    bytes.
//! 4. Arrays and objects are nested at most [`JSON_DEPTH_MAX`] deep, so nothing that walks a value
//!    can exhaust the stack.
//! 5. It is stored as its canonical text: no white space, members in order, numbers in the shortest
//!    form that reads back as the same. Written here, since what `serde_json` writes depends on the
//!    features that other crates of the program turn on.
//!
//! ```
//! use freehold::primitives::{Json, JsonError};
//! use serde_json::json;
//!
//! let order = Json::parse(r#"{"total": 9007199254740993, "items": [{"sku": "a"}]}"#)?;
//! assert_eq!(order.get("total").and_then(Json::as_u64), Some(9007199254740993));
//! assert_eq!(order.to_value(), json!({"items": [{"sku": "a"}], "total": 9007199254740993u64}));
//! assert_eq!(order.to_string(), r#"{"items":[{"sku":"a"}],"total":9007199254740993}"#);
//!
//! assert!(matches!(Json::parse("18446744073709551616"), Err(JsonError::Integer { offset: 0 })));
//! # Ok::<(), JsonError>(())
//! ```

mod parse;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use freehold::prelude::*;
use serde_json::Value;

/// How deep arrays and objects are nested at most: what `serde_json` reads too.
pub const JSON_DEPTH_MAX: usize = 127;

/// A JSON value. Equal values have equal canonical texts.
#[derive(Clone, Debug, PartialEq, Stored)]
#[stored(via = String)]
pub struct Json(pub(crate) Node);

/// The six kinds of value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(JsonNumber),
    Text(Arc<str>),
    Array(Vector<Json>),
    Object(OrdMap<Arc<str>, Json>),
}

/// A number. What is not negative is never `Negative`, so each integer has one form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JsonNumber {
    Natural(u64),
    Negative(i64),
    /// Finite.
    Float(f64),
}

/// Why something is no [`Json`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not one JSON value (RFC 8259), or a number is beyond what binary64 holds.
    #[error("line {line}, column {column}: expected {expected}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What could stand there.
        expected: &'static str,
    },
    /// An integer that could be kept only by rounding it.
    #[error(
        "at byte {offset}: an integer is kept exactly from -2^63 to 2^64 - 1, and this one is beyond: \
         write it as text"
    )]
    Integer {
        /// Where in the text it begins, in bytes; 0 if there was no text.
        offset: usize,
    },
    /// Arrays and objects are nested too deep.
    #[error("arrays and objects are nested more than {JSON_DEPTH_MAX} deep")]
    Depth,
}

impl Json {
    /// The JSON `null`.
    #[must_use]
    pub fn null() -> Json {
        Json(Node::Null)
    }

    /// Reads one JSON value.
    ///
    /// # Errors
    ///
    /// [`JsonError::Syntax`], [`JsonError::Integer`], [`JsonError::Depth`].
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        parse::parse(text)
    }

    /// The same as [`serde_json::Value`].
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.0 {
            Node::Null => Value::Null,
            Node::Bool(is) => Value::Bool(*is),
            Node::Number(JsonNumber::Natural(number)) => Value::from(*number),
            Node::Number(JsonNumber::Negative(number)) => Value::from(*number),
            Node::Number(JsonNumber::Float(number)) => Value::from(*number),
            Node::Text(text) => Value::String((**text).to_owned()),
            Node::Array(elements) => Value::Array(elements.iter().map(Json::to_value).collect()),
            Node::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| ((**name).to_owned(), value.to_value()))
                    .collect(),
            ),
        }
    }

    /// The member `name`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.0, Node::Null)
    }

    /// The truth value that this is.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.0 {
            Node::Bool(is) => Some(is),
            _ => None,
        }
    }

    /// The integer that this is, if it is from 0 to 2⁶⁴ − 1 and written as an integer.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Node::Number(JsonNumber::Natural(number)) => Some(number),
            _ => None,
        }
    }

    /// The integer that this is, if it is from −2⁶³ to 2⁶³ − 1 and written as an integer.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Node::Number(JsonNumber::Natural(number)) => i64::try_from(number).ok(),
            Node::Number(JsonNumber::Negative(number)) => Some(number),
            _ => None,
        }
    }

    /// The number that this is; of an integer beyond 2⁵³ the nearest.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Node::Number(JsonNumber::Natural(number)) => Some(number as f64),
            Node::Number(JsonNumber::Negative(number)) => Some(number as f64),
            Node::Number(JsonNumber::Float(number)) => Some(number),
            _ => None,
        }
    }

    /// The text that this is.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of the array that this is.
    #[must_use]
    pub fn as_array(&self) -> Option<&Vector<Json>> {
        match &self.0 {
            Node::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of the object that this is, in the order of their names.
    #[must_use]
    pub fn as_object(&self) -> Option<&OrdMap<Arc<str>, Json>> {
        match &self.0 {
            Node::Object(members) => Some(members),
            _ => None,
        }
    }

    fn of(value: &Value, depth_left: usize) -> Result<Json, JsonError> {
        let deeper = || depth_left.checked_sub(1).ok_or(JsonError::Depth);
        Ok(Json(match value {
            Value::Null => Node::Null,
            Value::Bool(is) => Node::Bool(*is),
            Value::Number(number) => Node::Number(JsonNumber::of(number)?),
            Value::String(text) => Node::Text(text.as_str().into()),
            Value::Array(elements) => {
                let left = deeper()?;
                Node::Array(
                    elements.iter().map(|each| Json::of(each, left)).collect::<Result<_, _>>()?,
                )
            }
            Value::Object(members) => {
                let left = deeper()?;
                let member = |(name, value): (&String, &Value)| {
                    Ok((name.as_str().into(), Json::of(value, left)?))
                };
                Node::Object(members.iter().map(member).collect::<Result<_, _>>()?)
            }
        }))
    }
}

impl TryFrom<&Value> for Json {
    type Error = JsonError;

    fn try_from(value: &Value) -> Result<Json, JsonError> {
        Json::of(value, JSON_DEPTH_MAX)
    }
}

impl TryFrom<Value> for Json {
    type Error = JsonError;

    fn try_from(value: Value) -> Result<Json, JsonError> {
        Json::try_from(&value)
    }
}

impl From<&str> for Json {
    /// A text that is a value, not one to be read: that is [`Json::parse`].
    fn from(text: &str) -> Json {
        Json(Node::Text(text.into()))
    }
}

impl From<bool> for Json {
    fn from(is: bool) -> Json {
        Json(Node::Bool(is))
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json(Node::Number(JsonNumber::Natural(number)))
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Json {
        Json(Node::Number(match u64::try_from(number) {
            Ok(natural) => JsonNumber::Natural(natural),
            Err(_) => JsonNumber::Negative(number),
        }))
    }
}

/// From its canonical text, or any other.
impl TryFrom<String> for Json {
    type Error = JsonError;

    fn try_from(text: String) -> Result<Json, JsonError> {
        Json::parse(&text)
    }
}

impl From<&Json> for String {
    fn from(json: &Json) -> String {
        json.to_string()
    }
}

/// The canonical text.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Null => f.write_str("null"),
            Node::Bool(is) => write!(f, "{is}"),
            Node::Number(number) => number.fmt(f),
            Node::Text(text) => write_text(f, text),
            Node::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    element.fmt(f)?;
                }
                f.write_char(']')
            }
            Node::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    write_text(f, name)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

impl JsonNumber {
    fn of(number: &serde_json::Number) -> Result<JsonNumber, JsonError> {
        if let Some(natural) = number.as_u64() {
            return Ok(JsonNumber::Natural(natural));
        }
        if let Some(negative) = number.as_i64() {
            return Ok(JsonNumber::Negative(negative));
        }
        // With one of serde_json's features a number is any text.
        let text = number.to_string();
        let is_integer = !text.contains(['.', 'e', 'E']);
        match number.as_f64().filter(|float| float.is_finite()) {
            Some(float) if !is_integer || text == "-0" => Ok(JsonNumber::Float(float)),
            _ => Err(JsonError::Integer { offset: 0 }),
        }
    }
}

/// As the canonical texts compare: zero and minus zero are two numbers, 1 and 1.0 as well.
impl PartialEq for JsonNumber {
    fn eq(&self, other: &JsonNumber) -> bool {
        match (self, other) {
            (JsonNumber::Natural(one), JsonNumber::Natural(other)) => one == other,
            (JsonNumber::Negative(one), JsonNumber::Negative(other)) => one == other,
            (JsonNumber::Float(one), JsonNumber::Float(other)) => one.to_bits() == other.to_bits(),
            _ => false,
        }
    }
}

impl fmt::Display for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonNumber::Natural(number) => write!(f, "{number}"),
            JsonNumber::Negative(number) => write!(f, "{number}"),
            // The shortest digits that read back as the same, with a point or an exponent.
            JsonNumber::Float(number) => write!(f, "{number:?}"),
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if u32::from(control) < 0x20 => write!(f, "\\u{:04x}", u32::from(control))?,
            letter => f.write_char(letter)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_exactly_or_refused() {
        for text in [
            "0",
            "1",
            "-1",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "1.0",
            "-0.0",
            "0.1",
            "1e16",
            "1e300",
            "5e-324",
            "-1.5e-7",
        ] {
            assert_eq!(Json::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Json::parse("-0").unwrap().to_string(), "-0.0");
        assert_eq!(Json::parse("1E2").unwrap().to_string(), "100.0");
        let integer = |offset| Err(JsonError::Integer { offset });
        assert_eq!(Json::parse("18446744073709551616"), integer(0));
        assert_eq!(Json::parse(r#"{"\"1": [1, -9223372036854775809]}"#), integer(12));
        assert!(matches!(Json::parse("1e1000"), Err(JsonError::Syntax { line: 1, .. })));
        assert_ne!(Json::parse("1").unwrap(), Json::parse("1.0").unwrap());
    }

    #[test]
    fn a_number_is_read_back_as_it_was() {
        let mut random = freehold::testing::Random::new(1);
        for _ in 0..100_000 {
            let number = f64::from_bits(random.next_u64());
            if number.is_finite() {
                let text = Json(Node::Number(JsonNumber::Float(number))).to_string();
                let read = Json::parse(&text).unwrap();
                assert_eq!(read.as_f64().map(f64::to_bits), Some(number.to_bits()), "{text}");
            }
        }
    }

    #[test]
    fn the_canonical_text_has_no_choice() {
        let one = Json::parse(
            "{\"b\": [true, null, {}], \"a\": \"\\u00e9\\n\\u0001\\/\\\"\\\\\", \"b\": 2}",
        );
        let text = r#"{"a":"é\n\u0001/\"\\","b":2}"#;
        assert_eq!(one.as_ref().unwrap().to_string(), text);
        assert_eq!(Json::parse(text), one);
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), one.unwrap().to_value());
    }

    #[test]
    fn no_name_means_anything_but_itself() {
        for name in ["RawValue", "Number"] {
            for inner in ["7", "18446744073709551616", "no JSON", "[[1]]"] {
                let text = format!(r#"{{"$serde_json::private::{name}":"{inner}"}}"#);
                let json = Json::parse(&text).unwrap();
                assert_eq!(json.to_string(), text);
                assert!(json.as_object().is_some_and(|members| members.len() == 1));
            }
        }
    }

    #[test]
    fn escapes_are_letters_and_halves_are_none() {
        let read = |text: &str| Json::parse(text).map(|json| json.as_str().unwrap().to_owned());
        let letters = r#""\u0041\ud83d\ude00\b\f\/é""#;
        assert_eq!(read(letters), Ok("A\u{1f600}\u{8}\u{c}/é".to_owned()));
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\ud83dx""#, r#""\u12""#]
        {
            assert!(read(half).is_err(), "{half}");
        }
    }

    #[test]
    fn depth_is_bounded_as_text_and_as_value() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(Json::parse(&nested(JSON_DEPTH_MAX + 1)).is_err());
        let value = (0..JSON_DEPTH_MAX).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(Json::try_from(&value).is_ok());
        assert_eq!(Json::try_from(Value::Array(vec![value])), Err(JsonError::Depth));
    }

    #[test]
    fn what_is_wrong_with_a_text_has_a_place() {
        let error = Json::parse("{\"a\":\n tru}").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 2: expected true, false or null");
    }
}
