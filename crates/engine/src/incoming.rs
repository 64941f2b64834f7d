//! Webhooks of providers: who signed them, and under which id.

use std::time::Duration;

use highwater_core::template::{Secret, WebhookScheme};
use highwater_core::{Error, ErrorKind, Result};

use crate::signature::{Verified, fresh, refused, required, verify, verify_hex};

/// Checks a provider's webhook, in constant time: any of `secrets` may have signed it. `body` is the body as it came.
/// The id is the provider's: the same for every try of one event. [`Engine::receive`](crate::Engine::receive) does this and the rest.
///
/// ```
/// use highwater_engine::{SIGNATURE_TOLERANCE, Secret, WebhookScheme, verify_webhook};
/// let headers = [
///     ("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
///     ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
/// ];
/// let (secrets, body) = ([Secret::new("It's a Secret to Everybody")], b"Hello, World!");
/// let event = verify_webhook(WebhookScheme::GitHub, &headers, body, &secrets, 0, SIGNATURE_TOLERANCE)?;
/// assert_eq!(event.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn verify_webhook<N: AsRef<str>, V: AsRef<str>>(
    scheme: WebhookScheme,
    headers: &[(N, V)],
    body: &[u8],
    secrets: &[Secret],
    now_seconds: i64,
    tolerance: Duration,
) -> Result<Verified> {
    let get = |name: &str| required(headers, name);
    match scheme {
        WebhookScheme::GitHub => {
            let signature = get("x-hub-signature-256")?;
            let signature = signature.strip_prefix("sha256=").unwrap_or_default();
            matching(verify_hex(secrets, body, signature))?;
            Ok(Verified { id: get("x-github-delivery")?.to_owned(), timestamp: now_seconds })
        }
        WebhookScheme::Stripe => {
            let pairs: Vec<(&str, &str)> =
                get("stripe-signature")?.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
            let at = pairs.iter().find(|(name, _)| *name == "t").map_or("", |(_, value)| value);
            let timestamp = fresh(at, now_seconds, tolerance)?;
            let content = [at.as_bytes(), b".", body].concat();
            let mut signatures = pairs.iter().filter(|(name, _)| *name == "v1");
            matching(signatures.any(|(_, signature)| verify_hex(secrets, &content, signature)))?;
            Ok(Verified { id: event_id(body, "/id")?, timestamp })
        }
        WebhookScheme::Slack => {
            let at = get("x-slack-request-timestamp")?;
            let timestamp = fresh(at, now_seconds, tolerance)?;
            let content = [b"v0:", at.as_bytes(), b":", body].concat();
            let signature = get("x-slack-signature")?.strip_prefix("v0=").unwrap_or_default();
            matching(verify_hex(secrets, &content, signature))?;
            // A command or an action has no event id: its signature is as good.
            let id = event_id(body, "/event_id").unwrap_or_else(|_| signature.to_owned());
            Ok(Verified { id, timestamp })
        }
        WebhookScheme::Standard => verify(headers, body, secrets, now_seconds, tolerance),
        _ => Err(Error::new(ErrorKind::Unsupported, "this way to sign is not known here")),
    }
}

fn matching(matches: bool) -> Result<()> {
    if matches { Ok(()) } else { Err(refused("the signature does not match")) }
}

fn event_id(body: &[u8], pointer: &str) -> Result<String> {
    let event: serde_json::Value =
        serde_json::from_slice(body).map_err(|source| refused("the event is not JSON").because(source))?;
    let id = event.pointer(pointer).and_then(serde_json::Value::as_str);
    id.map(str::to_owned).ok_or_else(|| refused("the event has no id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SIGNATURE_TOLERANCE, hex_signature};

    fn check(
        scheme: WebhookScheme,
        headers: &[(&str, &str)],
        body: &str,
        secret: &str,
        now_seconds: i64,
    ) -> Result<Verified> {
        let secrets = [Secret::new("an older one"), Secret::new(secret)];
        verify_webhook(scheme, headers, body.as_bytes(), &secrets, now_seconds, SIGNATURE_TOLERANCE)
    }

    /// The vector of GitHub's documentation.
    #[test]
    fn github() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "d1")];
        let secret = "It's a Secret to Everybody";
        assert_eq!(check(WebhookScheme::GitHub, &headers, "Hello, World!", secret, 0).unwrap().id, "d1");
        assert!(check(WebhookScheme::GitHub, &headers, "Hello, World?", secret, 0).is_err());
        assert!(check(WebhookScheme::GitHub, &headers, "Hello, World!", "other", 0).is_err());
        assert!(check(WebhookScheme::GitHub, &headers[1..], "Hello, World!", secret, 0).is_err());
        assert!(
            check(WebhookScheme::GitHub, &[("x-hub-signature-256", "sha1=00"), headers[1]], "", secret, 0).is_err()
        );
    }

    /// The vector of Slack's documentation.
    #[test]
    fn slack() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
            &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=\
            https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=\
            398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let headers = [
            ("X-Slack-Request-Timestamp", "1531420618"),
            ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ];
        let secret = "8f742231b10e8888abcd99yyyzzz85a5";
        assert!(check(WebhookScheme::Slack, &headers, body, secret, 1_531_420_700).is_ok());
        assert!(check(WebhookScheme::Slack, &headers, body, secret, 1_531_421_000).is_err(), "too old");
        assert!(check(WebhookScheme::Slack, &headers, &body[1..], secret, 1_531_420_700).is_err());
    }

    #[test]
    fn stripe() {
        let (body, secret) = (r#"{"id":"evt_1","type":"invoice.paid"}"#, "whsec_test");
        let signature = hex_signature(&Secret::new(secret), format!("1700000000.{body}").as_bytes());
        let header = format!("t=1700000000,v0=00,v1=11,v1={signature}");
        let headers = [("Stripe-Signature", header.as_str())];
        let verified = check(WebhookScheme::Stripe, &headers, body, secret, 1_700_000_100).unwrap();
        assert_eq!((verified.id.as_str(), verified.timestamp), ("evt_1", 1_700_000_000));
        assert!(check(WebhookScheme::Stripe, &headers, body, secret, 1_700_000_301).is_err());
        assert!(check(WebhookScheme::Stripe, &headers, "{}", secret, 1_700_000_100).is_err());
        let later = header.replace("t=1700000000", "t=1700000001");
        assert!(check(WebhookScheme::Stripe, &[("stripe-signature", &later)], body, secret, 1_700_000_100).is_err());
        assert!(check(WebhookScheme::Stripe, &[("stripe-signature", "nonsense")], body, secret, 0).is_err());
    }
}
