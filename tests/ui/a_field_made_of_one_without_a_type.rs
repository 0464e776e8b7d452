use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3, section_version = 2)]
#[derive(Clone, Default)]
struct Notes {
    #[field(from = |titles| titles)]
    notes: OrdSet<String>,
}

#[operations]
impl Notes {}

fn main() {}
