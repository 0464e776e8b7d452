use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdSet<String>,
}

#[operations]
impl Notes {
    #[wal(0xa0, version = 1, newest)]
    fn put(&mut self, note: &str) {
        self.notes.insert(note.to_owned());
    }

    #[wal(0xa0)]
    fn put_two(&mut self, note: &str, other: &str) {
        self.notes.insert(note.to_owned());
        self.notes.insert(other.to_owned());
    }
}

fn main() {}
