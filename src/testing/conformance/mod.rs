//! The conformance kit: what every primitive must keep, tested on histories that a strategy makes.
//!
//! - A rule is a function here and a test of its own in the crate that asks for it, so that what is
//!   broken is said by the test's name.
//! - Histories come from a seed, which is printed with the shortest history that breaks the rule.
//! - Nothing is asked of a primitive that the engine does not rely on, with one exception: it must be
//!   [`PartialEq`], which is how its indexes are compared.

mod bench;
mod call;
mod changes;
mod engine;
mod golden;
mod rows;
mod rules;
mod texts;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

#[doc(hidden)]
pub use proptest;

use super::Random;
#[doc(inline)]
pub use crate::__call as call;
use crate::primitive::PrimitiveStorageExt;
use bench::Breach;
pub use call::Call;

/// What a primitive must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The strategy makes every operation succeed at least once.
    EveryOperationIsCalled,
    /// Two instances on which the same is done log the same, return the same and are the same.
    TheSameCallsDoTheSame,
    /// Applying the log to an empty instance gives the state that the operations gave.
    ReplayEqualsDo,
    /// The same a second later.
    ALaterReplayEqualsDo,
    /// A history without the calls that were rejected gives the same.
    ARejectedOperationChangesNothing,
    /// A clone stays what it was, whatever is done with the original.
    ACloneIsAStateOfItsOwn,
    /// A section that is written and loaded gives the same state.
    ASnapshotHoldsEverything,
    /// A section that is exported as JSON and imported gives the same state.
    AnExportHoldsEverything,
    /// What can be rebuilt from the rest of a section does not stand in it.
    ASnapshotHoldsNoIndex,
    /// From every point on: a snapshot there and what was logged behind it give all of it.
    ASnapshotAndTheRestOfTheLogEqualAllOfIt,
    /// What became of a state since another one is told, and leads from that one to this one.
    ChangesLeadFromOneStateToAnother,
    /// Bytes that end too early are no panic.
    CutBytesAreNoPanic,
    /// After a crash at any moment the state is one that the history had.
    ACrashLeavesAPrefix,
    /// A program that does not link the primitive carries it through.
    ItIsCarriedThroughWhileItIsDetached,
    /// Every golden history in the package's `freehold.lock` gives what it gave.
    GoldenHistoriesAreKept,
}

impl Rule {
    /// How many there are: the last one's number, and one more.
    #[doc(hidden)]
    pub const COUNT: usize = Rule::GoldenHistoriesAreKept as usize + 1;
}

/// Tries a rule on histories of the calls that the strategy makes; `directory` is the package's, where
/// its `freehold.lock` is. [`conformance!`](crate::conformance) writes a test for each rule.
///
/// # Panics
///
/// With what is broken, and the shortest history that breaks it.
#[track_caller]
pub fn check<P: PrimitiveStorageExt + PartialEq>(
    rule: Rule,
    calls: impl Strategy<Value = Call<P>>,
    directory: &str,
) {
    match rule {
        Rule::EveryOperationIsCalled => rules::every_operation_is_called(calls),
        Rule::TheSameCallsDoTheSame => rules::the_same_calls_do_the_same(calls),
        Rule::ReplayEqualsDo => rules::replay_equals_do(calls),
        Rule::ALaterReplayEqualsDo => rules::a_later_replay_equals_do(calls),
        Rule::ARejectedOperationChangesNothing => {
            rules::a_rejected_operation_changes_nothing(calls);
        }
        Rule::ACloneIsAStateOfItsOwn => rules::a_clone_is_a_state_of_its_own(calls),
        Rule::ASnapshotHoldsEverything => rules::a_snapshot_holds_everything(calls),
        Rule::AnExportHoldsEverything => rules::an_export_holds_everything(calls),
        Rule::ASnapshotHoldsNoIndex => rules::a_snapshot_holds_no_index(calls),
        Rule::ASnapshotAndTheRestOfTheLogEqualAllOfIt => {
            rules::a_snapshot_and_the_rest_of_the_log_equal_all_of_it(calls);
        }
        Rule::ChangesLeadFromOneStateToAnother => {
            changes::changes_lead_from_one_state_to_another(calls);
        }
        Rule::CutBytesAreNoPanic => rules::cut_bytes_are_no_panic(calls),
        Rule::ACrashLeavesAPrefix => engine::a_crash_leaves_a_prefix(calls),
        Rule::ItIsCarriedThroughWhileItIsDetached => {
            engine::it_is_carried_through_while_it_is_detached(calls);
        }
        Rule::GoldenHistoriesAreKept => golden::golden_histories_are_kept(calls, directory),
    }
}

/// Transactions, each with its calls.
type History<P> = Vec<Vec<Call<P>>>;

/// The seed of the histories, unless `FREEHOLD_SEED` says another.
const SEED: u64 = 0x5eed;

/// How many histories a rule is tried on; ten times as many with `FREEHOLD_LONG`.
const HISTORIES: u32 = 48;

fn history<P: PrimitiveStorageExt>(
    calls: impl Strategy<Value = Call<P>>,
) -> impl Strategy<Value = History<P>> {
    vec(vec(calls, 1..5), 1..10)
}

fn runner(histories: u32, seed: u64) -> TestRunner {
    let many = if std::env::var_os("FREEHOLD_LONG").is_some() { 10 } else { 1 };
    let config = Config {
        cases: histories.saturating_mul(many),
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *place = byte;
    }
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Tries a rule on many histories, and panics with the shortest one that breaks it.
#[track_caller]
fn try_rule<P: PrimitiveStorageExt>(
    histories: u32,
    calls: impl Strategy<Value = Call<P>>,
    rule: impl Fn(&History<P>) -> Result<(), Breach>,
) {
    let seed = Random::seed_from_env(SEED);
    let broken = runner(histories, seed)
        .run(&history(calls), |history| rule(&history).map_err(TestCaseError::fail));
    let (reason, after) = match broken {
        Ok(()) => return,
        Err(TestError::Fail(reason, history)) => (reason.to_string(), format!("{history:?}")),
        Err(TestError::Abort(reason)) => (reason.to_string(), "no history".to_owned()),
    };
    broken_by::<P>(&reason, &after, seed);
}

#[track_caller]
fn broken_by<P: PrimitiveStorageExt>(reason: &str, after: &str, seed: u64) -> ! {
    panic!("{}: {reason}\n  after {after}\n  (FREEHOLD_SEED={seed})", P::NAME)
}
