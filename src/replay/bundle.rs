//! A run in a file of its own, on its way into another database.
//!
//! - The file is a history file with one run, as if everything the run did stood in one record, each
//!   entry with its origin. So importing it is what reading any history is.
//! - The same run gives the same bytes in the same build, whatever else its database holds: the numbers
//!   of the database and of the run are constants. The catalog's rows have the versions of crates.

use std::path::Path;
use std::sync::Arc;

use super::pack;
use super::run_log::{Beginning, RunLog};
use crate::disk::{DiskRef, OsDisk};
use crate::error::{Damage, Error, RegistryError, Result};
use crate::format::catalog::{Catalog, CatalogRow};
use crate::format::core_entry::{self, Origin, RunCreate, Told};
use crate::format::snapshot::CORE_TYPE_ID;
use crate::id::{DatabaseId, Epoch, Lsn, RunId, Timestamp};
use crate::registry::PrimitiveRegistry;
use crate::snapshot::{
    self, CarriedEntry, FileKind, Place, RawInstance, RunRow, SnapshotFile, SnapshotMeta,
};
use crate::state;

/// The one record.
const LSN: Lsn = Lsn(1);

/// The run's number in a file, where it is the only one.
const RUN: RunId = RunId(1);

/// Writes everything that is in `log` as the run `row`.
pub(crate) fn write_bundle(path: &Path, row: &state::RunRow, log: &RunLog) -> Result<()> {
    let (disk, place) = place(path)?;
    let last = log.entries.last().map(|entry| (entry.told.lsn, entry.told.timestamp));
    let (lsn, timestamp) = last.unwrap_or((LSN, Timestamp(0)));
    let occurs = |type_id: u8| log.entries.iter().any(|entry| entry.type_id == type_id);
    // Nothing of where it comes from but what its entries are.
    let rows = log.catalog.values().filter(|row| occurs(row.type_id)).cloned();
    let rows = rows.map(|row| CatalogRow { first_lsn: Lsn::ZERO, ..row }).collect();
    let meta = SnapshotMeta {
        kind: FileKind::Bundle,
        first_lsn: log.entries.first().map_or(LSN, |entry| entry.told.lsn),
        database: DatabaseId([0; 16]),
        epoch: Epoch(0),
        lsn,
        timestamp,
        chain: 0,
        catalog: Catalog { rows },
        runs: vec![RunRow {
            run: RUN,
            parent: None,
            created_lsn: LSN,
            last_lsn: LSN,
            told: Told::default(),
            is_fork: false,
            is_gone: false,
            name: row.name.to_string(),
        }],
        next_run: RUN.0 + 1,
        root_last_lsn: Lsn::ZERO,
    };
    let entry = |at: usize, wal_type, version, payload| CarriedEntry {
        wal_type,
        version,
        lsn: LSN,
        index: u32::try_from(at).unwrap_or(u32::MAX),
        timestamp,
        payload,
    };
    let core = |wal_type, at, payload| entry(at, wal_type, core_entry::CORE_ENTRY_VERSION, payload);
    let create = RunCreate { run: RUN, parent: None, name: &row.name }.encode();
    let mut of_core = vec![core(core_entry::RUN_CREATE, 0, create)];
    of_core.extend(log.entries.iter().enumerate().map(|(at, entry)| {
        let CarriedEntry { lsn, timestamp, index, .. } = entry.told;
        core(core_entry::ORIGIN, 2 * at + 1, Origin { lsn, timestamp, index }.encode().to_vec())
    }));
    let put = |writer: &mut snapshot::SnapshotWriter<'_>, carried| {
        let blocks = Vec::new();
        writer.raw_instance(&RawInstance {
            run: RUN,
            section_version: 0,
            base: None,
            blocks,
            carried,
        })
    };
    let type_ids: Vec<u8> = meta.catalog.rows.iter().map(|row| row.type_id).collect();
    snapshot::write_entries(
        &disk,
        &place,
        &meta,
        |writer| put(writer, of_core),
        |writer| {
            for type_id in type_ids {
                let of_type = log.entries.iter().enumerate();
                let of_type = of_type.filter(|(_, entry)| entry.type_id == type_id);
                let carried = of_type.map(|(at, one)| {
                    let CarriedEntry { wal_type, version, payload, .. } = &one.told;
                    entry(2 * at + 2, *wal_type, *version, payload.clone())
                });
                writer.begin_section(type_id, 0)?;
                put(writer, carried.collect())?;
                writer.end_section()?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// The run's name in the file, and everything it did. Every primitive that occurs is in the registry.
pub(crate) fn read_bundle(
    path: &Path,
    registry: &'static PrimitiveRegistry,
) -> Result<(String, RunLog)> {
    let (disk, place) = place(path)?;
    let file = SnapshotFile::open_kind(&disk, place.path, FileKind::Bundle)?;
    file.features().refuse_unknown(file.path())?;
    file.verify_whole()?;
    let mut log = RunLog::default();
    log.note_catalog(&file.meta().catalog);
    for row in log.catalog.values() {
        let linked = registry.list().iter().find(|linked| linked.is_named(&row.name));
        if linked.is_none_or(|linked| linked.root_only()) {
            return Err(Error::from(RegistryError::NotLinked {
                name: row.name.as_str().into(),
                type_id: row.type_id,
                crate_name: row.crate_name.as_str().into(),
                crate_version: row.crate_version.as_str().into(),
            }));
        }
    }
    let part = pack::part(&file, RUN)?;
    if part.before().map_err(|what| part.corrupt(what))? != Ok(Beginning::Empty) {
        return Err(part.corrupt(Damage::Undecodable { of: "beginning of a run" }));
    }
    for (type_id, entry) in part.entries.iter().filter(|(type_id, _)| *type_id != CORE_TYPE_ID) {
        let row = log.catalog.get(type_id);
        if row.is_none_or(|row| !row.wal_types.contains(&entry.wal_type)) {
            return Err(part.corrupt(Damage::UnknownWalType { wal_type: entry.wal_type }));
        }
    }
    part.append_to(&mut log)?;
    let name = file.meta().runs.first().map(|row| row.name.clone()).unwrap_or_default();
    Ok((name, log))
}

/// The directory in which the file stands, and its name there.
fn place(path: &Path) -> Result<(DiskRef, Place)> {
    let Some(name) = path.file_name() else {
        let what = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        return Err(Error::io("open", path, what));
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temp = name.to_os_string();
    temp.push(".tmp");
    let place = Place { directory: "".into(), path: name.into(), temp: temp.into() };
    Ok((Arc::new(OsDisk::new(directory)), place))
}
