//! All that can be read from a store, in words of this test: names of the library may change.

use highwater::cursor::Action;
use highwater::maintenance::{Maintenance, MaintenanceReport};
use highwater::{Change, Cursor, NetAction, Record, Store, StoreExt, StreamKey, Timestamp};
use serde_json::{Value, json};

use crate::kept::{notes, tasks};

pub(crate) async fn of(store: &dyn Store) -> Value {
    let mut documents = serde_json::Map::new();
    for document in store.documents("", "", 1000).await.unwrap() {
        documents.insert(document.key.clone(), serde_json::from_str(document.value.as_str()).unwrap());
    }
    let middle: Cursor = documents["bookmark/middle"].as_str().unwrap().parse().unwrap();
    let mut facts = json!({ "documents": documents });
    for stream in [notes(), tasks()] {
        facts[stream.model()] = of_stream(store, &stream, middle).await;
    }
    facts
}

async fn of_stream(store: &dyn Store, stream: &StreamKey, middle: Cursor) -> Value {
    let head = store.head(stream).await.unwrap();
    let page = store.records(stream).limit(1000).page().await.unwrap();
    assert!(page.caught_up);
    let mut versions = Vec::new();
    for change in &page.changes {
        for version in store.versions(stream, &change.record.id).await.unwrap() {
            let until = version.superseded_at.map(with_offset);
            versions.push(json!({ "until": until, "record": record(&version.record) }));
        }
    }
    let behind = store.records(stream).since(middle).page().await;
    let behind = match behind {
        Ok(page) => json!(page.changes.iter().map(change_text).collect::<Vec<_>>()),
        Err(error) => json!(format!("{:?}", error.kind())),
    };
    let then = match store.as_of(stream, middle, "", 100).await {
        Ok(records) => json!(records.iter().map(record).collect::<Vec<_>>()),
        Err(error) => json!(format!("{:?}", error.kind())),
    };
    let mut consumers = Vec::new();
    for name in store.consumers(stream).await.unwrap() {
        let status = store.consumer(stream, &name).status().await.unwrap();
        consumers.push(json!({
            "name": name, "acknowledged": status.acknowledged.to_string(), "lag": status.lag,
            "leased": status.leased, "parked": status.parked, "evicted": status.evicted,
        }));
    }
    let clean = match store.maintain(Maintenance::Verify(stream.clone())).await.unwrap() {
        MaintenanceReport::Verified(found) => json!({ "entries": found.entries, "problems": found.problems }),
        other => panic!("{other:?}"),
    };
    json!({
        "live": head.live, "deleted": head.deleted, "bytes": head.bytes, "checksum": head.checksum,
        "incarnation": head.incarnation, "high_water": head.high_water.to_string(),
        "horizon": head.horizon.to_string(), "open_run": head.open_run, "number": head.number,
        "page": page.changes.iter().map(change_text).collect::<Vec<_>>(), "next": page.next_cursor.to_string(),
        "versions": versions, "behind_middle": behind, "as_of_middle": then, "consumers": consumers, "verified": clean,
    })
}

fn change_text(change: &Change) -> Value {
    let net = match change.net {
        NetAction::Added => "added",
        NetAction::Updated => "updated",
        NetAction::Deleted => "deleted",
        _ => "another",
    };
    json!({ "net": net, "record": record(&change.record) })
}

fn record(record: &Record) -> Value {
    let metadata = &record.metadata;
    let action = match metadata.last_action {
        Action::Added => "added",
        Action::Updated => "updated",
        Action::Deleted => "deleted",
    };
    json!({
        "id": &*record.id, "cursor": metadata.cursor.to_string(), "action": action,
        "first_seen": with_offset(metadata.first_seen_at), "modified": with_offset(metadata.last_modified_at),
        "deleted": metadata.deleted_at.map(with_offset),
        "pruned": metadata.pruned_at.map(with_offset),
        "payload": record.payload.as_ref().map(|payload| payload.as_str().to_owned()),
    })
}

/// Panics at the first difference, naming its place.
pub(crate) fn compare(place: &str, wanted: &Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(one), Value::Object(other)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(one), names(other), "{place}");
            one.iter().for_each(|(name, value)| compare(&format!("{place}/{name}"), value, &other[name]));
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{place}: {one:?} {other:?}");
            one.iter().zip(other).enumerate().for_each(|(n, (a, b))| compare(&format!("{place}/{n}"), a, b));
        }
        _ => assert_eq!(wanted, found, "{place}"),
    }
}

/// A time as the kept facts have it.
fn with_offset(time: Timestamp) -> String {
    time.to_string().replace('Z', "+00:00")
}
