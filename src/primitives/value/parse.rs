//! Reading JSON text (RFC 8259). Written here, since what `serde_json` makes of a text depends on the
//! features that other crates of the program turn on: with some of them a member's name can turn an
//! object into a number, or into what another text holds.

use std::sync::Arc;

use super::{JSON_DEPTH_MAX, Json, JsonError, JsonNumber, Node};

/// Reads exactly one value.
pub(super) fn parse(text: &str) -> Result<Json, JsonError> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(JSON_DEPTH_MAX)?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.expected("the end of the text")),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes, always between two letters.
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth_left: usize) -> Result<Json, JsonError> {
        self.space();
        let node = match self.peek() {
            Some(b'{') => self.object(depth_left.checked_sub(1).ok_or(JsonError::Depth)?)?,
            Some(b'[') => self.array(depth_left.checked_sub(1).ok_or(JsonError::Depth)?)?,
            Some(b'"') => Node::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Node::Number(self.number()?),
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Json(node))
    }

    fn object(&mut self, depth_left: usize) -> Result<Node, JsonError> {
        let mut members = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(Node::Object(members.into_iter().collect()));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a member's name"));
            }
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.expected("a colon"));
            }
            members.push((name, self.value(depth_left)?));
            self.space();
            if self.take(b'}') {
                // Of members with the same name the last one stays.
                return Ok(Node::Object(members.into_iter().collect()));
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the object's end"));
            }
        }
    }

    fn array(&mut self, depth_left: usize) -> Result<Node, JsonError> {
        let mut elements = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b']') {
            return Ok(Node::Array(elements.into_iter().collect()));
        }
        loop {
            elements.push(self.value(depth_left)?);
            self.space();
            if self.take(b']') {
                return Ok(Node::Array(elements.into_iter().collect()));
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the array's end"));
            }
        }
    }

    fn string(&mut self) -> Result<Arc<str>, JsonError> {
        self.at += 1;
        let plain = self.plain();
        if self.take(b'"') {
            return Ok(plain.into());
        }
        let mut letters = plain.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(letters.into());
                }
                Some(b'\\') => letters.push(self.escape()?),
                Some(0..0x20) => return Err(self.expected("an escaped control character")),
                Some(_) => letters.push_str(self.plain()),
                None => return Err(self.expected("a closing quote")),
            }
        }
    }

    /// The letters up to what means something else in a string.
    fn plain(&mut self) -> &'a str {
        let rest = self.rest();
        let ends = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
        let len = rest.bytes().position(|byte| ends(&byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let letter = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// Behind `\`: a `u` with four digits, or two of those that are one letter. Half a letter is none.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let high = self.four_digits()?;
        let code = match high {
            0xd800..0xdc00 if self.rest().starts_with("\\u") => {
                self.at += 1;
                match self.four_digits()? {
                    low @ 0xdc00..0xe000 => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => high,
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| {
            self.at = start;
            self.expected("a letter, or both halves of one")
        })
    }

    /// Behind a `u` that stands here.
    fn four_digits(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<JsonNumber, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let number = self.text.get(start..self.at).unwrap_or_default();
        if is_integer && number != "-0" {
            let natural = number.parse().map(JsonNumber::Natural);
            let integer = natural.or_else(|_| number.parse().map(JsonNumber::Negative));
            return integer.map_err(|_| JsonError::Integer { offset: start });
        }
        match number.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(JsonNumber::Float(float)),
            _ => {
                self.at = start;
                Err(self.expected("a number that binary64 holds"))
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, node: Node) -> Result<Node, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        Ok(node)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
        JsonError::Syntax { line, column, expected }
    }
}
