//! What stands where records are due and is none: nothing of it vanishes without a word, as far as the reference goes and
//! further. (airbyte-cdk 7.39.1 was asked for each of these bodies: where it fails, so does this.)

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use highwater_declarative::{Value, json};
use support::{Server, manifest, read};

/// How a read of one page ended: its records, and `sound`, or what was said of it.
async fn outcome(stream: &str, retriever: &str, requester: &str, answers: Vec<(u16, &'static str)>) -> String {
    let answers =
        answers.into_iter().map(|(status, body)| highwater_template::HttpResponse::new(status, Vec::new(), body));
    let server = Server::of(answers.collect());
    let (summary, sink) = read(&manifest(stream, retriever, requester), json!({}), Value::Null, &server).await;
    let records = Value::from(sink.records);
    let aside = sink.aside.iter().map(|odd| format!(" aside {odd}")).collect::<String>();
    match summary {
        Ok(summary) if summary.is_sound() => format!("{records}{aside} sound"),
        Ok(summary) => format!("{records}{aside} unsound: {}", summary.warnings.join("; ")),
        Err(error) => format!("{records}{aside} error: {}", error.message()),
    }
}

async fn of_body(selector: &str, body: &'static str) -> String {
    outcome("", &format!("record_selector: {{extractor: {selector}}}"), "", vec![(200, body)]).await
}

fn due(shown: &str) -> String {
    format!("[] error: a response has `{shown}` where records are due: check `field_path`, or ask again later")
}

fn lacks(path: &str) -> String {
    format!(
        "[] unsound: a response has no `{path}`: check `field_path` (at: streams[0].retriever.record_selector.extractor)"
    )
}

fn aside(records: &str, odd: &str) -> String {
    format!(
        "{records} aside {odd} unsound: 1 of the items among the records are not objects, such as `{odd}` \
         (at: streams[0].retriever.record_selector)"
    )
}

fn taken_for_none(text: &str) -> String {
    format!(
        "[] unsound: a response has `{text}` where records are due: it was taken for none (at: streams[0].retriever.record_selector.extractor)"
    )
}

#[tokio::test]
async fn what_is_no_record_is_an_error_or_set_aside_and_never_nothing() {
    let tells = "[] unsound: a response has no records but reports an error (at: streams[0].retriever.record_selector)";
    for (path, cases) in [
        (
            "[data]",
            vec![
                (r#"{"data":"maintenance"}"#, due("\"maintenance\"")),
                (r#"{"data":5}"#, due("5")),
                (r#"{"data":true}"#, due("true")),
                (r#"{"data":["a"]}"#, due("\"a\"")),
                (r#"{"data":[[{"id":1}]]}"#, due("[{\"id\":1}]")),
                (r#"{"data":[null]}"#, aside("[]", "null")),
                (r#"{"data":[{"id":1},"x"]}"#, aside(r#"[{"id":1}]"#, "\"x\"")),
                // An empty list of some languages is null, an empty mapping of others is not a list.
                (r#"{"data":null}"#, "[] sound".to_owned()),
                (r#"{"data":{}}"#, "[] sound".to_owned()),
                (r#"{"data":[]}"#, "[] sound".to_owned()),
                (r#"{"data":null,"errors":[{"message":"busy"}]}"#, tells.to_owned()),
                (r#"{"data":false}"#, taken_for_none("false")),
                (r#"{"data":""}"#, taken_for_none("\"\"")),
                (r#"{"other":1}"#, lacks("data")),
                ("null", lacks("data")),
                ("5", lacks("data")),
                ("", "[] unsound: a response is empty (at: streams[0].retriever.record_selector)".to_owned()),
                (
                    "<html>down</html>",
                    "[] error: a response cannot be read: expected value at line 1 column 1; it begins with `<html>down</html>`".to_owned(),
                ),
            ],
        ),
        (
            "[]",
            vec![
                (r#""maintenance""#, due("\"maintenance\"")),
                ("5", due("5")),
                (r#"["a"]"#, due("\"a\"")),
                ("[null]", aside("[]", "null")),
                (r#"[{"id":1},"x"]"#, aside(r#"[{"id":1}]"#, "\"x\"")),
                ("null", "[] sound".to_owned()),
                ("{}", "[] sound".to_owned()),
                ("false", taken_for_none("false")),
            ],
        ),
        (
            "[data, \"*\"]",
            vec![
                (r#"{"data":"maintenance"}"#, due("\"maintenance\"")),
                (r#"{"data":["a"]}"#, due("\"a\"")),
                (r#"{"data":[null]}"#, aside("[]", "null")),
                (r#"{"data":[{"id":1},"x"]}"#, aside(r#"[{"id":1}]"#, "\"x\"")),
                (r#"{"data":{"a":{"id":1},"b":3}}"#, aside(r#"[{"id":1}]"#, "3")),
                (r#"{"data":null}"#, "[] sound".to_owned()),
                (r#"{"data":[]}"#, "[] sound".to_owned()),
                (r#"{"x":1}"#, lacks("data.*")),
            ],
        ),
        (
            "[data, \"*\", row]",
            vec![
                (r#"{"data":[{"x":1}]}"#, lacks("data.*.row")),
                (r#"{"data":[{"row":{"id":1}},{"x":1}]}"#, r#"[{"id":1}] sound"#.to_owned()),
                (r#"{"data":[{"row":[{"id":1}]}]}"#, due("[{\"id\":1}]")),
            ],
        ),
    ] {
        for (body, expected) in cases {
            assert_eq!(of_body(&format!("{{field_path: {path}}}"), body).await, expected, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn alternatives_and_lists_within_records_are_looked_at_too() {
    let either = "{type: CombinedExtractor, mode: first_match, extractors: [{type: DpathExtractor, field_path: [a]}, {type: DpathExtractor, field_path: [b]}]}";
    assert_eq!(of_body(either, r#"{"b":[{"id":1}]}"#).await, r#"[{"id":1}] sound"#);
    assert!(of_body(either, r#"{"c":1}"#).await.contains("no `a`"));
    let rows = "{field_path: [data], record_expander: {expand_records_from_field: [rows]}}";
    assert_eq!(of_body(rows, r#"{"data":[{"rows":[{"id":1}]},{"rows":null}]}"#).await, r#"[{"id":1}] sound"#);
    assert_eq!(
        of_body(rows, r#"{"data":[{"rows":[{"id":1}]},{"rows":"gone"}]}"#).await,
        r#"[{"id":1}] unsound: a record's `rows` is not a list and was not expanded"#
    );
    assert!(of_body(rows, r#"{"data":[{"rows":[{"id":1},7]}]}"#).await.starts_with(r#"[{"id":1}] aside 7 unsound"#));
}

#[tokio::test]
async fn lines_and_tables_that_are_none() {
    let decoded = |decoder: &str, body| {
        let retriever = format!("decoder: {decoder}\nrecord_selector: {{extractor: {{field_path: []}}}}");
        async move { outcome("", &retriever, "", vec![(200, body)]).await }
    };
    let lines = "{type: JsonlDecoder}";
    let cut = decoded(lines, "{\"id\":1}\n{\"id\":\n").await;
    assert!(cut.starts_with(r#"[{"id":1}] aside {"id": unsound"#), "{cut}");
    assert!(decoded(lines, "<html>\n</html>").await.contains("error: a response has `<html>` where records are due"));
    let page = "[] error: the response is a web page: the API may be down for maintenance";
    assert_eq!(decoded("{type: CsvDecoder}", "<!DOCTYPE html><html>\n<p>back soon\n").await, page);
    assert_eq!(decoded("{type: IterableDecoder}", "\n<HTML>back soon").await, page);
    let items = "{type: JsonItemsDecoder, items_path: data.items}";
    assert!(decoded(items, r#"{"message":"busy"}"#).await.contains("unsound: a response has no `data.items`"));
    assert!(decoded("{type: XmlDecoder}", "<r><i>").await.contains("error: the response is not XML"));
}

#[tokio::test]
async fn a_response_that_the_manifest_ignores_is_not_everything_there_is() {
    let handler = "error_handler: {type: DefaultErrorHandler, response_filters: [{http_codes: [400, 403, 404], action: IGNORE}, {predicate: \"{{ 'busy' in response }}\", action: IGNORE}]}";
    let one = r#"{"items":[{"id":1}]}"#;
    for (status, body) in [(400, "{}"), (403, "{}"), (404, "{}"), (200, r#"{"busy":1,"items":[]}"#)] {
        let read = outcome("", "", handler, vec![(status, body)]).await;
        assert!(read.starts_with("[] unsound"), "{status} {body}: {read}");
    }
    // Redirects that were not followed, and a 304 that nobody asked for, are no lists, whatever stands in them.
    for status in [302, 304] {
        let read = outcome("", "", "", vec![(status, one)]).await;
        assert!(read.contains(&format!("failed with status {status}")), "{read}");
    }
    let taken = "error_handler: {type: DefaultErrorHandler, response_filters: [{http_codes: [404], action: SUCCESS}]}";
    assert!(outcome("", "", taken, vec![(404, one)]).await.starts_with("[] unsound"));
    // Of two partitions, one is gone: its records are, too.
    let parts = "partition_router: {type: ListPartitionRouter, values: [a, b], cursor_field: k}";
    assert_eq!(outcome("", parts, handler, vec![(404, "{}"), (200, one)]).await, r#"[{"id":1}] sound"#);
    let refused = outcome("", parts, handler, vec![(403, "{}"), (200, one)]).await;
    assert!(refused.starts_with(r#"[{"id":1}] unsound"#), "{refused}");
}

const PARENT: &str = "partition_router:\n  type: SubstreamPartitionRouter\n  parent_stream_configs:\n    - parent_key: key\n      partition_field: k\n      stream: {name: parents, retriever: {requester: {url_base: \"https://x.example\", path: parents}, record_selector: {extractor: {field_path: [items]}}}}\nrecord_selector: {extractor: {field_path: [items]}}";

#[tokio::test]
async fn a_parent_without_a_key_is_told() {
    let answers = vec![(200, r#"{"items":[{"key":1},{"id":2}]}"#), (200, r#"{"items":[{"id":7}]}"#)];
    assert_eq!(
        outcome("", PARENT, "", answers).await,
        r#"[{"id":7}] unsound: a record of `parents` has no `key`: nothing was read for it (at: streams[0].retriever.partition_router.parent_stream_configs[0])"#
    );
}

#[tokio::test]
async fn half_a_surrogate_pair_in_a_parent_keeps_no_child_back() {
    let answers = vec![(200, r#"{"items":[{"key":1,"name":"\ud83d"}]}"#), (200, r#"{"items":[{"id":7}]}"#)];
    assert_eq!(outcome("", PARENT, "", answers).await, r#"[{"id":7}] sound"#);
}

#[tokio::test]
async fn a_filter_of_the_manifest_is_its_own_meaning() {
    let filter =
        "record_selector: {extractor: {field_path: [items]}, record_filter: {condition: \"{{ record.id > 1 }}\"}}";
    let read = outcome("", filter, "", vec![(200, r#"{"items":[{"id":1},{"id":2}]}"#)]).await;
    assert_eq!(read, r#"[{"id":2}] sound"#);
}

#[tokio::test]
async fn a_record_that_no_filter_can_read_is_set_aside_alone() {
    let filter =
        "record_selector: {extractor: {field_path: [items]}, record_filter: {condition: \"{{ record.id > 1 }}\"}}";
    let body = r#"{"items":[{"id":2},{"id":3,"name":"\ud83d"},{"id":4}]}"#;
    let read = outcome("", filter, "", vec![(200, body)]).await;
    assert!(read.starts_with(r#"[{"id":2},{"id":4}] aside "#), "{read}");
    assert!(read.contains("unsound"), "{read}");
}
