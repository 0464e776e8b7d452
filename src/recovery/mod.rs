//! Opening: lock, look, plan, load, replay, deferred indexes, and only then repair.
//!
//! - Until the repair no file is changed (but for the lock file), so every refusal leaves the
//!   directory as it was.
//! - The state is exactly what was committed, or opening is refused.
//! - [`verify`] is the same without the repair.

mod apply;
mod case;
mod covered;
mod index;
mod load;
mod lock;
mod look;
#[cfg(any(test, feature = "cli"))]
mod needs;
mod owners;
mod parallel;
mod plan;
mod repair;
mod report;
mod scan;
mod survey;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Stopwatch;
use crate::disk::{DiskRef, FileRef};
use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::id::{DatabaseId, Lsn};
use crate::registry::PrimitiveRegistry;
use crate::snapshot::SnapshotFile;
use crate::state::State;
use crate::wal::Log;

use look::Look;
use owners::CatalogFold;
use plan::Plan;
use scan::Scanned;

#[cfg(feature = "cli")]
pub(crate) use needs::{Judgement, Needs, Refusal};
#[cfg(feature = "cli")]
pub(crate) use owners::fields as section_fields;
pub(crate) use owners::linked_primitive;
pub(crate) use repair::{claim, found, unmark};
pub use report::{
    Behind, Control, Cut, DetachedPrimitive, Phase, PhaseTimes, PrimitiveEntries, Progress,
    RecoveryReport,
};

/// What is called while opening goes on.
pub(crate) type ProgressFn = Arc<dyn Fn(&Progress) -> Control + Send + Sync>;

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the end of the log, or not at all: what opening does.
    End,
    /// To this record. Nothing behind it is looked at, so nothing there can be in the way.
    Until(Lsn),
    /// To this record, but from what lies before it: not from a snapshot of that very state.
    Replayed(Lsn),
    /// To the last whole record before the first damage, which the report then names.
    Damage,
}

impl Reach {
    /// The last record that is to be read.
    fn last(self) -> Lsn {
        match self {
            Reach::Until(lsn) | Reach::Replayed(lsn) => lsn,
            Reach::End | Reach::Damage => Lsn(u64::MAX),
        }
    }
}

/// How to recover.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) segment_bytes: u64,
    /// Change no file.
    pub(crate) read_only: bool,
    pub(crate) require_linked: bool,
    /// Primitives that are not linked because the options say so.
    pub(crate) detached: BTreeSet<Box<str>>,
    pub(crate) threads: usize,
    /// Build deferred indexes before anything is changed.
    pub(crate) build_indexes: bool,
    pub(crate) progress: Option<ProgressFn>,
    /// Read every segment, also those that opening does not read whole.
    pub(crate) check_all: bool,
    pub(crate) reach: Reach,
    /// What runs did is kept, and what of the log is not needed is no reason to remove it.
    pub(crate) keeps_runs: bool,
    /// All of the log is kept.
    pub(crate) keeps_all: bool,
}

impl Settings {
    /// Whether the options detach the primitive that has this name in the data.
    fn names_detached(&self, name: &str) -> bool {
        let linked = PrimitiveRegistry::linked().map(PrimitiveRegistry::list).unwrap_or_default();
        let is_it = |detached: &str| {
            detached == name
                || linked.iter().any(|one| one.is_named(detached) && one.is_named(name))
        };
        self.detached.iter().any(|detached| is_it(detached))
    }

    fn progress(
        &self,
        phase: Phase,
        bytes_done: u64,
        bytes_total: u64,
        lsn: Lsn,
        primitive: Option<&'static str>,
    ) -> Result<()> {
        let Some(progress) = &self.progress else { return Ok(()) };
        match progress(&Progress { phase, bytes_done, bytes_total, lsn, primitive }) {
            Control::Continue => Ok(()),
            Control::Cancel => Err(Error::Cancelled),
        }
    }
}

/// A state that was read and cannot be changed.
pub(crate) struct Inspected {
    pub(crate) state: State,
    pub(crate) database: DatabaseId,
    pub(crate) report: RecoveryReport,
}

/// A database that is ready to be used.
pub(crate) struct Opened {
    pub(crate) state: State,
    pub(crate) access: Access,
    pub(crate) report: RecoveryReport,
    /// Snapshots that must not count as kept ones.
    pub(crate) damaged_snapshots: Vec<Lsn>,
}

/// What can be done with the files.
pub(crate) enum Access {
    Write {
        log: Box<Log>,
        lock: FileRef,
    },
    /// The lock is held where writing was wanted.
    ReadOnly {
        because: &'static str,
        lock: Option<FileRef>,
    },
}

/// Why nothing can be written.
const ASKED_FOR: &str = "the options say so";
const FEATURES: &str = "it uses features that this build knows only how to read past";
const NO_SPACE: &str = "the disk is full, and the log's end cannot be made good without space";

/// Opens what is on the disk, or makes a database if there is nothing.
pub(crate) fn open(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
) -> Result<Opened> {
    if settings.read_only {
        let (_, mut recovered) = read(disk, registry, settings)?;
        recovered.build_indexes(settings)?;
        return Ok(recovered.read_only(ASKED_FOR, None));
    }
    let is_there = look::is_there(disk)?;
    if !is_there {
        repair::make_directory(disk, is_there)?;
    }
    let lock = lock::take(disk)?;
    let watch = Stopwatch::start();
    let mut look = look::look(disk, Reach::End)?;
    let plan = look.plan()?;
    let planned = watch.elapsed();
    let mut recovered = match &plan {
        Some(plan) => recover(disk, registry, settings, &look, plan, None)?,
        None => {
            if is_there {
                repair::make_directory(disk, is_there)?;
            }
            Recovered::new(registry, &look)
        }
    };
    recovered.report.times.plan = planned;
    recovered.build_indexes(settings)?;
    if look.read_only_features != 0 {
        return Ok(recovered.read_only(FEATURES, Some(lock)));
    }
    let repairing = Stopwatch::start();
    let log = match repair::repair(disk, settings, &look, plan.as_ref(), &mut recovered) {
        Ok(log) => log,
        // The state stands in memory; the next opening begins the repair anew.
        Err(Error::NoSpace { .. }) if plan.is_some() => {
            return Ok(recovered.read_only(NO_SPACE, Some(lock)));
        }
        Err(error) => return Err(error),
    };
    recovered.report.times.repair = repairing.elapsed();
    let Recovered { state, report, damaged_snapshots, .. } = recovered;
    let access = Access::Write { log: Box::new(log), lock };
    Ok(Opened { state, access, report, damaged_snapshots })
}

/// Reads what opening would read, as far as the settings say. Nothing is changed.
pub(crate) fn inspect(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
) -> Result<Inspected> {
    let (look, Recovered { state, report, .. }) = read(disk, registry, settings)?;
    let database = look.found.database().unwrap_or(DatabaseId([0; 16]));
    Ok(Inspected { state, database, report })
}

/// Reads everything and says what opening would find. Nothing is changed.
pub(crate) fn verify(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
) -> Result<RecoveryReport> {
    verified(disk, read(disk, registry, settings)?)
}

/// The same of a directory whose lock the caller holds.
pub(crate) fn verify_held(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
) -> Result<RecoveryReport> {
    verified(disk, read_files(disk, registry, settings, None)?)
}

/// Reads the snapshots that were not loaded, and says what would be cut.
fn verified(disk: &DiskRef, read: (Look, Recovered)) -> Result<RecoveryReport> {
    let (look, mut recovered) = read;
    for snapshot in &look.found.snapshots {
        if recovered.damaged_snapshots.contains(&snapshot.lsn) {
            continue;
        }
        let verified = SnapshotFile::open(disk, snapshot.lsn).and_then(|file| file.verify_whole());
        if let Err(error) = verified {
            recovered.report.damaged_snapshots.push(error.to_string().into());
        }
    }
    if let Some((reader, tail)) = &recovered.open_end {
        recovered.report.cut = repair::cut(reader, tail, None);
    }
    Ok(recovered.report)
}

/// The state after a record, which `settings.reach` says, from the files of a database that this process has open. The
/// caller keeps them from being pruned meanwhile. `from` is a state to begin with, if it is not further
/// from that record than the newest snapshot that is of use.
pub(crate) fn read_until(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
    from: Option<State>,
) -> Result<State> {
    let (_, recovered) = read_files(disk, registry, settings, from)?;
    Ok(recovered.state)
}

/// Looks, plans, loads and replays, under the lock and without changing anything.
fn read(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
) -> Result<(Look, Recovered)> {
    if !look::is_there(disk)? {
        return Err(nothing(disk, "there is nothing"));
    }
    let _lock = lock::take_to_read(disk)?;
    read_files(disk, registry, settings, None)
}

/// The lock with which files may be read that this process has not open; `None` where there is none.
pub(crate) fn lock_to_read(disk: &DiskRef) -> Result<Option<FileRef>> {
    lock::take_to_read(disk)
}

fn nothing(disk: &DiskRef, found: &'static str) -> Error {
    Error::NotADatabase { path: disk.full_path(Path::new("")).into(), found }
}

fn read_files(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
    from: Option<State>,
) -> Result<(Look, Recovered)> {
    let watch = Stopwatch::start();
    let mut look = look::look(disk, settings.reach)?;
    let refusal = match settings.reach {
        Reach::End | Reach::Replayed(_) => {
            let read = read_found(disk, registry, settings, &mut look, from, &watch);
            return read.map(|recovered| (look, recovered));
        }
        Reach::Until(_) => None,
        Reach::Damage => plan::plan(&look.found).err().map(|refusal| refusal.to_string().into()),
    };
    look.leave_out_foreign();
    let mut read = read_found(disk, registry, settings, &mut look, from, &watch);
    let damage: Option<Box<str>> = match &read {
        Ok(recovered) => recovered.report.stopped_at.clone().or(refusal),
        Err(Error::NoLsn { lsn, nearest }) if nearest < lsn => None,
        Err(error @ (Error::Missing { .. } | Error::NoLsn { .. })) => {
            Some(error.to_string().into())
        }
        Err(error) if error.is_damage() => Some(error.to_string().into()),
        Err(_) => None,
    };
    let Some(damage) = damage.filter(|_| settings.reach == Reach::Damage || read.is_err()) else {
        return read.map(|recovered| (look, recovered));
    };
    // It may lie in what a snapshot covers: what leads on from there by itself is whole then.
    look = look::look(disk, settings.reach)?;
    look.leave_out_foreign();
    let all = look.found.clone();
    for snapshot in all.snapshots.iter().rev() {
        if snapshot.lsn > settings.reach.last() {
            continue;
        }
        look.found = all.behind(snapshot.lsn);
        match read_found(disk, registry, settings, &mut look, None, &Stopwatch::start()) {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Ok(other) if read.as_ref().map_or(true, |read| read.state.lsn < other.state.lsn) => {
                read = Ok(other);
            }
            _ => {}
        }
    }
    look.found = all;
    let mut recovered = read?;
    if settings.reach == Reach::Damage {
        let Recovered { state, report, .. } = &mut recovered;
        report.stopped_at.get_or_insert(damage);
        report.behind = Some(survey::survey(disk, &look.segments, state.lsn));
    }
    Ok((look, recovered))
}

/// Plans, loads and replays what was found.
fn read_found(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
    look: &mut Look,
    from: Option<State>,
    watch: &Stopwatch,
) -> Result<Recovered> {
    look.stopped_at = None;
    let plan = match settings.reach {
        Reach::End => look.plan()?,
        Reach::Until(lsn) => plan::plan_until(look, lsn)?,
        Reach::Replayed(lsn) => {
            look.found.snapshots.retain(|snapshot| snapshot.lsn < lsn);
            if look.found.floor().is_none() {
                // The snapshot is the first there is, and nothing leads to it.
                return Err(Error::NoLsn { lsn, nearest: lsn });
            }
            plan::plan_until(look, lsn)?
        }
        Reach::Damage => plan::plan_before_damage(look)?,
    };
    let Some(plan) = plan else {
        return match settings.reach {
            Reach::Until(Lsn::ZERO) => Ok(Recovered::new(registry, look)),
            _ => Err(nothing(disk, "the directory is empty")),
        };
    };
    let planned = watch.elapsed();
    let mut recovered = recover(disk, registry, settings, look, &plan, from)?;
    let Recovered { state, report, .. } = &mut recovered;
    report.times.plan = planned;
    let damage = look.damaged_segments.first_key_value().map(|(_, damage)| damage);
    match settings.reach {
        Reach::Until(lsn) | Reach::Replayed(lsn) if state.lsn != lsn => {
            // Damage in between is why, if there is any.
            let damage = look.damaged_segments.pop_first().map(|(_, damage)| damage);
            return Err(damage.unwrap_or(Error::NoLsn { lsn, nearest: state.lsn }));
        }
        Reach::Damage if report.stopped_at.is_none() => {
            report.stopped_at = damage.map(|damage| damage.to_string().into());
        }
        _ => {}
    }
    Ok(recovered)
}

/// The state in memory, and what is known of the files.
struct Recovered {
    state: State,
    /// The log's chain checksum at its end.
    chain: u32,
    open_end: Option<(crate::wal::scan::SegmentReader, crate::wal::Tail)>,
    report: RecoveryReport,
    damaged_snapshots: Vec<Lsn>,
}

impl Recovered {
    /// Builds deferred indexes, if the settings ask for it.
    fn build_indexes(&mut self, settings: &Settings) -> Result<()> {
        if settings.build_indexes {
            let building = Stopwatch::start();
            index::build(&self.state, settings)?;
            self.report.times.index = building.elapsed();
        }
        Ok(())
    }

    /// A database without a record.
    fn new(registry: &'static PrimitiveRegistry, look: &Look) -> Recovered {
        let mut state = State::empty(registry);
        let rows = registry.facts().iter().map(|linked| linked.row.clone()).collect();
        state.catalog = Catalog { rows }.into();
        Recovered {
            state,
            chain: 0,
            open_end: None,
            report: RecoveryReport { damaged_snapshots: texts(look), ..Default::default() },
            damaged_snapshots: Vec::new(),
        }
    }
}

impl Recovered {
    /// What can be read and not written.
    fn read_only(self, because: &'static str, lock: Option<FileRef>) -> Opened {
        let Recovered { state, mut report, damaged_snapshots, .. } = self;
        report.read_only = Some(because.into());
        Opened { state, access: Access::ReadOnly { because, lock }, report, damaged_snapshots }
    }
}

fn texts(look: &Look) -> Vec<Box<str>> {
    look.damaged_snapshots.iter().map(|error| error.to_string().into()).collect()
}

/// Tries the snapshots of the plan, newest first, and replays the log on the first that is whole; or on
/// `from`, if that is nearer.
fn recover(
    disk: &DiskRef,
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
    look: &Look,
    plan: &Plan,
    from: Option<State>,
) -> Result<Recovered> {
    let mut report = RecoveryReport { damaged_snapshots: texts(look), ..Default::default() };
    report.damaged_segments = look.found.damage_below(plan);
    report.stopped_at = look.stopped_at.as_ref().map(|damage| damage.to_string().into());
    let mut damaged_snapshots = Vec::new();
    let loading = Stopwatch::start();
    let mut starts = plan.starts.iter().peekable();
    let newest = starts.peek().and_then(|start| **start).unwrap_or_default();
    let mut from = from.filter(|from| from.lsn >= newest);
    let (mut state, chain, mut fold) = loop {
        let mut fold = CatalogFold::default();
        if let Some(from) = from.take() {
            fold.add(&from.catalog);
            break (from, None, fold);
        }
        match starts.next() {
            Some(Some(lsn)) => match load::load(disk, *lsn, registry, &mut fold, settings) {
                Ok((state, chain)) => {
                    report.snapshot_lsn = Some(*lsn);
                    break (state, Some(chain), fold);
                }
                Err(error) if error.is_damage() && starts.peek().is_some() => {
                    report.damaged_snapshots.push(error.to_string().into());
                    damaged_snapshots.push(*lsn);
                }
                Err(error) => return Err(error),
            },
            Some(None) | None => break (State::empty(registry), None, fold),
        }
    };
    report.times.load = loading.elapsed();
    if settings.check_all {
        let covered = covered::damage(disk, plan, &look.found, state.lsn)?;
        report.damaged_segments.extend(covered);
    }
    let replaying = Stopwatch::start();
    let scanned = scan::replay(disk, plan, &look.found, &mut state, chain, &mut fold, settings)?;
    report.times.replay = replaying.elapsed();
    finish(
        registry,
        settings,
        look,
        fold,
        scanned,
        Recovered { chain: chain.unwrap_or(0), state, open_end: None, report, damaged_snapshots },
    )
}

/// Fills in the catalog and the report.
fn finish(
    registry: &'static PrimitiveRegistry,
    settings: &Settings,
    look: &Look,
    fold: CatalogFold,
    scanned: Scanned,
    mut recovered: Recovered,
) -> Result<Recovered> {
    let Recovered { state, report, .. } = &mut recovered;
    let catalog = fold.finish(registry.facts())?;
    for row in &catalog.rows {
        let entries = scanned.entries[usize::from(row.type_id)];
        if entries > 0 {
            report.entries.push(PrimitiveEntries {
                primitive: row.name.as_str().into(),
                type_id: row.type_id,
                entries,
            });
        }
        if registry.facts().iter().any(|linked| linked.is_named(&row.name)) {
            continue;
        }
        let asked_for = settings.names_detached(&row.name);
        if settings.require_linked && !asked_for {
            return Err(crate::error::RegistryError::NotLinked {
                name: row.name.as_str().into(),
                type_id: row.type_id,
                crate_name: row.crate_name.as_str().into(),
                crate_version: row.crate_version.as_str().into(),
            }
            .into());
        }
        report.detached.push(DetachedPrimitive {
            primitive: row.name.as_str().into(),
            type_id: row.type_id,
            crate_name: row.crate_name.as_str().into(),
            crate_version: row.crate_version.as_str().into(),
            asked_for,
            bytes: state.detached.bytes_of_type(row.type_id),
        });
    }
    state.catalog = catalog.into();
    report.last_lsn = state.lsn;
    if let Some(damage) = scanned.stopped_at {
        // What the scan meets first stands before what the look has met.
        report.stopped_at = Some(damage.to_string().into());
    }
    report.segments = scanned.segments;
    report.records = scanned.records;
    report.runs = state.table.iter().len();
    report.wal_bytes_since_snapshot = scanned.bytes;
    recovered.chain = match (&scanned.open_end, look.found.segments.last().map(|s| &s.footer)) {
        (Some((_, tail)), _) => tail.chain,
        (None, Some(Ok(footer))) => footer.chain,
        (None, _) => recovered.chain,
    };
    recovered.open_end = scanned.open_end;
    Ok(recovered)
}

#[cfg(test)]
#[expect(unsafe_code, reason = "a primitive's place in the registry is a linker section")]
mod tests;
