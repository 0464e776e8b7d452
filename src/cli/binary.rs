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
    #[error("it is no executable, library or archive of a kind that is read here")]
    Kind,
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
    match FileKind::parse(data).map_err(|_| Unreadable::Kind)? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::PrimitiveRegistry;

    /// What the linked primitives leave in a binary.
    fn text() -> Vec<u8> {
        let linked = PrimitiveRegistry::linked().unwrap().list().iter();
        let texts: Vec<&str> = linked.map(|linked| linked.facts()).collect();
        texts.join("\0\0\0").into_bytes()
    }

    /// Numbers of 2, 4 or 8 bytes, as the headers below have them.
    fn bytes(numbers: &[(usize, u64)]) -> Vec<u8> {
        numbers.iter().flat_map(|(width, number)| number.to_le_bytes()[..*width].to_vec()).collect()
    }

    /// The head of a section of a COFF file: name, where its bytes are.
    fn coff_section(offset: u64) -> Vec<u8> {
        let len = text().len() as u64;
        let numbers =
            [(4, len), (4, 0x1000), (4, len), (4, offset), (8, 0), (4, 0), (4, 0x4000_0040)];
        [&b".fhold1\0"[..], &bytes(&numbers)].concat()
    }

    /// For Windows, an object file: machine, one section, no symbols, no optional header.
    fn coff() -> Vec<u8> {
        let head = bytes(&[(2, 0x8664), (2, 1), (4, 0), (4, 0), (4, 0), (2, 0), (2, 0)]);
        [head, coff_section(60), text()].concat()
    }

    /// For Windows, a program, whose sections are filled up with zeros.
    fn executable() -> Vec<u8> {
        let mut file = b"MZ".to_vec();
        file.resize(60, 0);
        file.extend(bytes(&[(4, 64)]));
        file.extend(b"PE\0\0");
        file.extend(bytes(&[(2, 0x8664), (2, 1), (4, 0), (4, 0), (4, 0), (2, 112), (2, 0x22)]));
        let optional_header = file.len();
        file.extend(bytes(&[(2, 0x20b)]));
        file.resize(optional_header + 24, 0);
        file.extend(bytes(&[(8, 0x1_4000_0000), (4, 0x1000), (4, 0x200)]));
        file.resize(optional_header + 112, 0);
        file.extend(coff_section(0x200));
        file.resize(0x200, 0);
        file.extend(text());
        file.resize(file.len().next_multiple_of(0x200), 0);
        file
    }

    /// For macOS: a segment of one section.
    fn mach() -> Vec<u8> {
        let len = text().len() as u64;
        let name = |name: &str| [name.as_bytes(), &vec![0; 16 - name.len()]].concat();
        [
            bytes(&[(4, 0xfeed_facf), (4, 0x0100_000c), (4, 0), (4, 2), (4, 1), (4, 152), (8, 0)]),
            bytes(&[(4, 0x19), (4, 152)]),
            name("__DATA"),
            bytes(&[(8, 0), (8, len), (8, 184), (8, len), (4, 7), (4, 7), (4, 1), (4, 0)]),
            name("freehold_1"),
            name("__DATA"),
            bytes(&[(8, 0), (8, len), (4, 184), (4, 0), (8, 0), (4, 0), (4, 0), (8, 0)]),
            text(),
        ]
        .concat()
    }

    /// `ar` as it was in the beginning.
    fn archive_of(members: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for member in members {
            bytes.extend(format!("{:<16}{:<32}{:<10}`\n", "member/", 0, member.len()).as_bytes());
            bytes.extend(*member);
            bytes.extend(vec![b'\n'; member.len() % 2]);
        }
        bytes
    }

    #[expect(clippy::disallowed_methods, reason = "a binary, no database")]
    fn this_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn universal(image: &[u8]) -> Vec<u8> {
        let numbers = [0xcafe_babe, 1, 0x0100_000c, 0, 4096, image.len() as u32, 12];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        bytes.resize(4096, 0);
        bytes.extend(image);
        bytes
    }

    #[track_caller]
    fn has_all(data: &[u8]) {
        let program = parse(&sections(data).unwrap()).unwrap();
        assert_eq!(program.facts, PrimitiveRegistry::linked().unwrap().facts());
    }

    #[test]
    fn every_kind_of_binary_is_read() {
        has_all(&this_program());
        has_all(&coff());
        has_all(&executable());
        has_all(&mach());
        has_all(&universal(&mach()));
        has_all(&archive_of(&[b"a list of names", &coff()]));
    }

    #[test]
    fn a_file_without_a_registry_says_what_it_is() {
        let said = |data: &[u8]| sections(data).map(|found| found.len()).unwrap_err().to_string();
        assert!(said(b"#!/bin/sh\n").starts_with("it is no executable"));
        assert!(said(&archive_of(&[b"BC\xc0\xde...."])).contains("link-time optimisation"));
        assert!(said(&executable()[..300]).starts_with("its sections cannot be read"));
        assert!(sections(&archive_of(&[b"nothing"])).unwrap().is_empty());
    }

    #[test]
    fn no_byte_of_a_binary_makes_reading_panic() {
        for whole in [executable(), mach(), archive_of(&[&coff()])] {
            for at in 0..whole.len().min(1024) {
                let mut bad = whole.clone();
                bad[at] ^= 0xff;
                let _ = sections(&bad).map(|found| parse(&found));
                let _ = sections(&whole[..at]);
            }
        }
    }
}
