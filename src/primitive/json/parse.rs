//! The grammar of RFC 8259: text into a tree.
//!
//! - Names in an object differ; a number, once it is asked for, is read by its own type.
//! - An escape that is half of a surrogate pair is refused: there is no such letter.

use std::borrow::Cow;

use super::DEPTH_MAX;
use super::read::{Json, Misfit, Value};

/// From how many names on an object's are compared by sorting them.
const COMPARED_ONE_BY_ONE_MAX: usize = 16;

impl Json<'_> {
    /// Reads one value, and nothing behind it but white space.
    ///
    /// # Errors
    ///
    /// Where and why the text is none.
    pub fn parse(text: &str) -> Result<Json<'_>, Misfit> {
        let mut parser = Parser { text, at: 0 };
        parser.space();
        let value = parser.value(0)?;
        parser.space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.misfit("the end of the line")),
        }
    }
}

/// How far the text was read; always between two letters.
struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is there.
    fn takes(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn misfit(&self, expected: &str) -> Misfit {
        let found = match self.rest().chars().next() {
            None => "the end of the line".to_owned(),
            Some(letter) => format!("'{}'", letter.escape_debug()),
        };
        Misfit { column: self.at + 1, found: found.into(), expected: expected.into() }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'t>, Misfit> {
        let column = self.at + 1;
        let value = match self.peek() {
            Some(b'"') => Value::Text(self.string()?),
            Some(b'[') => Value::List(self.list(depth)?),
            Some(b'{') => Value::Object(self.object(depth)?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b't') => self.word("true", Value::Boolean(true))?,
            Some(b'f') => self.word("false", Value::Boolean(false))?,
            _ => return Err(self.misfit("a value")),
        };
        Ok(Json { column, value })
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Result<Value<'t>, Misfit> {
        if !self.rest().starts_with(word) {
            return Err(self.misfit("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn deeper(&self, depth: usize) -> Result<usize, Misfit> {
        if depth < DEPTH_MAX {
            return Ok(depth + 1);
        }
        Err(Misfit {
            column: self.at + 1,
            found: "one more array or object inside others".into(),
            expected: format!("at most {DEPTH_MAX}").into(),
        })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Json<'t>>, Misfit> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.takes(b']') {
            return Ok(items);
        }
        loop {
            self.space();
            items.push(self.value(depth)?);
            self.space();
            if self.takes(b']') {
                return Ok(items);
            }
            if !self.takes(b',') {
                return Err(self.misfit("',' or ']'"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(Cow<'t, str>, Json<'t>)>, Misfit> {
        let depth = self.deeper(depth)?;
        let start = self.at;
        self.at += 1;
        let mut fields: Vec<(Cow<'t, str>, Json<'t>)> = Vec::new();
        self.space();
        if self.takes(b'}') {
            return Ok(fields);
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.misfit("a name in quotes"));
            }
            let name = self.string()?;
            self.space();
            if !self.takes(b':') {
                return Err(self.misfit("':'"));
            }
            self.space();
            let value = self.value(depth)?;
            fields.push((name, value));
            self.space();
            if self.takes(b'}') {
                break;
            }
            if !self.takes(b',') {
                return Err(self.misfit("',' or '}'"));
            }
        }
        if has_twice(&fields) {
            return Err(Misfit {
                column: start + 1,
                found: "an object with a name that stands twice".into(),
                expected: "each name once".into(),
            });
        }
        Ok(fields)
    }

    fn number(&mut self) -> Result<&'t str, Misfit> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), Misfit> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.misfit("a digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Misfit> {
        self.at += 1;
        let mut owned: Option<String> = None;
        loop {
            let plain = self.rest();
            let len = plain
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .unwrap_or(plain.len());
            let plain = plain.get(..len).unwrap_or_default();
            self.at += len;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(plain);
                    let letter = self.escape()?;
                    text.push(letter);
                }
                Some(_) => return Err(self.misfit("no control character in a string")),
                None => return Err(self.misfit("'\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Misfit> {
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
            _ => return Err(self.misfit("an escape of JSON")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn unicode(&mut self) -> Result<char, Misfit> {
        let start = self.at;
        let high = self.unit()?;
        let code = match high {
            0xd800..0xdc00 if self.rest().starts_with("\\u") => {
                self.at += 1;
                let low = self.unit()?;
                // What is no low half gives a code that is no letter.
                match low {
                    0xdc00..0xe000 => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => high,
                }
            }
            _ => high,
        };
        char::from_u32(code).ok_or_else(|| Misfit {
            column: start,
            found: "half of a surrogate pair".into(),
            expected: "a letter".into(),
        })
    }

    /// Four hexadecimal digits behind a `u`.
    fn unit(&mut self) -> Result<u32, Misfit> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.misfit("four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(unit)
    }
}

fn has_twice(fields: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if fields.len() <= COMPARED_ONE_BY_ONE_MAX {
        let mut rest = fields;
        while let [(name, _), behind @ ..] = rest {
            if behind.iter().any(|(other, _)| other == name) {
                return true;
            }
            rest = behind;
        }
        return false;
    }
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}
