//! The schemas of integrations, in the words of other programs.

use serde_json::{Value, json};

use super::{MAX_NAME, SECRET, SETTING, TEXT};
use crate::about::schema::{array, closed, count, map, name, nullable, object, switch, text, time, words};

/// `{"data": ...}`.
pub(crate) fn data(of: Value) -> Value {
    object([("data", of)])
}

pub(super) fn integration() -> Value {
    let credentials = object([("type", json!({ "const": "OAUTH2" })), ("client_id", text())]);
    object([
        ("unique_key", text()),
        ("provider", text()),
        ("display_name", text()),
        ("logo", text()),
        ("forward_webhooks", switch()),
        ("created_at", time()),
        ("updated_at", time()),
        ("webhook_url?", nullable(text())),
        ("credentials?", nullable(credentials)),
    ])
}

fn members() -> [(&'static str, Value); 5] {
    let credentials = closed([
        ("type", json!({ "const": "OAUTH2" })),
        ("client_id", name(TEXT)),
        ("client_secret", name(SECRET)),
        ("scopes?", text()),
        ("webhook_secret?", text()),
    ]);
    let settings = || map(name(SETTING));
    [
        ("display_name?", name(200)),
        ("credentials?", credentials),
        ("forward_webhooks?", switch()),
        ("integration_config?", settings()),
        ("custom?", settings()),
    ]
}

pub(super) fn create() -> Value {
    closed(members().into_iter().chain([("provider", name(MAX_NAME)), ("unique_key", name(MAX_NAME))]))
}

pub(super) fn patch() -> Value {
    closed(members().into_iter().chain([("unique_key?", name(MAX_NAME))]))
}

/// A template or an action.
pub(crate) fn function() -> Value {
    object([
        ("name", text()),
        ("type", words(&["sync", "action"])),
        ("description", text()),
        ("scopes", array(text())),
        ("returns", array(text())),
    ])
}

/// A page of functions.
pub(super) fn functions() -> Value {
    let pagination = object(["total", "page", "limit"].map(|name| (name, count())));
    object([("data", array(function())), ("pagination", pagination)])
}
