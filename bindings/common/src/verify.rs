//! Verifying webhooks without an engine.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater::engine::webhooks::{SIGNATURE_TOLERANCE, WebhookScheme, verify_webhook as verify};
use highwater::store::{Environment, SystemEnvironment};
use highwater::{Secret, Timestamp};
use serde::Deserialize;
use serde_json::json;

use crate::arguments;
use crate::failure::Outcome;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    scheme: Scheme,
    headers: BTreeMap<String, String>,
    secrets: Vec<String>,
    tolerance_ms: Option<u64>,
    /// The time to judge by, instead of the clock's.
    now: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scheme {
    #[serde(rename = "github")]
    GitHub,
    Stripe,
    Slack,
    Standard,
}

/// Verifies a provider's webhook, in constant time. `arguments` is JSON: `scheme` (`github`, `stripe`, `slack` or `standard`),
/// `headers`, `secrets` (any of them may have signed), `tolerance_ms` (five minutes by default) and `now`. `body` is the body as it came.
/// Returns `{"id": TEXT, "sent_at": TIME}`.
///
/// # Errors
///
/// `unauthorized` for a webhook that is not genuine or too old, `invalid` for arguments that cannot be used.
pub fn verify_webhook(arguments: &str, body: &[u8]) -> Outcome<String> {
    let given: Arguments = arguments::read("verify_webhook", arguments)?;
    let scheme = match given.scheme {
        Scheme::GitHub => WebhookScheme::GitHub,
        Scheme::Stripe => WebhookScheme::Stripe,
        Scheme::Slack => WebhookScheme::Slack,
        Scheme::Standard => WebhookScheme::Standard,
    };
    let headers: Vec<(String, String)> = given.headers.into_iter().collect();
    let secrets: Vec<Secret> = given.secrets.into_iter().map(Secret::new).collect();
    let now = match given.now {
        Some(text) => text.parse::<Timestamp>()?,
        None => SystemEnvironment.now(),
    };
    let tolerance = given.tolerance_ms.map_or(SIGNATURE_TOLERANCE, Duration::from_millis);
    let event = verify(scheme, &headers, body, &secrets, now, tolerance)?;
    Ok(json!({ "id": event.id, "sent_at": event.sent_at }).to_string())
}
