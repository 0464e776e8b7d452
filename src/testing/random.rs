//! Numbers from a seed.
//!
//! - The same seed gives the same numbers, on every machine and in every release: a seed printed
//!   by a failing test must still fail next year.
//! - Nothing here is fit for secrets.

/// A small generator (SplitMix64): one `u64` of state, every seed as good as any other.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The seed in the environment variable `FREEHOLD_SEED`, else `default`. Decimal, or
    /// hexadecimal after `0x`.
    #[must_use]
    pub fn seed_from_env(default: u64) -> u64 {
        let Ok(text) = std::env::var("FREEHOLD_SEED") else { return default };
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        match parsed {
            Ok(seed) => seed,
            Err(error) => panic!("FREEHOLD_SEED is {text}, expected a number: {error}"),
        }
    }

    /// Any `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Below `bound`; 0 where `bound` is 0. The bias is below 2⁻³² for the bounds tests use.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True once in `odds` times.
    pub fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    /// A generator of its own for the part called `part`: what one part draws does not shift what
    /// the others get.
    #[must_use]
    pub fn part(&self, part: u64) -> Random {
        Random::new(mix(self.state ^ mix(part.wrapping_add(0x632b_e59b_d9b4_e019))))
    }
}

/// SplitMix64's finaliser: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_it_always_gave() {
        let mut random = Random::new(1234567);
        // The published vector of SplitMix64.
        assert_eq!(random.next_u64(), 6457827717110365317);
        assert_eq!(random.next_u64(), 3203168211198807973);
    }

    #[test]
    fn parts_do_not_depend_on_what_was_drawn_elsewhere() {
        let random = Random::new(7);
        let mut first = random.part(1);
        let mut second = random.part(2);
        assert_ne!(first.next_u64(), second.next_u64());
        assert_eq!(random.part(1).next_u64(), random.part(1).next_u64());
    }
}
