//! Links both, names neither's primitive, and prints what is registered.

#![forbid(unsafe_code)]

use left as _;
use right as _;

#[cfg(feature = "asks")]
extern crate freehold as fh;

/// Under another name, and without what every module has by itself.
#[cfg(feature = "asks")]
mod asks {
    #![no_implicit_prelude]

    ::fh::assert_no_collisions!();
}

fn main() -> Result<(), freehold::Error> {
    for primitive in freehold::PrimitiveRegistry::linked()?.list() {
        println!("{} {:#04x} {:x?}", primitive.name(), primitive.type_id(), primitive.wal_types());
    }
    Ok(())
}
