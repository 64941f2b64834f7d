//! The outbox, for programs without an async runtime.

use std::fmt;
use std::sync::{Arc, Mutex};

use highwater_core::Result;
use highwater_core::locks::lock;
use highwater_template::Secret;

use super::Engine;
use crate::documents::{Destination, OutboxRow};
use crate::webhooks::outbox::{BackgroundDelivery, DeliveryReport, TestDelivery};

/// An [`Outbox`](crate::webhooks::Outbox) that delivers on the engine's thread. Clones share one outbox; deliveries stop with the last
/// of them.
///
/// ```no_run
/// # fn example(engine: &highwater_engine::blocking::Engine) -> highwater_core::Result<()> {
/// use highwater_engine::{Secret, blocking};
/// use highwater_engine::webhooks::Destination;
/// let outbox = blocking::Outbox::new(engine);
/// outbox.add(Destination::new("crm", "https://crm.example/hooks/highwater"))?;
/// outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")])?;
/// outbox.start();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    engine: Engine,
    outbox: crate::webhooks::Outbox,
    delivering: Arc<Mutex<Option<BackgroundDelivery>>>,
}

impl Outbox {
    /// Creates the outbox of an engine. Nothing is delivered before [`start`](Outbox::start).
    pub fn new(engine: &Engine) -> Self {
        Outbox {
            outbox: crate::webhooks::Outbox::new(engine.engine()),
            engine: engine.clone(),
            delivering: Arc::default(),
        }
    }

    /// See [`Outbox::set_secrets`](crate::webhooks::Outbox::set_secrets).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_secrets(&self, destination: impl Into<String>, secrets: Vec<Secret>) -> Result<()> {
        self.outbox.set_secrets(destination, secrets)
    }

    /// See [`Outbox::add`](crate::webhooks::Outbox::add).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn add(&self, destination: Destination) -> Result<()> {
        self.engine.wait(self.outbox.add(destination))
    }

    /// See [`Outbox::add_public`](crate::webhooks::Outbox::add_public).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn add_public(&self, destination: Destination) -> Result<()> {
        self.engine.wait(self.outbox.add_public(destination))
    }

    /// See [`Outbox::destinations`](crate::webhooks::Outbox::destinations).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn destinations(&self) -> Result<Vec<Destination>> {
        self.engine.wait(self.outbox.destinations())
    }

    /// See [`Outbox::remove`](crate::webhooks::Outbox::remove).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.engine.wait(self.outbox.remove(id))
    }

    /// See [`Outbox::waiting`](crate::webhooks::Outbox::waiting).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn waiting(&self, destination: &str, after: &str, limit: usize) -> Result<Vec<OutboxRow>> {
        self.engine.wait(self.outbox.waiting(destination, after, limit))
    }

    /// See [`Outbox::dead_letters`](crate::webhooks::Outbox::dead_letters).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn dead_letters(&self, destination: &str, after: &str, limit: usize) -> Result<Vec<OutboxRow>> {
        self.engine.wait(self.outbox.dead_letters(destination, after, limit))
    }

    /// See [`Outbox::replay`](crate::webhooks::Outbox::replay).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn replay(&self, destination: &str, id: &str) -> Result<()> {
        self.engine.wait(self.outbox.replay(destination, id))
    }

    /// See [`Outbox::replay_all`](crate::webhooks::Outbox::replay_all).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn replay_all(&self, destination: &str) -> Result<usize> {
        self.engine.wait(self.outbox.replay_all(destination))
    }

    /// See [`Outbox::destination`](crate::webhooks::Outbox::destination).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn destination(&self, id: &str) -> Result<Destination> {
        self.engine.wait(self.outbox.destination(id))
    }

    /// See [`Outbox::update`](crate::webhooks::Outbox::update).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update(&self, id: &str, change: impl Fn(Destination) -> Destination) -> Result<Destination> {
        self.engine.wait(self.outbox.update(id, change))
    }

    /// See [`Outbox::update_public`](crate::webhooks::Outbox::update_public).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update_public(&self, id: &str, change: impl Fn(Destination) -> Destination) -> Result<Destination> {
        self.engine.wait(self.outbox.update_public(id, change))
    }

    /// See [`Outbox::rotate_secret`](crate::webhooks::Outbox::rotate_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn rotate_secret(&self, destination: &str) -> Result<Secret> {
        self.engine.wait(self.outbox.rotate_secret(destination))
    }

    /// See [`Outbox::has_secret`](crate::webhooks::Outbox::has_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn has_secret(&self, destination: &str) -> Result<bool> {
        self.engine.wait(self.outbox.has_secret(destination))
    }

    /// See [`Outbox::test`](crate::webhooks::Outbox::test).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn test(&self, destination: &str) -> Result<TestDelivery> {
        self.engine.wait(self.outbox.test(destination))
    }

    /// See [`Outbox::discard`](crate::webhooks::Outbox::discard).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn discard(&self, destination: &str, id: &str) -> Result<()> {
        self.engine.wait(self.outbox.discard(destination, id))
    }

    /// See [`Outbox::deliver_due`](crate::webhooks::Outbox::deliver_due).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn deliver_due(&self) -> Result<DeliveryReport> {
        self.engine.wait(self.outbox.deliver_due())
    }

    /// Starts to deliver on the engine's thread, unless it already does.
    pub fn start(&self) {
        lock(&self.delivering).get_or_insert_with(|| self.outbox.start(&self.engine.inner.handle));
    }

    /// Starts no further attempt and waits for the current one. It can be started again.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn shutdown(&self) -> Result<()> {
        let delivering = lock(&self.delivering).take();
        delivering.map_or(Ok(()), |delivering| self.engine.wait(delivering.shutdown()))
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("delivering", &lock(&self.delivering).is_some()).finish_non_exhaustive()
    }
}
