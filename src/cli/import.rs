//! `import-runs`: one transaction a step, across all four primitives; goes on where it stopped.
//!
//! - Nothing is written before the whole recording was checked, and checked against what the
//!   database has of it.
//! - All runs that are not there yet are created first, in the recording's order, so that a run's
//!   number does not depend on how threads take turns.
//! - A step's transaction holds everything the step changes; the last one ends its run. So at
//!   every LSN the primitives agree with each other.
//! - A step is acknowledged after its commit returned, never before.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::cli::args::{ImportArguments, ImportSettings};
use crate::cli::check::agreed_step_count;
use crate::cli::failure::Failure;
use crate::cli::input::{RecordedRun, Recording, reread};
use crate::cli::layout;
use crate::cli::opening;
use crate::cli::text::count;
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::id::RunId;
use crate::primitives::{RunIndex, RunOutcome};

/// How many runs one transaction creates: a record stays small, and so does the number of syncs.
const RUNS_CREATED_AT_ONCE: usize = 512;
/// From how many bytes of records on it creates no more.
const RECORDS_CREATED_AT_ONCE_BYTES: usize = 4 << 20;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Runs created.
    pub(crate) runs_created: u64,
    /// Steps added.
    pub(crate) steps_added: u64,
}

/// `freehold import-runs DB PATH`.
pub(crate) fn run(
    arguments: &ImportArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let recording = Recording::read(&arguments.path)?;
    let options = opening::options(&arguments.how).durability(arguments.durability.into());
    let db = opening::open(&arguments.db, options)?;
    let acknowledge = arguments.how.acknowledge;
    let bar = if acknowledge { ProgressBar::hidden() } else { progress(recording.step_count()) };
    let imported = import(&db, &recording, &arguments.how, &bar, out);
    bar.finish_and_clear();
    let imported = imported?;
    db.close()?;
    if !acknowledge {
        summary(&recording, imported, out)?;
    }
    Ok(())
}

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    let template = "{bar:40} {human_pos}/{human_len} steps, {rate} a second, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // What cannot be shown is not worth a failure.
            let _ = write!(out, "{:.0}", state.per_sec());
        }));
    }
    bar
}

fn summary(recording: &Recording, imported: Imported, out: &mut dyn Write) -> Result<(), Failure> {
    let tool_calls = recording.runs().iter().map(RecordedRun::tool_call_count).sum();
    writeln!(
        out,
        "{}, {}, {} in the database; {} and {} of them new",
        count(recording.runs().len() as u64, "run", "runs"),
        count(recording.step_count(), "step", "steps"),
        count(tool_calls, "tool call", "tool calls"),
        count(imported.runs_created, "run", "runs"),
        count(imported.steps_added, "step", "steps"),
    )?;
    Ok(())
}

/// Brings `recording` into the database, as far as it is not there.
pub(crate) fn import(
    db: &Database,
    recording: &Recording,
    settings: &ImportSettings,
    bar: &ProgressBar,
    out: &mut (dyn Write + Send),
) -> Result<Imported, Failure> {
    let view = db.view();
    let mut from = Vec::new();
    for run in recording.runs() {
        from.push(agreed_step_count(&view, recording, run)?);
    }
    drop(view);
    bar.inc(from.iter().flatten().sum());
    let runs_created = create_runs(db, recording, &from)?;

    let view = db.view();
    let mut unfinished = Vec::new();
    for (run, from) in recording.runs().iter().zip(&from) {
        let from = from.unwrap_or(0);
        if from < run.step_count() {
            let name = run.record.run_id.as_str();
            let id = view.run_named(name).ok_or_else(|| Error::NoRun { run: name.into() })?;
            unfinished.push(Unfinished { run, id, from });
        }
    }
    drop(view);

    let threads = usize::from(settings.threads);
    let importing = Importing {
        db,
        recording,
        bar,
        out: settings.acknowledge.then(|| Mutex::new(&mut *out as _)),
        added: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    let unfinished = unfinished.as_slice();
    let importing = &importing;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads.min(unfinished.len()))
            .map(|own| {
                scope.spawn(move || {
                    let done = unfinished
                        .iter()
                        .skip(own)
                        .step_by(threads)
                        .try_for_each(|unfinished| importing.import_run(unfinished));
                    if done.is_err() {
                        importing.stopped.store(true, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(Imported { runs_created, steps_added: importing.added.load(Ordering::Relaxed) })
}

/// Creates every run of which the database knows nothing.
fn create_runs(db: &Database, recording: &Recording, from: &[Option<u64>]) -> Result<u64> {
    let mut missing = recording.runs().iter().zip(from).filter(|(_, from)| from.is_none());
    let mut created = 0;
    loop {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < RUNS_CREATED_AT_ONCE
            && bytes < RECORDS_CREATED_AT_ONCE_BYTES
            && let Some((run, _)) = missing.next()
        {
            bytes += recording.run_line(run).len();
            chunk.push(run);
        }
        if chunk.is_empty() {
            return Ok(created);
        }
        db.transaction(|tx| chunk.iter().try_for_each(|run| create_run(tx, recording, run)))?;
        created += chunk.len() as u64;
    }
}

/// One run in the run table, the index, and with its state.
fn create_run(tx: &mut Transaction<'_>, recording: &Recording, run: &RecordedRun) -> Result<()> {
    let name = run.record.run_id.as_str();
    let id = tx.create_run(name)?;
    layout::begin(&mut tx.run(id)?)?;
    let mut index = tx.on::<RunIndex>();
    index.create(id, name)?;
    index.update(id, layout::RECORD_KEY, Some(recording.run_line(run)))?;
    if run.step_count() == 0 {
        let ended_as = layout::ended_as(&run.record);
        index.begin(id)?;
        index.update(id, layout::STATUS_KEY, Some(ended_as))?;
        index.end(id, layout::outcome(ended_as))?;
    }
    Ok(())
}

/// A run with steps that are not in the database.
struct Unfinished<'a> {
    run: &'a RecordedRun,
    id: RunId,
    from: u64,
}

/// What the writing threads share.
struct Importing<'a> {
    db: &'a Database,
    recording: &'a Recording,
    bar: &'a ProgressBar,
    out: Option<Mutex<&'a mut (dyn Write + Send + 'a)>>,
    added: AtomicU64,
    /// A thread has failed: the others need not go on.
    stopped: AtomicBool,
}

impl Importing<'_> {
    fn import_run(&self, unfinished: &Unfinished<'_>) -> Result<(), Failure> {
        let run = unfinished.run;
        let ended_as = layout::ended_as(&run.record);
        let lines = self.recording.step_lines(run).zip(0..);
        for ((_, line), seq) in lines.skip_while(|(_, seq)| *seq < unfinished.from) {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            let last = seq + 1 == run.step_count();
            let end = last.then(|| (ended_as, layout::outcome(ended_as)));
            self.db.transaction(|tx| add_step(tx, unfinished.id, line, end))?;
            self.added.fetch_add(1, Ordering::Relaxed);
            self.bar.inc(1);
            if let Some(out) = &self.out {
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                writeln!(out, "{}\t{seq}", run.record.run_id)?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// One step in all four primitives.
fn add_step(
    tx: &mut Transaction<'_>,
    id: RunId,
    line: &str,
    end: Option<(&str, RunOutcome)>,
) -> Result<()> {
    let step = reread(line).ok_or_else(|| Error::abort("the line was checked before"))?;
    layout::add_step(&mut tx.run(id)?, &step, line, end.map(|(ended_as, _)| ended_as))?;
    let mut index = tx.on::<RunIndex>();
    if step.seq == 0 {
        index.begin(id)?;
    }
    index.update(id, layout::STEPS_KEY, Some(&(step.seq + 1).to_string()))?;
    if let Some((ended_as, outcome)) = end {
        index.update(id, layout::STATUS_KEY, Some(ended_as))?;
        index.end(id, outcome)?;
    }
    Ok(())
}
