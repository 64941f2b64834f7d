//! The pages themselves.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use highwater_engine::credentials::CodeSignIn;
use highwater_engine::{ConnectionSettings, IntegrationSettings};
use highwater_template::auth::AuthKind;
use highwater_template::{ConfigKey, Provider};
use maud::{Markup, html};

use super::super::frame;
use super::super::words::cut;
use super::Guest;
use crate::error::ApiError;

/// Returns the provider of a connection, or of the integration that it is to belong to.
pub(super) async fn provider<'g>(guest: &'g Guest, settings: &ConnectionSettings) -> Result<&'g Provider, ApiError> {
    let name = match &settings.integration {
        Some(key) => guest.engine().integration(key)?.settings().await?.provider,
        None => settings.provider.clone(),
    };
    known(guest, &name)
}

fn known<'g>(guest: &'g Guest, name: &str) -> Result<&'g Provider, ApiError> {
    let provider = guest.engine().providers().find(|provider| provider.name == name);
    provider.ok_or_else(|| ApiError::not_found("this program has no such provider any more: ask for another link"))
}

/// Returns the settings that the user is asked for: those that a connection needs and that nobody else gives.
pub(super) async fn asked<'g>(guest: &'g Guest, integration: &str) -> Result<Vec<&'g ConfigKey>, ApiError> {
    let settings = guest.engine().integration(integration)?.settings().await?;
    let defaults = guest.session.purpose.defaults.get(integration);
    let given =
        |name: &str| settings.config.contains_key(name) || defaults.is_some_and(|defaults| defaults.contains_key(name));
    let provider = known(guest, &settings.provider)?;
    let of_templates =
        guest.engine().templates().filter(|info| info.provider.name == settings.provider).flat_map(|info| &info.config);
    let mut keys: BTreeMap<&str, &ConfigKey> = BTreeMap::new();
    for key in provider.config.iter().chain(of_templates) {
        if key.required && !key.secret && key.default.is_none() && !given(&key.name) {
            keys.entry(&key.name).or_insert(key);
        }
    }
    Ok(keys.into_values().collect())
}

/// The choice of an integration, or the forms of the chosen one.
pub(super) async fn choose(guest: &Guest, refused: Option<ApiError>) -> Response {
    let status = refused.as_ref().map_or(StatusCode::OK, ApiError::status);
    let note = refused.as_ref().map(frame::error_note);
    match content(guest).await {
        Ok(content) => {
            let content = html! { div.card { @if let Some(note) = &note { (note) } (content) } };
            frame::bare(&guest.base, status, "Connect an account", &content)
        }
        Err(error) => frame::outside(&guest.base, refused.unwrap_or(error)),
    }
}

async fn content(guest: &Guest) -> Result<Markup, ApiError> {
    let session = &guest.session;
    if let Some(id) = &session.purpose.reconnect {
        let settings = guest.engine().connection(id).await?;
        let provider = known(guest, &settings.provider)?;
        let name = cut(settings.display_name.as_ref().unwrap_or(&settings.id), 80);
        return Ok(forms(guest, settings.integration_key(), &format!("Sign in again: {name}"), provider, true, &[]));
    }
    let integrations = guest.engine().integrations().await?;
    let allowed: Vec<&IntegrationSettings> =
        integrations.iter().filter(|integration| session.allows(&integration.key)).collect();
    let wanted = guest.field("integration");
    let chosen = match allowed.as_slice() {
        [] => return Err(ApiError::not_found("this link has nothing to connect to any more: ask for another one")),
        [only] => Some(*only),
        several => several.iter().copied().find(|integration| integration.key == wanted),
    };
    let Some(chosen) = chosen else {
        return Ok(html! {
            h1 { "Connect an account" }
            p.quiet { "Where is the account?" }
            ul.choices { @for settings in allowed {
                li { a href={ (guest.page()) "?integration=" (super::super::visit::encoded(&settings.key)) } { (name(settings)) } }
            } }
        });
    };
    let provider = known(guest, &chosen.provider)?;
    let asked = asked(guest, &chosen.key).await?;
    let content =
        forms(guest, &chosen.key, &format!("Connect {}", name(chosen)), provider, chosen.client_id.is_some(), &asked);
    Ok(html! {
        (content)
        @if allowed.len() > 1 { p { a href=(guest.page()) { "Another account" } } }
    })
}

fn name(settings: &IntegrationSettings) -> String {
    cut(settings.display_name.as_ref().unwrap_or(&settings.key), 80)
}

/// A form for each way to sign in. `application`: whether there may be one that users sign in to.
fn forms(
    guest: &Guest,
    integration: &str,
    title: &str,
    provider: &Provider,
    application: bool,
    asked: &[&ConfigKey],
) -> Markup {
    let oauth = provider.oauth2().filter(|_| application);
    let browser = oauth.is_some_and(|oauth| oauth.authorize_url.is_some());
    let code = oauth.is_some_and(|oauth| oauth.device_url.is_some());
    let key = provider.auth.iter().find_map(|kind| match kind {
        AuthKind::Bearer { guide } | AuthKind::Header { guide, .. } | AuthKind::Query { guide, .. } => Some(guide),
        _ => None,
    });
    let basic = provider.auth.iter().find_map(|kind| match kind {
        AuthKind::Basic { guide } => Some(guide),
        _ => None,
    });
    let form = |way: &str, fields: Markup, primary: bool, label: &str| {
        html! {
            form method="post" action=(guest.page()) {
                input type="hidden" name="csrf" value=(guest.session.csrf);
                input type="hidden" name="integration" value=(integration);
                input type="hidden" name="way" value=(way);
                @for key in asked {
                    label { (key.name) input name={ "config." (key.name) } required maxlength="16384"; span.hint { (key.help) } }
                }
                (fields)
                button.primary[primary] { (label) }
            }
        }
    };
    html! {
        h1 { (title) }
        @if !(browser || code || key.is_some() || basic.is_some()) {
            p { "Nobody can sign in here yet: the integration has no application to sign in to." }
        }
        @if browser { (form("browser", html! { p.quiet { "You sign in at " (provider.name) ", and come back here." } }, true, "Continue")) }
        @if code { (form("code", html! {}, !browser, "Sign in with a code")) }
        @if let Some(guide) = key {
            (form("token", html! { label { "Key" input type="password" name="token" required autocomplete="off" maxlength="16384"; span.hint { (guide.help) } } }, !browser, "Connect"))
        }
        @if let Some(guide) = basic {
            (form("basic", html! {
                label { "Name" input name="username" autocomplete="off" maxlength="16384"; }
                label { "Password" input type="password" name="password" autocomplete="off" maxlength="16384"; span.hint { (guide.help) } }
            }, !browser && key.is_none(), "Connect"))
        }
    }
}

/// Leads the browser to the provider's page.
pub(super) fn lead_on(guest: &Guest, url: &str) -> Response {
    let content = html! { div.card {
        h1 { "To the provider" }
        p { a.button.primary href=(url) { "Continue" } }
    } };
    frame::leading_on(&guest.base, "To the provider", url, &content)
}

/// Shows the code, and where it is entered.
pub(super) fn code(guest: &Guest, begun: &CodeSignIn) -> Response {
    let begun = begun.begun();
    let address = begun.verification_uri();
    let content = html! { div.card {
        h1 { "Enter this code" }
        p { code.code { (begun.user_code()) } }
        p { "Open " a href=(begun.verification_uri_complete().unwrap_or(address)) target="_blank" rel="noopener noreferrer" { (address) } ", enter it, and come back." }
        form method="post" action=(guest.page()) {
            input type="hidden" name="csrf" value=(guest.session.csrf);
            input type="hidden" name="way" value="code_wait";
            button.primary { "I have entered it" }
        }
    } };
    frame::bare(&guest.base, StatusCode::OK, "Enter this code", &content)
}

/// Asks what to do with credentials of another account.
pub(super) fn another_account(guest: &Guest, id: &str, known: &str, other: &str) -> Response {
    let button = |way: &str, label: &str, primary: bool| {
        html! {
            form method="post" action=(guest.page()) {
                input type="hidden" name="csrf" value=(guest.session.csrf);
                input type="hidden" name="way" value=(way);
                button.primary[primary] { (label) }
            }
        }
    };
    let content = html! { div.card {
        h1 { "This is another account" }
        p { "You signed in as " strong { (cut(other, 80)) } ". The connection " code { (cut(id, 80)) } " is signed in as " strong { (cut(known, 80)) } "." }
        p.quiet { "If you replace it, records of both accounts mix until those of " (cut(known, 80)) " are cleared." }
        (button("keep_account", &format!("Keep {}", cut(known, 80)), true))
        (button("replace_account", &format!("Replace it by {}", cut(other, 80)), false))
    } };
    frame::bare(&guest.base, StatusCode::CONFLICT, "Another account", &content)
}

/// The end, where the account stays as it was.
pub(super) fn kept(guest: &Guest) -> Response {
    let content = html! { div.card {
        h1 { "Nothing changed" }
        p { "The connection stays with its account." }
        @match &guest.session.purpose.back {
            Some(back) => { p { a.button.primary href=(back) { "Back to the dashboard" } } },
            None => { p { "You can close this page." } },
        }
    } };
    frame::bare(&guest.base, StatusCode::OK, "Nothing changed", &content)
}

/// The end.
pub(super) fn done(guest: &Guest, id: &str) -> Response {
    let content = html! { div.card {
        h1 { "Connected" }
        @match &guest.session.purpose.back {
            Some(back) => { p { "The connection is " code { (cut(id, 80)) } "." } p { a.button.primary href=(back) { "Back to the dashboard" } } },
            None => { p { "You can close this page." } },
        }
    } };
    frame::bare(&guest.base, StatusCode::OK, "Connected", &content)
}
