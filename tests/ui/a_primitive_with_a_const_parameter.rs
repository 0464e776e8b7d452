use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes<const MOST: usize> {
    notes: OrdMap<String, u64>,
}

#[operations]
impl<const MOST: usize> Notes<MOST> {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        self.notes.insert(name.to_owned(), 1);
    }
}

fn main() {}
