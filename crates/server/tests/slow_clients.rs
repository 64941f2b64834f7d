//! Clients that are slow on purpose: each limit of time ends them, and nobody else waits for them.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::time::Duration;

use highwater_server::{Limits, Server};
use support::{Running, engine, parse, read_to_end, save, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_millis(200);

/// A server with limits, and a stream that is far larger than what sockets hold.
async fn start(limits: impl FnOnce(Limits) -> Limits) -> Running {
    let engine = engine().await;
    let text = "x".repeat(60_000);
    save(&engine, "Large", (0..200).map(|id| format!(r#"{{"id":{id},"text":"{text}"}}"#))).await;
    start_with(engine, |server| server.limits(limits(Limits::default()))).await
}

fn head(running: &Running, method: &str, path: &str, further: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection-Id: main\r\nProvider-Config-Key: crm\r\n{further}\r\n",
        running.address, running.key
    )
}

#[tokio::test]
async fn headers_that_do_not_end_are_not_waited_for() {
    let running = start(|limits| limits.head_time(SOON)).await;
    for begun in ["", "GET /records HTTP/1.1\r\n", "GET /records HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        // The server closes the connection, whatever it says before.
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{begun}");
    }
    // One byte at a time is not progress: the whole head has one limit.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /records HTTP/1.1\r\n").await.unwrap();
    loop {
        if stream.write_all(b"A: b\r\n").await.is_err() {
            break;
        }
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    assert_eq!(running.get("/records?model=Large&limit=1").await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_408() {
    let running = start(|limits| limits.body_time(SOON)).await;
    for (length, sent) in [("Content-Length: 100\r\n", "{"), ("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n")] {
        let head = head(&running, "POST", "/sync/trigger", &format!("Content-Type: application/json\r\n{length}"));
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(format!("{head}{sent}").as_bytes()).await.unwrap();
        let answer = parse(&read_to_end(&mut stream).await);
        assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"), "{length}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let running = start(|limits| limits.stall_time(SOON).connections(1)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(head(&running, "GET", "/records?model=Large&limit=10000", "").as_bytes()).await.unwrap();
    // Only one connection is allowed: the next answer comes when this one was given up.
    assert_eq!(running.get("/records?model=Large&limit=1").await.status, 200);
    let read = read_to_end(&mut stream).await;
    assert!(read.starts_with(b"HTTP/1.1 200") && read.len() < 12_000_000, "{}", read.len());
}

#[tokio::test]
async fn a_follower_that_does_not_read_is_disconnected() {
    let running = start(|limits| limits.stall_time(SOON).connections(1)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(head(&running, "GET", "/stream?model=Large", "").as_bytes()).await.unwrap();
    assert_eq!(running.get("/records?model=Large&limit=1").await.status, 200);
    let read = read_to_end(&mut stream).await;
    assert!(read.starts_with(b"HTTP/1.1 200") && read.len() < 12_000_000, "{}", read.len());
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_handshake_that_does_not_end_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout key -out certificate";
    let made = std::process::Command::new("openssl").current_dir(folder.path()).args(fixed.split(' ')).output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: there is no openssl");
        return;
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let tls = highwater_server::Tls::from_pem(&read("certificate"), &read("key")).unwrap();
    let limits = Limits::default().head_time(SOON).connections(1);
    let server = Server::builder(engine().await).limits(limits).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let until = async { drop(ended.await) };
        server.serve_tls(listener, &tls, until).await.unwrap();
    });
    // With one connection at a time, the second is accepted when the first was given up.
    for begun in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        read_to_end(&mut stream).await;
    }
    // A handshake that is open does not hold up the end.
    let open = TcpStream::connect(address).await.unwrap();
    end.send(()).unwrap();
    serving.await.unwrap();
    drop(open);
}
