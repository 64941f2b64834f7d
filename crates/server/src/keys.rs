//! API keys: who may use the server, and for what.
//!
//! A key is kept as a document of the store, so that every process that serves the store knows it, and a revoked one ends
//! everywhere at once. The document holds a hash; the key itself is returned once, when it is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::timestamp::unix_ms;
use highwater_core::{Environment, Error, ErrorKind, Json, Result, Store, Timestamp, WriteBatch, mutant};
use highwater_engine::{Engine, Secret};
use serde::{Deserialize, Serialize};

/// Keys are documents with names of this beginning.
const PREFIX: &str = "api_key/";
/// What every key begins with.
const MARK: &str = "hwk_";
/// Bytes of a key's id, and of its secret part.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 24;
/// The longest name of a key, in bytes.
const MAX_NAME: usize = 200;
/// Documents read at a time.
const PAGE: usize = 500;
/// How exactly it is known when a key was last used: one write in this time is enough.
const USE_INTERVAL: Duration = Duration::from_secs(600);

/// What a key may be used for. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// Reads records, and the state of syncs and connections.
    Read,
    /// Changes connections and syncs, runs actions, and sends requests to providers.
    Write,
    /// Changes integrations with their secrets, and reads credentials.
    Admin,
}

impl Scope {
    /// Every scope, the narrowest first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    /// Returns the scope's name: `read`, `write` or `admin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "a key's scope is read, write or admin").with("scope", name))
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// The id, which is also the readable part of the key.
    pub id: String,
    /// The name that whoever made it gave it.
    pub name: String,
    /// What it may be used for.
    pub scope: Scope,
    /// When it was made.
    #[serde(rename = "created_ms", with = "unix_ms")]
    pub created_at: Timestamp,
    /// When it was last used, to about ten minutes.
    #[serde(rename = "last_used_ms", with = "unix_ms::option")]
    pub last_used_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewKey {
    /// What is known of it from now on.
    pub key: Key,
    /// The key itself, which is not kept: hand it to whoever uses it.
    pub secret: Secret,
}

/// The stored form of a key.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    name: String,
    scope: Scope,
    /// Of the whole key, as hexadecimal digits.
    hash: String,
    #[serde(rename = "created_ms", with = "unix_ms")]
    created_at: Timestamp,
    #[serde(default, rename = "last_used_ms", with = "unix_ms::option")]
    last_used_at: Option<Timestamp>,
}

impl Stored {
    fn key(self, id: &str) -> Key {
        let Stored { name, scope, created_at, last_used_at, .. } = self;
        Key { id: id.to_owned(), name, scope, created_at, last_used_at }
    }
}

/// The keys of a store, from [`Server::keys`](crate::Server::keys) or [`Keys::new`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use highwater_core::MemoryStore;
/// use highwater_engine::Engine;
/// use highwater_server::{Keys, Scope};
/// let engine = Engine::builder(Arc::new(MemoryStore::new()?)).build()?;
/// let keys = Keys::new(&engine);
/// let made = keys.create("backend", Scope::Read).await?;
/// assert!(made.secret.expose().starts_with("hwk_"));
/// assert_eq!(keys.list().await?, [made.key.clone()]);
/// keys.revoke(&made.key.id).await?;
/// assert!(keys.list().await?.is_empty());
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Keys {
    store: Arc<dyn Store>,
    environment: Arc<dyn Environment>,
}

impl Keys {
    /// Returns the keys of an engine's store.
    pub fn new(engine: &Engine) -> Self {
        Keys { store: Arc::clone(engine.store()), environment: Arc::clone(engine.environment()) }
    }

    /// Makes a key and stores its hash. `name` has 1 to 200 bytes, and tells people whose key it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name that is empty, too long or has control characters, and those of the store.
    pub async fn create(&self, name: &str, scope: Scope) -> Result<NewKey> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::Invalid, "a key's name has 1 to 200 bytes and no control characters")
                .with("name", name));
        }
        let made = self.temporary(name, scope);
        let Key { id, name, created_at, .. } = made.key.clone();
        let stored = Stored { name, scope, hash: hash(made.secret.expose()), created_at, last_used_at: None };
        let mut batch = WriteBatch::new();
        batch.expect_document(document(&id), None).put_document(document(&id), &stored)?;
        self.store.commit(batch).await?;
        Ok(made)
    }

    /// Makes a key without storing it.
    pub(crate) fn temporary(&self, name: &str, scope: Scope) -> NewKey {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        self.environment.fill_random(&mut id);
        self.environment.fill_random(&mut secret);
        let id = hex::encode(id);
        let secret = Secret::new(format!("{MARK}{id}_{}", hex::encode(secret)));
        let created_at = self.environment.now();
        NewKey { key: Key { id, name: name.to_owned(), scope, created_at, last_used_at: None }, secret }
    }

    /// Returns every key, by id.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(&self) -> Result<Vec<Key>> {
        let (mut keys, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store.documents(PREFIX, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(keys) };
            after.clone_from(&last.key);
            for document in &page {
                let id = document.key.strip_prefix(PREFIX).unwrap_or_default();
                keys.push(document.value.to::<Stored>()?.key(id));
            }
        }
    }

    /// Revokes a key: from when this returns, no process that serves the store takes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown id, and those of the store.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        loop {
            let stored = self.store.document(&document(id)).await?;
            let Some(stored) = stored.filter(|_| is_id(id)) else {
                return Err(
                    Error::new(ErrorKind::NotFound, "there is no key with this id: list the keys").with("key", id)
                );
            };
            let mut batch = WriteBatch::new();
            batch.expect_document(document(id), Some(&stored)).remove_document(document(id));
            match self.store.commit(batch).await {
                // It was used in the meantime.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Returns the stored key that `text` is, and notes its use.
    pub(crate) async fn find(&self, text: &str) -> Result<Option<Key>> {
        let Some(id) = id_of(text) else { return Ok(None) };
        let Some(json) = self.store.document(&document(id)).await? else { return Ok(None) };
        let stored: Stored = json.to()?;
        if !is_hash_of(&stored.hash, text) {
            return Ok(None);
        }
        self.note_use(id, &stored, &json).await;
        Ok(Some(stored.key(id)))
    }

    /// Returns whether a key is stored.
    pub(crate) async fn is_known(&self, id: &str) -> Result<bool> {
        Ok(self.store.document(&document(id)).await?.is_some())
    }

    /// Writes when a key was used, if that is not known well enough. A request does not fail because this does.
    async fn note_use(&self, id: &str, stored: &Stored, json: &Json) {
        let now = self.environment.now();
        // Also where the clock was ahead when it was noted.
        let known = stored
            .last_used_at
            .is_some_and(|used| now.duration_since(used) < USE_INTERVAL && used.duration_since(now) < USE_INTERVAL);
        if known {
            return;
        }
        let mut batch = WriteBatch::new();
        batch.expect_document(document(id), Some(json));
        let used = Stored { last_used_at: Some(now), ..stored.clone() };
        if batch.put_document(document(id), &used).is_ok() {
            // Another request noted it, or the key was revoked, or the store is full.
            let _ = self.store.commit(batch).await;
        }
    }
}

fn document(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn is_id(id: &str) -> bool {
    id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the id in a text that has the form of a key.
pub(crate) fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
    let sound = is_id(id) && secret.len() == 2 * SECRET_BYTES && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then_some(id)
}

/// Returns the hash that is kept of a key. The secret part is random and long, so that a fast hash hides it.
pub(crate) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Compares in a time that does not depend on where the hashes differ.
pub(crate) fn is_hash_of(known: &str, text: &str) -> bool {
    let given = blake3::hash(text.as_bytes());
    // The comparison of `blake3::Hash` takes constant time.
    blake3::Hash::from_hex(known).is_ok_and(|known| known == given) || mutant!("hash-not-compared")
}
