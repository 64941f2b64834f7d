//! What receivers answer behind the status: none of it is needed, so none of it does harm.
#![allow(clippy::disallowed_methods)]
#![cfg(feature = "http")]

#[path = "support/receiver.rs"]
mod receiver;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::{ErrorKind, MemoryStore, Store};
use highwater_engine::transport::UreqTransport;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{Engine, Secret};
use highwater_template::HttpRequest;
use highwater_template::http::Transport;
use receiver::{SECRET, World};

const MIB: usize = 1024 * 1024;

/// An answer: its head, the beginning of its body, then so many more bytes, and whether the connection stays open.
struct Answer {
    name: &'static str,
    head: &'static str,
    begin: &'static [u8],
    more: usize,
    stays: bool,
}

const fn answer(name: &'static str, head: &'static str, begin: &'static [u8]) -> Answer {
    Answer { name, head, begin, more: 0, stays: false }
}

/// A receiver at an address of its own; how many bytes of bodies it got rid of is counted.
fn receiver(answer: Answer, sent: &Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let sent = Arc::clone(sent);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 16 * 1024];
            let mut read = 0;
            // A delivery is small, and ends with the brace of its JSON.
            while !request[..read].ends_with(b"}") {
                read += match connection.read(&mut request[read..]) {
                    Ok(0) | Err(_) => return,
                    Ok(more) => more,
                };
            }
            let _ = connection.write_all(format!("HTTP/1.1 {}\r\n\r\n", answer.head).as_bytes());
            let _ = connection.write_all(answer.begin);
            let (block, mut left) = (vec![b'x'; 64 * 1024], answer.more);
            while left > 0 && connection.write_all(&block).is_ok() {
                left = left.saturating_sub(block.len());
                sent.fetch_add(block.len() as u64, Ordering::Relaxed);
            }
            while answer.stays && connection.read(&mut request).is_ok_and(|read| read > 0) {}
        }
    });
    url
}

/// Delivers one piece of news to each receiver; what came of it, by receiver.
async fn deliver(answers: Vec<Answer>, sent: &Arc<AtomicU64>) -> Vec<(&'static str, String)> {
    let world = World::new().await;
    world.outbox.remove("crm").await.unwrap();
    let engine = Engine::builder(Arc::<MemoryStore>::clone(&world.store) as Arc<dyn Store>).build().unwrap();
    let outbox = Outbox::new(&engine);
    let names: Vec<&'static str> = answers.iter().map(|answer| answer.name).collect();
    for answer in answers {
        let name = answer.name;
        outbox.add(Destination::new(name, receiver(answer, sent))).await.unwrap();
        outbox.set_secrets(name, vec![Secret::new(SECRET)]).unwrap();
    }
    world.run(&[r#"{"id":"a"}"#]).await;
    outbox.deliver_due().await.unwrap();
    let mut came = Vec::new();
    for name in names {
        let waiting = outbox.waiting(name, "", 10).await.unwrap();
        let outcome = match waiting.first() {
            None => "delivered".to_owned(),
            Some(row) => row.last_error.clone().unwrap_or_else(|| "waits".to_owned()),
        };
        let destinations = outbox.destinations().await.unwrap();
        let disabled = destinations.into_iter().any(|known| known.id == name && known.disabled.is_some());
        came.push((name, if disabled { "disabled".to_owned() } else { outcome }));
    }
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_an_answer_decides_whatever_follows_it() {
    let chunked = "200 OK\r\nTransfer-Encoding: chunked";
    let answers = vec![
        answer("empty-gzip", "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0", b""),
        answer("no-content-gzip", "204 No Content\r\nContent-Encoding: gzip", b""),
        answer("plain-as-gzip", "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2", b"ok"),
        answer("unknown-coding", "202 Accepted\r\nContent-Encoding: br, zstd\r\nContent-Length: 2", b"ok"),
        answer("cut", "200 OK\r\nContent-Length: 100", b"ok"),
        answer("bad-chunk", chunked, b"zz\r\nok"),
        Answer { stays: true, ..answer("stuck", "201 Created\r\nContent-Length: 100", b"ok") },
        Answer { stays: true, ..answer("stuck-failure", "500 Oh\r\nContent-Length: 100", b"ok") },
        Answer { more: usize::MAX, ..answer("endless-failure", "503 Busy\r\nContent-Type: text/plain", b"") },
        answer("cut-gone", "410 Gone\r\nContent-Length: 100", b"ok"),
    ];
    let came = deliver(answers, &Arc::default()).await;
    for (name, outcome) in came {
        let expected = match name {
            "stuck-failure" => "the receiver answered 500",
            "endless-failure" => "the receiver answered 503",
            "cut-gone" => "disabled",
            _ => "delivered",
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_receivers_with_long_answers_are_not_listened_to() {
    let sent = Arc::new(AtomicU64::new(0));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let long = |name| Answer { more: 70 * MIB, ..answer(name, "200 OK\r\nContent-Length: 73400320", b"") };
    for (name, outcome) in deliver(names.map(long).into(), &sent).await {
        assert_eq!(outcome, "delivered", "{name}");
    }
    // What they get rid of lies in the system's buffers.
    let mib = sent.load(Ordering::Relaxed) / MIB as u64;
    assert!(mib < 100, "{mib} MiB of {} were taken", 70 * names.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destination_names_lead_to_the_internet_alone() {
    let url = receiver(answer("here", "200 OK\r\nContent-Length: 0", b""), &Arc::default());
    let named = url.replace("127.0.0.1", "localhost");
    for (url, global, expected) in [(&named, false, Ok(200)), (&named, true, Err(ErrorKind::Invalid))] {
        let request = HttpRequest::new("POST", url).global_only(global).body("application/json", "{}");
        let came = UreqTransport::new().send(request).await;
        assert_eq!(came.map(|answer| answer.status).map_err(|error| error.kind()), expected, "{url}");
    }

    // Who may go where.
    let world = World::new().await;
    let with = async |url: &str, private: bool| {
        world.outbox.add(Destination::new("crm", url).allow_private(private)).await.unwrap();
        world.run(&[r#"{"id":"a"}"#]).await;
        world.run(&[r#"{"id":"a","changed":1}"#]).await;
        world.deliver().await;
        world.receiver.last().global_only
    };
    assert!(with("https://crm.example/hook", false).await);
    assert!(!with("https://crm.example/hook", true).await);
    assert!(!with("http://localhost:9/hook", false).await, "this machine is no secret to itself");
}
