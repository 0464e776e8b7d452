use freehold::prelude::*;

#[primitive(id = 1, wal = 0x11..=0x12)]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

fn main() {}
