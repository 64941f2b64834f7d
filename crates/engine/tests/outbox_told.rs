//! The outbox: what is told of a run, whatever becomes of it, and how much of it is kept.
#![allow(clippy::disallowed_methods)]

#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/staged.rs"]
mod staged;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::{Cursor, Environment, ErrorKind, MemoryStore, Store, StoreExt, StreamKey};
use highwater_engine::webhooks::{Destination, SIGNATURE_TOLERANCE, verify};
use highwater_engine::{DisableMode, RunOptions, Secret};
use receiver::{HOUR, SECRET, World, body_of, header};
use serde_json::Value;
use staged::Staged;

#[tokio::test]
async fn a_run_is_told_signed_and_once() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    assert_eq!(world.deliver().await, (0, 0));
    let request = world.receiver.last();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://crm.example/hook"));
    let now = world.clock.now();
    let body = request.body.clone().unwrap();
    let verified = verify(&request.headers, &body, &[Secret::new(SECRET)], now, SIGNATURE_TOLERANCE).unwrap();
    assert!(verified.id.starts_with("msg_"));
    assert_eq!(header(&request, "X-Highwater-Hmac-Sha256").len(), 64);
    let told = body_of(&request);
    for (pointer, value) in [
        ("/connectionId", "demo".into()),
        ("/providerConfigKey", "notes".into()),
        ("/syncName", "all".into()),
        ("/syncVariant", "base".into()),
        ("/model", "Note".into()),
        ("/syncType", "INITIAL".into()),
        ("/success", true.into()),
        ("/modifiedAfter", "2023-11-14T22:13:20.000Z".into()),
        ("/responseResults/added", 2.into()),
        ("/responseResults/updated", 1.into()),
        ("/responseResults/deleted", 0.into()),
    ] {
        assert_eq!(told.pointer(pointer), Some::<&Value>(&value), "{pointer} of {told}");
    }
    // The cursor range is what the receiver is to read.
    let from: Cursor = told.pointer("/cursor/from").unwrap().as_str().unwrap().parse().unwrap();
    let page = world.store.records(&StreamKey::new("demo", "Note")).since(from).page().await.unwrap();
    assert_eq!(page.changes.len(), 2);
    assert_eq!(told.pointer("/cursor/to").unwrap(), &page.high_water.to_string());
    // Members in order, at every depth: the same facts have the same text.
    let sorted: std::collections::BTreeMap<String, Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(serde_json::to_vec(&sorted).unwrap(), body);

    // A run that changes nothing is not told of, unless wanted; one that fails is.
    world.run(&[r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.waiting().await, 0);
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").on_unchanged(true)).await.unwrap();
    world.run(&[r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.waiting().await, 1);
    world.run(&["fail"]).await;
    assert_eq!(world.deliver().await, (2, 0));
    let told = body_of(&world.receiver.last());
    assert_eq!(told.pointer("/success"), Some(&false.into()));
    assert!(told.pointer("/error/description").unwrap().as_str().unwrap().contains("out of order"));
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").connection("other")).await.unwrap();
    world.run(&[r#"{"id":"c"}"#]).await;
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn rows_of_the_same_moment_have_ids_of_their_own_whatever_chance_gives() {
    let world = World::new().await;
    world.clock.1.store(true, Ordering::Relaxed);
    for page in [r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#] {
        world.run(&[page]).await;
        world.clock.0.fetch_sub(1, Ordering::Relaxed);
    }
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let (added, _) = sum(rows.iter().map(|row| row.body.as_str()));
    assert_eq!((rows.len(), added), (3, 3));
    assert_eq!(world.deliver().await, (3, 0));
}

#[tokio::test]
async fn what_a_lost_run_changed_is_told_by_the_next() {
    let world = World::new().await;
    *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, "hang"];
    // It dies once its page is saved, however long that takes.
    let has_saved = async {
        while world.store.head(&StreamKey::new("demo", "Note")).await.unwrap().live < 2 {
            tokio::task::yield_now().await;
        }
    };
    let notes = world.engine.sync("demo", "notes/all").unwrap();
    tokio::select! {
        outcome = notes.run_once(RunOptions::default()) => panic!("it was to hang: {outcome:?}"),
        () = has_saved => {}
    }
    world.run(&[r#"{"id":"b","x":1}"#, "fail"]).await;
    world.pass_time(1);
    world.run(&[r#"{"id":"c"}"#]).await;
    assert_eq!(world.deliver().await, (2, 0));
    let told = body_of(&world.receiver.last());
    assert_eq!(told.pointer("/responseResults"), Some(&serde_json::json!({"added": 3, "updated": 1, "deleted": 0})));
    let from: Cursor = told.pointer("/cursor/from").unwrap().as_str().unwrap().parse().unwrap();
    assert!(from.is_start());
}

/// What is told together: how much was added, and the range from its least to its greatest cursor.
fn sum<'b>(bodies: impl Iterator<Item = &'b str>) -> (u64, Option<(Cursor, Cursor)>) {
    let (mut added, mut range) = (0, None::<(Cursor, Cursor)>);
    for body in bodies {
        let body: Value = serde_json::from_str(body).unwrap();
        added += body.pointer("/responseResults/added").unwrap().as_u64().unwrap();
        let Some(cursor) = body.get("cursor") else { continue };
        let [from, to] = ["from", "to"].map(|end| cursor[end].as_str().unwrap().parse::<Cursor>().unwrap());
        range = Some(range.map_or((from, to), |(least, most)| (least.min(from), most.max(to))));
    }
    (added, range)
}

/// The store fails a run, or the process dies, at each of its writes: the next run tells what was not told.
#[tokio::test]
async fn nothing_goes_untold_whichever_write_is_the_last() {
    for write in 0..12 {
        for dies in [false, true] {
            let world = World::new().await;
            let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&world.store);
            let staged = if dies { Staged::stuck_at(&store, write) } else { Staged::failing_at(&store, write) };
            *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"c"}"#];
            let engine = world.another(staged);
            let notes = engine.sync("demo", "notes/all").unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(20), notes.run_once(RunOptions::default())).await;
            world.pass_time(100_000);
            world.run(&[r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"c"}"#, r#"{"id":"d"}"#]).await;
            while world.waiting().await > 0 {
                assert_eq!(world.deliver().await.1, 0);
            }
            let seen: Vec<String> = {
                let seen = world.receiver.seen.lock().unwrap();
                seen.iter().map(|request| String::from_utf8(request.body.clone().unwrap().to_vec()).unwrap()).collect()
            };
            let (added, range) = sum(seen.iter().map(String::as_str));
            let end = world.store.records(&StreamKey::new("demo", "Note")).page().await.unwrap().high_water;
            assert_eq!((added, range), (4, Some((Cursor::START, end))), "write {write}, dies: {dies}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn streams_that_were_emptied_are_told_also_after_a_crash() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let stream = StreamKey::new("demo", "Note");
    let end = async || world.store.head(&stream).await.unwrap().high_water;
    // The commit that empties the streams is the last thing the process does.
    let failing = world.another(Staged::failing_at(&(Arc::<MemoryStore>::clone(&world.store) as Arc<dyn Store>), 1));
    failing.sync("demo", "notes/all").unwrap().disable(DisableMode::Clear).await.unwrap();
    assert_eq!((world.waiting().await, world.deliver().await), (0, (1, 0)));
    let told = body_of(&world.receiver.last());
    assert_eq!(told["syncType"], "CLEAR");
    assert_eq!(told["responseResults"], serde_json::json!({"added": 0, "updated": 0, "deleted": 2}));
    let range =
        |told: &Value| ["from", "to"].map(|end| told["cursor"][end].as_str().unwrap().parse::<Cursor>().unwrap());
    assert_eq!(range(&told), [Cursor::START, end().await]);
    // Nothing was there: nobody is told.
    world.engine.sync("demo", "notes/all").unwrap().disable(DisableMode::Clear).await.unwrap();
    assert_eq!(world.deliver().await, (0, 0));

    // A run that empties them first tells both, each by itself.
    world.run(&[r#"{"id":"a"}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let run =
        world.engine.sync("demo", "notes/all").unwrap().run_once(RunOptions::default().clear(true)).await.unwrap();
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let told: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
    let kinds: Vec<_> = told.iter().map(|told| (&told["syncType"], &told["runId"], &told["responseResults"])).collect();
    let counts = |added: u64, deleted: u64| serde_json::json!({"added": added, "updated": 0, "deleted": deleted});
    let id = Value::from(run.id.to_string());
    let mut expected = [(&"CLEAR".into(), &id, &counts(0, 1)), (&"INITIAL".into(), &id, &counts(1, 0))];
    // Of the same millisecond, and so in any order.
    if kinds[0].0 == "INITIAL" {
        expected.reverse();
    }
    assert_eq!(kinds, expected);
    assert_eq!(world.deliver().await, (2, 0));
    assert_eq!(world.store.documents("outbox/", "", 10).await.unwrap().len(), 1, "the destination alone is left");
}

#[tokio::test]
async fn the_range_covers_the_deletes_of_the_run_itself() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"};{"id":"c"}"#]).await;
    *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, "complete"];
    world.engine.sync("demo", "notes/all").unwrap().run_once(RunOptions::default().full(true)).await.unwrap();
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let told: Value = serde_json::from_str(&rows[1].body).unwrap();
    assert_eq!(told["responseResults"], serde_json::json!({"added": 0, "updated": 0, "deleted": 1}));
    let [from, to] = ["from", "to"].map(|end| told["cursor"][end].as_str().unwrap().parse::<Cursor>().unwrap());
    let page = world.store.records(&StreamKey::new("demo", "Note")).since(from).page().await.unwrap();
    assert_eq!((page.changes.len(), page.next_cursor), (1, to), "whoever reads that far has seen the delete");
}

#[tokio::test]
async fn deletes_that_were_approved_are_told() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"};{"id":"c"}"#]).await;
    *world.pages.lock().unwrap() = vec!["complete"];
    let run =
        world.engine.sync("demo", "notes/all").unwrap().run_once(RunOptions::default().full(true)).await.unwrap_err();
    assert_eq!(run.kind(), ErrorKind::AwaitingApproval);
    let parked = world.engine.sync("demo", "notes/all").unwrap().runs().await.unwrap().remove(0);
    world.pass_time(1);
    world.engine.approve(parked.id).await.unwrap();
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let told: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
    assert_eq!(told.iter().map(|body| body["success"] == true).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(told[2]["responseResults"]["deleted"], 3);
}

#[tokio::test]
async fn a_receiver_that_is_away_for_long_does_not_fill_the_disk() {
    const MOST: usize = 20;
    let world = World::new().await;
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").max_rows(MOST)).await.unwrap();
    let ids: Vec<String> = (0..30 * 24).map(|hour| format!(r#"{{"id":"{hour}"}}"#)).collect();
    // Leaked: a page of this template is a constant text.
    for page in &ids {
        let page: &'static str = Box::leak(page.clone().into_boxed_str());
        world.run(&[page]).await;
        if world.receiver.seen() % 10 == 3 {
            world.run(&["fail"]).await;
        }
        world.receiver.will_answer(&[(503, None)]);
        world.deliver().await;
        world.pass_time(HOUR);
        let dead = world.outbox.dead_letters("crm", "", 1000).await.unwrap();
        assert!(world.waiting().await <= MOST && dead.len() <= MOST);
    }
    let rows =
        |rows: Vec<highwater_engine::webhooks::OutboxRow>| rows.into_iter().map(|row| row.body).collect::<Vec<_>>();
    let mut kept = rows(world.outbox.waiting("crm", "", 100).await.unwrap());
    kept.extend(rows(world.outbox.dead_letters("crm", "", 100).await.unwrap()));
    let end = world.store.records(&StreamKey::new("demo", "Note")).limit(5000).page().await.unwrap().high_water;
    assert_eq!(sum(kept.iter().map(String::as_str)), (ids.len() as u64, Some((Cursor::START, end))));
    let collapsed = |body: &String| serde_json::from_str::<Value>(body).unwrap()["collapsed"].as_u64().unwrap_or(1);
    assert!(kept.iter().map(collapsed).sum::<u64>() > ids.len() as u64, "failures are counted too");
    // Back again, it is told everything.
    world.receiver.answers.lock().unwrap().clear();
    world.outbox.replay_all("crm").await.unwrap();
    world.pass_time(24 * HOUR);
    while world.waiting().await > 0 {
        assert_eq!(world.deliver().await.1, 0);
    }
}
