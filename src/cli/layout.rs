//! How a recorded run lies in a database: which primitive holds what, under which name.
//!
//! Each recorded run is a run of the database, under its own name. In it:
//!
//! - `EventLog`, stream `steps`: event *n* is step *n*; its type is the step's kind, its payload
//!   the step's line of `steps.jsonl`, byte for byte.
//! - `KvStore`: counters as decimal text: `steps`, `kind/<kind>`, `tool/<name>` for calls.
//! - `StateCell`, cell `run`: what the run is at, in words. Its version is the number of steps
//!   plus one.
//!
//! In the root, `RunIndex` has the run, with its line of `runs.jsonl` as metadata `record`, the
//! number of its steps as `steps`, and, once it has ended, the recording's own word as `status`.

use crate::cli::record::{RunRecord, StepKind, StepRecord};
use crate::database::{RunTransaction, RunView};
use crate::error::{Error, Result};
use crate::primitives::{EventLog, Expected, KvStore, Payload, RunOutcome, StateCell};

/// The stream of a run's steps.
pub(crate) const STEPS_STREAM: &str = "steps";
/// The cell that says what a run is at.
pub(crate) const RUN_CELL: &str = "run";
/// What the cell says before the first step.
pub(crate) const NOT_BEGUN: &str = "not begun";
/// The counter of steps.
pub(crate) const STEPS_COUNTER: &str = "steps";
/// Metadata: the run's line of `runs.jsonl`.
pub(crate) const RECORD_KEY: &str = "record";
/// Metadata: how many steps have been imported.
pub(crate) const STEPS_KEY: &str = "steps";
/// Metadata: how the recording says that the run ended.
pub(crate) const STATUS_KEY: &str = "status";

/// The counter of steps of one kind.
pub(crate) fn kind_counter(kind: StepKind) -> String {
    format!("kind/{kind}")
}

/// The counter of calls of one tool.
pub(crate) fn tool_counter(tool: &str) -> String {
    format!("tool/{tool}")
}

/// A counter of this run; 0 if it was never raised.
pub(crate) fn counter(kv: &KvStore, name: &str) -> u64 {
    let value = kv.get(name);
    let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How many steps of this run are in the database.
pub(crate) fn stored_step_count(run: &RunView) -> u64 {
    run.on::<EventLog>().stream_len(STEPS_STREAM)
}

/// What the cell says before the first step.
pub(crate) fn begin(run: &mut RunTransaction<'_>) -> Result<()> {
    run.on::<StateCell>().init(RUN_CELL, NOT_BEGUN.as_bytes()).map(drop)
}

/// Adds one step to its run. Refused if the run is not exactly at this step.
pub(crate) fn add_step(
    run: &mut RunTransaction<'_>,
    step: &StepRecord<'_>,
    line: &str,
    ended_as: Option<&str>,
) -> Result<()> {
    let payload = Payload::json(line).map_err(Error::abort)?;
    run.on::<EventLog>().append(STEPS_STREAM, step.kind.name(), payload)?;
    raise(run, STEPS_COUNTER)?;
    raise(run, &kind_counter(step.kind))?;
    if let (StepKind::ToolCall, Some(tool)) = (step.kind, &step.name) {
        raise(run, &tool_counter(tool))?;
    }
    let state = match ended_as {
        Some(status) => format!("ended: {status}"),
        None => state_after(step),
    };
    let expected = Expected::version(step.seq.saturating_add(1));
    run.on::<StateCell>().transition(RUN_CELL, expected, state.as_bytes())?;
    Ok(())
}

fn raise(run: &mut RunTransaction<'_>, name: &str) -> Result<()> {
    let raised = counter(run.read::<KvStore>(), name).saturating_add(1);
    run.on::<KvStore>().put(name.as_bytes(), raised.to_string().as_bytes())?;
    Ok(())
}

/// What a run is at after this step, if it goes on.
pub(crate) fn state_after(step: &StepRecord<'_>) -> String {
    let name = step.name.as_deref().unwrap_or("a tool");
    match step.kind {
        StepKind::Message => format!("{} spoke", step.role),
        StepKind::Thought => String::from("thinking"),
        StepKind::ToolCall => format!("calling {name}"),
        StepKind::ToolResult => format!("answered by {name}"),
        StepKind::Event => format!("event {}", step.name.as_deref().unwrap_or("without a name")),
    }
}

/// The recording's own word for how a run ended.
pub(crate) fn ended_as(record: &RunRecord) -> &str {
    record.status.as_deref().unwrap_or("ended")
}

/// What that word means to the index of runs. Sources do not agree on words: what does not say
/// that it failed or was given up has ended as it should.
pub(crate) fn outcome(status: &str) -> RunOutcome {
    let status = status.to_ascii_lowercase();
    if ["fail", "error", "crash"].iter().any(|word| status.contains(word)) {
        RunOutcome::Failed
    } else if ["cancel", "abort", "exit_cost", "timeout"].iter().any(|word| status.contains(word)) {
        RunOutcome::Cancelled
    } else {
        RunOutcome::Completed
    }
}
