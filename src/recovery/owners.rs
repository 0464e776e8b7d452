//! Whose byte is it? The catalog that a file carries against the primitives of a program.
//!
//! - The program is a list of facts: this one's, to open a database, or another one's, to say whether
//!   it could.
//! - Identity is the name. A byte or type ID that belongs to one name in the data and to another in
//!   the program refuses, but only once data of it is met: a primitive that was linked and never
//!   wrote leaves no claim behind.
//! - A primitive whose name is not linked is detached.

use crate::error::{Error, RegistryError};
use crate::format::catalog::{Catalog, CatalogRow};
use crate::format::core_entry;
use crate::id::Lsn;
use crate::primitive::LoggedEntry;
use crate::registry::PrimitiveRegistry;
use crate::registry::facts::Facts;

/// Whose entries a WAL type marks, in the files that one catalog describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: corruption, or a newer engine.
    Nobody,
    /// The linked primitive at this index in the list.
    Linked(usize),
    /// A primitive that is not linked, by type ID.
    Detached(u8),
    /// Data and program contradict each other; index into the refusals.
    Refused(usize),
}

/// A linked primitive of which an entry was seen before, and the newest version of an operation of
/// it.
#[derive(Clone, Copy)]
struct Usual {
    /// Wider than a version, so that [`Usual::NONE`] is none.
    version: u16,
    /// Index in the registry.
    primitive: u16,
}

impl Usual {
    const NONE: Usual = Usual { version: u16::MAX, primitive: 0 };
}

/// The answer for all 256 bytes.
pub(super) struct Owners<'c> {
    by_byte: [Owner; 256],
    /// Which row of the catalog claims the byte.
    row_of: [usize; 256],
    /// The newest version of the operation that is linked.
    newest: [u8; 256],
    /// What nearly every entry is, in one look.
    usual: [Usual; 256],
    catalog: &'c Catalog,
    /// Rows of which no entry was seen yet.
    unseen: Vec<bool>,
    refusals: Vec<RegistryError>,
}

impl<'c> Owners<'c> {
    /// Compares the catalog of one file with what is linked.
    pub(super) fn of(catalog: &'c Catalog, linked: &[Facts]) -> Owners<'c> {
        let mut owners = Owners {
            by_byte: [Owner::Nobody; 256],
            row_of: [0; 256],
            newest: [0; 256],
            usual: [Usual::NONE; 256],
            catalog,
            unseen: vec![true; catalog.rows.len()],
            refusals: Vec::new(),
        };
        for (at, row) in catalog.rows.iter().enumerate() {
            let owner = owner_of(row, linked).unwrap_or_else(|refusal| {
                owners.refusals.push(refusal);
                Owner::Refused(owners.refusals.len() - 1)
            });
            for wal_type in &row.wal_types {
                owners.by_byte[usize::from(*wal_type)] = owner;
                owners.row_of[usize::from(*wal_type)] = at;
            }
        }
        for operation in linked.iter().flat_map(|linked| &linked.row.operations) {
            let newest = &mut owners.newest[usize::from(operation.wal_type)];
            *newest = operation.version.max(*newest);
        }
        owners
    }

    /// The linked primitive, by its index in the registry, if nothing about the entry is new: an
    /// entry of the primitive was met before, and this is the operation's newest version.
    #[inline]
    pub(super) fn usual(&self, wal_type: u8, version: u8) -> Option<usize> {
        let usual = self.usual[usize::from(wal_type)];
        (usual.version == u16::from(version)).then_some(usize::from(usual.primitive))
    }

    pub(super) fn owner(&self, wal_type: u8) -> Owner {
        self.by_byte[usize::from(wal_type)]
    }

    /// Whether this is the newest linked version of the operation.
    pub(super) fn is_newest(&self, wal_type: u8, version: u8) -> bool {
        self.newest[usize::from(wal_type)] == version
    }

    /// The row that claims the byte, the first time one of its entries is met.
    pub(super) fn first_sight(&mut self, wal_type: u8) -> Option<&'c CatalogRow> {
        let at = self.row_of[usize::from(wal_type)];
        if !std::mem::take(self.unseen.get_mut(at)?) {
            return None;
        }
        let row = self.catalog.rows.get(at)?;
        // A catalog that claims a byte of the core claims nothing: those entries are the engine's.
        let bytes = row.wal_types.iter().filter(|wal_type| **wal_type > core_entry::LAST);
        for wal_type in bytes.map(|wal_type| usize::from(*wal_type)) {
            if let Owner::Linked(primitive) = self.by_byte[wal_type]
                && let Ok(primitive) = u16::try_from(primitive)
            {
                self.usual[wal_type] = Usual { version: self.newest[wal_type].into(), primitive };
            }
        }
        Some(row)
    }

    /// The refusal an [`Owner::Refused`] stands for.
    pub(super) fn refusal(&self, index: usize) -> RegistryError {
        self.refusals[index].clone()
    }
}

/// Refuses a version of an operation that is not linked; `lsn` is where it was met, or 0. A primitive
/// written by hand may list no operations: then it decides itself.
pub(super) fn refuse_version(
    linked: &Facts,
    wal_type: u8,
    version: u8,
    lsn: Lsn,
) -> Result<(), Error> {
    let operations = &linked.row.operations;
    let of_type = || operations.iter().filter(|operation| operation.wal_type == wal_type);
    if operations.is_empty() || of_type().any(|operation| operation.version == version) {
        return Ok(());
    }
    let met = if lsn == Lsn::ZERO { String::new() } else { format!("LSN {lsn}: ") };
    Err(Error::Version {
        place: format!("{met}{} operation {wal_type:#04x}", linked.name()).into(),
        found: version.into(),
        supported: of_type().map(|operation| operation.version).max().unwrap_or(0).into(),
    })
}

/// Refuses a section that is newer than what is linked.
pub(super) fn refuse_section_version(linked: &Facts, found: u32) -> Result<(), Error> {
    let supported = linked.row.section_version;
    if found <= supported {
        return Ok(());
    }
    Err(Error::Version {
        place: format!("{} section", linked.name()).into(),
        found: found.into(),
        supported: supported.into(),
    })
}

/// Refuses a field that the data has with another type, in whatever version: the bytes would be read as
/// something else. Fields may come and go.
pub(super) fn refuse_other_fields(
    stored: &CatalogRow,
    linked: &Facts,
) -> Result<(), RegistryError> {
    for (field, was) in fields(&stored.section_shape) {
        let now = fields(&linked.row.section_shape).find(|(name, _)| *name == field);
        if let Some((_, now)) = now.filter(|(_, now)| *now != was) {
            return Err(RegistryError::OtherField {
                primitive: linked.name().into(),
                field: field.into(),
                stored: was.into(),
                linked: now.into(),
            });
        }
    }
    Ok(())
}

/// The fields of a section's shape: `name: type, ` for each. One that was cut off is left out.
pub(crate) fn fields(shape: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = shape;
    std::iter::from_fn(move || {
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, letter)| {
            match letter {
                '(' | '<' | '[' | '{' => depth += 1,
                ')' | '>' | ']' | '}' => depth -= 1,
                _ => {}
            }
            (letter == ',' && depth == 0).then_some(at)
        })?;
        let (field, behind) = rest.split_at_checked(end)?;
        rest = behind.trim_start_matches([',', ' ']);
        field.split_once(": ")
    })
}

/// Who owns what this row describes.
pub(super) fn owner_of(row: &CatalogRow, list: &[Facts]) -> Result<Owner, RegistryError> {
    let Some(index) = list.iter().position(|linked| linked.is_named(&row.name)) else {
        // Not linked by name: then nobody else may claim its ID or its bytes.
        let taken = list.iter().find(|linked| {
            linked.row.type_id == row.type_id
                || linked.row.wal_types.iter().any(|byte| row.wal_types.contains(byte))
        });
        return match taken {
            None => Ok(Owner::Detached(row.type_id)),
            Some(linked) => Err(RegistryError::OtherName {
                type_id: row.type_id,
                stored: row.name.as_str().into(),
                linked: linked.name().into(),
            }),
        };
    };
    let now = &list[index].row;
    if now.type_id != row.type_id {
        return Err(RegistryError::OtherTypeId {
            name: row.name.as_str().into(),
            stored: row.type_id,
            linked: now.type_id,
        });
    }
    for stored in &row.operations {
        let same = now.operations.iter().find(|operation| {
            operation.wal_type == stored.wal_type && operation.version == stored.version
        });
        if let Some(same) = same.filter(|same| same.fingerprint != stored.fingerprint) {
            return Err(RegistryError::OtherShape {
                primitive: row.name.as_str().into(),
                wal_type: stored.wal_type,
                version: stored.version,
                stored: stored.shape.as_str().into(),
                linked: same.shape.as_str().into(),
            });
        }
    }
    Ok(Owner::Linked(index))
}

/// The linked primitive that these entries are for, by its index in the registry; `None` if it is not
/// linked. `row` is what the catalog says of it where they stand.
///
/// # Errors
///
/// Data and program contradict each other, or an entry has a version that is not linked.
pub(crate) fn linked_primitive(
    registry: &'static PrimitiveRegistry,
    row: &CatalogRow,
    entries: &[LoggedEntry<'_>],
) -> Result<Option<usize>, Error> {
    let Owner::Linked(index) = owner_of(row, registry.facts())? else { return Ok(None) };
    for entry in entries {
        refuse_version(&registry.facts()[index], entry.wal_type, entry.version, entry.lsn)?;
    }
    Ok(Some(index))
}

/// What all catalogs read so far say together, with the first entry ever of each primitive.
#[derive(Debug, Default)]
pub(super) struct CatalogFold {
    rows: Vec<CatalogRow>,
}

impl CatalogFold {
    /// Adds a file's catalog; files are added in the order of their age.
    pub(super) fn add(&mut self, catalog: &Catalog) {
        for row in &catalog.rows {
            match self.rows.iter_mut().find(|known| known.name == row.name) {
                Some(known) => {
                    let first_lsn = earliest(known.first_lsn, row.first_lsn);
                    *known = row.clone();
                    known.first_lsn = first_lsn;
                }
                None => self.rows.push(row.clone()),
            }
        }
    }

    /// Notes an entry, or a section, of the primitive named `name`.
    pub(super) fn note(&mut self, type_id: u8, name: &str, lsn: Lsn) {
        let known = |row: &&mut CatalogRow| row.type_id == type_id && row.name == name;
        if let Some(row) = self.rows.iter_mut().find(known) {
            row.first_lsn = earliest(row.first_lsn, lsn);
        }
    }

    /// Everything that ever wrote. An ID or a byte that belongs to one of these is refused to any
    /// other, also when nothing of it is left: two rows on one byte could not be told apart.
    pub(super) fn ever_wrote(&self) -> impl Iterator<Item = &CatalogRow> {
        self.rows.iter().filter(|row| row.first_lsn != Lsn::ZERO)
    }

    /// The catalog to go on with: everything linked, and everything else that ever wrote.
    pub(super) fn finish(&self, linked: &[Facts]) -> Result<Catalog, RegistryError> {
        let mut rows: Vec<CatalogRow> = Vec::new();
        for linked in linked {
            let mut row = linked.row.clone();
            if let Some(stored) = self.rows.iter().find(|stored| linked.is_named(&stored.name)) {
                row.first_lsn = stored.first_lsn;
            }
            rows.push(row);
        }
        for stored in self.ever_wrote() {
            if let Owner::Detached(_) = owner_of(stored, linked)? {
                rows.push(stored.clone());
            }
        }
        rows.sort_by_key(|row| row.type_id);
        Ok(Catalog { rows })
    }
}

/// The earlier of two LSNs, where 0 means never.
fn earliest(a: Lsn, b: Lsn) -> Lsn {
    match (a, b) {
        (Lsn::ZERO, other) | (other, Lsn::ZERO) => other,
        (a, b) => a.min(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::PrimitiveRegistry;

    #[test]
    fn a_shape_is_taken_apart_into_its_fields() {
        let shape = "jobs: map<str, (u32, {a: u8, b: u8})>, total: i64, cut: map<u6";
        let found: Vec<_> = fields(shape).collect();
        assert_eq!(found, [("jobs", "map<str, (u32, {a: u8, b: u8})>"), ("total", "i64")]);
        assert_eq!(fields("").count(), 0);
    }

    #[test]
    fn an_id_that_ever_wrote_is_not_given_to_another_name() {
        let linked = PrimitiveRegistry::linked().unwrap().facts();
        let mut retired =
            linked.first().expect("unit tests link primitives of their own").row.clone();
        retired.name = "Retired".to_owned();
        let with_first = |first_lsn| {
            let mut fold = CatalogFold::default();
            let rows = vec![CatalogRow { first_lsn, ..retired.clone() }];
            fold.add(&Catalog { rows });
            fold.finish(linked)
        };
        assert!(matches!(with_first(Lsn(3)), Err(RegistryError::OtherName { .. })));
        let rows = with_first(Lsn::ZERO).unwrap().rows;
        assert!(rows.iter().all(|row| row.name != "Retired"), "it never wrote");
    }
}
