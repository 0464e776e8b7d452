use freehold::prelude::*;

#[primitive(id = 1, wal = 0x14..=0x15)]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

fn main() {}
