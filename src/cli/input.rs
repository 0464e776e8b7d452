//! A folder of recorded runs, read and checked whole before anything of it is imported.
//!
//! - A [`Recording`] that exists is right: every line parsed, every run named once, every run's
//!   steps numbered 0, 1, 2 …, the counts a run claims equal to its steps. So an import never
//!   stops half-way because of what a later line says.
//! - Lines are kept as they stand in the file; what is stored is the line, byte for byte.
//! - The text of both files is held in memory, as the database will hold it anyway.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::cli::record::{RunRecord, StepKind, StepRecord};
use crate::format::{ENTRY_BYTES_MAX, RUN_NAME_BYTES_MAX};

/// The file of runs in a recording's folder.
pub(crate) const RUNS_FILE: &str = "runs.jsonl";
/// The file of steps in a recording's folder.
pub(crate) const STEPS_FILE: &str = "steps.jsonl";
/// The longest line: it has to fit into an entry of the log, with the names that go with it.
const LINE_BYTES_MAX: usize = ENTRY_BYTES_MAX - (64 << 10);

/// Recorded runs with their steps, checked.
pub(crate) struct Recording {
    runs_text: String,
    steps_text: String,
    runs: Vec<RecordedRun>,
    step_count: u64,
}

/// One run of a [`Recording`].
pub(crate) struct RecordedRun {
    /// What its line says.
    pub(crate) record: RunRecord,
    line: Range<usize>,
    steps: Vec<StepLine>,
    tool_call_count: u64,
}

/// Where a step stands.
struct StepLine {
    line_number: u64,
    bytes: Range<usize>,
}

impl Recording {
    /// Reads `runs.jsonl` and `steps.jsonl` of `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Recording, InputError> {
        let runs_path = folder.join(RUNS_FILE);
        let steps_path = folder.join(STEPS_FILE);
        let runs_text = read_text(&runs_path)?;
        let steps_text = read_text(&steps_path)?;
        Recording::parse(runs_text, steps_text).map_err(|fault| {
            let path = if fault.file == RUNS_FILE { runs_path } else { steps_path };
            InputError::Line { path, line: fault.line, why: fault.why }
        })
    }

    /// Checks the text of both files.
    pub(crate) fn parse(runs_text: String, steps_text: String) -> Result<Recording, LineFault> {
        let mut runs = Vec::new();
        let mut run_lines = Vec::new();
        let mut index_of: HashMap<String, usize> = HashMap::new();
        for (line_number, bytes, line) in lines(&runs_text) {
            let fault = |why| LineFault { file: RUNS_FILE, line: line_number, why };
            let record = parse_line::<RunRecord>(line).map_err(fault)?;
            check_run_name(&record.run_id).map_err(fault)?;
            if let Some(first) = index_of.get(&record.run_id).and_then(|at| run_lines.get(*at)) {
                return Err(fault(Why::RunTwice { first_line: *first }));
            }
            index_of.insert(record.run_id.clone(), runs.len());
            run_lines.push(line_number);
            runs.push(RecordedRun { record, line: bytes, steps: Vec::new(), tool_call_count: 0 });
        }

        let mut step_count = 0;
        let mut tool_result_counts = vec![0_u64; runs.len()];
        for (line_number, bytes, line) in lines(&steps_text) {
            let fault = |why| LineFault { file: STEPS_FILE, line: line_number, why };
            let step = parse_line::<StepRecord<'_>>(line).map_err(fault)?;
            let index = index_of
                .get(step.run_id.as_ref())
                .copied()
                .ok_or_else(|| fault(Why::UnknownRun { run: step.run_id.as_ref().into() }))?;
            let (Some(run), Some(results)) =
                (runs.get_mut(index), tool_result_counts.get_mut(index))
            else {
                continue;
            };
            let expected = run.step_count();
            if step.seq != expected {
                return Err(fault(Why::Seq { found: step.seq, expected }));
            }
            match step.kind {
                StepKind::ToolCall if step.name.is_none() => return Err(fault(Why::NamelessCall)),
                StepKind::ToolCall => run.tool_call_count += 1,
                StepKind::ToolResult => *results += 1,
                StepKind::Message | StepKind::Thought | StepKind::Event => {}
            }
            run.steps.push(StepLine { line_number, bytes });
            step_count += 1;
        }

        for ((run, line), results) in runs.iter().zip(&run_lines).zip(&tool_result_counts) {
            let record = &run.record;
            for (of, claimed, found) in [
                ("n_steps", record.n_steps, run.step_count()),
                ("n_tool_calls", record.n_tool_calls, run.tool_call_count),
                ("n_tool_results", record.n_tool_results, *results),
            ] {
                if let Some(claimed) = claimed.filter(|claimed| *claimed != found) {
                    let why = Why::Count { of, claimed, found };
                    return Err(LineFault { file: RUNS_FILE, line: *line, why });
                }
            }
        }
        Ok(Recording { runs_text, steps_text, runs, step_count })
    }

    /// The runs, in the order of `runs.jsonl`.
    pub(crate) fn runs(&self) -> &[RecordedRun] {
        &self.runs
    }

    /// How many steps all runs have together.
    pub(crate) fn step_count(&self) -> u64 {
        self.step_count
    }

    /// The line of a run, as it stands in `runs.jsonl`.
    pub(crate) fn run_line(&self, run: &RecordedRun) -> &str {
        self.runs_text.get(run.line.clone()).unwrap_or_default()
    }

    /// The lines of a run's steps, as they stand in `steps.jsonl`, with their line numbers.
    pub(crate) fn step_lines<'a>(
        &'a self,
        run: &'a RecordedRun,
    ) -> impl ExactSizeIterator<Item = (u64, &'a str)> {
        run.steps.iter().map(|step| {
            (step.line_number, self.steps_text.get(step.bytes.clone()).unwrap_or_default())
        })
    }
}

impl RecordedRun {
    /// How many steps it has.
    pub(crate) fn step_count(&self) -> u64 {
        self.steps.len() as u64
    }

    /// How many of its steps are calls of a tool.
    pub(crate) fn tool_call_count(&self) -> u64 {
        self.tool_call_count
    }
}

/// Reads a line that was checked before; `None` would mean that it was not.
pub(crate) fn reread(line: &str) -> Option<StepRecord<'_>> {
    serde_json::from_str(line).ok()
}

/// The lines of a file without their ends, with line numbers from 1 and their places. A last
/// line may lack its end; a file may be empty.
fn lines(text: &str) -> impl Iterator<Item = (u64, Range<usize>, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').zip(1..).map(move |(whole, number)| {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let bytes = start..start + line.len();
        start += whole.len();
        (number, bytes, line)
    })
}

fn parse_line<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Result<T, Why> {
    if line.trim().is_empty() {
        return Err(Why::Blank);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Why::LongLine { found: line.len() });
    }
    serde_json::from_str(line).map_err(Why::Json)
}

fn check_run_name(name: &str) -> Result<(), Why> {
    match name.len() {
        0 => Err(Why::EmptyRunName),
        found if found > RUN_NAME_BYTES_MAX => Err(Why::LongRunName { found }),
        _ => Ok(()),
    }
}

fn read_text(path: &Path) -> Result<String, InputError> {
    let bytes = read_file(path).map_err(|source| InputError::Read { path: path.into(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        InputError::Line { path: path.into(), line, why: Why::NotUtf8 { column } }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a recording is no part of a database, so it is not behind the Disk trait"
)]
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// A line that cannot be imported, by the file's name in its folder.
#[derive(Debug)]
pub(crate) struct LineFault {
    /// [`RUNS_FILE`] or [`STEPS_FILE`].
    pub(crate) file: &'static str,
    /// From 1.
    pub(crate) line: u64,
    /// What is wrong.
    pub(crate) why: Why,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: {}", self.file, self.line, self.why)
    }
}

/// A recording that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line is not what it must be.
    #[error("{} line {line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        why: Why,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    /// The bytes are not UTF-8.
    #[error("column {column}: not UTF-8")]
    NotUtf8 {
        /// Bytes from the line's start, from 1.
        column: usize,
    },
    /// Nothing stands on it.
    #[error("the line is blank, expected a JSON object")]
    Blank,
    /// No entry of the log could hold it.
    #[error("the line is {found} bytes, at most {LINE_BYTES_MAX} are allowed")]
    LongLine {
        /// Its length in bytes.
        found: usize,
    },
    /// It is not JSON, or not the fields that must be there.
    #[error("{}", Located(.0))]
    Json(#[source] serde_json::Error),
    /// A run without a name.
    #[error("run_id is empty")]
    EmptyRunName,
    /// A run with a name that freehold does not take.
    #[error("run_id is {found} bytes, at most {RUN_NAME_BYTES_MAX} are allowed")]
    LongRunName {
        /// Its length in bytes.
        found: usize,
    },
    /// Two runs of one name.
    #[error("run_id stands on line {first_line} too")]
    RunTwice {
        /// The line that has it first.
        first_line: u64,
    },
    /// A step of a run that is not there.
    #[error("run_id is {run}, which {RUNS_FILE} does not have")]
    UnknownRun {
        /// The name.
        run: Box<str>,
    },
    /// A step is missing, or stands twice, or out of order.
    #[error("seq is {found}, expected {expected}")]
    Seq {
        /// As read.
        found: u64,
        /// As it must be.
        expected: u64,
    },
    /// A tool call that does not say which tool.
    #[error("a tool_call without a name")]
    NamelessCall,
    /// The run's line claims other numbers than its steps give.
    #[error("{of} is {claimed}, {STEPS_FILE} has {found}")]
    Count {
        /// The field.
        of: &'static str,
        /// As the run's line says.
        claimed: u64,
        /// As counted.
        found: u64,
    },
}

/// A JSON error with its column first; its line is always 1 and would mislead.
struct Located<'a>(&'a serde_json::Error);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.to_string();
        let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
        write!(f, "column {}: {what}", self.0.column())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"run_id":"a","source":"s","n_steps":2,"n_tool_calls":1}"#;
    const CALL: &str =
        r#"{"run_id":"a","seq":0,"role":"assistant","kind":"tool_call","name":"ls"}"#;
    const RESULT: &str = r#"{"run_id":"a","seq":1,"role":"tool","kind":"tool_result","text":"x"}"#;

    fn fault(runs: &[&str], steps: &[&str]) -> String {
        match Recording::parse(runs.join("\n"), steps.join("\n")) {
            Ok(_) => panic!("expected a refusal"),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn lines_come_back_as_they_stand() {
        let recording =
            Recording::parse(format!("{RUN}\n"), format!("{CALL}\r\n{RESULT}")).unwrap();
        let run = &recording.runs()[0];
        let lines: Vec<_> = recording.step_lines(run).collect();
        assert_eq!(lines, [(1, CALL), (2, RESULT)]);
        assert_eq!(recording.run_line(run), RUN);
        assert_eq!((run.step_count(), run.tool_call_count()), (2, 1));
    }

    #[test]
    fn the_sample_is_right_and_holds_every_source() {
        let recording = crate::cli::sample::recording().unwrap();
        let mut sources: Vec<_> =
            recording.runs().iter().map(|run| run.record.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        let all = ["intercode", "mini-swe-agent", "openhands", "swe-agent", "tau-bench", "tau2"];
        assert_eq!(sources, all);
        assert!(recording.runs().len() >= 40);
    }

    #[test]
    fn a_refusal_names_file_line_and_reason() {
        let cut = &RESULT[..30];
        for (runs, steps, expected) in [
            (vec!["{"], vec![], "runs.jsonl line 1: column 1: EOF while parsing an object"),
            (vec![RUN, RUN], vec![], "runs.jsonl line 2: run_id stands on line 1 too"),
            (vec![RUN, "", RUN], vec![], "runs.jsonl line 2: the line is blank"),
            (vec![r#"{"run_id":"","source":"s"}"#], vec![], "runs.jsonl line 1: run_id is empty"),
            (
                vec![r#"{"run_id":"a"}"#],
                vec![],
                "runs.jsonl line 1: column 14: missing field `source`",
            ),
            (vec![RUN], vec![CALL], "runs.jsonl line 1: n_steps is 2, steps.jsonl has 1"),
            (vec![RUN], vec![RESULT], "steps.jsonl line 1: seq is 1, expected 0"),
            (vec![RUN], vec![CALL, CALL], "steps.jsonl line 2: seq is 0, expected 1"),
            (vec![RUN], vec![CALL, cut], "steps.jsonl line 2: column 30: EOF while parsing"),
            (vec![], vec![CALL], "steps.jsonl line 1: run_id is a, which runs.jsonl does not have"),
        ] {
            let found = fault(&runs, &steps);
            assert!(found.starts_with(expected), "found {found}, expected {expected}");
        }
        let long = format!("{{{}}}", " ".repeat(LINE_BYTES_MAX));
        assert!(fault(&[&long], &[]).ends_with("at most 67043328 are allowed"));
        let long = format!(r#"{{"run_id":"{}","source":"s"}}"#, "x".repeat(256));
        assert_eq!(
            fault(&[&long], &[]),
            "runs.jsonl line 1: run_id is 256 bytes, at most 255 are allowed"
        );
    }
}
