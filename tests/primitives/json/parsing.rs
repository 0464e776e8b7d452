//! Which texts are JSON, and what is kept of them: JSONTestSuite.

use std::collections::BTreeMap;

use freehold::primitives::{Json, JsonStore};
use serde_json::Value;

use super::{bytes, commit, files, holds};
use crate::machine::Machine;

/// As a program reads a file: it must be UTF-8 first.
fn parsed(bytes: &[u8]) -> Option<Json> {
    Json::parse(std::str::from_utf8(bytes).ok()?).ok()
}

#[test]
fn every_text_that_is_json_is_kept_and_every_other_is_refused() {
    let mut machine = Machine::new();
    let mut expected = BTreeMap::new();
    let (mut kept, mut refused, mut either) = (0, 0, (0, 0));
    for path in files("json-suites/json-parsing/test_parsing") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = bytes(&path);
        let json = parsed(&bytes);
        match (name.split('_').next().unwrap(), json.is_some()) {
            ("y", true) => kept += 1,
            ("n", false) => refused += 1,
            ("i", true) => either.0 += 1,
            ("i", false) => either.1 += 1,
            _ => panic!("{name}: {json:?}"),
        }
        if let Some(json) = json {
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(json.to_value(), value, "{name}");
            commit(&machine, |tx| tx.on::<JsonStore>().create(&name, &json));
            expected.insert(name, json);
        }
    }
    holds(&mut machine, &expected);
    assert_eq!(kept + refused + either.0 + either.1, 211);
    println!(
        "json: JSONTestSuite: {kept} y_ kept, {refused} n_ refused, of i_ {} kept and {} refused; the \
         same after a crash and after a close",
        either.0, either.1
    );
}

#[test]
fn what_becomes_of_texts_that_parsers_differ_in_is_known() {
    let refused = "refused";
    let expected = [
        ("number_-9223372036854775808", "[-9223372036854775808]"),
        ("number_-9223372036854775809", refused),
        ("number_1.000000000000000005", "[1.0]"),
        ("number_1000000000000000", "[1000000000000000]"),
        ("number_1e-999", "[0.0]"),
        ("number_1e6", "[1000000.0]"),
        ("number_9223372036854775808", "[9223372036854775808]"),
        ("object_key_nfc_nfd", "{\"e\u{301}\":\"NFD\",\"\u{e9}\":\"NFC\"}"),
        ("object_same_key_different_values", r#"{"a":2}"#),
        ("object_same_key_same_value", r#"{"a":1}"#),
        ("string_1_escaped_invalid_codepoint", refused),
        ("string_1_invalid_codepoint", refused),
        ("string_2_invalid_codepoints", refused),
        ("string_3_escaped_invalid_codepoints", refused),
        ("string_with_escaped_NULL", r#"["A\u0000B"]"#),
    ];
    let mut machine = Machine::new();
    let mut documents = BTreeMap::new();
    for (path, (name, text)) in
        files("json-suites/json-parsing/test_transform").into_iter().zip(expected)
    {
        assert_eq!(path.file_stem().unwrap(), name);
        let json = parsed(&bytes(&path));
        let found = json.as_ref().map_or_else(|| refused.to_owned(), Json::to_string);
        println!("json: {name}: {found}");
        assert_eq!(found, text, "{name}");
        if let Some(json) = json {
            commit(&machine, |tx| tx.on::<JsonStore>().create(name, &json));
            documents.insert(name.to_owned(), json);
        }
    }
    holds(&mut machine, &documents);
}
