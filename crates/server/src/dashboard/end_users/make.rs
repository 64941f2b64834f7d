//! What the forms do: they begin a sign-in, or end it with a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use highwater_core::ErrorKind;
use highwater_engine::connections::AccountChange;
use highwater_engine::{ConnectionSettings, Credentials, Secret};
use highwater_template::auth::AuthKind;

use super::super::visit::{Answer, Visit, redirect};
use super::{Guest, pages};
use crate::connect::{ChangeRule, Made, Purpose};
use crate::error::ApiError;

/// The longest token, password or setting, in bytes.
const LONGEST: usize = 16 * 1024;

/// How long a page waits for a code to be entered.
const CODE_WAIT: Duration = Duration::from_secs(40);

/// A form of the dashboard: leads somebody who is signed in there to the page of a session.
pub(in super::super) async fn begin(visit: Visit) -> Answer {
    let mut purpose = Purpose::default();
    if let Some(id) = visit.optional("connection") {
        let connection = visit.engine().connection(id).await?;
        purpose.allowed = vec![connection.integration_key().to_owned()];
        purpose.back = Some(visit.to(["connections", id]));
        purpose.reconnect = Some(id.to_owned());
        purpose.account_change = ChangeRule::Ask;
    } else {
        let key = visit.field("integration");
        visit.engine().integration(key)?.settings().await?;
        purpose.allowed = vec![key.to_owned()];
        purpose.id = visit.optional("id").map(str::to_owned);
        purpose.back = Some(visit.to(["connections"]));
        if let Some(id) = &purpose.id
            && visit.engine().connection(id).await.is_ok()
        {
            return Err(ApiError::bad("invalid_body", "a connection has this id already: choose another"));
        }
    }
    let state = visit.state();
    let (token, _) = state.connect.create(&**state.environment(), purpose)?;
    Ok(redirect(&format!("{}/connect?session_token={token}", visit.base)))
}

/// Does what a form of the page says.
pub(super) async fn submit(guest: &Guest) -> Result<Response, ApiError> {
    let way = guest.field("way");
    match way {
        "code_wait" => wait_for_code(guest).await,
        "replace_account" | "keep_account" => decide(guest, way == "replace_account").await,
        "browser" => {
            let settings = settings(guest).await?;
            let begun = guest.engine().begin_browser_sign_in(&settings, &guest.redirect_uri()).await?;
            let response = pages::lead_on(guest, begun.url());
            guest.session.begin_browser(begun, settings);
            Ok(response)
        }
        "code" => {
            let settings = settings(guest).await?;
            let begun = Arc::new(guest.engine().begin_code_sign_in(&settings).await?);
            let response = pages::code(guest, &begun);
            guest.session.begin_code(begun, settings);
            Ok(response)
        }
        _ => {
            let (settings, credentials) = given(guest).await?;
            conclude(guest, settings, credentials).await
        }
    }
}

/// The connection and its credentials, where the form holds these themselves.
pub(super) async fn given(guest: &Guest) -> Result<(ConnectionSettings, Credentials), ApiError> {
    let settings = settings(guest).await?;
    let provider = pages::provider(guest, &settings).await?;
    let takes = |wanted: fn(&AuthKind) -> bool| provider.auth.iter().any(wanted);
    let credentials = match guest.field("way") {
        "token"
            if takes(|kind| {
                matches!(kind, AuthKind::Bearer { .. } | AuthKind::Header { .. } | AuthKind::Query { .. })
            }) =>
        {
            Credentials::token(secret(guest, "token")?)
        }
        "basic" if takes(|kind| matches!(kind, AuthKind::Basic { .. })) => {
            let password = guest.field("password");
            let username = guest.field("username");
            if username.is_empty() && password.is_empty() || username.len() + password.len() > LONGEST {
                return Err(ApiError::bad("invalid_body", "fill in name and password, at most 16 KiB"));
            }
            Credentials::basic(username, Secret::new(password))
        }
        "nothing" if provider.auth.is_empty() => Credentials::none(),
        _ => return Err(ApiError::bad("invalid_body", "this is no way to sign in here: choose one of the page")),
    };
    Ok((settings, credentials))
}

fn secret(guest: &Guest, name: &str) -> Result<Secret, ApiError> {
    match guest.field(name) {
        "" => Err(ApiError::bad("invalid_body", "the field is empty: paste the key")),
        text if text.len() > LONGEST => Err(ApiError::bad("invalid_body", "the key is too long: paste the key alone")),
        text => Ok(Secret::new(text)),
    }
}

/// The connection as it is, or is to be.
async fn settings(guest: &Guest) -> Result<ConnectionSettings, ApiError> {
    let purpose = &guest.session.purpose;
    if let Some(id) = &purpose.reconnect {
        return Ok(guest.engine().connection(id).await?);
    }
    let key = guest.field("integration");
    if !guest.session.allows(key) {
        return Err(ApiError::not_found("this link is not for that integration: choose one of the page"));
    }
    let mut random = [0; 16];
    guest.dashboard.state.environment().fill_random(&mut random);
    let id = purpose.id.clone().unwrap_or_else(|| crate::routes::uuid(&[&hex::encode(random)]));
    let mut settings = ConnectionSettings::of_integration(id, key);
    settings.end_user.clone_from(&purpose.end_user);
    settings.tags.clone_from(&purpose.tags);
    if let Some(defaults) = purpose.defaults.get(key) {
        settings.config.clone_from(defaults);
    }
    // What the page does not ask for is not the user's to say.
    for asked in pages::asked(guest, key).await? {
        let value = guest.field(&format!("config.{}", asked.name));
        if value.is_empty() || value.len() > LONGEST {
            return Err(ApiError::bad("invalid_body", "a field is empty or too long: fill in each"));
        }
        settings.config.insert(asked.name.clone(), value.to_owned());
    }
    Ok(settings)
}

async fn wait_for_code(guest: &Guest) -> Result<Response, ApiError> {
    let (begun, settings) = guest
        .session
        .code()
        .ok_or_else(|| ApiError::bad("invalid_body", "no code was made for this link: begin again"))?;
    let most = CODE_WAIT.min(guest.dashboard.state.limits.answer_time / 2);
    match tokio::time::timeout(most, begun.finish()).await {
        Ok(credentials) => conclude(guest, settings, credentials?).await,
        Err(_) => Ok(pages::code(guest, &begun)),
    }
}

/// Does what the user says about credentials of another account.
async fn decide(guest: &Guest, replace: bool) -> Result<Response, ApiError> {
    let (credentials, settings) = guest
        .session
        .take_other()
        .ok_or_else(|| ApiError::bad("invalid_body", "there is nothing to decide any more: sign in again"))?;
    if replace {
        return keep(guest, settings, credentials, AccountChange::Allow).await;
    }
    guest.dashboard.state.connect.end(&guest.token);
    Ok(pages::kept(guest))
}

/// Makes the connection, and says so.
pub(super) async fn conclude(
    guest: &Guest,
    settings: ConnectionSettings,
    credentials: Credentials,
) -> Result<Response, ApiError> {
    keep(guest, settings, credentials, change(guest)).await
}

/// What becomes of a sign-in to another account, if nobody is asked.
fn change(guest: &Guest) -> AccountChange {
    match guest.session.purpose.account_change {
        ChangeRule::Allow => AccountChange::Allow,
        ChangeRule::Refuse | ChangeRule::Ask => AccountChange::Refuse,
    }
}

/// Makes the connection, or signs it in again, and ends the session.
pub(super) async fn finish(
    guest: &Guest,
    settings: ConnectionSettings,
    credentials: Credentials,
) -> Result<Made, ApiError> {
    Ok(sign_in(guest, settings, credentials, change(guest)).await??)
}

async fn keep(
    guest: &Guest,
    settings: ConnectionSettings,
    credentials: Credentials,
    change: AccountChange,
) -> Result<Response, ApiError> {
    let error = match sign_in(guest, settings.clone(), credentials.clone(), change).await? {
        Ok(made) => return Ok(pages::done(guest, &made.connection)),
        Err(error) => error,
    };
    if error.kind() == ErrorKind::Conflict
        && guest.session.purpose.account_change == ChangeRule::Ask
        && let (Some(known), Some(other)) = (error.context("account"), error.context("other"))
    {
        let page = pages::another_account(guest, &settings.id, known, other);
        guest.session.keep_other(credentials, settings);
        return Ok(page);
    }
    Err(error.into())
}

/// Uses the session up. After an error of the engine nothing was made, and the link is still good.
async fn sign_in(
    guest: &Guest,
    settings: ConnectionSettings,
    credentials: Credentials,
    change: AccountChange,
) -> Result<highwater_core::Result<Made>, ApiError> {
    let state = &guest.dashboard.state;
    // Only one of several browsers and forms at once.
    if !state.connect.end(&guest.token) {
        let message = "this link has expired or was used already: ask for another one";
        return Err(ApiError::new(StatusCode::GONE, "connect_session_over", message));
    }
    let made = Made { connection: settings.id.clone(), integration: settings.integration_key().to_owned() };
    let (engine, id) = (guest.engine(), made.connection.as_str());
    let outcome = match guest.session.purpose.reconnect {
        // A provider without a sign-in has no credentials to keep.
        None if !credentials.can_sign_in() => engine.connect(settings).await,
        None => engine.connect_and_sign_in(settings, credentials).await,
        Some(_) => engine.sign_in_with(id, credentials, change).await,
    };
    if let Err(error) = outcome {
        state.connect.resume(&guest.token, &guest.session);
        return Ok(Err(error));
    }
    state.connect.note_made(state.environment().now(), &guest.token, made.clone());
    Ok(Ok(made))
}
