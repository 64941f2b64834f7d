//! The state of syncs and of the streams that they write. Read from the store only.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Error, ErrorKind, Result, StreamHead, StreamKey};
use highwater_template::TemplateInfo;
use serde::Serialize;

use crate::documents::{
    Phase, RunReport, StoredHealth, SyncKey, SyncOrigin, SyncSettings, SyncState, SyncStatus, health_key,
};
use crate::engine::Engine;
use crate::errors::not_enabled;
use crate::logs::{self, LogFilter};
use crate::sync::SyncHandle;

/// Documents read at a time.
const PAGE: usize = 500;

/// A named reader that waits on a stream that no sync writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IdleReader {
    /// The stream it reads.
    pub stream: StreamKey,
    /// Its name.
    pub name: String,
}

impl Engine {
    /// Returns the state of every sync that is enabled or has ever run, in order of connection and name.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn sync_states(&self) -> Result<Vec<SyncState>> {
        let mut keys = self.syncs_that_ran().await?;
        for settings in self.enabled_syncs().await? {
            keys.insert(settings.key()?);
        }
        let mut states = Vec::new();
        for key in keys {
            match self.handle(key).state().await {
                // Its connection was removed in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                state => states.push(state?),
            }
        }
        Ok(states)
    }

    /// Returns the named readers of streams that no sync writes, neither an enabled one nor one that has ever run: they would
    /// wait forever. The background work logs a warning about them when it starts. A sync whose template this engine lacks is
    /// assumed to write every stream of its connection.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn idle_readers(&self) -> Result<Vec<IdleReader>> {
        let connections: BTreeSet<String> =
            self.connections().await?.into_iter().map(|connection| connection.id).collect();
        let (mut written, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        let mut syncs = self.syncs_that_ran().await?;
        for settings in self.enabled_syncs().await? {
            syncs.insert(settings.key()?);
        }
        for key in syncs {
            match self.template(&key.template) {
                Ok(template) => written.extend(template.info().models.iter().map(|model| key.stream(&model.name))),
                Err(_) => drop(unknown.insert(key.connection)),
            }
        }
        let mut idle = Vec::new();
        for StreamHead { stream, .. } in self.store().streams().await? {
            let connection = stream.connection();
            if written.contains(&stream) || unknown.contains(connection) || !connections.contains(connection) {
                continue;
            }
            let names = self.store().consumers(&stream).await?;
            idle.extend(names.into_iter().map(|name| IdleReader { stream: stream.clone(), name }));
        }
        Ok(idle)
    }

    async fn syncs_that_ran(&self) -> Result<BTreeSet<SyncKey>> {
        let (mut after, mut found) = (String::new(), BTreeSet::new());
        loop {
            let page = self.store().documents("status/", &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in &page {
                let status: SyncStatus = document.value.to()?;
                if let (Some(_), Some(path)) = (status.last_started_at, document.key.strip_prefix("status/")) {
                    found.insert(SyncKey::from_path(path)?);
                }
            }
        }
    }
}

impl SyncHandle {
    /// Returns the sync's complete state, for a user interface. Read from the store, never from the network.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync.
    pub async fn state(&self) -> Result<SyncState> {
        let (engine, key) = (&self.engine, &*self.key);
        let connection = engine.check_known(key).await?;
        let store = engine.store();
        let settings: Option<SyncSettings> =
            store.document(&key.settings_key()).await?.map(|stored| stored.to()).transpose()?;
        let status = store.document(&key.status_key()).await?;
        let mut status: SyncStatus = status.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        let run = match &status.current_run {
            Some(run) => logs::read_run(store.as_ref(), key, *run).await?,
            None => None,
        };
        let running = run.is_some() && store.document(&key.holder_key()).await?.is_some();
        let triggered = store.document(&key.trigger_key()).await?.is_some();
        let now = engine.parts().environment.now();
        let health = store.document(&health_key(&key.connection)).await?;
        let health: StoredHealth = health.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        let needs_sign_in = health.health(now).needs_sign_in();
        let due = settings.as_ref().map(|settings| settings.due(&status, now));
        let missing_settings = match (&settings, engine.template(&key.template)) {
            (Some(_), Ok(template)) => connection.missing(&template.info().config),
            _ => Vec::new(),
        };
        let phase = match &settings {
            _ if running => Phase::Running,
            None => Phase::Disabled,
            Some(settings) if needs_sign_in && !settings.paused => Phase::NeedsSignIn,
            Some(settings) if !missing_settings.is_empty() && !settings.paused => Phase::NeedsSetting,
            Some(_) if triggered || engine.is_queued(key) => Phase::Queued,
            Some(settings) if settings.paused => Phase::Paused,
            Some(_) if status.offline_since.is_some() => Phase::Offline,
            Some(_) if matches!(due, Some(Ok(None))) => Phase::Ended,
            Some(_) => Phase::Waiting,
        };
        if settings.as_ref().is_some_and(|settings| settings.first_due_at.is_some()) {
            status.next_due_at = due.and_then(Result::ok).flatten();
        }
        let follows_integration = connection.integration.is_some()
            && match &settings {
                Some(settings) => settings.origin == SyncOrigin::Integration,
                None => store.document(&key.off_key()).await?.is_none(),
            };
        let mut records = BTreeMap::new();
        if let Ok(template) = engine.template(&key.template) {
            for model in &template.info().models {
                records.insert(model.name.clone(), store.head(&key.stream(&model.name)).await?.live);
            }
        }
        Ok(SyncState {
            connection: key.connection.clone(),
            sync: key.sync_name(),
            phase,
            has_synced: status.last_success_at.is_some(),
            status,
            settings,
            follows_integration,
            missing_settings,
            run,
            records,
        })
    }

    /// Returns the kept runs of the sync, newest first: at most as many as [`LogPolicy`](crate::logs::LogPolicy) keeps.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync of which no run is kept.
    pub async fn runs(&self) -> Result<Vec<RunReport>> {
        let filter = LogFilter::default().connection(self.connection()).sync(self.name()).limit(usize::MAX);
        let runs = self.engine.runs_matching(&filter).await?.runs;
        if runs.is_empty() {
            self.engine.check_known(&self.key).await?;
        }
        Ok(runs)
    }

    /// Returns the streams that the sync writes, in the order of its template's models.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// for stream in engine.sync("main", "github/issues")?.streams().await? {
    ///     println!("{stream}: {} records", engine.store().head(&stream).await?.live);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`stream`](SyncHandle::stream).
    pub async fn streams(&self) -> Result<Vec<StreamKey>> {
        let template = self.written().await?;
        Ok(template.models.iter().map(|model| self.key.stream(&model.name)).collect())
    }

    /// Returns the stream that the sync writes a model to, for readers. Fails for a stream that no sync writes, because its reader
    /// would wait forever.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// let issues = engine.sync("main", "github/issues")?.stream("Issue").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, template or model, and for a sync that is not enabled and never ran.
    pub async fn stream(&self, model: &str) -> Result<StreamKey> {
        let models = &self.written().await?.models;
        if !models.iter().any(|known| known.name == model) {
            let known: Vec<&str> = models.iter().map(|known| known.name.as_str()).collect();
            return Err(Error::new(ErrorKind::NotFound, "the sync writes no such model")
                .with("sync", self.key.sync_name())
                .with("model", model)
                .with("known", known.join(", ")));
        }
        Ok(self.key.stream(model))
    }

    /// The template, if the sync is enabled or ever ran.
    async fn written(&self) -> Result<&TemplateInfo> {
        let (engine, key) = (&self.engine, &*self.key);
        engine.check_known(key).await?;
        let info = engine.template(&key.template)?.info();
        let written = engine.store().document(&key.settings_key()).await?.is_some()
            || engine.store().document(&key.status_key()).await?.is_some();
        if written { Ok(info) } else { Err(not_enabled(key)) }
    }
}
