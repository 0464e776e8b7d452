//! Which files this build can read: the format's version and the feature words.
//!
//! - Version 0 is a draft: only the build that wrote such a file opens it.
//! - An unknown bit in `incompatible` refuses the file; one in `read_only_compatible` refuses to
//!   write; one in `compatible` changes nothing.

use std::path::Path;

use crate::error::{Damage, Error};
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::Field;

/// The version of the file format that this build writes, and the highest it reads.
pub(crate) const FORMAT_VERSION: u32 = 0;

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

/// Compares magic and version, which stand first in every header of every version.
pub(crate) fn check_version(
    cursor: &mut Cursor<'_>,
    magic: [u8; 8],
    of: &'static str,
) -> Result<(), HeaderError> {
    let found = cursor.array::<8>(of)?;
    if found != magic {
        let (found, expected) = (u64::from_be_bytes(found), u64::from_be_bytes(magic));
        return Err(Damage::Value { of, found, expected }.into());
    }
    match cursor.u32("format version")? {
        found if reads(FORMAT_VERSION, found) => Ok(()),
        found => Err(HeaderError::Version { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_versions_are_read_but_for_the_draft() {
        let read: Vec<u32> = (0..=4).filter(|found| reads(3, *found)).collect();
        assert_eq!(read, [1, 2, 3]);
        assert!(reads(0, 0) && !reads(0, 1) && !reads(1, 0));
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
        let mut bytes = b"FREEHOLD".to_vec();
        bytes.put_u32(FORMAT_VERSION + 1);
        let refused = check_version(&mut Cursor::new(&bytes), *b"FREEHOLD", "magic");
        assert_eq!(refused, Err(HeaderError::Version { found: FORMAT_VERSION + 1 }));
        let refused = check_version(&mut Cursor::new(&bytes), *b"freehold", "magic");
        assert!(matches!(refused, Err(HeaderError::Damage(Damage::Value { .. }))));
        let refused = HeaderError::Version { found: 9 }.into_error(Path::new("wal/000001.wal"));
        assert_eq!(refused.to_string(), "wal/000001.wal: version 9, this build reads 0");
    }
}
