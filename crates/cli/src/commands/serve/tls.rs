//! The certificate of a server that speaks TLS itself.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use highwater::server::Tls;
use highwater::{Error, ErrorKind, Result};

/// The largest file that is read, in bytes.
const MOST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct TlsOptions {
    /// Answer over TLS with this certificate: a file in PEM with the server's own first, then those that lead to a root.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key: a file in PEM, not encrypted, that only its owner and group can read.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsOptions {
    pub(super) fn read(&self) -> Result<Option<Tls>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let chain = contents(certificate, "the certificate's file cannot be read: check --tls-cert", |_| true)?;
        let secret = contents(key, "the private key's file cannot be read: check --tls-key", is_private)?;
        let named = |error: Error| error.with("certificate", certificate.display()).with("key", key.display());
        Tls::from_pem(&chain, &secret).map(Some).map_err(named)
    }
}

/// Reads a file that `may` be used.
fn contents(path: &Path, failure: &'static str, may: impl Fn(&std::fs::Metadata) -> bool) -> Result<Vec<u8>> {
    let failed = |source: std::io::Error| {
        let kind = match source.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::NotFound,
        };
        Error::new(kind, failure).with("file", path.display()).because(source)
    };
    let file = File::open(path).map_err(failed)?;
    if !may(&file.metadata().map_err(failed)?) {
        let message = "everybody on this machine can read the private key: let its owner alone read it (chmod 600)";
        return Err(Error::new(ErrorKind::PermissionDenied, message).with("file", path.display()));
    }
    let mut contents = Vec::new();
    file.take(MOST + 1).read_to_end(&mut contents).map_err(failed)?;
    if contents.len() as u64 > MOST {
        let message = "the file is larger than a certificate or a key: check its name";
        return Err(Error::new(ErrorKind::Invalid, message).with("file", path.display()));
    }
    Ok(contents)
}

#[cfg(unix)]
fn is_private(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 == 0
}

#[cfg(not(unix))]
fn is_private(_: &std::fs::Metadata) -> bool {
    true
}
