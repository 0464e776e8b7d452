//! A durable rate limiter.

use std::fmt;

use freehold::prelude::*;

/// Limits how often something happens, by key. Each key has a burst that may be used at once, and
/// gets one use back every interval (the generic cell rate algorithm).
#[primitive(id = 0x91, wal = 0xa0..=0xa7)]
#[derive(Clone, Default, PartialEq)]
pub struct Limiter {
    limits: OrdMap<String, Limit>,
}

#[derive(Clone, Debug, PartialEq, Stored)]
struct Limit {
    interval: u64,
    burst: u32,
    /// When all of the burst is there again.
    full_at: Timestamp,
}

/// Why a use is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimiterError {
    /// The key has no limit.
    NoKey,
    /// A limit without a burst, or without an interval.
    Never,
    /// Too many uses; the next one is possible after so many nanoseconds.
    Limited(u64),
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimiterError::NoKey => f.write_str("the key has no limit"),
            LimiterError::Never => f.write_str("a limit needs a burst and an interval"),
            LimiterError::Limited(wait) => write!(f, "too many uses; again in {wait} ns"),
        }
    }
}

impl std::error::Error for LimiterError {}

#[operations]
impl Limiter {
    /// Gives `key` a limit: `burst` uses at once, and one more each `interval` nanoseconds.
    #[wal(0xa0)]
    pub fn configure(&mut self, key: &str, interval: u64, burst: u32) -> Result<(), LimiterError> {
        if interval == 0 || burst == 0 {
            return Err(LimiterError::Never);
        }
        let full_at = self.limits.get(key).map(|limit| limit.full_at).unwrap_or_default();
        self.limits.insert(key.to_owned(), Limit { interval, burst, full_at });
        Ok(())
    }

    /// Uses `key` once.
    #[wal(0xa1)]
    pub fn take(&mut self, context: &OpContext, key: &str) -> Result<(), LimiterError> {
        let now = context.timestamp().0;
        let limit = self.limits.get_mut(key).ok_or(LimiterError::NoKey)?;
        let full_at = limit.full_at.0.max(now).saturating_add(limit.interval);
        let limit_at = now.saturating_add(limit.interval.saturating_mul(u64::from(limit.burst)));
        if full_at > limit_at {
            return Err(LimiterError::Limited(full_at - limit_at));
        }
        limit.full_at = Timestamp(full_at);
        Ok(())
    }

    /// Forgets `key`, and says whether it was there.
    #[wal(0xa2)]
    pub fn forget(&mut self, key: &str) -> bool {
        self.limits.remove(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    freehold::conformance!(Limiter, {
        prop_oneof![
            2 => ("[ab]", 0..3_u64, 0..3_u32)
                .prop_map(|(key, interval, burst)| call!(Limiter, configure(&key, interval, burst))),
            4 => "[ab]".prop_map(|key| call!(Limiter, take(&key))),
            1 => "[ab]".prop_map(|key| call!(Limiter, forget(&key))),
        ]
    });

    #[test]
    fn a_burst_is_used_up_and_comes_back() {
        let at = |time| OpContext::new(Timestamp(time), Lsn(1), 0);
        let mut limiter = Limiter::default();
        limiter.configure("a", 10, 2).unwrap();
        assert_eq!(limiter.take(&at(100), "a"), Ok(()));
        assert_eq!(limiter.take(&at(100), "a"), Ok(()));
        assert_eq!(limiter.take(&at(101), "a"), Err(LimiterError::Limited(9)));
        assert_eq!(limiter.take(&at(110), "a"), Ok(()));
        assert_eq!(limiter.take(&at(110), "b"), Err(LimiterError::NoKey));
    }
}
