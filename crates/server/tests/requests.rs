//! What every request passes, whatever its route: keys, Host and Origin, sizes and times.
#![allow(clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use highwater_server::{Limits, Scope, Server};
use support::{engine, parse, read_to_end, start, start_with};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_key_is_asked_for_and_a_revoked_one_is_refused_at_once() {
    let running = start().await;
    let made = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let bearer = format!("Bearer {}", made.secret.expose());
    let with = async |authorization: &str| {
        running.call_with("GET", "/providers", None, &[("Authorization", authorization)]).await
    };
    assert_eq!(with(&bearer).await.status, 200);
    assert_eq!(with(&bearer.replace("Bearer", "bearer")).await.status, 200);
    for (authorization, code) in [
        ("", "missing_auth_header"),
        ("Basic abc", "malformed_auth_header"),
        ("Bearer", "malformed_auth_header"),
        ("Bearer short", "invalid_secret_key_format"),
        (bearer[..bearer.len() - 1].to_owned().as_str(), "invalid_secret_key_format"),
        (flipped(&bearer).as_str(), "unknown_account"),
    ] {
        let answer = with(authorization).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, code), "{authorization}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let used = running.server.keys().list().await.unwrap();
    assert!(used[0].last_used_at.is_some() && used[0].name == "reader", "{used:?}");
    // Another process: another handle on the same store.
    let other = Server::builder(running.engine.clone()).build().unwrap();
    other.keys().revoke(&made.key.id).await.unwrap();
    let answer = with(&bearer).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "unknown_account"));
    assert!(other.keys().revoke(&made.key.id).await.is_err());
}

/// Another key of the same id.
fn flipped(bearer: &str) -> String {
    let (rest, last) = bearer.split_at(bearer.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn one_write_notes_the_use_of_a_key_and_no_document_holds_the_key() {
    let running = start().await;
    let made = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let bearer = format!("Bearer {}", made.secret.expose());
    let stored = async || running.engine.store().documents("", "", 1000).await.unwrap();
    running.call_with("GET", "/providers", None, &[("Authorization", &bearer)]).await;
    let first = stored().await;
    for _ in 0..5 {
        running.call_with("GET", "/providers", None, &[("Authorization", &bearer)]).await;
    }
    assert_eq!(first, stored().await);
    let secret = made.secret.expose().rsplit('_').next().unwrap();
    assert!(first.iter().all(|document| !document.value.as_str().contains(secret)));
    assert!(!format!("{made:?}").contains(secret));
}

#[tokio::test]
async fn what_is_no_route_is_an_error_in_json_too() {
    let running = start().await;
    for (method, path, status, code) in [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/health/more", 404, "not_found"),
        ("GET", "/..%2f..%2fetc/passwd", 404, "not_found"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("BREW", "/health", 405, "method_not_allowed"),
    ] {
        let answer = running.call(method, path, None).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(running.get("/health/").await.status, 200);
    assert_eq!(running.call("DELETE", "/health", None).await.header("allow"), Some("GET,HEAD"));
    let unknown = running.get("/health?verbose=1").await;
    assert_eq!(
        (unknown.code().as_str(), unknown.fault()),
        ("invalid_query_params", ("verbose".into(), "unknown".into()))
    );
}

#[tokio::test]
async fn a_name_that_resolves_here_and_a_page_from_elsewhere_are_refused() {
    let running =
        start_with(engine().await, |server| server.host("sync.example.com").origin("https://app.example.com")).await;
    let port = running.address.port();
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:3003", "sync.example.com.evil.example"] {
        let answer = running.call_with("GET", "/health", None, &[("Host", host)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "unknown_host"), "{host}");
    }
    for host in [format!("localhost:{port}"), "sync.example.com".to_owned(), format!("[::1]:{port}")] {
        assert_eq!(running.call_with("GET", "/health", None, &[("Host", &host)]).await.status, 200, "{host}");
    }
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        for method in ["GET", "OPTIONS"] {
            let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
            let answer = running.call_with(method, "/health", None, &headers).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"), "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let own = format!("http://{}", running.address);
    let answer = running.call_with("GET", "/health", None, &[("Origin", &own)]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    let listed =
        [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "GET"), ("Authorization", "")];
    let preflight = running.call_with("OPTIONS", "/health", None, &listed).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    let answer = running.call_with("GET", "/health", None, &listed[..1]).await;
    assert_eq!((answer.status, answer.header("vary")), (200, Some("origin")));
    let none = running.send(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!((none.status, none.code().as_str()), (400, "missing_host"));
    let two = "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(running.send(two.as_bytes()).await.status, 400);
}

#[test]
fn only_names_are_allowed_hosts_and_only_origins_allowed_origins() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = runtime.block_on(engine());
    for host in ["*", "*.example.com", "https://example.com", "example.com:80", "", "a b"] {
        assert!(Server::builder(engine.clone()).host(host).build().is_err(), "{host}");
    }
    for origin in ["*", "example.com", "https://*.example.com", "null", "ftp://example.com", "https://", ""] {
        assert!(Server::builder(engine.clone()).origin(origin).build().is_err(), "{origin}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_a_wrong_scope_too() {
    let running = start().await;
    let long = running.get(&format!("/health?{}", "a".repeat(20_000))).await;
    assert_eq!((long.status, long.code().as_str()), (414, "uri_too_long"));
    let large = running.call_with("GET", "/health", None, &[("X-Large", &"a".repeat(40_000))]).await;
    assert_eq!((large.status, large.code().as_str()), (431, "headers_too_large"));
    let huge = running.call_with("GET", "/health", None, &[("X-Huge", &"a".repeat(400_000))]).await;
    assert_eq!(huge.status, 431);
}

#[tokio::test]
async fn a_key_that_asks_too_often_waits_and_others_do_not() {
    let limits = Limits::default().requests_per_minute(3);
    let running = start_with(engine().await, |server| server.limits(limits)).await;
    let other = running.server.keys().create("other", Scope::Read).await.unwrap();
    let mut refused = None;
    // The bucket fills while we ask: on a slow machine more than three requests are answered.
    for _ in 0..1000 {
        let answer = running.get("/providers").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a request is refused");
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_request"));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.header("x-ratelimit-limit"), Some("3"));
    let bearer = format!("Bearer {}", other.secret.expose());
    assert_eq!(running.call_with("GET", "/providers", None, &[("Authorization", &bearer)]).await.status, 200);
}

#[tokio::test]
async fn guesses_of_keys_are_counted_together_and_keep_nobody_else_out() {
    let limits = Limits::default().requests_per_minute(3);
    let running = start_with(engine().await, |server| server.limits(limits)).await;
    let guess = |n: u32| format!("Bearer hwk_{n:012x}_{}", "0".repeat(48));
    let mut answers = Vec::new();
    // The bucket fills while we guess.
    for n in 0..1000 {
        let answer = running.call_with("GET", "/providers", None, &[("Authorization", &guess(n))]).await;
        answers.push((answer.status, answer.code()));
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            break;
        }
    }
    assert_eq!(answers[..3], [(); 3].map(|()| (401, "unknown_account".to_owned())));
    assert_eq!(answers.last().unwrap(), &(429, "too_many_request".to_owned()));
    assert_eq!(running.get("/providers").await.status, 200);
    let made = running.server.keys().create("new", Scope::Read).await.unwrap();
    let bearer = format!("Bearer {}", made.secret.expose());
    assert_eq!(running.call_with("GET", "/providers", None, &[("Authorization", &bearer)]).await.status, 200);
}

#[tokio::test]
async fn whoever_watches_the_server_needs_no_key_and_learns_nothing_else() {
    let running = start().await;
    let wrong = format!("Bearer hwk_000000000000_{}", "0".repeat(48));
    for authorization in ["", "Bearer nothing", "nonsense", &wrong] {
        let answer = running.call_with("GET", "/health", None, &[("Authorization", authorization)]).await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"status":"ok"}"#), "{authorization}");
    }
    let foreign = running.call_with("GET", "/health", None, &[("Authorization", ""), ("Host", "evil.example")]).await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test]
async fn a_client_that_dawdles_is_disconnected_and_others_are_served() {
    let limits = Limits::default().head_time(Duration::from_millis(200));
    let running = start_with(engine().await, |server| server.limits(limits)).await;
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: loc").await.unwrap();
    assert_eq!(running.get("/health").await.status, 200);
    // The server closes the connection without our doing anything.
    read_to_end(&mut slow).await;
}

#[tokio::test]
async fn the_server_ends_when_it_is_asked_to_and_answers_what_was_begun() {
    let engine = engine().await;
    let server = Server::builder(engine).temporary_key(Scope::Read).build().unwrap();
    let key = server.temporary_key().unwrap().expose().to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        server.serve(listener, async { stopped.await.unwrap_or_default() }).await.unwrap();
    });
    let mut open = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
    open.write_all(request.as_bytes()).await.unwrap();
    stop.send(()).unwrap();
    // A connection that is kept alive does not hold it up.
    let answer = read_to_end(&mut open).await;
    assert!(answer.is_empty() || parse(&answer).status == 200);
    task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
