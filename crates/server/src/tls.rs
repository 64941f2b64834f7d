//! TLS for a server that runs alone: the certificate, and connections that begin with a handshake.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, RwLock};

use highwater_core::locks::{read, write};
use highwater_core::{Error, ErrorKind, Result};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::serve::Patient;
use crate::server::Server;

/// A certificate and its private key, with which [`Server::serve_tls`] answers.
///
/// TLS 1.3 and 1.2 are spoken, and HTTP/1.1 within it. Clones are one: what [`renew`](Tls::renew) changes, it changes for all.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificates in PEM, the server's own first and then those that lead to a root, and the private key of the first, in
    /// PEM and not encrypted (PKCS #8, PKCS #1 or SEC1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a text without a certificate or without a key, and for a key that is not the certificate's.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        config(certificates, key).map(|config| Tls(Arc::new(RwLock::new(config))))
    }

    /// Answers with another certificate, in the form that [`from_pem`](Tls::from_pem) reads: each handshake from now on has it.
    /// Connections that are open keep theirs.
    ///
    /// # Errors
    ///
    /// Those of [`from_pem`](Tls::from_pem); the old certificate then stays in use.
    pub fn renew(&self, certificates: &[u8], key: &[u8]) -> Result<()> {
        *write(&self.0) = config(certificates, key)?;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&read(&self.0)))
    }
}

fn config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificates).collect::<std::result::Result<_, _>>().map_err(|error| {
            invalid("the certificate is not in PEM: give the file as the authority issued it").because(error)
        })?;
    if chain.is_empty() {
        return Err(invalid(
            "there is no certificate in PEM: give the server's own first, then those that lead to a root",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let message = match error {
            pem::Error::NoItemsFound => "there is no private key in PEM: give one that is not encrypted",
            _ => "the private key is not in PEM: give one that is not encrypted",
        };
        invalid(message).because(error)
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| {
        let message = match &error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "the private key is not that of the first certificate: give the key that it was issued for"
            }
            _ => {
                "the certificate or its key cannot be used: give an X.509 certificate with an RSA, ECDSA or Ed25519 key"
            }
        };
        invalid(message).because(error)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Marks requests that came over TLS.
#[derive(Clone, Copy)]
pub(crate) struct Encrypted;

impl Server {
    /// The same as [`serve`](Server::serve) over TLS. A handshake must end within [`Limits::head_time`](crate::Limits::head_time).
    ///
    /// # Errors
    ///
    /// None at present: a connection that fails concerns nobody else.
    pub async fn serve_tls(&self, listener: TcpListener, tls: &Tls, until: impl Future<Output = ()>) -> Result<()> {
        let router = self.router().layer(axum::Extension(Encrypted));
        let serve = |stream| {
            let (server, acceptor, router) = (self.clone(), tls.acceptor(), router.clone());
            async move {
                let limits = &server.state.limits;
                let handshake = acceptor.accept(Patient::new(stream, limits.stall_time));
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(limits.head_time, handshake) => shaken,
                    () = server.state.stopping.cancelled() => return,
                };
                match shaken {
                    Ok(Ok(stream)) => server.connection(stream, router).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        };
        self.accept(listener, until, serve).await
    }
}
