//! Mistakes planted on purpose, so that tests can be seen to notice them. A build without the feature
//! `testing` has none: what asks for one is constant there.

#![cfg_attr(
    not(any(test, feature = "testing")),
    expect(unreachable_pub, reason = "public with the feature `testing` only")
)]

/// A mistake an engine like this one could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A transaction returns before its record is synced.
    AcknowledgeBeforeSync,
    /// A view shows a record before it is synced.
    PublishBeforeSync,
    /// An aborted transaction's record joins the log, so that it is replayed.
    LogAborted,
    /// The log is pruned up to the newest snapshot instead of the oldest one kept.
    PrunePastOlderSnapshot,
    /// A snapshot lacks the primitives that are not linked.
    DropDetached,
    /// A view does not ask for what was applied since the last one.
    ShowStale,
    /// What an aborted transaction changed stays in memory.
    KeepAborted,
    /// A sync that failed is called good.
    TrustFailedSync,
    /// What a transaction changed stays in memory although its record found no place in the log.
    KeepRefused,
}

/// The mistake that was planted, if any.
#[derive(Clone, Copy, Default)]
pub(crate) struct Planted(#[cfg(any(test, feature = "testing"))] Option<Mistake>);

impl Planted {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn new(mistake: Mistake) -> Planted {
        Planted(Some(mistake))
    }

    /// Whether it is this one.
    #[inline]
    pub(super) fn is(self, mistake: Mistake) -> bool {
        #[cfg(any(test, feature = "testing"))]
        return self.0 == Some(mistake);
        #[cfg(not(any(test, feature = "testing")))]
        {
            let _ = mistake;
            false
        }
    }
}
