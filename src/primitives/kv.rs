//! `KvStore`: byte keys, byte values, in the order of the keys.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x10 `put`, 0x11 `delete`, 0x12 `compare_and_swap`,
//!    0x13 `put_all`, 0x14 `delete_range`. Only `compare_and_swap` rejects for what it finds, and
//!    then it changes nothing.
//! 2. Iteration, ranges and prefixes go by the keys' bytes, the lesser first; a key that begins
//!    another comes before it.
//! 3. A key or a value of up to 22 bytes stands inline in the tree's node, so comparing short keys
//!    follows no pointer.
//! 4. A longer value is shared, not copied on reading: the [`Bytes`] that a read gives is the
//!    store's own memory, and stays as it is whatever is put later.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::kv::{KeyBounds, KvError, KvStore};
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//!
//! // Changes: all of a transaction, or nothing.
//! db.transaction(|tx| {
//!     let mut kv = tx.on::<KvStore>();
//!     kv.put(b"fruit/apple", b"red")?;
//!     let replaced = kv.put(b"fruit/apple", b"green")?;
//!     assert_eq!(replaced.as_deref(), Some(&b"red"[..]));
//!     kv.put_all(vec![(b"fruit/fig", b"blue"), (b"tool/axe", b"iron"), (b"tool/saw", b"steel")])?;
//!     kv.delete(b"tool/saw")?;
//!     kv.compare_and_swap(b"fruit/apple", Some(b"green"), Some(b"rotten"))?;
//!     assert_eq!(kv.get("fruit/apple").as_deref(), Some(&b"rotten"[..])); // before it commits
//!     Ok(())
//! })?;
//!
//! // Somebody else was faster: the error has what is there now.
//! let error = db
//!     .transaction(|tx| tx.on::<KvStore>().compare_and_swap(b"fruit/apple", None, Some(b"new")))
//!     .unwrap_err();
//! let Some(KvError::OtherValue { found, .. }) = error.rejected() else { panic!("{error}") };
//! assert_eq!(found.as_deref(), Some(&b"rotten"[..]));
//!
//! // Reads: from a view, which no later change reaches.
//! let view = db.view();
//! let kv = view.on::<KvStore>();
//! assert_eq!((kv.len(), kv.is_empty()), (3, false));
//! assert_eq!(kv.get(b"fruit/fig").as_deref(), Some(&b"blue"[..]));
//! assert!(!kv.contains("tool/saw"));
//! assert_eq!(kv.first().unwrap().0, b"fruit/apple");
//! assert_eq!(kv.last().unwrap().0, b"tool/axe");
//! assert!(kv.keys().eq([b"fruit/apple".as_slice(), b"fruit/fig", b"tool/axe"]));
//! assert_eq!(kv.prefix("fruit/").count(), 2);
//! let below = kv.range(.."tool").next_back().unwrap(); // the greatest key below `tool`
//! assert_eq!(below, (&b"fruit/fig".into(), &b"blue".into()));
//! let backwards: Vec<_> = kv.iter().rev().map(|(key, _)| key.clone()).collect();
//! assert_eq!(backwards[0], b"tool/axe");
//!
//! // Many at once.
//! let removed = db.transaction(|tx| {
//!     let mut kv = tx.on::<KvStore>();
//!     Ok(kv.delete_range("fruit/b"..="fruit/g")? + kv.delete_range(KeyBounds::prefix("tool/"))?)
//! })?;
//! assert_eq!(removed, 2);
//! assert_eq!(kv.len(), 3); // the view from before
//! # Ok(())
//! # }
//! ```

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use freehold::MapRange;
use freehold::prelude::*;

/// A map from byte keys to byte values, ordered by key.
///
/// A key or a value may be empty. The arguments of an operation, such as a key with its value, fit
/// together into one entry of the log, 64 MiB; larger ones are rejected before anything changes.
#[primitive(id = 1, wal = 0x10..=0x14, name = "kv")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KvStore {
    pairs: OrdMap<Bytes, Bytes>,
}

/// Why an operation on a [`KvStore`] was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// `compare_and_swap` found something else than was expected.
    #[error("key {key:?}: holds {}", match found {
        Some(value) => format!("a value of {} bytes, expected another or none", value.len()),
        None => "no value, expected one".to_owned(),
    })]
    OtherValue {
        /// The key.
        key: Bytes,
        /// The value that it has, if it has one.
        found: Option<Bytes>,
    },
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

    /// Puts `new` under `key` if what is there is `expected`; `None` is no value, on either side.
    /// So `(None, Some(new))` only inserts, `(Some(old), None)` only removes, and
    /// `(Some(old), Some(old))` changes nothing, but only commits if it is still there.
    ///
    /// # Errors
    ///
    /// [`KvError::OtherValue`] with the value that is there.
    #[wal(0x12)]
    pub fn compare_and_swap(
        &mut self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), KvError> {
        let found = self.pairs.get(key);
        if found.map(Bytes::as_slice) != expected {
            return Err(KvError::OtherValue { key: Bytes::from(key), found: found.cloned() });
        }
        match new {
            Some(new) => self.pairs.insert(Bytes::from(key), Bytes::from(new)),
            None => self.pairs.remove(key),
        };
        Ok(())
    }

    /// Puts each value under its key, in this order, so that of two under one key the later one
    /// stays. Returns how many of the keys are new.
    ///
    /// One entry of the log for all pairs: smaller than one each, and quicker to replay. The bytes
    /// are borrowed up to there, as from an iterator over anything:
    ///
    /// ```
    /// # use freehold::prelude::*;
    /// # use std::collections::BTreeMap;
    /// # fn import(tx: &mut Transaction<'_>, words: &BTreeMap<String, String>) -> freehold::Result<()> {
    /// let pairs = words.iter().map(|(word, meaning)| (word.as_bytes(), meaning.as_bytes()));
    /// tx.on::<KvStore>().put_all(pairs.collect())?;
    /// # Ok(())
    /// # }
    /// ```
    #[wal(0x13)]
    pub fn put_all(&mut self, pairs: Vec<(&[u8], &[u8])>) -> usize {
        let before = self.pairs.len();
        self.pairs.extend(pairs.into_iter().map(|(key, value)| (key.into(), value.into())));
        self.pairs.len().saturating_sub(before)
    }

    /// Removes the keys inside `keys` and returns how many there were. Takes what
    /// [`KvStore::range`] takes, and [`KeyBounds::prefix`]. One entry of the log, whose size does
    /// not depend on how many there are; the time does.
    ///
    /// ```
    /// # use freehold::prelude::*;
    /// # use freehold::primitives::kv::KeyBounds;
    /// # fn forget(tx: &mut Transaction<'_>) -> freehold::Result<()> {
    /// let mut kv = tx.on::<KvStore>();
    /// kv.delete_range("session/2024".."session/2025")?;
    /// kv.delete_range(KeyBounds::prefix("draft/"))?;
    /// kv.delete_range(..)?; // everything
    /// # Ok(())
    /// # }
    /// ```
    #[wal(0x14)]
    pub fn delete_range(&mut self, keys: impl Into<KeyBounds>) -> usize {
        let KeyBounds { from, until } = keys.into();
        let until = until.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let doomed: Vec<Bytes> =
            self.between(Bound::Included(&from), until).map(|(key, _)| key.clone()).collect();
        for key in &doomed {
            self.pairs.remove(key);
        }
        doomed.len()
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

    /// The least key, with its value.
    #[must_use]
    pub fn first(&self) -> Option<(&Bytes, &Bytes)> {
        self.pairs.first_key_value()
    }

    /// The greatest key, with its value.
    #[must_use]
    pub fn last(&self) -> Option<(&Bytes, &Bytes)> {
        self.pairs.last_key_value()
    }

    /// Every key, in order, from either end.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Bytes> + ExactSizeIterator + Clone {
        self.pairs.keys()
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

/// From a key on, up to another one that is not meant: what [`KvStore::delete_range`] logs.
///
/// Every [`KeyRange`] becomes one, since the next key after `k` is `k` with a zero byte.
///
/// ```
/// use freehold::primitives::kv::KeyBounds;
///
/// assert_eq!(KeyBounds::from("a"..="b"), KeyBounds::from("a".."b\0"));
/// assert_eq!(KeyBounds::prefix("ab"), KeyBounds::from("ab".."ac"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
pub struct KeyBounds {
    from: Bytes,
    until: Option<Bytes>,
}

impl KeyBounds {
    /// The keys that begin with `prefix`. The empty prefix is every key.
    #[must_use]
    pub fn prefix(prefix: impl AsRef<[u8]>) -> KeyBounds {
        let prefix = prefix.as_ref();
        KeyBounds { from: Bytes::from(prefix), until: first_after(prefix).map(Bytes::from) }
    }
}

impl<R: KeyRange> From<R> for KeyBounds {
    fn from(keys: R) -> KeyBounds {
        let (start, end) = keys.bounds();
        KeyBounds {
            from: match start {
                Bound::Included(start) => Bytes::from(start),
                Bound::Excluded(start) => next_key(start),
                Bound::Unbounded => Bytes::new(),
            },
            until: match end {
                Bound::Included(end) => Some(next_key(end)),
                Bound::Excluded(end) => Some(Bytes::from(end)),
                Bound::Unbounded => None,
            },
        }
    }
}

/// The least key that is greater than `key`.
fn next_key(key: &[u8]) -> Bytes {
    key.iter().copied().chain([0]).collect()
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
    use proptest::{collection, option};

    let key = collection::vec(0..3u8, 0..3);
    let value = collection::vec(any::<u8>(), 0..40);
    // So few that a swap often finds what it expects.
    let small = option::of(collection::vec(0..2u8, 0..2));
    let pairs = collection::vec((key.clone(), value.clone()), 0..5);
    let bound = || {
        let key = collection::vec(0..3u8, 0..3);
        prop_oneof![
            2 => key.clone().prop_map(Bound::Included),
            2 => key.prop_map(Bound::Excluded),
            1 => Just(Bound::Unbounded),
        ]
    };
    prop_oneof![
        4 => (key.clone(), value).prop_map(|(key, value)| call!(KvStore, put(&key, &value))),
        1 => key.clone().prop_map(|key| call!(KvStore, delete(&key))),
        4 => (key.clone(), small.clone(), small).prop_map(|(key, expected, new)| {
            call!(KvStore, compare_and_swap(&key, expected.as_deref(), new.as_deref()))
        }),
        2 => pairs.prop_map(|pairs| call!(
            KvStore,
            put_all(pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect::<Vec<_>>())
        )),
        1 => (bound(), bound()).prop_map(|(start, end)| call!(
            KvStore,
            delete_range((start.clone(), end.clone()))
        )),
        1 => key.prop_map(|key| call!(KvStore, delete_range(KeyBounds::prefix(&key)))),
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
