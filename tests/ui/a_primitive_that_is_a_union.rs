use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Copy)]
union Notes {
    number: u64,
    bytes: [u8; 8],
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn clear(&mut self) {
        self.number = 0;
    }
}

fn main() {}
