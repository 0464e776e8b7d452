use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xaf)]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

#[primitive(id = 0xa1, wal = 0xa8..=0xb7)]
#[derive(Clone, Default)]
struct Tasks {}

#[operations]
impl Tasks {}

fn main() {}
