//! Which files this build can read: the format's version and the feature words.
//!
//! - A build reads the version that it writes and all before it. Version 0 was the draft: no build
//!   reads it any more.
//! - In every version a header begins with magic, version, length and feature words, and ends in its
//!   checksum, which is compared before the version: a flipped bit is not taken for another version.
//! - A header may be longer than this build knows, if its feature words allow that this build reads it.
//! - An unknown bit in `incompatible` refuses the file; one in `read_only_compatible` refuses to
//!   write; one in `compatible` changes nothing.

use std::path::Path;

use crate::error::{Damage, Error};
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::Field;
use crate::format::section::check_crc;

/// The version of the file format that this build writes, and the highest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// The feature words as every file's header holds them.
pub(crate) const FEATURES_FIELD: Field =
    ("feature words: compatible, read-only compatible, incompatible", 24);

/// What a file uses beyond the version's basis, one bit each. None is defined yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Who does not know these may read and write.
    pub(crate) compatible: u64,
    /// Who does not know these may only read.
    pub(crate) read_only_compatible: u64,
    /// Who does not know these must refuse.
    pub(crate) incompatible: u64,
}

impl Features {
    /// What this build knows.
    pub(crate) const KNOWN: Features =
        Features { compatible: 0, read_only_compatible: 0, incompatible: 0 };

    pub(crate) fn encode(&self, bytes: &mut impl Put) {
        bytes.put_u64(self.compatible);
        bytes.put_u64(self.read_only_compatible);
        bytes.put_u64(self.incompatible);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Features, Damage> {
        Ok(Features {
            compatible: cursor.u64("compatible features")?,
            read_only_compatible: cursor.u64("read-only compatible features")?,
            incompatible: cursor.u64("incompatible features")?,
        })
    }

    /// Bits that forbid reading.
    pub(crate) fn unknown_incompatible(&self) -> u64 {
        self.incompatible & !Features::KNOWN.incompatible
    }

    /// Bits that forbid writing.
    pub(crate) fn unknown_read_only(&self) -> u64 {
        self.read_only_compatible & !Features::KNOWN.read_only_compatible
    }

    /// Whether there is none that this build does not know.
    pub(crate) fn are_known(&self) -> bool {
        let unknown = self.compatible & !Features::KNOWN.compatible;
        unknown == 0 && self.unknown_read_only() == 0 && self.unknown_incompatible() == 0
    }

    /// Refuses `file` if it uses something that this build must know to read it.
    pub(crate) fn refuse_unknown(&self, file: &Path) -> Result<(), Error> {
        let found = self.unknown_incompatible();
        if found == 0 {
            return Ok(());
        }
        Err(Error::Version {
            place: format!("{}: feature bits", file.display()).into(),
            found,
            supported: Features::KNOWN.incompatible,
        })
    }
}

/// Why a file's header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The bytes are not what was written.
    Damage(Damage),
    /// Another version of the format.
    Version {
        /// The version found.
        found: u32,
    },
    /// Features that this build must know and does not.
    Features {
        /// The unknown bits of the incompatible word.
        unknown: u64,
    },
}

impl From<Damage> for HeaderError {
    fn from(damage: Damage) -> HeaderError {
        HeaderError::Damage(damage)
    }
}

impl HeaderError {
    /// The error for `file`, whose header starts at its first byte.
    pub(crate) fn into_error(self, file: &Path) -> Error {
        match self {
            HeaderError::Damage(damage) => Error::corrupt(file, 0, damage),
            HeaderError::Version { found } => Error::Version {
                place: file.display().to_string().into(),
                found: found.into(),
                supported: FORMAT_VERSION.into(),
            },
            HeaderError::Features { unknown } => Error::Version {
                place: format!("{}: incompatible features", file.display()).into(),
                found: unknown,
                supported: Features::KNOWN.incompatible,
            },
        }
    }
}

/// Whether a build whose version is `supported` reads files of version `found`: its own and all older
/// ones, but for the draft.
pub(crate) fn reads(supported: u32, found: u32) -> bool {
    found == supported || (found != 0 && found < supported)
}

/// Compares the magic that stands next.
pub(crate) fn check_magic(
    cursor: &mut Cursor<'_>,
    magic: [u8; 8],
    of: &'static str,
) -> Result<(), Damage> {
    let found = cursor.array::<8>(of)?;
    if found == magic {
        return Ok(());
    }
    // As a person sees it in a dump: the first byte first.
    let (found, expected) = (u64::from_be_bytes(found), u64::from_be_bytes(magic));
    Err(Damage::Value { of, found, expected })
}

/// The longest header of any version, a segment's without its catalog.
pub(crate) const HEADER_BYTES_MAX: usize = 4096;

/// The release that writes, as headers hold it.
pub(crate) const RELEASE_FIELD: Field = ("release that wrote it: major, minor, patch, 0", 4);

/// Major, minor and patch number of this build.
pub(crate) const RELEASE: [u8; 4] = [
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
    0,
];

const fn number(text: &str) -> u8 {
    match u8::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a part of the release's number is above 255"),
    }
}

/// A header whose checksum is right, of a version that this build reads.
#[derive(Debug)]
pub(crate) struct Front<'a> {
    pub(crate) features: Features,
    /// Bytes of the header. What a later build added stands between the fields that this one knows
    /// and the checksum.
    pub(crate) len: usize,
    /// The header's own checksum, its last field.
    pub(crate) crc: u32,
    /// What follows the feature words.
    pub(crate) rest: Cursor<'a>,
}

/// Begins to encode a header of `len` bytes.
pub(crate) fn begin_header(magic: [u8; 8], len: usize, features: &Features) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    bytes.put_bytes(&magic);
    bytes.put_u32(FORMAT_VERSION);
    bytes.put_len_u32(len);
    features.encode(&mut bytes);
    bytes
}

/// Ends a header with its checksum.
pub(crate) fn end_header(bytes: &mut Vec<u8>) {
    let crc = crc32fast::hash(bytes);
    bytes.put_u32(crc);
}

/// Decodes the front of the header that stands first in `bytes`, of which this build knows `known_len`
/// bytes.
pub(crate) fn decode_front<'a>(
    bytes: &'a [u8],
    magic: [u8; 8],
    known_len: usize,
) -> Result<Front<'a>, HeaderError> {
    let mut cursor = Cursor::new(bytes);
    check_magic(&mut cursor, magic, "magic of a header")?;
    let version = cursor.u32("format version")?;
    let found = cursor.u32("length of a header")?;
    let features = Features::decode(&mut cursor)?;
    let (least, most) = (cursor.position() + 4, bytes.len().min(HEADER_BYTES_MAX));
    let len = match usize::try_from(found) {
        Ok(len) if (least..=most).contains(&len) && len % 8 == 0 => len,
        _ => {
            let (found, expected) = (found.into(), known_len as u64);
            return Err(Damage::Value { of: "length of a header", found, expected }.into());
        }
    };
    let (covered, crc) = bytes.split_at(len - 4);
    let crc = Cursor::new(crc).u32("checksum of a header")?;
    check_crc("header", covered, crc)?;
    check_version(version, &features)?;
    if len < known_len {
        let expected = known_len as u64;
        return Err(
            Damage::Value { of: "length of a header", found: found.into(), expected }.into()
        );
    }
    Ok(Front { features, len, crc, rest: cursor })
}

/// Refuses what is in a header whose checksum is right, unless this build reads such files.
fn check_version(version: u32, features: &Features) -> Result<(), HeaderError> {
    if !reads(FORMAT_VERSION, version) {
        return Err(HeaderError::Version { found: version });
    }
    match features.unknown_incompatible() {
        0 => Ok(()),
        unknown => Err(HeaderError::Features { unknown }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A header of which this build knows `known_len` bytes, as a later build writes it.
    pub(crate) fn lengthened(bytes: Vec<u8>, known_len: usize, version: u32) -> Vec<u8> {
        let mut longer = bytes[..known_len - 4].to_vec();
        longer.extend_from_slice(&[0xab; 40]);
        longer[8..12].copy_from_slice(&version.to_le_bytes());
        longer[12..16].copy_from_slice(&(known_len as u32 + 40).to_le_bytes());
        end_header(&mut longer);
        longer.extend_from_slice(&bytes[known_len..]);
        longer
    }

    #[test]
    fn a_flipped_bit_in_a_version_is_damage_and_a_newer_version_with_a_longer_header_is_none() {
        let decode = |bytes: &[u8]| match decode_front(bytes, *b"FREEHOLD", 48) {
            Ok(front) => Ok(front.rest.position()),
            Err(error) => Err(error),
        };
        let mut good = begin_header(*b"FREEHOLD", 48, &Features::default());
        good.put_u32(7);
        end_header(&mut good);
        assert_eq!(decode(&good), Ok(40));
        for at in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(matches!(decode(&bad), Err(HeaderError::Damage(_))), "bit {at}");
        }
        let found = FORMAT_VERSION + 1;
        let newer = lengthened(good.clone(), 48, found);
        assert_eq!(decode(&newer), Err(HeaderError::Version { found }));
        let long = [lengthened(good.clone(), 48, FORMAT_VERSION), vec![1; 9]].concat();
        assert_eq!(decode(&long), Ok(40));
        // Shorter than every header of this version is.
        let refused = decode_front(&good, *b"FREEHOLD", 56).map(|_| ());
        let damage = Damage::Value { of: "length of a header", found: 48, expected: 56 };
        assert_eq!(refused, Err(damage.into()));
    }

    #[test]
    fn older_versions_are_read_but_for_the_draft() {
        let read: Vec<u32> = (0..=4).filter(|found| reads(3, *found)).collect();
        assert_eq!(read, [1, 2, 3]);
    }

    #[test]
    fn only_an_unknown_incompatible_feature_forbids_reading() {
        let file = Path::new("snapshots/1.snapshot");
        let others = Features { compatible: 1, read_only_compatible: 2, incompatible: 0 };
        others.refuse_unknown(file).unwrap();
        let refused = Features { incompatible: 4, ..others }.refuse_unknown(file).unwrap_err();
        let said = "snapshots/1.snapshot: feature bits: version 4, this build reads 0";
        assert_eq!(refused.to_string(), said);
    }

    #[test]
    fn another_version_is_no_damage() {
        let known = Features::default();
        assert_eq!(check_version(FORMAT_VERSION, &known), Ok(()));
        for found in [0, FORMAT_VERSION + 1] {
            let refused = check_version(found, &known);
            assert_eq!(refused, Err(HeaderError::Version { found }));
        }
        let features = Features { compatible: 1, read_only_compatible: 2, incompatible: 0 };
        assert_eq!(check_version(FORMAT_VERSION, &features), Ok(()));
        let features = Features { incompatible: 4, ..features };
        let refused = check_version(FORMAT_VERSION, &features);
        assert_eq!(refused, Err(HeaderError::Features { unknown: 4 }));
        let mut cursor = Cursor::new(b"freehold");
        let refused = check_magic(&mut cursor, *b"FREEHOLD", "magic");
        assert!(matches!(refused, Err(Damage::Value { .. })));
        let refused = HeaderError::Version { found: 9 }.into_error(Path::new("wal/000001.wal"));
        assert_eq!(refused.to_string(), "wal/000001.wal: version 9, this build reads 1");
    }
}
