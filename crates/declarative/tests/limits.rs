//! Limits of an API: tokens that take turns, and how long a read waits.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_declarative::{Value, json};
use highwater_template::HttpResponse;
use support::{NOW_MS, Server, manifest, read};

const PAGES: &str = "paginator:
  type: DefaultPaginator
  pagination_strategy: {type: PageIncrement, page_size: 1}
  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}";

fn tokens(more: &str) -> String {
    format!(
        "authenticator:
  type: RateLimitedMultipleTokenAuthenticator
  tokens: \"{{{{ config.tokens }}}}\"
  quota_status_source: {{type: QuotaStatusSource, url: https://x.example/limits}}
  quotas:
    - {{type: TokenQuota, name: core, remaining_path: [left], reset_path: [reset]{more}}}
"
    )
}

fn left(calls: u64, seconds: u64) -> HttpResponse {
    let body = json!({"left": calls, "reset": NOW_MS / 1000 + seconds});
    HttpResponse::new(200, Vec::new(), body.to_string())
}

fn page(id: u64) -> HttpResponse {
    HttpResponse::new(200, Vec::new(), json!({"items": [{"id": id}]}).to_string())
}

fn end() -> HttpResponse {
    HttpResponse::new(200, Vec::new(), r#"{"items": []}"#)
}

fn seconds(slept: &[f64]) -> Vec<Duration> {
    slept.iter().map(|seconds| Duration::from_secs_f64(*seconds)).collect()
}

#[tokio::test]
async fn a_token_without_calls_left_gives_way_and_the_soonest_reset_is_waited_for() {
    let requester = tokens("") + "  budget_min_reserve: 0\n  budget_reserve_fraction: 0\n";
    let answers = vec![left(1, 90), left(1, 40), page(1), page(2), left(0, 60), left(3, 70), end()];
    let server = Server::of(answers);
    let (summary, sink) = read(&manifest("", PAGES, &requester), json!({"tokens": "a, b"}), Value::Null, &server).await;
    summary.unwrap();
    assert_eq!(sink.records, [json!({"id": 1}), json!({"id": 2})]);
    assert_eq!(
        server.asked(),
        [
            "GET https://x.example/limits Authorization:Bearer a",
            "GET https://x.example/limits Authorization:Bearer b",
            "GET https://x.example/v1/items Authorization:Bearer a",
            "GET https://x.example/v1/items?page=1 Authorization:Bearer b",
            "GET https://x.example/limits Authorization:Bearer a",
            "GET https://x.example/limits Authorization:Bearer b",
            "GET https://x.example/v1/items?page=2 Authorization:Bearer b",
        ]
    );
    assert_eq!(*server.slept.lock().unwrap(), seconds(&[40.0]));
}

#[tokio::test]
async fn the_last_calls_are_spread_over_the_time_that_is_left() {
    let server = Server::of(vec![left(5, 20), page(1), end()]);
    let (summary, _) = read(&manifest("", PAGES, &tokens("")), json!({"tokens": "a"}), Value::Null, &server).await;
    summary.unwrap();
    assert_eq!(*server.slept.lock().unwrap(), seconds(&[20.0 / 4.0, 20.0 / 3.0]));
}

#[tokio::test]
async fn a_refused_token_gives_way_at_once_where_another_has_calls_left() {
    let requester = tokens(", remaining_header: x-left, exhaustion_status_codes: [429]");
    let refused = HttpResponse::new(429, vec![("Retry-After".into(), "3000".into())], "{}");
    let server = Server::of(vec![left(500, 3000), left(500, 3000), refused, page(1), end()]);
    let (summary, _) = read(&manifest("", PAGES, &requester), json!({"tokens": "a,b"}), Value::Null, &server).await;
    summary.unwrap();
    assert_eq!(*server.slept.lock().unwrap(), seconds(&[1.1]));
    assert_eq!(
        server.asked()[2..],
        [
            "GET https://x.example/v1/items Authorization:Bearer a",
            "GET https://x.example/v1/items Authorization:Bearer b",
            "GET https://x.example/v1/items?page=1 Authorization:Bearer b",
        ]
    );
}

#[tokio::test]
async fn what_keeps_tokens_from_being_used_is_named() {
    let read_with = async |more: &str, config: Value, answers: Vec<HttpResponse>| {
        let server = Server::of(answers);
        read(&manifest("", PAGES, &(tokens("") + more)), config, Value::Null, &server).await.0.unwrap_err()
    };
    let error = read_with("", json!({"tokens": "secret-a"}), vec![left(0, 8000)]).await;
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(8000)));
    assert_eq!(
        error.to_string(),
        "the quota `core` of every token is used up: add a token, or come again later (at: streams[0].retriever.requester.authenticator, stream: s)"
    );
    let error = read_with("", json!({"tokens": " , "}), vec![]).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, "the config has no tokens: give at least one"));
    let other = HttpResponse::new(200, Vec::new(), r#"{"reset": 1}"#);
    let error = read_with("", json!({"tokens": "a"}), vec![other]).await;
    assert_eq!(error.message(), "the answer about quotas has no `left`: check `remaining_path` of the quota `core`");
    let refused = HttpResponse::new(401, Vec::new(), r#"{"message": "bad secret-a"}"#);
    let error = read_with("", json!({"tokens": "secret-a"}), vec![refused]).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let error = read_with("  max_wait_time: P1M\n", json!({"tokens": "a"}), vec![left(0, 5)]).await;
    assert_eq!(error.message(), "`max_wait_time` has months or years: write it in days or hours");
}

/// A manifest of one stream with four pages, and with a budget.
fn budgeted(budget: &str) -> String {
    format!("api_budget:\n  type: HTTPAPIBudget\n{budget}{}", manifest("", PAGES, ""))
}

async fn waits(budget: &str, config: Value, answers: Vec<HttpResponse>) -> (Vec<f64>, Option<highwater_core::Error>) {
    let server = Server::of(answers);
    let (summary, _) = read(&budgeted(budget), config, Value::Null, &server).await;
    let slept = server.slept.lock().unwrap().iter().map(Duration::as_secs_f64).collect();
    (slept, summary.err())
}

#[tokio::test]
async fn a_budget_spreads_requests_as_its_policies_say() {
    let pages = || vec![page(1), page(2), page(3), end()];
    let moving = "  policies:
    - type: MovingWindowCallRatePolicy
      rates: [{limit: \"{{ config.most }}\", interval: PT10S}, {limit: 3, interval: PT1M}]
      matchers: []
";
    let (slept, error) = waits(moving, json!({"most": 2}), pages()).await;
    assert_eq!((slept, error.map(|error| error.to_string())), (vec![10.001, 60.001], None));

    let fixed = "  policies:
    - type: UnlimitedCallRatePolicy
      matchers: [{params: {page: 2}}]
    - type: FixedWindowCallRatePolicy
      period: PT1M
      call_limit: 4
      matchers: [{method: get, url_path_pattern: items$, weight: 2}]
";
    let (slept, error) = waits(fixed, json!({}), pages()).await;
    assert_eq!((slept, error.map(|error| error.to_string())), (vec![60.0], None));

    let other = "  policies:
    - type: FixedWindowCallRatePolicy
      period: PT1M
      call_limit: 1
      matchers: [{url_base: \"https://elsewhere.example\"}]
";
    assert_eq!(waits(other, json!({}), pages()).await.0, Vec::<f64>::new());
}

#[tokio::test]
async fn answers_tell_what_is_left_of_a_budget() {
    let fixed = "  ratelimit_reset_header: X-Reset
  ratelimit_remaining_header: X-Left
  status_codes_for_ratelimit_hit: [420]
  policies: [{type: FixedWindowCallRatePolicy, period: PT1H, call_limit: 100, matchers: []}]
";
    let told = |left: &str, seconds: u64| {
        let reset = (NOW_MS / 1000 + seconds).to_string();
        let headers = vec![("X-Left".into(), left.to_owned()), ("X-Reset".into(), reset)];
        HttpResponse::new(200, headers, r#"{"items": [{"id": 1}]}"#)
    };
    let (slept, error) = waits(fixed, json!({}), vec![told("1", 30), told("0", 30), end()]).await;
    assert_eq!((slept, error.map(|error| error.to_string())), (vec![30.0], None));

    let refused = HttpResponse::new(420, vec![("X-Reset".into(), (NOW_MS / 1000 + 5).to_string())], "{}");
    let (slept, _) = waits(fixed, json!({}), vec![refused, page(1), end()]).await;
    assert_eq!(slept, [2.0, 5.0, 5.0], "the usual wait after a refusal, and the budget's");
}

#[tokio::test]
async fn a_long_wait_ends_the_read_and_faults_are_named() {
    let daily = "  policies: [{type: FixedWindowCallRatePolicy, period: P1D, call_limit: 1, matchers: []}]\n";
    let (slept, error) = waits(daily, json!({}), vec![page(1), end()]).await;
    let error = error.unwrap();
    assert_eq!((slept.len(), error.kind()), (0, ErrorKind::RateLimited));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    assert_eq!(
        error.to_string(),
        "the manifest's `api_budget` is used up: what was read stays, come again later (at: api_budget.policies[0], stream: s)"
    );
    for (policy, message) in [
        (
            "{type: FixedWindowCallRatePolicy, period: P1M, call_limit: 1, matchers: []}",
            "a period of a fixed length is expected here: write it in days, hours or seconds",
        ),
        (
            "{type: FixedWindowCallRatePolicy, period: PT1M, call_limit: 1, matchers: [{weight: 2}]}",
            "a request weighs 2, but the policy never allows so many calls",
        ),
        (
            "{type: MovingWindowCallRatePolicy, rates: [{limit: \"{{ config.none }}\", interval: PT1M}], matchers: []}",
            "the limit  of a rate is not a whole number of at least 1",
        ),
        ("{type: MovingWindowCallRatePolicy, rates: [], matchers: []}", "`rates` is empty: list at least one"),
    ] {
        let (_, error) = waits(&format!("  policies: [{policy}]\n"), json!({}), vec![page(1)]).await;
        assert_eq!(error.unwrap().message(), message);
    }
}
