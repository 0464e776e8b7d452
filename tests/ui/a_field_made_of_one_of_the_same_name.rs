use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3, section_version = 2)]
#[derive(Clone, Default)]
struct Notes {
    #[field(from = |notes: OrdSet<String>| notes.iter().map(|note| (note.clone(), 0)).collect())]
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
