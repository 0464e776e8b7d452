use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default, PartialEq)]
struct Notes {
    notes: OrdSet<String>,
}

#[operations]
impl Notes {}

freehold::conformance!(Notes);

fn main() {}
