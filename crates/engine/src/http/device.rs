//! Sign-in on another device: the device flow (RFC 8628).

use std::fmt;
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Result, Timestamp, printable};
use highwater_template::auth::OAuth2;
use highwater_template::http::Transport;
use highwater_template::redact::Redactor;
use highwater_template::{HttpRequest, HttpResponse, Secret};
use serde::Deserialize;
use serde_json::Value;

use super::answer;
use super::oauth::{TokenRequest, check_client, secure};
use super::tokens::{OAuthGrant, OAuthTokens};
use super::written::Shown;
use crate::mutants::mutant;
use crate::timer;
use crate::urls::Url;

/// The default polling interval (RFC 8628 section 3.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// The time that `slow_down` adds to the interval (section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest polling interval, and the longest wait for a code to be used.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(3600);

/// A sign-in without a local browser: the user opens an address on any device and types a short code.
///
/// Show the user [`verification_uri`](DeviceSignIn::verification_uri) and [`user_code`](DeviceSignIn::user_code), then wait
/// with [`finish`](DeviceSignIn::finish).
///
/// ```no_run
/// # async fn example(oauth: highwater_template::auth::OAuth2, transport: &dyn highwater_template::http::Transport) -> highwater_core::Result<()> {
/// use highwater_core::SystemEnvironment;
/// use highwater_engine::credentials::{DeviceSignIn, OAuthTokens};
/// let client = OAuthTokens::new("the-client-id");
/// let sign_in = DeviceSignIn::begin(&oauth, client, &["repo"], transport, &SystemEnvironment).await?;
/// println!("Open {} and enter {}", sign_in.verification_uri(), sign_in.user_code());
/// let tokens = sign_in.finish(transport, &SystemEnvironment).await?;
/// # let _ = tokens;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeviceSignIn {
    user_code: String,
    verification_uri: String,
    complete_uri: Option<String>,
    device_code: Secret,
    interval: Duration,
    life: Duration,
    expires_at: Timestamp,
    oauth: OAuth2,
    client: OAuthTokens,
}

/// The answer of the device authorization endpoint. Google uses another name for the address.
#[derive(Deserialize)]
struct Answer {
    device_code: Shown,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(alias = "verification_url_complete")]
    verification_uri_complete: Option<String>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    interval: Value,
}

impl DeviceSignIn {
    /// Requests a code from the API. `client` has the application's id, and its secret if the API needs one; `scopes` are
    /// requested in addition to those of `oauth`.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Unsupported`] if `oauth` has no device authorization endpoint.
    /// * [`ErrorKind::Invalid`] if that endpoint is not allowed (plain `http`), and if `client` has no id.
    /// * [`ErrorKind::Unauthorized`] if the API refuses the application, [`ErrorKind::Remote`] for an answer without a
    ///   code, and the errors of `transport`.
    pub async fn begin(
        oauth: &OAuth2,
        client: OAuthTokens,
        scopes: &[&str],
        transport: &dyn Transport,
        environment: &dyn Environment,
    ) -> Result<Self> {
        let url = oauth.device_url.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the provider has no device flow: sign in with a browser, or use a token",
            )
        })?;
        secure(url, "device_url")?;
        check_client(Some(oauth), &client)?;
        let client =
            OAuthTokens { scopes: oauth.scopes_with(scopes), granted: Vec::new(), grant: OAuthGrant::User, ..client };
        let hidden = Redactor::new(&client.secrets().collect::<Vec<_>>());
        let scope = client.scopes.join(&oauth.scope_separator);
        let mut fields = vec![("client_id", &*client.client_id)];
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        let request = HttpRequest::new("POST", url).header("accept", "application/json").form(fields);
        let response =
            transport.send(request).await.map_err(|error| hidden.redact_error(error.during("asking for a code")))?;
        let response = answer::readable(response, false).map_err(|unreadable| hidden.redact_error(unreadable.error))?;
        let answer = read(&response, &hidden)?;
        let seconds =
            |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|value| *value > 0.0);
        let within = |value: &Value, longest: Duration, otherwise| {
            seconds(value).map_or(otherwise, |seconds| {
                Duration::try_from_secs_f64(seconds).map_or(longest, |found| found.min(longest))
            })
        };
        let life = within(&answer.expires_in, LONGEST_LIFE, LONGEST_LIFE);
        Ok(DeviceSignIn {
            user_code: printable(&answer.user_code).to_string(),
            verification_uri: answer.verification_uri,
            complete_uri: answer.verification_uri_complete.filter(|uri| is_page(uri)),
            device_code: answer.device_code.0,
            interval: within(&answer.interval, LONGEST_INTERVAL, INTERVAL),
            life,
            expires_at: environment.now() + life,
            oauth: oauth.clone(),
            client,
        })
    }

    /// Returns the code that the user types.
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Returns the address that the user opens: `https`, or `http` on this machine.
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// Returns the address with the code in it, if the API returned one: for a link, or a QR code.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.complete_uri.as_deref()
    }

    /// Returns when the code expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Waits until the user has consented, and returns the tokens. Polls at the API's interval; failures of the network and of
    /// the API's server are retried. Drop the future to give up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] if the user refused, if the code expired (after at most one hour), and if the API
    /// refuses the application.
    pub async fn finish(&self, transport: &dyn Transport, environment: &dyn Environment) -> Result<OAuthTokens> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", self.device_code.expose()),
        ];
        let (mut interval, mut waited) = (self.interval, Duration::ZERO);
        let mut trouble = None;
        while waited < self.life {
            timer::sleep(interval).await;
            waited += interval;
            let asked = TokenRequest { oauth: Some(&self.oauth), tokens: &self.client, fields: &fields };
            let error = match asked.send(transport, environment).await {
                Ok(tokens) => return Ok(tokens),
                Err(refusal) => refusal.error,
            };
            trouble = None;
            match error.context("error").unwrap_or_default() {
                "authorization_pending" => {}
                "slow_down" if mutant!("slow-down-ignored") => {}
                "slow_down" => interval = (interval + SLOWER).min(LONGEST_INTERVAL),
                "expired_token" => return Err(expired()),
                _ if is_passing(&error) => {
                    interval = (interval * 2).min(LONGEST_INTERVAL);
                    trouble = Some(error);
                }
                _ => return Err(error),
            }
        }
        // The user may well have consented, and nobody could hear of it.
        Err(trouble.into_iter().fold(expired(), Error::because))
    }
}

/// Whether polling again may help.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Remote | ErrorKind::RateLimited)
}

fn expired() -> Error {
    Error::new(ErrorKind::Unauthorized, "the code expired before the user consented: begin the sign-in again")
}

fn read(response: &HttpResponse, hidden: &Redactor) -> Result<Answer> {
    if response.status >= 400 {
        let kind = if response.status < 500 { ErrorKind::Unauthorized } else { ErrorKind::Remote };
        let message = "the API returned no code: check the client id, and that the application may use the device flow";
        return Err(hidden.redact_error(response.error(kind, message)));
    }
    // GitHub answers with a form unless the header `accept` asks for JSON.
    let form = || {
        let fields = form_urlencoded::parse(&response.body)
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        serde_json::from_value(Value::Object(fields.collect()))
    };
    let answer: Answer = serde_json::from_slice(&response.body).or_else(|_| form()).map_err(|_| {
        Error::new(ErrorKind::Remote, "the API's answer is not a device code: check its device authorization endpoint")
            .with("status", response.status)
    })?;
    if answer.user_code.trim().is_empty()
        || answer.device_code.0.expose().is_empty()
        || !is_page(&answer.verification_uri)
    {
        let message = "the API returned no address for the code that a browser may open";
        let hidden_too = Redactor::new([&answer.device_code.0]);
        let url = hidden_too.redact(&hidden.redact(&answer.verification_uri));
        return Err(Error::new(ErrorKind::Remote, message).with("url", url));
    }
    Ok(answer)
}

/// Whether the address may be shown to a user.
fn is_page(uri: &str) -> bool {
    secure(uri, "url").is_ok() && Url::parse(uri).is_ok_and(|url| !url.has_credentials())
}

impl fmt::Debug for DeviceSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSignIn")
            .field("verification_uri", &self.verification_uri)
            .field("interval", &self.interval)
            .field("expires_at", &self.expires_at)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
