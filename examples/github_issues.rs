//! A GitHub repository's issues in a local store, in 30 lines.
//!
//! `cargo run --example github_issues -- rust-lang cargo` asks GitHub; without arguments a small
//! stand-in on this machine answers.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // an example prints

use std::sync::Arc;

use highwater::templates::{self, github::Issue};
use highwater::{ConnectionSettings, Engine, MemoryStore, Result, RunOptions, Store, StoreExt, StreamKey};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut account = ConnectionSettings::new("main", "github");
    account = match arguments.as_slice() {
        [owner, repo] => account.config("owner", owner).config("repo", repo),
        _ => account.config("owner", "octocat").config("repo", "hello").base_url(stand_in().await),
    };
    let store = Arc::new(MemoryStore::new()?);
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>).templates(templates::all()).build()?;
    engine.connect(account).await?;
    for _ in 0..2 {
        let report = engine.sync("main", "github/issues")?.run_once(RunOptions::default()).await?;
        let progress = report.progress;
        println!("{:?}: {} added, {} unchanged", report.mode, progress.counts.added, progress.counts.unchanged);
    }
    let page = store.records_as::<Issue>(&StreamKey::new("main", "Issue")).limit(10).page().await?;
    for issue in page.changes.iter().filter_map(|change| change.value.as_ref()?.as_ref().ok()) {
        println!("#{} {} ({})", issue.number, issue.title, issue.state);
    }
    println!("next time from {}", page.next_cursor);
    Ok(())
}

/// Answers like GitHub for one repository with two issues.
async fn stand_in() -> String {
    let issues = r#"[
        {"id":11,"number":1,"title":"It leaks","state":"closed","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"},
        {"id":12,"number":2,"title":"It is slow","state":"open","created_at":"2026-01-03T00:00:00Z","updated_at":"2026-01-03T00:00:00Z"}
    ]"#;
    let routes =
        axum::Router::new().route("/repos/octocat/hello/issues", axum::routing::get(move || async move { issues }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}
