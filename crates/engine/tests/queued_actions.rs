//! Queued actions: durable, performed once, tried again as often as asked, and never left without an outcome.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, MemoryStore, Result, RunId, Store};
use highwater_engine::actions::{ActionState, QueuedAction};
use highwater_engine::webhooks::{Destination, Outbox, WebhookFormat};
use highwater_engine::{ConnectionSettings, DisconnectMode, Engine};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Notify;

#[derive(Debug)]
struct AddNote(ActionInfo);

#[async_trait]
impl ActionTemplate for AddNote {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.send(HttpRequest::post_json("/notes", &input)?).await?.json()
    }
}

/// Answers with these statuses in turn, then with 200; 1 waits until it is told to answer.
#[derive(Debug, Default)]
struct Api {
    statuses: Mutex<Vec<u16>>,
    bodies: Mutex<Vec<Value>>,
    waiting: Notify,
    answer: Notify,
}

#[async_trait]
impl Transport for Api {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let body = serde_json::from_slice(request.body.as_deref().unwrap_or(b"null")).unwrap();
        self.bodies.lock().unwrap().push(body);
        let status = self.statuses.lock().unwrap().pop().unwrap_or(200);
        if status == 1 {
            self.waiting.notify_one();
            self.answer.notified().await;
            return Ok(HttpResponse::new(200, Vec::new(), r#"{"late":true}"#));
        }
        Ok(HttpResponse::new(status, Vec::new(), r#"{"id":7}"#))
    }
}

fn engine(store: &Arc<dyn Store>, api: &Arc<Api>) -> Engine {
    let provider = Provider::new("acme", "https://api.acme.example");
    let action = provider.action("add_note").input(json!({"type": "object", "required": ["text"]}));
    let limits = highwater_engine::transport::RequestLimits::default().attempts(1);
    let builder = Engine::builder(Arc::clone(store)).actions([Arc::new(AddNote(action)) as Arc<dyn ActionTemplate>]);
    let transport = Arc::clone(api) as Arc<dyn Transport>;
    builder.transport(transport).limits(limits).lease(Duration::from_millis(300)).build().unwrap()
}

async fn scene() -> (Arc<dyn Store>, Arc<Api>, Engine) {
    let (store, api): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::new().unwrap()), Arc::new(Api::default()));
    let engine = engine(&store, &api);
    engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
    (store, api, engine)
}

async fn queue(engine: &Engine, text: &str, retries: u32) -> RunId {
    engine.queue_action("c", "acme/add_note", json!({ "text": text }), retries).await.unwrap()
}

async fn ended(engine: &Engine, id: RunId) -> QueuedAction {
    loop {
        let action = engine.queued_action(id).await.unwrap();
        if action.ended_at.is_some() {
            return action;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_is_performed_by_whoever_runs_and_its_outcome_stays() {
    let (store, api, first) = scene().await;
    let id = queue(&first, "one", 0).await;
    assert_eq!(first.queued_action(id).await.unwrap().state, ActionState::Waiting);
    drop(first);
    let later = engine(&store, &api);
    let (background, again) = (later.start(&Handle::current()), engine(&store, &api).start(&Handle::current()));
    let done = ended(&later, id).await;
    assert_eq!((done.state, done.output), (ActionState::Success, json!({"id": 7})));
    let second = ended(&later, queue(&later, "two", 0).await).await;
    assert_eq!(second.state, ActionState::Success);
    background.shutdown(Duration::from_secs(60)).await.unwrap();
    again.shutdown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(*api.bodies.lock().unwrap(), [json!({"text": "one"}), json!({"text": "two"})], "each once");
    assert_eq!(later.queued_action(id).await.unwrap().state, ActionState::Success);
    assert!(store.documents("action/open/", "", 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_as_often_as_asked() {
    let (_, api, engine) = scene().await;
    let background = engine.start(&Handle::current());
    *api.statuses.lock().unwrap() = vec![500];
    let failed = ended(&engine, queue(&engine, "once", 0).await).await;
    assert_eq!((failed.state, failed.error.unwrap().kind), (ActionState::Error, ErrorKind::Remote));
    *api.statuses.lock().unwrap() = vec![422];
    let refused = ended(&engine, queue(&engine, "refused", 0).await).await;
    assert_eq!(refused.state, ActionState::Error);
    *api.statuses.lock().unwrap() = vec![503];
    let repeated = ended(&engine, queue(&engine, "twice", 1).await).await;
    assert_eq!((repeated.state, repeated.output), (ActionState::Success, json!({"id": 7})));
    assert_eq!(api.bodies.lock().unwrap().iter().filter(|body| body["text"] == "twice").count(), 2);
    background.shutdown(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_was_cut_off_is_not_repeated() {
    let (store, api, first) = scene().await;
    *api.statuses.lock().unwrap() = vec![1];
    // A runtime that ends with the action in progress, as a crash would leave it.
    let (entered, id) = (Arc::clone(&api), queue(&first, "cut", 5).await);
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let background = first.start(runtime.handle());
        runtime.block_on(entered.waiting.notified());
        std::mem::forget(background);
        runtime.shutdown_timeout(Duration::from_secs(60));
    })
    .await
    .unwrap();
    let next = engine(&store, &api);
    assert_eq!(next.queued_action(id).await.unwrap().state, ActionState::Running);
    let background = next.start(&Handle::current());
    let done = ended(&next, id).await;
    let error = done.error.unwrap();
    assert!(error.kind == ErrorKind::Cancelled && error.message.contains("outcome unknown"), "{error:?}");
    background.shutdown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(api.bodies.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_action_is_its_engines_alone_and_ends_with_its_connection() {
    let (store, api, first) = scene().await;
    *api.statuses.lock().unwrap() = vec![1];
    let id = queue(&first, "slow", 0).await;
    let (mine, other) = (first.start(&Handle::current()), engine(&store, &api).start(&Handle::current()));
    api.waiting.notified().await;
    // Several leases long; the other engine looks meanwhile.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(first.queued_action(id).await.unwrap().state, ActionState::Running);
    }
    first.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    api.answer.notify_one();
    loop {
        match first.queued_action(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            found => assert_eq!(found.unwrap().state, ActionState::Running),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    mine.shutdown(Duration::from_secs(60)).await.unwrap();
    other.shutdown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(api.bodies.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_performed_is_not_queued() {
    let (store, _, engine) = scene().await;
    let large = "x".repeat(3 * 1024 * 1024);
    for (connection, action, input, retries, kind) in [
        ("d", "acme/add_note", json!({"text": "a"}), 0, ErrorKind::NotFound),
        ("c", "acme/other", json!({"text": "a"}), 0, ErrorKind::NotFound),
        ("c", "acme/add_note", json!({}), 0, ErrorKind::Invalid),
        ("c", "acme/add_note", json!({ "text": large }), 0, ErrorKind::Invalid),
        ("c", "acme/add_note", json!({"text": "a"}), 6, ErrorKind::Invalid),
    ] {
        let refused: Error = engine.queue_action(connection, action, input, retries).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
    }
    assert!(store.documents("action/", "", 10).await.unwrap().is_empty());
    let unknown =
        engine.queued_action(engine.queue_action("c", "acme/add_note", json!({"text": "a"}), 0).await.unwrap());
    assert_eq!(unknown.await.unwrap().state, ActionState::Waiting);
}

/// The bodies that wait for a destination.
async fn told(outbox: &Outbox, destination: &str) -> Vec<Value> {
    let rows = outbox.waiting(destination, "", 100).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect()
}

#[tokio::test]
async fn receivers_are_told_that_a_queued_action_has_ended() {
    let (_, api, engine) = scene().await;
    let outbox = Outbox::new(&engine);
    let at = |id: &str| Destination::new(id, "https://host.example/hook");
    for destination in [
        at("own"),
        at("peers").format(WebhookFormat::Nango).connection("c"),
        at("quiet").on_action(false),
        at("elsewhere").connection("other"),
        at("bounded").max_rows(2),
    ] {
        outbox.add(destination).await.unwrap();
    }
    api.statuses.lock().unwrap().extend([200, 200, 422]);
    let background = engine.start(&Handle::current());
    let mut ids = Vec::new();
    for text in ["refused", "one", "two"] {
        let id = queue(&engine, text, 0).await;
        ended(&engine, id).await;
        ids.push(id.to_string());
    }
    background.shutdown(Duration::from_secs(60)).await.unwrap();
    let body = |id: &str, from: &str| {
        json!({
            "actionName": "acme/add_note", "connectionId": "c", "from": from, "payload": {"id": id, "statusUrl": format!("/action/{id}")},
            "providerConfigKey": "acme", "success": true, "type": "async_action",
        })
    };
    for (destination, from) in [("own", "highwater"), ("peers", "nango")] {
        let told = told(&outbox, destination).await;
        assert_eq!(told[1..], [body(&ids[1], from), body(&ids[2], from)], "{destination}");
        assert_eq!((&told[0]["success"], &told[0]["payload"]["id"]), (&json!(false), &json!(ids[0])), "{destination}");
        assert_eq!(told[0]["error"]["type"], "remote", "{destination}: {}", told[0]);
    }
    for destination in ["quiet", "elsewhere"] {
        assert!(told(&outbox, destination).await.is_empty(), "{destination}");
    }
    let newest = told(&outbox, "bounded").await;
    assert_eq!(newest, [body(&ids[1], "highwater"), body(&ids[2], "highwater")]);
}
