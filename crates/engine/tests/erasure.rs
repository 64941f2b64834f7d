//! What was deleted at the source and pruned here is in no document of the engine's either.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use highwater_core::{Maintenance, PruneWhat, StreamKey};
use highwater_engine::RunOptions;
use highwater_engine::syncs::DeletePolicy;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_template::HttpRequest;
use scripted::{Scene, json};

/// Documents in which a mark is found.
async fn found(scene: &Scene, mark: &str) -> Vec<String> {
    let documents = scene.store.documents("", "", 10_000).await.unwrap();
    documents
        .into_iter()
        .filter(|document| document.value.as_str().contains(mark))
        .map(|document| document.key)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn erased_content_is_in_no_document() {
    let scene = Scene::new(|request| match (request.method.as_str(), request.url.contains("things")) {
        ("POST", _) => Ok(json(201, r#"{"number":7,"title":"ERASED"}"#)),
        _ => Ok(json(
            200,
            r#"[{"id":"stays","n":1},{"id":"stays2","n":1},{"id":"IDGONE","text":"ERASED"},{"id":"IDGONE2","text":"ERASED"},{"id":null,"text":"ERASED"}]"#,
        )),
    })
    .await;
    let outbox = Outbox::new(&scene.engine);
    outbox.add(Destination::new("d", "https://example.org/hook")).await.unwrap();
    scene.full().await.unwrap();
    scene.engine.act("c", "acme/add", serde_json::json!({ "title": "ERASED" })).await.unwrap();
    scene.engine.proxy("c", HttpRequest::get("/items?q=ERASED")).await.unwrap();
    let aside = found(&scene, "ERASED").await;
    assert!(matches!(aside.as_slice(), [one] if one.starts_with("quarantine/")), "{aside:?}");
    assert_eq!(found(&scene, "IDGONE").await, [""; 0]);

    scene.clock.jump(1000);
    scene.answer(|_| Ok(json(200, r#"[{"id":"stays","n":1},{"id":"stays2","n":1}]"#)));
    let options = RunOptions::default().full(true).deletes(DeletePolicy::default().strikes(2));
    scene.engine.sync("c", "acme/items").unwrap().run_once(options.clone()).await.unwrap();
    assert_eq!(found(&scene, "IDGONE").await, ["strikes/c/acme/items/Item"], "until it is deleted");
    scene.clock.jump(1000);
    assert_eq!(
        scene.engine.sync("c", "acme/items").unwrap().run_once(options).await.unwrap().progress.counts.deleted,
        2
    );
    let stream = StreamKey::new("c", "Item");
    let up_to = scene.store.head(&stream).await.unwrap().high_water;
    scene.store.maintain(Maintenance::Prune { stream, what: PruneWhat::Tombstones, up_to }).await.unwrap();
    for mark in ["ERASED", "IDGONE"] {
        assert_eq!(found(&scene, mark).await, [""; 0], "{mark}");
    }
}
