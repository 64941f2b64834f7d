//! Each component of the language, on a small manifest of our own and a server made of a list.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use highwater_declarative::{Value, json};
use highwater_template::HttpResponse;
use support::{Server, manifest, read};

struct Case {
    name: &'static str,
    stream: &'static str,
    retriever: &'static str,
    requester: &'static str,
    config: Value,
    state: Value,
    answers: &'static [&'static str],
    asked: &'static [&'static str],
    records: Value,
    end: Value,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            name: "",
            stream: "",
            retriever: "",
            requester: "",
            config: json!({}),
            state: Value::Null,
            answers: &[r#"{"items": [{"id": 1}]}"#],
            asked: &["GET https://x.example/v1/items"],
            records: json!([{"id": 1}]),
            end: json!({"__ab_no_cursor_state_message": true}),
        }
    }
}

fn paging() -> Vec<Case> {
    vec![
        Case { name: "no pagination", ..Case::default() },
        Case {
            name: "page increment",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: PageIncrement, page_size: 1, start_from_page: 1}\n  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}\n  page_size_option: {inject_into: request_parameter, field_name: per}",
            answers: &[r#"{"items": [{"id": 1}]}"#, r#"{"items": []}"#],
            asked: &["GET https://x.example/v1/items?per=1", "GET https://x.example/v1/items?page=2&per=1"],
            ..Case::default()
        },
        Case {
            name: "offset increment, counted before the filter",
            retriever: "record_selector: {extractor: {field_path: [items]}, record_filter: {condition: \"{{ record.id > 1 }}\"}}\npaginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: OffsetIncrement, page_size: \"{{ config.size }}\", inject_on_first_request: true}\n  page_token_option: {type: RequestOption, inject_into: header, field_name: x-offset}",
            config: json!({"size": 2}),
            answers: &[r#"{"items": [{"id": 1}, {"id": 2}]}"#, r#"{"items": [{"id": 3}]}"#],
            asked: &["GET https://x.example/v1/items x-offset:0", "GET https://x.example/v1/items x-offset:2"],
            records: json!([{"id": 2}, {"id": 3}]),
            ..Case::default()
        },
        Case {
            name: "cursor pagination into the path",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: CursorPagination, cursor_value: \"{{ response.next }}\", stop_condition: \"{{ not response.next }}\"}\n  page_token_option: {type: RequestPath}",
            answers: &[r#"{"items": [{"id": 1}], "next": "https://x.example/v1/items?p=2"}"#, r#"{"items": []}"#],
            asked: &["GET https://x.example/v1/items", "GET https://x.example/v1/items?p=2"],
            ..Case::default()
        },
        Case {
            name: "cursor pagination by the last record into the body",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: CursorPagination, cursor_value: \"{{ last_record.id }}\", stop_condition: \"{{ last_page_size < 1 }}\"}\n  page_token_option: {type: RequestOption, inject_into: body_json, field_path: [page, after]}",
            requester: "http_method: POST",
            answers: &[r#"{"items": [{"id": 1}]}"#, r#"{"items": []}"#],
            asked: &["POST https://x.example/v1/items", r#"POST https://x.example/v1/items {"page":{"after":1}}"#],
            ..Case::default()
        },
        Case {
            name: "an offset goes on by what came where the server makes smaller pages",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: OffsetIncrement, page_size: 100}\n  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: offset}",
            answers: &[
                r#"{"total": 11, "items": [{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8},{"id":9},{"id":10}]}"#,
                r#"{"total": 11, "items": [{"id": 11}]}"#,
            ],
            asked: &["GET https://x.example/v1/items", "GET https://x.example/v1/items?offset=10"],
            records: json!((1..=11).map(|id| json!({"id": id})).collect::<Vec<_>>()),
            ..Case::default()
        },
    ]
}

fn requests() -> Vec<Case> {
    vec![
        Case {
            name: "parameters, headers and values that fall out",
            requester: "request_parameters: {a: \"{{ config.a }}\", none: \"{{ config.none }}\", list: \"{{ [1, 2] }}\"}\nrequest_headers: {X-N: \"{{ 1 + 1 }}\"}\nauthenticator: {type: BearerAuthenticator, api_token: \"{{ config.token }}\"}",
            config: json!({"a": "5", "token": "t"}),
            asked: &["GET https://x.example/v1/items?a=5&list=1&list=2 X-N:2 Authorization:Bearer t"],
            ..Case::default()
        },
        Case {
            name: "basic authentication and a form",
            requester: "http_method: POST\nrequest_body_data: {q: \"a b\"}\nauthenticator: {type: BasicHttpAuthenticator, username: u, password: p}",
            asked: &["POST https://x.example/v1/items Authorization:Basic dTpw q=a+b"],
            ..Case::default()
        },
        Case {
            name: "an API key in the query, chosen by the config",
            requester: "authenticator:\n  type: SelectiveAuthenticator\n  authenticator_selection_path: [auth, kind]\n  authenticators:\n    key: {type: ApiKeyAuthenticator, api_token: \"{{ config.auth.key }}\", inject_into: {type: RequestOption, inject_into: request_parameter, field_name: key}}\n    none: {type: NoAuth}",
            config: json!({"auth": {"kind": "key", "key": "k"}}),
            asked: &["GET https://x.example/v1/items?key=k"],
            ..Case::default()
        },
        Case {
            name: "a token by OAuth, once for all requests",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: PageIncrement, page_size: 1}\n  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}",
            requester: "authenticator: {type: OAuthAuthenticator, token_refresh_endpoint: \"https://auth.example/token\", client_id: i, client_secret: s, refresh_token: r}",
            answers: &[r#"{"access_token": "T", "expires_in": 60}"#, r#"{"items": [{"id": 1}]}"#, r#"{"items": []}"#],
            asked: &[
                "POST https://auth.example/token grant_type=refresh_token&client_id=i&client_secret=s&refresh_token=r",
                "GET https://x.example/v1/items Authorization:Bearer T",
                "GET https://x.example/v1/items?page=1 Authorization:Bearer T",
            ],
            ..Case::default()
        },
        Case {
            name: "a session token by a login",
            requester: "authenticator:\n  type: SessionTokenAuthenticator\n  login_requester: {type: HttpRequester, url_base: \"https://x.example\", path: login, http_method: POST, request_body_json: {user: \"{{ config.user }}\"}}\n  session_token_path: [session, id]\n  expiration_duration: PT1H\n  request_authentication: {type: ApiKey, inject_into: {type: RequestOption, inject_into: header, field_name: X-Session}}",
            config: json!({"user": "u"}),
            answers: &[r#"{"session": {"id": "S"}}"#, r#"{"items": [{"id": 1}]}"#],
            asked: &[r#"POST https://x.example/login {"user":"u"}"#, "GET https://x.example/v1/items X-Session:S"],
            ..Case::default()
        },
        Case {
            name: "GraphQL in the body",
            requester: "http_method: POST\nrequest_body: {type: RequestBodyGraphQL, value: {query: \"{ items { id } }\"}}",
            asked: &[r#"POST https://x.example/v1/items {"query":"{ items { id } }"}"#],
            ..Case::default()
        },
        Case {
            name: "properties in parts, records laid over each other",
            requester: "request_parameters:\n  fields:\n    type: QueryProperties\n    property_list: [a, b]\n    always_include_properties: [id]\n    property_chunking: {type: PropertyChunking, property_limit_type: property_count, property_limit: 1}",
            answers: &[r#"{"items": [{"id": "1", "a": 1}]}"#, r#"{"items": [{"id": "1", "b": 2}]}"#],
            asked: &["GET https://x.example/v1/items?fields=id,a", "GET https://x.example/v1/items?fields=id,b"],
            records: json!([{"id": "1", "a": 1, "b": 2}]),
            ..Case::default()
        },
    ]
}

fn records() -> Vec<Case> {
    vec![
        Case {
            name: "fields added, removed, renamed, flattened",
            stream: "transformations:\n  - {type: AddFields, fields: [{path: [meta, n], value: \"{{ record.id + 1 }}\"}]}\n  - {type: RemoveFields, field_pointers: [[secret], [list, \"0\"]]}\n  - {type: KeysToSnakeCase}\n  - {type: KeysReplace, old: foo, new: bar}\n  - {type: DpathFlattenFields, field_path: [deep], delete_origin_value: true}",
            answers: &[r#"{"items": [{"id": 1, "secret": 2, "list": [1, 2], "fooBar": 3, "deep": {"x": 4}}]}"#],
            records: json!([{"id": 1, "list": [null, 2], "bar_bar": 3, "meta": {"n": 2}, "x": 4}]),
            ..Case::default()
        },
        Case {
            name: "a wildcard in the path, and records within records",
            retriever: "record_selector: {extractor: {field_path: [groups, \"*\"], record_expander: {expand_records_from_field: [rows], remain_original_record: false}}}",
            answers: &[r#"{"groups": [{"rows": [{"id": 1}]}, {"rows": []}, {"rows": [{"id": 2}]}]}"#],
            records: json!([{"id": 1}, {"id": 2}]),
            ..Case::default()
        },
        Case {
            name: "values take the schema's types",
            stream: "schema_loader: {type: InlineSchemaLoader, schema: {type: object, properties: {id: {type: string}}}}",
            retriever: "record_selector: {extractor: {field_path: [items]}, schema_normalization: Default}",
            records: json!([{"id": "1"}]),
            ..Case::default()
        },
        Case {
            name: "lines of JSON",
            retriever: "decoder: {type: JsonlDecoder}\nrecord_selector: {extractor: {field_path: []}}",
            answers: &["{\"id\": 1}\n{\"id\": 2}\n"],
            records: json!([{"id": 1}, {"id": 2}]),
            ..Case::default()
        },
        Case {
            name: "rows of CSV",
            retriever: "decoder: {type: CsvDecoder, delimiter: \";\"}\nrecord_selector: {extractor: {field_path: []}}",
            answers: &["id;n\n1;a\n"],
            records: json!([{"id": "1", "n": "a"}]),
            ..Case::default()
        },
        Case {
            name: "XML",
            retriever: "decoder: {type: XmlDecoder}\nrecord_selector: {extractor: {field_path: [r, i]}}",
            answers: &["<r><i><id>1</id></i><i><id>2</id></i></r>"],
            records: json!([{"id": "1"}, {"id": "2"}]),
            ..Case::default()
        },
    ]
}

const WINDOWS: &str = "incremental_sync:\n  type: DatetimeBasedCursor\n  cursor_field: at\n  datetime_format: \"%Y-%m-%d\"\n  start_datetime: \"2026-01-01\"\n  end_datetime: \"2026-01-04\"\n  step: P2D\n  cursor_granularity: P1D\n  start_time_option: {inject_into: request_parameter, field_name: from}\n  end_time_option: {inject_into: request_parameter, field_name: to}";

fn slices() -> Vec<Case> {
    vec![
        Case {
            name: "windows of time",
            stream: WINDOWS,
            answers: &[r#"{"items": [{"id": 1, "at": "2026-01-02"}]}"#, r#"{"items": []}"#],
            asked: &[
                "GET https://x.example/v1/items?from=2026-01-01&to=2026-01-02",
                "GET https://x.example/v1/items?from=2026-01-03&to=2026-01-04",
            ],
            records: json!([{"id": 1, "at": "2026-01-02"}]),
            end: json!({"at": "2026-01-02"}),
            ..Case::default()
        },
        Case {
            name: "a state goes on where it ended",
            stream: WINDOWS,
            state: json!({"at": "2026-01-03"}),
            answers: &[r#"{"items": [{"id": 1, "at": "2026-01-04"}]}"#],
            asked: &["GET https://x.example/v1/items?from=2026-01-03&to=2026-01-04"],
            records: json!([{"id": 1, "at": "2026-01-04"}]),
            end: json!({"at": "2026-01-04"}),
            ..Case::default()
        },
        Case {
            name: "a feed ends at what is known already",
            stream: "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"2026-01-01\", is_data_feed: true}",
            retriever: "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: PageIncrement, page_size: 2}\n  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}",
            state: json!({"at": "2026-01-10"}),
            answers: &[r#"{"items": [{"id": 2, "at": "2026-01-11"}, {"id": 1, "at": "2026-01-09"}]}"#],
            records: json!([{"id": 2, "at": "2026-01-11"}]),
            end: json!({"at": "2026-01-11"}),
            ..Case::default()
        },
        Case {
            name: "a number that grows",
            stream: "incremental_sync: {type: IncrementingCountCursor, cursor_field: id, start_value: 5, start_value_option: {inject_into: request_parameter, field_name: after}}",
            answers: &[r#"{"items": [{"id": 7}]}"#],
            asked: &["GET https://x.example/v1/items?after=5"],
            records: json!([{"id": 7}]),
            end: json!({"id": 7}),
            ..Case::default()
        },
        Case {
            name: "partitions of a list, in groups",
            retriever: "partition_router:\n  type: GroupingPartitionRouter\n  group_size: 2\n  underlying_partition_router: {type: ListPartitionRouter, values: [a, b, c], cursor_field: k}",
            requester: "path: /items\nrequest_parameters: {k: \"{{ stream_partition.k | join(',') }}\"}",
            answers: &[r#"{"items": [{"id": 1}]}"#, r#"{"items": []}"#],
            asked: &["GET https://x.example/v1/items?k=a,b", "GET https://x.example/v1/items?k=c"],
            ..Case::default()
        },
        Case {
            name: "every combination of two lists",
            retriever: "partition_router:\n  - {type: ListPartitionRouter, values: [a, b], cursor_field: k, request_option: {inject_into: request_parameter, field_name: k}}\n  - {type: ListPartitionRouter, values: [x], cursor_field: l, request_option: {inject_into: request_parameter, field_name: l}}",
            answers: &[r#"{"items": [{"id": 1}]}"#, r#"{"items": []}"#],
            asked: &["GET https://x.example/v1/items?l=x&k=a", "GET https://x.example/v1/items?l=x&k=b"],
            ..Case::default()
        },
        Case {
            name: "a partition for each record of a parent, with a state each",
            stream: "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"2026-01-01\"}",
            retriever: "record_selector: {extractor: {field_path: [items]}}\npartition_router:\n  type: SubstreamPartitionRouter\n  parent_stream_configs:\n    - parent_key: id\n      partition_field: parent\n      extra_fields: [[name]]\n      stream:\n        name: parents\n        retriever:\n          requester: {url_base: \"https://x.example\", path: parents}\n          record_selector: {extractor: {field_path: []}}",
            requester: "path: \"/{{ stream_partition.parent }}/{{ stream_slice.extra_fields['name'] }}\"",
            answers: &[
                r#"[{"id": 1, "name": "n"}, {"id": 2, "name": "m"}]"#,
                r#"{"items": [{"id": 1, "at": "2026-01-05"}]}"#,
                r#"{"items": []}"#,
            ],
            asked: &["GET https://x.example/parents", "GET https://x.example/v1/1/n", "GET https://x.example/v1/2/m"],
            records: json!([{"id": 1, "at": "2026-01-05"}]),
            end: json!({
                "use_global_cursor": false,
                "states": [
                    {"partition": {"parent": 1, "parent_slice": {}}, "cursor": {"at": "2026-01-05"}},
                    {"partition": {"parent": 2, "parent_slice": {}}, "cursor": {"at": "2026-01-01"}},
                ],
                "state": {"at": "2026-01-05"},
                "lookback_window": 0,
                "parent_state": {},
            }),
            ..Case::default()
        },
    ]
}

#[tokio::test]
async fn components_do_what_the_language_says() {
    for case in paging().into_iter().chain(requests()).chain(records()).chain(slices()) {
        let server = Server::new(case.answers.iter().copied());
        let text = manifest(case.stream, case.retriever, case.requester);
        let (summary, sink) = read(&text, case.config, case.state, &server).await;
        let summary = summary.unwrap_or_else(|error| panic!("{}: {error}\n{text}", case.name));
        assert_eq!(server.asked(), case.asked, "{}", case.name);
        assert_eq!(Value::from(sink.records), case.records, "{}", case.name);
        assert_eq!(summary.state, case.end, "{}", case.name);
        assert!(summary.is_sound(), "{}: {:?}", case.name, summary.warnings);
    }
}

#[tokio::test]
async fn a_read_that_broke_off_goes_on_in_the_middle_of_a_slice() {
    let text = manifest(
        "",
        "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {type: PageIncrement, page_size: 1}\n  page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}",
        "",
    );
    let source = support::source(&text, json!({})).unwrap();
    let mut sink = support::Collected { fail_after: Some(2), ..Default::default() };
    let server = Server::new([r#"{"items": [{"id": 1}]}"#, r#"{"items": [{"id": 2}]}"#, r#"{"items": [{"id": 3}]}"#]);
    assert_eq!(source.read("s", &Value::Null, &server, &mut sink).await.unwrap_err().to_string(), "no space");
    let server = Server::new([r#"{"items": [{"id": 3}]}"#, r#"{"items": []}"#]);
    let state = sink.states.last().cloned().unwrap();
    sink.fail_after = None;
    let summary = source.read("s", &state, &server, &mut sink).await.unwrap();
    assert_eq!(server.asked(), ["GET https://x.example/v1/items?page=2", "GET https://x.example/v1/items?page=3"]);
    assert_eq!(Value::from(sink.records), json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    assert_eq!(summary.state, json!({"__ab_no_cursor_state_message": true}));
}

#[tokio::test]
async fn failures_are_tried_again_after_the_time_the_server_asks_for() {
    let answer =
        |status, headers: Vec<(String, String)>, body: &str| HttpResponse::new(status, headers, body.to_owned());
    let server = Server::of(vec![
        answer(429, vec![("Retry-After".into(), "7".into())], ""),
        answer(503, vec![], ""),
        answer(200, vec![], r#"{"items": [{"id": 1}]}"#),
    ]);
    let text = manifest(
        "",
        "",
        "error_handler: {backoff_strategies: [{type: ConstantBackoffStrategy, backoff_time_in_seconds: 3}]}",
    );
    let (summary, sink) = read(&text, json!({}), Value::Null, &server).await;
    assert_eq!((summary.unwrap().records, sink.records.len()), (1, 1));
    let slept: Vec<u64> = server.slept.lock().unwrap().iter().map(std::time::Duration::as_secs).collect();
    assert_eq!(slept, [7, 3]);
}

#[tokio::test]
async fn filters_of_responses_decide() {
    let answer = |status, body: &str| HttpResponse::new(status, Vec::new(), body.to_owned());
    let handler = "error_handler:\n  type: CompositeErrorHandler\n  error_handlers:\n    - response_filters: [{action: IGNORE, http_codes: [404]}]\n    - response_filters: [{action: FAIL, predicate: \"{{ 'bad' in response }}\", error_message: \"said {{ response.bad }}\"}]";
    let text = manifest("", "", handler);
    let (summary, _) = read(&text, json!({}), Value::Null, &Server::of(vec![answer(404, "")])).await;
    assert_eq!(summary.unwrap().records, 0);
    let (summary, _) = read(&text, json!({}), Value::Null, &Server::of(vec![answer(400, r#"{"bad": "x"}"#)])).await;
    assert_eq!(
        summary.unwrap_err().to_string(),
        "GET https://x.example/v1/items failed with status 400: said x (at: streams[0].retriever.requester, stream: s)"
    );
}
