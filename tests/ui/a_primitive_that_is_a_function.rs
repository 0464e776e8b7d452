use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
fn notes() {}

fn main() {}
