//! Adds the types that a component's position implies, and passes `$parameters` down into every component.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

const PARAMETERS: &str = "$parameters";
const MAX_DEPTH: usize = 256;

/// The type of a component that does not say it, by the field it stands in.
fn default_type(place: &str) -> Option<&'static str> {
    Some(match place {
        "CompositeErrorHandler.error_handlers" | "HttpRequester.error_handler" => "DefaultErrorHandler",
        "CursorPagination.decoder" | "DefaultPaginator.decoder" | "DpathExtractor.decoder" => "JsonDecoder",
        "DatetimeBasedCursor.start_datetime" | "DatetimeBasedCursor.end_datetime" => "MinMaxDatetime",
        "DatetimeBasedCursor.end_time_option"
        | "DatetimeBasedCursor.start_time_option"
        | "DefaultPaginator.page_size_option"
        | "ListPartitionRouter.request_option"
        | "ParentStreamConfig.request_option" => "RequestOption",
        "DeclarativeSource.check" => "CheckStream",
        "DeclarativeSource.spec" => "Spec",
        "DeclarativeSource.streams" | "ParentStreamConfig.stream" | "DynamicDeclarativeStream.stream_template" => {
            "DeclarativeStream"
        }
        "DeclarativeStream.retriever" | "HttpComponentsResolver.retriever" | "DynamicSchemaLoader.retriever" => {
            "SimpleRetriever"
        }
        "DeclarativeStream.schema_loader" => "JsonFileSchemaLoader",
        "DynamicDeclarativeStream.components_resolver" => "ConfigComponentsResolver",
        "HttpComponentsResolver.components_mapping" | "ConfigComponentsResolver.components_mapping" => {
            "ComponentMappingDefinition"
        }
        "ConfigComponentsResolver.stream_config" => "StreamConfig",
        "DefaultErrorHandler.response_filters" => "HttpResponseFilter",
        "DpathExtractor.record_expander" => "RecordExpander",
        "RecordExpander.parent_fields" => "ParentFieldPath",
        "RecordSelector.extractor" => "DpathExtractor",
        "RecordSelector.record_filter" => "RecordFilter",
        "SimpleRetriever.paginator" => "NoPagination",
        "SimpleRetriever.record_selector" => "RecordSelector",
        "SimpleRetriever.requester" => "HttpRequester",
        "SubstreamPartitionRouter.parent_stream_configs" | "CustomPartitionRouter.parent_stream_configs" => {
            "ParentStreamConfig"
        }
        "AddFields.fields" => "AddedFieldDefinition",
        "SchemaTypeIdentifier.types_map" => "TypesMap",
        _ => return None,
    })
}

/// The type of a component with a `class_name`, by the field it stands in.
fn custom_type(place: &str) -> Option<&'static str> {
    Some(match place {
        "CompositeErrorHandler.backoff_strategies" | "DefaultErrorHandler.backoff_strategies" => {
            "CustomBackoffStrategy"
        }
        "DeclarativeStream.retriever" => "CustomRetriever",
        "DeclarativeStream.transformations" => "CustomTransformation",
        "DefaultPaginator.pagination_strategy" => "CustomPaginationStrategy",
        "HttpRequester.authenticator" => "CustomAuthenticator",
        "HttpRequester.error_handler" => "CustomErrorHandler",
        "RecordSelector.extractor" => "CustomRecordExtractor",
        "SimpleRetriever.partition_router" => "CustomPartitionRouter",
        _ => return None,
    })
}

/// Values that parameters may put into all components together: many of them in many components multiply.
const MAX_HANDED: usize = 5_000_000;

/// Gives `component` its type and the parameters in force, and hands them down. With `parents_win`, the parameters from
/// above win over a component's own.
pub(crate) fn propagate(place: &str, component: Value, above: &Map, parents_win: bool) -> Result<Value> {
    match component {
        Value::Object(members) => {
            let mut handing = Handing { parents_win, left: MAX_HANDED };
            handing.object(place, members, above, 0).map(Value::Object)
        }
        other => Ok(other),
    }
}

struct Handing {
    parents_win: bool,
    left: usize,
}

impl Handing {
    fn object(&mut self, place: &str, mut component: Map, above: &Map, depth: usize) -> Result<Map> {
        if depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::Invalid, "the manifest is nested too deep").with("at", place));
        }
        if !component.contains_key("type") {
            let found = match component.contains_key("class_name") {
                true => custom_type(place),
                false => default_type(place),
            };
            if let Some(found) = found {
                component.insert("type".to_owned(), found.into());
            }
        }
        let own = match component.shift_remove(PARAMETERS) {
            Some(Value::Object(own)) => own,
            _ => Map::new(),
        };
        let mut parameters = above.clone();
        for (name, value) in own {
            if !(self.parents_win && above.contains_key(&name)) {
                parameters.insert(name, value);
            }
        }
        if is_json_schema(&component) {
            return Ok(component);
        }
        if !component.contains_key("type") {
            for value in component.values_mut() {
                if let (true, Value::Object(nested)) = (has_type(value), &mut *value) {
                    *nested = self.object(place, std::mem::take(nested), &parameters, depth + 1)?;
                }
            }
            return Ok(component);
        }
        self.count(&parameters, place)?;
        for (name, value) in &parameters {
            if !component.get(name).is_some_and(is_truthy) {
                component.insert(name.clone(), value.clone());
            }
        }
        let type_name = component.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        for (name, value) in component.iter_mut() {
            if !matches!(value, Value::Object(_) | Value::Array(_)) {
                continue;
            }
            // A parameter does not go into the field that has its name.
            let excluded = parameters.shift_remove(name);
            let place = format!("{type_name}.{name}");
            match value {
                Value::Object(nested) => {
                    *nested = self.object(&place, std::mem::take(nested), &parameters, depth + 1)?;
                }
                Value::Array(items) => {
                    for item in items {
                        if let Value::Object(nested) = item {
                            *nested = self.object(&place, std::mem::take(nested), &parameters, depth + 1)?;
                        }
                    }
                }
                _ => {}
            }
            if let Some(excluded) = excluded.filter(is_truthy) {
                parameters.insert(name.clone(), excluded);
            }
        }
        if !parameters.is_empty() {
            component.insert(PARAMETERS.to_owned(), Value::Object(parameters));
        }
        Ok(component)
    }

    fn count(&mut self, parameters: &Map, place: &str) -> Result<()> {
        fn nodes(value: &Value) -> usize {
            1 + match value {
                Value::Array(items) => items.iter().map(nodes).sum(),
                Value::Object(members) => members.values().map(nodes).sum(),
                _ => 0,
            }
        }
        let handed = parameters.values().map(nodes).sum::<usize>();
        self.left = self.left.checked_sub(handed).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "the `$parameters` of the manifest multiply into too large a tree")
                .with("at", place)
        })?;
        Ok(())
    }
}

/// A JSON schema has members named `type` too; it is not a component.
fn is_json_schema(component: &Map) -> bool {
    match component.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(_) | Value::Object(_)) => true,
        _ => false,
    }
}

fn has_type(value: &Value) -> bool {
    value.as_object().and_then(|members| members.get("type")).is_some_and(is_truthy)
}

/// Truth as Python sees it.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn parameters_fill_what_is_missing_or_falsy_and_go_down() {
        let manifest = json!({
            "type": "DeclarativeSource",
            "streams": [{
                "$parameters": {"name": "users", "path": "/users", "primary_key": "id"},
                "retriever": {"requester": {"path": ""}, "record_selector": {"extractor": {"field_path": []}}},
                "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
            }],
        });
        let done = propagate("", manifest, &Map::new(), false).unwrap();
        let stream = &done["streams"][0];
        assert_eq!((&stream["type"], &stream["name"]), (&json!("DeclarativeStream"), &json!("users")));
        assert_eq!(stream["retriever"]["requester"]["path"], "/users");
        assert_eq!(stream["retriever"]["record_selector"]["extractor"]["type"], "DpathExtractor");
        assert_eq!(stream["retriever"]["$parameters"]["name"], "users");
        assert_eq!(stream["schema_loader"]["schema"], json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn the_nearer_parameter_wins_unless_told_otherwise() {
        let component = json!({"type": "A", "$parameters": {"x": 1}, "b": {"type": "B", "$parameters": {"x": 2}}});
        assert_eq!(propagate("", component.clone(), &Map::new(), false).unwrap()["b"]["x"], 2);
        assert_eq!(propagate("", component, &Map::new(), true).unwrap()["b"]["x"], 1);
    }

    #[test]
    fn parameters_do_not_multiply_without_end() {
        let many: Map = (0..3000).map(|name| (format!("p{name}"), Value::from("x"))).collect();
        let components: Vec<Value> = (0..3000).map(|_| json!({"type": "A"})).collect();
        let manifest = json!({"type": "M", "$parameters": many, "all": components});
        let error = propagate("", manifest, &Map::new(), false).unwrap_err();
        assert!(error.message().contains("multiply"), "{error}");
    }
}
