use freehold::prelude::*;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    notes: OrdMap<String, u64>,
}

#[operations]
impl Notes {
    #[wal(0xa0)]
    fn put(&mut self, name: &str) {
        self.notes.insert(name.to_owned(), 1);
    }

    #[wal(0xa1)]
    fn remove(&mut self, count: usize) -> Option<u64> {
        self.notes.remove(&count.to_string())
    }
}

fn main() -> freehold::Result<()> {
    let db = Options::new().durability(Durability::InMemory).open("")?;
    db.transaction(|tx| tx.on::<Notes>().remove(1))?;
    let view = db.view();
    assert_eq!(view.on::<Notes>().notes.len(), 1);
    Ok(())
}
