use freehold::prelude::*;

type Outcome = Result<u64, std::fmt::Error>;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) -> Outcome {
        self.notes.insert(name.to_owned(), 1);
        Ok(1)
    }
}

fn main() {}
