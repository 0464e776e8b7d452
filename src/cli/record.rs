//! One line of `runs.jsonl` or `steps.jsonl`, as far as the tool has to understand it.
//!
//! - A record never holds more than the line says: what is absent is `None`, never a default.
//! - Fields that are not named here are checked to be JSON and otherwise left alone; the whole
//!   line is what gets stored, so nothing is lost by not naming them.
//! - Text is borrowed from the line where the line holds it without escapes.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A recorded run: one line of `runs.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct RunRecord {
    /// The run's own name, unique in the file.
    pub(crate) run_id: String,
    /// Which benchmark or agent it comes from.
    pub(crate) source: String,
    /// The task's name in its benchmark.
    pub(crate) task_id: Option<String>,
    /// What the agent was asked to do.
    pub(crate) task: Option<String>,
    /// Which language model was the agent.
    pub(crate) model: Option<String>,
    /// The field the task is from, such as `airline`.
    pub(crate) domain: Option<String>,
    /// How the run ended, in its source's own words.
    pub(crate) status: Option<String>,
    /// What the benchmark gave for it.
    pub(crate) reward: Option<f64>,
    /// How many steps `steps.jsonl` has of it.
    pub(crate) n_steps: Option<u64>,
    /// How many of them are calls of a tool.
    pub(crate) n_tool_calls: Option<u64>,
    /// How many of them are results of a tool.
    pub(crate) n_tool_results: Option<u64>,
}

/// A recorded step: one line of `steps.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct StepRecord<'a> {
    /// The run it belongs to.
    #[serde(borrow)]
    pub(crate) run_id: Cow<'a, str>,
    /// Its place in the run, from 0, without gaps.
    pub(crate) seq: u64,
    /// Who acted: `system`, `user`, `assistant`, `tool` …
    #[serde(borrow)]
    pub(crate) role: Cow<'a, str>,
    /// What it is.
    pub(crate) kind: StepKind,
    /// The tool's name, or the event's.
    #[serde(borrow)]
    pub(crate) name: Option<Cow<'a, str>>,
    /// What a tool was called with.
    pub(crate) args: Option<serde_json::Value>,
    /// What was said, thought or returned.
    #[serde(borrow)]
    pub(crate) text: Option<Cow<'a, str>>,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepKind {
    /// Something said, by whoever.
    Message,
    /// Something the agent thought.
    Thought,
    /// The agent called a tool.
    ToolCall,
    /// The tool answered.
    ToolResult,
    /// Anything else that the source recorded.
    Event,
}

impl StepKind {
    /// Its name in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            StepKind::Message => "message",
            StepKind::Thought => "thought",
            StepKind::ToolCall => "tool_call",
            StepKind::ToolResult => "tool_result",
            StepKind::Event => "event",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_by_the_name_it_prints() {
        for kind in [
            StepKind::Message,
            StepKind::Thought,
            StepKind::ToolCall,
            StepKind::ToolResult,
            StepKind::Event,
        ] {
            let read: StepKind = serde_json::from_str(&format!("\"{kind}\"")).unwrap();
            assert_eq!(read, kind);
        }
    }

    #[test]
    fn text_with_escapes_is_decoded_and_text_without_is_borrowed() {
        let line = r#"{"run_id":"r","seq":0,"role":"user","kind":"message","text":"a\nb"}"#;
        let step: StepRecord<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(step.text.as_deref(), Some("a\nb"));
        assert!(matches!(step.run_id, Cow::Borrowed("r")));
    }

    #[test]
    fn a_field_that_no_one_names_is_no_error() {
        let line = r#"{"run_id":"r","source":"s","n_turns":3,"meta":{"deep":[1,{}]}}"#;
        let run: RunRecord = serde_json::from_str(line).unwrap();
        assert_eq!((run.run_id.as_str(), run.status), ("r", None));
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        let line = r#"{"run_id":"r","seq":0,"role":"user","kind":"song"}"#;
        let error = serde_json::from_str::<StepRecord<'_>>(line).unwrap_err().to_string();
        assert!(error.contains("song") && error.contains("tool_result"), "{error}");
    }
}
