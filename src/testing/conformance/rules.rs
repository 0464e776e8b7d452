//! The rules that concern a primitive by itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};

use super::bench::{Breach, Done, difference, done, name_of, replay};
use super::rows::Rows;
use super::texts::Texts;
use super::{Call, HISTORIES, SEED, broken_by, history, runner, try_rule};
use crate::primitive::PrimitiveStorageExt;
use crate::testing::Random;

/// What a state may depend on, for the message of a rule that found another.
const ONLY: &str = "an operation depends on the state and its arguments only: no clock but \
                    `OpContext`, no randomness, no address, no order of a hash map";

/// Refuses a difference.
fn equal<P: PrimitiveStorageExt + PartialEq>(
    expected: &P,
    found: &P,
    said: impl FnOnce(String) -> Breach,
) -> Result<(), Breach> {
    match difference(expected, found)? {
        None => Ok(()),
        Some(difference) => Err(said(difference)),
    }
}

/// The strategy makes every operation succeed at least once: else nothing is known about it.
#[track_caller]
pub(super) fn every_operation_is_called<P: PrimitiveStorageExt>(
    calls: impl Strategy<Value = Call<P>>,
) {
    let met = RefCell::new(BTreeSet::new());
    try_rule(HISTORIES, calls, |history| {
        let done = done(history)?;
        met.borrow_mut().extend(done.entries().map(|entry| (entry.wal_type, entry.version)));
        Ok(())
    });
    let met = met.into_inner();
    for shape in newest::<P>() {
        assert!(
            met.contains(&shape),
            "{}: the strategy never makes {} succeed: add calls of it, or of what must come before",
            P::NAME,
            name_of::<P>(shape.0, shape.1)
        );
    }
}

/// The operations that can be called, in the version that is logged.
pub(super) fn newest<P: PrimitiveStorageExt>() -> BTreeSet<(u8, u8)> {
    P::OPERATIONS
        .iter()
        .filter(|shape| !shape.only_replayed)
        .map(|shape| (shape.wal_type, shape.version))
        .collect()
}

/// Two instances on which the same is done log the same, return the same and are the same.
#[track_caller]
pub(super) fn the_same_calls_do_the_same<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| {
        let (one, other): (Done<P>, Done<P>) = (done(history)?, done(history)?);
        for (at, (one, other)) in one.transactions.iter().zip(&other.transactions).enumerate() {
            let calls = history.get(at).map(Vec::as_slice).unwrap_or_default();
            for (call, (one, other)) in calls.iter().zip(one.returned.iter().zip(&other.returned)) {
                if one != other {
                    return Err(format!(
                        "{call:?} returned {} and, done again from the start, {}: {ONLY}",
                        shown(one),
                        shown(other)
                    ));
                }
            }
            if one.entries != other.entries {
                return Err(format!("the same calls are logged in other bytes: {ONLY}"));
            }
        }
        equal(one.end(), other.end(), |difference| {
            format!("the same calls give another state, {difference}: {ONLY}")
        })
    });
}

fn shown(returned: &Result<String, String>) -> String {
    match returned {
        Ok(value) => value.clone(),
        Err(reason) => format!("the rejection `{reason}`"),
    }
}

/// Applying the log to an empty instance gives the state that the operations gave, with its indexes.
#[track_caller]
pub(super) fn replay_equals_do<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| replay_each(&done::<P>(history)?));
}

fn replay_each<P: PrimitiveStorageExt + PartialEq>(done: &Done<P>) -> Result<(), Breach> {
    let mut state = P::default();
    let steps = done.transactions.iter().zip(done.states.iter().skip(1));
    for (transaction, expected) in steps {
        replay(&mut state, &transaction.entries)?;
        equal(expected, &state, |difference| {
            let operations: BTreeSet<String> = transaction
                .entries
                .iter()
                .map(|entry| name_of::<P>(entry.wal_type, entry.version))
                .collect();
            let operations = operations.into_iter().collect::<Vec<_>>().join(", ");
            format!("{operations}: applied again from the log, {difference}: {ONLY}")
        })?;
    }
    Ok(())
}

/// The same a second later: a clock that counts seconds is seen too.
#[track_caller]
pub(super) fn a_later_replay_equals_do<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    let seed = Random::seed_from_env(SEED);
    let mut runner = runner(1, seed);
    let strategy = history(calls);
    let mut all = Vec::new();
    for _ in 0..HISTORIES {
        match strategy.new_tree(&mut runner) {
            Ok(tree) => all.push(tree.current()),
            Err(reason) => panic!("{}: the strategy makes no history: {reason}", P::NAME),
        }
    }
    let done: Vec<_> = all.iter().map(|history| done::<P>(history)).collect();
    thread::sleep(Duration::from_millis(1_100));
    // The shortest first, since nothing is made shorter here.
    let mut later: Vec<_> = all.iter().zip(done).collect();
    later.sort_by_key(|(history, _)| history.iter().map(Vec::len).sum::<usize>());
    for (history, done) in later {
        if let Err(reason) = done.and_then(|done| replay_each(&done)) {
            let reason = format!("a second later: {reason}");
            broken_by::<P>(&reason, &format!("{history:?}"), seed);
        }
    }
}

/// A section that is written and loaded gives the same state, its indexes rebuilt, and the same
/// section again.
#[track_caller]
pub(super) fn a_snapshot_holds_everything<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| {
        for state in &done::<P>(history)?.states {
            let loaded = load::<P>(&Rows::of(state)?)?;
            equal(state, &loaded, |difference| {
                format!(
                    "written into a snapshot and loaded again, {difference}: every field is written \
                     by `snapshot_serialize`, or is an index that every operation maintains and that \
                     is rebuilt from the other fields"
                )
            })?;
        }
        Ok(())
    });
}

/// A section that is exported as JSON and imported gives the same state, its indexes rebuilt, and the
/// same section again.
#[track_caller]
pub(super) fn an_export_holds_everything<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| {
        for state in &done::<P>(history)?.states {
            let loaded: P = Texts::of(state)?
                .load()
                .map_err(|reason| format!("its own export cannot be imported: {reason}"))?;
            equal(state, &loaded, |difference| {
                format!(
                    "exported as JSON and imported again, {difference}: the JSON form of every stored \
                     type gives the value that it was written from"
                )
            })?;
        }
        Ok(())
    });
}

fn load<P: PrimitiveStorageExt>(rows: &Rows) -> Result<P, Breach> {
    rows.load().map_err(|reason| format!("its own snapshot cannot be loaded: {reason}"))
}

/// Every table of the section is needed: what can be rebuilt from the others has no place there.
#[track_caller]
pub(super) fn a_snapshot_holds_no_index<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    let empty = Rows::of(&P::default());
    try_rule(HISTORIES, calls, |history| {
        let empty = empty.clone()?;
        for state in &done::<P>(history)?.states {
            let rows = Rows::of(state)?;
            for table in rows.tables() {
                if rows.table(table) == empty.table(table) {
                    continue;
                }
                // One that cannot do without the table says so, or gives another state.
                let without = catch_unwind(AssertUnwindSafe(|| rows.without(table).load::<P>()));
                if let Ok(Ok(without)) = without
                    && difference(state, &without)?.is_none()
                {
                    let field = Rows::field_of::<P>(table);
                    return Err(format!(
                        "{field} stands in the snapshot and is rebuilt without it: it is an index, \
                         leave it out of `snapshot_serialize`"
                    ));
                }
            }
        }
        Ok(())
    });
}

/// From every point on: a snapshot there and what was logged behind it give what the whole log
/// gives.
#[track_caller]
pub(super) fn a_snapshot_and_the_rest_of_the_log_equal_all_of_it<
    P: PrimitiveStorageExt + PartialEq,
>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| {
        let done = done::<P>(history)?;
        for (at, state) in done.states.iter().enumerate() {
            let mut loaded = load::<P>(&Rows::of(state)?)?;
            let rest = done.transactions.iter().skip(at).flat_map(|rest| &rest.entries);
            replay(&mut loaded, rest)?;
            equal(done.end(), &loaded, |difference| {
                format!(
                    "loaded after {at} transactions and then brought up to date from the log, \
                     {difference}"
                )
            })?;
        }
        Ok(())
    });
}

/// An operation that returns an error leaves no trace, also of what it did before it found out: a
/// history without the calls that were rejected gives the same.
#[track_caller]
pub(super) fn a_rejected_operation_changes_nothing<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES, calls, |history| {
        let all = done::<P>(history)?;
        let mut rejected = Vec::new();
        let accepted: Vec<Vec<Call<P>>> = history
            .iter()
            .zip(&all.transactions)
            .map(|(calls, transaction)| {
                let (kept, left_out): (Vec<_>, Vec<_>) = calls
                    .iter()
                    .zip(&transaction.returned)
                    .partition(|(_, returned)| returned.is_ok());
                rejected.extend(left_out.into_iter().map(|(call, _)| format!("{call:?}")));
                kept.into_iter().map(|(call, _)| call.clone()).collect()
            })
            .collect();
        if rejected.is_empty() {
            return Ok(());
        }
        let without = done::<P>(&accepted)?;
        let rejected = rejected.join(", ");
        if !all.entries().eq(without.entries()) {
            return Err(format!("rejected, and yet what is logged depends on it: {rejected}"));
        }
        equal(without.end(), all.end(), |difference| {
            format!(
                "rejected, and yet {difference}: {rejected}. Something is shared between clones, \
                 where no undo reaches"
            )
        })
    });
}

/// A clone stays what it was, whatever is done with the original: views and snapshots are clones.
/// Prints what a clone costs, which should not grow with the state.
#[track_caller]
pub(super) fn a_clone_is_a_state_of_its_own<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    let largest: RefCell<Option<(usize, P)>> = RefCell::new(None);
    try_rule(HISTORIES, calls, |history| {
        let done = done::<P>(history)?;
        let mut again = P::default();
        for (at, clone) in done.states.iter().enumerate() {
            // What the clone should still be, made anew.
            equal(&again, clone, |difference| {
                format!(
                    "a clone made after {at} transactions was changed by what came later: \
                     {difference}"
                )
            })?;
            if let Some(transaction) = done.transactions.get(at) {
                replay(&mut again, &transaction.entries)?;
            }
        }
        let size = done.entries().count();
        let mut largest = largest.borrow_mut();
        if largest.as_ref().is_none_or(|(most, _)| *most < size) {
            *largest = Some((size, done.end().clone()));
        }
        Ok(())
    });
    if let Some((size, state)) = largest.into_inner() {
        let watch = crate::clock::Stopwatch::start();
        for _ in 0..1_000 {
            std::hint::black_box(state.clone());
        }
        let each = watch.elapsed().as_nanos() / 1_000;
        println!("{}: a clone after {size} operations takes {each} ns", P::NAME);
    }
}

/// Arguments and rows that end too early are refused, or mean something else; they are no panic.
#[track_caller]
pub(super) fn cut_bytes_are_no_panic<P: PrimitiveStorageExt>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES / 4, calls, |history| {
        let done = done::<P>(history)?;
        let mut state = P::default();
        for entry in done.entries() {
            for len in 0..entry.payload.len() {
                let mut state = state.clone();
                let cut = entry.cut(len);
                let apply = || state.apply_wal_entry(&cut, &entry.context).is_ok();
                if catch_unwind(AssertUnwindSafe(apply)).is_err() {
                    let operation = name_of::<P>(entry.wal_type, entry.version);
                    return Err(format!(
                        "{operation} panicked when its arguments ended after {len} of {} bytes",
                        entry.payload.len()
                    ));
                }
            }
            replay(&mut state, [entry])?;
        }
        let rows = Rows::of(done.end())?;
        for (at, (table, whole)) in rows.0.iter().enumerate() {
            let last = whole.last().map_or(0, Vec::len);
            for len in 0..last {
                let mut cut = rows.clone();
                if let Some(row) = cut.0.get_mut(at).and_then(|(_, rows)| rows.last_mut()) {
                    row.truncate(len);
                }
                if catch_unwind(AssertUnwindSafe(|| cut.load::<P>().is_ok())).is_err() {
                    let field = Rows::field_of::<P>(*table);
                    return Err(format!(
                        "loading panicked when the last row of {field} ended after {len} of {last} \
                         bytes"
                    ));
                }
            }
        }
        Ok(())
    });
}
