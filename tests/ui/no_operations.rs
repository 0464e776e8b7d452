use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

fn main() -> freehold::Result<()> {
    let db = Options::new().durability(Durability::InMemory).open("")?;
    db.view().on::<Notes>();
    db.transaction(|tx| {
        tx.on::<Notes>();
        Ok(())
    })
}
