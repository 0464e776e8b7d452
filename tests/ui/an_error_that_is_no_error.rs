use freehold::prelude::*;

struct Refused;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) -> Result<u64, Refused> {
        self.notes.insert(name.to_owned(), 1).ok_or(Refused)
    }
}

fn main() {}
