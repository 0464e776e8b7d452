use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes<'a> {
    last: Option<&'a str>,
}

#[operations]
impl Notes<'_> {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        let _ = name;
    }
}

fn main() {}
