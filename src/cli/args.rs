//! What can be said on the command line.
//!
//! - Every listing takes `--json` and then writes JSON Lines.
//! - Options that only tests use are hidden; they change nothing but what they say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::moment::Moment;
use crate::database::Durability;

/// An embedded storage core whose state survives a kill: look into a database, import recorded
/// agent runs, see it recover.
#[derive(Debug, Parser)]
#[command(name = "freehold", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 good, 1 damage or refusal, 2 usage.")]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import recorded agent runs, a transaction for each step; goes on where it stopped
    ImportRuns(ImportArguments),
    /// List the runs: how each stands, how many steps and tool calls it has
    Runs(ListingArguments),
    /// List the steps of one run; with --json each step's record as it was imported, byte for byte
    Steps(StepsArguments),
    /// List the log: each record's LSN, time and operations, also of primitives not linked
    Log(LogArguments),
    /// Replay one run from its own records, and say what state that gives
    ///
    /// Replayed to its end, a run must be what it is now: exit code 1 is if it is not.
    Replay(ReplayArguments),
    /// Say what the state was at an LSN or a time
    At(AtArguments),
    /// List what differs between two runs, or between two LSNs
    ///
    /// A line a change: + for what only B has, - for what only A has, ~ for what both have otherwise;
    /// then the run, the primitive, the field, the key, and the values.
    Diff(DiffArguments),
    /// Make a new run that begins as another one is, or was
    Fork(ForkArguments),
    /// Write one run to a file, or make one of such a file
    Run {
        /// Which of the two.
        #[command(subcommand)]
        command: RunCommand,
    },
    /// Say what opening would find, and change nothing
    ///
    /// Reads every snapshot and the log from the oldest one on, checks every checksum in them, and
    /// replays the log. Of segments that a checkpoint left behind and the next opening removes,
    /// only the header and the footer are looked at. A torn tail is told of and is no damage; a
    /// damaged snapshot is, even if an older one can be used. Where opening would refuse, it says at
    /// which LSN the last good state is, and what stands behind the damage.
    Verify(VerifyArguments),
    /// Make a new database of the state before a damage, or before any record
    ///
    /// The damaged one is not changed. Commits behind the damage are not in the new one: `verify` says
    /// which. Runs have their state there, and not their history.
    Repair(RepairArguments),
    /// Copy a database, also while it is in use, and verify the copy
    ///
    /// The copy is a database like any other: to restore it, open it or copy it back. Damage that
    /// opening does not meet is copied as it is, and told with exit code 1, as by `verify`.
    Backup(BackupArguments),
    /// Write a snapshot and remove the log that it makes superfluous
    Checkpoint(ListingArguments),
    /// List the primitives of a program: what they claim, which operations and layouts they can read
    ///
    /// Without an argument those of this very tool. A binary is read and not run: an executable or a
    /// library for Linux, macOS or Windows, stripped or not, or an archive such as a .rlib.
    Registry(RegistryArguments),
    /// Say whether a program can open a database: yes, or no and every reason
    ///
    /// The program is read and not run. The database may be in use, and is not changed. Exit code 0
    /// is yes, 1 is no.
    CanOpen(CanOpenArguments),
    /// Compare a package's code with its freehold.lock, or add to the lock
    ///
    /// Without an option it checks: lines that are missing, and lines whose primitive or operation
    /// is no longer in the code. Exit code 0 is all well. The package is built for it, in a target
    /// directory of its own.
    Lock(LockArguments),
    /// Write everything as JSON Lines, for another version or another tool
    ///
    /// Nothing is changed; the database must not be open. `freehold import` makes a database of it
    /// again.
    Export(ExportArguments),
    /// Make a new database of what `freehold export` wrote
    ///
    /// The same LSN, times, runs and rows, under the primitives of this program. A killed import
    /// leaves no database.
    Import(ImportLinesArguments),
    /// Compare an import with its folder: counts, and every step byte for byte
    CheckRuns(CheckArguments),
    /// Import a bundled sample, kill the import part-way, recover, check every step
    Demo(DemoArguments),
    /// Print a digest of every primitive in every run, to compare two databases
    #[command(hide = true)]
    Digest(ListingArguments),
}

/// A database, and how to print.
#[derive(Debug, Args)]
pub(crate) struct ListingArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) listing: ListingArguments,
    /// Also replay the log up to the newest snapshot, and each run from its own records, and compare
    /// what that gives with the state
    #[arg(long)]
    pub(crate) deep: bool,
}

/// For `repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Where the new database goes: nothing yet, or an empty directory
    #[arg(long, value_name = "NEW")]
    pub(crate) into: PathBuf,
    /// The state before this LSN; default: before the first damage
    #[arg(long, value_name = "LSN")]
    pub(crate) before: Option<u64>,
}

/// For `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Where the copy goes: nothing yet, or an empty directory
    pub(crate) copy: PathBuf,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `steps`.
#[derive(Debug, Args)]
pub(crate) struct StepsArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The run's name, or the number that `runs` shows; `root` or 0 for the root
    pub(crate) run: String,
    /// Write each step's record, one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the whole text of each step, not one line of it
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
}

/// For `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
    /// Only records of this run: its name or its number; `root` or 0 for the root
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only records from this LSN on
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    pub(crate) from: u64,
}

/// For `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The run's name or number; `root` or 0 for the root
    pub(crate) run: String,
    /// Only its records up to this LSN
    #[arg(long, value_name = "LSN", conflicts_with = "step")]
    pub(crate) until: Option<u64>,
    /// Only its first N records
    #[arg(long, value_name = "N")]
    pub(crate) step: Option<usize>,
    /// List the records too, each with its operations
    #[arg(long)]
    pub(crate) steps: bool,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `at`.
#[derive(Debug, Args)]
pub(crate) struct AtArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The state after this record
    #[arg(required_unless_present = "time", conflicts_with = "time")]
    pub(crate) lsn: Option<u64>,
    /// The state at this time, as in 2026-01-31T12:00:00Z, or .500Z: with all of the second, or of
    /// what else was written last
    #[arg(long)]
    pub(crate) time: Option<Moment>,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The older side: a run's name or number, also as run:NAME, or all as it was, as lsn:N
    pub(crate) before: String,
    /// The newer side, of the same kind
    pub(crate) after: String,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `fork`.
#[derive(Debug, Args)]
pub(crate) struct ForkArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The run's name or number; `root` or 0 for the root
    pub(crate) run: String,
    /// The new run's name
    pub(crate) name: String,
    /// As the run was after this record; default: as it is now
    #[arg(long, value_name = "LSN")]
    pub(crate) at: Option<u64>,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One subcommand of `run`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Write all that a run did to a file, from which any database can have it
    Export(RunExportArguments),
    /// Make a run with all that another one did, perhaps in another database
    Import(RunImportArguments),
}

/// For `run export`.
#[derive(Debug, Args)]
pub(crate) struct RunExportArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The run's name or number; `root` or 0 for the root
    pub(crate) run: String,
    /// The file, replaced as a whole
    pub(crate) file: PathBuf,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `run import`.
#[derive(Debug, Args)]
pub(crate) struct RunImportArguments {
    /// The database's directory; made if there is nothing
    pub(crate) db: PathBuf,
    /// What `run export` wrote
    pub(crate) file: PathBuf,
    /// The run's name here; default: the one that it had
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `registry`.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// The primitives of this executable or library
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// What differs between two builds: whether NEW opens what OLD wrote, and whether OLD does after
    /// NEW has written
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "binary")]
    pub(crate) diff: Option<Vec<PathBuf>>,
    /// Write JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `can-open`.
#[derive(Debug, Args)]
pub(crate) struct CanOpenArguments {
    /// The executable
    pub(crate) binary: PathBuf,
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// For `lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The package's Cargo.toml; default: the one of the working directory
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
    /// Add what is missing; nothing that stands there is changed or removed
    #[arg(long)]
    pub(crate) update: bool,
    /// From now on a missing line is a compile error
    #[arg(long, requires = "update")]
    pub(crate) locked: bool,
    /// Add no golden histories: do not run the package's conformance tests
    #[arg(long, requires = "update")]
    pub(crate) no_golden: bool,
    /// Never again: a primitive, one of its operations, or one version of that, of which no data is
    /// left anywhere
    #[arg(long, value_name = "NAME[:0x82[:1]]", conflicts_with = "update")]
    pub(crate) retire: Vec<String>,
    /// Write one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// For cargo, as in `freehold lock -- --all-features`
    #[arg(last = true, value_name = "CARGO OPTIONS")]
    pub(crate) cargo: Vec<String>,
}

/// For `check-runs`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The folder with runs.jsonl and steps.jsonl
    pub(crate) path: PathBuf,
}

/// For `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The file, replaced as a whole; default: standard output
    pub(crate) file: Option<PathBuf>,
    /// Only this primitive; can be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) primitive: Vec<String>,
    /// Only this run: its name or its number; `root` or 0 for the root; can be given more than once
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Vec<String>,
}

/// For `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportLinesArguments {
    /// The new database's directory: nothing is there, or an empty directory
    pub(crate) db: PathBuf,
    /// The file; default: standard input
    pub(crate) file: Option<PathBuf>,
}

/// For `import-runs`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The database's directory; made if there is nothing
    pub(crate) db: PathBuf,
    /// A folder with runs.jsonl and steps.jsonl
    pub(crate) path: PathBuf,
    /// What to survive: a power failure, or a killed process only
    #[arg(long, value_enum, default_value_t = DurabilityArgument::Strict)]
    pub(crate) durability: DurabilityArgument,
    #[command(flatten)]
    pub(crate) how: ImportSettings,
}

/// How an import runs; the demo passes these on to its child.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportSettings {
    /// How many threads write, each its own runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Let every record's time be this many seconds after 1970
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub(crate) clock: Option<u32>,
    /// Print each step when its commit has returned: the run, a tab, the step's number
    #[arg(long, hide = true)]
    pub(crate) acknowledge: bool,
    /// Bytes of a WAL segment
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(crate) segment_bytes: Option<u64>,
    /// Make a checkpoint whenever the WAL has grown by so many bytes
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(crate) checkpoint_bytes: Option<u64>,
}

/// For `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Kill at the moment that this number gives; default: another one each time
    #[arg(long, env = "FREEHOLD_SEED")]
    pub(crate) seed: Option<u64>,
    /// How many threads the killed import writes with
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Leave the database where it is, to look into it
    #[arg(long)]
    pub(crate) keep: bool,
}

/// [`Durability`] as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArgument {
    /// Each step is synced before the next one
    Strict,
    /// Each step is with the operating system before the next one; synced once a second
    Buffered,
}

impl Command {
    /// The database it is about; the demo makes its own.
    pub(crate) fn db(&self) -> Option<&Path> {
        match self {
            Command::ImportRuns(arguments) => Some(&arguments.db),
            Command::Runs(arguments)
            | Command::Checkpoint(arguments)
            | Command::Digest(arguments) => Some(&arguments.db),
            Command::Verify(arguments) => Some(&arguments.listing.db),
            Command::Repair(arguments) => Some(&arguments.db),
            Command::Backup(arguments) => Some(&arguments.db),
            Command::Steps(arguments) => Some(&arguments.db),
            Command::Log(arguments) => Some(&arguments.db),
            Command::CheckRuns(arguments) => Some(&arguments.db),
            Command::CanOpen(arguments) => Some(&arguments.db),
            Command::Export(arguments) => Some(&arguments.db),
            Command::Import(arguments) => Some(&arguments.db),
            Command::Replay(arguments) => Some(&arguments.db),
            Command::At(arguments) => Some(&arguments.db),
            Command::Diff(arguments) => Some(&arguments.db),
            Command::Fork(arguments) => Some(&arguments.db),
            Command::Run { command: RunCommand::Export(arguments) } => Some(&arguments.db),
            Command::Run { command: RunCommand::Import(arguments) } => Some(&arguments.db),
            Command::Demo(_) | Command::Registry(_) | Command::Lock(_) => None,
        }
    }
}

impl From<DurabilityArgument> for Durability {
    fn from(argument: DurabilityArgument) -> Durability {
        match argument {
            DurabilityArgument::Strict => Durability::Strict,
            DurabilityArgument::Buffered => {
                Durability::Buffered { sync_every: Duration::from_secs(1) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_contradict_each_other_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_exits_with_2_and_help_with_0() {
        let code = |line: &[&str]| Arguments::try_parse_from(line).unwrap_err().exit_code();
        assert_eq!(code(&["freehold"]), 2);
        assert_eq!(code(&["freehold", "steps", "db"]), 2);
        assert_eq!(code(&["freehold", "import-runs", "db", "p", "--threads", "0"]), 2);
        assert_eq!(code(&["freehold", "registry", "--diff", "old"]), 2);
        assert_eq!(code(&["freehold", "lock", "--locked"]), 2);
        assert_eq!(code(&["freehold", "replay", "db", "1", "--until", "3", "--step", "2"]), 2);
        assert_eq!(code(&["freehold", "at", "db"]), 2);
        assert_eq!(code(&["freehold", "at", "db", "3", "--time", "2026-01-31T12:00:00Z"]), 2);
        assert_eq!(code(&["freehold", "at", "db", "--time", "noon"]), 2);
        assert_eq!(code(&["freehold", "run", "import", "db"]), 2);
        assert_eq!(code(&["freehold", "--help"]), 0);
        assert_eq!(code(&["freehold", "--version"]), 0);
    }
}
