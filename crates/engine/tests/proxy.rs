//! Requests of the host's own: how often they are sent, and which addresses they reach.
#![allow(clippy::disallowed_methods)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use highwater_core::{Error, ErrorKind};
use highwater_engine::transport::ProxyRetries;
use highwater_template::HttpRequest;
use scripted::{Scene, json, with};

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_after_what_may_pass_and_what_the_host_names() {
    // The statuses of the API in turn, then 200; 0 is no answer. The retries and further statuses; requests and outcome.
    for (statuses, retries, named, sent, outcome) in [
        (&[200][..], 3, None, 1, Some(200)),
        (&[404], 3, None, 1, Some(404)),
        (&[404], 3, Some(404), 2, Some(200)),
        (&[500], 0, None, 1, Some(500)),
        (&[500, 503], 2, None, 3, Some(200)),
        (&[500, 500, 500], 2, None, 3, Some(500)),
        (&[429], 1, None, 2, Some(200)),
        (&[0], 0, None, 1, None),
        (&[0, 500], 2, None, 3, Some(200)),
    ] {
        let mut turn = statuses.iter();
        let scene = Scene::new(move |_| match turn.next() {
            Some(0) => Err(Error::new(ErrorKind::Unavailable, "nobody there")),
            Some(status) => Ok(json(*status, "{}")),
            None => Ok(json(200, "{}")),
        })
        .await;
        let again = named.into_iter().fold(ProxyRetries::new(retries), ProxyRetries::status);
        let request = HttpRequest::new("POST", "/things").repeatable(false);
        let answer = scene.engine.proxy_with_retries("c", request, &again).await;
        assert_eq!(scene.seen().len(), sent, "{statuses:?}");
        assert_eq!(answer.as_ref().ok().map(|answer| answer.status), outcome, "{statuses:?} {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_the_retries() {
    let scene = Scene::new(|_| Ok(with(503, "{}", &[("retry-after", "86400")]))).await;
    let answer = scene.engine.proxy_with_retries("c", HttpRequest::get("/a"), &ProxyRetries::new(5)).await.unwrap();
    assert_eq!((answer.status, scene.seen().len()), (503, 1));
}

#[tokio::test(start_paused = true)]
async fn what_may_only_reach_global_addresses_says_so_to_the_transport_also_after_a_redirect() {
    let scene = Scene::new(|request| match request.url.ends_with("/moved") {
        true => Ok(json(200, "{}")),
        false => Ok(with(307, "", &[("location", "/moved")])),
    })
    .await;
    scene.engine.proxy("c", HttpRequest::get("/a").global_only(true)).await.unwrap();
    assert!(scene.seen().iter().all(|request| request.global_only) && scene.seen().len() == 2);
    scene.answer(|_| Ok(json(200, "{}")));
    scene.engine.proxy("c", HttpRequest::get("/a")).await.unwrap();
    assert!(!scene.seen()[0].global_only);
}

/// Every way to write an address that is not of the internet, over the real transport: no name, no redirect and no notation reaches it.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_global_are_refused_when_the_connection_is_made() {
    use highwater_engine::transport::UreqTransport;
    use highwater_template::http::Transport;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = UreqTransport::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[fe80::1]",
        "[fc00::1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
    ] {
        let request = HttpRequest::get(format!("http://{host}:{port}/")).global_only(true);
        let error = transport.send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{host}: {error}");
    }
    let seen = listener.accept().map(drop).unwrap_err();
    assert_eq!(seen.kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
}
