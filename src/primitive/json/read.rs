//! JSON as it was read: a tree that borrows from its line, and what types ask of it.
//!
//! - Every value knows its column, so that a refusal can say where.
//! - An object has each name once; what a type does not know is refused, for to leave it out would be
//!   to lose it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::HEX;
use super::write::Float;
use crate::primitive::stored::StoredOwned;

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Json<'t> {
    /// Bytes from the start of the line, from 1.
    pub(super) column: usize,
    pub(super) value: Value<'t>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'t> {
    Null,
    Boolean(bool),
    /// As it is spelled.
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Json<'t>>),
    Object(Vec<(Cow<'t, str>, Json<'t>)>),
}

/// A value that is not one of the type that was asked for, or text that is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: found {found}, expected {expected}")]
pub struct Misfit {
    /// Bytes from the start of the line, from 1.
    pub column: usize,
    /// What is there.
    pub found: Box<str>,
    /// What would have been right.
    pub expected: Box<str>,
}

/// How much of a text a message shows.
const SHOWN_CHARACTERS_MAX: usize = 40;

/// In a few words.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Number(digits) => shown(digits, f),
            Value::Text(text) => {
                f.write_str("\"")?;
                shown(text, f)?;
                f.write_str("\"")
            }
            Value::List(items) => write!(f, "an array of {}", items.len()),
            Value::Object(fields) => {
                f.write_str("an object of ")?;
                if fields.is_empty() {
                    return f.write_str("no fields");
                }
                for (at, (name, _)) in fields.iter().take(4).enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    shown(name, f)?;
                }
                f.write_str(if fields.len() > 4 { ", .." } else { "" })
            }
        }
    }
}

/// The start of a text, harmless to a terminal.
fn shown(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for letter in text.chars().take(SHOWN_CHARACTERS_MAX) {
        write!(f, "{}", letter.escape_debug())?;
    }
    f.write_str(if text.chars().nth(SHOWN_CHARACTERS_MAX).is_some() { ".." } else { "" })
}

impl<'t> Json<'t> {
    /// Says that another value was expected here.
    #[must_use]
    pub fn misfit(&self, expected: impl fmt::Display) -> Misfit {
        Misfit {
            column: self.column,
            found: self.to_string().into(),
            expected: expected.to_string().into(),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn boolean(&self) -> Result<bool, Misfit> {
        match self.value {
            Value::Boolean(value) => Ok(value),
            _ => Err(self.misfit("true or false")),
        }
    }

    /// An integer; `named` is its type.
    ///
    /// # Errors
    ///
    /// It is none, or does not fit the type.
    pub fn integer<T: FromStr>(&self, named: &str) -> Result<T, Misfit> {
        let number = match self.value {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.misfit(format_args!("a whole number that fits {named}")))
    }

    /// A float.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn float<T: Float>(&self) -> Result<T, Misfit> {
        let float = match &self.value {
            Value::Number(digits) => T::of_digits(digits),
            Value::Text(name) => T::of_name(name),
            _ => None,
        };
        float.ok_or_else(|| {
            self.misfit(r#"a number that fits, "inf", "-inf", "NaN", or "NaN:" and its bits"#)
        })
    }

    /// A string.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn text(&self) -> Result<&str, Misfit> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.misfit("a string")),
        }
    }

    /// Bytes, of whichever form.
    ///
    /// # Errors
    ///
    /// It is none of the two.
    pub fn bytes(&self) -> Result<Vec<u8>, Misfit> {
        let misfit = || self.misfit(format_args!("a string, or {{\"{HEX}\": \"..\"}}"));
        match &self.value {
            Value::Text(text) => Ok(text.as_bytes().to_vec()),
            Value::Object(fields) => match fields.as_slice() {
                [(name, digits)] if name == HEX => {
                    let text = digits.text()?;
                    of_hex(text).ok_or_else(|| digits.misfit("pairs of hexadecimal digits"))
                }
                _ => Err(misfit()),
            },
            _ => Err(misfit()),
        }
    }

    /// The items of an array.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn list(&self) -> Result<&[Json<'t>], Misfit> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.misfit("an array")),
        }
    }

    /// The items of an array of just so many.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn list_of<const N: usize>(&self) -> Result<&[Json<'t>; N], Misfit> {
        let items = self.list().ok().and_then(|items| items.try_into().ok());
        items.ok_or_else(|| self.misfit(format_args!("an array of {N}")))
    }

    /// The fields of an object that has these and no others, in the order in which they are asked
    /// for.
    ///
    /// # Errors
    ///
    /// It has others, or not all of these.
    pub fn fields<const N: usize>(&self, names: [&str; N]) -> Result<[&Json<'t>; N], Misfit> {
        let Value::Object(fields) = &self.value else {
            return Err(self.misfit(format_args!("an object of {}", names.join(", "))));
        };
        if let Some((name, value)) = fields.iter().find(|(name, _)| !names.contains(&name.as_ref()))
        {
            let found = format!("the field {}", Shown(name)).into();
            let expected = match N {
                0 => "no field".into(),
                _ => names.join(", ").into(),
            };
            return Err(Misfit { column: value.column, found, expected });
        }
        let mut found = [self; N];
        for (place, name) in found.iter_mut().zip(names) {
            *place = self.field(name)?;
        }
        Ok(found)
    }

    /// A field of an object that may have others.
    ///
    /// # Errors
    ///
    /// It does not have this one.
    pub fn field(&self, name: &str) -> Result<&Json<'t>, Misfit> {
        let fields = match &self.value {
            Value::Object(fields) => fields.as_slice(),
            _ => &[],
        };
        let field = fields.iter().find(|(other, _)| other == name);
        field
            .map(|(_, value)| value)
            .ok_or_else(|| self.misfit(format_args!("a field {} in it", Shown(name))))
    }

    /// The name of a variant, and what it holds if it holds anything.
    ///
    /// # Errors
    ///
    /// It is no variant of any enum.
    pub fn variant(&self) -> Result<(&str, Option<&Json<'t>>), Misfit> {
        match &self.value {
            Value::Text(name) => Ok((name, None)),
            Value::Object(fields) => match fields.as_slice() {
                [(name, content)] => Ok((name, Some(content))),
                _ => Err(self.misfit("an object of one field")),
            },
            _ => Err(self.misfit("a string, or an object of one field")),
        }
    }

    /// Says that it is none of these variants.
    #[must_use]
    pub fn no_variant(&self, names: &[&str]) -> Misfit {
        self.misfit(format_args!("a variant of {}", names.join(", ")))
    }
}

impl Json<'_> {
    /// Reads a value that borrows nothing.
    ///
    /// # Errors
    ///
    /// It is not of this type.
    pub fn read<T: StoredOwned>(&self) -> Result<T, Misfit> {
        T::from_json(self)
    }
}

/// A name in a message.
struct Shown<'n>(&'n str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0, f)
    }
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}
