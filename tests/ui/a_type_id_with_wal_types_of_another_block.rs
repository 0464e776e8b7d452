use freehold::prelude::*;

#[primitive(id = 7, wal = [0x70, 0x81])]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
