//! What recovery cuts off a torn end is never lost: it is in `quarantine/` before it is cut.

use std::path::Path;

use freehold::testing::{CallKind, CrashPoint, Random, SimDisk, Survival};

use crate::Canary;
use crate::workload::{Mode, Setup, Start, Step, Trace};

/// Crashes recoveries that cut something at each of their calls, and looks for what they cut. If
/// given, calls of one kind do nothing in the recovery that is crashed.
pub(crate) fn canary(name: &'static str, ignored: Option<CallKind>) -> Canary {
    (name, "quarantine, crashed", first_loss(ignored))
}

fn first_loss(ignored: Option<CallKind>) -> Option<String> {
    let setup = Setup::of(Mode::Buffered);
    let steps = [Step::Cross, Step::Rotation, Step::One, Step::Cross];
    let trace = Trace::of(&Start::fresh(), &steps, &setup);
    let seed = crate::effort().seed;
    let mut cuts = 0;
    for point in trace.disk.crash_points() {
        for survival in point.survivals(12, seed) {
            let Some(kept) = cut_of(&setup, &point.disk(survival)) else { continue };
            cuts += 1;
            let disk = point.disk(survival);
            if let Some(kind) = ignored {
                disk.ignore(kind);
            }
            // A mistake may make the opening itself fail; what it has done until then counts.
            if let Ok(db) = setup.open(&disk) {
                disk.crash();
                drop(db);
            }
            if let Some(found) = loss(&setup, &disk, &kept, seed) {
                return Some(format!(
                    "crashed before call {}, {survival:?}: {found}",
                    point.before()
                ));
            }
        }
    }
    assert!(cuts > 20, "only {cuts} recoveries had something to cut");
    None
}

/// What an undisturbed recovery cuts, as it stands in quarantine afterwards.
fn cut_of(setup: &Setup, disk: &SimDisk) -> Option<Vec<u8>> {
    let db = setup.open(disk).expect("what a crash left opens");
    let cut = db.recovery_report().cut.as_ref().map(|cut| cut.quarantine.to_string());
    disk.crash();
    drop(db);
    Some(disk.bytes(Path::new(&cut?)).expect("the copy that the report names"))
}

/// Crashes the recovery on `disk` at each of its calls, recovers once more, and looks for `kept`.
fn loss(setup: &Setup, disk: &SimDisk, kept: &[u8], seed: u64) -> Option<String> {
    disk.crash_points().find_map(|again: CrashPoint| {
        let mut survivals = again.survivals(4, Random::new(seed).next_u64());
        survivals.push(Survival::Nothing);
        survivals.into_iter().find_map(|survival| {
            let after = again.disk(survival);
            if let Ok(db) = setup.open(&after) {
                after.crash();
                drop(db);
            }
            let is_there = after.files().iter().any(|(path, _)| {
                path.starts_with("quarantine") && after.bytes(path).as_deref() == Some(kept)
            });
            (!is_there).then(|| {
                format!(
                    "its recovery crashed before call {}: {} bytes that were cut are nowhere",
                    again.before(),
                    kept.len()
                )
            })
        })
    })
}
