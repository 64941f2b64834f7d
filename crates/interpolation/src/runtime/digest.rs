//! Hashes, message authentication and base64.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Digest;

use super::{Fault, Outcome};

/// The hash of `value`, then of `salt`, in hexadecimal.
pub(super) fn hash(kind: &str, value: &str, salt: Option<&str>) -> Outcome<String> {
    match kind {
        "md5" => Ok(digest::<md5::Md5>(value, salt)),
        "sha1" => Ok(digest::<sha1::Sha1>(value, salt)),
        "sha224" => Ok(digest::<sha2::Sha224>(value, salt)),
        "sha256" => Ok(digest::<sha2::Sha256>(value, salt)),
        "sha384" => Ok(digest::<sha2::Sha384>(value, salt)),
        "sha512" => Ok(digest::<sha2::Sha512>(value, salt)),
        other => Err(Fault::Other(format!("no hash function '{other}': use md5, sha1, sha256 or sha512"))),
    }
}

fn digest<D: Digest>(value: &str, salt: Option<&str>) -> String {
    let mut digest = D::new();
    digest.update(value.as_bytes());
    if let Some(salt) = salt {
        digest.update(salt.as_bytes());
    }
    hex::encode(digest.finalize())
}

pub(super) fn hmac_sha256(value: &str, key: &str) -> Outcome<String> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| Fault::Other("the key does not fit".to_owned()))?;
    mac.update(value.as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

pub(super) fn base64_encode(value: &str) -> String {
    STANDARD.encode(value)
}

/// As Python's `b64decode`: characters outside of the alphabet are skipped, padding must be there.
pub(super) fn base64_decode(value: &str) -> Outcome<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let kept: String = value.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')).collect();
    let bytes = LENIENT.decode(kept).map_err(|_| Fault::Other("the text is not base64".to_owned()))?;
    String::from_utf8(bytes).map_err(|_| Fault::Other("the decoded base64 is not UTF-8".to_owned()))
}
