//! Primitives that know nothing of it, exported as JSON Lines and imported again by the tool.
//!
//! - The tool runs in this process, since only here these primitives are linked.
//! - States are compared as digests and as values, files byte for byte.

#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "these tests write and change exported files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use freehold::prelude::*;
use freehold::{
    PayloadWriter, PrimitiveStorageExt, Reason, SectionReader, SectionWriter, WalEntry,
};

/// A plant, with every kind of value in it.
#[derive(Clone, Debug, Default, PartialEq, Stored)]
struct Plant {
    name: String,
    leaf: Leaf,
    sizes: Vec<(f32, f64)>,
    seed: Bytes,
    key: [u8; 4],
    found: Option<Option<Timestamp>>,
    kin: OrdMap<i8, Vector<char>>,
    marks: (bool, (), Kept<Option<u64>>),
}

/// How a leaf is.
#[derive(Clone, Debug, Default, PartialEq, Stored)]
enum Leaf {
    #[default]
    None,
    Round(f64),
    Oval(f64, f64),
    Of {
        parts: Vec<Leaflet>,
        alternate: bool,
    },
}

/// A part of a leaf.
#[derive(Clone, Debug, PartialEq, Stored)]
struct Leaflet {
    length: i64,
}

/// Around anything.
#[derive(Clone, Debug, Default, PartialEq, Stored)]
struct Kept<T>(T);

/// Plants by bed and place.
#[primitive(id = 0xc0, wal = 0xc0..=0xc2, name = "garden")]
#[derive(Clone, Debug, Default, PartialEq)]
struct Garden {
    plants: OrdMap<(Lsn, u64), Plant>,
    weeds: OrdSet<String>,
    path: Vector<i64>,
    owner: Option<String>,
    #[index(rebuild = |garden| garden.plants.values().map(|plant| plant.name.clone()).collect())]
    names: OrdSet<String>,
}

#[operations]
impl Garden {
    #[wal(0xc0)]
    fn plant(&mut self, context: &OpContext, place: u64, plant: Plant) {
        self.names.insert(plant.name.clone());
        self.path.push(-1 - (place as i64));
        self.plants.insert((context.lsn(), place), plant);
    }

    #[wal(0xc1)]
    fn weed(&mut self, name: &str) -> bool {
        self.weeds.insert(name.to_owned())
    }

    #[wal(0xc2)]
    fn sell(&mut self, to: Option<String>) {
        self.owner = to;
    }
}

/// A log with a codec of its own.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tape {
    bytes: Vec<u8>,
}

freehold::register!(Tape, id = 0xc8, wal = 0xc8, name = "tape");

impl PrimitiveStorageExt for Tape {
    type Handle<'tx> = Handle<'tx, Tape>;
    type Operation<'op> = &'op [u8];

    fn apply_wal_entry(&mut self, entry: &WalEntry<'_>, _: &OpContext) -> Result<(), Reason> {
        self.bytes.extend_from_slice(entry.payload);
        Ok(())
    }

    fn snapshot_serialize(&self, writer: &mut SectionWriter<'_>) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { writer.bytes(&self.bytes) }
    }

    fn snapshot_deserialize(reader: &mut SectionReader<'_>) -> Result<Tape, Reason> {
        Ok(Tape { bytes: reader.bytes()? })
    }

    fn to_wal_entry(
        operation: &Self::Operation<'_>,
        payload: &mut PayloadWriter<'_>,
    ) -> Result<u8> {
        payload.bytes(operation)?;
        Ok(0xc8)
    }
}

fn plant(seed: u64) -> Plant {
    let odd = f64::from_bits(0x7ff4_dead_beef_0000 | seed);
    let even = seed.is_multiple_of(2);
    Plant {
        name: format!("plant \"{seed}\"\n\u{1f331}"),
        leaf: match seed % 4 {
            0 => Leaf::None,
            1 => Leaf::Round(odd),
            2 => Leaf::Oval(-0.0, f64::INFINITY),
            _ => Leaf::Of { parts: vec![Leaflet { length: i64::MIN }], alternate: true },
        },
        sizes: vec![(0.1, 1e-300), (f32::MAX, f64::MIN_POSITIVE)],
        seed: Bytes::from(seed.to_le_bytes().as_slice()),
        key: [0xff, 0, 1, seed as u8],
        found: [None, Some(None), Some(Some(Timestamp(seed)))][seed as usize % 3],
        kin: OrdMap::from_iter([(-1, Vector::from_iter(['\u{0}', 'ß'])), (1, Vector::new())]),
        marks: (even, (), Kept(even.then_some(u64::MAX - seed))),
    }
}

/// A database in which runs came and went, and its directory.
fn fill(place: &Path) -> PathBuf {
    let path = place.join("db");
    let db = Options::new().checkpoint_on_close(false).open(&path).unwrap();
    for seed in 0..7_u64 {
        let run = db.create_run(&format!("run {seed}")).unwrap();
        for place in 0..seed {
            db.run(run)
                .transaction(|tx| tx.on::<Garden>().plant(place, plant(place * seed)))
                .unwrap();
        }
        db.run(run).transaction(|tx| tx.on::<KvStore>().put(b"seed", &[seed as u8; 40])).unwrap();
        db.run(run).transaction(|tx| tx.on::<Tape>().log(&&[seed as u8 | 0x80][..])).unwrap();
    }
    db.checkpoint().unwrap();
    for seed in [2, 6] {
        let run = db.view().run_named(&format!("run {seed}")).unwrap();
        db.delete_run(run).unwrap();
    }
    let long: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    db.transaction(|tx| {
        tx.on::<Garden>().weed("nettle")?;
        tx.on::<Garden>().sell(Some(String::new()))?;
        tx.on::<Garden>().plant(9, plant(9))?;
        tx.on::<Tape>().log(&&long[..])
    })
    .unwrap();
    db.close().unwrap();
    path
}

#[track_caller]
fn tool(words: &[&dyn AsRef<Path>], expected: ExitCode) {
    let words = words.iter().map(|word| word.as_ref().as_os_str().to_owned());
    let words: Vec<_> = std::iter::once("freehold".into()).chain(words).collect();
    let code = freehold::cli::run(words.clone());
    assert_eq!(format!("{code:?}"), format!("{expected:?}"), "{words:?}");
}

/// The lines but for the number of the database that they are from.
fn lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let at = text.find("\"database\":\"").unwrap() + "\"database\":\"".len();
    format!("{}{}", &text[..at], &text[at + 32..])
}

#[test]
fn a_database_of_foreign_primitives_comes_back_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let (first, second) = (place.join("first.jsonl"), place.join("second.jsonl"));
    let copy = place.join("copy");
    let db = fill(place);
    let before = freehold::inspect(&db).unwrap();
    tool(&[&"export", &db, &first], ExitCode::SUCCESS);
    tool(&[&"import", &copy, &first], ExitCode::SUCCESS);
    tool(&[&"export", &copy, &second], ExitCode::SUCCESS);
    assert!(lines(&first) == lines(&second), "the same lines again");
    assert!(!fs::read_dir(place).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().contains(".part") || name.to_string_lossy().contains("unfinished")
    }));
    for line in fs::read_to_string(&first).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON as others read it");
    }

    let opened = Database::open(&copy).unwrap();
    let after = opened.view();
    assert_eq!(after.digest().unwrap(), before.digest().unwrap());
    assert_eq!((after.lsn(), after.timestamp()), (before.lsn(), before.timestamp()));
    assert!(after.runs().eq(before.runs()));
    assert_eq!(after.runs().len(), 5);
    for row in before.runs() {
        let (before, after) = (before.run(row.id).unwrap(), after.run(row.id).unwrap());
        assert_eq!(after.on::<Garden>().names, before.on::<Garden>().names, "an index");
        assert_eq!(after.last_lsn(), before.last_lsn());
    }
    assert_eq!(after.on::<Tape>().bytes.len(), 100_000);

    // The original and the copy go on alike, but for the clock.
    let both = [Database::open(&db).unwrap(), opened];
    for db in &both {
        assert_eq!(db.create_run("next").unwrap(), RunId(8), "7 was given and is no more");
        let run = db.view().run_named("run 3").unwrap();
        db.run(run).transaction(|tx| tx.on::<Garden>().plant(1, plant(77))).unwrap();
        db.transaction(|tx| tx.on::<Tape>().log(&&b"more"[..])).unwrap();
        assert_eq!(db.view().lsn(), Lsn(before.lsn().0 + 3));
    }
    let digests = both.each_ref().map(|db| db.view().digest().unwrap());
    assert_eq!(digests[0], digests[1]);
    for db in &both {
        db.checkpoint().unwrap();
        db.close().unwrap();
    }
    assert_eq!(freehold::inspect(&copy).unwrap().digest().unwrap(), digests[0]);
    let report = freehold::verify(&copy).unwrap();
    assert!(report.damaged_snapshots.is_empty() && report.cut.is_none());
}

#[test]
fn an_imported_database_survives_a_crash_before_its_first_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("f.jsonl"), directory.path().join("copy"));
    tool(&[&"export", &fill(directory.path()), &file], ExitCode::SUCCESS);
    tool(&[&"import", &copy, &file], ExitCode::SUCCESS);
    for round in 0..3_u64 {
        let db = Options::new().checkpoint_on_close(false).open(&copy).unwrap();
        assert_eq!(db.view().on::<Garden>().weeds.len() as u64, 1 + round);
        db.transaction(|tx| tx.on::<Garden>().weed(&format!("weed {round}"))).unwrap();
    }
}

#[test]
fn a_selection_makes_a_database_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let (file, copy) = (place.join("f.jsonl"), place.join("copy"));
    let db = fill(place);
    tool(
        &[&"export", &db, &file, &"--primitive", &"garden", &"--run", &"run 5", &"--run", &"root"],
        ExitCode::SUCCESS,
    );
    tool(&[&"import", &copy, &file], ExitCode::SUCCESS);
    let view = freehold::inspect(&copy).unwrap();
    let digests = view.digest().unwrap();
    assert_eq!(digests.len(), 2);
    let all = freehold::inspect(&db).unwrap().digest().unwrap();
    assert!(digests.iter().all(|digest| all.contains(digest)));
    assert_eq!(view.runs().map(|row| &*row.name).collect::<Vec<_>>(), ["run 5"]);
    tool(&[&"export", &db, &file, &"--run", &"nobody"], ExitCode::FAILURE);
    tool(&[&"export", &db, &file, &"--primitive", &"nobody"], ExitCode::FAILURE);
    tool(&[&"export", &place.join("nothing"), &file], ExitCode::FAILURE);
    assert!(fs::read_to_string(&file).unwrap().contains("\"only_runs\":[6,0]"), "left as it was");
}

#[test]
fn what_is_refused_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let (file, copy) = (place.join("f.jsonl"), place.join("copy"));
    let db = fill(place);
    tool(&[&"export", &db, &file], ExitCode::SUCCESS);
    tool(&[&"import", &db, &file], ExitCode::FAILURE);
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    tool(&[&"import", &copy, &file], ExitCode::FAILURE);
    fs::write(&file, whole.replacen("nettle", "thistle", 1)).unwrap();
    tool(&[&"import", &copy, &file], ExitCode::FAILURE);
    assert!(!copy.exists());

    // What a killed import left is removed; what belongs to somebody is not.
    fs::write(&file, &whole).unwrap();
    let aside = place.join("copy.part");
    fs::create_dir_all(aside.join("snapshots")).unwrap();
    fs::write(aside.join("UNFINISHED"), "").unwrap();
    fs::create_dir_all(aside.join("wal")).unwrap();
    fs::write(aside.join("snapshots/00000000000000000003.snapshot"), "half").unwrap();
    fs::write(aside.join("wal/000009.wal"), "half").unwrap();
    fs::create_dir(&copy).unwrap();
    tool(&[&"import", &copy, &file], ExitCode::SUCCESS);
    assert!(!aside.exists());
    freehold::verify(&copy).unwrap();
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("letter"), "mine").unwrap();
    let other = place.join("copy");
    fs::remove_dir_all(&other).unwrap();
    tool(&[&"import", &other, &file], ExitCode::FAILURE);
    assert_eq!(fs::read_to_string(aside.join("letter")).unwrap(), "mine");
}
