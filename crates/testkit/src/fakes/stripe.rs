//! Stripe: lists newest first with `starting_after`, and events.

use std::collections::BTreeMap;

use highwater_core::template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, ok, refuse};
use crate::fake::{FakeApi, FakeRequest};

/// Stripe's customers, subscriptions, invoices and charges, and the events of their changes.
#[derive(Debug, Default)]
pub struct Stripe {
    objects: BTreeMap<u64, (String, Value)>,
    events: Vec<Value>,
    /// Unix seconds; goes on with every change.
    pub now: i64,
    serial: u64,
    /// Whether the key may read events.
    pub events_forbidden: bool,
    /// Idempotency keys and what they created.
    keys: BTreeMap<String, Value>,
}

impl Stripe {
    /// An empty account at this Unix time.
    pub fn at(now: i64) -> Self {
        Stripe { now, ..Stripe::default() }
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
            self.tell(&kind, "deleted", object);
        }
    }

    fn tell(&mut self, kind: &str, what: &str, object: Value) {
        let family = if kind == "subscription" { "customer.subscription" } else { kind };
        let id = format!("evt_{:04}", self.events.len());
        self.events.push(json!({
            "id": id, "object": "event", "created": self.now, "type": format!("{family}.{what}"), "data": {"object": object},
        }));
    }

    fn list(items: Vec<&Value>, request: &FakeRequest) -> HttpResponse {
        let limit = request.number("limit").map_or(PAGE, |limit| (limit as usize).min(PAGE));
        let from = match request.query("starting_after") {
            None => 0,
            Some(id) => match items.iter().position(|item| item["id"] == id) {
                Some(place) => place + 1,
                None => return refuse(400, "no such object"),
            },
        };
        let data: Vec<&Value> = items.iter().skip(from).take(limit).copied().collect();
        let more = from + data.len() < items.len();
        ok(&json!({"object": "list", "data": data, "has_more": more}))
    }
}

impl FakeApi for Stripe {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
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
                Stripe::list(events.collect(), request)
            }
            ("GET", ["v1", list]) => {
                let kind = list.trim_end_matches('s');
                let all = request.query("status") == Some("all");
                let objects = self.objects.values().rev().filter(|(of, object)| {
                    of == kind && (kind != "subscription" || all || object["status"] != "canceled")
                });
                Stripe::list(objects.map(|(_, object)| object).collect(), request)
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

fn merge(object: &mut Value, fields: Value) {
    if let (Some(members), Value::Object(fields)) = (object.as_object_mut(), fields) {
        members.extend(fields);
    }
}
