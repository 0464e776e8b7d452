use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0x70..=0x72)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
