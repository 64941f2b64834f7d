use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{elements, pointer};
use crate::content::scan::Scanner;

fn parted(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    elements(text, |part| parts.push(part)).ok().map(|()| parts)
}

fn strictly(text: &[u8]) -> Option<Vec<&[u8]>> {
    let parts: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
    Some(parts.into_iter().map(|part| part.get().as_bytes()).collect())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[\\PC\"\\\\{}\\[\\]]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-c\"\\\\/~{\\]é]{0,70}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// JSON, cut, and with some bytes put in the place of others: often broken, and where it matters.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), prop::sample::select(b"\"\\{}[],: x1\n".to_vec()));
    (proptest::collection::vec(json(), 0..5), proptest::collection::vec(change, 0..3), any::<prop::sample::Index>())
        .prop_map(|(values, changes, cut)| {
            let mut text = Value::from(values).to_string().into_bytes();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            // Mostly whole.
            text.truncate(text.len() - cut.index(text.len() * 4).saturating_sub(text.len() * 3));
            text
        })
}

proptest! {
    #[test]
    fn whole_arrays_are_parted_as_strict_reading_parts_them(
        values in proptest::collection::vec(json(), 0..8), pretty in any::<bool>()
    ) {
        let value = Value::from(values);
        let text = if pretty { serde_json::to_vec_pretty(&value).unwrap() } else { value.to_string().into_bytes() };
        prop_assert!(strictly(&text).is_some());
        prop_assert_eq!(parted(&text), strictly(&text));
    }

    #[test]
    fn broken_arrays_are_refused_here_or_one_of_their_elements_is_no_json(text in broken()) {
        let parts = parted(&text);
        let sound = |part: &&[u8]| strictly(&[b"[", *part, b"]"].concat()).is_some_and(|parts| parts.len() == 1);
        match strictly(&text) {
            Some(strict) => prop_assert_eq!(parts, Some(strict)),
            None => prop_assert!(!parts.is_some_and(|parts| parts.iter().all(sound))),
        }
    }

    #[test]
    fn pointers_find_what_strict_reading_finds(value in json(), picks in proptest::collection::vec(any::<usize>(), 0..4)) {
        let text = value.to_string();
        let (mut at, mut place) = (String::new(), &value);
        for pick in picks {
            let (segment, inner) = match place {
                Value::Object(map) if !map.is_empty() => map.iter().nth(pick % map.len()).unwrap(),
                Value::Array(items) if !items.is_empty() => (&(pick % items.len()).to_string(), &items[pick % items.len()]),
                _ => break,
            };
            at = format!("{at}/{}", segment.replace('~', "~0").replace('/', "~1"));
            place = inner;
        }
        let found = pointer(text.as_bytes(), &at).unwrap().map(<[u8]>::to_vec);
        prop_assert_eq!(found, Some(place.to_string().into_bytes()));
        let beside = format!("{at}/nothing");
        prop_assert_eq!(pointer(text.as_bytes(), &beside).unwrap(), None);
    }

    #[test]
    fn garbage_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), at in "(/[a-c0-2~]{0,2}){0,3}") {
        let _ = parted(&text);
        let _ = pointer(&text, &at);
    }
}

#[test]
fn escapes_count_wherever_a_block_ends() {
    for length in 50..140 {
        for backslashes in 0..5 {
            let text = format!(r#"[{{"a":"{}{}"}},{{"b":"]}}"}}]"#, "x".repeat(length), r"\".repeat(backslashes));
            assert_eq!(parted(text.as_bytes()), strictly(text.as_bytes()), "{text}");
            let quoted = format!(r#"[{{"a":"{}{}"]"}},2]"#, "x".repeat(length), r"\".repeat(backslashes));
            assert_eq!(parted(quoted.as_bytes()), strictly(quoted.as_bytes()), "{quoted}");
        }
    }
}

#[test]
fn brackets_match_and_their_depth_is_bounded() {
    for text in ["[[}]", "[{]", "[{]}]", "[1 2]", "[,]", "[1,]", "[", "", "[]]", "[\"a]", "{}", "[:]", "[nul]", "[1x]"]
    {
        assert_eq!(parted(text.as_bytes()), None, "{text}");
    }
    for (depth, sound) in [(128, true), (129, false), (100_000, false)] {
        let text = format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parted(text.as_bytes()).is_some(), sound, "{depth}");
        assert_eq!(Scanner::new(text.as_bytes()).value(0).is_ok(), sound, "{depth}");
    }
}

#[test]
fn pointers_read_as_they_should() {
    let text = br#" {"a\u0062": 1, "c": [10, {"d": "x"}], "c~/": [], "e": {"f": null}, "e": {"f": true}} "#;
    for (at, value) in [
        ("/ab", Some("1")),
        ("/c/1/d", Some("\"x\"")),
        ("/c/01", None),
        ("/c/2", None),
        ("/c/+1", None),
        ("/c~0~1", Some("[]")),
        ("/e/f", Some("true")),
        ("/ab/x", None),
        ("c", None),
    ] {
        assert_eq!(pointer(text, at).unwrap(), value.map(str::as_bytes), "{at}");
    }
    assert_eq!(pointer(text, "").unwrap(), Some(text.trim_ascii()));
    for cut in 1..text.len() - 2 {
        assert!(pointer(&text[..cut], "/ab").is_err(), "{cut}");
    }
}
