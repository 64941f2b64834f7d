//! What differs between two versions of a record.

use serde_json::{Map, Value};

/// The most differences that are listed.
const MOST: usize = 200;
/// The deepest objects that are compared member by member.
const DEPTH: usize = 8;

/// A member that is not the same.
pub(super) struct Difference<'v> {
    /// Where it is, as a JSON pointer.
    pub(super) pointer: String,
    pub(super) before: Option<&'v Value>,
    pub(super) after: Option<&'v Value>,
}

/// Compares objects member by member, and everything else as a whole.
pub(super) fn differences<'v>(before: &'v Map<String, Value>, after: &'v Map<String, Value>) -> Vec<Difference<'v>> {
    let mut found = Vec::new();
    compare("", before, after, DEPTH, &mut found);
    found
}

fn compare<'v>(
    at: &str,
    before: &'v Map<String, Value>,
    after: &'v Map<String, Value>,
    depth: usize,
    found: &mut Vec<Difference<'v>>,
) {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    for name in before.keys().chain(added) {
        let (before, after) = (before.get(name), after.get(name));
        if before == after || found.len() == MOST {
            continue;
        }
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (before, after) {
            (Some(Value::Object(before)), Some(Value::Object(after))) if depth > 0 => {
                compare(&pointer, before, after, depth - 1, found);
            }
            (before, after) => found.push(Difference { pointer, before, after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_differ_are_named_by_where_they_are() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let before = object(r#"{"same":[1],"gone":1,"in":{"x":1,"a/b":2}}"#);
        let after = object(r#"{"same":[1],"in":{"x":2,"a/b":2},"new":null}"#);
        let found = differences(&before, &after);
        let shown: Vec<(&str, bool, bool)> =
            found.iter().map(|found| (found.pointer.as_str(), found.before.is_some(), found.after.is_some())).collect();
        assert_eq!(shown, [("/gone", true, false), ("/in/x", true, true), ("/new", false, true)]);
    }
}
