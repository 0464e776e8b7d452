//! What a database asks of a program that opens it, and whether a program has it.
//!
//! - Read as opening would read it: the same plan, the same case table at the log's end. But without
//!   a lock and without a registry, and only as much of it as says what is needed: indexes of sections,
//!   entries that are carried, heads of entries in the log.
//! - Nothing is written, so a database that another process has open can be asked. What that process
//!   moves or removes meanwhile makes the reading start again.
//! - A program is its facts. It is judged by the rules of `owners.rs`, which opening goes by too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use crate::disk::DiskRef;
use crate::error::{Damage, Error, Result};
use crate::format::catalog::{Catalog, CatalogRow};
use crate::format::version::{FORMAT_VERSION, reads};
use crate::format::{core_entry, record};
use crate::id::Lsn;
use crate::registry::facts::{Facts, check};
use crate::snapshot::SnapshotFile;
use crate::wal::scan::{SegmentReader, Step, Stop};

use super::Reach;
use super::case::Place;
use super::look;
use super::owners::{
    CatalogFold, Owner, owner_of, refuse_other_fields, refuse_section_version, refuse_version,
};
use super::scan::{goes_beyond, judge};

/// How often reading starts again before an error is believed: another process may write.
const ATTEMPTS: usize = 4;

/// What opening a database asks of a program.
#[derive(Debug)]
pub(crate) struct Needs {
    /// The version of the files.
    format_version: u32,
    /// One for each row of a catalog of which there is data.
    list: Vec<Need>,
    fold: CatalogFold,
}

/// What the data of one primitive asks for, as one row of a catalog describes it. A primitive has
/// several if its row changed: an operation was added, the crate got another version.
#[derive(Debug)]
struct Need {
    row: CatalogRow,
    /// The versions of its instances in the snapshot.
    sections: Vec<u32>,
    /// Its operations by WAL type and version, each with the first record in which it was met.
    operations: BTreeMap<(u8, u8), Lsn>,
}

/// What becomes of a database in the hands of a program.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Why it does not open; nothing if it does.
    pub(crate) refusals: Vec<Refusal>,
    /// The primitives whose data is carried byte for byte, since the program does not have them.
    pub(crate) detached: Vec<CatalogRow>,
}

/// One reason.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The primitive it is about; none if it is about the whole program.
    pub(crate) primitive: Option<String>,
    /// What opening would say.
    pub(crate) why: Error,
}

impl Needs {
    fn new() -> Needs {
        Needs { format_version: FORMAT_VERSION, list: Vec::new(), fold: CatalogFold::default() }
    }

    /// What the database on the disk needs.
    ///
    /// # Errors
    ///
    /// There is none, or it is damaged where opening would need it.
    pub(crate) fn read(disk: &DiskRef) -> Result<Needs> {
        let mut attempt = 1;
        loop {
            match Needs::read_once(disk) {
                Err(Error::Io { .. } | Error::Missing { .. } | Error::Corrupt { .. })
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// What data may need that a program has written: all that it can read.
    pub(crate) fn of(program: &[Facts]) -> Needs {
        let mut needs = Needs::new();
        let newest = program.iter().map(|facts| facts.format_version).max();
        needs.format_version = newest.unwrap_or(FORMAT_VERSION);
        let rows = program.iter().map(|facts| {
            // As if it had written.
            CatalogRow { first_lsn: Lsn::ZERO.next(), ..facts.row.clone() }
        });
        let catalog = Catalog { rows: rows.collect() };
        needs.fold.add(&catalog);
        for row in catalog.rows {
            let keys = row.operations.iter().map(|each| ((each.wal_type, each.version), Lsn::ZERO));
            let (operations, sections) = (keys.collect(), vec![row.section_version]);
            needs.list.push(Need { row, sections, operations });
        }
        needs
    }

    /// Whether `program` could open it.
    pub(crate) fn judge(&self, program: &[Facts]) -> Judgement {
        let mut judgement = Judgement::default();
        if let Err(twice) = check(program) {
            judgement.refuse(None, twice.into());
        }
        if let Some(oldest) = program.iter().map(|facts| facts.format_version).min()
            && !reads(oldest, self.format_version)
        {
            let (found, supported) = (self.format_version.into(), oldest.into());
            judgement.refuse(None, Error::Version { place: "files".into(), found, supported });
        }
        for need in &self.list {
            let name = || Some(need.row.name.clone());
            match owner_of(&need.row, program) {
                Ok(Owner::Linked(index)) => {
                    let Some(linked) = program.get(index) else { continue };
                    for why in need.refusals(linked) {
                        judgement.refuse(name(), why);
                    }
                }
                Ok(_) => {}
                Err(why) => judgement.refuse(name(), why.into()),
            }
        }
        for row in self.fold.ever_wrote() {
            match owner_of(row, program) {
                Ok(Owner::Detached(_)) => judgement.detached.push(row.clone()),
                Ok(_) => {}
                Err(why) => judgement.refuse(Some(row.name.clone()), why.into()),
            }
        }
        judgement
    }

    fn read_once(disk: &DiskRef) -> Result<Needs> {
        if !look::is_there(disk)? {
            let path = disk.full_path(Path::new("")).into();
            return Err(Error::NotADatabase { path, found: "there is nothing" });
        }
        let mut look = look::look(disk, Reach::End)?;
        // Without a plan no record was ever written.
        let Some(plan) = look.plan()? else { return Ok(Needs::new()) };
        let mut starts = plan.starts.iter().peekable();
        let (mut needs, start) = loop {
            let mut needs = Needs::new();
            match starts.next() {
                Some(Some(lsn)) => match needs.snapshot(disk, *lsn) {
                    Ok(()) => break (needs, *lsn),
                    Err(error) if error.is_damage() && starts.peek().is_some() => {}
                    Err(error) => return Err(error),
                },
                Some(None) | None => break (needs, Lsn::ZERO),
            }
        };
        let mut reader = SegmentReader::default();
        for planned in &plan.segments {
            if goes_beyond(planned, &look.found, start)
                && let Some(ends) = look.found.segments.get(planned.found)
            {
                reader.read(disk, ends.id)?;
                needs.segment(&reader, planned.place, start, plan.proved)?;
            }
        }
        Ok(needs)
    }

    fn snapshot(&mut self, disk: &DiskRef, lsn: Lsn) -> Result<()> {
        let file = SnapshotFile::open(disk, lsn)?;
        file.features().refuse_unknown(file.path())?;
        let catalog = &file.meta().catalog;
        self.fold.add(catalog);
        for section in file.sections().iter().filter(|section| !section.instances().is_empty()) {
            let row = catalog.rows.iter().find(|row| row.type_id == section.type_id());
            let Some(row) = row else {
                let (of, found) = ("type ID, which the catalog does not name,", section.type_id());
                let what = Damage::Value { of, found: found.into(), expected: 0 };
                return Err(Error::corrupt(file.path(), 0, what));
            };
            self.fold.note(row.type_id, &row.name, lsn);
            let at = self.need(row);
            for instance in section.instances() {
                let Some(need) = self.list.get_mut(at) else { continue };
                if !need.sections.contains(&instance.section_version) {
                    need.sections.push(instance.section_version);
                }
                if instance.carried_count > 0 {
                    let blocks = file.read_instance(section, instance)?;
                    for entry in blocks.carried() {
                        need.meet(entry.wal_type, entry.version, entry.lsn);
                    }
                }
            }
        }
        Ok(())
    }

    fn segment(
        &mut self,
        reader: &SegmentReader,
        place: Place,
        start: Lsn,
        mut proved: (Lsn, &'static str),
    ) -> Result<()> {
        let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else {
            return Ok(());
        };
        ends.header.features.refuse_unknown(reader.path())?;
        let catalog = &ends.header.catalog;
        self.fold.add(catalog);
        let mut met = Met::of(catalog);
        let stop = loop {
            let record = match records.step() {
                Step::Record(record) => record,
                Step::Stop(stop) => break stop,
            };
            if record.header.durable > proved.0 {
                proved = (record.header.durable, "a later record");
            }
            let lsn = record.header.lsn;
            if lsn <= start {
                continue;
            }
            let corrupt = |what| Error::corrupt(reader.path(), record.offset as u64, what);
            for entry in record::entries(record.body).map_err(corrupt)? {
                let entry = entry.map_err(corrupt)?;
                let (wal_type, version) = (entry.wal_type, entry.version);
                if wal_type <= core_entry::LAST || met.is_known(wal_type, version) {
                    continue;
                }
                let Some(row) = met.row(wal_type).and_then(|at| catalog.rows.get(at)) else {
                    return Err(corrupt(Damage::UnknownWalType { wal_type }));
                };
                self.fold.note(row.type_id, &row.name, lsn);
                let at = self.need(row);
                if let Some(need) = self.list.get_mut(at) {
                    need.meet(wal_type, version, lsn);
                }
            }
        };
        if let Stop::AtBadRecord(bad) = &stop {
            let evidence = reader.evidence(bad);
            if evidence.durable > proved.0 {
                proved = (evidence.durable, "a later record");
            }
        }
        judge(reader, place, &stop, records.tail(), proved)
    }

    /// The place in the list of what `row` needs.
    fn need(&mut self, row: &CatalogRow) -> usize {
        let row = CatalogRow { first_lsn: Lsn::ZERO, ..row.clone() };
        if let Some(at) = self.list.iter().position(|need| need.row == row) {
            return at;
        }
        self.list.push(Need { row, sections: Vec::new(), operations: BTreeMap::new() });
        self.list.len() - 1
    }
}

impl Need {
    fn meet(&mut self, wal_type: u8, version: u8, lsn: Lsn) {
        if let Entry::Vacant(vacant) = self.operations.entry((wal_type, version)) {
            vacant.insert(lsn);
        }
    }

    /// Why `linked` cannot take it.
    fn refusals<'n>(&'n self, linked: &'n Facts) -> impl Iterator<Item = Error> + 'n {
        let fields = match self.sections.as_slice() {
            [] => None,
            _ => refuse_other_fields(&self.row, linked).err().map(Error::from),
        };
        let sections = self.sections.iter();
        let sections =
            sections.filter_map(|version| refuse_section_version(linked, *version).err());
        let operations = self.operations.iter().filter_map(|((wal_type, version), lsn)| {
            refuse_version(linked, *wal_type, *version, *lsn).err()
        });
        fields.into_iter().chain(sections).chain(operations)
    }
}

impl Judgement {
    /// Whether the program opens the database.
    pub(crate) fn opens(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Notes a reason; the same one may come from several files.
    fn refuse(&mut self, primitive: Option<String>, why: Error) {
        let said = why.to_string();
        if !self.refusals.iter().any(|refusal| refusal.why.to_string() == said) {
            self.refusals.push(Refusal { primitive, why });
        }
    }
}

/// Whose entries of a segment are whose, and which were met already.
struct Met {
    /// Position of the row in the catalog, plus one.
    row_of: [usize; 256],
    /// The version last met.
    version: [Option<u8>; 256],
}

impl Met {
    fn of(catalog: &Catalog) -> Met {
        let mut met = Met { row_of: [0; 256], version: [None; 256] };
        for (at, row) in catalog.rows.iter().enumerate() {
            for wal_type in &row.wal_types {
                met.row_of[usize::from(*wal_type)] = at + 1;
            }
        }
        met
    }

    /// Whether the last entry of the type had this version.
    #[inline]
    fn is_known(&mut self, wal_type: u8, version: u8) -> bool {
        self.version[usize::from(wal_type)].replace(version) == Some(version)
    }

    fn row(&self, wal_type: u8) -> Option<usize> {
        self.row_of[usize::from(wal_type)].checked_sub(1)
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the linked slice is a section of its own")]
mod tests;
