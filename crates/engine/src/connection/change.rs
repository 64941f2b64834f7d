//! Changes of an existing connection. Each change is one commit: it applies from when the call returns,
//! in every process, and over restarts.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result, WriteBatch};
use serde_json::Value;

use crate::documents::{ConnectionSettings, EndUser, StoredConnection, connection_key, object};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent};

/// Attempts at a change that conflicts with other changes.
const TRIES: u32 = 50;

impl Engine {
    /// Sets a connection's display name; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Invalid`] for a name that is empty or longer than 255
    /// bytes.
    pub async fn set_display_name(&self, connection: &str, name: Option<String>) -> Result<()> {
        self.change_connection(connection, |settings| {
            settings.display_name.clone_from(&name);
            Ok(())
        })
        .await
    }

    /// Sets whose account a connection is; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Invalid`] for an empty id and for texts that are too
    /// long: see [`EndUser`](crate::connections::EndUser).
    pub async fn set_end_user(&self, connection: &str, end_user: Option<EndUser>) -> Result<()> {
        self.change_connection(connection, |settings| {
            settings.end_user.clone_from(&end_user);
            Ok(())
        })
        .await
    }

    /// Replaces a connection's tags: at most 64, each with a name of 1 to 64 bytes and a value of at most 255.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Invalid`] for tags beyond these limits.
    pub async fn set_tags(&self, connection: &str, tags: BTreeMap<String, String>) -> Result<()> {
        self.change_connection(connection, |settings| {
            settings.tags.clone_from(&tags);
            Ok(())
        })
        .await
    }

    /// Replaces a connection's metadata, a JSON object of at most 64 KiB. Templates and actions read it; a run in progress
    /// sees the metadata from when it began. It is stored unencrypted: keep secrets in the credentials.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// engine.set_metadata("github-main", serde_json::json!({"team": "core", "labels": ["bug", "leak"]})).await?;
    /// engine.update_metadata("github-main", serde_json::json!({"labels": ["bug"]})).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Invalid`] for metadata that is not a JSON object or too large.
    pub async fn set_metadata(&self, connection: &str, metadata: Value) -> Result<()> {
        let metadata = object(metadata)?;
        self.change_connection(connection, |settings| {
            settings.metadata.clone_from(&metadata);
            Ok(())
        })
        .await
    }

    /// Merges members into a connection's metadata: each replaces the member of its name, and the others stay.
    /// Nested objects are replaced, not merged. See [`set_metadata`](Engine::set_metadata).
    ///
    /// # Errors
    ///
    /// Those of [`set_metadata`](Engine::set_metadata).
    pub async fn update_metadata(&self, connection: &str, metadata: Value) -> Result<()> {
        let members = object(metadata)?;
        self.change_connection(connection, |settings| {
            settings.metadata.extend(members.clone());
            Ok(())
        })
        .await
    }

    /// Changes a connection in one commit, guarded against concurrent changes.
    async fn change_connection(
        &self,
        connection: &str,
        change: impl Fn(&mut ConnectionSettings) -> Result<()>,
    ) -> Result<()> {
        let place = connection_key(connection);
        let named = |error: Error| error.with("connection", connection);
        let mut tries = 0;
        loop {
            let stored = self.store().document(&place).await?.ok_or_else(|| no_connection(connection))?;
            let mut known = StoredConnection::read(&stored)?;
            change(&mut known.settings).map_err(named)?;
            known.settings.check().map_err(named)?;
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, Some(&stored)).put_document(&*place, &known)?;
            match self.store().commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => {
                    outcome?;
                    self.publish_connection(ConnectionEvent::new(connection, ConnectionChange::SettingsChanged));
                    return Ok(());
                }
            }
        }
    }
}
