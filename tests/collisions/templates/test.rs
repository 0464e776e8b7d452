//! A test binary that links two crates which its package does not.

@NAMES@

#[test]
fn the_registry() -> Result<(), freehold::Error> {
    for primitive in freehold::PrimitiveRegistry::linked()?.list() {
        println!("{:#04x} {} {:x?}", primitive.type_id(), primitive.name(), primitive.wal_types());
    }
    Ok(())
}
