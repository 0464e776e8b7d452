//! The catalog: every primitive that is linked or ever wrote here, with its operations.
//!
//! - It stands whole in each segment's header and in each snapshot's section 0, under the checksum
//!   of its container.
//! - Identity is the name; crate and version are for people.
//! - The same catalog encodes to the same bytes: rows and operations stay in the order given.

use crate::error::Damage;
use crate::format::cursor::{Cursor, Put};
use crate::format::layout::{Field, width_of_all};
use crate::id::Lsn;

/// One primitive.
const ROW: &[Field] = &[
    ("type ID", 1),
    ("flags: bit 0 lives in the root only", 1),
    ("WAL type count", 2),
    ("section version", 4),
    ("LSN of its first entry, 0 if it never wrote", 8),
    ("operation count", 4),
    ("name, crate, crate version, section shape: four texts", 0),
    ("WAL types, one byte each", 0),
    ("operations", 0),
];

/// One operation in one version.
const OPERATION: &[Field] = &[
    ("WAL type", 1),
    ("version", 1),
    ("reserved, zero", 2),
    ("fingerprint", 8),
    ("name, shape: two texts", 0),
];

/// The tables for the document.
#[cfg(test)]
pub(crate) const LAYOUTS: &[(&str, &str, &[Field])] = &[
    (
        "Row of the catalog",
        "The catalog is a row count in 4 bytes, then the rows. A text is its length in 4 bytes, \
         then UTF-8. Nothing in a catalog is aligned.",
        ROW,
    ),
    ("Operation in a row of the catalog", "", OPERATION),
];

/// What the flags say of a primitive that lives in the root only.
const ROOT_ONLY: u8 = 1;

/// Every primitive that is linked or ever wrote here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) rows: Vec<CatalogRow>,
}

/// One primitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CatalogRow {
    /// What identifies it.
    pub(crate) name: String,
    pub(crate) type_id: u8,
    pub(crate) wal_types: Vec<u8>,
    pub(crate) root_only: bool,
    pub(crate) section_version: u32,
    pub(crate) section_shape: String,
    pub(crate) crate_name: String,
    pub(crate) crate_version: String,
    /// The record with its first entry; 0 if it never wrote.
    pub(crate) first_lsn: Lsn,
    pub(crate) operations: Vec<CatalogOperation>,
}

/// One operation in one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CatalogOperation {
    pub(crate) wal_type: u8,
    pub(crate) version: u8,
    pub(crate) name: String,
    /// Of its layout: another fingerprint of the same version is a contradiction.
    pub(crate) fingerprint: u64,
    /// Its arguments, for people and for a dump.
    pub(crate) shape: String,
}

impl Catalog {
    /// Appends the catalog; the bytes are not padded.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_len_u32(self.rows.len());
        for row in &self.rows {
            row.encode(bytes);
        }
    }

    /// Reads a catalog and stands behind it.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Catalog, Damage> {
        let count = count(cursor, ROW, "catalog row count")?;
        let mut rows = Vec::new();
        for _ in 0..count {
            rows.push(CatalogRow::decode(cursor)?);
        }
        Ok(Catalog { rows })
    }
}

impl CatalogRow {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u8(self.type_id);
        bytes.put_u8(if self.root_only { ROOT_ONLY } else { 0 });
        // A byte can be claimed once: there are at most 256 of them.
        bytes.put_u16(u16::try_from(self.wal_types.len()).unwrap_or(u16::MAX));
        bytes.put_u32(self.section_version);
        bytes.put_u64(self.first_lsn.0);
        bytes.put_len_u32(self.operations.len());
        for text in [&self.name, &self.crate_name, &self.crate_version, &self.section_shape] {
            bytes.put_text(text);
        }
        bytes.put_bytes(&self.wal_types);
        for operation in &self.operations {
            operation.encode(bytes);
        }
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<CatalogRow, Damage> {
        let type_id = cursor.u8("type ID")?;
        let flags = cursor.u8("flags of a catalog row")?;
        if flags & !ROOT_ONLY != 0 {
            let (found, most) = (flags.into(), ROOT_ONLY.into());
            return Err(Damage::TooLarge { of: "flags of a catalog row", found, most });
        }
        let wal_type_count = usize::from(cursor.u16("WAL type count")?);
        let section_version = cursor.u32("section version")?;
        let first_lsn = Lsn(cursor.u64("first LSN of a primitive")?);
        let operation_count = count(cursor, OPERATION, "operation count")?;
        let name = cursor.text("name of a primitive")?.to_owned();
        let crate_name = cursor.text("crate of a primitive")?.to_owned();
        let crate_version = cursor.text("crate version of a primitive")?.to_owned();
        let section_shape = cursor.text("section shape")?.to_owned();
        let wal_types = cursor.bytes(wal_type_count, "WAL types of a primitive")?.to_vec();
        let mut operations = Vec::new();
        for _ in 0..operation_count {
            operations.push(CatalogOperation::decode(cursor)?);
        }
        Ok(CatalogRow {
            name,
            type_id,
            wal_types,
            root_only: flags & ROOT_ONLY != 0,
            section_version,
            section_shape,
            crate_name,
            crate_version,
            first_lsn,
            operations,
        })
    }
}

impl CatalogOperation {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u8(self.wal_type);
        bytes.put_u8(self.version);
        bytes.put_u16(0);
        bytes.put_u64(self.fingerprint);
        bytes.put_text(&self.name);
        bytes.put_text(&self.shape);
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<CatalogOperation, Damage> {
        let wal_type = cursor.u8("WAL type")?;
        let version = cursor.u8("version of an operation")?;
        cursor.zeros(2, "reserved bytes of an operation")?;
        Ok(CatalogOperation {
            wal_type,
            version,
            fingerprint: cursor.u64("fingerprint of an operation")?,
            name: cursor.text("name of an operation")?.to_owned(),
            shape: cursor.text("shape of an operation")?.to_owned(),
        })
    }
}

/// A count of things whose fixed part is `fields`: no more than the bytes that are left can hold.
fn count(cursor: &mut Cursor<'_>, fields: &[Field], of: &'static str) -> Result<u32, Damage> {
    let found = cursor.u32(of)?;
    let most = (cursor.rest().len() / width_of_all(fields)) as u64;
    if u64::from(found) > most {
        return Err(Damage::TooLarge { of, found: found.into(), most });
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A catalog of two primitives.
    pub(crate) fn catalog() -> Catalog {
        let operation = |wal_type, name: &str| CatalogOperation {
            wal_type,
            version: 1,
            name: name.to_owned(),
            fingerprint: 0x1122_3344_5566_7788,
            shape: "(key: bytes)".to_owned(),
        };
        let row = |type_id, name: &str| CatalogRow {
            name: name.to_owned(),
            type_id,
            wal_types: vec![type_id * 16, type_id * 16 + 1],
            root_only: type_id == 6,
            section_version: 1,
            section_shape: "table".to_owned(),
            crate_name: "freehold".to_owned(),
            crate_version: "0.1.0".to_owned(),
            first_lsn: Lsn(12),
            operations: vec![operation(type_id * 16, "put"), operation(type_id * 16 + 1, "delete")],
        };
        Catalog { rows: vec![row(1, "KvStore"), row(6, "RunIndex")] }
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        catalog().encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_catalog_comes_back() {
        let bytes = encoded();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(Catalog::decode(&mut cursor), Ok(catalog()));
        assert!(cursor.is_empty());
    }

    #[test]
    fn every_truncation_is_seen_and_no_byte_makes_it_panic() {
        let bytes = encoded();
        for len in 0..bytes.len() {
            assert!(Catalog::decode(&mut Cursor::new(&bytes[..len])).is_err(), "cut to {len}");
        }
        // A catalog stands under a checksum; without one, any byte may be anything.
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let _ = Catalog::decode(&mut Cursor::new(&bad));
            }
        }
    }
}
