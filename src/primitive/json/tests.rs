//! The forms themselves, and what is refused. That every type comes back is tested where its archive
//! is, in `stored/tests.rs`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::primitive::collections::{Bytes, OrdMap, OrdSet, Vector};
use crate::primitive::stored::{Stored, StoredOwned};

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Span {
    name: String,
    r#type: Kind,
    score: Option<Wrapped<Option<f64>>>,
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
enum Kind {
    Plain,
    One(u8),
    Two(u8, i64),
    Named { of: Option<Box<Empty>> },
}

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Empty;

#[derive(Clone, Debug, PartialEq, freehold::Stored)]
struct Wrapped<T>(T);

/// Even numbers, stored as their halves.
#[derive(Clone, Debug, PartialEq, freehold::Stored)]
#[stored(via = Option<u8>)]
struct Even(u8);

impl From<&Even> for Option<u8> {
    fn from(even: &Even) -> Option<u8> {
        (even.0 > 0).then_some(even.0 / 2)
    }
}

impl TryFrom<Option<u8>> for Even {
    type Error = ();

    fn try_from(half: Option<u8>) -> Result<Even, ()> {
        half.unwrap_or(0).checked_mul(2).map(Even).ok_or(())
    }
}

fn written<T: Stored>(value: &T) -> String {
    let mut out = JsonWriter::new();
    value.to_json(&mut out);
    out.as_str().to_owned()
}

fn read<T: StoredOwned>(text: &str) -> Result<T, Misfit> {
    T::from_json(&Json::parse(text)?)
}

#[track_caller]
fn is<T: StoredOwned + PartialEq + Debug>(value: T, text: &str) {
    assert_eq!(written(&value), text);
    assert_eq!(read::<T>(text).as_ref(), Ok(&value), "{text}");
}

#[track_caller]
fn refused<T: StoredOwned + Debug>(text: &str, message: &str) {
    assert_eq!(read::<T>(text).unwrap_err().to_string(), message, "{text}");
}

#[test]
fn each_type_has_the_form_that_the_table_says() {
    is((u64::MAX, i64::MIN, 0_u8), "[18446744073709551615,-9223372036854775808,0]");
    is((0.1_f64, 1.0_f32, -0.0_f64, 1e300_f64), "[0.1,1.0,-0.0,1e300]");
    is((f64::INFINITY, f32::NEG_INFINITY), r#"["inf","-inf"]"#);
    is((true, 'ß', '"'), r#"[true,"ß","\""]"#);
    is("a\n\u{1}\u{7f}\\ü😀".to_owned(), r#""a\n\u0001\u007f\\ü😀""#);
    is((Bytes::from("text"), Bytes::from(&[0xff, 0x0a])), r#"["text",{"hex":"ff0a"}]"#);
    is((vec![b'a'], [0_u8, 0xc0]), r#"["a",{"hex":"00c0"}]"#);
    is(vec![Some(1_u8), None], "[1,null]");
    is((Some(Some(1_u8)), Some(None::<u8>), None::<Option<u8>>), "[[1],[null],null]");
    is(((), Empty, Wrapped(Empty)), "[[],{},{}]");
    is(OrdMap::from_iter([("b".to_owned(), 1_u8), ("a".to_owned(), 2)]), r#"[["a",2],["b",1]]"#);
    is((OrdSet::from_iter([2_u8, 1]), Vector::from_iter([2_u8, 1])), "[[1,2],[2,1]]");
    let kinds = [
        Kind::Plain,
        Kind::One(1),
        Kind::Two(1, -2),
        Kind::Named { of: Some(Box::new(Empty)) },
        Kind::Named { of: None },
    ];
    is(kinds, r#"["Plain",{"One":1},{"Two":[1,-2]},{"Named":{"of":{}}},{"Named":{"of":null}}]"#);
    is(
        Span { name: String::new(), r#type: Kind::Plain, score: Some(Wrapped(Some(0.5))) },
        r#"{"name":"","type":"Plain","score":[0.5]}"#,
    );
    is(
        Span { name: String::new(), r#type: Kind::Plain, score: Some(Wrapped(None)) },
        r#"{"name":"","type":"Plain","score":[null]}"#,
    );
}

#[test]
fn a_type_that_another_stands_for_has_its_form() {
    is(vec![Some(Even(6)), Some(Even(0)), None], "[[3],[null],null]");
    refused::<Even>("200", "column 1: found 200, expected one that Even takes");
    refused::<Even>("[]", "column 1: found an array of 0, expected a whole number that fits u8");
}

#[test]
fn what_is_borrowed_is_written_as_what_is_owned_and_cannot_be_read() {
    assert_eq!(written(&("a", &[1_u8][..], &[1.5_f32][..])), r#"["a","\u0001",[1.5]]"#);
    assert!(<&str>::from_json(&Json::parse("\"a\"").unwrap()).is_err());
    assert!(<&[f32]>::from_json(&Json::parse("[]").unwrap()).is_err());
}

#[test]
fn no_float_changes_a_bit() {
    for bits in [0x7ff8_0000_0000_0000, 0x7ff4_dead_beef_0001, 0xffff_ffff_ffff_ffff_u64] {
        let text = written(&f64::from_bits(bits));
        assert_eq!(read::<f64>(&text).unwrap().to_bits(), bits, "{text}");
    }
    assert_eq!(written(&f32::from_bits(0xffc0_0001)), r#""NaN:ffc00001""#);
    refused::<f64>(
        r#""NaN:7ff0000000000000""#,
        "column 1: found \"NaN:7ff0000000000000\", expected a number that fits, \"inf\", \"-inf\", \
         \"NaN\", or \"NaN:\" and its bits",
    );
    assert!(read::<f64>("1e999").is_err());
    assert!(read::<f32>("1e39").is_err());
}

#[test]
fn fields_are_read_in_any_order_and_with_white_space() {
    let text =
        " { \"score\" : null ,\t\"type\":\"Plain\" , \"name\" : \"\\u00fc\\ud83d\\ude00\" } ";
    let span = Span { name: "ü😀".to_owned(), r#type: Kind::Plain, score: None };
    assert_eq!(read::<Span>(text), Ok(span));
}

#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    refused::<u8>("256", "column 1: found 256, expected a whole number that fits u8");
    refused::<u8>("-1", "column 1: found -1, expected a whole number that fits u8");
    refused::<u64>("1.0", "column 1: found 1.0, expected a whole number that fits u64");
    refused::<(u8, u8)>("[1]", "column 1: found an array of 1, expected an array of 2");
    refused::<[u16; 2]>("[1,2,3]", "column 1: found an array of 3, expected 2 elements, not 3");
    refused::<Vec<String>>(r#"["a",null]"#, "column 6: found null, expected a string");
    refused::<char>(r#""ab""#, "column 1: found \"ab\", expected a string of one letter");
    refused::<Bytes>(
        r#"{"hex":"0g"}"#,
        "column 8: found \"0g\", expected pairs of hexadecimal digits",
    );
    refused::<Bytes>(
        "[1]",
        "column 1: found an array of 1, expected a string, or {\"hex\": \"..\"}",
    );
    refused::<Kind>(
        r#"{"Three":1}"#,
        "column 1: found an object of Three, expected a variant of Plain, One, Two, Named",
    );
    refused::<Kind>(
        r#""One""#,
        "column 1: found \"One\", expected a variant of Plain, One, Two, Named",
    );
    refused::<Span>(
        r#"{"name":"","type":"Plain"}"#,
        "column 1: found an object of name, type, expected a field score in it",
    );
    refused::<Span>(
        r#"{"name":"","type":"Plain","score":null,"more":1}"#,
        "column 47: found the field more, expected name, type, score",
    );
    refused::<Empty>(r#"{"a":1}"#, "column 6: found the field a, expected no field");
    refused::<BTreeMap<u8, u8>>("[[1,2],[1,3]]", "column 9: found 1, expected each key once");
    refused::<OrdSet<u8>>("[1,1]", "column 4: found 1, expected each element once");
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "NaN",
        "[1,]",
        "[1 2]",
        "[",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":1,}",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "'a'",
        "1 1",
        "{\"a\":1,\"a\":2}",
        "[1]]",
        "\u{feff}1",
    ] {
        assert!(Json::parse(text).is_err(), "{text:?}");
    }
    let many: String = (0..40).map(|at| format!("\"{}\":0,", at % 39)).collect();
    assert!(Json::parse(&format!("{{{}}}", many.trim_end_matches(','))).is_err());
}

#[test]
fn nesting_ends_somewhere() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(&nested(DEPTH_MAX)).is_ok());
    let refused = Json::parse(&nested(DEPTH_MAX + 1)).unwrap_err().to_string();
    assert_eq!(
        refused,
        "column 129: found one more array or object inside others, expected at most 128"
    );
    assert!(Json::parse(&"[".repeat(1_000_000)).is_err());
    assert!(Json::parse(&"{\"a\":".repeat(1_000_000)).is_err());
}

type Anything = (
    (u64, i64, u8, i16),
    (String, Vec<u8>, [u8; 4], char),
    Option<Option<bool>>,
    Vec<(f64, f32)>,
    BTreeMap<String, Option<i32>>,
);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_back(value: Anything) {
        let text = written(&value);
        let back = read::<Anything>(&text).map_err(|misfit| TestCaseError::fail(misfit.to_string()))?;
        // As archives, so that one NaN is not another.
        prop_assert_eq!(archived(&back), archived(&value), "{}", text);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn any_text_is_read_as_the_library_reads_it(text in r#"[\[\]{}",:0-9.eE+\-a\\un \t]{0,12}"#) {
        let ours = Json::parse(&text).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match theirs {
            // The library lets a name stand twice, and has a largest number.
            Ok(_) => prop_assert!(ours || text.contains('{'), "{}", text),
            Err(error) if error.to_string().contains("number out of range") => {}
            Err(_) => prop_assert!(!ours, "{}", text),
        }
    }
}

fn archived<T: Stored>(value: &T) -> Vec<u8> {
    let mut buffer = rkyv::util::AlignedVec::new();
    let mut arena = rkyv::ser::allocator::Arena::new();
    let wire = crate::primitive::stored::Wire(value);
    crate::primitive::stored::append(&wire, &mut buffer, &mut arena, usize::MAX).unwrap();
    buffer.to_vec()
}
