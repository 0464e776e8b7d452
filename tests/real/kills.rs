//! A process with several writers is killed, again and again, while it commits, rotates segments,
//! makes checkpoints, or opens. What it had acknowledged is known outside of it, by a pipe.
//!
//! Each writer counts: its transaction number *n* sets a pair and a cell to *n*, appends event *n*,
//! and adds one to the total of all writers. So a state shows how far each writer came, whether that
//! is a prefix of what it did, and whether any transaction is there in part.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freehold::prelude::*;
use freehold::primitives::{EventLog, KvStore, Payload, StateCell};
use freehold::testing::{Mistake, Random};

use crate::say;

const WRITERS: u64 = 4;
/// How many events of each writer are kept, so that the state stays small.
const EVENTS_KEPT: u64 = 40;
/// The test that is the process to be killed when it is told a directory.
const KILLED: &str =
    "kills::kills_of_concurrent_writers_lose_nothing_acknowledged_and_leave_whole_prefixes";
/// Names the directory to the process that is to be killed, and the mode to open it in.
const DIRECTORY: &str = "FREEHOLD_KILLS_DIRECTORY";
const MODE: &str = "FREEHOLD_KILLS_MODE";

/// Small files: a kill is to hit rotations and checkpoints, too.
fn options() -> Options {
    Options::new().segment_bytes(4096).checkpoint_bytes(Some(16_000))
}

// --- The process that is killed ------------------------------------------------------------------

/// What this program does as the process that is killed.
fn work_until_killed(directory: OsString) -> ! {
    let options = match std::env::var(MODE).as_deref() {
        Ok("buffered") => {
            options().durability(Durability::Buffered { sync_every: Duration::from_millis(2) })
        }
        Ok("planted") => options().plant(Mistake::AcknowledgeBeforeSync),
        _ => options(),
    };
    let db = options.open(directory).expect("it opens");
    for (writer, count) in counts(&db.view()) {
        tell(&format!("opened {writer} {count}"));
    }
    tell("ready");
    for writer in 0..WRITERS {
        let db = db.clone();
        std::thread::spawn(move || write(&db, writer));
    }
    loop {
        let report = db.checkpoint().expect("a checkpoint");
        tell(&format!("checkpoint {}", report.lsn));
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// One line, whole or not at all, at once.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let told = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
    told.expect("somebody reads");
}

/// Commits for ever, and says so each time.
fn write(db: &Database, writer: u64) {
    let mut count = counts(&db.view()).get(&writer).copied().unwrap_or(0);
    loop {
        count += 1;
        if count.is_multiple_of(7) {
            let aborted = db.transaction(|tx| -> Result<()> {
                change(tx, writer, count + 1_000_000)?;
                Err(Error::abort("given up"))
            });
            assert!(matches!(aborted, Err(Error::Aborted(_))), "it was given up");
        }
        db.transaction(|tx| change(tx, writer, count)).expect("a transaction");
        tell(&format!("wrote {writer} {count}"));
    }
}

fn change(tx: &mut Transaction<'_>, writer: u64, count: u64) -> Result<()> {
    let name = name(writer);
    let total = number(tx.read::<KvStore>().get("total").as_deref()) + 1;
    let text = count.to_string();
    tx.on::<KvStore>().put(name.as_bytes(), text.as_bytes())?;
    // Of different lengths, so that records end anywhere in a segment.
    let payload = format!("{count} {}", "x".repeat((count as usize * 37) % 400));
    tx.on::<EventLog>().append(&name, "written", Payload::bytes(payload))?;
    tx.on::<EventLog>().truncate(&name, count.saturating_sub(EVENTS_KEPT))?;
    tx.on::<StateCell>().set(&name, text.as_bytes())?;
    tx.on::<KvStore>().put(b"total", total.to_string().as_bytes()).map(drop)
}

fn name(writer: u64) -> String {
    format!("writer {writer}")
}

fn number(found: Option<&[u8]>) -> u64 {
    let Some(found) = found else { return 0 };
    let text = std::str::from_utf8(found).expect("a number in words");
    text.split(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}

/// How far each writer came. Panics where a transaction is there in part, or not as it was.
#[track_caller]
fn counts(view: &View) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for writer in 0..WRITERS {
        let name = name(writer);
        let count = number(view.on::<KvStore>().get(&name).as_deref());
        let cell = view.on::<StateCell>().get(&name).map(|cell| cell.value().as_slice().to_vec());
        assert_eq!(number(cell.as_deref()), count, "{name}: cell and pair");
        let events: Vec<u64> = view
            .on::<EventLog>()
            .range(&name, ..)
            .map(|event| number(Some(event.payload().as_bytes())))
            .collect();
        let expected: Vec<u64> = (1 + count.saturating_sub(EVENTS_KEPT)..=count).collect();
        assert_eq!(events, expected, "{name}: events and pair");
        counts.insert(writer, count);
    }
    let total = number(view.on::<KvStore>().get("total").as_deref());
    assert_eq!(counts.values().sum::<u64>(), total, "the total of all writers");
    counts
}

// --- The one that kills --------------------------------------------------------------------------

/// What the loop met.
#[derive(Default)]
struct Told {
    acknowledged: u64,
    in_flight: u64,
    checkpoints: u64,
    while_opening: u64,
    from_snapshots: u64,
    torn: u64,
}

/// What a process said until it was killed.
struct Said {
    opened: BTreeMap<u64, u64>,
    is_ready: bool,
    acknowledged: BTreeMap<u64, u64>,
    checkpoint: u64,
    checkpoints: u64,
}

impl Said {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let parse = |text: &str| text.parse::<u64>().expect("a number");
        match words[..] {
            ["opened", writer, count] => drop(self.opened.insert(parse(writer), parse(count))),
            ["ready"] => self.is_ready = true,
            ["wrote", writer, count] => {
                let before = self.acknowledged.insert(parse(writer), parse(count));
                let before = before.or(self.opened.get(&parse(writer)).copied());
                assert_eq!(before, Some(parse(count) - 1), "{line}: one twice, or one left out");
            }
            ["checkpoint", lsn] => {
                self.checkpoint = parse(lsn);
                self.checkpoints += 1;
            }
            // The test harness says something, too.
            _ => {}
        }
    }
}

fn start(directory: &Path, mode: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", KILLED, "--nocapture"])
        .env(DIRECTORY, directory)
        .env(MODE, mode)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Starts a process, kills it `wait` after it said `lines` lines.
fn run_and_kill(directory: &Path, mode: &str, lines: u64, wait: Duration) -> Said {
    let mut child = start(directory, mode);
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut said = Said {
        opened: BTreeMap::new(),
        is_ready: false,
        acknowledged: BTreeMap::new(),
        checkpoint: 0,
        checkpoints: 0,
    };
    let mut line = String::new();
    let mut count = 0;
    while count < lines && out.read_line(&mut line).expect("text") > 0 {
        said.note(line.trim_end());
        count += u64::from(said.is_ready);
        line.clear();
    }
    std::thread::sleep(wait);
    child.kill().expect("it is killed");
    let status = child.wait().expect("it ends");
    while out.read_line(&mut line).expect("text") > 0 {
        // What was cut off in the middle was not acknowledged.
        if line.ends_with('\n') {
            said.note(line.trim_end());
        }
        line.clear();
    }
    let mut complaint = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
    assert_eq!(status.code(), None, "it ended by itself: {complaint}");
    assert_eq!(complaint, "", "it complained");
    said
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path: PathBuf = entry.expect("a name").path();
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_directory(&path, &to),
            false => drop(fs::copy(&path, &to).expect("a copy")),
        }
    }
}

#[test]
fn kills_of_concurrent_writers_lose_nothing_acknowledged_and_leave_whole_prefixes() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        work_until_killed(directory);
    }
    let kills = if std::env::var_os("FREEHOLD_LONG").is_some() { 500 } else { 10 };
    let told = kill_loop(kills, &["strict", "strict", "buffered"]);
    assert!(told.acknowledged > 0 && told.from_snapshots > 0, "the kills met nothing");
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught_by_kills() {
    let caught = catch_unwind(|| kill_loop(200, &["planted"]));
    let panic = caught.map(drop).expect_err("200 kills found nothing");
    let what = panic.downcast_ref::<String>().expect("the words of a failed assertion");
    assert!(what.contains(" acknowledged, "), "it fails for the loss: {what}");
    say(&format!("planted: ack before sync\n  caught by kills: {what}"));
}

/// Kills a process so many times, each opened in one of `modes`.
fn kill_loop(kills: u64, modes: &[&str]) -> Told {
    let seed = Random::seed_from_env(0x5eed);
    let mut random = Random::new(seed);
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("db");
    let begun = Instant::now();
    let mut told = Told::default();
    // What the last kill left.
    let mut found: BTreeMap<u64, u64> = (0..WRITERS).map(|writer| (writer, 0)).collect();
    for kill in 0..kills {
        let mode = modes[random.below(modes.len() as u64) as usize];
        // Now and then at once, so that the kill can hit the opening.
        let at_once = random.one_in(5);
        let lines = if at_once { 0 } else { 1 + random.below(300) };
        let wait = Duration::from_micros(random.below(if at_once { 15_000 } else { 3_000 }));
        let said = run_and_kill(&directory, mode, lines, wait);
        let place_text = format!("kill {kill} ({mode}), FREEHOLD_SEED={seed}");
        if said.is_ready {
            assert_eq!(said.opened, found, "{place_text}: opened by the next process");
        }
        told.while_opening += u64::from(!said.is_ready);
        told.checkpoints += said.checkpoints;

        // The next process must recover what the kill left, so only a copy is opened here.
        if !directory.exists() {
            continue;
        }
        let copy = place.path().join("copy");
        copy_directory(&directory, &copy);
        let db = options().checkpoint_on_close(false).open(&copy).expect("it opens");
        let view = db.view();
        let left = counts(&view);
        assert!(view.lsn().0 >= said.checkpoint, "{place_text}: a checkpoint is gone");
        for (writer, left) in &left {
            let least = said.acknowledged.get(writer).or(found.get(writer)).copied().unwrap_or(0);
            assert!(
                (least..=least + 1).contains(left),
                "{place_text}: writer {writer}: {least} acknowledged, {left} there"
            );
            told.acknowledged += least - found[writer];
            told.in_flight += left - least;
        }
        let report = db.recovery_report();
        told.from_snapshots += u64::from(report.snapshot_lsn.is_some());
        told.torn += u64::from(report.cut.is_some());
        db.close().expect("it closes");
        drop((view, db));
        fs::remove_dir_all(&copy).expect("the copy goes");
        found = left;
    }
    say(&format!(
        "\n{kills} kills of {WRITERS} writers, seed {seed:#x}, {:.1} s: {} transactions acknowledged \
         before a kill and there after it, {} more that were in flight; {} checkpoints by hand, {} \
         kills before it was open, {} openings from a snapshot, {} torn tails",
        begun.elapsed().as_secs_f64(),
        told.acknowledged,
        told.in_flight,
        told.checkpoints,
        told.while_opening,
        told.from_snapshots,
        told.torn,
    ));
    told
}
