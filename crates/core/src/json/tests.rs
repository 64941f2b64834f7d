use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::from_slice;

#[derive(Debug, Deserialize, PartialEq)]
struct Members {
    id: u64,
    small: Option<i8>,
    name: String,
    #[serde(default)]
    float: f64,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    inner: BTreeMap<String, Inner>,
    #[serde(default)]
    by_number: BTreeMap<u16, bool>,
    #[serde(default)]
    by_kind: BTreeMap<Bare, ()>,
    kind: Option<Kind>,
    any: Option<serde_json::Value>,
    pair: Option<(u8, String)>,
    wide: Option<i128>,
    letter: Option<char>,
    short: Option<f32>,
    text: Option<Cow<'static, str>>,
    wait: Option<Duration>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    a: Box<str>,
    b: Option<Box<Inner>>,
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum Bare {
    First,
    Second,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Kind {
    Unit,
    New(Box<Kind>),
    Tuple(u8, String),
    Struct { a: i64 },
}

#[derive(Debug, Deserialize, PartialEq)]
struct Flat {
    id: i64,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "state")]
enum Tagged {
    On { since: u64 },
    Off,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Text(String),
    Number(f64),
    Tagged(Tagged),
    List(Vec<Untagged>),
}

const TEXTS: &[&str] = &[
    r#"{"id": 7, "small": -3, "name": "a", "float": 1.5e3, "tags": ["x", "\u00e9\n", ""], "kind": "Unit"}"#,
    r#"{"id":18446744073709551615,"name":"é\ud83d\udca7","inner":{"k":{"a":"","b":{"a":"z","b":null}}},"kind":{"New":{"Tuple":[1,"t"]}}}"#,
    r#"{"id":0,"name":"","by_number":{"7":true,"65535":false},"by_kind":{"first":null},"kind":{"Struct":{"a":-9223372036854775808}},"any":[1,{"b":null},"c",1e400]}"#,
    r#"{"id":1,"name":"n","any":{"deep":[[[[]]],-0,0.1]},"pair":[255,"p"],"wide":-170141183460469231731687303715884105728,"letter":"é","short":0.1}"#,
    r#" {"id" : 1 , "name" : "n" , "unknown" : {"x":[true,false,null]} , "text" : "t\\" , "wait" : {"secs":1,"nanos":5}, "kind":{"Unit":null}} "#,
    r#"{"state":"On","since":5}"#,
    r#"{"since":5,"state":"Off"}"#,
    r#"["a",1,-2.5,["b",{"state":"Off"}]]"#,
    "-0",
    "[0, -1, 01]",
    "\"\\ud800\"",
];

/// Reads `text` as both would: the same value, or an error of both.
fn compare<T: DeserializeOwned + Debug>(text: &[u8]) -> Result<(), TestCaseError> {
    match (serde_json::from_slice::<T>(text), from_slice::<T>(text)) {
        // Debug tells -0.0 from 0.0.
        (Ok(expected), Ok(found)) => prop_assert_eq!(format!("{:?}", expected), format!("{:?}", found)),
        (Err(expected), Err(found)) => prop_assert!(found.line() > 0, "{expected} but {found}"),
        (Ok(_), Err(found)) => {
            prop_assert!(found.to_string().contains("invalid type: sequence, expected struct"), "{}", found)
        }
        (Err(expected), Ok(found)) => prop_assert!(false, "{expected}, but read {found:?}"),
    }
    Ok(())
}

fn compare_all(text: &[u8]) -> Result<(), TestCaseError> {
    compare::<Members>(text)?;
    compare::<Option<Inner>>(text)?;
    compare::<Kind>(text)?;
    compare::<Flat>(text)?;
    compare::<Tagged>(text)?;
    compare::<Untagged>(text)?;
    compare::<Vec<i32>>(text)?;
    compare::<BTreeMap<String, serde_json::Value>>(text)?;
    compare::<String>(text)?;
    compare::<f64>(text)?;
    compare::<()>(text)
}

#[test]
fn what_serde_json_reads_is_read_alike() {
    for text in TEXTS {
        compare_all(text.as_bytes()).unwrap();
    }
    assert!(TEXTS[..5].iter().all(|text| from_slice::<Members>(text.as_bytes()).is_ok() || text.contains("1e400")));
}

#[test]
fn an_error_says_where() {
    for text in [
        "{\"id\": 7,\n \"name\": }",
        "{\"id\":7}",
        "{\"id\":\n\"x\"}",
        "",
        "{\"id\"",
        "{\"id\":7,\"name\":\"n\",\"any\":[1,\n}",
    ] {
        let expected = serde_json::from_slice::<Members>(text.as_bytes()).unwrap_err();
        let found = from_slice::<Members>(text.as_bytes()).unwrap_err();
        assert_eq!(found.line(), expected.line(), "{expected}, {found}");
        assert_eq!(found.to_string().split(" at line").next(), expected.to_string().split(" at line").next());
    }
}

#[test]
fn nesting_is_limited() {
    for depth in [100, 127, 128, 100_000] {
        let text = format!("{}\"Unit\"{}", "{\"New\":".repeat(depth), "}".repeat(depth));
        assert_eq!(from_slice::<Kind>(text.as_bytes()).is_ok(), serde_json::from_str::<Kind>(&text).is_ok(), "{depth}");
    }
}

#[test]
fn a_raw_value_keeps_its_text() {
    let text = br#"{"a": {"x" : 1.50 } , "b":"\u0041"}"#;
    let found: BTreeMap<String, Box<RawValue>> = from_slice(text).unwrap();
    assert_eq!(found["a"].get(), r#"{"x" : 1.50 }"#);
    assert_eq!(found["b"].get(), r#""\u0041""#);
}

proptest! {
    #[test]
    fn changed_texts_are_read_or_refused_alike(
        which in 0..TEXTS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(b" \n{}[]:,\"\\u0123456789.-+eEtrfalsn\xc3\xa9\x01".to_vec())), 0..4),
    ) {
        let mut text = TEXTS[which].as_bytes().to_vec();
        for (place, what, byte) in changes {
            let at = place.index(text.len() + 1);
            match what {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                _ => { if at < text.len() { text.remove(at); } }
            }
        }
        compare_all(&text)?;
    }
}
