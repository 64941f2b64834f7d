//! A request that was let in, as a route sees it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::request::Parts;
use bytes::Bytes;
use highwater_core::Store;
use highwater_engine::{ConnectionSettings, Engine};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Place};
use crate::input::{self, Headers, Query, value};
use crate::keys::{Key, Scope};
use crate::state::State;

/// The longest id of a connection, and key of an integration, in bytes.
pub(crate) const MAX_NAME: usize = 200;

/// A request that was let in: its key has the route's scope, and its query has only names that the route knows.
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    /// Whose request it is; nobody's where the route needs no key.
    pub(crate) key: Option<Key>,
    /// The request without its body. The path is below where the router is mounted.
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) path: Vec<(String, String)>,
    /// In a lock that is never taken: it makes a call shareable between threads, which a body is not.
    pub(crate) body: Mutex<Body>,
}

impl Call {
    /// Returns whether the key of the request has a scope.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.key.as_ref().is_some_and(|key| key.scope >= scope)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.state.engine
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.engine().store()
    }

    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers::new(&self.parts.headers)
    }

    /// Returns a part of the path, decoded: `name` of the route `/integrations/{name}`. At most `most` bytes, without control
    /// characters.
    pub(crate) fn path(&self, name: &str, most: usize) -> Result<String, ApiError> {
        let found = self.path.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text);
        value::read(Place::Path, name, found, value::text(most))
    }

    /// Reads the body as JSON. `T` should have `#[serde(deny_unknown_fields)]`.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let body = self.bytes(self.state.limits.body_bytes).await?;
        input::read_json(&self.parts.headers, &body)
    }

    /// Reads the body as it is, at most `most` bytes.
    pub(crate) async fn bytes(&mut self, most: usize) -> Result<Bytes, ApiError> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        input::read_bytes(body, most, self.state.limits.body_time).await
    }

    /// Returns the connection that the headers `Connection-Id` and `Provider-Config-Key` name.
    pub(crate) async fn connection(&self) -> Result<ConnectionSettings, ApiError> {
        let integration = self.headers().required("Provider-Config-Key", value::text(MAX_NAME))?;
        let id = self.headers().required("Connection-Id", value::text(MAX_NAME))?;
        self.connection_of(&integration, &id).await
    }

    /// Returns the connection `id`, if it belongs to the integration of this key, or, where it has none, to the provider of this
    /// name.
    pub(crate) async fn connection_of(&self, integration: &str, id: &str) -> Result<ConnectionSettings, ApiError> {
        let settings = match self.engine().connection(id).await {
            Err(error) if error.kind() == highwater_core::ErrorKind::NotFound => {
                return Err(ApiError::unknown_connection());
            }
            found => found?,
        };
        let belongs_to = settings.integration.as_ref().unwrap_or(&settings.provider);
        if belongs_to == integration { Ok(settings) } else { Err(ApiError::unknown_connection()) }
    }
}
