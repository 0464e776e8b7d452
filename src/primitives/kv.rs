//! `KvStore`: byte keys, byte values, in the order of the keys.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x10 `put`, 0x11 `delete`. Neither can fail, so each
//!    replays as it ran.
//! 2. Iteration, ranges and prefixes go by the keys' bytes, the lesser first; a key that begins
//!    another comes before it.
//! 3. Values are shared: a [`Bytes`] read from a view stays as it is whatever is put later.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::KvStore;
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//! db.transaction(|tx| {
//!     let mut kv = tx.on::<KvStore>();
//!     kv.put(b"fruit/apple", b"red")?;
//!     kv.put(b"fruit/banana", b"yellow")?;
//!     kv.put(b"tool/saw", b"steel")?;
//!     kv.delete(b"tool/saw")?;
//!     Ok(())
//! })?;
//!
//! let view = db.view();
//! let kv = view.on::<KvStore>();
//! assert_eq!(kv.get(b"fruit/apple").as_deref(), Some(&b"red"[..]));
//! assert_eq!(kv.prefix(b"fruit/").count(), 2);
//! let (last, _) = kv.iter().next_back().unwrap();
//! assert_eq!(&last[..], b"fruit/banana");
//! # Ok(())
//! # }
//! ```

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use freehold::MapRange;
use freehold::prelude::*;

/// A map from byte keys to byte values, ordered by key.
///
/// A key or a value may be empty. A key and its value fit together into one entry of the log,
/// 64 MiB; a larger pair is rejected before anything changes.
#[primitive(id = 1, wal = 0x10..=0x11, name = "kv")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KvStore {
    pairs: OrdMap<Bytes, Bytes>,
}

#[operations]
impl KvStore {
    /// Puts `value` under `key` and returns the value that it replaced.
    #[wal(0x10)]
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Option<Bytes> {
        self.pairs.insert(Bytes::from(key), Bytes::from(value))
    }

    /// Removes `key` and returns the value that it had.
    ///
    /// Removing a key that is not there is logged all the same: ask [`KvStore::contains`] first
    /// where that happens often.
    #[wal(0x11)]
    pub fn delete(&mut self, key: &[u8]) -> Option<Bytes> {
        self.pairs.remove(key)
    }

    /// The value under `key`: its bytes are shared with the store, not copied.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        self.pairs.get(key.as_ref()).cloned()
    }

    /// Whether there is a value under `key`.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.pairs.contains_key(key.as_ref())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Every key with its value, in the order of the keys, from either end.
    pub fn iter(&self) -> Pairs<'_> {
        self.between(Bound::Unbounded, Bound::Unbounded)
    }

    /// The keys inside `keys` with their values, in the order of the keys, from either end.
    ///
    /// A range whose end lies before its start holds nothing.
    ///
    /// ```
    /// # use freehold::primitives::KvStore;
    /// # fn scan(kv: &KvStore, resume_after: Vec<u8>) {
    /// use std::ops::Bound;
    ///
    /// kv.range("a".."b");
    /// kv.range(b"a"..=b"b");
    /// kv.range((Bound::Excluded(resume_after), Bound::Unbounded));
    /// # }
    /// ```
    pub fn range(&self, keys: impl KeyRange) -> Pairs<'_> {
        let (start, end) = keys.bounds();
        self.between(start, end)
    }

    /// The keys that begin with `prefix` with their values, in the order of the keys, from either
    /// end. The empty prefix is every key.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Pairs<'_> {
        let prefix = prefix.as_ref();
        let after = first_after(prefix);
        let end = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.between(Bound::Included(prefix), end)
    }

    fn between(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Pairs<'_> {
        let bounds = if holds_something(start, end) {
            (start, end)
        } else {
            // The map would panic on a reversed range; no key is less than the empty one.
            (Bound::Unbounded, Bound::Excluded(&[][..]))
        };
        Pairs { pairs: self.pairs.range::<[u8], _>(bounds) }
    }
}

/// Neighbouring keys of a [`KvStore`] with their values, in the order of the keys, from either end.
#[derive(Clone)]
pub struct Pairs<'a> {
    pairs: MapRange<'a, Bytes, Bytes>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a Bytes, &'a Bytes);

    fn next(&mut self) -> Option<(&'a Bytes, &'a Bytes)> {
        self.pairs.next()
    }
}

impl<'a> DoubleEndedIterator for Pairs<'a> {
    fn next_back(&mut self) -> Option<(&'a Bytes, &'a Bytes)> {
        self.pairs.next_back()
    }
}

impl std::iter::FusedIterator for Pairs<'_> {}

/// What [`KvStore::range`] takes: Rust's ranges of anything that gives bytes, such as `"a".."b"`,
/// `b"a"..`, `..=key`, `..`, or a pair of [`Bound`]s.
pub trait KeyRange {
    /// Where the range starts and where it ends.
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>);
}

impl KeyRange for RangeFull {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for Range<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start.as_ref()), Bound::Excluded(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeInclusive<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start().as_ref()), Bound::Included(self.end().as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeFrom<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start.as_ref()), Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeTo<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Excluded(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeToInclusive<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Included(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for (Bound<K>, Bound<K>) {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.0.as_ref().map(K::as_ref), self.1.as_ref().map(K::as_ref))
    }
}

/// Whether a key can lie between the bounds.
fn holds_something(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start <= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start < end,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
    }
}

/// The least key that is greater than every key with this prefix; none if there is no such key.
fn first_after(prefix: &[u8]) -> Option<Vec<u8>> {
    let (&last, before) = {
        let used = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
        prefix.get(..=used)?.split_last()?
    };
    let mut after = before.to_vec();
    after.push(last.checked_add(1)?);
    Some(after)
}

#[cfg(test)]
freehold::conformance!(KvStore, {
    let key = proptest::collection::vec(0..3u8, 0..3);
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        3 => (key.clone(), value).prop_map(|(key, value)| call!(KvStore, put(&key, &value))),
        1 => key.prop_map(|key| call!(KvStore, delete(&key))),
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_prefix_drops_the_bytes_that_cannot_grow() {
        assert_eq!(first_after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(first_after(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(first_after(b"\xff\xff"), None);
        assert_eq!(first_after(b""), None);
    }

    #[test]
    fn a_range_that_ends_before_it_starts_holds_nothing() {
        let mut kv = KvStore::default();
        for key in [&b""[..], b"a", b"b"] {
            kv.put(key, b"");
        }
        assert_eq!(kv.range("b".."a").count(), 0);
        assert_eq!(kv.range("a".."a").count(), 0);
        assert_eq!(kv.range((Bound::Excluded("a"), Bound::Excluded("a"))).count(), 0);
        assert_eq!(kv.range((Bound::Excluded("a"), Bound::Included("a"))).count(), 0);
        assert_eq!(kv.range("a"..="a").count(), 1);
        assert_eq!(kv.range(..).rev().count(), 3);
    }

    #[test]
    fn a_prefix_scan_holds_the_keys_that_begin_with_it_and_no_others() {
        let mut kv = KvStore::default();
        let keys =
            [&b""[..], b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"\xff\xff\x01"];
        for key in keys {
            kv.put(key, b"");
        }
        for prefix in keys {
            let expected: Vec<&[u8]> =
                keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
            let found: Vec<&[u8]> = kv.prefix(prefix).map(|(key, _)| &key[..]).collect();
            assert_eq!(found, expected, "prefix {prefix:?}");
            let backwards: Vec<&[u8]> = kv.prefix(prefix).rev().map(|(key, _)| &key[..]).collect();
            assert_eq!(backwards, expected.into_iter().rev().collect::<Vec<_>>());
        }
    }
}
