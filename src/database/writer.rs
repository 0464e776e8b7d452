//! What the commit lock protects: the working state, the record being built, and the queue of
//! records that wait to be written.

use crate::id::{Epoch, Lsn, RunId};
use crate::primitive::TransactionLog;
use crate::state::State;
use crate::wal::Batch;

/// The one writer's side of a database.
pub(crate) struct Writer {
    pub(crate) state: State,
    pub(crate) log: TransactionLog,
    /// Cells that the running transaction has handed out.
    pub(crate) touched: Vec<(RunId, usize)>,
    /// Records applied in memory and not yet given to the log.
    pub(crate) queue: Batch,
    /// Bytes that still fit into the active segment behind everything in the queue.
    pub(crate) room: u64,
    /// This opening's epoch, in every record it writes.
    pub(crate) epoch: Epoch,
}

impl Writer {
    pub(crate) fn new(state: State, epoch: Epoch, room: u64) -> Writer {
        Writer {
            state,
            log: TransactionLog::new(),
            touched: Vec::new(),
            queue: Batch::default(),
            room,
            epoch,
        }
    }

    /// The last record applied.
    pub(crate) fn lsn(&self) -> Lsn {
        self.state.lsn
    }
}
