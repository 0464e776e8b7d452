//! Checkpoints: write a snapshot of a published state, then remove what it makes superfluous.
//!
//! - A snapshot is renamed into place only when every record it covers is synced.
//! - Without space for another snapshot, one that was verified and the WAL behind it must do.
//! - The WAL is kept back to the oldest kept snapshot, so that a damaged newest one costs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Core, Files, Mistake, Writer, locked};
use crate::error::{Error, Result};
use crate::id::{DatabaseId, Lsn};
use crate::primitive::SectionWriter;
use crate::snapshot::{self, RunRow, SnapshotFile, SnapshotMeta, SnapshotWriter};
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
}

/// What is known of the snapshots on the disk.
pub(super) struct Checkpoints {
    kept: usize,
    newest: Option<Lsn>,
    /// Found damaged at opening: they do not count as kept.
    damaged: Vec<Lsn>,
}

impl Checkpoints {
    pub(super) fn new(kept: usize, newest: Option<Lsn>, damaged: Vec<Lsn>) -> Checkpoints {
        Checkpoints { kept, newest, damaged }
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
            let write = || {
                snapshot::write(
                    &files.disk,
                    &meta_of(state, database, chain),
                    |writer| write_sections(to_write, writer),
                    || self.wait_synced(state.lsn),
                )
            };
            let written = match write() {
                Err(Error::NoSpace { .. }) if make_room(files, checkpoints, database)? => write(),
                written => written,
            };
            let written = written?;
            files.wal_bytes.fetch_sub(covered, Ordering::Relaxed);
            report.snapshot_bytes = written.bytes;
            checkpoints.newest = Some(state.lsn);
            checkpoints.damaged.retain(|damaged| *damaged != state.lsn);
        }
        let damaged = &checkpoints.damaged;
        let pruned = snapshot::prune(&files.disk, checkpoints.kept, |lsn| {
            Ok(!damaged.contains(&lsn) && snapshot::opens(&files.disk, lsn, database)?)
        })?;
        report.snapshots_removed = pruned.removed.len();
        if self.planted.is(Mistake::PrunePastOlderSnapshot) {
            locked(&files.log).prune(state.lsn)?;
        }
        if let Some(floor) = pruned.kept.last().filter(|_| pruned.kept.len() >= checkpoints.kept) {
            report.segments_removed = locked(&files.log).prune(*floor)?;
        }
        Ok(report)
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

/// Gives up all snapshots but the newest that was read whole, and the log before it. Whether that was
/// anything.
fn make_room(files: &Files, checkpoints: &Checkpoints, database: DatabaseId) -> Result<bool> {
    let pruned = snapshot::prune(&files.disk, 1, |lsn| {
        Ok(!checkpoints.damaged.contains(&lsn)
            && snapshot::opens(&files.disk, lsn, database)?
            && SnapshotFile::open(&files.disk, lsn)?.verify_whole().is_ok())
    })?;
    let segments = match pruned.kept.first() {
        Some(floor) => locked(&files.log).prune(*floor)?,
        None => 0,
    };
    Ok(segments > 0 || !pruned.removed.is_empty())
}

/// What the snapshot of a state says besides the primitives' sections.
pub(super) fn meta_of(state: &Published, database: DatabaseId, chain: u32) -> SnapshotMeta {
    let runs = state.table.iter().map(|row| RunRow {
        run: row.id,
        parent: row.parent,
        created_lsn: row.created_lsn,
        last_lsn: state.runs.get(&row.id).map_or(Lsn::ZERO, |run| run.last_lsn),
        name: row.name.to_string(),
    });
    SnapshotMeta {
        database,
        epoch: state.epoch,
        lsn: state.lsn,
        timestamp: state.timestamp,
        chain,
        catalog: (*state.catalog).clone(),
        runs: runs.collect(),
        next_run: state.table.last_id().0.saturating_add(1),
    }
}

/// Every primitive's section, linked or detached, in ascending order of type IDs.
pub(super) fn write_sections(state: &Published, writer: &mut SnapshotWriter<'_>) -> Result<()> {
    for row in &state.catalog.rows {
        let linked = state.registry.list().iter().position(|p| p.type_id() == row.type_id);
        let Some(index) = linked else {
            writer.begin_section(row.type_id, row.section_version)?;
            for instance in state.detached.of_type(row.type_id) {
                writer.raw_instance(instance)?;
            }
            writer.end_section()?;
            continue;
        };
        let descriptor = &state.registry.list()[index];
        writer.begin_section(row.type_id, row.section_version)?;
        for (run, instances) in &state.runs {
            if let Some(frozen) = instances.get(index) {
                writer.instance(*run, |sink| {
                    descriptor.save(frozen, &mut SectionWriter::new(sink))
                })?;
            }
        }
        writer.end_section()?;
    }
    Ok(())
}
