//! HubSpot: a list by id, and a search by the time of the last change.

use std::collections::BTreeMap;

use highwater_core::template::HttpResponse;
use serde_json::{Value, json};

use super::{ok, page, refuse, time};
use crate::fake::{FakeApi, FakeRequest};

/// HubSpot's contacts.
#[derive(Debug, Default)]
pub struct HubSpot {
    contacts: BTreeMap<String, (u64, Value)>,
    /// Seconds since the beginning of 2026.
    pub now: u64,
}

impl HubSpot {
    /// Adds or changes a contact, a second later than the last change.
    pub fn put(&mut self, id: &str, email: &str) {
        self.now += 1;
        let at = time(self.now);
        let contact = json!({
            "id": id, "properties": {"email": email, "lastmodifieddate": at}, "createdAt": time(0), "updatedAt": at,
            "archived": false,
        });
        self.contacts.insert(id.to_owned(), (self.now, contact));
    }

    /// Archives a contact: neither list nor search has it any more.
    pub fn archive(&mut self, id: &str) {
        self.contacts.remove(id);
    }
}

impl FakeApi for HubSpot {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let body = request.json();
        let (found, after) = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/crm/v3/objects/contacts") => {
                let all: Vec<Value> = self.contacts.values().map(|(_, contact)| contact.clone()).collect();
                (all, request.query("after").map(str::to_owned))
            }
            ("POST", "/crm/v3/objects/contacts/search") => {
                let filter = &body["filterGroups"][0]["filters"][0];
                if filter["propertyName"] != "lastmodifieddate" || filter["operator"] != "GTE" {
                    return refuse(400, "the filter is not understood");
                }
                let since_ms: u64 = filter["value"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
                let since = (since_ms / 1000).saturating_sub(1_767_225_600);
                let mut found: Vec<&(u64, Value)> = self.contacts.values().filter(|(at, _)| *at >= since).collect();
                found.sort_by_key(|(at, _)| *at);
                let found = found.into_iter().map(|(_, contact)| contact.clone()).collect();
                (found, body["after"].as_str().map(str::to_owned))
            }
            _ => return refuse(404, "not found"),
        };
        let (results, next) = page(&found, after.as_deref());
        let mut answer = json!({"results": results});
        if let Some(next) = next {
            answer["paging"] = json!({"next": {"after": next}});
        }
        ok(&answer)
    }
}
