//! Notion: search and data sources, ordered by the time of the last edit, to the minute.

use std::collections::BTreeMap;

use highwater_core::template::HttpResponse;
use serde_json::{Value, json};

use super::{ok, page, refuse, time};
use crate::fake::{FakeApi, FakeRequest};

/// Notion's pages.
#[derive(Debug, Default)]
pub struct Notion {
    pages: BTreeMap<String, Value>,
    /// Seconds since the beginning of 2026.
    pub now: u64,
}

impl Notion {
    /// Adds or edits a page, a minute later than the last change.
    pub fn put(&mut self, id: &str, title: &str) {
        self.now += 60;
        let created = self.pages.get(id).map_or_else(|| json!(time(self.now)), |page| page["created_time"].clone());
        self.pages.insert(
            id.to_owned(),
            json!({
                "object": "page", "id": id, "created_time": created, "last_edited_time": time(self.now / 60 * 60),
                "in_trash": false, "properties": {"Name": {"title": [{"plain_text": title}]}},
            }),
        );
    }

    /// Puts a page into the bin: no query finds it any more.
    pub fn trash(&mut self, id: &str) {
        self.pages.remove(id);
    }
}

impl FakeApi for Notion {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("notion-version").is_none() {
            return refuse(400, "missing Notion-Version");
        }
        let body = request.json();
        let mut found: Vec<Value> = self.pages.values().cloned().collect();
        found.sort_by_key(|page| page["last_edited_time"].as_str().map(str::to_owned));
        match request.segments().as_slice() {
            ["v1", "search"] => {
                if body["sort"]["direction"] == "descending" {
                    found.reverse();
                }
            }
            ["v1", "data_sources", "ds", "query"] => {
                if let Some(since) = body["filter"]["last_edited_time"]["on_or_after"].as_str() {
                    found.retain(|page| page["last_edited_time"].as_str().map(|at| &at[..19]) >= Some(&since[..19]));
                }
            }
            _ => return refuse(404, "object_not_found"),
        }
        let (results, next) = page(&found, body["start_cursor"].as_str());
        ok(&json!({"object": "list", "results": results, "has_more": next.is_some(), "next_cursor": next}))
    }
}
