//! Receiving a provider's webhook: verified, deduplicated, written concurrently with runs, reported.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Json, Result, Store, Timestamp, WriteBatch};
use highwater_template as template;
use highwater_template::Template;
use highwater_template::webhooks::{WebhookChange, WebhookEvent, WebhookReaction};
use serde::{Deserialize, Serialize};

use crate::documents::{
    ConnectionSettings, Draft, RunMode, RunReport, SyncKey, SyncSettings, connection_key, drafts_of,
};
use crate::engine::Engine;
use crate::events::RunEvent;
use crate::logs;
use crate::mutants::mutant;
use crate::versions;
use crate::webhooks::outbox::tell;
use crate::webhooks::signature::SIGNATURE_TOLERANCE;
use crate::webhooks::verify::{Content, content, verify_webhook};

/// The secret settings that a connection's webhooks are signed with: the current one, and the previous one during a rotation.
pub const WEBHOOK_SECRETS: [&str; 2] = ["webhook_secret", "webhook_secret_previous"];

/// The origin of a webhook's changes.
const ORIGIN: &str = "webhook";

/// Ids are stored in this many documents per connection, this many in each, for this long.
const BUCKETS: u8 = 64;
const IDS_PER_BUCKET: usize = 64;
const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 3600);

/// Attempts at a commit that conflicts with others.
pub(crate) const TRIES: u32 = 20;

/// Syncs read at a time.
const PAGE: usize = 500;

/// The result of a webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReceivedWebhook {
    /// The provider's id of the event.
    pub event: String,
    /// Whether it is a duplicate: nothing was done.
    pub duplicate: bool,
    /// The changes, as stored in the log: one report for each sync whose records the event concerned.
    pub changes: Vec<RunReport>,
    /// The syncs for which a run was requested.
    pub triggered: Vec<String>,
    /// Whether no active sync uses it: another kind of event, another repository. That is not an error.
    pub ignored: bool,
    /// The text to answer with, if the provider needs more than a 2xx: Slack's challenge, as `text/plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// The result of a webhook that came to an integration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReceivedEvent {
    /// The provider's id of the event.
    pub event: String,
    /// What it did for each connection that it is for, by the connection's id. Empty if it is for none, or does not tell.
    pub connections: BTreeMap<String, ReceivedWebhook>,
    /// How many deliveries forward it to destinations. A repetition is not forwarded again.
    pub forwarded: usize,
    /// The text to answer with, if the provider needs more than a 2xx: Slack's challenge, as `text/plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl ReceivedWebhook {
    fn new(event: &str) -> Self {
        ReceivedWebhook {
            event: event.to_owned(),
            duplicate: false,
            changes: Vec::new(),
            triggered: Vec::new(),
            ignored: false,
            answer: None,
        }
    }
}

/// Ids of events, the latest last, and when each arrived.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen(Vec<(String, u64)>);

impl Seen {
    pub(crate) fn has(&self, id: &str, now: Timestamp) -> bool {
        self.0.iter().any(|(known, at_ms)| known == id && is_remembered(*at_ms, now))
    }

    pub(crate) fn add(&mut self, id: String, now: Timestamp) {
        self.0.retain(|(_, at_ms)| is_remembered(*at_ms, now));
        let surplus = (self.0.len() + 1).saturating_sub(IDS_PER_BUCKET);
        self.0.drain(..surplus);
        self.0.push((id, now.unix_ms()));
    }
}

fn is_remembered(at_ms: u64, now: Timestamp) -> bool {
    Timestamp::from_unix_ms(at_ms) + REMEMBERED > now
}

/// A sync that an event concerns.
struct Concerned {
    key: SyncKey,
    settings: Json,
    template: Arc<dyn Template>,
    reaction: WebhookReaction,
}

impl Engine {
    /// Processes a provider's webhook for a connection: verifies the signature, drops duplicates, lets each enabled sync's
    /// template decide what it does, writes that, and requests runs. Once this returns, everything is durable: then answer the
    /// provider with a 2xx, and with a 4xx or 5xx on an error.
    ///
    /// The secret is the connection's secret setting `webhook_secret`; during a rotation, the old one is
    /// `webhook_secret_previous`. `body` is the unchanged body: JSON, or the form that GitHub sends by default. A paused sync
    /// processes nothing. An event that concerns no sync is [`ignored`](ReceivedWebhook::ignored).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for a webhook that is not genuine (answer 401), [`ErrorKind::Invalid`] for a genuine one that
    /// cannot be parsed (answer 400), [`ErrorKind::Unsupported`] if the provider's templates process no webhooks, and those of
    /// the store.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine, headers: Vec<(String, String)>, body: Vec<u8>) -> highwater_core::Result<()> {
    /// use highwater_engine::{Credentials, Secret};
    /// let credentials = Credentials::token(Secret::new("ghp_...")).secret("webhook_secret", Secret::new("It's a secret"));
    /// engine.use_credentials("github-main", credentials);
    /// let received = engine.receive("github-main", &headers, &body).await?;
    /// println!("{}: {} changes", received.event, received.changes.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive<N: AsRef<str>, V: AsRef<str>>(
        &self,
        connection: &str,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedWebhook> {
        let settings = self.connection(connection).await?;
        let provider = self.parts().provider_of(&settings)?;
        let scheme = provider.webhooks.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "no template of this provider processes webhooks: trigger a run instead")
                .with("provider", &provider.name)
        })?;
        let secrets = self.webhook_secrets(&settings).await?;
        let now = self.parts().environment.now();
        let verified = verify_webhook(scheme, headers, body, &secrets, now, SIGNATURE_TOLERANCE)
            .map_err(|error| error.with("connection", connection))?;
        let body = match content(scheme, headers, body).map_err(|error| error.with("event", &verified.id))? {
            Content::Event(event) => event,
            Content::Challenge(answer) => {
                return Ok(ReceivedWebhook {
                    ignored: true,
                    answer: Some(answer),
                    ..ReceivedWebhook::new(&verified.id)
                });
            }
            Content::Other => return Ok(ReceivedWebhook { ignored: true, ..ReceivedWebhook::new(&verified.id) }),
        };
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        self.take_event(&settings, &verified.id, &headers, &body).await
    }

    /// The secrets that a connection's webhooks may be signed with: its own, or else its integration's.
    pub(crate) async fn webhook_secrets(&self, settings: &ConnectionSettings) -> Result<Vec<template::Secret>> {
        let session = self.parts().sessions.of(&settings.id);
        let credentials = session.credentials().await?;
        let secrets = WEBHOOK_SECRETS.iter().filter_map(|name| credentials.named(name));
        let mut secrets: Vec<_> = secrets.filter(is_usable).collect();
        if let (true, Some(integration)) = (secrets.is_empty(), &settings.integration) {
            secrets.extend(self.integration(integration)?.webhook_secret().await?.filter(is_usable));
        }
        if secrets.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the connection has no webhook secret: add it as the secret setting `webhook_secret`, or to its integration",
            )
            .with("connection", &settings.id));
        }
        Ok(secrets)
    }

    /// Processes a verified event for a connection.
    pub(crate) async fn take_event(
        &self,
        settings: &ConnectionSettings,
        id: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ReceivedWebhook> {
        let session = self.parts().sessions.of(&settings.id);
        self.parts().hide_integration(settings, &session).await;
        // One at a time for a connection: each records the ends of its streams first.
        let _alone = session.receiving.lock().await;
        let mut tries = 0;
        loop {
            match self.take(&settings.id, id, headers, body).await {
                // Something has changed in the meantime: read again.
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => return outcome.map_err(|error| session.redact_error(error.with("event", id))),
            }
        }
    }

    async fn take(&self, connection: &str, id: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<ReceivedWebhook> {
        let (store, now) = (self.store().as_ref(), self.parts().environment.now());
        let (place, digest) = place_of(connection, id);
        let stored = store.document(&place).await?;
        let mut seen: Seen = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
        let mut received = ReceivedWebhook::new(id);
        if seen.has(&digest, now) {
            received.duplicate = true;
            return Ok(received);
        }
        seen.add(digest, now);
        let mut batch = WriteBatch::new();
        let connected = store.document(&connection_key(connection)).await?;
        batch.expect_document(connection_key(connection), connected.as_ref());
        batch.expect_document(&*place, stored.as_ref());
        if !mutant!("event-forgotten") {
            batch.put_document(&*place, &seen)?;
        }
        let concerned = self.concerned(connection, id, headers, body).await?;
        received.ignored = concerned.is_empty();
        // Before the event is stored as seen: a repeated event may request a run again, but no request is lost.
        for sync in concerned.iter().filter(|sync| sync.reaction.requests_run()) {
            self.handle(sync.key.clone()).trigger_if_on().await?;
            received.triggered.push(sync.key.sync_name());
        }
        let mut written = Vec::new();
        for sync in concerned.iter().filter(|sync| sync.reaction.changes().next().is_some()) {
            written.push((&sync.key, self.write_changes(sync, now, &mut batch)?));
            logs::prune_runs(self, &mut batch, &sync.key, 1).await?;
        }
        let commit = store.commit(batch).await?;
        // From here on it is processed, whatever happens: anything unreported is reported later.
        for (key, mut report) in written {
            let models: Vec<_> = report.models.keys().map(|model| key.stream(model)).collect();
            report.count(0, commit.streams.iter().filter(|commit| models.contains(&commit.stream)));
            self.tell_received(key, &report).await;
            received.changes.push(report);
        }
        Ok(received)
    }

    /// Returns whether the event concerns an enabled sync of the connection.
    pub(crate) async fn is_concerned(
        &self,
        connection: &str,
        id: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<bool> {
        Ok(!self.concerned(connection, id, headers, body).await?.is_empty())
    }

    /// The enabled syncs of the connection that the event concerns. A paused one writes nothing.
    async fn concerned(
        &self,
        connection: &str,
        id: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<Concerned>> {
        let settings = self.connection(connection).await?;
        let (prefix, mut after, mut found) = (format!("sync/{connection}/"), String::new(), Vec::new());
        loop {
            let page = self.store().documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in page {
                let sync: SyncSettings = document.value.to()?;
                // A template that this program lacks cannot decide.
                let Ok(template) = self.template(&sync.template) else { continue };
                if sync.paused {
                    continue;
                }
                // An older version accepted a sync of another provider: the event does not concern it.
                if self.parts().admit(&settings, &template.info().provider).is_err() {
                    continue;
                }
                // It waits for a setting.
                if !settings.missing(&template.info().config).is_empty() {
                    continue;
                }
                let config = settings.config_for(template.info())?;
                let event = WebhookEvent::new(id, body, &config, &settings.metadata);
                let event = event.headers(headers.iter().copied());
                let reaction = template.webhook(&event)?;
                if reaction.is_empty() {
                    continue;
                }
                let key = SyncKey { connection: sync.connection, template: sync.template, variant: sync.variant };
                found.push(Concerned { key, settings: document.value, template: Arc::clone(template), reaction });
            }
        }
    }

    /// Adds a sync's changes to the batch, with their record in the log and their notification.
    fn write_changes(&self, sync: &Concerned, now: Timestamp, batch: &mut WriteBatch) -> Result<RunReport> {
        let key = &sync.key;
        let mut report = RunReport::new(key, self.new_run_id(), RunMode::Webhook, now);
        report.succeed(now);
        // If it was paused or disabled in the meantime, it must write nothing more.
        batch.expect_document(key.settings_key(), Some(&sync.settings));
        let mut accounts = BTreeMap::new();
        for (model, change) in sync.reaction.changes() {
            let info = model_of(&*sync.template, model)?;
            report.progress.fetched += 1;
            report.models.entry(model.to_owned()).or_default();
            let stream = batch.on(&key.stream(model)).origin(ORIGIN);
            // One for each event: others are processed at the same time, in other processes too.
            if let Entry::Vacant(entry) = accounts.entry(model.to_owned()) {
                stream.summarize_in(
                    entry.insert(format!("outbox/event/{}/{}/{model}", key.connection, report.id)).as_str(),
                );
            }
            match change {
                WebhookChange::Save(record) => versions::upsert(stream, Some(info), record.clone()),
                WebhookChange::SaveAt(record, version) => {
                    versions::upsert(stream, None, record.clone());
                    stream.at_version(versions::comparable(version.clone()));
                }
                WebhookChange::Delete(deleted) => versions::delete(stream, deleted.clone()),
                WebhookChange::DeleteRecord(record) => versions::delete_record(stream, info, record)?,
                _ => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "this version does not know this kind of webhook change",
                    ));
                }
            }
        }
        logs::put_run(batch, key, &report, true)?;
        let draft = Draft::new(&report, accounts);
        batch.put_document(draft.key(key), &draft)?;
        Ok(report)
    }

    /// Reports the changes: in the log, to watchers, through the outbox. Anything that cannot be reported now is left to the next
    /// check of the outbox, or the next event.
    async fn tell_received(&self, key: &SyncKey, report: &RunReport) {
        let (store, environment) = (self.store().as_ref(), &*self.parts().environment);
        if let Err(error) = tell(store, environment, &drafts_of(key)).await {
            tracing::warn!(target: "highwater::webhook", sync = %key, run = %report.id, "its news wait for the next look: {error}");
        }
        tracing::info!(target: "highwater::webhook", sync = %key, run = %report.id, "a webhook was processed");
        self.publish(RunEvent::of(report, None));
    }
}

fn model_of<'t>(template: &'t dyn Template, model: &str) -> Result<&'t template::ModelInfo> {
    template.info().models.iter().find(|info| info.name == model).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "the template's webhook uses a model that the template does not have")
            .with("template", template.info().id())
            .with("model", model)
    })
}

/// The document that stores an event's id, and its name there.
fn place_of(connection: &str, id: &str) -> (String, String) {
    let (bucket, digest) = bucket_of(id);
    (format!("event/{connection}/{bucket}"), digest)
}

/// Where among the documents of ids an event's is, and its name there.
pub(crate) fn bucket_of(id: &str) -> (String, String) {
    let hash = hmac_sha256::Hash::hash(id.as_bytes());
    let digest = hex::encode(hash.get(..12).unwrap_or(&hash));
    let bucket = hash.first().copied().unwrap_or(0) % BUCKETS;
    (format!("{bucket:02x}"), digest)
}

/// An empty secret would accept what anybody signs with nothing.
pub(crate) fn is_usable(secret: &template::Secret) -> bool {
    !secret.expose().trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_remembered_within_bounds() {
        let mut seen = Seen::default();
        let at = Timestamp::from_unix_ms;
        for number in 0..1000_u64 {
            seen.add(number.to_string(), at(number));
        }
        assert_eq!(seen.0.len(), IDS_PER_BUCKET);
        assert!(seen.has("999", at(1000)) && !seen.has("10", at(1000)));
        assert!(seen.has("999", at(998) + REMEMBERED) && !seen.has("999", at(999) + REMEMBERED));
        seen.add("late".into(), at(0) + 2 * REMEMBERED);
        assert_eq!(seen.0.len(), 1, "what is too old goes");
    }

    #[test]
    fn an_event_has_its_place() {
        let places: std::collections::BTreeSet<String> =
            (0..1000).map(|number| place_of("c", &number.to_string()).0).collect();
        assert_eq!(places.len(), usize::from(BUCKETS));
        assert_ne!(place_of("c", "a").1, place_of("c", "b").1);
    }
}
