//! The API, with its fault switched on and off.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use highwater_template::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::faults::{Fault, LinkForm, Reach, Switch, Wire};
use super::pages;
use super::subject::{SECRET, Subject, TrialApi};
use crate::fake::{FakeRequest, NO_ANSWER, json as answer, with_header};
use highwater_core::locks::lock;

/// A path with this prefix stands for the path after it.
const MOVED: &str = "/trial-moved";

/// The prefix of page names that the fault of ever new pages makes up.
const FRESH: &str = "trialfresh";

/// The prefix of page names that stand for an empty page before the named one.
const EMPTY: &str = "trialempty";

/// Where in a run the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Middle,
    Last,
}

/// What a fault did in a trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// How often it took effect.
    pub(super) hits: u32,
    /// Whether a redirect that changes the method hit a request with a body: the run may fail.
    pub(super) method_lost: bool,
    /// A request came before the time that a response gave: seconds that it waited, and seconds that were asked for.
    pub(super) hurried: Option<(u64, u64)>,
}

/// The API behind its fault.
pub(super) struct Hostile {
    subject: Subject,
    fault: Fault,
    state: Mutex<State>,
}

struct State {
    api: Box<dyn TrialApi>,
    on: bool,
    /// Requests of this run, and the first of them with the fault.
    count: u32,
    begin: u32,
    effects: Effects,
    /// The page that the fault works with.
    page: Option<HttpResponse>,
    /// The first page of each list, by its path.
    first_pages: BTreeMap<String, HttpResponse>,
    last_record: BTreeMap<String, Value>,
    /// Requests that were redirected, by their new URL.
    moved: BTreeMap<String, String>,
    serial: u32,
    quiet: Option<(Instant, u64)>,
}

impl Hostile {
    pub(super) fn new(subject: &Subject, fault: &Fault, api: Box<dyn TrialApi>) -> Self {
        let state = State {
            api,
            on: false,
            count: 0,
            begin: 0,
            effects: Effects::default(),
            page: None,
            first_pages: BTreeMap::new(),
            last_record: BTreeMap::new(),
            moved: BTreeMap::new(),
            serial: 0,
            quiet: None,
        };
        Hostile { subject: subject.clone(), fault: *fault, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Switches the fault on for a run that would take `sound` requests without it, or off.
    pub(super) fn switch(&self, on: Option<(Place, u32)>) {
        let mut state = self.state();
        state.on = on.is_some();
        state.count = 0;
        state.page = None;
        state.first_pages.clear();
        state.last_record.clear();
        state.quiet = None;
        state.begin = match on {
            Some((Place::Middle, sound)) => sound / 2,
            Some((Place::Last, sound)) => sound.saturating_sub(1),
            _ => 0,
        };
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut dyn TrialApi) -> T) -> T {
        look(self.state().api.as_mut())
    }

    pub(super) fn effects(&self) -> Effects {
        self.state().effects.clone()
    }

    /// Returns the response to a request. `now_ms` is the server's time.
    pub(super) fn answer(&self, mut request: HttpRequest, now_ms: u64) -> HttpResponse {
        let mut state = self.state();
        let state = &mut *state;
        if let Some((since, seconds)) = state.quiet.take() {
            let waited = since.elapsed().as_secs();
            if waited < seconds {
                state.effects.hurried = Some((waited, seconds));
            }
        }
        let place = state.count;
        state.count += 1;
        if !state.on {
            return self.dated(self.sound(state, &request), now_ms);
        }
        if let Some(refused) = self.arrived(state, &mut request) {
            return self.dated(refused, now_ms);
        }
        let met = match self.fault.reach {
            Reach::Every => true,
            Reach::Some(requests) => place >= state.begin && place < state.begin + requests,
        };
        let response = if met { self.hostile(state, &request, now_ms) } else { self.sound(state, &request) };
        self.dated(response, now_ms)
    }

    fn sound(&self, state: &mut State, request: &HttpRequest) -> HttpResponse {
        state.api.answer(&FakeRequest::of(request))
    }

    fn dated(&self, response: HttpResponse, now_ms: u64) -> HttpResponse {
        match response.header("date") {
            Some(_) => response,
            None => with_header(response, "Date", http_date(now_ms / 1000)),
        }
    }

    /// Removes what an earlier response of the fault put into the request.
    fn arrived(&self, state: &mut State, request: &mut HttpRequest) -> Option<HttpResponse> {
        if let Some(method) = state.moved.get(&request.url) {
            let lost = *method != request.method;
            request.url = request.url.replacen(MOVED, "", 1);
            if lost {
                return Some(answer(405, r#"{"message":"method not allowed"}"#));
            }
            return Some(self.sound(state, request));
        }
        let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        if request.url.contains(EMPTY) || body.contains(EMPTY) {
            let mut page = state.page.clone()?;
            let next = pages::next(&page)?;
            let text = pages::next_text(&page, &next)?.replacen(EMPTY, "", 1);
            let text = text.strip_suffix("&trial=1").unwrap_or(&text).to_owned();
            let mut value = pages::body(&page)?;
            pages::records(&mut value)?.clear();
            pages::put(&mut page, &value);
            pages::set_next(&mut page, &next, Some(&text));
            return Some(page);
        }
        if request.url.contains(FRESH) || body.contains(FRESH) {
            return fresh(state);
        }
        None
    }

    fn hostile(&self, state: &mut State, request: &HttpRequest, now_ms: u64) -> HttpResponse {
        let fake = FakeRequest::of(request);
        let lists = (self.subject.holds_records)(&fake);
        let changed = match self.fault.switch {
            Switch::Answer(304, ..) if validated(&fake) => None,
            Switch::Answer(403, _, body) if body.contains("secondary") && self.subject.provider().name != "github" => {
                None
            }
            // Only the manifest says whether a 403 is a limit.
            Switch::Answer(403, headers, _) if self.subject.has_own_limits && headers.len() > 1 => None,
            Switch::Answer(status, headers, body) => {
                if self.fault.wait_s > 0 && !self.subject.has_own_limits {
                    state.quiet = Some((Instant::now(), self.fault.wait_s));
                }
                let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), filled(value, now_ms)));
                Some(HttpResponse::new(status, headers.collect(), body))
            }
            Switch::LimitTold => self.subject.limit_told.map(|answer| answer()),
            Switch::TokenEndTold => self.subject.token_end_told.map(|answer| answer()),
            // An API can only repeat what it was sent.
            Switch::EchoSecret if !self.subject.credentials().can_sign_in() && self.subject.secrets.is_empty() => None,
            Switch::EchoSecret => Some(answer(
                400,
                json!({"message": format!("bad token {SECRET}"), "error": {"message": SECRET}}).to_string(),
            )),
            Switch::Lost => {
                self.sound(state, request);
                Some(HttpResponse::new(NO_ANSWER, Vec::new(), ""))
            }
            Switch::Redirect(status) => self.redirect(state, request, status),
            Switch::RedirectLoop => self.relocated(state, request, 302, &request.url),
            Switch::RedirectNowhere(status) => self.relocated(state, request, status, ""),
            Switch::RedirectAway(status) => {
                let away = Url::parse(&request.url).map(|url| url[url::Position::BeforePath..].to_owned());
                self.relocated(state, request, status, &format!("https://stranger.example{}", away.unwrap_or_default()))
            }
            Switch::Skew(_) if state.effects.hits > 0 => None,
            Switch::Skew(_) => {
                if !self.subject.has_own_limits {
                    state.quiet = Some((Instant::now(), 2));
                }
                let reset = with_header(answer(429, "{}"), "x-ratelimit-reset", (now_ms / 1000 + 3).to_string());
                Some(with_header(reset, "x-ratelimit-remaining", "0"))
            }
            _ => {
                let mut response = self.sound(state, request);
                if self.change(state, request, &mut response, lists) {
                    state.effects.hits += 1;
                }
                return response;
            }
        };
        match changed {
            Some(response) => {
                state.effects.hits += 1;
                response
            }
            None => self.sound(state, request),
        }
    }

    /// Puts the fault into a correct response. Returns whether the response has a place for it.
    fn change(&self, state: &mut State, request: &HttpRequest, response: &mut HttpResponse, lists: bool) -> bool {
        let subject = &self.subject;
        match self.fault.switch {
            Switch::Restatus(status) if response.status == 200 => {
                response.status = status;
                true
            }
            Switch::Truncated => {
                response.body.truncate(response.body.len() / 2);
                !response.body.is_empty()
            }
            Switch::Poison(kind) => lists && pages::poison(response, subject, kind),
            Switch::Drift(kind) => lists && pages::drift(response, subject, kind),
            Switch::ListIsText => lists && pages::list_is_text(response, subject.root_object_is_record),
            Switch::PartialErrors => partial(response),
            Switch::Capped { told } => lists && self.cap(response, told),
            Switch::Links(form) => relink(response, form),
            Switch::Duplicates => lists && duplicate(state, request, response),
            Switch::EmptyPage => lists && empty(state, response),
            Switch::Repeats => lists && repeat(state, request, response),
            Switch::EverNew => {
                let named = pages::next(response).is_some_and(|next| pages::next_text(response, &next).is_some());
                if !named || !lists {
                    return false;
                }
                state.page = Some(response.clone());
                fresh(state).map(|page| *response = page).is_some()
            }
            Switch::Ties => subject.make_tied.is_some(),
            Switch::Wire(Wire::GzipEmpty(0)) if !(response.body.is_empty() && response.status == 304) => false,
            Switch::Wire(_) => {
                response.headers.push((super::wire::MARK.to_owned(), "1".to_owned()));
                true
            }
            _ => false,
        }
    }

    fn cap(&self, response: &mut HttpResponse, told: bool) -> bool {
        let Some(next) = pages::next(response) else { return false };
        if !told {
            pages::set_next(response, &next, None);
            return true;
        }
        let Some(mark) = self.subject.incomplete else { return false };
        pages::set_next(response, &next, None);
        let Some(mut body) = pages::body(response) else { return false };
        mark(&mut body);
        pages::put(response, &body);
        true
    }

    fn redirect(&self, state: &mut State, request: &HttpRequest, status: u16) -> Option<HttpResponse> {
        let url = Url::parse(&request.url).ok()?;
        let origin = url.origin().ascii_serialization();
        let rest = &url[url::Position::BeforePath..];
        // A path is a valid target (RFC 9110, 10.2.2).
        let target = format!("{MOVED}{rest}");
        state.moved.insert(format!("{origin}{target}"), request.method.clone());
        state.effects.method_lost |= request.method != "GET" && matches!(status, 301 | 302);
        let location = if status % 2 == 1 { format!("{origin}{target}") } else { target };
        Some(with_header(answer(status, "{}"), "Location", location))
    }

    /// A redirect whose body looks like an empty list.
    fn relocated(&self, state: &mut State, request: &HttpRequest, status: u16, to: &str) -> Option<HttpResponse> {
        let sound = self.sound(state, request);
        let mut response = pages::emptied(&sound).unwrap_or(sound);
        response.status = status;
        Some(if to.is_empty() { response } else { with_header(response, "Location", to) })
    }
}

/// Returns the first page again, with another name of the next one.
fn fresh(state: &mut State) -> Option<HttpResponse> {
    let mut page = state.page.clone()?;
    let next = pages::next(&page)?;
    state.serial += 1;
    let text = match pages::next_text(&page, &next)? {
        url if url.starts_with("http") => format!("{url}&{FRESH}={}", state.serial),
        _ => format!("{FRESH}{}", state.serial),
    };
    pages::set_next(&mut page, &next, Some(&text));
    Some(page)
}

fn repeat(state: &mut State, request: &HttpRequest, response: &mut HttpResponse) -> bool {
    if pages::body(response).is_none_or(|body| pages::list_at(&body).is_none()) {
        return false;
    }
    match state.first_pages.entry(FakeRequest::of(request).path) {
        Entry::Occupied(first) => {
            response.clone_from(first.get());
            true
        }
        Entry::Vacant(place) => {
            if pages::next(response).is_some() {
                place.insert(response.clone());
            }
            false
        }
    }
}

fn duplicate(state: &mut State, request: &HttpRequest, response: &mut HttpResponse) -> bool {
    let path = FakeRequest::of(request).path;
    let Some(mut value) = pages::body(response) else { return false };
    let Some(list) = pages::records(&mut value) else { return false };
    let Some(last) = list.last().cloned() else { return false };
    match state.last_record.insert(path, last) {
        Some(before) => list.insert(0, before),
        None => return false,
    }
    pages::put(response, &value);
    true
}

fn empty(state: &mut State, response: &mut HttpResponse) -> bool {
    let Some(next) = pages::next(response) else { return false };
    let Some(text) = pages::next_text(response, &next) else { return false };
    let text = if text.starts_with("http") { format!("{text}&{EMPTY}trial=1") } else { format!("{EMPTY}{text}") };
    pages::set_next(response, &next, Some(&text));
    state.page = Some(response.clone());
    true
}

fn validated(request: &FakeRequest) -> bool {
    request.header("if-none-match").is_some() || request.header("if-modified-since").is_some()
}

/// Adds an error beside the data of a GraphQL response, if it is one.
fn partial(response: &mut HttpResponse) -> bool {
    let Some(mut value) = pages::body(response) else { return false };
    let is_graphql = value.get("data").is_some_and(Value::is_object);
    if is_graphql {
        value["errors"] = json!([{"message": "trial partial fault"}]);
        pages::put(response, &value);
    }
    is_graphql
}

fn relink(response: &mut HttpResponse, form: LinkForm) -> bool {
    let Some(next) = pages::next(response) else { return false };
    let Some(url) = pages::next_text(response, &next).filter(|text| text.starts_with("http")) else { return false };
    if form == LinkForm::Quoted {
        let Some(place) = response.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("link")) else {
            return false;
        };
        place.1 = format!(
            "<https://docs.example/a,b;c>; rel=\"help\"; title=\"x <y>, z\", <{url}>; title=\"a <b>; rel=\\\"last\\\"\"; rel=\"next\""
        );
        return true;
    }
    pages::link(&url, form).map(|text| pages::set_next(response, &next, Some(&text))).is_some()
}

/// Fills times into a header's value.
fn filled(value: &str, now_ms: u64) -> String {
    let number = |kind: &str| value.strip_prefix(kind)?.strip_suffix('}')?.parse::<u64>().ok();
    match (number("{now+"), number("{date+")) {
        (Some(seconds), _) => (now_ms / 1000 + seconds).to_string(),
        (_, Some(seconds)) => http_date(now_ms / 1000 + seconds),
        _ => value.to_owned(),
    }
}

fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}
