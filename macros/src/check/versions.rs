//! Which version of which operation a method is.

use crate::errors::Errors;
use crate::lock;
use crate::model::Operation;

/// Gives the newest version of each operation its number, one more than the highest that is written
/// out, and finds what is wrong with those of each WAL type. Those whose place is taken are taken out.
pub(super) fn number(operations: &mut Vec<Operation>, errors: &mut Errors) -> Vec<Operation> {
    for index in 0..operations.len() {
        if operations[index].wal.version.is_none() {
            let byte = operations[index].wal.byte.value;
            if let Some(version) = lock::retired_at(byte) {
                errors.at(
                    operations[index].wal.byte.first,
                    format!(
                        "freehold.lock: {byte:#04x} is retired with its newest version {version}: \
                         delete this method, or take another WAL type"
                    ),
                );
            }
            let older = highest_written(operations, byte).unwrap_or(0);
            let Some(version) = older.checked_add(1) else {
                errors.at(
                    operations[index].wal.byte.first,
                    format!("{byte:#04x} has all its 255 versions: take another WAL type"),
                );
                continue;
            };
            operations[index].version = version;
            number_in_source(&operations[index], errors);
        }
    }
    let taken = twice(operations, errors);
    for operation in operations.iter() {
        gap(operation, operations, errors);
        newest(operation, operations, errors);
    }
    rename_older(operations);
    taken
}

/// A number is in the source, whether the lock is there or not: where older versions are retired and
/// gone, it is written out.
fn number_in_source(operation: &Operation, errors: &mut Errors) {
    let byte = operation.wal.byte;
    let retired = lock::retired_versions(byte.value).into_iter().max();
    if let Some(retired) = retired.filter(|retired| *retired >= operation.version) {
        let (byte, next) = (format!("{:#04x}", byte.value), retired.saturating_add(1));
        let word = if operation.wal.replay_only.is_some() { "replay_only" } else { "newest" };
        errors.at(
            operation.wal.byte.first,
            format!(
                "version {retired} of {byte} is retired and gone, so this one says its number: write \
                 `#[wal({byte}, version = {next}, {word})]`"
            ),
        );
    }
}

/// An older version is a method of another name, and yet the same operation.
fn rename_older(operations: &mut [Operation]) {
    let newest: Vec<(u8, String)> = operations
        .iter()
        .filter(|operation| operation.wal.version.is_none() || operation.wal.newest.is_some())
        .map(|operation| (operation.wal.byte.value, operation.name.clone()))
        .collect();
    for operation in operations.iter_mut().filter(|operation| operation.wal.name.is_none()) {
        let byte = operation.wal.byte.value;
        if let Some((_, name)) = newest.iter().find(|(newest, _)| *newest == byte) {
            operation.name.clone_from(name);
        }
    }
}

fn highest_written(operations: &[Operation], byte: u8) -> Option<u8> {
    versions_of(operations, byte).filter_map(|other| other.wal.version.map(|(it, _)| it)).max()
}

fn versions_of(operations: &[Operation], byte: u8) -> impl Iterator<Item = &Operation> {
    operations.iter().filter(move |other| other.wal.byte.value == byte)
}

/// Two methods for one version of one operation: the second is taken out.
fn twice(operations: &mut Vec<Operation>, errors: &mut Errors) -> Vec<Operation> {
    let mut kept: Vec<Operation> = Vec::new();
    let mut taken: Vec<Operation> = Vec::new();
    for operation in operations.drain(..) {
        let same = |other: &&Operation| {
            other.wal.byte.value == operation.wal.byte.value && other.version == operation.version
        };
        match kept.iter().find(same) {
            // Under `#[cfg]`s, only one of the two may be there: the compiler finds out.
            Some(other) if operation.cfgs.is_empty() && other.cfgs.is_empty() => {
                let byte = operation.wal.byte;
                let name = &other.signature.ident;
                match operation.wal.version {
                    Some((version, span)) => errors.at(
                        span,
                        format!("version {version} of {:#04x} is `{name}` already", byte.value),
                    ),
                    None => errors.at(
                        byte.first,
                        format!(
                            "WAL type {:#04x} is `{name}` already: take another byte; for an older \
                             version of it write `#[wal({:#04x}, version = 1)]`",
                            byte.value, byte.value
                        ),
                    ),
                }
                taken.push(operation);
            }
            _ => kept.push(operation),
        }
    }
    *operations = kept;
    taken
}

/// A version below that nobody has: a number is not left out, and a record of it would not replay.
fn gap(operation: &Operation, operations: &[Operation], errors: &mut Errors) {
    let Some((version, span)) = operation.wal.version else { return };
    let byte = operation.wal.byte.value;
    let below = version - 1;
    // Who writes the newest one's number says that some below it are gone.
    let some_are_gone = versions_of(operations, byte).any(|other| {
        let top = other.wal.newest.or(other.wal.replay_only);
        top.is_some() && other.wal.version.is_some()
    });
    if below > 0
        && !some_are_gone
        && !versions_of(operations, byte).any(|other| other.version == below)
    {
        errors.at(
            span,
            format!(
                "{byte:#04x} has no version {below}: write it too, as its records need it, or take \
                 the next number from 1"
            ),
        );
    }
}

/// The newest version is called, or it is said that none is.
fn newest(operation: &Operation, operations: &[Operation], errors: &mut Errors) {
    let byte = operation.wal.byte.value;
    let newer = versions_of(operations, byte).max_by_key(|other| other.version);
    let Some(newest) = newer else { return };
    let is_newest = newest.version == operation.version;
    if let Some(span) = operation.wal.newest {
        if !is_newest {
            let message =
                format!("the newest version of {byte:#04x} is `{}`", newest.signature.ident);
            errors.at(span, message);
        } else if operation.wal.version.is_none() {
            errors.at(span, "a method without `version = ..` is the newest: leave this out");
        } else if let Some(replay_only) = operation.wal.replay_only {
            errors.at(replay_only, "`newest` is called, and `replay_only` is not: leave one out");
        }
        return;
    }
    match (operation.wal.replay_only, operation.wal.version) {
        (Some(span), _) if !is_newest => errors.at(
            span,
            format!(
                "the newest version of {byte:#04x} is `{}`, and older ones are for replay only \
                 anyway: leave this out",
                newest.signature.ident
            ),
        ),
        (None, Some((_, span))) if is_newest => errors.at(
            span,
            format!(
                "no method is the newest version of {byte:#04x}: leave `version = ..` off this \
                 one, or write `replay_only` behind it if it is kept for old records only"
            ),
        ),
        _ => {}
    }
}
