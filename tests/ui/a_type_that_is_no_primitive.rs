use freehold::prelude::*;

struct Notes;

fn main() -> freehold::Result<()> {
    let db = Options::new().durability(Durability::InMemory).open("")?;
    db.transaction(|tx| {
        tx.read::<Notes>();
        Ok(())
    })
}
