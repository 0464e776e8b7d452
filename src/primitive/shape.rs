//! The layout of a stored type as text that the compiler can build, and its fingerprint.
//!
//! - Two types with the same text are archived in the same bytes; a different name, type, order or
//!   number of fields gives a different text.
//! - The text is built at compile time, so a lock file can be compared with it there.
//! - A text that does not fit is cut; its fingerprint still covers all of it.

/// How many bytes of text a shape keeps.
const TEXT_BYTES_MAX: usize = 1536;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// 64-bit FNV-1a, byte by byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Fnv {
        Fnv(FNV_OFFSET)
    }

    pub(crate) const fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(FNV_PRIME);
    }

    pub(crate) const fn add(&mut self, bytes: &[u8]) {
        let mut index = 0;
        while index < bytes.len() {
            self.byte(bytes[index]);
            index += 1;
        }
    }

    pub(crate) const fn finish(&self) -> u64 {
        self.0
    }
}

/// A text, built in constants, and the fingerprint of it.
#[derive(Clone, Copy)]
pub struct Shape {
    bytes: [u8; TEXT_BYTES_MAX],
    bytes_len: usize,
    fingerprint: Fnv,
}

impl Shape {
    /// No text yet.
    #[must_use]
    pub const fn new() -> Shape {
        Shape { bytes: [0; TEXT_BYTES_MAX], bytes_len: 0, fingerprint: Fnv::new() }
    }

    /// A text.
    #[must_use]
    pub const fn of(text: &str) -> Shape {
        Shape::new().text(text)
    }

    /// This text with `text` behind it.
    #[must_use]
    pub const fn text(mut self, text: &str) -> Shape {
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            self = self.byte(bytes[index]);
            index += 1;
        }
        self
    }

    /// This text with that of `shape` behind it.
    #[must_use]
    pub const fn shape(mut self, shape: &Shape) -> Shape {
        let mut index = 0;
        while index < shape.bytes_len {
            self = self.byte(shape.bytes[index]);
            index += 1;
        }
        if shape.bytes_len == TEXT_BYTES_MAX {
            // The text was cut: only its fingerprint knows the rest.
            self = self.hex(shape.fingerprint());
        }
        self
    }

    /// This text with a number behind it.
    #[must_use]
    pub const fn number(self, number: usize) -> Shape {
        let rest = if number >= 10 { self.number(number / 10) } else { self };
        rest.byte(b"0123456789"[number % 10])
    }

    /// The text in one word: `name` and a hash of what this says. For types within types.
    #[must_use]
    pub const fn named(&self, name: &str) -> Shape {
        Shape::of(name).text("#").hex(self.fingerprint())
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        let (text, _) = self.bytes.split_at(self.bytes_len);
        match std::str::from_utf8(text) {
            Ok(text) => text,
            // A name that was cut inside a letter. The fingerprint tells such texts apart.
            Err(_) => "(too long to show)",
        }
    }

    /// Whether the text is shown whole.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bytes_len < TEXT_BYTES_MAX
    }

    /// A number that stands for the text: FNV-1a over its bytes.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint.finish()
    }

    const fn byte(mut self, byte: u8) -> Shape {
        if self.bytes_len < TEXT_BYTES_MAX {
            self.bytes[self.bytes_len] = byte;
            self.bytes_len += 1;
        }
        self.fingerprint.byte(byte);
        self
    }

    const fn hex(mut self, number: u64) -> Shape {
        let mut shift = 64;
        while shift > 0 {
            shift -= 4;
            self = self.byte(b"0123456789abcdef"[((number >> shift) & 0xf) as usize]);
        }
        self
    }
}

impl Default for Shape {
    fn default() -> Shape {
        Shape::new()
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shape({})", self.as_str())
    }
}

/// The tag of a section's table: 32 bits of the hash of the field's name, never 0, which is the
/// table of [`SectionWriter::bytes`](crate::SectionWriter::bytes).
#[must_use]
pub const fn table_tag(field: &str) -> u32 {
    let hash = Shape::of(field).fingerprint();
    let folded = (hash ^ (hash >> 32)) as u32;
    if folded == 0 { 1 } else { folded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_fnv_1a_of_the_text() {
        assert_eq!(Shape::of("").fingerprint(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Shape::of("a").fingerprint(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Shape::of("foobar").fingerprint(), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_text_that_does_not_fit_keeps_its_fingerprint() {
        let long = "x".repeat(2000);
        let one = Shape::of(&long);
        let other = Shape::of(&format!("{long}y"));
        assert_eq!(one.as_str(), other.as_str());
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_ne!(
            Shape::new().shape(&one).fingerprint(),
            Shape::new().shape(&other).fingerprint()
        );
    }

    #[test]
    fn numbers_and_names_are_spelled_out() {
        assert_eq!(Shape::new().number(0).text(" ").number(1048).as_str(), "0 1048");
        assert_eq!(Shape::of("foobar").named("Foo").as_str(), "Foo#85944171f73967e8");
    }
}
