//! Requesters: URL, method, headers and body of a request, and where values are injected.

use highwater_core::Result;
use highwater_interpolation::{Map, Value};

use super::decode::{Context, Node};
use super::{Authenticator, ErrorHandler, Parameters, Template};

#[derive(Debug)]
pub(crate) struct Requester {
    pub path: String,
    pub url: Option<Template>,
    pub url_base: Option<Template>,
    pub endpoint: Option<Template>,
    pub method: String,
    pub authenticator: Authenticator,
    pub query: Inputs,
    pub headers: Inputs,
    pub form: Inputs,
    pub json: Option<(Value, Parameters)>,
    pub errors: ErrorHandler,
    pub use_cache: bool,
    pub cache_forbidden: bool,
}

/// Values of a request, by name or as one text.
#[derive(Debug, Default)]
pub(crate) enum Inputs {
    #[default]
    None,
    Text(Template),
    Map(Map, Parameters),
}

/// Where a value is put into a request.
#[derive(Debug)]
pub(crate) struct RequestOption {
    pub into: Part,
    /// More than one part only within a JSON body.
    pub field: Vec<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Query,
    Header,
    Form,
    Json,
}

impl Requester {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>, known: &[&str]) -> Result<Self> {
        match node.kind()? {
            "HttpRequester" => {}
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => return Requester::decode(&Node::at(&replacement, &node.path), context, known),
                None => return Err(node.unknown(other, known)),
            },
        }
        let parameters = node.parameters();
        let inputs = |name: &str| Inputs::decode(node.get(name), context, &parameters);
        let mut form = inputs("request_body_data")?;
        let mut json = node.get("request_body_json");
        if let Some(body) = node.get("request_body") {
            match body.kind()? {
                "RequestBodyPlainText" | "RequestBodyUrlEncodedForm" => {
                    form = Inputs::decode(body.get("value"), context, &parameters)?;
                }
                "RequestBodyJsonObject" | "RequestBodyGraphQL" => json = body.get("value"),
                other => {
                    let known = [
                        "RequestBodyJsonObject",
                        "RequestBodyUrlEncodedForm",
                        "RequestBodyPlainText",
                        "RequestBodyGraphQL",
                    ];
                    return Err(body.unknown(other, &known));
                }
            }
        }
        if let Some(json) = &json {
            json.check_all(context)?;
        }
        let method = node.get("http_method").map_or(Ok("GET".to_owned()), |method| method.text())?.to_ascii_uppercase();
        if !["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].contains(&method.as_str()) {
            return Err(node.invalid(format!("`http_method` is {method}: use GET or POST")));
        }
        let requester = Requester {
            path: node.path.clone(),
            url: node.optional_template(context, "url")?,
            url_base: node.optional_template(context, "url_base")?,
            endpoint: node.optional_template(context, "path")?,
            method,
            authenticator: Authenticator::of(node, context)?,
            query: inputs("request_parameters")?.without_components(),
            headers: inputs("request_headers")?,
            form,
            json: json.map(|json| {
                let mut value = json.value.clone();
                if let Some(body) = value.as_object_mut().filter(|_| json.path.ends_with("request_body.value")) {
                    body.shift_remove("$parameters");
                    body.shift_remove("type");
                }
                (value, parameters.clone())
            }),
            errors: ErrorHandler::of(node, context)?,
            use_cache: node.boolean("use_cache")?.unwrap_or(false),
            cache_forbidden: node.boolean("use_cache")? == Some(false),
        };
        if requester.url.is_none() && requester.url_base.is_none() {
            return Err(node.invalid("`url` is missing: give `url` or `url_base`"));
        }
        Ok(requester)
    }
}

impl Inputs {
    fn decode(node: Option<Node<'_>>, context: &Context<'_>, parameters: &Parameters) -> Result<Self> {
        let Some(node) = node else { return Ok(Inputs::None) };
        match node.value {
            Value::Object(entries) => {
                node.check_all(context)?;
                Ok(Inputs::Map(entries.clone(), parameters.clone()))
            }
            _ => Ok(Inputs::Text(node.template(context, parameters)?)),
        }
    }
}

impl RequestOption {
    pub(crate) fn of(node: &Node<'_>, context: &Context<'_>, name: &str) -> Result<Option<Self>> {
        node.get(name).map(|node| RequestOption::decode(&node, context)).transpose()
    }

    /// As [`of`](Self::of), for the components that do not hand their parameters on to their options.
    pub(crate) fn bare(node: &Node<'_>, context: &Context<'_>, name: &str) -> Result<Option<Self>> {
        node.get(name).map(|node| RequestOption::decode_with(&node, context, &Parameters::default())).transpose()
    }

    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        RequestOption::decode_with(node, context, &node.parameters())
    }

    fn decode_with(node: &Node<'_>, context: &Context<'_>, parameters: &Parameters) -> Result<Self> {
        let into = node.require("inject_into", "say into which part of the request")?;
        let into = match into.text()?.as_str() {
            "request_parameter" => Part::Query,
            "header" => Part::Header,
            "body_data" => Part::Form,
            "body_json" => Part::Json,
            other => {
                return Err(into.invalid(format!(
                    "`{other}` is not a part of a request: use request_parameter, header, body_data or body_json"
                )));
            }
        };
        let field = match node.get("field_path") {
            Some(path) if into == Part::Json => match path.value.is_string() {
                true => vec![path.template(context, parameters)?],
                false => path.items()?.iter().map(|item| item.template(context, parameters)).collect::<Result<_>>()?,
            },
            Some(path) => return Err(path.invalid("a nested field is possible in body_json alone: use `field_name`")),
            None => vec![node.require("field_name", "name the field")?.template(context, parameters)?],
        };
        Ok(RequestOption { into, field })
    }
}
