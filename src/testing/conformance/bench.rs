//! A primitive by itself: its operations done once, and done again from what was logged.
//!
//! - The parts are the engine's own: handle, log, descriptor. Only files, locks and threads are not
//!   there.

use std::fmt::Write as _;
use std::marker::PhantomData;

use rkyv::util::AlignedVec;

use super::call::Call;
use super::rows::Rows;
use crate::error::{Error, Reason};
use crate::format::{WalEntry, record};
use crate::id::{Epoch, Lsn, RunId, Timestamp};
use crate::primitive::{
    Descriptor, Handle, Instance, OpContext, PrimitiveStorageExt, TransactionLog,
};
use crate::registry::PrimitiveRegistry;

/// What a rule has to say against a primitive.
pub(super) type Breach = String;

/// A logged entry that owns its bytes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) wal_type: u8,
    pub(super) version: u8,
    pub(super) payload: AlignedVec,
    pub(super) context: OpContext,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.wal_type, self.version, &self.payload[..], self.context)
            == (other.wal_type, other.version, &other.payload[..], other.context)
    }
}

impl Entry {
    /// The entry with the first `len` bytes of its payload.
    pub(super) fn cut(&self, len: usize) -> WalEntry<'_> {
        let payload = self.payload.get(..len).unwrap_or_default();
        WalEntry { wal_type: self.wal_type, version: self.version, payload }
    }

    /// Does what the entry says.
    pub(super) fn apply<P: PrimitiveStorageExt>(&self, state: &mut P) -> Result<(), Reason> {
        state.apply_wal_entry(&self.cut(self.payload.len()), &self.context)
    }
}

/// The operation that an entry is, for a message.
pub(super) fn name_of<P: PrimitiveStorageExt>(wal_type: u8, version: u8) -> String {
    let shape =
        P::OPERATIONS.iter().find(|shape| (shape.wal_type, shape.version) == (wal_type, version));
    match shape {
        Some(shape) => format!("`{}` ({wal_type:#04x} version {version})", shape.name),
        None => format!("operation {wal_type:#04x} version {version}"),
    }
}

/// What one transaction did.
#[derive(Debug)]
pub(super) struct Transaction {
    /// What the calls returned: the value, or the rejection.
    pub(super) returned: Vec<Result<String, String>>,
    pub(super) entries: Vec<Entry>,
}

/// An instance whose operations are done for the first time.
struct Bench<P> {
    descriptor: &'static Descriptor,
    instance: Instance,
    log: TransactionLog,
    lsn: Lsn,
    of: PhantomData<P>,
}

/// The time of a record, which on the bench depends on its LSN alone.
pub(super) fn time_of(lsn: Lsn) -> Timestamp {
    Timestamp(lsn.0.saturating_mul(1_000_000_000))
}

impl<P: PrimitiveStorageExt> Bench<P> {
    fn new() -> Result<Bench<P>, Breach> {
        let registry = PrimitiveRegistry::linked().map_err(|error| error.to_string())?;
        let descriptor = registry.get(P::TYPE_ID).ok_or("it is not linked")?;
        Ok(Bench {
            descriptor,
            instance: descriptor.create(),
            log: TransactionLog::new(),
            lsn: Lsn::ZERO,
            of: PhantomData,
        })
    }

    fn state(&self) -> &P {
        self.instance.get().expect("the descriptor made an instance of its own primitive")
    }

    /// Makes the calls in one transaction.
    fn transaction(&mut self, calls: &[Call<P>]) -> Result<Transaction, Breach> {
        self.lsn = self.lsn.next();
        self.log.begin(self.lsn, time_of(self.lsn), Epoch(1));
        let mut returned = Vec::new();
        for call in calls {
            let live = self.instance.live_mut().expect("it is of its own primitive");
            let mut handle = P::Handle::from(Handle::new(live, &mut self.log, RunId::ROOT));
            let outcome = match call.run(&mut handle) {
                Ok(value) => Ok(value),
                Err(Error::Rejected(reason)) => Err(reason.to_string()),
                Err(error) => return Err(format!("{call:?}: {error}")),
            };
            returned.push(outcome);
        }
        let body = self.log.finish().map_err(|error| error.to_string())?;
        let entries = entries_of(body, self.lsn)?;
        self.descriptor.settle(&mut self.instance);
        self.log.clear();
        Ok(Transaction { returned, entries })
    }
}

fn entries_of(body: &[u8], lsn: Lsn) -> Result<Vec<Entry>, Breach> {
    let mut entries = Vec::new();
    let found = record::entries(body).map_err(|damage| damage.to_string())?;
    for (index, entry) in (0u32..).zip(found) {
        let entry = entry.map_err(|damage| damage.to_string())?;
        let mut payload = AlignedVec::new();
        payload.extend_from_slice(entry.payload);
        let context = OpContext::new(time_of(lsn), lsn, index);
        entries.push(Entry { wal_type: entry.wal_type, version: entry.version, payload, context });
    }
    Ok(entries)
}

/// Everything that came of a history.
#[derive(Debug)]
pub(super) struct Done<P> {
    pub(super) transactions: Vec<Transaction>,
    /// The state at first, and after each transaction.
    pub(super) states: Vec<P>,
}

impl<P: PrimitiveStorageExt> Done<P> {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.transactions.iter().flat_map(|transaction| &transaction.entries)
    }

    pub(super) fn end(&self) -> &P {
        self.states.last().expect("the first state is always there")
    }
}

/// Does a history for the first time.
pub(super) fn done<P: PrimitiveStorageExt>(history: &[Vec<Call<P>>]) -> Result<Done<P>, Breach> {
    let mut bench = Bench::<P>::new()?;
    let mut done = Done { transactions: Vec::new(), states: vec![bench.state().clone()] };
    for calls in history {
        done.transactions.push(bench.transaction(calls)?);
        done.states.push(bench.state().clone());
    }
    Ok(done)
}

/// Applies entries to `state`.
pub(super) fn replay<'e, P: PrimitiveStorageExt>(
    state: &mut P,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(), Breach> {
    for entry in entries {
        entry.apply(state).map_err(|reason| {
            let operation = name_of::<P>(entry.wal_type, entry.version);
            format!("{operation} succeeded, and is rejected when it is applied again: {reason}")
        })?;
    }
    Ok(())
}

/// Says how two states differ that should be equal; `None` if they do not.
pub(super) fn difference<P: PrimitiveStorageExt + PartialEq>(
    expected: &P,
    found: &P,
) -> Result<Option<String>, Breach> {
    let (expected_rows, found_rows) = (Rows::of(expected)?, Rows::of(found)?);
    let fields = expected_rows.tables_that_differ(&found_rows);
    let mut said = String::new();
    for field in fields.iter().map(|table| Rows::field_of::<P>(*table)) {
        let _ = write!(said, "{}{field}", if said.is_empty() { "" } else { ", " });
    }
    if !said.is_empty() {
        return Ok(Some(format!("{said} differs")));
    }
    if expected != found {
        return Ok(Some("a field that stands in no snapshot (an index) differs".to_owned()));
    }
    Ok(None)
}
