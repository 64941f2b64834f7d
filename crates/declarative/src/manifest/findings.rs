//! Finds faults that would show only at run time, and parts that are not used.

use std::collections::BTreeSet;

use highwater_interpolation::{Interpolator, Map, Value, datetime};

use crate::document::{SECTIONS, faults, lookup};
use crate::finding::Finding;
use crate::wording::{distance, has_markup, shortened};

/// What templates can see somewhere.
const VARIABLES: [&str; 24] = [
    "config",
    "parameters",
    "record",
    "response",
    "headers",
    "request_url",
    "stream_slice",
    "stream_partition",
    "stream_interval",
    "stream_state",
    "next_page_token",
    "last_record",
    "last_page_size",
    "page_size",
    "components_values",
    "stream_template_config",
    "session_token",
    "raw_schema",
    "creation_response",
    "polling_response",
    "download_target",
    "property",
    "path",
    "value",
];

/// Members in which nothing is evaluated.
const OPAQUE: [&str; 6] = ["schema", "schemas", "definitions", "metadata", "spec", "$parameters"];
/// Formats that are one directive of the language's own.
const WHOLE: [&str; 4] = ["%s", "%ms", "%s_as_float", "%epoch_microseconds"];

/// Goes through `tree`, in which references are resolved, and through `raw`, in which they are not.
pub(super) fn find(tree: &Value, raw: &Value, interpolator: &Interpolator) -> Vec<Finding> {
    let mut search = Search { interpolator, found: Vec::new(), seen: BTreeSet::new() };
    if let Value::Object(root) = tree {
        search.members(root, "");
    }
    let mut found = search.found;
    found.extend(faults(raw).iter().map(|fault| Finding {
        at: fault.context("at").unwrap_or_default().to_owned(),
        message: fault.message().to_owned(),
        is_fault: false,
    }));
    unused(raw, &mut found);
    found
}

struct Search<'s> {
    interpolator: &'s Interpolator,
    found: Vec<Finding>,
    /// What was reported. A fault that references bring to many places is reported once.
    seen: BTreeSet<String>,
}

impl Search<'_> {
    fn tell(&mut self, at: &str, message: String, is_fault: bool) {
        let field = at.rsplit('.').next().unwrap_or_default();
        if self.seen.insert(format!("{field} {message}")) {
            self.found.push(Finding { at: at.to_owned(), message, is_fault });
        }
    }

    fn value(&mut self, value: &Value, at: &str) {
        match value {
            Value::Object(members) => self.members(members, at),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.value(item, &format!("{at}[{index}]")));
            }
            Value::String(text) => self.template(text, at),
            _ => {}
        }
    }

    fn members(&mut self, members: &Map, at: &str) {
        let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
        for (name, value) in members {
            if OPAQUE.contains(&name.as_str()) || members.contains_key("class_name") {
                continue;
            }
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match (kind, name.as_str()) {
                ("DatetimeBasedCursor" | "MinMaxDatetime", "datetime_format") => self.format(value, &at),
                ("DatetimeBasedCursor", "cursor_datetime_formats") => {
                    let formats = value.as_array().into_iter().flatten().enumerate();
                    formats.for_each(|(index, format)| self.format(format, &format!("{at}[{index}]")));
                }
                ("DpathExtractor" | "DpathFlattenFields", "field_path") => {
                    if let Some(text) = value.as_str() {
                        let text = shortened(text);
                        self.tell(
                            &at,
                            format!("a list is expected here, and it is the text {text}: write [{text}]"),
                            false,
                        );
                    }
                }
                _ => {}
            }
            self.value(value, &at);
        }
    }

    fn template(&mut self, text: &str, at: &str) {
        if !has_markup(text) {
            return;
        }
        for name in self.interpolator.variables_of(text).unwrap_or_default() {
            if VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let near = VARIABLES.iter().find(|known| distance(known, &name) <= 2);
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "use `config`, `parameters`, `response`, `record`, `stream_slice` or `next_page_token`".to_owned()
                }
            };
            self.tell(at, format!("no template ever sees `{name}`: {hint}"), true);
        }
    }

    fn format(&mut self, format: &Value, at: &str) {
        let Some(format) = format.as_str().filter(|format| !has_markup(format) && !WHOLE.contains(format)) else {
            return;
        };
        if let Some(directive) = datetime::unknown_directive(format) {
            let message = format!(
                "{directive} is not a directive of datetimes in {}: use those of strptime, or %s, %ms, %s_as_float or \
                 %epoch_microseconds alone",
                shortened(format)
            );
            self.tell(at, message, true);
        }
    }
}

/// Definitions that nothing leads to, reached from outside of the definitions.
fn unused(raw: &Value, found: &mut Vec<Finding>) {
    let Some(root) = raw.as_object() else { return };
    let mut used = BTreeSet::new();
    let mut open: Vec<&Value> =
        root.iter().filter(|(name, _)| !SECTIONS.contains(&name.as_str())).map(|(_, value)| value).collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            Value::String(text) => {
                let Some(path) = text.strip_prefix("#/") else { continue };
                if used.insert(path)
                    && let Some(target) = lookup(raw, path)
                {
                    open.push(target);
                }
            }
            _ => {}
        }
    }
    for section in SECTIONS {
        let members = root.get(section).and_then(Value::as_object);
        for (name, value) in members.into_iter().flatten() {
            report(&format!("{section}/{name}"), value, &used, found);
        }
    }
}

/// A group of definitions is looked into where parts of it are used.
fn report(path: &str, value: &Value, used: &BTreeSet<&str>, found: &mut Vec<Finding>) {
    let within = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    if used.iter().any(|used| *used == path || within(used, path)) {
        return;
    }
    let members = value.as_object().filter(|members| !members.contains_key("type"));
    match members.filter(|_| used.iter().any(|used| within(path, used))) {
        Some(members) => {
            members.iter().for_each(|(name, value)| report(&format!("{path}/{name}"), value, used, found));
        }
        None if used.iter().any(|used| within(path, used)) => {}
        None => found.push(Finding {
            at: path.replace('/', "."),
            message: "nothing refers to it: remove it, or use it with $ref".to_owned(),
            is_fault: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::document::Files;
    use crate::manifest::Manifest;

    fn told(manifest: &str) -> Vec<String> {
        Manifest::parse(manifest, &Files::new()).unwrap().findings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn formats_variables_paths_and_definitions_are_looked_at() {
        let manifest = r##"
definitions:
  base: {requester: {url_base: "https://x.example", path: "{{ stream_partition.a }}/{{ unheard }}{{ now_utc() }}"}}
  group: {used: {type: NoAuth}, idle: {type: NoAuth, more: "#/definitions/idler"}}
  idler: {type: NoAuth}
schemas: {lone: {type: object}}
streams:
  - name: a
    retriever:
      requester: {$ref: "#/definitions/base/requester", authenticator: "#/definitions/group/used"}
      record_selector: {extractor: {field_path: items}, record_filter: {condition: "{% set mine = 1 %}{{ mine == record.id }}"}}
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: at
      datetime_format: "%Y-%m-%dT%H:%M:%S.%_ms%Q"
      cursor_datetime_formats: ["%s", "%Y %s", "%ms", "%"]
      start_datetime: {datetime: "2024-01-01", datetime_format: "%F"}
  - name: b
    retriever:
      requester: {$ref: "#/definitions/base/requester"}
      record_selector: {extractor: {field_path: []}}
    schema_loader: {type: InlineSchemaLoader, schema: {type: object, properties: {x: {description: "{{ untouched }}"}}}}
"##;
        assert_eq!(
            told(manifest),
            [
                "streams[0].retriever.requester.path: no template ever sees `unheard`: use `config`, `parameters`, `response`, `record`, `stream_slice` or `next_page_token`",
                "note: streams[0].retriever.record_selector.extractor.field_path: a list is expected here, and it is the text `items`: write [`items`]",
                "streams[0].incremental_sync.datetime_format: %Q is not a directive of datetimes in `%Y-%m-%dT%H:%M:%S.%_ms%Q`: use those of strptime, or %s, %ms, %s_as_float or %epoch_microseconds alone",
                "streams[0].incremental_sync.cursor_datetime_formats[1]: %s is not a directive of datetimes in `%Y %s`: use those of strptime, or %s, %ms, %s_as_float or %epoch_microseconds alone",
                "streams[0].incremental_sync.cursor_datetime_formats[3]: % is not a directive of datetimes in `%`: use those of strptime, or %s, %ms, %s_as_float or %epoch_microseconds alone",
                "streams[0].incremental_sync.start_datetime.datetime_format: %F is not a directive of datetimes in `%F`: use those of strptime, or %s, %ms, %s_as_float or %epoch_microseconds alone",
                "note: definitions.group.idle: nothing refers to it: remove it, or use it with $ref",
                "note: definitions.idler: nothing refers to it: remove it, or use it with $ref",
                "note: schemas.lone: nothing refers to it: remove it, or use it with $ref",
            ]
        );
    }
}
