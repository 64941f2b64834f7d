//! The scripted story that every binding tells: open, connect, sync, page, crash in the middle of a run, reopen, follow.
//!
//! Each language has a program that takes these arguments: the phase (`first`, `crash` or `again`), the store's path, the API's base URL,
//! the file to write what was read to, and a cursor. What the programs write has to be the same, byte for byte.
#![allow(dead_code, unreachable_pub, clippy::disallowed_methods)] // shared by the tests of several crates

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_template::HttpResponse;

use highwater_testkit::{FakeRequest, FakeTransport, ServedApi, json};
use tokio::runtime::Runtime;

/// The time of the first two phases; the third is a minute later, when the lease of the run that crashed has ended.
pub const NOW_MS: u64 = 1_798_000_000_000;
pub const LATER_MS: u64 = NOW_MS + 60_000;

/// Changes per page of the API, and per page that is read.
pub const PAGE: usize = 2;

/// The API's feed: `GET /changes?after=N` returns the changes behind the Nth. Numbers and texts that a reader which parses payloads would write differently.
const CHANGES: [&str; 9] = [
    r#"{"id": "a", "price": 1.10, "name": "A\u00e9"}"#,
    r#"{"id":"b","price":12345678901234567890,"name":"B"}"#,
    r#"{"name":"C","id":"c","price":1e3}"#,
    r#"{"id":"d","nested":{"z":1,"a":[]},"price":0.30000000000000004}"#,
    r#"{"id":"e","text":"<b>&amp; \"quoted\" 日本"}"#,
    r#"{"id":"a","price":2.20,"name":"A2"}"#,
    r#"{"id":"b","deleted":true}"#,
    r#"{"id":"f","price":-0}"#,
    r#"{"id":"c","price":1e4,"name":"C"}"#,
];

fn answer(length: usize, request: &FakeRequest) -> HttpResponse {
    let after = request.number("after").and_then(|after| usize::try_from(after).ok()).unwrap_or(0);
    let changes: Vec<&str> = CHANGES[..length].iter().skip(after).take(PAGE).copied().collect();
    let next = after + changes.len();
    json(200, format!(r#"{{"next":{next},"more":{},"changes":[{}]}}"#, next < length, changes.join(",")))
}

/// The API of the story, which listens until it is dropped.
pub struct Api {
    length: Arc<AtomicUsize>,
    served: ServedApi,
    _runtime: Runtime,
}

impl Api {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let length = Arc::new(AtomicUsize::new(5));
        let known = Arc::clone(&length);
        let feed = FakeTransport::new(move |request: &FakeRequest| answer(known.load(Ordering::SeqCst), request));
        let served = runtime.block_on(ServedApi::new(feed)).unwrap();
        Api { length, served, _runtime: runtime }
    }

    pub fn base_url(&self) -> &str {
        self.served.base_url()
    }

    /// Lets more changes happen.
    pub fn grow(&self) {
        self.length.store(CHANGES.len(), Ordering::SeqCst);
    }
}

/// Runs the three phases with a program, and compares what it wrote with what every language writes. `program` makes the call for the
/// arguments of a phase.
pub fn tell(program: impl Fn(&[&str]) -> Command) {
    let (api, folder) = (Api::start(), tempfile::tempdir().unwrap());
    let (db, file) = (folder.path().join("story.db"), folder.path().join("story.txt"));
    let phase = |name: &str, cursor: &str| {
        let arguments = [name, db.to_str().unwrap(), api.base_url(), file.to_str().unwrap(), cursor];
        let output = program(&arguments).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status, told)
    };
    let (status, told) = phase("first", "");
    assert!(status.success(), "first: {status}\n{told}");
    let cursor = last_cursor(&std::fs::read_to_string(&file).unwrap());
    api.grow();
    let (status, told) = phase("crash", "");
    assert!(!status.success(), "the program was to be killed\n{told}");
    let (status, told) = phase("again", &cursor);
    assert!(status.success(), "again: {status}\n{told}");
    let (written, golden) = (
        std::fs::read_to_string(&file).unwrap(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../common/tests/story/told.txt"),
    );
    if std::env::var_os("HIGHWATER_WRITE_STORY").is_some() {
        std::fs::write(golden, &written).unwrap();
    }
    assert_eq!(written, std::fs::read_to_string(golden).unwrap());
}

/// The cursor behind the last page in what was written.
pub fn last_cursor(written: &str) -> String {
    let last = written.lines().rev().find(|line| line.starts_with("{\"changes\"")).unwrap();
    let page: serde_json::Value = serde_json::from_str(last).unwrap();
    page["next_cursor"].as_str().unwrap().to_owned()
}

/// What the story's template is.
pub fn template(base_url: &str) -> String {
    serde_json::json!({
        "provider": { "name": "demo", "base_url": base_url }, "name": "items", "models": ["Item"], "incremental": "by its feed",
    })
    .to_string()
}

/// What the engine of the story is opened with.
pub fn options(db: &Path, now_ms: u64) -> String {
    serde_json::json!({ "path": db, "testing": { "now_ms": now_ms, "seed": 7 } }).to_string()
}
