//! The rules of the house that the compiler does not know, each with its remedy in the message.
//!
//! - Every rule is a function from files to breaches, and is shown to catch one breach planted.
//! - Rules read text: strings and comments are blanked first, and what stands under `#[cfg(test)]`
//!   at the end of a file is left out where a rule is about shipped code.

#![expect(clippy::disallowed_methods, reason = "these tests read the sources, not a database")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the project: its path from the top, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_string(), text: text.to_string() }
    }

    /// The module of `src` that this file belongs to: `wal` for `src/wal/log.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib" && name != "bin").then_some(name)
    }

    /// A file of tests alone, kept beside the code it tests.
    fn is_tests(&self) -> bool {
        let path = &self.path;
        path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/fuzz/")
    }

    /// The text up to the unit tests.
    fn shipped(&self) -> &str {
        let end = self
            .text
            .match_indices("#[cfg(test)]")
            .find(|(at, _)| {
                let rest = self.text[at + "#[cfg(test)]".len()..].trim_start();
                ["mod ", "pub(crate) mod ", "pub(super) mod ", "#["]
                    .iter()
                    .any(|start| rest.starts_with(start))
            })
            .map_or(self.text.len(), |(at, _)| at);
        &self.text[..end]
    }

    /// The shipped text, strings and comments blanked.
    fn code(&self) -> String {
        blanked(self.shipped())
    }
}

/// `text` with the inside of comments, strings and character literals replaced by spaces, so that
/// every remaining byte is code and stands at its old place.
fn blanked(text: &str) -> String {
    #[derive(PartialEq)]
    enum In {
        Code,
        Line,
        Block(usize),
        Text(Option<usize>),
    }
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut state = In::Code;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let mut step = 1;
        match state {
            In::Code if rest.starts_with(b"//") => state = In::Line,
            In::Code if rest.starts_with(b"/*") => (state, step) = (In::Block(1), 2),
            In::Code if rest[0] == b'"' => state = In::Text(None),
            In::Code if rest[0] == b'r' && !follows_word(bytes, at) => {
                let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
                if rest.get(1 + hashes) == Some(&b'"') {
                    (state, step) = (In::Text(Some(hashes)), hashes + 2);
                }
            }
            In::Code if rest[0] == b'\'' => {
                // A literal closes within a few bytes; a lifetime does not.
                let close = if rest.get(1) == Some(&b'\\') { 3 } else { 2 };
                if rest.get(close) == Some(&b'\'') {
                    out[at + 1..at + close].fill(b' ');
                    step = close + 1;
                }
            }
            In::Code => {}
            In::Line if rest[0] == b'\n' => state = In::Code,
            In::Block(depth) if rest.starts_with(b"*/") => {
                out[at..at + 2].fill(b' ');
                state = if depth == 1 { In::Code } else { In::Block(depth - 1) };
                at += 2;
                continue;
            }
            In::Block(depth) if rest.starts_with(b"/*") => {
                (state, step) = (In::Block(depth + 1), 2);
            }
            In::Text(None) if rest[0] == b'\\' => step = 2,
            In::Text(None) if rest[0] == b'"' => {
                state = In::Code;
                at += 1;
                continue;
            }
            In::Text(Some(hashes))
                if rest[0] == b'"'
                    && rest[1..].iter().take(hashes).filter(|byte| **byte == b'#').count()
                        == hashes =>
            {
                state = In::Code;
                at += 1 + hashes;
                continue;
            }
            In::Line | In::Block(_) | In::Text(_) => {}
        }
        let end = (at + step).min(bytes.len());
        if state != In::Code {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `word` stands in `text`, not as a part of a longer word.
fn words_at<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let open = word.starts_with(is_word);
        let close = word.ends_with(is_word);
        !(open && before.is_some_and(is_word) || close && after.is_some_and(is_word))
    })
}

// --- The files -----------------------------------------------------------------------------------

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project with one of these endings, in order of path. What is built, vendored or
/// recorded is no text of ours.
fn files(endings: &[&str]) -> Vec<Source> {
    fn walk(dir: &Path, endings: &[&str], found: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).expect("a directory of the project") {
            let path = entry.expect("a name in the project").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !matches!(name, ".git" | "target" | "data" | "corpus") {
                    walk(&path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).expect("a text file");
                let path = path.strip_prefix(top()).expect("a path below the top");
                found.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    let mut found = Vec::new();
    walk(&top(), endings, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The library's own sources.
fn library() -> Vec<Source> {
    let found: Vec<Source> =
        files(&[".rs"]).into_iter().filter(|file| file.path.starts_with("src/")).collect();
    assert!(found.len() > 10, "src/ was not found");
    found
}

#[track_caller]
fn none(breaches: Vec<String>, remedy: &str) {
    assert!(breaches.is_empty(), "{remedy}:\n  {}\n", breaches.join("\n  "));
}

// --- Layers --------------------------------------------------------------------------------------

/// The modules of `lib.rs` in the order in which they are declared.
fn layers(lib: &str) -> Vec<String> {
    blanked(lib)
        .lines()
        .filter(|line| !line.starts_with(char::is_whitespace))
        .filter_map(|line| {
            let rest = line.strip_prefix("pub(crate) ").unwrap_or(line);
            let rest = rest.strip_prefix("pub ").unwrap_or(rest);
            rest.strip_prefix("mod ")?.strip_suffix(';').map(str::to_string)
        })
        .collect()
}

/// The paths of a `use` tree: `a::{b, c::d as e}` is `a::b` and `a::c::d`, each with its name.
fn leaves(tree: &str, path: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (full, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = path.to_vec();
        path.extend(full.split("::").map(|part| part.trim().to_string()));
        let last = path.last().cloned().unwrap_or_default();
        let name = if alias.is_empty() { last } else { alias.trim().to_string() };
        found.push((name, path));
        return;
    };
    let mut path = path.to_vec();
    let head = tree[..open].trim().trim_end_matches("::");
    path.extend(head.split("::").filter(|part| !part.is_empty()).map(str::to_string));
    let close = tree.rfind('}').unwrap_or(tree.len());
    let mut depth = 0;
    let mut start = open + 1;
    for (at, character) in tree[..close].char_indices().skip_while(|(at, _)| *at <= open) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&tree[start..at], &path, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !tree[start..close].trim().is_empty() {
        leaves(&tree[start..close], &path, found);
    }
}

/// Which module a name that `lib.rs` re-exports comes from.
fn reexports(lib: &str, layers: &[String]) -> BTreeMap<String, String> {
    let code = blanked(lib);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pub use ") {
        let rest = &code[at + "pub use ".len()..];
        leaves(rest.split(';').next().unwrap_or_default(), &[], &mut found);
    }
    found
        .into_iter()
        .filter_map(|(name, path)| {
            let module = path.iter().find(|part| !matches!(part.as_str(), "crate" | "self"))?;
            layers.contains(module).then(|| (name, module.clone()))
        })
        .collect()
}

/// What follows each `crate::` in `code`: where, and the first name of each path.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words_at(code, "crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let end = if rest.starts_with('{') {
            rest.find(';').unwrap_or(rest.len())
        } else {
            rest.find(|character| !is_word(character)).unwrap_or(rest.len())
        };
        let mut names = Vec::new();
        leaves(&rest[..end], &[], &mut names);
        found.extend(names.into_iter().filter_map(|(_, path)| Some((at, path.first()?.clone()))));
    }
    found
}

fn layer_breaches(lib: &str, files: &[Source]) -> Vec<String> {
    let layers = layers(lib);
    let reexports = reexports(lib, &layers);
    let place = |module: &str| layers.iter().position(|layer| layer == module);
    let mut breaches = Vec::new();
    for file in files {
        let Some(module) = file.module() else { continue };
        let Some(own) = place(module) else {
            breaches.push(format!("{}: lib.rs declares no module {module}", file.path));
            continue;
        };
        if file.is_tests() {
            continue;
        }
        let code = file.code();
        for (at, name) in crate_paths(&code) {
            let used = reexports.get(&name).unwrap_or(&name);
            let line = line_at(&code, at);
            if place(used).is_some_and(|used| used > own) {
                breaches.push(format!(
                    "{}:{line}: {module} uses {used} (crate::{name}), which stands below it",
                    file.path
                ));
            }
            if [module, used] == ["snapshot", "wal"] {
                breaches.push(format!(
                    "{}:{line}: snapshot and wal know nothing of each other",
                    file.path
                ));
            }
        }
        for at in words_at(&code, "super::super") {
            breaches.push(format!(
                "{}:{}: write crate::…, so that the layer can be read",
                file.path,
                line_at(&code, at)
            ));
        }
    }
    breaches
}

#[test]
fn no_module_uses_one_below_it() {
    let lib = fs::read_to_string(top().join("src/lib.rs")).expect("src/lib.rs");
    assert!(layers(&lib).len() >= 10, "the modules of lib.rs were not found");
    none(
        layer_breaches(&lib, &library()),
        "a module may use only those above it in lib.rs: move the item up, or the use down",
    );
}

#[test]
fn the_architecture_lists_the_layers_in_order() {
    let lib = fs::read_to_string(top().join("src/lib.rs")).expect("src/lib.rs");
    let text = fs::read_to_string(top().join("docs/architecture.md")).expect("the architecture");
    let listed = text.split("in this order").nth(1).and_then(|rest| rest.split("\n\n").next());
    let listed: Vec<&str> = listed
        .unwrap_or_default()
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.chars().all(is_word))
        .collect();
    assert_eq!(listed, layers(&lib), "docs/architecture.md lists the modules of lib.rs");
}

#[test]
fn a_use_of_a_lower_module_is_seen() {
    let lib = "mod id;\npub mod wal;\n#[cfg(x)]\nmod snapshot;\nmod recovery;\n\
               pub use recovery::{Plan, report::Report as Told};\n";
    let seen = |path: &str, text: &str| layer_breaches(lib, &[Source::new(path, text)]).len();
    assert_eq!(seen("src/wal/log.rs", "use crate::id::Lsn;\n// crate::recovery\n"), 0);
    assert_eq!(seen("src/wal/log.rs", "let s = \"crate::recovery\";\n"), 0);
    assert_eq!(seen("src/wal/log.rs", "use crate::recovery::Plan;\n"), 1);
    assert_eq!(
        seen("src/wal/log.rs", "use crate::{\n  id::Lsn,\n  recovery::{Plan, Scan},\n};\n"),
        2
    );
    assert_eq!(seen("src/wal.rs", "fn f(told: crate::Told) {}\n"), 1);
    assert_eq!(
        seen("src/wal.rs", "#[cfg(test)]\nmod tests {\n use crate::recovery::Plan;\n}\n"),
        0
    );
    assert_eq!(seen("src/wal/log.rs", "use super::super::recovery::Plan;\n"), 1);
    assert_eq!(seen("src/snapshot/file.rs", "use crate::wal::Log;\n"), 1);
    assert_eq!(seen("src/nowhere.rs", ""), 1);
}

/// Users write `freehold::…`; the shipped primitives may do no more than users.
fn private_path_breaches(files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| !file.is_tests()) {
        let code = file.code();
        let shipped = file.module() == Some("primitives");
        let open = shipped || matches!(file.module(), Some("cli" | "testing") | None);
        for word in ["crate::", "super::super"] {
            for at in words_at(&code, word).filter(|_| shipped) {
                breaches.push(format!(
                    "{}:{}: a shipped primitive uses freehold::… paths only",
                    file.path,
                    line_at(&code, at)
                ));
            }
        }
        for at in words_at(&code, "freehold::").filter(|_| !open) {
            let hidden = code[..at].ends_with("::") && !code[..at].ends_with(" ::");
            if !hidden {
                breaches.push(format!(
                    "{}:{}: inside the crate write crate::…, so that the layer can be read",
                    file.path,
                    line_at(&code, at)
                ));
            }
        }
    }
    breaches
}

#[test]
fn the_shipped_primitives_use_public_paths_only() {
    none(private_path_breaches(&library()), "a path hides what a file depends on");
    let planted = Source::new("src/primitives/kv.rs", "use crate::wal::Log;\n");
    assert_eq!(private_path_breaches(&[planted]).len(), 1);
    let planted = Source::new("src/wal/log.rs", "use freehold::Database;\n");
    assert_eq!(private_path_breaches(&[planted]).len(), 1);
}

// --- Doors ---------------------------------------------------------------------------------------

/// (word, where it may stand, what to do instead)
const DOORS: &[(&str, &[&str], &str)] = &[
    // The lock is a source file beside `Cargo.toml`.
    (
        "std::fs",
        &["src/disk/", "src/cli/", "src/registry/lock_file.rs"],
        "go through `Disk`: src/disk is the only door outside",
    ),
    ("rustix", &["src/disk/"], "go through `Disk`: src/disk is the only door outside"),
    ("SystemTime", &["src/clock.rs", "src/cli/"], "take the clock from `Options`"),
    ("Instant", &["src/clock.rs", "src/cli/"], "only a report may depend on elapsed time"),
    (
        "println!",
        &["src/cli/", "src/bin/", "src/testing/conformance/"],
        "a library does not print: return a value",
    ),
    ("eprintln!", &["src/cli/", "src/bin/"], "a library does not print: return a value"),
];

fn door_breaches(files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| !file.is_tests()) {
        let code = file.code();
        for (word, allowed, instead) in DOORS {
            if allowed.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            for at in words_at(&code, word) {
                let line = line_at(&code, at);
                breaches.push(format!("{}:{line}: {word}: {instead}", file.path));
            }
        }
        // Primitives are reached by functions that generics have made, one call a batch.
        if file.path.starts_with("src/recovery") || file.path.starts_with("src/registry") {
            for at in words_at(&code, "dyn") {
                let rest = code[at..].trim_start_matches("dyn ");
                // An error, or the caller's own closure, is no primitive.
                if !["std::error::Error", "core::error::Error", "Error", "Fn"]
                    .iter()
                    .any(|error| rest.starts_with(error))
                {
                    let line = line_at(&code, at);
                    breaches.push(format!("{}:{line}: no dyn on the path of replay", file.path));
                }
            }
        }
    }
    breaches
}

#[test]
fn only_the_disk_opens_files_and_only_the_tool_prints() {
    none(door_breaches(&library()), "something left its place");
    let planted = "use std::fs;\nfn f() { println!(\"std::fs\"); }\n";
    assert_eq!(door_breaches(&[Source::new("src/wal/log.rs", planted)]).len(), 2);
    let planted = "fn f(a: &dyn Primitive, b: Box<dyn Error>) {}\n";
    assert_eq!(door_breaches(&[Source::new("src/recovery/load.rs", planted)]).len(), 1);
}

// --- Files ---------------------------------------------------------------------------------------

const LINES_MAX: usize = 600;

fn length_breaches(files: &[Source]) -> Vec<String> {
    files
        .iter()
        .filter(|file| !file.is_tests())
        .map(|file| (file.shipped().lines().count(), &file.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| {
            format!("{path}: {lines} lines, at most {LINES_MAX} without its tests")
        })
        .collect()
}

fn sources_and_macros() -> Vec<Source> {
    files(&[".rs"])
        .into_iter()
        .filter(|file| file.path.starts_with("src/") || file.path.starts_with("macros/src/"))
        .collect()
}

#[test]
fn a_source_file_is_one_noun_long() {
    none(length_breaches(&sources_and_macros()), "split the file by its nouns");
    let planted = "//! x\n".repeat(LINES_MAX + 1);
    assert_eq!(length_breaches(&[Source::new("src/wal/log.rs", &planted)]).len(), 1);
}

#[test]
fn a_source_file_opens_with_what_it_holds() {
    let breaches: Vec<String> = sources_and_macros()
        .iter()
        .filter(|file| !file.is_tests() && !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    none(breaches, "a file opens with //! and what always holds in it");
}

fn allow_breaches(files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        let code = blanked(&file.text);
        for (at, _) in code.match_indices("[allow(") {
            let inside = code[at..].split(")]").next().unwrap_or_default();
            if !inside.contains("reason =") {
                breaches.push(format!("{}:{}", file.path, line_at(&code, at)));
            }
        }
    }
    breaches
}

#[test]
fn every_exception_to_a_lint_gives_its_reason() {
    none(
        allow_breaches(&files(&[".rs"])),
        "write #[expect(lint, reason = \"..\")] instead of a bare allow",
    );
    let planted = "#![allow(dead_code)]\n#[expect(dead_code, reason = \"..\")]\n";
    assert_eq!(allow_breaches(&[Source::new("src/lib.rs", planted)]).len(), 1);
}

// --- Words ---------------------------------------------------------------------------------------

/// Names that say nothing, or that the glossary gives to something else, and what to write. Each
/// stands as a whole word inside a type's, function's or module's name.
const NAMES: &[(&str, &str)] = &[
    ("manager", "say what it does"),
    ("handler", "say what it does"),
    ("coordinator", "say what it does"),
    ("util", "name the noun"),
    ("utils", "name the noun"),
    ("helper", "name the noun"),
    ("helpers", "name the noun"),
    ("info", "name the noun"),
    ("journal", "WAL"),
    ("logfile", "segment"),
    ("opcode", "WAL type"),
    ("manifest", "catalog"),
    ("fsync", "sync"),
    ("session", "run"),
];

/// `SegmentHeader` and `segment_header` are both segment, header.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in name.chars() {
        if character == '_' {
            parts.push(String::new());
            continue;
        }
        if character.is_uppercase() && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(character.to_lowercase());
        }
    }
    parts
}

fn name_breaches(files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        let code = blanked(&file.text);
        for keyword in ["struct ", "enum ", "trait ", "fn ", "mod ", "type "] {
            for at in words_at(&code, keyword) {
                let rest = &code[at + keyword.len()..];
                let name: String =
                    rest.chars().take_while(|character| is_word(*character)).collect();
                for (word, instead) in NAMES {
                    if parts(&name).iter().any(|part| part == word) {
                        let line = line_at(&code, at);
                        breaches.push(format!("{}:{line}: {name}: {instead}", file.path));
                    }
                }
            }
        }
    }
    breaches
}

#[test]
fn names_are_the_glossarys() {
    none(name_breaches(&sources_and_macros()), "docs/glossary.md has the word for it");
    let planted = "struct RunManager;\nfn write_journal() {}\nfn information() {}\n";
    assert_eq!(name_breaches(&[Source::new("src/run.rs", planted)]).len(), 2);
}

/// Paths and tools of the machine somebody worked on, notes to oneself, numbers of a tracker. Split,
/// so that this file does not contain them.
const STRAY: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/tmp", "/target"), "a path of one machine"),
    (concat!("../sha", "red"), "a path outside the project"),
    (concat!(".lib", "rary"), "a path of one machine"),
    (concat!("DEVEL", "OPERS.md"), "a file that is not here"),
    (concat!("TO", "DO"), "do it, or write down in docs/decisions why not"),
    (concat!("FIX", "ME"), "do it, or write down in docs/decisions why not"),
    (concat!("XX", "X"), "do it, or write down in docs/decisions why not"),
    (concat!("to", "do!"), "do it"),
    (concat!("ep", "ic"), "numbers of a plan mean nothing to a reader: say what it is"),
    (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
];

fn stray_breaches(files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for (word, why) in STRAY {
                if words_at(line, word).next().is_some() {
                    breaches.push(format!("{}:{}: {word}: {why}", file.path, number + 1));
                }
            }
        }
    }
    breaches
}

#[test]
fn nothing_stray_stands_in_the_files() {
    none(
        stray_breaches(&files(&[".rs", ".md", ".toml", ".sh", ".ci/run"])),
        "words that do not belong in the project",
    );
    let planted = format!("// see {}main\n// {}: later\nlet epics = 1;\n", STRAY[0].0, STRAY[7].0);
    assert_eq!(stray_breaches(&[Source::new("src/run.rs", &planted)]).len(), 2);
}

// --- Documents -----------------------------------------------------------------------------------

/// The anchor that a heading gets: lower case, spaces to hyphens, punctuation left out.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter(|character| is_word(*character) || matches!(character, ' ' | '-'))
        .map(|character| if character == ' ' { '-' } else { character })
        .flat_map(char::to_lowercase)
        .collect()
}

/// The lines of a document outside its fenced blocks, numbered from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number + 1, line));
        }
    }
    lines
}

fn link_breaches(root: &Path, files: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        for (number, line) in prose(&file.text) {
            for (at, _) in line.match_indices("](") {
                let target = line[at + 2..].split(')').next().unwrap_or_default();
                if target.starts_with("http://") || target.starts_with("https://") {
                    continue;
                }
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let from = root.join(&file.path);
                let to = if path.is_empty() {
                    from.clone()
                } else {
                    from.parent().unwrap_or(root).join(path)
                };
                if !to.exists() {
                    breaches.push(format!("{}:{number}: {target}: no such file", file.path));
                } else if !heading.is_empty() {
                    let text = fs::read_to_string(&to).unwrap_or_default();
                    let found = prose(&text).iter().any(|(_, line)| {
                        line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading
                    });
                    if !found {
                        breaches.push(format!("{}:{number}: {target}: no such heading", file.path));
                    }
                }
            }
        }
    }
    breaches
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let documents = files(&[".md"]);
    assert!(documents.iter().any(|file| file.path == "README.md"), "README.md is missing");
    none(link_breaches(&top(), &documents), "a link leads nowhere");
    let planted = "[a](docs/no-such.md) [b](README.md) [c](README.md#no-such)\n";
    assert_eq!(link_breaches(&top(), &[Source::new("x.md", planted)]).len(), 2);
}

/// Programs of the guide that rustdoc does not compile, and that do not stand where the comment above
/// them says.
fn guide_breaches(guide: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut from = None;
    let mut blocks = guide.lines().enumerate();
    while let Some((at, line)) = blocks.next() {
        if let Some(path) = line.strip_prefix("<!-- from ").and_then(|l| l.strip_suffix(" -->")) {
            from = Some(path);
        } else if let Some(kind) = line.strip_prefix("```") {
            let text: Vec<&str> =
                blocks.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let compiled = kind.starts_with("rust") && !kind.contains("ignore");
            let stands = || from.is_some_and(|path| read(path).contains(&text.join("\n")));
            if kind.starts_with("rust") && !compiled && !stands() {
                breaches.push(format!(
                    "line {}: neither compiled nor a part of a file that is, `<!-- from .. -->`",
                    at + 1
                ));
            }
            from = None;
        }
    }
    breaches
}

#[test]
fn every_program_of_the_guide_is_compiled() {
    let read = |path: &str| fs::read_to_string(top().join(path)).unwrap_or_default();
    none(guide_breaches(&read("docs/extending.md"), read), "docs/extending.md drifts");
    let planted = "```rust\nfn a() {}\n```\n<!-- from f -->\n```rust,ignore\nfn b() {}\n```\n\
                   ```rust,ignore\nfn b() {}\n```\n```sh\nls\n```\n";
    let found = guide_breaches(planted, |_| "fn b() {}\n".to_owned());
    assert_eq!(found.len(), 1, "{found:?}");
    let found = guide_breaches(planted, |_| "fn c() {}\n".to_owned());
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn the_reading_order_names_every_document() {
    let order = fs::read_to_string(top().join("docs/README.md")).expect("docs/README.md");
    let missing: Vec<String> = files(&[".md"])
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/"))
        .filter(|path| *path != "README.md" && !order.contains(&format!("]({path})")))
        .map(str::to_string)
        .collect();
    none(missing, "docs/README.md does not link to it");
}

#[test]
fn the_document_of_the_tests_names_every_binary() {
    let text = fs::read_to_string(top().join("docs/testing.md")).expect("docs/testing.md");
    let mut missing = Vec::new();
    for entry in fs::read_dir(top().join("tests")).expect("tests/") {
        let path = entry.expect("a name in tests/").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let is_binary = path.is_file() || path.join("main.rs").exists();
        if is_binary && !text.contains(&format!("| `{name}` |")) {
            missing.push(name.to_string());
        }
    }
    none(missing, "docs/testing.md does not say what it shows");
}

/// The rows of the glossary: word, meaning, words it is not.
fn glossary() -> Vec<[String; 3]> {
    let text = fs::read_to_string(top().join("docs/glossary.md")).expect("docs/glossary.md");
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(str::to_string).collect::<Vec<_>>())
        .filter_map(|cells| <[String; 3]>::try_from(cells).ok())
        .filter(|[word, _, _]| word != "word" && !word.starts_with("---"))
        .collect()
}

#[test]
fn the_glossary_gives_one_meaning_to_a_word() {
    let rows = glossary();
    assert!(rows.len() >= 20, "the glossary's table was not found");
    let words: Vec<String> = rows.iter().map(|[word, _, _]| word.to_lowercase()).collect();
    let mut sorted = words.clone();
    sorted.sort();
    assert_eq!(words, sorted, "the glossary is in order of the alphabet");
    let mut once = sorted.clone();
    once.dedup();
    assert_eq!(sorted, once, "a word stands twice");
    for (word, instead) in NAMES.iter().filter(|(_, instead)| !instead.contains(' ')) {
        if let Some(row) = rows.iter().find(|[term, _, _]| term == instead) {
            assert!(
                row[2].contains(word),
                "the glossary does not say that {instead} is not {word}"
            );
        }
    }
}

#[test]
fn the_readmes_program_is_the_example() {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md");
    let example = fs::read_to_string(top().join("examples/counters.rs")).expect("the example");
    let program = readme
        .split("```rust")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("README.md shows a program");
    let mut rest = example.lines().map(str::trim);
    let shown = |line: &&str| !line.is_empty() && *line != "// …";
    for line in program.lines().map(str::trim).filter(shown) {
        assert!(
            rest.any(|other| other == line),
            "examples/counters.rs has no line, at or after its place, that reads: {line}"
        );
    }
}

#[test]
fn the_readmes_two_commands_are_one_line_each() {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md");
    for start in ["cargo run ", "cargo test "] {
        let lines = readme.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(
            lines, 1,
            "README.md has {lines} lines that start with `{start}`, .ci/run takes one"
        );
    }
}
