//! What a program can read, told without running it; and the lock that keeps it so.
//!
//! - `tests/outside/evolving` is copied, a line of it is changed, and the copy is built: each change of
//!   a format that the lock forbids has its message.
//! - What `can-open` says of a build and a database is what that build says when it opens it.

#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "these tests arrange files for cargo, no database")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

#[path = "outside/cargo.rs"]
mod cargo;

// --- Processes -----------------------------------------------------------------------------------

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(command: &mut Command) -> Ran {
        command.stdin(Stdio::null()).env_remove("FREEHOLD_LOCK_UPDATE");
        let output = command.output().expect("the process starts");
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn expect(self, code: i32, parts: &[&str]) -> Ran {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(code), "exit code; stdout:\n{out}\nstderr:\n{err}");
        for part in parts {
            let said = out.contains(part) || err.contains(part);
            assert!(said, "expected {part:?}; stdout:\n{out}\nstderr:\n{err}");
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn freehold(arguments: &[&str]) -> Ran {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_freehold"));
    Ran::of(
        tool.args(arguments)
            .env("CARGO_TARGET_DIR", cargo::outside())
            .env("CARGO_TERM_COLOR", "never"),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

// --- A copy of the crate -------------------------------------------------------------------------

const LIB: &str = include_str!("outside/evolving/src/lib.rs");
const MAIN: &str = include_str!("outside/evolving/src/main.rs");
const LOCK: &str = include_str!("outside/evolving/freehold.lock");

/// `tests/outside/evolving` in a directory of its own, to be changed. One at a time: all are built in
/// one target directory, where the last one's program lies.
struct Copied {
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Copied {
    /// The crate as it is, with its lock.
    fn locked() -> Copied {
        let copied = Copied::without_lock();
        copied.write("freehold.lock", LOCK);
        copied
    }

    fn without_lock() -> Copied {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = Copied { directory, _alone: alone };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = include_str!("outside/evolving/Cargo.toml");
        // A literal string of TOML, so that any path can stand in it.
        let here = format!("path = '{}'", root.display());
        copied.write("Cargo.toml", &replaced(manifest, r#"path = "../../..""#, &here));
        copied.write("src/lib.rs", LIB);
        copied.write("src/main.rs", MAIN);
        // The same versions as the workspace's, so that nothing has to be downloaded anew.
        let lock = root.join("Cargo.lock");
        if lock.exists() {
            fs::copy(lock, copied.path("Cargo.lock")).unwrap();
        }
        copied
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn cargo(&self, arguments: &[&str]) -> Ran {
        let mut cargo = cargo::cargo(arguments, &self.path("Cargo.toml"));
        Ran::of(cargo.env("CARGO_TERM_COLOR", "never"))
    }

    /// Builds the program, and keeps it under `name`.
    fn program(&self, name: &str) -> PathBuf {
        self.cargo(&["build", "--quiet"]).expect(0, &[]);
        let built = cargo::built().join("debug/evolving");
        let built = built.with_extension(std::env::consts::EXE_EXTENSION);
        fs::copy(built, self.path(name)).unwrap();
        self.path(name)
    }

    fn lock(&self, arguments: &[&str]) -> Ran {
        let manifest = self.path("Cargo.toml");
        freehold(&[&["lock", "--manifest-path", text(&manifest)], arguments].concat())
    }
}

#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is no longer in the crate");
    text.replace(from, to)
}

/// The library without what stands between the two texts, the first included.
#[track_caller]
fn without(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).expect("the first text is in the crate");
    let end = text[start..].find(to).expect("the second text is in the crate") + start;
    [&text[..start], &text[end..]].concat()
}

/// The library of the release before: no places, one at a time.
fn older_lib() -> String {
    let lib = without(LIB, "    /// As it was logged", "    /// Adds");
    let lib = replaced(&lib, ", section_version = 2", "");
    let lib = replaced(&lib, "    places: OrdMap<String, Place>,\n", "");
    let lib = replaced(&lib, "        self.places.remove(name);\n", "");
    let lib = without(&lib, "    /// Puts", "    /// Forgets");
    let lib = replaced(&lib, "name: &str, by: i64", "name: &str");
    replaced(&lib, "saturating_add(by)", "saturating_add(1)")
}

fn older_main() -> String {
    let main =
        replaced(MAIN, "            tx.on::<Stock>().put(\"nails\", Place::default())?;\n", "");
    let main = replaced(&main, "{Orders, Place, Stock}", "{Orders, Stock}");
    replaced(&replaced(&main, "\"nails\", 7", "\"nails\""), "\"nails\", 1", "\"nails\"")
}

fn lib_without_orders() -> String {
    LIB.split("// Orders, from here").next().unwrap().to_owned()
}

fn main_without_orders() -> String {
    let main = replaced(
        MAIN,
        "Place::default())?;\n            tx.on::<Orders>().open(1)\n",
        "Place::default())\n",
    );
    replaced(&main, "{Orders, Place, Stock}", "{Place, Stock}")
}

// --- Reading a binary ----------------------------------------------------------------------------

#[test]
fn the_tools_own_registry_is_read_from_its_binary_too_also_when_it_is_stripped() {
    let linked = freehold(&["registry", "--json"]).expect(0, &[]).out;
    let count = linked.lines().count();
    assert!(count >= 4, "{linked}");
    let first: Value = serde_json::from_str(linked.lines().next().unwrap()).unwrap();
    assert_eq!((&first["primitive"], &first["type_id"]), (&"kv".into(), &1.into()));
    assert_eq!(first["operations"][0]["arguments"], "(key: [u8], value: [u8])");

    let binary = env!("CARGO_BIN_EXE_freehold");
    let read = |path: &str| freehold(&["registry", "--json", "--binary", path]).expect(0, &[]).out;
    assert_eq!(read(binary), linked);
    let listed = freehold(&["registry", "--binary", binary])
        .expect(0, &[&format!("\n{count} primitives\n")]);
    assert_eq!(freehold(&["registry"]).out, listed.out);
    assert!(listed.out.starts_with("kv  type ID 0x01, WAL types 0x10..=0x14\n"), "{}", listed.out);

    let directory = tempfile::tempdir().unwrap();
    let stripped = directory.path().join("stripped");
    fs::copy(binary, &stripped).unwrap();
    match Command::new("strip").arg(&stripped).status() {
        Ok(status) if status.success() => assert_eq!(read(text(&stripped)), linked),
        _ => println!("strip is not there: not tried on a stripped binary"),
    }

    let no = directory.path().join("no");
    fs::write(&no, "no binary").unwrap();
    let refused = freehold(&["registry", "--binary", text(&no)]);
    refused.expect(1, &["no: it is no executable, library or archive"]);
    freehold(&["registry", "--binary", "nowhere"]).expect(1, &["nowhere: read: "]);
    freehold(&["registry", "--diff", binary]).expect(2, &["Usage"]);
}

// --- Whether a build opens a database ------------------------------------------------------------

/// What the program says when it opens the database: that it did, or why not.
fn look(program: &Path, db: &Path) -> Result<String, String> {
    let ran = Ran::of(Command::new(program).arg(db).arg("look"));
    let first = ran.out.lines().next().unwrap_or_default().to_owned();
    match ran.code {
        Some(0) => Ok(first),
        _ => Err(ran.err.trim().trim_start_matches("Error: ").to_owned()),
    }
}

#[test]
fn can_open_says_what_the_build_says_when_it_opens_the_database() {
    let copied = Copied::without_lock();
    let newest = copied.program("newest");
    copied.write("src/lib.rs", &lib_without_orders());
    copied.write("src/main.rs", &main_without_orders());
    let without_orders = copied.program("without-orders");
    copied.write("src/lib.rs", &older_lib());
    copied.write("src/main.rs", &older_main());
    let older = copied.program("older");

    let db = copied.path("db");
    let wrote = Ran::of(Command::new(&newest).arg(&db));
    wrote.expect(0, &["opened"]);
    let ask = |program: &Path, db: &Path| freehold(&["can-open", text(program), text(db)]);
    let ask_json = |program: &Path, db: &Path| {
        freehold(&["can-open", text(program), text(db), "--json"]).json()
    };

    ask(&newest, &db).expect(0, &["yes: ", " opens "]);
    assert_eq!(look(&newest, &db).unwrap(), "opened");

    let carried = ask(&without_orders, &db).expect(0, &[
        "yes: ",
        "Orders (type ID 0xa8, crate evolving 0.1.0) is not in it: its data is carried byte for byte; \
         to use it add `use evolving as _;`",
    ]);
    assert_eq!(carried.out.lines().count(), 2);
    let verdict = ask_json(&without_orders, &db);
    assert_eq!(
        (&verdict["opens"], &verdict["detached"][0]["primitive"]),
        (&true.into(), &"Orders".into())
    );
    assert!(look(&without_orders, &db).unwrap().starts_with("Orders (type ID 0xa8, "));

    let refused = ask(&older, &db).expect(1, &[
        "no: ",
        " does not open ",
        "  LSN 2: Stock operation 0xa0: version 2, this build reads 1\n",
        "the data is newer than this program: use the one that wrote it, or a later one; or carry the \
         data unread: `Options::detach(\"Stock\")`",
    ]);
    assert_eq!(refused.err, "", "the answer is the output");
    let verdict = ask_json(&older, &db);
    assert_eq!(verdict["opens"], false);
    let reasons: Vec<&str> = verdict["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|each| each["reason"].as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "Stock section: version 2, this build reads 1",
            "LSN 2: Stock operation 0xa0: version 2, this build reads 1"
        ]
    );
    assert!(reasons.contains(&&*look(&older, &db).unwrap_err()), "opening stops at one of them");

    // And the other way round: what the older one wrote, the newer one opens.
    let old_db = copied.path("old-db");
    Ran::of(Command::new(&older).arg(&old_db)).expect(0, &["opened"]);
    ask(&newest, &old_db).expect(0, &["yes: "]);
    assert_eq!(look(&newest, &old_db).unwrap(), "opened");

    let nothing = copied.path("nothing");
    ask(&newest, &nothing).expect(1, &["no database is here"]);
    damage(&db);
    let damaged = ask(&newest, &db).expect(1, &["db: wal/", "checksum"]);
    assert_eq!(damaged.out, "");

    diff(&older, &newest, &without_orders);
}

/// Changes a byte of the first record behind the snapshot, which the footer proves.
fn damage(db: &Path) {
    let wal = fs::read_dir(db.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let newest =
        wal.filter(|path| path.extension().is_some_and(|ending| ending == "wal")).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let at = bytes.windows(5).rposition(|window| window == b"nails").expect("the last record");
    bytes[at] ^= 1;
    fs::write(&newest, bytes).unwrap();
}

fn diff(older: &Path, newest: &Path, without_orders: &Path) {
    let diff = |old: &Path, new: &Path| freehold(&["registry", "--diff", text(old), text(new)]);
    let same =
        diff(newest, newest).expect(0, &["no difference\n", "wrote: yes\n", "written: safe\n"]);
    assert_eq!(same.out.lines().count(), 4);

    let forward = diff(older, newest).expect(1, &[]);
    assert_eq!(
        forward.out,
        "\
Stock
  added    0xa0 v2 add(name: str, by: i64)
  added    0xa1 v1 put(name: str, place: Place#aa2c841605df5277)
  changed  section v1 (amounts: {str: i64})
  to       section v2 (amounts: {str: i64}, places: {str: Place#aa2c841605df5277})

newest opens what older wrote: yes
rollback to older after newest has written: not safe
  Stock section: version 2, this build reads 1
  Stock operation 0xa0: version 2, this build reads 1
    the data is newer than this program: use the one that wrote it, or a later one; or carry the data unread: `Options::detach(\"Stock\")`
  Stock operation 0xa1: version 1, this build reads 0
    this program does not have it: use the one that wrote it, or a later one; if it was taken out, restore it; or carry the data unread: `Options::detach(\"Stock\")`
"
    );
    let back = diff(newest, older).expect(1, &["newest wrote: no\n", "has written: safe\n"]);
    assert!(back.out.contains("  gone     0xa0 v2 add(name: str, by: i64)\n"), "{}", back.out);
    diff(newest, without_orders).expect(
        0,
        &[
            "Orders\n  gone     the primitive: type ID 0xa8, WAL types 0xa8, from evolving 0.1.0\n",
            "wrote: yes\n  Orders (type ID 0xa8, crate evolving 0.1.0) is not in it",
        ],
    );
    let line = freehold(&["registry", "--diff", text(older), text(newest), "--json"]).json();
    assert_eq!(line["changes"][0]["change"], "added");
    assert_eq!(line["new_opens_old"]["opens"], true);
    assert_eq!(line["old_opens_new"]["opens"], false);
}

// --- The tool and the lock -----------------------------------------------------------------------

#[test]
fn the_lock_is_written_added_to_and_kept() {
    let copied = Copied::without_lock();
    copied.write("src/lib.rs", &older_lib());
    copied.write("src/main.rs", &older_main());
    copied
        .lock(&[])
        .expect(1, &["freehold.lock: there is none; `freehold lock --update` writes it"]);
    assert!(!copied.path("freehold.lock").exists(), "a check writes nothing");
    copied.lock(&["--update"]).expect(0, &["written, 8 lines; check it in"]);
    let written = copied.read("freehold.lock");
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("::")).map(str::to_owned).collect()
    };
    assert!(lines(&written).iter().all(|line| LOCK.contains(line)), "{written}");
    copied.lock(&["--update"]).expect(0, &["nothing is missing"]);
    assert_eq!(copied.read("freehold.lock"), written);
    copied.lock(&[]).expect(0, &["2 primitives as the lock has them", "--update --locked"]);

    // The next release.
    copied.write("src/lib.rs", LIB);
    copied.write("src/main.rs", MAIN);
    let missing = copied.lock(&["--json"]).expect(1, &[]).json();
    assert_eq!(missing["missing"].as_array().map(Vec::len), Some(3), "{missing}");
    assert_eq!((&missing["sound"], &missing["gone"]), (&false.into(), &Value::Array(Vec::new())));
    copied.cargo(&["build", "--quiet"]).expect(0, &[]);
    copied.lock(&["--update", "--locked"]).expect(0, &["freehold.lock: 4 lines added"]);
    assert_eq!(copied.read("freehold.lock"), LOCK, "the lock of the crate in the repository");
    copied.cargo(&["build", "--quiet"]).expect(0, &[]);
    copied.lock(&[]).expect(0, &[]);

    // A whole primitive is taken out, which no compiler sees.
    copied.write("src/lib.rs", &lib_without_orders());
    copied.write("src/main.rs", &main_without_orders());
    copied.cargo(&["build", "--quiet"]).expect(0, &[]);
    copied.lock(&[]).expect(
        1,
        &[
            "gone     evolving::Orders\n    no primitive Orders was built: restore it",
            "`freehold lock --retire Orders`",
        ],
    );
    copied
        .lock(&["--retire", "Order"])
        .expect(1, &["no primitive Order; it has: evolving::Orders, "]);
    copied
        .lock(&["--retire", "Stock:0xa3"])
        .expect(1, &["no 0xa3 of Stock; it has: 0xa0 v1, 0xa0 v2"]);
    copied.lock(&["--retire", "Orders"]).expect(0, &["added  evolving::Orders retired id"]);
    copied.lock(&[]).expect(0, &["1 primitive as the lock has them"]);

    // An operation, which the compiler does see.
    copied.write("src/lib.rs", &without(&lib_without_orders(), "    /// Forgets", "}\n\n"));
    let lost = "Stock 0xa2 v1 `forget (name: str, )` is not in the code";
    copied.lock(&["--update"]).expect(1, &[lost, "cargo could not build the package"]);
    copied.lock(&["--retire", "evolving::Stock:0xa2:1"]).expect(
        0,
        &[
            "added  evolving::Stock retired 0xa2 v1",
            "take it out of the code; nothing can claim it again",
        ],
    );
    copied.lock(&[]).expect(0, &["1 primitive as the lock has them"]);
    // It does not come back by itself, as its next version.
    copied.write("src/lib.rs", &lib_without_orders());
    let retired = "0xa2 is retired with its newest version 1: delete this method";
    copied.lock(&[]).expect(1, &[retired]);
    copied.lock(&["--retire", "Stock:0xa2"]).expect(0, &["added  evolving::Stock retired 0xa2\n"]);
    copied.lock(&[]).expect(1, &[retired]);

    // An old version: the newer one keeps its number.
    let lib = without(&lib_without_orders(), "    /// Forgets", "}\n\n");
    copied.write("src/lib.rs", &without(&lib, "    /// As it was logged", "    /// Adds"));
    copied
        .lock(&[])
        .expect(1, &["Stock 0xa0 v1 was `(name: str, )` and is now `(name: str, by: i64, )`"]);
    copied.lock(&["--retire", "Stock:0xa0:1"]).expect(0, &["retired 0xa0 v1"]);
    copied.lock(&[]).expect(1, &["write `#[wal(0xa0, version = 2, newest)]`"]);
    let numbered =
        replaced(&copied.read("src/lib.rs"), "#[wal(0xa0)]", "#[wal(0xa0, version = 2, newest)]");
    copied.write("src/lib.rs", &numbered);
    copied.lock(&[]).expect(0, &["1 primitive as the lock has them"]);
    let file = copied.read("freehold.lock");
    for line in lines(LOCK) {
        assert!(file.contains(&line), "{line} was taken away");
    }
}

#[test]
fn a_lock_that_somebody_broke_is_told_of_and_a_package_without_primitives_has_none() {
    let copied = Copied::locked();
    let broken = replaced(LOCK, "locked\n", "locked\n<<<<<<< ours\n# a remark\n");
    copied.write("freehold.lock", &broken);
    copied.lock(&[]).expect(1, &["no line of a lock  <<<<<<< ours"]);
    let foreign = format!("{LOCK}\nshop::Stock id 0xa0 scope runs\n");
    copied.write("freehold.lock", &foreign);
    copied.lock(&[]).expect(1, &["gone     shop::Stock\n    this package has no crate shop"]);
    let newer =
        format!("{LOCK}evolving::Stock section v3 (amounts: {{str: i64}}, ) 6c2b9b7b301ddab6\n");
    copied.write("freehold.lock", &newer);
    copied.lock(&["--json"]).expect(1, &["the code has section version 2"]);

    drop(copied);
    let nothing = Copied::without_lock();
    nothing.write("src/lib.rs", "//! Nothing.\n");
    nothing.write("src/main.rs", "fn main() {}\n");
    nothing.lock(&["--update"]).expect(0, &["no primitive stands in its library or its binaries"]);
    assert!(!nothing.path("freehold.lock").exists());
    freehold(&["lock", "--manifest-path", "nowhere/Cargo.toml"])
        .expect(1, &["nowhere/Cargo.toml: find: "]);
}

// --- The compiler and the lock -------------------------------------------------------------------

/// What is changed in the library, what in the lock, and what the compiler then says; nothing if it
/// builds.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const CASES: &[Case] = &[
    // What changes no format.
    (&[], &[], &[]),
    (
        &[
            ("name: &str, place: Place", "name: String, place: Place"),
            ("name.to_owned(), place", "name, place"),
        ],
        &[],
        &[],
    ),
    (&[("saturating_add(by)", "wrapping_add(by)")], &[], &[]),
    (
        &[
            ("pub struct Orders", "pub struct Tickets"),
            ("impl Orders", "impl Tickets"),
            ("0xa8, wal = 0xa8", "0xa8, wal = 0xa8, was = [\"Orders\"]"),
        ],
        &[],
        &[],
    ),
    // Arguments.
    (
        &[("place: Place) {", "place: Place, _at: u64) {")],
        &[],
        &[
            "Stock 0xa1 v1 was `(name: str, place: Place#aa2c841605df5277, )` and is now `(name: str, \
           place: Place#aa2c841605df5277, _at: u64, )`: restore the layout, or add version 2 and keep \
           version 1 as a method of its own with its old arguments and `#[wal(0xa1, version = 1)]`",
        ],
    ),
    (
        &[("name: &str, place: Place", "place: Place, name: &str")],
        &[],
        &["0xa1 v1 was `(name: str, place: "],
    ),
    (
        &[(
            "number: u64) {\n        self.open.insert(number)",
            "number: u32) {\n        self.open.insert(number.into())",
        )],
        &[],
        &["Orders 0xa8 v1 was `(number: u64, )` and is now `(number: u32, )`"],
    ),
    // Names and bytes.
    (
        &[("pub fn forget", "pub fn discard")],
        &[],
        &[
            "Stock 0xa2 v1 was `forget` and is now `discard`: restore the name, or keep it for the data \
           with `#[wal(0xa2, name = \"forget\")]`",
        ],
    ),
    (
        &[("#[wal(0xa2)]", "#[wal(0xa3)]")],
        &[],
        &[
            "Stock 0xa2 v1 `forget (name: str, )` is not in the code: restore it, since old records \
             need it to replay (it may stand under a feature that is off); if no data with it is left \
             anywhere, `freehold lock --retire Stock:0xa2:1`",
            "Stock `0xa3 v1 forget` is missing, and the lock is `locked`: `freehold lock --update` adds it",
        ],
    ),
    (
        &[
            ("#[wal(0xa1)]", "#[wal(0xa3)]"),
            ("#[wal(0xa2)]", "#[wal(0xa1)]"),
            ("#[wal(0xa3)]", "#[wal(0xa2)]"),
        ],
        &[],
        &["Stock 0xa1 v1 was `(name: str, place: ", "Stock 0xa2 v1 was `(name: str, )` and is now"],
    ),
    (
        &[(
            "    /// As it was logged before amounts were told.\n    #[wal(0xa0, version = 1)]\n    fn add_one(&mut self, name: &str) {\n        self.add(name, 1);\n    }\n",
            "",
        )],
        &[],
        &["Stock 0xa0 v1 was `(name: str, )` and is now `(name: str, by: i64, )`"],
    ),
    (
        &[(
            "    /// Opens an order.\n    #[wal(0xa8)]\n    pub fn open(&mut self, number: u64) {\n        self.open.insert(number);\n    }\n",
            "",
        )],
        &[],
        &["Orders 0xa8 v1 `open (number: u64, )` is not in the code"],
    ),
    // What is stored.
    (
        &[("    shelf: u32,\n    row: u16,\n", "    row: u16,\n    shelf: u32,\n")],
        &[],
        &[
            "Stock 0xa1 v1 was `(name: str, place: Place#aa2c841605df5277, )` and is now `(name: str, place: Place#",
        ],
    ),
    (
        &[
            ("    amounts: OrdMap<String, i64>,\n", ""),
            (
                "        let amount = self.amounts.get(name).copied().unwrap_or(0).saturating_add(by);\n        self.amounts.insert(name.to_owned(), amount);\n",
                "        let _ = (name, by);\n",
            ),
            ("        self.amounts.remove(name);\n", ""),
        ],
        &[],
        &[
            "Stock section v1 has the field `amounts: {str: i64}`, which is now not there: old snapshots could not be read",
        ],
    ),
    (
        &[
            ("    open: OrdSet<u64>", "    numbers: OrdSet<u64>"),
            ("self.open.insert", "self.numbers.insert"),
        ],
        &[],
        &[
            "Orders section v1 was `open: {u64}, ` and is now `numbers: {u64}, `: restore it, or write \
           `section_version = 2` and keep every field of version 1",
        ],
    ),
    (
        &[(
            "    amounts: OrdMap<String, i64>,\n    places: OrdMap<String, Place>,\n",
            "    places: OrdMap<String, Place>,\n    amounts: OrdMap<String, i64>,\n",
        )],
        &[],
        &["Stock section v2 was `amounts: {str: i64}, places: "],
    ),
    (
        &[
            ("    open: OrdSet<u64>,", "    open: OrdSet<u64>,\n    closed: u64,"),
            ("0xa8, wal = 0xa8", "0xa8, wal = 0xa8, section_version = 2"),
        ],
        &[],
        &["Orders `section v2` is missing, and the lock is `locked`"],
    ),
    (
        &[
            ("    open: OrdSet<u64>,", "    open: OrdSet<u64>,\n    closed: u64,"),
            ("0xa8, wal = 0xa8", "0xa8, wal = 0xa8, section_version = 2"),
        ],
        &[("locked\n", "")],
        &[],
    ),
    (
        &[
            ("    open: OrdSet<u64>", "    numbers: OrdSet<u64>"),
            ("self.open.insert", "self.numbers.insert"),
            ("0xa8, wal = 0xa8", "0xa8, wal = 0xa8, section_version = 2"),
        ],
        &[("locked\n", "")],
        &[
            "Orders section v1 has the field `open: {u64}`, which is now not there",
            "or give up what is in it with `dropped = [\"open\"]`",
        ],
    ),
    // Who it is.
    (
        &[("id = 0xa8", "id = 0xa9")],
        &[],
        &[
            "Orders was `id 0xa8 scope runs` and is now `id 0xa9 scope runs`: restore it, since data is found by it",
        ],
    ),
    (
        &[("0xa8, wal = 0xa8", "0xa8, wal = 0xa8, scope = root")],
        &[],
        &["and is now `id 0xa8 scope root`"],
    ),
    (
        &[("pub struct Orders", "pub struct Tickets"), ("impl Orders", "impl Tickets")],
        &[],
        &[
            "type ID 0xa8 belongs to Orders: take another; if Tickets is Orders under a new name, write `was = [\"Orders\"]`",
        ],
    ),
    (
        &[("id = 0xa8, wal = 0xa8", "id = 0xa8, wal = 0xa8, name = \"two words\"")],
        &[],
        &["a name is one word that every linker can print: without white space"],
    ),
    // What the lock says.
    (
        &[],
        &[(
            "evolving::Stock section v1",
            "evolving::Stock retired 0xa2\nevolving::Stock section v1",
        )],
        &["freehold.lock: 0xa2 is retired with its newest version 1: delete this method, or take \
             another WAL type"],
    ),
    (
        &[],
        &[(
            "evolving::Stock section v1",
            "evolving::Stock retired 0xa0 v2\nevolving::Stock section v1",
        )],
        &["0xa0 is retired with its newest version 2: delete this method"],
    ),
    // An older version that is retired and gone leaves the newest its number, in the source.
    (
        &[(
            "    /// As it was logged before amounts were told.\n    #[wal(0xa0, version = 1)]\n    fn add_one(&mut self, name: &str) {\n        self.add(name, 1);\n    }\n",
            "",
        )],
        &[(
            "evolving::Stock section v1",
            "evolving::Stock retired 0xa0 v1\nevolving::Stock section v1",
        )],
        &["so this one says its number: write `#[wal(0xa0, version = 2, newest)]`"],
    ),
    (
        &[
            (
                "    /// As it was logged before amounts were told.\n    #[wal(0xa0, version = 1)]\n    fn add_one(&mut self, name: &str) {\n        self.add(name, 1);\n    }\n",
                "",
            ),
            ("#[wal(0xa0)]", "#[wal(0xa0, version = 2, newest)]"),
        ],
        &[(
            "evolving::Stock section v1",
            "evolving::Stock retired 0xa0 v1\nevolving::Stock section v1",
        )],
        &[],
    ),
    // A lock that is about another crate, or cannot be read, is no missing one.
    (
        &[],
        &[("evolving::", "evolved::")],
        &["freehold.lock is about the crate evolved, and this is evolving: if it was renamed"],
    ),
    (
        &[],
        &[(
            "evolving::Stock section v1",
            "evolving::Stock retired 0xa0 v1\nevolving::Stock section v1",
        )],
        &[
            "Stock `retired 0xa0 v1`: it may never be claimed again: take the next version or another byte",
        ],
    ),
    (
        &[],
        &[("evolving::Orders section", "evolving::Orders retired id\nevolving::Orders section")],
        &["Orders `retired id`: it is retired: take another name and another type ID"],
    ),
    (
        &[],
        &[("evolving::Orders 0xa8 v1", "evolving::Gone 0xa8 v1")],
        &["WAL type 0xa8 belongs to Gone: take another"],
    ),
    (
        &[],
        &[("evolving::Stock 0xa2 v1 forget (name: str, ) b8bd2b61fb744c04\n", "")],
        &[
            "Stock `0xa2 v1 forget` is missing, and the lock is `locked`: `freehold lock --update` adds it",
        ],
    ),
    (
        &[],
        &[("evolving::Stock id 0xa0 scope runs\n", "")],
        &["Stock `id 0xa0 scope runs` is missing"],
    ),
    (
        &[],
        &[("pointer_width_32", "pointer_width_64")],
        &["the format was `rkyv 0.8 little_endian aligned pointer_width_64` and is now `rkyv 0.8 \
           little_endian aligned pointer_width_32`"],
    ),
];

#[test]
fn every_change_of_a_format_is_a_compile_error_that_says_what_to_do() {
    let copied = Copied::locked();
    for (changes, changes_of_lock, expected) in CASES {
        let change = |text: &str, changes: &[(&str, &str)]| {
            changes.iter().fold(text.to_owned(), |text, (from, to)| replaced(&text, from, to))
        };
        copied.write("freehold.lock", &change(LOCK, changes_of_lock));
        copied.write("src/lib.rs", &change(LIB, changes));
        println!("{changes:?} {changes_of_lock:?}"); // Shown if one of them fails.
        let built = copied.cargo(&["build", "--quiet", "--lib"]);
        let code = if expected.is_empty() { 0 } else { 101 };
        let built = built.expect(code, expected);
        // A message stands on what the user wrote, and nothing else is complained of.
        let errors = built.err.lines().filter(|line| line.starts_with("error")).count();
        let placed = built.err.matches("--> src/lib.rs").count();
        assert!(errors == 0 || placed > 0, "{}", built.err);
    }
}

#[test]
fn a_primitive_that_is_locked_by_its_attribute_needs_the_file() {
    let copied = Copied::without_lock();
    copied.cargo(&["build", "--quiet", "--lib"]).expect(0, &["evolving has no freehold.lock"]);
    copied.write("src/lib.rs", &replaced(LIB, "wal = 0xa8)", "wal = 0xa8, locked)"));
    copied.cargo(&["build", "--quiet", "--lib"]).expect(101, &[
        "freehold.lock: there is none beside Cargo.toml, and this is `locked`: `freehold lock --update` writes it",
    ]);
    // The tool writes it all the same, and then it builds.
    copied.lock(&["--update"]).expect(0, &["written"]);
    copied.cargo(&["build", "--quiet", "--lib"]).expect(0, &[]);
}

#[test]
fn an_example_of_a_locked_package_may_have_a_primitive_of_its_own() {
    let copied = Copied::locked();
    fs::create_dir(copied.path("examples")).unwrap();
    let example = replaced(&lib_without_orders(), "0xa0..=0xa3", "0xa0..=0xa3, name = \"own\"");
    copied.write("examples/own.rs", &format!("{example}\nfn main() {{}}\n"));
    copied.cargo(&["build", "--quiet", "--examples"]).expect(0, &[]);
}

/// A mistake that keeps an operation from being understood is no reason to speak of retiring it.
#[test]
fn a_mistake_in_an_operation_is_said_alone() {
    let copied = Copied::locked();
    for (from, to, expected) in [
        ("number: u64", "number: usize", "`usize` is as wide as the machine is"),
        ("#[wal(0xa2)]", "#[wal(0xa1)]", "WAL type 0xa1 is `put` already"),
        ("#[wal(0xa2)]", "#[wal(0xb0)]", "does not claim this WAL type"),
    ] {
        copied.write("src/lib.rs", &replaced(LIB, from, to));
        let built = copied.cargo(&["build", "--quiet", "--lib"]).expect(101, &[expected]);
        assert!(!built.err.contains("--retire"), "{}", built.err);
    }
}

#[test]
fn a_lock_that_is_no_text_is_an_error_and_not_a_missing_one() {
    let copied = Copied::locked();
    fs::write(copied.path("freehold.lock"), b"locked\n\xff\n").unwrap();
    let built = copied.cargo(&["build", "--quiet", "--lib"]);
    built.expect(101, &["freehold.lock: stream did not contain valid UTF-8"]);
}

/// Another crate of a locked package is refused until the tool has added it, and the tool can.
#[test]
fn a_crate_that_the_lock_does_not_know_is_added_by_the_tool() {
    let copied = Copied::locked();
    copied.write("freehold.lock", &replaced(LOCK, "evolving::", "another::"));
    copied
        .cargo(&["build", "--quiet", "--lib"])
        .expect(101, &["if it is another crate of the package, `freehold lock --update` adds it"]);
    copied.lock(&["--update"]).expect(0, &["added  evolving::Stock id 0xa0 scope runs"]);
    copied.cargo(&["build", "--quiet", "--lib"]).expect(0, &[]);
}
