//! The API's own message in a response that refuses a request, in any of the usual shapes.

use serde_json::Value;

/// The longest text that an error quotes, in characters.
const LONGEST: usize = 200;

/// How much of a text is searched for secrets before it is cut to the quoted length, in characters.
const BEFORE_CUT: usize = 8192;

/// The largest body that is searched for a message, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// How many messages of a list an error quotes.
const COMPLAINTS: usize = 3;

/// Members whose text says what is wrong, the clearest first.
const SAYING: [&str; 14] = [
    "error_description",
    "message",
    "Message",
    "errorMessages",
    "errorMessage",
    "error_message",
    "errorSummary",
    "faultstring",
    "detail",
    "title",
    "description",
    "reason",
    "msg",
    "Detail",
];

/// Members that hold what is wrong, as a text, an object or a list; they add to what is said beside them.
const HOLDING: [&str; 6] = ["error", "errors", "Error", "Fault", "fault", "details"];

/// Returns a text as an error quotes it: one line, of limited length.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// Returns the message of a body. It may still be long and contain secrets.
pub(super) fn of(body: &[u8], content_type: Option<&str>) -> Option<String> {
    if body.len() > LARGEST_BODY {
        return None;
    }
    let told = match serde_json::from_slice::<Value>(body) {
        Ok(value) => said(&value, 0).or_else(|| by_member(&value, 0, |value| value.is_array()))?,
        Err(_) if content_type.is_some_and(|kind| kind.trim_start().starts_with("text/plain")) => {
            String::from_utf8_lossy(body).trim().to_owned()
        }
        Err(_) => return None,
    };
    let told: String = told.chars().take(BEFORE_CUT).collect();
    (!told.is_empty()).then_some(told)
}

fn said(value: &Value, depth: usize) -> Option<String> {
    match value {
        _ if depth > 4 => None,
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().filter_map(|one| complaint(one, depth + 1)).take(COMPLAINTS).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        Value::Object(members) => {
            let own = SAYING.iter().find_map(|name| said(members.get(*name)?, depth + 1));
            let held = HOLDING.iter().find_map(|name| complaint(members.get(*name)?, depth + 1));
            match (own, held) {
                (Some(own), Some(held)) if !own.contains(&held) && !held.contains(&own) => {
                    Some(format!("{own}: {held}"))
                }
                (Some(own), _) => Some(own),
                (None, held) => held,
            }
        }
        _ => None,
    }
}

/// Returns the message of a value as [`said`] does; an object without a known member is quoted member by member.
fn complaint(value: &Value, depth: usize) -> Option<String> {
    said(value, depth).or_else(|| by_member(value, depth, |value| value.is_array() || value.is_string()))
}

/// Returns the messages of an object whose members name what they are about, such as `{"summary": "is empty"}`.
fn by_member(value: &Value, depth: usize, counts: impl Fn(&Value) -> bool) -> Option<String> {
    let members = value.as_object()?.iter().filter(|(_, value)| counts(value));
    let told = members.filter_map(|(name, value)| said(value, depth + 1).map(|text| format!("{name}: {text}")));
    let told: Vec<String> = told.take(COMPLAINTS).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_usual_shapes() {
        let json = |body: &str| super::of(body.as_bytes(), None).map(|told| super::line(&told));
        for (body, told) in [
            (r#"{"error":{"code":403,"message":"Denied","errors":[{"message":"Denied"}]}}"#, "Denied"),
            (r#"{"error":"invalid_grant","error_description":"Token is over"}"#, "Token is over: invalid_grant"),
            (r#"{"statusCode":404,"message":"Cannot GET /x","error":"Not Found"}"#, "Cannot GET /x: Not Found"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing"}]}"#,
                "Validation Failed: code: missing, field: title, resource: Issue",
            ),
            (r#"{"errorMessages":["A","B"],"errors":{}}"#, "A; B"),
            (r#"{"errorMessages":[],"errors":{"summary":"Missing."}}"#, "summary: Missing."),
            (r#"{"ok":false,"error":"missing_scope"}"#, "missing_scope"),
            (r#"{"name":["This field is required."]}"#, "name: This field is required."),
            (r#"["a","b","c","d"]"#, "a; b; c"),
            ("{\"message\":\"two\\nlines\"}", "two lines"),
        ] {
            assert_eq!(json(body).map(|told| sorted(&told)).as_deref(), Some(&*sorted(told)), "{body}");
        }
        for body in [
            r#"{"id":"x","token":"t"}"#,
            "{}",
            "[]",
            "null",
            "7",
            r#"{"message":""}"#,
            r#"{"error":{}}"#,
            "<html>no</html>",
            "",
        ] {
            assert_eq!(json(body), None, "{body}");
        }
        assert_eq!(super::of(b"no such key\n", Some("text/plain; charset=utf-8")).as_deref(), Some("no such key"));
        assert_eq!(json(&format!("{{\"message\":\"{}\"}}", "x".repeat(999))).map(|told| told.len()), Some(200));
    }

    /// Members come in the order that a build of `serde_json` keeps.
    fn sorted(text: &str) -> String {
        let mut parts: Vec<&str> = text.split([',', ':']).map(str::trim).collect();
        parts.sort_unstable();
        parts.join(",")
    }
}
