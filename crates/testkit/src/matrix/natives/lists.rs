//! APIs that list what changed since a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_template::{HttpResponse, Template};
use serde_json::{Value, json};

use super::stock::{Hands, stocked};
use crate::fake::{FakeApi, FakeRequest, json as answer};
use crate::fakes::{Airtable, HubSpot, Jira, Linear, Notion};
use crate::matrix::subject::Subject;

pub(super) fn subject(id: &str, template: Arc<dyn Template>) -> Option<Subject> {
    Some(match id {
        "airtable/records" => stocked(
            template,
            Hands {
                make: Airtable::default,
                put: |api: &mut Airtable, n, text: &str| {
                    api.put(&format!("rec{n:02}"), text);
                    (format!("rec{n:02}"), text.to_owned())
                },
                delete: Some(|api: &mut Airtable, n| api.delete(&format!("rec{n:02}"))),
                now: Some(|api: &Airtable| api.now),
                set_now: |api, now| api.now = now,
            },
        )
        .setting("base", "app1")
        .setting("table", "Table 1"),
        "hubspot/contacts" => hubspot(template, "contacts", "lastmodifieddate"),
        "hubspot/companies" => hubspot(template, "companies", "hs_lastmodifieddate"),
        "hubspot/deals" => hubspot(template, "deals", "hs_lastmodifieddate"),
        "jira/issues" => stocked(
            template,
            Hands {
                make: Jira::default,
                put: |api: &mut Jira, n, text: &str| {
                    api.put(n, text);
                    (n.to_string(), text.to_owned())
                },
                delete: Some(|api: &mut Jira, n| api.delete(n)),
                now: Some(|api: &Jira| api.now),
                set_now: |api, now| api.now = now,
            },
        )
        .time_at("/fields/updated")
        .setting("site", "acme"),
        "linear/issues" => stocked(
            template,
            Hands {
                make: Linear::default,
                put: |api: &mut Linear, n, text: &str| {
                    api.put(&format!("ENG-{n}"), text);
                    (format!("ENG-{n}"), text.to_owned())
                },
                delete: Some(|api: &mut Linear, n| api.delete(&format!("ENG-{n}"))),
                now: Some(|api: &Linear| api.now),
                set_now: |api, now| api.now = now,
            },
        )
        .time_at("/updatedAt")
        .limit_response(linear_limited),
        "linear/teams" => linear_list(template, "teams"),
        "linear/users" => linear_list(template, "users"),
        // The search "is not guaranteed to return everything", so no page is deleted because it is missing there.
        // <https://developers.notion.com/reference/search-optimizations-and-limitations>
        "notion/pages" => notion(template, None),
        "notion/rows" => notion(template, Some(|api, n| api.trash(&format!("p{n:02}")))).setting("data_source", "ds"),
        _ => return None,
    })
}

/// The objects of HubSpot's CRM have one API; what differs is their name and the property of the last change.
/// <https://developers.hubspot.com/docs/api-reference/crm-companies-v3/guide>
struct Objects {
    contacts: HubSpot,
    object: &'static str,
    changed: &'static str,
}

impl FakeApi for Objects {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let swap = |text: &str, from: &str, to: &str| text.replace(from, to);
        let mut request = request.clone();
        if self.object != "contacts" && request.path.contains("/contacts") {
            return answer(404, "{}");
        }
        request.path = swap(&request.path, self.object, "contacts");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if self.changed != "lastmodifieddate" && body.contains("\"lastmodifieddate\"") {
            return answer(400, r#"{"message":"the property does not exist"}"#);
        }
        request.body = swap(&body, &format!("\"{}\"", self.changed), "\"lastmodifieddate\"").into();
        let mut response = self.contacts.answer(&request);
        let body = String::from_utf8_lossy(&response.body).into_owned();
        response.body = swap(&body, "\"lastmodifieddate\"", &format!("\"{}\"", self.changed)).into();
        response
    }
}

fn hubspot(template: Arc<dyn Template>, object: &'static str, changed: &'static str) -> Subject {
    let put = |api: &mut Objects, n: u64, text: &str| {
        api.contacts.put(&format!("1{n:02}"), text);
        (format!("1{n:02}"), text.to_owned())
    };
    let hands = Hands {
        make: move || Objects { contacts: HubSpot::default(), object, changed },
        put,
        delete: Some(|api: &mut Objects, n| api.contacts.archive(&format!("1{n:02}"))),
        now: Some(|api: &Objects| api.contacts.now),
        set_now: |api, now| api.contacts.now = now,
    };
    stocked(template, hands).time_at("/updatedAt")
}

/// A list of Linear that each run reads completely: a Relay connection under its name.
/// <https://linear.app/developers/graphql>, <https://linear.app/developers/pagination>
struct LinearList {
    name: &'static str,
    nodes: BTreeMap<String, Value>,
}

impl FakeApi for LinearList {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let body = request.json();
        let query = body["query"].as_str().unwrap_or_default();
        if !query.contains(&format!("{}(first:", self.name)) || request.header("authorization") != Some("token") {
            return answer(400, r#"{"errors":[{"message":"Cannot query field"}]}"#);
        }
        let after = body["variables"]["after"].as_str().unwrap_or_default().to_owned();
        let behind = self.nodes.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        let page: Vec<(&String, &Value)> = behind.take(3).collect();
        let last = page.last().map(|(id, _)| (*id).clone());
        let more = last.as_ref() != self.nodes.keys().next_back() && last.is_some();
        let nodes: Vec<&Value> = page.into_iter().map(|(_, node)| node).collect();
        let info = json!({"hasNextPage": more, "endCursor": last});
        answer(200, json!({"data": {self.name: {"nodes": nodes, "pageInfo": info}}}).to_string())
    }
}

fn linear_list(template: Arc<dyn Template>, name: &'static str) -> Subject {
    let put = |api: &mut LinearList, n: u64, text: &str| {
        let id = format!("l{n:02}");
        api.nodes.insert(id.clone(), json!({"id": id, "name": text, "key": "ENG", "active": true}));
        (id, text.to_owned())
    };
    let hands = Hands {
        make: move || LinearList { name, nodes: BTreeMap::new() },
        put,
        delete: Some(|api: &mut LinearList, n| drop(api.nodes.remove(&format!("l{n:02}")))),
        now: None,
        set_now: |_, _| {},
    };
    stocked(template, hands).limit_response(linear_limited)
}

fn notion(template: Arc<dyn Template>, delete: Option<fn(&mut Notion, u64)>) -> Subject {
    let hands = Hands {
        make: Notion::default,
        put: |api: &mut Notion, n, text: &str| {
            api.put(&format!("p{n:02}"), text);
            (format!("p{n:02}"), text.to_owned())
        },
        delete,
        now: Some(|api: &Notion| api.now),
        set_now: |api, now| api.now = now,
    };
    // <https://developers.notion.com/reference/query-a-data-source>: `request_status` of a list that was cut.
    stocked(template, hands).time_at("/last_edited_time").marks_incomplete(|body| {
        body["request_status"] = json!({"type": "incomplete", "incomplete_reason": "query_result_limit_reached"});
    })
}

/// <https://linear.app/developers/rate-limiting>: status 400 with an extension's code.
fn linear_limited() -> HttpResponse {
    answer(400, r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"code":"RATELIMITED"}}],"data":null}"#)
}
