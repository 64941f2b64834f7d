//! Revocation of a sign-in at the provider (RFC 7009).

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::HttpResponse;
use highwater_template::auth::ClientAuth;
use highwater_template::http::Transport;
use highwater_template::redact::Redactor;
use serde_json::Value;

use super::answer;
use super::client::Client;
use super::credentials::SignInMethod;
use super::oauth::{TokenRequest, secure};
use crate::timer;

/// The longest wait for the provider.
const PATIENCE: Duration = Duration::from_secs(10);

/// The result of revoking a sign-in at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider has revoked it: its tokens no longer work.
    Revoked,
    /// There were no tokens of a sign-in: the user revokes a pasted key or a password where it was created.
    NothingToRevoke,
    /// The provider has no revocation endpoint: the user removes the application in the account's settings there.
    Unsupported,
}

impl Client {
    /// Revokes the connection's sign-in at the provider. The credentials stay unchanged.
    pub(crate) async fn revoke(&self) -> Result<Revocation> {
        let outcome = timer::timeout(PATIENCE, self.revoke_tokens()).await.unwrap_or_else(|| {
            let message = "the provider did not confirm the revocation in time: remove the application in the account's settings there";
            Err(Error::new(ErrorKind::TimedOut, message).with("seconds", PATIENCE.as_secs()))
        });
        let named = |error: Error| error.during("revoking the sign-in").with("connection", self.session().connection());
        outcome.map_err(|error| self.session().redact_error(named(error)))
    }

    async fn revoke_tokens(&self) -> Result<Revocation> {
        self.check_address()?;
        // A refresh in progress returns the token that has to be revoked.
        let _refreshing = self.session().refreshing.lock().await;
        self.session().look().await?;
        let credentials = self.session().credentials().await?;
        let SignInMethod::OAuth2(tokens) = &credentials.sign_in else { return Ok(Revocation::NothingToRevoke) };
        let (refresh, access) = (&tokens.refresh_token, &tokens.access_token);
        let given = [("refresh_token", refresh), ("access_token", access)];
        let given: Vec<_> = given.into_iter().filter_map(|(hint, token)| Some((hint, token.as_ref()?))).collect();
        if given.is_empty() || tokens.client_id.is_empty() {
            return Ok(Revocation::NothingToRevoke);
        }
        let Some(oauth) = self.provider().oauth2() else { return Ok(Revocation::Unsupported) };
        let Some(url) = oauth.revocation_url.as_deref() else { return Ok(Revocation::Unsupported) };
        secure(url, "revocation_url")?;
        // Notion's takes no member but the token.
        let hints = oauth.client != ClientAuth::BasicWithJson;
        for (hint, token) in given {
            let fields = [("token", token.expose()), ("token_type_hint", hint)];
            let fields = if hints { &fields[..] } else { &fields[..1] };
            let asked = TokenRequest { oauth: Some(oauth), tokens, fields };
            revoke_token(&asked, url, &self.provider().headers, &**self.transport()).await?;
        }
        Ok(Revocation::Revoked)
    }
}

async fn revoke_token(
    asked: &TokenRequest<'_>,
    url: &str,
    headers: &[(String, String)],
    transport: &dyn Transport,
) -> Result<()> {
    let hidden = asked.hidden();
    let mut request = asked.request_to(url, &[])?;
    for (name, value) in headers {
        if !request.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            request = request.header(name, value);
        }
    }
    let response = transport.send(request).await.map_err(|error| hidden.redact_error(error))?;
    let response = answer::readable(response, false).map_err(|unreadable| hidden.redact_error(unreadable.error))?;
    match response.status {
        200..=299 => Ok(()),
        // For a token that is no longer valid the standard requires a success (section 2.2), but Google returns an error.
        400..=499 if matches!(&*code(&response, &hidden), "invalid_token" | "invalid_grant") => Ok(()),
        status @ 300..=399 => {
            let message = "the revocation endpoint redirects, which is not followed: check the revocation URL";
            Err(Error::new(ErrorKind::Remote, message).with("status", status))
        }
        400..=499 => {
            let message = "the provider refused the revocation: check client id and secret, or remove the application in the account's settings there";
            let error = response.error(ErrorKind::Unauthorized, message).with("error", code(&response, &hidden));
            Err(hidden.redact_error(error))
        }
        _ => {
            let message = "the provider's revocation endpoint failed: try again later, or remove the application in the account's settings there";
            Err(response.error(ErrorKind::Remote, message))
        }
    }
}

/// The error code in the API's answer, if there is one.
fn code(response: &HttpResponse, hidden: &Redactor) -> String {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let code = body.get("error").and_then(Value::as_str).unwrap_or_default();
    // Searched first: what is left of a secret without its signs would not be found.
    hidden.redact(code).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}
