//! Kinto: the records of one collection, their changes by time, and what was deleted.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, date};
use crate::fake::{FakeApi, FakeRequest, json as answer, with_header};

/// Unix milliseconds of the beginning of 2026.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// The collection `tickets` in the bucket `hw`.
#[derive(Debug, Default)]
pub struct Kinto {
    /// Records by id. A deleted one stays as a tombstone.
    records: BTreeMap<String, Value>,
    /// Each change has a time of its own. <https://docs.kinto-storage.org/en/stable/api/1.x/timestamps.html>
    serial: u64,
}

impl Kinto {
    /// The bucket.
    pub const BUCKET: &'static str = "hw";
    /// The collection.
    pub const COLLECTION: &'static str = "tickets";

    /// Adds or changes a record.
    pub fn put(&mut self, id: &str, title: &str) {
        self.serial += 1;
        let record = json!({"id": id, "last_modified": BEGIN_MS + self.serial, "title": title});
        self.records.insert(id.to_owned(), record);
    }

    /// Deletes a record.
    pub fn delete(&mut self, id: &str) {
        self.serial += 1;
        let record = json!({"id": id, "last_modified": BEGIN_MS + self.serial, "deleted": true});
        self.records.insert(id.to_owned(), record);
    }

    /// Removes the tombstones, as an operator's `purge-deleted` does.
    pub fn purge(&mut self) {
        self.records.retain(|_, record| record["deleted"] != true);
    }

    /// <https://docs.kinto-storage.org/en/stable/api/1.x/filtering.html> and `pagination.html`.
    fn list(&self, request: &FakeRequest) -> HttpResponse {
        let etag = format!("\"{}\"", BEGIN_MS + self.serial);
        if request.header("if-none-match") == Some(etag.as_str()) {
            return with_header(HttpResponse::new(304, Vec::new(), ""), "ETag", etag);
        }
        let bound = |name: &str| request.query(name).map(|text| text.trim_matches('"').parse::<u64>());
        let (since, token) = match (bound("_since"), bound("_token")) {
            (Some(Err(_)), _) => return invalid("_since in querystring: Invalid value for _since"),
            (_, Some(Err(_))) => return invalid("_token in querystring: Invalid base64"),
            (since, token) => (since.and_then(Result::ok), token.and_then(Result::ok)),
        };
        let at = |record: &Value| record["last_modified"].as_u64().unwrap_or(0);
        let mut found: Vec<&Value> = self.records.values().collect();
        // Tombstones are in the list only where it is filtered by `last_modified`; `_since` leaves its bound out.
        found.retain(|record| since.map_or(record["deleted"] != true, |since| at(record) > since));
        found.sort_by_key(|record| at(record));
        let live = found.iter().filter(|record| record["deleted"] != true).count();
        match request.query("_sort") {
            Some("last_modified") => found.retain(|record| token.is_none_or(|token| at(record) > token)),
            // The order of the collection, unless a client asks for another.
            None | Some("-last_modified") => {
                found.reverse();
                found.retain(|record| token.is_none_or(|token| at(record) < token));
            }
            Some(_) => return invalid("_sort in querystring: Unknown sort field"),
        }
        // The server's own limit (`kinto.paginate_by`) holds whatever a client asks for.
        let limit = request.number("_limit").map_or(PAGE, |limit| (limit as usize).min(PAGE));
        let more = found.len() > limit;
        found.truncate(limit);
        let mut response = answer(200, json!({"data": found}).to_string());
        if let Some(last) = found.last().filter(|_| more) {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(request.query.iter().filter(|(name, _)| name != "_token"));
            query.append_pair("_token", &at(last).to_string());
            let next = format!("https://localhost{}?{}", request.path, query.finish());
            response = with_header(response, "Next-Page", next);
        }
        response = with_header(response, "Total-Records", live.to_string());
        with_header(with_header(response, "ETag", etag), "Date", date(self.serial))
    }
}

impl FakeApi for Kinto {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", ["v1", "buckets", Kinto::BUCKET, "collections", Kinto::COLLECTION, "records"]) => {
                self.list(request)
            }
            // Without permission, Kinto does not say whether the bucket exists.
            _ => error(403, 121, "Forbidden", "This user cannot access this resource."),
        }
    }
}

/// <https://docs.kinto-storage.org/en/stable/api/1.x/errors.html>
fn error(status: u16, errno: u16, error: &str, message: &str) -> HttpResponse {
    let body = json!({"code": status, "errno": errno, "error": error, "message": message});
    answer(status, body.to_string())
}

fn invalid(message: &str) -> HttpResponse {
    error(400, 107, "Invalid parameters", message)
}
