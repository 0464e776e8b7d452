use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::*;
use crate::id::{Lsn, RunId, Timestamp};
use crate::primitive::collections::{Bytes, OrdMap, OrdSet, Vector};

/// The archive of a value, as an entry's payload holds it.
fn encoded<T: Stored>(value: &T) -> AlignedVec {
    let mut buffer = AlignedVec::new();
    append(&Wire(value), &mut buffer, &mut Arena::new(), usize::MAX).unwrap();
    buffer
}

fn loaded<T: Stored>(bytes: &[u8]) -> Result<T::Loaded<'_>, Undecodable> {
    T::load(access::<T>(bytes)?)
}

#[track_caller]
fn comes_back<T: StoredOwned + PartialEq + Debug>(value: T) {
    let bytes = encoded(&value);
    let back = loaded::<T>(&bytes).unwrap();
    assert_eq!(back, value);
    assert_eq!(encoded(&back).as_slice(), bytes.as_slice(), "equal values have equal bytes");
    assert!(back.is_same(&value));
    refuses_damage(&value, &bytes);
    let text = written(&value);
    let json = Json::parse(&text).unwrap();
    let back = T::from_json(&json).unwrap_or_else(|misfit| panic!("{text}: {misfit}"));
    assert_eq!(back, value, "{text}");
    assert_eq!(encoded(&back).as_slice(), bytes.as_slice(), "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    refuses_other_text::<T>(&text);
}

/// The JSON form of a value.
fn written<T: Stored>(value: &T) -> String {
    let mut out = JsonWriter::new();
    value.to_json(&mut out);
    out.as_str().to_owned()
}

/// No letter can be changed or cut so that reading panics; what is read then is some value.
fn refuses_other_text<T: StoredOwned>(text: &str) {
    let letters: Vec<char> = text.chars().collect();
    for at in 0..letters.len() {
        let cut: String = letters[..at].iter().collect();
        assert!(Json::parse(&cut).is_err() || !cut.ends_with(['}', ']', '"']), "{cut}");
        for other in ['"', '\\', '[', '}', '0', 'e', ',', '\u{1}'] {
            let mut damaged = letters.clone();
            damaged[at] = other;
            let damaged: String = damaged.into_iter().collect();
            if let Ok(json) = Json::parse(&damaged) {
                let _ = T::from_json(&json).map_err(|misfit| misfit.to_string());
            }
        }
    }
}

/// No byte can be changed or cut so that reading panics; what is read then is some value, and the same
/// as the one that was written only if it is written in the same bytes.
fn refuses_damage<T: StoredOwned>(value: &T, bytes: &[u8]) {
    for len in 0..bytes.len() {
        let mut cut = AlignedVec::<16>::new();
        cut.extend_from_slice(&bytes[..len]);
        let _ = loaded::<T>(&cut);
    }
    for index in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff, bytes[index]] {
            let mut damaged = AlignedVec::<16>::new();
            damaged.extend_from_slice(bytes);
            damaged[index] ^= flip;
            if let Ok(other) = loaded::<T>(&damaged) {
                assert_eq!(value.is_same(&other), encoded(&other)[..] == *bytes);
                assert_eq!(value.is_same(&other), is_same_archive(value, &other));
            }
        }
    }
}

#[test]
fn numbers_come_back() {
    comes_back((u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    comes_back((i8::MIN, i16::MIN, i32::MIN, i64::MIN));
    comes_back((f32::MIN_POSITIVE, f64::NEG_INFINITY, true, false, 'ß'));
    comes_back((Lsn(1), RunId(u64::MAX), Timestamp(3)));
    comes_back(());
}

#[test]
fn elements_without_bytes_are_not_believed_by_the_thousand_million() {
    let most = encoded(&vec![(); NOTHINGS_MAX]);
    assert_eq!(loaded::<Vec<()>>(&most).unwrap().len(), NOTHINGS_MAX);
    let mut bytes = encoded(&vec![(); 3]);
    let at = bytes.iter().position(|byte| *byte == 3).unwrap();
    // Loading them took the longer the more were claimed: a minute for eight bytes.
    bytes[at..at + 4].copy_from_slice(&(NOTHINGS_MAX as u32 + 1).to_le_bytes());
    assert!(loaded::<Vec<()>>(&bytes).is_err());
    let many = vec![(); NOTHINGS_MAX + 1];
    let written = append(&Wire(&many), &mut AlignedVec::<16>::new(), &mut Arena::new(), usize::MAX);
    assert!(written.is_err(), "what is not read is not written");
}

#[test]
fn nor_are_those_of_collections() {
    fn refuses<T: StoredOwned>(value: &T) {
        let mut bytes = encoded(value);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&(NOTHINGS_MAX as u32 + 1).to_le_bytes());
        assert!(loaded::<T>(&bytes).is_err());
    }
    refuses(&Vector::from_iter([(); 3]));
    refuses(&OrdSet::from_iter([()]));
    refuses(&BTreeSet::from([()]));
    refuses(&OrdMap::from_iter([((), ())]));
    let many = Vector::from_iter(vec![(); NOTHINGS_MAX + 1]);
    let written = append(&Wire(&many), &mut AlignedVec::<16>::new(), &mut Arena::new(), usize::MAX);
    assert!(written.is_err());
}

#[test]
fn a_number_that_is_not_a_number_keeps_its_bits() {
    let odd = f64::from_bits(0x7ff4_dead_beef_0001);
    assert_eq!(loaded::<f64>(&encoded(&odd)).unwrap().to_bits(), odd.to_bits());
}

#[test]
fn text_and_bytes_come_back_at_every_length() {
    for len in 0..40 {
        comes_back("ä".repeat(len));
        comes_back(Bytes::from(vec![7; len]));
        comes_back(vec![9_u8; len]);
    }
    comes_back((Box::<str>::from("boxed"), Arc::<str>::from("shared")));
}

#[test]
fn what_holds_others_comes_back() {
    comes_back((Some(3_u8), None::<u64>, Some(String::from("x"))));
    comes_back(vec![Some(vec!["a".to_owned()]), None, Some(vec![])]);
    comes_back(([1_u64, 2, 3], [[1.5_f32; 2]; 3], ["a".to_owned(), "b".to_owned()]));
    comes_back((Box::new(7_u32), Arc::new((1_u8, "y".to_owned()))));
    comes_back((1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8, 12_u64));
}

#[test]
fn maps_sets_and_sequences_come_back() {
    let pairs = [("one".to_owned(), 1_u64), ("two".to_owned(), 2), (String::new(), 0)];
    comes_back(pairs.iter().cloned().collect::<OrdMap<_, _>>());
    comes_back(BTreeMap::from(pairs));
    comes_back((0..70_u32).map(|n| n * 3).collect::<OrdSet<_>>());
    comes_back(BTreeSet::from(["a".to_owned()]));
    comes_back((0..200_u64).collect::<Vector<_>>());
    comes_back([(1_u8, OrdMap::from_iter([(2_u8, Vector::from_iter([3_u8]))]))]);
}

#[test]
fn borrowed_arguments_come_back_as_references_into_the_bytes() {
    let (text, bytes, numbers) =
        ("some text that is not inline", &[1_u8, 2, 3][..], &[1.5_f32, -0.0][..]);
    let payload = encoded(&(text, bytes, numbers, Some("maybe"), vec![("a", 1.0)]));
    let back = loaded::<(&str, &[u8], &[f32], Option<&str>, Vec<(&str, f64)>)>(&payload).unwrap();
    assert_eq!(back, (text, bytes, numbers, Some("maybe"), vec![("a", 1.0)]));
    let inside = payload.as_ptr_range();
    assert!(inside.contains(&back.0.as_ptr()));
    assert!(inside.contains(&back.1.as_ptr()));
    assert!(inside.contains(&back.2.as_ptr().cast()));
}

#[test]
fn owned_and_borrowed_forms_have_the_same_bytes_and_shape() {
    let owned = ("text".to_owned(), vec![1_u8, 2], vec![1.0_f32]);
    let lent = (&*owned.0, &*owned.1, &*owned.2);
    assert_eq!(encoded(&owned).as_slice(), encoded(&lent).as_slice());
    assert_eq!(
        <(String, Vec<u8>, Vec<f32>)>::SHAPE.as_str(),
        <(&str, &[u8], &[f32])>::SHAPE.as_str()
    );
    assert_eq!(Bytes::SHAPE.as_str(), <Vec<u8>>::SHAPE.as_str());
}

#[test]
fn the_bytes_of_simple_values_are_these() {
    assert_eq!(&encoded(&0x0102_0304_u32)[..], [4, 3, 2, 1]);
    assert_eq!(&encoded(&(1_u8, 2_u64))[..], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&encoded(&"abc")[..], [b'a', b'b', b'c', 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(&encoded(&vec![5_u8, 6])[..], [5, 6, 0, 0, 0xfc, 0xff, 0xff, 0xff, 2, 0, 0, 0]);
    assert_eq!(&encoded(&Some(7_u16))[..], [1, 0, 7, 0]);
}

#[test]
fn an_archive_written_behind_another_is_the_same() {
    let value = ("some longer text than fits", vec![1_u64, 2]);
    let alone = encoded(&value);
    let mut buffer = AlignedVec::<16>::new();
    buffer.resize(40, 0xaa);
    append(&Wire(&value), &mut buffer, &mut Arena::new(), usize::MAX).unwrap();
    assert_eq!(&buffer[40..], &alone[..]);
}

#[test]
fn a_value_beyond_the_bound_is_refused() {
    let mut buffer = AlignedVec::<16>::new();
    let value = vec![0_u8; 100];
    assert!(append(&Wire(&value), &mut buffer, &mut Arena::new(), 99).is_err());
    buffer.clear();
    assert!(append(&Wire(&value), &mut buffer, &mut Arena::new(), 108).is_ok());
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Wide {
    a: u8,
    b: u64,
    c: String,
    d: (u8, u8),
    e: Option<Bytes>,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    r#type: Vec<Shade>,
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
enum Shade {
    Plain,
    Mixed(u8, u8, u8),
    Named { name: String, of: Option<u64> },
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Unit;

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Pair<T>(T, Vec<T>);

macro_rules! many {
    ($name:ident: $($variant:ident)*) => {
        #[derive(Clone, Debug, PartialEq, freehold::Stored)]
        enum $name { $($variant),* , Last(u64) }

        impl $name {
            fn all() -> Vec<$name> {
                vec![$($name::$variant),*, $name::Last(77)]
            }
        }
    };
}

many!(Eight: A B C D E F G);
many!(Nine: A B C D E F G H);
many!(Fifteen: A B C D E F G H I J K L M N);
many!(Forty: A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8
    C9 D0 D1 D2 D3 D4 D5 D6 D7 D8);

#[test]
fn derived_structs_and_enums_come_back() {
    comes_back(Wide {
        a: 1,
        b: 2,
        c: "three".to_owned(),
        d: (4, 5),
        e: Some(Bytes::from("six")),
        f: 7,
        g: 8,
        h: 9,
        i: 10,
        j: 11,
        k: 12,
        l: 13,
        m: 14,
        r#type: vec![
            Shade::Plain,
            Shade::Mixed(1, 2, 3),
            Shade::Named { name: "n".to_owned(), of: None },
        ],
    });
    comes_back(Unit);
    comes_back(Pair("a".to_owned(), vec!["b".to_owned()]));
    comes_back(OrdMap::from_iter([(1_u8, Pair(1_u16, vec![2]))]));
}

#[test]
fn enums_of_any_size_come_back() {
    Eight::all().into_iter().for_each(comes_back);
    Nine::all().into_iter().for_each(comes_back);
    Fifteen::all().into_iter().for_each(comes_back);
    let forty = Forty::all();
    assert_eq!(forty.len(), 40);
    let bytes: BTreeSet<Vec<u8>> = forty.iter().map(|value| encoded(value).to_vec()).collect();
    assert_eq!(bytes.len(), 40, "no two variants have the same bytes");
    forty.into_iter().for_each(comes_back);
}

#[test]
fn a_variant_that_does_not_exist_is_refused() {
    let bytes = encoded(&Shade::Plain);
    let mut damaged = AlignedVec::<16>::new();
    damaged.extend_from_slice(&bytes);
    for tag in 3..=u8::MAX {
        damaged[0] = tag;
        assert_eq!(loaded::<Shade>(&damaged), Err(Undecodable), "tag {tag}");
    }
}

#[test]
fn an_enum_is_as_long_as_its_longest_variant_and_a_tag() {
    assert_eq!(size_of::<<Eight as Stored>::Archived>(), 16);
    assert_eq!(size_of::<<Shade as Stored>::Archived>(), 32);
    assert_eq!(align_of::<<Wide as Stored>::Archived>(), 8);
}

#[test]
fn a_shape_tells_names_types_and_order_apart() {
    mod other {
        #[derive(freehold::Stored)]
        pub(super) struct Pair<T>(pub(super) Vec<T>, pub(super) T);
        #[derive(freehold::Stored)]
        pub(super) struct Unit {}
    }
    let shapes = [
        <Pair<u8>>::SHAPE,
        <Pair<u16>>::SHAPE,
        <other::Pair<u8>>::SHAPE,
        Unit::SHAPE,
        Shade::SHAPE,
        Eight::SHAPE,
        <(u8, u16)>::SHAPE,
        <(u16, u8)>::SHAPE,
        <[u8; 12]>::SHAPE,
        <Vec<Option<u8>>>::SHAPE,
        <OrdMap<u8, u8>>::SHAPE,
    ];
    let different: BTreeSet<u64> = shapes.iter().map(Shape::fingerprint).collect();
    assert_eq!(different.len(), shapes.len());
    assert_eq!(other::Unit::SHAPE.fingerprint(), Unit::SHAPE.fingerprint());
    let _ = (other::Pair(vec![1_u8], 1_u8), other::Unit {});
    assert!(Shade::SHAPE.as_str().starts_with("Shade#"));
    assert_eq!(<OrdMap<String, Vec<i64>>>::SHAPE.as_str(), "{str: [i64]}");
}
