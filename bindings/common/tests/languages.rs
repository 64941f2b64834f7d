//! The story that every binding tells, in Rust: the other languages are compared with what this writes.
#![allow(clippy::disallowed_methods)]

mod story;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use highwater_bindings::{Engine, Failure, HostRun, HostTemplate, Outcome};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Reads the feed; with `crash`, the process is killed once the first page is saved.
fn fetch(run: &HostRun, crash: bool) -> Outcome<()> {
    #[derive(serde::Deserialize)]
    struct Page {
        next: u64,
        more: bool,
        changes: Vec<Box<RawValue>>,
    }
    let setup: Value = serde_json::from_str(run.setup()).unwrap();
    let mut after = setup["checkpoint"].as_u64().unwrap_or(0);
    loop {
        let request = json!({ "path": "/changes", "query": { "after": after.to_string() } });
        let response: Value = serde_json::from_str(&run.call("request", &request.to_string())?).unwrap();
        let page: Page = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        after = page.next;
        run.call("checkpoint", &json!({ "value": after }).to_string())?;
        let gone = |change: &RawValue| change.get().contains(r#""deleted":true"#);
        let (deleted, saved): (Vec<_>, Vec<_>) = page.changes.iter().partition(|change| gone(change));
        let ids: Vec<String> = deleted
            .iter()
            .map(|change| serde_json::from_str::<Value>(change.get()).unwrap()["id"].as_str().unwrap().to_owned())
            .collect();
        let saved: Vec<&str> = saved.iter().map(|change| change.get()).collect();
        let save = format!(r#"{{"model":"Item","records":[{}],"deleted":{}}}"#, saved.join(","), json!(ids));
        run.call("save", &save)?;
        if crash {
            kill_this_process();
        }
        if !page.more {
            return Ok(());
        }
    }
}

fn kill_this_process() {
    let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
    std::thread::sleep(Duration::from_secs(60));
}

fn open(db: &Path, base_url: &str, now_ms: u64, crash: bool) -> Outcome<Engine> {
    let start = move |run: HostRun| {
        std::thread::spawn(move || {
            let outcome = fetch(&run, crash);
            run.end(outcome);
        });
    };
    let template = HostTemplate::new(&story::template(base_url), Arc::new(start))?;
    Engine::open(&story::options(db, now_ms), vec![template])
}

/// One phase, as the programs of the other languages do it.
fn phase(name: &str, db: &Path, base_url: &str, output: &Path, cursor: &str) -> Outcome<()> {
    let mut output = std::fs::File::options().create(true).append(true).open(output).unwrap();
    let mut line = |text: &str| writeln!(output, "{text}").unwrap();
    let now = if name == "again" { story::LATER_MS } else { story::NOW_MS };
    let engine = open(db, base_url, now, name == "crash")?;
    engine.call("connect", r#"{"connection": "main", "provider": "demo"}"#)?;
    engine.call("enable", r#"{"connection": "main", "sync": "demo/items"}"#)?;
    engine.call("run", r#"{"connection": "main", "sync": "demo/items"}"#)?;
    if name == "first" {
        let mut since = String::new();
        loop {
            let mut arguments = json!({ "connection": "main", "model": "Item", "limit": story::PAGE });
            if !since.is_empty() {
                arguments["since"] = json!(since);
            }
            let page = engine.call("records", &arguments.to_string())?;
            line(&page);
            let read: Value = serde_json::from_str(&page).unwrap();
            since = read["next_cursor"].as_str().unwrap().to_owned();
            if read["caught_up"] == true {
                break;
            }
        }
    } else {
        let arguments = json!({ "connection": "main", "model": "Item", "limit": story::PAGE, "since": cursor });
        let following = engine.follow(&arguments.to_string())?;
        let mut changes = 0;
        while changes < 4 {
            let page = following.next(None)?.unwrap();
            changes += page.changes.len();
            line(&serde_json::to_string(&page).unwrap());
        }
        following.close();
        line(following.next(None).unwrap_err().code());
    }
    engine.close()?;
    line(engine.call("records", "{}").unwrap_err().code());
    Ok(())
}

/// The program of the phases: this test binary, called for this test alone.
#[test]
fn program() {
    let Some(given) = std::env::var_os("HIGHWATER_STORY") else { return };
    let given: Vec<String> = serde_json::from_str(given.to_str().unwrap()).unwrap();
    let [name, db, base_url, output, cursor] = &given[..] else { panic!("five arguments") };
    let outcome: Result<(), Failure> = phase(name, Path::new(db), base_url, Path::new(output), cursor);
    outcome.unwrap();
}

#[test]
fn the_story_is_the_same_each_time_and_keeps_every_byte() {
    story::tell(|arguments| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "program", "--nocapture"]).env("HIGHWATER_STORY", json!(arguments).to_string());
        command
    });
    let told = include_str!("story/told.txt");
    for bytes in [r#"{"id": "a", "price": 1.10, "name": "A\u00e9"}"#, "12345678901234567890", "\"price\":-0", "closed"]
    {
        assert!(told.contains(bytes), "{bytes} in {told}");
    }
}
