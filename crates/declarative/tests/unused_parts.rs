//! Faults in parts that a config never uses stop nothing: they are told by `findings`, and raised when the part is used.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use highwater_core::ErrorKind;
use highwater_declarative::{Files, Manifest, Registry, Value, json};
use support::{Collected, Server, manifest, read, source};

fn findings(manifest: &str) -> Vec<String> {
    Manifest::parse(manifest, &Files::new()).unwrap().findings().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_way_to_authenticate_that_nobody_chose_may_be_broken() {
    let selective = "authenticator:\n  type: SelectiveAuthenticator\n  authenticator_selection_path: [kind]\n  authenticators:\n    key: {type: BearerAuthenticator, api_token: \"{{ config.key }}\"}\n    broken: {type: BearerAuthenticator, api_token: \"{{ config[ }}\"}\n    python: {type: CustomAuthenticator, class_name: source_x.components.Auth}";
    let text = manifest("", "", selective);
    let server = Server::new([r#"{"items":[{"id":1}]}"#]);
    let (summary, sink) = read(&text, json!({"kind": "key", "key": "k"}), Value::Null, &server).await;
    summary.unwrap();
    assert_eq!(
        (sink.records, server.asked()),
        (vec![json!({"id": 1})], vec!["GET https://x.example/v1/items Authorization:Bearer k".to_owned()])
    );
    for (kind, expected, of_kind) in [
        ("broken", "does not parse", ErrorKind::Invalid),
        ("python", "source_x.components.Auth is a Python class", ErrorKind::Unsupported),
    ] {
        let (summary, _) = read(&text, json!({"kind": kind}), Value::Null, &Server::default()).await;
        let error = summary.unwrap_err();
        assert_eq!(error.kind(), of_kind, "{error}");
        assert!(
            error.to_string().contains(expected) && error.to_string().contains(&format!("authenticators.{kind}")),
            "{error}"
        );
        let told = findings(&text);
        assert!(
            told.iter().any(|told| told.contains(expected) && told.starts_with("note:") == (kind == "python")),
            "{told:?}"
        );
    }
}

const GOOD: &str =
    "{requester: {url_base: \"https://x.example\", path: x}, record_selector: {extractor: {field_path: []}}}";

#[tokio::test]
async fn a_broken_condition_and_a_broken_list_stop_their_own_streams() {
    let text = format!(
        "streams:\n  - {{name: a, retriever: {GOOD}}}\n  - {{type: ConditionalStreams, condition: \"{{{{ config[ }}}}\", streams: [{{type: DeclarativeStream, name: b, retriever: {GOOD}}}]}}\ndynamic_streams:\n  - {{type: DynamicDeclarativeStream, stream_template: {{name: \"\", retriever: {GOOD}}}, components_resolver: {{type: HttpComponentsResolver, retriever: {{type: CustomRetriever, class_name: source_x.Boards}}, components_mapping: []}}}}"
    );
    let manifest = Manifest::parse(&text, &Files::new()).unwrap();
    let problems: Vec<&str> = manifest.problems().iter().map(|(name, _)| *name).collect();
    assert_eq!(problems, ["b"]);
    assert!(findings(&text).iter().any(|told| told.contains("source_x.Boards is a Python class")));
    let mut source = source(&text, json!({})).unwrap();
    let server = Server::new([r#"[{"id":1}]"#]);
    source.read("a", &Value::Null, &server, &mut Collected::default()).await.unwrap();
    let error = source.discover(&server).await.unwrap_err();
    assert!(error.to_string().contains("source_x.Boards is a Python class"), "{error}");
}

#[tokio::test]
async fn a_python_class_that_converts_an_older_state_is_a_note() {
    let text =
        manifest("state_migrations: [{type: CustomStateMigration, class_name: source_x.components.Migration}]", "", "");
    let server = Server::new([r#"{"items":[{"id":1}]}"#]);
    let (summary, _) = read(&text, json!({}), Value::Null, &server).await;
    assert_eq!(summary.unwrap().records, 1);
    assert_eq!(
        findings(&text),
        [
            "note: streams[0].state_migrations[0]: source_x.components.Migration is a Python class that converts the state of an older version: Highwater has no replacement, and continues without it"
        ]
    );
}

/// Spec with one declared member, `id`.
const SPEC: &str = "spec:\n  type: Spec\n  connection_specification: {type: object, properties: {id: {type: string}}}\n  config_normalization_rules:\n    type: ConfigNormalizationRules\n";

#[tokio::test]
async fn a_python_class_for_the_config_stops_the_streams_that_need_it() {
    let path = |path: &str| GOOD.replace("path: x", &format!("path: \"{path}\""));
    let text = format!(
        "{SPEC}    config_migrations: [{{type: ConfigMigration, transformations: [{{type: CustomConfigTransformation, class_name: source_x.Old}}]}}]\n    transformations: [{{type: CustomConfigTransformation, class_name: source_x.components.Normalize, field: id}}]\n    validations: [{{type: DpathValidator, field_path: [id], validation_strategy: {{type: CustomValidationStrategy, class_name: source_x.Valid}}}}]\nstreams:\n  - {{name: plain, retriever: {}}}\n  - {{name: made, retriever: {}}}\ndynamic_streams:\n  - type: DynamicDeclarativeStream\n    stream_template: {{name: \"\", retriever: {}}}\n    components_resolver: {{type: ConfigComponentsResolver, stream_config: {{configs_pointer: [id]}}, components_mapping: [{{field_path: [name], value: \"of_{{{{ components_values.source_config_0[1] }}}}\"}}]}}",
        path("{{ config.id }}"),
        path("{{ config['made_of_id'] }}"),
        path("dynamic/{{ config.id }}"),
    );
    let source = source(&text, json!({"id": "7"})).unwrap();
    let server = Server::new([r#"[{"id":1}]"#, r#"[{"id":1}]"#]);
    for stream in ["plain", "of_7"] {
        source.read(stream, &Value::Null, &server, &mut Collected::default()).await.unwrap();
    }
    assert_eq!(server.asked(), ["GET https://x.example/7", "GET https://x.example/dynamic/7"]);
    let error = source.read("made", &Value::Null, &server, &mut Collected::default()).await.unwrap_err();
    assert!(error.to_string().contains("source_x.components.Normalize is a Python class"), "{error}");
    let told = findings(&text);
    assert!(
        told[0]
            .starts_with("note: spec.config_normalization_rules.config_migrations[0].transformations[0]: source_x.Old"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with(
            "note: spec.config_normalization_rules.transformations[0]: source_x.components.Normalize is a Python class"
        ),
        "{told:?}"
    );
    assert!(
        told[2].starts_with("note: spec.config_normalization_rules.validations[0].validation_strategy: source_x.Valid"),
        "{told:?}"
    );

    let registry = Registry::new().component(
        "source_x.components.Normalize",
        |_| json!({"type": "ConfigAddFields", "fields": [{"path": ["made_of_id"], "value": "id-{{ config.id }}"}]}),
    );
    let manifest = Manifest::parse_with(&text, &Files::new(), registry).unwrap();
    let source =
        highwater_declarative::Source::new(&manifest, json!({"id": "7"}), std::sync::Arc::new(support::Clock)).unwrap();
    let server = Server::new([r#"[{"id":1}]"#]);
    source.read("made", &Value::Null, &server, &mut Collected::default()).await.unwrap();
    assert_eq!(server.asked(), ["GET https://x.example/id-7"]);
}
