//! What the lines say, what of them is taken, and what is refused. Files and processes are in
//! `tests/process.rs`, primitives of other crates in `tests/export.rs`.

use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::database::{Database, Durability, Options, View};
use crate::id::{DatabaseId, Timestamp};
use crate::primitives::{EventLog, KvStore, Payload, RunIndex, StateCell};
use crate::registry::PrimitiveRegistry;
use crate::testing::Random;
use freehold::{Bytes, OrdMap, OrdSet, Vector, operations, primitive};

/// Fields of every kind, under a name that was another once.
#[primitive(id = 0xe8, wal = 0xe8..=0xe9, name = "shelves", was = ["shelf"], dropped = ["gone"])]
#[derive(Clone, Debug, Default, PartialEq)]
struct Shelves {
    books: OrdMap<(u8, String), Book>,
    tags: OrdSet<String>,
    order: Vector<u32>,
    #[field(was = "head_line")]
    title: Option<String>,
    share: f64,
    #[field(from = |heads: Vec<String>| heads.concat())]
    all_heads: String,
    #[index(rebuild = |shelves| shelves.books.len() as u64)]
    count: u64,
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Book {
    cover: Bytes,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
enum Kind {
    Paper,
    Bound { pages: u16, signed: Option<Option<bool>> },
}

#[operations]
impl Shelves {
    #[wal(0xe8)]
    fn put(&mut self, shelf: u8, name: &str, book: Book) {
        self.books.insert((shelf, name.to_owned()), book);
        self.tags.insert(format!("t{}", name.len()));
        self.order.push(u32::from(shelf));
        self.count = self.books.len() as u64;
    }

    #[wal(0xe9)]
    fn call(&mut self, title: Option<String>, share: f64) {
        self.title = title;
        self.share = share;
    }
}

fn fill() -> Database {
    let options = Options::new().durability(Durability::InMemory);
    let db = options.clock(|| Timestamp(77)).open("").unwrap();
    db.transaction(|tx| {
        tx.on::<KvStore>().put(b"text", b"line\nend")?;
        tx.on::<KvStore>().put(b"\xff\x00", b"")?;
        let bound = Kind::Bound { pages: 7, signed: Some(None) };
        let mut shelves = tx.on::<Shelves>();
        shelves.put(2, "b", Book { cover: Bytes::from(&[0xc0]), kind: Kind::Paper })?;
        shelves.put(1, "aa", Book { cover: Bytes::new(), kind: bound })?;
        shelves.call(Some("title".to_owned()), f64::NEG_INFINITY)
    })
    .unwrap();
    for name in ["one", "two", "three"] {
        let run = db.create_run(name).unwrap();
        db.run(run)
            .transaction(|tx| {
                tx.on::<StateCell>().init("step", b"0")?;
                tx.on::<EventLog>().append("said", "said", Payload::bytes(name)).map(drop)
            })
            .unwrap();
    }
    let two = db.view().run_named("two").unwrap();
    let three = db.view().run_named("three").unwrap();
    db.delete_run(two).unwrap();
    // The highest number is one that was given and is no more.
    db.delete_run(three).unwrap();
    db
}

fn lines_of(view: &View, selection: &Selection) -> String {
    let mut out = Vec::new();
    export(view, DatabaseId([7; 16]), selection, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn view_of(lines: &[u8]) -> Result<View, LinesError> {
    let registry = PrimitiveRegistry::linked().unwrap();
    let (mut state, _) = import(registry, &mut BufReader::with_capacity(64, lines))?;
    let published = std::sync::Arc::new(state.publish_all());
    let empty = registry.list().iter().map(|one| one.freeze(&one.create())).collect();
    Ok(View { published, empty })
}

#[track_caller]
fn refusal(lines: &str) -> String {
    match view_of(lines.as_bytes()) {
        Ok(_) => panic!("taken:\n{lines}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_lines_of_a_database_are_these() {
    let lines = lines_of(&fill().view(), &Selection::default());
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with(&format!(
        r#"{{"header":{{"format":1,"freehold":"{}","database":"{}","lsn":9,"timestamp":77,"next_run":4,"only_primitives":null,"only_runs":null,"primitives":[{{"name":"kv","type_id":1,"crate_name":"freehold","#,
        env!("CARGO_PKG_VERSION"),
        "07".repeat(16),
    )), "{}", lines[0]);
    let rows: Vec<&str> =
        lines[1..].iter().copied().filter(|line| !line.starts_with("{\"instance\"")).collect();
    assert_eq!(
        rows[..11],
        [
            r#"{"run":{"id":1,"name":"one","created_lsn":2,"last_lsn":3,"told":null,"parent":null}}"#,
            r#"{"primitive":"kv","run":0,"field":"pairs","key":"text","value":"line\nend"}"#,
            r#"{"primitive":"kv","run":0,"field":"pairs","key":{"hex":"ff00"},"value":""}"#,
            r#"{"primitive":"shelves","run":0,"field":"books","key":[1,"aa"],"value":{"cover":"","kind":{"Bound":{"pages":7,"signed":[null]}}}}"#,
            r#"{"primitive":"shelves","run":0,"field":"books","key":[2,"b"],"value":{"cover":{"hex":"c0"},"kind":"Paper"}}"#,
            r#"{"primitive":"shelves","run":0,"field":"tags","value":"t1"}"#,
            r#"{"primitive":"shelves","run":0,"field":"tags","value":"t2"}"#,
            r#"{"primitive":"shelves","run":0,"field":"order","value":2}"#,
            r#"{"primitive":"shelves","run":0,"field":"order","value":1}"#,
            r#"{"primitive":"shelves","run":0,"field":"head_line","value":"title"}"#,
            r#"{"primitive":"shelves","run":0,"field":"share","value":"-inf"}"#,
        ]
    );
    let digest =
        r#"{"instance":{"primitive":"kv","run":0,"fields":[{"field":"pairs","rows":2}],"digest":""#;
    assert!(lines[2].starts_with(digest), "{}", lines[2]);
    assert!(lines.last().unwrap().starts_with(r#"{"end":{"runs":1,"instances":4,"rows":"#));
}

#[test]
fn lines_give_the_state_that_wrote_them_and_the_same_lines_again() {
    let db = fill();
    let lines = lines_of(&db.view(), &Selection::default());
    let back = view_of(lines.as_bytes()).unwrap();
    assert_eq!(back.digest().unwrap(), db.view().digest().unwrap());
    assert_eq!((back.lsn(), back.timestamp()), (db.view().lsn(), Timestamp(77)));
    assert_eq!(back.on::<Shelves>(), db.view().on::<Shelves>(), "indexes too");
    assert!(back.runs().eq(db.view().runs()));
    assert_eq!(back.published.table.last_id(), RunId(3), "no number is given twice");
    assert_eq!(lines_of(&back, &Selection::default()), lines);
}

#[test]
fn a_selection_is_said_and_imported() {
    let db = fill();
    let one = db.view().run_named("one").unwrap();
    let selection = Selection {
        primitives: Some(vec!["kv".to_owned(), "shelf".to_owned(), "event".to_owned()]),
        runs: Some(vec![one]),
    };
    let lines = lines_of(&db.view(), &selection);
    assert!(lines.contains(r#""only_primitives":["kv","shelf","event"],"only_runs":[1],"#));
    let back = view_of(lines.as_bytes()).unwrap();
    let digests = back.digest().unwrap();
    assert_eq!(digests.len(), 1);
    assert!(db.view().digest().unwrap().contains(&digests[0]));
    assert_eq!(digests[0].primitive, "event");
    let root = Selection { runs: Some(vec![RunId::ROOT]), ..Selection::default() };
    let back = view_of(lines_of(&db.view(), &root).as_bytes()).unwrap();
    assert_eq!((back.runs().len(), back.on::<KvStore>().len()), (0, 2));
    let none = Selection { primitives: Some(vec!["nobody".to_owned()]), ..Selection::default() };
    let refused = export(&db.view(), DatabaseId([0; 16]), &none, &mut Vec::new()).unwrap_err();
    assert!(refused.to_string().starts_with("no primitive nobody is linked; there are kv, "));
}

#[test]
fn nothing_of_a_primitive_that_is_not_linked_is_left_out_in_silence() {
    let directory = tempfile::tempdir().unwrap();
    let db = Database::open(directory.path()).unwrap();
    db.transaction(|tx| tx.on::<KvStore>().put(b"a", b"b")).unwrap();
    db.transaction(|tx| tx.on::<RunIndex>().create(RunId(1), "r")).unwrap();
    db.close().unwrap();
    let view = Options::new().detach("kv").open(directory.path()).unwrap().view();
    let refused = export(&view, DatabaseId([0; 16]), &Selection::default(), &mut Vec::new());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "kv is in the data and not linked, so it cannot be exported: turn freehold's feature `kv` \
         on, or say with --primitive which ones to export"
    );
    let run = Selection { primitives: Some(vec!["run".to_owned()]), ..Selection::default() };
    assert_eq!(view_of(lines_of(&view, &run).as_bytes()).unwrap().on::<RunIndex>().len(), 1);
}

/// The lines of `fill`, changed.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut lines = lines_of(&fill().view(), &Selection::default());
    for (from, to) in changes {
        assert!(lines.contains(from), "{from} is not in\n{lines}");
        lines = lines.replacen(from, to, 1);
    }
    lines
}

/// As `changed`, from a program in which the shelves had another layout.
fn from_another_release(changes: &[(&str, &str)]) -> String {
    let lines = changed(changes);
    let at = lines.find(r#""name":"shelves""#).unwrap();
    let fingerprint = r#""section_fingerprint":""#;
    let at = at + lines[at..].find(fingerprint).unwrap() + fingerprint.len();
    format!("{}{}{}", &lines[..at], "0".repeat(16), &lines[at + 16..])
}

#[test]
fn fields_come_and_go_between_releases() {
    // A field that was not there yet takes its default; one more row is no row of this build.
    let share = r#"{"primitive":"shelves","run":0,"field":"share","value":"-inf"}"#;
    let without = from_another_release(&[
        (r#",{"field":"share","rows":1}"#, ""),
        (&format!("{share}\n"), ""),
        (r#""instances":4,"rows":15"#, r#""instances":4,"rows":14"#),
    ]);
    let back = view_of(without.as_bytes()).unwrap();
    assert_eq!((back.on::<Shelves>().share, back.on::<Shelves>().count), (0.0, 2));

    // A field that is given up, one that another is made of, and a former name of the primitive.
    let mut more = from_another_release(&[
        (
            r#"{"field":"share","rows":1}"#,
            r#"{"field":"gone","rows":2},{"field":"heads","rows":1}"#,
        ),
        (
            share,
            "{\"primitive\":\"shelves\",\"run\":0,\"field\":\"gone\",\"value\":1}\n\
             {\"primitive\":\"shelves\",\"run\":0,\"field\":\"gone\",\"value\":{\"any\":[]}}\n\
             {\"primitive\":\"shelves\",\"run\":0,\"field\":\"heads\",\"value\":[\"a\",\"b\"]}",
        ),
        (r#"{"field":"all_heads","rows":1}"#, r#"{"field":"share","rows":1}"#),
        (r#""field":"all_heads","value":"""#, r#""field":"share","value":2.5"#),
        (r#""instances":4,"rows":15"#, r#""instances":4,"rows":17"#),
    ]);
    more = more.replace("\"shelves\"", "\"shelf\"");
    let back = view_of(more.as_bytes()).unwrap();
    let shelves = back.on::<Shelves>();
    assert_eq!((shelves.all_heads.as_str(), shelves.share), ("ab", 2.5));
    assert_eq!(shelves.title.as_deref(), Some("title"));

    // What this build does not have and does not give up.
    let unknown = from_another_release(&[
        (r#"{"field":"share","rows":1}"#, r#"{"field":"more","rows":1}"#),
        (r#""field":"share""#, r#""field":"more""#),
    ]);
    let refused = refusal(&unknown);
    assert!(
        refused.contains("shelves in run 0: the field more: the section has a table"),
        "{refused}"
    );
}

#[test]
fn tables_may_stand_in_another_order() {
    let lines = lines_of(&fill().view(), &Selection::default());
    let is = |line: &str, field: &str| line.contains(&format!("\"field\":\"{field}\",\"value"));
    let announced = r#"{"field":"tags","rows":2},{"field":"order","rows":2}"#;
    assert!(lines.contains(announced));
    let mut moved: Vec<String> = Vec::new();
    for line in lines.lines().filter(|line| !is(line, "tags")) {
        moved.push(
            line.replace(announced, r#"{"field":"order","rows":2},{"field":"tags","rows":2}"#),
        );
        if is(line, "order") && moved.iter().filter(|line| is(line, "order")).count() == 2 {
            moved.extend(lines.lines().filter(|line| is(line, "tags")).map(str::to_owned));
        }
    }
    let back = view_of((moved.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!(lines_of(&back, &Selection::default()), lines);
}

#[test]
fn a_row_that_was_changed_is_noticed_and_can_be_meant() {
    let row = (r#""key":"text","value":"line\nend""#, r#""key":"text","value":"other""#);
    let refused = refusal(&changed(&[row]));
    assert!(refused.starts_with("line 3: kv in run 0: the digest of its rows is "), "{refused}");
    assert!(refused.ends_with("if that was meant, set the digest to null"), "{refused}");
    let lines = changed(&[row]);
    let at = lines.find("\"digest\":").unwrap() + "\"digest\":".len();
    let meant = format!("{}null{}", &lines[..at], &lines[at + 18..]);
    let back = view_of(meant.as_bytes()).unwrap();
    assert_eq!(back.on::<KvStore>().get(b"text").as_deref(), Some(&b"other"[..]));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let header = lines_of(&fill().view(), &Selection::default()).lines().next().unwrap().to_owned();
    for (lines, message) in [
        (
            String::new(),
            "line 1: found the end of the file, expected the line `header`: it was cut",
        ),
        ("\n".into(), "line 1 column 1: found the end of the line, expected a value"),
        (
            "{}".into(),
            "line 1 column 1: found an object of no fields, expected an object `header`: an export of freehold",
        ),
        (r#"{"header":{"format":2}}"#.into(), "lines: version 2, this build reads 1"),
        (
            r#"{"header":{}}"#.into(),
            "line 1 column 11: found an object of no fields, expected a field format in it",
        ),
        (
            header.clone(),
            "line 2: found the end of the file, expected an instance, or the last line `end`: it was cut",
        ),
        (
            changed(&[("\"lsn\":9", "\"lsn\":0")]),
            "line 1: the LSN is 0, expected 1 to 9223372036854775808",
        ),
        (
            changed(&[("\"lsn\":9", "\"lsn\":8"), ("\"created_lsn\":2", "\"created_lsn\":9")]),
            "line 2: the LSN at which the run was created is 9, expected at most 8",
        ),
        (
            changed(&[("\"next_run\":4", "\"next_run\":1")]),
            "line 2: the run's number is 1, expected 1 to 0",
        ),
        (changed(&[("\"id\":1,", "\"id\":0,")]), "line 2: the run's number is 0, expected 1 to 3"),
        (
            changed(&[("\"name\":\"one\"", "\"name\":\"\"")]),
            "line 2: the length of the run's name is 0, expected 1 to 255",
        ),
        (
            changed(&[(
                "{\"instance\":",
                "{\"run\":{\"id\":2,\"name\":\"one\",\"created_lsn\":2,\"last_lsn\":2,\"told\":null,\"parent\":null}}\n{\"instance\":",
            )]),
            "line 3: the run is 2 \"one\", expected a number and a name that no other run has",
        ),
        (
            changed(&[(
                "\"primitive\":\"kv\",\"run\":0,\"fields\"",
                "\"primitive\":\"kv\",\"run\":3,\"fields\"",
            )]),
            "line 3: the run is 3, expected one that stands in a line `run`",
        ),
        (
            changed(&[(
                "\"primitive\":\"kv\",\"run\":0,\"fields\"",
                "\"primitive\":\"other\",\"run\":0,\"fields\"",
            )]),
            "line 3: the primitive is other, expected one that stands in the header",
        ),
        (
            changed(&[
                ("\"name\":\"kv\"", "\"name\":\"tensor\""),
                (
                    "\"primitive\":\"kv\",\"run\":0,\"fields\"",
                    "\"primitive\":\"tensor\",\"run\":0,\"fields\"",
                ),
            ]),
            "tensor (type ID 0x01, crate freehold 0.1.0) is in the data and not linked: turn freehold's feature `tensor` on",
        ),
        (
            changed(&[("\"section_version\":1", "\"section_version\":7")]),
            "kv section: version 7, this build reads 1",
        ),
        (
            changed(&[(
                "\"primitive\":\"kv\",\"run\":0,\"field\"",
                "\"primitive\":\"kv\",\"run\":1,\"field\"",
            )]),
            "line 4 column 25: found 1, expected 0",
        ),
        (
            changed(&[("\"field\":\"pairs\",\"key\"", "\"field\":\"pears\",\"key\"")]),
            "line 4 column 35: found \"pears\", expected \"pairs\"",
        ),
        (
            changed(&[("\"value\":\"line\\nend\"", "\"value\":7")]),
            "line 4 column 64: found 7, expected a string, or {\"hex\": \"..\"}",
        ),
        (
            changed(&[("\"key\":\"text\",", "")]),
            "line 4 column 1: found an object of primitive, run, field, value, expected a field key in it",
        ),
        (
            changed(&[("\"value\":\"t1\"", "\"key\":1,\"value\":\"t1\"")]),
            "line 9 column 53: found the field key, expected primitive, run, field, value",
        ),
        (
            changed(&[("\"value\":\"t1\"", "\"value\":\"t2\"")]),
            "line 10: the row's key or element is one that stands twice, expected each once",
        ),
        (
            changed(&[("{\"field\":\"pairs\",\"rows\":2}", "{\"field\":\"pairs\",\"rows\":3}")]),
            "line 6 column 1: found an object of instance, expected a field primitive in it",
        ),
        (
            changed(&[("{\"field\":\"pairs\",\"rows\":2}", "{\"field\":\"pairs\",\"rows\":1}")]),
            "line 3: kv in run 0: the digest of its rows is ",
        ),
        (
            changed(&[(
                "{\"field\":\"pairs\",\"rows\":2}",
                "{\"field\":\"pairs\",\"rows\":2},{\"field\":\"pairs\",\"rows\":0}",
            )]),
            "line 3: a field of the instance is pairs, expected each once",
        ),
        (
            changed(&[("\"runs\":1,\"instances\"", "\"runs\":2,\"instances\"")]),
            "line 22: the count of what came before is 2 runs, 4 instances, 15 rows, expected 1 runs, 4 instances, 15 rows",
        ),
        (
            changed(&[]) + "{}",
            "line 23: what comes after the line `end` is a line, expected nothing",
        ),
    ] {
        let refused = refusal(&lines);
        assert!(refused.starts_with(message), "found {refused}\nexpected {message}\nin\n{lines}");
    }
    let mut bytes = changed(&[]).into_bytes();
    let at = bytes.windows(3).position(|three| three == b"t1\"").unwrap();
    bytes[at] = 0xff;
    let refused = view_of(&bytes).unwrap_err().to_string();
    assert_eq!(refused, "line 9 column 56: found bytes that are no UTF-8, expected text");
}

#[test]
fn an_instance_that_stands_twice_is_refused() {
    let lines = changed(&[]);
    let kv: Vec<&str> = lines.lines().skip(2).take(3).collect();
    let twice = changed(&[("{\"end\"", &format!("{}\n{{\"end\"", kv.join("\n")))]);
    let refused = refusal(&twice);
    assert_eq!(refused, "line 22: the instance is kv in run 0, expected each once");
}

#[test]
fn a_file_that_was_cut_anywhere_is_no_database() {
    let lines = changed(&[]);
    let whole = lines.trim_end().len();
    for end in 0..whole {
        assert!(view_of(&lines.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    assert!(view_of(&lines.as_bytes()[..whole]).is_ok(), "the last end of line may be missing");
}

#[test]
fn no_damage_is_a_panic() {
    let lines = changed(&[]).into_bytes();
    let mut random = Random::new(Random::seed_from_env(0x11e5));
    let mut taken = 0;
    for _ in 0..4000 {
        let mut damaged = lines.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len() as u64) as usize;
            match random.below(3) {
                0 => damaged[at] = random.below(256) as u8,
                1 => drop(damaged.remove(at)),
                _ => damaged.insert(at, b"{}[]\",:0e\n\\"[random.below(11) as usize]),
            }
        }
        let read = catch_unwind(AssertUnwindSafe(|| view_of(&damaged).map(drop)));
        taken += u32::from(read.expect("no panic").is_ok());
    }
    assert!(taken < 2000, "{taken} of 4000 were taken");
}

#[test]
fn a_count_that_is_huge_and_a_line_without_end_cost_nothing() {
    let many = format!("\"rows\":{}", u64::MAX);
    let refused = refusal(&changed(&[("\"rows\":2", &many)]));
    assert!(refused.starts_with("line 6 column 1: found an object of instance"), "{refused}");

    let nested = format!("{{\"header\":{}", "[".repeat(1 << 20));
    assert!(refusal(&nested).contains("expected at most 128"));
    let mut endless = BufReader::new(io::repeat(b'[').take(1 << 24));
    let registry = PrimitiveRegistry::linked().unwrap();
    assert!(import(registry, &mut endless).is_err());
}
