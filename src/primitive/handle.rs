//! A primitive inside a transaction: how an operation is logged, applied, and undone.
//!
//! - Arguments are encoded before the operation runs, since it may consume them; the entry is cut
//!   off again unless the operation returns `Ok`.
//! - The value is cloned at the first operation in a transaction, and never before. An abort goes
//!   back to that clone.
//! - A rejection or a panic goes back to the last savepoint and applies what was logged since; the
//!   savepoint then moves up, so that many rejections cost as much as one each.
//! - No way leads from a handle to `&mut P` but through the log.

use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::OpContext;
use super::contract::{OperationShape, PrimitiveStorageExt, UnknownOperation};
use super::log::{Begun, DECIDED_BY_PAYLOAD, LogPoint, TransactionLog};
use super::payload::PayloadWriter;
use crate::error::{Error, Reason, Result};
use crate::id::RunId;

/// The writer's value of a primitive, with what undoing needs.
pub(crate) struct Live<P> {
    value: P,
    /// The value before the running transaction, once that has tried to change it.
    before: Option<P>,
    /// A later value of the same transaction, and where in its log it stood.
    savepoint: Option<(P, LogPoint)>,
    /// An operation of the running transaction succeeded.
    changed: bool,
}

impl<P> Live<P> {
    pub(super) fn new(value: P) -> Live<P> {
        Live { value, before: None, savepoint: None, changed: false }
    }

    pub(super) fn value(&self) -> &P {
        &self.value
    }

    pub(super) fn value_mut(&mut self) -> &mut P {
        &mut self.value
    }

    /// The transaction is committed. Says whether it logged an operation of this.
    pub(super) fn settle(&mut self) -> bool {
        self.savepoint = None;
        self.before = None;
        std::mem::take(&mut self.changed)
    }

    /// The transaction never was.
    pub(super) fn undo(&mut self) {
        self.savepoint = None;
        self.changed = false;
        if let Some(before) = self.before.take() {
            self.value = before;
        }
    }
}

/// A primitive inside a transaction. Reads go through to `P`; changes are its operations.
///
/// `#[primitive]` gives each primitive a handle of its own around this one, with a method for each
/// operation. A primitive that is implemented by hand uses this one, and [`log`](Handle::log).
pub struct Handle<'tx, P> {
    live: &'tx mut Live<P>,
    log: &'tx mut TransactionLog,
    run: RunId,
}

impl<'tx, P: PrimitiveStorageExt> Handle<'tx, P> {
    pub(crate) fn new(
        live: &'tx mut Live<P>,
        log: &'tx mut TransactionLog,
        run: RunId,
    ) -> Handle<'tx, P> {
        Handle { live, log, run }
    }

    /// Logs and applies one operation: encodes it, then does what
    /// [`apply_wal_entry`](PrimitiveStorageExt::apply_wal_entry) makes of the bytes that replay will
    /// read.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] with what `apply_wal_entry` returned, or because `P` has no such WAL type
    /// or version; then nothing changed and nothing is logged.
    pub fn log(&mut self, operation: &P::Operation<'_>) -> Result<()> {
        let mut attempt = Attempt::begin(self);
        let begun = attempt.push(DECIDED_BY_PAYLOAD, 1, |payload| {
            let wal_type = P::to_wal_entry(operation, payload)?;
            Own::<P>::check(wal_type, payload.version())?;
            Ok(wal_type)
        })?;
        attempt.apply_logged(&begun)
    }

    /// Logs and applies one operation: `encode` writes its arguments, `apply` does it. What `apply`
    /// does must be what [`apply_wal_entry`](PrimitiveStorageExt::apply_wal_entry) does with those
    /// arguments.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] with what `apply` returned, or because the arguments are too large, or `P`
    /// has no such WAL type or version; then nothing changed and nothing is logged.
    pub fn operate<T>(
        &mut self,
        wal_type: u8,
        version: u8,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<()>,
        apply: impl FnOnce(&mut P, &OpContext) -> Result<T, Reason>,
    ) -> Result<T> {
        Own::<P>::check(wal_type, version)?;
        let mut attempt = Attempt::begin(self);
        let begun = attempt.push(wal_type, version, |payload| {
            encode(payload)?;
            Ok(wal_type)
        })?;
        attempt.apply(&begun, apply)
    }

    /// What the next operation will be told.
    #[doc(hidden)]
    #[must_use]
    pub fn next_context(&self) -> OpContext {
        self.log.next_context()
    }

    /// What the next operation will find.
    #[doc(hidden)]
    #[must_use]
    pub fn lent(&self) -> &P {
        self
    }

    /// As [`operate`](Handle::operate), for arguments that `apply` consumes. The version is not
    /// looked for: the attribute writes its list and this call from one method.
    #[doc(hidden)]
    pub fn operate_with<A, T>(
        &mut self,
        wal_type: u8,
        version: u8,
        arguments: A,
        encode: impl FnOnce(&A, &mut PayloadWriter<'_>) -> Result<()>,
        apply: impl FnOnce(&mut P, &OpContext, A) -> Result<T, Reason>,
    ) -> Result<T> {
        Own::<P>::check_wal_type(wal_type)?;
        let mut attempt = Attempt::begin(self);
        let begun = attempt.push(wal_type, version, |payload| {
            encode(&arguments, payload)?;
            Ok(wal_type)
        })?;
        attempt.apply(&begun, |value, context| apply(value, context, arguments))
    }
}

/// What `P` may log: a byte of the core or of another primitive would be read as theirs.
struct Own<P>(PhantomData<P>);

impl<P: PrimitiveStorageExt> Own<P> {
    /// A bit for each WAL type, so that a byte known at compile time costs nothing.
    const BITS: [u64; 4] = {
        let mut bits = [0; 4];
        let mut index = 0;
        while index < P::WAL_TYPES.len() {
            let wal_type = P::WAL_TYPES[index];
            bits[(wal_type >> 6) as usize] |= 1 << (wal_type & 0x3f);
            index += 1;
        }
        bits
    };

    const fn has(wal_type: u8) -> bool {
        Self::BITS[(wal_type >> 6) as usize] >> (wal_type & 0x3f) & 1 == 1
    }

    #[inline]
    fn check_wal_type(wal_type: u8) -> Result<()> {
        if Self::has(wal_type) {
            return Ok(());
        }
        Err(Error::reject(format!("WAL type {wal_type:#04x} is not one that {} claims", P::NAME)))
    }

    /// A primitive by hand need not list its operations; one that does logs no other.
    fn check(wal_type: u8, version: u8) -> Result<()> {
        Self::check_wal_type(wal_type)?;
        let listed =
            |shape: &OperationShape| (shape.wal_type, shape.version) == (wal_type, version);
        if P::OPERATIONS.is_empty() || P::OPERATIONS.iter().any(listed) {
            return Ok(());
        }
        Err(Error::reject(UnknownOperation { wal_type, version }))
    }
}

impl<P> Deref for Handle<'_, P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.live.value
    }
}

/// One operation on its way: dropped before it succeeded, it takes everything back.
struct Attempt<'a, P: PrimitiveStorageExt> {
    live: &'a mut Live<P>,
    log: &'a mut TransactionLog,
    run: RunId,
    point: LogPoint,
    /// The value may have been changed.
    applying: bool,
    done: bool,
}

impl<'a, P: PrimitiveStorageExt> Attempt<'a, P> {
    fn begin(handle: &'a mut Handle<'_, P>) -> Attempt<'a, P> {
        let point = handle.log.point();
        Attempt {
            live: handle.live,
            log: handle.log,
            run: handle.run,
            point,
            applying: false,
            done: false,
        }
    }

    fn push(
        &mut self,
        wal_type: u8,
        version: u8,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<u8>,
    ) -> Result<Begun> {
        self.log.push(wal_type, version, encode)
    }

    fn apply<T>(
        mut self,
        begun: &Begun,
        apply: impl FnOnce(&mut P, &OpContext) -> Result<T, Reason>,
    ) -> Result<T> {
        self.start_to_apply();
        let value = apply(&mut self.live.value, &begun.context).map_err(Error::Rejected)?;
        self.succeed();
        Ok(value)
    }

    fn apply_logged(mut self, begun: &Begun) -> Result<()> {
        self.start_to_apply();
        let entry = self.log.entry(begun)?;
        self.live.value.apply_wal_entry(&entry, &begun.context).map_err(Error::Rejected)?;
        self.succeed();
        Ok(())
    }

    fn succeed(&mut self) {
        self.live.changed = true;
        self.done = true;
    }

    fn start_to_apply(&mut self) {
        if self.live.before.is_none() {
            self.live.before = Some(self.live.value.clone());
        }
        self.applying = true;
    }

    /// Back to the last savepoint and on from there to the last operation that succeeded.
    fn restore(&mut self) -> Result<(), Reason> {
        let (base, from) = match (&self.live.savepoint, &self.live.before) {
            (Some((value, point)), _) => (value, *point),
            (None, Some(value)) => (value, TransactionLog::start()),
            (None, None) => return Ok(()),
        };
        let mut value = base.clone();
        self.log.again(from, self.run, |entry, context| {
            // The log is the whole transaction's: other primitives have entries there too.
            if Own::<P>::has(entry.wal_type) {
                value.apply_wal_entry(entry, context)
            } else {
                Ok(())
            }
        })?;
        self.live.savepoint = Some((value.clone(), self.point));
        self.live.value = value;
        Ok(())
    }
}

impl<P: PrimitiveStorageExt> Drop for Attempt<'_, P> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.log.cut(self.point);
        if !self.applying {
            return;
        }
        // The drop may run while a panic unwinds: a second one, out of an operation that is not
        // deterministic, must not get out.
        let restored = catch_unwind(AssertUnwindSafe(|| self.restore()));
        let lost = match restored {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => Reason::from("an operation panicked when it was applied again"),
        };
        self.log.lose(lost);
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the linked slice is a section of its own")]
mod tests;
