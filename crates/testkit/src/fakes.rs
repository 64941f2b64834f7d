//! Stateful fakes of real providers, built after their documentation: as much of each as the ready templates use.
//!
//! Each keeps its records in a map, returns them in pages of three so that every test pages, and refuses requests that the
//! real API refuses.

mod airtable;
mod caldav;
mod github;
mod google;
mod hubspot;
mod jira;
mod kinto;
mod linear;
mod notion;
mod slack;
mod stripe;

pub use airtable::Airtable;
pub use caldav::{CalDav, Spelling};
pub use github::GitHub;
pub use google::{Calendar, Drive, Gmail};
pub use hubspot::HubSpot;
pub use jira::Jira;
pub use kinto::Kinto;
pub use linear::Linear;
pub use notion::Notion;
pub use slack::Slack;
pub use stripe::Stripe;

use std::time::{Duration, UNIX_EPOCH};

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use crate::fake::json as answer;

/// Records in a page, whatever a client requests.
const PAGE: usize = 3;

fn ok(body: &Value) -> HttpResponse {
    answer(200, body.to_string())
}

fn refuse(status: u16, message: &str) -> HttpResponse {
    answer(status, json!({"error": {"message": message}}).to_string())
}

/// A page of `items` behind `token`, and the next page's token.
fn page(items: &[Value], token: Option<&str>) -> (Vec<Value>, Option<String>) {
    let from: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0).min(items.len());
    let until = (from + PAGE).min(items.len());
    let next = (until < items.len()).then(|| until.to_string());
    (items[from..until].to_vec(), next)
}

/// A time within 2026, `second` seconds after its beginning.
fn time(second: u64) -> String {
    let at = chrono::DateTime::from_timestamp(1_767_225_600 + i64::try_from(second).unwrap_or(0), 0);
    at.map_or_else(String::new, |at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// The same time as an HTTP date.
fn date(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(1_767_225_600 + second))
}
