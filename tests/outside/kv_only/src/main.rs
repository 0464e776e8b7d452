//! A program that links the key-value store and nothing else, on whatever database it is given: it
//! writes, checkpoints twice so that the WAL behind is pruned, and says what it carried through.

use freehold::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: kv_only DIRECTORY")?;
    let db = Options::new().snapshots_kept(1).checkpoint_on_close(false).open(path)?;
    let detached: Vec<&str> =
        db.recovery_report().detached.iter().map(|row| &*row.primitive).collect();
    for key in [b"first", b"other"] {
        db.transaction(|tx| tx.on::<KvStore>().put(key, b"by a program that links only KV"))?;
        db.checkpoint()?;
    }
    println!("carried {}", if detached.is_empty() { "nothing".into() } else { detached.join(", ") });
    db.close()?;
    Ok(())
}
