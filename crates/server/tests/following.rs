//! Long polls and event streams: what arrives, and how they end. `crates/cli/tests/serve.rs` kills the process in the middle.

#![allow(clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use highwater_core::{Maintenance, PruneWhat, StreamKey, WriteBatch};
use highwater_server::Scope;
use serde_json::{Value, json};
use support::{Running, parse, read_to_end, save, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An open event stream.
struct Events {
    stream: TcpStream,
    /// What arrived and was not decoded yet: the head, then chunks.
    raw: Vec<u8>,
    begun: bool,
    ended: bool,
    read: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: Value,
}

impl Events {
    async fn open(running: &Running, path: &str, key: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection-Id: main\r\nProvider-Config-Key: crm\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Events { stream, raw: Vec::new(), begun: false, ended: false, read: String::new() }
    }

    /// The next event, comments and the head left out; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some(Event { id: field("id: "), kind: field("event: ").unwrap(), data });
                }
            }
            if self.ended {
                return None;
            }
            let mut buffer = [0; 16_384];
            let reading = tokio::time::timeout(Duration::from_secs(120), self.stream.read(&mut buffer));
            match reading.await.expect("something arrives").unwrap() {
                0 => return None,
                count => self.raw.extend_from_slice(&buffer[..count]),
            }
            self.decode();
        }
    }

    /// Decodes the chunks that arrived whole.
    fn decode(&mut self) {
        let end_of = |raw: &[u8], mark: &[u8]| raw.windows(mark.len()).position(|window| window == mark);
        if !self.begun {
            let Some(end) = end_of(&self.raw, b"\r\n\r\n") else { return };
            assert!(self.raw.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.raw));
            self.raw.drain(..end + 4);
            self.begun = true;
        }
        while let Some(line) = end_of(&self.raw, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..line]).unwrap(), 16).unwrap();
            let (begin, end) = (line + 2, line + 2 + size);
            if self.raw.len() < end + 2 {
                return;
            }
            self.read.push_str(std::str::from_utf8(&self.raw[begin..end]).unwrap());
            self.raw.drain(..end + 2);
            self.ended = size == 0;
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.next().await.unwrap().data["id"].as_str().unwrap().to_owned());
        }
        ids
    }
}

fn record(id: u32) -> String {
    format!("{{\"id\":{id},\n\"text\":\"<script>\\n\"}}")
}

#[tokio::test]
async fn a_stream_sends_what_is_there_then_what_comes_and_continues_after_the_last_id() {
    let running = start().await;
    save(&running.engine, "A", (0..3).map(record)).await;
    let mut events = Events::open(&running, "/stream?model=A", &running.key, None).await;
    let first = events.next().await.unwrap();
    assert_eq!(
        (first.kind.as_str(), &first.data["id"], &first.data["text"]),
        ("record", &json!("0"), &json!("<script>\n"))
    );
    assert_eq!(first.id.as_deref(), first.data["_highwater_metadata"]["cursor"].as_str());
    assert_eq!(events.ids(2).await, ["1", "2"]);
    save(&running.engine, "A", (3..5).map(record)).await;
    assert_eq!(events.ids(2).await, ["3", "4"]);
    drop(events);
    save(&running.engine, "A", [record(5)]).await;
    let mut again = Events::open(&running, "/stream?model=A", &running.key, first.id.as_deref()).await;
    assert_eq!(again.ids(5).await, ["1", "2", "3", "4", "5"]);
    let mut by_cursor =
        Events::open(&running, &format!("/stream?model=A&cursor={}", first.id.unwrap()), &running.key, None).await;
    assert_eq!(by_cursor.ids(1).await, ["1"]);
}

#[tokio::test]
async fn every_id_of_a_stream_can_be_continued_from_although_a_prune_went_past_it() {
    let running = start().await;
    let stream = StreamKey::new("main", "A");
    save(&running.engine, "A", (0..4).map(record)).await;
    let mut batch = WriteBatch::new();
    batch.on(&stream).delete("1");
    let up_to = running.engine.store().commit(batch).await.unwrap().streams[0].cursor;
    save(&running.engine, "A", (4..6).map(record)).await;
    let prune = Maintenance::Prune { stream, what: PruneWhat::Tombstones, up_to };
    running.engine.store().maintain(prune).await.unwrap();
    let mut events = Events::open(&running, "/stream?model=A", &running.key, None).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let event = events.next().await.unwrap();
        seen.push(event.data["id"].as_str().unwrap().to_owned());
        if let Some(id) = &event.id {
            let answer = running.get(&format!("/records?model=A&cursor={id}")).await;
            assert_eq!(answer.status, 200, "{seen:?}: {answer:?}");
            let left = answer.json()["records"].as_array().unwrap().len();
            assert_eq!(left + seen.len(), 5);
        }
    }
    assert_eq!(seen, ["0", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_stream_of_a_key_that_was_revoked_ends_with_an_error() {
    let running = start().await;
    save(&running.engine, "A", [record(1)]).await;
    let made = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let mut events = Events::open(&running, "/stream?model=A", made.secret.expose(), None).await;
    assert_eq!(events.ids(1).await, ["1"]);
    running.server.keys().revoke(&made.key.id).await.unwrap();
    save(&running.engine, "A", [record(2)]).await;
    let last = events.next().await.unwrap();
    assert_eq!((last.kind.as_str(), &last.data["error"]["code"]), ("error", &json!("unknown_account")));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_long_poll_answers_when_something_comes_and_when_its_time_is_over() {
    let running = start().await;
    let empty = running.get("/records?model=A&wait=1ms").await.json();
    assert_eq!((&empty["records"], &empty["next_cursor"]), (&json!([]), &Value::Null));
    let saving = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Another model's records wake it, and are not what it waits for.
        save(&running.engine, "B", [record(1)]).await;
        save(&running.engine, "A", [record(2)]).await;
    };
    let (page, ()) = tokio::join!(running.get("/records?model=A&wait=60s"), saving);
    assert_eq!(page.json()["records"][0]["id"], "2");
    let cursor = page.json()["resume_cursor"].as_str().unwrap().to_owned();
    let saving = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        save(&running.engine, "A", [record(3)]).await;
        let mut batch = WriteBatch::new();
        batch.on(&StreamKey::new("main", "A")).delete("2");
        running.engine.store().commit(batch).await.unwrap();
    };
    let path = format!("/records?model=A&wait=60s&filter=deleted&cursor={cursor}");
    let (page, ()) = tokio::join!(running.get(&path), saving);
    assert_eq!(page.json()["records"][0]["id"], "2");
}

#[tokio::test]
async fn requests_that_wait_end_when_the_server_stops() {
    let running = start().await;
    save(&running.engine, "A", [record(1)]).await;
    let mut events = Events::open(&running, "/stream?model=A", &running.key, None).await;
    assert_eq!(events.ids(1).await, ["1"]);
    let mut poll = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "GET /records?model=B&wait=300s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection-Id: main\r\nProvider-Config-Key: crm\r\n\r\n",
        running.key
    );
    poll.write_all(head.as_bytes()).await.unwrap();
    running.server.stop();
    assert_eq!(events.next().await, None);
    let answer = read_to_end(&mut poll).await;
    // The connection may have been too young to have been read from.
    assert!(answer.is_empty() || parse(&answer).json()["records"] == json!([]));
}
