use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes<T> {
    notes: OrdMap<String, T>,
}

#[operations]
impl<T> Notes<T> {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        let _ = name;
    }
}

fn main() {}
