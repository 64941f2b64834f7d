//! Enabling and disabling an endpoint: one commit writes the integration and the settings of every connection's sync.

use std::collections::BTreeSet;

use highwater_core::locks::lock;
use highwater_core::{ErrorKind, Json, Result, RunId, WriteBatch};

use super::TRIES;
use super::handle::IntegrationHandle;
use super::materialise::{first_due, settings_of, spread_of};
use crate::control::{DisableMode, clear_sync};
use crate::documents::ConnectionSettings;
use crate::documents::{StoredIntegration, integration_key};
use crate::documents::{SyncKey, SyncOptions, SyncOrigin, SyncSettings, SyncStatus};
use crate::engine::Engine;
use crate::events::{IntegrationChange, IntegrationEvent};
use crate::events::{SyncChange, SyncEvent};
use crate::mutants::mutant;
use crate::sync::note_change;
use crate::walk::Walk;
use crate::webhooks::outbox::anybody_listens;

/// What a toggle did, for those who watch.
#[derive(Default)]
struct Toggled {
    /// The sync's whole name; none where all was so before.
    sync: Option<String>,
    changed: Vec<(SyncKey, SyncChange)>,
    /// Runs that were in progress, of statuses that are gone.
    stopped: Vec<(SyncKey, RunId)>,
}

impl IntegrationHandle {
    /// Enables an endpoint: from now on the sync runs for every connection of the integration, now and later. The name is
    /// `issues`, `github/issues`, or with a variant `issues::closed`. Enabling it again replaces its options.
    ///
    /// All connections are changed in one commit. A connection that decided for itself keeps what it decided; one that lacks a
    /// setting of the template waits for it. The first runs are spread over 20 milliseconds for each connection, an hour at
    /// most, or over the options' jitter if that is more.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use std::time::Duration;
    /// use highwater_engine::SyncOptions;
    /// let github = engine.integration("github")?;
    /// github.enable("issues", SyncOptions::default().schedule(Duration::from_secs(300))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration or template, [`ErrorKind::Invalid`] for a template of another
    /// provider and for a schedule that names no time.
    pub async fn enable(&self, sync: impl AsRef<str>, options: SyncOptions) -> Result<()> {
        let mut tries = 0;
        let toggled = loop {
            match self.try_enable(sync.as_ref(), &options).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => break outcome?,
            }
        };
        self.tell(&toggled, IntegrationChange::EndpointEnabled);
        Ok(())
    }

    async fn try_enable(&self, sync: &str, options: &SyncOptions) -> Result<Toggled> {
        let engine = &self.engine;
        let (document, mut integration) = engine.stored_integration(&self.key).await?;
        let name = integration.sync_name(sync);
        let template = engine.template(&SyncKey::new(&self.key, &name)?.template)?;
        let probe = ConnectionSettings::new(&*self.key, &integration.settings.provider);
        engine.parts().admit(&probe, &template.info().provider)?;
        let mut options = options.clone();
        let schedule = options.schedule.get_or_insert_with(|| template.info().interval.into());
        let now = engine.parts().environment.now();
        schedule.first(now)?;
        if integration.endpoints.get(&name) == Some(&options) {
            // Every connection has it: that is what connecting and enabling see to.
            return Ok(Toggled::default());
        }
        integration.endpoints.insert(name.clone(), options.clone());
        let (mut batch, mut toggled) = (WriteBatch::new(), Toggled::default());
        let keys = self.keys(&name).await?;
        let spread = spread_of(keys.len());
        let mut known = KnownSyncs::new(engine);
        for key in keys {
            let stored = known.settings.find(&key.path()).await?;
            let mut settings = settings_of(&key, &options);
            let change = match stored.as_ref().map(Json::to::<SyncSettings>).transpose()? {
                Some(other) if other.origin == SyncOrigin::Connection && !mutant!("own-decision-overwritten") => {
                    continue;
                }
                None if known.off.find(&key.path()).await?.is_some() && !mutant!("own-decision-overwritten") => {
                    continue;
                }
                Some(before) if before.schedule == settings.schedule && before.jitter == settings.jitter => {
                    settings.first_due_at = before.first_due_at;
                    if before == settings {
                        continue;
                    }
                    SyncChange::SettingsChanged
                }
                before => {
                    let status = known.status(&key).await?;
                    settings.first_due_at = Some(first_due(engine, &settings, &status, spread, now)?);
                    if before.is_some() { SyncChange::SettingsChanged } else { SyncChange::Enabled }
                }
            };
            batch.expect_document(key.settings_key(), stored.as_ref());
            if stored.is_none() {
                batch.expect_document(key.off_key(), None);
            }
            batch.put_document(key.settings_key(), &settings)?;
            toggled.changed.push((key, change));
        }
        toggled.sync = Some(name);
        self.commit(batch, &document, integration, &toggled).await?;
        Ok(toggled)
    }

    /// Disables an endpoint for every connection that did not decide for itself, in one commit. Once this returns, their runs
    /// write nothing more, in whatever process they are. With [`DisableMode::Clear`] the records go in the same commit.
    ///
    /// A connection that enabled or changed the sync itself goes on with it; [`endpoints`](IntegrationHandle::endpoints) counts
    /// these.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration, and with [`DisableMode::Clear`] for an unknown template.
    pub async fn disable(&self, sync: impl AsRef<str>, mode: DisableMode) -> Result<()> {
        let engine = &self.engine;
        let clear = mode == DisableMode::Clear;
        let tells = clear && anybody_listens(engine.store().as_ref()).await?;
        let mut tries = 0;
        let toggled = loop {
            match self.try_disable(sync.as_ref(), clear, tells).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => break outcome?,
            }
        };
        // The commit could not expect every status, or runs that begin and end elsewhere would overtake it forever.
        for (key, run) in &toggled.stopped {
            engine.end_fenced_off(key, *run).await?;
        }
        let mut known = KnownSyncs::new(engine);
        for (key, _) in &toggled.changed {
            if let Some(run) = known.status(key).await?.current_run {
                engine.end_fenced_off(key, run).await?;
            }
        }
        self.tell(&toggled, IntegrationChange::EndpointDisabled);
        engine.tell_cleared(toggled.changed.iter().filter(|_| tells).map(|(key, _)| key)).await;
        engine.stop_own_runs(&toggled.changed.iter().map(|(key, _)| key).collect()).await;
        Ok(())
    }

    async fn try_disable(&self, sync: &str, clear: bool, tells: bool) -> Result<Toggled> {
        let engine = &self.engine;
        let (document, mut integration) = engine.stored_integration(&self.key).await?;
        let name = integration.sync_name(sync);
        let template = SyncKey::new(&self.key, &name)?.template;
        if integration.endpoints.remove(&name).is_none() && !clear {
            return engine.template(&template).map(|_| Toggled::default());
        }
        let now = engine.parts().environment.now();
        let (mut batch, mut toggled) = (WriteBatch::new(), Toggled::default());
        let mut known = KnownSyncs::new(engine);
        for key in self.keys(&name).await? {
            let stored = known.settings.find(&key.path()).await?;
            match stored.as_ref().map(Json::to::<SyncSettings>).transpose()? {
                Some(settings) if settings.origin == SyncOrigin::Connection => continue,
                Some(_) => {}
                // Off by its own decision, and so are its records; or disabled before, and now to be cleared.
                None if !clear || known.off.find(&key.path()).await?.is_some() => continue,
                None => drop(batch.expect_document(key.off_key(), None)),
            }
            if clear && let Some(run) = known.status(&key).await?.current_run {
                toggled.stopped.push((key.clone(), run));
            }
            batch.expect_document(key.settings_key(), stored.as_ref());
            batch.remove_document(key.settings_key()).remove_document(key.trigger_key());
            if !mutant!("disable-keeps-leases") {
                batch.take_lease(key.lease_name());
            }
            batch.remove_document(key.holder_key());
            if clear {
                let told = tells.then(|| engine.new_run_id());
                clear_sync(&key, engine.template(&template)?.info(), told, now, &mut batch)?;
            }
            toggled.changed.push((key, SyncChange::Disabled));
        }
        toggled.sync = Some(name);
        self.commit(batch, &document, integration, &toggled).await?;
        Ok(toggled)
    }

    /// The sync of every connection, in the order of their documents.
    async fn keys(&self, name: &str) -> Result<Vec<SyncKey>> {
        let members = self.engine.member_ids(&self.key).await?;
        let keys: Result<Vec<SyncKey>> = members.iter().map(|connection| SyncKey::new(connection, name)).collect();
        let mut keys = keys?;
        keys.sort_by_cached_key(SyncKey::path);
        Ok(keys)
    }

    async fn commit(
        &self,
        mut batch: WriteBatch,
        before: &Json,
        mut integration: StoredIntegration,
        toggled: &Toggled,
    ) -> Result<()> {
        integration.settings.changed_at = self.engine.parts().environment.now();
        batch.expect_document(integration_key(&self.key), Some(before));
        integration.put_next(&mut batch)?;
        if !toggled.changed.is_empty() {
            note_change(&self.engine, toggled.changed.iter().map(|(key, _)| key), &mut batch).await?;
        }
        self.engine.store().commit(batch).await.map(drop)
    }

    fn tell(&self, toggled: &Toggled, change: IntegrationChange) {
        for (key, change) in &toggled.changed {
            self.engine.announce(key);
            self.engine.publish_change(SyncEvent::new(key, *change));
        }
        if let Some(sync) = &toggled.sync {
            let event = IntegrationEvent { sync: Some(sync.clone()), ..IntegrationEvent::new(&self.key, change) };
            self.engine.publish_integration(event);
        }
    }
}

/// What the store has about the syncs of many connections, looked up in order.
struct KnownSyncs<'s> {
    settings: Walk<'s>,
    off: Walk<'s>,
    statuses: Walk<'s>,
}

impl<'s> KnownSyncs<'s> {
    fn new(engine: &'s Engine) -> Self {
        let store = engine.store().as_ref();
        KnownSyncs {
            settings: Walk::new(store, "sync/"),
            off: Walk::new(store, "off/"),
            statuses: Walk::new(store, "status/"),
        }
    }

    async fn status(&mut self, key: &SyncKey) -> Result<SyncStatus> {
        let stored = self.statuses.find(&key.path()).await?;
        Ok(stored.as_ref().map(Json::to).transpose()?.unwrap_or_default())
    }
}

impl Engine {
    /// Stops this engine's runs of these syncs, and waits until they are gone.
    async fn stop_own_runs(&self, keys: &BTreeSet<&SyncKey>) {
        let running: BTreeSet<SyncKey> =
            lock(&self.parts().running).keys().filter(|key| keys.contains(key)).cloned().collect();
        for key in &running {
            self.cancel_run(key);
        }
        for key in &running {
            self.until_idle(key).await;
        }
    }
}
