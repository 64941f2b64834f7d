//! HubSpot: a list by id, and a search with filters, which returns at most 10,000 results of a query.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, ok, time};
use crate::fake::{FakeApi, FakeRequest, json as answer};

/// HubSpot's contacts.
#[derive(Debug)]
pub struct HubSpot {
    contacts: BTreeMap<u64, Value>,
    /// Seconds since the beginning of 2026.
    pub now: u64,
    /// Records in a page. A client may request at most 200.
    pub page: usize,
    /// The most results of one search.
    /// <https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm>
    pub cap: usize,
}

impl Default for HubSpot {
    fn default() -> Self {
        HubSpot { contacts: BTreeMap::new(), now: 0, page: PAGE, cap: 10_000 }
    }
}

impl HubSpot {
    /// Adds or changes a contact, a second later than the last change. An id is a number.
    pub fn put(&mut self, id: &str, email: &str) {
        self.now += 1;
        self.put_now(id, email);
    }

    /// Adds or changes a contact at the time of the last change, as an import or a workflow changes many at once.
    pub fn put_now(&mut self, id: &str, email: &str) {
        let at = time(self.now);
        let contact = json!({
            "id": id, "properties": {"email": email, "hs_object_id": id, "lastmodifieddate": at},
            "createdAt": time(0), "updatedAt": at, "archived": false,
        });
        self.contacts.insert(id.parse().expect("an id of HubSpot is a number"), contact);
    }

    /// Archives a contact: neither list nor search returns it.
    pub fn archive(&mut self, id: &str) {
        self.contacts.remove(&id.parse().expect("an id of HubSpot is a number"));
    }

    /// In the order of ids; `after` is the id to begin with.
    fn list(&self, request: &FakeRequest) -> HttpResponse {
        let size = request.number("limit").map_or(10, |limit| limit as usize).min(self.page);
        let mut rest = self.contacts.range(request.number("after").unwrap_or(0)..).map(|(_, contact)| contact);
        let results: Vec<&Value> = rest.by_ref().take(size).collect();
        let mut answer = json!({"results": results});
        if let Some(next) = rest.next() {
            answer["paging"] = json!({"next": {"after": next["id"]}});
        }
        ok(&answer)
    }

    fn search(&self, body: &Value) -> HttpResponse {
        let groups = body["filterGroups"].as_array().map_or(&[][..], Vec::as_slice);
        let mut found: Vec<&Value> = Vec::new();
        for contact in self.contacts.values() {
            let mut wanted = groups.is_empty();
            for group in groups {
                let filters = group["filters"].as_array().into_iter().flatten();
                let Some(all) = filters.map(|filter| matches(filter, contact)).collect::<Option<Vec<bool>>>() else {
                    return refuse("There was a problem with the request: the filter is not understood");
                };
                wanted |= all.into_iter().all(|matches| matches);
            }
            if wanted {
                found.push(contact);
            }
        }
        // Records that are equal in the sorted property have no guaranteed order.
        found.reverse();
        match body["sorts"].as_array().map_or(&[][..], Vec::as_slice) {
            [] => {}
            [sort] => {
                let property = sort["propertyName"].as_str().unwrap_or_default();
                found.sort_by_key(|contact| number(&contact["properties"][property]));
                if sort["direction"] == "DESCENDING" {
                    found.reverse();
                }
            }
            _ => return refuse("only one sorting rule can be applied to any search"),
        }
        let size = body["limit"].as_u64().map_or(10, |limit| limit as usize).min(200).min(self.page);
        let from: usize = body["after"].as_str().and_then(|after| after.parse().ok()).unwrap_or(0);
        if from + size > self.cap && from > 0 {
            return refuse("the search endpoints are limited to 10,000 total results for any given query");
        }
        let results: Vec<&Value> = found.iter().skip(from).take(size).copied().collect();
        let mut answer = json!({"total": found.len(), "results": results});
        if from + results.len() < found.len() {
            answer["paging"] = json!({"next": {"after": (from + results.len()).to_string()}});
        }
        ok(&answer)
    }
}

impl FakeApi for HubSpot {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        // `/crm/v3` is served beside the dated versions until September 2027.
        let path = request.path.replace("/crm/objects/2026-03/", "/crm/v3/objects/");
        match (request.method.as_str(), path.as_str()) {
            ("GET", "/crm/v3/objects/contacts") => self.list(request),
            ("POST", "/crm/v3/objects/contacts/search") => self.search(&request.json()),
            _ => answer(404, json!({"status": "error", "message": "resource not found"}).to_string()),
        }
    }
}

/// Returns whether a contact matches; `None` if the filter is not supported.
fn matches(filter: &Value, contact: &Value) -> Option<bool> {
    let value = number(&contact["properties"][filter["propertyName"].as_str()?]);
    let bound = number(&filter["value"]);
    bound?;
    Some(match filter["operator"].as_str()? {
        "EQ" => value == bound,
        "GT" => value > bound,
        "GTE" => value >= bound,
        "LT" => value < bound,
        "LTE" => value <= bound,
        _ => return None,
    })
}

/// A number, or a time as Unix milliseconds.
fn number(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()))
}

/// <https://developers.hubspot.com/docs/api-reference/error-handling>
fn refuse(message: &str) -> HttpResponse {
    let body = json!({"status": "error", "category": "VALIDATION_ERROR", "message": message, "correlationId": "c0"});
    answer(400, body.to_string())
}
