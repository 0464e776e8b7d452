//! Why a subcommand did not do what it was asked, and the exit code that follows.
//!
//! - 0: done. 1: damage or refusal. 2: a wrong command line, which clap answers by itself.
//! - Whoever reads the output may stop reading; that is no failure.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::binary::Unreadable;
use crate::cli::input::{InputError, LineFault};
use crate::error::Error;
use crate::id::Lsn;
use crate::lines::LinesError;

/// Why a subcommand stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The engine refused, with a message that does not say which database it is about.
    #[error("{}: {why}", path.display())]
    In {
        /// The database.
        path: PathBuf,
        /// What the engine said.
        why: Error,
    },
    /// Lines cannot be written or are not taken.
    #[error("{place}: {why}")]
    Lines {
        /// The file, or which end of the process.
        place: Box<str>,
        /// What is wrong.
        why: LinesError,
    },
    /// The recording cannot be imported.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The bundled sample cannot be imported, which a test excludes.
    #[error("bundled sample: {0}")]
    Sample(LineFault),
    /// Nothing can be written to where the output goes.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// A file of the tool's own, such as the demo's.
    #[error("{}: {op}: {source}", path.display())]
    File {
        /// The call.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A listing was asked for where nothing is.
    #[error("{}: no database is here", path.display())]
    NoDatabase {
        /// The path.
        path: PathBuf,
    },
    /// No run has this name or number.
    #[error("{}: no run {run}", path.display())]
    NoRun {
        /// The database.
        path: PathBuf,
        /// What was asked for.
        run: Box<str>,
    },
    /// The database has something else of this run than the recording.
    #[error("run {run}: {what} is {found}, expected {expected}")]
    Differs {
        /// The run.
        run: Box<str>,
        /// What differs.
        what: &'static str,
        /// As the database has it.
        found: Box<str>,
        /// As the recording has it.
        expected: Box<str>,
    },
    /// The database has another step than the recording.
    #[error("run {run}: step {seq} in the database is not the one on {file} line {line}")]
    OtherStep {
        /// The run.
        run: Box<str>,
        /// The step.
        seq: u64,
        /// The file of the recording.
        file: &'static str,
        /// Its line.
        line: u64,
    },
    /// A step that was acknowledged is not there after the kill.
    #[error("run {run}: {found} steps are there, {acknowledged} were acknowledged")]
    Lost {
        /// The run.
        run: Box<str>,
        /// Steps found.
        found: u64,
        /// Steps acknowledged.
        acknowledged: u64,
    },
    /// More steps are there than can have been in flight.
    #[error("{found} steps are there that nobody acknowledged, at most {in_flight} were in flight")]
    Surplus {
        /// Steps found beyond those acknowledged.
        found: u64,
        /// Threads that wrote.
        in_flight: u64,
    },
    /// The process that was to be killed did something else.
    #[error("the import that was to be killed {what}")]
    Child {
        /// What it did.
        what: Box<str>,
    },
    /// A verification found damage, and has printed it.
    #[error("{}: damaged", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
    },
    /// A question was answered with no, and the answer was printed.
    #[error("no")]
    No,
    /// A binary whose registry cannot be read.
    #[error("{}: {why}", path.display())]
    Binary {
        /// The binary.
        path: PathBuf,
        /// What is wrong.
        why: Unreadable,
    },
    /// Cargo did not do what it was asked; its own messages were printed.
    #[error("{what}")]
    Cargo {
        /// What it did not do.
        what: Box<str>,
    },
    /// What is to be retired is not in the lock.
    #[error("--retire {asked}: {why}")]
    Retire {
        /// As it was asked.
        asked: Box<str>,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A record of the log cannot be read; what follows it is not listed.
    #[error("{}: the log ends after record {last}: {why}", path.display())]
    LogBroken {
        /// The segment.
        path: PathBuf,
        /// The last record that was listed.
        last: Lsn,
        /// What is wrong.
        why: Error,
    },
}

impl Failure {
    /// The same, with the database's path before what the engine said, where that names no path
    /// or one below the database's directory.
    pub(crate) fn of(self, db: &Path) -> Failure {
        match self {
            Failure::Engine(
                why @ (Error::Io { .. }
                | Error::NotADatabase { .. }
                | Error::Locked { .. }
                | Error::NoSpace { .. }),
            ) => Failure::Engine(why),
            Failure::Engine(why) => Failure::In { path: db.into(), why },
            other => other,
        }
    }

    /// The exit code, after the message was printed where there is something to say.
    pub(crate) fn report(&self) -> ExitCode {
        use std::io::Write;
        if let Failure::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        if let Failure::No = self {
            return ExitCode::FAILURE;
        }
        // Nobody is left to tell if this cannot be written either.
        let _ = writeln!(io::stderr(), "freehold: {self}");
        ExitCode::FAILURE
    }
}

/// Errors of writing to the output, and of nothing else, arrive by `?`.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::Output(error.into())
    }
}
