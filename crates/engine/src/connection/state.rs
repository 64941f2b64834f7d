//! What there is to know of connections. Read from the store alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use highwater_core::timestamp::unix_ms;
use highwater_core::{ErrorKind, Json, Result, Timestamp};
use highwater_template::Account;
use serde::Serialize;

use crate::documents::{
    ConnectionError, ConnectionHealth, ConnectionSettings, HealthKind, StoredConnection, StoredHealth, SyncKey,
    SyncStatus, connection_key, health_key,
};
use crate::engine::Engine;
use crate::errors::no_connection;

/// Documents read at a time.
const PAGE: usize = 500;

/// Connections of a page, unless the filter says otherwise.
const LIMIT: usize = 100;

/// Everything there is to show about a connection. Read from the store alone; it holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConnectionState {
    /// Its settings, with what its integration says where it says nothing itself.
    pub settings: ConnectionSettings,
    /// When it was connected first; kept when it is connected again. None for connections of earlier versions.
    #[serde(rename = "created_ms", with = "unix_ms::option")]
    pub created_at: Option<Timestamp>,
    /// When the last successful run of any of its syncs ended. Actions and requests of the host's own do not count.
    #[serde(rename = "last_fetched_ms", with = "unix_ms::option")]
    pub last_fetched_at: Option<Timestamp>,
    /// How it stands with its API.
    pub health: ConnectionHealth,
    /// Whose account it is, as the API told at the last sign-in or verification; unknown where the provider declares no request
    /// for that.
    #[serde(skip_serializing_if = "Account::is_unknown")]
    pub account: Account,
    /// Why somebody has to sign in again, or else the error of the sync that ran last of those whose last run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ConnectionError>,
}

/// Which connections. All conditions apply together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionFilter {
    /// With this id.
    pub id: Option<String>,
    /// Of one of these integrations, by [`ConnectionSettings::integration_key`]; empty: of any.
    pub integrations: BTreeSet<String>,
    /// Of this provider.
    pub provider: Option<String>,
    /// With all these tags.
    pub tags: BTreeMap<String, String>,
    /// Of the end user with this id.
    pub end_user: Option<String>,
    /// Of end users of the organisation with this id.
    pub organisation: Option<String>,
    /// With this text in the id, the display name, or the end user's mail address, ignoring case.
    pub text: Option<String>,
    /// That stand so.
    pub health: Option<HealthKind>,
    /// The order of the page.
    pub order: ConnectionOrder,
    /// Where to continue in order of ids: the last page's `next`.
    pub after: Option<String>,
    /// How many connections to leave out at the beginning.
    pub skip: usize,
    /// The maximum number of connections. Defaults to 100.
    pub limit: Option<usize>,
}

/// The order of connections on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionOrder {
    /// In order of their ids. A page costs what it shows, however many connections there are.
    #[default]
    Id,
    /// The newest first; those of unknown age last. All connections are read for it.
    NewestFirst,
}

impl ConnectionFilter {
    /// With this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Of this integration, or another one that is named too.
    #[must_use]
    pub fn integration(mut self, key: impl Into<String>) -> Self {
        self.integrations.insert(key.into());
        self
    }

    /// Of this provider.
    #[must_use]
    pub fn provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// With this tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Of this end user.
    #[must_use]
    pub fn end_user(mut self, id: impl Into<String>) -> Self {
        self.end_user = Some(id.into());
        self
    }

    /// Of end users of this organisation.
    #[must_use]
    pub fn organisation(mut self, id: impl Into<String>) -> Self {
        self.organisation = Some(id.into());
        self
    }

    /// With this text in the id, the display name, or the end user's mail address, ignoring case.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// In this order.
    #[must_use]
    pub fn order(mut self, order: ConnectionOrder) -> Self {
        self.order = order;
        self
    }

    /// Without so many at the beginning.
    #[must_use]
    pub fn skip(mut self, connections: usize) -> Self {
        self.skip = connections;
        self
    }

    /// That stand so.
    #[must_use]
    pub fn health(mut self, kind: HealthKind) -> Self {
        self.health = Some(kind);
        self
    }

    /// Behind the page that named this.
    #[must_use]
    pub fn after(mut self, next: Option<String>) -> Self {
        self.after = next;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    fn takes(&self, settings: &ConnectionSettings) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        let user = settings.end_user.as_ref();
        is(&self.id, Some(&settings.id))
            && (self.integrations.is_empty() || self.integrations.contains(settings.integration_key()))
            && is(&self.provider, Some(&settings.provider))
            && is(&self.end_user, user.map(|user| user.id.as_str()))
            && is(&self.organisation, user.and_then(|user| user.organisation.as_deref()))
            && self.tags.iter().all(|(name, value)| settings.tags.get(name) == Some(value))
            && self.finds_text(settings)
    }

    fn finds_text(&self, settings: &ConnectionSettings) -> bool {
        let Some(wanted) = self.text.as_ref().map(|text| text.to_lowercase()) else { return true };
        let email = settings.end_user.as_ref().and_then(|user| user.email.as_deref());
        let texts = [Some(settings.id.as_str()), settings.display_name.as_deref(), email];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&wanted))
    }
}

/// A page of connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<ConnectionState>,
    /// Where the next page begins in order of ids; none at the end, and in another order.
    pub next: Option<String>,
}

impl Engine {
    /// Returns everything there is to show about a connection. Read from the store, without any network.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// let state = engine.connection_state("github-main").await?;
    /// if state.health.needs_sign_in() {
    ///     println!("sign in again: {:?}", state.last_error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection.
    pub async fn connection_state(&self, connection: &str) -> Result<ConnectionState> {
        let stored = self.store().document(&connection_key(connection)).await?;
        let stored = stored.ok_or_else(|| no_connection(connection))?;
        self.state_of(StoredConnection::read(&stored)?).await
    }

    /// Returns a page of connections, by default in order of their ids, each with everything there is to show about it.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::connections::{ConnectionFilter, HealthKind};
    /// let filter = ConnectionFilter::default().tag("plan", "team").health(HealthKind::NeedsSignIn);
    /// for connection in engine.connection_states(&filter).await?.connections {
    ///     println!("{} has to sign in again", connection.settings.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn connection_states(&self, filter: &ConnectionFilter) -> Result<ConnectionPage> {
        const PREFIX: &str = "connection/";
        let limit = filter.limit.unwrap_or(LIMIT).max(1);
        let mut after = filter.after.as_ref().map(|after| format!("{PREFIX}{after}")).unwrap_or_default();
        let (mut connections, mut skipped): (Vec<ConnectionState>, usize) = (Vec::new(), 0);
        let now = self.parts().environment.now();
        let mut found: Vec<(Reverse<Option<Timestamp>>, Reverse<String>)> = Vec::new();
        loop {
            let page = self.store().documents(PREFIX, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            for document in &page {
                let stored = StoredConnection::read(&document.value)?;
                if !filter.takes(&stored.settings) {
                    continue;
                }
                if let Some(wanted) = filter.health
                    && self.health_of(&stored.settings.id).await?.health(now).kind() != wanted
                {
                    continue;
                }
                if filter.order == ConnectionOrder::NewestFirst {
                    found.push((Reverse(stored.created_at), Reverse(stored.settings.id)));
                } else if skipped < filter.skip {
                    skipped += 1;
                } else if connections.len() == limit {
                    let next = connections.last().map(|last| last.settings.id.clone());
                    return Ok(ConnectionPage { connections, next });
                } else {
                    connections.push(self.state_of(stored).await?);
                }
            }
        }
        found.sort_unstable();
        for (_, Reverse(id)) in found.into_iter().skip(filter.skip).take(limit) {
            match self.connection_state(&id).await {
                // Removed in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                state => connections.push(state?),
            }
        }
        Ok(ConnectionPage { connections, next: None })
    }

    pub(crate) async fn health_of(&self, connection: &str) -> Result<StoredHealth> {
        let stored = self.store().document(&health_key(connection)).await?;
        Ok(stored.as_ref().map(Json::to).transpose()?.unwrap_or_default())
    }

    async fn state_of(&self, stored: StoredConnection) -> Result<ConnectionState> {
        let id = stored.settings.id.clone();
        let health = self.health_of(&id).await?;
        let (mut last_fetched_at, mut failed) = (None, None);
        let (prefix, mut after) = (format!("status/{id}/"), String::new());
        loop {
            let page = self.store().documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            for document in &page {
                let status: SyncStatus = document.value.to()?;
                last_fetched_at = last_fetched_at.max(status.last_success_at);
                let later = failed.as_ref().is_none_or(|(at, _)| *at < status.last_started_at);
                if let (Some(message), Some(kind), Some(path), true) =
                    (status.last_error, status.last_error_kind, document.key.strip_prefix("status/"), later)
                {
                    let sync = Some(SyncKey::from_path(path)?.sync_name());
                    failed = Some((status.last_started_at, ConnectionError { kind, message, sync }));
                }
            }
        }
        Ok(ConnectionState {
            settings: self.with_integration(stored.settings).await?,
            created_at: stored.created_at,
            last_fetched_at,
            account: health.account().clone(),
            last_error: health.error().or(failed.map(|(_, error)| error)),
            health: health.health(self.parts().environment.now()),
        })
    }
}
