use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
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

    #[wal(0xa1, version = 1, replay_only)]
    fn remove_one(&mut self, name: &str) {
        self.notes.remove(name);
    }

    #[wal(0xa1)]
    fn remove_two(&mut self, name: String) {
        self.notes.remove(&name);
    }
}

fn main() {}
