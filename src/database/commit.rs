//! From a closure to the disk: applying, queueing, syncing, publishing.
//!
//! A transaction is applied to the working state and its record joins the queue under the writer's
//! lock. Whoever waits for durability may find itself the *leader*: it takes the whole queue,
//! writes it, syncs it, publishes the state that belongs to it, and wakes those it covered. The
//! next group gathers meanwhile.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::checkpoint::Checkpoints;
use super::publish::CallIfPoisoned;
use super::{Core, Durability, Files, Mistake, Transaction, Writer, locked};
use crate::error::{Error, Result};
use crate::format::{RECORD_BYTES_MAX, record};
use crate::id::Lsn;

/// What is kept back of a segment at most.
const KEPT_BACK_BYTES_MAX: u64 = 64 << 10;

thread_local! {
    /// The databases whose transactions run on this thread, by the address of their core.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, this thread is inside a transaction of one database.
struct Inside;

impl Inside {
    fn enter(core: &Core) -> Inside {
        // A thread that is ending has no list any more; nothing can be nested there then.
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(core.address()));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// A record that is larger than the documented maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction's record has {found} bytes, at most {RECORD_BYTES_MAX} fit")]
pub struct RecordTooLarge {
    /// Bytes of the record's body.
    pub found: usize,
}

/// What a transaction changed stays, without its record: a planted mistake.
fn keep(tx: &mut Transaction<'_>) {
    let lsn = tx.writer().lsn();
    tx.settle();
    tx.writer().state.lsn = lsn;
}

impl Core {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn is_inside(&self) -> bool {
        INSIDE.try_with(|inside| inside.borrow().contains(&self.address())).unwrap_or(false)
    }

    /// A call that would wait for the transaction it stands in is an error, not a deadlock.
    pub(super) fn refuse_nested(&self, call: &'static str) -> Result<()> {
        if self.is_inside() { Err(Error::Nested { call }) } else { Ok(()) }
    }

    /// Applies `body` and queues its record. Returns the LSN to wait for: its own, or that of the
    /// state it read if it logged nothing.
    pub(super) fn run_transaction<T>(
        &self,
        call: &'static str,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<(T, Lsn)> {
        self.refuse_nested(call)?;
        self.refuse_read_only()?;
        let writer = self.writer_with_room()?;
        let _inside = Inside::enter(self);
        let mut tx = Transaction::begin(writer, (self.clock)());
        let value = match body(&mut tx) {
            Ok(value) => value,
            Err(error) => {
                if self.planted.is(Mistake::LogAborted) && !tx.is_empty() {
                    self.enqueue(&mut tx)?;
                    let lsn = tx.lsn();
                    tx.writer().state.lsn = lsn;
                    self.applied.store(lsn.0, Ordering::Release);
                } else if self.planted.is(Mistake::KeepAborted) {
                    keep(&mut tx);
                }
                return Err(error);
            }
        };
        if tx.is_empty() {
            return Ok((value, tx.writer().lsn()));
        }
        let lsn = tx.lsn();
        if let Err(error) = self.enqueue(&mut tx) {
            if self.planted.is(Mistake::KeepRefused) {
                keep(&mut tx);
            }
            return Err(error);
        }
        self.applied.store(lsn.0, Ordering::Release);
        tx.settle();
        self.publish_if_watched(tx.writer());
        Ok((value, lsn))
    }

    /// The writer, once no more bytes wait for their sync than the options allow.
    fn writer_with_room(&self) -> Result<MutexGuard<'_, Writer>> {
        loop {
            self.group.refuse_poisoned()?;
            let writer = locked(&self.writer);
            if self.is_closed() {
                return Err(Error::Closed);
            }
            let in_file = self.files.as_ref().map_or(0, Files::unsynced_bytes);
            if writer.queue.len() as u64 + in_file < self.unsynced_bytes_max {
                return Ok(writer);
            }
            let lsn = writer.lsn();
            drop(writer);
            self.wait_synced(lsn)?;
        }
    }

    /// Puts the record of `tx` into the queue, or in `Buffered` mode into the file. Until this
    /// returned, `tx` can still be undone.
    fn enqueue(&self, tx: &mut Transaction<'_>) -> Result<()> {
        let found = tx.body()?.len();
        if found > RECORD_BYTES_MAX {
            return Err(Error::reject(RecordTooLarge { found }));
        }
        let Some(files) = &self.files else { return Ok(()) };
        let needed = record::framed_len(found);
        let kept_back = if tx.is_freeing() { 0 } else { files.kept_back() };
        let writer = tx.writer();
        if needed + kept_back > writer.room {
            files
                .rotate(writer, needed + kept_back)
                .map_err(|error| self.or_poison(files, error))?;
        }
        let body = writer.log.finish()?;
        writer.queue.push(body);
        if let Durability::Buffered { .. } = self.durability {
            let appended = locked(&files.log).append(&mut writer.queue);
            writer.queue.clear();
            appended.map_err(|error| self.or_poison(files, error))?;
            files.unsynced_bytes.fetch_add(needed, Ordering::Relaxed);
        }
        writer.room -= needed;
        let before = files.wal_bytes.fetch_add(needed, Ordering::Relaxed);
        if files.checkpoint_bytes.is_some_and(|most| before < most && most <= before + needed) {
            self.nudge();
        }
        Ok(())
    }

    /// Waits until the record at `lsn` is as durable as the mode promises.
    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        match self.durability {
            Durability::Strict if self.planted.is(Mistake::AcknowledgeBeforeSync) => Ok(()),
            Durability::Strict => self.wait_synced(lsn),
            Durability::Buffered { .. } | Durability::InMemory => Ok(()),
        }
    }

    /// Whether the record at `lsn` is as durable as the mode promises.
    pub(super) fn is_durable(&self, lsn: Lsn) -> bool {
        self.durability != Durability::Strict || self.group.synced() >= lsn
    }

    /// Waits until the record at `lsn` is synced, whatever the mode; may lead.
    pub(super) fn wait_synced(&self, lsn: Lsn) -> Result<()> {
        match &self.files {
            Some(files) => {
                let _call = CallIfPoisoned(self);
                self.group.wait(lsn, || self.lead(files))
            }
            None => Ok(()),
        }
    }

    /// Syncs everything applied so far.
    pub(super) fn sync_applied(&self) -> Result<()> {
        self.wait_synced(Lsn(self.applied.load(Ordering::Acquire)))
    }

    /// Writes and syncs everything that is queued, publishes the state that belongs to it, and
    /// returns the last LSN it covered. Only one thread leads at a time.
    fn lead(&self, files: &Files) -> Result<Lsn> {
        let mut writer = locked(&self.writer);
        let mut log = locked(&files.log);
        let spare = log.take_spare();
        let mut batch = std::mem::replace(&mut writer.queue, spare);
        let lsn = writer.lsn();
        let strict = self.durability == Durability::Strict;
        let closed = strict.then(|| writer.state.publish(&self.published.load()));
        drop(writer);
        if let Some(closed) = &closed
            && self.planted.is(Mistake::PublishBeforeSync)
        {
            self.publish(Arc::new(closed.clone()));
        }
        log.append(&mut batch)?;
        log.give_spare(batch);
        if strict {
            match log.sync() {
                Err(_) if self.planted.is(Mistake::TrustFailedSync) => {}
                synced => drop(synced?),
            }
        } else {
            // Writers append to the file while it syncs, so the log must not stay locked.
            let covered = files.unsynced_bytes();
            let sync = log.begin_sync();
            drop(log);
            let synced = sync.run();
            locked(&files.log).end_sync(synced)?;
            files.unsynced_bytes.fetch_sub(covered, Ordering::Relaxed);
        }
        if let Some(closed) = closed {
            self.publish(Arc::new(closed));
        }
        Ok(lsn)
    }

    /// Makes everything durable and lets the files go.
    pub(super) fn close(&self) -> Result<()> {
        let is_closed = self.closed.swap(true, Ordering::AcqRel);
        if let Some(read_only) = &self.read_only {
            drop(locked(&read_only.lock).take());
        }
        self.watch.call();
        let Some(files) = &self.files else { return Ok(()) };
        // Held until the directory is let go: a checkpoint that goes on must not work in a directory
        // that somebody else may have, and whoever closes second must find it closed.
        let mut checkpoints = locked(&files.checkpoints);
        if is_closed {
            return Ok(());
        }
        // Whoever held the writer when the flag was set has finished once we have had it.
        drop(locked(&self.writer));
        let result = self.finish_files(files, &mut checkpoints);
        drop(locked(&files.lock).take());
        result
    }

    fn finish_files(&self, files: &Files, checkpoints: &mut Checkpoints) -> Result<()> {
        self.sync_applied()?;
        if files.checkpoint_on_close {
            self.checkpoint_at_close(files, checkpoints)?;
        }
        locked(&files.log).seal()
    }
}

impl Files {
    /// Bytes that `Buffered` transactions wrote and nothing has synced.
    fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes.load(Ordering::Relaxed)
    }

    /// Bytes at a segment's end that only transactions which free space may use, once the disk has none
    /// for another segment.
    fn kept_back(&self) -> u64 {
        KEPT_BACK_BYTES_MAX.min(self.segment_bytes / 8)
    }

    /// Syncs everything and ends the active segment, if there is anything in it and space for another.
    pub(super) fn end_segment(&self, writer: &mut Writer) -> Result<()> {
        let mut log = locked(&self.log);
        log.append(&mut writer.queue)?;
        writer.queue.clear();
        if log.has_records() {
            let rotated = log.rotate(&writer.state.catalog, 0);
            writer.room = log.room();
            if !matches!(rotated, Err(Error::NoSpace { .. })) {
                return rotated;
            }
        }
        log.sync().map(drop)
    }

    /// Seals the active segment and opens one with room for `needed` bytes. The caller holds the
    /// writer, so nothing joins the queue meanwhile; what is in it is written and synced first.
    /// If there is no space for the new segment, everything is as before.
    pub(super) fn rotate(&self, writer: &mut Writer, needed: u64) -> Result<()> {
        let mut log = locked(&self.log);
        log.append(&mut writer.queue)?;
        writer.queue.clear();
        let rotated = log.rotate(&writer.state.catalog, needed);
        writer.room = log.room();
        rotated
    }
}
