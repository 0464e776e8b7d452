//! Whether a claim keeps to the allocation of type IDs and WAL types.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::errors::Errors;
use crate::model::{Byte, Claim};
use crate::parse;

/// Reads and checks a claim. What is wrong with it is noted, and left out of it.
pub(crate) fn claim(arguments: TokenStream, errors: &mut Errors) -> Claim {
    let mut claim = parse::claim(arguments, errors);
    if let Some(id) = claim.id.filter(|id| id.value == 0) {
        errors.on(tokens(id), "type ID 0 is the core's: take one from 8 to 255");
        claim.id = None;
    }
    let mut taken: Vec<Byte> = Vec::new();
    // One error for a range, not one for each byte in it.
    let mut last_said = String::new();
    for byte in std::mem::take(&mut claim.wal) {
        let mistake = mistake(claim.id, byte, &taken);
        match mistake {
            Some(mistake) if mistake != last_said => {
                errors.on(tokens(byte), &mistake);
                last_said = mistake;
            }
            Some(_) => {}
            None => taken.push(byte),
        }
    }
    claim.wal = taken;
    if let Some(name) = &claim.name
        && (name.value().is_empty() || name.value().len() > 255)
    {
        errors.on(name, "a name has 1 to 255 bytes");
    }
    claim
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
