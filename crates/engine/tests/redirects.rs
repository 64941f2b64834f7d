//! Redirects and other answers of the 3xx kind (RFC 9110, 15.4): followed as the method allows and within the provider's
//! origins, or an error. None of them is a success.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::AuthKind;
use highwater_template::{HttpRequest, HttpResponse, Paging};
use scripted::{Scene, header, json, with};

const LIST: &str = r#"[{"id":1}]"#;

/// Redirects `/items` and `/things` once, then answers well.
fn moved(status: u16, location: &'static str) -> impl FnMut(&HttpRequest) -> Result<HttpResponse> {
    move |request| match request.url.as_str() {
        "https://api.acme.example/v3/items" | "https://api.acme.example/v3/things" => {
            Ok(with(status, r#"{"message":"Moved"}"#, &[("Location", location)]))
        }
        _ if request.method == "POST" => Ok(json(201, r#"{"number":7}"#)),
        _ => Ok(json(200, LIST)),
    }
}

// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects: 307 and 308
// "repeat the request verbatim".
#[tokio::test(start_paused = true)]
async fn an_action_is_done_where_307_and_308_point_to() {
    for status in [307, 308] {
        let scene = Scene::new(moved(status, "/repositories/1/things")).await;
        let done = scene.act().await;
        assert_eq!(done.map(|done| done["number"].clone()).map_err(|error| error.to_string()), Ok(7.into()));
        let seen = scene.seen();
        assert_eq!(scene.asked()[1..], ["POST https://api.acme.example/repositories/1/things"]);
        assert_eq!((&seen[1].body, header(&seen[1], "content-type")), (&seen[0].body, Some("application/json")));
        assert_eq!(header(&seen[1], "authorization"), Some("Bearer s3cret"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_a_redirect_would_make_a_read_is_an_error() {
    for status in [301, 302] {
        let scene = Scene::new(moved(status, "/repositories/1/things")).await;
        let error = scene.act().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote, "{error}");
        assert!(error.to_string().contains("nothing was written"), "{error}");
        assert_eq!(error.context("location"), Some("https://api.acme.example/repositories/1/things"));
        assert_eq!(scene.asked().len(), 1);
    }
    let scene = Scene::new(moved(301, "/v3/elsewhere")).await;
    let keyed = HttpRequest::new("POST", "/things").header("Idempotency-Key", "1");
    scene.engine.proxy("c", keyed).await.unwrap_err();
    // 303 says that the request was done, and where its outcome is.
    let scene = Scene::new(moved(303, "/repositories/1/things")).await;
    scene.act().await.unwrap();
    assert_eq!(scene.asked()[1..], ["GET https://api.acme.example/repositories/1/things"]);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_the_method() {
    for (status, method, then) in [
        (301, "GET", "GET"),
        (302, "GET", "GET"),
        (303, "GET", "GET"),
        (307, "GET", "GET"),
        (308, "GET", "GET"),
        (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (302, "PROPFIND", "PROPFIND"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (307, "PATCH", "PATCH"),
    ] {
        let scene = Scene::new(move |request: &HttpRequest| {
            let first = request.url.ends_with("/a?x=1");
            Ok(if first { with(status, "", &[("location", "b?y=2#part")]) } else { json(200, "{}") })
        })
        .await;
        let mut request = HttpRequest::new(method, "/a").query("x", "1");
        if !matches!(method, "GET" | "HEAD") {
            request = request.json(&1).unwrap();
        }
        let had_body = request.body.is_some();
        let answer = scene.engine.proxy("c", request).await;
        assert_eq!(answer.map(|answer| answer.status).map_err(|error| error.to_string()), Ok(200), "{status} {method}");
        let seen = scene.seen();
        assert_eq!(scene.asked()[1..], [format!("{then} https://api.acme.example/v3/b?y=2")], "{status} {method}");
        let keeps = had_body && method == then;
        let sent = (seen[1].body.is_some(), header(&seen[1], "content-type").is_some());
        assert_eq!(sent, (keeps, keeps), "{status} {method}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_followed_is_an_error_and_deletes_nothing() {
    for (status, location, told) in [
        (300, None, "300"),
        (300, Some("/v3/other"), "300"),
        (302, None, "without a target"),
        (307, None, "without a target"),
        (302, Some("/v3/items"), "circle"),
        (307, Some("/v3/things"), "circle"),
        (308, Some("http://["), "invalid URL"),
        (301, Some("https://evil.example/items"), "another origin"),
        (307, Some("https://evil.example/things"), "another origin"),
        (307, Some("//evil.example/things"), "another origin"),
        (302, Some("https://api.acme.example:8443/v3/items"), "another origin"),
        (304, None, "304"),
        (305, Some("https://proxy.example"), "305"),
        (306, None, "306"),
        (399, None, "399"),
    ] {
        let scene = Scene::new(|_: &HttpRequest| Ok(json(200, r#"[{"id":1},{"id":2},{"id":3}]"#))).await;
        scene.run().await.unwrap();
        scene.answer(move |_: &HttpRequest| {
            let headers: Vec<(&str, &str)> = location.map(|to| ("Location", to)).into_iter().collect();
            Ok(with(status, LIST, &headers))
        });
        let case = format!("{status} to {location:?}");
        let read = scene.full().await.map(|report| report.progress);
        assert_eq!(scene.live().await, 3, "{case}: {read:?}");
        let error = read.expect_err(&case);
        assert_eq!(error.kind(), ErrorKind::Remote, "{case}: {error}");
        assert!(error.to_string().contains(told) || told == "circle", "{case}: {error}");
        let done = scene.act().await.expect_err(&case);
        assert!(!done.to_string().is_empty());
        scene.engine.proxy("c", HttpRequest::new("POST", "/things")).await.expect_err(&case);
        let circle = [&error, &done].into_iter().any(|error| error.to_string().contains("circle"));
        assert_eq!(circle, told == "circle", "{case}: {error}; {done}");
        assert!(scene.asked().iter().all(|asked| asked.contains(" https://api.acme.example/v3/")), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_have_an_end() {
    let scene = Scene::new(|request: &HttpRequest| {
        let hop: u64 = request.url.rsplit('/').next().unwrap().parse().unwrap_or(0);
        Ok(with(307, "{}", &[("location", &format!("/v3/{}", hop + 1))]))
    })
    .await;
    let error = scene.act().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!((5..=20).contains(&scene.seen().len()), "{}", scene.seen().len());
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_follows_to_the_providers_other_origins_alone() {
    let scene = Scene::new(moved(307, "https://files.acme.example/things?part=1")).await;
    scene.act().await.unwrap();
    let seen = scene.seen();
    assert_eq!(seen[1].url, "https://files.acme.example/things?part=1");
    assert_eq!(header(&seen[1], "authorization"), Some("Bearer s3cret"));
    // A name and a password in a link are not ours to send.
    scene.answer(moved(307, "https://user:pass@files.acme.example/things"));
    scene.act().await.unwrap();
    assert_eq!(scene.seen()[1].url, "https://files.acme.example/things");
    // The same host without TLS: asked with TLS, or not at all.
    scene.answer(moved(307, "http://api.acme.example/v3/elsewhere"));
    scene.act().await.unwrap();
    assert_eq!(scene.seen()[1].url, "https://api.acme.example/v3/elsewhere");
}

#[tokio::test(start_paused = true)]
async fn a_redirected_request_that_may_not_be_repeated_is_not_repeated() {
    let scene = Scene::new(|request: &HttpRequest| {
        if request.url.ends_with("/things") {
            return Ok(with(307, "", &[("location", "/v3/moved")]));
        }
        Err(Error::new(ErrorKind::Unavailable, "the answer was lost"))
    })
    .await;
    assert_eq!(scene.act().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(scene.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unasked_304_ends_no_list() {
    let scene = Scene::new(|_: &HttpRequest| Ok(json(200, r#"[{"id":1},{"id":2},{"id":3}]"#))).await;
    scene.run().await.unwrap();
    scene.answer(|request: &HttpRequest| {
        Ok(match request.url.ends_with("page=2") {
            true => json(304, ""),
            false => with(200, LIST, &[("link", "</v3/items?page=2>; rel=\"next\"")]),
        })
    });
    let read = scene.full().await.map(|report| report.progress);
    assert_eq!((scene.live().await, read.as_ref().err().map(Error::kind)), (3, Some(ErrorKind::Remote)), "{read:?}");
    // With a validator it is an answer like any other, whoever asks.
    let asked = HttpRequest::get("/items").header("If-None-Match", "\"v1\"");
    scene.answer(|_: &HttpRequest| Ok(json(304, "")));
    assert_eq!(scene.engine.proxy("c", asked).await.unwrap().status, 304);
    let unasked = scene.engine.proxy("c", HttpRequest::get("/items")).await;
    assert_eq!(unasked.map(|answer| answer.status).map_err(|error| error.kind()), Err(ErrorKind::Remote));
}

#[tokio::test(start_paused = true)]
async fn links_resolve_against_the_url_that_was_asked() {
    for (next, asked) in [
        ("/v3/items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("?page=2", "https://api.acme.example/v3/items?page=2"),
        ("items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("../v3/./items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("//api.acme.example/v3/items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("https://api.acme.example/v3/items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("http://api.acme.example/v3/items?page=2", "https://api.acme.example/v3/items?page=2"),
        ("https://files.acme.example/items?page=2#x", "https://files.acme.example/items?page=2"),
    ] {
        for paging in [Paging::Link, Paging::HeaderUrl("x-next".to_owned()), Paging::BodyUrl("/next".to_owned())] {
            let body_url = matches!(paging, Paging::BodyUrl(_));
            let link = format!("<{next}>; title=\"x <y>, z\"; rel=\"next\"");
            let scene = Scene::with(
                paging,
                "/items",
                |provider| provider,
                move |request: &HttpRequest| {
                    if request.url.contains("page=2") {
                        return Ok(json(200, r#"{"items":[{"id":2}]}"#));
                    }
                    let next = if body_url { format!("\"{next}\"") } else { "null".to_owned() };
                    let body = format!(r#"{{"items":[{{"id":1}}],"next":{next}}}"#);
                    let headers: &[(&str, &str)] =
                        if body_url { &[] } else { &[("Link", &link), ("X-Next", next_of(&link))] };
                    Ok(with(200, &body, headers))
                },
            )
            .await;
            let outcome =
                scene.run().await.map(|report| report.progress.counts.added).map_err(|error| error.to_string());
            assert_eq!(
                (outcome, scene.asked().last().map(String::as_str)),
                (Ok(2), Some(&*format!("GET {asked}"))),
                "{next}"
            );
        }
    }
}

fn next_of(link: &str) -> &str {
    link.trim_start_matches('<').split('>').next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn links_resolve_against_where_a_redirect_led() {
    let scene = Scene::with(
        Paging::BodyUrl("/next".to_owned()),
        "/items",
        |provider| provider,
        |request: &HttpRequest| {
            Ok(match request.url.as_str() {
                "https://api.acme.example/v3/items" => with(301, "", &[("location", "/v4/lists/7/items")]),
                "https://api.acme.example/v4/lists/7/items" => json(200, r#"{"items":[{"id":1}],"next":"more?x=2"}"#),
                "https://api.acme.example/v4/lists/7/more?x=2" => json(200, r#"{"items":[{"id":2}]}"#),
                other => json(404, &format!("\"{other}\"")),
            })
        },
    )
    .await;
    assert_eq!(scene.run().await.unwrap().progress.counts.added, 2);
}

#[tokio::test(start_paused = true)]
async fn a_base_url_with_a_query_or_a_fragment_is_refused() {
    for base in ["https://api.acme.example/v3?key=1", "https://api.acme.example/#v3", "https://api.acme.example/?"] {
        let scene = Scene::new(|_: &HttpRequest| Ok(json(200, LIST))).await;
        let settings = highwater_engine::ConnectionSettings::new("c", "acme").base_url(base);
        let connected = scene.engine.connect(settings).await;
        let outcome = match connected {
            Ok(_) => scene.run().await.map(drop),
            Err(error) => Err(error),
        };
        let error = outcome.expect_err(base);
        assert_eq!((error.kind(), scene.seen().len()), (ErrorKind::Invalid, 0), "{base}: {error}");
        assert!(!error.to_string().contains("key=1"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_api_says_is_told() {
    for (body, told) in [
        // https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes
        (
            r#"{"errorMessages":["The value 'X' does not exist for the field 'project'."],"errors":{}}"#,
            "does not exist for",
        ),
        (r#"{"errorMessages":[],"errors":{"summary":"You must specify a summary."}}"#, "summary: You must specify"),
        // https://www.rfc-editor.org/rfc/rfc9457
        (
            r#"{"type":"https://x/y","title":"You do not have enough credit.","detail":"Your balance is 30."}"#,
            "balance is 30",
        ),
        // https://jsonapi.org/format/#errors
        (r#"{"errors":[{"status":"422","title":"Invalid Attribute","detail":"Too short."}]}"#, "Too short"),
        (r#"{"errors":["Name can't be blank"]}"#, "can't be blank"),
        (r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#, "bad"),
        (
            r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"}]}"#,
            "Validation Failed",
        ),
        (r#"{"detail":"Not allowed here."}"#, "Not allowed"),
        // https://developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes
        (
            r#"{"Fault":{"Error":[{"Message":"Duplicate Name Exists","Detail":"The name is in use","code":"6240"}]}}"#,
            "Duplicate Name",
        ),
        (r#"{"errorSummary":"Api validation failed: login"}"#, "validation failed"),
    ] {
        let scene = Scene::new(move |_: &HttpRequest| Ok(json(400, body))).await;
        for error in [scene.run().await.unwrap_err(), scene.act().await.unwrap_err()] {
            assert!(error.to_string().contains(told), "{body}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_410_without_a_checkpoint_says_what_the_api_says() {
    let gone = r#"{"message":"Issues are disabled for this repo"}"#;
    let scene = Scene::new(move |_: &HttpRequest| Ok(json(410, gone))).await;
    for error in [scene.run().await.unwrap_err(), scene.act().await.unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("Issues are disabled") && !text.contains("checkpoint"), "{text}");
    }
}

// blockscout/blockscout#14361: the API writes the key of the request into the link to the next page; FDA/openfda#107: it
// leaves it out.
#[tokio::test(start_paused = true)]
async fn a_key_in_a_link_is_sent_once_and_kept_nowhere() {
    for echoed in ["", "&key=s3cret", "&key=s3cr%65t", "&key=old-one"] {
        let by_key = |mut provider: highwater_template::Provider| {
            provider.auth.clear();
            provider.auth(AuthKind::query("key", "a key"))
        };
        let scene = Scene::with(Paging::BodyUrl("/next".to_owned()), "/items", by_key, move |request: &HttpRequest| {
            if request.url.contains("page=3") {
                return Ok(json(404, "{}"));
            }
            let page = if request.url.contains("page=2") { 3 } else { 2 };
            Ok(json(200, &format!(r#"{{"items":[{{"id":{page}}}],"next":"/v3/items?a=x%20y{echoed}&page={page}"}}"#)))
        })
        .await;
        scene.run().await.unwrap_err();
        assert_eq!(scene.asked()[1], "GET https://api.acme.example/v3/items?a=x%20y&page=2&key=s3cret", "{echoed}");
        let stored = scene.store.documents("", "", 1000).await.unwrap();
        assert!(stored.iter().any(|document| format!("{document:?}").contains("page=3")), "{stored:?}");
        assert!(!format!("{stored:?}").contains("s3cr"), "{echoed}: {stored:?}");
    }
}
