//! How the tool opens a database.
//!
//! - Only the imports make one; everything else refuses a path where nothing is.
//! - A listing changes nothing. An import makes no checkpoint when it closes, and leaves its log to be
//!   read.
//! - An opening that takes long is seen to go on, on a terminal.

use std::io;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::ImportSettings;
use crate::cli::failure::Failure;
use crate::database::{Database, Options, View, inspect_named};
use crate::error::Result;
use crate::id::{DatabaseId, Timestamp};
use crate::recovery::{Control, Phase};

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Reads a database that is there, and changes nothing.
pub(crate) fn read_existing(path: &Path) -> Result<View, Failure> {
    read_named(path).map(|(view, _)| view)
}

/// The same, and which database it is.
pub(crate) fn read_named(path: &Path) -> Result<(View, DatabaseId), Failure> {
    expect_database(path)?;
    Ok(inspect_named(path)?)
}

/// Opens a database that is there to look into its past, and changes nothing.
pub(crate) fn open_to_read(path: &Path) -> Result<Database, Failure> {
    expect_database(path)?;
    // That it is open only to be read is no news here.
    Ok(open(path, Options::new().read_only(true).on_warning(|_, _| {}))?)
}

/// Opens a database that is there.
pub(crate) fn open_existing(path: &Path) -> Result<Database, Failure> {
    expect_database(path)?;
    Ok(open(path, Options::new().checkpoint_on_close(false))?)
}

/// Refuses a path where nothing is: opening it would make a database.
pub(crate) fn expect_database(path: &Path) -> Result<(), Failure> {
    let nothing = match path.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if nothing { Err(Failure::NoDatabase { path: path.into() }) } else { Ok(()) }
}

/// Options as an import's settings say.
pub(crate) fn options(settings: &ImportSettings) -> Options {
    let mut options = Options::new().checkpoint_on_close(false);
    if let Some(seconds) = settings.clock {
        let timestamp = Timestamp(u64::from(seconds) * NANOSECONDS_PER_SECOND);
        options = options.clock(move || timestamp);
    }
    if let Some(bytes) = settings.segment_bytes {
        options = options.segment_bytes(bytes);
    }
    if let Some(bytes) = settings.checkpoint_bytes {
        options = options.checkpoint_bytes(Some(bytes));
    }
    options
}

/// Opens, with a bar where somebody looks.
pub(crate) fn open(path: &Path, options: Options) -> Result<Database> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let options = options.progress(move |progress| {
        shown.set_message(match progress.phase {
            Phase::Load => "loading the snapshot",
            Phase::Replay => "replaying the log",
            Phase::Index => "building indexes",
        });
        shown.set_length(progress.bytes_total);
        shown.set_position(progress.bytes_done);
        Control::Continue
    });
    let opened = options.open(path);
    bar.finish_and_clear();
    opened
}
