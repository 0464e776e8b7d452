//! What stands behind a damage: records that can still be read, and whom they concern. Nothing of it
//! is ever applied; it says what a refusal is about.

use std::collections::BTreeSet;

use crate::disk::DiskRef;
use crate::format::catalog::Catalog;
use crate::format::core_entry::{self, RunCreate, RunDelete, RunSwitch};
use crate::format::record;
use crate::id::{Lsn, RunId, SegmentId};
use crate::wal::scan::SegmentReader;

use super::report::Behind;

/// Reads every segment from the first one that may hold something above `last_good`.
pub(super) fn survey(disk: &DiskRef, segments: &[SegmentId], last_good: Lsn) -> Behind {
    let mut behind = Behind::default();
    let mut reader = SegmentReader::default();
    let (mut runs, mut primitives) = (BTreeSet::new(), BTreeSet::new());
    for id in segments {
        match reader.read_until_it_fails(disk, *id) {
            Ok(failure) => behind.unreadable.extend(failure.map(|error| error.to_string().into())),
            Err(error) => {
                behind.unreadable.push(error.to_string().into());
                continue;
            }
        }
        let Some(ends) = reader.ends() else { continue };
        let footer = ends.footer.as_ref().ok();
        if footer.is_some_and(|footer| footer.last_lsn <= last_good) {
            continue;
        }
        for (lsn, body) in reader.records_anywhere(last_good) {
            behind.records = behind.records.saturating_add(1);
            behind.first_lsn = Some(behind.first_lsn.map_or(lsn, |first| first.min(lsn)));
            behind.last_lsn = Some(behind.last_lsn.map_or(lsn, |last| last.max(lsn)));
            concerned(body, &ends.header.catalog, &mut runs, &mut primitives);
        }
    }
    behind.runs = runs.into_iter().collect();
    behind.primitives = primitives.into_iter().collect();
    behind
}

/// Adds the runs and primitives that a record has entries of.
fn concerned(
    body: &[u8],
    catalog: &Catalog,
    runs: &mut BTreeSet<RunId>,
    primitives: &mut BTreeSet<Box<str>>,
) {
    let Ok(entries) = record::entries(body) else { return };
    let mut run = RunId::ROOT;
    for entry in entries.flatten() {
        let payload = entry.payload;
        let named = match entry.wal_type {
            core_entry::RUN_SWITCH => {
                run = RunSwitch::decode(payload).map_or(run, |switch| switch.run);
                continue;
            }
            core_entry::RUN_CREATE => RunCreate::decode(payload).map(|create| create.run).ok(),
            core_entry::RUN_DELETE => RunDelete::decode(payload).map(|delete| delete.run).ok(),
            _ => Some(run),
        };
        runs.extend(named);
        let owner = catalog.rows.iter().find(|row| row.wal_types.contains(&entry.wal_type));
        primitives.extend(owner.map(|row| Box::from(row.name.as_str())));
    }
}
