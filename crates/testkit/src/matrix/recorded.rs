//! A fake API from recorded exchanges: correct responses of a real API, into which the matrix injects faults.
//!
//! The recordings are those that `highwater templates replay` reads: requests with their responses, and the records that the
//! reference implementation made of them. The matrix changes, copies and removes records within the recorded responses.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::{HttpResponse, Template};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::subject::{Live, SECRET, Subject, TrialApi};
use crate::fake::{FakeApi, FakeRequest, json as answer};

/// The recorded exchanges of one manifest.
#[derive(Debug)]
pub struct Recordings {
    config: Map<String, Value>,
    streams: BTreeMap<String, Arc<Recording>>,
}

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    config: Value,
    streams: BTreeMap<String, Recording>,
}

#[derive(Debug, Deserialize)]
struct Recording {
    #[serde(default)]
    requests: Vec<Exchange>,
    #[serde(default)]
    records: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Exchange {
    method: String,
    url: String,
    #[serde(default)]
    query: Vec<(String, String)>,
    response: Response,
}

#[derive(Clone, Debug, Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
}

impl Recordings {
    /// Reads a file of recordings, with or without gzip.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the file cannot be read, [`ErrorKind::Invalid`] if it is not one of recordings.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source: std::io::Error| {
            Error::new(ErrorKind::NotFound, "the recordings cannot be read: check the path")
                .with("file", path.display())
                .because(source)
        };
        let mut bytes = std::fs::read(path).map_err(unreadable)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let packed = std::mem::take(&mut bytes);
            flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).map_err(unreadable)?;
        }
        let written: Written = serde_json::from_slice(&bytes).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the file is not a file of recordings")
                .with("file", path.display())
                .because(source)
        })?;
        let config = written.config.as_object().cloned().unwrap_or_default();
        let streams = written.streams.into_iter().map(|(name, recording)| (name, Arc::new(recording))).collect();
        Ok(Recordings { config, streams })
    }

    /// Makes a subject of the template of a recorded stream. `None` where the recordings are not enough: a request was answered
    /// twice, or there are fewer than three records with an id of their own in a member `id`.
    pub fn subject(&self, template: Arc<dyn Template>) -> Option<Subject> {
        let info = template.info();
        let recording = Arc::clone(self.streams.get(&info.name)?);
        let model = info.models.first()?.name.clone();
        let sample = RecordedApi::new(&recording, &model)?;
        let urls: Vec<String> = recording.requests.iter().map(|exchange| exchange.url.clone()).collect();
        if sample.live().len() < 3 {
            return None;
        }
        let mut settings: Vec<(String, String)> = Vec::new();
        let mut secrets: Vec<String> = Vec::new();
        for key in &info.config {
            if key.secret {
                secrets.push(key.name.clone());
            } else if let Some(value) = self.config.get(&key.name) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                settings.push((key.name.clone(), text));
            }
        }
        let mut subject = Subject::new(template, move || sample.clone()).secrets(secrets).has_own_limits();
        // A manifest whose records are the whole body takes one object for one record, as the reference does.
        subject.root_object_is_record = true;
        for (name, value) in settings {
            subject = subject.setting(name, value);
        }
        Some(urls.into_iter().fold(subject, Subject::origin))
    }

    /// Returns the names of the recorded streams.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.streams.keys().map(String::as_str)
    }
}

/// The recorded responses, with what the matrix changed in them.
#[derive(Clone, Debug)]
struct RecordedApi {
    exchanges: Vec<Exchange>,
    model: String,
    /// Ids in the order they were recorded.
    ids: Vec<Value>,
    live: Live,
}

impl RecordedApi {
    fn new(recording: &Recording, model: &str) -> Option<Self> {
        let ids: Vec<Value> =
            recording.records.iter().map(|record| record.get("id").cloned()).collect::<Option<_>>()?;
        let keys: Vec<String> = ids.iter().map(text_of).collect::<Option<_>>()?;
        let live: Live = keys.iter().map(|id| ((model.to_owned(), id.clone()), String::new())).collect();
        let api = RecordedApi { exchanges: recording.requests.clone(), model: model.to_owned(), ids, live };
        let found = |id: &Value| api.exchanges.iter().any(|exchange| holds(&exchange.response.body, id));
        let twice =
            (1..api.exchanges.len()).any(|n| api.exchanges[..n].iter().any(|other| other.same(&api.exchanges[n])));
        (api.live.len() == api.ids.len() && api.ids.iter().all(found) && !twice).then_some(api)
    }

    /// Changes the listed item of a record in every answer that has it.
    fn edit(&mut self, id: &Value, change: &dyn Fn(&mut Vec<Value>, usize)) {
        for exchange in &mut self.exchanges {
            edit(&mut exchange.response.body, id, change);
        }
    }
}

impl Exchange {
    fn same(&self, other: &Exchange) -> bool {
        let sorted = |exchange: &Exchange| {
            let mut query = exchange.query.clone();
            query.sort();
            query
        };
        self.method == other.method && self.url == other.url && sorted(self) == sorted(other)
    }

    /// Whether a request is the recorded one, but for what a secret stands in.
    fn answers(&self, request: &FakeRequest) -> bool {
        let path = url::Url::parse(&self.url).map(|url| url.path().to_owned()).unwrap_or_default();
        let recorded_query: BTreeMap<&String, &String> = self.query.iter().map(|(name, value)| (name, value)).collect();
        let path_fits = FakeRequest::of(&highwater_template::HttpRequest::get(&self.url)).path == request.path
            || path == request.path;
        let is_secret = |value: &str| value.contains(SECRET);
        let same = request.query.len() == recorded_query.len()
            && request
                .query
                .iter()
                .all(|(name, value)| recorded_query.get(name).is_some_and(|known| *known == value || is_secret(value)));
        self.method == request.method && path_fits && same
    }
}

impl FakeApi for RecordedApi {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let Some(exchange) = self.exchanges.iter().find(|exchange| exchange.answers(request)) else {
            return answer(404, r#"{"message":"this request was not recorded"}"#);
        };
        let response = &exchange.response;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let unpacked = |name: &str| {
            !["content-encoding", "content-length", "transfer-encoding"].contains(&name.to_lowercase().as_str())
        };
        let headers =
            response.headers.iter().filter(|(name, _)| unpacked(name)).map(|(name, value)| (name.clone(), text(value)));
        HttpResponse::new(response.status, headers.collect(), text(&response.body))
    }
}

impl TrialApi for RecordedApi {
    fn live(&self) -> Live {
        self.live.clone()
    }

    fn change(&mut self, round: u32) {
        let (Some(first), Some(second)) = (self.ids.first().cloned(), self.ids.get(1).cloned()) else { return };
        let text = format!("Größe {round}");
        self.edit(&first, &|items, place| items[place]["trial"] = json!(text));
        let new = if second.is_number() { json!(9_900_000 + round) } else { json!(format!("trial-{round}")) };
        self.edit(&second, &|items, place| {
            let mut copy = items[place].clone();
            copy["id"] = new.clone();
            items.insert(place + 1, copy);
        });
        let key = |id: &Value| (self.model.clone(), text_of(id).unwrap_or_default());
        let (first, new) = (key(&first), key(&new));
        self.live.insert(first, text);
        self.live.insert(new, String::new());
    }

    fn delete(&mut self, round: u32) {
        // From the end; what is edited and copied stays.
        let place = self.ids.len().saturating_sub(round as usize);
        if place < 2 {
            return;
        }
        let Some(id) = self.ids.get(place).cloned() else { return };
        self.edit(&id, &|items, place| drop(items.remove(place)));
        self.live.remove(&(self.model.clone(), text_of(&id).unwrap_or_default()));
    }
}

/// An id as a text.
fn text_of(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether an item with this id is listed in a body.
fn holds(body: &Value, id: &Value) -> bool {
    match body {
        Value::Array(items) => {
            items.iter().any(|item| item.get("id") == Some(id))
                || items.iter().any(|item| item.is_array() && holds(item, id))
        }
        Value::Object(members) => members.values().any(|value| holds(value, id)),
        _ => false,
    }
}

/// Changes the list that has an item with this id; the outermost one.
fn edit(body: &mut Value, id: &Value, change: &dyn Fn(&mut Vec<Value>, usize)) -> bool {
    match body {
        Value::Array(items) => match items.iter().position(|item| item.get("id") == Some(id)) {
            Some(place) => {
                change(items, place);
                true
            }
            None => false,
        },
        Value::Object(members) => members.values_mut().any(|value| edit(value, id, change)),
        _ => false,
    }
}
