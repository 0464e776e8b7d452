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
            match highest_written(operations, byte) {
                Some(u8::MAX) => errors.at(
                    operations[index].wal.byte.first,
                    format!("{byte:#04x} has all its 255 versions: take another WAL type"),
                ),
                older => operations[index].version = older.unwrap_or(0) + 1,
            }
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

/// An older version is a method of another name, and yet the same operation.
fn rename_older(operations: &mut [Operation]) {
    let newest: Vec<(u8, String)> = operations
        .iter()
        .filter(|operation| operation.wal.version.is_none())
        .map(|operation| (operation.wal.byte.value, operation.name.clone()))
        .collect();
    for operation in operations.iter_mut().filter(|operation| operation.wal.name.is_none()) {
        let byte = operation.wal.byte.value;
        if let Some((_, name)) = newest.iter().find(|(newest, _)| *newest == byte) {
            operation.name.clone_from(name);
        }
    }
}

/// The highest that is written out, here or, as one that is retired, in the lock.
fn highest_written(operations: &[Operation], byte: u8) -> Option<u8> {
    versions_of(operations, byte)
        .filter_map(|other| other.wal.version.map(|(it, _)| it))
        .chain(lock::retired_versions(byte))
        .max()
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
    if below > 0
        && !versions_of(operations, byte).any(|other| other.version == below)
        && !lock::retired_versions(byte).contains(&below)
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
