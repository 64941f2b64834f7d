//! A receiver that fails five times and then accepts, while the sending process is killed again and again.
#![cfg(all(feature = "sqlite", feature = "engine", feature = "http", unix))]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater::engine::webhooks::{Destination, Outbox, SIGNATURE_TOLERANCE, verify};
use highwater::store::Environment;
use highwater::template::{SyncContext, Template, TemplateInfo};
use highwater::{ConnectionSettings, Engine, ErrorKind, RunOptions, Secret, SqliteStore, Store, Timestamp};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MODELS: [&str; 3] = ["Contact", "Deal", "Note"];
const FAILURES: usize = 5;

/// How many times as fast time runs: pauses become short, and a term of delivering (15 s) is still 75 ms for a busy disk.
const SPEED: u64 = 200;

/// Time that runs faster, also over restarts.
#[derive(Debug)]
struct Fast {
    begun_ms: u64,
}

impl Environment for Fast {
    fn now(&self) -> highwater::Timestamp {
        highwater::Timestamp::from_unix_ms(self.begun_ms + (real_ms() - self.begun_ms) * SPEED)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        highwater::store::SystemEnvironment.fill_random(bytes);
    }
}

fn real_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[derive(Debug)]
struct Three(TemplateInfo);

#[highwater::template::async_trait::async_trait]
impl Template for Three {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater::Result<()> {
        for model in MODELS {
            context.save(model, vec![r#"{"id":1}"#.into()]).await?;
        }
        context.checkpoint(&1)
    }
}

/// The sending process: a run once, then deliveries until it is killed. Not a test by itself.
#[tokio::test]
async fn sender() {
    let Ok(folder) = std::env::var("OUTBOX_TEST_FOLDER") else { return };
    let begun_ms = std::env::var("OUTBOX_TEST_BEGUN").unwrap().parse().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(format!("{folder}/app.db")).unwrap());
    let info = MODELS
        .into_iter()
        .fold(TemplateInfo::new("three", "all", "https://three.example"), |info, model| info.model(model, "A model"));
    let engine = Engine::builder(store)
        .template(Arc::new(Three(info)))
        .environment(Arc::new(Fast { begun_ms }))
        .build()
        .unwrap();
    let outbox = Outbox::new(&engine);
    outbox.set_secrets("receiver", vec![Secret::new(SECRET)]).unwrap();
    if engine.connections().await.unwrap().is_empty() {
        let url = std::env::var("OUTBOX_TEST_URL").unwrap();
        outbox.add(Destination::new("receiver", url)).await.unwrap();
        engine.connect(ConnectionSettings::new("demo", "three")).await.unwrap();
        engine.sync("demo", "three/all").unwrap().run_once(RunOptions::default()).await.unwrap();
    }
    loop {
        match outbox.deliver_due().await {
            // A term passed while this process or its disk stood still.
            Err(error) if error.kind() == ErrorKind::Busy => continue,
            pass => pass.unwrap(),
        };
        if outbox.waiting("receiver", "", 1).await.unwrap().is_empty() {
            std::fs::write(format!("{folder}/done"), "").unwrap();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn start(folder: &str, url: &str, begun_ms: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["sender", "--exact", "--nocapture"])
        .env("OUTBOX_TEST_FOLDER", folder)
        .env("OUTBOX_TEST_URL", url)
        .env("OUTBOX_TEST_BEGUN", begun_ms.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

type Headers = Vec<(String, String)>;

/// Reads one request: its headers and body.
fn receive(stream: &TcpStream) -> Option<(Headers, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

#[test]
fn each_delivery_arrives_although_the_sender_is_killed_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let begun_ms = real_ms();
    let mut sender = start(folder, &url, begun_ms);
    // Per delivery: failures answered so far, and whether an acceptance was answered.
    let mut deliveries: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    let mut requests = 0;
    let mut kills = 0;
    listener.set_nonblocking(true).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while !std::path::Path::new(&format!("{folder}/done")).exists() {
        assert!(std::time::Instant::now() < deadline, "not all arrived: {deliveries:?}");
        assert!(sender.try_wait().unwrap().is_none(), "the sender ended by itself: {deliveries:?}");
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let Some((headers, body)) = receive(&stream) else { continue };
        requests += 1;
        // The sender's clock is fast: check against the time it says.
        let at: u64 = headers.iter().find(|(name, _)| name == "webhook-timestamp").unwrap().1.parse().unwrap();
        let id =
            verify(&headers, &body, &[Secret::new(SECRET)], Timestamp::from_unix_ms(at * 1000), SIGNATURE_TOLERANCE)
                .unwrap()
                .id;
        let (failures, accepted) = deliveries.entry(id).or_default();
        let status = if *failures < FAILURES { "500 Out Of Order" } else { "204 No Content" };
        // Killed before it can note the answer, in each state: failing, and just accepted.
        let kill = (*failures == 2 && requests % 2 == 0) || (*failures >= FAILURES && kills < 4);
        if kill {
            sender.kill().unwrap();
            sender.wait().unwrap();
            kills += 1;
        }
        if *failures < FAILURES {
            *failures += 1;
        } else {
            *accepted = true;
        }
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        if kill {
            sender = start(folder, &url, begun_ms);
        }
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    println!("{requests} requests, {kills} kills, {} deliveries", deliveries.len());
    assert_eq!(deliveries.len(), MODELS.len());
    assert!(deliveries.values().all(|(failures, accepted)| *failures == FAILURES && *accepted), "{deliveries:?}");
    assert!(kills >= 4);
}
