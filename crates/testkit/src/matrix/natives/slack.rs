//! Slack's users, channels and messages.

use std::sync::Arc;

use highwater_template::{HttpResponse, Template};

use super::stock::{Hands, stocked};
use crate::fake::{json, with_header};
use crate::fakes::Slack;
use crate::matrix::subject::Subject;

const CHANNEL: &str = "C1";

pub(super) fn subject(id: &str, template: Arc<dyn Template>) -> Option<Subject> {
    let subject = match id {
        "slack/users" => stocked(
            template,
            Hands { make: Slack::default, put: put_user, delete: None, now: None, set_now: |_, _| {} },
        ),
        "slack/channels" => stocked(
            template,
            Hands {
                make: Slack::default,
                put: put_channel,
                delete: Some(remove_channel),
                now: None,
                set_now: |_, _| {},
            },
        ),
        "slack/messages" => stocked(
            template,
            Hands {
                make: with_channel,
                put: put_message,
                delete: None,
                now: Some(|api: &Slack| api.now),
                set_now: |api, now| api.now = now,
            },
        )
        .ids_at(["/ts"])
        .holds_records(|request| !request.path.ends_with("conversations.list")),
        _ => return None,
    };
    Some(subject.limit_response(limited).expired_token_response(token_expired))
}

/// <https://docs.slack.dev/apis/web-api/rate-limits>, as reported in `slackapi/python-slack-sdk#347`: status 200.
fn limited() -> HttpResponse {
    with_header(json(200, r#"{"ok":false,"error":"ratelimited"}"#), "Retry-After", "1")
}

/// <https://docs.slack.dev/authentication/using-token-rotation>
fn token_expired() -> HttpResponse {
    json(200, r#"{"ok":false,"error":"token_expired"}"#)
}

fn put_user(api: &mut Slack, n: u64, text: &str) -> (String, String) {
    let id = format!("U{n:02}");
    api.put_user(&id, text);
    (id, text.to_owned())
}

fn put_channel(api: &mut Slack, n: u64, _: &str) -> (String, String) {
    let id = format!("C{n:02}");
    api.put_channel(&id, true);
    (id.clone(), id)
}

fn remove_channel(api: &mut Slack, n: u64) {
    api.remove_channel(&format!("C{n:02}"));
}

fn with_channel() -> Slack {
    let mut api = Slack::default();
    api.put_channel(CHANNEL, true);
    api
}

fn put_message(api: &mut Slack, _: u64, text: &str) -> (String, String) {
    let ts = api.post(CHANNEL, text);
    (highwater_template::records::composite_id([CHANNEL, ts.as_str()]).to_string(), text.to_owned())
}
