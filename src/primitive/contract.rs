//! What a primitive is: the traits that the attributes implement, or an author by hand.

use super::change::Changes;
use super::context::OpContext;
use super::deferred::DeferredCell;
use super::handle::Handle;
use super::held;
use super::lock::Lock;
use super::payload::PayloadWriter;
use super::section::{SectionReader, SectionWriter};
use super::shape::Shape;
use super::stored::Stored;
use crate::error::{Reason, Result};
use crate::format::WalEntry;

/// A data type that freehold logs, snapshots, recovers and replays.
///
/// `#[primitive]` with `#[operations]` writes all of this. By hand: implement it and claim with
/// [`register!`](crate::register).
///
/// A primitive is cloned to undo, to publish a view and to write a snapshot, so a clone must be
/// cheap: keep state in [`OrdMap`](crate::OrdMap), [`OrdSet`](crate::OrdSet),
/// [`Vector`](crate::Vector), [`Bytes`](crate::Bytes) or behind an `Arc`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a primitive",
    label = "not a primitive",
    note = "write `#[primitive(id = .., wal = ..)]` on the struct and `#[operations]` on its impl block, or implement `PrimitiveStorageExt` by hand"
)]
pub trait PrimitiveStorageExt: Registered + Clone + Default + Send + Sync + 'static {
    /// The primitive's number, 1 to 255: its section in every snapshot.
    const TYPE_ID: u8 = Self::CLAIMED_TYPE_ID;
    /// The primitive's name, by which a database knows it for ever.
    const NAME: &'static str = Self::CLAIMED_NAME;
    /// The names it had before.
    const FORMER_NAMES: &'static [&'static str] = &[];
    /// The WAL types of its operations, ascending.
    const WAL_TYPES: &'static [u8] = Self::CLAIMED_WAL_TYPES;
    /// Whether it has an instance in the root only, and none in runs.
    const ROOT_ONLY: bool = false;
    /// Fields that older sections have and this build gives up.
    const DROPPED_FIELDS: &'static [&'static str] = &[];
    /// Fields that older sections have and this build turns into others, with their types.
    const FORMER_FIELDS: Shape = Shape::new();
    /// The version of the layout of its section.
    const SECTION_VERSION: u32 = 1;
    /// The layout of its section.
    const SECTION_SHAPE: Shape = Shape::new();
    /// Its operations in all their versions, as far as they are known.
    const OPERATIONS: &'static [OperationShape] = &[];

    /// Nothing was wrong with its operations.
    #[doc(hidden)]
    const SOUND: bool = true;

    /// What `tx.on::<P>()` returns. By hand: `freehold::Handle<'tx, Self>`.
    type Handle<'tx>: From<Handle<'tx, Self>>;
    /// One operation with its arguments, for [`Handle::log`].
    type Operation<'op>;

    /// Does what the entry says. Called while the operation runs for the first time (by
    /// [`Handle::log`]) and at every replay.
    ///
    /// # Errors
    ///
    /// The operation is rejected; at replay, opening fails with
    /// [`Error::ReplayDiverged`](crate::Error::ReplayDiverged).
    fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, context: &OpContext) -> Result<(), Reason>;

    /// Writes the whole state, without what can be derived from it.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()>;

    /// Reads what [`snapshot_serialize`](PrimitiveStorageExt::snapshot_serialize) wrote.
    ///
    /// # Errors
    ///
    /// The section is not one that this build writes.
    fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Self, Reason>;

    /// Writes what became of the state since `base`, with [`SectionWriter::changes`], and nothing of
    /// a field that is the same. `false`, and nothing is written, if it cannot: then the whole state
    /// is written. A primitive that has its own codec for the section leaves this as it is.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn snapshot_serialize_changes(
        &self,
        base: &Self,
        writer: &mut SectionWriter<'_>,
    ) -> Result<bool> {
        let _ = (base, writer);
        Ok(false)
    }

    /// Makes of `base` what [`snapshot_serialize_changes`](PrimitiveStorageExt::snapshot_serialize_changes)
    /// wrote, in this version of the section. What did not change should be shared with `base`; as it
    /// is given here nothing is, since the rows of the base are read once more.
    ///
    /// # Errors
    ///
    /// The section is not one that this build writes, or not for this base.
    fn snapshot_deserialize_changes(
        base: &Self,
        reader: &mut SectionReader<'_>,
    ) -> Result<Self, Reason> {
        held::load_changes(base, reader)
    }

    /// What became of the state since `since`: see [`Change`](crate::Change). As it is given here it
    /// tells of rows that only one of the two states writes, and is not cheap.
    fn changes<'a>(&'a self, since: &'a Self) -> Changes<'a> {
        held::changes(since, self)
    }

    /// Builds what is derived. Called after every
    /// [`snapshot_deserialize`](PrimitiveStorageExt::snapshot_deserialize), before the first entry is
    /// applied.
    ///
    /// # Errors
    ///
    /// The state is not sound.
    fn rebuild_indexes(&mut self) -> Result<(), Reason> {
        Ok(())
    }

    /// Brings what is derived up to date with this state, which
    /// [`snapshot_deserialize_changes`](PrimitiveStorageExt::snapshot_deserialize_changes) made of
    /// `base`. As it is given here, by building it all.
    ///
    /// # Errors
    ///
    /// The state is not sound.
    fn update_indexes(&mut self, base: &Self) -> Result<(), Reason> {
        let _ = base;
        self.rebuild_indexes()
    }

    /// Shows each [`Deferred`](crate::Deferred) of it to `each`, by which the engine opens the one
    /// that a view reads. A primitive that has none need not say so.
    fn each_deferred(&mut self, each: &mut dyn FnMut(&mut dyn DeferredCell)) {
        let _ = each;
    }

    /// Builds its deferred indexes, or brings them up to date with this state, which is a view's.
    /// Called by opening, if [`Options::build_indexes`](crate::Options::build_indexes) says so.
    fn build_deferred(&self) {}

    /// Writes an operation's arguments and returns its WAL type.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn to_wal_entry(operation: &Self::Operation<'_>, payload: &mut PayloadWriter<'_>)
    -> Result<u8>;
}

/// A primitive that stands in the linked registry: what makes `tx.on::<P>()` safe to call.
/// Implemented by `#[primitive]` and [`register!`](crate::register), by nothing else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not registered",
    label = "not registered",
    note = "write `#[primitive(id = .., wal = ..)]` on the struct, or claim with `freehold::register!({Self}, id = .., wal = ..)`"
)]
pub trait Registered {
    /// The type ID that the registration claims.
    const CLAIMED_TYPE_ID: u8;
    /// The struct's name.
    const CLAIMED_NAME: &'static str;
    /// The WAL types that the registration claims, ascending.
    const CLAIMED_WAL_TYPES: &'static [u8];
    /// What `freehold.lock` says of it.
    #[doc(hidden)]
    const LOCK: Lock = Lock::NONE;
}

/// What `#[operations]` implements, and what a primitive's
/// [`apply_wal_entry`](PrimitiveStorageExt::apply_wal_entry) hands over to.
pub trait Operations {
    /// All operations in all their versions.
    const OPERATIONS: &'static [OperationShape];
    /// Nothing was wrong with the block: else there is no use in asking what is missing in it.
    #[doc(hidden)]
    const SOUND: bool = true;

    /// Calls the method that the entry names.
    ///
    /// # Errors
    ///
    /// The method's own, or that there is none.
    fn apply(&mut self, entry: &WalEntry<'_>, context: &OpContext) -> Result<(), Reason>;
}

/// How an effect changes the state: the second half of an operation in the effect form.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how `{E}` changes it",
    note = "write `impl freehold::Apply<{E}> for {Self}`"
)]
pub trait Apply<E> {
    /// Makes the change. Called when the operation runs and at every replay, so it must not depend
    /// on anything else.
    fn apply(&mut self, effect: &E);
}

/// One version of one operation, as the catalog and the lock know it.
#[derive(Clone, Copy, Debug)]
pub struct OperationShape {
    /// The WAL type.
    pub wal_type: u8,
    /// The version, from 1.
    pub version: u8,
    /// The method's name.
    pub name: &'static str,
    /// The arguments' names and layouts.
    pub shape: &'static str,
    /// A number that stands for the shape.
    pub fingerprint: u64,
    /// Is in old records only: nothing logs it any more.
    pub only_replayed: bool,
}

impl OperationShape {
    /// For a primitive that is written by hand: the operation `wal_type` in a version, with arguments
    /// that are archived as `T`.
    ///
    /// ```
    /// use freehold::OperationShape;
    ///
    /// const OPERATIONS: &[OperationShape] =
    ///     &[OperationShape::of::<(&str, &[f32])>(0x70, 1, "insert")];
    /// assert_eq!(OPERATIONS[0].shape, "(str, [f32], )");
    /// ```
    #[must_use]
    pub const fn of<T: Stored>(wal_type: u8, version: u8, name: &'static str) -> OperationShape {
        let shape = const { &T::SHAPE };
        OperationShape {
            wal_type,
            version,
            name,
            shape: shape.as_str(),
            fingerprint: shape.fingerprint(),
            only_replayed: false,
        }
    }

    /// The same, for a version that old records have and nothing logs any more.
    #[must_use]
    pub const fn only_replayed(self) -> OperationShape {
        OperationShape { only_replayed: true, ..self }
    }
}

/// An entry of a type or version that the primitive does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this build has no operation {wal_type:#04x} version {version}")]
pub struct UnknownOperation {
    /// The WAL type found.
    pub wal_type: u8,
    /// The version found.
    pub version: u8,
}
