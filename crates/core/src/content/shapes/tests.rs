//! What a reader remembers of earlier records changes nothing but its speed.

use proptest::prelude::*;

use super::super::{Canonicalizer, ContentRules, canonical};

/// Records with the same members now and then: some absent, some in another place, spelled otherwise, nested.
fn record() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        6 => proptest::sample::select(vec!["id", "name", "b", "a key beyond sixteen bytes", "a key beyond sixteen bytez"]),
        1 => proptest::sample::select(vec![r"n\u0061me", r#"a\"b"#, r"\u0062", "é", "naïve and rather long"]),
    ];
    let leaf = proptest::sample::select(vec![
        "1",
        "-0",
        "1.50",
        "10e2",
        "null",
        "true",
        r#""""#,
        r#""x""#,
        r#""a\nb""#,
        r#""日本 and a good deal of text""#,
        "[]",
        "{}",
    ]);
    let value = leaf.prop_map(str::to_owned).prop_recursive(3, 24, 5, move |inner| {
        let space = proptest::sample::select(vec!["", "", "", " "]);
        let members = proptest::collection::vec((key.clone(), space, inner.clone()), 0..6);
        prop_oneof![
            3 => members.prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, space, value)| format!("\"{key}\":{space}{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            1 => proptest::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    });
    value.prop_map(|value| format!("{{\"id\":7,\"of\":{value},\"end\":{{\"id\":{value}}}}}"))
}

proptest! {
    #[test]
    fn p34_earlier_records_do_not_matter(few in proptest::collection::vec(record(), 1..5), order in proptest::collection::vec(0_usize..5, 1..40)) {
        for rules in [ContentRules::new(), ContentRules::new().ignoring("/of/name").unwrap()] {
            let mut practised = Canonicalizer::new(&rules);
            for place in &order {
                let text = few[place % few.len()].as_bytes();
                match (practised.read(text), canonical(&rules, text)) {
                    (Ok(practised), Ok(fresh)) => prop_assert_eq!(practised, fresh),
                    (practised, fresh) => {
                        prop_assert_eq!(practised.unwrap_err().to_string(), fresh.unwrap_err().to_string());
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn p34_absent_and_moved_members_do_not_matter(
        keys in Just(["id", "a", "bc", "longer", "a key beyond sixteen bytes", "z"]).prop_shuffle(),
        records in proptest::collection::vec((0_u8..64, 0_usize..6, 0_usize..24), 1..12),
    ) {
        let texts: Vec<String> = records.iter().map(|(absent, moved, to)| {
            let mut keys: Vec<&str> = keys.iter().copied().enumerate()
                // Most records have all of their members.
                .filter(|(place, _)| *absent >= 48 || absent >> place & 1 == 0)
                .map(|(_, key)| key).collect();
            if *moved < keys.len() && *to < keys.len() {
                keys.swap(*moved, *to);
            }
            let members: Vec<String> = keys.iter().enumerate().map(|(place, key)| format!("\"{key}\":{place}")).collect();
            let object = format!("{{{}}}", members.join(","));
            format!("{{\"of\":[{object},{object}],{}", &object[1..]).replace(",}", "}")
        }).collect();
        reads(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn reads(records: &[&str]) -> Vec<bool> {
    let rules = ContentRules::new();
    let mut practised = Canonicalizer::new(&rules);
    let read = |text: &&str| {
        let answer = practised.read(text.as_bytes());
        assert_eq!(answer.as_ref().ok(), canonical(&rules, text.as_bytes()).as_ref().ok(), "{text}");
        answer.is_ok()
    };
    records.iter().map(read).collect()
}

#[test]
fn a_key_with_an_escaped_quote_is_not_expected_without_the_escape() {
    assert_eq!(reads(&[r#"{"a\"b":1}"#, r#"{"a\"b":1}"#, r#"{"a"b":1}          "#]), [true, true, false]);
}

#[test]
fn a_key_twice_is_seen_in_an_object_that_began_as_expected() {
    let known = r#"{"b":1,"a":2,"c":3}"#;
    assert_eq!(
        reads(&[known, known, r#"{"b":1,"a":2,"b":3}"#, r#"{"b":1,"a":2,"c":3,"a":4}"#]),
        [true, true, false, false]
    );
}

#[test]
fn members_may_be_absent_and_come_back_elsewhere() {
    let records = [
        r#"{"d":1,"c":2,"b":3,"a":4}"#,
        r#"{"d":1,"b":3,"a":4}"#,
        r#"{"a":4,"d":1}"#,
        "{}",
        r#"{"e":1,"d":1,"c":2,"b":3,"a":4}"#,
    ];
    let thrice: Vec<&str> = records.iter().cycle().take(15).copied().collect();
    assert!(reads(&thrice).into_iter().all(|read| read));
}

#[test]
fn records_that_never_look_alike_are_read_all_the_same() {
    let wide = |from: usize| {
        let members: Vec<String> =
            (from..from + 3000).rev().map(|number| format!("\"k{number}\":{{\"v{number}\":[{{}}]}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let records: Vec<String> = (0..4).map(|round| wide(round * 1500)).collect();
    assert!(reads(&records.iter().map(String::as_str).collect::<Vec<_>>()).into_iter().all(|read| read));
}

#[test]
fn lengths_of_strings_around_the_borders_of_their_prefix() {
    for length in [0, 1, 7, 8, 9, 127, 128, 129, 16_383, 16_384, 16_385] {
        let text = "x".repeat(length);
        let escaped = format!("{{\"a\":\"{}\",\"b\":1}}", text.replacen('x', r"\u0078", 1));
        let plain = format!("{{\"a\":\"{text}\",\"b\":1}}");
        let hash = |text: &str| canonical(&ContentRules::new(), text.as_bytes()).unwrap().hash;
        let by_hand = {
            let mut out = b"{\"\x01a\"".to_vec();
            crate::varint::put_number(&mut out, length as u64);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\"\x01b+\x011\x00}");
            super::super::first_half(&blake3::hash(&out))
        };
        assert_eq!((hash(&plain), hash(&escaped)), (by_hand, by_hand), "{length}");
    }
}
