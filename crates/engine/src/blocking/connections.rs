//! Connections, for programs without an async runtime.

use std::collections::BTreeMap;

use highwater_core::Result;
use highwater_template::{Account, Secret};

use super::Engine;
use crate::account::AccountChange;
use crate::connection::{
    BrowserSignIn, CodeSignIn, ConnectionFilter, ConnectionPage, ConnectionState, CredentialRenewal, DisconnectOptions,
    DisconnectReport,
};
use crate::documents::{ConnectionSettings, EndUser, PendingRemoval};
use crate::http::Credentials;

impl Engine {
    /// See [`Engine::connect`](crate::Engine::connect).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connect(&self, settings: ConnectionSettings) -> Result<()> {
        self.wait(self.engine().connect(settings))
    }

    /// See [`Engine::connect_and_sign_in`](crate::Engine::connect_and_sign_in).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connect_and_sign_in(&self, settings: ConnectionSettings, credentials: Credentials) -> Result<()> {
        self.wait(self.engine().connect_and_sign_in(settings, credentials))
    }

    /// See [`Engine::begin_browser_sign_in`](crate::Engine::begin_browser_sign_in).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn begin_browser_sign_in(&self, settings: &ConnectionSettings, redirect_uri: &str) -> Result<BrowserSignIn> {
        self.wait(self.engine().begin_browser_sign_in(settings, redirect_uri))
    }

    /// See [`Engine::begin_code_sign_in`](crate::Engine::begin_code_sign_in).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn begin_code_sign_in(&self, settings: &ConnectionSettings) -> Result<CodeSignIn> {
        self.wait(self.engine().begin_code_sign_in(settings))
    }

    /// See [`Engine::use_token`](crate::Engine::use_token).
    pub fn use_token(&self, connection: impl AsRef<str>, token: Secret) {
        self.engine().use_token(connection, token);
    }

    /// See [`Engine::use_credentials`](crate::Engine::use_credentials).
    pub fn use_credentials(&self, connection: impl AsRef<str>, credentials: Credentials) {
        self.engine().use_credentials(connection, credentials);
    }

    /// See [`Engine::connection`](crate::Engine::connection).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connection(&self, id: &str) -> Result<ConnectionSettings> {
        self.wait(self.engine().connection(id))
    }

    /// See [`Engine::connections`](crate::Engine::connections).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        self.wait(self.engine().connections())
    }

    /// See [`Engine::disconnect`](crate::Engine::disconnect).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn disconnect(&self, connection: &str, options: impl Into<DisconnectOptions>) -> Result<DisconnectReport> {
        self.wait(self.engine().disconnect(connection, options))
    }

    /// See [`Engine::pending_removals`](crate::Engine::pending_removals).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn pending_removals(&self) -> Result<Vec<PendingRemoval>> {
        self.wait(self.engine().pending_removals())
    }

    /// See [`Engine::set_display_name`](crate::Engine::set_display_name).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_display_name(&self, connection: &str, name: Option<String>) -> Result<()> {
        self.wait(self.engine().set_display_name(connection, name))
    }

    /// See [`Engine::set_end_user`](crate::Engine::set_end_user).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_end_user(&self, connection: &str, end_user: Option<EndUser>) -> Result<()> {
        self.wait(self.engine().set_end_user(connection, end_user))
    }

    /// See [`Engine::set_tags`](crate::Engine::set_tags).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_tags(&self, connection: &str, tags: BTreeMap<String, String>) -> Result<()> {
        self.wait(self.engine().set_tags(connection, tags))
    }

    /// See [`Engine::set_metadata`](crate::Engine::set_metadata).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_metadata(&self, connection: &str, metadata: serde_json::Value) -> Result<()> {
        self.wait(self.engine().set_metadata(connection, metadata))
    }

    /// See [`Engine::update_metadata`](crate::Engine::update_metadata).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update_metadata(&self, connection: &str, metadata: serde_json::Value) -> Result<()> {
        self.wait(self.engine().update_metadata(connection, metadata))
    }

    /// See [`Engine::set_metadata_of`](crate::Engine::set_metadata_of).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_metadata_of<C: AsRef<str>>(&self, connections: &[C], metadata: serde_json::Value) -> Result<()> {
        self.wait(self.engine().set_metadata_of(connections, metadata))
    }

    /// See [`Engine::update_metadata_of`](crate::Engine::update_metadata_of).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update_metadata_of<C: AsRef<str>>(&self, connections: &[C], metadata: serde_json::Value) -> Result<()> {
        self.wait(self.engine().update_metadata_of(connections, metadata))
    }

    /// See [`Engine::update_connection`](crate::Engine::update_connection).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update_connection(
        &self,
        connection: &str,
        change: impl Fn(ConnectionSettings) -> ConnectionSettings,
    ) -> Result<()> {
        self.wait(self.engine().update_connection(connection, change))
    }

    /// See [`Engine::fetch_credentials`](crate::Engine::fetch_credentials).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn fetch_credentials(&self, connection: &str, renewal: CredentialRenewal) -> Result<Credentials> {
        self.wait(self.engine().fetch_credentials(connection, renewal))
    }

    /// See [`Engine::sign_in`](crate::Engine::sign_in).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn sign_in(&self, connection: &str, credentials: Credentials) -> Result<()> {
        self.wait(self.engine().sign_in(connection, credentials))
    }

    /// See [`Engine::sign_in_with`](crate::Engine::sign_in_with).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn sign_in_with(&self, connection: &str, credentials: Credentials, change: AccountChange) -> Result<()> {
        self.wait(self.engine().sign_in_with(connection, credentials, change))
    }

    /// See [`Engine::find_base_url`](crate::Engine::find_base_url).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn find_base_url(&self, settings: &ConnectionSettings, credentials: &Credentials) -> Result<Option<String>> {
        self.wait(self.engine().find_base_url(settings, credentials))
    }

    /// See [`Engine::check_account`](crate::Engine::check_account).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn check_account(&self, connection: &str, account: &Account) -> Result<()> {
        self.wait(self.engine().check_account(connection, account))
    }

    /// See [`Engine::mark_revoked`](crate::Engine::mark_revoked).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn mark_revoked(&self, connection: &str) -> Result<()> {
        self.wait(self.engine().mark_revoked(connection))
    }

    /// See [`Engine::connection_state`](crate::Engine::connection_state).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connection_state(&self, connection: &str) -> Result<ConnectionState> {
        self.wait(self.engine().connection_state(connection))
    }

    /// See [`Engine::connection_states`](crate::Engine::connection_states).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connection_states(&self, filter: &ConnectionFilter) -> Result<ConnectionPage> {
        self.wait(self.engine().connection_states(filter))
    }
}
