//! Creates and verifies signatures over HTTP bodies: Standard Webhooks, and plain HMAC in hexadecimal.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::Secret;
use hmac_sha256::{HMAC, Hash};

/// Written with padding, read with or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How long a secret is by the specification of Standard Webhooks, in bytes
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#symmetric>).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The two sets of header names: those of the specification, and those of Svix, its origin.
const FAMILIES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

/// The default tolerance between the clocks of sender and receiver, in either direction.
pub const SIGNATURE_TOLERANCE: Duration = Duration::from_secs(300);

/// The signed facts of a verified delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedWebhook {
    /// The delivery's id: the same for every attempt. Store it to detect duplicates.
    pub id: String,
    /// When it was sent. For providers that sign no time, such as GitHub, when it was verified.
    pub sent_at: Timestamp,
}

/// Verifies a delivery by the rules of Standard Webhooks, in constant time. Any of `secrets` may have signed it, so that they
/// can be rotated without a gap. The headers are `webhook-id`, `webhook-timestamp` and `webhook-signature`, or the same with
/// `svix-`. `body` is the unchanged body, not a parsed and re-serialized one.
///
/// A secret is Base64, with or without `whsec_`, padding, and surrounding blanks or line breaks. Its length is not checked here;
/// only an empty one matches nothing.
///
/// # Errors
///
/// [`ErrorKind::Unauthorized`] for a delivery that is not genuine, too old or from the future; [`ErrorKind::Invalid`] if none of
/// the secrets is Base64.
///
/// ```
/// use highwater_core::Timestamp;
/// use highwater_engine::Secret;
/// use highwater_engine::webhooks::{SIGNATURE_TOLERANCE, verify};
/// let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
/// let headers = [
///     ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
///     ("webhook-timestamp", "1614265330"),
///     ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
/// ];
/// let now = Timestamp::from_unix_ms(1_614_265_330_000); // use the current time
/// let verified = verify(&headers, br#"{"test": 2432232314}"#, &[secret], now, SIGNATURE_TOLERANCE)?;
/// assert_eq!(verified.id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn verify<N: AsRef<str>, V: AsRef<str>>(
    headers: &[(N, V)],
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<VerifiedWebhook> {
    let mut problem = None;
    for names @ [id, timestamp, _] in FAMILIES {
        if let Some(missing) = names.iter().find(|name| header(headers, name).is_none()) {
            let any = names.iter().any(|name| header(headers, name).is_some());
            if any || problem.is_none() {
                problem = Some(missing_header(missing));
            }
            continue;
        }
        let (id, timestamp) = (required(headers, id)?, required(headers, timestamp)?);
        match verify_standard(id, timestamp, values(headers, names[2]), body, secrets, now, tolerance) {
            Ok(verified) => return Ok(verified),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| refused("the signature does not match")))
}

fn verify_standard<'h>(
    id: &str,
    timestamp: &str,
    mut signatures: impl Iterator<Item = &'h str>,
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<VerifiedWebhook> {
    let sent_at = fresh(timestamp, now, tolerance)?;
    let keys = secrets.iter().map(key_of).filter(|key| key.is_ok()).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Err(not_base64());
    }
    let content = signed_content(id, timestamp.trim(), body);
    let matches = signatures.any(|value| {
        // Repeated headers may have been joined by commas.
        let given = value.split(' ').filter_map(|signature| signature.trim_matches(',').strip_prefix("v1,"));
        given
            .filter_map(|signature| BASE64.decode(signature).ok())
            .any(|given| keys.iter().any(|key| hmac_matches(key, &content, &given)))
    });
    if !matches {
        return Err(refused("the signature does not match"));
    }
    Ok(VerifiedWebhook { id: id.to_owned(), sent_at })
}

/// The header of a delivery: one signature per secret, separated by blanks.
pub(crate) fn standard_signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> Result<String> {
    let content = signed_content(id, &timestamp.to_string(), body);
    let signatures = secrets
        .iter()
        .map(|secret| key_of(secret).map(|key| format!("v1,{}", BASE64.encode(HMAC::mac(&content, &key)))));
    signatures.collect::<Result<Vec<_>>>().map(|signatures| signatures.join(" "))
}

/// The HMAC of a body in hexadecimal, keyed with the secret's text.
pub(crate) fn hex_signature(secret: &Secret, body: &[u8]) -> String {
    hex::encode(HMAC::mac(body, secret.expose()))
}

/// The SHA-256 of the secret's text and the body in hexadecimal.
pub(crate) fn plain_signature(secret: &Secret, body: &[u8]) -> String {
    let mut hash = Hash::new();
    hash.update(secret.expose());
    hash.update(body);
    hex::encode(hash.finalize())
}

/// Verifies the simple form, the header `X-Highwater-Hmac-Sha256`: returns whether `signature`, in hexadecimal, was computed over
/// `content` with any of the secrets. An empty secret matches nothing. It does not protect against replays: prefer [`verify`].
pub fn verify_hex(secrets: &[Secret], content: &[u8], signature: &str) -> bool {
    hex::decode(signature).is_ok_and(|given| {
        secrets.iter().flat_map(written_keys).any(|key| hmac_matches(key.as_bytes(), content, &given))
    })
}

/// A secret's text, and the same without the trailing line break of a file. An empty secret is ignored: anybody could sign with
/// it.
fn written_keys(secret: &Secret) -> impl Iterator<Item = &str> {
    let (written, trimmed) = (secret.expose(), secret.expose().trim());
    let also = (trimmed.len() < written.len()).then_some(trimmed);
    [Some(written), also].into_iter().flatten().filter(move |_| !trimmed.is_empty())
}

/// Reads Unix seconds and checks that they are close to now.
pub(crate) fn fresh(timestamp: &str, now: Timestamp, tolerance: Duration) -> Result<Timestamp> {
    let seconds: i64 = timestamp.trim().parse().map_err(|_| refused("the signature's timestamp is not a number"))?;
    let now_seconds = i64::try_from(now.unix_ms() / 1000).unwrap_or(i64::MAX);
    if seconds.abs_diff(now_seconds) > tolerance.as_secs() {
        return Err(refused("the signature is too old, or from the future: check the clock")
            .with("timestamp", seconds)
            .with("now", now_seconds));
    }
    Ok(Timestamp::from_unix_ms(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}

/// A header's value, whatever the case of its name.
pub(crate) fn header<'h, N: AsRef<str>, V: AsRef<str>>(headers: &'h [(N, V)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
}

/// Every value of a header that came more than once.
pub(crate) fn values<'h, N: AsRef<str>, V: AsRef<str>>(
    headers: &'h [(N, V)],
    name: &'h str,
) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |(known, _)| known.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
}

/// A required header.
pub(crate) fn required<'h, N: AsRef<str>, V: AsRef<str>>(headers: &'h [(N, V)], name: &str) -> Result<&'h str> {
    header(headers, name).ok_or_else(|| missing_header(name))
}

fn missing_header(name: &str) -> Error {
    refused("a header of the signature is missing").with("header", name)
}

pub(crate) fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::Unauthorized, message).during("verify")
}

/// A secret to sign with, without surrounding blanks, of the length that the specification requires.
pub(crate) fn signing_secret(secret: &Secret) -> Result<Secret> {
    let key = key_of(secret)?;
    if !SECRET_BYTES.contains(&key.len()) {
        let message = "a webhook secret has 24 to 64 bytes, in Base64: generate a random one";
        return Err(Error::new(ErrorKind::Invalid, message).with("bytes", key.len()));
    }
    Ok(Secret::new(secret.expose().trim()))
}

/// A secret's bytes: Base64, with or without the prefix `whsec_`.
fn key_of(secret: &Secret) -> Result<Vec<u8>> {
    let text = secret.expose().trim();
    let text = text.strip_prefix("whsec_").unwrap_or(text);
    BASE64.decode(text).ok().filter(|key| !key.is_empty()).ok_or_else(not_base64)
}

fn not_base64() -> Error {
    Error::new(ErrorKind::Invalid, "a webhook secret is `whsec_` and 24 to 64 bytes in Base64")
}

fn signed_content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    content
}

fn hmac_matches(key: &[u8], content: &[u8], given: &[u8]) -> bool {
    // In constant time.
    given.try_into().is_ok_and(|given| HMAC::verify(content, key, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    /// The vector of the Standard Webhooks libraries.
    #[test]
    fn standard_webhooks_vector() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signatures =
            standard_signatures(std::slice::from_ref(&secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
                .unwrap();
        assert_eq!(signatures, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let headers = |signature: &str, timestamp: &str| {
            vec![
                ("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()),
                ("WEBHOOK-TIMESTAMP", timestamp.to_owned()),
                ("webhook-signature", signature.to_owned()),
            ]
        };
        let check = |headers: &[(&str, String)], body: &[u8], secrets: &[Secret], now: u64| {
            verify(headers, body, secrets, seconds(now), SIGNATURE_TOLERANCE)
        };
        let now = 1_614_265_330;
        let other = Secret::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let good = headers(&format!("v1a,xx v1,AAAA {signatures}"), "1614265330");
        assert!(check(&good, body, &[other.clone(), secret.clone()], now).is_ok());
        assert!(check(&good, body, std::slice::from_ref(&secret), now + 300).is_ok());
        for (headers, body, secret, now) in [
            (good.clone(), &body[..], &other, now),
            (good.clone(), &b"{}"[..], &secret, now),
            (good.clone(), &body[..], &secret, now + 301),
            (good.clone(), &body[..], &secret, now - 301),
            (headers(&signatures, "1614265331"), &body[..], &secret, now),
            (headers(&signatures, "soon"), &body[..], &secret, now),
            (headers("", "1614265330"), &body[..], &secret, now),
            (good[..2].to_vec(), &body[..], &secret, now),
        ] {
            let error = check(&headers, body, std::slice::from_ref(secret), now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
        }
    }

    #[test]
    fn secrets_are_random_bytes_of_the_length_that_is_asked_for() {
        let bytes = |count: usize| BASE64.encode(vec![7; count]);
        for secret in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n".to_owned(),
            bytes(24),
            bytes(64),
            bytes(32),
            bytes(32).trim_end_matches('=').to_owned(),
            bytes(25).trim_end_matches('=').to_owned(),
        ] {
            let signing = signing_secret(&Secret::new(&*secret)).expect(&secret);
            assert_eq!(signing.expose(), secret.trim());
            assert!(standard_signatures(&[signing], "a", 1, b"").is_ok());
        }
        for secret in [
            String::new(),
            "whsec_".to_owned(),
            "password".to_owned(),
            "AAAA".to_owned(),
            bytes(1),
            bytes(23),
            bytes(65),
            "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            "correct horse battery staple, 32!".to_owned(),
        ] {
            let error = signing_secret(&Secret::new(&*secret)).expect_err(&secret);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(secret.len() < 8 || !error.to_string().contains(&secret), "{error}");
        }
    }

    #[test]
    fn either_family_of_headers_and_repeated_ones_are_read() {
        let secret = [Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")];
        let (id, at, good) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let body = br#"{"test": 2432232314}"#;
        let check =
            |headers: &[(&str, &str)]| verify(headers, body, &secret, seconds(1_614_265_330), SIGNATURE_TOLERANCE);
        let svix = [("Svix-Id", id), ("Svix-Timestamp", at), ("Svix-Signature", good)];
        let standard = [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", good)];
        let forged = [("webhook-id", "x"), ("webhook-timestamp", at), ("webhook-signature", good)];
        assert_eq!(check(&svix).unwrap().id, id);
        assert_eq!(check(&[standard, svix].concat()).unwrap().id, id);
        assert_eq!(check(&[forged, svix].concat()).unwrap().id, id, "what is signed counts");
        assert_eq!(check(&[&standard[..2], &svix].concat()).unwrap().id, id);
        // A header that came twice, as it is or joined by whoever took it.
        assert!(check(&[standard[0], standard[1], ("webhook-signature", "v1,AAAA"), standard[2]]).is_ok());
        let joined = format!("v1,AAAA, {good}");
        assert!(check(&[standard[0], standard[1], ("webhook-signature", &joined)]).is_ok());
        let unpadded = good.trim_end_matches('=');
        assert!(check(&[standard[0], standard[1], ("webhook-signature", unpadded)]).is_ok());
        // Of the two ids the first is signed; a second one takes its place in nothing.
        let error = check(&[("webhook-id", "x"), standard[0], standard[1], standard[2]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        // The families do not mix.
        let error = check(&[standard[0], standard[1], svix[2]]).unwrap_err();
        assert_eq!((error.kind(), error.context("header")), (ErrorKind::Unauthorized, Some("svix-id")));
        assert_eq!(check(&svix[1..]).unwrap_err().context("header"), Some("svix-id"));
        assert_eq!(check(&[]).unwrap_err().context("header"), Some("webhook-id"));
        let none = verify(&standard, body, &[Secret::new("not base64!")], seconds(1_614_265_330), SIGNATURE_TOLERANCE);
        assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
    }

    /// The vector of a client that checks the hexadecimal form.
    #[test]
    fn hexadecimal_vector() {
        let secret = Secret::new("12345678-1234-4123-8123-123456789abc");
        let body = br#"{"from":"nango","success":true,"type":"sync"}"#;
        let expected = "ab2b2bc2801cae3357920a2507c28b7ed252dc5f9e1f0dd31fe364c0b936ff05";
        assert_eq!(hex_signature(&secret, body), expected);
        let plain = "514afa5780dd193774eb84d4cb5395b65ed8b8f001c8f0d5329a95be078eb2fe";
        assert_eq!(plain_signature(&secret, body), plain);
        assert!(verify_hex(std::slice::from_ref(&secret), body, &expected.to_uppercase()));
        assert!(!verify_hex(std::slice::from_ref(&secret), body, &expected[2..]));
        assert!(!verify_hex(&[secret], b"", expected));
        // Read from a file, with its line end; and nothing at all, which anybody could sign with.
        assert!(verify_hex(&[Secret::new(""), Secret::new("12345678-1234-4123-8123-123456789abc\n")], body, expected));
        for empty in ["", " ", "\r\n"] {
            let secret = Secret::new(empty);
            assert!(!verify_hex(std::slice::from_ref(&secret), body, &hex_signature(&secret, body)));
        }
    }
}
