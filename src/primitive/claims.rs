//! Who may claim what: the one table of type IDs and WAL types.
//!
//! - 0x00 to 0x0f belong to the core. IDs 1 to 7 go with the block ID × 16; IDs from 8 take any
//!   WAL types from 0x80.
//! - Everything else that lists them comes from [`CLAIMS`], or is compared with it by a test.
//! - A claim is also an impl, `WalType0x80OwnedBy<Counters> for Program`: of two the compiler
//!   cannot choose one, and says so on both.

/// A block of WAL types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub name: &'static str,
    /// The type ID that goes with it; none for the core and for what is free.
    pub type_id: Option<u8>,
    /// The first WAL type.
    pub first: u8,
    /// The last WAL type.
    pub last: u8,
}

/// All of them, in ascending order and without gaps.
pub const CLAIMS: &[Claim] = &[
    Claim { name: "core", type_id: None, first: 0x00, last: 0x0f },
    Claim { name: "kv", type_id: Some(1), first: 0x10, last: 0x1f },
    Claim { name: "json", type_id: Some(2), first: 0x20, last: 0x2f },
    Claim { name: "event", type_id: Some(3), first: 0x30, last: 0x3f },
    Claim { name: "state", type_id: Some(4), first: 0x40, last: 0x4f },
    Claim { name: "trace", type_id: Some(5), first: 0x50, last: 0x5f },
    Claim { name: "run", type_id: Some(6), first: 0x60, last: 0x6f },
    Claim { name: "vector", type_id: Some(7), first: 0x70, last: 0x7f },
    Claim { name: "future", type_id: None, first: 0x80, last: 0xff },
];

/// The claim at `index`, for the constants below.
const fn claim(index: usize) -> Claim {
    CLAIMS[index]
}

/// The blocks of WAL types.
pub mod wal_ranges {
    use super::claim;

    /// The core's first.
    pub const CORE_START: u8 = claim(0).first;
    /// The core's last.
    pub const CORE_END: u8 = claim(0).last;
    /// The first of the key-value store.
    pub const KV_START: u8 = claim(1).first;
    /// The last of the key-value store.
    pub const KV_END: u8 = claim(1).last;
    /// The first of the JSON store.
    pub const JSON_START: u8 = claim(2).first;
    /// The last of the JSON store.
    pub const JSON_END: u8 = claim(2).last;
    /// The first of the event log.
    pub const EVENT_START: u8 = claim(3).first;
    /// The last of the event log.
    pub const EVENT_END: u8 = claim(3).last;
    /// The first of the state cells.
    pub const STATE_START: u8 = claim(4).first;
    /// The last of the state cells.
    pub const STATE_END: u8 = claim(4).last;
    /// The first of the trace store.
    pub const TRACE_START: u8 = claim(5).first;
    /// The last of the trace store.
    pub const TRACE_END: u8 = claim(5).last;
    /// The first of the run index.
    pub const RUN_START: u8 = claim(6).first;
    /// The last of the run index.
    pub const RUN_END: u8 = claim(6).last;
    /// The first of the vector store.
    pub const VECTOR_START: u8 = claim(7).first;
    /// The last of the vector store.
    pub const VECTOR_END: u8 = claim(7).last;
    /// The first that any primitive from ID 8 may claim.
    pub const FUTURE_START: u8 = claim(8).first;
    /// The last of them.
    pub const FUTURE_END: u8 = claim(8).last;
}

/// The type IDs that go with a block.
pub mod snapshot_primitive_ids {
    use super::claim;

    const fn id(index: usize) -> u8 {
        match claim(index).type_id {
            Some(id) => id,
            None => panic!("the core and the free block have no type ID"),
        }
    }

    /// The key-value store.
    pub const KV: u8 = id(1);
    /// The JSON store.
    pub const JSON: u8 = id(2);
    /// The event log.
    pub const EVENT: u8 = id(3);
    /// The state cells.
    pub const STATE: u8 = id(4);
    /// The trace store.
    pub const TRACE: u8 = id(5);
    /// The run index.
    pub const RUN: u8 = id(6);
    /// The vector store.
    pub const VECTOR: u8 = id(7);
}

/// Whose block a WAL type lies in, by the table and not by what is linked; see
/// [`PrimitiveRegistry::get_for_wal_type`](crate::PrimitiveRegistry::get_for_wal_type).
#[must_use]
pub fn primitive_for_wal_type(wal_type: u8) -> Option<&'static str> {
    CLAIMS
        .iter()
        .find(|claim| (claim.first..=claim.last).contains(&wal_type))
        .map(|claim| claim.name)
}

/// Refuses to compile if two primitives of the program claim the same type ID or WAL type.
///
/// Say it once, anywhere in the program. Then also two crates that know nothing of each other are
/// refused by `cargo check` and in the editor, with both attributes shown, and not only by the linker.
///
/// ```standalone_crate
/// use freehold::prelude::*;
///
/// freehold::assert_no_collisions!();
///
/// /// Named counters.
/// #[primitive(id = 0x80, wal = 0x80..=0x81)]
/// #[derive(Clone, Default)]
/// struct Counters {
///     counts: OrdMap<String, i64>,
/// }
///
/// #[operations]
/// impl Counters {}
///
/// fn main() -> freehold::Result<()> {
///     assert!(PrimitiveRegistry::linked()?.is_registered(0x80));
///     Ok(())
/// }
/// ```
///
/// It sees the crates that the program's code names, which are those that are linked.
#[macro_export]
macro_rules! assert_no_collisions {
    () => {
        $crate::__private::assert_no_collisions! { $crate }
    };
}

/// Who owns what, as the compiler is told and asked.
pub mod slots {
    /// Any program.
    #[derive(Debug)]
    pub struct Program;

    /// The answer to the question before, always 0. Where that question had none, this one is not
    /// asked: its trait, not its receiver, is what has an error in it, since the compiler searches all
    /// traits there are for the methods of a receiver that has one.
    #[derive(Debug)]
    pub struct After<const ANSWER: usize>;

    /// A value of the type that is asked for, which never comes to be.
    pub const fn never() -> ! {
        panic!("this is compiled and never run")
    }

    freehold_macros::slots!();

    impl Unclaimed for &Program {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_covers_every_wal_type_once() {
        let mut next = Some(0);
        for claim in CLAIMS {
            assert_eq!(Some(claim.first), next);
            assert!(claim.first <= claim.last);
            if let Some(id) = claim.type_id {
                assert_eq!((claim.first, claim.last), (id << 4, id << 4 | 0xf));
            }
            next = claim.last.checked_add(1);
        }
        assert_eq!(next, None);
    }

    #[test]
    fn every_wal_type_has_the_name_the_specification_gives() {
        use wal_ranges::*;
        for wal_type in 0..=u8::MAX {
            let name = match wal_type {
                CORE_START..=CORE_END => "core",
                KV_START..=KV_END => "kv",
                JSON_START..=JSON_END => "json",
                EVENT_START..=EVENT_END => "event",
                STATE_START..=STATE_END => "state",
                TRACE_START..=TRACE_END => "trace",
                RUN_START..=RUN_END => "run",
                VECTOR_START..=VECTOR_END => "vector",
                FUTURE_START..=FUTURE_END => "future",
            };
            assert_eq!(primitive_for_wal_type(wal_type), Some(name));
        }
        use snapshot_primitive_ids::*;
        assert_eq!([KV, JSON, EVENT, STATE, TRACE, RUN, VECTOR], [1, 2, 3, 4, 5, 6, 7]);
    }
}
