//! A handle to one sync.

use std::fmt;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};

use crate::documents::{ConnectionSettings, SyncKey};
use crate::engine::Engine;

/// A handle to one sync of an engine: a template for a connection, optionally with a variant. Returned by [`Engine::sync`];
/// a clone refers to the same sync and is cheap.
///
/// ```no_run
/// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
/// use std::time::Duration;
/// use highwater_engine::{SyncOptions, TriggerMode};
/// let issues = engine.sync("github-main", "github/issues")?;
/// issues.enable(SyncOptions::default().schedule(Duration::from_secs(300))).await?;
/// issues.trigger(TriggerMode::Plain).await?;
/// println!("{:?}", issues.state().await?.phase);
/// issues.pause().await?;
/// issues.resume().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SyncHandle {
    pub(crate) engine: Engine,
    pub(crate) key: Arc<SyncKey>,
}

impl Engine {
    /// Returns a handle to a sync: `provider/name`, or `provider/name::variant`, for a connection.
    ///
    /// Nothing is looked up yet. If the connection or the sync does not exist, the methods of the handle fail with
    /// [`ErrorKind::NotFound`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for invalid names: empty ones, a slash in the
    /// connection or the variant, more than 440 bytes together.
    pub fn sync(&self, connection: impl AsRef<str>, sync: impl AsRef<str>) -> Result<SyncHandle> {
        Ok(self.handle(SyncKey::new(connection.as_ref(), sync.as_ref())?))
    }

    pub(crate) fn handle(&self, key: SyncKey) -> SyncHandle {
        SyncHandle { engine: self.clone(), key: Arc::new(key) }
    }

    /// Fails if a sync's connection or template does not exist, or if they do not belong together.
    pub(crate) async fn check_known(&self, key: &SyncKey) -> Result<ConnectionSettings> {
        let connection = self.connection(&key.connection).await?;
        // A sync that another program enabled, with templates that this one lacks.
        if self.store().document(&key.settings_key()).await?.is_some() {
            return Ok(connection);
        }
        let provider = &self.template(&key.template)?.info().provider.name;
        if *provider != connection.provider {
            return Err(Error::new(ErrorKind::NotFound, "the connection is one to another provider")
                .with("connection", &key.connection)
                .with("provider", &connection.provider)
                .with("sync", key.sync_name()));
        }
        Ok(connection)
    }
}

impl SyncHandle {
    /// Returns the engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the connection's id.
    pub fn connection(&self) -> &str {
        &self.key.connection
    }

    /// Returns the sync's name, as passed to [`Engine::sync`]: the template, with the variant behind `::` if there is one.
    pub fn name(&self) -> String {
        self.key.sync_name()
    }
}

impl fmt::Debug for SyncHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SyncHandle").field(&self.key.path()).finish()
    }
}
