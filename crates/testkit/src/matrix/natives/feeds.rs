//! APIs with a feed of changes and deletes.

use std::sync::Arc;

use highwater_template::{HttpResponse, Template};
use serde_json::json;

use super::stock::{Hands, stocked};
use crate::fake::json as answer;
use crate::fakes::{CalDav, Calendar, Drive, Gmail, Kinto, Stripe};
use crate::matrix::subject::Subject;

pub(super) fn subject(id: &str, template: Arc<dyn Template>) -> Option<Subject> {
    Some(match id {
        "google-calendar/events" => stocked(
            template,
            Hands { make: Calendar::default, put: put_event, delete: Some(cancel), now: None, set_now: |_, _| {} },
        )
        .limit_response(google_limited),
        "google-drive/files" => stocked(
            template,
            Hands { make: Drive::default, put: put_file, delete: Some(remove), now: None, set_now: |_, _| {} },
        )
        .ids_at(["/file/id", "/id"])
        .limit_response(google_limited),
        "gmail/messages" => stocked(
            template,
            Hands { make: Gmail::default, put: put_mail, delete: Some(delete_mail), now: None, set_now: |_, _| {} },
        )
        .holds_records(|request| request.path.ends_with("/messages") || request.path.ends_with("/history"))
        .omits_empty_lists()
        .lists_names_only()
        .limit_response(google_limited),
        "caldav/entries" => stocked(
            template,
            Hands { make: CalDav::default, put: put_entry, delete: Some(delete_entry), now: None, set_now: |_, _| {} },
        )
        .setting("host", "cal.example")
        .setting("calendar", CalDav::PATH),
        "kinto/records" => stocked(
            template,
            Hands {
                make: Kinto::default,
                put: |api: &mut Kinto, n, text: &str| {
                    api.put(&format!("k{n:02}"), text);
                    (format!("k{n:02}"), text.to_owned())
                },
                delete: Some(|api: &mut Kinto, n| api.delete(&format!("k{n:02}"))),
                now: None,
                set_now: |_, _| {},
            },
        )
        .time_at("/last_modified")
        .setting("bucket", Kinto::BUCKET)
        .setting("collection", Kinto::COLLECTION),
        "stripe/customers" => stripe("customer", template),
        "stripe/charges" => stripe("charge", template),
        "stripe/invoices" => stripe("invoice", template),
        "stripe/subscriptions" => stripe("subscription", template),
        _ => return None,
    })
}

/// <https://developers.google.com/workspace/calendar/api/guides/errors#403_user_rate_limit_exceeded>
fn google_limited() -> HttpResponse {
    answer(
        403,
        r#"{"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}],"message":"User Rate Limit Exceeded"}}"#,
    )
}

fn put_event(api: &mut Calendar, n: u64, text: &str) -> (String, String) {
    let id = format!("e{n:02}");
    api.put(&id, text);
    (id, text.to_owned())
}

fn cancel(api: &mut Calendar, n: u64) {
    api.cancel(&format!("e{n:02}"));
}

fn put_entry(api: &mut CalDav, n: u64, text: &str) -> (String, String) {
    let name = format!("entry{n:02}");
    api.put(&name, text);
    (format!("{}{name}.ics", CalDav::PATH), text.to_owned())
}

fn delete_entry(api: &mut CalDav, n: u64) {
    api.delete(&format!("entry{n:02}"));
}

fn put_file(api: &mut Drive, n: u64, text: &str) -> (String, String) {
    let id = format!("f{n:02}");
    api.put(&id, text, false);
    (id, text.to_owned())
}

fn remove(api: &mut Drive, n: u64) {
    api.remove(&format!("f{n:02}"));
}

/// Of a message only the labels change, so one that is put again is marked as read.
fn put_mail(api: &mut Gmail, n: u64, text: &str) -> (String, String) {
    let id = format!("m{n:02}");
    if text.starts_with("Größe 0") || text.starts_with("Neu") {
        api.receive(&id);
        return (id.clone(), id);
    }
    api.read(&id);
    (id, r#""labelIds":["INBOX"]"#.to_owned())
}

fn delete_mail(api: &mut Gmail, n: u64) {
    api.delete(&format!("m{n:02}"));
}

/// One kind of Stripe's objects. A stock's number is not the object's: Stripe numbers them itself.
fn stripe(kind: &'static str, template: Arc<dyn Template>) -> Subject {
    let hands = match kind {
        "customer" => (
            put_customer as fn(&mut Stripe, u64, &str) -> (String, String),
            Some(delete_customer as fn(&mut Stripe, u64)),
        ),
        "charge" => (put_charge as _, None),
        "invoice" => (put_invoice as _, None),
        _ => (put_subscription as _, None),
    };
    let hands = Hands {
        make: || Stripe::at(BEGIN_S),
        put: hands.0,
        delete: hands.1,
        now: Some(|api: &Stripe| u64::try_from(api.now - BEGIN_S).unwrap_or(0)),
        set_now: |api, now| api.now = BEGIN_S + i64::try_from(now).unwrap_or(0),
    };
    stocked(template, hands).ids_at(["/data/object/id", "/id"])
}

/// Unix seconds of the beginning of 2026.
const BEGIN_S: i64 = 1_767_225_600;

fn put(api: &mut Stripe, kind: &str, n: u64, text: &str) -> (String, String) {
    if text.starts_with("Größe 0") || text.starts_with("Neu") {
        let id = api.create(kind, json!({"description": text}));
        return (id, text.to_owned());
    }
    let id = format!("{kind}_{n:04}");
    api.update(&id, json!({"description": text}));
    (id, text.to_owned())
}

fn put_customer(api: &mut Stripe, n: u64, text: &str) -> (String, String) {
    put(api, "customer", n, text)
}

fn delete_customer(api: &mut Stripe, n: u64) {
    api.delete(&format!("customer_{n:04}"));
}

fn put_charge(api: &mut Stripe, n: u64, text: &str) -> (String, String) {
    put(api, "charge", n, text)
}

fn put_invoice(api: &mut Stripe, n: u64, text: &str) -> (String, String) {
    put(api, "invoice", n, text)
}

fn put_subscription(api: &mut Stripe, n: u64, text: &str) -> (String, String) {
    put(api, "subscription", n, text)
}
