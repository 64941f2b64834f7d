//! Actions of an integration: what each takes, and running one.

use highwater_engine::connections::{ConnectionFilter, ConnectionState};
use highwater_template::actions::ActionInfo;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::super::frame::{csrf, empty, sentence};
use super::super::visit::{Answer, Visit};
use super::super::words::{counted, cut};
use super::{own_connection, part};
use crate::keys::Scope;

/// Connections to choose from.
const CONNECTIONS: usize = 100;
/// The most of an output that is shown, in characters.
const SHOWN: usize = 100_000;

pub(in super::super) async fn actions(visit: Visit) -> Answer {
    show(&visit, None).await
}

/// Runs one with the input of the form.
pub(in super::super) async fn act(visit: Visit) -> Answer {
    let connection = own_connection(&visit).await?;
    let input = match visit.field("input") {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text),
    };
    let outcome = match input {
        Ok(input) => visit.engine().act(connection, visit.field("action"), input).await.map_err(|error| {
            (sentence(error.message()), error.context("told").map(str::to_owned), error.kind().as_str().to_owned())
        }),
        Err(error) => Err((format!("The input is not JSON ({error}): correct it."), None, "invalid".to_owned())),
    };
    show(&visit, Some(outcome)).await
}

/// The output, or the sentence, what the API said, and the code.
type Outcome = Result<Value, (String, Option<String>, String)>;

async fn show(visit: &Visit, outcome: Option<Outcome>) -> Answer {
    let settings = visit.engine().integration(visit.path("key"))?.settings().await?;
    let actions: Vec<&ActionInfo> =
        visit.engine().actions().filter(|info| info.provider.name == settings.provider).collect();
    let filter = ConnectionFilter::default().integration(&settings.key).limit(CONNECTIONS);
    let connections = visit.engine().connection_states(&filter).await?.connections;
    let lead = html! { (counted(actions.len() as u64, "action", "actions")) " by which a program writes to this API." };
    let content = html! {
        @match &outcome {
            Some(Ok(output)) => {
                div.notice role="status" { p { strong { (cut(visit.field("action"), 120)) } " is done. What it returned:" }
                    pre data-copy="the output" { (cut(&serde_json::to_string_pretty(output).unwrap_or_default(), SHOWN)) } }
            },
            Some(Err((sentence, told, code))) => {
                div.error role="alert" { p { (cut(sentence, 500)) } @if let Some(told) = told { p { "The API said: " (cut(told, 500)) } } code { (code) } }
            },
            None => {},
        }
        @if actions.is_empty() {
            (empty("This program has no action of the provider", &html! { "Build it with one, and it can be run here." }))
        } @else if connections.is_empty() && visit.may(Scope::Write) {
            p { "An action needs an account. " a href=(visit.to_with("connect", &[("integration", &settings.key)])) { "Connect an account" } }
        }
        @for info in actions { (card(visit, &settings.key, info, &connections)) }
    };
    Ok(part(visit, &settings, lead, "actions").show(content))
}

fn card(visit: &Visit, key: &str, info: &ActionInfo, connections: &[ConnectionState]) -> Markup {
    let id = info.id();
    let here = visit.field("action") == id;
    let input = match visit.field("input") {
        text if here && !text.is_empty() => text.to_owned(),
        _ => serde_json::to_string_pretty(&skeleton(&info.input)).unwrap_or_default(),
    };
    let schema = serde_json::to_string_pretty(&info.input).unwrap_or_default();
    html! {
        details.card open[here] {
            summary { (cut(&id, 120)) span.hint { (cut(&sentence(&info.description), 200)) } }
            @if !info.scopes.is_empty() { p.hint { "It needs the scopes " (info.scopes.join(", ")) "." } }
            @if visit.may(Scope::Write) && !connections.is_empty() {
                form method="post" action=(visit.to(["integrations", key, "act"])) {
                    (csrf(visit))
                    input type="hidden" name="action" value=(id);
                    label { "Account" select name="connection" {
                        @for connection in connections { @let id = &connection.settings.id; option value=(id) selected[here && id == visit.field("connection")] { (cut(id, 60)) } }
                    } }
                    label { "Input, as JSON" textarea name="input" rows="8" spellcheck="false" { (input) } }
                    button.primary { "Run it" }
                    p.hint { "It changes something at the API, and cannot be undone here. The log records it." }
                }
            }
            @if !info.input.is_null() { details { summary { "The schema of its input" } pre { (cut(&schema, 20_000)) } } }
        }
    }
}

/// An input with the members that the schema requires.
fn skeleton(schema: &Value) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let member = |name: &str| {
        let kind =
            properties.and_then(|known| known.get(name)).and_then(|known| known.get("type")).and_then(Value::as_str);
        match kind {
            Some("integer" | "number") => json!(0),
            Some("boolean") => json!(false),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!(""),
        }
    };
    Value::Object(required.map(|name| (name.to_owned(), member(name))).collect::<Map<_, _>>())
}
