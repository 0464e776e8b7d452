//! `log`: every record of the WAL with its operations, named from the catalog.
//!
//! - The segments are read as they stand: no lock is taken, no state is built, nothing is changed.
//!   So it also lists the log of a database that is in use, or that does not open.
//! - Names come from the catalog in each segment's header: primitives that are not linked have
//!   theirs too.
//! - A checkpoint removes what lies before the snapshots. Where the log begins later than asked, that
//!   is said on standard error.
//! - Run switches and origins are no entries of their own here: each entry says its run, and what it
//!   is told instead of its record.
//! - Only whole, checked records are listed. At the first one that is not, the listing ends: in the
//!   last segment that may be the unfinished end of the log, anywhere else it is damage.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::LogArguments;
use crate::cli::failure::Failure;
use crate::cli::listing::is_root;
use crate::cli::moment::Moment;
use crate::cli::opening::expect_database;
use crate::cli::text::{grouped, one_line};
use crate::disk::{DiskRef, OsDisk};
use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, CatalogRow};
use crate::format::core_entry::{self, Origin, RunCreate, RunDelete, RunSwitch};
use crate::format::record;
use crate::id::{Epoch, Lsn, RunId, SegmentId};
use crate::snapshot::{self, SnapshotFile};
use crate::wal::names::{self, WAL_DIR, WalName, segment_path};
use crate::wal::scan::{Record, SegmentReader, Step, Stop};

/// How much of a run's name stands on a line.
const NAME_CHARACTERS_MAX: usize = 48;

/// One line of `log --json`.
#[derive(Serialize)]
struct RecordLine<'a> {
    lsn: Lsn,
    time: String,
    epoch: Epoch,
    segment: SegmentId,
    offset: u64,
    bytes: u64,
    entries: Vec<EntryLine<'a>>,
}

/// One entry of it.
#[derive(Serialize)]
struct EntryLine<'a> {
    run_id: RunId,
    /// Absent for the root, and for a run whose name stands in no file any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    primitive: &'a str,
    operation: &'a str,
    wal_type: u8,
    version: u8,
    bytes: usize,
    /// The run from which this entry makes a fork, and the last record of that one before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_lsn: Option<Lsn>,
    /// The LSN and the time that the operation is told, if that is not its record's: where it was first
    /// logged, or what follows an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_time: Option<String>,
}

/// `freehold log DB`.
pub(crate) fn run(arguments: &LogArguments, out: &mut dyn Write) -> Result<(), Failure> {
    expect_database(&arguments.db)?;
    let disk: DiskRef = Arc::new(OsDisk::new(&arguments.db));
    let segments = segments(&disk)?;
    let mut listing =
        Listing { arguments, names: names_in_snapshots(&disk)?, run: None, last: Lsn::ZERO, out };
    listing.look_for_run();
    let mut reader = SegmentReader::default();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        if let Some(before) = at.checked_sub(1).and_then(|at| segments.get(at))
            && before.next() != *segment
        {
            let file = segment_path(before.next()).into();
            let why = Error::Missing { file, because: "segments before and after it are there" };
            return Err(listing.broken(why));
        }
        reader.read(&disk, *segment).map_err(|why| listing.broken(why))?;
        if at == 0 {
            listing.say_beginning(&reader);
        }
        listing.segment(&reader, *segment, is_last)?;
    }
    match (&arguments.run, listing.run) {
        (Some(asked), None) => {
            Err(Failure::NoRun { path: arguments.db.clone(), run: asked.as_str().into() })
        }
        _ => Ok(()),
    }
}

/// The segments, ascending.
fn segments(disk: &DiskRef) -> Result<Vec<SegmentId>> {
    let listed = disk.list(Path::new(WAL_DIR)).map_err(|source| {
        let path = disk.full_path(Path::new(""));
        match source.kind() {
            io::ErrorKind::NotFound => {
                Error::NotADatabase { path: path.into(), found: "it has no directory `wal`" }
            }
            io::ErrorKind::NotADirectory if disk.list(Path::new("")).is_err() => {
                Error::NotADatabase { path: path.into(), found: "it is a file" }
            }
            _ => Error::io("list", &disk.full_path(Path::new(WAL_DIR)), source),
        }
    })?;
    let mut segments: Vec<SegmentId> = listed
        .iter()
        .filter_map(|file| match names::parse(&file.name) {
            WalName::Segment(segment) => Some(segment),
            WalName::Temporary | WalName::Mark | WalName::Foreign => None,
        })
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// The names of the runs that were there when a snapshot was written. A snapshot that cannot be
/// read is for `verify` to judge: here only names would be missing.
fn names_in_snapshots(disk: &DiskRef) -> Result<BTreeMap<RunId, String>> {
    let mut names = BTreeMap::new();
    for listed in snapshot::list(disk)?.snapshots {
        if let Ok(file) = SnapshotFile::open(disk, listed.lsn) {
            names.extend(file.meta().runs.iter().map(|run| (run.run, run.name.clone())));
        }
    }
    Ok(names)
}

/// A listing under way.
struct Listing<'a> {
    arguments: &'a LogArguments,
    /// Every run named so far.
    names: BTreeMap<RunId, String>,
    /// The run that was asked for, once it is known which one that is.
    run: Option<RunId>,
    /// The last record read, whether it was asked for or not.
    last: Lsn,
    out: &'a mut dyn Write,
}

impl Listing<'_> {
    /// Says where the log begins, if records before that were asked for.
    fn say_beginning(&self, first: &SegmentReader) {
        let Some(ends) = first.ends() else { return };
        let begins = ends.header.first_lsn;
        if begins.0 > self.arguments.from.max(1) {
            // Nobody is left to tell if this cannot be written.
            let _ = writeln!(
                io::stderr(),
                "freehold: {}: the log begins at LSN {begins}",
                self.arguments.db.display()
            );
        }
    }

    fn segment(
        &mut self,
        reader: &SegmentReader,
        segment: SegmentId,
        is_last: bool,
    ) -> Result<(), Failure> {
        let (Some(ends), Some(mut records)) = (reader.ends(), reader.records()) else {
            return Ok(());
        };
        loop {
            match records.step() {
                Step::Record(record) => self.record(&record, segment, &ends.header.catalog)?,
                Step::Stop(Stop::AtFooter) => return Ok(()),
                // Only the last segment is unfinished.
                Step::Stop(Stop::AtZeros) if is_last => return Ok(()),
                Step::Stop(Stop::AtZeros) => {
                    let why = match &ends.footer {
                        Ok(_) => return Ok(()),
                        Err(damage) => damage.clone(),
                    };
                    let why = Error::corrupt(reader.path(), records.tail().end, why);
                    return Err(self.broken(why));
                }
                Step::Stop(Stop::AtBadRecord(bad)) if is_last => {
                    if !self.arguments.json {
                        writeln!(
                            self.out,
                            "{} at {}: no whole record follows: {}",
                            reader.path().display(),
                            bad.offset,
                            bad.damage
                        )?;
                    }
                    return Ok(());
                }
                Step::Stop(Stop::AtBadRecord(bad)) => {
                    let why = Error::corrupt(reader.path(), bad.offset, bad.damage);
                    return Err(self.broken(why));
                }
            }
        }
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        segment: SegmentId,
        catalog: &Catalog,
    ) -> Result<(), Failure> {
        self.last = record.header.lsn;
        let entries = self.entries(record, segment, catalog)?;
        let wanted = self.last.0 >= self.arguments.from
            && match (&self.arguments.run, self.run) {
                (None, _) => true,
                (Some(_), asked) => entries.iter().any(|entry| Some(entry.run_id) == asked),
            };
        if !wanted {
            return Ok(());
        }
        let line = RecordLine {
            lsn: self.last,
            time: Moment(record.header.timestamp).to_string(),
            epoch: record.header.epoch,
            segment,
            offset: record.offset as u64,
            bytes: record::framed_len(record.header.body_len),
            entries,
        };
        if self.arguments.json {
            serde_json::to_writer(&mut *self.out, &line)?;
            self.out.write_all(b"\n")?;
        } else {
            let (runs, operations) = (runs(&line.entries), operations(&line.entries));
            writeln!(self.out, "{:>8}  {}  {runs}  {operations}", line.lsn.0, line.time)?;
        }
        Ok(())
    }

    /// The record's entries; learns the names of the runs that it creates.
    fn entries<'c>(
        &mut self,
        record: &Record<'_>,
        segment: SegmentId,
        catalog: &'c Catalog,
    ) -> Result<Vec<EntryLine<'c>>, Failure> {
        let (path, offset) = (segment_path(segment), record.offset as u64);
        let mut run = RunId::ROOT;
        let mut lines = Vec::new();
        let mut origin: Option<Origin> = None;
        let corrupt = |damage| Error::corrupt(&path, offset, damage);
        for entry in record::entries(record.body).map_err(corrupt)? {
            let entry = entry.map_err(corrupt)?;
            let mut of = run;
            let mut parent = None;
            match entry.wal_type {
                core_entry::RUN_SWITCH => {
                    run = RunSwitch::decode(entry.payload).map_err(corrupt)?.run;
                    continue;
                }
                core_entry::ORIGIN => {
                    origin = Some(Origin::decode(entry.payload).map_err(corrupt)?);
                    continue;
                }
                core_entry::RUN_CREATE | core_entry::RUN_FORK => {
                    let created = RunCreate::decode(entry.payload).map_err(corrupt)?;
                    self.names.insert(created.run, created.name.to_owned());
                    self.look_for_run();
                    of = created.run;
                    parent = created.parent;
                }
                core_entry::RUN_DELETE => {
                    of = RunDelete::decode(entry.payload).map_err(corrupt)?.run;
                }
                _ => {}
            }
            let (primitive, operation) = name_of(&catalog.rows, entry.wal_type, entry.version);
            let origin = origin.take();
            lines.push(EntryLine {
                run_id: of,
                run: self.names.get(&of).cloned(),
                primitive,
                operation,
                wal_type: entry.wal_type,
                version: entry.version,
                bytes: entry.payload.len(),
                parent: parent.map(|(run, _)| run),
                parent_lsn: parent.map(|(_, lsn)| lsn),
                origin_lsn: origin.map(|origin| origin.lsn),
                origin_time: origin.map(|origin| Moment(origin.timestamp).to_string()),
            });
        }
        Ok(lines)
    }

    /// Finds the run that was asked for among those named so far: by name, else by number.
    fn look_for_run(&mut self) {
        let Some(asked) = &self.arguments.run else { return };
        if is_root(asked) {
            self.run = Some(RunId::ROOT);
            return;
        }
        let by_name = self.names.iter().find(|(_, name)| *name == asked).map(|(run, _)| *run);
        let by_number = || asked.parse().ok().map(RunId).filter(|id| self.names.contains_key(id));
        self.run = by_name.or_else(by_number).or(self.run);
    }

    fn broken(&self, why: Error) -> Failure {
        Failure::LogBroken { path: self.arguments.db.clone(), last: self.last, why }
    }
}

/// What an entry's operation is called.
pub(super) fn name_of<'c>(
    rows: impl IntoIterator<Item = &'c CatalogRow>,
    wal_type: u8,
    version: u8,
) -> (&'c str, &'c str) {
    if let Some(operation) = core_entry::name_of(wal_type) {
        return ("core", operation);
    }
    let row = rows.into_iter().find(|row| row.wal_types.contains(&wal_type));
    let Some(row) = row else { return ("?", "?") };
    let operation = row
        .operations
        .iter()
        .find(|operation| (operation.wal_type, operation.version) == (wal_type, version))
        .map_or("?", |operation| operation.name.as_str());
    (&row.name, operation)
}

/// The runs of a record's entries: one by name, several by their number.
fn runs(entries: &[EntryLine<'_>]) -> String {
    let mut ids: Vec<RunId> =
        entries.iter().map(|entry| entry.run_id).filter(|id| *id != RunId::ROOT).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => String::from("root"),
        [only] => {
            let of_run = entries.iter().find(|entry| entry.run_id == *only);
            match of_run.and_then(|entry| entry.run.as_deref()) {
                Some(name) => one_line(name, NAME_CHARACTERS_MAX),
                None => format!("run {only}"),
            }
        }
        several => format!("{} runs", grouped(several.len() as u64)),
    }
}

/// The operations of a record, with what was forked, and from which records they come.
fn operations(entries: &[EntryLine<'_>]) -> String {
    let named = entries.iter().map(|entry| (entry.primitive, entry.operation));
    let mut line = counted(named);
    let mut parents: Vec<_> =
        entries.iter().filter_map(|entry| Some((entry.parent?, entry.parent_lsn?))).collect();
    parents.dedup();
    match parents.as_slice() {
        [] => {}
        [(run, lsn)] => line += &format!(", of run {run} at LSN {lsn}"),
        several => line += &format!(", of {} runs or LSNs", grouped(several.len() as u64)),
    }
    let told = || entries.iter().filter_map(|entry| entry.origin_lsn);
    match (told().min(), told().max()) {
        (Some(lsn), Some(last)) if lsn == last => line += &format!(", told LSN {lsn}"),
        (Some(first), Some(last)) => {
            line += &format!(", told LSN {first} to {last}");
        }
        _ => {}
    }
    line
}

/// The operations, by primitive and name, in the order in which they came first, each with how often
/// it came.
pub(super) fn counted<'a>(named: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut operations: Vec<((&str, &str), u64)> = Vec::new();
    for name in named {
        match operations.iter_mut().find(|(same, _)| *same == name) {
            Some((_, count)) => *count += 1,
            None => operations.push((name, 1)),
        }
    }
    let words: Vec<String> = operations
        .iter()
        .map(|((primitive, name), count)| {
            let word = one_line(&format!("{primitive} {name}"), NAME_CHARACTERS_MAX);
            match count {
                1 => word,
                _ => format!("{word} ×{}", grouped(*count)),
            }
        })
        .collect();
    words.join(", ")
}
