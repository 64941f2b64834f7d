//! Changes of an existing connection. Each change is one commit: it applies from when the call returns,
//! in every process, and over restarts.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Error, ErrorKind, Result, WriteBatch};
use serde_json::Value;

use crate::documents::{ConnectionSettings, EndUser, StoredConnection, connection_key, object};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent};

/// Attempts at a change that conflicts with other changes.
const TRIES: u32 = 50;

/// The most connections that one commit changes.
const MOST: usize = 1000;

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

    /// Replaces the metadata of several connections in one commit: if one of them is unknown, nothing changes. See
    /// [`set_metadata`](Engine::set_metadata).
    ///
    /// # Errors
    ///
    /// Those of [`set_metadata`](Engine::set_metadata), and [`ErrorKind::Invalid`] for more than 1,000 connections.
    pub async fn set_metadata_of<C: AsRef<str>>(&self, connections: &[C], metadata: Value) -> Result<()> {
        let metadata = object(metadata)?;
        self.change_connections(connections, |settings| {
            settings.metadata.clone_from(&metadata);
            Ok(())
        })
        .await
    }

    /// Merges members into the metadata of several connections in one commit: if one of them is unknown, nothing changes. See
    /// [`update_metadata`](Engine::update_metadata).
    ///
    /// # Errors
    ///
    /// Those of [`set_metadata_of`](Engine::set_metadata_of).
    pub async fn update_metadata_of<C: AsRef<str>>(&self, connections: &[C], metadata: Value) -> Result<()> {
        let members = object(metadata)?;
        self.change_connections(connections, |settings| {
            settings.metadata.extend(members.clone());
            Ok(())
        })
        .await
    }

    /// Changes a connection's display name, end user, tags and metadata in one commit: `change` receives the current settings
    /// and may be called more than once if others change them at the same time.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::connections::EndUser;
    /// let ann = EndUser::new("u-7");
    /// engine.update_connection("github-main", |settings| settings.end_user(ann.clone()).tag("plan", "team")).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection; [`ErrorKind::Invalid`] for values beyond their limits, and for a change
    /// of anything else: [`connect`](Engine::connect) changes base URL and settings.
    pub async fn update_connection(
        &self,
        connection: &str,
        change: impl Fn(ConnectionSettings) -> ConnectionSettings,
    ) -> Result<()> {
        self.change_connection(connection, |settings| {
            let changed = change(settings.clone());
            if !changed.leads_where(settings) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "an update keeps a connection's id, provider, integration, base URL and settings: connect it with other ones",
                ));
            }
            *settings = changed;
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
        self.change_connections(&[connection], change).await
    }

    /// Changes connections in one commit, guarded against concurrent changes.
    async fn change_connections<C: AsRef<str>>(
        &self,
        connections: &[C],
        change: impl Fn(&mut ConnectionSettings) -> Result<()>,
    ) -> Result<()> {
        let ids: BTreeSet<&str> = connections.iter().map(AsRef::as_ref).collect();
        if ids.len() > MOST {
            return Err(Error::new(
                ErrorKind::Invalid,
                "too many connections for one commit: change at most 1,000 at a time",
            )
            .with("connections", ids.len()));
        }
        let mut tries = 0;
        loop {
            let mut batch = WriteBatch::new();
            for id in &ids {
                let (place, named) = (connection_key(id), |error: Error| error.with("connection", *id));
                let stored = self.store().document(&place).await?.ok_or_else(|| no_connection(id))?;
                let mut known = StoredConnection::read(&stored)?;
                change(&mut known.settings).map_err(named)?;
                known.settings.check().map_err(named)?;
                batch.expect_document(&*place, Some(&stored)).put_document(&*place, &known)?;
            }
            match self.store().commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => {
                    outcome?;
                    for id in ids {
                        self.publish_connection(ConnectionEvent::new(id, ConnectionChange::SettingsChanged));
                    }
                    return Ok(());
                }
            }
        }
    }
}
