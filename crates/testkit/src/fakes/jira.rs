//! Jira Cloud: the search by JQL, as far as its bound on `updated` goes. Relative times are relative to the server's clock.
//! <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/>

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{date, ok, page, time};
use crate::fake::{FakeApi, FakeRequest, json as answer, with_header};

/// Jira's issues.
#[derive(Debug, Default)]
pub struct Jira {
    issues: BTreeMap<u64, (u64, Value)>,
    /// Seconds since the beginning of 2026: the server's clock.
    pub now: u64,
}

impl Jira {
    /// Adds or changes an issue, now.
    pub fn put(&mut self, id: u64, summary: &str) {
        let updated = time(self.now).replace('Z', "+0000");
        let issue = json!({
            "id": id.to_string(), "key": format!("ENG-{id}"), "fields": {"summary": summary, "updated": updated},
        });
        self.issues.insert(id, (self.now, issue));
    }

    /// Deletes an issue.
    pub fn delete(&mut self, id: u64) {
        self.issues.remove(&id);
    }
}

impl Jira {
    fn search(&self, request: &FakeRequest) -> HttpResponse {
        let jql = request.query("jql").unwrap_or_default();
        // `updated >= "-7m"` or `updated >= "1970-01-01"`; JQL without a bound is refused.
        let Some(bound) = jql.split("updated >= \"").nth(1).and_then(|rest| rest.split('"').next()) else {
            return refuse(
                400,
                "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.",
            );
        };
        if !jql.ends_with("ORDER BY updated ASC") {
            return refuse(400, "Error in the JQL Query: the query is not understood");
        }
        // Minutes before now, by the server's clock.
        // <https://support.atlassian.com/jira-software-cloud/docs/jql-fields/#Updated>
        let since =
            bound.strip_prefix('-').and_then(|text| text.strip_suffix('m')).and_then(|text| text.parse::<u64>().ok());
        let since = since.map_or(0, |minutes| self.now.saturating_sub(minutes * 60));
        let mut found: Vec<&(u64, Value)> = self.issues.values().filter(|(at, _)| *at >= since).collect();
        found.sort_by_key(|(at, _)| *at);
        let mut issues: Vec<Value> = found.into_iter().map(|(_, issue)| issue.clone()).collect();
        if request.query("fields").is_none() {
            issues = issues.iter().map(|issue| json!({"id": issue["id"]})).collect();
        }
        let (issues, next) = page(&issues, request.query("nextPageToken"));
        match next {
            Some(next) => ok(&json!({"issues": issues, "nextPageToken": next, "isLast": false})),
            None => ok(&json!({"issues": issues, "isLast": true})),
        }
    }
}

impl FakeApi for Jira {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let response = match request.path.as_str() {
            "/rest/api/3/search/jql" => self.search(request),
            "/rest/api/3/search" => {
                refuse(410, "The requested API has been removed. Please migrate to /rest/api/3/search/jql.")
            }
            _ => refuse(404, "Not found"),
        };
        with_header(response, "Date", date(self.now))
    }
}

/// <https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes>
fn refuse(status: u16, message: &str) -> HttpResponse {
    answer(status, json!({"errorMessages": [message], "errors": {}}).to_string())
}
