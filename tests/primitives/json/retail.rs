//! The database of a shop that agents worked on, and what they did to it.

use std::collections::BTreeMap;

use freehold::prelude::*;
use freehold::primitives::{Json, JsonStore};
use serde_json::{Map, Value, json};

use super::{lines, value};
use crate::machine::Machine;

/// The operations at places that make `after` of `before`.
fn places(before: &Value, after: &Value, pointer: &str, out: &mut Vec<(String, Option<Value>)>) {
    let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                out.push((below(name), None));
            }
            for (name, member) in new {
                match old.get(name) {
                    Some(old) => places(old, member, &below(name), out),
                    None => out.push((below(name), Some(member.clone()))),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in (new.len()..old.len()).rev() {
                out.push((format!("{pointer}/{index}"), None));
            }
            for (index, element) in new.iter().enumerate() {
                match old.get(index) {
                    Some(old) => places(old, element, &format!("{pointer}/{index}"), out),
                    None => out.push((format!("{pointer}/-"), Some(element.clone()))),
                }
            }
        }
        (_, after) => out.push((pointer.to_owned(), Some(after.clone()))),
    }
}

/// The same as a patch.
fn patch(places: &[(String, Option<Value>)], before: &Value) -> Value {
    let operation = |(pointer, value): &(String, Option<Value>)| match value {
        None => json!({"op": "remove", "path": pointer}),
        Some(value) if before.pointer(pointer).is_some() => {
            json!({"op": "replace", "path": pointer, "value": value})
        }
        Some(value) => json!({"op": "add", "path": pointer, "value": value}),
    };
    places.iter().map(operation).collect()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The name under which a document that a tool returned is stored.
fn name_of(document: &Value) -> Option<String> {
    let kinds = [("orders", "order_id"), ("users", "user_id"), ("products", "product_id")];
    kinds.iter().find_map(|(kind, id)| Some(format!("{kind}/{}", document.get(id)?.as_str()?)))
}

#[test]
fn what_agents_read_after_their_own_changes_is_what_is_stored() {
    let mut machine = Machine::new();
    let mut loaded = 0;
    for kind in ["orders", "users", "products"] {
        let documents = value(&format!("agent-db/retail/{kind}.json"));
        machine
            .db
            .transaction(|tx| {
                for (id, document) in documents.as_object().unwrap() {
                    let document = Json::try_from(document).map_err(Error::abort)?;
                    tx.on::<JsonStore>().create(&format!("{kind}/{id}"), &document)?;
                    loaded += 1;
                }
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(loaded, 1550);

    // Every run starts from the same state: it takes over each document when it first meets it.
    let mut runs = BTreeMap::new();
    let mut reads = BTreeMap::<String, usize>::new();
    let (mut writes, mut sets, mut deletes, mut patches, mut merges) = (0, 0, 0, 0, 0);
    for call in lines("agent-runs/tau2-retail-calls.jsonl") {
        let (run_name, tool) = (call["run_id"].as_str().unwrap(), call["name"].as_str().unwrap());
        let run = *runs
            .entry(run_name.to_owned())
            .or_insert_with(|| machine.db.create_run(run_name).unwrap());
        let returned = call["text"].as_str().and_then(|text| serde_json::from_str(text).ok());
        let Some((returned, name)) =
            returned.and_then(|returned: Value| Some((returned.clone(), name_of(&returned)?)))
        else {
            continue;
        };
        let stored = machine
            .db
            .transaction(|tx| {
                if let Some(own) = tx.run(run)?.on::<JsonStore>().get(&name) {
                    return Ok(own.to_value());
                }
                let shared = tx.on::<JsonStore>().get(&name).unwrap().clone();
                tx.run(run)?.on::<JsonStore>().create(&name, &shared)?;
                Ok(shared.to_value())
            })
            .unwrap();
        if tool.starts_with("get_") {
            *reads.entry(tool.to_owned()).or_default() += 1;
            assert_eq!(without_nulls(&stored), without_nulls(&returned), "{run_name}, {call}");
            continue;
        }
        let mut changes = Vec::new();
        places(&stored, &returned, "", &mut changes);
        assert!(!changes.is_empty());
        machine
            .db
            .run(run)
            .transaction(|tx| {
                let mut documents = tx.on::<JsonStore>();
                match writes % 3 {
                    0 => {
                        for (pointer, value) in &changes {
                            match value {
                                Some(value) => {
                                    let value = Json::try_from(value).map_err(Error::abort)?;
                                    documents.set(&name, pointer, &value)?;
                                    sets += 1;
                                }
                                None => {
                                    documents.delete(&name, pointer)?;
                                    deletes += 1;
                                }
                            }
                        }
                        Ok(())
                    }
                    1 => {
                        patches += changes.len();
                        let patch = Json::try_from(patch(&changes, &stored));
                        documents.patch(&name, &patch.map_err(Error::abort)?)
                    }
                    _ => {
                        // Null is what a merge patch cannot say.
                        let merged = Json::try_from(without_nulls(&returned));
                        merges += 1;
                        documents.merge(&name, &merged.map_err(Error::abort)?)
                    }
                }
            })
            .unwrap();
        writes += 1;
        let view = machine.db.view();
        let now = view.run(run).unwrap().on::<JsonStore>().get(&name).unwrap().to_value();
        assert_eq!(without_nulls(&now), without_nulls(&returned), "{run_name}, {call}");
        drop(view);
        match writes % 10 {
            0 => machine.crash(),
            5 => machine.close(),
            _ => {}
        }
    }
    assert_eq!(runs.len(), 40);
    assert_eq!((reads["get_order_details"], writes), (109, 54));
    println!(
        "json: retail: {loaded} documents, {} runs, {writes} writing calls as {sets} sets, {deletes} \
         deletes, {patches} patch operations and {merges} merges; equal as recorded: {reads:?}",
        runs.len()
    );
}
