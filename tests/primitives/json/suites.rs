//! The conformance suites of JSON Patch, Merge Patch, Pointer and Path, each case in a database.

use std::collections::BTreeMap;

use freehold::prelude::*;
use freehold::primitives::{Json, JsonProblem, JsonStore, JsonStoreError};
use freehold::testing::Random;
use serde_json::Value;

use super::{commit, holds, refusal, thrice, value};
use crate::machine::Machine;

fn json(value: &Value) -> Json {
    Json::try_from(value).unwrap()
}

#[test]
fn every_case_of_the_patch_suites_does_what_it_should() {
    let mut machine = Machine::new();
    let mut expected = BTreeMap::new();
    let (mut cases, mut applied, mut refused, mut disabled) = (0, 0, 0, 0);
    for file in ["tests", "spec_tests", "atomicity_tests", "extra_evanphx"] {
        let suite = value(&format!("json-suites/json-patch/{file}.json"));
        for (index, case) in suite.as_array().unwrap().iter().enumerate() {
            cases += 1;
            if case["disabled"] == true {
                disabled += 1;
                continue;
            }
            let name = format!("{file}/{index}");
            let (document, patch) = (json(&case["doc"]), json(&case["patch"]));
            commit(&machine, |tx| tx.on::<JsonStore>().create(&name, &document));
            let patched = |tx: &mut Transaction<'_>| tx.on::<JsonStore>().patch(&name, &patch);
            if case.get("error").is_some() {
                refused += 1;
                let error = refusal(&machine, patched);
                let last = patch.as_array().unwrap().len() - 1;
                match error {
                    JsonStoreError::Patch { operation, .. }
                    | JsonStoreError::NoPatch { operation, .. } => {
                        assert_eq!(operation, last, "{case}");
                    }
                    other => panic!("{case}: {other}"),
                }
                expected.insert(name, document);
            } else {
                applied += 1;
                commit(&machine, patched);
                let result = case.get("expected").map_or(document, json);
                expected.insert(name, result);
            }
        }
    }
    holds(&mut machine, &expected);
    assert_eq!((cases, disabled), (115, 3));
    println!(
        "json: JSON Patch suites: {cases} cases, {disabled} disabled, {applied} applied, {refused} \
         refused without a trace; the same after a crash and after a close"
    );
}

#[test]
fn every_case_of_the_merge_patch_suites_does_what_it_should() {
    let mut machine = Machine::new();
    let mut expected = BTreeMap::new();
    for file in ["rfc7386_appendix_a", "merge_tests"] {
        let suite = value(&format!("json-suites/merge-patch/{file}.json"));
        for (index, case) in suite.as_array().unwrap().iter().enumerate() {
            let name = format!("{file}/{index}");
            let (document, patch) = (json(&case["doc"]), json(&case["patch"]));
            commit(&machine, |tx| {
                tx.on::<JsonStore>().create(&name, &document)?;
                tx.on::<JsonStore>().merge(&name, &patch)
            });
            expected.insert(name, json(&case["expected"]));
        }
    }
    holds(&mut machine, &expected);
    assert_eq!(expected.len(), 12);
    println!(
        "json: merge patch suites: {} cases, the same after a crash and after a close",
        expected.len()
    );
}

#[test]
fn every_pointer_of_the_suites_leads_where_it_should() {
    let mut machine = Machine::new();
    let suite = value("json-suites/json-pointer/rfc6901_section5.json");
    let document = json(&suite["document"]);
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &document));
    let places = suite["tests"].as_array().unwrap();
    let syntax = value("json-suites/json-pointer/json-pointer.syntax.json");
    let syntax = syntax[0]["tests"].as_array().unwrap();
    let relative = value("json-suites/json-pointer/relative-json-pointer.syntax.json");
    let relative = relative[0]["tests"].as_array().unwrap();
    let (mut texts, mut others) = (0, 0);
    thrice(&mut machine, |documents| {
        for case in places {
            let pointer = case["pointer"].as_str().unwrap();
            assert_eq!(documents.at("d", pointer), Ok(&json(&case["value"])), "{case}");
        }
        (texts, others) = (0, 0);
        let syntax = syntax.iter().map(|case| (case, false));
        for (case, is_relative) in syntax.chain(relative.iter().map(|case| (case, true))) {
            // Whatever is no text is valid for the suite; here nobody can ask.
            let Some(pointer) = case["data"].as_str() else {
                assert_eq!(case["valid"], true);
                others += 1;
                continue;
            };
            texts += 1;
            let found = if is_relative {
                documents.relative("d", "/foo/0", pointer).map(drop)
            } else {
                documents.at("d", pointer).map(drop)
            };
            let is_pointer = !matches!(
                found,
                Err(JsonStoreError::Place { problem: JsonProblem::NoPointer { .. }, .. })
            );
            assert_eq!(case["valid"], is_pointer, "{case}");
        }
    });
    assert_eq!(places.len() + texts + others, 56);
    println!(
        "json: pointer suites: {} places found, {texts} texts told apart, {others} values that are no \
         text; the same after a crash and after a close",
        places.len()
    );
}

#[test]
fn every_query_of_the_compliance_suite_gives_what_it_should() {
    let mut machine = Machine::new();
    let suite = value("json-suites/jsonpath/cts.json");
    let cases: Vec<(String, &Value)> = suite["tests"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(index, case)| (format!("{index}"), case))
        .collect();
    for (name, case) in &cases {
        let document = case.get("document").map_or_else(Json::null, json);
        commit(&machine, |tx| tx.on::<JsonStore>().create(name, &document));
    }
    let (mut answered, mut refused) = (0, 0);
    thrice(&mut machine, |documents| {
        (answered, refused) = (0, 0);
        for (name, case) in &cases {
            let found = documents.query(name, case["selector"].as_str().unwrap());
            if case["invalid_selector"] == true {
                refused += 1;
                assert!(matches!(found, Err(JsonStoreError::NoQuery { .. })), "{case}");
                continue;
            }
            answered += 1;
            let found = found.unwrap();
            let values: Value = found.iter().map(|each| each.value().to_value()).collect();
            let paths: Value = found.iter().map(|each| each.normalized_path()).collect();
            // Members have no order for the suite, so some cases have several answers.
            let right = match (case["results"].as_array(), case["results_paths"].as_array()) {
                (Some(results), Some(result_paths)) => {
                    results.iter().zip(result_paths).any(|each| each == (&values, &paths))
                }
                _ => case["result"] == values && case["result_paths"] == paths,
            };
            assert!(right, "{case}: {values} at {paths}");
            for each in found {
                assert_eq!(documents.at(name, &each.pointer()), Ok(each.value()), "{case}");
            }
        }
    });
    assert_eq!((answered, refused), (301, 168));
    println!(
        "json: JSONPath compliance suite: {answered} queries answered with values and paths, \
         {refused} refused; the same after a crash and after a close"
    );
}

#[test]
fn no_query_panics() {
    let suite = value("json-suites/jsonpath/cts.json");
    let selectors: Vec<Vec<char>> = suite["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["selector"].as_str().unwrap().chars().collect())
        .collect();
    let machine = Machine::new();
    let document = super::json(r#"{"a": [{"b": 1}, {"b": "x"}, [1, 2.5, null]], "b": {"a": {}}}"#);
    commit(&machine, |tx| tx.on::<JsonStore>().create("d", &document));
    let view = machine.db.view();
    let documents = view.on::<JsonStore>();
    let seed = Random::seed_from_env(0x7061_7468);
    println!("json: queries made of pieces, seed {seed}");
    let mut random = Random::new(seed);
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    let mut answered = 0;
    for _ in 0..20_000 {
        // A query with a piece of another one in it, and perhaps without its end.
        let mut query = selectors[below(selectors.len())].clone();
        let piece = &selectors[below(selectors.len())];
        let start = below(piece.len() + 1);
        let end = start + below(piece.len() + 1 - start);
        let at = below(query.len() + 1);
        query.splice(at..at, piece[start..end].iter().copied());
        query.truncate(query.len() - below(query.len() + 1) * below(2));
        let query: String = query.into_iter().collect();
        answered += usize::from(documents.query("d", &query).is_ok());
    }
    for query in ["$['\\u", "$[\"\\uD83D\\uD", "$['"] {
        let error = documents.query("d", query).unwrap_err();
        assert!(error.to_string().ends_with("a text has no end"), "{error}");
    }
    assert!(answered > 100);
}
