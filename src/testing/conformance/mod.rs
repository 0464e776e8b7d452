//! The conformance kit: what every primitive must keep, tested on histories that a strategy makes.
//!
//! - A rule is a function here and a test of its own in the crate that asks for it, so that what is
//!   broken is said by the test's name.
//! - Histories come from a seed, which is printed with the shortest history that breaks the rule.
//! - Nothing is asked of a primitive that the engine does not rely on, with one exception: it must be
//!   [`PartialEq`], which is how its indexes are compared.

mod bench;
mod call;
mod engine;
mod golden;
mod rows;
mod rules;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

pub use crate::__call as call;
use bench::Breach;
pub use call::Call;
pub use engine::{a_crash_leaves_a_prefix, it_is_carried_through_while_it_is_detached};
pub use golden::golden_histories_are_kept;
#[doc(hidden)]
pub use proptest;
pub use rules::{
    a_clone_is_a_state_of_its_own, a_later_replay_equals_do, a_rejected_operation_changes_nothing,
    a_snapshot_and_the_rest_of_the_log_equal_all_of_it, a_snapshot_holds_everything,
    a_snapshot_holds_no_index, cut_bytes_are_no_panic, every_operation_is_called, replay_equals_do,
    the_same_calls_do_the_same,
};

use super::Random;
use crate::primitive::PrimitiveStorageExt;

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
