use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put<T: ToString>(&mut self, value: T) {
        self.notes.insert(value.to_string(), 1);
    }
}

fn main() {}
