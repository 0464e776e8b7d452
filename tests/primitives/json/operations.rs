//! What each operation does, refuses, and says.

use std::time::Duration;

use freehold::prelude::*;
use freehold::primitives::{Json, JsonError, JsonProblem, JsonStore, JsonStoreError};

use super::{commit, json, refusal};
use crate::machine::{Machine, state};

#[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
fn took(body: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    body();
    start.elapsed()
}

fn text(machine: &Machine, name: &str) -> Option<String> {
    machine.db.view().on::<JsonStore>().get(name).map(Json::to_string)
}

#[test]
fn a_document_is_made_replaced_and_removed_as_a_whole() {
    let mut machine = Machine::new();
    let (lsn, time) = machine.commit(|tx| {
        tx.on::<JsonStore>().create("a", &json("[1]"))?;
        Ok((tx.lsn(), tx.timestamp()))
    });
    machine.refused(JsonStoreError::Exists { name: "a".into() }, |tx| {
        tx.on::<JsonStore>().create("a", &json("[2]"))
    });
    {
        let view = machine.db.view();
        let document = view.on::<JsonStore>().document("a").unwrap();
        assert_eq!((document.created(), document.changed(), document.lsn()), (time, time, lsn));
    }
    let (old, lsn, later) = machine
        .commit(|tx| Ok((tx.on::<JsonStore>().put("a", &json("[3]"))?, tx.lsn(), tx.timestamp())));
    assert_eq!(old, Some(json("[1]")));
    {
        let view = machine.db.view();
        let document = view.on::<JsonStore>().document("a").unwrap();
        assert_eq!((document.created(), document.changed(), document.lsn()), (time, later, lsn));
    }
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().put("b", &json("{}"))), None);
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().remove("b")), Some(json("{}")));
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().remove("b")), None);
    assert_eq!(
        machine.commit(|tx| tx.on::<JsonStore>().set("a", "", &json("4"))),
        Some(json("[3]"))
    );
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().delete("a", "")), json("4"));
    assert!(machine.db.view().on::<JsonStore>().is_empty());
    let operations: [fn(&mut Transaction<'_>) -> Result<()>; 4] = [
        |tx| tx.on::<JsonStore>().set("a", "", &json("4")).map(drop),
        |tx| tx.on::<JsonStore>().delete("a", "").map(drop),
        |tx| tx.on::<JsonStore>().patch("a", &json("[]")),
        |tx| tx.on::<JsonStore>().merge("a", &json("{}")),
    ];
    for operation in operations {
        machine.refused(JsonStoreError::Absent { name: "a".into() }, operation);
    }
}

#[test]
fn a_document_has_the_time_of_its_last_change() {
    let mut machine = Machine::new();
    let created = machine.commit(|tx| {
        tx.on::<JsonStore>().create("d", &json(r#"{"a": 1}"#))?;
        Ok(tx.timestamp())
    });
    let changes: [fn(&mut Transaction<'_>) -> Result<()>; 4] = [
        |tx| tx.on::<JsonStore>().set("d", "/b", &json("2")).map(drop),
        |tx| tx.on::<JsonStore>().delete("d", "/b").map(drop),
        |tx| tx.on::<JsonStore>().patch("d", &json(r#"[{"op": "remove", "path": "/a"}]"#)),
        |tx| tx.on::<JsonStore>().merge("d", &json(r#"{"a": 3}"#)),
    ];
    for change in changes {
        let (changed, lsn) = machine.commit(|tx| {
            change(tx)?;
            Ok((tx.timestamp(), tx.lsn()))
        });
        let view = machine.db.view();
        let document = view.on::<JsonStore>().document("d").unwrap();
        let found = (document.created(), document.changed(), document.lsn());
        assert_eq!(found, (created, changed, lsn));
    }
}

#[test]
fn a_place_is_set_and_deleted_where_its_parent_is() {
    let mut machine = Machine::new();
    let document = json(r#"{"a": {"b/c": 1}, "list": [1, 2], "": 0}"#);
    machine.commit(|tx| tx.on::<JsonStore>().create("d", &document));
    let mut set = |pointer: &str, value: &str| {
        let value = json(value);
        machine.commit(|tx| tx.on::<JsonStore>().set("d", pointer, &value))
    };
    assert_eq!(set("/a/b~1c", "[]"), Some(json("1")));
    assert_eq!(set("/a/new", "true"), None);
    assert_eq!(set("/list/-", "3"), None);
    assert_eq!(set("/list/0", "\"x\""), Some(json("1")));
    assert_eq!(set("/", "null"), Some(json("0")));
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().delete("d", "/list/1")), json("2"));
    assert_eq!(machine.commit(|tx| tx.on::<JsonStore>().delete("d", "/a/b~1c")), json("[]"));
    let now = r#"{"":null,"a":{"new":true},"list":["x",3]}"#;
    assert_eq!(text(&machine, "d").as_deref(), Some(now));

    let no_pointer = |found: &str| JsonProblem::NoPointer { found: found.into() };
    let array = |index, below| JsonProblem::NoElement { index, below };
    let member = |member: &str| JsonProblem::NoMember { member: member.into() };
    let no_index = |found: &str| JsonProblem::NoIndex { found: found.into() };
    let scalar = |found| JsonProblem::NoContainer { found };
    let cases = [
        ("/none/b", member("none"), member("none")),
        ("/list/2", array(2, 2), array(2, 2)),
        ("/list/01", no_index("01"), no_index("01")),
        ("/list/x", no_index("x"), no_index("x")),
        ("/list/0/y", scalar("a text"), scalar("a text")),
        ("/a/new/-", scalar("a truth value"), scalar("a truth value")),
    ];
    let place = |pointer: &str, problem: JsonProblem| JsonStoreError::Place {
        name: "d".into(),
        pointer: pointer.into(),
        problem,
    };
    for (pointer, set, delete) in cases {
        let view = machine.db.view();
        assert_eq!(
            view.on::<JsonStore>().at("d", pointer),
            Err(place(pointer, delete.clone())),
            "{pointer}"
        );
        machine
            .refused(place(pointer, set), |tx| tx.on::<JsonStore>().set("d", pointer, &json("1")));
        machine.refused(place(pointer, delete), |tx| tx.on::<JsonStore>().delete("d", pointer));
    }
    // A member can be new, an element after the last cannot be deleted.
    let error = refusal(&machine, |tx| tx.on::<JsonStore>().delete("d", "/list/-"));
    assert_eq!(error, place("/list/-", array(2, 2)));
    assert_eq!(error.to_string(), r#"document d at "/list/-": index is 2, expected less than 2"#);
    for pointer in ["a", "/~", "/a~2b"] {
        let error = refusal(&machine, |tx| tx.on::<JsonStore>().set("d", pointer, &json("1")));
        assert!(
            matches!(&error, JsonStoreError::Place { problem: JsonProblem::NoPointer { .. }, .. }),
            "{error}"
        );
        assert_ne!(error, place(pointer, no_pointer("")));
    }
    assert_eq!(text(&machine, "d").as_deref(), Some(now));
}

#[test]
fn a_relative_pointer_goes_up_along_and_down() {
    let machine = Machine::new();
    // The example of the draft's section 5.1.
    let document =
        json(r#"{"foo": ["bar", "baz", "biz"], "highly": {"nested": {"objects": true}}}"#);
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &document));
    let view = machine.db.view();
    let documents = view.on::<JsonStore>();
    for (from, relative, expected) in [
        ("/foo/1", "0", r#""baz""#),
        ("/foo/1", "1/0", r#""bar""#),
        ("/foo/1", "0-1", r#""bar""#),
        ("/foo/1", "0+1", r#""biz""#),
        ("/foo/1", "2/highly/nested/objects", "true"),
        ("/foo/1", "0#", "1"),
        ("/foo/1", "0-1#", "0"),
        ("/foo/1", "1#", r#""foo""#),
        ("/highly/nested", "0/objects", "true"),
        ("/highly/nested", "1/nested/objects", "true"),
        ("/highly/nested", "2/foo/0", r#""bar""#),
        ("/highly/nested", "0#", r#""nested""#),
        ("/highly/nested", "1#", r#""highly""#),
    ] {
        assert_eq!(documents.relative("d", from, relative), Ok(json(expected)), "{relative}");
    }
    let index = |found: &str| JsonProblem::NoIndex { found: found.into() };
    for (from, relative, expected) in [
        ("/foo/1", "2#", JsonProblem::Whole),
        ("/foo/1", "3", JsonProblem::Above { levels: 3 }),
        ("/foo/1", "0-2", index("0-2")),
        ("/foo/1", "0+2", index("0+2")),
        ("/foo/1", "1+1", index("1+1")),
        ("/foo/3", "0", JsonProblem::NoElement { index: 3, below: 3 }),
    ] {
        let error = documents.relative("d", from, relative).unwrap_err();
        let expected =
            JsonStoreError::Place { name: "d".into(), pointer: relative.into(), problem: expected };
        assert_eq!(error, expected);
    }
}

#[test]
fn no_edit_nests_deeper_than_a_document_may_be() {
    let mut machine = Machine::new();
    let nested = |depth: usize| json(&("[".repeat(depth) + &"]".repeat(depth)));
    let way = |length: usize| "/0".repeat(length);
    machine.commit(|tx| tx.on::<JsonStore>().create("d", &nested(127)));
    let deepest = way(126) + "/-";
    machine.commit(|tx| tx.on::<JsonStore>().set("d", &deepest, &json("1")));
    let too_deep = JsonProblem::Value(JsonError::Depth);
    let expected = JsonStoreError::Place {
        name: "d".into(),
        pointer: deepest.as_str().into(),
        problem: too_deep.clone(),
    };
    machine.refused(expected, |tx| tx.on::<JsonStore>().set("d", &deepest, &json("[]")));
    machine.commit(|tx| tx.on::<JsonStore>().put("d", &nested(64)));
    let copy = json(&format!(r#"[{{"op": "copy", "from": "", "path": "{}/-"}}]"#, way(63)));
    let expected = JsonStoreError::Patch {
        name: "d".into(),
        operation: 0,
        pointer: (way(63) + "/-").into(),
        problem: too_deep,
    };
    machine.refused(expected, |tx| tx.on::<JsonStore>().patch("d", &copy));
    machine.commit(|tx| tx.on::<JsonStore>().put("d", &nested(63)));
    let copy = json(&format!(r#"[{{"op": "copy", "from": "", "path": "{}/-"}}]"#, way(62)));
    machine.commit(|tx| tx.on::<JsonStore>().patch("d", &copy));
    assert_eq!(text(&machine, "d"), Some(nested(126).to_string()));
}

#[test]
fn a_patch_that_doubles_and_doubles_is_refused_before_it_fills_the_memory() {
    let machine = Machine::new();
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &json(r#"{"a": [[]]}"#)));
    let doubling = r#"{"op": "copy", "from": "/a/0", "path": "/a/0/-"}"#;
    let patch = json(&format!("[{}]", vec![doubling; 100].join(",")));
    let error = refusal(&machine, |tx| tx.on::<JsonStore>().patch("d", &patch));
    assert!(
        matches!(&error, JsonStoreError::Patch { problem: JsonProblem::Large { .. }, .. }),
        "{error}"
    );
    assert_eq!(text(&machine, "d").as_deref(), Some(r#"{"a":[[]]}"#));
}

#[test]
fn a_failed_patch_says_where_and_changes_nothing() {
    let mut machine = Machine::new();
    machine.commit(|tx| tx.on::<JsonStore>().create("d", &json(r#"{"a": [1], "b": {"c": 1}}"#)));
    let cases = [
        (
            r#"[{"op": "remove", "path": "/a/0"}, {"op": "copy", "from": "/a/0", "path": "/x"}]"#,
            r#"document d, operation 1 of the patch, at "/a/0": index is 0, expected less than 0"#,
        ),
        (
            r#"[{"op": "move", "from": "/b", "path": "/b/c/d"}]"#,
            r#"document d, operation 0 of the patch, at "/b/c/d": a value cannot be moved into itself"#,
        ),
        (
            r#"[{"op": "add", "path": "/x", "value": 1}, {"op": "remove", "path": ""}]"#,
            r#"document d, operation 1 of the patch, at "": that is the whole document, expected a place inside it"#,
        ),
        (
            r#"[{"op": "test", "path": "/a", "value": [2]}]"#,
            r#"document d, operation 0 of the patch, at "/a": value is [1], expected [2]"#,
        ),
        (r#"[{"op": "add", "path": "/x"}]"#, "patch, operation 0: missing field `value`"),
        ("{}", "patch, operation 0: a patch is an array of operations"),
    ];
    for (patch, expected) in cases {
        let patch = json(patch);
        let error = refusal(&machine, |tx| tx.on::<JsonStore>().patch("d", &patch));
        assert_eq!(error.to_string(), expected);
        machine.refused(error, |tx| tx.on::<JsonStore>().patch("d", &patch));
    }
}

#[test]
fn a_test_compares_numbers_by_what_they_are_worth() {
    let machine = Machine::new();
    let document =
        r#"{"a": 1, "b": [1.0, {"c": -0.0}], "d": 9007199254740993, "e": -2, "f": 1e300}"#;
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &json(document)));
    let before = state(&machine.db);
    let test = |pointer: &str, value: &str| {
        json(&format!(r#"[{{"op": "test", "path": "{pointer}", "value": {value}}}]"#))
    };
    for (pointer, value) in [
        ("/a", "1.0"),
        ("/a", "10e-1"),
        ("/b", r#"[1, {"c": 0}]"#),
        ("/d", "9007199254740993"),
        ("/e", "-2.0"),
        ("/f", "10e299"),
    ] {
        let patch = test(pointer, value);
        commit(&machine, |tx| tx.on::<JsonStore>().patch("d", &patch));
    }
    // One that only tests is no change: not even the document's times.
    assert_eq!(state(&machine.db), before);
    for (pointer, value) in [
        ("/a", "1.5"),
        ("/a", "\"1\""),
        ("/d", "9007199254740992.0"),
        ("/d", "9007199254740994.0"),
        ("/e", "2.0"),
        ("/f", "1"),
    ] {
        let patch = test(pointer, value);
        let error = refusal(&machine, |tx| tx.on::<JsonStore>().patch("d", &patch));
        assert!(
            matches!(&error, JsonStoreError::Patch { problem: JsonProblem::Unequal { .. }, .. }),
            "{error}"
        );
    }
}

#[test]
fn documents_are_listed_by_prefix_from_either_end() {
    let mut machine = Machine::new();
    let names = [
        "",
        "a",
        "a/1",
        "a/2",
        "a\u{10ffff}",
        "a\u{10ffff}\u{10ffff}",
        "b",
        "ß",
        "\u{d7ff}x",
        "\u{e000}",
    ];
    machine.commit(|tx| {
        names.iter().try_for_each(|name| tx.on::<JsonStore>().create(name, &Json::from(*name)))
    });
    super::thrice(&mut machine, |documents| {
        for prefix in names {
            let expected: Vec<&str> =
                names.into_iter().filter(|name| name.starts_with(prefix)).collect();
            let found: Vec<&str> = documents.prefix(prefix).map(|(name, _)| name).collect();
            assert_eq!(found, expected, "prefix {prefix:?}");
            let mut backwards: Vec<&str> =
                documents.prefix(prefix).rev().map(|(name, _)| name).collect();
            backwards.reverse();
            assert_eq!(backwards, expected, "prefix {prefix:?}");
        }
        assert_eq!(documents.iter().count(), names.len());
    });
}

#[test]
fn a_query_that_nests_too_deep_is_refused_at_once() {
    let machine = Machine::new();
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &json("[]")));
    let view = machine.db.view();
    let documents = view.on::<JsonStore>();
    let filters = |depth: usize| format!("${}{}", "[?@".repeat(depth), "]".repeat(depth));
    let parentheses = |depth: usize| format!("$[?{}@.a{}]", "(".repeat(depth), ")".repeat(depth));
    assert!(documents.query("d", &filters(8)).is_ok());
    assert!(documents.query("d", &parentheses(32)).is_ok());
    // Brackets inside of names count for nothing.
    assert!(documents.query("d", r#"$['[[[[[\'[[[[["']["[[[[[[[[[[\\"]"#).is_ok());
    // Given to the library, the longer ones overflow the stack or take longer than anybody waits.
    for query in [filters(9), parentheses(33), filters(100_000), parentheses(100_000)] {
        let error = documents.query("d", &query).unwrap_err();
        assert!(matches!(error, JsonStoreError::NoQuery { .. }));
    }
    let absent = documents.query("e", "$").unwrap_err();
    assert_eq!(absent, JsonStoreError::Absent { name: "e".into() });
}

#[test]
fn a_change_inside_a_large_document_costs_its_path() {
    let machine = Machine::new();
    let row = r#"{"name": "a row of some hundred bytes", "tags": ["one", "two", "three"], "n": 1}"#;
    let rows = 1_000_000 / row.len() + 1;
    let document = json(&format!(r#"{{"rows": [{}]}}"#, vec![row; rows].join(",")));
    let bytes = document.to_string().len();
    // The store itself, so that the time is the operation's and not the log's.
    let mut documents = JsonStore::default();
    let context = OpContext::new(Timestamp(1), Lsn(1), 0);
    documents.put(&context, "d", &document);
    let set = |document: &mut JsonStore, index: usize| {
        let pointer = format!("/rows/{}/n", index * 7919 % rows);
        let value = Json::from(index as u64);
        let (edited, _) = document.set(&context, "d", &pointer, &value).unwrap();
        document.apply(&edited);
    };
    let count = 2000;
    let each = took(|| (0..count).for_each(|index| set(&mut documents, index))) / count as u32;
    let whole = took(|| drop(document.to_value()));
    println!(
        "json: set at a path of a document of {bytes} bytes: {each:?}; the document as a whole: {whole:?}"
    );
    assert!(each * 20 < whole, "{each:?} for a path, {whole:?} for the whole");

    // And through the log: a set is a small entry, whatever the document.
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &document));
    let before = machine.db.view().on::<JsonStore>().get("d").cloned();
    commit(&machine, |tx| tx.on::<JsonStore>().set("d", "/rows/77/n", &json("2")));
    assert_eq!(before, Some(document), "a view's document stays as it was");
}
