//! Signatures with RSA keys: for sign-ins by a private key, and for templates of APIs that want a JSON Web Token.

use std::fmt;

use highwater_core::{Error, ErrorKind, Result};
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::secret::Secret;

/// An algorithm of RFC 7518 that signs with an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RsaAlgorithm {
    /// PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// PSS with SHA-256.
    Ps256,
    /// PSS with SHA-384.
    Ps384,
    /// PSS with SHA-512.
    Ps512,
}

impl RsaAlgorithm {
    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            RsaAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
            RsaAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
            RsaAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
            RsaAlgorithm::Ps256 => &RSA_PSS_SHA256,
            RsaAlgorithm::Ps384 => &RSA_PSS_SHA384,
            RsaAlgorithm::Ps512 => &RSA_PSS_SHA512,
        }
    }
}

/// A private RSA key of 2048 bits or more. `Debug` shows none of it.
pub struct RsaKey(RsaKeyPair);

impl RsaKey {
    /// Reads the text of a PEM file: PKCS #8 or PKCS #1, not encrypted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other text. The error does not quote it.
    pub fn from_pem(text: &Secret) -> Result<Self> {
        let der = PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
            .map_err(|_| invalid("the private key is not a PEM text: give the file as it was downloaded"))?;
        match &der {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => Self::from_pkcs1(der.secret_pkcs1_der()),
            _ => Err(invalid("the private key is not an RSA key: make a new one with the provider")),
        }
    }

    /// Reads a key in PKCS #8, as DER.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is no RSA key of 2048 bits or more.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        RsaKeyPair::from_pkcs8(der).map(RsaKey).map_err(|_| unfit())
    }

    /// Reads a key in PKCS #1, as DER.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is no RSA key of 2048 bits or more.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self> {
        RsaKeyPair::from_der(der).map(RsaKey).map_err(|_| unfit())
    }

    /// Signs a text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the system has no random numbers.
    pub fn sign(&self, algorithm: RsaAlgorithm, text: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(algorithm.encoding(), &SystemRandom::new(), text, &mut signature);
        signed.map_err(|_| Error::new(ErrorKind::Io, "the system gave no random numbers: try again"))?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(..)")
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn unfit() -> Error {
    invalid("the private key is not an RSA key of 2048 bits or more: make a new one with the provider")
}
