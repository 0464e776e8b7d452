//! `damage`: what becomes of a small database, in freehold and in its peers, when its files are damaged
//! in one place.
//!
//! - The same commits in every engine, each synced. Then the database is closed, or the process is
//!   killed. Nothing was in flight: all that was committed is on the disk.
//! - One damage at a time to a copy: a bit flipped, a file cut, a sector zeroed, a file deleted.
//! - A process of its own opens the copy, goes through everything and asks for each key. It may take
//!   ten seconds and 512 MiB.
//!
//! README.md has the table, and what is not alike.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

#[path = "../../data.rs"]
#[expect(dead_code, reason = "the records of YCSB are not used here")]
mod data;
mod engines;
mod history;

use engines::{ENGINES, Open};
use history::{History, KEYS, Outcome, State};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: damage [options]

  --places COUNT     bits to flip, and lengths to cut to, in each database; 0 is every byte
                                                           Default: 2000
  --engines A;B      as the table calls them               Default: all built
  --dir PATH         where the databases are made          Default: /dev/shm if there is one
  --seed NUMBER      which places                          Default: 1
  --details          a row for each kind of damage and of file, and examples
";

struct Plan {
    places: usize,
    engines: Vec<(&'static str, Open)>,
    dir: PathBuf,
    seed: u64,
    details: bool,
}

impl Plan {
    fn from_arguments(arguments: &[String]) -> Result<Plan> {
        let memory = PathBuf::from("/dev/shm");
        let mut plan = Plan {
            places: 2000,
            engines: ENGINES.to_vec(),
            dir: if memory.is_dir() { memory } else { std::env::temp_dir() },
            seed: 1,
            details: false,
        };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            if option == "--details" {
                plan.details = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            match option.as_str() {
                "--places" => plan.places = value.parse()?,
                "--engines" => {
                    plan.engines = value.split(';').map(engine).collect::<Result<_>>()?;
                }
                "--dir" => plan.dir = PathBuf::from(value),
                "--seed" => plan.seed = value.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }
}

fn engine(name: &str) -> Result<(&'static str, Open)> {
    let found = ENGINES.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| {
        let known: Vec<_> = ENGINES.iter().map(|(known, _)| *known).collect();
        format!("{name} is none of {}", known.join("; ")).into()
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["make", name, form, dir] => make(name, form, Path::new(dir)),
        ["read", name, dir] => return read(name, Path::new(dir)),
        _ => compare(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// In a process of its own: makes the database.
fn make(name: &str, form: &str, dir: &Path) -> Result<ExitCode> {
    let (_, open) = engine(name)?;
    let history = History::new();
    let mut engine = open(dir, true)?;
    for (number, commit) in history.commits.iter().enumerate() {
        if number == history.commits.len() / 2 {
            engine.settle()?;
        }
        engine.commit(commit)?;
    }
    if form == "killed" {
        kill_process(getpid(), Signal::KILL)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The first code of a process that tells an outcome.
const FIRST_CODE: u8 = 40;

/// In a process of its own: opens, reads, judges. The code says what came of it.
fn read(name: &str, dir: &Path) -> ExitCode {
    // A panic in any thread is one.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(10));
        end_with(Outcome::Hung);
    });
    let limit = Rlimit { current: Some(512 << 20), maximum: Some(512 << 20) };
    setrlimit(Resource::Data, limit).expect("a limit can be set");
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).expect("a limit can be set");
    let outcome = match found(name, dir) {
        Ok(found) => {
            let history = History::new();
            found.iter().map(|state| history.judge(state)).max().expect("it was read")
        }
        Err(error) => {
            let error = error.to_string();
            println!("{error}");
            if error.contains("out of memory") { Outcome::Memory } else { Outcome::Refused }
        }
    };
    end_with(outcome)
}

fn end_with(outcome: Outcome) -> ! {
    let code = Outcome::ALL.iter().position(|(known, _)| *known == outcome);
    std::process::exit(i32::from(FIRST_CODE) + code.map_or(0, |code| code as i32))
}

/// What the database shows when it is gone through, and when it is asked for each key.
fn found(name: &str, dir: &Path) -> Result<[State; 2]> {
    let (_, open) = engine(name)?;
    let engine = open(dir, false)?;
    let scanned = engine.scan()?;
    let mut asked = State::new();
    for key in (0..KEYS).map(data::key) {
        asked.extend(engine.get(&key)?.map(|value| (key, value)));
    }
    // What closing it does belongs to it.
    drop(engine);
    Ok([scanned, asked])
}

/// A file of the database that is damaged. Behind `bytes` there are zeros up to `len`, which
/// some engines put there in advance: nothing is damaged there.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    len: u64,
}

struct Sample {
    files: Vec<File>,
}

impl Sample {
    fn new(name: &str, form: &str, dir: &Path) -> Result<Sample> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
        let status = Command::new(std::env::current_exe()?)
            .args(["make", name, form])
            .arg(dir)
            .stdin(Stdio::null())
            .status()?;
        if !status.success() && (form != "killed" || status.signal() != Some(9)) {
            return Err(format!("{name} was not made: {status}").into());
        }
        let mut files = Vec::new();
        collect(dir, Path::new(""), &mut files)?;
        fs::remove_dir_all(dir)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Sample { files })
    }

    /// Puts the database into an empty directory, damaged.
    fn put(&self, trial: &Trial, dir: &Path) -> Result<()> {
        for (index, file) in self.files.iter().enumerate() {
            let path = dir.join(&file.path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            let (mut bytes, mut len) = (file.bytes.clone(), file.len);
            if index == trial.file {
                match trial.damage {
                    Damage::None => {}
                    Damage::Flipped => bytes[trial.place] ^= 1 << (trial.place % 8),
                    Damage::Zeroed => {
                        let end = bytes.len().min(trial.place + 512);
                        bytes[trial.place..end].fill(0);
                    }
                    Damage::Cut => {
                        bytes.truncate(trial.place);
                        len = trial.place as u64;
                    }
                    Damage::Deleted => continue,
                }
            }
            let mut made = fs::File::create(path)?;
            made.write_all(&bytes)?;
            made.set_len(len)?;
        }
        Ok(())
    }

    fn used_bytes(&self) -> usize {
        self.files.iter().map(|file| file.bytes.len()).sum()
    }

    /// One place at random in every stretch of so many bytes.
    fn trials(&self, plan: &Plan) -> Vec<Trial> {
        let stride = if plan.places == 0 { 1 } else { self.used_bytes().div_ceil(plan.places) };
        let mut trials = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let mut add = |damage, place| trials.push(Trial { damage, file: index, place });
            add(Damage::Deleted, 0);
            for sector in (0..file.bytes.len()).step_by(512) {
                if file.bytes[sector..].iter().take(512).any(|byte| *byte != 0) {
                    add(Damage::Zeroed, sector);
                }
            }
            for (salt, damage) in [(1, Damage::Flipped), (2, Damage::Cut)] {
                for start in (0..file.bytes.len()).step_by(stride) {
                    let draw = data::mix(plan.seed << 40 ^ (start as u64) << 2 ^ salt);
                    let place = start + draw as usize % stride;
                    if place < file.bytes.len() {
                        add(damage, place);
                    }
                }
            }
        }
        trials
    }
}

fn collect(root: &Path, below: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let mut bytes = fs::read(entry.path())?;
        let len = bytes.len() as u64;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        files.push(File { path, bytes, len });
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    None,
    Flipped,
    Cut,
    Zeroed,
    Deleted,
}

impl Damage {
    fn words(self) -> &'static str {
        match self {
            Damage::None => "none",
            Damage::Flipped => "bit flipped",
            Damage::Cut => "cut to",
            Damage::Zeroed => "sector zeroed",
            Damage::Deleted => "file deleted",
        }
    }
}

struct Trial {
    damage: Damage,
    file: usize,
    place: usize,
}

/// Puts the damaged copy down and lets a process read it. Gives what it said, too.
fn attempt(name: &str, sample: &Sample, trial: &Trial, dir: &Path) -> Result<(Outcome, String)> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    sample.put(trial, dir)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["read", name])
        .arg(dir)
        .stdin(Stdio::null())
        .output()?;
    let code = output.status.code().and_then(|code| code.checked_sub(i32::from(FIRST_CODE)));
    let told = code.and_then(|code| Outcome::ALL.get(usize::try_from(code).ok()?));
    let complaint = String::from_utf8_lossy(&output.stderr);
    let outcome = match told {
        Some((outcome, _)) => *outcome,
        None if complaint.contains("memory allocation of") => Outcome::Memory,
        None => Outcome::Crashed,
    };
    let said = if told.is_some() { String::from_utf8_lossy(&output.stdout) } else { complaint };
    let said: Vec<_> = said.lines().filter(|line| !line.is_empty()).take(2).collect();
    Ok((outcome, said.join(" ")))
}

type Counts = BTreeMap<Outcome, usize>;

/// What came of all damages to one database.
struct Found {
    by_kind: BTreeMap<(Damage, String), Counts>,
    examples: BTreeMap<(Outcome, Damage), String>,
}

impl Found {
    fn total(&self, of: impl Fn(Damage) -> bool) -> Counts {
        let mut total = Counts::new();
        for ((damage, _), counts) in &self.by_kind {
            if of(*damage) {
                counts
                    .iter()
                    .for_each(|(outcome, count)| *total.entry(*outcome).or_default() += count);
            }
        }
        total
    }
}

/// A file's name without its numbers, so that files of one kind count together.
fn kind(path: &Path) -> String {
    let name = path.to_string_lossy();
    let mut kind = String::new();
    for letter in name.chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !kind.ends_with('#') {
            kind.push(letter);
        }
    }
    kind
}

fn try_all(name: &str, sample: &Sample, trials: &[Trial], dir: &Path) -> Result<Found> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Found { by_kind: BTreeMap::new(), examples: BTreeMap::new() });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |thread: usize| {
        let dir = dir.join(thread.to_string());
        while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, said) = attempt(name, sample, trial, &dir).expect("a process reads it");
            let file = &sample.files[trial.file];
            let mut found = found.lock().expect("no panic elsewhere");
            let row = found.by_kind.entry((trial.damage, kind(&file.path))).or_default();
            *row.entry(outcome).or_default() += 1;
            found.examples.entry((outcome, trial.damage)).or_insert_with(|| {
                format!(
                    "{} {} of {}: {said}",
                    trial.damage.words(),
                    trial.place,
                    file.path.display()
                )
            });
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    Ok(found.into_inner()?)
}

fn cells(counts: &Counts) -> String {
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    let cell = |(outcome, _): &(Outcome, &str)| match count(*outcome) {
        0 => " –".to_string(),
        count => format!(" {count}"),
    };
    Outcome::ALL.iter().map(cell).collect::<Vec<_>>().join(" |")
}

fn head(first: &str) -> String {
    let names: Vec<_> = Outcome::ALL.iter().map(|(_, name)| *name).collect();
    let rules = vec!["---"; names.len() + first.split('|').count()].join("|");
    format!("| {first} | {} |\n|{rules}|", names.join(" | "))
}

/// A row for what cannot be opened even without damage.
const NEVER_OPENS: &str = " – | refused without damage | – | – | – | – | – | – |";

fn compare(arguments: &[String]) -> Result<ExitCode> {
    let plan = Plan::from_arguments(arguments)?;
    let dir = plan.dir.join(format!("freehold-damage-{}", std::process::id()));
    let mut table = vec![head("engine | files | bytes | damages")];
    let mut silent = vec![head("engine | damage")];
    let mut is_kept = true;
    for (name, _) in &plan.engines {
        let mut both = BTreeMap::<Damage, Counts>::new();
        for form in ["closed", "killed"] {
            let sample = Sample::new(name, form, &dir.join("make"))?;
            let healthy = Trial { damage: Damage::None, file: 0, place: 0 };
            let (outcome, said) = attempt(name, &sample, &healthy, &dir.join("make"))?;
            let (files, bytes) = (sample.files.len(), sample.used_bytes());
            if outcome != Outcome::Exact {
                eprintln!("{name}, {form}, without any damage: {said}");
                is_kept &= *name != "freehold";
                table.push(format!("| {name}, {form} | {files} | {bytes} | 0 |{NEVER_OPENS}"));
                continue;
            }
            let trials = sample.trials(&plan);
            eprintln!("{name}, {form}: {} damages", trials.len());
            let found = try_all(name, &sample, &trials, &dir)?;
            if plan.details {
                print_details(name, form, &found);
            }
            let total = found.total(|_| true);
            if *name == "freehold" {
                is_kept &= total.keys().all(|outcome| *outcome <= Outcome::Refused);
            }
            let counts = cells(&total);
            let row =
                format!("| {name}, {form} | {files} | {bytes} | {} |{counts} |", trials.len());
            table.push(row);
            for damage in [Damage::Flipped, Damage::Cut, Damage::Zeroed, Damage::Deleted] {
                let sum = both.entry(damage).or_default();
                for (outcome, count) in found.total(|of| of == damage) {
                    *sum.entry(outcome).or_default() += count;
                }
            }
        }
        for (damage, counts) in both {
            silent.push(format!("| {name} | {} |{} |", damage.words(), cells(&counts)));
        }
    }
    let _ = fs::remove_dir_all(&dir);
    println!("{}\n\n{}", table.join("\n"), silent.join("\n"));
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_details(name: &str, form: &str, found: &Found) {
    println!("{name}, {form}\n\n{}", head("damage | file"));
    for ((damage, file), counts) in &found.by_kind {
        println!("| {} | {file} |{} |", damage.words(), cells(counts));
    }
    println!();
    for ((outcome, _), example) in &found.examples {
        println!("{outcome:?}: {example}");
    }
    println!();
}
