//! Signing in with a private key: installations of GitHub Apps, and service accounts. Keys come from files only: a command line can
//! be read by every program on the machine.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use highwater::engine::credentials::OAuthTokens;
use highwater::template::Provider;
use highwater::template::auth::CredentialKind;
use highwater::{Error, ErrorKind, Result, Secret};

use super::sign_in::{Application, SIGN_IN};
use crate::output::Output;

/// The longest key file, in bytes.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct KeyOptions {
    /// Sign in as an installation of a GitHub App, with the private key in this file.
    #[arg(help_heading = SIGN_IN, long, value_name = "FILE", group = "way", requires = "installation")]
    private_key_file: Option<PathBuf>,
    /// The GitHub App's id or client id. Defaults to the client id of the integration.
    #[arg(help_heading = SIGN_IN, long, value_name = "ID", requires = "private_key_file")]
    app_id: Option<String>,
    /// The installation's number, from the end of its URL.
    #[arg(help_heading = SIGN_IN, long, value_name = "NUMBER", requires = "private_key_file")]
    installation: Option<String>,
    /// Sign in as a service account, with the JSON key file that the provider gave.
    #[arg(help_heading = SIGN_IN, long, value_name = "FILE", group = "way")]
    service_account_file: Option<PathBuf>,
    /// The user that the service account acts as, if an administrator allowed that.
    #[arg(help_heading = SIGN_IN, long, value_name = "USER", requires = "service_account_file")]
    act_as: Option<String>,
}

impl KeyOptions {
    /// The sign-in that a key file makes possible, if the options name one.
    pub(super) fn tokens(
        &self,
        provider: &Provider,
        application: &Application,
        scopes: &[String],
        output: &Output,
    ) -> Result<Option<OAuthTokens>> {
        if let (Some(file), Some(installation)) = (&self.private_key_file, &self.installation) {
            must_take(provider, CredentialKind::GitHubApp, "the provider has no GitHub Apps")?;
            let app = self.app_id.as_ref().or(application.client_id.as_ref()).ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    "the GitHub App's id is missing: add --app-id ID, from the App's settings",
                )
            })?;
            let key = read(file, output)?;
            let tokens = OAuthTokens::github_app(app, installation, key).map_err(|error| of_file(error, file))?;
            return Ok(Some(tokens));
        }
        let Some(file) = &self.service_account_file else { return Ok(None) };
        must_take(provider, CredentialKind::ServiceAccount, "the provider has no service accounts")?;
        let mut tokens = OAuthTokens::service_account(&read(file, output)?).map_err(|error| of_file(error, file))?;
        for scope in application.scopes.iter().chain(scopes) {
            tokens = tokens.scope(scope);
        }
        if let Some(user) = &self.act_as {
            tokens = tokens.subject(user);
        }
        Ok(Some(tokens))
    }
}

fn must_take(provider: &Provider, kind: CredentialKind, refusal: &str) -> Result<()> {
    if provider.auth.iter().any(|known| known.credential() == kind) {
        return Ok(());
    }
    let message = format!("{refusal}: `highwater providers show {}` lists the ways to sign in", provider.name);
    Err(Error::new(ErrorKind::Unsupported, message).with("provider", &provider.name))
}

fn of_file(error: Error, file: &Path) -> Error {
    error.with("file", file.display())
}

fn read(path: &Path, output: &Output) -> Result<Secret> {
    let unreadable = |source: std::io::Error| {
        Error::new(ErrorKind::Invalid, "the key file cannot be read: check the path and its permissions")
            .with("file", path.display())
            .because(source)
    };
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    if is_open_to_others(&found) {
        output.note(format!(
            "Other users can read {}: run `chmod 600` on it, or delete it once you are connected.",
            path.display()
        ));
    }
    Ok(Secret::new(text))
}

#[cfg(unix)]
fn is_open_to_others(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}
