//! The certificate of a server that speaks TLS itself.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use highwater::server::Tls;
use highwater::{Error, ErrorKind, Result};

use crate::output::Output;

/// The largest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// How often the files are looked at: whoever renews certificates does so days before they end.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct TlsOptions {
    /// Answer over TLS with this certificate: a file in PEM with the server's own first, then those that lead to a root.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key: a file in PEM, not encrypted, that only its owner and group can read.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// A certificate and its key, as their files were.
#[derive(Debug, PartialEq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate that a server answers with, and the files that it came from.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) tls: Tls,
    files: Files,
    read: Pair,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsOptions {
    pub(super) fn read(&self) -> Result<Option<Certificate>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let files = Files { certificate: certificate.clone(), key: key.clone() };
        let read = files.read()?;
        let tls = Tls::from_pem(&read.chain, &read.key).map_err(|error| files.name_in(error))?;
        Ok(Some(Certificate { tls, files, read }))
    }
}

impl Files {
    fn read(&self) -> Result<Pair> {
        let chain = contents(&self.certificate, "the certificate's file cannot be read: check --tls-cert", |_| true)?;
        let key = contents(&self.key, "the private key's file cannot be read: check --tls-key", is_private)?;
        Ok(Pair { chain, key })
    }

    fn name_in(&self, error: Error) -> Error {
        error.with("certificate", self.certificate.display()).with("key", self.key.display())
    }
}

impl Certificate {
    /// Switches to a renewed certificate whenever the files change. Files that cannot be used change nothing and are reported once.
    pub(super) async fn follow_files(mut self, output: &Output) {
        let mut failed = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || files.read()).await else { return };
            let outcome = match found {
                Ok(pair) if pair == self.read => {
                    failed = None;
                    continue;
                }
                Ok(pair) => self.tls.renew(&pair.chain, &pair.key).map(|()| pair),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(pair) => {
                    (self.read, failed) = (pair, None);
                    output.note("The certificate was renewed: connections from now on have it.");
                }
                // Whoever writes one file after the other is not done at the first look.
                Err(error) => match failed.replace((error.to_string(), false)) {
                    Some((text, told)) if text == error.to_string() => {
                        if !told {
                            let text = self.files.name_in(error);
                            output.note(format!("The renewed certificate is not used, and the old one stays: {text}"));
                        }
                        failed = failed.map(|(text, _)| (text, true));
                    }
                    _ => {}
                },
            }
        }
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
