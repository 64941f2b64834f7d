//! Connecting an account, and deleting a connection.

use std::collections::BTreeMap;

use highwater_core::StreamHead;
use highwater_engine::{ConnectionSettings, DisconnectMode, SyncOptions};
use highwater_template::ConfigKey;
use highwater_template::auth::CredentialUse;
use maud::{Markup, html};

use super::super::frame::{Page, csrf, empty};
use super::super::visit::{Answer, Visit};
use super::super::words::{bytes, counted, cut, number};
use super::one::{connect_and_sign_in, signs_in_by_browser};
use crate::error::ApiError;
use crate::keys::Scope;

/// What a form is about: the place to connect to, and what its templates take.
struct Place {
    integration: Option<String>,
    provider: String,
    /// The settings that the integration gives already.
    given: BTreeMap<String, String>,
}

/// The form for a new connection: first where to, then what its templates need.
pub(in super::super) async fn new(visit: Visit) -> Answer {
    if !visit.may(Scope::Write) {
        let message = format!(
            "connecting an account needs a key of the scope write; you signed in with {}",
            visit.session.key.scope
        );
        return Err(ApiError::new(axum::http::StatusCode::FORBIDDEN, "forbidden", message));
    }
    let place = place(&visit).await?;
    let lead = match &place {
        None => html! { "Where does the account belong?" },
        Some(place) => html! { "An account at " (cut(place.integration.as_ref().unwrap_or(&place.provider), 80)) "." },
    };
    let content = match &place {
        None => choose(&visit).await?,
        Some(place) => form(&visit, place),
    };
    let page = Page::new(&visit, "Connect an account", lead).under("Connections", visit.to(["connections"]));
    Ok(page.show(content))
}

async fn place(visit: &Visit) -> Result<Option<Place>, ApiError> {
    if let Some(key) = visit.optional("integration") {
        let settings = visit.engine().integration(key)?.settings().await?;
        return Ok(Some(Place {
            integration: Some(key.to_owned()),
            provider: settings.provider,
            given: settings.config,
        }));
    }
    let Some(name) = visit.optional("provider") else { return Ok(None) };
    let known = visit.engine().providers().any(|provider| provider.name == name);
    if !known {
        return Err(ApiError::not_found("this program has no such provider: choose one of the list"));
    }
    Ok(Some(Place { integration: None, provider: name.to_owned(), given: BTreeMap::new() }))
}

async fn choose(visit: &Visit) -> Result<Markup, ApiError> {
    let integrations = visit.engine().integrations().await?;
    let providers: Vec<&str> = visit.engine().providers().map(|provider| provider.name.as_str()).collect();
    if integrations.is_empty() && providers.is_empty() {
        return Ok(empty("This program knows no API", &html! { "Build it with templates, and they are listed here." }));
    }
    Ok(html! {
        @if !integrations.is_empty() {
            section {
                h2 { "An integration" }
                p.quiet { "The account gets every endpoint that is on for the integration." }
                ul.choices { @for settings in &integrations {
                    li { a href=(visit.to_with("connect", &[("integration", &settings.key)])) { (cut(settings.display_name.as_ref().unwrap_or(&settings.key), 80)) } }
                } }
            }
        }
        section {
            h2 { "A provider alone" }
            p.quiet { "You turn on syncs for this account only." }
            ul.choices { @for name in providers { li { a href=(visit.to_with("connect", &[("provider", name)])) { (name) } } } }
        }
    })
}

fn form(visit: &Visit, place: &Place) -> Markup {
    let templates = || visit.engine().templates().filter(|info| info.provider.name == place.provider);
    let mut keys: BTreeMap<&str, &ConfigKey> = BTreeMap::new();
    for key in templates().flat_map(|info| &info.config).filter(|key| !key.secret) {
        let known = keys.entry(&key.name).or_insert(key);
        if key.required {
            *known = key;
        }
    }
    let uses = |wanted: CredentialUse| templates().any(|info| info.credentials == wanted);
    let by_browser = place.integration.as_ref().filter(|_| signs_in_by_browser(visit, &place.provider));
    html! {
        @if let Some(key) = by_browser {
            form.card method="post" action=(visit.to(["connect", "sign-in"])) {
                (csrf(visit))
                input type="hidden" name="integration" value=(key);
                label { "Id" input name="id" maxlength="200"; span.hint { "Your name for the account: programs use it. It never changes. Empty: a random one." } }
                button.primary { "Sign in at the provider" }
                p.hint { "The application at the provider must know the address /oauth/callback of this server." }
            }
            h2 { "Or with a token" }
        }
        form.card method="post" action=(visit.to(["connections"])) {
            (csrf(visit))
            @if let Some(key) = &place.integration { input type="hidden" name="integration" value=(key); }
            @else { input type="hidden" name="provider" value=(place.provider); }
            label { "Id" input name="id" required maxlength="200" placeholder={ (place.provider) "-main" }; span.hint { "Your name for the account: programs use it. It never changes." } }
            @for key in keys.values() {
                @let given = place.given.get(&key.name);
                label { (key.name)
                    input name={ "config." (key.name) } maxlength="16384" required[key.required && given.is_none()]
                        placeholder=(given.or(key.default.as_ref()).map_or("", String::as_str));
                    span.hint { (key.help) @if !key.required || given.is_some() { " May be left out." } }
                }
            }
            @if uses(CredentialUse::Required) || uses(CredentialUse::Optional) {
                label { "Token" input type="password" name="token" autocomplete="off"; span.hint {
                    @if uses(CredentialUse::Required) { "Of the account at the API. You can also sign in later." } @else { "May be left out: public data can be read without." }
                } }
            }
            @if place.integration.is_none() {
                fieldset {
                    legend { "Sync" }
                    @for info in templates() {
                        label.check { input type="checkbox" name="sync." value=(info.id()); " " (info.id()) span.hint { (cut(&info.description, 160)) } }
                    }
                }
            }
            button.primary { "Connect" }
        }
    }
}

pub(in super::super) async fn create(visit: Visit) -> Answer {
    let place = place(&visit).await?;
    let place = place.ok_or_else(|| ApiError::bad("invalid_body", "the form names no API: choose one first"))?;
    let id = visit.field("id");
    let mut settings = match &place.integration {
        Some(key) => ConnectionSettings::of_integration(id, key),
        None => ConnectionSettings::new(id, &place.provider),
    };
    for (name, value) in visit.fields("config.") {
        settings = settings.config(name, value);
    }
    let engine = visit.engine();
    let taken = engine.connection(id).await.is_ok();
    if taken {
        return Err(ApiError::bad("invalid_body", "a connection has this id already: choose another"));
    }
    let done = match visit.optional("token") {
        Some(token) => connect_and_sign_in(&visit, settings, token).await?,
        None => {
            engine.connect(settings).await?;
            "Connected."
        }
    };
    for (_, sync) in visit.fields("sync.") {
        engine.sync(id, sync)?.enable(SyncOptions::default()).await?;
    }
    visit.done(visit.to(["connections", id]), done)
}

/// Says what deleting a connection loses, and asks.
pub(in super::super) async fn ask_delete(visit: Visit) -> Answer {
    let id = visit.path("id");
    visit.engine().connection(id).await?;
    let streams: Vec<StreamHead> =
        visit.store().streams().await?.into_iter().filter(|head| head.stream.connection() == id).collect();
    let records: u64 = streams.iter().map(|head| head.live).sum();
    let lead = html! { "Its settings, schedules and credentials go for good. It has " (counted(records, "record", "records")) "." };
    let content = html! {
        @if !streams.is_empty() {
            div.scroll { table {
                thead { tr { th { "Model" } th.number { "Records" } th.number { "Size" } } }
                tbody { @for head in &streams { tr { td { (cut(head.stream.model(), 80)) } td.number { (number(head.live)) } td.number { (bytes(head.bytes)) } } } }
            } }
        }
        @if visit.may(Scope::Write) {
            form.card method="post" action=(visit.to(["connections", id, "delete"])) {
                (csrf(&visit))
                fieldset {
                    legend { "Its records" }
                    label.check { input type="radio" name="records" value="keep" checked; " Keep them. They can still be read." }
                    label.check { input type="radio" name="records" value="clear"; " Delete them too. Readers of this connection have to begin anew." }
                }
                button.danger { "Delete the connection" }
                " " a href=(visit.to(["connections", id])) { "Leave it" }
            }
        } @else { p { "Deleting a connection needs a key of the scope write." } }
    };
    let page =
        Page::new(&visit, format!("Delete {}?", cut(id, 80)), lead).under("Connections", visit.to(["connections"]));
    Ok(page.show(content))
}

pub(in super::super) async fn delete(visit: Visit) -> Answer {
    let mode = match visit.field("records") {
        "keep" => DisconnectMode::KeepRecords,
        "clear" => DisconnectMode::ClearRecords,
        _ => return Err(ApiError::bad("invalid_body", "records are kept or deleted: choose one")),
    };
    visit.engine().disconnect(visit.path("id"), mode).await?;
    visit.done(visit.to(["connections"]), "The connection is deleted.")
}
