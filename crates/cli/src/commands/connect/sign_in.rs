//! The ways to sign in from a terminal.

use clap::Args;
use highwater::engine::connections::AccountChange;
use highwater::engine::credentials::{DeviceSignIn, OAuthTokens};
use highwater::engine::{CancelToken, Credentials};
use highwater::sign_in::{LoopbackHost, LoopbackRedirect, open_browser, sign_in};
use highwater::store::SystemEnvironment;
use highwater::template::Provider;
use highwater::template::auth::{AuthKind, OAuth2};
use highwater::template::http::Transport;
use highwater::{Error, ErrorKind, Result, Secret};
use serde_json::json;

use super::super::account;
use super::keys::KeyOptions;
use crate::output::Output;

/// The heading of these options in the help.
pub(super) const SIGN_IN: &str = "Sign-in";

/// The name on the page that ends a sign-in in the browser.
const APPLICATION: &str = "highwater";

#[derive(Debug, Args)]
pub(in crate::commands) struct SignInOptions {
    /// The id of the application that you sign in to, as the provider gave it.
    #[arg(help_heading = SIGN_IN, long, value_name = "ID")]
    client_id: Option<String>,
    /// The environment variable with the application's secret, for providers that want one.
    #[arg(help_heading = SIGN_IN, long, value_name = "NAME", requires = "client_id")]
    client_secret_env: Option<String>,
    /// Read that secret from standard input.
    #[arg(help_heading = SIGN_IN, long, requires = "client_id", conflicts_with_all = ["client_secret_env", "token_stdin"])]
    client_secret_stdin: bool,
    /// Ask for this scope too. May be given several times.
    #[arg(help_heading = SIGN_IN, long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Sign in by a code that you type on any device.
    #[arg(help_heading = SIGN_IN, long, group = "way")]
    device: bool,
    #[command(flatten)]
    keys: KeyOptions,
    /// Store the token in this environment variable, or `name:password` if the API uses Basic auth.
    #[arg(help_heading = SIGN_IN, long, value_name = "NAME", group = "way")]
    token_env: Option<String>,
    /// Store the token that comes on standard input.
    #[arg(help_heading = SIGN_IN, long, group = "way")]
    token_stdin: bool,
    /// Print the address of the sign-in page, and open no browser.
    #[arg(help_heading = SIGN_IN, long)]
    no_browser: bool,
    /// The port of the redirect to this machine, if the provider wants a fixed one. May be given several times: the first
    /// free one is used.
    #[arg(help_heading = SIGN_IN, long, value_name = "PORT")]
    port: Vec<u16>,
    /// Name this machine `localhost` in the redirect, for providers that accept no address there, such as Airtable.
    #[arg(help_heading = SIGN_IN, long)]
    localhost: bool,
    /// Sign the connection in also to another account than before; the records of both would mix.
    #[arg(help_heading = SIGN_IN, long)]
    allow_other_account: bool,
}

/// The application that the user signs in to, as an integration describes it.
#[derive(Debug, Default)]
pub(in crate::commands) struct Application {
    pub(in crate::commands) client_id: Option<String>,
    pub(in crate::commands) client_secret: Option<Secret>,
    pub(in crate::commands) scopes: Vec<String>,
}

impl SignInOptions {
    pub(in crate::commands) fn account_change(&self) -> AccountChange {
        if self.allow_other_account { AccountChange::Allow } else { AccountChange::Refuse }
    }

    /// Signs in. Nothing is stored yet.
    pub(in crate::commands) async fn sign_in(
        &self,
        provider: &Provider,
        application: Application,
        transport: &dyn Transport,
        output: &Output,
        cancel: &CancelToken,
    ) -> Result<Credentials> {
        if let Some(token) = self.token()? {
            return account::credentials(provider, &token);
        }
        if let Some(tokens) = self.keys.tokens(provider, &application, &self.scope, output)? {
            return Ok(Credentials::oauth2(tokens));
        }
        // A secret goes with the application it was made for.
        let secret_of_application = application.client_secret.filter(|_| self.client_id.is_none());
        let client_id = self.client_id.clone().or(application.client_id);
        let oauth = match (provider.oauth2(), client_id.is_some() || self.device) {
            (Some(oauth), true) => oauth,
            _ => return Err(self.needs_more(provider)),
        };
        let mut client = OAuthTokens::new(client_id.ok_or_else(|| self.needs_more(provider))?);
        let given = match self.client_secret_stdin {
            true => Some(account::read_stdin("client secret")?),
            false => self.client_secret_env.as_deref().map(account::read_token).transpose()?,
        };
        if let Some(secret) = given.or(secret_of_application) {
            client = client.client_secret(secret);
        }
        let scopes: Vec<&str> = application.scopes.iter().chain(&self.scope).map(String::as_str).collect();
        let signing_in = async {
            if self.device {
                by_code(oauth, client, &scopes, transport, output).await
            } else {
                self.by_browser(oauth, client, &scopes, transport, output).await
            }
        };
        let tokens = tokio::select! {
            tokens = signing_in => tokens?,
            () = cancel.cancelled() => {
                return Err(Error::new(ErrorKind::Cancelled, "the sign-in was interrupted: nothing was stored"));
            }
        };
        let missing = tokens.missing_scopes();
        if !missing.is_empty() {
            output.note(format!("The provider did not grant {}: what needs it will fail.", missing.join(", ")));
        }
        Ok(Credentials::oauth2(tokens))
    }

    fn token(&self) -> Result<Option<Secret>> {
        if let Some(name) = &self.token_env {
            return account::read_token(name).map(Some);
        }
        self.token_stdin.then(|| account::read_stdin("token")).transpose()
    }

    /// The error where nothing says how to sign in.
    fn needs_more(&self, provider: &Provider) -> Error {
        let kinds = || provider.auth.iter();
        let token = kinds().find(|kind| kind.oauth2().is_none());
        let message = match (provider.oauth2(), token) {
            (Some(_), Some(_)) if !self.device => {
                "the client id of an application is missing: register one at the provider and add --client-id ID, or make a token and add --token-env NAME"
            }
            (Some(_), _) => {
                "the client id of an application is missing: register one at the provider and add --client-id ID"
            }
            (None, _) if self.device => "the provider has no sign-in by code: add --token-env NAME",
            (None, _) => "a token is missing: make one at the provider and add --token-env NAME",
        };
        let error = Error::new(ErrorKind::Invalid, message).with("provider", &provider.name);
        let error = match provider.oauth2().map(|oauth| &oauth.page).filter(|page| !page.is_empty() && !self.device) {
            Some(page) => error.with("applications", page),
            None => error,
        };
        let page = token.and_then(AuthKind::page_url).or_else(|| kinds().find_map(AuthKind::page_url));
        match (page, kinds().find_map(AuthKind::help).filter(|help| !help.is_empty())) {
            (Some(page), _) => error.with("tokens", page),
            (None, Some(help)) => error.with("help", help),
            (None, None) => error,
        }
    }

    /// The provider's page in the browser; its redirect comes back to this machine.
    async fn by_browser(
        &self,
        oauth: &OAuth2,
        client: OAuthTokens,
        scopes: &[&str],
        transport: &dyn Transport,
        output: &Output,
    ) -> Result<OAuthTokens> {
        let host = if self.localhost { LoopbackHost::Localhost } else { LoopbackHost::default() };
        let redirect = LoopbackRedirect::builder(APPLICATION).host(host).ports(self.port.iter().copied());
        let mut redirect = redirect.bind().await?;
        let show = |url: &str| {
            output.object("sign_in", &json!({ "url": url }));
            if !self.no_browser {
                match open_browser(url) {
                    Ok(()) => {
                        output.note("The sign-in page is open in your browser. If it is not, open this address:");
                    }
                    Err(_) => output.note("No browser could be opened. Open this address:"),
                }
            } else {
                output.note("Open this address to sign in:");
            }
            output.note(url);
            Ok(())
        };
        sign_in(oauth, client, scopes, &mut redirect, show, transport, &SystemEnvironment).await
    }
}

/// A code that the user types on any device.
async fn by_code(
    oauth: &OAuth2,
    client: OAuthTokens,
    scopes: &[&str],
    transport: &dyn Transport,
    output: &Output,
) -> Result<OAuthTokens> {
    let begun = DeviceSignIn::begin(oauth, client, scopes, transport, &SystemEnvironment).await?;
    output.object(
        "sign_in",
        &json!({ "url": begun.verification_uri(), "user_code": begun.user_code(), "expires_at": begun.expires_at() }),
    );
    output.note(format!("Open {} and type the code {}", begun.verification_uri(), begun.user_code()));
    begun.finish(transport, &SystemEnvironment).await
}
