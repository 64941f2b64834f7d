//! Reads private keys from PEM texts, with or without a passphrase.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

type Read<T> = Result<T, &'static str>;

const ENCRYPTED: (&str, &str) = ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----");
/// Keys of before PKCS #8, encrypted in a way of OpenSSL's own.
const OLD_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";
const OLD: &str = "the key is encrypted in an old way: convert it (`openssl pkcs8 -topk8 -v2 aes256`)";

/// The key in a PEM text. A passphrase belongs to an encrypted key, and to no other.
pub(super) fn private_key(text: &str, passphrase: Option<&str>) -> Read<PrivateKeyDer<'static>> {
    if text.contains(OLD_ENCRYPTED) {
        return Err(OLD);
    }
    match (encrypted(text), passphrase) {
        (Some(encrypted), Some(passphrase)) => decrypted(encrypted, passphrase),
        (Some(_), None) => Err("the key is encrypted: give its `passphrase`"),
        (None, Some(_)) => Err("there is a passphrase, and the key is not encrypted: remove one or give the other"),
        (None, None) => {
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "the key is not the PEM text of a private key")
        }
    }
}

fn encrypted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(ENCRYPTED.0)?;
    Some(rest.split_once(ENCRYPTED.1)?.0)
}

fn decrypted(base64: &str, passphrase: &str) -> Read<PrivateKeyDer<'static>> {
    let unreadable = "the encrypted key cannot be read: give it as PKCS #8 in PEM, unchanged";
    let compact: String = base64.split_whitespace().collect();
    let bytes = STANDARD.decode(compact).map_err(|_| unreadable)?;
    let info = EncryptedPrivateKeyInfoRef::try_from(bytes.as_slice()).map_err(|_| unreadable)?;
    let key = info.decrypt(passphrase).map_err(|_| "the passphrase does not open the key: check both")?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}

/// An elliptic curve's key in PKCS #8, whatever it came in. `curve` is the curve's object identifier in DER.
pub(super) fn of_curve(key: &PrivateKeyDer<'_>, curve: &[u8]) -> Read<Vec<u8>> {
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    match key {
        PrivateKeyDer::Pkcs8(der) => Ok(der.secret_pkcs8_der().to_vec()),
        PrivateKeyDer::Sec1(der) => {
            let algorithm = tagged(0x30, &[EC_PUBLIC_KEY, curve].concat())?;
            let inner = tagged(0x04, der.secret_sec1_der())?;
            tagged(0x30, &[&[0x02, 0x01, 0x00], algorithm.as_slice(), &inner].concat())
        }
        _ => Err("the key is of no elliptic curve"),
    }
}

/// A value of DER behind its tag and length.
fn tagged(tag: u8, value: &[u8]) -> Read<Vec<u8>> {
    let length = u16::try_from(value.len()).map_err(|_| "the key is too long for its curve")?;
    let [high, low] = length.to_be_bytes();
    let mut der = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend_from_slice(value);
    Ok(der)
}
