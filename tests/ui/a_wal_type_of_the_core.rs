use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0x0e..=0x0f)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
