//! The registry of a binary, read out of its file.
//!
//! - Every primitive leaves a few lines of text in a section of their own. They have no pointers and
//!   no symbols, so that a stripped binary of another system says as much as one's own.
//! - The file is foreign: whatever stands in it, the answer is a registry or a message.

use std::path::Path;

use object::read::archive::ArchiveFile;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};
use object::{File, FileKind, Object, ObjectSection};

use crate::cli::failure::Failure;
use crate::registry::facts::{NotFacts, Program, parse};

/// The section, on ELF and Mach-O, and in its COFF form, whose names are short.
const SECTIONS: [&[u8]; 2] = [b"freehold_1", b".fhold1"];

/// How the code begins that link-time optimisation leaves in place of an object file.
const BITCODE: [&[u8]; 2] = [b"BC\xc0\xde", b"\xde\xc0\x17\x0b"];

/// Why a file has no registry to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Not a kind of file that has sections.
    #[error("no executable or library: {0}")]
    Kind(object::Error),
    /// It is a file of that kind, and damaged.
    #[error("its sections cannot be read: {0}")]
    Sections(object::Error),
    /// No such section.
    #[error("no primitive of freehold is linked into it: it has no section `freehold_1`")]
    None,
    /// A library that is not compiled yet.
    #[error(
        "it holds code for link-time optimisation only: read the program that it is linked into, or \
         build it with `lto = \"off\"`"
    )]
    Bitcode,
    /// The section holds something else, or was made by another version of freehold.
    #[error("it was built with another freehold, or is damaged: {0}")]
    Text(#[from] NotFacts),
}

/// The registry of the binary at `path`.
pub(crate) fn read(path: &Path) -> Result<Program, Failure> {
    #[expect(clippy::disallowed_methods, reason = "a binary, no database")]
    let data = std::fs::read(path).map_err(|source| Failure::File {
        op: "read",
        path: path.into(),
        source,
    })?;
    let why = |why| Failure::Binary { path: path.into(), why };
    let sections = sections(&data).map_err(why)?;
    if sections.is_empty() {
        return Err(why(Unreadable::None));
    }
    parse(&sections).map_err(|not| why(not.into()))
}

/// What all sections of the name hold, one behind another.
fn sections(data: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut found = Vec::new();
    match FileKind::parse(data).map_err(Unreadable::Kind)? {
        FileKind::Archive => archive(data, &mut found)?,
        // For several machines: each has the same primitives.
        FileKind::MachOFat32 => {
            let fat = MachOFatFile32::parse(data).map_err(Unreadable::Sections)?;
            slice(fat.arches().first(), data, &mut found)?;
        }
        FileKind::MachOFat64 => {
            let fat = MachOFatFile64::parse(data).map_err(Unreadable::Sections)?;
            slice(fat.arches().first(), data, &mut found)?;
        }
        _ => image(data, &mut found).map_err(Unreadable::Sections)?,
    }
    Ok(found)
}

fn slice(arch: Option<&impl FatArch>, data: &[u8], found: &mut Vec<u8>) -> Result<(), Unreadable> {
    let Some(arch) = arch else { return Ok(()) };
    let data = arch.data(data).map_err(Unreadable::Sections)?;
    image(data, found).map_err(Unreadable::Sections)
}

fn archive(data: &[u8], found: &mut Vec<u8>) -> Result<(), Unreadable> {
    let archive = ArchiveFile::parse(data).map_err(Unreadable::Sections)?;
    let mut is_bitcode = false;
    for member in archive.members() {
        let member = member.and_then(|member| member.data(data)).map_err(Unreadable::Sections)?;
        is_bitcode |= BITCODE.iter().any(|magic| member.starts_with(magic));
        // An archive also holds lists and descriptions.
        if FileKind::parse(member).is_ok_and(|kind| kind != FileKind::Archive) {
            image(member, found).map_err(Unreadable::Sections)?;
        }
    }
    if found.is_empty() && is_bitcode { Err(Unreadable::Bitcode) } else { Ok(()) }
}

fn image(data: &[u8], found: &mut Vec<u8>) -> object::Result<()> {
    let file = File::parse(data)?;
    for section in file.sections() {
        if SECTIONS.contains(&section.name_bytes()?) {
            found.extend(section.data()?);
            found.push(0);
        }
    }
    Ok(())
}
