use super::Value;
use crate::json;

/// What is read is written as it was, whatever the features of `serde_json`.
#[test]
fn what_is_read_is_written_as_it_was() {
    for text in [
        r#"{"z":1,"a":{"y":[],"b":{}},"m":null}"#,
        "[18446744073709551615,-9223372036854775808,0,-1]",
        "[1.0,0.1,-0.0,1e300,5e-324,0.1234567890123456]",
        r#"["","\"\\/\n\u0001é"]"#,
        "true",
        "null",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        let other: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::from(other.clone()), value);
        assert_eq!(serde_json::Value::from(value.clone()), other);
        let again: Value = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(again.to_string(), value.to_string());
        if let Value::Array(items) = &value {
            assert_eq!(other.to_string(), value.to_string(), "{items:?}");
        }
    }
    let text = r#"{"z":1,"a":{"y":[],"b":{}},"m":null}"#;
    assert_eq!(serde_json::from_str::<Value>(text).unwrap().to_string(), text);
}

#[test]
fn a_number_beyond_64_bits_is_a_float() {
    assert!(serde_json::from_str::<Value>("1e400").is_err(), "no number is infinite");
    let value: Value = serde_json::from_str("18446744073709551616").unwrap();
    assert_eq!(value, 18446744073709551616.0);
    assert_eq!(value.to_string(), serde_json::json!(18446744073709551616.0).to_string());
}

/// The last of two members of a name counts, at the place of the first.
#[test]
fn a_name_twice_is_one_member() {
    let value: Value = serde_json::from_str(r#"{"b":1,"a":2,"b":3}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"b":3,"a":2}"#);
}

#[test]
fn the_order_of_members_makes_no_difference_to_equality() {
    let hash = |value: &Value| {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    let (left, right) = (json!({"a": 1, "b": [1.5]}), json!({"b": [1.5], "a": 1}));
    assert_eq!(left, right);
    assert_eq!(hash(&left), hash(&right));
    assert_ne!(left.to_string(), right.to_string());
    assert_ne!(json!(1), json!(1.0));
}

#[test]
fn members_are_made_and_found_by_index() {
    let mut value = json!({"a": [1, {"b": "x"}]});
    assert_eq!(value["a"][1]["b"], "x");
    assert_eq!(value["a"][7]["b"], Value::Null);
    value["c"]["d"] = json!(2);
    assert_eq!(value.to_string(), r#"{"a":[1,{"b":"x"}],"c":{"d":2}}"#);
}
