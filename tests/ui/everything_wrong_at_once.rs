use freehold::prelude::*;

#[primitive(id = 0, wal = [0x01, 0xa3..=0xa0], scope = run, colour = "red")]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
