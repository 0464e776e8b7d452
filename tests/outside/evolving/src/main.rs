//! `evolving DIRECTORY` adds to the stock and opens an order; `evolving DIRECTORY look` only opens the
//! database. Either says how it went: `opened`, or why not, with exit code 1.

use evolving::{Orders, Place, Stock};
use freehold::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().ok_or("usage: evolving DIRECTORY [look]")?;
    let look = arguments.next().is_some();
    let db = Options::new().checkpoint_on_close(false).open(directory)?;
    for warning in db.recovery_report().warnings() {
        println!("{warning}");
    }
    if !look {
        db.transaction(|tx| {
            tx.on::<Stock>().add("nails", 7)?;
            tx.on::<Stock>().put("nails", Place::default())?;
            tx.on::<Orders>().open(1)
        })?;
        db.checkpoint()?;
        db.transaction(|tx| tx.on::<Stock>().add("nails", 1))?;
    }
    db.close()?;
    println!("opened");
    Ok(())
}
