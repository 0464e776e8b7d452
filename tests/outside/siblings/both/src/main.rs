//! Links both, names neither's primitive, and prints what is registered.

use left as _;
use right as _;

#[cfg(feature = "asks")]
freehold::assert_no_collisions!();

fn main() -> Result<(), freehold::Error> {
    for primitive in freehold::PrimitiveRegistry::linked()?.list() {
        println!("{} {:#04x} {:x?}", primitive.name(), primitive.type_id(), primitive.wal_types());
    }
    Ok(())
}
