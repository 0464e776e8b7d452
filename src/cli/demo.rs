//! `demo`: a real import in a process of its own, killed without warning, recovered and checked.
//!
//! - The child is this very executable. It is killed by SIGKILL, at a moment that the seed gives;
//!   nothing in it can notice.
//! - What was acknowledged is what the child printed, and it prints a step after its commit
//!   returned. Every such step must be there afterwards, and beyond them at most one for each
//!   writing thread.
//! - Everything is compared with the bundled recording, byte for byte.
//! - The directory is removed at the end, unless it is to be kept or something was wrong.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::cli::args::{DemoArguments, ImportSettings};
use crate::cli::check::{compare, expect_whole};
use crate::cli::failure::Failure;
use crate::cli::import;
use crate::cli::input::{RUNS_FILE, Recording, STEPS_FILE};
use crate::cli::layout;
use crate::cli::listing::runs_table;
use crate::cli::opening;
use crate::cli::sample;
use crate::cli::story;
use crate::cli::text::{count, one_line, write_indented};
use crate::clock::Stopwatch;
use crate::database::View;
use crate::primitives::RunIndex;

/// Small segments, so that the sample fills several.
const SEGMENT_BYTES: u64 = 64 << 10;
/// A checkpoint every so often, so that opening loads a snapshot and replays the rest.
const CHECKPOINT_BYTES: u64 = 160 << 10;
/// The import must not end before it is killed; on a machine where it does, the kill comes sooner
/// the next time.
const ATTEMPTS_MAX: u64 = 5;
/// How much of a run's name the table shows.
const NAME_CHARACTERS_MAX: usize = 44;
/// How many steps the story has at most.
const STORY_STEPS_MAX: u64 = 24;

/// Steps acknowledged, by run.
type Acknowledged = BTreeMap<String, u64>;

/// `freehold demo`.
pub(crate) fn run(arguments: &DemoArguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let recording = sample::recording().map_err(Failure::Sample)?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().unwrap_or_default() % 1_000_000,
    };
    let place = std::env::temp_dir().join(format!("freehold-demo-{}", std::process::id()));
    let told = tell(&place, seed, &recording, arguments, out);
    match &told {
        Ok(()) if !arguments.keep => remove(&place)?,
        Ok(()) => writeln!(out, "\nThe database is in {}", place.join("db").display())?,
        // Whoever stopped reading wants nothing more.
        Err(Failure::Output(_)) => remove(&place)?,
        Err(_) => {
            out.flush()?;
            writeln!(out, "\nSeed {seed}; what is left is in {}", place.display())?;
        }
    }
    told
}

fn tell(
    place: &Path,
    seed: u64,
    recording: &Recording,
    arguments: &DemoArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let settings = ImportSettings {
        threads: arguments.threads,
        clock: None,
        acknowledge: true,
        segment_bytes: Some(SEGMENT_BYTES),
        checkpoint_bytes: Some(CHECKPOINT_BYTES),
    };
    let db = place.join("db");
    let took = Stopwatch::start();

    writeln!(out, "freehold demo: recorded agent runs survive a kill (seed {seed})\n")?;
    writeln!(
        out,
        "1. Import {} with {} in a process of its own: {}, one transaction\n   \
         a step, each synced before the next, across four primitives.",
        count(recording.runs().len() as u64, "run", "runs"),
        count(recording.step_count(), "step", "steps"),
        count(u64::from(settings.threads), "thread", "threads"),
    )?;
    out.flush()?;
    let acknowledged = import_and_kill(place, &db, seed, recording, &settings)?;
    let acknowledged_count: u64 = acknowledged.values().sum();
    writeln!(
        out,
        "   SIGKILL when {} had been acknowledged.\n",
        count(acknowledged_count, "step", "steps")
    )?;

    writeln!(out, "2. Look without touching, then open.")?;
    let verified = crate::database::verify(&db)?;
    writeln!(out, "   verify: sound up to LSN {}", verified.last_lsn)?;
    let opened = opening::options(&settings).open(&db)?;
    write_indented(out, "   ", &opened.recovery_report().to_string())?;
    writeln!(out)?;

    writeln!(out, "3. Check what was acknowledged.")?;
    let view = opened.view();
    let cut_into = check_acknowledged(&view, recording, &acknowledged, &settings, out)?;
    drop(view);
    writeln!(out)?;

    writeln!(out, "4. Go on where it stopped, and check every run against its record.")?;
    let quiet = ImportSettings { acknowledge: false, ..settings };
    let bar = ProgressBar::hidden();
    let imported = import::import(&opened, recording, &quiet, &bar, &mut io::sink())?;
    let view = opened.view();
    let compared = compare(&view, recording)?;
    for run in recording.runs() {
        expect_whole(&view, run)?;
    }
    writeln!(out, "   {} imported.", count(imported.steps_added, "more step", "more steps"))?;
    writeln!(
        out,
        "   {}, {}, {}, {} of text: equal, byte for byte.\n",
        count(compared.runs, "run", "runs"),
        count(compared.steps, "step", "steps"),
        count(compared.tool_calls, "tool call", "tool calls"),
        count(compared.text_bytes, "byte", "bytes"),
    )?;

    writeln!(out, "5. The runs.\n")?;
    runs_table(&view, NAME_CHARACTERS_MAX).write(out, "   ")?;
    match cut_into.steps {
        0 => writeln!(out, "\n6. The first of them.\n")?,
        _ => writeln!(out, "\n6. One that the kill cut into.\n")?,
    }
    if let Some(run) = view.run_named(&cut_into.name).and_then(|id| view.run(id)) {
        story::write_cut(out, &run, cut_into.steps, STORY_STEPS_MAX)?;
    }
    opened.close()?;
    writeln!(
        out,
        "\nNothing acknowledged was lost, nothing was there by halves. ({:.1} s)",
        took.elapsed().as_secs_f64()
    )?;
    Ok(())
}

/// Lets a child import, and kills it. Returns what it acknowledged.
fn import_and_kill(
    place: &Path,
    db: &Path,
    seed: u64,
    recording: &Recording,
    settings: &ImportSettings,
) -> Result<Acknowledged, Failure> {
    let mut numbers = Numbers(seed);
    for attempt in 1..=ATTEMPTS_MAX {
        prepare(place)?;
        let steps = recording.step_count();
        let kill_after = numbers.between(steps * 3 / 10, steps * 6 / 10) / attempt;
        let wait = Duration::from_micros(numbers.between(0, 2000));
        let mut child = Running::start(place, db, settings)?;
        let mut acknowledged = Acknowledged::new();
        let mut lines = child.acknowledgements()?.lines();
        let mut seen = 0;
        while seen < kill_after
            && let Some(line) = lines.next()
        {
            seen += note(&mut acknowledged, &line?);
        }
        std::thread::sleep(wait);
        let killed = child.kill()?;
        // What it wrote before it died still stands in the pipe.
        for line in lines {
            note(&mut acknowledged, &line?);
        }
        match killed {
            Died::Killed => return Ok(acknowledged),
            Died::Failed => {
                return Err(Failure::Child { what: "failed before that, see above".into() });
            }
            Died::Finished => {}
        }
    }
    Err(Failure::Child { what: "was always done before the kill".into() })
}

/// Counts an acknowledged step, if the line is whole. Steps of a run come in order.
fn note(acknowledged: &mut Acknowledged, line: &str) -> u64 {
    let Some((run, seq)) = line.rsplit_once('\t') else { return 0 };
    let Ok(seq) = seq.parse::<u64>() else { return 0 };
    let steps = acknowledged.entry(run.to_owned()).or_insert(0);
    *steps = (*steps).max(seq.saturating_add(1));
    1
}

/// The run for the story.
struct CutInto {
    name: String,
    /// How many of its steps were there after the kill.
    steps: u64,
}

fn check_acknowledged(
    view: &View,
    recording: &Recording,
    acknowledged: &Acknowledged,
    settings: &ImportSettings,
    out: &mut dyn Write,
) -> Result<CutInto, Failure> {
    let mut surplus = 0;
    let mut told: Option<((u64, u64), CutInto)> = None;
    for run in recording.runs() {
        let name = &run.record.run_id;
        let acknowledged = acknowledged.get(name).copied().unwrap_or(0);
        let stored = view.run_named(name).and_then(|id| view.run(id));
        let found = stored.map_or(0, |run| layout::stored_step_count(&run));
        if found < acknowledged {
            return Err(Failure::Lost { run: name.as_str().into(), found, acknowledged });
        }
        surplus += found - acknowledged;
        // The best story is told in words, and is not long.
        let calls_per_hundred = run.tool_call_count() * 100 / run.step_count().max(1);
        let rank = (calls_per_hundred / 15, run.step_count());
        if found > 0
            && found < run.step_count()
            && told.as_ref().is_none_or(|(best, _)| rank < *best)
        {
            told = Some((rank, CutInto { name: name.clone(), steps: found }));
        }
    }
    let in_flight = u64::from(settings.threads);
    if surplus > in_flight {
        return Err(Failure::Surplus { found: surplus, in_flight });
    }
    let compared = compare(view, recording)?;
    let total: u64 = acknowledged.values().sum();
    writeln!(
        out,
        "   All {total} are there, and {surplus} that were in flight (at most {in_flight} can be).",
    )?;
    writeln!(
        out,
        "   {} of text: equal, byte for byte; events, counters, states and index agree.",
        count(compared.text_bytes, "byte", "bytes")
    )?;
    let index = view.on::<RunIndex>();
    let orphaned: Vec<String> =
        index.orphaned(view.lsn()).map(|(_, run)| one_line(run.name(), 60)).collect();
    writeln!(
        out,
        "   {} under way when it was killed:",
        if orphaned.len() == 1 {
            "1 run was".into()
        } else {
            format!("{} runs were", orphaned.len())
        }
    )?;
    for name in orphaned {
        writeln!(out, "     {name}")?;
    }
    let first = || recording.runs().first().map_or("", |run| &run.record.run_id).to_owned();
    Ok(told.map_or_else(|| CutInto { name: first(), steps: 0 }, |(_, cut_into)| cut_into))
}

/// The child process; killed when it is dropped, so that it never outlives a failed demo.
struct Running(Child);

/// How the child ended.
enum Died {
    /// By the kill.
    Killed,
    /// It had imported everything before.
    Finished,
    /// It had given up before, and has said why.
    Failed,
}

impl Running {
    fn start(place: &Path, db: &Path, settings: &ImportSettings) -> Result<Running, Failure> {
        let fault = |source| Failure::File { op: "start", path: "import".into(), source };
        let mut command = Command::new(std::env::current_exe().map_err(fault)?);
        command.arg("import-runs").arg(db).arg(recording_folder(place)).arg("--acknowledge");
        command.args(["--threads", &settings.threads.to_string()]);
        for (option, bytes) in [
            ("--segment-bytes", settings.segment_bytes),
            ("--checkpoint-bytes", settings.checkpoint_bytes),
        ] {
            if let Some(bytes) = bytes {
                command.args([option, &bytes.to_string()]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Running(command.spawn().map_err(fault)?))
    }

    fn acknowledgements(&mut self) -> Result<impl BufRead + use<>, Failure> {
        let nothing = || Failure::Child { what: "has no output".into() };
        self.0.stdout.take().map(BufReader::new).ok_or_else(nothing)
    }

    fn kill(&mut self) -> Result<Died, Failure> {
        let fault = |source| Failure::File { op: "kill", path: "import".into(), source };
        self.0.kill().map_err(fault)?;
        let status = self.0.wait().map_err(fault)?;
        Ok(match status.code() {
            None => Died::Killed,
            Some(0) => Died::Finished,
            Some(_) => Died::Failed,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is dead already if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn recording_folder(place: &Path) -> PathBuf {
    place.join("recording")
}

/// Makes `place` hold the recording and nothing else.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo's own folder is no part of a database, so it is not behind the Disk trait"
)]
fn prepare(place: &Path) -> Result<(), Failure> {
    remove(place)?;
    let folder = recording_folder(place);
    let fault = |op, path: &Path, source| Failure::File { op, path: path.into(), source };
    std::fs::create_dir_all(&folder).map_err(|error| fault("make directory", &folder, error))?;
    for (name, text) in [(RUNS_FILE, sample::RUNS), (STEPS_FILE, sample::STEPS)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| fault("write", &path, error))?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's own folder is no part of a database, so it is not behind the Disk trait"
)]
fn remove(place: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(place) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Failure::File { op: "remove", path: place.into(), source })
        }
        _ => Ok(()),
    }
}

/// Numbers that look random and depend on the seed alone (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn between(&mut self, least: u64, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        least + mixed % bound.saturating_sub(least).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_off_by_the_kill_acknowledges_nothing() {
        let mut acknowledged = Acknowledged::new();
        assert_eq!(note(&mut acknowledged, "a\t0"), 1);
        assert_eq!(note(&mut acknowledged, "a\t1"), 1);
        assert_eq!(note(&mut acknowledged, "a\t"), 0);
        assert_eq!(note(&mut acknowledged, "a"), 0);
        assert_eq!(acknowledged.get("a"), Some(&2));
    }

    #[test]
    fn the_same_seed_gives_the_same_moment() {
        let all = |seed| {
            let mut numbers = Numbers(seed);
            [0; 4].map(|_| numbers.between(10, 20))
        };
        assert_eq!(all(7), all(7));
        assert!(all(7).iter().all(|number| (10..20).contains(number)));
    }
}
