use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

#[primitive(id = 0xa1, wal = [0xb0, 0xa2])]
#[derive(Clone, Default)]
struct Tasks {}

#[operations]
impl Tasks {}

fn main() {}
