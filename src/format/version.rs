//! Which files this build can read: the format's version and the feature words.
//!
//! - A build reads the version that it writes and all before it. Version 0 was the draft: no build
//!   reads it any more.
//! - A header's checksum stands at the same place in every version, and is compared before the
//!   version, so that a flipped bit is not taken for another version.
//! - An unknown bit in `incompatible` refuses the file; one in `read_only_compatible` refuses to
//!   write; one in `compatible` changes nothing.

use std::path::Path;

use crate::error::{Damage, Error};
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::Field;

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

/// Reads what stands first in every header of every version.
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

/// Refuses what is in a header whose checksum is right, unless this build reads such files.
pub(crate) fn check_version(version: u32, features: &Features) -> Result<(), HeaderError> {
    if !reads(FORMAT_VERSION, version) {
        return Err(HeaderError::Version { found: version });
    }
    match features.unknown_incompatible() {
        0 => Ok(()),
        unknown => Err(HeaderError::Features { unknown }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
