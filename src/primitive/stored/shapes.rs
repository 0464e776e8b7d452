//! The texts and fingerprints of shapes are a part of the file format: `docs/format.md` has their grammar.
//! Data that was written says them for ever, so what stands here does not change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Shape, Stored};
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::collections::{Bytes, OrdMap, OrdSet, Vector};

#[derive(crate::Stored)]
struct Point {
    x: i32,
    r#type: String,
}

#[derive(crate::Stored)]
struct Pair<T>(T, Vec<T>);

#[derive(crate::Stored)]
struct Unit;

#[derive(crate::Stored)]
enum Shade {
    Plain,
    Mixed(u8, Point),
    Named { name: String, of: Option<u64> },
}

/// A tuple of an archive takes twelve; its shape does not say so.
#[derive(crate::Stored)]
struct Wide {
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u64,
}

#[derive(crate::Stored)]
#[stored(via = String, name = "Tag")]
struct Label(String);

impl From<&Label> for String {
    fn from(label: &Label) -> String {
        label.0.clone()
    }
}

impl From<String> for Label {
    fn from(text: String) -> Label {
        Label(text)
    }
}

#[track_caller]
fn is<T: Stored>(text: &str, fingerprint: u64) {
    assert_eq!(T::SHAPE.as_str(), text);
    assert_eq!(T::SHAPE.fingerprint(), fingerprint, "{text}: {:#018x}", T::SHAPE.fingerprint());
}

#[test]
fn the_shapes_of_what_has_no_parts_are_these() {
    is::<u8>("u8", 0x08c4_8207_b567_53d8);
    is::<u16>("u16", 0x4d24_d319_3e7e_f3bf);
    is::<u32>("u32", 0x4d2b_df19_3e85_26d1);
    is::<u64>("u64", 0x4d35_d319_3e8d_66f2);
    is::<i8>("i8", 0x08b7_0a07_b55b_fd94);
    is::<i16>("i16", 0x2aeb_bf19_2b3b_86fb);
    is::<i32>("i32", 0x2af2_b319_2b41_9145);
    is::<i64>("i64", 0x2ae1_af19_2b33_1746);
    is::<f32>("f32", 0xdd63_5018_ff70_3544);
    is::<f64>("f64", 0xdd74_4c18_ff7e_a1ab);
    is::<bool>("bool", 0xcd2f_d49b_c6b0_14bd);
    is::<char>("char", 0xf2a3_9391_0b5b_3ebd);
    is::<()>("()", 0x07e1_1f07_b4a6_665a);
    is::<Lsn>("Lsn", 0x2537_8a19_b8be_f512);
    is::<RunId>("RunId", 0x395d_abd0_a540_0087);
    is::<Timestamp>("Timestamp", 0x10fe_dec3_a779_ea63);
    is::<String>("str", 0x826e_8319_5d0d_60f0);
    is::<&str>("str", 0x826e_8319_5d0d_60f0);
    is::<Arc<str>>("str", 0x826e_8319_5d0d_60f0);
    is::<Bytes>("[u8]", 0xcbab_ef67_379a_ac66);
    is::<&[u8]>("[u8]", 0xcbab_ef67_379a_ac66);
}

#[test]
fn the_shapes_of_what_has_parts_are_these() {
    is::<Option<u8>>("Option<u8>", 0x016f_47da_f4e4_7359);
    is::<Vec<Option<String>>>("[Option<str>]", 0x0585_dc93_17cb_00d9);
    is::<[u16; 12]>("[u16; 12]", 0xf1a7_b140_c1e5_e6e5);
    is::<(u8,)>("(u8, )", 0xd2d4_2479_f6b4_cc1d);
    is::<(u8, String)>("(u8, str, )", 0x75ae_c1a1_120d_67cc);
    is::<Box<(u8, u64)>>("(u8, u64, )", 0x2788_f748_5427_54d2);
    is::<OrdMap<String, u64>>("{str: u64}", 0x87a6_f7de_e247_0e0b);
    is::<BTreeMap<String, u64>>("{str: u64}", 0x87a6_f7de_e247_0e0b);
    is::<OrdSet<u32>>("{u32}", 0x40bb_6cfd_382f_942f);
    is::<BTreeSet<u32>>("{u32}", 0x40bb_6cfd_382f_942f);
    is::<Vector<i64>>("[i64, ..]", 0xcd69_fe97_52cd_18ce);
    is::<Arc<Vector<i64>>>("one [i64, ..]", 0xb91b_824f_9bec_d556);
    is::<Box<OrdMap<u8, ()>>>("one {u8: ()}", 0xc6e2_e6ff_b54c_30c5);
}

#[test]
fn the_shapes_of_types_with_a_name_are_these() {
    is::<Point>("Point#ae1869b30216220e", 0x08fe_c255_97d4_4ff5);
    is::<Unit>("Unit#08f44b07b5901a25", 0x254b_b2a1_852c_45a6);
    is::<Pair<u8>>("Pair#80efe365c13f7914", 0xbb09_656f_1800_7468);
    is::<Pair<Point>>("Pair#d78d65430c3aa668", 0x3284_47c8_8f18_f203);
    is::<Shade>("Shade#8020bc56571ed9eb", 0x3d31_6919_0c56_ea8b);
    is::<Wide>("Wide#387baf89c9984a73", 0xa3ad_13bc_ab2c_66d5);
    is::<Label>("Tag#593ae2afd2753534", 0xfce3_3702_f8bc_c8f3);
}

#[test]
fn a_shape_over_the_cut_keeps_the_fingerprint_of_all_of_it() {
    type Twelve<T> = (T, T, T, T, T, T, T, T, T, T, T, T);
    type Long = (Twelve<Twelve<u64>>, Twelve<Twelve<u64>>, Twelve<Twelve<u64>>);
    let twelve = |shape: &str| format!("({})", format!("{shape}, ").repeat(12));
    let long = format!("({})", format!("{}, ", twelve(&twelve("u64"))).repeat(3));
    let cut = &long[..1536];
    is::<Long>(cut, 0x649e_92ce_1cba_e82b);
    // Of a part that was cut, the fingerprint stands behind the cut.
    is::<Option<Long>>(&format!("Option<{cut}")[..1536], 0x2138_4ac7_3949_59dd);
}

#[test]
fn what_is_a_table_of_other_rows_has_another_shape() {
    // In a value their archives are the same. As a field, the one is a row and the other has a row for
    // each of its elements.
    assert_ne!(<Vector<u64>>::SHAPE.as_str(), <Vec<u64>>::SHAPE.as_str());
    assert_ne!(<Arc<OrdMap<u64, u64>>>::SHAPE.as_str(), <OrdMap<u64, u64>>::SHAPE.as_str());
    assert_ne!(<Box<Vector<u64>>>::SHAPE.as_str(), <Vector<u64>>::SHAPE.as_str());
}

/// What the document says of types and of bytes, against what the lock says that this build writes.
#[test]
fn the_document_has_the_types_and_the_bytes_of_the_lock() {
    let document = include_str!("../../format/format.values.md");
    let lock = include_str!("../../../freehold.lock");
    let words = |text: &'static str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '#';
        text.split(move |letter| !is_part(letter)).filter(|word| word.contains('#'))
    };
    let mut known = BTreeSet::new();
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    for (name, text) in document.lines().filter_map(|line| line.split_once(" = ")) {
        let Some((label, _)) = name.split_once('#') else { continue };
        assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        assert_eq!(Shape::of(text).named(label).as_str(), name);
        known.insert(name);
        needed.extend(words(text));
    }
    let layouts = lock.lines().filter(|line| !line.starts_with('#') && !line.contains(" golden "));
    needed.extend(layouts.flat_map(words));
    assert!(needed.len() > 30, "{needed:?}");
    assert_eq!(known, needed);

    // Each is the payload of an entry in the lock, of the operation that the document names.
    let is_hex = |text: &str| text.len() > 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let examples: Vec<&str> = document.split('`').filter(|text| is_hex(text)).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        let shown = document.split_once(example).map_or("", |(before, _)| before);
        let (_, wal_type) = shown.rsplit_once("` 0x").expect("an example names its WAL type");
        let entry = format!(" 0x{}.1={example}", &wal_type[..2]);
        assert!(lock.contains(&entry), "{entry}");
        let (_, operation) = wal_type.split_once('`').expect("and its operation");
        let (operation, _) = operation.split_once('`').expect("to the end");
        assert!(lock.contains(&format!(" 0x{} v1 {operation} ", &wal_type[..2])), "{operation}");
    }
}
