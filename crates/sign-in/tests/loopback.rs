//! The loopback server, by real connections: what a browser, other pages and other programs send to it.
#![allow(clippy::disallowed_methods)]

use std::net::TcpListener as Taken;

use highwater_core::{ErrorKind, Result, SystemEnvironment};
use highwater_engine::credentials::OAuthTokens;
use highwater_sign_in::{ForwardedRedirect, LoopbackHost, LoopbackRedirect, Redirect, RedirectStrategy, sign_in};
use highwater_template::HttpResponse;
use highwater_template::auth::{DesktopSignIn, OAuth2};
use highwater_testkit::{FakeApi, FakeRequest, FakeTransport, json};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Sends bytes and reads until the server closes.
async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have answered and gone before everything was sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: &str, target: &str) -> String {
    exchange(address, format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await
}

fn address_of(redirect: &LoopbackRedirect) -> String {
    redirect.redirect_uri().trim_start_matches("http://").split('/').next().unwrap().to_owned()
}

/// Listens, and tells what came of it.
async fn listening(application: &str) -> (String, tokio::task::JoinHandle<Result<Redirect>>) {
    let mut redirect = LoopbackRedirect::builder(application).bind().await.unwrap();
    let address = address_of(&redirect);
    (address, tokio::spawn(async move { redirect.receive("the-state").await }))
}

/// A token endpoint that takes one code.
struct Tokens;

impl FakeApi for Tokens {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let form = request.form();
        let good = form.get("code").is_some_and(|code| code == "a code/ü")
            && form.get("redirect_uri").is_some_and(|uri| uri.starts_with("http://127.0.0.1:"))
            && form.get("code_verifier").is_some_and(|verifier| verifier.len() >= 43);
        match good {
            true => json(200, r#"{"access_token":"t","token_type":"bearer"}"#),
            false => json(400, r#"{"error":"invalid_grant"}"#),
        }
    }
}

#[tokio::test]
async fn a_sign_in_from_the_address_to_the_tokens() {
    let mut redirect = LoopbackRedirect::builder("Notes").bind().await.unwrap();
    let address = address_of(&redirect);
    let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::PkcePublic);
    let (shown, browser) = oneshot::channel::<String>();
    let show = |url: &str| {
        shown.send(url.to_owned()).unwrap();
        Ok(())
    };
    let transport = FakeTransport::new(Tokens);
    let signing_in = sign_in(&oauth, OAuthTokens::new("id"), &[], &mut redirect, show, &transport, &SystemEnvironment);
    let browsing = async {
        let url = url::Url::parse(&browser.await.unwrap()).unwrap();
        let parameter = |name: &str| url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
        assert_eq!(parameter("redirect_uri"), format!("http://{address}/callback"));
        get(&address, &format!("/callback?code=a+code%2F%C3%BC&state={}", parameter("state"))).await
    };
    let (tokens, page) = tokio::join!(signing_in, browsing);
    assert_eq!(tokens.unwrap().access_token.unwrap().expose(), "t");
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("close this window and go back to Notes"), "{page}");
    assert!(TcpStream::connect(&address).await.is_err(), "one request, and nobody listens any more");
    assert_eq!(redirect.receive("another").await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn what_others_send_changes_nothing() {
    let (address, received) = listening("Notes").await;
    // Browsers open connections in advance; others hold on to all they can get.
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let good = "/callback?code=c&state=the-state";
    for (target, status) in [
        ("/favicon.ico", "404"),
        ("/callback/?code=c&state=the-state", "404"),
        ("/callback", "400"),
        ("/callback?code=c", "400"),
        ("/callback?code=c&state=", "400"),
        ("/callback?code=c&state=the-stat", "400"),
        ("/callback?code=c&state=the-statf", "400"),
        ("/callback?code=&state=the-state", "400"),
        ("/callback?code=c&code=d&state=the-state", "400"),
        ("/callback?code=c&state=the-state&state=x", "400"),
        ("/callback?error=access_denied&state=guess", "400"),
    ] {
        let answer = get(&address, target).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
    }
    let host = |host: &str| format!("GET {good} HTTP/1.1\r\n{host}\r\n\r\n");
    for head in [
        host("Host: evil.example"),
        host("Host: localhost:1"),
        host("X: y"),
        host(&format!("Host: {address}\r\nHost: a")),
    ] {
        assert!(exchange(&address, head.as_bytes()).await.starts_with("HTTP/1.1 404 "), "{head}");
    }
    let post = format!("POST {good} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    assert!(exchange(&address, post.as_bytes()).await.starts_with("HTTP/1.1 405 "));
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"\xff\xfe\r\n\r\n", &[b'a'; 40_000]]
    {
        assert_eq!(exchange(&address, garbage).await, "");
    }
    assert!(!received.is_finished());
    get(&address, good).await;
    assert_eq!(received.await.unwrap().unwrap().code.expose(), "c");
    drop(idle);
}

#[tokio::test]
async fn a_refusal_is_told_without_the_providers_markup() {
    let refusals = [
        ("access_denied", ErrorKind::Unauthorized),
        ("temporarily_unavailable", ErrorKind::Remote),
        ("invalid_scope", ErrorKind::Invalid),
        ("%1b%5b2J%0a", ErrorKind::Unauthorized),
    ];
    for (code, kind) in refusals {
        let (address, received) = listening("<b>Notes</b>").await;
        let target =
            format!("/callback?error={code}&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state=the-state");
        let page = get(&address, &target).await;
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("refused"), "{page}");
        assert!(!page.contains("script") && !page.contains("<b>") && page.contains("&lt;b&gt;Notes"), "{page}");
        let error = received.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.context("description").is_some_and(|words| words.contains("alert")));
        assert!(!error.to_string().contains(['\u{1b}', '\n']), "{error}");
    }
}

#[tokio::test]
async fn ports_are_tried_in_turn_and_a_taken_one_is_named() {
    let taken = Taken::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = LoopbackRedirect::builder("Notes").ports([port]).bind().await.unwrap_err();
    assert_eq!((error.kind(), error.context("ports")), (ErrorKind::Busy, Some(&*port.to_string())), "{error}");
    let free = Taken::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redirect = LoopbackRedirect::builder("Notes").ports([port, free]).path("/").bind().await.unwrap();
    assert_eq!(redirect.redirect_uri(), format!("http://127.0.0.1:{free}/"));
    for path in ["callback", "/a?b", "/a b", "/a\r\nb"] {
        let error = LoopbackRedirect::builder("Notes").path(path).bind().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{path}");
    }
}

#[tokio::test]
async fn localhost_is_heard_on_every_address_that_it_may_lead_to() {
    for (host, begin) in [(LoopbackHost::Localhost, "http://localhost:"), (LoopbackHost::V6, "http://[::1]:")] {
        // A machine without IPv6 has nothing to listen on there.
        if Taken::bind("[::1]:0").is_err() {
            return;
        }
        let mut redirect = LoopbackRedirect::builder("Notes").host(host).bind().await.unwrap();
        assert!(redirect.redirect_uri().starts_with(begin));
        let authority = address_of(&redirect);
        let port = authority.rsplit(':').next().unwrap().to_owned();
        let received = tokio::spawn(async move { redirect.receive("the-state").await });
        let head = format!("GET /callback?code=c&state=the-state HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        assert!(exchange(&format!("[::1]:{port}"), head.as_bytes()).await.starts_with("HTTP/1.1 200"));
        received.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_forwarded_redirect_is_an_address_or_a_code() {
    let uri = "com.example.notes:/signed-in";
    for (text, code) in [
        ("com.example.notes:/signed-in?code=a%2Fb&state=the-state", Some("a/b")),
        ("  4/0AbCd-ef:gh \n", Some("4/0AbCd-ef:gh")),
        ("notes-code:with-colon", Some("notes-code:with-colon")),
        ("com.example.notes:/signed-in?code=a&state=other", None),
        ("com.example.notes:/elsewhere?code=a&state=the-state", None),
        ("https://evil.example/?code=a&state=the-state", None),
        ("two words", None),
        ("", None),
    ] {
        let (mut redirect, forwarder) = ForwardedRedirect::new(uri);
        assert!(forwarder.forward(text));
        drop(forwarder);
        match (redirect.receive("the-state").await, code) {
            (Ok(found), Some(code)) => assert_eq!(found.code.expose(), code, "{text}"),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{text}"),
            (outcome, _) => panic!("{text}: {outcome:?}"),
        }
        assert!(!format!("{redirect:?}").contains("0AbCd"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No bytes without the state end the waiting.
    #[test]
    fn no_bytes_of_a_stranger_are_a_redirect(bytes in prop::collection::vec(any::<u8>(), 0..600), query in "[a-z=&%+]{0,60}") {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (address, received) = listening("Notes").await;
            let mut bytes = bytes;
            bytes.extend_from_slice(b"\r\n\r\n");
            exchange(&address, &bytes).await;
            get(&address, &format!("/callback?{query}")).await;
            assert!(!received.is_finished());
            received.abort();
        });
    }
}
