//! The rules that concern a primitive in a database, on the simulated disk.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Strategy;

use super::bench::{Breach, difference, time_of};
use super::{Call, HISTORIES, History, SEED, try_rule};
use crate::database::{Database, Options};
use crate::error::Error;
use crate::id::{Lsn, Timestamp};
use crate::primitive::PrimitiveStorageExt;
use crate::testing::{Random, SimDisk};

/// Small, so that a short history has several.
const SEGMENT_BYTES: u64 = 4096;

/// How many disks are looked at for one moment of a crash.
const SURVIVALS: u64 = 2;

fn options(disk: &SimDisk) -> Options {
    // A record later, a second later: nothing depends on when the test runs.
    let now = AtomicU64::new(0);
    Options::new()
        .disk(disk.shared())
        .clock(move || tick(&now))
        .segment_bytes(SEGMENT_BYTES)
        .threads(1)
        .on_warning(|_, _| ())
}

fn tick(now: &AtomicU64) -> Timestamp {
    time_of(Lsn(now.fetch_add(1, Ordering::Relaxed)))
}

fn said(error: Error) -> Breach {
    error.to_string()
}

/// Makes the calls in one transaction; rejected ones are none.
fn transaction<P: PrimitiveStorageExt>(db: &Database, calls: &[Call<P>]) -> Result<(), Breach> {
    db.transaction(|tx| {
        for call in calls {
            match call.run(&mut tx.on::<P>()) {
                Ok(_) | Err(Error::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .map_err(said)
}

fn equal<P: PrimitiveStorageExt + PartialEq>(
    expected: &P,
    db: &Database,
    when: &str,
) -> Result<(), Breach> {
    match difference(expected, db.view().on::<P>())? {
        None => Ok(()),
        Some(difference) => Err(format!("{when}, {difference}")),
    }
}

/// After a crash at any moment the state is one that the history had, with its indexes.
#[track_caller]
pub(super) fn a_crash_leaves_a_prefix<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    let seed = Random::seed_from_env(SEED);
    try_rule(HISTORIES / 12, calls, |history: &History<P>| {
        let disk = SimDisk::new(seed);
        // By LSN: a transaction without an entry is none.
        let mut states = vec![P::default()];
        // Behind so many calls of the disk, so much was durable.
        let mut acknowledged = Vec::new();
        let db = options(&disk).open("").map_err(said)?;
        for (at, calls) in history.iter().enumerate() {
            transaction(&db, calls)?;
            let view = db.view();
            if view.lsn().0 as usize == states.len() {
                states.push(view.on::<P>().clone());
            }
            acknowledged.push((disk.call_count(), view.lsn()));
            if at == history.len() / 2 {
                db.checkpoint().map_err(said)?;
            }
        }
        db.close().map_err(said)?;
        for point in disk.crash_points() {
            for survival in point.survivals(SURVIVALS, seed) {
                let when = format!("after a crash before call {} of the disk", point.before());
                let left = point.disk(survival);
                let db = options(&left).open("").map_err(|error| format!("{when}: {error}"))?;
                let lsn = db.view().lsn();
                let durable = acknowledged.iter().rfind(|(calls, _)| *calls <= point.before());
                if let Some((_, durable)) = durable.filter(|(_, durable)| *durable > lsn) {
                    return Err(format!("{when}: LSN {durable} was acknowledged, {lsn} is there"));
                }
                match states.get(lsn.0 as usize) {
                    Some(state) => equal(state, &db, &format!("{when}, at LSN {lsn}"))?,
                    None => return Err(format!("{when}: LSN {lsn} never was")),
                }
            }
        }
        Ok(())
    });
}

/// A program that does not link the primitive carries it through: writing, checkpoints and pruning
/// leave it as it was, wherever its data stood.
#[track_caller]
pub(super) fn it_is_carried_through_while_it_is_detached<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES / 4, calls, |history: &History<P>| {
        let disk = SimDisk::new(SEED);
        let db = options(&disk).checkpoint_on_close(false).open("").map_err(said)?;
        for (at, calls) in history.iter().enumerate() {
            transaction(&db, calls)?;
            // Some of it in a snapshot, some in the log.
            if at == history.len() / 2 {
                db.checkpoint().map_err(said)?;
            }
        }
        let before = db.view().on::<P>().clone();
        let wrote = db.view().lsn() != Lsn::ZERO;
        db.close().map_err(said)?;

        for round in 0..3 {
            let db = options(&disk).detach(P::NAME).open("").map_err(said)?;
            let carried = &db.recovery_report().detached;
            if wrote != carried.iter().any(|row| &*row.primitive == P::NAME) {
                return Err("the report of an opening without it does not name it".to_owned());
            }
            // Something to write that is nobody's.
            db.create_run(&format!("run {round}")).map_err(said)?;
            db.checkpoint().map_err(said)?;
            db.close().map_err(said)?;
        }
        let db = options(&disk).open("").map_err(said)?;
        equal(&before, &db, "carried through three programs that do not link it")?;
        // It goes on as if nothing had been.
        for calls in history {
            transaction(&db, calls)?;
        }
        let after = db.view().on::<P>().clone();
        db.close().map_err(said)?;
        equal(&after, &options(&disk).open("").map_err(said)?, "carried through, then gone on")
    });
}
