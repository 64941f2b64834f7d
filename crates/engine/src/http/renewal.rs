//! Renews credentials: one renewal per connection at a time, and the result is saved before it is used.
//!
//! A single-use refresh token is used up by the request that sends it. So the request belongs to the session and not to the
//! run that started it: if the run is stopped, the next one awaits the same answer. Tokens that the host could not save stay
//! here, and nothing is sent before it has saved them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Result, Store, StoreFuture, Timestamp};
use highwater_template::Secret;
use highwater_template::auth::{OAuth2, SecretRenewal};
use highwater_template::http::Transport;
use highwater_template::redact::Redactor;

use super::address::Address;
use super::credential_store::CredentialStore;
use super::credentials::{Credentials, SignInMethod};
use super::oauth::{self, Refusal};
use super::session::Session;
use super::tokens::{OAuthGrant, OAuthTokens};
use super::turn::{Turn, Watch};
use crate::documents::{Finding, Obstacle, SignInReason, connection_key};
use crate::errors::no_connection;
use crate::mutants::mutant;
use crate::timer;
use crate::urls::Url;

/// Pauses between tries to have renewed tokens kept. The host's vault may be busy, or locked for a moment.
const KEEPING: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

/// How many refresh tokens are tried in a row: ours, and one that another process has saved in the meantime.
const TRIES: usize = 2;

const REFRESH_REFUSED: Finding = Finding::Failed(Obstacle::NeedsSignIn(SignInReason::RefreshRefused));
const REVOKED: Finding = Finding::Failed(Obstacle::Revoked);

/// The state that one refresh leaves to the next.
#[derive(Default)]
pub(super) struct Refreshing {
    /// A request in progress. The run that started it may have ended.
    asked: Option<Asked>,
    /// The refresh token that the API refused for good: it is not sent again.
    refused: Option<Secret>,
    /// The end of the pause that the token endpoint asked for, in Unix milliseconds.
    quiet_until: Timestamp,
    /// Another process that refreshes them.
    others: Watch,
}

struct Asked {
    /// The refresh token that was sent.
    old: OAuthTokens,
    answer: Pin<Box<dyn Future<Output = Result<OAuthTokens, Refusal>> + Send>>,
}

impl fmt::Debug for Refreshing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshing").field("under_way", &self.asked.is_some()).finish_non_exhaustive()
    }
}

/// The parts that a renewal needs besides the session.
pub(super) struct Way<'w> {
    pub(super) oauth: Option<&'w OAuth2>,
    /// The API's base URL.
    pub(super) base_url: Option<&'w Url>,
    /// The origins that credentials may be sent to.
    pub(super) address: &'w Address,
    pub(super) transport: &'w Arc<dyn Transport>,
    pub(super) environment: &'w Arc<dyn Environment>,
    pub(super) store: &'w Arc<dyn Store>,
    /// The engine's id.
    pub(super) engine: &'w str,
}

/// Where turns among processes are taken.
pub(crate) struct Place<'w> {
    pub(crate) store: &'w Arc<dyn Store>,
    pub(crate) environment: &'w Arc<dyn Environment>,
    /// The engine's name among others.
    pub(crate) engine: &'w str,
}

impl Session {
    /// Returns whether there are now other credentials than the ones used. `refused` says that the API rejected these.
    pub(super) async fn refresh(&self, way: &Way<'_>, used: &Credentials, refused: bool) -> Result<bool> {
        let SignInMethod::OAuth2(old) = &used.sign_in else { return Ok(false) };
        if !old.can_refresh() {
            return self.look_for_others(old, refused, way.environment.now()).await;
        }
        let mut refreshing = self.refreshing.lock().await;
        if refreshing.asked.is_some()
            && let Err(refusal) = self.await_answer(&mut refreshing).await
        {
            let error = self.redact_error(refusal.error);
            tracing::debug!(target: "highwater::http", "a refresh failed after its run was stopped: {error}");
        }
        let mut turn = self.turn(way, "tokens", &mut refreshing.others).await?;
        let refreshed = async {
            self.check_connected(way.store).await?;
            self.refresh_alone(way, old, refused, &mut refreshing).await
        };
        let outcome = match &mut turn {
            Some(turn) => turn.during(refreshed).await,
            None => refreshed.await,
        };
        // Others would send a refresh token that is used up. They wait until ours is kept, or the turn's term is over.
        if let Some(turn) = turn.filter(|_| !self.is_unsaved() || mutant!("turn-ended-unsaved")) {
            turn.end().await;
        }
        outcome
    }

    /// Has the host keep renewed tokens, trying again for a while.
    async fn save_renewed(&self) -> Result<()> {
        for pause in KEEPING {
            match self.save().await {
                Err(error) if error.is_retryable() => {
                    tracing::debug!(target: "highwater::http", "renewed tokens are not kept yet: {error}");
                }
                outcome => return outcome,
            }
            timer::sleep(pause).await;
        }
        self.save().await
    }

    /// Handles tokens without a refresh token: the user may have signed in again, in this process or another.
    async fn look_for_others(&self, old: &OAuthTokens, refused: bool, now: Timestamp) -> Result<bool> {
        if !refused && old.access_token.is_some() {
            return Ok(false);
        }
        self.look().await?;
        let known = self.credentials().await?;
        let SignInMethod::OAuth2(tokens) = &known.sign_in else { return Ok(true) };
        if tokens.access_token != old.access_token || tokens.can_refresh() {
            return Ok(true);
        }
        let (reason, message) = match &old.access_token {
            None => (
                SignInReason::NoCredentials,
                "there is no access token, and no way to get one: sign in, or use client credentials",
            ),
            Some(_) if old.expires_at.is_some_and(|end| end <= now) => {
                (SignInReason::Expired, "the sign-in has ended, and there is no refresh token: sign in again")
            }
            Some(_) => return Ok(false),
        };
        self.note(Finding::Failed(Obstacle::NeedsSignIn(reason)));
        Err(self.named(Error::new(ErrorKind::Unauthorized, message)))
    }

    async fn refresh_alone(
        &self,
        way: &Way<'_>,
        old: &OAuthTokens,
        refused: bool,
        refreshing: &mut Refreshing,
    ) -> Result<bool> {
        self.save().await?;
        // Another process may have renewed them, or the user signed in again.
        self.look().await?;
        let mut tries = 0;
        loop {
            let now = self.credentials().await?;
            let SignInMethod::OAuth2(tokens) = now.sign_in else { return Ok(true) };
            let tokens = *tokens;
            let changed = tokens.access_token != old.access_token;
            let now = way.environment.now();
            let due = tokens.is_due(now);
            if !due && (changed || !refused) {
                return Ok(true);
            }
            if !tokens.can_refresh() {
                return Ok(changed);
            }
            let is_over = tokens.refresh_token.is_some() && tokens.refresh_token == refreshing.refused;
            if is_over && !mutant!("over-asked-again") {
                self.note(REFRESH_REFUSED);
                return Err(self.named(oauth::over()));
            }
            if refreshing.quiet_until > now {
                let wait = refreshing.quiet_until.duration_since(now);
                let message = "the token endpoint asked to wait: try again later";
                return Err(self.named(Error::new(ErrorKind::RateLimited, message).retry_in(wait)));
            }
            way.address.check_token_url(&tokens).map_err(|error| self.named(error))?;
            let (oauth, base_url, sent) = (way.oauth.cloned(), way.base_url.cloned(), tokens.clone());
            let (transport, environment) = (Arc::clone(way.transport), Arc::clone(way.environment));
            let answer = Box::pin(async move {
                oauth::refresh(oauth.as_ref(), base_url.as_ref(), &sent, &*transport, &*environment).await
            });
            refreshing.asked = Some(Asked { old: tokens.clone(), answer });
            tries += 1;
            match self.await_answer(refreshing).await {
                Ok(()) if mutant!("renewed-used-unsaved") => return Ok(true),
                Ok(()) => return self.save_renewed().await.map(|()| true),
                Err(Refusal { error, over: true }) => {
                    self.look().await?;
                    if tries < TRIES && self.take_other_than(tokens.refresh_token.as_ref()) {
                        continue;
                    }
                    refreshing.refused = tokens.refresh_token;
                    self.note(if error.context("error") == Some("token_revoked") { REVOKED } else { REFRESH_REFUSED });
                    return Err(self.named(error));
                }
                Err(Refusal { error, .. }) => {
                    let denied = error.kind() == ErrorKind::Unauthorized
                        && (tokens.grant == OAuthGrant::ClientCredentials
                            || error.context("error") == Some("access_denied"));
                    if denied {
                        self.note(REFRESH_REFUSED);
                    }
                    if let Some(wait) = error.retry_after() {
                        refreshing.quiet_until = now + wait;
                    }
                    return Err(self.named(error));
                }
            }
        }
    }

    /// Awaits the request in progress. Dropping this future does not cancel the request.
    async fn await_answer(&self, refreshing: &mut Refreshing) -> Result<(), Refusal> {
        let Some(asked) = &mut refreshing.asked else { return Ok(()) };
        let answer = asked.answer.as_mut().await;
        let old = refreshing.asked.take().map(|asked| asked.old);
        let fresh = answer?;
        if fresh.refresh_token != old.as_ref().and_then(|old| old.refresh_token.clone()) && !self.has_store() {
            tracing::warn!(
                target: "highwater::http",
                connection = self.connection(),
                "the API returned a new refresh token, but there is no credential store to save it: add one to the engine",
            );
        }
        self.change(|credentials| {
            // A newer sign-in takes precedence.
            if let (SignInMethod::OAuth2(tokens), Some(old)) = (&mut credentials.sign_in, old)
                && **tokens == old
            {
                **tokens = fresh;
            }
        });
        Ok(())
    }

    /// Renews a template's own secret settings, one renewal at a time.
    pub(super) async fn renew_secrets(&self, way: &Way<'_>, renewal: &mut dyn SecretRenewal) -> Result<()> {
        let mut others = self.renewing.lock().await;
        let mut turn = self.turn(way, "secrets", &mut others).await?;
        let renewed = async {
            self.check_connected(way.store).await?;
            self.save().await?;
            self.look().await?;
            let changed = renewal.renew(&|name| self.known()?.named(name)).await?;
            if changed.is_empty() {
                return Ok(());
            }
            self.change(|credentials| credentials.secrets.extend(changed));
            self.save().await
        };
        let outcome = match &mut turn {
            Some(turn) => turn.during(renewed).await,
            None => renewed.await,
        };
        if let Some(turn) = turn {
            turn.end().await;
        }
        outcome
    }

    /// Saves renewed credentials that the host does not have yet, unless the connection was removed meanwhile.
    pub(super) async fn save_late(&self, way: &Way<'_>) -> Result<()> {
        if !self.is_unsaved() {
            return Ok(());
        }
        let mut refreshing = self.refreshing.lock().await;
        let mut turn = self.turn(way, "tokens", &mut refreshing.others).await?;
        let saving = async {
            self.check_connected(way.store).await?;
            self.save().await
        };
        let saved = match &mut turn {
            Some(turn) => turn.during(saving).await,
            None => saving.await,
        };
        if let Some(turn) = turn.filter(|_| !self.is_unsaved()) {
            turn.end().await;
        }
        saved
    }

    /// Refuses a sign-in that could not be kept.
    pub(crate) fn must_keep(&self) -> Result<&Arc<dyn CredentialStore>> {
        self.store().ok_or_else(|| {
            self.named(Error::new(
                ErrorKind::Unsupported,
                "the engine has no credential store to keep a sign-in: build it with one, or use the credentials for as long \
                 as it lives",
            ))
        })
    }

    /// Saves credentials of a new sign-in durably; then uses them. The caller is in [`change_alone`](Session::change_alone).
    pub(crate) async fn save_sign_in(&self, store: &Arc<dyn Store>, credentials: &Credentials) -> Result<()> {
        let kept = self.must_keep()?;
        self.check_connected(store).await?;
        let _alone = self.keeping.lock().await;
        kept.save(self.connection(), credentials).await.map_err(|error| {
            let error = Redactor::new(&credentials.all_secrets()).redact_error(self.redact_error(error));
            self.named(error.during("keeping the credentials of a sign-in"))
        })?;
        self.replace(credentials);
        Ok(())
    }

    /// Changes what the host keeps, while nobody renews the credentials, in any process. If it succeeds, what is under way or was
    /// refused belongs to the credentials before.
    pub(crate) async fn change_alone(&self, place: &Place<'_>, change: StoreFuture<'_, ()>) -> Result<()> {
        let mut others = self.renewing.lock().await;
        if !self.has_store() {
            return change.await;
        }
        let mut secrets = self.take_turn(place, "secrets", &mut others).await?;
        let changed = secrets.during(async {
            let mut refreshing = self.refreshing.lock().await;
            let mut tokens = self.take_turn(place, "tokens", &mut refreshing.others).await?;
            let changed = tokens.during(change).await;
            if changed.is_ok() {
                *refreshing = Refreshing::default();
            }
            tokens.end().await;
            changed
        });
        let changed = changed.await;
        secrets.end().await;
        changed
    }

    /// Refuses to renew, and so to keep, credentials of a connection that was removed.
    async fn check_connected(&self, store: &Arc<dyn Store>) -> Result<()> {
        if self.has_store() && store.document(&connection_key(self.connection())).await?.is_none() {
            return Err(no_connection(self.connection()));
        }
        Ok(())
    }

    async fn take_turn(&self, place: &Place<'_>, what: &str, others: &mut Watch) -> Result<Turn> {
        let name = format!("{}/{what}", self.connection());
        Turn::take(place.store, place.environment, &name, place.engine, others).await
    }

    /// The lock across processes, if they can share credentials at all.
    async fn turn(&self, way: &Way<'_>, what: &str, others: &mut Watch) -> Result<Option<Turn>> {
        if !self.has_store() || mutant!("refresh-out-of-turn") {
            return Ok(None);
        }
        let place = Place { store: way.store, environment: way.environment, engine: way.engine };
        self.take_turn(&place, what, others).await.map(Some)
    }
}
