use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0, effect)]
    fn put(&self, name: &str) -> ((String, u64), u64) {
        ((name.to_owned(), 1), 1)
    }
}

fn main() {}
