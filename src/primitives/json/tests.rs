//! `JsonStore`.

use super::*;

freehold::conformance!(JsonStore, {
    let name = "[ab]";
    let value = prop_oneof![
        Just("1"),
        Just("null"),
        Just("[1, {\"a\": 2.5}]"),
        Just("{\"a\": [], \"b\": {\"a\": \"x\"}}"),
    ]
    .prop_map(json);
    let pointer = prop_oneof![
        Just(""),
        Just("/a"),
        Just("/b/a"),
        Just("/a/-"),
        Just("/a/0"),
        Just("/0"),
        Just("a"),
    ];
    let operation = prop_oneof![
        Just(r#"{"op": "add", "path": "/a", "value": [1, 2]}"#),
        Just(r#"{"op": "add", "path": "/a/0", "value": 0.5}"#),
        Just(r#"{"op": "remove", "path": "/a/1"}"#),
        Just(r#"{"op": "replace", "path": "/a", "value": "é"}"#),
        Just(r#"{"op": "move", "from": "/b", "path": "/c"}"#),
        Just(r#"{"op": "copy", "from": "", "path": "/a"}"#),
        Just(r#"{"op": "test", "path": "/a", "value": []}"#),
    ];
    let patch = proptest::collection::vec(operation, 0..3)
        .prop_map(|operations| json(&format!("[{}]", operations.join(","))));
    let merged = prop_oneof![
        Just(r#"{"a": null}"#),
        Just(r#"{"a": {"b": 1, "c": null}}"#),
        Just(r#"{"b": {"a": [null]}}"#),
        Just("[1]"),
    ]
    .prop_map(json);
    prop_oneof![
        2 => (name, value.clone()).prop_map(|(name, value)| {
            call!(JsonStore, create(&name, &value))
        }),
        3 => (name, value.clone()).prop_map(|(name, value)| call!(JsonStore, put(&name, &value))),
        3 => (name, pointer.clone(), value).prop_map(|(name, pointer, value)| {
            call!(JsonStore, set(&name, pointer, &value))
        }),
        2 => (name, pointer).prop_map(|(name, pointer)| call!(JsonStore, delete(&name, pointer))),
        3 => (name, patch).prop_map(|(name, patch)| call!(JsonStore, patch(&name, &patch))),
        3 => (name, merged).prop_map(|(name, patch)| call!(JsonStore, merge(&name, &patch))),
        1 => name.prop_map(|name| call!(JsonStore, remove(&name))),
    ]
});

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}
