//! Freehold beside its peers: rounds, fresh processes, medians, ratios. See README.md.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

mod data;
mod engines;
mod work;
mod ycsb;

use engines::Engine;
use work::{Size, Start, Work};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: freehold-benches [options]

  --entries COUNT    entries to recover, open, read        Default: 1000000
  --records COUNT    YCSB's records, of 1,000 bytes       Default: 100000
  --rounds COUNT     how often everything is measured      Default: 5
  --seconds TIME     how long each rate of commits and each workload of YCSB takes
                                                           Default: 3
  --engines A,B      of floor, freehold, fjall, redb, raft-engine   Default: all built
  --works A,B        of recover-1, recover-100, open, strict-1, strict-8, strict-32, buffered,
                     read-1, read-2, ycsb-a to ycsb-f
                                                           Default: all
  --dir PATH         where the databases are made          Default: the temporary directory
";

struct Plan {
    size: Size,
    rounds: usize,
    time: Duration,
    engines: Vec<String>,
    works: Vec<Work>,
    dir: PathBuf,
}

const ENGINES: &[&str] = &[
    "floor",
    "freehold",
    #[cfg(feature = "fjall")]
    "fjall",
    #[cfg(feature = "redb")]
    "redb",
    #[cfg(feature = "raft-engine")]
    "raft-engine",
];

impl Plan {
    fn from_arguments(arguments: &[String]) -> Result<Plan> {
        let mut plan = Plan {
            size: Size { entries: 1_000_000, records: 100_000 },
            rounds: 5,
            time: Duration::from_secs(3),
            engines: ENGINES.iter().map(|name| (*name).to_string()).collect(),
            works: Work::ALL.to_vec(),
            dir: std::env::temp_dir(),
        };
        for pair in arguments.chunks(2) {
            let [option, value] = pair else { return Err(USAGE.into()) };
            match option.as_str() {
                "--entries" => plan.size.entries = value.parse::<u64>()?.max(1),
                "--records" => plan.size.records = value.parse::<u64>()?.max(1),
                "--rounds" => plan.rounds = value.parse::<usize>()?.max(1),
                "--seconds" => plan.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--dir" => plan.dir = PathBuf::from(value),
                "--engines" => {
                    plan.engines = value.split(',').map(str::to_string).collect();
                    if let Some(name) =
                        plan.engines.iter().find(|name| !ENGINES.contains(&name.as_str()))
                    {
                        return Err(format!("{name} is none of {}", ENGINES.join(", ")).into());
                    }
                }
                "--works" => {
                    plan.works = value
                        .split(',')
                        .map(|name| Work::named(name).ok_or(format!("no work {name}")))
                        .collect::<std::result::Result<_, _>>()?;
                }
                _ => return Err(USAGE.into()),
            }
        }
        plan.dir = plan.dir.join(format!("freehold-benches-{}", std::process::id()));
        Ok(plan)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "child") {
        return child(&arguments[1..]);
    }
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let plan = match Plan::from_arguments(&arguments) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    fs::create_dir_all(&plan.dir)?;
    let result = run(&plan);
    fs::remove_dir_all(&plan.dir)?;
    result
}

/// The rates of one work: one list of rounds for each engine.
struct Row {
    work: Work,
    rates: Vec<(String, Vec<f64>)>,
}

fn run(plan: &Plan) -> Result<()> {
    println!(
        "{} entries, {} records, {} rounds, {:?} a rate of commits, {} cores\n",
        plan.size.entries,
        plan.size.records,
        plan.rounds,
        plan.time,
        std::thread::available_parallelism()?
    );
    let mut rows: Vec<Row> = plan
        .works
        .iter()
        .map(|work| Row {
            work: *work,
            rates: plan
                .engines
                .iter()
                .filter(|engine| work.runs_on(engine))
                .map(|engine| (engine.clone(), Vec::new()))
                .collect(),
        })
        .collect();
    for round in 1..=plan.rounds {
        for row in &mut rows {
            for (engine, rates) in &mut row.rates {
                let rate = measure(plan, row.work, engine)?;
                eprintln!("round {round} {:<12} {engine:<12} {rate:>12.0}", row.work.name());
                rates.push(rate);
            }
        }
    }
    println!("{:<12} {:<12} {:>12} {:>12} {:>12}", "work", "engine", "median", "least", "most");
    for row in &mut rows {
        for (engine, rates) in &mut row.rates {
            rates.sort_by(f64::total_cmp);
            println!(
                "{:<12} {engine:<12} {:>12.0} {:>12.0} {:>12.0}  {}",
                row.work.name(),
                median(rates),
                rates[0],
                rates[rates.len() - 1],
                row.work.unit()
            );
        }
    }
    println!("\n{:<12} {:>10} of the best peer", "work", "freehold");
    for row in &rows {
        let own = row.rates.iter().find(|(engine, _)| engine == "freehold");
        let best = row
            .rates
            .iter()
            .filter(|(engine, _)| engine != "freehold" && engine != "floor")
            .max_by(|a, b| median(&a.1).total_cmp(&median(&b.1)));
        if let (Some((_, own)), Some((peer, rates))) = (own, best) {
            let ratio = median(own) / median(rates);
            println!("{:<12} {:>9.2}x {peer}", row.work.name(), ratio);
        }
    }
    Ok(())
}

/// The middle of sorted rates.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn measure(plan: &Plan, work: Work, engine: &str) -> Result<f64> {
    let start = work.starts_from();
    let pristine = plan.dir.join(format!("{engine}-{}", start.name()));
    if start != Start::Empty && !pristine.exists() {
        prepare(plan, start, engine, &pristine)?;
    }
    let dir = plan.dir.join("now");
    if start == Start::Empty {
        fs::create_dir_all(&dir)?;
    } else {
        copy(&pristine, &dir)?;
    }
    let output = Command::new(std::env::current_exe()?)
        .args(["child", &work.name(), engine])
        .arg(&dir)
        .args([plan.size.entries.to_string(), plan.size.records.to_string()])
        .arg(plan.time.as_secs_f64().to_string())
        .stderr(Stdio::inherit())
        .output()?;
    fs::remove_dir_all(&dir)?;
    if !output.status.success() {
        return Err(format!("{} on {engine}: {}", work.name(), output.status).into());
    }
    let printed = String::from_utf8(output.stdout)?;
    Ok(printed.lines().last().ok_or("a child printed no rate")?.trim().parse()?)
}

fn prepare(plan: &Plan, start: Start, engine: &str, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child", &start.name(), engine])
        .arg(dir)
        .args([plan.size.entries.to_string(), plan.size.records.to_string()])
        .arg(plan.time.as_secs_f64().to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    if matches!(start, Start::Killed(_)) {
        let stdout = child.stdout.take().ok_or("a child has an output")?;
        let ready = BufReader::new(stdout).lines().any(|line| line.is_ok_and(|l| l == "ready"));
        child.kill()?;
        child.wait()?;
        if !ready {
            return Err(format!("{engine} was not filled").into());
        }
    } else if !child.wait()?.success() {
        return Err(format!("{engine} was not settled").into());
    }
    Ok(())
}

/// Copies a directory and syncs the copies, so that an engine's sync writes its own bytes only.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

fn child(arguments: &[String]) -> Result<()> {
    let [what, engine, dir, entries, records, seconds] = arguments else {
        return Err(USAGE.into());
    };
    let task = Task {
        what,
        dir: Path::new(dir),
        size: Size { entries: entries.parse()?, records: records.parse()? },
        time: Duration::try_from_secs_f64(seconds.parse()?)?,
    };
    match engine.as_str() {
        "floor" => task.run::<engines::Floor>(),
        "freehold" => task.run::<engines::Freehold>(),
        #[cfg(feature = "fjall")]
        "fjall" => task.run::<engines::Fjall>(),
        #[cfg(feature = "redb")]
        "redb" => task.run::<engines::Redb>(),
        #[cfg(feature = "raft-engine")]
        "raft-engine" => task.run::<engines::RaftEngine>(),
        other => return Err(format!("no engine {other}").into()),
    }
    // What closing costs is not measured, and no engine may be kinder to itself than a kill.
    std::process::exit(0);
}

/// What a child was asked to do.
struct Task<'a> {
    what: &'a str,
    dir: &'a Path,
    size: Size,
    time: Duration,
}

impl Task<'_> {
    fn run<E: Engine>(&self) {
        if let Some(work) = Work::named(self.what) {
            println!("{}", work.measure::<E>(self.dir, self.size, self.time));
        } else {
            let start = Start::named(self.what).expect("a work or a start");
            start.prepare::<E>(self.dir, self.size);
        }
    }
}
