//! The primitives that are linked into this program.
//!
//! - Linking gathers them; nothing is called to register. The linker's order is sorted away once.
//! - Lookups by type ID and by WAL type are reads of a 256-entry table.
//! - Two claims on one value are found by [`check`](PrimitiveRegistry::check), which every opening
//!   calls before it touches a file.

use std::sync::OnceLock;

use crate::error::RegistryError;
use crate::primitive::{Descriptor, PrimitiveStorageExt};

/// Where the linker gathers the descriptors. The name carries the format's major, so that two
/// majors of freehold in one program do not meet.
#[linkme::distributed_slice]
#[doc(hidden)]
pub static FREEHOLD_1_PRIMITIVES: [Descriptor] = [..];

/// The linked primitives, in the order of their type IDs.
#[derive(Debug)]
pub struct PrimitiveRegistry {
    list: Vec<&'static Descriptor>,
    /// Position in the list, plus one.
    by_type_id: Table,
    by_wal_type: Table,
}

impl PrimitiveRegistry {
    /// The registry of this program.
    ///
    /// # Errors
    ///
    /// Two of its primitives claim the same; see [`check`](PrimitiveRegistry::check).
    pub fn linked() -> Result<&'static PrimitiveRegistry, RegistryError> {
        static LINKED: OnceLock<Result<PrimitiveRegistry, RegistryError>> = OnceLock::new();
        LINKED
            .get_or_init(|| {
                let registry = PrimitiveRegistry::of(FREEHOLD_1_PRIMITIVES.iter());
                registry.check().map(|()| registry)
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    fn of(primitives: impl Iterator<Item = &'static Descriptor>) -> PrimitiveRegistry {
        let mut list: Vec<&'static Descriptor> = primitives.collect();
        // The origin breaks ties, so that a refusal names two in the same order every time.
        list.sort_by_key(|primitive| {
            (primitive.type_id(), primitive.name(), primitive.origin().file, primitive.origin().line)
        });
        let mut by_type_id = Table::new();
        let mut by_wal_type = Table::new();
        for (index, primitive) in list.iter().enumerate() {
            by_type_id.set(primitive.type_id(), index);
            for wal_type in primitive.wal_types() {
                by_wal_type.set(*wal_type, index);
            }
        }
        PrimitiveRegistry { list, by_type_id, by_wal_type }
    }

    /// The primitive with this type ID.
    #[must_use]
    pub fn get(&self, type_id: u8) -> Option<&'static Descriptor> {
        self.list.get(self.by_type_id.get(type_id)?).copied()
    }

    /// The primitive whose operation has this WAL type.
    #[must_use]
    pub fn get_for_wal_type(&self, wal_type: u8) -> Option<&'static Descriptor> {
        self.list.get(self.by_wal_type.get(wal_type)?).copied()
    }

    /// All of them, in the order of their type IDs.
    #[must_use]
    pub fn list(&self) -> &[&'static Descriptor] {
        &self.list
    }

    /// Whether a primitive with this type ID is linked.
    #[must_use]
    pub fn is_registered(&self, type_id: u8) -> bool {
        self.by_type_id.get(type_id).is_some()
    }

    /// All type IDs, ascending.
    pub fn type_ids(&self) -> impl DoubleEndedIterator<Item = u8> + ExactSizeIterator {
        self.list.iter().map(|primitive| primitive.type_id())
    }

    /// Whether every type ID, WAL type and name belongs to one primitive.
    ///
    /// # Errors
    ///
    /// The first that belongs to two, and both with their places in the source.
    pub fn check(&self) -> Result<(), RegistryError> {
        let pairs = self
            .list
            .iter()
            .enumerate()
            .flat_map(|(index, first)| {
                self.list.iter().skip(index + 1).map(move |second| (*first, *second))
            });
        for (first, second) in pairs {
            let both = || (first.to_string().into(), second.to_string().into());
            if first.type_id() == second.type_id() {
                let (type_id, (first, second)) = (first.type_id(), both());
                return Err(RegistryError::TypeIdTwice { type_id, first, second });
            }
            let shared = first.wal_types().iter().find(|byte| second.wal_types().contains(byte));
            if let Some(&wal_type) = shared {
                let (first, second) = both();
                return Err(RegistryError::WalTypeTwice { wal_type, first, second });
            }
            if first.name() == second.name() {
                let (name, (first, second)) = (first.name().into(), both());
                return Err(RegistryError::NameTwice { name, first, second });
            }
        }
        Ok(())
    }

    /// The position in the list of the primitive with this type ID.
    pub(crate) fn index_of_type_id(&self, type_id: u8) -> Option<usize> {
        self.by_type_id.get(type_id)
    }

    /// The position in the list of the primitive whose operation has this WAL type.
    pub(crate) fn index_of_wal_type(&self, wal_type: u8) -> Option<usize> {
        self.by_wal_type.get(wal_type)
    }

    /// The position of `P` in the list. A type that implements the trait is linked with its
    /// registration, so it has one; a number beyond the list stands for the impossible.
    pub(crate) fn index_of<P: PrimitiveStorageExt>(&self) -> usize {
        self.by_type_id.get(P::TYPE_ID).unwrap_or(usize::MAX)
    }
}

/// A number for each byte, or none.
struct Table([u16; 256]);

impl Table {
    fn new() -> Table {
        Table([0; 256])
    }

    fn set(&mut self, byte: u8, index: usize) {
        // At most 255 primitives have different type IDs; more never pass the check.
        let stored = u16::try_from(index.saturating_add(1)).unwrap_or(0);
        if let Some(place) = self.0.get_mut(usize::from(byte)).filter(|place| **place == 0) {
            *place = stored;
        }
    }

    fn get(&self, byte: u8) -> Option<usize> {
        usize::from(*self.0.get(usize::from(byte))?).checked_sub(1)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries((0..=u8::MAX).filter_map(|byte| self.get(byte).map(|index| (byte, index))))
            .finish()
    }
}
