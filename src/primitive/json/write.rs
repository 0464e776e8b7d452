//! Writing JSON: one line of text, without white space between its parts.

use std::fmt::{self, Write as _};

use super::HEX;
use crate::primitive::stored::Stored;

/// Takes one value, and is text then.
#[derive(Debug, Default)]
pub struct JsonWriter {
    text: String,
}

impl JsonWriter {
    /// No text yet.
    #[must_use]
    pub fn new() -> JsonWriter {
        JsonWriter::default()
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Forgets what was written, and gives back the memory of a text that was long.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 1 << 20;
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES_MAX);
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.text.push_str("null");
    }

    /// Writes `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// Writes a number that prints itself as JSON would.
    pub fn number(&mut self, number: impl fmt::Display) {
        self.write(format_args!("{number}"));
    }

    /// Writes a finite float as its shortest digits, and any other by name.
    pub fn float(&mut self, float: impl Float) {
        if float.is_finite() {
            // The one format of the standard library that is short for large and small numbers.
            self.write(format_args!("{float:?}"));
        } else {
            self.text(&float.name());
        }
    }

    /// Writes a string.
    pub fn text(&mut self, text: &str) {
        self.text.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            let escaped = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0..0x20 | 0x7f => "",
                _ => continue,
            };
            // Only bytes of ASCII are escaped, so the cuts are between letters.
            self.text.push_str(text.get(plain..at).unwrap_or_default());
            if escaped.is_empty() {
                self.write(format_args!("\\u{byte:04x}"));
            } else {
                self.text.push_str(escaped);
            }
            plain = at + 1;
        }
        self.text.push_str(text.get(plain..).unwrap_or_default());
        self.text.push('"');
    }

    /// Writes bytes: as a string if they are one.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return self.text(text);
        }
        self.write(format_args!("{{\"{HEX}\":\""));
        for byte in bytes {
            self.write(format_args!("{byte:02x}"));
        }
        self.text.push_str("\"}");
    }

    /// Begins an array.
    pub fn list(&mut self) -> ListWriter<'_> {
        self.text.push('[');
        ListWriter { writer: self, is_empty: true }
    }

    /// Begins an object.
    pub fn object(&mut self) -> ObjectWriter<'_> {
        self.text.push('{');
        ObjectWriter { writer: self, is_empty: true }
    }

    /// Adds a member of an object whose braces are written elsewhere.
    pub fn member<T: Stored>(&mut self, name: &str, value: &T) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text(name);
        self.text.push(':');
        value.to_json(self);
    }

    /// Writes a variant that holds something: an object of one field.
    pub fn variant(&mut self, name: &str, content: impl FnOnce(&mut JsonWriter)) {
        self.text.push('{');
        self.text(name);
        self.text.push(':');
        content(self);
        self.text.push('}');
    }

    fn write(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// An array that is not closed yet.
#[derive(Debug)]
#[must_use = "an array ends with `end`"]
pub struct ListWriter<'w> {
    writer: &'w mut JsonWriter,
    is_empty: bool,
}

impl ListWriter<'_> {
    /// Adds an item.
    pub fn item<T: Stored>(&mut self, value: &T) {
        value.to_json(self.begin());
    }

    /// Where the next item is to be written.
    fn begin(&mut self) -> &mut JsonWriter {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.text.push(',');
        }
        self.writer
    }

    /// Closes the array.
    pub fn end(self) {
        self.writer.text.push(']');
    }
}

/// An object that is not closed yet.
#[derive(Debug)]
#[must_use = "an object ends with `end`"]
pub struct ObjectWriter<'w> {
    writer: &'w mut JsonWriter,
    is_empty: bool,
}

impl ObjectWriter<'_> {
    /// Adds a field.
    pub fn field<T: Stored>(&mut self, name: &str, value: &T) {
        value.to_json(self.begin(name));
    }

    /// Where the value of the next field is to be written.
    fn begin(&mut self, name: &str) -> &mut JsonWriter {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.text.push(',');
        }
        self.writer.text(name);
        self.writer.text.push(':');
        self.writer
    }

    /// Closes the object.
    pub fn end(self) {
        self.writer.text.push('}');
    }
}

/// What `f32` and `f64` have in common here.
pub trait Float: fmt::Debug + Copy {
    /// Whether it is a number.
    fn is_finite(self) -> bool;

    /// What stands for one that is none.
    fn name(self) -> String;

    /// The float that the digits are nearest to.
    fn of_digits(digits: &str) -> Option<Self>;

    /// The float that the name stands for.
    fn of_name(name: &str) -> Option<Self>;
}

macro_rules! float {
    ($($type:ident($bits:ident, $digits:literal);)*) => {$(
        impl Float for $type {
            fn is_finite(self) -> bool {
                $type::is_finite(self)
            }

            fn name(self) -> String {
                if self.is_infinite() {
                    return if self > 0.0 { "inf" } else { "-inf" }.to_owned();
                }
                if self.to_bits() == $type::NAN.to_bits() {
                    return "NaN".to_owned();
                }
                format!("NaN:{:0width$x}", self.to_bits(), width = $digits)
            }

            fn of_digits(digits: &str) -> Option<$type> {
                digits.parse::<$type>().ok().filter(|float| float.is_finite())
            }

            fn of_name(name: &str) -> Option<$type> {
                match name {
                    "inf" => return Some($type::INFINITY),
                    "-inf" => return Some($type::NEG_INFINITY),
                    "NaN" => return Some($type::NAN),
                    _ => {}
                }
                let bits = name.strip_prefix("NaN:").filter(|bits| bits.len() == $digits)?;
                let bits = $bits::from_str_radix(bits, 16).ok()?;
                Some($type::from_bits(bits)).filter(|float| float.is_nan())
            }
        }
    )*};
}

float! {
    f32(u32, 8);
    f64(u64, 16);
}
