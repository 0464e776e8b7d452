use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
    #[index(deferred = |_, _| {}, update = |_, base| base.longest.clone())]
    longest: Deferred<std::sync::Mutex<u64>>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        self.notes.insert(name.to_owned(), 1);
    }
}

fn main() {}
