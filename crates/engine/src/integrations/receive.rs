//! Receiving a provider's webhook at the address of an integration: verified, handed to the connections that it is for, forwarded.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Json, Result, WriteBatch};
use highwater_template::records::text_at;
use highwater_template::webhooks::WebhookRecipient;

use super::IntegrationHandle;
use crate::documents::{ConnectionSettings, integration_key};
use crate::engine::Engine;
use crate::mutants::mutant;
use crate::webhooks::outbox::{ForwardNews, add_forward_rows, bound_rows};
use crate::webhooks::{
    Content, ReceivedEvent, SIGNATURE_TOLERANCE, Seen, TRIES, bucket_of, content, is_usable, verify_webhook,
};

/// The prefix of the ids of forwarded events, of one integration.
pub(super) fn forwarded_prefix(integration: &str) -> String {
    format!("forwarded/{integration}/")
}

impl IntegrationHandle {
    /// Processes a provider's webhook for the connections of this integration: verifies the signature with the integration's webhook
    /// secret, finds the connections that the event is for, and does for each what [`Engine::receive`] does. Destinations with
    /// [`on_forward`](crate::webhooks::Destination::on_forward) get the event itself. Once this returns, everything is durable: then
    /// answer the provider with a 2xx, and with a 4xx or 5xx on an error.
    ///
    /// Which connections those are the provider says
    /// ([`Provider::webhook_recipient`](highwater_template::Provider::webhook_recipient)): the ones whose settings its templates look for,
    /// or the ones of the account that the event names. Where it cannot be told, no connection changes:
    /// use [`receive_for`](IntegrationHandle::receive_for) there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for a webhook that is not genuine (answer 401), [`ErrorKind::Invalid`] for a genuine one that cannot
    /// be parsed (answer 400) and for an integration without a webhook secret, [`ErrorKind::NotFound`] for an unknown integration,
    /// [`ErrorKind::Unsupported`] if the provider's templates process no webhooks, and those of the store.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine, headers: Vec<(String, String)>, body: Vec<u8>) -> highwater_core::Result<()> {
    /// let github = engine.integration("github")?;
    /// let received = github.receive(&headers, &body).await?;
    /// println!("{} is for {} connections", received.event, received.connections.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive<N: AsRef<str>, V: AsRef<str>>(
        &self,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedEvent> {
        self.receive_at(None, headers, body).await
    }

    /// Processes a provider's webhook for one connection of this integration, as [`receive`](IntegrationHandle::receive) does. A
    /// connection with a webhook secret of its own is held to that one.
    ///
    /// # Errors
    ///
    /// Those of [`receive`](IntegrationHandle::receive), and [`ErrorKind::NotFound`] for a connection that is not of this integration.
    pub async fn receive_for<N: AsRef<str>, V: AsRef<str>>(
        &self,
        connection: &str,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedEvent> {
        self.receive_at(Some(connection), headers, body).await
    }

    async fn receive_at<N: AsRef<str>, V: AsRef<str>>(
        &self,
        connection: Option<&str>,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedEvent> {
        let engine = self.engine();
        let settings = self.settings().await?;
        let named = match connection {
            Some(id) => Some(self.connection(id).await?),
            None => None,
        };
        let provider = engine.parts().provider_of(&ConnectionSettings::new("", &settings.provider))?;
        let scheme = provider.webhooks.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "no template of this provider processes webhooks")
                .with("provider", &provider.name)
        })?;
        let secrets = match &named {
            Some(connection) => engine.webhook_secrets(connection).await?,
            None => self.webhook_secret().await?.into_iter().filter(is_usable).collect(),
        };
        if secrets.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the integration has no webhook secret: set it")
                .with("integration", self.key()));
        }
        let now = engine.parts().environment.now();
        let event = match verify_webhook(scheme, headers, body, &secrets, now, SIGNATURE_TOLERANCE) {
            Err(_) if mutant!("webhook-unverified") => "unverified".to_owned(),
            verified => verified.map_err(|error| error.with("integration", self.key()))?.id,
        };
        let mut received = ReceivedEvent { event, connections: BTreeMap::new(), forwarded: 0, answer: None };
        let body = match content(scheme, headers, body).map_err(|error| error.with("event", &received.event))? {
            Content::Event(body) => body,
            Content::Challenge(answer) => {
                received.answer = Some(answer);
                return Ok(received);
            }
            Content::Other => return Ok(received),
        };
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        let recipients = match named {
            Some(connection) => vec![connection],
            None => self.recipients(&provider.webhook_recipient, &received.event, &headers, &body).await?,
        };
        for recipient in &recipients {
            match engine.take_event(recipient, &received.event, &headers, &body).await {
                // Disconnected in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                taken => drop(received.connections.insert(recipient.id.clone(), taken?)),
            }
        }
        let ids: Vec<&str> = received.connections.keys().map(String::as_str).collect();
        let news = ForwardNews { integration: self.key(), provider: &provider.name, connections: &ids, payload: &body };
        if settings.forward_webhooks {
            received.forwarded = self.forward(&news, connection, &received.event).await?;
        }
        Ok(received)
    }

    /// A connection of this integration.
    async fn connection(&self, id: &str) -> Result<ConnectionSettings> {
        let found = self.engine().connection(id).await?;
        if found.integration.as_deref() == Some(self.key()) || mutant!("webhook-of-another-integration") {
            return Ok(found);
        }
        Err(Error::new(ErrorKind::NotFound, "the integration has no such connection: check both")
            .with("integration", self.key())
            .with("connection", id))
    }

    /// The connections that an event is for.
    async fn recipients(
        &self,
        recipient: &WebhookRecipient,
        event: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<ConnectionSettings>> {
        let engine = self.engine();
        let account = match recipient {
            WebhookRecipient::Settings => None,
            WebhookRecipient::Account(pointer) => match text_at(body, pointer)? {
                Some(account) => Some(account),
                None => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        for connection in self.connections().await? {
            let is_for = match &account {
                None => engine.is_concerned(&connection.id, event, headers, body).await,
                Some(account) => engine.is_account(&connection.id, account).await,
            };
            match is_for {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                is_for => {
                    if is_for? {
                        found.push(connection);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Adds the deliveries that forward an event, once: its id is committed with them.
    async fn forward(&self, news: &ForwardNews<'_>, address: Option<&str>, event: &str) -> Result<usize> {
        let (engine, place) = (self.engine(), integration_key(self.key()));
        let (store, environment) = (engine.store().as_ref(), &*engine.parts().environment);
        let (bucket, digest) = bucket_of(&format!("{}/{event}", address.unwrap_or_default()));
        let seen_place = format!("{}{bucket}", forwarded_prefix(self.key()));
        let mut tries = 0;
        loop {
            let now = environment.now();
            // An integration that is deleted at this moment leaves nothing.
            let integration = store.document(&place).await?;
            let stored = store.document(&seen_place).await?;
            let mut seen: Seen = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
            if integration.is_none() || (seen.has(&digest, now) && !mutant!("forwarded-again")) {
                return Ok(0);
            }
            let mut batch = WriteBatch::new();
            let (told, count) = add_forward_rows(store, environment, news, tries, &mut batch).await?;
            if count == 0 {
                return Ok(0);
            }
            seen.add(digest.clone(), now);
            batch.expect_document(&*place, integration.as_ref()).expect_document(&*seen_place, stored.as_ref());
            batch.put_document(&*seen_place, &seen)?;
            match store.commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => {
                    outcome?;
                    bound_rows(store, environment, &told).await;
                    return Ok(count);
                }
            }
        }
    }
}

impl Engine {
    /// Returns whether a connection is signed in to an account, by the first part of the account's id.
    async fn is_account(&self, connection: &str, wanted: &str) -> Result<bool> {
        let health = self.health_of(connection).await?;
        let first = health.account().id.as_deref().and_then(|id| id.split('/').next());
        Ok(first == Some(wanted))
    }
}
