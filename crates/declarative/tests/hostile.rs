//! Manifests, configs and servers that are wrong: each gives one line that names the place.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use highwater_declarative::{Files, Manifest, Value, json};
use proptest::prelude::*;
use support::{Server, manifest, read};

fn parse_error(text: &str) -> String {
    Manifest::parse(text, &Files::new()).unwrap_err().to_string()
}

#[test]
fn faults_of_a_manifest_are_named_with_their_place() {
    let requester = "{url_base: \"https://x.example\", path: x}";
    let selector = "{extractor: {field_path: []}}";
    let stream = |retriever: &str| format!("streams: [{{name: s, retriever: {retriever}}}]");
    let cases = [
        ("streams: 5".to_owned(), "a list is expected here, but it is a number (at: streams)"),
        ("[]".to_owned(), "the manifest is not a mapping: give the manifest.yaml of a connector"),
        ("x: 1".to_owned(), "the manifest has no streams: list them under `streams` (at: the manifest)"),
        (
            "streams: [{name: s, retriever: {$ref: '#/definitions/r'}}]".to_owned(),
            "the $ref #/definitions/r leads nowhere: define it or correct the reference (at: streams[0].retriever.$ref)",
        ),
        (
            "a: {$ref: '#/b'}\nb: {$ref: '#/a'}\nstreams: []".to_owned(),
            "a $ref leads back to itself: #/b -> #/a -> #/b (at: a.$ref.$ref.$ref)",
        ),
        (
            stream(&format!(
                "{{requester: {requester}, record_selector: {{extractor: {{type: DpathExtractr, field_path: []}}}}}}"
            )),
            "`DpathExtractr` is not a component that is allowed here: did you mean DpathExtractor? (at: streams[0].retriever.record_selector.extractor)",
        ),
        (
            stream(&format!("{{requester: {requester}, record_selector: {{extractor: {{field_path: 7}}}}}}")),
            "a list is expected here, but it is a number (at: streams[0].retriever.record_selector.extractor.field_path)",
        ),
        (
            stream(&format!(
                "{{requester: {requester}, record_selector: {selector}, paginator: {{type: DefaultPaginator}}}}"
            )),
            "`pagination_strategy` is missing: say how the next page is found (at: streams[0].retriever.paginator)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_error(&text), expected, "{text}");
    }
    let broken = parse_error("a: [1\nb: 2");
    assert!(broken.starts_with("the manifest is not valid YAML: ") && !broken.contains('\n'), "{broken}");
    let template = parse_error(&manifest("", "", "path: \"/{{ config[ }}\""));
    assert!(
        template.contains("does not parse") && template.contains("(at: streams[0].retriever.requester.path)"),
        "{template}"
    );
}

#[test]
fn a_python_class_keeps_its_stream_from_running_and_no_other() {
    let text = "streams:\n  - {name: a, retriever: {class_name: source_x.Retriever}}\n  - {name: b, retriever: {requester: {url_base: \"https://x.example\"}, record_selector: {extractor: {field_path: []}}}}";
    let manifest = Manifest::parse(text, &Files::new()).unwrap();
    assert_eq!(manifest.stream_names(), ["a", "b"]);
    let problems: Vec<_> = manifest.problems().into_iter().map(|(name, error)| (name, error.to_string())).collect();
    assert_eq!(
        problems,
        [("a", "source_x.Retriever is a Python class: register a replacement under this name, or use a stream without it (at: streams[0].retriever)".to_owned())]
    );
}

#[test]
fn a_fault_stops_its_own_stream() {
    let retriever = |path: &str| {
        format!(
            "{{requester: {{url_base: \"https://x.example\", path: \"{path}\"}}, record_selector: {{extractor: {{field_path: []}}}}}}"
        )
    };
    let (broken, good) = (retriever("/{{ config[ }}"), retriever("/x"));
    let text = format!("streams:\n  - {{name: a, retriever: {broken}}}\n  - {{name: b, retriever: {good}}}");
    let manifest = Manifest::parse(&text, &Files::new()).unwrap();
    let problems: Vec<_> = manifest.problems().into_iter().map(|(name, error)| (name, error.to_string())).collect();
    assert_eq!(problems.len(), 1);
    let (name, problem) = &problems[0];
    assert_eq!(*name, "a");
    assert!(
        problem.contains("does not parse") && problem.contains("(at: streams[0].retriever.requester.path)"),
        "{problem}"
    );
    let step = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: u, datetime_format: \"%Y\", start_datetime: \"2024\", step: 5 days, cursor_granularity: P1D}";
    let error = parse_error(&format!("streams: [{{name: c, {step}, retriever: {good}}}]"));
    assert!(error.contains("5 days") && error.contains("(at: streams[0].incremental_sync.step)"), "{error}");
}

#[tokio::test]
async fn faults_of_configs_and_servers_are_named_too() {
    let spec = "spec: {type: Spec, connection_specification: {type: object, required: [key], properties: {key: {type: string, title: API key, airbyte_secret: true}, n: {type: integer}}}}\n";
    let text = spec.to_owned()
        + &manifest("", "", "authenticator: {type: BearerAuthenticator, api_token: \"{{ config.key }}\"}");
    let server = Server::default();
    let error = |config: Value| support::source(&text, config).unwrap_err().to_string();
    assert_eq!(error(json!({})), "the config misses `key` (API key): give it");
    assert_eq!(error(json!({"key": "k", "n": "x"})), "the config's `n` must be a whole number");

    let source = support::source(&text, json!({"key": "sesame"})).unwrap();
    let mut sink = support::Collected::default();
    let missing = source.read("none", &Value::Null, &server, &mut sink).await.unwrap_err().to_string();
    assert_eq!(missing, "the manifest has no stream `none`: use one of s");

    let refused =
        Server::of(vec![highwater_template::HttpResponse::new(401, vec![], r#"{"message": "sesame is no key"}"#)]);
    let refused = source.read("s", &Value::Null, &refused, &mut sink).await.unwrap_err();
    assert_eq!(refused.kind(), highwater_core::ErrorKind::Unauthorized);
    assert_eq!(
        refused.to_string(),
        "GET https://x.example/v1/items failed with status 401: [secret] is no key (at: streams[0].retriever.requester, stream: s)"
    );

    let elsewhere = Server::new([r#"{"other": []}"#]);
    let summary = source.read("s", &Value::Null, &elsewhere, &mut sink).await.unwrap();
    assert!(!summary.is_sound());
    assert_eq!(
        summary.warnings,
        ["a response has no `items`: check `field_path` (at: streams[0].retriever.record_selector.extractor)"]
    );
    let cut = Server::new([r#"{"items": [{"id": 1}"#]);
    let cut = source.read("s", &Value::Null, &cut, &mut sink).await.unwrap_err().to_string();
    assert!(cut.contains("cannot be read") && cut.contains("begins with `{\"items\": [{\"id\": 1}`"), "{cut}");
}

#[tokio::test]
async fn paging_that_never_ends_is_ended() {
    for strategy in [
        "{type: PageIncrement, page_size: 1}",
        "{type: OffsetIncrement, page_size: 1}",
        "{type: CursorPagination, cursor_value: \"{{ response.next }}\"}",
    ] {
        let paginator = format!(
            "paginator:\n  type: DefaultPaginator\n  pagination_strategy: {strategy}\n  page_token_option: {{type: RequestOption, inject_into: request_parameter, field_name: p}}"
        );
        let server = Server::always(r#"{"items": [{"id": 1}], "next": "same"}"#);
        let (summary, _) = read(&manifest("", &paginator, ""), json!({}), Value::Null, &server).await;
        let error = summary.unwrap_err().to_string();
        assert!(error.starts_with("the paging does not end: the same page came 3 times in a row"), "{error}");
        assert!(error.contains("(at: streams[0].retriever.paginator, stream: s)"), "{error}");
        assert!(server.asked().len() < 10);
    }
}

#[tokio::test]
async fn a_cursor_with_too_many_windows_is_refused() {
    let stream = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: \"%Y-%m-%d\", start_datetime: \"1900-01-01\", step: PT0.001S, cursor_granularity: PT0.001S}";
    let (summary, _) = read(&manifest(stream, "", ""), json!({}), Value::Null, &Server::default()).await;
    assert_eq!(
        summary.unwrap_err().to_string(),
        "the cursor makes more than 1000000 windows: use a longer `step` (at: streams[0].incremental_sync, stream: s)"
    );
}

/// A manifest with one of everything, to be damaged.
fn whole() -> Value {
    json!({
        "definitions": {"requester": {"url_base": "https://x.example/{{ config['a'] }}", "path": "{{ stream_slice.k }}"}},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "streams": [{
            "name": "s", "primary_key": ["id"], "$parameters": {"x": 1},
            "incremental_sync": {"type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%d",
                "start_datetime": {"datetime": "{{ config['a'] }}", "min_datetime": "2026-01-01"}, "step": "P1D", "cursor_granularity": "P1D"},
            "transformations": [{"type": "AddFields", "fields": [{"path": ["y"], "value": "{{ record.id }}"}]}],
            "retriever": {
                "requester": {"$ref": "#/definitions/requester"},
                "record_selector": {"extractor": {"field_path": ["items"]}, "record_filter": {"condition": "{{ record.id }}"}},
                "paginator": {"type": "DefaultPaginator", "pagination_strategy": {"type": "OffsetIncrement", "page_size": 2},
                    "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "o"}},
                "partition_router": {"type": "ListPartitionRouter", "values": ["a"], "cursor_field": "k"},
            },
        }],
    })
}

fn damage(value: &mut Value, path: &[u8], with: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = with.clone();
        return;
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            let place = usize::from(*first) % members.len();
            if let Some(member) = members.values_mut().nth(place) {
                damage(member, rest, with);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let place = usize::from(*first) % items.len();
            damage(&mut items[place], rest, with);
        }
        other => *other = with.clone(),
    }
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("#/streams/0")),
        Just(json!("#/definitions")),
        Just(json!({"$ref": "#/streams/0/retriever"})),
        Just(json!("{{ 1 / 0 }}")),
        Just(json!("{% for x in y %}")),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z{}% .'|\\[\\]]{0,24}".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_damaged_manifest_neither_panics_nor_hangs(
        damages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), odd()), 1..4),
        body in "[\\[\\]{}\":,a-z0-9]{0,40}",
    ) {
        let mut value = whole();
        for (path, with) in &damages {
            damage(&mut value, path, with);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body: &'static str = Box::leak(body.into_boxed_str());
        for text in [value.to_string(), "{".to_owned() + body] {
            let server = Server::new([r#"{"items": [{"id": 1, "at": "2026-01-30"}]}"#, body, body]);
            let (outcome, _) = runtime.block_on(read(&text, json!({"a": "2026-01-29"}), Value::Null, &server));
            if let Err(error) = outcome {
                prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}
