//! The corpus: cases that came to something of their own, run again by every change.
//!
//! - A line is a target, what its cases come to, and after a colon their seeds and numbers: a case is
//!   made of these, not kept as bytes, so that it follows the format.
//! - Of the cases that are looked through, the first is kept for each thing that is said, numbers and
//!   names aside. A case of which a failure was mended is added by hand.
//! - `FREEHOLD_BLESS=1` writes anew what the cases come to, where the samples or the format changed,
//!   and adds what is said for the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Outcome, TARGETS, watched, word};

/// The seed and the number of a case, by its target.
type Corpus = BTreeMap<&'static str, Vec<(u64, u64)>>;

/// What each case came to, in a word.
type Words = BTreeMap<(&'static str, String), Vec<(u64, u64)>>;

/// Of so many cases of each target the corpus is chosen.
const LOOKED_THROUGH: u64 = 2000;
/// The seed of those cases.
const SEED: u64 = 0xc0;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testing/fuzz/corpus.txt")
}

#[expect(clippy::disallowed_methods, reason = "a file of the project")]
fn read() -> String {
    std::fs::read_to_string(path()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a file of the project")]
fn write(text: &str) {
    std::fs::write(path(), text).unwrap();
}

/// The cases of a corpus.
fn cases(text: &str) -> Corpus {
    let mut corpus = Corpus::new();
    for line in text.lines() {
        let (head, cases) = line.split_once(": ").expect("a colon");
        let (name, _) = head.split_once(' ').expect("a target and a word");
        let (target, _) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
        let cases = cases.split(' ').map(|case| {
            let (seed, number) = case.split_once('/').expect("a seed and a number");
            (seed.parse().expect("a seed"), number.parse().expect("a number"))
        });
        corpus.entry(target).or_default().extend(cases);
    }
    corpus
}

fn text(words: &Words) -> String {
    let mut text = String::new();
    for ((target, word), cases) in words {
        let cases = cases.iter().map(|(seed, number)| format!(" {seed}/{number}"));
        text.push_str(&format!("{target} {word}:{}\n", cases.collect::<String>()));
    }
    text
}

/// Runs every case of a corpus.
fn run(corpus: Corpus) -> Words {
    let mut words = Words::new();
    for (target, mut cases) in corpus {
        cases.sort_unstable();
        let found = watched(target, cases.into_iter(), Vec::new(), |found, case, outcome| {
            found.push((case, word(&outcome).to_owned()));
        });
        for (case, word) in found {
            words.entry((target, word)).or_default().push(case);
        }
    }
    words
}

/// What is said, without the numbers and the names in quotes that differ from case to case.
fn gist(outcome: &str) -> String {
    let is_number = |part: &str| part.contains(|c: char| c.is_ascii_digit());
    let parts = outcome.split(|c: char| c.is_whitespace() || "\"`',;()[]{}".contains(c));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty() && !is_number(part)).collect();
    parts.join(" ")
}

/// Cases of `target` that come to something that no case of `known` comes to.
fn chosen(target: &'static str, known: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    type Found = (BTreeSet<String>, Vec<(u64, u64)>);
    let each = |(gists, chosen): &mut Found, case, outcome: Outcome| {
        if gists.insert(gist(&outcome)) {
            chosen.push(case);
        }
    };
    let (gists, _) = watched(target, known.into_iter(), Found::default(), each);
    let looked_through = (0..LOOKED_THROUGH).map(|number| (SEED, number));
    watched(target, looked_through, (gists, Vec::new()), each).1
}

#[test]
fn the_corpus_comes_to_what_it_came_to() {
    let mut corpus = cases(&read());
    if std::env::var_os("FREEHOLD_BLESS").is_some() {
        for (target, _) in TARGETS {
            let known = corpus.entry(target).or_default();
            let new = chosen(target, known.clone());
            known.extend(new);
        }
        write(&text(&run(corpus.clone())));
        corpus = cases(&read());
    }
    let found = text(&run(corpus));
    for (found, expected) in found.lines().zip(read().lines()) {
        assert_eq!(found, expected, "FREEHOLD_BLESS=1 writes the corpus anew, if that is right");
    }
    assert_eq!(found, read(), "FREEHOLD_BLESS=1 writes the corpus anew, if that is right");
    assert!(found.lines().count() > 3 * TARGETS.len(), "not much of a corpus");
}
