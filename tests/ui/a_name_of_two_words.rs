use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0, name = "my notes")]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

fn main() {}
