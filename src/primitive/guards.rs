//! Checks that the attributes' expansions make while they compile.

use std::marker::PhantomData;

use super::change::Changes;
use super::context::OpContext;
use super::contract::{
    OperationShape, Operations, PrimitiveStorageExt, Registered, UnknownOperation,
};
use super::lock::Subject;
use super::payload::PayloadWriter;
use crate::error::{Reason, Result};
use crate::format::WalEntry;

/// Whether a type is a `Result`, however it is called: the inherent constant hides the trait's.
pub struct Probe<T>(PhantomData<T>);

impl<T, E> Probe<Result<T, E>> {
    /// It is one.
    pub const IS_RESULT: bool = true;
}

/// What a type is that is no `Result`.
pub trait NotResult {
    /// It is none.
    const IS_RESULT: bool = false;
}

impl<T> NotResult for Probe<T> {}

/// The success type of a `Result` that is known by an alias with the same last name.
pub trait ResultOf {
    /// `T` of `Result<T, E>`.
    type Success;
}

impl<T, E> ResultOf for Result<T, E> {
    type Success = T;
}

/// Is implemented for no handle: asked for by the methods that stand for those which are not logged.
#[diagnostic::on_unimplemented(
    message = "this method would change the primitive without being logged",
    label = "not an operation",
    note = "write `#[wal(..)]` on the method, or call it from an operation"
)]
pub trait Logged {}

/// Is implemented for no handle: asked for by the methods that stand for those which are kept for
/// old records.
#[diagnostic::on_unimplemented(
    message = "this version of the operation is kept for old records: only replay calls it",
    label = "not the newest version",
    note = "call the method of the same WAL type without `version = ..`; one that is `replay_only` has none"
)]
pub trait Called {}

/// Is implemented by the handle that `#[primitive]` writes.
#[diagnostic::on_unimplemented(
    message = "there is no `#[primitive(..)]` struct of this name in this module",
    label = "not a primitive here",
    note = "write `#[primitive(id = .., wal = ..)]` on the struct; its `#[operations]` stand in the same module"
)]
pub trait HandleOfPrimitive {
    /// Asks for the handle.
    const IS_THERE: () = ();
}

/// What `#[primitive]` implements for the handle. Not asked for itself: the compiler would list the
/// handles of all primitives.
pub trait IsHandle {}

#[diagnostic::do_not_recommend]
impl<H: IsHandle> HandleOfPrimitive for H {}

/// [`Operations`], as `#[primitive]` asks for them. Not those themselves: the compiler would list
/// all primitives that have some.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no operations",
    label = "`#[primitive]` needs an `#[operations]` impl block",
    note = "write `#[operations] impl {Self} {{ .. }}` in the same module, with a `#[wal(..)]` method for each change"
)]
pub trait HasOperations {
    /// As [`Operations::OPERATIONS`].
    const OPERATIONS: &'static [OperationShape];
    /// As [`Operations::SOUND`].
    const SOUND: bool;

    /// As [`Operations::apply`].
    ///
    /// # Errors
    ///
    /// The same.
    fn apply(&mut self, entry: &WalEntry<'_>, context: &OpContext) -> Result<(), Reason>;
}

#[diagnostic::do_not_recommend]
impl<P: Operations> HasOperations for P {
    const OPERATIONS: &'static [OperationShape] = P::OPERATIONS;
    const SOUND: bool = P::SOUND;

    #[inline]
    fn apply(&mut self, entry: &WalEntry<'_>, context: &OpContext) -> Result<(), Reason> {
        Operations::apply(self, entry, context)
    }
}

/// What the stand-in for a handle does, which is nothing: it keeps the compiler from saying more
/// than that the handle is missing.
pub trait WithoutHandle {
    /// As that of [`Handle`](super::Handle).
    ///
    /// # Errors
    ///
    /// None: it is never called.
    fn operate_with<P, A, T>(
        &mut self,
        _: u8,
        _: u8,
        _: A,
        _: impl FnOnce(&A, &mut PayloadWriter<'_>) -> Result<()>,
        _: impl FnOnce(&mut P, &OpContext, A) -> Result<T, Reason>,
    ) -> Result<T> {
        unreachable!()
    }

    /// As that of [`Handle`](super::Handle).
    fn next_context(&self) -> OpContext {
        unreachable!()
    }

    /// As that of [`Handle`](super::Handle).
    fn lent<P>(&self) -> &P {
        unreachable!()
    }
}

impl WithoutHandle for &() {}

/// What a type claims, whether it is registered or not: the inherent constant hides the trait's.
pub struct Claims<P>(PhantomData<P>);

impl<P: Registered> Claims<P> {
    /// Its WAL types.
    pub const WAL_TYPES: &'static [u8] = P::CLAIMED_WAL_TYPES;
}

impl<P: PrimitiveStorageExt> Claims<P> {
    /// Whose lines of the lock are its.
    pub const SUBJECT: Subject = Subject::of::<P>();
}

/// What a type claims that is not registered.
pub trait Unregistered {
    /// None.
    const WAL_TYPES: &'static [u8] = &[];
    /// None.
    const SUBJECT: Subject = Subject::NONE;
}

impl<P> Unregistered for Claims<P> {}

/// Whether the WAL type of an operation is among those that its primitive claims. After an error in
/// the claim itself nothing is claimed, and that error says enough.
#[must_use]
pub const fn claims(claimed: &[u8], wal_type: u8) -> bool {
    let mut index = 0;
    while index < claimed.len() {
        if claimed[index] == wal_type {
            return true;
        }
        index += 1;
    }
    claimed.is_empty()
}

/// The crate of a module, as other crates write it: `rate_limits` of `rate_limits::windows`. The
/// package's name may have hyphens.
#[must_use]
pub const fn crate_of(module_path: &'static str) -> &'static str {
    let bytes = module_path.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b':' {
            return module_path.split_at(index).0;
        }
        index += 1;
    }
    module_path
}

/// Whether the trait's constants are what the registration claims.
#[must_use]
pub const fn is_registered_as_claimed<P: PrimitiveStorageExt>() -> bool {
    P::TYPE_ID == P::CLAIMED_TYPE_ID && same(P::WAL_TYPES, P::CLAIMED_WAL_TYPES)
}

/// Whether the trait's name is the one that the registration claims.
#[must_use]
pub const fn is_named_as_claimed<P: PrimitiveStorageExt>() -> bool {
    same(P::NAME.as_bytes(), P::CLAIMED_NAME.as_bytes())
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Refuses two fields whose names have the same hash.
pub const fn assert_distinct(tags: &[u32]) {
    let mut first = 0;
    while first < tags.len() {
        let mut second = first + 1;
        while second < tags.len() {
            assert!(
                tags[first] != tags[second],
                "two fields have the same table tag: rename one, or give it another with \
                 #[field(was = \"..\")]"
            );
            second += 1;
        }
        first += 1;
    }
}

/// The entry names no operation of the primitive.
#[must_use]
pub fn unknown_operation(entry: &WalEntry<'_>) -> Reason {
    let WalEntry { wal_type, version, .. } = *entry;
    UnknownOperation { wal_type, version }.into()
}

/// An error that an operation may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error that an operation can return",
    label = "not an error",
    note = "write `#[derive(Debug, thiserror::Error)]` on it, or implement `std::error::Error`; it is `Send`, `Sync` and without borrows"
)]
pub trait OperationError {
    /// The error, as it is carried.
    fn into_reason(self) -> Reason;
}

#[diagnostic::do_not_recommend]
impl<E: Into<Reason>> OperationError for E {
    fn into_reason(self) -> Reason {
        self.into()
    }
}

/// An operation's own error, as it is carried.
pub fn reason<E: OperationError>(error: E) -> Reason {
    error.into_reason()
}

/// An empty primitive.
#[must_use]
pub fn fresh<P: PrimitiveStorageExt>() -> P {
    P::default()
}

/// A copy to apply changes to. Not named by `Clone`, so that a primitive without it is one error.
pub fn copy_of<P: PrimitiveStorageExt>(base: &P) -> P {
    base.clone()
}

/// A field made of the one that older sections have.
pub fn convert<A, B>(how: fn(A) -> B, former: A) -> B {
    how(former)
}

/// Builds a deferred index, by the closure that its attribute gives.
pub fn build_deferred<P, T>(how: fn(&P, &T), primitive: &P, index: &T) {
    how(primitive, index);
}

/// The value of an index, by the closure that its attribute gives: as an argument, the closure needs
/// no types written.
pub fn rebuild<P, T>(how: fn(&P) -> T, primitive: &P) -> T {
    how(primitive)
}

/// The value of an index, from what it was in the state that this one was made of.
pub fn update<P, T>(how: fn(&P, &P) -> T, primitive: &P, base: &P) -> T {
    how(primitive, base)
}

/// How two states differ, by the function that the attribute gives.
pub fn changes_by<'a, P>(
    how: for<'b> fn(&'b P, &'b P) -> Changes<'b>,
    primitive: &'a P,
    since: &'a P,
) -> Changes<'a> {
    how(primitive, since)
}
