//! What is linked, and what does not link: the claims' nets from outside.
//!
//! - This program has primitives in a module, in a nested module and inside a function; all are in
//!   its registry.
//! - `tests/outside/siblings` is two crates that know nothing of each other and a program that links
//!   both. Where they collide, `cargo check` of each passes and `cargo build` of the program fails.

#![expect(clippy::disallowed_methods, reason = "these tests arrange files for cargo, no database")]

use std::path::Path;
use std::process::Output;

use freehold::PrimitiveRegistry;
use freehold::prelude::*;

#[path = "outside/cargo.rs"]
mod cargo;

/// At the crate's root.
#[primitive(id = 0xc0, wal = [0xc0, 0xc3])]
#[derive(Clone, Debug, Default)]
struct AtTheRoot {
    count: u64,
}

#[operations]
impl AtTheRoot {
    #[wal(0xc3)]
    fn count(&mut self) {
        self.count += 1;
    }
}

mod nested {
    pub(crate) mod deeper {
        use freehold::prelude::*;

        /// In a module.
        #[primitive(id = 0xc1, wal = 0xc1, name = "nested", was = ["deep", "deeper"], scope = root)]
        #[derive(Clone, Debug, Default)]
        pub(crate) struct InAModule;

        #[operations]
        impl InAModule {}
    }
}

fn in_a_function() -> u8 {
    #[primitive(id = 0xc2, wal = 0xc2, section_version = 3)]
    #[derive(Clone, Debug, Default)]
    struct InAFunction(u64, OrdSet<u64>);

    #[operations]
    impl InAFunction {}

    InAFunction::TYPE_ID
}

#[test]
fn every_primitive_of_the_program_is_registered_wherever_it_stands() {
    let registry = PrimitiveRegistry::linked().unwrap();
    let mine: Vec<_> = registry
        .list()
        .iter()
        .filter(|primitive| primitive.type_id() >= 0xc0)
        .map(|primitive| (primitive.type_id(), primitive.name(), primitive.wal_types()))
        .collect();
    assert_eq!(
        mine,
        [
            (0xc0, "AtTheRoot", &[0xc0, 0xc3][..]),
            (0xc1, "nested", &[0xc1]),
            (0xc2, "InAFunction", &[0xc2]),
        ]
    );
    assert_eq!(in_a_function(), 0xc2);
    assert_eq!(registry.check(), Ok(()));
}

#[test]
fn a_descriptor_says_what_the_attribute_says() {
    let registry = PrimitiveRegistry::linked().unwrap();
    let nested = registry.get(nested::deeper::InAModule::TYPE_ID).unwrap();
    assert!(nested.root_only());
    assert_eq!(nested.former_names(), ["deep", "deeper"]);
    assert_eq!(nested.section_version(), 1);
    assert_eq!(
        (nested.origin().crate_name, nested.origin().file),
        ("registry", "tests/registry.rs")
    );
    assert!(nested.to_string().starts_with("nested (tests/registry.rs:"), "{nested}");
    let inner = registry.get_for_wal_type(0xc2).unwrap();
    assert_eq!((inner.section_version(), inner.section_shape()), (3, "0: u64, 1: {u64}, "));
    let root = registry.get_for_wal_type(0xc3).unwrap();
    let operation = root.operations().first().unwrap();
    assert_eq!((operation.wal_type, operation.version, operation.name), (0xc3, 1, "count"));
    assert_eq!(operation.shape, "()");
}

/// Runs cargo on the siblings.
fn cargo(command: &str, features: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = root.join("tests/outside/siblings");
    let lock = root.join("Cargo.lock");
    if lock.exists() {
        // The same versions as here, so that nothing has to be downloaded anew.
        std::fs::copy(lock, workspace.join("Cargo.lock")).unwrap();
    }
    let arguments = [command, "--quiet", "--package", "both", "--features", features];
    cargo::cargo(&arguments, &workspace.join("Cargo.toml")).output().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn siblings_that_do_not_collide_link_and_are_both_registered() {
    let output = cargo("run", "");
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Left 0x81 [81, 82, 83]\nRight 0x84 [84, ff]\n"
    );
}

#[test]
fn siblings_that_collide_are_refused_by_the_compiler_where_the_program_asks() {
    let checked = cargo("check", "asks");
    assert!(checked.status.success(), "nothing collides: {}", complaint(&checked));
    assert_eq!(complaint(&checked), "", "a program that asks is not warned of the question");
    for (feature, message, rights) in [
        ("wal-type", "WAL type 0x83", "id = 0x84, wal = [0x83..=0x85, 0xff]"),
        ("type-id", "type ID 0x81", "id = 0x81, wal = [0x84, 0xff]"),
        ("wal-type,type-id", "type ID 0x81", "id = 0x81, wal = [0x83..=0x85, 0xff]"),
    ] {
        let checked = cargo("check", &format!("asks,{feature}"));
        assert!(!checked.status.success(), "{feature}: a program with a collision was checked");
        let complaint = complaint(&checked);
        let message = format!("error[E0277]: {message} is claimed by two primitives");
        assert!(complaint.starts_with(&message), "{complaint}");
        assert!(complaint.contains("#[primitive(id = 0x81, wal = 0x81..=0x83)]"), "{complaint}");
        assert!(complaint.contains(rights), "{complaint}");
        assert_eq!(complaint.matches("error[").count(), 1, "one error a collision: {complaint}");
    }
}

#[test]
fn siblings_that_collide_are_refused_by_the_linker_in_words() {
    for (feature, message) in [
        ("wal-type", "freehold/1: WAL type 0x83 is claimed by two primitives"),
        ("type-id", "freehold/1: type ID 0x81 is claimed by two primitives"),
        ("name", "freehold/1: the name Left is claimed by two primitives"),
    ] {
        let checked = cargo("check", feature);
        assert!(checked.status.success(), "neither crate sees the other: {}", complaint(&checked));
        let built = cargo("build", feature);
        assert!(!built.status.success(), "{feature}: a program with a collision was linked");
        let complaint = complaint(&built);
        assert!(complaint.contains(message), "{complaint}");
    }
}
