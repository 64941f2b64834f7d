//! Fetch functions of a host: good ones, and those that fail, hang, or go on after their end.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use highwater_bindings::{Engine, Failure, HostRun, HostTemplate, RUN_COMMANDS};

const INFO: &str =
    r#"{"provider": {"name": "demo", "base_url": "http://127.0.0.1:9"}, "name": "notes", "models": ["Note"]}"#;
const RUN: &str = r#"{"connection": "c", "sync": "demo/notes"}"#;

/// An engine with a template whose fetch is `fetch`, on a thread of its own.
fn with_fetch(fetch: impl Fn(HostRun) + Send + Sync + 'static) -> Engine {
    let fetch = Arc::new(fetch);
    let start = move |run: HostRun| {
        let fetch = Arc::clone(&fetch);
        std::thread::spawn(move || fetch(run));
    };
    let template = HostTemplate::new(INFO, Arc::new(start)).unwrap();
    let engine = Engine::open(r#"{"store": "memory"}"#, vec![template]).unwrap();
    engine.call("connect", r#"{"connection": "c", "provider": "demo"}"#).unwrap();
    engine.call("enable", RUN).unwrap();
    engine
}

fn ids(engine: &Engine) -> Vec<String> {
    let page = engine.page(r#"{"connection": "c", "model": "Note"}"#).unwrap();
    page.changes.iter().map(|change| format!("{:?} {}", change.net, &*change.record.id)).collect()
}

#[test]
fn a_fetch_saves_deletes_and_continues_at_its_checkpoint() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let setups = Arc::clone(&seen);
    let engine = with_fetch(move |run| {
        let setup: serde_json::Value = serde_json::from_str(run.setup()).unwrap();
        let turn = setup["checkpoint"]["turn"].as_u64().unwrap_or(0);
        setups.lock().unwrap().push(setup);
        run.call("log", r#"{"level": "info", "message": "begun"}"#).unwrap();
        run.call("expect_total", r#"{"total": 2}"#).unwrap();
        run.call("checkpoint", &format!(r#"{{"value": {{"turn": {}}}}}"#, turn + 1)).unwrap();
        let saved = match turn {
            0 => run.call("save", r#"{"model": "Note", "records": [{"id": "a"}, {"id": "b"}, {"no": "id"}]}"#),
            _ => run.call("save", r#"{"model": "Note", "records": [{"id": "c"}], "deleted": ["a"]}"#),
        };
        let saved: serde_json::Value = serde_json::from_str(&saved.unwrap()).unwrap();
        assert_eq!(saved["rejected"].as_array().unwrap().len(), usize::from(turn == 0));
        assert!(run.call("progress", "").unwrap().contains(r#""total":2"#));
        if turn == 1 {
            run.call("delete", r#"{"model": "Note", "ids": ["b"]}"#).unwrap();
        }
        run.end(Ok(()));
    });
    engine.call("run", RUN).unwrap();
    assert_eq!(ids(&engine), ["Added a", "Added b"]);
    let report = engine.call("run", RUN).unwrap();
    assert!(report.contains(r#""state":"success""#), "{report}");
    assert_eq!(ids(&engine), ["Added c", "Void a", "Void b"]);
    let setups = seen.lock().unwrap();
    assert_eq!((&setups[0]["checkpoint"], &setups[0]["is_full_refresh"]), (&serde_json::Value::Null, &true.into()));
    assert_eq!((&setups[1]["checkpoint"]["turn"], &setups[1]["is_full_refresh"]), (&1.into(), &false.into()));
    assert_eq!((&setups[1]["connection"], &setups[1]["template"]), (&"c".into(), &"demo/notes".into()));
}

#[test]
fn a_fetch_that_fails_names_its_reason() {
    type Fetch = fn(&HostRun);
    let cases: [(&str, Fetch, &str, &str); 6] = [
        ("its own", |run| run.end(Err(Failure::new("ValueError", "no such label"))), "invalid", "no such label"),
        ("a code", |run| run.end(Err(Failure::new("rate_limited", "slow down"))), "rate_limited", "slow down"),
        ("of a command", |run| run.end(run.call("save", r#"{"model": "Note"}"#).map(drop)), "invalid", "records"),
        ("of the API", |run| run.end(run.call("request", r#"{"path": "/x"}"#).map(drop)), "unavailable", ""),
        ("silent", |_| {}, "invalid", "without saying"),
        ("panics", |_| panic!("as the test wants"), "invalid", "without saying"),
    ];
    for (name, fetch, kind, text) in cases {
        let engine = with_fetch(move |run| fetch(&run));
        let failure = engine.call("run", RUN).unwrap_err();
        assert_eq!(failure.code(), kind, "{name}: {failure}");
        assert!(failure.message().contains(text), "{name}: {failure}");
        engine.close().unwrap();
    }
}

#[test]
fn a_start_that_panics_fails_the_run() {
    let template = HostTemplate::new(INFO, Arc::new(|_| panic!("as the test wants"))).unwrap();
    let engine = Engine::open(r#"{"store": "memory"}"#, vec![template]).unwrap();
    engine.call("connect", r#"{"connection": "c", "provider": "demo"}"#).unwrap();
    assert_eq!(engine.call("run", RUN).unwrap_err().code(), "internal");
}

#[test]
fn a_run_after_its_end_is_closed() {
    let (sender, kept) = mpsc::channel();
    let engine = with_fetch(move |run| {
        run.end(Ok(()));
        run.end(Err(Failure::new("internal", "too late")));
        sender.send(run).unwrap();
    });
    engine.call("run", RUN).unwrap();
    let run = kept.recv().unwrap();
    assert!(run.is_stopped());
    for command in RUN_COMMANDS {
        assert_eq!(run.call(command.name, "{}").unwrap_err().code(), "closed", "{}", command.name);
    }
    engine.close().unwrap();
    assert_eq!(run.call("progress", "").unwrap_err().code(), "closed");
}

#[test]
fn a_fetch_that_never_returns_keeps_nothing_from_closing() {
    let (sender, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let (result, results) = mpsc::channel();
    let engine = with_fetch(move |run| {
        sender.send(()).unwrap();
        // As if it were stuck: until the test is over.
        let _ = ended.lock().unwrap().recv();
        result.send((run.is_stopped(), run.call("save", r#"{"model": "Note", "records": [{"id": "late"}]}"#))).unwrap();
    });
    engine.call("start", "").unwrap();
    begun.recv().unwrap();
    engine.close().unwrap();
    drop(end);
    let (stopped, late) = results.recv().unwrap();
    assert!(stopped);
    assert_eq!(late.unwrap_err().code(), "cancelled");
}

#[test]
fn a_run_that_is_cancelled_stops_its_fetch() {
    let (sender, begun) = mpsc::channel();
    let (result, results) = mpsc::channel();
    let engine = with_fetch(move |run| {
        sender.send(()).unwrap();
        while !run.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        result.send(run.call("progress", "")).unwrap();
    });
    let running = engine.clone();
    let report = std::thread::spawn(move || running.call("run", RUN));
    begun.recv().unwrap();
    assert_eq!(engine.call("cancel", RUN).unwrap(), "true");
    assert_eq!(results.recv().unwrap().unwrap_err().code(), "cancelled");
    assert_eq!(report.join().unwrap().unwrap_err().code(), "cancelled");
}

#[test]
fn requests_of_one_run_overlap() {
    let engine = with_fetch(|run| {
        let (sender, answers) = mpsc::channel();
        for _ in 0..3 {
            let sender = sender.clone();
            run.start_call("request", r#"{"path": "/x"}"#, move |outcome| sender.send(outcome).unwrap());
        }
        // Another command does not wait for them.
        run.call("progress", "").unwrap();
        for _ in 0..3 {
            assert_eq!(answers.recv().unwrap().unwrap_err().code(), "unavailable");
        }
        run.end(Ok(()));
    });
    engine.call("run", RUN).unwrap();
}

#[test]
fn commands_refuse_what_they_do_not_take() {
    let engine = with_fetch(|run| {
        for command in RUN_COMMANDS {
            let failure = run.call(command.name, r#"{"zz": 1}"#).unwrap_err();
            assert!(failure.code() == "invalid" && failure.message().contains(command.name), "{failure}");
        }
        assert_eq!(run.call("format", "{}").unwrap_err().code(), "invalid");
        run.end(Ok(()));
    });
    engine.call("run", RUN).unwrap();
}

#[test]
fn a_description_that_cannot_be_used_is_refused_by_name() {
    for (info, named) in [
        ("", "provider"),
        (r#"{"provider": "github"}"#, "name"),
        (r#"{"provider": "github", "name": "a/b", "models": ["M"]}"#, "name"),
        (r#"{"provider": "github", "name": "a", "models": []}"#, "models"),
        (r#"{"provider": "github", "name": "a", "models": [5]}"#, "models"),
        (r#"{"provider": "github", "name": "a", "models": ["M"], "fetch": 1}"#, "fetch"),
        (r#"{"provider": "nobody", "name": "a", "models": ["M"]}"#, "nobody"),
        (r#"{"provider": {"name": "demo"}, "name": "a", "models": ["M"]}"#, "base_url"),
        (r#"{"provider": 5, "name": "a", "models": ["M"]}"#, ""),
    ] {
        let failure = HostTemplate::new(info, Arc::new(|_| {})).unwrap_err();
        assert!(["invalid", "not_found"].contains(&failure.code()), "{info}: {failure}");
        assert!(failure.message().contains(named), "{info}: {failure}");
    }
}
