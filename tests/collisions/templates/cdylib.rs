//! A shared library of the C kind: it has a registry of its own.

@NAMES@

/// Prints what is registered, or why nothing is.
#[unsafe(no_mangle)]
pub extern "C" fn print_registry() {
    match freehold::PrimitiveRegistry::linked() {
        Ok(registry) => {
            for primitive in registry.list() {
                let (id, bytes) = (primitive.type_id(), primitive.wal_types());
                println!("{id:#04x} {} {bytes:x?}", primitive.name());
            }
        }
        Err(error) => println!("{error}"),
    }
}
