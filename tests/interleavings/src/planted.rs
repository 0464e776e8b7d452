//! Mistakes planted on purpose: each must be found, or the models show nothing.

use std::process::Command;
use std::sync::OnceLock;

/// A mistake the engine could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Views show what is not synced yet.
    PublishBeforeSync,
    /// A transaction returns before its sync.
    AcknowledgeBeforeSync,
    /// Who waits is called before the new state can be seen.
    CallBeforePublishing,
    /// Who waits is not called when no newer state can come any more.
    NoCallWhenPoisoned,
    /// The fences between the count of those who wait and the state are left out.
    NoFences,
    /// What was applied is looked at before this thread is counted among those who wait.
    LookBeforeEntering,
}

/// The mistake that this process has, if any.
static PLANTED: OnceLock<Mistake> = OnceLock::new();

pub(crate) fn is_planted(mistake: Mistake) -> bool {
    PLANTED.get() == Some(&mistake)
}

/// Runs the model of the mistake that the command line names, if it names one.
pub(crate) fn run_planted(mistakes: &[(Mistake, fn())]) -> bool {
    let Some(name) = std::env::args().nth(1) else { return false };
    let named = mistakes.iter().find(|(mistake, _)| format!("{mistake:?}") == name);
    let (mistake, model) = named.unwrap_or_else(|| panic!("no mistake {name}"));
    PLANTED.set(*mistake).expect("one mistake a process");
    model();
    true
}

/// Runs each mistake's model with it, and expects that some order shows it. In a process of its own,
/// which is aborted where loom panics again while it unwinds.
pub(crate) fn expect_all_caught(mistakes: &[(Mistake, fn())]) {
    for (mistake, _) in mistakes {
        let program = std::env::current_exe().expect("this program has a path");
        let output = Command::new(program).arg(format!("{mistake:?}")).output();
        let output = output.expect("this program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
        match first {
            Some(found) if !output.status.success() => println!("planted {mistake:?}: {found}"),
            _ => panic!("{mistake:?} was planted, and nothing was found: {said}"),
        }
    }
}
