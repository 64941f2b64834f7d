//! The store, and the feature that only SQLite has: the host's own tables in the same transaction.

use std::any::Any;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater_core::{
    ConsumerCommand, ConsumerReply, Cursor, Delivery, Error, ErrorKind, LogTransaction, Page, PendingCommit,
    PollOptions, Result, Store, StoreOptions, StreamKey, Threaded, store_by_delegation,
};
use rusqlite::Connection;

use crate::backend::SqliteBackend;
use crate::open_files::Files;
use crate::schema::Settings;
use crate::transaction::SqliteTransaction;
use crate::views::{ModelView, ViewColumn, ViewMembers, create_model_view, view_members};

/// A store in an SQLite file.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{Store, StreamKey, WriteBatch};
/// use highwater_store_sqlite::SqliteStore;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::open(&path)?;
/// let mut batch = WriteBatch::new();
/// batch.on(&StreamKey::new("demo", "Note")).upsert(r#"{"id": "a"}"#);
/// store.commit(batch).await?;
/// store.close().await?; // writes the WAL into the file and removes it
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore(Threaded<SqliteBackend>, Joining);

store_by_delegation!(SqliteStore, 0);

/// The state of the store's files that joining a host's transaction needs.
#[derive(Clone, Debug)]
struct Joining {
    path: Arc<str>,
    files: Arc<Files>,
}

impl SqliteStore {
    /// Opens the file, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SqliteStore::builder(path).open()
    }

    /// Returns a builder to open the file with settings.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder {
            path: path.as_ref().to_owned(),
            options: StoreOptions::default(),
            settings: Settings {
                busy_timeout: Duration::from_secs(5),
                cache_kib: 16 * 1024,
                exclusive: false,
                shared: false,
            },
        }
    }

    /// Reads a batch for a named consumer, runs `apply` on it, and acknowledges it, all in one transaction: what `apply` writes
    /// to the host's own tables, on the connection it is given, and the acknowledgement become durable together, or not at
    /// all. Each batch takes effect exactly once, whatever crashes.
    ///
    /// Returns `None` if there was nothing to read. `apply` must leave the transaction open (savepoints are fine). It runs on
    /// the writing thread: other writers wait for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] if `apply` fails or panics: nothing was stored. The failure counts as a nack, in a separate
    /// commit: the batch is delivered again once the backoff has ended, one record at a time, and a record that fails alone
    /// [`PollOptions::max_attempts`] times is parked. A process that is killed in `apply` does not count.
    /// [`ErrorKind::Invalid`] if `apply` ended the transaction; otherwise those of
    /// [`Consumer::poll`](highwater_core::Consumer::poll).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{Page, PollOptions, Store, StreamKey, WriteBatch};
    /// use highwater_store_sqlite::{SqliteStore, rusqlite};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let store = SqliteStore::open(folder.path().join("app.db"))?;
    /// let notes = StreamKey::new("demo", "Note");
    /// let mut batch = WriteBatch::new();
    /// batch.on(&notes).upsert(r#"{"id": "a"}"#);
    /// store.commit(batch).await?;
    ///
    /// let copy = |connection: &rusqlite::Connection, page: &Page| {
    ///     connection.execute_batch("CREATE TABLE IF NOT EXISTS mine (id TEXT PRIMARY KEY)")?;
    ///     for change in &page.changes {
    ///         connection.execute("INSERT INTO mine VALUES (?1)", [&*change.record.id])?;
    ///     }
    ///     Ok::<usize, rusqlite::Error>(page.changes.len())
    /// };
    /// assert_eq!(store.consume_in_tx(&notes, "copy", PollOptions::default(), copy).await?, Some(1));
    /// assert_eq!(store.consume_in_tx(&notes, "copy", PollOptions::default(), copy).await?, None);
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    pub async fn consume_in_tx<T, E, F>(
        &self,
        stream: &StreamKey,
        name: &str,
        options: PollOptions,
        apply: F,
    ) -> Result<Option<T>>
    where
        T: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnOnce(&Connection, &Page) -> Result<T, E> + Send + 'static,
    {
        let (stream, name) = (stream.clone(), name.to_owned());
        let failed = Arc::new(OnceLock::new());
        let (taking, noted) = ((stream.clone(), name.clone(), options.clone()), Arc::clone(&failed));
        let outcome = self
            .0
            .transaction(move |transaction| {
                let (stream, name, options) = taking;
                let delivery = poll(transaction, &stream, &name, options)?;
                let Some(first) = delivery.page.changes.first() else { return Ok(None) };
                let first = first.record.metadata.cursor;
                let value = apply_to(transaction.backend().connection(), &delivery.page, apply).map_err(|error| {
                    let _ = noted.set(first);
                    error.with("consumer", &name)
                })?;
                transaction.consumer_command(&stream, &name, &ConsumerCommand::Ack(delivery.token))?;
                Ok(Some(value))
            })
            .await;
        if outcome.is_err()
            && let Some(first) = failed.get().copied()
        {
            // The failed transaction rolled back its own count. A failure that cannot be counted now is counted the next time.
            let _ =
                self.0.transaction(move |transaction| nack_again(transaction, &stream, &name, options, first)).await;
        }
        outcome
    }

    /// Writes records within a transaction that the host began (`BEGIN IMMEDIATE`) on a connection of
    /// its own to the same file. Commit it there, then call [`PendingCommit::publish`].
    ///
    /// If `work` fails or panics, its changes are rolled back from the host's transaction. The host's earlier changes stay, and
    /// may be committed or rolled back.
    ///
    /// # Errors
    ///
    /// The error of `work`; [`ErrorKind::Invalid`] for a connection without an open transaction, or to another store's file;
    /// [`ErrorKind::Poisoned`] if the store's file was moved or replaced.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{Store, StreamKey, WriteBatch};
    /// use highwater_store_sqlite::{SqliteStore, rusqlite};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("host.db");
    /// let mut host = rusqlite::Connection::open(&path)?;
    /// host.execute_batch("CREATE TABLE outbox (what TEXT)")?;
    /// let store = SqliteStore::open(&path)?;
    /// let notes = StreamKey::new("demo", "Note");
    ///
    /// let mine = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    /// mine.execute("INSERT INTO outbox VALUES ('a note')", [])?;
    /// let mut batch = WriteBatch::new();
    /// batch.on(&notes).upsert(r#"{"id": "a"}"#);
    /// let (_, staged) = store.join(&mine, |transaction| transaction.apply(&batch))?;
    /// mine.commit()?; // both, or neither
    /// staged.publish();
    /// assert_eq!(store.head(&notes).await?.live, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn join<T>(
        &self,
        connection: &Connection,
        work: impl FnOnce(&mut LogTransaction<'_, '_, SqliteTransaction<'_>>) -> Result<T>,
    ) -> Result<(T, PendingCommit)> {
        let Joining { path, files } = &self.1;
        // The host's commit must go to the store's file, and this is the last check before it.
        files.look().map_err(|error| error.with("path", path))?;
        self.0.join(SqliteTransaction::join(connection)?, work)
    }

    /// Creates or replaces a view that shows a stream's records with these columns. If `columns` is empty, they are the
    /// [`DEFAULT_COLUMNS`](crate::DEFAULT_COLUMNS) members that most records have. The result lists the columns, and the members
    /// without one.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{Store, StreamKey, WriteBatch};
    /// use highwater_store_sqlite::SqliteStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let store = SqliteStore::open(folder.path().join("app.db"))?;
    /// let notes = StreamKey::new("demo", "Note");
    /// let mut batch = WriteBatch::new();
    /// batch.on(&notes).upsert(r#"{"id": "a", "title": "one"}"#);
    /// store.commit(batch).await?;
    /// let view = store.create_view(&notes, "notes", Vec::new()).await?; // SELECT id, title FROM notes
    /// assert!(view.columns.iter().any(|column| column.name == "title"));
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a stream that has never had a record, and see [`create_model_view`].
    pub async fn create_view(&self, stream: &StreamKey, view: &str, columns: Vec<ViewColumn>) -> Result<ModelView> {
        let (number, view) = (self.number_of(stream).await?, view.to_owned());
        self.0
            .with_backend(move |backend| {
                let connection = backend.connection();
                let made = match columns.is_empty() {
                    true => ModelView::of_most(view_members(connection, number)?),
                    false => ModelView::named(columns),
                };
                create_model_view(connection, &view, number, &made.columns)?;
                Ok(made)
            })
            .await
    }

    /// Finds the members that a stream's records have, each as the column of a view. See [`view_members`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a stream that has never had a record.
    pub async fn view_members(&self, stream: &StreamKey) -> Result<ViewMembers> {
        let number = self.number_of(stream).await?;
        self.0.with_backend(move |backend| view_members(backend.connection(), number)).await
    }

    async fn number_of(&self, stream: &StreamKey) -> Result<u32> {
        match self.head(stream).await?.number {
            0 => Err(Error::new(ErrorKind::NotFound, "nothing has been written to the stream yet: sync it first")
                .with("stream", stream)),
            number => Ok(number),
        }
    }
}

/// Takes the next batch of a named consumer.
fn poll(
    transaction: &mut LogTransaction<'_, '_, SqliteTransaction<'_>>,
    stream: &StreamKey,
    name: &str,
    options: PollOptions,
) -> Result<Delivery> {
    match transaction.consumer_command(stream, name, &ConsumerCommand::Poll(options))? {
        ConsumerReply::Delivery(delivery) => Ok(delivery),
        _ => Err(Error::new(ErrorKind::Internal, "a poll returned the answer of another request")),
    }
}

/// Runs the host's work on a batch.
fn apply_to<T, E: Into<Box<dyn StdError + Send + Sync>>>(
    connection: &Connection,
    page: &Page,
    apply: impl FnOnce(&Connection, &Page) -> Result<T, E>,
) -> Result<T> {
    let failed = |message: &'static str, source: Box<dyn StdError + Send + Sync>| {
        Error::new(ErrorKind::Cancelled, message).because(source)
    };
    let value = match catch_unwind(AssertUnwindSafe(|| apply(connection, page))) {
        Ok(applied) => applied.map_err(|source| {
            failed("the host's work failed: nothing was stored, nothing acknowledged", source.into())
        })?,
        Err(panic) => {
            let message = "the host's work panicked: nothing was stored, nothing acknowledged";
            return Err(failed(message, said(&*panic).into()));
        }
    };
    if connection.is_autocommit() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the host's work ended the transaction, and nothing was acknowledged: leave BEGIN, COMMIT and ROLLBACK out, use savepoints",
        ));
    }
    Ok(value)
}

/// Counts the failure of a batch whose transaction came to nothing, if it is still the next one.
fn nack_again(
    transaction: &mut LogTransaction<'_, '_, SqliteTransaction<'_>>,
    stream: &StreamKey,
    name: &str,
    options: PollOptions,
    first: Cursor,
) -> Result<()> {
    let delivery = poll(transaction, stream, name, options)?;
    match delivery.page.changes.first() {
        Some(change) if change.record.metadata.cursor == first => {
            transaction.consumer_command(stream, name, &ConsumerCommand::Nack(delivery.token)).map(drop)
        }
        _ => Err(Error::new(ErrorKind::Cancelled, "the failed batch is no longer the next one")),
    }
}

/// The message of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Settings to open an SQLite store with.
///
/// ```
/// use std::time::Duration;
/// use highwater_core::StoreOptions;
/// use highwater_store_sqlite::SqliteStore;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::builder(&path)
///     .options(StoreOptions::new().memory_budget(16 << 20))
///     .busy_timeout(Duration::from_secs(10))
///     .open()?;
/// # drop(store);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteBuilder {
    path: PathBuf,
    options: StoreOptions,
    settings: Settings,
}

impl SqliteBuilder {
    /// Sets what every store has: clock, codec, memory budget, readers.
    #[must_use]
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets how long to wait for another process's write lock. Defaults to 5 seconds.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.settings.busy_timeout = timeout;
        self
    }

    /// Sets the size of the writing connection's page cache, in KiB. Defaults to 16 MiB.
    #[must_use]
    pub fn cache_kib(mut self, kib: u32) -> Self {
        self.settings.cache_kib = kib;
        self
    }

    /// Keeps other processes out, and does everything on one connection.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.settings.exclusive = true;
        self.settings.shared = false;
        self
    }

    /// Requires that other processes and the host's own connections can use the file at the same time.
    ///
    /// By default they can, except with an SQLite older than 3.51.3, which may damage a WAL file that several connections use:
    /// there the store takes the file exclusively, or with this setting refuses to open. Every version can share a file with a
    /// rollback journal.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.settings.shared = true;
        self.settings.exclusive = false;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Busy`] if another process holds the file for longer than
    ///   [`busy_timeout`](SqliteBuilder::busy_timeout);
    /// * [`ErrorKind::Incompatible`] for a file that is not a database, or a store of a later format;
    /// * [`ErrorKind::Unsupported`] if the file must be [`shared`](SqliteBuilder::shared), and this SQLite cannot share it safely;
    /// * [`ErrorKind::WrongKey`] if the codec lacks a key or dictionary that the payloads need;
    /// * [`ErrorKind::NotFound`] for a missing file that is opened read-only, and [`ErrorKind::PermissionDenied`] for one that cannot be
    ///   written;
    /// * [`ErrorKind::Corrupt`] for a damaged file, and the kinds of I/O errors.
    pub fn open(self) -> Result<SqliteStore> {
        let named = |error: Error| {
            if error.context("path").is_none() { error.with("path", self.path.display()) } else { error }
        };
        let open = if self.options.read_only { SqliteBackend::open_read_only } else { SqliteBackend::open };
        let backend = open(&self.path, self.settings).map_err(named)?;
        let joining = Joining { path: self.path.display().to_string().into(), files: Arc::clone(backend.files()) };
        Threaded::open(backend, self.options.clone()).map(|store| SqliteStore(store, joining)).map_err(named)
    }
}
