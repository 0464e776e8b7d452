use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdSet<String>,
}

#[operations]
impl Notes {
    #[wal(0xa0, newest)]
    fn put(&mut self, note: &str) {
        self.notes.insert(note.to_owned());
    }
}

fn main() {}
