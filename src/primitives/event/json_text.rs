//! `JsonText`: text that was checked to be one JSON value, and is kept as it was written.
//!
//! Invariants:
//!
//! 1. A [`JsonText`] is one JSON value: it is checked when it is made, so replay need not.
//! 2. Checking takes no stack: text may be nested as deep as memory goes.

use std::fmt;

use freehold::prelude::*;

/// Text that is one JSON value (RFC 8259), as it was written: white space, the order of members
/// and the spelling of numbers stay.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct JsonText {
    text: String,
}

/// The text is not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON at byte {offset}: expected {expected}")]
pub struct NotJson {
    /// Where reading stopped, in bytes from the start of the text.
    pub offset: usize,
    /// What could stand there.
    pub expected: &'static str,
}

impl JsonText {
    /// Checks that `text` is one JSON value.
    ///
    /// # Errors
    ///
    /// [`NotJson`] says where it stops being one. There is no limit of depth.
    pub fn new(text: impl Into<String>) -> Result<JsonText, NotJson> {
        let text = text.into();
        JsonCheck { bytes: text.as_bytes(), offset: 0 }.value()?;
        Ok(JsonText { text })
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads one JSON value and keeps nothing of it. Brackets are kept on a list and not on the call
/// stack, so deeply nested text cannot overflow that.
struct JsonCheck<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl JsonCheck<'_> {
    fn value(&mut self) -> Result<(), NotJson> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here a value begins.
            self.white_space();
            match self.peek() {
                Some(b'{') => {
                    self.offset += 1;
                    self.white_space();
                    if !self.take(b'}') {
                        self.member_name()?;
                        open.push(b'}');
                        continue;
                    }
                }
                Some(b'[') => {
                    self.offset += 1;
                    self.white_space();
                    if !self.take(b']') {
                        open.push(b']');
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.expected("a value")),
            }
            // Here one ended: close what it was the last of.
            loop {
                self.white_space();
                let Some(&bracket) = open.last() else {
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => Err(self.expected("the end of the text")),
                    };
                };
                if self.take(bracket) {
                    open.pop();
                } else if !self.take(b',') {
                    return Err(self.expected("a comma or a closing bracket"));
                } else {
                    if bracket == b'}' {
                        self.white_space();
                        self.member_name()?;
                    }
                    break;
                }
            }
        }
    }

    fn member_name(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member's name"));
        }
        self.string()?;
        self.white_space();
        if self.take(b':') { Ok(()) } else { Err(self.expected("a colon")) }
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.offset += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.offset += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.offset += 1;
                        }
                        Some(b'u') => {
                            self.offset += 1;
                            for _ in 0..4 {
                                match self.peek() {
                                    Some(digit) if digit.is_ascii_hexdigit() => self.offset += 1,
                                    _ => return Err(self.expected("four hexadecimal digits")),
                                }
                            }
                        }
                        _ => return Err(self.expected("an escape")),
                    }
                }
                Some(0x20..) => self.offset += 1,
                Some(_) => return Err(self.expected("an escaped control character")),
                None => return Err(self.expected("a closing quote")),
            }
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.offset;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        if self.offset == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), NotJson> {
        for &letter in word {
            if !self.take(letter) {
                return Err(self.expected("true, false or null"));
            }
        }
        Ok(())
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.offset += 1;
        }
        there
    }

    fn expected(&self, expected: &'static str) -> NotJson {
        NotJson { offset: self.offset, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_is_exactly_one_value() {
        for text in [
            "null",
            " true\n",
            "false",
            "0",
            "-0.5e+10",
            "1E400",
            "\"\"",
            r#""\u00e9\n\"""#,
            "[]",
            "[ ]",
            "[1, [2, {}], \"é\"]",
            "{}",
            r#"{"a": {"b": []}, "a": 1 }"#,
        ] {
            assert_eq!(JsonText::new(text).map(|json| json.text), Ok(text.to_owned()));
        }
        for (text, offset) in [
            ("", 0),
            ("nul", 3),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("+1", 0),
            ("1e", 2),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("[1", 2),
            ("[1}", 2),
            ("{\"a\"}", 4),
            ("{\"a\": 1,}", 8),
            ("{a: 1}", 1),
            ("\"a", 2),
            ("\"\n\"", 1),
            (r#""\x""#, 2),
            (r#""\u12g4""#, 5),
            ("1 1", 2),
            ("\u{feff}1", 0),
            ("NaN", 0),
        ] {
            assert_eq!(JsonText::new(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
    }

    #[test]
    fn json_text_nested_a_million_deep_is_checked_without_recursion() {
        let depth = 1_000_000;
        assert!(JsonText::new("[".repeat(depth) + &"]".repeat(depth)).is_ok());
        assert!(JsonText::new("[".repeat(depth) + &"]".repeat(depth - 1)).is_err());
    }
}
