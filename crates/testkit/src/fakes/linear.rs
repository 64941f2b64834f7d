//! Linear: issues by GraphQL, latest change first.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{ok, page, time};
use crate::fake::{FakeApi, FakeRequest, json as answer};

/// Linear's issues.
#[derive(Debug)]
pub struct Linear {
    issues: BTreeMap<String, (u64, Value)>,
    /// Seconds since the beginning of 2026.
    pub now: u64,
    /// How many requests are refused for the rate limit. <https://linear.app/developers/rate-limiting>
    pub limited: u32,
    /// The status of these refusals: 400 as documented, or 200 as for any error of GraphQL.
    pub limited_with: u16,
}

impl Default for Linear {
    fn default() -> Self {
        Linear { issues: BTreeMap::new(), now: 0, limited: 0, limited_with: 400 }
    }
}

impl Linear {
    /// Adds or changes an issue, a second later than the last change.
    pub fn put(&mut self, id: &str, title: &str) {
        self.now += 1;
        let at = time(self.now);
        let issue =
            json!({"id": id, "identifier": id, "title": title, "priority": 0, "createdAt": time(0), "updatedAt": at});
        self.issues.insert(id.to_owned(), (self.now, issue));
    }

    /// Deletes an issue for good.
    pub fn delete(&mut self, id: &str) {
        self.issues.remove(id);
    }
}

impl FakeApi for Linear {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if self.limited > 0 {
            self.limited -= 1;
            return answer(
                self.limited_with,
                r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"code":"RATELIMITED"}}]}"#,
            );
        }
        let body = request.json();
        let query = body["query"].as_str().unwrap_or_default();
        if request.header("authorization") != Some("token") || !query.contains("orderBy: updatedAt") {
            // An error with status 200 beside part of the data.
            return ok(&json!({"errors": [{"message": "not understood"}], "data": {"issues": null}}));
        }
        let variables = &body["variables"];
        let since = variables["filter"]["updatedAt"]["gte"].as_str().map(str::to_owned);
        let mut found: Vec<&(u64, Value)> =
            self.issues.values().filter(|(at, _)| since.as_ref().is_none_or(|since| time(*at) >= *since)).collect();
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let found: Vec<Value> = found.into_iter().map(|(_, issue)| issue.clone()).collect();
        let (nodes, next) = page(&found, variables["after"].as_str());
        let info = json!({"hasNextPage": next.is_some(), "endCursor": next});
        ok(&json!({"data": {"issues": {"nodes": nodes, "pageInfo": info}}}))
    }
}
