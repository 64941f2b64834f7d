//! Verifies a provider's webhooks: their signature, their id, and their contents.

use std::borrow::Cow;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::Secret;
use highwater_template::records::text_at;
use highwater_template::webhooks::WebhookScheme;
use serde::de::IgnoredAny;

use crate::webhooks::signature::{VerifiedWebhook, fresh, header, refused, required, values, verify, verify_hex};

/// Verifies a provider's webhook, in constant time: any of `secrets` may have signed it. `body` is the unchanged body.
/// The id is the provider's: the same for every attempt at one event. [`Engine::receive`](crate::Engine::receive) calls this.
///
/// ```
/// use highwater_core::Timestamp;
/// use highwater_engine::Secret;
/// use highwater_engine::webhooks::{SIGNATURE_TOLERANCE, WebhookScheme, verify_webhook};
/// let headers = [
///     ("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
///     ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
/// ];
/// let (secrets, body) = ([Secret::new("It's a Secret to Everybody")], b"Hello, World!");
/// let event = verify_webhook(WebhookScheme::GitHub, &headers, body, &secrets, Timestamp::UNIX_EPOCH, SIGNATURE_TOLERANCE)?;
/// assert_eq!(event.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Unauthorized`] for a webhook that is not genuine, too old or from the future; [`ErrorKind::Invalid`] for a genuine one
/// whose event has no id; [`ErrorKind::Unsupported`] for a scheme that this version does not know.
pub fn verify_webhook<N: AsRef<str>, V: AsRef<str>>(
    scheme: WebhookScheme,
    headers: &[(N, V)],
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<VerifiedWebhook> {
    let get = |name: &'static str| required(headers, name);
    // A repeated header may have been joined by a comma. Any of the signatures is sufficient: none can be forged.
    let each = |name: &'static str| values(headers, name).flat_map(|value| value.split(',')).map(str::trim);
    match scheme {
        WebhookScheme::GitHub => {
            get("x-hub-signature-256")?;
            let mut signatures = each("x-hub-signature-256").filter_map(|value| value.strip_prefix("sha256="));
            matching(signatures.any(|signature| verify_hex(secrets, body, signature)))?;
            Ok(VerifiedWebhook { id: get("x-github-delivery")?.to_owned(), sent_at: now })
        }
        WebhookScheme::Stripe => {
            get("stripe-signature")?;
            let pairs: Vec<(&str, &str)> = each("stripe-signature").filter_map(|pair| pair.split_once('=')).collect();
            let at = pairs.iter().find(|(name, _)| *name == "t").map_or("", |(_, value)| value);
            let sent_at = fresh(at, now, tolerance)?;
            let content = [at.as_bytes(), b".", body].concat();
            let mut signatures = pairs.iter().filter(|(name, _)| *name == "v1");
            matching(signatures.any(|(_, signature)| verify_hex(secrets, &content, signature)))?;
            Ok(VerifiedWebhook { id: event_id(body, "/id")?, sent_at })
        }
        WebhookScheme::Slack => {
            let at = get("x-slack-request-timestamp")?;
            let sent_at = fresh(at, now, tolerance)?;
            let content = [b"v0:", at.as_bytes(), b":", body].concat();
            get("x-slack-signature")?;
            let mut signatures = each("x-slack-signature").filter_map(|value| value.strip_prefix("v0="));
            let signature = signatures.find(|signature| verify_hex(secrets, &content, signature));
            let signature = signature.ok_or_else(mismatch)?;
            // A command or an action has no event id: its signature serves as one.
            let id = event_id(body, "/event_id").unwrap_or_else(|_| signature.to_owned());
            Ok(VerifiedWebhook { id, sent_at })
        }
        WebhookScheme::Standard => verify(headers, body, secrets, now, tolerance),
        _ => Err(Error::new(ErrorKind::Unsupported, "this version does not know this signature scheme")),
    }
}

fn matching(matches: bool) -> Result<()> {
    if matches { Ok(()) } else { Err(mismatch()) }
}

fn mismatch() -> Error {
    refused("the signature does not match")
}

/// The id within the body of an event whose signature matched.
fn event_id(body: &[u8], pointer: &str) -> Result<String> {
    let unusable = |message: &'static str| Error::new(ErrorKind::Invalid, message).during("verify");
    let id = text_at(body, pointer).map_err(|source| unusable("the event is not JSON").because(source))?;
    id.ok_or_else(|| unusable("the event has no id"))
}

/// The contents of a genuine webhook.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'b> {
    /// An event, as JSON.
    Event(Cow<'b, [u8]>),
    /// The provider wants to see this text in the answer.
    Challenge(String),
    /// What no sync has a use for, such as a command of a chat.
    Other,
}

/// What a webhook carries, once its signature was checked.
///
/// GitHub sends a form unless JSON is chosen, with the event as its member `payload`
/// (<https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks>). Slack sends events as JSON, interactions as a form
/// with `payload`, commands as a form without; and once, before all others, a challenge
/// (<https://docs.slack.dev/reference/events/url_verification>).
pub(crate) fn content<'b, N: AsRef<str>, V: AsRef<str>>(
    scheme: WebhookScheme,
    headers: &[(N, V)],
    body: &'b [u8],
) -> Result<Content<'b>> {
    let event = if is_form(headers, body) {
        match form_urlencoded::parse(body).find(|(name, _)| name == "payload") {
            Some((_, payload)) => Cow::Owned(payload.into_owned().into_bytes()),
            None if scheme == WebhookScheme::Slack => return Ok(Content::Other),
            None => {
                return Err(Error::new(ErrorKind::Invalid, "the event came as a form without the member `payload`"));
            }
        }
    } else {
        Cow::Borrowed(body)
    };
    serde_json::from_slice::<IgnoredAny>(&event).map_err(|source| {
        Error::new(ErrorKind::Invalid, "the event's body is not JSON: hand it over as it came").because(source)
    })?;
    if scheme == WebhookScheme::Slack && text_at(&event, "/type")?.as_deref() == Some("url_verification") {
        let challenge = text_at(&event, "/challenge")?;
        return Ok(Content::Challenge(challenge.unwrap_or_default()));
    }
    Ok(Content::Event(event))
}

/// Proxies and frameworks change the content type; JSON does not begin like this.
fn is_form<N: AsRef<str>, V: AsRef<str>>(headers: &[(N, V)], body: &[u8]) -> bool {
    let media_type = header(headers, "content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    let declared = media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    body.starts_with(b"payload=") || (declared && !body.trim_ascii_start().starts_with(b"{"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::signature::{SIGNATURE_TOLERANCE, hex_signature};

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    fn check(
        scheme: WebhookScheme,
        headers: &[(&str, &str)],
        body: &str,
        secret: &str,
        now_seconds: u64,
    ) -> Result<VerifiedWebhook> {
        let secrets = [Secret::new("an older one"), Secret::new(secret)];
        verify_webhook(scheme, headers, body.as_bytes(), &secrets, seconds(now_seconds), SIGNATURE_TOLERANCE)
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
        assert_eq!((verified.id.as_str(), verified.sent_at), ("evt_1", seconds(1_700_000_000)));
        assert!(check(WebhookScheme::Stripe, &headers, body, secret, 1_700_000_301).is_err());
        assert!(check(WebhookScheme::Stripe, &headers, "{}", secret, 1_700_000_100).is_err());
        let later = header.replace("t=1700000000", "t=1700000001");
        assert!(check(WebhookScheme::Stripe, &[("stripe-signature", &later)], body, secret, 1_700_000_100).is_err());
        assert!(check(WebhookScheme::Stripe, &[("stripe-signature", "nonsense")], body, secret, 0).is_err());
    }
    /// The bytes are signed, not the text: emoji, a lone surrogate's bytes, what no text is.
    #[test]
    fn signatures_are_those_of_the_bytes() {
        let secret = [Secret::new("It's a Secret to Everybody \u{1f511}")];
        for body in [
            &b"{\"title\": \"\xf0\x9f\x92\xa7\"}"[..],
            b"{\"title\": \"\\ud83d\"}",
            b"\xed\xa0\xbd",
            b"\xff\0",
            b"{}\r\n",
            b"",
        ] {
            let signature = format!("sha256={}", hex_signature(&secret[0], body));
            let headers = [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", "d1")];
            let check = |body: &[u8]| {
                verify_webhook(
                    WebhookScheme::GitHub,
                    &headers,
                    body,
                    &secret,
                    Timestamp::UNIX_EPOCH,
                    SIGNATURE_TOLERANCE,
                )
            };
            assert!(check(body).is_ok());
            assert!(check(&[body, b" "].concat()).is_err());
        }
    }

    #[test]
    fn a_signature_header_that_came_twice() {
        let (secret, body) = ("It's a Secret to Everybody", "Hello, World!");
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let with = |signatures: &[&str]| {
            let headers: Vec<(&str, &str)> = signatures.iter().map(|value| ("X-Hub-Signature-256", *value)).collect();
            check(WebhookScheme::GitHub, &[&headers[..], &[("X-GitHub-Delivery", "d1")]].concat(), body, secret, 0)
        };
        assert!(with(&["sha256=00", good]).is_ok());
        assert!(with(&[&format!("sha256=00, {good}")]).is_ok());
        for forged in [&["", "sha256="][..], &["sha256=00", "sha1=00"], &["757107ea"], &[]] {
            assert_eq!(with(forged).unwrap_err().kind(), ErrorKind::Unauthorized);
        }
    }

    #[test]
    fn events_come_as_json_and_as_forms() {
        let form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
        let json = [("content-type", "application/json")];
        let of = |scheme, headers: &[(&str, &str)], body: &str| match content(scheme, headers, body.as_bytes()) {
            Ok(Content::Event(event)) => String::from_utf8(event.into_owned()).unwrap(),
            Ok(Content::Challenge(challenge)) => format!("challenge {challenge}"),
            Ok(Content::Other) => "other".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        let (github, slack) = (WebhookScheme::GitHub, WebhookScheme::Slack);
        let encoded = "payload=%7B%22a%22%3A+%22%C3%A9+%26+%3D%22%7D";
        assert_eq!(of(github, &form, encoded), r#"{"a": "é & ="}"#);
        assert_eq!(of(github, &[], encoded), of(github, &form, encoded), "whatever the content type");
        assert_eq!(of(github, &json, r#"{"a": 1}"#), r#"{"a": 1}"#);
        assert_eq!(of(github, &[("content-type", "text/plain")], r#"{"a": 1}"#), r#"{"a": 1}"#);
        assert_eq!(of(github, &form, r#" {"a": "b&payload=c"}"#), r#" {"a": "b&payload=c"}"#, "a wrong content type");
        for body in ["", "payload", "payload=", "payload=%7B", "a=b", "%ff"] {
            assert_eq!(of(github, &form, body), "Invalid", "{body}");
        }
        for body in ["", "{", "{} {}", "\u{feff}{}", "<xml/>"] {
            assert_eq!(of(github, &json, body), "Invalid", "{body}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(of(github, &json, &deep), deep, "no depth is too much");
        assert_eq!(of(slack, &form, "command=%2Fweather&text=94070"), "other");
        assert_eq!(of(slack, &form, "payload=%7B%22type%22%3A%22block_actions%22%7D"), r#"{"type":"block_actions"}"#);
        let challenge = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}"#;
        assert_eq!(of(slack, &json, challenge), "challenge 3eZbrw1aBm2rZgRNFdxV");
        assert_eq!(of(github, &json, challenge), challenge);
    }
}
