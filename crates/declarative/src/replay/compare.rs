//! Compares requests, records and states, and describes the first difference.

use bytes::Bytes;
use highwater_interpolation::{Value, python_text};
use highwater_template::HttpRequest;
use highwater_template::http::unescape;

use super::cassette::RecordedRequest;

/// The first difference of a request.
pub(super) fn requests(recorded: &RecordedRequest, ours: &HttpRequest) -> Option<String> {
    if !recorded.method.eq_ignore_ascii_case(&ours.method) {
        return differ("method", &recorded.method, &ours.method);
    }
    let (url, mut query) = split(&ours.url);
    query.extend(ours.query.iter().cloned());
    let (recorded_url, mut recorded_query) = split(&recorded.url);
    recorded_query.extend(recorded.query.iter().cloned());
    if normal_url(&recorded_url) != normal_url(&url) {
        return differ("url", &recorded_url, &url);
    }
    query.sort();
    recorded_query.sort();
    if query != recorded_query {
        return differ("query", &fields(&recorded_query), &fields(&query));
    }
    for (name, value) in &recorded.headers {
        let value = python_text(value);
        let ours =
            ours.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        if ours != Some(value.as_str()) {
            return differ(&format!("header {name}"), &value, ours.unwrap_or("(none)"));
        }
    }
    bodies(&recorded.body, ours.body.as_deref().unwrap_or_default())
}

fn bodies(recorded: &Value, ours: &[u8]) -> Option<String> {
    let ours = String::from_utf8_lossy(ours).into_owned();
    let recorded = match recorded {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if recorded == ours {
        return None;
    }
    let json =
        |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    if let (Some(left), Some(right)) = (json(&recorded), json(&ours)) {
        if same(&left, &right) {
            return None;
        }
        return differ("body", &recorded, &ours);
    }
    let form = |text: &str| {
        let (_, mut pairs) = split(&format!("?{text}"));
        pairs.sort();
        pairs
    };
    if recorded.contains('=') && form(&recorded) == form(&ours) {
        return None;
    }
    differ("body", &recorded, &ours)
}

/// Whether two recorded requests are the same.
pub(super) fn same_recorded(left: &RecordedRequest, right: &RecordedRequest) -> bool {
    left.method == right.method
        && left.url == right.url
        && left.query == right.query
        && left.headers == right.headers
        && left.body == right.body
}

pub(super) fn shown(recorded: &RecordedRequest) -> String {
    shortened(&format!("{} {} {}", recorded.method, recorded.url, fields(&recorded.query)))
}

/// The first difference of the records.
pub(super) fn records(recorded: &[Value], ours: &[Bytes]) -> Option<String> {
    for (place, expected) in recorded.iter().enumerate() {
        let Some(ours) = ours.get(place) else { break };
        let Ok(mut found) = serde_json::from_slice::<Value>(ours) else {
            return Some(format!("record {} is not JSON", place + 1));
        };
        if let (Some(found), Some(expected)) = (found.as_object_mut(), expected.as_object()) {
            // The reference leaves out members that are null when it writes a record.
            found.retain(|name, value| !value.is_null() || expected.contains_key(name));
        }
        if let Some(difference) = difference(expected, &found, "") {
            return Some(format!("record {}: {difference}", place + 1));
        }
    }
    if recorded.len() != ours.len() {
        return differ("number of records", &recorded.len().to_string(), &ours.len().to_string());
    }
    None
}

/// The first difference of the final states.
pub(super) fn states(recorded: &Value, ours: &Value) -> Option<String> {
    fn without_time(state: &Value) -> Value {
        let mut state = state.clone();
        if let Some(members) = state.as_object_mut().filter(|members| members.contains_key("use_global_cursor")) {
            members.shift_remove("lookback_window");
            // Parents that are partitioned have a time of their own.
            for parent in members.get_mut("parent_state").and_then(Value::as_object_mut).into_iter().flatten() {
                *parent.1 = without_time(parent.1);
            }
        }
        state
    }
    difference(&without_time(recorded), &without_time(ours), "").map(|difference| format!("state: {difference}"))
}

fn difference(expected: &Value, found: &Value, path: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                let path = format!("{path}/{name}");
                match right.get(name) {
                    Some(other) => {
                        if let Some(difference) = difference(value, other, &path) {
                            return Some(difference);
                        }
                    }
                    None => return differ(&path, &value.to_string(), "(none)"),
                }
            }
            let added = right.keys().find(|name| !left.contains_key(name))?;
            differ(&format!("{path}/{added}"), "(none)", &right.get(added).map(ToString::to_string).unwrap_or_default())
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(place, (left, right))| difference(left, right, &format!("{path}/{place}")))
        }
        _ if same(expected, found) => None,
        _ => differ(if path.is_empty() { "value" } else { path }, &expected.to_string(), &found.to_string()),
    }
}

/// Equal values; whole numbers and floats stay apart, as they do in Python's JSON.
fn same(left: &Value, right: &Value) -> bool {
    left == right
}

fn differ(what: &str, expected: &str, found: &str) -> Option<String> {
    Some(format!("{what} is {}, not {}", shortened(found), shortened(expected)))
}

fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn fields(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A URL's part before the query, and its decoded query.
fn split(url: &str) -> (String, Vec<(String, String)>) {
    let Some((url, query)) = url.split_once('?') else { return (url.to_owned(), Vec::new()) };
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (unescape(name), unescape(value)),
        None => (unescape(pair), String::new()),
    };
    (url.to_owned(), pairs.map(pair).collect())
}

/// Escapes, a missing path, and the case of scheme and host do not make a difference.
fn normal_url(url: &str) -> String {
    let url = unescape(&url.replace('+', "%2B"));
    let Some((scheme, rest)) = url.split_once("://") else { return url };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn the_case_of_a_host_and_the_time_of_a_read_are_no_differences() {
        for (left, right) in [
            ("https://API.Example", "https://api.example/"),
            ("HTTPS://Api.example/v1/Things", "https://api.example/v1/Things"),
        ] {
            assert_eq!(normal_url(left), normal_url(right));
        }
        assert_ne!(normal_url("https://api.example/A"), normal_url("https://api.example/a"));
        let state = |seconds: u32| {
            let parent = json!({"use_global_cursor": false, "lookback_window": seconds, "states": []});
            json!({"use_global_cursor": true, "lookback_window": seconds, "parent_state": {"p": parent, "q": {"at": "x"}}})
        };
        assert_eq!(states(&state(1), &state(2)), None);
        let other = json!({"use_global_cursor": true, "parent_state": {"p": {"at": "y"}}});
        assert!(states(&state(1), &other).is_some());
    }
}
