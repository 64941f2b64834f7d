//! GitHub: lists of a repository and of an owner, with `Link` headers, `since`, and responses with an `ETag`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, refuse, time};
use crate::fake::{FakeApi, FakeRequest, json as answer, with_header};

/// The repository `acme/pump` of GitHub, and the repositories of `acme`.
#[derive(Debug, Default)]
pub struct GitHub {
    lists: BTreeMap<&'static str, BTreeMap<u64, Value>>,
    /// Seconds since the beginning of 2026; advances with every change.
    pub now: u64,
    /// How many responses counted against the limit. Those without a body do not.
    pub charged: u64,
    /// Writes to a list just after its next page was given.
    drift: Vec<(&'static str, u64)>,
}

impl GitHub {
    /// Adds or edits an issue.
    pub fn put_issue(&mut self, number: u64, title: &str) {
        self.put("issues", number, json!({"number": number, "title": title, "state": "open"}));
    }

    /// Adds or edits a pull request, which is in the list of issues too.
    pub fn put_pull(&mut self, number: u64, title: &str) {
        let link = json!({"url": format!("https://api.github.com/repos/acme/pump/pulls/{number}")});
        let fields = json!({"number": number, "title": title, "state": "open"});
        self.put("pulls", number, fields.clone());
        self.now -= 1;
        self.put("issues", number, fields);
        self.list("issues").get_mut(&number).expect("it was put just now")["pull_request"] = link;
    }

    /// Adds or edits a comment.
    pub fn put_comment(&mut self, id: u64, body: &str) {
        self.put("comments", id, json!({"body": body}));
    }

    /// Adds or edits a release.
    pub fn put_release(&mut self, id: u64, tag: &str) {
        self.put("releases", id, json!({"tag_name": tag}));
    }

    /// Adds or edits a repository of `acme`.
    pub fn put_repository(&mut self, id: u64, name: &str) {
        self.put("repos", id, json!({"name": name, "full_name": format!("acme/{name}")}));
    }

    /// Deletes from a list: `issues`, `pulls`, `comments`, `releases` or `repos`.
    pub fn delete(&mut self, list: &'static str, id: u64) {
        self.list(list).remove(&id);
    }

    /// Lets a record of a list change between the next page and the one after it.
    pub fn change_after_next_page(&mut self, list: &'static str, id: u64) {
        self.drift.push((list, id));
    }

    fn list(&mut self, list: &'static str) -> &mut BTreeMap<u64, Value> {
        self.lists.entry(list).or_default()
    }

    fn put(&mut self, list: &'static str, id: u64, fields: Value) {
        self.now += 1;
        let now = second(self.now);
        let known = self.list(list).get(&id).map(|record| record["created_at"].clone());
        let mut record = json!({"id": id, "created_at": known.unwrap_or_else(|| json!(now)), "updated_at": now});
        for (name, value) in fields.as_object().into_iter().flatten() {
            record[name] = value.clone();
        }
        self.list(list).insert(id, record);
    }

    fn found(&mut self, list: &'static str, request: &FakeRequest) -> Vec<Value> {
        let mut found: Vec<Value> = self.list(list).values().cloned().collect();
        let key = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        if request.query("sort") == Some("updated") {
            found.sort_by_key(|record| (key(record, "updated_at"), record["id"].as_u64()));
        }
        if request.query("direction") == Some("desc") {
            found.reverse();
        }
        // Pull requests have no such filter, and GitHub ignores parameters that it does not know.
        if let Some(since) = request.query("since").filter(|_| list != "pulls") {
            found.retain(|record| key(record, "updated_at").as_str() >= since);
        }
        found
    }

    fn page(&mut self, list: &'static str, request: &FakeRequest) -> HttpResponse {
        let found = self.found(list, request);
        let number = request.number("page").unwrap_or(1);
        let from = ((number.max(1) - 1) as usize * PAGE).min(found.len());
        let until = (from + PAGE).min(found.len());
        let mut response = answer(200, Value::from(&found[from..until]).to_string());
        if until < found.len() {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(request.query.iter().filter(|(name, _)| name != "page"));
            query.append_pair("page", &(number + 1).to_string());
            let next = format!("<https://api.github.com{}?{}>; rel=\"next\"", request.path, query.finish());
            response = with_header(response, "Link", next);
        }
        for (list, id) in std::mem::take(&mut self.drift) {
            let record = self.list(list).get(&id).cloned().expect("there is such a record");
            self.put(list, id, record);
            let now = second(self.now);
            self.list(list).get_mut(&id).expect("it was put just now")["updated_at"] = json!(now);
        }
        let mut hasher = DefaultHasher::new();
        response.body.hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        if request.header("if-none-match") == Some(etag.as_str()) {
            return with_header(HttpResponse::new(304, Vec::new(), ""), "ETag", etag);
        }
        self.charged += 1;
        with_header(response, "ETag", etag)
    }
}

impl FakeApi for GitHub {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("accept") != Some("application/vnd.github+json") {
            return refuse(415, "the media type is missing");
        }
        match request.segments().as_slice() {
            ["repos", "acme", "pump", "issues"] => self.page("issues", request),
            ["repos", "acme", "pump", "issues", "comments"] => self.page("comments", request),
            ["repos", "acme", "pump", "pulls"] => self.page("pulls", request),
            ["repos", "acme", "pump", "releases"] => self.page("releases", request),
            ["users" | "orgs", "acme", "repos"] => self.page("repos", request),
            _ => refuse(404, "Not Found"),
        }
    }
}

/// GitHub writes times to the second.
fn second(at: u64) -> String {
    time(at).replace(".000Z", "Z")
}
