//! A primitive as the engine sees it: facts, and functions that generics have made for its type.
//!
//! - [`Descriptor::replay`] is one indirect call for all entries it is given; inside, the loop calls the
//!   primitive's own code directly. It is the only such loop, so that the code can be inlined there.
//! - A panic in an operation at replay is caught here and names the operation.
//! - Deferred indexes are opened here and nowhere else: in the clone that is published. A state that
//!   goes its own way from here has its own.
//! - A state of another type never counts as an empty one: the functions panic.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::change::Changes;
use super::context::LoggedEntry;
use super::contract::{OperationShape, PrimitiveStorageExt};
use super::handle::Live;
use super::instance::{Frozen, Instance};
use super::logged::{EntriesCopy, LoggedEntries};
use super::section::{SectionReader, SectionWriter};
use crate::error::{Diverged, Error, Reason, Result};
use crate::format::WalEntry;
use crate::format::catalog::{CatalogOperation, CatalogRow};
use crate::id::Lsn;

/// How many carried entries are copied at a time.
const COPIED_ENTRIES: usize = 4096;

/// Where the linker gathers the primitives of the program. The name carries the format's major, so
/// that two majors of freehold in one program do not meet.
#[linkme::distributed_slice]
#[doc(hidden)]
pub static FREEHOLD_1_PRIMITIVES: [Descriptor] = [..];

// Beside the slice, so that whoever links it links this.
freehold_macros::one_release!();

/// Where a primitive was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The crate's name, as it stands in a `use`.
    pub crate_name: &'static str,
    /// The crate's version.
    pub crate_version: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The line of the claim.
    pub line: u32,
}

/// One linked primitive.
pub struct Descriptor {
    name: &'static str,
    former_names: &'static [&'static str],
    type_id: u8,
    wal_types: &'static [u8],
    root_only: bool,
    section_version: u32,
    section_shape: &'static str,
    section_fingerprint: u64,
    operations: &'static [OperationShape],
    origin: Origin,
    facts: &'static [u8],
    functions: Functions,
}

/// The indirect calls.
struct Functions {
    create: fn() -> Instance,
    freeze: fn(&Instance) -> Frozen,
    build_deferred: fn(&Frozen) -> Result<(), Reason>,
    settle: fn(&mut Instance) -> bool,
    undo: fn(&mut Instance),
    replay: fn(&mut Instance, &LoggedEntries<'_>) -> Result<(), Error>,
    save: fn(&Frozen, &mut SectionWriter<'_>) -> Result<()>,
    load: fn(&mut SectionReader<'_>) -> Result<Instance, Reason>,
    fork: fn(&Instance) -> Instance,
    thaw: fn(&Frozen) -> Instance,
    changes: for<'a> fn(&'a Frozen, &'a Frozen) -> Changes<'a>,
    save_changes: fn(&Frozen, &Frozen, &mut SectionWriter<'_>) -> Result<bool>,
    load_changes: fn(&Instance, &mut SectionReader<'_>) -> Result<Instance, Reason>,
}

/// A shape that lives as long as the program.
struct SectionShape<P>(std::marker::PhantomData<P>);

impl<P: PrimitiveStorageExt> SectionShape<P> {
    const SHAPE: &'static super::shape::Shape = &P::SECTION_SHAPE;
}

impl Descriptor {
    /// The descriptor of `P`. `facts` is the same as text, as it stands in the binary.
    #[must_use]
    pub const fn of<P: PrimitiveStorageExt>(origin: Origin, facts: &'static [u8]) -> Descriptor {
        Descriptor {
            name: P::NAME,
            former_names: P::FORMER_NAMES,
            type_id: P::TYPE_ID,
            wal_types: P::WAL_TYPES,
            root_only: P::ROOT_ONLY,
            section_version: P::SECTION_VERSION,
            section_shape: SectionShape::<P>::SHAPE.as_str(),
            section_fingerprint: SectionShape::<P>::SHAPE.fingerprint(),
            operations: P::OPERATIONS,
            origin,
            facts,
            functions: Functions {
                create: create::<P>,
                freeze: freeze::<P>,
                build_deferred: build_deferred::<P>,
                settle: settle::<P>,
                undo: undo::<P>,
                replay: replay::<P>,
                save: save::<P>,
                load: load::<P>,
                fork: fork::<P>,
                thaw: thaw::<P>,
                changes: changes::<P>,
                save_changes: save_changes::<P>,
                load_changes: load_changes::<P>,
            },
        }
    }

    /// The name, by which a database knows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The names it had before.
    #[must_use]
    pub fn former_names(&self) -> &'static [&'static str] {
        self.former_names
    }

    /// Whether `name` is, or once was, its name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.former_names.contains(&name)
    }

    /// The type ID.
    #[must_use]
    pub fn type_id(&self) -> u8 {
        self.type_id
    }

    /// The WAL types, ascending.
    #[must_use]
    pub fn wal_types(&self) -> &'static [u8] {
        self.wal_types
    }

    /// Whether it has an instance in the root only.
    #[must_use]
    pub fn root_only(&self) -> bool {
        self.root_only
    }

    /// The version of the layout of its section.
    #[must_use]
    pub fn section_version(&self) -> u32 {
        self.section_version
    }

    /// The layout of its section, as text.
    #[must_use]
    pub fn section_shape(&self) -> &'static str {
        self.section_shape
    }

    /// A number that stands for the layout of its section, also where the text is cut.
    #[must_use]
    pub fn section_fingerprint(&self) -> u64 {
        self.section_fingerprint
    }

    /// Its operations in all their versions.
    #[must_use]
    pub fn operations(&self) -> &'static [OperationShape] {
        self.operations
    }

    /// Where it was declared.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is claimed and how it is laid out, as the lines of text that the binary has.
    #[must_use]
    pub fn facts(&self) -> &'static str {
        std::str::from_utf8(self.facts).unwrap_or_default()
    }

    /// An empty instance.
    pub(crate) fn create(&self) -> Instance {
        (self.functions.create)()
    }

    /// The state as it stands, for readers.
    pub(crate) fn freeze(&self, instance: &Instance) -> Frozen {
        (self.functions.freeze)(instance)
    }

    /// Builds the deferred indexes of the instance, as a view of it will find them.
    pub(crate) fn build_deferred(&self, instance: &Instance) -> Result<(), Reason> {
        (self.functions.build_deferred)(&self.freeze(instance))
    }

    /// The running transaction is committed. Says whether it changed the instance.
    pub(crate) fn settle(&self, instance: &mut Instance) -> bool {
        (self.functions.settle)(instance)
    }

    /// The running transaction never was.
    pub(crate) fn undo(&self, instance: &mut Instance) {
        (self.functions.undo)(instance);
    }

    /// Applies the entries in order.
    ///
    /// # Errors
    ///
    /// [`Error::ReplayDiverged`] with the entry that returned an error, or panicked; those before
    /// it are applied.
    pub(crate) fn replay(
        &self,
        instance: &mut Instance,
        entries: &LoggedEntries<'_>,
    ) -> Result<(), Error> {
        (self.functions.replay)(instance, entries)
    }

    /// The same for entries that are not in the log, but carried by a snapshot. They are copied,
    /// some at a time.
    ///
    /// # Errors
    ///
    /// As [`replay`](Descriptor::replay).
    pub(crate) fn replay_carried(
        &self,
        instance: &mut Instance,
        entries: &[LoggedEntry<'_>],
    ) -> Result<(), Error> {
        for entries in entries.chunks(COPIED_ENTRIES) {
            self.replay(instance, &EntriesCopy::of(entries).entries())?;
        }
        Ok(())
    }

    /// Writes a frozen state.
    pub(crate) fn save(&self, frozen: &Frozen, writer: &mut SectionWriter<'_>) -> Result<()> {
        (self.functions.save)(frozen, writer)
    }

    /// Reads an instance and builds its indexes.
    pub(crate) fn load(&self, reader: &mut SectionReader<'_>) -> Result<Instance, Reason> {
        (self.functions.load)(reader)
    }

    /// What the catalog holds of it.
    pub(crate) fn catalog_row(&self) -> CatalogRow {
        CatalogRow {
            name: self.name.into(),
            type_id: self.type_id,
            wal_types: self.wal_types.to_vec(),
            root_only: self.root_only,
            section_version: self.section_version,
            section_shape: self.section_shape.into(),
            crate_name: self.origin.crate_name.into(),
            crate_version: self.origin.crate_version.into(),
            first_lsn: Lsn::ZERO,
            operations: self.operations.iter().map(catalog_operation).collect(),
        }
    }
}

/// How states come of each other.
impl Descriptor {
    /// An instance like this one, that goes its own way.
    pub(crate) fn fork(&self, instance: &Instance) -> Instance {
        (self.functions.fork)(instance)
    }

    /// An instance that goes on from a frozen state.
    pub(crate) fn thaw(&self, frozen: &Frozen) -> Instance {
        (self.functions.thaw)(frozen)
    }

    /// What became of the state since `since`.
    pub(crate) fn changes<'a>(&self, since: &'a Frozen, now: &'a Frozen) -> Changes<'a> {
        (self.functions.changes)(since, now)
    }

    /// Writes what became of the state since `base`; `false`, and nothing, if it cannot be said so.
    /// The base must be one that wrote rows: without them it is an instance's first state, which
    /// another version of the primitive may not have had.
    pub(crate) fn save_changes(
        &self,
        base: &Frozen,
        now: &Frozen,
        writer: &mut SectionWriter<'_>,
    ) -> Result<bool> {
        (self.functions.save_changes)(base, now, writer)
    }

    /// Reads what [`save_changes`](Descriptor::save_changes) wrote in this version of the section,
    /// and brings the indexes up to date. For other versions, [`load`](Descriptor::load) with a
    /// reader of layers.
    pub(crate) fn load_changes(
        &self,
        base: &Instance,
        reader: &mut SectionReader<'_>,
    ) -> Result<Instance, Reason> {
        (self.functions.load_changes)(base, reader)
    }
}

fn catalog_operation(operation: &OperationShape) -> CatalogOperation {
    CatalogOperation {
        wal_type: operation.wal_type,
        version: operation.version,
        name: operation.name.into(),
        fingerprint: operation.fingerprint,
        shape: operation.shape.into(),
    }
}

/// Name and place: `Counters (src/counters.rs:12)`.
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.origin.file, self.origin.line)
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("name", &self.name)
            .field("type_id", &self.type_id)
            .field("wal_types", &self.wal_types)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn create<P: PrimitiveStorageExt>() -> Instance {
    Instance::new(P::default())
}

/// The engine handed a state to the descriptor of another primitive. Going on would lose that state,
/// so this ends here.
fn mixed_up<P: PrimitiveStorageExt>() -> ! {
    panic!("freehold mixed up two primitives: this state is not one of {}", P::NAME)
}

fn freeze<P: PrimitiveStorageExt>(instance: &Instance) -> Frozen {
    match instance.get::<P>() {
        Some(value) => {
            let mut value = value.clone();
            value.each_deferred(&mut |deferred| deferred.open());
            Frozen::new(value)
        }
        None => mixed_up::<P>(),
    }
}

fn build_deferred<P: PrimitiveStorageExt>(frozen: &Frozen) -> Result<(), Reason> {
    let Some(value) = frozen.get::<P>() else { mixed_up::<P>() };
    catch_unwind(AssertUnwindSafe(|| value.build_deferred()))
        .map_err(|panic| panic_message(&*panic).into())
}

fn live<P: PrimitiveStorageExt>(instance: &mut Instance) -> &mut Live<P> {
    match instance.live_mut::<P>() {
        Some(live) => live,
        None => mixed_up::<P>(),
    }
}

fn settle<P: PrimitiveStorageExt>(instance: &mut Instance) -> bool {
    live::<P>(instance).settle()
}

fn undo<P: PrimitiveStorageExt>(instance: &mut Instance) {
    live::<P>(instance).undo();
}

fn save<P: PrimitiveStorageExt>(frozen: &Frozen, writer: &mut SectionWriter<'_>) -> Result<()> {
    match frozen.get::<P>() {
        Some(value) => value.snapshot_serialize(writer),
        None => mixed_up::<P>(),
    }
}

fn load<P: PrimitiveStorageExt>(reader: &mut SectionReader<'_>) -> Result<Instance, Reason> {
    let mut value = P::snapshot_deserialize(reader)?;
    value.rebuild_indexes()?;
    Ok(Instance::new(value))
}

/// An instance with deferred indexes of its own.
fn apart<P: PrimitiveStorageExt>(mut value: P) -> Instance {
    value.each_deferred(&mut |deferred| deferred.renew());
    Instance::new(value)
}

fn fork<P: PrimitiveStorageExt>(instance: &Instance) -> Instance {
    match instance.get::<P>() {
        Some(value) => apart(value.clone()),
        None => mixed_up::<P>(),
    }
}

fn thaw<P: PrimitiveStorageExt>(frozen: &Frozen) -> Instance {
    match frozen.get::<P>() {
        Some(value) => apart(value.clone()),
        None => mixed_up::<P>(),
    }
}

fn changes<'a, P: PrimitiveStorageExt>(since: &'a Frozen, now: &'a Frozen) -> Changes<'a> {
    match (since.get::<P>(), now.get::<P>()) {
        (Some(since), Some(now)) => now.changes(since),
        _ => mixed_up::<P>(),
    }
}

fn save_changes<P: PrimitiveStorageExt>(
    base: &Frozen,
    now: &Frozen,
    writer: &mut SectionWriter<'_>,
) -> Result<bool> {
    match (base.get::<P>(), now.get::<P>()) {
        (Some(base), Some(now)) => now.snapshot_serialize_changes(base, writer),
        _ => mixed_up::<P>(),
    }
}

fn load_changes<P: PrimitiveStorageExt>(
    base: &Instance,
    reader: &mut SectionReader<'_>,
) -> Result<Instance, Reason> {
    let Some(base) = base.get::<P>() else { mixed_up::<P>() };
    // What did not change has its indexes already.
    if reader.is_empty() {
        return Ok(apart(base.clone()));
    }
    let mut value = P::snapshot_deserialize_changes(base, reader)?;
    value.update_indexes(base)?;
    Ok(apart(value))
}

fn replay<P: PrimitiveStorageExt>(
    instance: &mut Instance,
    entries: &LoggedEntries<'_>,
) -> Result<(), Error> {
    let value = live::<P>(instance).value_mut();
    let reached = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for index in 0..entries.entries.len() {
            reached.set(index);
            let Some(logged) = entries.get(index) else {
                return Err("an entry does not stand where it was found".into());
            };
            let WalEntryOf { entry, context } = WalEntryOf::from(&logged);
            value.apply_wal_entry(&entry, &context)?;
        }
        Ok::<(), Reason>(())
    }));
    let reason = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(panic) => panic_message(&*panic).into(),
    };
    Err(match entries.get(reached.get()) {
        Some(entry) => Error::ReplayDiverged(Box::new(Diverged {
            lsn: entry.lsn,
            primitive: P::NAME,
            wal_type: entry.wal_type,
            version: entry.version,
            reason,
        })),
        None => Error::Aborted(reason),
    })
}

/// The two halves of a logged entry.
struct WalEntryOf<'a> {
    entry: WalEntry<'a>,
    context: super::context::OpContext,
}

impl<'a> From<&LoggedEntry<'a>> for WalEntryOf<'a> {
    fn from(logged: &LoggedEntry<'a>) -> WalEntryOf<'a> {
        WalEntryOf {
            entry: WalEntry {
                wal_type: logged.wal_type,
                version: logged.version,
                payload: logged.payload,
            },
            context: logged.context(),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    format!("panic: {message}")
}
