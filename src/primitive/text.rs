//! Text that the compiler builds, of a length that is found first.
//!
//! - [`Text::len`] counts what was pushed, also beyond the room there is: a text without room
//!   measures another one.

/// Up to `N` bytes of text, built in constants.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// No text yet.
    #[must_use]
    pub const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    /// How many bytes were pushed, whether there was room for them or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `text`.
    pub const fn push(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// Appends two hexadecimal digits behind `0x`.
    pub const fn push_byte(&mut self, byte: u8) {
        self.push("0x");
        self.push_digit(byte >> 4);
        self.push_digit(byte & 0xf);
    }

    /// Appends sixteen hexadecimal digits.
    pub const fn push_hex(&mut self, number: u64) {
        let mut shift = 64;
        while shift > 0 {
            shift -= 4;
            self.push_digit(((number >> shift) & 0xf) as u8);
        }
    }

    /// Appends a decimal number.
    pub const fn push_number(&mut self, number: u64) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push_digit((number % 10) as u8);
    }

    const fn push_digit(&mut self, digit: u8) {
        self.push_one(b"0123456789abcdef"[digit as usize]);
    }

    /// Appends bytes, which are text.
    pub(super) const fn push_bytes(&mut self, bytes: &[u8]) {
        let mut index = 0;
        while index < bytes.len() {
            self.push_one(bytes[index]);
            index += 1;
        }
    }

    const fn push_one(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    /// The bytes there was room for.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        let len = if self.len < N { self.len } else { N };
        self.bytes.split_at(len).0
    }

    /// The text; one that was cut inside a letter is not shown.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => text,
            Err(_) => "(too long to show)",
        }
    }

    /// The bytes as they lie, zeros behind the text.
    #[must_use]
    pub const fn into_bytes(self) -> [u8; N] {
        self.bytes
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Text<N> {
        Text::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_room_measures_one_with_room() {
        const fn write<const N: usize>() -> Text<N> {
            let mut text = Text::new();
            text.push("id ");
            text.push_byte(0x8f);
            text.push(" ");
            text.push_number(1048);
            text.push(" ");
            text.push_hex(0x0123_4567_89ab_cdef);
            text
        }
        const LEN: usize = write::<0>().len();
        const TEXT: Text<LEN> = write();
        assert_eq!(TEXT.as_str(), "id 0x8f 1048 0123456789abcdef");
        assert_eq!(&TEXT.into_bytes()[..], TEXT.as_str().as_bytes());
        assert_eq!(Text::<3>::new().as_str(), "");
        assert_eq!(write::<4>().as_str(), "id 0");
    }
}
