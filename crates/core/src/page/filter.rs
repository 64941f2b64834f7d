//! Which filters on content can match at all.

use serde_json::Value;

use crate::content::canonical_eq;
use crate::error::{Error, ErrorKind, Result};
use crate::mutants::mutant;

/// Refuses conditions of which no record can meet every one.
pub(super) fn check(conditions: &[(String, Value)]) -> Result<()> {
    if mutant!("any-filter-taken") {
        return Ok(());
    }
    for (pointer, expected) in conditions {
        check_pointer(pointer)?;
        if pointer.is_empty() && !expected.is_object() {
            return Err(Error::invalid(
                "the pointer \"\" names the whole record, which is an object: write the member as /name, or give an object",
            )
            .with("value", shown(expected)));
        }
    }
    for (place, (outer, expected)) in conditions.iter().enumerate() {
        for (inner, value) in &conditions[place + 1..] {
            let (outer, expected, inner, value) = if inner.len() < outer.len() {
                (inner, value, outer, expected)
            } else {
                (outer, expected, inner, value)
            };
            let Some(rest) = inner.strip_prefix(outer.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
            else {
                continue;
            };
            let within = expected.pointer(rest);
            if !within.map(|within| same(within, value)).transpose()?.unwrap_or(false) {
                return Err(Error::invalid("no record can meet both conditions of the filter: leave one out")
                    .with("pointer", inner)
                    .with("value", shown(value))
                    .with("other", format!("{outer:?} = {}", shown(expected))));
            }
        }
    }
    Ok(())
}

fn check_pointer(pointer: &str) -> Result<()> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(refused("a JSON pointer begins with a slash", pointer, format!("/{}", escaped(pointer))));
    }
    let escapes = pointer.split('~').skip(1);
    if escapes.into_iter().any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(refused("in a JSON pointer ~ is written as ~0", pointer, escaped(pointer)));
    }
    Ok(())
}

/// The pointer with every `~` that begins no escape written as one.
fn escaped(pointer: &str) -> String {
    let mut parts = pointer.split('~');
    let mut right = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        right.push('~');
        if !part.starts_with(['0', '1']) {
            right.push('0');
        }
        right.push_str(part);
    }
    right
}

fn refused(why: &str, pointer: &str, right: String) -> Error {
    Error::invalid(format!("{why}: write {right:?}")).with("pointer", format!("{pointer:?}"))
}

fn same(one: &Value, other: &Value) -> Result<bool> {
    let text = |value: &Value| {
        serde_json::to_vec(value)
            .map_err(|source| Error::new(ErrorKind::Internal, "a filter's value cannot be written").because(source))
    };
    Ok(canonical_eq(&text(one)?, &text(other)?))
}

/// The beginning of a value.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use crate::page::ContentFilter;

    #[test]
    fn what_nothing_can_match_is_refused_with_the_right_spelling() {
        let filter = |conditions: &[(&str, serde_json::Value)]| {
            conditions
                .iter()
                .fold(ContentFilter::new(), |filter, (pointer, value)| filter.equals(*pointer, value.clone()))
        };
        let told = |conditions: &[(&str, serde_json::Value)]| filter(conditions).check().unwrap_err().to_string();
        for (wrong, right) in
            [("s", "/s"), ("m~2", "/m~02"), ("/m~2", "/m~02"), ("/a~", "/a~0"), ("/a~~1b", "/a~0~1b"), ("$.s", "/$.s")]
        {
            let told = told(&[(wrong, 1.into())]);
            assert!(told.contains(&format!("write {right:?}")) && told.contains(wrong), "{told}");
            filter(&[(right, 1.into())]).check().unwrap();
        }
        assert!(told(&[("", 1.into())]).contains("whole record"));
        for contradiction in [
            [("/s", 1.into()), ("/s", 2.into())],
            [("/s", "a".into()), ("/s/t", 1.into())],
            [("/s/t", 1.into()), ("/s", serde_json::json!({"t": 2}))],
            [("", serde_json::json!({"id": "a"})), ("/n", 1.into())],
        ] {
            assert!(told(&contradiction).contains("no record can meet both"), "{contradiction:?}");
        }
        for good in [
            [("/s", 1.into()), ("/s", serde_json::json!(1.0))],
            [("/s", 1.into()), ("/st", 2.into())],
            [("/s", serde_json::json!({"t": [5]})), ("/s/t/0", 5.into())],
            [("/a~1b", 1.into()), ("/é/ /0", 2.into())],
        ] {
            filter(&good).check().unwrap();
        }
        ContentFilter::new().check().unwrap();
    }
}
