//! A redirect, and the trait for receiving one.

use std::fmt;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Result, printable};
use highwater_engine::credentials::{OAuthTokens, SignIn};
use highwater_template::Secret;
use highwater_template::auth::OAuth2;
use highwater_template::http::Transport;
use url::form_urlencoded;

use crate::mutants::mutant;

/// How much of the provider's own message an error quotes, in characters.
const WORDS: usize = 200;

/// The contents of a redirect: good for one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The code to exchange for tokens.
    pub code: Secret,
    /// The state that the sign-in began with.
    pub state: String,
}

impl Redirect {
    /// Reads the query of a request at the redirect URI: for a server of the host's own, which finds the sign-in that a redirect belongs
    /// to by [`state_of`](Redirect::state_of). The states are compared in constant time.
    ///
    /// ```
    /// use highwater_sign_in::Redirect;
    /// let query = "code=abc&state=xyz";
    /// assert_eq!(Redirect::state_of(query).as_deref(), Some("xyz"));
    /// assert_eq!(Redirect::of_query(query, "xyz")?.code.expose(), "abc");
    /// assert!(Redirect::of_query(query, "another").is_err());
    /// # Ok::<(), highwater_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] if the user or the provider refused and for the state of another sign-in,
    /// [`ErrorKind::Remote`] if the provider failed, [`ErrorKind::Invalid`] for what is no redirect of OAuth 2.
    pub fn of_query(query: &str, state: &str) -> Result<Redirect> {
        match Received::of_query(query, state) {
            Received::Ours(outcome) => outcome,
            Received::Stranger => {
                Err(Error::new(ErrorKind::Unauthorized, "the redirect belongs to another sign-in: begin again"))
            }
            Received::Malformed => {
                Err(Error::new(ErrorKind::Invalid, "the provider's answer is incomplete: begin the sign-in again"))
            }
        }
    }

    /// Returns the state in a query, if it stands there once.
    pub fn state_of(query: &str) -> Option<String> {
        let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
        let state = states.next()?.1.into_owned();
        states.next().is_none().then_some(state)
    }
}

/// Receives the redirect at the end of a sign-in.
#[async_trait]
pub trait RedirectStrategy: fmt::Debug + Send {
    /// Returns the redirect URI: part of the sign-in's address, and registered with the provider.
    fn redirect_uri(&self) -> &str;

    /// Waits for the redirect of the sign-in with this state. Redirects with another state are ignored.
    ///
    /// Returns an error for a refusal that the provider sent with the right state, and if no redirect can arrive any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] if the user or the provider refused, [`ErrorKind::Remote`] if the provider failed,
    /// [`ErrorKind::Cancelled`] if no redirect can arrive any more.
    async fn receive(&mut self, state: &str) -> Result<Redirect>;
}

/// Signs a user in: passes the address of the provider's page to `show`, waits for the redirect, and exchanges its code for
/// tokens.
///
/// `client` has the application's id, and its secret if it has one; `scopes` are requested in addition to those of `oauth`.
///
/// # Errors
///
/// Those of [`SignIn::begin`], of `show`, of [`RedirectStrategy::receive`], and of [`SignIn::finish`].
pub async fn sign_in(
    oauth: &OAuth2,
    client: OAuthTokens,
    scopes: &[&str],
    redirect: &mut dyn RedirectStrategy,
    show: impl FnOnce(&str) -> Result<()> + Send,
    transport: &dyn Transport,
    environment: &dyn Environment,
) -> Result<OAuthTokens> {
    let begun = SignIn::begin(oauth, client, redirect.redirect_uri(), scopes, environment)?;
    show(begun.url())?;
    let received = redirect.receive(begun.state()).await?;
    begun.finish(received.code.expose(), &received.state, transport, environment).await
}

/// The meaning of a request's parameters at the redirect URI.
#[derive(Debug)]
pub(crate) enum Received {
    /// The expected redirect: its code, or the provider's refusal.
    Ours(Result<Redirect>),
    /// A redirect with another state: a forged one, or one of an earlier sign-in.
    Stranger,
    /// Not a redirect of OAuth 2.
    Malformed,
}

impl Received {
    /// Reads the query of a redirect.
    pub(crate) fn of_query(query: &str, state: &str) -> Self {
        let values = |name: &str| {
            let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
            let first = found.next().map(|(_, value)| value.into_owned());
            (first, found.next().is_some())
        };
        let [(code, codes), (given, states), (error, errors)] = ["code", "state", "error"].map(values);
        // RFC 6749 section 3.1: no parameter comes twice.
        if (codes || states || errors) && !mutant!("parameters-twice") {
            return Received::Malformed;
        }
        match given {
            Some(given) if mutant!("state-not-compared") || is_same(&given, state) => {}
            Some(_) => return Received::Stranger,
            None => return Received::Malformed,
        }
        match (code, error) {
            (_, Some(error)) => Received::Ours(Err(refused(&error, values("error_description").0.as_deref()))),
            (Some(code), None) if !code.is_empty() => {
                Received::Ours(Ok(Redirect { code: Secret::new(code), state: state.to_owned() }))
            }
            _ => Received::Malformed,
        }
    }
}

/// Compares in constant time.
fn is_same(given: &str, expected: &str) -> bool {
    given.len() == expected.len()
        && given.bytes().zip(expected.bytes()).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// The codes of RFC 6749 section 4.1.2.1.
fn refused(code: &str, description: Option<&str>) -> Error {
    let (kind, message) = match code {
        "access_denied" => (
            ErrorKind::Unauthorized,
            "the sign-in was refused: consent on the provider's page, or ask an administrator of the account to allow the application",
        ),
        "server_error" | "temporarily_unavailable" => {
            (ErrorKind::Remote, "the provider could not complete the sign-in: try again later")
        }
        "invalid_scope" => (ErrorKind::Invalid, "the provider does not know a requested scope"),
        "unauthorized_client" | "invalid_client" => (
            ErrorKind::Invalid,
            "the provider does not let this application sign users in: check the client id, and what is registered for it",
        ),
        _ => (ErrorKind::Unauthorized, "the provider ended the sign-in: begin again"),
    };
    let quoted = |text: &str| printable(&text.chars().take(WORDS).collect::<String>()).to_string();
    let error = Error::new(kind, message).with("error", quoted(code));
    match description {
        Some(description) => error.with("description", quoted(description)),
        None => error,
    }
}
