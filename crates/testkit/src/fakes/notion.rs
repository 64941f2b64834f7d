//! Notion: search and data sources, times to the minute, and at most 10,000 results of a query.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, ok, time};
use crate::fake::{FakeApi, FakeRequest, json as answer};

/// Notion's pages.
#[derive(Debug)]
pub struct Notion {
    pages: BTreeMap<String, Value>,
    /// Seconds since the beginning of 2026.
    pub now: u64,
    /// Records in a page. A client may request at most 100.
    pub page: usize,
    /// The most results of one query. Beyond them, `has_more` is false, and `request_status` says that it was cut.
    /// <https://developers.notion.com/guides/data-apis/query-large-data-sources>
    pub cap: usize,
    /// Pages that the search leaves out: it "is not guaranteed to return everything".
    /// <https://developers.notion.com/reference/search-optimizations-and-limitations>
    pub unindexed: Vec<String>,
}

impl Default for Notion {
    fn default() -> Self {
        Notion { pages: BTreeMap::new(), now: 0, page: PAGE, cap: 10_000, unindexed: Vec::new() }
    }
}

impl Notion {
    /// Adds or edits a page, a minute later than the last change.
    pub fn put(&mut self, id: &str, title: &str) {
        self.now += 60;
        self.put_now(id, title);
    }

    /// Adds or edits a page in the same minute as the last change.
    pub fn put_now(&mut self, id: &str, title: &str) {
        let now = time(self.now / 60 * 60);
        let created = self.pages.get(id).map_or_else(|| json!(now), |page| page["created_time"].clone());
        self.pages.insert(
            id.to_owned(),
            json!({
                "object": "page", "id": id, "created_time": created, "last_edited_time": now,
                "in_trash": false, "properties": {"Name": {"title": [{"plain_text": title}]}},
            }),
        );
    }

    /// Moves a page to the bin: no query returns it.
    pub fn trash(&mut self, id: &str) {
        self.pages.remove(id);
    }

    fn list(&self, mut found: Vec<&Value>, body: &Value) -> HttpResponse {
        let cut = found.len() > self.cap;
        found.truncate(self.cap);
        let size = body["page_size"].as_u64().map_or(100, |size| size as usize).min(100).min(self.page);
        let from: usize = match body["start_cursor"].as_str().map(str::parse) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return refuse(400, "validation_error", "start_cursor is invalid"),
        };
        let results: Vec<&Value> = found.iter().skip(from).take(size).copied().collect();
        let next = (from + results.len() < found.len()).then(|| (from + results.len()).to_string());
        let mut answer = json!({
            "object": "list", "type": "page_or_data_source", "results": results, "has_more": next.is_some(), "next_cursor": next,
        });
        // Any page of a query that was cut may say so.
        if cut {
            answer["request_status"] = json!({"type": "incomplete", "incomplete_reason": "query_result_limit_reached"});
        }
        ok(&answer)
    }
}

impl FakeApi for Notion {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("notion-version").is_none() {
            return refuse(400, "missing_version", "Notion-Version header failed validation");
        }
        let body = request.json();
        let mut found: Vec<&Value> = self.pages.values().collect();
        match request.segments().as_slice() {
            ["v1", "search"] => {
                found.retain(|page| !self.unindexed.iter().any(|id| page["id"] == *id));
                found.sort_by_key(|page| page["last_edited_time"].as_str());
                // Without a sort the search has an order of its own. Only `last_edited_time` can be requested.
                if body["sort"]["direction"] != "ascending" {
                    found.reverse();
                }
            }
            ["v1", "data_sources", "ds", "query"] => {
                let Some(matches) = filter(&body["filter"]) else {
                    return refuse(400, "validation_error", "body failed validation: body.filter");
                };
                found.retain(|page| matches(page));
                for sort in body["sorts"].as_array().into_iter().flatten().rev() {
                    let key = match sort["timestamp"].as_str() {
                        Some(key @ ("created_time" | "last_edited_time")) => key.to_owned(),
                        _ => return refuse(400, "validation_error", "body failed validation: body.sorts"),
                    };
                    found.sort_by_key(|page| page[&key].as_str());
                    if sort["direction"] == "descending" {
                        found.reverse();
                    }
                }
            }
            _ => return refuse(404, "object_not_found", "Could not find the object"),
        }
        self.list(found, &body)
    }
}

type Matches = Box<dyn Fn(&Value) -> bool>;

/// <https://developers.notion.com/reference/filter-data-source-entries#timestamp>; `None` if it is not supported.
fn filter(filter: &Value) -> Option<Matches> {
    if filter.is_null() {
        return Some(Box::new(|_| true));
    }
    if let Some(all) = filter["and"].as_array() {
        let all = all.iter().map(self::filter).collect::<Option<Vec<_>>>()?;
        return Some(Box::new(move |page| all.iter().all(|filter| filter(page))));
    }
    let key =
        filter["timestamp"].as_str().filter(|key| matches!(*key, "created_time" | "last_edited_time"))?.to_owned();
    let (operator, bound) = filter[&key].as_object()?.iter().next()?;
    // Times are compared to the minute.
    let (operator, bound) = (operator.clone(), bound.as_str()?.get(..16)?.to_owned());
    if !matches!(operator.as_str(), "on_or_after" | "on_or_before" | "after" | "before" | "equals") {
        return None;
    }
    Some(Box::new(move |page| {
        let at = page[&key].as_str().map_or("", |at| &at[..16]);
        match operator.as_str() {
            "on_or_after" => at >= bound.as_str(),
            "on_or_before" => at <= bound.as_str(),
            "after" => at > bound.as_str(),
            "before" => at < bound.as_str(),
            _ => at == bound,
        }
    }))
}

/// <https://developers.notion.com/reference/status-codes>
fn refuse(status: u16, code: &str, message: &str) -> HttpResponse {
    answer(status, json!({"object": "error", "status": status, "code": code, "message": message}).to_string())
}
