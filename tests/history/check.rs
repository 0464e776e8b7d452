//! Whether what many threads saw at once is what they would have seen one after the other.
//!
//! - The order is that of LSNs: replaying the committed transactions in it against a model, each read
//!   meets what the model holds. So it is one order for all, and the log's.
//! - It agrees with time: what returned before another thing was asked for comes before it.

use std::fmt;
use std::ops::AddAssign;

use crate::model::{Model, Step};

/// Something that was seen, with the moments at which it was asked for and returned: numbers of one
/// counter that all threads share.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) asked: u64,
    /// When the call returned: from then on each transaction must come after it.
    pub(crate) returned: u64,
    /// When it was as durable as the mode promises, if ever: from then on views must show it.
    pub(crate) done: Option<u64>,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A transaction, by the LSN that it had if it was to commit.
    Transaction { lsn: u64, steps: Vec<Step>, end: End },
    /// A view, and all that was in it.
    View { lsn: u64, model: Model },
    /// A checkpoint of the state at this LSN.
    Checkpoint { lsn: u64 },
    /// The state found by an opening, after a power failure at the moment it was "asked for" (then
    /// the history goes on without it) or after a close.
    Opened { lsn: u64, model: Model, after_crash: bool },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Returned,
    Undone,
}

impl Seen {
    /// The transaction's record, if it has one.
    fn record(&self) -> Option<u64> {
        match &self.what {
            What::Transaction { lsn, steps, end: End::Returned } => {
                steps.iter().any(Step::is_logged).then_some(*lsn)
            }
            _ => None,
        }
    }

    /// The LSN of the state it began from.
    fn from(&self) -> u64 {
        match &self.what {
            What::Transaction { lsn, .. } => lsn - 1,
            What::View { lsn, .. } | What::Checkpoint { lsn } | What::Opened { lsn, .. } => *lsn,
        }
    }

    /// The LSN of the newest state that is known once it returned.
    fn to(&self) -> u64 {
        self.record().unwrap_or(self.from())
    }
}

/// What a history had, for the report.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: usize,
    pub(crate) read_only: usize,
    pub(crate) undone: usize,
    pub(crate) reads: usize,
    pub(crate) refused: usize,
    pub(crate) views: usize,
    pub(crate) checkpoints: usize,
    pub(crate) crashes: usize,
    pub(crate) openings: usize,
    /// Transactions that were asked for before another one, asked for earlier, returned.
    pub(crate) overlaps: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.records += other.records;
        self.read_only += other.read_only;
        self.undone += other.undone;
        self.reads += other.reads;
        self.refused += other.refused;
        self.views += other.views;
        self.checkpoints += other.checkpoints;
        self.crashes += other.crashes;
        self.openings += other.openings;
        self.overlaps += other.overlaps;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} records, {} transactions only read", self.records, self.read_only)?;
        writeln!(f, "{:>9} transactions aborted or panicked", self.undone)?;
        writeln!(f, "{:>9} reads in them, {} refusals", self.reads, self.refused)?;
        writeln!(f, "{:>9} of them asked for before another returned", self.overlaps)?;
        writeln!(f, "{:>9} views, each compared as a whole", self.views)?;
        writeln!(f, "{:>9} checkpoints by hand", self.checkpoints)?;
        write!(f, "{:>9} states after a crash, {} after opening", self.crashes, self.openings)
    }
}

/// Whether `seen` has one order, or what contradicts. `promised`: what a view showed must survive a
/// power failure.
pub(crate) fn check(mut seen: Vec<Seen>, promised: bool) -> Result<Tally, String> {
    seen.sort_by_key(|one| one.asked);
    in_order_of_time(&seen, promised)?;
    in_order_of_records(&seen)?;
    Ok(tally(&seen))
}

/// Replays the records, and compares each thing that was seen with the state it began from.
fn in_order_of_records(seen: &[Seen]) -> Result<(), String> {
    let mut order: Vec<&Seen> = seen.iter().collect();
    // What has no record comes before the record that begins from the same state.
    order.sort_by_key(|one| (one.from(), one.record().is_some()));
    let mut model = Model::new();
    let mut last = 0;
    for one in order {
        let from = one.from();
        let name = match &one.what {
            What::Transaction { lsn, .. } if one.record().is_some() => format!("record {lsn}"),
            What::Transaction { lsn, .. } => format!("transaction without a record at {lsn}"),
            What::View { lsn, .. } => format!("view at {lsn}"),
            What::Checkpoint { lsn } => format!("checkpoint at {lsn}"),
            What::Opened { lsn, .. } => format!("opened at {lsn}"),
        };
        if from > last {
            return Err(format!("{name}: nobody made record {}", last + 1));
        }
        if from < last {
            return Err(format!("{name}: two transactions had this LSN"));
        }
        match &one.what {
            What::Transaction { lsn, steps, .. } => {
                let mut after = model.clone();
                for step in steps {
                    after.step(step, *lsn).map_err(|what| format!("{name}: {what}"))?;
                }
                if one.record().is_some() {
                    (model, last) = (after, *lsn);
                }
            }
            What::View { model: found, .. } | What::Opened { model: found, .. } => {
                if let Some(what) = model.difference(found) {
                    return Err(format!("{name}: {what}"));
                }
            }
            What::Checkpoint { .. } => {}
        }
    }
    Ok(())
}

/// The moments of a history.
enum Moment<'a> {
    Asked(&'a Seen),
    Returned(&'a Seen),
    Done(&'a Seen),
}

/// What returned before something was asked for must be part of the state that it began from.
fn in_order_of_time(seen: &[Seen], promised: bool) -> Result<(), String> {
    let mut moments: Vec<(u64, Moment<'_>)> = Vec::new();
    for one in seen {
        moments.push((one.asked, Moment::Asked(one)));
        if matches!(one.what, What::Opened { after_crash: true, .. }) {
            continue;
        }
        moments.push((one.returned, Moment::Returned(one)));
        moments.extend(one.done.map(|done| (done, Moment::Done(one))));
    }
    moments.sort_by_key(|(stamp, _)| *stamp);
    let (mut applied, mut shown, mut durable) = (0, 0, 0);
    for (stamp, moment) in moments {
        match moment {
            Moment::Returned(one) => applied = applied.max(one.to()),
            Moment::Done(one) => {
                shown = shown.max(one.to());
                if promised || matches!(one.what, What::Checkpoint { .. } | What::Opened { .. }) {
                    durable = durable.max(one.to());
                }
            }
            Moment::Asked(one) => {
                let (what, least) = match &one.what {
                    What::Transaction { .. } => ("a transaction began from", applied),
                    What::View { .. } => ("a view showed", shown),
                    What::Checkpoint { .. } => ("a checkpoint covered", applied),
                    What::Opened { after_crash: true, .. } => ("a crash left", durable),
                    What::Opened { .. } => ("a close left", applied),
                };
                if one.from() < least {
                    return Err(format!(
                        "at moment {stamp} {what} record {}, and by then record {least} had returned or \
                         been shown",
                        one.from()
                    ));
                }
            }
        }
    }
    Ok(())
}

fn tally(seen: &[Seen]) -> Tally {
    let mut tally = Tally::default();
    let mut newest_return = 0;
    for one in seen {
        match &one.what {
            What::Transaction { steps, end, .. } => {
                match (end, one.record()) {
                    (End::Undone, _) => tally.undone += 1,
                    (End::Returned, None) => tally.read_only += 1,
                    (End::Returned, Some(_)) => tally.records += 1,
                }
                tally.reads += steps.iter().filter(|s| matches!(s, Step::Read(..))).count();
                let refused = |step: &&Step| {
                    matches!(step, Step::Begin(.., false) | Step::Create(_, None) | Step::NoRun(_))
                };
                tally.refused += steps.iter().filter(refused).count();
                tally.overlaps += usize::from(one.asked < newest_return);
                newest_return = newest_return.max(one.returned);
            }
            What::View { .. } => tally.views += 1,
            What::Checkpoint { .. } => tally.checkpoints += 1,
            What::Opened { after_crash: true, .. } => tally.crashes += 1,
            What::Opened { .. } => tally.openings += 1,
        }
    }
    tally
}
