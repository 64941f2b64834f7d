//! Unexpected behaviour of APIs: the switches of the trial matrix that apply here. The matrix names the
//! document or the report that each is modelled on (`crates/testkit/src/matrix/catalogue.rs`).

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::DateTime;
use highwater_template::{HttpRequest, HttpResponse};

use crate::plan::Knob;
use crate::shared::Shared;
use highwater_core::locks::lock;

/// A path with this prefix stands for the path after it.
const MOVED: &str = "/moved/";

/// One hour: a clock that is further from the API's counts as a separate hazard.
const HOUR_MS: u64 = 3_600_000;

/// Records that cannot be saved.
const POISON: [(&str, &str); 4] = [
    ("record without an id", r#"{"id":null,"version":1,"value":1,"kind":"x","updated":1}"#),
    (
        "record with half a surrogate pair",
        r#"{"id":"poison","note":"\ud83d","version":1,"value":1,"kind":"x","updated":1}"#,
    ),
    ("record that is not an object", r#""maintenance""#),
    ("record with an unknown time", r#"{"id":null,"version":1,"value":1,"kind":"x","updated":"yesterday"}"#),
];

/// The last page of each list, as returned.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<BTreeMap<String, String>>);

/// Undoes a redirect in a request.
pub(crate) fn arrived(request: &mut HttpRequest) {
    request.url = request.url.replacen(MOVED, "/", 1);
}

/// An answer that does not match the request.
pub(crate) fn instead(shared: &Shared, request: &HttpRequest) -> Option<HttpResponse> {
    if shared.chance(Knob::Redirects, 8) && !request.url.contains(MOVED) {
        return Some(redirect(shared, request));
    }
    if shared.chance(Knob::Unasked, 3) {
        shared.reached("unrequested 304");
        return Some(HttpResponse::new(304, Vec::new(), ""));
    }
    if shared.chance(Knob::Limits, 8) {
        return Some(limit(shared));
    }
    if shared.chance(Knob::NoList, 3) {
        let (hazard, body) = [
            ("HTML page", "<html><body>We are working on it</body></html>"),
            ("text in place of a list", r#"{"items":"maintenance","deleted":[],"next":null,"token":0}"#),
        ][shared.below(2)];
        shared.reached(hazard);
        return Some(HttpResponse::new(200, Vec::new(), body));
    }
    None
}

/// Redirects (<https://www.rfc-editor.org/rfc/rfc9110#section-15.4>), with an empty list as their body.
fn redirect(shared: &Shared, request: &HttpRequest) -> HttpResponse {
    let empty = r#"{"items":[],"deleted":[],"next":null,"token":0}"#;
    let to = |status, to: String| HttpResponse::new(status, vec![("Location".to_owned(), to)], empty);
    let (origin, rest) = request.url.split_at(request.url.find(".example/").map_or(0, |at| at + ".example".len()));
    match shared.below(10) {
        0 => {
            shared.reached("redirect to itself");
            to(302, request.url.clone())
        }
        1 => {
            shared.reached("redirect without a target");
            HttpResponse::new(302, Vec::new(), empty)
        }
        2 => {
            shared.reached("redirect to another origin");
            to(307, format!("https://stranger.example{rest}"))
        }
        _ => {
            shared.reached("redirect within the origin");
            let moved = format!("{MOVED}{}", rest.trim_start_matches('/'));
            let moved = if shared.below(2) == 0 { moved } else { format!("{origin}{moved}") };
            to([301, 302, 307, 308][shared.below(4)], moved)
        }
    }
}

/// Limits (<https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>; the reset is GitHub's:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>).
fn limit(shared: &Shared) -> HttpResponse {
    let now_ms = shared.true_ms();
    let wait = shared.below(30) as u64;
    let answer = |status, headers: &[(&str, String)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let date = ("Date".to_owned(), http_date(now_ms));
        HttpResponse::new(status, headers.chain([date]).collect(), "slow down")
    };
    if matches!(shared.below(6), 1 | 4) && shared.skew_ms() > HOUR_MS {
        shared.reached("limit by another clock");
        return answer(429, &[("Retry-After", http_date(now_ms + wait * 1000))]);
    }
    let (hazard, response) = match shared.below(6) {
        0 => ("limit by seconds", answer(429, &[("Retry-After", wait.to_string())])),
        1 => ("limit by a date", answer(429, &[("Retry-After", http_date(now_ms + wait * 1000))])),
        2 => ("limit without a time", answer(429, &[])),
        3 => ("limit of zero seconds", answer(429, &[("Retry-After", "0".to_owned())])),
        4 => {
            let reset = (now_ms / 1000 + wait).to_string();
            (
                "limit by a reset",
                answer(403, &[("X-RateLimit-Remaining", "0".to_owned()), ("X-RateLimit-Reset", reset)]),
            )
        }
        _ => {
            let status = [503, 408, 409, 423, 425][shared.below(5)];
            ("limit by another status", answer(status, &[("Retry-After", wait.to_string())]))
        }
    };
    shared.reached(hazard);
    response
}

fn http_date(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl Pages {
    /// Changes a page: a repeat of the one before, its last record again, a cap, a record that cannot be saved.
    pub(crate) fn changed(&self, shared: &Shared, request: &HttpRequest, mut answer: HttpResponse) -> HttpResponse {
        let list = request.url.split('?').next().unwrap_or_default().to_owned();
        let is_listing = list.ends_with("/keyset") || list.ends_with("/snapshot");
        let Some(body) = std::str::from_utf8(&answer.body).ok().filter(|_| answer.status == 200).map(str::to_owned)
        else {
            return answer;
        };
        let mut body = body;
        if is_listing {
            let mut pages = lock(&self.0);
            // A repeated page is older than what a webhook may have written in the meantime.
            let before = pages.get(&list).cloned().filter(|_| !shared.plan.has(Knob::Webhooks));
            let goes_on =
                before.filter(|before| !before.contains(r#""next":null"#) && !request.url.ends_with("after="));
            if let Some(before) = goes_on {
                if shared.chance(Knob::Repeats, 6) {
                    shared.reached("page repeated");
                    answer.body = before.into();
                    return answer;
                }
                if let Some(last) = last_record(&before).filter(|_| shared.chance(Knob::Repeats, 10)) {
                    shared.reached("duplicate across pages");
                    body = with_record(&body, last);
                }
            }
            pages.insert(list.clone(), body.clone());
        }
        if is_listing
            && shared.chance(Knob::Caps, 6)
            && let Some(capped) = capped(&body)
        {
            shared.reached("capped list that says so");
            body = capped;
        }
        if !list.ends_with("/offset") && body.contains(r#""items":[{"#) && shared.chance(Knob::Poison, 10) {
            let (hazard, record) = POISON[shared.below(POISON.len())];
            shared.reached(hazard);
            body = with_record(&body, record);
        }
        answer.body = body.into();
        answer
    }
}

/// The last record of a page in its plain spelling.
fn last_record(body: &str) -> Option<&str> {
    let items = body.split_once(r#""items":["#)?.1.split_once(r#"],"deleted""#)?.0;
    let begin = items.rfind(r#"{"id":"#)?;
    let record = &items[begin..];
    record.ends_with('}').then_some(record)
}

/// A page that begins with one more record, unless it is empty.
fn with_record(body: &str, record: &str) -> String {
    body.replacen(r#""items":[{"#, &format!(r#""items":[{record},{{"#), 1)
}

/// A page that says that it is the last, and that the list is incomplete.
fn capped(body: &str) -> Option<String> {
    let (head, rest) = body.split_at(body.rfind(r#""next":"#)?);
    let (_, tail) = rest.split_at(rest.find(r#","token":"#)?);
    if rest.starts_with(r#""next":null"#) {
        return None;
    }
    Some(format!(r#"{head}"next":null,"incomplete":true{tail}"#))
}
