//! Airtable: the records of a table, and the formula that finds those changed since a time.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{ok, page, refuse, time};
use crate::fake::{FakeApi, FakeRequest, with_header};

/// Airtable's records.
#[derive(Debug, Default)]
pub struct Airtable {
    records: BTreeMap<String, (u64, Value)>,
    /// Seconds since the beginning of 2026: the server's clock.
    pub now: u64,
}

impl Airtable {
    /// Adds or changes a record, now.
    pub fn put(&mut self, id: &str, name: &str) {
        let record = json!({"id": id, "createdTime": time(0), "fields": {"Name": name}});
        self.records.insert(id.to_owned(), (self.now, record));
    }

    /// Deletes a record.
    pub fn delete(&mut self, id: &str) {
        self.records.remove(id);
    }
}

impl FakeApi for Airtable {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.segments() != ["v0", "app1", "Table 1"] {
            return refuse(404, "NOT_FOUND");
        }
        let mut found: Vec<&(u64, Value)> = self.records.values().collect();
        if let Some(formula) = request.query("filterByFormula") {
            let since =
                formula.strip_prefix("IS_AFTER(LAST_MODIFIED_TIME(), '").and_then(|rest| rest.strip_suffix("')"));
            let Some(since) = since else { return refuse(422, "INVALID_FILTER_BY_FORMULA") };
            found.retain(|(at, _)| time(*at)[..19] > since[..19]);
        }
        let records: Vec<Value> = found.into_iter().map(|(_, record)| record.clone()).collect();
        let (records, next) = page(&records, request.query("offset"));
        let mut body = json!({"records": records});
        if let Some(next) = next {
            body["offset"] = Value::from(next);
        }
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600 + self.now);
        with_header(ok(&body), "date", httpdate::fmt_http_date(at))
    }
}
