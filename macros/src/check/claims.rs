//! Whether a claim keeps to the allocation of type IDs and WAL types.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use crate::errors::Errors;
use crate::model::{Byte, Claim};
use crate::parse;

/// Reads and checks a claim. What is wrong with it is noted, and left out of it.
///
/// `by_hand`: by `register!`.
pub(crate) fn claim(arguments: TokenStream, by_hand: bool, errors: &mut Errors) -> Claim {
    let mut claim = parse::claim(arguments, by_hand, errors);
    if let Some(id) = claim.id.filter(|id| id.value == 0) {
        errors.on(tokens(id), "type ID 0 is the core's: take one from 8 to 255");
        claim.id = None;
    }
    let mut taken: Vec<Byte> = Vec::new();
    // One error for a range, not one for each byte in it.
    let mut last_wrong = None;
    for byte in std::mem::take(&mut claim.wal) {
        match mistake(claim.id, byte, &taken) {
            Some(mistake) if last_wrong != Some(byte.part) => {
                errors.on(tokens(byte), &mistake);
                last_wrong = Some(byte.part);
            }
            Some(_) => {}
            None => taken.push(byte),
        }
    }
    claim.wal = taken;
    for name in claim.name.iter().chain(&claim.was) {
        if name.value().is_empty() {
            errors.on(name, "the name is empty: write one, or leave it out");
        } else if name.value().len() > 255 {
            errors.on(name, "a name has at most 255 bytes");
        } else if !name.value().chars().all(is_printed_by_linkers) {
            errors.on(
                name,
                "a name is one word that every linker can print: without white space, control \
                 characters, quotes, `\\` and `@`",
            );
        }
    }
    claim
}

/// Whether the former names are former, and each stands there once.
pub(super) fn former_names(claim: &Claim, primitive: &Ident, errors: &mut Errors) {
    let name = match &claim.name {
        Some(name) => name.value(),
        None => primitive.unraw().to_string(),
    };
    for (index, was) in claim.was.iter().enumerate() {
        let written = was.value();
        if written == name {
            errors
                .on(was, format!("`{name}` is the name that it has now: list those it had before"));
        } else if claim.was[..index].iter().any(|other| other.value() == written) {
            errors.on(was, format!("`{written}` is listed twice"));
        }
    }
}

/// A name is part of a symbol. What follows an `@` in one is taken for a version.
fn is_printed_by_linkers(character: char) -> bool {
    !(character.is_whitespace()
        || character.is_control()
        || matches!(character, '"' | '\'' | '`' | '\\' | '@'))
}

fn mistake(id: Option<Byte>, byte: Byte, taken: &[Byte]) -> Option<String> {
    if byte.value < 0x10 {
        return Some("WAL types 0x00 to 0x0f are the core's: take some from 0x80".to_owned());
    }
    if taken.iter().any(|other| other.value == byte.value) {
        return Some(format!("WAL type {:#04x} is listed twice", byte.value));
    }
    let id = id?.value;
    let block = byte.value >> 4;
    match (id, block) {
        (1..=7, _) if block == id => None,
        (1..=7, _) => Some(format!(
            "type ID {id} goes with the WAL types {:#04x} to {:#04x}; others go with an ID from 8",
            id << 4,
            id << 4 | 0xf,
        )),
        (_, 8..) => None,
        (_, _) => Some(format!(
            "WAL types {:#04x} to {:#04x} go with type ID {block}; with an ID from 8 take some \
             from 0x80",
            block << 4,
            block << 4 | 0xf,
        )),
    }
}

/// Tokens that stand where the byte is written.
fn tokens(byte: Byte) -> TokenStream {
    let first = quote_spanned!(byte.first=> _);
    let last = quote_spanned!(byte.last=> _);
    quote!(#first #last)
}
