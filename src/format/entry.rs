//! An entry: one operation inside a record.
//!
//! - Head and payload start on multiples of 8 of the body; the padding behind the payload is zero,
//!   and that is checked.
//! - An entry says nothing of its place: its index is how many entries precede it in the record.

use crate::error::Damage;
use crate::format::ENTRY_BYTES_MAX;
#[cfg(test)]
use crate::format::cursor::Put;
use crate::format::cursor::{Cursor, padded_to_8};
use crate::format::layout::{Field, width_of_all};

/// The fields of an entry's head.
pub(crate) const ENTRY_HEAD: &[Field] = &[
    ("payload length, padding not counted", 4),
    ("WAL type", 1),
    ("version", 1),
    ("reserved, zero", 2),
];

/// Bytes of an entry's head.
pub(crate) const ENTRY_HEAD_LEN: usize = width_of_all(ENTRY_HEAD);

const _: () = assert!(ENTRY_HEAD_LEN == 8);

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[(
    "Head of an entry",
    "The payload follows, then zeros to the next multiple of 8.",
    ENTRY_HEAD,
)];

/// One logged operation: which, in which version of its layout and meaning, and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalEntry<'a> {
    /// Which primitive's which operation.
    pub wal_type: u8,
    /// The version of the operation's layout and meaning.
    pub version: u8,
    /// The arguments. In memory they start on a multiple of 8 when the record does.
    pub payload: &'a [u8],
}

impl<'a> WalEntry<'a> {
    /// Takes the next entry off `cursor`, which stands at a multiple of 8. The head is read in one
    /// piece, and so is the payload with its padding: there may be millions of entries.
    #[inline]
    fn decode(cursor: &mut Cursor<'a>) -> Result<WalEntry<'a>, Damage> {
        let head = Head::decode(cursor.array("entry head")?);
        if head.reserved != 0 {
            let (of, found) = ("reserved bytes of an entry", head.reserved.into());
            return Err(Damage::Value { of, found, expected: 0 });
        }
        let len = match usize::try_from(head.payload_len) {
            Ok(len) if len <= ENTRY_BYTES_MAX => len,
            _ => {
                let (found, most) = (head.payload_len.into(), ENTRY_BYTES_MAX as u64);
                return Err(Damage::TooLarge { of: "entry payload length", found, most });
            }
        };
        let padded = cursor.bytes(padded_to_8(len), "entry payload")?;
        let (payload, padding) = padded.split_at_checked(len).unwrap_or((padded, &[]));
        if let Some(byte) = padding.iter().find(|byte| **byte != 0) {
            let (of, found) = ("padding of an entry", (*byte).into());
            return Err(Damage::Value { of, found, expected: 0 });
        }
        Ok(WalEntry { wal_type: head.wal_type, version: head.version, payload })
    }

    /// The entry whose head begins at `offset` of `bytes`, where one was decoded before: nothing is
    /// checked but that it is there.
    #[inline]
    pub(crate) fn again(bytes: &'a [u8], offset: usize) -> Option<WalEntry<'a>> {
        let (head, rest) = bytes.get(offset..)?.split_first_chunk()?;
        let Head { payload_len, wal_type, version, .. } = Head::decode(*head);
        let payload = rest.get(..usize::try_from(payload_len).ok()?)?;
        Some(WalEntry { wal_type, version, payload })
    }

    /// Appends the entry to a body whose length is a multiple of 8.
    #[cfg(test)]
    pub(crate) fn encode(&self, body: &mut impl Put) {
        body.put_bytes(&encode_head(self.payload.len(), self.wal_type, self.version));
        body.put_bytes(self.payload);
        body.put_zeros(padded_to_8(self.payload.len()) - self.payload.len());
    }
}

/// An entry's head.
struct Head {
    payload_len: u32,
    wal_type: u8,
    version: u8,
    reserved: u16,
}

impl Head {
    #[inline]
    fn decode([a, b, c, d, wal_type, version, e, f]: [u8; ENTRY_HEAD_LEN]) -> Head {
        let payload_len = u32::from_le_bytes([a, b, c, d]);
        Head { payload_len, wal_type, version, reserved: u16::from_le_bytes([e, f]) }
    }
}

/// The head of an entry, for one whose payload is encoded in place behind it. The payload is padded
/// with zeros to a multiple of 8.
pub(crate) fn encode_head(payload_len: usize, wal_type: u8, version: u8) -> [u8; ENTRY_HEAD_LEN] {
    let len = u32::try_from(payload_len)
        .unwrap_or_else(|_| panic!("a payload of {payload_len} bytes was not refused"));
    let [a, b, c, d] = len.to_le_bytes();
    [a, b, c, d, wal_type, version, 0, 0]
}

/// The entries of a body, in order. After damage there is nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    cursor: Cursor<'a>,
    /// How many the record's head promises and were not yet taken.
    left: u32,
    ended: bool,
}

impl<'a> Entries<'a> {
    /// The entries in `bytes`, which is a body behind its head; `count` are promised.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], count: u32) -> Entries<'a> {
        Entries { cursor: Cursor::new(bytes), left: count, ended: false }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<WalEntry<'a>, Damage>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.ended = true;
            // Bytes behind the last entry that is promised would be replayed by nobody.
            return self.cursor.end("entries of a record").err().map(Err);
        }
        self.left -= 1;
        let entry = WalEntry::decode(&mut self.cursor);
        self.ended = entry.is_err();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_entries() -> Vec<u8> {
        let mut bytes = Vec::new();
        WalEntry { wal_type: 0x10, version: 1, payload: b"abc" }.encode(&mut bytes);
        WalEntry { wal_type: 0x11, version: 2, payload: b"" }.encode(&mut bytes);
        bytes
    }

    #[test]
    fn entries_come_back_in_order() {
        let bytes = two_entries();
        assert_eq!(bytes.len(), 24);
        let entries: Result<Vec<_>, _> = Entries::new(&bytes, 2).collect();
        let entries = entries.unwrap();
        assert_eq!(entries[0], WalEntry { wal_type: 0x10, version: 1, payload: b"abc" });
        assert_eq!(entries[1], WalEntry { wal_type: 0x11, version: 2, payload: b"" });
    }

    #[test]
    fn a_wrong_count_is_damage() {
        let bytes = two_entries();
        for count in [0, 1, 3, u32::MAX] {
            let entries: Result<Vec<_>, _> = Entries::new(&bytes, count).collect();
            assert!(entries.is_err(), "{count} entries promised");
        }
    }

    #[test]
    fn padding_and_reserved_bytes_must_be_zero() {
        for at in [6, 7, 11, 12, 13, 14, 15] {
            let mut bytes = two_entries();
            bytes[at] = 1;
            let entries: Result<Vec<_>, _> = Entries::new(&bytes, 2).collect();
            assert!(entries.is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_truncation_is_damage() {
        let bytes = two_entries();
        for len in 0..bytes.len() {
            let entries: Result<Vec<_>, _> = Entries::new(&bytes[..len], 2).collect();
            assert!(entries.is_err(), "cut to {len}");
        }
    }
}
