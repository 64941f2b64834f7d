//! Handles at their edges: wrong options and arguments, closed handles, two opens of a store, callbacks.
#![allow(clippy::disallowed_methods)]

use std::sync::mpsc;
use std::time::Duration;

use highwater_bindings::{Engine, Failure, OPERATIONS, verify_webhook};
use proptest::prelude::*;

fn memory() -> Engine {
    Engine::open(r#"{"store": "memory"}"#, Vec::new()).unwrap()
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> &'static str {
    outcome.unwrap_err().code()
}

#[test]
fn options_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no store of ours, but long enough to be looked at. ".repeat(100)).unwrap();
    let at = |path: &std::path::Path| serde_json::json!({ "path": path }).to_string();
    for (options, expected, named) in [
        ("", "invalid", "path"),
        ("{}", "invalid", "path"),
        (r#"{"path": 5}"#, "invalid", "path"),
        (r#"{"path": ""}"#, "invalid", "path"),
        (r#"{"path": "a\u0000b"}"#, "invalid", "path"),
        (r#"{"path": "x", "store": "memory"}"#, "invalid", "path"),
        (r#"{"path": "x", "store": "oracle"}"#, "invalid", "store"),
        (r#"{"path": "x", "stores": "sqlite"}"#, "invalid", "stores"),
        (r#"{"store": "memory", "vault": {}}"#, "invalid", "vault"),
        (r#"{"store": "memory", "vault": {"keyfile": "x"}}"#, "invalid", "vault.keyfile"),
        (r#"{"store": "memory", "providers": [{"name": "x"}]}"#, "invalid", "base_url"),
        (r#"{"store": "memory", "max_runs": -1}"#, "invalid", "max_runs"),
        ("[]", "invalid", "object"),
        ("{", "invalid", "JSON"),
        (&at(&folder.path().join("no/such/folder/x.db")), "not_found", ""),
        (&at(&text), "incompatible", ""),
    ] {
        let failure = Engine::open(options, Vec::new()).unwrap_err();
        assert!(failure.message().contains(named), "{options}: {failure}");
        // Which kind a missing folder is depends on the store.
        assert!(failure.code() == expected || named.is_empty(), "{options}: {} {failure}", failure.code());
        assert_ne!(failure.code(), "internal", "{options}: {failure}");
    }
}

#[test]
fn every_operation_refuses_what_it_does_not_take() {
    let engine = memory();
    for operation in OPERATIONS {
        for arguments in [r#"{"zz": 1}"#, "[1]", "5", "nul", "{\"connection\": 5, \"zz\": 1}", "{\"zz\": {}}"] {
            let failure = engine.call(operation.name, arguments).unwrap_err();
            assert_eq!(failure.code(), "invalid", "{}({arguments}): {failure}", operation.name);
            assert!(failure.message().contains(operation.name), "{failure}");
        }
        assert!(operation.about.ends_with('.'), "{}", operation.name);
    }
    assert_eq!(code(engine.call("drop_everything", "{}")), "invalid");
    assert_eq!(code(engine.call("records", r#"{"connection": "c", "model": "M", "since": "x"}"#)), "cursor_malformed");
    assert_eq!(code(engine.call("connection", r#"{"connection": "nobody"}"#)), "not_found");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Members that operations know, with any values.
fn any_arguments() -> impl Strategy<Value = String> {
    const NAMES: [&str; 24] = [
        "connection",
        "model",
        "variant",
        "since",
        "limit",
        "ids",
        "sync",
        "options",
        "provider",
        "integration",
        "records",
        "credentials",
        "config",
        "token",
        "consumer",
        "to",
        "id",
        "input",
        "action",
        "request",
        "headers",
        "body",
        "metadata",
        "matching",
    ];
    let member = (prop::sample::select(NAMES.to_vec()), any_json());
    prop::collection::vec(member, 0..6).prop_map(|members| {
        let map: serde_json::Map<_, _> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        serde_json::Value::Object(map).to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_arguments_make_an_operation_panic(arguments in any_arguments()) {
        let engine = memory();
        for operation in OPERATIONS {
            if let Err(failure) = engine.call(operation.name, &arguments) {
                prop_assert_ne!(failure.code(), "internal", "{}({}): {}", operation.name, &arguments, failure);
            }
        }
        engine.close().unwrap();
    }
}

#[test]
fn a_closed_handle_says_so_and_closes_again() {
    let engine = memory();
    let following = engine.follow(r#"{"connection": "c", "model": "M"}"#).unwrap();
    let clone = engine.clone();
    engine.call("start", "").unwrap();
    engine.close().unwrap();
    engine.close().unwrap();
    clone.close().unwrap();
    assert!(engine.is_closed() && following.is_closed());
    for operation in OPERATIONS {
        assert_eq!(code(clone.call(operation.name, "{}")), "closed", "{}", operation.name);
    }
    assert_eq!(code(engine.page(r#"{"connection": "c", "model": "M"}"#)), "closed");
    assert_eq!(code(engine.follow(r#"{"connection": "c", "model": "M"}"#)), "closed");
    assert_eq!(code(following.next(None)), "closed");
    let (sender, outcome) = mpsc::channel();
    engine.start_call("streams", "", move |outcome| sender.send(outcome).unwrap());
    assert_eq!(code(outcome.recv().unwrap()), "closed");
    following.close();
}

#[test]
fn whoever_waits_is_woken_by_the_end() {
    let engine = memory();
    for closes_engine in [false, true] {
        let following = engine.follow(r#"{"connection": "c", "model": "M"}"#).unwrap();
        assert_eq!(following.next(Some(Duration::ZERO)).unwrap(), None);
        let waiting = following.clone();
        let waiter = std::thread::spawn(move || waiting.next(None));
        let (sender, outcome) = mpsc::channel();
        following.start_next(None, move |outcome| sender.send(outcome).unwrap());
        match closes_engine {
            true => engine.close().unwrap(),
            false => following.close(),
        }
        assert_eq!(code(waiter.join().unwrap()), "closed");
        let failure = outcome.recv().unwrap().unwrap_err();
        assert!(["closed", "cancelled"].contains(&failure.code()), "{failure}");
    }
}

#[test]
fn a_call_that_is_cancelled_reports_it_once() {
    let engine = memory();
    let following = engine.follow(r#"{"connection": "c", "model": "M"}"#).unwrap();
    let (sender, outcome) = mpsc::channel();
    let call = following.start_next(None, move |outcome| sender.send(outcome).unwrap());
    call.cancel();
    call.cancel();
    assert_eq!(code(outcome.recv().unwrap()), "cancelled");
    assert!(outcome.recv().is_err());
}

#[test]
fn a_callback_cannot_block_the_thread_that_it_is_called_on() {
    let engine = memory();
    let (sender, outcome) = mpsc::channel();
    let within = engine.clone();
    engine.start_call("streams", "", move |_| sender.send((within.call("streams", ""), within.close())).unwrap());
    let (call, close) = outcome.recv().unwrap();
    assert_eq!((code(call), code(close)), ("invalid", "invalid"));
    engine.close().unwrap();
}

#[test]
fn a_handle_that_is_dropped_open_leaves_the_store_usable() {
    let folder = tempfile::tempdir().unwrap();
    let options = serde_json::json!({ "path": folder.path().join("a.db") }).to_string();
    for _ in 0..3 {
        let engine = Engine::open(&options, Vec::new()).unwrap();
        engine.call("connect", r#"{"connection": "c", "provider": "github"}"#).unwrap();
        engine.call("start", "").unwrap();
    }
    let engine = Engine::open(&options, Vec::new()).unwrap();
    assert!(engine.call("connection", r#"{"connection": "c"}"#).unwrap().contains("github"));
    engine.close().unwrap();
}

#[cfg(feature = "sled")]
#[test]
fn a_store_for_one_process_opens_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = serde_json::json!({ "path": folder.path().join("sled"), "store": "sled" }).to_string();
    let engine = Engine::open(&options, Vec::new()).unwrap();
    assert!(["locked", "busy"].contains(&code(Engine::open(&options, Vec::new()))));
    engine.close().unwrap();
    Engine::open(&options, Vec::new()).unwrap().close().unwrap();
}

#[test]
fn a_vault_keeps_credentials_and_errors_never_show_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = serde_json::json!({
        "path": folder.path().join("a.db"), "vault": { "key_file": folder.path().join("a.key") },
        "providers": [{ "name": "acme", "base_url": "https://acme.example", "auth": [{ "kind": "bearer" }] }],
    });
    let engine = Engine::open(&options.to_string(), Vec::new()).unwrap();
    let connect = r#"{"connection": "c", "provider": "acme", "credentials": {"token": "s3cret"}}"#;
    assert!(engine.call("connect", connect).unwrap().contains(r#""state":"ok""#));
    engine.close().unwrap();
    let engine = Engine::open(&options.to_string(), Vec::new()).unwrap();
    assert!(engine.call("connection", r#"{"connection": "c"}"#).unwrap().contains(r#""state":"ok""#));
    for wrong in [
        r#"{"connection": "c", "credentials": "s3cret"}"#,
        r#"{"connection": "c", "credentials": {"token": {"s3cret": "s3cret"}}}"#,
        r#"{"connection": "c", "credentials": {"token": "s3cret", "username": "u"}}"#,
        r#"{"connection": "c", "credentials": {"oauth2": {"access_token": "s3cret"}}}"#,
    ] {
        let failure = engine.call("sign_in", wrong).unwrap_err();
        assert!(failure.code() == "invalid" && !failure.to_json().contains("s3cret"), "{wrong}: {failure}");
    }
    engine.close().unwrap();
}

#[test]
fn webhooks_are_verified_without_an_engine() {
    let arguments = r#"{"scheme": "github", "secrets": ["It's a Secret to Everybody"], "headers": {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "X-GitHub-Delivery": "d1"}}"#;
    assert!(verify_webhook(arguments, b"Hello, World!").unwrap().contains(r#""id":"d1""#));
    assert_eq!(code(verify_webhook(arguments, b"Hello, World?")), "unauthorized");
    assert_eq!(code(verify_webhook(r#"{"scheme": "md5", "headers": {}, "secrets": []}"#, b"")), "invalid");
}
