//! The tool as its users meet it: real processes, real files, real kills.
//!
//! - Nothing here looks into a file's bytes; databases are read through the library and the tool.
//! - Everything random comes from one seed, which is printed when a test fails and can be given
//!   back as `FREEHOLD_SEED`. The operating system decides when a killed process stops, so a
//!   seed repeats the plan and not the very moment.
//! - `FREEHOLD_LONG=1` kills 50 times instead of 5; `FREEHOLD_RUNS` names another folder of recorded
//!   runs to do it with.

#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "these tests make folders and damage files")]

#[cfg(unix)]
#[path = "process/hostile.rs"]
mod hostile;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use freehold::prelude::*;
use freehold::primitives::{EventLog, KvStore, RunIndex, StateCell};

const RUNS: &str = include_str!("../src/cli/sample/runs.jsonl");
const STEPS: &str = include_str!("../src/cli/sample/steps.jsonl");

/// The same clock for every import that is compared with another.
const CLOCK: [&str; 2] = ["--clock", "1700000000"];
/// Small files, so that a kill can hit a rotation and a checkpoint.
const SMALL: [&str; 4] = ["--segment-bytes", "65536", "--checkpoint-bytes", "150000"];

// --- Processes -----------------------------------------------------------------------------------

/// What a process left behind.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Ran {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(code), "exit code; stdout:\n{out}\nstderr:\n{err}");
        assert!(!err.contains("panicked"), "{err}");
        self
    }

    /// A refusal: code 1, and one line on standard error that holds every part.
    #[track_caller]
    fn refuses(self, parts: &[&str]) {
        let ran = self.expect(1);
        assert_eq!(ran.err.lines().count(), 1, "one line: {}", ran.err);
        for part in parts {
            assert!(ran.err.contains(part), "found {:?}, expected {part:?} in it", ran.err);
        }
    }
}

fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.stdin(Stdio::null()).env_remove("FREEHOLD_SEED");
    command
}

fn freehold(arguments: &[&str]) -> Ran {
    let output = tool().args(arguments).output().expect("the tool starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
        err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

// --- Recordings ----------------------------------------------------------------------------------

/// A folder to import, and what stands in it.
struct Recording {
    folder: PathBuf,
    /// The lines of each run's steps.
    steps: BTreeMap<String, Vec<String>>,
}

impl Recording {
    /// The sample, `copies` times, under different names.
    fn of_sample(place: &Path, copies: usize) -> Recording {
        let mut runs = String::new();
        let mut steps = String::new();
        for copy in 0..copies {
            let name = format!("\"run_id\":\"{copy}:");
            for (from, to) in [(RUNS, &mut runs), (STEPS, &mut steps)] {
                for line in from.lines() {
                    to.push_str(&line.replacen("\"run_id\":\"", &name, 1));
                    to.push('\n');
                }
            }
        }
        Recording::new(place, &runs, &steps)
    }

    fn new(place: &Path, runs: &str, steps: &str) -> Recording {
        let folder = place.join("recording");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("runs.jsonl"), runs).unwrap();
        fs::write(folder.join("steps.jsonl"), steps).unwrap();
        let mut by_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in steps.lines() {
            by_run.entry(run_id(line)).or_default().push(line.to_owned());
        }
        Recording { folder, steps: by_run }
    }

    fn step_count(&self) -> usize {
        self.steps.values().map(Vec::len).sum()
    }
}

fn run_id(line: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(line).expect("a line of the sample");
    record["run_id"].as_str().expect("a run_id").to_owned()
}

fn field(line: &str, name: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(line).expect("a line of the sample");
    record[name].as_str().map(str::to_owned)
}

// --- States --------------------------------------------------------------------------------------

/// All that a database holds, but for LSNs: with several writers, those depend on who came first.
fn content(db: &Database) -> BTreeMap<String, Vec<String>> {
    let view = db.view();
    let mut content = BTreeMap::new();
    for row in view.runs() {
        let run = view.run(row.id).unwrap();
        let mut lines = vec![format!("id {}", row.id)];
        let events = run.on::<EventLog>();
        for (stream, length) in events.streams() {
            lines.push(format!("stream {stream} {length}"));
            lines.extend(events.range(stream, ..).map(|event| {
                format!(
                    "event {} {} {:?} {:?}",
                    event.sequence(),
                    event.event_type(),
                    event.timestamp(),
                    event.payload()
                )
            }));
        }
        lines
            .extend(run.on::<KvStore>().iter().map(|(key, value)| format!("kv {key:?} {value:?}")));
        lines.extend(run.on::<StateCell>().iter().map(|(name, cell)| {
            format!("cell {name} {:?} {} {:?}", cell.value(), cell.version(), cell.timestamp())
        }));
        let indexed = view.on::<RunIndex>().get(row.id).expect("each run is in the index");
        lines.push(format!(
            "index {} {} {:?} {:?} {:?} {:?} {:?}",
            indexed.name(),
            indexed.status(),
            indexed.created(),
            indexed.begun(),
            indexed.ended(),
            indexed.changed(),
            indexed.metadata()
        ));
        content.insert(row.name.to_string(), lines);
    }
    content
}

/// What must hold after a kill: everything acknowledged is there, at most `in_flight` steps more,
/// each equal to its line, and all primitives tell of the same steps. What was found must be there
/// from now on: opening it has made it durable.
fn check_after_kill(
    db: &Database,
    recording: &Recording,
    acknowledged: &BTreeMap<String, usize>,
    in_flight: usize,
) -> BTreeMap<String, usize> {
    let view = db.view();
    let mut surplus = 0;
    let mut found = BTreeMap::new();
    for (name, lines) in &recording.steps {
        let acknowledged = acknowledged.get(name).copied().unwrap_or(0);
        let Some(id) = view.run_named(name) else {
            assert_eq!(acknowledged, 0, "run {name} is gone");
            continue;
        };
        let run = view.run(id).unwrap();
        let events: Vec<_> = run.on::<EventLog>().range("steps", ..).collect();
        assert!(
            events.len() >= acknowledged,
            "run {name}: {acknowledged} steps acknowledged, {} there",
            events.len()
        );
        surplus += events.len() - acknowledged;
        found.insert(name.clone(), events.len());
        for (event, line) in events.iter().zip(lines) {
            assert_eq!(event.payload().as_json(), Some(line.as_str()), "run {name}");
        }

        let kv = run.on::<KvStore>();
        let counter = |name: &str| -> usize {
            kv.get(name).map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
        };
        let there = &lines[..events.len()];
        assert_eq!(counter("steps"), there.len(), "run {name}");
        let calls: Vec<_> =
            there.iter().filter(|line| field(line, "kind").unwrap() == "tool_call").collect();
        assert_eq!(counter("kind/tool_call"), calls.len(), "run {name}");
        for tool in calls.iter().filter_map(|line| field(line, "name")) {
            let expected = calls.iter().filter(|line| field(line, "name").unwrap() == tool).count();
            assert_eq!(counter(&format!("tool/{tool}")), expected, "run {name}");
        }
        let cell = run.on::<StateCell>().get("run").expect("the state of the run");
        assert_eq!(cell.version(), there.len() as u64 + 1, "run {name}");
        let indexed = view.on::<RunIndex>().get(id).expect("the run in the index");
        assert_eq!(indexed.status().is_ended(), there.len() == lines.len(), "run {name}");
        let steps = indexed.metadata().get("steps").map_or("0", |steps| &**steps);
        assert_eq!(steps, there.len().to_string(), "run {name}");
    }
    assert!(surplus <= in_flight, "{surplus} steps beyond those acknowledged, {in_flight} writers");
    found
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every file below `path` with its bytes, but for the lock, which names who had it last.
fn bytes_of(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(bytes_of(&entry.path()));
        } else if entry.file_name() != "LOCK" {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn files_in(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).ends_with(ending))
        .collect();
    files.sort();
    files
}

fn open(db: &Path) -> Database {
    Options::new().checkpoint_on_close(false).open(db).unwrap()
}

/// A copy of the database, opened.
fn open_copy(db: &Path, copy: &Path) -> Database {
    copy_directory(db, copy);
    open(copy)
}

/// A database with the sample in it, in several segments.
fn imported(place: &Path) -> (PathBuf, Recording) {
    let recording = Recording::of_sample(place, 1);
    let db = place.join("db");
    let options = ["--segment-bytes", "65536", "--durability", "buffered"];
    import(&db, &recording, &[&CLOCK[..], &options].concat()).expect(0);
    (db, recording)
}

fn import(db: &Path, recording: &Recording, options: &[&str]) -> Ran {
    let arguments = ["import-runs", text(db), text(&recording.folder)];
    freehold(&[&arguments[..], options].concat())
}

// --- Chance --------------------------------------------------------------------------------------

/// SplitMix64 from a seed that can be given.
struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    fn new(default: u64) -> Chance {
        let given = std::env::var("FREEHOLD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(default);
        Chance { seed, state: seed }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Tells the seed when a test fails.
impl Drop for Chance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was FREEHOLD_SEED={}", self.seed);
        }
    }
}

// --- Moving --------------------------------------------------------------------------------------

/// The lines of an export but for the number of the database that they are from.
fn without_database(lines: &str) -> String {
    let at = lines.find("\"database\":\"").expect("a header") + "\"database\":\"".len();
    format!("{}{}", &lines[..at], &lines[at + 32..])
}

/// The tool with `input` on its standard input.
fn fed(arguments: &[&str], input: &str) -> Ran {
    let mut child = tool()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may stop reading when it has read enough.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn recorded_runs_go_through_a_pipe_into_another_database() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let copy = place.path().join("copy");
    let before = bytes_of(&db);
    let lines = freehold(&["export", text(&db)]).expect(0).out;
    assert_eq!(bytes_of(&db), before, "an export changes nothing");
    let counted = RUNS.lines().count();
    let rows = lines.lines().filter(|line| line.starts_with("{\"primitive\"")).count();
    let instances = lines.lines().filter(|line| line.starts_with("{\"instance\"")).count();
    let ran = fed(&["import", text(&copy)], &lines).expect(0);
    let mut said = ran.out.replace(',', "");
    said.truncate(said.find(" imported").expect("what was imported"));
    assert_eq!(said, format!("{counted} runs {instances} instances and {rows} rows"));

    let digest = |db: &Path| freehold(&["digest", "--json", text(db)]).expect(0).out;
    assert_eq!(digest(&copy), digest(&db));
    freehold(&["check-runs", text(&copy), text(&recording.folder)]).expect(0);
    assert_eq!(
        freehold(&["runs", "--json", text(&copy)]).expect(0).out,
        freehold(&["runs", "--json", text(&db)]).expect(0).out
    );
    let again = freehold(&["export", text(&copy)]).expect(0).out;
    assert!(without_database(&again) == without_database(&lines));
    assert_ne!(again, lines, "another database has another number");

    // The copy is a database like any other: an import into it goes on.
    let more = Recording::of_sample(&place.path().join("more"), 2);
    import(&copy, &more, &CLOCK).expect(0);
    freehold(&["verify", text(&copy)]).expect(0);
    freehold(&["check-runs", text(&copy), text(&more.folder)]).expect(0);
}

#[test]
fn an_import_that_is_killed_leaves_no_database() {
    let place = tempfile::tempdir().unwrap();
    let recording = Recording::of_sample(place.path(), 8);
    let (db, copy) = (place.path().join("db"), place.path().join("copy"));
    import(&db, &recording, &["--durability", "buffered"]).expect(0);
    let file = place.path().join("all.jsonl");
    freehold(&["export", text(&db), text(&file)]).expect(0);
    let lines = fs::read_to_string(&file).unwrap();

    // Half of it was read.
    let mut child = tool().args(["import", text(&copy)]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&lines.as_bytes()[..lines.len() / 2]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!copy.exists());

    // At any moment.
    let digest = |db: &Path| freehold(&["digest", "--json", text(db)]).expect(0).out;
    let expected = digest(&db);
    let mut chance = Chance::new(11);
    let mut longest = 400;
    for _ in 0..12 {
        let mut child = tool()
            .args(["import", text(&copy), text(&file)])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(longest)));
        child.kill().unwrap();
        child.wait().unwrap();
        if copy.exists() {
            // It was faster: then it is whole. The next one is killed sooner.
            assert_eq!(digest(&copy), expected);
            fs::remove_dir_all(&copy).unwrap();
            longest = (longest * 3 / 4).max(2);
        }
    }
    freehold(&["import", text(&copy), text(&file)]).expect(0);
    assert_eq!(digest(&copy), expected);
    assert!(!place.path().join("copy.part").exists());
}

#[test]
fn what_cannot_be_moved_is_refused_with_its_place() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    let copy = place.path().join("copy");
    let lines = freehold(&["export", text(&db)]).expect(0).out;
    freehold(&["import", text(&db)])
        .refuses(&["db: is not empty", "a new database needs a directory"]);
    let cut = &lines[..lines.trim_end().rfind('\n').unwrap() + 1];
    let line = cut.lines().count() + 1;
    fed(&["import", text(&copy)], cut).refuses(&[
        &format!("standard input: line {line}: found the end of the file"),
        "the last line `end`: it was cut",
    ]);
    let file = place.path().join("f.jsonl");
    fs::write(&file, lines.replacen("\"run\":0", "\"run\":[[]]", 1)).unwrap();
    freehold(&["import", text(&copy), text(&file)]).refuses(&[
        "f.jsonl: line ",
        "column ",
        "found an array of 1, expected",
    ]);
    freehold(&["import", text(&copy), text(&place.path().join("none"))]).refuses(&["none: open: "]);
    freehold(&["export", text(&copy)]).refuses(&["copy: no database is here"]);
    freehold(&["export", text(&db), text(&place.path().join("no/such"))])
        .refuses(&["no/such: create: "]);
    freehold(&["export", text(&db), "--primitive", "vectors"])
        .refuses(&["no primitive vectors is linked; there are kv, "]);
    freehold(&["export", text(&db), "--run", "nobody"]).refuses(&["no run nobody"]);
    assert!(!copy.exists());

    // Who holds the database keeps it.
    let _held = open(&db);
    freehold(&["export", text(&db)]).refuses(&["in use by process "]);
}

// --- Importing -----------------------------------------------------------------------------------

#[test]
fn an_import_is_whole_and_a_second_one_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let ran = freehold(&["check-runs", text(&db), text(&recording.folder)]).expect(0);
    assert!(ran.out.starts_with("63 runs, 1,336 steps, "), "{}", ran.out);

    let before = freehold(&["digest", text(&db), "--json"]).expect(0).out;
    assert_eq!(before.lines().count(), 1 + 3 * recording.steps.len(), "{before}");
    for threads in ["1", "4"] {
        let ran = import(&db, &recording, &["--threads", threads]).expect(0);
        assert!(ran.out.contains("0 runs and 0 steps of them new"), "{}", ran.out);
    }
    assert_eq!(freehold(&["digest", text(&db), "--json"]).expect(0).out, before);

    let mut sources = Vec::new();
    let listed = freehold(&["runs", text(&db), "--json"]).expect(0).out;
    assert_eq!(listed.lines().count(), recording.steps.len());
    for line in listed.lines() {
        let run: serde_json::Value = serde_json::from_str(line).unwrap();
        let source = run["record"]["source"].as_str().unwrap().to_owned();
        assert_eq!(run["steps"], run["record"]["n_steps"]);
        assert_eq!(run["tool_calls"], run["record"]["n_tool_calls"]);
        if sources.contains(&source) {
            continue;
        }
        sources.push(source);
        let name = run["name"].as_str().unwrap();
        let steps = freehold(&["steps", text(&db), name, "--json"]).expect(0).out;
        assert_eq!(steps.lines().collect::<Vec<_>>(), recording.steps[name]);
        let by_number = ["steps", text(&db), &run["id"].to_string(), "--json"];
        assert_eq!(freehold(&by_number).expect(0).out, steps);
        assert!(freehold(&["steps", text(&db), name]).expect(0).out.contains(name));
    }
    assert_eq!(sources.len(), 6);
}

#[test]
fn buffered_imports_and_imports_by_many_threads_hold_the_same() {
    let place = tempfile::tempdir().unwrap();
    let recording = Recording::of_sample(place.path(), 1);
    let mut contents = Vec::new();
    for (name, options) in [
        ("one", &["--threads", "1"][..]),
        ("many", &["--threads", "7"]),
        ("buffered", &["--durability", "buffered", "--threads", "2"]),
    ] {
        let db = place.path().join(name);
        import(&db, &recording, &[&CLOCK[..], options].concat()).expect(0);
        contents.push(content(&open(&db)));
    }
    assert!(contents[0] == contents[1], "several threads");
    assert!(contents[0] == contents[2], "buffered");
}

#[test]
fn the_log_names_every_record_and_operation() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let listed = freehold(&["log", text(&db), "--json"]).expect(0).out;
    let records: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 1 + recording.step_count(), "the runs' creation and each step");
    let mut operations = BTreeMap::new();
    for (record, lsn) in records.iter().zip(1..) {
        assert_eq!(record["lsn"], lsn);
        assert_eq!(record["time"], "2023-11-14T22:13:20.000Z");
        for entry in record["entries"].as_array().unwrap() {
            let words = ["primitive", "operation"].map(|key| entry[key].as_str().unwrap());
            *operations.entry(words.join(" ")).or_insert(0_usize) += 1;
        }
    }
    let count = |name: &str| operations.get(name).copied().unwrap_or(0);
    let (runs, steps) = (recording.steps.len(), recording.step_count());
    assert_eq!(count("event append"), steps, "{operations:?}");
    assert_eq!(count("state transition"), steps, "{operations:?}");
    assert_eq!(count("state init"), runs, "{operations:?}");
    assert_eq!(count("run create"), runs, "{operations:?}");
    assert_eq!(count("run end"), runs, "{operations:?}");
    assert!(count("kv put") >= 2 * steps, "{operations:?}");

    let name = recording.steps.keys().next().unwrap();
    let of_run = freehold(&["log", text(&db), "--run", name, "--json"]).expect(0).out;
    assert_eq!(of_run.lines().count(), 1 + recording.steps[name].len());
    assert!(freehold(&["log", text(&db)]).expect(0).out.contains("transition"));
}

#[test]
fn a_checkpoint_keeps_everything() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let before = freehold(&["digest", text(&db), "--json"]).expect(0).out;
    for _ in 0..2 {
        freehold(&["checkpoint", text(&db), "--json"]).expect(0);
        freehold(&["verify", text(&db)]).expect(0);
    }
    assert_eq!(freehold(&["digest", text(&db), "--json"]).expect(0).out, before);
    freehold(&["check-runs", text(&db), text(&recording.folder)]).expect(0);
}

#[test]
fn the_demo_runs_to_its_end() {
    let ran = freehold(&["demo", "--seed", "7"]).expect(0);
    assert!(ran.out.contains("SIGKILL when "), "{}", ran.out);
    assert!(ran.out.contains("1,336 steps"), "{}", ran.out);
    assert!(ran.out.contains("Nothing acknowledged was lost"), "{}", ran.out);
}

// --- The past ------------------------------------------------------------------------------------

fn json_lines(arguments: &[&str]) -> Vec<serde_json::Value> {
    let out = freehold(&[arguments, &["--json"]].concat()).expect(0).out;
    out.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
}

/// Primitive, rows and digest of one run, from the lines of `digest` or `at`.
fn digests_of(lines: &[serde_json::Value], run: &str) -> Vec<serde_json::Value> {
    let of_run = lines.iter().filter(|line| line["run"] == run);
    let mut lines: Vec<_> = of_run.cloned().collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("run");
    }
    lines
}

#[test]
fn a_run_is_replayed_step_by_step_from_the_log_and_from_history_files() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let (name, lines) = recording.steps.iter().max_by_key(|(_, lines)| lines.len()).unwrap();
    let before = bytes_of(&db);
    let replayed = json_lines(&["replay", text(&db), name, "--steps"]);
    let (last, steps) = replayed.split_last().unwrap();
    assert_eq!(steps.len(), 1 + lines.len(), "what made the run, and its steps");
    assert_eq!((&last["same_as_live"], &last["steps"]), (&true.into(), &steps.len().into()));
    let live = digests_of(&json_lines(&["digest", text(&db)]), name);
    assert_eq!(last["state"].as_array(), Some(&live));
    for (step, number) in steps.iter().zip(1..) {
        assert_eq!(step["step"], number);
        let operations = step["operations"].as_array().unwrap();
        let words = |operation: &serde_json::Value| {
            ["primitive", "operation"].map(|key| operation[key].as_str().unwrap()).join(" ")
        };
        let first = if number == 1 { "state init" } else { "event append" };
        assert_eq!(words(&operations[0]), first, "{step}");
    }

    // As it was after a record, which `at` tells as well: that reads a snapshot and all of the log.
    let mut chance = Chance::new(0x9a57);
    for _ in 0..3 {
        let number = 1 + chance.below(lines.len() as u64) as usize;
        let lsn = steps[number - 1]["lsn"].to_string();
        let by_step =
            json_lines(&["replay", text(&db), name, "--step", &number.to_string()]).remove(0);
        let by_lsn = json_lines(&["replay", text(&db), name, "--until", &lsn]).remove(0);
        assert_eq!(by_step, by_lsn);
        assert_eq!(by_step["steps"], number);
        assert!(by_step["same_as_live"].is_null());
        let at = json_lines(&["at", text(&db), &lsn]);
        assert_eq!(at[0]["lsn"].to_string(), lsn);
        assert_eq!(by_step["state"].as_array(), Some(&digests_of(&at, name)), "LSN {lsn}");
        assert_ne!(by_step["state"], last["state"]);
    }
    let shown = freehold(&["replay", text(&db), name, "--steps"]).expect(0).out;
    assert!(shown.contains("event append, kv put ×"), "{shown}");
    assert!(shown.ends_with("the same as the run is now\n"), "{shown}");
    let none = freehold(&["replay", text(&db), name, "--step", "0"]).expect(0).out;
    assert_eq!(none.lines().count(), 1, "{none}");
    assert!(bytes_of(&db) == before, "looking changes nothing");

    for _ in 0..2 {
        freehold(&["checkpoint", text(&db)]).expect(0);
        freehold(&["fork", text(&db), name, &format!("fork {}", chance.below(99))]).expect(0);
    }
    assert_eq!(json_lines(&["replay", text(&db), name, "--steps"]), replayed);
    let deep = freehold(&["verify", text(&db), "--deep"]).expect(0).out;
    let runs = recording.steps.len() + 2;
    let same = format!("{runs} runs replayed, each with the state that it has");
    assert!(deep.lines().any(|line| line == same), "{deep}");
}

#[test]
fn what_was_is_told_by_record_and_by_time() {
    let place = tempfile::tempdir().unwrap();
    let db = place.path().join("db");
    let seconds = std::sync::atomic::AtomicU64::new(1_700_000_000);
    let options = Options::new().checkpoint_on_close(false).clock(move || {
        let now = seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Timestamp(now * 1_000_000_000 + 123_456_789)
    });
    let open = options.open(&db).unwrap();
    for value in [b"1", b"2", b"3"] {
        open.transaction(|tx| tx.on::<KvStore>().put(value, value)).unwrap();
    }
    open.close().unwrap();
    drop(open);
    let before = bytes_of(&db);
    for lsn in 1..=3 {
        let at = json_lines(&["at", text(&db), &lsn.to_string()]);
        assert_eq!((&at[0]["lsn"], &at[1]["rows"]), (&lsn.into(), &lsn.into()));
        // The time that is shown is the record's own.
        let time = at[0]["time"].as_str().unwrap();
        assert_eq!(json_lines(&["at", text(&db), "--time", time]), at);
        let second = format!("{}Z", time.split('.').next().unwrap());
        assert_eq!(json_lines(&["at", text(&db), "--time", &second]), at);
    }
    let at = freehold(&["at", text(&db), "--time", "1999-12-31T23:59:59Z"]).expect(0).out;
    assert!(at.starts_with("LSN 0, ") && at.lines().count() == 1, "{at}");
    freehold(&["at", text(&db), "4"]).refuses(&[text(&db), "LSN 4", "3"]);
    assert!(bytes_of(&db) == before, "looking changes nothing");

    let all = freehold(&["diff", text(&db), "lsn:1", "lsn:3"]).expect(0).out;
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(all.lines().all(|line| line.starts_with("+ root kv pairs ")), "{all}");
    let back = json_lines(&["diff", text(&db), "lsn:3", "lsn:2"]);
    assert_eq!((&back[0]["change"], &back[0]["run"]), (&"removed".into(), &0.into()));
}

#[test]
fn forks_are_made_listed_and_compared() {
    let place = tempfile::tempdir().unwrap();
    let db = place.path().join("db");
    let opened = open(&db);
    let plan = opened.create_run("plan").unwrap();
    let put = |db: &Database, run, key: &str, value: &str| {
        let put =
            |tx: &mut RunTransaction<'_>| tx.on::<KvStore>().put(key.as_bytes(), value.as_bytes());
        db.run(run).transaction(put).unwrap();
    };
    put(&opened, plan, "step", "1");
    put(&opened, plan, "goal", "far");
    put(&opened, plan, "step", "2");
    opened.close().unwrap();
    drop(opened);

    let made = freehold(&["fork", text(&db), "plan", "other plan"]).expect(0).out;
    assert_eq!(made, "run 2, forked from run 1 at LSN 4\n");
    let earlier = json_lines(&["fork", text(&db), "1", "earlier", "--at", "2"]).remove(0);
    assert_eq!((&earlier["run"], &earlier["parent_lsn"]), (&3.into(), &2.into()));
    freehold(&["fork", text(&db), "plan", "earlier"]).refuses(&["earlier"]);
    freehold(&["fork", text(&db), "nobody", "new"]).refuses(&["no run nobody"]);

    let same = freehold(&["diff", text(&db), "plan", "other plan"]).expect(0).out;
    assert_eq!(same, "no difference\n");
    assert!(json_lines(&["diff", text(&db), "plan", "other plan"]).is_empty());
    let opened = open(&db);
    let other = opened.view().run_named("other plan").unwrap();
    put(&opened, other, "step", "3");
    put(&opened, other, "escape", "\u{1b}[31m");
    opened.run(other).transaction(|tx| tx.on::<KvStore>().delete(b"goal")).unwrap();
    opened.close().unwrap();
    drop(opened);
    let before = bytes_of(&db);
    let shown = freehold(&["diff", text(&db), "plan", "run:other plan"]).expect(0).out;
    let mut marks: Vec<&str> = shown.lines().map(|line| &line[..line.len().min(24)]).collect();
    marks.sort_unstable();
    let expected = ["+ other plan kv pairs", "- other plan kv pairs", "~ other plan kv pairs"];
    for (mark, expected) in marks.iter().zip(expected) {
        assert!(mark.starts_with(expected), "{shown}");
    }
    assert!(!shown.contains('\u{1b}') && shown.contains(" -> "), "{shown}");
    let changes = json_lines(&["diff", text(&db), "1", "2"]);
    let changed: Vec<_> = changes.iter().filter(|change| change["change"] == "changed").collect();
    assert_eq!((changes.len(), changed.len()), (3, 1));
    assert_ne!(changed[0]["before"], changed[0]["after"]);
    assert_eq!((&changed[0]["run"], &changed[0]["name"]), (&2.into(), &"other plan".into()));
    assert!(changes.iter().all(|change| !change["key"].is_null()), "{changes:?}");
    // What a run did before is the run replayed up to there.
    let then = json_lines(&["replay", text(&db), "1", "--until", "2"]).remove(0);
    let fork = json_lines(&["replay", text(&db), "earlier"]).remove(0);
    assert_eq!(then["state"], fork["state"]);
    assert!(bytes_of(&db) == before, "looking changes nothing");
    freehold(&["diff", text(&db), "plan", "lsn:2"]).refuses(&["a whole state and one run"]);
    freehold(&["diff", text(&db), "plan", "nobody"]).refuses(&["no run nobody"]);
    freehold(&["diff", text(&db), "lsn:1", "lsn:99"]).refuses(&[text(&db), "LSN 99"]);

    let log = freehold(&["log", text(&db)]).expect(0).out;
    assert!(log.contains("core run fork, of run 1 at LSN 4"), "{log}");
    assert!(log.contains("core run create, kv put, of run 1 at LSN 2, told LSN 2"), "{log}");
    let log = json_lines(&["log", text(&db), "--run", "earlier"]);
    let entries = log[0]["entries"].as_array().unwrap();
    assert_eq!((&entries[0]["parent"], &entries[0]["parent_lsn"]), (&1.into(), &2.into()));
    assert_eq!((&entries[1]["operation"], &entries[1]["origin_lsn"]), (&"put".into(), &2.into()));
    assert!(entries[1]["origin_time"].is_string(), "{entries:?}");
    let runs = json_lines(&["runs", text(&db)]);
    assert!(runs[0]["parent"].is_null());
    assert_eq!((&runs[1]["parent"], &runs[1]["parent_lsn"]), (&1.into(), &4.into()));
    let runs = freehold(&["runs", text(&db)]).expect(0).out;
    assert!(runs.contains("FORK OF") && runs.contains("1 at 4"), "{runs}");
}

#[test]
fn a_run_goes_through_a_file_into_another_database() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let (name, lines) = recording.steps.iter().max_by_key(|(_, lines)| lines.len()).unwrap();
    let (file, other) = (place.path().join("one.run"), place.path().join("other"));
    let before = bytes_of(&db);
    let told = freehold(&["run", "export", text(&db), name, text(&file)]).expect(0).out;
    let steps = 1 + lines.len();
    assert_eq!(told, format!("{steps} steps of {name} exported to {}\n", text(&file)));
    assert!(bytes_of(&db) == before, "an export changes nothing");
    let made =
        json_lines(&["run", "import", text(&other), text(&file), "--name", "copy"]).remove(0);
    assert_eq!(
        (&made["run"], &made["name"], &made["steps"]),
        (&1.into(), &"copy".into(), &steps.into())
    );
    let replayed = |db: &Path, run: &str| {
        let mut lines = json_lines(&["replay", text(db), run, "--steps"]);
        let last = lines.pop().unwrap();
        assert_eq!(last["same_as_live"], true);
        for line in &mut lines {
            let line = line.as_object_mut().unwrap();
            let lsn = line.remove("lsn").unwrap();
            line.entry("origin_lsn").or_insert(lsn);
        }
        (lines, last["state"].clone())
    };
    assert!(replayed(&db, name) == replayed(&other, "copy"), "steps, times and state");
    freehold(&["verify", text(&other), "--deep"]).expect(0);
    let log = freehold(&["log", text(&other)]).expect(0).out;
    assert!(log.contains("told LSN 1 to "), "{log}");

    // Where it comes from its name is taken.
    freehold(&["run", "import", text(&db), text(&file)]).refuses(&[text(&db), name]);
    freehold(&["run", "import", text(&other), text(&place.path().join("none"))])
        .refuses(&["none", "No such file"]);
    freehold(&["run", "export", text(&db), name, text(&place.path().join("no/such"))])
        .refuses(&["no", "No such file"]);
    freehold(&["run", "export", text(&db), "nobody", text(&file)]).refuses(&["no run nobody"]);
    freehold(&["run", "export", text(&place.path().join("new")), "1", text(&file)])
        .refuses(&["new: no database is here"]);
    let mut bytes = fs::read(&file).unwrap();
    let mut chance = Chance::new(0xb0d1);
    let at = chance.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << chance.below(8);
    fs::write(&file, bytes).unwrap();
    let before = bytes_of(&other);
    freehold(&["run", "import", text(&other), text(&file), "--name", "again"])
        .refuses(&["one.run"]);
    assert!(bytes_of(&other) == before, "nothing of it was taken");
}

#[test]
fn a_history_file_that_is_damaged_or_lost_is_told_of() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    freehold(&["checkpoint", text(&db)]).expect(0);
    freehold(&["fork", text(&db), "1", "fork"]).expect(0);
    freehold(&["checkpoint", text(&db)]).expect(0);
    let files = files_in(&db.join("history"), "");
    assert!(!files.is_empty(), "checkpoints moved what runs did");
    let without = place.path().join("without");
    copy_directory(&db, &without);
    freehold(&["verify", text(&db), "--deep"]).expect(0);

    let mut bytes = fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let name = files[0].file_name().unwrap().to_str().unwrap();
    let told = freehold(&["verify", text(&db)]).expect(1);
    assert!(
        told.out.contains(&format!("history file damaged: history/{name} at ")),
        "{}",
        told.out
    );
    assert_eq!(told.err, format!("freehold: {}: damaged\n", text(&db)));
    let told = freehold(&["verify", text(&db), "--deep"]).expect(1);
    assert!(told.out.contains(" cannot be replayed: "), "{}", told.out);
    freehold(&["runs", text(&db)]).expect(0);

    fs::remove_dir_all(without.join("history")).unwrap();
    // Nothing that opening needs, so only who asks for the past meets it.
    freehold(&["verify", text(&without)]).expect(0);
    let told = freehold(&["verify", text(&without), "--deep"]).expect(1);
    assert!(told.out.contains("run 1 cannot be replayed: "), "{}", told.out);
    assert!(
        told.out.contains(" of its history must be kept, and is not there, nor is any other\n"),
        "{}",
        told.out
    );
    let name = recording.steps.keys().next().unwrap();
    freehold(&["replay", text(&without), name])
        .refuses(&[text(&without), "must be kept, and is not there, nor is any other"]);
}

// --- Kills ---------------------------------------------------------------------------------------

#[test]
fn kills_of_several_writers_lose_nothing_acknowledged() {
    let (undisturbed, killed) = kill_loop(4, 0x5eed);
    assert!(content(&open(&undisturbed.1)) == content(&open(&killed.1)), "the contents differ");
}

#[test]
fn kills_of_one_writer_leave_the_very_same_state() {
    let (undisturbed, killed) = kill_loop(1, 0xfeed);
    let digest = |db: &Path| freehold(&["digest", text(db), "--json"]).expect(0).out;
    let expected = digest(&undisturbed.1);
    assert!(expected.lines().count() > 100);
    assert_eq!(digest(&killed.1), expected);
}

type Placed = (tempfile::TempDir, PathBuf);

/// What a loop of kills met, for the report.
#[derive(Default)]
struct Told {
    acknowledged: usize,
    in_flight: usize,
    from_snapshots: usize,
    torn: usize,
    checkpoints: usize,
    checkpoints_killed: usize,
}

/// Imports once without and once with kills, the same recording under the same clock.
fn kill_loop(threads: usize, default_seed: u64) -> (Placed, Placed) {
    let kills = if std::env::var_os("FREEHOLD_LONG").is_some() { 50 } else { 5 };
    let mut chance = Chance::new(default_seed);
    let place = tempfile::tempdir().unwrap();
    let recording = match std::env::var_os("FREEHOLD_RUNS").map(PathBuf::from) {
        None => Recording::of_sample(place.path(), (kills / 2).max(2)),
        Some(given) => {
            let [runs, steps] = ["runs.jsonl", "steps.jsonl"]
                .map(|name| fs::read_to_string(given.join(name)).expect("a recording"));
            Recording::new(place.path(), &runs, &steps)
        }
    };
    let mut told = Told::default();
    let threads_text = threads.to_string();
    let options = [&CLOCK[..], &SMALL, &["--threads", &threads_text]].concat();

    let db = place.path().join("db");
    let copy = place.path().join("copy");
    let mut acknowledged = BTreeMap::new();
    let mut done = 0;
    while done < kills {
        let seen: usize = acknowledged.values().sum();
        let share = (recording.step_count() - seen) / (kills - done + 1);
        // Now and then at once, so that the kill can hit the opening.
        let at_once = chance.below(5) == 0;
        let goal = if at_once { 0 } else { chance.below(share as u64) as usize };
        let wait = Duration::from_micros(chance.below(if at_once { 40_000 } else { 3_000 }));
        let killed = import_until(&db, &recording, &options, goal, wait, &mut acknowledged);
        assert!(killed, "the import ended before kill {done}: the recording is too short");
        done += 1;

        // A kill at once can come before there is a database.
        if db.join("wal").exists() && !files_in(&db.join("wal"), ".wal").is_empty() {
            if chance.below(3) == 0 {
                told.checkpoints += 1;
                let wait = Duration::from_micros(chance.below(300_000));
                told.checkpoints_killed += usize::from(checkpoint_until(&db, wait));
            }
            let report = freehold(&["verify", text(&db), "--json"]).expect(0).out;
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            told.from_snapshots += usize::from(!report["snapshot_lsn"].is_null());
            told.torn += usize::from(!report["cut"].is_null());
            // The next import must recover what the kill left, so only a copy is opened here.
            let found =
                check_after_kill(&open_copy(&db, &copy), &recording, &acknowledged, threads);
            told.acknowledged += acknowledged.values().sum::<usize>() - seen;
            told.in_flight += found.values().sum::<usize>() - acknowledged.values().sum::<usize>();
            acknowledged = found;
            fs::remove_dir_all(&copy).unwrap();
        }
    }
    import(&db, &recording, &options).expect(0);
    freehold(&["verify", text(&db)]).expect(0);
    freehold(&["check-runs", text(&db), text(&recording.folder)]).expect(0);

    println!(
        "{kills} kills of {threads} writers over {} steps, seed {}: {} acknowledged before a kill \
         and there after it, {} more that were in flight; {} checkpoints between them, {} of which \
         were killed too; {} openings from a snapshot, {} torn tails",
        recording.step_count(),
        chance.seed,
        told.acknowledged,
        told.in_flight,
        told.checkpoints,
        told.checkpoints_killed,
        told.from_snapshots,
        told.torn
    );

    let other_place = tempfile::tempdir().unwrap();
    let other = other_place.path().join("db");
    import(&other, &recording, &[&CLOCK[..], &["--durability", "buffered"]].concat()).expect(0);
    ((other_place, other), (place, db))
}

/// Imports until `goal` steps were acknowledged, waits, kills. `false`: it had ended by itself.
fn import_until(
    db: &Path,
    recording: &Recording,
    options: &[&str],
    goal: usize,
    wait: Duration,
    acknowledged: &mut BTreeMap<String, usize>,
) -> bool {
    let mut child = tool()
        .args(["import-runs", text(db), text(&recording.folder), "--acknowledge"])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut note = |line: String| {
        let (run, seq) = line.rsplit_once('\t').expect("a run, a tab, a number");
        let seq: usize = seq.parse().expect("a number");
        let steps = acknowledged.entry(run.to_owned()).or_insert(0);
        assert_eq!(seq, *steps, "run {run}: a step twice, or one left out");
        *steps += 1;
    };
    for _ in 0..goal {
        let Some(line) = lines.next() else { break };
        note(line.unwrap());
    }
    std::thread::sleep(wait);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    lines.for_each(|line| note(line.unwrap()));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "the import failed");
    status.code().is_none()
}

/// Makes a checkpoint and kills it after `wait`. `false`: it had ended by itself.
fn checkpoint_until(db: &Path, wait: Duration) -> bool {
    let mut child = tool()
        .args(["checkpoint", text(db)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    std::thread::sleep(wait);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the checkpoint failed");
    output.status.code().is_none()
}

// --- Bad input -----------------------------------------------------------------------------------

#[test]
fn a_malformed_line_is_named_and_nothing_is_imported() {
    let place = tempfile::tempdir().unwrap();
    let (runs, steps) = (RUNS.lines().count(), STEPS.lines().count());
    let cut = &STEPS[..STEPS.len() - 20];
    for (bad_runs, bad_steps, parts) in [
        (
            format!("{RUNS}{{\"run_id\":"),
            STEPS.into(),
            ["recording/runs.jsonl", &format!("line {}: column 10: EOF", runs + 1)],
        ),
        (RUNS.into(), cut.to_owned(), ["recording/steps.jsonl", &format!("line {steps}: column")]),
        (
            RUNS.into(),
            format!("{STEPS}\n"),
            ["recording/steps.jsonl", &format!("line {}: the line is blank", steps + 1)],
        ),
        (
            RUNS.replacen("\"n_steps\":", "\"n_steps\":1", 1),
            STEPS.into(),
            ["recording/runs.jsonl", "line 1: n_steps is "],
        ),
        (
            RUNS.into(),
            STEPS.replacen("\"seq\":3", "\"seq\":4", 1),
            ["recording/steps.jsonl", "line 4: seq is 4, expected 3"],
        ),
    ] {
        let recording = place.path().join("recording");
        fs::create_dir_all(&recording).unwrap();
        fs::write(recording.join("runs.jsonl"), bad_runs).unwrap();
        fs::write(recording.join("steps.jsonl"), bad_steps).unwrap();
        let db = place.path().join("db");
        freehold(&["import-runs", text(&db), text(&recording)]).refuses(&parts);
        assert!(!db.exists(), "nothing was imported, so nothing was made");
    }
    freehold(&["import-runs", "db", text(&place.path().join("nowhere"))])
        .refuses(&["nowhere/runs.jsonl", "No such file"]);
}

#[test]
fn another_recording_of_the_same_run_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let (name, lines) = recording.steps.first_key_value().unwrap();
    let path = recording.folder.join("steps.jsonl");
    let steps = fs::read_to_string(&path).unwrap();
    let other = lines[1].replacen("\"role\":\"", "\"role\":\"un", 1);
    fs::write(&path, steps.replacen(&lines[1], &other, 1)).unwrap();
    import(&db, &recording, &[]).refuses(&[name, "step 1 in the database is not the one on"]);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["runs"],
        &["runs", "db", "--xml"],
        &["import-runs", "db", "folder", "--durability", "perhaps"],
        &["import-runs", "db", "folder", "--threads", "0"],
    ] {
        freehold(arguments).expect(2);
    }
    assert!(freehold(&["--help"]).expect(0).out.contains("import-runs"));
    assert!(freehold(&["--version"]).expect(0).out.starts_with("freehold "));
}

#[test]
fn a_path_that_is_no_database_is_refused_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let recording = Recording::of_sample(place.path(), 1);
    let file = place.path().join("file");
    fs::write(&file, "text").unwrap();
    let foreign = place.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear reader").unwrap();
    let before = bytes_of(place.path());
    for path in [&file, &foreign] {
        for command in ["runs", "verify", "checkpoint", "log", "digest"] {
            freehold(&[command, text(path)]).refuses(&[text(path)]);
        }
        import(path, &recording, &[]).refuses(&[text(path)]);
    }
    assert!(bytes_of(place.path()) == before, "a refusal changed a file");

    let nowhere = place.path().join("nowhere");
    for command in ["runs", "verify", "checkpoint", "log", "digest"] {
        freehold(&[command, text(&nowhere)]).refuses(&[text(&nowhere), "no database is here"]);
        assert!(!nowhere.exists(), "{command} made something");
    }
}

#[cfg(unix)]
#[test]
fn an_unwritable_directory_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let recording = Recording::of_sample(place.path(), 1);
    let locked = place.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("probe"), "").is_ok() {
        // Permissions bind everyone but root.
        return;
    }
    import(&locked, &recording, &[]).refuses(&[text(&locked), "Permission denied"]);
    import(&locked.join("db"), &recording, &[]).refuses(&[text(&locked), "Permission denied"]);
}

#[test]
fn a_database_in_use_is_refused_with_its_holder() {
    let place = tempfile::tempdir().unwrap();
    // So long that it fills the pipe with acknowledgements, which nobody reads: it waits.
    let recording = Recording::of_sample(place.path(), 5);
    let db = place.path().join("db");
    let mut holder = tool()
        .args(["import-runs", text(&db), text(&recording.folder), "--acknowledge"])
        .args(["--durability", "buffered"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    holder.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();

    let in_use = format!("in use by process {}", holder.id());
    for command in ["runs", "verify", "checkpoint", "digest"] {
        freehold(&[command, text(&db)]).refuses(&[text(&db), &in_use]);
    }
    for command in [
        &["replay", text(&db), "1"][..],
        &["at", text(&db), "1"],
        &["diff", text(&db), "1", "2"],
        &["fork", text(&db), "1", "fork"],
        &["run", "export", text(&db), "1", "file"],
    ] {
        freehold(command).refuses(&[text(&db), &in_use]);
    }
    import(&db, &recording, &[]).refuses(&[text(&db), &in_use]);
    // The log is read as it stands.
    assert!(freehold(&["log", text(&db)]).expect(0).out.contains("event append"));

    holder.kill().unwrap();
    holder.wait().unwrap();
    freehold(&["runs", text(&db)]).expect(0);
}

#[test]
fn an_unknown_run_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    for run in ["nobody", "64"] {
        freehold(&["steps", text(&db), run]).refuses(&[text(&db), &format!("no run {run}")]);
        freehold(&["log", text(&db), "--run", run]).refuses(&[&format!("no run {run}")]);
    }
}

#[test]
fn the_root_is_asked_for_by_its_name_or_its_number() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    for root in ["root", "0"] {
        freehold(&["steps", text(&db), root]).expect(0);
        let listed = freehold(&["log", text(&db), "--run", root, "--json"]).expect(0).out;
        // The index of runs lives there: each run is created, begins and ends.
        assert!(listed.lines().count() > recording.steps.len(), "{listed}");
        assert!(listed.lines().all(|line| line.contains("\"run_id\":0")), "{listed}");
    }
}

#[test]
fn a_log_that_begins_later_than_asked_says_where() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    let ran = freehold(&["log", text(&db)]).expect(0);
    assert_eq!(ran.err, "");
    // As many checkpoints as snapshots are kept, with a record between them, prune the log.
    for round in 0..2_u8 {
        let database = Database::open(&db).unwrap();
        database.transaction(|tx| tx.on::<KvStore>().put(b"round", &[round])).unwrap();
        database.checkpoint().unwrap();
        database.close().unwrap();
    }
    let ran = freehold(&["log", text(&db)]).expect(0);
    let first = ran.out.split_whitespace().next().expect("a record");
    assert!(ran.err.contains(&format!("the log begins at LSN {first}")), "{}", ran.err);
    assert_eq!(freehold(&["log", text(&db), "--from", first]).expect(0).err, "");
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    for command in [&["log"][..], &["log", "--json"], &["runs"], &["digest"]] {
        let mut child = tool()
            .arg(command[0])
            .arg(&db)
            .args(&command[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One byte at most, then the reader is gone.
        let mut one = [0];
        let _ = child.stdout.take().unwrap().read(&mut one);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
        assert_eq!(output.status.code(), Some(0), "{command:?}");
    }
}

// --- Damage --------------------------------------------------------------------------------------

#[test]
fn a_damaged_or_missing_segment_is_refused_and_nothing_is_changed() {
    let place = tempfile::tempdir().unwrap();
    let (db, recording) = imported(place.path());
    let sound = place.path().join("sound");
    copy_directory(&db, &sound);
    let mut chance = Chance::new(0xdead);
    let count = files_in(&db.join("wal"), ".wal").len();
    assert!(count > 4, "{count} segments");
    for round in 0..12 {
        fs::remove_dir_all(&db).unwrap();
        copy_directory(&sound, &db);
        // Never the last one: an unfinished end is no damage there.
        let segments = files_in(&db.join("wal"), ".wal");
        let segment = &segments[chance.below(count as u64 - 1) as usize];
        let mut bytes = fs::read(segment).unwrap();
        let at = chance.below(bytes.len() as u64) as usize;
        let what = match round % 3 {
            0 => {
                bytes[at] ^= 1 << chance.below(8);
                fs::write(segment, &bytes).unwrap();
                format!("bit flipped in byte {at} of {}", segment.display())
            }
            1 => {
                fs::write(segment, &bytes[..at]).unwrap();
                format!("{} cut to {at} bytes", segment.display())
            }
            _ => {
                fs::remove_file(segment).unwrap();
                format!("{} removed", segment.display())
            }
        };
        let before = bytes_of(&db);
        let ran = freehold(&["verify", text(&db)]);
        assert_eq!(ran.code, Some(1), "{what}: {}{}", ran.out, ran.err);
        let name = segment.file_name().unwrap().to_str().unwrap();
        let neighbour = segments.iter().skip_while(|path| *path != segment).nth(1).unwrap();
        let neighbour = neighbour.file_name().unwrap().to_str().unwrap();
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(name) || said.contains(neighbour), "{what}: {said}");
        for command in ["runs", "checkpoint"] {
            let ran = freehold(&[command, text(&db)]);
            assert_eq!(ran.code, Some(1), "{what}: {command}: {}{}", ran.out, ran.err);
            assert!(!ran.err.contains("panicked"), "{what}: {}", ran.err);
            assert!(ran.err.contains(text(&db)), "{what}: which database? {}", ran.err);
        }
        import(&db, &recording, &[]).expect(1);
        assert!(bytes_of(&db) == before, "{what}: a refusal changed a file");
    }
}

#[test]
fn bytes_behind_the_end_of_the_log_are_cut_kept_and_told_of() {
    let place = tempfile::tempdir().unwrap();
    let recording = Recording::of_sample(place.path(), 1);
    let db = place.path().join("db");
    let mut acknowledged = BTreeMap::new();
    let wait = Duration::ZERO;
    assert!(import_until(&db, &recording, &CLOCK, 100, wait, &mut acknowledged));
    let expected = content(&open_copy(&db, &place.path().join("copy")));

    let segment = files_in(&db.join("wal"), ".wal").pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end + 200..end + 240].fill(0x55);
    fs::write(&segment, bytes).unwrap();

    let before = bytes_of(&db);
    assert!(freehold(&["verify", text(&db)]).expect(0).out.contains("torn tail: segment 1 at "));
    assert!(freehold(&["log", text(&db)]).expect(0).out.contains("no whole record follows"));
    freehold(&["runs", text(&db)]).expect(0);
    assert!(bytes_of(&db) == before, "only an opening cuts");
    freehold(&["checkpoint", text(&db)]).expect(0);
    let kept = files_in(&db.join("quarantine"), ".cut");
    assert_eq!(kept.len(), 1);
    assert!(fs::read(&kept[0]).unwrap().ends_with(&[0x55; 40]), "the cut bytes are kept");
    assert!(!freehold(&["verify", text(&db)]).expect(0).out.contains("torn tail"));
    assert!(content(&open(&db)) == expected, "something else was cut");
}

#[test]
fn a_damaged_snapshot_is_told_of_and_costs_nothing_while_the_log_is_there() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    let expected = freehold(&["digest", text(&db), "--json"]).expect(0).out;
    freehold(&["checkpoint", text(&db)]).expect(0);
    let sound = place.path().join("sound");
    copy_directory(&db, &sound);
    let mut chance = Chance::new(0xbad);
    for _ in 0..6 {
        fs::remove_dir_all(&db).unwrap();
        copy_directory(&sound, &db);
        let (damaged, what) = damage_newest_snapshot(&db, &mut chance);
        let ran = freehold(&["verify", text(&db)]).expect(1);
        assert!(ran.out.contains(&damaged), "{what}: {}{}", ran.out, ran.err);
        let found = freehold(&["digest", text(&db), "--json"]).expect(0).out;
        assert!(found == expected, "{what}: another state");
    }
}

/// Two snapshots, and a log with segments between them.
fn with_two_snapshots(place: &Path) -> PathBuf {
    let (db, _) = imported(place);
    freehold(&["checkpoint", text(&db)]).expect(0);
    let more = Recording::of_sample(place, 2);
    import(&db, &more, &["--segment-bytes", "65536"]).expect(0);
    freehold(&["checkpoint", text(&db)]).expect(0);
    db
}

#[test]
fn a_database_whose_snapshots_are_all_damaged_is_refused_once_its_log_is_pruned() {
    let place = tempfile::tempdir().unwrap();
    let db = with_two_snapshots(place.path());
    assert!(!db.join("wal/000001.wal").exists(), "the log is pruned");
    let expected = freehold(&["digest", text(&db), "--json"]).expect(0).out;
    let sound = place.path().join("sound");
    copy_directory(&db, &sound);
    let mut chance = Chance::new(0xbad2);
    for round in 0..6 {
        fs::remove_dir_all(&db).unwrap();
        copy_directory(&sound, &db);
        let (newest, what) = damage_newest_snapshot(&db, &mut chance);
        if round % 2 == 0 {
            // The older one and the log behind it have everything.
            let found = freehold(&["digest", text(&db), "--json"]).expect(0).out;
            assert!(found == expected, "{what}: another state");
            continue;
        }
        let hidden = db.join("snapshots").join(&newest);
        let aside = place.path().join("aside");
        fs::rename(&hidden, &aside).unwrap();
        let (older, also) = damage_newest_snapshot(&db, &mut chance);
        fs::rename(&aside, &hidden).unwrap();
        let before = bytes_of(&db);
        for command in ["verify", "runs", "checkpoint"] {
            let ran = freehold(&[command, text(&db)]).expect(1);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(said.contains(&newest) || said.contains(&older), "{what}, {also}: {said}");
        }
        assert!(bytes_of(&db) == before, "{what}, {also}: a refusal changed a file");
    }
}

/// Flips a bit of the newest snapshot or cuts it; returns its name, and what was done.
fn damage_newest_snapshot(db: &Path, chance: &mut Chance) -> (String, String) {
    let snapshots = files_in(&db.join("snapshots"), ".snapshot");
    let path = snapshots.last().expect("a snapshot");
    let mut bytes = fs::read(path).unwrap();
    let at = chance.below(bytes.len() as u64) as usize;
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let what = if chance.below(2) == 0 {
        bytes[at] ^= 1 << chance.below(8);
        format!("{name}: bit flipped in byte {at} of {}", bytes.len())
    } else {
        bytes.truncate(at);
        format!("{name}: cut to {at} bytes")
    };
    fs::write(path, bytes).unwrap();
    (name, what)
}

#[test]
fn a_damaged_database_is_explained_repaired_elsewhere_and_restored_from_a_backup() {
    let place = tempfile::tempdir().unwrap();
    let (db, _) = imported(place.path());
    freehold(&["checkpoint", text(&db)]).expect(0);
    let more = Recording::of_sample(place.path(), 2);
    import(&db, &more, &["--segment-bytes", "65536"]).expect(0);
    let whole = freehold(&["digest", text(&db), "--json"]).expect(0).out;

    let deep = freehold(&["verify", text(&db), "--deep"]).expect(0).out;
    assert!(deep.contains("replaying the log gives the state of the snapshot at LSN"), "{deep}");
    let copy = place.path().join("copy");
    let backup = freehold(&["backup", text(&db), text(&copy)]).expect(0).out;
    assert!(backup.starts_with(&format!("{} is a verified copy\n", text(&copy))), "{backup}");
    assert_eq!(freehold(&["digest", text(&copy), "--json"]).expect(0).out, whole);
    let again = freehold(&["backup", text(&db), text(&copy)]).expect(1);
    assert!(again.err.contains("is not empty"), "{}", again.err);

    // A byte in the middle of the last sealed segment.
    let mut segments: Vec<_> =
        fs::read_dir(db.join("wal")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    segments.sort();
    let damaged = &segments[segments.len() - 2];
    let mut bytes = fs::read(damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged, bytes).unwrap();
    let before = bytes_of(&db);

    let explained = freehold(&["verify", text(&db)]).expect(1);
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(explained.err.contains(name), "{}", explained.err);
    assert!(explained.out.contains("the last good state is at LSN "), "{}", explained.out);
    assert!(explained.out.contains(" records can be read behind it, LSN "), "{}", explained.out);
    assert!(explained.out.contains("; of event, kv, run, state; runs 0 "), "{}", explained.out);
    freehold(&["runs", text(&db)]).expect(1);

    let new = place.path().join("new");
    let repaired = freehold(&["repair", text(&db), "--into", text(&new)]).expect(0).out;
    let last = format!("{} has the state at LSN ", text(&new));
    let lsn = repaired.lines().last().unwrap().strip_prefix(&last).unwrap().to_owned();
    assert!(
        freehold(&["verify", text(&new)])
            .expect(0)
            .out
            .contains(&format!("state is at LSN {lsn};"))
    );
    let earlier = place.path().join("earlier");
    freehold(&["repair", text(&db), "--into", text(&earlier), "--before", &lsn]).expect(0);
    let beyond = place.path().join("beyond");
    freehold(&["repair", text(&db), "--into", text(&beyond), "--before", "999999"]).expect(1);
    assert!(!beyond.exists());
    assert!(bytes_of(&db) == before, "the damaged database is as it was");

    // Restoring is to copy the copy back.
    fs::remove_dir_all(&db).unwrap();
    copy_directory(&copy, &db);
    assert_eq!(freehold(&["digest", text(&db), "--json"]).expect(0).out, whole);
}

#[test]
fn damage_that_opening_does_not_meet_is_told_by_verify_and_backup_alike() {
    let place = tempfile::tempdir().unwrap();
    let db = with_two_snapshots(place.path());
    let whole = freehold(&["digest", text(&db), "--json"]).expect(0).out;
    let damaged = files_in(&db.join("wal"), ".wal").remove(0);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let name = damaged.file_name().unwrap().to_str().unwrap();

    let told = freehold(&["verify", text(&db)]).expect(1);
    assert!(told.out.contains("  segment not needed and damaged: wal/"), "{}", told.out);
    assert!(
        told.out.contains(name) && told.out.contains("\nopening is not refused"),
        "{}",
        told.out
    );
    assert_eq!(told.err, format!("freehold: {}: damaged\n", text(&db)));
    assert_eq!(freehold(&["digest", text(&db), "--json"]).expect(0).out, whole);
    let deep = freehold(&["verify", text(&db), "--deep"]).expect(1);
    let what = "\nthe log that leads to the newest snapshot is damaged: wal/";
    assert!(deep.out.contains(what), "{}", deep.out);
    assert!(deep.out.contains(" replayed, each with the state that it has\n"), "{}", deep.out);
    assert_eq!(deep.err, told.err);
    let lines = freehold(&["verify", text(&db), "--deep", "--json"]).expect(1).out;
    assert_eq!(lines.lines().count(), 3, "{lines}");

    let copy = place.path().join("copy");
    let copied = freehold(&["backup", text(&db), text(&copy)]).expect(1);
    let first = format!("{} is a copy, also of the damage\n", text(&copy));
    assert!(copied.out.starts_with(&first) && copied.out.contains(name), "{}", copied.out);
    assert_eq!(copied.err, format!("freehold: {}: damaged\n", text(&db)));
    assert_eq!(freehold(&["digest", text(&copy), "--json"]).expect(0).out, whole);

    let new = place.path().join("new");
    let repaired = freehold(&["repair", text(&db), "--into", text(&new)]).expect(0).out;
    assert!(repaired.starts_with("no damage is in the way of opening\n"), "{repaired}");
    assert!(
        repaired.contains(" have the state there, and no history: replaying it is refused\n"),
        "{repaired}"
    );
}
