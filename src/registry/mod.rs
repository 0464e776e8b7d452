//! The primitives that are linked into this program.
//!
//! - Linking gathers them; nothing is called to register. The linker's order is sorted away once.
//! - Lookups by type ID and by WAL type are reads of a 256-entry table.
//! - Two claims on one value are found by [`check`](PrimitiveRegistry::check), which every opening
//!   calls before it touches a file.

pub(crate) mod facts;
#[cfg(any(test, feature = "testing", feature = "cli"))]
pub(crate) mod lock_file;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::RegistryError;
use crate::primitive::{Descriptor, FREEHOLD_1_PRIMITIVES, PrimitiveStorageExt};

use facts::Facts;

/// The linked primitives, in the order of their type IDs.
#[derive(Debug)]
pub struct PrimitiveRegistry {
    list: Vec<&'static Descriptor>,
    /// Of each of the list.
    facts: Vec<Facts>,
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

    /// The registry of this program, as if some of its primitives were not linked.
    ///
    /// # Errors
    ///
    /// As [`linked`](PrimitiveRegistry::linked).
    pub(crate) fn without(
        names: &BTreeSet<Box<str>>,
    ) -> Result<&'static PrimitiveRegistry, RegistryError> {
        // One for each set of names ever asked for: a registry lives as long as the program.
        static WITHOUT: Mutex<BTreeMap<BTreeSet<Box<str>>, &'static PrimitiveRegistry>> =
            Mutex::new(BTreeMap::new());
        let linked = PrimitiveRegistry::linked()?;
        let is_out = |primitive: &Descriptor| names.iter().any(|name| primitive.is_named(name));
        if !linked.list.iter().any(|primitive| is_out(primitive)) {
            return Ok(linked);
        }
        let mut without = WITHOUT.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(without.entry(names.clone()).or_insert_with(|| {
            let rest = linked.list.iter().copied().filter(|primitive| !is_out(primitive));
            Box::leak(Box::new(PrimitiveRegistry::of(rest)))
        }))
    }

    fn of(primitives: impl Iterator<Item = &'static Descriptor>) -> PrimitiveRegistry {
        let mut list: Vec<&'static Descriptor> = primitives.collect();
        // The origin breaks ties, so that a refusal names two in the same order every time.
        list.sort_by_key(|primitive| {
            (
                primitive.type_id(),
                primitive.name(),
                primitive.origin().file,
                primitive.origin().line,
            )
        });
        let mut by_type_id = Table::new();
        let mut by_wal_type = Table::new();
        for (index, primitive) in list.iter().enumerate() {
            by_type_id.set(primitive.type_id(), index);
            for wal_type in primitive.wal_types() {
                by_wal_type.set(*wal_type, index);
            }
        }
        let facts = list.iter().map(|primitive| Facts::of(primitive)).collect();
        PrimitiveRegistry { list, facts, by_type_id, by_wal_type }
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
        facts::check(&self.facts)
    }

    /// What each of the list claims and can read.
    pub(crate) fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// The position of `P` in the list. A type that implements the trait is linked with its
    /// registration, so it has one, unless the options detach it.
    pub(crate) fn index_of<P: PrimitiveStorageExt>(&self) -> usize {
        match self.by_type_id.get(P::TYPE_ID) {
            Some(index) => index,
            None => panic!(
                "{} cannot be used here: the database was opened with `Options::detach`",
                P::NAME
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Reason, Result};
    use crate::format::WalEntry;
    use crate::primitive::{
        Handle, OpContext, Origin, PayloadWriter, Registered, SectionReader, SectionWriter,
    };

    /// A primitive that is not linked: only its descriptor is made.
    #[derive(Clone, Default)]
    struct Dummy<const ID: u8, const FIRST: u8, const LAST: u8>;

    const BYTES: [u8; 256] = {
        let mut bytes = [0; 256];
        let mut index = 0;
        while index < 256 {
            bytes[index] = index as u8;
            index += 1;
        }
        bytes
    };

    impl<const ID: u8, const FIRST: u8, const LAST: u8> Registered for Dummy<ID, FIRST, LAST> {
        const CLAIMED_TYPE_ID: u8 = ID;
        const CLAIMED_NAME: &'static str = "Dummy";
        const CLAIMED_WAL_TYPES: &'static [u8] =
            BYTES.split_at(LAST as usize + 1).0.split_at(FIRST as usize).1;
    }

    impl<const ID: u8, const FIRST: u8, const LAST: u8> PrimitiveStorageExt for Dummy<ID, FIRST, LAST> {
        const NAME: &'static str = match ID {
            0x80 => "A",
            0x81 => "B",
            _ => "C",
        };

        type Handle<'tx> = Handle<'tx, Self>;
        type Operation<'op> = ();

        fn apply_wal_entry(&mut self, _: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
            Ok(())
        }

        fn snapshot_serialize(&self, _: &mut SectionWriter<'_>) -> Result<()> {
            Ok(())
        }

        fn snapshot_deserialize(_: &mut SectionReader<'_>) -> Result<Self, Reason> {
            Ok(Dummy)
        }

        fn to_wal_entry((): &(), _: &mut PayloadWriter<'_>) -> Result<u8> {
            Ok(FIRST)
        }
    }

    const fn at(line: u32) -> Origin {
        Origin { crate_name: "dummies", crate_version: "1.0.0", file: "src/lib.rs", line }
    }

    static A: Descriptor = Descriptor::of::<Dummy<0x80, 0x80, 0x83>>(at(1), b"");
    static A_AGAIN: Descriptor = Descriptor::of::<Dummy<0x80, 0x90, 0x93>>(at(2), b"");
    static B: Descriptor = Descriptor::of::<Dummy<0x81, 0x84, 0x84>>(at(3), b"");
    static B_ON_A: Descriptor = Descriptor::of::<Dummy<0x81, 0x83, 0x85>>(at(4), b"");
    static C: Descriptor = Descriptor::of::<Dummy<0x82, 0xf0, 0xff>>(at(5), b"");
    static C_AGAIN: Descriptor = Descriptor::of::<Dummy<0x83, 0xe0, 0xe0>>(at(6), b"");

    fn registry(primitives: &[&'static Descriptor]) -> PrimitiveRegistry {
        PrimitiveRegistry::of(primitives.iter().copied())
    }

    #[test]
    fn the_list_is_sorted_whatever_the_order_of_the_linker() {
        for order in [[&A, &B, &C], [&C, &B, &A], [&B, &C, &A]] {
            let registry = registry(&order);
            assert_eq!(registry.type_ids().collect::<Vec<_>>(), [0x80, 0x81, 0x82]);
            assert_eq!(registry.check(), Ok(()));
        }
    }

    #[test]
    fn every_byte_finds_its_owner_and_no_other() {
        let registry = registry(&[&C, &A, &B]);
        for byte in 0..=u8::MAX {
            let owner = match byte {
                0x80..=0x83 => Some("A"),
                0x84 => Some("B"),
                0xf0..=0xff => Some("C"),
                _ => None,
            };
            assert_eq!(registry.get_for_wal_type(byte).map(Descriptor::name), owner);
            let known = (0x80..=0x82).contains(&byte);
            assert_eq!(registry.is_registered(byte), known);
            assert_eq!(registry.get(byte).map(Descriptor::type_id), known.then_some(byte));
        }
        assert_eq!(registry.index_of::<Dummy<0x81, 0x84, 0x84>>(), 1);
    }

    #[test]
    fn two_claims_on_one_value_are_named_with_their_places() {
        let said = |primitives: &[&'static Descriptor]| {
            registry(primitives).check().unwrap_err().to_string()
        };
        assert_eq!(
            said(&[&A_AGAIN, &C, &A]),
            "type ID 0x80 is claimed by A (src/lib.rs:1) and by A (src/lib.rs:2)"
        );
        assert_eq!(
            said(&[&B_ON_A, &A]),
            "WAL type 0x83 is claimed by A (src/lib.rs:1) and by B (src/lib.rs:4)"
        );
        assert_eq!(
            said(&[&C, &C_AGAIN]),
            "the name C is claimed by C (src/lib.rs:5) and by C (src/lib.rs:6): write `name = \"..\"` on one"
        );
    }

    #[test]
    fn an_empty_registry_knows_nothing() {
        let registry = registry(&[]);
        assert_eq!(registry.check(), Ok(()));
        assert!((0..=u8::MAX).all(|byte| !registry.is_registered(byte)));
    }
}
