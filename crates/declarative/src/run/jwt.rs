//! Tokens that are signed here: JWT (RFC 7519, RFC 7518).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use highwater_core::{Error, ErrorKind, Result};
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::context::Run;
use crate::interpolation::LiteralTypes;
use crate::manifest::is_truthy;
use crate::model::Jwt;

impl Jwt {
    pub(super) fn sign(&self, run: &Run<'_>) -> Result<String> {
        let scope = run.scope();
        let variables = scope.with_parameters(&self.parameters);
        let map = |map: &Map<String, Value>| run.interpolator.evaluate_mapping(map, &variables, LiteralTypes::ALL);
        let mut header = map(&self.additional_headers)?;
        header.extend(map(&self.headers)?.into_iter().filter(|(_, value)| !value.is_null()));
        header.entry("typ").or_insert_with(|| "JWT".into());
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
        if passphrase.as_ref().is_some_and(is_truthy) {
            let message = "a key with a passphrase is not read: give the key without one, and no passphrase";
            return Err(Error::new(ErrorKind::Unsupported, message).with("at", &self.path));
        }
        let mut secret = self.secret.text(&scope)?;
        if self.secret_is_base64.as_ref().map(|condition| condition.holds(&scope)).transpose()?.unwrap_or(false) {
            secret = STANDARD.encode(secret);
        }
        let part = |map: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(map).to_string());
        let signed = format!("{}.{}", part(header), part(payload));
        let signature = signature(&self.algorithm, &secret, signed.as_bytes()).map_err(|reason| {
            Error::new(ErrorKind::Invalid, format!("the JWT cannot be signed: {reason}")).with("at", &self.path)
        })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The signature of `text`, or what is wrong with the key.
fn signature(algorithm: &str, key: &str, text: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    match algorithm {
        "HS256" => mac::<Hmac<sha2::Sha256>>(key, text),
        "HS384" => mac::<Hmac<sha2::Sha384>>(key, text),
        "HS512" => mac::<Hmac<sha2::Sha512>>(key, text),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256, key, text),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384, key, text),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512, key, text),
        "PS256" => rsa(&signature::RSA_PSS_SHA256, key, text),
        "PS384" => rsa(&signature::RSA_PSS_SHA384, key, text),
        "PS512" => rsa(&signature::RSA_PSS_SHA512, key, text),
        "ES256" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, key, text),
        "ES384" => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, key, text),
        "EdDSA" => {
            let PrivateKeyDer::Pkcs8(der) = pem(key)? else { return Err(PKCS8) };
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
            Ok(pair.map_err(|_| "the key is no Ed25519 key")?.sign(text).as_ref().to_vec())
        }
        _ => Err("the algorithm is not built in"),
    }
}

const PKCS8: &str = "give the key in PKCS #8 (`openssl pkcs8 -topk8 -nocrypt`)";

fn mac<M: Mac + KeyInit>(key: &str, text: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).map_err(|_| "the key has no length to use")?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn rsa(encoding: &'static dyn RsaEncoding, key: &str, text: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    let pair = match pem(key)? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("the key is no RSA key"),
    };
    let pair = pair.map_err(|_| "the key is no RSA key of 2048 bits or more")?;
    let mut signed = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), text, &mut signed).map_err(|_| "the system has no random numbers")?;
    Ok(signed)
}

fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    key: &str,
    text: &[u8],
) -> std::result::Result<Vec<u8>, &'static str> {
    let PrivateKeyDer::Pkcs8(der) = pem(key)? else { return Err(PKCS8) };
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &random)
        .map_err(|_| "the key is of no such curve, or lacks its public part")?;
    let signed = pair.sign(&random, text).map_err(|_| "the system has no random numbers")?;
    Ok(signed.as_ref().to_vec())
}

fn pem(key: &str) -> std::result::Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "the key is no PEM text of a private key without a passphrase")
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
