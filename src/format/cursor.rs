//! Reading and writing bytes in order.
//!
//! - A [`Cursor`] never reads past its end: what is not there is [`Damage::Truncated`].
//! - Numbers are little-endian, whatever the machine.
//! - A length read from the bytes is compared with what is left before it is used.

use crate::error::Damage;
pub(crate) use crate::format::layout::padded_to_8;

/// Reads bytes in order; every read says what it reads, for the message.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    /// The bytes not yet read.
    rest: &'a [u8],
    /// How many were.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes, at: 0 }
    }

    /// How many bytes were read.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The bytes not yet read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all was read.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, len: usize, of: &'static str) -> Result<&'a [u8], Damage> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            let left = self.rest.len() as u64;
            return Err(Damage::Truncated { of, needed: len as u64, left });
        };
        self.rest = rest;
        self.at += len;
        Ok(bytes)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, of: &'static str) -> Result<[u8; N], Damage> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            let left = self.rest.len() as u64;
            return Err(Damage::Truncated { of, needed: N as u64, left });
        };
        self.rest = rest;
        self.at += N;
        Ok(*bytes)
    }

    /// A number of one byte.
    #[inline]
    pub(crate) fn u8(&mut self, of: &'static str) -> Result<u8, Damage> {
        Ok(u8::from_le_bytes(self.array(of)?))
    }

    /// A number of two bytes.
    #[inline]
    pub(crate) fn u16(&mut self, of: &'static str) -> Result<u16, Damage> {
        Ok(u16::from_le_bytes(self.array(of)?))
    }

    /// A number of four bytes.
    #[inline]
    pub(crate) fn u32(&mut self, of: &'static str) -> Result<u32, Damage> {
        Ok(u32::from_le_bytes(self.array(of)?))
    }

    /// A number of eight bytes.
    #[inline]
    pub(crate) fn u64(&mut self, of: &'static str) -> Result<u64, Damage> {
        Ok(u64::from_le_bytes(self.array(of)?))
    }

    /// A number of four bytes that counts bytes of memory: at most what is left.
    #[inline]
    pub(crate) fn len_u32(&mut self, of: &'static str) -> Result<usize, Damage> {
        let found = self.u32(of)?;
        let most = self.rest().len();
        match usize::try_from(found) {
            Ok(len) if len <= most => Ok(len),
            _ => Err(Damage::TooLarge { of, found: found.into(), most: most as u64 }),
        }
    }

    /// A text: its length in bytes as four bytes, then UTF-8.
    pub(crate) fn text(&mut self, of: &'static str) -> Result<&'a str, Damage> {
        let len = self.len_u32(of)?;
        let bytes = self.bytes(len, of)?;
        std::str::from_utf8(bytes).map_err(|_| Damage::Undecodable { of })
    }

    /// `len` bytes that must be zero.
    pub(crate) fn zeros(&mut self, len: usize, of: &'static str) -> Result<(), Damage> {
        match self.bytes(len, of)?.iter().find(|byte| **byte != 0) {
            None => Ok(()),
            Some(byte) => Err(Damage::Value { of, found: (*byte).into(), expected: 0 }),
        }
    }

    /// Zeros up to the next multiple of 8 from the cursor's start.
    pub(crate) fn padding(&mut self, of: &'static str) -> Result<(), Damage> {
        self.zeros(padded_to_8(self.at) - self.at, of)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self, of: &'static str) -> Result<(), Damage> {
        match self.rest().len() {
            0 => Ok(()),
            left => {
                Err(Damage::TooLarge { of, found: (self.at + left) as u64, most: self.at as u64 })
            }
        }
    }
}

/// Appends bytes in order.
pub(crate) trait Put {
    /// Appends `bytes` as they are.
    fn put_bytes(&mut self, bytes: &[u8]);

    /// Appends a number of one byte.
    fn put_u8(&mut self, value: u8) {
        self.put_bytes(&[value]);
    }

    /// Appends a number of two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Appends a number of four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Appends a number of eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Appends a length in four bytes. Lengths are bounded far below 4 GiB before they get here;
    /// one that is not would be a length that reads as another.
    fn put_len_u32(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or_else(|_| panic!("{len} bytes do not fit a length"));
        self.put_u32(len);
    }

    /// Appends a text as [`Cursor::text`] reads it.
    fn put_text(&mut self, text: &str) {
        self.put_len_u32(text.len());
        self.put_bytes(text.as_bytes());
    }

    /// Appends `len` zeros.
    fn put_zeros(&mut self, len: usize) {
        const ZEROS: [u8; 64] = [0; 64];
        let mut left = len;
        while left > 0 {
            let step = left.min(ZEROS.len());
            self.put_bytes(&ZEROS[..step]);
            left -= step;
        }
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<const ALIGNMENT: usize> Put for rkyv::util::AlignedVec<ALIGNMENT> {
    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends zeros up to the next multiple of 8.
pub(crate) fn pad_to_8(bytes: &mut Vec<u8>) {
    bytes.resize(padded_to_8(bytes.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_back() {
        let mut bytes = Vec::new();
        bytes.put_u8(1);
        bytes.put_u16(2);
        bytes.put_u32(3);
        bytes.put_u64(4);
        bytes.put_text("fünf");
        pad_to_8(&mut bytes);
        bytes.put_zeros(100);
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u8("a"), Ok(1));
        assert_eq!(cursor.u16("a"), Ok(2));
        assert_eq!(cursor.u32("a"), Ok(3));
        assert_eq!(cursor.u64("a"), Ok(4));
        assert_eq!(cursor.text("a"), Ok("fünf"));
        assert_eq!(cursor.padding("a"), Ok(()));
        assert_eq!(cursor.position(), 24);
        assert_eq!(cursor.zeros(100, "a"), Ok(()));
        assert!(cursor.is_empty());
        assert_eq!(cursor.end("a"), Ok(()));
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let bytes = [9, 0, 0, 0, 1];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u64("n"), Err(Damage::Truncated { of: "n", needed: 8, left: 5 }));
        assert_eq!(cursor.text("t"), Err(Damage::TooLarge { of: "t", found: 9, most: 1 }));
        assert_eq!(
            cursor.bytes(usize::MAX, "b"),
            Err(Damage::Truncated { of: "b", needed: usize::MAX as u64, left: 1 })
        );
        assert_eq!(cursor.zeros(1, "z"), Err(Damage::Value { of: "z", found: 1, expected: 0 }));
    }

    #[test]
    fn a_text_that_is_no_utf_8_does_not_decode() {
        let bytes = [1, 0, 0, 0, 0xff];
        assert_eq!(Cursor::new(&bytes).text("t"), Err(Damage::Undecodable { of: "t" }));
    }
}
