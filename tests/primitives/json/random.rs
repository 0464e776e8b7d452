//! Random trees and random patches, against `json-patch` on `serde_json`'s values.

use freehold::primitives::{Json, JsonStore};
use freehold::testing::Random;
use serde_json::{Value, json};

use super::commit;
use crate::machine::Machine;

const NAMES: [&str; 6] = ["a", "b", "", "a/b", "~", "1"];

fn tree(random: &mut Random, depth: u64) -> Value {
    match random.below(if depth == 0 { 4 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.below(3)),
        2 => json!(random.one_in(2)),
        3 => json!("text"),
        4 | 5 => (0..random.below(4))
            .map(|_| (NAMES[random.below(6) as usize].to_owned(), tree(random, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => (0..random.below(4)).map(|_| tree(random, depth - 1)).collect(),
    }
}

/// A pointer to a value that is there, mostly; else to one beside it, or nonsense.
fn pointer(random: &mut Random, mut value: &Value) -> String {
    let mut pointer = String::new();
    while !random.one_in(4) {
        let step = match value {
            Value::Object(members) if !members.is_empty() && !random.one_in(5) => {
                let index = random.below(members.len() as u64) as usize;
                let (name, member) = members.iter().nth(index).unwrap();
                value = member;
                name.clone()
            }
            Value::Array(elements) if !elements.is_empty() && !random.one_in(5) => {
                let index = random.below(elements.len() as u64) as usize;
                value = &elements[index];
                index.to_string()
            }
            _ => {
                value = &Value::Null;
                ["a", "-", "0", "1", "01", "x/y"][random.below(6) as usize].to_owned()
            }
        };
        pointer += "/";
        pointer += &step.replace('~', "~0").replace('/', "~1");
    }
    pointer
}

fn operation(random: &mut Random, value: &Value) -> Value {
    let path = pointer(random, value);
    match random.below(6) {
        0 => json!({"op": "add", "path": path, "value": tree(random, 2)}),
        1 => json!({"op": "remove", "path": path}),
        2 => json!({"op": "replace", "path": path, "value": tree(random, 2)}),
        3 => json!({"op": "move", "from": pointer(random, value), "path": path}),
        4 => json!({"op": "copy", "from": pointer(random, value), "path": path}),
        _ => {
            let there = value.pointer(&path).filter(|_| !random.one_in(8)).cloned();
            json!({"op": "test", "path": path, "value": there.unwrap_or_else(|| json!(1))})
        }
    }
}

#[test]
fn random_patches_do_to_a_tree_what_they_do_to_serde_jsons() {
    let seed = Random::seed_from_env(0x7061_7463);
    let mut random = Random::new(seed);
    let mut machine = Machine::new();
    let (mut applied, mut refused, mut merged) = (0, 0, 0);
    let mut model = tree(&mut random, 4);
    let put = |value: &Value| Json::try_from(value).unwrap();
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &put(&model)));
    for round in 0..4000 {
        if round % 10 == 0 {
            model = tree(&mut random, 4);
            commit(&machine, |tx| tx.on::<JsonStore>().put("d", &put(&model)));
        }
        if random.one_in(5) {
            let patch = tree(&mut random, 3);
            json_patch::merge(&mut model, &patch);
            commit(&machine, |tx| tx.on::<JsonStore>().merge("d", &put(&patch)));
            merged += 1;
        } else {
            // Each operation is made for what the ones before leave.
            let mut ahead = model.clone();
            let mut operations = Vec::new();
            for _ in 0..random.below(4) {
                let operation = operation(&mut random, &ahead);
                let one = serde_json::from_value(operation.clone()).unwrap();
                let mut patched = ahead.clone();
                if json_patch::patch_unsafe(&mut patched, &[one]).is_ok() {
                    ahead = patched;
                }
                operations.push(operation);
            }
            // The whole document may be moved onto itself, which json-patch refuses.
            operations.retain(|each| each["op"] != "move" || each["from"] != each["path"]);
            let patch = Value::Array(operations);
            // Not `json_patch::patch`, which undoes what failed and panics where it cannot: after a move
            // from inside a value to that value's place.
            let mut patched = model.clone();
            let parsed: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
            let expected = json_patch::patch_unsafe(&mut patched, &parsed);
            if expected.is_ok() {
                model = patched;
            }
            let found = machine.db.transaction(|tx| tx.on::<JsonStore>().patch("d", &put(&patch)));
            assert_eq!(found.is_ok(), expected.is_ok(), "seed {seed}: {patch}: {found:?}");
            if expected.is_ok() { applied += 1 } else { refused += 1 }
        }
        let view = machine.db.view();
        let found = view.on::<JsonStore>().get("d").unwrap().to_value();
        assert_eq!(found, model, "seed {seed}, round {round}");
        if random.one_in(100) {
            machine.crash();
            let view = machine.db.view();
            let found = view.on::<JsonStore>().get("d").unwrap().to_value();
            assert_eq!(found, model, "seed {seed}, round {round}, replayed");
        }
    }
    assert!(applied > 500 && refused > 500 && merged > 500);
    println!(
        "json: random patches as json-patch does them: {applied} applied, {refused} refused, {merged} \
         merged"
    );
}
