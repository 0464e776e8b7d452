//! A byte string: short ones inline, long ones shared.
//!
//! - 24 bytes; up to 22 bytes of content need no allocation.
//! - Order, equality and hash are those of the content, however it is held.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// The longest content that is kept inline.
const INLINE_BYTES_MAX: usize = 22;

/// Bytes that never change. Cloning is cheap: up to 22 bytes are copied, more are shared.
///
/// ```
/// use freehold::Bytes;
///
/// let bytes = Bytes::from("key");
/// assert_eq!(&bytes[..], b"key");
/// assert!(bytes < Bytes::from(b"kez"));
/// ```
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { bytes_len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Shared(Arc<[u8]>),
}

const _: () = assert!(size_of::<Bytes>() == 24, "maps of short keys count on it");

impl Bytes {
    /// No bytes.
    #[must_use]
    pub const fn new() -> Bytes {
        Bytes(Repr::Inline { bytes_len: 0, bytes: [0; INLINE_BYTES_MAX] })
    }

    /// The content.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { bytes_len, bytes } => {
                bytes.get(..usize::from(*bytes_len)).unwrap_or(bytes)
            }
            Repr::Shared(bytes) => bytes,
        }
    }

    fn inline(content: &[u8]) -> Option<Bytes> {
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes.get_mut(..content.len())?.copy_from_slice(content);
        let bytes_len = u8::try_from(content.len()).ok()?;
        Some(Bytes(Repr::Inline { bytes_len, bytes }))
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::new()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<&[u8]> for Bytes {
    fn from(content: &[u8]) -> Bytes {
        Bytes::inline(content).unwrap_or_else(|| Bytes(Repr::Shared(content.into())))
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(content: &[u8; N]) -> Bytes {
        Bytes::from(&content[..])
    }
}

impl From<&str> for Bytes {
    fn from(content: &str) -> Bytes {
        Bytes::from(content.as_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(content: Vec<u8>) -> Bytes {
        Bytes::inline(&content).unwrap_or_else(|| Bytes(Repr::Shared(content.into())))
    }
}

impl From<String> for Bytes {
    fn from(content: String) -> Bytes {
        Bytes::from(content.into_bytes())
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(content: I) -> Bytes {
        Bytes::from(content.into_iter().collect::<Vec<u8>>())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Bytes) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Bytes) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_slice() == other
    }
}

impl PartialEq<&[u8]> for Bytes {
    fn eq(&self, other: &&[u8]) -> bool {
        self.as_slice() == *other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Bytes {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.as_slice() == other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Bytes {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.as_slice() == *other
    }
}

impl PartialEq<Vec<u8>> for Bytes {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl PartialEq<Bytes> for [u8] {
    fn eq(&self, other: &Bytes) -> bool {
        self == other.as_slice()
    }
}

/// As a byte string literal.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_slice().escape_ascii())
    }
}
