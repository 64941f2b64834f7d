//! A handle to one integration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result, WriteBatch};

use super::TRIES;
use super::receive::forwarded_prefix;
use crate::connection::{DisconnectOptions, DisconnectReport};
use crate::documents::{ConnectionSettings, IntegrationSettings, integration_key};
use crate::engine::Engine;
use crate::events::{IntegrationChange, IntegrationEvent};
use crate::removals::Finished;
use crate::sync::note_change;

/// More documents of ids of forwarded events than an integration has.
const FORWARDED: usize = 1000;

/// One integration of an engine. Made by [`Engine::integration`]; a clone is the same integration.
#[derive(Clone)]
pub struct IntegrationHandle {
    pub(super) engine: Engine,
    pub(super) key: Arc<str>,
}

impl IntegrationHandle {
    /// Returns the engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns its settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration.
    pub async fn settings(&self) -> Result<IntegrationSettings> {
        Ok(self.engine.stored_integration(&self.key).await?.1.settings)
    }

    /// Returns the settings of its connections, in order of their ids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration.
    pub async fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        let (_, integration) = self.engine.stored_integration(&self.key).await?;
        let members = self.engine.members(&self.key).await?;
        Ok(members.into_iter().map(|connection| integration.settings.fill_in(connection)).collect())
    }
}

/// What becomes of the connections of an integration that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMode {
    /// The integration is deleted only if it has none.
    IfUnused,
    /// Each is disconnected first, with these options.
    Disconnect(DisconnectOptions),
}

impl DeleteMode {
    /// Returns the mode that disconnects each connection: [`DisconnectMode`](crate::DisconnectMode) converts into the options.
    pub fn disconnect(options: impl Into<DisconnectOptions>) -> Self {
        DeleteMode::Disconnect(options.into())
    }
}

/// The connections that were removed with an integration.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct DeleteReport {
    /// What became of the sign-in of each, by the connection's id.
    pub disconnected: BTreeMap<String, DisconnectReport>,
}

impl IntegrationHandle {
    /// Changes its settings: `change` gets them as they are now and returns them as they are to be. The key and the provider
    /// stay; so do endpoints and secrets. `change` may be called more than once, where others change them at the same time.
    ///
    /// Connections that take base URL and settings from the integration get the new ones with their next runs. Where these lead
    /// to other origins, credentials that this engine has used go nowhere until they are given again.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// engine.integration("github")?.update(|settings| settings.display_name("GitHub (work)")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration; [`ErrorKind::Invalid`] for another key or provider, and for settings
    /// that [`Engine::create_integration`] refuses.
    pub async fn update<F>(&self, mut change: F) -> Result<IntegrationSettings>
    where
        F: FnMut(IntegrationSettings) -> IntegrationSettings,
    {
        let mut tries = 0;
        loop {
            match self.try_update(&mut change).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_update<F>(&self, change: &mut F) -> Result<IntegrationSettings>
    where
        F: FnMut(IntegrationSettings) -> IntegrationSettings,
    {
        let engine = &self.engine;
        let (document, mut integration) = engine.stored_integration(&self.key).await?;
        let before = integration.settings.clone();
        let mut settings = change(before.clone());
        if (&settings.key, &settings.provider) != (&before.key, &before.provider) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "an integration keeps its key and its provider: create another one",
            )
            .with("integration", &before.key)
            .with("provider", &before.provider));
        }
        if before.says_the_same_as(&settings) {
            return Ok(before);
        }
        engine.check_integration(&settings)?;
        (settings.created_at, settings.changed_at) = (before.created_at, engine.parts().environment.now());
        integration.settings = settings.clone();
        let mut batch = WriteBatch::new();
        batch.expect_document(integration_key(&self.key), Some(&document));
        integration.put_next(&mut batch)?;
        let (mut moved, mut released) = (Vec::new(), Vec::new());
        let address = |settings: &IntegrationSettings| (settings.base_url.clone(), settings.base_url_reach);
        if address(&before) != address(&settings) || before.config != settings.config {
            for connection in engine.members(&self.key).await? {
                let now = settings.fill_in(connection.clone());
                released.extend(engine.released(&before.fill_in(connection), &now).await?);
                moved.push(now);
            }
        }
        if !released.is_empty() {
            note_change(engine, &released, &mut batch).await?;
        }
        engine.store().commit(batch).await?;
        moved.iter().for_each(|connection| engine.settle_address(connection));
        released.iter().for_each(|key| engine.announce(key));
        engine.publish_integration(IntegrationEvent::new(&self.key, IntegrationChange::SettingsChanged));
        Ok(settings)
    }

    /// Deletes the integration, with its secrets here and in the [`CredentialStore`](crate::CredentialStore). With
    /// [`DeleteMode::Disconnect`] its connections go first, each as with [`Engine::disconnect`], up to 200 in one commit: where that
    /// fails halfway, delete it again. If the credential store fails or the process dies, its secrets are removed later, as a connection's credentials are.
    ///
    /// Sign-ins are revoked eight at a time. Once the provider does not answer a revocation, or after five minutes, it is not asked
    /// for the other connections: their report has none.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::DisconnectMode;
    /// use highwater_engine::integrations::DeleteMode;
    /// engine.integration("github")?.delete(DeleteMode::disconnect(DisconnectMode::ClearRecords)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration, [`ErrorKind::Invalid`] with [`DeleteMode::IfUnused`] while it has
    /// connections. Those of the credential store, when the integration and the connections have already been removed: the
    /// secrets and credentials follow later.
    pub async fn delete(&self, mode: DeleteMode) -> Result<DeleteReport> {
        let (engine, place) = (&self.engine, integration_key(&self.key));
        let (mut report, mut failed) = (DeleteReport::default(), Ok(()));
        loop {
            let (document, _) = match engine.stored_integration(&self.key).await {
                // What an earlier deletion left.
                Err(error) if error.kind() == ErrorKind::NotFound => match engine.finish_removal(&place).await? {
                    Finished::NothingPending => return Err(error),
                    Finished::Removed(_) => return failed.map(|()| report),
                },
                outcome => outcome?,
            };
            let members = engine.member_ids(&self.key).await?;
            match mode {
                DeleteMode::IfUnused if !members.is_empty() => {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        "the integration has connections: disconnect them first",
                    )
                    .with("integration", &*self.key)
                    .with("connections", members.len()));
                }
                DeleteMode::IfUnused => {}
                DeleteMode::Disconnect(options) => {
                    let removed = self.disconnect_all(members, options, &mut report).await?;
                    failed = failed.and(removed);
                }
            }
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, Some(&document)).remove_document(&*place);
            engine.put_removal(&place, false, None, &mut batch)?;
            for document in engine.store().documents(&forwarded_prefix(&self.key), "", FORWARDED).await? {
                batch.remove_document(document.key);
            }
            match engine.store().commit(batch).await {
                // A connection came or went, the latter perhaps just now and here: look again.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => break drop(outcome?),
            }
        }
        engine.publish_integration(IntegrationEvent::new(&self.key, IntegrationChange::Deleted));
        failed.and(self.forget_secrets().await).map(|()| report)
    }

    /// Removes connections. Returns the first error of the credential store, after all of them.
    async fn disconnect_all(
        &self,
        members: Vec<String>,
        options: DisconnectOptions,
        report: &mut DeleteReport,
    ) -> Result<Result<()>> {
        let mut failed = Ok(());
        for (connection, ended) in self.engine.end_connections(members, options).await? {
            failed = failed.and(ended.credentials);
            report.disconnected.insert(connection, ended.report);
        }
        Ok(failed)
    }
}

impl fmt::Debug for IntegrationHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntegrationHandle").field(&self.key).finish()
    }
}
