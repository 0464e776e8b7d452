//! A primitive in a crate that depends on freehold and on nothing else, and forbids what its
//! author does not want to see in their own crate.
//!
//! `only_freehold DIRECTORY` writes a note, and checks all notes of the runs before it.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications)]

use freehold::prelude::*;

/// Notes by title, and how many words they have.
#[primitive(id = 0x90, wal = 0x90..=0x91)]
#[derive(Clone, Debug, Default)]
struct Notes {
    notes: OrdMap<String, Note>,
    #[index(rebuild = |notes| notes.notes.values().map(Note::words).sum())]
    words: u64,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Stored)]
struct Note {
    lines: Vec<String>,
    written: Timestamp,
}

impl Note {
    fn words(&self) -> u64 {
        self.lines.iter().map(|line| line.split_whitespace().count() as u64).sum()
    }
}

#[operations]
impl Notes {
    /// Writes a note, over one of the same title.
    #[wal(0x90)]
    fn write(&mut self, context: &OpContext, title: &str, lines: Vec<String>) {
        let note = Note { lines, written: context.timestamp() };
        self.words += note.words();
        if let Some(before) = self.notes.insert(title.to_owned(), note) {
            self.words -= before.words();
        }
    }

    /// Throws a note away.
    #[wal(0x91)]
    fn discard(&mut self, title: &str) -> Result<(), std::io::Error> {
        let note = self.notes.remove(title).ok_or(std::io::ErrorKind::NotFound)?;
        self.words -= note.words();
        Ok(())
    }

    fn words(&self) -> u64 {
        self.words
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: only_freehold DIRECTORY")?;
    let db = Database::open(&directory)?;
    let before = db.view().on::<Notes>().clone();
    for (index, title) in before.notes.keys().enumerate() {
        assert_eq!(*title, format!("note {index}"));
    }
    assert_eq!(before.words(), before.notes.values().map(Note::words).sum::<u64>());

    let title = format!("note {}", before.notes.len());
    db.transaction(|tx| {
        let mut notes = tx.on::<Notes>();
        notes.write(&title, vec!["to be rewritten".to_owned()])?;
        notes.write(&title, vec!["two words".to_owned(), "and three more".to_owned()])?;
        notes.write("scratch", Vec::new())?;
        notes.discard("scratch")?;
        let error = notes.discard("scratch").unwrap_err();
        assert!(error.rejected::<std::io::Error>().is_some(), "{error}");
        Ok(())
    })?;
    let view = db.view();
    let notes = view.on::<Notes>();
    assert_eq!(notes.words(), before.words() + 5);
    println!("{} notes, {} words", notes.notes.len(), notes.words());
    Ok(())
}
