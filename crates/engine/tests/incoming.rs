//! Webhooks of providers: taken once, beside whatever runs, and never undone by a page that was asked for before.

#[path = "support/staged.rs"]
mod staged;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{ErrorKind, Inline, MemoryBackend, NetAction, Result, Store, StoreExt, StoreOptions, StreamKey};
use highwater_engine::integrations::DeleteMode;
use highwater_engine::logs::LogFilter;
use highwater_engine::runs::RunMode;
use highwater_engine::webhooks::{Destination, Outbox, ReceivedWebhook};
use highwater_engine::{
    ConnectionSettings, Credentials, DisableMode, DisconnectMode, Engine, IntegrationSettings, RunOptions, RunState,
    Secret, SyncOptions,
};
use highwater_template::http::Transport;
use highwater_template::records::text_at;
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{HttpRequest, HttpResponse, ModelInfo, SyncContext, Template, TemplateInfo};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use staged::Staged;

const SYNC: &str = "notes/notes";

/// Notes of an API; a webhook brings whole notes, or the news that one is gone.
#[derive(Debug)]
struct Notes(TemplateInfo, Arc<Api>);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/notes")).await?;
        context.save("Note", page.elements()?).await?;
        context.complete("Note").await
    }

    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        let body: Value = event.json()?;
        let decision = self.1.decision.lock().unwrap().take();
        if let Some(decision) = decision {
            decision(self.1.engine.lock().unwrap().as_ref().unwrap());
        }
        let reaction = WebhookReaction::new();
        Ok(match event.header("x-event") {
            Some("saved") => reaction.save("Note", Bytes::from(body["note"].to_string())),
            Some("gone") => reaction.delete("Note", body["id"].as_str().unwrap_or_default()),
            Some("removed") => reaction.delete_record("Note", Bytes::from(body["note"].to_string())),
            Some("many") => reaction.request_run(),
            Some("labelled") if event.metadata().get("labels") == Some(&body["labels"]) => reaction.request_run(),
            _ => reaction,
        })
    }
}

/// What happens between the API's reading of its notes and the arrival of the page.
type Meanwhile = Box<dyn FnOnce(&Engine) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> + Send>;

/// What somebody decides between a webhook's reading of the settings and what comes of it.
type Decision = Box<dyn FnOnce(&Engine) + Send>;

#[derive(Default)]
struct Api {
    notes: Mutex<BTreeMap<String, Value>>,
    meanwhile: Mutex<Option<Meanwhile>>,
    decision: Mutex<Option<Decision>>,
    engine: Mutex<Option<Engine>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Api {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        let page: Vec<Value> = self.notes.lock().unwrap().values().cloned().collect();
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            let engine = self.engine.lock().unwrap().clone().unwrap();
            meanwhile(&engine).await;
        }
        Ok(HttpResponse::new(200, Vec::new(), json!(page).to_string()))
    }
}

struct World {
    api: Arc<Api>,
    store: Arc<dyn Store>,
    engine: Engine,
}

impl World {
    async fn new(model: ModelInfo) -> Self {
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
        let api = Arc::new(Api::default());
        let engine = engine(&store, &api, model);
        engine.connect(ConnectionSettings::new("c", "notes")).await.unwrap();
        engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
        *api.engine.lock().unwrap() = Some(engine.clone());
        World { api, store, engine }
    }

    fn put(&self, id: &str, text: &str, version: u64) {
        self.api.notes.lock().unwrap().insert(id.to_owned(), note(id, text, version));
    }

    async fn run(&self) {
        self.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default().full(true)).await.unwrap();
    }

    /// The text of each note that is there.
    async fn texts(&self) -> BTreeMap<String, String> {
        let page = self.store.records(&stream()).page().await.unwrap();
        let live = page.changes.iter().filter(|change| !matches!(change.net, NetAction::Void | NetAction::Deleted));
        live.map(|change| {
            let payload = Bytes::copy_from_slice(change.record.payload.as_ref().unwrap().as_bytes());
            (change.record.id.to_string(), text_at(&payload, "/text").unwrap().unwrap())
        })
        .collect()
    }
}

fn engine(store: &Arc<dyn Store>, api: &Arc<Api>, model: ModelInfo) -> Engine {
    let mut info = TemplateInfo::new("notes", "notes", "https://notes.example").model_info(model);
    info.provider = info.provider.clone().webhooks(WebhookScheme::GitHub);
    let engine = Engine::builder(Arc::clone(store))
        .template(Arc::new(Notes(info, Arc::clone(api))))
        .transport(Arc::clone(api) as Arc<dyn Transport>)
        .build()
        .unwrap();
    let secrets = Credentials::none()
        .secret("webhook_secret", Secret::new("new secret"))
        .secret("webhook_secret_previous", Secret::new("old secret"));
    engine.use_credentials("c", secrets);
    engine
}

fn note(id: &str, text: &str, version: u64) -> Value {
    json!({"id": id, "text": text, "version": version})
}

fn stream() -> StreamKey {
    StreamKey::new("c", "Note")
}

async fn receive(engine: &Engine, id: &str, event: &str, body: &Value, secret: &str) -> Result<ReceivedWebhook> {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex = hex::encode(mac.finalize().into_bytes());
    let headers = [
        ("X-Hub-Signature-256", format!("sha256={hex}")),
        ("X-GitHub-Delivery", id.to_owned()),
        ("X-Event", event.to_owned()),
    ];
    engine.receive("c", &headers, body.as_bytes()).await
}

async fn saved(engine: &Engine, delivery: &str, note: Value) -> ReceivedWebhook {
    receive(engine, delivery, "saved", &json!({"note": note}), "new secret").await.unwrap()
}

#[tokio::test]
async fn incoming_events_are_taken_once() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let first = saved(&world.engine, "d1", note("a", "one", 1)).await;
    assert!(!first.duplicate);
    assert_eq!((first.changes.len(), first.changes[0].progress.counts.added), (1, 1));
    world.put("a", "two", 2);
    world.run().await;
    // The same delivery again, after newer content: nothing happens, also in another process.
    for engine in [world.engine.clone(), engine(&world.store, &world.api, ModelInfo::new("Note", "a note"))] {
        let again = saved(&engine, "d1", note("a", "one", 1)).await;
        assert!(again.duplicate && again.changes.is_empty());
    }
    assert_eq!(world.texts().await["a"], "two");
    let gone = receive(&world.engine, "d2", "gone", &json!({"id": "a"}), "old secret").await.unwrap();
    assert_eq!(gone.changes[0].progress.counts.deleted, 1);
    assert!(world.texts().await.is_empty());
    // The log tells of webhooks, and can tell them from runs.
    let mut filter = LogFilter::default();
    filter.mode = Some(RunMode::Webhook);
    let kept = world.engine.runs_matching(&filter).await.unwrap().runs;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|report| report.state == RunState::Success && report.ended_at.is_some()));
}

#[tokio::test]
async fn incoming_events_must_be_genuine_and_wanted() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let forged = receive(&world.engine, "d1", "saved", &json!({"note": note("a", "x", 1)}), "guess").await.unwrap_err();
    assert!(forged.to_string().contains("signature"), "{forged}");
    let unasked = receive(&world.engine, "d2", "ping", &json!({}), "new secret").await.unwrap();
    assert!(unasked.changes.is_empty() && unasked.triggered.is_empty() && !unasked.duplicate);
    let error = receive(&world.engine, "d3", "saved", &json!([1]), "new secret").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    // What was refused was not remembered: the provider tries again.
    assert!(!saved(&world.engine, "d3", note("a", "x", 1)).await.duplicate);
    world.engine.sync("c", SYNC).unwrap().pause().await.unwrap();
    assert!(saved(&world.engine, "d4", note("b", "x", 1)).await.changes.is_empty());
    assert_eq!(world.texts().await.len(), 1, "a paused sync writes nothing");
    // No secret, and one that is empty, which anybody could sign with.
    for credentials in [Credentials::none(), Credentials::none().secret("webhook_secret", Secret::new("\n"))] {
        world.engine.use_credentials("c", credentials);
        for secret in ["new secret", "", "\n"] {
            let error = receive(&world.engine, "d5", "many", &json!({}), secret).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("webhook_secret"), "{error}");
        }
    }
}

#[tokio::test]
async fn incoming_events_may_be_signed_for_the_integration() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let integration = world.engine.create_integration(IntegrationSettings::new("main", "notes")).await.unwrap();
    world.engine.connect(ConnectionSettings::of_integration("c", "main")).await.unwrap();
    integration.use_webhook_secret(Secret::new("of all"));
    let event = json!({"note": note("a", "x", 1)});
    let own = receive(&world.engine, "d1", "saved", &event, "of all").await.unwrap_err();
    assert!(own.to_string().contains("signature"), "the connection has one of its own: {own}");
    world.engine.use_credentials("c", Credentials::none());
    assert!(receive(&world.engine, "d2", "saved", &event, "new secret").await.is_err());
    let taken = receive(&world.engine, "d3", "saved", &event, "of all").await.unwrap();
    assert_eq!(taken.changes[0].progress.counts.added, 1);
    // An empty one is none: anybody could sign with it.
    integration.use_webhook_secret(Secret::new(" "));
    assert_eq!(receive(&world.engine, "d4", "saved", &event, " ").await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn incoming_events_ask_for_runs() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let received = receive(&world.engine, "d1", "many", &json!({}), "new secret").await.unwrap();
    assert_eq!(received.triggered, [SYNC]);
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!(state.phase, highwater_engine::Phase::Queued);
}

/// Another thread pauses the sync, or turns it off, while the template looks at the event.
#[tokio::test]
async fn incoming_events_ask_for_no_run_of_a_sync_that_is_turned_off_meanwhile() {
    for paused in [true, false] {
        let world = World::new(ModelInfo::new("Note", "a note")).await;
        *world.api.decision.lock().unwrap() = Some(Box::new(move |engine| {
            let sync = engine.sync("c", SYNC).unwrap();
            let decide = async || match paused {
                true => sync.pause().await,
                false => sync.disable(DisableMode::Keep).await,
            };
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(decide()).unwrap();
                });
            });
        }));
        let received = receive(&world.engine, "d1", "many", &json!({}), "new secret").await.unwrap();
        assert!(received.ignored && received.triggered.is_empty(), "{received:?}");
        let requests = world.store.documents("trigger/", "", 10).await.unwrap();
        assert!(requests.is_empty(), "a run was requested after the sync was turned off");
    }
}

#[tokio::test]
async fn incoming_events_are_judged_by_the_connections_metadata() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let bug = json!({"labels": ["bug"]});
    let before = receive(&world.engine, "d1", "labelled", &bug, "new secret").await.unwrap();
    assert!(before.ignored, "there is none yet: {before:?}");
    world.engine.set_metadata("c", bug.clone()).await.unwrap();
    let wanted = receive(&world.engine, "d2", "labelled", &bug, "new secret").await.unwrap();
    assert_eq!(wanted.triggered, [SYNC]);
    let other = receive(&world.engine, "d3", "labelled", &json!({"labels": ["idea"]}), "new secret").await.unwrap();
    assert!(other.ignored);
}

/// H40: the page was read by the API before the webhook, and comes after it.
#[tokio::test]
async fn p28_a_page_never_undoes_what_came_since_it_was_asked_for() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    world.put("a", "old", 1);
    world.put("b", "old", 1);
    world.run().await;
    *world.api.meanwhile.lock().unwrap() = Some(Box::new(|engine| {
        Box::pin(async move {
            saved(engine, "d1", note("a", "new", 2)).await;
            saved(engine, "d2", note("c", "new", 1)).await;
            receive(engine, "d3", "gone", &json!({"id": "b"}), "new secret").await.unwrap();
        })
    }));
    world.run().await;
    let texts = world.texts().await;
    assert_eq!(texts.get("a").map(String::as_str), Some("new"), "the page showed what was before");
    assert_eq!(texts.get("c").map(String::as_str), Some("new"), "the page did not have it yet");
    assert!(!texts.contains_key("b"), "the page still had it");
    // The next run sees what is.
    world.put("a", "newest", 3);
    world.put("b", "back", 2);
    world.run().await;
    let texts = world.texts().await;
    assert_eq!((texts["a"].as_str(), texts["b"].as_str(), texts.len()), ("newest", "back", 2));
}

#[tokio::test]
async fn p28_a_late_event_does_not_take_the_place_of_a_younger_record() {
    let world = World::new(ModelInfo::new("Note", "a note").version_pointer("/version")).await;
    world.put("a", "three", 3);
    world.run().await;
    let late = saved(&world.engine, "d1", note("a", "two", 2)).await;
    assert_eq!(late.changes[0].progress.counts.updated, 0);
    assert_eq!(world.texts().await["a"], "three");
    saved(&world.engine, "d2", note("a", "four", 4)).await;
    world.run().await;
    assert_eq!(world.texts().await["a"], "four", "nor does a page that is behind");
}

#[tokio::test]
async fn p28_versions_that_are_times_are_compared_as_times() {
    let world = World::new(ModelInfo::new("Note", "a note").version_pointer("/at")).await;
    let tell = async |delivery: &str, text: &str, at: &str| {
        saved(&world.engine, delivery, json!({"id": "a", "text": text, "at": at})).await;
        world.texts().await["a"].clone()
    };
    assert_eq!(tell("d1", "one", "2026-01-01T10:00:00Z").await, "one");
    assert_eq!(tell("d2", "two", "2026-01-01T10:00:00.5Z").await, "two", "half a second later");
    assert_eq!(tell("d3", "three", "2026-01-01T10:00:00.25Z").await, "two");
    assert_eq!(tell("d4", "four", "2026-01-01T10:30:00+01:00").await, "two", "half an hour before");
    assert_eq!(tell("d5", "five", "2026-01-01T09:00:01-01:00").await, "five");
    assert_eq!(tell("d6", "six", "of another kind").await, "six", "not to be compared: the later one");
}

/// Opened, edited, deleted, perhaps created anew: in whatever order a provider's tries arrive.
#[tokio::test]
async fn p28_late_events_do_not_bring_back_what_was_deleted() {
    let opened = ("saved", note("a", "opened", 10));
    let edited = ("saved", note("a", "edited", 11));
    // A picture of the record as it was last: a provider need not count a delete as a change.
    for version in [11, 12] {
        let removed = ("removed", note("a", "edited", version));
        let anew = ("saved", note("a", "anew", 13));
        let orders: [&[&(&str, Value)]; 6] = [
            &[&opened, &removed, &edited],
            &[&removed, &opened, &edited],
            &[&edited, &removed, &opened],
            &[&removed, &edited, &removed, &opened],
            &[&opened, &removed, &anew, &edited],
            &[&anew, &removed, &edited, &opened],
        ];
        for (number, order) in orders.into_iter().enumerate() {
            let world = World::new(ModelInfo::new("Note", "a note").version_pointer("/version")).await;
            for (delivery, (event, note)) in order.iter().enumerate() {
                let body = json!({"note": note});
                receive(&world.engine, &format!("d{delivery}"), event, &body, "new secret").await.unwrap();
            }
            let texts = world.texts().await;
            let expected = order.contains(&&anew).then_some("anew");
            assert_eq!(texts.get("a").map(String::as_str), expected, "order {number}, deleted at {version}");
        }
    }
    // What a refresh still lists is there.
    let world = World::new(ModelInfo::new("Note", "a note").version_pointer("/version")).await;
    receive(&world.engine, "d1", "removed", &json!({"note": note("a", "x", 11)}), "new secret").await.unwrap();
    world.put("a", "hidden for a while", 11);
    world.run().await;
    assert_eq!(world.texts().await["a"], "hidden for a while");
}

#[tokio::test]
async fn incoming_changes_are_told_by_the_outbox() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let outbox = Outbox::new(&world.engine);
    outbox.add(Destination::new("host", "https://host.example/hook")).await.unwrap();
    saved(&world.engine, "d1", note("a", "one", 1)).await;
    let rows = outbox.waiting("host", "", 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let body: Value = serde_json::from_str(&rows[0].body).unwrap();
    assert_eq!((&body["syncType"], &body["responseResults"]["added"]), (&json!("WEBHOOK"), &json!(1)));
    let to = body["cursor"]["to"].as_str().unwrap().parse().unwrap();
    let page = world.store.records(&stream()).since(to).page().await.unwrap();
    assert!(page.changes.is_empty() && page.caught_up, "the range covers what was written");
}

/// What the rows of a destination say was added, all together.
async fn told(outbox: &Outbox) -> u64 {
    let rows = outbox.waiting("host", "", 100).await.unwrap();
    let bodies = rows.iter().map(|row| serde_json::from_str::<Value>(&row.body).unwrap());
    bodies.map(|body| body["responseResults"]["added"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn incoming_events_are_told_although_the_store_fails_right_after() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let outbox = Outbox::new(&world.engine);
    outbox.add(Destination::new("host", "https://host.example/hook")).await.unwrap();
    outbox.set_secrets("host", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
    let failing: Arc<dyn Store> = Staged::failing_at(&world.store, 1);
    let failing = engine(&failing, &world.api, ModelInfo::new("Note", "a note"));
    let first = saved(&failing, "d1", note("a", "one", 1)).await;
    assert_eq!(first.changes[0].progress.counts.added, 1, "it was committed: the provider need not try again");
    assert_eq!(told(&outbox).await, 0);
    assert!(saved(&failing, "d1", note("a", "one", 1)).await.duplicate);
    assert_eq!(outbox.deliver_due().await.unwrap().delivered, 1, "the next look tells");
    assert_eq!(outbox.deliver_due().await.unwrap().delivered, 0);
    let kept = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap();
    assert_eq!((kept.len(), kept[0].progress.fetched, kept[0].progress.counts.added), (1, 1, 1));
    assert!(world.store.documents("outbox/draft/", "", 1).await.unwrap().is_empty());
    assert!(world.store.documents("outbox/event/", "", 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn incoming_events_of_two_processes_are_both_told() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let outbox = Outbox::new(&world.engine);
    outbox.add(Destination::new("host", "https://host.example/hook")).await.unwrap();
    // One process waits before its commit; the other dies behind its own.
    let go_on = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&go_on);
    let late: Arc<dyn Store> = Staged::over(&world.store, move |number| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            if number == 0 {
                gate.notified().await;
            }
            Ok(())
        })
    });
    let late = engine(&late, &world.api, ModelInfo::new("Note", "a note"));
    let late = tokio::runtime::Handle::current().spawn(async move { saved(&late, "d2", note("b", "two", 1)).await });
    tokio::task::yield_now().await;
    let dying: Arc<dyn Store> = Staged::stuck_at(&world.store, 1);
    let dying = engine(&dying, &world.api, ModelInfo::new("Note", "a note"));
    let cut = tokio::time::timeout(Duration::from_millis(50), saved(&dying, "d1", note("a", "one", 1))).await;
    assert!(cut.is_err(), "it was to hang");
    go_on.notify_one();
    assert_eq!(late.await.unwrap().changes[0].progress.counts.added, 1);
    assert_eq!((world.texts().await.len(), told(&outbox).await), (2, 2));
}

#[tokio::test]
async fn incoming_events_of_an_integration_are_verified_and_forwarded_once() {
    let world = World::new(ModelInfo::new("Note", "a note")).await;
    let engine = &world.engine;
    for key in ["mine", "theirs"] {
        let made = engine.create_integration(IntegrationSettings::new(key, "notes")).await.unwrap();
        made.use_webhook_secret(Secret::new("secret of both"));
        engine.connect(ConnectionSettings::of_integration(format!("of-{key}"), key)).await.unwrap();
        made.enable("notes", SyncOptions::default()).await.unwrap();
    }
    let outbox = Outbox::new(engine);
    outbox.add(Destination::new("asks", "https://crm.example/").on_forward(true)).await.unwrap();
    let mine = engine.integration("mine").unwrap();
    let body = json!({"note": note("a", "one", 1)}).to_string();
    let signed = |secret: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        [("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "d1".to_owned()), ("X-Event", "saved".to_owned())]
    };
    let (right, wrong) = (signed("secret of both"), signed("guess"));
    let saved = async |connection: &str| {
        let stream = StreamKey::new(connection, "Note");
        world.store.records(&stream).page().await.unwrap().changes.len()
    };
    let forged = mine.receive_for("of-mine", &wrong, body.as_bytes()).await;
    assert_eq!(forged.unwrap_err().kind(), ErrorKind::Unauthorized);
    let elsewhere = mine.receive_for("of-theirs", &right, body.as_bytes()).await;
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((saved("of-mine").await, saved("of-theirs").await), (0, 0));
    assert!(outbox.waiting("asks", "", 10).await.unwrap().is_empty());
    // The provider does not say which connection an event is for.
    let untold = mine.receive(&right, body.as_bytes()).await.unwrap();
    assert_eq!((untold.connections.len(), untold.forwarded, saved("of-mine").await), (0, 1, 0));
    for (forwarded, duplicate) in [(1, false), (0, true)] {
        let taken = mine.receive_for("of-mine", &right, body.as_bytes()).await.unwrap();
        assert_eq!((taken.forwarded, taken.connections["of-mine"].duplicate), (forwarded, duplicate));
    }
    assert_eq!((saved("of-mine").await, saved("of-theirs").await), (1, 0));
    // A deleted integration leaves no ids behind.
    let options = DisconnectMode::ClearRecords;
    mine.delete(DeleteMode::disconnect(options)).await.unwrap();
    assert!(world.store.documents("forwarded/", "", 10).await.unwrap().is_empty());
}
