//! A stand-in for GitHub that can be told to fail, and the command under test.
#![allow(dead_code)] // each test file uses its own part

#[allow(clippy::disallowed_macros)] // what is skipped is said
pub(crate) mod npm;
#[cfg(unix)]
pub(crate) mod reader;
#[cfg(unix)] // signals
pub(crate) mod served;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// Records in a page of the stand-in.
const PAGE: usize = 10;

/// What the stand-in does with a request for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Answers pages from this one on (counted from 1) with a status.
    StatusFrom(usize, u16),
    /// Answers pages from this one on with a body that is no JSON.
    GarbageFrom(usize),
    /// Sends a record without an id among the others of this page.
    NamelessOn(usize),
    /// Sends a record without its state on this page.
    StatelessOn(usize),
    /// Refuses, in words that a terminal would obey.
    Hostile,
    /// Never answers from this page on.
    SilentFrom(usize),
}

#[derive(Debug)]
struct Shared {
    mood: Mood,
    issues: usize,
    requests: usize,
}

/// A server with one repository, `o/r`.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    shared: Arc<Mutex<Shared>>,
    pub(crate) url: String,
}

#[derive(Debug, Deserialize)]
struct PageQuery {
    since: Option<String>,
    #[serde(default)]
    page: Option<usize>,
}

impl GitHub {
    pub(crate) fn start(issues: usize, mood: Mood) -> Self {
        let shared = Arc::new(Mutex::new(Shared { mood, issues, requests: 0 }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = GitHub { shared, url };
        let served = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let app = axum::Router::new()
                    .route("/repos/o/r/issues", axum::routing::get(issues_page).post(create_issue))
                    .fallback(|| async { (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#) })
                    .with_state(served);
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
            });
        });
        state
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    pub(crate) fn set_issues(&self, issues: usize) {
        self.shared.lock().unwrap().issues = issues;
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.lock().unwrap().requests
    }

    pub(crate) fn wait_for_requests(&self, count: usize) {
        until(|| self.requests() >= count);
    }
}

/// Issue `n` (from 0) changed at minute `n` of the day.
fn issue(n: usize) -> (String, String) {
    let time = format!("2026-01-01T{:02}:{:02}:00Z", n / 60, n % 60);
    let text = format!(
        r#"{{"id":{},"number":{},"title":"Issue {n}","state":"open","created_at":"{time}","updated_at":"{time}"}}"#,
        1000 + n,
        n + 1
    );
    (time, text)
}

async fn issues_page(State(server): State<GitHub>, Query(query): Query<PageQuery>, headers: HeaderMap) -> Response {
    let (mood, count, number) = {
        let mut shared = server.shared.lock().unwrap();
        shared.requests += 1;
        (shared.mood, shared.issues, shared.requests)
    };
    if headers.get("authorization").is_some_and(|token| token != "Bearer good") {
        return (StatusCode::UNAUTHORIZED, r#"{"message":"Bad credentials"}"#).into_response();
    }
    match mood {
        Mood::StatusFrom(from, status) if number >= from => {
            return (StatusCode::from_u16(status).unwrap(), "{}").into_response();
        }
        Mood::Hostile => {
            let body = r#"{"message":"no \u001b[2K\u009b2J\u202e\r\nentry"}"#.replace("\\r\\nentry", "entry");
            return (StatusCode::FORBIDDEN, body).into_response();
        }
        Mood::GarbageFrom(from) if number >= from => return "<html>maintenance</html>".into_response(),
        Mood::StatelessOn(at) if number >= at => {
            return r#"[{"id":7,"number":7,"title":"x","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}]"#
                .into_response();
        }
        Mood::SilentFrom(from) if number >= from => std::future::pending().await,
        _ => {}
    }
    let since = query.since.unwrap_or_default();
    let wanted: Vec<(String, String)> = (0..count).map(issue).filter(|(time, _)| *time >= since).collect();
    let page = query.page.unwrap_or(1).max(1);
    let mut texts: Vec<&str> =
        wanted.iter().skip((page - 1) * PAGE).take(PAGE).map(|(_, text)| text.as_str()).collect();
    if mood == Mood::NamelessOn(number) {
        texts.insert(0, r#"{"id":null,"updated_at":"2026-01-01T00:00:00Z"}"#);
    }
    let body = format!("[{}]", texts.join(","));
    if wanted.len() <= page * PAGE {
        return body.into_response();
    }
    let next = format!("<{}/repos/o/r/issues?page={}&since={since}>; rel=\"next\"", server.url, page + 1);
    ([("link", next)], body).into_response()
}

async fn create_issue(State(server): State<GitHub>, axum::Json(input): axum::Json<serde_json::Value>) -> Response {
    let mut shared = server.shared.lock().unwrap();
    let made = issue(shared.issues).1.replace(&format!("Issue {}", shared.issues), input["title"].as_str().unwrap());
    shared.issues += 1;
    (StatusCode::CREATED, made).into_response()
}

/// The command, with nothing of this machine's environment that it would read.
pub(crate) fn highwater(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.current_dir(folder).args(arguments).env_remove("HIGHWATER_DB");
    for name in ["VAULT_KEY", "PROVIDER_FILE", "MANIFEST"] {
        command.env_remove(format!("HIGHWATER_{name}"));
    }
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    highwater(folder, arguments).output().unwrap()
}

/// Runs a command that must succeed; gives its standard output.
pub(crate) fn text(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with one line; gives the line.
pub(crate) fn failure(folder: &Path, arguments: &[&str]) -> String {
    one_line(run(folder, arguments), 1)
}

pub(crate) fn one_line(output: Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("highwater: ")).collect();
    assert_eq!(errors.len(), 1, "one line of error: {stderr}");
    errors[0].to_owned()
}

/// Arguments of a sync of the stand-in.
pub(crate) fn sync_arguments(server: &GitHub) -> Vec<String> {
    ["sync", "github", "issues", "--config", "owner=o,repo=r", "--db", "app.db", "--base-url", &server.url]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn sync(folder: &Path, server: &GitHub, further: &[&str]) -> Output {
    let mut arguments = sync_arguments(server);
    arguments.extend(further.iter().map(|&argument| argument.to_owned()));
    run(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Records that a reader of the log gets.
pub(crate) fn record_count(folder: &Path) -> usize {
    text(folder, &["records", "Issue", "--db", "app.db", "--limit", "100000", "--json"])
        .lines()
        .filter(|line| line.contains("\"payload\""))
        .count()
}

pub(crate) fn until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}
