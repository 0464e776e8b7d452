//! The entries: the same in every process, made from their number.

pub type Key = [u8; 16];
pub type Value = [u8; 100];

/// splitmix64: every number gets 64 bits that look random.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn key(number: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(number * 2).to_be_bytes());
    key[8..].copy_from_slice(&mix(number * 2 + 1).to_be_bytes());
    key
}

/// Bytes that do not compress, so that an engine that compresses gains nothing.
pub fn value(number: u64) -> Value {
    let mut value = [0; 100];
    let mut state = mix(!number);
    for chunk in value.chunks_mut(8) {
        state = mix(state);
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    value
}

/// Bytes of a record of YCSB.
pub const RECORD_BYTES: usize = 1_000;

/// The records of YCSB: cut out of bytes made once, so that making one costs nothing while the clock
/// runs. Neighbours share nothing that an engine could compress.
pub struct Records(Vec<u8>);

impl Records {
    pub fn new() -> Records {
        Records((0..1 << 17).flat_map(|word: u64| mix(!word).to_le_bytes()).collect())
    }

    pub fn get(&self, number: u64) -> &[u8] {
        let first = mix(number) as usize % (self.0.len() - RECORD_BYTES);
        &self.0[first..first + RECORD_BYTES]
    }
}

/// What a reader adds up, so that every value is touched.
pub fn touch(value: &[u8]) -> u64 {
    value.len() as u64 + u64::from(value[0])
}

/// The entry that a reader asks for in its `turn`: all are asked for, in no order.
pub fn shuffled(turn: u64, entries: u64) -> u64 {
    mix(turn) % entries
}
