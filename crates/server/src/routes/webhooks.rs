//! `/webhooks`: the destinations of outgoing webhooks, and what waits for them.

mod rows;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::webhooks::{Destination, WebhookFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::text;
use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place, shown_facts};
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The longest id of a destination, in bytes.
const MAX_ID: usize = 100;
/// The longest URL, in bytes.
const MAX_URL: usize = 2048;
/// The most deliveries that are kept for a destination.
const MOST_ROWS: usize = 100_000;
/// Deliveries that are counted.
const COUNTED: usize = 1000;

pub(crate) fn routes() -> Vec<Route> {
    let destination = || schema::reference("Destination");
    let list = schema::object([("destinations", schema::array(destination()))]);
    let secret = || schema::object([("secret", schema::text())]);
    let tried = schema::object([("accepted", schema::switch()), ("error", schema::nullable(schema::text()))]);
    let mut routes = vec![
        Route::get("/webhooks", Scope::Read, list_all).about(
            About::new("Lists the destinations of outgoing webhooks, each with what waits and what could not be delivered (up to 1,000).")
                .answer(200, "The destinations.", list),
        ),
        Route::post("/webhooks", Scope::Admin, create).about(
            About::new("Adds a destination, and creates the secret that its deliveries are signed with.")
                .body(Body::schema(true), json!({ "id": "backend", "url": "https://app.example.com/hooks/highwater" }))
                .answer(201, "The destination, with its secret: it is shown this once.", schema::object([("destination", destination()), ("secret", schema::text())]))
                .error(409, "destination_exists"),
        ),
        Route::get("/webhooks/{id}", Scope::Read, show)
            .about(About::new("Returns one destination.").answer(200, "The destination.", destination())),
        Route::patch("/webhooks/{id}", Scope::Admin, update).about(
            About::new("Changes a destination; what is left out stays. A new URL, or `\"enabled\": true`, enables one that was disabled.")
                .body(Body::schema(false), json!({ "on_error": false }))
                .answer(200, "The destination.", destination()),
        ),
        Route::delete("/webhooks/{id}", Scope::Admin, delete).about(
            About::new("Removes a destination with its secrets, waiting deliveries and dead letters.").success("It is removed."),
        ),
        Route::post("/webhooks/{id}/secret", Scope::Admin, rotate).about(
            About::new("Creates another secret. The one before signs too, until the next rotation.")
                .answer(200, "The new secret: it is shown this once.", secret()),
        ),
        Route::post("/webhooks/{id}/test", Scope::Admin, test).about(
            About::new("Sends a delivery of the type `test`, once and at once.").answer(200, "What the receiver made of it.", tried),
        ),
    ];
    routes.extend(rows::routes());
    routes
}

/// What a body says of a destination. Only the program that runs the server can allow private addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: Option<String>,
    url: Option<String>,
    connection: Option<String>,
    integration: Option<String>,
    on_unchanged: Option<bool>,
    on_error: Option<bool>,
    on_auth: Option<bool>,
    on_action: Option<bool>,
    on_forward: Option<bool>,
    max_rows: Option<usize>,
    format: Option<WebhookFormat>,
    enabled: Option<bool>,
}

impl Body {
    fn schema(new: bool) -> Value {
        let url =
            json!({ "type": "string", "format": "uri", "pattern": "^https://[a-z0-9.-]+/", "maxLength": MAX_URL });
        let members = [
            (if new { "url" } else { "url?" }, url),
            ("connection?", schema::name(MAX_NAME)),
            ("integration?", schema::name(MAX_NAME)),
            ("on_unchanged?", schema::switch()),
            ("on_error?", schema::switch()),
            ("on_auth?", schema::switch()),
            ("on_action?", schema::switch()),
            ("on_forward?", schema::switch()),
            ("max_rows?", schema::integer(1, MOST_ROWS as u64)),
            ("format?", schema::words(&["highwater", "nango"])),
        ];
        let further = if new { ("id", schema::part(MAX_ID)) } else { ("enabled?", json!({ "const": true })) };
        schema::closed(members.into_iter().chain([further]))
    }

    /// Reads what every body may say.
    fn read(&self) -> Result<(), ApiError> {
        for (name, given, most) in [
            ("url", &self.url, MAX_URL),
            ("connection", &self.connection, MAX_NAME),
            ("integration", &self.integration, MAX_NAME),
        ] {
            given.as_deref().map(|given| text(name, given, most)).transpose()?;
        }
        if self.max_rows.is_some_and(|rows| !(1..=MOST_ROWS).contains(&rows)) {
            let why = format!("must be a whole number from 1 to {MOST_ROWS}");
            return Err(ApiError::parameter(Place::Body, "max_rows", "invalid", why));
        }
        Ok(())
    }

    /// Applies what the body says to a destination.
    fn apply(&self, mut destination: Destination) -> Destination {
        if let Some(url) = &self.url {
            destination.url.clone_from(url);
        }
        if self.connection.is_some() {
            destination.connection.clone_from(&self.connection);
        }
        if self.integration.is_some() {
            destination.integration.clone_from(&self.integration);
        }
        destination.on_unchanged = self.on_unchanged.unwrap_or(destination.on_unchanged);
        destination.on_error = self.on_error.unwrap_or(destination.on_error);
        destination.on_auth = self.on_auth.unwrap_or(destination.on_auth);
        destination.on_action = self.on_action.unwrap_or(destination.on_action);
        destination.on_forward = self.on_forward.unwrap_or(destination.on_forward);
        destination.max_rows = self.max_rows.unwrap_or(destination.max_rows);
        destination.format = self.format.unwrap_or(destination.format);
        if self.url.is_some() || self.enabled == Some(true) {
            destination.disabled = None;
        }
        destination
    }
}

fn refused(name: &str, why: &str) -> ApiError {
    ApiError::parameter(Place::Body, name, "unknown", why)
}

/// A destination, with how many deliveries wait and how many could not be delivered.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    destination: Destination,
    waiting: usize,
    dead: usize,
}

async fn counted(call: &Call, destination: Destination) -> Result<Counted, ApiError> {
    let outbox = &call.state.outbox;
    let waiting = outbox.waiting(&destination.id, "", COUNTED).await?.len();
    let dead = outbox.dead_letters(&destination.id, "", COUNTED).await?.len();
    Ok(Counted { destination, waiting, dead })
}

async fn list_all(call: Call) -> Answer {
    let mut destinations = Vec::new();
    for destination in call.state.outbox.destinations().await? {
        destinations.push(counted(&call, destination).await?);
    }
    Ok(Json(json!({ "destinations": destinations })).into_response())
}

/// Reads the destination that a path names.
async fn named(call: &Call) -> Result<Destination, ApiError> {
    match call.state.outbox.destination(&call.path("id", MAX_NAME)?).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ApiError::not_found("no destination has this id: GET /webhooks lists them"))
        }
        destination => Ok(destination?),
    }
}

async fn show(call: Call) -> Answer {
    let destination = named(&call).await?;
    Ok(Json(counted(&call, destination).await?).into_response())
}

async fn create(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    body.read()?;
    if body.enabled.is_some() {
        return Err(refused("enabled", "is for destinations that exist: leave it out"));
    }
    let missing = |name| ApiError::parameter(Place::Body, name, "missing", "is missing: send it");
    let id = text("id", body.id.as_deref().ok_or_else(|| missing("id"))?, MAX_ID)?;
    let url = body.url.as_deref().ok_or_else(|| missing("url"))?;
    let destination = body.apply(Destination::new(&id, url).format(call.state.compat.webhook_format()));
    let outbox = &call.state.outbox;
    if outbox.destination(&id).await.is_ok() {
        let message = "a destination has this id already: choose another, or change that one";
        return Err(ApiError::new(StatusCode::CONFLICT, "destination_exists", message));
    }
    outbox.add_public(destination).await.map_err(in_body)?;
    let secret = match outbox.rotate_secret(&id).await {
        Ok(secret) => secret,
        Err(error) => {
            // A destination whose deliveries cannot be signed is not what was asked for.
            outbox.remove(&id).await?;
            return Err(error.into());
        }
    };
    let shown = counted(&call, outbox.destination(&id).await?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "destination": shown, "secret": secret.expose() }))).into_response())
}

async fn update(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    body.read()?;
    if body.id.is_some() {
        return Err(refused("id", "cannot be changed: add another destination"));
    }
    if body.enabled == Some(false) {
        let why = "can only be true: remove the destination to end its deliveries";
        return Err(ApiError::parameter(Place::Body, "enabled", "invalid", why));
    }
    let id = named(&call).await?.id;
    let changed = call.state.outbox.update_public(&id, |destination| body.apply(destination)).await.map_err(in_body)?;
    Ok(Json(counted(&call, changed).await?).into_response())
}

async fn delete(call: Call) -> Answer {
    let id = named(&call).await?.id;
    call.state.outbox.remove(&id).await?;
    done()
}

async fn rotate(call: Call) -> Answer {
    let id = named(&call).await?.id;
    let secret = call.state.outbox.rotate_secret(&id).await?;
    Ok(Json(json!({ "secret": secret.expose() })).into_response())
}

async fn test(call: Call) -> Answer {
    let id = named(&call).await?.id;
    Ok(Json(call.state.outbox.test(&id).await?).into_response())
}

fn done() -> Answer {
    Ok(Json(json!({ "success": true })).into_response())
}

fn in_body(error: highwater_core::Error) -> ApiError {
    match error.kind() {
        ErrorKind::Invalid => ApiError::bad("invalid_body", shown_facts(&error)),
        _ => error.into(),
    }
}
