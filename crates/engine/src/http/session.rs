//! The engine's in-memory state of a connection: its credentials and its request budget.

use std::sync::{Arc, Mutex};

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Secret;
use highwater_template::redact::Redactor;

use super::address::Address;
use super::budget::Budget;
use super::credential_store::CredentialStore;
use super::credentials::{Credentials, SignInMethod};
use super::keeping;
use super::renewal::Refreshing;
use super::turn::Watch;
use crate::documents::{Finding, INTEGRATIONS, Obstacle, SignInReason};
use crate::mutants::mutant;

/// The number of replaced secrets that are still redacted: an API may echo an old token.
const REMEMBERED: usize = 64;

/// The session of one connection: shared by all its syncs, so that they share credentials and budget.
#[derive(Debug)]
pub(crate) struct Session {
    connection: String,
    store: Option<Arc<dyn CredentialStore>>,
    held: Mutex<Held>,
    /// Held while the host's store is read or written.
    pub(super) keeping: tokio::sync::Mutex<()>,
    pub(crate) budget: Mutex<Budget>,
    /// Held while tokens are refreshed, so that one refresh serves all.
    pub(super) refreshing: tokio::sync::Mutex<Refreshing>,
    /// Held while secret settings are renewed. Another process that does so.
    pub(super) renewing: tokio::sync::Mutex<Watch>,
    /// Held while a webhook is written.
    pub(crate) receiving: tokio::sync::Mutex<()>,
}

/// The credentials here, and the known state of the host's store.
#[derive(Debug, Default)]
struct Held {
    credentials: Option<Credentials>,
    /// The host has not saved them yet.
    unsaved: bool,
    /// The contents of the host's store when last read; `None` before that.
    stored: Option<Option<Credentials>>,
    /// The connection's address when last seen.
    address: Option<Address>,
    /// A client has used the credentials.
    used: bool,
    /// The connection has changed its address since the credentials were used.
    astray: bool,
    /// The connection was removed: nothing more is saved.
    gone: bool,
    /// They were given, or changed in the host's store, since they were last used.
    untried: bool,
    /// What using them showed, until somebody notes it.
    finding: Option<Finding>,
    /// Which sign-in they came of, by the count of the connection's health; none before that was read.
    generation: Option<u64>,
    /// Current and replaced secrets, the latest last.
    secrets: Vec<Secret>,
    /// Those of the connection's integration.
    shared: Vec<Secret>,
    /// Redacts them from texts.
    redactor: Redactor,
}

impl Held {
    /// Records the secrets of changed credentials.
    fn note_secrets(&mut self) {
        let known = self.credentials.iter().chain(self.stored.iter().flatten());
        let current: Vec<Secret> = known.flat_map(Credentials::all_secrets).collect();
        let before = self.secrets.len();
        self.secrets.retain(|secret| !current.contains(secret));
        let (kept, count) = (self.secrets.len(), current.len());
        self.secrets.extend(current);
        let surplus = self.secrets.len().saturating_sub(REMEMBERED.max(count));
        self.secrets.drain(..surplus);
        // The same number as before: nothing is new.
        if kept + count != before || surplus > 0 {
            self.make_redactor();
        }
    }

    fn make_redactor(&mut self) {
        self.redactor = Redactor::new(self.secrets.iter().chain(&self.shared));
    }
}

impl Session {
    pub(super) fn new(connection: &str, store: Option<Arc<dyn CredentialStore>>) -> Self {
        Session {
            connection: connection.to_owned(),
            store,
            held: Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            budget: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            receiving: tokio::sync::Mutex::default(),
        }
    }

    /// The API's earlier limits applied to the earlier credentials.
    pub(crate) fn set(&self, credentials: Credentials) {
        let mut held = lock(&self.held);
        (held.credentials, held.unsaved, held.stored) = (Some(credentials), false, None);
        (held.used, held.astray) = (false, false);
        (held.untried, held.finding) = (true, None);
        held.note_secrets();
        drop(held);
        *lock(&self.budget) = Budget::default();
    }

    /// Sets the connection's address. Credentials that were used at another address are withheld.
    pub(crate) fn settle(&self, address: &Address) {
        let mut held = lock(&self.held);
        if held.address.as_ref().is_some_and(|known| known != address) {
            held.astray |= held.used && held.credentials.is_some();
        }
        held.address = Some(address.clone());
    }

    /// Starts to use the credentials at an address.
    pub(crate) async fn arrive(&self, address: &Address) -> Result<()> {
        self.settle(address);
        if self.is_astray() {
            // The host may have saved others for the new address.
            self.look().await?;
        }
        self.check_address(address)?;
        lock(&self.held).used = true;
        Ok(())
    }

    fn is_astray(&self) -> bool {
        lock(&self.held).astray
    }

    /// Refuses to use the credentials at any other address than the connection's.
    pub(super) fn check_address(&self, address: &Address) -> Result<()> {
        if mutant!("credential-without-origin") {
            return Ok(());
        }
        let held = lock(&self.held);
        if held.address.as_ref() != Some(address) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the connection has changed in the meantime; everything saved stays, run again",
            )
            .with("connection", &self.connection));
        }
        if held.astray {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the credentials were supplied for another address of the connection: supply them again",
            )
            .with("connection", &self.connection));
        }
        Ok(())
    }

    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// `error` with the connection, or the integration whose secrets these are.
    pub(super) fn named(&self, error: Error) -> Error {
        match self.connection.strip_prefix(INTEGRATIONS) {
            Some(key) => error.with("integration", key),
            None => error.with("connection", &self.connection),
        }
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// The credentials, loaded from the host's store the first time.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        if self.known().is_none() {
            self.look().await?;
        }
        Ok(self.known().unwrap_or_default())
    }

    pub(crate) fn known(&self) -> Option<Credentials> {
        lock(&self.held).credentials.clone()
    }

    /// Reads the host's store, and adopts credentials that changed there since the last read. Until then, credentials that the
    /// host passed to the engine directly apply.
    pub(crate) async fn look(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _alone = self.keeping.lock().await;
        if lock(&self.held).gone {
            return Ok(());
        }
        let loaded = self.load(&**store).await?;
        let mut held = lock(&self.held);
        let changed = held.stored.as_ref().is_some_and(|stored| *stored != loaded);
        if loaded.is_some() && !held.unsaved && (changed || held.credentials.is_none()) {
            held.untried |= changed && held.credentials != loaded;
            held.credentials.clone_from(&loaded);
            held.astray = false;
        }
        held.stored = Some(loaded);
        held.note_secrets();
        Ok(())
    }

    async fn load(&self, store: &dyn CredentialStore) -> Result<Option<Credentials>> {
        let loaded = store.load(&self.connection).await;
        loaded.map_err(|error| {
            if error.kind() == ErrorKind::Corrupt {
                self.note(Finding::Failed(Obstacle::NeedsSignIn(SignInReason::Unreadable)));
            }
            self.redact_error(error)
        })
    }

    /// Adopts the credentials of the host's store, if their refresh token differs from this expired one.
    pub(super) fn take_other_than(&self, over: Option<&Secret>) -> bool {
        let mut held = lock(&self.held);
        let other = held.stored.clone().flatten().filter(|stored| match &stored.sign_in {
            SignInMethod::OAuth2(tokens) => tokens.refresh_token.as_ref() != over,
            _ => stored.can_sign_in(),
        });
        let found = other.is_some();
        if found {
            (held.credentials, held.unsaved) = (other, false);
        }
        found
    }

    /// Changes the credentials. The host must save them before they are used.
    pub(super) fn change(&self, change: impl FnOnce(&mut Credentials)) {
        let mut held = lock(&self.held);
        if held.gone {
            return;
        }
        let before = held.credentials.clone();
        change(held.credentials.get_or_insert_default());
        held.unsaved |= held.credentials != before;
        held.note_secrets();
    }

    /// Whether the host does not have the credentials yet.
    pub(super) fn is_unsaved(&self) -> bool {
        lock(&self.held).unsaved
    }

    /// Lets the host save credentials that it does not have yet. If that fails, it is retried before the next request. A sign-in
    /// that the host saved meanwhile stays, and is used from now on.
    pub(super) async fn save(&self) -> Result<()> {
        if !lock(&self.held).unsaved {
            return Ok(());
        }
        let _alone = self.keeping.lock().await;
        let (renewed, known) = {
            let held = lock(&self.held);
            (held.credentials.clone(), held.stored.clone())
        };
        let Some(renewed) = renewed else { return Ok(()) };
        let saved = match &self.store {
            Some(store) => {
                let named =
                    |error: Error| error.during("keeping renewed credentials").with("connection", &self.connection);
                let saved = keeping::save_renewed(&**store, &self.connection, known, renewed.clone()).await;
                saved.map_err(|error| named(self.redact_error(error)))?
            }
            None => Some(renewed.clone()),
        };
        let mut held = lock(&self.held);
        if held.credentials.as_ref() == Some(&renewed) {
            held.unsaved = false;
            if saved.as_ref() != Some(&renewed) {
                held.credentials.clone_from(&saved);
                (held.untried, held.astray) = (true, false);
            }
        }
        held.stored = Some(saved);
        held.note_secrets();
        Ok(())
    }

    /// Reads the host's store, and adopts what is there, also that there is nothing.
    pub(crate) async fn reload(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _alone = self.keeping.lock().await;
        let loaded = self.load(&**store).await?;
        let mut held = lock(&self.held);
        (held.credentials, held.unsaved, held.stored) = (loaded.clone(), false, Some(loaded));
        held.note_secrets();
        Ok(())
    }

    /// Changes the credentials in the host's store, and only there. On an error nothing changes here either.
    pub(crate) async fn keep(&self, change: impl Fn(&mut Credentials)) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _alone = self.keeping.lock().await;
        let kept = keeping::save_changed(&**store, &self.connection, change).await;
        let credentials = kept.map_err(|error| self.named(self.redact_error(error.during("keeping secrets"))))?;
        let mut held = lock(&self.held);
        (held.credentials, held.unsaved, held.stored) = (Some(credentials.clone()), false, Some(Some(credentials)));
        held.note_secrets();
        Ok(())
    }

    /// Drops the credentials of a connection that is gone. Nothing more is saved.
    pub(super) fn leave(&self) {
        let mut held = lock(&self.held);
        (held.credentials, held.unsaved, held.stored, held.gone) = (None, false, Some(None), true);
    }

    /// Removes the credentials of a connection that is gone from the host's store. What was given to this engine for a later
    /// connection of the same id stays.
    pub(crate) async fn remove_kept(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _alone = self.keeping.lock().await;
        if let Err(error) = store.remove(&self.connection).await {
            // The error may quote what this engine never loaded.
            let kept = store.load(&self.connection).await.ok().flatten().unwrap_or_default();
            let error = self.redact_error(Redactor::new(&kept.all_secrets()).redact_error(error));
            return Err(self.named(error.during("removing credentials")));
        }
        let mut held = lock(&self.held);
        held.stored = Some(None);
        if !held.untried {
            (held.credentials, held.unsaved) = (None, false);
        }
        Ok(())
    }

    /// Takes the credentials of the latest sign-in, where somebody signed in since this engine last looked. What was given to it
    /// directly and not used yet stays.
    pub(crate) async fn catch_up(&self, generation: u64) -> Result<()> {
        let known = lock(&self.held).generation;
        if known == Some(generation) || mutant!("sign-in-elsewhere-missed") {
            return Ok(());
        }
        if known.is_none() {
            let mut held = lock(&self.held);
            held.generation = Some(generation);
            if held.stored.is_none() {
                return Ok(());
            }
        }
        let _alone = self.keeping.lock().await;
        let loaded = match &self.store {
            Some(store) => self.load(&**store).await?,
            None => None,
        };
        let mut held = lock(&self.held);
        if !held.gone && !held.untried {
            held.credentials.clone_from(&loaded);
            (held.unsaved, held.used, held.astray) = (false, false, false);
            held.finding = None;
        }
        (held.stored, held.generation) = (Some(loaded), Some(generation));
        held.note_secrets();
        Ok(())
    }

    /// Notes that these are the credentials of that sign-in.
    pub(crate) fn set_generation(&self, generation: u64) {
        lock(&self.held).generation = Some(generation);
    }

    /// Notes what using the credentials showed.
    pub(super) fn note(&self, finding: Finding) {
        let mut held = lock(&self.held);
        (held.finding, held.untried) = (Some(finding), false);
    }

    /// Notes that the API did not take `used`, if these are the current credentials.
    pub(super) fn note_refused(&self, used: &Credentials) {
        let mut held = lock(&self.held);
        if held.credentials.as_ref() == Some(used) {
            let refused = Finding::Failed(Obstacle::NeedsSignIn(SignInReason::Refused));
            (held.finding, held.untried) = (Some(refused), false);
        }
    }

    /// Notes that there is nothing to sign in with. Without a store of the host's that is so in this engine alone.
    pub(crate) fn note_missing(&self) {
        if self.has_store() {
            self.note(Finding::Failed(Obstacle::NeedsSignIn(SignInReason::NoCredentials)));
        }
    }

    pub(crate) fn take_finding(&self) -> Option<Finding> {
        lock(&self.held).finding.take()
    }

    /// Whether there are credentials that were not used yet.
    pub(crate) fn is_untried(&self) -> bool {
        let held = lock(&self.held);
        held.untried && held.credentials.is_some()
    }

    /// Puts credentials of a new sign-in in place of those before, which the host's store has by now.
    pub(super) fn replace(&self, credentials: &Credentials) {
        let mut held = lock(&self.held);
        (held.credentials, held.stored) = (Some(credentials.clone()), Some(Some(credentials.clone())));
        (held.unsaved, held.used, held.astray) = (false, false, false);
        (held.untried, held.finding) = (true, None);
        held.note_secrets();
        drop(held);
        *lock(&self.budget) = Budget::default();
    }

    pub(super) fn store(&self) -> Option<&Arc<dyn CredentialStore>> {
        self.store.as_ref()
    }

    /// Redacts the secrets of the connection's integration too, from now on.
    pub(crate) fn hide(&self, shared: Vec<Secret>) {
        let mut held = lock(&self.held);
        if held.shared != shared {
            held.shared = shared;
            held.make_redactor();
        }
    }

    /// The redactor for the connection's secrets: current and replaced ones, and those of its integration.
    pub(crate) fn redactor(&self) -> Redactor {
        lock(&self.held).redactor.clone()
    }

    /// `text` without any of the connection's secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.redactor().redact(text)
    }

    /// `error` without any of the connection's secrets, causes included. Every error passes through here before it leaves the
    /// engine or is stored.
    pub(crate) fn redact_error(&self, error: Error) -> Error {
        if mutant!("exit-unredacted") { error } else { self.redactor().redact_error(error) }
    }
}
