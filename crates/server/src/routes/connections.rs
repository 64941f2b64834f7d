//! `/connections*`: connections, their metadata, and credentials for keys that may read them.

pub(super) mod import;
mod list;
mod metadata;
pub(super) mod notes;
mod view;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::DisconnectMode;
use highwater_engine::connections::CredentialRenewal;
use serde::Deserialize;
use serde_json::json;

use super::common::{SWITCH, provider_of};
use crate::about::{About, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::ApiError;
use crate::input::{Object, value};
use crate::keys::Scope;
use crate::route::{Answer, Route};
use notes::{EndUserBody, Tags};

pub(crate) fn routes() -> Vec<Route> {
    let key =
        || param("provider_config_key", schema::name(MAX_NAME), "The integration.").required().example("demo-crm");
    let switch = |name, about| {
        let words: Vec<&str> = SWITCH.iter().map(|(word, _)| *word).collect();
        param(name, schema::words(&words), about)
    };
    let renew = switch("force_refresh", "Renew the credentials in any case.");
    let show_refresh = switch("refresh_token", "Show the refresh token.");
    let of_app = switch("refresh_github_app_jwt_token", "The same as `force_refresh`.");
    let patched = schema::closed([
        ("end_user?", notes::end_user_schema()),
        ("tags?", schema::nullable(notes::tags_schema())),
        ("webhook_url_override?", schema::nullable(json!({ "const": "" }))),
    ]);
    vec![
        Route::get("/connections", Scope::Read, list::list).query(list::parameters()).about(list::about()),
        Route::post("/connections", Scope::Write, import::import).about(import::about()),
        Route::post("/connections/metadata", Scope::Write, metadata::set).about(metadata::about(201)),
        Route::patch("/connections/metadata", Scope::Write, metadata::update).about(metadata::about(200)),
        Route::get("/connections/{connection}", Scope::Read, get).query([key(), renew, show_refresh, of_app]).about(
            About::new("Returns a connection; for a key of the scope admin with its credentials, renewed if they are about to expire.")
                .answer(200, "The connection.", view::schema())
                .error(400, "unknown_provider_config")
                .error(424, "invalid_credentials")
                .error(424, "upstream_unauthorized")
                .error(429, "upstream_rate_limited")
                .error(502, "upstream_failed")
                .error(502, "upstream_unavailable"),
        ),
        Route::patch("/connections/{connection}", Scope::Write, patch).query([key()]).about(
            About::new("Sets the end user and the tags of a connection.")
                .body(patched, json!({ "tags": { "plan": "team" } }))
                .success("It is changed.")
                .error(400, "unknown_provider_config"),
        ),
        Route::delete("/connections/{connection}", Scope::Write, delete)
            .query([key()])
            .about(About::new("Removes a connection with its records and credentials.").success("It is gone.").error(400, "unknown_connection")),
    ]
}

/// The integration's key and the connection's id of a path.
fn named(call: &Call) -> Result<(String, String), ApiError> {
    let key = call.query.required("provider_config_key", value::text(MAX_NAME))?;
    Ok((key, call.path("connection", MAX_NAME)?))
}

async fn get(call: Call) -> Answer {
    let (key, id) = named(&call)?;
    let switch = |name| call.query.optional(name, value::word(SWITCH)).map(Option::unwrap_or_default);
    let (renew, show_refresh) = (switch("force_refresh")?, switch("refresh_token")?);
    let renew_installation = switch("refresh_github_app_jwt_token")?;
    let may_read = call.may(Scope::Admin);
    if !may_read && (renew || show_refresh || renew_installation) {
        let message =
            "credentials need a key of the scope admin: leave force_refresh and refresh_token out, or use such a key";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let settings = existing(&call, &key, &id).await?;
    let mut shown = view::full(&call, &settings.id).await?;
    if may_read {
        let renewal = if renew || renew_installation { CredentialRenewal::Always } else { CredentialRenewal::WhenDue };
        match call.engine().fetch_credentials(&settings.id, renewal).await {
            Ok(credentials) => shown["credentials"] = view::credentials(&credentials, show_refresh),
            Err(error) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Corrupt) => {
                let message = "the credentials could not be used or renewed: have the user sign in again";
                let refused = ApiError::new(StatusCode::FAILED_DEPENDENCY, "invalid_credentials", message);
                return Err(refused.with_payload(json!({ "connection": shown })));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(shown).into_response())
}

/// Finds a connection, in the words of the routes that name one in their path.
async fn existing(call: &Call, key: &str, id: &str) -> Result<highwater_engine::ConnectionSettings, ApiError> {
    provider_of(call, key).await?;
    call.connection_of(key, id).await.map_err(|_| {
        ApiError::not_found("no connection has this id at this provider_config_key: check both, or connect it first")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    end_user: Option<Object<EndUserBody>>,
    tags: Option<Tags>,
    webhook_url_override: Option<String>,
}

async fn patch(mut call: Call) -> Answer {
    let (key, id) = named(&call)?;
    let body: Patch = call.json().await?;
    notes::refuse_webhook_url(body.webhook_url_override.as_deref())?;
    let user = body.end_user.as_deref().map(EndUserBody::read).transpose()?;
    let own = body.tags.as_ref().map(notes::read_tags).transpose()?;
    let settings = existing(&call, &key, &id).await?;
    let new_tags = (user.is_some() || own.is_some()).then(|| {
        let mut tags = user.as_ref().map(|user| user.tags.clone()).unwrap_or_default();
        tags.extend(own.unwrap_or_default());
        tags
    });
    let user = user.map(|user| user.end_user);
    let changed = call.engine().update_connection(&settings.id, |mut settings| {
        if let Some(user) = &user {
            settings.end_user = Some(user.clone());
        }
        if let Some(tags) = &new_tags {
            settings.tags.clone_from(tags);
        }
        settings
    });
    changed.await.map_err(notes::in_body)?;
    Ok(Json(json!({ "success": true })).into_response())
}

/// Removes a connection with its records and credentials.
async fn delete(call: Call) -> Answer {
    let (key, id) = named(&call)?;
    let settings = call.connection_of(&key, &id).await?;
    match call.engine().disconnect(&settings.id, DisconnectMode::ClearRecords).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(ApiError::unknown_connection()),
        outcome => {
            outcome?;
            Ok(Json(json!({ "success": true })).into_response())
        }
    }
}
