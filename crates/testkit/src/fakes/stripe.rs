//! Stripe: lists newest first with `starting_after`, objects by id, and events. <https://docs.stripe.com/api>

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, ok, refuse};
use crate::fake::{FakeApi, FakeRequest, json as answer, with_header};

/// Since this version, a subscription's period is in its items.
/// <https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end>
const PERIODS_OF_ITEMS: &str = "2025-03-31";

/// Stripe's customers, subscriptions, invoices and charges, and the events of their changes.
#[derive(Debug)]
pub struct Stripe {
    objects: BTreeMap<u64, (String, Value)>,
    events: Vec<Value>,
    /// Unix seconds; advances with every change.
    pub now: i64,
    serial: u64,
    /// Whether the key may read events.
    pub events_forbidden: bool,
    /// The account's default version: of events, and of requests that name none.
    /// <https://docs.stripe.com/api/versioning>
    pub version: String,
    /// Customers that were deleted. They can be fetched by id, and no list has them.
    gone: BTreeMap<String, Value>,
    /// Idempotency keys and what they created.
    keys: BTreeMap<String, Value>,
}

impl Default for Stripe {
    fn default() -> Self {
        Stripe::at(0)
    }
}

impl Stripe {
    /// Makes an empty account at this time, in Unix seconds, which never upgraded its version.
    pub fn at(now: i64) -> Self {
        Stripe {
            objects: BTreeMap::new(),
            events: Vec::new(),
            now,
            serial: 0,
            events_forbidden: false,
            version: "2024-06-20".to_owned(),
            gone: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Adds an event of an invoice that is about to be made. It is a preview: the object in the event has no id, and no list has it.
    /// <https://docs.stripe.com/api/events/types#event_types-invoice.upcoming>
    pub fn preview_invoice(&mut self, customer: &str) {
        self.now += 1;
        let preview = json!({
            "object": "invoice", "created": self.now, "customer": customer, "total": 100, "currency": "eur", "status": "draft",
        });
        self.tell("invoice", "upcoming", preview);
    }

    /// Creates an object (`customer`, `subscription`, ...); returns its id.
    pub fn create(&mut self, kind: &str, fields: Value) -> String {
        self.serial += 1;
        self.now += 1;
        let id = format!("{kind}_{:04}", self.serial);
        let mut object = json!({"id": id, "object": kind, "created": self.now});
        merge(&mut object, fields);
        self.objects.insert(self.serial, (kind.to_owned(), object.clone()));
        self.tell(kind, "created", object);
        id
    }

    /// Changes an object.
    pub fn update(&mut self, id: &str, fields: Value) {
        self.now += 1;
        let found = self.objects.values_mut().find(|(_, object)| object["id"] == id).expect("there is such an object");
        merge(&mut found.1, fields);
        let (kind, object) = found.clone();
        self.tell(&kind, "updated", object);
    }

    /// Deletes an object.
    pub fn delete(&mut self, id: &str) {
        self.now += 1;
        let key = *self.objects.iter().find(|(_, (_, object))| object["id"] == id).expect("there is such an object").0;
        if let Some((kind, object)) = self.objects.remove(&key) {
            if kind == "customer" {
                // <https://docs.stripe.com/api/customers/retrieve>
                self.gone.insert(id.to_owned(), json!({"id": id, "object": "customer", "deleted": true}));
            }
            self.tell(&kind, "deleted", object);
        }
    }

    fn tell(&mut self, kind: &str, what: &str, object: Value) {
        let family = if kind == "subscription" { "customer.subscription" } else { kind };
        let id = format!("evt_{:04}", self.events.len());
        // An event is rendered when it happens, by the account's version at that time, and stays as it is.
        // <https://docs.stripe.com/api/events/object#event_object-api_version>
        let object = rendered(object, &self.version);
        self.events.push(json!({
            "id": id, "object": "event", "api_version": self.version, "created": self.now,
            "type": format!("{family}.{what}"), "data": {"object": object},
        }));
    }

    fn version_of(&self, request: &FakeRequest) -> String {
        request.header("stripe-version").unwrap_or(&self.version).to_owned()
    }

    fn list(items: Vec<Value>, request: &FakeRequest) -> HttpResponse {
        let limit = request.number("limit").map_or(PAGE, |limit| (limit as usize).min(PAGE));
        let from = match request.query("starting_after") {
            None => 0,
            Some(id) => match items.iter().position(|item| item["id"] == id) {
                Some(place) => place + 1,
                // <https://docs.stripe.com/error-codes#resource-missing>
                None => {
                    let error = json!({"type": "invalid_request_error", "code": "resource_missing", "param": "starting_after",
                        "message": format!("No such object: '{id}'")});
                    return answer(400, json!({"error": error}).to_string());
                }
            },
        };
        let data: Vec<&Value> = items.iter().skip(from).take(limit).collect();
        let more = from + data.len() < items.len();
        ok(&json!({"object": "list", "data": data, "has_more": more}))
    }
}

impl FakeApi for Stripe {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let now = UNIX_EPOCH + Duration::from_secs(u64::try_from(self.now).unwrap_or(0));
        with_header(self.answered(request), "Date", httpdate::fmt_http_date(now))
    }
}

impl Stripe {
    fn answered(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("authorization") != Some("Bearer token") {
            return refuse(401, "invalid API key");
        }
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", ["v1", "events"]) if self.events_forbidden => refuse(403, "the key may not"),
            ("GET", ["v1", "events"]) => {
                let since: i64 = request.query("created[gte]").and_then(|text| text.parse().ok()).unwrap_or(0);
                let kept = self.now - 30 * 86_400;
                let events =
                    self.events.iter().rev().filter(|event| event["created"].as_i64() >= Some(since.max(kept)));
                Stripe::list(events.cloned().collect(), request)
            }
            ("GET", ["v1", list]) => {
                let kind = list.trim_end_matches('s');
                let all = request.query("status") == Some("all");
                let objects = self.objects.values().rev().filter(|(of, object)| {
                    of == kind && (kind != "subscription" || all || object["status"] != "canceled")
                });
                let version = self.version_of(request);
                Stripe::list(objects.map(|(_, object)| rendered(object.clone(), &version)).collect(), request)
            }
            ("GET", ["v1", list, id]) => {
                let kind = list.trim_end_matches('s');
                let known = self.objects.values().find(|(of, object)| of == kind && object["id"] == *id);
                match known.map(|(_, object)| object).or_else(|| self.gone.get(*id)) {
                    Some(object) => ok(&rendered(object.clone(), &self.version_of(request))),
                    None => refuse(404, "No such object"),
                }
            }
            ("POST", ["v1", "customers"]) => {
                let key = request.header("idempotency-key").map(str::to_owned);
                if let Some(known) = key.as_ref().and_then(|key| self.keys.get(key)) {
                    return ok(known);
                }
                let id = self.create("customer", json!(request.form()));
                let created =
                    self.objects.values().map(|(_, object)| object).find(|object| object["id"] == *id).cloned();
                let created = created.unwrap_or_default();
                self.keys.extend(key.map(|key| (key, created.clone())));
                ok(&created)
            }
            _ => refuse(404, "unrecognized request"),
        }
    }
}

/// Returns an object in the shape of a version of the API.
fn rendered(mut object: Value, version: &str) -> Value {
    let Some(end) = object["current_period_end"].as_i64() else { return object };
    if version >= PERIODS_OF_ITEMS
        && let Some(members) = object.as_object_mut()
    {
        members.remove("current_period_end");
        members.insert("items".to_owned(), json!({"data": [{"current_period_end": end}]}));
    }
    object
}

fn merge(object: &mut Value, fields: Value) {
    if let (Some(members), Value::Object(fields)) = (object.as_object_mut(), fields) {
        members.extend(fields);
    }
}
