//! Signs JSON Web Tokens (RFC 7519, RFC 7518).

mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::rsa::{RsaAlgorithm, RsaKey};
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair};
use rustls_pki_types::PrivateKeyDer;

use super::context::Run;
use crate::document::is_truthy;
use crate::model::Jwt;
use highwater_interpolation::{LiteralTypes, Map, Value, python_text};
use keys::{of_curve, private_key};

impl Jwt {
    pub(super) fn sign(&self, run: &Run<'_>) -> Result<String> {
        let scope = run.scope();
        let variables = scope.with_parameters(&self.parameters);
        let map = |map: &Map| run.interpolator.evaluate_mapping(map, &variables, LiteralTypes::ALL);
        let mut header = map(&self.additional_headers)?;
        header.extend(map(&self.headers)?.into_iter().filter(|(_, value)| !value.is_null()));
        header.get_or_insert_with("typ", || "JWT".into());
        header.insert("alg".into(), self.algorithm.clone().into());
        // Members stand as the reference writes them: some receivers compare whole tokens.
        header.sort_keys();
        let mut payload = map(&self.additional_payload)?;
        let mut claims = map(&self.payload)?;
        let known = ["iss", "sub", "aud"].map(|name| (name.to_owned(), claims.shift_remove(name).unwrap_or_default()));
        payload.extend(known.into_iter().chain(claims).filter(|(_, value)| !value.is_null()));
        let now = run.now().timestamp();
        payload.insert("iat".into(), now.into());
        payload.insert("exp".into(), (now + self.duration).into());
        payload.insert("nbf".into(), now.into());
        let passphrase = self.passphrase.as_ref().map(|passphrase| passphrase.value(&scope)).transpose()?;
        let passphrase = passphrase.filter(is_truthy).map(|passphrase| python_text(&passphrase));
        let mut secret = self.secret.text(&scope)?;
        let encodes =
            self.secret_is_base64.as_ref().map(|condition| condition.holds(&scope)).transpose()?.unwrap_or(false);
        if encodes && passphrase.is_none() {
            secret = STANDARD.encode(secret);
        }
        let part = |map: Map| URL_SAFE_NO_PAD.encode(Value::Object(map).to_string());
        let signed = format!("{}.{}", part(header), part(payload));
        let key = Key { text: &secret, passphrase: passphrase.as_deref() };
        let signature = signature(&self.algorithm, key, signed.as_bytes()).map_err(|reason| {
            Error::new(ErrorKind::Invalid, format!("the JWT cannot be signed: {reason}")).with("at", &self.path)
        })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A secret, or a private key as a text.
#[derive(Clone, Copy)]
struct Key<'k> {
    text: &'k str,
    passphrase: Option<&'k str>,
}

type Signature = std::result::Result<Vec<u8>, &'static str>;

/// The signature of `text`, or what is wrong with the key.
fn signature(algorithm: &str, key: Key<'_>, text: &[u8]) -> Signature {
    match algorithm {
        "HS256" => mac::<Hmac<sha2::Sha256>>(key, text),
        "HS384" => mac::<Hmac<sha2::Sha384>>(key, text),
        "HS512" => mac::<Hmac<sha2::Sha512>>(key, text),
        "RS256" => rsa(RsaAlgorithm::Rs256, key, text),
        "RS384" => rsa(RsaAlgorithm::Rs384, key, text),
        "RS512" => rsa(RsaAlgorithm::Rs512, key, text),
        "PS256" => rsa(RsaAlgorithm::Ps256, key, text),
        "PS384" => rsa(RsaAlgorithm::Ps384, key, text),
        "PS512" => rsa(RsaAlgorithm::Ps512, key, text),
        "ES256" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, P256, key, text),
        "ES384" => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, P384, key, text),
        "EdDSA" => {
            let PrivateKeyDer::Pkcs8(der) = private_key(key.text, key.passphrase)? else {
                return Err("give the key in PKCS #8 (`openssl pkcs8 -topk8 -nocrypt`)");
            };
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
            Ok(pair.map_err(|_| "the key is not an Ed25519 key")?.sign(text).as_ref().to_vec())
        }
        _ => Err("the algorithm is not built in"),
    }
}

/// Object identifiers in DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

fn mac<M: Mac + KeyInit>(key: Key<'_>, text: &[u8]) -> Signature {
    if key.passphrase.is_some() {
        return Err("a passphrase belongs to an encrypted private key: remove it, or name the key's algorithm");
    }
    let mut mac = <M as KeyInit>::new_from_slice(key.text.as_bytes()).map_err(|_| "the key has no length to use")?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn rsa(algorithm: RsaAlgorithm, key: Key<'_>, text: &[u8]) -> Signature {
    let key = match private_key(key.text, key.passphrase)? {
        PrivateKeyDer::Pkcs8(der) => RsaKey::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKey::from_pkcs1(der.secret_pkcs1_der()),
        _ => return Err("the key is not an RSA key"),
    };
    let key = key.map_err(|_| "the key is not an RSA key of 2048 bits or more")?;
    key.sign(algorithm, text).map_err(|_| "the system has no random numbers")
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, curve: &[u8], key: Key<'_>, text: &[u8]) -> Signature {
    let der = of_curve(&private_key(key.text, key.passphrase)?, curve)?;
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der, &random)
        .map_err(|_| "the key is of no such curve, or lacks its public part")?;
    let signed = pair.sign(&random, text).map_err(|_| "the system has no random numbers")?;
    Ok(signed.as_ref().to_vec())
}

#[cfg(test)]
mod tests;
