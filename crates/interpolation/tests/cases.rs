//! Interpolation against the reference implementation's results: the shared golden table, our own table of cases, every
//! template of the shared connectors, and hostile templates.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_core::{Environment, Timestamp};
use highwater_interpolation::{Interpolator, Map, Value, Variables, json, python_text};
use proptest::prelude::*;

#[derive(Debug)]
struct Frozen;

impl Environment for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_710_504_000_123)
    }

    fn unix_us(&self) -> u64 {
        1_710_504_000_123_456
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0xa5);
    }
}

fn interpolator() -> Interpolator {
    Interpolator::new(Arc::new(Frozen))
}

fn shared(path: &str) -> Option<PathBuf> {
    let named = std::env::var_os("HIGHWATER_SHARED").map(PathBuf::from);
    let beside = || {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().map(|folder| folder.join("shared")).find(|folder| folder.is_dir())
    };
    let path = named.or_else(beside)?.join("reference/manifests").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Numbers alike whether whole or not, as the type is compared by itself.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => {
            found.as_f64() == wanted.as_f64() && found.is_f64() == wanted.is_f64()
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| same(found, wanted))
        }
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && found.iter().all(|(key, value)| wanted.get(key).is_some_and(|wanted| same(value, wanted)))
        }
        _ => found == wanted,
    }
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Checks one case; what differs, in a line.
fn difference(interpolator: &Interpolator, variables: &Variables<'_>, case: &Value) -> Option<String> {
    let template = case["template"].as_str().expect("a template");
    let found = interpolator.evaluate(template, variables);
    if case.get("error").is_some() {
        return found.ok().map(|found| format!("{template:?}: {found} where an error is due"));
    }
    let found = match found {
        Ok(found) => found,
        Err(error) => return Some(format!("{template:?}: {error}, wanted {}", case["value"])),
    };
    if !same(&found, &case["value"]) {
        return Some(format!("{template:?}: {found}, wanted {}", case["value"]));
    }
    // JSON has no tuples, sets and bytes: the first are lists, the others text.
    let wanted = match case["type"].as_str() {
        Some("tuple") => "list",
        Some("set" | "bytes") => "str",
        other => other.unwrap_or("?"),
    };
    if python_type(&found) != wanted {
        return Some(format!("{template:?}: {found} is {}, wanted {wanted}", python_type(&found)));
    }
    if let Some(text) = case["text"].as_str() {
        let found = interpolator.evaluate_text(template, variables);
        if found.as_deref().ok() != Some(text) {
            return Some(format!("{template:?} as text: {found:?}, wanted {text:?}"));
        }
    }
    let condition = interpolator.condition(template, variables);
    match (condition, case["as_condition"].as_bool()) {
        (Ok(found), Some(wanted)) if found != wanted => Some(format!("{template:?} as condition: {found}")),
        (Err(error), Some(_)) => Some(format!("{template:?} as condition: {error}")),
        _ => None,
    }
}

fn check_table(table: &Value) -> usize {
    let interpolator = interpolator();
    let mut variables = Variables::new();
    for (name, value) in table.as_object().expect("a table") {
        if !matches!(name.as_str(), "cdk" | "cases" | "frozen_utc" | "source") {
            variables.set(name, value);
        }
    }
    let cases = table["cases"].as_array().expect("cases");
    let differences: Vec<String> =
        cases.iter().filter_map(|case| difference(&interpolator, &variables, case)).collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
    cases.len()
}

#[test]
fn golden_table() {
    let Some(path) = shared("golden_interpolation.json") else {
        return;
    };
    let table: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
    assert_eq!(check_table(&table), 90);
}

#[test]
fn own_table() {
    let table: Value = serde_json::from_str(include_str!("cases.json")).expect("JSON");
    assert!(check_table(&table) >= 300);
}

/// The `{{ }}` parts of a manifest, found in its text.
fn templates_of(manifest: &str) -> Vec<String> {
    let mut templates = Vec::new();
    let mut rest = manifest;
    while let Some(start) = rest.find("{{") {
        let tail = rest.get(start..).unwrap_or("");
        let Some(end) = tail.find("}}") else {
            break;
        };
        // A YAML scalar in single quotes doubles them.
        let template = tail.get(..end + 2).unwrap_or("").to_owned();
        let line_start = rest.get(..start).unwrap_or("").rfind('\n').map_or(0, |at| at + 1);
        let single_quoted =
            rest.get(line_start..start).is_some_and(|before| before.contains(": '") || before.contains("- '"));
        templates.push(if single_quoted { template.replace("''", "'") } else { template.replace("\\\"", "\"") });
        rest = tail.get(end + 2..).unwrap_or("");
    }
    templates
}

#[test]
fn templates_of_all_connectors_compile() {
    let Some(connectors) = shared("connectors") else {
        return;
    };
    let interpolator = interpolator();
    let mut count = 0;
    let mut broken = Vec::new();
    for connector in std::fs::read_dir(connectors).expect("a folder") {
        let path = connector.expect("an entry").path().join("manifest.yaml");
        let Ok(manifest) = std::fs::read_to_string(&path) else {
            continue;
        };
        for template in templates_of(&manifest) {
            count += 1;
            // The reference implementation refuses the old name of the interval as well.
            if !template.contains("stream_state")
                && let Err(error) = interpolator.check(&template)
            {
                broken.push(format!("{}: {error}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    assert!(count > 600, "only {count} templates found");
}

#[test]
fn unknown_variables_are_errors_even_where_unused() {
    let config = json!({"a": 1});
    let variables = Variables::new().with("config", &config);
    let error = interpolator().evaluate("{{ config.a if true else nosuch }}", &variables).unwrap_err();
    assert!(error.message().contains("unknown variable 'nosuch'"), "{error}");
}

#[test]
fn errors_say_what_and_where() {
    let broken = [
        ("{{ config.a", "a tag is not closed"),
        ("{{ config.a | nosuch }}", "unknown filter 'nosuch'"),
        ("one\ntwo {{ + }}", "(line 2)"),
        ("{% if a %}x", "a block is not closed"),
        ("{{ x is nosuch }}", "unknown test 'nosuch'"),
        ("{% include 'x' %}", "unknown or unsupported statement 'include'"),
        ("{{ stream_state.x }}", "stream_interval"),
    ];
    for (template, wanted) in broken {
        let error = interpolator().check(template).unwrap_err();
        assert!(error.message().contains(wanted), "{template}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn slices_have_other_names() {
    let slice = json!({"id": 7});
    let variables = Variables::new().with("stream_slice", &slice);
    let template = "{{ stream_partition.id + stream_interval.id + stream_slice.id }}";
    assert_eq!(interpolator().evaluate(template, &variables).unwrap(), 21);
}

#[test]
fn short_way_and_evaluator_agree() {
    let response = json!({
        "a": {"b": [1, {"c": "12"}, null], "items": "own", "empty": "", "list": [], "f": 1.5, "big": u64::MAX},
        "text": "{'x': [1, 2.0, None]}", "t": true, "quoted": "'q'",
    });
    let variables = Variables::new().with("response", &response);
    let interpolator = interpolator();
    for path in [
        "response.a.b",
        "response.a.b[0]",
        "response.a.b[-2].c",
        "response.a['items']",
        "response.a.empty",
        "response.text",
        "response.a.list",
        "response.a.f",
        "response.a.big",
        "response.t",
        "response.missing",
        "response.missing.deeper",
        "response.a.b[9]",
        "response.a.b[2]",
        "response.a.b[2].x",
        "response.quoted",
        "response.quoted[0]",
        "response",
        "response.a.b.x",
        "response['get']['x']",
        "response.t.x",
    ] {
        let short = format!("{{{{ {path} }}}}");
        let long = format!("{{{{ ({path}) if true else 1 }}}}");
        assert_eq!(
            interpolator.evaluate(&short, &variables).unwrap(),
            interpolator.evaluate(&long, &variables).unwrap(),
            "{path}"
        );
        assert_eq!(
            interpolator.condition(&short, &variables).unwrap(),
            interpolator.condition(&long, &variables).unwrap(),
            "{path}"
        );
        assert_eq!(
            interpolator.evaluate_text(&short, &variables).ok(),
            interpolator.evaluate_text(&long, &variables).ok(),
            "{path}"
        );
    }
}

#[test]
fn strings_are_empty_or_fail_where_values_are_null() {
    let config = json!({"n": 5});
    let variables = Variables::new().with("config", &config);
    let interpolator = interpolator();
    assert_eq!(interpolator.evaluate_string("{{ config.missing }}", &variables).unwrap(), "");
    assert!(interpolator.evaluate_string("{{ config.missing.deeper }}", &variables).is_err());
    assert_eq!(interpolator.evaluate_string("{{ config.n }}", &variables).unwrap(), 5);
    assert_eq!(interpolator.evaluate_text("{{ config }}", &variables).unwrap(), "{'n': 5}");
    assert_eq!(python_text(&json!([true, null, "x", 1.0])), "[True, None, 'x', 1.0]");
}

#[test]
fn mappings_keep_nulls_and_nested_ones_drop_them() {
    let config = json!({"name": "x", "n": 5, "list": ["a"]});
    let variables = Variables::new().with("config", &config);
    let interpolator = interpolator();
    let mapping = json!({"{{ config.name }}": "{{ config.n }}", "gone": "{{ config.missing }}", "list": "{{ config.list }}", "number": 3});
    let mapping: &Map = mapping.as_object().unwrap();
    let types = highwater_interpolation::LiteralTypes::REQUEST;
    let evaluated = interpolator.evaluate_mapping(mapping, &variables, types).unwrap();
    assert_eq!(Value::Object(evaluated), json!({"x": "5", "gone": null, "list": ["a"], "number": 3}));
    let nested = json!({"{{ config.name }}": ["{{ config.n }}", "{{ config.missing }}"], "gone": "{{ config.missing }}", "deep": {"gone": null, "t": true}});
    assert_eq!(
        interpolator.evaluate_nested(&nested, &variables).unwrap(),
        json!({"x": [5, null], "deep": {"t": true}})
    );
}

#[test]
fn random_identifiers_are_version_4() {
    let variables = Variables::new();
    let uuid = interpolator().evaluate("{{ generate_uuid() }}", &variables).unwrap();
    assert_eq!(uuid, "a5a5a5a5-a5a5-45a5-a5a5-a5a5a5a5a5a5");
}

#[test]
fn hostile_templates_are_stopped() {
    let config = json!({"l": vec![1; 2_000], "s": "x".repeat(10_000)});
    let variables = Variables::new().with("config", &config);
    let interpolator = interpolator();
    let hostile = [
        "{{ 'x' * 1000000000 }}".to_owned(),
        "{{ [1] * 1000000000 }}".to_owned(),
        "{{ 10 ** 1000000 }}".to_owned(),
        "{{ 'x'.center(100000000) }}".to_owned(),
        "{{ '%1000000000d' % 5 }}".to_owned(),
        "{{ now_utc().strftime('%1000000000d') }}".to_owned(),
        "{% for a in config.l %}{% for b in config.l %}{% for c in config.l %}x{% endfor %}{% endfor %}{% endfor %}"
            .to_owned(),
        "{% set n = namespace(x='ab') %}{% for a in config.l %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}"
            .to_owned(),
        "{% set n = namespace(x=[]) %}{% for a in config.l %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}".to_owned(),
        "{% set n = namespace(x=[1]) %}{% for a in config.l %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}"
            .to_owned(),
        "{% set l = [1] %}{% for a in config.l %}{{ l.append(l) }}{% endfor %}{{ l }}".to_owned(),
        "{{ config.s.replace('', config.s) }}".to_owned(),
        "{{ config.s.join(config.l | map('string')) }}".to_owned(),
        "{{ config.s | regex_search('(x+x+)+\\\\1y') }}".to_owned(),
        format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("{{{{ {} 1 }}}}", "-".repeat(5_000)),
        format!("{{{{ {} 1 }}}}", "not ".repeat(5_000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(5_000)),
        format!("{{{{ config{} }}}}", ".a".repeat(5_000)),
        format!("{{{{ 'a'{} }}}}", "|lower".repeat(5_000)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(5_000)),
        format!("{}{}", "{% if 1 %}".repeat(5_000), "{% endif %}".repeat(5_000)),
        format!("{{{{ '{}' }}}}", "x".repeat(300_000)),
    ];
    for template in hostile {
        let start: String = template.chars().take(90).collect();
        assert!(interpolator.evaluate(&template, &variables).is_err(), "not stopped: {start}");
    }
    // Text that nests deeply is text.
    let deep = "[".repeat(100_000);
    assert_eq!(interpolator.evaluate(&deep, &variables).unwrap(), deep.as_str());
}

fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-}}",
        "{{-",
        "if",
        "else",
        "endif",
        "for",
        "in",
        "endfor",
        "set",
        "endset",
        "config",
        "response",
        "a",
        "b",
        "'x'",
        "\"é\"",
        "1",
        "1.5",
        "0x1",
        "-",
        "+",
        "*",
        "**",
        "//",
        "%",
        "~",
        "|",
        ".",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ":",
        ",",
        "==",
        "<",
        ">=",
        "and",
        "or",
        "not",
        "is",
        "none",
        "defined",
        "int",
        "length",
        "join",
        "list",
        "map",
        "sort",
        "round",
        "default",
        "tojson",
        "string",
        "now_utc()",
        "duration('P1D')",
        "format_datetime",
        "timestamp",
        "max",
        "min",
        "'%Y-%m'",
        "get",
        "split",
        "replace",
        "strftime",
        "'%'",
        "true",
        "None",
        "\\",
        "\n",
        "raw",
        "endraw",
        "1_000",
        "namespace",
        "loop",
        "append",
        "5",
        "'2024-01-02'",
        "range",
    ];
    prop_oneof![
        6 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_template_panics(parts in proptest::collection::vec(fragment(), 0..24), wrapped in any::<bool>()) {
        let template = if wrapped { format!("{{{{ {} }}}}", parts.join(" ")) } else { parts.join(" ") };
        let config = json!({"a": "x", "b": [1, 2, {"c": null}], "d": {"e": 1.5}});
        let variables = Variables::new().with("config", &config).with("response", &config).with("a", &config);
        let interpolator = interpolator();
        let _ = interpolator.evaluate(&template, &variables);
        let _ = interpolator.condition(&template, &variables);
        let _ = interpolator.evaluate_text(&template, &variables);
    }

    #[test]
    fn no_text_panics_as_a_literal(text in "[-+0-9a-fxob_eEjJ.,:'\"\\\\ \\[\\](){}#\nNoneTrueFalseset]{0,40}") {
        let config = json!({ "text": text });
        let variables = Variables::new().with("config", &config);
        let _ = interpolator().evaluate("{{ config.text }}", &variables).unwrap();
    }

    #[test]
    fn no_datetime_panics(text in "\\PC{0,30}", format in "(%[-_0^#]?[0-9]{0,3}[a-zA-Z%]|[ T:/.-]|\\PC){0,12}", seconds in any::<i64>()) {
        use highwater_interpolation::{datetime, duration::Duration};
        let _ = datetime::parse(&text, &format);
        let _ = datetime::parse_iso(&text);
        let _ = Duration::parse(&text);
        if let Ok(instant) = datetime::parse(&seconds.to_string(), "%ms") {
            let shown = datetime::format(instant, &format);
            if let Ok(shown) = shown {
                let _ = datetime::parse(&shown, &format);
            }
            let _ = Duration { months: seconds % 100_000, microseconds: seconds }.after(instant);
            let _ = Duration { months: seconds, microseconds: seconds }.before(instant);
        }
    }
}
