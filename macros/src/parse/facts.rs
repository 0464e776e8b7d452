//! The words of an attribute, and what each is given: `id = 0x80, crate = fh, effect`.
//!
//! Every mistake in them is noted and passed over, so that the user sees all of them; a word that
//! was said wrongly counts as said, so that nobody asks for it once more.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Path, Token, Type};

use crate::errors::Errors;

/// A word that an attribute knows, and how it is written in full.
pub(super) type Word = (&'static str, &'static str);

/// A word as the user said it.
pub(super) struct Fact {
    pub(super) name: Ident,
    pub(super) word: &'static str,
    /// How it is written in full.
    pub(super) written: &'static str,
    pub(super) value: Value,
}

/// What stands behind the `=`.
pub(super) enum Value {
    Nothing,
    Expr(Expr),
    /// Only `crate` has a path.
    Path(Path),
    /// Only `via` has a type.
    Type(Type),
}

/// What was said.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) facts: Vec<Fact>,
    /// Also what was said wrongly.
    said: Vec<&'static str>,
    broken: bool,
}

impl Facts {
    /// Whether nobody tried to say it.
    pub(super) fn lacks(&self, word: &str) -> bool {
        !self.broken && !self.said.contains(&word)
    }
}

/// Reads the words of which `known` says how they are written.
pub(super) fn facts(tokens: TokenStream, known: &[Word], errors: &mut Errors) -> Facts {
    let mut facts = Facts::default();
    let read = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(error) = fact(input, known, &mut facts, errors) {
                errors.push(error);
                facts.broken = true;
                skip(input);
            }
            comma(input, errors)?;
        }
        Ok(())
    };
    let read = read.parse2(tokens);
    errors.keep(read);
    facts
}

fn fact(
    input: ParseStream<'_>,
    known: &[Word],
    facts: &mut Facts,
    errors: &mut Errors,
) -> syn::Result<()> {
    if !input.peek(Ident::peek_any) {
        let (_, example) = known.first().copied().unwrap_or_default();
        return Err(input.error(format!("say what this is, such as `{example}`")));
    }
    let name = input.call(Ident::parse_any)?;
    let spelt = name.unraw().to_string();
    let found = known.iter().find(|(word, _)| *word == spelt);
    let Some(&(word, written)) = found else {
        let near = near(&spelt, known);
        facts.said.extend(near);
        errors.on(&name, unknown(&spelt, near, known));
        skip(input);
        return Ok(());
    };
    if facts.said.contains(&word) {
        errors.on(&name, format!("`{word}` is said twice: leave one out"));
        skip(input);
        return Ok(());
    }
    facts.said.push(word);
    if input.is_empty() || input.peek(Token![,]) {
        facts.facts.push(Fact { name, word, written, value: Value::Nothing });
        return Ok(());
    }
    if !input.peek(Token![=]) {
        errors.push(input.error(format!("write it so: `{written}`")));
        skip(input);
        return Ok(());
    }
    input.parse::<Token![=]>()?;
    let value = if word == "crate" {
        path(input).map(Value::Path)
    } else if input.is_empty() || input.peek(Token![,]) {
        Err(syn::Error::new(name.span(), wanting(word, written)))
    } else if word == "via" {
        input.parse().map(Value::Type)
    } else {
        input.parse().map(Value::Expr)
    };
    match value {
        Ok(value) => facts.facts.push(Fact { name, word, written, value }),
        Err(error) => {
            errors.push(error);
            skip(input);
        }
    }
    Ok(())
}

/// What is said of a word with a value that takes none, and the other way round.
pub(super) fn wanting(word: &str, written: &str) -> String {
    if word == written {
        format!("`{word}` stands alone: leave out what it is given")
    } else {
        format!("`{word}` is given a value: write it so: `{written}`")
    }
}

fn path(input: ParseStream<'_>) -> syn::Result<Path> {
    let ahead = input.fork();
    let Ok(path) = Path::parse_mod_style(&ahead) else {
        return Err(input.error("write where freehold is found as a path: `crate = fh`"));
    };
    input.advance_to(&ahead);
    Ok(path)
}

/// The comma behind a fact. Where it is missing, the next fact is read all the same.
fn comma(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    if input.peek(Token![,]) {
        input.parse::<Token![,]>()?;
        return Ok(());
    }
    errors.push(input.error("write a comma before this"));
    if !input.peek(Ident::peek_any) {
        skip(input);
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(())
}

/// Goes to the next comma.
fn skip(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<proc_macro2::TokenTree>().is_err() {
            return;
        }
    }
}

fn unknown(spelt: &str, near: Option<&str>, known: &[Word]) -> String {
    if let Some(near) = near {
        return format!("`{spelt}` is not known here: write `{near}`");
    }
    let words: Vec<String> = known.iter().map(|(word, _)| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => format!("`{spelt}` is not known here: write {last} or nothing"),
        Some((last, others)) => {
            format!("`{spelt}` is not known here: write {} or {last}", others.join(", "))
        }
        None => format!("`{spelt}` is not known here"),
    }
}

/// The word that was meant, as far as one can tell: `wall` for `wal`, `type_id` for `id`.
fn near(spelt: &str, known: &[Word]) -> Option<&'static str> {
    let spelt = spelt.to_lowercase();
    let distances = known.iter().map(|(word, _)| (distance(&spelt, word), *word));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    let allowed = |word: &str| (word.len() / 3).max(1);
    nearest.filter(|(distance, word)| *distance <= allowed(word)).map(|(_, word)| word).or_else(
        || {
            let part = |word: &&str| spelt.split('_').any(|part| part == *word);
            known.iter().map(|(word, _)| *word).find(part)
        },
    )
}

/// How many letters to put in, leave out, change or swap.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut least =
                (rows[i - 1][j - 1] + changed).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::{Word, near};

    const WORDS: &[Word] =
        &[("id", ""), ("wal", ""), ("name", ""), ("section_version", ""), ("replay_only", "")];

    #[test]
    fn a_word_is_near_what_was_meant_and_no_other_is() {
        assert_eq!(near("wall", WORDS), Some("wal"));
        assert_eq!(near("ID", WORDS), Some("id"));
        assert_eq!(near("type_id", WORDS), Some("id"));
        assert_eq!(near("nmae", WORDS), Some("name"));
        assert_eq!(near("replayonly", WORDS), Some("replay_only"));
        assert_eq!(near("sectionVersion", WORDS), Some("section_version"));
        assert_eq!(near("colour", WORDS), None);
        assert_eq!(near("sync", WORDS), None);
    }
}
