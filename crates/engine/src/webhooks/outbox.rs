//! Outgoing webhooks: committed with the end of a run, delivered at least once.

mod auth;
mod cleared;
mod collapse;
mod deliver;
mod destinations;
mod draft;
mod due;
mod forward;
mod lease;
mod news;
mod performed;
mod secrets;
mod tally;
mod trial;

pub(crate) use auth::{AuthNews, AuthOperation, add_auth_rows, bound_rows};
pub(crate) use cleared::{anybody_listens, clear_streams};
pub use deliver::{BackgroundDelivery, DeliveryReport};
pub(crate) use draft::tell;
pub(crate) use forward::{ForwardNews, add_forward_rows};
pub(crate) use performed::add_action_rows;
pub(crate) use tally::Tally;
pub use trial::TestDelivery;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use highwater_core::{Environment, Error, ErrorKind, Result, Store, WriteBatch};
use highwater_template::Secret;
use highwater_template::http::Transport;

use crate::documents::{
    Destination, OutboxRow, dead_key, dead_prefix, destination_key, rest_key, row_key, rows_prefix,
};
use crate::engine::Engine;
use crate::http::PrivateAddresses;
use crate::mutants::mutant;
use destinations::destinations;

/// Dead letters replayed in one commit.
const REPLAYED: usize = 500;

/// Notifies other programs about finished runs: a signed `POST` per run and model.
///
/// Notifications are committed with the run itself, so no crash loses them. Each is retried for three days and then kept as
/// a dead letter. For an unreachable receiver a bounded number of deliveries is kept. After a crash an answered delivery may
/// be repeated, with the same `webhook-id`. A delivery contains no records: it says which ones to read.
///
/// ```no_run
/// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
/// use highwater_engine::Secret;
/// use highwater_engine::webhooks::{Destination, Outbox};
/// let outbox = Outbox::new(&engine);
/// outbox.add(Destination::new("crm", "https://crm.example/hooks/highwater")).await?;
/// outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")])?;
/// let delivering = outbox.start(&tokio::runtime::Handle::current());
/// # drop(delivering);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    parts: Arc<OutboxParts>,
}

struct OutboxParts {
    engine: Engine,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    private_addresses: PrivateAddresses,
    environment: Arc<dyn Environment>,
    secrets: Mutex<HashMap<String, Vec<Secret>>>,
}

impl Outbox {
    /// Creates the outbox of an engine. Nothing is delivered before [`start`](Outbox::start).
    pub fn new(engine: &Engine) -> Self {
        let parts = engine.parts();
        Outbox {
            parts: Arc::new(OutboxParts {
                engine: engine.clone(),
                store: Arc::clone(&parts.store),
                transport: Arc::clone(&parts.transport),
                private_addresses: parts.private_addresses,
                environment: Arc::clone(&parts.environment),
                secrets: Mutex::default(),
            }),
        }
    }

    /// Stores a destination, replacing one of the same id. A disabled one is enabled again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an invalid id or URL, and those of the store.
    pub async fn add(&self, destination: Destination) -> Result<()> {
        destination.check()?;
        let mut batch = WriteBatch::new();
        batch.remove_document(rest_key(&destination.id));
        batch.put_document(destination_key(&destination.id), &Destination { disabled: None, ..destination })?;
        self.parts.store.commit(batch).await.map(drop)
    }

    /// Stores a destination that somebody else than the program chose, such as a client of a server. Its URL must not lead to
    /// this machine or a private network, unless the engine was built with
    /// [`PrivateAddresses::OfAnyone`](crate::transport::PrivateAddresses::OfAnyone), or the program itself has given a destination
    /// of this id the same URL before.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Outbox::add).
    pub async fn add_public(&self, destination: Destination) -> Result<()> {
        let known = self.destinations().await?.into_iter().find(|known| known.id == destination.id);
        let own = known
            .is_some_and(|known| known.url == destination.url && (known.allow_private || !destination.allow_private));
        if !own && self.parts.private_addresses != PrivateAddresses::OfAnyone && !mutant!("destinations-of-anyone") {
            destination.check_public()?;
        }
        self.add(destination).await
    }

    /// Returns every destination.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn destinations(&self) -> Result<Vec<Destination>> {
        destinations(&*self.parts.store).await
    }

    /// Returns a destination.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown destination, and those of the store.
    pub async fn destination(&self, id: &str) -> Result<Destination> {
        match self.parts.store.document(&destination_key(id)).await? {
            Some(document) => document.to(),
            None => Err(secrets::unknown(id)),
        }
    }

    /// Changes a destination's settings. `change` may be called again if somebody else changes them at the same time. Its id stays,
    /// and a disabled destination stays disabled unless `change` clears [`disabled`](Destination::disabled).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown destination, [`ErrorKind::Invalid`] for invalid settings, and those of the store.
    pub async fn update(&self, id: &str, change: impl Fn(Destination) -> Destination) -> Result<Destination> {
        self.change(id, change, |_, changed| changed.check().map(drop)).await
    }

    /// Changes a destination's settings for somebody else than the program, such as a client of a server: another URL must be one
    /// that [`add_public`](Outbox::add_public) accepts.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Outbox::update).
    pub async fn update_public(&self, id: &str, change: impl Fn(Destination) -> Destination) -> Result<Destination> {
        let anyone = self.parts.private_addresses == PrivateAddresses::OfAnyone;
        let check = |before: &Destination, changed: &Destination| {
            let own = before.url == changed.url && (before.allow_private || !changed.allow_private);
            if own || anyone { changed.check().map(drop) } else { changed.check_public() }
        };
        self.change(id, change, check).await
    }

    async fn change(
        &self,
        id: &str,
        change: impl Fn(Destination) -> Destination,
        check: impl Fn(&Destination, &Destination) -> Result<()>,
    ) -> Result<Destination> {
        loop {
            let stored = self.parts.store.document(&destination_key(id)).await?.ok_or_else(|| secrets::unknown(id))?;
            let before: Destination = stored.to()?;
            let changed = Destination { id: id.to_owned(), ..change(before.clone()) };
            check(&before, &changed)?;
            let mut batch = WriteBatch::new();
            batch.expect_document(destination_key(id), Some(&stored));
            batch.put_document(destination_key(id), &changed)?;
            match self.parts.store.commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome.map(|_| changed),
            }
        }
    }

    /// Removes a destination with its waiting deliveries, dead letters and kept secrets. Succeeds if it does not exist.
    ///
    /// # Errors
    ///
    /// Those of the store, and of the credential store: then call it again.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.remove_document(destination_key(id)).remove_document(rest_key(id));
        self.parts.store.commit(batch).await?;
        for prefix in [rows_prefix(id), dead_prefix(id)] {
            loop {
                let page = self.parts.store.documents(&prefix, "", REPLAYED).await?;
                if page.is_empty() {
                    break;
                }
                let mut batch = WriteBatch::new();
                for document in page {
                    batch.remove_document(document.key);
                }
                self.parts.store.commit(batch).await?;
            }
        }
        self.forget_secrets(id).await
    }

    /// Returns at most `limit` waiting deliveries of a destination, oldest first, after the id `after` (empty: from the first).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn waiting(&self, destination: &str, after: &str, limit: usize) -> Result<Vec<OutboxRow>> {
        self.rows(&rows_prefix(destination), after, limit).await
    }

    /// Returns at most `limit` dead letters of a destination, oldest first, after the id `after` (empty: from the first).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn dead_letters(&self, destination: &str, after: &str, limit: usize) -> Result<Vec<OutboxRow>> {
        self.rows(&dead_prefix(destination), after, limit).await
    }

    /// Queues a dead letter again, with all its attempts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown dead letter, and those of the store.
    pub async fn replay(&self, destination: &str, id: &str) -> Result<()> {
        let document = self.parts.store.document(&dead_key(destination, id)).await?;
        let document = document.ok_or_else(|| unknown_letter(destination, id))?;
        self.revive(destination, vec![document.to()?]).await
    }

    /// Queues every dead letter of a destination again, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn replay_all(&self, destination: &str) -> Result<usize> {
        let mut replayed = 0;
        loop {
            let rows = self.dead_letters(destination, "", REPLAYED).await?;
            if rows.is_empty() {
                return Ok(replayed);
            }
            replayed += rows.len();
            self.revive(destination, rows).await?;
        }
    }

    /// Removes a dead letter: it is never delivered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown dead letter, and those of the store.
    pub async fn discard(&self, destination: &str, id: &str) -> Result<()> {
        let key = dead_key(destination, id);
        let document = self.parts.store.document(&key).await?.ok_or_else(|| unknown_letter(destination, id))?;
        let mut batch = WriteBatch::new();
        batch.expect_document(&*key, Some(&document)).remove_document(&*key);
        match self.parts.store.commit(batch).await {
            // It was replayed or discarded at this moment.
            Err(error) if error.kind() == ErrorKind::Conflict => Err(unknown_letter(destination, id)),
            outcome => outcome.map(drop),
        }
    }

    async fn revive(&self, destination: &str, rows: Vec<OutboxRow>) -> Result<()> {
        let now = self.parts.environment.now();
        let mut batch = WriteBatch::new();
        for mut row in rows {
            row.replay(now);
            batch.remove_document(dead_key(destination, &row.id));
            batch.put_document(row_key(destination, &row.id), &row)?;
        }
        batch.remove_document(rest_key(destination));
        self.parts.store.commit(batch).await.map(drop)
    }

    async fn rows(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<OutboxRow>> {
        let after = if after.is_empty() { String::new() } else { format!("{prefix}{after}") };
        let page = self.parts.store.documents(prefix, &after, limit).await?;
        page.iter().map(|document| document.value.to()).collect()
    }
}

fn unknown_letter(destination: &str, id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such dead letter: list them with `dead_letters`")
        .with("destination", destination)
        .with("id", id)
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("store", &self.parts.store).finish_non_exhaustive()
    }
}
