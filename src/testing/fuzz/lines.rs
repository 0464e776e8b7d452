//! Lines of JSON: an import of text that no export wrote.

use std::io::BufReader;
use std::sync::OnceLock;

use super::{Outcome, change, sample};
use crate::id::DatabaseId;
use crate::lines::{Selection, export, import};
use crate::registry::PrimitiveRegistry;
use crate::testing::{Random, SimDisk};

fn base() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| {
        let disk = SimDisk::new(4);
        for (path, bytes) in sample::log() {
            disk.put(path, bytes);
        }
        let db = sample::options(&disk).open("").unwrap();
        let mut text = Vec::new();
        export(&db.view(), DatabaseId([7; 16]), &Selection::default(), &mut text).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    })
}

/// A number, a text or a bracket of a line becomes something else.
fn change_line(line: &mut String, random: &mut Random) {
    const TOKENS: [&str; 20] = [
        "null",
        "-1",
        "0",
        "1e999",
        "18446744073709551616",
        "18446744073709551615",
        "1.5",
        "\"\"",
        "[]",
        "{}",
        "[",
        "]",
        "}",
        ",",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "true",
        "{\"hex\":\"0\"}",
        "{\"hex\":\"ff\"}",
        "\"-inf\"",
    ];
    let is_edge = |c: char| matches!(c, ',' | ':' | '[' | ']' | '{' | '}');
    let edges: Vec<usize> = line.match_indices(is_edge).map(|(at, _)| at).collect();
    let at = random.below(edges.len() as u64) as usize;
    let (Some(from), Some(to)) = (edges.get(at), edges.get(at + 1)) else { return };
    let token = TOKENS[random.below(TOKENS.len() as u64) as usize];
    match random.below(6) {
        0 => {
            let mut bytes = std::mem::take(line).into_bytes();
            change::bytes(&mut bytes, random);
            *line = String::from_utf8_lossy(&bytes).into_owned();
        }
        1 => line.insert_str(from + 1, &token.repeat(1 + random.below(300) as usize)),
        2 => drop(line.drain(*from..*to)),
        _ => line.replace_range(from + 1..*to, token),
    }
}

/// Imports changed lines.
pub(super) fn case(random: &mut Random) -> Outcome {
    let mut lines = base().to_vec();
    for _ in 0..=random.below(2) {
        if random.one_in(3) {
            change::list(&mut lines, random);
        } else if let Some(line) = change::one(&mut lines, random) {
            change_line(line, random);
        }
    }
    let text = lines.join("\n") + if random.one_in(9) { "" } else { "\n" };
    let registry = PrimitiveRegistry::linked().unwrap();
    match import(registry, &mut BufReader::new(text.as_bytes())) {
        Ok((mut state, _)) => {
            state.publish_all();
            "taken".to_owned()
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty());
            format!("refused: {said}")
        }
    }
}
