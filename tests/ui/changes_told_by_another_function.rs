use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3, changes = Notes::count)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        self.notes.insert(name.to_owned(), 1);
    }

    fn count(&self) -> usize {
        self.notes.len()
    }
}

fn main() {}
