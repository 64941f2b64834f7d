//! How long the client waits, and what it asks again, in virtual time.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{ErrorKind, Result};
use highwater_template::limits::RateLimits;
use highwater_template::{HttpRequest, HttpResponse, Paging, Provider};
use scripted::{Scene, json, with};

const LIST: &str = r#"[{"id":1}]"#;

/// The time of [`world::Clock`] at its beginning.
const NOW_S: u64 = 1_795_000_000;

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Refuses `times` times with this answer, then gives the list.
fn refusing(times: usize, refusal: HttpResponse) -> impl FnMut(&HttpRequest) -> Result<HttpResponse> {
    let mut left = times;
    move |_| {
        if left == 0 {
            return Ok(json(200, LIST));
        }
        left -= 1;
        Ok(refusal.clone())
    }
}

async fn scene(limits: RateLimits, answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static) -> Scene {
    Scene::with(Paging::Link, "", |provider: Provider| provider.limits(limits), answer).await
}

/// How long a run takes, in milliseconds of virtual time.
async fn took(limits: RateLimits, times: usize, refusal: HttpResponse) -> Result<u64> {
    let scene = scene(limits, refusing(times, refusal)).await;
    let began_ms = scene.now_ms();
    scene.run().await?;
    Ok(scene.now_ms() - began_ms)
}

#[tokio::test(start_paused = true)]
async fn resets_and_dates_are_by_the_clock_of_the_answer() {
    // Of the server's clock, an hour ahead of ours and an hour behind.
    for server_s in [NOW_S + 3600, NOW_S - 3600] {
        let reset = (server_s + 3).to_string();
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset), ("date", &date(server_s))];
        let by_reset = took(RateLimits::new(), 1, with(403, "{}", &used_up)).await;
        assert_eq!(by_reset.map_err(|error| error.to_string()), Ok(3_000));
        let until = [("retry-after", &*date(server_s + 7)), ("date", &date(server_s))];
        let by_date = took(RateLimits::new(), 1, with(429, "{}", &until)).await;
        assert_eq!(by_date.map_err(|error| error.to_string()), Ok(7_000));
        // A good answer that used the budget up.
        let scene = scene(RateLimits::new(), {
            let (reset, date) = (reset.clone(), date(server_s));
            move |_: &HttpRequest| {
                Ok(with(200, LIST, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset), ("date", &date)]))
            }
        })
        .await;
        scene.run().await.unwrap();
        let began_ms = scene.now_ms();
        scene.run().await.unwrap();
        assert_eq!(scene.now_ms() - began_ms, 3_000);
    }
}

// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately:
// "Otherwise, wait for at least one minute before retrying. If your request continues to fail due to a secondary rate limit,
// wait for an exponentially increasing amount of time between retries".
#[tokio::test(start_paused = true)]
async fn a_secondary_limit_waits_a_minute_and_longer_not_until_the_quotas_reset() {
    let reset = (NOW_S + 3000).to_string();
    let headers = [("x-ratelimit-remaining", "4990"), ("x-ratelimit-reset", &*reset)];
    let limits = || RateLimits::new().status_with_text(403, "secondary rate limit");
    for (status, body) in [(403, r#"{"message":"You have exceeded a secondary rate limit"}"#), (429, "{}")] {
        let once = took(limits(), 1, with(status, body, &headers)).await.map_err(|error| error.to_string()).unwrap();
        assert!((60_000..75_000).contains(&once), "{once}");
        let twice = took(limits(), 2, with(status, body, &headers)).await.unwrap();
        assert!(twice - once > 60_000 && twice < 400_000, "{once} {twice}");
        let mut told = headers.to_vec();
        told.push(("retry-after", "5"));
        assert_eq!(took(limits(), 1, with(status, body, &told)).await.unwrap(), 5_000);
    }
    // For ever: it ends, and says when to come again.
    let scene = scene(limits(), move |_: &HttpRequest| Ok(with(429, "{}", &[("x-ratelimit-remaining", "7")]))).await;
    let error = scene.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.retry_after().is_some_and(|wait| wait >= Duration::from_secs(60)), "{error:?}");
    assert!(scene.seen().len() < 10);
    // A refusal that is none of a limit stays one.
    let refused = took(limits(), 1, with(403, r#"{"message":"no"}"#, &headers)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
}

#[tokio::test(start_paused = true)]
async fn retry_after_nothing_for_ever_backs_off() {
    let scene = scene(RateLimits::new(), |_: &HttpRequest| Ok(with(429, "", &[("retry-after", "0")]))).await;
    let began_ms = scene.now_ms();
    let error = scene.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    let took_ms = scene.now_ms() - began_ms;
    assert!(took_ms > 60_000, "{} requests in {took_ms} ms", scene.seen().len());
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again_when_the_api_says() {
    for status in [408, 423, 425, 500, 502, 504] {
        let took_ms = took(RateLimits::new(), 1, json(status, "{}")).await.map_err(|error| error.to_string());
        assert!(took_ms.as_ref().is_ok_and(|took_ms| (1..2_000).contains(took_ms)), "{status}: {took_ms:?}");
    }
    for status in [408, 409, 423, 425, 500, 502, 503, 504, 429] {
        let told = with(status, "{}", &[("retry-after", "30")]);
        let took_ms = took(RateLimits::new(), 1, told).await.map_err(|error| error.to_string());
        assert_eq!(took_ms, Ok(30_000), "{status}");
    }
    // A conflict by itself is an answer.
    assert!(took(RateLimits::new(), 1, json(409, "{}")).await.is_err());
    // Longer than a run waits: it ends, and says when to come again.
    for status in [408, 409, 500, 503] {
        let error = took(RateLimits::new(), 1, with(status, "{}", &[("retry-after", "7200")])).await.unwrap_err();
        let retry = error.retry_after();
        assert!(retry.is_some_and(|wait| wait > Duration::from_secs(7_000)), "{status}: {error:?}");
    }
    // What may have been done is not done again.
    for status in [408, 409, 423, 425, 500, 502, 504] {
        let scene =
            scene(RateLimits::new(), move |_: &HttpRequest| Ok(with(status, "{}", &[("retry-after", "1")]))).await;
        scene.act().await.unwrap_err();
        assert_eq!(scene.seen().len(), 1, "{status}");
    }
}

// https://docs.slack.dev/apis/web-api/rate-limits: `{"ok": false, "error": "ratelimited"}`, with `Retry-After`;
// https://linear.app/developers/rate-limiting: an error whose `extensions.code` is `RATELIMITED`.
#[tokio::test(start_paused = true)]
async fn limits_told_in_words_are_waited_out() {
    let slack = RateLimits::new().text("/error", "ratelimited").first_backoff(Duration::from_secs(60));
    let body = r#"{"ok":false,"error":"ratelimited"}"#;
    assert_eq!(took(slack.clone(), 2, with(200, body, &[("retry-after", "1")])).await.unwrap(), 2_000);
    assert_eq!(took(slack.clone(), 2, json(200, body)).await.unwrap(), 60_000 + 120_000);
    let linear = RateLimits::new().text("/errors/0/extensions/code", "RATELIMITED");
    let body = r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"code":"RATELIMITED"}}]}"#;
    for status in [200, 400] {
        let reset = (NOW_S * 1000 + 9_000).to_string();
        let told = with(status, body, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]);
        assert_eq!(took(linear.clone(), 1, told).await.unwrap(), 9_000);
    }
    // Other words are an answer; a request that may be sent once only was not served, and is sent again.
    assert!(took(slack.clone(), 1, json(200, r#"{"ok":false,"error":"not_authed"}"#)).await.is_err());
    let scene = scene(slack, refusing(1, with(200, r#"{"error":"ratelimited"}"#, &[("retry-after", "1")]))).await;
    scene.act().await.unwrap();
    assert_eq!(scene.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn resets_in_other_forms() {
    for (headers, expected_ms) in [
        // promptfoo/promptfoo#8341, https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
        (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "6m0s")], 360_000),
        (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1m30.5s")], 90_500),
        (vec![("retry-after", "1500ms")], 1_500),
        // https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/: of version 7, and since version 8.
        (vec![("ratelimit", "limit=100, remaining=0, reset=50")], 50_000),
        (vec![("ratelimit", "\"default\";r=0;t=30")], 30_000),
        (vec![("ratelimit", "\"hour\";r=900;t=3000, \"second\";r=0;t=2")], 2_000),
        (vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "7")], 7_000),
        // https://developer.okta.com/docs/reference/rl-best-practices/: with hyphens.
        (
            vec![
                ("x-rate-limit-remaining", "0"),
                ("x-rate-limit-reset", "1795000012"),
                ("date", "Wed, 18 Nov 2026 11:06:40 GMT"),
            ],
            12_000,
        ),
        // pydantic/pydantic-ai#7065: none that can be meant.
        (vec![("retry-after", "-5"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9")], 9_000),
    ] {
        let took_ms = took(RateLimits::new(), 1, with(429, "{}", &headers)).await.map_err(|error| error.to_string());
        assert_eq!(took_ms, Ok(expected_ms), "{headers:?}");
    }
    let odd = took(RateLimits::new(), 1, with(429, "{}", &[("retry-after", "-5")])).await.unwrap();
    assert!((1..1_000).contains(&odd), "{odd}");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_an_answer_still_waits_for_limits() {
    let accepting = |context: &Scene| {
        let engine = context.engine.clone();
        async move { engine.act("c", "acme/accepting", serde_json::json!({})).await }
    };
    let scene = scene(RateLimits::new(), refusing(0, json(200, "{}"))).await;
    let mut answers = vec![
        json(403, r#"{"told":1}"#),
        with(403, "{}", &[("retry-after", "5")]),
        json(500, "{}"),
        with(429, "{}", &[("retry-after", "2")]),
    ];
    scene.answer(move |_: &HttpRequest| Ok(answers.pop().unwrap()));
    let began_ms = scene.now_ms();
    assert_eq!(accepting(&scene).await.unwrap(), serde_json::json!({"told": 1}));
    assert!(scene.now_ms() - began_ms >= 7_000 && scene.seen().len() == 4);
    scene.answer(|_: &HttpRequest| Ok(json(404, "{}")));
    assert_eq!(accepting(&scene).await.unwrap_err().kind(), ErrorKind::NotFound);
}
