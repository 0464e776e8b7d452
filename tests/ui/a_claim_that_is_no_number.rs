use freehold::prelude::*;

#[primitive(id = ID, wal = FIRST..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
