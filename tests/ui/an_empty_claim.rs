use freehold::prelude::*;

#[primitive()]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {}

fn main() {}
