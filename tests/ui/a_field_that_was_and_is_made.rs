use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3, section_version = 2)]
#[derive(Clone, Default)]
struct Notes {
    #[field(was = "old", from = |titles: OrdSet<String>| titles)]
    notes: OrdSet<String>,
}

#[operations]
impl Notes {}

fn main() {}
