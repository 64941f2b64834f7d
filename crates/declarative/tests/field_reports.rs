//! What people reported of manifests elsewhere, tried here.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::time::Duration;

use highwater_declarative::{Files, Manifest, Registry, Value, json};
use highwater_template::HttpResponse;
use support::{Server, manifest, read};

fn pages(bodies: Vec<String>) -> Server {
    Server::of(bodies.into_iter().map(|body| HttpResponse::new(200, Vec::new(), body)).collect())
}

fn paged(strategy: &str) -> String {
    format!(
        "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {strategy}\n  page_token_option: {{type: RequestOption, inject_into: request_parameter, field_name: p}}"
    )
}

/// https://github.com/airbytehq/airbyte/issues/28226: the last page again and again, though its body tells the time.
/// https://github.com/airbytehq/airbyte-python-cdk/issues/1148: nothing guards against a token that repeats.
#[tokio::test]
async fn pages_that_repeat_or_go_round_end_whatever_else_their_bodies_tell() {
    let last = (0..40).map(|at| json!({"page": at, "items": [{"id": 1}], "at": at}).to_string()).collect();
    let server = pages(last);
    let (summary, _) =
        read(&manifest("", &paged("{type: PageIncrement, page_size: 1}"), ""), json!({}), Value::Null, &server).await;
    let error = summary.unwrap_err().to_string();
    assert!(
        error.contains("does not end: the same page came 3 times in a row") && server.asked().len() == 3,
        "{error}"
    );

    let round =
        (0..40).map(|at| json!({"items": [{"id": at % 2}], "next": format!("t{}", at % 2), "at": at}).to_string());
    let server = pages(round.collect());
    let (summary, _) = read(
        &manifest("", &paged("{type: CursorPagination, cursor_value: \"{{ response.next }}\"}"), ""),
        json!({}),
        Value::Null,
        &server,
    )
    .await;
    let error = summary.unwrap_err().to_string();
    assert!(error.contains("go round in a circle") && server.asked().len() < 8, "{error}");

    // One scroll token for many pages, and empty pages on the way, are fine.
    let scroll = (0..6).map(|at| {
        let items = if at == 2 || at == 3 { json!([]) } else { json!([{"id": at}]) };
        json!({"items": items, "next": if at == 5 { json!(null) } else { json!("scroll") }, "at": at}).to_string()
    });
    let (summary, sink) = read(
        &manifest("", &paged("{type: CursorPagination, cursor_value: \"{{ response.next }}\"}"), ""),
        json!({}),
        Value::Null,
        &pages(scroll.collect()),
    )
    .await;
    assert_eq!((summary.unwrap().is_sound(), sink.records.len()), (true, 4));
}

/// RFC 3986, section 5.2.2: a link that is a query alone leads to the page that it stands on.
#[tokio::test]
async fn a_next_link_that_is_a_query_alone_keeps_the_path() {
    let paginator = "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: CursorPagination, cursor_value: \"{{ response.next }}\", stop_condition: \"{{ not response.next }}\"}\n  page_token_option: {type: RequestPath}";
    let server =
        pages(vec![json!({"items": [{"id": 1}], "next": "?page=2"}).to_string(), json!({"items": []}).to_string()]);
    let (summary, _) = read(&manifest("", paginator, ""), json!({}), Value::Null, &server).await;
    summary.unwrap();
    let asked = server.asked();
    let path = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    assert!(asked[1].contains("page=2"), "{asked:?}");
    assert_eq!(path(&asked[1]), path(&asked[0]));
}

/// https://github.com/airbytehq/airbyte-python-cdk/pull/1073: a filter that drops a page's records ended the paging.
#[tokio::test]
async fn a_filter_does_not_end_the_paging() {
    let retriever = format!(
        "record_selector: {{extractor: {{field_path: [items]}}, record_filter: {{condition: \"{{{{ record.id > 2 }}}}\"}}}}\n{}",
        paged("{type: PageIncrement, page_size: 2}")
    );
    let server = Server::new([r#"{"items":[{"id":1},{"id":2}]}"#, r#"{"items":[{"id":3}]}"#]);
    let (summary, sink) = read(&manifest("", &retriever, ""), json!({}), Value::Null, &server).await;
    assert!(summary.unwrap().is_sound());
    assert_eq!(sink.records, [json!({"id": 3})]);
}

/// https://github.com/airbytehq/airbyte/issues/34883: a page with one record less than asked for is not the last one.
#[tokio::test]
async fn a_short_page_is_not_the_last_where_the_api_says_that_more_follow() {
    for (strategy, second) in
        [("{type: PageIncrement, page_size: 2}", "p=1"), ("{type: OffsetIncrement, page_size: 2}", "p=1")]
    {
        let server =
            Server::new([r#"{"has_more":true,"items":[{"id":1}]}"#, r#"{"has_more":false,"items":[{"id":2}]}"#]);
        let (summary, sink) = read(&manifest("", &paged(strategy), ""), json!({}), Value::Null, &server).await;
        assert!(summary.unwrap().is_sound());
        assert_eq!((sink.records.len(), server.asked()[1].ends_with(second)), (2, true), "{:?}", server.asked());
    }
}

const PARENT: &str = "partition_router:\n  type: SubstreamPartitionRouter\n  parent_stream_configs:\n    - parent_key: id\n      partition_field: k\n      incremental_dependency: true\n      stream:\n        name: parents\n        incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"2026-01-01\", start_time_option: {inject_into: request_parameter, field_name: since}}\n        retriever: {requester: {url_base: \"https://x.example\", path: parents}, record_selector: {extractor: {field_path: [items]}}}\nrecord_selector: {extractor: {field_path: [items]}}";

/// https://github.com/airbytehq/airbyte-python-cdk/pull/1099 (and 1067): `incremental_dependency` of a child without a cursor.
/// Its parents must be read whole, or the records of those that did not change are taken for deleted.
#[tokio::test]
async fn a_child_without_a_cursor_reads_all_of_its_parents_each_time() {
    let mut state = Value::Null;
    for _ in 0..2 {
        let server = Server::new([r#"{"items":[{"id":1,"at":"2026-01-20"}]}"#, r#"{"items":[{"id":7}]}"#]);
        let (summary, _) = read(&manifest("", PARENT, ""), json!({}), state, &server).await;
        assert_eq!(server.asked()[0], "GET https://x.example/parents?since=2026-01-01");
        state = summary.unwrap().state;
    }
}

/// https://github.com/airbytehq/airbyte-python-cdk/pull/889: a parent without records.
#[tokio::test]
async fn a_parent_without_records_has_no_children_and_keeps_its_place() {
    let cursor = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"2026-01-01\"}";
    let state = json!({"use_global_cursor": false, "states": [], "state": {"at": "2026-01-10"}, "lookback_window": 1,
        "parent_state": {"parents": {"at": "2026-01-20"}}});
    let server = Server::new([r#"{"items":[]}"#]);
    let (summary, _) = read(&manifest(cursor, PARENT, ""), json!({}), state, &server).await;
    let summary = summary.unwrap();
    assert!(summary.is_sound());
    assert_eq!(server.asked(), ["GET https://x.example/parents?since=2026-01-20"]);
    assert_eq!(summary.state["parent_state"], json!({"parents": {"at": "2026-01-20"}}));
    assert_eq!(summary.state["state"], json!({"at": "2026-01-10"}));
}

/// https://github.com/airbytehq/airbyte/issues/54198: `expires_in` is recommended, not mandatory (RFC 6749, 5.1).
/// https://github.com/airbytehq/airbyte/issues/46903: client credentials need no refresh token.
#[tokio::test]
async fn a_token_without_a_lifetime_and_client_credentials() {
    let oauth = "authenticator: {type: OAuthAuthenticator, token_refresh_endpoint: \"https://auth.example/token\", client_id: i, client_secret: s, grant_type: client_credentials}";
    for token in [
        r#"{"access_token":"T"}"#,
        r#"{"access_token":"T","expires_in":null}"#,
        r#"{"access_token":"T","expires_in":"60"}"#,
    ] {
        let server = Server::new([token, r#"{"items":[{"id":1}]}"#]);
        let (summary, _) = read(&manifest("", "", oauth), json!({}), Value::Null, &server).await;
        assert_eq!(summary.unwrap().records, 1);
        assert_eq!(
            server.asked(),
            [
                "POST https://auth.example/token grant_type=client_credentials&client_id=i&client_secret=s",
                "GET https://x.example/v1/items Authorization:Bearer T"
            ]
        );
    }
}

/// https://github.com/airbytehq/airbyte/issues/58585: a JSON array of objects as a query parameter.
#[tokio::test]
async fn a_list_of_mappings_is_one_parameter() {
    let server = Server::new([r#"{"items":[]}"#]);
    let requester = "request_parameters: {c: '[{\"key\": \"a\", \"type\": \"equals\"}]', l: '[[1,2],[3]]'}";
    read(&manifest("", "", requester), json!({}), Value::Null, &server).await.0.unwrap();
    assert_eq!(server.asked(), [r#"GET https://x.example/v1/items?c=[{"key":"a","type":"equals"}]&l=1&l=2&l=3"#]);
}

/// https://github.com/airbytehq/airbyte/issues/48106: a time in another form than the manifest says.
#[tokio::test]
async fn a_cursor_that_cannot_be_read_is_told_and_loses_no_record() {
    let cursor = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"2026-01-01\", is_client_side_incremental: true}";
    let server = Server::new([
        r#"{"items":[{"id":1,"at":"2026-01-10"},{"id":2,"at":"yesterday"},{"id":3,"at":"today"},{"id":4}]}"#,
    ]);
    let (summary, sink) = read(&manifest(cursor, "", ""), json!({}), Value::Null, &server).await;
    let summary = summary.unwrap();
    assert_eq!((sink.records.len(), &summary.state), (4, &json!({"at": "2026-01-10"})));
    assert_eq!(
        summary.warnings,
        [
            r#"the cursor `at` of a record is `"yesterday"`, which the manifest's formats do not read: it does not move on"#
        ]
    );
}

/// https://github.com/airbytehq/airbyte/issues/42928: the manifest's backoff gave way to an exponential one.
#[tokio::test]
async fn the_backoff_of_the_manifest_is_used() {
    let handler = "error_handler: {type: DefaultErrorHandler, response_filters: [{http_codes: [429], action: RETRY}], backoff_strategies: [{type: ConstantBackoffStrategy, backoff_time_in_seconds: 7}]}";
    let answer = |status, body: &'static str| HttpResponse::new(status, Vec::new(), body);
    let server = Server::of(vec![answer(429, "{}"), answer(429, "{}"), answer(200, r#"{"items":[{"id":1}]}"#)]);
    let (summary, _) = read(&manifest("", "", handler), json!({}), Value::Null, &server).await;
    assert_eq!(summary.unwrap().records, 1);
    assert_eq!(*server.slept.lock().unwrap(), [Duration::from_secs(7); 2]);
}

/// Python classes of public manifests that ship as replacements.
#[tokio::test]
async fn common_python_classes_have_replacements() {
    let extractor = |fields: &str| format!("record_selector: {{extractor: {{type: CustomRecordExtractor, {fields}}}}}");
    for (fields, body, records) in [
        (
            "class_name: source_mixpanel.components.ObjectDpathExtractor, field_path: [d], inject_key_as_field: date",
            r#"{"d":{"x":{"id":1},"y":{"id":2}}}"#,
            json!([{"date": "x", "id": 1}, {"date": "y", "id": 2}]),
        ),
        (
            "class_name: source_pipedrive.extractor.NullCheckedDpathExtractor, field_path: [d], nullable_nested_field: data",
            r#"{"d":[{"id":1,"data":{"id":1,"n":2}},{"id":3,"data":null}]}"#,
            json!([{"id": 1, "n": 2}, {"id": 3, "data": null}]),
        ),
        (
            "class_name: source_mailchimp.components.MailChimpRecordExtractorEmailActivity, field_path: [d]",
            r#"{"d":[{"id":1,"activity":[{"a":1},{"a":2}]},{"id":2}]}"#,
            json!([{"id": 1, "a": 1}, {"id": 1, "a": 2}]),
        ),
        (
            "class_name: airbyte_cdk.sources.declarative.extractors.dpath_extractor.DpathExtractor, field_path: [d]",
            r#"{"d":[{"id":1}]}"#,
            json!([{"id": 1}]),
        ),
    ] {
        let text = manifest("", &extractor(fields), "");
        assert_eq!(Manifest::parse(&text, &Files::new()).unwrap().problems().len(), 1);
        assert_eq!(
            read_common(&text, json!({}), body).await,
            (records, "GET https://x.example/v1/items".to_owned()),
            "{fields}"
        );
    }
    let nulls = "transformations: [{type: CustomTransformation, class_name: source_declarative_manifest.components.RemoveEmptyFields, field_pointers: [fields]}]";
    let body = r#"{"items":[{"id":1,"n":null,"fields":{"a":null,"b":2}}]}"#;
    let (records, _) = read_common(&manifest(nulls, "", ""), json!({}), body).await;
    assert_eq!(records, json!([{"id": 1, "n": null, "fields": {"b": 2}}]));
    let okta =
        "authenticator: {type: CustomAuthenticator, class_name: source_okta.components.CustomBearerAuthenticator}";
    let config = json!({"credentials": {"api_token": "k", "auth_type": "api_key"}});
    let (_, asked) = read_common(&manifest("", "", okta), config.clone(), r#"{"items":[]}"#).await;
    assert_eq!(asked, "GET https://x.example/v1/items Authorization:SSWS k");
    let one_of = "authenticator: {type: CustomAuthenticator, class_name: source_salesloft.components.SalesloftAuthenticator, token_auth: {type: BearerAuthenticator, api_token: \"{{ config.credentials.api_token }}\"}, oauth2: {type: BearerAuthenticator, api_token: other}}";
    let (_, asked) = read_common(&manifest("", "", one_of), config.clone(), r#"{"items":[]}"#).await;
    assert_eq!(asked, "GET https://x.example/v1/items Authorization:Bearer k");
    let paypal = "authenticator: {type: CustomAuthenticator, class_name: source_paypal_transaction.components.PayPalOauth2Authenticator, token_refresh_endpoint: \"https://auth.example/token\", client_id: \"{{ config['id'] }}\", client_secret: \"{{ config['secret'] }}\"}";
    let (_, asked) =
        read_common(&manifest("", "", paypal), json!({"id": "i", "secret": "s"}), r#"{"access_token":"T","items":[]}"#)
            .await;
    assert_eq!(asked, "POST https://auth.example/token Authorization:Basic aTpz grant_type=client_credentials");
}

/// The records, and the first request.
async fn read_common(manifest: &str, config: Value, body: &'static str) -> (Value, String) {
    let manifest = Manifest::parse_with(manifest, &Files::new(), Registry::common()).unwrap();
    let source = highwater_declarative::Source::new(&manifest, config, std::sync::Arc::new(support::Clock)).unwrap();
    let server = Server::always(body);
    let mut sink = support::Collected::default();
    source.read("s", &Value::Null, &server, &mut sink).await.unwrap();
    (Value::from(sink.records), server.asked()[0].clone())
}
