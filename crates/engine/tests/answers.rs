//! Answers as bytes on a socket: codings, charsets, and what cannot be read.
#![cfg(feature = "http")]

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use highwater_core::{ErrorKind, MemoryStore, Result, Store, StreamKey};
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, Engine, RunOptions};
use highwater_template::auth::CredentialUse;
use highwater_template::{HttpRequest, SyncContext, Template, TemplateInfo};

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/items")).await?;
        if page.status != 204 {
            context.save("Item", page.elements()?).await?;
        }
        Ok(())
    }
}

/// Answers every request with these bytes, and closes. Returns the base URL.
fn serve(answer: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let _ = connection.write_all(&answer);
        }
    });
    base
}

/// The bytes of an answer with these headers.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn whole(headers: &str, body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("{headers}Content-Length: {}\r\n", body.len()), body)
}

async fn engine(answer: Vec<u8>) -> (Engine, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new().unwrap());
    let info =
        TemplateInfo::new("raw", "items", serve(answer)).credentials(CredentialUse::Optional).model("Item", "an item");
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>)
        .template(Arc::new(Items(info)))
        .limits(RequestLimits::default().attempts(2).backoff(Duration::from_millis(2)))
        .build()
        .unwrap();
    engine.connect(ConnectionSettings::new("c", "raw")).await.unwrap();
    (engine, store)
}

/// What a run of one request makes of an answer: the names it stored, or the error's kind and text.
async fn read(answer: Vec<u8>) -> Result<Vec<String>, (ErrorKind, String)> {
    let (engine, store) = engine(answer).await;
    let outcome = engine.sync("c", "raw/items").unwrap().run_once(RunOptions::default()).await;
    outcome.map_err(|error| (error.kind(), error.to_string()))?;
    let records = store.get(&StreamKey::new("c", "Item"), &["1", "2"]).await.unwrap();
    Ok(records
        .into_iter()
        .flatten()
        .map(|record| record.payload.unwrap().to::<serde_json::Value>().unwrap()["name"].to_string())
        .collect())
}

const LIST: &str = r#"[{"id":1,"name":"a"}]"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn no_body_needs_no_decoding() {
    assert_eq!(read(answer("204 No Content", "Content-Encoding: gzip\r\n", b"")).await, Ok(vec![]));
    assert_eq!(read(answer("204 No Content", "Content-Encoding: br, gzip\r\n", b"")).await, Ok(vec![]));
    // An empty list is one that says so.
    let (kind, text) = read(whole("Content-Encoding: gzip\r\n", b"")).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Remote, "{text}");
    assert!(text.contains("JSON"), "{text}");
    let unchanged = answer("304 Not Modified", "Content-Encoding: gzip\r\nETag: \"v1\"\r\n", b"");
    let (engine, _) = engine(unchanged).await;
    let asked = HttpRequest::get("/items").header("if-none-match", "\"v1\"");
    assert_eq!(engine.proxy("c", asked).await.map(|answer| answer.status).map_err(|error| error.to_string()), Ok(304));
    // https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2: the header fields of the body that a GET would have.
    let (engine, _) = self::engine(answer("200 OK", "Content-Encoding: gzip\r\nContent-Length: 500\r\n", b"")).await;
    let head = engine.proxy("c", HttpRequest::new("HEAD", "/items")).await;
    assert_eq!(head.map(|answer| answer.status).map_err(|error| error.to_string()), Ok(200));
}

#[tokio::test]
async fn codings_are_undone_whatever_their_case_and_in_their_order() {
    let list = LIST.as_bytes();
    for (coding, body) in [
        ("gzip", gzip(list)),
        ("GZIP", gzip(list)),
        ("x-gzip", gzip(list)),
        ("X-GZip", gzip(list)),
        ("identity", list.to_vec()),
        ("", list.to_vec()),
        ("deflate", zlib(list)),
        ("deflate", deflate(list)),
        ("gzip, gzip", gzip(&gzip(list))),
        ("deflate , identity,Gzip", gzip(&zlib(list))),
        ("gzip", [gzip(&list[..5]), gzip(&list[5..])].concat()),
    ] {
        let read = read(whole(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        assert_eq!(read, Ok(vec!["\"a\"".to_owned()]), "{coding}");
    }
    let twice = "Content-Encoding: deflate\r\nContent-Encoding: gzip\r\n";
    assert_eq!(read(whole(twice, &gzip(&zlib(list)))).await, Ok(vec!["\"a\"".to_owned()]));
    for unknown in ["br", "zstd", "gzip, made-up"] {
        let (kind, text) = read(whole(&format!("Content-Encoding: {unknown}\r\n"), list)).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Remote, "{text}");
        assert!(text.contains(unknown.rsplit(' ').next().unwrap()) && !text.contains("JSON"), "{text}");
    }
}

#[tokio::test]
async fn what_arrived_and_cannot_be_read_is_the_apis_fault() {
    let packed = gzip(LIST.repeat(50).as_bytes());
    let (cut, half) = (&packed[..packed.len() - 6], &packed[..packed.len() / 2]);
    let mut spoiled = packed.clone();
    let middle = spoiled.len() / 2;
    spoiled[middle..middle + 8].fill(0xff);
    let long = format!("X-Long: {}\r\n", "x".repeat(70_000));
    for (what, bytes) in [
        ("plain under gzip", whole("Content-Encoding: gzip\r\n", LIST.as_bytes())),
        ("a cut end", whole("Content-Encoding: gzip\r\n", cut)),
        ("half", whole("Content-Encoding: gzip\r\n", half)),
        ("spoiled", whole("Content-Encoding: gzip\r\n", &spoiled)),
        ("a long header", whole(&long, LIST.as_bytes())),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n".to_vec()),
        ("a broken chunk", answer("200 OK", "Transfer-Encoding: chunked\r\n", b"zz\r\n[]\r\n0\r\n\r\n")),
        ("less than was announced", answer("200 OK", "Content-Length: 500\r\n", LIST.as_bytes())),
        ("a status that is none", answer("2OO OK", "Content-Length: 2\r\n", b"[]")),
    ] {
        let (kind, text) = read(bytes).await.expect_err(what);
        assert_eq!(kind, ErrorKind::Remote, "{what}: {text}");
        assert!(!text.contains("could not be reached"), "{what}: {text}");
    }
    // Nothing arrived: that is a network, or a server, which is not there.
    let (kind, text) = read(Vec::new()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
}

#[tokio::test]
async fn json_is_read_with_its_mark_and_in_its_charset() {
    let list = r#"[{"id":1,"name":"Zoë – 50 €"}]"#;
    let expected = || Ok(vec![r#""Zoë – 50 €""#.to_owned()]);
    let wide = |little: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(list.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    let western = list.replace('ë', "\u{1}").replace('–', "\u{2}").replace('€', "\u{3}");
    let western: Vec<u8> = western
        .bytes()
        .map(|byte| match byte {
            1 => 0xeb,
            2 => 0x96,
            3 => 0x80,
            byte => byte,
        })
        .collect();
    let marked = [b"\xef\xbb\xbf", list.as_bytes()].concat();
    for (content_type, body) in [
        ("application/json", list.as_bytes().to_vec()),
        ("application/json", marked.clone()),
        ("text/html", marked.clone()),
        ("application/vnd.acme+json; charset=\"UTF-8\"", marked),
        ("application/json; charset=windows-1252", western.clone()),
        ("application/json;charset=ISO-8859-1", western),
        // Servers that name their default and send what the standard says.
        ("application/json; charset=iso-8859-1", list.as_bytes().to_vec()),
        ("application/json; charset=us-ascii", list.as_bytes().to_vec()),
        ("application/json; charset=utf-16", wide(true, true)),
        ("application/json; charset=UTF-16", wide(false, true)),
        ("application/json; charset=utf-16le", wide(true, false)),
        ("application/json; charset=utf-16be", wide(false, false)),
        ("application/json", wide(true, true)),
    ] {
        let read = read(whole(&format!("Content-Type: {content_type}\r\n"), &body)).await;
        assert_eq!(read, expected(), "{content_type} {body:?}");
    }
    let packed = gzip(&[b"\xef\xbb\xbf", list.as_bytes()].concat());
    assert_eq!(read(whole("Content-Encoding: gzip\r\nContent-Type: application/json\r\n", &packed)).await, expected());
    let unknown = whole("Content-Type: application/json; charset=made-up\r\n", b"[{\"id\":1,\"name\":\"\xff\"}]");
    let (kind, text) = read(unknown).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Remote);
    assert!(text.contains("made-up"), "{text}");
}

// encode/httpx#195, apache/httpcomponents-client#698: a charset where a coding belongs.
#[tokio::test]
async fn a_charset_is_no_coding() {
    for coding in ["UTF-8", "utf8", "ISO-8859-1", "none", "binary", "gzip, utf-8"] {
        let body = if coding.starts_with("gzip") { gzip(LIST.as_bytes()) } else { LIST.as_bytes().to_vec() };
        let read = read(whole(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        assert_eq!(read, Ok(vec!["\"a\"".to_owned()]), "{coding}");
    }
}

// nodejs/node#7502, oven-sh/bun#33708: what stands behind the last gzip member.
#[tokio::test]
async fn garbage_behind_a_gzip_member_is_passed_over() {
    for garbage in [&b"\r\n"[..], &[0; 20], b"<!-- footer -->", &[0x1f]] {
        let body = [&gzip(LIST.as_bytes()), garbage].concat();
        assert_eq!(read(whole("Content-Encoding: gzip\r\n", &body)).await, Ok(vec!["\"a\"".to_owned()]), "{garbage:?}");
    }
}

// sagebind/isahc#315, snoyberg/http-client#83: a `Location` in ISO-8859-1, or with a space.
#[tokio::test]
async fn a_redirect_may_lead_to_letters_beyond_ascii() {
    for (location, expected) in
        [(&b"/c\xe9u?x=a b"[..], "/c%C3%A9u?x=a%20b"), ("/céu".as_bytes(), "/c%C3%A9u"), (b"/a b", "/a%20b")]
    {
        let head =
            [b"HTTP/1.1 307 Moved\r\nContent-Length: 0\r\nConnection: close\r\nLocation: ", location, b"\r\n\r\n"];
        let (engine, _) = engine(head.concat()).await;
        // The server redirects for ever; the second hop is the same as the third.
        let error = engine.proxy("c", HttpRequest::get("/items")).await.unwrap_err();
        let path = expected.split('?').next().unwrap();
        assert!(error.to_string().contains(path) && error.to_string().contains("circle"), "{error}");
    }
}
