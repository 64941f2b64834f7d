//! What a host notes of a connection: kept over re-connects, limited in size, read by templates and actions.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use highwater_core::{ErrorKind, Result};
use highwater_engine::connections::EndUser;
use highwater_engine::{ConnectionSettings, Engine, RunOptions};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::{Provider, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};

/// Notes the metadata that it sees, before and after another engine changes it.
#[derive(Debug)]
struct Reader {
    info: TemplateInfo,
    seen: Arc<Mutex<Vec<Value>>>,
    other: Mutex<Option<Engine>>,
}

#[async_trait]
impl Template for Reader {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        self.seen.lock().unwrap().push(context.metadata().clone().into());
        let other = self.other.lock().unwrap().clone();
        if let Some(other) = other {
            other.update_metadata("c", json!({"changed": "in a run"})).await?;
            self.seen.lock().unwrap().push(context.metadata().clone().into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Echo(ActionInfo);

#[async_trait]
impl ActionTemplate for Echo {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, _: Value) -> Result<Value> {
        Ok(context.metadata().clone().into())
    }
}

fn settings() -> ConnectionSettings {
    ConnectionSettings::new("c", "acme")
}

async fn engine() -> (Engine, Arc<Reader>) {
    let provider = Provider::new("acme", "https://api.acme.example");
    let info = provider.template("items").model("Item", "an item");
    let reader = Arc::new(Reader { info, seen: Arc::default(), other: Mutex::default() });
    let store = Arc::new(highwater_core::MemoryStore::new().unwrap());
    let engine = Engine::builder(store)
        .template(Arc::clone(&reader) as Arc<dyn Template>)
        .actions([Arc::new(Echo(provider.action("echo"))) as Arc<dyn ActionTemplate>])
        .build()
        .unwrap();
    (engine, reader)
}

#[tokio::test]
async fn a_run_and_an_action_see_the_metadata_that_they_began_with() {
    let (engine, reader) = engine().await;
    engine
        .connect(settings().metadata("team", "core").metadata("exact", json!(9_007_199_254_740_993_u64)))
        .await
        .unwrap();
    *reader.other.lock().unwrap() = Some(engine.clone());
    let run = async || engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap();
    run().await;
    let began = json!({"team": "core", "exact": 9_007_199_254_740_993_u64});
    assert_eq!(*reader.seen.lock().unwrap(), [began.clone(), began.clone()]);
    run().await;
    let merged = json!({"team": "core", "exact": 9_007_199_254_740_993_u64, "changed": "in a run"});
    assert_eq!(reader.seen.lock().unwrap()[2], merged);
    assert_eq!(engine.act("c", "acme/echo", json!({})).await.unwrap(), merged);
    engine.set_metadata("c", json!({"only": null})).await.unwrap();
    assert_eq!(engine.act("c", "acme/echo", json!({})).await.unwrap(), json!({"only": null}));
}

#[tokio::test]
async fn notes_outlive_a_connect_that_does_not_give_them() {
    let (engine, _) = engine().await;
    let user = EndUser::new("u-7").email("ann@example.com").organisation("acme");
    let noted = settings().display_name("Ann's").end_user(user).tag("plan", "team").metadata("a", json!({"b": [1]}));
    engine.connect(noted.clone()).await.unwrap();
    engine.connect(settings()).await.unwrap();
    assert_eq!(engine.connection("c").await.unwrap(), noted);
    engine.connect(settings().display_name("Ann's other one")).await.unwrap();
    let renamed = noted.clone().display_name("Ann's other one");
    assert_eq!(engine.connection("c").await.unwrap(), renamed);
    engine.set_display_name("c", None).await.unwrap();
    engine.set_end_user("c", None).await.unwrap();
    engine.set_tags("c", BTreeMap::new()).await.unwrap();
    engine.set_metadata("c", json!({})).await.unwrap();
    assert_eq!(engine.connection("c").await.unwrap(), settings());
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let (engine, _) = engine().await;
    engine.connect(settings()).await.unwrap();
    let changes = (0..20).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.update_metadata("c", json!({format!("k{n}"): n})).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    assert_eq!(engine.connection("c").await.unwrap().metadata.len(), 20);
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_changes_nothing() {
    let (engine, _) = engine().await;
    let long = "x".repeat(256);
    for refused in [
        settings().display_name(""),
        settings().display_name(&long),
        settings().end_user(EndUser::new("")),
        settings().end_user(EndUser::new("u").email(&long)),
        settings().end_user(EndUser::new("u").organisation(&long)),
        settings().tag("", "x"),
        settings().tag("x".repeat(65), "x"),
        settings().tag("x", &long),
        (0..65).fold(settings(), |settings, n| settings.tag(format!("t{n}"), "")),
        settings().metadata("x", "y".repeat(64 * 1024)),
    ] {
        assert_eq!(engine.connect(refused).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(engine.set_metadata("c", json!({})).await.unwrap_err().kind(), ErrorKind::NotFound);
    engine.connect(settings().metadata("a", 1)).await.unwrap();
    for refused in [json!([]), json!(null), json!("text"), json!({"x": "y".repeat(64 * 1024)})] {
        let error = engine.update_metadata("c", refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().len() < 400, "{error}");
    }
    assert_eq!(engine.connection("c").await.unwrap(), settings().metadata("a", 1));
}

#[tokio::test]
async fn a_connection_of_an_earlier_version_opens() {
    let (engine, _) = engine().await;
    let mut batch = highwater_core::WriteBatch::new();
    let stored = json!({"id": "c", "provider": "acme", "config": {}});
    batch.put_document("connection/c", &stored).unwrap();
    engine.store().commit(batch).await.unwrap();
    assert_eq!(engine.connection("c").await.unwrap(), settings());
    engine.connect(settings()).await.unwrap();
    let kept = engine.store().document("connection/c").await.unwrap().unwrap();
    assert_eq!(kept.to::<Value>().unwrap(), stored, "when it was made is not known");
}

#[tokio::test]
async fn several_connections_are_changed_together_or_not_at_all() {
    let (engine, _) = engine().await;
    engine.connect(settings()).await.unwrap();
    engine.connect(ConnectionSettings::new("d", "acme")).await.unwrap();
    engine.set_metadata_of(&["c", "d", "c"], json!({"team": 1, "plan": "a"})).await.unwrap();
    engine.update_metadata_of(&["c", "d"], json!({"plan": "b"})).await.unwrap();
    for id in ["c", "d"] {
        assert_eq!(Value::from(engine.connection(id).await.unwrap().metadata), json!({"team": 1, "plan": "b"}));
    }
    let error = engine.set_metadata_of(&["c", "nobody"], json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.context("connection")), (ErrorKind::NotFound, Some("nobody")));
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    assert_eq!(engine.update_metadata_of(&many, json!({})).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(Value::from(engine.connection("c").await.unwrap().metadata), json!({"team": 1, "plan": "b"}));
}

#[tokio::test]
async fn an_update_changes_the_hosts_own_data_in_one_commit() {
    let (engine, _) = engine().await;
    engine.connect(settings()).await.unwrap();
    let ann = EndUser::new("u-7");
    let change = |settings: ConnectionSettings| settings.end_user(ann.clone()).tag("plan", "team").display_name("Ann");
    engine.update_connection("c", change).await.unwrap();
    let known = engine.connection("c").await.unwrap();
    assert_eq!((known.end_user, known.tags["plan"].as_str()), (Some(ann.clone()), "team"));
    let refused = [
        engine.update_connection("c", |settings| settings.base_url("https://other.example")).await,
        engine.update_connection("c", |settings| settings.config("a", "b")).await,
        engine.update_connection("c", |_| ConnectionSettings::new("c", "other")).await,
        engine.update_connection("c", |settings| settings.tag("", "x")).await,
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(engine.update_connection("nobody", |same| same).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn connections_are_listed_by_text_user_and_age() {
    use highwater_engine::connections::{ConnectionFilter, ConnectionOrder};
    let (engine, _) = engine().await;
    engine.connect(settings()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    for (id, email, organisation) in [("b1", "ann@example.com", "acme"), ("a2", "bob@example.com", "other")] {
        let user = EndUser::new(format!("user-{id}")).email(email).organisation(organisation);
        engine.connect(ConnectionSettings::new(id, "acme").end_user(user).display_name("One Of Two")).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await; // another millisecond
    }
    let ids = async |filter: ConnectionFilter| -> Vec<String> {
        let page = engine.connection_states(&filter).await.unwrap();
        page.connections.into_iter().map(|connection| connection.settings.id).collect()
    };
    let filter = ConnectionFilter::default;
    assert_eq!(ids(filter()).await, ["a2", "b1", "c"]);
    assert_eq!(ids(filter().skip(1).limit(1)).await, ["b1"]);
    assert_eq!(ids(filter().text("ANN@")).await, ["b1"]);
    assert_eq!(ids(filter().text("of two")).await, ["a2", "b1"]);
    assert_eq!(ids(filter().organisation("other")).await, ["a2"]);
    assert_eq!(ids(filter().id("b1").text("nothing")).await, [""; 0]);
    assert_eq!(ids(filter().integration("acme").id("c")).await, ["c"]);
    assert_eq!(ids(filter().integration("x").integration("y")).await, [""; 0]);
    let newest = || filter().order(ConnectionOrder::NewestFirst);
    assert_eq!(ids(newest()).await, ["a2", "b1", "c"]);
    assert_eq!(ids(newest().skip(1).limit(1)).await, ["b1"]);
    assert_eq!(ids(newest().skip(3)).await, [""; 0]);
}
