//! Links what it names and prints what is registered.

#![forbid(unsafe_code)]

@NAMES@

fn main() -> Result<(), freehold::Error> {
    for primitive in freehold::PrimitiveRegistry::linked()?.list() {
        println!("{:#04x} {} {:x?}", primitive.type_id(), primitive.name(), primitive.wal_types());
    }
    Ok(())
}
