use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0)]
#[derive(Clone, Default)]
struct Notes {}

#[operations]
impl Notes {}

#[primitive(id = 0xa0, wal = 0xa1)]
#[derive(Clone, Default)]
struct Tasks {}

#[operations]
impl Tasks {}

fn main() {}
