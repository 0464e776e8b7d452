//! Two majors of freehold in one program. Each has its own primitives, with the same claims.

@NAMES@

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for primitive in freehold::PrimitiveRegistry::linked()?.list() {
        println!("{:#04x} {} {:x?}", primitive.type_id(), primitive.name(), primitive.wal_types());
    }
    for primitive in freehold2::PrimitiveRegistry::linked()?.list() {
        println!("{:#04x} {} {:x?}", primitive.type_id(), primitive.name(), primitive.wal_types());
    }
    Ok(())
}
