use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
enum Notes {
    #[default]
    None,
    Some(OrdMap<String, u64>),
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn clear(&mut self) {
        *self = Notes::None;
    }
}

fn main() {}
