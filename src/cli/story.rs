//! A run told step by step: who said, thought or called what, and what came back.

use std::io::Write;

use crate::cli::failure::Failure;
use crate::cli::layout;
use crate::cli::listing::step_of;
use crate::cli::record::{RunRecord, StepKind, StepRecord};
use crate::cli::text::{one_line, write_indented};
use crate::database::RunView;
use crate::primitives::{Event, EventLog, RunIndex};

/// How much of a step stands on its line.
const TEXT_CHARACTERS_MAX: usize = 76;
/// How much of a task stands above its steps.
const TASK_CHARACTERS_MAX: usize = 96;

/// Writes the run's steps, each on a line, or with its whole text if `full`.
pub(crate) fn write(out: &mut dyn Write, run: &RunView, full: bool) -> Result<(), Failure> {
    write_title(out, run)?;
    for event in run.on::<EventLog>().range(layout::STEPS_STREAM, ..) {
        write_event(out, event, full)?;
    }
    Ok(())
}

/// Writes the run's steps with a line where a kill came, `before` steps from the start; far from
/// there, and from the start, steps are left out, so that about `steps_max` are told.
pub(crate) fn write_cut(
    out: &mut dyn Write,
    run: &RunView,
    before: u64,
    steps_max: u64,
) -> Result<(), Failure> {
    write_title(out, run)?;
    let events = run.on::<EventLog>();
    let length = events.stream_len(layout::STEPS_STREAM);
    let part = steps_max / 3;
    let mut left_out = 0;
    for event in events.range(layout::STEPS_STREAM, ..) {
        let seq = event.sequence();
        if length > steps_max && seq >= part && (seq + part < before || seq >= before + part) {
            left_out += 1;
        } else {
            write_gap(out, &mut left_out)?;
            write_event(out, event, false)?;
        }
        if seq + 1 == before {
            writeln!(out, "      ─── killed here; what follows was imported afterwards ───")?;
        }
    }
    write_gap(out, &mut left_out)
}

fn write_gap(out: &mut dyn Write, left_out: &mut u64) -> Result<(), Failure> {
    if *left_out > 0 {
        writeln!(out, "   …  {} more", std::mem::take(left_out))?;
    }
    Ok(())
}

fn write_title(out: &mut dyn Write, run: &RunView) -> Result<(), Failure> {
    if let Some(title) = title(run) {
        writeln!(out, "{title}\n")?;
    }
    Ok(())
}

fn title(run: &RunView) -> Option<String> {
    let indexed = run.view().on::<RunIndex>().get(run.id())?;
    let mut title = one_line(indexed.name(), usize::MAX);
    let record = indexed.metadata().get(layout::RECORD_KEY);
    let record: Option<RunRecord> = record.and_then(|line| serde_json::from_str(line).ok());
    if let Some(record) = record {
        let facts = [Some(&record.source), record.model.as_ref(), record.domain.as_ref()];
        for fact in facts.into_iter().flatten() {
            title.push_str(" · ");
            title.push_str(&one_line(fact, TEXT_CHARACTERS_MAX));
        }
        if let Some(task) = &record.task {
            title.push_str("\n  task: ");
            title.push_str(&one_line(task, TASK_CHARACTERS_MAX));
        }
    }
    Some(title)
}

fn write_event(out: &mut dyn Write, event: &Event, full: bool) -> Result<(), Failure> {
    let Some(step) = step_of(event) else {
        writeln!(out, "{:>4}  {}", event.sequence(), one_line(event.event_type(), 40))?;
        return Ok(());
    };
    let (verb, text) = told(&step);
    let who = one_line(&step.role, 11);
    if full {
        writeln!(out, "{:>4}  {who:<11}  {verb}", step.seq)?;
        write_indented(out, "      ", &text)?;
    } else {
        let gap = if verb.is_empty() || text.is_empty() { "" } else { " " };
        let line = one_line(&format!("{verb}{gap}{text}"), TEXT_CHARACTERS_MAX);
        writeln!(out, "{:>4}  {who:<11}  {line}", step.seq)?;
    }
    Ok(())
}

/// What a step does, and the text that goes with it.
fn told<'a>(step: &'a StepRecord<'_>) -> (String, std::borrow::Cow<'a, str>) {
    let text = step.text.as_deref().unwrap_or("").into();
    let name = one_line(step.name.as_deref().unwrap_or(""), 40);
    match step.kind {
        StepKind::Message => (String::new(), text),
        StepKind::Thought => (String::from("thinks:"), text),
        StepKind::ToolCall => {
            let args = step.args.as_ref().map(arguments).unwrap_or_default();
            (format!("calls {name}"), args.into())
        }
        StepKind::ToolResult => (String::from("→"), text),
        StepKind::Event => (format!("event {name}"), text),
    }
}

/// The arguments of a call: the one argument's text if there is only one, else all as JSON.
fn arguments(args: &serde_json::Value) -> String {
    match args {
        serde_json::Value::Object(members) if members.is_empty() => String::new(),
        serde_json::Value::Object(members) if members.len() == 1 => {
            match members.values().next().and_then(serde_json::Value::as_str) {
                Some(text) => text.to_owned(),
                None => args.to_string(),
            }
        }
        _ => args.to_string(),
    }
}
