//! The vault of a simulated process: it waits, fails, and tells the token endpoint what it has kept.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{CredentialStore, Credentials, Secret};
use highwater_vault::Vault;

use crate::api::Api;
use crate::disk::NAMES;
use crate::plan::Knob;
use crate::process::SECRET;
use crate::shared::Shared;

/// Connections that were removed: nothing of theirs is kept from then on.
pub(crate) type Removed = Arc<Mutex<BTreeSet<String>>>;

/// The credentials of one engine.
pub(crate) struct SimCredentials {
    pub(crate) shared: Arc<Shared>,
    pub(crate) vault: Vault,
    pub(crate) apis: Vec<Arc<Api>>,
    pub(crate) removed: Removed,
    pub(crate) life: u64,
    /// Which tokens each engine has kept: the last access token, and whose it is.
    pub(crate) latest: Arc<Mutex<Vec<(String, usize)>>>,
    pub(crate) engine: usize,
}

impl fmt::Debug for SimCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCredentials").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The credentials of a connection whose user signed in.
pub(crate) fn signed_in(tokens: OAuthTokens) -> Credentials {
    Credentials::oauth2(tokens).secret("webhook_secret", Secret::new(SECRET))
}

/// The tokens in credentials: a vault shows them to nobody else.
fn tokens_of(credentials: &Credentials) -> Option<(String, OAuthTokens)> {
    let text = credentials.to_secret().ok()?;
    let written: serde_json::Value = serde_json::from_str(text.expose()).ok()?;
    let access = written["oauth2"]["access_token"].as_str()?.to_owned();
    Some((access.clone(), OAuthTokens::new("app").access(Secret::new(access), None)))
}

#[async_trait]
impl CredentialStore for SimCredentials {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        self.shared.gate(self.life, "load credentials").await;
        if self.shared.chance(Knob::SignIn, 2) {
            self.shared.reached("vault could not be read");
            return Err(Error::new(ErrorKind::Unavailable, "the vault's key cannot be reached"));
        }
        let found = self.vault.load(connection).await?;
        if let Some((access, tokens)) = found.as_ref().and_then(tokens_of) {
            // Also what a process kept that died before the vault answered.
            if let Some(place) = NAMES.iter().position(|name| *name == connection) {
                self.apis[place].issuer.saved(&tokens);
            }
            if lock(&self.latest).iter().any(|(known, by)| *known == access && *by != self.engine) {
                self.shared.reached("renewed by the other engine");
            }
        }
        Ok(found)
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        let shared = &self.shared;
        shared.gate(self.life, "save credentials").await;
        let odd = if shared.chance(Knob::SignIn, 20) { shared.below(3) } else { usize::MAX };
        if odd == 0 {
            shared.reached("vault could not be written");
            return Err(Error::new(ErrorKind::Unavailable, "the vault's key cannot be reached"));
        }
        if odd == 1 {
            shared.reached("vault written slowly");
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let saved = self.vault.save(connection, credentials).await;
        shared.note(|| format!("engine {} keeps credentials of {connection}: {:?}", self.engine, saved.as_ref().err()));
        saved?;
        if lock(&self.removed).contains(connection) {
            shared.broken("sign-in", format!("credentials of {connection} were kept after it was removed"));
        }
        if let (Some(place), Some((access, tokens))) =
            (NAMES.iter().position(|name| *name == connection), tokens_of(credentials))
        {
            self.apis[place].issuer.saved(&tokens);
            let mut latest = lock(&self.latest);
            latest.push((access, self.engine));
            let surplus = latest.len().saturating_sub(8);
            latest.drain(..surplus);
        }
        if odd == 2 {
            shared.reached("vault written and told as failed");
            return Err(Error::new(ErrorKind::Unavailable, "the vault did not answer in time"));
        }
        Ok(())
    }

    async fn remove(&self, connection: &str) -> Result<()> {
        self.shared.gate(self.life, "remove credentials").await;
        if self.shared.chance(Knob::SignIn, 10) {
            self.shared.reached("vault could not be written");
            return Err(Error::new(ErrorKind::Unavailable, "the vault's key cannot be reached"));
        }
        self.vault.remove(connection).await
    }
}
