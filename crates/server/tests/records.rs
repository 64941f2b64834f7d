//! `GET /records` and `PATCH /records/prune`.
#![allow(clippy::disallowed_methods)]

mod support;

use std::collections::BTreeMap;

use highwater_core::{Maintenance, PruneWhat, StreamKey, WriteBatch};
use highwater_server::{Compat, Scope};
use serde_json::{Value, json};
use support::{engine, save, start, start_with};

/// Payloads that are hard to copy without parsing them.
fn odd_payloads() -> Vec<(&'static str, String)> {
    let strange = "</script><script>alert(1)</script>\u{0} \u{1b}[2J\u{202e}\u{2028} \\ \" é 😀 \u{fffe}";
    vec![
        ("1", r#"{"id":1}"#.to_owned()),
        ("2", r#" { "id" : "2" , "a" : [ { "id" : 9 } , "}" ] } "#.to_owned()),
        ("3", r#"{"a":"\"}{\"id\":7","id":3,"_highwater_metadata":{"cursor":"fake"},"z":1}"#.to_owned()),
        ("4", r#"{"_highwater_metadata":"first","id":4}"#.to_owned()),
        ("5", r#"{"id":5 , "_highwater\u005fmetadata" : [1,2] }"#.to_owned()),
        ("6", "{\n\t\"x\": {\"id\": 0, \"y\": [[], {}, \"]\"]},\r\n\t\"\\u0069d\": 6\n}".to_owned()),
        ("7", json!({ "id": "7", strange: strange, "_nango_metadata": { "kept": true } }).to_string()),
        ("-8", r#"{"n":-1.5e10,"t":true,"id":-8,"nothing":null}"#.to_owned()),
        ("9", format!(r#"{{"big":"{}","id":9}}"#, "x".repeat(200_000))),
        ("a/b?c#d \u{e9}", json!({ "id": "a/b?c#d \u{e9}", "deep": [[[[{ "_highwater_metadata": 1 }]]]] }).to_string()),
    ]
}

#[tokio::test]
async fn odd_records_arrive_as_they_are_with_their_metadata_and_nothing_twice() {
    for (compat, member) in [(Compat::Highwater, "_highwater_metadata"), (Compat::Nango, "_nango_metadata")] {
        let running = start_with(engine().await, |server| server.compat(compat)).await;
        save(&running.engine, "Odd", odd_payloads().into_iter().map(|(_, payload)| payload)).await;
        let answer = running.get("/records/?model=Odd&limit=100").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        // A reader that refuses members that stand twice.
        let strict: Value = serde_json::from_slice::<Strict>(&answer.body).unwrap().0;
        let records = strict["records"].as_array().unwrap();
        assert_eq!(records.len(), odd_payloads().len());
        for (record, (id, payload)) in records.iter().zip(odd_payloads()) {
            let mut expected: Value = serde_json::from_str(&payload).unwrap();
            expected["id"] = json!(id);
            let mut given = record.clone();
            let metadata = given.as_object_mut().unwrap().remove(member).unwrap();
            expected.as_object_mut().unwrap().remove(member);
            assert_eq!(given, expected);
            let names: Vec<&str> = metadata.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(
                names,
                ["cursor", "deleted_at", "first_seen_at", "last_action", "last_modified_at", "pruned_at"]
            );
            assert_eq!((&metadata["last_action"], &metadata["deleted_at"]), (&json!("ADDED"), &Value::Null));
        }
        assert_eq!(strict["next_cursor"], Value::Null);
        assert_eq!(strict["resume_cursor"], records.last().unwrap()[member]["cursor"]);
        assert!(answer.text().contains(r#""a" : [ { "id" : 9 } , "}" ]"#), "a payload's bytes are as they were stored");
    }
}

/// A value whose objects have no member twice.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut members = serde_json::Map::new();
                while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
                    if members.insert(name.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("{name} stands twice")));
                    }
                }
                Ok(members.into())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(Strict(value)) = seq.next_element()? {
                    items.push(value);
                }
                Ok(items.into())
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }
        }
        deserializer.deserialize_any(Visitor).map(Strict)
    }
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let running = start().await;
    let long = "x".repeat(5000);
    let query = |query: &str| format!("/records?{query}");
    for (path, parameter, fault) in [
        (query(""), "model", "missing"),
        (query("model="), "model", "empty"),
        (query("model"), "model", "empty"),
        (query("model=A&model=B"), "model", "repeated"),
        (query("model=A%00"), "model", "invalid"),
        (query("model=%ff"), "model", "invalid"),
        (query(&format!("model={}", &long[..256])), "model", "too_long"),
        (query("model=A&variant="), "variant", "empty"),
        (query(&format!("model=A&variant={}", &long[..256])), "variant", "too_long"),
        (query("model=A&limit=0"), "limit", "invalid"),
        (query("model=A&limit=10001"), "limit", "invalid"),
        (query("model=A&limit=-1"), "limit", "invalid"),
        (query("model=A&limit=1.5"), "limit", "invalid"),
        (query("model=A&limit=ten"), "limit", "invalid"),
        (query("model=A&limit="), "limit", "empty"),
        (query("model=A&limit=1&limit=2"), "limit", "repeated"),
        (query("model=A&modified_after=yesterday"), "modified_after", "invalid"),
        (query("model=A&modified_after=2026-01-01"), "modified_after", "invalid"),
        (query("model=A&delta=x"), "delta", "invalid"),
        (query("model=A&filter=gone"), "filter", "invalid"),
        (query("model=A&filter=added,"), "filter", "invalid"),
        (query("model=A&filter=added,added,added,added,added,added,added"), "filter", "too_long"),
        (query("model=A&cursor="), "cursor", "empty"),
        (query(&format!("model=A&cursor={}", &long[..1001])), "cursor", "too_long"),
        (query("model=A&cursor=a&cursor=b"), "cursor", "repeated"),
        (query("model=A&ids="), "ids", "empty"),
        (query(&format!("model=A&ids={}", &long[..4097])), "ids", "too_long"),
        (query(&format!("model=A{}", "&ids=1".repeat(101))), "ids", "too_long"),
        (query("model=A&wait=301s"), "wait", "invalid"),
        (query("model=A&wait=soon"), "wait", "invalid"),
        (query("model=A&modifiedAfter=2026-01-01T00:00:00Z"), "modifiedAfter", "unknown"),
        (query("model=A&%3Cscript%3E=1"), "<script>", "unknown"),
        ("/stream?model=A&limit=5".to_owned(), "limit", "unknown"),
        ("/stream".to_owned(), "model", "missing"),
        ("/stream?model=A&filter=x".to_owned(), "filter", "invalid"),
    ] {
        let answer = running.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_query_params"), "{path}");
        assert_eq!(answer.fault(), (parameter.to_owned(), fault.to_owned()), "{path}");
    }
    for (name, value, fault) in [
        ("Connection-Id", "", "missing"),
        ("Provider-Config-Key", "", "missing"),
        ("Connection-Id", &long[..201], "too_long"),
        ("Provider-Config-Key", "a\tb", "invalid"),
    ] {
        let answer = running.call_with("GET", "/records?model=A", None, &[(name, value)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_headers"), "{name}: {value}");
        assert_eq!(answer.fault(), (name.to_owned(), fault.to_owned()));
    }
    let twice = [("Connection-Id", "main"), ("Connection-Id", "main")];
    assert_eq!(running.call_with("GET", "/records?model=A", None, &twice).await.fault().1, "repeated");
    for (name, value) in [("Connection-Id", "other"), ("Provider-Config-Key", "github"), ("Connection-Id", "../main")] {
        let answer = running.call_with("GET", "/records?model=A", None, &[(name, value)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "unknown_connection"), "{name}: {value}");
    }
    let none = running.get("/records?model=Nothing").await;
    assert_eq!((none.status, &none.json()["records"], &none.json()["next_cursor"]), (200, &json!([]), &Value::Null));
}

#[tokio::test]
async fn each_wrong_body_is_refused() {
    let running = start().await;
    save(&running.engine, "A", [r#"{"id":1}"#.to_owned()]).await;
    let cursor = running.get("/records?model=A").await.json()["resume_cursor"].as_str().unwrap().to_owned();
    let deep = format!("{{\"model\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, status, code) in [
        ("{", 400, "invalid_body"),
        ("[]", 400, "invalid_body"),
        ("\"text\"", 400, "invalid_body"),
        ("{}", 400, "invalid_body"),
        ("{} {}", 400, "invalid_body"),
        (r#"{"model":1,"until_cursor":"x"}"#, 400, "invalid_body"),
        (r#"{"model":"A","until_cursor":"x","more":1}"#, 400, "invalid_body"),
        (r#"{"model":"A","model":"A","until_cursor":"x"}"#, 400, "invalid_body"),
        (r#"{"model":"A","until_cursor":"x"}"#, 400, "invalid_cursor"),
        (r#"{"model":"","until_cursor":"x"}"#, 400, "invalid_body"),
        (&format!(r#"{{"model":"A","until_cursor":"{cursor}","limit":0}}"#), 400, "invalid_body"),
        (&format!(r#"{{"model":"A","until_cursor":"{cursor}","variant":""}}"#), 400, "invalid_body"),
        (&format!(r#"{{"model":"B","until_cursor":"{cursor}"}}"#), 400, "invalid_cursor"),
        (deep.as_str(), 400, "invalid_body"),
    ] {
        let answer = running.call("PATCH", "/records/prune", Some(body)).await;
        let begin = body.get(..80).unwrap_or(body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{begin}");
    }
    let announced = format!(
        "PATCH /records/prune HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 5000000\r\n\r\n",
        running.key
    );
    let answer = running.send(announced.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let answer = running.call_with("PATCH", "/records/prune", Some("{}"), &[("Content-Type", kind)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "invalid_content_type"), "{kind}");
    }
    let reader = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let bearer = format!("Bearer {}", reader.secret.expose());
    let refused = running.call_with("PATCH", "/records/prune", Some("{}"), &[("Authorization", &bearer)]).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
    assert_eq!(running.get("/records?model=A").await.json()["records"][0]["id"], "1");
}

#[tokio::test]
async fn pages_filters_and_prunes_are_the_logs() {
    let running = start().await;
    let stream = StreamKey::new("main", "Deal");
    save(&running.engine, "Deal", (0..25).map(|id| format!(r#"{{"id":{id},"v":0}}"#))).await;
    let mut batch = WriteBatch::new();
    batch.on(&stream).upsert(r#"{"id":3,"v":1}"#).delete("4");
    running.engine.store().commit(batch).await.unwrap();
    let (mut held, mut cursor, mut pages) = (BTreeMap::new(), String::new(), 0);
    loop {
        let page = running.get(&format!("/records?model=Deal&limit=10{cursor}")).await.json();
        for record in page["records"].as_array().unwrap() {
            held.insert(record["id"].clone().to_string(), record["_highwater_metadata"]["last_action"].clone());
        }
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((held.len(), pages), (25, 3));
    let ids = async |query: &str| -> Vec<String> {
        let page = running.get(&format!("/records?model=Deal&{query}")).await.json();
        page["records"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("filter=updated").await, ["3"]);
    assert_eq!(ids("filter=DELETED,updated").await, ["3", "4"]);
    assert_eq!(ids("filter=added%2Cdeleted&limit=1000").await.len(), 24);
    assert_eq!(ids("ids=7&ids=4").await, ["7", "4"]);
    assert_eq!(ids("modified_after=2200-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(ids("modified_after=2000-01-01T00:00:00%2B02:00&limit=1000").await.len(), 25);
    assert_eq!(ids("modified_after=2200-01-01T00:00:00Z&delta=2000-01-01T00:00:00Z&limit=1000").await.len(), 25);
    assert_eq!(ids("variant=other").await, [""; 0]);

    let all = running.get("/records?model=Deal&limit=1000").await.json();
    let until = all["records"][9]["_highwater_metadata"]["cursor"].clone();
    let body = json!({ "model": "Deal", "until_cursor": until, "limit": 1000 }).to_string();
    let pruned = running.call("PATCH", "/records/prune", Some(&body)).await.json();
    assert_eq!((&pruned["count"], &pruned["has_more"]), (&json!(10), &json!(false)));
    let after = running.get("/records?model=Deal&limit=1000").await.json();
    assert_eq!(after["records"][0].as_object().unwrap().len(), 2, "{}", after["records"][0]);
    assert_eq!((&after["records"][0]["id"], &after["records"][20]["v"]), (&json!("0"), &json!(0)));
    assert!(after["records"][0]["_highwater_metadata"]["pruned_at"].is_string());
}

#[tokio::test]
async fn a_prune_with_a_limit_goes_on_until_there_is_no_more() {
    let running = start().await;
    save(&running.engine, "Deal", (0..25).map(|id| format!(r#"{{"id":{id},"v":0}}"#))).await;
    let all = running.get("/records?model=Deal&limit=1000").await.json();
    let until = all["records"][21]["_highwater_metadata"]["cursor"].clone();
    let body = json!({ "model": "Deal", "until_cursor": until, "limit": 10 }).to_string();
    let mut steps = Vec::new();
    for _ in 0..4 {
        let pruned = running.call("PATCH", "/records/prune", Some(&body)).await.json();
        steps.push((pruned["count"].as_u64().unwrap(), pruned["has_more"].as_bool().unwrap()));
    }
    assert_eq!(steps, [(10, true), (10, true), (2, false), (0, false)]);
    let after = running.get("/records?model=Deal&limit=1000").await.json();
    let kept: Vec<usize> = (0..25).filter(|place| after["records"][place].get("v").is_some()).collect();
    assert_eq!(kept, [22, 23, 24]);
    // A step that is as long as the rest is the last one, and a consumer keeps what it has not read.
    let poll = running.call("POST", "/consumers/slow/fetch?model=Deal", Some(r#"{"limit": 1}"#)).await;
    assert_eq!(poll.status, 200, "{}", poll.text());
    let until = all["records"][24]["_highwater_metadata"]["cursor"].clone();
    let body = json!({ "model": "Deal", "until_cursor": until, "limit": 2 }).to_string();
    let held = running.call("PATCH", "/records/prune", Some(&body)).await.json();
    assert_eq!((&held["count"], &held["has_more"], &held["held_by"]), (&json!(0), &json!(false), &json!("slow")));
    running.call("DELETE", "/consumers/slow?model=Deal", None).await;
    let steps = [(2, true), (1, false)];
    for step in steps {
        let pruned = running.call("PATCH", "/records/prune", Some(&body)).await.json();
        assert_eq!((pruned["count"].as_u64().unwrap(), pruned["has_more"].as_bool().unwrap()), step);
    }
}

#[tokio::test]
async fn a_bad_cursor_is_refused_with_the_way_to_recover_and_an_expired_one_is_gone() {
    let running = start().await;
    let stream = StreamKey::new("main", "A");
    save(&running.engine, "A", (0..3).map(|id| format!(r#"{{"id":{id}}}"#))).await;
    save(&running.engine, "B", [r#"{"id":1}"#.to_owned()]).await;
    let page = running.get("/records?model=A&limit=1").await.json();
    let first = page["next_cursor"].as_str().unwrap().to_owned();
    let peers = "MjAyMy0wOS0xOFQxNToyMDozNS45NDEzMDUrMDA6MDB8fGE%3D";
    for (path, reason) in [
        (format!("/records?model=B&cursor={first}"), "cursor_foreign"),
        (format!("/records?model=A&cursor={peers}"), "cursor_malformed"),
        (format!("/stream?model=B&cursor={first}"), "cursor_foreign"),
    ] {
        let answer = running.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_cursor"), "{path}");
        let payload = &answer.json()["error"]["payload"];
        assert_eq!(payload["reason"], reason);
        assert!(payload["recover"].as_str().unwrap().contains("from the start"));
    }
    let mut batch = WriteBatch::new();
    batch.on(&stream).delete("2");
    let commit = running.engine.store().commit(batch).await.unwrap();
    let up_to = commit.streams[0].cursor;
    let prune = Maintenance::Prune { stream, what: PruneWhat::Tombstones, up_to };
    running.engine.store().maintain(prune).await.unwrap();
    let answer = running.get(&format!("/records?model=A&cursor={first}")).await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "cursor_expired"));
    assert!(answer.json()["error"]["payload"]["horizon"].is_string());
    // Programs of the peer's keep the cursor of the last record: it is not expired, although the prune went past the record.
    let all = running.get("/records?model=A").await.json();
    let last = all["records"].as_array().unwrap().last().unwrap()["_highwater_metadata"]["cursor"].clone();
    let next = running.get(&format!("/records?model=A&cursor={}", last.as_str().unwrap())).await;
    assert_eq!((next.status, &next.json()["records"]), (200, &json!([])));
}
