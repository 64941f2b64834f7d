//! The beginning of a connection: its settings.

use highwater_core::{Error, ErrorKind, Result, StoreFuture, WriteBatch};

use super::DisconnectMode;
use crate::documents::{ConnectionSettings, StoredConnection, StoredHealth, connection_key, health_key, removal_key};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent, SyncChange, SyncEvent};
use crate::http::Credentials;
use crate::mutants::mutant;
use crate::sync::note_change;

/// When somebody signs a new connection in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstSignIn {
    /// At some time, or never: its syncs begin as they are due.
    Later,
    /// Right now: its syncs rest until then.
    Now,
}

/// Tries of a commit that others keep overtaking.
const TRIES: u32 = 50;

impl Engine {
    /// Stores a connection's settings, in place of those of the same id. The provider must be in the catalogue, by itself or with a
    /// template, and all templates and actions of the provider must mean the same API.
    ///
    /// A display name, an end user, tags and metadata that the settings do not give stay as they are, so a host may connect with
    /// the same settings at every start: see [`set_metadata`](Engine::set_metadata) and its like for changing them.
    ///
    /// If a connection of this id was removed before and its credentials are not, they are removed first. Save credentials of the
    /// new one after this has returned.
    ///
    /// A connection stays with its provider: choose another id for another one. Where the settings lead to other origins than
    /// before, credentials that this engine has used go nowhere until they are given again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown provider or integration; [`ErrorKind::Invalid`] for an id
    /// that cannot be one, a setting that no template of the provider reads, a URL with credentials in it, and a connection that
    /// exists with another provider or integration. Those of the credential store, if it still has credentials of a former
    /// connection of this id and they cannot be removed.
    pub async fn connect(&self, settings: ConnectionSettings) -> Result<()> {
        self.connect_by(settings, FirstSignIn::Later).await.map(drop)
    }

    /// Connects as [`connect`](Engine::connect) does, and signs in as [`sign_in`](Engine::sign_in) does. Syncs of a new connection,
    /// which an integration may have enabled, rest until it is signed in, so that none begins without credentials. If the
    /// process dies in between, they go on after a minute.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::{ConnectionSettings, Credentials, Secret};
    /// let settings = ConnectionSettings::of_integration("github-ann", "github");
    /// engine.connect_and_sign_in(settings, Credentials::token(Secret::new("ghp_..."))).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of both. A new connection that could not be signed in is removed again, unless somebody else signed it in meanwhile; if
    /// that fails too, the error says so (`left`). Records that a former connection of this id left stay.
    pub async fn connect_and_sign_in(&self, settings: ConnectionSettings, credentials: Credentials) -> Result<()> {
        let id = settings.id.clone();
        let change = self.connect_by(settings, FirstSignIn::Now).await?;
        let Err(error) = self.sign_in(&id, credentials).await else { return Ok(()) };
        let is_ours = change == Some(ConnectionChange::Connected)
            && (self.health_of(&id).await.is_ok_and(|health| health.is_fresh()) || mutant!("removed-from-another"));
        if is_ours && let Err(left) = self.disconnect(&id, DisconnectMode::KeepRecords).await {
            return Err(error.with("left", left));
        }
        Err(error)
    }

    // Boxed: otherwise each host's future, and both functions above, would contain the whole of it.
    fn connect_by(
        &self,
        settings: ConnectionSettings,
        first: FirstSignIn,
    ) -> StoreFuture<'_, Option<ConnectionChange>> {
        Box::pin(async move {
            let mut tries = 0;
            loop {
                match self.try_connect(settings.clone(), first).await {
                    // Something has changed in the meantime: read again.
                    Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                    outcome => return outcome,
                }
            }
        })
    }

    async fn try_connect(
        &self,
        mut settings: ConnectionSettings,
        first: FirstSignIn,
    ) -> Result<Option<ConnectionChange>> {
        settings.check()?;
        let key = connection_key(&settings.id);
        let stored = self.parts().store.document(&key).await?;
        let before = stored.as_ref().map(StoredConnection::read).transpose()?;
        let joining = self.begin_joining(&mut settings, before.as_ref().map(|before| &before.settings)).await?;
        self.parts().provider_of(&settings)?;
        self.check_config_names(&settings)?;
        let created_at = match &before {
            Some(StoredConnection { settings: before, .. }) if before.provider != settings.provider => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "the connection is one to another provider, and so are its credentials: choose another id",
                )
                .with("connection", &settings.id)
                .with("provider", &before.provider)
                .with("expected", &settings.provider));
            }
            Some(before) => {
                settings.keep_notes(&before.settings);
                before.created_at
            }
            None => {
                settings.found_base_url = None;
                Some(self.parts().environment.now())
            }
        };
        let connection = StoredConnection { settings, created_at };
        let mut batch = WriteBatch::new();
        if before.is_none() && !mutant!("removal-ignored") {
            // No new connection has the credentials of a former one, and no late removal takes those of the new one.
            self.finish_removal(&connection.settings.id).await?;
            batch.expect_document(removal_key(&connection.settings.id), None);
        }
        batch.expect_document(&*key, stored.as_ref()).put_document(&*key, &connection)?;
        let own = connection.settings;
        let mut settings = own.clone();
        if let Some(joining) = &joining {
            settings = joining.fill_in(settings);
        }
        let (mut released, mut joined) = (Vec::new(), Vec::new());
        let change = match &before {
            None => Some(ConnectionChange::Connected),
            Some(before) => (before.settings != own).then_some(ConnectionChange::SettingsChanged),
        };
        if let Some(StoredConnection { settings: before, .. }) = before {
            let before = match &joining {
                Some(joining) if before.integration.is_some() => joining.fill_in(before),
                _ => before,
            };
            released = self.released(&before, &settings).await?;
        }
        if let Some(joining) = joining {
            joined = joining.finish(self, &settings.id, &mut batch).await?;
        }
        if !(released.is_empty() && joined.is_empty()) {
            note_change(self, released.iter().chain(&joined), &mut batch).await?;
        }
        if stored.is_none() {
            let mut chance = [0; 2];
            self.parts().environment.fill_random(&mut chance);
            let now = self.parts().environment.now();
            let mut health = StoredHealth::first(now, u16::from_le_bytes(chance));
            if first == FirstSignIn::Now && !mutant!("begun-without-credentials") {
                health.begin_sign_in(now);
            }
            batch.put_document(health_key(&settings.id), &health)?;
        }
        self.parts().store.commit(batch).await?;
        change.iter().for_each(|change| self.publish_connection(ConnectionEvent::new(&settings.id, *change)));
        for key in &joined {
            self.publish_change(SyncEvent::new(key, SyncChange::Enabled));
        }
        released.iter().chain(&joined).for_each(|key| self.announce(key));
        self.settle_address(&settings);
        Ok(change)
    }

    /// Notes where a connection is now, for credentials that were used elsewhere.
    pub(crate) fn settle_address(&self, settings: &ConnectionSettings) {
        let Ok(provider) = self.parts().provider_of(settings) else { return };
        if let Some(address) = self.parts().address(settings, provider) {
            self.parts().sessions.of(&settings.id).settle(&address);
        }
    }

    /// Refuses settings that the provider, its templates and its actions do not read.
    pub(crate) fn check_config_names(&self, settings: &ConnectionSettings) -> Result<()> {
        let of_provider = self.parts().described().filter(|(known, _)| known.name == settings.provider);
        settings.check_names(of_provider.flat_map(|(known, keys)| known.config.iter().chain(keys)))
    }

    /// Returns a connection's settings, with what its integration says where it says nothing itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection.
    pub async fn connection(&self, id: &str) -> Result<ConnectionSettings> {
        let document = self.parts().store.document(&connection_key(id)).await?;
        self.with_integration(document.ok_or_else(|| no_connection(id))?.to()?).await
    }

    /// Returns the settings of every connection, in order of their ids, each as [`connection`](Engine::connection) does.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        self.with_integrations(self.read_all("connection/").await?).await
    }
}
