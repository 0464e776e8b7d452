//! Comparing a database with the recording that was imported into it.
//!
//! - Whatever number of steps a run has in the database, all four primitives must agree on it: a
//!   transaction that is there in part would show here.
//! - Steps are compared byte for byte as lines, and once more as decoded text.

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::args::CheckArguments;
use crate::cli::failure::Failure;
use crate::cli::input::{RecordedRun, Recording, STEPS_FILE, reread};
use crate::cli::layout;
use crate::cli::opening::read_existing;
use crate::cli::record::StepKind;
use crate::cli::text::count;
use crate::database::View;
use crate::primitives::{EventLog, KvStore, RunIndex, RunStatus, StateCell};

/// What was compared and found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Runs that are there.
    pub(crate) runs: u64,
    /// Steps that are there.
    pub(crate) steps: u64,
    /// Those of them that call a tool.
    pub(crate) tool_calls: u64,
    /// Bytes of their text, decoded.
    pub(crate) text_bytes: u64,
}

/// `freehold check-runs DB PATH`.
pub(crate) fn run(arguments: &CheckArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let recording = Recording::read(&arguments.path)?;
    let view = read_existing(&arguments.db)?;
    let compared = compare(&view, &recording)?;
    for run in recording.runs() {
        expect_whole(&view, run)?;
    }
    writeln!(
        out,
        "{}, {}, {} with {} of text: equal, byte for byte",
        count(compared.runs, "run", "runs"),
        count(compared.steps, "step", "steps"),
        count(compared.tool_calls, "tool call", "tool calls"),
        count(compared.text_bytes, "byte", "bytes"),
    )?;
    Ok(())
}

/// Compares whatever the database has of the recording.
pub(crate) fn compare(view: &View, recording: &Recording) -> Result<Compared, Failure> {
    let mut compared = Compared::default();
    for run in recording.runs() {
        if let Some(steps) = agreed_step_count(view, recording, run)? {
            let (tool_calls, text_bytes) = compare_counters(view, recording, run, steps)?;
            compared.runs += 1;
            compared.steps += steps;
            compared.tool_calls += tool_calls;
            compared.text_bytes += text_bytes;
        }
    }
    Ok(compared)
}

/// Refuses a run that is not there to its last step.
pub(crate) fn expect_whole(view: &View, run: &RecordedRun) -> Result<(), Failure> {
    let name = run.record.run_id.as_str();
    let id = view.run_named(name);
    let found = id.and_then(|id| view.run(id)).map_or(0, |run| layout::stored_step_count(&run));
    if found != run.step_count() || id.is_none() {
        return Err(differs(name, "number of steps", found, run.step_count()));
    }
    Ok(())
}

/// How many of the run's steps are in the database, all equal to the recording's and the run's
/// status in keeping with it; `None` if the database does not know the run.
pub(crate) fn agreed_step_count(
    view: &View,
    recording: &Recording,
    run: &RecordedRun,
) -> Result<Option<u64>, Failure> {
    let name = run.record.run_id.as_str();
    let Some(stored) = view.run_named(name).and_then(|id| view.run(id)) else { return Ok(None) };
    let Some(indexed) = view.on::<RunIndex>().get(stored.id()) else {
        return Err(differs(name, "place in the run index", "missing", "there"));
    };
    let line = recording.run_line(run);
    let record = indexed.metadata().get(layout::RECORD_KEY).map_or("", |line| &**line);
    if record != line {
        return Err(differs(name, "record", record, line));
    }
    let events = stored.on::<EventLog>();
    let steps = events.stream_len(layout::STEPS_STREAM);
    let mut lines = recording.step_lines(run);
    for event in events.range(layout::STEPS_STREAM, ..) {
        let Some((line_number, line)) = lines.next() else {
            return Err(differs(name, "number of steps", steps, run.step_count()));
        };
        if event.payload().as_json() != Some(line) {
            let (run, seq) = (name.into(), event.sequence());
            return Err(Failure::OtherStep { run, seq, file: STEPS_FILE, line: line_number });
        }
    }
    let ended_as = layout::ended_as(&run.record);
    let expected = match steps {
        _ if steps == run.step_count() => layout::outcome(ended_as).into(),
        0 => RunStatus::Created,
        _ => RunStatus::Running,
    };
    if indexed.status() != expected {
        return Err(differs(name, "status", indexed.status(), expected));
    }
    Ok(Some(steps))
}

/// Compares what the other primitives say of the first `steps` steps. Returns how many of these
/// call a tool, and the bytes of their text.
fn compare_counters(
    view: &View,
    recording: &Recording,
    run: &RecordedRun,
    steps: u64,
) -> Result<(u64, u64), Failure> {
    let name = run.record.run_id.as_str();
    let id = view.run_named(name);
    let Some(stored) = id.and_then(|id| view.run(id)) else {
        return Err(differs(name, "run", "missing", "there"));
    };
    let mut expected = BTreeMap::new();
    let mut state = String::from(layout::NOT_BEGUN);
    let mut text_bytes = 0;
    let events = stored.on::<EventLog>().range(layout::STEPS_STREAM, ..);
    for ((_, line), event) in recording.step_lines(run).zip(events) {
        let (Some(step), Some(read)) = (reread(line), event.payload().as_json().and_then(reread))
        else {
            return Err(differs(name, "step", "unreadable", "a record"));
        };
        if step.text != read.text {
            return Err(differs(name, "text", "another", "the recorded one"));
        }
        text_bytes += read.text.as_deref().map_or(0, str::len) as u64;
        *expected.entry(String::from(layout::STEPS_COUNTER)).or_insert(0) += 1;
        *expected.entry(layout::kind_counter(step.kind)).or_insert(0) += 1;
        if let (StepKind::ToolCall, Some(tool)) = (step.kind, &step.name) {
            *expected.entry(layout::tool_counter(tool)).or_insert(0) += 1;
        }
        state = layout::state_after(&step);
    }
    if steps > 0 && steps == run.step_count() {
        state = format!("ended: {}", layout::ended_as(&run.record));
    }

    let kv = stored.on::<KvStore>();
    for (key, value) in &expected {
        let found = layout::counter(kv, key);
        if found != *value {
            return Err(differs(
                name,
                "a counter",
                format!("{key} {found}"),
                format!("{key} {value}"),
            ));
        }
    }
    if kv.len() != expected.len() {
        return Err(differs(name, "number of counters", kv.len(), expected.len()));
    }
    let cell = stored.on::<StateCell>().get(layout::RUN_CELL);
    let version = cell.map_or(0, |cell| cell.version());
    if version != steps + 1 {
        return Err(differs(name, "version of the state", version, steps + 1));
    }
    let found = cell.map_or(&[][..], |cell| cell.value());
    if found != state.as_bytes() {
        return Err(differs(name, "state", String::from_utf8_lossy(found), state));
    }
    let metadata = id.and_then(|id| view.on::<RunIndex>().get(id)).map(|run| run.metadata());
    let indexed = metadata.and_then(|metadata| metadata.get(layout::STEPS_KEY));
    let indexed = indexed.map_or("0", |steps| &**steps);
    if indexed != steps.to_string() {
        return Err(differs(name, "number of steps in the index", indexed, steps));
    }
    let calls = expected.get(&layout::kind_counter(StepKind::ToolCall)).copied().unwrap_or(0);
    Ok((calls, text_bytes))
}

fn differs(
    run: &str,
    what: &'static str,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Failure {
    Failure::Differs {
        run: run.into(),
        what,
        found: found.to_string().into(),
        expected: expected.to_string().into(),
    }
}
