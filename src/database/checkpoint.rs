//! Checkpoints: write a snapshot of a published state, then remove what it makes superfluous.
//!
//! - A snapshot is renamed into place only when every record it covers is synced.
//! - Without space for another snapshot, one that was verified and the WAL behind it must do.
//! - The WAL is kept back to the oldest kept snapshot, so that a damaged newest one costs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Core, Files, History, Mistake, Past, Writer, locked};
use crate::error::{Error, Result};
use crate::format::core_entry::Told;
use crate::id::{DatabaseId, Lsn, RunId};
use crate::primitive::{Frozen, RowSink, SectionWriter};
use crate::replay;
use crate::snapshot::{self, FileKind, RunRow, SnapshotFile, SnapshotMeta, SnapshotWriter};
use crate::state::Published;

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// The last record the newest snapshot covers.
    pub lsn: Lsn,
    /// Bytes of the snapshot written; 0 if nothing had changed since the last one.
    pub snapshot_bytes: u64,
    /// How many older snapshots were removed.
    pub snapshots_removed: usize,
    /// How many WAL segments were removed.
    pub segments_removed: usize,
    /// Bytes of what was kept of them for runs, and of what was written again to stay in few files.
    pub history_bytes: u64,
}

/// What is known of the snapshots on the disk.
pub(super) struct Checkpoints {
    kept: usize,
    newest: Option<Lsn>,
    /// How many runs had been deleted when history was last freed of what nobody needs.
    freed_of: Option<u64>,
    /// Found damaged at opening: they do not count as kept.
    damaged: Vec<Lsn>,
}

impl Checkpoints {
    pub(super) fn new(kept: usize, newest: Option<Lsn>, damaged: Vec<Lsn>) -> Checkpoints {
        Checkpoints { kept, newest, freed_of: None, damaged }
    }
}

impl Core {
    pub(super) fn checkpoint(&self) -> Result<CheckpointReport> {
        self.refuse_read_only()?;
        let Some(files) = &self.files else { return Ok(CheckpointReport::default()) };
        let mut checkpoints = locked(&files.checkpoints);
        let (state, chain) = {
            let mut writer = locked(&self.writer);
            if self.is_closed() {
                return Err(Error::Closed);
            }
            self.group.refuse_poisoned()?;
            if writer.lsn() == Lsn::ZERO {
                // Nothing was ever committed: there is no state, and no log that leads to it.
                return Ok(CheckpointReport::default());
            }
            if checkpoints.newest != Some(writer.lsn()) {
                // The snapshot ends where a segment ends, so that a later one makes the segments
                // before it superfluous as a whole.
                files.end_segment(&mut writer).map_err(|error| self.or_poison(files, error))?;
            }
            self.publish_synced(files, &mut writer)
        };
        self.write_and_prune(files, &mut checkpoints, &state, chain)
    }

    /// As [`checkpoint`](Core::checkpoint) when no writer is left and everything is synced. A
    /// database without a record needs none.
    pub(super) fn checkpoint_at_close(
        &self,
        files: &Files,
        checkpoints: &mut Checkpoints,
    ) -> Result<()> {
        let (state, chain) = self.publish_synced(files, &mut locked(&self.writer));
        if state.lsn != Lsn::ZERO && checkpoints.newest != Some(state.lsn) {
            self.write_and_prune(files, checkpoints, &state, chain)?;
        }
        Ok(())
    }

    /// Publishes what the writer holds, all of which is synced, and says the chain at its end.
    fn publish_synced(&self, files: &Files, writer: &mut Writer) -> (Arc<Published>, u32) {
        let log = locked(&files.log);
        debug_assert_eq!(log.written(), writer.lsn());
        let state = Arc::new(writer.state.publish(&self.published.load()));
        self.publish(Arc::clone(&state));
        (state, log.chain())
    }

    fn write_and_prune(
        &self,
        files: &Files,
        checkpoints: &mut Checkpoints,
        state: &Published,
        chain: u32,
    ) -> Result<CheckpointReport> {
        let mut report = CheckpointReport { lsn: state.lsn, ..CheckpointReport::default() };
        let database = locked(&files.log).database();
        if checkpoints.newest != Some(state.lsn) {
            let covered = files.wal_bytes.load(Ordering::Relaxed);
            let mistaken = self
                .planted
                .is(Mistake::DropDetached)
                .then(|| Published { detached: Arc::default(), ..state.clone() });
            let to_write = mistaken.as_ref().unwrap_or(state);
            let kept_from = match files.history {
                History::Wal => state.lsn.next(),
                History::Runs | History::All => state.kept_from,
            };
            let write = || {
                snapshot::write(
                    &files.disk,
                    &meta_of(state, database, chain, kept_from),
                    |writer| write_sections(to_write, writer),
                    || self.wait_synced(state.lsn),
                )
            };
            let written = match write() {
                Err(Error::NoSpace { .. }) if self.make_room(files, checkpoints, state)? => write(),
                written => written,
            };
            let written = written?;
            files.wal_bytes.fetch_sub(covered, Ordering::Relaxed);
            report.snapshot_bytes = written.bytes;
            checkpoints.newest = Some(state.lsn);
            checkpoints.damaged.retain(|damaged| *damaged != state.lsn);
        }
        let damaged = &checkpoints.damaged;
        let _pruning = self.past.as_ref().map(Past::pruning);
        let pruned = snapshot::prune(&files.disk, checkpoints.kept, |lsn| {
            Ok(!damaged.contains(&lsn) && snapshot::opens(&files.disk, lsn, database)?)
        })?;
        report.snapshots_removed = pruned.removed.len();
        if self.planted.is(Mistake::PrunePastOlderSnapshot) {
            locked(&files.log).prune(state.lsn)?;
        }
        if pruned.kept.len() >= checkpoints.kept {
            let deleted = state.table.deleted_count();
            let has_deleted = checkpoints.freed_of != Some(deleted);
            (report.segments_removed, report.history_bytes) =
                prune_log(files, state, &pruned.kept, has_deleted)?;
            checkpoints.freed_of = Some(deleted);
        }
        Ok(report)
    }

    /// Gives up all snapshots but the newest that was read whole, and the log before it. Whether that
    /// was anything.
    fn make_room(
        &self,
        files: &Files,
        checkpoints: &Checkpoints,
        state: &Published,
    ) -> Result<bool> {
        let database = locked(&files.log).database();
        let _pruning = self.past.as_ref().map(Past::pruning);
        // The snapshot may be the one whose name could not be synced just now; what is given up for it is
        // gone, so it must be there after a power failure.
        snapshot::sync_directory(&files.disk)?;
        let pruned = snapshot::prune(&files.disk, 1, |lsn| {
            Ok(!checkpoints.damaged.contains(&lsn)
                && snapshot::opens(&files.disk, lsn, database)?
                && SnapshotFile::open(&files.disk, lsn)?.verify_whole().is_ok())
        })?;
        let (segments, _) = prune_log(files, state, &pruned.kept, true)?;
        Ok(segments > 0 || !pruned.removed.is_empty())
    }

    /// A full disk refuses what was to be done and nothing else; what the log calls final is final.
    pub(super) fn or_poison(&self, files: &Files, error: Error) -> Error {
        if locked(&files.log).is_poisoned() {
            self.group.poison();
            self.watch.call();
        }
        error
    }
}

/// Removes the segments that hold nothing above the oldest of `snapshots`, after what runs did in them was
/// kept. How many they were, and how many bytes that took.
fn prune_log(
    files: &Files,
    state: &Published,
    snapshots: &[Lsn],
    has_deleted: bool,
) -> Result<(usize, u64)> {
    let Some(floor) = snapshots.iter().copied().min() else { return Ok((0, 0)) };
    let must_keep = || -> Result<bool> {
        // Any of them may be the one that is loaded, and say that it is kept.
        for lsn in snapshots {
            if SnapshotFile::open(&files.disk, *lsn)?.meta().first_lsn <= floor {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let kept = match files.history {
        History::All => return Ok((0, 0)),
        History::Wal if state.table.iter().len() > 0 && must_keep()? => return Ok((0, 0)),
        History::Wal => {
            replay::remove_packs(&files.disk)?;
            0
        }
        History::Runs => {
            let (segments, database, finder) = {
                let log = locked(&files.log);
                (log.superfluous(floor), log.database(), log.finder())
            };
            replay::keep(
                &files.disk,
                database,
                state.epoch,
                &segments,
                &state.table,
                has_deleted,
                finder,
            )?
            .bytes
        }
    };
    Ok((locked(&files.log).prune(floor)?, kept))
}

/// What the snapshot of a state says besides the primitives' sections.
///
/// `kept_from`: the record from which what its runs did is kept.
pub(super) fn meta_of(
    state: &Published,
    database: DatabaseId,
    chain: u32,
    kept_from: Lsn,
) -> SnapshotMeta {
    let runs = state.table.iter().map(|row| {
        let run = state.runs.get(&row.id);
        RunRow {
            run: row.id,
            parent: row.parent,
            created_lsn: row.created_lsn,
            last_lsn: run.map_or(Lsn::ZERO, |run| run.last_lsn),
            told: run.map_or_else(Told::default, |run| run.told),
            is_fork: row.is_fork,
            is_gone: false,
            name: row.name.to_string(),
        }
    });
    // Others descend from it, or what is not linked is stored as changes to it.
    let of_detached = state.detached.deleted().filter(|run| !state.table.is_gone(*run));
    let gone = state.table.gone().chain(of_detached.map(|run| (run, None)));
    let gone = gone.map(|(run, parent)| RunRow {
        run,
        parent,
        created_lsn: Lsn::ZERO,
        last_lsn: Lsn::ZERO,
        told: Told::default(),
        is_fork: parent.is_some(),
        is_gone: true,
        name: String::new(),
    });
    let mut runs: Vec<RunRow> = runs.chain(gone).collect();
    runs.sort_by_key(|row| row.run);
    SnapshotMeta {
        kind: FileKind::Snapshot,
        first_lsn: kept_from,
        database,
        epoch: state.epoch,
        lsn: state.lsn,
        timestamp: state.timestamp,
        chain,
        catalog: (*state.catalog).clone(),
        runs,
        next_run: state.table.last_id().0.saturating_add(1),
        root_last_lsn: state.runs.get(&RunId::ROOT).map_or(Lsn::ZERO, |root| root.last_lsn),
    }
}

/// Every primitive's section, linked or detached, in ascending order of type IDs.
pub(super) fn write_sections(state: &Published, writer: &mut SnapshotWriter<'_>) -> Result<()> {
    for row in &state.catalog.rows {
        let linked = state.registry.list().iter().position(|p| p.type_id() == row.type_id);
        let Some(index) = linked else {
            writer.begin_section(row.type_id, row.section_version)?;
            let of_type = state.detached.of_type(row.type_id);
            // A fork of the root took what lives in the root only with it, for want of the catalog.
            for instance in of_type.filter(|one| !row.root_only || one.run == RunId::ROOT) {
                writer.raw_instance(instance)?;
            }
            writer.end_section()?;
            continue;
        };
        writer.begin_section(row.type_id, row.section_version)?;
        for (run, instances) in &state.runs {
            if let Some(frozen) = instances.get(index) {
                write_instance(state, writer, index, *run, frozen)?;
            }
        }
        writer.end_section()?;
    }
    Ok(())
}

/// Takes no rows in.
struct NoRows;

impl RowSink for NoRows {
    fn row(&mut self, _: u32, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Writes one instance: as changes to that of a relative, if they are few.
fn write_instance(
    state: &Published,
    writer: &mut SnapshotWriter<'_>,
    index: usize,
    run: RunId,
    frozen: &Frozen,
) -> Result<()> {
    let primitive = state.registry.list()[index];
    let of_base = |base: &RunId| Some((*base, state.runs.get(base)?.get(index)?));
    if let Some((base, of_base)) = state.table.relative(run).as_ref().and_then(of_base)
        && let Some(rows) = writer.rows_of(base)
        // What is written by hand may not be able to say what differs.
        && primitive.save_changes(frozen, frozen, &mut SectionWriter::new(&mut NoRows))?
    {
        // More changes than that are not worth the second look at the base when it is loaded.
        let most = usize::try_from(rows / 4).unwrap_or(usize::MAX);
        let is_near =
            primitive.changes(of_base, frozen).take(most.saturating_add(1)).count() <= most;
        if is_near
            && writer.changed_instance(run, base, |sink| {
                primitive.save_changes(of_base, frozen, &mut SectionWriter::new(sink))
            })?
        {
            return Ok(());
        }
    }
    writer.instance(run, |sink| primitive.save(frozen, &mut SectionWriter::new(sink)))
}
