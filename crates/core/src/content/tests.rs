use proptest::prelude::*;
use serde_json::Value;

use crate::content::{ContentRules, canonical, canonical_eq, deep_merge, guess_id};

fn hash(text: &str) -> [u8; 16] {
    canonical(&ContentRules::new(), text.as_bytes()).unwrap().hash
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-e\"\\\\é]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same value written otherwise: keys turned round, spaces, escapes.
fn respell(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push_str(" { ");
            for (place, (key, value)) in map.iter().rev().enumerate() {
                out.push_str(if place > 0 { " ,\n" } else { "" });
                respell(&Value::from(key.as_str()), out);
                out.push_str(" : ");
                respell(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push_str("[\t");
            for (place, value) in items.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                respell(value, out);
            }
            out.push_str(" ]");
        }
        Value::String(text) => {
            out.push('"');
            for unit in text.encode_utf16() {
                out.push_str(&format!("\\u{unit:04X}"));
            }
            out.push('"');
        }
        Value::Number(number) => {
            let text = number.to_string();
            if text.contains(['.', 'e', 'E']) { out.push_str(&text) } else { out.push_str(&format!("{text}.00E+0")) }
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn p34_spelling_does_not_matter(value in json()) {
        let record = serde_json::json!({ "id": 1, "value": value });
        let mut other = String::new();
        respell(&record, &mut other);
        prop_assert_eq!(hash(&record.to_string()), hash(&other));
    }

    #[test]
    fn p34_content_does(a in json(), b in json()) {
        let same = canonical_eq(a.to_string().as_bytes(), b.to_string().as_bytes());
        prop_assert_eq!(same, equal(&a, &b));
    }

    #[test]
    fn garbage_is_refused_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = canonical(&ContentRules::new(), &bytes);
        let _ = guess_id(&bytes);
        let _ = deep_merge(&bytes, &bytes);
    }

    #[test]
    fn what_serde_reads_we_read(value in json()) {
        let text = serde_json::json!({ "v": value }).to_string();
        prop_assert!(canonical(&ContentRules::new(), text.as_bytes()).is_ok());
        for cut in 1..text.len() {
            if text.is_char_boundary(cut) {
                prop_assert!(canonical(&ContentRules::new(), &text.as_bytes()[..cut]).is_err());
            }
        }
    }
}

/// Equality by value: serde_json tells 1 and 1.0 apart.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64())),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn p34_numbers_are_their_value() {
    for (a, b) in [("1", "1.0"), ("100", "1e2"), ("-0", "0"), ("0.0010", "1E-3"), ("1e400", "10e399")] {
        assert!(canonical_eq(a.as_bytes(), b.as_bytes()), "{a} {b}");
    }
    for (a, b) in [
        ("18446744073709551616", "18446744073709551617"),
        ("9007199254740992", "9007199254740993"),
        ("1", "-1"),
        ("1", "10"),
        ("0.1", "1"),
        ("1e400", "1e401"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
    ] {
        assert!(!canonical_eq(a.as_bytes(), b.as_bytes()), "{a} {b}");
    }
    assert_ne!(hash(r#"{"a":null}"#), hash("{}"));
    assert_ne!(hash(r#"{"a":"1"}"#), hash(r#"{"a":1}"#));
    assert_ne!(hash(r#"{"a":["b"]}"#), hash(r#"{"a":{"b":null}}"#));
}

#[test]
fn ids() {
    for (text, id) in [
        (r#"{"id":"a\u0062"}"#, Some("ab")),
        (r#"{"x":[{"id":1}],"id": 18446744073709551617}"#, Some("18446744073709551617")),
        (r#"{"id":-0}"#, Some("0")),
        (r#"{"id":1.5}"#, None),
        (r#"{"id":null}"#, None),
        (r#"{"ID":1}"#, None),
    ] {
        let sure = canonical(&ContentRules::new(), text.as_bytes()).unwrap().id;
        assert_eq!(sure.as_deref(), id, "{text}");
        let guess = guess_id(text.as_bytes());
        assert!(guess.is_none() || guess.as_deref() == id, "{text}");
    }
    assert_eq!(guess_id(br#" { "a" : [1, "]"], "id" : "x"#).as_deref(), None);
    assert_eq!(guess_id(br#"{"a":"\"id\":1","id":7,"#).as_deref(), Some("7"));
}

#[test]
fn bad_records_say_what_and_where() {
    for (text, part) in [
        (&b"[1]"[..], "JSON object"),
        (br#"{"a":1,"a":2}"#, "same key twice"),
        (br#"{"a":1} x"#, "follows the end"),
        (br#"{"a":"\ud800"}"#, "surrogate"),
        (b"{\"a\":\"\xff\"}", "not UTF-8"),
        (br#"{"a":01}"#, "comma"),
        (b"{\"a\":\"\x01\"}", "control"),
    ] {
        let error = canonical(&ContentRules::new(), text).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.context("byte").is_some());
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    assert!(canonical(&ContentRules::new(), deep.as_bytes()).is_err());
}

#[test]
fn ignored_values_do_not_count() {
    let rules = ContentRules::new().ignoring("/at").unwrap().ignoring("/list/1/~0x~1").unwrap();
    let hash = |text: &str| canonical(&rules, text.as_bytes()).unwrap().hash;
    assert_eq!(hash(r#"{"at":1,"b":2}"#), hash(r#"{"at":[3],"b":2}"#));
    assert_ne!(hash(r#"{"at":1,"b":2}"#), hash(r#"{"at":1,"b":3}"#));
    assert_eq!(hash(r#"{"list":[1,{"~x/":1}]}"#), hash(r#"{"list":[1,{"~x/":2}]}"#));
    assert_ne!(hash(r#"{"list":[{"~x/":1},1]}"#), hash(r#"{"list":[{"~x/":2},1]}"#));
    assert_ne!(rules.fingerprint(), ContentRules::new().fingerprint());
}

#[test]
fn merging_keeps_what_the_patch_does_not_name() {
    let merged = deep_merge(br#"{"a":{"x":1.50,"y":[1]},"b":2}"#, br#"{"c":null,"a":{"y":[2,3]}}"#).unwrap();
    assert_eq!(String::from_utf8(merged).unwrap(), r#"{"a":{"x":1.50,"y":[2,3]},"b":2,"c":null}"#);
    assert!(deep_merge(b"{}", b"[]").is_err());
    for twice in [r#"{"b":1,"b":2}"#, r#"{"new":1,"\u006eew":2}"#, r#"{"a":{"x":1,"x":1}}"#] {
        let error = deep_merge(br#"{"a":{"x":1},"b":2}"#, twice.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("same key twice"), "{twice}: {error}");
    }
}

#[test]
fn golden_vectors_of_the_documentation() {
    let page = include_str!("../../../../docs/content-hash.md");
    let mut checked = 0;
    for line in page.lines().filter_map(|line| line.strip_prefix("| `{")) {
        let (text, hex) = line.split_once("` | `").unwrap();
        let hash = hash(&format!("{{{text}"));
        let printed: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.trim_end_matches("` |"), printed, "{{{text}");
        checked += 1;
    }
    assert!(checked >= 5);
}
