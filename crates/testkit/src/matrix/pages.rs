//! The parts of a page: its records, and what names the next page.

use highwater_template::HttpResponse;
use serde_json::{Map, Value, json};

use super::faults::{Drift, LinkForm, Poison};
use super::subject::Subject;

/// Members by which APIs name the next page.
const NEXT: [&str; 8] =
    ["next_cursor", "nextPageToken", "endCursor", "after", "offset", "next_page_token", "next", "cursor"];

/// Members by which APIs say that there is more, and what says so.
const MORE: [(&str, bool); 3] = [("has_more", true), ("hasNextPage", true), ("isLast", false)];

/// A mark that half a surrogate pair replaces when the body is written.
const SURROGATE: &str = "trial surrogate";

/// How a page names the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A text at this JSON pointer.
    Member(String),
    /// A URL in this header, bare or (`link`) among parameters.
    Header(String),
    /// The last record's id, while a member at this pointer says that there is more.
    LastId(String),
}

/// A page's body, as JSON.
pub(super) fn body(response: &HttpResponse) -> Option<Value> {
    (response.status == 200).then(|| serde_json::from_slice(&response.body).ok())?
}

/// Puts a body into a response.
pub(super) fn put(response: &mut HttpResponse, body: &Value) {
    response.body = body.to_string().replace(SURROGATE, "\\ud83d").into();
}

/// Returns the JSON pointer of a body's records: of the outermost array of objects, or of the outermost empty one.
pub(super) fn list_at(body: &Value) -> Option<String> {
    let mut empty = None;
    let mut level = vec![(String::new(), body)];
    while !level.is_empty() {
        let mut below = Vec::new();
        for (pointer, value) in level {
            match value {
                Value::Array(items) if items.is_empty() => empty = empty.or(Some(pointer)),
                Value::Array(items) if items.iter().all(Value::is_object) => return Some(pointer),
                Value::Object(members) => {
                    below.extend(members.iter().map(|(name, value)| (format!("{pointer}/{name}"), value)));
                }
                _ => {}
            }
        }
        level = below;
    }
    empty
}

/// Returns the records of a page.
pub(super) fn records(body: &mut Value) -> Option<&mut Vec<Value>> {
    let at = list_at(body)?;
    body.pointer_mut(&at)?.as_array_mut()
}

/// Returns what names the next page.
pub(super) fn next(response: &HttpResponse) -> Option<Next> {
    if response.next_link().is_some() {
        return Some(Next::Header("link".to_owned()));
    }
    if response.header("next-page").is_some() {
        return Some(Next::Header("next-page".to_owned()));
    }
    let body = body(response)?;
    let named =
        member(&body, &|name, value| NEXT.contains(&name) && value.as_str().is_some_and(|text| !text.is_empty()));
    let more = member(&body, &|name, value| MORE.iter().any(|(known, more)| *known == name && value == more));
    match (named, more) {
        (Some(pointer), _) => Some(Next::Member(pointer)),
        (None, Some(pointer)) => Some(Next::LastId(pointer)),
        (None, None) => None,
    }
}

/// Returns the pointer of the first wanted member outside of lists.
fn member(body: &Value, wanted: &dyn Fn(&str, &Value) -> bool) -> Option<String> {
    let members = body.as_object()?;
    let here = members.iter().find(|(name, value)| wanted(name, value)).map(|(name, _)| format!("/{name}"));
    here.or_else(|| members.iter().find_map(|(name, value)| Some(format!("/{name}{}", member(value, wanted)?))))
}

/// Returns the text that names the next page.
pub(super) fn next_text(response: &HttpResponse, next: &Next) -> Option<String> {
    match next {
        Next::Member(pointer) => body(response)?.pointer(pointer)?.as_str().map(str::to_owned),
        Next::Header(name) if name == "link" => response.next_link(),
        Next::Header(name) => response.header(name).map(str::to_owned),
        Next::LastId(_) => None,
    }
}

/// Names another next page; `None` makes the page the last.
pub(super) fn set_next(response: &mut HttpResponse, next: &Next, text: Option<&str>) {
    match next {
        Next::Header(name) => {
            response.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if let Some(text) = text {
                let value = if name == "link" { format!("<{text}>; rel=\"next\"") } else { text.to_owned() };
                response.headers.push((name.clone(), value));
            }
        }
        Next::Member(pointer) | Next::LastId(pointer) => {
            let Some(mut body) = body(response) else { return };
            if text.is_none() {
                deny_more(&mut body);
            }
            if let (Next::Member(_), Some(place)) = (next, body.pointer_mut(pointer)) {
                *place = text.map_or(Value::Null, Value::from);
            }
            if let (None, Some(members)) = (text, body.as_object_mut()) {
                // Where the last page lacks the member, the API does not write null.
                members
                    .retain(|name, value| !value.is_null() || name == "next_cursor" || !NEXT.contains(&name.as_str()));
            }
            put(response, &body);
        }
    }
}

fn deny_more(body: &mut Value) {
    let Some(members) = body.as_object_mut() else { return };
    for (name, value) in members {
        match MORE.iter().find(|(known, _)| known == name) {
            Some((_, more)) => *value = json!(!more),
            None => deny_more(value),
        }
    }
}

/// Returns the page without its records and its next page, as an empty list looks.
pub(super) fn emptied(response: &HttpResponse) -> Option<HttpResponse> {
    let mut empty = response.clone();
    if let Some(next) = next(response) {
        set_next(&mut empty, &next, None);
    }
    let mut value = body(&empty)?;
    records(&mut value)?.clear();
    put(&mut empty, &value);
    Some(empty)
}

/// Writes a URL in another form, relative to a page at the same path.
pub(super) fn link(url: &str, form: LinkForm) -> Option<String> {
    let parsed = url::Url::parse(url).ok()?;
    let query = parsed.query().map_or_else(String::new, |query| format!("?{query}"));
    Some(match form {
        LinkForm::Path => format!("{}{query}", parsed.path()),
        LinkForm::Query => query,
        LinkForm::Segment => format!("{}{query}", parsed.path().rsplit('/').next().unwrap_or_default()),
        LinkForm::Quoted => return None,
    })
}

/// Adds a record that cannot be saved, beside one that can.
pub(super) fn poison(response: &mut HttpResponse, subject: &Subject, poison: Poison) -> bool {
    if subject.lists_names && matches!(poison, Poison::Surrogate | Poison::Time) {
        return false;
    }
    let Some(mut value) = body(response) else { return false };
    let Some(list) = records(&mut value) else { return false };
    let Some(sound) = list.first().cloned() else { return false };
    let place = list.len() / 2;
    let mut bad = list.get(place).cloned().unwrap_or(sound);
    let Some(id) = subject.ids_at.iter().find(|pointer| bad.pointer(pointer).is_some()).cloned() else { return false };
    let change =
        |bad: &mut Value, pointer: &str, to: Value| bad.pointer_mut(pointer).map(|place| *place = to).is_some();
    let another = if bad.pointer(&id).is_some_and(Value::is_number) { json!(990_099) } else { json!("trial-poison") };
    let done = match poison {
        Poison::IdNull => change(&mut bad, &id, Value::Null),
        Poison::IdMissing => remove(&mut bad, &id),
        Poison::Surrogate => {
            let parent = id.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
            change(&mut bad, &id, another)
                && bad
                    .pointer_mut(&parent)
                    .and_then(Value::as_object_mut)
                    .map(|members| members.insert("note".to_owned(), json!(SURROGATE)))
                    .is_none_or(|_| true)
        }
        Poison::NotAnObject => {
            bad = json!("maintenance");
            true
        }
        Poison::Time => match &subject.time_at {
            Some(time) => change(&mut bad, &id, another) && change(&mut bad, time, json!("the day before yesterday")),
            None => false,
        },
    };
    if done {
        list.insert(place, bad);
        put(response, &value);
    }
    done
}

/// Removes the member at a pointer.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
    value.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|members| members.remove(name)).is_some()
}

/// Changes the shape of a page, as an API does without notice.
pub(super) fn drift(response: &mut HttpResponse, subject: &Subject, drift: Drift) -> bool {
    let Some(mut value) = body(response) else { return false };
    let Some(at) = list_at(&value) else { return false };
    let Some(list) = value.pointer_mut(&at).and_then(Value::as_array_mut) else { return false };
    if drift == Drift::ListVanishes && subject.lacks_empty_lists {
        return false;
    }
    let mut each = |change: &dyn Fn(&mut Value) -> bool| list.iter_mut().fold(false, |any, item| change(item) | any);
    let id = |item: &Value| subject.ids_at.iter().find(|pointer| item.pointer(pointer).is_some()).cloned();
    let done = match drift {
        Drift::IdVanishes => each(&|item| id(item).is_some_and(|id| remove(item, &id))),
        Drift::IdChangesType => each(&|item| {
            let Some(place) = id(item).and_then(|id| item.pointer_mut(&id)) else { return false };
            *place = json!({ "value": place.clone() });
            true
        }),
        Drift::TimeVanishes => each(&|item| subject.time_at.as_ref().is_some_and(|time| remove(item, time))),
        Drift::ListVanishes => {
            let items = Value::Array(std::mem::take(list));
            match at.rsplit_once('/') {
                Some((parent, name)) => {
                    let Some(members) = value.pointer_mut(parent).and_then(Value::as_object_mut) else { return false };
                    members.remove(name);
                    members.insert(format!("{name}_v2"), items);
                }
                None => value = json!({ "data_v2": items }),
            }
            true
        }
        Drift::ListChangesType => {
            let items: Map<String, Value> =
                std::mem::take(list).into_iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect();
            value.pointer_mut(&at).map(|place| *place = Value::Object(items)).is_some()
        }
    };
    if done {
        put(response, &value);
    }
    done
}

/// Replaces the list by a text, and ends the list there. With `root_object_is_record`, an object in place of the whole body counts
/// as a record, so that the fault could not be noticed.
pub(super) fn list_is_text(response: &mut HttpResponse, root_object_is_record: bool) -> bool {
    if root_object_is_record && body(response).is_some_and(|body| body.is_array()) {
        return false;
    }
    if let Some(next) = next(response) {
        set_next(response, &next, None);
    }
    let Some(mut value) = body(response) else { return false };
    let Some(at) = list_at(&value) else { return false };
    match value.pointer_mut(&at) {
        Some(_) if at.is_empty() => value = json!({"data": "maintenance"}),
        Some(place) => *place = json!("maintenance"),
        None => return false,
    }
    put(response, &value);
    true
}
