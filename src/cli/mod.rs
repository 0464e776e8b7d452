//! The tool: look into a database, move it as lines of JSON, import recorded agent runs, see it recover.
//!
//! - Only this module prints. Output goes through one writer; when nobody reads it any more, the
//!   tool stops quietly.
//! - Exit codes: 0 good, 1 damage or refusal, 2 a wrong command line.
//! - It uses what every program can use, and the log's reader for `log`.
//!
//! The binary `freehold` links freehold's own primitives. To have the tool with yours, call
//! [`main`] from a binary of your own that links them:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     freehold::cli::main()
//! }
//! ```

mod args;
mod binary;
mod cargo;
mod changes;
mod check;
mod copy;
mod demo;
mod diff;
mod export;
mod failure;
mod import;
mod import_lines;
mod input;
mod layout;
mod listing;
mod lock;
mod log;
mod moment;
mod opening;
mod past;
mod record;
mod registry;
mod repair;
mod sample;
mod story;
mod text;
mod verify;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::{Arguments, Command, RunCommand};
use crate::cli::failure::Failure;

/// Reads the process's command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Does what the words of a command line say, the first of which is the program's name.
///
/// ```
/// use std::process::ExitCode;
///
/// assert_eq!(freehold::cli::run(["freehold", "registry"]), ExitCode::SUCCESS);
/// ```
#[must_use]
pub fn run(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(refusal) => {
            // Nobody is left to tell if this cannot be written.
            let _ = refusal.print();
            return u8::try_from(refusal.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let mut out = BufWriter::new(io::stdout());
    let done = obey(&arguments.command, &mut out);
    let done = done.map_err(|failure| match arguments.command.db() {
        Some(db) => failure.of(db),
        None => failure,
    });
    let done = done.and_then(|()| out.flush().map_err(Failure::Output));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was listed before the failure belongs before its message.
            let _ = out.flush();
            failure.report()
        }
    }
}

fn obey(command: &Command, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    match command {
        Command::ImportRuns(arguments) => import::run(arguments, out),
        Command::Runs(arguments) => listing::runs(arguments, out),
        Command::Steps(arguments) => listing::steps(arguments, out),
        Command::Log(arguments) => log::run(arguments, out),
        Command::Verify(arguments) => verify::verify(arguments, out),
        Command::Repair(arguments) => repair::repair(arguments, out),
        Command::Backup(arguments) => repair::backup(arguments, out),
        Command::Checkpoint(arguments) => verify::checkpoint(arguments, out),
        Command::Registry(arguments) => registry::run(arguments, out),
        Command::CanOpen(arguments) => registry::can_open(arguments, out),
        Command::Lock(arguments) => lock::run(arguments, out),
        Command::Export(arguments) => export::run(arguments, out),
        Command::Import(arguments) => import_lines::run(arguments, out),
        Command::CheckRuns(arguments) => check::run(arguments, out),
        Command::Demo(arguments) => demo::run(arguments, out),
        Command::Digest(arguments) => listing::digest(arguments, out),
        Command::Replay(arguments) => past::replay(arguments, out),
        Command::At(arguments) => past::at(arguments, out),
        Command::Diff(arguments) => changes::run(arguments, out),
        Command::Fork(arguments) => copy::fork(arguments, out),
        Command::Run { command: RunCommand::Export(arguments) } => copy::export(arguments, out),
        Command::Run { command: RunCommand::Import(arguments) } => copy::import(arguments, out),
    }
}
