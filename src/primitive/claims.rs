//! Who may claim what: the one table of type IDs and WAL types.
//!
//! - 0x00 to 0x0f belong to the core. IDs 1 to 7 go with the block ID × 16; IDs from 8 take any
//!   WAL types from 0x80.
//! - Everything else that lists them comes from [`CLAIMS`], or is compared with it by a test.
//! - A claim is also an impl, `OwnedBy<Counters> for wal_type::x80`: of two the compiler cannot
//!   choose one, and says so on both.

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

/// A type ID or a WAL type that `P` claims.
#[doc(hidden)]
pub trait OwnedBy<P> {}

/// Asks the compiler who owns the WAL type `S`. It cannot tell if there are two, and prints this
/// function's name.
#[doc(hidden)]
pub const fn this_wal_type_is_claimed_by_two_primitives<S: OwnedBy<P>, P>() {}

/// Asks the same of a type ID.
#[doc(hidden)]
pub const fn this_type_id_is_claimed_by_two_primitives<S: OwnedBy<P>, P>() {}

/// A type for each of the 256 values, with hexadecimal digits in its name, since a const generic
/// would print decimal ones.
macro_rules! slots {
    ($module:ident $doc:literal: $($name:ident)*) => {
        #[doc = $doc]
        #[doc(hidden)]
        pub mod $module {
            $(#[expect(non_camel_case_types, reason = "the digits are read, not the case")]
            #[derive(Debug)]
            pub enum $name {})*
        }
    };
}

macro_rules! both {
    ($($name:ident)*) => {
        slots!(wal_type "WAL types as types.": $($name)*);
        slots!(type_id "Type IDs as types.": $($name)*);
    };
}

both! {
    x00 x01 x02 x03 x04 x05 x06 x07 x08 x09 x0a x0b x0c x0d x0e x0f
    x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x1a x1b x1c x1d x1e x1f
    x20 x21 x22 x23 x24 x25 x26 x27 x28 x29 x2a x2b x2c x2d x2e x2f
    x30 x31 x32 x33 x34 x35 x36 x37 x38 x39 x3a x3b x3c x3d x3e x3f
    x40 x41 x42 x43 x44 x45 x46 x47 x48 x49 x4a x4b x4c x4d x4e x4f
    x50 x51 x52 x53 x54 x55 x56 x57 x58 x59 x5a x5b x5c x5d x5e x5f
    x60 x61 x62 x63 x64 x65 x66 x67 x68 x69 x6a x6b x6c x6d x6e x6f
    x70 x71 x72 x73 x74 x75 x76 x77 x78 x79 x7a x7b x7c x7d x7e x7f
    x80 x81 x82 x83 x84 x85 x86 x87 x88 x89 x8a x8b x8c x8d x8e x8f
    x90 x91 x92 x93 x94 x95 x96 x97 x98 x99 x9a x9b x9c x9d x9e x9f
    xa0 xa1 xa2 xa3 xa4 xa5 xa6 xa7 xa8 xa9 xaa xab xac xad xae xaf
    xb0 xb1 xb2 xb3 xb4 xb5 xb6 xb7 xb8 xb9 xba xbb xbc xbd xbe xbf
    xc0 xc1 xc2 xc3 xc4 xc5 xc6 xc7 xc8 xc9 xca xcb xcc xcd xce xcf
    xd0 xd1 xd2 xd3 xd4 xd5 xd6 xd7 xd8 xd9 xda xdb xdc xdd xde xdf
    xe0 xe1 xe2 xe3 xe4 xe5 xe6 xe7 xe8 xe9 xea xeb xec xed xee xef
    xf0 xf1 xf2 xf3 xf4 xf5 xf6 xf7 xf8 xf9 xfa xfb xfc xfd xfe xff
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
