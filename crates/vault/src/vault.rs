//! The vault.

mod rotate;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use highwater_core::locks::lock;
use highwater_core::{Environment, Error, ErrorKind, Json, Result, Store, SystemEnvironment, WriteBatch};
use highwater_engine::{CredentialStore, Credentials};

use crate::keys::SecretStore;
use crate::mutants::mutant;
use crate::row::{Row, changed};
use crate::state::{HEAD, State, create, unlock, upto};

const ROWS: &str = "vault/credentials/";

/// Rows read at a time, and sealed again in one commit.
const PAGE: usize = 200;

/// Rows read at a time by a check.
const CHECKED: usize = 1000;

/// The most master keys that are kept. Windows takes 1,280 characters for an entry of its keychain, which are 28 keys.
const MOST_KEYS: usize = 20;

/// Attempts at a write that conflicts with other writes. Each failure means that one of those others succeeded.
const TRIES: u32 = 200;

/// Keeps the credentials of connections encrypted in a store. See the [crate's documentation](crate).
///
/// Clones share one vault. Several processes may have the same vault open; each notices when another rotates the keys.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use highwater_core::{MemoryStore, Store};
/// use highwater_engine::{CredentialStore, Credentials, Secret};
/// use highwater_vault::{KeyFile, Vault};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.key");
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
/// let vault = Vault::open(store, Arc::new(KeyFile::new(path))).await?;
/// vault.save("github-main", &Credentials::token(Secret::new("ghp_..."))).await?;
/// assert_eq!(vault.connections().await?, ["github-main"]);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    secrets: Arc<dyn SecretStore>,
    environment: Arc<dyn Environment>,
    state: Mutex<Arc<State>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// The result of [`Vault::rotate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// Rows that were sealed again.
    pub rows: u64,
    /// Former master keys that are still kept in the [`SecretStore`]: see [`Vault::forget_former_keys`].
    pub former_keys: usize,
}

/// The result of [`Vault::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VaultHealth {
    /// How many credentials there are.
    pub credentials: u64,
    /// Whose do not open: ids of connections, and `integration/KEY`. They were changed or damaged.
    pub unreadable: Vec<String>,
}

impl Vault {
    /// Returns whether a store has a vault. Needs no key.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn exists(store: &dyn Store) -> Result<bool> {
        Ok(store.document(HEAD).await?.is_some())
    }

    /// Opens the vault of a store. Creates the vault if there is none, and a master key if `secrets` has none.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::WrongKey`] if no master key opens the vault, or `secrets` no longer has one.
    /// * [`ErrorKind::Invalid`] if a secret is not a key.
    /// * [`ErrorKind::Corrupt`] if the vault's document was changed, [`ErrorKind::Incompatible`] if a later version
    ///   wrote it.
    /// * Errors of the store and of `secrets`.
    pub async fn open(store: Arc<dyn Store>, secrets: Arc<dyn SecretStore>) -> Result<Self> {
        Self::open_with(store, secrets, Arc::new(SystemEnvironment)).await
    }

    /// Opens the vault with the random part of nonces from `environment`. Keys still come from the system's random source.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Vault::open).
    pub async fn open_with(
        store: Arc<dyn Store>,
        secrets: Arc<dyn SecretStore>,
        environment: Arc<dyn Environment>,
    ) -> Result<Self> {
        let mut tries = 0;
        let state = loop {
            if let Some(state) = unlock(&*store, &*secrets, &environment).await? {
                break state;
            }
            match create(&*store, &*secrets, &environment).await {
                // Another process created it at the same moment.
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => outcome?,
            }
        };
        let state = Mutex::new(Arc::new(state));
        Ok(Vault {
            inner: Arc::new(Inner { store, secrets, environment, state, refreshing: tokio::sync::Mutex::default() }),
        })
    }

    /// Returns the ids of the connections that have credentials here, in order.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub async fn connections(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.inner.store.documents(ROWS, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            found.extend(page.iter().filter_map(|row| row.key.strip_prefix(ROWS)).map(str::to_owned));
        }
    }

    /// Opens the credentials of every connection and integration, and returns which do not open. It reads them page by page, in a
    /// fraction of the time that loading each takes, and keeps none of them.
    ///
    /// ```no_run
    /// # async fn example(vault: highwater_vault::Vault) -> highwater_core::Result<()> {
    /// for connection in vault.check().await?.unreadable {
    ///     println!("{connection}: sign in again");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the store, and those of [`open`](Vault::open) if the vault's keys are not there any more.
    pub async fn check(&self) -> Result<VaultHealth> {
        let state = self.inner.refresh().await?;
        let (mut after, mut found) = (String::new(), VaultHealth::default());
        loop {
            let page = self.inner.store.documents(ROWS, &after, CHECKED).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in &page {
                let Some(name) = document.key.strip_prefix(ROWS) else { continue };
                found.credentials += 1;
                if Row::read(&document.value).is_some_and(|row| state.sealer.open(name, &row).is_ok()) {
                    continue;
                }
                // A rotation may have sealed it again since the page was read.
                match self.inner.open(name).await {
                    Err(error) if error.kind() == ErrorKind::Corrupt => found.unreadable.push(name.to_owned()),
                    outcome => drop(outcome?),
                }
            }
        }
    }

    /// Returns whether a rotation was interrupted. [`rotate`](Vault::rotate) finishes it; until then both keys are needed.
    pub fn is_rotating(&self) -> bool {
        self.inner.state().keys.len() > 1
    }

    /// Gives the vault a new master key and a new data key, and seals every row again.
    ///
    /// The new master key is the newest one in the [`SecretStore`], if the vault does not use it yet; otherwise a new one is
    /// generated and saved there first. The vault stays usable in the meantime, in other processes too. If the rotation is
    /// interrupted nothing is lost, and the next call continues it. The former master key stays where it is until
    /// [`forget_former_keys`](Vault::forget_former_keys); ciphertext under the former keys stays in the store's files until they
    /// are compacted.
    ///
    /// ```no_run
    /// # async fn example(vault: highwater_vault::Vault, store: std::sync::Arc<dyn highwater_core::Store>) -> highwater_core::Result<()> {
    /// use highwater_core::Maintenance;
    /// vault.rotate().await?;
    /// vault.forget_former_keys().await?; // backups from before can no longer be opened
    /// store.maintain(Maintenance::Compact).await?; // erases the old ciphertext
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Unsupported`] if the [`SecretStore`] is read-only and has no newer key, [`ErrorKind::Invalid`] if it has 20
    ///   keys already: call [`forget_former_keys`](Vault::forget_former_keys).
    /// * [`ErrorKind::Conflict`] if another process rotates at the same time.
    /// * [`ErrorKind::Corrupt`], naming the connection, if a row does not open: remove it or sign in again, then call `rotate` again.
    pub async fn rotate(&self) -> Result<Rotation> {
        self.inner.refresh().await?;
        if !self.is_rotating() {
            self.inner.add_key().await?;
        }
        let rows = self.inner.seal_anew().await?;
        self.inner.drop_old_keys().await?;
        let kept = self.inner.secrets.load().await?;
        let former_keys = kept.len() - upto(kept.clone(), &self.inner.state().master).len();
        Ok(Rotation { rows, former_keys })
    }

    /// Removes every master key that is older than the current one from the [`SecretStore`]. Backups of the store from before the rotation
    /// cannot be opened afterwards.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the [`SecretStore`] is read-only, [`ErrorKind::Conflict`] while a rotation is
    /// unfinished.
    pub async fn forget_former_keys(&self) -> Result<()> {
        let state = self.inner.refresh().await?;
        if state.keys.len() > 1 {
            return Err(Error::new(
                ErrorKind::Conflict,
                "a rotation of the vault's keys is unfinished: finish it first with Vault::rotate",
            ));
        }
        self.inner.secrets.update(&|list| upto(list, &state.master)).await.map(drop)
    }
}

#[async_trait]
impl CredentialStore for Vault {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        Ok(self.inner.open(connection).await?.map(|(_, credentials)| credentials))
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.inner.put_row(connection, credentials, WriteBatch::new()).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => return outcome,
            }
            self.inner.refresh().await?;
        }
    }

    async fn replace(&self, connection: &str, known: Option<&Credentials>, renewed: &Credentials) -> Result<bool> {
        let mut tries = 0;
        loop {
            let (row, stored) = self.inner.open(connection).await?.unzip();
            if stored.as_ref() != known {
                return Ok(stored.as_ref() == Some(renewed));
            }
            let mut batch = WriteBatch::new();
            if !mutant!("replaced-unseen") {
                batch.expect_document(row_key(connection), row.as_ref());
            }
            match self.inner.put_row(connection, renewed, batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => return outcome.map(|()| true),
            }
            self.inner.refresh().await?;
        }
    }

    async fn remove(&self, connection: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.remove_document(row_key(connection));
        self.inner.store.commit(batch).await.map(drop)
    }
}

impl Inner {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.guard())
    }

    fn guard(&self) -> MutexGuard<'_, Arc<State>> {
        lock(&self.state)
    }

    /// Unlocks the vault again: another process may have rotated its keys.
    async fn refresh(&self) -> Result<Arc<State>> {
        // One at a time: what was read before a rotation's commit must not replace what was read after it.
        let one_at_a_time = if mutant!("refreshed-out-of-order") { None } else { Some(self.refreshing.lock().await) };
        let state = unlock(&*self.store, &*self.secrets, &self.environment).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the vault was removed from the store: open it again, and sign in again")
        })?;
        let state = Arc::new(state);
        *self.guard() = Arc::clone(&state);
        drop(one_at_a_time);
        Ok(state)
    }

    async fn row(&self, connection: &str) -> Result<Option<Json>> {
        self.store.document(&row_key(connection)).await.map_err(|error| match error.kind() {
            ErrorKind::Corrupt => changed(connection).because(error),
            _ => error.with("connection", connection),
        })
    }

    /// Returns a connection's row, and the credentials in it.
    async fn open(&self, connection: &str) -> Result<Option<(Json, Credentials)>> {
        let mut tries = 0;
        loop {
            let Some(row) = self.row(connection).await? else { return Ok(None) };
            match self.open_row(connection, &row).await {
                Err(error) if tries < TRIES && self.is_outdated(connection, &row, &error).await? => tries += 1,
                outcome => return outcome.map(|credentials| Some((row, credentials))),
            }
        }
    }

    /// Returns whether a row that does not open has been replaced since it was read. A rotation drops the former key as soon as
    /// every row is sealed again, so what was read before then is no sign of damage.
    async fn is_outdated(&self, connection: &str, row: &Json, error: &Error) -> Result<bool> {
        Ok(error.kind() == ErrorKind::Corrupt
            && !mutant!("row-read-once")
            && self.row(connection).await?.as_ref() != Some(row))
    }

    /// Commits a batch that also sets a connection's credentials.
    async fn put_row(&self, connection: &str, credentials: &Credentials, mut batch: WriteBatch) -> Result<()> {
        let state = self.state();
        let row = state.sealer.seal(connection, credentials)?;
        // A row under a key that a rotation has just dropped could never be opened.
        if !mutant!("row-under-any-key") {
            batch.expect_document(HEAD, Some(&state.stored));
        }
        batch.put_document(row_key(connection), &row)?;
        self.store.commit(batch).await.map(drop)
    }

    async fn open_row(&self, connection: &str, stored: &Json) -> Result<Credentials> {
        let row = Row::read(stored).ok_or_else(|| changed(connection))?;
        let state = self.state();
        if state.sealer.opens(&row)
            && let Ok(credentials) = state.sealer.open(connection, &row)
        {
            return Ok(credentials);
        }
        let state = self.refresh().await.map_err(|error| error.with("connection", connection))?;
        state.sealer.open(connection, &row)
    }
}

fn row_key(connection: &str) -> String {
    format!("{ROWS}{connection}")
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("secrets", &self.inner.secrets).finish_non_exhaustive()
    }
}
