//! Commands as a window invokes them: permissions, subscriptions, bad input. No window system is needed, but Tauri's libraries are.

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use highwater_testkit::demo::{Crm, Records};
use serde_json::{Value, json};
use support::{Host, invoke, next};
use tauri::RunEvent;
use tauri::async_runtime::block_on;
use tauri_plugin_highwater::highwater::template::Template;
use tauri_plugin_highwater::highwater::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
use tauri_plugin_highwater::{Builder, HighwaterExt};

const EVERYTHING: [&str; 5] = [
    "highwater:default",
    "highwater:allow-connect",
    "highwater:allow-trigger",
    "highwater:allow-proxy",
    "highwater:allow-admin",
];

fn in_memory() -> Builder {
    Builder::new().store(Arc::new(MemoryStore::new().unwrap()))
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn write(host: &Host, id: u32, text: &str) {
    let store = Arc::clone(host.app.highwater().unwrap().store());
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id": {id}, "text": "{text}", "exact": 1.10}}"#));
    block_on(store.commit(batch)).unwrap();
}

fn request() -> Value {
    json!({"connection": "demo", "model": "Note"})
}

#[test]
fn a_window_does_what_its_capability_names_and_nothing_else() {
    let changing = [
        ("connect_account", json!({"account": {"id": "a", "provider": "crm"}}), "highwater:allow-connect"),
        ("disconnect_account", json!({"connection": "a", "records": "keep"}), "highwater:allow-connect"),
        ("sign_in_account", json!({"connection": "a", "credentials": {"token": "t"}}), "highwater:allow-connect"),
        ("enable_sync", json!({"connection": "a", "sync": "crm/records"}), "highwater:allow-trigger"),
        ("trigger_sync", json!({"connection": "a", "sync": "crm/records"}), "highwater:allow-trigger"),
        ("send_request", json!({"connection": "a", "request": {"method": "GET", "url": "/"}}), "highwater:allow-proxy"),
        ("run_action", json!({"connection": "a", "action": "crm/x", "input": {}}), "highwater:allow-proxy"),
        ("clear_sync", json!({"connection": "a", "sync": "crm/records"}), "highwater:allow-admin"),
        ("approve_run", json!({"run": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}), "highwater:allow-admin"),
    ];
    let reader = Host::new(in_memory(), &["highwater:default"]);
    let (main, other) = (reader.window("main"), reader.window("other"));
    assert_eq!(invoke(&main, "list_syncs", json!({})), Ok(json!([])));
    let refused = invoke(&other, "list_syncs", json!({})).unwrap_err();
    assert!(refused.as_str().unwrap().contains("not allowed"), "{refused}");
    for (command, arguments, _) in &changing {
        let refused = invoke(&main, command, arguments.clone()).unwrap_err();
        assert!(refused.as_str().is_some_and(|text| text.contains("not allowed")), "{command}: {refused}");
    }
    for set in EVERYTHING {
        let host = Host::new(in_memory(), &[set]);
        let window = host.window("main");
        for (command, arguments, needs) in &changing {
            let outcome = invoke(&window, command, arguments.clone());
            let refused =
                outcome.as_ref().err().and_then(Value::as_str).is_some_and(|text| text.contains("not allowed"));
            assert_eq!(!refused, *needs == set, "{command} with {set}: {outcome:?}");
        }
    }
}

#[test]
fn a_subscription_resumes_by_cursor_without_gap_or_repetition() {
    let host = Host::new(in_memory(), &["highwater:default"]);
    let window = host.window("main");
    let (channel, messages) = host.channel(7);
    let id = invoke(&window, "subscribe", json!({"request": request(), "channel": channel})).unwrap();
    let first = next(&messages);
    assert_eq!((first["page"]["changes"].as_array().unwrap().len(), &first["page"]["caught_up"]), (0, &json!(true)));
    invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();

    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    for number in 1..=3 {
        write(&host, number, "one");
        let page = &next(&messages)["page"];
        seen.extend(page["changes"].as_array().unwrap().iter().map(|change| change["id"].clone()));
        cursor = page["next_cursor"].clone();
        invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
    }
    assert_eq!(invoke(&window, "unsubscribe", json!({"subscription": id})), Ok(json!(true)));
    assert_eq!(invoke(&window, "unsubscribe", json!({"subscription": id})), Ok(json!(false)));

    // Meanwhile.
    write(&host, 4, "two");
    write(&host, 2, "again");
    let (channel, messages) = host.channel(8);
    let resumed = json!({"connection": "demo", "model": "Note", "since": cursor});
    invoke(&window, "subscribe", json!({"request": resumed, "channel": channel})).unwrap();
    let page = &next(&messages)["page"];
    let ids: Vec<&Value> = page["changes"].as_array().unwrap().iter().map(|change| &change["id"]).collect();
    assert_eq!((seen, ids), (vec![json!("1"), json!("2"), json!("3")], vec![&json!("4"), &json!("2")]));
}

#[test]
fn a_slow_window_is_sent_what_changed_last_and_no_more() {
    let host = Host::new(in_memory(), &["highwater:default"]);
    let window = host.window("main");
    let (channel, messages) = host.channel(7);
    let id = invoke(&window, "subscribe", json!({"request": request(), "channel": channel})).unwrap();
    next(&messages);
    write(&host, 1, "first");
    next(&messages);
    // Two are unacknowledged: nothing more is sent, whatever changes.
    for number in 0..500 {
        write(&host, 1, &format!("change {number}"));
    }
    assert_eq!(messages.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
    invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
    let changes = next(&messages)["page"]["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 1);
    assert_eq!(changes[0]["payload"]["text"], "change 499");
    // Acknowledging more than was sent gives no more credit.
    for _ in 0..100 {
        invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
    }
    let other = invoke(&window, "acknowledge", json!({"subscription": 4_000_000_000_u32}));
    assert_eq!(other, Ok(Value::Null));
}

#[test]
fn payloads_arrive_as_they_are_stored() {
    let host = Host::new(in_memory(), &["highwater:default"]);
    let window = host.window("main");
    write(&host, 1, "one");
    let page = invoke(&window, "read_page", json!({"request": request()})).unwrap();
    // serde_json keeps the digits of a float that it prints the same way.
    assert_eq!(page["changes"][0]["payload"], json!({"id": 1, "text": "one", "exact": 1.10}));
    let store = Arc::clone(host.app.highwater().unwrap().store());
    let own = block_on(store.records(&notes()).page()).unwrap();
    assert_eq!(own.changes[0].record.payload.as_ref().unwrap().as_str(), r#"{"id": 1, "text": "one", "exact": 1.10}"#);
    assert_eq!(page["next_cursor"], json!(own.next_cursor));
}

#[test]
fn bad_input_is_a_typed_error() {
    let host = Host::new(in_memory(), &EVERYTHING);
    let window = host.window("main");
    let code = |command: &str, arguments: Value| match invoke(&window, command, arguments) {
        Err(Value::Object(error)) => {
            assert!(error["message"].is_string() && error["advice"].is_string(), "{command}: {error:?}");
            error["code"].as_str().unwrap().to_owned()
        }
        // Tauri refuses what is not of the argument's type; the guest JavaScript makes it `invalid`.
        Err(Value::String(text)) => format!("text: {text}"),
        other => panic!("{command}: {other:?}"),
    };
    let page = |request: Value| code("read_page", json!({"request": request}));
    assert_eq!(page(json!({"connection": "demo", "model": "Note", "since": "no cursor"})), "cursor_malformed");
    assert_eq!(page(json!({"connection": "", "model": "Note"})), "invalid");
    assert_eq!(page(json!({"connection": "demo", "model": "n".repeat(10_000)})), "invalid");
    assert_eq!(page(json!({"connection": "demo", "model": "Note", "modified_after": "yesterday"})), "invalid");
    assert!(page(json!({"connection": 7, "model": "Note"})).starts_with("text: invalid args `request`"));
    assert!(page(json!({"connection": "demo", "model": "Note", "matching": {}})).contains("unknown field"));
    assert!(page(json!(null)).starts_with("text: "));
    assert!(code("read_page", json!({})).starts_with("text: "));
    assert!(code("subscribe", json!({"request": request(), "channel": 7})).starts_with("text: "));
    assert_eq!(code("read_run", json!({"run": "no run"})), "invalid");
    assert_eq!(code("enable_sync", json!({"connection": "nobody", "sync": "crm/records"})), "not_found");
    assert_eq!(code("list_endpoints", json!({"integration": "none"})), "not_found");
    assert_eq!(code("connect_account", json!({"account": {"id": "a"}})), "invalid");
    assert_eq!(code("sign_in_in_browser", json!({"connection": "nobody"})), "not_found");
    let both = json!({"connection": "a", "sync": "crm/records", "schedule": {"every_ms": 1000, "cron": "* * * * *"}});
    assert_eq!(code("enable_sync", both), "invalid");
    let method = json!({"connection": "a", "request": {"method": "CONNECT", "url": "/"}});
    assert_eq!(code("send_request", method), "invalid");
    let subscribed = |number: u32| {
        let (channel, _messages) = host.channel(number);
        invoke(&window, "subscribe", json!({"request": request(), "channel": channel}))
    };
    for number in 0..64 {
        subscribed(100 + number).unwrap();
    }
    assert_eq!(subscribed(200).unwrap_err()["code"], "invalid");
}

#[test]
fn a_store_that_cannot_be_opened_is_an_error_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "not a folder").unwrap();
    let not_a_store = folder.path().join("other.db");
    std::fs::write(&not_a_store, "x".repeat(100_000)).unwrap();
    for (path, kinds) in
        [(file.join("below"), &["io", "permission_denied"][..]), (not_a_store, &["incompatible", "corrupt"])]
    {
        let host = Host::new(Builder::new().store_path(&path), &EVERYTHING);
        let error = invoke(&host.window("main"), "list_syncs", json!({})).unwrap_err();
        assert!(kinds.iter().any(|kind| error["code"] == *kind), "{path:?}: {error}");
        assert_eq!(host.app.highwater().unwrap_err().kind().as_str(), error["code"]);
    }
}

#[test]
fn a_closed_store_says_so() {
    let host = Host::new(in_memory(), &EVERYTHING);
    let window = host.window("main");
    write(&host, 1, "one");
    block_on(host.app.highwater().unwrap().close()).unwrap();
    block_on(host.app.highwater().unwrap().close()).unwrap();
    for (command, arguments) in [
        ("read_page", json!({"request": request()})),
        ("list_syncs", json!({})),
        ("connect_account", json!({"account": {"id": "a", "provider": "crm"}})),
        ("note_online", json!({})),
    ] {
        let error = invoke(&window, command, arguments).unwrap_err();
        assert!(["closed", "not_found"].iter().any(|code| error["code"] == *code), "{command}: {error}");
    }
}

/// A store in a file, with the demo API.
fn demo(path: PathBuf) -> (Crm, Host) {
    let (crm, url) = block_on(Crm::start()).unwrap();
    let plugin = Builder::new().templates([Arc::new(Records::new(&url)) as Arc<dyn Template>]).store_path(path);
    (crm, Host::new(plugin, &EVERYTHING))
}

#[test]
fn an_account_is_connected_synced_and_disconnected_from_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let (crm, host) = demo(folder.path().join("app.db"));
    let window = host.window("main");
    let (channel, messages) = host.channel(7);
    let request = json!({"connection": "ann", "model": "Contact", "limit": 1000});
    let id = invoke(&window, "subscribe", json!({"request": request, "channel": channel})).unwrap();
    next(&messages);
    invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
    invoke(&window, "connect_account", json!({"account": {"id": "ann", "provider": "crm", "display_name": "Ann"}}))
        .unwrap();
    let schedule = json!({"every_ms": 200});
    invoke(&window, "enable_sync", json!({"connection": "ann", "sync": "crm/records", "schedule": schedule})).unwrap();
    let mut contacts = 0;
    while contacts < crm.count("Contact") {
        contacts += next(&messages)["page"]["changes"].as_array().unwrap().len() as u64;
        invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
    }
    crm.add_contact("Zoe Zimmermann");
    let change = loop {
        let page = next(&messages);
        invoke(&window, "acknowledge", json!({"subscription": id})).unwrap();
        if let Some(change) = page["page"]["changes"].as_array().unwrap().last() {
            break change.clone();
        }
    };
    assert_eq!((&change["net"], &change["payload"]["name"]), (&json!("added"), &json!("Zoe Zimmermann")));
    let connections = invoke(&window, "list_connections", json!({"request": {}})).unwrap();
    assert_eq!(connections["connections"][0]["settings"]["display_name"], "Ann");
    let runs = invoke(&window, "list_runs", json!({"request": {"states": ["success"], "limit": 1}})).unwrap();
    let run = invoke(&window, "read_run", json!({"run": runs["runs"][0]["id"]})).unwrap();
    assert!(run["lines"].is_array(), "{run}");
    invoke(&window, "disable_sync", json!({"connection": "ann", "sync": "crm/records"})).unwrap();
    invoke(&window, "disconnect_account", json!({"connection": "ann", "records": "clear"})).unwrap();
    let error = next(&messages);
    assert_eq!(error["failure"]["code"], "cursor_expired", "{error}");
}

#[test]
fn no_command_returns_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (_crm, host) = demo(folder.path().join("app.db"));
    let window = host.window("main");
    let secret = "s3cret-of-the-account";
    let account = json!({"account": {"id": "ann", "provider": "crm"}, "credentials": {"token": secret}});
    invoke(&window, "connect_account", account).unwrap();
    invoke(&window, "enable_sync", json!({"connection": "ann", "sync": "crm/records"})).unwrap();
    for (command, arguments) in [
        ("list_connections", json!({"request": {}})),
        ("list_syncs", json!({})),
        ("list_templates", json!({})),
        ("list_integrations", json!({})),
        ("list_runs", json!({"request": {}})),
        ("list_log_lines", json!({"request": {}})),
        ("list_streams", json!({})),
        ("send_request", json!({"connection": "ann", "request": {"method": "GET", "url": "/Contact"}})),
    ] {
        let answer = format!("{:?}", invoke(&window, command, arguments));
        assert!(!answer.contains(secret), "{command}");
    }
    block_on(host.app.highwater().unwrap().close()).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file:?}");
    }
}

#[test]
fn the_store_is_closed_when_the_application_exits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (_crm, host) = demo(path);
    let window = host.window("main");
    invoke(&window, "connect_account", json!({"account": {"id": "ann", "provider": "crm"}})).unwrap();
    invoke(&window, "enable_sync", json!({"connection": "ann", "sync": "crm/records", "schedule": {"every_ms": 100}}))
        .unwrap();
    let highwater = host.app.highwater().unwrap();
    // The mock runtime ends with its last window, if that closes while it runs.
    host.app.run(move |_, event| {
        if matches!(event, RunEvent::Ready) {
            let window = window.clone();
            std::thread::spawn(move || window.close());
        }
    });
    assert_eq!(block_on(highwater.store().streams()).unwrap_err().kind().as_str(), "closed");
    assert!(!folder.path().join("app.db-wal").exists());
}
