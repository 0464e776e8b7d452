use freehold::prelude::*;

#[operations]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

fn main() {}
